/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The filter of a supervised process: some calls are asked about (SECCOMP_RET_USER_NOTIF), all
 * others pass. It stands beside the profile's; the kernel takes the stricter verdict of the two.
 */
#ifndef BPF_GUARD_H
#define BPF_GUARD_H

#include "bpf/filter.h"

struct guard_call {
	const char *name; /* as libseccomp knows it */
	int pointer;      /* asked about only where this argument isn't NULL; -1: always */
};

/*
 * The same calls through another architecture of this machine (i386, x32, arm), and every call of
 * one that is not known here, fail with ENOSYS: nothing goes past the supervisor. A multiplexer
 * (socketcall(2)) hides its arguments: its calls fail whatever they point to. The program is in the
 * arena. -EINVAL with a text where a name is unknown.
 */
int guard_build(struct arena *a, const struct guard_call *calls, size_t n, struct filter *out);

#endif
