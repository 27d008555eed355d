/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/multicast.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"

#define GROUPS_MAX 4096u
#define SOURCES_MAX 64u
#define TEXT_MAX (1u << 20)

static const struct record_field row_rows[] = {
	RECORD(U, struct membership, "interface", interface),
	RECORD(BYTES, struct membership, "group", group, RECORD_N(struct membership, group_len),
	       RECORD_MAX(sizeof(struct in6_addr))),
	RECORD(U, struct membership, "mode", mode, RECORD_MAX(MCAST_INCLUDE)),
	RECORD(BYTES, struct membership, "sources", sources,
	       RECORD_N(struct membership, sources_len), RECORD_OPTIONAL,
	       RECORD_MAX(SOURCES_MAX * sizeof(struct in6_addr))),
};
static const struct record_table row_table = RECORD_TABLE(struct membership, row_rows);
static const struct record_field rows[] = {
	RECORD_LIST_OF(struct memberships, "groups", v, n, row_table, RECORD_OPTIONAL,
		       RECORD_MAX(GROUPS_MAX)),
};
const struct record_table memberships_table = RECORD_TABLE(struct memberships, rows);

/* As MCAST_MSFILTER has it: struct group_filter, with room for the sources. */
union filter {
	struct group_filter f;
	char room[GROUP_FILTER_SIZE(SOURCES_MAX)];
};

static int level_of(size_t group_len)
{
	return group_len == sizeof(struct in_addr) ? IPPROTO_IP : IPPROTO_IPV6;
}

static void put_address(struct sockaddr_storage *out, const void *address, size_t len)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET };
	struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

	memset(out, 0, sizeof(*out));
	if (len == sizeof(v4.sin_addr)) {
		memcpy(&v4.sin_addr, address, len);
		memcpy(out, &v4, sizeof(v4));
	} else {
		memcpy(&v6.sin6_addr, address, len);
		memcpy(out, &v6, sizeof(v6));
	}
}

static void get_address(const struct sockaddr_storage *from, void *out, size_t len)
{
	const struct sockaddr_in *v4 = (const void *)from;
	const struct sockaddr_in6 *v6 = (const void *)from;

	if (len == sizeof(v4->sin_addr))
		memcpy(out, &v4->sin_addr, len);
	else
		memcpy(out, &v6->sin6_addr, len);
}

/* ---- dump */

/* Has it joined that one? The kernel answers EADDRNOTAVAIL where it has not. */
static int try_group(struct ckpt *c, int fd, const struct membership *m, struct memberships *out,
		     size_t *room)
{
	union filter u = { .f = { .gf_interface = m->interface, .gf_numsrc = SOURCES_MAX } };
	socklen_t len = sizeof(u);
	struct membership *one;
	uint8_t *sources;

	put_address(&u.f.gf_group, m->group, m->group_len);
	if (getsockopt(fd, level_of(m->group_len), MCAST_MSFILTER, &u, &len) < 0)
		return 0;
	if (u.f.gf_numsrc > SOURCES_MAX)
		return fail(E2BIG, "it has joined a group for more than %u senders", SOURCES_MAX);
	out->v = arena_grow(c->arena, out->v, out->n, room, sizeof(*out->v));
	one = &out->v[out->n++];
	*one = *m;
	one->mode = u.f.gf_fmode;
	one->sources_len = u.f.gf_numsrc * m->group_len;
	if (!one->sources_len)
		return 0;
	one->sources = sources = arena_alloc(c->arena, one->sources_len);
	for (uint32_t i = 0; i < u.f.gf_numsrc; i++)
		get_address(&u.f.gf_slist[i], sources + i * m->group_len, m->group_len);
	return 0;
}

