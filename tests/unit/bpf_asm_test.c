/* SPDX-License-Identifier: Apache-2.0 */
#include "bpf/asm.h"

#include "base/mem.h"
#include "bpf/run.h"
#include "lib/tap.h"

static struct asm_code *code_new(struct arena *a)
{
	return arena_alloc(a, sizeof(struct asm_code));
}

static struct run run(struct asm_code *code, unsigned entry, int nr)
{
	struct seccomp_data data = { .nr = nr };
	unsigned short len;
	const struct sock_filter *program = asm_finish(code, entry, &len);
	const char *complaint = run_check(program, len);

	ok(!complaint, "the kernel takes it: %s", complaint ? complaint : "");
	return run_program(program, len, &data, NULL);
}

static void shares_equal_instructions(void)
{
	auto_arena a = arena_new();
	struct asm_code *code = code_new(a);
	unsigned yes = asm_ret(code, 1), no = asm_ret(code, 2), test;

	is_int(asm_ret(code, 1), yes, "one return for each verdict");
	test = asm_jump(code, BPF_JEQ, 7, yes, no);
	is_int(asm_jump(code, BPF_JEQ, 7, yes, no), test, "equal tests are one");
	is_int(asm_jump(code, BPF_JEQ, 7, no, no), no, "a test that decides nothing is none");
	is_int(code->len, 3, "nothing else was written");
	test = asm_load(code, 0, test);
	is_int(run(code, test, 7).verdict, 1, "equal");
	is_int(run(code, test, 8).verdict, 2, "not equal");
}

/* A chain of n tests, each for its own number, then the same target for all. */
static unsigned chain(struct asm_code *code, unsigned n, unsigned hit, unsigned miss)
{
	for (unsigned i = n; i > 0; i--)
		miss = asm_jump(code, BPF_JEQ, i, hit, miss);
	return asm_load(code, 0, miss);
}

static void repeats_far_returns(void)
{
	auto_arena a = arena_new();
	struct asm_code *code = code_new(a);
	unsigned entry = chain(code, 1000, asm_ret(code, 1), asm_ret(code, 2));

	for (int nr = 0; nr <= 1001; nr++)
		if (!is_int(run(code, entry, nr).verdict, nr >= 1 && nr <= 1000 ? 1 : 2, "nr %d",
			    nr))
			return;
	ok(code->len < 1000 + 1 + 2 + 5, "a return for some 250 tests: %u", code->len);
	is_int(run(code, entry, 1000).executed, 1002, "no jump on the way to a return");
}

static void jumps_far_over_others(void)
{
	auto_arena a = arena_new();
	struct asm_code *code = code_new(a);
	unsigned miss = asm_ret(code, 2), far, entry;

	far = asm_and(code, 1, asm_jump(code, BPF_JEQ, 1, asm_ret(code, 3), asm_ret(code, 4)));
	entry = chain(code, 1000, far, miss);
	for (int nr = 0; nr <= 1001; nr++)
		if (!is_int(run(code, entry, nr).verdict,
			    nr >= 1 && nr <= 1000 ? (nr & 1 ? 3 : 4) : 2, "nr %d", nr))
			return;
	ok(code->len < 1000 + 20, "an unconditional jump for some 250 tests: %u", code->len);
}

static void both_targets_far(void)
{
	auto_arena a = arena_new();
	struct asm_code *code = code_new(a);
	unsigned x = asm_and(code, 7, asm_ret(code, 1)), y = asm_and(code, 6, asm_ret(code, 2));
	unsigned entry;

	chain(code, 600, asm_ret(code, 5), asm_ret(code, 6));
	entry = asm_load(code, 0, asm_jump(code, BPF_JGE, 10, x, y));
	is_int(run(code, entry, 10).verdict, 1, "the one");
	is_int(run(code, entry, 9).verdict, 2, "the other");
}

/* Every distance around the limit of a conditional jump. */
static void edge_of_reach(void)
{
	for (unsigned n = 245; n < 262; n++) {
		auto_arena a = arena_new();
		struct asm_code *code = code_new(a);
		unsigned x = asm_and(code, 1, asm_ret(code, 1));
		unsigned y = asm_and(code, 2, asm_ret(code, 2)), entry;

		for (unsigned i = 0; i < n; i++)
			asm_ret(code, 1000 + i);
		entry = asm_load(code, 0, asm_jump(code, BPF_JEQ, 3, x, y));
		is_int(run(code, entry, 3).verdict, 1, "%u between, equal", n);
		is_int(run(code, entry, 4).verdict, 2, "%u between, not equal", n);
	}
}

static void stops_at_the_limit(void)
{
	auto_arena a = arena_new();
	struct asm_code *code = code_new(a);

	for (unsigned i = 0; i < BPF_MAXINSNS; i++)
		asm_ret(code, i);
	ok(!code->full, "4096 instructions fit");
	asm_ret(code, BPF_MAXINSNS);
	ok(code->full, "4097 do not");
	is_int(code->len, BPF_MAXINSNS, "nothing is written past the end");
	asm_load(code, 0, asm_jump(code, BPF_JEQ, 1, 0, 5));
	is_int(code->len, BPF_MAXINSNS, "nor afterwards");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(shares_equal_instructions),
		TAP(repeats_far_returns),
		TAP(jumps_far_over_others),
		TAP(both_targets_far),
		TAP(edge_of_reach),
		TAP(stops_at_the_limit),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
