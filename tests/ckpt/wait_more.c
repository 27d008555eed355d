/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls that wait: those of futexes, of descriptors of every sort, by the newer calls; and a
 * handler in the middle of one of them.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "cycle.h"
#include "wait.h"

static const struct timespec timeout = { TIMEOUT_MS / 1000, 0 };

static void sockets(struct waiter *w)
{
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->fd));
}

static void nothing(struct waiter *w)
{
	w->fd[0] = w->fd[1] = -1;
}

/* ---- futexes */

static long futex(uint32_t *word, int op, uint32_t value, const struct timespec *t, uint32_t *other)
{
	return syscall(SYS_futex, word, op, value, t, other, FUTEX_BITSET_MATCH_ANY);
}

static long do_bitset_until(struct waiter *w)
{
	struct timespec at = wait_until(CLOCK_MONOTONIC);

	return futex(&w->word, FUTEX_WAIT_BITSET_PRIVATE, 0, &at, NULL);
}

static long do_bitset_until_realtime(struct waiter *w)
{
	struct timespec at = wait_until(CLOCK_REALTIME);

	return futex(&w->word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &at, NULL);
}

static long do_bitset(struct waiter *w)
{
	return futex(&w->word, FUTEX_WAIT_BITSET, 0, NULL, NULL);
}

static void wake_bitset(struct waiter *w)
{
	__atomic_store_n(&w->word, 1, __ATOMIC_SEQ_CST);
	must(futex(&w->word, FUTEX_WAKE_BITSET, 1, NULL, NULL));
}

/* Held by the first thread. */
static void hold(struct waiter *w)
{
	must(futex(&w->word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL));
}

static void unlock(struct waiter *w)
{
	must(futex(&w->word, FUTEX_UNLOCK_PI_PRIVATE, 0, NULL, NULL));
}

static long do_lock_pi(struct waiter *w)
{
	return futex(&w->word, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL);
}

static long do_lock_pi_until(struct waiter *w)
{
	struct timespec at = wait_until(CLOCK_REALTIME);

	return futex(&w->word, FUTEX_LOCK_PI_PRIVATE, 0, &at, NULL);
}

static long do_waitv(struct waiter *w)
{
	struct futex_waitv v[2] = {
		{ .uaddr = (uintptr_t)&w->word, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
		{ .uaddr = (uintptr_t)&w->other, .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG },
	};

	return syscall(SYS_futex_waitv, v, 2, 0, NULL, CLOCK_MONOTONIC);
}

static void wake_other(struct waiter *w)
{
	__atomic_store_n(&w->other, 1, __ATOMIC_SEQ_CST);
	must(futex(&w->other, FUTEX_WAKE_PRIVATE, 1, NULL, NULL));
}

static long do_waitv_until(struct waiter *w)
{
	struct timespec at = wait_until(CLOCK_MONOTONIC);
	struct futex_waitv v = { .uaddr = (uintptr_t)&w->word,
				 .flags = FUTEX_32 | FUTEX_PRIVATE_FLAG };

	return syscall(SYS_futex_waitv, &v, 1, 0, &at, CLOCK_MONOTONIC);
}

/* The words are as when they were called: whoever asks again sleeps again. */
static struct waiter locks[] = {
	WAITER("futex until", do_bitset_until, NULL, -1, ETIMEDOUT),
	WAITER("futex until, realtime", do_bitset_until_realtime, NULL, -1, ETIMEDOUT),
	WAITER("a shared futex", do_bitset, wake_bitset, 0, 0),
	WAITER("a lock with inheritance", do_lock_pi, unlock, 0, 0, .prepare = hold),
	WAITER("a lock with inheritance until", do_lock_pi_until, NULL, -1, ETIMEDOUT,
	       .prepare = hold),
	WAITER("two futexes", do_waitv, wake_other, 1, 0),
	WAITER("futex_waitv until", do_waitv_until, NULL, -1, ETIMEDOUT),
};

static void futexes(void)
{
	wait_all(locks, sizeof(locks) / sizeof(locks[0]));
}

/* ---- descriptors */

static void write_one(struct waiter *w)
{
	must(write(w->fd[1], "x", 1));
}

static void fill(struct waiter *w)
{
	char block[4096] = "";

	must(fcntl(w->fd[1], F_SETFL, O_WRONLY | O_NONBLOCK));
	while (write(w->fd[1], block, sizeof(block)) > 0)
		;
	while (write(w->fd[1], block, 1) > 0)
		;
	must(fcntl(w->fd[1], F_SETFL, O_WRONLY));
}

static void full_pipe(struct waiter *w)
{
	must(pipe2(w->fd, O_CLOEXEC));
	fill(w);
}

static void full_socket(struct waiter *w)
{
	sockets(w);
	fill(w);
}

/* As many messages as may wait: it stays full, whatever they weigh. */
static void full_messages(struct waiter *w)
{
	must(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, w->fd));
	while (send(w->fd[1], "z", 1, MSG_DONTWAIT) > 0)
		;
}

