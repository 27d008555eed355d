/* SPDX-License-Identifier: Apache-2.0 */
#include "super/port_map.h"

#include <netinet/in.h>
#include <string.h>

static bool same_ip(const struct port_addr *a, const struct port_addr *b)
{
	return a->family == b->family && memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool port_addr_read(const void *addr, size_t len, bool unspec_too, struct port_addr *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	struct port_addr a = { .family = AF_INET };
	struct sockaddr_in6 in6;
	struct sockaddr_in in;
	sa_family_t family;

	if (len < sizeof(in))
		return false;
	memcpy(&in, addr, sizeof(in));
	family = in.sin_family;
	if (family == AF_INET || (family == AF_UNSPEC && unspec_too)) {
		memcpy(a.ip, &in.sin_addr, sizeof(in.sin_addr));
		a.port = ntohs(in.sin_port);
		*out = a;
		return true;
	}
	/* the kernel takes it without the scope as well (SIN6_LEN_RFC2133) */
	if (family != AF_INET6 || len < offsetof(struct sockaddr_in6, sin6_scope_id))
		return false;
	memcpy(&in6, addr, offsetof(struct sockaddr_in6, sin6_scope_id));
	a.port = ntohs(in6.sin6_port);
	if (memcmp(&in6.sin6_addr, mapped, sizeof(mapped)) == 0) {
		memcpy(a.ip, (const char *)&in6.sin6_addr + sizeof(mapped), 4);
	} else {
		a.family = AF_INET6;
		memcpy(a.ip, &in6.sin6_addr, sizeof(a.ip));
	}
	*out = a;
	return true;
}

void port_addr_set(void *addr, uint16_t port)
{
	uint16_t wire = htons(port);

	/* at the same place in both */
	memcpy((char *)addr + offsetof(struct sockaddr_in, sin_port), &wire, sizeof(wire));
}

bool port_addr_any(const struct port_addr *a)
{
	static const uint8_t zero[16];

	return memcmp(a->ip, zero, sizeof(zero)) == 0;
}

bool port_addr_loopback(const struct port_addr *a)
{
	static const uint8_t one[16] = { [15] = 1 };

	return a->family == AF_INET ? a->ip[0] == 127 : memcmp(a->ip, one, sizeof(one)) == 0;
}

/* Is an address of the other's family among those of this one, which is any address? */
static bool any_takes(const struct port_addr *any, bool v6only, const struct port_addr *other)
{
	if (!port_addr_any(any))
		return false;
	return any->family == other->family || (any->family == AF_INET6 && !v6only);
}

struct port_entry *port_map_socket(struct port_map *m, uint64_t cookie)
{
	for (size_t i = 0; i < m->n; i++)
		if (m->v[i].cookie == cookie)
			return &m->v[i];
	return NULL;
}

struct port_entry *port_map_meets(struct port_map *m, uint8_t proto, const struct port_addr *at,
				  bool v6only)
{
	for (size_t i = 0; i < m->n; i++) {
		struct port_entry *e = &m->v[i];

		if (e->proto != proto || e->at.port != at->port)
			continue;
		if (same_ip(&e->at, at) || any_takes(&e->at, e->v6only, at) ||
		    any_takes(at, v6only, &e->at))
			return e;
	}
	return NULL;
}

struct port_entry *port_map_same_port(struct port_map *m, uint8_t proto, uint16_t port, size_t *i)
{
	while (*i < m->n) {
		struct port_entry *e = &m->v[(*i)++];

		if (e->proto == proto && e->at.port == port)
			return e;
	}
	return NULL;
}

struct port_entry *port_map_at(struct port_map *m, uint8_t proto, const struct port_addr *at,
			       bool by_real)
{
	for (size_t i = 0; i < m->n; i++) {
		struct port_entry *e = &m->v[i];

		if (e->proto != proto || e->real == e->at.port ||
		    (by_real ? e->real : e->at.port) != at->port)
			continue;
		/* to any address is to this host: linux/in.h, INADDR_ANY */
		if (same_ip(&e->at, at) || any_takes(&e->at, e->v6only, at) ||
		    (any_takes(at, true, &e->at) && port_addr_loopback(&e->at)))
			return e;
	}
	return NULL;
}

static void count(struct port_map *m, const struct port_entry *e, size_t by)
{
	if (e->real == e->at.port)
		return;
	m->moved[e->proto != IPPROTO_TCP] += by;
	if (e->client && e->proto == IPPROTO_TCP)
		m->clients += by;
}

static bool make_room(struct port_map *m)
{
	for (size_t i = 0; m->n == PORT_MAP_MAX && i < m->n; i++)
		if (m->v[i].chosen)
			port_map_remove(m, &m->v[i]);
	return m->n < PORT_MAP_MAX;
}

struct port_entry *port_map_add(struct port_map *m, const struct port_entry *e)
{
	if (!make_room(m))
		return NULL;
	m->v[m->n] = *e;
	count(m, e, 1);
	return &m->v[m->n++];
}

void port_map_remove(struct port_map *m, struct port_entry *e)
{
	count(m, e, (size_t)-1);
	m->n--;
	memmove(e, e + 1, (size_t)(&m->v[m->n] - e) * sizeof(*e));
}

void port_map_connected(struct port_map *m, struct port_entry *e)
{
	count(m, e, (size_t)-1);
	e->client = true;
	count(m, e, 1);
}
