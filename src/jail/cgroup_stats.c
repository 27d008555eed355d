/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

#define STAT_LIMIT (1024 * 1024)

/* The files of one controller: which directory, and which version's names. */
struct place {
	int dir;
	bool v2;
};

static struct place place_of(const struct cgroup *cg, enum cgroup_ctl ctl)
{
	const struct cgroup_dir *d = cgroup_find(cg, ctl);
	struct place p = { -1, d && cgroup_dir_v2(d) };

	if (d)
		p.dir = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return p;
}

static void place_close(struct place *p)
{
	fd_close(p->dir);
}
#define auto_place __attribute__((cleanup(place_close))) struct place

/* The text of a file, "" where there is none. */
static char *text_of(struct arena *a, const struct place *p, const char *file)
{
	auto_fd fd = p->dir < 0 ? -1 : openat(p->dir, file, O_RDONLY | O_CLOEXEC);
	char *text;

	if (fd < 0 || fd_read_all(fd, a, STAT_LIMIT, &text, NULL))
		return arena_strdup(a, "");
	return text;
}

struct row {
	const char *file[2]; /* by version */
	size_t offset;       /* of a uint64_t in struct cgroup_stats */
};

#define AT(name) offsetof(struct cgroup_stats, name)

static const struct row memory_rows[] = {
	{ { "memory.limit_in_bytes", "memory.max" }, AT(memory.limit) },
	{ { "memory.usage_in_bytes", "memory.current" }, AT(memory.usage) },
	{ { "memory.max_usage_in_bytes", "memory.peak" }, AT(memory.max) },
	{ { "memory.failcnt", NULL }, AT(memory.failcnt) },
	{ { "memory.memsw.limit_in_bytes", "memory.swap.max" }, AT(swap.limit) },
	{ { "memory.memsw.usage_in_bytes", "memory.swap.current" }, AT(swap.usage) },
	{ { "memory.memsw.max_usage_in_bytes", "memory.swap.peak" }, AT(swap.max) },
	{ { "memory.memsw.failcnt", NULL }, AT(swap.failcnt) },
	{ { "memory.kmem.limit_in_bytes", NULL }, AT(kernel.limit) },
	{ { "memory.kmem.usage_in_bytes", NULL }, AT(kernel.usage) },
	{ { "memory.kmem.max_usage_in_bytes", NULL }, AT(kernel.max) },
	{ { "memory.kmem.failcnt", NULL }, AT(kernel.failcnt) },
	{ { "memory.kmem.tcp.limit_in_bytes", NULL }, AT(kernel_tcp.limit) },
	{ { "memory.kmem.tcp.usage_in_bytes", NULL }, AT(kernel_tcp.usage) },
	{ { "memory.kmem.tcp.max_usage_in_bytes", NULL }, AT(kernel_tcp.max) },
	{ { "memory.kmem.tcp.failcnt", NULL }, AT(kernel_tcp.failcnt) },
};

static uint64_t value_of(const char *text, const char *key)
{
	uint64_t v = 0;

	cgroup_line_value(text, key, &v);
	return v;
}

static uint64_t add_up(uint64_t x, uint64_t y)
{
	return x > UINT64_MAX - y ? UINT64_MAX : x + y;
}

static void raw_pairs(struct arena *a, const char *text, struct cgroup_stats *s)
{
	struct cgroup_stat_pair *v = NULL;
	size_t n = 0, cap = 0, len;
	const char *space;

	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		len = strcspn(p, "\n");
		space = memchr(p, ' ', len);
		if (!space)
			continue;
		v = arena_grow(a, v, n, &cap, sizeof(*v));
		v[n].key = arena_strndup(a, p, (size_t)(space - p));
		v[n++].value = strtoull(space + 1, NULL, 10);
	}
	s->memory_raw = v;
	s->n_memory_raw = n;
}

