/* SPDX-License-Identifier: Apache-2.0 */
/* The container's file tree: mounts, device nodes, masked and read-only paths, the change of
 * root. */
#ifndef JAIL_ROOTFS_H
#define JAIL_ROOTFS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "jail/mount.h"

struct rootfs_device {
	const char *path; /* absolute in the container */
	mode_t mode;      /* with S_IFCHR, S_IFBLK or S_IFIFO */
	uint32_t major, minor;
	uid_t uid; /* in the container */
	gid_t gid;
};

struct rootfs_plan {
	const char *path; /* absolute, symlinks resolved by whoever built the plan */
	bool readonly;
	bool no_pivot;        /* MS_MOVE and chroot(2) instead of pivot_root(2) */
	unsigned propagation; /* rootfsPropagation: MS_SHARED, MS_SLAVE, MS_PRIVATE, MS_UNBINDABLE,
				 MS_REC; 0: the default, rslave */
	const struct mount_plan *mounts;
	size_t n_mounts;
	const struct rootfs_device *devices;
	size_t n_devices;
	const char *const *masked;
	size_t n_masked;
	const char *const *read_only;
	size_t n_read_only;
};

struct arena;
struct cgroup;

/* A plan at work. */
struct rootfs {
	const struct rootfs_plan *plan;
	const struct cgroup *cgroup; /* what mounts of type cgroup show */
	bool cgroup_ns, user_ns;
	int top, parent; /* the root directory as the host has it, and the mount it is on */
	int tree;        /* the container's root directory, a mount descriptor */
	int *sources;    /* by mount: a detached tree opened by the parent, or -1 */
	int *idmaps;     /* by mount: a user namespace, or -1 */
	int *mounted;    /* by mount: its descriptor once it is attached */
};

/*
 * In the parent, before the clone: what needs the host's rights or may allocate. Bind sources are
 * opened here where the container has a user namespace, whose root may not reach them.
 */
int rootfs_prepare(struct arena *a, const struct rootfs_plan *plan, const struct ns_plan *ns,
		   const struct cgroup *cgroup, struct rootfs *out);
void rootfs_close(struct rootfs *r);

/* The rest runs in the child, in its own mount namespace, in this order. No allocation. */
int rootfs_open(struct rootfs *r);   /* with the caller's ids: a mapped root may not get there */
int rootfs_attach(struct rootfs *r); /* propagation of "/", the root bound to itself */
int rootfs_mount_all(struct rootfs *r);
int rootfs_make_devices(struct rootfs *r);
int rootfs_bind_console(struct rootfs *r, int slave); /* the terminal on /dev/console */
int rootfs_hide(struct rootfs *r);                    /* masked and read-only paths */
int rootfs_seal(struct rootfs *r);                    /* read-only that had to wait */
int rootfs_enter(struct rootfs *r); /* pivot_root(2) or chroot(2); the cwd is the new root */

#endif
