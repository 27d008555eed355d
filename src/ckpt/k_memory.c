/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory: the mappings of a process and the pages that are its own.
 *
 * smaps, which costs a walk over all pages, is read before the pause; in the pause only maps is,
 * and where both agree the flags of the former hold. PAGEMAP_SCAN tells which pages are private;
 * memory_save.c saves them. The way back is in memory_restore.c.
 */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ahead.h"
#include "ckpt/image_digest.h"
#include "ckpt/kinds.h"
#include "ckpt/look.h"
#include "ckpt/memory.h"
#include "ckpt/pages.h"
#include "ckpt/shm.h"
#include "ckpt/shown.h"
#include "task/trace.h"

#define NAME_PREFIX "[anon:"

static const struct record_field vma_rows[] = {
	RECORD(HEX, struct vma, "start", start),
	RECORD(HEX, struct vma, "end", end),
	RECORD(U, struct vma, "sort", sort, RECORD_MAX(VMA_SORTS - 1)),
	RECORD(U, struct vma, "protection", prot, RECORD_MAX(7)),
	RECORD(BOOL, struct vma, "shared", shared, RECORD_OPTIONAL),
	RECORD(HEX, struct vma, "offset", offset, RECORD_OPTIONAL),
	RECORD(TEXT, struct vma, "path", path, RECORD_OPTIONAL, RECORD_MAX(PATH_MAX)),
	RECORD(U, struct vma, "object", object, RECORD_OPTIONAL),
	RECORD(TEXT, struct vma, "name", name, RECORD_OPTIONAL, RECORD_MAX(80)),
	RECORD(HEX, struct vma, "flags", flags, RECORD_OPTIONAL),
	RECORD(U, struct vma, "pages", pages, RECORD_OPTIONAL),
	MEMPOLICY_ROWS(struct vma, policy),
};
static const struct record_table vma_table = RECORD_TABLE(struct vma, vma_rows);

static const struct record_field guard_rows[] = {
	RECORD(HEX, struct guard, "start", start),
	RECORD(HEX, struct guard, "end", end),
};
static const struct record_table guard_table = RECORD_TABLE(struct guard, guard_rows);

static const struct record_field map_rows[] = {
	RECORD_LIST_OF(struct memory_map, "mappings", v, n, vma_table),
	RECORD_LIST_OF(struct memory_map, "guards", guards, n_guards, guard_table, RECORD_OPTIONAL),
	RECORD(BYTES, struct memory_map, "vdso", vdso, RECORD_N(struct memory_map, vdso_len),
	       RECORD_MAX(sizeof(struct image_digest))),
	RECORD(BYTES, struct memory_map, "clock", clock, RECORD_N(struct memory_map, clock_len),
	       RECORD_OPTIONAL, RECORD_MAX(sizeof(struct image_digest))),
};
const struct record_table memory_map_table = RECORD_TABLE(struct memory_map, map_rows);

/* What check() leaves for collect(), and collect() for save(). */
struct note {
	struct proc_vmas smaps;
	struct memory_map map;
	struct page_store *parent; /* in the image to build on, or NULL */
};

static struct note *note_of(struct ckpt *c, struct ckpt_proc *p)
{
	void **note = ckpt_note(&kind_memory, p);

	if (!*note)
		*note = arena_alloc(c->arena, sizeof(struct note));
	return *note;
}

const struct memory_map *memory_map_of(struct ckpt *c, struct ckpt_proc *p)
{
	return &note_of(c, p)->map;
}

const struct proc_vmas *memory_seen(struct ckpt *c, struct ckpt_proc *p)
{
	return &note_of(c, p)->smaps;
}

/* ---- what can't be saved */

static const struct {
	uint32_t flag;
	const char *why;
} refused_flags[] = {
	{ PROC_VMA_IO, "it is the memory of a device" },
	{ PROC_VMA_HUGETLB, "pages of hugetlbfs can't be saved" },
	{ PROC_VMA_UFFD, "a userfaultfd serves it" },
	{ PROC_VMA_SHADOW_STACK, "it is a shadow stack" },
	{ PROC_VMA_SYNC, "it is synchronous memory of a device" },
	{ PROC_VMA_MTE, "it has memory tags" },
	{ PROC_VMA_UNKNOWN, "it has a property that this version does not know" },
};

/* By which the file of a mapping is opened again; NULL. The numbers in maps may be those of a file
 * system below an overlay: map_files leads to the file itself. */
