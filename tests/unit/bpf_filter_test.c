/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/filter.h"

#include "base/err.h"
#include "base/mem.h"
#include "bpf/abi.h"
#include "bpf/dump.h"
#include "bpf/run.h"
#include "lib/tap.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static uint32_t verdict(const struct filter *f, uint32_t arch, int nr)
{
	struct seccomp_data data = { .nr = nr, .arch = arch };
	const char *complaint = run_check(f->code, f->len);

	if (!ok(!complaint, "the kernel takes it: %s", complaint))
		abort();
	return run_program(f->code, f->len, &data, NULL).verdict;
}

static int number(uint32_t arch, const char *name)
{
	return seccomp_syscall_resolve_name_arch(arch, name);
}

static void every_name_has_a_value(void)
{
	const char *const *name;
	enum filter_op op;
	uint32_t value;

	for (name = filter_action_names(); *name; name++)
		ok(filter_action(*name, &value), "action %s", *name);
	for (name = filter_op_names(); *name; name++)
		ok(filter_op_of(*name, &op), "operator %s", *name);
	for (name = filter_flag_names(); *name; name++)
		ok(filter_flag(*name) != 0, "flag %s", *name);
	for (name = filter_arch_names(); *name; name++) {
		ok(filter_arch(*name, &value), "architecture %s", *name);
		ok(seccomp_syscall_resolve_name_arch(value, "read") >= 0, "%s has calls", *name);
	}
	ok(!filter_action("SCMP_ACT_NONE", &value), "no such action");
	ok(!filter_op_of("SCMP_CMP_", &op), "no such operator");
	ok(!filter_arch("x86_64", &value), "no such architecture");
	is_int(filter_flag("SECCOMP_FILTER_FLAG_NEW_LISTENER"), 0, "not for a profile to say");
	ok(filter_action("SCMP_ACT_KILL", &value) && value == SECCOMP_RET_KILL_THREAD,
	   "SCMP_ACT_KILL kills the thread");
	ok(filter_arch("SCMP_ARCH_X32", &value) && value == FILTER_ARCH_X32, "x32");
}

/* The numbers of abi.c against what libseccomp's interface can be made to tell. */
static void multiplexed_numbers(void)
{
	int mux, call, direct, known = 0;
	const struct abi *abi;
	char *name, *other;
	size_t n;

	abi = abi_all(&n);
	for (size_t i = 0; i < n; i++) {
		for (int nr = -101; nr >= -224; nr--) {
			name = seccomp_syscall_resolve_num_arch(abi[i].token, nr);
			if (!name || !abi_mux(&abi[i], nr, &mux, &call, &direct)) {
				free(name);
				continue;
			}
			known++;
			is_int(mux, seccomp_syscall_resolve_name_rewrite(abi[i].token, name),
			       "%s %s: multiplexer", abi[i].name, name);
			is_int(call, -nr % 100, "%s %s: its call", abi[i].name, name);
			if (direct != nr) {
				other = seccomp_syscall_resolve_num_arch(abi[i].token, direct);
				is_str(other, name, "%s: direct number", abi[i].name);
				free(other);
			}
			free(name);
		}
	}
	is_int(known, 8 * 32, "32 calls on each of 8 architectures");
}

struct refused {
	const char *says;
	struct filter_rule rules[2];
	uint32_t otherwise, arch;
	bool fail_unknown;
};

