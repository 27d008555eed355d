/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vDSO of processes whose time of day is virtual: the kernel's, with functions of the
 * supervisor's in it (task/vdso.h). Programs have the addresses of these, so the image has it as
 * the processes had it. Where this kernel and this version make the same of the vDSO, it is made
 * again; where not, that copy stands where it was, as another kernel's does (memory_vdso.c).
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/engine.h"
#include "ckpt/image_digest.h"
#include "ckpt/memory.h"
#include "jail/plan.h"
#include "task/trace.h"

/* Errands run from what is unused. */
static void clear_unused(struct vdso *v)
{
	memset(v->bytes + v->loaded, 0, v->len - v->loaded);
}

static const struct vma *vdso_of(const struct memory_map *map)
{
	for (size_t i = 0; i < map->n; i++)
		if (map->v[i].sort == VMA_VDSO)
			return &map->v[i];
	return NULL;
}

/* ---- dump */

/* -ENOENT (no text): it is the kernel's. */
static int read_there(struct ckpt *c, const struct ckpt_proc *p, const struct memory_map *map,
		      struct vdso *out)
{
	const struct vma *at = vdso_of(map);
	struct arch_offset offset;
	size_t len = (size_t)(at->end - at->start);
	uint8_t *bytes;
	int ret;

	if (len > VDSO_MAX)
		return fail(E2BIG, "the vDSO of process %d is too long", p->pid);
	bytes = arena_alloc(c->arena, len);
	ret = peek_read(&p->trace->mem, at->start, bytes, len);
	if (!ret)
		ret = vdso_parse(bytes, len, out);
	if (ret)
		return fail_in(ret, "process %d", p->pid);
	ret = vdso_clock(out, &offset);
	if (!ret)
		clear_unused(out);
	return ret;
}

int memory_save_clock(struct ckpt *c, const struct ckpt_proc *p, struct memory_map *map)
{
	const struct memory_map *first = NULL;
	struct image_digest digest;
	struct vdso v;
	int ret = c->subject->sb->super.time ? read_there(c, p, map, &v) : -ENOENT;

	if (ret)
		return ret == -ENOENT ? 0 : ret;
	digest = image_digest_of(v.bytes, v.len);
	map->clock = arena_memdup(c->arena, &digest, sizeof(digest));
	map->clock_len = sizeof(digest);
	for (size_t i = 0; c->procs[i] != p && !first; i++)
		if (!c->procs[i]->zombie && memory_map_of(c, c->procs[i])->clock_len)
			first = memory_map_of(c, c->procs[i]);
	if (!first)
		return image_put(c->writer, MEMORY_CLOCK_FILE, v.bytes, v.len);
	return memcmp(first->clock, map->clock, sizeof(digest)) == 0
		       ? 0
		       : fail(ENOTSUP,
			      "process %d reads the time of day by other functions of its vDSO "
			      "than others do",
			      p->pid);
}

/* ---- restore */

/* This kernel's, with the same offset. */
static int make_own(struct ckpt *c, struct memory_clock *clock)
{
	struct arch_offset offset;
	size_t at;
	int ret = vdso_clock(&clock->theirs, &offset);

	if (ret)
		return fail(EBADMSG, "the image: " MEMORY_CLOCK_FILE ": has no clock");
	ret = vdso_own(c->arena, &clock->own);
	if (!ret)
		ret = vdso_add_clock(&clock->own, &offset, &at);
	if (ret)
		return fail_in(ret, "give the processes their time of day");
	clear_unused(&clock->own);
	clock->same = clock->own.len == clock->theirs.len &&
		      memcmp(clock->own.bytes, clock->theirs.bytes, clock->own.len) == 0;
	return 0;
}

int memory_read_clock(struct ckpt *c, struct memory_clock **out)
{
	struct memory_clock *clock = arena_alloc(c->arena, sizeof(*clock));
	const void *bytes;
	size_t len;
	int ret;

	if (!image_has(c->image, MEMORY_CLOCK_FILE))
		return 0;
	ret = image_get(c->image, MEMORY_CLOCK_FILE, VDSO_MAX, &bytes, &len);
	if (ret)
		return ret;
	clock->digest = image_digest_of(bytes, len);
	ret = vdso_parse(arena_memdup(c->arena, bytes, len), len, &clock->theirs);
	if (ret)
		return fail_in(ret, "the image: " MEMORY_CLOCK_FILE);
	ret = make_own(c, clock);
	*out = clock;
	return ret;
}

int memory_check_clock(const struct ckpt_proc *p, const struct memory_map *map,
		       const struct memory_clock *clock)
{
	const struct vma *at = vdso_of(map);

	if (!map->clock_len)
		return 0;
	if (!clock || map->clock_len != sizeof(clock->digest) ||
	    memcmp(map->clock, &clock->digest, sizeof(clock->digest)) != 0 || !at ||
	    at->end - at->start != clock->theirs.len)
		return fail(
			EBADMSG,
			"the image: process.%d.memory_map.json: clock: is not that of " MEMORY_CLOCK_FILE,
			p->pid);
	return 0;
}

int memory_rebuild_clock(const struct ckpt_proc *p, const struct memory_clock *clock, uint64_t at)
{
	return peek_patch(&p->trace->mem, at, clock->own.bytes, clock->own.loaded);
}
