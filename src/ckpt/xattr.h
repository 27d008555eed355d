/* SPDX-License-Identifier: Apache-2.0 */
/* Extended attributes of files that an image carries. xattr(7) */
#ifndef CKPT_XATTR_H
#define CKPT_XATTR_H

#include <stddef.h>

#include "ckpt/record.h"

struct xattr {
	const char *name;
	const void *value;
	size_t len;
};

extern const struct record_table xattr_table;

/* Those of an open file that are not a security module's labels: these are the new configuration's
 * affair. 0 or -errno with a text. */
int xattr_read(struct arena *a, int fd, struct xattr **out, size_t *out_n);

/* Those of what is not opened (a link, a fifo, a socket, a device), by its name in an open
 * directory. */
int xattr_read_in(struct arena *a, int dir, const char *name, struct xattr **out, size_t *out_n);

#endif
