/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits become a list of files and texts. A row of the table below is a number with a file in
 * version 1, version 2 or both; lists (devices, page sizes, interfaces) follow in code. Nothing is
 * read or written here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

#define R "linux.resources."

const struct cgroup_ctl_name cgroup_ctl_names[CTL_COUNT] = {
	[CTL_CPU] = { "cpu", "cpu" },
	[CTL_CPUACCT] = { "cpuacct", NULL },
	[CTL_CPUSET] = { "cpuset", "cpuset" },
	[CTL_MEMORY] = { "memory", "memory" },
	[CTL_IO] = { "blkio", "io" },
	[CTL_PIDS] = { "pids", "pids" },
	[CTL_HUGETLB] = { "hugetlb", "hugetlb" },
	[CTL_RDMA] = { "rdma", "rdma" },
	[CTL_NET_CLS] = { "net_cls", NULL },
	[CTL_NET_PRIO] = { "net_prio", NULL },
	[CTL_DEVICES] = { "devices", NULL },
	[CTL_FREEZER] = { "freezer", NULL },
	[CTL_CORE] = { NULL, "cgroup" },
};

/* log2 and 2^x of long double without libm, which costs 0.1 ms at every start of the program. */
static long double log2_of(uint64_t v)
{
	int whole = 63 - __builtin_clzll(v);
	long double y = (long double)v / (long double)(1ull << whole);
	long double result = whole, bit = 0.5L;

	for (int i = 0; i < 56; i++, bit /= 2) {
		y *= y;
		if (y >= 2) {
			y /= 2;
			result += bit;
		}
	}
	return result;
}

static long double pow10_of(long double x)
{
	const long double ln10 = 2.302585092994045684L;
	long double term = 1, sum = 1;

	/* e^(x ln 10), |x| <= 5: the series on an eighth of it, then squared thrice */
	x = x * ln10 / 8;
	for (int i = 1; i < 40; i++) {
		term *= x / i;
		sum += term;
	}
	sum *= sum;
	sum *= sum;
	return sum * sum;
}

/*
 * Through (2, 1), (1024, 100) and (262144, 10000), the ends and defaults of both scales: a
 * quadratic in the logarithms.
 */
uint64_t cgroup_limits_cpu_weight(uint64_t shares)
{
	long double l, w;
	uint64_t whole;

	if (shares <= 2)
		return 1;
	if (shares >= 262144)
		return 10000;
	l = log2_of(shares);
	w = pow10_of((l * l + 125 * l) / 612 - 7.0L / 34);
	whole = (uint64_t)w;
	return w - (long double)whole > 1e-9L ? whole + 1 : whole;
}

uint64_t cgroup_limits_io_weight(uint64_t weight)
{
	return weight < 10 ? 1 : weight > 1000 ? 10000 : 1 + (weight - 10) * 9999 / 990;
}

/* What a row's converter sees. */
struct conversion {
	const struct cgroup_limits *l;
	const struct cgroup_limits_context *context;
	int64_t v;
	struct str *text;
};

static void plain(const struct conversion *c)
{
	str_addf(c->text, "%lld", (long long)c->v);
}

static void or_max(const struct conversion *c)
{
	if (c->v < 0)
		str_add(c->text, "max");
	else
		plain(c);
}

/*
 * 0 keeps the container from making any process more, and so does 1, for the first is one of them.
 * With 0 the first could not be cloned into the cgroup.
 */
static void pids(const struct conversion *c)
{
	if (c->v == 0)
		str_add(c->text, "1");
	else
		or_max(c);
}

static void weight(const struct conversion *c)
{
	str_addf(c->text, "%llu", (unsigned long long)cgroup_limits_cpu_weight((uint64_t)c->v));
}

static bool given(struct opt_i64 o)
{
	return o.set && o.v != 0;
}

