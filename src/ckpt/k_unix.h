/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of the kind of unix sockets. */
#ifndef CKPT_K_UNIX_H
#define CKPT_K_UNIX_H

#include "ckpt/kinds.h"
#include "ckpt/proxy.h"
#include "ckpt/sockets.h"

/* What was sent and is not received. */
struct unix_message {
	uint64_t len;
	const void *from; /* name of the sender, of datagrams */
	size_t from_len;
	const uint64_t *files; /* of descriptors that come with its first byte */
	size_t n_files;
};

struct unix_socket {
	uint32_t type;
	uint64_t ino, peer; /* only to be compared; peer 0: none */
	bool connected, listening;
	struct peer cred; /* what SO_PEERCRED tells; of a listener, itself */
	uint32_t backlog, shutdown;
	const void *name, *peer_name; /* sun_path, as in struct unix_entry */
	size_t name_len, peer_name_len;
	const char *dir;         /* where the name is relative to; NULL */
	const char *file;        /* what it is called there, if by another name; NULL */
	bool removed;            /* its path is there no more */
	uint32_t mode, uid, gid; /* of the path, as the container sees them */
	struct unix_message *messages;
	size_t n_messages;
	struct socket_options options;

	/* restore */
	bool made, linked;
	int fd;    /* made together with another one, and not yet asked for */
	int held;  /* the other end, that nobody has any more, while it sends */
	int apart; /* a root that a removed one is bound in; -1: it is in the container's */
};

/*
 * unix_place.c: sockets that are found by a path. One that a supervisor has bound was renamed
 * since: its address is what the supervisor needs to know, and its file is in a directory that is
 * shown (ckpt/shown.h).
 */
struct unix_entry;
int unix_find_place(const struct file_look *l, const struct unix_entry *e, struct unix_socket *s);

/* Restore: binds it, by its number in the root process. What stands under its path is what is left
 * of the socket before: it goes. One whose path was removed is bound in a root of its own. */
int unix_bind_place(struct ckpt *c, struct unix_socket *s, int fd);

/* Restore: to where its name leads from, in the root process, and back. */
int unix_enter_place(struct ckpt *c, const struct unix_socket *s);
int unix_leave_place(struct ckpt *c, const struct unix_socket *s);

/* Its name, for connect(2) there. */
const char *unix_name_there(struct ckpt *c, const struct unix_socket *s);

/* Its file, as an O_PATH descriptor of ours. fd or -errno with a text. */
int unix_open_place(struct ckpt *c, const struct unix_socket *s);

/* Dump, frozen: what is in the queue, which stays as it is; the bytes go to a file of the image. */
int unix_save_queue(const struct file_look *l, struct ckpt_file *f);

/* Restore: fills the queue. `sender` has the other end of a connection, or is -1. */
int unix_fill_queue(struct ckpt *c, struct ckpt_file *f, int sender);

extern const struct record_table unix_message_table;

/* The socket that is bound to a name; NULL. */
struct ckpt_file *unix_named(struct ckpt *c, const void *name, size_t len);

#endif
