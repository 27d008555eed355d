/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a thread is followed. It waits for its answer and is seized meanwhile, and asked to stop
 * (PTRACE_INTERRUPT): that it does on its way out of the kernel, before anything of the program
 * runs, be it with the result of the call or as another program (which stops earlier, at
 * PTRACE_EVENT_EXEC). Then it is seen to and let go.
 *
 * A call that is to be changed is answered with ERESTARTNOINTR, which the kernel keeps to itself:
 * the thread is about to make the call again when it stops. From there it is led to the call's
 * begin, where the arguments are exchanged, and to its end, where they are put back. A signal that
 * comes first is delivered, and the call, made again after its handler, asked about anew. One that
 * comes later interrupts the call as it would have, and finds the arguments as they were. The
 * kernel is never left to go on with it from a state of its own: that has the host's time.
 */
#include "super/follow.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/signalfd.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/regs.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "bpf/guard.h"
#include "super/absent.h"
#include "task/trace.h"

#define ERESTARTNOINTR 513 /* include/linux/errno.h */
#define COLLECT_US 10000
#define RED_ZONE 128 /* below the stack pointer: a leaf function's own (x86-64 psABI) */
#define STOP_OF_CALL (SIGTRAP | 0x80)

/* What the handler of SIGALRM looks at; there is one in a process. */
static struct follow *followed;

struct follow *follow_new(struct arena *a, struct super_state *s)
{
	struct follow *f = arena_alloc(a, sizeof(*f));
	sigset_t set;

	f->state = s;
	sigemptyset(&set);
	sigaddset(&set, SIGCHLD);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0 ||
	    (f->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)) < 0) {
		fail_errno("make a descriptor for signals");
		return NULL;
	}
	followed = f;
	return f;
}

static struct follow_thread *new_thread(struct follow *f)
{
	size_t i = 0;

	while (i < f->n && f->threads[i].state != FOLLOW_FREE)
		i++;
	if (i == FOLLOW_MAX)
		return NULL;
	if (i == f->n)
		f->n++;
	return &f->threads[i];
}

static void drop(struct follow *f, struct follow_thread *t)
{
	t->state = FOLLOW_FREE;
	while (f->n > 0 && f->threads[f->n - 1].state == FOLLOW_FREE)
		f->n--;
}

static int request(pid_t tid, int what, uint64_t data)
{
	return ptrace(what, tid, NULL, (void *)(uintptr_t)data) < 0 ? -errno : 0;
}

/* It comes while this process is in PTRACE_SEIZE, and so not at work on the rows. */
void follow_collect(void)
{
	int error = errno;

	for (size_t i = 0; followed && i < followed->n; i++) {
		struct follow_thread *t = &followed->threads[i];

		if (t->state == FOLLOW_FREE || t->state == FOLLOW_GONE ||
		    !trace_has_ended(t->tid) || waitpid(t->tid, NULL, __WALL) < 0)
			continue;
		t->state = FOLLOW_GONE;
		followed->gone = true;
	}
	errno = error;
}

static void sweep(struct follow *f)
{
	if (!f->gone)
		return;
	f->gone = false;
	for (size_t i = f->n; i-- > 0;)
		if (f->threads[i].state == FOLLOW_GONE)
			drop(f, &f->threads[i]);
}

static int seize(pid_t tid)
{
	const struct timeval often = { 0, COLLECT_US }, never = { 0, 0 };
	const struct itimerval on = { often, often }, off = { never, never };
	int ret;

	setitimer(ITIMER_REAL, &on, NULL);
	ret = request(tid, PTRACE_SEIZE, PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC);
	setitimer(ITIMER_REAL, &off, NULL);
	return ret;
}

/* It has a tracer from here on, and still waits. */
static int begin(struct follow *f, struct notif *n, enum follow_state state,
		 struct follow_thread **out)
{
	struct follow_thread *t;
	int ret;

	/* it is to be looked at again */
	if (absent_met())
		return -EFAULT;
	sweep(f);
	t = new_thread(f);
	if (!t)
		return -EAGAIN;
	ret = seize(n->tid);
	if (ret)
		return ret;
	*t = (struct follow_thread){
		.state = notif_valid(n) ? state : FOLLOW_LEAVE,
		.tid = n->tid,
		.own = { .behind = n->ip, .nr = n->nr },
	};
	memcpy(t->own.arg, n->args, sizeof(t->own.arg));
	/* a stop that can't be asked for is the end of the thread, which is waited for */
	request(n->tid, PTRACE_INTERRUPT, 0);
	*out = t;
	return t->state == FOLLOW_LEAVE ? -ESRCH : 0;
}

