/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that wait in the kernel, that are stopped, and that signals come to: tracing is not
 * seen. */
#include "lib/tap.h"
#include "lib/victim.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/sem.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "task/proc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define SLEEP_MS 1200
#define PATIENCE_MS 20000

/* Calls with a time: they last as long as was asked, and give no error of their own. */
static void by_nanosleep(struct board *b)
{
	struct timespec t = { 0, SLEEP_MS % 1000 * 1000000L };

	t.tv_sec = SLEEP_MS / 1000;
	WANT(b, nanosleep(&t, NULL) == 0);
}

static void by_clock_nanosleep(struct board *b)
{
	struct timespec t, left = { 77, 77 };

	clock_gettime(CLOCK_MONOTONIC, &t);
	t.tv_nsec += SLEEP_MS * 1000000L;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	WANT(b, clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, &left) == 0);
	WANT(b, left.tv_sec == 77);
}

static void by_poll(struct board *b)
{
	struct pollfd p = { b->fd[0], POLLIN, 0 };

	WANT(b, poll(&p, 1, SLEEP_MS) == 0);
}

static void by_select(struct board *b)
{
	struct timeval t = { SLEEP_MS / 1000, SLEEP_MS % 1000 * 1000 };

	(void)b;
	WANT(b, select(0, NULL, NULL, NULL, &t) == 0);
}

static void by_futex(struct board *b)
{
	struct timespec t = { SLEEP_MS / 1000, SLEEP_MS % 1000 * 1000000L };
	int word = 1;

	WANT(b, syscall(SYS_futex, &word, FUTEX_WAIT, 1, &t, NULL, 0) == -1 && errno == ETIMEDOUT);
}

/* Calls that begin again with all of their time: the next two last at least as long. */
static void by_epoll(struct board *b)
{
	struct epoll_event e;
	int ep = epoll_create1(0);

	WANT(b, epoll_wait(ep, &e, 1, SLEEP_MS) == 0);
	close(ep);
}

static void by_sigtimedwait(struct board *b)
{
	struct timespec t = { SLEEP_MS / 1000, SLEEP_MS % 1000 * 1000000L };
	sigset_t none;

	sigemptyset(&none);
	sigaddset(&none, SIGUSR2);
	sigprocmask(SIG_BLOCK, &none, NULL);
	WANT(b, sigtimedwait(&none, NULL, &t) == -1 && errno == EAGAIN);
}

static const struct sleeper {
	void (*run)(struct board *b);
	bool begins_again;
} sleepers[] = {
	{ by_nanosleep, false },   { by_clock_nanosleep, false }, { by_poll, false },
	{ by_select, false },      { by_futex, false },           { by_epoll, true },
	{ by_sigtimedwait, true },
};

struct place {
	struct board *board;
	const struct sleeper *sleeper;
};

static void *sleep_once(void *arg)
{
	const struct place *p = arg;
	int64_t began = victim_now_ms(), took;

	p->sleeper->run(p->board);
	took = victim_now_ms() - began;
	WANT(p->board, took >= SLEEP_MS - 1);
	if (!p->sleeper->begins_again)
		atomic_fetch_add(&p->board->count[0], 1);
	return NULL;
}

static void sleeps(struct board *b)
{
	static struct place places[COUNT(sleepers)];
	pthread_t t[COUNT(sleepers)];

	if (pipe(b->fd) < 0)
		abort();
	for (size_t i = 0; i < COUNT(sleepers); i++) {
		places[i] = (struct place){ b, &sleepers[i] };
		pthread_create(&t[i], NULL, sleep_once, &places[i]);
	}
	b->ready = 1;
	for (size_t i = 0; i < COUNT(sleepers); i++)
		pthread_join(t[i], NULL);
}

/* Stop, have each thread run something that does not sleep, let go. */
static void cycle(struct victim *v)
{
	struct inject_call calls[8];
	struct trace *t = victim_seize(v, NULL);
	int64_t answer;

	if (!t)
		return;
	memset(calls, 0, sizeof(calls));
	for (size_t i = 0; i < COUNT(calls); i++)
		calls[i].nr = SYS_getppid;
	for (size_t i = 0; i < t->n; i++) {
		if (t->threads[i]->gone)
			continue;
		is_int(trace_syscall(t->threads[i], &answer, SYS_gettid), 0, "call: %s",
		       err_last()->text);
		is_int(trace_batch(t->threads[i], calls, COUNT(calls)), 0, "batch: %s",
		       err_last()->text);
		is_int(calls[7].ret, getpid(), "answer");
	}
	is_int(trace_detach(t), 0, "let go: %s", err_last()->text);
}

