/* SPDX-License-Identifier: Apache-2.0 */
/* Process trees: who is whose child, sessions and groups, the dead and the stopped. */
#include <errno.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cycle.h"

#define WIDTH 3
#define DEPTH 3

static struct cycle_gate gate;

/* A tree of WIDTH children each, DEPTH deep: pids, parents and memory of each are its own. */
static void grow(void *ctx)
{
	int depth = *(int *)ctx - 1;
	pid_t own = getpid(), parent = getppid(), child[WIDTH];
	volatile int *mark = malloc(sizeof(*mark));

	*mark = own;
	for (int i = 0; depth > 0 && i < WIDTH; i++)
		child[i] = cycle_child(grow, &depth);
	cycle_pass(gate);
	cycle_wait();
	check(getpid() == own, "was %d, is %d", own, getpid());
	check(getppid() == parent, "parent was %d, is %d", parent, getppid());
	check(*mark == own, "memory of %d", *mark);
	for (int i = 0; depth > 0 && i < WIDTH; i++)
		cycle_join(child[i]);
}

static void tree(void)
{
	int depth = DEPTH;
	pid_t child[WIDTH], last;

	gate = cycle_gate();
	for (int i = 0; i < WIDTH; i++)
		child[i] = cycle_child(grow, &depth);
	cycle_await(gate, WIDTH + WIDTH * WIDTH + WIDTH * WIDTH * WIDTH);
	cycle();
	last = (pid_t)must(fork());
	if (last == 0)
		_exit(0);
	cycle_join(last);
	for (int i = 0; i < WIDTH; i++)
		cycle_join(child[i]);
}

/* The dead keep their status until they are waited for. */
static void zombies(void)
{
	static const struct {
		int exit, signal;
	} rows[] = { { 0, 0 }, { 42, 0 }, { 255, 0 }, { 0, SIGKILL }, { 0, SIGUSR1 } };
	pid_t pids[sizeof(rows) / sizeof(rows[0])];
	siginfo_t info;
	int status;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		pids[i] = (pid_t)must(fork());
		if (pids[i] == 0) {
			if (rows[i].signal) {
				raise(rows[i].signal);
				for (;;)
					pause();
			}
			_exit(rows[i].exit);
		}
		if (rows[i].signal == SIGKILL)
			kill(pids[i], SIGKILL);
		must(waitid(P_PID, (id_t)pids[i], &info, WEXITED | WNOWAIT));
	}
	cycle();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		check(waitpid(pids[i], &status, 0) == pids[i], "zombie %d: %s", pids[i],
		      strerror(errno));
		check(rows[i].signal ? WIFSIGNALED(status) && WTERMSIG(status) == rows[i].signal
				     : WIFEXITED(status) && WEXITSTATUS(status) == rows[i].exit,
		      "zombie %zu has status 0x%x", i, (unsigned)status);
	}
	check(waitpid(-1, &status, WNOHANG) < 0 && errno == ECHILD, "a child too many");
}

struct place {
	bool new_session, new_group;
};

static void settle(void *ctx)
{
	const struct place *at = ctx;
	pid_t session, group;

	if (at->new_session)
		must(setsid());
	else if (at->new_group)
		must(setpgid(0, 0));
	session = getsid(0);
	group = getpgid(0);
	cycle_pass(gate);
	cycle_wait();
	check(getsid(0) == session, "session %d, was %d", getsid(0), session);
	check(getpgid(0) == group, "group %d, was %d", getpgid(0), group);
}

static void settle_deep(void *ctx)
{
	static struct place group = { .new_group = true }, plain;
	pid_t child[2];

	must(setsid());
	child[0] = cycle_child(settle, &group);
	child[1] = cycle_child(settle, &plain);
	settle(&plain);
	cycle_join(child[0]);
	cycle_join(child[1]);
	(void)ctx;
}

static void sessions(void)
{
	static struct place session = { .new_session = true }, group = { .new_group = true }, plain;
	pid_t own = getsid(0), child[4];

	gate = cycle_gate();
	child[0] = cycle_child(settle, &session);
	child[1] = cycle_child(settle, &group);
	child[2] = cycle_child(settle, &plain);
	child[3] = cycle_child(settle_deep, NULL);
	cycle_await(gate, 6);
	cycle();
	check(getsid(0) == own, "own session %d, was %d", getsid(0), own);
	for (int i = 0; i < 4; i++)
		cycle_join(child[i]);
}

/* The leader of a session, or of a group, has ended and others are still in it. */
static void orphan(void *ctx)
{
	static struct place plain;

	must(setsid());
	if (fork() == 0) {
		while (getppid() == *(pid_t *)ctx)
			cycle_sleep(1);
		settle(&plain);
		_exit(0);
	}
}

static void orphans(void)
{
	pid_t self, leader, grandchild;
	int status;

	gate = cycle_gate();
	must(prctl(PR_SET_CHILD_SUBREAPER, 1));
	self = 0;
	leader = cycle_child(orphan, &self);
	cycle_join(leader);
	cycle_await(gate, 1);
	cycle();
	grandchild = wait(&status);
	check(grandchild > 0 && status == 0, "the orphan: %d, status 0x%x", grandchild,
	      (unsigned)status);
}

