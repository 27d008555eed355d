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
	struct timespec patience = { 60, 0 };
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

static int64_t left_us(timer_t timer)
{
	struct itimerspec is = { .it_value = { 0 } };

	must(timer_gettime(timer, &is));
	return is.it_value.tv_sec * 1000000LL + is.it_value.tv_nsec / 1000;
}

/* Uses up processor time of this thread. */
static void burn(int ms)
{
	int64_t until = cycle_now(CLOCK_THREAD_CPUTIME_ID) + ms;

	while (cycle_now(CLOCK_THREAD_CPUTIME_ID) < until)
		;
}

struct worker {
	struct cycle_gate ready, go, done;
	timer_t unnamed, told;
};

static void *work(void *ctx)
{
	struct worker *w = ctx;
	struct sigevent own = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2 };
	struct sigevent told = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 3 };

	told._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	w->unnamed = create(CLOCK_THREAD_CPUTIME_ID, &own, 1000000, 0);
	w->told = create(CLOCK_THREAD_CPUTIME_ID, &told, 1000000, 0);
	cycle_pass(w->ready);
	cycle_await(w->go, 1);
	burn(60);
	cycle_pass(w->done);
	return NULL;
}

/* On the processor time of a thread: of whoever made it, or of one that is named. */
static void processor_timers(void)
{
	struct worker w = { .ready = cycle_gate(), .go = cycle_gate(), .done = cycle_gate() };
	struct sigevent none = { .sigev_notify = SIGEV_NONE };
	int64_t unnamed, told, of_thread, of_process, own, used;
	timer_t thread_timer, process_timer, own_timer;
	pthread_t thread;
	clockid_t clock;

	own_timer = create(CLOCK_THREAD_CPUTIME_ID, &none, 1000000, 0);
	must(-pthread_create(&thread, NULL, work, &w));
	cycle_await(w.ready, 1);
	must(-pthread_getcpuclockid(thread, &clock));
	thread_timer = create(clock, &none, 1000000, 0);
	process_timer = create(CLOCK_PROCESS_CPUTIME_ID, &none, 1000000, 0);
	cycle();
	unnamed = left_us(w.unnamed);
	told = left_us(w.told);
	of_thread = left_us(thread_timer);
	of_process = left_us(process_timer);
	used = cycle_now(CLOCK_THREAD_CPUTIME_ID);
	own = left_us(own_timer);
	cycle_pass(w.go);
	cycle_await(w.done, 1);
	check(unnamed > 900000000 && unnamed - left_us(w.unnamed) >= 50000,
	      "the thread's own: %ld us were left, %ld are", (long)unnamed,
	      (long)left_us(w.unnamed));
	check(told > 900000000 && told - left_us(w.told) >= 50000,
	      "the one that tells it: %ld us were left, %ld are", (long)told,
	      (long)left_us(w.told));
	check(of_thread > 900000000 && of_thread - left_us(thread_timer) >= 50000,
	      "one on its clock: %ld us were left, %ld are", (long)of_thread,
	      (long)left_us(thread_timer));
	check(of_process > 900000000 && of_process - left_us(process_timer) >= 50000,
	      "the process's: %ld us were left, %ld are", (long)of_process,
	      (long)left_us(process_timer));
	own -= left_us(own_timer);
	used = cycle_now(CLOCK_THREAD_CPUTIME_ID) - used;
	check(left_us(own_timer) > 900000000 && own <= (used + 1) * 1000,
	      "the first thread's: %ld us of the %ld ms that it has used", (long)own, (long)used);
	pthread_join(thread, NULL);
}

static void wait_for(const sigset_t *set, int signal, int value, const char *what)
{
	struct timespec patience = { 60, 0 };
	siginfo_t info = { 0 };
	sigset_t one = *set;
	int got;

	sigemptyset(&one);
	sigaddset(&one, signal);
	got = sigtimedwait(&one, &info, &patience);
	check(got == signal && info.si_code == SI_TIMER && info.si_value.sival_int == value,
	      "%s: signal %d, code %d, value %d", what, got, info.si_code, info.si_value.sival_int);
}

static void none_waits(const sigset_t *set, const char *what)
{
	struct timespec none = { 0, 0 };
	siginfo_t info = { 0 };

	check(sigtimedwait(set, &info, &none) < 0, "%s: signal %d, value %d, once more", what,
	      info.si_signo, info.si_value.sival_int);
}

