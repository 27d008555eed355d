/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that made a call, as the kernel would judge it: what is done on its behalf is done
 * with its file system ids, groups, umask and capabilities, so that it is the kernel that says what
 * it may. Threads that ask one after the other with the same credentials cost nothing.
 */
#ifndef SUPER_GUEST_H
#define SUPER_GUEST_H

#include "super/notif.h"

/* From here on this process acts as the thread (setfsuid(2), setfsgid(2), setgroups(2), capset(2),
 * umask(2)). 0 or -errno. */
int guest_become(struct notif *n);

/* And from here on as itself again. */
void guest_leave(void);

/* Its root and working directory: O_PATH, the caller's; or -errno. */
int guest_root(const struct notif *n);
int guest_cwd(const struct notif *n);

/* The number of the thread's process, and of the thread, in its own pid namespace: what its
 * /proc/self and /proc/thread-self are. */
int guest_ids(const struct notif *n, pid_t *out_pid, pid_t *out_tid);

/* The supervisor joins the user namespace of the container, in which it then has every capability:
 * needed once, where that is not its own. */
int guest_join(const struct notif *n);

#endif
