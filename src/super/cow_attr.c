/* SPDX-License-Identifier: Apache-2.0 */
/* chmod(2), chown(2), utimensat(2) and what was before it, truncate(2), the attributes of ioctl(2):
 * what changes a file but for its contents. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/fs.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>
#include <utime.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/clock.h"
#include "super/cow_call.h"
#include "super/guest.h"
#include "task/proc.h"

#define MODE_MASK 07777

static int set_mode(int fd, mode_t mode)
{
	char path[32];

	if (sys_fchmodat2(fd, "", mode, AT_EMPTY_PATH) == 0)
		return 0;
	if (errno != ENOSYS)
		return -errno;
	/* before 6.6 */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return chmod(path, mode) < 0 ? -errno : 0;
}

/* Before anything is copied. */
static int check_owner(struct cow_call *call, int cap)
{
	struct stat st;

	if (fstat(call->fd, &st) < 0)
		return -errno;
	return call->in && !guest_may_own(&st, cap) ? -EPERM : 0;
}

int64_t cow_chmod(struct cow_call *call)
{
	struct stat st;
	int ret;

	/* a link has no mode of its own */
	if (fstat(call->fd, &st) == 0 && S_ISLNK(st.st_mode))
		return -EOPNOTSUPP;
	ret = check_owner(call, CAP_FOWNER);
	if (!ret)
		ret = cow_change(call);
	return ret ? ret : set_mode(call->fd, (mode_t)call->rest[0] & MODE_MASK);
}

int64_t cow_chown(struct cow_call *call)
{
	uid_t uid = (uid_t)call->rest[0];
	gid_t gid = (gid_t)call->rest[1];
	int ret = guest_hide_ids(call->n, &uid, &gid);

	/* who changes nothing may */
	if (!ret && (uid != (uid_t)-1 || gid != (gid_t)-1))
		ret = check_owner(call, CAP_CHOWN);
	if (!ret)
		ret = cow_change(call);
	if (ret)
		return ret;
	ret = fchownat(call->fd, "", uid, gid, AT_EMPTY_PATH);
	return ret < 0 ? -errno : 0;
}

/* NULL is now, which more may set than any other time. */
static int set_times(struct cow_call *call, struct timespec *times)
{
	bool now = !times || (times[0].tv_nsec == UTIME_NOW && times[1].tv_nsec == UTIME_NOW);
	int ret = check_owner(call, CAP_FOWNER);

	if (ret == -EPERM && now)
		ret = layer_may(call->fd, W_OK);
	if (!ret)
		ret = cow_change(call);
	if (ret)
		return ret;
	if (times && call->c->clock)
		clock_hide_times(call->c->clock, times);
	ret = utimensat(call->fd, "", times, AT_EMPTY_PATH);
	return ret < 0 ? -errno : 0;
}

int64_t cow_utime(struct cow_call *call)
{
	struct utimbuf given;
	struct timespec times[2];
	int ret;

	if (!call->rest[0])
		return set_times(call, NULL);
	ret = notif_read(call->n, call->rest[0], &given, sizeof(given));
	if (ret)
		return ret;
	times[0] = (struct timespec){ .tv_sec = given.actime };
	times[1] = (struct timespec){ .tv_sec = given.modtime };
	return set_times(call, times);
}

int64_t cow_utimes(struct cow_call *call)
{
	struct timeval given[2];
	struct timespec times[2];
	int ret;

	if (!call->rest[0])
		return set_times(call, NULL);
	ret = notif_read(call->n, call->rest[0], given, sizeof(given));
	if (ret)
		return ret;
	for (size_t i = 0; i < 2; i++) {
		/* what is no part of a second could be UTIME_NOW */
		if (given[i].tv_usec < 0 || given[i].tv_usec >= 1000000)
			return -EINVAL;
		times[i].tv_sec = given[i].tv_sec;
		times[i].tv_nsec = given[i].tv_usec * 1000;
	}
	return set_times(call, times);
}

int64_t cow_utimens(struct cow_call *call)
{
	struct timespec times[2];
	int ret;

	/* a descriptor alone has no flags */
	if (!call->named && call->at)
		return -EINVAL;
	if (!call->rest[0])
		return set_times(call, NULL);
	ret = notif_read(call->n, call->rest[0], times, sizeof(times));
	if (ret)
		return ret;
	return set_times(call, times);
}

