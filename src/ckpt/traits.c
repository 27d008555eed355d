/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/traits.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <linux/mempolicy.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/trace.h"

/* Of later kernels than the headers: linux/prctl.h, linux/membarrier.h */
#ifndef PR_SET_MDWE
#define PR_SET_MDWE 65
#define PR_GET_MDWE 66
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#define MEMBARRIER_GET_REGISTRATIONS (1 << 9)
#define BARRIERS "barriers"

/* Where answers lie; the one that is no policy at 0. */
#define AT_POLICY 8
#define AT_NODES 16

#define NODES_BYTES 128u /* of a set of memory nodes */
#define NODES_BITS (NODES_BYTES * 8u)
#define SPECULATION_STATES \
	(PR_SPEC_ENABLE | PR_SPEC_DISABLE | PR_SPEC_FORCE_DISABLE | PR_SPEC_DISABLE_NOEXEC)

struct trait {
	const char *name;
	enum kind_scope scope;
	long nr;
	uint64_t ask[2];    /* the first arguments of the call that tells */
	bool answers_there; /* not by its result, but at the address in the last of them */
	uint64_t set[2];    /* the first ones of the one that sets, then the value */
	uint64_t needs;     /* bits without which it is not the task's affair */
	uint64_t mask;      /* what of it can be set */
	uint64_t usual;     /* and is so for everybody */
	uint64_t success;   /* the value is this one where the call succeeds: a kernel that tells
			     * registrations (6.3) is not asked so */
};

#define SPECULATION(text, what, states, normal)                                     \
	{                                                                           \
		.name = (text), .scope = KIND_THREAD, .nr = SYS_prctl,              \
		.ask = { PR_GET_SPECULATION_CTRL, (what) },                         \
		.set = { PR_SET_SPECULATION_CTRL, (what) }, .needs = PR_SPEC_PRCTL, \
		.mask = (states), .usual = (normal)                                 \
	}
#define PRCTL(text, of, getter, setter, normal)                                      \
	{                                                                            \
		.name = (text), .scope = (of), .nr = SYS_prctl, .ask = { (getter) }, \
		.set = { (setter) }, .mask = UINT64_MAX, .usual = (normal)           \
	}

/* A barrier that only who has registered for it may ask for. */
#define TRIED(barrier, registers)                                                \
	{                                                                        \
		.name = BARRIERS, .scope = KIND_PROCESS, .nr = SYS_membarrier,   \
		.ask = { (barrier) }, .mask = UINT32_MAX, .success = (registers) \
	}

/* prctl(2), membarrier(2), set_mempolicy(2) */
static const struct trait table[] = {
	SPECULATION("storeBypass", PR_SPEC_STORE_BYPASS, SPECULATION_STATES & ~PR_SPEC_ENABLE, 0),
	SPECULATION("indirectBranch", PR_SPEC_INDIRECT_BRANCH, SPECULATION_STATES & ~PR_SPEC_ENABLE,
		    0),
	SPECULATION("l1dFlush", PR_SPEC_L1D_FLUSH, PR_SPEC_ENABLE, 0),
	{ .name = "timestampCounter",
	  .scope = KIND_THREAD,
	  .nr = SYS_prctl,
	  .ask = { PR_GET_TSC },
	  .answers_there = true,
	  .set = { PR_SET_TSC },
	  .mask = UINT32_MAX,
	  .usual = PR_TSC_ENABLE },
	{ .name = "machineChecks",
	  .scope = KIND_THREAD,
	  .nr = SYS_prctl,
	  .ask = { PR_MCE_KILL_GET },
	  .set = { PR_MCE_KILL, PR_MCE_KILL_SET },
	  .mask = UINT64_MAX,
	  .usual = PR_MCE_KILL_DEFAULT },
	PRCTL("taggedAddresses", KIND_THREAD, PR_GET_TAGGED_ADDR_CTRL, PR_SET_TAGGED_ADDR_CTRL, 0),
	{ .name = "memoryPolicy", .scope = KIND_THREAD, .nr = SYS_get_mempolicy },
	PRCTL("writeOrExecute", KIND_PROCESS, PR_GET_MDWE, PR_SET_MDWE, 0),
	PRCTL("memoryMerge", KIND_PROCESS, PR_GET_MEMORY_MERGE, PR_SET_MEMORY_MERGE, 0),
	PRCTL("hugePages", KIND_PROCESS, PR_GET_THP_DISABLE, PR_SET_THP_DISABLE, 0),
	{ .name = BARRIERS,
	  .scope = KIND_PROCESS,
	  .nr = SYS_membarrier,
	  .ask = { MEMBARRIER_GET_REGISTRATIONS },
	  .mask = UINT32_MAX },
	TRIED(MEMBARRIER_CMD_PRIVATE_EXPEDITED, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED),
	TRIED(MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE,
	      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE),
	TRIED(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
	      MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ),
};

static const struct record_field rows[] = {
	RECORD(TEXT, struct trait_value, "name", name, RECORD_MAX(32)),
	RECORD(HEX, struct trait_value, "value", value),
	RECORD(BYTES, struct trait_value, "data", data, RECORD_N(struct trait_value, len),
	       RECORD_OPTIONAL, RECORD_MAX(NODES_BYTES)),
};
const struct record_table trait_table = RECORD_TABLE(struct trait_value, rows);

static bool is_policy(const struct trait *k)
{
	return k->nr == SYS_get_mempolicy;
}

