/* SPDX-License-Identifier: Apache-2.0 */
/* Signals to all of a container, and its cgroup's removal. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/cgroup_priv.h"

#define DESTROY_MS 10000
#define PASSES 16 /* over a cgroup that can't be frozen and forks meanwhile */

/* The hierarchy that is asked for processes: any has them all. The freezer's are those we stop. */
static const struct cgroup_dir *members(const struct cgroup *cg)
{
	const struct cgroup_dir *d = cgroup_find(cg, CTL_FREEZER);

	if (!d)
		d = cgroup_find_v2(cg);
	if (!d && cg->n)
		d = &cg->dirs[0];
	return d;
}

int cgroup_pids(struct arena *a, const struct cgroup *cg, pid_t **out, size_t *out_n)
{
	const struct cgroup_dir *d = members(cg);

	if (d)
		return cgroup_tree_pids(a, d->path, out, out_n);
	*out = NULL;
	*out_n = 0;
	return 0;
}

static int signal_once(const struct cgroup *cg, int sig, size_t *out_n)
{
	auto_arena a = arena_new();
	pid_t *pids;
	size_t n;
	int ret = cgroup_pids(a, cg, &pids, &n);

	if (ret)
		return ret;
	for (size_t i = 0; i < n; i++) {
		if (pids[i] == getpid())
			continue;
		if (kill(pids[i], sig) < 0 && errno != ESRCH)
			ret = fail_errno("send signal %d to process %d", sig, pids[i]);
	}
	*out_n = n;
	return ret;
}

/* Nothing stops them from forking: until a pass finds no more than the one before it. */
static int signal_running(const struct cgroup *cg, int sig)
{
	size_t n = 0, before;
	int ret;

	ret = signal_once(cg, sig, &n);
	for (int i = 1; !ret && n && sig == SIGKILL && i < PASSES; i++) {
		before = n;
		cgroup_sleep(200);
		ret = signal_once(cg, sig, &n);
		if (n >= before && i > 2)
			break;
	}
	return ret;
}

static int signal_frozen(const struct cgroup *cg, int sig)
{
	bool can_freeze = cgroup_find(cg, CTL_FREEZER) || cgroup_find_v2(cg);
	int was = can_freeze ? cgroup_is_frozen(cg) : 0;
	int ret, thawed = 0;
	size_t n;

	if (was == 0 && (!can_freeze || cgroup_freeze(cg, true)))
		return signal_running(cg, sig);
	ret = signal_once(cg, sig, &n);
	/* a paused container stays paused, but the dead are let go */
	if (was <= 0 || sig == SIGKILL)
		thawed = cgroup_freeze(cg, false);
	return ret ? ret : thawed;
}

int cgroup_kill(const struct cgroup *cg, int sig)
{
	const struct cgroup_dir *freezer = cgroup_find(cg, CTL_FREEZER);
	const struct cgroup_dir *v2 = cgroup_find_v2(cg);
	char path[PATH_MAX];

	if (!cg->n || access(members(cg)->path, F_OK) < 0)
		return 0;
	/*
	 * Linux 6.18 (seen) kills whatever is cloned into a cgroup in which cgroup.kill was
	 * used there: not for one that outlives this container.
	 */
	if (sig != SIGKILL || !v2 || !v2->made ||
	    snprintf(path, sizeof(path), "%s/cgroup.kill", v2->path) >= (int)sizeof(path) ||
	    fd_put(AT_FDCWD, path, "1"))
		return signal_frozen(cg, sig);
	/* the freezer of version 1 keeps even the dead */
	if (freezer && cgroup_v1_is_frozen(freezer->path) > 0)
		return cgroup_v1_freeze(freezer->path, false);
	return 0;
}

/* 1 if something is still in the way, naming it; 0; -errno for what waiting does not change. */
static int remove_dirs(const struct cgroup *cg, const struct cgroup_dir **out_busy)
{
	const struct cgroup_dir *d;
	auto_arena a = NULL;
	pid_t *pids;
	size_t n;
	int ret, busy = 0;

	for (size_t i = 0; i < cg->n; i++) {
		d = &cg->dirs[i];
		n = 0;
		if (d->made) {
			ret = cgroup_tree_remove(d->path, true);
		} else {
			a = a ? a : arena_new();
			ret = cgroup_tree_pids(a, d->path, &pids, &n);
		}
		if (ret && ret != -EBUSY && ret != -ENOTEMPTY)
			return d->made ? fail(-ret, "remove the cgroup %s: %s", d->path,
					      err_reason(-ret))
				       : ret;
		if (ret || n) {
			*out_busy = d;
			busy = 1;
		}
	}
	return busy;
}

static int remove_patiently(const struct cgroup *cg)
{
	int64_t end = cgroup_now() + DESTROY_MS;
	const struct cgroup_dir *busy = NULL;
	long pause = 200;
	int ret;

	for (;;) {
		ret = remove_dirs(cg, &busy);
		if (ret <= 0)
			return ret;
		if (cgroup_now() > end)
			return fail(EBUSY,
				    "the cgroup %s is still in use after %d s: see its "
				    "cgroup.procs, and those below it",
				    busy->path, DESTROY_MS / 1000);
		ret = cgroup_kill(cg, SIGKILL);
		if (ret == -EPERM || ret == -EACCES)
			return ret;
		cgroup_sleep(pause);
		pause = pause < 50000 ? pause * 2 : pause;
	}
}

int cgroup_destroy(struct arena *a, const struct cgroup *cg)
{
	struct err why = { 0 };
	int ret, stopped = 0;

	(void)a;
	if (!cg->n && !cg->scope)
		return 0;
	ret = remove_patiently(cg);
	if (cg->manager != CGROUP_SYSTEMD)
		return ret;
	if (ret)
		why = *err_last();
	stopped = cgroup_systemd_stop(cg);
	if (ret)
		err_set(&why);
	return ret ? ret : stopped;
}
