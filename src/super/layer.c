/* SPDX-License-Identifier: Apache-2.0 */
#include "super/layer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "super/layer_priv.h"

static const char *or_dot(const char *path)
{
	return *path ? path : ".";
}

static int cut(const char *path, size_t len, char *out, size_t size)
{
	if (len >= size)
		return -ENAMETOOLONG;
	memcpy(out, path, len);
	out[len] = '\0';
	return 0;
}

size_t layer_parent_len(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? (size_t)(slash - path) : 0;
}

const char *layer_last(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

int layer_look(int dir, const char *path, uint64_t resolve, struct stat *out)
{
	auto_fd fd = fd_open(dir, or_dot(path), O_PATH | O_NOFOLLOW, 0, resolve);

	if (fd < 0)
		return fd;
	return fstat(fd, out) < 0 ? -errno : fd_take(&fd);
}

/* A whiteout hides nothing there, but is none of the names. */
static int look_lower(int dir, const char *path, struct stat *out)
{
	auto_fd fd = layer_look(dir, path, LAYER_IN_LOWER, out);

	if (fd >= 0 && (layer_is_whiteout(out) || strcmp(layer_last(path), LAYER_HALF) == 0))
		return -ENOENT;
	return fd_take(&fd);
}

static int open_dir(int root, const char *path, size_t len, uint64_t resolve)
{
	char prefix[PATH_MAX];
	int ret = cut(path, len, prefix, sizeof(prefix));

	return ret ? ret
		   : fd_open(root, or_dot(prefix), O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, resolve);
}

/* The end of the name that begins at `at`. */
static size_t name_end(const char *path, size_t at)
{
	return at + strcspn(path + at, "/");
}

/*
 * How far the upper side has directories on the way to path: *out_len, where the rest is the lower
 * side's affair. -ENOENT where a whiteout ends it before the last name, -ENOTDIR or -ELOOP where
 * something else does.
 */
static int upper_part(const struct layer *l, const char *path, size_t *out_len)
{
	size_t len = 0, parent = layer_parent_len(path), end;
	auto_fd dir = open_dir(l->upper, path, parent, LAYER_IN_UPPER);
	char name[NAME_MAX + 1];
	struct stat st;

	if (dir >= 0) {
		*out_len = parent;
		return 0;
	}
	if (dir != -ENOENT && dir != -ENOTDIR)
		return dir;
	for (size_t at = 0; at < parent; at = end + 1) {
		end = name_end(path, at);
		if (cut(path + at, end - at, name, sizeof(name)))
			return -ENAMETOOLONG;
		int next = layer_look(dir < 0 ? l->upper : dir, name, LAYER_IN_UPPER, &st);
		if (next == -ENOENT)
			break;
		if (next < 0)
			return next;
		fd_close(dir);
		dir = next;
		if (layer_is_whiteout(&st))
			return -ENOENT;
		if (!S_ISDIR(st.st_mode))
			return S_ISLNK(st.st_mode) ? -ELOOP : -ENOTDIR;
		len = end;
	}
	*out_len = len;
	return 0;
}

static bool is_clear(const struct layer *l, const char *path, size_t len)
{
	for (int i = 0; i < LAYER_CLEAR; i++)
		if (strncmp(l->clear[i], path, len) == 0 && !l->clear[i][len])
			return true;
	return false;
}

void layer_forget(struct layer *l)
{
	for (int i = 0; i < LAYER_CLEAR; i++)
		l->clear[i][0] = '\0';
}

static bool look_hidden(const struct layer *l, const char *path, size_t len)
{
	auto_self who = guest_pause();
	auto_fd dir = -1;
	char name[NAME_MAX + 1];
	size_t end;

	for (size_t at = 0; at < len; at = end + 1) {
		end = name_end(path, at);
		if (cut(path + at, end - at, name, sizeof(name)))
			return true;
		int next = layer_open_dir(dir < 0 ? l->upper : dir, name);
		if (next < 0)
			return next != -ENOENT;
		fd_close(dir);
		dir = next;
		if (layer_is_opaque(dir))
			return true;
	}
	return false;
}

bool layer_hidden(struct layer *l, const char *path, size_t len)
{
	const bool small = len < LAYER_CLEAR_LEN;

	if (len == 0 || (small && is_clear(l, path, len)))
		return false;
	if (look_hidden(l, path, len))
		return true;
	if (small)
		cut(path, len, l->clear[l->next_clear++ % LAYER_CLEAR], LAYER_CLEAR_LEN);
	return false;
}

int layer_below_dir(struct layer *l, const char *path, size_t len)
{
	auto_self who = guest_pause();
	auto_fd dir = l->lower < 0 ? -ENOENT : open_dir(l->lower, path, len, LAYER_IN_LOWER);

	if (dir < 0)
		return -ENOENT;
	return layer_hidden(l, path, len) ? -ENOENT : fd_take(&dir);
}

static int look_as_self(const struct layer *l, const char *path, struct stat *out)
{
	auto_self who = guest_pause();

	return layer_look(l->lower, path, LAYER_IN_LOWER, out);
}

bool layer_shows(struct layer *l, const char *path, struct stat *out)
{
	auto_fd fd = l->lower < 0 ? -ENOENT : layer_look(l->lower, path, LAYER_IN_LOWER, out);

	if (fd == -EACCES)
		fd = look_as_self(l, path, out);
	return fd >= 0 && !layer_is_whiteout(out) && !layer_hidden(l, path, layer_parent_len(path));
}

static void set_found(struct layer_entry *e, enum layer_side side, int fd, const struct stat *st)
{
	*e = (struct layer_entry){ .side = side, .fd = fd, .st = *st };
}

/* The directory is there, and may be looked into. */
static int may_be_in(int root, const char *path)
{
	int dir = open_dir(root, path, layer_parent_len(path), LAYER_IN_LOWER);

	fd_close(dir);
	return dir < 0 ? dir : 0;
}

/* With all of the guest's rights checked: those of the upper side's directories were where that was
 * asked, those of the lower side's beneath them are here. */
static int find_rest(struct layer *l, const char *path, size_t len, struct layer_entry *out)
{
	const char *rest = path + len + (len > 0);
	auto_fd below = layer_below_dir(l, path, len), dir = -1;
	size_t parent = layer_parent_len(rest);
	struct stat st;
	int fd;

	if (below < 0)
		return parent ? -ENOENT : 0;
	fd = look_lower(below, rest, &st);
	if (fd >= 0)
		set_found(out, LAYER_LOWER, fd, &st);
	if (fd != -ENOENT)
		return fd < 0 ? fd : 0;
	dir = open_dir(below, rest, parent, LAYER_IN_LOWER);
	return dir < 0 ? dir : 0;
}

/* The upper side said `error`: where that is -ENOENT nothing but directories is in the way
 * there. */
static int find_below(struct layer *l, const char *path, int error, struct layer_entry *out)
{
	size_t len;
	struct stat st;
	auto_fd fd = look_lower(l->lower, path, &st);
	int ret;

	if (fd >= 0 && error == -ENOENT && !layer_hidden(l, path, layer_parent_len(path))) {
		set_found(out, LAYER_LOWER, fd_take(&fd), &st);
		return 0;
	}
	ret = upper_part(l, path, &len);
	if (ret)
		return ret;
	if (fd == -ENOENT && len == layer_parent_len(path))
		return 0;
	/* all of the way is the lower side's */
	if (fd == -ENOENT && len == 0)
		return may_be_in(l->lower, path);
	if (fd < 0)
		return find_rest(l, path, len, out);
	if (layer_hidden(l, path, len))
		return len == layer_parent_len(path) ? 0 : -ENOENT;
	set_found(out, LAYER_LOWER, fd_take(&fd), &st);
	return 0;
}

static int find_plain(int root, enum layer_side side, const char *path, struct layer_entry *out)
{
	struct stat st;
	int fd = layer_look(root, path, LAYER_IN_LOWER, &st);

	if (fd >= 0)
		set_found(out, side, fd, &st);
	if (fd != -ENOENT)
		return fd < 0 ? fd : 0;
	return may_be_in(root, path);
}

int layer_find(struct layer *l, const char *path, struct layer_entry *out)
{
	struct stat st;
	int fd, ret;

	*out = (struct layer_entry){ .side = LAYER_NOWHERE, .fd = -1 };
	if (l->mode == LAYER_RO)
		return find_plain(l->lower, LAYER_LOWER, path, out);
	if (l->mode == LAYER_RW)
		return find_plain(l->upper, LAYER_UPPER, path, out);
	fd = layer_look(l->upper, path, LAYER_IN_UPPER, &st);
	if (fd >= 0 && layer_is_whiteout(&st)) {
		fd_close(fd);
		out->whiteout = true;
		return 0;
	}
	if (fd >= 0)
		set_found(out, LAYER_UPPER, fd, &st);
	if (fd != -ENOENT && fd != -ENOTDIR)
		return fd < 0 ? fd : 0;
	ret = find_below(l, path, fd, out);
	if (ret == 0 && out->side == LAYER_LOWER && l->linked && out->st.st_nlink > 1)
		ret = layer_links_bring(l, path, out);
	return ret;
}

/* Copies the directories from the root to path[0..len) that the upper side does not have. */
static int descend(struct layer *l, const char *path, size_t len)
{
	auto_fd dir = fd_open(l->upper, ".", O_PATH | O_DIRECTORY, 0, 0), from = -1;
	char name[NAME_MAX + 1];
	size_t end;
	int ret, next;

	for (size_t at = 0; dir >= 0 && at < len; at = end + 1) {
		end = name_end(path, at);
		if (cut(path + at, end - at, name, sizeof(name)))
			return -ENAMETOOLONG;
		next = open_dir(dir, name, end - at, LAYER_IN_UPPER);
		if (next == -ENOENT) {
			fd_close(from);
			from = open_dir(l->lower, path, end, LAYER_IN_LOWER);
			ret = from < 0 ? from : layer_copy_dir(l, from, dir, name);
			if (ret)
				return ret;
			next = open_dir(dir, name, end - at, LAYER_IN_UPPER);
		}
		fd_close(dir);
		dir = next;
	}
	return fd_take(&dir);
}

int layer_up_dir(struct layer *l, const char *path, size_t len)
{
	int dir = open_dir(l->upper, path, len,
			   l->mode == LAYER_COW ? LAYER_IN_UPPER : LAYER_IN_LOWER);

	if (l->mode != LAYER_COW || (dir != -ENOENT && dir != -EACCES))
		return dir;
	auto_self who = guest_pause();
	return descend(l, path, len);
}

static int drop_temp(void *arg, int dir, const struct dirent64 *e)
{
	(void)arg;
	return e->d_name[0] == 't' ? fd_remove_tree(dir, e->d_name) : 0;
}

void layer_prepare(struct layer *l)
{
	struct stat st;
	auto_fd work = l->work < 0 ? -1 : layer_open_dir(l->work, ".");

	layer_forget(l);
	if (work >= 0)
		layer_each(work, drop_temp, NULL);
	l->linked = l->work >= 0 && fstatat(l->work, LAYER_LINKS, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int copy_up(struct layer *l, const char *path, const struct layer_entry *e, bool contents)
{
	auto_self who = guest_pause();
	auto_fd dir = -1;
	struct stat st;
	int ret;

	if (S_ISDIR(e->st.st_mode))
		return layer_up_dir(l, path, strlen(path));
	dir = layer_up_dir(l, path, layer_parent_len(path));
	if (dir < 0)
		return dir;
	ret = layer_copy(l, e->fd, &e->st, dir, layer_last(path), contents);
	return ret ? ret : layer_look(dir, layer_last(path), LAYER_IN_UPPER, &st);
}

static int open_up(struct layer *l, const char *path, bool contents)
{
	struct layer_entry e;
	int ret = layer_find(l, path, &e);
	auto_fd fd = ret ? -1 : e.fd;

	if (ret)
		return ret;
	if (e.side == LAYER_NOWHERE)
		return -ENOENT;
	if (e.side == LAYER_UPPER)
		return fd_take(&fd);
	ret = contents ? 0 : layer_may(fd, W_OK);
	if (ret)
		return ret;
	return l->mode == LAYER_RO ? -EROFS : copy_up(l, path, &e, contents);
}

int layer_open_up(struct layer *l, const char *path)
{
	return open_up(l, path, true);
}

int layer_open_up_empty(struct layer *l, const char *path)
{
	return open_up(l, path, false);
}

int layer_copy_up(struct layer *l, const char *path)
{
	int fd = open_up(l, path, true);

	fd_close(fd);
	return fd < 0 ? fd : 0;
}
