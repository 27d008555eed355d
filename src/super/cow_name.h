/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that make names, take them away, or go to where one leads. */
#ifndef SUPER_COW_NAME_H
#define SUPER_COW_NAME_H

#include "super/cow.h"
#include "super/inject.h"
#include "super/path.h"

struct stat;
struct super_state;

/* What is returned besides a result: the kernel makes the call. */
#define COW_KERNEL INT64_MIN

/* Answers with the result, as the process itself again. */
void cow_name_answer(struct notif *n, int64_t result);

/* A file that the guest is to have a descriptor of, by an O_PATH one; ours: it is of an upper
 * side, where an owner's right to read is had for the moment if there is none. As the process
 * itself. The caller's, or -errno. */
int cow_name_reopen(int fd, int flags, bool ours);

/*
 * Is that file what the kernel itself comes to, by a path of the thread's (dirfd: AT_FDCWD, or its
 * own)? Then a thread that can't be held may go there by itself, as who is in a directory of the
 * upper side may by a name in that. What it is asked for is looked at no more, and whatever it
 * turns out to be, the thread could have gone there at any time.
 */
bool cow_name_is_native(const struct notif *n, int dirfd, const char *text,
			const struct stat *file);

/* cow_name.c: mkdir(2), rmdir(2), unlink(2), symlink(2), mknod(2) */
void cow_on_name(struct super_state *s, struct notif *n);

/* cow_move.c */
void cow_on_rename(struct super_state *s, struct notif *n);
void cow_on_link(struct super_state *s, struct notif *n);

/* cow_go.c: chdir(2), chroot(2); mount(2) and its like */
void cow_on_chdir(struct super_state *s, struct notif *n);
void cow_on_chroot(struct super_state *s, struct notif *n);
void cow_on_mount(struct super_state *s, struct notif *n);

/* cow_run.c */
void cow_on_exec(struct super_state *s, struct notif *n);

/* cow_socket.c */
void cow_on_bind(struct super_state *s, struct notif *n);
void cow_on_connect(struct super_state *s, struct notif *n);
void cow_on_sendto(struct super_state *s, struct notif *n);
void cow_on_sendmsg(struct super_state *s, struct notif *n);

/* Of a text that is told for a name of the map, what the guest calls it; others stay. True if it
 * was one. */
bool cow_socket_decode(char *text);
bool cow_socket_is_encoded(const char *text);

/* The call's socket, a copy; -1 if it is none of this family. */
int cow_socket_take(const struct notif *n);

/* cow_peer.c */
void cow_on_getsockname(struct super_state *s, struct notif *n);
void cow_on_getpeername(struct super_state *s, struct notif *n);
void cow_on_accept(struct super_state *s, struct notif *n);
void cow_on_accept4(struct super_state *s, struct notif *n);
void cow_on_recvfrom(struct super_state *s, struct notif *n);
void cow_on_recvmsg(struct super_state *s, struct notif *n);
void cow_on_recvmmsg(struct super_state *s, struct notif *n);

#endif
