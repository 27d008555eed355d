/* SPDX-License-Identifier: Apache-2.0 */
/* Times of files: what the kernel has told is changed before the thread sees it; what it is told is
 * changed before it looks. */
#include <fcntl.h>
#include <linux/stat.h>
#include <stddef.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/clock.h"
#include "super/handler.h"

void clock_show_stat(const struct clock *c, struct stat *st)
{
	struct timespec *const times[] = { &st->st_atim, &st->st_mtim, &st->st_ctim };

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		clock_show(c, &times[i]->tv_sec, &times[i]->tv_nsec);
}

static void show_statx_time(const struct clock *c, struct statx_timestamp *t)
{
	int64_t sec = t->tv_sec, nsec = t->tv_nsec;

	clock_show(c, &sec, &nsec);
	t->tv_sec = sec;
	t->tv_nsec = (uint32_t)nsec;
}

void clock_show_statx(const struct clock *c, struct statx *stx)
{
	const struct {
		uint32_t bit;
		struct statx_timestamp *t;
	} times[] = {
		{ STATX_ATIME, &stx->stx_atime },
		{ STATX_BTIME, &stx->stx_btime },
		{ STATX_CTIME, &stx->stx_ctime },
		{ STATX_MTIME, &stx->stx_mtime },
	};

	for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
		if (stx->stx_mask & times[i].bit)
			show_statx_time(c, times[i].t);
}

static void show_stat(struct super_state *s, const struct follow_thread *t)
{
	uint64_t at = t->own.arg[t->own.nr == SYS_newfstatat ? 2 : 1];
	const struct notif n = { .tid = t->tid };
	struct stat st;

	if (notif_read(&n, at, &st, sizeof(st)))
		return;
	clock_show_stat(s->clock, &st);
	notif_write(&n, at, &st, sizeof(st));
}

static void show_statx(struct super_state *s, const struct follow_thread *t)
{
	const struct notif n = { .tid = t->tid };
	struct statx stx;

	if (notif_read(&n, t->own.arg[4], &stx, sizeof(stx)))
		return;
	clock_show_statx(s->clock, &stx);
	notif_write(&n, t->own.arg[4], &stx, sizeof(stx));
}

/* A descriptor alone says which file it is: nothing has to be walked. -1 for what has a path. */
static int take_file(const struct notif *n)
{
	bool wide = n->nr == SYS_newfstatat || n->nr == SYS_statx;
	unsigned flags = (unsigned)n->args[n->nr == SYS_statx ? 2 : 3];
	char first = '\0';

	if (wide && (!(flags & AT_EMPTY_PATH) || (int)n->args[0] < 0 ||
		     (n->args[1] && notif_read(n, n->args[1], &first, 1)) || first))
		return -1;
	return wide || n->nr == SYS_fstat ? notif_take_fd(n, (int)n->args[0]) : -1;
}

void clock_on_stat(struct super_state *s, struct notif *n)
{
	auto_fd fd = take_file(n);
	struct stat st;

	if (fd < 0 || fstat(fd, &st) < 0) {
		follow_call(s->follow, n, show_stat);
		return;
	}
	clock_show_stat(s->clock, &st);
	if (notif_valid(n))
		notif_answer(n, notif_write(n, n->args[n->nr == SYS_newfstatat ? 2 : 1], &st,
					    sizeof(st)));
}

void clock_on_statx(struct super_state *s, struct notif *n)
{
	auto_fd fd = take_file(n);
	struct statx stx;

	if (fd < 0 || syscall(SYS_statx, fd, "", (int)n->args[2], (unsigned)n->args[3], &stx) < 0) {
		follow_call(s->follow, n, show_statx);
		return;
	}
	clock_show_statx(s->clock, &stx);
	if (notif_valid(n))
		notif_answer(n, notif_write(n, n->args[4], &stx, sizeof(stx)));
}

bool clock_hide_times(const struct clock *c, struct timespec times[2])
{
	bool any = false;

	for (size_t i = 0; i < 2; i++) {
		/* UTIME_NOW, UTIME_OMIT, and what the kernel refuses */
		if (times[i].tv_nsec < 0 || times[i].tv_nsec > 999999999)
			continue;
		clock_hide(c, &times[i].tv_sec, &times[i].tv_nsec);
		any = true;
	}
	return any;
}

void clock_on_utimensat(struct super_state *s, struct notif *n)
{
	struct follow_change c = { .pointer = 2, .mark = 3, .len = sizeof(struct timespec[2]) };
	struct timespec times[2];

	if (notif_read(n, n->args[2], times, sizeof(times)) || !clock_hide_times(s->clock, times))
		return;
	memcpy(c.data, times, sizeof(times));
	follow_change(s->follow, n, &c);
}

/* An old call, which has no argument that could say that it was changed: the thread makes the new
 * one instead. */
static int64_t set_times(struct super_state *s, struct notif *n, uint64_t dir, uint64_t path,
			 struct timespec times[2])
{
	struct inject_room room = { .at = 0 };
	struct inject in;
	int64_t result;
	int ret;

	clock_hide_times(s->clock, times);
	ret = inject_begin(&s->strays, n, &in);
	if (ret)
		return ret;
	ret = inject_stop(&in);
	if (!ret)
		ret = inject_room(&in, 2 * sizeof(*times), &room);
	result = ret;
	if (!ret) {
		result = notif_write(n, room.at, times, 2 * sizeof(*times));
		if (!result)
			result = inject_call(&in, SYS_utimensat, dir, path, room.at,
					     GUARD_PASSING(0));
		inject_room_end(&in, &room);
	}
	inject_end(&in, result);
	return result;
}

static void set_timevals(struct super_state *s, struct notif *n, unsigned path)
{
	struct timespec times[2];
	int64_t given[4];

	if (notif_read(n, n->args[path + 1], given, sizeof(given)))
		return;
	for (size_t i = 0; i < 2; i++) {
		if (given[2 * i + 1] < 0 || given[2 * i + 1] >= 1000000)
			return;
		times[i].tv_sec = given[2 * i];
		times[i].tv_nsec = given[2 * i + 1] * 1000;
	}
	set_times(s, n, path ? n->args[0] : (uint64_t)AT_FDCWD, n->args[path], times);
}

void clock_on_utimes(struct super_state *s, struct notif *n)
{
	set_timevals(s, n, 0);
}

void clock_on_futimesat(struct super_state *s, struct notif *n)
{
	set_timevals(s, n, 1);
}

void clock_on_utime(struct super_state *s, struct notif *n)
{
	struct timespec times[2] = { { 0, 0 }, { 0, 0 } };
	int64_t given[2];

	if (notif_read(n, n->args[1], given, sizeof(given)))
		return;
	times[0].tv_sec = given[0];
	times[1].tv_sec = given[1];
	set_times(s, n, (uint64_t)AT_FDCWD, n->args[0], times);
}
