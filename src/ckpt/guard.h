/* SPDX-License-Identifier: Apache-2.0 */
/* The filter of supervised calls (bpf/guard.h), whose listener the container's supervisor has. */
#ifndef CKPT_GUARD_H
#define CKPT_GUARD_H

#include <stdbool.h>

#include "ckpt/kind.h"

struct filter;

/* That of the container that is saved or made: len 0 where it is not supervised. 0 or -errno with a
 * text. */
int guard_of(struct ckpt *c, struct filter *out);

/* Restore: gives it to the thread, or to all of its process, and the listener to the supervisor at
 * the other end of the connection. */
int guard_install(const struct ckpt_thread *t, const struct filter *guard, int supervisor,
		  bool all);

#endif