static const char *file_name(struct ckpt *c, struct ckpt_proc *p, const struct proc_vma *v)
{
	const char *name;

	struct stat st = { .st_dev = makedev(v->major, v->minor), .st_ino = v->inode };
	char path[96];

	if (look_leads_to(c, v->name, &st))
		return v->name;
	name = shown_name(c, v->name, &st);
	if (name)
		return name;
	snprintf(path, sizeof(path), "/proc/%d/map_files/%llx-%llx", p->host,
		 (unsigned long long)v->start, (unsigned long long)v->end);
	if (stat(path, &st) < 0)
		return NULL;
	return look_leads_to(c, v->name, &st) ? v->name : shown_name(c, v->name, &st);
}

static bool is_kernels(const struct proc_vma *v)
{
	return strcmp(v->name, "[vdso]") == 0 || str_starts(v->name, "[vvar");
}

static const char *refusal(struct ckpt *c, struct ckpt_proc *p, const struct proc_vma *v)
{
	uint32_t flags = v->flags;

	if (is_kernels(v) && flags & PROC_VMA_SEALED)
		return "the kernel seals it (CONFIG_MSEAL_SYSTEM_MAPPINGS): it can't be moved to "
		       "its place";
	if (is_kernels(v))
		flags &= ~(uint32_t)PROC_VMA_IO;
	for (size_t i = 0; i < NAME_COUNT(refused_flags); i++)
		if (flags & refused_flags[i].flag)
			return refused_flags[i].why;
	/* what is for execution alone has the kernel's, and gets it again */
	if (v->pkey && v->prot != PROT_EXEC)
		return "it has a protection key";
	if (!v->inode)
		return v->shared ? "it is shared and of no file" : NULL;
	if (shm_is(v))
		return shm_refusal(c, p, v);
	if (v->name[0] != '/')
		return "what it maps has no path";
	return file_name(c, p, v) ? NULL
				  : "the path of the file it maps leads to something else now";
}

static const char *describe(struct ckpt *c, const struct proc_vma *v)
{
	return arena_printf(c->arena, "the mapping at 0x%llx%s%s", (unsigned long long)v->start,
			    *v->name ? " of " : "", v->name);
}

static enum vma_sort sort_of(const struct proc_vma *v)
{
	if (strcmp(v->name, "[vdso]") == 0)
		return VMA_VDSO;
	if (is_kernels(v))
		return VMA_VVAR;
	if (shm_is(v))
		return VMA_SHM;
	return v->inode ? VMA_FILE : VMA_ANONYMOUS;
}

static int look(struct arena *a, pid_t host, void **out)
{
	struct proc_vmas *smaps = arena_alloc(a, sizeof(*smaps));

	*out = smaps;
	return proc_smaps(a, host, smaps);
}

static int look_frozen(struct arena *a, pid_t host, void **out)
{
	struct proc_vmas *maps = arena_alloc(a, sizeof(*maps));

	*out = maps;
	return proc_maps(a, host, maps);
}

/* Whether the kernel has no word for MLOCK_ONFAULT, and says "??" as for all that it has none for. */
static bool lacks_the_word(struct ckpt *c)
{
	const size_t page = (size_t)sysconf(_SC_PAGESIZE);
	void *own = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct proc_vmas smaps = { 0 };
	bool lacks = false;

	if (own == MAP_FAILED)
		return false;
	if (mlock2(own, page, MLOCK_ONFAULT) == 0 && proc_smaps(c->arena, getpid(), &smaps) == 0)
		for (size_t i = 0; i < smaps.n; i++)
			if (smaps.v[i].start == (uintptr_t)own)
				lacks = smaps.v[i].flags & PROC_VMA_UNKNOWN;
	munmap(own, page);
	return lacks;
}

void memory_decipher(struct ckpt *c, struct proc_vmas *smaps)
{
	const uint32_t what = PROC_VMA_LOCKED | (uint32_t)PROC_VMA_UNKNOWN;
	bool asked = false;

	for (size_t i = 0; i < smaps->n; i++) {
		if ((smaps->v[i].flags & what) != what)
			continue;
		if (!asked && !lacks_the_word(c))
			return;
		asked = true;
		smaps->v[i].flags ^= (uint32_t)PROC_VMA_UNKNOWN | PROC_VMA_LOCKONFAULT;
	}
}

