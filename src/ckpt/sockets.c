/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/sockets.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"

/* linux asm-generic/socket.h, since Linux 5.14 */
#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

#define OPTION_MAX 64
#define OPTIONS_MAX 256

/* Of a later kernel than the headers: linux/tcp.h, linux/in.h */
#ifndef IP_BIND_ADDRESS_NO_PORT
#define IP_BIND_ADDRESS_NO_PORT 24
#endif

static const struct record_field option_rows[] = {
	RECORD(U, struct socket_option, "level", level),
	RECORD(U, struct socket_option, "name", name),
	RECORD(BYTES, struct socket_option, "value", value, RECORD_N(struct socket_option, len),
	       RECORD_MAX(OPTION_MAX)),
};
static const struct record_table option_table = RECORD_TABLE(struct socket_option, option_rows);
static const struct record_field options_rows[] = {
	RECORD_LIST_OF(struct socket_options, "set", v, n, option_table, RECORD_MAX(OPTIONS_MAX)),
};
const struct record_table socket_options_table = RECORD_TABLE(struct socket_options, options_rows);

/* socket(7), ip(7), ipv6(7), tcp(7), unix(7) */
static const struct option {
	uint32_t level, name;
	const char *text;
	int family;   /* 0: any */
	int type;     /* 0: any */
	bool doubled; /* what is read is twice what is set */
	bool zero;    /* so it is from the start, everywhere: not worth a word */
} options[] = {
	{ SOL_SOCKET, SO_REUSEADDR, "SO_REUSEADDR", 0, 0, false, false },
	{ SOL_SOCKET, SO_REUSEPORT, "SO_REUSEPORT", 0, 0, false, false },
	{ SOL_SOCKET, SO_KEEPALIVE, "SO_KEEPALIVE", 0, 0, false, false },
	{ SOL_SOCKET, SO_BROADCAST, "SO_BROADCAST", 0, 0, false, false },
	{ SOL_SOCKET, SO_OOBINLINE, "SO_OOBINLINE", 0, 0, false, false },
	{ SOL_SOCKET, SO_DONTROUTE, "SO_DONTROUTE", 0, 0, false, false },
	{ SOL_SOCKET, SO_NO_CHECK, "SO_NO_CHECK", 0, 0, false, false },
	{ SOL_SOCKET, SO_PRIORITY, "SO_PRIORITY", 0, 0, false, false },
	{ SOL_SOCKET, SO_LINGER, "SO_LINGER", 0, 0, false, false },
	{ SOL_SOCKET, SO_RCVLOWAT, "SO_RCVLOWAT", 0, 0, false, false },
	{ SOL_SOCKET, SO_RCVTIMEO, "SO_RCVTIMEO", 0, 0, false, false },
	{ SOL_SOCKET, SO_SNDTIMEO, "SO_SNDTIMEO", 0, 0, false, false },
	{ SOL_SOCKET, SO_SNDBUF, "SO_SNDBUF", 0, 0, true, false },
	{ SOL_SOCKET, SO_RCVBUF, "SO_RCVBUF", 0, 0, true, false },
	{ SOL_SOCKET, SO_TIMESTAMP, "SO_TIMESTAMP", 0, 0, false, false },
	{ SOL_SOCKET, SO_TIMESTAMPNS, "SO_TIMESTAMPNS", 0, 0, false, false },
	{ SOL_SOCKET, SO_RXQ_OVFL, "SO_RXQ_OVFL", 0, 0, false, false },
	{ SOL_SOCKET, SO_MARK, "SO_MARK", 0, 0, false, false },
	{ SOL_SOCKET, SO_PASSCRED, "SO_PASSCRED", AF_UNIX, 0, false, false },
	{ SOL_SOCKET, SO_PASSSEC, "SO_PASSSEC", AF_UNIX, 0, false, false },
	{ SOL_SOCKET, SO_PEEK_OFF, "SO_PEEK_OFF", 0, 0, false, false },
	{ IPPROTO_IPV6, IPV6_V6ONLY, "IPV6_V6ONLY", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_UNICAST_HOPS, "IPV6_UNICAST_HOPS", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_MULTICAST_HOPS, "IPV6_MULTICAST_HOPS", AF_INET6, SOCK_DGRAM, false,
	  false },
	{ IPPROTO_IPV6, IPV6_MULTICAST_LOOP, "IPV6_MULTICAST_LOOP", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_MULTICAST_IF, "IPV6_MULTICAST_IF", AF_INET6, SOCK_DGRAM, false,
	  false },
	{ IPPROTO_IPV6, IPV6_TCLASS, "IPV6_TCLASS", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_RECVPKTINFO, "IPV6_RECVPKTINFO", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_RECVHOPLIMIT, "IPV6_RECVHOPLIMIT", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_RECVTCLASS, "IPV6_RECVTCLASS", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_RECVERR, "IPV6_RECVERR", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, IPV6_MTU_DISCOVER, "IPV6_MTU_DISCOVER", AF_INET6, 0, false, false },
	{ IPPROTO_IP, IP_TOS, "IP_TOS", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_TTL, "IP_TTL", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_PKTINFO, "IP_PKTINFO", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_RECVTTL, "IP_RECVTTL", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_RECVTOS, "IP_RECVTOS", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_RECVERR, "IP_RECVERR", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_FREEBIND, "IP_FREEBIND", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_TRANSPARENT, "IP_TRANSPARENT", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, "IP_BIND_ADDRESS_NO_PORT", AF_INET, 0, false,
	  false },
	{ IPPROTO_IP, IP_MTU_DISCOVER, "IP_MTU_DISCOVER", AF_INET, 0, false, false },
	{ IPPROTO_IP, IP_MULTICAST_TTL, "IP_MULTICAST_TTL", AF_INET, SOCK_DGRAM, false, false },
	{ IPPROTO_IP, IP_MULTICAST_LOOP, "IP_MULTICAST_LOOP", AF_INET, SOCK_DGRAM, false, false },
	{ IPPROTO_TCP, TCP_NODELAY, "TCP_NODELAY", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_CORK, "TCP_CORK", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_KEEPIDLE, "TCP_KEEPIDLE", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_KEEPINTVL, "TCP_KEEPINTVL", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_KEEPCNT, "TCP_KEEPCNT", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_SYNCNT, "TCP_SYNCNT", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_LINGER2, "TCP_LINGER2", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_DEFER_ACCEPT, "TCP_DEFER_ACCEPT", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_USER_TIMEOUT, "TCP_USER_TIMEOUT", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_NOTSENT_LOWAT, "TCP_NOTSENT_LOWAT", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_CONGESTION, "TCP_CONGESTION", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_FASTOPEN, "TCP_FASTOPEN", AF_INET, SOCK_STREAM, false, false },

	/* by number: many are of later kernels than the headers; SO_BUF_LOCK after the sizes */
	{ SOL_SOCKET, 72, "SO_BUF_LOCK", 0, 0, false, false },
	{ SOL_SOCKET, 1, "SO_DEBUG", 0, 0, false, true },
	{ SOL_SOCKET, 45, "SO_SELECT_ERR_QUEUE", 0, 0, false, true },
	{ SOL_SOCKET, 46, "SO_BUSY_POLL", 0, 0, false, false },
	{ SOL_SOCKET, 47, "SO_MAX_PACING_RATE", 0, 0, false, false },
	{ SOL_SOCKET, 60, "SO_ZEROCOPY", 0, 0, false, true },
	{ SOL_SOCKET, 61, "SO_TXTIME", 0, 0, false, true },
	{ SOL_SOCKET, 37, "SO_TIMESTAMPING", 0, 0, false, true },
	{ SOL_SOCKET, 69, "SO_PREFER_BUSY_POLL", 0, 0, false, false },
	{ SOL_SOCKET, 70, "SO_BUSY_POLL_BUDGET", 0, 0, false, false },
	{ SOL_SOCKET, 74, "SO_TXREHASH", 0, 0, false, false },
	{ SOL_SOCKET, 75, "SO_RCVMARK", 0, 0, false, true },
	{ SOL_SOCKET, 82, "SO_RCVPRIORITY", 0, 0, false, true },
	{ SOL_SOCKET, 76, "SO_PASSPIDFD", AF_UNIX, 0, false, true },
	{ SOL_SOCKET, 83, "SO_PASSRIGHTS", AF_UNIX, 0, false, false },
	{ IPPROTO_IPV6, 11, "IPV6_FLOWINFO", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 29, "IPV6_MULTICAST_ALL", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, 31, "IPV6_RECVERR_RFC4884", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 33, "IPV6_FLOWINFO_SEND", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 53, "IPV6_RECVHOPOPTS", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 56, "IPV6_RECVRTHDR", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 58, "IPV6_RECVDSTOPTS", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 60, "IPV6_RECVPATHMTU", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 62, "IPV6_DONTFRAG", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 70, "IPV6_AUTOFLOWLABEL", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, 72, "IPV6_ADDR_PREFERENCES", AF_INET6, 0, false, false },
	{ IPPROTO_IPV6, 73, "IPV6_MINHOPCOUNT", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 74, "IPV6_RECVORIGDSTADDR", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 75, "IPV6_TRANSPARENT", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 76, "IPV6_UNICAST_IF", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 77, "IPV6_RECVFRAGSIZE", AF_INET6, 0, false, true },
	{ IPPROTO_IPV6, 78, "IPV6_FREEBIND", AF_INET6, 0, false, true },
	{ IPPROTO_IP, 6, "IP_RECVOPTS", AF_INET, 0, false, true },
	{ IPPROTO_IP, 7, "IP_RETOPTS", AF_INET, 0, false, true },
	{ IPPROTO_IP, 18, "IP_PASSSEC", AF_INET, 0, false, true },
	{ IPPROTO_IP, 20, "IP_RECVORIGDSTADDR", AF_INET, 0, false, true },
	{ IPPROTO_IP, 21, "IP_MINTTL", AF_INET, 0, false, true },
	{ IPPROTO_IP, 23, "IP_CHECKSUM", AF_INET, 0, false, false },
	{ IPPROTO_IP, 25, "IP_RECVFRAGSIZE", AF_INET, 0, false, true },
	{ IPPROTO_IP, 26, "IP_RECVERR_RFC4884", AF_INET, 0, false, true },
	{ IPPROTO_IP, 50, "IP_UNICAST_IF", AF_INET, 0, false, true },
	{ IPPROTO_IP, 51, "IP_LOCAL_PORT_RANGE", AF_INET, 0, false, true },
	{ IPPROTO_IP, 32, "IP_MULTICAST_IF", AF_INET, SOCK_DGRAM, false, true },
	{ IPPROTO_IP, 49, "IP_MULTICAST_ALL", AF_INET, SOCK_DGRAM, false, false },
	{ IPPROTO_IP, 4, "IP_OPTIONS", AF_INET, 0, false, true },
	{ SOL_SOCKET, 49, "SO_INCOMING_CPU", AF_INET, 0, false, false },
	{ IPPROTO_TCP, TCP_MAXSEG, "TCP_MAXSEG", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, TCP_WINDOW_CLAMP, "TCP_WINDOW_CLAMP", AF_INET, SOCK_STREAM, false, true },
	{ IPPROTO_TCP, 16, "TCP_THIN_LINEAR_TIMEOUTS", AF_INET, SOCK_STREAM, false, true },
	{ IPPROTO_TCP, 27, "TCP_SAVE_SYN", AF_INET, SOCK_STREAM, false, true },
	{ IPPROTO_TCP, 30, "TCP_FASTOPEN_CONNECT", AF_INET, SOCK_STREAM, false, true },
	{ IPPROTO_TCP, 34, "TCP_FASTOPEN_NO_COOKIE", AF_INET, SOCK_STREAM, false, true },
	{ IPPROTO_TCP, 36, "TCP_INQ", AF_INET, SOCK_STREAM, false, true },
	{ IPPROTO_TCP, 37, "TCP_TX_DELAY", AF_INET, SOCK_STREAM, false, true },
	{ IPPROTO_TCP, 44, "TCP_RTO_MAX_MS", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, 45, "TCP_RTO_MIN_US", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_TCP, 46, "TCP_DELACK_MAX_US", AF_INET, SOCK_STREAM, false, false },
	{ IPPROTO_UDP, 1, "UDP_CORK", AF_INET, SOCK_DGRAM, false, true },
	{ IPPROTO_UDP, 100, "UDP_ENCAP", AF_INET, SOCK_DGRAM, false, true },
	{ IPPROTO_UDP, 101, "UDP_NO_CHECK6_TX", AF_INET, SOCK_DGRAM, false, true },
	{ IPPROTO_UDP, 102, "UDP_NO_CHECK6_RX", AF_INET, SOCK_DGRAM, false, true },
	{ IPPROTO_UDP, 103, "UDP_SEGMENT", AF_INET, SOCK_DGRAM, false, true },
	{ IPPROTO_UDP, 104, "UDP_GRO", AF_INET, SOCK_DGRAM, false, true },
};

