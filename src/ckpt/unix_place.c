/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of AF_UNIX that are found by a path. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/ids.h"
#include "ckpt/inside.h"
#include "ckpt/k_unix.h"
#include "ckpt/shown.h"
#include "ckpt/unix_diag.h"

#define NAME_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/* ---- dump */

static int note_file(const struct file_look *l, int fd, struct unix_socket *s)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISSOCK(st.st_mode)) {
		s->removed = true;
		return 0;
	}
	s->mode = st.st_mode & 07777;
	return ids_inside(l->c, st.st_uid, st.st_gid, &s->uid, &s->gid);
}

/* Where a name leads, in the view of the container's init, and what the file is like. */
static int find_plain(const struct file_look *l, struct unix_socket *s)
{
	auto_fd root = inside_root(l->c), fd = -1;
	char text[PATH_MAX];
	int ret;

	if (*(const char *)s->name != '/') {
		ret = proc_link(l->p->host, "cwd", text, sizeof(text));
		if (ret)
			return fail(-ret, "its name is relative to a directory that is not known");
		s->dir = arena_strdup(l->c->arena, text);
	}
	if (root >= 0)
		fd = fd_open_in_root(root,
				     arena_printf(l->c->arena, "%s/%s", s->dir ? s->dir : "",
						  (const char *)s->name),
				     O_PATH | O_NOFOLLOW);
	return note_file(l, fd, s);
}

/* A name that a supervisor gave is relative, to the file's directory. */
static int find_shown(const struct file_look *l, const char *path, struct unix_socket *s)
{
	const char *slash = strrchr(path, '/');
	auto_fd fd = shown_look(l->c, path);

	s->dir = arena_strndup(l->c->arena, path, (size_t)(slash - path));
	s->file = slash + 1;
	return note_file(l, fd, s);
}

int unix_find_place(const struct file_look *l, const struct unix_entry *e, struct unix_socket *s)
{
	const struct shown_inode what = { .ino = e->file, .mask = UINT32_MAX, .type = S_IFSOCK };
	const char *path = NULL;

	if (*(const char *)s->name != '/' && e->file)
		path = shown_find(l->c, &what);
	return path ? find_shown(l, path, s) : find_plain(l, s);
}

/* ---- restore */

const char *unix_path(struct ckpt *c, const struct unix_socket *s)
{
	const char *name = s->file ? s->file : arena_strndup(c->arena, s->name, s->name_len);

	return s->dir ? arena_printf(c->arena, "%s/%s", s->dir, name) : name;
}

static int call_path(struct ckpt *c, const char *what, long nr, const char *path, uint64_t a,
		     uint64_t b)
{
	/* lint: parameters: a system call and its name */
	uint64_t addr;
	int64_t ret = ckpt_put(ckpt_root(c), 0, path, strlen(path) + 1, &addr);

	if (ret >= 0 && nr == SYS_chdir)
		ret = ckpt_call(ckpt_root(c), what, nr, addr);
	else if (ret >= 0)
		ret = ckpt_call(ckpt_root(c), what, nr, (uint64_t)AT_FDCWD, addr, a, b);
	return ret < 0 ? fail_in((int)ret, "%s", path) : 0;
}

static int enter_shown(struct ckpt *c, const char *dir)
{
	const struct ckpt_thread *root = ckpt_root(c);
	auto_fd fd = shown_open(c, dir, O_PATH | O_DIRECTORY);
	int64_t there = fd < 0 ? fd : ckpt_send_fd(c, root, fd), ret = there;

	if (ret >= 0)
		ret = ckpt_call(root, "go to a socket's directory", SYS_fchdir, (uint64_t)there);
	if (ret >= 0)
		ret = ckpt_call(root, "close a descriptor", SYS_close, (uint64_t)there);
	return ret < 0 ? fail_in((int)ret, "%s", dir) : 0;
}

int unix_enter_place(struct ckpt *c, const struct unix_socket *s)
{
	if (!s->dir)
		return 0;
	if (shown_is(s->dir))
		return enter_shown(c, s->dir);
	return call_path(c, "go to a socket's directory", SYS_chdir, s->dir, 0, 0);
}

int unix_leave_place(struct ckpt *c, const struct unix_socket *s)
{
	return s->dir ? call_path(c, "leave a socket's directory", SYS_chdir, "/", 0, 0) : 0;
}

static socklen_t address_of(const struct unix_socket *s, struct sockaddr_un *out)
{
	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	memcpy(out->sun_path, s->name, s->name_len);
	return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + s->name_len);
}

