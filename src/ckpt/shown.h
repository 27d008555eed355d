/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Files in directories that a supervisor shows (super/map.h). What tasks have of these lies in the
 * upper or the lower one of two directories, which are on mounts of their own that have no path in
 * the container. An image has them by the side and the path that the container knows:
 * "upper:/work/a", "lower:/work/b". All others are absolute paths.
 */
#ifndef CKPT_SHOWN_H
#define CKPT_SHOWN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct ckpt;

/* Asks the supervisor what its directories are made of, where there is one. At restore it is the
 * new one. 0 or -errno with a text. */
int shown_ask(struct ckpt *c);
void shown_end(struct ckpt *c);

/* Is it such a name? */
bool shown_is(const char *path);

/* A path of an image's: absolute, or such a name. */
bool shown_is_path(const char *path);

/* Dump: the name of the file that a link of /proc says is at `text`; NULL if it is none of these,
 * or nothing leads to it. In the arena. */
const char *shown_name(struct ckpt *c, const char *text, const struct stat *st);

/*
 * Dump: the same of a file of an upper side of which only the inode number is known: the bits of it
 * that mask has, and where dev isn't 0 its file system. By a walk over all names, and only once for
 * each. Where type isn't 0 it is of that sort (S_IFMT).
 */
struct shown_inode {
	dev_t dev;
	uint64_t ino, mask;
	mode_t type;
};
const char *shown_find(struct ckpt *c, const struct shown_inode *what);

/* Dump: whether a place in the directory of that name, where it is being read, is found again. */
bool shown_place_holds(struct ckpt *c, const char *name, uint64_t place);

/* Dump: the name of the directory where a file that was removed had its place, if that was an upper
 * one. mount is -1 where only the numbers of its file system are known. NULL if it wasn't. */
const char *shown_home(struct ckpt *c, const char *text, int64_t mount, dev_t dev);

/* Opens it to look at it, as thole: O_PATH fd, or -errno without a text. */
int shown_look(struct ckpt *c, const char *name);

/* Restore: opens it with the rights of the container's root. The supervisor's mounts are out of
 * reach of the container's rules, so no task of it can. fd or -errno with a text. */
int shown_open(struct ckpt *c, const char *name, int flags);

#endif
