/* SPDX-License-Identifier: Apache-2.0 */
#include "super/beside.h"

#include <string.h>

static bool get(pid_t tid, cpu_set_t *out)
{
	return sched_getaffinity(tid, sizeof(*out), out) == 0;
}

static bool set(pid_t tid, const cpu_set_t *to)
{
	return sched_setaffinity(tid, sizeof(*to), to) == 0;
}

void beside_begin(struct beside *b, pid_t tid)
{
	int cpu = sched_getcpu();

	b->tid = tid;
	b->on = false;
	CPU_ZERO(&b->here);
	if (cpu < 0 || cpu >= CPU_SETSIZE || !get(tid, &b->was) || !CPU_ISSET(cpu, &b->was) ||
	    CPU_COUNT(&b->was) == 1 || !get(0, &b->own))
		return;
	CPU_SET(cpu, &b->here);
	b->on = set(tid, &b->here);
	if (b->on)
		set(0, &b->here);
}

/* All of them first: a set that is no less than the cpuset's must not outlast that. */
void beside_end(struct beside *b)
{
	cpu_set_t all, now;

	if (!b->on)
		return;
	set(0, &b->own);
	if (!get(b->tid, &now) || !CPU_EQUAL(&now, &b->here))
		return;
	memset(&all, 0xff, sizeof(all));
	if (set(b->tid, &all) && get(b->tid, &now) && !CPU_EQUAL(&now, &b->was))
		set(b->tid, &b->was);
}
