/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a sandbox is to be, as plain structures. Everything a plan points to is the caller's and
 * must live as long as it is used.
 */
#ifndef JAIL_PLAN_H
#define JAIL_PLAN_H

#include "bpf/filter.h"
#include "jail/cgroup.h"
#include "jail/cred.h"
#include "jail/landlock.h"
#include "jail/layers.h"
#include "jail/limits.h"
#include "jail/mount.h"
#include "jail/ns.h"
#include "jail/rootfs.h"
#include "super/super.h"

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
	const char *out, *err; /* files their output is appended to; NULL: kept for the error */
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
	struct super_plan super;
	struct layers_plan layers;
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
	/* Where something is supervised, else -1: of sandbox_create() the listening socket on which
	 * the supervisor is to be asked, of sandbox_exec() a connection to it. */
	int supervisor;
	int preserve_fds; /* descriptors 3 to 3 + preserve_fds - 1 stay open, holes allowed */
	int listen_fds;   /* of those the first that are passed as LISTEN_FDS (sd_listen_fds(3)) */
	bool tied;        /* the process is killed when the thread that asked for it ends */
	bool restored;    /* init executes nothing: it waits to be taken over (ckpt/restore.c) */
	int cwd;          /* directory in which the runtime's hooks run (the bundle) */
	/*
	 * What the caller still has to do before the container is complete, and can do while its
	 * first process is at work: called once that is cloned, before any hook, with its pid and
	 * field 22 of its /proc/PID/stat. NULL: nothing.
	 */
	int (*meanwhile)(void *arg, pid_t pid, uint64_t start_time);
	void *meanwhile_arg;
	/* Of one that is restored with layers: puts into their upper directories what is to be
	 * there. Called when found->init has its user namespace and nothing is mounted yet. */
	int (*fill)(void *arg, struct layers_found *found);
	void *fill_arg;
	/*
	 * Standard input of the hooks: the state of the container as text, in two halves. The pid
	 * as the hook sees it is written between them.
	 */
	const char *state_head[HOOK_POINTS];
	const char *state_tail;
	/* The message for the socket of a seccomp listener, likewise in halves around the pid. */
	const char *listener_head, *listener_tail;
};

#endif