static void memory(struct arena *a, const struct cgroup *cg, struct cgroup_stats *s)
{
	auto_place p = place_of(cg, CTL_MEMORY);
	const char *stat, *file;

	if (p.dir < 0)
		return;
	for (size_t i = 0; i < sizeof(memory_rows) / sizeof(memory_rows[0]); i++) {
		file = memory_rows[i].file[p.v2];
		if (file)
			cgroup_read_u64(p.dir, file,
					(uint64_t *)((char *)s + memory_rows[i].offset));
	}
	stat = text_of(a, &p, "memory.stat");
	raw_pairs(a, stat, s);
	s->memory_cache = value_of(stat, p.v2 ? "file" : "cache");
	if (!p.v2)
		return;
	/* version 1 counts memory and swap together, and that is what readers expect */
	s->swap.usage = add_up(s->swap.usage, s->memory.usage);
	s->swap.limit = add_up(s->swap.limit, s->memory.limit);
	s->swap.max = 0;
	s->memory.failcnt = value_of(text_of(a, &p, "memory.events"), "max");
	s->kernel.usage = value_of(stat, "kernel");
	s->kernel_tcp.usage = value_of(stat, "sock");
}

/* A line of numbers, one a processor. */
static const uint64_t *percpu(struct arena *a, const char *text, size_t *out_n)
{
	uint64_t *v = NULL, number;
	size_t n = 0, cap = 0;
	char *end;

	for (const char *p = text;; p = end) {
		number = strtoull(p, &end, 10);
		if (end == p)
			break;
		v = arena_grow(a, v, n, &cap, sizeof(*v));
		v[n++] = number;
	}
	*out_n = n;
	return v;
}

static void cpu(struct arena *a, const struct cgroup *cg, struct cgroup_stats *s)
{
	auto_place p = place_of(cg, CTL_CPU);
	auto_place acct = place_of(cg, CTL_CPUACCT);
	const char *text = text_of(a, &p, "cpu.stat");
	uint64_t hz = (uint64_t)sysconf(_SC_CLK_TCK);

	s->periods = value_of(text, "nr_periods");
	s->throttled_periods = value_of(text, "nr_throttled");
	if (p.v2) {
		s->throttled_time = value_of(text, "throttled_usec") * 1000;
		s->cpu_total = value_of(text, "usage_usec") * 1000;
		s->cpu_user = value_of(text, "user_usec") * 1000;
		s->cpu_kernel = value_of(text, "system_usec") * 1000;
		return;
	}
	s->throttled_time = value_of(text, "throttled_time");
	if (acct.dir < 0)
		return;
	cgroup_read_u64(acct.dir, "cpuacct.usage", &s->cpu_total);
	text = text_of(a, &acct, "cpuacct.stat");
	s->cpu_user = value_of(text, "user") * (1000000000 / hz);
	s->cpu_kernel = value_of(text, "system") * (1000000000 / hz);
	s->cpu_percpu = percpu(a, text_of(a, &acct, "cpuacct.usage_percpu"), &s->n_percpu);
	s->cpu_percpu_kernel =
		percpu(a, text_of(a, &acct, "cpuacct.usage_percpu_sys"), &s->n_percpu_kernel);
	s->cpu_percpu_user =
		percpu(a, text_of(a, &acct, "cpuacct.usage_percpu_user"), &s->n_percpu_user);
}

struct io_list {
	struct arena *arena;
	struct cgroup_stat_io *v;
	size_t n, cap;
};

static void add_io(struct io_list *l, uint32_t major, uint32_t minor, const char *op, uint64_t v)
{
	l->v = arena_grow(l->arena, l->v, l->n, &l->cap, sizeof(*l->v));
	l->v[l->n++] = (struct cgroup_stat_io){ major, minor, op, v };
}

/* "8:0 Read 4096" a line, or "8:0 4096"; the last is "Total 4096" */
static struct io_list io_v1(struct arena *a, const struct place *p, const char *const files[2])
{
	struct io_list l = { .arena = a };
	const char *text = "";
	unsigned long long v;
	unsigned major, minor;
	char op[16];