/* Expired, and nobody took notice yet: the signals wait, and periods begin when they are taken. */
static void waiting_timers(void)
{
	struct itimerval alarms = { .it_interval = { 2000, 0 }, .it_value = { 0, 1000 } }, is;
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL };
	struct sigevent thread = { .sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGRTMIN + 4 };
	timer_t once, often, told;
	sigset_t set, alarm;
	int got;

	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	sigemptyset(&set);
	for (int i = 2; i <= 4; i++)
		sigaddset(&set, SIGRTMIN + i);
	sigaddset(&set, SIGALRM);
	must(sigprocmask(SIG_BLOCK, &set, NULL));
	event.sigev_signo = SIGRTMIN + 2;
	event.sigev_value.sival_int = 22;
	once = create(CLOCK_MONOTONIC, &event, 1, 0);
	event.sigev_signo = SIGRTMIN + 3;
	event.sigev_value.sival_int = 33;
	often = create(CLOCK_REALTIME, &event, 1, 3000000);
	thread.sigev_value.sival_int = 44;
	thread._sigev_un._tid = (pid_t)syscall(SYS_gettid);
	told = create(CLOCK_BOOTTIME, &thread, 1, 4000000);
	must(setitimer(ITIMER_REAL, &alarms, NULL));
	cycle_sleep(50);
	cycle();
	must(getitimer(ITIMER_REAL, &is));
	check(is.it_value.tv_sec == 0 && is.it_value.tv_usec == 0 && is.it_interval.tv_sec == 2000,
	      "the alarm: %ld.%06ld s of every %ld left", (long)is.it_value.tv_sec,
	      (long)is.it_value.tv_usec, (long)is.it_interval.tv_sec);
	check(sigwait(&alarm, &got) == 0 && got == SIGALRM, "signal %d is no alarm", got);
	must(getitimer(ITIMER_REAL, &is));
	check(is.it_value.tv_sec > 1900, "the alarm: %ld s left after it",
	      (long)is.it_value.tv_sec);
	wait_for(&set, SIGRTMIN + 2, 22, "once");
	wait_for(&set, SIGRTMIN + 3, 33, "often");
	wait_for(&set, SIGRTMIN + 4, 44, "to a thread");
	none_waits(&set, "all");
	check_left(once, 0, 0, "once");
	check_left(often, 3000000, 3000000, "often");
	check_left(told, 4000000, 4000000, "to a thread");
}

#define YOUNG_MS 600000

/* timer_getoverrun(2) is about the last signal that was taken. */
static void overrun_timers(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + 2 };
	struct itimerspec at;
	timer_t timer;
	sigset_t set;
	int clock = CLOCK_MONOTONIC;
	int64_t now = cycle_now(clock), period = now / 8, then, is;

	/* not to be due again in the middle: the clock of a machine that was started lately does
	 * not go back far enough for that */
	if (period < YOUNG_MS) {
		clock = CLOCK_REALTIME;
		now = cycle_now(clock);
		period = YOUNG_MS;
	}
	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN + 2);
	must(sigprocmask(SIG_BLOCK, &set, NULL));
	event.sigev_value.sival_int = 2;
	must(timer_create(clock, &event, &timer));
	then = now - 5 * period - period / 2;
	at.it_value = (struct timespec){ then / 1000, then % 1000 * 1000000 };
	at.it_interval = (struct timespec){ period / 1000, period % 1000 * 1000000 };
	must(timer_settime(timer, TIMER_ABSTIME, &at, NULL));
	wait_for(&set, SIGRTMIN + 2, 2, "before");
	must(timer_getoverrun(timer) == 5 ? 0 : -1);
	is = left_us(timer) / 1000;
	cycle();
	check(timer_getoverrun(timer) == 5, "it overran %d times", timer_getoverrun(timer));
	none_waits(&set, "after");
	check(left_us(timer) / 1000 <= is, "%ld ms are left of %ld", (long)left_us(timer) / 1000,
	      (long)is);
}

const struct cycle_case timer_cases[] = {
	{ "timers-interval", interval_timers },
	{ "timers-alarm", alarm_left },
	{ "timers-posix", posix_timers },
	{ "timers-processor", processor_timers },
	{ "timers-waiting", waiting_timers },
	{ "timers-overrun", overrun_timers },
	{ NULL, NULL },
};