/* Whatever went on with all of its time would have no end while it is stopped more often than that.
 */
static void sleeps_as_long(void)
{
	struct victim v = victim_start(sleeps);
	int64_t end = victim_now_ms() + PATIENCE_MS;
	int n = 0, go_on = 0;

	for (size_t i = 0; i < COUNT(sleepers); i++)
		go_on += !sleepers[i].begins_again;
	for (; v.board->count[0] < go_on && victim_now_ms() < end; n++) {
		cycle(&v);
		usleep(20000);
	}
	is_int(v.board->count[0], go_on, "their sleep has come to its end, after %d stops", n);
	ok(n > 1, "%d stops", n);
	victim_end(&v);
}

/* Calls without a time: they answer what they wait for, and nothing before. */
static void *reads(void *arg)
{
	struct board *b = arg;
	char byte = 0;

	WANT(b, read(b->fd[0], &byte, 1) == 1 && byte == 'g');
	return NULL;
}

static void *epolls(void *arg)
{
	struct board *b = arg;
	struct epoll_event e = { .events = EPOLLIN, .data.u64 = 7 };
	int ep = epoll_create1(0);

	WANT(b, epoll_ctl(ep, EPOLL_CTL_ADD, b->fd[2], &e) == 0);
	WANT(b, epoll_wait(ep, &e, 1, -1) == 1 && e.data.u64 == 7);
	return NULL;
}

static void *polls(void *arg)
{
	struct board *b = arg;
	struct pollfd p = { b->fd[2], POLLIN, 0 };

	WANT(b, poll(&p, 1, -1) == 1);
	return NULL;
}

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static void *locks(void *arg)
{
	WANT((struct board *)arg, pthread_mutex_lock(&mutex) == 0);
	pthread_mutex_unlock(&mutex);
	return NULL;
}

static void *waits_for_signal(void *arg)
{
	sigset_t set;
	siginfo_t info;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	WANT((struct board *)arg,
	     sigwaitinfo(&set, &info) == SIGRTMIN && info.si_value.sival_int == 9);
	return NULL;
}

static void *takes_semaphore(void *arg)
{
	struct board *b = arg;
	struct sembuf down = { 0, -1, 0 };

	WANT(b, semop(b->fd[3], &down, 1) == 0);
	return NULL;
}

static void waits(struct board *b)
{
	static void *(*const bodies[])(void *) = { reads, epolls,           polls,
						   locks, waits_for_signal, takes_semaphore };
	struct sembuf up = { 0, 1, 0 };
	pthread_t t[COUNT(bodies)];
	uint64_t one = 1;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGRTMIN);
	sigprocmask(SIG_BLOCK, &set, NULL);
	if (pipe(b->fd) < 0 || (b->fd[2] = eventfd(0, 0)) < 0 ||
	    (b->fd[3] = semget(IPC_PRIVATE, 1, 0600)) < 0)
		abort();
	pthread_mutex_lock(&mutex);
	for (size_t i = 0; i < COUNT(bodies); i++)
		pthread_create(&t[i], NULL, bodies[i], b);
	b->ready = 1;
	while (!b->stop)
		usleep(1000);
	WANT(b, write(b->fd[1], "g", 1) == 1);
	WANT(b, write(b->fd[2], &one, sizeof(one)) == sizeof(one));
	pthread_mutex_unlock(&mutex);
	WANT(b, sigqueue(getpid(), SIGRTMIN, (union sigval){ .sival_int = 9 }) == 0);
	WANT(b, semop(b->fd[3], &up, 1) == 0);
	for (size_t i = 0; i < COUNT(bodies); i++)
		pthread_join(t[i], NULL);
	semctl(b->fd[3], 0, IPC_RMID);
}

static void waits_on(void)
{
	struct victim v = victim_start(waits);

	victim_settle(&v);
	for (int i = 0; i < 30; i++) {
		cycle(&v);
		usleep(3000);
	}
	victim_end(&v);
}

/* Signals that come while it is stopped, or at the moment it is being stopped. */
static struct board *counting;

static void count_value(int sig, siginfo_t *info, void *context)
{
	(void)context;
	(void)sig;
	atomic_fetch_add(&counting->count[0], 1);
	atomic_fetch_add(&counting->count[1], info->si_value.sival_int);
}

