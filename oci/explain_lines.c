/* SPDX-License-Identifier: Apache-2.0 */
/* config.json line by line, in its order: what each became, and who keeps it. */
#include <linux/mount.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "oci/explain.h"
#include "oci/spec.h"

#define CHANGING                                                                              \
	(LL_WRITE_FILE | LL_REMOVE_DIR | LL_REMOVE_FILE | LL_MAKE_CHAR | LL_MAKE_DIR |        \
	 LL_MAKE_REG | LL_MAKE_SOCK | LL_MAKE_FIFO | LL_MAKE_BLOCK | LL_MAKE_SYM | LL_REFER | \
	 LL_TRUNCATE)
#define OWN_LANDLOCK "annotations.run.thole.landlock"

const char *const explain_keeper_names[KEPT_KINDS] = {
	[KEPT_LANDLOCK] = "Landlock",   [KEPT_MOUNT] = "mount",   [KEPT_SECCOMP] = "seccomp",
	[KEPT_NAMESPACE] = "namespace", [KEPT_CGROUP] = "cgroup", [KEPT_CAPABILITY] = "capability",
	[KEPT_PROCESS] = "process",     [KEPT_LABEL] = "label",   [KEPT_SUPER] = "supervisor",
};

struct explain_line *explain_add(struct explain_list *l, const char *where, unsigned keepers,
				 const char *fmt, ...)
{
	struct arena *a = l->e->a;
	va_list ap;
	char *text;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	text = arena_alloc(a, (size_t)n + 1);
	va_start(ap, fmt);
	vsnprintf(text, (size_t)n + 1, fmt, ap);
	va_end(ap);
	l->v = arena_grow(a, l->v, l->n, &l->cap, sizeof(*l->v));
	l->v[l->n] = (struct explain_line){ .where = where, .what = text, .keepers = keepers };
	return &l->v[l->n++];
}

static size_t count_bits(uint64_t bits)
{
	return (size_t)__builtin_popcountll(bits);
}

const char *explain_rights(struct arena *a, enum landlock_class class, uint64_t rights)
{
	uint64_t all = landlock_all(class, LANDLOCK_ABI_NEWEST);
	char text[512];
	struct str s = STR_ON(text);

	rights &= all;
	if (rights == all)
		return "all";
	if (!rights)
		return "nothing";
	if (count_bits(rights) > count_bits(all) / 2) {
		str_add(&s, "all but ");
		rights = all & ~rights;
	}
	landlock_add_names(&s, class, rights);
	return arena_strdup(a, text);
}

/* Of what a row keeps out, that which its line of the config means to keep out. */
static uint64_t asked_of(const struct explain *e, const struct policy_rule *r)
{
	const struct rootfs_plan *p = &e->sb->rootfs;
	uint64_t attrs = 0, asked = 0;

	if (r->kind != POLICY_FILES || str_starts(r->where, "linux.maskedPaths"))
		return UINT64_MAX;
	for (size_t i = 0; i < p->n_mounts; i++)
		if (strcmp(p->mounts[i].where, r->where) == 0)
			attrs = p->mounts[i].set | p->mounts[i].rset;
	if (attrs & MOUNT_ATTR_RDONLY || str_starts(r->where, "linux.readonlyPaths") ||
	    (strcmp(r->where, "root") == 0 && p->readonly))
		asked |= CHANGING;
	if (attrs & MOUNT_ATTR_NOEXEC)
		asked |= LL_EXECUTE;
	if (attrs & MOUNT_ATTR_NODEV)
		asked |= LL_MAKE_CHAR | LL_MAKE_BLOCK;
	return asked;
}

static enum landlock_class class_of(const struct policy_rule *r)
{
	if (r->kind == POLICY_PORTS || r->kind == POLICY_OTHER_PORTS)
		return LANDLOCK_NET;
	return r->kind == POLICY_SCOPE ? LANDLOCK_SCOPE : LANDLOCK_FS;
}

