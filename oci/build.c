/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/build.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "oci/build_priv.h"

#define ANY_NUMBER (-1)

static void build_namespaces(struct arena *a, const struct spec *s, struct ns_plan *out)
{
	for (size_t i = 0; i < s->n_namespaces; i++) {
		const struct spec_namespace *n = &s->namespaces[i];

		out->want[n->kind] = (struct ns_want){
			.wanted = true,
			.path = build_text(n->path),
			.where = arena_printf(a, "linux.namespaces[%zu]", i),
		};
	}
	out->maps = (struct ns_maps){ s->uid_map, s->gid_map, s->n_uid, s->n_gid };
	for (size_t i = 0; i < s->n_time_offsets; i++) {
		const struct spec_time *t = &s->time_offsets[i];
		struct ns_time *clock =
			strcmp(t->clock, "boottime") == 0 ? &out->boottime : &out->monotonic;

		*clock = (struct ns_time){ .set = true, .secs = t->secs, .nanosecs = t->nanosecs };
	}
}

/* The real path of the root directory, as the kernel tells it for an opened descriptor. */
static int find_root(struct arena *a, const struct spec *s, const struct build_context *c,
		     const char **out)
{
	const char *path = s->root->path;
	char real[PATH_MAX];
	auto_fd fd = fd_open(c->bundle_dir, path, O_PATH | O_DIRECTORY, 0, 0);
	int ret;

	if (fd < 0)
		return fail(-fd, "%s: root.path: open the root directory %s: %s", s->doc, path,
			    err_reason(-fd));
	ret = fd_path(fd, real, sizeof(real));
	if (ret || real[0] != '/')
		return fail(ret ? -ret : EINVAL, "%s: root.path: find the real path of %s: %s",
			    s->doc, path, ret ? err_reason(-ret) : real);
	/* exec knows the root by its name alone */
	if (!spec_namespace(s, NS_MOUNT) && strcmp(real, "/") == 0 && strcmp(path, "/") != 0)
		return fail(EINVAL,
			    "%s: root.path: %s is the host's root: without a mount namespace it "
			    "must be written as /",
			    s->doc, path);
	*out = arena_strdup(a, real);
	return 0;
}

static int build_rootfs(struct arena *a, const struct spec *s, const struct build_context *c,
			struct rootfs_plan *out)
{
	int ret = 0;

	if (c->bundle_dir >= 0)
		ret = find_root(a, s, c, &out->path);
	else
		out->path = s->root->path[0] == '/'
				    ? s->root->path
				    : arena_printf(a, "%s/%s", c->bundle, s->root->path);
	if (ret)
		return ret;
	out->readonly = s->root->readonly;
	out->no_pivot = c->no_pivot;
	out->propagation = (unsigned)s->rootfs_propagation.v;
	out->masked = s->masked_paths;
	while (out->masked && out->masked[out->n_masked])
		out->n_masked++;
	out->read_only = s->readonly_paths;
	while (out->read_only && out->read_only[out->n_read_only])
		out->n_read_only++;
	build_devices(a, s, out);
	return build_mounts(a, s, c, out);
}

static int64_t device_number(struct opt_i64 n)
{
	return n.set ? n.v : ANY_NUMBER;
}

static void build_device_rules(struct arena *a, const struct spec_resources *r,
			       struct cgroup_limits *out)
{
	struct cgroup_device *rules = arena_array(a, r->n_devices, sizeof(*rules));

	for (size_t i = 0; i < r->n_devices; i++) {
		const struct spec_device_rule *d = &r->devices[i];

		rules[i] = (struct cgroup_device){
			.allow = d->allow,
			.type = d->type.set ? (char)d->type.v : 'a',
			.major = device_number(d->major),
			.minor = device_number(d->minor),
			.access = d->access,
		};
	}
	out->has_devices = r->devices != NULL;
	out->devices = rules;
	out->n_devices = r->n_devices;
}

static bool has_option(const struct spec_mount *m, const char *word)
{
	for (size_t i = 0; m->options && m->options[i]; i++)
		if (strcmp(m->options[i], word) == 0)
			return true;
	return false;
}

/*
 * The spec (config-linux.md, "Cgroup ownership") gives the cgroup to the container's user where it
 * sees its own, writable; without a user namespace the host's users would be meant.
 */
static int64_t delegate_to(const struct spec *s, const struct ns_plan *ns)
{
	uint32_t uid;

	if (!s->process || !ns_new(ns, NS_CGROUP) || !ns_new(ns, NS_USER))
		return -1;
	for (size_t i = 0; i < s->n_mounts; i++) {
		const struct spec_mount *m = &s->mounts[i];

		if (!m->source || strcmp(m->source, "cgroup") != 0 ||
		    strcmp(m->destination, "/sys/fs/cgroup") != 0 || has_option(m, "ro"))
			continue;
		if (ns_map_out(s->uid_map, s->n_uid, s->process->user.uid, &uid) == 0)
			return uid;
	}
	return -1;
}

