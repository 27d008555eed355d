/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bytes to a profile: the filter must do what the rules say, and answer and refuse as libseccomp
 * does where that is not known to be at fault (tests/lib/bpf_ref.h).
 */
#include "base/mem.h"
#include "lib/bpf_random.h"
#include "lib/bpf_ref.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_arena a = arena_new();
	struct ref_report report = { 0 };
	struct ref_program theirs;
	struct filter_profile p;
	struct filter ours;
	int we, they;

	if (size == 0)
		return 0;
	p = random_profile(a, data + 1, size - 1, data[0] & 1 ? RANDOM_MIXED : RANDOM_ONE_VERDICT);
	we = filter_build(a, &p, &ours);
	they = ref_build(a, &p, &theirs);
	if (they != -ETIMEDOUT && (we < 0) != (they < 0)) {
		fprintf(stderr, "filter_build gives %d, libseccomp %d\n", we, they);
		abort();
	}
	if (we == 0 &&
	    !ref_compare(a, "fuzz", &p, &ours, theirs.code ? &theirs : NULL, 20, &report))
		abort();
	return 0;
}
