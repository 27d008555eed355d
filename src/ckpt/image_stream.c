/* SPDX-License-Identifier: Apache-2.0 */
/* Large files of an image: what comes in bytes is gathered, what comes in buffers is pumped. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/image_priv.h"
#include "ckpt/image_pump.h"
#include "ckpt/image_queue.h"

#define GATHER (16u << 10) /* at first */

struct image_stream {
	struct image_writer *w;
	const char *name;
	int fd; /* -1: all of it is gathered still */
	bool pumped, expected;
	uint64_t size;
	XXH3_state_t *block; /* of the block that is not full yet */
	struct image_digest *blocks;
	size_t n, room;
	uint8_t *gathered;
	size_t n_gathered, room_gathered;
};

static struct image_pump *pump_of(struct image_writer *w)
{
	if (!w->pump)
		w->pump = pump_new(w->a);
	return w->pump;
}

int image_expect(struct image_writer *w, const char *name, uint64_t len)
{
	struct statfs fs;

	/* a disk's room is got when it is written to, long after the pages it is copied to */
	if (fstatfs(w->dir, &fs) < 0 || fs.f_type != TMPFS_MAGIC ||
	    len > fs.f_bavail * (uint64_t)fs.f_bsize / 2)
		return 0;
	if (!pump_of(w))
		return -ENOMEM;
	w->expected_fd = image_create_file(w, name);
	if (w->expected_fd < 0)
		return w->expected_fd;
	w->expected = arena_strdup(w->a, name);
	pump_expect(w->pump, w->expected_fd, len);
	return 0;
}

void image_unexpect(struct image_writer *w)
{
	if (!w->expected)
		return;
	pump_forget(w->pump);
	unlinkat(w->dir, w->expected, 0);
	fd_close(fd_take(&w->expected_fd));
	w->expected = NULL;
}

static int need_file(struct image_stream *s)
{
	if (s->fd < 0)
		s->fd = image_create_file(s->w, s->name);
	return s->fd < 0 ? s->fd : 0;
}

int image_stream_open(struct image_writer *w, const char *name, struct image_stream **out)
{
	struct image_stream *s = arena_alloc(w->a, sizeof(*s));

	s->w = w;
	s->name = arena_strdup(w->a, name);
	s->fd = -1;
	s->block = XXH3_createState();
	s->gathered = malloc(GATHER);
	s->room_gathered = GATHER;
	if (!s->block || !s->gathered) {
		XXH3_freeState(s->block);
		free(s->gathered);
		return fail(ENOMEM, "no memory to write %s", name);
	}
	s->expected = w->expected && strcmp(w->expected, name) == 0;
	if (s->expected) { /* it is there already */
		w->expected = NULL;
		s->fd = fd_take(&w->expected_fd);
	}
	XXH3_128bits_reset(s->block);
	*out = s;
	return 0;
}

static void end_block(struct image_stream *s)
{
	XXH128_canonical_t c;

	XXH128_canonicalFromHash(&c, XXH3_128bits_digest(s->block));
	s->blocks = arena_grow(s->w->a, s->blocks, s->n, &s->room, sizeof(*s->blocks));
	memcpy(s->blocks[s->n++].b, c.digest, sizeof(s->blocks->b));
	XXH3_128bits_reset(s->block);
}

static void digest(struct image_stream *s, const void *data, size_t len)
{
	const char *at = data;
	size_t room;

	while (len) {
		room = IMAGE_BLOCK - s->size % IMAGE_BLOCK;
		if (room > len)
			room = len;
		XXH3_128bits_update(s->block, at, room);
		at += room;
		len -= room;
		s->size += room;
		if (s->size % IMAGE_BLOCK == 0)
			end_block(s);
	}
}

static int refuse(const struct image_stream *s, int ret)
{
	return fail(-ret, "write %s of the image %s: %s", s->name, s->w->path, err_reason(-ret));
}

/* Behind what was pumped, which may be under way still. */
static int put(struct image_stream *s, const void *data, size_t len)
{
	int ret = need_file(s), pumped = s->pumped ? pump_settle(s->w->pump) : 0;

	if (ret || pumped)
		return ret ? ret : refuse(s, pumped);
	digest(s, data, len);
	ret = fd_write_all(s->fd, data, len);
	return ret ? refuse(s, ret) : 0;
}

static int put_gathered(struct image_stream *s)
{
	size_t len = s->n_gathered;

	s->n_gathered = 0;
	return len ? put(s, s->gathered, len) : 0;
}

/* Whether so many bytes more can be gathered. What has a file already is not to wait for long. */
static bool has_room(struct image_stream *s, size_t len)
{
	size_t most = s->fd < 0 ? QUEUE_FILE : GATHER, room = s->room_gathered;
	uint8_t *bigger;

	if (len > most - s->n_gathered)
		return false;
	while (room < s->n_gathered + len)
		room *= 2;
	bigger = room == s->room_gathered ? s->gathered : realloc(s->gathered, room);
	if (!bigger)
		return false;
	s->gathered = bigger;
	s->room_gathered = room;
	return true;
}

static void gather(struct image_stream *s, const void *data, size_t len)
{
	memcpy(s->gathered + s->n_gathered, data, len);
	s->n_gathered += len;
}

int image_stream_write(struct image_stream *s, const void *data, size_t len)
{
	int ret;

	if (!has_room(s, len)) {
		ret = put_gathered(s);
		if (ret || len > GATHER)
			return ret ? ret : put(s, data, len);
	}
	gather(s, data, len);
	return 0;
}

uint8_t *image_stream_room(struct image_stream *s)
{
	return pump_of(s->w) ? pump_room(s->w->pump) : NULL;
}

int image_stream_append(struct image_stream *s, const struct iovec *parts, size_t n)
{
	size_t len = 0;
	int ret;

	for (size_t i = 0; i < n; i++)
		len += parts[i].iov_len;
	if (s->fd < 0 && has_room(s, len)) {
		for (size_t i = 0; i < n; i++)
			gather(s, parts[i].iov_base, parts[i].iov_len);
		return 0;
	}
	ret = put_gathered(s);
	if (!ret)
		ret = need_file(s);
	if (ret || !n)
		return ret;
	for (size_t i = 0; i < n; i++)
		digest(s, parts[i].iov_base, parts[i].iov_len);
	s->pumped = true;
	ret = pump_hand(s->w->pump, s->fd, parts, n);
	return ret ? refuse(s, ret) : 0;
}

/* All of it is to be one small file. */
static int hand_over(struct image_stream *s)
{
	uint8_t *data = s->gathered;

	digest(s, data, s->n_gathered);
	s->gathered = NULL;
	return queue_put(s->w->queue, s->name, data, s->n_gathered);
}

static int close_file(struct image_stream *s)
{
	int ret = put_gathered(s), pumped = s->pumped ? pump_settle(s->w->pump) : 0, cut;

	cut = s->expected ? pump_forget(s->w->pump) : 0;
	if (!pumped)
		pumped = cut;
	image_begin_sync(s->w, s->fd);
	fd_close(s->fd);
	return ret || !pumped ? ret : refuse(s, pumped);
}

int image_stream_close(struct image_stream *s)
{
	int ret = s->fd < 0 ? hand_over(s) : close_file(s);

	if (s->size % IMAGE_BLOCK)
		end_block(s);
	XXH3_freeState(s->block);
	free(s->gathered);
	image_remember(s->w, s->name, s->size, image_digest_join(s->blocks, s->n));
	return ret;
}
