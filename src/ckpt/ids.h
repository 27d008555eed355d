/* SPDX-License-Identifier: Apache-2.0 */
/* Users and groups as the container's user namespace numbers them. */
#ifndef CKPT_IDS_H
#define CKPT_IDS_H

#include <stdint.h>
#include <sys/types.h>

#include "ckpt/record.h"

struct ckpt;
struct stat;

/* Dump: as its init sees them; the overflow ids where it does not. 0 or -errno with a text. */
int ids_inside(struct ckpt *c, uid_t uid, gid_t gid, uint32_t *out_uid, uint32_t *out_gid);

/*
 * Of a namespace that has more ids than an ordinary user's own: this very process goes into it, for
 * good. Who made it has all rights there over processes of any of its ids; but what /proc has of
 * one that may be looked at (PR_SET_DUMPABLE) is those ids', and is opened from within alone.
 * Elsewhere nothing is done. While there is one thread of ours. 0 or -errno with a text.
 */
int ids_enter(struct ckpt *c, pid_t init);

#define OWNER_NONE UINT32_MAX

/* Whose a file without a name is, and who may open it by its descriptor in /proc. */
struct owner {
	uint32_t uid, gid; /* as the container sees them; OWNER_NONE: none of its ids */
	uint32_t mode;     /* 0: as it is made */
};

/* The rows of such a member. Absent: of the container's root. */
#define OWNER_ROWS(type, member)                                     \
	RECORD(U, type, "uid", member.uid, RECORD_OPTIONAL),         \
		RECORD(U, type, "gid", member.gid, RECORD_OPTIONAL), \
		RECORD(U, type, "mode", member.mode, RECORD_OPTIONAL, RECORD_MAX(07777))

/* Dump. 0 or -errno with a text. */
int owner_of(struct ckpt *c, const struct stat *st, struct owner *out);

/*
 * Restore: gives the file behind a descriptor of ours, that we made, to the owner; what is of none
 * of the container's ids stays ours. 0, -EINVAL where the container has no such id any more, or
 * -errno with a text.
 */
int owner_give(struct ckpt *c, int fd, const struct owner *o);

#endif
