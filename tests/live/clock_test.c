/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual time with a child under the supervisor's filter. Its own vDSO is the kernel's, and tells
 * the host's time: what system calls tell is compared with that. Programs that it executes have the
 * offset in both.
 */
#include "super/super.h"

#include "arch/arch.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "lib/guarded.h"
#include "lib/tap.h"
#include "super/clock.h"
#include "super/handler.h"
#include "super/loop.h"
#include "super/notif.h"
#include "task/vdso.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <mqueue.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/timex.h>
#include <sys/wait.h>
#include <time.h>

#ifndef SYS_mseal
#define SYS_mseal 462
#endif

#define NS 1000000000ll
#define AHEAD_SEC (-400 * 86400ll)
#define AHEAD_NS 250000000
#define AHEAD (AHEAD_SEC * NS + AHEAD_NS)
#define MS 1000000ll
#define LONG (60 * NS) /* nothing here takes as long */
#define WAITERS 100

static struct guarded guard;

static const struct super_plan plan = { .time = true,
					.wall = { .sec = AHEAD_SEC, .nsec = AHEAD_NS } };

static void start_loop(void)
{
	const struct super_config config = { .plan = plan };

	if (!(filter_flags_supported() & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV))
		tap_skip("this kernel is older than 5.19");
	guarded_start(&guard, &config);
}

static int call(void *run)
{
	(*(void (**)(void))run)();
	return 0;
}

static pid_t begin(void (*run)(void))
{
	return guarded_begin(&guard, call, &run);
}

static void finish(pid_t child, int want)
{
	int status;

	waitpid(child, &status, 0);
	is_int(status, want, "the child has come to its end");
	guarded_stop(&guard);
}

static void supervised(void (*run)(void))
{
	start_loop();
	finish(begin(run), 0);
}

/* ---- clocks */

static long long ns(const struct timespec *t)
{
	return t->tv_sec * NS + t->tv_nsec;
}

static struct timespec spec(long long at)
{
	return (struct timespec){ .tv_sec = at / NS, .tv_nsec = at % NS };
}

/* By the vDSO, and by the kernel. */
static long long host_time(clockid_t clock)
{
	struct timespec t;

	must(clock_gettime(clock, &t) == 0);
	return ns(&t);
}

static long long told_time(clockid_t clock)
{
	struct timespec t;

	must(syscall(SYS_clock_gettime, clock, &t) == 0);
	return ns(&t);
}

static bool is_ahead(clockid_t clock, long long ahead)
{
	long long before = host_time(clock), told = told_time(clock), after = host_time(clock);

	return told >= before + ahead && told <= after + ahead;
}

static void clocks_here(void)
{
	struct timespec t = { 1, 1 };
	struct timeval tv;
	struct timezone tz = { -1, -1 };
	struct timex x = { .modes = 0 };
	long long told, before;

	must(is_ahead(CLOCK_REALTIME, AHEAD) && is_ahead(CLOCK_REALTIME_COARSE, AHEAD));
	must(is_ahead(CLOCK_TAI, AHEAD));
	must(is_ahead(CLOCK_MONOTONIC, 0) && is_ahead(CLOCK_BOOTTIME, 0));
	before = host_time(CLOCK_REALTIME);
	must(syscall(SYS_gettimeofday, &tv, &tz) == 0);
	told = tv.tv_sec * NS + tv.tv_usec * 1000;
	must(told >= (before + AHEAD) / 1000 * 1000 && told <= host_time(CLOCK_REALTIME) + AHEAD);
	must(tz.tz_minuteswest != -1);
	must(syscall(SYS_gettimeofday, NULL, NULL) == 0);
	must(syscall(SYS_clock_gettime, CLOCK_REALTIME, (void *)8) < 0 && errno == EFAULT);
	must(syscall(SYS_gettimeofday, (void *)8, NULL) < 0 && errno == EFAULT);
	must(syscall(SYS_clock_gettime, 99, &t) < 0 && errno == EINVAL);
	must(clock_settime(CLOCK_REALTIME, &t) < 0 && errno == EPERM);
	must(syscall(SYS_settimeofday, &tv, NULL) < 0 && errno == EPERM);
	before = host_time(CLOCK_REALTIME);
	must(adjtimex(&x) >= 0);
	told = x.time.tv_sec * NS + x.time.tv_usec * (x.status & STA_NANO ? 1 : 1000);
	must(told >= before / 1000 * 1000 + AHEAD && told <= host_time(CLOCK_REALTIME) + AHEAD);
	x.modes = ADJ_OFFSET;
	must(adjtimex(&x) < 0 && errno == EPERM);
}

