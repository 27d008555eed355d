/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_priv.h"

int layer_open_dir(int dir, const char *name)
{
	int fd = fd_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_UPPER);
	mode_t was;

	if (fd != -EACCES)
		return fd;
	auto_fd place = fd_open(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_UPPER);
	if (place < 0 || layer_loosen(place, &was))
		return -EACCES;
	fd = fd_reopen(place, O_RDONLY | O_DIRECTORY);
	layer_tighten(place, was);
	return fd;
}

bool layer_is_opaque(int dir)
{
	char value[2];

	return fgetxattr(dir, LAYER_OPAQUE, value, sizeof(value)) == 1 && value[0] == 'y';
}

bool layer_is_dots(const char *name)
{
	return name[0] == '.' && (!name[1] || (name[1] == '.' && !name[2]));
}

int layer_each(int dir, int (*visit)(void *arg, int dir, const struct dirent64 *e), void *arg)
{
	_Alignas(struct dirent64) char buf[4096]; /* getdents64(2): readdir(3) allocates */
	const struct dirent64 *e;
	ssize_t n;
	int ret;

	if (lseek(dir, 0, SEEK_SET) < 0)
		return -errno;
	while ((n = getdents64(dir, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n; p += e->d_reclen) {
			e = (const struct dirent64 *)p;
			ret = layer_is_dots(e->d_name) ? 0 : visit(arg, dir, e);
			if (ret)
				return ret;
		}
	}
	return n < 0 ? -errno : 0;
}

int layer_clear_opaque(int dir)
{
	if (fremovexattr(dir, LAYER_OPAQUE) == 0 || errno == ENODATA || errno == EOPNOTSUPP)
		return 0;
	return -errno;
}

bool layer_white_at(int dir, const char *name)
{
	struct stat st;

	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && layer_is_whiteout(&st);
}

static int hide(void *arg, int below, const struct dirent64 *e)
{
	const int dir = *(const int *)arg;
	auto_fd inner = -1, inner_below = -1;

	if (mknodat(dir, e->d_name, S_IFCHR, makedev(0, 0)) == 0)
		return 0;
	if (errno != EEXIST)
		return -errno;
	inner = layer_open_dir(dir, e->d_name);
	if (inner < 0) /* a file hides whatever is below */
		return inner == -ENOTDIR || inner == -ELOOP ? 0 : inner;
	inner_below = openat(below, e->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return inner_below < 0 ? 0 : layer_set_opaque(inner, inner_below);
}

int layer_set_opaque(int dir, int below)
{
	auto_fd names = -1;
	struct stat st;
	int ret;

	if (fsetxattr(dir, LAYER_OPAQUE, "y", 1, 0) == 0)
		return 0;
	if (errno != EOPNOTSUPP || fstat(dir, &st) < 0)
		return -errno;
	names = openat(below, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ret = names < 0 ? -errno : layer_each(names, hide, &dir);
	return ret ? ret : layer_keep_times(dir, &st);
}

int layer_drop_white(int root, const char *path)
{
	char parent[PATH_MAX];
	auto_fd dir = -1;
	struct stat st;
	mode_t was;
	int ret;

	snprintf(parent, sizeof(parent), "%.*s", (int)layer_parent_len(path), path);
	dir = layer_open_dir(root, *parent ? parent : ".");
	if (dir < 0)
		return dir;
	if (fstat(dir, &st) < 0)
		return -errno;
	ret = unlinkat(dir, layer_last(path), 0) < 0 ? -errno : 0;
	if (ret == -EACCES && layer_loosen(dir, &was) == 0) {
		ret = unlinkat(dir, layer_last(path), 0) < 0 ? -errno : 0;
		layer_tighten(dir, was);
	}
	return ret ? ret : layer_keep_times(dir, &st);
}

static int drop_if_white(void *arg, const char *path, const struct stat *st)
{
	return layer_is_whiteout(st) ? layer_drop_white(*(const int *)arg, path) : 0;
}

int layer_drop_whites(int dir)
{
	const struct layer_visit visit = { .entry = drop_if_white, .arg = &dir };

	return layer_is_opaque(dir) ? layer_walk(dir, true, &visit) : 0;
}

/* A directory that its owner may not write can't be moved by him: it is thrown away. */
static int exchange(struct layer *l, const char *temp, int dir, const char *name)
{
	auto_fd item = -1;
	mode_t was;

	if (renameat2(l->work, temp, dir, name, RENAME_EXCHANGE) == 0)
		return 0;
	if (errno != EACCES)
		return -errno;
	item = fd_open(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_UPPER);
	if (item < 0 || layer_loosen(item, &was) ||
	    renameat2(l->work, temp, dir, name, RENAME_EXCHANGE) < 0)
		return -EACCES;
	return 0;
}

static int replace(struct layer *l, int dir, const char *name)
{
	char temp[LAYER_NAME];
	int ret;

	layer_temp(l, temp);
	if (mknodat(l->work, temp, S_IFCHR, makedev(0, 0)) < 0)
		return -errno;
	ret = exchange(l, temp, dir, name);
	if (!ret)
		return layer_throw(l, temp);
	unlinkat(l->work, temp, 0);
	return ret;
}

/* Who watches the directory is told that a name was made; in exchange for another whiteout it is
 * told that it went. */
int layer_put_whiteout(struct layer *l, int dir, const char *name)
{
	if (mknodat(dir, name, S_IFCHR, makedev(0, 0)) == 0)
		return l->watched ? replace(l, dir, name) : 0;
	return errno == EEXIST ? replace(l, dir, name) : -errno;
}

static int drop(void *arg, int dir, const struct dirent64 *e)
{
	(void)arg;
	return unlinkat(dir, e->d_name, 0) < 0 ? -errno : 0;
}

int layer_throw(struct layer *l, const char *temp)
{
	auto_fd dir = -1;
	mode_t was;
	int ret;

	if (unlinkat(l->work, temp, 0) == 0)
		return 0;
	dir = errno == EISDIR ? layer_open_dir(l->work, temp) : -errno;
	ret = dir < 0 ? dir : layer_loosen(dir, &was);
	if (!ret)
		ret = layer_each(dir, drop, NULL);
	return ret || unlinkat(l->work, temp, AT_REMOVEDIR) == 0 ? ret : -errno;
}
