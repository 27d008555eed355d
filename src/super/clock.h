/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Virtual wall-clock time: the clocks that tell the time of day (ARCH_WALL_CLOCKS) have an offset,
 * all others are as they are.
 *
 * A program reads the clock by its vDSO, whose functions add the offset (task/vdso.h): every
 * execve(2) is followed to its end, where the new program has not begun, and gets them. Calls of
 * the kernel, by programs that go without, are answered here. Times that are given to the kernel
 * have the offset taken off, times of files that it tells have it added.
 */
#ifndef SUPER_CLOCK_H
#define SUPER_CLOCK_H

#include <stdint.h>
#include <sys/types.h>

#include "super/follow.h"
#include "super/super.h"
#include "task/vdso.h"

struct arena;
struct notif;

#define CLOCK_CALLS_MAX 16

#define CLOCK_TEXT_MAX 65536

struct clock {
	struct arch_offset offset;
	struct super_time plan;
	bool set; /* the offset is known: it is not before the container's first program */

	struct vdso own;  /* the kernel's, and */
	uint8_t *patched; /* what becomes of it; NULL where it can't have an offset: why says */
	const char *why;
	size_t at;                              /* where in it the offset is */
	size_t from, len;                       /* where it differs */
	size_t calls[CLOCK_CALLS_MAX], n_calls; /* where in it it calls the kernel: behind that */

	char text[CLOCK_TEXT_MAX]; /* of /proc */
};

/* In the arena. */
struct clock *clock_new(struct arena *a, struct super_state *s);

/* The container begins: its time of day, too. */
void clock_begin(struct clock *c);

/*
 * A new program of the process, stopped before its first instruction by this process's ptrace(2):
 * its vDSO gets the offset. What can't have it is taken out of its sight, and its clock is asked
 * for by calls then.
 */
void clock_program(const struct clock *c, pid_t pid);

/* A time of a file as the container sees it; and back. Parts of a second are 0 to 999999999. */
void clock_show(const struct clock *c, int64_t *sec, int64_t *nsec);
void clock_hide(const struct clock *c, int64_t *sec, int64_t *nsec);

/* The structures that the kernel tells and is told of files. clock_hide_times() leaves what is not
 * a time (UTIME_NOW); false if there is none. */
struct stat;
struct statx;
struct timespec;
void clock_show_stat(const struct clock *c, struct stat *st);
void clock_show_statx(const struct clock *c, struct statx *stx);
bool clock_hide_times(const struct clock *c, struct timespec times[2]);

/* clock_call.c: clocks that are read and set */
void clock_on_gettime(struct super_state *s, struct notif *n);
void clock_on_gettimeofday(struct super_state *s, struct notif *n);
void clock_on_time(struct super_state *s, struct notif *n);
void clock_on_set(struct super_state *s, struct notif *n);
void clock_on_adjust(struct super_state *s, struct notif *n);
void clock_on_exec(struct super_state *s, struct notif *n);

/* clock_wait.c: times to wait for */
void clock_on_sleep(struct super_state *s, struct notif *n);
void clock_on_futex(struct super_state *s, struct notif *n);
void clock_on_futex_wait(struct super_state *s, struct notif *n);
void clock_on_futex_waitv(struct super_state *s, struct notif *n);
void clock_on_mq(struct super_state *s, struct notif *n);
void clock_on_timer(struct super_state *s, struct notif *n);
void clock_on_timerfd(struct super_state *s, struct notif *n);

/* clock_file.c: times of files */
void clock_on_stat(struct super_state *s, struct notif *n);
void clock_on_statx(struct super_state *s, struct notif *n);
void clock_on_utimensat(struct super_state *s, struct notif *n);
void clock_on_utimes(struct super_state *s, struct notif *n);
void clock_on_futimesat(struct super_state *s, struct notif *n);
void clock_on_utime(struct super_state *s, struct notif *n);

#endif
