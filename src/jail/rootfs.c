/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/rootfs.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "jail/mount_cgroup.h"

#define NULL_DEVICE makedev(1, 3)
#define PTMX_MAJOR 5
#define PTMX_MINOR 2

static bool is_cgroup(const struct mount_plan *m)
{
	return !m->bind && m->fstype &&
	       (strcmp(m->fstype, "cgroup") == 0 || strcmp(m->fstype, "cgroup2") == 0);
}

/* The namespaces whose mounts the parent must open: those of a user namespace the host's root
 * made. */
static int prepare_source(struct rootfs *r, size_t i)
{
	const struct mount_plan *m = &r->plan->mounts[i];
	int fd;

	fd = mount_clone(AT_FDCWD, m->source, m->recursive, m->extra & MOUNT_SRC_NOFOLLOW);
	if (fd < 0)
		return fail_in(fd, "%s", m->where);
	r->sources[i] = fd;
	if (r->plan->propagation & MS_SHARED)
		return 0;
	return mount_attr(fd, 0, 0, MS_SLAVE, true);
}

int rootfs_prepare(struct arena *a, const struct rootfs_plan *plan, const struct ns_plan *ns,
		   const struct cgroup *cgroup, struct rootfs *out)
{
	bool open_here = ns->want[NS_USER].wanted && geteuid() == 0;
	const struct mount_plan *m;
	struct rootfs r = {
		.plan = plan,
		.cgroup = cgroup,
		.cgroup_ns = ns->want[NS_CGROUP].wanted,
		.user_ns = ns->want[NS_USER].wanted,
		.top = -1,
		.parent = -1,
		.tree = -1,
		.sources = arena_array(a, plan->n_mounts, sizeof(int)),
		.idmaps = arena_array(a, plan->n_mounts, sizeof(int)),
		.mounted = arena_array(a, plan->n_mounts, sizeof(int)),
	};
	int ret = 0;

	for (size_t i = 0; i < plan->n_mounts; i++)
		r.sources[i] = r.idmaps[i] = r.mounted[i] = -1;
	for (size_t i = 0; i < plan->n_mounts && !ret; i++) {
		m = &plan->mounts[i];
		if (m->extra & (MOUNT_IDMAP | MOUNT_RIDMAP)) {
			r.idmaps[i] = ns_open_mapped(m->maps.n_uid ? &m->maps : &ns->maps);
			if (r.idmaps[i] < 0)
				ret = fail_in(r.idmaps[i], "%s", m->where);
		}
		if (!ret && open_here && m->bind && !(m->extra & MOUNT_COPY_SYMLINK))
			ret = prepare_source(&r, i);
		/* mapping ids takes rights over the host's mounts that the child's root lacks */
		if (!ret && r.sources[i] >= 0 && r.idmaps[i] >= 0) {
			ret = mount_idmap(r.sources[i], r.idmaps[i], m);
			fd_close(r.idmaps[i]);
			r.idmaps[i] = -1;
		}
	}
	*out = r;
	if (ret)
		rootfs_close(out);
	return ret;
}

void rootfs_close(struct rootfs *r)
{
	if (!r->plan)
		return;
	for (size_t i = 0; i < r->plan->n_mounts; i++) {
		fd_close(r->sources[i]);
		fd_close(r->idmaps[i]);
	}
	r->plan = NULL;
}

static bool is_mount_root(int dir)
{
	struct statx st;

	return statx(dir, "", AT_EMPTY_PATH, 0, &st) < 0 ||
	       st.stx_attributes & STATX_ATTR_MOUNT_ROOT;
}

