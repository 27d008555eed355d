/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"

/* "//a/./b/" to "/a/b": what is below a directory, "" for itself. ".." is refused. */
static int clean(struct arena *a, const char *text, char **out)
{
	char *path = arena_alloc(a, strlen(text) + 2);
	size_t len = 0, n;

	for (const char *p = text; *p; p += n) {
		p += strspn(p, "/");
		n = strcspn(p, "/");
		if (n == 0 || (n == 1 && p[0] == '.'))
			continue;
		if (n == 2 && p[0] == '.' && p[1] == '.')
			return fail(EINVAL, "linux.cgroupsPath: \"%s\" must not contain \"..\"",
				    text);
		if (n > NAME_MAX)
			return fail(ENAMETOOLONG, "linux.cgroupsPath: \"%s\" has too long a name",
				    text);
		path[len++] = '/';
		memcpy(path + len, p, n);
		len += n;
	}
	path[len] = '\0';
	*out = path;
	return 0;
}

static char *parent(struct arena *a, const char *path)
{
	const char *slash = strrchr(path, '/');

	return arena_strndup(a, path, slash ? (size_t)(slash - path) : 0);
}

int cgroup_path_slice(struct arena *a, const char *slice, char **out)
{
	size_t n = strlen(slice), len = n > 6 ? n - 6 : 0;
	char *path;
	struct str s;

	if (!str_ends(slice, ".slice") || len == 0 || strchr(slice, '/'))
		return fail(EINVAL, "linux.cgroupsPath: \"%s\" is no name of a slice", slice);
	path = arena_alloc(a, (n + 2) * (n + 2));
	s = (struct str){ .buf = path, .size = (n + 2) * (n + 2) };
	*out = path;
	if (strcmp(slice, "-.slice") == 0)
		return 0;
	if (slice[0] == '-' || slice[len - 1] == '-' || strstr(slice, "--"))
		return fail(EINVAL, "linux.cgroupsPath: slice \"%s\" has an empty part", slice);
	for (size_t i = 1; i <= len; i++)
		if (slice[i] == '-' || i == len)
			str_addf(&s, "/%.*s.slice", (int)i, slice);
	return 0;
}

/* The three parts of slice:prefix:name; empty ones are defaults. */
struct unit {
	const char *slice, *name;
};

static int parse_unit(struct arena *a, const struct cgroup_plan *plan, struct unit *out)
{
	const char *text = plan->path ? plan->path : "";
	const char *slice = plan->rootless ? "user.slice" : "system.slice";
	const char *c1 = strchr(text, ':'), *c2 = c1 ? strchr(c1 + 1, ':') : NULL;
	const char *prefix, *name;

	if (!*text) {
		*out = (struct unit){ slice, arena_printf(a, "thole-%s.scope", plan->id) };
		return 0;
	}
	if (!c2 || strchr(c2 + 1, ':') || !c2[1])
		return fail(EINVAL,
			    "linux.cgroupsPath: \"%s\" is not of the form slice:prefix:name that "
			    "the systemd cgroup driver needs",
			    text);
	if (c1 > text)
		slice = arena_strndup(a, text, (size_t)(c1 - text));
	prefix = arena_strndup(a, c1 + 1, (size_t)(c2 - c1 - 1));
	name = c2 + 1;
	if (strchr(prefix, '/') || strchr(name, '/'))
		return fail(EINVAL, "linux.cgroupsPath: \"%s\": a unit's name has no \"/\"", text);
	if (!str_ends(name, ".slice"))
		name = arena_printf(a, "%s%s%s.scope", prefix, *prefix ? "-" : "", name);
	*out = (struct unit){ slice, name };
	return 0;
}

const char *cgroup_path_slice_name(struct arena *a, const struct cgroup_plan *plan)
{
	struct unit unit;

	return parse_unit(a, plan, &unit) ? NULL : unit.slice;
}

/* The cgroup of the user's own manager: where the caller lives, or where systemd puts it. */
static char *user_manager(struct arena *a, const char *own)
{
	const char *p = strstr(own, "/user@");

	p = p ? strstr(p, ".service") : NULL;
	if (p)
		return arena_strndup(a, own, (size_t)(p + strlen(".service") - own));
	return arena_printf(a, "/user.slice/user-%u.slice/user@%u.service", geteuid(), geteuid());
}

