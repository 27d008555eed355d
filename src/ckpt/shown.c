/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/shown.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/inside.h"
#include "ckpt/kind.h"
#include "ckpt/tmpfs.h"
#include "jail/plan.h"
#include "sandbox.h"
#include "supervise.h"

#define RESOLVE (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
#define NEW_MODE 0600 /* of what O_TMPFILE makes */

static const struct {
	const char *word;
	enum layer_side side;
} sides[] = {
	{ "upper:", LAYER_UPPER },
	{ "lower:", LAYER_LOWER },
};
#define SIDES (sizeof(sides) / sizeof(sides[0]))

/* Of what the supervisor shows, in its order. */
struct shown {
	struct shown_dir {
		const char *guest;
		int fd[SIDES];
		char *path[SIDES]; /* as links of /proc have it */
	} v[SUPER_MAP_MAX];
	size_t n;
	/* of shown_find() */
	struct shown_found {
		struct shown_inode what;
		const char *name;
	} * found;
	size_t n_found, found_room;
};

/* ---- what there is */

static int ask_one(struct ckpt *c, int connection, struct shown *s)
{
	struct shown_dir *d = &s->v[s->n];
	int ret = 0;

	for (size_t k = 0; k < SIDES; k++)
		d->fd[k] = -1;
	for (size_t k = 0; k < SIDES && !ret; k++) {
		d->path[k] = arena_alloc(c->arena, PATH_MAX);
		ret = d->fd[k] = super_ask_side(connection, s->n, sides[k].side);
		if (ret >= 0)
			ret = fd_path(d->fd[k], d->path[k], PATH_MAX);
	}
	s->n++;
	return ret < 0 ? fail_in(ret, "%s", d->guest) : 0;
}

int shown_ask(struct ckpt *c)
{
	const struct sandbox *sb = c->sb ? c->sb : c->subject->sb;
	const uint32_t notified = c->task ? c->task->layers.notified : sb->layers.notified;
	int ret = 0;

	c->shown = notified ? arena_alloc(c->arena, sizeof(*c->shown)) : NULL;
	for (size_t i = 0; i < sb->layers.n && !ret; i++) {
		if (!(notified & 1u << i))
			continue;
		c->shown->v[c->shown->n].guest = sb->layers.dirs[i].guest;
		ret = ask_one(c, c->task ? c->task->supervisor : c->subject->supervisor, c->shown);
	}
	return ret;
}

void shown_end(struct ckpt *c)
{
	for (size_t i = 0; c->shown && i < c->shown->n; i++)
		for (size_t k = 0; k < SIDES; k++)
			fd_close(fd_take(&c->shown->v[i].fd[k]));
}

/* ---- names */

static size_t side_of(const char *name)
{
	size_t k = 0;

	while (k < SIDES && !str_starts(name, sides[k].word))
		k++;
	return k;
}

bool shown_is(const char *path)
{
	size_t k = side_of(path);

	return k < SIDES && path[strlen(sides[k].word)] == '/';
}

bool shown_is_path(const char *path)
{
	return path[0] == '/' || shown_is(path);
}

/* What follows the root's path in another one, without the slash between; NULL. */
static const char *tail_of(const char *path, const char *root)
{
	size_t len = strcmp(root, "/") == 0 ? 0 : strlen(root);

	if (strncmp(path, root, len) != 0 || (path[len] && path[len] != '/'))
		return NULL;
	return path + len + (path[len] == '/');
}

struct errand {
	int dir, flags, sock;
	const char *rel;
};

static int open_it(const struct errand *e)
{
	return fd_open(e->dir, e->rel, e->flags, (e->flags & O_TMPFILE) == O_TMPFILE ? NEW_MODE : 0,
		       RESOLVE);
}

static int open_there(void *ctx, int pipe)
{
	const struct errand *e = ctx;
	auto_fd fd = open_it(e);

	(void)pipe;
	return fd < 0 ? fail(-fd, "open: %s", err_reason(-fd)) : inside_hand(e->sock, fd);
}

