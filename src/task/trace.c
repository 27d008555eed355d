/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stopping: the first thread is seized, interrupted and waited for; most have no other. Where there
 * are others, every thread that is listed is seized and interrupted, then all are waited for, until
 * there are no more than these. A thread that is not yet stopped may clone, so a round can find new
 * ones; once a count or a listing shows none, all that could clone were stopped before it.
 */
#include "task/trace.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/trace_priv.h"

#define SLOTS_MIN 8 /* a power of two */

uint64_t trace_base_options(const struct trace *t)
{
	uint64_t options = PTRACE_O_TRACESYSGOOD;

	if (t->options.exitkill)
		options |= PTRACE_O_EXITKILL;
	if (t->options.follow)
		options |= PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK;
	return options;
}

/* Where it is, or would be: numbers follow each other, and their neighbours are mostly free. */
static struct trace_thread **slot_of(const struct trace *t, pid_t tid)
{
	size_t i = (size_t)tid & (t->slots - 1);

	while (t->by_tid[i] && t->by_tid[i]->tid != tid)
		i = (i + 1) & (t->slots - 1);
	return &t->by_tid[i];
}

static void grow_slots(struct trace *t)
{
	t->slots = t->slots ? t->slots * 2 : SLOTS_MIN;
	t->by_tid = arena_array(t->arena, t->slots, sizeof(struct trace_thread *));
	for (size_t i = 0; i < t->n; i++)
		*slot_of(t, t->threads[i]->tid) = t->threads[i];
}

struct trace_thread *trace_add(struct trace *t, pid_t tid)
{
	struct trace_thread *th = arena_alloc(t->arena, sizeof(*th));

	if (t->n * 2 >= t->slots)
		grow_slots(t);
	t->threads = arena_grow(t->arena, t->threads, t->n, &t->cap, sizeof(*t->threads));
	th->of = t;
	th->tid = tid;
	t->threads[t->n++] = th;
	*slot_of(t, tid) = th;
	return th;
}

struct trace_thread *trace_find(struct trace *t, pid_t tid)
{
	return t->slots ? *slot_of(t, tid) : NULL;
}

struct trace_thread *trace_any(struct trace *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (!t->threads[i]->gone)
			return t->threads[i];
	return NULL;
}

int trace_ptrace(struct trace_thread *th, int request, void *addr, uint64_t data, const char *what)
{
	if (th->gone)
		return fail(ESRCH, "%s thread %d: it has ended", what, th->tid);
	if (ptrace(request, th->tid, addr, (void *)(uintptr_t)data) >= 0)
		return 0;
	return fail_errno("%s thread %d", what, th->tid);
}

static int load(struct trace_thread *th)
{
	int ret = regs_get(th->tid, &th->regs);

	if (ret)
		return ret;
	th->regs_now = th->regs;
	th->moved = false;
	if (th->wait.nr >= 0)
		regs_waited(&th->regs, &th->wait);
	ret = trace_ptrace(th, PTRACE_GETSIGMASK, (void *)sizeof(th->sigmask),
			   (uintptr_t)&th->sigmask, "read the signal mask of");
	th->sigmask_now = th->sigmask;
	regs_restart_quietly(&th->regs);
	return ret;
}

/* Why the kernel said EPERM. -ESRCH (no text) for a thread that has ended but is still listed. */
static int why_not(struct trace *t, pid_t tid, bool *out_ours)
{
	struct proc_status st;
	int ret = proc_status_of(t->pid, tid, NULL, &st);

	*out_ours = false;
	if (ret)
		return ret;
	if (st.state == 'Z' || st.state == 'X')
		return -ESRCH;
	/* a thread of ours that has become the leader by execve */
	*out_ours = st.tracer && st.tracer == (pid_t)syscall(SYS_gettid);
	if (*out_ours)
		return 0;
	if (st.tracer)
		return fail(EPERM, "seize thread %d of process %d: process %d traces it already",
			    tid, t->pid, st.tracer);
	return fail(EPERM,
		    "seize thread %d of process %d: not permitted (another user's, not dumpable, "
		    "or ptrace is restricted: kernel.yama.ptrace_scope)",
		    tid, t->pid);
}

/* While a thread becomes the leader by execve, its number is refused for a moment. */
#define TRIES 10
static const struct timespec retry = { 0, 500000 };

/* 1: it is ours now and asked to stop. 0: it has ended. */
static int seize_one(struct trace *t, pid_t tid)
{
	bool ours = false;
	int ret = -EPERM;

	for (int i = 0; ret == -EPERM && !ours && i < TRIES; i++) {
		if (i)
			nanosleep(&retry, NULL);
		trace_guard_seizing(t, true);
		ret = ptrace(PTRACE_SEIZE, tid, NULL, (void *)(uintptr_t)trace_base_options(t)) < 0
			      ? -errno
			      : 0;
		trace_guard_seizing(t, false);
		if (ret == -EPERM)
			ret = why_not(t, tid, &ours);
	}
	if (ret == -ESRCH)
		return 0;
	if (ret == -EPERM)
		return ret;
	if (ret)
		return fail(-ret, "seize thread %d of process %d: %s", tid, t->pid,
			    err_reason(-ret));
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 && errno != ESRCH)
		return fail_errno("interrupt thread %d of process %d", tid, t->pid);
	return 1;
}

