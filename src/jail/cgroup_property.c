/* SPDX-License-Identifier: Apache-2.0 */
/* systemd.resource-control(5), org.freedesktop.systemd1(5) */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

#define PERIOD_DEFAULT 100000
#define QUOTA_STEP 10000 /* systemd rounds to whole percents of a second */

static struct gvariant *add(struct cgroup_unit_properties *p, const char *name,
			    enum gvariant_kind kind, const char *type)
{
	struct cgroup_unit_property *one;

	p->v = arena_grow(p->arena, p->v, p->n, &p->cap, sizeof(*p->v));
	one = &p->v[p->n++];
	*one = (struct cgroup_unit_property){ .name = name, .value = { .kind = kind } };
	snprintf(one->value.type, sizeof(one->value.type), "%s", type);
	return &one->value;
}

static void add_bool(struct cgroup_unit_properties *p, const char *name, bool v)
{
	add(p, name, GV_BOOL, "b")->i = v;
}

static void add_u64(struct cgroup_unit_properties *p, const char *name, uint64_t v)
{
	add(p, name, GV_UINT, "t")->u = v;
}

static void add_string(struct cgroup_unit_properties *p, const char *name, const char *v)
{
	add(p, name, GV_STRING, "s")->s = v;
}

int cgroup_property_unit(struct cgroup_unit_properties *p, const struct cgroup_plan *plan,
			 const char *unit, pid_t pid)
{
	const char *slice = cgroup_path_slice_name(p->arena, plan);
	struct gvariant *v;

	if (!slice)
		return -err_last()->code;
	add_string(p, "Description", arena_printf(p->arena, "container %s", plan->id));
	if (str_ends(unit, ".slice")) {
		/* a slice holds no processes of its own, and lies below the one its name says */
		v = add(p, "Wants", GV_ARRAY, "as");
		v->items = arena_alloc(p->arena, sizeof(*v->items));
		*v->items = (struct gvariant){ .kind = GV_STRING, .type = "s", .s = slice };
		v->n = 1;
	} else {
		add_string(p, "Slice", slice);
		add_bool(p, "Delegate", true);
		v = add(p, "PIDs", GV_ARRAY, "au");
		v->items = arena_alloc(p->arena, sizeof(*v->items));
		*v->items = (struct gvariant){ .kind = GV_UINT, .type = "u", .u = (uint64_t)pid };
		v->n = 1;
	}
	add_bool(p, "MemoryAccounting", true);
	add_bool(p, "CPUAccounting", true);
	add_bool(p, p->v2 ? "IOAccounting" : "BlockIOAccounting", true);
	add_bool(p, "TasksAccounting", true);
	add_bool(p, "DefaultDependencies", false);
	return 0;
}

static bool given(struct opt_i64 o)
{
	return o.set && o.v != 0;
}

/* -1 and all other negative numbers are "no limit". */
static uint64_t or_infinity(int64_t v)
{
	return v < 0 ? UINT64_MAX : (uint64_t)v;
}

static void add_bandwidth(struct cgroup_unit_properties *p, int64_t quota, int64_t period)
{
	uint64_t per_second = UINT64_MAX;

	if (period <= 0)
		period = PERIOD_DEFAULT;
	if (quota > 0) {
		per_second = (uint64_t)((__extension__(unsigned __int128) quota * 1000000 +
					 (unsigned __int128)period - 1) /
					(unsigned __int128)period);
		per_second = (per_second + QUOTA_STEP - 1) / QUOTA_STEP * QUOTA_STEP;
	}
	add_u64(p, "CPUQuotaPerSecUSec", per_second);
	if (p->version >= 242)
		add_u64(p, "CPUQuotaPeriodUSec", (uint64_t)period);
}

/* "0-3,8" to bytes of bits, the lowest first */
static int add_mask(struct cgroup_unit_properties *p, const char *name, const char *list)
{
	unsigned char bits[1024] = { 0 };
	unsigned long from, to;
	size_t used = 0;
	struct gvariant *v;
	const char *s = list;
	char *end;

	if (p->version < 244)
		return 0;
	while (*s && *s != '\n') {
		from = to = strtoul(s, &end, 10);
		if (end == s)
			return fail(EINVAL, "\"%s\" is no list of numbers like \"0-3,8\"", list);
		if (*end == '-') {
			s = end + 1;
			to = strtoul(s, &end, 10);
		}
		if (end == s || from > to || to >= sizeof(bits) * 8 ||
		    (*end && !strchr(",\n", *end)))
			return fail(EINVAL, "\"%s\" is no list of numbers like \"0-3,8\"", list);
		for (unsigned long k = from; k <= to; k++)
			bits[k / 8] |= (unsigned char)(1u << k % 8);
		used = to / 8 + 1 > used ? to / 8 + 1 : used;
		s = end + (*end == ',');
	}
	v = add(p, name, GV_ARRAY, "ay");
	v->items = arena_array(p->arena, used, sizeof(*v->items));
	v->n = used;
	for (size_t i = 0; i < used; i++)
		v->items[i] = (struct gvariant){ .kind = GV_UINT, .type = "y", .u = bits[i] };
	return 0;
}

