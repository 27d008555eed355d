/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/run.h"

#include <linux/bpf_common.h>
#include <string.h>

struct machine {
	uint32_t a, x, mem[BPF_MEMWORDS];
};

/* Bits of what a program may not do without harm, by instruction. */
enum takes {
	TAKES_K = 1,
	TAKES_OFFSET,
	TAKES_DIVISOR,
	TAKES_SHIFT,
	TAKES_SLOT,
	TAKES_JUMP,
	TAKES_FAR
};

static const struct {
	uint16_t code;
	uint8_t takes;
} allowed[] = {
	{ BPF_LD | BPF_W | BPF_ABS, TAKES_OFFSET },
	{ BPF_LD | BPF_W | BPF_LEN, TAKES_K },
	{ BPF_LDX | BPF_W | BPF_LEN, TAKES_K },
	{ BPF_LD | BPF_IMM, TAKES_K },
	{ BPF_LDX | BPF_IMM, TAKES_K },
	{ BPF_LD | BPF_MEM, TAKES_SLOT },
	{ BPF_LDX | BPF_MEM, TAKES_SLOT },
	{ BPF_ST, TAKES_SLOT },
	{ BPF_STX, TAKES_SLOT },
	{ BPF_MISC | BPF_TAX, TAKES_K },
	{ BPF_MISC | BPF_TXA, TAKES_K },
	{ BPF_RET | BPF_K, TAKES_K },
	{ BPF_RET | BPF_A, TAKES_K },
	{ BPF_ALU | BPF_ADD | BPF_K, TAKES_K },
	{ BPF_ALU | BPF_ADD | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_SUB | BPF_K, TAKES_K },
	{ BPF_ALU | BPF_SUB | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_MUL | BPF_K, TAKES_K },
	{ BPF_ALU | BPF_MUL | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_DIV | BPF_K, TAKES_DIVISOR },
	{ BPF_ALU | BPF_DIV | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_AND | BPF_K, TAKES_K },
	{ BPF_ALU | BPF_AND | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_OR | BPF_K, TAKES_K },
	{ BPF_ALU | BPF_OR | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_XOR | BPF_K, TAKES_K },
	{ BPF_ALU | BPF_XOR | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_LSH | BPF_K, TAKES_SHIFT },
	{ BPF_ALU | BPF_LSH | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_RSH | BPF_K, TAKES_SHIFT },
	{ BPF_ALU | BPF_RSH | BPF_X, TAKES_K },
	{ BPF_ALU | BPF_NEG, TAKES_K },
	{ BPF_JMP | BPF_JA, TAKES_FAR },
	{ BPF_JMP | BPF_JEQ | BPF_K, TAKES_JUMP },
	{ BPF_JMP | BPF_JEQ | BPF_X, TAKES_JUMP },
	{ BPF_JMP | BPF_JGT | BPF_K, TAKES_JUMP },
	{ BPF_JMP | BPF_JGT | BPF_X, TAKES_JUMP },
	{ BPF_JMP | BPF_JGE | BPF_K, TAKES_JUMP },
	{ BPF_JMP | BPF_JGE | BPF_X, TAKES_JUMP },
	{ BPF_JMP | BPF_JSET | BPF_K, TAKES_JUMP },
	{ BPF_JMP | BPF_JSET | BPF_X, TAKES_JUMP },
};

static enum takes takes_of(uint16_t code)
{
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++)
		if (allowed[i].code == code)
			return (enum takes)allowed[i].takes;
	return 0;
}

/* left: instructions behind this one */
static const char *check_insn(const struct sock_filter *insn, size_t left)
{
	switch (takes_of(insn->code)) {
	case TAKES_K:
		return NULL;
	case TAKES_OFFSET:
		return insn->k % 4 == 0 && insn->k < sizeof(struct seccomp_data)
			       ? NULL
			       : "a load outside struct seccomp_data";
	case TAKES_DIVISOR:
		return insn->k ? NULL : "a division by zero";
	case TAKES_SHIFT:
		return insn->k < 32 ? NULL : "a shift by more than 31";
	case TAKES_SLOT:
		return insn->k < BPF_MEMWORDS ? NULL : "a memory word that is not there";
	case TAKES_JUMP:
		return insn->jt < left && insn->jf < left ? NULL : "a jump past the end";
	case TAKES_FAR:
		return insn->k < left ? NULL : "a jump past the end";
	}
	return "an instruction that seccomp does not take";
}