int memory_check(const struct ckpt_unit *u)
{
	struct note *note = note_of(u->c, u->p);
	bool vdso = false;
	const char *why;
	void *smaps;
	int ret = ahead_take(u->c, &kind_memory, u->p, &smaps);

	if (!ret)
		note->smaps = *(struct proc_vmas *)smaps;
	memory_decipher(u->c, &note->smaps);
	for (size_t i = 0; !ret && i < note->smaps.n; i++) {
		why = refusal(u->c, u->p, &note->smaps.v[i]);
		if (why)
			ckpt_problem(u->c, u->p, -1, describe(u->c, &note->smaps.v[i]), "%s", why);
		u->c->progress.total += note->smaps.v[i].anonymous + note->smaps.v[i].swap;
		vdso = vdso || sort_of(&note->smaps.v[i]) == VMA_VDSO;
	}
	if (!ret && note->smaps.n && !vdso)
		ckpt_problem(u->c, u->p, -1, "the vDSO", "it was unmapped");
	return ret == -ESRCH || ret == -ENOENT ? 0 : ret; /* it has ended */
}

/* ---- what there is */

static bool same(const struct proc_vmas *a, const struct proc_vmas *b)
{
	const struct proc_vma *x = a->v, *y = b->v;

	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++, x++, y++)
		if (x->start != y->start || x->end != y->end || x->prot != y->prot ||
		    x->shared != y->shared || x->offset != y->offset || x->inode != y->inode ||
		    x->major != y->major || x->minor != y->minor || x->deleted != y->deleted ||
		    strcmp(x->name, y->name) != 0)
			return false;
	return true;
}

/* maps does not tell who locks a mapping that stands; the sum does. */
static bool locks_as_much(const struct ckpt_proc *p, const struct proc_vmas *smaps)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < smaps->n; i++)
		if (smaps->v[i].flags & PROC_VMA_LOCKED)
			sum += smaps->v[i].end - smaps->v[i].start;
	return sum == p->status->locked;
}

/* Mappings changed between the look before and the pause: the long look now, and no change any
 * more. */
static int look_again(const struct ckpt_unit *u, struct note *note)
{
	const char *why;
	int ret = proc_smaps(u->c->arena, u->p->host, &note->smaps);

	if (!ret)
		memory_decipher(u->c, &note->smaps);
	for (size_t i = 0; !ret && i < note->smaps.n; i++) {
		why = refusal(u->c, u->p, &note->smaps.v[i]);
		if (why)
			ret = fail(ENOTSUP, "process %d: %s: %s", u->p->pid,
				   describe(u->c, &note->smaps.v[i]), why);
	}
	return ret;
}

static const char *own_name(struct ckpt *c, const struct proc_vma *v)
{
	size_t n = strlen(v->name);

	if (!str_starts(v->name, NAME_PREFIX) || n <= strlen(NAME_PREFIX))
		return NULL;
	return arena_strndup(c->arena, v->name + strlen(NAME_PREFIX),
			     n - strlen(NAME_PREFIX) - (v->name[n - 1] == ']'));
}

/* The kernel gives every process the same; and errands may run from the end of the stopped
 * one's. */
const void *memory_own_vdso(struct ckpt *c, uint64_t len)
{
	const void *code = (const void *)getauxval(AT_SYSINFO_EHDR);
	struct image_digest d = image_digest_of(code, code ? (size_t)len : 0);

	return arena_memdup(c->arena, &d, sizeof(d));
}

int memory_collect(const struct ckpt_unit *u)
{
	struct note *note = note_of(u->c, u->p);
	uint64_t vdso = 0;
	void *maps;
	int ret = ahead_take(u->c, &kind_memory, u->p, &maps);

	if (!ret && (!same(maps, &note->smaps) || !locks_as_much(u->p, &note->smaps)))
		ret = look_again(u, note);
	if (ret)
		return ret;
	note->map.n = note->smaps.n;
	note->map.v = arena_array(u->c->arena, note->map.n ? note->map.n : 1, sizeof(*note->map.v));
	for (size_t i = 0; !ret && i < note->map.n; i++) {
		const struct proc_vma *from = &note->smaps.v[i];
		struct vma *v = &note->map.v[i];

		*v = (struct vma){
			.start = from->start,
			.end = from->end,
			.sort = sort_of(from),
			.prot = from->prot,
			.shared = from->shared,
			.flags = from->flags & VMA_KEPT,
		};
		if (v->sort == VMA_FILE || v->sort == VMA_SHM)
			v->offset = from->offset;
		if (v->sort == VMA_FILE)
			v->path = u->c->shown ? file_name(u->c, u->p, from) : from->name;
		if (v->sort == VMA_FILE && !v->path)
			ret = fail(ENOTSUP, "process %d: %s: its path leads to something else now",
				   u->p->pid, describe(u->c, from));
		if (v->sort == VMA_SHM)
			ret = shm_of_vma(u->c, u->p, from, &v->object);
		if (v->sort == VMA_ANONYMOUS)
			v->name = own_name(u->c, from);
		if (v->sort == VMA_VDSO)
			vdso = from->end - from->start;
	}
	note->map.vdso = memory_own_vdso(u->c, vdso);
	note->map.vdso_len = sizeof(struct image_digest);
	if (!ret && !vdso)
		ret = fail(ENOTSUP, "process %d has unmapped its vDSO", u->p->pid);
	return ret;
}