static void tells_clocks(void)
{
	supervised(clocks_here);
}

/* ---- waiting */

/* How long something took, by a clock that has nothing to do with all this. */
static long long since(long long then)
{
	return host_time(CLOCK_MONOTONIC) - then;
}

static void sleep_here(void)
{
	long long then = host_time(CLOCK_MONOTONIC);
	struct timespec t = spec(told_time(CLOCK_REALTIME) + 50 * MS), given = t;

	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == 0);
	must(since(then) >= 50 * MS && since(then) < LONG);
	must(told_time(CLOCK_REALTIME) >= ns(&given) && ns(&t) == ns(&given));
	then = host_time(CLOCK_MONOTONIC);
	t = spec(told_time(CLOCK_REALTIME) - 5 * NS);
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == 0);
	/* before there was a time here */
	t = spec(1);
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == 0);
	t = spec(20 * MS);
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, 0, &t, NULL) == 0);
	t = spec(host_time(CLOCK_MONOTONIC) + 20 * MS);
	must(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == 0);
	must(since(then) >= 40 * MS && since(then) < LONG);
	t.tv_nsec = NS;
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) < 0 &&
	     errno == EINVAL);
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, 8, NULL) < 0 &&
	     errno == EFAULT);
}

static void never_is_never(void)
{
	static const int64_t rows[][2] = { { INT64_MAX, INT64_MAX },
					   { INT64_MAX - 10, INT64_MAX },
					   { 10, 1011 } };
	static struct clock past = { .offset = { .sec = -1001, .nsec = 600 * MS } };

	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		int64_t sec = rows[i][0], nsec = 700 * MS;

		clock_hide(&past, &sec, &nsec);
		is_int(sec, rows[i][1], "row %zu: from the host's side", i);
		is_int(nsec, 100 * MS, "row %zu: its parts of a second", i);
	}
}

static void sleeps_until(void)
{
	supervised(sleep_here);
}

static int futex(int *word, int op, int value, const struct timespec *until)
{
	return (int)syscall(SYS_futex, word, op, value, until, NULL, FUTEX_BITSET_MATCH_ANY);
}

static int shared_word;

static void *wake_soon(void *arg)
{
	(void)arg;
	do
		usleep(10000);
	while (futex(&shared_word, FUTEX_WAKE_PRIVATE, 1, NULL) != 1);
	return NULL;
}

struct waitv {
	uint64_t value, address;
	uint32_t flags, zero;
};

static void futex_here(void)
{
	const int wait = FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME;
	long long then = host_time(CLOCK_MONOTONIC);
	struct timespec t = spec(told_time(CLOCK_REALTIME) + 50 * MS);
	struct waitv v = { .address = (uintptr_t)&shared_word, .flags = 2 /* 32 bits */ };
	pthread_t waker;
	int own = getpid();

	must(futex(&shared_word, wait, 0, &t) < 0 && errno == ETIMEDOUT);
	must(since(then) >= 50 * MS && since(then) < LONG);
	must(futex(&shared_word, wait, 1, &t) < 0 && errno == EAGAIN);
	t = spec(told_time(CLOCK_REALTIME) + LONG);
	must(pthread_create(&waker, NULL, wake_soon, NULL) == 0);
	must(futex(&shared_word, wait, 0, &t) == 0);
	pthread_join(waker, NULL);
	/* a lock that this thread has itself, and one that has another */
	t = spec(told_time(CLOCK_REALTIME) + 20 * MS);
	must(futex(&own, FUTEX_LOCK_PI_PRIVATE, 0, &t) < 0 && errno == EDEADLK);
	t = spec(told_time(CLOCK_REALTIME) + 20 * MS);
	then = host_time(CLOCK_MONOTONIC);
	must(syscall(SYS_futex_waitv, &v, 1, 0, &t, CLOCK_REALTIME) < 0);
	must(errno == ENOSYS || (errno == ETIMEDOUT && since(then) >= 20 * MS));
	must(since(then) < LONG);
}

