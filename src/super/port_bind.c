/* SPDX-License-Identifier: Apache-2.0 */
/* bind(2): on a copy of the socket, with a copy of the address. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/nsfs.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "super/handler.h"
#include "super/port.h"
#include "super/port_alive.h"

struct request {
	struct ports *p;
	struct notif *n;
	struct port_socket s;
	struct notif_status who;
	struct sockaddr_storage addr;
	socklen_t len;
	struct port_addr at; /* what was asked for */
	bool v6only;
};

static int bind_to(struct request *r, uint16_t port)
{
	port_addr_set(&r->addr, port);
	return bind(r->s.fd, (struct sockaddr *)&r->addr, r->len) < 0 ? -errno : 0;
}

/*
 * Not beside a socket of another container: with SO_REUSEPORT the kernel lets sockets of one user
 * share a port, and spreads connections over them. The option counts again once the port is had,
 * for the next socket of this container.
 */
static int bind_alone(struct request *r, uint16_t port)
{
	const int off = 0, on = 1;
	socklen_t len = sizeof(int);
	int shared = 0, ret;

	getsockopt(r->s.fd, SOL_SOCKET, SO_REUSEPORT, &shared, &len);
	if (shared)
		setsockopt(r->s.fd, SOL_SOCKET, SO_REUSEPORT, &off, sizeof(off));
	ret = bind_to(r, port);
	if (shared)
		setsockopt(r->s.fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	return ret;
}

/* Where the container has the port at another address already, else where the kernel likes. */
static int bind_elsewhere(struct request *r)
{
	struct port_entry *e;
	size_t i = 0;
	int ret;

	while ((e = port_map_same_port(&r->p->map, r->s.proto, r->at.port, &i))) {
		if (e->real == r->at.port)
			continue;
		ret = bind_alone(r, e->real);
		if (ret != -EADDRINUSE)
			return ret;
	}
	return bind_to(r, 0);
}

static int place(struct request *r)
{
	struct port_entry *e;
	int ret;

	if (r->at.port == 0)
		return bind_to(r, 0);
	do
		e = port_map_meets(&r->p->map, r->s.proto, &r->at, r->v6only);
	while (e && !port_alive(&r->p->map, e, r->n->tid));
	/* in use by the container itself: SO_REUSEADDR and SO_REUSEPORT are the kernel's to
	 * judge */
	if (e)
		return bind_to(r, e->real);
	ret = bind_alone(r, r->at.port);
	return ret == -EADDRINUSE ? bind_elsewhere(r) : ret;
}

static void remember(struct request *r)
{
	struct port_entry e = {
		.at = r->at,
		.proto = r->s.proto,
		.v6only = r->v6only,
		.chosen = r->at.port == 0,
		.cookie = r->s.cookie,
		.pid = r->who.pid,
		.fd = (int)r->n->args[0],
	};
	struct port_map *m = &r->p->map;
	struct sockaddr_storage own;
	socklen_t len = sizeof(own);
	struct port_addr at;
	struct stat st;

	if (getsockname(r->s.fd, (struct sockaddr *)&own, &len) < 0 ||
	    !port_addr_read(&own, len, false, &at) || fstat(r->s.fd, &st) < 0)
		return;
	e.real = at.port;
	e.inode = st.st_ino;
	if (e.chosen)
		e.at.port = at.port;
	if (m->n == PORT_MAP_MAX)
		port_sweep(m, r->n->tid);
	if (!port_map_add(m, &e) && !r->p->told_full) {
		r->p->told_full = true;
		log_warning("port remapping: more than %d sockets are bound: further ones show "
			    "their real ports",
			    PORT_MAP_MAX);
	}
}

/*
 * Has the thread CAP_NET_BIND_SERVICE in the user namespace that owns the socket's network? That
 * need not be the thread's own: a socket can come from anywhere.
 */
static bool is_privileged(const struct request *r)
{
	struct stat own, owner;
	auto_fd net = -1, user = -1;
	char path[48];

	if (!(r->who.caps >> CAP_NET_BIND_SERVICE & 1))
		return false;
	net = ioctl(r->s.fd, SIOCGSKNS);
	user = net < 0 ? -1 : ioctl(net, NS_GET_USERNS);
	snprintf(path, sizeof(path), "/proc/%d/ns/user", r->n->tid);
	return user >= 0 && fstat(user, &owner) == 0 && stat(path, &own) == 0 &&
	       own.st_ino == owner.st_ino && own.st_dev == owner.st_dev;
}

/* What the container's process may not do itself is not done for it. */
static bool may_bind(const struct super_state *s, const struct request *r)
{
	enum super_use use = r->s.proto == IPPROTO_TCP ? SUPER_BIND_TCP : SUPER_BIND_UDP;

	if (!s->config->may(s->config->may_arg, use, r->at.port))
		return false;
	return !r->at.port || r->at.port >= s->ports->privileged || is_privileged(r);
}

static void bind_for(struct super_state *s, struct request *r)
{
	int ret = notif_read(r->n, r->n->args[1], &r->addr, r->len);
	socklen_t len = sizeof(int);
	int v6only = 0;

	if (ret) {
		notif_answer(r->n, ret);
		return;
	}
	if (!port_addr_read(&r->addr, r->len, r->s.domain == AF_INET, &r->at)) {
		if (notif_valid(r->n))
			notif_answer(r->n, bind(r->s.fd, (struct sockaddr *)&r->addr, r->len) < 0
						   ? -errno
						   : 0);
		return;
	}
	if (r->s.domain == AF_INET6)
		getsockopt(r->s.fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, &len);
	r->v6only = v6only;
	/* left to the kernel, which refuses by the process's own rights */
	if (notif_status(r->n, &r->who) || !may_bind(s, r) || !notif_valid(r->n))
		return;
	ret = place(r);
	if (!ret)
		remember(r);
	notif_answer(r->n, ret);
}

void port_on_bind(struct super_state *s, struct notif *n)
{
	struct request r = { .p = s->ports, .n = n, .len = (socklen_t)n->args[2] };

	/* EINVAL whatever the address is */
	if ((int)r.len < 0 || r.len > sizeof(r.addr) || port_take(s->ports, n, &r.s))
		return;
	bind_for(s, &r);
	fd_close(r.s.fd);
}
