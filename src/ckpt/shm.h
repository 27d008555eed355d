/* SPDX-License-Identifier: Apache-2.0 */
/* Memory that is a file without a name: shared anonymous mappings and memfds, by number (k_shm.c).
 */
#ifndef CKPT_SHM_H
#define CKPT_SHM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ckpt/kind.h"

/* Is it a mapping of such memory? */
bool shm_is(const struct proc_vma *v);

/* Dump: the number of what a mapping of a frozen process shows, and where it shows it. */
int shm_of_vma(struct ckpt *c, struct ckpt_proc *p, const struct proc_vma *v, uint32_t *out_id);

/* Restore, from prepare() on: our descriptor of an object; -EBADMSG with a text where there is
 * none. */
int shm_fd(struct ckpt *c, uint32_t id);

#endif
