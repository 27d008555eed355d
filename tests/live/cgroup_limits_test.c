/* SPDX-License-Identifier: Apache-2.0 */
/* What is written into the files of a cgroup, on this host, whatever versions it mounts. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/box.h"
#include "lib/tap.h"

static void sets_limits(void)
{
	struct box b = box_open("");
	struct cgroup_limits *l = &b.plan.limits;

	if (cgroup_locate(b.a, &b.plan, &b.cg) == 0 && cgroup_create(b.a, &b.plan, &b.cg, 0) == 0) {
		l->memory = box_has(&b, CTL_MEMORY) ? SET(64 << 20) : (struct opt_i64){ 0 };
		l->pids = box_has(&b, CTL_PIDS) ? SET(33) : (struct opt_i64){ 0 };
		l->cpu_shares = box_has(&b, CTL_CPU) ? SET(512) : (struct opt_i64){ 0 };
		l->cpu_quota = box_has(&b, CTL_CPU) ? SET(50000) : (struct opt_i64){ 0 };
		l->cpu_period = box_has(&b, CTL_CPU) ? SET(200000) : (struct opt_i64){ 0 };
		l->cpus = box_has(&b, CTL_CPUSET) ? "0" : NULL;
	}
	box_close(&b);
	b.a = arena_new();
	b.plan.path = arena_printf(b.a, "/thole-test-%d", getpid());
	if (box_make(&b)) {
		if (l->memory.set)
			is_str(box_file(&b, CTL_MEMORY, "memory.limit_in_bytes", "memory.max"),
			       "67108864", "memory");
		if (l->pids.set)
			is_str(box_file(&b, CTL_PIDS, "pids.max", "pids.max"), "33", "pids");
		if (l->cpu_quota.set) {
			const struct cgroup_dir *d = cgroup_find(&b.cg, CTL_CPU);

			is_str(box_file(&b, CTL_CPU, "cpu.cfs_quota_us", "cpu.max"),
			       cgroup_dir_v2(d) ? "50000 200000" : "50000", "quota");
			is_str(box_file(&b, CTL_CPU, "cpu.shares", "cpu.weight"),
			       cgroup_dir_v2(d) ? "59" : "512", "shares");
		}
		if (l->cpus)
			is_str(box_file(&b, CTL_CPUSET, "cpuset.cpus", "cpuset.cpus"), "0", "cpus");
	}
	box_close(&b);
}

/* New values may contradict the old ones of another file on the way. */
static void updates_in_any_order(void)
{
	static const struct {
		long long memory, swap, quota, period;
	} steps[] = {
		{ 300 << 20, 400 << 20, 50000, 100000 },
		{ 500 << 20, 600 << 20, 900000, 1000000 },
		{ 100 << 20, 150 << 20, 2000, 10000 },
		{ 200 << 20, 200 << 20, 1000, 1000 },
		{ -1, -1, -1, 100000 },
	};
	struct box b = box_open("");
	const char *want;
	bool v2;

	if (!box_make(&b) || !box_has(&b, CTL_MEMORY) || !box_has(&b, CTL_CPU)) {
		box_close(&b);
		tap_skip("no memory and cpu controllers");
	}
	v2 = cgroup_dir_v2(cgroup_find(&b.cg, CTL_MEMORY));
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct cgroup_limits l = { .memory = SET(steps[i].memory),
					   .memory_swap = SET(steps[i].swap),
					   .cpu_quota = SET(steps[i].quota),
					   .cpu_period = SET(steps[i].period) };

		ok(cgroup_update(b.a, &b.cg, &l) == 0, "step %zu: %s", i, err_last()->text);
		if (steps[i].memory > 0)
			is_str(box_file(&b, CTL_MEMORY, "memory.limit_in_bytes", "memory.max"),
			       arena_printf(b.a, "%lld", steps[i].memory), "memory %zu", i);
		want = !v2 ? arena_printf(b.a, "%lld", steps[i].quota)
		       : steps[i].quota < 0
			       ? arena_printf(b.a, "max %lld", steps[i].period)
			       : arena_printf(b.a, "%lld %lld", steps[i].quota, steps[i].period);
		is_str(box_file(&b, CTL_CPU, "cpu.cfs_quota_us", "cpu.max"), want, "quota %zu", i);
	}
	ok(cgroup_update(b.a, &b.cg, &(struct cgroup_limits){ .cpu_quota = SET(40000) }) == 0,
	   "quota alone: %s", err_last()->text);
	ok(cgroup_update(b.a, &b.cg, &(struct cgroup_limits){ .cpu_period = SET(50000) }) == 0,
	   "period alone: %s", err_last()->text);
	is_str(box_file(&b, CTL_CPU, "cpu.cfs_quota_us", "cpu.max"), v2 ? "40000 50000" : "40000",
	       "the quota stays");
	box_close(&b);
}

