/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"
#include "lib/tap.h"

#define SET(x)            \
	{                 \
		true, (x) \
	}

static const struct cgroup_limits_context v1 = { .v1 = ~0u, .cpu_quota = -1 };
static const struct cgroup_limits_context v2 = { .v1 = 0, .cpu_quota = -1 };

/* "file=text;" for every write, "?" behind an optional one, "|file=text" for the alternative */
static const char *listing(struct arena *a, const struct cgroup_limits *l,
			   const struct cgroup_limits_context *c)
{
	char *buf = arena_alloc(a, 4096);
	struct str s = { .buf = buf, .size = 4096 };
	struct cgroup_writes w;

	if (cgroup_limits_build(a, l, c, &w))
		return err_last()->text;
	for (size_t i = 0; i < w.n; i++) {
		str_addf(&s, "%s=%s", w.v[i].file, w.v[i].text);
		if (w.v[i].alt_file)
			str_addf(&s, "|%s=%s", w.v[i].alt_file, w.v[i].alt_text);
		str_add(&s, w.v[i].flags & WRITE_OPTIONAL ? "?;" : ";");
	}
	return buf;
}

static const struct cgroup_hugepage huge[] = { { "2MB", 4096 } };
static const struct cgroup_rdma rdma[] = { { "mlx5_0", SET(3), { 0 } },
					   { "mlx5_1", SET(0), SET(9) } };
static const struct cgroup_priority priorities[] = { { "eth0", 5 }, { "lo", 0 } };
static const struct cgroup_blk_weight blk[] = { { 8, 16, SET(500), SET(300) } };
static const struct cgroup_blk_rate rate[] = { { 8, 0, 1000 } };
static const struct cgroup_blk_rate no_rate[] = { { 8, 0, 0 } };

