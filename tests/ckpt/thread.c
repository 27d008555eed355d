/* SPDX-License-Identifier: Apache-2.0 */
/* Threads: numbers, names, thread-local storage, masks, and what the kernel does at their end. */
#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/rseq.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cycle.h"

#define MANY 16
#define CROWD 1000
#define SIGSTACK 16384

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

static struct cycle_gate gate;
static __thread int own = -1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t turn = PTHREAD_COND_INITIALIZER;
static int turns;

static pid_t tid_of_self(void)
{
	return (pid_t)syscall(SYS_gettid);
}

static void *live(void *ctx)
{
	int n = (int)(intptr_t)ctx;
	pid_t tid = tid_of_self();
	char name[16], is[16];
	sigset_t set, mask;

	own = n;
	snprintf(name, sizeof(name), "thread-%d", n);
	prctl(PR_SET_NAME, name);
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + n % 10);
	pthread_sigmask(SIG_SETMASK, &set, NULL);
	cycle_pass(gate);

	pthread_mutex_lock(&lock);
	while (turns != n)
		pthread_cond_wait(&turn, &lock);
	turns++;
	pthread_cond_broadcast(&turn);
	pthread_mutex_unlock(&lock);

	check(own == n, "thread-local value %d of thread %d", own, n);
	check(tid_of_self() == tid, "was %d, is %d", tid, tid_of_self());
	prctl(PR_GET_NAME, is);
	check(strcmp(is, name) == 0, "name \"%s\", was \"%s\"", is, name);
	pthread_sigmask(SIG_SETMASK, NULL, &mask);
	for (int s = 1; s < SIGRTMAX; s++)
		check(sigismember(&mask, s) == sigismember(&set, s), "thread %d: mask of signal %d",
		      n, s);
	return (void *)(intptr_t)(n + 100);
}

/* All wait on one condition; afterwards they go one by one, and are joined. */
static void threads(void)
{
	pthread_t t[MANY], late;
	void *result;

	gate = cycle_gate();
	turns = -1;
	for (int i = 0; i < MANY; i++)
		must(-pthread_create(&t[i], NULL, live, (void *)(intptr_t)i));
	cycle_await(gate, MANY);
	cycle();
	pthread_mutex_lock(&lock);
	turns = 0;
	pthread_cond_broadcast(&turn);
	pthread_mutex_unlock(&lock);
	for (int i = 0; i < MANY; i++) {
		must(-pthread_join(t[i], &result));
		check((intptr_t)result == i + 100, "thread %d returned %ld", i, (long)result);
	}
	turns = MANY;
	must(-pthread_create(&late, NULL, live, (void *)(intptr_t)MANY));
	must(-pthread_join(late, &result));
	check((intptr_t)result == MANY + 100, "a new thread returned %ld", (long)result);
}

static char stacks[CROWD][SIGSTACK];

/* What each has is its own. */
static void *drowse(void *ctx)
{
	int n = (int)(intptr_t)ctx;
	const stack_t own_stack = { .ss_sp = stacks[n], .ss_size = SIGSTACK };
	char name[16], is[16];
	stack_t stack;

	snprintf(name, sizeof(name), "one of many %d", n);
	must(prctl(PR_SET_NAME, name));
	must(prctl(PR_SET_TIMERSLACK, 100000L + n));
	must(sigaltstack(&own_stack, NULL));
	cycle_pass(gate);
	cycle_wait();
	prctl(PR_GET_NAME, is);
	check(strcmp(is, name) == 0, "name \"%s\", was \"%s\"", is, name);
	check(prctl(PR_GET_TIMERSLACK) == 100000 + n, "slack %d of thread %d",
	      prctl(PR_GET_TIMERSLACK), n);
	must(sigaltstack(NULL, &stack));
	check(stack.ss_sp == stacks[n], "thread %d has the stack of another", n);
	return ctx;
}

