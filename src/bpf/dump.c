/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/dump.h"

#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "bpf/abi.h"

#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>

#define LINE_MAX_LEN 160

/* What is known where an instruction begins: the same on every way to it, or nothing. */
struct known {
	bool reached;
	uint32_t loaded;       /* offset of the word in the accumulator */
	const struct abi *abi; /* settled by a test for the architecture */
};

#define NOT_A_WORD UINT32_MAX

static const struct name_row action_names[] = {
	{ "KILL_PROCESS", SECCOMP_RET_KILL_PROCESS },
	{ "KILL_THREAD", SECCOMP_RET_KILL_THREAD },
	{ "TRAP", SECCOMP_RET_TRAP },
	{ "ERRNO", SECCOMP_RET_ERRNO },
	{ "NOTIFY", SECCOMP_RET_USER_NOTIF },
	{ "TRACE", SECCOMP_RET_TRACE },
	{ "LOG", SECCOMP_RET_LOG },
	{ "ALLOW", SECCOMP_RET_ALLOW },
};

void dump_verdict(struct str *out, uint32_t verdict)
{
	uint32_t action = verdict & SECCOMP_RET_ACTION_FULL, data = verdict & SECCOMP_RET_DATA;
	const char *name = name_of(action_names, NAME_COUNT(action_names), action), *error;

	if (!name) {
		str_addf(out, "%#x", verdict);
		return;
	}
	str_add(out, name);
	if (data || action == SECCOMP_RET_ERRNO || action == SECCOMP_RET_TRACE)
		str_addf(out, "(%u)", data);
	error = action == SECCOMP_RET_ERRNO ? strerrorname_np((int)data) : NULL;
	if (error && data)
		str_addf(out, " %s", error);
}

static void add_word(struct str *out, uint32_t offset)
{
	const size_t args = offsetof(struct seccomp_data, args);
	bool big = abi_native()->layout.big_endian;

	if (offset == offsetof(struct seccomp_data, nr))
		str_add(out, "nr");
	else if (offset == offsetof(struct seccomp_data, arch))
		str_add(out, "arch");
	else if (offset >= args && offset < sizeof(struct seccomp_data) && offset % 4 == 0)
		str_addf(out, "%s half of argument %zu", (offset % 8 == 4) == big ? "low" : "high",
			 (offset - args) / 8);
	else
		str_addf(out, "word at %u", offset);
}

static const struct abi *abi_of_audit(uint32_t audit)
{
	const struct abi *abi;
	size_t n;

	abi = abi_all(&n);
	for (size_t i = 0; i < n; i++)
		if (abi[i].audit == audit && abi[i].token == audit)
			return &abi[i];
	return NULL;
}

static void add_call(struct str *out, const struct abi *abi, uint32_t nr)
{
	uint32_t token = abi->token;
	char *name;

	if (nr == ABI_X32_BIT) /* where x32 begins, not its first call */
		return;
	if (token == SCMP_ARCH_X86_64 && nr & ABI_X32_BIT)
		token = SCMP_ARCH_X32;
	name = seccomp_syscall_resolve_num_arch(token, (int)nr);
	if (name)
		str_addf(out, " %s", name);
	free(name);
}

/* The constant of a test, named where the accumulator's word has names. */
static void add_constant(struct str *out, const struct known *known, uint32_t k)
{
	const struct abi *abi;

	if (known->loaded == offsetof(struct seccomp_data, nr)) {
		str_addf(out, k < 0x10000 ? "%u" : "%#x", k);
		if (known->abi)
			add_call(out, known->abi, k);
	} else if (known->loaded == offsetof(struct seccomp_data, arch)) {
		abi = abi_of_audit(k);
		str_addf(out, "%#x%s%s", k, abi ? " " : "",
			 abi ? abi->name + strlen("SCMP_ARCH_") : "");
	} else {
		str_addf(out, k < 10 ? "%u" : "%#x", k);
	}
}

