/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/guard.h"

#include "base/err.h"
#include "base/mem.h"
#include "bpf/abi.h"
#include "bpf/run.h"
#include "lib/tap.h"
#include "super/super.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#define MISSING (SECCOMP_RET_ERRNO | ENOSYS)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct guard_call calls[] = {
	GUARD_ALL("bind"),
	GUARD_SET("accept4", 1),
	GUARD_SET("recvfrom", 4),
};

static struct filter build(struct arena *a)
{
	struct filter f = { .code = NULL };

	if (!is_int(guard_build(a, calls, COUNT(calls), &f), 0, "built: %s", err_last()->text))
		abort();
	is_str(run_check(f.code, f.len), NULL, "the kernel takes it");
	ok(f.notifies, "it wants a listener");
	return f;
}

static uint32_t verdict(const struct filter *f, uint32_t token, int nr, const uint64_t *args)
{
	struct seccomp_data data = { .nr = nr, .arch = abi_find(token)->audit };

	if (args)
		memcpy(data.args, args, sizeof(data.args));
	return run_program(f->code, f->len, &data, NULL).verdict;
}

static int number(uint32_t token, const char *name)
{
	return seccomp_syscall_resolve_name_arch(token, name);
}

static void asks_natively(void)
{
	static const uint64_t low[6] = { [1] = 8, [4] = 8 }, high[6] = { [1] = 1ull << 32 },
			      other[6] = { 1, 0, 1, 1, 0, 1 };
	auto_arena a = arena_new();
	struct filter f = build(a);
	uint32_t native = abi_native()->token;
	int accept4 = number(native, "accept4");

	is_int(verdict(&f, native, number(native, "bind"), NULL), SECCOMP_RET_USER_NOTIF, "bind");
	is_int(verdict(&f, native, accept4, low), SECCOMP_RET_USER_NOTIF, "an address");
	is_int(verdict(&f, native, accept4, high), SECCOMP_RET_USER_NOTIF, "a high address");
	is_int(verdict(&f, native, accept4, other), SECCOMP_RET_ALLOW, "no address");
	is_int(verdict(&f, native, number(native, "recvfrom"), low), SECCOMP_RET_USER_NOTIF,
	       "the fifth argument");
	is_int(verdict(&f, native, number(native, "recvfrom"), high), SECCOMP_RET_ALLOW,
	       "not another one");
}

static void asks_by_rows(void)
{
	static const uint32_t values[] = { 5, 7 }, one[] = { 5 };
	static const struct guard_call rows[] = {
		GUARD_SET("accept4", 1),     GUARD_IN("ioctl", 1, values),
		GUARD_SET("accept4", 2),     GUARD_NEW("no_name_yet", 999),
		GUARD_IN("accept4", 3, one),
	};
	static const struct {
		const char *name;
		uint64_t args[6];
		uint32_t verdict;
	} cases[] = {
		{ "accept4", { 0, 8, 0, 0 }, SECCOMP_RET_USER_NOTIF },
		{ "accept4", { 0, 0, 8, 0 }, SECCOMP_RET_USER_NOTIF },
		{ "accept4", { 0, 0, 0, 5 }, SECCOMP_RET_USER_NOTIF },
		{ "accept4", { 8, 0, 0, 7 }, SECCOMP_RET_ALLOW },
		{ "ioctl", { 0, 5, 0, 0 }, SECCOMP_RET_USER_NOTIF },
		{ "ioctl", { 0, 1ull << 32 | 7, 0, 0 }, SECCOMP_RET_USER_NOTIF },
		{ "ioctl", { 5, 6, 7, 0 }, SECCOMP_RET_ALLOW },
	};
	auto_arena a = arena_new();
	uint32_t native = abi_native()->token;
	struct filter f;

	if (!is_int(guard_build(a, rows, COUNT(rows), &f), 0, "built: %s", err_last()->text))
		return;
	is_str(run_check(f.code, f.len), NULL, "the kernel takes it");
	for (size_t i = 0; i < COUNT(cases); i++)
		is_int(verdict(&f, native, number(native, cases[i].name), cases[i].args),
		       cases[i].verdict, "case %zu", i);
	is_int(verdict(&f, native, 999, NULL), SECCOMP_RET_USER_NOTIF, "by number");
	if (native == SCMP_ARCH_X86_64) {
		is_int(verdict(&f, native, (int)(ABI_X32_BIT | 999), NULL), MISSING, "of x32");
		is_int(verdict(&f, SCMP_ARCH_X86, 999, NULL), MISSING, "of i386");
	}
}

