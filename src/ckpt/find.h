/* SPDX-License-Identifier: Apache-2.0 */
/* From what the kernel tells of a watched file (file system, inode, handle) to a path of the
 * container's. */
#ifndef CKPT_FIND_H
#define CKPT_FIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ckpt/kind.h"

struct find {
	uint32_t major, minor; /* of the file system, as mountinfo has them */
	uint64_t inode;
	uint32_t handle_type; /* name_to_handle_at(2) */
	const uint8_t *handle;
	size_t handle_len;
};

/*
 * By the handle, which takes rights over the machine; else by a walk over the mounts of that file
 * system, of at most a million names. *out is a path from the container's root, or NULL where there
 * is none. 0 or -errno with a text.
 */
int find_path(struct ckpt *c, const struct find *f, const char **out);

/* Does a path lead to it still? The last component is not followed. */
bool find_leads_to(struct ckpt *c, const char *path, const struct find *f);

#endif
