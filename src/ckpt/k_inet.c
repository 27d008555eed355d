/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sockets of TCP (of MPTCP, as Go's listeners are, too) and UDP, IPv4 and IPv6. What they are is
 * told by the sockets themselves, through a borrowed descriptor. Connections of TCP are asked for
 * by a flag: --tcp-established saves those whose both ends are in the container, and a restore with
 * --tcp-close leaves them closed. With --tcp-close at the checkpoint they are not saved at all,
 * whoever has the other end: as is one that was over already, the socket is restored as one that
 * its peer has closed.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/kinds.h"
#include "ckpt/multicast.h"
#include "ckpt/ports.h"
#include "ckpt/socket_error.h"
#include "ckpt/sockets.h"
#include "ckpt/tcp.h"

union address {
	struct sockaddr a;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

struct inet {
	uint32_t family, type, protocol;
	bool listening, closed, failed; /* failed: an error waits in it */
	uint32_t backlog;
	const void *local, *peer; /* struct sockaddr_in or sockaddr_in6 */
	size_t local_len, peer_len;
	struct socket_options options;
	struct memberships groups;
	struct tcp_state *tcp;        /* of a connection */
	const struct file_look *look; /* dump */
	int borrowed;                 /* dump: while it is held still */
	bool done;                    /* restore */
	struct ckpt_file *stand_in;   /* restore: for its other end */
};

static const struct record_field rows[] = {
	RECORD(U, struct inet, "family", family),
	RECORD(U, struct inet, "type", type),
	RECORD(U, struct inet, "protocol", protocol),
	RECORD(BOOL, struct inet, "listening", listening, RECORD_OPTIONAL),
	RECORD(BOOL, struct inet, "closed", closed, RECORD_OPTIONAL),
	RECORD(BOOL, struct inet, "failed", failed, RECORD_OPTIONAL),
	RECORD(U, struct inet, "backlog", backlog, RECORD_OPTIONAL, RECORD_MAX(INT32_MAX)),
	RECORD(BYTES, struct inet, "local", local, RECORD_OPTIONAL,
	       RECORD_N(struct inet, local_len), RECORD_MAX(sizeof(union address))),
	RECORD(BYTES, struct inet, "peer", peer, RECORD_OPTIONAL, RECORD_N(struct inet, peer_len),
	       RECORD_MAX(sizeof(union address))),
	RECORD(OBJECT, struct inet, "options", options, RECORD_BY(socket_options_table)),
	RECORD(OBJECT, struct inet, "multicast", groups, RECORD_BY(memberships_table),
	       RECORD_OPTIONAL),
	RECORD(POINTER, struct inet, "tcp", tcp, RECORD_OPTIONAL, RECORD_BY(tcp_state_table)),
};
static const struct record_table table = RECORD_TABLE(struct inet, rows);

static bool owns(const struct file_look *l)
{
	struct socket_sort s;

	return socket_is(l, AF_INET, &s) || socket_is(l, AF_INET6, &s);
}

/* ---- dump */

/* The state of a socket of TCP: TCP_CLOSE for all others. */
static int tcp_info_of(int fd, const struct socket_sort *s, struct tcp_info *out)
{
	socklen_t len = sizeof(*out);

	*out = (struct tcp_info){ .tcpi_state = TCP_CLOSE };
	if (!socket_is_tcp(s))
		return 0;
	return getsockopt(fd, IPPROTO_TCP, TCP_INFO, out, &len) < 0
		       ? fail_errno("ask for the state of a socket")
		       : 0;
}

static bool is_loopback(const union address *a)
{
	if (a->a.sa_family == AF_INET)
		return ntohl(a->v4.sin_addr.s_addr) >> 24 == 127;
	return IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr) ||
	       (IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr) && a->v6.sin6_addr.s6_addr[12] == 127);
}

static bool same_host(const union address *a, const union address *b)
{
	if (a->a.sa_family != b->a.sa_family)
		return false;
	if (a->a.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
	return memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
}

static const char *check_connection(const struct file_look *l, int fd, const struct socket_sort *s,
				    const struct tcp_info *info)
{
	const struct ckpt_options *o = l->c->options;
	union address local = { 0 }, peer = { 0 };
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);

	if (o->tcp_close)
		return NULL;
	if (!o->tcp_established)
		return "it is an open connection (--tcp-established saves it, --tcp-close ends it)";
	if (s->protocol != IPPROTO_TCP)
		return "it is a connection of MPTCP (--tcp-close ends it)";
	if (!socket_network_is_own(l->c))
		return "connections are saved only where the network is the container's own "
		       "(--tcp-close ends them)";
	*l->passing = true;
	if (info->tcpi_state != TCP_ESTABLISHED && info->tcpi_state != TCP_CLOSE_WAIT &&
	    info->tcpi_state != TCP_FIN_WAIT2)
		return "its connection is being opened or closed";
	if (getsockname(fd, &local.a, &local_len) < 0 || getpeername(fd, &peer.a, &peer_len) < 0)
		return "its connection is being closed";
	*l->passing = false;
	if (!is_loopback(&peer) && !same_host(&local, &peer))
		return "the other end of its connection is not in the container (--tcp-close ends "
		       "it)";
	return NULL;
}

