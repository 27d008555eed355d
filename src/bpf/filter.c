/* SPDX-License-Identifier: Apache-2.0 */
/* From a profile to the table of each architecture, and from those to one program. */
#include "bpf/filter.h"

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "bpf/abi.h"
#include "bpf/asm.h"
#include "bpf/tree.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <string.h>

#define MAX_ABIS 32
#define N_ARGS 6

/* One architecture of the profile. */
struct part {
	const struct abi *abi;
	struct tree_table calls;
	int newest; /* the highest number that any rule names, 0 for none */
};

struct build {
	struct arena *arena;
	const struct filter_profile *profile;
	struct part *part[MAX_ABIS];
	size_t n_parts;
};

/* One alternative of a rule, ready for the table: arguments ascend, each at most once. */
struct variant {
	unsigned rule;
	const char *name;
	struct filter_arg args[N_ARGS];
	size_t n;
	uint32_t verdict;
};

static bool is_denial(uint32_t verdict)
{
	switch (verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_KILL_PROCESS:
	case SECCOMP_RET_KILL_THREAD:
	case SECCOMP_RET_TRAP:
	case SECCOMP_RET_ERRNO:
		return true;
	}
	return false;
}

static bool notifies(uint32_t verdict)
{
	return (verdict & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF;
}

/* Data goes with two actions; the kernel cuts an errno at 4095, libseccomp takes less only. */
static bool is_verdict(uint32_t verdict)
{
	uint32_t data = verdict & SECCOMP_RET_DATA;

	switch (verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ERRNO:
		return data < 4095;
	case SECCOMP_RET_TRACE:
		return true;
	case SECCOMP_RET_USER_NOTIF:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_ALLOW:
		return data == 0;
	}
	return is_denial(verdict) && data == 0;
}

/* Two rules without arguments: the first one counts, but nobody means both of these. */
static int check_twice(const struct tree_call *call, const struct variant *v)
{
	uint32_t notify = notifies(v->verdict) ? v->verdict : call->verdict;
	uint32_t other = notify == v->verdict ? call->verdict : v->verdict;

	if (notifies(notify) && is_denial(other))
		return fail(EINVAL,
			    "seccomp rules %u and %u both decide %s, one notifies and one denies: "
			    "remove it from one of them",
			    call->first_rule, v->rule, v->name);
	return 0;
}

static int add_call(struct build *b, struct part *part, int nr, const struct variant *v)
{
	struct tree_call *call = tree_at(b->arena, &part->calls, nr);
	int ret;

	if (!call->name) {
		call->name = v->name;
		call->first_rule = v->rule;
	}
	if (cond_always(v->args, v->n, part->abi->layout)) {
		if (call->constant)
			return check_twice(call, v);
		call->constant = true;
		call->verdict = v->verdict;
		call->first_rule = call->last_rule = v->rule;
		return 0;
	}
	if (call->constant)
		return 0;
	if (!call->conds) {
		call->conds = arena_alloc(b->arena, sizeof(*call->conds));
		call->conds->layout = part->abi->layout;
	}
	ret = cond_add(b->arena, call->conds, v->args, v->n, v->verdict);
	if (ret < 0)
		return fail(EINVAL,
			    "seccomp rule %u gives %s with the same argument conditions another "
			    "action than a rule before it (the first for %s is %u)",
			    v->rule, v->name, v->name, call->first_rule);
	call->last_rule = v->rule;
	return 0;
}

/* The multiplexer tells its calls by the first argument, which takes the place of a condition. */
static int add_muxed(struct build *b, struct part *part, int mux_nr, int number,
		     const struct variant *v)
{
	struct variant muxed = *v;
	size_t skip = v->n && v->args[0].index == 0;

	muxed.args[0] = (struct filter_arg){ .op = FILTER_EQ, .value = number };
	memcpy(&muxed.args[1], &v->args[skip], (v->n - skip) * sizeof(v->args[0]));
	muxed.n = v->n - skip + 1;
	return add_call(b, part, mux_nr, &muxed);
}

static int add_variant(struct build *b, struct part *part, int nr, const struct variant *v)
{
	int mux_nr, number, direct, ret;

	if (abi_mux(part->abi, nr, &mux_nr, &number, &direct)) {
		ret = add_muxed(b, part, mux_nr, number, v);
		return ret < 0 ? ret : add_call(b, part, direct, v);
	}
	if (nr < 0 && part->abi->mux >= 0)
		return 0;
	return add_call(b, part, nr, v);
}

static bool repeats_index(const struct filter_rule *rule)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rule->n_args; i++) {
		if (seen & 1u << rule->args[i].index)
			return true;
		seen |= 1u << rule->args[i].index;
	}
	return false;
}