/* By a child with the ids of the container's root, which hands it over. */
static int open_inside(struct ckpt *c, struct errand *e)
{
	const struct inside job = { .there = open_there, .ctx = e };

	return inside_fetch(c, &job, &e->sock);
}

/* What an ordinary user may not get to the container's root may. */
static int look_beneath(struct ckpt *c, int dir, const char *rel)
{
	struct errand e = {
		.dir = dir,
		.flags = O_PATH | O_NOFOLLOW,
		.rel = *rel ? rel : ".",
	};
	int ret = open_it(&e);

	return ret == -EACCES && inside_needed(c) ? open_inside(c, &e) : ret;
}

static bool is_there(struct ckpt *c, int dir, const char *rel, const struct stat *st)
{
	auto_fd fd = look_beneath(c, dir, rel);
	struct stat found;

	return fd >= 0 && fstat(fd, &found) == 0 && found.st_dev == st->st_dev &&
	       found.st_ino == st->st_ino;
}

const char *shown_name(struct ckpt *c, const char *text, const struct stat *st)
{
	for (size_t i = 0; c->shown && i < c->shown->n; i++) {
		const struct shown_dir *d = &c->shown->v[i];

		for (size_t k = 0; k < SIDES; k++) {
			const char *rel = tail_of(text, d->path[k]);

			if (rel && is_there(c, d->fd[k], rel, st))
				return arena_printf(c->arena, "%s%s%s%s", sides[k].word, d->guest,
						    *rel ? "/" : "", rel);
		}
	}
	return NULL;
}

/* ---- by number */

/* A walk over an upper directory. */
struct search {
	struct ckpt *c;
	const struct shown_inode *what;
	const char **dirs; /* yet to be listed */
	size_t n, room;
};

static bool is_it(int fd, const struct shown_inode *what)
{
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && (!what->dev || st.st_dev == what->dev) &&
	       ((st.st_ino ^ what->ino) & what->mask) == 0 &&
	       (!what->type || (st.st_mode & S_IFMT) == what->type);
}

static void add_dir(struct search *s, const char *rel)
{
	s->dirs = arena_grow(s->c->arena, s->dirs, s->n, &s->room, sizeof(*s->dirs));
	s->dirs[s->n++] = rel;
}

/* What may not be listed is not found there. */
static const char *search_dir(struct search *s, int root, const char *rel)
{
	int fd = fd_open(root, *rel ? rel : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, RESOLVE);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const char *found = NULL;
	struct dirent *e;

	if (!d) {
		fd_close(fd);
		return NULL;
	}
	while (!found && (e = readdir(d))) {
		const bool match = ((e->d_ino ^ s->what->ino) & s->what->mask) == 0;
		const char *path;

		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 ||
		    (!match && e->d_type != DT_DIR))
			continue;
		path = arena_printf(s->c->arena, "%s%s%s", rel, *rel ? "/" : "", e->d_name);
		auto_fd item = match ? look_beneath(s->c, root, path) : -1;
		if (match && is_it(item, s->what))
			found = path;
		if (e->d_type == DT_DIR)
			add_dir(s, path);
	}
	closedir(d);
	return found;
}

static const char *search(struct ckpt *c, const struct shown_dir *d, const struct shown_inode *what)
{
	struct search s = { .c = c, .what = what };
	const char *found = NULL;

	if (is_it(d->fd[0], what))
		return arena_printf(c->arena, "%s%s", sides[0].word, d->guest);
	add_dir(&s, "");
	for (size_t i = 0; i < s.n && !found; i++)
		found = search_dir(&s, d->fd[0], s.dirs[i]);
	return found ? arena_printf(c->arena, "%s%s/%s", sides[0].word, d->guest, found) : NULL;
}

static bool is_same(const struct shown_inode *a, const struct shown_inode *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->mask == b->mask && a->type == b->type;
}

