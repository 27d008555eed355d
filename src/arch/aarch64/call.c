/* SPDX-License-Identifier: Apache-2.0 */
#include "arch/call.h"

#define X8 8
#define SVC_LEN 4
#define ERESTARTSYS 512 /* include/linux/errno.h */
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516

uint64_t call_arg(const struct regs *r, unsigned i)
{
	return r->user.regs[i];
}

void call_set_arg(struct regs *r, unsigned i, uint64_t value)
{
	r->user.regs[i] = value;
}

void call_set_result(struct regs *r, int64_t result)
{
	r->user.regs[0] = (uint64_t)result;
}

static void set_call(struct regs *r, const struct call *c)
{
	for (unsigned i = 0; i < 6; i++)
		call_set_arg(r, i, c->arg[i]);
	r->user.regs[X8] = (uint64_t)c->nr;
}

void call_begin(struct regs *r, const struct call *c)
{
	set_call(r, c);
	r->user.pc = c->behind - SVC_LEN;
}

void call_end(struct regs *r, const struct call *c, int64_t result)
{
	set_call(r, c);
	call_set_result(r, result);
	r->user.pc = c->behind;
}

/* The kernel has the first argument of the call that was made last, and puts it back. */
void call_interrupt(struct regs *r, const struct call *c)
{
	call_end(r, c, -ERESTARTSYS);
}

void call_forget_state(struct regs *r)
{
	if ((int64_t)r->user.regs[0] == -ERESTART_RESTARTBLOCK)
		r->user.regs[0] = (uint64_t)-ERESTARTNOHAND;
}

bool call_is_at(const struct regs *r, const struct call *c)
{
	return r->user.pc == c->behind;
}

/* It is rewound before a tracer sees it. */
bool call_is_interrupted(const struct regs *r, const struct call *c)
{
	return r->user.pc == c->behind - SVC_LEN && (int64_t)r->user.regs[X8] == c->nr;
}

int64_t call_result(const struct regs *r)
{
	return (int64_t)r->user.regs[0];
}
