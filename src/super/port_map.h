/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which sockets of a container are bound, where they believe to be and where they are: pure, of
 * fixed size. An address is kept in one form: IPv4 within IPv6 (::ffff:a.b.c.d) as IPv4.
 */
#ifndef SUPER_PORT_MAP_H
#define SUPER_PORT_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PORT_MAP_MAX 2048

struct port_addr {
	uint8_t family; /* AF_INET: the first four bytes of ip; AF_INET6 */
	uint8_t ip[16];
	uint16_t port; /* host order */
};

struct port_entry {
	struct port_addr at; /* as the container has it: its port is the virtual one */
	uint16_t real;
	uint8_t proto; /* IPPROTO_TCP or IPPROTO_UDP */
	bool v6only;
	bool chosen; /* port 0 was asked for: the first to give way where there is no room */
	bool client; /* it has connected: it may be the peer of another socket of the container */
	uint64_t cookie; /* SO_COOKIE: never used again */
	uint64_t inode;
	pid_t pid; /* where it was seen last */
	int fd;
};

struct port_map {
	struct port_entry v[PORT_MAP_MAX];
	size_t n;
	size_t moved[2]; /* entries whose real port is another: TCP, UDP */
	size_t clients;  /* of those of TCP, the ones that have connected */
};

/*
 * From a struct sockaddr of len bytes. False for what is no address of IPv4 or IPv6. AF_UNSPEC
 * counts as IPv4 where unspec_too: bind(2) takes it so.
 */
bool port_addr_read(const void *addr, size_t len, bool unspec_too, struct port_addr *out);

/* Puts a port into a struct sockaddr_in or sockaddr_in6. */
void port_addr_set(void *addr, uint16_t port);

bool port_addr_any(const struct port_addr *a);
bool port_addr_loopback(const struct port_addr *a);

/* The entry of that socket, or NULL. */
struct port_entry *port_map_socket(struct port_map *m, uint64_t cookie);

/*
 * Of the entries of that protocol, one that a socket bound to the address and (virtual) port would
 * meet: the addresses are the same, or one of them is any. NULL if there is none.
 */
struct port_entry *port_map_meets(struct port_map *m, uint8_t proto, const struct port_addr *at,
				  bool v6only);

/* The same port at another address: the next from *i on, which moves; NULL at the end. */
struct port_entry *port_map_same_port(struct port_map *m, uint8_t proto, uint16_t port, size_t *i);

/*
 * The entry with another real port that is reached at the address: by its virtual port, or with
 * by_real by its real one. NULL if there is none. An entry of any address only counts for addresses
 * of this host: the caller's to know.
 */
struct port_entry *port_map_at(struct port_map *m, uint8_t proto, const struct port_addr *at,
			       bool by_real);

/* Adds a copy. Where there is no room the oldest one that was chosen by the kernel gives way; NULL
 * if there is none of these either. */
struct port_entry *port_map_add(struct port_map *m, const struct port_entry *e);

/* The others may move. */
void port_map_remove(struct port_map *m, struct port_entry *e);

/* It has connected. */
void port_map_connected(struct port_map *m, struct port_entry *e);

#endif
