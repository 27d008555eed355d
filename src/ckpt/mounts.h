/* SPDX-License-Identifier: Apache-2.0 */
/* The mounts of the container, as its init has them, told apart by the kernel's numbers. */
#ifndef CKPT_MOUNTS_H
#define CKPT_MOUNTS_H

#include "ckpt/kind.h"

struct mount_plan;

struct mounts {
	struct proc_mount *v; /* those that are seen: points as the container's root sees them */
	size_t n;
};

/* Of c->procs[0]. 0 or -errno with a text. */
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

#endif
