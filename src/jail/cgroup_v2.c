/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

#define FREEZE_MS 10000
#define LIST_SIZE 512

/* The mount the directory lies in, from this host's mounts. */
static const char *mount_of(const char *path)
{
	const struct cgroup_trees *t = cgroup_host_trees();

	for (size_t i = 0; t && i < t->n; i++)
		if (t->v[i].v2 && str_starts(path, t->v[i].mount))
			return t->v[i].mount;
	return NULL;
}

static bool word_in(const char *list, const char *word, size_t n)
{
	for (const char *p = list; *p; p += strcspn(p, " \n"), p += strspn(p, " \n"))
		if (strcspn(p, " \n") == n && memcmp(p, word, n) == 0)
			return true;
	return false;
}

/* Is this a controller that somebody asked for? */
static bool needed(const char *word, size_t n, unsigned need)
{
	const char *name;

	if (need == CGROUP_NEED_ALL)
		return true;
	for (size_t i = 0; i < CTL_COUNT; i++) {
		name = cgroup_ctl_names[i].v2;
		if (need & 1u << i && name && strlen(name) == n && memcmp(name, word, n) == 0)
			return true;
	}
	return false;
}

/*
 * Hands every controller the cgroup has down to those below it: all at once, and where one is
 * refused (processes inside, a realtime task) one by one. What could not be had shows when a limit
 * is written.
 */
static void enable_in(int dir, unsigned need)
{
	char have[LIST_SIZE], on[LIST_SIZE], buf[2 * LIST_SIZE];
	struct str all = STR_ON(buf);
	const char *p;
	char one[64];
	size_t n;

	if (cgroup_read(dir, "cgroup.controllers", have, sizeof(have)) < 0 ||
	    cgroup_read(dir, "cgroup.subtree_control", on, sizeof(on)) < 0)
		return;
	for (p = have; *p; p += n, p += strspn(p, " \n")) {
		n = strcspn(p, " \n");
		if (n && needed(p, n, need) && !word_in(on, p, n))
			str_addf(&all, "+%.*s ", (int)n, p);
	}
	if (!all.len || fd_put(dir, "cgroup.subtree_control", buf) == 0)
		return;
	for (p = buf; *p; p += n, p += strspn(p, " ")) {
		n = strcspn(p, " ");
		if (snprintf(one, sizeof(one), "%.*s", (int)n, p) < (int)sizeof(one))
			fd_put(dir, "cgroup.subtree_control", one);
	}
}

/* Limits of controllers that count by process and so don't work in a cgroup of threads. */
static bool domain_limits(const struct cgroup_limits *l)
{
	bool any = (l->memory.set && l->memory.v) || (l->memory_swap.set && l->memory_swap.v) ||
		   (l->memory_reservation.set && l->memory_reservation.v) ||
		   (l->blk_weight.set && l->blk_weight.v) || l->n_blk_devices || l->n_hugepages;

	for (size_t i = 0; i < BLK_THROTTLES; i++)
		any = any || l->n_blk_rates[i];
	return any;
}

/*
 * Below a cgroup of threads a new one is "domain invalid" until it is made threaded as well.
 * Documentation/admin-guide/cgroup-v2.rst, "Threads"
 */
static int fix_type(int dir, const char *path, const struct cgroup_limits *l)
{
	char type[64];
	int ret;

	if (cgroup_read(dir, "cgroup.type", type, sizeof(type)) < 0)
		return 0; /* the top has none */
	type[strcspn(type, "\n")] = '\0';
	if (strcmp(type, "domain") == 0)
		return 0;
	if (domain_limits(l))
		return fail(ENOTSUP,
			    "linux.resources: memory, io and hugetlb limits can't be set in %s, "
			    "which is of type \"%s\": choose a linux.cgroupsPath outside of "
			    "threaded cgroups",
			    path, type);
	if (strcmp(type, "domain invalid") != 0)
		return 0;
	ret = fd_put(dir, "cgroup.type", "threaded");
	return ret ? fail(-ret, "write threaded to %s/cgroup.type: %s", path, err_reason(-ret)) : 0;
}

