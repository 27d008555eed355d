/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Work that takes the rights of the container's root: done by a child of ours that has joined its
 * user namespace, where ids are the container's own, and none of its code runs.
 */
#ifndef CKPT_INSIDE_H
#define CKPT_INSIDE_H

#include "ckpt/kind.h"

struct inside {
	int spaces; /* CLONE_NEW* besides CLONE_NEWUSER; those that are ours already are left out */
	/* In the child: 0 or -errno with a text. What it allocates and stores is lost with it. */
	int (*there)(void *ctx, int pipe);
	/* In thole meanwhile: reads what the child writes, to the end of it. NULL: it writes
	 * nothing. -ENODATA where it ended too soon: then the child's reason is the one told. */
	int (*here)(void *ctx, int pipe);
	void *ctx;
};

/* 0 or -errno with a text; the child has ended when it returns. */
int inside_run(struct ckpt *c, const struct inside *job);

/* The root directory of the container's init, as an O_PATH descriptor. fd or -errno with a text. */
int inside_root(struct ckpt *c);

#endif
