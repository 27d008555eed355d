/* SPDX-License-Identifier: Apache-2.0 */
/* What the filter does, asked of the program itself. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"
#include "bpf/abi.h"
#include "bpf/dump.h"
#include "bpf/run.h"
#include "oci/build.h"
#include "oci/explain.h"
#include "oci/spec.h"

#define MAX_ABIS 32

const char *explain_verdict(struct arena *a, uint32_t verdict)
{
	char text[64];
	struct str s = STR_ON(text);

	dump_verdict(&s, verdict);
	return arena_strdup(a, text);
}

const char *explain_call_name(struct arena *a, const struct abi *abi, uint32_t nr)
{
	char *name = seccomp_syscall_resolve_num_arch(abi->token, (int)nr);
	const char *copy = name ? arena_strdup(a, name) : NULL;

	free(name);
	return copy;
}

const struct abi **explain_abis(const struct explain *e, size_t *out_n)
{
	const struct filter_profile *profile = e->sb->seccomp;
	const struct abi **abis = arena_array(e->a, MAX_ABIS, sizeof(*abis));
	size_t n = 0, k;

	if (profile && e->filter.len)
		abis[n++] = abi_native();
	for (size_t i = 0; n && i < profile->n_arches; i++) {
		const struct abi *abi = abi_find(profile->arches[i]);

		for (k = 0; k < n && abis[k] != abi; k++)
			;
		if (k == n && n < MAX_ABIS)
			abis[n++] = abi;
	}
	*out_n = n;
	return abis;
}

/* The word in the accumulator where an instruction begins, as far as the call alone settles it. */
struct state {
	bool reached, known;
	uint32_t value;
};

static void reach(struct state *to, struct state now)
{
	if (!to->reached)
		*to = now;
	else if (!now.known || to->value != now.value)
		to->known = false;
}

static void add_verdict(struct explain_range *r, uint32_t verdict)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->verdicts[i] == verdict)
			return;
	if (r->n < EXPLAIN_VERDICTS)
		r->verdicts[r->n++] = verdict;
}

static bool holds(uint16_t op, uint32_t a, uint32_t k)
{
	switch (op) {
	case BPF_JEQ:
		return a == k;
	case BPF_JGT:
		return a > k;
	case BPF_JGE:
		return a >= k;
	}
	return a & k;
}

/* Where a test leads: one way if the word is known, both if not. */
static void follow_jump(struct state *list, size_t at, const struct sock_filter *insn)
{
	struct state now = list[at];
	bool yes;

	if (BPF_OP(insn->code) == BPF_JA) {
		reach(&list[at + 1 + insn->k], now);
		return;
	}
	yes = holds(BPF_OP(insn->code), now.value, insn->k);
	if (!now.known || yes)
		reach(&list[at + 1 + insn->jt], now);
	if (!now.known || !yes)
		reach(&list[at + 1 + insn->jf], now);
}

/* Jumps only go forward: one pass meets every way to an instruction before it. */
void explain_verdicts(const struct explain *e, const struct seccomp_data *call,
		      struct explain_range *out)
{
	const struct filter *f = &e->filter;
	struct state list[BPF_MAXINSNS + 1];

	memset(list, 0, (f->len + 1u) * sizeof(list[0]));
	out->n = 0;
	list[0].reached = true;
	for (size_t at = 0; at < f->len; at++) {
		const struct sock_filter *insn = &f->code[at];
		struct state now = list[at];

		if (!now.reached)
			continue;
		switch (BPF_CLASS(insn->code)) {
		case BPF_RET:
			add_verdict(out, insn->k);
			continue;
		case BPF_JMP:
			follow_jump(list, at, insn);
			continue;
		case BPF_LD:
			now.known = insn->k == offsetof(struct seccomp_data, nr) ||
				    insn->k == offsetof(struct seccomp_data, arch);
			now.value = insn->k ? call->arch : (uint32_t)call->nr;
			break;
		default:
			now.value &= insn->k;
		}
		reach(&list[at + 1], now);
	}
}

