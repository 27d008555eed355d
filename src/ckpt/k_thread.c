/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread has of its own: name, scheduling, processors, lists the kernel walks at its end,
 * rseq, signals. */
#include <errno.h>
#include <linux/futex.h>
#include <linux/ioprio.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ask.h"
#include "ckpt/batch.h"
#include "ckpt/domain.h"
#include "ckpt/keys.h"
#include "ckpt/kinds.h"
#include "ckpt/signals.h"
#include "ckpt/thread.h"
#include "ckpt/traits.h"
#include "jail/plan.h"
#include "task/trace.h"

#define NAME_SIZE 16     /* TASK_COMM_LEN */
#define SCHED_FULL 1024u /* SCHED_CAPACITY_SCALE */

/* Since Linux 5.3: linux/sched.h */
#ifndef SCHED_FLAG_UTIL_CLAMP
#define SCHED_FLAG_UTIL_CLAMP 0x60
#endif
#define CPUS_BYTES (INJECT_CPUS_MAX / 8)

/* Where answers lie in the scratch memory. */
#define AT_STACK 0
#define AT_TID 32
#define AT_NAME 48
#define AT_TRAITS 64
#define AT_LOOK (AT_TRAITS + TRAITS_BYTES)
#define ANSWER_BYTES (AT_LOOK + 16)

/* Answers in the batch that asks. */
enum { ASK_STACK, ASK_TID, ASK_NAME, ASK_SLACK, ASK_SECCOMP, OWN_CALLS };
#define ASKED_MAX (OWN_CALLS + TRAITS_MAX + KEYS_CALLS + 1)
#define ASKED_AT_ONCE (TRACE_BATCH_MAX / ASKED_MAX)
_Static_assert(ASKED_AT_ONCE *ANSWER_BYTES <= TRACE_SCRATCH, "too many threads at once");

#ifndef PR_GET_TID_ADDRESS
#define PR_GET_TID_ADDRESS 40
#endif

struct thread {
	const char *name;
	uint32_t policy, priority;
	int32_t nice;
	uint32_t io_priority;
	uint64_t sched_flags, runtime, deadline, period;
	uint32_t util_min, util_max; /* both 0: as it is for everybody */
	const void *cpus;
	size_t cpus_len;
	uint64_t robust, robust_len, tid_address, timer_slack;
	uint64_t stack, stack_size;
	uint32_t stack_flags;
	struct trace_rseq rseq;
	uint64_t blocked;
	struct signal_queue pending;
	bool strict; /* seccomp(2) */
	struct traits traits;
};