int cgroup_v2_make(struct arena *a, const struct cgroup_plan *plan, struct cgroup_dir *d,
		   unsigned need)
{
	const char *mount = mount_of(d->path);
	const char *name = d->path + (mount ? strlen(mount) : 0);
	auto_fd dir = -1;
	bool there = false, top = true;
	char *part;
	size_t n;
	int next, ret;

	if (!mount)
		return fail(ENOENT, "no version 2 cgroup file system is mounted above %s", d->path);
	dir = open(mount, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return fail_errno("open %s", mount);
	for (name += strspn(name, "/"); *name; name += n, name += strspn(name, "/")) {
		n = strcspn(name, "/");
		part = arena_strndup(a, name, n);
		if (need)
			enable_in(dir, need);
		there = mkdirat(dir, part, 0755) < 0;
		if (there && errno != EEXIST)
			return fail_errno("make the cgroup %s", d->path);
		next = openat(dir, part, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return fail_errno("open the cgroup %s", d->path);
		fd_close(dir);
		dir = next;
		if (!there && !name[n])
			d->made = d->path;
		/* right below the top it can't be other than a domain */
		ret = there || top ? 0 : fix_type(dir, d->path, &plan->limits);
		top = false;
		if (ret)
			return ret;
	}
	return !there || plan->manager == CGROUP_SYSTEMD ? 0 : cgroup_check_empty(a, d->path);
}

/* cgroup.events is polled: the kernel tells when "frozen" changes. */
static int wait_frozen(int dir, uint64_t want)
{
	auto_fd events = openat(dir, "cgroup.events", O_RDONLY | O_CLOEXEC);
	struct pollfd p = { .fd = events, .events = POLLPRI };
	int64_t end = cgroup_now() + FREEZE_MS, left;
	uint64_t is;
	char buf[256];
	ssize_t n;

	if (events < 0)
		return -errno;
	for (;;) {
		n = pread(events, buf, sizeof(buf) - 1, 0);
		if (n < 0)
			return -errno;
		buf[n] = '\0';
		if (!cgroup_line_value(buf, "frozen", &is))
			return -ENOTSUP;
		if (is == want)
			return 0;
		left = end - cgroup_now();
		if (left <= 0)
			return -ETIMEDOUT;
		if (poll(&p, 1, (int)left) < 0 && errno != EINTR)
			return -errno;
	}
}

int cgroup_v2_freeze(const char *path, bool frozen)
{
	auto_fd dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int ret;

	if (dir < 0)
		return fail_errno("open the cgroup %s", path);
	ret = fd_put(dir, "cgroup.freeze", frozen ? "1" : "0");
	/* a cgroup above may be frozen too: only freezing is waited for */
	if (!ret && frozen)
		ret = wait_frozen(dir, 1);
	if (!ret)
		return 0;
	if (frozen)
		fd_put(dir, "cgroup.freeze", "0");
	return fail(-ret, "%s %s/cgroup.freeze: %s", frozen ? "freeze by" : "thaw by", path,
		    ret == -ETIMEDOUT ? "some process did not stop within 10 s" : err_reason(-ret));
}

/* Frozen by itself, also while a signal moves one of its processes for a moment, or by one
 * above. */
int cgroup_v2_is_frozen(const char *path)
{
	auto_fd dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	uint64_t frozen;
	char buf[256];
	ssize_t n;

	if (dir < 0)
		return errno == ENOENT ? 0 : fail_errno("open the cgroup %s", path);
	n = cgroup_read(dir, "cgroup.freeze", buf, sizeof(buf));
	if (n > 0 && buf[0] == '1')
		return 1;
	if (n >= 0)
		n = cgroup_read(dir, "cgroup.events", buf, sizeof(buf));
	if (n == -ENOENT || n == -ENODEV)
		return 0;
	if (n < 0)
		return fail((int)-n, "read %s/cgroup.events: %s", path, err_reason((int)-n));
	return cgroup_line_value(buf, "frozen", &frozen) && frozen;
}

int cgroup_v2_delegate(struct arena *a, const char *path, int64_t uid)
{
	static const char usual[] = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads\n";
	auto_fd dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char list[4096];
	char *name;
	size_t n;

	if (dir < 0)
		return fail_errno("open the cgroup %s", path);
	if (cgroup_read(AT_FDCWD, "/sys/kernel/cgroup/delegate", list, sizeof(list)) < 0)
		memcpy(list, usual, sizeof(usual));
	if (fchown(dir, (uid_t)uid, (gid_t)-1) < 0)
		return fail_errno("give the cgroup %s to user %lld", path, (long long)uid);
	for (const char *p = list; *p; p += n + (p[n] == '\n')) {
		n = strcspn(p, "\n");
		name = arena_strndup(a, p, n);
		if (n && fchownat(dir, name, (uid_t)uid, (gid_t)-1, AT_SYMLINK_NOFOLLOW) < 0 &&
		    errno != ENOENT)
			return fail_errno("give %s/%s to user %lld", path, name, (long long)uid);
	}
	return 0;
}