static int ascending(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static bool same_range(const struct explain_range *a, const struct explain_range *b)
{
	return a->arguments == b->arguments && a->n == b->n &&
	       memcmp(a->verdicts, b->verdicts, a->n * sizeof(a->verdicts[0])) == 0;
}

/* x86_64 and x32 share a value of arch, and the numbers. */
static void bounds(const struct abi *abi, uint32_t *first, uint32_t *last)
{
	*first = abi->token == FILTER_ARCH_X32 ? ABI_X32_BIT : 0;
	*last = abi->token == AUDIT_ARCH_X86_64 ? ABI_X32_BIT - 1 : INT32_MAX;
}

/* A verdict can only change at a number that some instruction tests for. */
struct explain_range *explain_ranges(const struct explain *e, const struct abi *abi, size_t *out_n)
{
	const struct filter *f = &e->filter;
	uint32_t *edges = arena_array(e->a, 2u * f->len + 1, sizeof(*edges)), lowest, highest;
	struct explain_range *ranges = arena_array(e->a, 2u * f->len + 1, sizeof(*ranges));
	size_t n_edges = 0, n = 0;

	bounds(abi, &lowest, &highest);
	edges[n_edges++] = lowest;
	for (size_t i = 0; i < f->len; i++) {
		if (BPF_CLASS(f->code[i].code) != BPF_JMP)
			continue;
		edges[n_edges++] = f->code[i].k;
		edges[n_edges++] = f->code[i].k + 1;
	}
	qsort(edges, n_edges, sizeof(*edges), ascending);
	for (size_t i = 0; i < n_edges; i++) {
		struct seccomp_data call = { .nr = (int)edges[i], .arch = abi->audit };
		struct explain_range *r = &ranges[n];
		struct run run;

		if (edges[i] < lowest || edges[i] > highest)
			continue;
		*r = (struct explain_range){ .first = edges[i], .last = highest };
		run = run_program(f->code, f->len, &call, NULL);
		r->arguments = run.read_argument;
		r->steps = run.executed;
		explain_verdicts(e, &call, r);
		/* every call whose arguments matter has a row of its own: its rules are its own */
		if (n && (r->first == r[-1].first || (!r->arguments && same_range(r, r - 1))))
			continue;
		if (n)
			r[-1].last = r->first - 1;
		n++;
	}
	*out_n = n;
	return ranges;
}

static bool condition_holds(const struct spec_seccomp_arg *arg, const struct abi *abi,
			    const struct seccomp_data *call)
{
	uint64_t mask = abi->layout.wide ? UINT64_MAX : UINT32_MAX;
	uint64_t is = call->args[arg->index] & mask, value = arg->value & mask;
	enum filter_op op;

	if (!filter_op_of(arg->op, &op))
		return false;
	switch (op) {
	case FILTER_NE:
		return is != value;
	case FILTER_LT:
		return is < value;
	case FILTER_LE:
		return is <= value;
	case FILTER_EQ:
		return is == value;
	case FILTER_GE:
		return is >= value;
	case FILTER_GT:
		return is > value;
	case FILTER_MASKED_EQ:
		return (is & value) == (arg->value_two & mask);
	}
	return false;
}

/* Conditions are joined by AND, but those of a rule that tests one argument twice by OR. */
static bool rule_matches(const struct spec_syscall *rule, const struct abi *abi,
			 const struct seccomp_data *call)
{
	unsigned seen = 0, twice = 0;
	size_t hold = 0;

	for (size_t i = 0; i < rule->n_args; i++) {
		twice |= seen & 1u << rule->args[i].index;
		seen |= 1u << rule->args[i].index;
		hold += condition_holds(&rule->args[i], abi, call);
	}
	return twice ? hold > 0 : hold == rule->n_args;
}

static bool names_call(const struct spec_syscall *rule, const struct abi *abi, int nr)
{
	for (size_t i = 0; rule->names && rule->names[i]; i++)
		if (seccomp_syscall_resolve_name_rewrite(abi->token, rule->names[i]) == nr ||
		    seccomp_syscall_resolve_name_arch(abi->token, rule->names[i]) == nr)
			return true;
	return false;
}

/* A rule without conditions decides before those that have some. */
const char *explain_seccomp_rule(const struct explain *e, const struct abi *abi,
				 const struct seccomp_data *call, uint32_t verdict, bool arguments)
{
	const struct spec_seccomp *c = e->spec->seccomp;
	size_t found = SIZE_MAX;
	uint32_t given;

	if (!c || !e->sb->seccomp)
		return NULL;
	for (size_t i = 0; i < c->n_syscalls; i++) {
		const struct spec_syscall *rule = &c->syscalls[i];

		if (!build_verdict(rule->action, rule->errno_ret, &given) || given != verdict ||
		    !names_call(rule, abi, call->nr) ||
		    (arguments && !rule_matches(rule, abi, call)))
			continue;
		if (found == SIZE_MAX || (!rule->n_args && c->syscalls[found].n_args))
			found = i;
	}
	if (found != SIZE_MAX)
		return arena_printf(e->a, "linux.seccomp.syscalls[%zu]", found);
	return "linux.seccomp.defaultAction";
}

/* The names of one rule that libseccomp does not know here. */
static const char *unknown_names(struct arena *a, const struct spec_syscall *rule)
{
	const char *list = NULL;

	for (size_t i = 0; rule->names && rule->names[i]; i++)
		if (seccomp_syscall_resolve_name(rule->names[i]) == __NR_SCMP_ERROR)
			list = list ? arena_printf(a, "%s %s", list, rule->names[i])
				    : rule->names[i];
	return list;
}

static const char *conditions(struct arena *a, const struct spec_syscall *rule)
{
	const char *text = "";

	for (size_t i = 0; i < rule->n_args; i++) {
		const struct spec_seccomp_arg *arg = &rule->args[i];
		const char *op = arg->op + strlen("SCMP_CMP_");
		const char *sign = i ? "," : " if";

		if (strcmp(op, "MASKED_EQ") == 0)
			text = arena_printf(a, "%s%s argument %u & %#llx == %#llx", text, sign,
					    arg->index, (unsigned long long)arg->value,
					    (unsigned long long)arg->value_two);
		else
			text = arena_printf(a, "%s%s argument %u %s %llu", text, sign, arg->index,
					    op, (unsigned long long)arg->value);
	}
	return text;
}

#define NAMES_SHOWN 5

/* "clone" or "accept, bind, brk and 310 more" */
static const char *call_names(struct arena *a, const struct spec_syscall *rule)
{
	const char *text = "";
	size_t n = 0;

	while (rule->names && rule->names[n])
		n++;
	for (size_t i = 0; i < n && (i < NAMES_SHOWN || n == NAMES_SHOWN + 1); i++)
		text = arena_printf(a, "%s%s%s", text, i ? ", " : "", rule->names[i]);
	return n > NAMES_SHOWN + 1 ? arena_printf(a, "%s and %zu more", text, n - NAMES_SHOWN)
				   : text;
}

static bool denies(uint32_t verdict)
{
	return (verdict & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_ALLOW &&
	       (verdict & SECCOMP_RET_ACTION_FULL) != SECCOMP_RET_LOG;
}

static void add_rule(struct explain_list *l, size_t i)
{
	struct arena *a = l->e->a;
	const struct spec_syscall *rule = &l->e->spec->seccomp->syscalls[i];
	const char *where = arena_printf(a, "linux.seccomp.syscalls[%zu]", i);
	uint32_t otherwise = l->e->sb->seccomp->default_verdict, verdict = 0;
	const char *unknown = unknown_names(a, rule), *note = "", *missing = NULL;

	build_verdict(rule->action, rule->errno_ret, &verdict);
	if (verdict == otherwise)
		note = "; as by default: no instruction";
	else if (unknown && denies(verdict) && !denies(otherwise))
		missing = arena_printf(a, "libseccomp does not know %s: not denied", unknown);
	else if (unknown)
		note = arena_printf(a, "; libseccomp does not know %s", unknown);
	explain_add(l, where, 1u << KEPT_SECCOMP, "%s for %s%s%s", explain_verdict(a, verdict),
		    call_names(a, rule), conditions(a, rule), note)
		->missing = missing;
}

void explain_add_seccomp(struct explain_list *l)
{
	struct explain *e = l->e;
	const struct spec_seccomp *c = e->spec->seccomp;
	const unsigned kept = 1u << KEPT_SECCOMP;
	const char *names = "";
	const struct abi **abis;
	size_t n;

	if (!e->filter.len) {
		explain_add(l, "linux.seccomp", 0, "no filter: every call is allowed");
		return;
	}
	explain_add(l, "linux.seccomp.defaultAction", kept, "%s for every call without a rule%s",
		    explain_verdict(e->a, e->sb->seccomp->default_verdict),
		    e->sb->seccomp->enosys_stub ? "; ENOSYS for those newer than any it names"
						: "");
	abis = explain_abis(e, &n);
	for (size_t i = 0; i < n; i++)
		names = arena_printf(e->a, "%s%s%s", names, i ? ", " : "",
				     abis[i]->name + strlen("SCMP_ARCH_"));
	explain_add(l, "linux.seccomp.architectures", kept,
		    "%s, in %u instructions; KILL_THREAD for calls of any other", names,
		    e->filter.len);
	for (size_t i = 0; i < c->n_syscalls; i++)
		add_rule(l, i);
	if (e->sb->seccomp_listener)
		explain_add(l, "linux.seccomp.listenerPath", 0, "who listens at %s decides",
			    e->sb->seccomp_listener);
}
