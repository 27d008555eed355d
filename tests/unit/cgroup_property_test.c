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

static void put_value(struct str *s, const struct gvariant *v)
{
	switch (v->kind) {
	case GV_BOOL:
		str_add(s, v->i ? "true" : "false");
		break;
	case GV_INT:
		str_addf(s, "%lld", (long long)v->i);
		break;
	case GV_UINT:
		str_addf(s, "%llu", (unsigned long long)v->u);
		break;
	case GV_DOUBLE:
		str_addf(s, "%g", v->d);
		break;
	case GV_STRING:
		str_addf(s, "'%s'", v->s);
		break;
	case GV_ARRAY:
	case GV_PAIRS:
		str_add(s, "[");
		for (size_t i = 0; i < v->n; i++) {
			str_add(s, i ? "," : "");
			if (v->kind == GV_PAIRS)
				str_addf(s, "'%s'", v->items[i].s);
			else
				put_value(s, &v->items[i]);
		}
		str_add(s, "]");
		break;
	}
}

/* "type value", or the error */
static const char *parsed(struct arena *a, const char *text)
{
	char *buf = arena_alloc(a, 1024);
	struct str s = { .buf = buf, .size = 1024 };
	struct gvariant v;

	if (gvariant_parse(a, text, &v))
		return "error";
	str_addf(&s, "%s ", v.type);
	put_value(&s, &v);
	return buf;
}

static void parses_values(void)
{
	static const struct {
		const char *text, *want;
	} rows[] = {
		{ "true", "b true" },
		{ " false ", "b false" },
		{ "boolean true", "b true" },
		{ "5", "i 5" },
		{ "-5", "i -5" },
		{ "2147483647", "i 2147483647" },
		{ "-2147483648", "i -2147483648" },
		{ "2147483648", "error" },
		{ "-2147483649", "error" },
		{ "uint64 5000000", "t 5000000" },
		{ "uint64 18446744073709551615", "t 18446744073709551615" },
		{ "uint64 18446744073709551616", "error" },
		{ "uint64 -1", "error" },
		{ "@t 5", "t 5" },
		{ "int64 -9223372036854775808", "x -9223372036854775808" },
		{ "byte 0xff", "y 255" },
		{ "byte 256", "error" },
		{ "uint16 65535", "q 65535" },
		{ "int16 -32768", "n -32768" },
		{ "uint32 4294967295", "u 4294967295" },
		{ "1.5", "d 1.5" },
		{ "1e3", "d 1000" },
		{ "double 2", "d 2" },
		{ "'str'", "s 'str'" },
		{ "\"it's\"", "s 'it's'" },
		{ "'a\\'b\\\\\\n'", "s 'a'b\\\n'" },
		{ "'\\u00e9\\U0001f600'", "s '\xc3\xa9\xf0\x9f\x98\x80'" },
		{ "'\\ud800'", "error" },
		{ "objectpath '/a'", "o '/a'" },
		{ "string 5", "error" },
		{ "boolean 5", "error" },
		{ "uint64 'x'", "error" },
		{ "[1, 2,3]", "ai [1,2,3]" },
		{ "['a', \"b\"]", "as ['a','b']" },
		{ "[uint64 1, 2]", "at [1,2]" },
		{ "[1, 'a']", "error" },
		{ "[1, ]", "error" },
		{ "[1 2]", "error" },
		{ "[1", "error" },
		{ "[]", "error" },
		{ "@as []", "as []" },
		{ "@ay [1, 0x20]", "ay [1,32]" },
		{ "@as 'x'", "error" },
		{ "@a", "error" },
		{ "@", "error" },
		{ "b'ab\\001\\n'", "ay [97,98,1,10,0]" },
		{ "b'\\400'", "error" },
		{ "", "error" },
		{ "'open", "error" },
		{ "'open\\", "error" },
		{ "5 6", "error" },
		{ "truely", "error" },
		{ "uint64", "error" },
		{ "nothing", "error" },
		{ "(1, 2)", "error" },
		{ "{'a': 1}", "error" },
	};
	auto_arena a = arena_new();

	for (size_t i = 0; i < TAP_COUNT(rows); i++)
		is_str(parsed(a, rows[i].text), rows[i].want, "%s", rows[i].text);
}

