/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/ask.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/kinds.h"
#include "task/trace.h"

#define ALIGN 16u

struct ask {
	uint64_t base;
	struct inject_call calls[ASK_CALLS];
	size_t n, used;
	size_t room_at; /* of the kind that asks */
};

struct asked {
	bool alone; /* a filter forbids one of the calls: each kind asks for itself */
	struct answers of[CKPT_KINDS_MAX];
};

/* What one process is asked at once: the data stands right behind the calls. */
struct round {
	struct inject_call *calls;
	size_t n;
	uint8_t *data;
	size_t used;
};

int ask_room(struct ask *a, size_t len, uint64_t *out_addr)
{
	if (len > ASK_BYTES - a->used)
		return fail(E2BIG, "answers of %zu bytes don't fit where a process gives them",
			    len);
	a->room_at = a->used;
	a->used += (len + ALIGN - 1) / ALIGN * ALIGN;
	*out_addr = a->base + a->room_at;
	return 0;
}

int ask_add(struct ask *a, const struct inject_call *calls, size_t n)
{
	if (n > ASK_CALLS - a->n)
		return fail(E2BIG, "a process is asked by more than %d system calls at once",
			    ASK_CALLS);
	memcpy(a->calls + a->n, calls, n * sizeof(*calls));
	a->n += n;
	return 0;
}

static void prepare(struct ckpt *c, struct ckpt_proc *p)
{
	if (!c->ask)
		c->ask = arena_alloc(c->arena, sizeof(*c->ask));
	if (!p->asked)
		p->asked = arena_alloc(c->arena, sizeof(*p->asked));
}

/* The questions of one kind, or (NULL) of all. */
static int compose(const struct ckpt_unit *u, const struct ckpt_kind *only, struct round *out)
{
	size_t first[CKPT_KINDS_MAX + 1] = { 0 }, at[CKPT_KINDS_MAX] = { 0 }, k = 0;
	struct ckpt_unit unit = *u;
	struct ask *a = u->c->ask;
	struct round r = { 0 };
	int ret = trace_scratch(u->p->trace, &a->base);

	a->n = a->used = 0;
	for (; ckpt_kinds[k] && !ret; k++) {
		first[k] = a->n;
		a->room_at = 0;
		unit.rec = u->p->sections[k];
		if (ckpt_kinds[k]->ask && (!only || only == ckpt_kinds[k]))
			ret = ckpt_kinds[k]->ask(&unit, a);
		at[k] = a->room_at;
	}
	if (ret)
		return ret;
	first[k] = a->n;
	r.n = a->n;
	r.used = a->used;
	r.calls = arena_alloc(u->c->arena, a->n * sizeof(*a->calls) + a->used);
	r.data = (uint8_t *)(r.calls + a->n);
	memcpy(r.calls, a->calls, a->n * sizeof(*a->calls));
	for (size_t i = 0; i < k; i++)
		if (!only || only == ckpt_kinds[i])
			u->p->asked->of[i] = (struct answers){
				.calls = r.calls + first[i],
				.n = first[i + 1] - first[i],
				.data = r.data + at[i],
			};
	*out = r;
	return 0;
}

static int ask_one(const struct ckpt_unit *u, const struct ckpt_kind *only)
{
	const struct ckpt_thread *t = u->p->threads[0];
	struct round r;
	uint64_t at;
	int ret;

	prepare(u->c, u->p);
	ret = compose(u, only, &r);
	if (!ret && r.used)
		ret = ckpt_put(t, 0, r.data, r.used, &at);
	if (!ret)
		ret = trace_batch(t->trace, r.calls, r.n);
	return ret || !r.used ? ret : ckpt_get(t, 0, r.data, r.used);
}

/* All that can be asked, in few waits. */
struct crowd {
	struct ckpt_proc **procs;
	struct trace_errand *errands;
	size_t n;
};

static void find_crowd(struct ckpt *c, struct crowd *out)
{
	out->procs = arena_array(c->arena, c->n_procs, sizeof(struct ckpt_proc *));
	out->errands = arena_array(c->arena, c->n_procs, sizeof(*out->errands));
	out->n = 0;
	for (size_t i = 0; i < c->n_procs; i++) {
		if (c->procs[i]->zombie)
			continue;
		prepare(c, c->procs[i]);
		out->errands[out->n].th = c->procs[i]->threads[0]->trace;
		out->procs[out->n++] = c->procs[i];
	}
}

static int compose_all(struct ckpt *c, struct crowd *crowd)
{
	int ret = 0;

	for (size_t i = 0; i < crowd->n && !ret; i++) {
		const struct ckpt_unit u = { .c = c, .p = crowd->procs[i] };
		struct trace_errand *e = &crowd->errands[i];
		struct round r = { 0 };

		if (e->ret)
			continue;
		e->ret = compose(&u, NULL, &r);
		e->calls = r.calls;
		e->n = r.n;
		e->len = r.used;
		ret = e->ret == -EPERM ? 0 : e->ret;
	}
	return ret;
}

/* Where nothing was executed: whose call that was, and what it means, is that kind's affair. */
static int ask_all(struct ckpt *c)
{
	struct crowd crowd;
	int ret;

	find_crowd(c, &crowd);
	ret = trace_scratch_all(crowd.errands, crowd.n);
	if (!ret)
		ret = compose_all(c, &crowd);
	if (!ret)
		ret = trace_batch_all(crowd.errands, crowd.n);
	for (size_t i = 0; i < crowd.n && !ret; i++)
		crowd.procs[i]->asked->alone = crowd.errands[i].ret == -EPERM;
	return ret;
}

static void tell(const struct ckpt_kind *k, const struct ckpt_unit *u, struct answers *out)
{
	size_t i = 0;

	while (ckpt_kinds[i] != k)
		i++;
	*out = u->p->asked->of[i];
}

int ask_answers(const struct ckpt_kind *k, const struct ckpt_unit *u, struct answers *out)
{
	int ret = u->p->asked ? 0 : ask_all(u->c);

	if (!ret && u->p->asked->alone)
		return ask_again(k, u, out);
	if (!ret)
		tell(k, u, out);
	return ret;
}

int ask_again(const struct ckpt_kind *k, const struct ckpt_unit *u, struct answers *out)
{
	int ret = ask_one(u, k);

	if (!ret)
		tell(k, u, out);
	return ret;
}
