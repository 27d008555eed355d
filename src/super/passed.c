/* SPDX-License-Identifier: Apache-2.0 */
#include "super/passed.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/courier.h"
#include "super/guest.h"
#include "super/inject.h"

/* By one end of a socket, which the thread has meanwhile. */
static int64_t have_it_sent(struct passed *p, struct notif *n, int sock, int number)
{
	struct inject in;
	int64_t result;
	int ret = inject_begin(p->strays, n, &in), own;

	if (ret)
		return ret;
	own = inject_fd(&in, sock);
	result = own < 0 ? own : inject_stop(&in);
	if (!result) {
		result = courier_give(&in, own, number);
		inject_call(&in, SYS_close, (uint64_t)own);
	}
	in.again = true;
	inject_end(&in, result);
	return result;
}

static int receive(int sock)
{
	size_t n = 1;
	char byte;
	int fd = -1;

	return fd_recv(sock, &byte, sizeof(byte), &fd, &n) < 0 || n != 1 ? -EBADF : fd;
}

static void keep(struct passed *p, const struct notif *n, int number, int fd)
{
	size_t i = p->n;

	for (size_t k = 0; k < p->n; k++)
		p->v[k].again |= p->v[k].tid == n->tid;
	/* the oldest one's call fails then: so many threads are not in need at once */
	if (i == PASSED_MAX) {
		i = 0;
		fd_close(p->v[i].fd);
	} else {
		p->n++;
	}
	p->v[i].tid = n->tid;
	p->v[i].nr = n->nr;
	p->v[i].number = number;
	memcpy(p->v[i].args, n->args, sizeof(n->args));
	p->v[i].fd = fd;
	p->v[i].again = true;
}

static bool is_for(const struct passed *p, size_t i, const struct notif *n)
{
	return p->v[i].tid == n->tid && p->v[i].nr == n->nr &&
	       memcmp(p->v[i].args, n->args, sizeof(n->args)) == 0;
}

static void drop(struct passed *p, size_t i)
{
	fd_close(p->v[i].fd);
	p->v[i] = p->v[--p->n];
}

void passed_begin(struct passed *p, const struct notif *n)
{
	for (size_t i = p->n; i-- > 0;) {
		if (p->v[i].again && is_for(p, i, n))
			p->v[i].again = false;
		else if (p->v[i].tid == n->tid || (kill(p->v[i].tid, 0) < 0 && errno == ESRCH))
			drop(p, i);
	}
}

void passed_end(struct passed *p, const struct notif *n)
{
	for (size_t i = p->n; i-- > 0;)
		if (p->v[i].tid == n->tid && !p->v[i].again)
			drop(p, i);
}

int passed_take(struct passed *p, const struct notif *n, int fd)
{
	struct notif call = *n;
	int64_t ret;
	bool acted;
	int ends[2];

	for (size_t i = 0; i < p->n; i++) {
		if (!is_for(p, i, n) || p->v[i].number != fd)
			continue;
		ret = p->v[i].fd < 0 ? p->v[i].fd : fcntl(p->v[i].fd, F_DUPFD_CLOEXEC, 0);
		return ret < 0 && p->v[i].fd >= 0 ? -errno : (int)ret;
	}
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
		return -errno;
	acted = guest_pause();
	ret = have_it_sent(p, &call, ends[1], fd);
	if (call.answered) {
		p->id = n->id;
		keep(p, n, fd, ret ? (int)ret : receive(ends[0]));
	}
	if (guest_resume(acted) && !call.answered)
		ret = -EPERM;
	fd_close(ends[0]);
	fd_close(ends[1]);
	return call.answered ? -EAGAIN : (int)ret;
}
