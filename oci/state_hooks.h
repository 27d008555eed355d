/* SPDX-License-Identifier: Apache-2.0 */
/* What hooks and seccomp agents are told: the state of the container as JSON, in halves around the
 * pid. runtime-spec: runtime.md (State), config-linux.md (Container Process State) */
#ifndef OCI_STATE_HOOKS_H
#define OCI_STATE_HOOKS_H

#include <stdbool.h>

#include "sandbox.h"

struct arena;
struct state;

/*
 * Fills the texts of *io for a new container, for the hook points that have hooks and, where sb
 * sends a seccomp listener away, for its socket.
 */
void state_hooks_text(struct arena *a, const struct state *s, const struct sandbox *sb,
		      struct sandbox_io *io);

/* The listener's message alone, for a process more in the container s. */
void state_hooks_exec_text(struct arena *a, const struct state *s, const struct sandbox *sb,
			   struct sandbox_io *io);

/* Runs the hooks of one point in the caller's namespaces, from directory cwd (or -1). all: a
 * failing one does not stop the others. */
int state_hooks_run(struct arena *a, const struct state *s, const struct sandbox *sb,
		    enum sandbox_hook_point point, int cwd, bool all);

#endif
