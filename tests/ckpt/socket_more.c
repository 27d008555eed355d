/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets: what is seldom set, and errors that nobody has been told of yet. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cycle.h"

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define PORT 7441
#define NOBODY 7442

static struct sockaddr_in at(uint16_t port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons(port) };

	a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return a;
}

static int number(int fd, int level, int name)
{
	int value = -1;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

/* As Go's listeners are. */
static int mptcp_listener(void)
{
	const struct sockaddr_in a = at(PORT);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP), one = 1;

	if (fd < 0)
		cycle_skip("the kernel has no MPTCP");
	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	must(setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one)));
	must(bind(fd, (const struct sockaddr *)&a, sizeof(a)));
	must(listen(fd, 100));
	return fd;
}

static int mptcp_client(int protocol)
{
	const struct sockaddr_in a = at(PORT);
	int fd = (int)must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, protocol));

	must(connect(fd, (const struct sockaddr *)&a, sizeof(a)));
	return fd;
}

static void mptcp(void)
{
	int fd = mptcp_listener();

	cycle();
	check(number(fd, SOL_SOCKET, SO_PROTOCOL) == IPPROTO_MPTCP, "protocol %d",
	      number(fd, SOL_SOCKET, SO_PROTOCOL));
	check(number(fd, SOL_SOCKET, SO_ACCEPTCONN) == 1, "it does not listen");
	check(number(fd, IPPROTO_TCP, TCP_NODELAY) == 1, "TCP_NODELAY is gone");
	mptcp_client(IPPROTO_MPTCP);
	check(accept(fd, NULL, NULL) >= 0, "%s", strerror(errno));
}

/* Whoever does not speak it gets a connection of TCP. */
static void mptcp_plain(void)
{
	int listener = mptcp_listener(), client = mptcp_client(0);
	int server = (int)must(accept(listener, NULL, NULL));
	char buf[8] = "";

	must(send(client, "text", 4, 0));
	cycle();
	check(recv(server, buf, sizeof(buf), 0) == 4 && memcmp(buf, "text", 4) == 0, "\"%s\": %s",
	      buf, strerror(errno));
	check(send(server, "more", 4, 0) == 4 && recv(client, buf, sizeof(buf), 0) == 4, "%s",
	      strerror(errno));
}

static void mptcp_connected(void)
{
	int listener = mptcp_listener(), client = mptcp_client(IPPROTO_MPTCP);
	int server = (int)must(accept(listener, NULL, NULL));
	char c = 0;

	cycle();
	check(send(client, "x", 1, 0) == 1 && recv(server, &c, 1, 0) == 1 && c == 'x', "%s",
	      strerror(errno));
}

static void options(void)
{
	const struct sockaddr_in a = at(PORT);
	int fd = (int)must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	int one = 1, mss = 1200, cpu = 0, clamp = 5000, was[3], is[3];
	unsigned char opts[4] = { 1, 1, 1, 0 }, opts_is[40];
	socklen_t len = sizeof(opts_is);

	must(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)));
	must(setsockopt(fd, IPPROTO_TCP, TCP_MAXSEG, &mss, sizeof(mss)));
	must(setsockopt(fd, SOL_SOCKET, SO_INCOMING_CPU, &cpu, sizeof(cpu)));
	must(setsockopt(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP, &clamp, sizeof(clamp)));
	must(setsockopt(fd, IPPROTO_IP, IP_OPTIONS, opts, sizeof(opts)));
	must(bind(fd, (const struct sockaddr *)&a, sizeof(a)));
	must(listen(fd, 5));
	for (int i = 0; i < 2; i++) {
		int *to = i ? is : was;

		if (i)
			cycle();
		to[0] = number(fd, IPPROTO_TCP, TCP_MAXSEG);
		to[1] = number(fd, SOL_SOCKET, SO_INCOMING_CPU);
		to[2] = number(fd, IPPROTO_TCP, TCP_WINDOW_CLAMP);
	}
	for (int i = 0; i < 3; i++)
		check(is[i] == was[i], "option %d: %d, was %d", i, is[i], was[i]);
	must(getsockopt(fd, IPPROTO_IP, IP_OPTIONS, opts_is, &len));
	check(len == sizeof(opts) && memcmp(opts, opts_is, len) == 0, "IP_OPTIONS: %u bytes", len);
}

