/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular files that have no name any more, or never had one: the image carries them whole, as it
 * does memory that processes share (k_shm.c). The new file is made on the same file system, in the
 * directory where the old one was, or the nearest one above that is still there.
 */
#ifndef CKPT_DELETED_H
#define CKPT_DELETED_H

#include "ckpt/kind.h"
#include "ckpt/xattr.h"

#define DELETED_MAX_MIB 256u /* of data, for one file: holes are not counted */

struct deleted {
	const char *dir;         /* as the container's init sees it */
	uint32_t mode, uid, gid; /* ids as the container sees them */
	int64_t atime, mtime;    /* seconds, */
	uint32_t atime_ns, mtime_ns;
	bool bare; /* only a mapping was left of it, which tells none of these but the directory */
	struct xattr *xattrs;
	size_t n_xattrs;
};

extern const struct record_table deleted_table;

/* What is known of one: -1 and NULL where it isn't. */
struct deleted_look {
	const char *path; /* it had; " (deleted)" may stand at the end */
	const struct stat *st;
	int64_t mount;         /* number of the mount it was opened on */
	uint32_t major, minor; /* of its file system, where there is no mount */
};

/* Why it can't be carried, or NULL. */
const char *deleted_refusal(struct ckpt *c, const struct deleted_look *l);

/* Dump: fd is open for reading, or -1 where only l is known. 0 or -errno with a text. */
int deleted_collect(struct ckpt *c, const struct deleted_look *l, int fd, struct deleted **out);

/* Restore: an empty one without a name, made by the root process. fd to read and write, or -errno
 * with a text. */
int deleted_make(struct ckpt *c, const struct deleted *d);

/* Restore, up to PHASE_FILES: owner, mode, attributes and times, of what was made so. */
int deleted_set_facts(struct ckpt *c, const struct deleted *d, int fd);

#endif
