/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the upper side of a layer changes, and doing it to the lower one. Both are the same walk
 * over the upper directory: a commit does what the walk finds, one change after the other, so it
 * can be killed at any step: run again it finds what is left. The upper side is emptied when all of
 * it is in the lower one and written out, in an order in which what is left of it never means a
 * change.
 *
 * The layer's mode is LAYER_COW, its lower directory is to be writable for a commit. No
 * layer_prepare() while somebody else works with the layer. Functions return 0, or -errno with a
 * text, or what row() returned that wasn't 0, which ends them.
 */
#ifndef SUPER_COW_COMMIT_H
#define SUPER_COW_COMMIT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct layer;

enum cow_what { COW_ADDED, COW_CHANGED, COW_REMOVED, COW_REPLACED };

enum cow_field {
	COW_CONTENT = 1, /* also the target of a symbolic link */
	COW_MODE = 2,
	COW_OWNER = 4,
	COW_TIME = 8, /* of modification; a directory's is kept in step, and not told */
	COW_XATTRS = 16,
	COW_NAMES = 32, /* it became another name of `link` */
};

struct cow_change {
	enum cow_what what;
	unsigned fields;  /* COW_CHANGED: enum cow_field, what differs */
	const char *path; /* within the directory, any bytes; "" is the directory itself */
	mode_t mode;      /* of what is there now; of COW_REMOVED: of what was */
	mode_t was;       /* COW_REPLACED: the mode of what was, of another type */
	uint64_t size;    /* bytes of a regular file that is there now */
	const char *link; /* the file has this name, too, which was told before; or NULL */
};

/* Tells every change. A directory that was removed is told once, without what was in it; a file
 * that was moved is one that was removed and one that was added. */
int cow_diff(struct layer *l, int (*row)(void *arg, const struct cow_change *change), void *arg);

/*
 * The same, each change told once it is made. A file that is replaced is so in one step, by a whole
 * one that is on the disk. live: somebody has files of the upper side open; then they are left
 * where they are, the same as the lower side's from there on, and nothing more is told of them.
 */
int cow_commit(struct layer *l, bool live, int (*row)(void *arg, const struct cow_change *change),
	       void *arg);

/* Throws all changes away: nobody may work with the layer. */
int cow_discard(struct layer *l);

#endif
