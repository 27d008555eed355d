/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files that are reached by their path again: regular ones, directories, devices, with O_PATH too;
 * and those of procfs, that may stand for a process of the tree, once that stands.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/kinds.h"
#include "ckpt/look.h"
#include "ckpt/shown.h"

/* Flags that make a file, or empty one. */
#define MAKES (O_CREAT | O_EXCL | O_TRUNC | (O_TMPFILE & ~O_DIRECTORY))

struct regular {
	const char *path; /* from the root of the container's init */
	uint32_t type;    /* S_IFMT of its mode */
};

static const struct record_field rows[] = {
	RECORD(TEXT, struct regular, "path", path, RECORD_MAX(PATH_MAX)),
	RECORD(U, struct regular, "type", type, RECORD_MAX(S_IFMT)),
};
static const struct record_table table = RECORD_TABLE(struct regular, rows);

/* Devices whose open description has no state beyond flags and position. linux:
 * admin-guide/devices.txt */
static bool is_plain_device(const struct stat *st)
{
	static const unsigned plain[] = { 3, 5, 7, 8, 9 }; /* null, zero, full, random, urandom */

	if (!S_ISCHR(st->st_mode) || major(st->st_rdev) != 1)
		return false;
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (minor(st->st_rdev) == plain[i])
			return true;
	return false;
}

static bool owns(const struct file_look *l)
{
	if (l->flags & O_PATH)
		return !S_ISLNK(l->st.st_mode) && l->link[0] == '/';
	return (S_ISREG(l->st.st_mode) || S_ISDIR(l->st.st_mode) || is_plain_device(&l->st)) &&
	       l->link[0] == '/';
}

static const char *check(const struct file_look *l)
{
	const char *name;

	if (l->st.st_nlink == 0)
		return "the file was removed: nothing leads to it any more";
	/* elsewhere the directory itself is what it was, and the place in it */
	if (S_ISDIR(l->st.st_mode) && l->pos && !(l->flags & O_PATH) &&
	    (l->fs_type == TMPFS_MAGIC || l->fs_type == RAMFS_MAGIC))
		return "the directory, which is in memory alone, is being read: in the one that is "
		       "made for it the place can't be found again";
	name = look_name(l->c, l->link, &l->st);
	if (!name)
		return "its path leads to something else now, or to nothing";
	if (S_ISDIR(l->st.st_mode) && l->pos && !(l->flags & O_PATH) && shown_is(name) &&
	    !shown_place_holds(l->c, name, l->pos))
		return "the directory is being read, and has come to the names that were made in "
		       "it: in the one that is made for it the place can't be found again";
	return NULL;
}

/* ---- of procfs */

static bool is_thread(const struct ckpt_proc *p, int number)
{
	for (size_t i = 1; i < p->n_threads; i++)
		if (p->threads[i]->tid == number)
			return true;
	return false;
}

static bool proc_owns(const struct file_look *l)
{
	return l->fs_type == PROC_SUPER_MAGIC && owns(l);
}

/* Threads are made when all files stand. Wherever it is mounted: .../7/task/9/... */
static const char *proc_check(const struct file_look *l)
{
	const char *task = strstr(l->link, "/task/");
	int number;

	if (task && sscanf(task, "/task/%d", &number) == 1)
		for (size_t i = 0; i < l->c->n_procs; i++)
			if (is_thread(l->c->procs[i], number))
				return "it is of a thread that is not its process's first";
	return check(l);
}

/* ---- both */

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	struct regular *r = f->record;

	r->type = l->st.st_mode & S_IFMT;
	r->path = look_name(l->c, l->link, &l->st);
	return r->path ? 0 : fail(ENOENT, "its path leads to something else now, or to nothing");
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	const struct regular *r = f->record;
	bool place = f->flags & O_PATH;
	auto_fd fd = -1;
	struct stat st;

	/* what the path leads to now may be something that is waited for when it is opened */
	fd = ckpt_open_path(c, r->path,
			    (int)(f->flags & ~(uint32_t)MAKES) | (place ? 0 : O_NONBLOCK));
	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0)
		return fail_errno("look at %s", r->path);
	if ((st.st_mode & S_IFMT) != r->type)
		return fail(EINVAL, "%s is of another sort of file than it was at the checkpoint",
			    r->path);
	if (place)
		return fd_take(&fd);
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode) && !is_plain_device(&st))
		return fail(EBADMSG, "%s is no file, directory or plain device", r->path);
	if (!(f->flags & O_NONBLOCK) && fcntl(fd, F_SETFL, (int)f->flags) < 0)
		return fail_errno("%s: set its flags", r->path);
	return fd_take(&fd);
}

const struct file_kind file_proc = {
	.name = "procfs",
	.table = &table,
	.owns = proc_owns,
	.check = proc_check,
	.collect = collect,
	.make = make,
	.after_tree = true,
	.keeps_pos = true,
};

const struct file_kind file_regular = {
	.name = "regular",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.keeps_pos = true,
};
