/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two directories that are seen as one: what is in the upper one hides what has the same name in
 * the lower one, which is never written. The format of the upper one is that of overlayfs with
 * "userxattr" (Documentation/filesystems/overlayfs.rst), so both can be mounted that way, too: a
 * character device 0:0 is a whiteout, a directory with the attribute user.overlay.opaque = "y"
 * hides all of the lower one; where the file system keeps no attributes, whiteouts of each of its
 * names do the same.
 *
 * Paths are relative to the layer's root, "" is the root itself, without "." and ".." and without
 * symbolic links before the last name: who has none walks with path.h. Functions act with the
 * calling thread's credentials (guest.h), except where it is said that they copy: copies keep their
 * owner, and are made as the process itself. They return 0 or -errno without a text: the errors are
 * the guest's.
 */
#ifndef SUPER_LAYER_H
#define SUPER_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum layer_mode { LAYER_RO, LAYER_RW, LAYER_COW };

struct layer {
	enum layer_mode mode;
	int upper;      /* O_PATH directory; -1 of LAYER_RO */
	int lower;      /* O_PATH directory; -1 of LAYER_RW */
	uint64_t quota; /* bytes of the files in the upper directory; 0: none */
	uint64_t used;  /* what is known of them, at least as much as there is */
	bool counted;   /* used was counted once */
};

enum layer_side { LAYER_NOWHERE, LAYER_LOWER, LAYER_UPPER };

struct layer_entry {
	enum layer_side side;
	bool merged;    /* a directory of the upper side with one of the lower that shows through */
	bool whiteout;  /* nowhere, since it was removed: something of the lower side is hidden */
	int fd;         /* O_PATH | O_NOFOLLOW; the caller's; -1 where it is nowhere */
	struct stat st; /* of the fd */
};

/* What is at path. -ENOENT or -ENOTDIR where that can't be because of a name before the last,
 * -ELOOP where such a one is a symbolic link, -EACCES; nowhere is no error. */
int layer_find(const struct layer *l, const char *path, struct layer_entry *out);

/* What is at path is in the upper side afterwards, and so are the directories above; a copy keeps
 * contents with their holes, mode, owner, times and attributes. A directory is copied without what
 * is in it. -EROFS of LAYER_RO; -ENOSPC, too, where the quota is met. */
int layer_copy_up(struct layer *l, const char *path);

/* The same, and a descriptor of it in the upper side: O_PATH, the caller's. */
int layer_open_up(struct layer *l, const char *path);

/*
 * Makes ready for a name to be made: *out_dir is the upper directory that it goes into (O_PATH, the
 * caller's), *out_name its last part, within path. -EEXIST where there is something, -ENOENT.
 * A whiteout that stands there is left: layer_place() puts what was made under a temporary name in
 * its place.
 */
int layer_parent(struct layer *l, const char *path, int *out_dir, const char **out_name);

/* Things that are made, with the caller's credentials and umask. A directory hides what was there
 * before. layer_create() opens as well (open(2)'s flags; O_CREAT | O_EXCL are implied). */
int layer_create(struct layer *l, const char *path, int flags, mode_t mode);
int layer_mkdir(struct layer *l, const char *path, mode_t mode);
int layer_symlink(struct layer *l, const char *target, const char *path);
int layer_mknod(struct layer *l, const char *path, mode_t mode, dev_t dev); /* a whiteout: EPERM */

/* unlinkat(2), linkat(2) of an O_PATH descriptor that is in the upper side, renameat2(2) with all
 * its flags but RENAME_WHITEOUT, directories too: they are copied up whole before. */
int layer_remove(struct layer *l, const char *path, bool dir);
int layer_link(struct layer *l, const char *from, const char *to);
int layer_rename(struct layer *l, const char *from, const char *to, unsigned flags);

/*
 * What a merged directory lists, in linux_dirent64: first the lower side's names that are not
 * hidden, then those of the upper side alone, so that what stays is told once whatever is copied,
 * made or removed meanwhile. fd is the open directory of the upper side, whose position
 * (lseek(2)) is the only state there is: telldir, seekdir and rewinddir work. Returns the bytes in
 * buf, 0 at the end, -EINVAL where not one entry fits.
 */
ssize_t layer_list(const struct layer *l, const char *path, int fd, void *buf, size_t len);

/* Quota: true if the files may grow by so much, which then is counted; growth that can't be had is
 * looked for once more by counting what is really there. */
bool layer_reserve(struct layer *l, uint64_t bytes);

#endif
