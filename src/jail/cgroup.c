/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

ssize_t cgroup_read(int dir, const char *name, char *buf, size_t size)
{
	auto_fd fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = read(fd, buf, size - 1);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	return n;
}

bool cgroup_line_value(const char *text, const char *key, uint64_t *out)
{
	size_t n = strlen(key);

	for (const char *p = text; p && *p; p = strchr(p, '\n'), p = p ? p + 1 : NULL) {
		if (strncmp(p, key, n) != 0 || p[n] != ' ')
			continue;
		*out = strtoull(p + n + 1, NULL, 10);
		return true;
	}
	return false;
}

bool cgroup_read_u64(int dir, const char *name, uint64_t *out)
{
	char buf[64];

	if (cgroup_read(dir, name, buf, sizeof(buf)) <= 0)
		return false;
	buf[strcspn(buf, "\n")] = '\0';
	if (strcmp(buf, "max") == 0)
		*out = UINT64_MAX;
	else if (num_u64(buf, 0, UINT64_MAX, out))
		return false;
	if (*out > INT64_MAX)
		*out = UINT64_MAX;
	return true;
}

int64_t cgroup_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void cgroup_sleep(long microseconds)
{
	struct timespec t = { microseconds / 1000000, microseconds % 1000000 * 1000 };

	nanosleep(&t, NULL);
}

const struct cgroup_dir *cgroup_find_v2(const struct cgroup *cg)
{
	for (size_t i = 0; i < cg->n; i++)
		if (cgroup_dir_v2(&cg->dirs[i]))
			return &cg->dirs[i];
	return NULL;
}

static const struct cgroup_dir *find_v1(const struct cgroup *cg, enum cgroup_ctl ctl)
{
	const char *name = cgroup_ctl_names[ctl].v1;

	for (size_t i = 0; name && i < cg->n; i++)
		if (cgroup_host_lists(cg->dirs[i].controllers, name))
			return &cg->dirs[i];
	return NULL;
}

const struct cgroup_dir *cgroup_find(const struct cgroup *cg, enum cgroup_ctl ctl)
{
	const struct cgroup_dir *d = find_v1(cg, ctl);

	return d || !cgroup_ctl_names[ctl].v2 ? d : cgroup_find_v2(cg);
}

/*
 * Something is there before us. Whoever is inside must not become ours to kill, not even if we die
 * between here and create: then the answer has no directories.
 */
static int check_old(struct arena *a, struct cgroup *cg)
{
	pid_t *pids;
	size_t n = 0;
	int ret = 0;

	for (size_t i = 0; !ret && !n && i < cg->n; i++) {
		ret = cgroup_tree_pids(a, cg->dirs[i].path, &pids, &n);
		if (n)
			cg->taken = cg->dirs[i].path;
		if (access(cg->dirs[i].path, F_OK) == 0)
			cg->dirs[i].made = NULL;
	}
	if (cg->taken)
		cg->n = 0;
	return ret;
}

int cgroup_locate(struct arena *a, const struct cgroup_plan *plan, struct cgroup *out)
{
	static const struct cgroup_trees none;
	const struct cgroup_trees *trees = &none;
	struct cgroup cg = { 0 };
	int ret;

	if (plan->manager != CGROUP_DISABLED)
		trees = cgroup_host_trees();
	if (!trees)
		return -err_last()->code;
	ret = cgroup_path_locate(a, trees, plan, &cg);
	if (!ret && cg.manager == CGROUP_FS && cg.n && access(cg.dirs[0].path, F_OK) == 0)
		ret = check_old(a, &cg);
	if (!ret)
		*out = cg;
	return ret;
}

/* Every controller is written the way of version 1 there, but those that only version 2 has. */
unsigned cgroup_v1_mask(const struct cgroup *cg)
{
	const struct cgroup_dir *v2 = cgroup_find_v2(cg);
	char path[PATH_MAX], list[512] = "";
	unsigned mask = 0;
	bool pure = true;

	for (size_t i = 0; i < cg->n; i++)
		pure = pure && cgroup_dir_v2(&cg->dirs[i]);
	if (pure)
		return 0;
	if (v2 && snprintf(path, sizeof(path), "%.*s/cgroup.controllers",
			   (int)(strrchr(v2->path, '/') - v2->path), v2->path) < (int)sizeof(path))
		cgroup_read(AT_FDCWD, path, list, sizeof(list));
	for (char *p = list; *p; p++)
		if (*p == ' ' || *p == '\n')
			*p = ',';
	for (unsigned i = 0; i < CTL_COUNT; i++)
		if (!cgroup_ctl_names[i].v2 || find_v1(cg, i) ||
		    !cgroup_host_lists(list, cgroup_ctl_names[i].v2))
			mask |= 1u << i;
	return mask;
}

