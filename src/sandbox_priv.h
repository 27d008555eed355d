/* SPDX-License-Identifier: Apache-2.0 */
/* What the ways to a new process share: sandbox.c makes a container's init, join.c one process
 * more. */
#ifndef SANDBOX_PRIV_H
#define SANDBOX_PRIV_H

#include "sandbox.h"

struct cgroup_entry;
struct enter;

/* Waits for the end of a child. */
void sandbox_reap(pid_t pid, int *status);

/* clone3(2) as fork(2) does it, with CLONE_* flags, into the version 2 cgroup of entry (NULL: the
 * own one). *pidfd is set where that is not NULL. Returns as fork(2). */
pid_t sandbox_clone(int flags, const struct cgroup_entry *entry, int *pidfd);

/*
 * Processes of a namespace that is joined see this one and its children at once: none of it may be
 * looked into or traced (CVE-2016-9962). An ordinary user can write the id maps of a child only
 * while that is dumpable, though.
 */
int sandbox_hide_stage(const struct enter *e);

/* Lets start() clone a child and answers its notes until it is ready. On failure nothing of it is
 * left. */
int sandbox_launch(struct enter *e, int (*start)(struct enter *e, pid_t *pid, int *pidfd),
		   struct sandbox_task *out);

#endif
