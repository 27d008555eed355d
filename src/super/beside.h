/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A thread that is woken by another one is put on a processor that sleeps, if there is one: an
 * interrupt and a start, some 25 us in a virtual machine, and the same for the answer. The kernel
 * knows that a notification and its answer are of two that take turns, but for a descriptor that is
 * handed over (SECCOMP_IOCTL_NOTIF_ADDFD): for that moment both are kept on the processor of ours.
 */
#ifndef SUPER_BESIDE_H
#define SUPER_BESIDE_H

#include <sched.h>
#include <stdbool.h>
#include <sys/types.h>

struct beside {
	pid_t tid;
	bool on;
	cpu_set_t was, here, own; /* where the thread may run, and this one */
};

/* Of a thread that waits for an answer. Where it may not be, nothing changes. */
void beside_begin(struct beside *b, pid_t tid);
/* It may be under way again. What somebody else has set meanwhile stays. */
void beside_end(struct beside *b);

#endif
