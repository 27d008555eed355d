/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory, the way back. A fresh task has nothing but the pages its errands run from and the vDSO,
 * both in a hole that no layout of the image uses. The mappings are made in one batch, writable;
 * the pages are put in from outside (memory_fill.c); then protections and advice, unless they have
 * come before.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/batch.h"
#include "ckpt/engine.h"
#include "ckpt/image_digest.h"
#include "ckpt/kinds.h"
#include "ckpt/memory.h"
#include "ckpt/pages.h"
#include "ckpt/shown.h"
#include "task/trace.h"

#define LOWEST 0x10000000ull
#define KERNEL_PARTS_MAX 8

/* Since Linux 6.11: asm-generic/mman-common.h */
#ifndef MAP_DROPPABLE
#define MAP_DROPPABLE 0x08
#endif

#define OTHER_PLACE (1ull << 37) /* above any heap, below any stack */

struct note {
	struct memory_map map;
	struct page_store pages;
	struct memory_vdso *other;  /* the image's is another kernel's; NULL: it is this one's */
	struct memory_clock *clock; /* of the image; which processes have it their map tells */
};

/* The parts of the vDSO, ascending: sizes are the kernel's, the order too. */
struct parts {
	uint64_t start[KERNEL_PARTS_MAX], len[KERNEL_PARTS_MAX];
	size_t n, code; /* code: which of them has the functions */
};

static struct note *note_of(struct ckpt_proc *p)
{
	return *ckpt_note(&kind_memory, p);
}

bool memory_is_kernels(const struct vma *v)
{
	return v->sort == VMA_VDSO || v->sort == VMA_VVAR;
}

static int parts_of(const struct memory_map *map, struct parts *out)
{
	*out = (struct parts){ 0 };
	for (size_t i = 0; i < map->n; i++) {
		if (!memory_is_kernels(&map->v[i]))
			continue;
		if (out->n == KERNEL_PARTS_MAX)
			return -E2BIG;
		out->start[out->n] = map->v[i].start;
		out->len[out->n++] = map->v[i].end - map->v[i].start;
	}
	return 0;
}

/* Those of a process as it is now. */
static int own_parts(struct ckpt *c, pid_t pid, struct parts *out)
{
	struct proc_vmas maps;
	int ret = proc_maps(c->arena, pid, &maps);

	*out = (struct parts){ 0 };
	for (size_t i = 0; !ret && i < maps.n; i++) {
		if (strcmp(maps.v[i].name, "[vdso]") != 0 && !str_starts(maps.v[i].name, "[vvar"))
			continue;
		if (out->n == KERNEL_PARTS_MAX)
			return fail(E2BIG, "the vDSO of this kernel has too many parts");
		if (maps.v[i].name[2] == 'd')
			out->code = out->n;
		out->start[out->n] = maps.v[i].start;
		out->len[out->n++] = maps.v[i].end - maps.v[i].start;
	}
	return ret;
}

/* ---- what an image says, checked */

static int refuse(struct ckpt_proc *p, size_t i, const char *why)
{
	return fail(EBADMSG, "the image: process.%d.memory_map.json: mappings[%zu]: %s", p->pid, i,
		    why);
}

static int check_map(struct ckpt_proc *p, const struct memory_map *map, uint64_t page)
{
	uint64_t end = 0;

	for (size_t i = 0; i < map->n; i++) {
		const struct vma *v = &map->v[i];

		if (v->start % page || v->end % page || v->offset % page)
			return refuse(p, i, "is not made of whole pages");
		if (v->start >= v->end || v->start < end || v->end > INT64_MAX)
			return refuse(p, i, "is out of order or overlaps the one before");
		if ((v->sort == VMA_FILE) != (v->path != NULL) ||
		    (v->path && !shown_is_path(v->path)))
			return refuse(p, i, "path: must be there, and absolute, for a file alone");
		if (v->flags & ~(uint32_t)VMA_KEPT)
			return refuse(p, i, "flags: has some that are not known");
		if (v->shared && v->sort != VMA_FILE && v->sort != VMA_SHM)
			return refuse(p, i, "shared: does not go with its sort");
		end = v->end;
	}
	return 0;
}

