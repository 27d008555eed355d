/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"
#include "super/layer_priv.h"

#define BLOCK 65536
#define PROC_NAME 32

static void proc_name(int fd, char out[PROC_NAME])
{
	snprintf(out, PROC_NAME, "/proc/self/fd/%d", fd);
}

bool layer_owns_xattr(const char *name)
{
	return str_starts(name, "user.overlay.") || str_starts(name, "trusted.overlay.");
}

/* What a file system or a security module keeps for itself is not copied where it doesn't let be:
 * cp(1) -a does the same. */
static int copy_xattr(const char *from, const char *to, const char *name)
{
	char value[XATTR_SIZE_MAX];
	ssize_t n = getxattr(from, name, value, sizeof(value));

	if (n < 0)
		return errno == ENODATA || errno == EPERM ? 0 : -errno;
	if (setxattr(to, name, value, (size_t)n, 0) == 0 || errno == EOPNOTSUPP)
		return 0;
	return errno == EPERM && !str_starts(name, "user.") ? 0 : -errno;
}

static int copy_xattrs(const char *from, const char *to)
{
	char names[XATTR_LIST_MAX];
	ssize_t len = listxattr(from, names, sizeof(names));
	int ret = 0;

	if (len < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (char *name = names; name < names + len && !ret; name += strlen(name) + 1)
		if (!layer_owns_xattr(name))
			ret = copy_xattr(from, to, name);
	return ret;
}

/*
 * chown(2) clears the set-id bits and the file's capabilities, who may not write a file can't give
 * it attributes, a list of access changes the mode, and all of them the times: in this order. Who
 * may not give files away has copies of his own, which then run as nobody else.
 */
int layer_copy_facts(int from, int to, const struct stat *st)
{
	char from_name[PROC_NAME], to_name[PROC_NAME];
	mode_t mode = st->st_mode & 07777;
	int ret;

	proc_name(from, from_name);
	proc_name(to, to_name);
	if (fchownat(to, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0) {
		if (errno != EPERM && errno != EINVAL)
			return -errno;
		mode &= 01777;
	}
	ret = copy_xattrs(from_name, to_name);
	if (ret)
		return ret;
	if (!S_ISLNK(st->st_mode) && chmod(to_name, mode) < 0)
		return -errno;
	return layer_keep_times(to, st);
}

/* The bytes from..end, by whatever way there is between both files. */
static int copy_range(int from, int to, off_t at, off_t end)
{
	char block[BLOCK];
	off_t in = at, out = at;
	ssize_t n = 1;

	while (in < end && n > 0)
		n = copy_file_range(from, &in, to, &out, (size_t)(end - in), 0);
	if (n > 0)
		return 0;
	if (n < 0 && errno != EXDEV && errno != EINVAL && errno != ENOSYS && errno != EOPNOTSUPP)
		return -errno;
	while (in < end && (n = pread(from, block, sizeof(block), in)) > 0) {
		for (ssize_t done = 0, put; done < n; done += put) {
			put = pwrite(to, block + done, (size_t)(n - done), in + done);
			if (put < 0)
				return -errno;
		}
		in += n;
	}
	return n < 0 ? -errno : 0;
}

int layer_copy_contents(int from, int to, off_t size)
{
	off_t at = 0, end;
	int ret;

	if (ioctl(to, FICLONE, from) == 0)
		return 0;
	while (at < size) {
		at = lseek(from, at, SEEK_DATA);
		if (at < 0 && errno == ENXIO)
			break;
		end = at < 0 ? -1 : lseek(from, at, SEEK_HOLE);
		if (end < 0) {
			at = at < 0 ? 0 : at;
			end = size;
		}
		ret = copy_range(from, to, at, end);
		if (ret)
			return ret;
		at = end;
	}
	return ftruncate(to, size) < 0 ? -errno : 0;
}

int layer_keep_times(int fd, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

void layer_temp(struct layer *l, char out[LAYER_NAME])
{
	snprintf(out, LAYER_NAME, "t%u", l->serial++);
}

int layer_loosen(int fd, mode_t *out_was)
{
	char name[PROC_NAME];
	struct stat st;

	proc_name(fd, name);
	if (fstat(fd, &st) < 0 || chmod(name, (st.st_mode & 07777) | 0700) < 0)
		return -errno;
	*out_was = st.st_mode & 07777;
	return 0;
}

void layer_tighten(int fd, mode_t was)
{
	char name[PROC_NAME];

	proc_name(fd, name);
	chmod(name, was);
}

/* Who is not above modes can't put anything into a directory that is not to be written, nor move
 * one: both are his. */
static int put_loosened(struct layer *l, const char *temp, int item, int dir, const char *name)
{
	mode_t dir_was, item_was;
	struct stat st;
	bool moves;
	int ret = layer_loosen(dir, &dir_was);

	if (ret)
		return ret;
	moves = fstat(item, &st) == 0 && S_ISDIR(st.st_mode) && layer_loosen(item, &item_was) == 0;
	ret = renameat2(l->work, temp, dir, name, RENAME_NOREPLACE) < 0 ? -errno : 0;
	if (moves)
		layer_tighten(item, item_was);
	layer_tighten(dir, dir_was);
	return ret;
}

/* What is whole comes out of the work directory; the directory that it goes into is the same as
 * before. */
static int put(struct layer *l, const char *temp, int item, int dir, const char *name)
{
	struct stat st;
	int ret;

	if (fstat(dir, &st) < 0)
		return -errno;
	ret = renameat2(l->work, temp, dir, name, RENAME_NOREPLACE) < 0 ? -errno : 0;
	if (ret == -EACCES)
		ret = put_loosened(l, temp, item, dir, name);
	return ret ? ret : layer_keep_times(dir, &st);
}

/* Without the access time of the lower side's file changed, where that can be had. */
static int open_to_read(int from)
{
	int fd = fd_reopen(from, O_RDONLY | O_NOATIME | O_NOCTTY);

	return fd == -EPERM ? fd_reopen(from, O_RDONLY | O_NOCTTY) : fd;
}

static int make_file(struct layer *l, int from, const struct stat *st, const char *temp,
		     bool contents)
{
	auto_fd in = contents ? open_to_read(from) : -1;
	auto_fd out = -1;
	int ret;

	if (contents && in < 0)
		return in;
	if (contents && !layer_reserve(l, (uint64_t)st->st_size))
		return -ENOSPC;
	out = openat(l->work, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	ret = contents ? layer_copy_contents(in, out, st->st_size) : 0;
	return ret ? ret : fd_take(&out);
}

static int make_other(struct layer *l, int from, const struct stat *st, const char *temp)
{
	char target[PATH_MAX];
	ssize_t n;

	if (!S_ISLNK(st->st_mode)) {
		if (mknodat(l->work, temp, st->st_mode & (S_IFMT | 0700), st->st_rdev) < 0)
			return -errno;
	} else {
		n = readlinkat(from, "", target, sizeof(target) - 1);
		if (n < 0)
			return -errno;
		target[n] = '\0';
		if (symlinkat(target, l->work, temp) < 0)
			return -errno;
	}
	return fd_open(l->work, temp, O_PATH | O_NOFOLLOW, 0, LAYER_IN_UPPER);
}

int layer_copy(struct layer *l, int from, const struct stat *st, int dir, const char *name,
	       bool contents)
{
	/* lint: parameters: what, where to, and how much of it */
	char temp[LAYER_NAME];
	int ret;

	layer_temp(l, temp);
	auto_fd item = S_ISREG(st->st_mode) ? make_file(l, from, st, temp, contents)
					    : make_other(l, from, st, temp);
	ret = item < 0 ? item : layer_copy_facts(from, item, st);
	if (!ret && st->st_nlink > 1)
		ret = layer_links_note(l, st, temp, item);
	if (!ret)
		ret = put(l, temp, item, dir, name);
	if (ret)
		unlinkat(l->work, temp, 0);
	return ret;
}

int layer_copy_dir(struct layer *l, int from, int dir, const char *name)
{
	auto_fd item = -1;
	char temp[LAYER_NAME];
	struct stat st;
	int ret;

	layer_temp(l, temp);
	if (fstat(from, &st) < 0 || mkdirat(l->work, temp, 0700) < 0)
		return -errno;
	item = fd_open(l->work, temp, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_UPPER);
	ret = item < 0 ? item : layer_copy_facts(from, item, &st);
	if (!ret)
		ret = put(l, temp, item, dir, name);
	if (ret)
		unlinkat(l->work, temp, AT_REMOVEDIR);
	return ret;
}