static long do_write(struct waiter *w)
{
	return write(w->fd[1], "y", 1);
}

static long do_send_timeout(struct waiter *w)
{
	struct timeval t = { TIMEOUT_MS / 1000, 0 };

	must(setsockopt(w->fd[1], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof(t)));
	return write(w->fd[1], "y", 1);
}

static void drain(struct waiter *w)
{
	static char room[1 << 20];

	must(read(w->fd[0], room, sizeof(room)));
}

static long do_readv(struct waiter *w)
{
	char c[2];
	struct iovec v[2] = { { c, 1 }, { c + 1, 1 } };

	return readv(w->fd[0], v, 2);
}

static long do_recvmsg_all(struct waiter *w)
{
	char c[2];
	struct iovec v = { c, 1 };
	struct msghdr m = { .msg_iov = &v, .msg_iovlen = 1 };

	return recvmsg(w->fd[0], &m, MSG_WAITALL);
}

static long do_recvmmsg(struct waiter *w)
{
	char c;
	struct iovec v = { &c, 1 };
	struct mmsghdr m = { .msg_hdr = { .msg_iov = &v, .msg_iovlen = 1 } };

	return recvmmsg(w->fd[0], &m, 1, 0, NULL);
}

static long do_splice(struct waiter *w)
{
	int out[2];

	must(pipe2(out, O_CLOEXEC));
	return splice(w->fd[0], NULL, out[1], NULL, 1, 0);
}

static struct sockaddr_un address(const struct waiter *w)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };

	snprintf(a.sun_path + 1, sizeof(a.sun_path) - 1, "waits-%d-%p", getpid(), (const void *)w);
	return a;
}

static void listener(struct waiter *w)
{
	struct sockaddr_un a = address(w);

	w->fd[0] = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	must(bind(w->fd[0], (struct sockaddr *)&a, sizeof(a)));
	must(listen(w->fd[0], 4));
}

static long do_accept(struct waiter *w)
{
	return accept(w->fd[0], NULL, NULL) >= 0;
}

static long do_accept_timeout(struct waiter *w)
{
	struct timeval t = { TIMEOUT_MS / 1000, 0 };

	must(setsockopt(w->fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	return accept(w->fd[0], NULL, NULL);
}

static void dial(struct waiter *w)
{
	struct sockaddr_un a = address(w);
	int fd = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	must(connect(fd, (struct sockaddr *)&a, sizeof(a)));
}

static void event(struct waiter *w)
{
	w->fd[0] = w->fd[1] = (int)must(eventfd(0, EFD_CLOEXEC));
}

static long do_read_event(struct waiter *w)
{
	uint64_t n;

	return read(w->fd[0], &n, sizeof(n));
}

static void wake_event(struct waiter *w)
{
	must(write(w->fd[1], &(uint64_t){ 1 }, sizeof(uint64_t)));
}

static void timer(struct waiter *w)
{
	w->fd[0] = (int)must(timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC));
}

static long do_read_timer(struct waiter *w)
{
	struct itimerspec t = { .it_value = timeout };
	uint64_t n = 0;

	must(timerfd_settime(w->fd[0], 0, &t, NULL));
	return read(w->fd[0], &n, sizeof(n)) == sizeof(n) && n == 1 ? 0 : 1;
}

static void signals(struct waiter *w)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	w->fd[0] = (int)must(signalfd(-1, &set, SFD_CLOEXEC));
}