/* A failure leaves nothing behind, and says which field and which file. */
static void fails_clean(void)
{
	struct box b = box_open("");
	int ret;

	b.plan.limits.cpus = "4000";
	if (!ok(cgroup_locate(b.a, &b.plan, &b.cg) == 0, "locate: %s", err_last()->text))
		return;
	ret = cgroup_create(b.a, &b.plan, &b.cg, 0);
	ok(ret < 0, "no such processor");
	ok(strstr(err_last()->text, "linux.resources.cpu.cpus"), "%s", err_last()->text);
	for (size_t i = 0; i < b.cg.n; i++)
		ok(access(b.cg.dirs[i].path, F_OK) < 0, "%s is gone", b.cg.dirs[i].path);
	box_close(&b);
}

/* What the kernel does not have: the field and the file, and nothing left. */
static void explains_what_is_missing(void)
{
	static const struct cgroup_hugepage odd[] = { { "3MB", 1 } };
	static const struct cgroup_unified unknown[] = { { "nosuch.file", "1" } };
	struct box b = box_open("");

	b.plan.limits.hugepages = odd;
	b.plan.limits.n_hugepages = 1;
	ok(cgroup_locate(b.a, &b.plan, &b.cg) == 0, "locate: %s", err_last()->text);
	ok(cgroup_create(b.a, &b.plan, &b.cg, 0) < 0, "no such page size");
	ok(strstr(err_last()->text, "linux.resources.hugepageLimits") &&
		   strstr(err_last()->text, "hugetlb"),
	   "%s", err_last()->text);
	box_close(&b);

	b = box_open("");
	b.plan.limits.unified = unknown;
	b.plan.limits.n_unified = 1;
	if (cgroup_locate(b.a, &b.plan, &b.cg) == 0) {
		ok(cgroup_create(b.a, &b.plan, &b.cg, 0) < 0, "no such controller");
		ok(strstr(err_last()->text, "controller not available"), "%s", err_last()->text);
	} else {
		ok(strstr(err_last()->text, "linux.resources.unified"), "%s", err_last()->text);
	}
	box_close(&b);
}

/* Every key as it is, line by line, after all else. */
static void writes_unified(void)
{
	static const struct cgroup_unified keys[] = { { "cgroup.max.depth", "7" },
						      { "memory.high", "1048576000" },
						      { "pids.max", "77" },
						      { "cpu.max", "30000 60000\n40000 80000" } };
	struct box b = box_open("");

	b.plan.limits.pids = SET(5);
	b.plan.limits.unified = keys;
	b.plan.limits.n_unified = 4;
	if (cgroup_locate(b.a, &b.plan, &b.cg))
		tap_skip("this host has version 1 cgroups");
	if (box_make(&b)) {
		is_str(box_file(&b, CTL_CORE, "", "cgroup.max.depth"), "7", "cgroup.max.depth");
		is_str(box_file(&b, CTL_MEMORY, "", "memory.high"), "1048576000", "memory.high");
		is_str(box_file(&b, CTL_PIDS, "", "pids.max"), "77", "after linux.resources.pids");
		is_str(box_file(&b, CTL_CPU, "", "cpu.max"), "40000 80000", "two lines");
	}
	box_close(&b);
}

