/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/policy.h"

#include <errno.h>
#include <linux/mount.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/plan.h"

#define READING (LL_READ_FILE | LL_READ_DIR | LL_EXECUTE | LL_RESOLVE_UNIX)
#define DEVICE_MAKING (LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_IOCTL_DEV)
#define OPENING (LL_READ_FILE | LL_WRITE_FILE | LL_TRUNCATE | LL_IOCTL_DEV)

struct builder {
	struct arena *a;
	const struct sandbox *sb;
	struct policy *p;
	struct policy_rule *rules;
	size_t n, cap;
};

/* What attributes of a mount take away, and keep away by themselves. */
static const struct {
	uint64_t attr, rights;
} mount_keeps[] = {
	{ MOUNT_ATTR_RDONLY, ~(uint64_t)(READING | LL_IOCTL_DEV) },
	{ MOUNT_ATTR_NOEXEC, LL_EXECUTE },
	{ MOUNT_ATTR_NODEV, DEVICE_MAKING },
};

static uint64_t all_files(void)
{
	return landlock_all(LANDLOCK_FS, LANDLOCK_ABI_NEWEST);
}

static uint64_t kept_by_mount(uint64_t attrs)
{
	uint64_t rights = 0;

	for (size_t i = 0; i < sizeof(mount_keeps) / sizeof(mount_keeps[0]); i++)
		if (attrs & mount_keeps[i].attr)
			rights |= mount_keeps[i].rights;
	return rights & all_files();
}

/* A read-only mount shows devices, but gives no hold on them. */
static uint64_t granted_on(uint64_t attrs)
{
	uint64_t rights = all_files() & ~kept_by_mount(attrs);

	return attrs & MOUNT_ATTR_RDONLY ? rights & READING : rights;
}

/* Without a namespace of its own no mount is made, and no flag keeps anything. */
static bool has_mounts(const struct sandbox *sb)
{
	return sb->ns.want[NS_MOUNT].wanted;
}

bool policy_alone(const struct sandbox *sb)
{
	return !has_mounts(sb) && strcmp(sb->rootfs.path, "/") == 0;
}