static void waits_by_futex(void)
{
	supervised(futex_here);
}

static void *wait_a_little(void *arg)
{
	pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
	pthread_cond_t never = PTHREAD_COND_INITIALIZER;
	struct timespec t = spec(told_time(CLOCK_REALTIME) + 100 * MS);
	int ret;

	(void)arg;
	pthread_mutex_lock(&lock);
	do
		ret = pthread_cond_timedwait(&never, &lock, &t);
	while (!ret);
	pthread_mutex_unlock(&lock);
	return (void *)(intptr_t)(ret == ETIMEDOUT && told_time(CLOCK_REALTIME) >= ns(&t) ? 0 : 1);
}

static void many_here(void)
{
	long long then = host_time(CLOCK_MONOTONIC);
	pthread_t threads[WAITERS];
	void *result;

	for (size_t i = 0; i < WAITERS; i++)
		must(pthread_create(&threads[i], NULL, wait_a_little, NULL) == 0);
	for (size_t i = 0; i < WAITERS; i++)
		must(pthread_join(threads[i], &result) == 0 && !result);
	must(since(then) < LONG);
}

static void waits_in_many_threads(void)
{
	supervised(many_here);
}

/* While the supervisor has to wait for PTRACE_SEIZE it looks for those that have ended: who has
 * stopped is still seen to. */
static void keeps_stops(void)
{
	int status = 0;
	pid_t child;

	start_loop();
	child = begin(many_here);
	while (waitpid(child, &status, WNOHANG) == 0) {
		kill(guard.loop, SIGALRM);
		usleep(100);
	}
	is_int(status, 0, "all of them have waited");
	guarded_stop(&guard);
}

/* For one message; negative where the kernel has none. */
static mqd_t make_queue(void)
{
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 8 };
	char name[64];
	mqd_t q;

	snprintf(name, sizeof(name), "/thole-clock-%d", getpid());
	q = mq_open(name, O_CREAT | O_RDWR | O_CLOEXEC, 0600, &attr);
	must(q >= 0 || errno == ENOSYS);
	mq_unlink(name);
	return q;
}

static void queue_here(void)
{
	mqd_t q = make_queue();
	struct timespec t;
	char data[8];
	long long then;

	if (q < 0)
		return;
	then = host_time(CLOCK_MONOTONIC);
	t = spec(told_time(CLOCK_REALTIME) + 30 * MS);
	must(mq_timedreceive(q, data, sizeof(data), NULL, &t) < 0 && errno == ETIMEDOUT);
	must(mq_timedsend(q, "x", 1, 0, &t) == 0);
	must(mq_timedsend(q, "x", 1, 0, &t) < 0 && errno == ETIMEDOUT);
	must(since(then) >= 30 * MS && since(then) < LONG);
}

static void waits_for_queues(void)
{
	supervised(queue_here);
}

static void on_signal(int sig)
{
	(void)sig;
}

static atomic_bool enough;

static void *signal_often(void *arg)
{
	pthread_t who = *(pthread_t *)arg;

	while (!enough) {
		usleep(10000);
		pthread_kill(who, SIGUSR1);
	}
	return NULL;
}

/* A handler ends the wait, or with SA_RESTART doesn't, as ever; a stop never does. */
static void signals_here(void)
{
	const int wait = FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME;
	struct sigaction act = { .sa_handler = on_signal };
	pthread_t self = pthread_self(), other;
	mqd_t q = make_queue();
	char data[8];
	struct timespec t = spec(told_time(CLOCK_REALTIME) + LONG);
	long long then = host_time(CLOCK_MONOTONIC);

	sigaction(SIGUSR1, &act, NULL);
	must(pthread_create(&other, NULL, signal_often, &self) == 0);
	must(futex(&shared_word, wait, 0, &t) < 0 && errno == EINTR);
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) < 0 &&
	     errno == EINTR);
	must(since(then) < LONG);
	act.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &act, NULL);
	then = host_time(CLOCK_MONOTONIC);
	t = spec(told_time(CLOCK_REALTIME) + 100 * MS);
	must(q < 0 || (mq_timedreceive(q, data, sizeof(data), NULL, &t) < 0 && errno == ETIMEDOUT));
	must(q < 0 || (since(then) >= 100 * MS && since(then) < LONG));
	enough = true;
	pthread_join(other, NULL);
}