/* A thousand of them. */
static void many(void)
{
	static pthread_t t[CROWD];
	pthread_attr_t attr;
	int n = 0;

	gate = cycle_gate();
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 65536);
	while (n < CROWD && pthread_create(&t[n], &attr, drowse, (void *)(intptr_t)n) == 0)
		n++;
	if (n < CROWD)
		cycle_skip("no more than %d threads are allowed", n);
	cycle_await(gate, n);
	cycle();
	for (int i = 0; i < n; i++) {
		void *result = NULL;

		must(-pthread_join(t[i], &result));
		check((intptr_t)result == i, "thread %d returned %p", i, result);
	}
}

/* What system calls say of the thread that makes them. */
struct self {
	uint32_t uid[3], gid[3], groups[8];
	int n_groups, securebits, slack, personality, pdeathsig;
	struct __user_cap_data_struct caps[2];
	char name[16];
	stack_t stack;
	void *robust, *tid_address;
};

static void look(struct self *s)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	size_t len;

	memset(s, 0, sizeof(*s));
	must(syscall(SYS_getresuid, &s->uid[0], &s->uid[1], &s->uid[2]));
	must(syscall(SYS_getresgid, &s->gid[0], &s->gid[1], &s->gid[2]));
	must(s->n_groups = (int)syscall(SYS_getgroups, 8, s->groups));
	must(s->securebits = prctl(PR_GET_SECUREBITS));
	must(s->slack = prctl(PR_GET_TIMERSLACK));
	must(s->personality = personality(0xffffffff));
	must(prctl(PR_GET_PDEATHSIG, &s->pdeathsig));
	must(syscall(SYS_capget, &head, s->caps));
	must(prctl(PR_GET_NAME, s->name));
	must(sigaltstack(NULL, &s->stack));
	must(syscall(SYS_get_robust_list, 0, &s->robust, &len));
	must(prctl(PR_GET_TID_ADDRESS, &s->tid_address));
}

#define PART(member)                                                                       \
	{                                                                                  \
#member, offsetof(struct self, member), sizeof(((struct self *)0)->member) \
	}

static void compare(int n, const struct self *was, const struct self *is)
{
	static const struct {
		const char *name;
		size_t at, len;
	} parts[] = {
		PART(uid),   PART(gid),         PART(groups),      PART(n_groups), PART(securebits),
		PART(slack), PART(personality), PART(pdeathsig),   PART(caps),     PART(name),
		PART(stack), PART(robust),      PART(tid_address),
	};

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		check(memcmp((const char *)was + parts[i].at, (const char *)is + parts[i].at,
			     parts[i].len) == 0,
		      "thread %d has another %s", n, parts[i].name);
}

static pthread_barrier_t seen;

/* Most have all of it from the first one, each fourth has something else. */
static void *resemble(void *ctx)
{
	int n = (int)(intptr_t)ctx;
	const stack_t own_stack = { .ss_sp = stacks[n], .ss_size = SIGSTACK };
	struct self before, after;

	if (n % 4 == 1)
		must(prctl(PR_SET_NAME, "another"));
	if (n % 4 == 1)
		must(prctl(PR_SET_TIMERSLACK, 70000L));
	if (n % 4 == 2)
		must(sigaltstack(&own_stack, NULL));
	if (n % 4 == 3)
		must(syscall(SYS_set_robust_list, NULL, sizeof(struct robust_list_head)));
	/* nobody joins it */
	if (n % 4 == 3)
		must(syscall(SYS_set_tid_address, NULL));
	look(&before);
	cycle_pass(gate);
	cycle_wait();
	look(&after);
	compare(n, &before, &after);
	pthread_barrier_wait(&seen);
	return ctx;
}

