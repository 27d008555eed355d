/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/ns.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/spawn.h"
#include "base/str.h"
#include "base/sys.h"

#define NS_GET_NSTYPE _IO(0xb7, 0x3) /* ioctl_ns(2) */
#define MAP_TEXT_MAX 4096            /* the kernel takes at most a page */
#define MAP_ARGS_MAX 1024

#define SECOND_NS 1000000000ll

const struct ns_info ns_info[NS_KINDS] = {
	[NS_USER] = { "user", "user", CLONE_NEWUSER },
	[NS_MOUNT] = { "mount", "mnt", CLONE_NEWNS },
	[NS_PID] = { "pid", "pid", CLONE_NEWPID },
	[NS_NET] = { "network", "net", CLONE_NEWNET },
	[NS_IPC] = { "ipc", "ipc", CLONE_NEWIPC },
	[NS_UTS] = { "uts", "uts", CLONE_NEWUTS },
	[NS_CGROUP] = { "cgroup", "cgroup", CLONE_NEWCGROUP },
	[NS_TIME] = { "time", "time", CLONE_NEWTIME },
};

int ns_new_flags(const struct ns_plan *p)
{
	int flags = 0;

	for (int k = 0; k < NS_KINDS; k++)
		if (ns_new(p, k))
			flags |= ns_info[k].flag;
	return flags;
}

int ns_map_out(const struct ns_map *maps, size_t n, uint32_t inside, uint32_t *out)
{
	for (size_t i = 0; i < n; i++) {
		if (inside < maps[i].inside || inside - maps[i].inside >= maps[i].size)
			continue;
		*out = maps[i].outside + (inside - maps[i].inside);
		return 0;
	}
	return -ERANGE;
}

static int put_map(pid_t pid, const char *file, const struct ns_map *maps, size_t n)
{
	char text[MAP_TEXT_MAX];
	struct str s = STR_ON(text);
	char path[64];
	int ret;

	for (size_t i = 0; i < n; i++)
		str_addf(&s, "%u %u %u\n", maps[i].inside, maps[i].outside, maps[i].size);
	if (s.full)
		return fail(E2BIG, "%s with %zu ranges: the kernel takes one page of text", file,
			    n);
	snprintf(path, sizeof(path), "/proc/%d/%s", pid, file);
	ret = fd_put(AT_FDCWD, path, text);
	return ret ? fail(-ret, "write %s of process %d: %s", file, pid, err_reason(-ret)) : 0;
}

/* PATH may be absent from the environment: look where distributions put the helpers. */
static int run_map_helper(const char *name, pid_t pid, const struct ns_map *maps, size_t n)
{
	static const char *const dirs[] = { "/usr/bin", "/bin", "/usr/local/bin", "/usr/sbin" };
	char numbers[MAP_TEXT_MAX], path[PATH_MAX], pid_text[16];
	char *args[MAP_ARGS_MAX];
	struct spawn s = { .path = path, .args = args, .cwd = -1, .out = -1, .err = -1 };
	size_t used = 0, argc = 0;
	int len;

	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	args[argc++] = (char *)name;
	args[argc++] = pid_text;
	for (size_t i = 0; i < n * 3; i++) {
		uint32_t v = i % 3 == 0   ? maps[i / 3].inside
			     : i % 3 == 1 ? maps[i / 3].outside
					  : maps[i / 3].size;

		len = snprintf(numbers + used, sizeof(numbers) - used, "%u", v);
		if (used + (size_t)len + 1 > sizeof(numbers) || argc + 1 >= MAP_ARGS_MAX)
			return fail(E2BIG, "%s with %zu ranges", name, n);
		args[argc++] = numbers + used;
		used += (size_t)len + 1;
	}
	args[argc] = NULL;
	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		snprintf(path, sizeof(path), "%s/%s", dirs[i], name);
		if (access(path, X_OK) == 0)
			return spawn_run(&s);
	}
	return fail(ENOENT, "map ids of the user namespace: %s is not installed (package uidmap)",
		    name);
}

static bool only_own_id(const struct ns_map *maps, size_t n, uint32_t own)
{
	return n == 1 && maps[0].size == 1 && maps[0].outside == own;
}

int ns_write_maps(pid_t pid, const struct ns_maps *maps)
{
	bool root = geteuid() == 0;
	char path[64];
	int ret;

	if (root || only_own_id(maps->uid, maps->n_uid, geteuid()))
		ret = put_map(pid, "uid_map", maps->uid, maps->n_uid);
	else
		ret = run_map_helper("newuidmap", pid, maps->uid, maps->n_uid);
	if (ret)
		return ret;
	if (root)
		return put_map(pid, "gid_map", maps->gid, maps->n_gid);
	if (!only_own_id(maps->gid, maps->n_gid, getegid()))
		return run_map_helper("newgidmap", pid, maps->gid, maps->n_gid);
	/* without privilege the kernel takes a gid map only where groups can't be dropped */
	snprintf(path, sizeof(path), "/proc/%d/setgroups", pid);
	ret = fd_put(AT_FDCWD, path, "deny");
	if (ret && ret != -ENOENT)
		return fail(-ret, "deny setgroups in the user namespace: %s", err_reason(-ret));
	return put_map(pid, "gid_map", maps->gid, maps->n_gid);
}

