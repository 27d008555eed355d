/* SPDX-License-Identifier: Apache-2.0 */
#include "super/port_map.h"

#include "lib/tap.h"
#include "super/port_alive.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static struct port_addr addr(const char *text, uint16_t port)
{
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(port) };
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	struct port_addr out = { .family = 0 };
	bool read;

	if (strchr(text, ':')) {
		inet_pton(AF_INET6, text, &in6.sin6_addr);
		read = port_addr_read(&in6, sizeof(in6), false, &out);
	} else {
		inet_pton(AF_INET, text, &in.sin_addr);
		read = port_addr_read(&in, sizeof(in), false, &out);
	}
	ok(read, "%s is an address", text);
	is_int(out.port, port, "and its port");
	return out;
}

static struct port_map *map(void)
{
	return calloc(1, sizeof(struct port_map));
}

static struct port_entry *add(struct port_map *m, const char *ip, uint16_t want, uint16_t real)
{
	static uint64_t cookie = 1;
	struct port_entry e = { .at = addr(ip, want),
				.real = real,
				.proto = IPPROTO_TCP,
				.cookie = cookie,
				.inode = cookie };

	cookie++;
	return port_map_add(m, &e);
}

static void reads_addresses(void)
{
	struct sockaddr_in in = { .sin_family = AF_UNSPEC, .sin_port = htons(7) };
	struct port_addr a = addr("::ffff:10.1.2.3", 80), b = addr("10.1.2.3", 80);

	is_int(a.family, AF_INET, "IPv4 within IPv6 is IPv4");
	ok(memcmp(&a, &b, sizeof(a)) == 0, "the same one");
	ok(!port_addr_read(&in, sizeof(in), false, &a), "no family");
	ok(port_addr_read(&in, sizeof(in), true, &a) && a.port == 7, "but for bind");
	in.sin_family = AF_INET;
	ok(!port_addr_read(&in, sizeof(in) - 1, false, &a), "too short");
	in.sin_family = AF_INET6;
	ok(!port_addr_read(&in, sizeof(in), false, &a), "too short for IPv6");
	in.sin_family = AF_UNIX;
	ok(!port_addr_read(&in, sizeof(in), true, &a), "another family");
	port_addr_set(&in, 0x1234);
	is_int(ntohs(in.sin_port), 0x1234, "a port is put in");
	a = addr("127.3.2.1", 1);
	ok(port_addr_loopback(&a) && !port_addr_any(&a), "127/8");
	a = addr("::1", 1);
	ok(port_addr_loopback(&a), "::1");
	a = addr("::", 1);
	ok(!port_addr_loopback(&a) && port_addr_any(&a), "::");
}

/* Two addresses of one port, and whether the second meets the first. */
static void meets(void)
{
	static const struct {
		const char *first, *second;
		bool first_v6only, second_v6only, meets;
	} rows[] = {
		{ "127.0.0.1", "127.0.0.1", false, false, true },
		{ "127.0.0.1", "127.0.0.2", false, false, false },
		{ "0.0.0.0", "127.0.0.2", false, false, true },
		{ "127.0.0.2", "0.0.0.0", false, false, true },
		{ "::", "127.0.0.1", false, false, true },
		{ "::", "127.0.0.1", true, false, false },
		{ "127.0.0.1", "::", false, false, true },
		{ "127.0.0.1", "::", false, true, false },
		{ "0.0.0.0", "::1", false, false, false },
		{ "::1", "127.0.0.1", false, false, false },
		{ "::ffff:127.0.0.1", "127.0.0.1", false, false, true },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct port_map *m = map();
		struct port_addr second = addr(rows[i].second, 80), other = addr("0.0.0.0", 81);
		struct port_entry *e = add(m, rows[i].first, 80, 4000);

		e->v6only = rows[i].first_v6only;
		ok((port_map_meets(m, IPPROTO_TCP, &second, rows[i].second_v6only) == e) ==
			   rows[i].meets,
		   "%s after %s", rows[i].second, rows[i].first);
		ok(!port_map_meets(m, IPPROTO_UDP, &second, false), "not of UDP");
		ok(!port_map_meets(m, IPPROTO_TCP, &other, false), "not at another port");
		free(m);
	}
}