static const struct record_field rows[] = {
	RECORD(TEXT, struct thread, "name", name, RECORD_MAX(NAME_SIZE - 1)),
	RECORD(U, struct thread, "policy", policy),
	RECORD(U, struct thread, "priority", priority, RECORD_OPTIONAL),
	RECORD(I, struct thread, "nice", nice, RECORD_OPTIONAL),
	RECORD(U, struct thread, "ioPriority", io_priority, RECORD_OPTIONAL),
	RECORD(HEX, struct thread, "schedFlags", sched_flags, RECORD_OPTIONAL),
	RECORD(U, struct thread, "runtime", runtime, RECORD_OPTIONAL),
	RECORD(U, struct thread, "deadline", deadline, RECORD_OPTIONAL),
	RECORD(U, struct thread, "period", period, RECORD_OPTIONAL),
	RECORD(U, struct thread, "utilMin", util_min, RECORD_OPTIONAL, RECORD_MAX(SCHED_FULL)),
	RECORD(U, struct thread, "utilMax", util_max, RECORD_OPTIONAL, RECORD_MAX(SCHED_FULL)),
	RECORD(BYTES, struct thread, "cpus", cpus, RECORD_N(struct thread, cpus_len),
	       RECORD_MAX(CPUS_BYTES)),
	RECORD(HEX, struct thread, "robustList", robust, RECORD_OPTIONAL),
	RECORD(U, struct thread, "robustListLength", robust_len, RECORD_OPTIONAL),
	RECORD(HEX, struct thread, "clearTidAddress", tid_address, RECORD_OPTIONAL),
	RECORD(U, struct thread, "timerSlack", timer_slack),
	RECORD(HEX, struct thread, "altStack", stack, RECORD_OPTIONAL),
	RECORD(U, struct thread, "altStackSize", stack_size, RECORD_OPTIONAL),
	RECORD(HEX, struct thread, "altStackFlags", stack_flags),
	RECORD(HEX, struct thread, "rseq", rseq.addr, RECORD_OPTIONAL),
	RECORD(U, struct thread, "rseqSize", rseq.size, RECORD_OPTIONAL),
	RECORD(HEX, struct thread, "rseqSignature", rseq.signature, RECORD_OPTIONAL),
	RECORD(HEX, struct thread, "blocked", blocked),
	RECORD(BOOL, struct thread, "strict", strict, RECORD_OPTIONAL),
	RECORD_LIST_OF(struct thread, "pending", pending.v, pending.n, signal_info_table,
		       RECORD_OPTIONAL, RECORD_MAX(SIGNAL_QUEUE_MAX)),
	TRAITS_RECORD(struct thread),
};
static const struct record_table table = RECORD_TABLE(struct thread, rows);

/* For its errands a thread is moved to our processor, and what it had is kept. */
static long processors(const struct trace_thread *t, void *out)
{
	if (!t->pinned)
		return syscall(SYS_sched_getaffinity, t->tid, CPUS_BYTES, out);
	memcpy(out, t->cpus, t->cpus_len < CPUS_BYTES ? t->cpus_len : CPUS_BYTES);
	return (long)t->cpus_len;
}

/* Which nobody chose: the kernel tells it of the ordinary policies as well. */
static uint64_t usual_slice(struct ckpt *c)
{
	struct sys_sched_attr own = { 0 };

	if (!c->slice)
		c->slice = syscall(SYS_sched_getattr, 0, &own, sizeof(own), 0) < 0
				   ? 0
				   : own.sched_runtime;
	return c->slice;
}

/* uclamp, where the kernel has it: a fast one is wanted by real-time threads from the start. */
static void take_clamps(const struct sys_sched_attr *attr, struct thread *th)
{
	const bool fast = attr->sched_policy == SCHED_FIFO || attr->sched_policy == SCHED_RR;

	if (attr->sched_util_min == (fast ? SCHED_FULL : 0) && attr->sched_util_max == SCHED_FULL)
		return;
	th->util_min = attr->sched_util_min;
	th->util_max = attr->sched_util_max;
}

static int collect_scheduling(const struct ckpt_unit *u, struct thread *th)
{
	struct sys_sched_attr attr = { 0 };
	unsigned long cpus[CPUS_BYTES / sizeof(long)] = { 0 };
	long n = processors(u->t->trace, cpus);
	long io = syscall(SYS_ioprio_get, IOPRIO_WHO_PROCESS, u->t->host);

	if (n < 0 || io < 0 || syscall(SYS_sched_getattr, u->t->host, &attr, sizeof(attr), 0) < 0)
		return fail_errno("thread %d: ask for its scheduling", u->t->tid);
	th->cpus = arena_memdup(u->c->arena, cpus, sizeof(cpus));
	th->cpus_len = (size_t)n < sizeof(cpus) ? (size_t)n : sizeof(cpus);
	th->policy = attr.sched_policy;
	th->priority = attr.sched_priority;
	th->nice = attr.sched_nice;
	/* no class: it follows from the nice value */
	th->io_priority = io >> IOPRIO_CLASS_SHIFT ? (uint32_t)io : 0;
	th->sched_flags = attr.sched_flags;
	take_clamps(&attr, th);
	if (attr.sched_policy == SCHED_DEADLINE ||
	    (attr.sched_runtime && attr.sched_runtime != usual_slice(u->c)))
		th->runtime = attr.sched_runtime;
	if (attr.sched_policy == SCHED_DEADLINE) {
		th->deadline = attr.sched_deadline;
		th->period = attr.sched_period;
	}
	return 0;
}

