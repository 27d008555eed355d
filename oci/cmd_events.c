/* SPDX-License-Identifier: Apache-2.0 */
/* events: the numbers of a container, and when it runs out of memory */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/netdev.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/json.h"

#define INTERVAL_DEFAULT "5s"

struct events_options {
	const char *interval;
	bool stats;
};

static const struct opt events_rows[] = {
	{ "stats", 0, OPT_FLAG, offsetof(struct events_options, stats), NULL,
	  "print the numbers once and end", NULL },
	{ "interval", 0, OPT_TEXT, offsetof(struct events_options, interval), "TIME",
	  "time between two: 500ms, 5s, 1m30s (default: " INTERVAL_DEFAULT ")", NULL },
};

/* Durations as callers write them: numbers with a unit, added up. */
static int parse_interval(const char *text, int *out_ms)
{
	static const struct {
		const char *unit;
		int64_t ns;
	} units[] = {
		{ "ns", 1 },           { "us", 1000 },         { "ms", 1000000 },
		{ "s", 1000000000LL }, { "m", 60000000000LL }, { "h", 3600000000000LL },
	};
	const char *p = text;
	double total = 0;
	size_t i, n;
	char *end;
	double v;

	do {
		v = strtod(p, &end);
		n = strspn(end, "nusmh");
		for (i = 0; i < sizeof(units) / sizeof(units[0]); i++)
			if (strlen(units[i].unit) == n && memcmp(units[i].unit, end, n) == 0)
				break;
		if (end == p || !(v >= 0) || i == sizeof(units) / sizeof(units[0]))
			return fail(EINVAL, "--interval \"%s\" is no time like 500ms or 5s", text);
		total += v * (double)units[i].ns;
		p = end + n;
	} while (*p);
	if (total < 1e6 || total > (double)INT_MAX * 1e6)
		return fail(EINVAL, "--interval \"%s\" is out of range", text);
	*out_ms = (int)(total / 1e6);
	return 0;
}

/* "0-3,7" as an array of numbers. */
static void put_list(struct json_writer *w, const char *key, const char *list)
{
	unsigned long from, to;
	char *end;

	if (!list || !*list)
		return;
	json_open_array(w, key);
	for (const char *p = list; *p >= '0' && *p <= '9'; p = end + (*end == ',')) {
		from = to = strtoul(p, &end, 10);
		if (*end == '-')
			to = strtoul(end + 1, &end, 10);
		for (; from <= to && to < UINT16_MAX; from++)
			json_put_u64(w, NULL, from);
	}
	json_close(w);
}

static void put_percpu(struct json_writer *w, const char *key, const uint64_t *v, size_t n)
{
	if (!n)
		return;
	json_open_array(w, key);
	for (size_t i = 0; i < n; i++)
		json_put_u64(w, NULL, v[i]);
	json_close(w);
}

static void put_waits(struct json_writer *w, const char *key, const struct cgroup_stat_waits *v)
{
	json_open_object(w, key);
	json_put_hundredths(w, "avg10", v->avg10);
	json_put_hundredths(w, "avg60", v->avg60);
	json_put_hundredths(w, "avg300", v->avg300);
	json_put_u64(w, "total", v->total);
	json_close(w);
}

static void put_pressure(struct json_writer *w, const struct cgroup_stat_pressure *p)
{
	if (!p->known)
		return;
	json_open_object(w, "psi");
	put_waits(w, "some", &p->some);
	put_waits(w, "full", &p->full);
	json_close(w);
}

static void put_cpu(struct json_writer *w, const struct cgroup_stats *s)
{
	json_open_object(w, "cpu");
	json_open_object(w, "usage");
	json_put_u64(w, "total", s->cpu_total);
	put_percpu(w, "percpu", s->cpu_percpu, s->n_percpu);
	put_percpu(w, "percpu_kernel", s->cpu_percpu_kernel, s->n_percpu_kernel);
	put_percpu(w, "percpu_user", s->cpu_percpu_user, s->n_percpu_user);
	json_put_u64(w, "kernel", s->cpu_kernel);
	json_put_u64(w, "user", s->cpu_user);
	json_close(w);
	json_open_object(w, "throttling");
	json_put_u64(w, "periods", s->periods);
	json_put_u64(w, "throttledPeriods", s->throttled_periods);
	json_put_u64(w, "throttledTime", s->throttled_time);
	json_close(w);
	put_pressure(w, &s->cpu_pressure);
	json_close(w);
	json_open_object(w, "cpuset");
	put_list(w, "cpus", s->cpus);
	put_list(w, "mems", s->mems);
	for (size_t i = 0; i < s->n_cpuset; i++)
		json_put_i64(w, s->cpuset[i].name, s->cpuset[i].value);
	json_close(w);
}