/* "Name=type value;" for each property */
static const char *listing(struct cgroup_unit_properties *p)
{
	char *buf = arena_alloc(p->arena, 8192);
	struct str s = { .buf = buf, .size = 8192 };

	for (size_t i = 0; i < p->n; i++) {
		str_addf(&s, "%s=%s ", p->v[i].name, p->v[i].value.type);
		put_value(&s, &p->v[i].value);
		str_add(&s, ";");
	}
	return buf;
}

static const char *limits(struct arena *a, const struct cgroup_limits *l, bool v2, unsigned version)
{
	struct cgroup_unit_properties p = { .arena = a, .v2 = v2, .version = version };

	return cgroup_property_limits(&p, l) ? err_last()->text : listing(&p);
}

static void knows_limits(void)
{
	static const struct cgroup_unified unified[] = {
		{ "memory.high", "1000" },     { "memory.swap.max", "max" },
		{ "cpu.max", "50000 100000" }, { "cpuset.cpus", "0-2" },
		{ "pids.max", "max" },         { "memory.oom.group", "1" },
		{ "hugetlb.2MB.max", "5" },
	};
	static const struct {
		struct cgroup_limits l;
		const char *v1, *v2;
	} rows[] = {
		{ { .memory = SET(1000), .memory_swap = SET(1500), .memory_reservation = SET(9) },
		  "MemoryLimit=t 1000;",
		  "MemoryMax=t 1000;MemoryLow=t 9;MemorySwapMax=t 500;" },
		{ { .memory = SET(-1) },
		  "MemoryLimit=t 18446744073709551615;",
		  "MemoryMax=t 18446744073709551615;MemorySwapMax=t 18446744073709551615;" },
		{ { .cpu_shares = SET(1024), .pids = SET(0) },
		  "CPUShares=t 1024;TasksMax=t 1;",
		  "CPUWeight=t 100;TasksMax=t 1;" },
		{ { .cpu_idle = SET(1), .cpu_shares = SET(5) }, "", "CPUWeight=t 0;" },
		/* a third of a processor, rounded up to whole hundredths */
		{ { .cpu_quota = SET(1000), .cpu_period = SET(3000) },
		  "CPUQuotaPerSecUSec=t 340000;CPUQuotaPeriodUSec=t 3000;",
		  "CPUQuotaPerSecUSec=t 340000;CPUQuotaPeriodUSec=t 3000;" },
		{ { .cpu_quota = SET(-1) },
		  "CPUQuotaPerSecUSec=t 18446744073709551615;CPUQuotaPeriodUSec=t 100000;",
		  "CPUQuotaPerSecUSec=t 18446744073709551615;CPUQuotaPeriodUSec=t 100000;" },
		{ { .cpus = "0-2,8", .mems = "0" },
		  "",
		  "AllowedCPUs=ay [7,1];AllowedMemoryNodes=ay [1];" },
		{ { .unified = unified, .n_unified = 7 },
		  "",
		  "MemoryHigh=t 1000;MemorySwapMax=t 18446744073709551615;"
		  "CPUQuotaPerSecUSec=t 500000;CPUQuotaPeriodUSec=t 100000;AllowedCPUs=ay [7];"
		  "TasksMax=t 18446744073709551615;OOMPolicy=s 'kill';" },
	};
	auto_arena a = arena_new();

	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		is_str(limits(a, &rows[i].l, false, 255), rows[i].v1, "version 1, row %zu", i);
		is_str(limits(a, &rows[i].l, true, 255), rows[i].v2, "version 2, row %zu", i);
	}
	is_str(limits(a, &(struct cgroup_limits){ .cpus = "0", .cpu_quota = SET(1000) }, true, 239),
	       "CPUQuotaPerSecUSec=t 10000;", "an old systemd is asked for what it knows");
	ok(strstr(limits(a, &(struct cgroup_limits){ .cpus = "2-1" }, true, 255), "no list"),
	   "no list of processors");
	ok(strstr(limits(a, &(struct cgroup_limits){ .cpus = "99999999" }, true, 255), "no list"),
	   "no processor");
}

