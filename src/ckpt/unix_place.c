/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of AF_UNIX that are found by a path. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/mount.h>
#include <sched.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/ids.h"
#include "ckpt/inside.h"
#include "ckpt/k_unix.h"
#include "ckpt/shown.h"
#include "ckpt/unix_diag.h"

#define NAME_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)

/* ---- dump */

/* Its own file, and no other socket's? What an overlay tells may be numbers of its own. */
static bool is_own(int fd, const struct unix_entry *e, const struct stat *st)
{
	struct statfs fs;

	return S_ISSOCK(st->st_mode) &&
	       (!e->file || e->file == (uint32_t)st->st_ino ||
		(fstatfs(fd, &fs) == 0 && fs.f_type == OVERLAYFS_SUPER_MAGIC));
}

static int note_file(const struct file_look *l, int fd, const struct unix_entry *e,
		     struct unix_socket *s)
{
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0 || !is_own(fd, e, &st)) {
		s->removed = true;
		return 0;
	}
	s->mode = st.st_mode & 07777;
	return ids_inside(l->c, st.st_uid, st.st_gid, &s->uid, &s->gid);
}

/* Where a name leads, in the view of the container's init, and what the file is like. */
static int find_plain(const struct file_look *l, const struct unix_entry *e, struct unix_socket *s)
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
	return note_file(l, fd, e, s);
}

/* A name that a supervisor gave is relative, to the file's directory. */
static int find_shown(const struct file_look *l, const char *path, const struct unix_entry *e,
		      struct unix_socket *s)
{
	const char *slash = strrchr(path, '/');
	auto_fd fd = shown_look(l->c, path);

	s->dir = arena_strndup(l->c->arena, path, (size_t)(slash - path));
	s->file = slash + 1;
	return note_file(l, fd, e, s);
}

int unix_find_place(const struct file_look *l, const struct unix_entry *e, struct unix_socket *s)
{
	const struct shown_inode what = { .ino = e->file, .mask = UINT32_MAX, .type = S_IFSOCK };
	const char *path = NULL;

	if (*(const char *)s->name != '/' && e->file)
		path = shown_find(l->c, &what);
	return path ? find_shown(l, path, e, s) : find_plain(l, e, s);
}

/* ---- restore */

static const char *path_of(struct ckpt *c, const struct unix_socket *s)
{
	const char *name = s->file ? s->file : arena_strndup(c->arena, s->name, s->name_len);

	return s->dir ? arena_printf(c->arena, "%s/%s", s->dir, name) : name;
}

const char *unix_name_there(struct ckpt *c, const struct unix_socket *s)
{
	const char *name = s->file ? s->file : arena_strndup(c->arena, s->name, s->name_len);

	while (s->apart >= 0 && *name == '/')
		name++;
	return name;
}

int unix_open_place(struct ckpt *c, const struct unix_socket *s)
{
	int fd;

	if (s->apart < 0)
		return ckpt_open_path(c, path_of(c, s), O_PATH);
	fd = fd_open_in_root(s->apart, unix_name_there(c, s), O_PATH);
	return fd < 0 ? fail(-fd, "open the socket %s: %s", path_of(c, s), err_reason(-fd)) : fd;
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

/* By a descriptor of ours, which is closed. */
static int enter_dir(struct ckpt *c, const char *dir, int ours)
{
	const struct ckpt_thread *root = ckpt_root(c);
	auto_fd fd = ours;
	int64_t there = fd < 0 ? fd : ckpt_send_fd(c, root, fd), ret = there;

	if (ret >= 0)
		ret = ckpt_call(root, "go to a socket's directory", SYS_fchdir, (uint64_t)there);
	if (ret >= 0)
		ret = ckpt_call(root, "close a descriptor", SYS_close, (uint64_t)there);
	return ret < 0 ? fail_in((int)ret, "%s", dir) : 0;
}

int unix_enter_place(struct ckpt *c, const struct unix_socket *s)
{
	if (s->apart >= 0)
		return enter_dir(c, path_of(c, s), fcntl(s->apart, F_DUPFD_CLOEXEC, 0));
	if (!s->dir)
		return 0;
	if (shown_is(s->dir))
		return enter_dir(c, s->dir, shown_open(c, s->dir, O_PATH | O_DIRECTORY));
	return call_path(c, "go to a socket's directory", SYS_chdir, s->dir, 0, 0);
}

int unix_leave_place(struct ckpt *c, const struct unix_socket *s)
{
	return s->dir || s->apart >= 0
		       ? call_path(c, "leave a socket's directory", SYS_chdir, "/", 0, 0)
		       : 0;
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
	if (!ret)
		ret = call_path(c, "give a socket its mode", SYS_fchmodat, path, s->mode, 0);
	if (!ret && (s->uid || s->gid))
		ret = call_path(c, "give a socket its owner", SYS_fchownat, path, s->uid, s->gid);
	return ret ? ret : unix_leave_place(c, s);
}

/* What no task of the container may do is done by a child of ours with the same rights. */
struct binding {
	const struct unix_socket *s;
	int dir, fd, sock;
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

/* The directories that lead to it, in an empty root. */
static int make_way(const char *path)
{
	char way[NAME_BYTES + 1];

	snprintf(way, sizeof(way), "%.*s", (int)NAME_BYTES, path);
	for (char *slash = strchr(way + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
		*slash = '\0';
		if (mkdir(way, 0711) < 0 && errno != EEXIST)
			return fail_errno("make a way to it");
		*slash = '/';
	}
	return 0;
}

/* Its path was removed, and may lead to something else now, or nowhere: it is bound in a root of
 * its own, that is there as long as somebody connects to it. */
static int bind_apart(void *ctx, int pipe)
{
	const struct binding *b = ctx;
	auto_fd fs = -1, root = -1;
	struct sockaddr_un a;
	socklen_t len = address_of(b->s, &a);
	int ret;

	(void)pipe;
	if (unshare(CLONE_NEWNS) < 0)
		return fail_errno("leave the file systems");
	fs = (int)sys_fsopen("tmpfs", FSOPEN_CLOEXEC);
	if (fs < 0 || sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return fail_errno("make a root for it");
	root = (int)sys_fsmount(fs, FSMOUNT_CLOEXEC, 0);
	if (root < 0 || fchdir(root) < 0 || chroot(".") < 0)
		return fail_errno("enter a root for it");
	umask(0); /* whoever connected to it may do so again */
	ret = make_way(a.sun_path);
	if (!ret && bind(b->fd, (struct sockaddr *)&a, len) < 0)
		ret = fail_errno("bind it");
	return ret ? ret : inside_hand(b->sock, root);
}

static int bind_removed(struct ckpt *c, struct unix_socket *s, int fd)
{
	auto_fd sock = ckpt_fetch_fd(ckpt_root(c), fd);
	struct binding b = { .s = s, .fd = sock };
	const struct inside job = { .there = bind_apart, .ctx = &b };
	int ret = sock < 0 ? sock : inside_fetch(c, &job, &b.sock);

	if (ret < 0)
		return fail_in(ret, "the socket %s", path_of(c, s));
	s->apart = ret;
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

int unix_bind_place(struct ckpt *c, struct unix_socket *s, int fd)
{
	if (s->name_len > NAME_BYTES)
		return fail(EBADMSG, "the image: the name of a socket is too long");
	if (s->dir && shown_is(s->dir))
		return bind_shown(c, s, fd);
	return s->removed ? bind_removed(c, s, fd) : bind_plain(c, s, fd);
}
