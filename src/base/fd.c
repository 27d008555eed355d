/* SPDX-License-Identifier: Apache-2.0 */
#include "base/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"

void fd_close(int fd)
{
	int saved = errno;

	if (fd >= 0)
		close(fd);
	errno = saved;
}

int fd_open(int dir, const char *path, int flags, mode_t mode, uint64_t resolve)
{
	struct open_how how = {
		.flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
		.mode = mode,
		.resolve = resolve,
	};
	int fd;

	for (int tries = 0; tries < 128; tries++) {
		fd = (int)sys_openat2(dir, path, &how);
		if (fd >= 0)
			return fd;
		if (errno != EAGAIN && errno != EINTR)
			return -errno;
	}
	return -EAGAIN;
}

int fd_open_in_root(int root, const char *path, int flags)
{
	return fd_open(root, *path ? path : ".", flags, 0, RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
}

int fd_open_beneath(int root, const char *path, int flags)
{
	while (*path == '/')
		path++;
	return fd_open(root, *path ? path : ".", flags, 0,
		       RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);
}

int fd_reopen(int fd, int flags)
{
	char path[64];
	int opened;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	opened = open(path, flags | O_CLOEXEC);
	return opened < 0 ? -errno : opened;
}

int fd_path(int fd, char *out, size_t size)
{
	char link[64];
	ssize_t n;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, out, size);
	if (n < 0)
		return -errno;
	if ((size_t)n >= size)
		return -ENAMETOOLONG;
	out[n] = '\0';
	return 0;
}

/* What a file has now, a byte that shows whether that was all, and the NUL. */
static size_t first_room(int fd, size_t limit)
{
	struct stat st;

	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || st.st_size <= 0)
		return 4096;
	return ((uint64_t)st.st_size < limit ? (size_t)st.st_size : limit) + 2;
}

int fd_read_all(int fd, struct arena *a, size_t limit, char **out, size_t *out_len)
{
	size_t len = 0, room = first_room(fd, limit);
	char *buf = arena_alloc(a, room);
	char *bigger;
	ssize_t n;

	for (;;) {
		if (len + 1 == room) {
			bigger = arena_alloc(a, room * 2);
			memcpy(bigger, buf, len);
			buf = bigger;
			room *= 2;
		}
		n = read(fd, buf + len, room - len - 1);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0 && errno == EAGAIN) {
			/* a pipe opened without waiting for its writer, who is not done yet */
			poll(&(struct pollfd){ .fd = fd, .events = POLLIN }, 1, -1);
			continue;
		}
		if (n < 0)
			return fail_errno("read");
		if (n == 0)
			break;
		len += (size_t)n;
		if (len > limit)
			return fail(EFBIG, "larger than %zu bytes", limit);
	}
	buf[len] = '\0';
	*out = buf;
	if (out_len)
		*out_len = len;
	return 0;
}

int fd_read_file(int dir, const char *name, struct arena *a, size_t limit, char **out,
		 size_t *out_len)
{
	/* lint: parameters: a place, a bound, and a text that may hold a NUL */
	auto_fd fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int ret;

	if (fd < 0)
		return fail_errno("open %s", name);
	ret = fd_read_all(fd, a, limit, out, out_len);
	return ret ? fail_in(ret, "%s", name) : 0;
}