static void limits_cpu(struct cgroup_unit_properties *p, const struct cgroup_limits *l)
{
	if (given(l->cpu_idle)) {
		if (p->v2 && p->version >= 252)
			add_u64(p, "CPUWeight", 0);
	} else if (given(l->cpu_shares)) {
		if (p->v2)
			add_u64(p, "CPUWeight",
				cgroup_limits_cpu_weight((uint64_t)l->cpu_shares.v));
		else
			add_u64(p, "CPUShares", (uint64_t)l->cpu_shares.v);
	}
	if (given(l->cpu_quota) || given(l->cpu_period))
		add_bandwidth(p, l->cpu_quota.set ? l->cpu_quota.v : 0,
			      l->cpu_period.set ? l->cpu_period.v : 0);
}

static void limits_memory(struct cgroup_unit_properties *p, const struct cgroup_limits *l)
{
	if (given(l->memory))
		add_u64(p, p->v2 ? "MemoryMax" : "MemoryLimit", or_infinity(l->memory.v));
	if (!p->v2)
		return;
	if (given(l->memory_reservation))
		add_u64(p, "MemoryLow", or_infinity(l->memory_reservation.v));
	if (given(l->memory_swap) && (l->memory_swap.v < 0 || l->memory.v < 0))
		add_u64(p, "MemorySwapMax", UINT64_MAX);
	else if (given(l->memory_swap))
		add_u64(p, "MemorySwapMax", (uint64_t)(l->memory_swap.v - l->memory.v));
	else if (given(l->memory) && l->memory.v < 0)
		add_u64(p, "MemorySwapMax", UINT64_MAX);
}

/* Keys of unified that systemd has a property for: it would else take its own value back. */
static const struct {
	const char *key, *name;
} unified_numbers[] = {
	{ "memory.min", "MemoryMin" },          { "memory.low", "MemoryLow" },
	{ "memory.high", "MemoryHigh" },        { "memory.max", "MemoryMax" },
	{ "memory.swap.max", "MemorySwapMax" }, { "pids.max", "TasksMax" },
	{ "cpu.weight", "CPUWeight" },
};

static int unified_number(const struct cgroup_unified *u, uint64_t *out)
{
	if (strncmp(u->value, "max", 3) == 0) {
		*out = UINT64_MAX;
		return 0;
	}
	if (num_u64(u->value, 0, UINT64_MAX, out) == 0)
		return 0;
	return fail(EINVAL, "linux.resources.unified[\"%s\"]: \"%s\" is no number", u->key,
		    u->value);
}

static int unified_one(struct cgroup_unit_properties *p, const struct cgroup_unified *u)
{
	long long quota = -1, period = PERIOD_DEFAULT;
	uint64_t v;
	int ret;

	for (size_t i = 0; i < sizeof(unified_numbers) / sizeof(unified_numbers[0]); i++) {
		if (strcmp(u->key, unified_numbers[i].key) != 0)
			continue;
		ret = unified_number(u, &v);
		if (!ret)
			add_u64(p, unified_numbers[i].name, v);
		return ret;
	}
	if (strcmp(u->key, "cpu.max") == 0) {
		if (sscanf(u->value, "%lld %lld", &quota, &period) < 1 &&
		    sscanf(u->value, "max %lld", &period) < 1 && !str_starts(u->value, "max"))
			return fail(EINVAL,
				    "linux.resources.unified[\"cpu.max\"]: \"%s\" is not "
				    "\"quota period\"",
				    u->value);
		add_bandwidth(p, quota, period);
	} else if (strcmp(u->key, "cpu.idle") == 0 && u->value[0] == '1' && p->version >= 252) {
		add_u64(p, "CPUWeight", 0);
	} else if (strcmp(u->key, "cpuset.cpus") == 0) {
		return add_mask(p, "AllowedCPUs", u->value);
	} else if (strcmp(u->key, "cpuset.mems") == 0) {
		return add_mask(p, "AllowedMemoryNodes", u->value);
	} else if (strcmp(u->key, "memory.oom.group") == 0 && p->version >= 253) {
		add_string(p, "OOMPolicy", u->value[0] == '1' ? "kill" : "continue");
	}
	return 0;
}

