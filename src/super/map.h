/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The path map: which of the container's directories are shown by the supervisor.
 *
 * A directory is known by what it is, not by its name: the roots by device and inode, an open file
 * beneath them by where the kernel says that it is (d_path, as readlink("/proc/self/fd/N") shows
 * it), which is looked at again where its mount alone does not prove it.
 */
#ifndef SUPER_MAP_H
#define SUPER_MAP_H

#include <limits.h>

#include "super/layer.h"

#define SUPER_MAP_MAX 16

struct notif;

/* A file as the kernel knows it. */
struct map_id {
	uint64_t dev, ino, mount; /* STATX_MNT_ID */
	int64_t born;             /* tells it from a later one of the same number; 0: not known */
	bool mounted;             /* the root of its mount */
	mode_t mode;
};

int map_identify(int fd, struct map_id *out);
/* And what else there is to know of it. */
int map_look(int fd, struct map_id *out, struct stat *st);

struct map_entry {
	const char
		*guest; /* absolute path in the container, without "." ".." "//" or a last slash */
	size_t guest_len;
	struct layer layer;
	/* what d_path(9) says of the roots, and their mounts */
	char *upper_path, *lower_path, *work_path;
	uint64_t upper_mount, lower_mount;
	/* The same of the directory that the container itself has there, with no supervisor:
	 * map_settle(). */
	int native;
	char native_path[PATH_MAX];
	struct map_id native_id, upper_id, lower_id;
};

#define MAP_OUTSIDE 32

struct map {
	struct map_entry v[SUPER_MAP_MAX];
	size_t n;
	bool settled;
	int fds;  /* /proc/self/fd */
	int root; /* the container's, and the file that it is: none of the map's */
	struct map_id root_id;
	/* fs.protected_*: proc_sys_fs(5) */
	int protected_links, protected_regular, protected_fifos;
	bool confined;                      /* the container has Landlock's rules */
	struct map_id outside[MAP_OUTSIDE]; /* directories that were none of the map's */
	uint64_t mounts; /* inode of the container's mount namespace; 0 up to the first walk */
};

/*
 * The container's root, and what it has itself at each entry's place (O_PATH, taken over where it
 * succeeds). Needed once, before the first walk, and of whoever makes the container: its threads
 * may have other roots and, where they have mounted something, may find something else there. 0 or
 * -errno.
 */
int map_settle(struct map *m, int *root, int *natives);

/* Of directories that are none of the map's most are asked for again soon. */
bool map_was_outside(const struct map *m, const struct map_id *id);
void map_note_outside(struct map *m, const struct map_id *id);

/*
 * The entry that an open directory is the root of: its upper or lower directory, or what the
 * container has in its place. In a mount namespace that the guest has made itself that is each
 * read-only mount of it. NULL.
 */
struct map_entry *map_of_root(struct map *m, const struct notif *n, int fd,
			      const struct map_id *id);

/* Of an open file of a layer: the entry and the path within it, as it is now. NULL if it is none of
 * the map's. out_rel has PATH_MAX bytes; *out_side says which of both sides it lies in:
 * LAYER_NOWHERE if it has no name any more (what is removed goes through the work directory), and
 * out_rel is "" then. */
struct map_entry *map_of_fd(struct map *m, int fd, char *out_rel, enum layer_side *out_side);

/* The same of a file that was identified. */
struct map_entry *map_of_known(struct map *m, int fd, const struct map_id *id, char *out_rel,
			       enum layer_side *out_side);

/* True if files of that device may be of an upper side. */
bool map_has_upper(const struct map *m, dev_t dev);

/* True of a file of an upper side where the container sees the lower one by read-only mounts. */
bool map_is_mounted_upper(const struct map *m, int fd);

/* True if a name may be that of an entry's root in the directory above. */
bool map_has_name(const struct map *m, const char *name, size_t len);

/* True if the thread has the mounts that the container was given: those names hold then. */
bool map_is_usual(const struct map *m, const struct notif *n);

/* The entry of exactly this place: the path rel in e. NULL. */
struct map_entry *map_below(struct map *m, const struct map_entry *e, const char *rel);

/* True if some entry is beneath that place, which then can't be removed or renamed. */
bool map_has_below(const struct map *m, const struct map_entry *e, const char *rel);

#endif
