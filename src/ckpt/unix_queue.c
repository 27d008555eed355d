/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is in flight between unix sockets. Peeking with an offset (SO_PEEK_OFF) shows all of a queue
 * and leaves it as it is. At restore it is sent again, by the same sender.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/k_unix.h"

#define QUEUE_MAX (64u << 20)
#define PIECE (256u << 10)
#define FDS_MAX 253 /* SCM_MAX_FD of the kernel */
#define CONTROL 2048

static const struct record_field rows[] = {
	RECORD(U, struct unix_message, "length", len, RECORD_MAX(QUEUE_MAX)),
	RECORD(BYTES, struct unix_message, "from", from, RECORD_OPTIONAL,
	       RECORD_N(struct unix_message, from_len),
	       RECORD_MAX(sizeof(((struct sockaddr_un *)0)->sun_path))),
	RECORD(NUMBERS, struct unix_message, "files", files, RECORD_OPTIONAL,
	       RECORD_N(struct unix_message, n_files), RECORD_MAX(FDS_MAX)),
};
const struct record_table unix_message_table = RECORD_TABLE(struct unix_message, rows);

static const char *data_name(struct ckpt *c, const struct ckpt_file *f)
{
	return arena_printf(c->arena, "unix.%u.data", f->id);
}

struct queue {
	struct ckpt *c;
	char *data;
	size_t len, room, messages_room;
};

/* Room for that many more bytes. */
static int reserve(struct queue *q, size_t more)
{
	char *data;

	if (q->len + more <= q->room)
		return 0;
	if (q->len + more > QUEUE_MAX)
		return fail(E2BIG, "there are more than %u bytes in its queue", QUEUE_MAX);
	q->room = (q->len + more) * 2;
	data = arena_alloc(q->c->arena, q->room);
	if (q->len)
		memcpy(data, q->data, q->len);
	q->data = data;
	return 0;
}

static bool has_beside(struct msghdr *m, int type)
{
	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h))
		if (h->cmsg_level == SOL_SOCKET && h->cmsg_type == type)
			return true;
	return false;
}

/* The files of the descriptors that a look has made for us. They stay open: a file that is only in
 * flight would be gone otherwise. */
static int adopt_beside(struct ckpt *c, struct msghdr *m, struct unix_message *out)
{
	uint64_t *files = NULL;
	size_t room = 0;
	uint32_t file;
	int fd, ret;

	for (struct cmsghdr *h = CMSG_FIRSTHDR(m); h; h = CMSG_NXTHDR(m, h)) {
		if (h->cmsg_level != SOL_SOCKET || h->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; CMSG_LEN((i + 1) * sizeof(int)) <= h->cmsg_len; i++) {
			memcpy(&fd, CMSG_DATA(h) + i * sizeof(int), sizeof(int));
			ret = ckpt_adopt(c, fd, &file);
			if (ret)
				return fail_in(ret, "a descriptor in flight to it");
			files = arena_grow(c->arena, files, out->n_files, &room, sizeof(*files));
			files[out->n_files++] = file;
		}
	}
	out->files = files;
	return 0;
}

static struct unix_message *add_message(struct queue *q, struct unix_socket *s, size_t len)
{
	s->messages = arena_grow(q->c->arena, s->messages, s->n_messages, &q->messages_room,
				 sizeof(*s->messages));
	s->messages[s->n_messages].len = len;
	return &s->messages[s->n_messages++];
}

