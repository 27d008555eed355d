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
#include "base/mem.h"
#include "super/cow_priv.h"

#define BLOCK 65536

/* A file of the upper side with several names, by the first that was met. */
struct name {
	ino_t ino;
	const char *path;
	bool there;      /* in the lower directory, as */
	struct stat low; /* this, before anything was done */
	bool told;
};

struct diff {
	struct layer *l;
	struct arena *a;
	bool apply;
	int (*row)(void *arg, const struct cow_change *change);
	void *arg;
	int ended; /* what row() returned */
	struct name *names;
	size_t n_names, room;
};

static const char *shown(const char *path)
{
	return *path ? path : "the directory itself";
}

static int tell(struct diff *d, const struct cow_change *c)
{
	d->ended = d->row ? d->row(d->arg, c) : 0;
	return d->ended ? -ECANCELED : 0;
}

/* What the lower directory has at path: O_PATH, or -ENOENT. */
static int look_below(const struct diff *d, const char *path, struct stat *out)
{
	int fd = layer_look(d->l->lower, path, LAYER_IN_LOWER, out);

	if (fd >= 0 && layer_is_whiteout(out)) {
		fd_close(fd);
		return -ENOENT;
	}
	if (fd == -ENOTDIR || fd == -ELOOP)
		return -ENOENT;
	return fd >= 0 || fd == -ENOENT ? fd : fail(-fd, "look at %s: %s", path, err_reason(-fd));
}

static int same_bytes(int a, int b)
{
	char mine[BLOCK], other[BLOCK];
	auto_fd x = fd_reopen(a, O_RDONLY | O_NOCTTY), y = fd_reopen(b, O_RDONLY | O_NOCTTY);
	ssize_t n, m;

	if (x < 0 || y < 0)
		return x < 0 ? x : y;
	for (off_t at = 0;; at += n) {
		n = pread(x, mine, sizeof(mine), at);
		m = n < 0 ? n : pread(y, other, sizeof(other), at);
		if (m < 0)
			return -errno;
		if (n != m || memcmp(mine, other, (size_t)n) != 0)
			return 0;
		if (n == 0)
			return 1;
	}
}

static int same_target(int a, int b)
{
	char mine[PATH_MAX], other[PATH_MAX];
	ssize_t n = readlinkat(a, "", mine, sizeof(mine));
	ssize_t m = readlinkat(b, "", other, sizeof(other));

	if (n < 0 || m < 0)
		return -errno;
	return n == m && memcmp(mine, other, (size_t)n) == 0;
}

/* 1, 0 or -errno; both are of one type. */
static int same_content(int up, const struct stat *st, int below, const struct stat *low)
{
	if (S_ISREG(st->st_mode))
		return st->st_size == low->st_size ? same_bytes(up, below) : 0;
	if (S_ISLNK(st->st_mode))
		return same_target(up, below);
	return st->st_rdev == low->st_rdev;
}

static bool same_time(const struct stat *a, const struct stat *b)
{
	return a->st_mtim.tv_sec == b->st_mtim.tv_sec && a->st_mtim.tv_nsec == b->st_mtim.tv_nsec;
}

static int differences(int up, const struct stat *st, int below, const struct stat *low)
{
	int fields = 0, ret = layer_xattrs_differ(up, below);

	if (ret < 0)
		return ret;
	fields |= ret ? COW_XATTRS : 0;
	fields |= layer_owner_differs(st, low) ? COW_OWNER : 0;
	fields |= layer_mode_differs(st, low) ? COW_MODE : 0;
	if (S_ISDIR(st->st_mode))
		return fields;
	fields |= same_time(st, low) ? 0 : COW_TIME;
	ret = same_content(up, st, below, low);
	return ret < 0 ? ret : fields | (ret ? 0 : COW_CONTENT);
}

static struct name *name_met(const struct diff *d, const struct stat *st)
{
	for (size_t i = 0; i < d->n_names; i++)
		if (d->names[i].ino == st->st_ino)
			return &d->names[i];
	return NULL;
}

static struct name *meet_name(struct diff *d, const char *path, const struct stat *st,
			      const struct stat *low)
{
	struct name *n;

	d->names = arena_grow(d->a, d->names, d->n_names, &d->room, sizeof(*d->names));
	n = &d->names[d->n_names++];
	*n = (struct name){ .ino = st->st_ino, .path = arena_strdup(d->a, path), .there = low };
	if (low)
		n->low = *low;
	return n;
}