static void count_tick(int sig)
{
	(void)sig;
	atomic_fetch_add(&counting->count[2], 1);
}

static uint64_t mix(uint64_t x)
{
	for (int i = 0; i < 3000; i++)
		x = x * 6364136223846793005u + (x >> 31);
	return x;
}

static void handles(struct board *b)
{
	struct sigaction action = { .sa_sigaction = count_value, .sa_flags = SA_SIGINFO };
	struct itimerval often = { { 0, 700 }, { 0, 700 } };
	uint64_t want = mix(5);

	counting = b;
	sigaction(SIGRTMIN + 1, &action, NULL);
	signal(SIGALRM, count_tick);
	setitimer(ITIMER_REAL, &often, NULL);
	b->ready = 1;
	while (!b->stop)
		WANT(b, mix(5) == want);
}

static void loses_no_signal(void)
{
	struct victim v = victim_start(handles);
	long sent = 0, sum = 0, ticks;

	for (int i = 0; i < 120; i++) {
		for (int k = 0; k < 3; k++, sent++) {
			union sigval value = { .sival_int = i * 3 + k };

			if (sigqueue(v.pid, SIGRTMIN + 1, value) < 0)
				break;
			sum += value.sival_int;
		}
		cycle(&v);
		usleep(1000);
	}
	ticks = v.board->count[2];
	victim_counts(&v, 0, sent - 1);
	/* the timer still ticks; and one that is too many would have come meanwhile */
	victim_counts(&v, 2, ticks + 10);
	is_int(v.board->count[0], sent, "as many as were sent");
	is_int(v.board->count[1], sum, "each with its value");
	victim_end(&v);
}

static atomic_int target_tid;

static void *into_handler(void *arg)
{
	struct board *b = arg;
	char byte;

	target_tid = (int)syscall(SYS_gettid);
	/* EINTR for the handler's sake, and for nothing else */
	WANT(b, read(b->fd[0], &byte, 1) == -1 && errno == EINTR);
	atomic_fetch_add(&b->count[3], 1);
	WANT(b, read(b->fd[0], &byte, 1) == 1);
	return NULL;
}

static void in_handler(int sig)
{
	struct timespec t = { 0, 300000000 };

	(void)sig;
	/* the handler is itself waiting when it is stopped */
	WANT(counting, nanosleep(&t, NULL) == 0);
	atomic_fetch_add(&counting->count[0], 1);
}

static pthread_t target;

static void interrupted(struct board *b)
{
	struct sigaction action = { .sa_handler = in_handler };

	counting = b;
	sigaction(SIGUSR1, &action, NULL);
	if (pipe(b->fd) < 0)
		abort();
	pthread_create(&target, NULL, into_handler, b);
	while (!target_tid)
		usleep(1000);
	victim_until(b, target_tid, 'S');
	b->ready = 1;
	pthread_kill(target, SIGUSR1);
	while (!b->stop)
		usleep(1000);
	WANT(b, write(b->fd[1], "x", 1) == 1);
	pthread_join(target, NULL);
}

static void handlers_go_on(void)
{
	struct victim v = victim_start(interrupted);
	int64_t end = victim_now_ms() + PATIENCE_MS;

	while (!v.board->count[3] && victim_now_ms() < end) {
		cycle(&v);
		usleep(5000);
	}
	cycle(&v);
	is_int(v.board->count[0], 1, "the handler ran once");
	is_int(v.board->count[3], 1, "and its interruption was told once");
	victim_end(&v);
}

static char state_of(const struct victim *v)
{
	struct proc_stat st = { .state = '?' };

	proc_stat(v->pid, &st);
	return st.state;
}

static bool becomes(const struct victim *v, char state)
{
	for (int i = 0; i < PATIENCE_MS && state_of(v) != state; i++)
		usleep(1000);
	return state_of(v) == state;
}

static void counts(struct board *b)
{
	b->ready = 1;
	while (!b->stop) {
		atomic_fetch_add(&b->count[0], 1);
		usleep(500);
	}
}

