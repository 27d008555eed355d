/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files without a name, in memory and on disk: mmap(2) MAP_SHARED | MAP_ANONYMOUS, memfd_create(2),
 * and regular files that were removed. An object is saved once, whoever maps it or has a descriptor
 * of it. It is read through a descriptor where one can be had (so that holes stay holes), else
 * through the mappings, and then as far as they reach.
 */
#include <errno.h>
#include <fcntl.h>
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
#include "ckpt/k_shm.h"
#include "ckpt/pages.h"
#include "ckpt/sockets.h"
#include "task/trace.h"

#define ANONYMOUS "/dev/zero"
#define MEMFD "/memfd:"
#define SYSTEM_V "/SYSV"
#define REQUESTS "/[aio]"
#define SUFFIX " (deleted)"
#define SIZE_MAX_OBJECT (1ull << 46)

static const struct record_field object_rows[] = {
	RECORD(U, struct shm, "size", size, RECORD_MAX(SIZE_MAX_OBJECT)),
	RECORD(TEXT, struct shm, "name", name, RECORD_OPTIONAL, RECORD_MAX(255)),
	RECORD(HEX, struct shm, "seals", seals, RECORD_OPTIONAL),
	OWNER_ROWS(struct shm, owner),
	RECORD(POINTER, struct shm, "deleted", deleted, RECORD_OPTIONAL, RECORD_BY(deleted_table)),
};
static const struct record_table object_table = RECORD_TABLE(struct shm, object_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct shms, "objects", v, n, object_table),
};
static const struct record_table table = RECORD_TABLE(struct shms, rows);

/* Of the kernel's own file systems, which nothing is removed from. */
static bool is_nobodys(const char *name)
{
	return strcmp(name, ANONYMOUS) == 0 || str_starts(name, MEMFD);
}

bool shm_is(const struct proc_vma *v)
{
	return v->inode && v->deleted && v->name[0] == '/' &&
	       (v->shared || strcmp(v->name, ANONYMOUS) != 0);
}

/* ---- dump */

static struct shm *find(struct ckpt *c, uint64_t dev, uint64_t ino, uint32_t *out_id)
{
	struct shms *o = shm_objects(c);
	size_t i = 0;

	while (i < o->n && (o->v[i].dev != dev || o->v[i].ino != ino))
		i++;
	*out_id = (uint32_t)i;
	return i < o->n ? &o->v[i] : NULL;
}

static struct shm *add(struct ckpt *c, uint64_t dev, uint64_t ino)
{
	struct shms *o = shm_objects(c);

	o->v = arena_grow(c->arena, o->v, o->n, &o->room, sizeof(*o->v));
	o->v[o->n] = (struct shm){ .dev = dev, .ino = ino };
	return &o->v[o->n++];
}

/* The name given to memfd_create(2), out of "/memfd:NAME (deleted)". */
static const char *memfd_name(struct ckpt *c, const char *link)
{
	size_t n = strlen(link += strlen(MEMFD));

	if (str_ends(link, SUFFIX))
		n -= strlen(SUFFIX);
	return arena_strndup(c->arena, link, n);
}

/* What only a descriptor tells. */
static int ask(struct ckpt *c, struct shm *o, int fd)
{
	struct stat st;
	int seals = fcntl(fd, F_GET_SEALS);

	if (fstat(fd, &st) < 0)
		return fail_errno("look at shared memory");
	o->size = (uint64_t)st.st_size;
	/* every file of the sort has some: those of a memfd are its maker's choice */
	o->seals = o->name && seals > 0 ? (uint32_t)seals : 0;
	o->fd = fd + 1;
	return o->name ? owner_of(c, &st, &o->owner) : 0;
}

/* The file of a mapping: that takes rights over the machine. fd or -1. */
static int open_mapped(const struct ckpt_proc *p, const struct proc_vma *v)
{
	char path[96];

	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", p->host,
		 (unsigned long long)v->start, (unsigned long long)v->end);
	return open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);
}

static struct deleted_look look_of(const struct proc_vma *v)
{
	return (struct deleted_look){
		.path = v->name, .mount = -1, .major = v->major, .minor = v->minor
	};
}

