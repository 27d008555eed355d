/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/batch.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/trace.h"

#define ALIGN 16u

struct ckpt_batch {
	const struct ckpt_thread *t; /* whose calls are added now */
	struct trace_share shares[TRACE_BATCH_MAX];
	size_t n_shares;
	struct inject_call calls[TRACE_BATCH_MAX];
	const char *what[TRACE_BATCH_MAX];
	int64_t want[TRACE_BATCH_MAX];
	size_t n, used;
	uint8_t data[TRACE_SCRATCH];
};

struct ckpt_batch *batch_begin(struct ckpt *c, const struct ckpt_thread *t)
{
	if (!c->batch)
		c->batch = arena_alloc(c->arena, sizeof(*c->batch));
	c->batch->n = c->batch->used = c->batch->n_shares = 0;
	batch_turn(c->batch, t);
	return c->batch;
}

void batch_turn(struct ckpt_batch *b, const struct ckpt_thread *t)
{
	b->t = t;
	if (!b->n_shares || b->shares[b->n_shares - 1].n)
		b->n_shares++;
	b->shares[b->n_shares - 1] = (struct trace_share){ t->trace, 0 };
}

int batch_add_args(struct ckpt_batch *b, const char *what, int64_t want, long nr,
		   const uint64_t *arg)
{
	struct inject_call *call;
	int ret = b->n == TRACE_BATCH_MAX ? batch_run(b) : 0;

	if (ret)
		return ret;
	b->shares[b->n_shares - 1].n++;
	call = &b->calls[b->n];
	call->nr = (uint64_t)nr;
	memcpy(call->arg, arg, sizeof(call->arg));
	b->what[b->n] = what;
	b->want[b->n++] = want;
	return 0;
}

int batch_data(struct ckpt_batch *b, const void *data, size_t len, uint64_t *out_addr)
{
	uint64_t scratch;
	int ret = 0;

	if (len > sizeof(b->data))
		return fail(E2BIG, "%zu bytes don't fit where system calls get their arguments",
			    len);
	if (len > sizeof(b->data) - b->used || b->n > TRACE_BATCH_MAX - BATCH_DATA_CALLS)
		ret = batch_run(b);
	if (!ret)
		ret = trace_scratch(b->t->proc->trace, &scratch);
	if (ret)
		return ret;
	memcpy(b->data + b->used, data, len);
	*out_addr = scratch + b->used;
	b->used += (len + ALIGN - 1) / ALIGN * ALIGN;
	return 0;
}

static int check(const struct ckpt_batch *b, size_t i)
{
	int64_t got = b->calls[i].ret, want = b->want[i];

	if (want == BATCH_WHATEVER || got == want)
		return 0;
	if (got < 0 && got > -4096)
		return fail((int)-got, "process %d: %s: %s", b->t->proc->pid, b->what[i],
			    err_reason((int)-got));
	if (want == BATCH_ANY)
		return 0;
	return fail(EPROTO, "process %d: %s: the kernel answers 0x%llx instead of 0x%llx",
		    b->t->proc->pid, b->what[i], (unsigned long long)got, (unsigned long long)want);
}

/* The last one may have added nothing yet. */
static size_t shares(const struct ckpt_batch *b)
{
	return b->n_shares - (b->shares[b->n_shares - 1].n ? 0 : 1);
}

int batch_run(struct ckpt_batch *b)
{
	size_t n = b->n;
	uint64_t addr;
	int ret = 0;

	if (b->used)
		ret = ckpt_put(b->t, 0, b->data, b->used, &addr);
	if (!ret && n == 1)
		ret = trace_call(b->shares[0].th, b->calls);
	else if (!ret && n)
		ret = trace_batch_each(b->t->proc->trace, b->shares, shares(b), b->calls);
	if (ret)
		ret = fail_in(ret, "process %d", b->t->proc->pid);
	for (size_t i = 0; i < n && !ret; i++)
		ret = check(b, i);
	b->n = b->used = b->n_shares = 0;
	batch_turn(b, b->t);
	return ret;
}
