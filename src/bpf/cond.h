/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The argument tests of one system call: its rules merged into a tree of 32-bit tests.
 *
 * A level is a list of tests tried in order. A test has two exits; each leads to a verdict, to a
 * further level, or nowhere: then the next test of its level is tried, and after the last one what
 * follows the test above. So the rules are alternatives; what no rule matches gets the default.
 *
 * The order within a level is libseccomp's (its db.c): higher arguments first, the high half before
 * the low one, then equality, upper bounds, lower bounds, and of those the narrower first. It
 * matters only where rules with different verdicts match the same call.
 */
#ifndef BPF_COND_H
#define BPF_COND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct arena;
struct asm_code;
struct filter_arg;
struct cond;
struct cond_rule;

/* How an architecture lays arguments out in struct seccomp_data. */
struct cond_layout {
	bool wide;       /* 64-bit arguments; else the high half is never looked at */
	bool big_endian; /* the high half comes first */
};

struct cond_set {
	struct cond *first;
	struct cond_rule *rules; /* as added, without those that another one covers */
	size_t n_tests;
	struct cond_layout layout; /* the caller's to set; the rest begins as zero */
};

/*
 * True if every condition holds for any argument (MASKED_EQ with an empty mask): the rule is one
 * without arguments.
 */
bool cond_always(const struct filter_arg *args, size_t n, struct cond_layout layout);

/*
 * Adds a rule: all of args (ascending index, none twice, at most 6) must hold. A rule that asks for
 * all that an earlier one does and more never counts; an earlier one that does so with the same
 * verdict no longer counts. Returns 0, or -EEXIST with no text where the same conditions, or the
 * same and more, lead to another verdict already.
 */
int cond_add(struct arena *a, struct cond_set *set, const struct filter_arg *args, size_t n,
	     uint32_t verdict);

/* Assembles the tests; where none matches the verdict is `otherwise`. Returns the entry's label. */
unsigned cond_emit(struct asm_code *code, const struct cond_set *set, uint32_t otherwise);

#endif
