/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restore: open file descriptions are made once and held here, then handed to every process that
 * had them: in one message a process, over one socket that all of them inherit. What arrives in
 * ascending order lands on the lowest free numbers, which are never above the right ones; so moving
 * the last first needs no place beside.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/batch.h"
#include "ckpt/engine.h"
#include "ckpt/shown.h"
#include "sandbox.h"
#include "task/trace.h"

#define MESSAGE_FDS 253 /* SCM_MAX_FD of the kernel */
#define CONTROL_MAX CMSG_SPACE(MESSAGE_FDS * sizeof(int))

int ckpt_fetch_fd(const struct ckpt_thread *t, int fd)
{
	auto_fd pidfd = (int)sys_pidfd_open(t->proc->host, 0);
	int got = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, fd, 0);

	return got < 0 ? fail_errno("process %d: fetch descriptor %d", t->proc->pid, fd) : got;
}

static int close_in(const struct ckpt_thread *t, int64_t fd)
{
	return (int)ckpt_call(t, "close a descriptor", SYS_close, (uint64_t)fd);
}

int ckpt_take_fd(const struct ckpt_thread *t, int fd)
{
	auto_fd copy = ckpt_fetch_fd(t, fd);
	int ret = close_in(t, fd);

	return copy >= 0 && ret < 0 ? ret : fd_take(&copy);
}

struct open_how ckpt_how(int flags)
{
	const int of_place = O_PATH | O_DIRECTORY | O_NOFOLLOW;

	if (flags & O_PATH)
		flags &= of_place;
	else
		flags |= O_NOCTTY;
	return (struct open_how){
		.flags = (uint64_t)(flags | O_CLOEXEC),
		.resolve = RESOLVE_NO_MAGICLINKS,
	};
}

int ckpt_open_path(struct ckpt *c, const char *path, int flags)
{
	const struct ckpt_thread *root = ckpt_root(c);
	const struct open_how how = ckpt_how(flags);
	uint64_t addr, how_at;
	int64_t fd;
	int ret;

	if (shown_is(path))
		return shown_open(c, path, flags);
	if (path[0] != '/')
		return fail(EBADMSG, "the image: \"%s\" is no absolute path", path);
	ret = ckpt_put(root, sizeof(how), path, strlen(path) + 1, &addr);
	if (!ret)
		ret = ckpt_put(root, 0, &how, sizeof(how), &how_at);
	if (ret)
		return ret;
	fd = ckpt_call(root, path, SYS_openat2, (uint64_t)AT_FDCWD, addr, how_at, sizeof(how));
	if (fd < 0)
		return fail_in((int)fd, "open");
	return ckpt_take_fd(root, (int)fd);
}

/* As many descriptors as the hard limit allows: a description each. */
static void raise_limit(void)
{
	struct rlimit r;

	if (getrlimit(RLIMIT_NOFILE, &r) == 0 && r.rlim_cur < r.rlim_max) {
		r.rlim_cur = r.rlim_max;
		setrlimit(RLIMIT_NOFILE, &r);
	}
}

static uint32_t first_unused(const struct ckpt *c)
{
	uint32_t past = 3;

	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->n_fds && c->procs[i]->fds[c->procs[i]->n_fds - 1].fd >= past)
			past = c->procs[i]->fds[c->procs[i]->n_fds - 1].fd + 1;
	return past;
}

/* A socket pair made in the root process: one end is fetched, the other one parked. */
static int make_socket(struct ckpt *c)
{
	const struct ckpt_thread *root = ckpt_root(c);
	uint64_t addr;
	int pair[2];
	int64_t ret = ckpt_put(root, 0, (int[2]){ -1, -1 }, sizeof(pair), &addr);

	if (ret >= 0)
		ret = ckpt_call(root, "make a socket pair", SYS_socketpair, AF_UNIX,
				SOCK_DGRAM | SOCK_CLOEXEC, 0, addr);
	if (ret >= 0)
		ret = ckpt_get(root, 0, pair, sizeof(pair));
	if (ret >= 0)
		ret = c->pass = ckpt_fetch_fd(root, pair[0]);
	if (ret >= 0)
		ret = ckpt_call(root, "park a descriptor", SYS_fcntl, (uint64_t)pair[1],
				F_DUPFD_CLOEXEC, first_unused(c));
	if (ret >= 0)
		c->park = (uint32_t)ret;
	return ret < 0 ? (int)ret : 0;
}

