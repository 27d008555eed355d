/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/mempolicy.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/names.h"
#include "base/str.h"
#include "oci/check_priv.h"

#define MAPS_MAX 340    /* lines of a uid_map, user_namespaces(7) */
#define UTS_NAME_MAX 64 /* sethostname(2) */
#define MAJOR_MAX 4095  /* 12 and 20 bits in the kernel */
#define MINOR_MAX 1048575
#define LIST_NUMBER_MAX 65535
#define NSEC_PER_SEC 1000000000u
#define ERRNO_MAX 4095 /* what SECCOMP_RET_ERRNO can return */
#define DATA_MAX UINT16_MAX

bool check_is_list(const char *text)
{
	unsigned long first, last;
	size_t n;

	for (const char *p = text;; p += n + 1) {
		n = strspn(p, "0123456789");
		if (!n || n > 5)
			return false;
		first = last = strtoul(p, NULL, 10);
		if (p[n] == '-') {
			p += n + 1;
			n = strspn(p, "0123456789");
			if (!n || n > 5)
				return false;
			last = strtoul(p, NULL, 10);
		}
		if (last < first || last > LIST_NUMBER_MAX)
			return false;
		if (!p[n])
			return true;
		if (p[n] != ',')
			return false;
	}
}

int check_namespaces(const struct spec *s)
{
	bool seen[NS_KINDS] = { false };

	for (size_t i = 0; i < s->n_namespaces; i++) {
		const struct spec_namespace *n = &s->namespaces[i];

		if (seen[n->kind])
			return fail(EINVAL,
				    "%s: linux.namespaces[%zu].type: this type stands there twice",
				    s->doc, i);
		seen[n->kind] = true;
		if (n->path && *n->path && n->path[0] != '/')
			return fail(
				EINVAL,
				"%s: linux.namespaces[%zu].path: \"%s\" is not an absolute path",
				s->doc, i, n->path);
	}
	return 0;
}

static bool overlap(uint32_t a, uint32_t b, const struct ns_map *x, const struct ns_map *y)
{
	return (uint64_t)a < (uint64_t)b + y->size && (uint64_t)b < (uint64_t)a + x->size;
}

int check_maps(const char *doc, const char *place, const struct ns_map *maps, size_t n)
{
	if (n > MAPS_MAX)
		return fail(EINVAL, "%s: %s: more than %d entries", doc, place, MAPS_MAX);
	for (size_t i = 0; i < n; i++) {
		const struct ns_map *m = &maps[i];

		if (!m->size)
			return fail(EINVAL, "%s: %s[%zu].size: must be greater than zero", doc,
				    place, i);
		if (m->size > UINT32_MAX - m->inside || m->size > UINT32_MAX - m->outside)
			return fail(EINVAL, "%s: %s[%zu]: goes beyond the last id", doc, place, i);
		for (size_t k = 0; k < i; k++)
			if (overlap(m->inside, maps[k].inside, m, &maps[k]) ||
			    overlap(m->outside, maps[k].outside, m, &maps[k]))
				return fail(EINVAL, "%s: %s[%zu]: overlaps with entry %zu", doc,
					    place, i, k);
	}
	return 0;
}

int check_mappings(const struct spec *s)
{
	const struct spec_namespace *user = spec_namespace(s, NS_USER);
	bool joined = user && user->path && *user->path;
	int ret;

	if (!user && (s->n_uid || s->n_gid))
		return fail(EINVAL, "%s: linux.%s: needs a user namespace (linux.namespaces)",
			    s->doc, s->n_uid ? "uidMappings" : "gidMappings");
	if (user && !joined && (!s->n_uid || !s->n_gid))
		return fail(EINVAL, "%s: linux.%s: is missing (a user namespace needs it)", s->doc,
			    s->n_uid ? "gidMappings" : "uidMappings");
	ret = check_maps(s->doc, "linux.uidMappings", s->uid_map, s->n_uid);
	return ret ? ret : check_maps(s->doc, "linux.gidMappings", s->gid_map, s->n_gid);
}