static int make_v2(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg,
		   const struct cgroup_writes *w, unsigned v1)
{
	unsigned need = 0;
	int ret = 0;

	for (size_t i = 0; i < w->n; i++)
		need |= 1u << w->v[i].ctl & ~v1;
	for (size_t i = 0; !ret && i < cg->n; i++)
		if (cgroup_dir_v2(&cg->dirs[i]))
			ret = cgroup_v2_make(a, plan, &cg->dirs[i], v1 ? need : CGROUP_NEED_ALL);
	return ret;
}

/* A cgroup that was left behind frozen would hold the new process for ever. */
static int check_thawed(const struct cgroup *cg)
{
	bool old = false;
	int frozen;

	for (size_t i = 0; i < cg->n; i++)
		old = old || !cg->dirs[i].made;
	frozen = old ? cgroup_is_frozen(cg) : 0;
	if (frozen <= 0)
		return frozen;
	return fail(EBUSY, "the cgroup %s was there before and is frozen: thaw or remove it",
		    cg->dirs[0].path);
}

static int apply_devices(struct arena *a, const struct cgroup_plan *plan, const struct cgroup *cg)
{
	const struct cgroup_dir *d = find_v1(cg, CTL_DEVICES);
	int ret;

	if (!plan->limits.has_devices)
		return 0;
	if (d) {
		ret = cgroup_device_apply_v1(a, d->path, &plan->limits);
	} else {
		d = cgroup_find_v2(cg);
		if (!d)
			ret = fail(ENOTSUP, "linux.resources.devices: no devices cgroup controller "
					    "is mounted here");
		else /* systemd's own program stays beside ours */
			ret = cgroup_device_apply_v2(a, d->path, &plan->limits,
						     !d->made && plan->manager == CGROUP_FS);
	}
	return plan->rootless ? 0 : ret;
}

static int build(struct arena *a, const struct cgroup_plan *plan, const struct cgroup *cg,
		 struct cgroup_writes *out, unsigned *out_v1)
{
	struct cgroup_limits_context context = { .v1 = cgroup_v1_mask(cg), .cpu_quota = -1 };

	*out_v1 = context.v1;
	return cgroup_limits_build(a, &plan->limits, &context, out);
}

static int fill(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg)
{
	struct cgroup_writes w;
	unsigned v1;
	int ret = build(a, plan, cg, &w, &v1);

	return ret ? ret : make_v2(a, plan, cg, &w, v1);
}

/* What was there before may be somebody's, and is none of the container's. */
static void keep_made(struct cgroup *cg)
{
	size_t n = 0;

	for (size_t i = 0; i < cg->n; i++)
		if (cg->dirs[i].made)
			cg->dirs[n++] = cg->dirs[i];
	cg->n = n;
}

int cgroup_make_v1(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg)
{
	int ret = 0;

	for (size_t i = 0; !ret && i < cg->n; i++)
		if (!cgroup_dir_v2(&cg->dirs[i]))
			ret = cgroup_v1_make(a, plan, &cg->dirs[i]);
	if (!ret)
		ret = check_thawed(cg);
	if (ret)
		keep_made(cg);
	return ret;
}

int cgroup_limit(struct arena *a, const struct cgroup_plan *plan, const struct cgroup *cg)
{
	const struct cgroup_dir *v2 = cgroup_find_v2(cg);
	struct cgroup_writes w;
	unsigned v1;
	int ret = cg->n ? build(a, plan, cg, &w, &v1) : 0;

	if (ret || !cg->n)
		return ret;
	ret = cgroup_write_all(cg, &w);
	if (!ret)
		ret = cgroup_write_unified(a, cg, &plan->limits);
	if (!ret)
		ret = apply_devices(a, plan, cg);
	if (!ret && v2 && plan->delegate_uid >= 0)
		ret = cgroup_v2_delegate(a, v2->path, plan->delegate_uid);
	return ret;
}

