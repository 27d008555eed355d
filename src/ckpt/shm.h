/* SPDX-License-Identifier: Apache-2.0 */
/* Files without a name: shared anonymous mappings, memfds, removed files, by number (k_shm.c). */
#ifndef CKPT_SHM_H
#define CKPT_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ckpt/kind.h"

/* Is it a mapping of such a file? */
bool shm_is(const struct proc_vma *v);

/* Why it, or what a descriptor stands for, can't be saved; NULL if it can. */
const char *shm_refusal(struct ckpt *c, const struct ckpt_proc *p, const struct proc_vma *v);
const char *shm_fd_refusal(const struct file_look *l);

/* Dump: the number of what a mapping of a frozen process shows, and where it shows it. */
int shm_of_vma(struct ckpt *c, struct ckpt_proc *p, const struct proc_vma *v, uint32_t *out_id);

/* The same of a descriptor. */
int shm_of_fd(const struct file_look *l, uint32_t *out_id);

/* Restore, from PHASE_SHARED on: our descriptor of an object; -EBADMSG with a text where there is
 * none. */
int shm_fd(struct ckpt *c, uint32_t id);

#endif
