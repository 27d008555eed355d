/* SPDX-License-Identifier: Apache-2.0 */
/* Memory, the way back: what mappings are beyond their pages. */
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "ckpt/batch.h"
#include "ckpt/memory.h"

/* linux/prctl.h, asm-generic/mman-common.h, asm/mman.h of arm64, and the system call table: newer
 * than Debian 12's headers */
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#define BTI_PROT 0x10u

static const struct {
	uint32_t flag;
	int advice;
} advices[] = {
	{ PROC_VMA_SEQ_READ, MADV_SEQUENTIAL }, { PROC_VMA_RAND_READ, MADV_RANDOM },
	{ PROC_VMA_DONTFORK, MADV_DONTFORK },   { PROC_VMA_WIPEONFORK, MADV_WIPEONFORK },
	{ PROC_VMA_DONTDUMP, MADV_DONTDUMP },   { PROC_VMA_NOHUGEPAGE, MADV_NOHUGEPAGE },
	{ PROC_VMA_MERGEABLE, MADV_MERGEABLE },
};

/* Huge pages, and pages of a node, come with the first touch. */
int memory_advise(struct ckpt_batch *b, const struct memory_map *map)
{
	int ret = 0;

	for (size_t i = 0; i < map->n && !ret; i++) {
		const struct vma *v = &map->v[i];

		if (memory_is_kernels(v))
			continue;
		if (v->flags & PROC_VMA_HUGEPAGE)
			ret = batch_add(b, "advise on memory", 0, SYS_madvise, v->start,
					v->end - v->start, MADV_HUGEPAGE);
		if (!ret)
			ret = mempolicy_add(b, &v->policy, v->start, v->end - v->start);
	}
	return ret ? ret : batch_run(b);
}

static int name_mapping(struct ckpt_batch *b, const struct vma *v)
{
	uint64_t name;
	int ret = batch_data(b, v->name, strlen(v->name) + 1, &name);

	return ret ? ret
		   : batch_add(b, "name memory", 0, SYS_prctl, PR_SET_VMA, PR_SET_VMA_ANON_NAME,
			       v->start, v->end - v->start, name);
}

static int protect_mapping(struct ckpt_batch *b, const struct vma *v)
{
	uint32_t prot = v->prot | (v->flags & PROC_VMA_BTI ? BTI_PROT : 0);
	uint64_t len = v->end - v->start;
	int ret = v->name ? name_mapping(b, v) : 0;

	for (size_t i = 0; i < NAME_COUNT(advices) && !ret; i++)
		if (v->flags & advices[i].flag)
			ret = batch_add(b, "advise on memory", 0, SYS_madvise, v->start, len,
					(uint64_t)advices[i].advice);
	if (!ret && memory_made_prot(v) != prot)
		ret = batch_add(b, "protect memory", 0, SYS_mprotect, v->start, len, prot);
	return ret;
}

int memory_protect(struct ckpt_batch *b, const struct memory_map *map, bool served)
{
	int ret = 0;

	for (size_t i = 0; i < map->n && !ret; i++)
		if (map->v[i].served == served && !memory_is_kernels(&map->v[i]))
			ret = protect_mapping(b, &map->v[i]);
	return ret ? ret : batch_run(b);
}

static int lock_mapping(struct ckpt_batch *b, const struct vma *v)
{
	return batch_add(b, "lock memory", 0, SYS_mlock2, v->start, v->end - v->start,
			 v->flags & PROC_VMA_LOCKONFAULT ? MLOCK_ONFAULT : 0);
}

/* Guards when memory is locked already, which would want to touch them; seals when no more
 * changes. */
int memory_finish(struct ckpt_batch *b, const struct memory_map *map)
{
	int ret = memory_protect(b, map, false);

	for (size_t i = 0; i < map->n && !ret; i++)
		if (map->v[i].flags & PROC_VMA_LOCKED && !memory_is_kernels(&map->v[i]))
			ret = lock_mapping(b, &map->v[i]);
	for (size_t i = 0; i < map->n_guards && !ret; i++)
		ret = batch_add(b, "guard memory", 0, SYS_madvise, map->guards[i].start,
				map->guards[i].end - map->guards[i].start, MADV_GUARD_INSTALL);
	for (size_t i = 0; i < map->n && !ret; i++)
		if (map->v[i].flags & PROC_VMA_SEALED)
			ret = batch_add(b, "seal memory", 0, SYS_mseal, map->v[i].start,
					map->v[i].end - map->v[i].start, 0);
	return ret ? ret : batch_run(b);
}
