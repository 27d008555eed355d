/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Timers of a process: setitimer(2), and timer_create(2) with the numbers that the program knows.
 * The time that was left goes on when the process does.
 *
 * A timer whose signal waits is bound to it: the next period begins when the signal is taken, and
 * setting the timer anew takes the signal back. So it is made to expire again, at the time of its
 * past period, instead of its signal being queued. How often it had overrun when its last signal
 * was taken (timer_getoverrun(2)) comes back the same way: it expires so many periods in the past,
 * and that signal is taken at once. Timers on processor time can't be made to expire while nothing
 * runs: their signals are queued, and their overruns are forgotten.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/ask.h"
#include "ckpt/batch.h"
#include "ckpt/kinds.h"
#include "ckpt/signals.h"
#include "ckpt/timers.h"
#include "task/trace.h"

#define ITIMERS 3
#define TIMERS_MAX 65536u
#define NS_PER_US 1000ull
#define NS_PER_S 1000000000ull
#define PART 256 /* timers that are asked for at once */
#define SET_SIZE 8
#define GAPS_MAX (1u << 20) /* numbers that are used up for a timer to get its own */

/* linux/prctl.h, since Linux 6.15 */
#define CREATE_RESTORE_IDS 77
#define CREATE_RESTORE_IDS_OFF 0
#define CREATE_RESTORE_IDS_ON 1

/* linux/posix-timers.h: a clock of processor time is ~pid << 3, 4 for a thread's, and which one. */
#define CLOCK_OF_THREAD 4
#define CLOCK_WHICH 3 /* all bits: it is a device's */

struct interval {
	uint32_t which;
	uint64_t left, interval; /* nanoseconds; nothing left: it does not run */
	bool waits;              /* restore: its signal does */
};

struct timer {
	uint32_t id;
	int32_t clock;
	uint32_t notify, signal;
	uint64_t value;
	uint32_t target;   /* thread, of SIGEV_THREAD_ID */
	uint32_t measured; /* thread whose time it is, where the clock does not say */
	uint64_t left, interval;
	uint32_t overrun;
	bool waits; /* restore: its signal does */
};

struct timers {
	struct interval *intervals;
	size_t n_intervals;
	struct timer *v; /* as they were made */
	size_t n;
};

static const struct record_field interval_rows[] = {
	RECORD(U, struct interval, "which", which, RECORD_MAX(ITIMERS - 1)),
	RECORD(U, struct interval, "left", left, RECORD_OPTIONAL, RECORD_MAX(INT64_MAX)),
	RECORD(U, struct interval, "interval", interval, RECORD_OPTIONAL, RECORD_MAX(INT64_MAX)),
};
static const struct record_table interval_table = RECORD_TABLE(struct interval, interval_rows);

static const struct record_field timer_rows[] = {
	RECORD(U, struct timer, "id", id, RECORD_MAX(INT32_MAX)),
	RECORD(I, struct timer, "clock", clock),
	RECORD(U, struct timer, "notify", notify),
	RECORD(U, struct timer, "signal", signal, RECORD_OPTIONAL, RECORD_MAX(_NSIG - 1)),
	RECORD(HEX, struct timer, "value", value, RECORD_OPTIONAL),
	RECORD(U, struct timer, "target", target, RECORD_OPTIONAL),
	RECORD(U, struct timer, "measured", measured, RECORD_OPTIONAL),
	RECORD(U, struct timer, "left", left, RECORD_OPTIONAL, RECORD_MAX(INT64_MAX)),
	RECORD(U, struct timer, "interval", interval, RECORD_OPTIONAL, RECORD_MAX(INT64_MAX)),
	RECORD(U, struct timer, "overrun", overrun, RECORD_OPTIONAL, RECORD_MAX(INT32_MAX)),
};
static const struct record_table timer_table = RECORD_TABLE(struct timer, timer_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct timers, "intervals", intervals, n_intervals, interval_table,
		       RECORD_OPTIONAL, RECORD_MAX(ITIMERS)),
	RECORD_LIST_OF(struct timers, "posix", v, n, timer_table, RECORD_OPTIONAL,
		       RECORD_MAX(TIMERS_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct timers, rows);

static uint64_t to_ns(const struct timespec *t)
{
	return (uint64_t)t->tv_sec * NS_PER_S + (uint64_t)t->tv_nsec;
}

static struct timespec from_ns(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / NS_PER_S), (long)(ns % NS_PER_S) };
}