/* Who keeps all that is asked; where nobody keeps all of it, those who keep a part. */
static unsigned keepers_of_row(const struct policy_rule *r, uint64_t asked)
{
	static const enum explain_keeper same[POLICY_NOBODY] = {
		[POLICY_LANDLOCK] = KEPT_LANDLOCK,
		[POLICY_MOUNT] = KEPT_MOUNT,
		[POLICY_NAMESPACE] = KEPT_NAMESPACE,
	};
	unsigned whole = 0, part = 0;

	asked &= r->denied;
	for (int k = 0; k < POLICY_NOBODY; k++) {
		uint64_t kept = r->kept[k] & asked;

		part |= (unsigned)(kept != 0) << same[k];
		whole |= (unsigned)(kept && kept == asked) << same[k];
	}
	return whole ? whole : part;
}

/* What the Landlock table says of a line: who keeps it, and what nobody does. */
static unsigned keepers_of(struct explain_list *l, const char *where, const char **missing)
{
	const struct policy *p = &l->e->landlock;
	unsigned keepers = 0;
	uint64_t left;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		uint64_t asked = asked_of(l->e, r);

		if (strcmp(r->where, where) != 0)
			continue;
		l->used[i] = true;
		keepers |= keepers_of_row(r, asked);
		left = r->kept[POLICY_NOBODY] & asked;
		if (left)
			*missing = explain_rights(l->e->a, class_of(r), left);
	}
	return keepers;
}

static void add_root(struct explain_list *l)
{
	const struct rootfs_plan *p = &l->e->sb->rootfs;
	const char *missing = NULL;
	unsigned keepers = keepers_of(l, "root", &missing);
	bool own = l->e->sb->ns.want[NS_MOUNT].wanted;

	explain_add(l, "root.path", own ? 1u << KEPT_NAMESPACE : 0, "%s is /%s", p->path,
		    own ? "" : ", without a mount namespace");
	if (p->readonly)
		explain_add(l, "root.readonly", keepers, "/ can't be written")->missing = missing;
}

static const char *options_of(struct arena *a, const struct spec_mount *m)
{
	const char *text = "";

	for (size_t i = 0; m->options && m->options[i]; i++)
		text = arena_printf(a, "%s%s%s", text, i ? ", " : ": ", m->options[i]);
	return text;
}

static void add_mounts(struct explain_list *l)
{
	const struct explain *e = l->e;

	for (size_t i = 0; i < e->spec->n_mounts; i++) {
		const struct spec_mount *m = &e->spec->mounts[i];
		const struct mount_plan *plan = &e->sb->rootfs.mounts[i];
		const char *missing = NULL;
		unsigned keepers = keepers_of(l, plan->where, &missing);
		const char *source = plan->bind ? plan->source : m->type ? m->type : "none";

		explain_add(l, plan->where, keepers, "%s on %s%s", source, plan->target,
			    options_of(e->a, m))
			->missing = missing;
	}
}

static const char *cap_names(struct arena *a, uint64_t set)
{
	const char *text = "", *name;

	for (int cap = 0; cap < 64; cap++) {
		name = set >> cap & 1 ? name_of_capability(cap) : NULL;
		if (name)
			text = arena_printf(a, "%s%s%s", text, *text ? " " : "",
					    name + strlen("CAP_"));
	}
	return *text ? text : "none";
}

static void add_caps(struct explain_list *l)
{
	const struct cred_caps *c = &l->e->sb->process.cred.caps;
	const struct {
		const char *where;
		uint64_t set;
	} sets[] = {
		{ "process.capabilities.bounding", c->bounding },
		{ "process.capabilities.permitted", c->permitted },
		{ "process.capabilities.effective", c->effective },
		{ "process.capabilities.inheritable", c->inheritable },
		{ "process.capabilities.ambient", c->ambient },
	};

	if (!c->set) {
		explain_add(l, "process.capabilities", 0,
			    "absent: it keeps all that the runtime has");
		return;
	}
	if (c->bounding == c->permitted && c->bounding == c->effective && !c->inheritable &&
	    !c->ambient) {
		explain_add(l, "process.capabilities", 1u << KEPT_CAPABILITY, "%s",
			    cap_names(l->e->a, c->bounding));
		return;
	}
	for (size_t i = 0; i < sizeof(sets) / sizeof(sets[0]); i++)
		explain_add(l, sets[i].where, 1u << KEPT_CAPABILITY, "%s",
			    cap_names(l->e->a, sets[i].set));
}

