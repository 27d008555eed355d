/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it costs to ask for the time of day where that is the container's own: a program that was
 * executed under the supervisor, beside one without that makes the plain system call. Samples are
 * taken in turns.
 *
 * Ends with 1 where the goal is missed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bench/median.h"
#include "bpf/filter.h"
#include "super/loop.h"

#define SAMPLES 15
#define ROUNDS 20
#define CALLS 5000
#define ANSWERED 100 /* calls that wait for the supervisor */
#define MOST_NS 20.0 /* more than the plain system call */
#define AHEAD 1000000

enum figure { PLAIN, LIBRARY, VIRTUAL, RAW, FIGURES };

static const char *const names[FIGURES] = {
	"the plain system call",
	"by the vDSO, host's time",
	"by the vDSO, virtual time",
	"by a system call, virtual time",
};

static int by_library(struct timespec *t)
{
	return clock_gettime(CLOCK_REALTIME, t);
}

static int by_call(struct timespec *t)
{
	return (int)syscall(SYS_clock_gettime, CLOCK_REALTIME, t);
}

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* The best of several rounds: what else runs here disturbs the others. */
static double measure(int (*ask)(struct timespec *), int calls)
{
	struct timespec t;
	double best = 0;

	for (int r = 0; r < ROUNDS; r++) {
		double from = now_ns(), each;

		for (int i = 0; i < calls; i++)
			if (ask(&t))
				_exit(1);
		each = (now_ns() - from) / calls;
		best = r == 0 || each < best ? each : best;
	}
	return best;
}

/* In a program of its own: two figures to standard output. */
static int run_inside(bool is_virtual, time_t host)
{
	double out[2];
	time_t now = time(NULL);

	if ((now - host >= AHEAD) != is_virtual)
		return 1;
	out[0] = measure(by_library, CALLS);
	out[1] = measure(by_call, is_virtual ? ANSWERED : CALLS);
	return write(STDOUT_FILENO, out, sizeof(out)) != sizeof(out);
}

static void execute(int report, bool is_virtual)
{
	char host[32], name[] = "clock", yes[] = "virtual", no[] = "real";
	char *args[] = { name, is_virtual ? yes : no, host, NULL }, *env[] = { NULL };

	snprintf(host, sizeof(host), "%lld", (long long)time(NULL));
	if (dup2(report, STDOUT_FILENO) >= 0)
		execve("/proc/self/exe", args, env);
	_exit(1);
}

static pid_t start_loop(int *out_channel)
{
	const struct super_config config = { .plan = { .time = true,
						       .wall = { .sec = 2ll * AHEAD } },
					     .control = -1,
					     .id = "bench" };
	int ends[2];
	pid_t pid;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -1;
	pid = fork();
	if (pid == 0) {
		close(ends[0]);
		_exit(loop_run(&config, ends[1]) ? 1 : 0);
	}
	close(ends[1]);
	*out_channel = ends[0];
	return pid;
}

/* Puts itself under the filter, and waits until somebody answers. */
static void be_supervised(const struct filter *f, int number, int go)
{
	int listener;
	char byte;

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || filter_install(f, 0, &listener) ||
	    write(number, &listener, sizeof(listener)) != sizeof(listener) ||
	    read(go, &byte, 1) != 1)
		_exit(1);
	close(listener);
}

static int hand_over(pid_t pid, int number, int channel)
{
	auto_fd pidfd = (int)sys_pidfd_open(pid, 0);
	auto_fd listener = (int)sys_pidfd_getfd(pidfd, number, 0);

	return super_adopt(channel, listener);
}

static int sample(const struct filter *f, double out[2])
{
	int report[2], number[2], go[2], channel = -1, listener, ret = -EIO;
	pid_t loop = f ? start_loop(&channel) : 0, pid;

	if (loop < 0 || pipe2(report, O_CLOEXEC) || pipe2(number, O_CLOEXEC) ||
	    pipe2(go, O_CLOEXEC))
		return fail_errno("begin a measurement");
	pid = fork();
	if (pid == 0) {
		if (f)
			be_supervised(f, number[1], go[0]);
		execute(report[1], f != NULL);
	}
	close(report[1]);
	if (!f || (read(number[0], &listener, sizeof(listener)) == sizeof(listener) &&
		   hand_over(pid, listener, channel) == 0 && write(go[1], "", 1) == 1))
		ret = read(report[0], out, 2 * sizeof(*out)) == 2 * sizeof(*out) ? 0 : -EIO;
	for (int i = 0; i < 2; i++) {
		close(number[i]);
		close(go[i]);
	}
	close(report[0]);
	fd_close(channel);
	waitpid(pid, NULL, 0);
	if (loop > 0)
		waitpid(loop, NULL, 0);
	return ret ? fail(EIO, "a measurement failed") : 0;
}

int main(int argc, char **argv)
{
	const struct super_plan plan = { .time = true };
	static double ns[FIGURES][SAMPLES], more[SAMPLES];
	auto_arena a = arena_new();
	struct filter f;
	double bare[2], own[2], extra;
	int ret;

	if (argc == 3)
		return run_inside(strcmp(argv[1], "virtual") == 0, (time_t)atoll(argv[2]));
	ret = super_filter(a, &plan, &f);
	for (int i = 0; !ret && i < SAMPLES; i++) {
		ret = sample(NULL, bare);
		if (!ret)
			ret = sample(&f, own);
		ns[LIBRARY][i] = bare[0];
		ns[PLAIN][i] = bare[1];
		ns[VIRTUAL][i] = own[0];
		ns[RAW][i] = own[1];
		more[i] = own[0] - bare[1];
	}
	if (ret) {
		fprintf(stderr, "clock: %s\n", err_last()->text);
		return 2;
	}
	printf("the time of day, nanoseconds\n");
	for (int i = 0; i < FIGURES; i++)
		printf("  %-44s %9.1f\n", names[i], median_of(ns[i], SAMPLES));
	extra = median_of(more, SAMPLES);
	printf("  %-44s %9.1f of %8.1f  %s\n\n", "virtual time, more than the plain call", extra,
	       MOST_NS, extra <= MOST_NS ? "met" : "missed");
	return extra > MOST_NS;
}
