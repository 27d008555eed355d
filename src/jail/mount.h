/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts, by descriptors only (fsopen(2), open_tree(2), mount_setattr(2), move_mount(2)): a target
 * is resolved inside the root once, and what was resolved is what is mounted on.
 */
#ifndef JAIL_MOUNT_H
#define JAIL_MOUNT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "jail/ns.h"

struct arena;

enum mount_extra {
	MOUNT_TMPCOPYUP = 1 << 0,    /* fill a tmpfs with what it shadows */
	MOUNT_COPY_SYMLINK = 1 << 1, /* a symlink source is re-made at the target */
	MOUNT_SRC_NOFOLLOW = 1 << 2,
	MOUNT_DEST_NOFOLLOW = 1 << 3,
	MOUNT_IDMAP = 1 << 4,
	MOUNT_RIDMAP = 1 << 5, /* the mapping applies to the mounts below as well */
	MOUNT_REMOUNT = 1 << 6,
};

struct mount_plan {
	const char *where;  /* JSON path, for messages: "mounts[3]" */
	const char *source; /* a bind source is absolute; may be NULL */
	const char *target; /* absolute in the container */
	const char *fstype; /* NULL for a bind mount */
	bool bind, recursive;
	uint64_t set, clear;   /* MOUNT_ATTR_*: this mount */
	uint64_t rset, rclear; /* MOUNT_ATTR_*: this one and those below */
	unsigned sb_flags;     /* MS_RDONLY (of a new file system), MS_SYNCHRONOUS, MS_DIRSYNC,
				  MS_MANDLOCK, MS_LAZYTIME, MS_SILENT */
	unsigned propagation;  /* MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with or without
				  MS_REC; 0: leave */
	unsigned extra;        /* enum mount_extra */
	const char *data;      /* "size=64m,mode=1777": options of the file system, or NULL */
	struct ns_maps maps;   /* for MOUNT_IDMAP; empty: those of the container's user namespace */
	const char *label;     /* SELinux context option text, or NULL */
};

/* One word of mounts[].options, applied to the plan. Returns false if it is data for the file
 * system. */
bool mount_option(struct mount_plan *m, const char *word);

/* Every option word that mount_option() knows, for `features`: NULL-terminated. */
const char *const *mount_option_names(void);

#endif