int check_time_offsets(const struct spec *s)
{
	const struct spec_namespace *time = spec_namespace(s, NS_TIME);

	for (size_t i = 0; i < s->n_time_offsets; i++) {
		const struct spec_time *t = &s->time_offsets[i];

		if (strcmp(t->clock, "monotonic") != 0 && strcmp(t->clock, "boottime") != 0)
			return fail(
				EINVAL,
				"%s: linux.timeOffsets.%s: is unknown (known: monotonic, boottime)",
				s->doc, t->clock);
		if (t->nanosecs >= NSEC_PER_SEC)
			return fail(EINVAL, "%s: linux.timeOffsets.%s.nanosecs: must be below %u",
				    s->doc, t->clock, NSEC_PER_SEC);
	}
	if (!s->n_time_offsets)
		return 0;
	if (!time)
		return fail(EINVAL, "%s: linux.timeOffsets: needs a time namespace", s->doc);
	if (time->path && *time->path)
		return fail(EINVAL,
			    "%s: linux.timeOffsets: the time namespace is joined by path, its "
			    "offsets are fixed",
			    s->doc);
	return 0;
}

int check_names(const struct spec *s)
{
	const struct {
		const char *name, *value;
	} names[] = { { "hostname", s->hostname }, { "domainname", s->domainname } };

	for (size_t i = 0; i < NAME_COUNT(names); i++) {
		if (!names[i].value || !*names[i].value)
			continue;
		if (!spec_namespace(s, NS_UTS))
			return fail(EINVAL, "%s: %s: needs a uts namespace (linux.namespaces)",
				    s->doc, names[i].name);
		if (strlen(names[i].value) > UTS_NAME_MAX)
			return fail(EINVAL, "%s: %s: is longer than %d bytes", s->doc,
				    names[i].name, UTS_NAME_MAX);
	}
	return 0;
}

/* Which namespace keeps which part of /proc/sys; a prefix where the pattern ends with a slash. */
static const struct {
	const char *pattern;
	enum ns_kind kind;
} sysctls[] = {
	{ "net/", NS_NET },
	{ "fs/mqueue/", NS_IPC },
	{ "kernel/msgmax", NS_IPC },
	{ "kernel/msgmnb", NS_IPC },
	{ "kernel/msgmni", NS_IPC },
	{ "kernel/sem", NS_IPC },
	{ "kernel/shmall", NS_IPC },
	{ "kernel/shmmax", NS_IPC },
	{ "kernel/shmmni", NS_IPC },
	{ "kernel/shm_rmid_forced", NS_IPC },
	{ "kernel/domainname", NS_UTS },
	{ "user/", NS_USER },
};

