/* SPDX-License-Identifier: Apache-2.0 */
/* What the containers of the benchmark run: static, and done at once. */
int main(void)
{
	return 0;
}
