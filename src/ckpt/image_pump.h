/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is large is written by a second thread while the first one gets the next piece. The buffers
 * are few and of one size: what a writer takes does not grow with what it writes. Room in the file
 * can be got by that thread too, before there is anything to write.
 */
#ifndef CKPT_IMAGE_PUMP_H
#define CKPT_IMAGE_PUMP_H

#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "ckpt/image.h"

struct arena;
struct image_pump;

/* NULL, with a text, where there is no memory for it. */
struct image_pump *pump_new(struct arena *a);

/* A buffer of IMAGE_ROOM bytes, as soon as one is free. It stays the same until pump_hand(). */
uint8_t *pump_room(struct image_pump *p);

/*
 * Has parts of that buffer (n <= IMAGE_PARTS) appended to fd, which stays open until pump_settle().
 * Returns 0, or -errno (no text) where a write before failed; nothing more is written then.
 */
int pump_hand(struct image_pump *p, int fd, const struct iovec *parts, size_t n);

/* Waits until all is written: 0 or the -errno (no text) of the first failure. */
int pump_settle(struct image_pump *p);

/*
 * Has room got for the first of len bytes of fd while there is nothing to write, the size staying
 * as it is: a good part of what writing to memory's file systems takes. What fails is left to the
 * writes. One file at a time, until pump_forget(), which cuts off what lies behind its end and
 * returns 0 or -errno (no text).
 */
void pump_expect(struct image_pump *p, int fd, uint64_t len);
int pump_forget(struct image_pump *p);

/* The thread keeps off the processor that the caller is on. Nothing for NULL. */
void pump_apart(struct image_pump *p);

/* Ends the thread. What was not written is given up. Nothing for NULL. */
void pump_end(struct image_pump *p);

#endif
