/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of AF_UNIX. What /proc does not tell (who is connected to whom, and by which name) tells
 * sock_diag(7). At restore the root process makes them: names are the container's. What tells a
 * peer who it is connected to is called by a process of that number and those ids (proxy.h).
 *
 *	without a name, connected	a socketpair(2)
 *	connected by a listener's name	connect(2) to the listener, that is made before, and
 *					accept(2)
 *	all others			bind(2), listen(2), connect(2) as recorded
 *
 * Queues are filled when all sockets stand, and only then ends are shut and options set.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/tcp.h>
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
#include "ckpt/k_unix.h"
#include "ckpt/unix_diag.h"

#define NAME_BYTES sizeof(((struct sockaddr_un *)0)->sun_path)
#define MESSAGES_MAX (1u << 20)

static const struct record_field rows[] = {
	RECORD(U, struct unix_socket, "type", type, RECORD_MAX(SOCK_SEQPACKET)),
	RECORD(U, struct unix_socket, "inode", ino),
	RECORD(U, struct unix_socket, "peer", peer, RECORD_OPTIONAL),
	PEER_RECORDS(struct unix_socket, cred),
	RECORD(BOOL, struct unix_socket, "connected", connected, RECORD_OPTIONAL),
	RECORD(BOOL, struct unix_socket, "listening", listening, RECORD_OPTIONAL),
	RECORD(U, struct unix_socket, "backlog", backlog, RECORD_OPTIONAL),
	RECORD(U, struct unix_socket, "shutdown", shutdown, RECORD_OPTIONAL, RECORD_MAX(3)),
	RECORD(BYTES, struct unix_socket, "name", name, RECORD_OPTIONAL,
	       RECORD_N(struct unix_socket, name_len), RECORD_MAX(NAME_BYTES)),
	RECORD(BYTES, struct unix_socket, "peerName", peer_name, RECORD_OPTIONAL,
	       RECORD_N(struct unix_socket, peer_name_len), RECORD_MAX(NAME_BYTES)),
	RECORD(TEXT, struct unix_socket, "directory", dir, RECORD_OPTIONAL, RECORD_MAX(PATH_MAX)),
	RECORD(TEXT, struct unix_socket, "file", file, RECORD_OPTIONAL, RECORD_MAX(NAME_MAX)),
	RECORD(BOOL, struct unix_socket, "removed", removed, RECORD_OPTIONAL),
	RECORD(U, struct unix_socket, "mode", mode, RECORD_OPTIONAL, RECORD_MAX(07777)),
	RECORD(U, struct unix_socket, "uid", uid, RECORD_OPTIONAL),
	RECORD(U, struct unix_socket, "gid", gid, RECORD_OPTIONAL),
	RECORD_LIST_OF(struct unix_socket, "messages", messages, n_messages, unix_message_table,
		       RECORD_OPTIONAL, RECORD_MAX(MESSAGES_MAX)),
	RECORD(OBJECT, struct unix_socket, "options", options, RECORD_BY(socket_options_table)),
};
static const struct record_table table = RECORD_TABLE(struct unix_socket, rows);

static bool owns(const struct file_look *l)
{
	struct socket_sort s;

	return socket_is(l, AF_UNIX, &s);
}

/* ---- dump */

/* The list is asked for once while the container runs, and once more when it is frozen. */
struct note {
	struct unix_table table;
	bool known, frozen;
};

static int table_of(struct ckpt *c, const struct unix_table **out)
{
	void **slot = ckpt_note(&kind_unix, c->procs[0]);
	struct note *note = *slot;
	bool frozen = c->writer && c->procs[0]->trace;
	int ret = 0;

	if (!note)
		note = *slot = arena_alloc(c->arena, sizeof(*note));
	if (!note->known || note->frozen != frozen)
		ret = unix_diag(c, &note->table);
	note->known = ret == 0;
	note->frozen = frozen;
	*out = &note->table;
	return ret;
}

static bool is_path(const struct unix_entry *e)
{
	return e->name_len && *(const char *)e->name;
}

/* An end that accept(2) made has the name of its listener. */
static bool is_accepted(const struct unix_table *t, const struct unix_entry *e)
{
	return e->type != SOCK_DGRAM && e->state != TCP_LISTEN &&
	       unix_listener(t, e->name, e->name_len);
}

