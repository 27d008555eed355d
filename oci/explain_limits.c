/* SPDX-License-Identifier: Apache-2.0 */
/* linux.resources: who counts, and what this host has no controller for. */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/explain.h"
#include "sandbox.h"

#define R "linux.resources."

/* Where a container's cgroup will be, or why there is none. */
struct place {
	struct arena *a;
	struct cgroup cg;
	const char *none; /* NULL: there is one */
	const char *v2;   /* the controllers of version 2 there */
};

enum unit { PLAIN, BYTES, MICROSECONDS };

static const struct {
	const char *where;
	size_t at; /* struct opt_i64 of struct cgroup_limits */
	const char *v1, *v2;
	enum unit unit;
	const char *what;
} limits[] = {
#define ROW(place, member, v1, v2, unit, what)                                      \
	{                                                                           \
		R place, offsetof(struct cgroup_limits, member), v1, v2, unit, what \
	}
	ROW("memory.limit", memory, "memory", "memory", BYTES, "at most"),
	ROW("memory.reservation", memory_reservation, "memory", "memory", BYTES,
	    "reclaimed first above"),
	ROW("memory.swap", memory_swap, "memory", "memory", BYTES, "with swap at most"),
	ROW("memory.swappiness", swappiness, "memory", NULL, PLAIN, "swappiness"),
	ROW("memory.disableOOMKiller", disable_oom_killer, "memory", NULL, PLAIN,
	    "waits instead of being killed:"),
	ROW("memory.kernel", kernel_memory, NULL, NULL, BYTES, "kernel memory at most"),
	ROW("memory.kernelTCP", kernel_memory_tcp, NULL, NULL, BYTES, "TCP memory at most"),
	ROW("cpu.shares", cpu_shares, "cpu", "cpu", PLAIN, "shares of the time"),
	ROW("cpu.quota", cpu_quota, "cpu", "cpu", MICROSECONDS, "time in a period at most"),
	ROW("cpu.period", cpu_period, "cpu", "cpu", MICROSECONDS, "the period"),
	ROW("cpu.burst", cpu_burst, "cpu", "cpu", MICROSECONDS, "saved up at most"),
	ROW("cpu.idle", cpu_idle, "cpu", "cpu", PLAIN, "runs when nobody else does:"),
	ROW("cpu.realtimeRuntime", cpu_rt_runtime, "cpu", NULL, MICROSECONDS, "real-time at most"),
	ROW("cpu.realtimePeriod", cpu_rt_period, "cpu", NULL, MICROSECONDS, "real-time period"),
	ROW("pids.limit", pids, "pids", "pids", PLAIN, "processes and threads at most"),
	ROW("blockIO.weight", blk_weight, "blkio", "io", PLAIN, "weight"),
	ROW("blockIO.leafWeight", blk_leaf_weight, "blkio", NULL, PLAIN, "weight of its own"),
	ROW("network.classID", net_class, "net_cls", NULL, PLAIN, "class of its packets"),
#undef ROW
};

/* Lists of which each entry is a limit of its own. */
static const struct {
	const char *where;
	size_t at; /* size_t of struct cgroup_limits: how many */
	const char *v1, *v2, *what;
} lists[] = {
#define ROW(place, member, v1, v2, what)                                      \
	{                                                                     \
		R place, offsetof(struct cgroup_limits, member), v1, v2, what \
	}
	ROW("blockIO.weightDevice", n_blk_devices, "blkio", "io", "device weights"),
	ROW("blockIO.throttleReadBpsDevice", n_blk_rates[BLK_READ_BPS], "blkio", "io", "limits"),
	ROW("blockIO.throttleWriteBpsDevice", n_blk_rates[BLK_WRITE_BPS], "blkio", "io", "limits"),
	ROW("blockIO.throttleReadIOPSDevice", n_blk_rates[BLK_READ_IOPS], "blkio", "io", "limits"),
	ROW("blockIO.throttleWriteIOPSDevice", n_blk_rates[BLK_WRITE_IOPS], "blkio", "io",
	    "limits"),
	ROW("hugepageLimits", n_hugepages, "hugetlb", "hugetlb", "limits"),
	ROW("network.priorities", n_net_priorities, "net_prio", NULL, "priorities"),
	ROW("rdma", n_rdma, "rdma", "rdma", "limits"),
#undef ROW
};

static bool lists_word(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; *p; p += strspn(p, ", \n")) {
		size_t len = strcspn(p, ", \n");

		if (len == n && strncmp(p, word, n) == 0)
			return true;
		p += len;
	}
	return false;
}