	for (int i = 0; i < 2 && files[i] && !*text; i++)
		text = text_of(a, p, files[i]);
	for (; *text; text += strcspn(text, "\n"), text += *text == '\n')
		if (sscanf(text, "%u:%u %15[A-Za-z] %llu", &major, &minor, op, &v) == 4)
			add_io(&l, major, minor, arena_strdup(a, op), v);
		else if (sscanf(text, "%u:%u %llu", &major, &minor, &v) == 3)
			add_io(&l, major, minor, "", v);
	return l;
}

/* "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=0 dios=0" a line */
static void io_v2(const char *text, struct io_list *bytes, struct io_list *ops)
{
	static const struct {
		const char *key, *op;
		bool bytes;
	} keys[] = {
		{ "rbytes=", "Read", true },    { "wbytes=", "Write", true },
		{ "dbytes=", "Discard", true }, { "rios=", "Read", false },
		{ "wios=", "Write", false },    { "dios=", "Discard", false },
	};
	unsigned major, minor;
	size_t n, len;

	for (; *text; text += strcspn(text, "\n"), text += *text == '\n') {
		if (sscanf(text, "%u:%u", &major, &minor) != 2)
			continue;
		len = strcspn(text, "\n");
		for (const char *p = text; p < text + len; p += n + (p[n] == ' ')) {
			n = strcspn(p, " \n");
			for (size_t k = 0; k < sizeof(keys) / sizeof(keys[0]); k++)
				if (str_starts(p, keys[k].key))
					add_io(keys[k].bytes ? bytes : ops, major, minor,
					       keys[k].op,
					       strtoull(p + strlen(keys[k].key), NULL, 10));
		}
	}
}

/* Bytes and operations are counted for every device, the others where its scheduler is bfq. */
enum { IO_BYTES, IO_OPS };
static const struct {
	const char *name, *files[2]; /* of version 1 */
} io_rows[] = {
	[IO_BYTES] = { "ioServiceBytesRecursive",
		       { "blkio.throttle.io_service_bytes_recursive",
			 "blkio.bfq.io_service_bytes_recursive" } },
	[IO_OPS] = { "ioServicedRecursive",
		     { "blkio.throttle.io_serviced_recursive",
		       "blkio.bfq.io_serviced_recursive" } },
	{ "ioQueueRecursive", { "blkio.bfq.io_queued_recursive", NULL } },
	{ "ioServiceTimeRecursive", { "blkio.bfq.io_service_time_recursive", NULL } },
	{ "ioWaitTimeRecursive", { "blkio.bfq.io_wait_time_recursive", NULL } },
	{ "ioMergedRecursive", { "blkio.bfq.io_merged_recursive", NULL } },
	{ "ioTimeRecursive", { "blkio.bfq.time_recursive", NULL } },
	{ "sectorsRecursive", { "blkio.bfq.sectors_recursive", NULL } },
};
#define IO_ROWS (sizeof(io_rows) / sizeof(io_rows[0]))

static void io(struct arena *a, const struct cgroup *cg, struct cgroup_stats *s)
{
	auto_place p = place_of(cg, CTL_IO);
	struct cgroup_stat_io_list *out = arena_array(a, IO_ROWS, sizeof(*out));
	struct io_list lists[IO_ROWS];

	for (size_t i = 0; i < IO_ROWS; i++)
		lists[i] = p.v2 ? (struct io_list){ .arena = a } : io_v1(a, &p, io_rows[i].files);
	if (p.v2)
		io_v2(text_of(a, &p, "io.stat"), &lists[IO_BYTES], &lists[IO_OPS]);
	for (size_t i = 0; i < IO_ROWS; i++)
		if (i <= IO_OPS || lists[i].n)
			out[s->n_io++] = (struct cgroup_stat_io_list){ io_rows[i].name, lists[i].v,
								       lists[i].n };
	s->io = out;
}

static uint64_t huge_value(struct arena *a, const struct place *p, const char *size,
			   const char *name)
{
	uint64_t v = 0;

	cgroup_read_u64(p->dir, arena_printf(a, "hugetlb.%s.%s", size, name), &v);
	return v;
}

