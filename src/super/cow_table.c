/* SPDX-License-Identifier: Apache-2.0 */
/* Which calls are answered here, and where each has what it is about. */
#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "old_calls.h"
#include "super/cow_call.h"
#include "super/cow_lead.h"
#include "super/handler.h"

#ifndef FS_IOC_ENABLE_VERITY
#define FS_IOC_ENABLE_VERITY _IOW('f', 133, char[128])
#endif

#define NO (-1)
#define LINK AT_SYMLINK_NOFOLLOW
#define AT (AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH)
#define LOOK (AT | AT_NO_AUTOMOUNT)
#define STATX (LOOK | AT_STATX_SYNC_TYPE)
#define ACCESS (AT | AT_EACCESS)

/* Since 424 a call's number is the same everywhere, and libseccomp may be older than the call. */
#define FIRST_COMMON 424
#define IF_COMMON(nr) ((nr) >= FIRST_COMMON ? (nr) : 0)

/* X(name, number, places of the directory, the path, the flags, and of what is behind them, scope,
 * flags that are implied, flags that are allowed, act) */
#define CALLS(X)                                                                                   \
	X(stat, OLD_STAT, NO, 0, NO, 1, COW_REACH, 0, 0, cow_stat)                                 \
	X(lstat, OLD_LSTAT, NO, 0, NO, 1, COW_REACH, LINK, 0, cow_stat)                            \
	X(newfstatat, SYS_newfstatat, 0, 1, 3, 2, COW_LOOK | COW_REACH, 0, LOOK, cow_stat)         \
	X(fstat, SYS_fstat, 0, NO, NO, 1, COW_LOOK, 0, 0, cow_stat)                                \
	X(statx, SYS_statx, 0, 1, 2, 3, COW_LOOK | COW_REACH, 0, STATX, cow_statx)                 \
	X(statfs, SYS_statfs, NO, 0, NO, 1, COW_REACH, 0, 0, cow_statfs)                           \
	X(fstatfs, SYS_fstatfs, 0, NO, NO, 1, COW_REACH, 0, 0, cow_statfs)                         \
	X(access, OLD_ACCESS, NO, 0, NO, 1, COW_REAL | COW_REACH, 0, 0, cow_access)                \
	X(faccessat, SYS_faccessat, 0, 1, NO, 2, COW_REAL | COW_REACH, 0, 0, cow_access)           \
	X(faccessat2, SYS_faccessat2, 0, 1, 3, 2, COW_REAL | COW_REACH, 0, ACCESS, cow_access)     \
	X(readlink, OLD_READLINK, NO, 0, NO, 1, COW_OUTSIDE, LINK, 0, cow_readlink)                \
	X(readlinkat, SYS_readlinkat, 0, 1, NO, 2, COW_OUTSIDE, AT, 0, cow_readlink)               \
	X(inotify_add_watch, SYS_inotify_add_watch, NO, 1, 2, 2, COW_WATCH | COW_REACH, 0, ~0u,    \
	  cow_watch)                                                                               \
	X(name_to_handle_at, SYS_name_to_handle_at, 0, 1, 4, 2, COW_FOLLOW, LINK, ~0u, cow_refuse) \
	X(fanotify_mark, SYS_fanotify_mark, 3, 4, NO, 2, COW_NULL, 0, 0, cow_refuse)               \
	X(chmod, OLD_CHMOD, NO, 0, NO, 1, COW_ALL, 0, 0, cow_chmod)                                \
	X(fchmod, SYS_fchmod, 0, NO, NO, 1, COW_ALL | COW_KERNEL, 0, 0, cow_chmod)                 \
	X(fchmodat, SYS_fchmodat, 0, 1, NO, 2, COW_ALL, 0, 0, cow_chmod)                           \
	X(fchmodat2, SYS_fchmodat2, 0, 1, 3, 2, COW_ALL, 0, AT, cow_chmod)                         \
	X(chown, OLD_CHOWN, NO, 0, NO, 1, COW_ALL, 0, 0, cow_chown)                                \
	X(lchown, OLD_LCHOWN, NO, 0, NO, 1, COW_ALL, LINK, 0, cow_chown)                           \
	X(fchown, SYS_fchown, 0, NO, NO, 1, COW_ALL | COW_KERNEL, 0, 0, cow_chown)                 \
	X(fchownat, SYS_fchownat, 0, 1, 4, 2, COW_ALL, 0, AT, cow_chown)                           \
	X(utime, OLD_UTIME, NO, 0, NO, 1, COW_ALL, 0, 0, cow_utime)                                \
	X(utimes, OLD_UTIMES, NO, 0, NO, 1, COW_ALL, 0, 0, cow_utimes)                             \
	X(futimesat, OLD_FUTIMESAT, 0, 1, NO, 2, COW_ALL | COW_NULL, 0, 0, cow_utimes)             \
	X(utimensat, SYS_utimensat, 0, 1, 3, 2, COW_ALL | COW_NULL | COW_KERNEL, 0, AT,            \
	  cow_utimens)                                                                             \
	X(truncate, SYS_truncate, NO, 0, NO, 1, 0, 0, 0, cow_truncate)                             \
	X(setxattr, SYS_setxattr, NO, 0, NO, 1, COW_ALL, 0, 0, cow_setxattr)                       \
	X(lsetxattr, SYS_lsetxattr, NO, 0, NO, 1, COW_ALL, LINK, 0, cow_setxattr)                  \
	X(fsetxattr, SYS_fsetxattr, 0, NO, NO, 1, COW_ALL, 0, 0, cow_setxattr)                     \
	X(setxattrat, SYS_setxattrat, 0, 1, 2, 3, COW_ALL, 0, AT, cow_setxattrat)                  \
	X(getxattr, SYS_getxattr, NO, 0, NO, 1, COW_REACH, 0, 0, cow_getxattr)                     \
	X(lgetxattr, SYS_lgetxattr, NO, 0, NO, 1, COW_REACH, LINK, 0, cow_getxattr)                \
	X(fgetxattr, SYS_fgetxattr, 0, NO, NO, 1, COW_REACH, 0, 0, cow_getxattr)                   \
	X(getxattrat, SYS_getxattrat, 0, 1, 2, 3, COW_REACH, 0, AT, cow_getxattrat)                \
	X(listxattr, SYS_listxattr, NO, 0, NO, 1, COW_REACH, 0, 0, cow_listxattr)                  \
	X(llistxattr, SYS_llistxattr, NO, 0, NO, 1, COW_REACH, LINK, 0, cow_listxattr)             \
	X(flistxattr, SYS_flistxattr, 0, NO, NO, 1, COW_REACH, 0, 0, cow_listxattr)                \
	X(listxattrat, SYS_listxattrat, 0, 1, 2, 3, COW_REACH, 0, AT, cow_listxattr)               \
	X(removexattr, SYS_removexattr, NO, 0, NO, 1, COW_ALL, 0, 0, cow_removexattr)              \
	X(lremovexattr, SYS_lremovexattr, NO, 0, NO, 1, COW_ALL, LINK, 0, cow_removexattr)         \
	X(fremovexattr, SYS_fremovexattr, 0, NO, NO, 1, COW_ALL, 0, 0, cow_removexattr)            \
	X(removexattrat, SYS_removexattrat, 0, 1, 2, 3, COW_ALL, 0, AT, cow_removexattr)

