/* SPDX-License-Identifier: Apache-2.0 */
/* What two images have in another way: of one container at two times, or of two that ought to be
 * equal. */
#ifndef OCI_CKPT_DIFF_H
#define OCI_CKPT_DIFF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

struct arena;
struct image;

struct ckpt_difference {
	const char *file;
	const char *path;           /* "fds[fd=5].file"; "": the file itself */
	const char *before, *after; /* NULL: it is not there */
};

struct ckpt_differences {
	struct ckpt_difference *v;
	size_t n, room;
};

/*
 * Records field by field; elements of lists are those of the same fd, tid, pid, id, start or name,
 * where they have one. Memory page by page. When and of what container they were made does not
 * count. 0 or -errno with a text.
 */
int ckpt_diff(struct arena *a, struct image *before, struct image *after,
	      struct ckpt_differences *out);

void ckpt_diff_text(struct arena *a, const struct ckpt_differences *d, FILE *out, bool colour);
const char *ckpt_diff_json(struct arena *a, const struct ckpt_differences *d, size_t *out_len);

#endif