/* Each in mappings, without a gap. */
static int check_guards(struct ckpt_proc *p, const struct memory_map *map, uint64_t page)
{
	uint64_t at, end = 0;
	size_t v = 0;

	for (size_t i = 0; i < map->n_guards; i++) {
		const struct guard *g = &map->guards[i];

		if (g->start % page || g->end % page || g->start < end || g->start >= g->end)
			return fail(EBADMSG,
				    "the image: process.%d.memory_map.json: guards[%zu]: is out of "
				    "order, or not made of whole pages",
				    p->pid, i);
		for (at = g->start; at < g->end; at = map->v[v].end) {
			while (v < map->n && map->v[v].end <= at)
				v++;
			if (v == map->n || map->v[v].start > at || memory_is_kernels(&map->v[v]))
				return fail(EBADMSG,
					    "the image: process.%d.memory_map.json: guards[%zu]: "
					    "is in no mapping",
					    p->pid, i);
		}
		end = g->end;
	}
	return 0;
}

/* Every run lies in private mappings; neighbours may share one. */
static int check_runs(struct ckpt_proc *p, const struct memory_map *map,
		      const struct page_source *src, uint64_t page)
{
	size_t v = 0;

	for (size_t i = 0; i < src->n; i++) {
		uint64_t at = src->runs[i].start, end = at + src->runs[i].pages * page;

		for (; at < end; at = map->v[v].end) {
			while (v < map->n && map->v[v].end <= at)
				v++;
			if (v == map->n || map->v[v].start > at || map->v[v].shared ||
			    memory_is_kernels(&map->v[v]))
				return fail(EBADMSG,
					    "the image: process.%d.runs.bin: run %zu is of no "
					    "private mapping",
					    p->pid, i);
		}
	}
	return 0;
}

static uint64_t vdso_len(const struct memory_map *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->v[i].sort == VMA_VDSO)
			return map->v[i].end - map->v[i].start;
	return 0;
}

static bool same_vdso(const struct note *a, const struct note *b)
{
	struct parts x, y;

	return parts_of(&a->map, &x) == 0 && parts_of(&b->map, &y) == 0 && x.n == y.n &&
	       memcmp(x.len, y.len, x.n * sizeof(x.len[0])) == 0 &&
	       a->map.vdso_len == b->map.vdso_len &&
	       memcmp(a->map.vdso, b->map.vdso, a->map.vdso_len) == 0;
}

static int take_other(struct ckpt *c, struct ckpt_proc *p, struct note *note)
{
	int ret = memory_other_vdso(c, &note->map, vdso_len(&note->map), &note->other);

	return ret ? fail_in(ret,
			     "process %d: the vDSO of this kernel is not that of the kernel the "
			     "image was made on (%s)",
			     p->pid, image_meta(c->image)->kernel)
		   : 0;
}

/* Programs would call into the middle of another kernel's functions. */
static int check_vdso(struct ckpt *c, struct ckpt_proc *p, struct note *note)
{
	struct parts own, theirs;
	int ret;

	ret = memory_check_clock(p, &note->map, note->clock);
	if (ret)
		return ret;
	/* as that of the first one, which was looked at */
	if (p != c->procs[0] && same_vdso(note, note_of(c->procs[0]))) {
		note->other = note_of(c->procs[0])->other;
		return 0;
	}
	ret = own_parts(c, getpid(), &own);
	if (ret)
		return ret;
	if (parts_of(&note->map, &theirs) || own.n == 0 || theirs.n == 0)
		return fail(ENOTSUP, "process %d: the image or this kernel has no vDSO", p->pid);
	if (own.n == theirs.n && memcmp(own.len, theirs.len, own.n * sizeof(own.len[0])) == 0 &&
	    note->map.vdso_len == sizeof(struct image_digest) &&
	    memcmp(note->map.vdso, memory_own_vdso(c, vdso_len(&note->map)),
		   sizeof(struct image_digest)) == 0 &&
	    (!note->clock || note->clock->same))
		return memory_verify_vdso(c);
	return take_other(c, p, note);
}

