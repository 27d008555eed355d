/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/check.h"

#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "base/names.h"
#include "base/str.h"
#include "oci/check_priv.h"

#define BLK_WEIGHT_MIN 10
#define BLK_WEIGHT_MAX 1000

/* One number of a version: digits up to the end character. */
static const char *skip_number(const char *p, char end)
{
	size_t n = strspn(p, "0123456789");

	return n && n < 10 && p[n] == end ? p + n + 1 : NULL;
}

/* Semantic versioning 2.0.0, of the major version 1: "1.0.2", "1.0.2-dev", "1.3.0+dev". */
static bool is_version_1(const char *v)
{
	const char *patch;
	size_t n;

	if (!str_starts(v, "1."))
		return false;
	patch = skip_number(v + 2, '.');
	if (!patch)
		return false;
	n = strspn(patch, "0123456789");
	return n && (!patch[n] || ((patch[n] == '-' || patch[n] == '+') && patch[n + 1]));
}

static int check_version(const struct spec *s)
{
	if (is_version_1(s->version))
		return 0;
	return fail(EINVAL, "%s: ociVersion: \"%.40s\" is not supported (known: %s to %s)", s->doc,
		    s->version, SPEC_VERSION_MIN, SPEC_VERSION_MAX);
}

static int check_root(const struct spec *s)
{
	if (!s->root)
		return fail(EINVAL, "%s: root: is missing", s->doc);
	if (!*s->root->path)
		return fail(EINVAL, "%s: root.path: is empty", s->doc);
	return 0;
}

static int check_own_process(const struct spec *s)
{
	return s->process ? check_process(s, s->process) : 0;
}

static int check_hooks(const struct spec *s)
{
	for (size_t point = 0; point < HOOK_POINTS; point++) {
		for (size_t i = 0; i < s->hooks[point].n; i++) {
			const struct spec_hook *h = &s->hooks[point].v[i];
			const char *name = spec_hook_names[point];

			if (h->path[0] != '/')
				return fail(
					EINVAL,
					"%s: hooks.%s[%zu].path: \"%s\" is not an absolute path",
					s->doc, name, i, h->path);
			if (h->timeout.set && h->timeout.v <= 0)
				return fail(EINVAL,
					    "%s: hooks.%s[%zu].timeout: must be greater than zero",
					    s->doc, name, i);
		}
	}
	return 0;
}

static int check_annotations(const struct spec *s)
{
	for (size_t i = 0; i < s->n_annotations; i++)
		if (!*s->annotations[i].key)
			return fail(EINVAL, "%s: annotations: a key is empty", s->doc);
	return 0;
}

static int check_memory(const struct cgroup_limits *l, const char *doc, const char *at)
{
	const struct {
		const char *name;
		struct opt_i64 value;
	} sizes[] = {
		{ "limit", l->memory },
		{ "reservation", l->memory_reservation },
		{ "swap", l->memory_swap },
	};

	for (size_t i = 0; i < NAME_COUNT(sizes); i++)
		if (sizes[i].value.set && sizes[i].value.v < -1)
			return fail(EINVAL,
				    "%s: %smemory.%s: must be a number of bytes or -1 (no limit)",
				    doc, at, sizes[i].name);
	if (l->swappiness.set && l->swappiness.v > 100)
		return fail(EINVAL, "%s: %smemory.swappiness: must be from 0 to 100", doc, at);
	return 0;
}

static int check_cpu(const struct cgroup_limits *l, const char *doc, const char *at)
{
	if (l->cpu_quota.set && l->cpu_quota.v > 0 && l->cpu_burst.set &&
	    l->cpu_burst.v > l->cpu_quota.v)
		return fail(EINVAL, "%s: %scpu.burst: must not be larger than cpu.quota", doc, at);
	if (l->cpu_idle.set && (l->cpu_idle.v < 0 || l->cpu_idle.v > 1))
		return fail(EINVAL, "%s: %scpu.idle: must be 0 or 1", doc, at);
	return 0;
}

/* 0 stands for "leave it" in what docker sends. */
static bool is_blk_weight(struct opt_i64 w)
{
	return !w.set || w.v == 0 || (w.v >= BLK_WEIGHT_MIN && w.v <= BLK_WEIGHT_MAX);
}

