/* SPDX-License-Identifier: Apache-2.0 */
/* The parent's side: clone the child into its namespaces, answer its notes, hand it over. */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/sys.h"
#include "jail/enter.h"
#include "jail/netdev.h"
#include "jail/rdt.h"
#include "sandbox_priv.h"
#include "supervise.h"
#include "task/proc.h"

extern char **environ;

void sandbox_reap(pid_t pid, int *status)
{
	while (waitpid(pid, status, __WALL) < 0 && errno == EINTR)
		;
}

pid_t sandbox_clone(int flags, const struct cgroup_entry *entry, int *pidfd)
{
	struct clone_args args = {
		.flags = (uint64_t)(unsigned)flags,
		.exit_signal = flags & CLONE_PARENT ? 0 : SIGCHLD,
	};

	if (pidfd) {
		args.flags |= CLONE_PIDFD;
		args.pidfd = (uint64_t)(uintptr_t)pidfd;
	}
	if (entry && entry->v2 >= 0) {
		args.flags |= CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)entry->v2;
	}
	return (pid_t)sys_clone3(&args);
}

/*
 * Receives one note of the child. Returns 1, 0 where it has ended without one more, or -errno.
 * An end with an answer unread is told as ECONNRESET, once and ahead of what the child had said.
 */
static int hear(int channel, int flags, struct enter_note *out, pid_t *pid)
{
	union {
		char buf[CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = out, .iov_len = sizeof(*out) };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control),
	};
	struct cmsghdr *c;
	struct ucred cred;
	ssize_t n;

	do
		n = recvmsg(channel, &msg, MSG_CMSG_CLOEXEC | flags);
	while (n < 0 && (errno == EINTR || errno == ECONNRESET));
	if (n < 0)
		return fail_errno("hear from the container's process");
	if (n != sizeof(*out))
		return 0;
	c = CMSG_FIRSTHDR(&msg);
	if (c && c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_CREDENTIALS) {
		memcpy(&cred, CMSG_DATA(c), sizeof(cred));
		*pid = cred.pid;
	}
	return 1;
}

static int ended(void)
{
	return fail(ECHILD, "the container's process ended while it was being made");
}

static int why_failed(const struct enter_note *note)
{
	err_set(&note->err);
	return note->err.code > 0 ? -note->err.code : -EIO;
}

/* The next note of the child. Returns its kind, or -errno with the text of what went wrong. */
static int next_note(int channel, pid_t *pid)
{
	struct enter_note note;
	int ret = hear(channel, 0, &note, pid);

	if (ret <= 0)
		return ret ? ret : ended();
	return note.kind == NOTE_FAILED ? why_failed(&note) : note.kind;
}

/* The child's own reason where it has given up, or is gone: an answer to it only fails then. */
static int answer_failed(int channel, int ret)
{
	struct enter_note note;
	pid_t pid;
	int heard = hear(channel, MSG_DONTWAIT, &note, &pid);

	if (heard == 0)
		return ended();
	if (heard == 1 && note.kind == NOTE_FAILED)
		return why_failed(&note);
	return fail(-ret, "answer the container's process: %s", err_reason(-ret));
}

static int go_with(int channel, pid_t pid, const int *fds, size_t n)
{
	const struct enter_go word = { .pid = pid };
	int ret = fd_send(channel, &word, sizeof(word), fds, n);

	return ret ? answer_failed(channel, ret) : 0;
}

static int go(int channel, pid_t pid)
{
	return go_with(channel, pid, NULL, 0);
}

static int make_channel(int out[2])
{
	int on = 1;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, out) < 0)
		return fail_errno("make a socket pair");
	if (setsockopt(out[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)) < 0)
		return fail_errno("ask for credentials on a socket pair");
	return 0;
}

/* A user namespace to be joined, or one to be made beside others to be joined, takes a process
 * between. */
static bool needs_stage(const struct enter *e)
{
	const struct ns_want *user = &e->sb->ns.want[NS_USER];

	if (e->ns[NS_USER] >= 0)
		return true;
	if (!user->wanted || user->path)
		return false;
	for (int k = 0; k < NS_KINDS; k++)
		if (e->ns[k] >= 0)
			return true;
	return false;
}

/* Those that the caller's rights open, then the user namespace, then those that its rights open. */
static int join_staged(struct enter *e)
{
	bool last;

	for (int pass = 0; pass < 2; pass++) {
		last = pass == 1 || e->ns[NS_USER] < 0;
		for (int k = NS_KINDS - 1; k > NS_USER; k--) {
			if (e->ns[k] < 0)
				continue;
			if (setns(e->ns[k], ns_info[k].flag) == 0)
				e->ns[k] = -1;
			else if (last || errno != EPERM)
				return fail_errno("join the %s namespace %s", ns_info[k].oci,
						  e->sb->ns.want[k].path);
		}
		if (last)
			return 0;
		if (setns(e->ns[NS_USER], CLONE_NEWUSER) < 0)
			return fail_errno("join the user namespace %s",
					  e->sb->ns.want[NS_USER].path);
		e->ns[NS_USER] = -1;
	}
	return 0;
}