static void asks_by_tests(void)
{
	static const struct guard_call some[] = {
		/* one of two clocks, until a time that is told, and not one of the supervisor's */
		{ .name = "clock_nanosleep",
		  .argument = 2,
		  .also = { { 0, 2, UINT32_MAX, { 0, 11 } }, { 1, 1, 1, { 1 } } },
		  .pass = 2 },
		{ .name = "futex", .argument = 3, .also = { { 1, 1, ~128u, { 265 } } }, .pass = 2 },
		{ .name = "futex", .argument = -1, .also = { { 1, 1, ~128u, { 6 } } }, .pass = 2 },
		{ .name = "utimensat", .argument = 2, .pass = 4 },
		GUARD_SET("utimensat", 1),
	};
	static const struct {
		const char *call;
		uint64_t args[6];
		bool asked;
	} rows[] = {
		{ "clock_nanosleep", { 0, 1, 8 }, true },
		{ "clock_nanosleep", { 11, 3, 8 }, true },
		{ "clock_nanosleep", { 1, 1, 8 }, false },
		{ "clock_nanosleep", { 0, 2, 8 }, false },
		{ "clock_nanosleep", { 0, 1, 0 }, false },
		/* the kernel takes an int: what is above it says nothing but who made the call */
		{ "clock_nanosleep", { 1ull << 32, 1, 8 }, true },
		{ "clock_nanosleep", { 0, 1 | 1ull << 32, 8 }, true },
		{ "clock_nanosleep", { 0, 1 | (uint64_t)GUARD_PASS << 32, 8 }, false },
		{ "futex", { 8, 265, 0, 8 }, true },
		{ "futex", { 8, 265 | 128, 0, 8 }, true },
		{ "futex", { 8, 265, 0, 0 }, false },
		{ "futex", { 8, 9, 0, 8 }, false },
		{ "futex", { 8, 6, 0, 0 }, true },
		{ "futex", { 8, 0, 0, 8 }, false },
		{ "futex", { 8, 1, 0, 0 }, false },
		{ "utimensat", { 3, 0, 8 }, true },
		{ "utimensat", { 3, 0, 8, (uint64_t)GUARD_PASS << 32 }, false },
		{ "utimensat", { 3, 0, 0 }, false },
		/* it passes by its own row, not by another feature's */
		{ "utimensat", { 3, 8, 8, (uint64_t)GUARD_PASS << 32 }, true },
	};
	auto_arena a = arena_new();
	struct filter f = { .code = NULL };
	uint32_t native = abi_native()->token;

	is_int(guard_build(a, some, COUNT(some), &f), 0, "built");
	is_str(run_check(f.code, f.len), NULL, "the kernel takes it");
	for (size_t i = 0; i < COUNT(rows); i++)
		is_int(verdict(&f, native, number(native, rows[i].call), rows[i].args),
		       rows[i].asked ? SECCOMP_RET_USER_NOTIF : SECCOMP_RET_ALLOW, "row %zu: %s", i,
		       rows[i].call);
}

/* Each call of the machine, native and beside: but for those of the table all pass. */
static void others_pass(void)
{
	auto_arena a = arena_new();
	struct filter f = build(a);
	uint32_t native = abi_native()->token;
	int asked = 0;

	for (int nr = 0; nr < 1024; nr++)
		asked += verdict(&f, native, nr, NULL) != SECCOMP_RET_ALLOW;
	is_int(asked, 1, "bind, and without addresses nothing else");
}

