/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of the container that are shown by layers (super/layer.h): as an overlay mount, which
 * costs nothing a call, or by the supervisor, which answers the calls.
 */
#ifndef JAIL_LAYERS_H
#define JAIL_LAYERS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "super/map.h"

enum layers_backend { LAYERS_AUTO, LAYERS_OVERLAY, LAYERS_NOTIFY };

/* In a directory's store. */
#define LAYERS_UPPER "upper"
#define LAYERS_WORK "work" /* overlayfs's own */

struct layers_dir {
	const char *where; /* JSON path, for messages */
	const char *guest; /* absolute in the container, no "." ".." "//" and no last slash */
	enum layer_mode mode;
	/* What it shows, on the host: of LAYER_RO and LAYER_RW always, of LAYER_COW where that is a
	 * directory of the host's, else NULL. */
	const char *host;
	const char *store; /* of LAYER_COW: absolute path of what holds upper and work */
	bool kept;         /* the store was given and outlives the container */
	bool fresh;        /* the upper directory is new: it takes its facts from the lower one */
	const char *label; /* as struct mount_plan's */
	uint64_t quota;    /* bytes; 0: none */
};

struct layers_plan {
	enum layers_backend backend;
	struct layers_dir *dirs;
	size_t n; /* at most SUPER_MAP_MAX */
	/* Bit i: dirs[i] is answered for by the supervisor. Known of a container that runs, else
	 * what is meant to be; struct layers_found tells what became of it. */
	uint32_t notified;
};

/* What came of it, told by the child. */
struct layers_found {
	pid_t init;      /* as the caller sees it */
	uint32_t filled; /* bit i: the upper directory holds what a checkpoint had in it */
	uint32_t notified;
	struct {
		dev_t dev;
		ino_t ino;
	} lower[SUPER_MAP_MAX]; /* what the directories show, numbered as on the host */
};

/* At work, in the child: O_PATH descriptors, -1 where there is none. */
struct layers {
	int upper[SUPER_MAP_MAX], work[SUPER_MAP_MAX], lower[SUPER_MAP_MAX];
	/* the store on a mount of its own that lies nowhere, and the same directories there */
	int store[SUPER_MAP_MAX], far_upper[SUPER_MAP_MAX], far_work[SUPER_MAP_MAX];
};

void layers_init(struct layers *l);

/* Opens what the host has of it by name, with the caller's ids: a mapped root may not get there.
 * mounts: the process is in a mount namespace of its own. */
int layers_open(const struct layers_plan *plan, bool mounts, struct layers *l);

/*
 * Lays them over the tree at root, which is the container's with its mounts; root -1: there is no
 * mount namespace, and paths are the caller's. What can't be an overlay mount is made ready for the
 * supervisor where the plan allows that.
 */
int layers_lay(const struct layers_plan *plan, int root, struct layers *l,
	       struct layers_found *out);

/* What the i-th is made of, in the order in which the supervisor wants to be told (SUPER_MAP).
 * Returns how many; the descriptors stay the layers'. */
#define LAYERS_PARTS 3
size_t layers_parts(const struct layers *l, size_t i, int out[LAYERS_PARTS]);

void layers_close(struct layers *l);

#endif
