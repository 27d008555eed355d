/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which mounts of a container its configuration accounts for. Each that a new container would have
 * is marked, by following the configuration as whoever made the container did; what stays unmarked
 * the container has made itself.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "ckpt/inside.h"
#include "ckpt/mounts.h"
#include "ckpt/tmpfs.h"
#include "jail/plan.h"

#define STRICT                                                                          \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | \
	 MOUNT_ATTR_NOSYMFOLLOW)

struct explain {
	struct ckpt *c;
	const struct mounts *all;
	struct made_mounts *out;
	struct mounts host; /* as thole sees them */
	bool *known;        /* by number in all */
	int root;
};

/* The lowest at that point that nothing accounts for yet: each line of the configuration has
 * one. */
static void mark(struct explain *x, const char *point)
{
	for (size_t i = 0; i < x->all->n; i++)
		if (!x->known[i] && strcmp(x->all->v[i].point, point) == 0) {
			x->known[i] = true;
			return;
		}
}

/* The mount of which a path is the root. NULL where there is no such path, *out_there is whether
 * there is. */
static const struct proc_mount *mount_of(struct explain *x, const char *path, bool *out_there)
{
	auto_fd fd = fd_open_in_root(x->root, path, O_PATH);
	struct statx st;

	*out_there = fd >= 0;
	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_MNT_ID, &st) < 0 ||
	    !(st.stx_attributes & STATX_ATTR_MOUNT_ROOT))
		return NULL;
	return mounts_by_id(x->all, st.stx_mnt_id);
}

/* A path of the configuration that is to be a mount. NULL: it is none. */
static const struct proc_mount *explain_path(struct explain *x, const char *path)
{
	bool there;
	const struct proc_mount *m = mount_of(x, path, &there);

	if (m)
		mark(x, m->point);
	else if (there)
		ckpt_problem(
			x->c, NULL, -1, path,
			"the container has removed the mount that the configuration has there");
	return m;
}

/* What came with a recursive bind mount: the host has it in the same place below the source. */
static void explain_below(struct explain *x, const char *source, const char *target)
{
	size_t above = strlen(target);
	char real[PATH_MAX];

	if (!realpath(source, real))
		return;
	if (strcmp(target, "/") == 0)
		above = 0;
	for (size_t i = 0; i < x->all->n; i++) {
		const struct proc_mount *m = &x->all->v[i];
		const char *rest = m->point + above;

		if (strncmp(m->point, target, above) != 0 || *rest != '/' || !rest[1])
			continue;
		for (size_t h = 0; h < x->host.n; h++) {
			const struct proc_mount *there = &x->host.v[h];

			if (!x->known[i] && there->major == m->major && there->minor == m->minor &&
			    strcmp(there->root, m->root) == 0 &&
			    str_starts(there->point, strcmp(real, "/") == 0 ? "" : real) &&
			    strcmp(there->point + (strcmp(real, "/") == 0 ? 0 : strlen(real)),
				   rest) == 0)
				x->known[i] = true;
		}
	}
}

static void explain_type_below(struct explain *x, const char *point, const char *type)
{
	for (size_t i = 0; i < x->all->n; i++)
		if (str_starts(x->all->v[i].point, point) &&
		    x->all->v[i].point[strlen(point)] == '/' && str_starts(x->all->v[i].type, type))
			x->known[i] = true;
}

/* The mount of the host's that a bind mount shows a part of; NULL where that can't be told. */
static const struct proc_mount *source_of(struct explain *x, const struct mount_plan *p)
{
	auto_fd fd = p->bind && p->source ? open(p->source, O_PATH | O_CLOEXEC) : -1;
	uint64_t id;

	return fd < 0 || tmpfs_mount_id(fd, &id) ? NULL : mounts_by_id(&x->host, id);
}

/* Another one in its place. A sysfs that may not be mounted is the host's, bound. */
static bool is_other(const struct mount_plan *p, const struct proc_mount *from,
		     const struct proc_mount *m)
{
	if (p->bind)
		return from && (from->major != m->major || from->minor != m->minor);
	return p->fstype && strcmp(p->fstype, m->type) != 0;
}

static void compare(struct explain *x, const struct mount_plan *p, const struct proc_mount *m)
{
	const struct proc_mount *from = source_of(x, p);
	uint64_t want = (p->set | p->rset) & STRICT, is = mounts_flags(m);
	uint64_t may = want | (from ? mounts_flags(from) & ~(p->clear | p->rclear) : 0);
	struct made_mounts *out = x->out;

	if (is_other(p, from, m))
		ckpt_problem(x->c, NULL, -1, m->point,
			     "the container has mounted something else (%s) there than the "
			     "configuration has",
			     m->type);
	if (want & ~is)
		ckpt_problem(x->c, NULL, -1, m->point,
			     "the container has remounted it with fewer restrictions than the "
			     "configuration has");
	if (!(is & ~may) || (p->bind && !from) || (!p->bind && strcmp(m->root, "/") != 0))
		return;
	out->stricter = arena_grow(x->c->arena, out->stricter, out->n_stricter, &out->stricter_room,
				   sizeof(*out->stricter));
	out->stricter[out->n_stricter++] = (struct stricter_mount){ m, is & ~may };
}