/* CLOCK_PROCESS_CPUTIME_ID and its like are told as the negative ones. */
static bool of_processor(const struct timer *timer)
{
	return timer->clock < 0;
}

/* Whose time it is; 0 is who made the timer. */
static pid_t clock_task(const struct timer *timer)
{
	return (pid_t)(~(uint32_t)timer->clock >> 3);
}

/* The time of "this thread", whichever made it. */
static bool of_unnamed_thread(const struct timer *timer)
{
	return timer->clock < 0 && !clock_task(timer) && (timer->clock & CLOCK_OF_THREAD);
}

static struct ckpt_thread *find_thread(const struct ckpt_proc *p, pid_t tid)
{
	for (size_t i = 0; i < p->n_threads; i++)
		if (p->threads[i]->tid == tid)
			return p->threads[i];
	return NULL;
}

/* ---- dump */

static int ask_intervals(const struct ckpt_unit *u, struct ask *a)
{
	struct inject_call calls[ITIMERS];
	uint64_t addr = 0;
	int ret = ask_room(a, ITIMERS * sizeof(struct itimerval), &addr);

	(void)u;
	for (uint64_t i = 0; i < ITIMERS; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_getitimer,
			.arg = { i, addr + i * sizeof(struct itimerval) },
		};
	return ret ? ret : ask_add(a, calls, ITIMERS);
}

static int collect_intervals(const struct ckpt_unit *u, struct timers *timers)
{
	struct itimerval values[ITIMERS];
	const struct inject_call *calls;
	struct answers answers;
	struct interval *to;
	/* one that was looked at later waits: its timer may have gone off after it was asked */
	int ret = signals_wait(u->p, SIGALRM) || signals_wait(u->p, SIGVTALRM) ||
				  signals_wait(u->p, SIGPROF)
			  ? ask_again(&kind_timer, u, &answers)
			  : ask_answers(&kind_timer, u, &answers);

	if (ret)
		return ret;
	calls = answers.calls;
	memcpy(values, answers.data, sizeof(values));
	timers->intervals = arena_array(u->c->arena, ITIMERS, sizeof(*timers->intervals));
	for (uint32_t i = 0; i < ITIMERS && !ret; i++) {
		const struct itimerval *v = &values[i];

		if (calls[i].ret < 0)
			return fail((int)-calls[i].ret, "process %d: ask for interval timer %u: %s",
				    u->p->pid, i, err_reason((int)-calls[i].ret));
		to = &timers->intervals[timers->n_intervals];
		to->which = i;
		to->left = (uint64_t)v->it_value.tv_sec * NS_PER_S +
			   (uint64_t)v->it_value.tv_usec * NS_PER_US;
		to->interval = (uint64_t)v->it_interval.tv_sec * NS_PER_S +
			       (uint64_t)v->it_interval.tv_usec * NS_PER_US;
		timers->n_intervals += to->left || to->interval;
	}
	return ret;
}

/* Whether a clock of processor time can be named again. */
static const char *refuse_clock(struct ckpt *c, const struct ckpt_proc *p, const struct timer *t)
{
	pid_t of = clock_task(t);

	if (t->clock >= 0 || of == 0)
		return NULL;
	if ((t->clock & CLOCK_WHICH) == CLOCK_WHICH)
		return "runs on the clock of a device";
	if (t->clock & CLOCK_OF_THREAD ? !find_thread(p, of) : !ckpt_find_pid(c, of))
		return "runs on the processor time of a task that has ended";
	return NULL;
}

