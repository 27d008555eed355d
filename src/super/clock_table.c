/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/syscall.h>

#include "old_calls.h"
#include "super/clock.h"
#include "super/handler.h"

/* ARCH_WALL_CLOCKS */
static const uint32_t clocks[] = { 0, 5, 8, 11 };

const struct super_handler clock_handlers[] = {
	{ GUARD_IN("clock_gettime", 0, clocks), SYS_clock_gettime, clock_on_gettime },
	{ GUARD_SET("gettimeofday", 0), SYS_gettimeofday, clock_on_gettimeofday },
	{ GUARD_ALL("time"), OLD_TIME, clock_on_time },
	{ GUARD_ALL("clock_settime"), SYS_clock_settime, clock_on_set },
	{ GUARD_ALL("settimeofday"), SYS_settimeofday, clock_on_set },
	{ GUARD_ALL("clock_adjtime"), SYS_clock_adjtime, clock_on_adjust },
	{ GUARD_ALL("adjtimex"), SYS_adjtimex, clock_on_adjust },
	{ GUARD_ALL("execve"), SYS_execve, clock_on_exec },
	{ GUARD_ALL("execveat"), SYS_execveat, clock_on_exec },
};

const size_t n_clock_handlers = sizeof(clock_handlers) / sizeof(clock_handlers[0]);