int fd_write_all(int fd, const void *data, size_t len)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = write(fd, p, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		p += n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_write_all_at(int fd, const void *data, size_t len, uint64_t at)
{
	const char *p = data;
	ssize_t n;

	while (len) {
		n = pwrite(fd, p, len, (off_t)at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

int fd_put(int dir, const char *name, const char *text)
{
	auto_fd fd = openat(dir, name, O_WRONLY | O_CLOEXEC | O_NOCTTY);
	size_t len = strlen(text);
	ssize_t n;

	if (fd < 0)
		return -errno;
	do
		n = write(fd, text, len);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	return (size_t)n == len ? 0 : -EIO;
}

int fd_create_file(int dir, const char *name, mode_t mode, const void *data, size_t len)
{
	int fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
	int ret;

	if (fd < 0)
		return fail_errno("create %s", name);
	ret = fd_write_all(fd, data, len);
	if (close(fd) < 0 && !ret)
		ret = -errno;
	if (!ret)
		return 0;
	unlinkat(dir, name, 0);
	return fail(-ret, "write %s: %s", name, err_reason(-ret));
}

static int temporary_name(const char *name, char out[PATH_MAX])
{
	const char *base = strrchr(name, '/');

	base = base ? base + 1 : name;
	if (snprintf(out, PATH_MAX, "%.*s.%s.%d", (int)(base - name), name, base, getpid()) >=
	    PATH_MAX)
		return fail(ENAMETOOLONG, "write %s", name);
	return 0;
}

int fd_prepare_file(int dir, const char *name, mode_t mode, const void *data, size_t len)
{
	char temp[PATH_MAX];
	int ret = temporary_name(name, temp);

	if (!ret)
		ret = fd_create_file(dir, temp, mode, data, len);
	if (ret == -EEXIST &&
	    unlinkat(dir, temp, 0) == 0) /* of a process of our number that died */
		ret = fd_create_file(dir, temp, mode, data, len);
	return ret;
}

static int rename_over(int dir, const char *temp, const char *name)
{
	int ret;

	if (renameat(dir, temp, dir, name) == 0)
		return 0;
	ret = fail_errno("write %s", name);
	unlinkat(dir, temp, 0);
	return ret;
}

int fd_commit_file(int dir, const char *name)
{
	char temp[PATH_MAX];
	int ret = temporary_name(name, temp);

	if (ret)
		return ret;
	if (renameat2(dir, temp, dir, name, RENAME_EXCHANGE) < 0)
		return rename_over(dir, temp, name);
	unlinkat(dir, temp, 0);
	return 0;
}

int fd_replace_file(int dir, const char *name, mode_t mode, const void *data, size_t len)
{
	char temp[PATH_MAX];
	int ret = temporary_name(name, temp);

	if (!ret)
		ret = fd_prepare_file(dir, name, mode, data, len);
	return ret ? ret : rename_over(dir, temp, name);
}

int fd_send(int sock, const void *data, size_t len, const int *fds, size_t n)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} control = { 0 };
	struct iovec iov = { .iov_base = (void *)data, .iov_len = len };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct cmsghdr *c;
	ssize_t sent;

	if (n > FD_PASS_MAX)
		return -E2BIG;
	if (n) {
		msg.msg_control = control.buf;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n);
		c = CMSG_FIRSTHDR(&msg);
		c->cmsg_level = SOL_SOCKET;
		c->cmsg_type = SCM_RIGHTS;
		c->cmsg_len = CMSG_LEN(sizeof(int) * n);
		memcpy(CMSG_DATA(c), fds, sizeof(int) * n);
	}
	do
		sent = sendmsg(sock, &msg, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0)
		return -errno;
	return (size_t)sent == len ? 0 : -EIO;
}

ssize_t fd_recv(int sock, void *data, size_t size, int *fds, size_t *n)
{
	union {
		char buf[CMSG_SPACE(sizeof(int) * FD_PASS_MAX)];
		struct cmsghdr align;
	} control;
	struct iovec iov = { .iov_base = data, .iov_len = size };
	struct msghdr msg = {
		.msg_iov = &iov,
		.msg_iovlen = 1,
		.msg_control = control.buf,
		.msg_controllen = sizeof(control.buf),
	};
	size_t room = n ? *n : 0, stored = 0, count;
	ssize_t got;
	int fd;

	do
		got = recvmsg(sock, &msg, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got < 0)
		return -errno;
	for (struct cmsghdr *c = CMSG_FIRSTHDR(&msg); c; c = CMSG_NXTHDR(&msg, c)) {
		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		count = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
		for (size_t i = 0; i < count; i++) {
			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(int));
			if (stored < room)
				fds[stored++] = fd;
			else
				close(fd);
		}
	}
	if (n)
		*n = stored;
	if (msg.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) {
		for (size_t i = 0; i < stored; i++)
			close(fds[i]);
		if (n)
			*n = 0;
		return -EPROTO;
	}
	return got;
}

