/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Remapped ports (super/port.h): what a socket's port is to the container, its supervisor knows.
 * The image has that for each socket that is bound, and the new supervisor is told when the socket
 * is there again. Only the port on the host may be another one then.
 */
#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/kinds.h"
#include "ckpt/ports.h"
#include "jail/plan.h"
#include "sandbox.h"
#include "supervise.h"

#define SOCKETS_MAX 65536u

struct bound {
	uint32_t file;                   /* c->files[file] */
	uint32_t protocol, family, port; /* port: as the container has it */
	const void *ip;
	size_t ip_len;
	bool v6only, chosen;
	uint32_t real; /* on the host, when it was saved */
};

struct all_bound {
	struct bound *v;
	size_t n;
};

static const struct record_field bound_rows[] = {
	RECORD(U, struct bound, "file", file),
	RECORD(U, struct bound, "protocol", protocol),
	RECORD(U, struct bound, "family", family),
	RECORD(U, struct bound, "port", port, RECORD_MAX(UINT16_MAX)),
	RECORD(BYTES, struct bound, "address", ip, RECORD_N(struct bound, ip_len),
	       RECORD_MAX(sizeof(struct in6_addr))),
	RECORD(BOOL, struct bound, "v6only", v6only, RECORD_OPTIONAL),
	RECORD(BOOL, struct bound, "chosen", chosen, RECORD_OPTIONAL),
	RECORD(U, struct bound, "real", real, RECORD_MAX(UINT16_MAX)),
};
static const struct record_table bound_table = RECORD_TABLE(struct bound, bound_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct all_bound, "sockets", v, n, bound_table, RECORD_OPTIONAL,
		       RECORD_MAX(SOCKETS_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct all_bound, rows);

/* ---- dump */

static const struct ckpt_file *file_of(const struct ckpt *c, uint64_t inode)
{
	for (size_t i = 0; i < c->n_files; i++)
		if (c->files[i]->kind == &file_inet && c->files[i]->ino == inode)
			return c->files[i];
	return NULL;
}

/* Every file is known by now. What the supervisor has besides ended a moment ago. */
static int save(const struct ckpt_unit *u)
{
	struct ckpt *c = u->c;
	struct all_bound *out = u->rec;
	struct super_port *ports;
	const struct ckpt_file *f;
	size_t n;
	int ret;

	if (!c->subject->sb->super.ports)
		return 0;
	ret = super_ask_ports(c->subject->supervisor, c->arena, &ports, &n);
	if (ret)
		return ret;
	out->v = arena_array(c->arena, n, sizeof(*out->v));
	for (size_t i = 0; i < n; i++) {
		f = file_of(c, ports[i].inode);
		if (!f)
			continue;
		out->v[out->n++] = (struct bound){
			.file = f->id,
			.protocol = ports[i].proto,
			.family = ports[i].family,
			.port = ports[i].virtual_port,
			.ip = ports[i].ip,
			.ip_len = sizeof(ports[i].ip),
			.v6only = ports[i].v6only,
			.chosen = ports[i].chosen,
			.real = ports[i].real_port,
		};
	}
	return 0;
}

/* ---- restore */

static int prepare(const struct ckpt_unit *u)
{
	const struct all_bound *all = u->rec;
	const struct ckpt *c = u->c;

	for (size_t i = 0; i < all->n; i++) {
		const struct bound *b = &all->v[i];

		if (b->file >= c->n_files || c->files[b->file]->kind != &file_inet ||
		    (b->family != AF_INET && b->family != AF_INET6) ||
		    (b->protocol != IPPROTO_TCP && b->protocol != IPPROTO_UDP) ||
		    b->ip_len != sizeof(struct in6_addr))
			return fail(EBADMSG,
				    "the image: %s: ports.sockets[%zu]: its parts don't fit "
				    "together",
				    IMAGE_CONTAINER, i);
	}
	if (all->n && !c->sb->super.ports)
		return fail(EINVAL,
			    "the ports of the image are remapped, and the new configuration has no "
			    "run.thole.ports");
	return 0;
}

static const struct bound *bound_of(struct ckpt *c, const struct ckpt_file *f)
{
	const struct all_bound *all = ckpt_section(&kind_ports, &(struct ckpt_unit){ .c = c });

	for (size_t i = 0; i < all->n; i++)
		if (all->v[i].file == f->id)
			return &all->v[i];
	return NULL;
}

/* The port is at the same place in both. */
static int bind_to(int fd, const void *addr, size_t len, uint16_t port)
{
	union {
		struct sockaddr a;
		struct sockaddr_in v4;
		struct sockaddr_in6 v6;
	} to;

	memcpy(&to, addr, len < sizeof(to) ? len : sizeof(to));
	to.v4.sin_port = htons(port);
	return bind(fd, &to.a, (socklen_t)len) < 0 ? -errno : 0;
}

static uint16_t port_of(int fd)
{
	struct sockaddr_in6 own = { 0 };
	socklen_t len = sizeof(own);

	return getsockname(fd, (struct sockaddr *)&own, &len) < 0 ? 0 : ntohs(own.sin6_port);
}

/* Where another of the container's sockets with the same port went to; or any that is free. */
static int bind_elsewhere(struct ckpt *c, const struct bound *b, int fd, const void *addr,
			  size_t len)
{
	const struct all_bound *all = ckpt_section(&kind_ports, &(struct ckpt_unit){ .c = c });

	for (size_t i = 0; i < all->n; i++) {
		const struct bound *o = &all->v[i];
		int there = c->files[o->file]->fd;
		uint16_t port = there < 0 ? 0 : port_of(there);

		if (o == b || o->protocol != b->protocol || o->real != b->real || !port ||
		    port == b->real)
			continue;
		if (bind_to(fd, addr, len, port) == 0)
			return 0;
	}
	return bind_to(fd, addr, len, 0);
}

/* An address may still be that of a connection that has just ended; but with SO_REUSEADDR sockets
 * of UDP would share it with whoever has it now. */
static int may_reuse(int fd, const struct bound *b)
{
	const int value = !b || b->protocol == IPPROTO_TCP;

	return setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &value, sizeof(value)) < 0
		       ? fail_errno("set SO_REUSEADDR of a socket")
		       : 0;
}

