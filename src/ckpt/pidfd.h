/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of processes: what the tree has to know of them. */
#ifndef CKPT_PIDFD_H
#define CKPT_PIDFD_H

struct ckpt;

/* Restore, before the tree is forked: those of processes that nobody waits for any more get one of
 * the container's that ends by then (a process of another namespace would answer otherwise). */
void pidfd_plan(struct ckpt *c);

#endif