static bool is_plain_path(const char *path)
{
	const char *p = path;
	size_t n;

	do {
		n = strcspn(p, "/");
		if (!n || (n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return false;
		p += n;
	} while (*p++);
	return true;
}

static int check_one_sysctl(const struct spec *s, const struct spec_pair *pair)
{
	char file[256];

	if (!spec_sysctl_file(pair->key, file, sizeof(file)) || !is_plain_path(file))
		return fail(EINVAL, "%s: linux.sysctl: \"%.80s\" is no sysctl", s->doc, pair->key);
	if (strcmp(file, "kernel/hostname") == 0)
		return fail(EINVAL, "%s: linux.sysctl.%s: conflicts with hostname, use that",
			    s->doc, pair->key);
	if (strchr(pair->value, '\n'))
		return fail(EINVAL, "%s: linux.sysctl.%s: the value holds a line end", s->doc,
			    pair->key);
	for (size_t i = 0; i < NAME_COUNT(sysctls); i++) {
		const char *pattern = sysctls[i].pattern;

		if (!(str_ends(pattern, "/") ? str_starts(file, pattern)
					     : strcmp(file, pattern) == 0))
			continue;
		if (spec_namespace(s, sysctls[i].kind))
			return 0;
		return fail(EINVAL,
			    "%s: linux.sysctl.%s: needs a namespace of type %s (linux.namespaces)",
			    s->doc, pair->key, ns_info[sysctls[i].kind].oci);
	}
	return fail(EINVAL, "%s: linux.sysctl.%s: is not in a separate kernel namespace", s->doc,
		    pair->key);
}

int check_sysctl(const struct spec *s)
{
	for (size_t i = 0; i < s->n_sysctl; i++) {
		int ret = check_one_sysctl(s, &s->sysctl[i]);

		if (ret)
			return ret;
	}
	return 0;
}

static bool in_range(struct opt_i64 n, int64_t max)
{
	return n.set && n.v >= 0 && n.v <= max;
}

int check_devices(const struct spec *s)
{
	for (size_t i = 0; i < s->n_devices; i++) {
		const struct spec_device *d = &s->devices[i];

		if (d->path[0] != '/')
			return fail(EINVAL,
				    "%s: linux.devices[%zu].path: \"%s\" is not an absolute path",
				    s->doc, i, d->path);
		if (d->type != S_IFIFO && !in_range(d->major, MAJOR_MAX))
			return fail(EINVAL, "%s: linux.devices[%zu].major: must be from 0 to %d",
				    s->doc, i, MAJOR_MAX);
		if (d->type != S_IFIFO && !in_range(d->minor, MINOR_MAX))
			return fail(EINVAL, "%s: linux.devices[%zu].minor: must be from 0 to %d",
				    s->doc, i, MINOR_MAX);
	}
	return 0;
}

/* dev_valid_name() of the kernel, and ":" which only old aliases have. */
static bool is_interface(const char *name)
{
	return *name && strlen(name) < IFNAMSIZ && strcmp(name, ".") != 0 &&
	       strcmp(name, "..") != 0 && !strpbrk(name, "/: \t\n\v\f\r");
}

int check_net_devices(const struct spec *s)
{
	for (size_t i = 0; i < s->n_net_devices; i++) {
		const struct sandbox_net_device *d = &s->net_devices[i];
		const char *name = d->name && *d->name ? d->name : d->host;

		if (!is_interface(d->host) || !is_interface(name))
			return fail(EINVAL,
				    "%s: linux.netDevices.%.40s: \"%.40s\" is no interface name",
				    s->doc, d->host, is_interface(d->host) ? name : d->host);
		for (size_t k = 0; k < i; k++) {
			const struct sandbox_net_device *other = &s->net_devices[k];
			const char *taken = other->name && *other->name ? other->name : other->host;

			if (strcmp(name, taken) == 0 && !strchr(name, '%'))
				return fail(
					EINVAL,
					"%s: linux.netDevices.%s.name: %s is the name of another",
					s->doc, d->host, name);
		}
	}
	if (s->n_net_devices && !spec_namespace(s, NS_NET))
		return fail(EINVAL, "%s: linux.netDevices: needs a network namespace", s->doc);
	return 0;
}

/* Only two actions carry a number. */
static int check_errno(const struct spec *s, const char *place, const char *action,
		       struct opt_i64 value)
{
	bool is_errno = action && strcmp(action, "SCMP_ACT_ERRNO") == 0;
	bool is_trace = action && strcmp(action, "SCMP_ACT_TRACE") == 0;

	if (!value.set)
		return 0;
	if (!is_errno && !is_trace)
		return fail(EINVAL, "%s: linux.seccomp.%s: %s takes none", s->doc, place,
			    action ? action : "no action");
	if (value.v > (is_errno ? ERRNO_MAX : DATA_MAX))
		return fail(EINVAL, "%s: linux.seccomp.%s: must be at most %d", s->doc, place,
			    is_errno ? ERRNO_MAX : DATA_MAX);
	return 0;
}

static int check_rule(const struct spec *s, size_t i, bool *notifies)
{
	const struct spec_syscall *rule = &s->seccomp->syscalls[i];
	char place[64];
	struct str p = STR_ON(place);

	if (!rule->names[0])
		return fail(EINVAL, "%s: linux.seccomp.syscalls[%zu].names: is empty", s->doc, i);
	if (strcmp(rule->action, "SCMP_ACT_NOTIFY") == 0) {
		*notifies = true;
		/* the process reports over a pipe after it has the filter, and would wait for
		 * ever */
		for (size_t k = 0; rule->names[k]; k++)
			if (strcmp(rule->names[k], "write") == 0)
				return fail(EINVAL,
					    "%s: linux.seccomp.syscalls[%zu]: SCMP_ACT_NOTIFY "
					    "cannot be used for the write syscall",
					    s->doc, i);
	}
	for (size_t k = 0; k < rule->n_args; k++)
		if (rule->args[k].index > 5)
			return fail(EINVAL,
				    "%s: linux.seccomp.syscalls[%zu].args[%zu].index: must be from "
				    "0 to 5",
				    s->doc, i, k);
	str_addf(&p, "syscalls[%zu].errnoRet", i);
	return check_errno(s, place, rule->action, rule->errno_ret);
}

int check_seccomp(const struct spec *s)
{
	const struct spec_seccomp *c = s->seccomp;
	bool notifies = false;
	int ret;

	if (!c)
		return 0;
	if ((!c->default_action || !*c->default_action) && c->n_syscalls)
		return fail(EINVAL, "%s: linux.seccomp.defaultAction: is missing", s->doc);
	if (c->default_action && strcmp(c->default_action, "SCMP_ACT_NOTIFY") == 0)
		return fail(
			EINVAL,
			"%s: linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default",
			s->doc);
	ret = check_errno(s, "defaultErrnoRet", c->default_action, c->default_errno_ret);
	for (size_t i = 0; !ret && i < c->n_syscalls; i++)
		ret = check_rule(s, i, &notifies);
	if (ret)
		return ret;
	if (c->listener_metadata && *c->listener_metadata &&
	    (!c->listener_path || !*c->listener_path))
		return fail(EINVAL, "%s: linux.seccomp.listenerMetadata: needs listenerPath",
			    s->doc);
	if (notifies && (!c->listener_path || !*c->listener_path) &&
	    !spec_annotation(s, "run.oci.seccomp.receiver"))
		return fail(EINVAL,
			    "%s: linux.seccomp.listenerPath: is missing (SCMP_ACT_NOTIFY needs it)",
			    s->doc);
	return 0;
}

static int check_schema(const struct spec *s, const char *name, const char *value,
			const char *prefix)
{
	if (!value)
		return 0;
	if (!str_starts(value, prefix))
		return fail(EINVAL, "%s: linux.intelRdt.%s: must begin with \"%s\"", s->doc, name,
			    prefix);
	if (strchr(value, '\n'))
		return fail(EINVAL, "%s: linux.intelRdt.%s: holds a line end", s->doc, name);
	return 0;
}

int check_rdt(const struct spec *s)
{
	const struct spec_rdt *r = s->rdt;
	int ret;

	if (!r)
		return 0;
	if (r->closid && strcmp(r->closid, "/") != 0 &&
	    (!*r->closid || strcmp(r->closid, ".") == 0 || strcmp(r->closid, "..") == 0 ||
	     strpbrk(r->closid, "/\n")))
		return fail(EINVAL, "%s: linux.intelRdt.closID: \"%.60s\" is no name of a group",
			    s->doc, r->closid);
	ret = check_schema(s, "l3CacheSchema", r->l3_cache_schema, "L3:");
	if (!ret)
		ret = check_schema(s, "memBwSchema", r->mem_bw_schema, "MB:");
	for (size_t i = 0; !ret && r->schemata && r->schemata[i]; i++)
		if (strchr(r->schemata[i], '\n'))
			ret = fail(EINVAL, "%s: linux.intelRdt.schemata[%zu]: holds a line end",
				   s->doc, i);
	return ret;
}

/* set_mempolicy(2): which modes take nodes, which need some. */
int check_memory_policy(const struct spec *s)
{
	const struct spec_memory_policy *m = s->memory_policy;
	bool some, none_allowed, any_allowed;

	if (!m)
		return 0;
	some = m->nodes && *m->nodes;
	none_allowed =
		m->mode == MPOL_DEFAULT || m->mode == MPOL_LOCAL || m->mode == MPOL_PREFERRED;
	any_allowed = m->mode != MPOL_DEFAULT && m->mode != MPOL_LOCAL;
	if (some && !any_allowed)
		return fail(EINVAL, "%s: linux.memoryPolicy.nodes: the mode allows none", s->doc);
	if (!some && !none_allowed)
		return fail(EINVAL, "%s: linux.memoryPolicy.nodes: the mode needs at least one",
			    s->doc);
	if (some && !check_is_list(m->nodes))
		return fail(EINVAL, "%s: linux.memoryPolicy.nodes: \"%.60s\" is no list like 0-3,7",
			    s->doc, m->nodes);
	if ((m->flags & MPOL_F_STATIC_NODES) && (m->flags & MPOL_F_RELATIVE_NODES))
		return fail(EINVAL,
			    "%s: linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and "
			    "MPOL_F_RELATIVE_NODES exclude each other",
			    s->doc);
	if ((m->flags & MPOL_F_NUMA_BALANCING) && m->mode != MPOL_BIND &&
	    m->mode != MPOL_PREFERRED_MANY)
		return fail(
			EINVAL,
			"%s: linux.memoryPolicy.flags: MPOL_F_NUMA_BALANCING needs MPOL_BIND or "
			"MPOL_PREFERRED_MANY",
			s->doc);
	return 0;
}
