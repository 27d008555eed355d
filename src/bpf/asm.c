/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/asm.h"

#include <stddef.h>

/*
 * A conditional jump spans at most 255 instructions. Two may still come between a target that was
 * found near and the jump itself: a stand-in for its other target, and a load.
 */
#define REACH (255 - 2)

static struct sock_filter *insn_at(struct asm_code *code, unsigned label)
{
	return &code->insn[BPF_MAXINSNS - 1 - label];
}

static bool is_test(uint16_t op)
{
	return BPF_CLASS(op) == BPF_JMP && BPF_OP(op) != BPF_JA;
}

bool asm_near(const struct asm_code *code, unsigned label)
{
	return code->len - label - 1 <= REACH;
}

static unsigned emit(struct asm_code *code, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
	unsigned label = code->len;

	if (label == BPF_MAXINSNS) {
		code->full = true;
		return 0;
	}
	code->len++;
	*insn_at(code, label) = (struct sock_filter){
		.code = op,
		.jt = is_test(op) ? label - yes - 1 : 0,
		.jf = is_test(op) ? label - no - 1 : 0,
		.k = k,
	};
	code->link[label] = (struct asm_link){ .yes = yes, .no = no, .stand_in = label };
	return label;
}

static uint16_t *chain_of(struct asm_code *code, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
	uint32_t h = (k ^ op * 0x9e3779b1u) * 0x85ebca6bu;

	h = (h ^ (h >> 15) ^ yes * 0xc2b2ae35u ^ no * 0x27d4eb2fu) * 0x9e3779b1u;
	return &code->newest[(h ^ (h >> 16)) % ASM_CHAINS];
}

/* An equal instruction within reach: its label + 1, or 0. A chain goes from the near to the far. */
static unsigned find(struct asm_code *code, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
	unsigned at = *chain_of(code, op, k, yes, no), label;

	for (; at && asm_near(code, at - 1); at = code->link[label].older) {
		label = at - 1;
		if (insn_at(code, label)->code == op && insn_at(code, label)->k == k &&
		    code->link[label].yes == yes && code->link[label].no == no)
			return at;
	}
	return 0;
}

/* As emit(), for find() to find. */
static unsigned emit_known(struct asm_code *code, uint16_t op, uint32_t k, unsigned yes,
			   unsigned no)
{
	uint16_t *newest = chain_of(code, op, k, yes, no);
	unsigned label = emit(code, op, k, yes, no);

	if (!code->full) {
		code->link[label].older = *newest;
		*newest = label + 1;
	}
	return label;
}

static unsigned put(struct asm_code *code, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
	unsigned known = find(code, op, k, yes, no);

	return known ? known - 1 : emit_known(code, op, k, yes, no);
}

static unsigned go(struct asm_code *code, unsigned label)
{
	return emit(code, BPF_JMP | BPF_JA, code->len - label - 1, label, label);
}

/* A label within reach that does what the given one does. */
static unsigned reach(struct asm_code *code, unsigned label)
{
	const struct sock_filter *insn = insn_at(code, label);
	unsigned near;

	if (asm_near(code, label))
		return label;
	near = code->link[label].stand_in;
	if (asm_near(code, near))
		return near;
	if (BPF_CLASS(insn->code) == BPF_RET)
		near = asm_ret(code, insn->k);
	else
		near = go(code, label);
	code->link[label].stand_in = near;
	return near;
}

/* Makes the newest instruction one that does what `label` does. */
static void follow(struct asm_code *code, unsigned label)
{
	const struct sock_filter *insn = insn_at(code, label);

	if (label + 1 == code->len)
		return;
	if (is_test(insn->code) && asm_near(code, code->link[label].yes) &&
	    asm_near(code, code->link[label].no))
		emit(code, insn->code, insn->k, code->link[label].yes, code->link[label].no);
	else
		go(code, label);
}

static unsigned put_before(struct asm_code *code, uint16_t op, uint32_t k, unsigned next)
{
	unsigned known = find(code, op, k, next, next);

	if (known)
		return known - 1;
	follow(code, next);
	return emit_known(code, op, k, next, next);
}

unsigned asm_ret(struct asm_code *code, uint32_t verdict)
{
	return put(code, BPF_RET | BPF_K, verdict, 0, 0);
}

unsigned asm_load(struct asm_code *code, uint32_t offset, unsigned next)
{
	return put_before(code, BPF_LD | BPF_W | BPF_ABS, offset, next);
}

unsigned asm_and(struct asm_code *code, uint32_t mask, unsigned next)
{
	return put_before(code, BPF_ALU | BPF_AND | BPF_K, mask, next);
}

unsigned asm_jump(struct asm_code *code, uint16_t op, uint32_t k, unsigned yes, unsigned no)
{
	if (yes == no)
		return yes;
	yes = reach(code, yes);
	no = reach(code, no);
	return put(code, BPF_JMP | op | BPF_K, k, yes, no);
}

bool asm_is_ret(const struct asm_code *code, unsigned label)
{
	return BPF_CLASS(code->insn[BPF_MAXINSNS - 1 - label].code) == BPF_RET;
}

const struct sock_filter *asm_finish(struct asm_code *code, unsigned entry, unsigned short *out_len)
{
	*out_len = entry + 1;
	return insn_at(code, entry);
}