/* What cred_label() does without the security module: an error for one, nothing for the other. */
static void add_labels(struct explain_list *l)
{
	const struct cred_plan *c = &l->e->sb->process.cred;

	if (c->apparmor && strcmp(c->apparmor, "unconfined") != 0)
		explain_add(l, "process.apparmorProfile", 1u << KEPT_LABEL, "AppArmor profile %s",
			    c->apparmor)
			->missing =
			access("/sys/module/apparmor/parameters/enabled", F_OK) < 0
				? "this kernel has no AppArmor: the container can't start"
				: NULL;
	if (c->selinux)
		explain_add(l, "process.selinuxLabel", 1u << KEPT_LABEL, "SELinux label %s",
			    c->selinux)
			->missing = access("/sys/fs/selinux/enforce", F_OK) < 0
					    ? "this kernel has no SELinux: the label is left out"
					    : NULL;
}

static const char *limit_text(struct arena *a, uint64_t v)
{
	return v == UINT64_MAX ? "unlimited" : arena_printf(a, "%llu", (unsigned long long)v);
}

static void add_process(struct explain_list *l)
{
	const unsigned kept = 1u << KEPT_PROCESS;
	struct arena *a = l->e->a;
	const struct sandbox_process *p = &l->e->sb->process;
	const char *groups = "";

	if (!l->e->spec->process)
		return;
	for (size_t i = 0; i < p->cred.n_groups; i++)
		groups = arena_printf(a, "%s%s%u", groups, i ? " " : ", also in ",
				      p->cred.groups[i]);
	explain_add(l, "process.user", kept, "user %u, group %u%s", p->cred.uid, p->cred.gid,
		    groups);
	add_caps(l);
	if (p->cred.no_new_privs)
		explain_add(l, "process.noNewPrivileges", kept,
			    "no program it executes gives it more rights");
	add_labels(l);
	for (size_t i = 0; i < p->limits.n_rlimits; i++) {
		const struct limits_rlimit *r = &p->limits.rlimits[i];
		const char *name = name_of_rlimit(r->resource);

		explain_add(l, arena_printf(a, "process.rlimits[%zu]", i), kept,
			    "%s %s, at most %s", name ? name + strlen("RLIMIT_") : "?",
			    limit_text(a, r->soft), limit_text(a, r->hard));
	}
	if (p->limits.has_oom_score)
		explain_add(l, "process.oomScoreAdj", kept, "%d", p->limits.oom_score_adj);
	if (p->limits.has_scheduler)
		explain_add(l, "process.scheduler", kept, "policy %u, nice %d, priority %u",
			    p->limits.sched_policy, p->limits.sched_nice, p->limits.sched_priority);
	if (p->limits.has_ioprio)
		explain_add(l, "process.ioPriority", kept, "class %d, priority %d",
			    p->limits.ioprio >> 13, p->limits.ioprio & 0x1fff);
}

static void add_host_names(struct explain_list *l)
{
	const struct sandbox *sb = l->e->sb;

	if (sb->hostname)
		explain_add(l, "hostname", 1u << KEPT_NAMESPACE, "%s", sb->hostname);
	if (sb->domainname)
		explain_add(l, "domainname", 1u << KEPT_NAMESPACE, "%s", sb->domainname);
}

static const char *maps_text(struct arena *a, const struct ns_map *map, size_t n)
{
	const char *text = "";

	for (size_t i = 0; i < n; i++)
		text = arena_printf(a, "%s%s%u-%u are %u-%u outside", text, i ? ", " : "",
				    map[i].inside, map[i].inside + (map[i].size - 1),
				    map[i].outside, map[i].outside + (map[i].size - 1));
	return text;
}

/* What a missing namespace leaves open, and the row of Landlock's that may stand in. */
static const struct {
	enum ns_kind kind;
	const char *shares;
	enum policy_kind row;
	uint64_t scope;
} shared[] = {
	{ NS_USER, "its ids are the host's", 0, 0 },
	{ NS_MOUNT, "it shares the host's file tree", POLICY_OTHER_FILES, 0 },
	{ NS_PID, "it sees the host's processes", POLICY_SCOPE, LL_SCOPE_SIGNAL },
	{ NS_NET, "it has the host's network", POLICY_SCOPE, LL_SCOPE_ABSTRACT_UNIX },
	{ NS_IPC, "it has the host's System V IPC", 0, 0 },
	{ NS_UTS, "it has the host's name", 0, 0 },
	{ NS_CGROUP, "it sees the host's cgroup paths", 0, 0 },
};

