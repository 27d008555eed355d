/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/xattr.h"

#include <errno.h>
#include <stdbool.h>
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

int xattr_read(struct arena *a, int fd, struct xattr **out, size_t *out_n)
{
	char names[LENGTH_MAX], *value;
	ssize_t len = flistxattr(fd, names, sizeof(names)), n;
	struct xattr *v = NULL;
	size_t count = 0, room = 0;

	if (len < 0 && errno != ENOTSUP)
		return fail_errno("list extended attributes");
	for (char *name = names; name < names + len; name += strlen(name) + 1) {
		if (!is_kept(name))
			continue;
		n = fgetxattr(fd, name, NULL, 0);
		value = arena_alloc(a, n > 0 ? (size_t)n : 1);
		n = n < 0 ? -1 : fgetxattr(fd, name, value, (size_t)n);
		if (n < 0)
			return fail_errno("read the extended attribute %s", name);
		v = arena_grow(a, v, count, &room, sizeof(*v));
		v[count++] = (struct xattr){ arena_strdup(a, name), value, (size_t)n };
	}
	*out = v;
	*out_n = count;
	return 0;
}
