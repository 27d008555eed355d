/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/limits.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/names.h"
#include "base/sys.h"

#define IOPRIO_WHO_PROCESS 1
#define NODES_MAX 1024

static int refuse_rlimit(const struct limits_rlimit *l)
{
	return fail_errno("set %s to soft %llu, hard %llu (process.rlimits)",
			  name_of_rlimit(l->resource), (unsigned long long)l->soft,
			  (unsigned long long)l->hard);
}

static int raise_rlimit(const struct limits_rlimit *l, pid_t pid)
{
	struct rlimit limit;

	/* The child's are still the caller's. To ask for another user's takes CAP_SYS_RESOURCE. */
	if (prlimit(0, l->resource, NULL, &limit) < 0)
		return refuse_rlimit(l);
	if (l->hard <= limit.rlim_max)
		return 0;
	limit.rlim_max = l->hard;
	return prlimit(pid, l->resource, &limit, NULL) < 0 ? refuse_rlimit(l) : 0;
}

int limits_set_rlimits(const struct limits_plan *p)
{
	struct rlimit limit;

	for (size_t i = 0; i < p->n_rlimits; i++) {
		limit = (struct rlimit){ .rlim_cur = p->rlimits[i].soft,
					 .rlim_max = p->rlimits[i].hard };
		if (prlimit(0, p->rlimits[i].resource, &limit, NULL) < 0)
			return refuse_rlimit(&p->rlimits[i]);
	}
	return 0;
}

void limits_set_own_score(const struct limits_plan *p)
{
	char text[16];

	if (!p->has_oom_score)
		return;
	snprintf(text, sizeof(text), "%d", p->oom_score_adj);
	fd_put(AT_FDCWD, "/proc/self/oom_score_adj", text);
}

static bool has_score(const char *path, int score)
{
	auto_fd fd = open(path, O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	return fd >= 0 && read(fd, text, sizeof(text) - 1) > 0 && atoi(text) == score;
}

int limits_apply_outside(const struct limits_plan *p, pid_t pid)
{
	char path[64], text[16];
	int ret = 0;

	for (size_t i = 0; !ret && i < p->n_rlimits; i++)
		ret = raise_rlimit(&p->rlimits[i], pid);
	if (ret || !p->has_oom_score)
		return ret;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", pid);
	snprintf(text, sizeof(text), "%d", p->oom_score_adj);
	ret = fd_put(AT_FDCWD, path, text);
	if (!ret || has_score(path, p->oom_score_adj))
		return 0;
	return fail(-ret, "set oom_score_adj to %s (process.oomScoreAdj): %s", text,
		    err_reason(-ret));
}

int limits_parse_cpus(const char *list, unsigned long *mask, size_t size)
{
	const unsigned long bits = 8 * sizeof(unsigned long);
	unsigned long first, last;
	char *end;

	memset(mask, 0, size);
	for (const char *p = list; *p; p = end + (*end == ',')) {
		if (*p < '0' || *p > '9')
			return -EINVAL;
		first = last = strtoul(p, &end, 10);
		if (*end == '-') {
			if (end[1] < '0' || end[1] > '9')
				return -EINVAL;
			last = strtoul(end + 1, &end, 10);
		}
		if ((*end && *end != ',') || (*end == ',' && !end[1]) || last < first ||
		    last >= size * 8)
			return -EINVAL;
		for (; first <= last; first++)
			mask[first / bits] |= 1ul << first % bits;
	}
	return 0;
}

static int set_memory_policy(const struct limits_plan *p)
{
	unsigned long nodes[NODES_MAX / (8 * sizeof(unsigned long))];
	bool named = p->memory_nodes && *p->memory_nodes;

	if (named && limits_parse_cpus(p->memory_nodes, nodes, sizeof(nodes)))
		return fail(EINVAL, "linux.memoryPolicy.nodes \"%s\" is no list of nodes",
			    p->memory_nodes);
	if (syscall(SYS_set_mempolicy, p->memory_policy, named ? nodes : NULL,
		    named ? NODES_MAX : 0) < 0)
		return errno != EINVAL
			       ? fail_errno("set the memory policy (linux.memoryPolicy)")
			       : fail(EINVAL,
				      "linux.memoryPolicy: this kernel has no such mode, or none "
				      "of the nodes \"%s\" has memory that the container may use",
				      named ? p->memory_nodes : "");
	return 0;
}

static int set_scheduler(const struct limits_plan *p)
{
	struct sys_sched_attr attr = {
		.size = sizeof(attr),
		.sched_policy = p->sched_policy,
		.sched_flags = p->sched_flags,
		.sched_nice = p->sched_nice,
		.sched_priority = p->sched_priority,
		.sched_runtime = p->sched_runtime,
		.sched_deadline = p->sched_deadline,
		.sched_period = p->sched_period,
	};

	return sys_sched_setattr(0, &attr) < 0 ? fail_errno("set the scheduler (process.scheduler)")
					       : 0;
}

int limits_apply_inside(const struct limits_plan *p)
{
	int ret = p->has_scheduler ? set_scheduler(p) : 0;

	if (!ret && p->has_memory_policy)
		ret = set_memory_policy(p);
	if (ret)
		return ret;
	if (p->has_ioprio && sys_ioprio_set(IOPRIO_WHO_PROCESS, 0, p->ioprio) < 0)
		return fail_errno("set the I/O priority (process.ioPriority)");
	if (p->has_personality && personality(p->personality) < 0)
		return fail_errno("set the personality (linux.personality)");
	return 0;
}
