/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARCH_NATIVE_H
#define ARCH_NATIVE_H

#include <asm/ptrace.h>
#include <stdint.h>

#define ARCH_NATIVE arch_aarch64
#define ARCH_INJECT_MAX 1552

/* The kernel rewinds a call before a tracer sees the registers: what it was comes from
 * elsewhere. */
#define ARCH_HIDES_CALLS 1

struct regs {
	struct user_pt_regs user;
	uint64_t tls;  /* tpidr_el0 */
	uint64_t call; /* the number of the call it was in, and 1; 0 for none */
	uint64_t arg0; /* of that call */
};

#endif
