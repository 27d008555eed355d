/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/seccomp.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/build_priv.h"

bool build_verdict(const char *name, struct opt_i64 value, uint32_t *out)
{
	uint32_t action;

	if (!filter_action(name, &action))
		return false;
	if (action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE)
		action |= value.set ? (uint32_t)value.v & SECCOMP_RET_DATA : EPERM;
	*out = action;
	return true;
}

static int find_action(const struct spec *s, const char *place, const char *name,
		       struct opt_i64 value, uint32_t *out)
{
	if (build_verdict(name, value, out))
		return 0;
	return fail(EINVAL, "%s: linux.seccomp.%s: action \"%.60s\" is unknown", s->doc, place,
		    name);
}

static int build_arches(struct arena *a, const struct spec *s, struct filter_profile *out)
{
	const char **names = s->seccomp->architectures;
	uint32_t *arches;
	size_t n = 0;

	while (names && names[n])
		n++;
	arches = arena_array(a, n, sizeof(*arches));
	for (size_t i = 0; i < n; i++)
		if (!filter_arch(names[i], &arches[i]))
			return fail(EINVAL,
				    "%s: linux.seccomp.architectures[%zu]: \"%.60s\" is unknown",
				    s->doc, i, names[i]);
	out->arches = arches;
	out->n_arches = n;
	return 0;
}

static int build_args(struct arena *a, const struct spec *s, size_t rule,
		      const struct filter_arg **out)
{
	const struct spec_syscall *from = &s->seccomp->syscalls[rule];
	struct filter_arg *args = arena_array(a, from->n_args, sizeof(*args));

	for (size_t i = 0; i < from->n_args; i++) {
		const struct spec_seccomp_arg *arg = &from->args[i];

		args[i] = (struct filter_arg){
			.index = (uint8_t)arg->index,
			.value = arg->value,
			.value_two = arg->value_two,
		};
		if (!filter_op_of(arg->op, &args[i].op))
			return fail(EINVAL,
				    "%s: linux.seccomp.syscalls[%zu].args[%zu].op: \"%.60s\" is "
				    "unknown",
				    s->doc, rule, i, arg->op);
	}
	*out = args;
	return 0;
}

/* Several tests of one argument can't all hold in libseccomp's rules: callers mean "one of". */
static bool tests_one_twice(const struct spec_syscall *rule)
{
	unsigned seen = 0;

	for (size_t i = 0; i < rule->n_args; i++) {
		if (seen >> rule->args[i].index & 1)
			return true;
		seen |= 1u << rule->args[i].index;
	}
	return false;
}

struct rules {
	struct filter_rule *v;
	size_t n, cap;
};

static void add_rule(struct arena *a, struct rules *rules, const struct filter_rule *rule)
{
	rules->v = arena_grow(a, rules->v, rules->n, &rules->cap, sizeof(*rules->v));
	rules->v[rules->n++] = *rule;
}

static int build_rule(struct arena *a, const struct spec *s, size_t i, uint32_t default_verdict,
		      struct rules *rules)
{
	const struct spec_syscall *from = &s->seccomp->syscalls[i];
	struct filter_rule rule = { .names = from->names };
	char place[64];
	struct str p = STR_ON(place);
	int ret;

	str_addf(&p, "syscalls[%zu].action", i);
	ret = find_action(s, place, from->action, from->errno_ret, &rule.verdict);
	if (!ret)
		ret = build_args(a, s, i, &rule.args);
	if (ret || rule.verdict == default_verdict)
		return ret;
	while (from->names[rule.n_names])
		rule.n_names++;
	rule.n_args = from->n_args;
	if (!tests_one_twice(from)) {
		add_rule(a, rules, &rule);
		return 0;
	}
	rule.n_args = 1;
	for (size_t k = 0; k < from->n_args; k++, rule.args++)
		add_rule(a, rules, &rule);
	return 0;
}

static int build_flags(const struct spec *s, uint32_t *out)
{
	const char **names = s->seccomp->flags;
	uint32_t supported = filter_flags_supported();
	uint32_t flags = 0, flag;

	if (!names)
		flags = SECCOMP_FILTER_FLAG_SPEC_ALLOW & supported;
	for (size_t i = 0; names && names[i]; i++) {
		flag = filter_flag(names[i]);
		if (!flag)
			return fail(EINVAL, "%s: linux.seccomp.flags[%zu]: \"%.60s\" is unknown",
				    s->doc, i, names[i]);
		if (!(flag & supported))
			return fail(EINVAL,
				    "%s: linux.seccomp.flags[%zu]: this kernel does not support %s",
				    s->doc, i, names[i]);
		flags |= flag;
	}
	*out = flags;
	return 0;
}

/*
 * Programs probe for new system calls and fall back on ENOSYS. A profile older than the call would
 * answer something else; where it allows by default there is nothing to mend.
 */
static bool wants_enosys(uint32_t verdict)
{
	switch (verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
	case SECCOMP_RET_TRACE:
		return false;
	case SECCOMP_RET_ERRNO:
		return (verdict & SECCOMP_RET_DATA) != ENOSYS;
	default:
		return true;
	}
}

static bool notifies(const struct filter_profile *p)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (p->rules[i].verdict == SECCOMP_RET_USER_NOTIF)
			return true;
	return false;
}

int build_seccomp(struct arena *a, const struct spec *s, struct sandbox *out)
{
	const struct spec_seccomp *c = s->seccomp;
	struct filter_profile *profile;
	struct rules rules = { .v = NULL };
	int ret;

	if (!c || !build_text(c->default_action))
		return 0;
	profile = arena_alloc(a, sizeof(*profile));
	ret = find_action(s, "defaultAction", c->default_action, c->default_errno_ret,
			  &profile->default_verdict);
	if (!ret)
		ret = build_arches(a, s, profile);
	for (size_t i = 0; !ret && i < c->n_syscalls; i++)
		ret = build_rule(a, s, i, profile->default_verdict, &rules);
	if (!ret)
		ret = build_flags(s, &out->seccomp_flags);
	if (ret)
		return ret;
	profile->rules = rules.v;
	profile->n_rules = rules.n;
	profile->fail_unknown = spec_is_set(s, "run.oci.seccomp_fail_unknown_syscall");
	profile->enosys_stub = wants_enosys(profile->default_verdict);
	out->seccomp = profile;
	if (!notifies(profile))
		return 0;
	out->seccomp_listener = build_text(c->listener_path);
	if (!out->seccomp_listener)
		out->seccomp_listener = spec_annotation(s, "run.oci.seccomp.receiver");
	out->seccomp_metadata = build_text(c->listener_metadata);
	return 0;
}
