/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/netdev.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_addr.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/ns.h"
#include "jail/plan.h"

#define MESSAGE_MAX 1024
#define ADDRESSES_MAX 64
#define NET_DEV_MAX (1024 * 1024)

struct request {
	struct nlmsghdr head;
	char room[MESSAGE_MAX];
};

struct address {
	struct ifaddrmsg msg;
	char attrs[256]; /* IFA_LOCAL, IFA_ADDRESS, IFA_BROADCAST as they came */
	size_t len;
};

struct addresses {
	struct address v[ADDRESSES_MAX];
	size_t n;
};

static void add_attr(struct request *r, unsigned short type, const void *data, size_t len)
{
	struct rtattr *a = (struct rtattr *)((char *)&r->head + NLMSG_ALIGN(r->head.nlmsg_len));

	a->rta_type = type;
	a->rta_len = (unsigned short)RTA_LENGTH(len);
	memcpy(RTA_DATA(a), data, len);
	r->head.nlmsg_len = NLMSG_ALIGN(r->head.nlmsg_len) + RTA_ALIGN(a->rta_len);
}

static int open_socket(void)
{
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE);

	return fd < 0 ? fail_errno("open a netlink socket") : fd;
}

/* One request that is answered by an acknowledgement. Returns 0 or -errno, no text. */
static int ask(int sock, struct request *r)
{
	_Alignas(struct nlmsghdr) char buf[8192];
	const struct nlmsghdr *h = (const struct nlmsghdr *)buf;
	ssize_t n;

	r->head.nlmsg_flags |= NLM_F_REQUEST | NLM_F_ACK;
	if (send(sock, r, r->head.nlmsg_len, 0) < 0)
		return -errno;
	n = recv(sock, buf, sizeof(buf), 0);
	if (n < 0)
		return -errno;
	if (!NLMSG_OK(h, (size_t)n) || h->nlmsg_type != NLMSG_ERROR)
		return -EPROTO;
	return ((const struct nlmsgerr *)NLMSG_DATA(h))->error;
}

static bool keep_address(const struct nlmsghdr *h, unsigned index)
{
	const struct ifaddrmsg *m = NLMSG_DATA(h);

	return h->nlmsg_type == RTM_NEWADDR && m->ifa_index == index &&
	       m->ifa_scope == RT_SCOPE_UNIVERSE && m->ifa_flags & IFA_F_PERMANENT;
}

static int store_address(const struct nlmsghdr *h, struct addresses *out)
{
	const struct ifaddrmsg *m = NLMSG_DATA(h);
	size_t left = h->nlmsg_len - NLMSG_LENGTH(sizeof(*m));
	struct address *a = &out->v[out->n];

	if (out->n == ADDRESSES_MAX)
		return fail(E2BIG, "more than %d addresses", ADDRESSES_MAX);
	a->msg = *m;
	for (const struct rtattr *t = IFA_RTA(m); RTA_OK(t, left); t = RTA_NEXT(t, left)) {
		if (t->rta_type != IFA_LOCAL && t->rta_type != IFA_ADDRESS &&
		    t->rta_type != IFA_BROADCAST)
			continue;
		if (a->len + RTA_ALIGN(t->rta_len) > sizeof(a->attrs))
			return fail(EPROTO, "an address with attributes of %u bytes", t->rta_len);
		memcpy(a->attrs + a->len, t, t->rta_len);
		a->len += RTA_ALIGN(t->rta_len);
	}
	out->n++;
	return 0;
}

static int dump_addresses(int sock, unsigned index, struct addresses *out)
{
	struct request r = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
				       .nlmsg_type = RTM_GETADDR,
				       .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP } };
	_Alignas(struct nlmsghdr) char buf[32768];
	ssize_t n;
	int ret;

	out->n = 0;
	if (send(sock, &r, r.head.nlmsg_len, 0) < 0)
		return fail_errno("ask for the addresses");
	while ((n = recv(sock, buf, sizeof(buf), 0)) > 0) {
		size_t left = (size_t)n;

		for (const struct nlmsghdr *h = (const struct nlmsghdr *)buf; NLMSG_OK(h, left);
		     h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_DONE)
				return 0;
			if (h->nlmsg_type == NLMSG_ERROR)
				return fail(EPROTO, "the kernel refuses to list addresses");
			ret = keep_address(h, index) ? store_address(h, out) : 0;
			if (ret)
				return ret;
		}
	}
	return fail_errno("list the addresses");
}

static int change_link(int sock, unsigned index, unsigned up, int ns, const char *name)
{
	struct request r = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifinfomsg)),
				       .nlmsg_type = RTM_NEWLINK } };
	struct ifinfomsg *m = NLMSG_DATA(&r.head);

	m->ifi_index = (int)index;
	m->ifi_change = IFF_UP;
	m->ifi_flags = up;
	if (ns >= 0)
		add_attr(&r, IFLA_NET_NS_FD, &ns, sizeof(ns));
	if (name)
		add_attr(&r, IFLA_IFNAME, name, strlen(name) + 1);
	return ask(sock, &r);
}