static long do_read_signal(struct waiter *w)
{
	struct signalfd_siginfo info;

	return read(w->fd[0], &info, sizeof(info)) == sizeof(info);
}

static void send_signal(struct waiter *w)
{
	must(syscall(SYS_tgkill, getpid(), w->tid, SIGRTMIN + 1));
}

static void terminal(struct waiter *w)
{
	w->fd[1] = (int)must(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
	must(grantpt(w->fd[1]));
	must(unlockpt(w->fd[1]));
	w->fd[0] = (int)must(open(ptsname(w->fd[1]), O_RDWR | O_NOCTTY | O_CLOEXEC));
}

static long do_read_line(struct waiter *w)
{
	char line[8];

	return read(w->fd[0], line, sizeof(line));
}

static void type_line(struct waiter *w)
{
	must(write(w->fd[1], "ab\n", 3));
}

static const char *fifo_path(const struct waiter *w, char *buf, size_t size)
{
	const char *at = getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle";

	snprintf(buf, size, "%s/fifo-%p", at, (const void *)w);
	return buf;
}

static void fifo(struct waiter *w)
{
	char path[256];

	unlink(fifo_path(w, path, sizeof(path)));
	must(mkfifo(path, 0600));
}

static long do_open(struct waiter *w)
{
	char path[256];

	return open(fifo_path(w, path, sizeof(path)), O_RDONLY | O_CLOEXEC) >= 0;
}

static void open_other_end(struct waiter *w)
{
	char path[256];

	must(open(fifo_path(w, path, sizeof(path)), O_WRONLY | O_CLOEXEC));
}

static struct waiter descriptors[] = {
	WAITER("write to a pipe", do_write, drain, 1, 0, .prepare = full_pipe),
	WAITER("write to a socket", do_write, drain, 1, 0, .prepare = full_socket),
	WAITER("write with a timeout", do_send_timeout, NULL, -1, EAGAIN, .prepare = full_messages),
	WAITER("readv", do_readv, write_one, 1, 0),
	WAITER("recvmsg", do_recvmsg_all, write_one, 1, 0, .prepare = sockets),
	WAITER("recvmmsg", do_recvmmsg, write_one, 1, 0, .prepare = sockets),
	WAITER("splice", do_splice, write_one, 1, 0),
	WAITER("accept", do_accept, dial, 1, 0, .prepare = listener),
	WAITER("accept with a timeout", do_accept_timeout, NULL, -1, EAGAIN, .prepare = listener),
	WAITER("read of an eventfd", do_read_event, wake_event, 8, 0, .prepare = event),
	WAITER("read of a timerfd", do_read_timer, NULL, 0, 0, .prepare = timer),
	WAITER("read of a signalfd", do_read_signal, send_signal, 1, 0, .prepare = signals),
	WAITER("read of a terminal", do_read_line, type_line, 3, 0, .prepare = terminal),
	WAITER("open of a fifo", do_open, open_other_end, 1, 0, .prepare = fifo),
};

static void on_descriptors(void)
{
	wait_all(descriptors, sizeof(descriptors) / sizeof(descriptors[0]));
}

/* ---- the rest */

static long do_ppoll_forever(struct waiter *w)
{
	struct pollfd p = { .fd = w->fd[0], .events = POLLIN };
	sigset_t mask;

	sigemptyset(&mask);
	return ppoll(&p, 1, NULL, &mask);
}

static long do_pselect_timeout(struct waiter *w)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(w->fd[0], &set);
	return pselect(w->fd[0] + 1, &set, NULL, NULL, &timeout, NULL);
}

