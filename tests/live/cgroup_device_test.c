/* SPDX-License-Identifier: Apache-2.0 */
/* Device rules on real devices: the devices controller of version 1, the eBPF program of 2. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"
#include "lib/tap.h"

static const struct cgroup_device rules[] = {
	{ false, 'a', -1, -1, "rwm" }, { true, 'c', 1, 11, "r" }, /* kmsg */
};
static const struct cgroup_device all[] = { { true, 'a', -1, -1, "rwm" } };

/* 0 or the errno of opening a node of that device, in a directory of its own */
static int try_open(const char *dir, unsigned major, unsigned minor, int flags)
{
	char path[128];
	int fd, ret = 0;

	snprintf(path, sizeof(path), "%s/%u-%u", dir, major, minor);
	if (mknod(path, S_IFCHR | 0666, makedev(major, minor)) < 0)
		return errno;
	fd = open(path, flags | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		ret = errno;
	else
		close(fd);
	unlink(path);
	return ret;
}

/* In a child that entered the cgroup: every answer is one byte. */
static void ask(const char *cgroup, const char *dir, unsigned char *out)
{
	char path[256], pid[16];
	int pipe_fd[2];
	pid_t child;

	if (!ok(pipe2(pipe_fd, O_CLOEXEC) == 0, "pipe"))
		return;
	child = fork();
	if (child == 0) {
		unsigned char answers[4];

		snprintf(path, sizeof(path), "%s/cgroup.procs", cgroup);
		snprintf(pid, sizeof(pid), "%d", getpid());
		if (fd_put(AT_FDCWD, path, pid))
			_exit(1);
		answers[0] = (unsigned char)try_open(dir, 1, 3, O_RDWR);
		answers[1] = (unsigned char)try_open(dir, 1, 11, O_RDONLY);
		answers[2] = (unsigned char)try_open(dir, 1, 11, O_RDWR);
		answers[3] = (unsigned char)try_open(dir, 10, 229, O_RDONLY);
		_exit(write(pipe_fd[1], answers, 4) != 4);
	}
	close(pipe_fd[1]);
	memset(out, 255, 4);
	ok(read(pipe_fd[0], out, 4) == 4, "answers");
	close(pipe_fd[0]);
	waitpid(child, NULL, 0);
}

struct place {
	struct arena *a;
	char cgroup[256], dir[64];
};

static struct place place_for(bool v2)
{
	const struct cgroup_trees *t = cgroup_host_trees();
	struct place p = { .a = arena_new() };
	struct stat st;

	if (geteuid() != 0)
		tap_skip("only root may make cgroups and device nodes");
	for (size_t i = 0; t && i < t->n; i++)
		if (v2 ? t->v[i].v2 : cgroup_host_lists(t->v[i].controllers, "devices"))
			snprintf(p.cgroup, sizeof(p.cgroup), "%s/thole-test-%d-dev", t->v[i].mount,
				 getpid());
	if (!*p.cgroup)
		tap_skip("no %s is mounted", v2 ? "version 2 hierarchy" : "devices controller");
	snprintf(p.dir, sizeof(p.dir), "/tmp/thole-dev-XXXXXX");
	if (!ok(mkdtemp(p.dir) && mkdir(p.cgroup, 0755) == 0, "make %s: %s", p.cgroup,
		strerror(errno)))
		_exit(1);
	/* a file system mounted nodev would answer for the rules */
	if (try_open(p.dir, 1, 3, O_RDWR) || stat("/dev/kmsg", &st) < 0) {
		rmdir(p.cgroup);
		rmdir(p.dir);
		tap_skip("no device node can be opened in /tmp");
	}
	return p;
}

static void place_end(struct place *p)
{
	ok(rmdir(p->cgroup) == 0, "remove %s: %s", p->cgroup, strerror(errno));
	rmdir(p->dir);
	arena_free(p->a);
}

static void enforced(const struct place *p)
{
	unsigned char got[4];

	ask(p->cgroup, p->dir, got);
	is_int(got[0], 0, "null is always there");
	is_int(got[1], 0, "kmsg may be read");
	is_int(got[2], EPERM, "but not written");
	is_int(got[3], EPERM, "others may not be opened");
}

static void controls_version_1(void)
{
	struct cgroup_limits l = { .has_devices = true, .devices = rules, .n_devices = 2 };
	struct place p = place_for(false);

	ok(cgroup_device_apply_v1(p.a, p.cgroup, &l) == 0, "%s", err_last()->text);
	enforced(&p);
	place_end(&p);
}

static void controls_version_2(void)
{
	struct cgroup_limits l = { .has_devices = true, .devices = rules, .n_devices = 2 };
	struct place p = place_for(true);
	unsigned char got[4];
	int ret = cgroup_device_apply_v2(p.a, p.cgroup, &l, false);

	if (ret == -ENOSYS || ret == -EPERM) {
		place_end(&p);
		tap_skip("no eBPF here: %s", err_last()->text);
	}
	ok(ret == 0, "%s", err_last()->text);
	enforced(&p);
	ok(cgroup_device_apply_v2(p.a, p.cgroup, &l, true) == 0, "again: %s", err_last()->text);
	enforced(&p);
	l.devices = all;
	l.n_devices = 1;
	ok(cgroup_device_apply_v2(p.a, p.cgroup, &l, false) == 0, "beside: %s", err_last()->text);
	enforced(&p);
	ok(cgroup_device_apply_v2(p.a, p.cgroup, &l, true) == 0, "instead: %s", err_last()->text);
	ask(p.cgroup, p.dir, got);
	is_int(got[2], 0, "the old rules are gone");
	place_end(&p);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(controls_version_1),
		TAP(controls_version_2),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
