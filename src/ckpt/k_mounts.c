/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Mounts that the container made itself, in its own mount namespace. What can be mounted again is:
 * file systems in memory (with what is in them: k_tmpfs.c), those of the kernel, and parts of the
 * container's own tree in another place. It is done by the root process, with the rights of the
 * new container; and only where that may mount.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "base/sys.h"
#include "ckpt/inside.h"
#include "ckpt/kinds.h"
#include "ckpt/mounts.h"
#include "ckpt/tmpfs.h"
#include "jail/plan.h"

#define STRICT                                                                          \
	(MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC | \
	 MOUNT_ATTR_NOSYMFOLLOW)
#define MOUNTS_MAX 65536

struct made {
	const char *point;
	const char *type, *source, *data; /* NULL: a bind mount, of */
	const char *from;
	uint64_t flags; /* MOUNT_ATTR_* */
	bool file;      /* not a directory */
};

/* One of the configuration's that became stricter. */
struct stricter {
	const char *point;
	uint64_t flags;
};

struct all {
	struct made *made;
	size_t n_made, made_room;
	struct stricter *stricter;
	size_t n_stricter, stricter_room;
};

static const struct record_field made_rows[] = {
	RECORD(TEXT, struct made, "point", point, RECORD_MAX(PATH_MAX)),
	RECORD(TEXT, struct made, "type", type, RECORD_OPTIONAL, RECORD_MAX(64)),
	RECORD(TEXT, struct made, "source", source, RECORD_OPTIONAL, RECORD_MAX(PATH_MAX)),
	RECORD(TEXT, struct made, "data", data, RECORD_OPTIONAL, RECORD_MAX(4095)),
	RECORD(TEXT, struct made, "from", from, RECORD_OPTIONAL, RECORD_MAX(PATH_MAX)),
	RECORD(HEX, struct made, "flags", flags, RECORD_OPTIONAL, RECORD_MAX(STRICT)),
	RECORD(BOOL, struct made, "file", file, RECORD_OPTIONAL),
};
static const struct record_table made_table = RECORD_TABLE(struct made, made_rows);
static const struct record_field stricter_rows[] = {
	RECORD(TEXT, struct stricter, "point", point, RECORD_MAX(PATH_MAX)),
	RECORD(HEX, struct stricter, "flags", flags, RECORD_MAX(STRICT)),
};
static const struct record_table stricter_table = RECORD_TABLE(struct stricter, stricter_rows);
static const struct record_field rows[] = {
	RECORD_LIST_OF(struct all, "made", made, n_made, made_table, RECORD_MAX(MOUNTS_MAX)),
	RECORD_LIST_OF(struct all, "stricter", stricter, n_stricter, stricter_table,
		       RECORD_MAX(MOUNTS_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct all, rows);

/* File systems that can be mounted anew, and which of their options count. */
static const struct {
	const char *type;
	const char *const options[8];
} types[] = {
	{ "tmpfs",
	  { "size=", "nr_inodes=", "nr_blocks=", "huge=", "inode64", "inode32", "noswap" } },
	{ "ramfs", { NULL } },
	{ "proc", { "hidepid=", "subset=" } },
	{ "sysfs", { NULL } },
	{ "mqueue", { NULL } },
	{ "cgroup2", { NULL } },
};

/* ---- dump */

static const char *const *options_of(const char *type)
{
	for (size_t i = 0; i < NAME_COUNT(types); i++)
		if (strcmp(types[i].type, type) == 0)
			return types[i].options;
	return NULL;
}

/* Those of a superblock's options that are given again. */
static const char *data_of(struct ckpt *c, const struct proc_mount *m, const char *const *options)
{
	size_t size = strlen(m->super_options) + 2, n;
	struct str s = { .buf = arena_alloc(c->arena, size), .size = size };

	for (const char *word = m->super_options; *word; word += n + (word[n] == ',')) {
		n = strcspn(word, ",");
		for (size_t i = 0; i < 8 && options[i]; i++)
			if (strncmp(word, options[i], strlen(options[i])) == 0) {
				str_addn(&s, ",", s.len ? 1 : 0);
				str_addn(&s, word, n);
			}
	}
	return s.len ? s.buf : NULL;
}

/* Where else in the container the same part of the same file system is, in a mount before it. */
static const char *seen_at(struct ckpt *c, const struct mounts *all, const struct proc_mount *m)
{
	for (const struct proc_mount *o = all->v; o < m; o++) {
		size_t above = strcmp(o->root, "/") == 0 ? 0 : strlen(o->root);
		const char *rest = m->root + above;

		if (o->major != m->major || o->minor != m->minor ||
		    strncmp(o->root, m->root, above) != 0 || (*rest && *rest != '/'))
			continue;
		if (strcmp(rest, "/") == 0)
			rest = "";
		if (mounts_at(all, o->point) == o)
			return *rest || strcmp(o->point, "/") != 0
				       ? arena_printf(c->arena, "%s%s",
						      strcmp(o->point, "/") == 0 ? "" : o->point,
						      rest)
				       : "/";
	}
	return NULL;
}

static const char *refusal(struct ckpt *c, const struct mounts *all, const struct proc_mount *m)
{
	if (!cred_may_mount(&c->subject->sb->process.cred))
		return "it was mounted after the container was made, and the configuration gives the "
		       "container no right to";
	if (m->shared || m->unbindable)
		return "the container mounted it itself, with a propagation that can't be restored";
	if (mounts_at(all, m->point) != m)
		return "the container mounted it itself, and then another one over it";
	if (strcmp(m->point, "/") == 0)
		return "the container mounted it itself, over its own root";
	if (seen_at(c, all, m) || (strcmp(m->root, "/") == 0 && options_of(m->type)))
		return mounts_covered(c, all, m);
	return arena_printf(c->arena,
			    "the container mounted it itself, and a file system of type %s "
			    "can't be mounted again",
			    m->type);
}

static int look(struct ckpt *c, struct mounts *all, struct made_mounts *made)
{
	int ret = mounts_read(c, all);

	return ret ? ret : mounts_explain(c, all, made);
}

static int check(const struct ckpt_unit *u)
{
	struct made_mounts made;
	struct mounts all;
	const char *why;
	int ret = look(u->c, &all, &made);

	for (size_t i = 0; i < made.n && !ret; i++) {
		why = refusal(u->c, &all, made.v[i]);
		if (why)
			ckpt_problem(u->c, NULL, -1, made.v[i]->point, "%s", why);
	}
	return ret;
}

static void add_made(struct ckpt *c, struct all *out, const struct mounts *all,
		     const struct proc_mount *m, int root)
{
	auto_fd fd = fd_open_in_root(root, m->point, O_PATH | O_NOFOLLOW);
	struct stat st;
	struct made *k;

	out->made =
		arena_grow(c->arena, out->made, out->n_made, &out->made_room, sizeof(*out->made));
	k = &out->made[out->n_made++];
	*k = (struct made){
		.point = m->point,
		.from = seen_at(c, all, m),
		.flags = mounts_flags(m),
		.file = fd >= 0 && fstat(fd, &st) == 0 && !S_ISDIR(st.st_mode),
	};
	if (k->from)
		return;
	k->type = m->type;
	k->source = m->source;
	k->data = data_of(c, m, options_of(m->type));
}

static int collect(const struct ckpt_unit *u)
{
	struct all *out = u->rec;
	auto_fd root = inside_root(u->c);
	size_t problems = u->c->problems->n;
	struct made_mounts made;
	struct mounts all;
	const char *why;
	int ret = root < 0 ? root : look(u->c, &all, &made);

	if (!ret && u->c->problems->n > problems)
		return fail(ENOTSUP, "%s: %s", u->c->problems->v[problems].what,
			    u->c->problems->v[problems].why);
	for (size_t i = 0; i < made.n && !ret; i++) {
		why = refusal(u->c, &all, made.v[i]);
		if (why)
			return fail(ENOTSUP, "%s: %s", made.v[i]->point, why);
		add_made(u->c, out, &all, made.v[i], root);
	}
	for (size_t i = 0; i < made.n_stricter && !ret; i++) {
		out->stricter = arena_grow(u->c->arena, out->stricter, out->n_stricter,
					   &out->stricter_room, sizeof(*out->stricter));
		out->stricter[out->n_stricter++] =
			(struct stricter){ made.stricter[i].m->point, made.stricter[i].flags };
	}
	return ret;
}

/* ---- restore */

static int prepare(const struct ckpt_unit *u)
{
	const struct all *all = u->rec;

	for (size_t i = 0; i < all->n_made; i++) {
		const struct made *k = &all->made[i];

		if (k->point[0] != '/' || (k->from != NULL) == (k->type != NULL) ||
		    (k->from && k->from[0] != '/') || (k->type && !options_of(k->type)))
			return fail(EBADMSG,
				    "the image: %s: mounts.made[%zu]: is none that can be "
				    "made again",
				    IMAGE_CONTAINER, i);
	}
	if (all->n_made && !cred_may_mount(&u->c->sb->process.cred))
		return fail(EPERM,
			    "the container had mounted %s itself, and the new configuration "
			    "gives it no right to (CAP_SYS_ADMIN)",
			    all->made[0].point);
	return 0;
}

/* Text for a call, at a place of its own in the scratch memory; NULL is NULL. */
static int put(struct ckpt *c, size_t slot, const char *text, uint64_t *out)
{
	*out = 0;
	return text ? ckpt_put(ckpt_root(c), slot * PATH_MAX, text, strlen(text) + 1, out) : 0;
}

/* The directory that it covers was not seen in what is saved. */
static int make_point(struct ckpt *c, const struct made *k)
{
	const struct ckpt_thread *root = ckpt_root(c);
	uint64_t point;
	int64_t ret = put(c, 0, k->point, &point);

	if (ret)
		return (int)ret;
	ret = k->file ? ckpt_call(root, "make a place for a mount", SYS_mknodat, (uint64_t)AT_FDCWD,
				  point, S_IFREG | 0644, 0)
		      : ckpt_call(root, "make a place for a mount", SYS_mkdirat, (uint64_t)AT_FDCWD,
				  point, 0755);
	return ret == -EEXIST ? 0 : (int)ret;
}

static int set_flags(struct ckpt *c, const char *path, uint64_t flags)
{
	const struct mount_attr attr = { .attr_set = flags };
	uint64_t point, addr;
	int64_t ret = put(c, 0, path, &point);

	if (!ret)
		ret = ckpt_put(ckpt_root(c), PATH_MAX, &attr, sizeof(attr), &addr);
	if (!ret)
		ret = ckpt_call(ckpt_root(c), "set the flags of a mount", SYS_mount_setattr,
				(uint64_t)AT_FDCWD, point, 0, addr, sizeof(attr));
	return ret < 0 ? fail_in((int)ret, "%s", path) : 0;
}

static int make(struct ckpt *c, const struct made *k)
{
	uint64_t source, point, type, data;
	int64_t ret = make_point(c, k);

	if (!ret)
		ret = put(c, 0, k->from ? k->from : k->source ? k->source : "none", &source);
	if (!ret)
		ret = put(c, 1, k->point, &point);
	if (!ret)
		ret = put(c, 2, k->type, &type);
	if (!ret)
		ret = put(c, 3, k->data, &data);
	if (!ret)
		ret = ckpt_call(ckpt_root(c), "mount", SYS_mount, source, point, type,
				k->from ? MS_BIND : 0, data);
	if (ret < 0)
		return fail_in((int)ret, "%s", k->point);
	return tmpfs_fill_made(c, k->point);
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct all *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n_made && !ret; i++)
		ret = make(u->c, &all->made[i]);
	return ret;
}

/* When nothing is written to any more (k_tmpfs.c). */
static int restrict_all(const struct ckpt_unit *u)
{
	const struct all *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n_made && !ret; i++)
		if (all->made[i].flags)
			ret = set_flags(u->c, all->made[i].point, all->made[i].flags);
	for (size_t i = 0; i < all->n_stricter && !ret; i++)
		ret = set_flags(u->c, all->stricter[i].point, all->stricter[i].flags);
	return ret;
}

const struct ckpt_kind kind_mounts = {
	.name = "mounts",
	.scope = KIND_CONTAINER,
	.table = &table,
	.check = check,
	.collect = collect,
	.prepare = prepare,
	.rebuild = { [PHASE_ROOT] = rebuild, [PHASE_SIGNALS] = restrict_all },
};
