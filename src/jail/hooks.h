/* SPDX-License-Identifier: Apache-2.0 */
/* Hooks: programs that are told the state of the container on their standard input. */
#ifndef JAIL_HOOKS_H
#define JAIL_HOOKS_H

#include <stdbool.h>
#include <sys/types.h>

struct sandbox_hooks;

/*
 * Runs them in order in the caller's namespaces, in the directory cwd (-1: the caller's), with
 * head + pid + tail on their standard input. Stops at the first that fails, unless all is set: then
 * every one is run and the first failure returned. No allocation: usable between clone and exec.
 */
int hooks_run(const struct sandbox_hooks *hooks, const char *head, pid_t pid, const char *tail,
	      int cwd, bool all);

#endif
