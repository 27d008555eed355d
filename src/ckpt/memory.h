/* SPDX-License-Identifier: Apache-2.0 */
/* The mappings of a process, as process.<pid>.memory_map.json has them. */
#ifndef CKPT_MEMORY_H
#define CKPT_MEMORY_H

#include "ckpt/image_digest.h"
#include "ckpt/kind.h"
#include "ckpt/mempolicy.h"
#include "task/vdso.h"

enum vma_sort {
	VMA_ANONYMOUS, /* private, of no file */
	VMA_FILE,      /* of a file with a path, private or shared */
	VMA_VDSO,      /* of the kernel: code that programs call */
	VMA_VVAR,      /* and its data */
	VMA_SHM,       /* of a file without a name: ckpt/shm.h */
	VMA_SORTS
};

struct vma {
	uint64_t start, end;
	uint32_t sort; /* enum vma_sort */
	uint32_t prot; /* PROT_* */
	bool shared;
	uint64_t offset;
	const char *path; /* VMA_FILE; from the root of the container's init */
	uint32_t object;  /* VMA_SHM: its number */
	const char *name; /* of an anonymous one, prctl(2) PR_SET_VMA_ANON_NAME */
	uint32_t flags;   /* enum proc_vma_flag: those that are restored */
	uint64_t pages;   /* how many are saved */
	struct mempolicy policy;
	bool served; /* restore: a userfaultfd puts its pages in, whatever it allows */
};

/* Pages whose touch is a fault: madvise(2) MADV_GUARD_INSTALL. */
struct guard {
	uint64_t start, end;
};

struct memory_map {
	struct vma *v;
	size_t n;
	struct guard *guards; /* ascending */
	size_t n_guards;
	const void *vdso; /* digest of the kernel's code of it */
	size_t vdso_len;
	const void *clock; /* and with a virtual time of day, where the process has that */
	size_t clock_len;
};

extern const struct record_table memory_map_table;

/* Flags of a mapping that are given back by madvise(2), mmap(2) and mlock2(2). */
#define VMA_KEPT                                                                             \
	(PROC_VMA_GROWSDOWN | PROC_VMA_LOCKED | PROC_VMA_LOCKONFAULT | PROC_VMA_SEQ_READ |   \
	 PROC_VMA_RAND_READ | PROC_VMA_DONTFORK | PROC_VMA_WIPEONFORK | PROC_VMA_DONTDUMP |  \
	 PROC_VMA_NORESERVE | PROC_VMA_HUGEPAGE | PROC_VMA_NOHUGEPAGE | PROC_VMA_MERGEABLE | \
	 PROC_VMA_MAYWRITE | PROC_VMA_SEALED | PROC_VMA_BTI | PROC_VMA_DROPPABLE)

/* Dump: the mappings of the frozen process, refused ones being an error. memory_map_of() has them
 * from then on. */
int memory_collect(const struct ckpt_unit *u);
/* Dump: the mappings as they were when they were looked at before the pause. */
const struct proc_vmas *memory_seen(struct ckpt *c, struct ckpt_proc *p);

const struct memory_map *memory_map_of(struct ckpt *c, struct ckpt_proc *p);
/* Of kernels that have no word for MLOCK_ONFAULT in VmFlags (6.1 is one): what it stands for. */
void memory_decipher(struct ckpt *c, struct proc_vmas *smaps);
int memory_check(const struct ckpt_unit *u);
int memory_save(const struct ckpt_unit *u);

/* Dump, before the pause: announces the pages of the process that has most of them. */
int memory_expect(struct ckpt *c);

/* Dump, before the pause: finds the pages of the process in c->parent. */
int memory_find_parent(struct ckpt *c, struct ckpt_proc *p);

/* The pages of a process that runs: those that vanish meanwhile are left out. -ESRCH (no text)
 * where it has ended. */
int memory_pre_dump(struct ckpt *c, struct ckpt_proc *p);

/* memory_save.c: the private pages of these mappings, without those that parent (may be NULL) has.
 * Counts them in map->v[].pages. A process that is not under control may change meanwhile. */
struct page_store;
struct peek;
int memory_save_pages(struct ckpt *c, struct ckpt_proc *p, struct peek *mem, struct memory_map *map,
		      struct page_store *parent);

/* The digest of the first len bytes of the vDSO of this very program. */
const void *memory_own_vdso(struct ckpt *c, uint64_t len);

/* Restore: memory_restore.c */
int memory_prepare(const struct ckpt_unit *u);
/* What of that does not depend on this machine's kernel. */
int memory_read(const struct ckpt_unit *u);
int memory_rebuild(const struct ckpt_unit *u);

/* Restore: of the image; NULL for a zombie. */
struct page_store *memory_pages_of(struct ckpt_proc *p);

