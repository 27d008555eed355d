/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory that a program of the container provides when it is looked at (userfaultfd(2)). Who moves
 * bytes by process_vm_readv(2) waits there for as long as that program likes; nobody else of the
 * container would have an answer meanwhile. So once the container has asked for such a descriptor,
 * they are moved through /proc/PID/mem, which fails where a page is absent. A process of its own
 * waits for that, the call is put aside (aside.h), and looked at from its beginning when the page
 * is there.
 *
 * A page is waited for once: one that is there and still can't be moved (it is write-protected, or
 * taken away again) is EFAULT.
 */
#ifndef SUPER_ABSENT_H
#define SUPER_ABSENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define ABSENT_MAX 16 /* pages at once: others wait for one of these to come */

struct notif;

/* The container may have such memory: from its first call that asks for it. */
bool absent_is_expected(void);

/* Nothing could be moved from or to an address of the thread's. */
void absent_note(const struct notif *n, uint64_t addr);

/* True while a call is looked at that has met an absent page: whatever its handler makes of that,
 * it is not answered. */
bool absent_met(void);

/* The same when all have looked at it, and of the next one nothing is known. *out_job is what it
 * waits for; 0: any to end. */
bool absent_take(uint64_t *out_job);

/* What tells the end of a wait, or -1. */
int absent_end(size_t i);

/* It has something to tell: the job, which is known until absent_drop(); 0: nobody waited. */
uint64_t absent_look(size_t i);

/* The job in that place that somebody may wait for, or 0. */
uint64_t absent_job(size_t i);

/* Nobody waits for it any more. */
void absent_drop(size_t i);

void absent_close(void);

#endif