static void finds_where_it_is(void)
{
	struct port_map *m = map();
	struct port_entry *any = add(m, "0.0.0.0", 80, 4000), *one = add(m, "10.0.0.1", 81, 4001);
	struct port_addr to;

	add(m, "127.0.0.1", 82, 82);
	to = addr("10.9.9.9", 80);
	ok(port_map_at(m, IPPROTO_TCP, &to, false) == any, "any address, by its virtual port");
	to.port = 4000;
	ok(port_map_at(m, IPPROTO_TCP, &to, true) == any, "and by its real one");
	ok(!port_map_at(m, IPPROTO_TCP, &to, false), "which is no virtual one");
	to = addr("::1", 80);
	ok(!port_map_at(m, IPPROTO_TCP, &to, false), "IPv4 is not reached by IPv6");
	to = addr("10.0.0.1", 81);
	ok(port_map_at(m, IPPROTO_TCP, &to, false) == one, "one address");
	to = addr("0.0.0.0", 81);
	ok(!port_map_at(m, IPPROTO_TCP, &to, false), "which isn't the loopback");
	to = addr("127.0.0.1", 82);
	ok(!port_map_at(m, IPPROTO_TCP, &to, false), "what is where it wanted is no matter");
	free(m);
}

static void counts(void)
{
	struct port_map *m = map();
	struct port_entry *e;
	size_t i = 0;

	add(m, "0.0.0.0", 80, 80);
	is_int(m->moved[0], 0, "nothing has moved");
	e = add(m, "0.0.0.0", 81, 4000);
	is_int(m->moved[0], 1, "one has");
	is_int(m->moved[1], 0, "of TCP");
	is_int(m->clients, 0, "it serves");
	port_map_connected(m, e);
	is_int(m->clients, 1, "it connects");
	add(m, "127.0.0.1", 81, 4001);
	ok(port_map_same_port(m, IPPROTO_TCP, 81, &i)->real == 4000, "one at the port");
	ok(port_map_same_port(m, IPPROTO_TCP, 81, &i)->real == 4001, "one more");
	ok(!port_map_same_port(m, IPPROTO_TCP, 81, &i), "no third");
	port_map_remove(m, port_map_socket(m, e->cookie));
	is_int(m->clients, 0, "it is gone");
	is_int(m->moved[0], 1, "the other one is not");
	is_int(m->n, 2, "two are left");
	free(m);
}

static void has_an_end(void)
{
	struct port_map *m = map();
	struct port_entry *e = NULL;

	for (int i = 0; i < PORT_MAP_MAX; i++) {
		e = add(m, "127.0.0.1", (uint16_t)(i + 1), (uint16_t)(i + 1));
		if (!e)
			break;
		e->chosen = i == 5 || i == 9;
	}
	ok(e, "so many find room");
	e = add(m, "127.0.0.1", 1, 4000);
	ok(e && m->n == PORT_MAP_MAX, "one that the kernel chose gives way");
	e = add(m, "127.0.0.1", 1, 4001);
	ok(e, "and the second");
	is_int(m->moved[0], 2, "both are counted");
	ok(!add(m, "127.0.0.1", 1, 4002), "then there is no room");
	is_int(m->n, PORT_MAP_MAX, "and nothing is lost");
	free(m);
}

static void reads_tables_of_the_kernel(void)
{
	is_int((long long)port_line_inode("   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 "
					  "00:00000000 00000000     0        0 6787643 1 "
					  "0000000000000000 100 0 0 10 0"),
	       6787643, "the inode of a line");
	is_int((long long)port_line_inode("  sl  local_address rem_address   st tx_queue"), 0,
	       "the head has none");
	is_int((long long)port_line_inode(""), 0, "nor has nothing");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(reads_addresses), TAP(meets),      TAP(finds_where_it_is),
		TAP(counts),          TAP(has_an_end), TAP(reads_tables_of_the_kernel),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