int socket_borrow(const struct file_look *l)
{
	auto_fd pidfd = (int)sys_pidfd_open(l->p->host, 0);
	int fd = pidfd < 0 ? -1 : (int)syscall(SYS_pidfd_getfd, pidfd, l->fd, 0);

	return fd < 0 ? fail_errno("copy descriptor %u of process %d", l->fd, l->p->host) : fd;
}

static int number_of(int fd, int level, int name, int *out)
{
	socklen_t len = sizeof(*out);

	return getsockopt(fd, level, name, out, &len) < 0 ? -errno : 0;
}

int socket_sort(int fd, struct socket_sort *out)
{
	if (number_of(fd, SOL_SOCKET, SO_DOMAIN, &out->family) ||
	    number_of(fd, SOL_SOCKET, SO_TYPE, &out->type) ||
	    number_of(fd, SOL_SOCKET, SO_PROTOCOL, &out->protocol))
		return fail_errno("ask for the sort of a socket");
	return 0;
}

bool socket_is(const struct file_look *l, int family, struct socket_sort *out)
{
	auto_fd fd = -1;

	if (l->sort != PROC_FD_SOCKET || (l->flags & O_PATH))
		return false;
	fd = socket_borrow(l);
	return fd >= 0 && socket_sort(fd, out) == 0 && out->family == family;
}

