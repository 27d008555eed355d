/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Control groups, version 1, 2 and the hybrid of both, made by files or by systemd.
 *
 * This is the façade: cgroup_v1.c, cgroup_v2.c and cgroup_systemd.c do the work. Where a cgroup
 * lives is decided once, by cgroup_locate(), and the answer (struct cgroup) is plain text that the
 * state store keeps, so every later call finds the same directories without asking again.
 * Conversions from OCI's (v1) units to v2 files: engine contract, section 6.
 */
#ifndef JAIL_CGROUP_H
#define JAIL_CGROUP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

enum cgroup_manager { CGROUP_DISABLED, CGROUP_FS, CGROUP_SYSTEMD };

/* A number that may be absent from the config: 0 and absent differ. */
struct opt_i64 {
	bool set;
	int64_t v;
};

struct cgroup_device {
	bool allow;
	char type;            /* 'a' all, 'b', 'c' */
	int64_t major, minor; /* -1: any */
	const char *access;   /* of "rwm" */
};

struct cgroup_blk_weight {
	uint32_t major, minor;
	struct opt_i64 weight, leaf_weight;
};

struct cgroup_blk_rate {
	uint32_t major, minor;
	uint64_t rate;
};

enum cgroup_blk_throttle {
	BLK_READ_BPS,
	BLK_WRITE_BPS,
	BLK_READ_IOPS,
	BLK_WRITE_IOPS,
	BLK_THROTTLES
};

struct cgroup_hugepage {
	const char *size; /* "2MB" */
	uint64_t limit;
};

struct cgroup_rdma {
	const char *device;
	struct opt_i64 handles, objects;
};

struct cgroup_priority {
	const char *interface;
	uint32_t priority;
};

struct cgroup_unified {
	const char *key, *value;
};

struct cgroup_limits {
	struct opt_i64 memory, memory_swap, memory_reservation, swappiness;
	struct opt_i64 kernel_memory, kernel_memory_tcp; /* accepted, ignored with a warning */
	struct opt_i64 disable_oom_killer, check_before_update;
	struct opt_i64 cpu_shares, cpu_quota, cpu_period, cpu_burst, cpu_idle, cpu_rt_runtime,
		cpu_rt_period;
	const char *cpus, *mems; /* cpuset lists */
	struct opt_i64 pids;
	struct opt_i64 blk_weight, blk_leaf_weight;
	const struct cgroup_blk_weight *blk_devices;
	size_t n_blk_devices;
	const struct cgroup_blk_rate *blk_rates[BLK_THROTTLES];
	size_t n_blk_rates[BLK_THROTTLES];
	const struct cgroup_hugepage *hugepages;
	size_t n_hugepages;
	struct opt_i64 net_class;
	const struct cgroup_priority *net_priorities;
	size_t n_net_priorities;
	const struct cgroup_rdma *rdma;
	size_t n_rdma;
	const struct cgroup_unified *unified;
	size_t n_unified;
	bool has_devices; /* the config has a resources.devices list: apply devices[] and the
			     implicit allows */
	const struct cgroup_device *devices;
	size_t n_devices;
};

/* A property for the systemd scope: annotation org.systemd.property.NAME=GVARIANT. */
struct cgroup_property {
	const char *name, *value;
};

struct cgroup_plan {
	enum cgroup_manager manager;
	const char *path;     /* linux.cgroupsPath, or NULL */
	const char *id;       /* container id, for default names */
	const char *subgroup; /* run.oci.systemd.subgroup; NULL: default, "": none */
	bool rootless;        /* no permission is no error where nothing was asked for */
	struct cgroup_limits limits;
	const struct cgroup_property *properties;
	size_t n_properties;
	/* >= 0: the container may manage its own cgroup (cgroup namespace, rw mount): chown it to
	 * this host uid */
	int64_t delegate_uid;
};

#define CGROUP_HIERARCHIES 16

