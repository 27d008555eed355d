/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Dump of a container whose cgroup is frozen. A frozen task can't run errands, so the cgroup is
 * thawed; not one instruction of the container's is executed by that, as every thread has been
 * asked to stop before. A child of ours sees to it that the cgroup is frozen again, also where we
 * don't live to say so.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ckpt/engine.h"
#include "jail/cgroup.h"

#define FREEZE_PATIENCE_US 10000000
#define GO 'g'
#define LEAVE 'l'

/* One that the supervisor follows is let go of when it runs: then it makes its call again, and
 * waits in it for the supervisor. */
static int ask_thread(struct ckpt *c, pid_t tid)
{
	int ret = ptrace(PTRACE_SEIZE, tid, NULL, (void *)PTRACE_O_TRACESYSGOOD) < 0 ? -errno : 0;

	if (ret == -EPERM && c->followed)
		return 0;
	if (!ret)
		ret = ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) < 0 ? -errno : 0;
	return ret ? fail(-ret, "stop thread %d of the paused container: %s", tid, err_reason(-ret))
		   : 0;
}

/* Asks every thread that is known. It is ours then: trace_seize() takes it over. */
static int ask_to_stop(struct ckpt *c)
{
	int ret = 0;

	for (size_t i = 0; i < c->n_procs && !ret; i++)
		for (size_t t = 0; t < c->procs[i]->n_threads && !ret; t++)
			ret = ask_thread(c, c->procs[i]->threads[t]->host);
	return ret;
}

/* Signals meant for us (a terminal's) must not end it before its work is done. */
static void guard(const struct cgroup *cg, int word)
{
	sigset_t all;
	char what = GO;
	ssize_t n;

	sigfillset(&all);
	sigprocmask(SIG_SETMASK, &all, NULL);
	do
		n = read(word, &what, 1);
	while (n < 0 && errno == EINTR);
	if (n > 0 && what == LEAVE)
		_exit(0);
	_exit(cgroup_freeze(cg, true) != 0);
}

static int start_guard(struct ckpt *c)
{
	int word[2];

	if (pipe2(word, O_CLOEXEC) < 0)
		return fail_errno("make a pipe");
	c->guard = fork();
	if (c->guard == 0) {
		fd_close(word[1]);
		guard(c->subject->cgroup, word[0]);
	}
	fd_close(word[0]);
	c->guard_word = word[1];
	return c->guard < 0 ? fail_errno("start a process that pauses the container again") : 0;
}

int pause_lift(struct ckpt *c)
{
	int ret;

	if (!c->subject->paused)
		return 0;
	ret = ask_to_stop(c);
	if (!ret)
		ret = start_guard(c);
	return ret ? ret : cgroup_freeze(c->subject->cgroup, false);
}

static void tell_guard(struct ckpt *c, char what)
{
	(void)!write(c->guard_word, &what, 1);
	fd_close(c->guard_word);
}

void pause_again(struct ckpt *c)
{
	uint64_t deadline = ckpt_now() + FREEZE_PATIENCE_US;

	if (c->guard <= 0)
		return;
	tell_guard(c, GO);
	/* asked for is enough: who is let go now goes nowhere */
	while (cgroup_is_frozen(c->subject->cgroup) == 0 && ckpt_now() < deadline)
		poll(NULL, 0, 1);
}

int pause_settle(struct ckpt *c)
{
	int status = 0;

	if (c->guard <= 0)
		return 0;
	while (waitpid(c->guard, &status, 0) < 0 && errno == EINTR)
		;
	c->guard = 0;
	return status ? fail(EIO, "the container was paused, and could not be paused again") : 0;
}

void pause_forget(struct ckpt *c)
{
	if (c->guard <= 0)
		return;
	tell_guard(c, LEAVE);
	pause_settle(c);
}
