/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device program and the exceptions of version 1 against the rule in one sentence, over all
 * requests that can tell rules apart. The program runs in a small eBPF machine here; the live test
 * attaches it.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"
#include "lib/tap.h"

struct request {
	unsigned access;
	char type;
	uint32_t major, minor;
};

/* Those forms only that the program may use; anything else is a failure. */
static int run(const struct bpf_insn *code, size_t n, const struct request *q)
{
	struct bpf_cgroup_dev_ctx context = {
		.access_type = q->access << 16 |
			       (q->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR),
		.major = q->major,
		.minor = q->minor,
	};
	uint64_t r[11] = { 0 };
	size_t steps = 0;

	for (size_t pc = 0; pc < n && steps < 10000; pc++, steps++) {
		const struct bpf_insn *i = &code[pc];
		uint32_t dst = (uint32_t)r[i->dst_reg], imm = (uint32_t)i->imm;

		switch (i->code) {
		case BPF_LDX | BPF_W | BPF_MEM:
			if (i->src_reg != 1 || i->off < 0 || i->off > 8)
				return -1;
			memcpy(&dst, (char *)&context + i->off, sizeof(dst));
			r[i->dst_reg] = dst;
			break;
		case BPF_ALU | BPF_MOV | BPF_K:
			r[i->dst_reg] = imm;
			break;
		case BPF_ALU | BPF_MOV | BPF_X:
			r[i->dst_reg] = (uint32_t)r[i->src_reg];
			break;
		case BPF_ALU | BPF_AND | BPF_K:
			r[i->dst_reg] = dst & imm;
			break;
		case BPF_ALU | BPF_RSH | BPF_K:
			r[i->dst_reg] = dst >> imm;
			break;
		case BPF_JMP32 | BPF_JNE | BPF_K:
			pc += dst != imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP32 | BPF_JEQ | BPF_K:
			pc += dst == imm ? (size_t)i->off : 0;
			break;
		case BPF_JMP | BPF_EXIT:
			return (int)r[0];
		default:
			return -1;
		}
	}
	return -1;
}

static bool matches(const struct cgroup_device_rule *r, const struct request *q)
{
	return (r->type == 'a' || r->type == q->type) && (r->major < 0 || r->major == q->major) &&
	       (r->minor < 0 || r->minor == q->minor);
}

/* For each bit the last rule that matches. */
static bool granted(const struct cgroup_device_rules *rules, const struct request *q)
{
	for (unsigned bit = 1; bit < 8; bit <<= 1) {
		bool allow = false;

		for (size_t i = 0; i < rules->n; i++)
			if (matches(&rules->v[i], q) && rules->v[i].access & bit)
				allow = rules->v[i].allow;
		if (q->access & bit && !allow)
			return false;
	}
	return true;
}

/* A default and exceptions, as the kernel's devices controller decides. */
static bool granted_v1(bool allow, const struct cgroup_device_rules *set, const struct request *q)
{
	for (unsigned bit = 1; bit < 8; bit <<= 1) {
		bool exception = false;

		for (size_t i = 0; i < set->n; i++)
			if (matches(&set->v[i], q) && set->v[i].access & bit)
				exception = true;
		if (q->access & bit && exception == allow)
			return false;
	}
	return true;
}

static bool agree(struct arena *a, const struct cgroup_device_rules *rules, const char *name)
{
	static const uint32_t numbers[] = { 0, 1, 3, 5, 10, 136, 200, 250, UINT32_MAX };
	struct cgroup_device_rules set;
	struct bpf_insn *code;
	bool allow, v1;
	size_t len;

	if (!ok(cgroup_device_program(a, rules, &code, &len) == 0, "%s", err_last()->text))
		return false;
	v1 = cgroup_device_exceptions(a, rules, &allow, &set) == 0;
	for (size_t i = 0; i < 2 * 7 * TAP_COUNT(numbers) * TAP_COUNT(numbers); i++) {
		size_t rest = i / 14;
		struct request q = { 1 + (unsigned)(i / 2 % 7), i % 2 ? 'b' : 'c',
				     numbers[rest % TAP_COUNT(numbers)],
				     numbers[rest / TAP_COUNT(numbers)] };
		bool want = granted(rules, &q);

		if (run(code, len, &q) != want)
			return ok(false, "%s: %c %u:%u access %u: the program says %d", name,
				  q.type, q.major, q.minor, q.access, run(code, len, &q));
		if (v1 && granted_v1(allow, &set, &q) != want)
			return ok(false, "%s: %c %u:%u access %u: the exceptions say %d", name,
				  q.type, q.major, q.minor, q.access, !want);
	}
	return true;
}