static void put_mem(struct json_writer *w, const char *key, const struct cgroup_stat_mem *m)
{
	json_open_object(w, key);
	json_put_u64(w, "limit", m->limit);
	json_put_u64(w, "usage", m->usage);
	json_put_u64(w, "max", m->max);
	json_put_u64(w, "failcnt", m->failcnt);
	json_close(w);
}

static void put_memory(struct json_writer *w, const struct cgroup_stats *s)
{
	json_open_object(w, "memory");
	json_put_u64(w, "cache", s->memory_cache);
	put_mem(w, "usage", &s->memory);
	put_mem(w, "swap", &s->swap);
	put_mem(w, "kernel", &s->kernel);
	put_mem(w, "kernelTCP", &s->kernel_tcp);
	json_open_object(w, "raw");
	for (size_t i = 0; i < s->n_memory_raw; i++)
		json_put_u64(w, s->memory_raw[i].key, s->memory_raw[i].value);
	json_close(w);
	put_pressure(w, &s->memory_pressure);
	json_close(w);
}

static void put_io(struct json_writer *w, const char *key, const struct cgroup_stat_io *v, size_t n)
{
	json_open_array(w, key);
	for (size_t i = 0; i < n; i++) {
		json_open_object(w, NULL);
		json_put_u64(w, "major", v[i].major);
		json_put_u64(w, "minor", v[i].minor);
		json_put_str(w, "op", v[i].op);
		json_put_u64(w, "value", v[i].value);
		json_close(w);
	}
	json_close(w);
}

static void put_rest(struct json_writer *w, const struct cgroup_stats *s)
{
	json_open_object(w, "pids");
	json_put_u64(w, "current", s->pids_current);
	json_put_u64(w, "limit", s->pids_limit);
	json_close(w);
	json_open_object(w, "blkio");
	for (size_t i = 0; i < s->n_io; i++)
		put_io(w, s->io[i].name, s->io[i].v, s->io[i].n);
	put_pressure(w, &s->io_pressure);
	json_close(w);
	json_open_object(w, "hugetlb");
	for (size_t i = 0; i < s->n_huge; i++) {
		json_open_object(w, s->huge[i].size);
		json_put_u64(w, "usage", s->huge[i].usage);
		json_put_u64(w, "max", s->huge[i].max);
		json_put_u64(w, "failcnt", s->huge[i].failcnt);
		json_close(w);
	}
	json_close(w);
}

static void put_network(struct json_writer *w, const struct netdev_count *v, size_t n)
{
	json_open_array(w, "network_interfaces");
	for (size_t i = 0; i < n; i++) {
		json_open_object(w, NULL);
		json_put_str(w, "Name", v[i].name);
		json_put_u64(w, "RxBytes", v[i].rx_bytes);
		json_put_u64(w, "RxPackets", v[i].rx_packets);
		json_put_u64(w, "RxErrors", v[i].rx_errors);
		json_put_u64(w, "RxDropped", v[i].rx_dropped);
		json_put_u64(w, "TxBytes", v[i].tx_bytes);
		json_put_u64(w, "TxPackets", v[i].tx_packets);
		json_put_u64(w, "TxErrors", v[i].tx_errors);
		json_put_u64(w, "TxDropped", v[i].tx_dropped);
		json_close(w);
	}
	json_close(w);
}

static int print_event(struct arena *a, struct json_writer *w)
{
	const char *text = json_writer_text(w, NULL);

	text = arena_printf(a, "%s\n", text);
	return cmd_print(text, strlen(text));
}

static struct json_writer *open_event(struct arena *a, const char *type, const char *id)
{
	struct json_writer *w = json_writer_new(a, false);

	json_open_object(w, NULL);
	json_put_str(w, "type", type);
	json_put_str(w, "id", id);
	return w;
}

