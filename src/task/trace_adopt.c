/* SPDX-License-Identifier: Apache-2.0 */
/* What a tracee clones, under control from its first instruction on. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/proc_priv.h"
#include "task/trace_priv.h"

/* linux/nsfs.h, since Linux 6.11 */
#define GET_PID_FROM_PIDNS _IOR(0xb7, 0x6, int)

/* What it has from the one that cloned it, in the middle of an errand. */
static void inherit(const struct trace_thread *th, struct trace_thread *new)
{
	new->looked = th->looked;
	new->seccomp = th->seccomp;
	new->filters = th->filters;
	new->regs = th->regs;
	new->sigmask = th->sigmask;
	new->sigmask_now = th->sigmask_now;
	new->away = th->away;
	memcpy(new->cpus, th->cpus, sizeof(new->cpus));
	new->cpus_len = th->cpus_len;
	new->pinned = th->pinned;
}

static int stopped(struct trace_thread *new)
{
	struct stop stop;
	int ret = trace_wait(new, (int)new->of->options.patience_ms, &stop);

	if (!ret && stop.kind == STOP_GONE)
		ret = fail(ESRCH, "take over thread %d: it has ended", new->tid);
	return ret;
}

static int adopted(struct trace_thread *th, struct trace_thread *new)
{
	int ret;

	th->born = 0;
	inherit(th, new);
	ret = stopped(new);
	if (ret)
		return ret;
	ret = regs_get(new->tid, &new->regs_now);
	if (!ret)
		ret = trace_ptrace(new, PTRACE_GETSIGMASK, (void *)sizeof(new->sigmask_now),
				   (uintptr_t) & new->sigmask_now, "read the signal mask of");
	return ret;
}

int trace_adopt_thread(struct trace_thread *th, struct trace_thread **out_thread)
{
	struct trace_thread *new;
	int ret;

	if (!th->born)
		return fail(EINVAL, "thread %d has cloned nothing", th->tid);
	if (th->of->n == TRACE_THREADS_MAX)
		return fail(E2BIG, "process %d has more than %d threads", th->of->pid,
			    TRACE_THREADS_MAX);
	new = trace_add(th->of, th->born);
	ret = adopted(th, new);
	if (!ret)
		*out_thread = new;
	return ret;
}

int trace_adopt_process(struct trace_thread *th, struct trace **out)
{
	struct trace *t;
	int ret;

	if (!th->born)
		return fail(EINVAL, "thread %d has cloned nothing", th->tid);
	t = arena_memdup(th->of->arena, th->of, sizeof(*t));
	t->pid = th->born;
	t->threads = t->by_tid = NULL;
	t->status = NULL;
	t->n = t->cap = t->slots = 0;
	peek_of_tracee(t->pid, &t->mem);
	t->active = trace_add(t, t->pid);
	ret = adopted(th, t->active);
	if (ret) {
		struct err err = *err_last();

		trace_detach(t);
		err_set(&err);
		return ret;
	}
	*out = t;
	return 0;
}

int trace_set_options(struct trace_thread *th, uint64_t options)
{
	if (th->of->suspended)
		options |= PTRACE_O_SUSPEND_SECCOMP;
	return trace_ptrace(th, PTRACE_SETOPTIONS, NULL, options, "set the options of");
}

/* The kernel lists threads in the order of their birth; all are stopped, so the list is whole. */
static int add_listed(struct trace_thread *th, size_t n)
{
	struct trace *t = th->of;
	auto_arena scratch = arena_new();
	size_t listed, before = t->n;
	pid_t *tids;
	int ret = proc_tasks(scratch, t->pid, &tids, &listed);

	if (!ret && listed != before + n)
		ret = fail(EPROTO, "process %d has %zu threads instead of %zu", t->pid, listed,
			   before + n);
	for (size_t i = 0; i < before && !ret; i++)
		if (tids[i] != t->threads[i]->tid)
			ret = fail(EPROTO, "thread %d of process %d is listed as thread %d",
				   t->threads[i]->tid, t->pid, tids[i]);
	for (size_t i = 0; i < n && !ret; i++)
		inherit(th, trace_add(t, tids[before + i]));
	return ret;
}

static int add_made(struct trace_thread *th, const struct inject_call *calls, size_t n)
{
	struct trace *t = th->of;
	auto_fd ns = proc_open(t->pid, 0, "ns/pid", O_RDONLY);
	size_t made = 0;
	int ret = 0, tid;

	for (size_t i = 0; i < n; i++)
		made += calls[i].ret > 0;
	/* a listing makes a directory of each, and takes ten times as long */
	if (ns < 0 || ioctl(ns, GET_PID_FROM_PIDNS, 1) < 0)
		return add_listed(th, made);
	for (size_t i = 0; i < n && !ret; i++) {
		if (calls[i].ret <= 0)
			continue;
		tid = ioctl(ns, GET_PID_FROM_PIDNS, (pid_t)calls[i].ret);
		if (tid > 0)
			inherit(th, trace_add(t, tid));
		else
			ret = fail(ESRCH, "thread %lld of process %d has ended",
				   (long long)calls[i].ret, t->pid);
	}
	return ret;
}

/* The last one first: meanwhile the others stop, too. Options of ptrace(2) are inherited. */
static int adopt_made(struct trace_thread *th, const struct inject_call *calls, size_t n)
{
	struct trace *t = th->of;
	size_t before = t->n;
	int ret = add_made(th, calls, n);

	for (size_t i = t->n; i > before && !ret; i--)
		ret = stopped(t->threads[i - 1]);
	return ret;
}

/* On its way, but on any processor it may be on: those it clones are to run beside the tracer. */
static int roam(struct trace_thread *th)
{
	struct regs r = th->regs;
	int ret = trace_depart(th);

	if (!ret && !th->away) {
		inject_set_home(&r, th->of->area, &th->of->code);
		ret = trace_set_out(th, &r);
	}
	return ret ? ret : trace_unpin(th);
}

int trace_clone_threads(struct trace_thread *th, struct inject_call *calls, size_t n)
{
	struct trace *t = th->of;
	int ret, back;

	if (!t->options.exitkill)
		return fail(EINVAL, "process %d would outlive its tracer", t->pid);
	if (n > TRACE_THREADS_MAX - t->n)
		return fail(E2BIG, "process %d has more than %d threads", t->pid,
			    TRACE_THREADS_MAX);
	ret = roam(th);
	/* no stop for each of them: CLONE_PTRACE binds it all the same */
	if (!ret)
		ret = trace_set_options(th, trace_base_options(t) & ~(uint64_t)PTRACE_O_TRACECLONE);
	if (ret)
		return ret;
	ret = trace_batch(th, calls, n);
	back = trace_set_options(th, trace_base_options(t));
	ret = ret ? ret : back;
	if (!ret)
		ret = adopt_made(th, calls, n);
	/* not before: they have where it might run, and are to keep that */
	trace_pin(th);
	return ret;
}
