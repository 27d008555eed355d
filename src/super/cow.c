/* SPDX-License-Identifier: Apache-2.0 */
#include "super/cow.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "super/guest.h"

/* What a layer has, by its mode. */
static const struct {
	bool upper, work, lower;
} has[] = {
	[LAYER_RO] = { .lower = true },
	[LAYER_RW] = { .upper = true },
	[LAYER_COW] = { .upper = true, .work = true, .lower = true },
};

static int describe(int fd, char *path, uint64_t *out_mount)
{
	struct statx stx;
	int ret;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID | STATX_TYPE, &stx) < 0)
		return -errno;
	if (!S_ISDIR(stx.stx_mode))
		return -ENOTDIR;
	ret = fd_path(fd, path, PATH_MAX);
	if (!ret)
		*out_mount = stx.stx_mnt_id;
	return ret;
}

static int describe_all(struct map_entry *e, int upper, int work, int lower)
{
	int ret = upper < 0 ? 0 : describe(upper, e->upper_path, &e->upper_mount);
	uint64_t mount;

	if (!ret && work >= 0)
		ret = describe(work, e->work_path, &mount);
	return ret || lower < 0 ? ret : describe(lower, e->lower_path, &e->lower_mount);
}

static bool is_there(const struct map_entry *e)
{
	return e->layer.upper >= 0 || e->layer.lower >= 0;
}

static int fill(struct map_entry *e, int *upper, int *work, int *lower)
{
	int ret = describe_all(e, *upper, *work, *lower);

	if (ret)
		return ret;
	e->layer.upper = fd_take(upper);
	e->layer.work = fd_take(work);
	e->layer.lower = fd_take(lower);
	layer_prepare(&e->layer);
	return 0;
}

int cow_take(struct cow *c, size_t index, int *fds, size_t n)
{
	struct map_entry *e = index < c->map.n ? &c->map.v[index] : NULL;
	int none = -1;

	if (!e || n != (size_t)has[e->layer.mode].upper + has[e->layer.mode].work +
				  has[e->layer.mode].lower)
		return -EINVAL;
	if (is_there(e))
		return -EEXIST;
	return fill(e, has[e->layer.mode].upper ? &fds[0] : &none,
		    has[e->layer.mode].work ? &fds[1] : &none,
		    has[e->layer.mode].lower ? &fds[n - 1] : &none);
}

static bool has_all(const struct map *m)
{
	for (size_t i = 0; i < m->n; i++)
		if (!is_there(&m->v[i]))
			return false;
	return true;
}

int cow_settle(struct cow *c, int *fds, size_t n)
{
	if (n != 1 + c->map.n || !has_all(&c->map))
		return -EINVAL;
	return c->map.settled ? -EEXIST : map_settle(&c->map, &fds[0], &fds[1]);
}

bool cow_complete(const struct cow *c)
{
	return c->map.settled;
}

struct cow *cow_new(struct arena *a, const struct super_config *config)
{
	struct cow *c = arena_alloc(a, sizeof(*c));

	c->named = c->clients = config->restored;
	c->map.confined = config->confined;
	for (size_t i = 0; i < config->n_dirs && i < SUPER_MAP_MAX; i++) {
		const struct super_dir *d = &config->dirs[i];
		struct map_entry *e = &c->map.v[c->map.n++];
		int upper = d->upper, work = d->work, lower = d->lower, ret;

		e->guest = arena_strdup(a, d->guest);
		e->guest_len = strlen(e->guest);
		e->layer = (struct layer){
			.mode = d->mode,
			.upper = -1,
			.lower = -1,
			.work = -1,
			.quota = d->quota,
			.watched = config->restored,
			.late = &c->late,
		};
		e->upper_path = arena_alloc(a, PATH_MAX);
		e->lower_path = arena_alloc(a, PATH_MAX);
		e->work_path = arena_alloc(a, PATH_MAX);
		ret = fill(e, &upper, &work, &lower);
		if (ret) {
			fail(-ret, "look at what %s is made of: %s", e->guest, err_reason(-ret));
			return NULL;
		}
	}
	return c;
}

static int open_place(struct layer *l, const char *rel)
{
	const int flags = O_PATH | O_DIRECTORY;
	int from = l->mode == LAYER_RO ? l->lower : l->upper;

	return l->mode == LAYER_COW ? layer_open_up(l, rel)
				    : fd_open_beneath(from, *rel ? rel : ".", flags);
}

/* The directory of the map that it is in, and the path there. */
static struct layer *layer_of(struct cow *c, const char *path, const char **out_rel)
{
	for (size_t i = 0; i < c->map.n; i++) {
		struct map_entry *e = &c->map.v[i];
		const char *rel = path + e->guest_len;

		if (strncmp(path, e->guest, e->guest_len) != 0 || (*rel && *rel != '/'))
			continue;
		*out_rel = rel + strspn(rel, "/");
		return &e->layer;
	}
	return NULL;
}

int cow_place(struct cow *c, const char *path)
{
	const char *rel;
	struct layer *l = layer_of(c, path, &rel);
	auto_fd fd = l ? open_place(l, rel) : -ENOENT;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0)
		return fd < 0 ? fd : -errno;
	return S_ISDIR(st.st_mode) ? fd_take(&fd) : -ENOTDIR;
}

int cow_look(struct cow *c, const char *path)
{
	struct layer_entry e = { .fd = -1 };
	const char *rel;
	struct layer *l = layer_of(c, path, &rel);
	int ret = l ? layer_find(l, rel, &e) : -ENOENT;

	return ret ? ret : e.fd < 0 ? -ENOENT : e.fd;
}

int cow_side(const struct cow *c, size_t index, enum layer_side side)
{
	const struct layer *l = index < c->map.n ? &c->map.v[index].layer : NULL;

	if (!l || side == LAYER_NOWHERE)
		return -1;
	return side == LAYER_UPPER ? l->upper : l->lower;
}

static int settle(struct cow *c, struct notif *n)
{
	int ret = c->settled ? 0 : guest_join(n);

	c->settled = !ret;
	return ret;
}

int cow_become(struct cow *c, struct notif *n)
{
	int ret = settle(c, n);

	return ret ? ret : guest_become(n);
}

int cow_become_real(struct cow *c, struct notif *n)
{
	int ret = settle(c, n);

	return ret ? ret : guest_become_real(n);
}
