/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A descriptor of O_PATH is one that seccomp's listener can't hand out. It goes through a socket:
 * the thread gets an end of that, takes the descriptor from it, and its own call returns it.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/courier.h"
#include "super/cow_call.h"
#include "super/guest.h"
#include "super/handler.h"

/* The lowest number that was free: the socket has it. Who may not exchange them keeps the other. */
static int64_t take_number(struct inject *in, int sock, bool cloexec)
{
	int64_t got = courier_take(in, sock, cloexec);
	const uint64_t flags = cloexec ? O_CLOEXEC : 0;
	bool lowest = got > sock &&
		      inject_call(in, SYS_dup3, (uint64_t)got, (uint64_t)sock, flags) == sock;

	inject_call(in, SYS_close, lowest ? (uint64_t)got : (uint64_t)sock);
	return lowest ? sock : got;
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
	if (!result)
		result = take_number(&in, own, cloexec);
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
	bool acted = guest_pause();
	auto_fd sock = courier_load(fd);
	int64_t ret = sock < 0 ? sock : give(s, n, sock, cloexec);

	if (guest_resume(acted))
		return -EPERM;
	return ret == -EPERM && !n->answered ? give_open(n, fd, cloexec) : ret;
}
