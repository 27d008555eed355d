/* SPDX-License-Identifier: Apache-2.0 */
/* Written from the end to the beginning, as asm.h has it: `next` is where a call goes on that the
 * part in hand does not know. */
#include "bpf/guard.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stddef.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "bpf/abi.h"
#include "bpf/asm.h"

/* What else runs on a machine of that kind. */
static const struct {
	uint32_t native, other;
} beside[] = {
	{ SCMP_ARCH_X86_64, SCMP_ARCH_X86 },
	{ SCMP_ARCH_X86_64, FILTER_ARCH_X32 },
	{ SCMP_ARCH_AARCH64, SCMP_ARCH_ARM },
};

#define N_BESIDE (sizeof(beside) / sizeof(beside[0]))

static const uint32_t nr_at = offsetof(struct seccomp_data, nr);

struct guard {
	struct asm_code *code;
	const struct guard_call *calls;
	size_t n;
	unsigned allow, ask, missing; /* returns */
};

static uint32_t half(const struct abi *abi, int arg, bool high)
{
	uint32_t at =
		(uint32_t)(offsetof(struct seccomp_data, args) + (size_t)arg * sizeof(uint64_t));

	return at + (high != abi->layout.big_endian ? 4 : 0);
}

/* To `yes` where the argument isn't NULL, else to `no`. */
static unsigned unless_null(const struct guard *g, const struct abi *abi, int arg, unsigned yes,
			    unsigned no)
{
	unsigned at = no;

	if (abi->layout.wide) {
		at = asm_jump(g->code, BPF_JEQ, 0, at, yes);
		at = asm_load(g->code, half(abi, arg, true), at);
	}
	at = asm_jump(g->code, BPF_JEQ, 0, at, yes);
	return asm_load(g->code, half(abi, arg, false), at);
}

/* To `yes` where what was loaded is one of the values, else to `no`. */
static unsigned if_one_of(const struct guard *g, const uint32_t *values, size_t n, unsigned yes,
			  unsigned no)
{
	for (size_t i = n; i-- > 0;)
		no = asm_jump(g->code, BPF_JEQ, values[i], yes, no);
	return no;
}

/* The same where it is masked before. */
static unsigned if_test(const struct guard *g, const struct abi *abi, const struct guard_test *t,
			unsigned yes, unsigned no)
{
	unsigned at = if_one_of(g, t->values, t->n, yes, no);

	if (t->mask != UINT32_MAX)
		at = asm_and(g->code, t->mask, at);
	return asm_load(g->code, half(abi, t->argument, false), at);
}

static bool has_tests(const struct guard_call *call)
{
	return call->argument >= 0 || call->also[0].n || call->pass;
}

/* To `yes` where the row asks about the call, else to `no`; the number is no more in the
 * accumulator then. */
static unsigned add_test(const struct guard *g, const struct abi *abi,
			 const struct guard_call *call, unsigned yes, unsigned no)
{
	if (call->pass && abi->layout.wide)
		yes = asm_load(g->code, half(abi, call->pass - 1, true),
			       asm_jump(g->code, BPF_JEQ, GUARD_PASS, no, yes));
	for (size_t i = 0; i < sizeof(call->also) / sizeof(call->also[0]); i++)
		if (call->also[i].n)
			yes = if_test(g, abi, &call->also[i], yes, no);
	if (call->argument < 0)
		return yes;
	if (!call->n_values)
		return unless_null(g, abi, call->argument, yes, no);
	return asm_load(g->code, half(abi, call->argument, false),
			if_one_of(g, call->values, call->n_values, yes, no));
}

/* Does a later row have the same call? */
static bool has_more(const struct guard *g, size_t row)
{
	for (size_t i = row + 1; i < g->n; i++)
		if (strcmp(g->calls[i].name, g->calls[row].name) == 0)
			return true;
	return false;
}

static int number_of(const struct abi *abi, const struct guard_call *call)
{
	int nr = seccomp_syscall_resolve_name_arch(abi->token, call->name);

	if (nr != __NR_SCMP_ERROR || !call->number)
		return nr;
	return abi->token == FILTER_ARCH_X32 ? call->number | (int)ABI_X32_BIT : call->number;
}

/* The calls of one architecture; their number is in the accumulator. */
static int add_calls(const struct guard *g, const struct abi *abi, unsigned verdict, unsigned *next)
{
	int nr, mux = -1, call, direct;
	unsigned inner = g->allow, no;

	for (size_t i = g->n; i-- > 0;) {
		nr = number_of(abi, &g->calls[i]);
		if (nr == __NR_SCMP_ERROR)
			return fail(EINVAL, "the call %s, which is to be supervised, is unknown",
				    g->calls[i].name);
		if (abi_mux(abi, nr, &mux, &call, &direct)) {
			inner = asm_jump(g->code, BPF_JEQ, (uint32_t)call, verdict, inner);
			nr = direct;
		}
		if (nr < 0)
			continue;
		no = g->allow;
		if (has_tests(&g->calls[i]) && has_more(g, i))
			no = asm_load(g->code, nr_at, *next);
		*next = asm_jump(g->code, BPF_JEQ, (uint32_t)nr,
				 add_test(g, abi, &g->calls[i], verdict, no), *next);
	}
	if (mux >= 0)
		*next = asm_jump(g->code, BPF_JEQ, (uint32_t)mux,
				 asm_load(g->code, half(abi, 0, false), inner), *next);
	return 0;
}

static int add_arches(const struct guard *g, unsigned *out_entry)
{
	const struct abi *native = abi_native(), *abi;
	unsigned own = g->allow, other, arch = g->missing;
	int ret;

	for (size_t i = 0; i < N_BESIDE; i++) {
		abi = abi_find(beside[i].other);
		if (beside[i].native != native->token)
			continue;
		other = g->allow;
		ret = add_calls(g, abi, g->missing, abi->audit == native->audit ? &own : &other);
		if (ret)
			return ret;
		if (abi->audit != native->audit)
			arch = asm_jump(g->code, BPF_JEQ, abi->audit,
					asm_load(g->code, nr_at, other), arch);
	}
	ret = add_calls(g, native, g->ask, &own);
	if (ret)
		return ret;
	arch = asm_jump(g->code, BPF_JEQ, native->audit, asm_load(g->code, nr_at, own), arch);
	*out_entry = asm_load(g->code, offsetof(struct seccomp_data, arch), arch);
	return 0;
}

int guard_build(struct arena *a, const struct guard_call *calls, size_t n, struct filter *out)
{
	struct guard g = { .code = arena_alloc(a, sizeof(*g.code)), .calls = calls, .n = n };
	unsigned entry;
	int ret;

	g.missing = asm_ret(g.code, SECCOMP_RET_ERRNO | ENOSYS);
	g.ask = asm_ret(g.code, SECCOMP_RET_USER_NOTIF);
	g.allow = asm_ret(g.code, SECCOMP_RET_ALLOW);
	ret = add_arches(&g, &entry);
	if (ret)
		return ret;
	if (g.code->full)
		return fail(E2BIG, "the filter of the supervised calls is too long");
	out->code = (struct sock_filter *)asm_finish(g.code, entry, &out->len);
	out->notifies = true;
	return 0;
}
