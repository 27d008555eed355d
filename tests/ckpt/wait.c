/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads inside system calls that wait. None may see an error that it would not see without a
 * cycle, none may end early, and what it waits for must still be able to wake it.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cycle.h"
#include "wait.h"

static struct cycle_gate gate;

static const struct timespec timeout = { TIMEOUT_MS / 1000, TIMEOUT_MS % 1000 * 1000000L };

static void write_one(struct waiter *w)
{
	must(write(w->fd[1], "x", 1));
}

static long do_nanosleep(struct waiter *w)
{
	(void)w;
	return nanosleep(&timeout, NULL);
}

static long do_nanosleep_left(struct waiter *w)
{
	struct timespec left = { 0 };

	(void)w;
	return nanosleep(&timeout, &left);
}

static long do_clock_nanosleep_until(struct waiter *w)
{
	struct timespec at = wait_until(CLOCK_MONOTONIC);

	(void)w;
	return -clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
}

static long do_poll_timeout(struct waiter *w)
{
	struct pollfd p = { .fd = w->fd[0], .events = POLLIN };

	return poll(&p, 1, TIMEOUT_MS);
}

static long do_poll(struct waiter *w)
{
	struct pollfd p = { .fd = w->fd[0], .events = POLLIN };

	return poll(&p, 1, -1);
}

static long do_ppoll(struct waiter *w)
{
	struct timespec t = timeout;
	sigset_t mask;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	return ppoll(&(struct pollfd){ .fd = w->fd[0], .events = POLLIN }, 1, &t, &mask);
}

static long do_select(struct waiter *w)
{
	struct timeval t = { TIMEOUT_MS / 1000, TIMEOUT_MS % 1000 * 1000 };
	fd_set set;

	FD_ZERO(&set);
	FD_SET(w->fd[0], &set);
	return select(w->fd[0] + 1, &set, NULL, NULL, &t);
}

static long do_pselect(struct waiter *w)
{
	sigset_t mask;
	fd_set set;

	sigemptyset(&mask);
	FD_ZERO(&set);
	FD_SET(w->fd[0], &set);
	return pselect(w->fd[0] + 1, &set, NULL, NULL, NULL, &mask);
}

static long epoll(struct waiter *w, int ms)
{
	struct epoll_event e = { .events = EPOLLIN };
	int fd = (int)must(epoll_create1(EPOLL_CLOEXEC));
	long got;

	must(epoll_ctl(fd, EPOLL_CTL_ADD, w->fd[0], &e));
	got = epoll_wait(fd, &e, 1, ms);
	close(fd);
	return got;
}

static long do_epoll(struct waiter *w)
{
	return epoll(w, -1);
}

static long do_epoll_timeout(struct waiter *w)
{
	return epoll(w, TIMEOUT_MS);
}

static long do_read(struct waiter *w)
{
	char c;

	return read(w->fd[0], &c, 1);
}

static long do_recv(struct waiter *w)
{
	char c;

	return recv(w->fd[0], &c, 1, 0);
}

static long do_recv_timeout(struct waiter *w)
{
	struct timeval t = { TIMEOUT_MS / 1000, 0 };
	char c;

	must(setsockopt(w->fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof(t)));
	return recv(w->fd[0], &c, 1, 0);
}

static long do_futex(struct waiter *w)
{
	return syscall(SYS_futex, &w->word, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
}

static void wake_futex(struct waiter *w)
{
	__atomic_store_n(&w->word, 1, __ATOMIC_SEQ_CST);
	must(syscall(SYS_futex, &w->word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
}

static long do_futex_timeout(struct waiter *w)
{
	return syscall(SYS_futex, &w->word, FUTEX_WAIT_PRIVATE, 0, &timeout, NULL, 0);
}

static long do_wait(struct waiter *w)
{
	return waitpid(w->child, NULL, __WALL) == w->child;
}

static long do_sigwait(struct waiter *w)
{
	sigset_t set;

	(void)w;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	return sigtimedwait(&set, NULL, &timeout);
}

static long do_sigwaitinfo(struct waiter *w)
{
	sigset_t set;

	(void)w;
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	return sigwaitinfo(&set, NULL) == SIGRTMIN + 2;
}

static void wake_signal(struct waiter *w)
{
	must(syscall(SYS_tgkill, getpid(), w->tid, SIGRTMIN + 2));
}

static void on_signal(int signal)
{
	(void)signal;
}

/* Only a handler ends these: they must have the error then, and not before. */
static long do_pause(struct waiter *w)
{
	(void)w;
	return pause();
}

static long do_sigsuspend(struct waiter *w)
{
	sigset_t mask;

	(void)w;
	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR1);
	return sigsuspend(&mask);
}

static void wake_handler(struct waiter *w)
{
	must(syscall(SYS_tgkill, getpid(), w->tid, SIGUSR2));
}

static void sockets(struct waiter *w)
{
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, w->fd));
}

/* Ends when its parent writes. */
static void child(struct waiter *w)
{
	char c;

	must(pipe2(w->fd, O_CLOEXEC));
	w->child = (pid_t)must(fork());
	if (w->child == 0)
		_exit(read(w->fd[0], &c, 1) != 1);
}

