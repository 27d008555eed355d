/* SPDX-License-Identifier: Apache-2.0 */
#include "super/notif.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/sys.h"
#include "bpf/filter.h"
#include "super/absent.h"
#include "super/beside.h"
#include "super/guest.h"
#include "super/passed.h"

#ifndef SECCOMP_USER_NOTIF_FLAG_CONTINUE
#define SECCOMP_USER_NOTIF_FLAG_CONTINUE (1UL << 0)
#endif
#ifndef SECCOMP_ADDFD_FLAG_SEND
#define SECCOMP_ADDFD_FLAG_SEND (1UL << 1)
#endif
#ifndef SECCOMP_IOCTL_NOTIF_SET_FLAGS
#define SECCOMP_IOCTL_NOTIF_SET_FLAGS SECCOMP_IOW(4, __u64)
#define SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP (1UL << 0)
#endif
#define PAGE 4096
#define COUNTED 65536  /* descriptors at most that are looked at one by one */
#define FIRST_READ 256 /* most texts are no longer */

/* The kernel's structures may be longer than those it was compiled with: seccomp(2). */
union request {
	struct seccomp_notif n;
	char room[256];
};

union response {
	struct seccomp_notif_resp r;
	char room[256];
};

void notif_threads_init(struct notif_threads *t)
{
	t->killable = filter_flags_supported() & SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV;
	for (size_t i = 0; i < NOTIF_HELD; i++) {
		t->held[i].tid = 0;
		t->held[i].pidfd = -1;
		t->proc[i].tid = 0;
		t->proc[i].dir = -1;
	}
}

void notif_threads_close(struct notif_threads *t)
{
	for (size_t i = 0; i < NOTIF_HELD; i++) {
		fd_close(t->held[i].pidfd);
		fd_close(t->proc[i].dir);
	}
	notif_threads_init(t);
}

int notif_check(void)
{
	struct seccomp_notif_sizes sizes;
	auto_fd self = (int)sys_pidfd_open(getpid(), 0);
	auto_fd copy = self < 0 ? -1 : (int)sys_pidfd_getfd(self, self, 0);
	const int why = errno;

	if (sys_seccomp(SECCOMP_GET_NOTIF_SIZES, 0, &sizes) < 0)
		return fail_errno("a supervisor needs seccomp's user notification");
	if (sizes.seccomp_notif > sizeof(union request) ||
	    sizes.seccomp_notif_resp > sizeof(union response))
		return fail(ENOTSUP, "this kernel's seccomp notifications are too long");
	/* who would be seized can't be found; a filter says so before */
	if (copy < 0 && ptrace(PTRACE_SEIZE, 0, NULL, NULL) < 0 && errno != ESRCH)
		return fail(why, "a supervisor needs pidfd_getfd(2), which this host has not "
				 "(kernel 5.6) or forbids, or in its place ptrace(2), which it "
				 "forbids, too");
	return 0;
}

void notif_prepare(int listener)
{
	uint64_t flags = SECCOMP_USER_NOTIF_FD_SYNC_WAKE_UP;

	/* an older kernel wakes as it always did */
	ioctl(listener, SECCOMP_IOCTL_NOTIF_SET_FLAGS, flags);
}

int notif_receive(int listener, struct notif_threads *threads, struct notif *out)
{
	union request req;

	memset(&req, 0, sizeof(req));
	if (ioctl(listener, SECCOMP_IOCTL_NOTIF_RECV, &req.n) < 0)
		return -errno;
	*out = (struct notif){
		.listener = listener,
		.threads = threads,
		.id = req.n.id,
		.tid = (pid_t)req.n.pid,
		.nr = req.n.data.nr,
		.ip = req.n.data.instruction_pointer,
	};
	for (size_t i = 0; i < 6; i++)
		out->args[i] = req.n.data.args[i];
	return 0;
}

bool notif_valid(struct notif *n)
{
	if (ioctl(n->listener, SECCOMP_IOCTL_NOTIF_ID_VALID, &n->id) == 0)
		return true;
	n->answered = true;
	return false;
}

enum way { READ, WRITE };

/* /proc/PID/mem goes on through protections: this is the way of hosts that leave no other, and of
 * memory that may be absent. */