/* What one thread is asked: its calls follow those of the one before. */
struct question {
	const struct ckpt_thread *t;
	size_t n, n_traits, n_keys;
	pid_t other; /* 0: its domain is not asked for */
};

static struct thread *record_of(const struct ckpt_thread *t)
{
	return ckpt_section(&kind_thread, &(struct ckpt_unit){ .t = (struct ckpt_thread *)t });
}

/* at: where its answers go. */
static int ask(struct ckpt *c, uint64_t at, struct inject_call *calls, struct question *q)
{
	const struct inject_call own[OWN_CALLS] = {
		[ASK_STACK] = { .nr = SYS_sigaltstack, .arg = { 0, at + AT_STACK } },
		[ASK_TID] = { .nr = SYS_prctl, .arg = { PR_GET_TID_ADDRESS, at + AT_TID } },
		[ASK_NAME] = { .nr = SYS_prctl, .arg = { PR_GET_NAME, at + AT_NAME } },
		[ASK_SLACK] = { .nr = SYS_prctl, .arg = { PR_GET_TIMERSLACK } },
		[ASK_SECCOMP] = { .nr = SYS_prctl, .arg = { PR_GET_SECCOMP } },
	};
	int ret = domain_reference(c, q->t, &q->other);

	memcpy(calls, own, sizeof(own));
	q->n = OWN_CALLS;
	if (!ret)
		ret = traits_ask(q->t, KIND_THREAD, at + AT_TRAITS, calls + q->n, &q->n_traits);
	q->n += q->n_traits;
	q->n_keys = ret ? 0 : keys_ask(c, KIND_THREAD, calls + q->n);
	q->n += q->n_keys;
	if (q->other)
		calls[q->n++] = (struct inject_call){
			.nr = SYS_get_robust_list,
			.arg = { (uint64_t)q->other, at + AT_LOOK, at + AT_LOOK + 8 },
		};
	return ret;
}

static int take_answers(struct ckpt *c, const struct question *q, const struct inject_call *calls,
			const uint8_t *data)
{
	struct thread *th = record_of(q->t);
	stack_t stack;
	int ret;

	for (size_t i = 0; i < OWN_CALLS; i++)
		if (calls[i].ret < 0)
			return fail((int)-calls[i].ret, "thread %d: ask for what is its own: %s",
				    q->t->tid, err_reason((int)-calls[i].ret));
	memcpy(&stack, data + AT_STACK, sizeof(stack));
	th->stack = (uint64_t)(uintptr_t)stack.ss_sp;
	th->stack_size = stack.ss_size;
	/* that it is on it now follows from where its stack pointer is */
	th->stack_flags = (uint32_t)stack.ss_flags & ~(uint32_t)SS_ONSTACK;
	memcpy(&th->tid_address, data + AT_TID, sizeof(th->tid_address));
	th->name = arena_strndup(c->arena, (const char *)data + AT_NAME, NAME_SIZE - 1);
	th->timer_slack = (uint64_t)calls[ASK_SLACK].ret;
	th->strict = calls[ASK_SECCOMP].ret == SECCOMP_MODE_STRICT;
	calls += OWN_CALLS;
	traits_take(c, calls, q->n_traits, data + AT_TRAITS, &th->traits);
	calls += q->n_traits;
	ret = keys_judge(q->t, calls, q->n_keys);
	return ret || !q->other ? ret : domain_judge(c, q->t, calls[q->n_keys].ret);
}

