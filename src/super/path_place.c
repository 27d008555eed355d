/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/guest.h"
#include "super/path_priv.h"

void place_close(struct place *p)
{
	if (!p->kept)
		fd_close(p->fd);
	p->fd = -1;
	p->kept = false;
}

static void find_out(struct walk *w, struct place *p)
{
	if (map_was_outside(w->map, &p->id))
		return;
	p->in = map_of_known(w->map, p->fd, &p->id, p->rel, &p->side);
	p->gone = p->in && p->side == LAYER_NOWHERE;
	if (!p->in && S_ISDIR(p->id.mode))
		map_note_outside(w->map, &p->id);
	/* there may be another one above it by now */
	if (p->in && p->side == LAYER_LOWER && S_ISDIR(p->id.mode) && w->out->text[0])
		place_close(p);
}

int place_open(struct walk *w, int fd, struct place *out)
{
	struct map_id id = { .dev = 0 };
	struct stat st = { .st_dev = 0 };
	int ret = map_look(fd, &id, &st);

	place_set(out, fd, &id, &st);
	if (!ret)
		find_out(w, out);
	return ret;
}

void place_set(struct place *p, int fd, const struct map_id *id, const struct stat *st)
{
	place_close(p);
	p->in = NULL;
	p->gone = false;
	p->fd = fd;
	p->id = *id;
	p->st = *st;
}

void place_put(struct place *p, const struct layer_entry *found)
{
	place_close(p);
	p->fd = found->fd;
	p->side = found->side;
	p->st = found->st;
}

void place_enter(struct place *p, struct map_entry *e)
{
	place_close(p);
	p->in = e;
	p->rel[0] = '\0';
	p->gone = false;
}

void place_borrow(struct place *from, struct place *to)
{
	place_close(to);
	to->in = from->in;
	to->side = from->side;
	to->gone = from->gone;
	to->fd = from->fd;
	to->kept = true;
	to->id = from->id;
	to->st = from->st;
	if (from->in)
		strcpy(to->rel, from->rel);
}

bool place_same(const struct place *a, const struct place *b)
{
	if (a->in != b->in || a->gone != b->gone)
		return false;
	if (a->in && !a->gone)
		return strcmp(a->rel, b->rel) == 0;
	return a->id.ino == b->id.ino && a->id.dev == b->id.dev && a->id.mount == b->id.mount;
}

/* To look at it nobody needs the right to search it, which opening "." would ask for. */
static int find_root(struct place *p)
{
	const struct layer *l = &p->in->layer;

	p->side = l->upper >= 0 ? LAYER_UPPER : LAYER_LOWER;
	p->fd = l->upper >= 0 ? l->upper : l->lower;
	p->kept = true;
	return fstat(p->fd, &p->st) < 0 ? -errno : 0;
}

int place_find(struct place *p)
{
	struct layer_entry found = { .fd = -1 };
	int ret;

	if (p->fd >= 0)
		return 0;
	if (!*p->rel)
		return find_root(p);
	ret = layer_find(&p->in->layer, p->rel, &found);
	if (!ret && found.fd < 0)
		ret = -ENOENT;
	if (!ret)
		place_put(p, &found);
	return ret;
}

int place_take(struct place *p)
{
	int fd;

	if (!p->kept)
		return fd_take(&p->fd);
	fd = fcntl(p->fd, F_DUPFD_CLOEXEC, 0);
	return fd < 0 ? -errno : fd;
}

uint64_t place_mount(const struct place *p)
{
	return p->in ? p->in->native_id.mount : p->id.mount;
}

static bool is_same(const struct map_id *a, const struct map_id *b)
{
	return a->ino == b->ino && a->dev == b->dev && a->mount == b->mount;
}

int path_root(struct walk *w)
{
	int fd, ret;

	if (w->root.fd >= 0 || w->root.in)
		return 0;
	if (guest_has_root(w->n)) {
		place_set(&w->root, w->map->root, &w->map->root_id, &(struct stat){ .st_dev = 0 });
		w->root.kept = true;
		return 0;
	}
	fd = guest_root(w->n);
	ret = fd < 0 ? fd : place_open(w, fd, &w->root);
	if (!ret && !w->root.in && is_same(&w->root.id, &w->map->root_id))
		guest_keep_root(w->n);
	return ret;
}

bool path_is_barred(const struct walk *w, uint64_t mount)
{
	return w->resolve & RESOLVE_NO_XDEV && mount != place_mount(&w->at);
}