/* An arena of its own: the stream may run for months. */
static int print_stats(const struct container *ct)
{
	auto_arena a = arena_new();
	struct cgroup_stats s = { 0 };
	struct netdev_count *devices = NULL;
	struct json_writer *w;
	size_t n_devices = 0;
	int ret = cgroup_stats(a, &ct->state.cgroup, &s);

	if (!ret)
		ret = netdev_counts(a, ct->state.pid, &devices, &n_devices);
	if (ret)
		return ret;
	w = open_event(a, "stats", ct->dir.id);
	json_open_object(w, "data");
	put_cpu(w, &s);
	put_memory(w, &s);
	put_rest(w, &s);
	put_network(w, devices, n_devices);
	json_close(w);
	json_close(w);
	return print_event(a, w);
}

static int print_oom(const struct container *ct)
{
	auto_arena a = arena_new();
	struct json_writer *w = open_event(a, "oom", ct->dir.id);

	json_close(w);
	return print_event(a, w);
}

/* Version 1 tells of it before it counts the process that it kills: the count is looked at
 * again. */
#define OOM_LOOKS 40
#define OOM_LOOK_MS 25

/* Tells of each time memory ran out since the last look. */
static int look_for_oom(const struct container *ct, int watch, uint64_t *seen)
{
	char drained[4096];
	uint64_t now;
	int ret;

	if (read(watch, drained, sizeof(drained)) < 0 && errno != EAGAIN && errno != EINTR)
		return fail_errno("read the out-of-memory events of container %s", ct->dir.id);
	ret = cgroup_oom_count(&ct->state.cgroup, &now);
	/* the cgroup goes with the container: its end is seen by the pidfd */
	if (ret)
		return 0;
	for (; !ret && *seen < now; ++*seen)
		ret = print_oom(ct);
	return ret;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool has_ended(const struct container *ct)
{
	struct pollfd p = { .fd = ct->pidfd, .events = POLLIN };

	return poll(&p, 1, 0) == 1;
}

/* However long the printing takes, the end of the container is seen before the next one is due. */
static int stream(const struct container *ct, int interval)
{
	auto_fd watch = cgroup_oom_watch(&ct->state.cgroup);
	struct pollfd p[2] = { { .fd = ct->pidfd, .events = POLLIN },
			       { .fd = watch, .events = POLLIN | POLLPRI } };
	int64_t next = now_ms() + interval, left;
	uint64_t seen = 0, before;
	int again = 0;
	int ret = 0;

	if (watch < 0 && watch != -ENOTSUP)
		return watch;
	if (watch >= 0)
		ret = cgroup_oom_count(&ct->state.cgroup, &seen);
	while (!ret) {
		left = next - now_ms();
		if (again && left > OOM_LOOK_MS)
			left = OOM_LOOK_MS;
		if (poll(p, 2, left > 0 ? (int)left : 0) < 0 && errno != EINTR)
			return fail_errno("wait for events");
		if (p[1].revents)
			again = OOM_LOOKS;
		left = next - now_ms();
		/* what is counted later than that is told with the numbers */
		if (watch >= 0 && (again || left <= 0)) {
			before = seen;
			ret = look_for_oom(ct, watch, &seen);
			again = seen != before || !again ? 0 : again - 1;
		}
		if (ret || p[0].revents)
			return ret;
		if (left > 0)
			continue;
		ret = print_stats(ct);
		/* its cgroups may be gone already */
		if (ret && has_ended(ct))
			return 0;
		next += interval;
		if (next < now_ms())
			next = now_ms();
	}
	return ret;
}

static int run_events(struct cmd *c, const void *options)
{
	const struct events_options *o = options;
	auto_container ct = CONTAINER_NONE;
	int interval = 0;
	int ret = parse_interval(o->interval ? o->interval : INTERVAL_DEFAULT, &interval);

	if (!ret)
		ret = container_open(c, c->args[0], &ct);
	if (ret)
		return ret;
	if (ct.pidfd < 0)
		return fail(ESRCH, "container not running");
	if (ct.state.cgroup.n == 0)
		return fail(ENOTSUP, "container %s has no cgroup that counts for it", ct.dir.id);
	return o->stats ? print_stats(&ct) : stream(&ct, interval);
}

const struct command cmd_events = {
	.name = "events",
	.args = "ID",
	.summary = "print the numbers of a container, and when it runs out of memory",
	.text = "Prints a JSON object a line: what the container uses, every few seconds, and when "
		"it runs out of memory; until it ends.",
	.opts = CMD_OPTS(events_rows),
	.size = sizeof(struct events_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_events,
};
