/* SPDX-License-Identifier: Apache-2.0 */
#include "super/courier.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>

#include "base/fd.h"
#include "bpf/guard.h"

/* What the thread points to. */
struct room {
	struct msghdr msg;
	struct iovec iov;
	char byte;
	union {
		char buf[CMSG_SPACE(sizeof(int))];
		struct cmsghdr align;
	} control;
};

/* Pointers into the thread's own memory, where the room is at `at`. */
static void fill(struct room *r, uint64_t at)
{
	memset(r, 0, sizeof(*r));
	r->iov.iov_base = (void *)(uintptr_t)(at + offsetof(struct room, byte));
	r->iov.iov_len = sizeof(r->byte);
	r->msg.msg_iov = (void *)(uintptr_t)(at + offsetof(struct room, iov));
	r->msg.msg_iovlen = 1;
	r->msg.msg_control = (void *)(uintptr_t)(at + offsetof(struct room, control));
	r->msg.msg_controllen = sizeof(r->control);
}

/* The call with the room, which is read back. */
static int64_t exchange(struct inject *in, long nr, int sock, int flags, struct room *r)
{
	struct inject_room at;
	int64_t ret = inject_room(in, sizeof(*r), &at);
	struct room placed = *r;

	if (ret)
		return ret;
	fill(&placed, at.at);
	placed.control = r->control;
	ret = notif_write(in->n, at.at, &placed, sizeof(placed));
	if (!ret)
		ret = inject_call(in, nr, (uint64_t)sock, at.at + offsetof(struct room, msg),
				  GUARD_PASSING(flags | MSG_DONTWAIT));
	if (ret >= 0)
		ret = notif_read(in->n, at.at, r, sizeof(*r));
	inject_room_end(in, &at);
	return ret;
}

int courier_load(int fd)
{
	int ends[2], ret;

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	ret = fd_send(ends[0], "", 1, &fd, 1);
	fd_close(ends[0]);
	if (ret)
		fd_close(ends[1]);
	return ret ? ret : ends[1];
}

int courier_put(struct inject *in, int fd, bool secret)
{
	auto_fd path = secret ? fd_reopen(fd, O_PATH) : -1, sock = -1;

	if (!secret)
		return inject_fd(in, fd);
	sock = path < 0 ? path : courier_load(path);
	return sock < 0 ? sock : inject_fd(in, sock);
}

int64_t courier_have(struct inject *in, int number, bool secret)
{
	int64_t got;

	if (!secret)
		return number;
	got = courier_take(in, number, true);
	inject_call(in, SYS_close, (uint64_t)number);
	return got;
}

int64_t courier_take(struct inject *in, int sock, bool cloexec)
{
	struct room r = { .byte = 0 };
	int64_t ret = exchange(in, SYS_recvmsg, sock, cloexec ? MSG_CMSG_CLOEXEC : 0, &r);
	int got;

	if (ret < 0)
		return ret;
	/* the kernel gives none where the table is full */
	if (r.msg.msg_controllen < CMSG_LEN(sizeof(int)))
		return -EMFILE;
	memcpy(&got, r.control.buf + CMSG_LEN(0), sizeof(got));
	return got;
}

int64_t courier_give(struct inject *in, int sock, int number)
{
	struct room r = { .byte = 0 };

	r.control.align = (struct cmsghdr){ CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS };
	memcpy(r.control.buf + CMSG_LEN(0), &number, sizeof(number));
	return exchange(in, SYS_sendmsg, sock, MSG_NOSIGNAL, &r);
}