/* Swap alone, without memory; cgroup_limits_check() and the caller saw to a memory limit. */
static void swap_only(const struct conversion *c)
{
	int64_t memory = given(c->l->memory) ? c->l->memory.v : c->context->memory;

	if (c->v < 0 || memory < 0)
		str_add(c->text, "max");
	else
		str_addf(c->text, "%lld", (long long)(c->v - memory));
}

static void bandwidth(const struct conversion *c)
{
	const struct cgroup_limits *l = c->l;
	int64_t quota = given(l->cpu_quota) ? l->cpu_quota.v : c->context->cpu_quota;

	if (quota <= 0)
		str_add(c->text, "max");
	else
		str_addf(c->text, "%lld", (long long)quota);
	if (given(l->cpu_period))
		str_addf(c->text, " %lld", (long long)l->cpu_period.v);
	else if (!c->context->update)
		str_add(c->text, " 100000");
}

static bool oom_killer_off(const struct cgroup_limits *l)
{
	return given(l->disable_oom_killer);
}

/* An idle cgroup has no weight: the kernel refuses one. */
static bool not_idle(const struct cgroup_limits *l)
{
	return given(l->cpu_shares) && !given(l->cpu_idle);
}

static bool period_alone(const struct cgroup_limits *l)
{
	return given(l->cpu_period) && !given(l->cpu_quota);
}

enum absent { ERROR, WARN }; /* no such thing in version 2 */

struct row {
	size_t offset; /* of a struct opt_i64 in struct cgroup_limits */
	enum cgroup_ctl ctl;
	const char *field;
	const char *v1, *v2; /* files */
	void (*v1_text)(const struct conversion *c);
	void (*v2_text)(const struct conversion *c);
	bool zero; /* 0 is a value; else it is the same as absent */
	unsigned flags;
	enum absent absent;
	bool (*applies)(const struct cgroup_limits *l);    /* NULL: where it is set */
	bool (*v2_applies)(const struct cgroup_limits *l); /* the same for version 2 only */
};

#define AT(name) offsetof(struct cgroup_limits, name)

/* The order of writing; a refused write of a row with WRITE_RETRY comes again at the end. */
static const struct row rows[] = {
	{ AT(memory), CTL_MEMORY, R "memory.limit", "memory.limit_in_bytes", "memory.max", plain,
	  or_max, .flags = WRITE_RETRY },
	{ AT(memory_swap), CTL_MEMORY, R "memory.swap", "memory.memsw.limit_in_bytes",
	  "memory.swap.max", plain, swap_only, .flags = WRITE_RETRY },
	{ AT(memory_reservation), CTL_MEMORY, R "memory.reservation", "memory.soft_limit_in_bytes",
	  "memory.low", plain, or_max, .zero = false },
	{ AT(swappiness), CTL_MEMORY, R "memory.swappiness", "memory.swappiness", NULL, plain,
	  .zero = true, .absent = WARN },
	{ AT(disable_oom_killer), CTL_MEMORY, R "memory.disableOOMKiller", "memory.oom_control",
	  NULL, plain, .absent = WARN, .applies = oom_killer_off },
	{ AT(cpu_idle), CTL_CPU, R "cpu.idle", "cpu.idle", "cpu.idle", plain, plain, .zero = true },
	{ AT(cpu_shares), CTL_CPU, R "cpu.shares", "cpu.shares", "cpu.weight", plain, weight,
	  .applies = not_idle },
	{ AT(cpu_period), CTL_CPU, R "cpu.period", "cpu.cfs_period_us", "cpu.max", plain, bandwidth,
	  .flags = WRITE_RETRY, .v2_applies = period_alone },
	{ AT(cpu_quota), CTL_CPU, R "cpu.quota", "cpu.cfs_quota_us", "cpu.max", plain, bandwidth,
	  .flags = WRITE_RETRY },
	{ AT(cpu_burst), CTL_CPU, R "cpu.burst", "cpu.cfs_burst_us", "cpu.max.burst", plain, plain,
	  .zero = true, .flags = WRITE_RETRY },
	{ AT(cpu_rt_period), CTL_CPU, R "cpu.realtimePeriod", "cpu.rt_period_us", NULL, plain,
	  .flags = WRITE_RETRY },
	{ AT(cpu_rt_runtime), CTL_CPU, R "cpu.realtimeRuntime", "cpu.rt_runtime_us", NULL, plain,
	  .flags = WRITE_RETRY },
	{ AT(pids), CTL_PIDS, R "pids.limit", "pids.max", "pids.max", pids, pids, .zero = true },
	{ AT(blk_leaf_weight), CTL_IO, R "blockIO.leafWeight", "blkio.leaf_weight", NULL, plain,
	  .absent = WARN },
	{ AT(net_class), CTL_NET_CLS, R "network.classID", "net_cls.classid", NULL, plain,
	  .absent = WARN },
};

