/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/tap.h"
#include "super/layer_priv.h"

#define SINCE 1200000000

struct step {
	char a[64], b[64];
	unsigned flags;
	unsigned r;
};

static int plain_at(const struct world *w, const char *path, const char **out_name)
{
	const char *slash = strrchr(path, '/');
	char parent[64] = ".";

	*out_name = slash ? slash + 1 : path;
	if (slash)
		snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
	return fd_open(w->plain, parent, O_PATH | O_DIRECTORY, 0,
		       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static int plain_open(const struct world *w, const char *path)
{
	return fd_open(w->plain, path, O_PATH | O_NOFOLLOW, 0,
		       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

static int or_errno(int ret)
{
	return ret < 0 ? -errno : 0;
}

static mode_t some_mode(const struct step *s)
{
	static const mode_t modes[] = { 0755, 0700, 0711, 0777 };

	return modes[s->r % 4];
}

static int layer_do_mkdir(struct world *w, const struct step *s)
{
	return layer_mkdir(&w->layer, s->a, some_mode(s));
}

static int plain_do_mkdir(struct world *w, const struct step *s)
{
	const char *name;
	auto_fd dir = plain_at(w, s->a, &name);

	return dir < 0 ? dir : or_errno(mkdirat(dir, name, some_mode(s)));
}

static int put_text(int fd, const struct step *s)
{
	return fd < 0 ? fd : (dprintf(fd, "%s %u", s->a, s->r), close(fd), 0);
}

static int layer_do_create(struct world *w, const struct step *s)
{
	return put_text(layer_create(&w->layer, s->a, O_WRONLY, some_mode(s)), s);
}

static int plain_do_create(struct world *w, const struct step *s)
{
	const char *name;
	auto_fd dir = plain_at(w, s->a, &name);
	int fd;

	if (dir < 0)
		return dir;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, some_mode(s));
	return fd < 0 ? -errno : put_text(fd, s);
}

static int write_into(int place, const struct step *s)
{
	struct stat st;
	auto_fd fd = -1;

	if (place < 0)
		return place;
	if (fstat(place, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	fd = fd_reopen(place, O_WRONLY);
	return fd < 0 ? fd : pwrite(fd, s->a, strlen(s->a), s->r % 5000) < 0 ? -errno : 0;
}

static int layer_do_write(struct world *w, const struct step *s)
{
	auto_fd fd = layer_open_up(&w->layer, s->a);

	return write_into(fd, s);
}

static int plain_do_write(struct world *w, const struct step *s)
{
	auto_fd fd = plain_open(w, s->a);

	return write_into(fd, s);
}

static int cut(int place)
{
	struct stat st;
	auto_fd fd = -1;

	if (place < 0)
		return place;
	if (fstat(place, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	fd = fd_reopen(place, O_WRONLY | O_TRUNC);
	return fd < 0 ? fd : ftruncate(fd, 0) < 0 ? -errno : 0;
}

static int layer_do_truncate(struct world *w, const struct step *s)
{
	struct layer_entry e;
	int ret = layer_find(&w->layer, s->a, &e);

	if (ret || e.side == LAYER_NOWHERE)
		return ret ? ret : -ENOENT;
	fd_close(e.fd);
	if (!S_ISREG(e.st.st_mode))
		return -EINVAL;
	auto_fd fd = layer_open_up_empty(&w->layer, s->a);
	return cut(fd);
}

static int plain_do_truncate(struct world *w, const struct step *s)
{
	auto_fd fd = plain_open(w, s->a);

	return cut(fd);
}

static int change_mode(int fd, const struct step *s)
{
	char proc[64];
	struct stat st;

	if (fd < 0)
		return fd;
	if (fstat(fd, &st) < 0 || S_ISLNK(st.st_mode))
		return -EINVAL;
	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	return or_errno(chmod(proc, some_mode(s)));
}

static int layer_do_chmod(struct world *w, const struct step *s)
{
	auto_fd fd = layer_open_up(&w->layer, s->a);

	return change_mode(fd, s);
}

static int plain_do_chmod(struct world *w, const struct step *s)
{
	auto_fd fd = plain_open(w, s->a);

	return change_mode(fd, s);
}

static int layer_do_unlink(struct world *w, const struct step *s)
{
	return layer_remove(&w->layer, s->a, false);
}

static int plain_do_unlink(struct world *w, const struct step *s)
{
	const char *name;
	auto_fd dir = plain_at(w, s->a, &name);

	return dir < 0 ? dir : or_errno(unlinkat(dir, name, 0));
}

static int layer_do_rmdir(struct world *w, const struct step *s)
{
	return layer_remove(&w->layer, s->a, true);
}

static int plain_do_rmdir(struct world *w, const struct step *s)
{
	const char *name;
	auto_fd dir = plain_at(w, s->a, &name);

	return dir < 0 ? dir : or_errno(unlinkat(dir, name, AT_REMOVEDIR));
}

static int layer_do_symlink(struct world *w, const struct step *s)
{
	return layer_symlink(&w->layer, s->b, s->a);
}

static int plain_do_symlink(struct world *w, const struct step *s)
{
	const char *name;
	auto_fd dir = plain_at(w, s->a, &name);

	return dir < 0 ? dir : or_errno(symlinkat(s->b, dir, name));
}

static int layer_do_fifo(struct world *w, const struct step *s)
{
	return layer_mknod(&w->layer, s->a, S_IFIFO | some_mode(s));
}

static int plain_do_fifo(struct world *w, const struct step *s)
{
	const char *name;
	auto_fd dir = plain_at(w, s->a, &name);

	return dir < 0 ? dir : or_errno(mkfifoat(dir, name, some_mode(s)));
}

static int layer_do_link(struct world *w, const struct step *s)
{
	return layer_link(&w->layer, s->a, s->b);
}

static int plain_do_link(struct world *w, const struct step *s)
{
	const char *from, *to;
	auto_fd a = plain_at(w, s->a, &from), b = plain_at(w, s->b, &to);

	if (a < 0 || faccessat(a, from, F_OK, AT_SYMLINK_NOFOLLOW | AT_EACCESS) < 0)
		return a < 0 ? a : -errno;
	return b < 0 ? b : or_errno(linkat(a, from, b, to, 0));
}

static int layer_do_rename(struct world *w, const struct step *s)
{
	return layer_rename(&w->layer, s->a, s->b, s->flags);
}

static int plain_do_rename(struct world *w, const struct step *s)
{
	const char *from, *to;
	auto_fd a = plain_at(w, s->a, &from), b = plain_at(w, s->b, &to);

	/* that the first name can't be looked for is told before what is wrong with the second */
	if (a >= 0 && faccessat(a, from, F_OK, AT_SYMLINK_NOFOLLOW | AT_EACCESS) < 0 &&
	    errno == EACCES)
		return -EACCES;
	if (a < 0 || b < 0)
		return a < 0 ? a : b;
	return or_errno(renameat2(a, from, b, to, s->flags));
}

/* Listings may be in any order: what is told of one is how many names there are. */
static int list_layer(struct layer *l, const char *path, struct tree_names *out, size_t room)
{
	_Alignas(struct dirent64) char buf[4096];
	auto_fd place = layer_open_up(l, path), dir = -1;
	ssize_t n;

	dir = place < 0 ? place : fd_reopen(place, O_RDONLY | O_DIRECTORY);
	if (dir < 0)
		return dir;
	while ((n = layer_list(l, path, dir, buf, room)) > 0)
		tree_add(out, buf, (size_t)n);
	return (int)n;
}

static int layer_do_list(struct world *w, const struct step *s)
{
	struct tree_names names = { .n = 0 };
	int ret = list_layer(&w->layer, s->a, &names, 32 + s->r % 200), n = (int)names.n;

	tree_free(&names);
	return ret ? ret : n;
}

static int plain_do_list(struct world *w, const struct step *s)
{
	struct tree_names names = { .n = 0 };
	const struct tree t = tree_plain(&w->plain);
	auto_fd fd = plain_open(w, s->a);
	struct stat st;
	int ret = fd, n;

	if (fd >= 0)
		ret = fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode) ? -ENOTDIR
								 : t.list(t.arg, s->a, &names);
	n = (int)names.n;
	tree_free(&names);
	return ret ? ret : n;
}

static int told(const struct stat *st)
{
	return (int)(st->st_mode + (S_ISDIR(st->st_mode)
					    ? 0
					    : st->st_nlink * 1000000 + (unsigned)st->st_size * 7));
}

static int layer_do_stat(struct world *w, const struct step *s)
{
	struct layer_entry e;
	int ret = layer_find(&w->layer, s->a, &e);

	if (ret || e.side == LAYER_NOWHERE)
		return ret ? ret : -ENOENT;
	fd_close(e.fd);
	e.st.st_nlink = layer_nlink(&w->layer, &e);
	return told(&e.st);
}

static int plain_do_stat(struct world *w, const struct step *s)
{
	auto_fd fd = plain_open(w, s->a);
	struct stat st;

	return fd < 0 ? fd : fstat(fd, &st) < 0 ? -errno : told(&st);
}

#define OP(n)                                        \
	{                                            \
#n, layer_do_##n, plain_do_##n, 0, 0 \
	}
static const struct {
	const char *name;
	int (*layer)(struct world *w, const struct step *s);
	int (*plain)(struct world *w, const struct step *s);
	unsigned flags;
	int two;
} ops[] = {
	OP(mkdir),
	OP(mkdir),
	OP(create),
	OP(create),
	OP(create),
	OP(write),
	OP(truncate),
	OP(chmod),
	OP(unlink),
	OP(unlink),
	OP(rmdir),
	OP(symlink),
	OP(fifo),
	OP(link),
	OP(link),
	OP(list),
	OP(stat),
	OP(stat),
	{ "rename", layer_do_rename, plain_do_rename, 0, 1 },
	{ "rename", layer_do_rename, plain_do_rename, 0, 1 },
	{ "rename", layer_do_rename, plain_do_rename, 0, 1 },
	{ "rename-noreplace", layer_do_rename, plain_do_rename, RENAME_NOREPLACE, 1 },
	{ "rename-exchange", layer_do_rename, plain_do_rename, RENAME_EXCHANGE, 1 },
	{ "rename-exchange", layer_do_rename, plain_do_rename, RENAME_EXCHANGE, 1 },
};

static void some_path(struct world *w, char out[64])
{
	static const char names[] = "abcde";
	size_t n = 0;
	int depth = 1 + rand_r(&w->seed) % 4;

	for (int i = 0; i < depth; i++) {
		if (i)
			out[n++] = '/';
		out[n++] = names[rand_r(&w->seed) % 5];
	}
	out[n] = '\0';
}

bool world_step(struct world *w, int number)
{
	size_t op = (size_t)rand_r(&w->seed) % (sizeof(ops) / sizeof(ops[0]));
	struct step s = { .flags = ops[op].flags, .r = (unsigned)rand_r(&w->seed) };
	int got, want;

	some_path(w, s.a);
	some_path(w, s.b);
	got = ops[op].layer(w, &s);
	want = ops[op].plain(w, &s);
	if (w->told)
		printf("# %d %s %s %s = %d\n", number, ops[op].name, s.a, s.b, want);
	return is_int(got, want, "%s-%u, step %d: %s %s %s", w->guest ? "guest" : "walk", w->first,
		      number, ops[op].name, s.a, s.b);
}

static int layer_tree_open(void *arg, const char *path, struct stat *out)
{
	struct layer_entry e;
	int ret = layer_find(arg, path, &e);

	if (ret || e.side == LAYER_NOWHERE)
		return ret ? ret : -ENOENT;
	e.st.st_nlink = layer_nlink(arg, &e);
	*out = e.st;
	return e.fd;
}

static int layer_tree_list(void *arg, const char *path, struct tree_names *out)
{
	return list_layer(arg, path, out, 4096);
}

static int make_dir(int base, const char *name)
{
	if (mkdirat(base, name, 0755) < 0)
		abort();
	return openat(base, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

void world_open(struct world *w, int base, unsigned seed, bool mixed)
{
	struct stat st;

	*w = (struct world){ .base = base, .seed = seed, .first = seed };
	w->plain = make_dir(base, "plain");
	w->layer = (struct layer){ .mode = LAYER_COW,
				   .lower = make_dir(base, "lower"),
				   .upper = make_dir(base, "upper"),
				   .work = make_dir(base, "work") };
	tree_fill(w->plain, seed, mixed);
	tree_fill(w->layer.lower, seed, mixed);
	if (fstat(w->layer.lower, &st) < 0 || layer_copy_facts(w->layer.lower, w->layer.upper, &st))
		abort();
	layer_prepare(&w->layer);
}

void world_close(struct world *w)
{
	static const char *const names[] = { "plain", "lower", "upper", "work" };

	close(w->plain);
	close(w->layer.lower);
	close(w->layer.upper);
	close(w->layer.work);
	for (int i = 0; i < 4; i++)
		is_int(fd_remove_tree(w->base, names[i]), 0, "%s goes", names[i]);
}

static struct tree told_tree(struct tree t, bool links)
{
	t.since = SINCE;
	t.links = links;
	return t;
}

struct tree world_plain(struct world *w, bool links)
{
	return told_tree(tree_plain(&w->plain), links);
}

struct tree world_lower(struct world *w, bool links)
{
	return told_tree(tree_plain(&w->layer.lower), links);
}

struct tree world_layer(struct world *w, bool links)
{
	return told_tree(
		(struct tree){ .arg = &w->layer, .open = layer_tree_open, .list = layer_tree_list },
		links);
}