/*
 * A scope must have a process from the start, and the container's does not exist yet: this one
 * waits in it until the container's has entered.
 */
static int keep_scope(struct cgroup *cg)
{
	pid_t parent = getpid();
	sigset_t all, old;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, &old);
	cg->keeper = fork();
	if (cg->keeper == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		while (getppid() == parent)
			pause();
		_exit(0);
	}
	sigprocmask(SIG_SETMASK, &old, NULL);
	if (cg->keeper > 0)
		return 0;
	cg->keeper = 0;
	return fail_errno("start a process to hold the scope %s open", cg->scope);
}

void cgroup_settle(struct cgroup *cg)
{
	if (cg->keeper <= 0)
		return;
	kill(cg->keeper, SIGKILL);
	while (waitpid(cg->keeper, NULL, 0) < 0 && errno == EINTR)
		;
	cg->keeper = 0;
}

static int start_scope(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg,
		       pid_t *pid)
{
	int ret = *pid ? 0 : keep_scope(cg);

	if (ret)
		return ret;
	if (!*pid)
		*pid = cg->keeper;
	return cgroup_systemd_start(a, plan, cg, *pid);
}

/* The first process goes below the scope, so that the scope may hand controllers down. */
static int move_down(struct arena *a, const struct cgroup_plan *plan, const struct cgroup *cg,
		     pid_t pid)
{
	const struct cgroup_dir *v2 = cgroup_find_v2(cg);
	struct cgroup leaf = { .n = 1 };
	struct cgroup_entry e;
	int ret;

	if (!v2 || str_ends(v2->path, cg->scope))
		return 0;
	leaf.dirs[0] = *v2;
	ret = cgroup_v2_make(a, plan, &leaf.dirs[0], 0);
	if (!ret)
		ret = cgroup_entry_open(&leaf, NULL, &e);
	if (ret)
		return ret;
	ret = cgroup_entry_attach_v2(&e, pid);
	cgroup_entry_close(&e);
	return ret;
}

/* Takes back what was made, and nothing else. */
static void undo(struct arena *a, struct cgroup *cg, bool started)
{
	struct err why = *err_last();

	cgroup_settle(cg);
	if (!started)
		cg->scope = NULL;
	keep_made(cg);
	cgroup_destroy(a, cg);
	cg->n = 0;
	cg->scope = NULL;
	err_set(&why);
}

int cgroup_make(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg, pid_t pid)
{
	bool started = false;
	int ret = 0;

	if (cg->taken)
		return cgroup_fail_taken(cg->taken);
	if (!cg->n)
		return 0;
	for (size_t i = 0; i < cg->n; i++)
		cg->dirs[i].made = NULL;
	if (cg->manager == CGROUP_SYSTEMD) {
		ret = start_scope(a, plan, cg, &pid);
		started = ret == 0;
		if (!ret)
			ret = move_down(a, plan, cg, pid);
	}
	if (!ret)
		ret = fill(a, plan, cg);
	if (ret)
		undo(a, cg, started);
	return ret;
}

int cgroup_create(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg, pid_t pid)
{
	int ret = cgroup_make(a, plan, cg, pid);

	if (ret)
		return ret;
	ret = cgroup_make_v1(a, plan, cg);
	if (!ret)
		ret = cgroup_limit(a, plan, cg);
	if (ret)
		undo(a, cg, cg->manager == CGROUP_SYSTEMD);
	return ret;
}

int cgroup_freeze(const struct cgroup *cg, bool frozen)
{
	const struct cgroup_dir *d = find_v1(cg, CTL_FREEZER);

	if (d)
		return cgroup_v1_freeze(d->path, frozen);
	d = cgroup_find_v2(cg);
	if (d)
		return cgroup_v2_freeze(d->path, frozen);
	return fail(ENOTSUP, "%s needs a freezer cgroup, and the container has none",
		    frozen ? "pause" : "resume");
}

int cgroup_is_frozen(const struct cgroup *cg)
{
	const struct cgroup_dir *d = find_v1(cg, CTL_FREEZER);

	if (d)
		return cgroup_v1_is_frozen(d->path);
	d = cgroup_find_v2(cg);
	return d ? cgroup_v2_is_frozen(d->path) : 0;
}
