/* SPDX-License-Identifier: Apache-2.0 */
/* What writer and reader of an image share: digests, names, the form of meta.json. */
#ifndef CKPT_IMAGE_DIGEST_H
#define CKPT_IMAGE_DIGEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ckpt/image.h"

#define IMAGE_MAGIC "thole-checkpoint"

struct image_entry {
	const char *name;
	uint64_t size;
	const void *digest;
	size_t digest_len;
};

struct image_contents {
	struct image_meta meta;
	struct image_entry *files; /* by name */
	size_t n_files;
};

extern const struct record_table image_contents_table;

/* A flat name of letters, digits and "._-" that does not begin with a dot. */
bool image_name_ok(const char *name);

/* Of one block, at most IMAGE_BLOCK bytes; and of a file from those of its blocks. */
struct image_digest image_digest_block(const void *data, size_t len);
struct image_digest image_digest_join(const struct image_digest *blocks, size_t n);
struct image_digest image_digest_of(const void *data, size_t len);

/* 32 digits and a NUL. */
void image_digest_text(const struct image_digest *d, char out[33]);

#endif
