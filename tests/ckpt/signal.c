/* SPDX-License-Identifier: Apache-2.0 */
/* Signals: actions, masks, alternate stacks, what is pending and in which order. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <ucontext.h>
#include <unistd.h>

#include "cycle.h"

#define QUEUED 20

static struct cycle_gate gate;

static void handle(int signal)
{
	(void)signal;
}

static void handle_info(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	(void)context;
}

static void actions(void)
{
	static struct sigaction was[65], is;

	for (int s = 1; s < 65; s++) {
		struct sigaction act = { .sa_flags = 0 };

		if (s == SIGKILL || s == SIGSTOP || s == 32 || s == 33)
			continue;
		switch (s % 4) {
		case 0:
			act.sa_handler = SIG_IGN;
			break;
		case 1:
			act.sa_handler = handle;
			act.sa_flags = SA_RESTART | SA_NODEFER;
			break;
		case 2:
			act.sa_sigaction = handle_info;
			act.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESETHAND;
			break;
		case 3:
			act.sa_handler = SIG_DFL;
			break;
		}
		sigaddset(&act.sa_mask, s % 31 + 1);
		must(sigaction(s, &act, NULL));
		must(sigaction(s, NULL, &was[s]));
	}
	cycle();
	for (int s = 1; s < 65; s++) {
		if (s == SIGKILL || s == SIGSTOP || s == 32 || s == 33)
			continue;
		must(sigaction(s, NULL, &is));
		check(is.sa_handler == was[s].sa_handler && is.sa_flags == was[s].sa_flags &&
			      memcmp(&is.sa_mask, &was[s].sa_mask, 8) == 0,
		      "the action of signal %d", s);
	}
}

static void expect(const sigset_t *set, int signal, int code, int value, pid_t pid)
{
	struct timespec none = { 0 };
	siginfo_t info = { 0 };

	/* the C library turns SI_TKILL into SI_USER */
	check(syscall(SYS_rt_sigtimedwait, set, &info, &none, 8) == signal, "no signal %d, but %d",
	      signal, info.si_signo);
	check(info.si_code == code, "signal %d: code %d, was %d", signal, info.si_code, code);
	check(info.si_pid == pid, "signal %d: from %d, was %d", signal, info.si_pid, pid);
	if (code == SI_QUEUE)
		check(info.si_value.sival_int == value, "signal %d: value %d, was %d", signal,
		      info.si_value.sival_int, value);
}

static void *with_pending(void *ctx)
{
	pid_t tid = (pid_t)syscall(SYS_gettid), pid = getpid();
	const sigset_t *set = ctx;
	union sigval value = { .sival_int = 7777 };

	must(syscall(SYS_tgkill, pid, tid, SIGUSR1));
	must(-pthread_sigqueue(pthread_self(), SIGRTMIN + 3, value));
	cycle_pass(gate);
	cycle_wait();
	expect(set, SIGUSR1, SI_TKILL, 0, pid);
	expect(set, SIGRTMIN + 3, SI_QUEUE, 7777, pid);
	return NULL;
}

/* Blocked and queued, with values: for the process, and for a thread. */
static void pending(void)
{
	struct timespec none = { 0 };
	union sigval value;
	pid_t pid = getpid();
	pthread_t thread;
	sigset_t set, left;

	gate = cycle_gate();
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGHUP);
	for (int s = SIGRTMIN; s < SIGRTMIN + 5; s++)
		sigaddset(&set, s);
	must(-pthread_sigmask(SIG_BLOCK, &set, NULL));
	must(-pthread_create(&thread, NULL, with_pending, &set));
	cycle_await(gate, 1);
	must(kill(pid, SIGHUP));
	value.sival_int = 123456;
	must(sigqueue(pid, SIGUSR2, value));
	for (value.sival_int = 0; value.sival_int < QUEUED; value.sival_int++)
		must(sigqueue(pid, SIGRTMIN + 1, value));
	cycle();
	must(-pthread_join(thread, NULL));
	expect(&set, SIGHUP, SI_USER, 0, pid);
	expect(&set, SIGUSR2, SI_QUEUE, 123456, pid);
	for (int i = 0; i < QUEUED; i++)
		expect(&set, SIGRTMIN + 1, SI_QUEUE, i, pid);
	check(sigtimedwait(&set, NULL, &none) < 0 && errno == EAGAIN, "a signal too many");
	must(sigpending(&left));
	check(sigisemptyset(&left), "something is pending");
}

static char *stack_low;
static size_t stack_size;
static volatile sig_atomic_t outer, inner;

static bool on_alternate(const void *at)
{
	return (const char *)at >= stack_low && (const char *)at < stack_low + stack_size;
}

static void within(int signal, siginfo_t *info, void *context)
{
	ucontext_t *u = context;
	sigset_t mask;
	int local = 99;

	check(on_alternate(&local), "the handler is not on its stack");
	sigprocmask(SIG_SETMASK, NULL, &mask);
	check(sigismember(&mask, signal) && sigismember(&mask, SIGUSR2), "the mask in a handler");
	outer = 1;
	cycle();
	check(local == 99, "what is on the stack");
	check(on_alternate(&local), "the handler is on another stack");
	sigprocmask(SIG_SETMASK, NULL, &mask);
	check(sigismember(&mask, signal) && sigismember(&mask, SIGUSR2), "the mask in a handler");
	check(info->si_signo == signal && info->si_value.sival_int == 5,
	      "what the handler was told");
	check(sigismember(&u->uc_sigmask, SIGUSR2) == 0, "the mask to return to");
	raise(SIGRTMIN);
}

static void nested(int signal)
{
	(void)signal;
	inner++;
}

/* The whole wait lies in a handler, on an alternate stack. */
static void handler(void)
{
	struct sigaction act = { .sa_sigaction = within, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	stack_t stack = { 0 }, is;
	union sigval value = { .sival_int = 5 };
	sigset_t mask;

	stack_size = 65536;
	stack_low =
		mmap(NULL, stack_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack.ss_sp = stack_low;
	stack.ss_size = stack_size;
	must(sigaltstack(&stack, NULL));
	sigaddset(&act.sa_mask, SIGUSR2);
	must(sigaction(SIGUSR1, &act, NULL));
	must(sigaction(SIGRTMIN, &(struct sigaction){ .sa_handler = nested }, NULL));
	must(sigqueue(getpid(), SIGUSR1, value));
	check(outer == 1 && inner == 1, "the handlers ran %d and %d times", (int)outer, (int)inner);
	sigprocmask(SIG_SETMASK, NULL, &mask);
	check(sigisemptyset(&mask), "the mask afterwards");
	must(sigaltstack(NULL, &is));
	check(is.ss_sp == stack.ss_sp && is.ss_size == stack.ss_size && is.ss_flags == 0,
	      "the alternate stack");
}

const struct cycle_case signal_cases[] = {
	{ "signal-actions", actions },
	{ "signal-pending", pending },
	{ "signal-handler", handler },
	{ NULL, NULL },
};
