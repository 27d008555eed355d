/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/bpf_ref.h"

#include "base/fd.h"
#include "base/mem.h"
#include "bpf/abi.h"

#include <errno.h>
#include <seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_ARGS 6

uint64_t ref_random(uint64_t *state)
{
	*state ^= *state >> 12;
	*state ^= *state << 25;
	*state ^= *state >> 27;
	return *state * 0x2545f4914f6cdd1dull;
}

static struct scmp_arg_cmp scmp_of(const struct filter_arg *arg)
{
	static const enum scmp_compare ops[] = {
		[FILTER_NE] = SCMP_CMP_NE,
		[FILTER_LT] = SCMP_CMP_LT,
		[FILTER_LE] = SCMP_CMP_LE,
		[FILTER_EQ] = SCMP_CMP_EQ,
		[FILTER_GE] = SCMP_CMP_GE,
		[FILTER_GT] = SCMP_CMP_GT,
		[FILTER_MASKED_EQ] = SCMP_CMP_MASKED_EQ,
	};

	return (struct scmp_arg_cmp){ arg->index, ops[arg->op], arg->value, arg->value_two };
}

static bool repeats(const struct filter_rule *rule)
{
	for (size_t i = 0; i < rule->n_args; i++)
		for (size_t j = 0; j < i; j++)
			if (rule->args[i].index == rule->args[j].index)
				return true;
	return false;
}

static int ref_rule(scmp_filter_ctx ctx, const struct filter_rule *rule, const char *name)
{
	struct scmp_arg_cmp args[64];
	int nr = seccomp_syscall_resolve_name(name), ret = 0;

	if (nr == __NR_SCMP_ERROR)
		return 0;
	for (size_t i = 0; i < rule->n_args; i++)
		args[i] = scmp_of(&rule->args[i]);
	if (!repeats(rule))
		return seccomp_rule_add_array(ctx, rule->verdict, nr, rule->n_args, args);
	for (size_t i = 0; ret == 0 && i < rule->n_args; i++)
		ret = seccomp_rule_add_array(ctx, rule->verdict, nr, 1, &args[i]);
	return ret;
}

static int ref_fill(scmp_filter_ctx ctx, const struct filter_profile *profile)
{
	const struct filter_rule *rule;
	int ret;

	for (size_t i = 0; i < profile->n_arches; i++) {
		ret = seccomp_arch_add(ctx, profile->arches[i]);
		if (ret < 0 && ret != -EEXIST)
			return ret;
	}
	for (size_t i = 0; i < profile->n_rules; i++) {
		rule = &profile->rules[i];
		if (rule->verdict == profile->default_verdict)
			continue;
		for (size_t j = 0; j < rule->n_names; j++) {
			ret = ref_rule(ctx, rule, rule->names[j]);
			if (ret < 0)
				return ret;
		}
	}
	return 0;
}

static int build_here(const struct filter_profile *profile, int fd)
{
	scmp_filter_ctx ctx = seccomp_init(profile->default_verdict);
	int ret;

	if (!ctx)
		return -EINVAL;
	ret = ref_fill(ctx, profile);
	if (ret == 0)
		ret = seccomp_export_bpf(ctx, fd);
	seccomp_release(ctx);
	return ret;
}

static bool compares_order(const struct filter_arg *arg)
{
	return arg->op != FILTER_EQ && arg->op != FILTER_MASKED_EQ;
}

/* A condition with two ways to hold and one after it: libseccomp shares what follows. */
static bool shares_tests(const struct filter_profile *profile)
{
	const struct filter_rule *rule;

	for (size_t i = 0; i < profile->n_rules; i++) {
		rule = &profile->rules[i];
		for (size_t j = 0; rule->n_args > 1 && j < rule->n_args; j++)
			if (compares_order(&rule->args[j]))
				return true;
	}
	return false;
}

/* The exit status carries the error: errno values are small. */
static int build_apart(const struct filter_profile *profile, int fd)
{
	const struct rlimit seconds = { 2, 2 };
	pid_t pid = fork();
	int status;

	if (pid < 0)
		return -errno;
	if (pid == 0) {
		setrlimit(RLIMIT_CPU, &seconds);
		_exit(-build_here(profile, fd));
	}
	while (waitpid(pid, &status, 0) < 0) /* a fuzzer's clock interrupts */
		if (errno != EINTR)
			return -errno;
	return WIFEXITED(status) ? -WEXITSTATUS(status) : -ETIMEDOUT;
}

int ref_build(struct arena *a, const struct filter_profile *profile, struct ref_program *out)
{
	auto_fd fd = memfd_create("libseccomp", MFD_CLOEXEC);
	struct stat st;
	int ret;

	*out = (struct ref_program){ 0 };
	if (fd < 0)
		return -errno;
	ret = shares_tests(profile) ? build_apart(profile, fd) : build_here(profile, fd);
	if (ret < 0)
		return ret;
	if (fstat(fd, &st) < 0)
		return -errno;
	out->code = arena_alloc(a, st.st_size);
	out->len = st.st_size / sizeof(*out->code);
	return pread(fd, out->code, st.st_size, 0) == st.st_size ? 0 : -EIO;
}