int memory_read(const struct ckpt_unit *u)
{
	struct note *note = arena_alloc(u->c->arena, sizeof(*note));
	uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	struct image *im = u->c->image;
	int ret;

	*ckpt_note(&kind_memory, u->p) = note;
	ret = image_get_record(im, ckpt_file_name(u->c, u->p, "memory_map.json"), &memory_map_table,
			       &note->map);
	if (!ret)
		ret = page_store_open(u->c->arena, im,
				      arena_printf(u->c->arena, "process.%d", u->p->pid),
				      &note->pages);
	if (!ret)
		ret = check_map(u->p, &note->map, page);
	if (!ret)
		ret = check_guards(u->p, &note->map, page);
	for (size_t i = 0; i < note->pages.n && !ret; i++)
		ret = check_runs(u->p, &note->map, &note->pages.v[i], page);
	return ret;
}

static bool has_droppable(const struct memory_map *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->v[i].flags & PROC_VMA_DROPPABLE)
			return true;
	return false;
}

static int check_droppable(struct ckpt_proc *p, const struct memory_map *map, size_t page)
{
	void *probe = has_droppable(map)
			      ? mmap(NULL, page, PROT_READ, MAP_DROPPABLE | MAP_ANONYMOUS, -1, 0)
			      : NULL;

	if (probe == MAP_FAILED)
		return fail(ENOTSUP,
			    "process %d: it has memory that may be dropped (MAP_DROPPABLE, Linux "
			    "6.11), which this kernel does not know",
			    p->pid);
	if (probe)
		munmap(probe, page);
	return 0;
}

int memory_prepare(const struct ckpt_unit *u)
{
	struct ckpt *c = u->c;
	int ret = memory_read(u);

	if (!ret)
		ret = check_droppable(u->p, &note_of(u->p)->map, (size_t)sysconf(_SC_PAGESIZE));
	if (!ret && u->p == c->procs[0])
		ret = memory_read_clock(c, &note_of(u->p)->clock);
	if (ret)
		return ret;
	note_of(u->p)->clock = note_of(c->procs[0])->clock;
	return check_vdso(c, u->p, note_of(u->p));
}

struct page_store *memory_pages_of(struct ckpt_proc *p)
{
	return p->zombie ? NULL : &note_of(p)->pages;
}

/* ---- the hole, and the vDSO in it */

static uint64_t sum_of(const struct parts *parts)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < parts->n; i++)
		sum += parts->len[i];
	return sum;
}

uint64_t memory_vdso_len(struct ckpt *c)
{
	struct parts parts;
	const struct note *first = note_of(c->procs[0]);
	int ret = first->other ? own_parts(c, getpid(), &parts) : parts_of(&first->map, &parts);

	return ret ? 0 : sum_of(&parts);
}

static uint64_t image_vdso_at(const struct memory_map *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->v[i].sort == VMA_VDSO)
			return map->v[i].start;
	return 0;
}

uint64_t memory_vdso_at(struct ckpt_proc *p)
{
	const struct note *note = note_of(p);

	return note->other ? note->other->at : image_vdso_at(&note->map);
}

bool memory_in_other_vdso(struct ckpt_proc *p, uint64_t addr)
{
	const struct note *note = note_of(p);

	return note->other && addr - image_vdso_at(&note->map) < note->other->theirs.len;
}

/* The end of what stands in the way of [at, at + len), 0 for nothing. */
static uint64_t obstacle(struct ckpt *c, const struct proc_vmas *now, uint64_t at, uint64_t len)
{
	for (size_t i = 0; i < now->n; i++)
		if (now->v[i].start < at + len && now->v[i].end > at)
			return now->v[i].end;
	for (size_t p = 0; p < c->n_procs; p++) {
		const struct memory_map *map =
			c->procs[p]->zombie ? NULL : &note_of(c->procs[p])->map;

		for (size_t i = 0; map && i < map->n; i++)
			if (map->v[i].start < at + len && map->v[i].end > at)
				return map->v[i].end;
	}
	return 0;
}

