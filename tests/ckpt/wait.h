/* SPDX-License-Identifier: Apache-2.0 */
/* Threads that each wait in one system call across a cycle: what wait*.c have in common. */
#ifndef WAIT_H
#define WAIT_H

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TIMEOUT_MS 3000

/* What a thread waits with. */
struct waiter {
	const char *name;
	long (*call)(struct waiter *w);
	void (*wake)(struct waiter *w);    /* NULL: it waits for its timeout */
	long want;                         /* its answer */
	int want_errno;                    /* where that is negative */
	void (*prepare)(struct waiter *w); /* before the thread is; NULL: fd[] is a pipe */
	int fd[2];
	uint32_t word, other;
	pid_t tid, child;
	long got;
	int got_errno;
	int64_t took; /* ms, CLOCK_MONOTONIC */
	pthread_t thread;
};

#define WAITER(n, fn, w, result, error, ...)                                                     \
	{                                                                                        \
		.name = (n), .call = (fn), .wake = (w), .want = (result), .want_errno = (error), \
		__VA_ARGS__                                                                      \
	}

/* Starts all, waits across the cycle when they are asleep, wakes them and checks their answers.
 * None may see an error that it would not see without a cycle, nor end early. */
void wait_all(struct waiter *w, size_t n);

/* Of the clock, TIMEOUT_MS from now. */
struct timespec wait_until(int clock);

#endif