static struct waiter waiters[] = {
	WAITER("nanosleep", do_nanosleep, NULL, 0, 0),
	WAITER("nanosleep with a rest", do_nanosleep_left, NULL, 0, 0),
	WAITER("clock_nanosleep until", do_clock_nanosleep_until, NULL, 0, 0),
	WAITER("poll with a timeout", do_poll_timeout, NULL, 0, 0),
	WAITER("poll", do_poll, write_one, 1, 0),
	WAITER("ppoll", do_ppoll, NULL, 0, 0),
	WAITER("select", do_select, NULL, 0, 0),
	WAITER("pselect", do_pselect, write_one, 1, 0),
	WAITER("epoll_wait", do_epoll, write_one, 1, 0),
	WAITER("epoll_wait with a timeout", do_epoll_timeout, NULL, 0, 0),
	WAITER("read", do_read, write_one, 1, 0),
	WAITER("recv", do_recv, write_one, 1, 0, .prepare = sockets),
	WAITER("recv with a timeout", do_recv_timeout, NULL, -1, EAGAIN, .prepare = sockets),
	WAITER("futex", do_futex, wake_futex, 0, 0),
	WAITER("futex with a timeout", do_futex_timeout, NULL, -1, ETIMEDOUT),
	WAITER("wait", do_wait, write_one, 1, 0, .prepare = child),
	WAITER("sigtimedwait", do_sigwait, NULL, -1, EAGAIN),
	WAITER("sigwaitinfo", do_sigwaitinfo, wake_signal, 1, 0),
	WAITER("pause", do_pause, wake_handler, -1, EINTR),
	WAITER("sigsuspend", do_sigsuspend, wake_handler, -1, EINTR),
};

static void *wait_in(void *ctx)
{
	struct waiter *w = ctx;
	int64_t began = cycle_now(CLOCK_MONOTONIC);

	w->tid = (pid_t)syscall(SYS_gettid);
	cycle_pass(gate);
	w->got = w->call(w);
	w->got_errno = errno;
	w->took = cycle_now(CLOCK_MONOTONIC) - began;
	return NULL;
}

static void judge(const struct waiter *w)
{
	check(w->got == w->want, "%s: answered %ld, errno %d (%s)", w->name, w->got, w->got_errno,
	      strerror(w->got_errno));
	if (w->got < 0 && w->want < 0)
		check(w->got_errno == w->want_errno, "%s: errno %d (%s)", w->name, w->got_errno,
		      strerror(w->got_errno));
	if (!w->wake)
		check(w->took >= TIMEOUT_MS - 20, "%s: ended after %ld ms of %d", w->name,
		      (long)w->took, TIMEOUT_MS);
}

struct timespec wait_until(int clock)
{
	struct timespec at;

	must(clock_gettime(clock, &at));
	at.tv_sec += timeout.tv_sec;
	return at;
}

static bool all_asleep(const struct waiter *w, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!cycle_asleep(getpid(), w[i].tid))
			return false;
	return true;
}

/* All at once: those with a timeout are not for long. Twice, as cycle_until_asleep() does. */
static void until_all_are_asleep(const struct waiter *w, size_t n)
{
	for (int look = 0; look < 2; look++) {
		for (int i = 0; !all_asleep(w, n); i++) {
			errno = ETIMEDOUT;
			must(i < 10 * TIMEOUT_MS ? 0 : -1);
			cycle_sleep(1);
		}
		cycle_sleep(20);
	}
}

/* Who is not back in its call would miss what it waits for. It may have ended, where there is more
 * room than there was. */
static void until_back(const struct waiter *w)
{
	while (!cycle_asleep(getpid(), w->tid) && syscall(SYS_tgkill, getpid(), w->tid, 0) == 0)
		cycle_sleep(1);
}

void wait_all(struct waiter *w, size_t n)
{
	sigset_t set;

	gate = cycle_gate();
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 1);
	sigaddset(&set, SIGRTMIN + 2);
	must(sigprocmask(SIG_BLOCK, &set, NULL));
	must(sigaction(SIGUSR2, &(struct sigaction){ .sa_handler = on_signal }, NULL));
	for (size_t i = 0; i < n; i++)
		if (w[i].prepare)
			w[i].prepare(&w[i]);
		else
			must(pipe2(w[i].fd, O_CLOEXEC));
	for (size_t i = 0; i < n; i++)
		must(-pthread_create(&w[i].thread, NULL, wait_in, &w[i]));
	cycle_await(gate, (int)n);
	until_all_are_asleep(w, n);
	cycle();
	for (size_t i = 0; i < n; i++) {
		if (!w[i].wake)
			continue;
		until_back(&w[i]);
		w[i].wake(&w[i]);
	}
	for (size_t i = 0; i < n; i++) {
		must(-pthread_join(w[i].thread, NULL));
		judge(&w[i]);
	}
}

static void waits(void)
{
	wait_all(waiters, sizeof(waiters) / sizeof(waiters[0]));
}

/* The first thread itself, in the middle of a sleep with a short time left. */
static void sleeps(void)
{
	int64_t began = cycle_now(CLOCK_MONOTONIC);
	struct timespec t = { 0, 30000000 };
	pid_t child = (pid_t)must(fork());

	if (child == 0) {
		for (int i = 0; i < 100; i++)
			if (nanosleep(&t, NULL) < 0)
				_exit(1);
		_exit(0);
	}
	cycle();
	cycle_join(child);
	check(cycle_now(CLOCK_MONOTONIC) - began >= 3000, "a hundred short sleeps took %ld ms",
	      (long)(cycle_now(CLOCK_MONOTONIC) - began));
}

const struct cycle_case wait_cases[] = {
	{ "waits", waits },
	{ "sleeps", sleeps },
	{ NULL, NULL },
};