/* sun_path holds 108 bytes: a longer path goes through /proc/self/fd of its directory. */
static int unix_address(int dir, const char *name, struct sockaddr_un *addr, int *out_dir)
{
	const char *base = strrchr(name, '/');
	char parent[PATH_MAX];
	int n;

	*addr = (struct sockaddr_un){ .sun_family = AF_UNIX };
	*out_dir = -1;
	if (dir == AT_FDCWD && strlen(name) < sizeof(addr->sun_path)) {
		memcpy(addr->sun_path, name, strlen(name) + 1);
		return 0;
	}
	if (base) {
		n = snprintf(parent, sizeof(parent), "%.*s", base == name ? 1 : (int)(base - name),
			     name);
		if (n >= (int)sizeof(parent))
			return -ENAMETOOLONG;
		*out_dir = openat(dir, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (*out_dir < 0)
			return -errno;
		dir = *out_dir;
	}
	n = snprintf(addr->sun_path, sizeof(addr->sun_path), "/proc/self/fd/%d/%s", dir,
		     base ? base + 1 : name);
	return n < (int)sizeof(addr->sun_path) ? 0 : -ENAMETOOLONG;
}

int fd_unix_connect(int dir, const char *name)
{
	struct sockaddr_un addr;
	auto_fd parent = -1;
	auto_fd sock = -1;
	int ret = unix_address(dir, name, &addr, &parent);

	if (ret)
		return ret;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return -errno;
	return fd_take(&sock);
}

int fd_unix_listen(int dir, const char *name, mode_t mode, int backlog)
{
	struct sockaddr_un addr;
	auto_fd parent = -1;
	auto_fd sock = -1;
	int ret = unix_address(dir, name, &addr, &parent);

	if (ret)
		return ret;
	sock = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	/* the mode of a socket's inode is that of the descriptor at bind time */
	if (sock < 0 || fchmod(sock, mode) < 0 ||
	    bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 || listen(sock, backlog) < 0)
		return -errno;
	return fd_take(&sock);
}

int fd_cloexec_from(unsigned first)
{
	if (sys_close_range(first, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
		return 0;
	return -errno;
}

int fd_mkdir_all(int dir, const char *path, mode_t mode)
{
	auto_fd at = -1;
	char name[NAME_MAX + 1];
	size_t n;
	int next;

	for (path += strspn(path, "/"); *path; path += n, path += strspn(path, "/")) {
		n = strcspn(path, "/");
		if (n > NAME_MAX)
			return -ENAMETOOLONG;
		memcpy(name, path, n);
		name[n] = '\0';
		if (mkdirat(at < 0 ? dir : at, name, mode) < 0 && errno != EEXIST)
			return -errno;
		next = openat(at < 0 ? dir : at, name,
			      O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (next < 0)
			return -errno;
		fd_close(at);
		at = next;
	}
	return 0;
}

/* The owner may have forbidden it to himself. */
static int open_to_empty(int dir, const char *name)
{
	const int flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
	auto_fd fd = openat(dir, name, flags);
	struct stat st;

	if (fd < 0 && errno == EACCES && fchmodat(dir, name, S_IRWXU, 0) == 0)
		fd = openat(dir, name, flags);
	if (fd < 0 || fstat(fd, &st) < 0)
		return -errno;
	/* what comes of it, the removal tells */
	if ((st.st_mode & S_IRWXU) != S_IRWXU)
		fchmod(fd, st.st_mode | S_IRWXU);
	return fd_take(&fd);
}

/* What is in a directory of the tree comes up into its top before that is removed: three open
 * descriptors are enough, however deep it is. */
#define IDLE_MAX 8 /* rounds in which nothing came up, and yet it isn't empty */

struct sweep {
	int top;
	unsigned serial;
};

static int hoist(struct sweep *s, int dir, const char *name)
{
	char up[32];
	int ret;

	do {
		snprintf(up, sizeof(up), ".up-%u", s->serial++);
		ret = renameat2(dir, name, s->top, up, RENAME_NOREPLACE);
	} while (ret < 0 && errno == EEXIST);
	if (ret < 0 && errno == EINVAL)
		ret = renameat(dir, name, s->top, up);
	return ret < 0 && errno != ENOENT ? -errno : 0;
}

static int sweep_dir(struct sweep *s, int dir);

static int sweep_name(struct sweep *s, int dir, const char *name)
{
	auto_fd inner = -1;
	int ret;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	if (unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
		return 0;
	if (errno != ENOTEMPTY && errno != EEXIST)
		return -errno;
	inner = open_to_empty(dir, name);
	if (inner < 0)
		return inner == -ENOENT ? 0 : inner;
	if (dir != s->top)
		return hoist(s, dir, name);
	ret = sweep_dir(s, inner);
	return ret || unlinkat(dir, name, AT_REMOVEDIR) == 0 || errno == ENOENT ? ret : -errno;
}

static int sweep_dir(struct sweep *s, int dir)
{
	struct dirent *e;
	int ret = 0, again = fcntl(dir, F_DUPFD_CLOEXEC, 0);
	DIR *d = again < 0 ? NULL : fdopendir(again);

	if (!d) {
		ret = -errno;
		fd_close(again);
		return ret;
	}
	rewinddir(d);
	while (!ret && (e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			ret = sweep_name(s, dir, e->d_name);
	closedir(d);
	return ret;
}

int fd_remove_tree(int dir, const char *name)
{
	auto_fd top = -1;
	struct sweep s = { .serial = 0 };
	unsigned before, idle = 0;
	int ret;

	if (unlinkat(dir, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	top = open_to_empty(dir, name);
	if (top < 0)
		return top == -ENOENT ? 0 : top;
	s.top = top;
	do {
		before = s.serial;
		ret = sweep_dir(&s, top);
		if (!ret && unlinkat(dir, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
			ret = -errno;
		idle += s.serial == before;
	} while ((ret == -ENOTEMPTY || ret == -EEXIST) && idle < IDLE_MAX);
	return ret;
}
