/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bundle's root and mounts as one Landlock ruleset, made in the container's own view.
 *
 *   root, read-write / read-only     all file rights / read, list, execute
 *   a mount, rw / ro                 the same, less what noexec and nodev take away
 *   devices, standard descriptors    read, write, ioctl of those
 *
 * Landlock adds rights downwards only: a mount narrower than the one above it is kept by its flags.
 */
#ifndef JAIL_POLICY_H
#define JAIL_POLICY_H

#include <stdbool.h>

struct sandbox;

/* Whether the plan's rules are to be enforced here: 1, 0, or -errno with a text (mode enforce can't
 * be). */
int policy_wanted(const struct sandbox *sb);

/*
 * Builds the ruleset with the calling process's root as the container's. stdio: grant descriptors 0
 * to 2 as well. Returns its fd or -errno with a text. Between clone and exec.
 */
int policy_ruleset(const struct sandbox *sb, bool stdio);

#endif