static const struct opt_i64 *value_of(const struct cgroup_limits *l, const struct row *r)
{
	return (const struct opt_i64 *)((const char *)l + r->offset);
}

static bool row_applies(const struct cgroup_limits *l, const struct row *r, bool v1)
{
	const struct opt_i64 *o = value_of(l, r);

	if (!o->set || (!r->zero && o->v == 0))
		return false;
	if (r->applies && !r->applies(l))
		return false;
	return v1 || !r->v2_applies || r->v2_applies(l);
}

bool cgroup_limits_any(const struct cgroup_limits *l)
{
	bool any = l->cpus || l->mems || l->n_blk_devices || l->n_hugepages || l->n_rdma ||
		   l->n_net_priorities || l->n_unified || given(l->blk_weight);

	for (size_t i = 0; i < BLK_THROTTLES; i++)
		any = any || l->n_blk_rates[i];
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		any = any || row_applies(l, &rows[i], true);
	return any;
}

int cgroup_limits_check(const struct cgroup_limits *l, bool pure_v2)
{
	const char *key;

	if (given(l->memory_swap) && l->memory_swap.v > 0) {
		if (!given(l->memory))
			return fail(EINVAL,
				    R "memory.swap: %lld is memory and swap together and needs " R
				      "memory.limit",
				    (long long)l->memory_swap.v);
		if (l->memory.v > l->memory_swap.v || l->memory.v < 0)
			return fail(EINVAL,
				    R "memory.swap: %lld is memory and swap together and can't be "
				      "less than " R "memory.limit, %lld",
				    (long long)l->memory_swap.v, (long long)l->memory.v);
	}
	if (l->n_unified && !pure_v2)
		return fail(EINVAL, R "unified: \"%s\": this host has version 1 cgroups",
			    l->unified[0].key);
	for (size_t i = 0; i < l->n_unified; i++) {
		key = l->unified[i].key;
		if (!*key || *key == '.' || strchr(key, '/'))
			return fail(EINVAL, R "unified: \"%s\" is no name of a cgroup file", key);
	}
	return 0;
}

static struct cgroup_write *add(struct arena *a, struct cgroup_writes *w, enum cgroup_ctl ctl,
				const char *field, const char *file)
{
	struct cgroup_write *one;

	w->v = arena_grow(a, w->v, w->n, &w->cap, sizeof(*w->v));
	one = &w->v[w->n++];
	*one = (struct cgroup_write){ .ctl = ctl, .field = field, .file = file };
	return one;
}

static int not_in_v2(const struct row *r)
{
	if (r->absent == ERROR)
		return fail(ENOTSUP, "%s: version 2 cgroups have no such limit", r->field);
	log_warning("%s is ignored: version 2 cgroups have no such limit", r->field);
	return 0;
}

static int build_row(struct arena *a, const struct row *r, const struct conversion *base,
		     struct cgroup_writes *out)
{
	bool v1 = base->context->v1 & 1u << r->ctl;
	const char *file = v1 ? r->v1 : r->v2;
	struct conversion c = *base;
	struct cgroup_write *w;
	char buf[64];
	struct str text = STR_ON(buf);

