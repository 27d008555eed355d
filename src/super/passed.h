/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors of the guest's where pidfd_getfd(2) is forbidden (kernels before 5.6, filters of the
 * engine that thole itself runs under): the thread passes them by itself, over a socket, and then
 * makes its own call again, which finds them here.
 */
#ifndef SUPER_PASSED_H
#define SUPER_PASSED_H

#include "super/notif.h"

#define PASSED_MAX 32

struct inject_strays;

struct passed {
	struct inject_strays *strays;
	uint64_t id; /* of the call whose thread passed one last: nobody waits in it any more */
	struct {
		pid_t tid;
		int nr, number;
		uint64_t args[6];
		int fd;     /* or -errno, which is what the thread has there */
		bool again; /* its call is yet to come again */
	} v[PASSED_MAX];
	size_t n;
};

/* A call has come: what was passed for another one of the same thread's is closed, and of threads
 * that have ended. */
void passed_begin(struct passed *p, const struct notif *n);

/* It has been looked at: what was passed for it is closed, unless it comes again. */
void passed_end(struct passed *p, const struct notif *n);

/* A copy of the thread's descriptor, or -errno. -EAGAIN where it has only now been passed: there is
 * nobody to answer then, and the call comes again. */
int passed_take(struct passed *p, const struct notif *n, int fd);

#endif
