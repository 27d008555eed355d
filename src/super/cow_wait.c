/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/cow_call.h"

#define LOOK_EVERY 50000 /* us */

static uint64_t value_of(const char *text, const char *key, int base)
{
	const char *at = strstr(text, key);

	return at ? strtoull(at + strlen(key), NULL, base) : 0;
}

/*
 * Who has been received waits for SIGKILL alone (loop.c). -NOTIF_RESTART where a signal is there
 * that the thread catches, for then the kernel makes of it what the handler asks for; -EINTR where
 * another thread may take it; else 0.
 */
static int interrupted(const struct notif *n)
{
	auto_fd fd = notif_proc_open(n, "status", O_RDONLY);
	char text[4096];
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	uint64_t catches, own, shared;

	if (len < 0)
		return 0;
	text[len] = '\0';
	catches = value_of(text, "\nSigCgt:", 16) & ~value_of(text, "\nSigBlk:", 16);
	own = value_of(text, "\nSigPnd:", 16) & catches;
	shared = value_of(text, "\nShdPnd:", 16) & catches;
	if (own || (shared && value_of(text, "\nThreads:", 10) == 1))
		return -NOTIF_RESTART;
	return shared ? -EINTR : 0;
}

static void wait_and_answer(struct notif *n, int fd, int flags, bool cloexec)
{
	const struct itimerval often = { { 0, LOOK_EVERY }, { 0, LOOK_EVERY } };
	int opened, ret = 0;

	/* the loop's handler of SIGALRM lets open(2) return */
	setitimer(ITIMER_REAL, &often, NULL);
	do {
		opened = fd_reopen(fd, flags);
		if (opened == -EINTR)
			ret = notif_valid(n) ? interrupted(n) : -EINTR;
	} while (opened == -EINTR && !ret);
	if (opened >= 0)
		notif_answer_end(n, opened, cloexec);
	else if (!n->answered)
		notif_answer(n, ret ? ret : opened);
}

static struct cow_opener *free_place(struct cow *c)
{
	struct cow_opener *found = NULL;

	for (size_t i = 0; i < COW_OPENERS_MAX; i++) {
		struct cow_opener *o = &c->openers[i];

		if (o->pid && waitpid(o->pid, NULL, WNOHANG) != 0)
			o->pid = 0;
		if (!o->pid)
			found = o;
	}
	return found;
}

void cow_yield(struct cow *c, pid_t tid)
{
	for (size_t i = 0; i < COW_OPENERS_MAX; i++) {
		struct cow_opener *o = &c->openers[i];
		struct notif n = { .listener = o->listener, .id = o->id, .tid = o->tid };

		if (!o->pid || o->tid != tid)
			continue;
		kill(o->pid, SIGKILL);
		while (waitpid(o->pid, NULL, 0) < 0 && errno == EINTR)
			;
		o->pid = 0;
		/* nobody is there any more if it had answered before */
		notif_answer(&n, -NOTIF_RESTART);
	}
}

void cow_open_apart(struct cow *c, struct notif *n, int fd, int flags, bool cloexec)
{
	struct cow_opener *place = free_place(c);
	pid_t self = getpid();

	if (!place) {
		notif_answer(n, -ENFILE);
		return;
	}
	*place = (struct cow_opener){ fork(), n->tid, n->listener, n->id };
	if (place->pid == 0) {
		/* the listener must not outlive the supervisor */
		prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
		signal(SIGTERM, SIG_DFL);
		if (getppid() == self)
			wait_and_answer(n, fd, flags, cloexec);
		_exit(0);
	}
	if (place->pid > 0) {
		n->answered = true;
		return;
	}
	place->pid = 0;
	notif_answer(n, -ENOMEM);
}
