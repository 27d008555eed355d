/* SPDX-License-Identifier: Apache-2.0 */
/* Annotations about directories that are shown by layers: run.thole.cow, run.thole.map. */
#include <errno.h>
#include <linux/mount.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "jail/policy.h"
#include "oci/build_priv.h"

#define COW "annotations." BUILD_COW
#define BACKEND "annotations." BUILD_COW_BACKEND
#define MAP "annotations." BUILD_MAP

static int refuse(const struct spec *s, const struct layers_dir *d, const char *why)
{
	return fail(EINVAL, "%s: %s: %s: %s", s->doc, d->where, d->guest, why);
}

/* The next of the parts between such signs, or NULL. *rest moves on, NULL behind the last. */
static char *next_part(struct arena *a, const char **rest, char sign)
{
	const char *from = *rest, *end;

	if (!from)
		return NULL;
	end = strchr(from, sign);
	*rest = end ? end + 1 : NULL;
	return arena_strndup(a, from, end ? (size_t)(end - from) : strlen(from));
}

/* Why it is no path that could be meant, or NULL. A slash at its end is cut. */
static const char *bad_path(char *path)
{
	size_t n = strlen(path);

	if (path[0] != '/')
		return "is not an absolute path";
	if (n > 1 && path[n - 1] == '/')
		path[n - 1] = '\0';
	for (const char *p = path; *p; p += strcspn(p, "/")) {
		n = strcspn(++p, "/");
		if (n == 0 && path[1])
			return "has an empty component";
		if ((n == 1 && p[0] == '.') || (n == 2 && p[0] == '.' && p[1] == '.'))
			return "must be written without . and ..";
	}
	return NULL;
}

static bool is_beneath(const char *path, const char *above)
{
	size_t n = strlen(above);

	return strcmp(above, "/") == 0 ||
	       (strncmp(path, above, n) == 0 && (path[n] == '/' || path[n] == '\0'));
}

static int set_quota(struct arena *a, const char *text, struct layers_dir *d, const char **why)
{
	int64_t bytes;

	(void)a;
	if (num_bytes(text, &bytes) || bytes <= 0)
		*why = "quota must be a size above zero like 512m or 2g";
	else if (d->quota)
		*why = "quota is given twice";
	else
		d->quota = (uint64_t)bytes;
	return *why ? -EINVAL : 0;
}

static int set_upper(struct arena *a, const char *text, struct layers_dir *d, const char **why)
{
	char *path = arena_strdup(a, text);

	if (bad_path(path) || !path[1])
		*why = "upper must be an absolute path without . and ..";
	else if (d->store)
		*why = "upper is given twice";
	else
		d->store = path;
	d->kept = true;
	return *why ? -EINVAL : 0;
}

static const struct {
	const char *prefix;
	int (*set)(struct arena *a, const char *text, struct layers_dir *d, const char **why);
} cow_options[] = {
	{ "quota=", set_quota },
	{ "upper=", set_upper },
};

static int read_cow_option(struct arena *a, const char *word, struct layers_dir *d,
			   const char **why)
{
	for (size_t i = 0; i < NAME_COUNT(cow_options); i++) {
		size_t n = strlen(cow_options[i].prefix);

		if (strncmp(word, cow_options[i].prefix, n) == 0)
			return cow_options[i].set(a, word + n, d, why);
	}
	*why = arena_printf(a, "\"%.40s\" is no option (known: quota=SIZE, upper=DIR)", word);
	return -EINVAL;
}

static int read_cow(struct arena *a, const struct spec *s, const char *text, struct layers_dir *d)
{
	const char *rest = text, *why;
	char *path = next_part(a, &rest, ':'), *word;

	*d = (struct layers_dir){ .where = COW, .guest = path, .mode = LAYER_COW };
	why = bad_path(path);
	if (!why && build_text(s->mount_label) && build_label(a, s, &d->label))
		return -EINVAL;
	while (!why && (word = next_part(a, &rest, ':')))
		read_cow_option(a, word, d, &why);
	return why ? refuse(s, d, why) : 0;
}

static int read_map(struct arena *a, const struct spec *s, const char *text, struct layers_dir *d)
{
	static const struct name_row modes[] = { { "ro", LAYER_RO }, { "rw", LAYER_RW } };
	const char *rest = text, *why;
	char *pair = next_part(a, &rest, ':');
	char *mode = next_part(a, &rest, ':');
	char *host = strchr(pair, '=');
	const struct name_row *row = mode ? name_find(modes, NAME_COUNT(modes), mode) : NULL;

	*d = (struct layers_dir){ .where = MAP, .guest = pair };
	if (!host || !row || rest)
		return refuse(s, d, "must be GUEST=HOST:ro or GUEST=HOST:rw");
	*host++ = '\0';
	d->mode = (enum layer_mode)row->value;
	d->host = host;
	why = bad_path(pair);
	if (!why && bad_path(host))
		why = arena_printf(a,
				   "the host's directory %.80s must be an absolute path "
				   "without . and ..",
				   host);
	return why ? refuse(s, d, why) : 0;
}

