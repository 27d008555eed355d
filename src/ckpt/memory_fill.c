/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory, the way back: the pages, straight from the mapped image.
 *
 * Where a mapping has many of them, or neighbours that were made in one, a userfaultfd of the
 * process puts them in: the kernel then copies to a page that it neither clears nor faults for,
 * which is twice as fast. Only whole mappings of private memory without a file can be served so,
 * with pages of the smallest size: others, those with huge pages too, are written to by
 * process_vm_writev(2). What is served need not be writable, and is taken apart before a page is in
 * it: afterwards that takes twice as long.
 *
 * The work is cut at the blocks of the image's digest, each verified just before it is used (or
 * while the container was being made), and shared by a few threads. Nothing of the process runs
 * before all of it was found right.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/engine.h"
#include "ckpt/memory.h"
#include "ckpt/pages.h"
#include "task/stay.h"
#include "task/trace.h"

#define MANY 64   /* pages that are worth a userfaultfd */
#define SPANS 128 /* of one process_vm_writev(2) */
#define WORKERS_MAX 4
#define BLOCKS_A_WORKER 2 /* below that another thread is not worth its start */

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

struct fill {
	struct ckpt *c;
	pid_t pid;
	struct memory_map *map;
	struct page_store *pages;
	size_t page, n_blocks;
	int uffd; /* -1: none */
	atomic_size_t next;
	size_t told; /* blocks that the caller's audience knows of */
	atomic_bool failed;
	struct err err; /* of the first who failed */
	pthread_mutex_t lock;
};

struct worker {
	struct fill *f;
	struct peek mem;
	struct peek_span spans[SPANS]; /* not yet written: from `data` on */
	size_t n, len;
	const uint8_t *data;
};

/* ---- one thread's part */

static int flush(struct worker *w)
{
	int ret = w->n ? peek_scatter(&w->mem, w->spans, w->n, w->data) : 0;

	w->n = w->len = 0;
	return ret;
}

static int write_pages(struct worker *w, uint64_t addr, const uint8_t *data, size_t len)
{
	int ret = w->n == SPANS || (w->n && w->data + w->len != data) ? flush(w) : 0;

	if (!w->n)
		w->data = data;
	w->spans[w->n++] = (struct peek_span){ addr, len };
	w->len += len;
	return ret;
}

static int serve_pages(const struct fill *f, uint64_t addr, const uint8_t *data, size_t len)
{
	struct uffdio_copy copy;
	size_t done = 0;

	while (done < len) {
		copy = (struct uffdio_copy){
			.dst = addr + done,
			.src = (uintptr_t)data + done,
			.len = len - done,
		};
		if (ioctl(f->uffd, UFFDIO_COPY, &copy) < 0 && errno != EAGAIN)
			return fail_errno("process %d: put pages at 0x%llx", f->pid,
					  (unsigned long long)(addr + done));
		if (copy.copy > 0)
			done += (size_t)copy.copy;
	}
	return 0;
}

static size_t mapping_at(const struct memory_map *map, uint64_t addr)
{
	size_t low = 0, high = map->n;

	while (high - low > 1) {
		size_t mid = low + (high - low) / 2;

		if (map->v[mid].start <= addr)
			low = mid;
		else
			high = mid;
	}
	return low;
}

/* A part of a run; neighbouring mappings may share it. */
static int put_pages(struct worker *w, uint64_t addr, const uint8_t *data, size_t len)
{
	size_t v = mapping_at(w->f->map, addr), part;
	int ret = 0;

	for (; len && !ret; addr += part, data += part, len -= part, v++) {
		uint64_t room = w->f->map->v[v].end - addr;

		part = len < room ? len : (size_t)room;
		ret = w->f->map->v[v].served ? serve_pages(w->f, addr, data, part)
					     : write_pages(w, addr, data, part);
	}
	return ret;
}

/* The first run that does not end before byte `at` of the file. */
static size_t run_at(const struct page_source *s, uint64_t at, size_t page)
{
	size_t low = 0, high = s->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->runs[mid].at + s->runs[mid].pages * page <= at)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int put_block(struct worker *w, struct page_source *s, size_t block)
{
	uint64_t begin = (uint64_t)block * IMAGE_BLOCK, end = begin + IMAGE_BLOCK;
	size_t page = w->f->page;
	int ret = 0;

	page_source_digest(s, block);
	for (size_t i = run_at(s, begin, page); i < s->n && s->runs[i].at < end && !ret; i++) {
		const struct page_run *r = &s->runs[i];
		uint64_t from = r->at > begin ? r->at : begin;
		uint64_t to = r->at + r->pages * page < end ? r->at + r->pages * page : end;

		ret = put_pages(w, r->start + (from - r->at), s->map.data + from,
				(size_t)(to - from));
	}
	return ret ? ret : flush(w);
}

static int put_next(struct worker *w, size_t i)
{
	struct page_store *pages = w->f->pages;
	size_t s = 0;

	for (; i >= pages->v[s].map.n_blocks; s++)
		i -= pages->v[s].map.n_blocks;
	return put_block(w, &pages->v[s], i);
}

