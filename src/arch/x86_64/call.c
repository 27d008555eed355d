/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/call.h"

#include <stddef.h>

/* syscall(2), "Architecture calling conventions" */
static const size_t places[6] = {
	offsetof(struct user_regs_struct, rdi), offsetof(struct user_regs_struct, rsi),
	offsetof(struct user_regs_struct, rdx), offsetof(struct user_regs_struct, r10),
	offsetof(struct user_regs_struct, r8),  offsetof(struct user_regs_struct, r9),
};

uint64_t call_arg(const struct regs *r, unsigned i)
{
	return *(const unsigned long long *)(const void *)((const char *)&r->user + places[i]);
}

void call_set_arg(struct regs *r, unsigned i, uint64_t value)
{
	*(unsigned long long *)(void *)((char *)&r->user + places[i]) = value;
}

void call_set_result(struct regs *r, int64_t result)
{
	r->user.rax = (uint64_t)result;
	r->user.orig_rax = UINT64_MAX;
}
