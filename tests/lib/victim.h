/* SPDX-License-Identifier: Apache-2.0 */
/* A process to be traced, and what is seen of it from outside. */
#ifndef TEST_VICTIM_H
#define TEST_VICTIM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/trace.h"

/* Shared with the victim. */
struct board {
	atomic_int ready, stop, wrong; /* wrong: line of the first check that failed, 0 for none */
	atomic_long count[8];
	int fd[4];
};

struct victim {
	pid_t pid;
	struct board *board;
	struct arena *a;
};

/* A child that runs body(board), which sets ready and returns (exit status 0) or fails WANT(). */
struct victim victim_start(void (*body)(struct board *));
/* Sets stop and waits: checks that it ended by itself, with nothing wrong. */
void victim_end(struct victim *v);
/* SIGKILL, and waits. */
void victim_kill(struct victim *v);

/* In the victim: a check that is seen outside. */
#define WANT(b, cond) ((cond) ? (void)0 : victim_complain((b), __LINE__))
void victim_complain(struct board *b, int line);

/* Seized, or the check has failed and NULL. */
struct trace *victim_seize(struct victim *v, const struct trace_options *options);

/* Everything about it that tracing could change and must not: mask, pending and ignored signals,
 * processors, mappings. Two of a process that is not running are equal. */
const char *victim_portrait(struct victim *v);
/* A digest of all that is mapped and writable, and of the vDSO. */
uint64_t victim_memory(struct victim *v);

/* Waits until every thread of it sleeps. */
void victim_settle(struct victim *v);

/* Waits until that counter of its board is above a number, which is checked. */
bool victim_counts(struct victim *v, int counter, long above);

/* In the victim: waits until that thread of it is in a state, as proc(5) has it. */
void victim_until(struct board *b, pid_t tid, char state);

int64_t victim_now_ms(void);
/* A case as an ordinary user (uid 65534), where root runs it. */
void victim_as_nobody(void);

#endif