int ports_bind(struct ckpt *c, const struct ckpt_file *f, int fd, const void *addr, size_t len)
{
	const struct bound *b = bound_of(c, f);
	int ret = may_reuse(fd, b);

	if (ret)
		return ret;
	ret = bind(fd, addr, (socklen_t)len) < 0 ? -errno : 0;
	if (ret == -EADDRINUSE && b)
		ret = bind_elsewhere(c, b, fd, addr, len);
	return ret ? fail(-ret, "bind a socket to its address: %s", err_reason(-ret)) : 0;
}

/* Who has it, for the supervisor to look whether it is still there. */
static void find_holder(const struct ckpt *c, uint32_t file, struct super_put_port *out)
{
	for (size_t i = 0; i < c->n_procs; i++)
		for (size_t k = 0; k < c->procs[i]->n_fds; k++)
			if (c->procs[i]->fds[k].file == file) {
				out->pid = c->procs[i]->host;
				out->fd = (int)c->procs[i]->fds[k].fd;
				return;
			}
	out->pid = c->procs[0]->host;
	out->fd = -1;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct all_bound *all = u->rec;
	int ret = 0;

	for (size_t i = 0; i < all->n && !ret; i++) {
		const struct bound *b = &all->v[i];
		struct super_put_port put = {
			.request.op = SUPER_PUT_PORT,
			.port = { .proto = (uint8_t)b->protocol,
				  .family = (uint8_t)b->family,
				  .virtual_port = (uint16_t)b->port,
				  .v6only = b->v6only,
				  .chosen = b->chosen },
		};

		memcpy(put.port.ip, b->ip, sizeof(put.port.ip));
		find_holder(u->c, b->file, &put);
		ret = super_put_port(u->c->task->supervisor, &put, u->c->files[b->file]->fd);
	}
	return ret;
}

const struct ckpt_kind kind_ports = {
	.name = "ports",
	.scope = KIND_CONTAINER,
	.table = &table,
	.save = save,
	.prepare = prepare,
	.rebuild = { [PHASE_FILES] = rebuild },
};