static void is_interrupted(void)
{
	supervised(signals_here);
}

static void sleep_until(struct timespec t)
{
	struct timespec want = t;

	/* the signal that goes on after a stop has no handler: nothing is seen */
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &t, NULL) == 0);
	must(told_time(CLOCK_REALTIME) >= ns(&want));
	_exit(0);
}

static void stopped_here(void)
{
	int status = 0;
	pid_t child;

	/* on a busy machine it may have slept enough before it is stopped */
	for (long long time = 150 * MS; !WIFSTOPPED(status); time *= 2) {
		must(time < LONG && (child = fork()) >= 0);
		if (child == 0)
			sleep_until(spec(told_time(CLOCK_REALTIME) + time));
		usleep(30000);
		kill(child, SIGSTOP);
		must(waitpid(child, &status, WUNTRACED) == child);
		must(WIFSTOPPED(status) || status == 0);
	}
	usleep(30000);
	kill(child, SIGCONT);
	must(waitpid(child, &status, 0) == child && status == 0);
}

static void is_stopped(void)
{
	supervised(stopped_here);
}

static void wait_for_long(void)
{
	struct timespec t = spec(told_time(CLOCK_REALTIME) + LONG);

	futex(&shared_word, FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME, 0, &t);
}

/* The end of a waiting process is seen at once, and nothing of it stays. */
static void is_killed(void)
{
	pid_t child;

	start_loop();
	child = begin(wait_for_long);
	usleep(50000);
	kill(child, SIGKILL);
	finish(child, SIGKILL);
}

/* ---- another tracer */

static struct timespec held_until;
static volatile sig_atomic_t told_to_end;

static void end_waiting(int sig)
{
	(void)sig;
	told_to_end = 1;
}

static void *sleep_held(void *arg)
{
	must(syscall(SYS_clock_nanosleep, CLOCK_REALTIME, TIMER_ABSTIME, &held_until, NULL) < 0 &&
	     errno == EINTR && told_to_end);
	return arg;
}

static void *wait_held(void *arg)
{
	const int wait = FUTEX_WAIT_BITSET_PRIVATE | FUTEX_CLOCK_REALTIME;

	must(futex(&shared_word, wait, 0, &held_until) < 0 && errno == EINTR && told_to_end);
	return arg;
}

