/* SPDX-License-Identifier: Apache-2.0 */
/* Symbolic links of a walk, also those of /proc whose text is not what they lead to. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/guest.h"
#include "super/path_priv.h"

#define PROC_ROOT_INODE 1
#ifndef ST_NOSYMFOLLOW
#define ST_NOSYMFOLLOW 0x2000 /* include/linux/statfs.h */
#endif

static int count_link(struct walk *w)
{
	return w->links++ >= PATH_LINKS_MAX ? -ELOOP : 0;
}

static int to_root(struct walk *w)
{
	int ret;

	if (w->resolve & RESOLVE_BENEATH)
		return -EXDEV;
	ret = path_root(w);
	if (!ret && path_is_barred(w, place_mount(&w->root)))
		ret = -EXDEV;
	if (!ret)
		place_borrow(&w->root, &w->at);
	return ret;
}

/* Before what is left, which begins with a slash unless there is nothing. */
static int follow_text(struct walk *w, const char *text, size_t len)
{
	char *to = w->text + (w->next - w->text) - len;

	if (!len)
		return -ENOENT;
	memcpy(to, text, len);
	w->next = to;
	return text[0] == '/' ? to_root(w) : 0;
}

static int check_magic(const struct walk *w, int fd)
{
	struct map_id id;
	int ret;

	if (w->resolve & RESOLVE_NO_MAGICLINKS)
		return -ELOOP;
	if (w->resolve & (RESOLVE_BENEATH | RESOLVE_IN_ROOT))
		return -EXDEV;
	ret = map_identify(fd, &id);
	return !ret && path_is_barred(w, id.mount) ? -EXDEV : ret;
}

/* The rights to it are asked for first. */
static int follow_magic(struct walk *w, const char *name)
{
	auto_fd fd = guest_open_link(w->n, w->at.fd, name, w->map->confined);
	int ret = fd < 0 ? fd : check_magic(w, fd);

	w->out->jumped = true;
	return ret ? ret : place_open(w, fd_take(&fd), &w->at);
}

static bool is_self(const char *name)
{
	return strcmp(name, "self") == 0 || strcmp(name, "thread-self") == 0;
}

static int follow_self(struct walk *w, int proc, const char *name)
{
	pid_t pid, tid;
	char text[64];
	int ret = guest_ids(w->n, proc, &pid, &tid);

	if (ret)
		return ret;
	snprintf(text, sizeof(text), name[0] == 's' ? "%d" : "%d/task/%d", pid, tid);
	return follow_text(w, text, strlen(text));
}

static bool is_magic(int dir, const char *name)
{
	int fd = fd_open(dir, name, O_PATH, 0, RESOLVE_NO_MAGICLINKS);

	fd_close(fd);
	return fd == -ELOOP || fd == -EACCES;
}

/* 1 where it is a link as others are. */
static int follow_in_proc(struct walk *w, const char *name)
{
	int ret = place_find(&w->at);

	if (ret)
		return ret;
	if (w->at.st.st_ino == PROC_ROOT_INODE)
		return is_self(name) ? follow_self(w, w->at.fd, name) : 1;
	return is_magic(w->at.fd, name) ? follow_magic(w, name) : 1;
}

/* may_follow_link() of fs/namei.c: in a directory that all may write to, such as /tmp, others can
 * lay a link for who comes by. */
static int check_owner(struct walk *w, const struct stat *link)
{
	const mode_t shared = S_ISVTX | S_IWOTH;
	int ret;

	if (!w->map->protected_links || link->st_uid == guest_uid())
		return 0;
	ret = place_find(&w->at);
	if (ret)
		return ret;
	return (w->at.st.st_mode & shared) == shared && w->at.st.st_uid != link->st_uid ? -EACCES
											: 0;
}

int path_follow(struct walk *w, const struct link *link)
{
	char text[PATH_MAX];
	struct statfs fs;
	ssize_t len;
	int ret = w->resolve & RESOLVE_NO_SYMLINKS ? -ELOOP : count_link(w);

	if (!ret && link->last)
		ret = check_owner(w, link->st);
	if (ret)
		return ret;
	fd_close(fd_take(&w->out->dir));
	if (fstatfs(link->fd, &fs) < 0)
		return -errno;
	if (fs.f_flags & ST_NOSYMFOLLOW)
		return -ELOOP;
	if (fs.f_type == PROC_SUPER_MAGIC) {
		ret = follow_in_proc(w, link->name);
		if (ret <= 0)
			return ret;
	}
	len = readlinkat(link->fd, "", text, sizeof(text));
	if (len < 0)
		return -errno;
	return (size_t)len == sizeof(text) ? -ENAMETOOLONG : follow_text(w, text, (size_t)len);
}
