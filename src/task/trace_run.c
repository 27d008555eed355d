/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errands: what threads are made to do. How they come to be away is in trace_away.c.
 *
 * Arrays of calls and what they point to need memory of the process: one mapping, of the tracer's
 * own. Wherever the tracer dies it is unmapped, and no other that came in its place: its address is
 * in a register that the code of the errand fills behind mmap(2) and empties behind munmap(2).
 */
#include <errno.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "task/proc.h"
#include "task/trace_priv.h"

#define PAGE 4096u
#define WATCH_LOOKS 5000u

/* The registers of an errand: the thread's own stack and thread pointer, and what it is to do. */
static int errand(struct trace_thread *th, struct regs *r)
{
	int ret = trace_set_out(th, r);

	if (ret)
		return ret;
	if (!th->pinned)
		trace_pin(th);
	th->astray = true;
	if (th->of->signal) {
		ret = trace_go_on(th, PTRACE_CONT, STOP_SIGNAL, r);
	} else {
		ret = trace_go_on(th, PTRACE_SYSCALL, STOP_SYSCALL, r);
		if (!ret)
			ret = trace_go_on(th, PTRACE_SYSCALL, STOP_SYSCALL, r);
	}
	th->astray = ret != 0;
	return ret;
}

int trace_begin(struct trace_thread *th, const struct regs *r)
{
	int ret = trace_set_out(th, r);

	if (ret)
		return ret;
	th->astray = true;
	return trace_let_go(th, PTRACE_CONT);
}

int trace_end(struct trace_thread *th, struct regs *r)
{
	int ret = trace_await(th, PTRACE_CONT, STOP_SIGNAL, r);

	th->astray = ret != 0;
	return ret;
}

static int set_call(struct trace_thread *th, uint32_t where, const struct inject_call *call,
		    struct regs *out)
{
	struct trace *t = th->of;
	struct regs r = th->regs;

	if (!trace_allowed(th, (int64_t)call->nr, call->arg))
		return trace_refuse(th, (int64_t)call->nr);
	th->born = 0;
	inject_set_call(&r, t->area, &t->code, call->nr, call->arg);
	regs_set_ip(&r, t->area + where);
	*out = r;
	return 0;
}

int trace_call_at(struct trace_thread *th, uint32_t where, struct inject_call *call)
{
	struct trace *t = th->of;
	struct regs r;
	int ret = set_call(th, where, call, &r);

	if (!ret)
		ret = errand(th, &r);
	if (!ret)
		call->ret = inject_result(&r, t->area, &t->code);
	return ret;
}

int trace_call(struct trace_thread *th, struct inject_call *call)
{
	int ret = trace_depart(th);

	return ret ? ret : trace_call_at(th, th->of->code.call, call);
}

int trace_confine(struct trace_thread *th, struct inject_call *call, bool all)
{
	struct trace *t = th->of;
	int ret = trace_depart(th);

	/* two stops: the calls that would end the errand are for the filter already */
	t->signal = 0;
	if (!ret)
		ret = trace_call_at(th, t->code.call, call);
	for (size_t i = 0; !ret && call->ret >= 0 && i < t->n; i++) {
		struct trace_thread *to = t->threads[i];

		if (t->suspended || !to->looked || (!all && to != th))
			continue;
		to->seccomp = SECCOMP_MODE_FILTER;
		to->filters++;
	}
	/* the next errand ends as the filter allows */
	return ret ? ret : trace_release(th);
}

int trace_may(struct trace_thread *th, int64_t nr, const uint64_t *arg, bool *out)
{
	int ret = trace_prepare(th);

	if (!ret)
		*out = trace_allowed(th, nr, arg);
	return ret;
}

int trace_syscall_args(struct trace_thread *th, int64_t *out, uint64_t nr, const uint64_t *arg)
{
	struct inject_call call = { .nr = nr };
	int ret;

	memcpy(call.arg, arg, sizeof(call.arg));
	ret = trace_call(th, &call);
	if (!ret)
		*out = call.ret;
	return ret;
}

static const struct inject_call map_call = {
	.nr = SYS_mmap,
	.arg = { 0, TRACE_MAP_LEN, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, (uint64_t)-1, 0 },
};

static int take_map(struct trace *t, int64_t answer)
{
	if (answer < 0 && answer > -(int64_t)PAGE)
		return fail((int)-answer, "map %zu bytes in process %d: %s", TRACE_MAP_LEN, t->pid,
			    err_reason((int)-answer));
	t->map = t->code.mapped = (uint64_t)answer;
	t->map_len = TRACE_MAP_LEN;
	return 0;
}

int trace_map_room(struct trace_thread *th)
{
	struct inject_call call = map_call;
	struct trace *t = th->of;
	int ret;

	if (t->map_len)
		return 0;
	ret = trace_depart(th);
	if (!ret)
		ret = trace_name_keeper(th);
	if (!ret)
		ret = trace_call_at(th, t->code.map, &call);
	return ret ? ret : take_map(t, call.ret);
}

