/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for threads: their stops, and their ends. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"
#include "task/proc.h"
#include "task/trace_priv.h"

#define DYING_MS 2000 /* for a killed thread to become a zombie */
#define LOOK_US 1000
#define ENDING_MS 20
#define EXITING 4u /* PF_EXITING, include/linux/sched.h */
#define BURIAL_MS 10
#define MISSED_MAX 16 /* that have not ended yet, before the others are looked at later */

static int64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static pid_t wait_now(pid_t tid, int *status)
{
	pid_t got;

	do {
		got = waitpid(tid, status, __WALL | WNOHANG);
	} while (got < 0 && errno == EINTR);
	return got;
}

/* A SIGCHLD that was taken from whoever waits for it. */
static void give_back(const sigset_t *mask)
{
	struct sigaction action;

	if (sigismember(mask, SIGCHLD) ||
	    (sigaction(SIGCHLD, NULL, &action) == 0 && action.sa_handler != SIG_DFL))
		kill(getpid(), SIGCHLD);
}

bool trace_has_ended(pid_t tid)
{
	siginfo_t info = { .si_pid = 0 };

	/* what is not peeked at is taken: a tracee's stop is told as well, asked for or not */
	if (waitid(P_PID, (id_t)tid, &info, WEXITED | WNOHANG | WNOWAIT | __WALL) < 0 ||
	    info.si_pid != tid)
		return false;
	return info.si_code == CLD_EXITED || info.si_code == CLD_KILLED ||
	       info.si_code == CLD_DUMPED;
}

void trace_collect_dead(struct trace *t)
{
	int status;

	for (size_t i = 0; i < t->n; i++) {
		struct trace_thread *th = t->threads[i];

		if (!th->reaped && trace_has_ended(th->tid) &&
		    wait_now(th->tid, &status) == th->tid)
			th->gone = th->reaped = true;
	}
}

/*
 * waitpid that gives up (-1, ETIMEDOUT). Every stop sends SIGCHLD, which is blocked to be waited
 * for; where it is ignored, and none comes, the thread is looked at from time to time.
 */
static pid_t wait_patiently(struct trace_thread *th, int *status, int patience_ms)
{
	static const struct timespec look = { 0, LOOK_US * 1000 };
	pid_t got = wait_now(th->tid, status);
	bool taken = false, told;
	int64_t deadline, looked;
	sigset_t chld, mask;

	if (got)
		return got;
	looked = now_us();
	deadline = looked + (int64_t)patience_ms * 1000;
	sigemptyset(&chld);
	sigaddset(&chld, SIGCHLD);
	pthread_sigmask(SIG_BLOCK, &chld, &mask);
	got = wait_now(th->tid, status);
	while (!got && now_us() < deadline) {
		told = sigtimedwait(&chld, NULL, &look) == SIGCHLD;
		taken |= told;
		got = wait_now(th->tid, status);
		/* a look at every thread: only for one that is long in coming, however many others
		 * stop meanwhile */
		if (!got && (!told || now_us() - looked > LOOK_US)) {
			trace_collect_dead(th->of);
			looked = now_us();
		}
	}
	if (taken)
		give_back(&mask);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (got)
		return got;
	errno = ETIMEDOUT;
	return -1;
}

/* Its end may wait for others', which are ours to wait for: a leader's for those of its threads,
 * and that of the init of a pid namespace for all that are in it. */
static bool ends_last(const struct trace_thread *th)
{
	const struct trace *t = th->of;

	return th->tid == t->pid && (t->n > 1 || (t->status && t->status->ns_pid == 1));
}

static bool is_ending(pid_t tid)
{
	struct proc_stat st;

	return proc_stat(tid, &st) != 0 || st.flags & EXITING;
}

/* 0: it is ending, and will not stop any more. */
static pid_t wait_for_ever(struct trace_thread *th, int *status)
{
	pid_t got;

	if (!ends_last(th))
		return waitpid(th->tid, status, __WALL);
	do {
		got = wait_patiently(th, status, ENDING_MS);
		if (got < 0 && errno == ETIMEDOUT && is_ending(th->tid))
			return 0;
	} while (got < 0 && errno == ETIMEDOUT);
	return got;
}

