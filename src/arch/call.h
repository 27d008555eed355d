/* SPDX-License-Identifier: Apache-2.0 */
/* The system call that a stopped thread was in, by its registers (native: arch/<cpu>/call.c). */
#ifndef ARCH_CALL_H
#define ARCH_CALL_H

#include <stdbool.h>
#include <stdint.h>

#include "arch/regs.h"

/* Argument i, 0 to 5, as it will be when the call starts again. */
uint64_t call_arg(const struct regs *r, unsigned i);
void call_set_arg(struct regs *r, unsigned i, uint64_t value);

/* It is over, with this result (-errno for an error): nothing starts again. */
void call_set_result(struct regs *r, int64_t result);

/* A call as seccomp(2) tells of it: `behind` is where its instruction ends. */
struct call {
	uint64_t behind;
	int64_t nr;
	uint64_t arg[6];
};

/* The thread makes the call as soon as it goes on, with the instruction that stands there. */
void call_begin(struct regs *r, const struct call *c);

/* It has made it, and all but the result is as it was before. */
void call_end(struct regs *r, const struct call *c, int64_t result);

/* It has been interrupted in it, right now: the kernel makes it again, or has it fail with EINTR,
 * as signal(7) says. For a thread that stands at the end of an interrupted call with the same first
 * argument. */
void call_interrupt(struct regs *r, const struct call *c);

/* For a thread at the end of a call that the kernel would go on with from a state of its own
 * (restart_syscall(2)): it makes the call again instead, or has it fail with EINTR where a handler
 * comes first, as it would have. */
void call_forget_state(struct regs *r);

/* Whether it stands in that place: at the begin or the end of a call made there. */
bool call_is_at(const struct regs *r, const struct call *c);

/* Whether it has been taken out of that very call, which the kernel is about to make again. */
bool call_is_interrupted(const struct regs *r, const struct call *c);

/* What the call returned that it stands behind. */
int64_t call_result(const struct regs *r);

#endif
