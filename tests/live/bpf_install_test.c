/* SPDX-License-Identifier: Apache-2.0 */
/* Filters in this kernel. Each case is a process of its own, so nothing has to be undone. */
#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "lib/tap.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define ERRNO(n) (SECCOMP_RET_ERRNO | (n))
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The default must let the test itself go on: everything is a denial on top of ALLOW. */
static struct filter build(struct arena *a, const struct filter_rule *rules, size_t n)
{
	struct filter_profile p = { SECCOMP_RET_ALLOW, NULL, 0, rules, n, false, false };
	struct filter f = { 0 };

	is_int(filter_build(a, &p, &f), 0, "built: %s", err_last()->text);
	return f;
}

static bool install(const struct filter *f, uint32_t flags, int *listener)
{
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		tap_skip("no_new_privs cannot be set");
	return is_int(filter_install(f, flags, listener), 0, "installed: %s", err_last()->text);
}

static void denies(void)
{
	static const char *const mkdir_names[] = { "mkdir", "mkdirat" }, *const sync[] = { "sync" };
	const struct filter_rule rules[] = { { mkdir_names, 2, NULL, 0, ERRNO(EXDEV) },
					     { sync, 1, NULL, 0, ERRNO(EUCLEAN) } };
	auto_arena a = arena_new();
	struct filter f = build(a, rules, COUNT(rules));
	int listener = 77;

	if (!install(&f, 0, &listener))
		return;
	is_int(listener, -1, "no listener");
	is_int(syscall(SYS_mkdirat, AT_FDCWD, "/tmp/never", 0700), -1, "mkdirat is denied");
	is_int(errno, EXDEV, "with the errno of its rule");
	is_int(syscall(SYS_sync), -1, "sync too");
	is_int(errno, EUCLEAN, "with its own");
	ok(getppid() > 0, "the rest goes on");
}

static void looks_at_arguments(void)
{
	static const char *const names[] = { "socket" }, *const prctl_name[] = { "prctl" };
	static const struct filter_arg inet[] = { { 0, FILTER_EQ, AF_INET, 0 },
						  { 1, FILTER_MASKED_EQ, 0xf, SOCK_DGRAM } };
	static const struct filter_arg wide[] = { { 1, FILTER_GE, 0x100000000, 0 } };
	const struct filter_rule rules[] = { { names, 1, inet, 2, ERRNO(ENFILE) },
					     { prctl_name, 1, wide, 1, ERRNO(EDOM) } };
	auto_arena a = arena_new();
	struct filter f = build(a, rules, COUNT(rules));
	int listener, fd;

	if (!install(&f, 0, &listener))
		return;
	is_int(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), -1, "this one is denied");
	is_int(errno, ENFILE, "with the errno of the rule");
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ok(fd >= 0, "another family is not");
	close(fd);
	is_int(syscall(SYS_prctl, PR_GET_DUMPABLE, 0x100000000ul), -1, "the high half counts");
	is_int(errno, EDOM, "by its rule");
	ok(syscall(SYS_prctl, PR_GET_DUMPABLE, 0xfffffffful) >= 0, "one less is allowed");
}

static void kills(void)
{
	static const char *const names[] = { "sync" };
	const struct filter_rule rule = { names, 1, NULL, 0, SECCOMP_RET_KILL_PROCESS };
	auto_arena a = arena_new();
	struct filter f = build(a, &rule, 1);
	int status = 0, listener;
	pid_t pid = fork();

	if (pid == 0) {
		if (install(&f, 0, &listener))
			syscall(SYS_sync);
		_exit(0);
	}
	ok(pid > 0 && waitpid(pid, &status, 0) == pid, "it ended");
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS, "by SIGSYS");
}

/* The child's call waits until the listener has answered it. */
static void notifies(void)
{
	static const char *const names[] = { "personality" };
	const struct filter_rule rule = { names, 1, NULL, 0, SECCOMP_RET_USER_NOTIF };
	auto_arena a = arena_new();
	struct filter f = build(a, &rule, 1);
	struct seccomp_notif_resp answer = { 0 };
	struct seccomp_notif call = { 0 };
	int listener = -1, status;
	pid_t pid;

	if (!install(&f, filter_flags_supported() & SECCOMP_FILTER_FLAG_LOG, &listener))
		return;
	ok(listener >= 0, "a listener");
	pid = fork();
	if (pid == 0)
		_exit(syscall(SYS_personality, 0x1234) == 42 ? 0 : 1);
	if (!is_int(ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &call), 0, "received"))
		return;
	is_int(call.data.nr, SYS_personality, "the call");
	is_int(call.data.args[0], 0x1234, "its argument");
	answer.id = call.id;
	answer.val = 42;
	is_int(ioctl(listener, SECCOMP_IOCTL_NOTIF_SEND, &answer), 0, "answered");
	ok(waitpid(pid, &status, 0) == pid && status == 0, "the caller got the answer");
}

static void one_listener_only(void)
{
	static const char *const names[] = { "personality" };
	const struct filter_rule rule = { names, 1, NULL, 0, SECCOMP_RET_USER_NOTIF };
	auto_arena a = arena_new();
	struct filter f = build(a, &rule, 1);
	int listener = -1, second = 77;

	if (!install(&f, 0, &listener))
		return;
	is_int(filter_install(&f, 0, &second), -EBUSY, "a second one: %s", err_last()->text);
	is_int(second, 77, "nothing is written on failure");
}

static void threads_follow(void)
{
	auto_arena a = arena_new();
	struct filter f = build(a, NULL, 0);
	int listener = -1;

	install(&f, SECCOMP_FILTER_FLAG_TSYNC, &listener);
	is_int(prctl(PR_GET_SECCOMP), SECCOMP_MODE_FILTER, "a filter is in place");
}

static void flags_of_the_kernel(void)
{
	uint32_t flags = filter_flags_supported();
	const char *const *name;

	for (name = filter_flag_names(); *name; name++)
		printf("# %s: %s\n", *name, flags & filter_flag(*name) ? "yes" : "no");
	ok(flags & SECCOMP_FILTER_FLAG_TSYNC, "every kernel since 3.17 has TSYNC");
	is_int(prctl(PR_GET_SECCOMP), 0, "asking installs nothing");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(denies),
		TAP(looks_at_arguments),
		TAP(kills),
		TAP(notifies),
		TAP(one_listener_only),
		TAP(threads_follow),
		TAP(flags_of_the_kernel),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
