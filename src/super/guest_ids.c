/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "super/guest_priv.h"

#define LEVELS_MAX 33 /* of pid namespaces: pid_namespaces(7) */

/* The numbers of a process or thread from one pid namespace to its own: NStgid, NSpid. */
struct numbers {
	uint64_t v[LEVELS_MAX];
	size_t n;
};

static int read_numbers(int dir, const char *name, struct numbers *out_tgid,
			struct numbers *out_pid)
{
	char text[GUEST_STATUS_MAX];
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	int ret = guest_read_status(fd < 0 ? -errno : fd, text);

	if (ret)
		return ret;
	out_tgid->n = guest_values(text, "\nNStgid:", 10, out_tgid->v, LEVELS_MAX);
	out_pid->n = guest_values(text, "\nNSpid:", 10, out_pid->v, LEVELS_MAX);
	return out_tgid->n && out_tgid->n == out_pid->n ? 0 : -ENOENT;
}

#define LINK_MAX_BYTES 64 /* "pid:[4026531836]" */

static bool read_link(int dir, const char *name, char out[LINK_MAX_BYTES])
{
	ssize_t len = readlinkat(dir, name, out, LINK_MAX_BYTES - 1);

	out[len < 0 ? 0 : len] = '\0';
	return len >= 0;
}

static bool same_pid_namespace(const struct notif *n, int dir, const char *name)
{
	char own[LINK_MAX_BYTES], other[LINK_MAX_BYTES];

	return read_link(dir, name, other) && notif_proc_link(n, "ns/pid", own, sizeof(own)) >= 0 &&
	       strcmp(own, other) == 0;
}

/* A process is known by its numbers from there on and its own namespace. */
static bool is_thread(const struct notif *n, int proc, const struct numbers *pid, size_t level)
{
	struct numbers tgids, pids;
	char name[64];

	snprintf(name, sizeof(name), "%llu/status", (unsigned long long)pid->v[level]);
	if (read_numbers(proc, name, &tgids, &pids) || pids.n != pid->n - level ||
	    memcmp(pids.v, pid->v + level, pids.n * sizeof(pids.v[0])) != 0)
		return false;
	snprintf(name, sizeof(name), "%llu/ns/pid", (unsigned long long)pid->v[level]);
	return same_pid_namespace(n, proc, name);
}

static int find_ids(const struct notif *n, int proc, pid_t out[2])
{
	auto_fd dir = notif_proc_open(n, ".", O_PATH | O_DIRECTORY);
	struct numbers tgid, pid;
	int ret = dir < 0 ? dir : read_numbers(dir, "status", &tgid, &pid);

	for (size_t level = 0; !ret && level < pid.n; level++) {
		if (!is_thread(n, proc, &pid, level))
			continue;
		out[0] = (pid_t)tgid.v[level];
		out[1] = (pid_t)pid.v[level];
		return 0;
	}
	return ret ? ret : -ENOENT;
}

int guest_ids(const struct notif *n, int proc, pid_t *out_pid, pid_t *out_tid)
{
	struct stat st;
	pid_t ids[2];
	int ret;

	if (fstat(proc, &st) < 0)
		return -errno;
	if (!guest_recall_ids(n, st.st_dev, ids)) {
		ret = find_ids(n, proc, ids);
		if (ret)
			return ret;
		guest_hold_ids(n, st.st_dev, ids);
	}
	*out_pid = ids[0];
	*out_tid = ids[1];
	return 0;
}

/* Of a directory of a process, or one in that: what leads to the files of the former. */
static const char *read_numbers_near(int dir, struct numbers *out_tgid)
{
	struct numbers pid;

	if (read_numbers(dir, "status", out_tgid, &pid) == 0)
		return "";
	return read_numbers(dir, "../status", out_tgid, &pid) == 0 ? "../" : NULL;
}

static bool is_own(const struct notif *n, int dir)
{
	auto_fd own = notif_proc_open(n, ".", O_PATH | O_DIRECTORY);
	struct numbers mine, other, pid;
	const char *up;

	if (own < 0 || read_numbers(own, "status", &mine, &pid))
		return false;
	up = read_numbers_near(dir, &other);
	return up && other.n <= mine.n &&
	       memcmp(other.v, mine.v + mine.n - other.n, other.n * sizeof(other.v[0])) == 0 &&
	       same_pid_namespace(n, dir, *up ? "../ns/pid" : "ns/pid");
}

int guest_open_own(const struct notif *n, int dir, const char *name, int flags)
{
	auto_fd fd = -EACCES;
	struct statfs fs;
	bool acted;

	if (fstatfs(dir, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return -EACCES;
	acted = guest_pause();
	if (is_own(n, dir)) {
		fd = openat(dir, name, O_PATH | O_CLOEXEC | flags);
		fd = fd < 0 ? -errno : fd;
	}
	return guest_resume(acted) ? -EPERM : fd_take(&fd);
}

bool guest_is_beyond(const struct notif *n, int dir, bool confined)
{
	char own[LINK_MAX_BYTES], other[LINK_MAX_BYTES], name[16];
	struct numbers tgid;
	const char *up = read_numbers_near(dir, &tgid);

	if (!up || !read_link(AT_FDCWD, "/proc/self/ns/pid", own))
		return true;
	snprintf(name, sizeof(name), "%sns/pid", up);
	if (!read_link(dir, name, other))
		return true;
	/* the container has a pid namespace of its own */
	if (strcmp(own, other) != 0)
		return false;
	if (tgid.v[tgid.n - 1] == (uint64_t)getpid())
		return true;
	snprintf(name, sizeof(name), "%sns/mnt", up);
	return confined && (notif_proc_link(n, "ns/mnt", own, sizeof(own)) < 0 ||
			    !read_link(dir, name, other) || strcmp(own, other) != 0);
}
