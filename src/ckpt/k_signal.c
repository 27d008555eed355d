/* SPDX-License-Identifier: Apache-2.0 */
/* Signals of a process: actions, and what waits for the process as a whole. sigaction(2),
 * sigqueue(3) */
#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/ask.h"
#include "ckpt/batch.h"
#include "ckpt/kinds.h"
#include "ckpt/signals.h"
#include "ckpt/timers.h"
#include "task/trace.h"

#define SIGNALS 64
#define SET_SIZE 8

/* As the kernel has it, linux/signal_types.h; not libc's. */
struct action {
	uint64_t handler, flags, restorer, mask;
};

struct numbered {
	uint32_t signal;
	struct action action;
};

struct signals {
	struct numbered *actions; /* those that are not the default */
	size_t n_actions;
	struct signal_queue pending;
};

static const struct record_field action_rows[] = {
	RECORD(U, struct numbered, "signal", signal, RECORD_MAX(SIGNALS)),
	RECORD(HEX, struct numbered, "handler", action.handler),
	RECORD(HEX, struct numbered, "flags", action.flags),
	RECORD(HEX, struct numbered, "restorer", action.restorer),
	RECORD(HEX, struct numbered, "mask", action.mask),
};
static const struct record_table action_table = RECORD_TABLE(struct numbered, action_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct signals, "actions", actions, n_actions, action_table,
		       RECORD_MAX(SIGNALS)),
	RECORD_LIST_OF(struct signals, "pending", pending.v, pending.n, signal_info_table,
		       RECORD_OPTIONAL, RECORD_MAX(SIGNAL_QUEUE_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct signals, rows);

static const struct record_field info_rows[] = {
	RECORD(BYTES, struct signal_info, "siginfo", info, RECORD_N(struct signal_info, len),
	       RECORD_MAX(sizeof(siginfo_t))),
};
const struct record_table signal_info_table = RECORD_TABLE(struct signal_info, info_rows);

static void add(struct ckpt *c, struct signal_queue *q, size_t *room, const siginfo_t *info)
{
	q->v = arena_grow(c->arena, q->v, q->n, room, sizeof(*q->v));
	q->v[q->n].info = arena_memdup(c->arena, info, sizeof(*info));
	q->v[q->n++].len = sizeof(*info);
}

int signals_collect(struct ckpt *c, const struct ckpt_thread *t, bool shared,
		    struct signal_queue *out)
{
	siginfo_t few[32], *list = few;
	size_t n, room = 0;
	int ret = trace_pending(t->trace, shared, list, NAME_COUNT(few), &n);

	if (ret == -E2BIG) {
		list = arena_array(c->arena, SIGNAL_QUEUE_MAX, sizeof(*list));
		ret = trace_pending(t->trace, shared, list, SIGNAL_QUEUE_MAX, &n);
	}
	for (size_t i = 0; i < n && !ret; i++)
		add(c, out, &room, &list[i]);
	/* one that was on its way when the thread was stopped */
	if (!ret && !shared && t->trace->signal && t->trace->signal != SIGSTOP)
		add(c, out, &room, &t->trace->siginfo);
	return ret;
}

bool signals_wait(const struct ckpt_proc *p, int signal)
{
	const struct ckpt_unit u = { .p = (struct ckpt_proc *)p };
	const struct signals *s = ckpt_section(&kind_signal, &u);

	for (size_t i = 0; i < s->pending.n; i++)
		if (((const siginfo_t *)s->pending.v[i].info)->si_signo == signal)
			return true;
	return false;
}

int signals_prepare(const struct ckpt_proc *p, const struct signal_queue *q)
{
	for (size_t i = 0; i < q->n; i++) {
		const siginfo_t *info = q->v[i].info;

		if (q->v[i].len != sizeof(*info) || info->si_signo < 1 ||
		    info->si_signo > SIGNALS || info->si_signo == SIGKILL ||
		    info->si_signo == SIGSTOP)
			return fail(
				EBADMSG,
				"the image: process.%d.info.json: pending[%zu].siginfo: is none",
				p->pid, i);
		timers_bring(p, info);
	}
	return 0;
}

int signals_rebuild(const struct ckpt_thread *t, bool shared, const struct signal_queue *q)
{
	const struct ckpt_proc *p = t->proc;
	uint64_t addr;
	int64_t ret = 0;

	for (size_t i = 0; i < q->n && ret >= 0; i++) {
		const siginfo_t *info = q->v[i].info;
		uint64_t sig = (uint64_t)info->si_signo;

		if (timers_bring(p, info))
			continue;
		ret = ckpt_put(t, 0, info, sizeof(*info), &addr);
		if (!ret && shared)
			ret = ckpt_call(t, "queue a signal", SYS_rt_sigqueueinfo, (uint64_t)p->pid,
					sig, addr);
		else if (!ret)
			ret = ckpt_call(t, "queue a signal", SYS_rt_tgsigqueueinfo,
					(uint64_t)p->pid, (uint64_t)t->tid, sig, addr);
	}
	return ret < 0 ? (int)ret : 0;
}

static int ask(const struct ckpt_unit *u, struct ask *a)
{
	struct inject_call calls[SIGNALS];
	uint64_t addr = 0;
	int ret = ask_room(a, SIGNALS * sizeof(struct action), &addr);

	(void)u;
	for (size_t i = 0; i < SIGNALS; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_rt_sigaction,
			.arg = { i + 1, 0, addr + i * sizeof(struct action), SET_SIZE },
		};
	return ret ? ret : ask_add(a, calls, SIGNALS);
}

static int collect_actions(const struct ckpt_unit *u, struct signals *s)
{
	struct action actions[SIGNALS];
	struct answers answers;
	size_t room = 0;
	int ret = ask_answers(&kind_signal, u, &answers);

	if (!ret)
		memcpy(actions, answers.data, sizeof(actions));
	for (size_t i = 0; i < SIGNALS && !ret; i++) {
		int error = (int)answers.calls[i].ret;

		if (error < 0)
			return fail(-error, "process %d: ask for signal actions: %s", u->p->pid,
				    err_reason(-error));
		if (!actions[i].handler && !actions[i].flags && !actions[i].mask)
			continue;
		s->actions = arena_grow(u->c->arena, s->actions, s->n_actions, &room,
					sizeof(*s->actions));
		s->actions[s->n_actions++] =
			(struct numbered){ .signal = (uint32_t)i + 1, .action = actions[i] };
	}
	return ret;
}

static int collect(const struct ckpt_unit *u)
{
	struct signals *s = u->rec;
	int ret = collect_actions(u, s);

	return ret ? ret : signals_collect(u->c, u->p->threads[0], true, &s->pending);
}

static int prepare(const struct ckpt_unit *u)
{
	const struct signals *s = u->rec;

	return signals_prepare(u->p, &s->pending);
}

/* All of them: the fresh task has those of the runtime. */
static int rebuild(const struct ckpt_unit *u)
{
	const struct signals *s = u->rec;
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	struct action actions[SIGNALS] = { { 0 } };
	uint64_t addr;
	int ret;

	for (size_t i = 0; i < s->n_actions; i++)
		if (s->actions[i].signal)
			actions[s->actions[i].signal - 1] = s->actions[i].action;
	for (uint64_t sig = 1; sig <= SIGNALS; sig++) {
		if (sig == SIGKILL || sig == SIGSTOP)
			continue;
		ret = batch_data(b, &actions[sig - 1], sizeof(actions[0]), &addr);
		if (!ret)
			ret = batch_add(b, "set a signal action", 0, SYS_rt_sigaction, sig, addr, 0,
					SET_SIZE);
		if (ret)
			return ret;
	}
	return batch_run(b);
}

static int rebuild_pending(const struct ckpt_unit *u)
{
	const struct signals *s = u->rec;

	return signals_rebuild(u->p->threads[0], true, &s->pending);
}

const struct ckpt_kind kind_signal = {
	.name = "signals",
	.scope = KIND_PROCESS,
	.table = &table,
	.ask = ask,
	.collect = collect,
	.prepare = prepare,
	.rebuild = { [PHASE_SIGNALS] = rebuild, [PHASE_RIGHTS] = rebuild_pending },
};
