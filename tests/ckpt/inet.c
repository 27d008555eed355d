/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets of the internet, on the loopback of the container's own network. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "cycle.h"

#define PORT 7331
#define PATIENCE_MS 60000

static struct cycle_gate gate;

union address {
	struct sockaddr a;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

static socklen_t loopback(union address *a, int family, uint16_t port)
{
	memset(a, 0, sizeof(*a));
	if (family == AF_INET) {
		a->v4.sin_family = AF_INET;
		a->v4.sin_port = htons(port);
		a->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		return sizeof(a->v4);
	}
	a->v6.sin6_family = AF_INET6;
	a->v6.sin6_port = htons(port);
	a->v6.sin6_addr = in6addr_loopback;
	return sizeof(a->v6);
}

static bool has_loopback(int family)
{
	union address a;
	socklen_t len = loopback(&a, family, 0);
	int fd = socket(family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool ok = fd >= 0 && bind(fd, &a.a, len) == 0;

	if (fd >= 0)
		close(fd);
	return ok;
}

static int bound(int family, int type, uint16_t port)
{
	union address a;
	socklen_t len = loopback(&a, family, port);
	int fd = (int)must(socket(family, type | SOCK_CLOEXEC, 0));

	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)));
	if (family == AF_INET6)
		must(setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 1 }, sizeof(int)));
	must(bind(fd, &a.a, len));
	return fd;
}

static int dialled(int family, int type, uint16_t port)
{
	union address a;
	socklen_t len = loopback(&a, family, port);
	int fd = (int)must(socket(family, type | SOCK_CLOEXEC, 0));

	must(connect(fd, &a.a, len));
	return fd;
}

static void expect(int fd, const char *want, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[256] = "";
	ssize_t n;

	poll(&p, 1, PATIENCE_MS);
	n = recv(fd, buf, sizeof(buf) - 1, MSG_DONTWAIT);
	check(n == (ssize_t)strlen(want) && memcmp(buf, want, strlen(want)) == 0,
	      "%s: \"%.*s\" (%ld), wanted \"%s\", errno %d", what, n > 0 ? (int)n : 0, buf, (long)n,
	      want, n < 0 ? errno : 0);
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	must(getsockopt(fd, level, name, &value, &len));
	return value;
}

static void need_loopback(void)
{
	if (!has_loopback(AF_INET))
		cycle_skip("the container has no loopback address");
}

static void tcp_listeners(void)
{
	static const int families[] = { AF_INET, AF_INET6 };
	int fd[2] = { -1, -1 }, idle, client, server;
	struct tcp_info info;
	socklen_t len = sizeof(info);

	need_loopback();
	for (int i = 0; i < 2; i++) {
		if (i && !has_loopback(AF_INET6))
			continue;
		fd[i] = bound(families[i], SOCK_STREAM, PORT);
		must(setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)));
		must(setsockopt(fd[i], SOL_SOCKET, SO_KEEPALIVE, &(int){ 1 }, sizeof(int)));
		must(setsockopt(fd[i], IPPROTO_TCP, TCP_KEEPIDLE, &(int){ 77 }, sizeof(int)));
		must(setsockopt(fd[i], IPPROTO_TCP, TCP_DEFER_ACCEPT, &(int){ 0 }, sizeof(int)));
		must(listen(fd[i], 17));
	}
	idle = (int)must(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
	cycle();
	for (int i = 0; i < 2 && fd[i] >= 0; i++) {
		check(option(fd[i], SOL_SOCKET, SO_ACCEPTCONN) == 1, "it does not listen");
		check(option(fd[i], SOL_SOCKET, SO_REUSEADDR) == 1 &&
			      option(fd[i], SOL_SOCKET, SO_KEEPALIVE) == 1 &&
			      option(fd[i], IPPROTO_TCP, TCP_NODELAY) == 1 &&
			      option(fd[i], IPPROTO_TCP, TCP_KEEPIDLE) == 77,
		      "options");
		must(getsockopt(fd[i], IPPROTO_TCP, TCP_INFO, &info, &len));
		check(info.tcpi_sacked == 17, "backlog %u", info.tcpi_sacked);
		client = dialled(families[i], SOCK_STREAM, PORT);
		server = (int)must(accept(fd[i], NULL, NULL));
		must(write(client, "hello", 5));
		expect(server, "hello", "a new connection");
		close(client);
		close(server);
	}
	check(fcntl(idle, F_GETFL) & O_NONBLOCK, "O_NONBLOCK is gone");
	check(option(idle, SOL_SOCKET, SO_ACCEPTCONN) == 0, "an idle one listens");
}

