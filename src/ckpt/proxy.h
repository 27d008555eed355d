/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Whose socket it is: a unix socket tells its peer who has made it (SO_PEERCRED), by the number and
 * the ids of the process that called socketpair(2), listen(2) or connect(2). At restore such a call
 * is made by a process that has them: the root process, or one that is cloned for it with that
 * number, shares its descriptors, and is gone before the tree is forked.
 */
#ifndef CKPT_PROXY_H
#define CKPT_PROXY_H

#include <stdint.h>

#include "ckpt/kind.h"

/* As the container sees them; pid 0: not known. */
struct peer {
	uint32_t pid, uid, gid;
};

/* Rows of a record that has `struct peer` as its member. */
#define PEER_RECORDS(st, member)                                                     \
	RECORD(U, st, "peerPid", member.pid, RECORD_OPTIONAL, RECORD_MAX(1u << 22)), \
		RECORD(U, st, "peerUid", member.uid, RECORD_OPTIONAL),               \
		RECORD(U, st, "peerGid", member.gid, RECORD_OPTIONAL)

/* Dump, frozen: what the socket tells, by our copy of its descriptor. 0 or -errno with a text. */
int peer_of_socket(const struct file_look *l, int fd, struct peer *out);

/*
 * Restore, PHASE_SHARED: the thread to make the call in, with the descriptors and the directory of
 * the root process. proxy_done() after it; proxies_end() when all files are made. 0 or -errno with
 * a text.
 */
int proxy_for(struct ckpt *c, const struct peer *who, const struct ckpt_thread **out);
int proxy_done(struct ckpt *c, const struct ckpt_thread *t);
int proxies_end(struct ckpt *c);

#endif
