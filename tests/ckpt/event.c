/* SPDX-License-Identifier: Apache-2.0 */
/* eventfd, timerfd, signalfd, epoll. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "cycle.h"

static uint64_t count_of(int fd)
{
	uint64_t n = 0;

	return read(fd, &n, sizeof(n)) == sizeof(n) ? n : UINT64_MAX;
}

static void add_later(void *ctx)
{
	uint64_t n = 5;

	cycle_wait();
	must(write(*(int *)ctx, &n, sizeof(n)));
}

static void eventfds(void)
{
	int plain = (int)must(eventfd(1234567, EFD_CLOEXEC | EFD_NONBLOCK));
	int empty = (int)must(eventfd(0, EFD_NONBLOCK));
	int semaphore = (int)must(eventfd(3, EFD_SEMAPHORE | EFD_NONBLOCK));
	int shared = (int)must(eventfd(0, EFD_NONBLOCK));
	int small[] = { (int)must(eventfd(1, EFD_NONBLOCK)),
			(int)must(eventfd(0, EFD_SEMAPHORE | EFD_NONBLOCK)),
			(int)must(eventfd(1, EFD_SEMAPHORE | EFD_NONBLOCK)) };
	uint64_t most = UINT64_MAX - 1, two = 2;
	int full = (int)must(eventfd(0, EFD_NONBLOCK));
	pid_t child = cycle_child(add_later, &shared);

	must(write(full, &most, sizeof(most)));
	cycle();
	check(count_of(plain) == 1234567, "the count");
	check(count_of(empty) == UINT64_MAX && errno == EAGAIN, "an empty one: errno %d", errno);
	for (int i = 0; i < 3; i++)
		check(count_of(semaphore) == 1, "a semaphore, %d", i);
	check(count_of(semaphore) == UINT64_MAX, "a semaphore of three has four");
	check(count_of(full) == most, "the largest count");
	for (size_t i = 0; i < sizeof(small) / sizeof(small[0]); i++) {
		uint64_t there = count_of(small[i]);

		must(write(small[i], &two, sizeof(two)));
		check(there == (i == 1 ? UINT64_MAX : 1), "small count %zu: %llu", i,
		      (unsigned long long)there);
		check(count_of(small[i]) == (i ? 1 : 2), "small count %zu: a semaphore or not", i);
	}
	cycle_join(child);
	check(count_of(shared) == 5, "one shared with a child");
	check(fcntl(plain, F_GETFD) == FD_CLOEXEC && fcntl(empty, F_GETFD) == 0, "close-on-exec");
}

static int timer(int clock, int ms, int interval_ms, int flags)
{
	int fd = (int)must(timerfd_create(clock, TFD_NONBLOCK | TFD_CLOEXEC));
	struct itimerspec at = { .it_value = { ms / 1000, ms % 1000 * 1000000L },
				 .it_interval = { interval_ms / 1000,
						  interval_ms % 1000 * 1000000L } };
	struct timespec now;

	if (flags & TFD_TIMER_ABSTIME) {
		must(clock_gettime(clock, &now));
		at.it_value.tv_sec += now.tv_sec;
	}
	must(timerfd_settime(fd, flags, &at, NULL));
	return fd;
}

static void check_timer(int fd, int ms, int interval_ms, const char *what)
{
	struct itimerspec is;
	int64_t left;

	must(timerfd_gettime(fd, &is));
	left = is.it_value.tv_sec * 1000 + is.it_value.tv_nsec / 1000000;
	check(ms ? left > ms - 100000 && left <= ms : left == 0, "%s: %ld ms left of %d", what,
	      (long)left, ms);
	check(is.it_interval.tv_sec * 1000 + is.it_interval.tv_nsec / 1000000 == interval_ms,
	      "%s: every %ld s", what, (long)is.it_interval.tv_sec);
}

static void timerfds(void)
{
	int idle = timer(CLOCK_MONOTONIC, 0, 0, 0);
	int mono = timer(CLOCK_MONOTONIC, 2000000, 7000, 0);
	int boot = timer(CLOCK_BOOTTIME, 2000000, 0, 0);
	int until = timer(CLOCK_MONOTONIC, 2000000, 0, TFD_TIMER_ABSTIME);
	int real = timer(CLOCK_REALTIME, 2000000, 0, TFD_TIMER_ABSTIME);
	int cancel = timer(CLOCK_REALTIME, 2000000, 0, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET);
	int once = timer(CLOCK_MONOTONIC, 1, 0, 0);
	int expired = timer(CLOCK_MONOTONIC, 1, 60, 0);
	int fast = timer(CLOCK_MONOTONIC, 50, 50, 0);
	struct pollfd p = { .fd = expired, .events = POLLIN };
	int64_t then;
	uint64_t n;

	check(poll(&p, 1, 60000) == 1, "no expiry");
	cycle();
	check_timer(idle, 0, 0, "an idle one");
	check_timer(mono, 2000000, 7000, "CLOCK_MONOTONIC");
	check_timer(boot, 2000000, 0, "CLOCK_BOOTTIME");
	check_timer(until, 2000000, 0, "until a time");
	check_timer(real, 2000000, 0, "CLOCK_REALTIME");
	check_timer(cancel, 2000000, 0, "TFD_TIMER_CANCEL_ON_SET");
	check(count_of(once) == 1, "one that expired once and was not read");
	check(count_of(once) == UINT64_MAX && errno == EAGAIN, "and no second time");
	then = cycle_now(CLOCK_MONOTONIC);
	n = count_of(expired);
	check(n >= 1 && n < 100000, "one that expired and goes on: %llu", (unsigned long long)n);
	cycle_sleep(300);
	n = count_of(expired);
	then = cycle_now(CLOCK_MONOTONIC) - then;
	check(n >= 4 && (int64_t)n <= then / 60 + 2, "it goes on %llu times in %ld ms",
	      (unsigned long long)n, (long)then);
	n = count_of(fast);
	check(n >= 5 && n < 100000, "a fast one: %llu", (unsigned long long)n);
	check(count_of(idle) == UINT64_MAX && errno == EAGAIN, "the idle one has expired");
}

static void signalfds(void)
{
	struct signalfd_siginfo info = { 0 };
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGRTMIN + 5);
	must(sigprocmask(SIG_BLOCK, &set, NULL));
	fd = (int)must(signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC));
	must(sigqueue(getpid(), SIGRTMIN + 5, (union sigval){ .sival_int = 99 }));
	cycle();
	check(read(fd, &info, sizeof(info)) == sizeof(info) &&
		      info.ssi_signo == (uint32_t)SIGRTMIN + 5 && info.ssi_int == 99,
	      "signal %u with %d", info.ssi_signo, info.ssi_int);
	must(kill(getpid(), SIGUSR1));
	check(read(fd, &info, sizeof(info)) == sizeof(info) && info.ssi_signo == SIGUSR1,
	      "signal %u", info.ssi_signo);
	check(read(fd, &info, sizeof(info)) < 0 && errno == EAGAIN, "a signal too many");
}

static void watch(int epoll, int fd, uint32_t events, uint64_t data)
{
	struct epoll_event e = { .events = events, .data.u64 = data };

	must(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &e));
}

static int next(int epoll, struct epoll_event *out)
{
	*out = (struct epoll_event){ 0 };
	return epoll_wait(epoll, out, 1, 0);
}

/* Level, edge and once; nested; data of 64 bits; a number that is open under another one now. */
static void epolls(void)
{
	int outer = (int)must(epoll_create1(EPOLL_CLOEXEC)), inner, once, edge;
	int level[2], edges[2], onces[2], fired[2], moved[2], number;
	struct epoll_event e;
	uint64_t n = 1;

	inner = (int)must(epoll_create1(0));
	once = (int)must(epoll_create1(0));
	edge = (int)must(epoll_create1(0));
	must(pipe(level));
	must(pipe(edges));
	must(pipe(onces));
	must(pipe(fired));
	must(pipe(moved));
	watch(outer, inner, EPOLLIN, 0x1111111122222222ull);
	watch(inner, level[0], EPOLLIN | EPOLLRDHUP, UINT64_MAX);
	watch(edge, edges[0], EPOLLIN | EPOLLET, 3);
	watch(once, onces[0], EPOLLIN | EPOLLONESHOT, 4);
	watch(once, fired[0], EPOLLIN | EPOLLONESHOT, 5);
	watch(outer, moved[0], EPOLLIN, 6);
	number = (int)must(dup2(moved[0], 300));
	close(moved[0]);
	must(write(fired[1], "x", 1));
	must(next(once, &e) == 1 && e.data.u64 == 5 ? 0 : -1);
	cycle();
	check(next(outer, &e) == 0, "an event with nothing to tell: data 0x%llx",
	      (unsigned long long)e.data.u64);
	must(write(level[1], &n, 1));
	check(next(outer, &e) == 1 && e.data.u64 == 0x1111111122222222ull, "the nested one: 0x%llx",
	      (unsigned long long)e.data.u64);
	check(next(inner, &e) == 1 && e.data.u64 == UINT64_MAX && e.events == EPOLLIN,
	      "level: 0x%llx", (unsigned long long)e.data.u64);
	check(next(inner, &e) == 1, "level, again");
	must(write(edges[1], &n, 1));
	check(next(edge, &e) == 1 && e.data.u64 == 3, "edge: %llu", (unsigned long long)e.data.u64);
	check(next(edge, &e) == 0, "edge, again without a change");
	must(write(onces[1], &n, 1));
	check(next(once, &e) == 1 && e.data.u64 == 4, "once: %llu", (unsigned long long)e.data.u64);
	check(next(once, &e) == 0, "once, again: %llu", (unsigned long long)e.data.u64);
	e = (struct epoll_event){ .events = EPOLLIN | EPOLLONESHOT, .data.u64 = 55 };
	check(epoll_ctl(once, EPOLL_CTL_MOD, fired[0], &e) == 0, "arm the one that had fired: %s",
	      strerror(errno));
	check(next(once, &e) == 1 && e.data.u64 == 55, "it has nothing");
	must(write(moved[1], &n, 1));
	must(read(level[0], &n, 1));
	check(next(outer, &e) == 1 && e.data.u64 == 6, "a descriptor that has moved: 0x%llx",
	      (unsigned long long)e.data.u64);
	must(read(number, &n, 1));
	check(epoll_ctl(inner, EPOLL_CTL_DEL, level[0], NULL) == 0, "delete: %s", strerror(errno));
}