static int move_by_mem(const struct notif *n, enum way way, uint64_t addr, void *buf, size_t len)
{
	auto_fd fd = -1;
	char path[32];
	ssize_t moved;

	snprintf(path, sizeof(path), "/proc/%d/mem", n->tid);
	fd = open(path, (way == READ ? O_RDONLY : O_WRONLY) | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (addr > (uint64_t)INT64_MAX)
		return -EFAULT;
	moved = way == READ ? pread(fd, buf, len, (off_t)addr) : pwrite(fd, buf, len, (off_t)addr);
	if (moved == (ssize_t)len)
		return 0;
	absent_note(n, addr + (moved > 0 ? (uint64_t)moved : 0));
	return -EFAULT;
}

/* It may be neither the thread's file to open nor, as the thread, to be waited for. */
static int move_as_oneself(const struct notif *n, enum way way, uint64_t addr, void *buf,
			   size_t len)
{
	bool acted = guest_pause();
	int ret = move_by_mem(n, way, addr, buf, len);

	return guest_resume(acted) ? -EPERM : ret;
}

static int move(const struct notif *n, enum way way, uint64_t addr, void *buf, size_t len)
{
	struct iovec local = { buf, len }, remote = { (void *)(uintptr_t)addr, len };
	ssize_t moved;

	if (len == 0)
		return 0;
	if (absent_is_expected())
		return move_as_oneself(n, way, addr, buf, len);
	moved = way == READ ? process_vm_readv(n->tid, &local, 1, &remote, 1, 0)
			    : process_vm_writev(n->tid, &local, 1, &remote, 1, 0);
	if (moved == (ssize_t)len)
		return 0;
	if (moved < 0 && (errno == ENOSYS || errno == EPERM))
		return move_as_oneself(n, way, addr, buf, len);
	return -EFAULT;
}

int notif_read(const struct notif *n, uint64_t addr, void *buf, size_t len)
{
	return move(n, READ, addr, buf, len);
}

/* Page by page: what is behind its end may not be there. */
int notif_read_text(const struct notif *n, uint64_t addr, char *out, size_t size)
{
	size_t len = 0, want = FIRST_READ, page;
	int ret;

	while (len < size) {
		page = PAGE - (size_t)((addr + len) % PAGE);
		if (want > page)
			want = page;
		if (want > size - len)
			want = size - len;
		ret = notif_read(n, addr + len, out + len, want);
		if (ret)
			return ret;
		if (memchr(out + len, '\0', want))
			return 0;
		len += want;
		want = PAGE;
	}
	return -ENAMETOOLONG;
}

int notif_write(const struct notif *n, uint64_t addr, const void *data, size_t len)
{
	return move(n, WRITE, addr, (void *)(uintptr_t)data, len);
}

/* Of a thread that has ended nothing is found in it, and another of its number has a directory of
 * its own. */
static int proc_dir(const struct notif *n, bool again)
{
	int *dir = &n->threads->proc[(unsigned)n->tid % NOTIF_HELD].dir;
	pid_t *tid = &n->threads->proc[(unsigned)n->tid % NOTIF_HELD].tid;
	char path[32];

	if (*tid == n->tid && *dir >= 0 && !again)
		return *dir;
	fd_close(*dir);
	snprintf(path, sizeof(path), "/proc/%d", n->tid);
	*dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	*tid = n->tid;
	return *dir < 0 ? -errno : *dir;
}

int notif_proc_open(const struct notif *n, const char *name, int flags)
{
	int dir, fd = -1;

	for (int i = 0; i < 2 && fd < 0; i++) {
		dir = proc_dir(n, i);
		if (dir < 0)
			return dir;
		fd = openat(dir, name, flags | O_CLOEXEC);
		if (fd < 0 && errno != ENOENT && errno != ESRCH)
			break;
	}
	return fd < 0 ? -errno : fd;
}

ssize_t notif_proc_link(const struct notif *n, const char *name, char *out, size_t size)
{
	ssize_t len = -1;
	int dir;

	for (int i = 0; i < 2 && len < 0; i++) {
		dir = proc_dir(n, i);
		if (dir < 0)
			return dir;
		len = readlinkat(dir, name, out, size);
		if (len < 0 && errno != ENOENT && errno != ESRCH)
			break;
	}
	if (len < 0)
		return -errno;
	if ((size_t)len >= size)
		return -ENAMETOOLONG;
	out[len] = '\0';
	return len;
}

int notif_mounts(const struct notif *n, uint64_t *out)
{
	char link[64];
	ssize_t len = notif_proc_link(n, "ns/mnt", link, sizeof(link));

	if (len < 0)
		return (int)len;
	*out = strtoull(link + strlen("mnt:["), NULL, 10);
	return 0;
}

int notif_put_addr(const struct notif *n, uint64_t at, uint64_t len_at, const void *addr,
		   size_t len)
{
	int room, whole = (int)len, ret = notif_read(n, len_at, &room, sizeof(room));

	if (ret)
		return ret;
	if (room < 0)
		return -EINVAL;
	ret = notif_write(n, at, addr, (size_t)room < len ? (size_t)room : len);
	return ret ? ret : notif_write(n, len_at, &whole, sizeof(whole));
}

static int read_status(const struct notif *n, char *text, size_t size)
{
	auto_fd fd = notif_proc_open(n, "status", O_RDONLY);
	ssize_t len = fd < 0 ? fd : read(fd, text, size - 1);

	if (len < 0)
		return fd < 0 ? fd : -errno;
	text[len] = '\0';
	return 0;
}

/* A line's value; the name of the process, a line as well, can't hold a newline. */
static const char *value_of(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? at + strlen(key) : "0";
}

int notif_status(const struct notif *n, struct notif_status *out)
{
	char text[4096];
	int ret = read_status(n, text, sizeof(text));

	if (ret)
		return ret;
	out->pid = (pid_t)strtol(value_of(text, "\nTgid:"), NULL, 10);
	out->parent = (pid_t)strtol(value_of(text, "\nPPid:"), NULL, 10);
	out->tracer = (pid_t)strtol(value_of(text, "\nTracerPid:"), NULL, 10);
	out->caps = strtoull(value_of(text, "\nCapEff:"), NULL, 16);
	return 0;
}

/* The whole process where the kernel can't hold a thread: such a one must not be kept, since the
 * number of a thread that has ended may be another's while the process lives on. */
static int open_thread(const struct notif *n, bool *out_keep)
{
	struct notif_status status;
	int fd = (int)sys_pidfd_open(n->tid, PIDFD_OF_THREAD), ret;

	/* the first thread's number is its process's as well */
	if (fd < 0 && errno == EINVAL)
		fd = (int)sys_pidfd_open(n->tid, 0);
	*out_keep = fd >= 0;
	if (fd >= 0 || errno != EINVAL)
		return fd < 0 ? -errno : fd;
	ret = notif_status(n, &status);
	if (ret)
		return ret;
	fd = (int)sys_pidfd_open(status.pid, 0);
	return fd < 0 ? -errno : fd;
}

/* Another thread than the one that is held there, or an earlier one of its number. 0 or -errno. */
static int hold(const struct notif *n)
{
	struct notif_threads *t = n->threads;
	size_t i = (unsigned)n->tid % NOTIF_HELD;
	bool keep;

	fd_close(t->held[i].pidfd);
	t->held[i].pidfd = open_thread(n, &keep);
	t->held[i].tid = keep ? n->tid : 0;
	t->held[i].serial = ++t->opened;
	return t->held[i].pidfd < 0 ? t->held[i].pidfd : 0;
}

static bool is_held(const struct notif *n)
{
	size_t i = (unsigned)n->tid % NOTIF_HELD;

	return n->threads->held[i].tid == n->tid && n->threads->held[i].pidfd >= 0;
}

uint64_t notif_serial(const struct notif *n)
{
	size_t i = (unsigned)n->tid % NOTIF_HELD;

	if (is_held(n) &&
	    (sys_pidfd_send_signal(n->threads->held[i].pidfd, 0, NULL, 0) == 0 || errno == EPERM))
		return n->threads->held[i].serial;
	return hold(n) || !is_held(n) ? 0 : n->threads->held[i].serial;
}

static int copy_fd(const struct notif *n, int fd)
{
	const int *held = &n->threads->held[(unsigned)n->tid % NOTIF_HELD].pidfd;
	int copy = -1, ret;

	if (is_held(n)) {
		copy = (int)sys_pidfd_getfd(*held, fd, 0);
		if (copy >= 0 || errno != ESRCH)
			return copy < 0 ? -errno : copy;
	}
	ret = hold(n);
	if (ret)
		return ret;
	copy = (int)sys_pidfd_getfd(*held, fd, 0);
	return copy < 0 ? -errno : copy;
}

int notif_take_fd(const struct notif *n, int fd)
{
	int copy = copy_fd(n, fd);

	if ((copy != -EPERM && copy != -ENOSYS) || !n->threads->passed)
		return copy;
	return passed_take(n->threads->passed, n, fd);
}

static void respond(struct notif *n, int64_t value, int error, uint32_t flags)
{
	union response res;

	memset(&res, 0, sizeof(res));
	res.r.id = n->id;
	if (guest_is_lost()) {
		res.r.error = -EPERM;
	} else {
		res.r.val = value;
		res.r.error = error;
		res.r.flags = flags;
	}
	/* ENOENT: it was killed */
	ioctl(n->listener, SECCOMP_IOCTL_NOTIF_SEND, &res.r);
	n->answered = true;
}

/* What a handler made of what it could not read is no answer. */
static bool is_put_off(struct notif *n)
{
	if (n->answered || guest_is_lost() || !absent_met())
		return false;
	n->answered = n->later = true;
	return true;
}

void notif_answer(struct notif *n, int64_t result)
{
	if (is_put_off(n))
		return;
	if (result == -NOTIF_LATER)
		n->answered = n->later = true;
	else if (result < 0)
		respond(n, 0, (int)result, 0);
	else
		respond(n, result, 0, 0);
}

void notif_pass(struct notif *n)
{
	if (is_put_off(n))
		return;
	respond(n, 0, 0, SECCOMP_USER_NOTIF_FLAG_CONTINUE);
}

/* Numbers above the limit, which was higher then, take no room. */
static bool is_full(const struct notif *n, rlim_t limit)
{
	auto_fd dir = notif_proc_open(n, "fd", O_RDONLY | O_DIRECTORY);
	_Alignas(struct dirent64) char buf[4096];
	const struct dirent64 *e;
	rlim_t taken = 0;
	ssize_t len;

	while (dir >= 0 && (len = getdents64(dir, buf, sizeof(buf))) > 0)
		for (char *p = buf; p < buf + len; p += e->d_reclen) {
			e = (const struct dirent64 *)p;
			taken += e->d_name[0] != '.' && strtoul(e->d_name, NULL, 10) < limit;
		}
	return taken >= limit;
}

bool notif_has_room(const struct notif *n)
{
	int dir = proc_dir(n, false);
	struct rlimit limit;
	struct stat st;

	if (dir < 0 || fstatat(dir, "fd", &st, 0) < 0 ||
	    prlimit(n->tid, RLIMIT_NOFILE, NULL, &limit) < 0)
		return true;
	return (rlim_t)st.st_size < limit.rlim_cur || st.st_size > COUNTED ||
	       !is_full(n, limit.rlim_cur);
}

/* ioctl(2) of ADDFD: a number, or -1. */
static int add_fd_at(const struct notif *n, int fd, int at, bool cloexec, uint32_t flags)
{
	struct seccomp_notif_addfd add = {
		.id = n->id,
		.flags = flags,
		.srcfd = (uint32_t)fd,
		.newfd = (uint32_t)at,
		.newfd_flags = cloexec ? O_CLOEXEC : 0,
	};
	int ret;

	if (guest_is_lost()) {
		errno = EPERM;
		return -1;
	}
	do
		ret = ioctl(n->listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
	while (ret < 0 && errno == EINTR);
	return ret;
}

static int add_fd(const struct notif *n, int fd, bool cloexec, uint32_t flags)
{
	return add_fd_at(n, fd, 0, cloexec, flags);
}

int notif_put_fd(struct notif *n, int fd, int at, bool cloexec)
{
	return add_fd_at(n, fd, at, cloexec, SECCOMP_ADDFD_FLAG_SETFD) < 0 ? -errno : 0;
}

int notif_give_fd(struct notif *n, int fd, bool cloexec)
{
	int ret = add_fd(n, fd, cloexec, 0);

	return ret < 0 ? -errno : ret;
}

/* Where nothing but its end can take the thread out of the call it has the descriptor before it has
 * the answer: it goes on where it may run then. */
void notif_answer_fd(struct notif *n, int fd, bool cloexec)
{
	struct beside beside = { .on = false };
	int ret;

	if (is_put_off(n))
		return;
	if (n->threads->killable)
		beside_begin(&beside, n->tid);
	ret = add_fd(n, fd, cloexec, beside.on ? 0 : SECCOMP_ADDFD_FLAG_SEND);
	beside_end(&beside);
	if (ret >= 0 && beside.on)
		notif_answer(n, ret);
	if (ret >= 0 || errno == ENOENT) {
		n->answered = true;
		return;
	}
	/* in two steps before 5.14 */
	notif_answer(n, errno == EINVAL ? notif_give_fd(n, fd, cloexec) : -errno);
}

void notif_answer_end(struct notif *n, int fd, bool cloexec)
{
	int there = notif_give_fd(n, fd, cloexec);

	fd_close(fd);
	notif_answer(n, there);
}
