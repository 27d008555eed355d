/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead: a look at a hundred processes is thousands of files of /proc, of which none
 * depends on another. What a kind reads so is its look() or look_frozen() (kind.h), and while its
 * check() or collect() are at the first processes, other threads read of the last.
 */
#ifndef CKPT_AHEAD_H
#define CKPT_AHEAD_H

#include "ckpt/kind.h"

/* Before and after a round of check() or (frozen) of collect(). Where threads can't be had, or are
 * not worth their start, ahead_take() does it all. */
void ahead_begin(struct ckpt *c, bool frozen);
void ahead_end(struct ckpt *c);

/* What a kind's look at a process has read, now if nobody has yet. Its value and (with a text) its
 * error are those of the function; *out lives as long as the command. */
int ahead_take(struct ckpt *c, const struct ckpt_kind *k, const struct ckpt_proc *p, void **out);

/* At the end of the command: what was read is gone. */
void ahead_free(struct ckpt *c);

#endif
