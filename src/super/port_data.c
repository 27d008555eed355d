/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams with an address: to a socket of the container that is elsewhere, or from one. They are
 * copied through a buffer of the supervisor's. Nothing waits here: a thread that has to wait for a
 * datagram makes the call itself, and is followed to its end.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "arch/call.h"
#include "base/fd.h"
#include "super/follow.h"
#include "super/handler.h"
#include "super/mmsg.h"
#include "super/port.h"

#define SPANS_MAX 64
#define CONTROL_MAX 1024
#define AT_ONCE 64 /* messages that others have to wait for */

/* A struct msghdr of the guest's, or what sendto(2) and recvfrom(2) say instead. */
struct message {
	struct super_state *s;
	struct notif *n;
	struct port_socket sock;
	struct msghdr head; /* its pointers are the guest's */
	struct iovec spans[SPANS_MAX];
	size_t len; /* of all spans */
	int flags;
	struct sockaddr_storage addr;
	char control[CONTROL_MAX];
};

/* No datagram is longer than the buffer. */
static bool sum_spans(struct message *m)
{
	bool fits = true;

	for (size_t i = 0; i < m->head.msg_iovlen; i++) {
		size_t room = PORT_DATA_MAX - m->len, len = m->spans[i].iov_len;

		fits = fits && len <= room;
		m->len += len < room ? len : room;
	}
	return fits;
}

static void read_plain(struct message *m)
{
	const uint64_t *args = m->n->args;

	m->spans[0] = (struct iovec){ (void *)(uintptr_t)args[1], args[2] };
	m->head = (struct msghdr){ .msg_name = (void *)(uintptr_t)args[4], .msg_iovlen = 1 };
	m->flags = (int)args[3];
}

static int read_head(struct message *m, uint64_t at)
{
	int ret = notif_read(m->n, at, &m->head, sizeof(m->head));

	if (ret)
		return ret;
	if (!m->head.msg_name || m->head.msg_iovlen > SPANS_MAX ||
	    m->head.msg_controllen > CONTROL_MAX)
		return -ENOTSUP;
	return notif_read(m->n, (uintptr_t)m->head.msg_iov, m->spans,
			  m->head.msg_iovlen * sizeof(*m->spans));
}

static int copy_spans(struct message *m,
		      int (*copy)(struct message *m, uint64_t at, size_t i, size_t len), size_t len)
{
	size_t done = 0, part;
	int ret = 0;

	for (size_t i = 0; !ret && i < m->head.msg_iovlen && done < len; i++, done += part) {
		part = m->spans[i].iov_len < len - done ? m->spans[i].iov_len : len - done;
		ret = copy(m, (uintptr_t)m->spans[i].iov_base, done, part);
	}
	return ret;
}

static int copy_in(struct message *m, uint64_t at, size_t i, size_t len)
{
	return notif_read(m->n, at, m->s->ports->data + i, len);
}

static int copy_out(struct message *m, uint64_t at, size_t i, size_t len)
{
	return notif_write(m->n, at, m->s->ports->data + i, len);
}

static bool is_patient(const struct message *m)
{
	return !(m->flags & MSG_DONTWAIT) && !(fcntl(m->sock.fd, F_GETFL) & O_NONBLOCK);
}

static struct msghdr own_head(struct message *m, struct iovec *span)
{
	*span = (struct iovec){ m->s->ports->data, m->len };
	return (struct msghdr){
		.msg_name = &m->addr,
		.msg_iov = span,
		.msg_iovlen = 1,
		.msg_control = m->head.msg_controllen ? m->control : NULL,
		.msg_controllen = m->head.msg_controllen,
	};
}

/* What can be sent from here, and the address that it is for. */
static bool read_address(struct message *m, socklen_t len)
{
	m->len = 0;
	/* what some control messages say takes rights that are not looked into here */
	return !m->head.msg_controllen && (int)len >= 0 && len <= sizeof(m->addr) && sum_spans(m) &&
	       notif_read(m->n, (uintptr_t)m->head.msg_name, &m->addr, len) == 0;
}

