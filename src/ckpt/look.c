/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/look.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/kind.h"
#include "ckpt/shown.h"

#define DELETED " (deleted)"
#define SLOTS 256u

/* What led somewhere, by its path: a hundred processes have one program. */
struct looked {
	struct {
		const char *path;
		dev_t dev;
		ino_t ino;
	} slots[SLOTS];
};

static unsigned slot_of(const char *path)
{
	unsigned h = 5381;

	for (; *path; path++)
		h = h * 33 + (unsigned char)*path;
	return h % SLOTS;
}

void look_anew(struct ckpt *c)
{
	c->looked = NULL;
}

static void keep(struct ckpt *c, const char *path, const struct stat *found)
{
	unsigned i = slot_of(path);

	if (!c->looked)
		c->looked = arena_alloc(c->arena, sizeof(*c->looked));
	c->looked->slots[i].path = arena_strdup(c->arena, path);
	c->looked->slots[i].dev = found->st_dev;
	c->looked->slots[i].ino = found->st_ino;
}

static bool is_kept(const struct ckpt *c, const char *path, const struct stat *st)
{
	unsigned i = c->looked ? slot_of(path) : 0;

	return c->looked && c->looked->slots[i].path &&
	       strcmp(c->looked->slots[i].path, path) == 0 &&
	       c->looked->slots[i].dev == st->st_dev && c->looked->slots[i].ino == st->st_ino;
}

bool look_leads_to(struct ckpt *c, const char *path, const struct stat *st)
{
	char root[64];
	auto_fd dir = -1, fd = -1;
	struct stat found;

	if (is_kept(c, path, st))
		return true;
	snprintf(root, sizeof(root), "/proc/%d/root", c->procs[0]->host);
	dir = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = dir < 0 ? -1 : fd_open_in_root(dir, path, O_PATH | O_NOFOLLOW);
	if (fd < 0 || fstat(fd, &found) < 0 || found.st_dev != st->st_dev ||
	    found.st_ino != st->st_ino)
		return false;
	keep(c, path, &found);
	return true;
}

static bool is_same(int dir, const char *name, const struct stat *st)
{
	struct stat found;

	return fstatat(dir, name, &found, AT_SYMLINK_NOFOLLOW) == 0 && found.st_dev == st->st_dev &&
	       found.st_ino == st->st_ino;
}

const char *look_name(struct ckpt *c, const char *path, const struct stat *st)
{
	char root[64], *parent = arena_strdup(c->arena, path), *slash = strrchr(parent, '/');
	const char *found = NULL;
	auto_fd from = -1;
	struct dirent *e;
	int fd;
	DIR *d;

	if (look_leads_to(c, path, st))
		return path;
	found = shown_name(c, path, st);
	if (!found && str_ends(path, DELETED) && shown_home(c, path, -1, st->st_dev))
		found = shown_find(c, &(struct shown_inode){ st->st_dev, st->st_ino, ~0ull, 0 });
	if (found)
		return found;
	if (!slash || !str_ends(path, DELETED))
		return NULL;
	*slash = '\0';
	snprintf(root, sizeof(root), "/proc/%d/root", c->procs[0]->host);
	from = open(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
	fd = from < 0 ? -1 : fd_open_in_root(from, *parent ? parent : "/", O_RDONLY | O_DIRECTORY);
	d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		fd_close(fd);
		return NULL;
	}
	while (!found && (e = readdir(d)))
		if (is_same(dirfd(d), e->d_name, st))
			found = arena_printf(c->arena, "%s/%s", parent, e->d_name);
	closedir(d);
	return found;
}

void look_link(struct arena *a, pid_t pid, const char *name, struct look_link *out)
{
	char path[128], text[PATH_MAX + sizeof(DELETED)];
	int ret = proc_link(pid, name, text, sizeof(text));

	*out = (struct look_link){ .text = ret ? "" : arena_strdup(a, text) };
	if (ret) {
		out->why = ret == -ESRCH ? "it has ended" : arena_strdup(a, err_last()->text);
		return;
	}
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	if (stat(path, &out->st) < 0)
		out->why = arena_printf(a, "it can't be looked at: %s", err_reason(errno));
}

const char *look_path(struct ckpt *c, const struct look_link *l, const char **out_name)
{
	const char *name;

	if (l->why)
		return l->why;
	if (str_ends(l->text, DELETED) && l->st.st_nlink == 0)
		return "it was removed";
	if (l->text[0] != '/')
		return "it lies outside of the container's root";
	name = look_leads_to(c, l->text, &l->st) ? l->text : shown_name(c, l->text, &l->st);
	if (!name)
		return "its path leads to something else now";
	*out_name = name;
	return NULL;
}