/* More than net.core.rmem_max and wmem_max allow. */
static void large_buffers(void)
{
	int pair[2], size = 8 << 20, was[2];

	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, pair));
	if (setsockopt(pair[0], SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) < 0 ||
	    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size)) < 0)
		cycle_skip("it takes CAP_NET_ADMIN");
	was[0] = number(pair[0], SOL_SOCKET, SO_RCVBUF);
	was[1] = number(pair[1], SOL_SOCKET, SO_SNDBUF);
	cycle();
	check(number(pair[0], SOL_SOCKET, SO_RCVBUF) == was[0], "%d bytes to receive, were %d",
	      number(pair[0], SOL_SOCKET, SO_RCVBUF), was[0]);
	check(number(pair[1], SOL_SOCKET, SO_SNDBUF) == was[1], "%d bytes to send, were %d",
	      number(pair[1], SOL_SOCKET, SO_SNDBUF), was[1]);
}

/* As a listener that whoever starts the container hands to it. */
static void make_elsewhere(void *ctx)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec iov = { "", 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	struct cmsghdr *h = CMSG_FIRSTHDR(&m);
	int fd;

	if (unshare(CLONE_NEWNET) < 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) < 0)
		_exit(77);
	fd = (int)must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
	must(listen(fd, 5));
	h->cmsg_level = SOL_SOCKET;
	h->cmsg_type = SCM_RIGHTS;
	h->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(h), &fd, sizeof(fd));
	must(sendmsg(*(int *)ctx, &m, 0));
}

static void tcp_elsewhere(void)
{
	char control[CMSG_SPACE(sizeof(int))], c;
	struct iovec iov = { &c, 1 };
	struct msghdr m = { .msg_iov = &iov,
			    .msg_iovlen = 1,
			    .msg_control = control,
			    .msg_controllen = sizeof(control) };
	int pair[2], status;
	pid_t child;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	child = cycle_child(make_elsewhere, &pair[1]);
	close(pair[1]);
	must(waitpid(child, &status, 0));
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		cycle_skip("it takes CAP_SYS_ADMIN");
	check(recvmsg(pair[0], &m, MSG_CMSG_CLOEXEC) == 1 && m.msg_controllen > 0, "%s",
	      strerror(errno));
	cycle();
}

/* ---- errors */

