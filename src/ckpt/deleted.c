/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/deleted.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/ids.h"
#include "ckpt/inside.h"
#include "ckpt/mounts.h"
#include "ckpt/shown.h"
#include "ckpt/tmpfs.h"
#include "task/trace.h"

#define BLOCK 512u /* stat(2): st_blocks */
#define MODE_UNKNOWN 0600u
#define XATTR_MAX (TRACE_SCRATCH - XATTR_AT)
#define XATTR_AT 512u /* past the name */

static const struct record_field rows[] = {
	RECORD(TEXT, struct deleted, "directory", dir, RECORD_MAX(PATH_MAX)),
	RECORD(U, struct deleted, "mode", mode, RECORD_MAX(07777)),
	RECORD(U, struct deleted, "uid", uid, RECORD_OPTIONAL),
	RECORD(U, struct deleted, "gid", gid, RECORD_OPTIONAL),
	RECORD(I, struct deleted, "atime", atime, RECORD_OPTIONAL),
	RECORD(U, struct deleted, "atimeNs", atime_ns, RECORD_OPTIONAL, RECORD_MAX(999999999)),
	RECORD(I, struct deleted, "mtime", mtime, RECORD_OPTIONAL),
	RECORD(U, struct deleted, "mtimeNs", mtime_ns, RECORD_OPTIONAL, RECORD_MAX(999999999)),
	RECORD(BOOL, struct deleted, "bare", bare, RECORD_OPTIONAL),
	RECORD_LIST_OF(struct deleted, "xattrs", xattrs, n_xattrs, xattr_table, RECORD_OPTIONAL),
};
const struct record_table deleted_table = RECORD_TABLE(struct deleted, rows);

/* ---- dump */

/* Is it on that mount, or where none is known on that file system? */
static bool on_mount(const struct mounts *all, int dir, const struct deleted_look *l)
{
	const struct proc_mount *m;
	uint64_t id;

	if (dir < 0 || tmpfs_mount_id(dir, &id))
		return false;
	if (l->mount >= 0)
		return id == (uint64_t)l->mount;
	m = mounts_by_id(all, id);
	return m && m->major == l->major && m->minor == l->minor;
}

/* The nearest directory above that is still there, on the same file system; NULL. */
static const char *home_of(struct ckpt *c, const struct deleted_look *l)
{
	auto_fd root = inside_root(c);
	char *path = arena_strdup(c->arena, l->path), *slash;
	const char *shown = shown_home(c, path, l->mount, makedev(l->major, l->minor));
	struct mounts all;

	if (shown)
		return shown;
	if (root < 0 || path[0] != '/' || mounts_read(c, &all))
		return NULL;
	while ((slash = strrchr(path, '/'))) {
		auto_fd dir = -1;

		slash[slash == path] = '\0';
		dir = fd_open_in_root(root, path, O_PATH | O_DIRECTORY);
		if (on_mount(&all, dir, l))
			return path;
		if (slash == path)
			break;
	}
	return NULL;
}

const char *deleted_refusal(struct ckpt *c, const struct deleted_look *l)
{
	if (l->st && (uint64_t)l->st->st_blocks * BLOCK > (uint64_t)DELETED_MAX_MIB << 20)
		return arena_printf(
			c->arena,
			"it was removed, and has %llu MiB: more than the %u MiB that an "
			"image carries of such a file",
			(unsigned long long)l->st->st_blocks * BLOCK >> 20, DELETED_MAX_MIB);
	if (!home_of(c, l))
		return "it was removed, and no directory of the container is on the file system it "
		       "was on";
	return NULL;
}

