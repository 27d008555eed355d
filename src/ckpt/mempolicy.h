/* SPDX-License-Identifier: Apache-2.0 */
/* On which nodes the memory of a mapping is taken: mbind(2). That of a thread is in traits.h. */
#ifndef CKPT_MEMPOLICY_H
#define CKPT_MEMPOLICY_H

#include <stddef.h>
#include <stdint.h>

#include "ckpt/kind.h"

struct ask;
struct ckpt_batch;
struct memory_map;

#define MEMPOLICY_NODES 1024 /* the kernel has no more: NODES_SHIFT */

struct mempolicy {
	uint32_t mode;     /* MPOL_* with its flags; 0 (MPOL_DEFAULT): none of its own */
	const void *nodes; /* a mask of 64-bit words, NULL for none */
	size_t nodes_len;
};

/* The rows of the two members in the table of a structure that has one. */
#define MEMPOLICY_ROWS(type, member)                                                               \
	RECORD(U, type, "memoryPolicy", member.mode, RECORD_OPTIONAL),                             \
		RECORD(BYTES, type, "memoryNodes", member.nodes, RECORD_N(type, member.nodes_len), \
		       RECORD_OPTIONAL, RECORD_MAX(MEMPOLICY_NODES / 8))

/*
 * Dump, frozen. A filter that keeps a container from asking has kept it from setting one, too: that
 * is taken for none.
 */
int mempolicy_ask(const struct ckpt_thread *t, const struct memory_map *map, struct ask *a);
int mempolicy_of_map(const struct ckpt_unit *u, struct memory_map *map);

/* Restore: the call that sets it, if there is one. */
int mempolicy_add(struct ckpt_batch *b, const struct mempolicy *m, uint64_t start, uint64_t len);

#endif
