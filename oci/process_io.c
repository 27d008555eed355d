/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/process_io.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "oci/console.h"

#define FDS_MAX 65536

void process_io_close(struct process_io *p, struct sandbox_io *io)
{
	fd_close(p->master);
	fd_close(io->console);
	fd_close(io->start);
	fd_close(io->supervisor);
	p->master = io->console = io->start = io->supervisor = -1;
}

/* The variables are for the process whose pid they name, which may be a process before us. */
static int listen_fds(void)
{
	const char *pid = getenv("LISTEN_PID");
	const char *count = getenv("LISTEN_FDS");
	uint64_t n, who;

	if (!pid || !count || num_u64(pid, 1, INT_MAX, &who) || who != (uint64_t)getpid())
		return 0;
	return num_u64(count, 0, FDS_MAX, &n) ? 0 : (int)n;
}

int process_io_inherit(struct sandbox_io *io, int preserve)
{
	if (preserve > FDS_MAX)
		return fail(EINVAL, "--preserve-fds %d is above %d", preserve, FDS_MAX);
	io->listen_fds = listen_fds();
	io->preserve_fds = io->listen_fds + preserve;
	return 0;
}

int process_io_check(bool terminal, bool detach, const char *console_socket)
{
	if (terminal && detach && !console_socket)
		return fail(EINVAL,
			    "cannot allocate tty if thole will detach without setting console "
			    "socket");
	if (console_socket && !(terminal && detach))
		return fail(EINVAL,
			    "cannot use console socket if thole will not detach or allocate tty");
	return 0;
}

int process_io_console(struct process_io *p, struct sandbox_io *io, struct sandbox_process *process,
		       const char *console_socket)
{
	struct winsize size;
	int ends[2];

	if (!process->terminal)
		return 0;
	if (console_socket) {
		io->console = console_connect(console_socket);
		return io->console < 0 ? io->console : 0;
	}
	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
		return fail_errno("make a pair of sockets for the terminal");
	io->console = ends[0];
	p->master = ends[1];
	if (console_size(&size)) {
		process->rows = size.ws_row;
		process->cols = size.ws_col;
	}
	return 0;
}

int process_io_write_pid(const char *path, pid_t pid)
{
	char text[16];
	int n = snprintf(text, sizeof(text), "%d", pid);
	int ret = fd_replace_file(AT_FDCWD, path, 0644, text, (size_t)n);

	return ret ? fail_in(ret, "the pid file") : 0;
}

int process_io_send_pidfd(const char *path, int pidfd)
{
	auto_fd sock = fd_unix_connect(AT_FDCWD, path);
	int ret = sock < 0 ? sock : fd_send(sock, "pidfd", 5, &pidfd, 1);

	if (ret)
		return fail(-ret, "send the pidfd to the socket %s: %s", path, err_reason(-ret));
	return 0;
}
