/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of calls, and those of them that lead out of the map again. */
#ifndef SUPER_COW_LEAD_H
#define SUPER_COW_LEAD_H

#include "super/cow.h"
#include "super/path.h"

struct super_state;

/* The argument that says of a call that the supervisor has changed it (GUARD_UNMADE): none of those
 * that are passed on here has so many. */
#define COW_MARK 5

struct cow_way {
	int dirfd;
	unsigned arg;   /* which of the call's is the path */
	unsigned flags; /* PATH_* */
	uint64_t resolve;
};

/* path_walk() of a call's path. Where that leads out of the map, who leaves the call to the kernel
 * leaves it to cow_lead(). */
int cow_walk(struct cow *c, struct notif *n, const struct cow_way *way, struct path *out);

/* A call is looked at once more from its beginning. */
void cow_lead_anew(struct cow *c);

/* What nobody has answered, and a path of which was led out of the map: the thread makes the call
 * by the name that the kernel knows. Others are left as they are. */
void cow_lead(struct super_state *s, struct notif *n);

#endif
