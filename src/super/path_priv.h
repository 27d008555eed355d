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
	bool gone; /* it has no name any more */
	int fd;    /* O_PATH; -1 of a directory in a layer that wasn't opened */
	bool kept; /* fd is somebody else's, who keeps it */
	struct stat st;
	struct map_id id; /* of what isn't in a layer, or has no name */
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
	bool leaps;  /* over several names: only in the mounts of the container are they known */
	bool missed; /* nothing has the last name */
	bool inside; /* it was in the map */
	const char *next; /* in text: what is still to go */
	char text[(PATH_LINKS_MAX + 1) * PATH_MAX];
};

/* path_place.c */

/* Takes fd over, also where it fails, and finds out where it is. */
int place_open(struct walk *w, int fd, struct place *out);
/* Outside of the map; takes fd over. */
void place_set(struct place *p, int fd, const struct map_id *id, const struct stat *st);
/* In the layer where p is; takes found's descriptor over. */
void place_put(struct place *p, const struct layer_entry *found);
/* The root of an entry. */
void place_enter(struct place *p, struct map_entry *e);
/* `from` has to be there as long as `to` is. */
void place_borrow(struct place *from, struct place *to);
void place_close(struct place *p);
bool place_same(const struct place *a, const struct place *b);

/* Opens what a place in a layer is, where it is not open yet. */
int place_find(struct place *p);

/* A descriptor of it for somebody else. */
int place_take(struct place *p);

/* As the guest sees it: of all that is in an entry that of the entry. */
uint64_t place_mount(const struct place *p);

/* The thread's root, for the first time opened. */
int path_root(struct walk *w);

/* A step to another mount that RESOLVE_NO_XDEV forbids. */
bool path_is_barred(const struct walk *w, uint64_t mount);

/* path_leap.c: as many names as there may be at once; 1 where the next one has to be a step. */
int path_leap(struct walk *w);
bool path_is_dots(const char *name, size_t len);
int path_join(char rel[PATH_MAX], const char *name);
/* The step has come to fd, outside of the map as far as is known, and takes it over. */
int path_arrive(struct walk *w, int fd, const struct map_id *id, const struct stat *st);

/* path_link.c: an open symbolic link in the directory where the walk stands. */
struct link {
	int fd; /* stays the caller's */
	const char *name;
	bool last; /* of the text, as far as that goes */
	const struct stat *st;
};

int path_follow(struct walk *w, const struct link *link);

#endif