/* Below a cgroup of threads a new one must be made threaded, and some limits can't be had. */
static void lives_among_threads(void)
{
	struct box b = box_open("/inner"), outer = box_open("");
	const char *above;

	if (cgroup_locate(b.a, &b.plan, &b.cg) || !cgroup_find_v2(&b.cg) || !box_make(&outer))
		tap_skip("no version 2 hierarchy");
	above = cgroup_find_v2(&outer.cg)->path;
	if (fd_put(AT_FDCWD, arena_printf(b.a, "%s/cgroup.type", above), "threaded") == 0) {
		if (box_make(&b))
			is_str(box_file(&b, CTL_CORE, "", "cgroup.type"), "threaded", "its type");
		ok(cgroup_destroy(b.a, &b.cg) == 0, "destroy: %s", err_last()->text);
		b.plan.limits.memory = SET(100 << 20);
		ok(cgroup_locate(b.a, &b.plan, &b.cg) == 0, "locate: %s", err_last()->text);
		if (cgroup_find_v2(&b.cg) == cgroup_find(&b.cg, CTL_MEMORY)) {
			ok(cgroup_create(b.a, &b.plan, &b.cg, 0) < 0, "no memory limit there");
			ok(strstr(err_last()->text, "threaded"), "%s", err_last()->text);
		}
	}
	box_close(&b);
	box_close(&outer);
}

static void delegates(void)
{
	struct box b = box_open("");
	const struct cgroup_dir *d;
	struct stat st;

	b.plan.delegate_uid = 4242;
	if (!box_make(&b))
		return;
	d = cgroup_find_v2(&b.cg);
	if (!d) {
		box_close(&b);
		tap_skip("no version 2 hierarchy");
	}
	is_int(stat(d->path, &st), 0, "stat");
	is_int(st.st_uid, 4242, "the directory");
	is_int(stat(arena_printf(b.a, "%s/cgroup.procs", d->path), &st), 0, "stat");
	is_int(st.st_uid, 4242, "cgroup.procs");
	is_int(stat(arena_printf(b.a, "%s/cgroup.freeze", d->path), &st), 0, "stat");
	is_int(st.st_uid, 0, "cgroup.freeze is not delegated");
	box_close(&b);
}

static void nests(void)
{
	struct box b = box_open("/a/b");
	size_t n;

	b.plan.limits.pids = SET(10);
	if (cgroup_locate(b.a, &b.plan, &b.cg) || !cgroup_find(&b.cg, CTL_PIDS))
		tap_skip("no pids controller");
	if (box_make(&b)) {
		is_str(box_file(&b, CTL_PIDS, "pids.max", "pids.max"), "10", "limit");
		if (cgroup_find(&b.cg, CTL_CPUSET) && box_has(&b, CTL_CPUSET) &&
		    !cgroup_dir_v2(cgroup_find(&b.cg, CTL_CPUSET)))
			ok(*box_file(&b, CTL_CPUSET, "cpuset.cpus", ""), "cpus came down");
		ok(box_enter(&b, box_sleep) > 0, "it can be entered");
	}
	ok(cgroup_destroy(b.a, &b.cg) == 0, "destroy: %s", err_last()->text);
	for (size_t i = 0; i < b.cg.n; i++) {
		ok(access(b.cg.dirs[i].path, F_OK) < 0, "%s is gone", b.cg.dirs[i].path);
		for (n = 0; n < 2; n++) {
			char *path = arena_strdup(b.a, b.cg.dirs[i].path);

			for (size_t k = 0; k <= n; k++)
				*strrchr(path, '/') = '\0';
			is_int(rmdir(path), 0, "the one above, %s, stayed", path);
		}
	}
	arena_free(b.a);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(sets_limits),    TAP(updates_in_any_order),
		TAP(fails_clean),    TAP(explains_what_is_missing),
		TAP(writes_unified), TAP(lives_among_threads),
		TAP(delegates),      TAP(nests),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
