/* SPDX-License-Identifier: Apache-2.0 */
/* Filters of seccomp(2): k_confine.c, and what of them hinders errands. */
#ifndef CKPT_CONFINE_H
#define CKPT_CONFINE_H

#include <stdbool.h>
#include <stdint.h>

#include "ckpt/kind.h"

/* struct trace_options: whether the filters that a thread must have let a call pass. ctx is the
 * struct ckpt. */
bool confine_allows(void *ctx, const struct trace_thread *th, int64_t nr, const uint64_t *arg);

/* Dump, from check() on: whether the configuration's filter lets programs make a call at all. */
bool confine_may_call(struct ckpt *c, int64_t nr);

/* Restore: the process gets its filter in PHASE_CONFINE, by the right of CAP_SYS_ADMIN unless it
 * has no_new_privs. */
bool confine_comes_last(const struct ckpt_proc *p);

/* A filter that is to be given to a thread. */
struct sock_filter;
struct program {
	const struct sock_filter *code;
	size_t len; /* in bytes */
	uint32_t flags;
};

/* Restore: gives it to the thread, or to all of its process. 0, the descriptor of a listener where
 * the flags ask for one, or -errno with a text. */
int confine_install(const struct ckpt_thread *t, const struct program *p, bool all);

#endif