static void build_cgroup(struct arena *a, const struct spec *s, const struct build_context *c,
			 struct sandbox *out)
{
	out->cgroup.manager = c->manager;
	out->cgroup.path = build_text(s->cgroups_path);
	out->cgroup.id = c->id;
	out->cgroup.rootless = c->rootless;
	out->cgroup.delegate_uid = delegate_to(s, &out->ns);
	if (!s->resources)
		return;
	out->cgroup.limits = s->resources->limits;
	build_device_rules(a, s->resources, &out->cgroup.limits);
}

static int build_sysctls(struct arena *a, const struct spec *s, struct sandbox *out)
{
	struct sandbox_sysctl *sysctls = arena_array(a, s->n_sysctl, sizeof(*sysctls));

	for (size_t i = 0; i < s->n_sysctl; i++) {
		size_t size = strlen(s->sysctl[i].key) + 1;
		char *file = arena_alloc(a, size);

		if (!spec_sysctl_file(s->sysctl[i].key, file, size))
			return fail(EINVAL, "%s: linux.sysctl.%s: is too long", s->doc,
				    s->sysctl[i].key);
		sysctls[i] = (struct sandbox_sysctl){ file, s->sysctl[i].value };
	}
	out->sysctls = sysctls;
	out->n_sysctls = s->n_sysctl;
	return 0;
}

static void build_net_devices(struct arena *a, const struct spec *s, struct sandbox *out)
{
	struct sandbox_net_device *devices =
		arena_memdup(a, s->net_devices, s->n_net_devices * sizeof(*devices));

	for (size_t i = 0; i < s->n_net_devices; i++)
		if (!build_text(devices[i].name))
			devices[i].name = devices[i].host;
	out->net_devices = devices;
	out->n_net_devices = s->n_net_devices;
}

/* The order in which the spec wants the lines written. */
static void build_rdt(struct arena *a, const struct spec_rdt *r, const char *id,
		      struct sandbox_rdt *out)
{
	const char **lines;
	size_t n = 0;

	while (r->schemata && r->schemata[n])
		n++;
	lines = arena_array(a, n + 2, sizeof(*lines));
	out->schemata = lines;
	if (build_text(r->l3_cache_schema))
		lines[out->n_schemata++] = r->l3_cache_schema;
	if (build_text(r->mem_bw_schema))
		lines[out->n_schemata++] = r->mem_bw_schema;
	for (size_t i = 0; i < n; i++)
		lines[out->n_schemata++] = r->schemata[i];
	out->closid = r->closid ? r->closid : id;
	out->monitoring = r->monitoring;
}

void build_hooks(struct arena *a, const struct spec *s, enum sandbox_hook_point point,
		 struct sandbox_hooks *out)
{
	const struct spec_hooks *from = &s->hooks[point];
	struct sandbox_hook *hooks = arena_array(a, from->n, sizeof(*hooks));

	for (size_t i = 0; i < from->n; i++)
		hooks[i] = (struct sandbox_hook){
			.path = from->v[i].path,
			.args = (char *const *)from->v[i].args,
			.env = (char *const *)from->v[i].env,
			.timeout = (int)from->v[i].timeout.v,
		};
	*out = (struct sandbox_hooks){
		.v = hooks,
		.n = from->n,
		.out = spec_annotation(s, "run.oci.hooks.stdout"),
		.err = spec_annotation(s, "run.oci.hooks.stderr"),
	};
}

int build_sandbox(struct arena *a, const struct spec *s, const struct build_context *c,
		  struct sandbox *out)
{
	struct sandbox sb = {
		.id = c->id,
		.hostname = build_text(s->hostname),
		.domainname = build_text(s->domainname),
		.new_keyring = !c->no_new_keyring,
	};
	int ret;

	build_namespaces(a, s, &sb.ns);
	ret = build_rootfs(a, s, c, &sb.rootfs);
	if (!ret && s->process)
		ret = build_process(a, s, s->process, &sb.process);
	if (!ret)
		ret = build_seccomp(a, s, &sb);
	if (!ret)
		ret = build_sysctls(a, s, &sb);
	if (!ret)
		ret = build_annotations(a, s, &sb);
	if (!ret)
		ret = build_layers(a, s, &sb);
	if (ret)
		return ret;
	sb.landlock.may_mount = s->process && cred_may_mount(&sb.process.cred);
	build_cgroup(a, s, c, &sb);
	build_net_devices(a, s, &sb);
	if (s->rdt)
		build_rdt(a, s->rdt, c->id, &sb.rdt);
	for (int point = 0; point < HOOK_POINTS; point++)
		build_hooks(a, s, (enum sandbox_hook_point)point, &sb.hooks[point]);
	*out = sb;
	return 0;
}