/* For a long time, unless it is told otherwise. */
static void held_here(void)
{
	const struct sigaction end = { .sa_handler = end_waiting };
	pthread_t threads[2];
	sigset_t set;
	int sig;

	sigaction(SIGUSR2, &end, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	held_until = spec(told_time(CLOCK_REALTIME) + LONG);
	must(pthread_create(&threads[0], NULL, sleep_held, NULL) == 0);
	must(pthread_create(&threads[1], NULL, wait_held, NULL) == 0);
	must(sigwait(&set, &sig) == 0);
	for (size_t i = 0; i < TAP_COUNT(threads); i++) {
		must(pthread_kill(threads[i], SIGUSR2) == 0);
		pthread_join(threads[i], NULL);
	}
}

static void lets_go(void)
{
	auto_arena a = arena_new();
	struct super_time told;
	pid_t child;

	start_loop();
	child = begin(held_here);
	ok(guarded_followed(&guard, child, 2), "threads that wait");
	is_int(guarded_ask(&guard, SUPER_GO_ON, -1), -EINVAL, "it was not held");
	guarded_hold(&guard, child);
	is_int(super_ask_clock(guard.channel, a, &told), 0, "held, it tells its clock");
	ok(told.sec == AHEAD_SEC && told.nsec == AHEAD_NS && !told.begins, "which is the plan's");
	is_int(super_go_on(guard.channel), 0, "it goes on");
	ok(guarded_followed(&guard, child, 2), "and follows them again");
	kill(child, SIGUSR1);
	finish(child, 0);
}

/* ---- timers */

static void timers_here(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR2 };
	struct itimerspec set = { .it_value = { 0, 0 } }, got;
	long long then = host_time(CLOCK_MONOTONIC);
	siginfo_t info;
	timer_t wall, steady;
	uint64_t times;
	sigset_t mask;
	int fd;

	sigemptyset(&mask);
	sigaddset(&mask, SIGUSR2);
	sigprocmask(SIG_BLOCK, &mask, NULL);
	must(timer_create(CLOCK_MONOTONIC, &event, &steady) == 0);
	must(timer_create(CLOCK_REALTIME, &event, &wall) == 0);
	set.it_value = spec(told_time(CLOCK_REALTIME) + 50 * MS);
	must(timer_settime(wall, TIMER_ABSTIME, &set, NULL) == 0);
	must(timer_gettime(wall, &got) == 0 && ns(&got.it_value) <= 50 * MS);
	must(sigwaitinfo(&mask, &info) == SIGUSR2 && since(then) >= 50 * MS);
	set.it_value = spec(host_time(CLOCK_MONOTONIC) + 20 * MS);
	must(timer_settime(steady, TIMER_ABSTIME, &set, NULL) == 0);
	must(sigwaitinfo(&mask, &info) == SIGUSR2 && since(then) >= 70 * MS);
	set.it_value = spec(told_time(CLOCK_REALTIME) + LONG);
	must(timer_settime(wall, TIMER_ABSTIME, &set, NULL) == 0);
	set.it_value = spec(0);
	must(timer_settime(wall, TIMER_ABSTIME, &set, &got) == 0);
	must(ns(&got.it_value) > LONG - 10 * NS && ns(&got.it_value) <= LONG);
	must(timer_gettime(wall, &got) == 0 && ns(&got.it_value) == 0);

	fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC);
	then = host_time(CLOCK_MONOTONIC);
	set.it_value = spec(told_time(CLOCK_REALTIME) + 50 * MS);
	must(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL) == 0);
	must(timerfd_gettime(fd, &got) == 0 && ns(&got.it_value) <= 50 * MS);
	must(read(fd, &times, sizeof(times)) == sizeof(times) && times == 1);
	must(since(then) >= 50 * MS && since(then) < LONG);
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC);
	set.it_value = spec(host_time(CLOCK_MONOTONIC) + 20 * MS);
	must(timerfd_settime(fd, TFD_TIMER_ABSTIME, &set, NULL) == 0);
	must(read(fd, &times, sizeof(times)) == sizeof(times) && since(then) < LONG);
	must(timerfd_settime(-1, TFD_TIMER_ABSTIME, &set, NULL) < 0 && errno == EBADF);
}

static void sets_timers(void)
{
	supervised(timers_here);
}

/* ---- files */

static int temporary(void)
{
	char name[] = "/tmp/thole-clock-XXXXXX";
	int fd = mkstemp(name);

	must(fd >= 0);
	unlink(name);
	return fd;
}

static void files_here(void)
{
	struct timespec times[2] = { { 1700000000, 123456789 }, { 1600000000, 987654321 } };
	struct timeval old[2] = { { 1700000001, 500000 }, { 1600000001, 250000 } };
	long long before = told_time(CLOCK_REALTIME_COARSE);
	struct statx stx;
	struct stat st, null;
	int fd = temporary();
	char path[32];

	must(fstat(fd, &st) == 0 && ns(&st.st_mtim) >= before);
	must(ns(&st.st_mtim) <= told_time(CLOCK_REALTIME));
	must(futimens(fd, times) == 0 && fstat(fd, &st) == 0);
	must(ns(&st.st_atim) == ns(&times[0]) && ns(&st.st_mtim) == ns(&times[1]));
	must(times[0].tv_sec == 1700000000); /* what was given is as it was */
	must(statx(fd, "", AT_EMPTY_PATH, STATX_ALL, &stx) == 0);
	must(stx.stx_mtime.tv_sec == 1600000000 && stx.stx_mtime.tv_nsec == 987654321);
	must(stx.stx_ctime.tv_sec * NS + stx.stx_ctime.tv_nsec >= before);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(syscall(SYS_newfstatat, AT_FDCWD, path, &st, 0) == 0);
	must(ns(&st.st_mtim) == ns(&times[1]));
	times[0].tv_nsec = UTIME_OMIT;
	times[1].tv_nsec = UTIME_NOW;
	before = told_time(CLOCK_REALTIME_COARSE);
	must(futimens(fd, times) == 0 && fstat(fd, &st) == 0);
	must(st.st_atim.tv_sec == 1700000000 && ns(&st.st_mtim) >= before);
	must(futimens(fd, NULL) == 0 && fstat(fd, &st) == 0 && ns(&st.st_atim) >= before);
	must(utimes(path, old) == 0 && fstat(fd, &st) == 0);
	must(ns(&st.st_atim) == 1700000001 * NS + 500 * MS);
	times[0].tv_nsec = times[1].tv_nsec = NS;
	must(futimens(fd, times) < 0 && errno == EINVAL);
	must(syscall(SYS_utimensat, fd, NULL, 8, 0) < 0 && errno == EFAULT);
	/* as far back, and as far ahead, as a file can be */
	times[0] = (struct timespec){ .tv_sec = INT64_MIN };
	times[1] = (struct timespec){ .tv_sec = INT64_MAX };
	must(futimens(fd, times) == 0);
	must(fstat(-1, &st) < 0 && errno == EBADF);
	must(syscall(SYS_newfstatat, fd, "", 8, AT_EMPTY_PATH) < 0 && errno == EFAULT);
	/* what does not know the time of day has none */
	fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	must(fstat(fd, &null) == 0 && S_ISCHR(null.st_mode));
}

