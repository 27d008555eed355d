/* SPDX-License-Identifier: Apache-2.0 */
/* update */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "base/err.h"
#include "jail/rdt.h"
#include "oci/check.h"
#include "oci/cmd.h"
#include "oci/container.h"
#include "oci/spec.h"
#include "sandbox.h"

struct update_options {
	const char *resources, *cpus, *mems, *l3_cache, *mem_bw;
	struct cgroup_limits limits; /* the flags, at the places they have in it */
};

#define AT(member) offsetof(struct update_options, member)

static const struct opt update_rows[] = {
	{ "resources", 'r', OPT_TEXT, AT(resources), "FILE",
	  "the new limits as JSON (linux.resources); - for standard input", NULL },
	{ "memory", 0, OPT_BYTES, AT(limits.memory), "BYTES", "memory limit; -1 for none", NULL },
	{ "memory-swap", 0, OPT_BYTES, AT(limits.memory_swap), "BYTES",
	  "limit of memory and swap together; -1 for none", NULL },
	{ "memory-reservation", 0, OPT_BYTES, AT(limits.memory_reservation), "BYTES",
	  "memory that is left alone when memory is short", NULL },
	{ "cpu-share", 0, OPT_NUMBER, AT(limits.cpu_shares), "N", "weight against others", NULL },
	{ "cpu-quota", 0, OPT_NUMBER, AT(limits.cpu_quota), "US", "time a period; -1 for no limit",
	  NULL },
	{ "cpu-period", 0, OPT_NUMBER, AT(limits.cpu_period), "US", "length of a period", NULL },
	{ "cpu-burst", 0, OPT_NUMBER, AT(limits.cpu_burst), "US", "time that may be saved up",
	  NULL },
	{ "cpu-idle", 0, OPT_NUMBER, AT(limits.cpu_idle), "0|1",
	  "run only when nobody else wants to", NULL },
	{ "cpu-rt-period", 0, OPT_NUMBER, AT(limits.cpu_rt_period), "US", "real-time period",
	  NULL },
	{ "cpu-rt-runtime", 0, OPT_NUMBER, AT(limits.cpu_rt_runtime), "US",
	  "real-time time a period", NULL },
	{ "cpuset-cpus", 0, OPT_TEXT, AT(cpus), "LIST", "the CPUs it may use: 0-3,7", NULL },
	{ "cpuset-mems", 0, OPT_TEXT, AT(mems), "LIST", "the memory nodes it may use", NULL },
	{ "pids-limit", 0, OPT_NUMBER, AT(limits.pids), "N", "number of processes; -1 for no limit",
	  NULL },
	{ "blkio-weight", 0, OPT_NUMBER, AT(limits.blk_weight), "N",
	  "weight of block I/O: 10 to 1000", NULL },
	{ "l3-cache-schema", 0, OPT_TEXT, AT(l3_cache), "SCHEMA",
	  "Intel RDT: share of the L3 cache", NULL },
	{ "mem-bw-schema", 0, OPT_TEXT, AT(mem_bw), "SCHEMA",
	  "Intel RDT: share of memory bandwidth", NULL },
	{ "kernel-memory", 0, OPT_SKIP_TEXT, 0, "BYTES", NULL, NULL },
	{ "kernel-memory-tcp", 0, OPT_SKIP_TEXT, 0, "BYTES", NULL, NULL },
};

static int limits_of_file(struct cmd *c, const char *path, struct cgroup_limits *out)
{
	const struct spec_resources *r;
	int ret;

	if (strcmp(path, "-") == 0)
		path = "/dev/stdin";
	ret = spec_load_resources(c->arena, AT_FDCWD, path, &r);
	if (!ret)
		ret = check_resources(r, path, "");
	if (!ret)
		*out = r->limits;
	return ret;
}

static int limits_of_flags(const struct update_options *o, struct cgroup_limits *out)
{
	struct spec_resources r = { .limits = o->limits };
	int ret;

	r.limits.cpus = o->cpus;
	r.limits.mems = o->mems;
	ret = check_resources(&r, "update", "");
	if (!ret)
		*out = r.limits;
	return ret;
}

/* Each schema is one line of the class's schemata. */
static int update_rdt(const struct state *s, const struct update_options *o)
{
	const char *lines[2];
	struct sandbox_rdt plan = { .closid = s->rdt_class, .schemata = lines };

	if (!s->rdt_class)
		return fail(EINVAL, "container %s has no Intel RDT class (linux.intelRdt)", s->id);
	if (o->l3_cache)
		lines[plan.n_schemata++] = o->l3_cache;
	if (o->mem_bw)
		lines[plan.n_schemata++] = o->mem_bw;
	return rdt_update(&plan, s->id);
}

static int run_update(struct cmd *c, const void *options)
{
	const struct update_options *o = options;
	auto_container ct = CONTAINER_NONE;
	struct cgroup_limits limits = { 0 };
	int ret;

	ret = o->resources ? limits_of_file(c, o->resources, &limits) : limits_of_flags(o, &limits);
	if (!ret)
		ret = container_open(c, c->args[0], &ct);
	if (ret)
		return ret;
	if (ct.pidfd < 0)
		return fail(ESRCH, "container not running");
	if (o->l3_cache || o->mem_bw) {
		ret = update_rdt(&ct.state, o);
		if (ret)
			return ret;
	}
	if (ct.state.cgroup.n == 0)
		return fail(ENOTSUP, "container %s has no cgroup: it has no limits to change",
			    ct.dir.id);
	return cgroup_update(c->arena, &ct.state.cgroup, &limits);
}

const struct command cmd_update = {
	.name = "update",
	.args = "ID",
	.summary = "change the resource limits of a container",
	.text = "Changes the resource limits of a container. What is not named stays as it is. With "
		"--resources the other flags do not count.",
	.opts = CMD_OPTS(update_rows),
	.size = sizeof(struct update_options),
	.min_args = 1,
	.max_args = 1,
	.run = run_update,
};
