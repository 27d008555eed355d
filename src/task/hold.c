/* SPDX-License-Identifier: Apache-2.0 */
#include "task/hold.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SIGBIT(sig) (1ull << ((sig)-1))

/* Forced upon a thread that blocks them they would kill it. */
#define FAULTS                                                                                  \
	(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | SIGBIT(SIGFPE) | SIGBIT(SIGTRAP) | \
	 SIGBIT(SIGSYS))

/* What the kernel leaves of an interrupted call: include/linux/errno.h */
#define ERESTARTSYS 512
#define ERESTART_LAST 516

enum stop { AT_CALL, AT_TRAP, AT_SIGNAL, AT_EXEC };

static void tick(bool on)
{
	const struct timeval often = { 0, on ? HOLD_TICK_MS * 1000 : 0 };
	const struct itimerval timer = { often, often };

	setitimer(ITIMER_REAL, &timer, NULL);
}

static int request(const struct hold *h, int what, uint64_t data)
{
	return ptrace(what, h->tid, NULL, (void *)(uintptr_t)data) < 0 ? -errno : 0;
}

int hold_seize(pid_t tid, const struct call *own, struct hold *out)
{
	const uint64_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEEXEC;
	int ret;

	*out = (struct hold){ .tid = tid, .own = *own };
	/* this waits for an execve(2) of another thread, and that for what the handler does */
	tick(true);
	ret = request(out, PTRACE_SEIZE, options);
	if (ret)
		tick(false);
	return ret;
}

static int ended(struct hold *h)
{
	h->gone = true;
	tick(false);
	return -ESRCH;
}

/* An execve(2) of a thread that is not the first of its process ends under the number of that one:
 * pid, or 0. */
static int wait_stop(struct hold *h, pid_t pid, unsigned ticks, int *out_status)
{
	int error;

	while (waitpid(h->tid, out_status, __WALL) < 0) {
		error = errno;
		if (pid && waitpid(pid, out_status, __WALL | WNOHANG) == pid) {
			h->tid = pid;
			break;
		}
		if (error != EINTR)
			return ended(h);
		if (!ticks--)
			return -ETIMEDOUT;
	}
	return WIFSTOPPED(*out_status) ? 0 : ended(h);
}

static enum stop kind_of(int status)
{
	switch (status >> 16) {
	case 0:
		return WSTOPSIG(status) == (SIGTRAP | 0x80) ? AT_CALL : AT_SIGNAL;
	case PTRACE_EVENT_EXEC:
		return AT_EXEC;
	default:
		return AT_TRAP;
	}
}

/* Its stop, or its end, is hold_tend()'s to see. */
static int too_late(struct hold *h)
{
	h->late = true;
	h->stopped = false;
	tick(false);
	return -ETIMEDOUT;
}

/* Who can't be let go has been killed, and remains until its tracer has waited for it. */
static void detach(struct hold *h, int signal)
{
	if (request(h, PTRACE_DETACH, (uint64_t)signal)) {
		too_late(h);
		return;
	}
	h->gone = true;
	tick(false);
}

static int set_mask(struct hold *h, uint64_t mask)
{
	return ptrace(PTRACE_SETSIGMASK, h->tid, (void *)sizeof(mask), &mask) < 0 ? -errno : 0;
}

static void let_go(struct hold *h, const struct regs *r)
{
	if (r)
		regs_set(h->tid, r);
	if (h->masked)
		set_mask(h, h->sigmask);
	if (h->signal)
		syscall(SYS_tkill, h->tid, h->signal);
	detach(h, 0);
}

int hold_ask(struct hold *h)
{
	int ret = request(h, PTRACE_INTERRUPT, 0);

	if (ret)
		too_late(h);
	return ret;
}

static int arrived(struct hold *h, int status)
{
	if (kind_of(status) == AT_SIGNAL) {
		detach(h, WSTOPSIG(status));
		return -EINTR;
	}
	if (regs_get(h->tid, &h->regs) ||
	    (!call_is_at(&h->regs, &h->own) && !call_is_interrupted(&h->regs, &h->own)) ||
	    ptrace(PTRACE_GETSIGMASK, h->tid, (void *)sizeof(h->sigmask), &h->sigmask) < 0 ||
	    set_mask(h, ~(uint64_t)FAULTS)) {
		detach(h, 0);
		return -EINTR;
	}
	h->stopped = h->masked = true;
	return 0;
}

int hold_stop(struct hold *h)
{
	int status, ret = wait_stop(h, 0, HOLD_PATIENCE, &status);

	if (ret == -ETIMEDOUT)
		return too_late(h);
	return ret ? ret : arrived(h, status);
}