static void knows_devices(void)
{
	static const struct cgroup_device some[] = { { false, 'a', -1, -1, "rwm" },
						     { true, 'b', 8, 0, "rm" } };
	static const struct cgroup_device all[] = { { true, 'a', -1, -1, "rwm" } };
	auto_arena a = arena_new();
	struct cgroup_unit_properties p = { .arena = a };
	struct cgroup_limits l = { .has_devices = true, .devices = some, .n_devices = 2 };
	const char *text;

	ok(cgroup_property_devices(&p, &l) == 0, "%s", err_last()->text);
	text = listing(&p);
	ok(str_starts(text,
		      "DevicePolicy=s 'strict';DeviceAllow=a(ss) ["
		      "'/dev/block/8:0','rm','char-*','m','block-*','m','/dev/char/1:3','rwm'"),
	   "%s", text);
	ok(strstr(text, "'char-pts','rwm'"), "a driver by its name: %s", text);
	p.n = 0;
	l.devices = all;
	l.n_devices = 1;
	ok(cgroup_property_devices(&p, &l) == 0, "%s", err_last()->text);
	is_str(listing(&p), "DevicePolicy=s 'auto';", "all are allowed");
	p.n = 0;
	ok(cgroup_property_devices(&p, &(struct cgroup_limits){ .memory = SET(1) }) == 0, "none");
	is_int((long long)p.n, 0, "no rules, no property");
}

static void takes_annotations(void)
{
	static const struct {
		struct cgroup_property p;
		const char *want;
	} rows[] = {
		{ { "TimeoutStopUSec", "uint64 5000000" }, "TimeoutStopUSec=t 5000000;" },
		{ { "CollectMode", "'inactive-or-failed'" },
		  "CollectMode=s 'inactive-or-failed';" },
		{ { "KillSignal", "15" }, "KillSignal=i 15;" },
		{ { "TimeoutStopSec", "30" }, "TimeoutStopUSec=t 30000000;" },
		{ { "TimeoutStopSec", "0.5" }, "TimeoutStopUSec=t 500000;" },
		{ { "SEC", "true" }, "SEC=b true;" },
		{ { "TimeoutStopSec", "-1" }, NULL },
		{ { "TimeoutStopSec", "'x'" }, NULL },
		{ { "ab", "true" }, NULL },
		{ { "a_b", "true" }, NULL },
		{ { "Foo1", "true" }, NULL },
		{ { "Foo", "tru" }, NULL },
	};
	auto_arena a = arena_new();

	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		struct cgroup_unit_properties p = { .arena = a };
		int ret = cgroup_property_custom(&p, &rows[i].p);

		is_int(ret, rows[i].want ? 0 : -EINVAL, "row %zu", i);
		if (rows[i].want)
			is_str(listing(&p), rows[i].want, "row %zu", i);
		else
			ok(strstr(err_last()->text, "org.systemd.property."), "%s",
			   err_last()->text);
	}
}

static void describes_units(void)
{
	struct cgroup_plan plan = { .manager = CGROUP_SYSTEMD, .id = "box", .path = "a.slice:p:n" };
	auto_arena a = arena_new();
	struct cgroup_unit_properties p = { .arena = a, .v2 = true };

	ok(cgroup_property_unit(&p, &plan, "p-n.scope", 77) == 0, "%s", err_last()->text);
	is_str(listing(&p),
	       "Description=s 'container box';Slice=s 'a.slice';Delegate=b true;PIDs=au [77];"
	       "MemoryAccounting=b true;CPUAccounting=b true;IOAccounting=b true;"
	       "TasksAccounting=b true;DefaultDependencies=b false;",
	       "a scope");
	p.n = 0;
	ok(cgroup_property_unit(&p, &plan, "n.slice", 77) == 0, "%s", err_last()->text);
	ok(strstr(listing(&p), "Wants=as ['a.slice'];Memory"), "%s", listing(&p));
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(parses_values),     TAP(knows_limits),    TAP(knows_devices),
		TAP(takes_annotations), TAP(describes_units),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
