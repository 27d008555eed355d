/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errands: a thread away from its own registers, on code in the area.
 *
 * The area holds one way home, so one thread of a process is away at a time; the next one's errand
 * brings it back first. But where the tracer has a mapping in the process there is always somebody
 * away who unmaps it: the next one leaves on a second area, is named its keeper by the writing of
 * one word, and only then the one before comes back. Leaving goes in the order code, registers,
 * mask, processors and coming back in the opposite one: whichever step the tracer dies after, the
 * thread is where it was or on the code that leads there. A signal that stops an errand is blocked
 * and delivered at once: the kernel then puts it back into the queue it came from, with all that
 * belongs to it.
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/trace_priv.h"

/* linux/ptrace.h since Linux 6.4: struct ptrace_sud_config */
#define GET_DISPATCH 0x4211
struct dispatch {
	uint64_t mode, selector, offset, len;
};

#define SIGBIT(sig) (1ull << ((sig)-1))

/* Ignored unless handled; those of the program that it handles or blocks are not ours to take. */
static const int ends[] = { SIGURG, SIGWINCH, SIGCHLD };

/* Faults are forced upon a thread: blocked, they would reset its disposition first. */
#define FAULTS                                                                                  \
	(SIGBIT(SIGSEGV) | SIGBIT(SIGBUS) | SIGBIT(SIGILL) | SIGBIT(SIGFPE) | SIGBIT(SIGTRAP) | \
	 SIGBIT(SIGSYS))

bool trace_allowed(const struct trace_thread *th, int64_t nr, const uint64_t *arg)
{
	const struct trace_options *o = &th->of->options;

	if (!th->seccomp)
		return true;
	return th->seccomp == SECCOMP_MODE_FILTER && o->allowed && o->allowed(o->ctx, th, nr, arg);
}

int trace_refuse(const struct trace_thread *th, int64_t nr)
{
	return fail(EPERM,
		    "system call %lld in thread %d: the seccomp filter of process %d would not let "
		    "it pass, and only CAP_SYS_ADMIN can suspend it",
		    (long long)nr, th->tid, th->of->pid);
}

/* A filter is off while an option says so, for those who may: asked once a process. */
static bool suspend_filter(struct trace_thread *th)
{
	struct trace *t = th->of;
	uint64_t options = trace_base_options(t) | PTRACE_O_SUSPEND_SECCOMP;

	if (t->binding)
		return false;
	t->suspended = ptrace(PTRACE_SETOPTIONS, th->tid, NULL, (void *)(uintptr_t)options) == 0;
	t->binding = !t->suspended;
	return t->suspended;
}

int trace_prepare(struct trace_thread *th)
{
	struct trace *t = th->of;
	const struct proc_status *st = t->status;
	struct proc_status own;
	bool suspended;
	int ret;

	if (th->gone)
		return fail(ESRCH, "an errand for thread %d: it has ended", th->tid);
	suspended = th->looked || suspend_filter(th);
	if (t->ready && suspended) {
		th->looked = true;
		return 0;
	}
	if (!st || (!suspended && th->tid != t->pid)) {
		ret = proc_status_of(t->pid, th->tid, NULL, &own);
		if (ret)
			return fail(-ret, "read /proc/%d/task/%d/status: %s", t->pid, th->tid,
				    err_reason(-ret));
		st = &own;
	}
	if (!suspended) {
		th->seccomp = st->seccomp;
		th->filters = st->seccomp_filters;
	}
	th->looked = true;
	if (t->ready)
		return 0;
	t->caught = st->sig_caught;
	t->mem.pid = th->tid;
	ret = t->room_len ? 0 : trace_room(th, 0);
	t->ready = !ret;
	return ret;
}

int trace_suspends(struct trace_thread *th, bool *out)
{
	int ret = trace_prepare(th);

	if (!ret)
		*out = th->of->suspended;
	return ret;
}

int trace_end_of(const struct trace_thread *th)
{
	static const uint64_t none[6];
	const struct trace *t = th->of;

	if (!trace_allowed(th, SYS_gettid, none) || !trace_allowed(th, SYS_tkill, none))
		return 0;
	for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++)
		if (!((t->caught | th->sigmask_now) & SIGBIT(ends[i])))
			return ends[i];
	return 0;
}