/* A datagram may have no bytes. */
static const char *check_datagrams(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN | POLLRDHUP };

	if (poll(&p, 1, 0) != 1)
		return NULL;
	if (p.revents & POLLRDHUP)
		return "it was shut down";
	return p.revents & POLLIN ? "datagrams wait in its queue" : NULL;
}

static const char *check(const struct file_look *l)
{
	const bool tcp_close = l->c->options->tcp_close;
	struct socket_sort s;
	struct tcp_info info;
	auto_fd fd = socket_borrow(l);
	int waiting = 0;
	const char *why;

	if (fd < 0 || socket_sort(fd, &s) || tcp_info_of(fd, &s, &info))
		return arena_strdup(l->c->arena, err_last()->text);
	if (!socket_is_tcp(&s) && s.protocol != IPPROTO_UDP)
		return arena_printf(l->c->arena, "sockets of protocol %d can't be saved",
				    s.protocol);
	if (socket_is_elsewhere(l->c, fd))
		return "it belongs to another network namespace than the container's";
	why = socket_refusal(fd);
	if (why)
		return why;
	l->p->serves |= info.tcpi_state == TCP_LISTEN;
	why = (socket_is_tcp(&s) && tcp_close) ||
			      socket_can_fail(fd, &s, info.tcpi_state == TCP_CLOSE)
		      ? NULL
		      : socket_untold(fd);
	*l->passing = why != NULL;
	if (why)
		return why;
	*l->passing = info.tcpi_state == TCP_LISTEN && info.tcpi_unacked && !tcp_close;
	if (info.tcpi_state == TCP_LISTEN)
		return *l->passing ? "a connection to it waits to be accepted" : NULL;
	if (info.tcpi_state != TCP_CLOSE)
		return check_connection(l, fd, &s, &info);
	if (s.protocol == IPPROTO_UDP)
		return check_datagrams(fd);
	if (ioctl(fd, SIOCINQ, &waiting) < 0 || !waiting)
		return NULL;
	*l->passing = true;
	return tcp_close ? NULL : "its connection has ended, and what came by it was not read";
}

static bool has_port(const union address *a)
{
	return a->a.sa_family == AF_INET ? a->v4.sin_port : a->v6.sin6_port;
}

/* Is it to be found closed? Its peer may have closed it already. */
static bool is_closed(const struct ckpt_options *o, int fd, const struct socket_sort *s,
		      const struct tcp_info *info)
{
	struct pollfd p = { .fd = fd, .events = POLLRDHUP };

	if (!socket_is_tcp(s) || info->tcpi_state == TCP_LISTEN)
		return false;
	if (info->tcpi_state != TCP_CLOSE)
		return o->tcp_close;
	return poll(&p, 1, 0) == 1 && (p.revents & POLLRDHUP);
}

static int collect(const struct file_look *l, struct ckpt_file *f)
{
	union address local = { 0 }, peer = { 0 };
	socklen_t local_len = sizeof(local), peer_len = sizeof(peer);
	struct inet *in = f->record;
	auto_fd fd = socket_borrow(l);
	struct socket_sort s;
	struct tcp_info info;
	int ret = fd < 0 ? fd : socket_sort(fd, &s);

	if (!ret)
		ret = tcp_info_of(fd, &s, &info);
	if (ret)
		return ret;
	*in = (struct inet){
		.family = (uint32_t)s.family,
		.type = (uint32_t)s.type,
		.protocol = (uint32_t)s.protocol,
		.listening = info.tcpi_state == TCP_LISTEN,
		.closed = is_closed(l->c->options, fd, &s, &info),
		.backlog = info.tcpi_state == TCP_LISTEN ? info.tcpi_sacked : 0,
		.borrowed = -1,
	};
	in->failed = socket_has_error(fd) && socket_can_fail(fd, &s, in->closed);
	if (in->closed)
		return socket_get_options(l->c, fd, &s, &in->options);
	if (getsockname(fd, &local.a, &local_len) == 0 && has_port(&local)) {
		in->local = arena_memdup(l->c->arena, &local, local_len);
		in->local_len = local_len;
	}
	if (getpeername(fd, &peer.a, &peer_len) == 0) {
		in->peer = arena_memdup(l->c->arena, &peer, peer_len);
		in->peer_len = peer_len;
	}
	if (s.protocol == IPPROTO_TCP && in->peer_len) {
		in->tcp = arena_alloc(l->c->arena, sizeof(*in->tcp));
		in->tcp->peer_ended = info.tcpi_state == TCP_CLOSE_WAIT;
		in->look = l;
	}
	if (s.protocol == IPPROTO_UDP)
		ret = multicast_save(l->c, fd, &in->groups);
	return ret ? ret : socket_get_options(l->c, fd, &s, &in->options);
}

