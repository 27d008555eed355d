/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Datagrams with an address: to a socket of the container that is elsewhere, or from one. They are
 * copied through a buffer of the supervisor's. Nothing waits here: a thread that has to wait for a
 * datagram makes the call itself, and is shown the sender's real port.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "super/handler.h"
#include "super/port.h"

#define SPANS_MAX 64
#define CONTROL_MAX 1024

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

static int read_head(struct message *m)
{
	int ret = notif_read(m->n, m->n->args[1], &m->head, sizeof(m->head));

	if (ret)
		return ret;
	if (!m->head.msg_name || m->head.msg_iovlen > SPANS_MAX ||
	    m->head.msg_controllen > CONTROL_MAX)
		return -ENOTSUP;
	m->flags = (int)m->n->args[2];
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

static void send_for(struct message *m, socklen_t len)
{
	struct iovec span;
	struct msghdr head = own_head(m, &span);
	ssize_t sent;
	int ret;

	/* what some control messages say takes rights that are not looked into here */
	if (m->head.msg_controllen || (int)len < 0 || len > sizeof(m->addr) || !sum_spans(m) ||
	    notif_read(m->n, (uintptr_t)m->head.msg_name, &m->addr, len) ||
	    port_take(m->s->ports, m->n, &m->sock))
		return;
	head.msg_namelen = len;
	span.iov_len = m->len;
	if (m->sock.proto == IPPROTO_UDP && port_target(m->s, IPPROTO_UDP, &m->addr, len)) {
		ret = copy_spans(m, copy_in, m->len);
		if (!ret && notif_valid(m->n)) {
			sent = sendmsg(m->sock.fd, &head, m->flags | MSG_DONTWAIT | MSG_NOSIGNAL);
			/* the queue of the network, and a datagram may be lost */
			ret = sent < 0 && errno == EAGAIN && is_patient(m) ? -ENOBUFS : -errno;
			ret = sent < 0 ? ret : (int)sent;
		}
		notif_answer(m->n, ret);
	}
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

static void receive_for(struct message *m)
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

void port_on_recvfrom(struct super_state *s, struct notif *n)
{
	struct message m = { .s = s, .n = n };

	if (none_moved(s))
		return;
	read_plain(&m);
	receive_for(&m);
}

void port_on_sendmsg(struct super_state *s, struct notif *n)
{
	struct message m = { .s = s, .n = n };

	if (!none_moved(s) && read_head(&m) == 0)
		send_for(&m, m.head.msg_namelen);
}

void port_on_recvmsg(struct super_state *s, struct notif *n)
{
	struct message m = { .s = s, .n = n };

	if (!none_moved(s) && read_head(&m) == 0)
		receive_for(&m);
}