static int locate_systemd(struct arena *a, const struct cgroup_trees *trees,
			  const struct cgroup_plan *plan, struct cgroup *out)
{
	const struct cgroup_tree *t;
	struct unit unit;
	const char *base, *sub;
	char *slice, *subgroup;
	int ret = parse_unit(a, plan, &unit);

	if (!ret)
		ret = cgroup_path_slice(a, unit.slice, &slice);
	if (!ret)
		ret = clean(a, plan->subgroup ? plan->subgroup : "container", &subgroup);
	if (ret)
		return ret;
	out->scope = arena_strdup(a, unit.name);
	for (size_t i = 0; i < trees->n; i++) {
		t = &trees->v[i];
		base = plan->rootless ? user_manager(a, t->own) : "";
		/* processes may not sit beside cgroups in version 2 only */
		sub = plan->subgroup || (t->v2 && !trees->v1) ? subgroup : "";
		out->dirs[out->n].controllers = t->controllers;
		out->dirs[out->n].path =
			arena_printf(a, "%s%s%s/%s%s", t->mount, base, slice, unit.name, sub);
		out->dirs[out->n].made = out->dirs[out->n].path;
		out->n++;
	}
	return 0;
}

static int locate_fs(struct arena *a, const struct cgroup_trees *trees,
		     const struct cgroup_plan *plan, struct cgroup *out)
{
	const char *text = plan->path && *plan->path ? plan->path : plan->id;
	const struct cgroup_tree *t;
	const char *base;
	char *path;
	int ret = clean(a, text, &path);

	if (ret)
		return ret;
	if (!*path)
		return fail(EINVAL,
			    "linux.cgroupsPath: \"%s\" is the top of the hierarchy: name a cgroup "
			    "below it",
			    text);
	for (size_t i = 0; i < trees->n; i++) {
		t = &trees->v[i];
		base = text[0] == '/' ? "" : t->v2 ? parent(a, t->own) : t->own;
		out->dirs[out->n].controllers = t->controllers;
		out->dirs[out->n].path = arena_printf(a, "%s%s%s", t->mount, base, path);
		out->dirs[out->n].made = out->dirs[out->n].path;
		out->n++;
	}
	return 0;
}

/* May the caller make this directory: the nearest that exists is what counts. */
static bool may_make(struct arena *a, const char *path)
{
	while (*path) {
		if (faccessat(AT_FDCWD, path, W_OK | X_OK, AT_EACCESS) == 0)
			return true;
		if (errno != ENOENT)
			return false;
		path = parent(a, path);
	}
	return false;
}

/* Without privilege a container lives in those hierarchies that the user was given a part of. */
static int drop_forbidden(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg)
{
	const char *first = cg->n ? cg->dirs[0].path : "";
	size_t n = 0;

	for (size_t i = 0; i < cg->n; i++)
		if (may_make(a, cg->dirs[i].path))
			cg->dirs[n++] = cg->dirs[i];
	cg->n = n;
	if (n)
		return 0;
	if (cgroup_limits_any(&plan->limits))
		return fail(EACCES,
			    "linux.resources: this user may not make cgroups (%s) and so set no "
			    "limits: delegate a cgroup to the user or leave the limits out",
			    first);
	if (plan->path && *plan->path)
		return fail(EACCES, "linux.cgroupsPath: this user may not make the cgroup %s",
			    first);
	return 0;
}

int cgroup_path_locate(struct arena *a, const struct cgroup_trees *trees,
		       const struct cgroup_plan *plan, struct cgroup *out)
{
	struct cgroup cg = { .manager = plan->manager, .rootless = plan->rootless };
	int ret;

	if (plan->manager == CGROUP_DISABLED) {
		*out = cg;
		return 0;
	}
	ret = cgroup_limits_check(&plan->limits, trees->v2 && !trees->v1);
	if (ret)
		return ret;
	ret = plan->manager == CGROUP_SYSTEMD ? locate_systemd(a, trees, plan, &cg)
					      : locate_fs(a, trees, plan, &cg);
	if (!ret && plan->rootless && plan->manager == CGROUP_FS)
		ret = drop_forbidden(a, plan, &cg);
	if (!ret && !cg.n && cgroup_limits_any(&plan->limits))
		ret = fail(ENOTSUP, "linux.resources: no cgroup file system is mounted here");
	if (ret)
		return ret;
	*out = cg;
	return 0;
}
