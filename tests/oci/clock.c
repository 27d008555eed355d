/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The time of day by every way there is, in whole seconds, one a line. With arguments it executes
 * them afterwards.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	struct timespec t, coarse, raw;
	struct timeval tv, raw_tv;
	time_t now = time(NULL);

	(void)argc;
	if (clock_gettime(CLOCK_REALTIME, &t) || clock_gettime(CLOCK_REALTIME_COARSE, &coarse) ||
	    gettimeofday(&tv, NULL) || syscall(SYS_clock_gettime, CLOCK_REALTIME, &raw) ||
	    syscall(SYS_gettimeofday, &raw_tv, NULL))
		return 1;
	printf("%lld\n%lld\n%lld\n%lld\n%lld\n%lld\n", (long long)now, (long long)t.tv_sec,
	       (long long)coarse.tv_sec, (long long)tv.tv_sec, (long long)raw.tv_sec,
	       (long long)raw_tv.tv_sec);
	fflush(stdout);
	if (!argv[1])
		return 0;
	execv(argv[1], argv + 1);
	return 2;
}