/* By the first thread, for all of them. */
static int tell(struct fill *f, size_t upto)
{
	size_t n = upto - f->told;

	f->told = upto;
	return ckpt_tick(f->c, (uint64_t)n * IMAGE_BLOCK);
}

static void work(struct fill *f, bool first)
{
	struct worker w = { .f = f };
	size_t i;
	int ret;

	peek_of_tracee(f->pid, &w.mem);
	while (!atomic_load(&f->failed) && (i = atomic_fetch_add(&f->next, 1)) < f->n_blocks) {
		ret = put_next(&w, i);
		if (!ret && first)
			ret = tell(f, i + 1);
		if (!ret)
			continue;
		pthread_mutex_lock(&f->lock);
		if (!atomic_exchange(&f->failed, true))
			f->err = *err_last();
		pthread_mutex_unlock(&f->lock);
	}
	peek_close(&w.mem);
}

static void *help(void *fill)
{
	work(fill, false);
	return NULL;
}

/* ---- all of it */

static size_t workers_for(const struct fill *f)
{
	size_t n = stay_processors(&f->c->stay);
	size_t useful = f->n_blocks / BLOCKS_A_WORKER;

	if (n > WORKERS_MAX)
		n = WORKERS_MAX;
	return n < useful ? n : useful;
}

/* The first thread does what others can't be started for. */
static void run(struct fill *f)
{
	pthread_t others[WORKERS_MAX];
	size_t want = workers_for(f), n = 0;

	if (want > 1)
		memory_digest_stop(f->c);
	while (n + 1 < want && stay_helper(&f->c->stay, &others[n], help, f) == 0)
		n++;
	if (!n) {
		work(f, true);
		return;
	}
	stay_end(&f->c->stay);
	work(f, true);
	while (n)
		pthread_join(others[--n], NULL);
	stay_begin(&f->c->stay);
}

static bool can_be_served(const struct vma *v)
{
	return v->sort == VMA_ANONYMOUS && !(v->flags & PROC_VMA_HUGEPAGE);
}

/* The last of those that were made with v, up to one that can't be served; and their pages. */
static const struct vma *last_to_serve(const struct memory_map *map, const struct vma *v,
				       uint64_t *out_pages)
{
	const struct vma *end = map->v + map->n;

	*out_pages = v->pages;
	for (; v + 1 < end && memory_is_one(v, v + 1) && can_be_served(v + 1); v++)
		*out_pages += v[1].pages;
	return v;
}

/* A userfaultfd of the process, in our hands. -1 where the kernel gives none. */
static int open_uffd(struct ckpt_proc *p)
{
	const struct ckpt_thread *t = p->threads[0];
	struct uffdio_api api = { .api = UFFD_API };
	auto_fd ours = -1;
	int64_t fd;

	if (trace_syscall(t->trace, &fd, SYS_userfaultfd,
			  O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY) ||
	    fd < 0)
		return -1;
	ours = ckpt_take_fd(t, (int)fd);
	if (ours < 0 || ioctl(ours, UFFDIO_API, &api) < 0)
		return -1;
	return fd_take(&ours);
}

static void serve(struct fill *f, struct ckpt_proc *p)
{
	struct vma *end = f->map->v + f->map->n;
	const struct vma *last;
	uint64_t pages;

	for (struct vma *v = f->map->v; v < end; v++) {
		struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };

		if (!can_be_served(v))
			continue;
		last = last_to_serve(f->map, v, &pages);
		if (pages >= MANY && f->uffd < 0)
			f->uffd = open_uffd(p);
		if (pages >= MANY && f->uffd < 0)
			return;
		reg.range.start = v->start;
		reg.range.len = last->end - v->start;
		v->served = pages >= MANY && ioctl(f->uffd, UFFDIO_REGISTER, &reg) == 0;
		for (; v < last; v++)
			v[1].served = v->served;
	}
}

int memory_fill(struct ckpt *c, struct ckpt_proc *p, struct ckpt_batch *b, struct memory_map *map,
		struct page_store *pages)
{
	struct fill f = {
		.c = c,
		.pid = p->host,
		.map = map,
		.pages = pages,
		.page = (size_t)sysconf(_SC_PAGESIZE),
		.uffd = -1,
	};
	int ret;

	for (size_t i = 0; i < pages->n; i++)
		f.n_blocks += pages->v[i].map.n_blocks;
	serve(&f, p);
	ret = memory_protect(b, map, true);
	if (!ret) {
		pthread_mutex_init(&f.lock, NULL);
		run(&f);
		pthread_mutex_destroy(&f.lock);
	}
	/* what is not there yet is zeros again, and no longer our affair */
	fd_close(f.uffd);
	if (f.failed) {
		err_set(&f.err);
		return -f.err.code;
	}
	for (size_t i = 0; i < pages->n && !ret; i++)
		ret = page_source_verify(&pages->v[i]);
	c->stats.pages_restored += pages->pages;
	return ret;
}
