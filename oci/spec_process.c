/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/ioprio.h>
#include <linux/sched.h>

#include "oci/spec.h"
#include "oci/spec_tables.h"

static const struct name_row policies[] = {
	{ "SCHED_OTHER", SCHED_NORMAL }, { "SCHED_FIFO", SCHED_FIFO },
	{ "SCHED_RR", SCHED_RR },        { "SCHED_BATCH", SCHED_BATCH },
	{ "SCHED_IDLE", SCHED_IDLE },    { "SCHED_DEADLINE", SCHED_DEADLINE },
};

static const struct name_row scheduler_flags[] = {
	{ "SCHED_FLAG_RESET_ON_FORK", SCHED_FLAG_RESET_ON_FORK },
	{ "SCHED_FLAG_RECLAIM", SCHED_FLAG_RECLAIM },
	{ "SCHED_FLAG_DL_OVERRUN", SCHED_FLAG_DL_OVERRUN },
	{ "SCHED_FLAG_KEEP_POLICY", SCHED_FLAG_KEEP_POLICY },
	{ "SCHED_FLAG_KEEP_PARAMS", SCHED_FLAG_KEEP_PARAMS },
	{ "SCHED_FLAG_UTIL_CLAMP_MIN", SCHED_FLAG_UTIL_CLAMP_MIN },
	{ "SCHED_FLAG_UTIL_CLAMP_MAX", SCHED_FLAG_UTIL_CLAMP_MAX },
};

static const struct name_row io_classes[] = {
	{ "IOPRIO_CLASS_RT", IOPRIO_CLASS_RT },
	{ "IOPRIO_CLASS_BE", IOPRIO_CLASS_BE },
	{ "IOPRIO_CLASS_IDLE", IOPRIO_CLASS_IDLE },
};

static const struct bind_field rlimit_fields[] = {
	BIND(BIND_STR, struct spec_rlimit, "type", type, BIND_REQUIRED),
	BIND(BIND_U64, struct spec_rlimit, "soft", soft, BIND_REQUIRED),
	BIND(BIND_U64, struct spec_rlimit, "hard", hard, BIND_REQUIRED),
};
static const struct bind_table rlimit_table = BIND_TABLE(struct spec_rlimit, rlimit_fields);

static const struct bind_field caps_fields[] = {
	BIND(BIND_STR, struct spec_caps, "bounding", bounding, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_caps, "effective", effective, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_caps, "inheritable", inheritable, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_caps, "permitted", permitted, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_caps, "ambient", ambient, BIND_AS(BIND_WORDS)),
};
static const struct bind_table caps_table = BIND_TABLE(struct spec_caps, caps_fields);

static const struct bind_field scheduler_fields[] = {
	BIND(BIND_WORD, struct spec_scheduler, "policy", policy, BIND_REQUIRED,
	     BIND_NAMES(policies)),
	BIND(BIND_I32, struct spec_scheduler, "nice", nice),
	BIND(BIND_I32, struct spec_scheduler, "priority", priority),
	BIND(BIND_WORD, struct spec_scheduler, "flags", flags, BIND_AS(BIND_FLAGS),
	     BIND_NAMES(scheduler_flags)),
	BIND(BIND_U64, struct spec_scheduler, "runtime", runtime),
	BIND(BIND_U64, struct spec_scheduler, "deadline", deadline),
	BIND(BIND_U64, struct spec_scheduler, "period", period),
};
static const struct bind_table scheduler_table =
	BIND_TABLE(struct spec_scheduler, scheduler_fields);

static const struct bind_field io_priority_fields[] = {
	BIND(BIND_WORD, struct spec_io_priority, "class", class, BIND_REQUIRED,
	     BIND_NAMES(io_classes)),
	BIND(BIND_I32, struct spec_io_priority, "priority", priority, BIND_REQUIRED),
};
static const struct bind_table io_priority_table =
	BIND_TABLE(struct spec_io_priority, io_priority_fields);

/* These stand in objects of their own in the JSON and in the process itself here. */
static const struct bind_field console_fields[] = {
	BIND(BIND_U32, struct spec_process, "height", console.height, BIND_REQUIRED),
	BIND(BIND_U32, struct spec_process, "width", console.width, BIND_REQUIRED),
};
static const struct bind_table console_table = BIND_TABLE(struct spec_process, console_fields);

static const struct bind_field user_fields[] = {
	BIND(BIND_U32, struct spec_process, "uid", user.uid),
	BIND(BIND_U32, struct spec_process, "gid", user.gid),
	BIND(BIND_U32, struct spec_process, "umask", user.umask, BIND_AS(BIND_OPT)),
	BIND(BIND_U32, struct spec_process, "additionalGids", user.groups, BIND_AS(BIND_LIST),
	     BIND_N(struct spec_process, user.n_groups)),
};
static const struct bind_table user_table = BIND_TABLE(struct spec_process, user_fields);

static const struct bind_field affinity_fields[] = {
	BIND(BIND_STR, struct spec_process, "initial", affinity.initial),
	BIND(BIND_STR, struct spec_process, "final", affinity.final),
};
static const struct bind_table affinity_table = BIND_TABLE(struct spec_process, affinity_fields);

static const struct bind_field process_fields[] = {
	BIND(BIND_BOOL, struct spec_process, "terminal", terminal),
	{ .name = "consoleSize", .kind = BIND_OBJECT, .table = &console_table },
	{ .name = "user", .kind = BIND_OBJECT, .table = &user_table },
	BIND(BIND_STR, struct spec_process, "args", args, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_process, "env", env, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_process, "cwd", cwd, BIND_REQUIRED),
	BIND(BIND_OBJECT, struct spec_process, "capabilities", caps, BIND_AS(BIND_PTR),
	     BIND_BY(caps_table)),
	BIND(BIND_OBJECT, struct spec_process, "rlimits", rlimits, BIND_AS(BIND_LIST),
	     BIND_N(struct spec_process, n_rlimits), BIND_BY(rlimit_table)),
	BIND(BIND_BOOL, struct spec_process, "noNewPrivileges", no_new_privs),
	BIND(BIND_STR, struct spec_process, "apparmorProfile", apparmor),
	BIND(BIND_STR, struct spec_process, "selinuxLabel", selinux),
	BIND(BIND_I32, struct spec_process, "oomScoreAdj", oom_score_adj, BIND_AS(BIND_OPT)),
	BIND(BIND_OBJECT, struct spec_process, "scheduler", scheduler, BIND_AS(BIND_PTR),
	     BIND_BY(scheduler_table)),
	BIND(BIND_OBJECT, struct spec_process, "ioPriority", io_priority, BIND_AS(BIND_PTR),
	     BIND_BY(io_priority_table)),
	{ .name = "execCPUAffinity", .kind = BIND_OBJECT, .table = &affinity_table },
};
const struct bind_table spec_process_table = BIND_TABLE(struct spec_process, process_fields);
