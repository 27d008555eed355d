/* SPDX-License-Identifier: Apache-2.0 */
/* Pages on their way into an image. */
#include "ckpt/pages.h"

#include <errno.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"

enum fate { ZERO, SAME, NEW };

static int open_file(struct page_sink *s, const char *prefix, const char *what,
		     struct image_stream **out)
{
	return image_stream_open(s->c->writer, arena_printf(s->c->arena, "%s.%s", prefix, what),
				 out);
}

int page_sink_open(struct ckpt *c, const char *prefix, struct page_store *parent,
		   struct page_sink *out)
{
	struct page_sink s = { .c = c, .parent = parent, .page = (size_t)sysconf(_SC_PAGESIZE) };
	struct err kept;
	int ret = open_file(&s, prefix, "memory.bin", &s.pages);

	if (!ret)
		ret = open_file(&s, prefix, "runs.bin", &s.runs);
	if (!ret && parent)
		ret = open_file(&s, prefix, "parent.bin", &s.same);
	if (ret) {
		kept = *err_last();
		page_sink_close(&s);
		err_set(&kept);
		return ret;
	}
	*out = s;
	return 0;
}

uint8_t *page_sink_room(struct page_sink *s)
{
	return image_stream_room(s->pages);
}

static int end_run(struct image_stream *to, struct image_run *run)
{
	struct image_run ended = *run;

	*run = (struct image_run){ 0 };
	return ended.pages ? image_stream_write(to, &ended, sizeof(ended)) : 0;
}

static int grow_run(const struct page_sink *s, struct image_stream *to, struct image_run *run,
		    uint64_t addr)
{
	int ret = 0;

	if (!run->pages || run->start + run->pages * s->page != addr) {
		ret = end_run(to, run);
		run->start = addr;
	}
	run->pages++;
	return ret;
}

static bool is_zero(const uint8_t *page, size_t size)
{
	uint64_t first;

	memcpy(&first, page, sizeof(first));
	return first == 0 && memcmp(page, page + sizeof(first), size - sizeof(first)) == 0;
}

static enum fate judge(struct page_sink *s, uint64_t addr, const uint8_t *page, bool drop_zero)
{
	const uint8_t *before;

	if (drop_zero && is_zero(page, s->page))
		return ZERO;
	before = s->parent ? page_store_find(s->parent, addr, s->page) : NULL;
	return before && memcmp(before, page, s->page) == 0 ? SAME : NEW;
}

static int take_page(struct page_sink *s, const struct page_span *span, uint64_t addr,
		     enum fate fate)
{
	if (fate == ZERO)
		return 0;
	if (span->saved)
		++*span->saved;
	if (fate == SAME) {
		s->c->stats.pages_skipped++;
		return grow_run(s, s->same, &s->same_run, addr);
	}
	s->c->stats.pages_written++;
	return grow_run(s, s->runs, &s->run, addr);
}

int page_sink_take(struct page_sink *s, const uint8_t *buffer, const struct page_span *spans,
		   size_t n)
{
	struct iovec parts[IMAGE_PARTS];
	const uint8_t *at = buffer;
	size_t n_parts = 0;
	enum fate fate, last = ZERO;
	int ret = 0;

	for (size_t i = 0; i < n; i++) {
		for (size_t k = 0; k < spans[i].len && !ret; k += s->page, at += s->page) {
			fate = judge(s, spans[i].addr + k, at, spans[i].drop_zero);
			ret = take_page(s, &spans[i], spans[i].addr + k, fate);
			if (fate == NEW && last != NEW)
				parts[n_parts++] = (struct iovec){ (void *)(uintptr_t)at, 0 };
			if (fate == NEW)
				parts[n_parts - 1].iov_len += s->page;
			last = fate;
		}
		s->c->stats.pages_scanned += spans[i].len / s->page;
	}
	return ret ? ret : image_stream_append(s->pages, parts, n_parts);
}

int page_sink_close(struct page_sink *s)
{
	struct {
		struct image_stream *stream;
		struct image_run *run;
	} ends[] = { { s->runs, &s->run }, { s->same, &s->same_run }, { s->pages, NULL } };
	int ret = 0, one;

	for (size_t i = 0; i < NAME_COUNT(ends); i++) {
		if (!ends[i].stream)
			continue;
		if (ends[i].run && !ret)
			ret = end_run(ends[i].stream, ends[i].run);
		one = image_stream_close(ends[i].stream);
		ret = ret ? ret : one;
	}
	return ret;
}
