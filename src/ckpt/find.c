/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/find.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/inside.h"
#include "ckpt/mounts.h"

#define NAMES_MAX 1000000u
#define HANDLE_MAX 128

struct walk {
	struct ckpt *c;
	const struct find *f;
	struct mounts mounts;
	int root;
	const char **dirs; /* yet to be listed */
	size_t n, room, names;
};

/* A file of that inode, on a mount of that file system? fd is O_PATH. */
static bool is_it(const struct mounts *all, int fd, const struct find *f)
{
	const struct proc_mount *m;
	struct statx st;

	if (statx(fd, "", AT_EMPTY_PATH, STATX_INO | STATX_MNT_ID, &st) < 0 ||
	    st.stx_ino != f->inode)
		return false;
	m = mounts_by_id(all, st.stx_mnt_id);
	return m && m->major == f->major && m->minor == f->minor;
}

static bool leads_to(const struct walk *w, const char *path)
{
	auto_fd fd = fd_open_in_root(w->root, path, O_PATH | O_NOFOLLOW);

	return fd >= 0 && is_it(&w->mounts, fd, w->f);
}

/* Where the kernel finds it by its handle; and whether that is a path in the container. */
static const char *by_handle(const struct walk *w, const struct proc_mount *m)
{
	union {
		struct file_handle h;
		char room[sizeof(struct file_handle) + HANDLE_MAX];
	} u = { .h = { .handle_bytes = (unsigned)w->f->handle_len,
		       .handle_type = (int)w->f->handle_type } };
	auto_fd mount = -1, fd = -1;
	char path[PATH_MAX];

	if (!w->f->handle_len || w->f->handle_len > HANDLE_MAX)
		return NULL;
	memcpy(u.h.f_handle, w->f->handle, w->f->handle_len);
	mount = fd_open_in_root(w->root, m->point, O_RDONLY | O_DIRECTORY);
	fd = mount < 0 ? -1 : open_by_handle_at(mount, &u.h, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fd_path(fd, path, sizeof(path)) || !leads_to(w, path))
		return NULL;
	return arena_strdup(w->c->arena, path);
}

static const char *join(struct walk *w, const char *dir, const char *name)
{
	return arena_printf(w->c->arena, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
}

static const char *list(struct walk *w, const char *path)
{
	int fd = fd_open(w->root, path + (path[0] == '/' && path[1]),
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_NOATIME, 0, RESOLVE_IN_ROOT);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	const char *found = NULL;
	struct dirent *e;

	if (!d) { /* what may not be listed is not found there */
		fd_close(fd);
		return NULL;
	}
	while (!found && w->names < NAMES_MAX && (e = readdir(d))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		w->names++;
		if (e->d_ino == w->f->inode && leads_to(w, join(w, path, e->d_name)))
			found = join(w, path, e->d_name);
		if (e->d_type != DT_DIR)
			continue;
		w->dirs = arena_grow(w->c->arena, w->dirs, w->n, &w->room, sizeof(*w->dirs));
		w->dirs[w->n++] = join(w, path, e->d_name);
	}
	closedir(d);
	return found;
}

static const char *by_walk(struct walk *w, const struct proc_mount *m)
{
	const char *found = leads_to(w, m->point) ? m->point : NULL;

	w->n = 0;
	w->dirs = arena_grow(w->c->arena, w->dirs, w->n, &w->room, sizeof(*w->dirs));
	w->dirs[w->n++] = m->point;
	for (size_t i = 0; i < w->n && !found && w->names < NAMES_MAX; i++) {
		const struct proc_mount *over = i ? mounts_at(&w->mounts, w->dirs[i]) : NULL;

		/* another mount is walked by itself, if it is of that file system at all */
		if (!over)
			found = list(w, w->dirs[i]);
	}
	return found;
}

static int begin(struct ckpt *c, const struct find *f, struct walk *out)
{
	*out = (struct walk){ .c = c, .f = f, .root = inside_root(c) };
	return out->root < 0 ? out->root : mounts_read(c, &out->mounts);
}

int find_path(struct ckpt *c, const struct find *f, const char **out)
{
	struct walk w;
	int ret = begin(c, f, &w);
	const char *found = NULL;

	for (int pass = 0; pass < 2 && !ret; pass++)
		for (size_t i = 0; i < w.mounts.n && !found; i++) {
			const struct proc_mount *m = &w.mounts.v[i];

			if (m->major == f->major && m->minor == f->minor)
				found = pass ? by_walk(&w, m) : by_handle(&w, m);
		}
	fd_close(w.root);
	if (!ret)
		*out = found;
	return ret;
}

bool find_leads_to(struct ckpt *c, const char *path, const struct find *f)
{
	struct walk w;
	bool ret = begin(c, f, &w) == 0 && leads_to(&w, path);

	fd_close(w.root);
	return ret;
}