static void shows_files(void)
{
	supervised(files_here);
}

/* The old calls, which new libraries do not make. */
static void old_calls_here(void)
{
	int64_t pair[2] = { 1500000000, 1400000000 };
	int64_t vals[4] = { 1500000001, 250000, 1400000001, 500000 };
	int fd = temporary();
	struct stat st;
	char path[32];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
#ifdef SYS_utime
	must(syscall(SYS_utime, path, pair) == 0 && fstat(fd, &st) == 0);
	must(ns(&st.st_atim) == 1500000000 * NS && ns(&st.st_mtim) == 1400000000 * NS);
	must(syscall(SYS_utimes, path, vals) == 0 && fstat(fd, &st) == 0);
	must(ns(&st.st_atim) == 1500000001 * NS + 250 * MS);
	vals[0] = 1500000002;
	must(syscall(SYS_futimesat, AT_FDCWD, path, vals) == 0 && fstat(fd, &st) == 0);
	must(ns(&st.st_atim) == 1500000002 * NS + 250 * MS);
	vals[1] = 1000000;
	must(syscall(SYS_utimes, path, vals) < 0 && errno == EINVAL);
	must(syscall(SYS_utime, "/nowhere/at/all", pair) < 0 && errno == ENOENT);
	must(syscall(SYS_stat, path, &st) == 0 && st.st_atim.tv_sec == 1500000002);
	must(syscall(SYS_time, NULL) == told_time(CLOCK_REALTIME) / NS);
#else
	(void)pair;
	(void)vals;
	(void)st;
#endif
}

static void knows_old_calls(void)
{
	supervised(old_calls_here);
}

/* ---- programs */

/* This program again, which then has a vDSO with the offset. `then` is the offset of the host's
 * time of day to its monotonic clock. */
static int inside(const char *then)
{
	long long real = strtoll(then, NULL, 10);

	for (int i = 0; i < 3; i++) {
		long long told = host_time(CLOCK_REALTIME), raw = told_time(CLOCK_REALTIME);
		long long real_now = host_time(CLOCK_MONOTONIC) + real;

		/* the host's clock may be adjusted meanwhile */
		if (llabs(told - AHEAD - real_now) > NS || raw < told || raw - told > NS)
			return 1;
	}
	return 0;
}

/* By the vDSO alone: there is no supervisor. */
static int changed(const char *then)
{
	long long real = strtoll(then, NULL, 10);
	long long told = host_time(CLOCK_REALTIME), raw = told_time(CLOCK_REALTIME);

	return llabs(told - AHEAD - raw) > NS ||
	       llabs(raw - host_time(CLOCK_MONOTONIC) - real) > NS;
}

static char now_text[32];
static char self_name[] = "clock_test", self_inside[] = "--inside";
static char *self_args[] = { self_name, self_inside, now_text, NULL };