/* The address leads to a socket of the container's by now. Returns what was sent, or -errno. */
static int64_t send_there(struct message *m, socklen_t len)
{
	struct iovec span;
	struct msghdr head = own_head(m, &span);
	int ret = copy_spans(m, copy_in, m->len);
	ssize_t sent;

	if (ret || !notif_valid(m->n))
		return ret ? ret : -ESRCH;
	head.msg_namelen = len;
	sent = sendmsg(m->sock.fd, &head, m->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
	if (sent >= 0)
		return sent;
	/* the queue of the network, and a datagram may be lost */
	return errno == EAGAIN && is_patient(m) ? -ENOBUFS : -errno;
}

static void send_for(struct message *m, socklen_t len)
{
	if (!read_address(m, len) || port_take(m->s->ports, m->n, &m->sock))
		return;
	if (m->sock.proto == IPPROTO_UDP && port_target(m->s, IPPROTO_UDP, &m->addr, len))
		notif_answer(m->n, send_there(m, len));
	fd_close(m->sock.fd);
}

/* What was received goes out with the sender's virtual port. */
static int64_t deliver(struct message *m, const struct msghdr *got, ssize_t n)
{
	size_t len = (size_t)n < m->len ? (size_t)n : m->len;
	bool plain = m->n->nr == SYS_recvfrom;
	struct msghdr head = m->head;
	int ret = copy_spans(m, copy_out, len);

	port_show(m->s->ports, IPPROTO_UDP, &m->addr, got->msg_namelen);
	if (!ret && plain)
		ret = notif_put_addr(m->n, m->n->args[4], m->n->args[5], &m->addr,
				     got->msg_namelen);
	if (ret || plain)
		return ret ? ret : n;
	len = got->msg_namelen < head.msg_namelen ? got->msg_namelen : head.msg_namelen;
	ret = notif_write(m->n, (uintptr_t)head.msg_name, &m->addr, len);
	if (!ret)
		ret = notif_write(m->n, (uintptr_t)head.msg_control, m->control,
				  got->msg_controllen);
	head.msg_namelen = got->msg_namelen;
	head.msg_controllen = got->msg_controllen;
	head.msg_flags = got->msg_flags;
	if (!ret)
		ret = notif_write(m->n, m->n->args[1], &head, sizeof(head));
	return ret ? ret : n;
}

/* An address in the memory of a thread. */
struct there {
	pid_t tid;
	uint64_t at;
	size_t len, room;
};

/* One that was cut short is nobody's. */
static void show_there(struct ports *p, uint8_t proto, const struct there *t)
{
	const struct notif n = { .tid = t->tid };
	struct sockaddr_storage addr;

	if (!t->at || t->len > t->room || t->len > sizeof(addr) ||
	    notif_read(&n, t->at, &addr, t->len))
		return;
	port_show(p, proto, &addr, t->len);
	notif_write(&n, t->at, &addr, t->len);
}

int port_read_room(const struct notif *n, unsigned arg, struct follow_change *change)
{
	int room, ret = notif_read(n, n->args[arg + 1], &room, sizeof(room));

	change->data[0] = ret ? 0 : room;
	return ret || room >= 0 ? ret : -EINVAL;
}

void port_show_followed(struct ports *p, uint8_t proto, const struct follow_thread *t, unsigned arg)
{
	const struct notif n = { .tid = t->tid };
	uint32_t len;

	if (notif_read(&n, t->own.arg[arg + 1], &len, sizeof(len)))
		return;
	show_there(p, proto,
		   &(struct there){ t->tid, t->own.arg[arg], len, (size_t)t->change.data[0] });
}

/* waiting: how a thread is followed that has to wait. */
static void receive_for(struct message *m, const struct follow_change *waiting)
{
	struct iovec span;
	struct msghdr head;
	ssize_t n;

	if (port_take(m->s->ports, m->n, &m->sock))
		return;
	sum_spans(m);
	head = own_head(m, &span);
	head.msg_namelen = sizeof(m->addr);
	if (m->sock.proto == IPPROTO_UDP && notif_valid(m->n)) {
		n = recvmsg(m->sock.fd, &head, m->flags | MSG_DONTWAIT);
		if (n >= 0)
			notif_answer(m->n, deliver(m, &head, n));
		else if (errno != EAGAIN || !is_patient(m))
			notif_answer(m->n, -errno);
		else
			follow_change(m->s->follow, m->n, waiting);
	}
	fd_close(m->sock.fd);
}

static bool none_moved(const struct super_state *s)
{
	return !s->ports->map.moved[1];
}

void port_on_sendto(struct super_state *s, struct notif *n)
{
	struct message m = { .s = s, .n = n };

	if (none_moved(s))
		return;
	read_plain(&m);
	send_for(&m, (socklen_t)n->args[5]);
}

static void show_plain(struct super_state *s, const struct follow_thread *t)
{
	port_show_followed(s->ports, IPPROTO_UDP, t, 4);
}

void port_on_recvfrom(struct super_state *s, struct notif *n)
{
	struct follow_change waiting = { .mark = 3, .done = show_plain };
	struct message m = { .s = s, .n = n };

	if (none_moved(s) || port_read_room(n, 4, &waiting))
		return;
	read_plain(&m);
	receive_for(&m, &waiting);
}

void port_on_sendmsg(struct super_state *s, struct notif *n)
{
	struct message m = { .s = s, .n = n };

	m.flags = (int)n->args[2];
	if (!none_moved(s) && read_head(&m, n->args[1]) == 0)
		send_for(&m, m.head.msg_namelen);
}

/* Of a message, whose head is there as well. */
static void show_sender(struct super_state *s, const struct follow_thread *t, uint64_t message)
{
	const struct notif n = { .tid = t->tid };
	struct msghdr m;

	if (notif_read(&n, message, &m, sizeof(m)) == 0)
		show_there(s->ports, IPPROTO_UDP,
			   &(struct there){ t->tid, (uintptr_t)m.msg_name, m.msg_namelen,
					    (size_t)t->change.data[0] });
}

static void show_message(struct super_state *s, const struct follow_thread *t)
{
	show_sender(s, t, t->own.arg[1]);
}

void port_on_recvmsg(struct super_state *s, struct notif *n)
{
	struct follow_change waiting = { .mark = 2, .done = show_message };
	struct message m = { .s = s, .n = n };

	m.flags = (int)n->args[2];
	if (none_moved(s) || read_head(&m, n->args[1]))
		return;
	waiting.data[0] = (int64_t)m.head.msg_namelen;
	receive_for(&m, &waiting);
}

/* ---- many at once */

/* Message i, if it is for one of the container's sockets: then the address leads there. */
static bool is_own(struct message *m, uint64_t i)
{
	return read_head(m, mmsg_at(m->n->args[1], i)) == 0 &&
	       read_address(m, m->head.msg_namelen) &&
	       port_target(m->s, IPPROTO_UDP, &m->addr, m->head.msg_namelen);
}

/* As many as there are of the container's own; returns how many were sent, or the first one's
 * error. */
static int64_t send_own(struct message *m, uint64_t n)
{
	int64_t sent = 0, ret = 0;

	for (; (uint64_t)sent < n && !ret && is_own(m, (uint64_t)sent); sent += !ret) {
		ret = send_there(m, m->head.msg_namelen);
		if (ret >= 0)
			ret = mmsg_put_len(m->n, mmsg_at(m->n->args[1], (uint64_t)sent),
					   (uint32_t)ret);
	}
	return sent ? sent : ret;
}

/* The thread sends the first ones itself, which are for others, and comes back with the rest. */
static void send_others(struct message *m, uint64_t n)
{
	const uint64_t *args = m->n->args;
	struct inject in;
	int64_t ret;

	if (inject_begin(&m->s->strays, m->n, &in))
		return;
	ret = inject_stop(&in);
	if (!ret)
		ret = inject_call(&in, SYS_sendmmsg, args[0], args[1], n, GUARD_PASSING(args[3]));
	inject_end(&in, ret);
}

/* The kernel, too, may send less than all: whoever makes this call makes it again with the rest. */
void port_on_sendmmsg(struct super_state *s, struct notif *n)
{
	struct message m = { .s = s, .n = n, .flags = (int)n->args[3] };
	uint64_t all = (uint32_t)n->args[2], others = 0;
	int64_t sent;

	if (none_moved(s) || port_take(s->ports, n, &m.sock))
		return;
	all = all < MMSG_MAX ? all : MMSG_MAX;
	if (m.sock.proto != IPPROTO_UDP)
		all = 0;
	while (others < all && !is_own(&m, others))
		others++;
	if (!others && all) {
		sent = send_own(&m, all < AT_ONCE ? all : AT_ONCE);
		/* none: the first one has changed meanwhile */
		if (sent)
			notif_answer(n, sent);
	} else if (others < all) {
		send_others(&m, others);
	}
	fd_close(m.sock.fd);
}

static void show_senders(struct super_state *s, const struct follow_thread *t)
{
	struct regs r;

	if (regs_get(t->tid, &r))
		return;
	for (int64_t i = 0; i < call_result(&r); i++)
		show_sender(s, t, mmsg_at(t->own.arg[1], (uint64_t)i));
}

/* How long it waits, and for how many, is the kernel's: the thread is followed to its end. */
void port_on_recvmmsg(struct super_state *s, struct notif *n)
{
	struct follow_change change = { .mark = 3, .done = show_senders };
	struct port_socket sock;

	if (none_moved(s))
		return;
	change.data[0] = mmsg_least_room(n, n->args[1], (uint32_t)n->args[2]);
	if (change.data[0] < 0 || port_take(s->ports, n, &sock))
		return;
	if (sock.proto == IPPROTO_UDP)
		follow_change(s->follow, n, &change);
	fd_close(sock.fd);
}
