/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that processes share without a file that has a name: mmap(2) MAP_SHARED | MAP_ANONYMOUS,
 * and memfd_create(2). An object is saved once, whoever maps it or has a descriptor of it. It is
 * read through a descriptor where one can be had (so that holes stay holes), else through the
 * mappings.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/kinds.h"
#include "ckpt/shm.h"
#include "task/trace.h"

#define ANONYMOUS "/dev/zero"
#define MEMFD "/memfd:"
#define BUFFER (256u << 10)
#define SIZE_MAX_OBJECT (1ull << 46)

/* Where a process shows a part of the object. */
struct view {
	struct ckpt_proc *p;
	uint64_t addr, offset, len;
	struct view *next;
};

struct shm {
	uint64_t size;
	const char *name; /* of a memfd; NULL: anonymous */
	uint32_t seals;
	/* not in the image */
	uint64_t dev, ino;
	int fd; /* + 1, 0 for none */
	struct view *views;
};

struct shms {
	struct shm *v;
	size_t n, room;
};

static const struct record_field object_rows[] = {
	RECORD(U, struct shm, "size", size, RECORD_MAX(SIZE_MAX_OBJECT)),
	RECORD(TEXT, struct shm, "name", name, RECORD_OPTIONAL, RECORD_MAX(255)),
	RECORD(HEX, struct shm, "seals", seals, RECORD_OPTIONAL),
};
static const struct record_table object_table = RECORD_TABLE(struct shm, object_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct shms, "objects", v, n, object_table),
};
static const struct record_table table = RECORD_TABLE(struct shms, rows);

static struct shms *objects_of(struct ckpt *c)
{
	const struct ckpt_unit u = { .c = c };

	return ckpt_section(&kind_shm, &u);
}

bool shm_is(const struct proc_vma *v)
{
	return v->shared && v->deleted &&
	       (strcmp(v->name, ANONYMOUS) == 0 || str_starts(v->name, MEMFD));
}

/* ---- dump */

static struct shm *find(struct ckpt *c, uint64_t dev, uint64_t ino, uint32_t *out_id)
{
	struct shms *o = objects_of(c);
	size_t i = 0;

	while (i < o->n && (o->v[i].dev != dev || o->v[i].ino != ino))
		i++;
	*out_id = (uint32_t)i;
	return i < o->n ? &o->v[i] : NULL;
}

static struct shm *add(struct ckpt *c, uint64_t dev, uint64_t ino)
{
	struct shms *o = objects_of(c);

	o->v = arena_grow(c->arena, o->v, o->n, &o->room, sizeof(*o->v));
	o->v[o->n] = (struct shm){ .dev = dev, .ino = ino };
	return &o->v[o->n++];
}

/* The name given to memfd_create(2), out of "/memfd:NAME (deleted)". */
static const char *memfd_name(struct ckpt *c, const char *link)
{
	static const char end[] = " (deleted)";
	size_t n = strlen(link += strlen(MEMFD));

	if (str_ends(link, end))
		n -= strlen(end);
	return arena_strndup(c->arena, link, n);
}

/* What only a descriptor tells. */
static int ask(struct shm *o, int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (fstat(fd, &st) < 0)
		return fail_errno("look at shared memory");
	o->size = (uint64_t)st.st_size;
	/* every file of the sort has some: those of a memfd are its maker's choice */
	o->seals = o->name && seals > 0 ? (uint32_t)seals : 0;
	o->fd = fd + 1;
	return 0;
}

int shm_of_vma(struct ckpt *c, struct ckpt_proc *p, const struct proc_vma *v, uint32_t *out_id)
{
	uint64_t dev = makedev(v->major, v->minor), len = v->end - v->start;
	struct shm *o = find(c, dev, v->inode, out_id);
	struct view *view = arena_alloc(c->arena, sizeof(*view));
	char path[96];
	int fd, ret = 0;

	if (!o) {
		o = add(c, dev, v->inode);
		if (str_starts(v->name, MEMFD))
			o->name = memfd_name(c, v->name);
		snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", p->host,
			 (unsigned long long)v->start, (unsigned long long)v->end);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0)
			ret = ask(o, fd);
	}
	*view = (struct view){ p, v->start, v->offset, len, o->views };
	o->views = view;
	/* without one it is as long as somebody sees it */
	if (!o->fd && o->size < v->offset + len)
		o->size = v->offset + len;
	return ret;
}

struct saver {
	struct ckpt *c;
	struct image_stream *pages, *runs;
	uint8_t *buffer;
	size_t page;
	struct image_run run;
};

static int end_run(struct saver *s)
{
	struct image_run run = s->run;

	s->run = (struct image_run){ 0 };
	return run.pages ? image_stream_write(s->runs, &run, sizeof(run)) : 0;
}