static int removed(struct diff *d, const char *path, const struct stat *low)
{
	const struct cow_change c = { .what = COW_REMOVED, .path = path, .mode = low->st_mode };
	int ret = d->apply ? cow_apply_removal(d->l, path) : 0;

	return ret ? fail_in(ret, "remove %s", path) : tell(d, &c);
}

static enum cow_what what_of(const struct stat *st, const struct stat *low)
{
	if (!low)
		return COW_ADDED;
	return (st->st_mode ^ low->st_mode) & S_IFMT ? COW_REPLACED : COW_CHANGED;
}

static int changed(struct diff *d, const struct cow_item *item, unsigned fields)
{
	const struct cow_change c = {
		.what = what_of(item->st, item->low),
		.fields = fields,
		.path = item->path,
		.mode = item->st->st_mode,
		.was = item->low ? item->low->st_mode : 0,
		.size = S_ISREG(item->st->st_mode) ? (uint64_t)item->st->st_size : 0,
		.link = item->link,
	};
	/* one of several names of a file that is not this one any more, maybe */
	const bool alone = item->low && item->low->st_nlink < 2;
	int ret = 0;

	if (d->apply && S_ISDIR(item->st->st_mode))
		ret = c.what == COW_CHANGED ? 0 : cow_apply_file(d->l, item);
	else if (d->apply && c.what == COW_CHANGED && alone && !item->link &&
		 !(fields & COW_CONTENT))
		ret = cow_apply_facts(d->l, item, fields);
	else if (d->apply)
		ret = cow_apply_file(d->l, item);
	return ret ? fail_in(ret, "commit %s", shown(item->path)) : tell(d, &c);
}

/* Another name of a file that was met: does it have to become one in the lower directory? */
static unsigned names_differ(const struct name *first, const struct stat *low)
{
	bool same = low && first->there && low->st_ino == first->low.st_ino &&
		    low->st_dev == first->low.st_dev;

	return same ? 0 : COW_NAMES;
}

static int found(struct diff *d, struct cow_item *item, int below)
{
	const bool several = !S_ISDIR(item->st->st_mode) && item->st->st_nlink > 1;
	struct name *first = several ? name_met(d, item->st) : NULL;
	struct name *mine =
		several && !first ? meet_name(d, item->path, item->st, item->low) : NULL;
	int fields = 0;

	if (what_of(item->st, item->low) == COW_CHANGED)
		fields = differences(item->fd, item->st, below, item->low);
	if (fields < 0)
		return fail(-fields, "compare %s: %s", item->path, err_reason(-fields));
	if (first) {
		item->link = first->path;
		if (what_of(item->st, item->low) == COW_CHANGED)
			fields |= (int)names_differ(first, item->low);
	}
	if (what_of(item->st, item->low) == COW_CHANGED && !fields && !(first && first->told))
		return 0;
	if (mine)
		mine->told = true;
	return changed(d, item, (unsigned)fields);
}

struct hidden {
	struct diff *d;
	int upper;
	const char *path;
};

