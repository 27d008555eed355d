/* SPDX-License-Identifier: Apache-2.0 */
#include <stddef.h>
#include <sys/syscall.h>

#include "old_calls.h"
#include "super/cow_name.h"
#include "super/handler.h"

const struct super_handler cow_name_handlers[] = {
	{ GUARD_ALL("mkdir"), OLD_MKDIR, cow_on_name },
	{ GUARD_ALL("mkdirat"), SYS_mkdirat, cow_on_name },
	{ GUARD_ALL("rmdir"), OLD_RMDIR, cow_on_name },
	{ GUARD_ALL("unlink"), OLD_UNLINK, cow_on_name },
	{ GUARD_ALL("unlinkat"), SYS_unlinkat, cow_on_name },
	{ GUARD_ALL("symlink"), OLD_SYMLINK, cow_on_name },
	{ GUARD_ALL("symlinkat"), SYS_symlinkat, cow_on_name },
	{ GUARD_ALL("mknod"), OLD_MKNOD, cow_on_name },
	{ GUARD_ALL("mknodat"), SYS_mknodat, cow_on_name },
	{ GUARD_ALL("rename"), OLD_RENAME, cow_on_rename },
	{ GUARD_ALL("renameat"), SYS_renameat, cow_on_rename },
	{ GUARD_ALL("renameat2"), SYS_renameat2, cow_on_rename },
	{ GUARD_ALL("link"), OLD_LINK, cow_on_link },
	{ GUARD_ALL("linkat"), SYS_linkat, cow_on_link },
	{ GUARD_ALL("chdir"), SYS_chdir, cow_on_chdir },
	{ GUARD_UNMADE("chroot", 1), SYS_chroot, cow_on_chroot },
	{ GUARD_ALL("execve"), SYS_execve, cow_on_exec },
	{ GUARD_UNMADE("execveat", 4), SYS_execveat, cow_on_exec },
	{ GUARD_ALL("mount"), SYS_mount, cow_on_mount },
	{ GUARD_ALL("umount2"), SYS_umount2, cow_on_mount },
	{ GUARD_ALL("pivot_root"), SYS_pivot_root, cow_on_mount },
	{ GUARD_ALL("open_tree"), SYS_open_tree, cow_on_mount },
	{ GUARD_ALL("move_mount"), SYS_move_mount, cow_on_mount },
	{ GUARD_ALL("mount_setattr"), SYS_mount_setattr, cow_on_mount },
};

const size_t n_cow_name_handlers = sizeof(cow_name_handlers) / sizeof(cow_name_handlers[0]);