static void alike(void)
{
	const gid_t groups[] = { 5, 17 };
	struct self before, after;
	pthread_t t;

	gate = cycle_gate();
	pthread_barrier_init(&seen, NULL, MANY + 1);
	/* an ordinary user's namespace may allow no groups: then there are none */
	if (setgroups(2, groups) < 0)
		check(errno == EPERM || errno == EINVAL, "setgroups: errno %d", errno);
	must(personality(ADDR_NO_RANDOMIZE));
	must(prctl(PR_SET_NAME, "alike"));
	must(prctl(PR_SET_TIMERSLACK, 60000L));
	for (int i = 0; i < MANY; i++) {
		must(-pthread_create(&t, NULL, resemble, (void *)(intptr_t)i));
		must(-pthread_detach(t));
	}
	look(&before);
	cycle_await(gate, MANY);
	cycle();
	look(&after);
	compare(-1, &before, &after);
	pthread_barrier_wait(&seen);
}

static pthread_mutex_t robust;

static void *hold(void *ctx)
{
	pthread_mutex_lock(&robust);
	cycle_pass(gate);
	cycle_wait();
	return ctx; /* ends without an unlock: the kernel finds the list */
}

static void robust_list(void)
{
	pthread_mutexattr_t attr;
	pthread_t t;

	gate = cycle_gate();
	pthread_mutexattr_init(&attr);
	pthread_mutexattr_setrobust(&attr, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init(&robust, &attr);
	must(-pthread_create(&t, NULL, hold, NULL));
	cycle_await(gate, 1);
	cycle();
	check(pthread_mutex_lock(&robust) == EOWNERDEAD, "the owner's end is not told");
	must(-pthread_mutex_consistent(&robust));
	must(-pthread_mutex_unlock(&robust));
	must(-pthread_join(t, NULL));
}

static void check_rseq(const char *who)
{
	struct rseq *r;
	int cpu;

	r = (struct rseq *)((char *)__builtin_thread_pointer() + __rseq_offset);
	/* what the kernel writes is right only while it knows the area */
	for (int i = 0; i < 100; i++) {
		sched_yield();
		cpu = sched_getcpu();
		if (cpu == (int)r->cpu_id)
			break;
	}
	check(cpu == (int)r->cpu_id, "%s: rseq says CPU %d, it is %d", who, (int)r->cpu_id, cpu);
	check(syscall(SYS_rseq, r, __rseq_size > 32 ? __rseq_size : 32, 0, RSEQ_SIG) < 0 &&
		      errno == EBUSY,
	      "%s: rseq is not registered as it was: errno %d", who, errno);
	must(syscall(SYS_rseq, r, __rseq_size > 32 ? __rseq_size : 32, RSEQ_FLAG_UNREGISTER,
		     RSEQ_SIG));
	must(syscall(SYS_rseq, r, __rseq_size > 32 ? __rseq_size : 32, 0, RSEQ_SIG));
}

static void *with_rseq(void *ctx)
{
	cycle_pass(gate);
	cycle_wait();
	check_rseq("a thread");
	return ctx;
}

static void rseq(void)
{
	pthread_t t;

	if (__rseq_size == 0)
		cycle_skip("the C library uses no rseq here");
	gate = cycle_gate();
	must(-pthread_create(&t, NULL, with_rseq, NULL));
	cycle_await(gate, 1);
	cycle();
	check_rseq("the first thread");
	must(-pthread_join(t, NULL));
}

static void *brief(void *arg)
{
	return arg;
}

/* Threads without an end, each for a moment. */
static void *hire(void *arg)
{
	pthread_t t;
	void *back;

	for (int n = 0; n < 20 || !cycle_over(); n++) {
		must(-pthread_create(&t, NULL, brief, &n));
		must(-pthread_join(t, &back));
		check(back == &n, "thread %d gives back %p", n, back);
	}
	return arg;
}

static void hurried(void)
{
	pthread_t t[3];

	for (size_t i = 0; i < 3; i++)
		must(-pthread_create(&t[i], NULL, hire, NULL));
	cycle();
	for (size_t i = 0; i < 3; i++)
		must(-pthread_join(t[i], NULL));
}

const struct cycle_case thread_cases[] = {
	{ "threads", threads },
	{ "threads-1000", many },
	{ "threads-alike", alike },
	{ "robust-list", robust_list },
	{ "rseq", rseq },
	{ "threads-hurried", hurried },
	{ NULL, NULL },
};