/* The controllers a cgroup at this path could have: those of the nearest that is there. */
static const char *v2_controllers(struct arena *a, const char *path)
{
	char *up = arena_strdup(a, path), *slash, *list;

	while ((slash = strrchr(up, '/')) && slash != up) {
		*slash = '\0';
		if (fd_read_file(AT_FDCWD, arena_printf(a, "%s/cgroup.controllers", up), a, 4096,
				 &list, NULL) == 0)
			return list;
	}
	err_clear();
	return "";
}

static void find_place(struct explain_list *l, struct place *p)
{
	*p = (struct place){ .a = l->e->a, .v2 = "" };
	if (cgroup_locate(p->a, &l->e->sb->cgroup, &p->cg)) {
		p->none = arena_strdup(p->a, err_last()->text);
		err_clear();
		return;
	}
	if (!p->cg.n)
		p->none = l->e->sb->cgroup.manager == CGROUP_DISABLED
				  ? "the manager of cgroups is \"disabled\""
				  : "this user may make no cgroup";
	for (size_t i = 0; i < p->cg.n; i++)
		if (!*p->cg.dirs[i].controllers)
			p->v2 = v2_controllers(p->a, p->cg.dirs[i].path);
}

/* NULL where a controller is there for it, else what is wrong. */
static const char *lack(const struct place *p, const char *v1, const char *v2)
{
	if (p->none)
		return arena_printf(p->a, "no cgroup: %s", p->none);
	if (!v1)
		return "kernels since 5.4 have no such limit";
	for (size_t i = 0; i < p->cg.n; i++)
		if (lists_word(p->cg.dirs[i].controllers, v1))
			return NULL;
	if (v2 && lists_word(p->v2, v2))
		return NULL;
	return arena_printf(p->a, "this host has no %s controller%s", v2 ? v2 : v1,
			    v2 ? "" : ", nor has version 2 such a limit");
}

static const char *amount(struct arena *a, int64_t v, enum unit unit)
{
	static const char *const big[] = { "", " KiB", " MiB", " GiB", " TiB" };
	size_t i = 0;

	if (v < 0)
		return "unlimited";
	if (unit == MICROSECONDS)
		return arena_printf(a, "%lld us", (long long)v);
	for (; unit == BYTES && v && v % 1024 == 0 && i < 4; i++)
		v /= 1024;
	return arena_printf(a, "%lld%s", (long long)v, unit == BYTES && !i ? " bytes" : big[i]);
}

static void add_device_rules(struct explain_list *l, const struct place *p)
{
	const struct cgroup_limits *c = &l->e->sb->cgroup.limits;
	const char *missing = lack(p, "devices", NULL);

	if (!c->has_devices)
		return;
	for (size_t i = 0; missing && i < p->cg.n; i++)
		if (!*p->cg.dirs[i].controllers)
			missing = geteuid() ? "a device program of version 2 takes root" : NULL;
	explain_add(l, R "devices", 1u << KEPT_CGROUP,
		    "%zu rule%s, then those every container gets (null, zero, tty, ...)",
		    c->n_devices, c->n_devices == 1 ? "" : "s")
		->missing = missing;
}

void explain_add_limits(struct explain_list *l)
{
	const struct cgroup_limits *c = &l->e->sb->cgroup.limits;
	const unsigned kept = 1u << KEPT_CGROUP;
	struct place p;

	find_place(l, &p);
	explain_add(l, "linux.cgroupsPath", p.none ? 0 : kept, "%s",
		    p.none ? arena_printf(p.a, "none: %s", p.none) : p.cg.dirs[0].path);
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		const struct opt_i64 *v = (const struct opt_i64 *)((const char *)c + limits[i].at);

		if (v->set)
			explain_add(l, limits[i].where, kept, "%s %s", limits[i].what,
				    amount(p.a, v->v, limits[i].unit))
				->missing = lack(&p, limits[i].v1, limits[i].v2);
	}
	if (c->cpus && *c->cpus)
		explain_add(l, R "cpu.cpus", kept, "runs on %s", c->cpus)->missing =
			lack(&p, "cpuset", "cpuset");
	if (c->mems && *c->mems)
		explain_add(l, R "cpu.mems", kept, "memory of node %s", c->mems)->missing =
			lack(&p, "cpuset", "cpuset");
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		size_t n = *(const size_t *)((const char *)c + lists[i].at);

		if (n)
			explain_add(l, lists[i].where, kept, "%zu %s", n, lists[i].what)->missing =
				lack(&p, lists[i].v1, lists[i].v2);
	}
	for (size_t i = 0; i < c->n_unified; i++)
		explain_add(l, arena_printf(p.a, R "unified.%s", c->unified[i].key), kept, "%s",
			    c->unified[i].value)
			->missing = p.none ? arena_printf(p.a, "no cgroup: %s", p.none) : NULL;
	add_device_rules(l, &p);
}
