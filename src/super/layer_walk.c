/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_priv.h"

/* Only one directory is open at a time, and none is gone up from: each is opened anew from the
 * root, and goes on where it was left. */
struct walk {
	int root;
	bool upper;
	struct layer_way *way;
	const struct layer_visit *visit;
};

static int open_level(const struct walk *w)
{
	const char *path = w->way->len ? w->way->path : ".";

	if (w->upper)
		return layer_open_dir(w->root, path);
	return fd_open(w->root, path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_LOWER);
}

/* 1 where it is a directory to go down into: then the path is its own. */
static int take(struct walk *w, int dir, const char *name)
{
	struct layer_way *way = w->way;
	const size_t len = way->len, n = strlen(name), slash = len > 0;
	struct stat st;
	int ret;

	if (len + slash + n >= sizeof(way->path))
		return -ENAMETOOLONG;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : -errno;
	memcpy(way->path + len, "/", slash);
	memcpy(way->path + len + slash, name, n + 1);
	ret = w->visit->entry(w->visit->arg, way->path, &st);
	if (ret == 0 && S_ISDIR(st.st_mode)) {
		way->len = len + slash + n;
		return 1;
	}
	way->path[len] = '\0';
	return ret < 0 ? ret : 0;
}

/* 1 where it goes down, 0 at the end. */
static int take_level(struct walk *w, int dir)
{
	_Alignas(struct dirent64) char buf[4096];
	int64_t *at = &w->way->at[w->way->depth];
	const struct dirent64 *e;
	ssize_t n;
	int ret;

	if (lseek(dir, *at, SEEK_SET) < 0)
		return -errno;
	while ((n = getdents64(dir, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n; p += e->d_reclen) {
			e = (const struct dirent64 *)p;
			ret = layer_is_dots(e->d_name) ? 0 : take(w, dir, e->d_name);
			if (ret >= 0)
				*at = e->d_off;
			if (ret)
				return ret;
		}
	}
	return n < 0 ? -errno : 0;
}

/* Back to where the directory is in, once all of it was seen. */
static int leave(struct walk *w)
{
	const struct layer_visit *v = w->visit;
	struct layer_way *way = w->way;
	int ret = v->left ? v->left(v->arg, way->path) : 0;

	way->depth--;
	way->len = layer_parent_len(way->path);
	way->path[way->len] = '\0';
	return ret;
}

int layer_walk_on(int root, bool upper, const struct layer_visit *visit, struct layer_way *way)
{
	struct walk w = { .root = root, .upper = upper, .way = way, .visit = visit };
	int ret, dir;

	for (;;) {
		dir = open_level(&w);
		if (dir < 0)
			return dir;
		ret = take_level(&w, dir);
		fd_close(dir);
		if (ret > 0)
			way->at[++way->depth] = 0;
		else if (ret < 0 || way->depth == 0)
			return ret;
		else
			ret = leave(&w);
		if (ret < 0)
			return ret;
	}
}

int layer_walk(int root, bool upper, const struct layer_visit *visit)
{
	struct layer_way way;

	layer_way_begin(&way);
	return layer_walk_on(root, upper, visit, &way);
}