int follow_call(struct follow *f, struct notif *n,
		void (*done)(struct super_state *s, const struct follow_thread *t))
{
	struct follow_thread *t;
	int ret = begin(f, n, FOLLOW_CALL, &t);

	if (ret)
		return ret;
	t->done = done;
	notif_pass(n);
	return 0;
}

int follow_exec(struct follow *f, struct notif *n,
		void (*done)(struct super_state *s, const struct follow_thread *t))
{
	struct notif_status status;
	struct follow_thread *t;
	int ret = notif_status(n, &status);

	if (!ret)
		ret = begin(f, n, FOLLOW_EXEC, &t);
	if (ret)
		return ret;
	t->pid = status.pid;
	t->done = done;
	notif_pass(n);
	return 0;
}

int follow_change(struct follow *f, struct notif *n, const struct follow_change *change)
{
	struct follow_thread *t;
	int ret = begin(f, n, FOLLOW_AGAIN, &t);

	if (ret)
		return ret;
	t->change = *change;
	t->done = change->done;
	notif_answer(n, -ERESTARTNOINTR);
	return 0;
}

static void let_go(struct follow *f, struct follow_thread *t, int signal)
{
	request(t->tid, PTRACE_DETACH, (uint64_t)signal);
	drop(f, t);
}

/* Whether the call has come to an end that the thread will see, and a good one. */
static bool has_returned(const struct follow_thread *t, const struct regs *r)
{
	return call_is_at(r, &t->own) && regs_ip(r) == t->own.behind && call_result(r) >= 0;
}

static void see_to(struct follow *f, struct follow_thread *t)
{
	struct regs r;

	if (regs_get(t->tid, &r) == 0 && has_returned(t, &r))
		t->done(f->state, t);
}

static bool write_data(const struct follow_thread *t, uint64_t at)
{
	const struct follow_change *c = &t->change;
	const struct notif n = { .tid = t->tid };

	return notif_write(&n, at, c->data, c->len) == 0;
}

/* At the begin of its call, unless it is another one by now. Where the stack has no room the call
 * is made as it is: asked about again it would come back here. */
static bool change_call(struct follow_thread *t)
{
	struct regs r;
	uint64_t at;

	if (regs_get(t->tid, &r) || !call_is_at(&r, &t->own))
		return false;
	for (unsigned i = 1; i < 6; i++)
		if (call_arg(&r, i) != t->own.arg[i])
			return false;
	at = (regs_sp(&r) - RED_ZONE - FOLLOW_DATA_MAX) & ~15ull;
	if (t->change.len && write_data(t, at))
		call_set_arg(&r, t->change.pointer, at);
	call_set_arg(&r, t->change.mark, GUARD_PASSING(t->own.arg[t->change.mark]));
	return regs_set(t->tid, &r) == 0;
}

/* At its end: the arguments are the program's, which finds them unchanged by a call. The first one
 * is where some processors have the result. If it is made again, it is with these. */
static void change_back(const struct follow *f, const struct follow_thread *t)
{
	const uint64_t *own = t->own.arg;
	unsigned pointer = t->change.pointer, mark = t->change.mark;
	struct regs r;

	if (regs_get(t->tid, &r))
		return;
	if (t->change.len)
		call_set_arg(&r, pointer, own[pointer]);
	if (call_arg(&r, mark) == GUARD_PASSING(own[mark]))
		call_set_arg(&r, mark, own[mark]);
	call_forget_state(&r);
	if (f->ends)
		regs_restart_quietly(&r);
	regs_set(t->tid, &r);
}

/* Begin or end of a call. */
static void at_call(struct follow *f, struct follow_thread *t)
{
	if (t->state == FOLLOW_AGAIN && !f->ends && change_call(t)) {
		t->state = FOLLOW_INSIDE;
		if (request(t->tid, PTRACE_SYSCALL, 0) == 0)
			return;
	} else if (t->state == FOLLOW_INSIDE) {
		change_back(f, t);
		if (t->change.done)
			see_to(f, t);
	}
	let_go(f, t, 0);
}