int trace_map_begin(struct trace_thread *th)
{
	struct trace *t = th->of;
	struct regs r;
	int ret = trace_name_keeper(th);

	if (!ret)
		ret = set_call(th, t->code.map, &map_call, &r);
	return ret ? ret : trace_begin(th, &r);
}

int trace_map_end(struct trace_thread *th)
{
	struct trace *t = th->of;
	struct regs r;
	int ret = trace_end(th, &r);

	return ret ? ret : take_map(t, inject_result(&r, t->area, &t->code));
}

static int unmap_room(struct trace_thread *th)
{
	struct trace *t = th->of;
	struct inject_call call = { .nr = SYS_munmap, .arg = { t->map, t->map_len } };
	int ret = t->map_len ? trace_depart(th) : 0;

	if (ret || !t->map_len)
		return ret;
	ret = trace_call_at(th, t->code.unmap, &call);
	if (!ret && call.ret)
		ret = fail((int)-call.ret, "unmap %#llx in process %d: %s",
			   (unsigned long long)t->map, t->pid, err_reason((int)-call.ret));
	t->map_len = 0;
	t->code.mapped = INJECT_NO_MAP;
	return ret;
}

int trace_scratch(struct trace *t, uint64_t *out)
{
	struct trace_thread *th = t->active ? t->active : trace_any(t);
	int ret;

	if (!th)
		return fail(ESRCH, "process %d has ended", t->pid);
	ret = trace_map_room(th);
	if (!ret)
		*out = t->map + TRACE_ARRAY_LEN;
	return ret;
}

int trace_run_array(struct trace_thread *th, size_t from, size_t n)
{
	struct trace *t = th->of;
	struct regs r = th->regs;

	inject_set_batch(&r, t->area, &t->code, t->map + from * sizeof(struct inject_call), n);
	return errand(th, &r);
}

static int run_batch(struct trace_thread *th, struct inject_call *calls, size_t n)
{
	struct trace *t = th->of;
	int ret = peek_write(&t->mem, t->map, calls, n * sizeof(*calls));

	if (!ret)
		ret = trace_run_array(th, 0, n);
	return ret ? ret : peek_read(&t->mem, t->map, calls, n * sizeof(*calls));
}

int trace_batch(struct trace_thread *th, struct inject_call *calls, size_t n)
{
	struct trace *t = th->of;
	int ret = trace_depart(th);

	for (size_t i = 0; !ret && i < n; i++)
		if (!trace_allowed(th, (int64_t)calls[i].nr, calls[i].arg))
			return trace_refuse(th, (int64_t)calls[i].nr);
	if (!ret && t->signal)
		ret = trace_map_room(th);
	for (size_t i = 0, part; !ret && i < n; i += part) {
		part = n - i < TRACE_BATCH_MAX ? n - i : TRACE_BATCH_MAX;
		if (!t->signal)
			part = 1;
		ret = t->signal ? run_batch(th, calls + i, part) : trace_call(th, calls + i);
	}
	return ret;
}

int trace_rearm(struct trace_thread *th, struct inject_call *call)
{
	struct trace *t = th->of;
	struct regs r;
	int ret = trace_depart(th);

	if (ret)
		return ret;
	if (!trace_allowed(th, (int64_t)call->nr, call->arg))
		return trace_refuse(th, (int64_t)call->nr);
	r = th->regs;
	inject_set_call(&r, t->area, &t->code, call->nr, call->arg);
	ret = trace_set_out(th, &r);
	th->astray = true;
	if (!ret)
		ret = trace_go_on(th, PTRACE_SYSCALL, STOP_SYSCALL, &r);
	/* interrupted before it waits, it stops as soon as it does */
	if (!ret)
		ret = trace_ptrace(th, PTRACE_INTERRUPT, NULL, 0, "interrupt");
	if (!ret)
		ret = trace_go_on(th, PTRACE_CONT, STOP_TRAP, &r);
	if (ret || inject_waits(&r, t->area, &t->code))
		return ret;
	call->ret = inject_result(&r, t->area, &t->code);
	return fail(EPROTO, "have thread %d wait in system call %llu: it did not", th->tid,
		    (unsigned long long)call->nr);
}

/* Until it sleeps in the kernel, or is back from there. */
static int watch(struct trace_thread *th, char *out, size_t size)
{
	static const struct timespec look = { 0, 20000 };
	struct proc_stat st;
	int ret;

	for (unsigned i = 0; i < WATCH_LOOKS; i++) {
		ret = proc_stat_of(th->of->pid, th->tid, &st);
		if (!ret && st.state == 'S')
			ret = proc_wchan(th->of->pid, th->tid, out, size);
		if (ret || st.state == 'S' || st.state == 't')
			return ret;
		nanosleep(&look, NULL);
	}
	return 0;
}

