/* SPDX-License-Identifier: Apache-2.0 */
#include "super/mmsg.h"

#include <stddef.h>
#include <sys/socket.h>

#include "super/notif.h"

uint64_t mmsg_at(uint64_t at, uint64_t i)
{
	return at + i * sizeof(struct mmsghdr);
}

int mmsg_put_len(const struct notif *n, uint64_t message, uint32_t len)
{
	return notif_write(n, message + offsetof(struct mmsghdr, msg_len), &len, sizeof(len));
}

int64_t mmsg_least_room(const struct notif *n, uint64_t at, uint64_t messages)
{
	struct msghdr m;
	int64_t least = -1;

	for (uint64_t i = 0; i < messages && i < MMSG_MAX; i++) {
		if (notif_read(n, mmsg_at(at, i), &m, sizeof(m)))
			break;
		if (m.msg_name && (least < 0 || m.msg_namelen < least))
			least = m.msg_namelen;
	}
	return least;
}
