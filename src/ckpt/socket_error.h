/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errors that wait in a socket until somebody asks: nobody came to answer (UDP), a connection was
 * refused or reset. To look which it is takes it away (SO_ERROR of socket(7)), so that alone is
 * saved that there is one.
 */
#ifndef CKPT_SOCKET_ERROR_H
#define CKPT_SOCKET_ERROR_H

#include <stdbool.h>

struct ckpt;
struct socket_sort;

bool socket_has_error(int fd);

/* Whether an error of it is one that socket_fail() makes. ended: a connection that is over. */
bool socket_can_fail(int fd, const struct socket_sort *s, bool ended);

/*
 * Restore: has an error wait in a fresh socket that has its address, but no peer: ECONNABORTED,
 * of UDP ECONNREFUSED. None where the kernel does not let us (TCP_REPAIR is for who may administer
 * the network), or where there is no loopback.
 */
void socket_fail(struct ckpt *c, int fd, const struct socket_sort *s);

#endif
