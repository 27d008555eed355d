/* SPDX-License-Identifier: Apache-2.0 */
/* The container's file tree: mounts, device nodes, masked and read-only paths, the change of root.
 */
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

#endif