static bool is_beneath(const char *path, const char *above)
{
	size_t n = strlen(above);

	while (n && above[n - 1] == '/')
		n--;
	return strncmp(path, above, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

static struct policy_rule *add(struct builder *b, enum policy_kind kind, const char *where)
{
	struct policy_rule *r;

	b->rules = arena_grow(b->a, b->rules, b->n, &b->cap, sizeof(*b->rules));
	r = &b->rules[b->n++];
	r->kind = kind;
	r->where = where;
	return r;
}

static struct policy_rule *add_files(struct builder *b, const char *where, const char *path,
				     uint64_t granted)
{
	struct policy_rule *r = add(b, POLICY_FILES, where);

	r->path = path;
	r->granted = granted;
	r->denied = all_files() & ~granted;
	r->in_ruleset = b->p->files;
	return r;
}

static void add_root(struct builder *b)
{
	const struct rootfs_plan *p = &b->sb->rootfs;
	uint64_t attrs = p->readonly ? MOUNT_ATTR_RDONLY : 0;
	struct policy_rule *r;

	/* with the host's root as the container's, nothing but the mounts is granted */
	if (policy_alone(b->sb))
		return;
	r = add_files(b, "root", "/", granted_on(attrs));
	r->kept[POLICY_MOUNT] = has_mounts(b->sb) ? kept_by_mount(attrs) : 0;
}

/* In the order in which mount_set_flags() applies them. */
static uint64_t attrs_of(const struct mount_plan *m)
{
	return (m->set & ~m->rclear) | m->rset;
}

static bool layer_at(const struct sandbox *sb, const char *path)
{
	for (size_t i = 0; i < sb->layers.n; i++)
		if (strcmp(sb->layers.dirs[i].guest, path) == 0)
			return true;
	return false;
}

static void add_mounts(struct builder *b)
{
	for (size_t i = 0; i < b->sb->rootfs.n_mounts; i++) {
		const struct mount_plan *m = &b->sb->rootfs.mounts[i];
		uint64_t attrs = attrs_of(m);
		struct policy_rule *r;

		/* only Landlock keeps a layer's directory as it is there */
		if (policy_alone(b->sb) && layer_at(b->sb, m->target))
			attrs |= MOUNT_ATTR_RDONLY;
		r = add_files(b, m->where, m->target, granted_on(attrs));
		r->kept[POLICY_MOUNT] = has_mounts(b->sb) ? kept_by_mount(attrs) : 0;
		r->required = policy_alone(b->sb);
	}
}

/* An overlay mount is written where what is below it may not be. */
static void add_layers(struct builder *b)
{
	const struct rootfs_plan *p = &b->sb->rootfs;

	for (size_t i = 0; i < b->sb->layers.n; i++) {
		const struct layers_dir *d = &b->sb->layers.dirs[i];
		bool notified = b->sb->layers.notified & 1u << i;
		uint64_t attrs = 0, keeps;
		struct policy_rule *r;

		/* there is nothing of the container's at such a path, but for the supervisor */
		if (d->mode != LAYER_COW)
			continue;
		for (size_t k = 0; k < p->n_mounts; k++)
			if (is_beneath(d->guest, p->mounts[k].target))
				attrs = attrs_of(&p->mounts[k]) & ~(uint64_t)MOUNT_ATTR_RDONLY;
		keeps = attrs | (notified ? MOUNT_ATTR_RDONLY : 0);
		r = add_files(b, d->where, d->guest, granted_on(keeps));
		r->kept[POLICY_MOUNT] = has_mounts(b->sb) ? kept_by_mount(keeps) : 0;
		r->required = true;
	}
}

/* Device nodes sit on a /dev that may be read-only itself. */
static void add_devices(struct builder *b)
{
	static const char *const defaults[] = { "/dev/null",   "/dev/zero",    "/dev/full",
						"/dev/random", "/dev/urandom", "/dev/tty" };
	const struct rootfs_plan *p = &b->sb->rootfs;

	if (!policy_alone(b->sb))
		add_files(b, "default devices", "/dev", OPENING | LL_READ_DIR);
	else
		for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++)
			add_files(b, "default devices", defaults[i], OPENING);
	for (size_t i = 0; i < p->n_devices; i++)
		add_files(b, arena_printf(b->a, "linux.devices[%zu]", i), p->devices[i].path,
			  OPENING);
}

static void add_hidden(struct builder *b)
{
	const struct rootfs_plan *p = &b->sb->rootfs;
	struct policy_rule *r;

	for (size_t i = 0; i < p->n_masked; i++) {
		r = add_files(b, arena_printf(b->a, "linux.maskedPaths[%zu]", i), p->masked[i], 0);
		r->kept[POLICY_MOUNT] = all_files();
		r->in_ruleset = false;
	}
	for (size_t i = 0; i < p->n_read_only; i++) {
		r = add_files(b, arena_printf(b->a, "linux.readonlyPaths[%zu]", i), p->read_only[i],
			      granted_on(MOUNT_ATTR_RDONLY));
		r->kept[POLICY_MOUNT] = kept_by_mount(MOUNT_ATTR_RDONLY);
		r->in_ruleset = false;
	}
}

static void add_extra(struct builder *b)
{
	const struct landlock_plan *l = &b->sb->landlock;

	for (size_t i = 0; i < l->n_extra; i++)
		add_files(b, "annotations.run.thole.landlock.extra", l->extra[i].path,
			  l->extra[i].rights)
			->required = true;
}

/* Nothing else would let the process begin. */
static void add_program(struct builder *b)
{
	struct policy_rule *r = add(b, POLICY_STDIO, "standard descriptors");

	r->granted = OPENING;
	r->in_ruleset = b->p->files;
	if (!policy_alone(b->sb) || !b->sb->process.args)
		return;
	r = add(b, POLICY_PROGRAM, "process.args[0]");
	r->path = b->sb->process.args[0];
	r->granted = LL_EXECUTE | LL_READ_FILE;
	r->in_ruleset = b->p->files;
}

static void add_other_files(struct builder *b)
{
	struct policy_rule *r = add(b, POLICY_OTHER_FILES, "linux.namespaces");

	r->denied = all_files();
	r->kept[POLICY_NAMESPACE] = has_mounts(b->sb) ? r->denied : 0;
}

static void add_ports(struct builder *b)
{
	struct policy_rule *r;

	for (int i = 0; i < LANDLOCK_PORT_LISTS; i++) {
		const struct landlock_ports *list = &b->sb->landlock.ports[i];

		if (!list->set)
			continue;
		for (size_t k = 0; k < list->n; k++) {
			r = add(b, POLICY_PORTS, list->where);
			r->first = list->ranges[k].first;
			r->last = list->ranges[k].last;
			r->granted = 1ull << i;
			r->in_ruleset = b->p->handled[LANDLOCK_NET] & r->granted;
		}
		r = add(b, POLICY_OTHER_PORTS, list->where);
		r->last = UINT16_MAX;
		r->denied = 1ull << i;
	}
}

/* Which namespace makes a scope needless. unix(7): abstract names belong to the network's. */
static const struct {
	uint64_t scope;
	enum ns_kind ns;
} scope_owners[] = {
	{ LL_SCOPE_ABSTRACT_UNIX, NS_NET },
	{ LL_SCOPE_SIGNAL, NS_PID },
};

#define N_SCOPES (sizeof(scope_owners) / sizeof(scope_owners[0]))

static void add_scopes(struct builder *b)
{
	for (size_t i = 0; i < N_SCOPES; i++) {
		struct policy_rule *r =
			add(b, POLICY_SCOPE,
			    b->sb->landlock.has_scope ? "annotations.run.thole.landlock.scope"
						      : "linux.namespaces");

		r->denied = scope_owners[i].scope;
		if (b->sb->ns.want[scope_owners[i].ns].wanted)
			r->kept[POLICY_NAMESPACE] = r->denied;
	}
}

/* What the rows of the ruleset grant at a path. */
static uint64_t granted_at(const struct policy_rule *rules, size_t n, const char *path)
{
	uint64_t rights = 0;

	for (size_t i = 0; i < n; i++)
		if (rules[i].kind == POLICY_FILES && rules[i].in_ruleset &&
		    is_beneath(path, rules[i].path))
			rights |= rules[i].granted;
	return rights;
}

/* The class of rights a row is about. */
static enum landlock_class class_of(enum policy_kind kind)
{
	switch (kind) {
	case POLICY_PORTS:
	case POLICY_OTHER_PORTS:
		return LANDLOCK_NET;
	case POLICY_SCOPE:
		return LANDLOCK_SCOPE;
	case POLICY_FILES:
	case POLICY_STDIO:
	case POLICY_PROGRAM:
	case POLICY_OTHER_FILES:
		break;
	}
	return LANDLOCK_FS;
}

/* Last of all: whatever the ruleset lets through by another row Landlock doesn't keep. */
static void settle_keepers(struct builder *b)
{
	for (size_t i = 0; i < b->n; i++) {
		struct policy_rule *r = &b->rules[i];
		uint64_t landlock = r->denied & b->p->handled[class_of(r->kind)];
		uint64_t nobody = r->denied;

		if (r->kind == POLICY_FILES)
			landlock &= ~granted_at(b->rules, b->n, r->path);
		r->kept[POLICY_LANDLOCK] = landlock;
		for (int k = 0; k < POLICY_NOBODY; k++) {
			r->kept[k] &= r->denied;
			nobody &= ~r->kept[k];
		}
		r->kept[POLICY_NOBODY] = nobody;
	}
}

/* What the plan would have the ruleset handle, whatever the kernel. */
static void want(const struct sandbox *sb, struct policy *p, uint64_t out[LANDLOCK_CLASSES])
{
	const struct landlock_plan *l = &sb->landlock;

	out[LANDLOCK_FS] = p->files ? all_files() : 0;
	out[LANDLOCK_NET] = 0;
	out[LANDLOCK_SCOPE] = l->scope;
	for (int i = 0; i < LANDLOCK_PORT_LISTS; i++)
		out[LANDLOCK_NET] |= (uint64_t)l->ports[i].set << i;
	if (l->has_scope || !p->files)
		return;
	for (size_t i = 0; i < N_SCOPES; i++)
		if (!sb->ns.want[scope_owners[i].ns].wanted)
			out[LANDLOCK_SCOPE] |= scope_owners[i].scope;
}

static int decide(const struct sandbox *sb, struct policy *p)
{
	bool alone = policy_alone(sb);

	p->files = p->abi > 0 && sb->landlock.mode != LANDLOCK_OFF;
	if (sb->landlock.mode == LANDLOCK_OFF) {
		p->why = "run.thole.landlock is off";
		return 0;
	}
	if (p->abi < 1) {
		p->why = "this kernel has no Landlock";
		if (sb->landlock.mode == LANDLOCK_ENFORCE)
			return fail(ENOTSUP, "run.thole.landlock is enforce, but %s", p->why);
		if (alone)
			return fail(ENOTSUP,
				    "root.path is / and there is no mount namespace: only Landlock "
				    "could confine this container, but %s",
				    p->why);
		return 0;
	}
	/* a domain that handles files can't change mounts: out of the way of who is meant to */
	if (sb->landlock.mode == LANDLOCK_AUTO && !alone &&
	    (sb->landlock.may_mount || cred_may_mount(&sb->process.cred))) {
		p->files = false;
		p->why = "it may mount (CAP_SYS_ADMIN), which Landlock's file rights would forbid";
	}
	return 0;
}

int policy_wanted(const struct sandbox *sb)
{
	struct policy p = { .abi = landlock_abi() };
	int ret = decide(sb, &p);

	return ret ? ret : p.files;
}

static void add_lacking(const struct policy *p, enum landlock_class class, struct str *s)
{
	if (s->len && p->lacking[class])
		str_add(s, "+");
	landlock_add_names(s, class, p->lacking[class]);
}

/* What is asked for and not to be had: by name it is an error or a warning, else it is told. */
static int check_lacking(const struct sandbox *sb, const struct policy *p)
{
	char asked[128], lacking[256];
	struct str s = STR_ON(asked), l = STR_ON(lacking);

	add_lacking(p, LANDLOCK_FS, &l);
	add_lacking(p, LANDLOCK_NET, &s);
	add_lacking(p, LANDLOCK_SCOPE, sb->landlock.has_scope ? &s : &l);
	if (sb->landlock.mode == LANDLOCK_OFF)
		return 0;
	if (l.len)
		log_info("this kernel's Landlock (ABI %d) does not have %s", p->abi, lacking);
	if (!s.len)
		return 0;
	if (sb->landlock.mode == LANDLOCK_ENFORCE)
		return fail(ENOTSUP,
			    "run.thole.landlock is enforce, but this kernel's Landlock (ABI %d) "
			    "has no %s",
			    p->abi, asked);
	log_warning("annotations ask for %s, which this kernel's Landlock (ABI %d) does not have",
		    asked, p->abi);
	return 0;
}

int policy_plan(struct arena *a, const struct sandbox *sb, int abi, struct policy *out)
{
	struct policy p = { .abi = abi, .errata = landlock_errata() };
	struct builder b = { .a = a, .sb = sb, .p = &p };
	uint64_t wanted[LANDLOCK_CLASSES];
	int ret = decide(sb, &p);

	if (ret)
		return ret;
	want(sb, &p, wanted);
	for (int c = 0; c < LANDLOCK_CLASSES; c++) {
		uint64_t has = landlock_all((enum landlock_class)c, abi);

		if (sb->landlock.mode != LANDLOCK_OFF)
			p.handled[c] = wanted[c] & has;
		p.lacking[c] = wanted[c] & ~p.handled[c];
		p.enforced |= p.handled[c] != 0;
	}
	ret = check_lacking(sb, &p);
	if (ret)
		return ret;
	add_root(&b);
	add_mounts(&b);
	add_layers(&b);
	add_devices(&b);
	add_hidden(&b);
	add_extra(&b);
	add_program(&b);
	add_other_files(&b);
	add_ports(&b);
	add_scopes(&b);
	settle_keepers(&b);
	p.rules = b.rules;
	p.n_rules = b.n;
	*out = p;
	return 0;
}

/*
 * The row for what stands on top of a path: of the longest paths above it the last, for a later
 * mount covers an earlier one.
 */
static const struct policy_rule *row_of(const struct policy *p, const char *path)
{
	const struct policy_rule *best = NULL;
	size_t longest = 0;

	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];
		size_t length = r->path ? strlen(r->path) : 0;

		if (r->kind == POLICY_OTHER_FILES && !best)
			best = r;
		if (r->kind != POLICY_FILES || !is_beneath(path, r->path) || length < longest)
			continue;
		best = r;
		longest = length;
	}
	return best;
}

