/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that are led by the supervisor, in trouble: no room, no descriptors, killed and stopped
 * at any moment. However it ends for them, the supervisor answers the next one.
 */
#include "lib/guarded.h"

#include "base/fd.h"
#include "lib/scratch.h"
#include "lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TOO_LONG 600 /* seconds, for a case that hangs */
#define MANY 600     /* arguments: more than a small stack has room for */
#define AREA 65536
#define STACK_AT 16384 /* the end of the small stack, */
#define STACK_LEN 4096 /* which has so much */
#define WORKERS 6
#define KILLS 300

static char work[128];

static void put(const char *name, const char *text)
{
	int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

/* ---- a small stack, as Go's, whose neighbours are somebody else's */

static char *many[MANY + 2];

static int run_script(void *arg)
{
	execv("./script", many);
	return arg ? 1 : errno;
}

static int small_stack_here(void *alternate)
{
	unsigned char *area =
		mmap(NULL, AREA, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	stack_t on = { .ss_sp = area + AREA / 2, .ss_size = AREA / 2 };
	int status;
	pid_t pid;

	must(chdir(work) == 0);
	put("script", "#!/bin/sh\ntest $# = 600\n");
	many[0] = "script";
	for (int i = 1; i <= MANY; i++)
		many[i] = "x";
	memset(area, 0xa5, AREA / 2);
	must(!alternate || sigaltstack(&on, NULL) == 0);
	pid = clone(run_script, area + STACK_AT, CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	must(pid > 0 && waitpid(pid, &status, 0) == pid);
	must(status == 0);
	for (int i = 0; alternate && i < STACK_AT - STACK_LEN; i++)
		must(area[i] == 0xa5);
	for (int i = STACK_AT; i < AREA / 2; i++)
		must(area[i] == 0xa5);
	return 0;
}

/* ---- no descriptors */

static int no_descriptors_here(void *none)
{
	struct rlimit limit, own;
	int status, fd;
	pid_t pid;

	(void)none;
	must(chdir(work) == 0);
	must(mkdir("d", 0755) == 0);
	put("d/script", "#!/bin/sh\nexit 7\n");
	must(getrlimit(RLIMIT_NOFILE, &own) == 0);
	limit = own;
	limit.rlim_cur = 64;
	must(own.rlim_max > 128 && setrlimit(RLIMIT_NOFILE, &limit) == 0);
	do
		fd = dup(STDIN_FILENO);
	while (fd >= 0);
	must(errno == EMFILE);
	must(chdir("d") == 0 && access("script", X_OK) == 0);
	must(getrlimit(RLIMIT_NOFILE, &own) == 0 && own.rlim_cur == 64);
	must(fcntl(64, F_GETFD) < 0);
	pid = fork();
	if (pid == 0) {
		/* of the shell's own */
		close(63);
		execl("./script", "script", NULL);
		_exit(1);
	}
	must(waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) == 7);
	return 0;
}

/* ---- killed, stopped and continued at any moment */

static void work_on(unsigned me)
{
	char name[32];
	pid_t pid;

	snprintf(name, sizeof(name), "w%u", me);
	mkdir(name, 0755);
	for (;;) {
		if (chdir(name) || chdir(".."))
			_exit(1);
		pid = vfork();
		if (pid == 0) {
			execl("./script", "script", NULL);
			_exit(1);
		}
		waitpid(pid, NULL, 0);
		rename(name, "other");
		rename("other", name);
		mkdir(name, 0755);
	}
}

static pid_t start(unsigned me)
{
	pid_t pid = fork();

	if (pid == 0) {
		setpgid(0, 0);
		work_on(me);
	}
	setpgid(pid, pid);
	return pid;
}

/* A process group each: what a worker has started goes along. */
static int killed_here(void *none)
{
	struct timespec soon = { 0, 0 };
	pid_t workers[WORKERS];
	unsigned seed = 1;

	(void)none;
	must(chdir(work) == 0);
	put("script", "#!/bin/sh\nexit 0\n");
	for (unsigned i = 0; i < WORKERS; i++)
		workers[i] = start(i);
	for (int i = 0; i < KILLS; i++) {
		unsigned me = (unsigned)rand_r(&seed) % WORKERS;

		soon.tv_nsec = rand_r(&seed) % 4000000;
		nanosleep(&soon, NULL);
		if (i % 3 == 0) {
			kill(-workers[me], SIGSTOP);
			kill(-workers[me], SIGCONT);
			continue;
		}
		kill(-workers[me], SIGKILL);
		must(waitpid(workers[me], NULL, 0) == workers[me]);
		workers[me] = start(me);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		kill(-workers[i], SIGKILL);
		must(waitpid(workers[i], NULL, 0) == workers[i]);
	}
	must(chdir(work) == 0 && mkdir("after", 0755) == 0 && chdir("after") == 0);
	return 0;
}

/* ---- */

static void shown_to(int (*run)(void *), void *arg)
{
	struct cow_box b;

	alarm(TOO_LONG);
	cow_box_make(&b, 0);
	snprintf(work, sizeof(work), "%s", b.guest);
	guarded_run(&b.config, run, arg);
	cow_box_drop(&b);
}

static void small_stack(void)
{
	shown_to(small_stack_here, NULL);
}

static void small_stack_and_another(void)
{
	shown_to(small_stack_here, "");
}

static void no_descriptors(void)
{
	shown_to(no_descriptors_here, NULL);
}

static void killed_at_any_moment(void)
{
	shown_to(killed_here, NULL);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(small_stack),
		TAP(small_stack_and_another),
		TAP(no_descriptors),
		TAP(killed_at_any_moment),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
