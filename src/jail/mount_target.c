/* SPDX-License-Identifier: Apache-2.0 */
/* The place of a mount in the container: found inside its root, and made where it is missing. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"
#include "jail/mount.h"

#define ROUNDS_MAX 40 /* links that are followed, path_resolution(7), and races that are lost */

/* The next component of a path, and what follows it. -ENOENT at the end. */
static int next_name(const char **path, char name[NAME_MAX + 1], bool *last)
{
	size_t n;

	*path += strspn(*path, "/");
	n = strcspn(*path, "/");
	if (!n)
		return -ENOENT;
	if (n > NAME_MAX)
		return -ENAMETOOLONG;
	memcpy(name, *path, n);
	name[n] = '\0';
	*path += n;
	*last = (*path)[strspn(*path, "/")] == '\0';
	return 0;
}

static int make_one(int at, const char *name, bool directory)
{
	auto_fd made = -1;

	if (directory)
		return mkdirat(at, name, 0755) < 0 && errno != EEXIST ? -errno : 0;
	made = openat(at, name, O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW | O_WRONLY, 0644);
	return made < 0 && errno != EEXIST ? -errno : 0;
}

/*
 * Makes what is missing, from the directory start on. Nothing is followed: at a link, or "..",
 * that somebody has put there meanwhile it ends, and the whole path is looked at again.
 */
static int make_rest(int start, const char *path, bool directory)
{
	char name[NAME_MAX + 1];
	auto_fd at = -1;
	struct stat st;
	bool last;
	int ret, fd;

	while ((ret = next_name(&path, name, &last)) == 0) {
		if (strcmp(name, ".") == 0)
			continue;
		if (strcmp(name, "..") == 0)
			return 0;
		ret = make_one(at < 0 ? start : at, name, directory || !last);
		if (ret)
			return ret;
		fd = openat(at < 0 ? start : at, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return -errno;
		fd_close(at);
		at = fd;
		if (fstat(at, &st) < 0 || S_ISLNK(st.st_mode))
			return 0;
	}
	return ret == -ENOENT ? 0 : ret;
}

/* Puts where the link name in at leads to in place of the path up to rest; start is where name
 * begins. */
static int follow(int at, const char *name, char path[PATH_MAX], size_t start, const char *rest)
{
	char link[PATH_MAX], after[PATH_MAX];
	ssize_t n = readlinkat(at, name, link, sizeof(link) - 1);
	size_t keep;

	if (n < 0)
		return -errno;
	link[n] = '\0';
	keep = link[0] == '/' ? 0 : start;
	snprintf(after, sizeof(after), "%s", rest);
	if ((size_t)snprintf(path + keep, PATH_MAX - keep, "%s%s", link, after) >= PATH_MAX - keep)
		return -ENAMETOOLONG;
	return 0;
}

/* Makes what is missing of path; where a link dangles, path is rewritten to what it leads to. */
static int make_missing(int root, char path[PATH_MAX], bool directory)
{
	char name[NAME_MAX + 1], prefix[PATH_MAX];
	const char *rest = path, *start;
	auto_fd at = fd_open_in_root(root, ".", O_PATH | O_DIRECTORY);
	bool last;
	int ret, fd;

	for (;;) {
		start = rest + strspn(rest, "/");
		ret = next_name(&rest, name, &last);
		if (ret)
			return ret == -ENOENT ? 0 : ret;
		snprintf(prefix, sizeof(prefix), "%.*s", (int)(rest - path), path);
		fd = fd_open_in_root(root, prefix, O_PATH);
		if (fd == -ENOENT)
			break;
		if (fd < 0)
			return fd;
		fd_close(at);
		at = fd;
	}
	if (strcmp(name, "..") == 0)
		return -ENOENT;
	ret = follow(at, name, path, (size_t)(start - path), rest);
	return ret == -EINVAL || ret == -ENOENT ? make_rest(at, start, directory) : ret;
}

int mount_target(int root, const char *target, bool directory, bool nofollow)
{
	int flags = O_PATH | (nofollow ? O_NOFOLLOW : 0);
	char path[PATH_MAX];
	int fd = -ENAMETOOLONG, ret = 0;

	if ((size_t)snprintf(path, sizeof(path), "%s", target) < sizeof(path))
		fd = fd_open_in_root(root, path, flags);
	for (int round = 0; fd == -ENOENT && !ret && round < 2 * ROUNDS_MAX; round++) {
		ret = make_missing(root, path, directory);
		fd = ret ? ret : fd_open_in_root(root, path, flags);
	}
	if (fd < 0)
		return fail(-fd, "open the mount target %s in the container: %s", target,
			    err_reason(-fd));
	return fd;
}
