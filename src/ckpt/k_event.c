/* SPDX-License-Identifier: Apache-2.0 */
/*
 * eventfd, timerfd, signalfd: their state stands in fdinfo, and none belongs to a process, so thole
 * makes them and hands them over.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "ckpt/kinds.h"
#include "ckpt/sockets.h"
#include "task/trace.h"

#define SECOND_NS 1000000000ull
#define SECONDS_MAX (UINT64_MAX / SECOND_NS - 1)
#define EXPIRY_MS 10000

/* linux/timerfd.h, which clashes with sys/timerfd.h */
#define SET_TICKS _IOW('T', 0, uint64_t)

/* ---- eventfd */

struct event {
	uint64_t count;
	bool semaphore;
};

static const struct record_field event_rows[] = {
	RECORD(U, struct event, "count", count, RECORD_MAX(UINT64_MAX - 1)),
	RECORD(BOOL, struct event, "semaphore", semaphore, RECORD_OPTIONAL),
};
static const struct record_table event_table = RECORD_TABLE(struct event, event_rows);

static bool event_owns(const struct file_look *l)
{
	return l->sort == PROC_FD_EVENT;
}

static const char *event_check(const struct file_look *l)
{
	/* only the kernel can bring it there, and no write(2) brings it back */
	return l->info->count == UINT64_MAX ? "its count has overflowed" : NULL;
}

/* What the calls of a probe point to. */
struct probe {
	uint64_t missing, count, got, rest;
	struct iovec to_got, to_rest;
};
#define IN_PROBE(at, member) ((at) + offsetof(struct probe, member))
#define PROBE_CALLS 4

static struct inject_call read_at_once(uint32_t fd, uint64_t iov)
{
	return (struct inject_call){
		.nr = SYS_preadv2,
		.arg = { fd, iov, 1, UINT64_MAX, 0, RWF_NOWAIT },
	};
}

/*
 * A counter gives all that it has to who reads it, a semaphore one: at least two are there to be
 * read, and then what was there before is there again, whichever it is. None of the calls waits.
 */
static size_t probe_calls(uint32_t fd, uint64_t at, uint64_t count, struct inject_call *calls)
{
	size_t n = 0;

	if (count >= 2) {
		calls[n++] = read_at_once(fd, IN_PROBE(at, to_got));
		calls[n++] =
			(struct inject_call){ .nr = SYS_write,
					      .arg = { fd, IN_PROBE(at, got), sizeof(uint64_t) } };
		return n;
	}
	calls[n++] = (struct inject_call){ .nr = SYS_write,
					   .arg = { fd, IN_PROBE(at, missing), sizeof(uint64_t) } };
	calls[n++] = read_at_once(fd, IN_PROBE(at, to_got));
	calls[n++] = read_at_once(fd, IN_PROBE(at, to_rest));
	calls[n] = (struct inject_call){ .nr = SYS_write,
					 .arg = { fd, IN_PROBE(at, count), sizeof(uint64_t) } };
	return n + (count > 0);
}

static void point(struct probe *p, uint64_t at)
{
	p->to_got = (struct iovec){ (void *)(uintptr_t)IN_PROBE(at, got), sizeof(p->got) };
	p->to_rest = (struct iovec){ (void *)(uintptr_t)IN_PROBE(at, rest), sizeof(p->rest) };
}

/* One in flight: it is a descriptor of ours. */
static void probe_own(uint32_t fd, struct probe *p)
{
	struct inject_call calls[PROBE_CALLS];
	size_t n;

	point(p, (uintptr_t)p);
	n = probe_calls(fd, (uintptr_t)p, p->count, calls);
	for (size_t i = 0; i < n; i++)
		(void)syscall((long)calls[i].nr, calls[i].arg[0], calls[i].arg[1], calls[i].arg[2],
			      calls[i].arg[3], calls[i].arg[4], calls[i].arg[5]);
}

/* The process's own calls, which it makes to the last one whatever becomes of us. */
static int probe_theirs(const struct file_look *l, struct probe *p)
{
	const struct ckpt_thread *t = l->p->threads[0];
	struct inject_call calls[PROBE_CALLS];
	uint64_t at;
	int ret = trace_scratch(l->p->trace, &at);

	if (ret)
		return ret;
	point(p, at);
	ret = ckpt_put(t, 0, p, sizeof(*p), &at);
	if (!ret)
		ret = trace_batch(t->trace, calls, probe_calls(l->fd, at, p->count, calls));
	return ret ? ret : ckpt_get(t, 0, p, sizeof(*p));
}