/* The first thread of a process is asked with all else that the process is. */
static int ask_first(const struct ckpt_unit *u, struct ask *a)
{
	struct question *q = arena_alloc(u->c->arena, sizeof(*q));
	struct inject_call calls[ASKED_MAX];
	uint64_t at = 0;
	int ret = ask_room(a, ANSWER_BYTES, &at);

	q->t = u->p->threads[0];
	if (!ret)
		ret = ask(u->c, at, calls, q);
	*ckpt_note(&kind_thread, u->p) = q;
	return ret ? ret : ask_add(a, calls, q->n);
}

static int take_first(const struct ckpt_unit *u)
{
	struct answers answers;
	int ret = ask_answers(&kind_thread, u, &answers);

	return ret ? ret
		   : take_answers(u->c, *ckpt_note(&kind_thread, u->p), answers.calls,
				  answers.data);
}

/* As many as fit into one batch, from number `from` on; *out_n of them. */
static int ask_some(struct ckpt *c, const struct ckpt_proc *p, size_t from, size_t *out_n)
{
	struct question q[ASKED_AT_ONCE] = { 0 };
	struct trace_share shares[ASKED_AT_ONCE];
	struct inject_call calls[TRACE_BATCH_MAX];
	uint8_t data[ASKED_AT_ONCE * ANSWER_BYTES];
	size_t n = 0, used = 0;
	uint64_t at;
	int ret = trace_scratch(p->trace, &at);

	for (; n < ASKED_AT_ONCE && from + n < p->n_threads && !ret; used += q[n++].n) {
		q[n].t = p->threads[from + n];
		ret = ask(c, at + n * ANSWER_BYTES, calls + used, &q[n]);
		shares[n] = (struct trace_share){ q[n].t->trace, q[n].n };
	}
	if (!ret)
		ret = trace_batch_each(p->trace, shares, n, calls);
	if (!ret)
		ret = ckpt_get(q[0].t, 0, data, n * ANSWER_BYTES);
	used = 0;
	for (size_t i = 0; i < n && !ret; used += q[i++].n)
		ret = take_answers(c, &q[i], calls + used, data + i * ANSWER_BYTES);
	*out_n = n;
	return ret;
}

static int collect_rseq(struct ckpt *c, const struct ckpt_proc *p)
{
	struct trace_thread **th =
		arena_array(c->arena, p->n_threads, sizeof(struct trace_thread *));
	struct trace_rseq *rseq = arena_array(c->arena, p->n_threads, sizeof(*rseq));
	int ret;

	for (size_t i = 0; i < p->n_threads; i++)
		th[i] = p->threads[i]->trace;
	ret = trace_rseqs(th, p->n_threads, rseq);
	for (size_t i = 0; i < p->n_threads && !ret; i++)
		record_of(p->threads[i])->rseq = rseq[i];
	return ret;
}

static int collect_outside(const struct ckpt_unit *u)
{
	struct thread *th = u->rec;
	void *robust = NULL;
	size_t len = 0;
	int ret = collect_scheduling(u, th);

	if (!ret && syscall(SYS_get_robust_list, u->t->host, &robust, &len) < 0)
		ret = fail_errno("thread %d: ask for its robust futexes", u->t->tid);
	th->robust = (uint64_t)(uintptr_t)robust;
	th->robust_len = len;
	th->blocked = u->t->trace->sigmask;
	return ret ? ret : signals_collect(u->c, u->t, false, &th->pending);
}

/* With the last one all of them are asked what each can tell alone. */
static int collect(const struct ckpt_unit *u)
{
	const struct ckpt_proc *p = u->p;
	int ret = collect_outside(u);
	size_t n;

	if (ret || u->t != p->threads[p->n_threads - 1])
		return ret;
	ret = collect_rseq(u->c, p);
	if (!ret)
		ret = take_first(u);
	for (size_t i = 1; i < p->n_threads && !ret; i += n)
		ret = ask_some(u->c, p, i, &n);
	return ret;
}

