/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A name that moves: what the upper side alone has, and covers nothing of the lower one, the kernel
 * moves. Else what moves is copied up whole before; then one renameat2(2) puts it in its new place
 * and a whiteout in the old one. Where something must go before it is a directory that is empty as
 * the guest sees it: nothing is lost should the supervisor end in between.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_priv.h"

/* One of both names. */
struct end {
	const char *path;
	struct layer_entry e;
	struct stat low; /* of the lower side, where */
	bool shows;      /* it would show without the upper one */
	int dir;         /* upper directory that it is in */
};

static void end_close(struct end *e)
{
	fd_close(e->e.fd);
	fd_close(e->dir);
}
#define auto_end __attribute__((cleanup(end_close))) struct end

static const char *name_of_end(const struct end *e)
{
	return layer_last(e->path);
}

static bool is_dir(const struct end *e)
{
	return e->e.side != LAYER_NOWHERE && S_ISDIR(e->e.st.st_mode);
}

static int open_end(struct layer *l, struct end *e)
{
	int ret = layer_find(l, e->path, &e->e);

	if (ret)
		return ret;
	e->shows = layer_shows(l, e->path, &e->low);
	e->dir = layer_up_dir(l, e->path, layer_parent_len(e->path));
	return e->dir < 0 ? e->dir : 0;
}

static bool is_within(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && (path[n] == '/' || n == 0);
}

/* What renameat2(2) says without having looked at rights: do_renameat2() in fs/namei.c. */
static int check_names(const struct end *from, const struct end *to, unsigned flags)
{
	if (from->e.side == LAYER_NOWHERE)
		return -ENOENT;
	if ((flags & RENAME_NOREPLACE) && to->e.side != LAYER_NOWHERE)
		return -EEXIST;
	if ((flags & RENAME_EXCHANGE) && to->e.side == LAYER_NOWHERE)
		return -ENOENT;
	if (is_within(to->path, from->path))
		return -EINVAL;
	if (is_within(from->path, to->path))
		return flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	return 0;
}

/* And vfs_rename() there. */
static int check_rights(struct layer *l, const struct end *from, const struct end *to,
			unsigned flags)
{
	const bool swap = flags & RENAME_EXCHANGE, there = to->e.side != LAYER_NOWHERE;
	struct stat a, b;
	int ret = layer_may_remove(from->dir, &from->e.st);

	if (!ret && there)
		ret = layer_may_remove(to->dir, &to->e.st);
	else if (!ret)
		ret = layer_may(to->dir, W_OK | X_OK);
	if (!ret && there && !swap && is_dir(from) != is_dir(to))
		ret = is_dir(from) ? -ENOTDIR : -EISDIR;
	if (!ret && (fstat(from->dir, &a) < 0 || fstat(to->dir, &b) < 0))
		ret = -errno;
	if (ret)
		return ret;
	if (a.st_ino != b.st_ino && is_dir(from))
		ret = layer_may(from->e.fd, W_OK);
	if (!ret && a.st_ino != b.st_ino && swap && is_dir(to))
		ret = layer_may(to->e.fd, W_OK);
	if (!ret && there && !swap && is_dir(to))
		ret = layer_empty(l, to->path);
	return ret;
}

/* Nothing of the lower side is needed for it any more, and shows through it, wherever it is. */
static int copy_whole(struct layer *l, const struct end *e, const struct end *other)
{
	auto_self who = guest_pause();
	auto_fd below = layer_below_dir(l, e->path, strlen(e->path)), up = -1, place = -1;
	int ret = layer_copy_whole(l, e->path);

	if (ret || !is_dir(e))
		return ret;
	up = layer_open_dir(l->upper, e->path);
	if (up < 0)
		return up;
	if (below >= 0)
		ret = layer_set_opaque(up, below);
	if (!ret && below >= 0)
		ret = layer_drop_whites(up);
	if (ret || !other->shows || !S_ISDIR(other->low.st_mode))
		return ret;
	place = fd_open(l->lower, other->path, O_RDONLY | O_DIRECTORY, 0, LAYER_IN_LOWER);
	return place < 0 ? place : layer_set_opaque(up, place);
}

