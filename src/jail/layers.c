/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/layers.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "jail/mount.h"

void layers_init(struct layers *l)
{
	for (size_t i = 0; i < SUPER_MAP_MAX; i++)
		l->upper[i] = l->work[i] = l->lower[i] = l->store[i] = l->far_upper[i] =
			l->far_work[i] = -1;
}

static void close_one(struct layers *l, size_t i)
{
	int *const all[] = { &l->upper[i], &l->work[i],      &l->lower[i],
			     &l->store[i], &l->far_upper[i], &l->far_work[i] };

	for (size_t k = 0; k < sizeof(all) / sizeof(all[0]); k++)
		fd_close(fd_take(all[k]));
}

void layers_close(struct layers *l)
{
	for (size_t i = 0; i < SUPER_MAP_MAX; i++)
		close_one(l, i);
}

static int open_host(const struct layers_dir *d, int from, const char *path, uint64_t resolve)
{
	int fd = fd_open(from, path, O_PATH | O_DIRECTORY, 0, resolve);

	return fd < 0 ? fail(-fd, "%s: open %s for %s: %s", d->where, path, d->guest,
			     err_reason(-fd))
		      : fd;
}

/* A store that was given may be another's, who could lay links there. */
static int open_parts(const struct layers_dir *d, int store, int *out_upper, int *out_work)
{
	const uint64_t own = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS;
	int upper = open_host(d, store, LAYERS_UPPER, own);
	int work = upper < 0 ? upper : open_host(d, store, LAYERS_WORK, own);

	if (work < 0) {
		fd_close(upper);
		return work;
	}
	*out_upper = upper;
	*out_work = work;
	return 0;
}

static int open_store(const struct layers_plan *plan, size_t i, bool mounts, struct layers *l)
{
	const struct layers_dir *d = &plan->dirs[i];
	auto_fd store = open_host(d, AT_FDCWD, d->store, 0);
	int ret = store < 0 ? store : open_parts(d, store, &l->upper[i], &l->work[i]);

	if (ret || !mounts || plan->backend == LAYERS_OVERLAY)
		return ret;
	l->store[i] = mount_clone(store, "", false, false);
	if (l->store[i] < 0)
		return fail_in(l->store[i], "%s", d->where);
	return open_parts(d, l->store[i], &l->far_upper[i], &l->far_work[i]);
}

int layers_open(const struct layers_plan *plan, bool mounts, struct layers *l)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < plan->n; i++) {
		const struct layers_dir *d = &plan->dirs[i];
		int *host = d->mode == LAYER_RO ? &l->lower[i] : &l->upper[i];

		if (d->mode == LAYER_COW) {
			ret = open_store(plan, i, mounts, l);
			continue;
		}
		*host = open_host(d, AT_FDCWD, d->host, 0);
		ret = *host < 0 ? *host : 0;
	}
	return ret;
}

