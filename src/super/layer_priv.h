/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of a layer have in common (layer*.c, cow_*.c). */
#ifndef SUPER_LAYER_PRIV_H
#define SUPER_LAYER_PRIV_H

#include <linux/openat2.h>
#include <sys/sysmacros.h>

#include "super/guest.h"
#include "super/layer.h"
#include "super/layer_late.h"

#define LAYER_OPAQUE "user.overlay.opaque"
#define LAYER_LINKS "links"
#define LAYER_NAME 32 /* room for a name in the work directory */

/* Nothing that stands in the upper directory may lead out of it, not even a mount. */
#define LAYER_IN_LOWER (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS)
#define LAYER_IN_UPPER (LAYER_IN_LOWER | RESOLVE_NO_XDEV)

/* From here to the end of the block as the process itself:
 *	auto_self who = guest_pause(); */
static inline void layer_resume(const bool *acted)
{
	guest_resume(*acted);
}
#define auto_self __attribute__((cleanup(layer_resume), unused)) const bool

/* layer.c */
static inline bool layer_is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(0, 0);
}

/* What a commit makes beside what it becomes: one at a time, and the only one that is left of a
 * commit that was killed. It is none of the lower directory's names. */
#define LAYER_HALF ".thole-cow-commit.tmp"

/* The length of what is before the last name, and that name. */
size_t layer_parent_len(const char *path);
const char *layer_last(const char *path);

/* O_PATH of a name or path beneath dir, without following anything, and its stat. */
int layer_look(int dir, const char *path, uint64_t resolve, struct stat *out);

/* The upper directory path[0..len), copied where it isn't there; as the process itself. */
int layer_up_dir(struct layer *l, const char *path, size_t len);

/* The lower directory that shows through the upper one path[0..len), as the process itself: O_PATH,
 * or -ENOENT where none does. */
int layer_below_dir(struct layer *l, const char *path, size_t len);

/* One of the upper directories from the root to path[0..len) hides what is below. Paths where that
 * is not so are kept in mind: to be forgotten where one may come to be, or directories move. */
bool layer_hidden(struct layer *l, const char *path, size_t len);
void layer_forget(struct layer *l);

/* Is there something in the lower directory that shows once the upper side has nothing at path?
 * Then its stat. */
bool layer_shows(struct layer *l, const char *path, struct stat *out);

/* layer_copy.c: as the process itself. A copy is whole or not there. */
void layer_temp(struct layer *l, char out[LAYER_NAME]); /* a name in the work directory */
int layer_copy(struct layer *l, int from, const struct stat *st, int dir, const char *name,
	       bool contents);
int layer_copy_dir(struct layer *l, int from, int dir, const char *name);
int layer_copy_contents(int from, int to, off_t size);
int layer_open_to_read(int from, int flags); /* of an O_PATH one */

/* layer_facts.c: all but contents, of O_PATH descriptors too. The access time is no fact. */
int layer_copy_facts(int from, int to, const struct stat *st);
int layer_copy_xattrs(int from, int to);
/* So that layer_origin() knows where a copy, open for writing, is from. Of a file of another file
 * system below the lower side the number alone would say nothing: it has none. */
void layer_note_origin(const struct layer *l, int item, const struct stat *st);
int layer_keep_times(int fd, const struct stat *st);
int layer_loosen(int fd, mode_t *out_was); /* the owner may do all, until: */
void layer_tighten(int fd, mode_t was);
bool layer_owner_differs(const struct stat *copy, const struct stat *st);
bool layer_mode_differs(const struct stat *copy, const struct stat *st);
int layer_xattrs_differ(int a, int b); /* 1, 0 or -errno */

/* layer_links.c: as the process itself */
int layer_links_bring(struct layer *l, const char *path, struct layer_entry *e);
int layer_links_note(struct layer *l, const struct stat *lower, const char *temp, int item);
int layer_links_cover(struct layer *l, const struct stat *lower);

/* layer_name.c */
int layer_may_remove(int dir, const struct stat *victim); /* as the guest */
int layer_empty(struct layer *l, const char *path);       /* a directory, or -ENOTEMPTY */

/*
 * layer_walk.c: all that is in a directory, each directory before what is in it. entry() returns 1
 * where that isn't wanted, left() is called after all of a directory (NULL: never), < 0 ends it.
 * Paths are relative to the root, which is not told of itself.
 */
struct layer_visit {
	int (*entry)(void *arg, const char *path, const struct stat *st);
	int (*left)(void *arg, const char *path);
	void *arg;
};
int layer_walk(int root, bool upper, const struct layer_visit *visit);

/* The same from where it ended the last time; the entry that ended it comes again. Nothing that was
 * passed may come to be wanted meanwhile. */
int layer_walk_on(int root, bool upper, const struct layer_visit *visit, struct layer_way *way);

static inline void layer_way_begin(struct layer_way *way)
{
	way->path[0] = '\0';
	way->len = way->depth = 0;
	way->at[0] = 0;
}

/* layer_whole.c: a copy of what is at path and, if it is a directory, of all in it that shows, as
 * the process itself. Where l->late is set it is made in parts: -NOTIF_LATER after each but the
 * last. */
int layer_copy_whole(struct layer *l, const char *path);

/* layer_white.c: as the process itself */
struct dirent64;
bool layer_is_dots(const char *name);
int layer_open_dir(int dir, const char *name); /* to read, of the upper side */
int layer_each(int dir, int (*visit)(void *arg, int dir, const struct dirent64 *e), void *arg);
bool layer_is_opaque(int dir);
int layer_set_opaque(int dir, int below); /* below: of the lower side, what it must not show */
int layer_clear_opaque(int dir);
bool layer_white_at(int dir, const char *name);
/* A whiteout goes, and its directory's times stay; all in an opaque directory, where they hide
 * nothing, but where overlayfs would list them. */
int layer_drop_white(int root, const char *path);
int layer_drop_whites(int dir);
/* In the place of what is at dir/name; of a directory there is nothing left but whiteouts. */
int layer_put_whiteout(struct layer *l, int dir, const char *name);
int layer_throw(struct layer *l, const char *temp);

#endif