const char *socket_refusal(int fd)
{
	char device[32] = "";
	socklen_t len = 0;

	/* EACCES: one of bpf(2) */
	if (getsockopt(fd, SOL_SOCKET, SO_GET_FILTER, NULL, &len) == 0 ? len > 0 : errno == EACCES)
		return "it has a packet filter of its own";
	len = sizeof(device);
	if (getsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, device, &len) == 0 && device[0])
		return "it is bound to a network device";
	len = sizeof(device);
	if (getsockopt(fd, IPPROTO_TCP, TCP_ULP, device, &len) == 0 && len && device[0] &&
	    strcmp(device, "mptcp") != 0)
		return "the kernel does a protocol on top of TCP for it (TCP_ULP)";
	return NULL;
}

const char *socket_untold(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLPRI };

	if (poll(&p, 1, 0) != 1)
		return NULL;
	if (p.revents & POLLERR)
		return "an error of it was not asked for yet (SO_ERROR, MSG_ERRQUEUE)";
	if (p.revents & POLLPRI)
		return "a byte that was sent to it out of band was not read yet";
	return NULL;
}

bool socket_is_tcp(const struct socket_sort *s)
{
	return s->protocol == IPPROTO_TCP || s->protocol == IPPROTO_MPTCP;
}

static bool applies(const struct option *o, const struct socket_sort *s)
{
	bool inet = s->family == AF_INET6 && o->family == AF_INET;

	if (o->family && o->family != s->family && !inet)
		return false;
	if (o->level == IPPROTO_TCP && !socket_is_tcp(s))
		return false;
	if (o->level == IPPROTO_UDP && s->protocol != IPPROTO_UDP)
		return false;
	return !o->type || o->type == s->type;
}

