/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups as the container's user namespace numbers them. */
#ifndef CKPT_IDS_H
#define CKPT_IDS_H

#include <stdint.h>
#include <sys/types.h>

struct ckpt;

/* Dump: as its init sees them; the overflow ids where it does not. 0 or -errno with a text. */
int ids_inside(struct ckpt *c, uid_t uid, gid_t gid, uint32_t *out_uid, uint32_t *out_gid);

#endif
