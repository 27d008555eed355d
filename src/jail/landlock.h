/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock rights by kernel ABI and the ruleset builder. landlock(7),
 * Documentation/userspace-api/landlock.rst */
#ifndef JAIL_LANDLOCK_H
#define JAIL_LANDLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* linux/landlock.h of the newest kernel; an older header lacks the later ones. */
#define LL_FS(n) (1ull << (n))
#define LL_EXECUTE LL_FS(0)
#define LL_WRITE_FILE LL_FS(1)
#define LL_READ_FILE LL_FS(2)
#define LL_READ_DIR LL_FS(3)
#define LL_REMOVE_DIR LL_FS(4)
#define LL_REMOVE_FILE LL_FS(5)
#define LL_MAKE_CHAR LL_FS(6)
#define LL_MAKE_DIR LL_FS(7)
#define LL_MAKE_REG LL_FS(8)
#define LL_MAKE_SOCK LL_FS(9)
#define LL_MAKE_FIFO LL_FS(10)
#define LL_MAKE_BLOCK LL_FS(11)
#define LL_MAKE_SYM LL_FS(12)
#define LL_REFER LL_FS(13)
#define LL_TRUNCATE LL_FS(14)
#define LL_IOCTL_DEV LL_FS(15)
#define LL_RESOLVE_UNIX LL_FS(16)

#define LL_BIND_TCP (1ull << 0)
#define LL_CONNECT_TCP (1ull << 1)

#define LL_SCOPE_ABSTRACT_UNIX (1ull << 0)
#define LL_SCOPE_SIGNAL (1ull << 1)

/* What makes sense for a path that is no directory. */
#define LL_OF_FILE \
	(LL_EXECUTE | LL_WRITE_FILE | LL_READ_FILE | LL_TRUNCATE | LL_IOCTL_DEV | LL_RESOLVE_UNIX)

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