int ns_open_mapped(const struct ns_maps *maps)
{
	struct clone_args args = { .flags = CLONE_NEWUSER, .exit_signal = SIGCHLD };
	int hold[2], ret, fd = -1;
	char path[64];
	pid_t pid;

	if (pipe2(hold, O_CLOEXEC) < 0)
		return fail_errno("make a user namespace for an idmapped mount: pipe");
	pid = (pid_t)sys_clone3(&args);
	if (pid == 0) {
		close(hold[1]);
		_exit(read(hold[0], path, 1) < 0);
	}
	close(hold[0]);
	if (pid < 0) {
		ret = fail_errno("make a user namespace for an idmapped mount");
		close(hold[1]);
		return ret;
	}
	ret = ns_write_maps(pid, maps);
	if (!ret) {
		snprintf(path, sizeof(path), "/proc/%d/ns/user", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			ret = fail_errno("open %s", path);
	}
	close(hold[1]);
	while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
		;
	return ret ? fail_in(ret, "idmapped mount") : fd;
}

int ns_open(const char *path, enum ns_kind kind)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	int type;

	if (fd < 0)
		return fail_errno("open the %s namespace %s", ns_info[kind].oci, path);
	type = ioctl(fd, NS_GET_NSTYPE);
	if (type < 0)
		return fail(EINVAL, "%s is no namespace", path);
	if (type != ns_info[kind].flag)
		return fail(EINVAL, "%s is no %s namespace", path, ns_info[kind].oci);
	return fd_take(&fd);
}

int ns_is_own(int fd, enum ns_kind kind)
{
	struct stat theirs, own;
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/ns/%s", ns_info[kind].proc);
	if (fstat(fd, &theirs) < 0 || stat(path, &own) < 0)
		return -errno;
	return theirs.st_dev == own.st_dev && theirs.st_ino == own.st_ino;
}

/* What our own time namespace adds to a clock of the machine's; the file counts from those. */
static int own_offset(const char *name, struct timespec *out)
{
	char text[256] = "", clock[32];
	auto_fd fd = open("/proc/self/timens_offsets", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	long long secs;
	long nanosecs;

	if (n < 0)
		return fail_errno("read /proc/self/timens_offsets");
	for (const char *line = text; line;
	     line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (sscanf(line, "%31s %lld %ld", clock, &secs, &nanosecs) == 3 &&
		    strcmp(clock, name) == 0) {
			*out = (struct timespec){ secs, nanosecs };
			return 0;
		}
	return fail(EPROTO, "/proc/self/timens_offsets has no clock %s", name);
}

/* Adds the line of one clock, as the kernel wants it: seconds perhaps negative, nanoseconds not. */
static int add_clock(struct str *s, const char *name, clockid_t id, const struct ns_time *t)
{
	long long secs = t->secs, nanosecs = t->nanosecs;
	struct timespec now, own = { 0 };
	int ret;

	if (!t->set)
		return 0;
	if (t->reading) {
		ret = own_offset(name, &own);
		if (ret)
			return ret;
		if (clock_gettime(id, &now) < 0)
			return fail_errno("read the clock %s", name);
		secs -= now.tv_sec - own.tv_sec;
		nanosecs -= now.tv_nsec - own.tv_nsec;
		for (; nanosecs < 0; secs--)
			nanosecs += SECOND_NS;
		for (; nanosecs >= SECOND_NS; secs++)
			nanosecs -= SECOND_NS;
	}
	str_addf(s, "%s %lld %lld\n", name, secs, nanosecs);
	return 0;
}

int ns_enter_time(const struct ns_plan *p)
{
	char text[128];
	struct str s = STR_ON(text);
	auto_fd fd = -1;
	int ret = add_clock(&s, "monotonic", CLOCK_MONOTONIC, &p->monotonic);

	if (!ret)
		ret = add_clock(&s, "boottime", CLOCK_BOOTTIME, &p->boottime);
	if (ret)
		return ret;
	if (unshare(CLONE_NEWTIME) < 0)
		return fail_errno("make a time namespace");
	ret = s.len ? fd_put(AT_FDCWD, "/proc/self/timens_offsets", text) : 0;
	if (ret)
		return fail(-ret, "set the clocks of the time namespace (linux.timeOffsets): %s",
			    err_reason(-ret));
	fd = open("/proc/self/ns/time_for_children", O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWTIME) < 0)
		return fail_errno("enter the new time namespace");
	return 0;
}

int ns_loopback_up(void)
{
	struct ifreq req = { .ifr_name = "lo" };
	auto_fd sock = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (sock < 0 || ioctl(sock, SIOCGIFFLAGS, &req) < 0)
		return fail_errno("look at the loopback interface");
	req.ifr_flags |= IFF_UP;
	if (ioctl(sock, SIOCSIFFLAGS, &req) < 0)
		return fail_errno("bring the loopback interface up");
	return 0;
}