static struct inet *connection_of(const struct ckpt *c, size_t i)
{
	struct inet *in = c->files[i]->record;

	return c->files[i]->kind == &file_inet && in->tcp ? in : NULL;
}

bool inet_is_connected(const struct ckpt_file *f)
{
	return f->kind == &file_inet && ((const struct inet *)f->record)->tcp;
}

/* Nothing goes out of it, or is let in, until it is let go. */
static int hold(struct inet *in)
{
	in->borrowed = socket_borrow(in->look);
	return in->borrowed < 0 ? in->borrowed : tcp_hold(in->borrowed);
}

/* An address of IPv4 in the form of IPv6 is the address of IPv4: ipv6(7). */
static union address plain(const void *addr, size_t len)
{
	union address a = { 0 }, v4 = { 0 };

	memcpy(&a, addr, len < sizeof(a) ? len : sizeof(a));
	if (a.a.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a.v6.sin6_addr))
		return a;
	v4.v4.sin_family = AF_INET;
	v4.v4.sin_port = a.v6.sin6_port;
	memcpy(&v4.v4.sin_addr, a.v6.sin6_addr.s6_addr + 12, sizeof(v4.v4.sin_addr));
	return v4;
}

static bool same_end(const void *a, size_t a_len, const void *b, size_t b_len)
{
	const union address x = plain(a, a_len), y = plain(b, b_len);

	if (x.a.sa_family == AF_INET)
		return same_host(&x, &y) && x.v4.sin_port == y.v4.sin_port;
	return same_host(&x, &y) && x.v6.sin6_port == y.v6.sin6_port;
}

static bool has_partner(const struct ckpt *c, const struct inet *in)
{
	const struct inet *other;

	for (size_t i = 0; i < c->n_files; i++) {
		other = connection_of(c, i);
		if (other && other != in &&
		    same_end(other->local, other->local_len, in->peer, in->peer_len) &&
		    same_end(other->peer, other->peer_len, in->local, in->local_len))
			return true;
	}
	return false;
}

/* One that was closed with something left to send goes on by itself, out of sight. */
int inet_check_ends(struct ckpt *c)
{
	const struct inet *in;

	for (size_t i = 0; i < c->n_files; i++) {
		in = connection_of(c, i);
		if (in && !in->tcp->peer_ended && !has_partner(c, in))
			return fail(EAGAIN,
				    "process %d: descriptor %u: the other end of its connection is "
				    "closed, and has something left to send",
				    c->files[i]->owner->pid, c->files[i]->owner_fd);
	}
	return 0;
}

/* All of them stand still before the first one is looked at: what is under way between two of them
 * is at one end, or at the other. */
static int save_connections(const struct ckpt_unit *u)
{
	struct ckpt *c = u->c;
	struct inet *in;
	struct err first;
	int ret = 0, one;

	for (size_t i = 0; i < c->n_files && !ret; i++) {
		in = connection_of(c, i);
		if (in)
			ret = hold(in);
	}
	for (size_t i = 0; i < c->n_files && !ret; i++) {
		in = connection_of(c, i);
		if (in)
			ret = tcp_save(c, c->files[i], in->borrowed, in->tcp);
	}
	first = *err_last();
	for (size_t i = 0; i < c->n_files; i++) {
		in = connection_of(c, i);
		one = in && in->borrowed >= 0 ? tcp_let_go(in->borrowed) : 0;
		if (in && in->borrowed >= 0)
			fd_close(fd_take(&in->borrowed));
		if (one && !ret)
			ret = one;
		else if (ret)
			err_set(&first);
	}
	return ret;
}

/* ---- restore */

static int check_record(const struct ckpt_file *f, const struct inet *in)
{
	size_t len =
		in->family == AF_INET ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6);

	if ((in->family == AF_INET || in->family == AF_INET6) &&
	    (in->protocol == IPPROTO_TCP || in->protocol == IPPROTO_UDP ||
	     in->protocol == IPPROTO_MPTCP) &&
	    (!in->local_len || in->local_len == len) && (!in->peer_len || in->peer_len == len) &&
	    (!in->tcp || (in->protocol == IPPROTO_TCP && in->local_len && in->peer_len)))
		return 0;
	return fail(EBADMSG, "the image: %s: files[%u].inet: its parts don't fit together",
		    IMAGE_CONTAINER, f->id);
}

/* Nothing comes any more, and nothing can be sent. The kernel says that it has no peer, and does
 * it. */
