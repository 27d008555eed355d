/* SPDX-License-Identifier: Apache-2.0 */
/* The unix sockets of the container's network namespace, as sock_diag(7) tells of them. */
#ifndef CKPT_UNIX_DIAG_H
#define CKPT_UNIX_DIAG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ckpt;

struct unix_entry {
	uint64_t ino, peer;        /* peer 0: none, it has gone, or it was not accepted yet */
	uint8_t type, state;       /* SOCK_*; TCP_ESTABLISHED, TCP_CLOSE or TCP_LISTEN */
	uint8_t shutdown;          /* 1: receives no more, 2: sends no more */
	bool ours;                 /* a process of the container has it */
	const void *name;          /* sun_path: of a path with its NUL */
	size_t name_len;           /* 0: none */
	uint32_t file;             /* of a path: its inode number, the lower half; 0: not known */
	uint32_t backlog, waiting; /* of a listener: connections that nobody has accepted */
};

struct unix_table {
	struct unix_entry *v; /* by ino */
	size_t n, room;
};

/* 0 or -errno with a text. */
int unix_diag(struct ckpt *c, struct unix_table *out);

struct unix_entry *unix_find(const struct unix_table *t, uint64_t ino);

/* The listener of that name, or NULL. */
struct unix_entry *unix_listener(const struct unix_table *t, const void *name, size_t len);

#endif