/* A symbolic link on the way would make it a matter of chance which directory is meant. */
static int open_guest(const struct layers_dir *d, int root)
{
	auto_fd own = root < 0 ? open("/", O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	int fd = fd_open_beneath(root < 0 ? own : root, d->guest + 1, O_PATH | O_DIRECTORY);

	if (fd >= 0)
		return fd;
	if (fd == -ELOOP)
		return fail(ELOOP,
			    "%s: %s: there is a symbolic link on the way: name the "
			    "directory itself",
			    d->where, d->guest);
	return fail(-fd, "%s: open the directory %s of the container: %s", d->where, d->guest,
		    err_reason(-fd));
}

/*
 * The root of the upper layer stands for that of the lower one. Ids that the container's user
 * namespace does not have can't be given to anything.
 */
static int dress(const struct layers_dir *d, int lower, int upper)
{
	auto_fd from = -1, to = -1;
	struct stat st;

	if (fstat(lower, &st) < 0)
		return fail_errno("%s: look at %s", d->where, d->guest);
	if (fchownat(upper, "", st.st_uid, st.st_gid, AT_EMPTY_PATH) < 0 && errno != EPERM &&
	    errno != EINVAL && errno != EOVERFLOW)
		return fail_errno("%s: set the owner of the upper directory", d->where);
	to = fd_reopen(upper, O_RDONLY | O_DIRECTORY);
	if (to < 0)
		return fail(-to, "%s: open the upper directory: %s", d->where, err_reason(-to));
	from = fd_reopen(lower, O_RDONLY | O_DIRECTORY);
	/* one that may not be read tells no attributes either */
	if (from >= 0 && mount_copy_xattrs(from, to))
		log_debug("%s: %s", d->guest, err_last()->text);
	if (fchmod(to, st.st_mode & 07777) < 0 ||
	    futimens(to, (struct timespec[2]){ st.st_atim, st.st_mtim }) < 0)
		return fail_errno("%s: set mode and times of the upper directory", d->where);
	return 0;
}

/* What the mount below forbids stays forbidden, but for writing. */
static uint64_t attrs_of(int dir)
{
	static const struct {
		unsigned long flag;
		uint64_t attr;
	} rows[] = {
		{ ST_NOSUID, MOUNT_ATTR_NOSUID },
		{ ST_NODEV, MOUNT_ATTR_NODEV },
		{ ST_NOEXEC, MOUNT_ATTR_NOEXEC },
	};
	struct statvfs fs;
	uint64_t attrs = 0;

	if (fstatvfs(dir, &fs) < 0)
		return MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		attrs |= fs.f_flag & rows[i].flag ? rows[i].attr : 0;
	return attrs;
}

static int mount_overlay(const struct layers_dir *d, int lower, int upper, int work)
{
	char data[160];
	const struct mount_plan m = {
		.where = d->where,
		.source = "overlay",
		.target = d->guest,
		.fstype = "overlay",
		.data = data,
		.label = d->label,
	};
	auto_fd fd = -1;
	int ret;

	snprintf(data, sizeof(data),
		 "userxattr,index=off,lowerdir=/proc/self/fd/%d,upperdir=/proc/self/fd/%d,"
		 "workdir=/proc/self/fd/%d",
		 lower, upper, work);
	fd = mount_new(&m);
	if (fd < 0)
		return fd;
	ret = mount_attr(fd, attrs_of(lower), 0, 0, false);
	if (!ret)
		ret = mount_attach(fd, lower);
	return ret ? fail(-ret, "%s: mount the overlay on %s: %s", d->where, d->guest,
			  err_reason(-ret))
		   : 0;
}

/* overlayfs goes without attributes, too, but then a directory made anew shows the old one. */
static int check_attributes(const struct layers_dir *d, int upper)
{
	static const char name[] = "user.overlay.thole";
	auto_fd dir = fd_reopen(upper, O_RDONLY | O_DIRECTORY);
	int bad = dir < 0 || fsetxattr(dir, name, "y", 1, 0) < 0;

	if (bad)
		return fail(ENOTSUP,
			    "%s: the file system of %s/" LAYERS_UPPER " keeps no extended "
			    "attributes of users: %s",
			    d->where, d->store, err_reason(errno));
	fremovexattr(dir, name);
	return 0;
}

static int lay_overlay(const struct layers_dir *d, int lower, const struct layers *l, size_t i)
{
	int ret = check_attributes(d, l->upper[i]);

	return ret ? ret : mount_overlay(d, lower, l->upper[i], l->work[i]);
}

/*
 * The container itself sees the directory read-only. What the supervisor works on are copies of
 * the mounts that lie nowhere: ".." leads out of neither.
 */
static int lay_notified(const struct layers_dir *d, int lower, struct layers *l, size_t i)
{
	uint64_t attrs = attrs_of(lower);
	auto_fd seen = mount_clone(lower, "", false, false);
	auto_fd below = mount_clone(lower, "", false, false);
	int ret;

	if (seen < 0 || below < 0)
		return fail_in(-err_last()->code, "%s", d->where);
	ret = mount_attr(below, attrs | MOUNT_ATTR_RDONLY, 0, MS_PRIVATE, false);
	if (!ret)
		ret = mount_attr(l->store[i], attrs, 0, MS_PRIVATE, false);
	if (!ret)
		ret = mount_attr(seen, attrs | MOUNT_ATTR_RDONLY, 0, 0, false);
	if (!ret)
		ret = mount_attach(seen, lower);
	if (ret)
		return fail(-ret, "%s: make %s read-only for the container: %s", d->where, d->guest,
			    err_reason(-ret));
	fd_close(l->upper[i]);
	fd_close(l->work[i]);
	l->upper[i] = fd_take(&l->far_upper[i]);
	l->work[i] = fd_take(&l->far_work[i]);
	l->lower[i] = fd_take(&below);
	return 0;
}

/* An overlay mount has no quota of its own, and can't be made without a mount namespace. */
static bool may_overlay(const struct layers_plan *plan, const struct layers_dir *d, int root)
{
	return plan->backend != LAYERS_NOTIFY && d->mode == LAYER_COW && !d->quota && root >= 0;
}

static int lay_one(const struct layers_plan *plan, size_t i, int root, struct layers *l,
		   struct layers_found *out)
{
	const struct layers_dir *d = &plan->dirs[i];
	auto_fd lower = -1;
	struct stat st;
	int ret = 0;

	lower = open_guest(d, root);
	if (lower < 0)
		return lower;
	if (d->mode != LAYER_COW) {
		out->notified |= 1u << i;
		return 0;
	}
	if (fstat(lower, &st) < 0)
		return fail_errno("%s: look at %s", d->where, d->guest);
	out->lower[i].dev = st.st_dev;
	out->lower[i].ino = st.st_ino;
	if (d->fresh && !(out->filled & 1u << i))
		ret = dress(d, lower, l->upper[i]);
	if (ret)
		return ret;
	if (may_overlay(plan, d, root)) {
		ret = lay_overlay(d, lower, l, i);
		if (!ret)
			close_one(l, i);
		if (!ret || plan->backend == LAYERS_OVERLAY)
			return ret;
		log_info("%s: copied on write by the supervisor: %s", d->guest, err_last()->text);
	}
	out->notified |= 1u << i;
	if (root >= 0)
		return lay_notified(d, lower, l, i);
	l->lower[i] = fd_take(&lower);
	return 0;
}

int layers_lay(const struct layers_plan *plan, int root, struct layers *l, struct layers_found *out)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < plan->n; i++)
		ret = lay_one(plan, i, root, l, out);
	return ret;
}

size_t layers_parts(const struct layers *l, size_t i, int out[LAYERS_PARTS])
{
	const int parts[LAYERS_PARTS] = { l->upper[i], l->work[i], l->lower[i] };
	size_t n = 0;

	for (size_t k = 0; k < LAYERS_PARTS; k++)
		if (parts[k] >= 0)
			out[n++] = parts[k];
	return n;
}