static int describe(const struct ckpt_unit *u, const struct proc_timer *from, struct timer *to)
{
	const char *why;

	*to = (struct timer){
		.id = (uint32_t)from->id,
		.clock = from->clock,
		.notify = (uint32_t)from->notify,
		.signal = from->notify == SIGEV_NONE ? 0 : (uint32_t)from->signal,
		.value = from->value,
	};
	why = refuse_clock(u->c, u->p, to);
	for (size_t i = 0; from->notify & SIGEV_THREAD_ID && i < u->p->n_threads; i++)
		if (u->p->threads[i]->host == from->target)
			to->target = (uint32_t)u->p->threads[i]->tid;
	if (from->notify & SIGEV_THREAD_ID && !to->target)
		why = "tells a thread that has ended";
	return why ? fail(ENOTSUP, "process %d: timer %d %s, which can't be restored", u->p->pid,
			  from->id, why)
		   : 0;
}

static int ask(const struct ckpt_unit *u, struct timer *timers, size_t n)
{
	const struct ckpt_thread *t = u->p->threads[0];
	struct inject_call calls[2 * PART];
	struct itimerspec values[PART] = { 0 };
	uint64_t addr;
	int ret = ckpt_put(t, 0, values, n * sizeof(values[0]), &addr);

	for (size_t i = 0; i < n; i++) {
		calls[2 * i] = (struct inject_call){
			.nr = SYS_timer_gettime,
			.arg = { timers[i].id, addr + i * sizeof(values[0]) },
		};
		calls[2 * i + 1] = (struct inject_call){
			.nr = SYS_timer_getoverrun,
			.arg = { timers[i].id },
		};
	}
	if (!ret)
		ret = trace_batch(t->trace, calls, 2 * n);
	if (!ret)
		ret = ckpt_get(t, 0, values, n * sizeof(values[0]));
	for (size_t i = 0; i < 2 * n && !ret; i++)
		if (calls[i].ret < 0)
			ret = fail((int)-calls[i].ret, "process %d: ask for timer %u: %s",
				   u->p->pid, timers[i / 2].id, err_reason((int)-calls[i].ret));
	for (size_t i = 0; i < n && !ret; i++) {
		timers[i].left = to_ns(&values[i].it_value);
		timers[i].interval = to_ns(&values[i].it_interval);
		timers[i].overrun = (uint32_t)calls[2 * i + 1].ret;
	}
	return ret;
}

/* All are stopped: where the time that is left gets less while it asks, that time is its own. */
static int is_measured(const struct ckpt_thread *t, const struct timer *timer, bool *out)
{
	struct itimerspec values[2] = { 0 };
	struct inject_call calls[2];
	uint64_t addr;
	int ret = ckpt_put(t, 0, values, sizeof(values), &addr);

	for (size_t i = 0; i < 2; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_timer_gettime,
			.arg = { timer->id, addr + i * sizeof(values[0]) },
		};
	if (!ret)
		ret = trace_batch(t->trace, calls, 2);
	if (!ret)
		ret = ckpt_get(t, 0, values, sizeof(values));
	*out = !ret && to_ns(&values[1].it_value) < to_ns(&values[0].it_value);
	return ret;
}

static int find_measured(const struct ckpt_unit *u, struct timer *timer)
{
	struct ckpt_thread *likely = find_thread(u->p, (pid_t)timer->target);
	bool found = u->p->n_threads == 1;
	int ret = 0;

	if (!likely)
		likely = u->p->threads[0];
	timer->measured = (uint32_t)likely->tid;
	if (!found && timer->left)
		ret = is_measured(likely, timer, &found);
	for (size_t i = 0; i < u->p->n_threads && !found && timer->left && !ret; i++) {
		ret = is_measured(u->p->threads[i], timer, &found);
		timer->measured = (uint32_t)u->p->threads[i]->tid;
	}
	/* one that does not run: whoever is told is who made it */
	if (!ret && !found && (timer->left || !timer->target))
		ret = fail(ENOTSUP,
			   "process %d: timer %u runs on the processor time of a thread, and "
			   "which one can't be told",
			   u->p->pid, timer->id);
	return ret;
}

