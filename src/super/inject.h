/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that only the thread itself can make (chdir(2), execve(2), connect(2) to a socket's name)
 * are made by it under control (task/hold.h): it is stopped where it waits for the answer, makes
 * other calls in place of its own, and goes on with a result.
 *
 * The steps are begin, fd (while it waits), stop, call ... call, end. What fails before the stop
 * has done nothing, and the thread still waits for an answer; inject_end() is right in any case
 * after inject_begin(), and answers.
 *
 * The guard asks about some of the calls that are made: in those an argument says that they are
 * (bpf/guard.h, GUARD_UNMADE, GUARD_PASSING), or they would wait for this very process.
 */
#ifndef SUPER_INJECT_H
#define SUPER_INJECT_H

#include "super/notif.h"
#include "task/hold.h"

#define INJECT_STRAYS_MAX 32

/* Threads that did not stop in time (a disk that hangs): they are let go when they do. */
struct inject_strays {
	struct hold v[INJECT_STRAYS_MAX];
	size_t n;
	bool told; /* that threads are traced by somebody else */
};

struct inject {
	struct notif *n;
	struct inject_strays *strays;
	struct hold hold;
	bool again; /* its own call is to be made again, or to be interrupted */
};

/* -EPERM: it is traced already, which the log says once, or may not be; -ESRCH it doesn't wait any
 * more; -EAGAIN too many are late. */
int inject_begin(struct inject_strays *s, struct notif *n, struct inject *out);

/* A descriptor of this process for the thread (-EBADF: not of O_PATH), closed by execve(2): its
 * number there, or -errno. */
int inject_fd(struct inject *in, int fd);

/* -EINTR: a signal was first; -ESRCH it has ended: nothing can be done then. */
int inject_stop(struct inject *in);

/*
 * The result of the call, or -errno where there is none (the thread has ended, or can't make it).
 * Where it would have to wait, it is not made; the thread's own call begins again after inject_end,
 * unless a signal has come, which is what it would have waited for, too.
 */
#define inject_call(in, nr, ...) inject_call_args((in), (nr), (const uint64_t[6]){ __VA_ARGS__ })
int64_t inject_call_args(struct inject *in, long nr, const uint64_t *args);

/*
 * Bytes for the thread to point to, its own until inject_room_end(), which gives them back. Where
 * it shares its memory with the process that waits for its execve(2) (vfork(2)), they lie where a
 * signal's frame would, for a mapping would be left behind there. 0 or -errno.
 */
struct inject_room {
	uint64_t at;
	size_t len;
	bool mapped;
};
int inject_room(struct inject *in, size_t len, struct inject_room *out);
void inject_room_end(struct inject *in, const struct inject_room *room);

/* execve(2) by whatever call: 0 where another program runs now, or what it returned. */
int64_t inject_exec(struct inject *in, long nr, const uint64_t *args);

/* The thread's own call returns that, if there is still somebody it could return to. */
void inject_end(struct inject *in, int64_t result);

/* Lets go who has stopped meanwhile. Returns how many have not: to be called again before long. */
size_t inject_tend(struct inject_strays *s);

#endif
