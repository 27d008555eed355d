/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Descriptors that only the thread itself can take or give: it is led (inject.h) to receive or send
 * one (SCM_RIGHTS) by an end of a socket that it has been given.
 */
#ifndef SUPER_COURIER_H
#define SUPER_COURIER_H

#include "super/inject.h"

/*
 * A descriptor for the thread, which it is given while it waits, and has when it has stopped: for
 * each its number or -errno. Of what it may not read (secret) it gets one of O_PATH, by a socket:
 * others may share its table.
 */
int courier_put(struct inject *in, int fd, bool secret);
int64_t courier_have(struct inject *in, int number, bool secret);

/* A socket in which a copy of the descriptor stands, for a thread to take: the caller's, or
 * -errno. */
int courier_load(int fd);

/* The thread receives what stands in its socket: its number there, or -errno. */
int64_t courier_take(struct inject *in, int sock, bool cloexec);

/* It sends one of its own. 0 or -errno: -EBADF. */
int64_t courier_give(struct inject *in, int sock, int number);

#endif