static int check_block(const struct cgroup_limits *l, const char *doc, const char *at)
{
	if (!is_blk_weight(l->blk_weight))
		return fail(EINVAL, "%s: %sblockIO.weight: must be from %d to %d", doc, at,
			    BLK_WEIGHT_MIN, BLK_WEIGHT_MAX);
	for (size_t i = 0; i < l->n_blk_devices; i++) {
		const struct cgroup_blk_weight *w = &l->blk_devices[i];

		if (!w->weight.set && !w->leaf_weight.set)
			return fail(
				EINVAL,
				"%s: %sblockIO.weightDevice[%zu]: has neither weight nor leafWeight",
				doc, at, i);
		if (!is_blk_weight(w->weight))
			return fail(EINVAL,
				    "%s: %sblockIO.weightDevice[%zu].weight: must be from %d to %d",
				    doc, at, i, BLK_WEIGHT_MIN, BLK_WEIGHT_MAX);
	}
	return 0;
}

/* What becomes the name of a file in the cgroup. */
static bool is_file_name(const char *text)
{
	return *text && text[0] != '.' && !strpbrk(text, "/\n");
}

static int check_lists(const struct cgroup_limits *l, const char *doc, const char *at)
{
	for (size_t i = 0; i < l->n_hugepages; i++)
		if (!is_file_name(l->hugepages[i].size))
			return fail(EINVAL,
				    "%s: %shugepageLimits[%zu].pageSize: \"%.40s\" is no page size",
				    doc, at, i, l->hugepages[i].size);
	for (size_t i = 0; i < l->n_rdma; i++)
		if (!l->rdma[i].handles.set && !l->rdma[i].objects.set)
			return fail(EINVAL, "%s: %srdma.%s: has neither hcaHandles nor hcaObjects",
				    doc, at, l->rdma[i].device);
	for (size_t i = 0; i < l->n_unified; i++)
		if (!is_file_name(l->unified[i].key))
			return fail(EINVAL, "%s: %sunified: \"%.80s\" is no name of a cgroup file",
				    doc, at, l->unified[i].key);
	return 0;
}

static int check_device_rules(const struct spec_resources *r, const char *doc, const char *at)
{
	for (size_t i = 0; i < r->n_devices; i++) {
		const struct spec_device_rule *d = &r->devices[i];

		if (!d->access || !*d->access || d->access[strspn(d->access, "rwm")])
			return fail(
				EINVAL,
				"%s: %sdevices[%zu].access: must be made of the letters r, w, m",
				doc, at, i);
		if ((d->major.set && d->major.v < -1) || (d->minor.set && d->minor.v < -1))
			return fail(EINVAL, "%s: %sdevices[%zu]: a device number is negative", doc,
				    at, i);
	}
	return 0;
}

int check_resources(const struct spec_resources *r, const char *doc, const char *at)
{
	static int (*const parts[])(const struct cgroup_limits *, const char *, const char *) = {
		check_memory,
		check_cpu,
		check_block,
		check_lists,
	};

	for (size_t i = 0; i < NAME_COUNT(parts); i++) {
		int ret = parts[i](&r->limits, doc, at);

		if (ret)
			return ret;
	}
	return check_device_rules(r, doc, at);
}

static int check_own_resources(const struct spec *s)
{
	return s->resources ? check_resources(s->resources, s->doc, "linux.resources.") : 0;
}

/* By section, in the order in which a person reads the file. */
static int (*const sections[])(const struct spec *) = {
	check_version,     check_root,          check_namespaces,    check_mappings,
	check_own_process, check_names,         check_mounts,        check_hooks,
	check_annotations, check_paths,         check_time_offsets,  check_sysctl,
	check_devices,     check_net_devices,   check_own_resources, check_seccomp,
	check_rdt,         check_memory_policy,
};

int check_spec(const struct spec *s)
{
	for (size_t i = 0; i < NAME_COUNT(sections); i++) {
		int ret = sections[i](s);

		if (ret)
			return ret;
	}
	return 0;
}
