/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of unix sockets in the map. bind(2) is made here, on a copy of the socket, connect(2) and
 * what is sent to a name by the thread itself, whose credentials the other side sees: to a path by
 * a descriptor of the upper directory.
 *
 * A socket's address is the text that it was bound with, for good, and is told to whoever asks. It
 * is bound in its directory under a name that has the guest's whole text in it, written as one
 * name, and renamed: nothing has to be remembered to tell the guest's text.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/courier.h"
#include "super/cow_name.h"
#include "super/guest.h"
#include "super/handler.h"

#define TEXT_MAX sizeof(((struct sockaddr_un *)0)->sun_path)
#define HEAD offsetof(struct sockaddr_un, sun_path)

/* The first byte of such a name; what stands for "/" in it; and what is before either of these. */
enum { MARK = 1, SLASH = 2, ESCAPE = 3 };

/* ---- texts as names */

/* False where there is no room. */
static bool encode(const char *text, char out[TEXT_MAX + 1])
{
	size_t n = 0;

	out[n++] = MARK;
	for (; *text; text++) {
		bool escaped = *text == SLASH || *text == ESCAPE;

		if (n + escaped + 1 > TEXT_MAX)
			return false;
		if (escaped)
			out[n++] = ESCAPE;
		out[n++] = *text == '/' ? SLASH : *text;
	}
	out[n] = '\0';
	return true;
}

bool cow_socket_is_encoded(const char *text)
{
	return text[0] == MARK;
}

bool cow_socket_decode(char *text)
{
	char *to = text;

	if (!cow_socket_is_encoded(text))
		return false;
	for (const char *from = text + 1; *from; from++) {
		if (*from == SLASH)
			*to++ = '/';
		else
			*to++ = *from == ESCAPE && from[1] ? *++from : *from;
	}
	*to = '\0';
	return true;
}

/* A path in an address: false for any other. */
static bool is_path(const struct sockaddr_un *addr, size_t len, char out[TEXT_MAX + 1])
{
	if (len <= HEAD || len > sizeof(*addr) || addr->sun_family != AF_UNIX || !addr->sun_path[0])
		return false;
	memcpy(out, addr->sun_path, len - HEAD);
	out[len - HEAD] = '\0';
	return true;
}

static bool read_path(const struct notif *n, uint64_t at, uint64_t len, char out[TEXT_MAX + 1])
{
	struct sockaddr_un addr;

	/* most are of other families: these are not read twice */
	if (len <= HEAD || len > sizeof(addr) ||
	    notif_read(n, at, &addr.sun_family, sizeof(addr.sun_family)) ||
	    addr.sun_family != AF_UNIX || notif_read(n, at, &addr, len))
		return false;
	return is_path(&addr, len, out);
}

int cow_socket_take(const struct notif *n)
{
	auto_fd fd = notif_take_fd(n, (int)n->args[0]);
	socklen_t len = sizeof(int);
	int domain = 0;

	if (fd < 0 || getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &len) < 0 || domain != AF_UNIX)
		return -1;
	return fd_take(&fd);
}

/* ---- bind */

struct binding {
	int fd;
	const char *text;
	bool encoded;
};

static int bind_as(int fd, int dir, const char *name)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	size_t len = strlen(name);
	int ret;

	memcpy(addr.sun_path, name, len);
	if (fchdir(dir) < 0)
		return -errno;
	ret = bind(fd, (struct sockaddr *)&addr, (socklen_t)(HEAD + len + (len < TEXT_MAX))) < 0
		      ? -errno
		      : 0;
	return chdir("/") < 0 && !ret ? -errno : ret;
}

static int make_socket(void *arg, int dir, const char *name)
{
	struct binding *b = arg;
	char encoded[TEXT_MAX + 1];
	int ret;

	/* one that is too long for that is told by its last name */
	if ((strcmp(b->text, name) == 0 && *name != MARK) || !encode(b->text, encoded))
		return strlen(name) <= TEXT_MAX ? bind_as(b->fd, dir, name) : -ENAMETOOLONG;
	ret = bind_as(b->fd, dir, encoded);
	b->encoded = !ret;
	if (ret || renameat2(dir, encoded, dir, name, RENAME_NOREPLACE) == 0)
		return ret;
	ret = -errno;
	unlinkat(dir, encoded, 0);
	return ret;
}

static int64_t bind_in(const struct path *p, struct binding *b)
{
	int ret;

	if (p->last != PATH_NAME || p->found.fd >= 0)
		return -EADDRINUSE;
	if (p->gone || p->slash)
		return -ENOENT;
	if (p->in->layer.mode == LAYER_RO)
		return -EROFS;
	ret = layer_make(&p->in->layer, p->rel, make_socket, b);
	return ret == -EEXIST ? -EADDRINUSE : ret;
}

