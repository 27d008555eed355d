/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many system calls of one task, or of several threads of one process, with what each is to answer:
 * run together (trace_batch()), checked one by one.
 *
 *	struct ckpt_batch *b = batch_begin(c, t);
 *
 *	ret = batch_add(b, "lock memory", 0, SYS_mlock2, start, len, 0);
 *	...
 *	if (!ret)
 *		ret = batch_run(b);
 */
#ifndef CKPT_BATCH_H
#define CKPT_BATCH_H

#include <stddef.h>
#include <stdint.h>

#include "ckpt/kind.h"

struct ckpt_batch;

#define BATCH_ANY INT64_MIN            /* any answer that is no error */
#define BATCH_WHATEVER (INT64_MIN + 1) /* an error too */
#define BATCH_DATA_CALLS 8

/* There is one: it is begun again for another task once it was run. */
struct ckpt_batch *batch_begin(struct ckpt *c, const struct ckpt_thread *t);

/*
 * What is added from here on is for another thread of the same process, whose turn comes once. All
 * threads of a batch may run at the same time: the calls of one rest on none of another's.
 */
void batch_turn(struct ckpt_batch *b, const struct ckpt_thread *t);

/* One more. what (not copied) is for messages. What is there is run first where it is full. */
#define batch_add(b, what, want, nr, ...) \
	batch_add_args((b), (what), (want), (nr), (const uint64_t[6]){ __VA_ARGS__ })
int batch_add_args(struct ckpt_batch *b, const char *what, int64_t want, long nr,
		   const uint64_t *arg);

/* Bytes for one of the next BATCH_DATA_CALLS calls to point to. */
int batch_data(struct ckpt_batch *b, const void *data, size_t len, uint64_t *out_addr);

/* Runs what is left. Returns 0, or -errno with a text that names the first call with another
 * answer. */
int batch_run(struct ckpt_batch *b);

#endif
