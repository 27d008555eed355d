/* SPDX-License-Identifier: Apache-2.0 */
/* What a task can't take back: filters, its own included. */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cycle.h"

#ifndef SYS_landlock_create_ruleset
#define SYS_landlock_create_ruleset 444
#define SYS_landlock_restrict_self 446
#endif
#ifndef SECCOMP_FILTER_FLAG_NEW_LISTENER
#define SECCOMP_FILTER_FLAG_NEW_LISTENER (1UL << 3)
#endif

/* Calls that nobody makes here: a filter each, told apart by what it answers. */
enum { A = SYS_getpriority, B = SYS_ioprio_get, C = SYS_sched_get_priority_max, D = SYS_getpgid };

static long add(int nr, uint32_t verdict, unsigned flags)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, verdict),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = 4, .filter = code };

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
}

static int answer(int nr)
{
	errno = 0;
	return syscall(nr, 1, 0, 0) < 0 ? errno : 0;
}

static void answers(int nr, int want)
{
	int is = answer(nr);

	check(is == want, "call %d answers errno %d, not %d", nr, is, want);
}

static int number(const char *path, const char *name)
{
	char text[8192], *at;

	cycle_read(path, text, sizeof(text));
	at = strstr(text, name);
	return at ? atoi(at + strlen(name)) : -1;
}

/* Of the thread. */
static int filters(void)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/task/%ld/status", syscall(SYS_gettid));
	return number(path, "\nSeccomp_filters:");
}

static void install(void *ctx)
{
	struct cycle_gate *gate = ctx;

	must(add(A, SECCOMP_RET_ERRNO | 77, 0));
	cycle_pass(*gate);
	cycle_wait();
	answers(A, 77);
	check(prctl(PR_GET_SECCOMP) == SECCOMP_MODE_FILTER, "mode %d", prctl(PR_GET_SECCOMP));
}

/* A child with a filter of its own; the others have none of it. */
static void own_filter(void)
{
	struct cycle_gate gate = cycle_gate();
	pid_t child = cycle_child(install, &gate);
	int before = answer(A); /* by the bundle's, perhaps */

	cycle_await(gate, 1);
	cycle();
	answers(A, before);
	cycle_join(child);
}

struct family {
	struct cycle_gate gate, set;
	int base;
};

static void grandchild(void *ctx)
{
	struct family *f = ctx;

	cycle_pass(f->gate);
	cycle_wait();
	answers(A, 71);
	answers(B, 72);
	answers(C, 0);
	check(filters() == f->base + 2, "%d filters", filters());
}

static void child(void *ctx)
{
	struct family *f = ctx;
	pid_t pid;

	must(add(B, SECCOMP_RET_ERRNO | 72, SECCOMP_FILTER_FLAG_LOG));
	pid = cycle_child(grandchild, f);
	cycle_pass(f->gate);
	cycle_wait();
	answers(A, 71);
	answers(B, 72);
	answers(C, 0);
	check(filters() == f->base + 2, "%d filters", filters());
	cycle_join(pid);
}

/* A chain that branches: what one has added later those before have not. The youngest decides. */
static void filter_tree(void)
{
	struct family f = { .gate = cycle_gate(), .base = filters() };
	pid_t pid;

	must(add(A, SECCOMP_RET_ERRNO | 71, 0));
	pid = cycle_child(child, &f);
	cycle_await(f.gate, 2);
	must(add(C, SECCOMP_RET_ERRNO | 70, 0));
	must(add(C, SECCOMP_RET_ERRNO | 73, 0));
	cycle();
	answers(A, 71);
	answers(B, 0);
	answers(C, 73);
	check(filters() == f.base + 3, "%d filters", filters());
	cycle_join(pid);
}

static void *filtered_thread(void *ctx)
{
	struct family *f = ctx;

	must(add(D, SECCOMP_RET_ERRNO | 74, 0));
	cycle_pass(f->gate);
	cycle_wait();
	answers(D, 74);
	answers(A, 71);
	check(filters() == f->base + 2, "%d filters in the thread", filters());
	return NULL;
}

static void *plain_thread(void *ctx)
{
	struct family *f = ctx;

	cycle_pass(f->gate);
	cycle_await(f->set, 1);
	cycle_wait();
	answers(D, 0);
	answers(A, 71);
	check(filters() == f->base + 1, "%d filters in the thread", filters());
	return NULL;
}

/* One thread has more than the others. */
static void filter_threads(void)
{
	struct family f = { .gate = cycle_gate(), .set = cycle_gate(), .base = filters() };
	pthread_t more, plain;

	must(-pthread_create(&plain, NULL, plain_thread, &f));
	cycle_await(f.gate, 1);
	must(add(A, SECCOMP_RET_ERRNO | 71, SECCOMP_FILTER_FLAG_TSYNC));
	cycle_pass(f.set);
	must(-pthread_create(&more, NULL, filtered_thread, &f));
	cycle_await(f.gate, 2);
	cycle();
	answers(A, 71);
	answers(D, 0);
	check(filters() == f.base + 1, "%d filters", filters());
	pthread_join(plain, NULL);
	pthread_join(more, NULL);
}

static void *waiting_thread(void *ctx)
{
	struct cycle_gate *gates = ctx;

	cycle_pass(gates[0]);
	cycle_await(gates[1], 1);
	answers(A, 71);
	cycle_pass(gates[0]);
	cycle_await(gates[1], 2);
	answers(A, 71);
	answers(B, 72);
	return NULL;
}

static void plain_child(void *ctx)
{
	struct cycle_gate *gate = ctx;

	cycle_pass(*gate);
	cycle_wait();
	answers(A, 0);
	answers(B, 0);
}

