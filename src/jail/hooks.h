/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: programs that are told the state of the container on their standard input. */
#ifndef JAIL_HOOKS_H
#define JAIL_HOOKS_H

#include <stdbool.h>
#include <sys/types.h>

struct sandbox_hooks;

/* What a hook reads: head + pid + tail. */
struct hooks_input {
	const char *head, *tail;
	pid_t pid;
};

/*
 * Runs them in order in the caller's namespaces, in the directory cwd (-1: the caller's), with
 * the text on their standard input. Stops at the first that fails, unless all is set: then
 * every one is run and the first failure returned. No allocation: usable between clone and exec.
 */
int hooks_run(const struct sandbox_hooks *hooks, const struct hooks_input *input, int cwd,
	      bool all);

#endif
