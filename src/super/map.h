/* SPDX-License-Identifier: Apache-2.0 */
/* The path map: which of the container's directories are shown by the supervisor. */
#ifndef SUPER_MAP_H
#define SUPER_MAP_H

#include "super/layer.h"

#define SUPER_MAP_MAX 16

struct map_entry {
	const char
		*guest; /* absolute path in the container, without "." ".." "//" or a last slash */
	size_t guest_len;
	struct layer layer;
	/* what d_path(9) says of the roots, as readlink("/proc/self/fd/N") shows it, and their
	 * mounts (STATX_MNT_ID): an open directory is known as one of the map's by these */
	char *upper_path, *lower_path;
	uint64_t upper_mount, lower_mount;
};

struct map {
	struct map_entry v[SUPER_MAP_MAX];
	size_t n;
};

/* Of an open file of a layer: the entry and the path within it, as it is now. NULL if it is none of
 * the map's. out_rel has PATH_MAX bytes; *out_side says which of both sides it lies in. */
struct map_entry *map_of_fd(struct map *m, int fd, char *out_rel, enum layer_side *out_side);

#endif
