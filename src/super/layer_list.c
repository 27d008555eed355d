/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a listing is, as a position of the open directory: 0 and 1 are "." and "..", then come the
 * lower side's entries by their number, hidden ones too; then the upper side's by the file system's
 * own cookies, which may be anything up to 2^63 (ext4 has hashes): small ones from 2^61 on, larger
 * ones halved from 2^62 on, so that the nearest before them is met. Where a directory takes no such
 * positions (ext4 without dir_index), its cookies are offsets: from 2^32 on.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/layer_priv.h"

#define AT_UPPER_LOW ((int64_t)1 << 32)
#define AT_UPPER ((int64_t)1 << 61)
#define AT_UPPER_HALVED ((int64_t)1 << 62)
#define DOTS 2

struct list {
	struct layer *l;
	int fd, below; /* the upper side's, and the lower one's */
	bool low;      /* large positions are not had */
	bool bare;     /* nothing is in the upper one */
	char *buf;
	size_t len, used;
	int64_t at; /* where the next call goes on */
};

static int64_t to_position(const struct list *s, int64_t cookie)
{
	if (s->low)
		return AT_UPPER_LOW + cookie;
	return cookie < AT_UPPER ? AT_UPPER + cookie : AT_UPPER_HALVED | cookie >> 1;
}

static int64_t to_cookie(int64_t position)
{
	if (position >= AT_UPPER_HALVED)
		return (position & (AT_UPPER_HALVED - 1)) << 1;
	return position - (position >= AT_UPPER ? AT_UPPER : AT_UPPER_LOW);
}

/* False where there is no room. */
static bool emit(struct list *s, const char *name, uint64_t ino, unsigned char type, int64_t next)
{
	const size_t n = strlen(name) + 1;
	const size_t need = (offsetof(struct dirent64, d_name) + n + 7) & ~(size_t)7;
	struct dirent64 e = {
		.d_ino = ino, .d_off = next, .d_reclen = (unsigned short)need, .d_type = type
	};

	if (need > s->len - s->used)
		return false;
	memset(s->buf + s->used, 0, need);
	memcpy(s->buf + s->used, &e, offsetof(struct dirent64, d_name));
	memcpy(s->buf + s->used + offsetof(struct dirent64, d_name), name, n);
	s->used += need;
	s->at = next;
	return true;
}

static bool emit_dots(struct list *s, const char *path)
{
	struct stat st;

	while (s->at < DOTS) {
		if (fstatat(s->fd, s->at && *path ? ".." : ".", &st, 0) < 0 &&
		    fstat(s->fd, &st) < 0)
			return false;
		if (!emit(s, s->at ? ".." : ".", st.st_ino, DT_DIR, s->at + 1))
			return false;
	}
	return true;
}

