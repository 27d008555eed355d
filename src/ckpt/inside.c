/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/inside.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "jail/ns.h"

#define BUFFER (256u << 10)

int inside_root(struct ckpt *c)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/root", c->procs[0]->host);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? fail_errno("open the container's root") : fd;
}

static bool is_ours(pid_t pid, const char *name)
{
	char theirs[64], ours[64], path[32];

	snprintf(path, sizeof(path), "ns/%s", name);
	return proc_link(pid, path, theirs, sizeof(theirs)) == 0 &&
	       proc_link(getpid(), path, ours, sizeof(ours)) == 0 && strcmp(theirs, ours) == 0;
}

bool inside_needed(struct ckpt *c)
{
	return !is_ours(c->procs[0]->host, "user");
}

static int join(pid_t pid, int spaces)
{
	auto_fd pidfd = (int)sys_pidfd_open(pid, 0);
	int flags = 0;

	for (size_t k = 0; k < NS_KINDS; k++)
		if (spaces & ns_info[k].flag && !is_ours(pid, ns_info[k].proc))
			flags |= ns_info[k].flag;
	if (!flags)
		return 0;
	if (pidfd < 0 || setns(pidfd, flags) < 0)
		return fail_errno("join the container's namespaces");
	if (flags & CLONE_NEWUSER && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
		return fail_errno("become the container's root");
	return 0;
}

static int run_child(pid_t pid, const struct inside *job, int out)
{
	int ret = join(pid, job->spaces | CLONE_NEWUSER);

	return ret ? ret : job->there(job->ctx, out);
}

/* What the child said of its end: nothing where all is well. */
static int outcome(pid_t child, int from)
{
	struct err e;
	ssize_t n;
	int status;

	do {
		n = read(from, &e, sizeof(e));
	} while (n < 0 && errno == EINTR);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return fail_errno("wait for a helper process");
	if (n == (ssize_t)sizeof(e) && e.code > 0) {
		e.text[sizeof(e.text) - 1] = '\0';
		return fail(e.code, "%s", e.text);
	}
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		return fail(EIO, "a helper process died (status 0x%x)", (unsigned)status);
	return 0;
}

/* Its exit status, which tells where the text can't. */
static int end_child(int ret, int to)
{
	if (ret && !err_last()->code)
		fail(-ret, "a helper process: %s", err_reason(-ret));
	if (ret)
		fd_write_all(to, err_last(), sizeof(struct err));
	return ret != 0;
}

int inside_run(struct ckpt *c, const struct inside *job)
{
	auto_fd in = -1, out = -1, told = -1, tell = -1;
	pid_t init = c->procs[0]->host, child;
	int data[2], report[2], ret = 0, end;

	if (pipe2(data, O_CLOEXEC) < 0)
		return fail_errno("make a pipe");
	in = data[0];
	out = data[1];
	if (pipe2(report, O_CLOEXEC) < 0)
		return fail_errno("make a pipe");
	told = report[0];
	tell = report[1];
	child = fork();
	if (child < 0)
		return fail_errno("start a helper process");
	if (child == 0) {
		fd_close(fd_take(&in));
		stay_end(&c->stay);
		_exit(end_child(run_child(init, job, out), tell));
	}
	fd_close(fd_take(&out));
	fd_close(fd_take(&tell));
	if (job->here)
		ret = job->here(job->ctx, in);
	fd_close(fd_take(&in));
	if (ret && ret != -ENODATA) {
		struct err kept = *err_last();

		outcome(child, told);
		err_set(&kept);
		return ret;
	}
	end = outcome(child, told);
	if (end)
		return end;
	return ret ? fail(EIO, "a helper process sent too little") : 0;
}

int inside_fetch(struct ckpt *c, const struct inside *job, int *sock)
{
	auto_fd here = -1, there = -1;
	size_t n = 1;
	int pair[2], fd = -1, ret;
	char byte;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno("make a socket pair");
	here = pair[0];
	there = *sock = pair[1];
	ret = inside_run(c, job);
	if (ret)
		return ret;
	ret = (int)fd_recv(here, &byte, 1, &fd, &n);
	return ret < 0 ? fail(-ret, "take an open file over: %s", err_reason(-ret)) : fd;
}

int inside_hand(int sock, int fd)
{
	int ret = fd_send(sock, "", 1, &fd, 1);

	return ret ? fail(-ret, "hand an open file over: %s", err_reason(-ret)) : 0;
}

int inside_send(int pipe, const void *data, size_t len)
{
	int ret = fd_write_all(pipe, data, len);

	return ret ? fail(-ret, "hand over what was read: %s", err_reason(-ret)) : 0;
}

int inside_send_text(int pipe, const char *text, size_t len)
{
	uint64_t size = len;
	int ret = inside_send(pipe, &size, sizeof(size));

	return ret ? ret : inside_send(pipe, text, len);
}

static int take(int pipe, void *buf, size_t len)
{
	size_t at = 0;
	ssize_t n;

	while (at < len) {
		n = read(pipe, (char *)buf + at, len - at);
		if (n < 0 && errno != EINTR)
			return fail_errno("take over what was read");
		if (n == 0)
			return -ENODATA;
		at += n > 0 ? (size_t)n : 0;
	}
	return 0;
}

int inside_take_text(struct ckpt *c, int pipe, const char **out, size_t *out_len)
{
	uint64_t len;
	char *text;
	int ret = take(pipe, &len, sizeof(len));

	if (ret)
		return ret;
	if (len > IMAGE_RECORD_MAX)
		return fail(E2BIG,
			    "the list of what there is has %llu bytes, more than an image "
			    "holds in one",
			    (unsigned long long)len);
	text = arena_alloc(c->arena, len + 1);
	ret = take(pipe, text, len);
	if (!ret) {
		*out = text;
		*out_len = len;
	}
	return ret;
}

int inside_take_file(struct ckpt *c, int pipe, const char *name)
{
	char *buf = arena_alloc(c->arena, BUFFER);
	struct image_stream *data;
	ssize_t n;
	int ret = image_stream_open(c->writer, name, &data), closed;

	if (ret)
		return ret;
	while (!ret && ((n = read(pipe, buf, BUFFER)) > 0 || (n < 0 && errno == EINTR)))
		if (n > 0)
			ret = image_stream_write(data, buf, (size_t)n);
	if (!ret && n < 0)
		ret = fail_errno("take over what was read");
	closed = image_stream_close(data);
	return ret ? ret : closed;
}
