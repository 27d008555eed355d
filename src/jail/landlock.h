/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock rights by kernel ABI and the ruleset builder. landlock(7),
 * Documentation/userspace-api/landlock.rst */
#ifndef JAIL_LANDLOCK_H
#define JAIL_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum landlock_mode { LANDLOCK_AUTO, LANDLOCK_ENFORCE, LANDLOCK_OFF };

struct landlock_extra {
	const char *path; /* in the container */
	uint64_t rights;  /* LANDLOCK_ACCESS_FS_* */
};

struct landlock_plan {
	enum landlock_mode mode;
	bool has_bind, has_connect; /* an empty list denies every TCP port */
	const uint16_t *bind, *connect;
	size_t n_bind, n_connect;
	uint64_t scope; /* LANDLOCK_SCOPE_* asked for by annotation */
	const struct landlock_extra *extra;
	size_t n_extra;
};

/* The kernel's Landlock ABI, 0 where there is none. Asked once. */
int landlock_abi(void);

/* Every file system right, network right and scope of that ABI. */
uint64_t landlock_fs_rights(int abi);
uint64_t landlock_net_rights(int abi);
uint64_t landlock_scopes(int abi);

/* Rights by name ("read_file", "make_dir", ...): 0 if unknown. */
uint64_t landlock_right(const char *name);

/* A ruleset that handles all these. Returns its fd or -errno with a text. */
int landlock_open(uint64_t fs, uint64_t net, uint64_t scope);

/* Grants rights beneath what fd stands for; rights that make no sense for a file are left out
 * there. */
int landlock_allow_fd(int ruleset, int fd, uint64_t rights);
int landlock_allow_port(int ruleset, uint16_t port, uint64_t rights);

/* Restricts the calling thread for good. Between clone and exec. */
int landlock_enter(int ruleset);

#endif
