/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State that no kind saves: found here so that it is refused, never lost. A kind that comes to own
 * one of these takes its lines away.
 */
#include <errno.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/err.h"
#include "ckpt/kinds.h"
#include "task/trace.h"

#define ITIMERS 3

static void check_filters(const struct ckpt_unit *u)
{
	if (u->p->status->seccomp)
		ckpt_problem(u->c, u->p, -1, "seccomp", "filters can't be restored");
}

static void check_timers(const struct ckpt_unit *u)
{
	struct proc_timer *timers;
	size_t n;

	/* a kernel without them, or a process that has ended, has none */
	if (proc_timers(u->c->arena, u->p->host, &timers, &n) == 0 && n)
		ckpt_problem(u->c, u->p, -1, "timers", "POSIX timers can't be restored");
}

static int check(const struct ckpt_unit *u)
{
	check_filters(u);
	check_timers(u);
	return 0;
}

/* Interval timers don't show from outside. */
static int collect(const struct ckpt_unit *u)
{
	const struct ckpt_thread *t = u->p->threads[0];
	struct itimerval timers[ITIMERS] = { 0 };
	struct inject_call calls[ITIMERS];
	struct proc_timer *posix;
	uint64_t addr;
	size_t n;
	int ret = ckpt_put(t, 0, timers, sizeof(timers), &addr);

	for (uint64_t i = 0; i < ITIMERS; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_getitimer,
			.arg = { i, addr + i * sizeof(timers[0]) },
		};
	if (!ret)
		ret = trace_batch(t->trace, calls, ITIMERS);
	if (!ret)
		ret = ckpt_get(t, 0, timers, sizeof(timers));
	for (size_t i = 0; i < ITIMERS && !ret; i++)
		if (timers[i].it_value.tv_sec || timers[i].it_value.tv_usec)
			ret = fail(ENOTSUP, "process %d: interval timers can't be restored",
				   u->p->pid);
	if (!ret && proc_timers(u->c->arena, u->p->host, &posix, &n) == 0 && n)
		ret = fail(ENOTSUP, "process %d: POSIX timers can't be restored", u->p->pid);
	if (!ret && u->p->status->seccomp)
		ret = fail(ENOTSUP, "process %d: seccomp filters can't be restored", u->p->pid);
	return ret;
}

const struct ckpt_kind kind_unowned = {
	.name = "unowned",
	.scope = KIND_PROCESS,
	.check = check,
	.collect = collect,
};