/* The pages of the buffer that are not zero. */
static int keep(struct saver *s, uint64_t at, size_t len)
{
	int ret = 0;

	for (size_t i = 0; i < len && !ret; i += s->page) {
		const uint8_t *page = s->buffer + i;

		if (!page[0] && memcmp(page, page + 1, s->page - 1) == 0)
			continue;
		if (!s->run.pages || s->run.start + s->run.pages * s->page != at + i) {
			ret = end_run(s);
			s->run.start = at + i;
		}
		s->run.pages++;
		s->c->stats.pages_written++;
		if (!ret)
			ret = image_stream_write(s->pages, page, s->page);
	}
	return ret;
}

static int save_by_fd(struct saver *s, const struct shm *o)
{
	int fd = o->fd - 1, ret = 0;
	off_t at = 0, end;
	ssize_t n;

	while (!ret && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		for (; at < end && !ret; at += n) {
			n = pread(fd, s->buffer, (size_t)(end - at < BUFFER ? end - at : BUFFER),
				  at);
			if (n <= 0)
				return fail_errno("read shared memory");
			/* the last page may be one in part */
			memset(s->buffer + n, 0, -(size_t)n % s->page);
			ret = keep(s, (uint64_t)at, ((size_t)n + s->page - 1) & ~(s->page - 1));
		}
	}
	return ret ? ret : errno == ENXIO ? 0 : fail_errno("find what is in shared memory");
}

static const struct view *view_at(const struct shm *o, uint64_t offset)
{
	for (const struct view *v = o->views; v; v = v->next)
		if (v->offset <= offset && offset < v->offset + v->len)
			return v;
	return NULL;
}

static int save_by_views(struct saver *s, const struct shm *o)
{
	uint64_t at = 0, left;
	const struct view *v;
	size_t len;
	int ret = 0;

	while (at < o->size && !ret) {
		len = s->page;
		v = view_at(o, at);
		if (v) {
			left = v->offset + v->len - at;
			len = left < BUFFER ? (size_t)left : BUFFER;
			ret = peek_read(&v->p->trace->mem, v->addr + (at - v->offset), s->buffer,
					len);
			if (!ret)
				ret = keep(s, at, len);
		}
		at += len;
	}
	return ret;
}

static int save_object(struct saver *s, struct shm *o, size_t id)
{
	struct ckpt *c = s->c;
	int ret = image_stream_open(c->writer, arena_printf(c->arena, "shm.%zu.memory.bin", id),
				    &s->pages);

	if (ret)
		return ret;
	ret = image_stream_open(c->writer, arena_printf(c->arena, "shm.%zu.runs.bin", id),
				&s->runs);
	if (!ret) {
		ret = o->fd ? save_by_fd(s, o) : save_by_views(s, o);
		if (!ret)
			ret = end_run(s);
		image_stream_close(s->runs);
	}
	image_stream_close(s->pages);
	fd_close(o->fd - 1);
	o->fd = 0;
	return ret;
}

static int save(const struct ckpt_unit *u)
{
	struct shms *o = u->rec;
	struct saver s = { .c = u->c, .page = (size_t)sysconf(_SC_PAGESIZE) };
	int ret = 0;

	s.buffer = arena_alloc(u->c->arena, o->n ? BUFFER : 1);
	for (size_t i = 0; i < o->n && !ret; i++)
		ret = save_object(&s, &o->v[i], i);
	return ret;
}

/* ---- restore */

/* As mmap(2) makes it, where its file can be had (that takes rights over the machine); else a
 * memfd. */
static int make_anonymous(uint64_t size)
{
	void *m = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char path[96];
	int fd;

	if (m == MAP_FAILED)
		return fail_errno("map %llu bytes of shared memory", (unsigned long long)size);
	snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx",
		 (unsigned long long)(uintptr_t)m, (unsigned long long)(uintptr_t)m + size);
	fd = open(path, O_RDWR | O_CLOEXEC);
	munmap(m, size);
	if (fd >= 0)
		return fd;
	fd = memfd_create("dev-zero", MFD_CLOEXEC);
	if (fd < 0 || ftruncate(fd, (off_t)size) < 0) {
		fd_close(fd);
		return fail_errno("make %llu bytes of shared memory", (unsigned long long)size);
	}
	return fd;
}

static int make_memfd(const struct shm *o)
{
	auto_fd fd = memfd_create(o->name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0 || ftruncate(fd, (off_t)o->size) < 0)
		return fail_errno("make the memfd %s of %llu bytes", o->name,
				  (unsigned long long)o->size);
	return fd_take(&fd);
}