static unsigned stand_in(struct explain_list *l, size_t at)
{
	const struct policy *p = &l->e->landlock;

	for (size_t i = 0; shared[at].row && i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->kind != shared[at].row ||
		    (shared[at].scope && r->denied != shared[at].scope))
			continue;
		l->used[i] = true;
		if (r->denied &&
		    r->kept[POLICY_LANDLOCK] == (r->denied & p->handled[class_of(r)]) &&
		    r->kept[POLICY_LANDLOCK])
			return 1u << KEPT_LANDLOCK;
	}
	return 0;
}

static void add_namespaces(struct explain_list *l)
{
	const struct explain *e = l->e;
	const struct ns_plan *ns = &e->sb->ns;

	for (size_t i = 0; i < e->spec->n_namespaces; i++) {
		const struct spec_namespace *n = &e->spec->namespaces[i];
		const struct ns_info *info = &ns_info[n->kind];
		const char *missing = NULL;

		if (access(arena_printf(e->a, "/proc/self/ns/%s", info->proc), F_OK) < 0)
			missing = arena_printf(e->a, "this kernel has no %s namespaces", info->oci);
		explain_add(l, arena_printf(e->a, "linux.namespaces[%zu]", i), 1u << KEPT_NAMESPACE,
			    n->path ? "the %s namespace of %s" : "a new %s namespace", info->oci,
			    n->path)
			->missing = missing;
	}
	for (size_t i = 0; i < sizeof(shared) / sizeof(shared[0]); i++) {
		unsigned keepers = stand_in(l, i);

		if (ns->want[shared[i].kind].wanted)
			continue;
		explain_add(l, "linux.namespaces", keepers, "no %s namespace: %s%s",
			    ns_info[shared[i].kind].oci, shared[i].shares,
			    keepers ? "; Landlock keeps it off" : "");
	}
	if (ns->maps.n_uid)
		explain_add(l, "linux.uidMappings", 1u << KEPT_NAMESPACE, "users %s",
			    maps_text(e->a, ns->maps.uid, ns->maps.n_uid));
	if (ns->maps.n_gid)
		explain_add(l, "linux.gidMappings", 1u << KEPT_NAMESPACE, "groups %s",
			    maps_text(e->a, ns->maps.gid, ns->maps.n_gid));
	for (size_t i = 0; i < e->sb->n_sysctls; i++)
		explain_add(l, arena_printf(e->a, "linux.sysctl.%s", e->spec->sysctl[i].key),
			    1u << KEPT_NAMESPACE, "/proc/sys/%s is %s", e->sb->sysctls[i].key,
			    e->sb->sysctls[i].value);
	for (size_t i = 0; i < e->sb->n_net_devices; i++)
		explain_add(
			l, arena_printf(e->a, "linux.netDevices.%s", e->sb->net_devices[i].host),
			1u << KEPT_NAMESPACE, "moved into it as %s", e->sb->net_devices[i].name);
}

static void add_devices(struct explain_list *l)
{
	const struct rootfs_plan *p = &l->e->sb->rootfs;
	const char *missing;

	for (size_t i = 0; i < p->n_devices; i++) {
		const struct rootfs_device *d = &p->devices[i];
		const char *where = arena_printf(l->e->a, "linux.devices[%zu]", i);

		keepers_of(l, where, &missing);
		explain_add(l, where, 0, "%s: %c %u:%u, mode %03o", d->path,
			    S_ISBLK(d->mode)   ? 'b'
			    : S_ISCHR(d->mode) ? 'c'
					       : 'p',
			    d->major, d->minor, d->mode & 07777);
	}
}

static void add_paths(struct explain_list *l, const char *list, const char *const *paths, size_t n,
		      const char *what)
{
	for (size_t i = 0; i < n; i++) {
		const char *where = arena_printf(l->e->a, "%s[%zu]", list, i), *missing = NULL;
		unsigned keepers = keepers_of(l, where, &missing);

		explain_add(l, where, keepers, "%s %s", paths[i], what)->missing = missing;
	}
}