static const char *check_peer(const struct file_look *l, const struct unix_table *t,
			      const struct unix_entry *e)
{
	const struct unix_entry *peer = unix_find(t, e->peer);

	if (!e->peer)
		return NULL;
	if (!peer || !peer->ours) {
		if (e->type == SOCK_DGRAM && peer && is_path(peer) && l->c->options->ext_unix_sk)
			return NULL;
		return e->type == SOCK_DGRAM && peer && is_path(peer)
			       ? "it is connected to a socket outside of the container "
				 "(--ext-unix-sk connects it again by that name)"
			       : "it is connected to a process outside of the container";
	}
	if (e->type == SOCK_DGRAM)
		return e->name_len || peer->name_len || peer->peer == e->ino
			       ? NULL
			       : "the socket that it is connected to has no name";
	if (e->state == TCP_ESTABLISHED && e->name_len && !is_accepted(t, e) &&
	    !is_accepted(t, peer))
		return "it has a name, and the listener that it was connected by is gone";
	if (e->state == TCP_ESTABLISHED && peer->name_len && !is_accepted(t, peer) &&
	    !is_accepted(t, e))
		return "its peer has a name, and the listener that it was connected by is gone";
	return NULL;
}

static bool has_rival(const struct unix_table *t, const struct unix_entry *e)
{
	for (size_t i = 0; i < t->n; i++)
		if (&t->v[i] != e && t->v[i].ours && t->v[i].name_len == e->name_len &&
		    memcmp(t->v[i].name, e->name, e->name_len) == 0 && !is_accepted(t, &t->v[i]))
			return true;
	return false;
}

/* Only sockets that wait where they are found by name, or that send under one. */
static const char *check_name(const struct unix_table *t, const struct unix_entry *e)
{
	if (!e->name_len || is_accepted(t, e))
		return NULL;
	return is_path(e) && has_rival(t, e) ? "another socket has taken its name" : NULL;
}

static const char *check(const struct file_look *l)
{
	const struct unix_table *t;
	const struct unix_entry *e;
	auto_fd fd = socket_borrow(l);
	const char *why;

	if (fd < 0 || table_of(l->c, &t))
		return arena_strdup(l->c->arena, err_last()->text);
	e = unix_find(t, l->st.st_ino);
	if (!e)
		return "it belongs to another network namespace than the container's";
	l->p->serves |= e->state == TCP_LISTEN;
	*l->passing = e->waiting;
	if (e->waiting)
		return "a connection to it waits to be accepted";
	why = socket_untold(fd);
	*l->passing = why != NULL;
	if (!why)
		why = socket_refusal(fd);
	if (!why)
		why = check_peer(l, t, e);
	return why ? why : check_name(t, e);
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	const struct unix_table *t;
	const struct unix_entry *e, *peer;
	struct unix_socket *s = f->record;
	auto_fd fd = socket_borrow(l);
	struct socket_sort sort;
	int ret = fd < 0 ? fd : table_of(l->c, &t);

	if (!ret)
		ret = socket_sort(fd, &sort);
	if (ret)
		return ret;
	e = unix_find(t, l->st.st_ino);
	if (!e)
		return fail(ENOTSUP, "it is not of the container's network namespace");
	peer = unix_find(t, e->peer);
	*s = (struct unix_socket){
		.type = e->type,
		.ino = e->ino,
		.peer = e->peer,
		.connected = e->state == TCP_ESTABLISHED,
		.listening = e->state == TCP_LISTEN,
		.backlog = e->backlog,
		.shutdown = e->shutdown,
		.name = e->name,
		.name_len = e->name_len,
		.peer_name = peer ? peer->name : NULL,
		.peer_name_len = peer ? peer->name_len : 0,
	};
	if (is_path(e) && !is_accepted(t, e))
		ret = unix_find_place(l, e, s);
	if (!ret)
		ret = socket_get_options(l->c, fd, &sort, &s->options);
	if (!ret)
		ret = peer_of_socket(l, fd, &s->cred);
	if (!ret && !s->listening)
		ret = unix_save_queue(l, f);
	return ret;
}

/* ---- restore */

static struct unix_socket *record_of(const struct ckpt_file *f)
{
	return f->record;
}

static bool is_named(const struct unix_socket *s, const void *name, size_t len)
{
	return len && s->name_len == len && memcmp(s->name, name, len) == 0;
}

static struct ckpt_file *listener_of(struct ckpt *c, const struct unix_socket *s)
{
	for (size_t i = 0; i < c->n_files; i++)
		if (c->files[i]->kind == &file_unix && record_of(c->files[i])->listening &&
		    is_named(record_of(c->files[i]), s->name, s->name_len))
			return c->files[i];
	return NULL;
}

struct ckpt_file *unix_named(struct ckpt *c, const void *name, size_t len)
{
	for (size_t i = 0; i < c->n_files; i++)
		if (c->files[i]->kind == &file_unix && is_named(record_of(c->files[i]), name, len))
			return c->files[i];
	return NULL;
}

static struct ckpt_file *peer_of(struct ckpt *c, const struct unix_socket *s)
{
	for (size_t i = 0; s->peer && i < c->n_files; i++)
		if (c->files[i]->kind == &file_unix && record_of(c->files[i])->ino == s->peer)
			return c->files[i];
	return NULL;
}