static void refuses_beside(void)
{
	static const uint64_t address[6] = { [1] = 8, [4] = 8 };
	auto_arena a = arena_new();
	struct filter f = build(a);

	if (abi_native()->token != SCMP_ARCH_X86_64)
		tap_skip("i386 and x32 are beside x86_64 only");
	is_int(verdict(&f, SCMP_ARCH_X86, 361, NULL), MISSING, "bind of i386");
	is_int(verdict(&f, SCMP_ARCH_X86, 364, address), MISSING, "accept4 of i386");
	is_int(verdict(&f, SCMP_ARCH_X86, 364, NULL), SECCOMP_RET_ALLOW, "without an address");
	for (uint64_t call = 1; call <= 20; call++) {
		const uint64_t args[6] = { call, 8 };
		bool ours = call == 2 || call == 12 || call == 18;

		is_int(verdict(&f, SCMP_ARCH_X86, 102, args), ours ? MISSING : SECCOMP_RET_ALLOW,
		       "socketcall %d", (int)call);
	}
	is_int(verdict(&f, SCMP_ARCH_X86, 49, NULL), SECCOMP_RET_ALLOW, "49 is another call there");
	is_int(verdict(&f, SCMP_ARCH_X86_64, (int)(ABI_X32_BIT | 49), NULL), MISSING,
	       "bind of x32");
	is_int(verdict(&f, SCMP_ARCH_X86_64, (int)(ABI_X32_BIT | 517), address), MISSING,
	       "recvfrom of x32");
	is_int(verdict(&f, SCMP_ARCH_S390X, 1, NULL), MISSING, "an unknown architecture");
}

/* Of i386 all that leads to a file, or changes who a thread is to them, fails; by whichever
 * name. */
static void refuses_paths_beside(void)
{
	static const char *const names[] = {
		"open",           "openat",     "openat2",     "creat",      "stat",
		"stat64",         "lstat64",    "fstatat64",   "statx",      "oldstat",
		"oldlstat",       "access",     "readlink",    "statfs",     "statfs64",
		"chmod",          "fchmod",     "chown",       "chown32",    "lchown",
		"lchown32",       "fchown",     "fchown32",    "utime",      "utimes",
		"utimensat",      "truncate",   "truncate64",  "mkdir",      "rmdir",
		"unlink",         "rename",     "link",        "symlink",    "mknod",
		"chdir",          "chroot",     "execve",      "mount",      "umount",
		"umount2",        "pivot_root", "getdents",    "getdents64", "readdir",
		"getcwd",         "setxattr",   "removexattr", "setuid",     "setuid32",
		"setgid",         "setgid32",   "setreuid",    "setreuid32", "setregid",
		"setregid32",     "setresuid",  "setresuid32", "setresgid",  "setresgid32",
		"setfsuid",       "setfsuid32", "setfsgid",    "setfsgid32", "setgroups",
		"setgroups32",    "capset",     "umask",       "unshare",    "setns",
		"io_uring_setup",
	};
	const struct super_plan plan = { .ports = true, .map = true, .quota = true, .time = true };
	auto_arena a = arena_new();
	struct filter f = { .code = NULL };

	if (abi_native()->token != SCMP_ARCH_X86_64)
		tap_skip("i386 is beside x86_64 only");
	if (!is_int(super_filter(a, &plan, &f), 0, "built: %s", err_last()->text))
		return;
	for (size_t i = 0; i < COUNT(names); i++)
		is_int(verdict(&f, SCMP_ARCH_X86,
			       seccomp_syscall_resolve_name_arch(SCMP_ARCH_X86, names[i]), NULL),
		       MISSING, "%s of i386", names[i]);
}

static void refuses_unknown_names(void)
{
	static const struct guard_call bad[] = { GUARD_ALL("no_such_call") };
	auto_arena a = arena_new();
	struct filter f;

	is_int(guard_build(a, bad, 1, &f), -EINVAL, "not built");
	ok(strstr(err_last()->text, "no_such_call"), "the text names it: %s", err_last()->text);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(asks_natively),         TAP(asks_by_rows),         TAP(asks_by_tests),
		TAP(others_pass),           TAP(refuses_paths_beside), TAP(refuses_beside),
		TAP(refuses_unknown_names),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
