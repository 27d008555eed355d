/* SPDX-License-Identifier: Apache-2.0 */
/* user_namespaces(7): what is read of uid_map is told in numbers of the reader's own namespace. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/guest.h"

#define MAP_MAX (340 * 36) /* lines, and the length of one */
#define NO_ID ((uint32_t)-1)
#define OVERFLOW 65534 /* /proc/sys/kernel/overflowuid as it is from the start */

enum way { SHOW, HIDE };

/* The id's number on the other side, or NO_ID. */
static uint32_t lookup(const struct notif *n, const char *map, enum way way, uint32_t id)
{
	auto_fd fd = notif_proc_open(n, map, O_RDONLY);
	char text[MAP_MAX], *at = text;
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	text[len < 0 ? 0 : len] = '\0';
	while (*at) {
		char *end;
		uint64_t inside = strtoull(at, &end, 10), outside = strtoull(end, &end, 10),
			 count = strtoull(end, &end, 10);
		uint64_t from = way == SHOW ? outside : inside, to = way == SHOW ? inside : outside;

		if (end == at)
			break;
		if (outside != NO_ID && id >= from && id - from < count)
			return (uint32_t)(to + (id - from));
		for (at = end; *at == '\n' || *at == ' ';)
			at++;
	}
	return NO_ID;
}

void guest_show_ids(const struct notif *n, uid_t *uid, gid_t *gid)
{
	if (!guest_is_nested())
		return;
	*uid = lookup(n, "uid_map", SHOW, *uid);
	*gid = lookup(n, "gid_map", SHOW, *gid);
	*uid = *uid == NO_ID ? OVERFLOW : *uid;
	*gid = *gid == NO_ID ? OVERFLOW : *gid;
}

int guest_hide_ids(const struct notif *n, uid_t *uid, gid_t *gid)
{
	uid_t u = *uid;
	gid_t g = *gid;

	if (!guest_is_nested())
		return 0;
	if (u != NO_ID) {
		u = lookup(n, "uid_map", HIDE, u);
		if (u == NO_ID)
			return -EINVAL;
	}
	if (g != NO_ID) {
		g = lookup(n, "gid_map", HIDE, g);
		if (g == NO_ID)
			return -EINVAL;
	}
	*uid = u;
	*gid = g;
	return 0;
}