/* Stopped by job control before: it stays so, runs errands, and goes on when it is told to. */
static void stays_stopped(void)
{
	struct victim v = victim_start(counts);
	struct trace *t;
	int64_t answer;
	long count;
	int status;

	kill(v.pid, SIGSTOP);
	is_int(waitpid(v.pid, &status, WUNTRACED), v.pid, "stopped");
	count = v.board->count[0];
	for (int i = 0; i < 20; i++) {
		t = victim_seize(&v, NULL);
		if (!t)
			return;
		ok(t->threads[0]->group_stop, "it is known to be stopped");
		is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), 0, "call: %s",
		       err_last()->text);
		is_int(trace_detach(t), 0, "let go");
		ok(becomes(&v, 'T'), "stopped again, not %c", state_of(&v));
	}
	is_int(v.board->count[0], count, "it did not run");
	is_int(waitpid(v.pid, &status, WUNTRACED | WNOHANG), 0,
	       "and its parent is told nothing new");
	kill(v.pid, SIGCONT);
	victim_counts(&v, 0, count);
	victim_end(&v);
}

/* SIGSTOP and SIGCONT while a tracer has it. */
static void stops_later(void)
{
	struct victim v = victim_start(counts);
	struct trace *t = victim_seize(&v, NULL);
	int64_t answer;
	long count;

	if (!t)
		return;
	is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), 0, "a call");
	kill(v.pid, SIGSTOP);
	for (int i = 0; i < 5; i++)
		is_int(trace_syscall(t->threads[0], &answer, SYS_getppid), 0, "and more: %s",
		       err_last()->text);
	is_int(answer, getpid(), "answered");
	is_int(trace_detach(t), 0, "let go");
	ok(becomes(&v, 'T'), "then it stops, and is not in %c", state_of(&v));
	t = victim_seize(&v, NULL);
	if (!t)
		return;
	count = v.board->count[0];
	kill(v.pid, SIGCONT);
	is_int(trace_syscall(t->threads[0], &answer, SYS_getppid), 0, "a call: %s",
	       err_last()->text);
	is_int(v.board->count[0], count, "it does not run yet");
	is_int(trace_detach(t), 0, "let go");
	victim_counts(&v, 0, count);
	victim_end(&v);
}

/* What waits in its queues can be read, and stays there. */
static void blocks(struct board *b)
{
	sigset_t all;

	sigfillset(&all);
	sigprocmask(SIG_BLOCK, &all, NULL);
	b->ready = 1;
	while (!b->stop)
		usleep(1000);
	sigemptyset(&all);
	sigaddset(&all, SIGRTMIN + 2);
	for (int i = 0; i < 3; i++) {
		siginfo_t info;

		WANT(b, sigwaitinfo(&all, &info) == SIGRTMIN + 2 && info.si_value.sival_int == i);
	}
}

static void shows_pending(void)
{
	struct victim v = victim_start(blocks);
	siginfo_t infos[4];
	struct trace *t;
	size_t n = 9;
	int64_t answer;

	for (int i = 0; i < 3; i++)
		sigqueue(v.pid, SIGRTMIN + 2, (union sigval){ .sival_int = i });
	t = victim_seize(&v, NULL);
	if (!t)
		return;
	is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), 0, "a call");
	is_int(trace_pending(t->threads[0], false, infos, 4, &n), 0, "its own queue");
	is_int((long long)n, 0, "is empty");
	is_int(trace_pending(t->threads[0], true, infos, 4, &n), 0, "the shared queue");
	is_int((long long)n, 3, "has three");
	is_int(infos[2].si_value.sival_int, 2, "the last one's value");
	is_int(trace_pending(t->threads[0], true, infos, 2, &n), -E2BIG, "no room");
	is_int(trace_detach(t), 0, "let go");
	victim_end(&v);
}

