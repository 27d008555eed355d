/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

static int open_entry(const struct cgroup_dir *d, const char *sub, struct cgroup_entry *e)
{
	char path[PATH_MAX];
	bool v2 = cgroup_dir_v2(d);
	int fd;

	if (snprintf(path, sizeof(path), "%s%s%s%s", d->path, *sub ? "/" : "", sub,
		     v2 ? "" : "/tasks") >= (int)sizeof(path))
		return fail(ENAMETOOLONG, "open the cgroup %s/%s", d->path, sub);
	fd = open(path, v2 ? O_RDONLY | O_DIRECTORY | O_CLOEXEC : O_WRONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT)
		return fail(ENOENT, "the cgroup %s does not exist", path);
	if (fd < 0)
		return fail_errno("open the cgroup %s", path);
	if (v2)
		e->v2 = fd;
	else
		e->tasks[e->n++] = fd;
	return 0;
}

/* A relative path that stays where it is. */
static int check_sub(const char *sub)
{
	size_t n;

	for (const char *p = sub; *p; p += n) {
		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return fail(EINVAL, "cgroup \"%s\" must not contain \"..\"", sub);
	}
	return 0;
}

/* All of one version; what is opened is the caller's, also on failure. */
static int open_version(const struct cgroup *cg, bool v2, const char *sub, struct cgroup_entry *e)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < cg->n; i++)
		if (cgroup_dir_v2(&cg->dirs[i]) == v2)
			ret = open_entry(&cg->dirs[i], sub, e);
	return ret;
}

int cgroup_entry_open(const struct cgroup *cg, const char *sub, struct cgroup_entry *out)
{
	const char *below = sub ? sub + strspn(sub, "/") : "";
	int ret = check_sub(below);

	*out = (struct cgroup_entry){ .v2 = -1 };
	if (!ret)
		ret = open_version(cg, true, below, out);
	if (!ret)
		ret = open_version(cg, false, below, out);
	if (ret)
		cgroup_entry_close(out);
	return ret;
}

int cgroup_entry_open_v2(const struct cgroup *cg, struct cgroup_entry *out)
{
	*out = (struct cgroup_entry){ .v2 = -1 };
	return open_version(cg, true, "", out);
}

int cgroup_entry_add_v1(const struct cgroup *cg, struct cgroup_entry *e)
{
	return open_version(cg, false, "", e);
}

int cgroup_entry_open_like(pid_t pid, struct cgroup_entry *e)
{
	const struct cgroup_trees *trees = cgroup_host_trees();
	char name[64], text[PATH_MAX + 256], path[2 * PATH_MAX];
	const char *p;
	int fd;

	if (!trees)
		return -err_last()->code;
	snprintf(name, sizeof(name), "/proc/%d/cgroup", pid);
	if (cgroup_read(AT_FDCWD, name, text, sizeof(text)) < 0)
		return fail(ESRCH, "read %s: no such process", name);
	p = str_starts(text, "0::") ? text : strstr(text, "\n0::");
	p = p ? strchr(p, '/') : NULL;
	if (!p || strncmp(p, "/..", 3) == 0)
		return fail(ENOENT, "process %d has no version 2 cgroup that can be seen here",
			    pid);
	for (size_t i = 0; i < trees->n; i++) {
		if (!trees->v[i].v2)
			continue;
		snprintf(path, sizeof(path), "%s%.*s", trees->v[i].mount, (int)strcspn(p, "\n"), p);
		fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		if (fd < 0)
			return fail_errno("open the cgroup %s", path);
		fd_close(e->v2);
		e->v2 = fd;
		return 0;
	}
	return fail(ENOENT, "no version 2 cgroup file system is mounted here");
}

int cgroup_entry_join(const struct cgroup_entry *e)
{
	for (size_t i = 0; i < e->n; i++)
		if (write(e->tasks[i], "0", 1) < 0)
			return fail_errno("enter a cgroup");
	return 0;
}

int cgroup_entry_attach_v2(const struct cgroup_entry *e, pid_t pid)
{
	char text[16];
	int ret;

	if (e->v2 < 0)
		return 0;
	snprintf(text, sizeof(text), "%d", pid);
	ret = fd_put(e->v2, "cgroup.procs", text);
	return ret ? fail(-ret, "put process %d into its cgroup: %s", pid, err_reason(-ret)) : 0;
}

void cgroup_entry_close(struct cgroup_entry *e)
{
	for (size_t i = 0; i < e->n; i++)
		fd_close(e->tasks[i]);
	fd_close(e->v2);
	*e = (struct cgroup_entry){ .v2 = -1 };
}