int rootfs_open(struct rootfs *r)
{
	int up;

	r->top = open(r->plan->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (r->top < 0)
		return fail_errno("open the root directory %s (root.path)", r->plan->path);
	r->parent = fcntl(r->top, F_DUPFD_CLOEXEC, 0);
	while (r->parent >= 0 && !is_mount_root(r->parent)) {
		up = openat(r->parent, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
		fd_close(r->parent);
		r->parent = up;
	}
	return r->parent < 0 ? fail_errno("find the mount of %s (root.path)", r->plan->path) : 0;
}

int rootfs_attach(struct rootfs *r)
{
	const struct rootfs_plan *p = r->plan;
	unsigned propagation = p->propagation ? p->propagation : MS_SLAVE | MS_REC;
	int ret;

	/* what can't be bound can't become the root either: that comes last, in rootfs_enter() */
	if (propagation & MS_UNBINDABLE)
		propagation = MS_PRIVATE | (propagation & MS_REC);
	if (mount(NULL, "/", NULL, propagation, NULL) < 0)
		return fail_errno("set the propagation of / (linux.rootfsPropagation)");
	/* pivot_root(2) wants the mount that the root is on not to be shared */
	ret = propagation & MS_SHARED ? mount_attr(r->parent, 0, 0, MS_PRIVATE, false) : 0;
	if (ret)
		return fail(-ret, "make the mount of %s private: %s", p->path, err_reason(-ret));
	r->tree = mount_clone(r->top, "", true, false);
	if (r->tree < 0)
		return fail_in(r->tree, "root.path %s", p->path);
	ret = mount_attach(r->tree, r->top);
	if (ret)
		return fail(-ret, "mount the root directory %s: %s", p->path, err_reason(-ret));
	fd_close(fd_take(&r->top));
	fd_close(fd_take(&r->parent));
	return 0;
}

/* sysfs belongs to the owner of the network namespace: without an own one the host's is shown. */
static int bind_sysfs(struct rootfs *r, const struct mount_plan *m)
{
	struct mount_plan bind = *m;

	bind.bind = true;
	bind.recursive = true;
	bind.source = "/sys";
	bind.data = NULL;
	bind.rset = m->set;
	bind.rclear = m->clear;
	bind.set = bind.clear = 0;
	err_clear();
	return mount_do(r->tree, &bind, -1, -1);
}

int rootfs_mount_all(struct rootfs *r)
{
	const struct mount_plan *m;
	int fd;

	for (size_t i = 0; i < r->plan->n_mounts; i++) {
		m = &r->plan->mounts[i];
		if (is_cgroup(m))
			fd = mount_cgroup(r->tree, m, r->cgroup, r->cgroup_ns);
		else
			fd = mount_do(r->tree, m, r->sources[i], r->idmaps[i]);
		if (fd == -EPERM && r->user_ns && m->fstype && strcmp(m->fstype, "sysfs") == 0)
			fd = bind_sysfs(r, m);
		r->sources[i] = -1; /* consumed: it is the mount now */
		if (fd < 0)
			return fd;
		/* the others are not needed again, and there may be many */
		if (mount_ro_later(m) && m->set & MOUNT_ATTR_RDONLY)
			r->mounted[i] = fd;
		else
			fd_close(fd);
	}
	return 0;
}

static const struct rootfs_device default_devices[] = {
	{ "/dev/null", S_IFCHR | 0666, 1, 3, 0, 0 },
	{ "/dev/zero", S_IFCHR | 0666, 1, 5, 0, 0 },
	{ "/dev/full", S_IFCHR | 0666, 1, 7, 0, 0 },
	{ "/dev/random", S_IFCHR | 0666, 1, 8, 0, 0 },
	{ "/dev/urandom", S_IFCHR | 0666, 1, 9, 0, 0 },
	{ "/dev/tty", S_IFCHR | 0666, 5, 0, 0, 0 },
};

static const struct {
	const char *name, *target;
} dev_links[] = {
	{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
	{ "ptmx", "pts/ptmx" },          { "core", "/proc/kcore" },
};

/* The host's node in place of one that may not be made here. */
static int bind_device(int dir, const char *name, const struct rootfs_device *d)
{
	auto_fd node = -1, target = -1;
	struct stat st;
	int ret;

	node = mount_clone(AT_FDCWD, d->path, false, false);
	if (node < 0)
		return node;
	if (fstat(node, &st) < 0 || (st.st_mode & S_IFMT) != (d->mode & S_IFMT) ||
	    st.st_rdev != makedev(d->major, d->minor))
		return fail(ENODEV, "the host's %s is not the device %u:%u", d->path, d->major,
			    d->minor);
	target = openat(dir, name, O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY, 0644);
	if (target < 0)
		return fail_errno("make %s", d->path);
	ret = mount_attach(node, target);
	return ret ? fail(-ret, "bind the host's %s: %s", d->path, err_reason(-ret)) : 0;
}

static bool is_device(const struct stat *st, const struct rootfs_device *d)
{
	return (st->st_mode & S_IFMT) == (d->mode & S_IFMT) &&
	       (S_ISFIFO(d->mode) || st->st_rdev == makedev(d->major, d->minor));
}

/*
 * What the image or a mount has there already. An empty file is the place of a node that was bound
 * before. In the place of a device that each container has anything may stand; what the bundle asks
 * for must be that (config-linux.md, "Devices").
 */
static int look_at_device(int dir, const char *name, const struct rootfs_device *d, bool asked)
{
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return fail_errno("look at the device %s", d->path);
	if (is_device(&st, d) || !asked)
		return 0;
	if (S_ISREG(st.st_mode) && st.st_size == 0)
		return bind_device(dir, name, d);
	/* engines list the host's ptmx for privileged containers: their own devpts has a better
	 * one */
	if (S_ISLNK(st.st_mode) && d->major == PTMX_MAJOR && d->minor == PTMX_MINOR)
		return 0;
	return fail(EEXIST, "linux.devices: %s is there and is something else than this device",
		    d->path);
}

static int make_device(const struct rootfs *r, int dir, const char *name,
		       const struct rootfs_device *d, bool asked)
{
	auto_fd fd = -1;
	struct stat st;
	int ret = 0;

	if (r->user_ns && !S_ISFIFO(d->mode))
		ret = fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && asked ? -EEXIST : -EPERM;
	else if (mknodat(dir, name, d->mode, makedev(d->major, d->minor)) < 0)
		ret = -errno;
	if (ret == -EPERM)
		return bind_device(dir, name, d);
	if (ret == -EEXIST)
		return look_at_device(dir, name, d, asked);
	if (ret)
		return fail(-ret, "make the device %s: %s", d->path, err_reason(-ret));
	fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return fail_errno("open the device %s", d->path);
	if (!is_device(&st, d))
		return fail(EEXIST, "the device %s was replaced while it was made", d->path);
	if ((d->uid || d->gid) && fchownat(fd, "", d->uid, d->gid, AT_EMPTY_PATH) < 0)
		return fail_errno("set the owner of %s", d->path);
	return 0;
}

static bool in_plan(const struct rootfs_plan *p, const char *path)
{
	for (size_t i = 0; i < p->n_devices; i++)
		if (strcmp(p->devices[i].path, path) == 0)
			return true;
	return false;
}

/* A bind mount on /dev brings its own nodes. */
static bool dev_is_bound(const struct rootfs_plan *p)
{
	for (size_t i = 0; i < p->n_mounts; i++)
		if (p->mounts[i].bind && strcmp(p->mounts[i].target, "/dev") == 0)
			return true;
	return false;
}

static int plan_device(struct rootfs *r, const struct rootfs_device *d)
{
	const char *base = strrchr(d->path, '/');
	char parent[PATH_MAX];
	auto_fd dir = -1;
	int ret;

	snprintf(parent, sizeof(parent), "%.*s", (int)(base - d->path), d->path);
	ret = fd_mkdir_all(r->tree, parent, 0755);
	dir = ret ? ret : fd_open_beneath(r->tree, parent, O_PATH | O_DIRECTORY);
	if (dir < 0)
		return fail(-dir, "open the directory of the device %s without symbolic links: %s",
			    d->path, err_reason(-dir));
	return make_device(r, dir, base + 1, d, true);
}

int rootfs_make_devices(struct rootfs *r)
{
	const struct rootfs_plan *p = r->plan;
	mode_t mask = umask(0);
	auto_fd dev = -1;
	int ret = 0;

	if (dev_is_bound(p))
		goto plan;
	ret = fd_mkdir_all(r->tree, "dev", 0755);
	dev = ret ? ret : fd_open_beneath(r->tree, "dev", O_PATH | O_DIRECTORY);
	if (dev < 0) {
		ret = fail(
			-dev,
			"open /dev of the container, which must be a directory and no symbolic link: %s",
			err_reason(-dev));
		goto out;
	}
	for (size_t i = 0; !ret && i < sizeof(default_devices) / sizeof(default_devices[0]); i++)
		if (!in_plan(p, default_devices[i].path))
			ret = make_device(r, dev, default_devices[i].path + 5, &default_devices[i],
					  false);
	for (size_t i = 0; !ret && i < sizeof(dev_links) / sizeof(dev_links[0]); i++) {
		if (strcmp(dev_links[i].name, "core") == 0 && access("/proc/kcore", F_OK) < 0)
			continue;
		if (symlinkat(dev_links[i].target, dev, dev_links[i].name) < 0 && errno != EEXIST)
			ret = fail_errno("make /dev/%s", dev_links[i].name);
	}
plan:
	for (size_t i = 0; !ret && i < p->n_devices; i++)
		ret = plan_device(r, &p->devices[i]);
out:
	umask(mask);
	return ret;
}

int rootfs_bind_console(struct rootfs *r, int slave)
{
	auto_fd dev = fd_open_beneath(r->tree, "dev", O_PATH | O_DIRECTORY);
	auto_fd node = -1, target = -1;
	int ret;

	if (dev < 0)
		return fail(-dev, "open /dev of the container: %s", err_reason(-dev));
	target = openat(dev, "console", O_CREAT | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK,
			0600);
	if (target < 0)
		return fail_errno("make /dev/console");
	node = mount_clone(slave, "", false, false);
	if (node < 0)
		return fail_in(node, "/dev/console");
	ret = mount_attach(node, target);
	return ret ? fail(-ret, "bind the terminal to /dev/console: %s", err_reason(-ret)) : 0;
}

/* The host's /dev/null, and really that device: a container's may have been replaced
 * (CVE-2025-31133). */
static int mask_file(int target)
{
	auto_fd null = mount_clone(AT_FDCWD, "/dev/null", false, true);
	struct stat st;

	if (null < 0)
		return null;
	if (fstat(null, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != NULL_DEVICE)
		return fail(ENODEV, "the host's /dev/null is not the null device");
	return mount_attach(null, target);
}

/* One empty read-only tmpfs hides every directory; *shared is its first mount. */
static int mask_directory(int target, int *shared)
{
	static const struct mount_plan empty = {
		.where = "linux.maskedPaths",
		.fstype = "tmpfs",
		.target = "a masked directory",
		.data = "nr_blocks=1,nr_inodes=1,mode=755",
	};
	auto_fd fd = -1;
	int ret;

	fd = *shared < 0 ? mount_new(&empty) : mount_clone(*shared, "", false, false);
	if (fd < 0)
		return fd;
	if (*shared < 0) {
		ret = mount_attr(fd,
				 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV |
					 MOUNT_ATTR_NOEXEC,
				 0, 0, false);
		if (ret)
			return ret;
	}
	ret = mount_attach(fd, target);
	if (!ret && *shared < 0)
		*shared = fd_take(&fd);
	return ret;
}

static int mask(struct rootfs *r, const char *path, int *shared)
{
	auto_fd target = fd_open_in_root(r->tree, path, O_PATH);
	struct stat st;
	int ret;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0 || fstat(target, &st) < 0)
		return fail(target < 0 ? -target : errno, "mask %s: open: %s", path,
			    err_reason(target < 0 ? -target : errno));
	ret = S_ISDIR(st.st_mode) ? mask_directory(target, shared) : mask_file(target);
	return ret ? fail(-ret, "mask %s: %s", path, err_reason(-ret)) : 0;
}

static int protect(struct rootfs *r, const char *path)
{
	auto_fd target = fd_open_in_root(r->tree, path, O_PATH);
	auto_fd copy = -1;
	int ret;

	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	if (target < 0)
		return fail(-target, "make %s read-only: open: %s", path, err_reason(-target));
	copy = mount_clone(target, "", true, false);
	if (copy < 0)
		return fail_in(copy, "make %s read-only", path);
	ret = mount_attr(copy, MOUNT_ATTR_RDONLY, 0, 0, true);
	if (!ret)
		ret = mount_attach(copy, target);
	return ret ? fail(-ret, "make %s read-only: %s", path, err_reason(-ret)) : 0;
}

int rootfs_hide(struct rootfs *r)
{
	auto_fd shared = -1;
	int ret = 0;

	for (size_t i = 0; !ret && i < r->plan->n_read_only; i++)
		ret = protect(r, r->plan->read_only[i]);
	for (size_t i = 0; !ret && i < r->plan->n_masked; i++)
		ret = mask(r, r->plan->masked[i], &shared);
	return ret;
}

int rootfs_seal(struct rootfs *r)
{
	const struct mount_plan *m;
	int ret;

	for (size_t i = 0; i < r->plan->n_mounts; i++) {
		m = &r->plan->mounts[i];
		if (!mount_ro_later(m) || !(m->set & MOUNT_ATTR_RDONLY))
			continue;
		ret = mount_attr(r->mounted[i], MOUNT_ATTR_RDONLY, 0, 0, false);
		if (ret)
			return fail(-ret, "%s: make %s read-only: %s", m->where, m->target,
				    err_reason(-ret));
	}
	for (size_t i = 0; i < r->plan->n_mounts; i++)
		fd_close(r->mounted[i]);
	if (!r->plan->readonly)
		return 0;
	ret = mount_attr(r->tree, MOUNT_ATTR_RDONLY, 0, 0, false);
	return ret ? fail(-ret, "make the root read-only (root.readonly): %s", err_reason(-ret))
		   : 0;
}

static int enter_by_pivot(void)
{
	auto_fd old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);

	if (old < 0)
		return fail_errno("open the host's root");
	/* both names are the new root: the old one ends up stacked on top of it, and is let go */
	if (sys_pivot_root(".", ".") < 0)
		return fail_errno("pivot_root into the container's root");
	if (fchdir(old) < 0 || mount(NULL, ".", NULL, MS_SLAVE | MS_REC, NULL) < 0 ||
	    umount2(".", MNT_DETACH) < 0)
		return fail_errno("let go of the host's root");
	return 0;
}

/*
 * Without pivot_root the host's mounts stay below the new root. Whoever breaks out of the chroot
 * finds no full procfs or sysfs to work with: they are taken away or covered first.
 */
static int enter_by_move(struct rootfs *r)
{
	static const char *const hidden[] = { "/proc", "/sys" };

	for (size_t i = 0; i < sizeof(hidden) / sizeof(hidden[0]); i++) {
		if (str_starts(r->plan->path, hidden[i]))
			continue;
		if (umount2(hidden[i], MNT_DETACH) < 0 && errno != EINVAL &&
		    mount("none", hidden[i], "tmpfs", 0, NULL) < 0)
			return fail_errno("hide the host's %s", hidden[i]);
	}
	if (mount(".", "/", NULL, MS_MOVE, NULL) < 0)
		return fail_errno("move the container's root to /");
	return chroot(".") < 0 ? fail_errno("chroot into the container's root") : 0;
}

int rootfs_enter(struct rootfs *r)
{
	unsigned propagation = r->plan->propagation;
	int ret;

	if (fchdir(r->tree) < 0)
		return fail_errno("enter the container's root");
	ret = r->plan->no_pivot ? enter_by_move(r) : enter_by_pivot();
	if (ret)
		return ret;
	if (chdir("/") < 0)
		return fail_errno("enter the container's root");
	if (propagation & (MS_SHARED | MS_UNBINDABLE) &&
	    mount(NULL, "/", NULL, propagation, NULL) < 0)
		return fail_errno(
			"set the propagation of the container's root (linux.rootfsPropagation)");
	fd_close(r->tree);
	r->tree = -1;
	return 0;
}