static int await(struct trace_thread *th, unsigned patience_ms)
{
	struct proc_status st = { .name = "" };
	struct stop stop;
	int ret = trace_wait_asked(th, patience_ms, &stop);

	if (ret == -ETIMEDOUT) {
		if (proc_status_of(th->of->pid, th->tid, NULL, &st))
			st.state = '?';
		return fail(ETIMEDOUT,
			    "stop thread %d of process %d: it does not stop within %u ms "
			    "(state %c: %s)",
			    th->tid, th->of->pid, patience_ms, st.state,
			    st.state == 'R' ? "no processor has time for it"
					    : "in vfork, or waiting for a device");
	}
	if (ret || stop.kind == STOP_GONE)
		return ret;
	th->group_stop = stop.kind == STOP_TRAP && stop.signal != SIGTRAP;
	if (stop.kind == STOP_SIGNAL) {
		th->signal = stop.signal;
		ret = trace_ptrace(th, PTRACE_GETSIGINFO, NULL, (uintptr_t)&th->siginfo,
				   "read the signal of");
	}
	if (!ret)
		ret = load(th);
	/* killed between its stop and here */
	if (ret == -ESRCH) {
		th->gone = true;
		ret = 0;
	}
	return ret;
}

static bool known(struct trace *t, pid_t tid)
{
	const struct trace_thread *th = trace_find(t, tid);

	return th && !th->gone;
}

/* A number that comes back is that of a leader whose place another thread has taken. */
static int ask(struct trace *t, pid_t tid)
{
	struct regs_wait wait = { .nr = -1 };
	struct trace_thread *th;
	int ret;

	if (t->n == TRACE_THREADS_MAX)
		return fail(E2BIG, "process %d has more than %d threads", t->pid,
			    TRACE_THREADS_MAX);
	/* whoever may not read this will be told so by ptrace */
	if (ARCH_HIDES_CALLS && proc_syscall(t->pid, tid, &wait))
		wait.nr = -1;
	ret = seize_one(t, tid);
	if (ret <= 0)
		return ret;
	th = trace_find(t, tid);
	if (th)
		*th = (struct trace_thread){ .of = t, .tid = tid };
	else
		th = trace_add(t, tid);
	th->wait = wait;
	th->asked = true;
	return 0;
}

/* A listing ends early where the thread it has come to ends. */
static bool was_whole(struct trace *t, size_t listed)
{
	struct proc_stat st;

	return proc_stat(t->pid, &st) != 0 || st.threads == (int32_t)listed;
}

/* Waits for all that were asked to stop; the first error is told when all were waited for. */
static int await_asked(struct trace *t, bool *out_any)
{
	int ret = 0, err;

	*out_any = false;
	for (size_t i = 0; i < t->n; i++) {
		if (!t->threads[i]->asked)
			continue;
		t->threads[i]->asked = false;
		*out_any = true;
		err = t->threads[i]->gone ? 0 : await(t->threads[i], t->options.patience_ms);
		ret = ret ? ret : err;
	}
	return ret;
}

static int seize_round(struct trace *t, bool *out_found)
{
	auto_arena scratch = arena_new();
	size_t n = 0;
	pid_t *tids;
	int ret = proc_tasks(scratch, t->pid, &tids, &n), err;

	if (!ret && n > 1 && !t->guard)
		ret = trace_guard_start(t);
	for (size_t i = 0; !ret && i < n; i++)
		if (!known(t, tids[i]))
			ret = ask(t, tids[i]);
	err = await_asked(t, out_found);
	ret = ret ? ret : err;
	if (!*out_found)
		*out_found = !was_whole(t, n);
	return ret;
}

/* All that are believed to be stopped are: execve by the last one may have ended some meanwhile. */
static bool all_stopped(struct trace *t)
{
	bool good = true;
	uint64_t mask;

	for (size_t i = 0; i < t->n; i++) {
		struct trace_thread *th = t->threads[i];

		if (th->gone ||
		    ptrace(PTRACE_GETSIGMASK, th->tid, (void *)sizeof(mask), &mask) == 0)
			continue;
		th->gone = true;
		good = false;
	}
	trace_collect_dead(t);
	return good;
}