static int collect_policies(const struct ckpt_unit *u)
{
	return mempolicy_of_map(u, &note_of(u->c, u->p)->map);
}

static int ask(const struct ckpt_unit *u, struct ask *a)
{
	return mempolicy_ask(u->p->threads[0], &note_of(u->c, u->p)->map, a);
}

/* ---- pages */

int memory_save(const struct ckpt_unit *u)
{
	struct note *note = note_of(u->c, u->p);
	int ret = memory_save_pages(u->c, u->p, &u->p->trace->mem, &note->map, note->parent);

	if (!ret)
		ret = memory_save_clock(u->c, u->p, &note->map);
	if (ret)
		return ret;
	return image_put_record(u->c->writer, ckpt_file_name(u->c, u->p, "memory_map.json"),
				&memory_map_table, &note->map);
}

static uint64_t own_bytes(const struct note *note)
{
	uint64_t sum = 0;

	for (size_t i = 0; i < note->smaps.n; i++)
		sum += note->smaps.v[i].anonymous + note->smaps.v[i].swap;
	return sum;
}

int memory_expect(struct ckpt *c)
{
	const struct ckpt_proc *most = NULL;
	uint64_t bytes, largest = 0;

	for (size_t i = 0; i < c->n_procs; i++) {
		bytes = own_bytes(note_of(c, c->procs[i]));
		if (bytes <= largest)
			continue;
		most = c->procs[i];
		largest = bytes;
	}
	return most ? image_expect(c->writer,
				   arena_printf(c->arena, "process.%d.memory.bin", most->pid),
				   largest)
		    : 0;
}

/* Pages of a process of that number in the image to build on. What they are is compared, so it
 * does no harm where that was another process. */
int memory_find_parent(struct ckpt *c, struct ckpt_proc *p)
{
	struct note *note = note_of(c, p);
	const char *prefix = arena_printf(c->arena, "process.%d", p->pid);
	int ret;

	if (!image_has(c->parent, arena_printf(c->arena, "%s.memory.bin", prefix)))
		return 0;
	note->parent = arena_alloc(c->arena, sizeof(*note->parent));
	ret = page_store_open(c->arena, c->parent, prefix, note->parent);
	/* and with that its pages are in memory when they are compared */
	return ret ? ret : page_store_verify(note->parent);
}

int memory_pre_dump(struct ckpt *c, struct ckpt_proc *p)
{
	struct memory_map map = { .n = 0 };
	struct proc_vmas maps;
	auto_peek mem = { p->host, -1, -1 };
	int ret = proc_maps(c->arena, p->host, &maps);

	if (ret)
		return ret;
	map.v = arena_array(c->arena, maps.n + 1, sizeof(*map.v));
	for (size_t i = 0; i < maps.n; i++)
		map.v[map.n++] = (struct vma){
			.start = maps.v[i].start,
			.end = maps.v[i].end,
			.sort = sort_of(&maps.v[i]),
			.shared = maps.v[i].shared,
		};
	ret = peek_open(p->host, &mem);
	return ret ? ret : memory_save_pages(c, p, &mem, &map, note_of(c, p)->parent);
}

static uint64_t vdso_len(const struct memory_map *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->v[i].sort == VMA_VDSO)
			return map->v[i].end - map->v[i].start;
	return 0;
}

static int save(const struct ckpt_unit *u)
{
	int ret = 0;

	if (u->p == u->c->procs[0])
		ret = memory_save_vdso(u->c, vdso_len(memory_map_of(u->c, u->p)));
	return ret ? ret : memory_save(u);
}

const struct ckpt_kind kind_memory = {
	.name = "memory",
	.scope = KIND_PROCESS,
	.look = look,
	.look_frozen = look_frozen,
	.check = memory_check,
	.collect = memory_collect,
	.save = save,
	.prepare = memory_prepare,
	.rebuild = { [PHASE_MEMORY] = memory_rebuild },
};

/* On which nodes each mapping's pages are. A kind of its own: the process itself is asked. */
const struct ckpt_kind kind_mempolicy = {
	.name = "memory policy",
	.scope = KIND_PROCESS,
	.ask = ask,
	.collect = collect_policies,
};
