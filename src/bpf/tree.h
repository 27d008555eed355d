/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System call numbers of one architecture to verdicts: a table while rules are read, then ranges of
 * neighbouring numbers with one verdict, then a balanced search. Arguments are looked at behind the
 * search only, so a call with a constant verdict never loads one: the kernel's cache of always
 * allowed calls (seccomp_cache_prepare) then spares the filter altogether.
 */
#ifndef BPF_TREE_H
#define BPF_TREE_H

#include "bpf/cond.h"

struct arena;
struct asm_code;

/* What the rules say about one number. */
struct tree_call {
	int nr; /* < 0: none of this architecture's; kept to see rules contradict each other */
	bool constant;
	uint32_t verdict;               /* if constant */
	struct cond_set *conds;         /* NULL: no rule for it tests an argument */
	const char *name;               /* of the first rule */
	unsigned first_rule, last_rule; /* their indices in the profile */
	struct tree_call *next;
};

#define TREE_BUCKETS 512 /* a page of pointers, and about as many as there are calls */

struct tree_table {
	struct tree_call *bucket[TREE_BUCKETS]; /* by the low bits, each ascending */
	size_t n;
};

/* The entry of a number, made if it is missing. */
struct tree_call *tree_at(struct arena *a, struct tree_table *table, int nr);

/* All entries with nr >= 0, ascending; *out_n of them. */
struct tree_call **tree_sorted(struct arena *a, const struct tree_table *table, size_t *out_n);

/* Numbers from `first` to the next range's have one verdict, or one set of tests before it. */
struct tree_range {
	uint32_t first, verdict;
	const struct cond_set *conds; /* NULL: the verdict is constant */
};

struct tree_ranges {
	struct tree_range *range;
	size_t n, cap;
};

/* From this number on. Numbers ascend; a range like the one before is merged with it. */
void tree_range_add(struct arena *a, struct tree_ranges *ranges, struct tree_range range);

/*
 * Assembles the search over ranges, of which the first begins at 0. The number is in the
 * accumulator. Returns the entry's label.
 */
unsigned tree_emit(struct asm_code *code, const struct tree_ranges *ranges);

#endif
