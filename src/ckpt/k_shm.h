/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the kind of files without a name. */
#ifndef CKPT_K_SHM_H
#define CKPT_K_SHM_H

#include "ckpt/deleted.h"
#include "ckpt/ids.h"
#include "ckpt/kinds.h"
#include "ckpt/shm.h"

/* Where a process shows a part of the object. */
struct view {
	struct ckpt_proc *p;
	uint64_t addr, offset, len;
	bool shared;
	int pagemap; /* + 1, 0 for none yet */
	struct view *next;
};

struct shm {
	uint64_t size;
	const char *name; /* of a memfd */
	uint32_t seals;
	struct owner owner;      /* of a memfd */
	struct deleted *deleted; /* it was a file; NULL and no name: anonymous */
	/* not in the image */
	uint64_t dev, ino;
	const char *path; /* of a removed file that was seen mapped */
	int fd;           /* + 1, 0 for none */
	bool borrowed;    /* it is a process's own: its position is not ours to change */
	struct view *views;
};

struct shms {
	struct shm *v;
	size_t n, room;
};

struct shms *shm_objects(struct ckpt *c);

/* Restore */
int shm_prepare(const struct ckpt_unit *u);
int shm_share(const struct ckpt_unit *u);
int shm_set_facts(const struct ckpt_unit *u);
int shm_let_go(const struct ckpt_unit *u);

#endif