static int find_hole_from(struct ckpt *c, uint64_t at, uint64_t len, uint64_t *out)
{
	uint64_t next;
	struct proc_vmas now;
	int ret = proc_maps(c->arena, c->procs[0]->host, &now);

	if (ret)
		return ret;
	while ((next = obstacle(c, &now, at, len)) != 0) {
		if (next <= at || next > INT64_MAX - len)
			return fail(ENOMEM,
				    "no room of %llu bytes is free in all processes of the "
				    "image",
				    (unsigned long long)len);
		at = next;
	}
	*out = at;
	return 0;
}

int memory_find_hole(struct ckpt *c, uint64_t len, uint64_t *out)
{
	return find_hole_from(c, LOWEST, len, out);
}

static int move_parts(struct ckpt_batch *b, const struct parts *from, const struct parts *to)
{
	int ret = 0;

	for (size_t i = 0; i < from->n && !ret; i++)
		if (from->start[i] != to->start[i])
			ret = batch_add(b, "move the vDSO", (int64_t)to->start[i], SYS_mremap,
					from->start[i], from->len[i], from->len[i],
					MREMAP_MAYMOVE | MREMAP_FIXED, to->start[i]);
	return ret;
}

static void line_up(struct parts *p, uint64_t at)
{
	for (size_t i = 0; i < p->n; i++) {
		p->start[i] = at;
		at += p->len[i];
	}
}

/* Where it is to be in all processes of the image, whatever they have where theirs was. */
static int place_own(struct ckpt *c, struct memory_vdso *v, const struct parts *own)
{
	int ret = find_hole_from(c, OTHER_PLACE, sum_of(own), &v->parts_at);

	v->at = v->parts_at;
	for (size_t i = 0; i < own->code; i++)
		v->at += own->len[i];
	return ret;
}

int memory_park_vdso(struct ckpt *c, uint64_t at)
{
	struct ckpt_batch *b = batch_begin(c, ckpt_root(c));
	struct memory_vdso *other = note_of(c->procs[0])->other;
	struct parts from, to;
	int ret = own_parts(c, c->procs[0]->host, &from);

	if (!ret && other)
		ret = place_own(c, other, &from);
	if (ret)
		return ret;
	to = from;
	line_up(&to, at);
	ret = move_parts(b, &from, &to);
	return ret ? ret : batch_run(b);
}

static int move_vdso(struct ckpt *c, struct ckpt_batch *b, const struct note *note)
{
	struct parts from, to;
	int ret = note->other ? own_parts(c, getpid(), &to) : parts_of(&note->map, &to);

	if (ret)
		return ret;
	if (note->other)
		line_up(&to, note->other->parts_at);
	from = to;
	line_up(&from, c->settled + TRACE_SETTLE_LEN);
	return move_parts(b, &from, &to);
}

/* ---- mappings */

uint32_t memory_made_prot(const struct vma *v)
{
	if (v->shared || !v->pages)
		return v->prot;
	return v->prot | PROT_READ | PROT_WRITE;
}

bool memory_is_one(const struct vma *a, const struct vma *b)
{
	uint32_t any = a->flags | b->flags, one = a->flags ^ b->flags;

	return a->end == b->start && b->sort == VMA_ANONYMOUS &&
	       memory_made_prot(a) == memory_made_prot(b) && !(any & PROC_VMA_GROWSDOWN) &&
	       !(one & (PROC_VMA_NORESERVE | PROC_VMA_DROPPABLE));
}

/* The last of those that begin with v and can be made in one call. */
static const struct vma *last_of_one(const struct memory_map *map, const struct vma *v)
{
	while (v + 1 < map->v + map->n && memory_is_one(v, v + 1))
		v++;
	return v;
}

