/* SPDX-License-Identifier: Apache-2.0 */
/* Filters against libseccomp's for the same profile, in the BPF machine. */
#include "base/err.h"
#include "base/mem.h"
#include "bpf/abi.h"
#include "lib/bpf_profile.h"
#include "lib/bpf_random.h"
#include "lib/bpf_ref.h"
#include "lib/tap.h"

#include <errno.h>
#include <linux/audit.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *data_file(struct arena *a, const char *name)
{
	const char *srcdir = getenv("srcdir");

	return arena_printf(a, "%s/tests/sim/%s", srcdir ? srcdir : ".", name);
}

/* Every profile of the file: the same verdict for every call, as far as the rules justify it. */
static struct ref_report compare_file(const char *file, unsigned random, size_t at_least)
{
	auto_arena a = arena_new();
	struct ref_report report = { 0 };
	struct named_profile *list;
	size_t n;

	list = profile_read(a, data_file(a, file), &n);
	ok(n >= at_least, "%zu profiles in %s", n, file);
	for (size_t i = 0; i < n; i++) {
		auto_arena b = arena_new();
		struct ref_program theirs;
		struct filter ours;

		if (!is_int(filter_build(b, &list[i].profile, &ours), 0, "%s: %s", list[i].name,
			    err_last()->text))
			continue;
		if (!is_int(ref_build(b, &list[i].profile, &theirs), 0, "%s: libseccomp",
			    list[i].name))
			continue;
		ok(ref_compare(b, list[i].name, &list[i].profile, &ours, &theirs, random, &report),
		   "%s differs", list[i].name);
	}
	printf("# %s: %lu calls compared, libseccomp lapsed in %lu\n", file, report.probes,
	       report.lapses);
	return report;
}

static void same_as_libseccomp(const char *file, unsigned random, size_t at_least)
{
	struct ref_report report = compare_file(file, random, at_least);

	is_int(report.lapses + report.disputes, 0, "no allowance is made in %s", file);
}

static void better_than_libseccomp(void)
{
	struct ref_report report = compare_file("lapses.txt", 1000, 4);

	is_int(report.disputes, 0, "each of these has one answer");
}

static void podman(void)
{
	same_as_libseccomp("podman.txt", 20000, 4);
}

static void containerd(void)
{
	same_as_libseccomp("containerd.txt", 20000, 2);
}

static void hand_made(void)
{
	same_as_libseccomp("hand.txt", 1000, 40);
}

static void refused(void)
{
	auto_arena a = arena_new();
	struct ref_program theirs;
	struct named_profile *list;
	struct filter ours;
	size_t n;

	list = profile_read(a, data_file(a, "refused.txt"), &n);
	ok(n >= 8, "%zu profiles", n);
	for (size_t i = 0; i < n; i++) {
		ok(ref_build(a, &list[i].profile, &theirs) < 0, "%s: libseccomp takes it",
		   list[i].name);
		is_int(filter_build(a, &list[i].profile, &ours), -EINVAL, "%s", list[i].name);
	}
}

struct tally {
	unsigned same, different, refused, only_we, only_they, disputed, knotted;
};

static void random_one(uint64_t seed, enum random_kind kind, struct ref_report *report,
		       struct tally *tally)
{
	auto_arena a = arena_new();
	uint64_t state = seed * 0x9e3779b97f4a7c15ull + 77;
	unsigned long disputes = report->disputes;
	struct ref_program theirs;
	struct filter_profile p;
	uint8_t bytes[200];
	struct filter ours;
	int we, they;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = ref_random(&state) >> 24;
	p = random_profile(a, bytes, 20 + ref_random(&state) % (sizeof(bytes) - 20), kind);
	we = filter_build(a, &p, &ours);
	they = ref_build(a, &p, &theirs);
	if (they == -ETIMEDOUT) {
		tally->knotted++;
		return;
	}
	tally->refused += we < 0 && they < 0;
	tally->only_we += we < 0 && they == 0;
	tally->only_they += we == 0 && they < 0;
	if (we < 0 || they < 0)
		return;
	if (ref_compare(a, "random", &p, &ours, &theirs, 100, report)) {
		tally->same++;
	} else {
		tally->different++;
		printf("# that was seed %llu\n", (unsigned long long)seed);
	}
	tally->disputed += report->disputes != disputes;
}

static void random_profiles(enum random_kind kind, uint64_t from, unsigned n)
{
	struct ref_report report = { 0 };
	struct tally tally = { 0 };

	for (uint64_t seed = from; seed < from + n; seed++)
		random_one(seed, kind, &report, &tally);
	is_int(tally.different, 0, "profiles with another verdict");
	is_int(tally.only_we, 0, "profiles that only we refuse");
	is_int(tally.only_they, 0, "profiles that only libseccomp refuses");
	ok(tally.same > n / 2, "most profiles are valid: %u of %u", tally.same, n);
	ok(tally.disputed * 100 <= n, "at most one in a hundred needs an allowance: %u of %u",
	   tally.disputed, n);
	printf("# %u profiles, %u refused, %lu calls compared; libseccomp lapsed in %lu calls and "
	       "failed to build %u profiles\n",
	       n, tally.refused, report.probes, report.lapses, tally.knotted);
}

static void random_one_verdict(void)
{
	random_profiles(RANDOM_ONE_VERDICT, 1, 2000);
}

static void random_mixed(void)
{
	random_profiles(RANDOM_MIXED, 1, 2000);
}

static unsigned ceil_log2(unsigned n)
{
	unsigned log = 0;

	while (1u << log < n)
		log++;
	return log;
}

/* Runs of numbers with one verdict, as the native architecture's calls see them, x32 included. */
static unsigned count_ranges(const struct filter *f, uint32_t arch)
{
	struct seccomp_data data = { .arch = arch };
	struct run last = { 0 }, run;
	unsigned ranges = 0;

	for (unsigned nr = 0; nr < 2048; nr++) {
		data.nr = nr < 1024 ? nr : (nr - 1024) | ABI_X32_BIT;
		run = run_program(f->code, f->len, &data, NULL);
		ranges += nr == 0 || run.verdict != last.verdict || run.read_argument;
		last = run;
	}
	return ranges;
}

static void small_and_short(void)
{
	auto_arena a = arena_new();
	struct named_profile *list;
	struct filter f;
	size_t n;

	list = profile_read(a, data_file(a, "podman.txt"), &n);
	for (size_t i = 0; i < n; i++) {
		struct seccomp_data data = { .arch = abi_native()->audit };
		unsigned most, longest = 0, reading = 0;
		struct run run;

		is_int(filter_build(a, &list[i].profile, &f), 0, "%s", list[i].name);
		ok(f.len <= 450, "%s: %u instructions", list[i].name, f.len);
		most = ceil_log2(count_ranges(&f, data.arch)) + 5;
		for (data.nr = 0; data.nr < 1024; data.nr++) {
			run = run_program(f.code, f.len, &data, NULL);
			reading += run.read_argument;
			if (!run.read_argument && run.executed > longest)
				longest = run.executed;
		}
		ok(longest <= most, "%s: %u executed, at most %u", list[i].name, longest, most);
		ok(reading <= 3, "%s: %u calls look at arguments", list[i].name, reading);
		printf("# %s: %u instructions, at most %u for a constant verdict, %u ranges\n",
		       list[i].name, f.len, longest, count_ranges(&f, data.arch));
	}
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(podman),
		TAP(containerd),
		TAP(hand_made),
		TAP(refused),
		TAP(better_than_libseccomp),
		TAP(small_and_short),
		TAP(random_one_verdict),
		TAP(random_mixed),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