static int take_hidden(void *arg, int below, const struct dirent64 *e)
{
	struct hidden *h = arg;
	char path[PATH_MAX];
	struct stat st, low;
	int n;

	if (strcmp(e->d_name, LAYER_HALF) == 0 ||
	    fstatat(h->upper, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
		return 0;
	if (errno != ENOENT || fstatat(below, e->d_name, &low, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno("look at %s in %s", e->d_name, h->path);
	if (layer_is_whiteout(&low))
		return 0;
	n = snprintf(path, sizeof(path), "%s%s%s", h->path, *h->path ? "/" : "", e->d_name);
	if ((size_t)n >= sizeof(path))
		return fail(ENAMETOOLONG, "a path in %s is too long", h->path);
	return removed(h->d, path, &low);
}

/* An upper directory that shows nothing of the lower one: what it does not have itself is gone. */
static int tell_hidden(struct diff *d, const char *path)
{
	auto_fd upper = layer_open_dir(d->l->upper, path), below = -1;
	struct hidden h = { .d = d, .upper = upper, .path = path };

	if (upper < 0)
		return fail(-upper, "open %s: %s", path, err_reason(-upper));
	below = fd_open(d->l->lower, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_LOWER);
	if (below == -ENOENT || below == -ENOTDIR || below == -ELOOP)
		return 0;
	if (below < 0)
		return fail(-below, "open %s: %s", path, err_reason(-below));
	return layer_each(below, take_hidden, &h);
}

static int take_dir(struct diff *d, const char *path, bool was_dir)
{
	int ret = d->apply ? cow_apply_clean(d->l, path) : 0;

	return ret || !was_dir || !layer_hidden(d->l, path, strlen(path)) ? ret
									  : tell_hidden(d, path);
}

/* An entry of the upper directory. */
static int take(void *arg, const char *path, const struct stat *st)
{
	struct diff *d = arg;
	struct stat low;
	auto_fd below = look_below(d, path, &low), up = -1;
	struct cow_item item = { .path = path, .st = st, .low = below < 0 ? NULL : &low };
	int ret;

	if (below < 0 && below != -ENOENT)
		return below;
	if (!layer_is_whiteout(st) && strcmp(layer_last(path), LAYER_HALF) == 0)
		return fail(EEXIST, "%s has the name of what a commit has half done: rename it",
			    path);
	if (layer_is_whiteout(st))
		return below < 0 ? 0 : removed(d, path, &low);
	up = fd_open(d->l->upper, *path ? path : ".", O_PATH | O_NOFOLLOW, 0, LAYER_IN_UPPER);
	if (up < 0)
		return fail(-up, "open %s: %s", path, err_reason(-up));
	item.fd = up;
	ret = found(d, &item, below);
	if (ret || !S_ISDIR(st->st_mode))
		return ret;
	return take_dir(d, path, below >= 0 && S_ISDIR(low.st_mode));
}

/* All of a directory is done: it gets the facts that would have kept its owner from doing it, and
 * its times. */
static int left(void *arg, const char *path)
{
	struct diff *d = arg;
	struct stat st, low;
	auto_fd up = layer_look(d->l->upper, path, LAYER_IN_UPPER, &st);
	auto_fd below = up < 0 ? up : look_below(d, path, &low);
	struct cow_item item = { .path = path, .fd = up, .st = &st, .low = &low };
	int ret = below < 0 ? below : differences(up, &st, below, &low);

	if (ret < 0)
		return fail(-ret, "look at %s: %s", shown(path), err_reason(-ret));
	if (ret == 0 && same_time(&st, &low))
		return 0;
	ret = cow_apply_facts(d->l, &item, (unsigned)ret);
	return ret ? fail_in(ret, "commit %s", shown(path)) : 0;
}

static int bring(void *arg, const char *path, const struct stat *st)
{
	struct diff *d = arg;
	struct layer_entry e;
	int ret;

	if (strcmp(layer_last(path), LAYER_HALF) == 0)
		return 1;
	if (S_ISDIR(st->st_mode) || st->st_nlink < 2)
		return 0;
	ret = layer_find(d->l, path, &e);
	if (ret == -ENOENT || ret == -ENOTDIR || ret == -ELOOP)
		return 0;
	if (ret)
		return fail(-ret, "look at %s: %s", path, err_reason(-ret));
	fd_close(e.fd);
	return 0;
}

/* Names of a file that was copied by another of its names are that copy's. */
static int bring_all(struct diff *d)
{
	const struct layer_visit visit = { .entry = bring, .arg = d };

	if (layer_links_whole(d->l))
		return 0;
	return layer_walk(d->l->lower, false, &visit);
}

static int walk(struct diff *d)
{
	const struct layer_visit visit = { .entry = take,
					   .left = d->apply ? left : NULL,
					   .arg = d };
	struct stat st;
	int ret;

	if (fstat(d->l->upper, &st) < 0)
		return fail_errno("look at the upper directory");
	err_clear();
	/* whoever works with the layer may have made some */
	d->l->linked = true;
	ret = bring_all(d);
	if (!ret)
		ret = take(d, "", &st);
	if (!ret)
		ret = layer_walk(d->l->upper, true, &visit);
	if (!ret && d->apply)
		ret = left(d, "");
	/* the walk itself has no texts */
	if (ret && !err_last()->code)
		ret = fail(-ret, "walk through the upper directory: %s", err_reason(-ret));
	return d->ended ? d->ended : ret;
}

int cow_diff(struct layer *l, int (*row)(void *arg, const struct cow_change *change), void *arg)
{
	auto_arena a = arena_new();
	struct diff d = { .l = l, .a = a, .row = row, .arg = arg };

	return walk(&d);
}

int cow_commit(struct layer *l, bool live, int (*row)(void *arg, const struct cow_change *change),
	       void *arg)
{
	auto_arena a = arena_new();
	struct diff d = { .l = l, .a = a, .row = row, .arg = arg, .apply = true };
	int ret = walk(&d);

	if (!ret)
		ret = cow_apply_sync(l);
	if (!ret)
		ret = cow_apply_unlink(l);
	return ret || live ? ret : cow_apply_empty(l);
}