static const struct {
	const char *name;
	struct cgroup_limits l;
	const char *v1, *v2;
} rows[] = {
	{ "nothing", { .memory = { false, 0 } }, "", "" },
	{ "zeros are absent",
	  { .memory = SET(0),
	    .memory_swap = SET(0),
	    .cpu_shares = SET(0),
	    .cpu_quota = SET(0),
	    .cpu_period = SET(0),
	    .blk_weight = SET(0),
	    .kernel_memory = SET(0),
	    .disable_oom_killer = SET(0),
	    .cpu_rt_runtime = SET(0) },
	  "",
	  "" },
	{ "memory", { .memory = SET(1000) }, "memory.limit_in_bytes=1000;", "memory.max=1000;" },
	{ "memory and swap",
	  { .memory = SET(1000), .memory_swap = SET(1500) },
	  "memory.limit_in_bytes=1000;memory.memsw.limit_in_bytes=1500;",
	  "memory.max=1000;memory.swap.max=500;" },
	{ "no swap",
	  { .memory = SET(1000), .memory_swap = SET(1000) },
	  "memory.limit_in_bytes=1000;memory.memsw.limit_in_bytes=1000;",
	  "memory.max=1000;memory.swap.max=0?;" },
	{ "swap without limit",
	  { .memory = SET(1000), .memory_swap = SET(-1) },
	  "memory.limit_in_bytes=1000;memory.memsw.limit_in_bytes=-1?;",
	  "memory.max=1000;memory.swap.max=max?;" },
	{ "memory without limit takes swap along",
	  { .memory = SET(-1) },
	  "memory.limit_in_bytes=-1;memory.memsw.limit_in_bytes=-1?;",
	  "memory.max=max;memory.swap.max=max?;" },
	{ "reservation",
	  { .memory_reservation = SET(77) },
	  "memory.soft_limit_in_bytes=77;",
	  "memory.low=77;" },
	{ "swappiness 0 is a value", { .swappiness = SET(0) }, "memory.swappiness=0;", "" },
	{ "oom killer", { .disable_oom_killer = SET(1) }, "memory.oom_control=1;", "" },
	{ "shares", { .cpu_shares = SET(1024) }, "cpu.shares=1024;", "cpu.weight=100;" },
	{ "idle has no shares",
	  { .cpu_shares = SET(1024), .cpu_idle = SET(1) },
	  "cpu.idle=1;",
	  "cpu.idle=1;" },
	{ "not idle first, then shares",
	  { .cpu_shares = SET(2), .cpu_idle = SET(0) },
	  "cpu.idle=0;cpu.shares=2;",
	  "cpu.idle=0;cpu.weight=1;" },
	{ "quota", { .cpu_quota = SET(5000) }, "cpu.cfs_quota_us=5000;", "cpu.max=5000 100000;" },
	{ "period", { .cpu_period = SET(5000) }, "cpu.cfs_period_us=5000;", "cpu.max=max 5000;" },
	{ "quota and period",
	  { .cpu_quota = SET(2000), .cpu_period = SET(5000), .cpu_burst = SET(100) },
	  "cpu.cfs_period_us=5000;cpu.cfs_quota_us=2000;cpu.cfs_burst_us=100;",
	  "cpu.max=2000 5000;cpu.max.burst=100;" },
	{ "no quota", { .cpu_quota = SET(-1) }, "cpu.cfs_quota_us=-1;", "cpu.max=max 100000;" },
	{ "realtime",
	  { .cpu_rt_runtime = SET(5) },
	  "cpu.rt_runtime_us=5;",
	  "linux.resources.cpu.realtimeRuntime: version 2 cgroups have no such limit" },
	{ "cpuset",
	  { .cpus = "0-1", .mems = "0" },
	  "cpuset.cpus=0-1;cpuset.mems=0;",
	  "cpuset.cpus=0-1;cpuset.mems=0;" },
	{ "pids", { .pids = SET(33) }, "pids.max=33;", "pids.max=33;" },
	{ "pids 0", { .pids = SET(0) }, "pids.max=1;", "pids.max=1;" },
	{ "pids -1", { .pids = SET(-1) }, "pids.max=max;", "pids.max=max;" },
	{ "weight",
	  { .blk_weight = SET(1000) },
	  "blkio.weight=1000|blkio.bfq.weight=1000;",
	  "io.bfq.weight=1000|io.weight=10000;" },
	{ "weights of a device",
	  { .blk_devices = blk, .n_blk_devices = 1 },
	  "blkio.weight_device=8:16 500|blkio.bfq.weight_device=8:16 500;"
	  "blkio.leaf_weight_device=8:16 300;",
	  "io.bfq.weight=8:16 500|io.weight=8:16 4950;" },
	{ "rates",
	  { .blk_rates = { rate, rate, rate, no_rate }, .n_blk_rates = { 1, 1, 1, 1 } },
	  "blkio.throttle.read_bps_device=8:0 1000;blkio.throttle.write_bps_device=8:0 1000;"
	  "blkio.throttle.read_iops_device=8:0 1000;blkio.throttle.write_iops_device=8:0 0;",
	  "io.max=8:0 rbps=1000;io.max=8:0 wbps=1000;io.max=8:0 riops=1000;io.max=8:0 wiops=max;" },
	{ "huge pages",
	  { .hugepages = huge, .n_hugepages = 1 },
	  "hugetlb.2MB.limit_in_bytes=4096;hugetlb.2MB.rsvd.limit_in_bytes=4096?;",
	  "hugetlb.2MB.max=4096;hugetlb.2MB.rsvd.max=4096?;" },
	{ "network",
	  { .net_class = SET(0x100001), .net_priorities = priorities, .n_net_priorities = 2 },
	  "net_cls.classid=1048577;net_prio.ifpriomap=eth0 5;net_prio.ifpriomap=lo 0;",
	  "" },
	{ "rdma",
	  { .rdma = rdma, .n_rdma = 2 },
	  "rdma.max=mlx5_0 hca_handle=3;rdma.max=mlx5_1 hca_handle=0 hca_object=9;",
	  "rdma.max=mlx5_0 hca_handle=3;rdma.max=mlx5_1 hca_handle=0 hca_object=9;" },
};

static void converts(void)
{
	auto_arena a = arena_new();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		is_str(listing(a, &rows[i].l, &v1), rows[i].v1, "%s, version 1", rows[i].name);
		is_str(listing(a, &rows[i].l, &v2), rows[i].v2, "%s, version 2", rows[i].name);
	}
}

static void updates(void)
{
	struct cgroup_limits_context now = { .update = true, .memory = 1000, .cpu_quota = 7000 };
	auto_arena a = arena_new();

	is_str(listing(a, &(struct cgroup_limits){ .memory_swap = SET(1700) }, &now),
	       "memory.swap.max=700;", "swap over the memory limit in effect");
	is_str(listing(a, &(struct cgroup_limits){ .cpu_quota = SET(5000) }, &now), "cpu.max=5000;",
	       "the kernel keeps the period");
	is_str(listing(a, &(struct cgroup_limits){ .cpu_period = SET(5000) }, &now),
	       "cpu.max=7000 5000;", "the quota in effect is written again");
	is_str(listing(a, &(struct cgroup_limits){ .cpu_quota = SET(-1) }, &now), "cpu.max=max;",
	       "no quota");
}

