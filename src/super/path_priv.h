/* SPDX-License-Identifier: Apache-2.0 */
/* Within path*.c: a walk, and where it stands. */
#ifndef SUPER_PATH_PRIV_H
#define SUPER_PATH_PRIV_H

#include "super/path.h"

#define PATH_LINKS_MAX 40 /* of one walk: include/linux/namei.h */

/* A file, and where it is in the map. */
struct place {
	struct map_entry *in;
	char rel[PATH_MAX];
	enum layer_side side;
	bool gone;        /* it has no name any more */
	int fd;           /* O_PATH; -1 of a directory in a layer that was passed at a leap */
	struct map_id id; /* of fd */
};

struct walk {
	struct map *map;
	const struct notif *n;
	unsigned flags;
	uint64_t resolve;
	struct path *out;
	struct place root; /* fd is -1 until it is needed */
	struct place at;
	unsigned links;
	bool leaps;       /* over several names at once, where nothing can be between them */
	bool missed;      /* nothing has the last name */
	bool inside;      /* it was in the map */
	const char *next; /* in text: what is still to go */
	char text[(PATH_LINKS_MAX + 1) * PATH_MAX];
};

/* path_place.c: takes fd over, also where it fails. What was there before is closed. */
int place_open(struct walk *w, int fd, struct place *out);
int place_dup(struct place *from, struct place *to);
void place_set(struct place *p, int fd, const struct map_id *id);
void place_close(struct place *p);
bool place_same(const struct place *a, const struct place *b);

/* Opens what a place in a layer is, where it is not open yet. */
int place_find(struct place *p);

/* As the guest sees it: of all that is in an entry that of the entry. */
uint64_t place_mount(const struct place *p);

/* The thread's root, for the first time opened. */
int path_root(struct walk *w);

/* A step to another mount that RESOLVE_NO_XDEV forbids. */
bool path_is_barred(const struct walk *w, uint64_t mount);

/* path_link.c: link is an open symbolic link of that name, in the directory where the walk stands;
 * it stays the caller's. */
int path_follow(struct walk *w, int link, const char *name);

#endif
