/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/notify.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "oci/state.h"
#include "sandbox.h"

#define INSIDE_DIR "/run/notify"
#define SOCKET_NAME "notify.sock"
#define VARIABLE "NOTIFY_SOCKET="
#define MESSAGE_MAX 4096
#define BARRIER_MS 30000

static const char *manager_socket(void)
{
	const char *path = getenv("NOTIFY_SOCKET");

	return path && (path[0] == '/' || path[0] == '@') && path[1] ? path : NULL;
}

bool notify_wanted(void)
{
	return manager_socket() != NULL;
}

static void add_mount(struct arena *a, struct rootfs_plan *r, const char *source)
{
	struct mount_plan *mounts = arena_array(a, r->n_mounts + 1, sizeof(*mounts));

	if (r->n_mounts)
		memcpy(mounts, r->mounts, r->n_mounts * sizeof(*mounts));
	mounts[r->n_mounts] = (struct mount_plan){
		.where = "the mount for NOTIFY_SOCKET",
		.source = source,
		.target = INSIDE_DIR,
		.bind = true,
		/* a socket can be connected to all the same, and the state directory not be
		 * filled */
		.set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC,
	};
	r->mounts = mounts;
	r->n_mounts++;
}

static void add_variable(struct arena *a, struct sandbox_process *p)
{
	size_t n = 0, kept = 0;
	char **env;

	while (p->env && p->env[n])
		n++;
	env = arena_array(a, n + 2, sizeof(*env));
	for (size_t i = 0; i < n; i++)
		if (!str_starts(p->env[i], VARIABLE))
			env[kept++] = p->env[i];
	env[kept] = arena_strdup(a, VARIABLE INSIDE_DIR "/" SOCKET_NAME);
	p->env = env;
}

int notify_prepare(struct arena *a, const struct state_dir *d, struct sandbox *sb)
{
	char path[PATH_MAX];
	int ret;

	if (!notify_wanted() || !sb->process.args)
		return 0;
	/* any user of the container may need to reach the socket in it */
	if (mkdirat(d->dir, STATE_NOTIFY, 0755) < 0 || fchmodat(d->dir, STATE_NOTIFY, 0755, 0) < 0)
		return fail_errno("make the directory for NOTIFY_SOCKET");
	ret = fd_path(d->dir, path, sizeof(path));
	if (ret)
		return fail(-ret, "find the directory for NOTIFY_SOCKET: %s", err_reason(-ret));
	add_mount(a, &sb->rootfs, arena_printf(a, "%s/" STATE_NOTIFY, path));
	add_variable(a, &sb->process);
	return 0;
}

static int listen_at(int dir)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_fd sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/" SOCKET_NAME, dir);
	unlinkat(dir, SOCKET_NAME, 0);
	if (sock < 0 || fchmod(sock, 0777) < 0 ||
	    bind(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    fchmodat(dir, SOCKET_NAME, 0777, 0) < 0)
		return fail_errno("listen on the container's NOTIFY_SOCKET");
	return fd_take(&sock);
}

int notify_listen(const struct state_dir *d, int *out)
{
	auto_fd dir = -1;
	int sock;

	if (!notify_wanted())
		return 0;
	dir = openat(d->dir, STATE_NOTIFY, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0) /* created without NOTIFY_SOCKET in the environment */
		return 0;
	sock = listen_at(dir);
	if (sock < 0)
		return sock;
	*out = sock;
	return 0;
}

static int connect_manager(void)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = manager_socket();
	auto_fd sock = -1;
	size_t len;

	if (!path)
		return fail(ENOENT, "NOTIFY_SOCKET is not set");
	len = strlen(path);
	if (len >= sizeof(addr.sun_path))
		return fail(ENAMETOOLONG, "NOTIFY_SOCKET %s is too long", path);
	memcpy(addr.sun_path, path, len);
	if (path[0] == '@')
		addr.sun_path[0] = '\0';
	sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr,
				(socklen_t)(offsetof(struct sockaddr_un, sun_path) + len)) < 0)
		return fail_errno("connect to NOTIFY_SOCKET %s", path);
	return fd_take(&sock);
}

/*
 * The manager closes the descriptor when it has handled everything sent before: until then it has
 * to see this process alive, to know which unit it belongs to. sd_notify_barrier(3)
 */
static void barrier(int sock)
{
	struct pollfd p = { .events = 0 };
	int ends[2];

	if (pipe2(ends, O_CLOEXEC) < 0)
		return;
	p.fd = ends[0];
	if (fd_send(sock, "BARRIER=1", 9, &ends[1], 1) == 0) {
		close(ends[1]);
		while (poll(&p, 1, BARRIER_MS) < 0 && errno == EINTR)
			;
	} else {
		close(ends[1]);
	}
	close(ends[0]);
}

static bool says_ready(const char *text)
{
	for (;;) {
		size_t n = strcspn(text, "\n");

		if (n == 7 && memcmp(text, "READY=1", 7) == 0)
			return true;
		if (!text[n])
			return false;
		text += n + 1;
	}
}

int notify_relay(int sock, pid_t pid)
{
	char text[MESSAGE_MAX];
	auto_fd manager = -1;
	ssize_t n;
	int ret;

	/* a barrier of the container's own is passed by closing its descriptor, which this does */
	n = fd_recv(sock, text, sizeof(text) - 1, NULL, NULL);
	if (n == -EPROTO)
		return 0; /* longer than any notification: not one */
	if (n < 0)
		return fail((int)-n, "read the container's notification: %s", err_reason((int)-n));
	text[n] = '\0';
	if (!says_ready(text))
		return 0;
	manager = connect_manager();
	if (manager < 0)
		return manager;
	n = snprintf(text, sizeof(text), "MAINPID=%d\nREADY=1\n", pid);
	ret = fd_send(manager, text, (size_t)n, NULL, 0);
	if (ret)
		return fail(-ret, "send READY=1 to NOTIFY_SOCKET: %s", err_reason(-ret));
	barrier(manager);
	return 1;
}

int notify_rest(int sock, pid_t pid)
{
	struct pollfd p = { .fd = sock, .events = POLLIN };
	int ret = 0;

	while (ret == 0 && poll(&p, 1, 0) > 0)
		ret = notify_relay(sock, pid);
	return ret;
}

int notify_wait(int sock, int pidfd, pid_t pid)
{
	struct pollfd p[2] = { { .fd = sock, .events = POLLIN },
			       { .fd = pidfd, .events = POLLIN } };
	int ret = 0;

	while (ret == 0) {
		if (poll(p, 2, -1) < 0 && errno != EINTR)
			return fail_errno("wait for the container's notification");
		if (p[0].revents) {
			ret = notify_relay(sock, pid);
		} else if (p[1].revents) {
			/* it may have been ready all the same, between the two looks */
			ret = notify_rest(sock, pid);
			break;
		}
	}
	return ret < 0 ? ret : 0;
}
