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
				  MS_MANDLOCK, MS_LAZYTIME, MS_I_VERSION, MS_SILENT */
	unsigned propagation;  /* MS_PRIVATE, MS_SLAVE, MS_SHARED or MS_UNBINDABLE, with or without
				  MS_REC; 0: leave */
	unsigned extra;        /* enum mount_extra */
	const char *data;      /* "size=64m,mode=1777": options of the file system, or NULL */
	struct ns_maps maps;   /* for MOUNT_IDMAP; empty: those of the container's user namespace */
	const char *label;     /* SELinux option, written like data: context="LABEL"; or NULL */
};

/*
 * A detached copy of the tree at path: what is mounted there, with what is mounted below if
 * recursive. Returns a mount descriptor or -errno with a text.
 */
int mount_clone(int dir, const char *path, bool recursive, bool nofollow);

/*
 * Opens the target of a mount inside root, an O_PATH descriptor; what is missing of the path is
 * made, as a directory or (last component, directory false) an empty file. Dangling symbolic links
 * are followed inside the root.
 */
int mount_target(int root, const char *target, bool directory, bool nofollow);

/* A detached new file system of the plan's type, options and flags. */
int mount_new(const struct mount_plan *m);

/* mount_setattr(2) with the plan's flags on a detached or attached mount. */
int mount_set_flags(int mount, const struct mount_plan *m);

/* Maps the ids of a detached mount as those of a user namespace. mount_setattr(2) */
int mount_idmap(int mount, int userns, const struct mount_plan *m);

/* Attaches a detached mount on an opened target. Returns 0 or -errno, no text. */
int mount_attach(int mount, int target);

/* One MOUNT_ATTR_* set or cleared; propagation (MS_SHARED ...) or 0; recursive. Returns 0 or
 * -errno. */
int mount_attr(int mount, uint64_t set, uint64_t clear, unsigned propagation, bool recursive);

/*
 * Does one mount of the plan. source is what a bind mount shows: a detached mount, or -1 to open
 * m->source here. MOUNT_ATTR_RDONLY on a tmpfs or on /dev is left to the end (rootfs_seal), so that
 * what belongs inside can still be made. Returns the attached mount's descriptor, or -errno.
 */
int mount_do(int root, const struct mount_plan *m, int source, int idmap);

/*
 * Inside /proc nothing may be mounted but the files that lxcfs and its like replace: anything else
 * could stand in for the files by which labels and sysctls are set (CVE-2019-16884). below is the
 * path beneath /proc.
 */
bool mount_may_cover_proc(const char *below);

/* True where read-only has to wait until everything inside is made. */
bool mount_ro_later(const struct mount_plan *m);

/* Copies what is in the directory from into to: owners, modes, times, extended attributes, every
 * kind of file. */
int mount_copy_up(int from, int to);

/* The extended attributes of an open file for another one. */
int mount_copy_xattrs(int from, int to);

/* One word of mounts[].options, applied to the plan. Returns false if it is data for the file
 * system. */
bool mount_option(struct mount_plan *m, const char *word);

/* Every option word that mount_option() knows, for `features`: NULL-terminated. */
const char *const *mount_option_names(void);

#endif