/* What a resource limit of the new container forbids, the old one had. */
static int allow_numbers(struct ckpt *c)
{
	const struct rlimit enough = { first_unused(c) + 16, first_unused(c) + 16 };
	struct rlimit now;

	if (prlimit(c->procs[0]->host, RLIMIT_NOFILE, NULL, &now) < 0)
		return fail_errno("look at the limit of descriptors");
	if (now.rlim_cur >= enough.rlim_cur)
		return 0;
	if (now.rlim_max >= enough.rlim_cur)
		now.rlim_cur = now.rlim_max;
	else
		now = enough;
	return prlimit(c->procs[0]->host, RLIMIT_NOFILE, &now, NULL) < 0
		       ? fail_errno("raise the limit of descriptors to %llu",
				    (unsigned long long)now.rlim_cur)
		       : 0;
}

int files_begin(struct ckpt *c)
{
	const struct ckpt_thread *root = ckpt_root(c);
	int64_t ret = allow_numbers(c);

	raise_limit();
	for (int i = 0; i < 3 && ret >= 0; i++)
		ret = c->stdio[i] = ckpt_fetch_fd(root, i);
	if (ret >= 0)
		ret = make_socket(c);
	if (ret >= 0)
		ret = ckpt_call(root, "close descriptors", SYS_close_range, 0, c->park - 1, 0);
	if (ret >= 0)
		ret = ckpt_call(root, "close descriptors", SYS_close_range, c->park + 1, ~0u, 0);
	return ret < 0 ? (int)ret : 0;
}

static int make_one(struct ckpt *c, struct ckpt_file *f)
{
	int ret = f->kind->make(c, f);

	if (ret < 0)
		return fail_in(ret, "file %u (%s)", f->id, f->kind->name);
	f->fd = ret;
	if (f->kind->keeps_pos && f->pos && !(f->flags & O_PATH) &&
	    lseek(f->fd, (off_t)f->pos, SEEK_SET) < 0)
		return fail_errno("file %u (%s): set its position to %llu", f->id, f->kind->name,
				  (unsigned long long)f->pos);
	/* whoever sets O_ASYNC has the signal name his own number: k_sigio.c */
	if (f->kind->keeps_flags && fcntl(f->fd, F_SETFL, (int)(f->flags & ~(uint32_t)O_ASYNC)) < 0)
		return fail_errno("file %u (%s): set its flags", f->id, f->kind->name);
	return 0;
}

int files_make(struct ckpt *c, bool after_tree)
{
	int ret = 0;

	for (size_t i = 0; i < c->n_files && !ret; i++)
		if (c->files[i]->kind->after_tree == after_tree)
			ret = make_one(c, c->files[i]);
	return ret;
}

static int send_fds(struct ckpt *c, const int *fds, size_t n)
{
	union {
		char buf[CONTROL_MAX];
		struct cmsghdr align;
	} control = { { 0 } };
	char byte = 0;
	struct iovec iov = { .iov_base = &byte, .iov_len = 1 };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = CMSG_SPACE(n * sizeof(int)),
	};
	struct cmsghdr *head = CMSG_FIRSTHDR(&msg);

	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(n * sizeof(int));
	memcpy(CMSG_DATA(head), fds, n * sizeof(int));
	return sendmsg(c->pass, &msg, MSG_DONTWAIT) < 0 ? fail_errno("hand descriptors over") : 0;
}

/* What a task receives one message with. */
struct receipt {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	union {
		char buf[CONTROL_MAX];
		struct cmsghdr align;
	} control;
};

