/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories of a container that the supervisor shows, copy-on-write or as they are: what its
 * handlers have in common. A path call is walked by the supervisor itself (path.h), as the thread
 * that made it. Outside of the map the kernel makes the call, except where it changes metadata:
 * that nothing else stops, so it is done to what was walked to and never asked for again. In the
 * map every call is made here.
 */
#ifndef SUPER_COW_H
#define SUPER_COW_H

#include "super/map.h"
#include "super/super.h"

#define COW_LIST_MAX (64 * 1024) /* bytes of one getdents(2) */

struct arena;
struct notif;

struct cow {
	struct map map;
	char list[COW_LIST_MAX];
};

/* In the arena; the descriptors of the configuration are taken over. NULL with a text. */
struct cow *cow_new(struct arena *a, const struct super_config *config);

/* What directory `index` is made of (SUPER_MAP): takes over what it needs, and leaves -1. 0 or
 * -errno without a text: -EINVAL for what is not what its mode has, -EEXIST for a second time. */
int cow_take(struct cow *c, size_t index, int *fds, size_t n);

/* All of them are there. */
bool cow_complete(const struct cow *c);

#endif