static int prepare(const struct ckpt_unit *u)
{
	const struct thread *th = u->rec;

	if (th->strict && u->c->sb->seccomp)
		return fail(ENOTSUP,
			    "thread %d is in seccomp's strict mode, and can't have the filter of "
			    "the configuration (linux.seccomp), too",
			    u->t->tid);
	return signals_prepare(u->p, &th->pending);
}

/* As those have that nobody gave another one. */
static bool has_scheduling(const struct ckpt_unit *u, const struct thread *th)
{
	struct sys_sched_attr now = { 0 };

	return th->policy != SCHED_DEADLINE && !th->runtime && !th->util_min && !th->util_max &&
	       syscall(SYS_sched_getattr, u->t->host, &now, sizeof(now), 0) == 0 &&
	       now.sched_policy == th->policy && now.sched_flags == th->sched_flags &&
	       now.sched_nice == th->nice && now.sched_priority == th->priority;
}

static int set_scheduling(const struct ckpt_unit *u, const struct thread *th)
{
	const bool clamped = th->util_min || th->util_max;
	const struct sys_sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = th->policy,
		.sched_flags = th->sched_flags | (clamped ? SCHED_FLAG_UTIL_CLAMP : 0),
		.sched_nice = th->nice,
		.sched_priority = th->priority,
		.sched_runtime = th->runtime,
		.sched_deadline = th->deadline,
		.sched_period = th->period,
		.sched_util_min = th->util_min,
		.sched_util_max = th->util_max,
	};

	if (!has_scheduling(u, th) && sys_sched_setattr(u->t->host, &attr) < 0)
		return fail_errno("thread %d: set its scheduling (policy %u, nice %d)", u->t->tid,
				  th->policy, th->nice);
	if (th->io_priority &&
	    sys_ioprio_set(IOPRIO_WHO_PROCESS, u->t->host, (int)th->io_priority) < 0)
		return fail_errno("thread %d: set its I/O priority 0x%x", u->t->tid,
				  th->io_priority);
	return 0;
}

static int rebuild(const struct ckpt_unit *u)
{
	return set_scheduling(u, u->rec);
}

static bool is_first(const struct ckpt_thread *t)
{
	return t == t->proc->threads[0];
}

static int set_name(struct ckpt_batch *b, const struct thread *th)
{
	char name[NAME_SIZE] = { 0 };
	uint64_t addr;
	int ret;

	memcpy(name, th->name, strlen(th->name));
	ret = batch_data(b, name, sizeof(name), &addr);
	return ret ? ret : batch_add(b, "set the name", 0, SYS_prctl, PR_SET_NAME, addr);
}

static int set_slack(struct ckpt_batch *b, const struct thread *th)
{
	return batch_add(b, "set the timer slack", 0, SYS_prctl, PR_SET_TIMERSLACK,
			 th->timer_slack);
}

/* What the other threads of the process have from the first one: mostly it is theirs. */
static int hand_down(const struct ckpt_unit *u)
{
	struct ckpt_batch *b;
	int ret;

	if (!is_first(u->t) || u->p->n_threads == 1)
		return 0;
	b = batch_begin(u->c, u->t);
	ret = set_name(b, u->rec);
	if (!ret)
		ret = set_slack(b, u->rec);
	return ret ? ret : batch_run(b);
}

static int set_stack(struct ckpt_batch *b, const struct thread *th)
{
	stack_t stack = {
		.ss_sp = (void *)(uintptr_t)th->stack,
		.ss_size = th->stack_size,
		.ss_flags = (int)th->stack_flags,
	};
	uint64_t addr;
	int ret = batch_data(b, &stack, sizeof(stack), &addr);

	return ret ? ret : batch_add(b, "set the alternate stack", 0, SYS_sigaltstack, addr, 0);
}

static int set_robust(struct ckpt_batch *b, const struct thread *th)
{
	return batch_add(b, "set the robust futexes", 0, SYS_set_robust_list, th->robust,
			 th->robust_len ? th->robust_len : sizeof(struct robust_list_head));
}