static struct inject_call question(const struct trait *k, uint64_t at)
{
	struct inject_call call = { .nr = (uint64_t)k->nr, .arg = { k->ask[0], k->ask[1] } };

	if (k->answers_there)
		call.arg[1] = at;
	if (is_policy(k)) {
		call.arg[0] = at + AT_POLICY;
		call.arg[1] = at + AT_NODES;
		call.arg[2] = NODES_BITS;
	}
	return call;
}

/* Which one a call asks for: those that are left out leave no gap. */
static const struct trait *asked(const struct inject_call *call)
{
	for (size_t i = 0; i < NAME_COUNT(table); i++)
		if ((uint64_t)table[i].nr == call->nr &&
		    (is_policy(&table[i]) ||
		     (table[i].ask[0] == call->arg[0] &&
		      (table[i].answers_there || table[i].ask[1] == call->arg[1]))))
			return &table[i];
	return NULL;
}

static bool tells_registrations(void)
{
	return syscall(SYS_membarrier, MEMBARRIER_GET_REGISTRATIONS, 0, 0) >= 0;
}

int traits_ask(const struct ckpt_thread *t, enum kind_scope scope, uint64_t at,
	       struct inject_call *out, size_t *out_n)
{
	size_t n = 0;
	bool may = false;
	int ret = 0;

	for (size_t i = 0; i < NAME_COUNT(table) && !ret; i++) {
		if (table[i].scope != scope || (table[i].success && tells_registrations()))
			continue;
		out[n] = question(&table[i], at);
		ret = trace_may(t->trace, (int64_t)out[n].nr, out[n].arg, &may);
		n += may;
	}
	*out_n = n;
	return ret;
}

/* A kernel or a processor that has no such thing answers an error. */
static bool value_of(const struct trait *k, const struct inject_call *call, const uint8_t *buf,
		     struct trait_value *out)
{
	uint32_t word;

	if (call->ret < 0)
		return false;
	*out = (struct trait_value){ .name = k->name,
				     .value = k->success ? k->success : (uint64_t)call->ret };
	if (k->answers_there || is_policy(k)) {
		memcpy(&word, buf + (is_policy(k) ? AT_POLICY : 0), sizeof(word));
		out->value = word;
	}
	if (is_policy(k)) {
		out->data = buf + AT_NODES;
		out->len = NODES_BYTES;
		return out->value != MPOL_DEFAULT;
	}
	return (out->value & k->needs) == k->needs && (out->value & k->mask) != k->usual;
}

void traits_take(struct ckpt *c, const struct inject_call *calls, size_t n, const void *buf,
		 struct traits *out)
{
	struct trait_value one;
	const struct trait *k;
	size_t room = 0;

	for (size_t i = 0; i < n; i++) {
		k = asked(&calls[i]);
		if (!k || !value_of(k, &calls[i], buf, &one))
			continue;
		if (one.len)
			one.data = arena_memdup(c->arena, one.data, one.len);
		out->v = arena_grow(c->arena, out->v, out->n, &room, sizeof(*out->v));
		out->v[out->n++] = one;
	}
}

/* ---- restore */

static const struct trait *named(const char *name, enum kind_scope scope)
{
	for (size_t i = 0; i < NAME_COUNT(table); i++)
		if (table[i].scope == scope && strcmp(table[i].name, name) == 0)
			return &table[i];
	return NULL;
}

static int add_policy(struct ckpt_batch *b, const struct trait_value *v)
{
	uint64_t addr;
	int ret = v->len == NODES_BYTES ? batch_data(b, v->data, v->len, &addr) : -EBADMSG;

	if (ret == -EBADMSG)
		return fail(EBADMSG, "the image: a set of memory nodes has %zu bytes", v->len);
	return ret ? ret
		   : batch_add(b, "set its memory policy", 0, SYS_set_mempolicy, v->value, addr,
			       NODES_BITS);
}

static int add_barriers(struct ckpt_batch *b, uint64_t registered)
{
	int ret = 0;

	for (unsigned bit = 0; bit < 32 && !ret; bit++)
		if (registered >> bit & 1)
			ret = batch_add(b, "register for membarrier", 0, SYS_membarrier,
					1ull << bit, 0, 0);
	return ret;
}

int traits_rebuild(struct ckpt_batch *b, const struct ckpt_thread *t, enum kind_scope scope,
		   const struct traits *traits)
{
	const struct trait *k;
	uint64_t value;
	int ret = 0;

	for (size_t i = 0; i < traits->n && !ret; i++) {
		const struct trait_value *v = &traits->v[i];

		k = named(v->name, scope);
		value = v->value;
		if (!k)
			ret = fail(EBADMSG,
				   "the image: process.%d.info.json: traits: \"%s\" is not known "
				   "to this version",
				   t->proc->pid, v->name);
		else if (is_policy(k))
			ret = add_policy(b, v);
		else if (k->nr == SYS_membarrier)
			ret = add_barriers(b, value);
		else if (k->set[0] == PR_SET_THP_DISABLE)
			ret = batch_add(b, "switch huge pages off", 0, SYS_prctl, k->set[0], 1,
					value & ~1ull, 0, 0);
		else if (k->set[0] == PR_SET_SPECULATION_CTRL || k->set[1])
			ret = batch_add(b, k->name, 0, SYS_prctl, k->set[0], k->set[1],
					value & k->mask, 0, 0);
		else
			ret = batch_add(b, k->name, 0, SYS_prctl, k->set[0], value, 0, 0, 0);
	}
	return ret;
}