static int call_address(const struct ckpt_thread *t, const char *what, long nr, int fd,
			const void *name, size_t len)
{
	/* lint: parameters: a system call and its name */
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	uint64_t addr;
	int64_t ret;

	if (len > sizeof(a.sun_path))
		return fail(EBADMSG, "the image: the name of a socket is too long");
	memcpy(a.sun_path, name, len);
	ret = ckpt_put(t, 0, &a, sizeof(a), &addr);
	if (ret >= 0)
		ret = ckpt_call(t, what, nr, (uint64_t)fd, addr,
				offsetof(struct sockaddr_un, sun_path) + len);
	return ret < 0 ? (int)ret : 0;
}

static int bind_it(struct ckpt *c, struct unix_socket *s, int fd)
{
	if (!s->name_len)
		return 0;
	if (*(const char *)s->name)
		return unix_bind_place(c, s, fd);
	return call_address(ckpt_root(c), "bind a socket", SYS_bind, fd, s->name, s->name_len);
}

/* Alone: a listener, a receiver of datagrams, or one that is not connected. */
static int make_alone(struct ckpt *c, struct unix_socket *s)
{
	const struct socket_sort sort = { AF_UNIX, (int)s->type, 0 };
	const struct ckpt_thread *t;
	int64_t ret;
	int fd;

	ret = socket_make(c, &sort, &fd);
	if (!ret)
		ret = bind_it(c, s, fd);
	if (ret >= 0 && s->listening) {
		ret = proxy_for(c, &s->cred, &t);
		if (ret >= 0)
			ret = ckpt_call(t, "listen on a socket", SYS_listen, (uint64_t)fd,
					s->backlog);
		if (ret >= 0)
			ret = proxy_done(c, t);
	}
	return ret < 0 ? (int)ret : socket_release(c, fd);
}

static int make_pair(struct ckpt *c, const struct unix_socket *s, int out[2])
{
	const struct ckpt_thread *t;
	uint64_t addr;
	int pair[2];
	int64_t ret = proxy_for(c, &s->cred, &t);

	if (ret >= 0)
		ret = ckpt_put(t, 0, (int[2]){ -1, -1 }, sizeof(pair), &addr);
	if (ret >= 0)
		ret = ckpt_call(t, "make a socket pair", SYS_socketpair, AF_UNIX,
				(uint64_t)(s->type | SOCK_CLOEXEC | SOCK_NONBLOCK), 0, addr);
	if (ret >= 0)
		ret = ckpt_get(t, 0, pair, sizeof(pair));
	if (ret >= 0)
		ret = proxy_done(c, t);
	for (int i = 0; i < 2 && ret >= 0; i++)
		ret = out[i] = socket_release(c, pair[i]);
	return ret < 0 ? (int)ret : 0;
}

static int ensure(struct ckpt *c, struct ckpt_file *f);

static int connect_to(struct ckpt *c, const struct ckpt_thread *t, const struct unix_socket *of,
		      int fd)
{
	const void *name = of->name;
	size_t len = of->name_len;

	if (len && *(const char *)name) {
		name = unix_name_there(c, of);
		len = strlen(name) + 1;
	}
	return call_address(t, "connect a socket", SYS_connect, fd, name, len);
}

