/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two directories that are seen as one: what is in the upper one hides what has the same name in
 * the lower one, which is never written. The format of the upper one is that of overlayfs with
 * "userxattr" (Documentation/filesystems/overlayfs.rst), so both can be mounted that way, too: a
 * character device 0:0 is a whiteout, a directory with the attribute user.overlay.opaque = "y"
 * hides all of the lower one; where the file system keeps no attributes, whiteouts of each of its
 * names do the same. Beside it, on the same mount, is a work directory: what is not whole yet is
 * made there and renamed, and it knows which of the lower side's files with several names were
 * copied (links/), so that their names stay one file.
 *
 * Paths are relative to the layer's root, "" is the root itself, without "." and ".." and without
 * symbolic links before the last name: who has none walks with path.h. Functions act with the
 * calling thread's credentials (guest.h), so it is the kernel that says what it may; only what the
 * guest must not see is done as the process itself (setfsuid(2) to its own, all its capabilities):
 * looking at the lower side of a directory whose modes were changed, copies, which keep their
 * owner, whiteouts. They return 0 or -errno without a text: the errors are the guest's.
 *
 * Inode numbers: a file's is the lower one's until it is copied. A directory's must not change
 * between stat(2) and fstat(2) (fts(3) compares them): who tells a directory's tells that of the
 * upper side's (layer_open_up).
 */
#ifndef SUPER_LAYER_H
#define SUPER_LAYER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

enum layer_mode { LAYER_RO, LAYER_RW, LAYER_COW };

#define LAYER_SEEKS 8
#define LAYER_CLEAR 8
#define LAYER_COPIED 8192 /* bits */
#define LAYER_CLEAR_LEN 256

/* Where in a lower directory the entry with this number is. */
struct layer_seek {
	uint64_t dev, ino, number;
	int64_t cookie;
};

struct layer {
	enum layer_mode mode;
	int upper;      /* O_PATH directory; -1 of LAYER_RO */
	int lower;      /* O_PATH directory; -1 of LAYER_RW */
	int work;       /* O_PATH directory on the upper one's mount; -1 but of LAYER_COW */
	uint64_t quota; /* bytes of the files in the upper directory; 0: none */
	uint64_t used;  /* what is known of them, at least as much as there is */
	bool counted;   /* used was counted once */
	bool shrunk;    /* and may be less by now */
	bool watched;   /* somebody may be told of what happens to names (inotify(7)) */
	struct layer_late *late; /* who makes long copies (layer_late.h), or NULL */
	/* the layer's own */
	bool linked; /* there are links/ */
	unsigned serial;
	struct layer_seek seek[LAYER_SEEKS];
	char clear[LAYER_CLEAR][LAYER_CLEAR_LEN]; /* upper directories that hide nothing */
	unsigned next_seek, next_clear;
	uint64_t copied[LAYER_COPIED / 64];
};

enum layer_side { LAYER_NOWHERE, LAYER_LOWER, LAYER_UPPER };

struct layer_entry {
	enum layer_side side;
	bool whiteout;  /* nowhere, since it was removed: something of the lower side is hidden */
	int fd;         /* O_PATH | O_NOFOLLOW; the caller's; -1 where it is nowhere */
	struct stat st; /* of the fd */
};

/* Once, with the descriptors set: throws away what a process that was killed left half made. */
void layer_prepare(struct layer *l);

/* What is at path. -ENOENT or -ENOTDIR where that can't be because of a name before the last,
 * -ELOOP where such a one is a symbolic link, -EACCES; nowhere is no error. A file of the lower
 * side that was copied under another of its names is linked to that copy first. */
int layer_find(struct layer *l, const char *path, struct layer_entry *out);

/* What is at path is in the upper side afterwards, and so are the directories above; a copy keeps
 * contents with their holes, mode, owner, times and attributes. A directory is copied without what
 * is in it. Whether the guest may do what it is needed for is the caller's affair: a copy that
 * nobody wrote to is no change. -EROFS of LAYER_RO; -ENOSPC, too, where the quota is met.
 * -NOTIF_LATER where l->late is set and the copy takes long: nothing has been done then but that
 * others do it, and the whole call is to be made again. So with all that copies. */