static bool is_zero(const unsigned char *value, size_t len)
{
	while (len && !value[len - 1])
		len--;
	return len == 0;
}

/* Of a connection these tell what the kernel has made of them. */
static bool is_at_work(const struct option *o, bool connected)
{
	return connected && o->level == IPPROTO_TCP &&
	       (o->name == TCP_MAXSEG || o->name == TCP_WINDOW_CLAMP);
}

int socket_get_options(struct ckpt *c, int fd, const struct socket_sort *s,
		       struct socket_options *out)
{
	unsigned char value[OPTION_MAX];
	struct sockaddr_storage peer;
	socklen_t len = sizeof(peer);
	bool connected = getpeername(fd, (struct sockaddr *)&peer, &len) == 0;
	size_t room = 0;

	*out = (struct socket_options){ 0 };
	for (size_t i = 0; i < NAME_COUNT(options); i++) {
		len = sizeof(value);
		/* what this kernel or this socket lacks can't have been set */
		if (!applies(&options[i], s) || is_at_work(&options[i], connected) ||
		    getsockopt(fd, (int)options[i].level, (int)options[i].name, value, &len) < 0)
			continue;
		if (options[i].zero && is_zero(value, len))
			continue;
		out->v = arena_grow(c->arena, out->v, out->n, &room, sizeof(*out->v));
		out->v[out->n++] = (struct socket_option){
			.level = options[i].level,
			.name = options[i].name,
			.value = arena_memdup(c->arena, value, len),
			.len = len,
		};
	}
	return 0;
}

