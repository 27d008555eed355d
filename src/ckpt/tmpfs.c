/* SPDX-License-Identifier: Apache-2.0 */
/* What saving and restoring of a tree in memory have in common. */
#include "ckpt/tmpfs.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define SHOWN 512

static const struct record_field entry_rows[] = {
	RECORD(U, struct tmpfs_entry, "parent", parent, RECORD_OPTIONAL),
	RECORD(TEXT, struct tmpfs_entry, "name", name, RECORD_MAX(NAME_MAX)),
	RECORD(U, struct tmpfs_entry, "mode", mode, RECORD_MAX(0177777)),
	RECORD(U, struct tmpfs_entry, "uid", uid, RECORD_OPTIONAL),
	RECORD(U, struct tmpfs_entry, "gid", gid, RECORD_OPTIONAL),
	RECORD(U, struct tmpfs_entry, "major", major, RECORD_OPTIONAL),
	RECORD(U, struct tmpfs_entry, "minor", minor, RECORD_OPTIONAL),
	RECORD(TEXT, struct tmpfs_entry, "target", target, RECORD_OPTIONAL, RECORD_MAX(PATH_MAX)),
	RECORD(U, struct tmpfs_entry, "same", same, RECORD_OPTIONAL),
	RECORD(U, struct tmpfs_entry, "size", size, RECORD_OPTIONAL, RECORD_MAX(INT64_MAX)),
	RECORD(NUMBERS, struct tmpfs_entry, "extents", extents, RECORD_OPTIONAL,
	       RECORD_N(struct tmpfs_entry, n_extents)),
	RECORD(I, struct tmpfs_entry, "atime", atime, RECORD_OPTIONAL),
	RECORD(U, struct tmpfs_entry, "atimeNs", atime_ns, RECORD_OPTIONAL, RECORD_MAX(999999999)),
	RECORD(I, struct tmpfs_entry, "mtime", mtime, RECORD_OPTIONAL),
	RECORD(U, struct tmpfs_entry, "mtimeNs", mtime_ns, RECORD_OPTIONAL, RECORD_MAX(999999999)),
	RECORD(HEX, struct tmpfs_entry, "flags", flags, RECORD_OPTIONAL, RECORD_MAX(TMPFS_FLAGS)),
	RECORD_LIST_OF(struct tmpfs_entry, "xattrs", xattrs, n_xattrs, xattr_table,
		       RECORD_OPTIONAL),
};
static const struct record_table entry_table = RECORD_TABLE(struct tmpfs_entry, entry_rows);

static const struct record_field tree_rows[] = {
	RECORD_LIST_OF(struct tmpfs_tree, "entries", v, n, entry_table),
};
const struct record_table tmpfs_tree_table = RECORD_TABLE(struct tmpfs_tree, tree_rows);

/* The names from `top`, exclusive, down to dir fill buf from its end; returns where they begin, or
 * NULL where they do not fit. *out is the directory they lead from. */
static char *names_to(const struct tmpfs_tree *t, uint32_t dir, char *buf, size_t size,
		      uint32_t *out)
{
	char *at = buf + size - 1;
	size_t len;

	*at = '\0';
	while (dir) {
		len = strlen(t->v[dir].name);
		if ((size_t)(at - buf) < len + 1)
			break;
		if (*at)
			*--at = '/';
		at -= len;
		memcpy(at, t->v[dir].name, len);
		dir = t->v[dir].parent;
	}
	*out = dir;
	return at;
}

int tmpfs_open_dir(int root, const struct tmpfs_tree *t, uint32_t dir, int flags)
{
	const uint64_t resolve =
		RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV;
	auto_fd from = -1;
	char buf[PATH_MAX];
	uint32_t above;
	const char *path = names_to(t, dir, buf, sizeof(buf), &above);

	if (above == dir && dir)
		return -ENAMETOOLONG;
	if (above) {
		from = tmpfs_open_dir(root, t, above, O_PATH);
		if (from < 0)
			return from;
	}
	return fd_open(above ? from : root, *path ? path : ".", flags | O_DIRECTORY | O_NOFOLLOW, 0,
		       resolve);
}

const char *tmpfs_path(struct arena *a, const struct tmpfs_tree *t, uint32_t entry)
{
	char buf[SHOWN];
	uint32_t above;
	const char *path = names_to(t, entry, buf, sizeof(buf), &above);

	return arena_printf(a, "%s%s", above ? ".../" : "", path);
}

int tmpfs_whole_path(const char *point, const struct tmpfs_tree *t, uint32_t entry, char *out,
		     size_t size)
{
	char buf[PATH_MAX];
	uint32_t above;
	const char *path = names_to(t, entry, buf, sizeof(buf), &above);

	if (above || (size_t)snprintf(out, size, "%s/%s", point, path) >= size)
		return fail(ENAMETOOLONG, "the path of %s/.../%s is too long", point,
			    t->v[entry].name);
	return 0;
}

int tmpfs_mount_id(int fd, uint64_t *out)
{
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0)
		return fail_errno("ask which mount a directory is on");
	if (!(st.stx_mask & STATX_MNT_ID))
		return fail(ENOTSUP, "this kernel does not tell which mount a file is on "
				     "(statx, Linux 5.8)");
	*out = st.stx_mnt_id;
	return 0;
}
