/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times of day that are waited for: the call is made with the host's time, by the thread itself,
 * since it waits. What it points to stays as it is, for others may look at it.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/clock.h"
#include "super/handler.h"

#define NS 1000000000

/* As struct timespec; what the kernel refuses it is left to refuse. */
static bool take_time(const struct clock *c, int64_t t[2])
{
	if (t[0] < 0 || t[1] < 0 || t[1] >= NS)
		return false;
	clock_hide(c, &t[0], &t[1]);
	if (t[0] < 0) {
		/* long ago, for a kernel that knows no time before 1970; zero would be no time */
		t[0] = 0;
		t[1] = 1;
	}
	return true;
}

/* The time at argument `pointer`. */
static void change_time(struct super_state *s, struct notif *n, unsigned pointer, unsigned mark)
{
	struct follow_change c = { .pointer = (uint8_t)pointer,
				   .mark = (uint8_t)mark,
				   .len = 2 * sizeof(int64_t) };

	if (notif_read(n, n->args[pointer], c.data, c.len) == 0 && take_time(s->clock, c.data))
		follow_change(s->follow, n, &c);
}

/* A struct itimerspec, whose interval stays; no time at all ends the timer. */
static void change_timer(struct super_state *s, struct notif *n, unsigned pointer, unsigned mark)
{
	struct follow_change c = { .pointer = (uint8_t)pointer,
				   .mark = (uint8_t)mark,
				   .len = 4 * sizeof(int64_t) };

	if (notif_read(n, n->args[pointer], c.data, c.len) == 0 && (c.data[2] || c.data[3]) &&
	    take_time(s->clock, c.data + 2))
		follow_change(s->follow, n, &c);
}

void clock_on_sleep(struct super_state *s, struct notif *n)
{
	change_time(s, n, 2, 1);
}

void clock_on_futex(struct super_state *s, struct notif *n)
{
	change_time(s, n, 3, 1);
}

void clock_on_futex_wait(struct super_state *s, struct notif *n)
{
	change_time(s, n, 4, 3);
}

void clock_on_futex_waitv(struct super_state *s, struct notif *n)
{
	change_time(s, n, 3, 2);
}

void clock_on_mq(struct super_state *s, struct notif *n)
{
	change_time(s, n, 4, 0);
}

static bool is_wall_clock(long clock)
{
	return clock >= 0 && clock < 32 && ARCH_WALL_CLOCKS >> clock & 1;
}

/* A file of the thread's in /proc, as far as it fits. */
static bool read_text(const struct notif *n, const char *name, char *text, size_t size)
{
	auto_fd fd = notif_proc_open(n, name, O_RDONLY);
	size_t len = 0;
	ssize_t part = 1;

	while (fd >= 0 && part > 0 && len < size - 1) {
		part = read(fd, text + len, size - 1 - len);
		len += part > 0 ? (size_t)part : 0;
	}
	text[len] = '\0';
	return len > 0;
}

static bool says_wall_clock(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at && is_wall_clock(strtol(at + strlen(key), NULL, 10));
}

/* proc_pid_timers(5): "ID: N" begins the lines of each. */
void clock_on_timer(struct super_state *s, struct notif *n)
{
	char *text = s->clock->text, id[32], *at;

	snprintf(id, sizeof(id), "ID: %d\n", (int)n->args[0]);
	if (!read_text(n, "timers", text, sizeof(s->clock->text)))
		return;
	at = strncmp(text, id, strlen(id)) == 0 ? text : NULL;
	for (char *next = text; !at && (next = strstr(next, "\nID: ")); next++)
		if (strncmp(next + 1, id, strlen(id)) == 0)
			at = next + 1;
	if (at && says_wall_clock(at, "\nClockID: "))
		change_timer(s, n, 2, 1);
}

/* proc_pid_fdinfo(5) */
void clock_on_timerfd(struct super_state *s, struct notif *n)
{
	char *text = s->clock->text, name[32];

	snprintf(name, sizeof(name), "fdinfo/%d", (int)n->args[0]);
	if (read_text(n, name, text, sizeof(s->clock->text)) &&
	    says_wall_clock(text, "\nclockid: "))
		change_timer(s, n, 2, 1);
}
