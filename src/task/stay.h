/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A tracer on one processor. Each stop of a tracee wakes its tracer: on the processor that the
 * tracee has just left that is a switch, on another one that slept an interrupt and a start, five
 * times as long (sched_setaffinity(2), trace.h). What can do with many processors meanwhile,
 * threads that read or write memory, is started with all of them.
 */
#ifndef TASK_STAY_H
#define TASK_STAY_H

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* All zero to begin with. */
struct stay {
	cpu_set_t own; /* where the thread may run otherwise */
	bool known, on;
};

/* The calling thread stays where it is, and may roam again. Twice is as good as once. Where that
 * may not be, nothing changes: it only takes longer. */
void stay_begin(struct stay *s);
void stay_end(struct stay *s);

/* Remembers where the calling thread may run, for stay_helper() at a time when it stays. */
void stay_look(struct stay *s);

/* On how many processors helpers can be. */
size_t stay_processors(struct stay *s);

/*
 * Starts a thread that may run on all of them, and begins on another one than the calling thread:
 * two that wake each other often are left by the scheduler where they are, on one they take turns.
 * It takes no signals: those of a program are for its first thread. 0 or an error number of
 * pthread_create(3).
 */
int stay_helper(struct stay *s, pthread_t *out, void *(*run)(void *), void *arg);

/* A task that is about to end goes to the nth of them, counted in the round. */
void stay_send(struct stay *s, pid_t tid, size_t nth);

/* Has one that runs already leave the processor that the calling thread has come to since. */
void stay_apart(struct stay *s, pthread_t helper);

#endif
