/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARCH_NATIVE_H
#define ARCH_NATIVE_H

#include <asm/ptrace.h>
#include <stdint.h>

#define ARCH_NATIVE arch_aarch64
#define ARCH_INJECT_MAX 1536

struct regs {
	struct user_pt_regs user;
	uint64_t tls; /* tpidr_el0 */
};

#endif
