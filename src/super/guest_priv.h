/* SPDX-License-Identifier: Apache-2.0 */
/* Within guest*.c: what a thread is to a file system. */
#ifndef SUPER_GUEST_PRIV_H
#define SUPER_GUEST_PRIV_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "super/guest.h"

#define GUEST_STATUS_MAX \
	(32 * 1024) /* the text of GUEST_GROUPS_MAX groups and what else there is */

enum guest_whose { GUEST_FILE_SYSTEM, GUEST_REAL };

struct guest_cred {
	uid_t uid;
	gid_t gid;
	mode_t umask;
	bool nested;
	uint64_t caps;
	size_t n_groups;
	gid_t groups[GUEST_GROUPS_MAX];
};

/* The thread's, as its status says, or as is known since the last time that it was asked. Its
 * capabilities are all that it has in effect, and none in a user namespace that isn't `user` (the
 * text of the link ns/user). */
int guest_read(struct notif *n, enum guest_whose whose, const char *user, struct guest_cred *out);

/* Its numbers in the procfs on a device, if they were asked for before; and that they are these. */
bool guest_recall_ids(const struct notif *n, uint64_t dev, pid_t out[2]);
void guest_hold_ids(const struct notif *n, uint64_t dev, const pid_t ids[2]);

/* Of a directory of /proc/PID, or one in that, which the kernel lets this process look into: is PID
 * this process, which always may, or (confined) one beside the container? The kernel would ask for
 * the thread's rules, which are not known here. */
bool guest_is_beyond(const struct notif *n, int dir, bool confined);

/* The text of an open status (fd is taken over, and may be -errno), with an end. -EOVERFLOW where
 * it is longer. */
int guest_read_status(int fd, char text[GUEST_STATUS_MAX]);

/* The numbers of a line of it. */
size_t guest_values(const char *text, const char *key, int base, uint64_t *out, size_t max);

#endif