/* It was sent by somebody, or the thread has brought it upon itself just now. */
static void keep_signal(struct hold *h, int signal)
{
	siginfo_t info;

	if (ptrace(PTRACE_GETSIGINFO, h->tid, NULL, &info) < 0)
		return;
	if (info.si_code <= 0 || signal == SIGSTOP)
		h->signal = signal;
}

/* On to the next stop of a call. */
static int go_on(struct hold *h, pid_t pid, unsigned ticks, enum stop *out)
{
	int status, ret;

	for (;;) {
		ret = request(h, PTRACE_SYSCALL, 0);
		if (!ret)
			ret = wait_stop(h, pid, ticks, &status);
		if (ret)
			return ret;
		*out = kind_of(status);
		if (*out == AT_CALL || *out == AT_EXEC)
			return 0;
		if (*out == AT_SIGNAL)
			keep_signal(h, WSTOPSIG(status));
		if (*out == AT_SIGNAL && SIGBIT(WSTOPSIG(status)) & FAULTS)
			return -EFAULT;
	}
}

/* To the begin of a call: a program that changes its own instructions meanwhile makes another. */
static int enter(struct hold *h, const struct call *c)
{
	struct regs r = h->regs;
	enum stop at;
	int ret;

	call_begin(&r, c);
	ret = regs_set(h->tid, &r);
	if (!ret)
		ret = go_on(h, 0, HOLD_PATIENCE, &at);
	if (!ret && (regs_get(h->tid, &r) || !call_is_at(&r, c)))
		ret = -EFAULT;
	return ret;
}

/* It is in a call for too long. */
static int stop_again(struct hold *h, pid_t pid, enum stop *out)
{
	int status, ret = hold_ask(h);

	if (!ret)
		ret = wait_stop(h, pid, HOLD_PATIENCE, &status);
	if (ret == -ETIMEDOUT)
		return too_late(h);
	if (!ret)
		*out = kind_of(status);
	return ret;
}

static int leave(struct hold *h, const struct call *c, int64_t *out)
{
	struct regs r;
	int64_t result;

	if (regs_get(h->tid, &r) || !call_is_at(&r, c))
		return -EFAULT;
	result = call_result(&r);
	if (result <= -ERESTARTSYS && result >= -ERESTART_LAST)
		return -EINTR;
	*out = result;
	return 0;
}

int hold_call(struct hold *h, const struct call *c, unsigned ticks, int64_t *out)
{
	enum stop at;
	int ret = enter(h, c);

	if (!ret)
		ret = go_on(h, 0, ticks, &at);
	if (ret == -ETIMEDOUT)
		ret = stop_again(h, 0, &at);
	return ret ? ret : leave(h, c, out);
}

int hold_exec(struct hold *h, const struct call *c, pid_t pid, int64_t *out)
{
	enum stop at = AT_CALL;
	int ret = enter(h, c);

	if (!ret)
		ret = go_on(h, pid == h->tid ? 0 : pid, HOLD_PATIENCE, &at);
	if (ret == -ETIMEDOUT)
		ret = stop_again(h, pid == h->tid ? 0 : pid, &at);
	if (!ret && at == AT_EXEC) {
		if (h->begins)
			h->begins(h->arg, h->tid);
		let_go(h, NULL);
		return 0;
	}
	return ret ? ret : leave(h, c, out);
}

void hold_end(struct hold *h, int64_t result)
{
	struct regs r = h->regs;

	h->result = result;
	if (!h->stopped || h->gone)
		return;
	call_end(&r, &h->own, result);
	let_go(h, &r);
}

void hold_again(struct hold *h)
{
	struct regs r = h->regs;

	if (!h->stopped || h->gone)
		return;
	call_interrupt(&r, &h->own);
	let_go(h, &r);
}

static void leave_alone(struct hold *h, int status)
{
	detach(h, kind_of(status) == AT_SIGNAL ? WSTOPSIG(status) : 0);
}

void hold_leave(struct hold *h)
{
	int status, ret = hold_ask(h);

	h->alone = true;
	if (!ret)
		ret = wait_stop(h, 0, HOLD_PATIENCE, &status);
	if (ret == -ETIMEDOUT)
		too_late(h);
	else if (!ret)
		leave_alone(h, status);
}

bool hold_tend(struct hold *h)
{
	int status;
	pid_t got = waitpid(h->tid, &status, __WALL | WNOHANG);

	if (got == 0)
		return false;
	h->late = false;
	if (got < 0 || !WIFSTOPPED(status)) {
		h->gone = true;
	} else if (h->masked) {
		h->stopped = true;
		hold_end(h, h->result);
	} else if (arrived(h, status) == 0) {
		hold_end(h, h->result);
	}
	return !h->late;
}
