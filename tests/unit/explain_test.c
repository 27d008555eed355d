/* SPDX-License-Identifier: Apache-2.0 */
/* What is told of a filter, against the program run call by call. */
#include "oci/explain.h"

#include "base/err.h"
#include "base/mem.h"
#include "bpf/abi.h"
#include "bpf/run.h"
#include "lib/bpf_ref.h"
#include "lib/tap.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/json.h"
#include "oci/spec.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#define RULE(names, action) "{\"names\":[" names "],\"action\":\"SCMP_ACT_" action "\"}"
#define RULE_IF(name, action, value, op)                                         \
	"{\"names\":[\"" name "\"],\"action\":\"SCMP_ACT_" action "\",\"args\":" \
	"[{\"index\":1,\"value\":" value ",\"op\":\"SCMP_CMP_" op "\"}]}"

struct made {
	struct arena *a;
	const struct spec *spec;
	struct sandbox sb;
	struct explain e;
};

static const struct build_context context = {
	.id = "box",
	.bundle = "/bundle",
	.bundle_dir = -1,
	.manager = CGROUP_DISABLED,
};

/* A config with this seccomp section and these members besides the required ones. */
static void make(struct made *m, const char *seccomp, const char *more)
{
	const struct json *v;
	char *text;

	m->a = arena_new();
	text = arena_printf(m->a,
			    "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
			    "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"],"
			    "\"user\":{\"uid\":1000,\"gid\":1000},\"capabilities\":{}},"
			    "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]%s%s}%s}",
			    *seccomp ? ",\"seccomp\":" : "", seccomp, more);
	if (!ok(json_parse(m->a, "config.json", text, strlen(text), &v) == 0 &&
			spec_bind(m->a, "config.json", v, &m->spec) == 0 &&
			check_spec(m->spec) == 0 &&
			build_sandbox(m->a, m->spec, &context, &m->sb) == 0 &&
			explain_config(m->a, m->spec, &m->sb, &m->e) == 0,
		"%s", err_last()->text))
		exit(1);
}

/* clang-format off */
static const char profile[] =
	"{\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":"
	"[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X86\",\"SCMP_ARCH_X32\",\"SCMP_ARCH_AARCH64\"],\"syscalls\":["
	RULE("\"read\",\"write\",\"openat\",\"exit_group\",\"getpid\"", "ALLOW") ","
	RULE_IF("socket", "ALLOW", "1", "EQ") ","
	RULE_IF("socket", "LOG", "2", "EQ") ","
	RULE_IF("ioctl", "ALLOW", "21505", "NE") ","
	RULE("\"ptrace\"", "KILL_PROCESS") "]}";
/* clang-format on */

static bool has(const struct explain_range *r, uint32_t verdict)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->verdicts[i] == verdict)
			return true;
	return false;
}

static void ranges_are_the_program(void)
{
	uint64_t seed = 3;
	const struct abi **abis;
	struct made m;
	size_t n_abis, n;

	make(&m, profile, "");
	abis = explain_abis(&m.e, &n_abis);
	is_int(n_abis, 4, "architectures");
	ok(abis[0] == abi_native(), "the native one first");
	for (size_t i = 0; i < n_abis; i++) {
		struct explain_range *r = explain_ranges(&m.e, abis[i], &n);
		uint32_t base = r[0].first;
		size_t at = 0;

		for (uint32_t nr = base; nr < base + 700; nr++) {
			struct seccomp_data call = { .nr = (int)nr, .arch = abis[i]->audit };
			struct run run;

			while (at + 1 < n && nr > r[at].last)
				at++;
			ok(r[at].first <= nr && nr <= r[at].last, "%u is in one", nr);
			for (int k = 0; k < 4; k++) {
				call.args[0] = ref_random(&seed) % 3;
				call.args[1] = ref_random(&seed) % 2 ? 21505 : call.args[0];
				run = run_program(m.e.filter.code, m.e.filter.len, &call, NULL);
				ok(has(&r[at], run.verdict), "%s %u: %#x", abis[i]->name, nr,
				   run.verdict);
				ok(r[at].arguments || !run.read_argument, "%u", nr);
			}
		}
	}
	arena_free(m.a);
}

