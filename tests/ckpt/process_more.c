/* SPDX-License-Identifier: Apache-2.0 */
/* What of children has not been told yet; memory that may be dropped; descriptors of segments. */
#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cycle.h"

#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

static void idle(void *ctx)
{
	(void)ctx;
	cycle_wait();
}

/* In a group of its own, whose stop is no orphan's: that has no effect. */
static pid_t child_in_group(void)
{
	pid_t child = cycle_child(idle, NULL);

	must(setpgid(child, child));
	return child;
}

static void on_child(int signal)
{
	(void)signal;
}

/* One that stopped, and its parent has not asked; one where it has; one that goes on again, and it
 * has not asked. */
static void reports(void)
{
	struct sigaction act = { .sa_handler = on_child, .sa_flags = SA_RESTART };
	pid_t untold, told, on;
	siginfo_t info = { 0 };

	must(sigaction(SIGCHLD, &act, NULL));
	untold = child_in_group();
	told = child_in_group();
	on = child_in_group();
	must(kill(untold, SIGTSTP));
	must(kill(told, SIGTTIN));
	must(kill(on, SIGSTOP));
	must(waitid(P_PID, (id_t)untold, &info, WSTOPPED | WNOWAIT));
	must(waitid(P_PID, (id_t)told, &info, WSTOPPED));
	must(waitid(P_PID, (id_t)on, &info, WSTOPPED));
	must(kill(on, SIGCONT));
	must(waitid(P_PID, (id_t)on, &info, WCONTINUED | WNOWAIT));
	cycle();
	info.si_pid = 0;
	must(waitid(P_PID, (id_t)untold, &info, WSTOPPED | WNOHANG));
	check(info.si_pid == untold && info.si_status == SIGTSTP, "pid %d, by signal %d",
	      info.si_pid, info.si_status);
	info.si_pid = 0;
	must(waitid(P_PID, (id_t)told, &info, WSTOPPED | WNOHANG));
	check(info.si_pid == 0, "told again: by signal %d", info.si_status);
	info.si_pid = 0;
	must(waitid(P_PID, (id_t)on, &info, WCONTINUED | WNOHANG));
	check(info.si_pid == on, "that it goes on is not told");
	must(kill(untold, SIGCONT));
	must(kill(told, SIGCONT));
	cycle_join(untold);
	cycle_join(told);
	cycle_join(on);
}

/* As libc has it for random numbers. */
static void droppable(void)
{
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);
	char line[256];

	if (m == MAP_FAILED)
		cycle_skip("the kernel has no MAP_DROPPABLE");
	m[0] = 1;
	cycle();
	check(m[0] == 0 || m[0] == 1, "%d", m[0]);
	m[4096] = 2;
	check(m[4096] == 2 || m[4096] == 0, "%d", m[4096]);
	/* a lock is what such memory ignores; that it is droppable shows by what it refuses */
	check(madvise(m, 8192, MADV_KEEPONFORK) < 0 && errno == EINVAL, "it is kept on fork");
	(void)line;
}

static void segments(void)
{
#if __x86_64__
	struct {
		unsigned number, base, limit, flags;
	} d = { 3, 0x10000, 0xfff, 0x51 };
	char was[8192] = { 0 }, is[8192] = { 0 };
	long n;

	if (syscall(SYS_modify_ldt, 0x11, &d, sizeof(d)) < 0)
		cycle_skip("the kernel has no modify_ldt(2)");
	n = must(syscall(SYS_modify_ldt, 0, was, sizeof(was)));
	cycle();
	check(syscall(SYS_modify_ldt, 0, is, sizeof(is)) == n && memcmp(was, is, 8192) == 0,
	      "they are gone");
#else
	cycle_skip("there are none");
#endif
}

static void zero_mapped(void)
{
	FILE *f = fopen("/dev/zero", "r+e");
	char *m, *s;

	if (!f)
		cycle_skip("no /dev/zero");
	m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fileno(f), 0);
	s = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
	m[0] = 5;
	s[0] = 6;
	cycle();
	check(m[0] == 5 && s[0] == 6 && m[4096] == 0 && s[4096] == 0, "%d %d", m[0], s[0]);
}

/* A thread whose process goes on without its first one; not told by a signal that it is. */
static int child_of_clone(void *ctx)
{
	(void)ctx;
	cycle_wait();
	return 3;
}

static void other_signal(void)
{
	static char stack[65536] __attribute__((aligned(16)));
	pid_t child = (pid_t)must(clone(child_of_clone, stack + sizeof(stack), SIGUSR2, NULL));

	signal(SIGUSR2, SIG_IGN);
	cycle();
	waitpid(child, NULL, __WCLONE);
}

const struct cycle_case process_more_cases[] = {
	{ "reports", reports },         { "memory-droppable", droppable }, { "segments", segments },
	{ "memory-zero", zero_mapped }, { "other-signal", other_signal },  { NULL, NULL },
};
