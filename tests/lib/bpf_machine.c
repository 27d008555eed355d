/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/bpf_machine.h"

#include <stdlib.h>
#include <string.h>

static const char *check_insn(const struct sock_filter *insn, size_t left)
{
	switch (insn->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		if (insn->k % 4 || insn->k >= sizeof(struct seccomp_data))
			return "a load outside struct seccomp_data";
		return NULL;
	case BPF_ALU | BPF_AND | BPF_K:
	case BPF_RET | BPF_K:
		return NULL;
	case BPF_JMP | BPF_JA:
		return insn->k < left ? NULL : "a jump past the end";
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_K:
		return insn->jt < left && insn->jf < left ? NULL : "a jump past the end";
	}
	return "an instruction that no filter here uses";
}

const char *bpf_check(const struct sock_filter *code, size_t len)
{
	const char *complaint;

	if (len == 0 || len > BPF_MAXINSNS)
		return "a length that is not 1 to 4096";
	for (size_t i = 0; i < len; i++) {
		complaint = check_insn(&code[i], len - i - 1);
		if (complaint)
			return complaint;
	}
	return BPF_CLASS(code[len - 1].code) == BPF_RET ? NULL : "no return at the end";
}

static bool holds(const struct sock_filter *insn, uint32_t a)
{
	switch (BPF_OP(insn->code)) {
	case BPF_JEQ:
		return a == insn->k;
	case BPF_JGT:
		return a > insn->k;
	case BPF_JGE:
		return a >= insn->k;
	}
	return a & insn->k;
}

struct bpf_run bpf_run(const struct sock_filter *code, size_t len, const struct seccomp_data *data)
{
	struct bpf_run run = { 0 };
	const struct sock_filter *insn;
	uint32_t a = 0;

	for (size_t at = 0; at < len; at++) {
		insn = &code[at];
		run.executed++;
		switch (BPF_CLASS(insn->code)) {
		case BPF_RET:
			run.verdict = insn->k;
			return run;
		case BPF_LD:
			memcpy(&a, (const char *)data + insn->k, sizeof(a));
			if (insn->k > offsetof(struct seccomp_data, arch))
				run.read_argument = true;
			break;
		case BPF_ALU:
			a &= insn->k;
			break;
		default:
			if (BPF_OP(insn->code) == BPF_JA)
				at += insn->k;
			else
				at += holds(insn, a) ? insn->jt : insn->jf;
		}
	}
	abort(); /* bpf_check() was not asked */
}
