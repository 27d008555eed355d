/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/cond.h"

#include "base/mem.h"
#include "bpf/asm.h"
#include "bpf/filter.h"

#include <errno.h>
#include <linux/seccomp.h>

struct exit {
	enum { EXIT_NONE, EXIT_VERDICT, EXIT_LEVEL } to;
	uint32_t verdict;
	struct cond *level;
};

struct cond {
	uint8_t arg;
	bool high;
	uint8_t test; /* BPF_JEQ, BPF_JGT or BPF_JGE */
	enum filter_op op;
	uint32_t mask, value;
	uint64_t bound; /* both halves of the first condition it came from */
	struct exit yes, no;
	struct cond *next;
	bool done[2];      /* assembled, without and with its argument in the accumulator, */
	uint16_t label[2]; /* at these labels */
};

struct cond_rule {
	struct cond_rule *next;
	uint32_t verdict;
	size_t n;
	struct filter_arg args[];
};

/* A rule on its way into the tree: what is left of its conditions. */
struct rule {
	struct arena *arena;
	struct cond_set *set;
	const struct filter_arg *args;
	size_t n;
	uint32_t verdict;
	bool wide;
};

static int add_rest(struct rule rule, struct exit *exit);
static int add_side(struct rule rule, struct exit *exit, bool narrower);

static uint64_t mask_of(const struct filter_arg *arg, bool wide)
{
	uint64_t mask = arg->op == FILTER_MASKED_EQ ? arg->value : UINT64_MAX;

	return wide ? mask : (uint32_t)mask;
}

bool cond_always(const struct filter_arg *args, size_t n, struct cond_layout layout)
{
	for (size_t i = 0; i < n; i++)
		if (mask_of(&args[i], layout.wide) != 0)
			return false;
	return true;
}

static struct cond test_of(const struct filter_arg *arg, bool high, uint8_t test)
{
	uint64_t mask = mask_of(arg, true), value;
	unsigned shift = high ? 32 : 0;

	value = (arg->op == FILTER_MASKED_EQ ? arg->value_two : arg->value) & mask;
	return (struct cond){
		.arg = arg->index,
		.high = high,
		.test = test,
		.op = arg->op,
		.mask = mask >> shift,
		.value = value >> shift,
		.bound = value,
	};
}

static bool same(const struct cond *x, const struct cond *y)
{
	return x->arg == y->arg && x->high == y->high && x->test == y->test &&
	       (x->op == FILTER_MASKED_EQ) == (y->op == FILTER_MASKED_EQ) && x->mask == y->mask &&
	       x->value == y->value;
}

static int rank(const struct cond *c)
{
	static const uint8_t by_op[] = {
		[FILTER_GT] = 1, [FILTER_GE] = 1, [FILTER_LT] = 2,        [FILTER_LE] = 2,
		[FILTER_EQ] = 3, [FILTER_NE] = 3, [FILTER_MASKED_EQ] = 3,
	};

	return by_op[c->op];
}

static bool comes_before(const struct cond *x, const struct cond *y)
{
	if (x->arg != y->arg)
		return x->arg > y->arg;
	if (x->high != y->high)
		return x->high;
	if (rank(x) != rank(y))
		return rank(x) > rank(y);
	if (y->op == FILTER_LT || y->op == FILTER_LE)
		return x->value < y->value;
	return x->value > y->value;
}

/* The test in its level: the one that is there, or put in at its place. */
static struct cond *place(struct rule *rule, struct cond **level, struct cond test)
{
	struct cond **at = level, *c;

	for (; *at; at = &(*at)->next) {
		if (same(*at, &test))
			return *at;
		if (comes_before(&test, *at))
			break;
	}
	c = arena_memdup(rule->arena, &test, sizeof(test));
	c->next = *at;
	*at = c;
	rule->set->n_tests++;
	return c;
}

/* Checks that a tree has no other verdict than this one. */
static bool all_give(const struct cond *level, uint32_t verdict)
{
	const struct exit *exit;

	for (; level; level = level->next) {
		for (int i = 0; i < 2; i++) {
			exit = i ? &level->yes : &level->no;
			if (exit->to == EXIT_VERDICT && exit->verdict != verdict)
				return false;
			if (exit->to == EXIT_LEVEL && !all_give(exit->level, verdict))
				return false;
		}
	}
	return true;
}

static struct cond **level_of(struct exit *exit)
{
	exit->to = EXIT_LEVEL;
	return &exit->level;
}

static int add_narrow(struct rule rule, const struct filter_arg *arg, struct cond **level)
{
	static const uint8_t tests[] = {
		[FILTER_NE] = BPF_JEQ, [FILTER_EQ] = BPF_JEQ, [FILTER_MASKED_EQ] = BPF_JEQ,
		[FILTER_LT] = BPF_JGE, [FILTER_GE] = BPF_JGE, [FILTER_LE] = BPF_JGT,
		[FILTER_GT] = BPF_JGT,
	};
	bool negated = arg->op == FILTER_NE || arg->op == FILTER_LT || arg->op == FILTER_LE;
	struct cond *low = place(&rule, level, test_of(arg, false, tests[arg->op]));

	return add_rest(rule, negated ? &low->no : &low->yes);
}