static void add_test(struct str *out, const struct sock_filter *insn, const struct known *known,
		     size_t at)
{
	static const struct name_row ops[] = {
		{ "==", BPF_JEQ }, { ">", BPF_JGT }, { ">=", BPF_JGE }, { "&", BPF_JSET }
	};
	const char *op = name_of(ops, NAME_COUNT(ops), BPF_OP(insn->code));

	str_add(out, "if ");
	if (known->loaded == NOT_A_WORD)
		str_add(out, "a");
	else if (known->loaded >= offsetof(struct seccomp_data, args))
		str_add(out, "it");
	else
		add_word(out, known->loaded);
	str_addf(out, " %s ", op ? op : "?");
	add_constant(out, known, insn->k);
	if (insn->jt)
		str_addf(out, ", go to %zu", at + 1 + insn->jt);
	else
		str_add(out, ", go on");
	if (insn->jf)
		str_addf(out, ", else to %zu", at + 1 + insn->jf);
}

static void add_insn(struct str *out, const struct sock_filter *insn, const struct known *known,
		     size_t at)
{
	switch (insn->code) {
	case BPF_LD | BPF_W | BPF_ABS:
		str_add(out, "look at ");
		add_word(out, insn->k);
		break;
	case BPF_ALU | BPF_AND | BPF_K:
		str_addf(out, "keep the bits %#x of it", insn->k);
		break;
	case BPF_RET | BPF_K:
		str_add(out, "return ");
		dump_verdict(out, insn->k);
		break;
	case BPF_JMP | BPF_JA:
		str_addf(out, "go to %zu", at + 1 + insn->k);
		break;
	case BPF_JMP | BPF_JEQ | BPF_K:
	case BPF_JMP | BPF_JGT | BPF_K:
	case BPF_JMP | BPF_JGE | BPF_K:
	case BPF_JMP | BPF_JSET | BPF_K:
		add_test(out, insn, known, at);
		break;
	default:
		str_addf(out, "code %#x, %u, %u, %#x", insn->code, insn->jt, insn->jf, insn->k);
	}
}

static void reach(struct known *list, size_t len, size_t to, struct known now)
{
	if (to >= len)
		return;
	if (!list[to].reached) {
		list[to] = now;
		return;
	}
	if (list[to].loaded != now.loaded)
		list[to].loaded = NOT_A_WORD;
	if (list[to].abi != now.abi)
		list[to].abi = NULL;
}

/* Jumps only go forward: one pass in order meets every way to an instruction before it. */
static void follow(struct known *list, size_t len, size_t at, const struct sock_filter *insn)
{
	struct known now = list[at], yes;

	now.reached = true;
	switch (BPF_CLASS(insn->code)) {
	case BPF_RET:
		return;
	case BPF_LD:
		now.loaded = insn->code == (BPF_LD | BPF_W | BPF_ABS) ? insn->k : NOT_A_WORD;
		break;
	case BPF_JMP:
		if (BPF_OP(insn->code) == BPF_JA) {
			if (insn->k < len)
				reach(list, len, at + 1 + insn->k, now);
			return;
		}
		yes = now;
		if (BPF_OP(insn->code) == BPF_JEQ &&
		    now.loaded == offsetof(struct seccomp_data, arch))
			yes.abi = abi_of_audit(insn->k);
		reach(list, len, at + 1 + insn->jt, yes);
		reach(list, len, at + 1 + insn->jf, now);
		return;
	}
	reach(list, len, at + 1, now);
}

void dump_program(struct arena *a, const struct sock_filter *code, size_t len,
		  void (*line)(void *arg, const char *text), void *arg)
{
	struct known *known = arena_array(a, len, sizeof(*known));

	if (len)
		known[0] = (struct known){ .reached = true, .loaded = NOT_A_WORD };
	for (size_t i = 0; i < len; i++) {
		char text[LINE_MAX_LEN];
		struct str out = STR_ON(text);

		str_addf(&out, "%4zu  ", i);
		add_insn(&out, &code[i], &known[i], i);
		line(arg, text);
		follow(known, len, i, &code[i]);
	}
}
