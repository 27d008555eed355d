/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"

#define PROCS_LIMIT (64 * 1024 * 1024)
#define DEPTH_MAX 64 /* a hostile container could nest until we run out of descriptors */

struct pids {
	struct arena *arena;
	pid_t *v;
	size_t n, cap;
};

/* What is done with one cgroup of parent; it may remove it, and walks on itself. */
typedef int each_fn(int parent, const char *name, int depth, void *data);

/* A cgroup without any below has a link count of two: most are not even listed. */
static int walk_children(int dir, int depth, each_fn *each, void *data)
{
	struct dirent *e;
	struct stat st;
	int ret = 0, fd;
	DIR *d;

	if (fstat(dir, &st) < 0)
		return -errno;
	if (st.st_nlink <= 2)
		return 0;
	if (depth == DEPTH_MAX)
		return -ELOOP;
	fd = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		ret = -errno;
		fd_close(fd);
		return ret == -ENOENT ? 0 : ret;
	}
	while (!ret && (e = readdir(d)))
		if (e->d_type == DT_DIR && e->d_name[0] != '.')
			ret = each(dirfd(d), e->d_name, depth + 1, data);
	closedir(d);
	return ret;
}

static int collect_here(int dir, struct pids *p)
{
	auto_fd fd = openat(dir, "cgroup.procs", O_RDONLY | O_CLOEXEC);
	char *text, *end;
	long pid;
	int ret;

	if (fd < 0)
		return errno == ENOENT || errno == ENODEV ? 0 : -errno;
	ret = fd_read_all(fd, p->arena, PROCS_LIMIT, &text, NULL);
	/* a threaded cgroup lists its processes in the one above; a removed one has none */
	if (ret == -EOPNOTSUPP || ret == -ENODEV)
		return 0;
	if (ret)
		return ret;
	for (; *text; text = end + (*end == '\n')) {
		pid = strtol(text, &end, 10);
		if (end == text)
			break;
		if (pid <= 0) /* of a pid namespace that is not below ours */
			continue;
		p->v = arena_grow(p->arena, p->v, p->n, &p->cap, sizeof(*p->v));
		p->v[p->n++] = (pid_t)pid;
	}
	return 0;
}

static int collect(int parent, const char *name, int depth, void *data)
{
	auto_fd fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	int ret;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	ret = collect_here(fd, data);
	return ret ? ret : walk_children(fd, depth, collect, data);
}

static int by_number(const void *a, const void *b)
{
	pid_t x = *(const pid_t *)a, y = *(const pid_t *)b;

	return x < y ? -1 : x > y;
}

int cgroup_tree_pids(struct arena *a, const char *path, pid_t **out, size_t *out_n)
{
	struct pids p = { .arena = a };
	size_t n = 0;
	int ret = collect(AT_FDCWD, path, 0, &p);

	if (ret)
		return fail(-ret, "list the processes of the cgroup %s: %s", path,
			    err_reason(-ret));
	if (p.n)
		qsort(p.v, p.n, sizeof(*p.v), by_number);
	for (size_t i = 0; i < p.n; i++)
		if (n == 0 || p.v[n - 1] != p.v[i])
			p.v[n++] = p.v[i];
	*out = p.v;
	*out_n = n;
	return 0;
}

static int remove_one(int parent, const char *name, int depth, void *data)
{
	auto_fd fd = -1;
	int ret;

	if (unlinkat(parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != EBUSY && errno != ENOTEMPTY)
		return -errno;
	fd = openat(parent, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	ret = walk_children(fd, depth, remove_one, data);
	if (ret)
		return ret;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int cgroup_tree_remove(const char *path, bool self)
{
	auto_fd fd = -1;

	if (self)
		return remove_one(AT_FDCWD, path, 0, NULL);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	return walk_children(fd, 0, remove_one, NULL);
}

int cgroup_fail_taken(const char *path)
{
	return fail(EBUSY,
		    "the cgroup %s is in use by other processes: name another linux.cgroupsPath",
		    path);
}

int cgroup_check_empty(struct arena *a, const char *path)
{
	pid_t *pids;
	size_t n;
	int ret = cgroup_tree_pids(a, path, &pids, &n);

	return ret || !n ? ret : cgroup_fail_taken(path);
}