/* Where it may run, for the way home. */
static void read_cpus(struct trace_thread *th)
{
	long n = syscall(SYS_sched_getaffinity, th->tid, sizeof(th->cpus), th->cpus);

	th->cpus_len = n > 0 ? (size_t)n : 0;
	if (n > 0 && !trace_allowed(th, SYS_sched_setaffinity,
				    (const uint64_t[6]){ 0, (uint64_t)n, 0, 0, 0, 0 }))
		th->cpus_len = 0;
}

static bool move_to(pid_t tid, unsigned cpu)
{
	uint64_t set[INJECT_CPUS_MAX / 8] = { 0 };

	if (cpu / 64 >= sizeof(set) / sizeof(set[0]))
		return false;
	set[cpu / 64] = 1ull << cpu % 64;
	return syscall(SYS_sched_setaffinity, tid, sizeof(set), set) == 0;
}

/*
 * "All" is asked for first: where that gives back what was there, the thread had never chosen, and
 * goes on to follow its cpuset when that grows.
 */
int trace_unpin(struct trace_thread *th)
{
	uint64_t set[INJECT_CPUS_MAX / 8];
	long n;

	if (!th->pinned)
		return 0;
	th->pinned = false;
	memset(set, 0xff, sizeof(set));
	syscall(SYS_sched_setaffinity, th->tid, sizeof(set), set);
	memset(set, 0, sizeof(set));
	n = syscall(SYS_sched_getaffinity, th->tid, sizeof(set), set);
	if (n <= 0 || memcmp(set, th->cpus, sizeof(set)) != 0) {
		if (syscall(SYS_sched_setaffinity, th->tid, th->cpus_len, th->cpus) < 0)
			return fail_errno("give thread %d its processors back", th->tid);
	}
	return 0;
}

int trace_write_code(struct trace_thread *th)
{
	struct trace *t = th->of;
	struct inject_plan plan = {
		.signal = t->signal,
		.sigmask = th->sigmask,
		.map_len = t->settled ? 0 : TRACE_MAP_LEN,
		.keeper_at = t->keeper_at,
	};
	int ret = t->settled ? 0 : trace_choose_area(t);

	if (ret)
		return ret;
	plan.cpus_len = th->cpus_len;
	memcpy(plan.cpus, th->cpus, sizeof(plan.cpus));
	ret = inject_build(th->tid, &th->regs, t->area, &plan, &t->code);
	if (ret)
		return ret;
	if (t->map_len && !t->settled)
		t->code.mapped = t->map;
	return peek_patch(&t->mem, t->area, t->code.code, t->code.len);
}

/* Its errands would be caught by the program: no kernel before 6.4 tells, nor lets it be undone. */
static int check_dispatch(struct trace_thread *th)
{
	struct dispatch d = { 0 };

	if (ptrace(GET_DISPATCH, th->tid, sizeof(d), &d) < 0 || !d.mode)
		return 0;
	return fail(ENOTSUP,
		    "thread %d catches its own system calls (PR_SET_SYSCALL_USER_DISPATCH): it "
		    "can't be made to run any",
		    th->tid);
}

static int keep_vectors(struct trace_thread *th)
{
	uint8_t buf[VECTOR_MAX];
	int ret = inject_keep(th->tid, buf, sizeof(buf), &th->keep_len);

	if (!ret && th->keep_len)
		th->keep = arena_memdup(th->of->arena, buf, th->keep_len);
	return ret;
}

int trace_name_keeper(struct trace_thread *th)
{
	struct trace *t = th->of;
	uint64_t word = (uint64_t)th->tid;
	int ret = t->keeper == th || t->settled
			  ? 0
			  : peek_patch(&t->mem, t->keeper_at, &word, sizeof(word));

	if (!ret && !t->settled)
		t->keeper = th;
	return ret;
}

