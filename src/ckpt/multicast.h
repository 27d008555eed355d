/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Groups that a socket has joined: ip(7), IP_ADD_MEMBERSHIP. The kernel lists the groups of each
 * interface (/proc/PID/net/igmp, igmp6), and tells a socket that has joined one how (MCAST_MSFILTER
 * of RFC 3678).
 */
#ifndef CKPT_MULTICAST_H
#define CKPT_MULTICAST_H

#include <stddef.h>
#include <stdint.h>

#include "ckpt/kind.h"

struct membership {
	uint32_t interface; /* its number */
	const void *group;  /* struct in_addr or in6_addr */
	size_t group_len;
	uint32_t mode;       /* MCAST_INCLUDE, MCAST_EXCLUDE */
	const void *sources; /* addresses, as many as fit */
	size_t sources_len;
};

struct memberships {
	struct membership *v;
	size_t n;
};

extern const struct record_table memberships_table;

/* Dump: of a socket, by our copy of its descriptor. 0 or -errno with a text. */
int multicast_save(struct ckpt *c, int fd, struct memberships *out);

/* Restore: joins them again. 0 or -errno with a text. */
int multicast_join(int fd, const struct memberships *m);

#endif
