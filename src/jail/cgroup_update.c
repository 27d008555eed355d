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
#include "base/mem.h"
#include "jail/cgroup_priv.h"

/* What an update converts from: the values that are not given again. */
static int current_values(const struct cgroup *cg, const struct cgroup_limits *l,
			  struct cgroup_limits_context *c)
{
	const struct cgroup_dir *d = cgroup_find_v2(cg);
	auto_fd dir = -1;
	char buf[64];
	uint64_t v;

	c->v1 = cgroup_v1_mask(cg);
	c->update = true;
	c->cpu_quota = -1;
	if (!d)
		return 0;
	dir = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return fail_errno("open the cgroup %s", d->path);
	if (cgroup_read_u64(dir, "memory.max", &v))
		c->memory = v == UINT64_MAX ? -1 : (int64_t)v;
	if (cgroup_read(dir, "cpu.max", buf, sizeof(buf)) > 0) {
		c->cpu_quota = buf[0] == 'm' ? -1 : strtoll(buf, NULL, 10);
		c->cpu_period = strtoll(buf + strcspn(buf, " \n"), NULL, 10);
	}
	if (!(c->v1 & 1u << CTL_MEMORY) && l->memory_swap.set && l->memory_swap.v > 0 &&
	    !(l->memory.set && l->memory.v) && (c->memory <= 0 || c->memory > l->memory_swap.v))
		return fail(EINVAL,
			    "linux.resources.memory.swap: %lld is memory and swap together and "
			    "can't be less than the memory limit in effect",
			    (long long)l->memory_swap.v);
	return 0;
}

/* memory.checkBeforeUpdate: rather no update than one that kills. */
static int check_usage(const struct cgroup *cg, const struct cgroup_limits *l)
{
	const struct cgroup_dir *d = cgroup_find(cg, CTL_MEMORY);
	char path[PATH_MAX];
	uint64_t usage;

	if (!l->check_before_update.set || !l->check_before_update.v || !d || !l->memory.set ||
	    l->memory.v <= 0)
		return 0;
	if (snprintf(path, sizeof(path), "%s/%s", d->path,
		     cgroup_dir_v2(d) ? "memory.current" : "memory.usage_in_bytes") >=
	    (int)sizeof(path))
		return fail(ENAMETOOLONG, "read the memory in use by %s", d->path);
	if (!cgroup_read_u64(AT_FDCWD, path, &usage))
		return fail(EIO, "linux.resources.memory.checkBeforeUpdate: can't read %s", path);
	if (usage <= (uint64_t)l->memory.v)
		return 0;
	return fail(EBUSY,
		    "linux.resources.memory.limit: %lld is less than the %llu in use, and "
		    "checkBeforeUpdate is set",
		    (long long)l->memory.v, (unsigned long long)usage);
}

/* systemd has one property for what is two files, and so wants the value that stays as well. */
static int update_scope(struct arena *a, const struct cgroup *cg, struct cgroup_limits l,
			const struct cgroup_limits_context *context)
{
	const struct cgroup_dir *d = cgroup_find(cg, CTL_CPU);
	int64_t quota = context->cpu_quota, period = 0;
	uint64_t v;

	if (d && cgroup_dir_v2(d))
		period = context->cpu_period;
	else if (d) {
		if (cgroup_read_u64(AT_FDCWD, arena_printf(a, "%s/cpu.cfs_quota_us", d->path), &v))
			quota = (int64_t)v;
		if (cgroup_read_u64(AT_FDCWD, arena_printf(a, "%s/cpu.cfs_period_us", d->path), &v))
			period = (int64_t)v;
	}
	if (l.cpu_quota.set && !l.cpu_period.set)
		l.cpu_period = (struct opt_i64){ true, period };
	else if (l.cpu_period.set && !l.cpu_quota.set)
		l.cpu_quota = (struct opt_i64){ true, quota };
	if (l.memory_swap.set && !(l.memory.set && l.memory.v) && context->memory)
		l.memory = (struct opt_i64){ true, context->memory };
	return cgroup_systemd_update(a, cg, &l);
}

int cgroup_update(struct arena *a, struct cgroup *cg, const struct cgroup_limits *limits)
{
	struct cgroup_limits_context context = { 0 };
	struct cgroup_limits l = *limits;
	struct cgroup_writes w;
	int ret;

	if (!cg->n)
		return cgroup_limits_any(&l)
			       ? fail(ENOTSUP, "linux.resources: the container has no cgroup to "
					       "limit it by")
			       : 0;
	ret = current_values(cg, &l, &context);
	/* swap without memory is measured against the limit in effect */
	if (!ret && !(l.memory.set && l.memory.v))
		l.memory_swap.set = false;
	if (!ret)
		ret = cgroup_limits_check(&l, context.v1 == 0);
	l.memory_swap = limits->memory_swap;
	if (!ret)
		ret = check_usage(cg, &l);
	if (!ret)
		ret = cgroup_limits_build(a, &l, &context, &w);
	if (!ret && cg->manager == CGROUP_SYSTEMD)
		ret = update_scope(a, cg, l, &context);
	if (!ret)
		ret = cgroup_write_all(cg, &w);
	return ret ? ret : cgroup_write_unified(a, cg, &l);
}