/*
 * Restore: memory_digest.c. Takes the digests of the first pages, for memory_fill() to find, and
 * has the others taken by another thread until it is told to stop, or for nothing where that can't
 * be. memory_digest_end() in any case, before any pages are closed that were not verified.
 */
void memory_digest_few(struct ckpt *c);
void memory_digest_begin(struct ckpt *c);
void memory_digest_stop(struct ckpt *c);
void memory_digest_end(struct ckpt *c);

/* Restore: puts the pages where they were, and verifies them. The mappings are there, writable:
 * those that are served are as they are to be afterwards. b: of the process, empty. */
int memory_fill(struct ckpt *c, struct ckpt_proc *p, struct ckpt_batch *b, struct memory_map *map,
		struct page_store *pages);

/* Restore: what a mapping has to allow until its pages are in it. */
uint32_t memory_made_prot(const struct vma *v);

/* Restore: whether b, behind a (anonymous), is made by the same call. The kernel would make one of
 * the two anyway, until they are given what they differ in. */
bool memory_is_one(const struct vma *a, const struct vma *b);

/* Restore: how the file of a mapping is opened for it; and whether it is one of shown.h. */
int memory_open_flags(const struct vma *v);
bool memory_is_shown(const struct vma *v);

/* Restore, memory_given.c: those that are made from a descriptor of ours each. */
int memory_map_given(struct ckpt *c, const struct ckpt_thread *t, const struct memory_map *map);

/* Restore, memory_finish.c: what has to be known before a page is there; names, advice and
 * protections of those that are served or of all others; and then all the rest. */
int memory_advise(struct ckpt_batch *b, const struct memory_map *map);
int memory_protect(struct ckpt_batch *b, const struct memory_map *map, bool served);
int memory_finish(struct ckpt_batch *b, const struct memory_map *map);

/* Whether the mapping is the kernel's: the vDSO or its data. */
bool memory_is_kernels(const struct vma *v);

/*
 * Restore: len bytes of address space that no process of the image uses, nor the root process as it
 * is now. 0 or -errno with a text.
 */
int memory_find_hole(struct ckpt *c, uint64_t len, uint64_t *out);

/* Restore: bytes that the mappings of the vDSO need, and where it is to be in a process. */
uint64_t memory_vdso_len(struct ckpt *c);
uint64_t memory_vdso_at(struct ckpt_proc *p);

/*
 * memory_vdso.c: of an image that was made on another kernel. Both have the same functions; this
 * kernel's is mapped at `at` in every process.
 */
struct memory_vdso {
	struct vdso theirs, own;
	uint64_t parts_at, at; /* the first of the mappings, and the one with the functions */
};

/*
 * memory_clock.c: of processes whose time of day is virtual, as the image has it, and as it is made
 * of this kernel's.
 */
#define MEMORY_CLOCK_FILE "vdso-clock.bin"
struct memory_clock {
	struct vdso theirs, own;
	struct image_digest digest; /* of theirs */
	bool same;                  /* the two are */
};

/* Dump: notes in the map that the process has such a one, and saves it once. */
int memory_save_clock(struct ckpt *c, const struct ckpt_proc *p, struct memory_map *map);

/* Restore: *out stays where the image has none. Then whether it is the one that the map names, if
 * that names one. */
int memory_read_clock(struct ckpt *c, struct memory_clock **out);
int memory_check_clock(const struct ckpt_proc *p, const struct memory_map *map,
		       const struct memory_clock *clock);

/* Restore: makes it of the kernel's, which is mapped at `at`. */
int memory_rebuild_clock(const struct ckpt_proc *p, const struct memory_clock *clock, uint64_t at);

/* Dump: a copy of it, once an image. */
int memory_save_vdso(struct ckpt *c, uint64_t len);

/* Restore: that copy is as it was made, also where it is not needed. */
int memory_verify_vdso(struct ckpt *c);

/* Restore: reads the one that the map's is a digest of, len bytes. -ENOTSUP with the reason, for
 * whoever says what it is about. */
int memory_other_vdso(struct ckpt *c, const struct memory_map *map, uint64_t len,
		      struct memory_vdso **out);

/* Restore: it is there again, at base, and leads to this kernel's. clock, or NULL: with that in
 * it. */
int memory_rebuild_vdso(const struct ckpt_proc *p, const struct memory_vdso *v,
			const struct memory_clock *clock, uint64_t base);

/* Restore: whether an address is in it; who goes on there would read data that is gone. */
bool memory_in_other_vdso(struct ckpt_proc *p, uint64_t addr);

/* Moves them in the root process to `at`, for the tree to find them there. */
int memory_park_vdso(struct ckpt *c, uint64_t at);

#endif
