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

static int adopted(struct trace_thread *th, struct trace_thread *new)
{
	struct stop stop;
	int ret;

	th->born = 0;
	new->looked = th->looked;
	new->seccomp = th->seccomp;
	new->filters = th->filters;
	new->regs = th->regs;
	new->sigmask = th->sigmask;
	new->away = th->away;
	memcpy(new->cpus, th->cpus, sizeof(new->cpus));
	new->cpus_len = th->cpus_len;
	new->pinned = th->pinned;
	ret = trace_wait(new, (int)th->of->options.patience_ms, &stop);
	if (ret)
		return ret;
	if (stop.kind == STOP_GONE)
		return fail(ESRCH, "take over thread %d: it has ended", new->tid);
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
	t->threads = NULL;
	t->n = t->cap = 0;
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

static int adopt_one(struct trace_thread *th, pid_t tid)
{
	struct trace_thread *new = trace_add(th->of, tid);
	int ret = adopted(th, new);

	return ret ? ret : trace_set_options(new, trace_base_options(th->of));
}

/* The kernel lists threads in the order of their birth; all are stopped, so the list is whole. */
static int adopt_listed(struct trace_thread *th, size_t n)
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
		ret = adopt_one(th, tids[before + i]);
	return ret;
}

static int adopt_made(struct trace_thread *th, const struct inject_call *calls, size_t n)
{
	struct trace *t = th->of;
	auto_fd ns = proc_open(t->pid, 0, "ns/pid", O_RDONLY);
	size_t made = 0;
	int ret = 0, tid;

	for (size_t i = 0; i < n; i++)
		made += calls[i].ret > 0;
	/* a listing makes a directory of each, and takes ten times as long */
	if (ns < 0 || ioctl(ns, GET_PID_FROM_PIDNS, 1) < 0)
		return adopt_listed(th, made);
	for (size_t i = 0; i < n && !ret; i++) {
		if (calls[i].ret <= 0)
			continue;
		tid = ioctl(ns, GET_PID_FROM_PIDNS, (pid_t)calls[i].ret);
		ret = tid > 0 ? adopt_one(th, tid)
			      : fail(ESRCH, "thread %lld of process %d has ended",
				     (long long)calls[i].ret, t->pid);
	}
	return ret;
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
	ret = trace_depart(th);
	/* no stop for each of them: CLONE_PTRACE binds it all the same */
	if (!ret)
		ret = trace_set_options(th, trace_base_options(t) & ~(uint64_t)PTRACE_O_TRACECLONE);
	if (ret)
		return ret;
	ret = trace_batch(th, calls, n);
	back = trace_set_options(th, trace_base_options(t));
	ret = ret ? ret : back;
	return ret ? ret : adopt_made(th, calls, n);
}
