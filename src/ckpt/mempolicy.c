/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/mempolicy.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/ask.h"
#include "ckpt/batch.h"
#include "ckpt/kinds.h"
#include "ckpt/memory.h"
#include "task/trace.h"

#define MASK_LEN (MEMPOLICY_NODES / 8)
#define AT_MODES MASK_LEN /* in the scratch memory: the mask, then modes */
#define MODES 512
#define TOGETHER 128 /* mappings that are asked for with all else */

/* With the nodes. */
static int ask(struct ckpt *c, const struct ckpt_thread *t, uint64_t addr, struct mempolicy *out)
{
	uint8_t answer[MASK_LEN + sizeof(int32_t)] = { 0 };
	struct inject_call call = { .nr = SYS_get_mempolicy };
	size_t len = MASK_LEN;
	uint64_t at;
	int ret = ckpt_put(t, 0, answer, sizeof(answer), &at);

	call.arg[0] = at + AT_MODES;
	call.arg[1] = at;
	call.arg[2] = MEMPOLICY_NODES + 1;
	call.arg[3] = addr;
	call.arg[4] = MPOL_F_ADDR;
	if (!ret)
		ret = trace_call(t->trace, &call);
	if (!ret && call.ret < 0)
		ret = fail((int)-call.ret, "thread %d: ask for its memory policy: %s", t->tid,
			   err_reason((int)-call.ret));
	if (!ret)
		ret = ckpt_get(t, 0, answer, sizeof(answer));
	if (ret)
		return ret;
	memcpy(&out->mode, answer + AT_MODES, sizeof(out->mode));
	while (len && !answer[len - 1])
		len--;
	out->nodes_len = (len + 7) / 8 * 8;
	out->nodes = len ? arena_memdup(c->arena, answer, out->nodes_len) : NULL;
	return 0;
}

static void questions(const struct vma *v, size_t n, uint64_t at, struct inject_call *calls)
{
	for (size_t i = 0; i < n; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_get_mempolicy,
			.arg = { at + i * sizeof(int32_t), 0, 0, v[i].start, MPOL_F_ADDR },
		};
}

int mempolicy_ask(const struct ckpt_thread *t, const struct memory_map *map, struct ask *a)
{
	struct inject_call calls[TOGETHER];
	size_t n = map->n < TOGETHER ? map->n : TOGETHER;
	uint64_t at = 0;
	bool may;
	int ret = trace_may(t->trace, SYS_get_mempolicy, (const uint64_t[6]){ 0 }, &may);

	if (ret || !may)
		return ret;
	ret = ask_room(a, n * sizeof(int32_t), &at);
	questions(map->v, n, at, calls);
	return ret ? ret : ask_add(a, calls, n);
}

/* The modes of n mappings from the first one on. */
static int ask_modes(const struct ckpt_thread *t, const struct vma *v, size_t n, int32_t *out)
{
	struct inject_call calls[MODES];
	uint64_t at;
	int ret = trace_scratch(t->proc->trace, &at);

	questions(v, n, at, calls);
	if (!ret)
		ret = trace_batch(t->trace, calls, n);
	if (!ret)
		ret = ckpt_get(t, 0, out, n * sizeof(*out));
	for (size_t i = 0; i < n && !ret; i++)
		if (calls[i].ret < 0)
			out[i] = MPOL_DEFAULT;
	return ret;
}

/* Those that were asked for together with everything else; *out_n of them. */
static int first_modes(const struct ckpt_unit *u, int32_t *out, size_t *out_n)
{
	struct answers answers = { .n = 0 };
	int ret = ask_answers(&kind_mempolicy, u, &answers);

	for (size_t i = 0; i < answers.n && !ret; i++) {
		memcpy(&out[i], answers.data + i * sizeof(*out), sizeof(*out));
		/* there is a mapping: only a kernel that knows no nodes gives no answer */
		if (answers.calls[i].ret < 0)
			out[i] = MPOL_DEFAULT;
	}
	if (!ret)
		*out_n = answers.n;
	return ret;
}

int mempolicy_of_map(const struct ckpt_unit *u, struct memory_map *map)
{
	const struct ckpt_thread *t = u->p->threads[0];
	int32_t modes[MODES];
	size_t n;
	int ret = first_modes(u, modes, &n);

	/* none was asked: a filter forbids it, and so nobody has set one */
	if (ret || !n)
		return ret;
	for (size_t i = 0; i < map->n && !ret; i += n) {
		if (i) {
			n = map->n - i < MODES ? map->n - i : MODES;
			ret = ask_modes(t, map->v + i, n, modes);
		}
		for (size_t k = 0; k < n && !ret; k++)
			if (modes[k] != MPOL_DEFAULT)
				ret = ask(u->c, t, map->v[i + k].start, &map->v[i + k].policy);
	}
	return ret;
}

int mempolicy_add(struct ckpt_batch *b, const struct mempolicy *m, uint64_t start, uint64_t len)
{
	uint64_t nodes = 0, bits = 0;
	int ret = 0;

	if (m->mode == MPOL_DEFAULT)
		return 0;
	if (m->nodes_len) {
		bits = m->nodes_len * 8 + 1;
		ret = batch_data(b, m->nodes, m->nodes_len, &nodes);
	}
	return ret ? ret
		   : batch_add(b, "set the memory policy of a mapping", 0, SYS_mbind, start, len,
			       m->mode, nodes, bits, 0);
}