/* Has the task take them. Their numbers there go to out. */
static int receive_fds(struct ckpt *c, const struct ckpt_thread *t, size_t n, int *out)
{
	const size_t room = CMSG_SPACE(n * sizeof(int)),
		     len = offsetof(struct receipt, control) + room;
	struct receipt r = { .iov = { .iov_len = 1 } };
	uint64_t addr;
	int64_t ret = trace_scratch(t->proc->trace, &addr);

	r.iov.iov_base = (void *)(uintptr_t)(addr + offsetof(struct receipt, byte));
	r.msg = (struct msghdr){
		.msg_iov = (void *)(uintptr_t)(addr + offsetof(struct receipt, iov)),
		.msg_iovlen = 1,
		.msg_control = (void *)(uintptr_t)(addr + offsetof(struct receipt, control)),
		.msg_controllen = room,
	};
	if (!ret)
		ret = ckpt_put(t, 0, &r, len, &addr);
	if (!ret)
		ret = ckpt_call(t, "take descriptors", SYS_recvmsg, c->park, addr, MSG_DONTWAIT);
	if (ret >= 0)
		ret = ckpt_get(t, 0, &r, len);
	if (ret < 0)
		return (int)ret;
	if (r.control.align.cmsg_len != CMSG_LEN(n * sizeof(int)))
		return fail(EMFILE, "process %d: it did not take all %zu descriptors", t->proc->pid,
			    n);
	memcpy(out, CMSG_DATA(&r.control.align), n * sizeof(int));
	return 0;
}

int ckpt_send_fd(struct ckpt *c, const struct ckpt_thread *t, int fd)
{
	int there, ret = send_fds(c, &fd, 1);

	if (!ret)
		ret = receive_fds(c, t, 1, &there);
	return ret ? ret : there;
}

static int place(struct ckpt_batch *b, const struct ckpt_fd *want, int is)
{
	int ret;

	if (want->fd == (uint32_t)is)
		return want->cloexec ? batch_add(b, "mark a descriptor", 0, SYS_fcntl, (uint64_t)is,
						 F_SETFD, FD_CLOEXEC)
				     : 0;
	ret = batch_add(b, "place a descriptor", (int64_t)want->fd, SYS_dup3, (uint64_t)is,
			want->fd, want->cloexec ? O_CLOEXEC : 0);
	return ret ? ret : batch_add(b, "close a descriptor", 0, SYS_close, (uint64_t)is);
}

static int install(struct ckpt *c, struct ckpt_proc *p)
{
	const struct ckpt_thread *t = p->threads[0];
	struct ckpt_batch *b;
	int fds[MESSAGE_FDS], *is, ret = 0;
	size_t n;

	is = arena_array(c->arena, p->n_fds ? p->n_fds : 1, sizeof(*is));
	for (size_t at = 0; at < p->n_fds && !ret; at += n) {
		n = p->n_fds - at < MESSAGE_FDS ? p->n_fds - at : MESSAGE_FDS;
		for (size_t i = 0; i < n; i++)
			fds[i] = c->files[p->fds[at + i].file]->fd;
		ret = send_fds(c, fds, n);
		if (!ret)
			ret = receive_fds(c, t, n, is + at);
	}
	b = batch_begin(c, t);
	for (size_t i = p->n_fds; i > 0 && !ret; i--)
		ret = place(b, &p->fds[i - 1], is[i - 1]);
	return ret ? ret : batch_run(b);
}

int64_t ckpt_next_fd(const struct ckpt *c, const struct ckpt_proc *p)
{
	size_t i = 0;

	while (i < p->n_fds && p->fds[i].fd == i)
		i++;
	return i == c->park ? (int64_t)i + 1 : (int64_t)i;
}

int files_install(struct ckpt *c)
{
	int ret = 0;

	for (size_t i = 0; i < c->n_procs && !ret; i++)
		if (!c->procs[i]->zombie)
			ret = install(c, c->procs[i]);
	for (size_t i = 0; i < c->n_files && !ret; i++)
		if (c->files[i]->kind->link)
			ret = c->files[i]->kind->link(c, c->files[i]);
	return ret;
}

void files_end(struct ckpt *c)
{
	for (size_t i = 0; i < c->n_files; i++)
		fd_close(fd_take(&c->files[i]->fd));
	for (int i = 0; i < 3; i++)
		fd_close(fd_take(&c->stdio[i]));
	fd_close(fd_take(&c->pass));
}
