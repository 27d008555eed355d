/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/progress.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/names.h"
#include "base/str.h"
#include "ckpt/ckpt.h"

#define PATIENCE_MS 500 /* what is over by then shows nothing */
#define REDRAW_MS 100

static const int requests[] = { SIGTERM, SIGINT, SIGQUIT, SIGHUP };

static uint64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

void progress_begin(struct progress *p, const char *what, uint64_t total)
{
	*p = (struct progress){ .what = what, .began_ms = now_ms(), .total = total };
	p->terminal = isatty(STDERR_FILENO);
}

void progress_hold(struct progress *p)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < NAME_COUNT(requests); i++)
		sigaddset(&set, requests[i]);
	p->held = sigprocmask(SIG_BLOCK, &set, &p->mask) == 0;
}

static int check_requests(const struct progress *p)
{
	sigset_t pending;

	if (!p->held || sigpending(&pending) < 0)
		return 0;
	/* what the caller has blocked is not for us */
	for (size_t i = 0; i < NAME_COUNT(requests); i++)
		if (sigismember(&pending, requests[i]) && !sigismember(&p->mask, requests[i]))
			return fail(EINTR, "%s was called off by %s, and undone", p->what,
				    name_of_signal(requests[i]));
	return 0;
}

static void add_size(struct str *s, uint64_t bytes)
{
	static const char *const units[] = { "KiB", "MiB", "GiB", "TiB" };
	double value = (double)bytes / 1024;
	size_t unit = 0;

	for (; value >= 1000 && unit + 1 < NAME_COUNT(units); unit++)
		value /= 1024;
	str_addf(s, value < 10 && unit ? "%.1f %s" : "%.0f %s", value, units[unit]);
}

void progress_text(const struct progress *p, uint64_t ms, char out[PROGRESS_LINE])
{
	struct str s = { .buf = out, .size = PROGRESS_LINE };

	out[0] = '\0';
	str_addf(&s, "%s: ", p->what);
	add_size(&s, p->done);
	if (p->total && p->done <= p->total) {
		str_add(&s, " of ");
		add_size(&s, p->total);
		str_addf(&s, ", %u %%", (unsigned)((double)p->done * 100 / (double)p->total));
	}
	if (ms) {
		str_add(&s, ", ");
		add_size(&s, (uint64_t)((double)p->done * 1000 / (double)ms));
		str_add(&s, "/s");
	}
}

/* A terminal that does not take it is no reason to stop. */
static void draw(struct progress *p)
{
	uint64_t now = now_ms();
	char line[PROGRESS_LINE];

	if (!p->terminal || !p->done || now - p->began_ms < PATIENCE_MS ||
	    now - p->drawn_ms < REDRAW_MS)
		return;
	p->drawn_ms = now;
	progress_text(p, now - p->began_ms, line);
	dprintf(STDERR_FILENO, "\r%s\033[K", line);
}

int progress_tick(void *ctx, const struct ckpt_progress *now)
{
	struct progress *p = ctx;

	p->done = now->done;
	p->total = now->total;
	draw(p);
	return check_requests(p);
}

int progress_add(void *ctx, uint64_t bytes)
{
	struct progress *p = ctx;

	p->done = p->done + bytes < p->total ? p->done + bytes : p->total;
	draw(p);
	return 0;
}

void progress_end(struct progress *p)
{
	if (p->drawn_ms)
		dprintf(STDERR_FILENO, "\r\033[K");
	p->drawn_ms = 0;
}
