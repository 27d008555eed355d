/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads that are followed by ptrace(2) through the call they have asked about, which the kernel
 * makes after all: to be seen to right after it, before they go on; or to make it with other
 * arguments. A call may take as long as it does, for nobody waits: follow_look() is told by SIGCHLD
 * (follow_fd()) when a thread has something to be seen to.
 *
 * Signals, stops and ends of the thread are what they would be without it. A thread that is traced
 * already (by a debugger in the container) can't be followed. Should this process end, all of them
 * go on.
 */
#ifndef SUPER_FOLLOW_H
#define SUPER_FOLLOW_H

#include <stdbool.h>

#include "arch/call.h"
#include "super/notif.h"

#define FOLLOW_MAX 4096
#define FOLLOW_DATA_MAX 32

struct arena;
struct follow_thread;
struct super_state;

enum follow_state {
	FOLLOW_FREE,
	FOLLOW_CALL,   /* it is in the call, or about to be */
	FOLLOW_EXEC,   /* in execve(2) */
	FOLLOW_AGAIN,  /* it is about to make its call again, to be changed */
	FOLLOW_INSIDE, /* it is in the changed one */
	FOLLOW_LEAVE,  /* it is not who has asked */
	FOLLOW_GONE    /* it has ended, and was waited for */
};

/* What becomes of a call: this argument leads to the data, if there are any, and that one has
 * GUARD_PASS in its upper half, so that the guard lets it pass. */
struct follow_change {
	uint8_t pointer, mark, len;
	int64_t data[FOLLOW_DATA_MAX / sizeof(int64_t)];
	/* as below, or NULL */
	void (*done)(struct super_state *s, const struct follow_thread *t);
};

struct follow_thread {
	enum follow_state state;
	pid_t tid, pid; /* of FOLLOW_EXEC: the process's number */
	struct call own;
	/* Called while it is stopped: its call has returned (at least 0), or another program is
	 * about to begin. */
	void (*done)(struct super_state *s, const struct follow_thread *t);

	struct follow_change change; /* of FOLLOW_AGAIN */
};

struct follow {
	struct super_state *state;
	int signals; /* signalfd(2) */
	size_t n;    /* rows are used up to there */
	bool gone;   /* some of them are FOLLOW_GONE */
	bool ends;   /* follow_let_go() */
	struct follow_thread threads[FOLLOW_MAX];
};

/* In the arena; SIGCHLD is blocked from here on. NULL with a text. */
struct follow *follow_new(struct arena *a, struct super_state *s);

/*
 * The kernel makes the call, and done() is told when it has. With 0 the thread is answered; -errno
 * (-EPERM it is traced; -EAGAIN too many are followed): it still waits.
 */
int follow_call(struct follow *f, struct notif *n,
		void (*done)(struct super_state *s, const struct follow_thread *t));

/* The same of execve(2), where done() is told of nothing but success: t->tid is its number then. */
int follow_exec(struct follow *f, struct notif *n,
		void (*done)(struct super_state *s, const struct follow_thread *t));

/* The kernel makes the call with other arguments, the data being below the thread's stack; to the
 * thread they are as they were. Where it waits, it does so as ever: a signal has it asked about
 * anew, or interrupts it. */
int follow_change(struct follow *f, struct notif *n, const struct follow_change *change);

/*
 * PTRACE_SEIZE waits while another thread of the process is in execve(2), which waits for those
 * that are followed to be waited for. So SIGALRM is sent meanwhile, and its handler calls this.
 */
void follow_collect(void);

/* When the descriptor is readable. */
void follow_look(struct follow *f);

/*
 * All of them are to be let go, for another tracer to have them: who waits for a time of day is
 * taken out of its call, which it makes again and asks about anew. Returns how many have not come
 * so far yet; nobody may be followed meanwhile, up to follow_go_on().
 */
size_t follow_let_go(struct follow *f);
void follow_go_on(struct follow *f);

#endif