static int64_t walk_and_bind(struct super_state *s, struct notif *n, struct binding *b)
{
	int64_t result = COW_KERNEL;
	struct path p;
	int ret = cow_become(s->cow, n);

	if (ret)
		return ret;
	ret = path_walk_text(&s->cow->map, n, AT_FDCWD, b->text, PATH_PARENT, 0, &p);
	if (p.in && ret)
		result = ret;
	else if (p.in && notif_valid(n))
		result = bind_in(&p, b);
	path_close(&p);
	return result;
}

void cow_on_bind(struct super_state *s, struct notif *n)
{
	char text[TEXT_MAX + 1];
	struct binding b = { .text = text };

	if (!read_path(n, n->args[1], (uint32_t)n->args[2], text))
		return;
	b.fd = cow_socket_take(n);
	if (b.fd >= 0)
		cow_name_answer(n, walk_and_bind(s, n, &b));
	s->cow->named |= b.encoded;
	fd_close(b.fd);
}

/* ---- connect, and what is sent to a name */

/* Where a socket is, for the thread: a directory, which is open for it, and the name in that. */
struct place {
	int dir;
	bool secret; /* the thread may not read it */
	char name[NAME_MAX + 1];
};

/* The directory of the side that it is on. O_PATH, the caller's. */
static int open_parent(const struct path *p)
{
	const struct layer *l = &p->in->layer;
	char parent[PATH_MAX];
	char *slash;

	strcpy(parent, p->rel);
	slash = strrchr(parent, '/');
	*(slash ? slash : parent) = '\0';
	return fd_open_beneath(p->found.side == LAYER_UPPER ? l->upper : l->lower,
			       *parent ? parent : ".", O_PATH | O_DIRECTORY);
}

static int find_socket(struct super_state *s, struct notif *n, const char *text, struct place *out)
{
	const char *slash;
	struct path p;
	int dir, ret = cow_become(s->cow, n);

	if (ret)
		return ret;
	ret = path_walk_text(&s->cow->map, n, AT_FDCWD, text, PATH_FOLLOW, 0, &p);
	if (!p.in)
		ret = -ENOTSUP;
	else if (!ret && (!S_ISSOCK(p.found.st.st_mode) || p.gone))
		ret = -ECONNREFUSED;
	dir = ret ? ret : open_parent(&p);
	out->secret = dir >= 0 && sys_faccessat2(dir, "", R_OK, AT_EACCESS | AT_EMPTY_PATH) < 0;
	guest_pause();
	if (!ret) {
		slash = strrchr(p.rel, '/');
		snprintf(out->name, sizeof(out->name), "%.*s", NAME_MAX, slash ? slash + 1 : p.rel);
		out->dir = dir < 0 ? dir
				   : cow_name_reopen(dir, O_RDONLY | O_DIRECTORY,
						     p.found.side == LAYER_UPPER);
		fd_close(dir);
		ret = out->dir < 0 ? out->dir : 0;
	}
	path_close(&p);
	return ret;
}

/* What the thread is given to point to. */
struct room {
	struct sockaddr_un addr;
	struct msghdr message;
	struct iovec data;
};

struct request {
	struct super_state *s;
	struct notif *n;
	struct place at;
	struct room room;
	socklen_t len; /* of the address */
	/* Makes the call, with the room there. */
	int64_t (*call)(struct request *r, struct inject *in, uint64_t room);
};

static int64_t call_with(struct request *r, struct inject *in, int dir)
{
	struct inject_room room;
	int64_t result;
	int len, ret;

	len = snprintf(r->room.addr.sun_path, TEXT_MAX, "/proc/self/fd/%d/%s", dir, r->at.name);
	if (len >= (int)TEXT_MAX)
		return -ENAMETOOLONG;
	r->room.addr.sun_family = AF_UNIX;
	r->len = (socklen_t)(HEAD + (size_t)len + 1);
	ret = inject_room(in, sizeof(r->room), &room);
	if (ret)
		return ret;
	result = r->call(r, in, room.at);
	inject_room_end(in, &room);
	return result;
}