static void mixes_versions(void)
{
	struct cgroup_limits_context mixed = { .v1 = ~(1u << CTL_HUGETLB) };
	struct cgroup_limits l = { .pids = SET(5), .hugepages = huge, .n_hugepages = 1 };
	auto_arena a = arena_new();

	is_str(listing(a, &l, &mixed),
	       "pids.max=5;hugetlb.2MB.max=4096;hugetlb.2MB.rsvd.max=4096?;",
	       "each controller as it is mounted");
}

/* ceil(10^((log2(s)^2 + 125 log2(s)) / 612 - 7/34)), computed with exact arithmetic elsewhere */
static void weighs(void)
{
	static const struct {
		uint64_t shares, weight;
	} table[] = {
		{ 0, 1 },          { 1, 1 },          { 2, 1 },         { 3, 2 },
		{ 4, 2 },          { 10, 4 },         { 16, 5 },        { 64, 12 },
		{ 100, 17 },       { 256, 35 },       { 512, 59 },      { 1000, 99 },
		{ 1023, 100 },     { 1024, 100 },     { 1025, 101 },    { 2048, 174 },
		{ 10000, 627 },    { 65536, 3023 },   { 200000, 7899 }, { 262143, 10000 },
		{ 262144, 10000 }, { 300000, 10000 },
	};
	uint64_t last = 1, w;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		is_int((long long)cgroup_limits_cpu_weight(table[i].shares),
		       (long long)table[i].weight, "shares %llu",
		       (unsigned long long)table[i].shares);
	for (uint64_t s = 2; s <= 262144; s += 7, last = w) {
		w = cgroup_limits_cpu_weight(s);
		if (w < last && !ok(false, "weight falls at %llu", (unsigned long long)s))
			return;
	}
	is_int((long long)cgroup_limits_io_weight(10), 1, "least");
	is_int((long long)cgroup_limits_io_weight(1000), 10000, "most");
	is_int((long long)cgroup_limits_io_weight(500), 4950, "between");
}

static void refuses(void)
{
	static const struct cgroup_unified slash[] = { { "../memory.max", "1" } };
	static const struct cgroup_unified good[] = { { "memory.high", "1" } };
	auto_arena a = arena_new();
	static const struct cgroup_hugepage bad[] = { { "2MB/../x", 1 } };

	is_int(cgroup_limits_check(&(struct cgroup_limits){ .memory_swap = SET(5) }, true), -EINVAL,
	       "swap without memory");
	is_int(cgroup_limits_check(
		       &(struct cgroup_limits){ .memory = SET(6), .memory_swap = SET(5) }, true),
	       -EINVAL, "swap below memory");
	is_int(cgroup_limits_check(
		       &(struct cgroup_limits){ .memory = SET(-1), .memory_swap = SET(5) }, true),
	       -EINVAL, "swap below unlimited memory");
	is_int(cgroup_limits_check(&(struct cgroup_limits){ .memory_swap = SET(-1) }, true), 0,
	       "no limit needs none");
	is_int(cgroup_limits_check(&(struct cgroup_limits){ .unified = slash, .n_unified = 1 },
				   true),
	       -EINVAL, "a key is one name");
	is_int(cgroup_limits_check(&(struct cgroup_limits){ .unified = good, .n_unified = 1 },
				   false),
	       -EINVAL, "unified on version 1");
	ok(strstr(err_last()->text, "linux.resources.unified"), "%s", err_last()->text);
	is_int(cgroup_limits_check(&(struct cgroup_limits){ .unified = good, .n_unified = 1 },
				   true),
	       0, "unified on version 2");
	ok(strstr(listing(a, &(struct cgroup_limits){ .hugepages = bad, .n_hugepages = 1 }, &v2),
		  "hugepageLimits"),
	   "a page size is no path");
}

static void knows_if_any(void)
{
	ok(!cgroup_limits_any(&(struct cgroup_limits){ .memory = SET(0), .has_devices = true }),
	   "nothing that needs a cgroup");
	ok(cgroup_limits_any(&(struct cgroup_limits){ .pids = SET(0) }), "pids 0 is a limit");
	ok(cgroup_limits_any(&(struct cgroup_limits){ .cpus = "0" }), "cpus");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(converts), TAP(updates), TAP(mixes_versions),
		TAP(weighs),   TAP(refuses), TAP(knows_if_any),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