/* The way it was: s is the accepted end. */
static int make_accepted(struct ckpt *c, const struct unix_socket *s, struct unix_socket *client,
			 int out[2])
{
	const struct socket_sort sort = { AF_UNIX, (int)s->type, 0 };
	struct ckpt_file *listener = listener_of(c, s);
	const struct unix_socket *of = record_of(listener);
	const struct ckpt_thread *t;
	int fd, ret = ensure(c, listener), listening;

	if (!ret)
		ret = socket_make(c, &sort, &fd);
	if (!ret && client)
		ret = bind_it(c, client, fd);
	if (!ret)
		ret = unix_enter_place(c, of);
	if (!ret)
		ret = proxy_for(c, &s->cred, &t);
	if (!ret)
		ret = connect_to(c, t, of, fd);
	if (!ret)
		ret = proxy_done(c, t);
	if (!ret)
		ret = unix_leave_place(c, of);
	if (ret)
		return ret;
	out[1] = socket_release(c, fd);
	if (out[1] < 0)
		return out[1];
	listening = listener->fd >= 0 ? listener->fd : of->fd;
	out[0] = accept4(listening, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return out[0] < 0 ? fail_errno("accept a connection") : 0;
}

static int make_connected(struct ckpt *c, struct unix_socket *s)
{
	struct ckpt_file *peer = peer_of(c, s);
	struct unix_socket *other = peer ? record_of(peer) : NULL;
	int fd[2] = { -1, -1 }, ret;
	bool swapped = false;

	if (s->type != SOCK_DGRAM && listener_of(c, s)) {
		ret = make_accepted(c, s, other, fd);
	} else if (s->type != SOCK_DGRAM && other && listener_of(c, other)) {
		ret = make_accepted(c, other, s, fd);
		swapped = true;
	} else {
		ret = make_pair(c, s, fd);
	}
	if (ret)
		return ret;
	s->fd = fd[swapped];
	if (other) {
		other->made = true;
		other->fd = fd[!swapped];
	} else {
		s->held = fd[!swapped];
	}
	return 0;
}

static bool is_pair(struct ckpt *c, const struct unix_socket *s)
{
	const struct ckpt_file *peer = peer_of(c, s);

	if (s->type != SOCK_DGRAM)
		return s->connected;
	/* of one whose other end was closed it is left that it was connected, or what came by it */
	if (!peer)
		return !s->name_len && !s->peer_name_len && (s->connected || s->n_messages);
	return !s->name_len && !record_of(peer)->name_len && record_of(peer)->peer == s->ino;
}

static int ensure(struct ckpt *c, struct ckpt_file *f)
{
	struct unix_socket *s = f->record;
	int ret;

	if (s->made)
		return 0;
	s->made = true;
	s->fd = s->held = s->apart = -1;
	if (is_pair(c, s)) {
		ret = make_connected(c, s);
	} else {
		s->fd = make_alone(c, s);
		ret = s->fd < 0 ? s->fd : 0;
	}
	return ret;
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	int ret = ensure(c, f);

	return ret ? ret : fd_take(&record_of(f)->fd);
}

/* Datagrams to one address: when that is bound. */
static int connect_datagrams(struct ckpt *c, struct ckpt_file *f)
{
	const struct unix_socket *s = f->record;
	const struct ckpt_file *peer = peer_of(c, s);
	const char *name = s->peer_name;
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	socklen_t len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + s->peer_name_len);
	auto_fd there = -1;

	if (s->type != SOCK_DGRAM || !s->peer_name_len || is_pair(c, s))
		return 0;
	if (s->peer_name_len > sizeof(a.sun_path))
		return fail(EBADMSG, "the image: the name of a socket is too long");
	memcpy(a.sun_path, name, s->peer_name_len);
	if (*name) {
		there = peer ? unix_open_place(c, record_of(peer))
			     : ckpt_open_path(c, arena_strndup(c->arena, name, s->peer_name_len),
					      O_PATH);
		if (there < 0)
			return there;
		len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1) +
		      (socklen_t)snprintf(a.sun_path, sizeof(a.sun_path), "/proc/self/fd/%d",
					  there);
	}
	return connect(f->fd, (struct sockaddr *)&a, len) < 0 ? fail_errno("connect a socket") : 0;
}

static int fill(struct ckpt *c, struct ckpt_file *f)
{
	const struct unix_socket *s = f->record;
	const struct ckpt_file *peer = peer_of(c, s);
	int sender = -1;

	if (is_pair(c, s))
		sender = peer ? peer->fd : s->held;
	return unix_fill_queue(c, f, sender);
}

static int finish(struct ckpt *c, struct ckpt_file *f)
{
	static const int how[] = { [1] = SHUT_RD, [2] = SHUT_WR, [3] = SHUT_RDWR };
	struct unix_socket *s = f->record;

	(void)c;
	fd_close(fd_take(&s->held));
	fd_close(fd_take(&s->apart));
	if (s->shutdown && shutdown(f->fd, how[s->shutdown & 3]) < 0 && errno != ENOTCONN)
		return fail_errno("shut a socket");
	return socket_set_options(f->fd, &s->options);
}

/* The first one that is asked does it for all: each step for every socket before the next. */
static int link_all(struct ckpt *c, struct ckpt_file *f)
{
	int (*const steps[])(struct ckpt * c, struct ckpt_file * f) = { fill, connect_datagrams,
									finish };
	int ret = 0;

	if (record_of(f)->linked)
		return 0;
	for (size_t k = 0; k < NAME_COUNT(steps); k++)
		for (size_t i = 0; i < c->n_files && !ret; i++) {
			if (c->files[i]->kind != &file_unix)
				continue;
			record_of(c->files[i])->linked = true;
			ret = steps[k](c, c->files[i]);
			if (ret)
				ret = fail_in(ret, "file %zu (unix)", i);
		}
	return ret;
}

const struct file_kind file_unix = {
	.name = "unix",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.link = link_all,
	.keeps_flags = true,
};

/* Holds what is asked once for all. */
const struct ckpt_kind kind_unix = {
	.name = "unix-sockets",
	.scope = KIND_CONTAINER,
};
