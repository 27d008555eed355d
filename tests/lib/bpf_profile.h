/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Profiles as text, one statement a line; '#' begins a comment:
 *
 *	profile NAME                                  starts the next one
 *	default ACTION[:DATA]                         ERRNO:38, ALLOW, KILL_PROCESS, ...
 *	arch X86_64 ...                               besides the native one
 *	enosys                                        the ENOSYS stub
 *	ACTION[:DATA] CALL ... [if INDEX OP VALUE [VALUE]] ...
 *
 * OP is one of NE LT LE EQ GE GT MASKED_EQ; a number is decimal, hexadecimal or negative.
 */
#ifndef TEST_BPF_PROFILE_H
#define TEST_BPF_PROFILE_H

#include "bpf/filter.h"

struct named_profile {
	const char *name;
	struct filter_profile profile;
};

/* Reads a file of tests/sim; *out_n profiles. A line it does not understand ends the program. */
struct named_profile *profile_read(struct arena *a, const char *file, size_t *out_n);

#endif
