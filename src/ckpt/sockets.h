/* SPDX-License-Identifier: Apache-2.0 */
/* What sockets of every family have in common: where they live, and their options. */
#ifndef CKPT_SOCKETS_H
#define CKPT_SOCKETS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ckpt/kind.h"

/* An option with its value as the kernel gives it. */
struct socket_option {
	uint32_t level, name;
	const void *value;
	size_t len;
};

struct socket_options {
	struct socket_option *v;
	size_t n;
};

extern const struct record_table socket_options_table;

/* Dump: our copy of a process's descriptor (the same description). fd or -errno with a text. */
int socket_borrow(const struct file_look *l);

/* Dump: family, type and protocol of a socket, by a borrowed descriptor; also while it runs. 0 or
 * -errno with a text. */
struct socket_sort {
	int family, type, protocol;
};
int socket_sort(int fd, struct socket_sort *out);

/* Has it the states and options of TCP? So has one of MPTCP. */
bool socket_is_tcp(const struct socket_sort *s);

/* The same of what was looked at; false where it is no socket or can't be told. */
bool socket_is(const struct file_look *l, int family, struct socket_sort *out);

/* Dump: what it can't be restored with, whatever its family; NULL: nothing. */
const char *socket_refusal(int fd);

/* Dump: what its process has to be told yet, beside its queue, and is told once; NULL: nothing. It
 * is asked before the queue is looked into, which would take an error away. */
const char *socket_untold(int fd);

/* Dump: all options that the family has; restore: those that differ are set. 0 or -errno with a
 * text. */
int socket_get_options(struct ckpt *c, int fd, const struct socket_sort *s,
		       struct socket_options *out);
int socket_set_options(int fd, const struct socket_options *o);

/* Dump, when all files are known: has each connection its other end? 0 or -EAGAIN with a text. */
int inet_check_ends(struct ckpt *c);

/* Is it an end of a connection of TCP that is saved? */
bool inet_is_connected(const struct ckpt_file *f);

/* Dump: has the container a network namespace other than ours? */
bool socket_network_is_own(struct ckpt *c);

/* Dump: is it of a network other than the container's, as one that was handed to it? false where
 * the kernel does not tell (before Linux 5.14). */
bool socket_is_elsewhere(struct ckpt *c, int fd);

/* Dump: a fresh socket in the network namespace of the container's init. fd or -errno with a
 * text. */
int socket_in_container(struct ckpt *c, int family, int type, int protocol);

/* Restore: one made by the root process, of which `root_fd` is its number there: for what only the
 * container itself may do. socket_release() closes it there and hands our copy over. */
int socket_make(struct ckpt *c, const struct socket_sort *s, int *out_root_fd);
int socket_release(struct ckpt *c, int root_fd);

#endif
