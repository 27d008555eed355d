/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The whole engine in one header. A sandbox is described by plain structures; nothing below this
 * header knows JSON or the runtime-spec. Everything a description points to is the caller's and
 * must live as long as it is used.
 */
#ifndef SANDBOX_H
#define SANDBOX_H

#include "bpf/filter.h"
#include "jail/cgroup.h"
#include "jail/cred.h"
#include "jail/landlock.h"
#include "jail/limits.h"
#include "jail/mount.h"
#include "jail/ns.h"
#include "jail/rootfs.h"

struct sandbox_process {
	char *const *args; /* NULL-terminated; NULL where the bundle has no process */
	char *const *env;  /* NULL-terminated */
	const char *cwd;
	bool terminal;
	unsigned short rows, cols; /* 0: unset */
	struct cred_plan cred;
	struct limits_plan limits;
};

enum sandbox_hook_point {
	HOOK_PRESTART,         /* runtime namespaces, after the mounts, before pivot_root */
	HOOK_CREATE_RUNTIME,   /* the same place, after those */
	HOOK_CREATE_CONTAINER, /* container namespaces, before pivot_root */
	HOOK_START_CONTAINER,  /* inside the container, before the process is executed */
	HOOK_POSTSTART,
	HOOK_POSTSTOP,
	HOOK_POINTS
};

struct sandbox_hook {
	const char *path;
	char *const *args; /* NULL: { path } */
	char *const *env;  /* NULL: the runtime's own */
	int timeout;       /* seconds; 0: none */
};

struct sandbox_hooks {
	const struct sandbox_hook *v;
	size_t n;
};

struct sandbox_sysctl {
	const char *key; /* with slashes: "net/ipv4/ip_forward" */
	const char *value;
};

struct sandbox_net_device {
	const char *host, *name;
};

struct sandbox_rdt {
	const char *closid;          /* NULL: no intelRdt section */
	const char *const *schemata; /* lines, l3CacheSchema and memBwSchema among them */
	size_t n_schemata;
	bool monitoring;
};

struct sandbox {
	const char *id;
	const char *hostname, *domainname; /* NULL: leave */
	struct ns_plan ns;
	struct rootfs_plan rootfs;
	struct cgroup_plan cgroup;
	struct sandbox_process process;
	const struct filter_profile *seccomp; /* NULL: none */
	uint32_t seccomp_flags;               /* SECCOMP_FILTER_FLAG_* */
	const char *seccomp_listener;         /* path of a socket, or NULL */
	const char *seccomp_metadata;         /* or NULL */
	struct landlock_plan landlock;
	const struct sandbox_sysctl *sysctls;
	size_t n_sysctls;
	const struct sandbox_net_device *net_devices;
	size_t n_net_devices;
	struct sandbox_rdt rdt;
	struct sandbox_hooks hooks[HOOK_POINTS];
	bool new_keyring;
};

/* What a new process gets from its caller besides the description. */
struct sandbox_io {
	int console; /* connected console socket that receives the terminal's master, or -1 */
	int start; /* listening socket on which init waits for sandbox_start(), or -1: no waiting */
	int preserve_fds; /* descriptors 3 to 3 + preserve_fds - 1 stay open, holes allowed */
	int listen_fds;   /* of those the first that are passed as LISTEN_FDS (sd_listen_fds(3)) */
	int cwd;          /* directory in which the runtime's hooks run (the bundle) */
	/*
	 * Standard input of the hooks: the state of the container as text, in two halves. The pid
	 * as the hook sees it is written between them.
	 */
	const char *state_head[HOOK_POINTS];
	const char *state_tail;
	/* The message for the socket of a seccomp listener, likewise in halves around the pid. */
	const char *listener_head, *listener_tail;
};

/* A process that was started. */
struct sandbox_task {
	pid_t pid; /* in the caller's pid namespace; a child of the caller */
	int pidfd;
	uint64_t start_time; /* field 22 of /proc/PID/stat */
	int channel;         /* to the process while it is being set up, -1 afterwards */
};

/*
 * Makes this process's own program file out of a container's reach (CVE-2019-5736): executes itself
 * again from a read-only clone of its mount, or from a sealed copy in memory. Returns 0 where that
 * is done already, -errno with a text where it fails, and else not at all.
 */
int sandbox_seal_self(char *const argv[]);

/*
 * Clones init into its namespaces and its cgroup (cg, already created), lets it build the
 * container, runs the hooks up to HOOK_CREATE_CONTAINER, looks the executable up, and returns when
 * everything but the start is done. Init now waits for sandbox_commit(): should the caller die
 * before that, init ends too. On failure nothing of it is left running and the text says which step
 * failed.
 */
int sandbox_create(struct arena *a, const struct sandbox *sb, const struct cgroup *cg,
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
	pid_t pid;   /* of the container's init, */
	int pidfd;   /* which is checked to be the one meant */
	bool userns; /* the container has a user namespace of its own */
};

/*
 * Starts sb->process in the container of join, with the rules of sb (seccomp, Landlock, masks are
 * inherited with the mount namespace). cg and sub (a cgroup below it, or NULL) say where it goes.
 * Returns when it waits for sandbox_commit().
 */
int sandbox_exec(struct arena *a, const struct sandbox *sb, const struct sandbox_join *join,
		 const struct cgroup *cg, const char *sub, const struct sandbox_io *io,
		 struct sandbox_task *out);

/*
 * Runs hooks in order in the caller's namespaces, with head + pid + tail on their standard input.
 * Stops at the first that fails, unless all is set: then every one is run and the first failure
 * returned.
 */
int sandbox_run_hooks(const struct sandbox_hooks *hooks, const char *head, pid_t pid,
		      const char *tail, int cwd, bool all);

#endif
