/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wall SECONDS DIR: whether the time of day stays what it is, whatever becomes of the process. It
 * waits for times so many seconds ahead in every way there is, and asks for the time meanwhile in
 * every way there is: by the monotonic clock it may not jump. Writes DIR/begun when it waits, and
 * in the end "ok" or what was wrong to DIR/said, each by rename(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NS 1000000000ll
#define APART (2 * NS) /* whole seconds, and a host whose clock is adjusted */

static const char *dir;
static struct timespec until;
static volatile int done; /* threads that have waited to the end */

static void say(const char *name, const char *fmt, ...)
{
	char tmp[256], path[256];
	va_list ap;
	FILE *f;

	snprintf(tmp, sizeof(tmp), "%s/new", dir);
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	f = fopen(tmp, "w");
	if (!f)
		_exit(3);
	va_start(ap, fmt);
	vfprintf(f, fmt, ap);
	va_end(ap);
	if (fclose(f) || rename(tmp, path))
		_exit(3);
}

/* Who waits for what it says can read it. */
static void stay(void)
{
	for (;;)
		pause();
}

#define wrong(...) (say("said", __VA_ARGS__), stay())

static int64_t ns(const struct timespec *t)
{
	return t->tv_sec * NS + t->tv_nsec;
}

static int64_t now(clockid_t clock)
{
	struct timespec t;

	if (clock_gettime(clock, &t))
		wrong("clock %d: %s\n", clock, strerror(errno));
	return ns(&t);
}

/* The time of day by the kernel itself. */
static int64_t asked(void)
{
	struct timespec t;

	if (syscall(SYS_clock_gettime, CLOCK_REALTIME, &t))
		wrong("clock_gettime: %s\n", strerror(errno));
	return ns(&t);
}

static void waited(const char *how, int ret)
{
	if (ret)
		wrong("%s: %s\n", how, strerror(ret));
	if (asked() < ns(&until))
		wrong("%s ended %lld ns early\n", how, (long long)(ns(&until) - asked()));
	__atomic_add_fetch(&done, 1, __ATOMIC_SEQ_CST);
}

static void *sleeps(void *arg)
{
	int ret = clock_nanosleep(CLOCK_REALTIME, TIMER_ABSTIME, &until, NULL);

	waited("clock_nanosleep", ret);
	return arg;
}

static void *waits_for_futex(void *arg)
{
	static int word;
	long ret = syscall(SYS_futex, &word,
			   FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG | FUTEX_CLOCK_REALTIME, 0, &until,
			   NULL, FUTEX_BITSET_MATCH_ANY);

	waited("futex", ret == 0 ? EPROTO : errno == ETIMEDOUT ? 0 : errno);
	return arg;
}

static void *waits_for_condition(void *arg)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	int ret;

	pthread_mutex_lock(&lock);
	do
		ret = pthread_cond_timedwait(&never, &lock, &until);
	while (!ret);
	waited("pthread_cond_timedwait", ret == ETIMEDOUT ? 0 : ret);
	return arg;
}

static void *waits_for_timerfd(void *arg)
{
	const struct itimerspec at = { .it_value = until };
	int fd = timerfd_create(CLOCK_REALTIME, 0);
	uint64_t times;

	if (timerfd_settime(fd, TFD_TIMER_ABSTIME, &at, NULL))
		waited("timerfd_settime", errno);
	waited("timerfd", read(fd, &times, sizeof(times)) == sizeof(times) ? 0 : errno);
	return arg;
}

static void *waits_for_timer(void *arg)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	const struct itimerspec at = { .it_value = until };
	timer_t timer;
	sigset_t set;
	int sig;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	if (timer_create(CLOCK_REALTIME, &event, &timer) ||
	    timer_settime(timer, TIMER_ABSTIME, &at, NULL))
		waited("timer_settime", errno);
	waited("sigwait", sigwait(&set, &sig));
	return arg;
}

static void *(*const waiters[])(void *) = {
	sleeps, waits_for_futex, waits_for_condition, waits_for_timerfd, waits_for_timer,
};
#define WAITERS (int)(sizeof(waiters) / sizeof(waiters[0]))

static int64_t ahead; /* of the monotonic clock */

/* Since `then` any time may have gone by. */
static void is(const char *how, int64_t told, int64_t then)
{
	int64_t until_now = now(CLOCK_MONOTONIC) + ahead;

	if (told < then - APART || told > until_now + APART)
		wrong("%s tells %lld ns, not %lld\n", how, (long long)told, (long long)until_now);
}

static void look(const struct stat *old)
{
	int64_t want = now(CLOCK_MONOTONIC) + ahead;
	char path[256];
	struct timeval tv;
	struct stat st;
	int fd;

	is("clock_gettime", now(CLOCK_REALTIME), want);
	is("the coarse clock", now(CLOCK_REALTIME_COARSE), want);
	is("the kernel's clock_gettime", asked(), want);
	is("time", time(NULL) * NS, want);
	if (gettimeofday(&tv, NULL))
		wrong("gettimeofday: %s\n", strerror(errno));
	is("gettimeofday", tv.tv_sec * NS + tv.tv_usec * 1000, want);
	if (syscall(SYS_gettimeofday, &tv, NULL))
		wrong("the kernel's gettimeofday: %s\n", strerror(errno));
	is("the kernel's gettimeofday", tv.tv_sec * NS + tv.tv_usec * 1000, want);
	snprintf(path, sizeof(path), "%s/old", dir);
	if (stat(path, &st))
		wrong("stat: %s\n", strerror(errno));
	if (ns(&st.st_mtim) != ns(&old->st_mtim))
		wrong("the time of a file changed\n");
	snprintf(path, sizeof(path), "%s/touched", dir);
	fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
	if (fd < 0 || futimens(fd, NULL) || fstat(fd, &st) || close(fd))
		wrong("touch: %s\n", strerror(errno));
	is("a file", ns(&st.st_mtim), want);
}

int main(int argc, char **argv)
{
	struct stat old;
	char path[256];
	pthread_t thread;
	sigset_t set;
	pid_t child;
	int status;

	if (argc != 3)
		return 2;
	dir = argv[2];
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	say("old", "\n");
	snprintf(path, sizeof(path), "%s/old", dir);
	if (stat(path, &old))
		return 2;
	ahead = now(CLOCK_REALTIME) - now(CLOCK_MONOTONIC);
	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += atoi(argv[1]);
	/* one that is a process, waiting */
	child = fork();
	if (child == 0) {
		sleeps(NULL);
		_exit(0);
	}
	for (int i = 0; i < WAITERS; i++)
		if (pthread_create(&thread, NULL, waiters[i], NULL))
			return 2;
	say("begun", "\n");
	while (done < WAITERS) {
		look(&old);
		usleep(20000);
	}
	look(&old);
	if (waitpid(child, &status, 0) != child || status)
		wrong("a process that slept: 0x%x\n", (unsigned)status);
	say("said", "ok\n");
	stay();
	return 0;
}
