/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readiness of a service: where the runtime itself was given a NOTIFY_SOCKET (a unit of systemd
 * runs it directly), the container gets a socket of its own at /run/notify/notify.sock, and its
 * READY=1 is passed on with the pid that the service manager is to watch. sd_notify(3)
 */
#ifndef OCI_NOTIFY_H
#define OCI_NOTIFY_H

#include <stdbool.h>
#include <sys/types.h>

struct arena;
struct sandbox;
struct state_dir;

/* True where this process was given a socket to notify. */
bool notify_wanted(void);

/* Makes the directory in the store and adds its mount and the variable to the container. */
int notify_prepare(struct arena *a, const struct state_dir *d, struct sandbox *sb);

/*
 * Listens in the container's directory: *out is the socket, untouched where nothing is wanted or
 * the container was created without. Returns 0 or -errno with a text.
 */
int notify_listen(const struct state_dir *d, int *out);

/*
 * Reads one message; where it says READY=1 that and MAINPID=pid are sent to the manager, and the
 * return value is 1 when it has taken them. 0 for any other message.
 */
int notify_relay(int sock, pid_t pid);

/* Relays what is left to be read of a container that has ended. Returns as notify_relay(). */
int notify_rest(int sock, pid_t pid);

/* Relays until the container is ready or its init (pidfd) has ended. */
int notify_wait(int sock, int pidfd, pid_t pid);

#endif
