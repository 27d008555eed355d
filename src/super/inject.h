/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that only the thread itself can make (chdir(2), execve(2), connect(2) to a socket's name)
 * are made by it under control (task/trace.h): it is stopped where it waits for the answer, makes
 * other calls in place of its own, and goes on with the result of the last one.
 */
#ifndef SUPER_INJECT_H
#define SUPER_INJECT_H

#include <stddef.h>

#include "super/notif.h"

struct inject_call {
	long nr;
	uint64_t args[6];
	unsigned scratch; /* bit i: args[i] is an offset into the scratch, which is put on its stack
			   */
};

/* A descriptor of this process for the guest: its number there, or -errno. */
int inject_fd(struct notif *n, int fd, bool cloexec);

/*
 * Makes the calls one after the other until one fails; the thread's own call returns what the last
 * one did that counts (index result). A call that doesn't return (execve) is the last. Returns 0,
 * or -errno where the thread can't be controlled (it is traced already: -EPERM): then nothing was
 * done and it still waits for an answer.
 */
int inject_run(struct notif *n, const struct inject_call *calls, size_t n_calls, size_t result,
	       const void *scratch, size_t len);

#endif
