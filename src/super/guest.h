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

/* May it, while it is acted as, what an owner of the file may, or who has the capability? That a
 * capability counts for that file is left to the kernel. */
struct stat;
bool guest_may_own(const struct stat *st, int cap);

/* What is done from here on is not in its name any more. Its credentials stay where they are, since
 * the next call is most often of its like: before anything is asked of a file system that is not a
 * guest's affair there must be guest_pause(). */
void guest_leave(void);

/* The process's own file system credentials: until guest_resume(), which is given what this one
 * returned, or for good. Both may be called where nobody is acted as. */
bool guest_pause(void);
/* 0, or -EPERM where either could not be done (the kernel has no memory, a filter forbids it): what
 * is done from there on is done as somebody without any right, until guest_recover(). */
int guest_resume(bool acted);

/* True from there on: calls are answered with EPERM alone (notif.h). */
bool guest_is_lost(void);

/* Between calls: the process is itself again. 0 or -errno, and then it must come to its end. */
int guest_recover(void);

/* Its root and working directory: O_PATH, the caller's; or -errno. */
int guest_root(const struct notif *n);
int guest_cwd(const struct notif *n);

/* The number of its mount namespace. 0 or -errno. */
int guest_mounts(const struct notif *n, uint64_t *out);

/* That its root is the container's, as was found out, holds until one of them asks for another
 * one. */
void guest_keep_root(const struct notif *n);
bool guest_has_root(const struct notif *n);

/*
 * The number of the thread's process, and of the thread, in the pid namespace of a procfs, whose
 * root is open at proc: what "self" and "thread-self" are there. -ENOENT where it has none.
 */
int guest_ids(const struct notif *n, int proc, pid_t *out_pid, pid_t *out_tid);

/* Opens (O_PATH) what a link of /proc leads to, while the thread is acted as: only where it may
 * look at the process of that directory as any other, and never at this one. Of who is confined
 * (Landlock) nothing outside of the container may be looked at, either. Its own process it may in
 * any case. -EACCES. */
int guest_open_link(const struct notif *n, int dir, const char *name, bool confined);

/* After -EACCES, while it is acted as: what is in /proc of a process is there for that one in any
 * case, as the process that has changed its user finds out. O_PATH. */
int guest_open_own(const struct notif *n, int dir, const char *name, int flags);

/*
 * Is it in a user namespace of its own making, where users and groups have other numbers than in
 * the container's? To be asked while it is acted as. guest_show_ids() gives them those that it
 * knows (65534 for what it has none for), guest_hide_ids() those of the container: -EINVAL, as the
 * kernel, where there are none; (uid_t)-1 is none in any.
 */
bool guest_is_nested(void);
void guest_show_ids(const struct notif *n, uid_t *uid, gid_t *gid);
int guest_hide_ids(const struct notif *n, uid_t *uid, gid_t *gid);

/* Its file system's user. */
uid_t guest_uid(void);

/* The supervisor joins the user namespace of the container, in which it then has every capability:
 * needed once, where that is not its own. */
int guest_join(const struct notif *n);

/* Is it root of the host, or this process's own user? uid as SO_PEERCRED says it: to who has joined
 * a user namespace all who are not in that have one number. */
bool guest_is_trusted(uid_t uid);

#endif