const char *shm_refusal(struct ckpt *c, const struct ckpt_proc *p, const struct proc_vma *v)
{
	struct deleted_look l = look_of(v);
	auto_fd fd = -1;
	struct stat st;

	if (is_nobodys(v->name))
		return NULL;
	if (str_starts(v->name, SYSTEM_V))
		return "it is shared memory of System V";
	if (strcmp(v->name, REQUESTS) == 0)
		return "requests of io_setup(2) are under way in the kernel, which does not tell of "
		       "them";
	fd = open_mapped(p, v);
	if (fd >= 0 && fstat(fd, &st) == 0)
		l.st = &st;
	return deleted_refusal(c, &l);
}

/* What a first mapping tells of it. */
static int begin(struct ckpt *c, struct shm *o, const struct ckpt_proc *p, const struct proc_vma *v)
{
	const struct deleted_look l = look_of(v);
	int fd = open_mapped(p, v), ret;

	if (str_starts(v->name, MEMFD))
		o->name = memfd_name(c, v->name);
	ret = fd < 0 ? 0 : ask(c, o, fd);
	if (!ret && !is_nobodys(v->name)) {
		o->path = v->name;
		ret = deleted_collect(c, &l, fd, &o->deleted);
	}
	return ret;
}

int shm_of_vma(struct ckpt *c, struct ckpt_proc *p, const struct proc_vma *v, uint32_t *out_id)
{
	uint64_t dev = makedev(v->major, v->minor), len = v->end - v->start;
	struct shm *o = find(c, dev, v->inode, out_id);
	struct view *view = arena_alloc(c->arena, sizeof(*view));
	int ret = 0;

	if (!o) {
		o = add(c, dev, v->inode);
		ret = begin(c, o, p, v);
	}
	*view = (struct view){ p, v->start, v->offset, len, v->shared, 0, o->views };
	o->views = view;
	/* without one it is as long as somebody sees it */
	if (!o->fd && o->size < v->offset + len)
		o->size = v->offset + len;
	return ret;
}

/* Another user's file may not be opened anew, but what is open for reading can be borrowed. */
static int open_again(const struct file_look *l, bool *out_borrowed)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/fd/%u", l->p->host, l->fd);
	*out_borrowed = false;
	fd = open(path, O_RDONLY | O_NOATIME | O_CLOEXEC);
	if (fd < 0 && errno == EPERM)
		fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	*out_borrowed = true;
	if ((l->flags & O_ACCMODE) == O_WRONLY || l->flags & O_PATH)
		return fail_errno("open %s to read", path);
	return socket_borrow(l);
}

static struct deleted_look look_of_fd(const struct file_look *l)
{
	return (struct deleted_look){ .path = l->link, .st = &l->st, .mount = l->info->mount };
}

const char *shm_fd_refusal(const struct file_look *l)
{
	const struct deleted_look d = look_of_fd(l);
	bool borrowed;
	auto_fd fd = open_again(l, &borrowed);

	if (fd < 0)
		return arena_printf(l->c->arena, "it was removed, and its content can't be had: %s",
				    err_last()->text);
	return deleted_refusal(l->c, &d);
}

/*
 * A file system that others are below may number a file in two ways, in maps and by stat(2), and an
 * ordinary user sees no more of a mapping than the former: then the path tells, if it can.
 */
static int find_by_path(struct ckpt *c, const struct file_look *l, struct shm **out,
			uint32_t *out_id)
{
	struct shms *o = shm_objects(c);
	size_t found = 0;

	for (size_t i = 0; i < o->n; i++) {
		if (!o->v[i].path || o->v[i].fd || !str_starts(l->link, o->v[i].path) ||
		    strcmp(l->link + strlen(o->v[i].path), SUFFIX) != 0)
			continue;
		*out = &o->v[i];
		*out_id = (uint32_t)i;
		found++;
	}
	if (found < 2)
		return 0;
	return fail(ENOTSUP, "there are mappings of several removed files of that name, and which "
			     "is of this one can't be told");
}