/* "1  lo  : 1 V3", then a line a group, "<tab>010000E0 ...": the bytes in the machine's order. */
static int each_v4(struct ckpt *c, char *text, int fd, struct memberships *out, size_t *room)
{
	struct membership m = { .group_len = sizeof(struct in_addr) };
	uint32_t group;
	int ret = 0;

	for (char *line = strtok_r(text, "\n", &text); line && !ret;
	     line = strtok_r(NULL, "\n", &text)) {
		if (*line != '\t') {
			m.interface = (uint32_t)strtoul(line, NULL, 10);
			continue;
		}
		group = (uint32_t)strtoul(line, NULL, 16);
		m.group = arena_memdup(c->arena, &group, sizeof(group));
		if (m.interface && group)
			ret = try_group(c, fd, &m, out, room);
	}
	return ret;
}

/* "1  lo  ff020000000000000000000000000001  1 0000000C 0" */
static int each_v6(struct ckpt *c, char *text, int fd, struct memberships *out, size_t *room)
{
	struct membership m = { .group_len = sizeof(struct in6_addr) };
	char name[64], hex[64], pair[3] = "";
	uint8_t group[16];
	int ret = 0;

	for (char *line = strtok_r(text, "\n", &text); line && !ret;
	     line = strtok_r(NULL, "\n", &text)) {
		if (sscanf(line, "%u %63s %63s", &m.interface, name, hex) != 3 || strlen(hex) != 32)
			continue;
		for (size_t i = 0; i < sizeof(group); i++) {
			memcpy(pair, hex + 2 * i, 2);
			group[i] = (uint8_t)strtoul(pair, NULL, 16);
		}
		m.group = arena_memdup(c->arena, group, sizeof(group));
		ret = try_group(c, fd, &m, out, room);
	}
	return ret;
}

int multicast_save(struct ckpt *c, int fd, struct memberships *out)
{
	static const struct {
		const char *name;
		int (*each)(struct ckpt *c, char *text, int fd, struct memberships *out,
			    size_t *room);
	} lists[] = { { "igmp", each_v4 }, { "igmp6", each_v6 } };
	char path[64], *text;
	size_t room = 0;
	int ret = 0;

	for (size_t i = 0; i < NAME_COUNT(lists) && !ret; i++) {
		snprintf(path, sizeof(path), "/proc/%d/net/%s", c->procs[0]->host, lists[i].name);
		ret = fd_read_file(AT_FDCWD, path, c->arena, TEXT_MAX, &text, NULL);
		if (ret == -ENOENT) /* a kernel without that protocol */
			ret = 0;
		else
			ret = ret ? ret : lists[i].each(c, text, fd, out, &room);
	}
	return ret;
}

/* ---- restore */

static int join_one(int fd, const struct membership *m)
{
	struct group_req join = { .gr_interface = m->interface };
	union filter u = { .f = { .gf_interface = m->interface, .gf_fmode = m->mode } };
	size_t n = m->group_len ? m->sources_len / m->group_len : 0;

	if ((m->group_len != sizeof(struct in_addr) && m->group_len != sizeof(struct in6_addr)) ||
	    m->sources_len % m->group_len || n > SOURCES_MAX)
		return fail(EBADMSG, "the image: %s: a group that a socket has joined is none",
			    IMAGE_CONTAINER);
	put_address(&join.gr_group, m->group, m->group_len);
	if (setsockopt(fd, level_of(m->group_len), MCAST_JOIN_GROUP, &join, sizeof(join)) < 0)
		return fail_errno("join a multicast group on interface %u", m->interface);
	if (m->mode == MCAST_EXCLUDE && !n)
		return 0;
	u.f.gf_group = join.gr_group;
	u.f.gf_numsrc = (uint32_t)n;
	for (size_t i = 0; i < n; i++)
		put_address(&u.f.gf_slist[i], (const char *)m->sources + i * m->group_len,
			    m->group_len);
	return setsockopt(fd, level_of(m->group_len), MCAST_MSFILTER, &u,
			  (socklen_t)GROUP_FILTER_SIZE(n ? n : 1)) < 0
		       ? fail_errno("choose whom to hear in a multicast group")
		       : 0;
}

int multicast_join(int fd, const struct memberships *m)
{
	int ret = 0;

	for (size_t i = 0; i < m->n && !ret; i++)
		ret = join_one(fd, &m->v[i]);
	return ret;
}
