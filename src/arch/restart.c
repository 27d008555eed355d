/* SPDX-License-Identifier: Apache-2.0 */
/* Which system calls have a time to wait, and which give up where others are started again. */
#include <stddef.h>
#include <sys/syscall.h>

#include "arch/regs.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const struct restart_call calls[] = {
#ifdef SYS_poll
	{ SYS_poll, false, 2, RESTART_MS, -1, -1 },
#endif
#ifdef SYS_epoll_wait
	{ SYS_epoll_wait, true, 3, RESTART_MS, -1, -1 },
#endif
	{ SYS_nanosleep, false, 0, RESTART_TIMESPEC, 1, -1 },
	{ SYS_clock_nanosleep, false, 2, RESTART_TIMESPEC, 3, 1 },
	{ SYS_futex, false, 3, RESTART_TIMESPEC, -1, -1 },
	{ SYS_epoll_pwait, true, 3, RESTART_MS, -1, -1 },
#ifdef SYS_epoll_pwait2
	{ SYS_epoll_pwait2, true, 3, RESTART_TIMESPEC, -1, -1 },
#endif
	{ SYS_rt_sigtimedwait, true, 2, RESTART_TIMESPEC, -1, -1 },
	{ SYS_semop, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_semtimedop, true, 3, RESTART_TIMESPEC, -1, -1 },
	{ SYS_io_getevents, true, 4, RESTART_TIMESPEC, -1, -1 },
	/* on a socket with a timeout (SO_RCVTIMEO, SO_SNDTIMEO); it starts over in full */
	{ SYS_read, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_readv, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_recvfrom, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_recvmsg, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_recvmmsg, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_accept, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_accept4, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_connect, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_sendto, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_sendmsg, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_sendmmsg, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_write, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_writev, true, 0, RESTART_FOREVER, -1, -1 },
	{ SYS_sendfile, true, 0, RESTART_FOREVER, -1, -1 },
#ifdef SYS_io_pgetevents
	{ SYS_io_pgetevents, true, 4, RESTART_TIMESPEC, -1, -1 },
#endif
};

const struct restart_call *restart_find(int64_t nr)
{
	for (size_t i = 0; i < COUNT(calls); i++)
		if (calls[i].nr == nr)
			return &calls[i];
	return NULL;
}