/* "hugepages-2048kB" to "2MB", as the files are named */
static char *huge_size(struct arena *a, const char *name)
{
	static const char *const units[] = { "KB", "MB", "GB" };
	unsigned long long kb;
	size_t u = 0;

	if (sscanf(name, "hugepages-%llukB", &kb) != 1)
		return NULL;
	for (; u < 2 && kb >= 1024; u++)
		kb /= 1024;
	return arena_printf(a, "%llu%s", kb, units[u]);
}

static void huge(struct arena *a, const struct cgroup *cg, struct cgroup_stats *s)
{
	auto_place p = place_of(cg, CTL_HUGETLB);
	DIR *d = p.dir < 0 ? NULL : opendir("/sys/kernel/mm/hugepages");
	struct cgroup_stat_huge *v = NULL, one = { 0 };
	size_t n = 0, cap = 0;
	struct dirent *e;

	while (d && (e = readdir(d))) {
		one.size = huge_size(a, e->d_name);
		if (!one.size || faccessat(p.dir,
					   arena_printf(a, "hugetlb.%s.%s", one.size,
							p.v2 ? "current" : "usage_in_bytes"),
					   F_OK, 0) < 0)
			continue;
		one.usage = huge_value(a, &p, one.size, p.v2 ? "current" : "usage_in_bytes");
		one.max = p.v2 ? 0 : huge_value(a, &p, one.size, "max_usage_in_bytes");
		one.failcnt =
			p.v2 ? value_of(text_of(a, &p,
						arena_printf(a, "hugetlb.%s.events", one.size)),
					"max")
			     : huge_value(a, &p, one.size, "failcnt");
		v = arena_grow(a, v, n, &cap, sizeof(*v));
		v[n++] = one;
	}
	if (d)
		closedir(d);
	s->huge = v;
	s->n_huge = n;
}

static char *line_of(struct arena *a, const struct place *p, const char *file, const char *other)
{
	char *text = text_of(a, p, file);

	if (*text == '\n' || !*text)
		text = text_of(a, p, other);
	text[strcspn(text, "\n")] = '\0';
	return text;
}

static void levels(struct arena *a, const struct place *cpuset, struct cgroup_stats *s)
{
	static const char *const names[] = {
		"cpu_exclusive",   "mem_exclusive",      "mem_hardwall",
		"memory_migrate",  "memory_spread_page", "memory_spread_slab",
		"memory_pressure", "sched_load_balance", "sched_relax_domain_level",
	};
	const size_t n = sizeof(names) / sizeof(names[0]);
	struct cgroup_stat_level *v = arena_array(a, n, sizeof(*v));
	const char *text;

	for (size_t i = 0; i < n; i++) {
		text = text_of(a, cpuset, arena_printf(a, "cpuset.%s", names[i]));
		if (*text)
			v[s->n_cpuset++] =
				(struct cgroup_stat_level){ names[i], strtoll(text, NULL, 10) };
	}
	s->cpuset = v;
}

/* "some avg10=0.12 avg60=0.00 avg300=0.00 total=345" and the same for full:
 * Documentation/accounting/psi.rst */
static void pressure(struct arena *a, const struct cgroup *cg, const char *file,
		     struct cgroup_stat_pressure *out)
{
	const struct cgroup_dir *d = cgroup_find_v2(cg);
	auto_place p = { d ? open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1, true };
	unsigned long long v[7];
	char kind[8];

	for (const char *t = text_of(a, &p, file); *t; t += strcspn(t, "\n"), t += *t == '\n') {
		if (sscanf(t, "%7s avg10=%llu.%2llu avg60=%llu.%2llu avg300=%llu.%2llu total=%llu",
			   kind, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6]) != 8)
			continue;
		out->known = true;
		*(strcmp(kind, "some") == 0 ? &out->some : &out->full) = (struct cgroup_stat_waits){
			.avg10 = v[0] * 100 + v[1],
			.avg60 = v[2] * 100 + v[3],
			.avg300 = v[4] * 100 + v[5],
			.total = v[6],
		};
	}
}