static void udp(void)
{
	int server, client, idle, fd6 = -1;
	union address a;
	socklen_t len = sizeof(a);

	need_loopback();
	server = bound(AF_INET, SOCK_DGRAM, PORT);
	client = dialled(AF_INET, SOCK_DGRAM, PORT);
	idle = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	must(setsockopt(idle, SOL_SOCKET, SO_BROADCAST, &(int){ 1 }, sizeof(int)));
	if (has_loopback(AF_INET6))
		fd6 = bound(AF_INET6, SOCK_DGRAM, PORT + 1);
	cycle();
	must(write(client, "hello", 5));
	expect(server, "hello", "a datagram");
	must(getpeername(client, &a.a, &len));
	check(a.v4.sin_port == htons(PORT), "the peer's port is %d", ntohs(a.v4.sin_port));
	check(option(idle, SOL_SOCKET, SO_BROADCAST) == 1, "SO_BROADCAST is gone");
	if (fd6 >= 0) {
		client = dialled(AF_INET6, SOCK_DGRAM, PORT + 1);
		must(write(client, "six", 3));
		expect(fd6, "six", "a datagram, IPv6");
	}
}

/* Both ends in the container; data that is not read, and data that is not yet taken off. */
static void tcp_established(void)
{
	static char block[400000], got[400000];
	int listener, client, server;
	ssize_t sent, n = 0;

	need_loopback();
	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 13 + i / 256);
	listener = bound(AF_INET, SOCK_STREAM, PORT);
	must(listen(listener, 5));
	client = dialled(AF_INET, SOCK_STREAM, PORT);
	server = (int)must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	must(setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &(int){ 1 }, sizeof(int)));
	must(write(server, "greeting", 8));
	sent = must(send(client, block, sizeof(block), MSG_DONTWAIT));
	cycle();
	expect(client, "greeting", "the client");
	while (n < sent) {
		ssize_t r = read(server, got + n, (size_t)(sent - n));

		if (!check(r > 0, "%ld of %ld bytes, errno %d", (long)n, (long)sent, errno))
			break;
		n += r;
	}
	check(memcmp(got, block, (size_t)n) == 0, "%ld bytes are others", (long)n);
	must(write(client, "on", 2));
	expect(server, "on", "the server");
	must(write(server, "back", 4));
	expect(client, "back", "the client");
	check(option(client, IPPROTO_TCP, TCP_NODELAY) == 1, "TCP_NODELAY is gone");
	close(client);
	expect(server, "", "the end");
}

/* A client of IPv4 at a server of both: its end has the address in the form of IPv6. */
static void tcp_mapped(void)
{
	union address a = { 0 };
	int listener, client, server;

	need_loopback();
	if (!has_loopback(AF_INET6))
		cycle_skip("the container has no loopback address of IPv6");
	a.v6.sin6_family = AF_INET6;
	a.v6.sin6_port = htons(PORT);
	listener = (int)must(socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0));
	must(setsockopt(listener, IPPROTO_IPV6, IPV6_V6ONLY, &(int){ 0 }, sizeof(int)));
	must(bind(listener, &a.a, sizeof(a.v6)));
	must(listen(listener, 5));
	client = dialled(AF_INET, SOCK_STREAM, PORT);
	server = (int)must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	must(write(server, "greeting", 8));
	must(write(client, "question", 8));
	cycle();
	expect(client, "greeting", "the client");
	expect(server, "question", "the server");
	must(write(server, "answer", 6));
	expect(client, "answer", "the client");
	client = dialled(AF_INET6, SOCK_STREAM, PORT);
	server = (int)must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	must(write(client, "six", 3));
	expect(server, "six", "a new connection, IPv6");
}

