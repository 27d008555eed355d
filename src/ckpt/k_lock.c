/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File locks, with --file-locks alone: somebody outside may take one while the container is not
 * there. Locks of flock(2) and of open file descriptions are told once, with the first descriptor
 * that has them; those of fcntl(2) with the lowest descriptor of the process that they were taken
 * by. They are taken again when no process closes a file any more, which would give them up.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/kinds.h"
#include "ckpt/lock.h"

struct lock {
	uint32_t fd, sort; /* enum proc_lock_kind */
	bool write;
	uint64_t start, end; /* end: the last byte */
};

struct locks {
	struct lock *v;
	size_t n, room;
};

static const struct record_field lock_rows[] = {
	RECORD(U, struct lock, "fd", fd),
	RECORD(U, struct lock, "sort", sort, RECORD_MAX(PROC_LOCK_OFD)),
	RECORD(BOOL, struct lock, "write", write, RECORD_OPTIONAL),
	RECORD(U, struct lock, "start", start, RECORD_OPTIONAL, RECORD_MAX(INT64_MAX)),
	RECORD(U, struct lock, "end", end, RECORD_OPTIONAL, RECORD_MAX(INT64_MAX)),
};
static const struct record_table lock_table = RECORD_TABLE(struct lock, lock_rows);
static const struct record_field rows[] = {
	RECORD_LIST_OF(struct locks, "held", v, n, lock_table),
};
static const struct record_table table = RECORD_TABLE(struct locks, rows);

/* ---- dump */

const char *lock_refusal(const struct file_look *l)
{
	for (size_t i = 0; i < l->info->n_locks; i++)
		if (l->info->locks[i].kind == PROC_LOCK_LEASE)
			return "it holds a lease (F_SETLEASE), which can't be restored";
	if (l->info->n_locks && !l->c->options->file_locks)
		return "it holds a file lock, which is saved with --file-locks alone";
	return NULL;
}

/* Is it the first of the process that stands for this description? */
static bool is_lowest(const struct ckpt_proc *p, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (p->fds[i].file == p->fds[at].file)
			return false;
	return true;
}

static int save_fd(struct ckpt *c, struct ckpt_proc *p, size_t at, struct locks *out)
{
	const struct ckpt_fd *fd = &p->fds[at];
	const struct ckpt_file *f = c->files[fd->file];
	struct proc_fdinfo info;
	int ret;

	if (f->kind == &file_stdio)
		return 0;
	ret = proc_fdinfo(c->arena, p->host, (int)fd->fd, &info);

	for (size_t i = 0; i < info.n_locks && !ret; i++) {
		const struct proc_lock *k = &info.locks[i];
		bool posix = k->kind == PROC_LOCK_POSIX;

		if (posix ? !is_lowest(p, at) : f->owner != p || f->owner_fd != fd->fd)
			continue;
		out->v = arena_grow(c->arena, out->v, out->n, &out->room, sizeof(*out->v));
		out->v[out->n++] = (struct lock){ fd->fd, k->kind, k->write, k->start, k->end };
	}
	return ret;
}

/* All files are known by now. */
static int save(const struct ckpt_unit *u)
{
	int ret = 0;

	if (!u->c->options->file_locks)
		return 0;
	for (size_t i = 0; i < u->p->n_fds && !ret; i++)
		ret = save_fd(u->c, u->p, i, u->rec);
	return ret;
}

/* ---- restore */

static int prepare(const struct ckpt_unit *u)
{
	const struct locks *all = u->rec;

	for (size_t i = 0; i < all->n; i++)
		if (!ckpt_file_of(u->c, u->p, all->v[i].fd) || all->v[i].end < all->v[i].start)
			return fail(EBADMSG,
				    "the image: process.%d.info.json: locks.held[%zu]: is of no "
				    "descriptor, or of no range",
				    u->p->pid, i);
	return 0;
}

static int take(const struct ckpt_thread *t, const struct lock *k)
{
	const struct flock range = {
		.l_type = k->write ? F_WRLCK : F_RDLCK,
		.l_whence = SEEK_SET,
		.l_start = (off_t)k->start,
		.l_len = k->end == INT64_MAX ? 0 : (off_t)(k->end - k->start + 1),
	};
	uint64_t addr;
	int64_t ret;

	if (k->sort == PROC_LOCK_FLOCK)
		return (int)ckpt_call(t, "take a lock (flock)", SYS_flock, k->fd,
				      (k->write ? LOCK_EX : LOCK_SH) | LOCK_NB);
	ret = ckpt_put(t, 0, &range, sizeof(range), &addr);
	if (!ret)
		ret = ckpt_call(t, "take a lock (fcntl)", SYS_fcntl, k->fd,
				k->sort == PROC_LOCK_OFD ? F_OFD_SETLK : F_SETLK, addr);
	return (int)ret;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct locks *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n && !ret; i++) {
		ret = take(u->p->threads[0], &all->v[i]);
		if (ret == -EAGAIN || ret == -EACCES)
			ret = fail_in(ret, "descriptor %u: somebody else has locked the file",
				      all->v[i].fd);
	}
	return ret;
}

const struct ckpt_kind kind_lock = {
	.name = "locks",
	.scope = KIND_PROCESS,
	.table = &table,
	.save = save,
	.prepare = prepare,
	.rebuild = { [PHASE_SIGNALS] = rebuild },
};
