/* SPDX-License-Identifier: Apache-2.0 */
/* The messages of sendmmsg(2) and recvmmsg(2): an array of struct mmsghdr of the guest's. */
#ifndef SUPER_MMSG_H
#define SUPER_MMSG_H

#include <limits.h>
#include <stdint.h>

struct notif;

#define MMSG_MAX IOV_MAX /* the kernel looks at no more */

/* Where message i is, of the array at `at`. */
uint64_t mmsg_at(uint64_t at, uint64_t i);

/* What was sent of it, or received: 0 or -EFAULT. */
int mmsg_put_len(const struct notif *n, uint64_t message, uint32_t len);

/* The least room that one of them has for a name; -1 where none asks for it. */
int64_t mmsg_least_room(const struct notif *n, uint64_t at, uint64_t messages);

#endif
