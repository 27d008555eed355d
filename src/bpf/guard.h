/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter of a supervised process: some calls are asked about (SECCOMP_RET_USER_NOTIF), all
 * others pass. It stands beside the profile's; the kernel takes the stricter verdict of the two.
 */
#ifndef BPF_GUARD_H
#define BPF_GUARD_H

#include "bpf/filter.h"

#define GUARD_VALUES_MAX 4

/* Of the lower half of an argument, which is all that a call looks at that takes an int. */
struct guard_test {
	uint8_t argument;
	uint8_t n;                         /* 0: no test */
	uint32_t mask;                     /* what is left of it, */
	uint32_t values[GUARD_VALUES_MAX]; /* is one of these */
};

/*
 * The upper half of an argument that is an int, where the kernel never looks: the call is one that
 * the supervisor has changed, and passes. Who says so himself keeps his call as it is.
 */
#define GUARD_PASS 0x7f740e00u

struct guard_call {
	const char *name; /* as libseccomp knows it */
	int argument;     /* asked about only where this one isn't NULL; -1: always */
	int number;       /* where libseccomp may be older than the call: its number, the same on
			     every architecture since 424; else 0 */
	/* asked about only where the lower half of the argument is one of these */
	const uint32_t *values;
	size_t n_values;
	struct guard_test also[2]; /* and all of these hold */
	uint8_t pass; /* and the upper half of this argument (from 1) isn't GUARD_PASS; 0: any */
};

/* Rows: of every call of the name; those where an argument isn't NULL; those where it has one of an
 * array's values; those of a new call; all but those that the supervisor makes (super/inject.h),
 * with GUARD_PASS in that argument; and of these those where another one isn't NULL. Where it makes
 * a call, every row of it says so. */
#define GUARD_ALL(call)                        \
	{                                      \
		.name = (call), .argument = -1 \
	}
#define GUARD_SET(call, arg)                      \
	{                                         \
		.name = (call), .argument = (arg) \
	}
#define GUARD_IN(call, arg, array)                                    \
	{                                                             \
		.name = (call), .argument = (arg), .values = (array), \
		.n_values = sizeof(array) / sizeof((array)[0])        \
	}
#define GUARD_NEW(call, nr)                                    \
	{                                                      \
		.name = (call), .argument = -1, .number = (nr) \
	}

#define GUARD_UNMADE(call, arg)                                            \
	{                                                                  \
		.name = (call), .argument = -1, .pass = (uint8_t)(arg) + 1 \
	}

#define GUARD_UNMADE_SET(call, set, arg)                                      \
	{                                                                     \
		.name = (call), .argument = (set), .pass = (uint8_t)(arg) + 1 \
	}

/* That argument: what the kernel looks at, and the mark. */
#define GUARD_PASSING(value) ((uint64_t)GUARD_PASS << 32 | (uint32_t)(value))

/*
 * A call may be there several times: it is asked about where one of its rows says so.
 * The same calls through another architecture of this machine (i386, x32, arm), and every call of
 * one that is not known here, fail with ENOSYS: nothing goes past the supervisor. A multiplexer
 * (socketcall(2)) hides its arguments: its calls fail whatever they point to. The program is in the
 * arena. -EINVAL with a text where a name is unknown.
 */
int guard_build(struct arena *a, const struct guard_call *calls, size_t n, struct filter *out);

#endif