static void rest(struct arena *a, const struct cgroup *cg, struct cgroup_stats *s)
{
	auto_place pids = place_of(cg, CTL_PIDS);
	auto_place cpuset = place_of(cg, CTL_CPUSET);

	if (pids.dir >= 0) {
		cgroup_read_u64(pids.dir, "pids.current", &s->pids_current);
		if (cgroup_read_u64(pids.dir, "pids.max", &s->pids_limit) &&
		    s->pids_limit == UINT64_MAX)
			s->pids_limit = 0;
	}
	s->cpus = line_of(a, &cpuset, "cpuset.cpus",
			  cpuset.v2 ? "cpuset.cpus.effective" : "cpuset.effective_cpus");
	s->mems = line_of(a, &cpuset, "cpuset.mems",
			  cpuset.v2 ? "cpuset.mems.effective" : "cpuset.effective_mems");
	levels(a, &cpuset, s);
	pressure(a, cg, "cpu.pressure", &s->cpu_pressure);
	pressure(a, cg, "memory.pressure", &s->memory_pressure);
	pressure(a, cg, "io.pressure", &s->io_pressure);
}

int cgroup_stats(struct arena *a, const struct cgroup *cg, struct cgroup_stats *out)
{
	struct cgroup_stats s = { 0 };

	if (cg->n && access(cg->dirs[0].path, F_OK) < 0)
		return fail(ENOENT, "the cgroup %s does not exist", cg->dirs[0].path);
	memory(a, cg, &s);
	cpu(a, cg, &s);
	io(a, cg, &s);
	huge(a, cg, &s);
	rest(a, cg, &s);
	*out = s;
	return 0;
}

/* cgroup.event_control: "<eventfd> <descriptor of memory.oom_control>" */
static int watch_v1(const struct cgroup_dir *d)
{
	auto_fd dir = open(d->path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	auto_fd control = dir < 0 ? -1 : openat(dir, "memory.oom_control", O_RDONLY | O_CLOEXEC);
	auto_fd event = -1;
	char text[32];
	int ret;

	if (control < 0)
		return fail_errno("open %s/memory.oom_control", d->path);
	event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (event < 0)
		return fail_errno("make an eventfd");
	snprintf(text, sizeof(text), "%d %d", event, control);
	ret = fd_put(dir, "cgroup.event_control", text);
	if (ret == -ENOENT)
		return fail(ENOTSUP, "this kernel does not tell when %s is out of memory", d->path);
	if (ret)
		return fail(-ret, "watch %s for lack of memory: %s", d->path, err_reason(-ret));
	return fd_take(&event);
}

static int watch_v2(const struct cgroup_dir *d)
{
	auto_fd fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	char path[PATH_MAX];

	if (fd < 0)
		return fail_errno("make an inotify descriptor");
	if (snprintf(path, sizeof(path), "%s/memory.events", d->path) >= (int)sizeof(path))
		return fail(ENAMETOOLONG, "watch %s/memory.events", d->path);
	if (inotify_add_watch(fd, path, IN_MODIFY) >= 0)
		return fd_take(&fd);
	if (errno == ENOENT)
		return fail(ENOTSUP, "the memory controller is not enabled for %s", d->path);
	return fail_errno("watch %s", path);
}

int cgroup_oom_watch(const struct cgroup *cg)
{
	const struct cgroup_dir *d = cgroup_find(cg, CTL_MEMORY);

	if (!d)
		return fail(ENOTSUP, "no memory cgroup tells when the container is out of memory");
	return cgroup_dir_v2(d) ? watch_v2(d) : watch_v1(d);
}

int cgroup_oom_count(const struct cgroup *cg, uint64_t *out)
{
	auto_place p = place_of(cg, CTL_MEMORY);
	const char *file = p.v2 ? "memory.events" : "memory.oom_control";
	char buf[1024];

	if (p.dir < 0)
		return fail(ENOTSUP, "no memory cgroup counts the container's lack of memory");
	if (cgroup_read(p.dir, file, buf, sizeof(buf)) < 0)
		return fail(ENOTSUP, "this kernel has no %s for the container", file);
	if (!cgroup_line_value(buf, "oom_kill", out))
		return fail(ENOTSUP, "this kernel does not count oom_kill in %s", file);
	return 0;
}