static int move(const struct end *from, const struct end *to, unsigned flags)
{
	return renameat2(from->dir, name_of_end(from), to->dir, name_of_end(to), flags) < 0 ? -errno
											    : 0;
}

/* A whiteout comes to the new name, or is there, and both change places: in the order in which who
 * watches the directories (inotify(7)) is told last of what has moved. */
static int move_in_exchange(struct layer *l, const struct end *from, const struct end *to)
{
	int ret = layer_put_whiteout(l, to->dir, name_of_end(to));

	if (!ret)
		ret = move(to, from, RENAME_EXCHANGE);
	if (!ret && !from->shows && unlinkat(from->dir, name_of_end(from), 0) < 0)
		ret = -errno;
	return ret;
}

/* Over what the kernel lets be moved over. Where the file system does not make whiteouts itself,
 * what is there goes first. */
static int move_over(struct layer *l, const struct end *from, const struct end *to)
{
	int ret;

	if (!from->shows)
		return move(from, to, 0);
	ret = move(from, to, RENAME_WHITEOUT);
	return ret == -EINVAL ? move_in_exchange(l, from, to) : ret;
}

static int move_both(struct layer *l, struct end *from, struct end *to, unsigned flags)
{
	int ret = copy_whole(l, from, to);

	if (!ret && (flags & RENAME_EXCHANGE)) {
		ret = copy_whole(l, to, from);
		return ret ? ret : move(from, to, RENAME_EXCHANGE);
	}
	if (ret)
		return ret;
	auto_self who = guest_pause();
	if (to->e.side == LAYER_LOWER)
		ret = layer_links_cover(l, &to->e.st);
	if (ret)
		return ret;
	/* a directory goes over none that hides something, nor over a whiteout */
	return is_dir(to) || (is_dir(from) && to->e.whiteout) ? move_in_exchange(l, from, to)
							      : move_over(l, from, to);
}

/* The kernel's affair alone: nothing of the lower side shows before or afterwards. */
static bool is_plain(const struct layer *l, const struct end *from, const struct end *to,
		     unsigned flags)
{
	if (l->mode == LAYER_RW)
		return true;
	if (from->e.side != LAYER_UPPER || from->shows || to->e.whiteout)
		return false;
	if ((flags & RENAME_EXCHANGE) || is_dir(from) || is_dir(to))
		return to->e.side == LAYER_NOWHERE && !to->shows;
	return to->e.side == LAYER_NOWHERE || to->e.side == LAYER_UPPER;
}

static int rename_both(struct layer *l, struct end *from, struct end *to, unsigned flags)
{
	int ret = check_names(from, to, flags);

	if (ret)
		return ret;
	if (to->e.side != LAYER_NOWHERE && from->e.st.st_dev == to->e.st.st_dev &&
	    from->e.st.st_ino == to->e.st.st_ino)
		return 0;
	ret = check_rights(l, from, to, flags);
	return ret ? ret : move_both(l, from, to, flags);
}

int layer_rename(struct layer *l, const char *from_path, const char *to_path, unsigned flags)
{
	auto_end from = { .path = from_path, .e.fd = -1, .dir = -1 };
	auto_end to = { .path = to_path, .e.fd = -1, .dir = -1 };
	int ret;

	if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) ||
	    flags == (RENAME_NOREPLACE | RENAME_EXCHANGE))
		return -EINVAL;
	if (l->mode == LAYER_RO)
		return -EROFS;
	if (!*from_path || !*to_path)
		return -EBUSY;
	ret = open_end(l, &from);
	if (!ret)
		ret = open_end(l, &to);
	if (ret)
		return ret;
	l->shrunk = true;
	ret = is_plain(l, &from, &to, flags) ? move(&from, &to, flags)
					     : rename_both(l, &from, &to, flags);
	if (is_dir(&from) || is_dir(&to))
		layer_forget(l);
	return ret;
}
