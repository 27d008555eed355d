/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tree in memory, on the way to the image: read with the rights of the container's root,
 * directory by directory. Where that takes a child of ours, it sends the list of entries, then the
 * contents of the files one after the other, and thole writes them. Holes stay holes, and reading
 * changes no times.
 */
#include <dirent.h>
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
#include "ckpt/inside.h"
#include "ckpt/tmpfs.h"

#define BUFFER (256u << 10)
#define INODES 4096 /* heads of chains, by inode */
#define READING (O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOATIME | O_CLOEXEC)

/* A file that has more than one name. */
struct inode {
	uint64_t ino;
	uint32_t entry;
	struct inode *next;
};

struct walk {
	struct ckpt *c;
	int root;
	const char *word;
	size_t number;
	uint64_t mount;
	struct tmpfs_tree tree;
	struct inode *inodes[INODES];
	int out;                   /* to thole, or */
	struct image_stream *data; /* into the image at once */
};

static int cannot(struct walk *w, uint32_t dir, const char *name, const char *what)
{
	return fail_errno("%s %s/%s", what, tmpfs_path(w->c->arena, &w->tree, dir), name);
}

static int find_extents(struct walk *w, int fd, struct tmpfs_entry *e)
{
	uint64_t *list = NULL;
	size_t n = 0, room = 0;
	off_t at = 0, end;

	while ((at = lseek(fd, at, SEEK_DATA)) >= 0) {
		end = lseek(fd, at, SEEK_HOLE);
		if (end < 0)
			return fail_errno("find the holes of a file");
		list = arena_grow(w->c->arena, list, n, &room, sizeof(*list));
		list[n++] = (uint64_t)at;
		list = arena_grow(w->c->arena, list, n, &room, sizeof(*list));
		list[n++] = (uint64_t)(end - at);
		at = end;
	}
	e->extents = list;
	e->n_extents = n;
	return errno == ENXIO ? 0 : fail_errno("find what is in a file");
}

static bool known_inode(struct walk *w, uint64_t ino, uint32_t entry, uint32_t *out)
{
	struct inode **head = &w->inodes[ino % INODES], *i;

	for (i = *head; i; i = i->next)
		if (i->ino == ino) {
			*out = i->entry;
			return true;
		}
	i = arena_alloc(w->c->arena, sizeof(*i));
	*i = (struct inode){ ino, entry, *head };
	*head = i;
	return false;
}

static int look_inside(struct walk *w, int dir, const char *name, struct tmpfs_entry *e)
{
	auto_fd fd = -1;
	char link[PATH_MAX];
	ssize_t n;
	int ret;

	if (S_ISLNK(e->mode)) {
		n = readlinkat(dir, name, link, sizeof(link) - 1);
		if (n < 0)
			return fail_errno("read the symbolic link");
		e->target = arena_strndup(w->c->arena, link, (size_t)n);
	}
	if (!S_ISREG(e->mode) && !S_ISDIR(e->mode))
		return xattr_read_in(w->c->arena, dir, name, &e->xattrs, &e->n_xattrs);
	fd = openat(dir, *name ? name : ".", READING);
	if (fd < 0)
		return fail_errno("open");
	ret = xattr_read(w->c->arena, fd, &e->xattrs, &e->n_xattrs);
	return ret || S_ISDIR(e->mode) ? ret : find_extents(w, fd, e);
}

static int add(struct walk *w, int dir, uint32_t parent, const char *name)
{
	struct tmpfs_entry *e;
	struct statx st;
	uint32_t same;
	int ret;

	if (statx(dir, name, AT_EMPTY_PATH | AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT,
		  STATX_BASIC_STATS | STATX_MNT_ID, &st) < 0)
		return cannot(w, parent, name, "look at");
	/* another mount's place is no content of this one */
	if (st.stx_mnt_id != w->mount)
		return 0;
	w->tree.v =
		arena_grow(w->c->arena, w->tree.v, w->tree.n, &w->tree.room, sizeof(*w->tree.v));
	e = &w->tree.v[w->tree.n];
	*e = (struct tmpfs_entry){
		.parent = parent,
		.name = arena_strdup(w->c->arena, name),
		.mode = st.stx_mode,
		.uid = st.stx_uid,
		.gid = st.stx_gid,
		.atime = st.stx_atime.tv_sec,
		.atime_ns = st.stx_atime.tv_nsec,
		.mtime = st.stx_mtime.tv_sec,
		.mtime_ns = st.stx_mtime.tv_nsec,
	};
	if (S_ISCHR(st.stx_mode) || S_ISBLK(st.stx_mode)) {
		e->major = st.stx_rdev_major;
		e->minor = st.stx_rdev_minor;
	}
	if (S_ISREG(st.stx_mode) || S_ISDIR(st.stx_mode)) /* statx(2) has the same numbers */
		e->flags = st.stx_attributes & TMPFS_FLAGS;
	if (S_ISREG(st.stx_mode))
		e->size = st.stx_size;
	if (!S_ISDIR(st.stx_mode) && st.stx_nlink > 1 &&
	    known_inode(w, st.stx_ino, (uint32_t)w->tree.n, &same)) {
		e->same = same;
		w->tree.n++;
		return 0;
	}
	ret = look_inside(w, dir, name, e);
	if (ret)
		return fail_in(ret, "%s/%s", tmpfs_path(w->c->arena, &w->tree, parent), name);
	w->tree.n++;
	return 0;
}