static int collect(const struct ckpt_unit *u)
{
	struct timers *timers = u->rec;
	struct proc_timer *found;
	size_t n, part;
	int ret = collect_intervals(u, timers);

	if (!ret)
		ret = proc_timers(u->c->arena, u->p->host, &found, &n);
	if (ret)
		return ret;
	if (n > TIMERS_MAX)
		return fail(ENOTSUP, "process %d: it has more than %u timers", u->p->pid,
			    TIMERS_MAX);
	timers->v = arena_array(u->c->arena, n, sizeof(*timers->v));
	timers->n = n;
	/* the newest is told first */
	for (size_t i = 0; i < n && !ret; i++)
		ret = describe(u, &found[n - i - 1], &timers->v[i]);
	for (size_t i = 0; i < n && !ret; i += part) {
		part = n - i < PART ? n - i : PART;
		ret = ask(u, timers->v + i, part);
	}
	for (size_t i = 0; i < n && !ret; i++)
		if (of_unnamed_thread(&timers->v[i]))
			ret = find_measured(u, &timers->v[i]);
	return ret;
}

/* ---- restore */

static struct timers *timers_of(const struct ckpt_proc *p)
{
	const struct ckpt_unit u = { .p = (struct ckpt_proc *)p };

	return ckpt_section(&kind_timer, &u);
}

/* So many periods in the past, at least one of its expiries has to be in the time of its clock. */
static bool has_overrun(const struct timer *t)
{
	return t->overrun && t->interval && t->left && !of_processor(t) && t->notify != SIGEV_NONE;
}

bool timers_bring(const struct ckpt_proc *p, const siginfo_t *info)
{
	struct timers *timers = timers_of(p);

	for (size_t i = 0; i < timers->n_intervals && info->si_code == SI_KERNEL; i++) {
		struct interval *t = &timers->intervals[i];

		if (info->si_signo == SIGALRM && t->which == ITIMER_REAL && !t->left)
			return t->waits = true;
	}
	for (size_t i = 0; i < timers->n && info->si_code == SI_TIMER; i++) {
		struct timer *t = &timers->v[i];

		if ((uint32_t)info->si_timerid == t->id && (uint32_t)info->si_signo == t->signal &&
		    !of_processor(t) && !has_overrun(t))
			return t->waits = true;
	}
	return false;
}

static int prepare(const struct ckpt_unit *u)
{
	const struct timers *timers = u->rec;

	for (size_t i = 0; i < timers->n; i++) {
		const struct timer *t = &timers->v[i];

		if ((t->target && !find_thread(u->p, (pid_t)t->target)) ||
		    (of_unnamed_thread(t) && !find_thread(u->p, (pid_t)t->measured)))
			return fail(EBADMSG,
				    "the image: process.%d.info.json: timers.posix[%zu]: names a "
				    "thread that is not there",
				    u->p->pid, i);
	}
	return 0;
}

/* One that does not run but has a period waits for its signal to be taken; else it has ended. */
static int set_intervals(struct ckpt_batch *b, const struct timers *timers)
{
	int ret = 0;

	for (size_t i = 0; i < timers->n_intervals && !ret; i++) {
		const struct interval *t = &timers->intervals[i];
		uint64_t left = t->left ? t->left : t->waits ? NS_PER_US : 0, addr;
		struct itimerval value = {
			.it_value = { (time_t)(left / NS_PER_S),
				      (suseconds_t)(left % NS_PER_S / NS_PER_US) },
			.it_interval = { (time_t)(t->interval / NS_PER_S),
					 (suseconds_t)(t->interval % NS_PER_S / NS_PER_US) },
		};

		ret = batch_data(b, &value, sizeof(value), &addr);
		if (!ret)
			ret = batch_add(b, "set an interval timer", 0, SYS_setitimer, t->which,
					addr, 0);
	}
	return ret;
}