int shm_of_fd(const struct file_look *l, uint32_t *out_id)
{
	const struct deleted_look d = look_of_fd(l);
	struct shm *o = find(l->c, l->st.st_dev, l->st.st_ino, out_id);
	int fd, ret = 0;

	if (!o && !str_starts(l->link, MEMFD))
		ret = find_by_path(l->c, l, &o, out_id);
	if (ret)
		return ret;
	if (!o) {
		o = add(l->c, l->st.st_dev, l->st.st_ino);
		o->name = str_starts(l->link, MEMFD) ? memfd_name(l->c, l->link) : NULL;
	}
	if (o->fd)
		return 0;
	o->dev = l->st.st_dev;
	o->ino = l->st.st_ino;
	fd = open_again(l, &o->borrowed);
	ret = fd < 0 ? fd : ask(l->c, o, fd);
	return ret || o->name ? ret : deleted_collect(l->c, &d, fd, &o->deleted);
}

static int take(struct page_sink *s, const uint8_t *buffer, uint64_t at, size_t len)
{
	const struct page_span span = { .addr = at, .len = len, .drop_zero = true };

	return page_sink_take(s, buffer, &span, 1);
}

static struct view *shared_at(const struct shm *o, uint64_t offset)
{
	struct view *v = o->views;

	while (v && (!v->shared || offset < v->offset || offset >= v->offset + v->len))
		v = v->next;
	return v;
}

/* The last page may be one in part. What lies behind the end is memory all the same, where it is
 * seen by all: no read of the file tells of it. */
static void complete(const struct page_sink *s, const struct shm *o, uint64_t at, uint8_t *page,
		     size_t n)
{
	const struct view *v = shared_at(o, at);

	memset(page + n, 0, s->page - n);
	if (v)
		peek_some(&v->p->trace->mem, v->addr + (at + n - v->offset), page + n, s->page - n);
}

static int save_range(struct page_sink *s, const struct shm *o, off_t at, off_t end)
{
	uint8_t *buffer;
	size_t part;
	ssize_t n;
	int ret = 0;

	for (; at < end && !ret; at += n) {
		buffer = page_sink_room(s);
		if (!buffer)
			return -ENOMEM;
		n = pread(o->fd - 1, buffer,
			  (size_t)(end - at < IMAGE_ROOM ? end - at : IMAGE_ROOM), at);
		if (n == 0) /* cut by somebody who is not stopped */
			errno = ESTALE;
		if (n <= 0)
			return fail_errno("read shared memory");
		part = (size_t)n % s->page;
		if (part)
			complete(s, o, (uint64_t)at + (size_t)n - part, buffer + n - part, part);
		ret = take(s, buffer, (uint64_t)at, ((size_t)n + s->page - 1) & ~(s->page - 1));
	}
	return ret;
}

