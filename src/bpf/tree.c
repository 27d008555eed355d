/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/tree.h"

#include "base/mem.h"
#include "bpf/asm.h"

#include <stdlib.h>

struct tree_call *tree_at(struct arena *a, struct tree_table *table, int nr)
{
	struct tree_call **at = &table->bucket[(unsigned)nr % TREE_BUCKETS], *call;

	for (; *at && (*at)->nr <= nr; at = &(*at)->next)
		if ((*at)->nr == nr)
			return *at;
	call = arena_alloc(a, sizeof(*call));
	call->nr = nr;
	call->next = *at;
	*at = call;
	table->n++;
	return call;
}

struct tree_call **tree_sorted(struct arena *a, const struct tree_table *table, size_t *out_n)
{
	struct tree_call **calls = arena_array(a, table->n + 1, sizeof(*calls)), *call;
	size_t n = 0, at;

	/* Numbers that share their high bits come out in order; few have to move. */
	for (size_t i = 0; i < TREE_BUCKETS; i++) {
		for (call = table->bucket[i]; call; call = call->next) {
			if (call->nr < 0)
				continue;
			for (at = n++; at && calls[at - 1]->nr > call->nr; at--)
				calls[at] = calls[at - 1];
			calls[at] = call;
		}
	}
	*out_n = n;
	return calls;
}

static bool same_target(const struct tree_range *x, const struct tree_range *y)
{
	return !x->conds && !y->conds && x->verdict == y->verdict;
}

void tree_range_add(struct arena *a, struct tree_ranges *ranges, struct tree_range range)
{
	struct tree_range *last = ranges->n ? &ranges->range[ranges->n - 1] : NULL;

	if (last && last->first == range.first) {
		ranges->n--; /* nothing was left of it */
		tree_range_add(a, ranges, range);
		return;
	}
	if (last && same_target(last, &range))
		return;
	ranges->range =
		arena_grow(a, ranges->range, ranges->n, &ranges->cap, sizeof(*ranges->range));
	ranges->range[ranges->n++] = range;
}

static unsigned emit_target(struct asm_code *code, const struct tree_range *range)
{
	if (range->conds)
		return cond_emit(code, range->conds, range->verdict);
	return asm_ret(code, range->verdict);
}

/* A single number inside what is otherwise one range: one test for equality does for it. */
static bool is_exception(const struct tree_range *r, size_t from, size_t i, size_t to)
{
	return i > from && i < to && r[i + 1].first - r[i].first == 1 &&
	       same_target(&r[i - 1], &r[i + 1]);
}

/* A range with one or two exceptions? */
static bool is_chain(const struct tree_range *r, size_t from, size_t to)
{
	if (to - from != 2 && to - from != 4)
		return false;
	for (size_t i = from + 1; i < to; i += 2)
		if (!is_exception(r, from, i, to))
			return false;
	return true;
}

struct cut {
	size_t left_end, right; /* the same where a range is cut in two */
	uint32_t number;        /* the first of the right side */
};

/*
 * Where to divide: near the middle, but not between an exception and the range around it. That
 * range may itself be cut, at no cost: each part keeps its exceptions.
 */
static struct cut choose(const struct tree_range *r, size_t from, size_t to)
{
	size_t low = from + 1, high = to, best_score = SIZE_MAX, score, left, right;
	struct cut best = { from, from + 1, r[from + 1].first };

	if (to - from > 8) {
		low = from + (to - from) / 2 - 2;
		high = low + 5;
	}
	for (size_t i = low; i <= high; i++) {
		left = i - from;
		right = to - i + 1;
		score = (left > right ? left - right : right - left);
		if (is_exception(r, from, i, to) || is_exception(r, from, i - 1, to))
			score += 4;
		if (score < best_score) {
			best_score = score;
			best = (struct cut){ i - 1, i, r[i].first };
		}
		if (i == to || is_exception(r, from, i, to) || r[i].conds ||
		    r[i + 1].first - r[i].first < 2)
			continue;
		left++;
		score = (left > right ? left - right : right - left) + 1;
		if (score < best_score) {
			best_score = score;
			best = (struct cut){ i, i, r[i].first + 1 };
		}
	}
	return best;
}

static unsigned emit_search(struct asm_code *code, const struct tree_range *r, size_t from,
			    size_t to)
{
	unsigned label, target;
	struct cut cut;

	if (from == to)
		return emit_target(code, &r[from]);
	if (is_chain(r, from, to)) {
		label = asm_ret(code, r[from].verdict);
		for (size_t i = to; i > from; i -= 2) {
			target = emit_target(code, &r[i - 1]);
			label = asm_jump(code, BPF_JEQ, r[i - 1].first, target, label);
		}
		return label;
	}
	cut = choose(r, from, to);
	target = emit_search(code, r, cut.right, to);
	label = emit_search(code, r, from, cut.left_end);
	return asm_jump(code, BPF_JGE, cut.number, target, label);
}

unsigned tree_emit(struct asm_code *code, const struct tree_ranges *ranges)
{
	return emit_search(code, ranges->range, 0, ranges->n - 1);
}
