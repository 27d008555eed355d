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
	fd_close(fd_take(&p->fd));
}

int place_open(struct walk *w, int fd, struct place *out)
{
	int ret;

	place_close(out);
	out->fd = fd;
	ret = map_identify(fd, &out->id);
	if (ret)
		return ret;
	out->in = map_of_known(w->map, fd, &out->id, out->rel, &out->side);
	out->gone = out->in && out->side == LAYER_NOWHERE;
	/* there may be another one above it by now */
	if (out->in && out->side == LAYER_LOWER && S_ISDIR(out->id.mode) && w->out->text[0])
		place_close(out);
	return 0;
}

int place_dup(struct place *from, struct place *to)
{
	int fd, ret = place_find(from);

	if (ret)
		return ret;
	fd = fcntl(from->fd, F_DUPFD_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	place_set(to, fd, &from->id);
	to->in = from->in;
	to->side = from->side;
	to->gone = from->gone;
	if (from->in)
		strcpy(to->rel, from->rel);
	return 0;
}

void place_set(struct place *p, int fd, const struct map_id *id)
{
	place_close(p);
	p->in = NULL;
	p->gone = false;
	p->fd = fd;
	p->id = *id;
}

bool place_same(const struct place *a, const struct place *b)
{
	if (a->in != b->in || a->gone != b->gone)
		return false;
	if (a->in && !a->gone)
		return strcmp(a->rel, b->rel) == 0;
	return a->id.ino == b->id.ino && a->id.dev == b->id.dev && a->id.mount == b->id.mount;
}

int place_find(struct place *p)
{
	struct layer_entry found;
	int ret;

	if (p->fd >= 0)
		return 0;
	ret = layer_find(&p->in->layer, p->rel, &found);
	if (!ret && found.fd < 0)
		ret = -ENOENT;
	if (ret)
		return ret;
	p->fd = found.fd;
	p->side = found.side;
	return map_identify(p->fd, &p->id);
}

uint64_t place_mount(const struct place *p)
{
	return p->in ? p->in->native_id.mount : p->id.mount;
}

int path_root(struct walk *w)
{
	int fd;

	if (w->root.fd >= 0 || w->root.in)
		return 0;
	fd = guest_root(w->n);
	return fd < 0 ? fd : place_open(w, fd, &w->root);
}

bool path_is_barred(const struct walk *w, uint64_t mount)
{
	return w->resolve & RESOLVE_NO_XDEV && mount != place_mount(&w->at);
}
