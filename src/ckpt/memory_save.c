/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The private pages of a process, into the image. They are read by the buffer, as many runs as fit,
 * and while a second thread writes one buffer the next one is read.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/memory.h"
#include "ckpt/pages.h"
#include "task/peek.h"

#define RUNS 512
#define SPANS 64

struct saver {
	struct ckpt *c;
	struct peek *mem;
	bool live; /* the process is not under control */
	int pagemap;
	size_t page;
	struct memory_map *map;
	size_t guards_room;
	bool no_guards; /* the kernel doesn't tell them */
	struct page_sink sink;
	struct page_span spans[SPANS]; /* of the next buffer */
	size_t n, len;
};

/* Each span as far as it can be read now. */
static size_t read_some(struct saver *s, uint8_t *buffer)
{
	size_t n = 0, at = 0;
	ssize_t len;

	for (size_t i = 0; i < s->n; i++) {
		len = peek_some(s->mem, s->spans[i].addr, buffer + at, s->spans[i].len);
		if (len < (ssize_t)s->page)
			continue;
		s->spans[n] = s->spans[i];
		s->spans[n].len = (size_t)len & ~(s->page - 1);
		at += s->spans[n++].len;
	}
	return n;
}

static int flush(struct saver *s)
{
	struct peek_span from[SPANS];
	size_t n = s->n;
	uint8_t *buffer;
	int ret;

	if (!n)
		return 0;
	buffer = page_sink_room(&s->sink);
	if (!buffer)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		from[i] = (struct peek_span){ s->spans[i].addr, s->spans[i].len };
	ret = peek_gather(s->mem, from, n, buffer);
	if (ret && s->live) {
		n = read_some(s, buffer);
		ret = 0;
	}
	if (!ret)
		ret = page_sink_take(&s->sink, buffer, s->spans, n);
	if (!ret)
		ret = ckpt_tick(s->c, s->len);
	s->n = s->len = 0;
	return ret;
}

static int add_run(struct saver *s, const struct proc_page_run *r, struct vma *v)
{
	uint64_t left, at = r->start;
	size_t len;
	int ret = 0;

	for (; at < r->end && !ret; at += len) {
		left = r->end - at;
		len = IMAGE_ROOM - s->len < left ? IMAGE_ROOM - s->len : (size_t)left;
		s->spans[s->n++] = (struct page_span){
			.addr = at,
			.len = len,
			.drop_zero = v->sort == VMA_ANONYMOUS,
			.saved = &v->pages,
		};
		s->len += len;
		if (s->n == SPANS || s->len == IMAGE_ROOM)
			ret = flush(s);
	}
	return ret;
}

static void add_guard(struct saver *s, const struct proc_page_run *r)
{
	struct memory_map *map = s->map;

	if (map->n_guards && map->guards[map->n_guards - 1].end == r->start) {
		map->guards[map->n_guards - 1].end = r->end;
		return;
	}
	map->guards = arena_grow(s->c->arena, map->guards, map->n_guards, &s->guards_room,
				 sizeof(*map->guards));
	map->guards[map->n_guards++] = (struct guard){ r->start, r->end };
}

/* Kernels before 6.15 don't know the category, and then whoever reads such a page is told. */
static int scan(struct saver *s, uint64_t *at, uint64_t end, struct proc_page_run *runs, size_t *n)
{
	struct proc_pages_query q = proc_pages_private;
	int ret;

	q.told = s->no_guards ? PROC_PAGE_PRESENT : PROC_PAGE_GUARD;
	ret = proc_pages(s->pagemap, *at, end, &q, runs, RUNS, n, at);
	if (ret == -EINVAL && !s->no_guards) {
		s->no_guards = true;
		return scan(s, at, end, runs, n);
	}
	return ret;
}

/* Mappings follow one another, and so do runs: where mappings touch, one run may be of several. Of
 * what is shared only the guards are the process's own; what the kernel may drop at any time is
 * dropped: random numbers are made from it, which two containers of one image should not share. */
static int take_run(struct saver *s, const struct proc_page_run *r, size_t *v)
{
	struct proc_page_run part = *r;
	int ret = 0;

	for (; part.start < r->end && !ret; part.start = part.end) {
		while (*v < s->map->n && s->map->v[*v].end <= part.start)
			++*v;
		/* mapped since, where the process is not under control */
		if (*v == s->map->n || s->map->v[*v].start >= r->end)
			return 0;
		if (part.start < s->map->v[*v].start)
			part.start = s->map->v[*v].start;
		part.end = r->end < s->map->v[*v].end ? r->end : s->map->v[*v].end;
		if (memory_is_kernels(&s->map->v[*v]))
			continue;
		if (r->categories & PROC_PAGE_GUARD)
			add_guard(s, &part);
		else if (!s->map->v[*v].shared && !(s->map->v[*v].flags & PROC_VMA_DROPPABLE))
			ret = add_run(s, &part, &s->map->v[*v]);
	}
	return ret;
}

static int save_range(struct saver *s, uint64_t at, uint64_t end, size_t *v)
{
	struct proc_page_run runs[RUNS];
	size_t n;
	int ret = 0;

	while (at < end && !ret) {
		ret = scan(s, &at, end, runs, &n);
		for (size_t i = 0; i < n && !ret; i++)
			ret = take_run(s, &runs[i], v);
	}
	return ret;
}

/* Where each page that is not there takes its time, too: those mappings that have pages. */
static int save_filled(struct saver *s, pid_t host)
{
	struct proc_vmas now;
	size_t v = 0;
	int ret = proc_smaps(s->c->arena, host, &now);

	for (size_t i = 0; i < now.n && !ret; i++)
		if (now.v[i].anonymous || now.v[i].swap)
			ret = save_range(s, now.v[i].start, now.v[i].end, &v);
	return ret;
}

static int save_all(struct saver *s, pid_t host)
{
	const struct memory_map *map = s->map;
	size_t v = 0;
	int ret = 0;

	if (!proc_pages_scans(s->pagemap))
		ret = save_filled(s, host);
	else if (map->n)
		ret = save_range(s, map->v[0].start, map->v[map->n - 1].end, &v);
	return ret ? ret : flush(s);
}

int memory_save_pages(struct ckpt *c, struct ckpt_proc *p, struct peek *mem, struct memory_map *map,
		      struct page_store *parent)
{
	struct saver s = { .c = c,
			   .map = map,
			   .mem = mem,
			   .live = !p->trace,
			   .page = (size_t)sysconf(_SC_PAGESIZE) };
	auto_fd pagemap = -1;
	char path[64];
	int ret, closed;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", p->host);
	s.pagemap = pagemap = open(path, O_RDONLY | O_CLOEXEC);
	if (pagemap < 0)
		return errno == ENOENT || errno == ESRCH ? -ESRCH : fail_errno("open %s", path);
	snprintf(path, sizeof(path), "process.%d", p->pid);
	ret = page_sink_open(c, path, parent, &s.sink);
	if (ret)
		return ret;
	ret = save_all(&s, p->host);
	closed = page_sink_close(&s.sink);
	return ret ? ret : closed;
}
