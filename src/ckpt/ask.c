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

/* Of one kind, or (NULL) of all. */
static int gather(const struct ckpt_unit *u, const struct ckpt_kind *only, struct ask *a,
		  struct asked *asked)
{
	size_t first[CKPT_KINDS_MAX + 1] = { 0 }, at[CKPT_KINDS_MAX] = { 0 }, k = 0;
	const struct ckpt_thread *t = u->p->threads[0];
	struct ckpt_unit unit = *u;
	struct inject_call *calls;
	uint8_t *data = NULL;
	int ret = trace_scratch(t->proc->trace, &a->base);

	a->n = a->used = 0;
	for (; ckpt_kinds[k] && !ret; k++) {
		first[k] = a->n;
		a->room_at = 0;
		unit.rec = u->p->sections[k];
		if (ckpt_kinds[k]->ask && (!only || only == ckpt_kinds[k]))
			ret = ckpt_kinds[k]->ask(&unit, a);
		at[k] = a->room_at;
	}
	first[k] = a->n;
	if (!ret && a->used) {
		data = arena_alloc(u->c->arena, a->used);
		ret = ckpt_put(t, 0, data, a->used, &a->base);
	}
	if (!ret)
		ret = trace_batch(t->trace, a->calls, a->n);
	if (!ret && a->used)
		ret = ckpt_get(t, 0, data, a->used);
	if (ret)
		return ret;
	calls = arena_memdup(u->c->arena, a->calls, a->n * sizeof(*calls));
	for (size_t i = 0; i < k; i++)
		if (!only || only == ckpt_kinds[i])
			asked->of[i] = (struct answers){
				.calls = calls + first[i],
				.n = first[i + 1] - first[i],
				.data = data ? data + at[i] : NULL,
			};
	return 0;
}

static void prepare(const struct ckpt_unit *u)
{
	if (!u->c->ask)
		u->c->ask = arena_alloc(u->c->arena, sizeof(*u->c->ask));
	if (!u->p->asked)
		u->p->asked = arena_alloc(u->c->arena, sizeof(*u->p->asked));
}

static int ask_all(const struct ckpt_unit *u)
{
	int ret;

	prepare(u);
	ret = gather(u, NULL, u->c->ask, u->p->asked);
	/* nothing was executed: whose call that was, and what it means, is that kind's affair */
	u->p->asked->alone = ret == -EPERM;
	return ret == -EPERM ? 0 : ret;
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
	int ret = u->p->asked ? 0 : ask_all(u);

	if (!ret && u->p->asked->alone)
		return ask_again(k, u, out);
	if (!ret)
		tell(k, u, out);
	return ret;
}

int ask_again(const struct ckpt_kind *k, const struct ckpt_unit *u, struct answers *out)
{
	int ret;

	prepare(u);
	ret = gather(u, k, u->c->ask, u->p->asked);
	if (!ret)
		tell(k, u, out);
	return ret;
}
