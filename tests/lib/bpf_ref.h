/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a filter is measured against: libseccomp's program for the same profile, made by the calls
 * that crun makes, and the text of the rules itself.
 */
#ifndef TEST_BPF_REF_H
#define TEST_BPF_REF_H

#include "bpf/filter.h"
#include "bpf/run.h"

struct ref_program {
	struct sock_filter *code; /* NULL: libseccomp made none */
	size_t len;
};

/*
 * 0, or -errno as libseccomp gave it for the first rule or architecture it refuses. Rules that
 * share tests (ref_disputed()) can tie its lists into a knot: those are built in a process of their
 * own, and where that does not end in two seconds or crashes the answer is -ETIMEDOUT.
 */
int ref_build(struct arena *a, const struct filter_profile *profile, struct ref_program *out);

/*
 * True if the rules' text alone allows for the verdict: it is that of a rule that matches the call,
 * or the default where none does; where rules without arguments match, that of the first of them.
 */
bool ref_justified(const struct filter_profile *profile, const struct seccomp_data *data,
		   uint32_t verdict);

/*
 * True if rules of different verdicts match the call and libseccomp 2.5.4 is known not to keep its
 * own order between them, contrary to what seccomp_export_pfc() says: where one test fails it may
 * go on to the next with another word in the accumulator, and tests behind a 64-bit comparison are
 * shared between rules. Takes a rule with several tests: 64-bit arguments with an operator other
 * than EQ and MASKED_EQ, or several conditions.
 */
bool ref_disputed(const struct filter_profile *profile, const struct seccomp_data *data);

struct ref_report {
	unsigned long probes;
	unsigned long lapses;   /* libseccomp gave a verdict that no rule justifies */
	unsigned long disputes; /* both gave one that a rule justifies, ref_disputed() */
	unsigned longest, longest_constant; /* instructions executed */
};

/*
 * Compares both programs (ours with the rules' text alone where theirs is NULL) over every number
 * (each constant a program tests for, and its neighbours, stand for all numbers between), every
 * architecture, boundary arguments and `random` more for each number whose verdict depends on
 * arguments. Returns false at the first call where they differ without a lapse or dispute of
 * libseccomp's, and prints it.
 */
bool ref_compare(struct arena *a, const char *name, const struct filter_profile *profile,
		 const struct filter *ours, const struct ref_program *theirs, unsigned random,
		 struct ref_report *report);

/* A generator of its own (xorshift64*), so that a seed gives the same run everywhere. */
uint64_t ref_random(uint64_t *state);

#endif
