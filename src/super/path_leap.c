/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "super/path_priv.h"

bool path_is_dots(const char *name, size_t len)
{
	return len <= 2 && name[0] == '.' && name[len - 1] == '.';
}

int path_join(char rel[PATH_MAX], const char *name)
{
	size_t len = strlen(rel), n = strlen(name);

	if (len + 1 + n >= PATH_MAX)
		return -ENAMETOOLONG;
	if (len)
		rel[len++] = '/';
	memcpy(rel + len, name, n + 1);
	return 0;
}

/* So many bytes of what is left, up to the name that has to be a step of its own. */
static size_t leap_len(const struct walk *w)
{
	size_t at = strspn(w->next, "/"), end = 0, len;
	unsigned names = 0;
	bool root = false;

	for (; w->next[at] && !root; at += strspn(w->next + at, "/")) {
		const char *name = w->next + at;

		len = strcspn(name, "/");
		if (len > NAME_MAX || path_is_dots(name, len))
			break;
		root = !w->at.in && map_has_name(w->map, name, len);
		at += len;
		/* the last one may be a link, or what the caller makes and wants the directory
		 * of */
		if (!w->next[at + strspn(w->next + at, "/")] &&
		    (w->next[at] || (w->flags & PATH_PARENT && !w->at.in)))
			break;
		end = at;
		names++;
	}
	return names > 1 ? end : 0;
}

static int leap_outside(struct walk *w, const char *names, bool last)
{
	auto_fd fd =
		fd_open(w->at.fd, names, O_PATH | O_NOFOLLOW, 0,
			RESOLVE_NO_SYMLINKS | RESOLVE_BENEATH | (w->resolve & RESOLVE_NO_XDEV));
	struct map_id id;
	struct stat st;
	int ret = fd < 0 ? fd : map_look(fd, &id, &st);

	if (ret == -ELOOP || ret == -EXDEV || ret == -EAGAIN || ret == -EACCES)
		return 1;
	if (ret)
		return ret;
	if (S_ISLNK(id.mode) && (!last || w->flags & PATH_FOLLOW))
		return 1;
	return path_arrive(w, fd_take(&fd), &id, &st);
}

static int leap_inside(struct walk *w, const char *names, bool last)
{
	struct layer_entry found = { .fd = -1 };
	char rel[PATH_MAX];
	int ret;

	strcpy(rel, w->at.rel);
	ret = path_join(rel, names);
	if (!ret)
		ret = layer_find(&w->at.in->layer, rel, &found);
	if (ret)
		return ret == -ELOOP ? 1 : ret;
	w->out->found.whiteout = found.whiteout;
	if (found.fd < 0 && !(last && w->flags & PATH_PARENT))
		return -ENOENT;
	if (found.fd >= 0 && S_ISLNK(found.st.st_mode) && (!last || w->flags & PATH_FOLLOW)) {
		fd_close(found.fd);
		return 1;
	}
	strcpy(w->at.rel, rel);
	w->missed = found.fd < 0;
	place_put(&w->at, &found);
	return 0;
}

/* The names without the slashes before and too many between. */
static void copy_names(char *to, const char *from, size_t len)
{
	size_t n = 0;

	for (size_t i = strspn(from, "/"); i < len; i++)
		if (from[i] != '/' || from[i + 1] != '/')
			to[n++] = from[i];
	to[n] = '\0';
}

int path_leap(struct walk *w)
{
	char names[PATH_MAX];
	size_t len = leap_len(w);
	bool last;
	int ret;

	if (!len || len >= sizeof(names) || w->at.gone ||
	    (w->at.in && map_has_below(w->map, w->at.in, w->at.rel)))
		return 1;
	last = !w->next[len];
	copy_names(names, w->next, len);
	ret = w->at.in ? leap_inside(w, names, last) : leap_outside(w, names, last);
	if (ret)
		return ret;
	w->next += len;
	w->out->last = PATH_NAME;
	return 0;
}