struct cgroup_dir {
	const char *controllers; /* "cpu,cpuacct", "name=systemd", "" for version 2 */
	const char *path;        /* absolute directory on the host */
	const char *made; /* the same where create made it and removal removes it; NULL: it existed
			     before and stays. Those above it stay, as with other runtimes. */
};

struct cgroup {
	enum cgroup_manager manager;
	const char *scope; /* systemd unit, or NULL */
	bool rootless;
	pid_t keeper; /* a child that holds a new scope open, 0: none. Not for the state store. */
	const char
		*taken; /* a directory in which others live: cgroup_create() fails. Not stored. */
	struct cgroup_dir dirs[CGROUP_HIERARCHIES];
	size_t n; /* 0: no cgroup */
};

/* Which hierarchies this host mounts: for `features` and for messages. */
struct cgroup_host {
	bool v1, v2, hybrid;
};
int cgroup_host(struct cgroup_host *out);

/*
 * Refuses what can't be: ".." in the path, unified keys on v1, a swap limit below the memory limit.
 * Fills *out with where the cgroup will be; creates nothing. With manager DISABLED, or rootless
 * without permission and without limits, out->n is 0. Fit to be stored before cgroup_create() is
 * called: cgroup_destroy() of it never touches what is not the container's.
 */
int cgroup_locate(struct arena *a, const struct cgroup_plan *plan, struct cgroup *out);

/*
 * Makes what a process can be cloned into: the version 2 directory (systemd: the scope, whose first
 * process is pid). Limits that can't be are refused here already. On failure removes what it made,
 * and cg->n becomes 0. pid 0: a scope gets a child of the caller's as its first process, until
 * cgroup_settle(). A cgroup that has processes already is refused: removing it would kill them.
 */
int cgroup_make(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg, pid_t pid);

/*
 * Then the version 1 directories, with cpusets copied down: the first process may be there already,
 * but has to wait before it enters. On failure *cg is what was made, fit for cgroup_destroy().
 */
int cgroup_make_v1(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg);

/*
 * Writes limits and device rules. The first process may be entering meanwhile: they have to be in
 * force before it executes anything of the container's.
 */
int cgroup_limit(struct arena *a, const struct cgroup_plan *plan, const struct cgroup *cg);

/* All three, and on failure removes what was made. */
int cgroup_create(struct arena *a, const struct cgroup_plan *plan, struct cgroup *cg, pid_t pid);

/* The container's first process has entered: ends and reaps the one that kept its place. */
void cgroup_settle(struct cgroup *cg);

/*
 * Descriptors by which a new process enters, opened before it is cloned: v1 `tasks` files for it to
 * write "0" into (0.1 ms; cgroup.procs from outside waits for a grace period, 8 ms), and the v2
 * directory for CLONE_INTO_CGROUP. The caller closes them with cgroup_entry_close().
 */
struct cgroup_entry {
	int tasks[CGROUP_HIERARCHIES];
	size_t n;
	int v2; /* directory, or -1 */
};
int cgroup_entry_open(const struct cgroup *cg, const char *sub, struct cgroup_entry *out);
/* The same in two steps, as cgroup_make() and cgroup_make_v1() go. */
int cgroup_entry_open_v2(const struct cgroup *cg, struct cgroup_entry *out);
int cgroup_entry_add_v1(const struct cgroup *cg, struct cgroup_entry *e);
/* Between clone and exec: the calling single-threaded process joins the v1 hierarchies. */
int cgroup_entry_join(const struct cgroup_entry *e);
void cgroup_entry_close(struct cgroup_entry *e);
/*
 * Replaces e->v2 by the cgroup in which pid lives: for exec, where clone into the configured one
 * fails with EBUSY or ENOENT since the container's own systemd moved its processes further down.
 */
int cgroup_entry_open_like(pid_t pid, struct cgroup_entry *e);
/* The v2 directory by cgroup.procs, for a process that was not cloned into it. pid 0: the
 * caller. */
