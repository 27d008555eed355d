/* SPDX-License-Identifier: Apache-2.0 */
/* File locks (k_lock.c). */
#ifndef CKPT_LOCK_H
#define CKPT_LOCK_H

struct file_look;

/* Why the locks that a descriptor shows can't be saved; NULL: there are none, or they are. */
const char *lock_refusal(const struct file_look *l);

#endif
