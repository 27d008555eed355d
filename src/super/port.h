/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Port remapping. A socket that is bound gets the wanted port where that is free, else another one;
 * to the container it has the one it wanted: its names (getsockname, getpeername, accept, senders
 * of datagrams) show that, and who connects to it within the container finds it.
 *
 * Nothing is guessed: the supervisor binds a copy of the socket itself, so it is the kernel that
 * says whether a port is free, and takes it in the same moment. A port that another socket of the
 * same container has is in use for the container, too.
 */
#ifndef SUPER_PORT_H
#define SUPER_PORT_H

#include "super/notif.h"
#include "super/port_map.h"
#include "super/super.h"

struct arena;
struct super_state;

#define PORT_DATA_MAX 65536 /* of a datagram, and of what belongs to it */

struct ports {
	struct port_map map;
	uint64_t
		network; /* of the first socket (SO_NETNS_COOKIE): those of others are left alone */
	unsigned privileged; /* ports below take CAP_NET_BIND_SERVICE */
	pid_t last;          /* who asked last: a process of the container's network namespace */
	bool told_full;      /* that there is no room for more, */
	bool told_forbidden; /* that sockets of a process can't be taken */
	char data[PORT_DATA_MAX];
	struct super_port list[PORT_MAP_MAX];
};

struct ports *ports_new(struct arena *a);

/* The sockets that are bound now, in p->list. Returns how many. */
size_t ports_list(struct ports *p);

/* A socket that is bound already. 0 or -errno without a text. */
int ports_put(struct ports *p, const struct super_put_port *put, int sock);

/* ---- within src/super/port*.c */

/* The copy of a socket of TCP or UDP. */
struct port_socket {
	int fd;
	int domain;
	uint8_t proto;
	uint64_t cookie;
};

/* 0; -ENOTSUP for what is no such socket, or of another network, or another error: then the kernel
 * is to answer. */
int port_take(struct ports *p, struct notif *n, struct port_socket *out);

/* The entry that is reached at the address, if it is on this host and there is one: see
 * port_map_at(). */
struct port_entry *port_find(struct ports *p, uint8_t proto, const struct port_addr *at,
			     bool by_real);

/* Shows the virtual port in an address that the kernel has told, where it is one of the
 * container's. */
void port_show(struct ports *p, uint8_t proto, void *addr, size_t len);

struct follow_change;
struct follow_thread;

/* Of calls that have an address at an argument, and its length behind it: the room that there is,
 * into the change's data (0 or -errno), and what is shown once the call is done. */
int port_read_room(const struct notif *n, unsigned arg, struct follow_change *change);
void port_show_followed(struct ports *p, uint8_t proto, const struct follow_thread *t,
			unsigned arg);

/*
 * Puts the real port into an address where it is one of the container's own, which may be used.
 * Returns that port, or 0: then the address is untouched.
 */
uint16_t port_target(const struct super_state *s, uint8_t proto, void *addr, size_t len);

void port_on_bind(struct super_state *s, struct notif *n);
void port_on_connect(struct super_state *s, struct notif *n);
void port_on_getsockname(struct super_state *s, struct notif *n);
void port_on_getpeername(struct super_state *s, struct notif *n);
void port_on_accept(struct super_state *s, struct notif *n);
void port_on_accept4(struct super_state *s, struct notif *n);
void port_on_sendto(struct super_state *s, struct notif *n);
void port_on_recvfrom(struct super_state *s, struct notif *n);
void port_on_sendmsg(struct super_state *s, struct notif *n);
void port_on_recvmsg(struct super_state *s, struct notif *n);
void port_on_sendmmsg(struct super_state *s, struct notif *n);
void port_on_recvmmsg(struct super_state *s, struct notif *n);

#endif
