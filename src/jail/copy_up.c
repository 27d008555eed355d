/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "jail/mount.h"

#define DEPTH_MAX 128
#define XATTR_MAX 65536 /* xattr(7) */

int mount_copy_xattrs(int from, int to)
{
	char names[XATTR_MAX], value[XATTR_MAX];
	ssize_t len = flistxattr(from, names, sizeof(names)), n;

	if (len < 0)
		return errno == ENOTSUP ? 0 : fail_errno("list extended attributes");
	for (char *name = names; name < names + len; name += strlen(name) + 1) {
		n = fgetxattr(from, name, value, sizeof(value));
		if (n < 0 || (fsetxattr(to, name, value, (size_t)n, 0) < 0 && errno != ENOTSUP))
			return fail_errno("copy the extended attribute %s", name);
	}
	return 0;
}

static int copy_bytes(int from, int to)
{
	char buf[16384];
	ssize_t n;
	int ret;

	while ((n = read(from, buf, sizeof(buf))) > 0) {
		ret = fd_write_all(to, buf, (size_t)n);
		if (ret)
			return fail(-ret, "write: %s", err_reason(-ret));
	}
	return n < 0 ? fail_errno("read") : 0;
}

/* chown clears the set-id bits and a write the times: owner, then mode, then times. */
static int copy_facts(int from, int to, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };
	int ret;

	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return fail_errno("set owner and mode");
	ret = mount_copy_xattrs(from, to);
	if (ret)
		return ret;
	return futimens(to, times) < 0 ? fail_errno("set the times") : 0;
}

static int copy_dir(int from, int to, int depth);

static int copy_open(int from_dir, int to_dir, const char *name, const struct stat *st, int depth)
{
	auto_fd from = openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	auto_fd to = -1;
	int ret;

	if (from < 0)
		return fail_errno("open");
	if (S_ISDIR(st->st_mode)) {
		if (mkdirat(to_dir, name, 0700) < 0 && errno != EEXIST)
			return fail_errno("make the directory");
		to = openat(to_dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	} else {
		to = openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
			    0600);
	}
	if (to < 0)
		return fail_errno("create");
	ret = S_ISDIR(st->st_mode) ? copy_dir(from, to, depth + 1) : copy_bytes(from, to);
	return ret ? ret : copy_facts(from, to, st);
}

static int copy_entry(int from, int to, const char *name, int depth)
{
	struct timespec times[2];
	char link[PATH_MAX];
	struct stat st;
	ssize_t n;

	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno("look");
	if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
		return copy_open(from, to, name, &st, depth);
	if (S_ISLNK(st.st_mode)) {
		n = readlinkat(from, name, link, sizeof(link) - 1);
		if (n < 0)
			return fail_errno("read the symbolic link");
		link[n] = '\0';
		if (symlinkat(link, to, name) < 0)
			return fail_errno("make the symbolic link");
	} else if (mknodat(to, name, st.st_mode, st.st_rdev) < 0) {
		return fail_errno("make the special file");
	}
	times[0] = st.st_atim;
	times[1] = st.st_mtim;
	if (fchownat(to, name, st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0 ||
	    utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno("set owner and times");
	return 0;
}

static int copy_dir(int from, int to, int depth)
{
	_Alignas(struct dirent64) char buf[8192]; /* getdents64(2): readdir(3) allocates */
	const struct dirent64 *e;
	ssize_t n;
	int ret;

	if (depth > DEPTH_MAX)
		return fail(ELOOP, "directories nested deeper than %d", DEPTH_MAX);
	while ((n = getdents64(from, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n; p += e->d_reclen) {
			e = (const struct dirent64 *)p;
			if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
				continue;
			ret = copy_entry(from, to, e->d_name, depth);
			if (ret)
				return fail_in(ret, "%s", e->d_name);
		}
	}
	return n < 0 ? fail_errno("read the directory") : 0;
}

int mount_copy_up(int from, int to)
{
	struct stat st;
	int ret = copy_dir(from, to, 0);

	if (ret)
		return ret;
	if (fstat(from, &st) < 0)
		return fail_errno("look at the directory below");
	if (fchownat(to, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0)
		return fail_errno("set the owner");
	return 0;
}
