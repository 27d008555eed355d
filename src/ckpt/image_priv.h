/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of the writing side of an image have of one another. */
#ifndef CKPT_IMAGE_PRIV_H
#define CKPT_IMAGE_PRIV_H

#include "ckpt/image_digest.h"

struct image_pump;
struct image_queue;

struct image_writer {
	struct arena *a;
	const struct record_codec *codec;
	const char *path, *name, *tmp; /* name and tmp in the directory `parent` */
	int parent, dir;
	struct image_entry *files;
	size_t n, room;
	struct image_pump *pump; /* of the first stream that needs it */
	struct image_queue *queue;
	const char *expected; /* the file of image_expect(), while nobody has opened it */
	int expected_fd;
	struct image *parent_image; /* that of image_build_on() */
	bool in_memory; /* a file system without a disk: there is nothing to be brought to */
	bool done;
};

/* A new file of the image: its descriptor, or -errno with a text. */
int image_create_file(struct image_writer *w, const char *name);

/* And what is in it. Any thread may. */
int image_write_file(struct image_writer *w, const char *name, const void *data, size_t len);

/* Removes what image_expect() made and nobody came for. */
void image_unexpect(struct image_writer *w);

/* It is written: meta.json will name it. */
void image_remember(struct image_writer *w, const char *name, uint64_t size,
		    struct image_digest digest);

/* Has the disk begin with what was written to a file. */
void image_begin_sync(const struct image_writer *w, int fd);

/* The image called `name` in the directory that is written. */
int image_open_from(struct image_writer *w, const char *name, struct image **out);

/* Whether the directory `name` is that of the image, or of one that it builds on. */
bool image_is_chain(const struct image *im, int at, const char *name);

/* Of meta.json: who builds on it names it so. */
const struct image_digest *image_identity(const struct image *im);

#endif