	if (!row_applies(c.l, r, v1))
		return 0;
	if (!file && !v1)
		return not_in_v2(r);
	c.v = value_of(c.l, r)->v;
	c.text = &text;
	(v1 ? r->v1_text : r->v2_text)(&c);
	w = add(a, out, r->ctl, r->field, file);
	w->text = arena_strdup(a, buf);
	w->flags = r->flags;
	/* no limit on what the kernel does not count is no limit */
	if (r->offset == AT(memory_swap) && (c.v < 0 || strcmp(buf, "0") == 0))
		w->flags |= WRITE_OPTIONAL;
	/* unlimited memory below a limit of memory and swap is refused, or limited swap is
	 * absurd */
	if (r->offset == AT(memory) && c.v < 0 && !given(c.l->memory_swap)) {
		w = add(a, out, r->ctl, R "memory.swap",
			v1 ? "memory.memsw.limit_in_bytes" : "memory.swap.max");
		w->text = v1 ? "-1" : "max";
		w->flags = WRITE_OPTIONAL;
	}
	return 0;
}

static void build_cpuset(struct arena *a, const struct cgroup_limits *l, struct cgroup_writes *out)
{
	if (l->cpus && *l->cpus)
		add(a, out, CTL_CPUSET, R "cpu.cpus", "cpuset.cpus")->text = l->cpus;
	if (l->mems && *l->mems)
		add(a, out, CTL_CPUSET, R "cpu.mems", "cpuset.mems")->text = l->mems;
}

/* One weight, of the cgroup or of a device ("8:0 "), under the two names it has in each version. */
static void build_weight(struct arena *a, bool v1, const char *device, int64_t v,
			 struct cgroup_writes *out)
{
	struct cgroup_write *w;

	w = add(a, out, CTL_IO, *device ? R "blockIO.weightDevice" : R "blockIO.weight",
		v1 ? (*device ? "blkio.weight_device" : "blkio.weight") : "io.bfq.weight");
	w->text = w->alt_text = arena_printf(a, "%s%lld", device, (long long)v);
	w->alt_file = v1 ? (*device ? "blkio.bfq.weight_device" : "blkio.bfq.weight") : "io.weight";
	if (!v1)
		w->alt_text =
			arena_printf(a, "%s%llu", device,
				     (unsigned long long)cgroup_limits_io_weight((uint64_t)v));
}

static void build_io(struct arena *a, const struct cgroup_limits *l, bool v1,
		     struct cgroup_writes *out)
{
	static const struct {
		const char *field, *v1, *v2;
	} rates[BLK_THROTTLES] = {
		{ R "blockIO.throttleReadBpsDevice", "blkio.throttle.read_bps_device", "rbps" },
		{ R "blockIO.throttleWriteBpsDevice", "blkio.throttle.write_bps_device", "wbps" },
		{ R "blockIO.throttleReadIOPSDevice", "blkio.throttle.read_iops_device", "riops" },
		{ R "blockIO.throttleWriteIOPSDevice", "blkio.throttle.write_iops_device",
		  "wiops" },
	};
	const struct cgroup_blk_weight *d;
	const struct cgroup_blk_rate *r;
	struct cgroup_write *w;

	if (given(l->blk_weight))
		build_weight(a, v1, "", l->blk_weight.v, out);
	for (size_t i = 0; i < l->n_blk_devices; i++) {
		d = &l->blk_devices[i];
		if (given(d->weight))
			build_weight(a, v1, arena_printf(a, "%u:%u ", d->major, d->minor),
				     d->weight.v, out);
		if (!given(d->leaf_weight))
			continue;
		if (!v1) {
			log_warning(R "blockIO.weightDevice leafWeight is ignored: version 2 "
				      "cgroups have no such limit");
			continue;
		}
		w = add(a, out, CTL_IO, R "blockIO.weightDevice", "blkio.leaf_weight_device");
		w->text = arena_printf(a, "%u:%u %lld", d->major, d->minor,
				       (long long)d->leaf_weight.v);
	}
	for (size_t k = 0; k < BLK_THROTTLES; k++) {
		for (size_t i = 0; i < l->n_blk_rates[k]; i++) {
			r = &l->blk_rates[k][i];
			w = add(a, out, CTL_IO, rates[k].field, v1 ? rates[k].v1 : "io.max");
			if (v1)
				w->text = arena_printf(a, "%u:%u %llu", r->major, r->minor,
						       (unsigned long long)r->rate);
			else if (r->rate)
				w->text = arena_printf(a, "%u:%u %s=%llu", r->major, r->minor,
						       rates[k].v2, (unsigned long long)r->rate);
			else /* 0 takes a limit away in version 1 */
				w->text = arena_printf(a, "%u:%u %s=max", r->major, r->minor,
						       rates[k].v2);
		}
	}
}

