/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copy-on-write directories: the image has what the container has changed, as its upper layer has
 * it, whiteouts and overlayfs's attributes included. What is below is the host's and stays there.
 * It is put back into a new upper directory before anything is laid over the tree, so each
 * container that is restored from one image goes on with a layer of its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/engine.h"
#include "ckpt/kinds.h"
#include "ckpt/tmpfs.h"
#include "jail/plan.h"

#define WORD "layer"

struct saved_layer {
	const char *path; /* in the container */
};

struct saved_layers {
	struct saved_layer *v;
	size_t n;
};

static const struct record_field layer_rows[] = {
	RECORD(TEXT, struct saved_layer, "path", path, RECORD_MAX(PATH_MAX)),
};
static const struct record_table layer_table = RECORD_TABLE(struct saved_layer, layer_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct saved_layers, "layers", v, n, layer_table, RECORD_OPTIONAL,
		       RECORD_MAX(SUPER_MAP_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct saved_layers, rows);

static int open_upper(struct ckpt *c, const struct layers_dir *d)
{
	int fd = fd_open(AT_FDCWD, arena_printf(c->arena, "%s/" LAYERS_UPPER, d->store),
			 O_PATH | O_DIRECTORY, 0, 0);

	return fd < 0 ? fail(-fd, "open the upper directory of %s in %s: %s", d->guest, d->store,
			     err_reason(-fd))
		      : fd;
}

/* ---- dump */

/* The supervisor remembers in the work directory which names are of one file. */
static const char *refusal(struct ckpt *c, const struct layers_dir *d)
{
	auto_fd work = fd_open(AT_FDCWD, arena_printf(c->arena, "%s/" LAYERS_WORK, d->store),
			       O_PATH | O_DIRECTORY, 0, 0);

	if (d->mode != LAYER_COW || layer_links_whole(&(struct layer){ .work = work }))
		return NULL;
	return "a file with several names was changed under some of them, and under the others it "
	       "was not looked for yet";
}

static int check(const struct ckpt_unit *u)
{
	const struct layers_plan *l = &u->c->subject->sb->layers;
	const char *why;

	for (size_t i = 0; i < l->n; i++) {
		why = l->notified & 1u << i ? refusal(u->c, &l->dirs[i]) : NULL;
		if (why)
			ckpt_problem(u->c, NULL, -1, l->dirs[i].guest, "%s", why);
	}
	return 0;
}

static int collect(const struct ckpt_unit *u)
{
	const struct layers_plan *l = &u->c->subject->sb->layers;
	struct saved_layers *out = u->rec;
	const char *why;

	out->v = arena_array(u->c->arena, l->n, sizeof(*out->v));
	for (size_t i = 0; i < l->n; i++) {
		why = l->notified & 1u << i ? refusal(u->c, &l->dirs[i]) : NULL;
		if (why)
			return fail(ENOTSUP, "%s: %s", l->dirs[i].guest, why);
		if (l->dirs[i].mode == LAYER_COW)
			out->v[out->n++].path = l->dirs[i].guest;
	}
	return 0;
}

static const struct layers_dir *find(const struct sandbox *sb, const char *path)
{
	for (size_t i = 0; i < sb->layers.n; i++)
		if (sb->layers.dirs[i].mode == LAYER_COW &&
		    strcmp(sb->layers.dirs[i].guest, path) == 0)
			return &sb->layers.dirs[i];
	return NULL;
}

static int save(const struct ckpt_unit *u)
{
	const struct saved_layers *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n && !ret; i++) {
		auto_fd fd = open_upper(u->c, find(u->c->subject->sb, all->v[i].path));

		ret = fd < 0 ? fd : tmpfs_save(u->c, fd, WORD, i);
		if (ret)
			ret = fail_in(ret, "save what was changed in %s", all->v[i].path);
	}
	return ret;
}

/* ---- restore */

static int lost(const struct saved_layer *l)
{
	return fail(ENOENT,
		    "the image has what was changed in %s, which the new configuration does not "
		    "have in run.thole.cow",
		    l->path);
}

/* The others are filled by now. */
static int prepare(const struct ckpt_unit *u)
{
	const struct saved_layers *all = u->rec;

	for (size_t i = 0; i < all->n; i++)
		if (!find(u->c->sb, all->v[i].path))
			return lost(&all->v[i]);
	return 0;
}

static int check_empty(const struct layers_dir *d, int upper)
{
	auto_fd fd = fd_reopen(upper, O_RDONLY | O_DIRECTORY);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *e;
	bool empty = true;

	if (!dir)
		return fail_errno("read the upper directory of %s", d->guest);
	fd_take(&fd);
	while (empty && (e = readdir(dir)))
		empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
	closedir(dir);
	return empty ? 0
		     : fail(ENOTEMPTY,
			    "%s: %s/" LAYERS_UPPER " holds changes already, and the image brings "
			    "its own: it takes an empty one",
			    d->where, d->store);
}

static int fill(struct ckpt *c, const struct saved_layer *from, size_t number, uint32_t *filled)
{
	const struct layers_dir *d = find(c->sb, from->path);
	struct tmpfs_tree tree;
	struct tmpfs_restore job = {
		.c = c,
		.word = WORD,
		.number = number,
		.nodes = true,
		.tree = &tree,
		.point = from->path,
	};
	auto_fd upper = -1;
	int ret;

	if (!d)
		return lost(from);
	upper = job.root = open_upper(c, d);
	ret = upper < 0 ? upper : 0;
	if (!ret && !d->fresh)
		ret = check_empty(d, upper);
	if (!ret)
		ret = tmpfs_load(c, WORD, number, &tree);
	if (!ret)
		ret = tmpfs_restore(&job);
	if (!ret)
		ret = tmpfs_restore_facts(&job);
	*filled |= 1u << (d - c->sb->layers.dirs);
	return ret;
}

int ckpt_layers(struct arena *a, const struct ckpt_options *o, const struct record_codec *codec,
		const struct sandbox *sb, struct layers_found *out)
{
	struct ckpt c = { .arena = a, .codec = codec, .options = o, .sb = sb };
	const struct saved_layers *all;
	int ret = image_open(a, o->image_path, o->parent, codec, &c.image);

	if (!ret)
		ret = sections_read(&c);
	all = ret ? NULL : ckpt_section(&kind_layers, &(struct ckpt_unit){ .c = &c });
	if (!ret)
		c.procs[0]->host = out->init;
	for (size_t i = 0; all && i < all->n && !ret; i++)
		ret = fill(&c, &all->v[i], i, &out->filled);
	image_close(c.image);
	return ret;
}

const struct ckpt_kind kind_layers = {
	.name = "layers",
	.scope = KIND_CONTAINER,
	.table = &table,
	.check = check,
	.collect = collect,
	.save = save,
	.prepare = prepare,
};
