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