/* Whether th has to be on its way before the one that is away can come back. */
static bool takes_over(const struct trace_thread *th)
{
	const struct trace *t = th->of;
	const struct trace_thread *from = t->active;

	return t->map_len && !t->settled && t->other && !th->away && from && from->away &&
	       !from->astray && !from->gone;
}

/* Both are away for a moment, and one of them is the keeper at any time. */
static int take_over(struct trace_thread *th, struct trace_thread *from)
{
	struct trace *t = th->of;
	struct inject code = t->code;
	struct regs r = th->regs;
	uint64_t area = t->area;
	int ret;

	t->area = t->other;
	t->other = area;
	ret = trace_write_code(th);
	if (ret) {
		t->other = t->area;
		t->area = area;
		t->code = code;
		return ret;
	}
	t->active = th;
	inject_set_home(&r, t->area, &t->code);
	ret = trace_set_out(th, &r);
	if (!ret)
		ret = trace_release(from);
	return ret == -ESRCH ? 0 : ret;
}

/* Makes th the one that is away. */
int trace_depart(struct trace_thread *th)
{
	static const uint64_t none[6];
	struct trace *t = th->of;
	struct trace_thread *from = t->active;
	struct trace_rseq rseq;
	bool over;
	int ret;

	if (th->gone)
		return fail(ESRCH, "an errand for thread %d: it has ended", th->tid);
	if (from == th && th->away)
		return 0;
	over = takes_over(th);
	ret = from && !over ? trace_release(from) : 0;
	if (ret && ret != -ESRCH)
		return ret;
	if (!over)
		t->active = NULL;
	/* a leader that has ended has no memory any more */
	t->mem.pid = th->tid;
	ret = trace_prepare(th);
	if (ret)
		return ret;
	if (!trace_allowed(th, SYS_rt_sigprocmask, none))
		return trace_refuse(th, SYS_rt_sigprocmask);
	if (!th->away) {
		ret = check_dispatch(th);
		if (!ret && !th->moved)
			ret = trace_rseq(th, &rseq);
		if (!ret)
			ret = keep_vectors(th);
		if (ret)
			return ret;
		read_cpus(th);
	}
	t->signal = trace_end_of(th);
	if (over)
		return take_over(th, from);
	ret = trace_write_code(th);
	if (!ret)
		t->active = th;
	return ret;
}

/* On the tracer's processor a stop costs half as much. It stays where it is if that may not be. */
void trace_pin(struct trace_thread *th)
{
	int cpu = sched_getcpu();

	th->pinned = th->cpus_len && cpu >= 0 && move_to(th->tid, (unsigned)cpu);
}

/* Registers first; what follows is undone by the way home. */
int trace_set_out(struct trace_thread *th, const struct regs *r)
{
	struct trace *t = th->of;
	bool first = !th->away;
	uint64_t mask;
	int ret = regs_set(th->tid, r);

	if (ret)
		return ret;
	th->away = true;
	if (!first)
		return 0;
	mask = ~FAULTS | th->sigmask_now;
	if (t->signal)
		mask &= ~SIGBIT(t->signal);
	ret = trace_ptrace(th, PTRACE_SETSIGMASK, (void *)sizeof(mask), (uintptr_t)&mask,
			   "block the signals of");
	if (ret)
		return ret;
	th->sigmask_now = mask;
	if (!t->roams)
		trace_pin(th);
	return t->map_len ? trace_name_keeper(th) : 0;
}

/* A signal that came although it ought to wait: blocked and passed on, it is queued again. */
static int postpone(struct trace_thread *th, int sig, int *out_deliver)
{
	uint64_t mask = th->sigmask_now | SIGBIT(sig);
	int ret;

	*out_deliver = 0;
	if (sig == SIGSTOP) {
		th->signal = sig;
		th->held = true;
		return 0;
	}
	ret = trace_ptrace(th, PTRACE_SETSIGMASK, (void *)sizeof(mask), (uintptr_t)&mask,
			   "block a signal of");
	if (!ret)
		*out_deliver = sig;
	th->sigmask_now = mask;
	return ret;
}

