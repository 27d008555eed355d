/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pages in an image, of a process or of shared memory. PREFIX.memory.bin has them, packed, and
 * PREFIX.runs.bin says where they were, as struct image_run, ascending. With an image to build on,
 * PREFIX.parent.bin lists in the same way those that stand unchanged in that one, or in the one it
 * builds on in its turn.
 */
#ifndef CKPT_PAGES_H
#define CKPT_PAGES_H

#include <stdatomic.h>

#include "ckpt/kind.h"

/* ---- found again */

struct page_run {
	uint64_t start, pages;
	uint64_t at; /* of the first one, in the file */
};

/* One memory.bin, and what of it counts. */
struct page_source {
	struct image_map map;
	struct page_run *runs; /* ascending by start, and by at */
	size_t n;
	size_t cursor;        /* of page_store_find() */
	atomic_uchar *blocks; /* of the map: by whom its digest is taken, of pages_find.c */
};

struct page_store {
	struct page_source *v; /* the first is of the image itself */
	size_t n;
	uint64_t pages; /* all together */
};

/*
 * Maps what the image and those it builds on have of PREFIX, and checks that the lists are in order
 * and lead to pages that are there. The pages themselves are not verified yet. page_store_close()
 * it in any case.
 */
int page_store_open(struct arena *a, struct image *im, const char *prefix, struct page_store *out);
void page_store_close(struct page_store *s);

/* The page that was at addr, NULL for none. Fast where addresses ascend from call to call. */
const uint8_t *page_store_find(struct page_store *s, uint64_t addr, size_t page);

/*
 * Takes the digest of a block of the source's map, unless somebody else does or has done so: any
 * thread may. When all were asked for, page_source_verify() waits for them and compares.
 */
void page_source_digest(struct page_source *s, size_t block);
int page_source_verify(struct page_source *s);

/* All digests. */
int page_store_verify(struct page_store *s);

/* ---- saved */

/* What lies in the buffer, one after the other: len bytes (whole pages) from addr. */
struct page_span {
	uint64_t addr;
	size_t len;
	bool drop_zero;  /* a page of zeros is what is there without it */
	uint64_t *saved; /* NULL, or counts those that a restore brings back */
};

struct page_sink {
	struct ckpt *c;
	struct page_store *parent; /* NULL: no image to build on */
	struct image_stream *pages, *runs, *same;
	struct image_run run, same_run; /* the last ones, which may still grow */
	size_t page;
};

/* parent must live as long as the sink. page_sink_close() it where this returned 0. */
int page_sink_open(struct ckpt *c, const char *prefix, struct page_store *parent,
		   struct page_sink *out);

/* A buffer of IMAGE_ROOM bytes: fill it, then say what it is. Addresses ascend over all calls. */
uint8_t *page_sink_room(struct page_sink *s);
int page_sink_take(struct page_sink *s, const uint8_t *buffer, const struct page_span *spans,
		   size_t n);

int page_sink_close(struct page_sink *s);

#endif
