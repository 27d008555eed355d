/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/call.h"

#include <stddef.h>

#define SYSCALL_LEN 2   /* syscall: 0f 05 */
#define ERESTARTSYS 512 /* include/linux/errno.h */
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

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

static void set_args(struct regs *r, const struct call *c)
{
	for (unsigned i = 0; i < 6; i++)
		call_set_arg(r, i, c->arg[i]);
}

void call_begin(struct regs *r, const struct call *c)
{
	set_args(r, c);
	call_set_result(r, c->nr);
	r->user.rip = c->behind - SYSCALL_LEN;
}

void call_end(struct regs *r, const struct call *c, int64_t result)
{
	set_args(r, c);
	call_set_result(r, result);
	r->user.rip = c->behind;
}

void call_interrupt(struct regs *r, const struct call *c)
{
	call_end(r, c, -ERESTARTSYS);
	r->user.orig_rax = (uint64_t)c->nr;
}

void call_forget_state(struct regs *r)
{
	if ((int64_t)r->user.rax == -ERESTART_RESTARTBLOCK)
		r->user.rax = (uint64_t)-ERESTARTNOHAND;
}

bool call_is_at(const struct regs *r, const struct call *c)
{
	return r->user.rip == c->behind;
}

bool call_is_interrupted(const struct regs *r, const struct call *c)
{
	int64_t result = (int64_t)r->user.rax;

	return call_is_at(r, c) && (int64_t)r->user.orig_rax == c->nr && result <= -ERESTARTSYS &&
	       result >= -ERESTART_RESTARTBLOCK;
}

int64_t call_result(const struct regs *r)
{
	return (int64_t)r->user.rax;
}
