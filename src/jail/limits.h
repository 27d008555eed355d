/* SPDX-License-Identifier: Apache-2.0 */
/* What a process may use: resource limits, scheduler, I/O priority, affinity, memory policy,
 * personality. */
#ifndef JAIL_LIMITS_H
#define JAIL_LIMITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct limits_rlimit {
	int resource; /* RLIMIT_* */
	uint64_t soft, hard;
};

struct limits_plan {
	const struct limits_rlimit *rlimits;
	size_t n_rlimits;
	bool has_oom_score;
	int oom_score_adj;
	bool has_scheduler;
	uint32_t sched_policy; /* SCHED_* of linux/sched.h */
	uint64_t sched_flags;  /* SCHED_FLAG_* */
	int32_t sched_nice;
	uint32_t sched_priority;
	uint64_t sched_runtime, sched_deadline, sched_period; /* ns */
	bool has_ioprio;
	int ioprio; /* class << 13 | priority, as ioprio_set(2) takes it */
	bool has_personality;
	unsigned long personality;
	bool has_memory_policy;
	int memory_policy;                     /* MPOL_* with MPOL_F_* */
	const char *memory_nodes;              /* "0-3,7" */
	const char *cpus_initial, *cpus_final; /* execCPUAffinity: "0-3,7" or NULL */
};

/*
 * By the child before it becomes undumpable, which takes its own files in /proc from an ordinary
 * user: the score, where it may. The parent tells whether it has the right value.
 */
void limits_set_own_score(const struct limits_plan *p);

/*
 * By the parent, as soon as the child is there: a score that the child might not set itself, and
 * hard limits above the inherited ones, which root of a user namespace may not raise.
 */
int limits_apply_outside(const struct limits_plan *p, pid_t pid);

/* By the child, when it has opened and written all that setting up takes, and still as root. */
int limits_set_rlimits(const struct limits_plan *p);

/* scheduler, ioprio, personality, memory policy: by the child. Between clone and exec. */
int limits_apply_inside(const struct limits_plan *p);

/* "0-3,7" into a mask of size bytes, for sched_setaffinity(2). -EINVAL for what is no list. */
int limits_parse_cpus(const char *list, unsigned long *mask, size_t size);

#endif
