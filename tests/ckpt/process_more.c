/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that may be dropped; segments; time slices; ends of children that are told by another
 * signal. */
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

/* As libc has it for random numbers. What is in it is nobody's promise; that it stays droppable
 * shows by what it refuses. */
static void droppable(void)
{
	char *m = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0);

	if (m == MAP_FAILED)
		cycle_skip("the kernel has no MAP_DROPPABLE");
	m[0] = 1;
	cycle();
	check(m[0] == 0 || m[0] == 1, "%d", m[0]);
	m[4096] = 2;
	check(m[4096] == 2 || m[4096] == 0, "%d", m[4096]);
	check(madvise(m, 8192, MADV_KEEPONFORK) < 0 && errno == EINVAL, "it is droppable no more");
}

static void segments(void)
{
#ifdef SYS_modify_ldt
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

/* ---- children of whose end another signal tells, or none */

static volatile sig_atomic_t told;

static void on_end(int signal)
{
	(void)signal;
	told++;
}

static int end_now(void *ctx)
{
	(void)ctx;
	return 5;
}

static int end_later(void *ctx)
{
	cycle_wait();
	return end_now(ctx);
}

static pid_t clone_told_by(int (*fn)(void *ctx), int signal)
{
	static char stacks[3][65536] __attribute__((aligned(16)));
	static int n;

	return (pid_t)must(clone(fn, stacks[n++] + sizeof(stacks[0]), signal, NULL));
}

static void wants_end(pid_t child, const char *what)
{
	int status = 0;
	pid_t got = waitpid(child, &status, 0);

	check(got < 0 && errno == ECHILD, "%s: it is a child like any other", what);
	do {
		got = waitpid(child, &status, __WCLONE);
	} while (got < 0 && errno == EINTR);
	check(got == child && WIFEXITED(status) && WEXITSTATUS(status) == 5,
	      "%s: ended with status 0x%x", what, status);
}

static void other_signal(void)
{
	struct sigaction act = { .sa_handler = on_end };
	siginfo_t info;
	pid_t zombie, later, untold;

	must(sigaction(SIGUSR2, &act, NULL));
	zombie = clone_told_by(end_now, SIGUSR2);
	while (waitid(P_PID, (id_t)zombie, &info, WEXITED | WNOWAIT | __WALL) < 0)
		must(errno == EINTR ? 0 : -1);
	check(told == 1, "told %d times of one end", (int)told);
	later = clone_told_by(end_later, SIGUSR2);
	untold = clone_told_by(end_later, 0);
	cycle();
	wants_end(zombie, "the zombie");
	wants_end(later, "one that lived");
	wants_end(untold, "one nobody is told of");
	check(told == 2, "told %d times of two ends", (int)told);
}

/* How long it runs at a time, since Linux 6.12: of an ordinary thread, too. */
static void time_slice(void)
{
	struct {
		uint32_t size, policy;
		uint64_t flags;
		int32_t nice;
		uint32_t priority;
		uint64_t runtime, deadline, period;
	} want = { .size = sizeof(want), .nice = 3, .runtime = 7000000 }, is = { 0 };

	must(syscall(SYS_sched_setattr, 0, &want, 0));
	must(syscall(SYS_sched_getattr, 0, &is, sizeof(is), 0));
	if (is.runtime != want.runtime)
		cycle_skip("the kernel has no time slices of a thread's own");
	cycle();
	must(syscall(SYS_sched_getattr, 0, &is, sizeof(is), 0));
	check(is.runtime == want.runtime && is.nice == 3, "%llu ns, nice %d",
	      (unsigned long long)is.runtime, is.nice);
}

/* clang-format off */
const struct cycle_case process_more_cases[] = {
	{ "memory-droppable", droppable },
	{ "segments", segments },
	{ "time-slice", time_slice },
	{ "memory-zero", zero_mapped },
	{ "other-signal", other_signal },
	{ NULL, NULL },
};
/* clang-format on */
