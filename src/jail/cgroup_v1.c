/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"

#define FREEZE_MS 10000
#define LIST_SIZE 4096

static char *parent_of(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	return arena_strndup(a, path, slash ? (size_t)(slash - path) : 0);
}

/*
 * A new cpuset has no processors and no memory, and nothing may enter it: both are copied from the
 * cgroup above, which may itself be new. The top is never empty. empty: known to be. value: what
 * was found.
 */
static int fill_cpuset(struct arena *a, const char *path, const char *file, bool empty,
		       char value[LIST_SIZE])
{
	const char *name = arena_printf(a, "%s/%s", path, file);
	ssize_t n = empty ? 0 : cgroup_read(AT_FDCWD, name, value, LIST_SIZE);
	int ret;

	if (n < 0)
		return fail((int)-n, "read %s: %s", name, err_reason((int)-n));
	if (!empty && value[strspn(value, " \n")])
		return 0;
	ret = fill_cpuset(a, parent_of(a, path), file, false, value);
	if (ret)
		return ret;
	ret = fd_put(AT_FDCWD, name, value);
	if (ret)
		return fail(-ret, "write \"%.*s\" to %s: %s", (int)strcspn(value, "\n"), value,
			    name, err_reason(-ret));
	return 0;
}

static int make_with_parents(struct arena *a, const char *path)
{
	int ret;

	if (mkdir(path, 0755) == 0)
		return 0;
	if (errno == EEXIST)
		return -EEXIST;
	if (errno != ENOENT || !*path)
		return fail_errno("make the cgroup %s", path);
	ret = make_with_parents(a, parent_of(a, path));
	if (ret && ret != -EEXIST)
		return ret;
	if (mkdir(path, 0755) == 0)
		return 0;
	return errno == EEXIST ? -EEXIST : fail_errno("make the cgroup %s", path);
}

int cgroup_v1_make(struct arena *a, const struct cgroup_plan *plan, struct cgroup_dir *d)
{
	char value[LIST_SIZE];
	int ret = make_with_parents(a, d->path);

	if (ret && ret != -EEXIST)
		return ret;
	if (ret == 0)
		d->made = d->path;
	else
		ret = plan->manager == CGROUP_SYSTEMD ? 0 : cgroup_check_empty(a, d->path);
	if (ret || !cgroup_host_lists(d->controllers, "cpuset"))
		return ret;
	/* an empty one lets nobody in: init may enter before the config's own are written */
	ret = fill_cpuset(a, d->path, "cpuset.cpus", d->made, value);
	return ret ? ret : fill_cpuset(a, d->path, "cpuset.mems", d->made, value);
}

static int state(int dir, char *buf, size_t size)
{
	ssize_t n = cgroup_read(dir, "freezer.state", buf, size);

	return n < 0 ? (int)n : 0;
}

/*
 * A cgroup whose tasks fork or sleep in the kernel can stay in FREEZING; asking again, and now and
 * then letting it thaw for a moment, gets it through (Documentation/admin-guide/cgroup-v1). That
 * is done ever more seldom: many tasks on a busy machine take their time to come to a halt.
 */
int cgroup_v1_freeze(const char *path, bool frozen)
{
	const char *want = frozen ? "FROZEN" : "THAWED";
	auto_fd dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int64_t end = cgroup_now() + FREEZE_MS;
	unsigned thaw = 50;
	char buf[32];
	int ret;

	if (dir < 0)
		return fail_errno("open the cgroup %s", path);
	for (unsigned i = 0;; i++) {
		if (frozen && i == thaw) {
			thaw *= 2;
			fd_put(dir, "freezer.state", "THAWED");
			cgroup_sleep(1000);
		}
		ret = fd_put(dir, "freezer.state", want);
		if (!ret)
			ret = state(dir, buf, sizeof(buf));
		if (ret)
			return fail(-ret, "write %s to %s/freezer.state: %s", want, path,
				    err_reason(-ret));
		if (strncmp(buf, want, strlen(want)) == 0)
			return 0;
		if (cgroup_now() > end)
			break;
		cgroup_sleep(i < 20 ? 50 : 1000);
	}
	if (frozen)
		fd_put(dir, "freezer.state", "THAWED");
	return fail(ETIMEDOUT, "%s/freezer.state did not become %s within %d s", path, want,
		    FREEZE_MS / 1000);
}

int cgroup_v1_is_frozen(const char *path)
{
	char name[PATH_MAX], buf[32];
	ssize_t n;

	if (snprintf(name, sizeof(name), "%s/freezer.state", path) >= (int)sizeof(name))
		return fail(ENAMETOOLONG, "read %s/freezer.state", path);
	n = cgroup_read(AT_FDCWD, name, buf, sizeof(buf));
	if (n == -ENOENT || n == -ENODEV)
		return 0;
	if (n < 0)
		return fail((int)-n, "read %s: %s", name, err_reason((int)-n));
	return strncmp(buf, "THAWED", 6) != 0;
}
