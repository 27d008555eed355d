/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of the container, as its init has them, told apart by the kernel's numbers. */
#ifndef CKPT_MOUNTS_H
#define CKPT_MOUNTS_H

#include "ckpt/kind.h"

/* Since Linux 5.14: linux/mount.h */
#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

struct mount_plan;

struct mounts {
	struct proc_mount *v; /* those that are seen: points as the container's root sees them */
	size_t n;
};

/* Of c->procs[0]. 0 or -errno with a text. Where nothing has changed it is what was there
 * before. */
int mounts_read(struct ckpt *c, struct mounts *out);

/* The one with that number; NULL. */
const struct proc_mount *mounts_by_id(const struct mounts *m, uint64_t id);

/* The topmost one at a point; NULL. */
const struct proc_mount *mounts_at(const struct mounts *m, const char *point);

/* Is what is in it in memory alone: tmpfs, ramfs? */
bool mounts_in_memory(const struct proc_mount *m);

/* Opens the root of that very mount, beneath the container's root (a descriptor). O_PATH fd or
 * -errno with a text. */
int mounts_open(int root, const struct proc_mount *m);

/* MOUNT_ATTR_* of its options: read-only, and what the files in it may not be used for. */
uint64_t mounts_flags(const struct proc_mount *m);

/*
 * Dump: which of them the configuration does not account for, in their order: the container made
 * them itself. What it removed, or made less strict, goes to ckpt_problem(). 0 or -errno with a
 * text.
 */
struct made_mounts {
	const struct proc_mount **v;
	size_t n, room;
	/* of the configuration, and made stricter: the flags that are more */
	struct stricter_mount {
		const struct proc_mount *m;
		uint64_t flags;
	} * stricter;
	size_t n_stricter, stricter_room;
};
int mounts_explain(struct ckpt *c, const struct mounts *m, struct made_mounts *out);

/* Dump: why what that mount covers in memory can't be saved; NULL where it covers nothing. */
const char *mounts_covered(struct ckpt *c, const struct mounts *all, const struct proc_mount *m);

/*
 * c->mounts: the newest of them, and what is known of it. The kernel's text has number, root, place
 * and flags of each mount: while it is the same, nothing has to be looked at again, and a frozen
 * container least of all.
 */
struct mounts_seen {
	const char *text;
	struct mounts all;
	bool explained;
	struct made_mounts made;
};

#endif
