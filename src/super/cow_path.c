/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor of O_PATH is one that seccomp's listener can't hand out. It goes through a socket:
 * the thread gets an end of that, takes the descriptor from it, and its own call returns it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/cow_call.h"
#include "super/guest.h"
#include "super/handler.h"

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

static int64_t receive(struct inject *in, int sock, bool cloexec)
{
	const int flags = MSG_DONTWAIT | (cloexec ? MSG_CMSG_CLOEXEC : 0);
	struct inject_room at;
	struct room room;
	int64_t ret = inject_room(in, sizeof(room), &at);
	int got;

	if (ret)
		return ret;
	fill(&room, at.at);
	ret = notif_write(in->n, at.at, &room, sizeof(room));
	if (!ret)
		ret = inject_call(in, SYS_recvmsg, (uint64_t)sock,
				  at.at + offsetof(struct room, msg), GUARD_PASSING(flags));
	if (ret >= 0)
		ret = notif_read(in->n, at.at, &room, sizeof(room));
	inject_room_end(in, &at);
	if (ret < 0)
		return ret;
	/* the kernel gives none where the table is full */
	if (room.msg.msg_controllen < CMSG_LEN(sizeof(int)))
		return -EMFILE;
	memcpy(&got, room.control.buf + CMSG_LEN(0), sizeof(got));
	return got;
}

static int64_t give(struct super_state *s, struct notif *n, int sock, bool cloexec)
{
	struct inject in;
	int64_t result;
	int ret = inject_begin(&s->strays, n, &in), own;

	if (ret)
		return ret;
	own = inject_fd(&in, sock);
	result = own < 0 ? own : inject_stop(&in);
	if (!result) {
		result = receive(&in, own, cloexec);
		inject_call(&in, SYS_close, (uint64_t)own);
	}
	inject_end(&in, result);
	return result;
}

/* To who is traced already: what it may read is nearly as good. */
static int64_t give_open(struct notif *n, int fd, bool cloexec)
{
	auto_fd opened = fd_reopen(fd, O_RDONLY | O_NONBLOCK | O_NOCTTY);

	if (opened < 0)
		return opened;
	notif_answer_fd(n, opened, cloexec);
	return 0;
}

int64_t cow_give_path(struct super_state *s, struct notif *n, int fd, bool cloexec)
{
	bool acted;
	int64_t ret;
	int ends[2];

	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
		return -errno;
	acted = guest_pause();
	ret = fd_send(ends[0], "", 1, &fd, 1);
	if (!ret)
		ret = give(s, n, ends[1], cloexec);
	guest_resume(acted);
	fd_close(ends[0]);
	fd_close(ends[1]);
	return ret == -EPERM && !n->answered ? give_open(n, fd, cloexec) : ret;
}