static int probe_semaphore(const struct file_look *l, bool *out)
{
	struct probe p = { .count = l->info->count, .missing = 2 - l->info->count };
	int ret = 0;

	if (l->p->trace)
		ret = probe_theirs(l, &p);
	else
		probe_own(l->fd, &p);
	if (!ret && p.got != 1 && p.got != (p.count < 2 ? 2 : p.count))
		ret = fail(EBUSY,
			   "process %d, descriptor %u: whether it is a semaphore (eventfd(2)) "
			   "can't be found out: %llu were read of %llu",
			   l->p->pid, l->fd, (unsigned long long)p.got,
			   (unsigned long long)p.count);
	*out = p.got == 1;
	return ret;
}

static int event_collect(const struct file_look *l, struct ckpt_file *f)
{
	struct event *e = f->record;

	*e = (struct event){ l->info->count, l->info->semaphore };
	return l->info->semaphore_told ? 0 : probe_semaphore(l, &e->semaphore);
}

static int event_make(struct ckpt *c, struct ckpt_file *f)
{
	const struct event *e = f->record;
	auto_fd fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK | (e->semaphore ? EFD_SEMAPHORE : 0));

	(void)c;
	if (fd < 0)
		return fail_errno("make an eventfd");
	if (e->count && write(fd, &e->count, sizeof(e->count)) != sizeof(e->count))
		return fail_errno("set the count of an eventfd");
	return fd_take(&fd);
}

const struct file_kind file_event = {
	.name = "eventfd",
	.table = &event_table,
	.owns = event_owns,
	.check = event_check,
	.collect = event_collect,
	.make = event_make,
	.keeps_flags = true,
};

/* ---- timerfd: linux fs/timerfd.c */

struct timer {
	int32_t clock;
	uint32_t settime_flags; /* TFD_TIMER_* */
	uint64_t ticks;         /* expired and not read */
	uint64_t value,
		interval; /* nanoseconds; of TFD_TIMER_ABSTIME of the wall clock: the time */
};

static const struct record_field timer_rows[] = {
	RECORD(I, struct timer, "clock", clock),
	RECORD(HEX, struct timer, "settimeFlags", settime_flags, RECORD_OPTIONAL,
	       RECORD_MAX(TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET)),
	RECORD(U, struct timer, "ticks", ticks, RECORD_OPTIONAL),
	RECORD(U, struct timer, "value", value, RECORD_OPTIONAL,
	       RECORD_MAX(SECONDS_MAX *SECOND_NS)),
	RECORD(U, struct timer, "interval", interval, RECORD_OPTIONAL,
	       RECORD_MAX(SECONDS_MAX *SECOND_NS)),
};
static const struct record_table timer_table = RECORD_TABLE(struct timer, timer_rows);

static uint64_t nanoseconds(const struct timespec *t)
{
	return (uint64_t)t->tv_sec > SECONDS_MAX
		       ? SECONDS_MAX * SECOND_NS
		       : (uint64_t)t->tv_sec * SECOND_NS + (uint64_t)t->tv_nsec;
}

static struct timespec timespec_of(uint64_t ns)
{
	return (struct timespec){ (time_t)(ns / SECOND_NS), (long)(ns % SECOND_NS) };
}

static bool timer_owns(const struct file_look *l)
{
	return l->sort == PROC_FD_TIMER;
}

static const char *timer_check(const struct file_look *l)
{
	if (l->info->clock == CLOCK_REALTIME_ALARM || l->info->clock == CLOCK_BOOTTIME_ALARM)
		return "a timer that wakes the machine up can't be given to a container";
	return NULL;
}

/* The wall clock goes on meanwhile: what waits for one of its times must wait for the same. */
static bool is_until(const struct timer *t)
{
	return t->clock == CLOCK_REALTIME && (t->settime_flags & TFD_TIMER_ABSTIME) && t->value;
}

/* Of one that has expired the periods since are counted, and the next one begins, when somebody
 * asks for the time that is left. */
