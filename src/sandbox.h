/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole engine in one header. A sandbox is described by plain structures; nothing below this
 * header knows JSON or the runtime-spec. Everything a description points to is the caller's and
 * must live as long as it is used.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "jail/hooks.h"
#include "jail/plan.h"

/* A process that was started. */
struct sandbox_task {
	pid_t pid; /* in the caller's pid namespace; a child of the caller */
	int pidfd;
	uint64_t start_time; /* field 22 of /proc/PID/stat */
	int channel;         /* to the process while it is being set up, -1 afterwards */
	int supervisor;      /* of one that is restored: a connection to its supervisor, or -1 */
	bool waits;          /* it waits for sandbox_start() once committed */
	struct layers_found layers; /* of sandbox_create(), where the plan has layers */
};

/*
 * Makes this process's own program file out of a container's reach (CVE-2019-5736): executes itself
 * again from a read-only clone of its mount, or from a sealed copy in memory, so call it before
 * anything is made. Returns 0 where that is done already or the container's Landlock rules keep the
 * file away, -errno with a text where it fails, and else not at all.
 */
int sandbox_seal_self(const struct sandbox *sb, char *const argv[]);

/*
 * Clones init into its namespaces and its cgroup (of cgroup_make(); the version 1 directories are
 * made here, and cg is what there is of it also on failure), lets it build the container, runs the
 * hooks up to HOOK_CREATE_CONTAINER, looks the executable up, and returns when everything but the
 * start is done. Init now waits for sandbox_commit(): should the caller die before that, init ends
 * too. On failure nothing of it is left running and the text says which step failed.
 */
int sandbox_create(struct arena *a, const struct sandbox *sb, struct cgroup *cg,
		   const struct sandbox_io *io, struct sandbox_task *out);

/*
 * The caller has recorded the container: init may outlive it. With io->start it now waits for
 * sandbox_start(); without, it executes the process, and a failure to do so is returned here.
 */
int sandbox_commit(struct sandbox_task *task);

/* Kills and reaps what sandbox_create() or sandbox_exec() made and closes its descriptors. */
void sandbox_abort(struct sandbox_task *task);

/* Closes the descriptors; the process goes on. */
void sandbox_release(struct sandbox_task *task);

/*
 * Lets a created container's init go, through a connection to its start socket. Returns when the
 * process is executed, or -errno with the text of the start hook or of execve(2) that failed.
 */
int sandbox_start(int connection);

/* A process more in a running container. */
struct sandbox_join {
	pid_t pid;                   /* of the container's init, */
	int pidfd;                   /* which is checked to be the one meant */
	bool userns;                 /* the container has a user namespace of its own */
	const struct cgroup *cgroup; /* where the process goes */
	bool exact; /* there only; else, where that cgroup was left, also where init is */
};

/*
 * Starts sb->process in the container of join, with the rules of sb (seccomp, Landlock, masks are
 * inherited with the mount namespace). Returns when it waits for sandbox_commit().
 */
int sandbox_exec(struct arena *a, const struct sandbox *sb, const struct sandbox_join *join,
		 const struct sandbox_io *io, struct sandbox_task *out);

#endif