/* Without a way to ask for a number they are given one after the other. */
static int use_up(struct ckpt_batch *b, uint32_t *next, uint32_t id)
{
	const struct sigevent none = { .sigev_notify = SIGEV_NONE };
	uint64_t event, number;
	int ret = 0;

	if (id < *next || id - *next > GAPS_MAX)
		return fail(ENOTSUP, "a timer can't get its number %u again on this kernel", id);
	for (; *next < id && !ret; ++*next) {
		ret = batch_data(b, &none, sizeof(none), &event);
		if (!ret)
			ret = batch_data(b, next, sizeof(*next), &number);
		if (!ret)
			ret = batch_add(b, "make a timer", 0, SYS_timer_create, CLOCK_MONOTONIC,
					event, number);
		if (!ret)
			ret = batch_add(b, "delete a timer", 0, SYS_timer_delete, *next);
	}
	++*next;
	return ret;
}

static int create(struct ckpt_batch *b, const struct timer *t)
{
	struct sigevent event = {
		.sigev_notify = (int)t->notify,
		.sigev_signo = (int)t->signal,
		.sigev_value = { .sival_ptr = (void *)(uintptr_t)t->value },
	};
	uint64_t at, number;
	int ret;

	event._sigev_un._tid = (pid_t)t->target;
	ret = batch_data(b, &event, sizeof(event), &at);
	if (!ret)
		ret = batch_data(b, &t->id, sizeof(t->id), &number);
	if (!ret)
		ret = batch_add(b, "make a timer", 0, SYS_timer_create, (uint64_t)(int64_t)t->clock,
				at, number);
	/* has it that number? */
	return ret ? ret : batch_add(b, "find a timer", BATCH_ANY, SYS_timer_getoverrun, t->id);
}

static int clock_now(const struct ckpt_thread *t, int32_t clock, uint64_t *out)
{
	struct timespec now = { 0 };
	uint64_t addr;
	int64_t ret = ckpt_put(t, 0, &now, sizeof(now), &addr);

	if (ret >= 0)
		ret = ckpt_call(t, "read a clock", SYS_clock_gettime, (uint64_t)(int64_t)clock,
				addr);
	if (ret >= 0)
		ret = ckpt_get(t, 0, &now, sizeof(now));
	*out = to_ns(&now);
	return ret < 0 ? (int)ret : 0;
}

/* The signal of the timer that has just expired; the one that brings the overruns. */
static int take(const struct ckpt_thread *t, const struct timer *timer)
{
	const uint64_t set = 1ull << (timer->signal - 1);
	const struct timespec patience = { .tv_sec = 5 };
	siginfo_t info = { 0 };
	uint64_t at, infos, left;
	int64_t ret = ckpt_put(t, 0, &set, sizeof(set), &at);

	if (ret >= 0)
		ret = ckpt_put(t, sizeof(set), &patience, sizeof(patience), &left);
	if (ret >= 0)
		ret = ckpt_put(t, 64, &info, sizeof(info), &infos);
	if (ret >= 0)
		ret = ckpt_call(t, "take the signal of a timer", SYS_rt_sigtimedwait, at, infos,
				left, SET_SIZE);
	return ret < 0 ? (int)ret : 0;
}

