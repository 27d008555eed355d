/* SPDX-License-Identifier: Apache-2.0 */
/* Cache and memory bandwidth classes. Documentation/arch/x86/resctrl.rst */
#ifndef JAIL_RDT_H
#define JAIL_RDT_H

#include <stdbool.h>
#include <sys/types.h>

struct arena;
struct sandbox_rdt;

/* Whether resctrl is mounted, and what it can do. */
struct rdt_host {
	bool mounted, monitoring, schemata;
};
int rdt_host(struct rdt_host *out);

/*
 * Puts a process into its class, made if it is not there; schemata are written, or compared where
 * the class existed. Fails with -ENOTSUP and a text where the machine has no resctrl.
 */
int rdt_enter(const struct sandbox_rdt *plan, const char *id, pid_t pid);

/* Changes the schemata of the class. */
int rdt_update(const struct sandbox_rdt *plan, const char *id);

/* Removes what rdt_enter() made: the class only if its name is the container's own. */
int rdt_leave(const struct sandbox_rdt *plan, const char *id);

#endif
