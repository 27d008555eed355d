/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A layer and a plain directory that was the same at the start, and random calls that are made on
 * both.
 */
#ifndef TEST_WORLD_H
#define TEST_WORLD_H

#include <stdbool.h>
#include <sys/types.h>

#include "lib/tree.h"
#include "super/layer.h"

struct world {
	struct layer layer;
	int base, plain;
	unsigned seed, first;
	bool told;   /* each step is printed */
	pid_t guest; /* 0, or whose credentials are in force */
};

/* Beneath the directory base: lower, upper, work and plain. mixed as of tree_fill(). */
void world_open(struct world *w, int base, unsigned seed, bool mixed);
void world_close(struct world *w);

/* One call on both: false, and the check has failed, if they don't return the same. */
bool world_step(struct world *w, int number);

/* What is to be seen of it: times since 2008 are all the same, names are counted if wanted. */
struct tree world_plain(struct world *w, bool links);
struct tree world_lower(struct world *w, bool links);
struct tree world_layer(struct world *w, bool links);

#endif