static bool is_fault(struct trace_thread *th, int sig)
{
	siginfo_t info;

	return (FAULTS & SIGBIT(sig)) && ptrace(PTRACE_GETSIGINFO, th->tid, NULL, &info) == 0 &&
	       info.si_code > 0;
}

static int gone(struct trace_thread *th)
{
	th->away = false;
	return fail(ESRCH, "an errand for thread %d: it has ended", th->tid);
}

/* What was being delivered when the thread was stopped goes back into the queue. */
static int postpone_first(struct trace_thread *th, int *out_deliver)
{
	int sig = th->signal;

	*out_deliver = 0;
	if (!sig || th->held)
		return 0;
	th->signal = 0;
	/* to ignore it is all that its delivery would do */
	if (sig == th->of->signal)
		return 0;
	return postpone(th, sig, out_deliver);
}

/* The next stop: 1 the one that was wanted, 0 it is to go on, and *deliver goes with it. */
static int meet(struct trace_thread *th, enum stop_kind want, struct regs *r, int *deliver)
{
	struct trace *t = th->of;
	struct stop stop;
	int ret = trace_wait(th, TRACE_FOR_EVER, &stop);

	*deliver = 0;
	if (!ret && stop.kind == STOP_GONE)
		ret = -ESRCH;
	if (!ret && stop.kind == want)
		ret = regs_get(th->tid, r);
	if (ret)
		return ret;
	if (stop.kind == want && want != STOP_SIGNAL)
		return 1;
	if (stop.kind != STOP_SIGNAL)
		return 0;
	if (want == STOP_SIGNAL && stop.signal == t->signal)
		return regs_ip(r) == t->area + t->code.stop;
	if (is_fault(th, stop.signal))
		return fail(EFAULT, "an errand for thread %d ended with signal %d", th->tid,
			    stop.signal);
	return postpone(th, stop.signal, deliver);
}

int trace_let_go(struct trace_thread *th, int how)
{
	int deliver, ret = postpone_first(th, &deliver);

	if (!ret)
		ret = trace_ptrace(th, how, NULL, (uint64_t)deliver, "continue");
	return ret == -ESRCH ? gone(th) : ret;
}

int trace_await(struct trace_thread *th, int how, enum stop_kind want, struct regs *r)
{
	int deliver, ret = meet(th, want, r, &deliver);

	while (!ret) {
		ret = trace_ptrace(th, how, NULL, (uint64_t)deliver, "continue");
		if (!ret)
			ret = meet(th, want, r, &deliver);
	}
	if (ret > 0)
		return 0;
	return ret == -ESRCH ? gone(th) : ret;
}

int trace_go_on(struct trace_thread *th, int how, enum stop_kind want, struct regs *r)
{
	int ret = trace_let_go(th, how);

	return ret ? ret : trace_await(th, how, want, r);
}

/* A thread that ended an errand in the middle is sent home before its mask says so. */
static int face_home(struct trace_thread *th)
{
	struct trace *t = th->of;
	struct regs r = th->regs;

	if (!th->astray || t->active != th)
		return 0;
	th->astray = false;
	inject_set_home(&r, t->area, &t->code);
	return regs_set(th->tid, &r);
}

int trace_release(struct trace_thread *th)
{
	int ret = 0, err;

	if (th->gone)
		return 0;
	if (th->sigmask != th->sigmask_now) {
		ret = face_home(th);
		err = trace_ptrace(th, PTRACE_SETSIGMASK, (void *)sizeof(th->sigmask),
				   (uintptr_t)&th->sigmask, "restore the signal mask of");
		ret = ret ? ret : err;
		th->sigmask_now = th->sigmask;
	}
	if (th->away) {
		err = trace_unpin(th);
		if (!err && th->keep_len)
			err = vector_set(th->tid, th->keep, th->keep_len);
		ret = ret ? ret : err;
	}
	if (th->away || memcmp(&th->regs, &th->regs_now, sizeof(th->regs)) != 0) {
		err = regs_set(th->tid, &th->regs);
		ret = ret ? ret : err;
		th->regs_now = th->regs;
	}
	th->away = false;
	th->keep_len = 0;
	if (th->of->active == th)
		th->of->active = NULL;
	return ret;
}