static void note_now(void)
{
	snprintf(now_text, sizeof(now_text), "%lld",
		 host_time(CLOCK_REALTIME) - host_time(CLOCK_MONOTONIC));
}

static void run_self(void)
{
	char *none[] = { NULL };

	execve("/proc/self/exe", self_args, none);
	_exit(3);
}

static void *run_self_from_thread(void *arg)
{
	(void)arg;
	run_self();
	return NULL;
}

static void *wait_in_vain(void *arg)
{
	wait_for_long();
	return arg;
}

static int end_of(pid_t child)
{
	int status = -1;

	must(waitpid(child, &status, 0) == child);
	return status;
}

static void programs_here(void)
{
	char *none[] = { NULL };
	pthread_t thread;
	pid_t child;

	note_now();
	for (int i = 0; i < 10; i++) {
		child = fork();
		if (child == 0)
			run_self();
		must(end_of(child) == 0);
		child = vfork();
		if (child == 0)
			run_self();
		must(end_of(child) == 0);
	}
	must(posix_spawn(&child, "/proc/self/exe", NULL, NULL, self_args, none) == 0);
	must(end_of(child) == 0);
	/* one that can't be executed leaves everything as it is */
	must(execve("/nowhere/at/all", self_args, none) < 0 && errno == ENOENT);
	must(execve("/dev/null", self_args, none) < 0 && errno == EACCES);
	must(is_ahead(CLOCK_REALTIME, AHEAD));
	/* another thread than the first, while others wait for a time of day */
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 4; i++)
			pthread_create(&thread, NULL, wait_in_vain, NULL);
		usleep(20000);
		pthread_create(&thread, NULL, run_self_from_thread, NULL);
		wait_for_long();
		_exit(4);
	}
	must(end_of(child) == 0);
	run_self();
}

static void changes_programs(void)
{
	supervised(programs_here);
}

/* Many at once. */
static void crowd_here(void)
{
	pid_t children[20];

	note_now();
	for (size_t i = 0; i < TAP_COUNT(children); i++) {
		children[i] = fork();
		if (children[i] == 0)
			run_self();
	}
	for (size_t i = 0; i < TAP_COUNT(children); i++)
		must(end_of(children[i]) == 0);
}

static void changes_many_at_once(void)
{
	supervised(crowd_here);
}

/* ---- where the vDSO is not as it should be */

static struct clock *make_clock(struct arena *a)
{
	static struct super_config config;
	static struct super_state state = { .config = &config };

	config = (struct super_config){ .plan = plan, .id = "test", .control = -1 };
	return clock_new(a, &state);
}

/* Stopped before its first instruction. */
static pid_t stopped_program(char *what)
{
	char *args[] = { self_name, what, now_text, NULL }, *none[] = { NULL };
	pid_t child;
	int status;

	note_now();
	child = fork();
	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		execve("/proc/self/exe", args, none);
		_exit(3);
	}
	is_int(waitpid(child, &status, 0), child, "a program");
	ok(WIFSTOPPED(status), "is stopped");
	return child;
}

static void goes_on(pid_t child)
{
	int status;

	is_int(ptrace(PTRACE_DETACH, child, NULL, NULL), 0, "it goes on");
	waitpid(child, &status, 0);
	is_int(status, 0, "and finds what it should");
}

static void finds_none(void)
{
	static char what[] = "--none";
	auto_arena a = arena_new();
	struct clock *c = make_clock(a);
	pid_t child;

	if (!ok(c != NULL, "a clock"))
		return;
	c->patched = NULL;
	c->why = "it is a test";
	child = stopped_program(what);
	clock_program(c, child);
	goes_on(child);
}

static void finds_it_changed(void)
{
	static char what[] = "--changed";
	auto_arena a = arena_new();
	struct clock *c = make_clock(a);
	pid_t child;

	if (!ok(c != NULL, "a clock"))
		return;
	if (!c->patched)
		tap_skip("%s", c->why);
	child = stopped_program(what);
	clock_program(c, child);
	/* once more: as after an execve that has failed */
	clock_program(c, child);
	goes_on(child);
}

