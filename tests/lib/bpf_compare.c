/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/bpf_ref.h"

#include "base/mem.h"
#include "bpf/abi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Values worth trying for a 32-bit word: every constant of a program, one less, and one more. */
struct words {
	uint32_t *word;
	size_t n, cap;
};

struct comparison {
	struct arena *arena;
	const char *name;
	const struct filter_profile *profile;
	const struct filter *ours;
	const struct ref_program *theirs;
	struct words numbers, values;
	uint64_t seed;
	struct ref_report *report;
};

static void add_word(struct arena *a, struct words *w, uint32_t word)
{
	w->word = arena_grow(a, w->word, w->n, &w->cap, sizeof(word));
	w->word[w->n++] = word;
}

static int by_value(const void *x, const void *y)
{
	uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;

	return (a > b) - (a < b);
}

static void unique(struct words *w)
{
	size_t n = 0;

	qsort(w->word, w->n, sizeof(*w->word), by_value);
	for (size_t i = 0; i < w->n; i++)
		if (n == 0 || w->word[n - 1] != w->word[i])
			w->word[n++] = w->word[i];
	w->n = n;
}

/* Which word of seccomp_data each instruction tests is not followed: any constant may be any. */
static void add_constants(struct comparison *c, const struct sock_filter *code, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		if (BPF_CLASS(code[i].code) != BPF_JMP && BPF_CLASS(code[i].code) != BPF_ALU)
			continue;
		for (int d = -1; d <= 1; d++)
			add_word(c->arena, &c->numbers, code[i].k + d);
	}
}

static void add_values(struct comparison *c)
{
	static const uint32_t common[] = { 0,         1, 2, 0x7fffffff, 0x80000000, UINT32_MAX - 1,
					   UINT32_MAX };
	const struct filter_rule *rule;

	for (size_t i = 0; i < sizeof(common) / sizeof(common[0]); i++)
		add_word(c->arena, &c->values, common[i]);
	for (size_t i = 0; i < c->profile->n_rules; i++) {
		rule = &c->profile->rules[i];
		for (size_t j = 0; j < rule->n_args; j++) {
			for (int d = -1; d <= 1; d++) {
				add_word(c->arena, &c->values, (uint32_t)rule->args[j].value + d);
				add_word(c->arena, &c->values,
					 (uint32_t)rule->args[j].value_two + d);
				add_word(c->arena, &c->values, (rule->args[j].value >> 32) + d);
			}
		}
	}
	for (uint32_t i = 0; i < 26; i++) /* the calls of the multiplexers */
		add_word(c->arena, &c->values, i);
	unique(&c->values);
}

static bool complain(const struct comparison *c, const struct seccomp_data *data, uint32_t ours,
		     uint32_t theirs)
{
	printf("# %s: arch %#x nr %d (%#x)", c->name, data->arch, data->nr, data->nr);
	for (int i = 0; i < 6; i++)
		printf(" %#llx", (unsigned long long)data->args[i]);
	printf(": %#x, libseccomp %#x\n", ours, theirs);
	return false;
}

/* *out_reads: one of the programs looked at an argument. */
static bool probe(struct comparison *c, const struct seccomp_data *data, bool *out_reads)
{
	struct run ours = run_program(c->ours->code, c->ours->len, data, NULL);
	struct run theirs = ours;
	struct ref_report *report = c->report;

	report->probes++;
	if (ours.executed > report->longest)
		report->longest = ours.executed;
	if (!ours.read_argument && ours.executed > report->longest_constant)
		report->longest_constant = ours.executed;
	if (c->theirs)
		theirs = run_program(c->theirs->code, c->theirs->len, data, NULL);
	*out_reads = ours.read_argument || theirs.read_argument;
	if (c->theirs && ours.verdict == theirs.verdict)
		return true;
	if (!ref_justified(c->profile, data, ours.verdict))
		return complain(c, data, ours.verdict, theirs.verdict);
	if (ours.verdict == theirs.verdict)
		return true;
	if (!ref_justified(c->profile, data, theirs.verdict))
		report->lapses++;
	else if (ref_disputed(c->profile, data))
		report->disputes++;
	else
		return complain(c, data, ours.verdict, theirs.verdict);
	return true;
}

static uint64_t pick(struct comparison *c)
{
	uint64_t r = ref_random(&c->seed), high, low;

	if (r % 8 == 0)
		return ref_random(&c->seed);
	low = c->values.word[(r >> 8) % c->values.n];
	high = (r >> 4) % 4 ? 0 : c->values.word[(r >> 36) % c->values.n];
	return high << 32 | low;
}

/* Every value alone in each argument, then mixtures. */
static bool probe_arguments(struct comparison *c, struct seccomp_data data, unsigned random)
{
	bool reads;

	for (int i = 0; i < 6; i++) {
		for (size_t j = 0; j < c->values.n; j++) {
			data.args[i] = c->values.word[j];
			if (!probe(c, &data, &reads))
				return false;
			data.args[i] <<= 32;
			if (!probe(c, &data, &reads))
				return false;
		}
		data.args[i] = 0;
	}
	for (unsigned n = 0; n < random; n++) {
		for (int i = 0; i < 6; i++)
			data.args[i] = pick(c);
		if (!probe(c, &data, &reads))
			return false;
	}
	return true;
}

static bool probe_arch(struct comparison *c, uint32_t arch, unsigned random)
{
	struct seccomp_data data = { .arch = arch };
	bool reads;

	for (size_t i = 0; i < c->numbers.n; i++) {
		memset(data.args, 0, sizeof(data.args));
		data.nr = (int)c->numbers.word[i];
		if (!probe(c, &data, &reads))
			return false;
		if (reads && !probe_arguments(c, data, random))
			return false;
	}
	return true;
}

bool ref_compare(struct arena *a, const char *name, const struct filter_profile *profile,
		 const struct filter *ours, const struct ref_program *theirs, unsigned random,
		 struct ref_report *report)
{
	struct comparison c = { a, name, profile, ours, theirs, { 0 }, { 0 }, 0x1234567, report };
	const struct abi *abi;
	const char *complaint = run_check(ours->code, ours->len);
	size_t n;

	if (complaint) {
		printf("# %s: %s\n", name, complaint);
		return false;
	}
	add_constants(&c, ours->code, ours->len);
	if (theirs)
		add_constants(&c, theirs->code, theirs->len);
	for (uint32_t nr = 0; nr < 600; nr++) {
		add_word(a, &c.numbers, nr);
		add_word(a, &c.numbers, nr | ABI_X32_BIT);
	}
	add_word(a, &c.numbers, UINT32_MAX);
	unique(&c.numbers);
	add_values(&c);
	abi = abi_all(&n);
	for (size_t i = 0; i < n; i++)
		if (!probe_arch(&c, abi[i].audit, random))
			return false;
	return probe_arch(&c, 0x12345678, random);
}
