/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Threads of a process have the same rights and namespaces, but for a few programs that know what
 * they do. Where they are many this is found out by a second thread of ours, while the first looks
 * at other things. Whoever asks then looks at them one by one only where they are not alike, to say
 * which of them is not, and why. What is to be saved is looked at when it is frozen, while errands
 * are run.
 */
#ifndef CKPT_ALIKE_H
#define CKPT_ALIKE_H

#include <stdbool.h>

struct ckpt;
struct ckpt_proc;

/* Begins and ends it, around a look at the processes that were found. Before a pause that is to
 * come processes with many threads are believed to be alike. */
void alike_begin(struct ckpt *c, bool frozen);
void alike_end(struct ckpt *c);

/* Whether all threads are known to have what the first one has: ids, groups, capabilities,
 * no_new_privs and filters; namespaces, descriptor table and working directory. False says
 * nothing. */
bool alike_rights(struct ckpt *c, const struct ckpt_proc *p);
bool alike_spaces(struct ckpt *c, const struct ckpt_proc *p);

#endif