static void sort_args(struct variant *v)
{
	struct filter_arg arg;
	size_t at;

	for (size_t i = 1; i < v->n; i++) {
		arg = v->args[i];
		for (at = i; at && v->args[at - 1].index > arg.index; at--)
			v->args[at] = v->args[at - 1];
		v->args[at] = arg;
	}
}

/* Conditions on one argument cannot be joined by AND in libseccomp: runc and crun join all by
 * OR. */
static int add_rule(struct build *b, struct part *part, unsigned index, const char *name, int nr)
{
	const struct filter_rule *rule = &b->profile->rules[index];
	struct variant v = { .rule = index, .name = name, .verdict = rule->verdict };
	int ret = 0;

	if (rule->n_args && repeats_index(rule)) {
		v.n = 1;
		for (size_t i = 0; ret == 0 && i < rule->n_args; i++) {
			v.args[0] = rule->args[i];
			ret = add_variant(b, part, nr, &v);
		}
		return ret;
	}
	v.n = rule->n_args;
	if (v.n)
		memcpy(v.args, rule->args, v.n * sizeof(v.args[0]));
	sort_args(&v);
	return add_variant(b, part, nr, &v);
}

static int read_rules(struct build *b, struct part *part)
{
	const struct filter_profile *profile = b->profile;
	const struct filter_rule *rule;
	int nr, ret;

	for (size_t i = 0; i < profile->n_rules; i++) {
		rule = &profile->rules[i];
		for (size_t j = 0; j < rule->n_names; j++) {
			nr = seccomp_syscall_resolve_name_arch(part->abi->token, rule->names[j]);
			if (nr == __NR_SCMP_ERROR && profile->fail_unknown)
				return fail(EINVAL, "seccomp rule %zu: unknown system call \"%s\"",
					    i, rule->names[j]);
			if (nr == __NR_SCMP_ERROR)
				continue;
			if (nr > part->newest)
				part->newest = nr;
			if (rule->verdict == profile->default_verdict)
				continue;
			ret = add_rule(b, part, i, rule->names[j], nr);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static int check_rule(const struct filter_profile *profile, size_t i)
{
	const struct filter_rule *rule = &profile->rules[i];

	if (!is_verdict(rule->verdict))
		return fail(EINVAL, "seccomp rule %zu: %#x is no action with a value it may have",
			    i, rule->verdict);
	for (size_t j = 0; j < rule->n_args; j++) {
		if (rule->args[j].index >= N_ARGS)
			return fail(EINVAL,
				    "seccomp rule %zu: argument index %u, a call has 0 to %d", i,
				    rule->args[j].index, N_ARGS - 1);
		if ((unsigned)rule->args[j].op > FILTER_MASKED_EQ)
			return fail(EINVAL, "seccomp rule %zu: %u is no operator", i,
				    rule->args[j].op);
	}
	return 0;
}

static int check_profile(const struct filter_profile *profile)
{
	int ret;

	if (!is_verdict(profile->default_verdict))
		return fail(EINVAL,
			    "seccomp: the default %#x is no action with a value it may have",
			    profile->default_verdict);
	if (notifies(profile->default_verdict))
		return fail(EINVAL, "seccomp: the default action cannot be SCMP_ACT_NOTIFY: the "
				    "one who answers would itself wait for an answer");
	for (size_t i = 0; i < profile->n_rules; i++) {
		ret = check_rule(profile, i);
		if (ret < 0)
			return ret;
	}
	return 0;
}

static int add_part(struct build *b, const struct abi *abi)
{
	for (size_t i = 0; i < b->n_parts; i++)
		if (b->part[i]->abi == abi)
			return 0;
	if (b->n_parts && abi->layout.big_endian != b->part[0]->abi->layout.big_endian)
		return fail(EINVAL, "seccomp: %s has another byte order than this machine (%s)",
			    abi->name, b->part[0]->abi->name);
	b->part[b->n_parts] = arena_alloc(b->arena, sizeof(*b->part[0]));
	b->part[b->n_parts++]->abi = abi;
	return 0;
}

static int choose_parts(struct build *b)
{
	const struct filter_profile *profile = b->profile;
	const struct abi *abi = abi_native();
	int ret;

	if (!abi)
		return fail(EINVAL, "seccomp: this machine's architecture is not known");
	ret = add_part(b, abi);
	for (size_t i = 0; ret == 0 && i < profile->n_arches; i++) {
		abi = abi_find(profile->arches[i]);
		if (!abi)
			return fail(EINVAL, "seccomp: unknown architecture %#x",
				    profile->arches[i]);
		ret = add_part(b, abi);
	}
	return ret;
}

/* Whether a call newer than the profile gets ENOSYS, so that the C library falls back. */
static bool wants_enosys(const struct filter_profile *profile)
{
	switch (profile->default_verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_TRACE:
		return false;
	}
	return profile->enosys_stub &&
	       profile->default_verdict != (SECCOMP_RET_ERRNO | (ENOSYS & SECCOMP_RET_DATA));
}

static void add_range(struct build *b, struct tree_ranges *ranges, uint32_t first, uint32_t verdict)
{
	tree_range_add(b->arena, ranges, (struct tree_range){ first, verdict, NULL });
}

/* The numbers of one architecture, from `first` on. */
static void add_numbers(struct build *b, struct part *part, uint32_t first,
			struct tree_ranges *ranges)
{
	const uint32_t enosys = SECCOMP_RET_ERRNO | ENOSYS;
	uint32_t otherwise = b->profile->default_verdict, nr;
	struct tree_call **calls;
	size_t n;

	add_range(b, ranges, first, otherwise);
	calls = tree_sorted(b->arena, &part->calls, &n);
	for (size_t i = 0; i < n; i++) {
		nr = calls[i]->nr;
		if (calls[i]->constant)
			add_range(b, ranges, nr, calls[i]->verdict);
		else
			tree_range_add(b->arena, ranges,
				       (struct tree_range){ nr, otherwise, calls[i]->conds });
		add_range(b, ranges, nr + 1, otherwise);
	}
	if (part->newest && wants_enosys(b->profile))
		add_range(b, ranges, part->newest + 1, enosys);
}

static struct part *part_of(struct build *b, uint32_t token)
{
	for (size_t i = 0; i < b->n_parts; i++)
		if (b->part[i]->abi->token == token)
			return b->part[i];
	return NULL;
}

/*
 * x86_64 and x32 are one architecture to the kernel. What is not listed is treated as a foreign
 * architecture; -1 is no call but what a tracer writes to skip one.
 */
static void add_numbers_x86_64(struct build *b, struct tree_ranges *ranges)
{
	struct part *x86_64 = part_of(b, SCMP_ARCH_X86_64), *x32 = part_of(b, FILTER_ARCH_X32);

	if (x86_64)
		add_numbers(b, x86_64, 0, ranges);
	else
		add_range(b, ranges, 0, SECCOMP_RET_KILL_THREAD);
	if (x32) {
		add_numbers(b, x32, ABI_X32_BIT, ranges);
		return;
	}
	add_range(b, ranges, ABI_X32_BIT, SECCOMP_RET_KILL_THREAD);
	add_range(b, ranges, UINT32_MAX, b->profile->default_verdict);
}

static unsigned emit_arch(struct build *b, struct asm_code *code, const struct abi *abi)
{
	struct tree_ranges ranges = { 0 };

	if (abi->audit == SCMP_ARCH_X86_64)
		add_numbers_x86_64(b, &ranges);
	else
		add_numbers(b, part_of(b, abi->token), 0, &ranges);
	return asm_load(code, offsetof(struct seccomp_data, nr), tree_emit(code, &ranges));
}

/* True if an earlier part has the same AUDIT_ARCH_*, and its program is this one's as well. */
static bool emitted_before(const struct build *b, size_t i)
{
	for (size_t j = 0; j < i; j++)
		if (b->part[j]->abi->audit == b->part[i]->abi->audit)
			return true;
	return false;
}

/* From the end: each architecture's search, then the tests for the architecture. */
static unsigned emit_all(struct build *b, struct asm_code *code)
{
	unsigned entry[MAX_ABIS], label = asm_ret(code, SECCOMP_RET_KILL_THREAD);

	for (size_t i = b->n_parts; i-- > 0;)
		if (!emitted_before(b, i))
			entry[i] = emit_arch(b, code, b->part[i]->abi);
	for (size_t i = b->n_parts; i-- > 0;)
		if (!emitted_before(b, i))
			label = asm_jump(code, BPF_JEQ, b->part[i]->abi->audit, entry[i], label);
	return asm_load(code, offsetof(struct seccomp_data, arch), label);
}

static size_t n_tests(const struct tree_call *call)
{
	return call->conds ? call->conds->n_tests : 0;
}

/* Names the calls with the most tests: what to cut. */
static int too_long(struct build *b)
{
	const struct tree_call *top[3] = { NULL }, *call;
	char text[400];
	struct str s = STR_ON(text);

	for (size_t i = 0; i < b->n_parts * TREE_BUCKETS; i++) {
		call = b->part[i / TREE_BUCKETS]->calls.bucket[i % TREE_BUCKETS];
		for (; call; call = call->next) {
			size_t at = 3;

			while (at && (!top[at - 1] || n_tests(top[at - 1]) < n_tests(call)))
				at--;
			if (at == 3 || !n_tests(call))
				continue;
			memmove(&top[at + 1], &top[at], (2 - at) * sizeof(top[0]));
			top[at] = call;
		}
	}
	for (size_t i = 0; i < 3 && top[i]; i++)
		str_addf(&s, "%s%s (rules %u to %u, %zu tests)", i ? ", " : "", top[i]->name,
			 top[i]->first_rule, top[i]->last_rule, n_tests(top[i]));
	return fail(E2BIG,
		    "seccomp: the rules need more than the kernel's %d BPF instructions; "
		    "the largest are those for %s",
		    BPF_MAXINSNS, text);
}

/* A test is one instruction at least: no need to assemble what cannot fit. */
static bool hopeless(const struct build *b)
{
	const struct tree_call *call;

	for (size_t i = 0; i < b->n_parts * TREE_BUCKETS; i++)
		for (call = b->part[i / TREE_BUCKETS]->calls.bucket[i % TREE_BUCKETS]; call;
		     call = call->next)
			if (call->nr >= 0 && !call->constant && n_tests(call) > 4 * BPF_MAXINSNS)
				return true;
	return false;
}

int filter_build(struct arena *a, const struct filter_profile *profile, struct filter *out)
{
	struct build *b = arena_alloc(a, sizeof(*b));
	struct asm_code *code = arena_alloc(a, sizeof(*code));
	const struct sock_filter *program;
	struct filter filter = { 0 };
	int ret;

	b->arena = a;
	b->profile = profile;
	ret = check_profile(profile);
	if (ret == 0)
		ret = choose_parts(b);
	for (size_t i = 0; ret == 0 && i < b->n_parts; i++)
		ret = read_rules(b, b->part[i]);
	if (ret < 0)
		return ret;
	if (hopeless(b))
		return too_long(b);
	program = asm_finish(code, emit_all(b, code), &filter.len);
	if (code->full)
		return too_long(b);
	filter.code = (struct sock_filter *)program;
	for (unsigned i = 0; i < filter.len; i++)
		if (BPF_CLASS(program[i].code) == BPF_RET && notifies(program[i].k))
			filter.notifies = true;
	*out = filter;
	return 0;
}
