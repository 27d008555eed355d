/* SPDX-License-Identifier: Apache-2.0 */
/* Pages of an image, found again. Nothing of the lists is believed. */
#include "ckpt/pages.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

/* Of a block's digest. */
enum { NOBODYS, BEING_TAKEN, TAKEN };

/* A list of runs, as it is in a file. */
struct list {
	const char *file;
	const struct image_run *v;
	size_t n;
	uint64_t pages;
};

static int refuse(struct image *im, const struct list *l, size_t i, const char *why)
{
	return fail(EBADMSG, "%s/%s: run %zu %s", image_path(im), l->file, i, why);
}

static int check_list(struct image *im, struct list *l, uint64_t page)
{
	uint64_t end = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct image_run *r = &l->v[i];

		if (!r->pages || r->start % page || r->start < end)
			return refuse(im, l, i, "is empty or out of order");
		if (r->start > INT64_MAX || r->pages > (INT64_MAX - r->start) / page)
			return refuse(im, l, i, "is out of bounds");
		end = r->start + r->pages * page;
		l->pages += r->pages;
	}
	return 0;
}

static int read_list(struct arena *a, struct image *im, const char *prefix, const char *what,
		     struct list *out)
{
	struct list l = { .file = arena_printf(a, "%s.%s", prefix, what) };
	const void *data;
	size_t len;
	int ret = image_get(im, l.file, IMAGE_RECORD_MAX, &data, &len);

	if (ret)
		return ret;
	if (len % sizeof(*l.v))
		return refuse(im, &l, len / sizeof(*l.v), "is cut short");
	l.v = data;
	l.n = len / sizeof(*l.v);
	ret = check_list(im, &l, image_meta(im)->page_size);
	if (!ret)
		*out = l;
	return ret;
}

static void add_source(struct arena *a, struct page_store *s, struct page_source src)
{
	struct page_source *v = arena_array(a, s->n + 1, sizeof(*v));

	if (s->n)
		memcpy(v, s->v, s->n * sizeof(*v));
	v[s->n++] = src;
	s->v = v;
}

static int add_own(struct arena *a, struct image *im, const char *prefix, struct page_store *s)
{
	uint64_t page = image_meta(im)->page_size, at = 0;
	struct page_source src = { .n = 0 };
	struct list l;
	int ret = read_list(a, im, prefix, "runs.bin", &l);

	if (!ret)
		ret = image_map(im, arena_printf(a, "%s.memory.bin", prefix), &src.map);
	if (ret)
		return ret;
	src.runs = arena_array(a, l.n + 1, sizeof(*src.runs));
	src.n = l.n;
	src.blocks = arena_array(a, src.map.n_blocks + 1, sizeof(*src.blocks));
	for (size_t i = 0; i < l.n; i++) {
		src.runs[i] = (struct page_run){ l.v[i].start, l.v[i].pages, at };
		at += l.v[i].pages * page;
	}
	add_source(a, s, src);
	s->pages += l.pages;
	return at == src.map.len ? 0 : refuse(im, &l, l.n, "is not where memory.bin ends");
}

/* What of the source is in the list. */
static struct page_run *cut(struct arena *a, const struct page_source *src, const struct list *l,
			    uint64_t page, size_t *out_n)
{
	struct page_run *v = NULL;
	size_t n = 0, room = 0, i = 0, k = 0;

	while (i < src->n && k < l->n) {
		const struct page_run *r = &src->runs[i];
		uint64_t r_end = r->start + r->pages * page;
		uint64_t l_end = l->v[k].start + l->v[k].pages * page;
		uint64_t from = r->start > l->v[k].start ? r->start : l->v[k].start;
		uint64_t to = r_end < l_end ? r_end : l_end;

		if (from < to) {
			v = arena_grow(a, v, n, &room, sizeof(*v));
			v[n++] = (struct page_run){ from, (to - from) / page,
						    r->at + (from - r->start) };
		}
		if (r_end <= l_end)
			i++;
		else
			k++;
	}
	*out_n = n;
	return v;
}

static int add_inherited(struct arena *a, struct image *im, const char *prefix,
			 struct page_store *s)
{
	uint64_t page = image_meta(im)->page_size, found = 0;
	struct page_store theirs = { .n = 0 };
	struct image *parent = image_parent(im);
	struct list l;
	int ret = read_list(a, im, prefix, "parent.bin", &l);

	if (ret || !l.n)
		return ret;
	if (!parent)
		return refuse(im, &l, 0, "is of an image that this one does not build on");
	ret = page_store_open(a, parent, prefix, &theirs);
	for (size_t i = 0; i < theirs.n; i++) {
		struct page_source src = theirs.v[i];

		src.runs = cut(a, &theirs.v[i], &l, page, &src.n);
		for (size_t k = 0; k < src.n; k++)
			found += src.runs[k].pages;
		add_source(a, s, src);
	}
	s->pages += found;
	if (!ret && found != l.pages)
		ret = refuse(im, &l, l.n - 1, "or one before is not in the image it builds on");
	return ret;
}

int page_store_open(struct arena *a, struct image *im, const char *prefix, struct page_store *out)
{
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	int ret;

	*out = (struct page_store){ .n = 0 };
	if (image_meta(im)->page_size != page)
		return fail(ENOTSUP, "the image %s has pages of %llu bytes, this machine of %llu",
			    image_path(im), (unsigned long long)image_meta(im)->page_size,
			    (unsigned long long)page);
	ret = add_own(a, im, prefix, out);
	if (!ret && image_has(im, arena_printf(a, "%s.parent.bin", prefix)))
		ret = add_inherited(a, im, prefix, out);
	return ret;
}

void page_store_close(struct page_store *s)
{
	for (size_t i = 0; i < s->n; i++)
		image_unmap(&s->v[i].map);
	s->n = 0;
}

static const uint8_t *find_in(struct page_source *s, uint64_t addr, size_t page)
{
	const struct page_run *r;

	if (s->cursor && s->runs[s->cursor - 1].start + s->runs[s->cursor - 1].pages * page > addr)
		s->cursor = 0;
	while (s->cursor < s->n &&
	       s->runs[s->cursor].start + s->runs[s->cursor].pages * page <= addr)
		s->cursor++;
	r = &s->runs[s->cursor];
	if (s->cursor == s->n || r->start > addr)
		return NULL;
	return s->map.data + r->at + (addr - r->start);
}

const uint8_t *page_store_find(struct page_store *s, uint64_t addr, size_t page)
{
	const uint8_t *found = NULL;

	for (size_t i = 0; i < s->n && !found; i++)
		found = find_in(&s->v[i], addr, page);
	return found;
}

void page_source_digest(struct page_source *s, size_t block)
{
	unsigned char before = NOBODYS;

	if (!atomic_compare_exchange_strong(&s->blocks[block], &before, BEING_TAKEN))
		return;
	image_verify_block(&s->map, block);
	atomic_store(&s->blocks[block], TAKEN);
}

int page_source_verify(struct page_source *s)
{
	for (size_t i = 0; i < s->map.n_blocks; i++)
		while (atomic_load(&s->blocks[i]) != TAKEN)
			sched_yield();
	return image_verify_end(&s->map);
}

int page_store_verify(struct page_store *s)
{
	int ret = 0;

	for (size_t i = 0; i < s->n && !ret; i++) {
		for (size_t b = 0; b < s->v[i].map.n_blocks; b++)
			page_source_digest(&s->v[i], b);
		ret = page_source_verify(&s->v[i]);
	}
	return ret;
}