/* Periods that nobody has asked for: they are told, and the next one begins where it would have. */
static void timerfds_late(void)
{
	struct itimerspec value = { { 5, 0 }, { time(NULL) - 12, 0 } };
	int until = (int)must(timerfd_create(CLOCK_REALTIME, TFD_NONBLOCK | TFD_CLOEXEC));
	int often = (int)must(timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC));
	uint64_t ticks = 0;
	ssize_t n;

	must(timerfd_settime(until, TFD_TIMER_ABSTIME, &value, NULL));
	value = (struct itimerspec){ { 0, 20000000 }, { 0, 1 } };
	must(timerfd_settime(often, 0, &value, NULL));
	cycle_sleep(300);
	cycle();
	n = read(until, &ticks, sizeof(ticks));
	check(n == sizeof(ticks) && ticks >= 3, "%llu periods of 5 seconds in 12",
	      (unsigned long long)ticks);
	must(timerfd_gettime(until, &value));
	check(value.it_interval.tv_sec == 5, "a period of %ld seconds",
	      (long)value.it_interval.tv_sec);
	n = read(often, &ticks, sizeof(ticks));
	check(n == sizeof(ticks) && ticks >= 15, "%llu periods of 20 ms in 300",
	      (unsigned long long)ticks);
}

const struct cycle_case event_cases[] = {
	{ "eventfds", eventfds },   { "timerfds", timerfds }, { "timerfds-late", timerfds_late },
	{ "signalfds", signalfds }, { "epolls", epolls },     { NULL, NULL },
};
