/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/call.h"

uint64_t call_arg(const struct regs *r, unsigned i)
{
	return r->user.regs[i];
}

void call_set_arg(struct regs *r, unsigned i, uint64_t value)
{
	r->user.regs[i] = value;
}

void call_set_result(struct regs *r, int64_t result)
{
	r->user.regs[0] = (uint64_t)result;
}
