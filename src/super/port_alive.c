/* SPDX-License-Identifier: Apache-2.0 */
#include "super/port_alive.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/port_map.h"

#define INODE_COLUMN 9
#define CHUNK 16384
#define LINE_MAX_BYTES 512

static bool is_held(const struct port_entry *e)
{
	char path[48], want[48], link[48];
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/fd/%d", e->pid, e->fd);
	snprintf(want, sizeof(want), "socket:[%llu]", (unsigned long long)e->inode);
	n = readlink(path, link, sizeof(link));
	return n == (ssize_t)strlen(want) && memcmp(link, want, (size_t)n) == 0;
}

unsigned long long port_line_inode(const char *line)
{
	for (int column = 0; column < INODE_COLUMN; column++) {
		line += strspn(line, " ");
		line += strcspn(line, " ");
	}
	return strtoull(line, NULL, 10);
}

struct sweep {
	struct port_map *m;
	bool seen[PORT_MAP_MAX];
};

static void see(struct sweep *s, const char *line)
{
	unsigned long long inode = port_line_inode(line);

	for (size_t i = 0; inode && i < s->m->n; i++)
		if (s->m->v[i].inode == inode)
			s->seen[i] = true;
}

/* Line by line through a buffer: the file is as long as the host has sockets. */
static bool read_table(struct sweep *s, pid_t pid, const char *name)
{
	char buf[CHUNK + 1], path[48], *line, *end;
	size_t have = 0;
	auto_fd fd = -1;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/net/%s", pid, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	while ((n = read(fd, buf + have, CHUNK - have)) > 0) {
		have += (size_t)n;
		buf[have] = '\0';
		for (line = buf; (end = strchr(line, '\n')); line = end + 1) {
			*end = '\0';
			see(s, line);
		}
		have -= (size_t)(line - buf);
		/* no line of these files is as long */
		have = have > LINE_MAX_BYTES ? 0 : have;
		memmove(buf, line, have);
	}
	return n == 0;
}

static bool read_tables(struct sweep *s, pid_t pid)
{
	static const char *const names[] = { "udp", "udp6", "tcp6" };

	/* IPv6 may be off; a process that has ended has none of them */
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		read_table(s, pid, names[i]);
	return read_table(s, pid, "tcp");
}

void port_sweep(struct port_map *m, pid_t pid)
{
	struct sweep s = { .m = m };
	bool read = pid > 0 && read_tables(&s, pid);

	for (size_t i = 0; !read && i < m->n; i++)
		read = m->v[i].pid != pid && read_tables(&s, m->v[i].pid);
	/* nobody is left who could be asked */
	if (!read)
		return;
	/* backwards: what is removed moves the ones behind it. A socket that is bound and neither
	 * listens nor is connected is in no table. */
	for (size_t i = m->n; i-- > 0;)
		if (!s.seen[i] && !is_held(&m->v[i]))
			port_map_remove(m, &m->v[i]);
}

static bool in_own_network(pid_t pid)
{
	struct stat own, theirs;
	char path[48];

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return stat("/proc/self/ns/net", &own) == 0 && stat(path, &theirs) == 0 &&
	       own.st_ino == theirs.st_ino && own.st_dev == theirs.st_dev;
}

/* True if nobody has the place: who gets it for a moment without sharing it is alone there. */
static bool is_free(const struct port_entry *e)
{
	struct sockaddr_in6 in6 = { .sin6_family = AF_INET6, .sin6_port = htons(e->real) };
	struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = htons(e->real) };
	bool v4 = e->at.family == AF_INET;
	const struct sockaddr *addr = v4 ? (struct sockaddr *)&in : (struct sockaddr *)&in6;
	int type = e->proto == IPPROTO_TCP ? SOCK_STREAM : SOCK_DGRAM, v6only = e->v6only;
	auto_fd fd = socket(e->at.family, type | SOCK_CLOEXEC, 0);

	memcpy(v4 ? (void *)&in.sin_addr : (void *)&in6.sin6_addr, e->at.ip, v4 ? 4 : 16);
	if (!v4)
		setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &v6only, sizeof(v6only));
	return fd >= 0 && bind(fd, addr, v4 ? sizeof(in) : sizeof(in6)) == 0;
}

bool port_alive(struct port_map *m, struct port_entry *e, pid_t pid)
{
	uint64_t cookie = e->cookie;

	if (is_held(e))
		return true;
	/* microseconds instead of the milliseconds that a host's tables take */
	if (in_own_network(pid) && is_free(e)) {
		port_map_remove(m, e);
		return false;
	}
	port_sweep(m, pid);
	return port_map_socket(m, cookie) == e;
}