/* Lets one thread go on for a moment, and asks it to stop again. */
static int nudge(struct trace_thread *th)
{
	const struct timespec moment = { 0, 50000 };
	int ret = trace_ptrace(th, PTRACE_CONT, NULL, (uint64_t)th->signal, "continue");

	th->signal = 0;
	th->wait.nr = -1;
	nanosleep(&moment, NULL);
	if (!ret)
		ret = trace_ptrace(th, PTRACE_INTERRUPT, NULL, 0, "interrupt");
	if (ret == -ESRCH) {
		th->gone = true;
		return 0;
	}
	th->asked = !ret;
	return ret;
}

/*
 * A tracer before this one has died while threads ran its errands: they are on their way home, on
 * code that nobody else knows of. They are given some time to arrive.
 */
static int send_home(struct trace *t, unsigned times, bool *out_found)
{
	const unsigned times_max = 200;
	struct trace_thread *any = trace_any(t);
	int ret = 0;

	if (!any || times == times_max)
		return 0;
	t->mem.pid = any->tid;
	/* no vDSO, no errands: whoever wants one is told why */
	if (!t->room_len && trace_room(any, 0))
		return 0;
	for (size_t i = 0; !ret && i < t->n; i++) {
		bool away = false;

		if (t->threads[i]->gone)
			continue;
		ret = trace_going_home(t, t->threads[i], &away);
		if (ret || !away)
			continue;
		ret = nudge(t->threads[i]);
		*out_found = true;
	}
	return ret;
}

static int read_status(struct trace *t)
{
	struct proc_status *st = arena_alloc(t->arena, sizeof(*st));
	int ret = proc_status_of(t->pid, t->pid, t->arena, st);

	t->status = ret ? NULL : st;
	return ret;
}

/* As many are stopped as there are: nobody is left who could make another. */
static bool is_complete(struct trace *t)
{
	for (size_t i = 0; i < t->n; i++)
		if (t->threads[i]->gone)
			return false;
	return read_status(t) == 0 && (size_t)t->status->threads == t->n;
}

static int seize_all(struct trace *t)
{
	unsigned homeward = 0;
	bool found, alone;
	int ret = await_asked(t, &found);

	alone = !ret && is_complete(t);
	for (int round = 0; !ret; round++) {
		if (round == TRACE_ROUNDS_MAX)
			return fail(EAGAIN,
				    "process %d starts threads faster than they can be stopped",
				    t->pid);
		found = false;
		if (!alone)
			ret = seize_round(t, &found);
		if (!ret && found)
			found = !is_complete(t);
		if (!ret && !found && !alone)
			found = !all_stopped(t);
		if (!ret && !found)
			ret = send_home(t, homeward++, &found);
		if (!found)
			break;
		alone = false;
		t->status = NULL;
	}
	if (!ret && !trace_any(t))
		return fail(ESRCH, "stop process %d: it has ended", t->pid);
	return ret || t->status ? ret : read_status(t);
}

int trace_seize_begin(struct arena *a, pid_t pid, const struct trace_options *options,
		      struct trace **out)
{
	struct trace *t = arena_alloc(a, sizeof(*t));
	int ret;

	t->pid = pid;
	t->arena = a;
	if (options)
		t->options = *options;
	if (!t->options.patience_ms)
		t->options.patience_ms = TRACE_PATIENCE_MS;
	peek_of_tracee(pid, &t->mem);
	ret = ask(t, pid);
	if (!ret)
		*out = t;
	return ret;
}

int trace_seize_end(struct trace *t)
{
	int ret = seize_all(t);

	trace_guard_end(t);
	return ret;
}

int trace_seize(struct arena *a, pid_t pid, const struct trace_options *options, struct trace **out)
{
	struct trace *t;
	struct err err;
	int ret = trace_seize_begin(a, pid, options, &t);

	if (ret)
		return ret;
	ret = trace_seize_end(t);
	if (ret) {
		err = *err_last();
		trace_detach(t);
		err_set(&err);
		return ret;
	}
	*out = t;
	return 0;
}

static int detach_one(struct trace_thread *th)
{
	int ret = 0, sig = th->signal;

	if (th->gone && !th->reaped)
		trace_reap(th);
	if (th->gone)
		return 0;
	/* it is at another stop than that of the signal */
	if (th->held && sig) {
		if (syscall(SYS_tgkill, th->of->pid, th->tid, sig) < 0)
			ret = fail_errno("send signal %d again to thread %d", sig, th->tid);
		sig = 0;
	}
	if (ptrace(PTRACE_DETACH, th->tid, NULL, (void *)(uintptr_t)sig) < 0) {
		if (errno == ESRCH)
			trace_reap(th);
		else
			ret = fail_errno("let thread %d go", th->tid);
	}
	th->gone = th->reaped = true;
	return ret;
}

/* The first error wins: its text is kept over those that follow from it. */
static void note(int ret, int *first, struct err *text)
{
	if (!ret || ret == -ESRCH || *first)
		return;
	*first = ret;
	*text = *err_last();
}

