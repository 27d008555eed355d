/* SPDX-License-Identifier: Apache-2.0 */
/* connect(2), accept(2), and the names of both ends. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/follow.h"
#include "super/handler.h"
#include "super/port.h"

#define ACCEPT_PATIENCE_US 1000

static bool none_moved(const struct port_map *m)
{
	return !m->moved[0] && !m->moved[1];
}

/*
 * Within one host a connection is there at once, but where the other side's queue is full it is
 * not. So it is only begun here; a thread that is to wait makes the call itself then, which waits
 * for the connection that is under way, whatever address it names (net/ipv4/af_inet.c,
 * SS_CONNECTING).
 */
static void begin_connect(struct notif *n, int fd, const void *addr, socklen_t len)
{
	int flags = fcntl(fd, F_GETFL), ret;

	if (flags < 0)
		return;
	if (!(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags | O_NONBLOCK);
	ret = connect(fd, addr, len) < 0 ? -errno : 0;
	if (!(flags & O_NONBLOCK))
		fcntl(fd, F_SETFL, flags);
	if (ret != -EINPROGRESS || flags & O_NONBLOCK)
		notif_answer(n, ret);
}

/* The port where the container's own socket is that is meant, or 0: it isn't one. */
static uint16_t own_target(const struct super_state *s, uint8_t proto, const void *addr, size_t len)
{
	enum super_use use = proto == IPPROTO_TCP ? SUPER_CONNECT_TCP : SUPER_CONNECT_UDP;
	struct port_entry *e;
	struct port_addr at;

	if (!port_addr_read(addr, len, false, &at))
		return 0;
	e = port_find(s->ports, proto, &at, false);
	return e && s->config->may(s->config->may_arg, use, at.port) ? e->real : 0;
}

uint16_t port_target(const struct super_state *s, uint8_t proto, void *addr, size_t len)
{
	uint16_t port = own_target(s, proto, addr, len);

	if (port)
		port_addr_set(addr, port);
	return port;
}

static void note_client(struct port_map *m, uint64_t cookie)
{
	struct port_entry *e = port_map_socket(m, cookie);

	if (e && !e->client)
		port_map_connected(m, e);
}

void port_on_connect(struct super_state *s, struct notif *n)
{
	struct sockaddr_storage addr;
	socklen_t len = (socklen_t)n->args[2];
	struct port_socket sock;

	if (none_moved(&s->ports->map) || (int)len < 0 || len > sizeof(addr) ||
	    notif_read(n, n->args[1], &addr, len) || port_take(s->ports, n, &sock))
		return;
	note_client(&s->ports->map, sock.cookie);
	if (port_target(s, sock.proto, &addr, len) && notif_valid(n)) {
		if (sock.proto == IPPROTO_TCP)
			begin_connect(n, sock.fd, &addr, len);
		else
			notif_answer(n, connect(sock.fd, (struct sockaddr *)&addr, len) < 0 ? -errno
											    : 0);
	}
	fd_close(sock.fd);
}

/* A socket that the map knows by itself; one that was accepted by where it is. */
static void show_own(struct super_state *s, const struct port_socket *sock, void *addr, size_t len)
{
	struct port_entry *e = port_map_socket(&s->ports->map, sock->cookie);
	struct port_addr at;

	if (!e)
		port_show(s->ports, sock->proto, addr, len);
	else if (port_addr_read(addr, len, false, &at) && at.port == e->real)
		port_addr_set(addr, e->at.port);
}

static void on_name(struct super_state *s, struct notif *n, bool peer)
{
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	struct port_socket sock;
	int ret;

	if (none_moved(&s->ports->map) || port_take(s->ports, n, &sock))
		return;
	ret = peer ? getpeername(sock.fd, (struct sockaddr *)&addr, &len)
		   : getsockname(sock.fd, (struct sockaddr *)&addr, &len);
	ret = ret < 0 ? -errno : 0;
	if (!ret && peer)
		port_show(s->ports, sock.proto, &addr, len);
	else if (!ret)
		show_own(s, &sock, &addr, len);
	fd_close(sock.fd);
	if (!notif_valid(n))
		return;
	if (!ret)
		ret = notif_put_addr(n, n->args[1], n->args[2], &addr, len);
	notif_answer(n, ret);
}

void port_on_getsockname(struct super_state *s, struct notif *n)
{
	on_name(s, n, false);
}

void port_on_getpeername(struct super_state *s, struct notif *n)
{
	on_name(s, n, true);
}

/* A connection that is waited for can be taken by another thread first: then a timer ends the
 * call. */
static int accept_ready(int fd, struct sockaddr_storage *addr, socklen_t *len, int flags)
{
	const struct itimerval soon = { { 0, ACCEPT_PATIENCE_US }, { 0, ACCEPT_PATIENCE_US } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	struct pollfd p = { .fd = fd, .events = POLLIN };
	int conn;

	if (poll(&p, 1, 0) != 1)
		return -EAGAIN;
	setitimer(ITIMER_REAL, &soon, NULL);
	conn = accept4(fd, (struct sockaddr *)addr, len, flags);
	conn = conn < 0 ? -errno : conn;
	setitimer(ITIMER_REAL, &never, NULL);
	return conn;
}

static void show_accepted(struct super_state *s, const struct follow_thread *t)
{
	port_show_followed(s->ports, IPPROTO_TCP, t, 1);
}

static bool has_to_wait(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK);
}

/*
 * Only of interest where a socket of the container that was bound elsewhere connects: else the
 * kernel goes on by itself. Who has to wait may be come to by such a one that is yet to be made:
 * waiting here would keep signals from the thread, so it is followed.
 */
static void accept_for(struct super_state *s, struct notif *n, int flags, uint8_t mark)
{
	struct follow_change waiting = { .mark = mark, .done = show_accepted };
	struct sockaddr_storage addr;
	socklen_t len = sizeof(addr);
	struct port_socket sock;
	auto_fd conn = -1;
	int ret;

	if (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK) || port_read_room(n, 1, &waiting) ||
	    port_take(s->ports, n, &sock))
		return;
	if (sock.proto == IPPROTO_TCP && notif_valid(n)) {
		if (s->ports->map.clients)
			conn = accept_ready(sock.fd, &addr, &len,
					    SOCK_CLOEXEC | (flags & SOCK_NONBLOCK));
		if (conn >= 0) {
			port_show(s->ports, sock.proto, &addr, len);
			ret = notif_put_addr(n, n->args[1], n->args[2], &addr, len);
			if (ret)
				notif_answer(n, ret);
			else
				notif_answer_fd(n, conn, flags & SOCK_CLOEXEC);
		} else if (has_to_wait(sock.fd)) {
			follow_change(s->follow, n, &waiting);
		}
	}
	fd_close(sock.fd);
}

void port_on_accept(struct super_state *s, struct notif *n)
{
	accept_for(s, n, 0, 0);
}

void port_on_accept4(struct super_state *s, struct notif *n)
{
	accept_for(s, n, (int)n->args[3], 3);
}
