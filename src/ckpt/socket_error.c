/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/socket_error.h"

#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ckpt/sockets.h"
#include "ckpt/tcp.h"

union loopback {
	struct sockaddr a;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

bool socket_has_error(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLERR);
}

static bool is_set(int fd, int level, int name)
{
	socklen_t len = sizeof(int);
	int value = 0;

	return getsockopt(fd, level, name, &value, &len) == 0 && value;
}

bool socket_can_fail(int fd, const struct socket_sort *s, bool ended)
{
	if (s->protocol == IPPROTO_TCP)
		return ended;
	return s->protocol == IPPROTO_UDP && !is_set(fd, IPPROTO_IP, IP_RECVERR) &&
	       !is_set(fd, IPPROTO_IPV6, IPV6_RECVERR) && !is_set(fd, SOL_SOCKET, SO_TIMESTAMPING);
}

static socklen_t loopback(int family, union loopback *out)
{
	*out = (union loopback){ .a.sa_family = (sa_family_t)family };
	if (family == AF_INET6)
		out->v6.sin6_addr = in6addr_loopback;
	else
		out->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return family == AF_INET6 ? sizeof(out->v6) : sizeof(out->v4);
}

/* Under repair neither call sends anything. */
static void abort_connection(int fd, int family)
{
	const struct sockaddr nobody = { .sa_family = AF_UNSPEC };
	union loopback to;
	socklen_t len = loopback(family, &to);

	to.v4.sin_port = htons(1); /* any, and at the same place in both */
	if (tcp_hold(fd) == 0 && connect(fd, &to.a, len) == 0)
		connect(fd, &nobody, sizeof(nobody));
	tcp_let_go(fd);
}

/* A port that was just found free in that network has nobody who listens. */
static void send_to_nobody(struct ckpt *c, int fd, const struct socket_sort *s)
{
	union loopback to;
	socklen_t len = loopback(s->family, &to);
	auto_fd other = -1;
	int there;

	if (socket_make(c, s, &there))
		return;
	other = socket_release(c, there);
	if (other < 0 || bind(other, &to.a, len) < 0 || getsockname(other, &to.a, &len) < 0)
		return;
	fd_close(fd_take(&other));
	if (connect(fd, &to.a, len) == 0)
		send(fd, "", 0, MSG_DONTWAIT | MSG_NOSIGNAL);
}

void socket_fail(struct ckpt *c, int fd, const struct socket_sort *s)
{
	struct err kept = *err_last();

	if (s->protocol == IPPROTO_TCP)
		abort_connection(fd, s->family);
	else if (s->protocol == IPPROTO_UDP)
		send_to_nobody(c, fd, s);
	err_set(&kept);
}