/* Every way to a word of memory must have stored it first: one bit a word, ANDed over the ways. */
static const char *check_memory(const struct sock_filter *code, size_t len)
{
	uint16_t stored[BPF_MAXINSNS], now = 0;

	memset(stored, 0xff, len * sizeof(stored[0]));
	for (size_t at = 0; at < len; at++) {
		const struct sock_filter *insn = &code[at];
		uint16_t class = BPF_CLASS(insn->code);

		now &= stored[at];
		if (class == BPF_ST || class == BPF_STX) {
			now |= (uint16_t)(1u << insn->k);
		} else if (takes_of(insn->code) == TAKES_SLOT) {
			if (!(now >> insn->k & 1))
				return "memory is read that was not written";
		} else if (insn->code == (BPF_JMP | BPF_JA)) {
			stored[at + 1 + insn->k] &= now;
			now = UINT16_MAX;
		} else if (class == BPF_JMP) {
			stored[at + 1 + insn->jt] &= now;
			stored[at + 1 + insn->jf] &= now;
			now = UINT16_MAX;
		}
	}
	return NULL;
}

const char *run_check(const struct sock_filter *code, size_t len)
{
	const char *complaint;

	if (len == 0 || len > BPF_MAXINSNS)
		return "a length that is not 1 to 4096";
	for (size_t i = 0; i < len; i++) {
		complaint = check_insn(&code[i], len - i - 1);
		if (complaint)
			return complaint;
	}
	if (BPF_CLASS(code[len - 1].code) != BPF_RET)
		return "no return at the end";
	return check_memory(code, len);
}

static uint32_t operand(const struct machine *m, const struct sock_filter *insn)
{
	return BPF_SRC(insn->code) == BPF_X ? m->x : insn->k;
}

static bool holds(const struct machine *m, const struct sock_filter *insn)
{
	uint32_t v = operand(m, insn);

	switch (BPF_OP(insn->code)) {
	case BPF_JEQ:
		return m->a == v;
	case BPF_JGT:
		return m->a > v;
	case BPF_JGE:
		return m->a >= v;
	}
	return m->a & v;
}

/* Returns false for a division by zero, which ends the program with 0. */
static bool compute(struct machine *m, const struct sock_filter *insn)
{
	uint32_t v = operand(m, insn);

	switch (BPF_OP(insn->code)) {
	case BPF_ADD:
		m->a += v;
		break;
	case BPF_SUB:
		m->a -= v;
		break;
	case BPF_MUL:
		m->a *= v;
		break;
	case BPF_DIV:
		if (!v)
			return false;
		m->a /= v;
		break;
	case BPF_AND:
		m->a &= v;
		break;
	case BPF_OR:
		m->a |= v;
		break;
	case BPF_XOR:
		m->a ^= v;
		break;
	case BPF_LSH:
		m->a <<= v & 31;
		break;
	case BPF_RSH:
		m->a >>= v & 31;
		break;
	default:
		m->a = -m->a;
	}
	return true;
}

static uint32_t loaded(const struct machine *m, const struct sock_filter *insn,
		       const struct seccomp_data *data)
{
	uint32_t word;

	switch (BPF_MODE(insn->code)) {
	case BPF_ABS:
		memcpy(&word, (const char *)data + insn->k, sizeof(word));
		return word;
	case BPF_MEM:
		return m->mem[insn->k];
	case BPF_IMM:
		return insn->k;
	}
	return sizeof(*data);
}

/* How many instructions are skipped after this jump. */
static uint32_t jump(const struct machine *m, const struct sock_filter *insn)
{
	if (BPF_OP(insn->code) == BPF_JA)
		return insn->k;
	return holds(m, insn) ? insn->jt : insn->jf;
}

struct run run_program(const struct sock_filter *code, size_t len, const struct seccomp_data *data,
		       uint16_t *path)
{
	struct run run = { .verdict = SECCOMP_RET_KILL_THREAD };
	struct machine m = { 0 };

	for (size_t at = 0; at < len; at++) {
		const struct sock_filter *insn = &code[at];

		if (path)
			path[run.executed] = (uint16_t)at;
		run.executed++;
		switch (BPF_CLASS(insn->code)) {
		case BPF_RET:
			run.verdict = BPF_RVAL(insn->code) == BPF_A ? m.a : insn->k;
			return run;
		case BPF_LD:
			m.a = loaded(&m, insn, data);
			if (insn->code == (BPF_LD | BPF_W | BPF_ABS) &&
			    insn->k > offsetof(struct seccomp_data, arch))
				run.read_argument = true;
			break;
		case BPF_LDX:
			m.x = loaded(&m, insn, data);
			break;
		case BPF_ST:
			m.mem[insn->k] = m.a;
			break;
		case BPF_STX:
			m.mem[insn->k] = m.x;
			break;
		case BPF_ALU:
			if (!compute(&m, insn))
				return run;
			break;
		case BPF_JMP:
			at += jump(&m, insn);
			break;
		default:
			if (BPF_MISCOP(insn->code) == BPF_TXA)
				m.a = m.x;
			else
				m.x = m.a;
		}
	}
	return run;
}