/* mseal(2) keeps a program from changing its mappings, not its tracer. */
static void seal_here(void)
{
	auto_arena a = arena_new();
	struct arch_offset offset;
	struct vdso v;

	if (vdso_own(a, &v) || syscall(SYS_mseal, getauxval(AT_SYSINFO_EHDR), v.len, 0) < 0)
		_exit(77);
	ptrace(PTRACE_TRACEME, 0, NULL, NULL);
	raise(SIGSTOP);
	if (vdso_own(a, &v) || vdso_clock(&v, &offset))
		_exit(1);
	_exit(offset.sec != AHEAD_SEC);
}

static void is_sealed(void)
{
	auto_arena a = arena_new();
	struct clock *c = make_clock(a);
	pid_t child;
	int status;

	if (!ok(c != NULL, "a clock"))
		return;
	child = fork();
	if (child == 0)
		seal_here();
	waitpid(child, &status, 0);
	if (!WIFSTOPPED(status))
		tap_skip("no mapping can be sealed here");
	clock_program(c, child);
	goes_on(child);
}

/* A process that has a tracer of its own goes on as it would have: nothing hangs. */
static void traced_here(void)
{
	pid_t child = fork();
	struct stat st;
	int status;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, NULL, NULL);
		raise(SIGSTOP);
		must(fstat(0, &st) == 0 || errno == EBADF);
		execl("/bin/true", "true", (char *)NULL);
		_exit(3);
	}
	must(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
	must(ptrace(PTRACE_CONT, child, NULL, NULL) == 0);
	/* the stop that execve(2) makes for a tracer */
	must(waitpid(child, &status, 0) == child && WIFSTOPPED(status));
	must(ptrace(PTRACE_CONT, child, NULL, NULL) == 0);
	must(end_of(child) == 0);
}

static void leaves_the_traced(void)
{
	supervised(traced_here);
}

/* The pages that were written are the program's own. */
static void changes_nobody_else(void)
{
	const uint8_t *at = (const uint8_t *)getauxval(AT_SYSINFO_EHDR); /* NOLINT */
	auto_arena a = arena_new();
	struct vdso before;
	struct arch_offset offset;

	if (vdso_own(a, &before))
		tap_skip("%s", err_last()->text);
	supervised(programs_here);
	ok(memcmp(at, before.bytes, before.len) == 0, "this vDSO is as it was");
	is_int(vdso_clock(&before, &offset), -ENOENT, "and has no offset");
}

/* Once it has seen that all tasks have ended, which may take a moment. */
static int fds_after(void (*run)(void), int want)
{
	int status, n;
	pid_t child;

	child = begin(run);
	waitpid(child, &status, 0);
	is_int(status, 0, "a child");
	for (int i = 0; i < 6000 && guarded_fds(&guard) != want; i++)
		usleep(10000);
	n = guarded_fds(&guard);
	guarded_stop(&guard);
	return n;
}

/* After many programs the supervisor has no more descriptors than after none. */
static void keeps_nothing(void)
{
	int before;

	start_loop();
	is_int(guarded_ask(&guard, SUPER_GO_ON, -1), -EINVAL, "it is there, and answers");
	before = guarded_fds(&guard);
	is_int(fds_after(crowd_here, before), before, "as many descriptors");
	start_loop();
	is_int(fds_after(many_here, before), before, "as many descriptors after many threads");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(tells_clocks),
		TAP(never_is_never),
		TAP(sleeps_until),
		TAP(waits_by_futex),
		TAP(waits_in_many_threads),
		TAP(keeps_stops),
		TAP(waits_for_queues),
		TAP(is_interrupted),
		TAP(is_stopped),
		TAP(is_killed),
		TAP(lets_go),
		TAP(sets_timers),
		TAP(shows_files),
		TAP(knows_old_calls),
		TAP(changes_programs),
		TAP(changes_many_at_once),
		TAP(leaves_the_traced),
		TAP(finds_none),
		TAP(finds_it_changed),
		TAP(is_sealed),
		TAP(changes_nobody_else),
		TAP(keeps_nothing),
	};

	if (argc == 3 && strcmp(argv[1], "--inside") == 0)
		return inside(argv[2]);
	if (argc == 3 && strcmp(argv[1], "--none") == 0)
		return getauxval(AT_SYSINFO_EHDR) != 0 || getauxval(AT_RANDOM) == 0;
	if (argc == 3 && strcmp(argv[1], "--changed") == 0)
		return changed(argv[2]);
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
