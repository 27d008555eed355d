/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What lies in a file system that is in memory alone, or in an upper layer, as <word>.<n>.json and
 * <word>.<n>.data of an image have it. Both directions name a file by the directory that holds it,
 * an earlier entry, and its name there: no path of the container's is ever followed.
 */
#ifndef CKPT_TMPFS_H
#define CKPT_TMPFS_H

#include "ckpt/kind.h"
#include "ckpt/xattr.h"

/* linux/fs.h: FS_IMMUTABLE_FL, FS_APPEND_FL, FS_NODUMP_FL */
#define TMPFS_FLAGS 0x70u

struct tmpfs_entry {
	uint32_t parent; /* the directory it is in; of the first entry, the root of the mount: 0 */
	const char *name;
	uint32_t mode, uid, gid; /* ids as the container sees them */
	uint32_t major, minor;   /* of a device */
	const char *target;      /* of a symbolic link */
	uint32_t same;           /* a hard link: number of the entry with the same inode */
	uint64_t size;
	const uint64_t *extents; /* of a file: offset and length of what is no hole, in turn */
	size_t n_extents;        /* both counted */
	int64_t atime, mtime;    /* seconds, */
	uint32_t atime_ns, mtime_ns;
	struct xattr *xattrs;
	size_t n_xattrs;
	uint32_t flags; /* of TMPFS_FLAGS: chattr(1) */
	/* not in the image */
	uint64_t data;   /* where its bytes begin in the file of contents */
	bool kept, gone; /* restore: it was there already; it is covered by a mount */
};

struct tmpfs_tree {
	struct tmpfs_entry *v;
	size_t n, room;
};

extern const struct record_table tmpfs_tree_table;

/* The directory with that number, beneath an open root, opened with flags. fd or -errno, no
 * text. */
int tmpfs_open_dir(int root, const struct tmpfs_tree *t, uint32_t dir, int flags);

/* "run/a/b", for messages: shortened where it is long. */
const char *tmpfs_path(struct arena *a, const struct tmpfs_tree *t, uint32_t entry);

/* The path of an entry from the container's root. 0, or -ENAMETOOLONG with a text. */
int tmpfs_whole_path(const char *point, const struct tmpfs_tree *t, uint32_t entry, char *out,
		     size_t size);

/* The number of the mount that an open directory is on. 0 or -errno with a text. */
int tmpfs_mount_id(int fd, uint64_t *out);

/* Dump: writes both files of the image. root is that of the mount, open. */
int tmpfs_save(struct ckpt *c, int root, const char *word, size_t number);

/* Restore: reads and checks; 0 or -errno with a text. */
int tmpfs_load(struct ckpt *c, const char *word, size_t number, struct tmpfs_tree *out);

/*
 * Restore: makes the tree beneath root what it was. What is there and is not in the image goes,
 * unless keep_others. Mounts stay, with what is beneath them. Nodes of devices that are missing are
 * made by the root process, unless nodes.
 */
struct tmpfs_restore {
	struct ckpt *c;
	const char *word;
	size_t number;
	int root;
	bool keep_others, nodes;
	struct tmpfs_tree *tree;
	const char *point; /* where it is mounted, as the container sees it */
};
int tmpfs_restore(struct tmpfs_restore *r);

/* Restore: owners, modes, attributes and times, when nothing is made in there any more. */
int tmpfs_restore_facts(struct tmpfs_restore *r);

/* Restore: the same for one that the container had mounted itself, and that is mounted again at
 * that point: nothing where it has no files. k_tmpfs.c */
int tmpfs_fill_made(struct ckpt *c, const char *point);

#endif
