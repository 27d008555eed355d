/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "super/cow_priv.h"

#define TEMP LAYER_HALF

static int text(int ret, const char *what)
{
	return ret < 0 ? fail(-ret, "%s: %s", what, err_reason(-ret)) : ret;
}

static int open_parent(const struct layer *l, const char *path)
{
	char parent[PATH_MAX];

	snprintf(parent, sizeof(parent), "%.*s", (int)layer_parent_len(path), path);
	return text(fd_open(l->lower, *parent ? parent : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
			    LAYER_IN_LOWER),
		    "open its directory");
}

static int copy_file(int from, const struct stat *st, int dir, bool flush)
{
	auto_fd in = fd_reopen(from, O_RDONLY | O_NOCTTY), out = -1;
	int ret;

	if (in < 0)
		return text(in, "open it");
	out = openat(dir, TEMP, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	ret = layer_copy_contents(in, out, st->st_size);
	if (ret)
		return ret;
	ret = layer_copy_facts(from, out, st);
	return ret || !flush || fsync(out) == 0 ? ret : -errno;
}

static int copy_other(int from, const struct stat *st, int dir)
{
	char target[PATH_MAX];
	auto_fd out = -1;
	ssize_t n;

	if (S_ISLNK(st->st_mode)) {
		n = readlinkat(from, "", target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		if (symlinkat(target, dir, TEMP) < 0)
			return -errno;
	} else if (mknodat(dir, TEMP, st->st_mode & (S_IFMT | 0700), st->st_rdev) < 0) {
		return -errno;
	}
	out = fd_open(dir, TEMP, O_PATH | O_NOFOLLOW, 0, LAYER_IN_LOWER);
	return out < 0 ? out : layer_copy_facts(from, out, st);
}

static int make_temp(struct layer *l, const struct cow_item *item, int dir)
{
	int ret = fd_remove_tree(dir, TEMP);
	auto_fd first = -1;
	char from[32];

	if (ret)
		return ret;
	if (S_ISDIR(item->st->st_mode))
		return mkdirat(dir, TEMP, 0700) < 0 ? -errno : 0;
	if (S_ISREG(item->st->st_mode) && !item->link)
		return copy_file(item->fd, item->st, dir, item->low);
	if (!item->link)
		return copy_other(item->fd, item->st, dir);
	first = fd_open(l->lower, item->link, O_PATH | O_NOFOLLOW, 0, LAYER_IN_LOWER);
	if (first < 0)
		return first;
	snprintf(from, sizeof(from), "/proc/self/fd/%d", first);
	return linkat(AT_FDCWD, from, dir, TEMP, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

/* A directory comes and goes by an exchange: rename(2) puts it in no other's place. Where the file
 * system has none, what was there goes first. */
static int put_temp(const struct cow_item *item, int dir)
{
	const char *name = layer_last(item->path);
	const bool dirs = item->low && (S_ISDIR(item->low->st_mode) || S_ISDIR(item->st->st_mode));
	int ret;

	if (dirs && renameat2(dir, TEMP, dir, name, RENAME_EXCHANGE) == 0)
		return fd_remove_tree(dir, TEMP);
	if (dirs && errno != EINVAL)
		return -errno;
	ret = dirs ? fd_remove_tree(dir, name) : 0;
	return ret || renameat(dir, TEMP, dir, name) == 0 ? ret : -errno;
}

static int replace(struct layer *l, const struct cow_item *item, int dir)
{
	int ret = make_temp(l, item, dir);

	if (!ret)
		ret = put_temp(item, dir);
	if (ret)
		fd_remove_tree(dir, TEMP);
	return ret;
}

/* Who may not write a directory of his own still may commit into it; should he be killed now, its
 * mode is one more change. */
static int replace_in(struct layer *l, const struct cow_item *item, int dir)
{
	int ret = replace(l, item, dir);
	mode_t was;

	if (ret != -EACCES || layer_loosen(dir, &was))
		return ret;
	ret = replace(l, item, dir);
	layer_tighten(dir, was);
	return ret;
}

int cow_apply_file(struct layer *l, const struct cow_item *item)
{
	auto_fd dir = open_parent(l, item->path);

	if (dir < 0)
		return dir;
	return text(replace_in(l, item, dir),
		    S_ISDIR(item->st->st_mode) ? "make the directory" : "write it");
}

int cow_apply_facts(struct layer *l, const struct cow_item *item, unsigned fields)
{
	const struct stat *st = item->st;
	auto_fd to = fd_open(l->lower, *item->path ? item->path : ".", O_PATH | O_NOFOLLOW, 0,
			     LAYER_IN_LOWER);
	char name[32];
	int ret;

	if (to < 0)
		return text(to, "open it");
	snprintf(name, sizeof(name), "/proc/self/fd/%d", to);
	if ((fields & COW_OWNER) && fchownat(to, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0)
		return text(-errno, "give it to its owner");
	ret = fields & COW_XATTRS ? layer_copy_xattrs(item->fd, to) : 0;
	if (ret)
		return text(ret, "set its attributes");
	if ((fields & (COW_MODE | COW_OWNER | COW_XATTRS)) && !S_ISLNK(st->st_mode) &&
	    chmod(name, st->st_mode & 07777) < 0)
		return text(-errno, "set its mode");
	ret = layer_keep_times(to, st);
	/* a directory of another user's, in which this one may make files */
	return ret == -EPERM && S_ISDIR(st->st_mode) ? 0 : text(ret, "set its times");
}

int cow_apply_removal(struct layer *l, const char *path)
{
	auto_fd dir = open_parent(l, path);
	mode_t was;
	int ret;

	if (dir < 0)
		return dir;
	ret = fd_remove_tree(dir, layer_last(path));
	if (ret == -EACCES && layer_loosen(dir, &was) == 0) {
		ret = fd_remove_tree(dir, layer_last(path));
		layer_tighten(dir, was);
	}
	return ret ? fail(-ret, "%s", err_reason(-ret)) : 0;
}

int cow_apply_clean(struct layer *l, const char *path)
{
	auto_fd dir = fd_open(l->lower, *path ? path : ".", O_PATH | O_DIRECTORY | O_NOFOLLOW, 0,
			      LAYER_IN_LOWER);
	int ret = dir < 0 ? dir : fd_remove_tree(dir, TEMP);

	return text(ret, "remove what an earlier commit left");
}

int cow_apply_sync(struct layer *l)
{
	auto_fd dir = openat(l->lower, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (dir < 0 || syncfs(dir) < 0)
		return fail_errno("write the committed files to the disk");
	return 0;
}

/*
 * First what hides something goes: all that is hidden is no more, so nothing changes by that. Of
 * the rest each file is the same as the lower one, whether it is still there or not.
 */
static int uncover(void *arg, const char *path, const struct stat *st)
{
	struct layer *l = arg;
	auto_fd dir = -1;

	if (layer_is_whiteout(st))
		return layer_drop_white(l->upper, path);
	if (!S_ISDIR(st->st_mode))
		return 0;
	dir = layer_open_dir(l->upper, path);
	return dir < 0 ? dir : layer_clear_opaque(dir);
}

struct emptying {
	struct layer *l;
	bool some;
};

/* Out of the upper directory in one step each, however much is in it, then to pieces. */
static int empty(void *arg, int dir, const struct dirent64 *e)
{
	struct emptying *m = arg;
	char temp[LAYER_NAME];

	m->some = true;
	layer_temp(m->l, temp);
	if (renameat(dir, e->d_name, m->l->work, temp) < 0)
		return fd_remove_tree(dir, e->d_name);
	return fd_remove_tree(m->l->work, temp);
}

int cow_apply_unlink(struct layer *l)
{
	l->linked = false;
	return text(fd_remove_tree(l->work, LAYER_LINKS), "forget the names of files");
}

int cow_discard(struct layer *l)
{
	auto_fd dir = layer_open_dir(l->upper, ".");
	struct emptying m = { .l = l, .some = true };
	int ret = dir < 0 ? dir : 0;
	struct stat st;

	while (!ret && m.some) {
		m.some = false;
		ret = layer_each(dir, empty, &m);
	}
	if (!ret)
		ret = cow_apply_unlink(l);
	layer_prepare(l);
	if (!ret && fstat(l->lower, &st) < 0)
		ret = -errno;
	if (!ret)
		ret = layer_copy_facts(l->lower, l->upper, &st);
	return text(ret, "empty the upper directory");
}

int cow_apply_empty(struct layer *l)
{
	const struct layer_visit visit = { .entry = uncover, .arg = l };
	int ret = layer_walk(l->upper, true, &visit);

	return ret ? text(ret, "uncover what the upper directory hides") : cow_discard(l);
}
