/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/guarded.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "lib/scratch.h"
#include "lib/tap.h"
#include "super/loop.h"
#include "super/map.h"
#include "super/notif.h"
#include "task/proc.h"

static bool may_all(const void *arg, enum super_use use, uint16_t port)
{
	(void)arg;
	(void)use;
	(void)port;
	return true;
}

static void show_root(const struct guarded *g, const struct super_config *config)
{
	const char *guests[SUPER_MAP_MAX];

	for (size_t i = 0; i < config->n_dirs; i++)
		guests[i] = config->dirs[i].guest;
	if (config->plan.map)
		is_int(super_show_root(g->channel, guests, config->n_dirs), 0,
		       "the loop is shown the root: %s", err_last()->text);
}

void guarded_start(struct guarded *g, const struct super_config *config)
{
	struct super_config own = *config;
	int ends[2];

	if (notif_check())
		tap_skip("%s", err_last()->text);
	if (!is_int(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends), 0, "a channel"))
		exit(1);
	own.control = -1;
	own.id = "test";
	own.may = config->may ? config->may : may_all;
	fflush(stdout);
	g->plan = config->plan;
	g->loop = fork();
	if (g->loop == 0) {
		int ret;

		close(ends[0]);
		ret = loop_run(&own, ends[1]);
		if (ret)
			printf("# the supervisor: %s\n", err_last()->text);
		fflush(stdout);
		_exit(ret ? 1 : 0);
	}
	close(ends[1]);
	g->channel = ends[0];
	show_root(g, config);
}

int guarded_ask(struct guarded *g, uint32_t op, int fd)
{
	const struct super_request request = { .op = op };
	struct super_reply reply = { .error = EPIPE };
	int ret = fd_send(g->channel, &request, sizeof(request), &fd, fd >= 0);

	if (!ret && fd_recv(g->channel, &reply, sizeof(reply), NULL, NULL) < 0)
		return -EPIPE;
	return ret ? ret : -reply.error;
}

/* The child puts itself under the filter, and the parent hands its listener over. */
static void enter(const struct filter *f, int report, int go, int (*run)(void *arg), void *arg)
{
	int listener = -1, status;
	char byte;

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (filter_install(f, 0, &listener)) {
		printf("# %s\n", err_last()->text);
		listener = -1;
	}
	/* write(2) may be one of those that are asked about */
	if (send(report, &listener, sizeof(listener), 0) != sizeof(listener) ||
	    read(go, &byte, 1) != 1)
		_exit(2);
	close(listener);
	close(report);
	close(go);
	status = run(arg);
	fflush(stdout);
	_exit(status);
}

pid_t guarded_begin(struct guarded *g, int (*run)(void *arg), void *arg)
{
	int report[2], go[2], number = -1, pidfd, listener;
	auto_arena a = arena_new();
	struct filter f;
	pid_t child;

	if (!is_int(super_filter(a, &g->plan, &f), 0, "the filter") ||
	    socketpair(AF_UNIX, SOCK_STREAM, 0, report) || pipe(go))
		exit(1);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		close(g->channel);
		close(report[0]);
		close(go[1]);
		enter(&f, report[1], go[0], run, arg);
	}
	close(report[1]);
	close(go[0]);
	if (read(report[0], &number, sizeof(number)) != sizeof(number) || number < 0)
		tap_skip("no filter can be installed here");
	pidfd = (int)sys_pidfd_open(child, 0);
	listener = (int)sys_pidfd_getfd(pidfd, number, 0);
	is_int(guarded_ask(g, SUPER_ADOPT, listener), 0, "the loop takes the listener");
	close(listener);
	close(pidfd);
	is_int(write(go[1], "", 1), 1, "the child goes on");
	close(report[0]);
	close(go[1]);
	return child;
}

/* How many of its threads the supervisor traces; -1 where it has ended. */
static int traced_threads(const struct guarded *g, struct arena *a, pid_t child)
{
	siginfo_t info = { .si_pid = 0 };
	struct proc_status st;
	int traced = 0;
	pid_t *tids;
	size_t n;

	if (waitid(P_PID, (id_t)child, &info, WEXITED | WNOHANG | WNOWAIT) < 0 || info.si_pid ||
	    proc_tasks(a, child, &tids, &n))
		return -1;
	for (size_t i = 0; i < n; i++)
		traced += proc_status_of(child, tids[i], NULL, &st) == 0 && st.tracer == g->loop;
	return traced;
}

bool guarded_followed(const struct guarded *g, pid_t child, size_t want)
{
	auto_arena a = arena_new();
	int traced = 0;

	while (traced >= 0 && traced != (int)want) {
		usleep(1000);
		traced = traced_threads(g, a, child);
	}
	return traced >= 0;
}

static void trace_for_a_moment(pid_t tid)
{
	int status;

	is_int(ptrace(PTRACE_SEIZE, tid, NULL, NULL), 0, "thread %d has no tracer", tid);
	is_int(ptrace(PTRACE_INTERRUPT, tid, NULL, NULL), 0, "it is asked to stop");
	is_int(waitpid(tid, &status, __WALL), tid, "it comes out of its call");
	is_int(ptrace(PTRACE_DETACH, tid, NULL, NULL), 0, "and makes it again");
}

void guarded_hold(struct guarded *g, pid_t child)
{
	auto_arena a = arena_new();
	uint32_t left = 1;
	pid_t *tids;
	size_t n = 0;

	while (left && super_hold(g->channel, &left) == 0)
		usleep(1000);
	is_int((int)left, 0, "the supervisor lets go of all");
	is_int(proc_tasks(a, child, &tids, &n), 0, "the threads of the child");
	for (size_t i = 0; i < n; i++)
		trace_for_a_moment(tids[i]);
}

int guarded_end(pid_t child)
{
	int status;

	waitpid(child, &status, 0);
	ok(WIFEXITED(status), "the child has come to its end: status %#x", status);
	return WEXITSTATUS(status);
}

int guarded_fds(const struct guarded *g)
{
	char path[64];
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", g->loop);
	dir = opendir(path);
	while (dir && readdir(dir))
		n++;
	if (dir)
		closedir(dir);
	return n;
}

void guarded_stop(struct guarded *g)
{
	int status;

	close(g->channel);
	waitpid(g->loop, &status, 0);
	is_int(status, 0, "the supervisor comes to its end");
}

void guarded_run(const struct super_config *config, int (*run)(void *arg), void *arg)
{
	struct guarded g;

	guarded_start(&g, config);
	is_int(guarded_end(guarded_begin(&g, run, arg)), 0, "the child is content");
	guarded_stop(&g);
}

static int make_dir(struct cow_box *b, const char *name)
{
	if (!is_int(mkdirat(b->dir, name, 0755), 0, "%s is made", name))
		exit(1);
	return openat(b->dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

void cow_box_make(struct cow_box *b, uint64_t quota)
{
	b->dir = scratch_make();
	b->path = scratch_path();
	fchmod(b->dir, 0755);
	snprintf(b->guest, sizeof(b->guest), "%s/lower", b->path);
	b->map = (struct super_dir){
		.guest = b->guest,
		.mode = LAYER_COW,
		.quota = quota,
		.upper = make_dir(b, "upper"),
		.work = make_dir(b, "work"),
		.lower = make_dir(b, "lower"),
	};
	b->config = (struct super_config){ .plan = { .map = true, .quota = quota != 0 },
					   .dirs = &b->map,
					   .n_dirs = 1 };
}

void cow_box_drop(struct cow_box *b)
{
	close(b->map.upper);
	close(b->map.work);
	close(b->map.lower);
	scratch_drop(b->dir);
}
