/* SPDX-License-Identifier: Apache-2.0 */
/* The container's supervisor: the filter of supervised calls (bpf/guard.h), whose listener it has,
 * and the threads that it traces itself. */
#ifndef CKPT_GUARD_H
#define CKPT_GUARD_H

#include <stdbool.h>

#include "ckpt/kind.h"

struct filter;

/* That of the container that is saved or made: len 0 where it is not supervised. 0 or -errno with a
 * text. */
int guard_of(struct ckpt *c, struct filter *out);

/* Dump: is it the supervisor that traces a thread, for the time of a call? It lets go when it is
 * held. */
bool guard_traces(const struct ckpt *c, pid_t tracer);

/*
 * Dump: the supervisor receives no calls from here on, and lets go of the threads that it follows
 * as soon as they run. guard_await() returns when none is left. In the end guard_go_on(), which
 * does nothing where it was not held. 0 or -errno with a text.
 */
int guard_hold(struct ckpt *c);
int guard_await(struct ckpt *c);
int guard_go_on(struct ckpt *c);

/* Restore: gives it to the thread, or to all of its process, and the listener to the supervisor at
 * the other end of the connection. */
int guard_install(const struct ckpt_thread *t, const struct filter *guard, int supervisor,
		  bool all);

#endif