static void read_status(struct trace_thread *th, int status, struct stop *out)
{
	int event = status >> 16, sig = WSTOPSIG(status);
	unsigned long msg = 0;

	*out = (struct stop){ STOP_TRAP, sig };
	if (!WIFSTOPPED(status)) {
		th->gone = th->reaped = true;
		out->kind = STOP_GONE;
	} else if (event == PTRACE_EVENT_CLONE || event == PTRACE_EVENT_FORK ||
		   event == PTRACE_EVENT_VFORK) {
		if (ptrace(PTRACE_GETEVENTMSG, th->tid, NULL, &msg) == 0)
			th->born = (pid_t)msg;
		out->kind = STOP_BORN;
	} else if (event == 0) {
		out->kind = sig == (SIGTRAP | 0x80) ? STOP_SYSCALL : STOP_SIGNAL;
	}
}

int trace_wait(struct trace_thread *th, int patience_ms, struct stop *out)
{
	int status = 0;
	pid_t got;

	do {
		got = patience_ms < 0 ? wait_for_ever(th, &status)
				      : wait_patiently(th, &status, patience_ms);
	} while (got < 0 && errno == EINTR);
	if (got == 0) {
		th->gone = true;
		*out = (struct stop){ STOP_GONE, 0 };
		return 0;
	}
	if (got < 0 && errno == ECHILD) {
		/* another thread's execve took its place: this number is nobody's, or another's */
		th->gone = th->reaped = true;
		*out = (struct stop){ STOP_GONE, 0 };
		return 0;
	}
	if (got < 0)
		return fail_errno("wait for thread %d", th->tid);
	read_status(th, status, out);
	return 0;
}

void trace_reap(struct trace_thread *th)
{
	int64_t deadline = now_us() + DYING_MS * 1000;
	int status;
	pid_t got;

	do {
		got = wait_patiently(th, &status, DYING_MS);
		if (got > 0 && WIFSTOPPED(status))
			ptrace(PTRACE_DETACH, th->tid, NULL, NULL);
	} while (got > 0 && WIFSTOPPED(status) && now_us() < deadline);
	th->gone = th->reaped = true;
}

static bool has_ended(struct trace_thread *th)
{
	int status;
	pid_t got = wait_now(th->tid, &status);

	/* another stop that came before; and it is none of ours any more where there is nobody */
	if (!got || (got > 0 && WIFSTOPPED(status)))
		return false;
	th->gone = th->reaped = true;
	return true;
}

/* By a descriptor: whoever waits for SIGCHLD is woken by every other end. */
static void sleep_until_end(const struct trace_thread *th, int patience_ms)
{
	auto_fd pidfd = (int)sys_pidfd_open(th->tid, PIDFD_OF_THREAD);
	struct pollfd p = { .fd = pidfd, .events = POLLIN };

	poll(&p, 1, patience_ms);
}

/* They end in their order, more or less; the leader's end is told only after the others'. */
static size_t bury_ended(struct trace *t)
{
	size_t left = 0, missed = 0;

	for (size_t i = 1; i < t->n; i++) {
		if (t->threads[i]->reaped)
			continue;
		if (missed < MISSED_MAX && has_ended(t->threads[i]))
			continue;
		missed++;
		left++;
	}
	return left + (t->n && !t->threads[0]->reaped && !has_ended(t->threads[0]));
}

size_t trace_bury(struct trace *t)
{
	size_t left = bury_ended(t), last = t->n;

	for (int ms = 0; left && ms < BURIAL_MS; ms++) {
		while (last && t->threads[last - 1]->reaped)
			last--;
		if (last)
			sleep_until_end(t->threads[last - 1], 1);
		left = bury_ended(t);
	}
	peek_close(&t->mem);
	return left;
}

int trace_wait_asked(struct trace_thread *th, unsigned patience_ms, struct stop *out)
{
	const struct trace_options *o = &th->of->options;
	int ret;

	if (!o->late || patience_ms <= TRACE_LATE_MS)
		return trace_wait(th, (int)patience_ms, out);
	ret = trace_wait(th, TRACE_LATE_MS, out);
	if (ret != -ETIMEDOUT)
		return ret;
	ret = o->late(o->ctx, th->tid);
	return ret ? ret : trace_wait(th, (int)(patience_ms - TRACE_LATE_MS), out);
}
