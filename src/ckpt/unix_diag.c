/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/unix_diag.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/sockets.h"

#define ANSWER_MAX (64u << 10)
#define NAME_MAX_UNIX 108

struct query {
	struct nlmsghdr head;
	struct unix_diag_req req;
};

/* Copies an attribute out of a message; what is shorter or longer than expected is not it. */
static void get(const struct rtattr *a, void *out, size_t len)
{
	if (RTA_PAYLOAD(a) == len)
		memcpy(out, RTA_DATA(a), len);
}

static void add(struct ckpt *c, struct unix_table *t, const struct nlmsghdr *head)
{
	const struct unix_diag_msg *m = NLMSG_DATA(head);
	struct unix_entry e = { .ino = m->udiag_ino,
				.type = m->udiag_type,
				.state = m->udiag_state };
	struct unix_diag_rqlen queue = { 0 };
	struct unix_diag_vfs file = { 0 };
	uint32_t peer = 0;
	int left = (int)head->nlmsg_len - (int)NLMSG_LENGTH(sizeof(*m));

	for (const struct rtattr *a = (const void *)(m + 1); RTA_OK(a, left);
	     a = RTA_NEXT(a, left)) {
		switch (a->rta_type) {
		case UNIX_DIAG_NAME:
			e.name_len =
				RTA_PAYLOAD(a) > NAME_MAX_UNIX ? NAME_MAX_UNIX : RTA_PAYLOAD(a);
			e.name = arena_memdup(c->arena, RTA_DATA(a), e.name_len);
			break;
		case UNIX_DIAG_VFS:
			get(a, &file, sizeof(file));
			break;
		case UNIX_DIAG_PEER:
			get(a, &peer, sizeof(peer));
			break;
		case UNIX_DIAG_RQLEN:
			get(a, &queue, sizeof(queue));
			break;
		case UNIX_DIAG_SHUTDOWN:
			get(a, &e.shutdown, sizeof(e.shutdown));
			break;
		default:
			break;
		}
	}
	e.peer = peer;
	e.file = file.udiag_vfs_ino;
	if (e.state == TCP_LISTEN) {
		e.waiting = queue.udiag_rqueue;
		e.backlog = queue.udiag_wqueue;
	}
	t->v = arena_grow(c->arena, t->v, t->n, &t->room, sizeof(*t->v));
	t->v[t->n++] = e;
}

static int refused(int code)
{
	return fail(code, "list the unix sockets of the container: %s",
		    code == ENOENT ? "the kernel does not tell of them (CONFIG_UNIX_DIAG; modprobe "
				     "unix_diag)"
				   : err_reason(code));
}

/* 1: there is more to come; 0: that was all; or -errno. */
static int take(struct ckpt *c, struct unix_table *t, const char *buf, size_t n)
{
	const struct nlmsghdr *head;
	const struct nlmsgerr *error;

	for (size_t at = 0; at < n && n - at >= sizeof(*head); at += NLMSG_ALIGN(head->nlmsg_len)) {
		head = (const void *)(buf + at);
		if (head->nlmsg_len < sizeof(*head) || head->nlmsg_len > n - at)
			return fail(EPROTO, "list the unix sockets of the container: a message of "
					    "the kernel is cut");
		if (head->nlmsg_type == NLMSG_DONE)
			return 0;
		error = NLMSG_DATA(head);
		if (head->nlmsg_type == NLMSG_ERROR)
			return refused(-error->error);
		if (head->nlmsg_len >= NLMSG_LENGTH(sizeof(struct unix_diag_msg)))
			add(c, t, head);
	}
	return 1;
}

static int compare(const void *a, const void *b)
{
	const struct unix_entry *x = a, *y = b;

	return (x->ino > y->ino) - (x->ino < y->ino);
}

struct unix_entry *unix_find(const struct unix_table *t, uint64_t ino)
{
	struct unix_entry key = { .ino = ino };

	return ino && t->n ? bsearch(&key, t->v, t->n, sizeof(*t->v), compare) : NULL;
}

struct unix_entry *unix_listener(const struct unix_table *t, const void *name, size_t len)
{
	for (size_t i = 0; len && i < t->n; i++)
		if (t->v[i].state == TCP_LISTEN && t->v[i].name_len == len &&
		    memcmp(t->v[i].name, name, len) == 0)
			return &t->v[i];
	return NULL;
}

static void mark(struct ckpt *c, struct ckpt_proc *p, struct unix_table *t)
{
	struct unix_entry *e;
	char name[32], text[256];
	uint64_t ino;
	int *fds;
	size_t n;

	if (p->zombie || proc_fds(c->arena, p->host, &fds, &n))
		return;
	for (size_t i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "fd/%d", fds[i]);
		if (proc_link(p->host, name, text, sizeof(text)) ||
		    proc_fd_kind(text, &ino) != PROC_FD_SOCKET)
			continue;
		e = unix_find(t, ino);
		if (e)
			e->ours = true;
	}
}

int unix_diag(struct ckpt *c, struct unix_table *out)
{
	struct query q = {
		.head = { .nlmsg_len = sizeof(q),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP },
		.req = { .sdiag_family = AF_UNIX,
			 .udiag_states = ~0u,
			 .udiag_show = UDIAG_SHOW_NAME | UDIAG_SHOW_PEER | UDIAG_SHOW_RQLEN |
				       UDIAG_SHOW_VFS },
	};
	auto_fd fd = socket_in_container(c, AF_NETLINK, SOCK_RAW, NETLINK_SOCK_DIAG);
	char *buf = arena_alloc(c->arena, ANSWER_MAX);
	int ret = 1;
	ssize_t n;

	if (fd < 0)
		return fd;
	*out = (struct unix_table){ 0 };
	if (send(fd, &q, sizeof(q), 0) < 0)
		return fail_errno("ask for the unix sockets of the container");
	while (ret > 0) {
		n = recv(fd, buf, ANSWER_MAX, 0);
		if (n <= 0)
			return fail_errno("list the unix sockets of the container");
		ret = take(c, out, buf, (size_t)n);
	}
	if (out->n)
		qsort(out->v, out->n, sizeof(*out->v), compare);
	for (size_t i = 0; i < c->n_procs && !ret; i++)
		mark(c, c->procs[i], out);
	return ret;
}