static int restore_address(int sock, unsigned index, const struct address *a)
{
	struct request r = { .head = { .nlmsg_len = NLMSG_LENGTH(sizeof(struct ifaddrmsg)),
				       .nlmsg_type = RTM_NEWADDR,
				       .nlmsg_flags = NLM_F_CREATE | NLM_F_EXCL } };
	struct ifaddrmsg *m = NLMSG_DATA(&r.head);

	*m = a->msg;
	m->ifa_index = index;
	memcpy((char *)&r + NLMSG_ALIGN(r.head.nlmsg_len), a->attrs, a->len);
	r.head.nlmsg_len = NLMSG_ALIGN(r.head.nlmsg_len) + (unsigned)a->len;
	return ask(sock, &r);
}

/* Makes the moved device what it was, in its new namespace. inside is a socket of that
 * namespace. */
static int settle(int inside, const char *name, const struct addresses *addresses)
{
	unsigned index;
	int ret = 0;

	index = if_nametoindex(name);
	if (!index)
		return fail_errno("find it after the move");
	for (size_t i = 0; !ret && i < addresses->n; i++)
		ret = restore_address(inside, index, &addresses->v[i]);
	if (!ret)
		ret = change_link(inside, index, IFF_UP, -1, NULL);
	return ret ? fail(-ret, "give it its addresses back and bring it up: %s", err_reason(-ret))
		   : 0;
}

static int move_one(const struct sandbox_net_device *d, int host, int ns, int own)
{
	const char *name = d->name ? d->name : d->host;
	unsigned index = if_nametoindex(d->host);
	struct addresses addresses;
	auto_fd inside = -1;
	int ret;

	if (!index)
		return fail(ENODEV, "there is no such device on the host");
	ret = dump_addresses(host, index, &addresses);
	if (ret)
		return ret;
	ret = change_link(host, index, 0, ns, name);
	if (ret)
		return fail(-ret, "move it to the container as %s: %s", name, err_reason(-ret));
	if (setns(ns, CLONE_NEWNET) < 0)
		return fail_errno("visit the network namespace of the container");
	inside = open_socket();
	ret = inside < 0 ? inside : settle(inside, name, &addresses);
	if (setns(own, CLONE_NEWNET) < 0)
		return fail_errno("return from the network namespace of the container");
	return ret;
}

int netdev_move(const struct sandbox_net_device *devices, size_t n, const char *ns_path, pid_t pid)
{
	char path[64];
	auto_fd own = -1, ns = -1, host = -1;
	int ret = 0;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	own = ns_open("/proc/self/ns/net", NS_NET);
	ns = own < 0 ? own : ns_open(ns_path ? ns_path : path, NS_NET);
	host = ns < 0 ? ns : open_socket();
	if (host < 0)
		return fail_in(host, "linux.netDevices");
	for (size_t i = 0; !ret && i < n; i++) {
		ret = move_one(&devices[i], host, ns, own);
		if (ret)
			fail_in(ret, "linux.netDevices.%s", devices[i].host);
	}
	return ret;
}

static bool same_namespace(pid_t pid)
{
	char path[64];
	struct stat own, its;

	snprintf(path, sizeof(path), "/proc/%d/ns/net", pid);
	return stat("/proc/self/ns/net", &own) == 0 && stat(path, &its) == 0 &&
	       own.st_dev == its.st_dev && own.st_ino == its.st_ino;
}

/* "  eth0: BYTES PACKETS ERRORS DROPPED FIFO FRAME COMPRESSED MULTICAST" and the same for
 * sending */
static bool parse_count(struct arena *a, const char *line, struct netdev_count *out)
{
	unsigned long long v[8];
	char name[IFNAMSIZ + 1];

	if (sscanf(line, " %16[^: \n]: %llu %llu %llu %llu %*u %*u %*u %*u %llu %llu %llu %llu",
		   name, &v[0], &v[1], &v[2], &v[3], &v[4], &v[5], &v[6], &v[7]) != 9)
		return false;
	*out = (struct netdev_count){
		arena_strdup(a, name), v[0], v[1], v[2], v[3], v[4], v[5], v[6], v[7]
	};
	return true;
}

int netdev_counts(struct arena *a, pid_t pid, struct netdev_count **out, size_t *out_n)
{
	struct netdev_count *v = NULL;
	size_t n = 0, cap = 0;
	char *text;
	int ret;

	*out = NULL;
	*out_n = 0;
	if (same_namespace(pid))
		return 0;
	ret = fd_read_file(AT_FDCWD, arena_printf(a, "/proc/%d/net/dev", pid), a, NET_DEV_MAX,
			   &text, NULL);
	/* a process that has ended has no namespace any more */
	if (ret == -ENOENT || ret == -ESRCH || ret == -EINVAL)
		return 0;
	if (ret)
		return ret;
	for (const char *p = text; *p; p += strcspn(p, "\n"), p += *p == '\n') {
		v = arena_grow(a, v, n, &cap, sizeof(*v));
		n += parse_count(a, p, &v[n]) && strcmp(v[n].name, "lo") != 0;
	}
	*out = v;
	*out_n = n;
	return 0;
}