/* What threads have in common is one filter: or no other could be given to all of them. */
static void filter_sync(void)
{
	struct cycle_gate gates[2] = { cycle_gate(), cycle_gate() };
	pid_t pid = cycle_child(plain_child, &gates[0]);
	pthread_t thread;
	long ret;

	must(-pthread_create(&thread, NULL, waiting_thread, gates));
	cycle_await(gates[0], 2);
	must(add(A, SECCOMP_RET_ERRNO | 71, SECCOMP_FILTER_FLAG_TSYNC));
	cycle();
	cycle_pass(gates[1]);
	cycle_await(gates[0], 3);
	ret = add(B, SECCOMP_RET_ERRNO | 72, SECCOMP_FILTER_FLAG_TSYNC);
	check(ret == 0, "thread %ld does not take a filter", ret);
	cycle_pass(gates[1]);
	pthread_join(thread, NULL);
	cycle_join(pid);
}

/* A filter that asks: its listener is nobody's, but that does not show. */
static void asking_filter(void)
{
	int fd = (int)must(add(A, SECCOMP_RET_USER_NOTIF, SECCOMP_FILTER_FLAG_NEW_LISTENER));

	must(close(fd));
	cycle();
	answers(A, ENOSYS);
}

/* Strict mode: read(2) and write(2) are all that is left, and the end by exit(2). */
static void filter_strict(void)
{
	char path[64], c = 0;
	int to[2], from[2], status;
	pid_t pid;

	if (filters())
		cycle_skip("strict mode and the bundle's filter rule each other out");
	must(pipe(to));
	must(pipe(from));
	pid = (pid_t)must(fork());
	if (pid == 0) {
		must(prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT));
		while (read(to[0], &c, 1) == 1 && write(from[1], &c, 1) == 1)
			if (c == 'e')
				syscall(SYS_getpid); /* it ends here */
		syscall(SYS_exit, 1);
	}
	must(write(to[1], "a", 1));
	must(read(from[0], &c, 1));
	cycle();
	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	check(number(path, "\nSeccomp:") == SECCOMP_MODE_STRICT, "it is in mode %d",
	      number(path, "\nSeccomp:"));
	must(write(to[1], "b", 1));
	check(read(from[0], &c, 1) == 1 && c == 'b', "it answers '%c'", c);
	must(write(to[1], "e", 1));
	check(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL,
	      "it ended with 0x%x", status);
}

/* One domain more, of the calling thread. */
static void enter_domain(void)
{
	const uint64_t handled = 1; /* LANDLOCK_ACCESS_FS_EXECUTE */
	int fd = (int)syscall(SYS_landlock_create_ruleset, &handled, sizeof(handled), 0);

	if (fd < 0)
		cycle_skip("this kernel has no Landlock");
	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(syscall(SYS_landlock_restrict_self, fd, 0));
	must(close(fd));
}

static void first_domain(void)
{
	enter_domain();
	cycle();
}

static void in_domain(void *ctx)
{
	struct cycle_gate *gate = ctx;

	enter_domain();
	cycle_pass(*gate);
	cycle_wait();
}

static void child_domain(void)
{
	struct cycle_gate gate = cycle_gate();
	pid_t pid = cycle_child(in_domain, &gate);

	cycle_await(gate, 1);
	cycle();
	cycle_join(pid);
}

static void *thread_in_domain(void *ctx)
{
	in_domain(ctx);
	return NULL;
}

static void thread_domain(void)
{
	struct cycle_gate gate = cycle_gate();
	pthread_t thread;

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	must(-pthread_create(&thread, NULL, thread_in_domain, &gate));
	cycle_await(gate, 1);
	cycle();
	pthread_join(thread, NULL);
}

static void *plain_waiter(void *ctx)
{
	struct cycle_gate *gate = ctx;

	cycle_pass(*gate);
	cycle_wait();
	return NULL;
}

static void wait_as(uid_t user, void *ctx)
{
	pthread_t thread;

	if (setgid(user) < 0 || setuid(user) < 0)
		check(errno == EPERM || errno == EINVAL, "become user %u: errno %d", user, errno);
	must(-pthread_create(&thread, NULL, plain_waiter, ctx));
	plain_waiter(ctx);
	pthread_join(thread, NULL);
}

static void wait_as_one(void *ctx)
{
	wait_as(1234, ctx);
}

static void wait_as_other(void *ctx)
{
	wait_as(4321, ctx);
}

/* Nobody has a domain of its own, though all could, and they may not look at each other. */
static void no_domain(void)
{
	struct cycle_gate gate = cycle_gate();
	pid_t pids[4];

	must(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
	for (int i = 0; i < 4; i++)
		pids[i] = cycle_child(i % 2 ? wait_as_one : wait_as_other, &gate);
	cycle_await(gate, 8);
	cycle();
	for (int i = 0; i < 4; i++)
		cycle_join(pids[i]);
	errno = 0;
	check(waitpid(-1, NULL, __WALL) < 0 && errno == ECHILD, "a child that nobody made");
}

/* What the bundle's filter does, the test sets: getpriority(2) answers 78. */
static void bundle_filter(void)
{
	int n = filters();

	if (answer(A) != 78)
		cycle_skip("the bundle has no filter that answers 78 to getpriority(2)");
	cycle();
	answers(A, 78);
	check(filters() == n, "%d filters, there were %d", filters(), n);
}

const struct cycle_case confine_cases[] = {
	{ "filter-own", own_filter },         { "filter-tree", filter_tree },
	{ "filter-threads", filter_threads }, { "filter-sync", filter_sync },
	{ "filter-asking", asking_filter },   { "filter-strict", filter_strict },
	{ "filter-bundle", bundle_filter },   { "domain-first", first_domain },
	{ "domain-child", child_domain },     { "domain-thread", thread_domain },
	{ "domain-none", no_domain },         { NULL, NULL },
};