int trace_detach(struct trace *t)
{
	struct err text;
	bool asked;
	int first = 0, ret = await_asked(t, &asked);

	/* who has not stopped yet is waited for when it is let go */
	if (ret != -ETIMEDOUT)
		note(ret, &first, &text);
	note(trace_tidy(t), &first, &text);
	for (size_t i = 0; i < t->n; i++)
		note(trace_release(t->threads[i]), &first, &text);
	/* the leader last: where all were killed its end is told only after the others' */
	for (size_t i = t->n; i-- > 0;)
		note(detach_one(t->threads[i]), &first, &text);
	peek_close(&t->mem);
	t->active = NULL;
	if (first)
		err_set(&text);
	return first;
}

void trace_kill(struct trace *t)
{
	/* not all of them on our processor: an end takes longer than an errand */
	for (size_t i = 0; i < t->n; i++)
		if (t->threads[i]->pinned)
			syscall(SYS_sched_setaffinity, t->threads[i]->tid, t->threads[i]->cpus_len,
				t->threads[i]->cpus);
	kill(t->pid, SIGKILL);
}

/* struct rseq and struct rseq_cs: linux/rseq.h */
struct rseq_cs {
	uint32_t version, flags;
	uint64_t start, len, abort;
};
#define RSEQ_CS_AT 8
#define RSEQS_AT_ONCE 256

static int ask_rseq(struct trace_thread *th, struct trace_rseq *out)
{
	struct __ptrace_rseq_configuration c = { .flags = 0 };
	int ret = trace_ptrace(th, PTRACE_GET_RSEQ_CONFIGURATION, (void *)sizeof(c), (uintptr_t)&c,
			       "read the restartable sequences of");

	*out = (struct trace_rseq){ c.rseq_abi_pointer, c.rseq_abi_size, c.signature, c.flags };
	return ret;
}

/* at: of the section that it is in, 0 for none. */
static int leave_section(struct trace_thread *th, uint64_t at)
{
	struct rseq_cs cs;
	int ret = at ? peek_read(&th->of->mem, at, &cs, sizeof(cs)) : 0;

	if (ret)
		return fail_in(ret, "the restartable sequence of thread %d", th->tid);
	if (at && regs_ip(&th->regs) - cs.start < cs.len)
		regs_set_ip(&th->regs, cs.abort);
	th->moved = true;
	return 0;
}

int trace_rseq(struct trace_thread *th, struct trace_rseq *out)
{
	return trace_rseqs(&th, 1, out);
}

/* At most RSEQS_AT_ONCE of them. */
static int find_sections(struct trace_thread *const *th, size_t n, struct trace_rseq *out)
{
	struct peek_span spans[RSEQS_AT_ONCE];
	uint64_t at[RSEQS_AT_ONCE];
	size_t used = 0, k = 0;
	int ret = 0;

	for (size_t i = 0; i < n && !ret; i++) {
		ret = ask_rseq(th[i], &out[i]);
		if (out[i].addr)
			spans[used++] = (struct peek_span){ out[i].addr + RSEQ_CS_AT, sizeof(*at) };
	}
	if (!ret && used) {
		ret = peek_gather(&th[0]->of->mem, spans, used, at);
		if (ret)
			ret = fail_in(ret, "the restartable sequences of process %d",
				      th[0]->of->pid);
	}
	for (size_t i = 0; i < n && !ret; i++)
		ret = leave_section(th[i], out[i].addr ? at[k++] : 0);
	return ret;
}

int trace_rseqs(struct trace_thread *const *th, size_t n, struct trace_rseq *out)
{
	int ret = 0;

	for (size_t from = 0, some; from < n && !ret; from += some) {
		some = n - from < RSEQS_AT_ONCE ? n - from : RSEQS_AT_ONCE;
		ret = find_sections(th + from, some, out + from);
	}
	return ret;
}

int trace_pending(struct trace_thread *th, bool shared, siginfo_t *out, size_t max, size_t *out_n)
{
	struct __ptrace_peeksiginfo_args args = { 0, shared ? PTRACE_PEEKSIGINFO_SHARED : 0, 0 };
	size_t n = 0;
	long got;

	for (;; n += (size_t)got) {
		siginfo_t extra;

		args.off = n;
		args.nr = n < max ? (int32_t)(max - n < 1024 ? max - n : 1024) : 1;
		got = ptrace(PTRACE_PEEKSIGINFO, th->tid, &args, n < max ? &out[n] : &extra);
		if (got < 0)
			return fail_errno("read the pending signals of thread %d", th->tid);
		if (got == 0)
			break;
		if (n == max)
			return fail(E2BIG, "thread %d has more than %zu pending signals", th->tid,
				    max);
	}
	*out_n = n;
	return 0;
}
