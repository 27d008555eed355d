/* SPDX-License-Identifier: Apache-2.0 */
/* A config.json to start from: what `thole spec` writes. */
#ifndef OCI_TEMPLATE_H
#define OCI_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct arena;

/*
 * A config for a shell in "rootfs" as indented JSON, in the arena. rootless: for the ordinary user
 * uid, gid: a user namespace that maps root to them, and nothing that such a user may not do.
 */
const char *template_write(struct arena *a, bool rootless, uid_t uid, gid_t gid, size_t *out_len);

#endif
