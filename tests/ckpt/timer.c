/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of a process: interval timers, POSIX timers, alarm. */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "cycle.h"

static volatile sig_atomic_t ticks;

static void tick(int signal)
{
	(void)signal;
	ticks++;
}

static void interval_timers(void)
{
	struct itimerval set = { .it_interval = { 0, 50000 }, .it_value = { 0, 50000 } };
	struct itimerval slow = { .it_interval = { 7, 0 }, .it_value = { 5000, 123 } }, is;
	sig_atomic_t then;

	must(sigaction(SIGALRM, &(struct sigaction){ .sa_handler = tick, .sa_flags = SA_RESTART },
		       NULL));
	must(setitimer(ITIMER_REAL, &set, NULL));
	must(setitimer(ITIMER_VIRTUAL, &slow, NULL));
	must(setitimer(ITIMER_PROF, &slow, NULL));
	cycle();
	for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++) {
		must(getitimer(which, &is));
		check(is.it_interval.tv_sec == 7 && is.it_value.tv_sec > 4900 &&
			      is.it_value.tv_sec <= 5000,
		      "timer %d: %ld of every %ld s are left", which, (long)is.it_value.tv_sec,
		      (long)is.it_interval.tv_sec);
	}
	then = ticks;
	cycle_sleep(500);
	check(ticks >= then + 5, "%d ticks in half a second", (int)(ticks - then));
}

static void alarm_left(void)
{
	unsigned left;

	alarm(1000);
	cycle();
	left = alarm(0);
	check(left > 900 && left <= 1000, "%u s are left of 1000", left);
}

static timer_t create(int clock, struct sigevent *event, int ms, int interval_ms)
{
	struct itimerspec at = { .it_value = { ms / 1000, ms % 1000 * 1000000L },
				 .it_interval = { interval_ms / 1000,
						  interval_ms % 1000 * 1000000L } };
	timer_t timer;

	must(timer_create(clock, event, &timer));
	must(timer_settime(timer, 0, &at, NULL));
	return timer;
}

static void check_left(timer_t timer, int ms, int interval_ms, const char *what)
{
	struct itimerspec is;
	int64_t left;

	if (!check(timer_gettime(timer, &is) == 0, "%s: %s", what, strerror(errno)))
		return;
	left = is.it_value.tv_sec * 1000 + is.it_value.tv_nsec / 1000000;
	check(ms ? left > ms - 100000 && left <= ms : left == 0, "%s: %ld ms left of %d", what,
	      (long)left, ms);
	check(is.it_interval.tv_sec * 1000 + is.it_interval.tv_nsec / 1000000 == interval_ms,
	      "%s: every %ld s", what, (long)is.it_interval.tv_sec);
}

/* Numbers with holes, several clocks, every way to tell. */
static void posix_timers(void)
{
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	struct sigevent own = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2 };
	struct sigevent thread = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 4 };
	timer_t gap, idle, mono, cpu, fast, real;
	struct timespec patience = { 2, 0 };
	siginfo_t info;
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	sigaddset(&set, SIGRTMIN + 4);
	must(sigprocmask(SIG_BLOCK, &set, NULL));
	thread._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	thread.sigev_value.sival_int = 4444;
	own.sigev_value.sival_int = 2222;
	gap = create(CLOCK_REALTIME, &none, 0, 0);
	idle = create(CLOCK_MONOTONIC, &none, 0, 0);
	mono = create(CLOCK_MONOTONIC, &own, 2000000, 5000);
	cpu = create(CLOCK_PROCESS_CPUTIME_ID, &own, 2000000, 0);
	real = create(CLOCK_REALTIME, &own, 3000000, 0);
	must(timer_delete(gap));
	fast = create(CLOCK_MONOTONIC, &thread, 100, 100);
	cycle();
	check_left(idle, 0, 0, "an idle one");
	check_left(mono, 2000000, 5000, "CLOCK_MONOTONIC");
	check_left(cpu, 2000000, 0, "CLOCK_PROCESS_CPUTIME_ID");
	check_left(real, 3000000, 0, "CLOCK_REALTIME");
	for (int i = 0; i < 3; i++) {
		got = sigtimedwait(&set, &info, &patience);
		check(got == SIGRTMIN + 4 && info.si_value.sival_int == 4444 &&
			      info.si_code == SI_TIMER,
		      "a tick is signal %d, value %d", got, info.si_value.sival_int);
	}
	check(timer_delete(fast) == 0 && timer_delete(mono) == 0 && timer_delete(cpu) == 0 &&
		      timer_delete(real) == 0 && timer_delete(idle) == 0,
	      "timers of the old numbers can't be deleted");
}

const struct cycle_case timer_cases[] = {
	{ "timers-interval", interval_timers },
	{ "timers-alarm", alarm_left },
	{ "timers-posix", posix_timers },
	{ NULL, NULL },
};