/* Reads of a part of a page would make two of it: what is no hole is looked at in whole ones. */
static int save_by_fd(struct page_sink *s, const struct shm *o)
{
	int fd = o->fd - 1, ret = 0;
	off_t at = 0, end;

	if (o->borrowed)
		return save_range(s, o, 0, (off_t)o->size);
	while (!ret && (at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return fail_errno("find the holes in shared memory");
		at -= at % (off_t)s->page;
		end += -end & (off_t)(s->page - 1);
		if (end > (off_t)o->size)
			end = (off_t)o->size;
		ret = save_range(s, o, at, end);
		at = end;
	}
	return ret ? ret : errno == ENXIO ? 0 : fail_errno("find what is in shared memory");
}

static int pages_of(struct view *v, uint64_t addr, const struct proc_pages_query *query,
		    struct proc_page_run *out, size_t *out_n)
{
	char path[64];
	uint64_t next;

	snprintf(path, sizeof(path), "/proc/%d/pagemap", v->p->host);
	if (!v->pagemap)
		v->pagemap = open(path, O_RDONLY | O_CLOEXEC) + 1;
	if (!v->pagemap)
		return fail_errno("open %s", path);
	return proc_pages(v->pagemap - 1, addr, v->addr + v->len, query, out, 1, out_n, &next);
}

/* A kernel that does not know them has none. */
static bool is_guard(struct view *v, uint64_t addr)
{
	const struct proc_pages_query guards = { .all = PROC_PAGE_GUARD, .told = PROC_PAGE_GUARD };
	struct proc_page_run run;
	size_t n;

	return pages_of(v, addr, &guards, &run, &n) == 0 && n && run.start == addr;
}

/* Mappings may go on past the end of a file, where nothing can be read: there it ends. */
static int read_view(struct shm *o, struct view *v, uint64_t at, uint8_t *buffer, size_t *len)
{
	uint64_t addr = v->addr + (at - v->offset);
	ssize_t n = peek_some(&v->p->trace->mem, addr, buffer, *len);

	if (n < 0 && n != -EFAULT)
		return fail((int)-n, "read shared memory: %s", err_reason((int)-n));
	n = n < 0 ? 0 : n - n % (ssize_t)sysconf(_SC_PAGESIZE);
	if ((size_t)n < *len && is_guard(v, addr + (uint64_t)n))
		return fail(ENOTSUP,
			    "process %d: shared memory at 0x%llx has guards, and what is beneath "
			    "them can't be read",
			    v->p->pid, (unsigned long long)addr);
	if ((size_t)n < *len)
		o->size = at + (uint64_t)n;
	*len = (size_t)n;
	return 0;
}

/* How far a private mapping, from there on, shows the file (*own: what the process has instead). */
static int reach(struct view *v, uint64_t at, bool *own, uint64_t *out_len)
{
	uint64_t addr = v->addr + (at - v->offset);
	struct proc_page_run run;
	size_t n;
	int ret = pages_of(v, addr, &proc_pages_private, &run, &n);

	if (ret)
		return ret;
	*own = n && run.start == addr;
	*out_len = (*own ? run.end : n ? run.start : v->addr + v->len) - addr;
	return 0;
}

/*
 * Who shows the file there, and how much of it. Pages of a private mapping that were written are
 * the process's own: they are taken where nobody has the file's any more. NULL for nobody at all.
 */
static int view_at(const struct page_sink *s, const struct shm *o, uint64_t at, struct view **out,
		   uint64_t *out_len)
{
	struct view *v = *out = shared_at(o, at);
	uint64_t len;
	bool own;
	int ret;

	*out_len = v ? v->offset + v->len - at : s->page;
	for (v = v ? NULL : o->views; v; v = v->next) {
		if (at < v->offset || at >= v->offset + v->len)
			continue;
		ret = reach(v, at, &own, &len);
		if (ret)
			return ret;
		*out = v;
		if (own)
			continue;
		*out_len = len;
		return 0;
	}
	return 0;
}

static int save_by_views(struct page_sink *s, struct shm *o)
{
	struct view *v;
	uint64_t at = 0, left;
	uint8_t *buffer;
	size_t len;
	int ret = 0;

	for (; at < o->size && !ret; at += len) {
		ret = view_at(s, o, at, &v, &left);
		len = left < IMAGE_ROOM ? (size_t)left : IMAGE_ROOM;
		if (ret || !v)
			continue;
		buffer = page_sink_room(s);
		if (!buffer)
			return -ENOMEM;
		ret = read_view(o, v, at, buffer, &len);
		if (!ret)
			ret = take(s, buffer, at, len);
	}
	for (v = o->views; v; v = v->next)
		fd_close(v->pagemap - 1);
	return ret;
}

static int save_object(struct ckpt *c, struct shm *o, size_t id)
{
	struct page_sink s;
	int ret = page_sink_open(c, arena_printf(c->arena, "shm.%zu", id), NULL, &s), closed;

	if (ret)
		return ret;
	ret = o->fd ? save_by_fd(&s, o) : save_by_views(&s, o);
	closed = page_sink_close(&s);
	fd_close(o->fd - 1);
	o->fd = 0;
	return ret ? ret : closed;
}

static int save(const struct ckpt_unit *u)
{
	struct shms *o = u->rec;
	int ret = 0;

	for (size_t i = 0; i < o->n && !ret; i++)
		ret = save_object(u->c, &o->v[i], i);
	return ret;
}

const struct ckpt_kind kind_shm = {
	.name = "shm",
	.scope = KIND_CONTAINER,
	.table = &table,
	.save = save,
	.prepare = shm_prepare,
	.rebuild = { [PHASE_SHARED] = shm_share,
		     [PHASE_FILES] = shm_set_facts,
		     [PHASE_MM] = shm_let_go },
};
