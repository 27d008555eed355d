/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that a thread was in when it was stopped, and how they go on: signal(7),
 * "Interruption". */
#ifndef CKPT_CALLS_H
#define CKPT_CALLS_H

#include <stdint.h>

#include "ckpt/kind.h"

struct inject_call;
struct regs;

#define CALLS_NONE UINT32_MAX

/*
 * Dump: makes r what the thread is to go on with. Where the kernel went on from a state of its own,
 * *out_nr is the call to be entered anew and *out_left the nanoseconds it still had to wait
 * (UINT64_MAX: for ever); CALLS_NONE else.
 */
int calls_left(const struct ckpt_thread *t, struct regs *r, uint32_t *out_nr, uint64_t *out_left);

/* Restore: the call to enter anew; left_addr is where `left` stands as a struct timespec. */
int calls_rearm(const struct regs *r, uint32_t nr, uint64_t left, uint64_t left_addr,
		struct inject_call *out);

#endif