int sandbox_hide_stage(const struct enter *e)
{
	limits_set_own_score(&e->sb->process.limits);
	if (geteuid() != 0 && !e->joined && ns_new(&e->sb->ns, NS_USER))
		return 0;
	return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 ? fail_errno("become undumpable") : 0;
}

static void run_stage(struct enter *e, int flags)
{
	pid_t pid;

	prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
	if (sandbox_hide_stage(e) == 0 && join_staged(e) == 0) {
		pid = sandbox_clone(flags | CLONE_PARENT, NULL, NULL);
		if (pid == 0)
			enter_run(e);
		if (pid > 0)
			_exit(0);
		fail_errno("clone the container's init");
	}
	enter_report(e, NOTE_FAILED);
	_exit(1);
}

/*
 * A pid namespace is joined for one child: hooks and helpers, children as well, belong outside.
 * What is undumpable from here on is the child, for the same reason as in sandbox_hide_stage().
 */
static int enter_pid_ns(struct enter *e, int *out_own)
{
	auto_fd own = open("/proc/self/ns/pid", O_RDONLY | O_CLOEXEC);

	if (own < 0 || setns(e->ns[NS_PID], CLONE_NEWPID) < 0)
		return fail_errno("join the pid namespace %s", e->sb->ns.want[NS_PID].path);
	fd_close(e->ns[NS_PID]);
	e->ns[NS_PID] = -1;
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	*out_own = fd_take(&own);
	return 0;
}

static int leave_pid_ns(int own)
{
	prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
	return setns(own, CLONE_NEWPID) < 0 ? fail_errno("leave the pid namespace") : 0;
}

/* Clones init, through a stage where that has to be. *pid is 0 where only its hello will tell. */
static int clone_init(struct enter *e, pid_t *out_pid, int *out_pidfd)
{
	int late = CLONE_NEWCGROUP | CLONE_NEWTIME | (enter_makes_net(e->sb) ? CLONE_NEWNET : 0);
	int flags = ns_new_flags(&e->sb->ns) & ~late;
	auto_fd own = -1;
	int status, ret = 0;
	pid_t pid;

	e->staged = needs_stage(e);
	if (!e->staged && e->ns[NS_PID] >= 0)
		ret = enter_pid_ns(e, &own);
	if (ret)
		return ret;
	pid = sandbox_clone(e->staged ? 0 : flags, e->entry, e->staged ? NULL : out_pidfd);
	if (pid == 0) {
		if (e->staged)
			run_stage(e, flags);
		enter_run(e);
	}
	if (pid < 0)
		return fail_errno("clone the container's init%s",
				  flags & CLONE_NEWUSER ? " (are user namespaces allowed here?)"
							: "");
	if (e->staged)
		sandbox_reap(pid, &status);
	*out_pid = e->staged ? 0 : pid;
	return own >= 0 ? leave_pid_ns(own) : 0;
}

static int finish_cgroup(struct enter *e)
{
	int ret = cgroup_make_v1(e->arena, &e->sb->cgroup, e->unfinished);

	return ret ? ret : cgroup_entry_add_v1(e->cgroup, e->entry);
}

/* What the parent does for a child that just was born: score, ids, devices, cache class,
 * cgroups. */
static int serve_birth(struct enter *e, struct sandbox_task *task)
{
	const struct sandbox *sb = e->sb;
	int ret = limits_apply_outside(&sb->process.limits, task->pid);

	if (!ret && !e->joined && ns_new(&sb->ns, NS_USER))
		ret = ns_write_maps(task->pid, &sb->ns.maps);
	if (!ret && sb->rdt.closid)
		ret = rdt_enter(&sb->rdt, sb->id, task->pid);
	if (!ret && !e->joined && sb->n_net_devices)
		ret = netdev_move(sb->net_devices, sb->n_net_devices, sb->ns.want[NS_NET].path,
				  task->pid);
	if (!ret && e->unfinished)
		ret = finish_cgroup(e);
	if (!ret)
		ret = go_with(task->channel, task->pid, e->entry->tasks,
			      e->unfinished ? e->entry->n : 0);
	if (!ret)
		ret = proc_start_time(task->pid, &task->start_time);
	if (!ret && e->io->meanwhile)
		ret = e->io->meanwhile(e->io->meanwhile_arg, task->pid, task->start_time);
	if (!ret)
		ret = enter_compile_filter(e);
	/* what was opened for the child it has by now */
	enter_close(e);
	return ret;
}

static int serve_hooks(struct enter *e, struct sandbox_task *task)
{
	static const enum sandbox_hook_point points[] = { HOOK_PRESTART, HOOK_CREATE_RUNTIME };
	int ret = 0;

	for (size_t i = 0; !ret && i < sizeof(points) / sizeof(points[0]); i++)
		ret = enter_run_hooks(e, points[i], task->pid, e->io->cwd);
	return ret ? ret : go(task->channel, task->pid);
}

static int serve_fill(struct enter *e, struct sandbox_task *task)
{
	int ret;

	e->found->init = task->pid;
	ret = e->io->fill(e->io->fill_arg, e->found);
	return ret ? ret : go(task->channel, task->pid);
}