static int epoll_on(int watched)
{
	struct epoll_event e = { .events = EPOLLIN };
	int fd = (int)must(epoll_create1(EPOLL_CLOEXEC));

	must(epoll_ctl(fd, EPOLL_CTL_ADD, watched, &e));
	return fd;
}

static long do_epoll_pwait(struct waiter *w)
{
	struct epoll_event e;
	sigset_t mask;

	sigfillset(&mask);
	return epoll_pwait(epoll_on(w->fd[0]), &e, 1, -1, &mask);
}

static long do_epoll_pwait2(struct waiter *w)
{
	struct epoll_event e;

	return syscall(SYS_epoll_pwait2, epoll_on(w->fd[0]), &e, 1, &timeout, NULL, 8);
}

static void child(struct waiter *w)
{
	char c;

	must(pipe2(w->fd, O_CLOEXEC));
	w->child = (pid_t)must(fork());
	if (w->child == 0)
		_exit(read(w->fd[0], &c, 1) != 1);
}

static long do_waitid(struct waiter *w)
{
	siginfo_t info = { 0 };

	return waitid(P_PID, (id_t)w->child, &info, WEXITED) == 0 && info.si_pid == w->child;
}

static long do_boottime(struct waiter *w)
{
	(void)w;
	return clock_nanosleep(CLOCK_BOOTTIME, 0, &timeout, NULL);
}

static long do_realtime_until(struct waiter *w)
{
	struct timespec at = wait_until(CLOCK_REALTIME);

	(void)w;
	return clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &at, NULL);
}

/* The handler waits itself, and the call that it interrupted goes on when it returns. */
static void sleep_in_handler(int signal)
{
	struct timespec t = timeout;

	(void)signal;
	while (nanosleep(&t, &t) < 0)
		check(errno == EINTR, "a sleep in a handler: errno %d", errno);
}

static long do_read_with_handler(struct waiter *w)
{
	size_t size = 65536;
	stack_t stack = { .ss_size = size };
	struct sigaction act = { .sa_handler = sleep_in_handler,
				 .sa_flags = SA_RESTART | SA_ONSTACK };
	char c;

	stack.ss_sp = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	must(sigaltstack(&stack, NULL));
	must(sigaction(SIGHUP, &act, NULL));
	must(syscall(SYS_tgkill, getpid(), w->tid, SIGHUP));
	return read(w->fd[0], &c, 1);
}

static struct waiter others[] = {
	WAITER("ppoll", do_ppoll_forever, write_one, 1, 0),
	WAITER("pselect with a timeout", do_pselect_timeout, NULL, 0, 0),
	WAITER("epoll_pwait", do_epoll_pwait, write_one, 1, 0),
	WAITER("epoll_pwait2", do_epoll_pwait2, NULL, 0, 0),
	WAITER("waitid", do_waitid, write_one, 1, 0, .prepare = child),
	WAITER("clock_nanosleep, boot time", do_boottime, NULL, 0, 0, .prepare = nothing),
	WAITER("clock_nanosleep, realtime until", do_realtime_until, NULL, 0, 0,
	       .prepare = nothing),
	WAITER("a handler that sleeps, in read", do_read_with_handler, write_one, 1, 0),
};

static void on_others(void)
{
	wait_all(others, sizeof(others) / sizeof(others[0]));
}

const struct cycle_case wait_more_cases[] = {
	{ "waits-futexes", futexes },
	{ "waits-descriptors", on_descriptors },
	{ "waits-others", on_others },
	{ NULL, NULL },
};