/* More than one line for one place: what each of them has can't be told from the topmost alone. */
static bool is_alone(struct explain *x, const char *point)
{
	size_t n = 0;

	for (size_t i = 0; i < x->all->n; i++)
		n += strcmp(x->all->v[i].point, point) == 0;
	return n == 1;
}

static void explain_plan(struct explain *x, const struct mount_plan *p)
{
	const struct proc_mount *m = explain_path(x, p->target);

	if (!m)
		return;
	if (p->fstype && str_starts(p->fstype, "cgroup"))
		explain_type_below(x, m->point, "cgroup");
	else if (is_alone(x, m->point))
		compare(x, p, m);
	if (p->bind && p->recursive && p->source)
		explain_below(x, p->source, m->point);
	if (p->fstype && strcmp(p->fstype, "sysfs") == 0)
		explain_below(x, "/sys", m->point);
}

static void explain_optional(struct explain *x, const char *path)
{
	bool there;
	const struct proc_mount *m = mount_of(x, path, &there);

	if (m)
		mark(x, m->point);
}

/* A path that is bound to itself takes a copy of what is mounted below with it. */
static void explain_copy(struct explain *x, const char *path)
{
	const struct proc_mount *m = explain_path(x, path);

	for (size_t i = 0; m && i < x->all->n; i++) {
		const struct proc_mount *o = &x->all->v[i];

		if (x->known[i] && str_starts(o->point, m->point) &&
		    o->point[strlen(m->point)] == '/')
			mark(x, o->point);
	}
}

static void explain_all(struct explain *x)
{
	static const char *const devices[] = {
		"/dev/null",    "/dev/zero", "/dev/full",    "/dev/random",
		"/dev/urandom", "/dev/tty",  "/dev/console", "/dev/ptmx",
	};
	const struct rootfs_plan *plan = &x->c->subject->sb->rootfs;
	const struct layers_plan *layers = &x->c->subject->sb->layers;

	for (size_t i = 0; i < x->all->n; i++)
		if (strcmp(x->all->v[i].point, "/") == 0) {
			x->known[i] = true;
			break;
		}
	explain_below(x, plan->path, "/");
	for (size_t i = 0; i < plan->n_mounts; i++)
		explain_plan(x, &plan->mounts[i]);
	for (size_t i = 0; i < NAME_COUNT(devices); i++)
		explain_optional(x, devices[i]);
	for (size_t i = 0; i < plan->n_devices; i++)
		explain_optional(x, plan->devices[i].path);
	for (size_t i = 0; i < layers->n; i++)
		if (layers->dirs[i].mode == LAYER_COW)
			explain_path(x, layers->dirs[i].guest);
	for (size_t i = 0; i < plan->n_masked; i++)
		explain_path(x, plan->masked[i]);
	for (size_t i = 0; i < plan->n_read_only; i++)
		explain_copy(x, plan->read_only[i]);
}

static int explain_anew(struct ckpt *c, const struct mounts *m, struct made_mounts *out)
{
	struct explain x = {
		.c = c,
		.all = m,
		.out = out,
		.known = arena_array(c->arena, m->n + 1, sizeof(bool)),
		.root = inside_root(c),
	};
	int ret = x.root < 0 ? x.root : proc_mounts(c->arena, getpid(), &x.host.v, &x.host.n);

	*out = (struct made_mounts){ 0 };
	if (!ret)
		explain_all(&x);
	fd_close(x.root);
	for (size_t i = 0; i < m->n && !ret; i++) {
		/* what came from the host by propagation comes again */
		if (x.known[i] || m->v[i].master)
			continue;
		out->v = arena_grow(c->arena, out->v, out->n, &out->room, sizeof(*out->v));
		out->v[out->n++] = &m->v[i];
	}
	return ret;
}

int mounts_explain(struct ckpt *c, const struct mounts *m, struct made_mounts *out)
{
	struct mounts_seen *seen = c->mounts;
	size_t problems = c->problems->n;
	int ret;

	if (seen->explained && seen->all.v == m->v) {
		*out = seen->made;
		return 0;
	}
	ret = explain_anew(c, m, out);
	/* a problem is told whenever it is asked for */
	if (!ret && seen->all.v == m->v && c->problems->n == problems) {
		seen->explained = true;
		seen->made = *out;
	}
	return ret;
}