static const struct option *find_option(const struct socket_option *o)
{
	for (size_t i = 0; i < NAME_COUNT(options); i++)
		if (options[i].level == o->level && options[i].name == o->name)
			return &options[i];
	return NULL;
}

/* Beyond what is allowed to everybody (net.core.rmem_max) a program may have gone, too. */
static int set_size(int fd, const struct option *o, int doubled)
{
	const int size = doubled / 2;
	const int force = o->name == SO_SNDBUF ? SO_SNDBUFFORCE : SO_RCVBUFFORCE;

	if (setsockopt(fd, SOL_SOCKET, force, &size, sizeof(size)) == 0)
		return 0;
	return setsockopt(fd, SOL_SOCKET, (int)o->name, &size, sizeof(size)) < 0
		       ? fail_errno("set %s of a socket", o->text)
		       : 0;
}

static int set_option(int fd, const struct option *o, const struct socket_option *want)
{
	unsigned char now[OPTION_MAX];
	socklen_t len = sizeof(now);
	int number;

	if (getsockopt(fd, (int)o->level, (int)o->name, now, &len) == 0 && len == want->len &&
	    memcmp(now, want->value, len) == 0)
		return 0;
	if (o->doubled && want->len == sizeof(number)) {
		memcpy(&number, want->value, sizeof(number));
		return set_size(fd, o, number);
	}
	if (setsockopt(fd, (int)o->level, (int)o->name, want->value, (socklen_t)want->len) < 0)
		return fail_errno("set %s of a socket", o->text);
	return 0;
}

int socket_set_options(int fd, const struct socket_options *o)
{
	const struct option *row;
	int ret = 0;

	for (size_t i = 0; i < o->n && !ret; i++) {
		row = find_option(&o->v[i]);
		if (!row || o->v[i].len > OPTION_MAX)
			return fail(
				EBADMSG,
				"the image: %s: a socket has option %u of level %u, which is not "
				"known to this version",
				IMAGE_CONTAINER, o->v[i].name, o->v[i].level);
		ret = set_option(fd, row, &o->v[i]);
	}
	return ret;
}

/* ---- in the container's network */

static bool same_namespace(pid_t pid, const char *name)
{
	char theirs[64], ours[64], path[32];

	snprintf(path, sizeof(path), "ns/%s", name);
	return proc_link(pid, path, theirs, sizeof(theirs)) == 0 &&
	       proc_link(getpid(), path, ours, sizeof(ours)) == 0 && strcmp(theirs, ours) == 0;
}

bool socket_network_is_own(struct ckpt *c)
{
	return !same_namespace(c->procs[0]->host, "net");
}

/*
 * By this very thread, which goes there and comes back: only where the way back is tried before.
 * -EPERM where it is not open, or the way there.
 */
