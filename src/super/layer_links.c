/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files of the lower side that have several names. links/ in the work directory has of each that
 * was copied one more name of the copy, DEVICE.INODE of the original: when another of its names is
 * looked for, that is linked to the copy, too. A symbolic link beside it, with ".n" behind, tells
 * how many of the lower names are covered by now (copied, removed, replaced) and how many there
 * were; another one, "u" and the copy's inode number, leads from the copy to it. The last two only
 * serve to tell the number of names, and are never in the way.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_priv.h"

#define KEY 48

static void lower_key(const struct stat *st, char out[KEY])
{
	snprintf(out, KEY, "%" PRIx64 ".%" PRIx64, (uint64_t)st->st_dev, (uint64_t)st->st_ino);
}

static void count_key(const char *key, char out[KEY])
{
	snprintf(out, KEY, "%.40s.n", key);
}

static void upper_key(const struct stat *st, char out[KEY])
{
	snprintf(out, KEY, "u%" PRIx64, (uint64_t)st->st_ino);
}

static int open_links(struct layer *l, bool make)
{
	if (make && mkdirat(l->work, LAYER_LINKS, 0700) < 0 && errno != EEXIST)
		return -errno;
	l->linked |= make;
	return fd_open(l->work, LAYER_LINKS, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_UPPER);
}

static bool read_text(int links, const char *name, char *out, size_t size)
{
	ssize_t n = readlinkat(links, name, out, size - 1);

	out[n < 0 ? 0 : n] = '\0';
	return n >= 0;
}

static int write_text(struct layer *l, int links, const char *name, const char *text)
{
	char temp[LAYER_NAME];
	int ret;

	layer_temp(l, temp);
	if (symlinkat(text, l->work, temp) < 0)
		return -errno;
	ret = renameat(l->work, temp, links, name) < 0 ? -errno : 0;
	if (ret)
		unlinkat(l->work, temp, 0);
	return ret;
}

/* How many of the names that the file has in the lower side are covered. */
static void read_count(int links, const char *key, unsigned long *out_covered,
		       unsigned long *out_names)
{
	char name[KEY], text[KEY];

	count_key(key, name);
	if (!read_text(links, name, text, sizeof(text)) ||
	    sscanf(text, "%lu/%lu", out_covered, out_names) != 2)
		*out_covered = *out_names = 0;
}

int layer_links_cover(struct layer *l, const struct stat *lower)
{
	char key[KEY], name[KEY], text[KEY];
	unsigned long covered, names;
	auto_self who = guest_pause();
	auto_fd links = -1;

	if (lower->st_nlink < 2 || S_ISDIR(lower->st_mode))
		return 0;
	links = open_links(l, true);
	if (links < 0)
		return links;
	lower_key(lower, key);
	count_key(key, name);
	read_count(links, key, &covered, &names);
	snprintf(text, sizeof(text), "%lu/%lu", covered + 1, (unsigned long)lower->st_nlink);
	return write_text(l, links, name, text);
}

int layer_links_note(struct layer *l, const struct stat *lower, const char *temp, int item)
{
	auto_fd links = open_links(l, true);
	char key[KEY], name[KEY];
	struct stat st;
	int ret;

	if (links < 0 || fstat(item, &st) < 0)
		return links < 0 ? links : -errno;
	lower_key(lower, key);
	upper_key(&st, name);
	ret = write_text(l, links, name, key);
	if (!ret && linkat(l->work, temp, links, key, 0) < 0 && errno != EEXIST)
		ret = -errno;
	return ret ? ret : layer_links_cover(l, lower);
}

/* A file that is not whole is never in links/, so what is there may be given the name. */
int layer_links_bring(struct layer *l, const char *path, struct layer_entry *e)
{
	auto_self who = guest_pause();
	auto_fd links = open_links(l, false), dir = -1;
	struct stat st, dir_st;
	char key[KEY];
	int fd, ret;

	lower_key(&e->st, key);
	fd = links < 0 ? links : layer_look(links, key, LAYER_IN_UPPER, &st);
	if (fd == -ENOENT)
		return 0;
	fd_close(fd);
	dir = fd < 0 ? fd : layer_up_dir(l, path, layer_parent_len(path));
	if (dir < 0 || fstat(dir, &dir_st) < 0)
		return dir < 0 ? dir : -errno;
	if (linkat(links, key, dir, layer_last(path), 0) < 0)
		return -errno;
	ret = layer_keep_times(dir, &dir_st);
	if (!ret)
		ret = layer_links_cover(l, &e->st);
	fd_close(e->fd);
	e->side = LAYER_UPPER;
	e->fd = layer_look(dir, layer_last(path), LAYER_IN_UPPER, &e->st);
	return e->fd < 0 ? e->fd : ret;
}

static int is_half(void *arg, int links, const struct dirent64 *e)
{
	const size_t n = strlen(e->d_name);
	unsigned long covered, names;
	char key[KEY];
	struct stat st;

	(void)arg;
	if (n < 2 || n >= sizeof(key) || strcmp(e->d_name + n - 2, ".n") != 0)
		return 0;
	snprintf(key, sizeof(key), "%.*s", (int)n - 2, e->d_name);
	read_count(links, key, &covered, &names);
	return covered < names && fstatat(links, key, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

bool layer_links_whole(struct layer *l)
{
	auto_self who = guest_pause();
	auto_fd links = open_links(l, false), names = -1;

	if (links == -ENOENT)
		return true;
	names = links < 0 ? links : openat(links, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return names >= 0 && layer_each(names, is_half, NULL) == 0;
}

nlink_t layer_nlink(struct layer *l, const struct layer_entry *e)
{
	const nlink_t n = e->st.st_nlink;
	char key[KEY], name[KEY];
	unsigned long covered = 0, names = 0;
	const bool named = e->side != LAYER_NOWHERE;

	if (l->mode != LAYER_COW || (!named && S_ISDIR(e->st.st_mode)))
		return n;
	if (S_ISDIR(e->st.st_mode))
		return 1;
	/* what is in links/ has one more there */
	if (!l->linked || n < (named ? 2u : 1u))
		return n;
	auto_self who = guest_pause();
	auto_fd links = open_links(l, false);
	if (e->side == LAYER_LOWER) {
		lower_key(&e->st, key);
		read_count(links, key, &covered, &names);
		return covered < n ? n - covered : 1;
	}
	upper_key(&e->st, name);
	if (!read_text(links, name, key, sizeof(key)))
		return n;
	read_count(links, key, &covered, &names);
	return n - 1 + (names > covered ? names - covered : 0);
}