/* 1: one more is in the queue; 0: that was all; or -errno with a text. */
static int peek(struct queue *q, int fd, struct unix_socket *s)
{
	char control[CONTROL] __attribute__((aligned(8)));
	struct sockaddr_un from;
	struct iovec iov;
	struct msghdr m = { .msg_name = &from, .msg_iov = &iov, .msg_iovlen = 1 };
	struct unix_message *one;
	size_t len;
	ssize_t n;
	int ret = reserve(q, PIECE);

	if (ret)
		return ret;
	iov = (struct iovec){ q->data + q->len, q->room - q->len };
	m.msg_namelen = sizeof(from);
	m.msg_control = control;
	m.msg_controllen = sizeof(control);
	n = recvmsg(fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
	if (n < 0 && (errno == EAGAIN || errno == ENOTCONN || errno == EINVAL))
		return 0;
	if (n < 0)
		return fail_errno("look into its queue");
	if (m.msg_flags & MSG_TRUNC)
		return fail(E2BIG, "a message of more than %u bytes is in its queue", PIECE);
	if (m.msg_flags & MSG_CTRUNC)
		return fail(E2BIG, "what comes with a message in its queue can't all be taken");
	if (n == 0 && (s->type == SOCK_STREAM || (s->shutdown & 1)))
		return 0;
	/* EAGAIN: in a moment it is likely to have been read */
	if (has_beside(&m, SCM_CREDENTIALS))
		return fail(EAGAIN,
			    "its queue tells who has sent what (SO_PASSCRED), which can't be told "
			    "again");
	len = (size_t)n;
	/* a look goes past the end of what it was asked for: where they belong is not told */
	if (s->type == SOCK_STREAM && len > 1 && has_beside(&m, SCM_RIGHTS))
		return fail(EAGAIN, "descriptors are in flight to it in a stream of bytes, and the "
				    "kernel does not tell with which of them");
	one = add_message(q, s, len);
	if (s->type == SOCK_DGRAM && m.msg_namelen > offsetof(struct sockaddr_un, sun_path)) {
		one->from_len = m.msg_namelen - offsetof(struct sockaddr_un, sun_path);
		one->from = arena_memdup(q->c->arena, from.sun_path, one->from_len);
	}
	q->len += len;
	ret = adopt_beside(q->c, &m, one);
	return ret ? ret : 1;
}

int unix_save_queue(const struct file_look *l, struct ckpt_file *f)
{
	struct unix_socket *s = f->record;
	struct queue q = { .c = l->c };
	auto_fd fd = socket_borrow(l);
	socklen_t len = sizeof(int);
	int before = -1, zero = 0, ret = 1;

	if (fd < 0)
		return fd;
	if (getsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before, &len) < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &zero, sizeof(zero)) < 0)
		return fail_errno("look into its queue");
	while (ret > 0)
		ret = peek(&q, fd, s);
	if (setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &before, sizeof(before)) < 0 && !ret)
		ret = fail_errno("set SO_PEEK_OFF back");
	if (!ret && q.len)
		ret = image_put(l->c->writer, data_name(l->c, f), q.data, q.len);
	return ret;
}

/* ---- restore */

/* The receiver's address, as we reach it: a path is the container's. */
static int address_of(struct ckpt *c, const struct unix_socket *s, struct sockaddr_un *out,
		      socklen_t *out_len, int *out_held)
{
	const char *name = s->name;
	int n;

	*out = (struct sockaddr_un){ .sun_family = AF_UNIX };
	if (!s->name_len)
		return fail(EBADMSG, "the image: a socket without a name has datagrams of no peer");
	if (name[0] == '\0') {
		memcpy(out->sun_path, name, s->name_len);
		*out_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + s->name_len);
		return 0;
	}
	*out_held = unix_open_place(c, s);
	if (*out_held < 0)
		return *out_held;
	n = snprintf(out->sun_path, sizeof(out->sun_path), "/proc/self/fd/%d", *out_held);
	*out_len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + (size_t)n + 1);
	return 0;
}

/* Whoever sent it. A sender without a name is as good as any other. */
static int sender_of(struct ckpt *c, const struct unix_socket *s, const struct unix_message *m,
		     int *anonymous)
{
	const struct socket_sort sort = { AF_UNIX, (int)s->type, 0 };
	struct ckpt_file *f;
	int there, ret;

	if (m->from_len) {
		f = unix_named(c, m->from, m->from_len);
		return f ? f->fd : fail(ENOTSUP, "the sender of a datagram is there no more");
	}
	if (*anonymous < 0) {
		ret = socket_make(c, &sort, &there);
		*anonymous = ret ? ret : socket_release(c, there);
	}
	return *anonymous;
}

