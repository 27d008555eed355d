/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File systems of the bundle that are in memory alone: tmpfs and ramfs. What is in them is nowhere
 * else, so the image has it. A bind mount of such a one from outside is the host's and stays there.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/inside.h"
#include "ckpt/kinds.h"
#include "ckpt/mounts.h"
#include "ckpt/tmpfs.h"
#include "jail/plan.h"

#define WORD "tmpfs"

struct memory_mount {
	const char *point;
	bool made; /* by the container itself */
	/* restore */
	struct tmpfs_tree tree;
	int root;
};

struct memory_mounts {
	struct memory_mount *v;
	size_t n, room;
};

static const struct record_field mount_rows[] = {
	RECORD(TEXT, struct memory_mount, "point", point, RECORD_MAX(PATH_MAX)),
	RECORD(BOOL, struct memory_mount, "made", made, RECORD_OPTIONAL),
};
static const struct record_table mount_table = RECORD_TABLE(struct memory_mount, mount_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct memory_mounts, "mounts", v, n, mount_table),
};
static const struct record_table table = RECORD_TABLE(struct memory_mounts, rows);

/* ---- dump */

static void add(struct ckpt *c, struct memory_mounts *all, const char *point, bool made)
{
	for (size_t i = 0; i < all->n; i++)
		if (strcmp(all->v[i].point, point) == 0)
			return;
	all->v = arena_grow(c->arena, all->v, all->n, &all->room, sizeof(*all->v));
	all->v[all->n++] = (struct memory_mount){ .point = point, .made = made };
}

/* The mount that a line of the configuration made; NULL where it is not there any more. */
static const struct proc_mount *made_by(int root, const struct mounts *m,
					const struct mount_plan *p)
{
	auto_fd fd = -1;
	uint64_t id;

	if (p->bind || !p->fstype || p->extra & MOUNT_REMOUNT)
		return NULL;
	fd = fd_open_in_root(root, p->target, O_PATH);
	return fd < 0 || tmpfs_mount_id(fd, &id) ? NULL : mounts_by_id(m, id);
}

/* What can't be written to from the start is as the configuration makes it. */
static bool is_read_only(const struct mount_plan *p)
{
	return (p->set | p->rset) & MOUNT_ATTR_RDONLY || p->sb_flags & MS_RDONLY;
}

static bool is_writable(const struct proc_mount *m)
{
	return !(mounts_flags(m) & MOUNT_ATTR_RDONLY);
}

/* One that is seen in several places has its files once, in the first. */
static bool is_copy(const struct mounts *all, const struct proc_mount *m)
{
	for (const struct proc_mount *o = all->v; o < m; o++)
		if (o->major == m->major && o->minor == m->minor)
			return true;
	return strcmp(m->root, "/") != 0;
}

static int collect_made(struct ckpt *c, struct memory_mounts *out, const struct mounts *all)
{
	struct made_mounts made;
	int ret = mounts_explain(c, all, &made);

	for (size_t i = 0; i < made.n && !ret; i++)
		if (mounts_in_memory(made.v[i]) && !is_copy(all, made.v[i]))
			add(c, out, made.v[i]->point, true);
	return ret;
}

static int collect(const struct ckpt_unit *u)
{
	const struct rootfs_plan *plan = &u->c->subject->sb->rootfs;
	auto_fd root = inside_root(u->c);
	const struct proc_mount *made;
	struct mounts all;
	int ret = root < 0 ? root : mounts_read(u->c, &all);

	for (size_t i = 0; i < plan->n_mounts && !ret; i++) {
		made = made_by(root, &all, &plan->mounts[i]);
		if (made && mounts_in_memory(made) && !is_read_only(&plan->mounts[i]))
			add(u->c, u->rec, made->point, false);
	}
	return ret ? ret : collect_made(u->c, u->rec, &all);
}

