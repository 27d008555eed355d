/* SPDX-License-Identifier: Apache-2.0 */
/* The two halves of cow_commit.h: cow_diff.c finds, cow_apply.c does. */
#ifndef SUPER_COW_PRIV_H
#define SUPER_COW_PRIV_H

#include "super/cow_commit.h"
#include "super/layer_priv.h"

/* Applying: a file of the upper side, open, as it is to be in the lower one. */
struct cow_item {
	const char *path;
	int fd; /* O_PATH */
	const struct stat *st;
	const struct stat *low; /* what is there, or NULL */
	const char *link;       /* it is another name of this one, which is there */
};

/* A file, or an empty directory of its owner's alone, takes the place of whatever is there. */
int cow_apply_file(struct layer *l, const struct cow_item *item);
/* What is there stays; fields: enum cow_field. The time is set in any case. */
int cow_apply_facts(struct layer *l, const struct cow_item *item, unsigned fields);
int cow_apply_removal(struct layer *l, const char *path);

/* A file half made, of a commit that was killed, goes. */
int cow_apply_clean(struct layer *l, const char *dir);

/* All is on the disk; what was known of files with several names is no more true; then the upper
 * side is emptied. */
int cow_apply_sync(struct layer *l);
int cow_apply_unlink(struct layer *l);
int cow_apply_empty(struct layer *l);

#endif