static int64_t call_in_thread(struct request *r)
{
	struct inject in;
	int64_t result;
	int fd, ret = inject_begin(&r->s->strays, r->n, &in);

	if (ret)
		return ret;
	fd = courier_put(&in, r->at.dir, r->at.secret);
	ret = fd < 0 ? fd : inject_stop(&in);
	result = ret ? ret : courier_have(&in, fd, r->at.secret);
	if (result >= 0) {
		fd = (int)result;
		result = call_with(r, &in, fd);
		inject_call(&in, SYS_close, (uint64_t)fd);
	}
	inject_end(&in, result);
	return result;
}

/* Does the kernel find it by that text, too? */
static bool is_native(const struct request *r, const char *text)
{
	struct stat st;

	return fstatat(r->at.dir, r->at.name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       cow_name_is_native(r->n, AT_FDCWD, text, &st);
}

/* False: it is the kernel's to answer. */
static bool to_name(struct request *r, char *text)
{
	bool encoded = cow_socket_decode(text);
	int64_t result;
	int ret = find_socket(r->s, r->n, text, &r->at);

	if (ret == -ENOTSUP)
		return false;
	if (ret) {
		cow_name_answer(r->n, ret);
		return true;
	}
	result = notif_valid(r->n) ? call_in_thread(r) : COW_KERNEL;
	/* who is traced may do what takes nobody's help */
	if (result == -EPERM && !r->n->answered && !encoded && is_native(r, text))
		result = COW_KERNEL;
	cow_name_answer(r->n, result);
	fd_close(r->at.dir);
	return true;
}

static int64_t make_connect(struct request *r, struct inject *in, uint64_t room)
{
	int ret = notif_write(in->n, room + offsetof(struct room, addr), &r->room.addr, r->len);

	return ret ? ret
		   : inject_call(in, SYS_connect, in->n->args[0],
				 room + offsetof(struct room, addr), GUARD_PASSING(r->len));
}

/* Whom it connects to may ask for its name. */
static void note_client(struct super_state *s, const struct notif *n)
{
	struct sockaddr_un addr = { .sun_family = AF_UNSPEC };
	socklen_t len = sizeof(addr);
	auto_fd fd = s->cow->named && !s->cow->clients ? cow_socket_take(n) : -1;
	char text[TEXT_MAX + 1];

	s->cow->clients |= fd >= 0 && getsockname(fd, (struct sockaddr *)&addr, &len) == 0 &&
			   is_path(&addr, len, text) && cow_socket_is_encoded(text);
}

void cow_on_connect(struct super_state *s, struct notif *n)
{
	char text[TEXT_MAX + 1];
	struct request r = { .s = s, .n = n, .call = make_connect };
	auto_fd fd = -1;

	note_client(s, n);
	if (!read_path(n, n->args[1], (uint32_t)n->args[2], text))
		return;
	fd = cow_socket_take(n);
	if (fd >= 0)
		to_name(&r, text);
}

static int64_t make_send(struct request *r, struct inject *in, uint64_t room)
{
	uint64_t flags = in->n->args[in->n->nr == SYS_sendto ? 3 : 2];
	int ret;

	r->room.message.msg_name = (void *)(uintptr_t)(room + offsetof(struct room, addr));
	r->room.message.msg_namelen = r->len;
	if (in->n->nr == SYS_sendto) {
		r->room.message.msg_iov =
			(struct iovec *)(uintptr_t)(room + offsetof(struct room, data));
		r->room.message.msg_iovlen = 1;
	}
	ret = notif_write(in->n, room, &r->room, sizeof(r->room));
	return ret ? ret
		   : inject_call(in, SYS_sendmsg, in->n->args[0],
				 room + offsetof(struct room, message), GUARD_PASSING(flags));
}

void cow_on_sendto(struct super_state *s, struct notif *n)
{
	char text[TEXT_MAX + 1];
	struct request r = { .s = s, .n = n, .call = make_send };
	auto_fd fd = -1;

	if (!read_path(n, n->args[4], (uint32_t)n->args[5], text))
		return;
	r.room.data = (struct iovec){ (void *)(uintptr_t)n->args[1], n->args[2] };
	fd = cow_socket_take(n);
	if (fd >= 0)
		to_name(&r, text);
}

void cow_on_sendmsg(struct super_state *s, struct notif *n)
{
	char text[TEXT_MAX + 1];
	struct request r = { .s = s, .n = n, .call = make_send };
	struct msghdr *m = &r.room.message;
	auto_fd fd = -1;

	if (notif_read(n, n->args[1], m, sizeof(*m)) || !m->msg_name ||
	    !read_path(n, (uint64_t)(uintptr_t)m->msg_name, m->msg_namelen, text))
		return;
	fd = cow_socket_take(n);
	if (fd >= 0)
		to_name(&r, text);
}