/* Found before, and still there? */
static const char *recall(struct ckpt *c, const struct shown_inode *what)
{
	for (size_t i = c->shown->n_found; i > 0; i--) {
		const struct shown_found *f = &c->shown->found[i - 1];
		auto_fd fd = is_same(&f->what, what) ? shown_look(c, f->name) : -1;

		if (is_it(fd, what))
			return f->name;
	}
	return NULL;
}

const char *shown_find(struct ckpt *c, const struct shown_inode *what)
{
	struct shown *s = c->shown;
	const char *name = s ? recall(c, what) : NULL;

	for (size_t i = 0; s && i < s->n && !name; i++) {
		name = search(c, &s->v[i], what);
		if (!name)
			continue;
		s->found = arena_grow(c->arena, s->found, s->n_found, &s->found_room,
				      sizeof(*s->found));
		s->found[s->n_found++] = (struct shown_found){ *what, name };
	}
	return name;
}

/* What is removed goes through the work directory, which is beside the upper one. */
static bool was_in(const struct shown_dir *d, const char *text)
{
	const char *upper = d->path[0];
	char work[PATH_MAX];

	snprintf(work, sizeof(work), "%.*s" LAYERS_WORK,
		 (int)(strlen(upper) - strlen(LAYERS_UPPER)), upper);
	return tail_of(text, upper) || tail_of(text, work);
}

const char *shown_home(struct ckpt *c, const char *text, int64_t mount, dev_t dev)
{
	for (size_t i = 0; c->shown && i < c->shown->n; i++) {
		const struct shown_dir *d = &c->shown->v[i];
		struct stat st;
		uint64_t id;

		if (fstat(d->fd[0], &st) < 0 || tmpfs_mount_id(d->fd[0], &id))
			continue;
		if (mount >= 0 ? (uint64_t)mount == id : st.st_dev == dev && was_in(d, text))
			return arena_printf(c->arena, "%s%s", sides[0].word, d->guest);
	}
	return NULL;
}

/* ---- files */

/* The directory that it is in, and the path there. fd, not the caller's, or -errno with a text. */
static int find(struct ckpt *c, const char *name, const char **out_rel)
{
	const size_t k = side_of(name);
	const char *path = k < SIDES ? name + strlen(sides[k].word) : name, *rel;

	for (size_t i = 0; k < SIDES && c->shown && i < c->shown->n; i++) {
		rel = tail_of(path, c->shown->v[i].guest);
		if (!rel)
			continue;
		*out_rel = *rel ? rel : ".";
		return c->shown->v[i].fd[k];
	}
	return fail(ENOENT, "%s: no supervisor shows a directory there in the new configuration",
		    name);
}

bool shown_place_holds(struct ckpt *c, const char *name, uint64_t place)
{
	const char *path = name + strlen(sides[0].word), *rel;
	struct layer l = { .mode = LAYER_COW };

	if (side_of(name) != 0)
		return true;
	for (size_t i = 0; c->shown && i < c->shown->n; i++) {
		rel = tail_of(path, c->shown->v[i].guest);
		l.upper = c->shown->v[i].fd[0];
		l.lower = c->shown->v[i].fd[1];
		if (rel)
			return layer_place_holds(&l, rel, (int64_t)place);
	}
	return false;
}

int shown_look(struct ckpt *c, const char *name)
{
	const char *rel;
	int dir = find(c, name, &rel);

	return dir < 0 ? dir : look_beneath(c, dir, rel);
}

int shown_open(struct ckpt *c, const char *name, int flags)
{
	struct errand e = { .flags = (int)ckpt_how(flags).flags };
	int ret = e.dir = find(c, name, &e.rel);

	if (ret < 0)
		return ret;
	if (inside_needed(c)) {
		ret = open_inside(c, &e);
		return ret < 0 ? fail_in(ret, "%s", name) : ret;
	}
	ret = open_it(&e);
	return ret < 0 ? fail(-ret, "%s: open: %s", name, err_reason(-ret)) : ret;
}