/* sendmsg(2) of a part of a message, with its descriptors. Returns how many bytes went. */
static ssize_t send_with(struct ckpt *c, int from, const struct unix_message *m, struct iovec part,
			 const struct sockaddr_un *to, socklen_t to_len)
{
	/* lint: parameters: those of sendmsg */
	char control[CMSG_SPACE(FDS_MAX * sizeof(int))] __attribute__((aligned(8))) = { 0 };
	struct msghdr msg = { .msg_iov = &part, .msg_iovlen = 1 };
	struct cmsghdr *h = (struct cmsghdr *)control;
	ssize_t n;

	msg.msg_name = (void *)(uintptr_t)to;
	msg.msg_namelen = to_len;
	if (m->n_files) {
		msg.msg_control = control;
		msg.msg_controllen = CMSG_SPACE(m->n_files * sizeof(int));
		h->cmsg_level = SOL_SOCKET;
		h->cmsg_type = SCM_RIGHTS;
		h->cmsg_len = CMSG_LEN(m->n_files * sizeof(int));
	}
	for (size_t i = 0; i < m->n_files; i++) {
		if (m->files[i] >= c->n_files)
			return fail(EBADMSG, "the image: file %llu is in flight and not there",
				    (unsigned long long)m->files[i]);
		memcpy(CMSG_DATA(h) + i * sizeof(int), &c->files[m->files[i]]->fd, sizeof(int));
	}
	n = sendmsg(from, &msg, MSG_DONTWAIT | MSG_NOSIGNAL);
	return n < 0 ? fail_errno("send %zu bytes again", part.iov_len) : n;
}

static int send_datagram(struct ckpt *c, const struct unix_socket *s, const struct unix_message *m,
			 const void *data, int *anonymous)
{
	int from = sender_of(c, s, m, anonymous), ret;
	struct sockaddr_un to;
	auto_fd held = -1;
	socklen_t len = 0;
	ssize_t n;

	if (from < 0)
		return from;
	ret = address_of(c, s, &to, &len, &held);
	if (ret)
		return ret;
	n = send_with(c, from, m, (struct iovec){ (void *)(uintptr_t)data, m->len }, &to, len);
	return n < 0 ? (int)n : 0;
}

static void widen(int fd)
{
	const int most = QUEUE_MAX;

	/* without the right to it as much as anybody may have; what does not fit fails by itself */
	if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &most, sizeof(most)) < 0)
		(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &most, sizeof(most));
}

/* Of a stream perhaps not all at once: the descriptors come with the first byte. */
static int send_all(struct ckpt *c, int fd, const struct unix_message *m, const char *data)
{
	const struct unix_message rest = { 0 };
	size_t at = 0;
	ssize_t n;

	do {
		n = send_with(c, fd, at ? &rest : m,
			      (struct iovec){ (void *)(uintptr_t)(data + at), m->len - at }, NULL,
			      0);
		if (n < 0)
			return (int)n;
		at += (size_t)n;
	} while (at < m->len);
	return 0;
}

int unix_fill_queue(struct ckpt *c, struct ckpt_file *f, int sender)
{
	const struct unix_socket *s = f->record;
	const void *data = NULL;
	auto_fd anonymous = -1;
	size_t len = 0, at = 0;
	int ret = 0;

	if (!s->n_messages)
		return 0;
	if (image_has(c->image, data_name(c, f)))
		ret = image_get(c->image, data_name(c, f), QUEUE_MAX, &data, &len);
	if (sender >= 0)
		widen(sender);
	for (size_t i = 0; i < s->n_messages && !ret; i++) {
		const struct unix_message *m = &s->messages[i];

		if (m->len > len - at)
			return fail(EBADMSG, "the image: %s is shorter than its messages",
				    data_name(c, f));
		if (sender >= 0)
			ret = send_all(c, sender, m, (const char *)data + at);
		else
			ret = send_datagram(c, s, m, (const char *)data + at, &anonymous);
		at += m->len;
	}
	return ret;
}
