/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a seccomp filter costs: from a profile's rules to the installed program, thole beside
 * libseccomp, and then each system call under it. Every sample is a process of its own; the
 * contenders take turns.
 *
 *	seccomp PROFILES (a file of tests/sim)
 *
 * Ends with 1 where a goal is missed.
 */
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "bench/median.h"
#include "bpf/filter.h"
#include "lib/bpf_profile.h"
#include "lib/bpf_ref.h"

#define SAMPLES 31
#define CALLS 2000
/* Of so many calls: the best counts, what else runs here disturbs the others. */
#define ROUNDS 100

/* BAREST reads an argument and allows: what any filter costs that the kernel has to run. */
enum contender { NONE, BAREST, THOLE, LIBSECCOMP, CONTENDERS };

static const struct {
	const char *name;
	double ms;    /* from rules to installed */
	double share; /* of libseccomp's time, 0: no goal */
	unsigned insns;
} goals[] = {
	{ "podman-three", 0.6, 0.05, 450 },
	{ "podman-x86_64", 0.3, 0, 0 },
};

enum call { ALLOWED, DENIED, CHECKED, KINDS };
static const char *const call_names[] = { "allowed", "denied", "argument checked" };

struct sample {
	double ms;
	double ns[KINDS];
	unsigned insns;
};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static struct sock_filter barest[] = {
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args)),
	BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
};

static int install(struct arena *a, const struct filter_profile *p, enum contender who,
		   unsigned *out_insns)
{
	struct filter f = { 0 };
	struct ref_program theirs;
	int listener, ret;

	if (who == BAREST) {
		f.code = barest;
		f.len = sizeof(barest) / sizeof(barest[0]);
		ret = 0;
	} else if (who == THOLE) {
		ret = filter_build(a, p, &f);
	} else {
		ret = ref_build(a, p, &theirs);
		f.code = theirs.code;
		f.len = (unsigned short)theirs.len;
	}
	*out_insns = f.len;
	return ret ? ret : filter_install(&f, 0, &listener);
}

static double round_of(int kind)
{
	double from = now_ns();

	for (int i = 0; i < CALLS; i++)
		switch (kind) {
		case ALLOWED:
			syscall(SYS_getppid);
			break;
		case DENIED:
			syscall(SYS_acct, NULL);
			break;
		default:
			personality(0xffffffff);
		}
	return (now_ns() - from) / CALLS;
}

static double per_call(int kind)
{
	double best = round_of(kind), again;

	for (int i = 1; i < ROUNDS; i++) {
		again = round_of(kind);
		if (again < best)
			best = again;
	}
	return best;
}

static void measure(const struct filter_profile *p, enum contender who, int out)
{
	auto_arena a = arena_new();
	struct sample s = { 0 };
	double from;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		_exit(1);
	from = now_ns();
	if (who != NONE && install(a, p, who, &s.insns))
		_exit(1);
	s.ms = (now_ns() - from) / 1e6;
	for (int k = 0; k < KINDS; k++)
		s.ns[k] = per_call(k);
	_exit(write(out, &s, sizeof(s)) != sizeof(s));
}

static int sample(const struct filter_profile *p, enum contender who, struct sample *out)
{
	int ends[2], status;
	ssize_t n;
	pid_t pid;

	if (pipe(ends) < 0)
		return fail_errno("make a pipe");
	pid = fork();
	if (pid == 0)
		measure(p, who, ends[1]);
	close(ends[1]);
	n = read(ends[0], out, sizeof(*out));
	close(ends[0]);
	if (pid < 0 || waitpid(pid, &status, 0) < 0 || n != sizeof(*out))
		return fail(EIO, "a measurement failed");
	return 0;
}

static bool goal(const char *what, double value, double most, const char *unit)
{
	bool met = value <= most;

	printf("  %-46s %9.3f of %8.3f %-3s %s\n", what, value, most, unit, met ? "met" : "missed");
	return met;
}

static struct sample runs[CONTENDERS][SAMPLES];

static double of(enum contender who, int kind)
{
	double v[SAMPLES];

	for (int i = 0; i < SAMPLES; i++)
		v[i] = kind < 0 ? runs[who][i].ms : runs[who][i].ns[kind];
	return median_of(v, SAMPLES);
}

static int compare(const struct named_profile *p, size_t g, bool *met)
{
	int ret = 0;

	for (int i = 0; !ret && i < SAMPLES; i++)
		for (int who = NONE; !ret && who < CONTENDERS; who++)
			ret = sample(&p->profile, who, &runs[who][i]);
	if (ret)
		return ret;
	printf("seccomp, %s: rules to installed %.3f ms, %u instructions (libseccomp %.2f ms, %u)\n",
	       p->name, of(THOLE, -1), runs[THOLE][0].insns, of(LIBSECCOMP, -1),
	       runs[LIBSECCOMP][0].insns);
	*met &= goal("rules to installed", of(THOLE, -1), goals[g].ms, "ms");
	if (goals[g].share > 0)
		*met &= goal("of libseccomp's time", of(THOLE, -1) / of(LIBSECCOMP, -1),
			     goals[g].share, "");
	if (goals[g].insns)
		*met &= goal("instructions", runs[THOLE][0].insns, goals[g].insns, "");
	for (int k = 0; k < KINDS; k++) {
		/* a call that is denied is measured against one that does nothing */
		double plain = of(NONE, k == DENIED ? ALLOWED : k);

		printf("  %-16s call: %5.0f ns, no filter %5.0f, libseccomp's %5.0f\n",
		       call_names[k], of(THOLE, k), plain, of(LIBSECCOMP, k));
		if (k == CHECKED)
			printf("  the barest filter that reads an argument %27.0f ns over none\n",
			       of(BAREST, k) - plain);
		*met &= goal("over no filter", of(THOLE, k) - plain, 50, "ns");
	}
	return 0;
}

int main(int argc, char **argv)
{
	auto_arena a = arena_new();
	struct named_profile *profiles;
	bool met = true;
	int ret = 0;
	size_t n;

	if (argc != 2)
		return 2;
	profiles = profile_read(a, argv[1], &n);
	for (size_t g = 0; g < sizeof(goals) / sizeof(goals[0]); g++)
		for (size_t i = 0; !ret && i < n; i++)
			if (strcmp(profiles[i].name, goals[g].name) == 0)
				ret = compare(&profiles[i], g, &met);
	if (ret) {
		fprintf(stderr, "seccomp: %s\n", err_last()->text);
		return 2;
	}
	puts("");
	return met ? 0 : 1;
}
