/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks that are read and set by system calls; and new programs. */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/timex.h>
#include <time.h>
#include <unistd.h>

#include "arch/arch.h"
#include "super/clock.h"
#include "super/handler.h"

#define PAGE 4096
#define NS 1000000000

static bool is_wall_clock(uint64_t clock)
{
	return (uint32_t)clock < 32 && ARCH_WALL_CLOCKS >> (uint32_t)clock & 1;
}

/*
 * The vDSO's own function, which asks the kernel where the machine has no clock that a program can
 * read: what it is told has the offset added by the one that has called it. It is known by where
 * the call comes from.
 */
static bool adds_by_itself(const struct clock *c, const struct notif *n)
{
	struct arch_offset there;

	for (size_t i = 0; i < c->n_calls; i++) {
		uint64_t base = n->ip - c->calls[i];

		if (base % PAGE == 0 && notif_read(n, base + c->at, &there, sizeof(there)) == 0 &&
		    memcmp(&there, &c->offset, sizeof(there)) == 0)
			return true;
	}
	return false;
}

/* What a call stores and returns. */
static void answer(struct notif *n, uint64_t at, const void *data, size_t len)
{
	if (notif_valid(n))
		notif_answer(n, at ? notif_write(n, at, data, len) : 0);
}

void clock_on_gettime(struct super_state *s, struct notif *n)
{
	const struct clock *c = s->clock;
	struct timespec t;
	int64_t now[2];

	if (!is_wall_clock(n->args[0]) || adds_by_itself(c, n))
		return;
	if (syscall(SYS_clock_gettime, (clockid_t)n->args[0], &t) < 0)
		return;
	now[0] = t.tv_sec;
	now[1] = t.tv_nsec;
	clock_show(c, &now[0], &now[1]);
	if (notif_valid(n))
		notif_answer(n, notif_write(n, n->args[1], now, sizeof(now)));
}

void clock_on_gettimeofday(struct super_state *s, struct notif *n)
{
	const struct clock *c = s->clock;
	struct timezone zone;
	struct timeval t;
	int64_t now[2];

	if (adds_by_itself(c, n) || syscall(SYS_gettimeofday, &t, &zone) < 0)
		return;
	now[0] = t.tv_sec;
	now[1] = t.tv_usec * 1000;
	clock_show(c, &now[0], &now[1]);
	now[1] /= 1000;
	if (n->args[1] && notif_write(n, n->args[1], &zone, sizeof(zone)))
		notif_answer(n, -EFAULT);
	else
		answer(n, n->args[0], now, sizeof(now));
}

void clock_on_time(struct super_state *s, struct notif *n)
{
	const struct clock *c = s->clock;
	struct timespec t;
	int64_t now[2];

	clock_gettime(CLOCK_REALTIME_COARSE, &t);
	now[0] = t.tv_sec;
	now[1] = t.tv_nsec;
	clock_show(c, &now[0], &now[1]);
	if (!notif_valid(n))
		return;
	if (n->args[0] && notif_write(n, n->args[0], now, sizeof(now[0])))
		notif_answer(n, -EFAULT);
	else
		notif_answer(n, now[0]);
}

/* It would be the host's. */
void clock_on_set(struct super_state *s, struct notif *n)
{
	(void)s;
	notif_answer(n, -EPERM);
}

/* Of the structure only what has to do with the time of day. */
static void show_adjusted(struct super_state *s, const struct follow_thread *t)
{
	unsigned arg = t->own.nr == SYS_clock_adjtime;
	const struct notif n = { .tid = t->tid };
	struct timex x;
	int64_t now[2], unit;

	if (arg && !is_wall_clock(t->own.arg[0]))
		return;
	/* another thread may have written there meanwhile */
	if (notif_read(&n, t->own.arg[arg], &x, sizeof(x)) || x.time.tv_usec < 0 ||
	    x.time.tv_usec >= NS)
		return;
	unit = x.status & STA_NANO ? 1 : 1000;
	now[0] = x.time.tv_sec;
	now[1] = x.time.tv_usec * unit;
	clock_show(s->clock, &now[0], &now[1]);
	x.time.tv_sec = now[0];
	x.time.tv_usec = now[1] / unit;
	notif_write(&n, t->own.arg[arg], &x, sizeof(x));
}

void clock_on_adjust(struct super_state *s, struct notif *n)
{
	unsigned arg = n->nr == SYS_clock_adjtime, modes;

	if (notif_read(n, n->args[arg], &modes, sizeof(modes)))
		return;
	if (modes)
		notif_answer(n, -EPERM);
	else
		follow_call(s->follow, n, show_adjusted);
}

static void begin_program(struct super_state *s, const struct follow_thread *t)
{
	clock_program(s->clock, t->tid);
}

void clock_on_exec(struct super_state *s, struct notif *n)
{
	follow_exec(s->follow, n, begin_program);
}