static int map_anonymous(struct ckpt_batch *b, const struct vma *v, uint64_t end)
{
	unsigned flags = (v->flags & PROC_VMA_DROPPABLE ? MAP_DROPPABLE : MAP_PRIVATE) |
			 MAP_ANONYMOUS | MAP_FIXED_NOREPLACE;

	if (v->flags & PROC_VMA_GROWSDOWN)
		flags |= MAP_GROWSDOWN;
	if (v->flags & PROC_VMA_NORESERVE)
		flags |= MAP_NORESERVE;
	return batch_add(b, "map memory", (int64_t)v->start, SYS_mmap, v->start, end - v->start,
			 memory_made_prot(v), flags, ~0ull, 0);
}

static int map_file(struct ckpt_batch *b, const struct vma *v, int64_t fd)
{
	unsigned flags = (v->shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED_NOREPLACE;

	if (v->flags & PROC_VMA_NORESERVE)
		flags |= MAP_NORESERVE;
	return batch_add(b, v->path, (int64_t)v->start, SYS_mmap, v->start, v->end - v->start,
			 memory_made_prot(v), flags, (uint64_t)fd, v->offset);
}

static int open_for(struct ckpt_batch *b, const struct vma *v, int64_t fd)
{
	struct {
		struct open_how how;
		char path[PATH_MAX + 1];
	} data = { .how = ckpt_how(memory_open_flags(v) | O_NONBLOCK) };
	size_t len = strlen(v->path) + 1;
	uint64_t at;
	int ret;

	memcpy(data.path, v->path, len);
	ret = batch_data(b, &data, sizeof(data.how) + len, &at);
	return ret ? ret
		   : batch_add(b, v->path, fd, SYS_openat2, (uint64_t)AT_FDCWD,
			       at + sizeof(data.how), at, sizeof(data.how));
}

/* Neighbours of one file, as a program's segments are, are made from one descriptor. */
static int make_mappings(struct ckpt *c, struct ckpt_batch *b, const struct ckpt_proc *p,
			 const struct memory_map *map)
{
	const struct vma *open = NULL;
	int64_t fd = ckpt_next_fd(c, p);
	int ret = 0;

	for (size_t i = 0; i < map->n && !ret; i++) {
		const struct vma *v = &map->v[i];
		bool file = v->sort == VMA_FILE && !memory_is_shown(v);
		bool other = file && (!open || strcmp(open->path, v->path) != 0 || open->shared ||
				      v->shared);

		if (v->sort == VMA_ANONYMOUS) {
			const struct vma *last = last_of_one(map, v);

			ret = map_anonymous(b, v, last->end);
			i = (size_t)(last - map->v);
		}
		if (other && open)
			ret = batch_add(b, open->path, 0, SYS_close, (uint64_t)fd);
		if (other && !ret)
			ret = open_for(b, v, fd);
		if (file) {
			open = v;
			if (!ret)
				ret = map_file(b, v, fd);
		}
	}
	if (open && !ret)
		ret = batch_add(b, open->path, 0, SYS_close, (uint64_t)fd);
	return ret ? ret : batch_run(b);
}

int memory_rebuild(const struct ckpt_unit *u)
{
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	struct note *note = note_of(u->p);
	const struct memory_clock *clock = note->map.clock_len ? note->clock : NULL;
	int ret = move_vdso(u->c, b, note);

	if (!ret)
		ret = make_mappings(u->c, b, u->p, &note->map);
	if (!ret)
		ret = memory_map_given(u->c, u->p->threads[0], &note->map);
	if (!ret && clock)
		ret = memory_rebuild_clock(u->p, clock, memory_vdso_at(u->p));
	if (!ret && note->other)
		ret = memory_rebuild_vdso(u->p, note->other, clock, image_vdso_at(&note->map));
	if (!ret)
		ret = memory_advise(b, &note->map);
	if (!ret)
		ret = memory_fill(u->c, u->p, b, &note->map, &note->pages);
	if (ret)
		memory_digest_end(u->c);
	page_store_close(&note->pages);
	return ret ? ret : memory_finish(b, &note->map);
}
