/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes to a profile: the same for the fuzz target and for the runs with fixed seeds. */
#ifndef TEST_BPF_RANDOM_H
#define TEST_BPF_RANDOM_H

#include "bpf/filter.h"

enum random_kind {
	RANDOM_ONE_VERDICT, /* all rules have one action: the documented meaning is their union */
	RANDOM_MIXED,
};

struct arena;

struct filter_profile random_profile(struct arena *a, const uint8_t *data, size_t size,
				     enum random_kind kind);

#endif