#define FORM(call, nr, dirfd, path, flags, rest, scope, implied, allowed, act) \
	{ nr, dirfd, path, flags, rest, scope, implied, allowed, act },
#define OWN(call, nr_of, by)                                                             \
	{                                                                                \
		{ .name = #call, .argument = -1, .number = IF_COMMON(nr_of) }, nr_of, by \
	}
/* Of a call that cow_lead() may have made again. What is made here outside of the map, too, is
 * never made by who says so himself. */
#define LED(call, nr_of, by, mark)                                                             \
	{                                                                                      \
		{ .name = #call, .argument = -1, .number = IF_COMMON(nr_of), .pass = (mark) }, \
			nr_of, by                                                              \
	}
#define HANDLER(call, nr_of, dirfd, path, flags, rest, scope, ...) \
	LED(call, nr_of, cow_on_call, (scope)&COW_ALL ? 0 : COW_MARK + 1),

/* Through another architecture of this machine the same has another name: bpf/guard.h. */
#define BESIDE(call) OWN(call, -1, cow_on_missing)

/* clang-format off */
const struct cow_form cow_forms[] = {
	CALLS(FORM)
	/* an argument that says what it is about is none that is behind */
	FORM(ioctl, SYS_ioctl, 0, NO, NO, 1, COW_ALL, 0, 0, cow_ioctl)
};
/* clang-format on */

const size_t n_cow_forms = sizeof(cow_forms) / sizeof(cow_forms[0]);

/* What an owner may set through a descriptor that only reads. */
static const uint32_t attribute_ioctls[] = { FS_IOC_SETFLAGS,   FS_IOC32_SETFLAGS,
					     FS_IOC_SETVERSION, FS_IOC32_SETVERSION,
					     FS_IOC_FSSETXATTR, FS_IOC_ENABLE_VERITY };

/* clang-format off */
const struct super_handler cow_handlers[] = {
	/* before the row that has all the others as well */
	OWN(utimensat, SYS_utimensat, cow_on_utimensat),
	CALLS(HANDLER)
	{ GUARD_IN("ioctl", 1, attribute_ioctls), SYS_ioctl, cow_on_call },
	LED(open, OLD_OPEN, cow_on_open, COW_MARK + 1),
	LED(creat, OLD_CREAT, cow_on_creat, COW_MARK + 1),
	LED(openat, SYS_openat, cow_on_openat, COW_MARK + 1),
	LED(openat2, SYS_openat2, cow_on_openat2, COW_MARK + 1),
	OWN(getdents, OLD_GETDENTS, cow_on_getdents),
	OWN(getdents64, SYS_getdents64, cow_on_getdents64),
	OWN(getcwd, SYS_getcwd, cow_on_getcwd),
	/* goes past the filter */
	OWN(io_uring_setup, SYS_io_uring_setup, cow_on_missing),
	OWN(file_getattr, SYS_file_getattr, cow_on_missing),
	OWN(file_setattr, SYS_file_setattr, cow_on_missing),
	BESIDE(oldstat), BESIDE(oldlstat), BESIDE(stat64), BESIDE(lstat64), BESIDE(fstatat64),
	BESIDE(statfs64), BESIDE(chown32), BESIDE(lchown32), BESIDE(fchown32),
	BESIDE(truncate64), BESIDE(utimensat_time64), BESIDE(readdir), BESIDE(umount),
	/* who a thread is: guest_read.c */
	BESIDE(setuid32), BESIDE(setgid32), BESIDE(setreuid32), BESIDE(setregid32),
	BESIDE(setresuid32), BESIDE(setresgid32), BESIDE(setfsuid32), BESIDE(setfsgid32),
	BESIDE(setgroups32),
};
/* clang-format on */

const size_t n_cow_handlers = sizeof(cow_handlers) / sizeof(cow_handlers[0]);

/* clang-format off */
const struct super_handler cow_quota_handlers[] = {
	OWN(write, SYS_write, cow_on_growth),
	OWN(pwrite64, SYS_pwrite64, cow_on_growth),
	OWN(writev, SYS_writev, cow_on_growth),
	OWN(pwritev, SYS_pwritev, cow_on_growth),
	OWN(pwritev2, SYS_pwritev2, cow_on_growth),
	OWN(ftruncate, SYS_ftruncate, cow_on_growth),
	OWN(fallocate, SYS_fallocate, cow_on_growth),
	OWN(sendfile, SYS_sendfile, cow_on_growth),
	OWN(copy_file_range, SYS_copy_file_range, cow_on_growth),
	OWN(splice, SYS_splice, cow_on_growth),
	/* writes that nobody asks about */
	OWN(io_setup, SYS_io_setup, cow_on_missing),
	BESIDE(ftruncate64), BESIDE(sendfile64),
};
/* clang-format on */

const size_t n_cow_quota_handlers = sizeof(cow_quota_handlers) / sizeof(cow_quota_handlers[0]);