/* By an expiry in the past, where its clock goes back so far; else it runs over from now on. */
static int set_late(const struct ckpt_thread *t, const struct timer *timer)
{
	const struct ckpt_thread *told = find_thread(t->proc, (pid_t)timer->target);
	const bool overrun = has_overrun(timer);
	uint64_t periods = overrun ? timer->overrun + 1ull : 1, now, addr;
	struct itimerspec value = { .it_interval = from_ns(timer->interval) };
	int64_t ret = clock_now(t, timer->clock, &now);
	bool beyond;

	if (ret < 0)
		return (int)ret;
	now += timer->left;
	beyond = !timer->interval || timer->interval >= now / periods;
	value.it_value = from_ns(beyond ? 1 : now - periods * timer->interval);
	if (overrun && beyond)
		value.it_value = from_ns(timer->left);
	ret = ckpt_put(t, 0, &value, sizeof(value), &addr);
	if (ret >= 0)
		ret = ckpt_call(t, "set a timer", SYS_timer_settime, timer->id,
				beyond ? 0 : TIMER_ABSTIME, addr, 0);
	if (ret >= 0 && overrun && !beyond)
		ret = take(told ? told : t, timer);
	return ret < 0 ? (int)ret : 0;
}

static int set(struct ckpt_batch *b, const struct ckpt_thread *t, const struct timer *timer)
{
	const struct itimerspec value = { from_ns(timer->interval), from_ns(timer->left) };
	uint64_t addr;
	int ret;

	if (timer->waits || has_overrun(timer)) {
		ret = batch_run(b);
		return ret ? ret : set_late(t, timer);
	}
	if (!timer->left)
		return 0;
	ret = batch_data(b, &value, sizeof(value), &addr);
	return ret ? ret : batch_add(b, "set a timer", 0, SYS_timer_settime, timer->id, 0, addr, 0);
}

static int by_number(const void *a, const void *b)
{
	const struct timer *x = a, *y = b;

	return (x->id > y->id) - (x->id < y->id);
}

/* Whether the kernel gives timers the numbers that are asked for. */
static bool asks_for_numbers(const struct ckpt_thread *t, bool on)
{
	int64_t answer;

	return trace_syscall(t->trace, &answer, SYS_prctl, CREATE_RESTORE_IDS,
			     on ? CREATE_RESTORE_IDS_ON : CREATE_RESTORE_IDS_OFF, 0, 0, 0) == 0 &&
	       answer == 0;
}

static int rebuild_posix(const struct ckpt_unit *u, struct timers *timers)
{
	const struct ckpt_thread *first = u->p->threads[0], *by = first, *last = first;
	bool asked = asks_for_numbers(first, true);
	struct ckpt_batch *b = batch_begin(u->c, first);
	uint32_t next = 0;
	int ret = 0;

	if (!asked)
		qsort(timers->v, timers->n, sizeof(*timers->v), by_number);
	for (size_t i = 0; i < timers->n && !ret; i++) {
		const struct timer *t = &timers->v[i];

		by = of_unnamed_thread(t) ? find_thread(u->p, (pid_t)t->measured) : first;
		if (by != last) {
			ret = batch_run(b);
			b = batch_begin(u->c, by);
			last = by;
		}
		if (!ret && !asked)
			ret = use_up(b, &next, t->id);
		if (!ret)
			ret = create(b, t);
		if (!ret)
			ret = set(b, by, t);
	}
	if (!ret)
		ret = batch_run(b);
	if (!ret && asked && !asks_for_numbers(first, false))
		ret = fail(EPROTO, "process %d: its timers can't be given any number again",
			   u->p->pid);
	return ret;
}

static int rebuild(const struct ckpt_unit *u)
{
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	struct timers *timers = u->rec;
	int ret = set_intervals(b, timers);

	if (!ret)
		ret = batch_run(b);
	return ret || !timers->n ? ret : rebuild_posix(u, timers);
}

const struct ckpt_kind kind_timer = {
	.name = "timers",
	.scope = KIND_PROCESS,
	.table = &table,
	.ask = ask_intervals,
	.collect = collect,
	.prepare = prepare,
	.rebuild = { [PHASE_SIGNALS] = rebuild },
};
