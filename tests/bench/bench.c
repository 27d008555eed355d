/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times programs against each other, in turns within one run, so that what the machine does
 * meanwhile hits all alike.
 *
 *	bench RUNS GAP-MS NAME PROGRAM ARGUMENT... [-- NAME PROGRAM ARGUMENT...]...
 *
 * Prints a line for each: name, median, p10 and p90 of the wall time from vfork(2) to wait4(2) in
 * microseconds, and the peak resident size of the program (or of the largest process that it waited
 * for) in KiB. The size includes this program's own up to execve(2), which is small.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONTENDERS 8
#define MAX_RUNS 2000
#define WARM_UP 3

struct contender {
	const char *name;
	char **argv;
	double us[MAX_RUNS];
	long peak;
};

static double now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double measure(struct contender *c)
{
	struct rusage used;
	double begin = now_us(), end;
	int status;
	pid_t pid = vfork();

	if (pid < 0) {
		perror("vfork");
		exit(1);
	}
	if (!pid) {
		execv(c->argv[0], c->argv);
		_exit(127);
	}
	while (wait4(pid, &status, 0, &used) < 0)
		if (errno != EINTR) {
			perror("wait4");
			exit(1);
		}
	end = now_us();
	if (status) {
		fprintf(stderr, "bench: %s ended with status 0x%x\n", c->name, (unsigned)status);
		exit(1);
	}
	if (used.ru_maxrss > c->peak)
		c->peak = used.ru_maxrss;
	return end - begin;
}

static size_t read_contenders(char **args, struct contender *out)
{
	size_t n = 0;

	while (*args) {
		if (n == MAX_CONTENDERS || !args[1]) {
			fprintf(stderr, "bench: too many programs, or a name without one\n");
			exit(2);
		}
		out[n].name = *args++;
		out[n++].argv = args;
		while (*args && strcmp(*args, "--"))
			args++;
		if (*args)
			*args++ = NULL;
	}
	return n;
}

int main(int argc, char **argv)
{
	static struct contender contenders[MAX_CONTENDERS];
	struct timespec gap = { 0 };
	long runs = argc > 4 ? strtol(argv[1], NULL, 10) : 0;
	size_t n;

	if (runs < 1 || runs > MAX_RUNS) {
		fprintf(stderr, "usage: bench RUNS GAP-MS NAME PROGRAM ARGUMENT... [-- ...]\n");
		return 2;
	}
	gap.tv_nsec = strtol(argv[2], NULL, 10) * 1000000;
	n = read_contenders(argv + 3, contenders);
	for (long run = -WARM_UP; run < runs; run++) {
		for (size_t i = 0; i < n; i++) {
			double us;

			if (gap.tv_nsec)
				nanosleep(&gap, NULL);
			us = measure(&contenders[i]);
			if (run >= 0)
				contenders[i].us[run] = us;
		}
	}
	for (size_t i = 0; i < n; i++) {
		struct contender *c = &contenders[i];

		qsort(c->us, (size_t)runs, sizeof(double), compare);
		printf("%s %.0f %.0f %.0f %ld\n", c->name, c->us[runs / 2], c->us[runs / 10],
		       c->us[runs * 9 / 10], c->peak);
	}
	return 0;
}