static const struct cgroup_device usual[] = {
	{ false, 'a', -1, -1, "rwm" },
	{ true, 'c', 10, 229, "rwm" },
	{ true, 'b', 8, -1, "r" },
};

static void takes_usual_rules(void)
{
	struct cgroup_limits l = { .has_devices = true, .devices = usual, .n_devices = 3 };
	auto_arena a = arena_new();
	struct cgroup_device_rules rules, set;
	bool allow = true;

	ok(cgroup_device_rules(a, &l, &rules) == 0, "%s", err_last()->text);
	agree(a, &rules, "usual");
	ok(granted(&rules, &(struct request){ DEVICE_ALL, 'c', 1, 3 }), "/dev/null");
	ok(granted(&rules, &(struct request){ DEVICE_MKNOD, 'b', 9, 9 }), "any may be made");
	ok(!granted(&rules, &(struct request){ DEVICE_WRITE, 'b', 8, 0 }), "but not written");
	ok(granted(&rules, &(struct request){ DEVICE_READ, 'b', 8, 5 }), "a minor of any number");
	ok(cgroup_device_exceptions(a, &rules, &allow, &set) == 0, "%s", err_last()->text);
	ok(!allow, "denied unless listed");
	l.n_devices = 0;
	ok(cgroup_device_rules(a, &l, &rules) == 0, "%s", err_last()->text);
	agree(a, &rules, "empty");
	ok(!granted(&rules, &(struct request){ DEVICE_READ, 'b', 8, 5 }), "an empty list denies");
}

/* Random lists over a few numbers, so that rules hit, cover and cut each other. */
static void agrees_on_random_rules(void)
{
	static const int64_t numbers[] = { -1, -1, 0, 1, 3, 5, UINT32_MAX };
	unsigned seed = 1;
	size_t expressible = 0;

	for (int round = 0; round < 1500; round++) {
		auto_arena a = arena_new();
		struct cgroup_device_rules rules = { .n = (size_t)(rand_r(&seed) % 9) };
		struct cgroup_device_rules set;
		bool allow;
		char name[32];

		rules.v = arena_array(a, rules.n, sizeof(*rules.v));
		for (size_t i = 0; i < rules.n; i++)
			rules.v[i] = (struct cgroup_device_rule){
				rand_r(&seed) % 2,
				"abc"[rand_r(&seed) % 3],
				numbers[(unsigned)rand_r(&seed) % 7],
				numbers[(unsigned)rand_r(&seed) % 7],
				rand_r(&seed) % 3 ? DEVICE_ALL : 1 + (unsigned)rand_r(&seed) % 7,
				false,
			};
		snprintf(name, sizeof(name), "round %d", round);
		if (!agree(a, &rules, name))
			return;
		expressible += cgroup_device_exceptions(a, &rules, &allow, &set) == 0;
	}
	ok(expressible > 300, "many of them fit version 1: %zu", expressible);
}

static void refuses(void)
{
	static const struct {
		struct cgroup_device rule;
		const char *text;
	} rows[] = {
		{ { true, 'p', 1, 3, "r" }, "devices[0].type" },
		{ { true, 'c', 1, 3, "" }, "devices[0].access" },
		{ { true, 'c', 1, 3, NULL }, "devices[0].access" },
		{ { true, 'c', 1, 3, "rx" }, "devices[0].access" },
		{ { true, 'c', 1LL << 32, 3, "r" }, "no device has the number" },
		{ { true, 'c', 1, -2, "r" }, "no device has the number" },
	};
	static const struct cgroup_device cut[] = { { true, 'c', 1, -1, "rw" },
						    { false, 'c', 1, 11, "w" } };
	auto_arena a = arena_new();
	struct cgroup_device_rules rules, set;
	bool allow;

	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		struct cgroup_limits l = { .devices = &rows[i].rule, .n_devices = 1 };

		is_int(cgroup_device_rules(a, &l, &rules), -EINVAL, "row %zu", i);
		ok(strstr(err_last()->text, rows[i].text), "%s", err_last()->text);
	}
	ok(cgroup_device_rules(a, &(struct cgroup_limits){ .devices = cut, .n_devices = 2 },
			       &rules) == 0,
	   "%s", err_last()->text);
	agree(a, &rules, "cut");
	is_int(cgroup_device_exceptions(a, &rules, &allow, &set), -EINVAL,
	       "version 1 can't take one out of many");
	ok(strstr(err_last()->text, "deny c 1:11"), "%s", err_last()->text);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(takes_usual_rules),
		TAP(agrees_on_random_rules),
		TAP(refuses),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
