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

/* Whether it takes one: where the user namespace is ours, thole has these rights itself. */
bool inside_needed(struct ckpt *c);

/* 0 or -errno with a text; the child has ended when it returns. */
int inside_run(struct ckpt *c, const struct inside *job);

/* The same, for a descriptor that the child sends with inside_hand(): fd or -errno with a text.
 * *sock is where it goes through, for the job to know. */
int inside_fetch(struct ckpt *c, const struct inside *job, int *sock);
int inside_hand(int sock, int fd);

/* In the child: a text, of which the length goes first; and bytes. 0 or -errno with a text. */
int inside_send_text(int pipe, const char *text, size_t len);
int inside_send(int pipe, const void *data, size_t len);

/* In thole: that text, in the arena; and the bytes up to the end, into a file of the image. */
int inside_take_text(struct ckpt *c, int pipe, const char **out, size_t *out_len);
int inside_take_file(struct ckpt *c, int pipe, const char *name);

/* The root directory of the container's init, as an O_PATH descriptor. fd or -errno with a text. */
int inside_root(struct ckpt *c);

#endif
