/* SPDX-License-Identifier: Apache-2.0 */
/* The system call that a stopped thread was in, by its registers (native: arch/<cpu>/call.c). */
#ifndef ARCH_CALL_H
#define ARCH_CALL_H

#include <stdint.h>

#include "arch/regs.h"

/* Argument i, 0 to 5, as it will be when the call starts again. */
uint64_t call_arg(const struct regs *r, unsigned i);
void call_set_arg(struct regs *r, unsigned i, uint64_t value);

/* It is over, with this result (-errno for an error): nothing starts again. */
void call_set_result(struct regs *r, int64_t result);

#endif