static int fill(struct ckpt *c, size_t id, const struct shm *o)
{
	struct image_map pages, runs;
	const struct image_run *run;
	size_t page = (size_t)sysconf(_SC_PAGESIZE), at = 0, len;
	int ret = image_map(c->image, arena_printf(c->arena, "shm.%zu.memory.bin", id), &pages);

	if (ret)
		return ret;
	ret = image_map(c->image, arena_printf(c->arena, "shm.%zu.runs.bin", id), &runs);
	if (ret) {
		image_unmap(&pages);
		return ret;
	}
	for (size_t i = 0; i < pages.n_blocks; i++)
		image_verify_block(&pages, i);
	for (size_t i = 0; i < runs.n_blocks; i++)
		image_verify_block(&runs, i);
	ret = image_verify_end(&pages);
	if (!ret)
		ret = image_verify_end(&runs);
	run = (const struct image_run *)runs.data;
	for (size_t i = 0; i < runs.len / sizeof(*run) && !ret; i++, at += len) {
		len = run[i].pages * page;
		if (run[i].pages > (pages.len - at) / page || run[i].start % page ||
		    run[i].start > o->size || run[i].start + len > ((o->size + page - 1) & -page))
			ret = fail(EBADMSG, "the image: shm.%zu.runs.bin: run %zu is out of bounds",
				   id, i);
		else if (pwrite(o->fd - 1, pages.data + at,
				run[i].start + len > o->size ? o->size - run[i].start : len,
				(off_t)run[i].start) < 0)
			ret = fail_errno("fill shared memory");
	}
	image_unmap(&pages);
	image_unmap(&runs);
	return ret;
}

static int make_object(struct ckpt *c, size_t id, struct shm *o)
{
	int fd, ret;

	if (!o->name && (!o->size || o->size % (uint64_t)sysconf(_SC_PAGESIZE)))
		return fail(EBADMSG, "the image: %s: shm.objects[%zu].size is not made of pages",
			    IMAGE_CONTAINER, id);
	fd = o->name ? make_memfd(o) : make_anonymous(o->size);
	if (fd < 0)
		return fd;
	o->fd = fd + 1;
	ret = fill(c, id, o);
	if (!ret && o->seals && fcntl(fd, F_ADD_SEALS, o->seals) < 0)
		ret = fail_errno("seal the memfd %s", o->name);
	return ret;
}

static int prepare(const struct ckpt_unit *u)
{
	struct shms *o = u->rec;
	int ret = 0;

	for (size_t i = 0; i < o->n && !ret; i++)
		ret = make_object(u->c, i, &o->v[i]);
	return ret;
}

int shm_fd(struct ckpt *c, uint32_t id)
{
	struct shms *o = objects_of(c);

	if (id >= o->n || !o->v[id].fd)
		return fail(EBADMSG, "the image: %s: shm.objects: number %u is missing",
			    IMAGE_CONTAINER, id);
	return o->v[id].fd - 1;
}

static int let_go(const struct ckpt_unit *u)
{
	struct shms *o = u->rec;

	for (size_t i = 0; i < o->n; i++) {
		fd_close(o->v[i].fd - 1);
		o->v[i].fd = 0;
	}
	return 0;
}

const struct ckpt_kind kind_shm = {
	.name = "shm",
	.scope = KIND_CONTAINER,
	.table = &table,
	.save = save,
	.prepare = prepare,
	.rebuild = { [PHASE_MM] = let_go },
};

/* ---- descriptors of memfds */

struct memfd {
	uint32_t object;
};

static const struct record_field memfd_rows[] = {
	RECORD(U, struct memfd, "object", object),
};
static const struct record_table memfd_table = RECORD_TABLE(struct memfd, memfd_rows);

static bool memfd_owns(const struct file_look *l)
{
	return str_starts(l->link, MEMFD) && l->st.st_nlink == 0 && S_ISREG(l->st.st_mode);
}

static const char *memfd_check(const struct file_look *l)
{
	if (l->fs_type == HUGETLBFS_MAGIC)
		return "it is memory of hugetlbfs";
	return l->info->n_locks ? "it holds a file lock" : NULL;
}

static int memfd_collect(const struct file_look *l, struct ckpt_file *f)
{
	struct memfd *m = f->record;
	struct shm *o = find(l->c, l->st.st_dev, l->st.st_ino, &m->object);
	char path[64];
	int fd;

	if (!o) {
		o = add(l->c, l->st.st_dev, l->st.st_ino);
		o->name = memfd_name(l->c, l->link);
	}
	if (o->fd)
		return 0;
	snprintf(path, sizeof(path), "/proc/%d/fd/%u", l->p->host, l->fd);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd < 0 ? fail_errno("open %s", path) : ask(o, fd);
}

/* A description of its own on the same memory. */
static int memfd_make(struct ckpt *c, struct ckpt_file *f)
{
	const struct memfd *m = f->record;
	int fd = shm_fd(c, m->object), again;

	if (fd < 0)
		return fd;
	again = fd_reopen(fd,
			  (int)(f->flags & ~(uint32_t)(O_CREAT | O_EXCL | O_TRUNC)) | O_CLOEXEC);
	return again < 0 ? fail(-again, "open a memfd again: %s", err_reason(-again)) : again;
}

const struct file_kind file_memfd = {
	.name = "memfd",
	.table = &memfd_table,
	.owns = memfd_owns,
	.check = memfd_check,
	.collect = memfd_collect,
	.make = memfd_make,
	.keeps_pos = true,
};