static int look_now(const struct file_look *l, struct proc_fdinfo *out)
{
	const struct timespec *left = &l->info->timer.it_value;
	const struct timespec *interval = &l->info->timer.it_interval;
	struct itimerspec value;
	auto_fd fd = -1;

	*out = *l->info;
	if (!out->ticks || left->tv_sec || left->tv_nsec ||
	    (!interval->tv_sec && !interval->tv_nsec))
		return 0;
	fd = socket_borrow(l);
	if (fd < 0)
		return fd;
	if (timerfd_gettime(fd, &value) < 0)
		return fail_errno("ask a timerfd for the time that is left");
	return proc_fdinfo(l->c->arena, l->p->host, (int)l->fd, out);
}

static int timer_collect(const struct file_look *l, struct ckpt_file *f)
{
	struct timer *t = f->record;
	struct proc_fdinfo info;
	struct timespec now;
	int ret = look_now(l, &info);

	if (ret)
		return ret;
	*t = (struct timer){
		.clock = info.clock,
		.settime_flags = info.settime_flags & (TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET),
		.ticks = info.ticks,
		.value = nanoseconds(&info.timer.it_value),
		.interval = nanoseconds(&info.timer.it_interval),
	};
	if (!is_until(t))
		return 0;
	if (clock_gettime(CLOCK_REALTIME, &now) < 0)
		return fail_errno("read the clock");
	if (t->value > SECONDS_MAX * SECOND_NS - nanoseconds(&now))
		t->value = SECONDS_MAX * SECOND_NS;
	else
		t->value += nanoseconds(&now);
	return 0;
}

/*
 * What is armed again has its remaining time. What has expired and was not read has none, and would
 * never tick again: it is armed to expire at once.
 */
static int arm(int fd, const struct timer *t)
{
	bool expired = t->ticks && !t->value;
	struct itimerspec at = { .it_value = timespec_of(expired ? 1 : t->value),
				 .it_interval = timespec_of(t->interval) };
	struct pollfd p = { .fd = fd, .events = POLLIN };

	if (timerfd_settime(fd, is_until(t) ? (int)t->settime_flags : 0, &at, NULL) < 0)
		return fail_errno("set a timerfd");
	if (expired && poll(&p, 1, EXPIRY_MS) != 1)
		return fail(ETIMEDOUT, "a timerfd does not expire");
	if (t->ticks > (expired ? 1 : 0) && ioctl(fd, SET_TICKS, &t->ticks) < 0)
		return fail_errno("set the ticks of a timerfd");
	return 0;
}

static int timer_make(struct ckpt *c, struct ckpt_file *f)
{
	const struct timer *t = f->record;
	auto_fd fd = timerfd_create(t->clock, TFD_CLOEXEC | TFD_NONBLOCK);
	int ret;

	(void)c;
	if (fd < 0)
		return fail_errno("make a timerfd of clock %d", t->clock);
	ret = arm(fd, t);
	return ret ? ret : fd_take(&fd);
}

const struct file_kind file_timer = {
	.name = "timerfd",
	.table = &timer_table,
	.owns = timer_owns,
	.check = timer_check,
	.collect = timer_collect,
	.make = timer_make,
	.keeps_flags = true,
};

/* ---- signalfd */

struct signals {
	uint64_t mask; /* bit 0: signal 1 */
};

static const struct record_field signals_rows[] = {
	RECORD(HEX, struct signals, "mask", mask),
};
static const struct record_table signals_table = RECORD_TABLE(struct signals, signals_rows);

static bool signals_owns(const struct file_look *l)
{
	return l->sort == PROC_FD_SIGNAL;
}

static int signals_collect(const struct file_look *l, struct ckpt_file *f)
{
	((struct signals *)f->record)->mask = l->info->sigmask;
	return 0;
}

/* It reads the signals of whoever reads it: whose it is does not matter. */
static int signals_make(struct ckpt *c, struct ckpt_file *f)
{
	const struct signals *s = f->record;
	int fd = (int)syscall(SYS_signalfd4, -1, &s->mask, sizeof(s->mask), O_CLOEXEC | O_NONBLOCK);

	(void)c;
	return fd < 0 ? fail_errno("make a signalfd") : fd;
}

const struct file_kind file_signals = {
	.name = "signalfd",
	.table = &signals_table,
	.owns = signals_owns,
	.collect = signals_collect,
	.make = signals_make,
	.keeps_flags = true,
};
