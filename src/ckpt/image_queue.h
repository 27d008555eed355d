/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small files of an image: to make one takes 20 us, however little is in it, and each process has
 * six. Where they are many a second thread makes them.
 */
#ifndef CKPT_IMAGE_QUEUE_H
#define CKPT_IMAGE_QUEUE_H

#include <stddef.h>

#define QUEUE_FILE (128u << 10) /* of a file that is worth it, at most */

struct arena;
struct image_queue;
struct image_writer;

/* Files of w, which lives as long. */
struct image_queue *queue_new(struct arena *a, struct image_writer *w);

/*
 * Makes a file of that name with the data, which is of malloc(3) and the queue's from now on. Where
 * that fails this or a later call tells, at last queue_settle(), which waits for all: 0 or -errno
 * with a text.
 */
int queue_put(struct image_queue *q, const char *name, void *data, size_t len);
int queue_settle(struct image_queue *q);

/* The thread keeps off the processor that the caller is on. */
void queue_apart(struct image_queue *q);

/* Ends the thread; what was not written is given up. Nothing for NULL. */
void queue_end(struct image_queue *q);

#endif