static int save_one(struct ckpt *c, int root, const struct proc_mount *m, size_t number)
{
	auto_fd fd = mounts_open(root, m);
	int ret = fd < 0 ? fd : tmpfs_save(c, fd, WORD, number);

	return ret ? fail_in(ret, "save the files in memory at %s", m->point) : 0;
}

static int save(const struct ckpt_unit *u)
{
	const struct memory_mounts *all = u->rec;
	auto_fd root = inside_root(u->c);
	struct mounts m;
	int ret = root < 0 ? root : mounts_read(u->c, &m);

	for (size_t i = 0; i < all->n && !ret; i++)
		ret = save_one(u->c, root, mounts_at(&m, all->v[i].point), i);
	return ret;
}

/* ---- restore */

static int prepare(const struct ckpt_unit *u)
{
	struct memory_mounts *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n && !ret; i++) {
		all->v[i].root = -1;
		ret = tmpfs_load(u->c, WORD, i, &all->v[i].tree);
	}
	return ret;
}

static struct tmpfs_restore job_of(struct ckpt *c, struct memory_mounts *all, size_t i)
{
	struct memory_mount *m = &all->v[i];

	return (struct tmpfs_restore){
		.c = c,
		.word = WORD,
		.number = i,
		.root = m->root,
		/* the new configuration may give other devices */
		.keep_others = strcmp(m->point, "/dev") == 0,
		.tree = &m->tree,
		.point = m->point,
	};
}

static int fill(const struct ckpt_unit *u, struct mounts *m, int root, size_t i)
{
	struct memory_mounts *all = u->rec;
	const struct proc_mount *to = mounts_at(m, all->v[i].point);
	struct tmpfs_restore job;
	int ret;

	if (!to || !mounts_in_memory(to))
		return fail(ENOENT,
			    "the image has files in memory for %s, where the new configuration has "
			    "no such file system",
			    all->v[i].point);
	if (!is_writable(to))
		return fail(EROFS,
			    "the image has files in memory for %s, which the new configuration "
			    "makes read-only",
			    all->v[i].point);
	ret = all->v[i].root = mounts_open(root, to);
	job = job_of(u->c, all, i);
	return ret < 0 ? ret : tmpfs_restore(&job);
}

static int rebuild(const struct ckpt_unit *u)
{
	struct memory_mounts *all = u->rec;
	auto_fd root = inside_root(u->c);
	struct mounts m;
	int ret = root < 0 ? root : mounts_read(u->c, &m);

	for (size_t i = 0; i < all->n && !ret; i++)
		if (!all->v[i].made)
			ret = fill(u, &m, root, i);
	return ret;
}

int tmpfs_fill_made(struct ckpt *c, const char *point)
{
	const struct ckpt_unit u = { .c = c };
	struct memory_mounts *all = ckpt_section(&kind_tmpfs, &u);
	const struct ckpt_unit own = { .c = c, .rec = all };
	auto_fd root = inside_root(c);
	struct mounts m;
	int ret = root < 0 ? root : mounts_read(c, &m);

	for (size_t i = 0; i < all->n && !ret; i++)
		if (all->v[i].made && strcmp(all->v[i].point, point) == 0)
			ret = fill(&own, &m, root, i);
	return ret;
}

/* Nothing is made any more, and no time changes by it. */
static int finish(const struct ckpt_unit *u)
{
	struct memory_mounts *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n; i++) {
		struct tmpfs_restore job = job_of(u->c, all, i);

		if (!ret && all->v[i].root >= 0)
			ret = tmpfs_restore_facts(&job);
		fd_close(fd_take(&all->v[i].root));
	}
	return ret;
}

const struct ckpt_kind kind_tmpfs = {
	.name = "tmpfs",
	.scope = KIND_CONTAINER,
	.table = &table,
	.collect = collect,
	.save = save,
	.prepare = prepare,
	.rebuild = { [PHASE_ROOT] = rebuild, [PHASE_SIGNALS] = finish },
};
