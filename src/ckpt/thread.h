/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread has of its own: k_thread.c */
#ifndef CKPT_THREAD_H
#define CKPT_THREAD_H

#include <stdint.h>

struct ckpt_batch;
struct ckpt_thread;

/* Restore: the address that the kernel clears when the thread ends, or 0. Whoever is cloned is
 * given it with its birth. */
uint64_t thread_tid_address(const struct ckpt_thread *t);

/*
 * Restore: adds to the batch what the thread itself has to do. Kept for the batch in which it takes
 * its credentials: a thousand threads are sent on one errand each, and nothing of it takes a right.
 * Returns 0, or -errno with a text.
 */
int thread_settle(struct ckpt_batch *b, struct ckpt_thread *t);

#endif