static void refuses(void)
{
	static const char *const read_name[] = { "read" }, *const no_name[] = { "no_such" };
	static const struct filter_arg seventh = { .index = 6, .op = FILTER_EQ };
	static const struct filter_arg no_op = { .index = 0, .op = 99 };
	const struct filter_rule allow = { read_name, 1, NULL, 0, SECCOMP_RET_ALLOW };
	const struct refused list[] = {
		{ "argument index 6",
		  { { read_name, 1, &seventh, 1, SECCOMP_RET_ALLOW }, allow },
		  ERRNO(1),
		  0,
		  false },
		{ "99 is no operator",
		  { { read_name, 1, &no_op, 1, SECCOMP_RET_ALLOW }, allow },
		  ERRNO(1),
		  0,
		  false },
		{ "rule 1: unknown system call \"no_such\"",
		  { allow, { no_name, 1, NULL, 0, SECCOMP_RET_ALLOW } },
		  ERRNO(1),
		  0,
		  true },
		{ "0x12340000 is no action",
		  { allow, { read_name, 1, NULL, 0, 0x12340000 } },
		  ERRNO(1),
		  0,
		  false },
		{ "default action cannot be SCMP_ACT_NOTIFY",
		  { allow, allow },
		  SECCOMP_RET_USER_NOTIF,
		  0,
		  false },
		{ "the default 0x55550000", { allow, allow }, 0x55550000, 0, false },
		{ "unknown architecture 0x1234", { allow, allow }, ERRNO(1), 0x1234, false },
		{ "both decide read",
		  { { read_name, 1, NULL, 0, SECCOMP_RET_USER_NOTIF },
		    { read_name, 1, NULL, 0, ERRNO(2) } },
		  SECCOMP_RET_ALLOW,
		  0,
		  false },
		{ "both decide read",
		  { { read_name, 1, NULL, 0, SECCOMP_RET_KILL_PROCESS },
		    { read_name, 1, NULL, 0, SECCOMP_RET_USER_NOTIF } },
		  SECCOMP_RET_ALLOW,
		  0,
		  false },
	};

	for (size_t i = 0; i < COUNT(list); i++) {
		auto_arena a = arena_new();
		struct filter_profile p = {
			.default_verdict = list[i].otherwise,
			.arches = &list[i].arch,
			.n_arches = list[i].arch != 0,
			.rules = list[i].rules,
			.n_rules = 2,
			.fail_unknown = list[i].fail_unknown,
		};
		struct filter out = { .len = 77 };

		is_int(filter_build(a, &p, &out), -EINVAL, "%s", list[i].says);
		ok(strstr(err_last()->text, list[i].says), "\"%s\" says \"%s\"", err_last()->text,
		   list[i].says);
		is_int(out.len, 77, "nothing is written on failure");
	}
}

static void says_what_is_too_long(void)
{
	enum { N = 5000 };
	auto_arena a = arena_new();
	static const char *const names[] = { "ioctl" }, *const others[] = { "read", "write" };
	struct filter_arg *args = arena_array(a, N, sizeof(*args));
	struct filter_rule *rules = arena_array(a, N + 1, sizeof(*rules));
	struct filter_profile p = { .default_verdict = ERRNO(1), .rules = rules, .n_rules = N + 1 };
	struct filter f;

	rules[0] = (struct filter_rule){ others, 2, &args[0], 1, SECCOMP_RET_ALLOW };
	for (int i = 0; i < N; i++) {
		args[i] = (struct filter_arg){ .index = 1, .op = FILTER_EQ, .value = 7 * i };
		rules[i + 1] = (struct filter_rule){ names, 1, &args[i], 1, SECCOMP_RET_ALLOW };
	}
	is_int(filter_build(a, &p, &f), -E2BIG, "5000 conditions do not fit");
	ok(strstr(err_last()->text, "those for ioctl (rules 1 to 5000"), "%s", err_last()->text);
	p.n_rules = 4001;
	is_int(filter_build(a, &p, &f), 0, "4000 do: %s", err_last()->text);
	ok(!run_check(f.code, f.len), "and the kernel takes them");
}

