/* SPDX-License-Identifier: Apache-2.0 */
/* Sockets whose ports the supervisor remaps: k_ports.c. */
#ifndef CKPT_PORTS_H
#define CKPT_PORTS_H

#include "ckpt/kind.h"

/*
 * Restore: binds the socket of a file to the address it had. One whose port is remapped takes
 * another one where that is in use by now: the same for all that shared it. 0 or -errno with a
 * text.
 */
int ports_bind(struct ckpt *c, const struct ckpt_file *f, int fd, const void *addr, size_t len);

#endif