static int build_hugepages(struct arena *a, const struct cgroup_limits *l, bool v1,
			   struct cgroup_writes *out)
{
	static const char *const suffix[2][2] = { { "max", "rsvd.max" },
						  { "limit_in_bytes", "rsvd.limit_in_bytes" } };
	const struct cgroup_hugepage *h;
	struct cgroup_write *w;

	for (size_t i = 0; i < l->n_hugepages; i++) {
		h = &l->hugepages[i];
		if (!*h->size || strspn(h->size, "0123456789KMGTB") != strlen(h->size))
			return fail(EINVAL, R "hugepageLimits: \"%s\" is no page size like \"2MB\"",
				    h->size);
		for (int k = 0; k < 2; k++) {
			w = add(a, out, CTL_HUGETLB, R "hugepageLimits",
				arena_printf(a, "hugetlb.%s.%s", h->size, suffix[v1][k]));
			w->text = arena_printf(a, "%llu", (unsigned long long)h->limit);
			w->flags = k ? WRITE_OPTIONAL : 0;
		}
	}
	return 0;
}

static void build_others(struct arena *a, const struct cgroup_limits *l, unsigned v1,
			 struct cgroup_writes *out)
{
	const struct cgroup_rdma *r;
	struct cgroup_write *w;
	char buf[256];

	for (size_t i = 0; i < l->n_rdma; i++) {
		struct str text = STR_ON(buf);

		r = &l->rdma[i];
		str_add(&text, r->device);
		if (r->handles.set)
			str_addf(&text, " hca_handle=%lld", (long long)r->handles.v);
		if (r->objects.set)
			str_addf(&text, " hca_object=%lld", (long long)r->objects.v);
		add(a, out, CTL_RDMA, R "rdma", "rdma.max")->text = arena_strdup(a, buf);
	}
	if (l->n_net_priorities && !(v1 & 1u << CTL_NET_PRIO)) {
		log_warning(R
			    "network.priorities is ignored: version 2 cgroups have no such limit");
		return;
	}
	for (size_t i = 0; i < l->n_net_priorities; i++) {
		w = add(a, out, CTL_NET_PRIO, R "network.priorities", "net_prio.ifpriomap");
		w->text = arena_printf(a, "%s %u", l->net_priorities[i].interface,
				       l->net_priorities[i].priority);
	}
}

int cgroup_limits_build(struct arena *a, const struct cgroup_limits *l,
			const struct cgroup_limits_context *context, struct cgroup_writes *out)
{
	struct conversion base = { .l = l, .context = context };
	struct cgroup_writes w = { 0 };
	int ret = 0;

	if (given(l->kernel_memory) || given(l->kernel_memory_tcp))
		log_warning(R "memory.kernel and kernelTCP are ignored: the kernel counts this "
			      "memory in memory.limit");
	for (size_t i = 0; !ret && i < sizeof(rows) / sizeof(rows[0]); i++)
		ret = build_row(a, &rows[i], &base, &w);
	if (ret)
		return ret;
	build_cpuset(a, l, &w);
	build_io(a, l, context->v1 & 1u << CTL_IO, &w);
	build_others(a, l, context->v1, &w);
	ret = build_hugepages(a, l, context->v1 & 1u << CTL_HUGETLB, &w);
	if (ret)
		return ret;
	*out = w;
	return 0;
}
