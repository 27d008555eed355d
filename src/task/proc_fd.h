/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of another process: /proc/PID/fd and /proc/PID/fdinfo. The rules of task/proc.h. */
#ifndef TASK_PROC_FD_H
#define TASK_PROC_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <time.h>

struct arena;

enum proc_fd_kind {
	PROC_FD_FILE, /* a path: file, directory, device, fifo; stat(2) of the link tells which */
	PROC_FD_PIPE,
	PROC_FD_SOCKET,
	PROC_FD_EVENT,
	PROC_FD_EPOLL,
	PROC_FD_TIMER,
	PROC_FD_SIGNAL,
	PROC_FD_INOTIFY,
	PROC_FD_FANOTIFY,
	PROC_FD_PID,
	PROC_FD_MEMFD,
	PROC_FD_URING,
	PROC_FD_USERFAULT,
	PROC_FD_BPF,
	PROC_FD_PERF,
	PROC_FD_SECCOMP,
	PROC_FD_LANDLOCK,
	PROC_FD_NAMESPACE,
	PROC_FD_MOUNT, /* fscontext, mount object: the new mount interface */
	PROC_FD_OTHER, /* an anonymous inode this table has not */
};

/* By the text of the link /proc/PID/fd/N. *out_inode (may be NULL) is what stands in "pipe:[N]" and
 * the like, 0 for others. */
enum proc_fd_kind proc_fd_kind(const char *link, uint64_t *out_inode);

/* "eventfd" ..., for messages. */
const char *proc_fd_kind_name(enum proc_fd_kind kind);

struct proc_epoll {
	int32_t fd; /* its number when it was added: closed and reused since, perhaps */
	uint32_t events;
	uint64_t data;
	int64_t pos;
	uint64_t inode;
	uint32_t dev; /* as the kernel's own dev_t: 20 bits of minor */
};

#define PROC_HANDLE_MAX 128
struct proc_inotify {
	int32_t wd;
	uint32_t mask, dev;
	uint64_t inode;
	uint32_t handle_type, handle_len; /* struct file_handle of name_to_handle_at(2) */
	uint8_t handle[PROC_HANDLE_MAX];
};

enum proc_lock_kind { PROC_LOCK_POSIX, PROC_LOCK_FLOCK, PROC_LOCK_OFD, PROC_LOCK_LEASE };
struct proc_lock {
	enum proc_lock_kind kind;
	bool write;
	pid_t pid; /* of the owner; -1 for OFD */
	uint32_t major, minor;
	uint64_t inode;
	uint64_t start, end; /* end: the last byte; INT64_MAX for the end of the file */
};

struct proc_fdinfo {
	int64_t pos;
	uint32_t flags; /* O_*, O_CLOEXEC included */
	int32_t mount;
	uint64_t inode; /* 0 on kernels before 5.14 */

	/* eventfd */
	uint64_t count;
	bool semaphore, semaphore_told; /* since Linux 6.5 */
	/* signalfd */
	uint64_t sigmask;
	/* timerfd */
	int32_t clock;
	uint32_t settime_flags;
	uint64_t ticks;
	struct itimerspec timer;
	/* pidfd: in the reader's namespace and the innermost; -1 it has ended, 0 not to be seen */
	pid_t pid, ns_pid;
	/* epoll, inotify, locks of any file */
	struct proc_epoll *epolls;
	struct proc_inotify *watches;
	struct proc_lock *locks;
	size_t n_epolls, n_watches, n_locks;
};

int proc_fdinfo(struct arena *a, pid_t pid, int fd, struct proc_fdinfo *out);
int proc_fdinfo_parse(struct arena *a, const char *text, struct proc_fdinfo *out);

#endif
