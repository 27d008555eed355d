/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/image_digest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "base/str.h"

#define FEW_BLOCKS 16

static const struct record_field entry_rows[] = {
	RECORD(TEXT, struct image_entry, "name", name, RECORD_MAX(IMAGE_NAME_MAX)),
	RECORD(U, struct image_entry, "size", size, RECORD_MAX(INT64_MAX)),
	RECORD(BYTES, struct image_entry, "digest", digest,
	       RECORD_N(struct image_entry, digest_len), RECORD_MAX(sizeof(struct image_digest))),
};
static const struct record_table entry_table = RECORD_TABLE(struct image_entry, entry_rows);

static const struct record_field contents_rows[] = {
	RECORD(U, struct image_contents, "version", meta.version),
	RECORD(TEXT, struct image_contents, "id", meta.id),
	RECORD(TEXT, struct image_contents, "created", meta.created),
	RECORD(TEXT, struct image_contents, "runtime", meta.runtime),
	RECORD(TEXT, struct image_contents, "kernel", meta.kernel),
	RECORD(TEXT, struct image_contents, "machine", meta.machine),
	RECORD(U, struct image_contents, "pageSize", meta.page_size),
	RECORD(NUMBERS, struct image_contents, "pids", meta.pids,
	       RECORD_N(struct image_contents, meta.n_pids)),
	RECORD(BOOL, struct image_contents, "preDump", meta.pre_dump, RECORD_OPTIONAL),
	RECORD(BYTES, struct image_contents, "parent", meta.parent,
	       RECORD_N(struct image_contents, meta.parent_len), RECORD_OPTIONAL,
	       RECORD_MAX(sizeof(struct image_digest))),
	RECORD_LIST_OF(struct image_contents, "files", files, n_files, entry_table,
		       RECORD_MAX(IMAGE_FILES_MAX)),
};
const struct record_table image_contents_table = RECORD_TABLE(struct image_contents, contents_rows);

bool image_name_ok(const char *name)
{
	static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				      "0123456789._-";
	size_t n = strlen(name);

	return n > 0 && n <= IMAGE_NAME_MAX && name[0] != '.' && strspn(name, allowed) == n;
}

struct image_digest image_digest_block(const void *data, size_t len)
{
	XXH128_canonical_t c;
	struct image_digest d;

	XXH128_canonicalFromHash(&c, XXH3_128bits(data, len));
	memcpy(d.b, c.digest, sizeof(d.b));
	return d;
}

struct image_digest image_digest_join(const struct image_digest *blocks, size_t n)
{
	return image_digest_block(blocks, n * sizeof(*blocks));
}

struct image_digest image_digest_of(const void *data, size_t len)
{
	size_t n = (len + IMAGE_BLOCK - 1) / IMAGE_BLOCK, at, part;
	struct image_digest few[FEW_BLOCKS] = { 0 }, *blocks = few, d;

	if (n > FEW_BLOCKS)
		blocks = malloc(n * sizeof(*blocks));
	if (!blocks)
		abort();
	for (size_t i = 0; i < n; i++) {
		at = i * IMAGE_BLOCK;
		part = len - at < IMAGE_BLOCK ? len - at : IMAGE_BLOCK;
		blocks[i] = image_digest_block((const char *)data + at, part);
	}
	d = image_digest_join(blocks, n);
	if (blocks != few)
		free(blocks);
	return d;
}

void image_digest_text(const struct image_digest *d, char out[33])
{
	for (size_t i = 0; i < sizeof(d->b); i++)
		snprintf(out + 2 * i, 3, "%02x", d->b[i]);
}