/* equal: the high half is, and the low one too. Not equal: the high half differs, or the low. */
static int add_equal(struct rule rule, const struct filter_arg *arg, struct cond **level)
{
	struct cond *high = place(&rule, level, test_of(arg, true, BPF_JEQ)), *low;
	int ret;

	if (arg->op == FILTER_NE) {
		ret = add_side(rule, &high->no, false);
		if (ret < 0)
			return ret;
	}
	if (high->yes.to == EXIT_VERDICT)
		return 0;
	low = place(&rule, level_of(&high->yes), test_of(arg, false, BPF_JEQ));
	return add_rest(rule, arg->op == FILTER_NE ? &low->no : &low->yes);
}

/* The high half decides unless it is equal; then the low one does. */
static int add_order(struct rule rule, const struct filter_arg *arg, struct cond **level)
{
	bool below = arg->op == FILTER_LT || arg->op == FILTER_LE;
	bool strict = arg->op == FILTER_GT || arg->op == FILTER_LE;
	struct cond *above = place(&rule, level, test_of(arg, true, BPF_JGT)), *equal, *low;
	int ret = 0;

	if (!below)
		ret = add_side(rule, &above->yes, arg->value > above->bound);
	if (ret < 0 || above->no.to == EXIT_VERDICT)
		return ret;
	equal = place(&rule, level_of(&above->no), test_of(arg, true, BPF_JEQ));
	if (below)
		ret = add_side(rule, &equal->no, false);
	if (ret < 0 || equal->yes.to == EXIT_VERDICT)
		return ret;
	low = place(&rule, level_of(&equal->yes), test_of(arg, false, strict ? BPF_JGT : BPF_JGE));
	return add_rest(rule, below ? &low->no : &low->yes);
}

/*
 * The exit where the high half decided already. Conditions that differ in the low half only meet
 * here, which is no conflict: of two verdicts the narrower condition's stays.
 */
static int add_side(struct rule rule, struct exit *exit, bool narrower)
{
	bool last = cond_always(rule.args, rule.n, (struct cond_layout){ .wide = rule.wide });

	if (exit->to != EXIT_VERDICT || !last)
		return add_rest(rule, exit);
	if (narrower)
		exit->verdict = rule.verdict;
	return 0;
}

static int add_level(struct rule rule, struct cond **level)
{
	const struct filter_arg *arg = rule.args++;

	rule.n--;
	if (!rule.wide)
		return add_narrow(rule, arg, level);
	if (arg->op == FILTER_EQ || arg->op == FILTER_NE || arg->op == FILTER_MASKED_EQ)
		return add_equal(rule, arg, level);
	return add_order(rule, arg, level);
}

static int add_rest(struct rule rule, struct exit *exit)
{
	while (rule.n && mask_of(rule.args, rule.wide) == 0)
		rule.args++, rule.n--;
	if (rule.n)
		return exit->to == EXIT_VERDICT ? 0 : add_level(rule, level_of(exit));
	if (exit->to == EXIT_VERDICT)
		return exit->verdict == rule.verdict ? 0 : -EEXIST;
	if (exit->to == EXIT_LEVEL && !all_give(exit->level, rule.verdict))
		return -EEXIST;
	exit->to = EXIT_VERDICT;
	exit->verdict = rule.verdict;
	return 0;
}

static int insert(struct arena *a, struct cond_set *set, const struct cond_rule *r)
{
	struct exit top = { .to = set->first ? EXIT_LEVEL : EXIT_NONE, .level = set->first };
	struct rule rule = { a, set, r->args, r->n, r->verdict, set->layout.wide };
	int ret = add_rest(rule, &top);

	set->first = top.level;
	return ret;
}

static bool same_condition(const struct filter_arg *x, const struct filter_arg *y, bool wide)
{
	struct cond a = test_of(x, false, 0), b = test_of(y, false, 0);

	if (x->index != y->index || x->op != y->op || a.mask != b.mask || a.value != b.value)
		return false;
	a = test_of(x, true, 0);
	b = test_of(y, true, 0);
	return !wide || (a.mask == b.mask && a.value == b.value);
}

/* True if every condition of x is one of y's: what y matches, x does. */
static bool covers(const struct cond_rule *x, const struct cond_rule *y, bool wide)
{
	size_t i = 0;

	for (size_t j = 0; i < x->n && j < y->n; j++)
		i += same_condition(&x->args[i], &y->args[j], wide);
	return i == x->n;
}

static int rebuild(struct arena *a, struct cond_set *set)
{
	int ret = 0;

	set->first = NULL;
	set->n_tests = 0;
	for (const struct cond_rule *r = set->rules; ret == 0 && r; r = r->next)
		ret = insert(a, set, r);
	return ret;
}

