/* SPDX-License-Identifier: Apache-2.0 */
/* A container that exists, and what commands have in common about it. */
#ifndef OCI_CONTAINER_H
#define OCI_CONTAINER_H

#include <stdbool.h>

#include "oci/state.h"

struct cmd;
struct sandbox;
struct spec;

struct container {
	struct state_dir dir;
	struct state state;
	enum state_status status;
	int pidfd; /* of init, or -1 where it is not alive */
};

#define CONTAINER_NONE                            \
	{                                         \
		.dir = { .dir = -1 }, .pidfd = -1 \
	}
void container_close(struct container *c);
#define auto_container __attribute__((cleanup(container_close))) struct container

/* Opens the container of that id. Fails like state_find() and state_read(). */
int container_open(struct cmd *c, const char *id, struct container *out);

/* The state and status again, after the lock was taken. */
int container_refresh(struct cmd *c, struct container *ct);

/* The configuration it was created from. */
int container_config(struct cmd *c, const struct container *ct, const struct spec **out);

/* Connects to its supervisor. Returns the descriptor or -errno with a text. */
int container_supervisor(const struct container *ct);

/* Signals init. "container not running" where it is dead. SIGKILL reaches a paused one too. */
int container_signal(const struct container *ct, int sig);

/* Kills init and waits until it is dead, at most ten seconds. */
int container_end(struct container *ct);

/*
 * Removes the cgroup with what is left in it, and the state; then runs the poststop hooks, whose
 * failures are warnings. The lock is held by the caller. hooks: the container's, NULL to read them
 * from its configuration where it has any.
 */
int container_destroy(struct cmd *c, struct container *ct, const struct sandbox *sb);

#endif