/* The lower side's entry as the guest sees it, or not. False where there is no room. */
static bool emit_lower(struct list *s, const struct dirent64 *e, int64_t next)
{
	struct stat st;
	bool mine = !s->bare && fstatat(s->fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0;

	if ((mine && layer_is_whiteout(&st)) || (!mine && strcmp(e->d_name, LAYER_HALF) == 0) ||
	    (e->d_type == DT_CHR && layer_white_at(s->below, e->d_name))) {
		s->at = next;
		return true;
	}
	return mine ? emit(s, e->d_name, st.st_ino, (unsigned char)IFTODT(st.st_mode), next)
		    : emit(s, e->d_name, e->d_ino, e->d_type, next);
}

/* The nearest known place at or before the entry of that number. */
static struct layer_seek nearest(const struct list *s, const struct stat *st, uint64_t number)
{
	struct layer_seek best = { .dev = st->st_dev, .ino = st->st_ino };

	for (int i = 0; i < LAYER_SEEKS; i++) {
		const struct layer_seek *k = &s->l->seek[i];

		if (k->dev == best.dev && k->ino == best.ino && k->number <= number &&
		    k->number > best.number)
			best = *k;
	}
	return best;
}

static void remember(struct list *s, const struct layer_seek *k)
{
	s->l->seek[s->l->next_seek++ % LAYER_SEEKS] = *k;
}

/* 1 at the end of the lower side, 0 where there is no more room. */
static int list_lower(struct list *s)
{
	_Alignas(struct dirent64) char buf[16384];
	const uint64_t wanted = (uint64_t)(s->at - DOTS);
	const struct dirent64 *e;
	struct layer_seek k;
	struct stat st;
	ssize_t n;

	if (fstat(s->below, &st) < 0)
		return -errno;
	k = nearest(s, &st, wanted);
	if (lseek(s->below, k.cookie, SEEK_SET) < 0)
		return -errno;
	while ((n = getdents64(s->below, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n; p += e->d_reclen) {
			e = (const struct dirent64 *)p;
			if (layer_is_dots(e->d_name)) {
				k.cookie = e->d_off;
				continue;
			}
			if (k.number >= wanted && !emit_lower(s, e, (int64_t)k.number + 1 + DOTS)) {
				remember(s, &k);
				return 0;
			}
			k.number++;
			k.cookie = e->d_off;
		}
	}
	return n < 0 ? -errno : 1;
}

static int list_upper(struct list *s)
{
	_Alignas(struct dirent64) char buf[16384];
	const struct dirent64 *e;
	struct stat st;
	ssize_t n;

	if (lseek(s->fd, to_cookie(s->at), SEEK_SET) < 0)
		return -errno;
	while ((n = getdents64(s->fd, buf, sizeof(buf))) > 0) {
		for (char *p = buf; p < buf + n; p += e->d_reclen) {
			e = (const struct dirent64 *)p;
			if (layer_is_dots(e->d_name) || layer_white_at(s->fd, e->d_name) ||
			    (fstatat(s->below, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
			     !layer_is_whiteout(&st)))
				s->at = to_position(s, e->d_off);
			else if (!emit(s, e->d_name, e->d_ino, e->d_type, to_position(s, e->d_off)))
				return 0;
		}
	}
	return n < 0 ? -errno : 1;
}

static int is_something(void *arg, int dir, const struct dirent64 *e)
{
	(void)arg;
	(void)dir;
	(void)e;
	return 1;
}

static bool is_bare(int dir)
{
	auto_fd again = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return again >= 0 && layer_each(again, is_something, NULL) == 0;
}

static ssize_t list_both(struct list *s, const char *path)
{
	int64_t begin = lseek(s->fd, 0, SEEK_CUR);
	int ret;

	if (begin < 0)
		return -errno;
	s->at = begin;
	s->bare = is_bare(s->fd);
	s->low = lseek(s->fd, AT_UPPER, SEEK_SET) < 0;
	ret = emit_dots(s, path);
	if (ret && s->at < AT_UPPER_LOW) {
		ret = list_lower(s);
		if (ret > 0)
			s->at = to_position(s, 0);
	}
	if (ret > 0)
		ret = list_upper(s);
	if (lseek(s->fd, s->at, SEEK_SET) < 0 && ret >= 0)
		ret = -errno;
	if (ret < 0 && !s->used)
		return ret;
	return s->used || ret ? (ssize_t)s->used : -EINVAL;
}

/* Only whiteouts, which hide nothing any more, are not the guest's. */
static ssize_t list_alone(int fd, char *buf, size_t len)
{
	const struct dirent64 *e;
	ssize_t n, kept = 0;

	while (!kept && (n = getdents64(fd, buf, len)) != 0) {
		if (n < 0)
			return -errno;
		for (char *p = buf; p < buf + n; p += e->d_reclen) {
			e = (const struct dirent64 *)p;
			if ((e->d_type == DT_CHR || e->d_type == DT_UNKNOWN) &&
			    layer_white_at(fd, e->d_name))
				continue;
			/* moving it over itself would lose what follows */
			const unsigned short size = e->d_reclen;
			memmove(buf + kept, p, size);
			kept += size;
			e = (const struct dirent64 *)(buf + kept - size);
		}
	}
	return kept;
}

ssize_t layer_list(struct layer *l, const char *path, int fd, void *buf, size_t len)
{
	struct list s = { .l = l, .fd = fd, .buf = buf, .len = len };
	auto_self who = guest_pause();
	auto_fd place = -1, below = -1;
	ssize_t n;

	if (l->mode != LAYER_COW) {
		n = getdents64(fd, buf, len);
		return n < 0 ? -errno : n;
	}
	place = layer_below_dir(l, path, strlen(path));
	if (place < 0)
		return list_alone(fd, buf, len);
	below = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (below < 0)
		return -errno;
	s.below = below;
	return list_both(&s, path);
}

bool layer_place_holds(struct layer *l, const char *path, int64_t at)
{
	auto_fd below = layer_below_dir(l, path, strlen(path));

	return below >= 0 && at < AT_UPPER_LOW;
}
