/* SPDX-License-Identifier: Apache-2.0 */
/* What processes and threads have together, and what each for itself. */
#ifndef CKPT_SHARED_H
#define CKPT_SHARED_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct arena;
struct ckpt_unit;

/* Its namespaces and its cgroup, as /proc/PID tells them. */
struct shared_seen;
struct shared_seen *shared_look(struct arena *a, pid_t pid);

/* Preflight, of a process: what can't be made again. init: what was seen of the container's first
 * process; NULL, as own: they are looked at in the pause. 0 or -errno with a text. */
int shared_check(const struct ckpt_unit *u, const struct shared_seen *own,
		 const struct shared_seen *init);

/* The same in the pause: what may have changed since, or was not there. */
void shared_check_again(const struct ckpt_unit *u, const struct shared_seen *own,
			const struct shared_seen *init);

/* Whether a thread has something for itself that threads share in every restored process. Of one
 * that has ended: no. */
bool shared_differs(pid_t pid, pid_t tid);

/*
 * Namespaces that a thread may have for itself, while its process has others. One of them, of whom
 * the pidfd is (of a thread: pidfd_open(2) with that flag): a descriptor, -1 where the kernel tells
 * it only in /proc, or it has ended.
 */
#define SHARED_NS 3
int shared_ns(int pidfd, size_t i);

#endif