/* A thread in vfork(2) cannot be stopped before its child has gone on. */
static void vforks(struct board *b)
{
	pid_t child = vfork();

	if (child == 0) {
		b->ready = 1;
		while (!b->stop)
			usleep(1000);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static int seize_in_vain(struct victim *v)
{
	const struct trace_options options = { .patience_ms = 200 };
	struct trace *t = NULL;
	int64_t began = victim_now_ms();

	return trace_seize(v->a, v->pid, &options, &t) == -ETIMEDOUT && !t &&
			       strstr(err_last()->text, "state D") &&
			       victim_now_ms() - began < PATIENCE_MS
		       ? 0
		       : 1;
}

static void gives_up_on_vfork(void)
{
	struct victim v = victim_start(vforks);
	int status = -1;
	pid_t tracer;

	fflush(stdout);
	tracer = fork();
	if (tracer == 0)
		_exit(seize_in_vain(&v));
	waitpid(tracer, &status, 0);
	is_int(status, 0, "it says so, within bounds");
	victim_end(&v);
}

static void *waits_for_nothing(void *arg)
{
	pause();
	return arg;
}

static void has_threads(struct board *b)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		if (pthread_create(&t, NULL, waits_for_nothing, NULL))
			abort();
	b->ready = 1;
	pause();
}

/* What a leader is waited for it does not tell while its other threads have not been buried. */
static void is_killed_in_a_call(void)
{
	struct victim v = victim_start(has_threads);
	struct trace *t = victim_seize(&v, NULL);
	int64_t answer;
	pid_t killer;

	if (!t)
		return;
	fflush(stdout);
	killer = fork();
	if (killer == 0) {
		usleep(100000);
		_exit(kill(v.pid, SIGKILL));
	}
	is_int(trace_syscall(t->threads[0], &answer, SYS_ppoll, 0, 0, 0, 0, 0), -ESRCH,
	       "a call that would wait for ever");
	trace_detach(t);
	waitpid(killer, NULL, 0);
	victim_kill(&v);
}

/* Many are asked to stop before any is waited for. */
static void runs_on(struct board *b)
{
	b->ready = 1;
	while (!b->stop)
		b->count[0]++;
}

#define TOGETHER 5

static void stops_together(void)
{
	struct victim v[TOGETHER];
	struct trace *t[TOGETHER] = { NULL };
	long before, after;

	for (int i = 0; i < TOGETHER; i++)
		v[i] = victim_start(runs_on);
	for (int i = 0; i < TOGETHER; i++)
		is_int(trace_seize_begin(v[i].a, v[i].pid, NULL, &t[i]), 0, "asked");
	for (int i = 0; i < TOGETHER - 1; i++)
		is_int(trace_seize_end(t[i]), 0, "stopped");
	for (int i = 0; i < TOGETHER - 1; i++) {
		before = v[i].board->count[0];
		usleep(2000);
		after = v[i].board->count[0];
		is_int(after, before, "it stands still");
		ok(t[i]->status && t[i]->status->threads == 1, "and is known");
	}
	/* the last one is let go before anybody has waited for it */
	for (int i = 0; i < TOGETHER; i++) {
		is_int(trace_detach(t[i]), 0, "let go");
		victim_end(&v[i]);
	}
}

static pid_t only_child(struct victim *v)
{
	pid_t *children;
	size_t n = 0;

	return proc_children(v->a, v->pid, &children, &n) == 0 && n == 1 ? children[0] : 0;
}

/* Its child is stopped, too: so neither goes on before both are let go. */
static int stop_both(struct victim *v)
{
	const struct trace_options options = { .patience_ms = 100 };
	const struct trace_options patient = { .patience_ms = PATIENCE_MS };
	struct trace *parent, *child;
	pid_t pid = only_child(v);
	int stopped;

	if (!pid || trace_seize_begin(v->a, v->pid, &options, &parent) ||
	    trace_seize_begin(v->a, pid, &patient, &child))
		return 1;
	stopped = trace_seize_end(parent);
	if (stopped != -ETIMEDOUT || trace_seize_end(child))
		return 2;
	/* as it ends the other one stops, and is let go */
	v->board->stop = 1;
	return trace_detach(child) || trace_detach(parent) ? 3 : 0;
}

static void both_of_vfork_go_on(void)
{
	struct victim v = victim_start(vforks);
	int status = -1;
	pid_t tracer;

	fflush(stdout);
	tracer = fork();
	if (tracer == 0)
		_exit(stop_both(&v));
	waitpid(tracer, &status, 0);
	is_int(status, 0, "stopped in vain, and let go");
	victim_end(&v);
}

static void nobody_sleeps_as_long(void)
{
	victim_as_nobody();
	sleeps_as_long();
}

static void nobody_loses_no_signal(void)
{
	victim_as_nobody();
	loses_no_signal();
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(sleeps_as_long),         TAP(waits_on),          TAP(loses_no_signal),
		TAP(handlers_go_on),         TAP(stays_stopped),     TAP(stops_later),
		TAP(shows_pending),          TAP(gives_up_on_vfork), TAP(nobody_sleeps_as_long),
		TAP(nobody_loses_no_signal), TAP(stops_together),    TAP(both_of_vfork_go_on),
		TAP(is_killed_in_a_call),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