int trace_waits_in(struct trace_thread *th, char *out, size_t size, int64_t *answer)
{
	struct trace *t = th->of;
	struct stop stop = { STOP_TRAP, 0 };
	struct regs r;
	int ret = trace_depart(th);

	if (ret)
		return ret;
	if (!trace_allowed(th, SYS_restart_syscall, (const uint64_t[6]){ 0 }))
		return trace_refuse(th, SYS_restart_syscall);
	r = th->regs;
	snprintf(out, size, "0");
	inject_set_call(&r, t->area, &t->code, SYS_restart_syscall, (const uint64_t[6]){ 0 });
	ret = trace_set_out(th, &r);
	th->astray = true;
	if (!ret)
		ret = trace_go_on(th, PTRACE_SYSCALL, STOP_SYSCALL, &r);
	if (!ret)
		ret = trace_ptrace(th, PTRACE_SYSCALL, NULL, 0, "continue");
	if (!ret)
		ret = watch(th, out, size);
	if (!ret)
		ret = trace_ptrace(th, PTRACE_INTERRUPT, NULL, 0, "interrupt");
	if (!ret)
		ret = trace_wait(th, TRACE_FOR_EVER, &stop);
	if (!ret)
		ret = regs_get(th->tid, &r);
	if (ret || inject_waits(&r, t->area, &t->code))
		return ret;
	*answer = inject_result(&r, t->area, &t->code);
	return fail(EPROTO, "have thread %d wait again: it did not", th->tid);
}

static int unmap(struct trace_thread *th, uint64_t addr, uint64_t len)
{
	int64_t answer;
	int ret = trace_syscall(th, &answer, SYS_munmap, addr, len);

	if (!ret && answer)
		ret = fail((int)-answer, "unmap %#llx in process %d: %s", (unsigned long long)addr,
			   th->of->pid, err_reason((int)-answer));
	return ret;
}

int trace_tidy(struct trace *t)
{
	struct trace_thread *th = t->active ? t->active : trace_any(t);
	int ret = 0, err;

	if (!th)
		return 0;
	if (!t->settled)
		ret = unmap_room(th);
	for (size_t i = 0; i < t->n; i++) {
		err = trace_release(t->threads[i]);
		ret = ret ? ret : err;
	}
	th = trace_any(t);
	if (th && !t->settled) {
		err = trace_restore_room(t);
		ret = ret ? ret : err;
	}
	return ret;
}

/* The kernel writes to the area of rseq(2), and kills where that has been unmapped. */
static int forget_rseq(struct trace_thread *th)
{
	const uint32_t unregister = 1; /* RSEQ_FLAG_UNREGISTER */
	struct trace_rseq rseq;
	int64_t answer = 0;
	int ret = trace_rseq(th, &rseq);

	if (!ret && rseq.addr)
		ret = trace_syscall(th, &answer, SYS_rseq, rseq.addr, rseq.size, unregister,
				    rseq.signature);
	if (!ret && answer)
		ret = fail((int)-answer, "unregister the restartable sequences of thread %d: %s",
			   th->tid, err_reason((int)-answer));
	return ret;
}

int trace_settle(struct trace *t, uint64_t addr)
{
	struct trace_thread *th = t->active ? t->active : trace_any(t);
	int64_t at = 0;
	int ret;

	if (!th)
		return fail(ESRCH, "process %d has ended", t->pid);
	ret = unmap_room(th);
	if (!ret)
		ret = trace_syscall(
			th, &at, SYS_mmap, addr, TRACE_SETTLE_LEN, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, (uint64_t)-1, 0);
	if (!ret && at == (int64_t)addr)
		ret = trace_syscall(th, &at, SYS_mprotect, addr, PAGE, PROT_READ | PROT_EXEC);
	if (!ret && at != 0)
		ret = fail(at < 0 ? (int)-at : EEXIST,
			   "map pages of the tracer's at %#llx in process %d",
			   (unsigned long long)addr, t->pid);
	if (!ret)
		ret = forget_rseq(th);
	if (!ret)
		ret = trace_tidy(t);
	if (ret)
		return ret;
	t->area = addr;
	t->map = addr + PAGE;
	t->map_len = TRACE_MAP_LEN;
	t->settled = true;
	return 0;
}

int trace_unsettle(struct trace *t, uint64_t vdso)
{
	struct trace_thread *th = t->active ? t->active : trace_any(t);
	uint64_t old = t->area;
	int ret;

	if (!th)
		return fail(ESRCH, "process %d has ended", t->pid);
	if (!t->settled)
		return fail(EINVAL, "process %d is not settled", t->pid);
	ret = trace_room(th, vdso);
	if (ret)
		return ret;
	t->settled = false;
	t->map_len = 0;
	/* all stay away: what they go on with is set once, when they are let go */
	ret = th->away ? trace_write_code(th) : 0;
	return ret ? ret : unmap(th, old, TRACE_SETTLE_LEN);
}