int deleted_collect(struct ckpt *c, const struct deleted_look *l, int fd, struct deleted **out)
{
	struct deleted *d = arena_alloc(c->arena, sizeof(*d));
	struct stat st;
	int ret;

	d->dir = home_of(c, l);
	if (!d->dir)
		return fail(ENOTSUP, "%s: %s", l->path, deleted_refusal(c, l));
	*out = d;
	if (fd < 0) {
		d->bare = true;
		d->mode = MODE_UNKNOWN;
		return 0;
	}
	if (fstat(fd, &st) < 0)
		return fail_errno("look at %s", l->path);
	d->mode = st.st_mode & 07777;
	d->atime = st.st_atim.tv_sec;
	d->atime_ns = (uint32_t)st.st_atim.tv_nsec;
	d->mtime = st.st_mtim.tv_sec;
	d->mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
	ret = ids_inside(c, st.st_uid, st.st_gid, &d->uid, &d->gid);
	if (!ret)
		ret = xattr_read(c->arena, fd, &d->xattrs, &d->n_xattrs);
	for (size_t i = 0; i < d->n_xattrs && !ret; i++)
		if (d->xattrs[i].len > XATTR_MAX)
			ret = fail(ENOTSUP, "its attribute %s is too long to be carried",
				   d->xattrs[i].name);
	return ret ? fail_in(ret, "%s", l->path) : 0;
}

/* ---- restore */

/*
 * A file system without O_TMPFILE, or one that is read-only now (what was removed from it was
 * removed behind its back): the file is one in memory then.
 */
static bool is_unfit(int error)
{
	return error == -EOPNOTSUPP || error == -EROFS || error == -EISDIR;
}

int deleted_make(struct ckpt *c, const struct deleted *d)
{
	const struct ckpt_thread *root = ckpt_root(c);
	uint64_t addr;
	int64_t there;
	int fd, ret;

	if (shown_is(d->dir))
		return shown_open(c, d->dir, O_TMPFILE | O_RDWR);
	if (d->dir[0] != '/')
		return fail(EBADMSG, "the image: %s: shm: directory: must be absolute",
			    IMAGE_CONTAINER);
	ret = ckpt_put(root, 0, d->dir, strlen(d->dir) + 1, &addr);
	if (ret)
		return ret;
	there = ckpt_call(root, d->dir, SYS_openat, (uint64_t)AT_FDCWD, addr,
			  O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (is_unfit((int)there)) {
		fd = memfd_create("deleted", MFD_CLOEXEC);
		return fd < 0 ? fail_errno("make a file in memory") : fd;
	}
	if (there < 0)
		return fail_in((int)there, "make a file without a name");
	return ckpt_take_fd(root, (int)there);
}

static int set_xattr(const struct ckpt_thread *root, uint64_t fd, const struct xattr *x)
{
	uint64_t name, value;
	int64_t ret = ckpt_put(root, 0, x->name, strlen(x->name) + 1, &name);

	if (!ret)
		ret = ckpt_put(root, XATTR_AT, x->value, x->len, &value);
	if (!ret)
		ret = ckpt_call(root, "set an extended attribute", SYS_fsetxattr, fd, name, value,
				x->len, 0);
	return (int)ret;
}

/* By the root process, whose rights it takes: owner, mode, attributes, times, for each but the last
 * changes one after it. */
int deleted_set_facts(struct ckpt *c, const struct deleted *d, int fd)
{
	const struct ckpt_thread *root = ckpt_root(c);
	const struct timespec times[2] = { { d->atime, d->atime_ns }, { d->mtime, d->mtime_ns } };
	int64_t there, ret;
	uint64_t addr;

	if (d->bare)
		return 0;
	there = ckpt_send_fd(c, root, fd);
	if (there < 0)
		return (int)there;
	ret = ckpt_call(root, "set the owner of a file", SYS_fchown, (uint64_t)there, d->uid,
			d->gid);
	if (ret >= 0)
		ret = ckpt_call(root, "set the mode of a file", SYS_fchmod, (uint64_t)there,
				d->mode);
	for (size_t i = 0; i < d->n_xattrs && ret >= 0; i++)
		ret = set_xattr(root, (uint64_t)there, &d->xattrs[i]);
	if (ret >= 0)
		ret = ckpt_put(root, 0, times, sizeof(times), &addr);
	if (ret >= 0)
		ret = ckpt_call(root, "set the times of a file", SYS_utimensat, (uint64_t)there, 0,
				addr, 0);
	if (ret >= 0)
		ret = ckpt_call(root, "close a descriptor", SYS_close, (uint64_t)there);
	return ret < 0 ? (int)ret : 0;
}
