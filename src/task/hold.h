/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One thread that waits in a system call for somebody's answer (seccomp_unotify(2)), held by
 * ptrace(2): with the instruction of its own call it makes others instead, and goes on with a
 * result. The other threads of its process run on; nothing is written to its memory.
 *
 * A thread that is held answers to no signal but SIGKILL: they come when it is let go. Nothing here
 * waits for a thread longer than it is told to: the caller has a handler for SIGALRM, without
 * SA_RESTART, which is sent meanwhile. Functions return 0 or -errno without a text.
 */
#ifndef TASK_HOLD_H
#define TASK_HOLD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/call.h"

#define HOLD_TICK_MS 10
#define HOLD_PATIENCE 500 /* ticks: for what takes no time but that of a slow disk */

struct hold {
	pid_t tid;
	struct call own; /* the call that it waits in */
	bool stopped;
	bool late; /* it was to stop, and has not: see hold_tend() */
	bool gone; /* it has ended, or runs another program */
	/* Told of another program that hold_exec() has begun, before its first instruction; or
	 * NULL */
	void (*begins)(const void *arg, pid_t pid);
	const void *arg;

	/* of hold.c alone */
	bool alone;       /* it goes on as it is, whenever it stops */
	struct regs regs; /* what it would have gone on with */
	uint64_t sigmask;
	bool masked;
	int signal; /* SIGSTOP, or what was sent beside the mask: to be sent again */
	int64_t result;
};

/* From here on it has a tracer: -EPERM where that may not be, or it has one. It waits on. */
int hold_seize(pid_t tid, const struct call *own, struct hold *out);

/*
 * It stops as soon as it may: hold_ask() before it is answered, with -ENOSYS, hold_stop() after.
 * -EINTR: a signal was first, and the kernel has to say what becomes of its call; -ESRCH it has
 * ended. It is let go then.
 */
int hold_ask(struct hold *h);
int hold_stop(struct hold *h);

/*
 * Makes a call; *out is its result. -EINTR: it would have had to wait for more than `ticks`, and
 * was not made; -ESRCH; -EFAULT it can't be made: then hold_end() is all that is left.
 */
int hold_call(struct hold *h, const struct call *c, unsigned ticks, int64_t *out);

/* execveat(2), and whatever else ends in another program: 0 and h->gone, or *out is the error. pid
 * is the process of the thread, whose number it takes. */
int hold_exec(struct hold *h, const struct call *c, pid_t pid, int64_t *out);

/* Lets it go on with a result, also where it has not been stopped yet, as long as it is answered.
 * hold_again() has the kernel make its own call once more, after hold_call() was -EINTR. */
void hold_end(struct hold *h, int64_t result);
void hold_again(struct hold *h);

/* It is not in the call any more that it was seized in: it goes on as if it had not been. */
void hold_leave(struct hold *h);

/* Of a thread that is late: lets it go if it has stopped meanwhile. True if it is late no more. */
bool hold_tend(struct hold *h);

#endif
