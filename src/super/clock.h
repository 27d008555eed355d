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

struct clock {
	struct arch_offset offset;
	struct super_time plan;
	bool set; /* the offset is known: it is not before the container's first program */
	struct follow *follow;

	struct vdso own;  /* the kernel's, and */
	uint8_t *patched; /* what becomes of it; NULL where it can't have an offset: why says */
	const char *why;
	size_t at;                              /* where in it the offset is */
	size_t from, len;                       /* where it differs */
	size_t calls[CLOCK_CALLS_MAX], n_calls; /* where in it it calls the kernel: behind that */
};

/* In the arena. NULL with a text. */
struct clock *clock_new(struct arena *a, struct super_state *s);
void clock_close(struct clock *c);

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

/* clock_call.c: clocks that are read and set */
void clock_on_gettime(struct super_state *s, struct notif *n);
void clock_on_gettimeofday(struct super_state *s, struct notif *n);
void clock_on_time(struct super_state *s, struct notif *n);
void clock_on_set(struct super_state *s, struct notif *n);
void clock_on_adjust(struct super_state *s, struct notif *n);
void clock_on_exec(struct super_state *s, struct notif *n);

#endif
