/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <sys/syscall.h>

#include "base/sys.h"
#include "old_calls.h"
#include "super/cow_lead.h"
#include "super/cow_name.h"
#include "super/handler.h"

const struct super_handler cow_name_handlers[] = {
	{ GUARD_UNMADE("mkdir", COW_MARK), OLD_MKDIR, cow_on_name },
	{ GUARD_UNMADE("mkdirat", COW_MARK), SYS_mkdirat, cow_on_name },
	{ GUARD_UNMADE("rmdir", COW_MARK), OLD_RMDIR, cow_on_name },
	{ GUARD_UNMADE("unlink", COW_MARK), OLD_UNLINK, cow_on_name },
	{ GUARD_UNMADE("unlinkat", COW_MARK), SYS_unlinkat, cow_on_name },
	{ GUARD_UNMADE("symlink", COW_MARK), OLD_SYMLINK, cow_on_name },
	{ GUARD_UNMADE("symlinkat", COW_MARK), SYS_symlinkat, cow_on_name },
	{ GUARD_UNMADE("mknod", COW_MARK), OLD_MKNOD, cow_on_name },
	{ GUARD_UNMADE("mknodat", COW_MARK), SYS_mknodat, cow_on_name },
	{ GUARD_UNMADE("rename", COW_MARK), OLD_RENAME, cow_on_rename },
	{ GUARD_UNMADE("renameat", COW_MARK), SYS_renameat, cow_on_rename },
	{ GUARD_UNMADE("renameat2", COW_MARK), SYS_renameat2, cow_on_rename },
	{ GUARD_UNMADE("link", COW_MARK), OLD_LINK, cow_on_link },
	{ GUARD_UNMADE("linkat", COW_MARK), SYS_linkat, cow_on_link },
	{ GUARD_UNMADE("chdir", COW_MARK), SYS_chdir, cow_on_chdir },
	{ GUARD_UNMADE("chroot", COW_MARK), SYS_chroot, cow_on_chroot },
	{ GUARD_ALL("execve"), SYS_execve, cow_on_exec },
	{ GUARD_UNMADE("execveat", 4), SYS_execveat, cow_on_exec },
	{ GUARD_ALL("bind"), SYS_bind, cow_on_bind },
	{ GUARD_UNMADE("connect", 2), SYS_connect, cow_on_connect },
	{ GUARD_SET("sendto", 4), SYS_sendto, cow_on_sendto },
	{ GUARD_UNMADE("sendmsg", 2), SYS_sendmsg, cow_on_sendmsg },
	{ GUARD_ALL("getsockname"), SYS_getsockname, cow_on_getsockname },
	{ GUARD_ALL("getpeername"), SYS_getpeername, cow_on_getpeername },
	{ GUARD_UNMADE_SET("accept", 1, 0), SYS_accept, cow_on_accept },
	{ GUARD_UNMADE_SET("accept4", 1, 3), SYS_accept4, cow_on_accept4 },
	{ GUARD_UNMADE_SET("recvfrom", 4, 3), SYS_recvfrom, cow_on_recvfrom },
	{ GUARD_UNMADE("recvmsg", 2), SYS_recvmsg, cow_on_recvmsg },
	{ GUARD_UNMADE("recvmmsg", 3), SYS_recvmmsg, cow_on_recvmmsg },
	{ GUARD_ALL("mount"), SYS_mount, cow_on_mount },
	{ GUARD_ALL("umount2"), SYS_umount2, cow_on_mount },
	{ GUARD_ALL("pivot_root"), SYS_pivot_root, cow_on_mount },
	{ GUARD_ALL("open_tree"), SYS_open_tree, cow_on_mount },
	{ GUARD_NEW("open_tree_attr", SYS_open_tree_attr), SYS_open_tree_attr, cow_on_mount },
	{ GUARD_ALL("move_mount"), SYS_move_mount, cow_on_mount },
	{ GUARD_ALL("mount_setattr"), SYS_mount_setattr, cow_on_mount },
};

const size_t n_cow_name_handlers = sizeof(cow_name_handlers) / sizeof(cow_name_handlers[0]);
