/* SPDX-License-Identifier: Apache-2.0 */
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/cgroup.h"
#include "lib/scratch.h"
#include "lib/tap.h"

struct file {
	const char *name, *text;
};

/* A directory that looks like the cgroup of those controllers; "" is version 2. */
static struct cgroup cgroup_of(int dir, const char *controllers, const struct file *files, size_t n)
{
	struct cgroup cg = { .n = 1 };

	for (size_t i = 0; i < n; i++) {
		auto_fd fd = openat(dir, files[i].name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

		is_int(fd_write_all(fd, files[i].text, strlen(files[i].text)), 0, "write %s",
		       files[i].name);
	}
	cg.dirs[0].controllers = controllers;
	cg.dirs[0].path = scratch_path();
	return cg;
}

static const struct cgroup_stat_io_list *io_named(const struct cgroup_stats *s, const char *name)
{
	for (size_t i = 0; i < s->n_io; i++)
		if (strcmp(s->io[i].name, name) == 0)
			return &s->io[i];
	return NULL;
}

static void version_1(void)
{
	static const struct file files[] = {
		{ "cpuacct.usage", "3000\n" },
		{ "cpuacct.usage_percpu", "1000 2000 \n" },
		{ "cpuacct.usage_percpu_sys", "100 200 \n" },
		{ "cpuacct.usage_percpu_user", "900 1800 \n" },
		{ "cpuset.cpus", "0-1\n" },
		{ "cpuset.mems", "0\n" },
		{ "cpuset.cpu_exclusive", "1\n" },
		{ "cpuset.sched_relax_domain_level", "-1\n" },
		{ "blkio.throttle.io_service_bytes_recursive", "8:0 Read 4096\nTotal 4096\n" },
		{ "blkio.bfq.io_queued_recursive", "8:0 Write 3\n8:0 Total 3\nTotal 3\n" },
		{ "blkio.bfq.sectors_recursive", "8:16 77\n" },
	};
	auto_arena a = arena_new();
	int dir = scratch_make();
	struct cgroup cg =
		cgroup_of(dir, "cpu,cpuacct,cpuset,blkio", files, sizeof(files) / sizeof(files[0]));
	const struct cgroup_stat_io_list *l;
	struct cgroup_stats s = { 0 };

	is_int(cgroup_stats(a, &cg, &s), 0, "stats: %s", err_last()->text);
	is_int((long long)s.cpu_total, 3000, "cpu: all");
	if (is_int((long long)s.n_percpu_kernel, 2, "cpu: kernel, each processor"))
		is_int((long long)s.cpu_percpu_kernel[1], 200, "of the second");
	if (is_int((long long)s.n_percpu_user, 2, "cpu: user, each processor"))
		is_int((long long)s.cpu_percpu_user[0], 900, "of the first");
	is_str(s.cpus, "0-1", "cpuset: processors");
	if (is_int((long long)s.n_cpuset, 2, "cpuset: the levels that are there")) {
		is_str(s.cpuset[0].name, "cpu_exclusive", "by their names");
		is_int(s.cpuset[0].value, 1, "and value");
		is_int(s.cpuset[1].value, -1, "also a negative one");
	}
	l = io_named(&s, "ioServiceBytesRecursive");
	if (ok(l && l->n == 1, "io: bytes, without the sum"))
		is_int((long long)l->v[0].value, 4096, "of a device");
	l = io_named(&s, "ioServicedRecursive");
	ok(l && l->n == 0, "io: operations are always told");
	l = io_named(&s, "ioQueueRecursive");
	if (ok(l && l->n == 2, "io: the queue of bfq"))
		is_str(l->v[0].op, "Write", "by operation");
	l = io_named(&s, "sectorsRecursive");
	if (ok(l && l->n == 1, "io: sectors of bfq")) {
		is_str(l->v[0].op, "", "which are not told by operation");
		is_int((long long)l->v[0].value, 77, "their number");
	}
	ok(!io_named(&s, "ioMergedRecursive"), "io: what the kernel lacks is left out");
	ok(!s.cpu_pressure.known, "no pressure");
	scratch_drop(dir);
}

static void version_2(void)
{
	static const struct file files[] = {
		{ "cpu.stat", "usage_usec 7\nuser_usec 4\nsystem_usec 3\n" },
		{ "io.stat", "8:0 rbytes=1 wbytes=2 rios=3 wios=4 dbytes=5 dios=6\n" },
		{ "cpu.pressure", "some avg10=5.81 avg60=37.04 avg300=100.00 total=2433334078\n"
				  "full avg10=0.07 avg60=0.00 avg300=0.00 total=9\n" },
		{ "memory.pressure", "some avg10=nonsense\n" },
		{ "memory.max", "4096\n" },
		{ "memory.swap.max", "max\n" },
	};
	auto_arena a = arena_new();
	int dir = scratch_make();
	struct cgroup cg = cgroup_of(dir, "", files, sizeof(files) / sizeof(files[0]));
	const struct cgroup_stat_io_list *l;
	struct cgroup_stats s = { 0 };

	is_int(cgroup_stats(a, &cg, &s), 0, "stats: %s", err_last()->text);
	is_int((long long)s.cpu_user, 4000, "cpu: in ns");
	is_int((long long)s.n_percpu, 0, "cpu: not by processor");
	l = io_named(&s, "ioServicedRecursive");
	if (ok(l && l->n == 3, "io: operations"))
		is_int((long long)l->v[1].value, 4, "written");
	ok(s.memory.limit == 4096 && s.swap.limit == UINT64_MAX, "memory: limits");
	ok(s.cpu_pressure.known, "pressure on the processors");
	is_int((long long)s.cpu_pressure.some.avg10, 581, "in hundredths");
	is_int((long long)s.cpu_pressure.some.avg60, 3704, "with a zero in them");
	is_int((long long)s.cpu_pressure.some.avg300, 10000, "up to all of the time");
	is_int((long long)s.cpu_pressure.some.total, 2433334078, "the sum");
	is_int((long long)s.cpu_pressure.full.avg10, 7, "of all processes");
	ok(!s.memory_pressure.known, "a line that is none is not believed");
	ok(!s.io_pressure.known, "nor is a missing file");
	scratch_drop(dir);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = { TAP(version_1), TAP(version_2) };

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
