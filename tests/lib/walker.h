/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A process whose paths are walked: it says itself what the kernel makes of them, and path_walk()
 * is to say the same. Its tree, and the directory of the map in it, are made from a list of lines:
 * "d NAME", "f NAME", "l NAME TARGET"; each file's time tells it from all others, so it is known
 * again where it was moved from the lower directory to the upper one.
 */
#ifndef TEST_WALKER_H
#define TEST_WALKER_H

#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>

#include "super/path.h"

#define WALKER_TEXT_MAX (2 * PATH_MAX)

/* What a path leads to. */
struct walker_seen {
	int ret; /* 0 or -errno */
	uint64_t dev, ino;
	int64_t tag;
	mode_t mode;
	char name[PATH_MAX]; /* as the kernel has it (d_path); "" where it has none */
};

/* Shared with the process. */
struct walker_board {
	int (*run)(struct walker_board *b);
	int ret;
	/* of walker_ask() */
	int dirfd;
	unsigned flags; /* PATH_* */
	uint64_t resolve;
	char text[WALKER_TEXT_MAX];
	struct walker_seen seen;
	/* for run() */
	int number;
	void *pointer;
};

struct walker {
	pid_t pid;
	int to, from;
	struct walker_board *board;
	struct notif n;
	struct notif_threads threads;
	struct map map;
	struct path p;
	int base; /* of the tree */
	char base_path[PATH_MAX], upper_path[PATH_MAX], work_path[PATH_MAX];
};

/* Makes the tree below a directory, whose entries of the map are the names in `entries` (NULL ends
 * them), and starts the process. Ends the program where that fails. */
void walker_start(struct walker *w, const char *base, const char *const *lines,
		  const char *const *entries);
void walker_end(struct walker *w);

/* The process's root and mounts are the container's, before the first walk. walker_start() does it.
 */
void walker_settle(struct walker *w);

/* The tree alone. */
void walker_plant(int base, const char *const *lines);

/* run(board) in the process: returns what it does. */
int walker_do(struct walker *w, int (*run)(struct walker_board *b));

/* What the kernel says to the process: openat2(2) with O_PATH. */
const struct walker_seen *walker_ask(struct walker *w, int dirfd, const char *text, unsigned flags,
				     uint64_t resolve);

/* What the walk says; w->p is to be closed. */
struct walker_seen walker_walk(struct walker *w, int dirfd, const char *text, unsigned flags,
			       uint64_t resolve);

/* What is in an entry's lower directory under a name goes into its upper one, with what is
 * beneath. */
void walker_raise(struct walker *w, size_t entry, const char *name);

#endif