static void newer_calls_get_enosys(void)
{
	static const char *const names[] = { "read", "openat2", "no_such" };
	static const uint32_t arches[] = { AUDIT_ARCH_X86_64, FILTER_ARCH_X32, AUDIT_ARCH_I386,
					   AUDIT_ARCH_AARCH64 };
	const struct filter_rule rule = { names, 3, NULL, 0, SECCOMP_RET_ALLOW };
	static const struct {
		uint32_t otherwise, newer;
	} rows[] = {
		{ ERRNO(1), ERRNO(ENOSYS) },
		{ SECCOMP_RET_KILL_PROCESS, ERRNO(ENOSYS) },
		{ SECCOMP_RET_TRAP, ERRNO(ENOSYS) },
		{ ERRNO(ENOSYS), ERRNO(ENOSYS) },
		{ SECCOMP_RET_ALLOW, SECCOMP_RET_ALLOW },
		{ SECCOMP_RET_LOG, SECCOMP_RET_LOG },
		{ SECCOMP_RET_TRACE | 3, SECCOMP_RET_TRACE | 3 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena a = arena_new();
		struct filter_profile p = { rows[i].otherwise, arches, 4, &rule, 1, false, true };
		struct filter f;

		is_int(filter_build(a, &p, &f), 0, "built");
		for (size_t j = 0; j < COUNT(arches); j++) {
			uint32_t audit = abi_find(arches[j])->audit;
			int newest = number(arches[j], "openat2");

			is_int(verdict(&f, audit, newest), SECCOMP_RET_ALLOW, "the newest");
			is_int(verdict(&f, audit, newest + 1), rows[i].newer, "row %zu: newer", i);
			is_int(verdict(&f, audit, newest - 1), rows[i].otherwise, "older");
		}
	}
}

static void enosys_leaves_foreign_numbers(void)
{
	static const char *const names[] = { "read" };
	static const uint32_t arch = AUDIT_ARCH_X86_64;
	const struct filter_rule rule = { names, 1, NULL, 0, SECCOMP_RET_ALLOW };
	struct filter_profile p = { ERRNO(1), &arch, 1, &rule, 1, false, true };
	auto_arena a = arena_new();
	struct filter f;

	is_int(filter_build(a, &p, &f), 0, "built");
	is_int(verdict(&f, arch, ABI_X32_BIT), SECCOMP_RET_KILL_THREAD, "x32 is foreign");
	is_int(verdict(&f, arch, -1), ERRNO(1), "-1 is no call");
	is_int(verdict(&f, 0x12345678, 0), SECCOMP_RET_KILL_THREAD, "a foreign architecture");
}

static void notifies(void)
{
	static const char *const names[] = { "mount" };
	const struct filter_rule rule = { names, 1, NULL, 0, SECCOMP_RET_USER_NOTIF };
	struct filter_profile p = { .default_verdict = SECCOMP_RET_ALLOW, .rules = &rule };
	auto_arena a = arena_new();
	struct filter f;

	is_int(filter_build(a, &p, &f), 0, "built without rules");
	ok(!f.notifies, "nobody is notified");
	p.n_rules = 1;
	is_int(filter_build(a, &p, &f), 0, "built");
	ok(f.notifies, "somebody is");
}

/* Where libseccomp's program answers otherwise than the rules say, this one does what they say. */
static void does_what_rules_say(void)
{
	static const char *const names[] = { "read" };
	static const struct filter_arg above[] = { { 0, FILTER_GT, 5, 0 }, { 1, FILTER_EQ, 1, 0 } };
	static const struct filter_arg from[] = { { 0, FILTER_GE, 5, 0 }, { 1, FILTER_EQ, 2, 0 } };
	const struct filter_rule rules[] = { { names, 1, above, 2, SECCOMP_RET_ALLOW },
					     { names, 1, from, 2, SECCOMP_RET_ALLOW } };
	struct filter_profile p = { .default_verdict = ERRNO(1), .rules = rules, .n_rules = 2 };
	auto_arena a = arena_new();
	struct seccomp_data data = { .arch = abi_native()->audit };
	struct filter f;

	data.nr = number(abi_native()->token, "read");
	is_int(filter_build(a, &p, &f), 0, "built");
	for (unsigned x = 4; x < 8; x++) {
		for (unsigned y = 0; y < 4; y++) {
			bool allowed = (x > 5 && y == 1) || (x >= 5 && y == 2);

			data.args[0] = x;
			data.args[1] = y;
			is_int(run_program(f.code, f.len, &data, NULL).verdict,
			       allowed ? SECCOMP_RET_ALLOW : ERRNO(1), "read(%u, %u)", x, y);
		}
	}
}

struct listing {
	unsigned lines;
	bool architecture, call, argument, verdict;
};

static void look(void *arg, const char *text)
{
	struct listing *seen = arg;

	seen->lines++;
	seen->architecture |= strstr(text, "if arch ==") != NULL;
	seen->call |= strstr(text, " personality") != NULL;
	seen->argument |= strstr(text, "low half of argument 0") != NULL;
	seen->verdict |= strstr(text, "return ERRNO(1) EPERM") != NULL;
}

static void listing_names_things(void)
{
	static const char *const names[] = { "personality" };
	static const struct filter_arg arg = { 0, FILTER_EQ, 8, 0 };
	const struct filter_rule rule = { names, 1, &arg, 1, SECCOMP_RET_ALLOW };
	struct filter_profile p = { .default_verdict = ERRNO(1), .rules = &rule, .n_rules = 1 };
	static const struct sock_filter odd[] = { { 0xffff, 255, 255, UINT32_MAX },
						  { BPF_JMP | BPF_JA, 0, 0, UINT32_MAX },
						  { BPF_JMP | BPF_JEQ, 200, 100, 0 } };
	auto_arena a = arena_new();
	struct listing seen = { 0 };
	struct filter f;

	is_int(filter_build(a, &p, &f), 0, "built");
	dump_program(a, f.code, f.len, look, &seen);
	is_int(seen.lines, f.len, "a line an instruction");
	ok(seen.architecture && seen.call && seen.argument && seen.verdict, "with names");
	seen.lines = 0;
	dump_program(a, odd, COUNT(odd), look, &seen);
	is_int(seen.lines, COUNT(odd), "also what is no filter");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(every_name_has_a_value),
		TAP(multiplexed_numbers),
		TAP(refuses),
		TAP(says_what_is_too_long),
		TAP(newer_calls_get_enosys),
		TAP(enosys_leaves_foreign_numbers),
		TAP(notifies),
		TAP(does_what_rules_say),
		TAP(listing_names_things),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