/* Who restores a container gives its supervisor the listener. */
static int keep_supervisor(const struct enter *e, int supervisor, struct sandbox_task *task)
{
	if (!e->io->restored || supervisor < 0)
		return 0;
	task->supervisor = fcntl(supervisor, F_DUPFD_CLOEXEC, 3);
	return task->supervisor < 0 ? fail_errno("keep the connection to the supervisor") : 0;
}

static int serve_layers(struct enter *e, struct sandbox_task *task)
{
	auto_fd supervisor = -1;
	int ret = supervise_layers(e, &supervisor);

	if (!ret)
		ret = keep_supervisor(e, supervisor, task);
	return ret ? ret : go_with(task->channel, task->pid, &supervisor, supervisor >= 0);
}

/* Answers the child until it is ready. */
static int serve(struct enter *e, struct sandbox_task *task)
{
	bool born = task->pid > 0;
	int note, ret = born ? serve_birth(e, task) : 0;

	while (!ret) {
		note = next_note(task->channel, &task->pid);
		if (note < 0)
			return note;
		switch (note) {
		case NOTE_HELLO:
			task->pidfd = (int)sys_pidfd_open(task->pid, 0);
			ret = task->pidfd < 0 ? fail_errno("open process %d", task->pid)
					      : serve_birth(e, task);
			break;
		case NOTE_FILL:
			ret = serve_fill(e, task);
			break;
		case NOTE_LAYERS:
			ret = serve_layers(e, task);
			break;
		case NOTE_HOOKS:
			ret = serve_hooks(e, task);
			break;
		case NOTE_READY:
			return 0;
		default:
			ret = fail(EPROTO, "the container's process sent an unknown note %d", note);
		}
	}
	return ret;
}

int sandbox_launch(struct enter *e, int (*start)(struct enter *e, pid_t *pid, int *pidfd),
		   struct sandbox_task *out)
{
	struct sandbox_task task = {
		.pidfd = -1, .supervisor = -1, .channel = -1, .waits = e->io->start >= 0
	};
	int channel[2] = { -1, -1 }, ret = supervise(e);
	struct err why;

	if (!ret)
		ret = keep_supervisor(e, e->supervisor, &task);
	if (!ret)
		ret = make_channel(channel);
	if (!ret) {
		e->channel = channel[1];
		e->parent_end = channel[0];
		task.channel = channel[0];
		ret = start(e, &task.pid, &task.pidfd);
	}
	fd_close(channel[1]);
	if (!ret)
		ret = serve(e, &task);
	if (!ret) {
		if (e->found)
			task.layers = *e->found;
		*out = task;
		return 0;
	}
	why = *err_last();
	sandbox_abort(&task);
	err_set(&why);
	return ret;
}

int sandbox_create(struct arena *a, const struct sandbox *sb, struct cgroup *cg,
		   const struct sandbox_io *io, struct sandbox_task *out)
{
	struct cgroup_entry entry;
	struct enter e = {
		.arena = a, .sb = sb, .io = io, .entry = &entry, .cgroup = cg, .unfinished = cg
	};
	int ret = cgroup_entry_open_v2(cg, &entry);

	if (ret)
		return ret;
	ret = enter_prepare(&e);
	if (!ret) {
		ret = sandbox_launch(&e, clone_init, out);
		enter_close(&e);
		enter_forget(&e);
	}
	cgroup_entry_close(&entry);
	return ret;
}

int sandbox_commit(struct sandbox_task *task)
{
	struct enter_note note;
	int ret = go(task->channel, task->pid);

	if (!ret)
		ret = hear(task->channel, 0, &note, &task->pid);
	if (ret < 0)
		return ret;
	/* without a start to wait for, the channel ends with execve, or brings the reason why
	 * not */
	if (ret == 0)
		return task->waits ? ended() : 0;
	if (note.kind == NOTE_FAILED)
		return why_failed(&note);
	if (task->waits && note.kind == NOTE_FREE)
		return 0;
	return fail(EPROTO, "the container's process sent an unknown note %d", note.kind);
}

void sandbox_release(struct sandbox_task *task)
{
	fd_close(fd_take(&task->channel));
	fd_close(fd_take(&task->supervisor));
	fd_close(fd_take(&task->pidfd));
}

void sandbox_abort(struct sandbox_task *task)
{
	int status;

	if (task->pid > 0) {
		kill(task->pid, SIGKILL);
		sandbox_reap(task->pid, &status);
	}
	sandbox_release(task);
}

int sandbox_start(int connection)
{
	struct enter_note note;
	size_t have = 0;
	ssize_t n;

	while (have < sizeof(note)) {
		n = read(connection, (char *)&note + have, sizeof(note) - have);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno != ECONNRESET)
			return fail_errno("wait for the container to start");
		if (n <= 0)
			break;
		have += (size_t)n;
	}
	if (have < sizeof(note))
		return 0;
	err_set(&note.err);
	return note.err.code > 0 ? -note.err.code : -EIO;
}