static void refused_connection(void)
{
	const struct sockaddr_in a = at(NOBODY);
	int fd = (int)must(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	struct pollfd p = { .fd = fd, .events = POLLOUT };

	check(connect(fd, (const struct sockaddr *)&a, sizeof(a)) < 0, "somebody listens");
	must(poll(&p, 1, 60000));
	cycle();
	/* which one it was can't be told without taking it away */
	check(number(fd, SOL_SOCKET, SO_ERROR) > 0, "the error is gone");
}

static void refused_datagram(void)
{
	const struct sockaddr_in a = at(NOBODY);
	int fd = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	struct pollfd p = { .fd = fd, .events = 0 };

	must(connect(fd, (const struct sockaddr *)&a, sizeof(a)));
	must(send(fd, "x", 1, 0));
	must(poll(&p, 1, 60000));
	cycle();
	check(number(fd, SOL_SOCKET, SO_ERROR) == ECONNREFUSED, "the error is gone");
}

/* Its peer ended without having read what was sent. */
static void unix_reset(void)
{
	int pair[2];
	char c;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	must(send(pair[0], "unread", 6, 0));
	must(send(pair[1], "last", 4, 0));
	close(pair[1]);
	cycle();
	errno = 0;
	check(recv(pair[0], &c, 1, 0) == 1 || errno == ECONNRESET, "%s", strerror(errno));
	check(errno == ECONNRESET || number(pair[0], SOL_SOCKET, SO_ERROR) == ECONNRESET,
	      "the error is gone");
}

/* Who has sent it is told with each message: one that is not read yet can't be saved, but there is
 * none for long. */
static int identified[2];

static void say(int end, int byte)
{
	const char c = (char)byte;

	must(send(identified[end], &c, 1, 0));
}

static void identify(void)
{
	int one = 1;

	must(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, identified));
	must(setsockopt(identified[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
}

static void unix_identified(void)
{
	identify();
	say(1, 'x');
	cycle();
}

static void answer(void *ctx)
{
	char c = 'x';

	(void)ctx;
	while (c) {
		cycle_sleep(10);
		while (recv(identified[0], &c, 1, MSG_DONTWAIT) == 1 && c)
			;
	}
}

static void talk(void *ctx)
{
	(void)ctx;
	for (int n = 0; n < 20 || !cycle_over(); n++) {
		say(1, 'x');
		cycle_sleep(12);
	}
	say(1, 0);
}

static void unix_chatter(void)
{
	pid_t child[2];

	identify();
	child[0] = cycle_child(answer, NULL);
	child[1] = cycle_child(talk, NULL);
	cycle();
	cycle_join(child[0]);
	cycle_join(child[1]);
}

/* A byte out of band. */
static void unix_urgent(void)
{
	int pair[2];
	char c = 0;

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	must(send(pair[1], "before", 6, 0));
	if (send(pair[1], "!", 1, MSG_OOB) < 0)
		cycle_skip("the kernel has no urgent bytes between unix sockets");
	cycle();
	check(recv(pair[0], &c, 1, MSG_OOB) == 1 && c == '!', "the urgent byte is gone: %s",
	      strerror(errno));
}

/* A datagram without a byte is one, too. */
static void udp_empty(void)
{
	struct sockaddr_in a = at(PORT);
	int fd = (int)must(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
	char c;

	must(bind(fd, (const struct sockaddr *)&a, sizeof(a)));
	must(sendto(fd, "", 0, 0, (const struct sockaddr *)&a, sizeof(a)));
	cycle();
	check(recv(fd, &c, 1, 0) == 0, "it is gone: %s", strerror(errno));
}

/* Whose other ends are closed, with something left to be read. */
static void unix_half(void)
{
	int stream[2], packets[2];
	char buf[16];

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, stream));
	must(send(stream[0], "last", 4, 0));
	close(stream[0]);
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, packets));
	must(send(packets[0], "datagram", 8, 0));
	close(packets[0]);
	cycle();
	check(recv(stream[1], buf, sizeof(buf), 0) == 4, "%s", strerror(errno));
	check(recv(stream[1], buf, sizeof(buf), 0) == 0, "it has no end");
	check(send(stream[1], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "%s", strerror(errno));
	check(recv(packets[1], buf, sizeof(buf), 0) == 8, "%s", strerror(errno));
	check(send(packets[1], "x", 1, MSG_NOSIGNAL) < 0 && errno == ECONNREFUSED, "%s",
	      strerror(errno));
}

static void unix_options(void)
{
	int fd[2], one = 1, lowat = 7, size = 65536;
	struct timeval time = { 3, 500000 }, is;
	socklen_t len = sizeof(is);

	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd));
	must(setsockopt(fd[0], SOL_SOCKET, SO_PASSCRED, &one, sizeof(one)));
	must(setsockopt(fd[0], SOL_SOCKET, SO_RCVLOWAT, &lowat, sizeof(lowat)));
	must(setsockopt(fd[0], SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)));
	must(setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &time, sizeof(time)));
	must(shutdown(fd[1], SHUT_RD));
	cycle();
	check(number(fd[0], SOL_SOCKET, SO_PASSCRED) == 1, "SO_PASSCRED");
	check(number(fd[0], SOL_SOCKET, SO_RCVLOWAT) == 7, "SO_RCVLOWAT");
	check(number(fd[0], SOL_SOCKET, SO_SNDBUF) == 2 * size, "SO_SNDBUF");
	must(getsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &is, &len));
	check(is.tv_sec == 3 && is.tv_usec == time.tv_usec, "SO_RCVTIMEO %ld.%06ld",
	      (long)is.tv_sec, (long)is.tv_usec);
	check(send(fd[0], "x", 1, MSG_NOSIGNAL) < 0 && errno == EPIPE, "it is not shut");
}

const struct cycle_case socket_more_cases[] = {
	{ "mptcp", mptcp },
	{ "mptcp-plain", mptcp_plain },
	{ "mptcp-connected", mptcp_connected },
	{ "tcp-options", options },
	{ "large-buffers", large_buffers },
	{ "tcp-elsewhere", tcp_elsewhere },
	{ "tcp-refused", refused_connection },
	{ "udp-refused", refused_datagram },
	{ "udp-empty", udp_empty },
	{ "unix-reset", unix_reset },
	{ "unix-urgent", unix_urgent },
	{ "unix-identified", unix_identified },
	{ "unix-chatter", unix_chatter },
	{ "unix-half", unix_half },
	{ "unix-options", unix_options },
	{ NULL, NULL },
};