void policy_ask_path(const struct policy *p, const char *path, uint64_t rights,
		     struct policy_answer *out)
{
	const struct policy_rule *r = row_of(p, path);
	uint64_t by[POLICY_KEEPERS] = {
		[POLICY_LANDLOCK] =
			p->handled[LANDLOCK_FS] & ~granted_at(p->rules, p->n_rules, path),
		[POLICY_MOUNT] = r->kept[POLICY_MOUNT],
		[POLICY_NAMESPACE] = r->kept[POLICY_NAMESPACE],
	};

	*out = (struct policy_answer){ .by = POLICY_NOBODY, .row = r };
	for (int k = POLICY_NOBODY - 1; k >= 0; k--) {
		out->denied |= by[k] & rights;
		if (by[k] & rights)
			out->by = (enum policy_keeper)k;
	}
}

void policy_ask_port(const struct policy *p, uint16_t port, uint64_t right,
		     struct policy_answer *out)
{
	*out = (struct policy_answer){ .by = POLICY_NOBODY };
	for (size_t i = 0; i < p->n_rules; i++) {
		const struct policy_rule *r = &p->rules[i];

		if (r->kind == POLICY_PORTS && r->granted & right && r->first <= port &&
		    port <= r->last) {
			*out = (struct policy_answer){ .by = POLICY_NOBODY, .row = r };
			return;
		}
		if (r->kind != POLICY_OTHER_PORTS || !(r->denied & right))
			continue;
		out->row = r;
		out->denied = r->kept[POLICY_LANDLOCK] & right;
		out->by = out->denied ? POLICY_LANDLOCK : POLICY_NOBODY;
	}
}