static int close_it(int fd)
{
	return shutdown(fd, SHUT_RDWR) < 0 && errno != ENOTCONN ? fail_errno("close a connection")
								: 0;
}

static int make(struct ckpt *c, struct ckpt_file *f)
{
	const struct inet *in = f->record;
	const struct socket_sort s = { (int)in->family, (int)in->type, (int)in->protocol };
	auto_fd fd = -1;
	int there, ret = check_record(f, in);

	if (!ret)
		ret = socket_make(c, &s, &there);
	if (ret)
		return ret;
	fd = socket_release(c, there);
	if (fd < 0)
		return fd;
	ret = socket_set_options(fd, &in->options);
	if (!ret && in->local_len && !in->tcp)
		ret = ports_bind(c, f, fd, in->local, in->local_len);
	if (!ret && in->listening && listen(fd, (int)in->backlog) < 0)
		ret = fail_errno("listen on a socket");
	if (!ret && in->failed)
		socket_fail(c, fd, &s);
	if (!ret && in->peer_len && !in->tcp && connect(fd, in->peer, (socklen_t)in->peer_len) < 0)
		ret = fail_errno("connect a socket");
	if (!ret && !in->tcp)
		ret = socket_set_options(fd, &in->options);
	if (!ret)
		ret = multicast_join(fd, &in->groups);
	if (!ret && (in->closed || (in->tcp && c->options->tcp_close)))
		ret = close_it(fd);
	return ret ? ret : fd_take(&fd);
}

static int allow_sharing(int fd, int value)
{
	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)) < 0
		       ? fail_errno("set SO_REUSEADDR of a connection")
		       : 0;
}

/* The other end was closed: one is made for it, that is there when this end goes on and is then
 * closed again. */
static int make_stand_in(struct ckpt *c, struct inet *in)
{
	const struct socket_sort s = { (int)in->family, (int)in->type, (int)in->protocol };
	struct tcp_state state = tcp_mirrored(in->tcp);
	struct ckpt_file *f = arena_alloc(c->arena, sizeof(*f));
	struct inet *other = arena_alloc(c->arena, sizeof(*other));
	int there, ret = socket_make(c, &s, &there);

	if (ret)
		return ret;
	f->fd = socket_release(c, there);
	if (f->fd < 0)
		return f->fd;
	f->record = other;
	other->tcp = arena_memdup(c->arena, &state, sizeof(state));
	in->stand_in = f;
	return tcp_connect(f->fd, other->tcp, in->peer, in->local, (socklen_t)in->local_len);
}

static int begin_one(struct ckpt *c, struct ckpt_file *f)
{
	struct inet *in = f->record;
	int ret = allow_sharing(f->fd, 1);

	in->done = true;
	if (!ret)
		ret = tcp_connect(f->fd, in->tcp, in->local, in->peer, (socklen_t)in->local_len);
	return ret || !in->tcp->peer_ended || has_partner(c, in) ? ret : make_stand_in(c, in);
}

static int resume_one(struct ckpt *c, struct ckpt_file *f)
{
	const struct inet *in = f->record;
	int ret = tcp_resume(c, f, in->tcp);

	if (!ret)
		ret = allow_sharing(f->fd, 0);
	return ret ? ret : socket_set_options(f->fd, &in->options);
}

static int end_one(struct ckpt *c, struct ckpt_file *f)
{
	struct inet *in = f->record;
	int ret;

	if (in->tcp->ended && shutdown(f->fd, SHUT_WR) < 0)
		return fail_errno("end a connection on one side");
	if (!in->stand_in)
		return 0;
	ret = tcp_resume(c, in->stand_in, ((struct inet *)in->stand_in->record)->tcp);
	fd_close(fd_take(&in->stand_in->fd));
	return ret;
}

/* Connections when all listeners have their addresses. The first that is asked does it for all:
 * both ends stand before one of them goes on, and go on before one of them ends. */
static int link_all(struct ckpt *c, struct ckpt_file *f)
{
	static int (*const steps[])(struct ckpt * c,
				    struct ckpt_file * f) = { begin_one, resume_one, end_one };
	const struct inet *in = f->record;
	int ret = 0;

	if (!in->tcp || in->done || c->options->tcp_close)
		return 0;
	for (size_t s = 0; s < sizeof(steps) / sizeof(steps[0]); s++)
		for (size_t i = 0; i < c->n_files && !ret; i++)
			if (connection_of(c, i))
				ret = steps[s](c, c->files[i]);
	return ret;
}

const struct file_kind file_inet = {
	.name = "inet",
	.table = &table,
	.owns = owns,
	.check = check,
	.collect = collect,
	.make = make,
	.link = link_all,
	.keeps_flags = true,
};

/* After all files are known. */
const struct ckpt_kind kind_inet = {
	.name = "connections",
	.scope = KIND_CONTAINER,
	.save = save_connections,
};