static int read_dirs(struct arena *a, const struct spec *s, const char *value,
		     int (*read)(struct arena *a, const struct spec *s, const char *text,
				 struct layers_dir *d),
		     struct layers_plan *out)
{
	const char *rest = value;
	char *text;
	int ret = 0;

	if (!out->dirs)
		out->dirs = arena_array(a, SUPER_MAP_MAX, sizeof(*out->dirs));
	while (!ret && (text = next_part(a, &rest, ','))) {
		if (out->n == SUPER_MAP_MAX)
			return fail(EINVAL, "%s: " COW ", " MAP ": more than %d directories",
				    s->doc, SUPER_MAP_MAX);
		ret = read(a, s, text, &out->dirs[out->n++]);
	}
	return ret;
}

/* What is no place for a layer: the kernel's own file systems, and the root with them in it. */
static int check_place(const struct spec *s, const struct layers_dir *d)
{
	static const char *const kernels[] = { "/proc", "/sys", "/dev" };

	if (!d->guest[1])
		return refuse(s, d, "the whole root can't be one: name directories in it");
	for (size_t i = 0; i < NAME_COUNT(kernels); i++)
		if (is_beneath(d->guest, kernels[i]))
			return fail(EINVAL, "%s: %s: %s: is inside %s", s->doc, d->where, d->guest,
				    kernels[i]);
	if (d->store && is_beneath(d->store, d->guest) && !spec_namespace(s, NS_MOUNT))
		return refuse(s, d, "upper is inside the directory itself");
	return 0;
}

static int check_overlap(const struct spec *s, const struct layers_plan *l, size_t i)
{
	const struct layers_dir *d = &l->dirs[i];

	for (size_t k = 0; k < i; k++) {
		const struct layers_dir *o = &l->dirs[k];

		if (is_beneath(d->guest, o->guest) || is_beneath(o->guest, d->guest))
			return fail(EINVAL, "%s: %s: %s and %s overlap", s->doc, d->where, o->guest,
				    d->guest);
		if (d->store && o->store &&
		    (is_beneath(d->store, o->store) || is_beneath(o->store, d->store)))
			return fail(EINVAL, "%s: %s: the upper directories of %s and %s overlap",
				    s->doc, d->where, o->guest, d->guest);
	}
	return 0;
}

/* Another mount or a masked path inside would be under the layer, or a hole in it. */
static int check_inside(struct arena *a, const struct spec *s, const struct rootfs_plan *r,
			const struct layers_dir *d)
{
	for (size_t i = 0; i < r->n_mounts; i++)
		if (is_beneath(r->mounts[i].target, d->guest) &&
		    strcmp(r->mounts[i].target, d->guest) != 0)
			return refuse(s, d, arena_printf(a, "mounts[%zu] lies inside it", i));
	for (size_t i = 0; i < r->n_masked; i++)
		if (is_beneath(r->masked[i], d->guest))
			return refuse(s, d,
				      arena_printf(a, "linux.maskedPaths[%zu] lies inside it", i));
	for (size_t i = 0; i < r->n_read_only; i++)
		if (is_beneath(r->read_only[i], d->guest))
			return refuse(s, d,
				      arena_printf(a,
						   "linux.readonlyPaths[%zu] lies inside "
						   "it",
						   i));
	return 0;
}

/* What lies there on the host: the source of the mount that covers it, or the root's own. */
static const char *find_host(struct arena *a, const struct rootfs_plan *r, const char *guest)
{
	const struct mount_plan *over = NULL;

	for (size_t i = 0; i < r->n_mounts; i++)
		if (is_beneath(guest, r->mounts[i].target))
			over = &r->mounts[i];
	if (!over)
		return arena_printf(a, "%s%s", strcmp(r->path, "/") == 0 ? "" : r->path, guest);
	if (!over->bind || !over->source || over->extra & (MOUNT_IDMAP | MOUNT_RIDMAP))
		return NULL;
	return arena_printf(a, "%s%s", over->source,
			    guest + (over->target[1] ? strlen(over->target) : 0));
}

/* What only the supervisor can do, and what keeps it from being had. */
static int check_supervised(const struct spec *s, const struct sandbox *sb,
			    const struct layers_dir *d)
{
	bool namespaced = sb->ns.want[NS_MOUNT].wanted;

	if (sb->seccomp_listener)
		return refuse(s, d,
			      "the seccomp profile notifies (SCMP_ACT_NOTIFY), and a process "
			      "can have one listener only");
	if (namespaced)
		return 0;
	if (!policy_alone(sb))
		return refuse(s, d, "without a mount namespace root.path must be /");
	if (sb->landlock.mode == LANDLOCK_OFF)
		return refuse(s, d,
			      "without a mount namespace only Landlock keeps writes out of "
			      "it, and run.thole.landlock is off");
	return 0;
}