/* One direction has ended, or the other end is closed, each with something left to be read. */
static void tcp_half(void)
{
	int listener, halved, server, left, other, right;

	need_loopback();
	listener = bound(AF_INET, SOCK_STREAM, PORT);
	must(listen(listener, 5));
	halved = dialled(AF_INET, SOCK_STREAM, PORT);
	server = (int)must(accept(listener, NULL, NULL));
	must(write(halved, "request", 7));
	must(shutdown(halved, SHUT_WR));
	/* who has called is left, and who was called */
	left = dialled(AF_INET, SOCK_STREAM, PORT);
	other = (int)must(accept(listener, NULL, NULL));
	must(write(other, "answer", 6));
	close(other);
	other = dialled(AF_INET, SOCK_STREAM, PORT);
	right = (int)must(accept(listener, NULL, NULL));
	must(write(other, "question", 8));
	close(other);
	cycle();
	expect(server, "request", "before the end");
	expect(server, "", "the end");
	must(write(server, "answer", 6));
	expect(halved, "answer", "the other direction");
	check(send(halved, "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "it can be written to");
	close(server);
	expect(halved, "", "the end of the other direction");
	expect(left, "answer", "before the end");
	expect(left, "", "the end of one that was closed");
	expect(right, "question", "before the end");
	expect(right, "", "the end of one that was closed");
}

/* New connections without an end. */
static void dial(void *ctx)
{
	int fd;

	(void)ctx;
	cycle_pass(gate);
	for (int n = 0; n < 20 || !cycle_over(); n++) {
		fd = dialled(AF_INET, SOCK_STREAM, PORT);
		must(write(fd, "hello", 5));
		expect(fd, "goodbye", "the server's word");
		expect(fd, "", "the end");
		close(fd);
	}
}

/* Some of them wait to be accepted at any moment, others are half closed. */
static void tcp_anew(void)
{
	struct pollfd p = { .events = POLLIN };
	pid_t child[4];
	int fd, kept[2];
	char text[8];

	need_loopback();
	must(pipe(kept)); /* has a file of the image, whatever comes after it */
	must(write(kept[1], "kept", 4));
	gate = cycle_gate();
	p.fd = bound(AF_INET, SOCK_STREAM, PORT);
	must(listen(p.fd, 5));
	for (size_t i = 0; i < 4; i++)
		child[i] = cycle_child(dial, NULL);
	cycle_await(gate, 4);
	if (fork() == 0) { /* who answers until the first process ends */
		while (poll(&p, 1, PATIENCE_MS) == 1) {
			fd = (int)must(accept(p.fd, NULL, NULL));
			expect(fd, "hello", "the client's word");
			must(write(fd, "goodbye", 7));
			close(fd);
		}
		_exit(0);
	}
	cycle();
	for (size_t i = 0; i < 4; i++)
		cycle_join(child[i]);
	check(read(kept[0], text, sizeof(text)) == 4, "what was in a pipe");
}

/* What it waits for happens while it is away: it is told so, and not that its time is over. */
static void await_end(void *ctx)
{
	struct pollfd p = { .fd = *(int *)ctx, .events = POLLIN };
	int64_t began;
	int n;

	cycle_pass(gate);
	began = cycle_now(CLOCK_REALTIME);
	n = poll(&p, 1, PATIENCE_MS);
	check(n == 1 && (p.revents & POLLHUP), "poll answers %d, events 0x%x, after %lld ms", n,
	      p.revents, (long long)(cycle_now(CLOCK_REALTIME) - began));
}

/* With --tcp-close: the connection is over, the listener stays. */
static void tcp_closed(void)
{
	int listener, client, server;
	pid_t child;
	char c;

	need_loopback();
	listener = bound(AF_INET, SOCK_STREAM, PORT);
	must(listen(listener, 5));
	client = dialled(AF_INET, SOCK_STREAM, PORT);
	server = (int)must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	gate = cycle_gate();
	child = cycle_child(await_end, &client);
	cycle_await(gate, 1);
	cycle_until_asleep(child, child);
	cycle();
	cycle_join(child);
	for (int i = 0; i < 2; i++) {
		check(recv(i ? server : client, &c, 1, MSG_DONTWAIT) == 0, "errno %d", errno);
		check(send(i ? server : client, &c, 1, MSG_NOSIGNAL) < 0 && errno == EPIPE,
		      "it can be written to, errno %d", errno);
	}
	client = dialled(AF_INET, SOCK_STREAM, PORT);
	server = (int)must(accept(listener, NULL, NULL));
	must(write(client, "new", 3));
	expect(server, "new", "a new connection");
}

/* Nobody has asked yet why the one was reset, or that the other reaches nobody. */
static void failed(void)
{
	struct pollfd p[2] = { { .events = POLLIN }, { .events = POLLIN } };
	int listener, server;
	char c;

	need_loopback();
	p[0].fd = dialled(AF_INET, SOCK_DGRAM, PORT + 1);
	must(write(p[0].fd, "anybody?", 8));
	listener = bound(AF_INET, SOCK_STREAM, PORT);
	must(listen(listener, 5));
	p[1].fd = dialled(AF_INET, SOCK_STREAM, PORT);
	server = (int)must(accept4(listener, NULL, NULL, SOCK_CLOEXEC));
	must(setsockopt(server, SOL_SOCKET, SO_LINGER, &(struct linger){ 1, 0 },
			sizeof(struct linger)));
	close(server);
	close(listener);
	must(poll(&p[1], 1, PATIENCE_MS));
	cycle();
	for (int i = 0; i < 2; i++) {
		check(poll(&p[i], 1, 0) == 1 && (p[i].revents & POLLERR), "%d: events 0x%x", i,
		      p[i].revents);
		check(option(p[i].fd, SOL_SOCKET, SO_ERROR) != 0, "%d: no error", i);
	}
	check(recv(p[1].fd, &c, 1, MSG_DONTWAIT) == 0, "errno %d", errno);
	server = bound(AF_INET, SOCK_DGRAM, PORT + 1);
	must(write(p[0].fd, "you", 3));
	expect(server, "you", "a datagram to its peer");
}

/* In two groups, one of them for a single sender; and options that hardly anybody sets. */
static void multicast(void)
{
	struct ip_mreqn group = { .imr_ifindex = (int)if_nametoindex("lo") };
	struct group_source_req from = { .gsr_interface = if_nametoindex("lo") };
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	struct sockaddr_in *in = (struct sockaddr_in *)&from.gsr_group;
	int fd[2], sender, none;

	need_loopback();
	fd[0] = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	fd[1] = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	none = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	for (int i = 0; i < 2; i++) {
		must(setsockopt(fd[i], SOL_SOCKET, SO_REUSEADDR, &(int){ 1 }, sizeof(int)));
		must(setsockopt(fd[i], IPPROTO_IP, IP_MULTICAST_ALL, &(int){ 0 }, sizeof(int)));
		must(bind(fd[i], (struct sockaddr *)&to, sizeof(to)));
	}
	must(setsockopt(none, IPPROTO_IP, IP_MINTTL, &(int){ 7 }, sizeof(int)));
	must(setsockopt(none, SOL_SOCKET, SO_MAX_PACING_RATE, &(int){ 123456 }, sizeof(int)));
	group.imr_multiaddr.s_addr = inet_addr("239.1.2.3");
	must(setsockopt(fd[0], IPPROTO_IP, IP_ADD_MEMBERSHIP, &group, sizeof(group)));
	*in = (struct sockaddr_in){ .sin_family = AF_INET };
	in->sin_addr.s_addr = inet_addr("239.3.2.1");
	in = (struct sockaddr_in *)&from.gsr_source;
	*in = (struct sockaddr_in){ .sin_family = AF_INET };
	in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	must(setsockopt(fd[1], IPPROTO_IP, MCAST_JOIN_SOURCE_GROUP, &from, sizeof(from)));
	cycle();
	sender = bound(AF_INET, SOCK_DGRAM, 0);
	must(setsockopt(sender, IPPROTO_IP, IP_MULTICAST_IF, &group, sizeof(group)));
	to.sin_addr.s_addr = inet_addr("239.1.2.3");
	must(sendto(sender, "first", 5, 0, (struct sockaddr *)&to, sizeof(to)));
	to.sin_addr.s_addr = inet_addr("239.3.2.1");
	must(sendto(sender, "second", 6, 0, (struct sockaddr *)&to, sizeof(to)));
	expect(fd[0], "first", "a group");
	expect(fd[1], "second", "a group with one sender");
	check(recv(fd[0], &(char){ 0 }, 1, MSG_DONTWAIT) < 0, "what was sent to another group");
	check(setsockopt(fd[1], IPPROTO_IP, MCAST_LEAVE_SOURCE_GROUP, &from, sizeof(from)) == 0,
	      "the sender of a group: %s", strerror(errno));
	check(option(none, IPPROTO_IP, IP_MINTTL) == 7, "IP_MINTTL %d",
	      option(none, IPPROTO_IP, IP_MINTTL));
	check(option(none, SOL_SOCKET, SO_MAX_PACING_RATE) == 123456, "SO_MAX_PACING_RATE");
}

/* The loopback as it was made in here: with an address more, or not up at all. */
static int lo_flags(int set, int clear)
{
	struct ifreq req = { .ifr_name = "lo" };
	int fd = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	must(ioctl(fd, SIOCGIFFLAGS, &req));
	if (set || clear) {
		req.ifr_flags = (short)((req.ifr_flags | set) & ~clear);
		if (ioctl(fd, SIOCSIFFLAGS, &req) < 0)
			cycle_skip("it takes CAP_NET_ADMIN");
	}
	close(fd);
	return req.ifr_flags;
}

static void loopback_address(void)
{
	struct ifreq req = { .ifr_name = "lo:1" };
	struct sockaddr_in *in = (struct sockaddr_in *)&req.ifr_addr;
	struct sockaddr_in to = { .sin_family = AF_INET, .sin_port = htons(PORT) };
	int fd = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));

	lo_flags(IFF_UP, 0);
	*in = (struct sockaddr_in){ .sin_family = AF_INET };
	in->sin_addr.s_addr = to.sin_addr.s_addr = inet_addr("10.9.8.7");
	if (ioctl(fd, SIOCSIFADDR, &req) < 0)
		cycle_skip("it takes CAP_NET_ADMIN");
	must(bind(fd, (struct sockaddr *)&to, sizeof(to)));
	cycle();
	close(fd);
	fd = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
	check(bind(fd, (struct sockaddr *)&to, sizeof(to)) == 0, "the address is gone: %s",
	      strerror(errno));
}

static void loopback_down(void)
{
	lo_flags(0, IFF_UP);
	cycle();
	check(!(lo_flags(0, 0) & IFF_UP), "it is up");
}

const struct cycle_case inet_cases[] = {
	{ "tcp-listeners", tcp_listeners }, { "udp", udp },
	{ "multicast", multicast },         { "loopback-address", loopback_address },
	{ "loopback-down", loopback_down }, { "tcp-established", tcp_established },
	{ "tcp-mapped", tcp_mapped },       { "tcp-closed", tcp_closed },
	{ "failed-sockets", failed },       { "tcp-anew", tcp_anew },
	{ "tcp-half", tcp_half },           { NULL, NULL },
};
