/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/xattr.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/xattr.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"

#define LENGTH_MAX 65536

static const struct record_field rows[] = {
	RECORD(TEXT, struct xattr, "name", name, RECORD_MAX(255)),
	RECORD(BYTES, struct xattr, "value", value, RECORD_OPTIONAL, RECORD_N(struct xattr, len),
	       RECORD_MAX(LENGTH_MAX)),
};
const struct record_table xattr_table = RECORD_TABLE(struct xattr, rows);

static bool is_kept(const char *name)
{
	return str_starts(name, "user.") || str_starts(name, "trusted.") ||
	       str_starts(name, "system.posix_acl_") || strcmp(name, "security.capability") == 0;
}

/* An open file, or a path, of which the last name may be a link. */
struct file {
	int fd;
	const char *path; /* NULL: the open file */
};

static ssize_t list(const struct file *f, char *names, size_t size)
{
	return f->path ? llistxattr(f->path, names, size) : flistxattr(f->fd, names, size);
}

static ssize_t get(const struct file *f, const char *name, void *value, size_t size)
{
	return f->path ? lgetxattr(f->path, name, value, size)
		       : fgetxattr(f->fd, name, value, size);
}

static int read_all(struct arena *a, const struct file *f, struct xattr **out, size_t *out_n)
{
	char names[LENGTH_MAX], *value;
	ssize_t len = list(f, names, sizeof(names)), n;
	struct xattr *v = NULL;
	size_t count = 0, room = 0;

	if (len < 0 && errno != ENOTSUP)
		return fail_errno("list extended attributes");
	for (char *name = names; name < names + len; name += strlen(name) + 1) {
		if (!is_kept(name))
			continue;
		n = get(f, name, NULL, 0);
		value = arena_alloc(a, n > 0 ? (size_t)n : 1);
		n = n < 0 ? -1 : get(f, name, value, (size_t)n);
		if (n < 0)
			return fail_errno("read the extended attribute %s", name);
		v = arena_grow(a, v, count, &room, sizeof(*v));
		v[count++] = (struct xattr){ arena_strdup(a, name), value, (size_t)n };
	}
	*out = v;
	*out_n = count;
	return 0;
}

int xattr_read(struct arena *a, int fd, struct xattr **out, size_t *out_n)
{
	return read_all(a, &(struct file){ .fd = fd }, out, out_n);
}

int xattr_read_in(struct arena *a, int dir, const char *name, struct xattr **out, size_t *out_n)
{
	char path[NAME_MAX + 64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d/%s", dir, name);
	return read_all(a, &(struct file){ .path = path }, out, out_n);
}