static const char *rule_of(struct made *m, const char *name, uint64_t arg)
{
	struct seccomp_data call = { .nr = seccomp_syscall_resolve_name(name),
				     .arch = abi_native()->audit,
				     .args = { arg, arg } };
	struct run run = run_program(m->e.filter.code, m->e.filter.len, &call, NULL);

	return explain_seccomp_rule(&m->e, abi_native(), &call, run.verdict, true);
}

static void rules_by_place(void)
{
	struct made m;

	make(&m, profile, "");
	is_str(rule_of(&m, "read", 0), "linux.seccomp.syscalls[0]", "a name");
	is_str(rule_of(&m, "socket", 1), "linux.seccomp.syscalls[1]", "an argument");
	is_str(rule_of(&m, "socket", 2), "linux.seccomp.syscalls[2]", "another");
	is_str(rule_of(&m, "socket", 3), "linux.seccomp.defaultAction", "none that fits");
	is_str(rule_of(&m, "ioctl", 21505), "linux.seccomp.defaultAction", "not equal");
	is_str(rule_of(&m, "ioctl", 1), "linux.seccomp.syscalls[3]", "not equal");
	is_str(rule_of(&m, "ptrace", 1), "linux.seccomp.syscalls[4]", "a kill");
	is_str(rule_of(&m, "mount", 1), "linux.seccomp.defaultAction", "the default");
	arena_free(m.a);
}

static void answers(void)
{
	static const struct {
		const char *question;
		enum explain_may may;
		const char *where;
	} rows[] = {
		{ "syscall:read", MAY_YES, "linux.seccomp.syscalls[0]" },
		{ "syscall:socket", MAY_DEPENDS, "linux.seccomp.syscalls[1]" },
		{ "syscall:socket:0,2", MAY_YES, "linux.seccomp.syscalls[2]" },
		{ "syscall:socket:0xffffffffffffffff,-1", MAY_NO, "linux.seccomp.defaultAction" },
		{ "syscall:getuid", MAY_NO, "linux.seccomp.defaultAction" },
		/* the call itself is denied, whatever Landlock would say */
		{ "bind:8080", MAY_NO, "linux.seccomp.defaultAction" },
		{ "open:/etc/passwd:r", MAY_YES, "root" },
		{ "open:/data/x:w", MAY_NO, "mounts[0]" },
		{ "open:/data/../etc/./x:w", MAY_YES, "root" },
		{ "open:/datax:w", MAY_YES, "root" },
	};
	struct explain_answer answer;
	struct made m;

	make(&m, profile,
	     ",\"mounts\":[{\"destination\":\"/data\",\"type\":\"tmpfs\",\"source\":\"x\","
	     "\"options\":[\"ro\"]}]");
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (!ok(explain_ask(&m.e, rows[i].question, &answer) == 0, "%s: %s",
			rows[i].question, err_last()->text))
			continue;
		is_int(answer.may, rows[i].may, "%s", rows[i].question);
		is_str(answer.where, rows[i].where, "%s", rows[i].question);
	}
	arena_free(m.a);
}

static void without_a_filter(void)
{
	struct explain_answer answer;
	struct made m;
	size_t n;

	make(&m, "", "");
	explain_abis(&m.e, &n);
	is_int(n, 0, "no architectures");
	is_int(explain_ask(&m.e, "syscall:getpid", &answer), 0, "asked");
	is_int(answer.may, MAY_YES, "allowed");
	is_int(explain_ask(&m.e, "syscall:mount", &answer), 0, "asked");
	is_int(answer.may, MAY_NO, "not without the capability");
	is_int(explain_ask(&m.e, "bind:80", &answer), 0, "asked");
	is_int(explain_ask(&m.e, "open:relative:r", &answer), -EINVAL, "refused");
	arena_free(m.a);
}

static void rights_in_words(void)
{
	auto_arena a = arena_new();
	uint64_t all = landlock_all(LANDLOCK_FS, LANDLOCK_ABI_NEWEST);

	is_str(explain_rights(a, LANDLOCK_FS, all), "all", "all");
	is_str(explain_rights(a, LANDLOCK_FS, 0), "nothing", "nothing");
	is_str(explain_rights(a, LANDLOCK_FS, all & ~LL_EXECUTE), "all but execute", "most");
	is_str(explain_rights(a, LANDLOCK_FS, LL_READ_FILE | LL_READ_DIR), "read_file+read_dir",
	       "few");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(ranges_are_the_program), TAP(rules_by_place),  TAP(answers),
		TAP(without_a_filter),       TAP(rights_in_words),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