static bool condition_holds(const struct filter_arg *arg, const uint64_t *args, bool wide)
{
	uint64_t keep = wide ? UINT64_MAX : UINT32_MAX;
	uint64_t is = args[arg->index] & keep, value = arg->value & keep;

	switch (arg->op) {
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
		return (is & value) == (arg->value_two & value);
	}
	return false;
}

enum match { MATCH_NO, MATCH_HERE, MATCH_ALWAYS };

/* skip: an argument index that is not looked at, or -1. */
static enum match rule_matches(const struct filter_rule *rule, const uint64_t *args, bool wide,
			       int skip)
{
	bool any = repeats(rule), held = !any, always = !any;
	uint64_t mask;
	bool holds, never_looks;

	for (size_t i = 0; i < rule->n_args; i++) {
		mask = wide ? rule->args[i].value : (uint32_t)rule->args[i].value;
		never_looks = rule->args[i].op == FILTER_MASKED_EQ && mask == 0;
		if (rule->args[i].index == skip)
			holds = true;
		else
			holds = condition_holds(&rule->args[i], args, wide);
		held = any ? held || holds : held && holds;
		always = any ? always || never_looks : always && never_looks;
	}
	if (!held)
		return MATCH_NO;
	return always ? MATCH_ALWAYS : MATCH_HERE;
}

/* Whether the rule is about this call, by its number or through a multiplexer. */
static enum match call_matches(const struct filter_rule *rule, const char *name,
			       const struct abi *abi, const struct seccomp_data *data)
{
	int nr = seccomp_syscall_resolve_name_arch(abi->token, name), mux, number, direct;
	uint64_t args[N_ARGS];

	memcpy(args, data->args, sizeof(args));
	if (!abi_mux(abi, nr, &mux, &number, &direct))
		return nr >= 0 && nr == data->nr ? rule_matches(rule, args, abi->layout.wide, -1)
						 : MATCH_NO;
	if (data->nr == direct)
		return rule_matches(rule, args, abi->layout.wide, -1);
	if (data->nr != mux)
		return MATCH_NO;
	if ((abi->layout.wide ? args[0] : (uint32_t)args[0]) != (unsigned)number)
		return MATCH_NO;
	return rule_matches(rule, args, abi->layout.wide, 0) ? MATCH_HERE : MATCH_NO;
}

static const struct abi *abi_of_call(const struct filter_profile *profile,
				     const struct seccomp_data *data)
{
	const struct abi *abi = abi_native();

	for (size_t i = 0;; i++) {
		if (abi->audit == data->arch &&
		    (abi->audit != SCMP_ARCH_X86_64 ||
		     (abi->token == FILTER_ARCH_X32) == ((uint32_t)data->nr >= ABI_X32_BIT)))
			return abi;
		if (i == profile->n_arches)
			return NULL;
		abi = abi_find(profile->arches[i]);
	}
}

/* Whether libseccomp's program for the rule may lose track, see ref_disputed(). */
static bool is_shaky(const struct filter_rule *rule, bool wide, bool muxed)
{
	if (!wide)
		return rule->n_args + muxed > 1;
	for (size_t i = 0; i < rule->n_args; i++)
		if (compares_order(&rule->args[i]))
			return true;
	return false;
}

bool ref_disputed(const struct filter_profile *profile, const struct seccomp_data *data)
{
	const struct abi *abi = abi_of_call(profile, data);
	const struct filter_rule *first = NULL, *rule;
	bool differ = false, shaky = false, muxed;
	int nr, mux, number, direct = -1;

	if (!abi)
		return false;
	for (size_t i = 0; i < profile->n_rules; i++) {
		rule = &profile->rules[i];
		for (size_t j = 0; j < rule->n_names; j++) {
			nr = seccomp_syscall_resolve_name_arch(abi->token, rule->names[j]);
			muxed = abi_mux(abi, nr, &mux, &number, &direct) && data->nr == mux;
			if (muxed)
				nr = mux;
			else if (nr < 0 && abi->mux >= 0)
				nr = direct;
			if (nr == data->nr && rule->verdict != profile->default_verdict)
				shaky |= is_shaky(rule, abi->layout.wide, muxed);
			if (rule->verdict == profile->default_verdict ||
			    call_matches(rule, rule->names[j], abi, data) == MATCH_NO)
				continue;
			if (!first)
				first = rule;
			differ |= first->verdict != rule->verdict;
		}
	}
	return differ && shaky;
}

bool ref_justified(const struct filter_profile *profile, const struct seccomp_data *data,
		   uint32_t verdict)
{
	const struct abi *abi = abi_of_call(profile, data);
	bool matched = false, justified = false;
	enum match match;

	if (!abi)
		return verdict == (data->arch == SCMP_ARCH_X86_64 && data->nr == -1
					   ? profile->default_verdict
					   : SECCOMP_RET_KILL_THREAD);
	for (size_t i = 0; i < profile->n_rules; i++) {
		const struct filter_rule *rule = &profile->rules[i];

		if (rule->verdict == profile->default_verdict)
			continue;
		for (size_t j = 0; j < rule->n_names; j++) {
			match = call_matches(rule, rule->names[j], abi, data);
			if (match == MATCH_ALWAYS)
				return verdict == rule->verdict;
			matched |= match == MATCH_HERE;
			justified |= match == MATCH_HERE && verdict == rule->verdict;
		}
	}
	return matched ? justified : verdict == profile->default_verdict;
}