int cond_add(struct arena *a, struct cond_set *set, const struct filter_arg *args, size_t n,
	     uint32_t verdict)
{
	struct cond_rule *r = arena_alloc(a, sizeof(*r) + n * sizeof(*args)), **at = &set->rules;
	bool wide = set->layout.wide, dropped = false, same;
	int ret = 0;

	r->verdict = verdict;
	for (size_t i = 0; i < n; i++)
		if (mask_of(&args[i], wide) != 0)
			r->args[r->n++] = args[i];
	while (*at) {
		same = (*at)->verdict == r->verdict;
		if (covers(*at, r, wide) && (same || (*at)->n < r->n))
			return 0;
		if (same && covers(r, *at, wide)) {
			*at = (*at)->next;
			dropped = true;
		} else {
			at = &(*at)->next;
		}
	}
	if (dropped)
		ret = rebuild(a, set);
	*at = r;
	return ret < 0 ? ret : insert(a, set, r);
}

/* Where a level goes on when none of its tests matched: behind the test it hangs on. */
struct frame {
	const struct frame *up;
	struct cond *owner;
	bool from_no;
};

struct emitter {
	struct asm_code *code;
	uint32_t otherwise;
	struct cond_layout layout;
};

#define NOTHING UINT32_MAX /* no argument is in the accumulator */

static unsigned emit_from(struct emitter *e, struct cond *c, const struct frame *up, uint32_t held);

static unsigned emit_exit(struct emitter *e, struct cond *c, bool yes, const struct frame *up,
			  uint32_t held)
{
	const struct exit *exit = yes ? &c->yes : &c->no;
	struct frame frame = { up, c, !yes };

	if (exit->to == EXIT_VERDICT)
		return asm_ret(e->code, exit->verdict);
	if (exit->to == EXIT_LEVEL)
		return emit_from(e, exit->level, &frame, held);
	return emit_from(e, c->next, up, held);
}

static uint32_t offset_of(const struct cond *c, struct cond_layout layout)
{
	return offsetof(struct seccomp_data, args) + 8 * c->arg +
	       (c->high != layout.big_endian ? 4 : 0);
}

/* What a test gives without looking: 1 or 0, or -1 where the argument decides. */
static int foregone(const struct cond *c, const struct frame *up)
{
	const struct cond *above = up ? up->owner : NULL;

	if (c->mask == 0)
		return c->value == 0;
	if (c->test == BPF_JGT && c->value == UINT32_MAX)
		return 0;
	if (c->test == BPF_JGE && c->value == 0)
		return 1;
	if (c->test == BPF_JEQ && c->mask == UINT32_MAX && c->value == 0 && above && up->from_no &&
	    above->arg == c->arg && above->high == c->high && above->test == BPF_JGT &&
	    above->value == 0)
		return 1;
	return -1;
}

/* The test itself, its argument being in the accumulator. */
static unsigned emit_test(struct emitter *e, struct cond *c, const struct frame *up, uint32_t held)
{
	bool set = c->value == c->mask && (c->mask & (c->mask - 1)) == 0, clear = c->value == 0;
	bool masked = c->mask != UINT32_MAX, bits = masked && (set || clear);
	unsigned yes, no;

	if (masked && !bits)
		held = NOTHING;
	yes = emit_exit(e, c, true, up, held);
	no = emit_exit(e, c, false, up, held);
	if (bits)
		return asm_jump(e->code, BPF_JSET, c->mask, clear ? no : yes, clear ? yes : no);
	if (yes == no)
		return yes;
	yes = asm_jump(e->code, c->test, c->value, yes, no);
	return masked ? asm_and(e->code, c->mask, yes) : yes;
}

static unsigned emit_from(struct emitter *e, struct cond *c, const struct frame *up, uint32_t held)
{
	uint32_t offset;
	int known;
	bool loaded;

	if (e->code->full)
		return 0;
	if (!c)
		return up ? emit_from(e, up->owner->next, up->up, held)
			  : asm_ret(e->code, e->otherwise);
	known = foregone(c, up);
	if (known >= 0)
		return emit_exit(e, c, known, up, held);
	offset = offset_of(c, e->layout);
	loaded = held == offset;
	if (!c->done[1]) {
		c->label[1] = emit_test(e, c, up, offset);
		c->done[1] = true;
	}
	if (loaded)
		return c->label[1];
	if (!c->done[0]) {
		c->label[0] = asm_is_ret(e->code, c->label[1])
				      ? c->label[1]
				      : asm_load(e->code, offset, c->label[1]);
		c->done[0] = true;
	}
	return c->label[0];
}

unsigned cond_emit(struct asm_code *code, const struct cond_set *set, uint32_t otherwise)
{
	struct emitter e = { code, otherwise, set->layout };

	return emit_from(&e, set->first, NULL, NOTHING);
}
