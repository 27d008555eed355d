/* SPDX-License-Identifier: Apache-2.0 */
/* What a new process has to do with its caller: descriptors, terminal, pid file, pidfd. */
#ifndef OCI_PROCESS_IO_H
#define OCI_PROCESS_IO_H

#include <stdbool.h>
#include <sys/types.h>

#include "sandbox.h"

#define PROCESS_IO_SANDBOX_NONE                                         \
	{                                                               \
		.console = -1, .start = -1, .cwd = -1, .supervisor = -1 \
	}

struct process_io {
	int master; /* where a terminal's master arrives, for a process in the foreground; or -1 */
};

#define PROCESS_IO_NONE      \
	{                    \
		.master = -1 \
	}
void process_io_close(struct process_io *p, struct sandbox_io *io);

/*
 * The descriptors that are passed on: those of LISTEN_FDS (sd_listen_fds(3)) and preserve more.
 * Called before others are opened. Returns 0 or -EINVAL with a text.
 */
int process_io_inherit(struct sandbox_io *io, int preserve);

/* A detached terminal needs a console socket, and nothing else may have one. */
int process_io_check(bool terminal, bool detach, const char *console_socket);

/*
 * Opens io->console: to the caller's socket, or to ourselves. Then the process starts with a
 * terminal of the size of ours.
 */
int process_io_console(struct process_io *p, struct sandbox_io *io, struct sandbox_process *process,
		       const char *console_socket);

/* The pid as digits and nothing else, by rename. */
int process_io_write_pid(const char *path, pid_t pid);

int process_io_send_pidfd(const char *path, int pidfd);

#endif
