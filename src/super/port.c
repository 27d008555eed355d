/* SPDX-License-Identifier: Apache-2.0 */
#include "super/port.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/mem.h"
#include "super/port_alive.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif
#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif
#define PRIVILEGED_FILE "/proc/sys/net/ipv4/ip_unprivileged_port_start"
#define PRIVILEGED_AT_LEAST 1024 /* what a new network namespace has */

struct ports *ports_new(struct arena *a)
{
	struct ports *p = arena_alloc(a, sizeof(*p));
	char *text;

	p->privileged = PRIVILEGED_AT_LEAST;
	if (fd_read_file(AT_FDCWD, PRIVILEGED_FILE, a, 64, &text, NULL) == 0 &&
	    strtoul(text, NULL, 10) > p->privileged)
		p->privileged = (unsigned)strtoul(text, NULL, 10);
	return p;
}

static int option(int fd, int level, int name)
{
	int value = 0;
	socklen_t len = sizeof(value);

	return getsockopt(fd, level, name, &value, &len) < 0 ? -errno : value;
}

static uint8_t proto_of(int domain, int protocol)
{
	if (domain != AF_INET && domain != AF_INET6)
		return 0;
	if (protocol == IPPROTO_MPTCP)
		return IPPROTO_TCP;
	return protocol == IPPROTO_TCP || protocol == IPPROTO_UDP ? (uint8_t)protocol : 0;
}

/* A port is one of a network's: before 5.14 a container is taken to have only one. */
static bool is_of_network(struct ports *p, int fd)
{
	uint64_t network = 0;
	socklen_t len = sizeof(network);

	if (getsockopt(fd, SOL_SOCKET, SO_NETNS_COOKIE, &network, &len) < 0)
		return true;
	if (!p->network)
		p->network = network;
	return p->network == network;
}

/* Who asked last may have ended since; on the host's network this process will do. */
static pid_t witness(struct ports *p)
{
	auto_fd own = -1;
	char path[32];

	snprintf(path, sizeof(path), "/proc/%d", p->last);
	if (p->last && access(path, F_OK) == 0)
		return p->last;
	own = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	return p->network && own >= 0 && is_of_network(p, own) ? getpid() : p->last;
}

size_t ports_list(struct ports *p)
{
	port_sweep(&p->map, witness(p));
	for (size_t i = 0; i < p->map.n; i++) {
		const struct port_entry *e = &p->map.v[i];

		p->list[i] = (struct super_port){
			.proto = e->proto,
			.family = e->at.family,
			.virtual_port = e->at.port,
			.real_port = e->real,
			.v6only = e->v6only,
			.chosen = e->chosen,
			.inode = e->inode,
		};
		memcpy(p->list[i].ip, e->at.ip, sizeof(e->at.ip));
	}
	return p->map.n;
}

int port_take(struct ports *p, struct notif *n, struct port_socket *out)
{
	auto_fd fd = notif_take_fd(n, (int)n->args[0]);
	socklen_t len = sizeof(out->cookie);

	p->last = n->tid;
	if (fd == -EPERM && !p->told_forbidden) {
		p->told_forbidden = true;
		log_warning("port remapping: the sockets of process %d can't be taken: its ports, "
			    "and those of others like it, stay what they are",
			    n->tid);
	}
	if (fd < 0)
		return fd;
	out->domain = option(fd, SOL_SOCKET, SO_DOMAIN);
	if (out->domain < 0)
		return out->domain;
	out->proto = proto_of(out->domain, option(fd, SOL_SOCKET, SO_PROTOCOL));
	if (!out->proto || !is_of_network(p, fd))
		return -ENOTSUP;
	if (getsockopt(fd, SOL_SOCKET, SO_COOKIE, &out->cookie, &len) < 0)
		return -errno;
	out->fd = fd_take(&fd);
	return 0;
}

/* Is it an address of this host? The route to such a one begins at itself. */
static bool is_local(const struct port_addr *at)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(9) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(9) };
	bool v4 = at->family == AF_INET;
	struct sockaddr *to = v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6;
	socklen_t len = v4 ? sizeof(in) : sizeof(in6);
	struct sockaddr_storage own;
	struct port_addr from;
	auto_fd fd = -1;

	if (port_addr_loopback(at) || port_addr_any(at))
		return true;
	memcpy(v4 ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, at->ip, v4 ? 4 : 16);
	fd = socket(at->family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || connect(fd, to, len) < 0)
		return false;
	len = sizeof(own);
	return getsockname(fd, (struct sockaddr *)&own, &len) == 0 &&
	       port_addr_read(&own, len, false, &from) &&
	       memcmp(from.ip, at->ip, sizeof(from.ip)) == 0;
}

struct port_entry *port_find(struct ports *p, uint8_t proto, const struct port_addr *at,
			     bool by_real)
{
	struct port_entry *e;

	do
		e = port_map_at(&p->map, proto, at, by_real);
	while (e && !port_alive(&p->map, e, p->last));
	return e && (!port_addr_any(&e->at) || is_local(at)) ? e : NULL;
}

void port_show(struct ports *p, uint8_t proto, void *addr, size_t len)
{
	struct port_addr at;
	struct port_entry *e;

	if (!port_addr_read(addr, len, false, &at))
		return;
	e = port_find(p, proto, &at, true);
	if (e)
		port_addr_set(addr, e->at.port);
}

int ports_put(struct ports *p, const struct super_put_port *put, int sock)
{
	struct port_entry e = {
		.at = { .family = put->port.family, .port = put->port.virtual_port },
		.proto = put->port.proto,
		.v6only = put->port.v6only,
		.chosen = put->port.chosen,
		.pid = put->pid,
		.fd = put->fd,
	};
	socklen_t cookie_len = sizeof(e.cookie), len;
	struct sockaddr_storage own;
	struct port_addr at;
	struct stat st;

	len = sizeof(own);
	if (!is_of_network(p, sock))
		return -ENOTSUP;
	if (getsockopt(sock, SOL_SOCKET, SO_COOKIE, &e.cookie, &cookie_len) < 0 ||
	    getsockname(sock, (struct sockaddr *)&own, &len) < 0 || fstat(sock, &st) < 0)
		return -errno;
	if (!port_addr_read(&own, len, false, &at))
		return -EINVAL;
	memcpy(e.at.ip, put->port.ip, sizeof(e.at.ip));
	e.real = at.port;
	e.inode = st.st_ino;
	p->last = put->pid;
	return port_map_add(&p->map, &e) ? 0 : -ENFILE;
}