static const char *rule_count(const struct explain *e)
{
	size_t n = 0;

	for (size_t i = 0; i < e->landlock.n_rules; i++)
		n += e->landlock.rules[i].in_ruleset;
	return arena_printf(e->a, "%zu rule%s", n, n == 1 ? "" : "s");
}

static void add_landlock(struct explain_list *l)
{
	static const char *const modes[] = { "auto", "enforce", "off" };
	const struct explain *e = l->e;
	const struct policy *p = &e->landlock;
	const char *mode = modes[e->sb->landlock.mode];

	if (p->enforced)
		explain_add(l, OWN_LANDLOCK, 1u << KEPT_LANDLOCK,
			    "%s: a ruleset of %s (ABI %d)%s%s", mode, rule_count(e), p->abi,
			    p->why ? "; not for files: " : "", p->why ? p->why : "");
	else
		explain_add(l, OWN_LANDLOCK, 0, "%s: no ruleset: %s", mode,
			    p->why ? p->why : "nothing asks for one");
	for (size_t i = 0; i < p->n_rules; i++) {
		const char *missing = NULL, *where = p->rules[i].where;
		unsigned keepers;

		if (l->used[i] || !str_starts(where, "annotations."))
			continue;
		keepers = keepers_of(l, where, &missing);
		explain_add(l, where, keepers, "%s",
			    spec_annotation(e->spec, where + strlen("annotations.")))
			->missing = missing;
	}
}

/* Whether an overlay mount can be made is known when it is. */
static const char *maker_of(const struct layers_plan *p, size_t i)
{
	if (p->notified & 1u << i)
		return "by the supervisor";
	return p->backend == LAYERS_OVERLAY ? "by an overlay mount"
					    : "by an overlay mount, or where that can't be made "
					      "by the supervisor";
}

static void add_layers(struct explain_list *l)
{
	static const char *const modes[] = {
		[LAYER_RO] = "can be read",
		[LAYER_RW] = "can be written",
		[LAYER_COW] = "what it changes stays apart",
	};
	const struct layers_plan *p = &l->e->sb->layers;

	for (size_t i = 0; i < p->n; i++) {
		const struct layers_dir *d = &p->dirs[i];
		const char *missing = NULL;

		keepers_of(l, d->where, &missing);
		explain_add(l, d->where, 1u << (p->notified & 1u << i ? KEPT_SUPER : KEPT_MOUNT),
			    "%s: shows %s, %s, %s", d->guest, d->host ? d->host : "what is there",
			    modes[d->mode], maker_of(p, i));
	}
}

static void add_supervised(struct explain_list *l)
{
	if (l->e->sb->super.ports)
		explain_add(l, "annotations.run.thole.ports", 1u << KEPT_SUPER,
			    "remap: a port that is taken becomes another one; "
			    "\"thole ports\" tells which");
	if (l->e->sb->super.time)
		explain_add(l,
			    l->e->sb->super.wall.begins ? "annotations.run.thole.time.start"
							: "annotations.run.thole.time.offset",
			    1u << KEPT_SUPER, "the time of day is %s",
			    spec_annotation(l->e->spec, l->e->sb->super.wall.begins
								? "run.thole.time.start"
								: "run.thole.time.offset"));
}

int explain_config(struct arena *a, const struct spec *s, const struct sandbox *sb,
		   struct explain *out)
{
	struct explain e = { .a = a, .spec = s, .sb = sb };
	const struct rootfs_plan *r = &sb->rootfs;
	struct explain_list l = { .e = &e };
	int ret = policy_plan(a, sb, landlock_abi(), &e.landlock);

	if (!ret && sb->seccomp)
		ret = filter_build(a, sb->seccomp, &e.filter);
	if (ret)
		return ret;
	l.used = arena_array(a, e.landlock.n_rules, sizeof(*l.used));
	add_process(&l);
	add_root(&l);
	add_host_names(&l);
	add_mounts(&l);
	add_namespaces(&l);
	add_devices(&l);
	explain_add_limits(&l);
	explain_add_seccomp(&l);
	add_paths(&l, "linux.maskedPaths", r->masked, r->n_masked, "is hidden");
	add_paths(&l, "linux.readonlyPaths", r->read_only, r->n_read_only, "can't be written");
	add_layers(&l);
	add_landlock(&l);
	add_supervised(&l);
	e.lines = l.v;
	e.n_lines = l.n;
	*out = e;
	return 0;
}
