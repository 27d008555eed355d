/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/futex.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "old_calls.h"
#include "super/clock.h"
#include "super/handler.h"

/* ARCH_WALL_CLOCKS */
static const uint32_t clocks[] = { 0, 5, 8, 11 };

#define ABSOLUTE(arg)        \
	{                    \
		(arg), 1, 1, \
		{            \
			1    \
		}            \
	} /* TIMER_ABSTIME, TFD_TIMER_ABSTIME */
#define FUTEX_COMMAND (~(uint32_t)FUTEX_PRIVATE_FLAG)
#define REALTIME(command) (FUTEX_##command | FUTEX_CLOCK_REALTIME)

/* A time to wait for, at argument `pointer`, of a call that is made again with the mark in argument
 * `marked`; up to two tests. */
#define WAITS(call, nr, pointer, marked, ...)                                                \
	{                                                                                    \
		.name = (call), .number = (nr), .argument = (pointer), .pass = (marked) + 1, \
		.also = {                                                                    \
			__VA_ARGS__                                                          \
		}                                                                            \
	}

const struct super_handler clock_handlers[] = {
	{ GUARD_IN("clock_gettime", 0, clocks), SYS_clock_gettime, clock_on_gettime },
	{ GUARD_SET("gettimeofday", 0), SYS_gettimeofday, clock_on_gettimeofday },
	{ GUARD_ALL("time"), OLD_TIME, clock_on_time },
	{ GUARD_ALL("clock_settime"), SYS_clock_settime, clock_on_set },
	{ GUARD_ALL("settimeofday"), SYS_settimeofday, clock_on_set },
	{ GUARD_ALL("clock_adjtime"), SYS_clock_adjtime, clock_on_adjust },
	{ GUARD_ALL("adjtimex"), SYS_adjtimex, clock_on_adjust },
	{ GUARD_ALL("execve"), SYS_execve, clock_on_exec },
	{ GUARD_UNMADE("execveat", 4), SYS_execveat, clock_on_exec },
	{ WAITS("clock_nanosleep", 0, 2, 1, { 0, 3, UINT32_MAX, { 0, 8, 11 } }, ABSOLUTE(1)),
	  SYS_clock_nanosleep, clock_on_sleep },
	{ WAITS("futex", 0, 3, 1,
		{ 1,
		  3,
		  FUTEX_COMMAND,
		  { REALTIME(WAIT_BITSET), REALTIME(WAIT_REQUEUE_PI), REALTIME(LOCK_PI2) } }),
	  SYS_futex, clock_on_futex },
	/* its time is one of day in any case */
	{ WAITS("futex", 0, 3, 1, { 1, 1, FUTEX_COMMAND, { FUTEX_LOCK_PI } }), SYS_futex,
	  clock_on_futex },
	{ WAITS("futex_waitv", SYS_futex_waitv, 3, 2, { 4, 1, UINT32_MAX, { 0 } }), SYS_futex_waitv,
	  clock_on_futex_waitv },
	{ WAITS("futex_wait", SYS_futex_wait, 4, 3, { 5, 1, UINT32_MAX, { 0 } }), SYS_futex_wait,
	  clock_on_futex_wait },
	{ WAITS("mq_timedsend", 0, 4, 0), SYS_mq_timedsend, clock_on_mq },
	{ WAITS("mq_timedreceive", 0, 4, 0), SYS_mq_timedreceive, clock_on_mq },
	{ WAITS("timer_settime", 0, 2, 1, ABSOLUTE(1)), SYS_timer_settime, clock_on_timer },
	{ WAITS("timerfd_settime", 0, 2, 1, ABSOLUTE(1)), SYS_timerfd_settime, clock_on_timerfd },
	{ GUARD_ALL("stat"), OLD_STAT, clock_on_stat },
	{ GUARD_ALL("lstat"), OLD_LSTAT, clock_on_stat },
	{ GUARD_ALL("fstat"), SYS_fstat, clock_on_stat },
	{ GUARD_ALL("newfstatat"), SYS_newfstatat, clock_on_stat },
	{ GUARD_ALL("statx"), SYS_statx, clock_on_statx },
	{ WAITS("utimensat", 0, 2, 3), SYS_utimensat, clock_on_utimensat },
	{ GUARD_SET("futimesat", 2), OLD_FUTIMESAT, clock_on_futimesat },
	{ GUARD_SET("utimes", 1), OLD_UTIMES, clock_on_utimes },
	{ GUARD_SET("utime", 1), OLD_UTIME, clock_on_utime },
};

const size_t n_clock_handlers = sizeof(clock_handlers) / sizeof(clock_handlers[0]);