int layer_copy_up(struct layer *l, const char *path);

/* The same, and a descriptor of it in the upper side: O_PATH, the caller's. */
int layer_open_up(struct layer *l, const char *path);

/* The same, for O_TRUNC and truncate(2) to nothing: a regular file that is copied comes up empty,
 * and must be the caller's to write: -EACCES. */
int layer_open_up_empty(struct layer *l, const char *path);

/*
 * Things that are made, with the caller's credentials and umask. A directory hides what was there
 * before. make() gets the directory (O_PATH) and the name to make it under, and returns 0 or
 * -errno; it may be another directory with the same owner, mode and lists of access, out of which
 * what was made is put in its place afterwards.
 */
int layer_make(struct layer *l, const char *path, int (*make)(void *arg, int dir, const char *name),
	       void *arg);

/* layer_create() opens as well (open(2)'s flags; O_CREAT | O_EXCL are implied), and returns the
 * descriptor. */
int layer_create(struct layer *l, const char *path, int flags, mode_t mode);
/* The same where layer_find() has just said what is there. */
int layer_create_found(struct layer *l, const char *path, const struct layer_entry *found,
		       int flags, mode_t mode);
int layer_mkdir(struct layer *l, const char *path, mode_t mode);
int layer_symlink(struct layer *l, const char *target, const char *path);
int layer_mknod(struct layer *l, const char *path, mode_t mode); /* a device: EPERM */

/* unlinkat(2), linkat(2), renameat2(2) with all its flags but RENAME_WHITEOUT, directories too:
 * they are copied up whole before. layer_link_fd() gives a name to an open file of the upper side
 * (O_TMPFILE, AT_EMPTY_PATH). */
int layer_remove(struct layer *l, const char *path, bool dir);
int layer_link(struct layer *l, const char *from, const char *to);
int layer_link_fd(struct layer *l, int fd, const char *to);
int layer_rename(struct layer *l, const char *from, const char *to, unsigned flags);

/*
 * What a directory lists, in linux_dirent64: first the lower side's names that are not hidden, then
 * those of the upper side alone, so that what stays is told once whatever is copied, made or
 * removed meanwhile. fd is the open directory of the upper side, whose position (lseek(2)) is the
 * only state there is: telldir, seekdir and rewinddir work. Returns the bytes in buf, 0 at the end,
 * -EINVAL where not one entry fits.
 */
ssize_t layer_list(struct layer *l, const char *path, int fd, void *buf, size_t len);

/* Whether that place in a listing is the same where the upper directory is another one, with the
 * same in it: among the names of the lower side it is. */
bool layer_place_holds(struct layer *l, const char *path, int64_t at);

/* access(2) of an open file (O_PATH), W_OK and so on. That the lower side is mounted read-only
 * doesn't count: what may be written there is copied first. */
int layer_may(int fd, int mode);

/* Quota: true if the files may grow by so much, which then is counted; growth that can't be had is
 * looked for once more by counting what is really there, where layer_shrunk() was told since. */
bool layer_reserve(struct layer *l, uint64_t bytes);
void layer_shrunk(struct layer *l);

/* How often a file has a name for the guest: what st says but for the names in links/ and for those
 * of the lower side that are no more; 1 of a directory that may have directories of both sides.
 * e->side may be LAYER_NOWHERE: of a file that is open, whatever has become of its name. */
nlink_t layer_nlink(struct layer *l, const struct layer_entry *e);

/* No file has names in both sides: what the work directory knows of them does no harm if it is
 * lost. As the process itself. */
bool layer_links_whole(struct layer *l);

/* The inode number of the lower side's file that a regular file, open in any way, was copied from:
 * who has seen that goes on with it. False where it was not, or the file system keeps no
 * attributes. */
bool layer_origin(int fd, uint64_t *out_ino);

/* A regular file of the lower side with that number was copied since the layer was opened; or one
 * whose number is like it. */
bool layer_was_copied(const struct layer *l, uint64_t ino);

/* An attribute that is the layer's own: not listed, not had (ENODATA), not set (EPERM). */
bool layer_owns_xattr(const char *name);

#endif
