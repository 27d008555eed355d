/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a path of the guest's leads. It is walked component by component with open descriptors,
 * from the thread's own root, working directory or a descriptor of its, as the thread (guest.h) and
 * as the kernel would: "..", symbolic links of every kind, the links in /proc, trailing slashes,
 * names up to PATH_MAX that are any bytes. The text is copied once; what the guest changes
 * afterwards changes nothing. Where the walk comes to a directory of the map (map.h) it goes on in
 * its layers, and ".." leads back out of them.
 */
#ifndef SUPER_PATH_H
#define SUPER_PATH_H

#include <limits.h>

#include "super/layer.h"
#include "super/map.h"
#include "super/notif.h"

enum {
	PATH_FOLLOW = 1, /* a symbolic link at the end is followed */
	PATH_EMPTY = 2,  /* "" is the descriptor itself (AT_EMPTY_PATH) */
	PATH_PARENT = 4, /* the last name need not be: its directory must */
	PATH_DIRECTORY =
		8, /* -ENOTDIR if it is something else; a trailing slash says so by itself */
};

enum path_last { PATH_NAME, PATH_DOT, PATH_DOTDOT, PATH_ROOT };

struct path {
	char text[PATH_MAX]; /* the guest's own copy; "" where it can't be had */
	/* NULL: it is none of the map's, and the rest but found is empty. After a failure: where
	 * the walk came to its end. */
	struct map_entry *in;
	char rel[PATH_MAX];  /* within the layer */
	bool slash;          /* the text ended in one */
	bool led;            /* out of the map, in which it was: the kernel doesn't come there */
	bool gone;           /* of the map, but it has no name any more: rel is "" */
	bool jumped;         /* a link of /proc led to it: no directory was looked into for it */
	enum path_last last; /* what the text ended in: a name but for PATH_NAME is none to make or
				remove; PATH_ROOT: "/" */
	/* What is there: found.fd is the caller's, also outside of the map (side LAYER_NOWHERE, fd
	 * >= 0 there); -1 where there is nothing and PATH_PARENT was given. Of PATH_EMPTY it is a
	 * copy of the guest's descriptor, else O_PATH | O_NOFOLLOW. */
	struct layer_entry found;
	/* Outside of the map with PATH_PARENT and PATH_NAME: the directory (O_PATH, the caller's)
	 * and last name. */
	int dir;
	char name[NAME_MAX + 1];
};

struct open_how;

/*
 * Reads the path at address and walks it. dirfd is the guest's (AT_FDCWD). resolve: RESOLVE_* of
 * openat2(2), or 0. Returns 0, or what the kernel would say (-ENOENT, -ENOTDIR, -ELOOP, -EACCES,
 * -ENAMETOOLONG, -EFAULT, -EBADF, -EXDEV). To be closed with path_close() also on failure.
 * The walk is the thread's also where guest_become() was not called before; who has called it saves
 * a second time.
 */
int path_walk(struct map *m, struct notif *n, int dirfd, uint64_t address, unsigned flags,
	      uint64_t resolve, struct path *out);

/* The same of a text of the supervisor's own. */
int path_walk_text(struct map *m, struct notif *n, int dirfd, const char *text, unsigned flags,
		   uint64_t resolve, struct path *out);

void path_close(struct path *p);

/* Of a path that was led out of the map: the name that the guest's kernel knows it by, absolute. Of
 * what need not be there (PATH_PARENT) or is a link, that of its directory and its own. -ENOENT
 * where it has none (a pipe, a file that was removed), -ENAMETOOLONG. */
int path_outside(const struct notif *n, const struct path *p, char *out, size_t size);

/* The guest's name of what is in a layer: entry's prefix and the path in it. -ENAMETOOLONG. */
int path_name(const struct map_entry *e, const char *rel, char *out, size_t size);

#endif
