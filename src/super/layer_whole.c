/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_priv.h"
#include "super/notif.h"

#define PART_US 5000

struct whole {
	struct layer *l;
	char path[PATH_MAX];
	size_t len;
	int64_t end; /* of this part, once there is something in it; 0: not yet, or there is none */
};

static int64_t now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static int copy_one(struct whole *w)
{
	int ret = layer_copy_up(w->l, w->path);

	if (!ret && w->l->late && !w->end)
		w->end = now() + PART_US;
	return ret;
}

/* An entry of the lower directory: 1 where what is beneath it doesn't show. */
static int copy_below(void *arg, const char *path, const struct stat *st)
{
	struct whole *w = arg;
	struct layer_entry e;
	int ret = snprintf(w->path + w->len, sizeof(w->path) - w->len, "/%s", path);

	(void)st;
	if ((size_t)ret >= sizeof(w->path) - w->len)
		return -ENAMETOOLONG;
	if (w->end && now() >= w->end) {
		w->l->late->asked = LAYER_LATE_TURN;
		return -NOTIF_LATER;
	}
	ret = layer_find(w->l, w->path, &e);
	if (ret)
		return ret;
	fd_close(e.fd);
	if (e.side == LAYER_LOWER)
		return copy_one(w);
	return e.side == LAYER_UPPER && S_ISDIR(e.st.st_mode) ? 0 : 1;
}

/* Where the copies of what is at path have come to. What has been passed was copied or doesn't
 * show, and never will: nothing of the lower side comes back, nor comes to another place. */
static struct layer_whole *whole_of(struct layer *l, const char *path)
{
	struct layer_whole *v = l->late->wholes, *oldest = v;

	for (size_t i = 0; i < LAYER_WHOLE_MAX; i++) {
		if (v[i].layer == l && strcmp(v[i].path, path) == 0)
			return &v[i];
		if (v[i].used < oldest->used)
			oldest = &v[i];
	}
	oldest->layer = l;
	strcpy(oldest->path, path);
	layer_way_begin(&oldest->way);
	return oldest;
}

static void forget(struct layer_whole *whole)
{
	whole->layer = NULL;
	whole->used = 0;
}

void layer_late_rest(struct layer_late *late)
{
	for (size_t i = 0; i < LAYER_WHOLE_MAX; i++)
		forget(&late->wholes[i]);
}

static int copy_in_parts(struct layer *l, int below, const struct layer_visit *visit,
			 const char *path)
{
	struct layer_whole *whole = whole_of(l, path);
	int ret = layer_walk_on(below, false, visit, &whole->way);

	if (ret == -NOTIF_LATER)
		whole->used = ++l->late->turns;
	else
		forget(whole);
	return ret;
}

int layer_copy_whole(struct layer *l, const char *path)
{
	auto_fd below = layer_below_dir(l, path, strlen(path));
	struct whole w = { .l = l };
	const struct layer_visit visit = { .entry = copy_below, .arg = &w };
	int ret = layer_copy_up(l, path);

	if (ret || below < 0)
		return ret;
	w.len = (size_t)snprintf(w.path, sizeof(w.path), "%s", path);
	return l->late ? copy_in_parts(l, below, &visit, path) : layer_walk(below, false, &visit);
}