static int list_dir(struct walk *w, uint32_t number)
{
	int fd = tmpfs_open_dir(w->root, &w->tree, number, READING), ret = 0;
	struct dirent *e;
	DIR *d;

	if (fd < 0)
		return fail(-fd, "open %s: %s", tmpfs_path(w->c->arena, &w->tree, number),
			    err_reason(-fd));
	d = fdopendir(fd);
	if (!d) {
		fd_close(fd);
		return fail_errno("read a directory");
	}
	while (!ret && (errno = 0, e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			ret = add(w, dirfd(d), number, e->d_name);
	if (!ret && errno)
		ret = fail_errno("read the directory %s",
				 tmpfs_path(w->c->arena, &w->tree, number));
	closedir(d);
	return ret;
}

static int emit(struct walk *w, const void *data, size_t len)
{
	return w->data ? image_stream_write(w->data, data, len) : inside_send(w->out, data, len);
}

static int send_file(struct walk *w, const struct tmpfs_entry *e, char *buf)
{
	auto_fd dir = -1, fd = -1;
	uint64_t at, left;
	ssize_t n;
	int ret = 0;

	dir = tmpfs_open_dir(w->root, &w->tree, e->parent, O_PATH);
	fd = dir < 0 ? -1 : openat(dir, e->name, READING);
	if (fd < 0)
		return cannot(w, e->parent, e->name, "open");
	for (size_t i = 0; i + 1 < e->n_extents && !ret; i += 2) {
		at = e->extents[i];
		for (left = e->extents[i + 1]; left && !ret; left -= (uint64_t)n) {
			n = pread(fd, buf, left < BUFFER ? (size_t)left : BUFFER, (off_t)at);
			if (n == 0) /* cut by somebody who is not stopped */
				errno = ESTALE;
			if (n <= 0)
				return cannot(w, e->parent, e->name, "read");
			ret = emit(w, buf, (size_t)n);
			at += (uint64_t)n;
		}
	}
	return ret;
}

static int read_tree(struct walk *w, const char **out, size_t *out_len)
{
	int ret = tmpfs_mount_id(w->root, &w->mount);

	if (!ret)
		ret = add(w, w->root, 0, "");
	for (uint32_t i = 0; i < w->tree.n && !ret; i++)
		if (S_ISDIR(w->tree.v[i].mode))
			ret = list_dir(w, i);
	return ret ? ret
		   : w->c->codec->write(w->c->arena, &tmpfs_tree_table, &w->tree, out, out_len);
}

static int send_files(struct walk *w)
{
	char *buf = arena_alloc(w->c->arena, BUFFER);
	int ret = 0;

	for (size_t i = 0; i < w->tree.n && !ret; i++)
		if (w->tree.v[i].n_extents)
			ret = send_file(w, &w->tree.v[i], buf);
	return ret;
}

/* In the child. */
static int send_tree(void *ctx, int pipe)
{
	struct walk *w = ctx;
	const char *text;
	size_t len;
	int ret = read_tree(w, &text, &len);

	w->out = pipe;
	if (!ret)
		ret = inside_send_text(pipe, text, len);
	return ret ? ret : send_files(w);
}

static const char *part_name(const struct walk *w, const char *what)
{
	return arena_printf(w->c->arena, "%s.%zu.%s", w->word, w->number, what);
}

/* By ourselves. */
static int write_own(struct walk *w)
{
	const char *text;
	size_t len;
	int ret = read_tree(w, &text, &len), closed;

	if (!ret)
		ret = image_put(w->c->writer, part_name(w, "json"), text, len);
	if (!ret)
		ret = image_stream_open(w->c->writer, part_name(w, "data"), &w->data);
	if (ret)
		return ret;
	ret = send_files(w);
	closed = image_stream_close(w->data);
	return ret ? ret : closed;
}

/* In thole, meanwhile. */
static int write_tree(void *ctx, int pipe)
{
	struct walk *w = ctx;
	const char *text;
	size_t len;
	int ret = inside_take_text(w->c, pipe, &text, &len);

	if (!ret)
		ret = image_put(w->c->writer, part_name(w, "json"), text, len);
	return ret ? ret : inside_take_file(w->c, pipe, part_name(w, "data"));
}

int tmpfs_save(struct ckpt *c, int root, const char *word, size_t number)
{
	struct walk *w = arena_alloc(c->arena, sizeof(*w));
	const struct inside job = { .there = send_tree, .here = write_tree, .ctx = w };

	w->c = c;
	w->root = root;
	w->word = word;
	w->number = number;
	return inside_needed(c) ? inside_run(c, &job) : write_own(w);
}