int cgroup_entry_attach_v2(const struct cgroup_entry *e, pid_t pid);

/* Changes limits of a running container; only what is set in *limits. Device rules stay. */
int cgroup_update(struct arena *a, struct cgroup *cg, const struct cgroup_limits *limits);

int cgroup_freeze(const struct cgroup *cg, bool frozen);
/* 1 frozen, 0 not, -errno. No cgroup: 0. */
int cgroup_is_frozen(const struct cgroup *cg);

/* Every process of the cgroup and below, in the caller's pid namespace. */
int cgroup_pids(struct arena *a, const struct cgroup *cg, pid_t **out, size_t *out_n);

/*
 * The signal to every process, none missed: cgroup.kill, or freeze, signal, thaw. A paused
 * container stays paused, except for SIGKILL. 0 where there is no cgroup, or nobody in it.
 */
int cgroup_kill(const struct cgroup *cg, int sig);

/*
 * Kills what is left and removes the directories bottom-up, with patience (10 s). A missing one is
 * no error: it also cleans up after a create that was killed at any point.
 */
int cgroup_destroy(struct arena *a, const struct cgroup *cg);

/* Resident numbers for `events`; a number that the kernel does not give stays 0, "max" is
 * UINT64_MAX. */
struct cgroup_stat_pair {
	const char *key;
	uint64_t value;
};
struct cgroup_stat_io {
	uint32_t major, minor;
	const char *op;
	uint64_t value;
};
struct cgroup_stat_mem {
	uint64_t limit, usage, max, failcnt;
};
struct cgroup_stat_huge {
	const char *size;
	uint64_t usage, max, failcnt;
};
/* By the name that `events` has for it: "ioServicedRecursive". */
struct cgroup_stat_io_list {
	const char *name;
	const struct cgroup_stat_io *v;
	size_t n;
};
/* A switch or a level of cpuset, by its file without "cpuset.". Version 1 only. */
struct cgroup_stat_level {
	const char *name;
	int64_t value;
};
/* Time lost to waiting: averages in hundredths of a percent, total in us. Version 2 only. */
struct cgroup_stat_waits {
	uint64_t avg10, avg60, avg300, total;
};
struct cgroup_stat_pressure {
	bool known;
	struct cgroup_stat_waits some, full;
};
struct cgroup_stats {
	uint64_t cpu_total, cpu_kernel, cpu_user; /* ns */
	const uint64_t *cpu_percpu, *cpu_percpu_kernel, *cpu_percpu_user;
	size_t n_percpu, n_percpu_kernel, n_percpu_user; /* version 1 only */
	uint64_t periods, throttled_periods, throttled_time;
	uint64_t memory_cache;
	struct cgroup_stat_mem memory, swap, kernel, kernel_tcp;
	const struct cgroup_stat_pair *memory_raw;
	size_t n_memory_raw;
	uint64_t pids_current, pids_limit; /* limit 0: unlimited */
	const struct cgroup_stat_io_list *io;
	size_t n_io;
	const struct cgroup_stat_huge *huge;
	size_t n_huge;
	const char *cpus, *mems;
	const struct cgroup_stat_level *cpuset;
	size_t n_cpuset;
	struct cgroup_stat_pressure cpu_pressure, memory_pressure, io_pressure;
};
int cgroup_stats(struct arena *a, const struct cgroup *cg, struct cgroup_stats *out);

/*
 * A descriptor that becomes readable (POLLIN or POLLPRI) when the container ran out of memory, for
 * `events`; cgroup_oom_count() tells how often so far. What it holds is to be read and thrown away.
 * It is readable once more when the cgroup goes. -ENOTSUP where the kernel has none.
 */
int cgroup_oom_watch(const struct cgroup *cg);
int cgroup_oom_count(const struct cgroup *cg, uint64_t *out);

#endif