static void idle(void *ctx)
{
	(void)ctx;
	cycle_pass(gate);
	cycle_await(gate, 2);
}

/* Stopped by job control: still stopped, and goes on when told. */
static void stopped(void)
{
	siginfo_t info = { 0 };
	char line[128];
	char path[64];
	pid_t child;
	int status;

	gate = cycle_gate();
	child = cycle_child(idle, NULL);
	cycle_await(gate, 1);
	must(kill(child, SIGSTOP));
	must(waitid(P_PID, (id_t)child, &info, WSTOPPED | WNOWAIT));
	cycle();
	snprintf(path, sizeof(path), "/proc/%d/status", child);
	cycle_sleep(100);
	cycle_line(path, "State", line, sizeof(line));
	check(strstr(line, "T (stopped)") != NULL, "%s", line);
	must(kill(child, SIGCONT));
	check(waitpid(child, &status, WCONTINUED) == child && WIFCONTINUED(status), "status 0x%x",
	      (unsigned)status);
	cycle_pass(gate);
	cycle_join(child);
}

/* Children find their own end: signals to the parent, and the parent-death signal. */
static volatile sig_atomic_t deaths;

static void on_child(int signal)
{
	(void)signal;
	deaths++;
}

static void wait_for_death(void *ctx)
{
	int signal = 0;

	(void)ctx;
	must(prctl(PR_SET_PDEATHSIG, SIGUSR2));
	cycle_pass(gate);
	cycle_wait();
	prctl(PR_GET_PDEATHSIG, &signal);
	check(signal == SIGUSR2, "the parent-death signal is %d", signal);
}

static void deathsigs(void)
{
	struct sigaction act = { .sa_handler = on_child, .sa_flags = SA_RESTART };
	int subreaper = 0;
	pid_t child;

	gate = cycle_gate();
	must(sigaction(SIGCHLD, &act, NULL));
	must(prctl(PR_SET_CHILD_SUBREAPER, 1));
	child = cycle_child(wait_for_death, NULL);
	cycle_await(gate, 1);
	cycle();
	prctl(PR_GET_CHILD_SUBREAPER, &subreaper);
	check(subreaper == 1, "subreaper is %d", subreaper);
	cycle_join(child);
	check(deaths == 1, "%d signals of one child's end", (int)deaths);
}

static volatile sig_atomic_t asked;

static void on_question(int signal)
{
	(void)signal;
	asked = 1;
}

/* A process that never rests, nor enters the kernel. */
static void spin(void *ctx)
{
	volatile uint64_t n = 0;

	(void)ctx;
	must(sigaction(SIGUSR1, &(struct sigaction){ .sa_handler = on_question }, NULL));
	cycle_pass(gate);
	while (!asked || n < 1000)
		n++;
}

static void busy(void)
{
	pid_t child;

	gate = cycle_gate();
	child = cycle_child(spin, NULL);
	cycle_await(gate, 1);
	cycle_sleep(20);
	cycle();
	cycle_sleep(50);
	must(kill(child, SIGUSR1));
	cycle_join(child);
}

/* Children without an end, each with a pipe that it closes by its own end. */
static void hurry(void *ctx)
{
	int fd[2], status;
	char text[8];
	pid_t child;

	(void)ctx;
	cycle_pass(gate);
	for (int n = 0; n < 20 || !cycle_over(); n++) {
		must(pipe(fd));
		child = (pid_t)must(fork());
		if (child == 0) {
			close(fd[0]);
			must(write(fd[1], "hello", 5));
			_exit(7);
		}
		close(fd[1]);
		check(read(fd[0], text, sizeof(text)) == 5, "the child says nothing");
		check(read(fd[0], text, sizeof(text)) == 0, "the pipe has no end");
		check(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7,
		      "status 0x%x", status);
		close(fd[0]);
	}
}

static void hurried(void)
{
	pid_t child[3];

	gate = cycle_gate();
	for (size_t i = 0; i < 3; i++)
		child[i] = cycle_child(hurry, NULL);
	cycle_await(gate, 3);
	cycle();
	for (size_t i = 0; i < 3; i++)
		cycle_join(child[i]);
}

/* A child is the first one of a pid namespace within; nobody else's children are. */
static void nested(void)
{
	struct clone_args args = { .flags = CLONE_NEWUSER | CLONE_NEWPID, .exit_signal = SIGCHLD };
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));

	if (pid < 0)
		cycle_skip("no pid namespace can be made: %s", strerror(errno));
	while (!pid)
		pause();
	cycle();
	must(kill(pid, SIGKILL));
	must(waitpid(pid, NULL, 0));
}

const struct cycle_case process_cases[] = {
	{ "tree", tree },       { "zombies", zombies }, { "sessions", sessions },
	{ "orphans", orphans }, { "stopped", stopped }, { "deathsigs", deathsigs },
	{ "busy", busy },       { "hurried", hurried }, { "nested", nested },
	{ NULL, NULL },
};
