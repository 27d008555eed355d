/* SPDX-License-Identifier: Apache-2.0 */
/* System calls that Debian 12's libc lacks or wraps with too much; numbers and structures from
 * linux/. */
#ifndef BASE_SYS_H
#define BASE_SYS_H

#include <fcntl.h>
#include <linux/close_range.h>
#include <linux/landlock.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef OPEN_TREE_CLONE
#define OPEN_TREE_CLONE 1
#endif
#ifndef OPEN_TREE_CLOEXEC
#define OPEN_TREE_CLOEXEC O_CLOEXEC
#endif

/* Calls since 424 have one number everywhere (include/uapi/asm-generic/unistd.h). */
#ifndef SYS_futex_waitv
#define SYS_futex_waitv 449
#endif
#ifndef SYS_futex_wait
#define SYS_futex_wait 455
#endif
#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif
#ifndef SYS_setxattrat
#define SYS_setxattrat 463
#define SYS_getxattrat 464
#define SYS_listxattrat 465
#define SYS_removexattrat 466
#endif
#ifndef SYS_open_tree_attr
#define SYS_open_tree_attr 467
#endif
#ifndef SYS_file_setattr
#define SYS_file_getattr 468
#define SYS_file_setattr 469
#endif

static inline long sys_openat2(int dir, const char *path, const struct open_how *how)
{
	return syscall(SYS_openat2, dir, path, how, sizeof(*how));
}

static inline long sys_faccessat2(int dir, const char *path, int mode, int flags)
{
	return syscall(SYS_faccessat2, dir, path, mode, flags);
}

static inline long sys_fchmodat2(int dir, const char *path, mode_t mode, int flags)
{
	return syscall(SYS_fchmodat2, dir, path, mode, flags);
}

static inline long sys_close_range(unsigned first, unsigned last, unsigned flags)
{
	return syscall(SYS_close_range, first, last, flags);
}

static inline long sys_clone3(struct clone_args *args)
{
	return syscall(SYS_clone3, args, sizeof(*args));
}

static inline long sys_open_tree(int dir, const char *path, unsigned flags)
{
	return syscall(SYS_open_tree, dir, path, flags);
}

static inline long sys_move_mount(int from, const char *from_path, int to, const char *to_path,
				  unsigned flags)
{
	return syscall(SYS_move_mount, from, from_path, to, to_path, flags);
}

static inline long sys_fsopen(const char *fstype, unsigned flags)
{
	return syscall(SYS_fsopen, fstype, flags);
}

static inline long sys_fsconfig(int fs, unsigned cmd, const char *key, const void *value, int aux)
{
	return syscall(SYS_fsconfig, fs, cmd, key, value, aux);
}

static inline long sys_fsmount(int fs, unsigned flags, unsigned attrs)
{
	return syscall(SYS_fsmount, fs, flags, attrs);
}

static inline long sys_mount_setattr(int dir, const char *path, unsigned flags,
				     struct mount_attr *attr)
{
	return syscall(SYS_mount_setattr, dir, path, flags, attr, sizeof(*attr));
}

static inline long sys_pivot_root(const char *new_root, const char *put_old)
{
	return syscall(SYS_pivot_root, new_root, put_old);
}

#define PIDFD_OF_THREAD O_EXCL /* PIDFD_THREAD of linux/pidfd.h, since Linux 6.9 */

static inline long sys_pidfd_open(pid_t pid, unsigned flags)
{
	return syscall(SYS_pidfd_open, pid, flags);
}

static inline long sys_pidfd_getfd(int pidfd, int fd, unsigned flags)
{
	return syscall(SYS_pidfd_getfd, pidfd, fd, flags);
}

static inline long sys_pidfd_send_signal(int pidfd, int sig, siginfo_t *info, unsigned flags)
{
	return syscall(SYS_pidfd_send_signal, pidfd, sig, info, flags);
}

static inline long sys_landlock_create_ruleset(const void *attr, size_t size, uint32_t flags)
{
	return syscall(SYS_landlock_create_ruleset, attr, size, flags);
}

static inline long sys_landlock_add_rule(int ruleset, int type, const void *attr, uint32_t flags)
{
	return syscall(SYS_landlock_add_rule, ruleset, type, attr, flags);
}

static inline long sys_landlock_restrict_self(int ruleset, uint32_t flags)
{
	return syscall(SYS_landlock_restrict_self, ruleset, flags);
}

static inline long sys_seccomp(unsigned op, unsigned flags, void *arg)
{
	return syscall(SYS_seccomp, op, flags, arg);
}

static inline long sys_execveat(int dir, const char *path, char *const argv[], char *const envp[],
				int flags)
{
	return syscall(SYS_execveat, dir, path, argv, envp, flags);
}

/* struct sched_attr (linux/sched/types.h), which clashes with sched.h */
struct sys_sched_attr {
	uint32_t size;
	uint32_t sched_policy;
	uint64_t sched_flags;
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime;
	uint64_t sched_deadline;
	uint64_t sched_period;
	uint32_t sched_util_min, sched_util_max;
};

static inline long sys_sched_setattr(pid_t pid, const struct sys_sched_attr *attr)
{
	return syscall(SYS_sched_setattr, pid, attr, 0);
}

static inline long sys_ioprio_set(int which, int who, int prio)
{
	return syscall(SYS_ioprio_set, which, who, prio);
}

static inline long sys_bpf(int cmd, void *attr, unsigned size)
{
	return syscall(SYS_bpf, cmd, attr, size);
}

static inline long sys_keyctl(int op, unsigned long a, unsigned long b, unsigned long c,
			      unsigned long d)
{
	return syscall(SYS_keyctl, op, a, b, c, d);
}

#endif
