/* SPDX-License-Identifier: Apache-2.0 */
/*
 * inotify: what is watched, and by which number. The kernel tells the inode of each watch, and a
 * path is looked for before anything is frozen (find.c). Watches come back last of all, so that
 * nothing a restore does is told of.
 *
 * Events that nobody has read yet can be taken, but never put back. Those are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/find.h"
#include "ckpt/kinds.h"
#include "ckpt/shown.h"
#include "ckpt/sockets.h"

#define SET_NEXT_WD _IOW('I', 0, int32_t) /* linux/inotify.h, with CONFIG_CHECKPOINT_RESTORE */
#define MASKS (IN_ALL_EVENTS | IN_EXCL_UNLINK | IN_ONESHOT)
#define WATCHES_MAX (1u << 20)
#define DEV_MINOR_BITS 20 /* of the kernel's own numbers */

struct watch {
	int32_t wd;
	uint32_t mask;
	const char *path; /* from the root of the container's init; its last component is meant */
	int fd;           /* restore: what it leads to */
};

struct inotify {
	struct watch *v;
	size_t n;
};

static const struct record_field watch_rows[] = {
	RECORD(I, struct watch, "wd", wd),
	RECORD(HEX, struct watch, "mask", mask),
	RECORD(TEXT, struct watch, "path", path, RECORD_MAX(PATH_MAX)),
};
static const struct record_table watch_table = RECORD_TABLE(struct watch, watch_rows);
static const struct record_field rows[] = {
	RECORD_LIST_OF(struct inotify, "watches", v, n, watch_table, RECORD_MAX(WATCHES_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct inotify, rows);

/* ---- dump */

/* Where watched files are, as found before the container was frozen. */
struct place {
	struct find what;
	const char *path;
};

struct places {
	struct place *v;
	size_t n, room;
};

static struct places *places_of(struct ckpt *c)
{
	void **note = ckpt_note(&kind_inotify, c->procs[0]);

	if (!*note)
		*note = arena_alloc(c->arena, sizeof(struct places));
	return *note;
}

static struct find what_of(const struct proc_inotify *w)
{
	return (struct find){
		.major = w->dev >> DEV_MINOR_BITS,
		.minor = w->dev & ((1u << DEV_MINOR_BITS) - 1),
		.inode = w->inode,
		.handle_type = w->handle_type,
		.handle = w->handle,
		.handle_len = w->handle_len,
	};
}

static int path_of(struct ckpt *c, const struct proc_inotify *w, const char **out)
{
	struct places *all = places_of(c);
	const struct find what = what_of(w);
	struct place *p;
	int ret;

	for (size_t i = 0; i < all->n; i++) {
		p = &all->v[i];
		if (p->what.inode != what.inode || p->what.major != what.major ||
		    p->what.minor != what.minor || shown_is(p->path) ||
		    !find_leads_to(c, p->path, &what))
			continue;
		*out = p->path;
		return 0;
	}
	*out = shown_find(
		c, &(struct shown_inode){ makedev(what.major, what.minor), what.inode, ~0ull, 0 });
	ret = *out ? 0 : find_path(c, &what, out);
	if (ret || !*out)
		return ret;
	all->v = arena_grow(c->arena, all->v, all->n, &all->room, sizeof(*all->v));
	all->v[all->n++] = (struct place){ what, *out };
	return 0;
}

static bool owns(const struct file_look *l)
{
	return l->sort == PROC_FD_INOTIFY;
}

static const char *check(const struct file_look *l)
{
	const char *path;

	for (size_t i = 0; i < l->info->n_watches; i++) {
		if (path_of(l->c, &l->info->watches[i], &path))
			return arena_strdup(l->c->arena, err_last()->text);
		if (!path)
			return arena_printf(l->c->arena,
					    "what it watches as number %d (inode %llu) has no path "
					    "in the container, or none that could be found",
					    l->info->watches[i].wd,
					    (unsigned long long)l->info->watches[i].inode);
	}
	return NULL;
}

static int compare(const void *a, const void *b)
{
	const struct watch *x = a, *y = b;

	return (x->wd > y->wd) - (x->wd < y->wd);
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	struct inotify *in = f->record;
	auto_fd fd = socket_borrow(l);
	int pending = 0, ret = 0;

	if (fd < 0)
		return fd;
	if (ioctl(fd, FIONREAD, &pending) < 0)
		return fail_errno("ask for the events of an inotify descriptor");
	if (pending)
		return fail(ENOTSUP,
			    "%d bytes of events were not read yet, and can't be put back: "
			    "try again when they are",
			    pending);
	in->n = l->info->n_watches;
	in->v = arena_array(l->c->arena, in->n ? in->n : 1, sizeof(*in->v));
	for (size_t i = 0; i < in->n && !ret; i++) {
		in->v[i] = (struct watch){ .wd = l->info->watches[i].wd,
					   .mask = l->info->watches[i].mask & MASKS };
		ret = path_of(l->c, &l->info->watches[i], &in->v[i].path);
		if (!ret && !in->v[i].path)
			ret = fail(ENOENT, "watch %d has no path in the container", in->v[i].wd);
	}
	if (!ret)
		qsort(in->v, in->n, sizeof(*in->v), compare);
	return ret;
}

/* ---- restore */

/* The container's own limits are for what it made itself. */
static int make(struct ckpt *c, struct ckpt_file *f)
{
	const struct ckpt_thread *root = ckpt_root(c);
	struct inotify *in = f->record;
	int64_t there;
	int ret;

	for (size_t i = 0; i < in->n; i++) {
		if (in->v[i].wd < 1 || (i && in->v[i].wd <= in->v[i - 1].wd) ||
		    in->v[i].mask & ~(uint32_t)MASKS || !(in->v[i].mask & IN_ALL_EVENTS))
			return fail(EBADMSG,
				    "the image: %s: watches[%zu]: is out of order, or has an "
				    "unknown mask",
				    IMAGE_CONTAINER, i);
		in->v[i].fd = -1;
	}
	for (size_t i = 0; i < in->n; i++) {
		ret = in->v[i].fd = ckpt_open_path(c, in->v[i].path, O_PATH | O_NOFOLLOW);
		if (ret < 0)
			return ret;
	}
	there = ckpt_call(root, "make an inotify descriptor", SYS_inotify_init1,
			  IN_CLOEXEC | (f->flags & O_NONBLOCK));
	if (there < 0)
		return (int)there;
	return ckpt_take_fd(root, (int)there);
}

static int add(int fd, struct watch *w)
{
	char path[64];
	int wd;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", w->fd);
	if (ioctl(fd, SET_NEXT_WD, (unsigned long)w->wd) < 0)
		return fail_errno("set the number of a watch");
	wd = inotify_add_watch(fd, path, w->mask);
	if (wd < 0)
		return fail_errno("watch %s", w->path);
	fd_close(fd_take(&w->fd));
	return wd == w->wd ? 0
			   : fail(EIO, "%s is watched as number %d, not %d", w->path, wd, w->wd);
}

/* Nothing is opened, made or changed any more. */
static int add_all(const struct ckpt_unit *u)
{
	int ret = 0;

	for (size_t i = 0; i < u->c->n_files && !ret; i++) {
		struct ckpt_file *f = u->c->files[i];
		struct inotify *in = f->record;

		for (size_t w = 0; f->kind == &file_inotify && w < in->n && !ret; w++)
			ret = add(f->fd, &in->v[w]);
	}
	return ret;
}

const struct ckpt_kind kind_inotify = {
	.name = "inotify",
	.scope = KIND_CONTAINER,
	.rebuild = { [PHASE_CPU] = add_all },
};

const struct file_kind file_inotify = {
	.name = "inotify",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.keeps_flags = true,
};
