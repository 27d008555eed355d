/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/mount_cgroup.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "jail/cgroup.h"
#include "jail/mount.h"

/* "cpu,cpuacct" is a directory of that name with a link for each; "name=systemd" is systemd; "" is
 * unified. */
static const char *directory_of(const struct cgroup_dir *d)
{
	if (!*d->controllers)
		return "unified";
	return str_starts(d->controllers, "name=") ? d->controllers + 5 : d->controllers;
}

static bool only_v2(const struct cgroup *cg)
{
	return cg->n == 1 && !*cg->dirs[0].controllers;
}

/* The hierarchy itself, seen from the container's cgroup namespace. Detached. */
static int own_hierarchy(const struct mount_plan *m, const struct cgroup_dir *d)
{
	struct mount_plan part = {
		.where = m->where,
		.source = "cgroup",
		.target = m->target,
		.fstype = *d->controllers ? "cgroup" : "cgroup2",
		.data = d->controllers,
	};
	char data[256];

	if (str_starts(d->controllers, "name=")) {
		snprintf(data, sizeof(data), "none,%s", d->controllers);
		part.data = data;
	}
	return mount_new(&part);
}

static int one(const struct mount_plan *m, const struct cgroup_dir *d, bool own_ns)
{
	int fd = own_ns ? own_hierarchy(m, d) : -EPERM;

	if (fd == -EPERM || fd == -EBUSY || fd == -EINVAL) {
		err_clear();
		fd = mount_clone(AT_FDCWD, d->path, true, false);
	}
	return fd < 0 ? fail_in(fd, "%s: cgroup %s", m->where, directory_of(d)) : fd;
}

static int attach(int mount, const struct mount_plan *m, int target)
{
	int ret = mount_set_flags(mount, m);

	if (ret)
		return ret;
	ret = mount_attach(mount, target);
	return ret ? fail(-ret, "%s: mount the cgroup on %s: %s", m->where, m->target,
			  err_reason(-ret))
		   : 0;
}

static int make_links(int dir, const char *controllers)
{
	char name[64];
	size_t n;

	if (!strchr(controllers, ','))
		return 0;
	for (const char *p = controllers; *p; p += n + (p[n] == ',')) {
		n = strcspn(p, ",");
		snprintf(name, sizeof(name), "%.*s", (int)n, p);
		if (symlinkat(controllers, dir, name) < 0 && errno != EEXIST)
			return fail_errno("make the link %s", name);
	}
	return 0;
}

static int add_hierarchy(int dir, const struct mount_plan *m, const struct cgroup_dir *d,
			 bool own_ns)
{
	const char *name = directory_of(d);
	auto_fd mount = -1, target = -1;
	int ret;

	mount = one(m, d, own_ns);
	if (mount < 0)
		return mount;
	if (mkdirat(dir, name, 0755) < 0 && errno != EEXIST)
		return fail_errno("%s: make %s/%s", m->where, m->target, name);
	target = openat(dir, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (target < 0)
		return fail_errno("%s: open %s/%s", m->where, m->target, name);
	ret = attach(mount, m, target);
	return ret ? ret : make_links(dir, d->controllers);
}

/* The tmpfs of version 1, or an empty read-only one where there is no cgroup to show. */
static int base_tmpfs(int root, const struct mount_plan *m)
{
	struct mount_plan base = *m;

	base.fstype = "tmpfs";
	base.source = "tmpfs";
	base.data = "mode=755";
	return mount_do(root, &base, -1, -1);
}

int mount_cgroup(int root, const struct mount_plan *m, const struct cgroup *cg, bool own_ns)
{
	auto_fd mount = -1, target = -1, dir = -1;
	int ret = 0;

	if (only_v2(cg)) {
		target = mount_target(root, m->target, true, false);
		if (target < 0)
			return fail_in(target, "%s", m->where);
		mount = one(m, &cg->dirs[0], own_ns);
		if (mount < 0)
			return mount;
		ret = attach(mount, m, target);
		return ret ? ret : fd_take(&mount);
	}
	mount = base_tmpfs(root, m);
	if (mount < 0)
		return mount;
	dir = fd_open_in_root(root, m->target, O_PATH | O_DIRECTORY);
	if (dir < 0)
		return fail(-dir, "%s: open %s: %s", m->where, m->target, err_reason(-dir));
	for (size_t i = 0; !ret && i < cg->n; i++)
		ret = add_hierarchy(dir, m, &cg->dirs[i], own_ns);
	if (!ret && (!cg->n || m->set & MOUNT_ATTR_RDONLY))
		ret = mount_attr(mount, MOUNT_ATTR_RDONLY, 0, 0, false);
	if (ret < 0)
		return err_last()->code ? ret : fail(-ret, "%s: %s", m->where, err_reason(-ret));
	return fd_take(&mount);
}
