/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The network namespace, where it is the container's own and new: the loopback is up or not, and
 * may have addresses that it was given inside. Interfaces beside it come from whoever gave them;
 * where that is no hook of the configuration, which does it again, they are refused, as are filter
 * rules. rtnetlink(7)
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/kinds.h"
#include "ckpt/sockets.h"
#include "jail/ns.h"
#include "jail/plan.h"

#define ANSWER_MAX (64u << 10)
#define ADDRESSES_MAX 65536u
#define TEXT_MAX (1u << 20)
#define LOOPBACK 1u /* its number, in every namespace */

struct address {
	uint32_t family, prefix;
	const void *bytes;
	size_t len;
};

struct network {
	bool known, down; /* known: the namespace is the container's own */
	struct address *addresses;
	size_t n, room;
};

static const struct record_field address_rows[] = {
	RECORD(U, struct address, "family", family),
	RECORD(U, struct address, "prefix", prefix, RECORD_MAX(128)),
	RECORD(BYTES, struct address, "address", bytes, RECORD_N(struct address, len),
	       RECORD_MAX(sizeof(struct in6_addr))),
};
static const struct record_table address_table = RECORD_TABLE(struct address, address_rows);
static const struct record_field rows[] = {
	RECORD(BOOL, struct network, "own", known, RECORD_OPTIONAL),
	RECORD(BOOL, struct network, "loopbackDown", down, RECORD_OPTIONAL),
	RECORD_LIST_OF(struct network, "addresses", addresses, n, address_table, RECORD_OPTIONAL,
		       RECORD_MAX(ADDRESSES_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct network, rows);

/* ---- what the kernel lists */

struct request {
	struct nlmsghdr head;
	union {
		struct ifinfomsg link;
		struct ifaddrmsg address;
		struct nfgenmsg filter;
	};
};

struct listing {
	struct ckpt *c;
	struct network *net;
	uint32_t filters; /* tables of nft(8) */
};

static const void *attribute(const struct rtattr *a, int left, unsigned type, size_t *out_len)
{
	for (; RTA_OK(a, left); a = RTA_NEXT(a, left))
		if (a->rta_type == type) {
			*out_len = RTA_PAYLOAD(a);
			return RTA_DATA(a);
		}
	return NULL;
}

/* One that is down carries nothing: the kernel itself puts some into every new namespace. */
static void take_link(struct listing *l, const struct nlmsghdr *head)
{
	const struct ifinfomsg *m = NLMSG_DATA(head);
	const struct sandbox *sb = l->c->subject->sb;
	size_t len = 0;
	const char *name = attribute(IFLA_RTA(m), (int)IFLA_PAYLOAD(head), IFLA_IFNAME, &len);

	if (m->ifi_index == (int)LOOPBACK)
		l->net->down = !(m->ifi_flags & IFF_UP);
	else if ((m->ifi_flags & IFF_UP) && name && !sb->n_net_devices &&
		 !sb->hooks[HOOK_PRESTART].n && !sb->hooks[HOOK_CREATE_RUNTIME].n)
		ckpt_problem(l->c, NULL, -1,
			     arena_printf(l->c->arena, "network interface %.*s", (int)len, name),
			     "nothing in the configuration (a hook, linux.netDevices) gives it to "
			     "the container again");
}

static bool is_automatic(const struct address *a)
{
	static const uint8_t v4[] = { 127, 0, 0, 1 };

	if (a->family == AF_INET)
		return a->prefix == 8 && memcmp(a->bytes, v4, sizeof(v4)) == 0;
	return memcmp(a->bytes, &in6addr_loopback, sizeof(in6addr_loopback)) == 0;
}

static void take_address(struct listing *l, const struct nlmsghdr *head)
{
	const struct ifaddrmsg *m = NLMSG_DATA(head);
	struct address a = { .family = m->ifa_family, .prefix = m->ifa_prefixlen };
	int left = (int)IFA_PAYLOAD(head);
	const void *bytes = attribute(IFA_RTA(m), left, IFA_LOCAL, &a.len);

	if (!bytes)
		bytes = attribute(IFA_RTA(m), left, IFA_ADDRESS, &a.len);
	if (m->ifa_index != LOOPBACK || !bytes ||
	    a.len != (a.family == AF_INET ? sizeof(struct in_addr) : sizeof(struct in6_addr)))
		return;
	a.bytes = arena_memdup(l->c->arena, bytes, a.len);
	if (is_automatic(&a))
		return;
	l->net->addresses =
		arena_grow(l->c->arena, l->net->addresses, l->net->n, &l->net->room, sizeof(a));
	l->net->addresses[l->net->n++] = a;
}

static void take_filter(struct listing *l, const struct nlmsghdr *head)
{
	(void)head;
	l->filters++;
}

static const struct {
	int protocol;
	uint16_t ask, answer;
	void (*take)(struct listing *l, const struct nlmsghdr *head);
} lists[] = {
	{ NETLINK_ROUTE, RTM_GETLINK, RTM_NEWLINK, take_link },
	{ NETLINK_ROUTE, RTM_GETADDR, RTM_NEWADDR, take_address },
	{ NETLINK_NETFILTER, NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETTABLE,
	  NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_NEWTABLE, take_filter },
};

/* 1: there is more to come; 0: that was all, or the kernel has no such list. */
static int take(struct listing *l, size_t which, const char *buf, size_t n)
{
	const struct nlmsghdr *head;

	for (size_t at = 0; at < n && n - at >= sizeof(*head); at += NLMSG_ALIGN(head->nlmsg_len)) {
		head = (const void *)(buf + at);
		if (head->nlmsg_len < NLMSG_LENGTH(sizeof(struct nfgenmsg)) ||
		    head->nlmsg_len > n - at)
			return fail(EPROTO, "list the network of the container: a message of the "
					    "kernel is cut");
		if (head->nlmsg_type == NLMSG_DONE || head->nlmsg_type == NLMSG_ERROR)
			return 0;
		if (head->nlmsg_type == lists[which].answer)
			lists[which].take(l, head);
	}
	return 1;
}

static int ask(struct listing *l, size_t which, int fd, char *buf)
{
	struct request r = {
		.head = { .nlmsg_len = sizeof(r),
			  .nlmsg_type = lists[which].ask,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
	};
	int ret = 1;
	ssize_t n;

	if (send(fd, &r, sizeof(r), 0) < 0)
		return fail_errno("ask for the network of the container");
	while (ret > 0) {
		n = recv(fd, buf, ANSWER_MAX, 0);
		if (n <= 0)
			return fail_errno("list the network of the container");
		ret = take(l, which, buf, (size_t)n);
	}
	return ret;
}

/* A socket of a protocol that nobody speaks would load it: the kernel's own are in the list. */
static bool is_spoken(struct ckpt *c, int protocol)
{
	char path[64], *text, *line;
	unsigned number, port;

	snprintf(path, sizeof(path), "/proc/%d/net/netlink", c->procs[0]->host);
	if (fd_read_file(AT_FDCWD, path, c->arena, TEXT_MAX, &text, NULL))
		return false;
	for (line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (sscanf(line, "%*s %u %u", &number, &port) == 2 && !port &&
		    number == (unsigned)protocol)
			return true;
	return false;
}

static bool has_own(const struct ckpt *c)
{
	return ns_new(&c->subject->sb->ns, NS_NET);
}

static int look(struct listing *l)
{
	char *buf = arena_alloc(l->c->arena, ANSWER_MAX);
	int protocol = -1, fd = -1, ret = 0;

	for (size_t i = 0; i < NAME_COUNT(lists) && !ret; i++) {
		if (lists[i].protocol != protocol) {
			fd_close(fd_take(&fd));
			protocol = lists[i].protocol;
			if (!is_spoken(l->c, protocol))
				continue;
			fd = socket_in_container(l->c, AF_NETLINK, SOCK_RAW, protocol);
			ret = fd < 0 ? fd : 0;
		}
		if (fd >= 0 && !ret)
			ret = ask(l, i, fd, buf);
	}
	fd_close(fd);
	return ret;
}

/* The older interface of the kernel lists its tables here once something has used them. */
static bool has_iptables(struct ckpt *c)
{
	static const char *const names[] = { "ip_tables_names", "ip6_tables_names" };
	char path[64], *text;

	for (size_t i = 0; i < NAME_COUNT(names); i++) {
		snprintf(path, sizeof(path), "/proc/%d/net/%s", c->procs[0]->host, names[i]);
		if (fd_read_file(AT_FDCWD, path, c->arena, 4096, &text, NULL) == 0 && *text)
			return true;
	}
	return false;
}

/* Looked at once, before the freeze: it takes a helper in that namespace. */
static int check(const struct ckpt_unit *u)
{
	struct network *net = arena_alloc(u->c->arena, sizeof(*net));
	struct listing l = { .c = u->c, .net = net };
	int ret;

	if (!has_own(u->c))
		return 0;
	net->known = true;
	ret = look(&l);
	if (!ret && (l.filters || has_iptables(u->c)))
		ckpt_problem(u->c, NULL, -1, "network",
			     "its filter rules (nft, iptables) can't be "
			     "restored");
	*ckpt_note(&kind_net, u->c->procs[0]) = net;
	return ret;
}

static int collect(const struct ckpt_unit *u)
{
	const struct network *net = *ckpt_note(&kind_net, u->c->procs[0]);

	if (net)
		*(struct network *)u->rec = *net;
	return 0;
}

/* ---- restore */

static int prepare(const struct ckpt_unit *u)
{
	const struct network *net = u->rec;

	for (size_t i = 0; net && i < net->n; i++) {
		const struct address *a = &net->addresses[i];

		if ((a->family != AF_INET || a->len != sizeof(struct in_addr)) &&
		    (a->family != AF_INET6 || a->len != sizeof(struct in6_addr)))
			return fail(EBADMSG, "the image: %s: network.addresses[%zu] is none",
				    IMAGE_CONTAINER, i);
	}
	return 0;
}

static int open_there(struct ckpt *c, int family, int type)
{
	const struct socket_sort s = { family, type, 0 };
	int there, ret = socket_make(c, &s, &there);

	return ret ? ret : socket_release(c, there);
}

static int bring_down(struct ckpt *c)
{
	struct ifreq req = { .ifr_name = "lo" };
	auto_fd fd = open_there(c, AF_INET, SOCK_DGRAM);

	if (fd < 0)
		return fd;
	return ioctl(fd, SIOCSIFFLAGS, &req) < 0 ? fail_errno("bring the loopback down") : 0;
}

static int add_address(int fd, const struct address *a)
{
	struct {
		struct nlmsghdr head;
		struct ifaddrmsg address;
		struct rtattr local;
		uint8_t bytes[sizeof(struct in6_addr)];
	} m = {
		.head = { .nlmsg_type = RTM_NEWADDR,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_REPLACE },
		.address = { .ifa_family = (uint8_t)a->family,
			     .ifa_prefixlen = (uint8_t)a->prefix,
			     .ifa_flags = a->family == AF_INET6 ? IFA_F_NODAD : 0,
			     .ifa_index = LOOPBACK },
		.local = { .rta_type = IFA_LOCAL },
	};
	struct {
		struct nlmsghdr head;
		struct nlmsgerr error;
		char rest[256];
	} answer;
	ssize_t n;

	memcpy(m.bytes, a->bytes, a->len);
	m.local.rta_len = (unsigned short)RTA_LENGTH(a->len);
	m.head.nlmsg_len = (uint32_t)(NLMSG_LENGTH(sizeof(m.address)) + RTA_LENGTH(a->len));
	if (send(fd, &m, m.head.nlmsg_len, 0) < 0)
		return fail_errno("give the loopback an address");
	n = recv(fd, &answer, sizeof(answer), 0);
	if (n < (ssize_t)sizeof(answer.head) + (ssize_t)sizeof(answer.error))
		return fail_errno("give the loopback an address");
	return answer.error.error ? fail(-answer.error.error, "give the loopback an address: %s",
					 err_reason(-answer.error.error))
				  : 0;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct network *net = u->rec;
	auto_fd fd = -1;
	int ret = 0;

	if (!net || !net->known || !ns_new(&u->c->sb->ns, NS_NET))
		return 0;
	if (net->n) {
		fd = open_there(u->c, AF_NETLINK, SOCK_RAW);
		ret = fd < 0 ? fd : 0;
	}
	for (size_t i = 0; i < net->n && !ret; i++)
		ret = add_address(fd, &net->addresses[i]);
	if (!ret && net->down)
		ret = bring_down(u->c);
	return ret;
}

const struct ckpt_kind kind_net = {
	.name = "network",
	.scope = KIND_CONTAINER,
	.table = &table,
	.check = check,
	.collect = collect,
	.prepare = prepare,
	.rebuild = { [PHASE_ROOT] = rebuild },
};
