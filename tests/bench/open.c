/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Landlock costs an open(2) of a file 8 directories deep: a process without it and one under a
 * container's rules, in turns.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "bench/median.h"
#include "jail/plan.h"
#include "jail/policy.h"

#define DEPTH "1/2/3/4/5/6/7/8"
#define ROUNDS 101
#define OPENS 4000

static char path[128];

static double measure(void)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	for (int i = 0; i < OPENS; i++) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);

		if (fd < 0)
			return -1;
		close(fd);
	}
	clock_gettime(CLOCK_MONOTONIC, &to);
	return ((double)(to.tv_sec - from.tv_sec) * 1e9 + (double)(to.tv_nsec - from.tv_nsec)) /
	       OPENS;
}

/* The rules of a container with the usual mounts, of which some are there. */
static int restrict_self(void)
{
	static const struct mount_plan mounts[] = {
		{ .where = "mounts[0]", .target = "/proc" },
		{ .where = "mounts[1]", .target = "/dev" },
		{ .where = "mounts[2]", .target = "/dev/pts" },
		{ .where = "mounts[3]", .target = "/dev/shm" },
		{ .where = "mounts[4]", .target = "/sys" },
	};
	struct sandbox sb = {
		.rootfs = { .path = "/", .mounts = mounts, .n_mounts = NAME_COUNT(mounts) },
		.landlock.mode = LANDLOCK_ENFORCE,
	};
	const struct policy_own own = { .n_fds = 3 };
	auto_arena a = arena_new();
	auto_fd ruleset = -1;
	struct policy p;
	int ret;

	for (int k = 0; k < NS_KINDS; k++)
		sb.ns.want[k].wanted = true;
	ret = policy_plan(a, &sb, landlock_abi(), &p);
	if (ret)
		return ret;
	ruleset = policy_ruleset(&p, &own);
	if (ruleset < 0)
		return ruleset;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno("set no_new_privs");
	return landlock_enter(ruleset, p.abi);
}

static void serve(int sock)
{
	int ret = restrict_self();
	double ns;
	char go;

	while (read(sock, &go, 1) == 1) {
		ns = ret ? -1 : measure();
		if (write(sock, &ns, sizeof(ns)) != sizeof(ns))
			break;
	}
	_exit(0);
}

static int compare(int sock, double *plain, double *confined)
{
	double off[ROUNDS], on[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		off[i] = measure();
		if (write(sock, "", 1) != 1 || read(sock, &on[i], sizeof(on[i])) != sizeof(on[i]) ||
		    on[i] < 0 || off[i] < 0)
			return fail(EIO, "a measurement failed");
	}
	*plain = median_of(off, ROUNDS);
	*confined = median_of(on, ROUNDS);
	return 0;
}

int main(void)
{
	char dir[] = "/tmp/thole-bench-XXXXXX";
	auto_fd top = mkdtemp(dir) ? open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC) : -1;
	auto_fd file = -1;
	double plain, confined;
	int sock[2], ret;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/%s/file", dir, DEPTH);
	ret = top < 0 ? fail_errno("make a directory") : fd_mkdir_all(top, DEPTH, 0700);
	file = ret ? -1 : open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	if (!ret && (file < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sock) < 0))
		ret = fail_errno("prepare");
	pid = ret ? -1 : fork();
	if (pid == 0) {
		close(sock[0]);
		serve(sock[1]);
	}
	if (pid > 0) {
		close(sock[1]);
		ret = compare(sock[0], &plain, &confined);
		close(sock[0]);
		waitpid(pid, NULL, 0);
	}
	fd_remove_tree(AT_FDCWD, dir);
	if (ret || pid < 0) {
		fprintf(stderr, "open: %s\n", err_last()->text);
		return 1;
	}
	printf("open of a file 8 directories deep: %.0f ns, under Landlock %.0f ns (+%.0f)\n",
	       plain, confined, confined - plain);
	return 0;
}
