/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only translator: a checked config becomes what the engine knows. Paths become absolute,
 * names become numbers, annotations become settings.
 */
#ifndef OCI_BUILD_H
#define OCI_BUILD_H

#include <stdbool.h>

#include "sandbox.h"

struct arena;
struct spec;
struct spec_process;

struct build_context {
	const char *id;
	const char *bundle; /* absolute path */
	/* the same, opened; -1: the container exists already, its root directory is not looked
	 * at */
	int bundle_dir;
	enum cgroup_manager manager;
	bool rootless; /* without the rights of the host's root */
	bool no_pivot, no_new_keyring;
};

/*
 * s has passed check_spec(). What *out points to is in the arena, in s or in c. Opens the root
 * directory to learn its real path, nothing else is touched. Fails with -errno and the place in
 * the JSON.
 */
int build_sandbox(struct arena *a, const struct spec *s, const struct build_context *c,
		  struct sandbox *out);

/*
 * A process of the container s: its own (s->process) or another one, checked. Where p names no
 * capabilities it gets those of the container's process.
 */
int build_process(struct arena *a, const struct spec *s, const struct spec_process *p,
		  struct sandbox_process *out);

/* SECCOMP_RET_* of an action with its errnoRet; false if it is unknown. */
bool build_verdict(const char *action, struct opt_i64 value, uint32_t *out);

/* The hooks of one point, with where their output goes. */
void build_hooks(struct arena *a, const struct spec *s, enum sandbox_hook_point point,
		 struct sandbox_hooks *out);

#endif