/* On its way out of the call that was asked about. Job control stops it where a signal would have
 * interrupted it, and that is where it is left. */
static void at_trap(struct follow *f, struct follow_thread *t, int signal)
{
	if (t->state == FOLLOW_CALL)
		see_to(f, t);
	if (t->state == FOLLOW_AGAIN && !f->ends && signal == SIGTRAP &&
	    request(t->tid, PTRACE_SYSCALL, 0) == 0)
		return;
	let_go(f, t, 0);
}

static void at_signal(struct follow *f, struct follow_thread *t, int signal)
{
	if (t->state == FOLLOW_CALL)
		see_to(f, t);
	let_go(f, t, signal);
}

static struct follow_thread *find(struct follow *f, pid_t tid)
{
	for (size_t i = 0; i < f->n; i++)
		if (f->threads[i].state != FOLLOW_FREE && f->threads[i].tid == tid)
			return &f->threads[i];
	return NULL;
}

/* The other threads of the process have ended, the first one without a word, and its number is now
 * that of the one which has another program. */
static void at_exec(struct follow *f, pid_t pid)
{
	struct follow_thread *t;

	for (size_t i = 0; i < f->n; i++) {
		t = &f->threads[i];
		if (t->state != FOLLOW_EXEC || t->pid != pid)
			continue;
		t->state = FOLLOW_FREE;
		t->tid = pid;
		t->done(f->state, t);
	}
	t = find(f, pid);
	if (t)
		drop(f, t);
	request(pid, PTRACE_DETACH, 0);
}

static void look_at(struct follow *f, pid_t tid, int status)
{
	struct follow_thread *t = find(f, tid);

	if (WIFSTOPPED(status) && status >> 16 == PTRACE_EVENT_EXEC) {
		at_exec(f, tid);
		return;
	}
	if (!t)
		return;
	if (!WIFSTOPPED(status))
		drop(f, t);
	else if (status >> 16)
		at_trap(f, t, WSTOPSIG(status));
	else if (WSTOPSIG(status) == STOP_OF_CALL)
		at_call(f, t);
	else
		at_signal(f, t, WSTOPSIG(status));
}

/* False where it is none that is followed: other children of this process are others' to wait
 * for. */
static bool look_for(struct follow *f, pid_t tid)
{
	const struct follow_thread *t = find(f, tid);
	int status;

	for (size_t i = 0; !t && i < f->n; i++)
		if (f->threads[i].state == FOLLOW_EXEC && f->threads[i].pid == tid)
			t = &f->threads[i];
	if (!t)
		return false;
	if (waitpid(tid, &status, __WALL | WNOHANG) == tid)
		look_at(f, tid, status);
	return true;
}

/* Where somebody else's child stands in the way, each thread by itself. */
static void look_for_all(struct follow *f)
{
	for (size_t i = f->n; i-- > 0;) {
		const struct follow_thread t = f->threads[i];

		if (t.state == FOLLOW_FREE)
			continue;
		look_for(f, t.tid);
		if (t.state == FOLLOW_EXEC && t.pid != t.tid)
			look_for(f, t.pid);
	}
}

void follow_look(struct follow *f)
{
	struct signalfd_siginfo signal;
	siginfo_t info;

	sweep(f);
	/* one stands for all that came meanwhile */
	if (read(f->signals, &signal, sizeof(signal)) == sizeof(signal))
		look_for(f, (pid_t)signal.ssi_pid);
	for (;;) {
		info.si_pid = 0;
		if (waitid(P_ALL, 0, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) < 0 ||
		    !info.si_pid)
			return;
		if (!look_for(f, info.si_pid)) {
			look_for_all(f);
			return;
		}
	}
}

size_t follow_let_go(struct follow *f)
{
	size_t left = 0;

	/* all others have been asked to stop when they were seized */
	for (size_t i = 0; i < f->n && !f->ends; i++)
		if (f->threads[i].state == FOLLOW_INSIDE)
			request(f->threads[i].tid, PTRACE_INTERRUPT, 0);
	f->ends = true;
	follow_look(f);
	for (size_t i = 0; i < f->n; i++)
		left += f->threads[i].state != FOLLOW_FREE && f->threads[i].state != FOLLOW_GONE;
	return left;
}

void follow_go_on(struct follow *f)
{
	f->ends = false;
}