uint64_t thread_tid_address(const struct ckpt_thread *t)
{
	return record_of(t)->tid_address;
}

/* A new thread has neither stack nor list, and name and slack of the first one. */
int thread_settle(struct ckpt_batch *b, struct ckpt_thread *t)
{
	const struct thread *th = record_of(t), *first = record_of(t->proc->threads[0]);
	bool alone = t->proc->n_threads == 1;
	int ret = 0;

	if (is_first(t) || th->stack_size || th->stack_flags != SS_DISABLE)
		ret = set_stack(b, th);
	if (!ret && (alone || strcmp(th->name, first->name) != 0))
		ret = set_name(b, th);
	if (!ret && (alone || th->timer_slack != first->timer_slack))
		ret = set_slack(b, th);
	if (!ret && (is_first(t) || th->robust))
		ret = set_robust(b, th);
	if (!ret && is_first(t))
		ret = batch_add(b, "set the address cleared at exit", BATCH_ANY,
				SYS_set_tid_address, th->tid_address);
	if (!ret && th->rseq.addr)
		ret = batch_add(b, "register rseq", 0, SYS_rseq, th->rseq.addr, th->rseq.size, 0,
				th->rseq.signature);
	if (!ret)
		ret = traits_rebuild(b, t, KIND_THREAD, &th->traits);
	return ret;
}

static int rebuild_strict(const struct ckpt_unit *u)
{
	const struct thread *th = u->rec;
	bool suspended;
	int64_t ret;

	if (!th->strict)
		return 0;
	ret = trace_suspends(u->t->trace, &suspended);
	if (ret < 0)
		return (int)ret;
	if (!suspended)
		return fail(ENOTSUP,
			    "thread %d was in seccomp's strict mode, which only root can restore",
			    u->t->tid);
	ret = ckpt_call(u->t, "enter seccomp's strict mode", SYS_seccomp, SECCOMP_SET_MODE_STRICT,
			0, 0);
	return ret < 0 ? (int)ret : 0;
}

static int rebuild_signals(const struct ckpt_unit *u)
{
	const struct thread *th = u->rec;

	return signals_rebuild(u->t, false, &th->pending);
}

static int rebuild_mask(const struct ckpt_unit *u)
{
	u->t->trace->sigmask = ((const struct thread *)u->rec)->blocked;
	return 0;
}

/* Those it has anyway, until it chooses: it goes on to follow its cgroup. */
static bool has_processors(const struct ckpt_unit *u, const struct thread *th)
{
	unsigned long now[CPUS_BYTES / sizeof(long)] = { 0 },
				       want[CPUS_BYTES / sizeof(long)] = { 0 };

	memcpy(want, th->cpus, th->cpus_len);
	return syscall(SYS_sched_getaffinity, u->t->host, sizeof(now), now) > 0 &&
	       memcmp(now, want, sizeof(want)) == 0;
}

/* Where it may not run on any of them here, the new cgroup decides. */
static int finish(const struct ckpt_unit *u)
{
	const struct thread *th = u->rec;

	if (th->cpus_len && !has_processors(u, th) &&
	    syscall(SYS_sched_setaffinity, u->t->host, th->cpus_len, th->cpus) < 0 &&
	    errno != EINVAL && errno != ESRCH)
		return fail_errno("thread %d: set its processors", u->t->tid);
	return 0;
}

const struct ckpt_kind kind_thread = {
	.name = "thread",
	.scope = KIND_THREAD,
	.table = &table,
	.ask = ask_first,
	.collect = collect,
	.prepare = prepare,
	.rebuild = { [PHASE_MM] = hand_down,
		     [PHASE_THREADS] = rebuild,
		     [PHASE_RIGHTS] = rebuild_signals,
		     [PHASE_CONFINE] = rebuild_strict,
		     [PHASE_CPU] = rebuild_mask },
	.finish = finish,
};
