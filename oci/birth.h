/* SPDX-License-Identifier: Apache-2.0 */
/* A container on its way: from the bundle to an init that waits, and back where it comes to
 * nothing. */
#ifndef OCI_BIRTH_H
#define OCI_BIRTH_H

#include <stdbool.h>
#include <stddef.h>

#include "oci/container.h"
#include "oci/opts.h"
#include "oci/process_io.h"
#include "sandbox.h"

struct cmd;
struct spec;

struct create_options {
	const char *bundle, *config, *pid_file, *console_socket, *pidfd_socket;
	int preserve_fds;
	bool no_pivot, no_new_keyring, no_subreaper, detach, keep;
};

/* Of every command that makes a container, and of those that let it run as well; for a structure
 * that is or begins with struct create_options. */
extern const struct opt_table birth_opts, birth_run_opts;

/* What birth_undo() has to take back is in it. */
struct birth {
	struct cmd *c;
	const struct create_options *o;
	const struct spec *spec;
	const char *config; /* its text */
	size_t config_len;
	struct sandbox sb;
	struct sandbox_io io;
	struct process_io pio;
	struct sandbox_task task;
	struct container ct;
	int bundle;
	/* What the command does while init builds the container; NULL: nothing. */
	int (*meanwhile)(void *arg);
	void *meanwhile_arg;
	bool claimed, has_cgroup, tried, has_task, has_pid_file;
};

/* Reads the bundle, describes the container, takes the caller's descriptors, claims the id. */
int birth_begin(struct birth *b, struct cmd *c, const struct create_options *o, bool detach);

/* The cgroup, and init up to where it waits; the pid file and the pidfd for the caller. */
int birth_make(struct birth *b);

/* As if it had never been attempted; the error that led here stands. */
void birth_undo(struct birth *b);
void birth_close(struct birth *b);

/* The process has ended: deletes the container. */
int birth_end(struct birth *b);

#endif