int cgroup_property_limits(struct cgroup_unit_properties *p, const struct cgroup_limits *l)
{
	int ret = 0;

	limits_cpu(p, l);
	limits_memory(p, l);
	/* 0: as in the file, the first process is allowed */
	if (l->pids.set)
		add_u64(p, "TasksMax", l->pids.v == 0 ? 1 : or_infinity(l->pids.v));
	if (p->v2 && l->cpus && *l->cpus)
		ret = add_mask(p, "AllowedCPUs", l->cpus);
	if (!ret && p->v2 && l->mems && *l->mems)
		ret = add_mask(p, "AllowedMemoryNodes", l->mems);
	for (size_t i = 0; !ret && p->v2 && i < l->n_unified; i++)
		ret = unified_one(p, &l->unified[i]);
	return ret;
}

/* The name a driver registered a major number by: what systemd calls a group of devices. */
static char *driver_name(struct arena *a, const char *devices, char type, int64_t major)
{
	const char *p = strstr(devices, type == 'b' ? "Block devices:" : "Character devices:");
	char name[128];
	long long number;

	p = p ? strchr(p, '\n') : NULL;
	while (p && p[1] && p[1] != '\n') {
		p++;
		if (sscanf(p, " %lld %127s", &number, name) == 2 && number == major)
			return arena_strdup(a, name);
		p = strchr(p, '\n');
	}
	return NULL;
}

/* systemd's name for the devices of a rule; NULL where it has none (the driver is not loaded). */
static char *device_node(struct arena *a, const char *devices, const struct cgroup_device_rule *r)
{
	const char *kind = r->type == 'b' ? "block" : "char";
	char *driver;

	if (r->major < 0)
		return r->minor < 0 ? arena_printf(a, "%s-*", kind) : NULL;
	if (r->minor >= 0)
		return arena_printf(a, "/dev/%s/%lld:%lld", kind, (long long)r->major,
				    (long long)r->minor);
	driver = driver_name(a, devices, r->type, r->major);
	return driver ? arena_printf(a, "%s-%s", kind, driver) : NULL;
}

int cgroup_property_devices(struct cgroup_unit_properties *p, const struct cgroup_limits *l)
{
	struct cgroup_device_rules rules, set;
	const struct cgroup_device_rule *r;
	struct gvariant *v;
	char *devices, *node;
	bool allow;
	int ret;

	if (!l->has_devices)
		return 0;
	ret = cgroup_device_rules(p->arena, l, &rules);
	if (!ret)
		ret = fd_read_file(AT_FDCWD, "/proc/devices", p->arena, 1024 * 1024, &devices,
				   NULL);
	if (ret)
		return ret;
	ret = cgroup_device_exceptions(p->arena, &rules, &allow, &set);
	if (ret && !p->v2)
		return ret;
	/* version 2: our own program keeps what systemd's words can't say */
	if (ret || allow) {
		err_clear();
		add_string(p, "DevicePolicy", "auto");
		return 0;
	}
	add_string(p, "DevicePolicy", "strict");
	v = add(p, "DeviceAllow", GV_PAIRS, "a(ss)");
	v->items = arena_array(p->arena, set.n * 2, sizeof(*v->items));
	for (size_t i = 0; i < set.n; i++) {
		r = &set.v[i];
		node = device_node(p->arena, devices, r);
		if (!node)
			continue;
		v->items[v->n++].s = node;
		v->items[v->n++].s = arena_printf(
			p->arena, "%s%s%s", r->access & DEVICE_READ ? "r" : "",
			r->access & DEVICE_WRITE ? "w" : "", r->access & DEVICE_MKNOD ? "m" : "");
	}
	return 0;
}

/* systemd takes times in microseconds only; people write seconds. */
static int to_microseconds(const struct cgroup_property *one, struct gvariant *v)
{
	double d = v->kind == GV_DOUBLE ? v->d : v->kind == GV_INT ? (double)v->i : (double)v->u;

	if (v->kind > GV_DOUBLE || v->kind == GV_BOOL || d < 0 || d > 1e12)
		return fail(EINVAL,
			    "annotation org.systemd.property.%s: \"%s\" is no time in "
			    "seconds",
			    one->name, one->value);
	*v = (struct gvariant){ .kind = GV_UINT, .type = "t", .u = (uint64_t)(d * 1000000) };
	return 0;
}

int cgroup_property_custom(struct cgroup_unit_properties *p, const struct cgroup_property *one)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
	size_t n = strlen(one->name);
	const char *name = one->name;
	struct gvariant v;
	int ret;

	if (n < 3 || strspn(name, letters) != n)
		return fail(EINVAL,
			    "annotation org.systemd.property.%s: a property's name has "
			    "three letters at least and nothing else",
			    name);
	ret = gvariant_parse(p->arena, one->value, &v);
	if (ret)
		return fail_in(ret, "annotation org.systemd.property.%s", name);
	if (n > 3 && str_ends(name, "Sec") && name[n - 4] >= 'a' && name[n - 4] <= 'z') {
		ret = to_microseconds(one, &v);
		name = arena_printf(p->arena, "%.*sUSec", (int)(n - 3), name);
	}
	if (ret)
		return ret;
	*add(p, name, v.kind, v.type) = v;
	return 0;
}
