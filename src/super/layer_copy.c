/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_late.h"
#include "super/layer_priv.h"

#define BLOCK 65536
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

void layer_temp(struct layer *l, char out[LAYER_NAME])
{
	snprintf(out, LAYER_NAME, "t%x-%x", (unsigned)getpid(), l->serial++);
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
int layer_open_to_read(int from, int flags)
{
	int fd = fd_reopen(from, flags | O_RDONLY | O_NOATIME | O_NOCTTY);

	return fd == -EPERM ? fd_reopen(from, flags | O_RDONLY | O_NOCTTY) : fd;
}

static int make_empty(struct layer *l, const char *temp)
{
	int out = openat(l->work, temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return out < 0 ? -errno : out;
}

/* Is it a copy that others should not wait for? A file that can be cloned is copied by that. */
static bool is_late(const struct layer *l, int in, int out, const struct stat *st)
{
	return l->late &&
	       (in == -EAGAIN || (st->st_size >= LAYER_LATE_LEAST && ioctl(out, FICLONE, in) < 0));
}

/* A file that somebody holds a lease on would be waited for. */
static int make_file(struct layer *l, int from, const struct stat *st, char temp[LAYER_NAME])
{
	int made = l->late ? layer_late_take(l, st, temp) : -ENOENT, ret;
	auto_fd in = -1, out = -1;

	if (made != -ENOENT)
		return made;
	in = layer_open_to_read(from, l->late ? O_NONBLOCK : 0);
	if (in < 0 && (in != -EAGAIN || !l->late))
		return in;
	if (!layer_reserve(l, (uint64_t)st->st_size))
		return -ENOSPC;
	out = make_empty(l, temp);
	if (out < 0)
		return out;
	if (is_late(l, in, out, st))
		return layer_late_begin(l, from, st, &out, temp);
	ret = layer_copy_contents(in, out, st->st_size);
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

static void note_copied(struct layer *l, uint64_t ino)
{
	l->copied[ino % LAYER_COPIED / 64] |= UINT64_C(1) << ino % 64;
}

bool layer_was_copied(const struct layer *l, uint64_t ino)
{
	return l->copied[ino % LAYER_COPIED / 64] >> ino % 64 & 1;
}

int layer_copy(struct layer *l, int from, const struct stat *st, int dir, const char *name,
	       bool contents)
{
	/* lint: parameters: what, where to, and how much of it */
	char temp[LAYER_NAME];
	int ret;

	layer_temp(l, temp);
	auto_fd item = !S_ISREG(st->st_mode) ? make_other(l, from, st, temp)
		       : contents            ? make_file(l, from, st, temp)
					     : make_empty(l, temp);
	if (item == -NOTIF_LATER)
		return item;
	if (item >= 0 && S_ISREG(st->st_mode))
		layer_note_origin(l, item, st);
	ret = item < 0 ? item : layer_copy_facts(from, item, st);
	if (!ret && st->st_nlink > 1)
		ret = layer_links_note(l, st, temp, item);
	if (!ret)
		ret = put(l, temp, item, dir, name);
	if (ret)
		unlinkat(l->work, temp, 0);
	else
		note_copied(l, st->st_ino);
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
