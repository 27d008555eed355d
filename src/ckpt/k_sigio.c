/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who is sent a signal when a descriptor has something to say, and which: F_SETOWN_EX, F_SETSIG and
 * O_ASYNC of fcntl(2). It belongs to the open file description, and is told once, with the first
 * descriptor that has it. It is given back by the process of that one, with its own rights: the
 * kernel remembers whose they were, and sends no signal that these could not.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/kinds.h"

#define SIGNAL_MAX 64

struct receiver {
	uint32_t fd;
	uint32_t type; /* F_OWNER_* */
	int32_t pid;   /* as the container sees it; 0: nobody */
	uint32_t signal;
};

struct receivers {
	struct receiver *v;
	size_t n, room;
};

static const struct record_field receiver_rows[] = {
	RECORD(U, struct receiver, "fd", fd),
	RECORD(U, struct receiver, "type", type, RECORD_OPTIONAL, RECORD_MAX(F_OWNER_PGRP)),
	RECORD(I, struct receiver, "pid", pid, RECORD_OPTIONAL),
	RECORD(U, struct receiver, "signal", signal, RECORD_OPTIONAL, RECORD_MAX(SIGNAL_MAX)),
};
static const struct record_table receiver_table = RECORD_TABLE(struct receiver, receiver_rows);
static const struct record_field rows[] = {
	RECORD_LIST_OF(struct receivers, "receivers", v, n, receiver_table),
};
static const struct record_table table = RECORD_TABLE(struct receivers, rows);

/* ---- dump */

static pid_t inside_of_thread(const struct ckpt_proc *p, pid_t host)
{
	for (size_t i = 0; i < p->n_threads; i++)
		if (p->threads[i]->host == host)
			return p->threads[i]->tid;
	return 0;
}

/* The container's number of a task or group; 0 where it is not the container's. */
static pid_t inside_of(struct ckpt *c, int type, pid_t host)
{
	pid_t found = 0;

	for (size_t i = 0; i < c->n_procs && !found; i++) {
		const struct ckpt_proc *p = c->procs[i];

		if (type == F_OWNER_PGRP)
			found = getpgid(p->host) == host ? p->group : 0;
		else if (type == F_OWNER_PID)
			found = p->host == host ? p->pid : 0;
		else
			found = inside_of_thread(p, host);
	}
	return found;
}

/* F_NOTIFY says who gets its signals, and nothing else of it can be seen: to a directory nobody
 * else does. */
static bool is_watched(int fd, const struct f_owner_ex *owner)
{
	struct stat st;

	return owner->pid && fstat(fd, &st) == 0 && S_ISDIR(st.st_mode);
}

static int save_fd(struct ckpt *c, struct ckpt_proc *p, int pidfd, const struct ckpt_file *f,
		   struct receivers *out)
{
	uint32_t number = f->owner_fd;
	bool async = f->flags & O_ASYNC;
	auto_fd fd = (int)syscall(SYS_pidfd_getfd, pidfd, number, 0);
	struct f_owner_ex owner = { 0 };
	struct receiver r = { .fd = number };
	int sig;

	if (fd < 0)
		return fail_errno("process %d: copy descriptor %u", p->pid, number);
	sig = fcntl(fd, F_GETSIG);
	if (sig < 0 || fcntl(fd, F_GETOWN_EX, &owner) < 0)
		return fail_errno("process %d: descriptor %u: ask who gets its signals", p->pid,
				  number);
	if (is_watched(fd, &owner))
		return fail(
			ENOTSUP,
			"process %d: descriptor %u: the directory is watched by F_NOTIFY, which "
			"does not tell for what",
			p->pid, number);
	if (!sig && !owner.pid && !async)
		return 0;
	r.signal = (uint32_t)sig;
	if (owner.pid) {
		r.type = (uint32_t)owner.type;
		r.pid = inside_of(c, owner.type, owner.pid);
		if (!r.pid)
			return fail(ENOTSUP,
				    "process %d: descriptor %u: its signals (F_SETOWN) go to %d, "
				    "which is not of the container",
				    p->pid, number, owner.pid);
	}
	out->v = arena_grow(c->arena, out->v, out->n, &out->room, sizeof(*out->v));
	out->v[out->n++] = r;
	return 0;
}

/* All files are known by now. An O_PATH descriptor has no such thing. */
static int save(const struct ckpt_unit *u)
{
	auto_fd pidfd = (int)sys_pidfd_open(u->p->host, 0);
	int ret = pidfd < 0 ? fail_errno("open process %d", u->p->pid) : 0;

	for (size_t i = 0; i < u->p->n_fds && !ret; i++) {
		const struct ckpt_file *f = u->c->files[u->p->fds[i].file];

		if (f->owner == u->p && f->owner_fd == u->p->fds[i].fd && !(f->flags & O_PATH))
			ret = save_fd(u->c, u->p, pidfd, f, u->rec);
	}
	return ret;
}

/* ---- restore */

static int prepare(const struct ckpt_unit *u)
{
	const struct receivers *all = u->rec;

	for (size_t i = 0; i < all->n; i++)
		if (!ckpt_file_of(u->c, u->p, all->v[i].fd) || all->v[i].pid < 0)
			return fail(EBADMSG,
				    "the image: process.%d.info.json: sigio.receivers[%zu]: is of "
				    "no descriptor, or of no process",
				    u->p->pid, i);
	return 0;
}

static int give(const struct ckpt_unit *u, const struct receiver *r)
{
	const struct ckpt_thread *t = u->p->threads[0];
	const struct f_owner_ex owner = { (int)r->type, r->pid };
	const struct ckpt_file *f = ckpt_file_of(u->c, u->p, r->fd);
	uint64_t addr;
	int64_t ret = ckpt_put(t, 0, &owner, sizeof(owner), &addr);

	if (!ret && r->pid)
		ret = ckpt_call(t, "say who gets the signals of a descriptor", SYS_fcntl, r->fd,
				F_SETOWN_EX, addr);
	if (ret >= 0)
		ret = ckpt_call(t, "set the signal of a descriptor", SYS_fcntl, r->fd, F_SETSIG,
				r->signal);
	if (ret >= 0 && f->flags & O_ASYNC)
		ret = ckpt_call(t, "have a descriptor send signals", SYS_fcntl, r->fd, F_SETFL,
				f->flags);
	return ret < 0 ? fail_in((int)ret, "descriptor %u", r->fd) : 0;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct receivers *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n && !ret; i++)
		ret = give(u, &all->v[i]);
	return ret;
}

const struct ckpt_kind kind_sigio = {
	.name = "sigio",
	.scope = KIND_PROCESS,
	.table = &table,
	.save = save,
	.prepare = prepare,
	.rebuild = { [PHASE_RIGHTS] = rebuild },
};