static int bind_in_root(struct ckpt *c, const struct unix_socket *s, int fd)
{
	struct sockaddr_un a;
	socklen_t len = address_of(s, &a);
	uint64_t addr;
	int64_t ret = ckpt_put(ckpt_root(c), 0, &a, sizeof(a), &addr);

	if (ret >= 0)
		ret = ckpt_call(ckpt_root(c), "bind a socket", SYS_bind, (uint64_t)fd, addr, len);
	return ret < 0 ? (int)ret : 0;
}

static int remove_stale(struct ckpt *c, const char *path)
{
	auto_fd there = ckpt_open_path(c, path, O_PATH | O_NOFOLLOW);
	struct stat st;

	if (there < 0)
		return there;
	if (fstat(there, &st) < 0 || !S_ISSOCK(st.st_mode))
		return fail(EEXIST, "bind a socket: %s is no socket", path);
	return call_path(c, "remove a stale socket", SYS_unlinkat, path, 0, 0);
}

static int bind_plain(struct ckpt *c, const struct unix_socket *s, int fd)
{
	const char *path = arena_strndup(c->arena, s->name, s->name_len);
	int ret = unix_enter_place(c, s);

	if (!ret)
		ret = bind_in_root(c, s, fd);
	if (ret == -EADDRINUSE) {
		ret = remove_stale(c, path);
		if (!ret)
			ret = bind_in_root(c, s, fd);
	}
	if (!ret && s->removed)
		ret = call_path(c, "remove a socket's name", SYS_unlinkat, path, 0, 0);
	else if (!ret)
		ret = call_path(c, "give a socket its mode", SYS_fchmodat, path, s->mode, 0);
	if (!ret && !s->removed && (s->uid || s->gid))
		ret = call_path(c, "give a socket its owner", SYS_fchownat, path, s->uid, s->gid);
	return ret ? ret : unix_leave_place(c, s);
}

/* What no task of the container may do is done by a child of ours with the same rights. */
struct binding {
	const struct unix_socket *s;
	int dir, fd;
};

static int bind_there(void *ctx, int pipe)
{
	const struct binding *b = ctx;
	const struct unix_socket *s = b->s;
	char name[NAME_BYTES + 1] = "";
	struct sockaddr_un a;
	socklen_t len = address_of(s, &a);
	struct stat st;

	(void)pipe;
	memcpy(name, s->name, s->name_len);
	if (fchdir(b->dir) < 0)
		return fail_errno("go to its directory");
	if (lstat(s->file, &st) == 0 && !S_ISSOCK(st.st_mode))
		return fail(EEXIST, "it is no socket");
	if (unlink(s->file) < 0 && errno != ENOENT)
		return fail_errno("remove a stale socket");
	if (bind(b->fd, (struct sockaddr *)&a, len) < 0)
		return fail_errno("bind it");
	if (rename(name, s->file) < 0)
		return fail_errno("give it its name");
	if (s->removed)
		return unlink(s->file) < 0 ? fail_errno("remove its name") : 0;
	if (lchown(s->file, s->uid, s->gid) < 0 || chmod(s->file, (mode_t)s->mode) < 0)
		return fail_errno("give it its owner and mode");
	return 0;
}

static bool is_name(const char *name, size_t len)
{
	return len && *name && !memchr(name, '/', len);
}

static int bind_shown(struct ckpt *c, const struct unix_socket *s, int fd)
{
	auto_fd dir = -1, sock = -1;
	struct binding b = { .s = s };
	const struct inside job = { .there = bind_there, .ctx = &b };
	int ret;

	if (!s->file || !is_name(s->file, strlen(s->file)) || !is_name(s->name, s->name_len))
		return fail(EBADMSG, "the image: a socket in %s has no name there", s->dir);
	dir = b.dir = shown_open(c, s->dir, O_PATH | O_DIRECTORY);
	if (dir < 0)
		return dir;
	sock = b.fd = ckpt_fetch_fd(ckpt_root(c), fd);
	ret = sock < 0 ? sock : inside_run(c, &job);
	return ret < 0 ? fail_in(ret, "the socket %s/%s", s->dir, s->file) : 0;
}

int unix_bind_place(struct ckpt *c, const struct unix_socket *s, int fd)
{
	if (s->name_len > NAME_BYTES)
		return fail(EBADMSG, "the image: the name of a socket is too long");
	return s->dir && shown_is(s->dir) ? bind_shown(c, s, fd) : bind_plain(c, s, fd);
}