void cow_on_utimensat(struct super_state *s, struct notif *n)
{
	struct timespec times[2];

	/* the kernel doesn't even look at the path */
	if (n->args[2] && notif_read(n, n->args[2], times, sizeof(times)) == 0 &&
	    times[0].tv_nsec == UTIME_OMIT && times[1].tv_nsec == UTIME_OMIT)
		notif_answer(n, 0);
	else
		cow_on_call(s, n);
}

/* Growth beyond a quota: -ENOSPC. */
static int reserve(struct cow_call *call, off_t len)
{
	struct layer *l = &call->in->layer;
	struct stat st;

	if (!l->quota || fstat(call->fd, &st) < 0)
		return 0;
	if (len < st.st_size)
		layer_shrunk(l);
	return len <= st.st_size || layer_reserve(l, (uint64_t)(len - st.st_size)) ? 0 : -ENOSPC;
}

/* inode_newsize_ok() of fs/attr.c, by the limit of the thread; that of this process is another. */
static int check_limit(const struct cow_call *call, off_t len)
{
	struct rlimit limits[RLIM_NLIMITS];
	struct notif_status status;

	if (len <= call->p.found.st.st_size || proc_limits(call->n->tid, limits) ||
	    (rlim_t)len <= limits[RLIMIT_FSIZE].rlim_cur)
		return 0;
	if (notif_status(call->n, &status) == 0)
		syscall(SYS_tgkill, status.pid, call->n->tid, SIGXFSZ);
	return -EFBIG;
}

/* What came up empty is to have the time of this change; a file system in memory sees none in it. */
static int show_change(const struct cow_call *call, const char *path)
{
	struct stat st;

	if (!call->p.found.st.st_size || fstat(call->fd, &st) < 0 || st.st_size)
		return 0;
	return truncate(path, 1) < 0 ? -errno : 0;
}

int64_t cow_truncate(struct cow_call *call)
{
	off_t len = (off_t)call->rest[0];
	char path[32];
	int ret;

	if (len < 0)
		return -EINVAL;
	if (S_ISDIR(call->p.found.st.st_mode))
		return -EISDIR;
	if (!S_ISREG(call->p.found.st.st_mode))
		return -EINVAL;
	ret = layer_may(call->fd, W_OK);
	if (!ret)
		ret = check_limit(call, len);
	if (!ret)
		ret = len ? cow_change(call) : cow_change_empty(call);
	if (!ret)
		ret = reserve(call, len);
	if (ret)
		return ret;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", call->fd);
	ret = len ? 0 : show_change(call, path);
	if (ret)
		return ret;
	return truncate(path, len) < 0 ? -errno : 0;
}

/* Those of them whose argument is no more than what it points to; the others (verity) are none that
 * a file system must have. */
static const struct {
	unsigned request;
	size_t size;
} attributes[] = {
	{ FS_IOC_SETFLAGS, sizeof(int) },
	{ FS_IOC_SETVERSION, sizeof(int) },
	{ FS_IOC_FSSETXATTR, sizeof(struct fsxattr) },
};

/* Flags of the inode (chattr(1)), which an owner may set through a descriptor that only reads. */
int64_t cow_ioctl(struct cow_call *call)
{
	char data[sizeof(struct fsxattr)];
	auto_fd fd = -1;
	struct stat st;
	size_t i = 0;
	int ret;

	/* to a driver the number may mean anything, and may be asked of who makes the call */
	if (fstat(call->fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return -ENOTTY;
	while (i < sizeof(attributes) / sizeof(attributes[0]) &&
	       attributes[i].request != (unsigned)call->rest[0])
		i++;
	if (i == sizeof(attributes) / sizeof(attributes[0]))
		return -EOPNOTSUPP;
	ret = notif_read(call->n, call->rest[1], data, attributes[i].size);
	if (ret)
		return ret;
	if (call->in && call->side == LAYER_LOWER) {
		ret = cow_change(call);
		if (ret)
			return ret;
		fd = fd_reopen(call->fd, O_RDONLY | O_NONBLOCK);
	}
	ret = ioctl(fd >= 0 ? fd : call->fd, attributes[i].request, data);
	return ret < 0 ? -errno : ret;
}