/* Landlock adds rights downwards: whoever may write above may write here. */
static int check_alone(struct arena *a, const struct spec *s, const struct sandbox *sb,
		       const struct layers_dir *d)
{
	const struct rootfs_plan *r = &sb->rootfs;
	const struct landlock_plan *l = &sb->landlock;

	for (size_t i = 0; i < r->n_mounts; i++) {
		const struct mount_plan *m = &r->mounts[i];

		if (((m->set & ~m->rclear) | m->rset) & MOUNT_ATTR_RDONLY)
			continue;
		if (is_beneath(d->guest, m->target) && strcmp(d->guest, m->target) != 0)
			return refuse(s, d,
				      arena_printf(a,
						   "mounts[%zu] lets all of %s be "
						   "written, and Landlock can't except a "
						   "directory in it",
						   i, m->target));
		if (d->store && is_beneath(d->store, m->target))
			return refuse(s, d,
				      arena_printf(a,
						   "mounts[%zu] lets its upper directory "
						   "be written",
						   i));
	}
	for (size_t i = 0; i < l->n_extra; i++)
		if (is_beneath(d->guest, l->extra[i].path))
			return refuse(s, d, "run.thole.landlock.extra grants rights in it");
	return 0;
}

static int check_backend(const struct spec *s, const struct sandbox *sb, const struct layers_dir *d,
			 bool *out_notified)
{
	bool namespaced = sb->ns.want[NS_MOUNT].wanted;
	bool overlay = namespaced && !d->quota && d->mode == LAYER_COW;

	if (d->mode != LAYER_COW && namespaced)
		return refuse(s, d, "in a mount namespace a bind mount (mounts) does that");
	if (sb->layers.backend == LAYERS_OVERLAY && d->mode == LAYER_COW && !overlay)
		return refuse(s, d,
			      namespaced ? BACKEND " is overlay, which has no quota"
					 : BACKEND " is overlay, which needs a mount "
						   "namespace (linux.namespaces)");
	*out_notified = !overlay || sb->layers.backend == LAYERS_NOTIFY;
	return *out_notified ? check_supervised(s, sb, d) : 0;
}

static int finish_dir(struct arena *a, const struct spec *s, struct sandbox *sb, size_t i)
{
	struct layers_dir *d = &sb->layers.dirs[i];
	bool notified = false;
	int ret = check_place(s, d);

	if (!ret)
		ret = check_overlap(s, &sb->layers, i);
	if (!ret)
		ret = check_inside(a, s, &sb->rootfs, d);
	if (!ret)
		ret = check_backend(s, sb, d, &notified);
	if (!ret && !sb->ns.want[NS_MOUNT].wanted)
		ret = check_alone(a, s, sb, d);
	if (ret)
		return ret;
	if (d->mode == LAYER_COW)
		d->host = find_host(a, &sb->rootfs, d->guest);
	sb->layers.notified |= (uint32_t)notified << i;
	return 0;
}

static int read_backend(const struct spec *s, struct layers_plan *out)
{
	static const struct name_row names[] = {
		{ "auto", LAYERS_AUTO },
		{ "overlay", LAYERS_OVERLAY },
		{ "notify", LAYERS_NOTIFY },
	};
	const char *value = spec_annotation(s, BUILD_COW_BACKEND);
	const struct name_row *row;

	if (!value)
		return 0;
	row = name_find(names, NAME_COUNT(names), value);
	if (!row)
		return fail(EINVAL, "%s: " BACKEND ": must be auto, overlay or notify", s->doc);
	if (!spec_annotation(s, BUILD_COW))
		return fail(EINVAL,
			    "%s: " BACKEND ": there is no " BUILD_COW " to be made that way",
			    s->doc);
	out->backend = (enum layers_backend)row->value;
	return 0;
}

int build_layers(struct arena *a, const struct spec *s, struct sandbox *out)
{
	const char *cow = spec_annotation(s, BUILD_COW), *map = spec_annotation(s, BUILD_MAP);
	int ret = read_backend(s, &out->layers);

	if (!ret && cow)
		ret = read_dirs(a, s, cow, read_cow, &out->layers);
	if (!ret && map)
		ret = read_dirs(a, s, map, read_map, &out->layers);
	/* a listener is the profile's: no call can be notified for a layer */
	if (out->seccomp_listener && out->layers.backend == LAYERS_AUTO)
		out->layers.backend = LAYERS_OVERLAY;
	for (size_t i = 0; !ret && i < out->layers.n; i++)
		ret = finish_dir(a, s, out, i);
	return ret;
}
