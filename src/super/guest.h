/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The thread that made a call, as the kernel would judge it: what is done on its behalf is done
 * with its file system ids, groups, umask and capabilities, so that it is the kernel that says what
 * it may. Threads that ask one after the other with the same credentials cost nothing.
 *
 * Only what the file system looks at is changed: the real and effective ids and the other
 * capabilities stay, so notif.h works all the while.
 */
#ifndef SUPER_GUEST_H
#define SUPER_GUEST_H

#include <stdbool.h>

#include "super/notif.h"

#define GUEST_GROUPS_MAX 1024

/*
 * From here on this process acts as the thread (setfsuid(2), setfsgid(2), setgroups(2), capset(2),
 * umask(2)). 0 or -errno; -EOVERFLOW of a thread with more groups than GUEST_GROUPS_MAX.
 */
int guest_become(struct notif *n);

/* The same with its real ids, and the capabilities that come with them: access(2). */
int guest_become_real(struct notif *n);

/* True in between. */
bool guest_acts(void);

/* And from here on as itself again. */
void guest_leave(void);

/* What is not the thread's to be asked about, while it is acted as: the process's own file system
 * credentials, until guest_resume(), which is given what this one returned. Both may be called
 * where nobody is acted as. */
bool guest_pause(void);
void guest_resume(bool acted);

/* Its root and working directory: O_PATH, the caller's; or -errno. */
int guest_root(const struct notif *n);
int guest_cwd(const struct notif *n);

/*
 * The number of the thread's process, and of the thread, in the pid namespace of a procfs, whose
 * root is open at proc: what "self" and "thread-self" are there. -ENOENT where it has none.
 */
int guest_ids(const struct notif *n, int proc, pid_t *out_pid, pid_t *out_tid);

/* The supervisor joins the user namespace of the container, in which it then has every capability:
 * needed once, where that is not its own. */
int guest_join(const struct notif *n);

#endif
