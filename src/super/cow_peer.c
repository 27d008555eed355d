/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of unix sockets in the map that the kernel tells: those of a socket itself and of the other
 * side, which it takes no time to ask for, are told from here. A connection or a datagram that
 * comes with one may be waited for, so the thread is followed (follow.h) through its call, and what
 * the kernel has told it is exchanged at the end. A name that the guest has too little room for is
 * cut short by what it is longer with the kernel.
 */
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "base/fd.h"
#include "super/cow_name.h"
#include "super/follow.h"
#include "super/handler.h"
#include "super/mmsg.h"

#define HEAD offsetof(struct sockaddr_un, sun_path)

/* A socket's address, and the end of a text that fills all of it. */
union name {
	struct sockaddr_un addr;
	char bytes[sizeof(struct sockaddr_un) + 1];
};

/* The name that the guest knows, and its length in *len, if it is another one. got bytes of it are
 * known. */
static bool exchange(union name *name, size_t got, socklen_t *len)
{
	char *text = name->bytes + HEAD;
	size_t was;

	if (got <= HEAD || got > sizeof(name->addr) || name->addr.sun_family != AF_UNIX)
		return false;
	text[got - HEAD] = '\0';
	was = strlen(text);
	if (!cow_socket_decode(text))
		return false;
	*len -= (socklen_t)(was - strlen(text));
	/* as it is told of others that are not too long for it */
	*len += *len == HEAD + strlen(text) && *len < sizeof(name->addr);
	return true;
}

static void tell(struct notif *n, int (*ask)(int, struct sockaddr *, socklen_t *))
{
	auto_fd fd = cow_socket_take(n);
	socklen_t len = sizeof(struct sockaddr_un);
	union name name;

	if (fd < 0 || ask(fd, (struct sockaddr *)&name.addr, &len) < 0 ||
	    !exchange(&name, len, &len))
		return;
	if (notif_valid(n))
		notif_answer(n, notif_put_addr(n, n->args[1], n->args[2], &name.addr, len));
}

void cow_on_getsockname(struct super_state *s, struct notif *n)
{
	(void)s;
	tell(n, getsockname);
}

void cow_on_getpeername(struct super_state *s, struct notif *n)
{
	(void)s;
	tell(n, getpeername);
}

/* ---- what comes with a name */

/* Which the kernel has put at that address, where `room` bytes were. */
static void exchange_at(const struct notif *n, uint64_t at, size_t room, uint32_t *len)
{
	size_t got = *len < room ? *len : room;
	union name name;

	if (got <= sizeof(name.addr) && notif_read(n, at, &name.addr, got) == 0 &&
	    exchange(&name, got, len))
		notif_write(n, at, &name.addr, *len < got ? *len : got);
}

static struct notif stopped(const struct follow_thread *t)
{
	struct notif n = { .tid = t->tid, .nr = t->own.nr };

	memcpy(n.args, t->own.arg, sizeof(n.args));
	return n;
}

/* What the caller said of his room is not there any more: it is in t->change.data[0]. */
static void show_address(const struct follow_thread *t, unsigned at)
{
	const struct notif n = stopped(t);
	uint32_t len;

	if (notif_read(&n, n.args[at + 1], &len, sizeof(len)))
		return;
	exchange_at(&n, n.args[at], (size_t)t->change.data[0], &len);
	notif_write(&n, n.args[at + 1], &len, sizeof(len));
}

static void show_accepted(struct super_state *s, const struct follow_thread *t)
{
	(void)s;
	show_address(t, 1);
}

static void show_sender(struct super_state *s, const struct follow_thread *t)
{
	(void)s;
	show_address(t, 4);
}

static void show_in_message(const struct follow_thread *t, uint64_t at)
{
	const struct notif n = stopped(t);
	struct msghdr m;

	if (notif_read(&n, at, &m, sizeof(m)) || !m.msg_name)
		return;
	exchange_at(&n, (uintptr_t)m.msg_name, (size_t)t->change.data[0], &m.msg_namelen);
	notif_write(&n, at + offsetof(struct msghdr, msg_namelen), &m.msg_namelen,
		    sizeof(m.msg_namelen));
}

static void show_message(struct super_state *s, const struct follow_thread *t)
{
	(void)s;
	show_in_message(t, t->own.arg[1]);
}

static void show_messages(struct super_state *s, const struct follow_thread *t)
{
	struct regs r;

	(void)s;
	if (regs_get(t->tid, &r))
		return;
	for (int64_t i = 0; i < call_result(&r); i++)
		show_in_message(t, mmsg_at(t->own.arg[1], (uint64_t)i));
}

/* may: there are names that could come. Who waits may be come to by one that is yet to be made. */
static void follow(struct super_state *s, struct notif *n, bool may,
		   const struct follow_change *change)
{
	auto_fd fd = cow_socket_take(n);

	if (fd >= 0 && (may || !(fcntl(fd, F_GETFL) & O_NONBLOCK)))
		follow_change(s->follow, n, change);
}

/* An address at that argument, and its length behind it. */
static void on_address(struct super_state *s, struct notif *n, unsigned at,
		       struct follow_change change)
{
	bool accepts = at == 1;
	int room;

	if (notif_read(n, n->args[at + 1], &room, sizeof(room)) || room < 0)
		return;
	change.data[0] = room;
	follow(s, n, accepts ? s->cow->clients : s->cow->named, &change);
}

void cow_on_accept(struct super_state *s, struct notif *n)
{
	on_address(s, n, 1, (struct follow_change){ .mark = 0, .done = show_accepted });
}

void cow_on_accept4(struct super_state *s, struct notif *n)
{
	on_address(s, n, 1, (struct follow_change){ .mark = 3, .done = show_accepted });
}

void cow_on_recvfrom(struct super_state *s, struct notif *n)
{
	on_address(s, n, 4, (struct follow_change){ .mark = 3, .done = show_sender });
}

static void on_messages(struct super_state *s, struct notif *n, uint64_t messages,
			struct follow_change change)
{
	change.data[0] = mmsg_least_room(n, n->args[1], messages);
	if (change.data[0] >= 0)
		follow(s, n, s->cow->named, &change);
}

void cow_on_recvmsg(struct super_state *s, struct notif *n)
{
	on_messages(s, n, 1, (struct follow_change){ .mark = 2, .done = show_message });
}

void cow_on_recvmmsg(struct super_state *s, struct notif *n)
{
	on_messages(s, n, (unsigned)n->args[2],
		    (struct follow_change){ .mark = 3, .done = show_messages });
}
