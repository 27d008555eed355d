/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The image: a flat directory of regular files, mode 0600 (callers copy it that way).
 *
 *	inventory.img                 two lines: "thole-checkpoint VERSION", and size and digest of
 *	                              meta.json
 *	meta.json                     what the image is, and size and digest of every other file
 *	config.json                   the configuration of the container at the time
 *	container.json                what belongs to no single process: sections of kinds, open
 *	                              files
 *	process.<pid>.info.json       a process: sections of kinds, and its threads
 *	process.<pid>.fds.json        its descriptor table; descriptions by number in container.json
 *	process.<pid>.memory_map.json every mapping
 *	process.<pid>.runs.bin        struct image_run: which pages are in memory.bin, by address
 *	process.<pid>.memory.bin      those pages, packed
 *	process.<pid>.threads.bin     raw register sets, with a length-checked header each
 *	<word>.<number>.<what>        what kinds add, each for a thing with a number
 *
 * A digest is XXH3-128 over the XXH3-128 digests (canonical, 16 bytes) of each MiB of the file, so
 * that several threads can verify one. Numbers in binary files are little-endian.
 *
 * The writer makes <dir>.tmp beside the final name and renames it: there is never half an image,
 * and never none where there was one.
 */
#ifndef CKPT_IMAGE_H
#define CKPT_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ckpt/record.h"

struct arena;
struct image;        /* one being read */
struct image_writer; /* one being written */

#define IMAGE_VERSION 1
#define IMAGE_INVENTORY "inventory.img"
#define IMAGE_META "meta.json"
#define IMAGE_CONFIG "config.json"
#define IMAGE_CONTAINER "container.json"
#define IMAGE_PARENT "parent" /* a symbolic link to the image that this one builds on */
#define IMAGE_PARENTS_MAX 64
#define IMAGE_NAME_MAX 128
#define IMAGE_FILES_MAX (1u << 18)
#define IMAGE_BLOCK (1u << 20)        /* bytes of a file that get a digest of their own */
#define IMAGE_RECORD_MAX (256u << 20) /* bytes of a text that is parsed */

struct image_run {
	uint64_t start; /* address, page-aligned */
	uint64_t pages;
};

struct image_digest {
	uint8_t b[16];
};

/* What the image is, for meta.json; the list of files is the writer's. */
struct image_meta {
	uint64_t version;
	const char *id;      /* of the container */
	const char *created; /* RFC 3339 */
	const char *runtime; /* "thole 0.1" */
	const char *kernel;  /* uname -r */
	const char *machine; /* uname -m */
	uint64_t page_size;
	const uint64_t *pids; /* as the container sees them, parents before children */
	size_t n_pids;
	bool pre_dump;      /* memory alone: there for others to build on */
	const void *parent; /* digest of meta.json of the image that it builds on, or NULL */
	size_t parent_len;
};

/* ---- writing */

/*
 * Begins an image at path (its parent must exist; path itself may, as a directory). A <path>.tmp
 * left by a writer that died is removed. codec must live as long as the writer.
 */
int image_create(struct arena *a, const char *path, const struct record_codec *codec,
		 struct image_writer **out);

/* A failure to write may be told by a later call, at last by image_commit(). */
int image_put(struct image_writer *w, const char *name, const void *data, size_t len);
int image_put_record(struct image_writer *w, const char *name, const struct record_table *t,
		     const void *rec);

/*
 * A large file, in pieces. Several may be open at once. A failure to write may be told by a later
 * call, at last by image_commit(). image_stream_close() is to be called in any case.
 */
struct image_stream;
int image_stream_open(struct image_writer *w, const char *name, struct image_stream **out);
int image_stream_write(struct image_stream *s, const void *data, size_t len);
int image_stream_close(struct image_stream *s);

/*
 * The same without a copy, for a lot of it: a buffer of IMAGE_ROOM bytes to fill (NULL, with a
 * text, without memory), and at most IMAGE_PARTS parts of it to append, in their order, while the
 * caller goes on. There is one buffer at a time, whichever the stream.
 */
#define IMAGE_ROOM (256u << 10)
#define IMAGE_PARTS 64
struct iovec;
uint8_t *image_stream_room(struct image_stream *s);
int image_stream_append(struct image_stream *s, const struct iovec *parts, size_t n);

/*
 * Announces a file that image_stream_append() will put some `len` bytes into, the largest one:
 * where that pays (tmpfs), and there is room in plenty, the room is got from now on by another
 * thread. Once for an image; more or less may come in the end, or nothing. 0 or -errno with a text.
 */
int image_expect(struct image_writer *w, const char *name, uint64_t len);

/*
 * Has the image build on the one at path, which is relative to the directory of this one, and opens
 * that: image_close() it. Restores find it there.
 */
int image_build_on(struct image_writer *w, const char *path, struct image **out);

/* The threads that write keep off the processor that the caller is on. */
void image_keep_apart(struct image_writer *w);

/*
 * Writes meta.json and inventory.img, brings all to disk, and gives the directory its name. An
 * image that was there is exchanged and then removed; other files of a directory that was there
 * stay with the new one. Returns 0 or -errno with a text, and then path is as it was.
 */
int image_commit(struct image_writer *w, const struct image_meta *meta);

/* Removes what was written. Nothing for NULL, or after a commit. */
void image_abandon(struct image_writer *w);

/* ---- reading */

/*
 * Opens the image at path: inventory.img and meta.json are checked, and that every file named there
 * is a regular file of its size. Images of CRIU and of newer versions are refused with that reason.
 * The image that it builds on, if any, is opened as well: at `parent`, as seen from the directory
 * of the image, or for NULL where its link leads to; it is to be the very one.
 */
int image_open(struct arena *a, const char *path, const char *parent,
	       const struct record_codec *codec, struct image **out);
/* Unmaps what is still mapped of it, and closes those it builds on. */
void image_close(struct image *im);
const struct image_meta *image_meta(const struct image *im);
struct image *image_parent(const struct image *im); /* NULL for none */
const char *image_path(const struct image *im);     /* for messages */

/* meta.json as it is. */
int image_meta_text(struct image *im, const char **out, size_t *out_len);

/* Bytes of all files together. */
uint64_t image_size(const struct image *im);

bool image_has(const struct image *im, const char *name);

/* The whole of a file, its digest checked; at most limit bytes. */
int image_get(struct image *im, const char *name, size_t limit, const void **out, size_t *out_len);
int image_get_record(struct image *im, const char *name, const struct record_table *t, void *out);

/*
 * A large file, mapped read-only and shared: not yet verified. image_verify_block() digests one
 * IMAGE_BLOCK of it (thread-safe), image_verify_end() compares all of them.
 */
struct image_map {
	struct image *image;
	const char *name;
	const uint8_t *data; /* NULL where len is 0 */
	size_t len;
	size_t n_blocks;
	struct image_digest *blocks;
};
int image_map(struct image *im, const char *name, struct image_map *out);
void image_verify_block(struct image_map *m, size_t block);
int image_verify_end(const struct image_map *m);
void image_unmap(struct image_map *m);

/*
 * Digests of all files, also of the images that it builds on ("parent/NAME"). NULL in place of a
 * function: nobody is told. each: of every file, result 0 or -errno with the text stored. tick: of
 * so many bytes more; a result other than 0 ends it.
 */
struct image_audience {
	void (*each)(void *ctx, const char *name, uint64_t size, int result);
	int (*tick)(void *ctx, uint64_t bytes);
	void *ctx;
};
int image_verify(struct image *im, const struct image_audience *audience);

#endif
