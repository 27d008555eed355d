/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/bpf_random.h"

#include "base/mem.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>

#define MAX_RULES 24

struct bytes {
	const uint8_t *data;
	size_t left;
};

static unsigned take(struct bytes *b, unsigned below)
{
	if (b->left == 0)
		return 0;
	b->left--;
	return *b->data++ % below;
}

/* Few names, so that rules meet: plain ones, multiplexed ones, ones that some architectures
 * lack. */
static const char *name(struct bytes *b)
{
	static const char *const names[] = {
		"read",        "write",          "close",
		"socket",      "accept",         "semop",
		"semget",      "shmat",          "clone",
		"personality", "socketcall",     "ipc",
		"waitpid",     "_llseek",        "arm_fadvise64_64",
		"no_such",     "io_uring_setup", "send",
		"recvmmsg",    "breakpoint",
	};

	return names[take(b, sizeof(names) / sizeof(names[0]))];
}

static uint32_t verdict(struct bytes *b)
{
	static const uint32_t verdicts[] = {
		SECCOMP_RET_ALLOW,     SECCOMP_RET_ERRNO | EPERM, SECCOMP_RET_ERRNO | ENOSYS,
		SECCOMP_RET_TRAP,      SECCOMP_RET_KILL_PROCESS,  SECCOMP_RET_KILL_THREAD,
		SECCOMP_RET_TRACE | 7, SECCOMP_RET_LOG,
	};

	return verdicts[take(b, sizeof(verdicts) / sizeof(verdicts[0]))];
}

static uint64_t value(struct bytes *b)
{
	static const uint32_t words[] = { 0, 1, 2, 3, 5, 8, 0x7fffffff, 0x80000000, UINT32_MAX };
	unsigned n = sizeof(words) / sizeof(words[0]), how = take(b, 8);
	uint64_t low = words[take(b, n)];

	if (how == 0)
		return low << 32 | words[take(b, n)];
	if (how == 1)
		return 1ull << 32 | low;
	return low;
}

static struct filter_arg *conditions(struct arena *a, struct bytes *b, size_t *out_n)
{
	static const uint8_t counts[] = { 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 3, 4 };
	size_t n = counts[take(b, sizeof(counts))];
	struct filter_arg *args = arena_array(a, n, sizeof(*args));
	unsigned pool = take(b, 4) ? 3 : 6;

	for (size_t i = 0; i < n; i++) {
		args[i].index = take(b, pool);
		args[i].op = take(b, FILTER_MASKED_EQ + 1);
		args[i].value = value(b);
		args[i].value_two = args[i].op == FILTER_MASKED_EQ ? value(b) : 0;
	}
	*out_n = n;
	return args;
}

static void arches(struct arena *a, struct bytes *b, struct filter_profile *p)
{
	static const uint32_t known[] = {
		AUDIT_ARCH_I386,   FILTER_ARCH_X32,     AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM,
		AUDIT_ARCH_MIPSEL, AUDIT_ARCH_MIPSEL64, AUDIT_ARCH_PPC64LE, AUDIT_ARCH_RISCV64,
	};
	uint32_t *list = arena_array(a, 3, sizeof(*list));

	p->n_arches = take(b, 4);
	for (size_t i = 0; i < p->n_arches; i++)
		list[i] = known[take(b, take(b, 2) ? 2 : sizeof(known) / sizeof(known[0]))];
	p->arches = list;
}

struct filter_profile random_profile(struct arena *a, const uint8_t *data, size_t size,
				     enum random_kind kind)
{
	struct bytes b = { data, size };
	struct filter_profile p = { .default_verdict = verdict(&b) };
	uint32_t one = verdict(&b);
	struct filter_rule *rules = arena_array(a, MAX_RULES, sizeof(*rules));
	const char **names;

	arches(a, &b, &p);
	while (p.n_rules < MAX_RULES && b.left) {
		struct filter_rule *rule = &rules[p.n_rules++];

		rule->verdict = kind == RANDOM_MIXED ? verdict(&b) : one;
		rule->n_names = 1 + take(&b, 4) / 3;
		names = arena_array(a, rule->n_names, sizeof(*names));
		for (size_t i = 0; i < rule->n_names; i++)
			names[i] = name(&b);
		rule->names = names;
		rule->args = conditions(a, &b, &rule->n_args);
	}
	p.rules = rules;
	return p;
}