static int make_and_return(pid_t init, const struct socket_sort *s, int *out)
{
	auto_fd own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	auto_fd pidfd = (int)sys_pidfd_open(init, 0);

	if (own < 0 || pidfd < 0 || setns(own, CLONE_NEWNET) < 0 || setns(pidfd, CLONE_NEWNET) < 0)
		return -EPERM;
	*out = socket(s->family, s->type | SOCK_CLOEXEC, s->protocol);
	if (*out < 0)
		fail_errno("make a socket in the container's network");
	if (setns(own, CLONE_NEWNET) < 0)
		_exit(1); /* nothing may be done in the wrong one */
	return *out < 0 ? -err_last()->code : 0;
}

/* In a child of ours, which nobody else waits for. */
static int make_there(pid_t pid, int flags, const struct socket_sort *s, int back)
{
	auto_fd pidfd = (int)sys_pidfd_open(pid, 0), fd = -1;

	if (pidfd < 0 || setns(pidfd, flags) < 0)
		return errno;
	fd = socket(s->family, s->type | SOCK_CLOEXEC, s->protocol);
	if (fd < 0)
		return errno;
	return -fd_send(back, "", 1, &fd, 1);
}

static int await(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return fail_errno("wait for a helper process");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (WIFEXITED(status))
		return fail(WEXITSTATUS(status), "make a socket in the container's network: %s",
			    err_reason(WEXITSTATUS(status)));
	return fail(EIO, "make a socket in the container's network: the helper process died");
}

int socket_in_container(struct ckpt *c, int family, int type, int protocol)
{
	const struct socket_sort s = { family, type, protocol };
	pid_t init = c->procs[0]->host, child;
	int flags = CLONE_NEWNET | (same_namespace(init, "user") ? 0 : CLONE_NEWUSER);
	auto_fd ours = -1, theirs = -1;
	int pair[2], fd = -1, ret;
	size_t n = 1;
	char byte;

	if (!socket_network_is_own(c)) {
		fd = socket(family, type | SOCK_CLOEXEC, protocol);
		return fd < 0 ? fail_errno("make a socket") : fd;
	}
	ret = flags & CLONE_NEWUSER ? -EPERM : make_and_return(init, &s, &fd);
	if (ret != -EPERM)
		return ret ? ret : fd;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
		return fail_errno("make a socket pair");
	ours = pair[0];
	theirs = pair[1];
	child = fork();
	if (child < 0)
		return fail_errno("start a helper process");
	if (child == 0)
		_exit(make_there(init, flags, &s, theirs));
	fd_close(fd_take(&theirs));
	ret = await(child);
	if (!ret && (fd_recv(ours, &byte, 1, &fd, &n) != 1 || n != 1))
		ret = fail(EIO, "make a socket in the container's network: no descriptor came");
	return ret ? ret : fd;
}

static uint64_t cookie_of(int fd)
{
	uint64_t cookie = 0;
	socklen_t len = sizeof(cookie);

	return getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &len) < 0 ? 0 : cookie;
}

bool socket_is_elsewhere(struct ckpt *c, int fd)
{
	uint64_t cookie = cookie_of(fd);
	auto_fd own = -1;

	if (!cookie)
		return false;
	if (!c->net_cookie) {
		own = socket_in_container(c, AF_UNIX, SOCK_DGRAM, 0);
		c->net_cookie = own < 0 ? 0 : cookie_of(own);
	}
	return c->net_cookie && cookie != c->net_cookie;
}

int socket_make(struct ckpt *c, const struct socket_sort *s, int *out_root_fd)
{
	int64_t fd = ckpt_call(ckpt_root(c), "make a socket", SYS_socket, (uint64_t)s->family,
			       (uint64_t)(s->type | SOCK_CLOEXEC | SOCK_NONBLOCK),
			       (uint64_t)s->protocol);

	if (fd < 0)
		return (int)fd;
	*out_root_fd = (int)fd;
	return 0;
}

int socket_release(struct ckpt *c, int root_fd)
{
	const struct ckpt_thread *root = ckpt_root(c);
	auto_fd fd = ckpt_fetch_fd(root, root_fd);
	int64_t ret;

	if (fd < 0)
		return fd;
	ret = ckpt_call(root, "close a socket", SYS_close, (uint64_t)root_fd);
	return ret < 0 ? (int)ret : fd_take(&fd);
}
