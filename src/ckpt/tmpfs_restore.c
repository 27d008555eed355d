/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree in memory, the way back. What an image says of it is checked first, as a whole. Then it is
 * made, with the rights of the container's root (inside.h), beneath the mount: every directory is
 * opened from its descriptor down, without links and without entering other mounts. Nodes of
 * devices are made by the container's own first process, which may make only those that the new
 * container may have.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/inside.h"
#include "ckpt/tmpfs.h"

#define BENEATH (RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV)
#define DEPTH_MAX 64

/* ---- what an image says, checked */

struct check {
	const struct tmpfs_tree *t;
	const char *word;
	size_t number, at;
	uint64_t data;
};

static int refuse(const struct check *k, const char *why)
{
	return fail(EBADMSG, "the image: %s.%zu.json: entries[%zu]: %s", k->word, k->number, k->at,
		    why);
}

static bool is_name(const char *name)
{
	return *name && !strchr(name, '/') && strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static int check_extents(struct check *k, struct tmpfs_entry *e)
{
	uint64_t end = 0;

	if (e->n_extents % 2 || (e->n_extents && !S_ISREG(e->mode)))
		return refuse(k, "extents: must be pairs, of a file");
	e->data = k->data;
	for (size_t i = 0; i < e->n_extents; i += 2) {
		if (e->extents[i] < end || !e->extents[i + 1] || e->extents[i] > e->size ||
		    e->extents[i + 1] > e->size - e->extents[i] ||
		    e->extents[i + 1] > INT64_MAX - k->data)
			return refuse(k, "extents: are out of order or out of the file");
		end = e->extents[i] + e->extents[i + 1];
		k->data += e->extents[i + 1];
	}
	return 0;
}

static int check_entry(struct check *k, struct tmpfs_entry *e)
{
	const struct tmpfs_entry *v = k->t->v;

	if (k->at == 0)
		return S_ISDIR(e->mode) && !*e->name ? 0 : refuse(k, "must be the root");
	if (e->parent >= k->at || !S_ISDIR(v[e->parent].mode))
		return refuse(k, "parent: must be a directory before it");
	if (!is_name(e->name))
		return refuse(k, "name: is no name of a file");
	if (e->flags && !S_ISREG(e->mode) && !S_ISDIR(e->mode))
		return refuse(k, "flags: are of a file or directory");
	if (S_ISLNK(e->mode) != (e->target != NULL) && !e->same)
		return refuse(k, "target: must be there for a symbolic link alone");
	if (e->same && (e->same >= k->at || S_ISDIR(v[e->same].mode) || v[e->same].same ||
			(v[e->same].mode & S_IFMT) != (e->mode & S_IFMT)))
		return refuse(k, "same: must be such a file, before it");
	switch (e->mode & S_IFMT) {
	case S_IFREG:
	case S_IFDIR:
	case S_IFLNK:
	case S_IFIFO:
	case S_IFSOCK:
	case S_IFCHR:
	case S_IFBLK:
		return check_extents(k, e);
	default:
		return refuse(k, "mode: is of no sort of file");
	}
}

int tmpfs_load(struct ckpt *c, const char *word, size_t number, struct tmpfs_tree *out)
{
	struct check k = { .t = out, .word = word, .number = number };
	struct image_map data;
	int ret = image_get_record(c->image, arena_printf(c->arena, "%s.%zu.json", word, number),
				   &tmpfs_tree_table, out);

	if (!ret && !out->n)
		ret = refuse(&k, "must be there");
	for (; !ret && k.at < out->n; k.at++)
		ret = check_entry(&k, &out->v[k.at]);
	if (!ret)
		ret = image_map(c->image, arena_printf(c->arena, "%s.%zu.data", word, number),
				&data);
	if (ret)
		return ret;
	if (data.len != k.data)
		ret = fail(EBADMSG, "the image: %s.%zu.data has %zu bytes, its files have %llu",
			   word, number, data.len, (unsigned long long)k.data);
	for (size_t i = 0; i < data.n_blocks && !ret; i++)
		image_verify_block(&data, i);
	if (!ret)
		ret = image_verify_end(&data);
	image_unmap(&data);
	return ret;
}

/* ---- what is in the way */

static int look(int dir, const char *name, struct statx *out)
{
	if (statx(dir, name, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_MNT_ID, out) < 0)
		return -errno;
	return 0;
}

/* Those of the mount alone: a file that another mount covers would take that with it. */
struct broom {
	uint64_t mount;
	unsigned depth;
};

/* Removes it, but for mounts and the directories they are in. 0 or -errno, no text. */
static int clear(struct broom *b, int dir, const char *name);

static int clear_all(struct broom *b, int dir)
{
	int copy = fcntl(dir, F_DUPFD_CLOEXEC, 0), ret = 0;
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	struct dirent *e;

	if (!d) {
		ret = -errno;
		fd_close(copy);
		return ret;
	}
	while (!ret && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			ret = clear(b, dir, e->d_name);
	closedir(d);
	return ret;
}

static int clear(struct broom *b, int dir, const char *name)
{
	auto_fd sub = -1;
	struct statx st;
	int ret = look(dir, name, &st);

	if (ret || st.stx_mnt_id != b->mount)
		return ret == -ENOENT ? 0 : ret;
	if (!S_ISDIR(st.stx_mode))
		return unlinkat(dir, name, 0) < 0 ? -errno : 0;
	if (b->depth == DEPTH_MAX)
		return -ELOOP;
	sub = fd_open(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, BENEATH);
	if (sub < 0)
		return sub;
	b->depth++;
	ret = clear_all(b, sub);
	b->depth--;
	if (ret)
		return ret;
	return unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOTEMPTY ? -errno : 0;
}

/* ---- making it */

/* Devices that are missing. */
struct asked {
	struct tmpfs_restore *r;
	struct image_map data; /* the image may be out of the child's reach */
	uint32_t *v;
	size_t n, room;
};

struct make {
	struct tmpfs_restore *r;
	const struct image_map *data;
	struct broom broom;
	struct asked *asked; /* in thole itself */
	uint32_t dir;        /* the directory that is open */
	int fd, out;
};

static int cannot(struct make *m, uint32_t i, int code, const char *what)
{
	return fail(code, "%s %s/%s: %s", what, m->r->point,
		    tmpfs_path(m->r->c->arena, m->r->tree, i), err_reason(code));
}

static int enter(struct make *m, uint32_t dir)
{
	int fd;

	if (m->fd >= 0 && m->dir == dir)
		return 0;
	fd_close(fd_take(&m->fd));
	fd = tmpfs_open_dir(m->r->root, m->r->tree, dir, O_RDONLY);
	if (fd < 0)
		return cannot(m, dir, -fd, "open");
	m->fd = fd;
	m->dir = dir;
	return 0;
}

static bool is_device(const struct tmpfs_entry *e)
{
	return S_ISCHR(e->mode) || S_ISBLK(e->mode);
}

/* Is what is there already what it is to be, but for its facts? */
static bool matches(const struct tmpfs_entry *e, const struct statx *st)
{
	if ((st->stx_mode & S_IFMT) != (e->mode & S_IFMT))
		return false;
	if (S_ISDIR(e->mode))
		return true;
	return is_device(e) && st->stx_rdev_major == e->major && st->stx_rdev_minor == e->minor;
}

static int fill(struct make *m, uint32_t i, int fd)
{
	const struct tmpfs_entry *e = &m->r->tree->v[i];
	const uint8_t *from = m->data->data + e->data;
	int ret;

	if (ftruncate(fd, (off_t)e->size) < 0)
		return cannot(m, i, errno, "make");
	for (size_t x = 0; x < e->n_extents; x += 2) {
		ret = fd_write_all_at(fd, from, e->extents[x + 1], e->extents[x]);
		if (ret)
			return cannot(m, i, -ret, "write");
		from += e->extents[x + 1];
	}
	return 0;
}

static int make_file(struct make *m, uint32_t i)
{
	auto_fd fd = openat(m->fd, m->r->tree->v[i].name,
			    O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

	return fd < 0 ? cannot(m, i, errno, "make") : fill(m, i, fd);
}

static int make_link(struct make *m, uint32_t i)
{
	const struct tmpfs_tree *t = m->r->tree;
	const struct tmpfs_entry *e = &t->v[i], *first = &t->v[e->same];
	auto_fd dir = tmpfs_open_dir(m->r->root, t, first->parent, O_PATH);

	if (dir < 0 || linkat(dir, first->name, m->fd, e->name, 0) < 0)
		return cannot(m, i, dir < 0 ? -dir : errno, "make the hard link");
	return 0;
}

static void add_asked(struct asked *a, uint32_t i)
{
	a->v = arena_grow(a->r->c->arena, a->v, a->n, &a->room, sizeof(*a->v));
	a->v[a->n++] = i;
}

static int ask(struct make *m, uint32_t i)
{
	if (m->asked)
		add_asked(m->asked, i);
	else if (write(m->out, &i, sizeof(i)) != sizeof(i))
		return fail_errno("ask for a device");
	return 0;
}

static int make_new(struct make *m, uint32_t i)
{
	const struct tmpfs_entry *e = &m->r->tree->v[i];
	int ret = 0;

	if (!m->r->nodes && is_device(e))
		return e->same ? 0 : ask(m, i);
	if (e->same)
		return make_link(m, i);
	switch (e->mode & S_IFMT) {
	case S_IFREG:
		return make_file(m, i);
	case S_IFDIR:
		ret = mkdirat(m->fd, e->name, 0700);
		break;
	case S_IFLNK:
		ret = symlinkat(e->target, m->fd, e->name);
		break;
	default:
		ret = mknodat(m->fd, e->name, (e->mode & S_IFMT) | 0600,
			      makedev(e->major, e->minor));
	}
	return ret < 0 ? cannot(m, i, errno, "make") : 0;
}

static int make_entry(struct make *m, uint32_t i)
{
	struct tmpfs_entry *e = &m->r->tree->v[i];
	struct statx st;
	int ret;

	e->gone = m->r->tree->v[e->parent].gone;
	if (e->gone)
		return 0;
	ret = enter(m, e->parent);
	if (ret)
		return ret;
	ret = look(m->fd, e->name, &st);
	if (ret && ret != -ENOENT)
		return cannot(m, i, -ret, "look at");
	if (!ret && st.stx_mnt_id != m->broom.mount) {
		e->gone = true;
		return 0;
	}
	e->kept = !ret && matches(e, &st);
	if (e->kept)
		return 0;
	if (!ret)
		ret = clear(&m->broom, m->fd, e->name);
	if (ret && ret != -ENOENT)
		return cannot(m, i, -ret, "remove what stands at");
	return make_new(m, i);
}

/* What the new container has in a directory, and the old one had no more. */
static int clear_others(struct make *m, uint32_t dir, const uint32_t *children, size_t n)
{
	const struct tmpfs_tree *t = m->r->tree;
	auto_fd fd = tmpfs_open_dir(m->r->root, t, dir, O_RDONLY);
	DIR *d = fd < 0 ? NULL : fdopendir(fcntl(fd, F_DUPFD_CLOEXEC, 0));
	struct dirent *e;
	int ret = 0;
	size_t i;

	if (!d)
		return cannot(m, dir, fd < 0 ? -fd : errno, "open");
	while (!ret && (e = readdir(d))) {
		for (i = 0; i < n && strcmp(t->v[children[i]].name, e->d_name) != 0; i++)
			;
		if (i == n && strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			ret = clear(&m->broom, fd, e->d_name);
	}
	closedir(d);
	return ret ? cannot(m, dir, -ret, "clear") : 0;
}

static int clear_leftovers(struct make *m)
{
	const struct tmpfs_tree *t = m->r->tree;
	uint32_t *children = arena_array(m->r->c->arena, t->n, sizeof(*children));
	int ret = 0;

	for (uint32_t i = 0; i < t->n && !ret; i++) {
		size_t n = 0;

		if (!S_ISDIR(t->v[i].mode) || !t->v[i].kept || t->v[i].gone)
			continue;
		for (uint32_t k = i + 1; k < t->n; k++)
			if (t->v[k].parent == i)
				children[n++] = k;
		ret = clear_others(m, i, children, n);
	}
	return ret;
}

static int make_tree(struct asked *a, int pipe, bool own)
{
	struct tmpfs_restore *r = a->r;
	struct make m = {
		.r = r, .data = &a->data, .asked = own ? a : NULL, .fd = -1, .out = pipe
	};
	int ret = tmpfs_mount_id(r->root, &m.broom.mount);

	r->tree->v[0].kept = true;
	for (uint32_t i = 1; i < r->tree->n && !ret; i++)
		ret = make_entry(&m, i);
	fd_close(m.fd);
	return ret || r->keep_others ? ret : clear_leftovers(&m);
}

/* In the child. */
static int make_there(void *ctx, int pipe)
{
	return make_tree(ctx, pipe, false);
}

/* In thole, meanwhile: which devices are missing. */
static int take_devices(void *ctx, int pipe)
{
	struct asked *a = ctx;
	uint32_t i;
	ssize_t n;

	while ((n = read(pipe, &i, sizeof(i))) == sizeof(i))
		add_asked(a, i);
	return n < 0 ? fail_errno("hear of missing devices") : 0;
}

/* By its path: nothing but us has ever been there, and what the path crosses was looked at. */
static int make_device(const struct tmpfs_restore *r, uint32_t i)
{
	const struct tmpfs_entry *e = &r->tree->v[i];
	const struct ckpt_thread *root = ckpt_root(r->c);
	char path[PATH_MAX];
	uint64_t addr;
	int64_t ret = tmpfs_whole_path(r->point, r->tree, i, path, sizeof(path));

	if (!ret)
		ret = ckpt_put(root, 0, path, strlen(path) + 1, &addr);
	if (!ret)
		ret = ckpt_call(root, path, SYS_mknodat, (uint64_t)AT_FDCWD, addr,
				(e->mode & S_IFMT) | 0600u, makedev(e->major, e->minor));
	return ret < 0 ? fail_in((int)ret, "make a device") : 0;
}

int tmpfs_restore(struct tmpfs_restore *r)
{
	struct asked a = { .r = r };
	const struct inside job = { .there = make_there, .here = take_devices, .ctx = &a };
	int ret = image_map(r->c->image,
			    arena_printf(r->c->arena, "%s.%zu.data", r->word, r->number), &a.data);

	if (ret)
		return ret;
	ret = inside_needed(r->c) ? inside_run(r->c, &job) : make_tree(&a, -1, true);
	image_unmap(&a.data);
	for (size_t i = 0; i < a.n && !ret; i++)
		ret = make_device(r, a.v[i]);
	return ret;
}

/* ---- facts */

static int set_xattrs(struct make *m, uint32_t i, const char *path)
{
	const struct tmpfs_entry *e = &m->r->tree->v[i];

	for (size_t x = 0; x < e->n_xattrs; x++)
		if (setxattr(path, e->xattrs[x].name, e->xattrs[x].value, e->xattrs[x].len, 0) < 0)
			return cannot(m, i, errno, "set an extended attribute of");
	return 0;
}

static int set_flags(struct make *m, uint32_t i, const char *path)
{
	auto_fd fd = open(path, O_RDONLY | O_NONBLOCK | O_NOATIME | O_CLOEXEC);
	int flags;

	if (fd < 0 || ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		return cannot(m, i, errno, "look at the flags of");
	flags |= (int)m->r->tree->v[i].flags;
	return ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0 ? cannot(m, i, errno, "set the flags of") : 0;
}

/* Owner, then mode, which that clears bits of, then attributes, which that clears too, then times,
 * then what forbids all that. */
static int set_facts(struct make *m, uint32_t i)
{
	const struct tmpfs_entry *e = &m->r->tree->v[i];
	const struct timespec times[2] = { { e->atime, e->atime_ns }, { e->mtime, e->mtime_ns } };
	auto_fd fd = openat(m->fd, *e->name ? e->name : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	char path[64];
	struct statx st;
	int ret;

	if (fd < 0 || statx(fd, "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0)
		return cannot(m, i, errno, "look at");
	if (st.stx_mnt_id != m->broom.mount) /* the new container has a mount there */
		return 0;
	if ((st.stx_mode & S_IFMT) != (e->mode & S_IFMT))
		return cannot(m, i, EEXIST, "set the facts of");
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fchownat(fd, "", e->uid, e->gid, AT_EMPTY_PATH) < 0)
		return cannot(m, i, errno, "set the owner of");
	if (!S_ISLNK(e->mode) && chmod(path, e->mode & 07777) < 0)
		return cannot(m, i, errno, "set the mode of");
	ret = set_xattrs(m, i, path);
	if (!ret && utimensat(fd, "", times, AT_EMPTY_PATH) < 0)
		ret = cannot(m, i, errno, "set the times of");
	return ret || !e->flags ? ret : set_flags(m, i, path);
}

/* Those of a directory last: what is made or looked for in it changes them. */
static int set_all(void *ctx, int pipe)
{
	struct tmpfs_restore *r = ctx;
	struct make m = { .r = r, .fd = -1 };
	struct tmpfs_entry *e;
	int ret = tmpfs_mount_id(r->root, &m.broom.mount);

	(void)pipe;
	for (uint32_t i = (uint32_t)r->tree->n; i-- > 0 && !ret;) {
		e = &r->tree->v[i];
		ret = enter(&m, e->parent);
		if (ret == -EXDEV) { /* beneath such a mount */
			ret = 0;
			continue;
		}
		if (!ret && e->same && !r->nodes && is_device(e))
			ret = make_link(&m, i);
		if (!ret && !e->same)
			ret = set_facts(&m, i);
	}
	fd_close(m.fd);
	return ret;
}

int tmpfs_restore_facts(struct tmpfs_restore *r)
{
	const struct inside job = { .there = set_all, .ctx = r };

	return inside_needed(r->c) ? inside_run(r->c, &job) : set_all(r, -1);
}
