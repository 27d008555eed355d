/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/shown.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "lib/tap.h"
#include "super/loop.h"
#include "super/notif.h"

static bool may_all(const void *arg, enum super_use use, uint16_t port)
{
	(void)arg;
	(void)use;
	(void)port;
	return true;
}

void shown_begin(struct shown *s)
{
	int ends[2];

	if (notif_check())
		tap_skip("%s", err_last()->text);
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		abort();
	s->config.control = -1;
	s->config.id = "test";
	s->config.may = may_all;
	fflush(stdout);
	s->loop = fork();
	if (s->loop == 0) {
		int ret;

		close(ends[0]);
		ret = loop_run(&s->config, ends[1]);
		if (ret)
			printf("# the supervisor: %s\n", err_last()->text);
		fflush(stdout);
		_exit(ret ? 1 : 0);
	}
	close(ends[1]);
	s->channel = ends[0];
}

static int adopt(struct shown *s, int listener)
{
	const struct super_request request = { .op = SUPER_ADOPT };
	struct super_reply reply = { .error = EPIPE };
	int ret = fd_send(s->channel, &request, sizeof(request), &listener, 1);

	if (!ret && fd_recv(s->channel, &reply, sizeof(reply), NULL, NULL) < 0)
		return -EPIPE;
	return ret ? ret : -reply.error;
}

static void in_child(const struct filter *f, int report, int go, int (*run)(void *), void *arg)
{
	int listener = -1, ret;
	char byte;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (filter_install(f, 0, &listener)) {
		printf("# %s\n", err_last()->text);
		listener = -1;
	}
	if (write(report, &listener, sizeof(listener)) != sizeof(listener) ||
	    read(go, &byte, 1) != 1)
		_exit(125);
	close(listener);
	close(report);
	close(go);
	ret = run(arg);
	fflush(stdout);
	_exit(ret);
}

pid_t shown_child(struct shown *s, int (*run)(void *arg), void *arg)
{
	int report[2], go[2], number = -1, pidfd, listener;
	auto_arena a = arena_new();
	struct filter f;
	pid_t child;

	if (!is_int(super_filter(a, &s->config.plan, &f), 0, "the filter: %s", err_last()->text) ||
	    pipe(report) || pipe(go))
		exit(1);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(s->channel);
		close(report[0]);
		close(go[1]);
		in_child(&f, report[1], go[0], run, arg);
	}
	if (read(report[0], &number, sizeof(number)) != sizeof(number) || number < 0)
		tap_skip("no filter can be installed here");
	pidfd = (int)sys_pidfd_open(child, 0);
	listener = (int)sys_pidfd_getfd(pidfd, number, 0);
	is_int(adopt(s, listener), 0, "the loop takes the listener");
	close(listener);
	close(pidfd);
	is_int(write(go[1], "", 1), 1, "the child goes on");
	for (int i = 0; i < 2; i++) {
		close(report[i]);
		close(go[i]);
	}
	return child;
}

void shown_wait(pid_t child, int want)
{
	int status = -1;

	waitpid(child, &status, 0);
	is_int(status, want, "the child's end");
}

void shown_end(struct shown *s)
{
	close(s->channel);
	shown_wait(s->loop, 0);
}
