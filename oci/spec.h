/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config.json as structures: the Linux part of the runtime-spec, versions 1.0 to 1.3
 * (github.com/opencontainers/runtime-spec, config.md and config-linux.md). What the engine takes
 * unchanged is read into the engine's own structures. NULL and n = 0 stand for what is absent;
 * where absent and 0 differ there is a struct opt_i64.
 */
#ifndef OCI_SPEC_H
#define OCI_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "sandbox.h"

struct arena;
struct json;

#define SPEC_VERSION_MIN "1.0.0"
#define SPEC_VERSION_MAX "1.3.0"

struct spec_pair {
	const char *key, *value;
};

struct spec_rlimit {
	const char *type;
	uint64_t soft, hard;
};

struct spec_caps {
	const char **bounding, **effective, **inheritable, **permitted, **ambient;
};

struct spec_scheduler {
	uint32_t policy; /* SCHED_* */
	int32_t nice, priority;
	uint64_t flags; /* SCHED_FLAG_* */
	uint64_t runtime, deadline, period;
};

struct spec_io_priority {
	uint32_t class; /* IOPRIO_CLASS_* of linux/ioprio.h */
	int32_t priority;
};

struct spec_process {
	const char *doc; /* the file it stands in and its place there, "process." or "" */
	const char *at;
	bool terminal;
	struct {
		uint32_t height, width;
	} console;
	struct {
		uint32_t uid, gid;
		struct opt_i64 umask;
		const uint32_t *groups;
		size_t n_groups;
	} user;
	const char **args, **env;
	const char *cwd;
	const struct spec_caps *caps;
	const struct spec_rlimit *rlimits;
	size_t n_rlimits;
	bool no_new_privs;
	const char *apparmor, *selinux;
	struct opt_i64 oom_score_adj;
	const struct spec_scheduler *scheduler;
	const struct spec_io_priority *io_priority;
	struct {
		const char *initial, *final;
	} affinity;
};

struct spec_root {
	const char *path;
	bool readonly;
};

struct spec_mount {
	const char *destination, *type, *source;
	const char **options;
	const struct ns_map *uid_map, *gid_map;
	size_t n_uid, n_gid;
};

struct spec_hook {
	const char *path;
	const char **args, **env;
	struct opt_i64 timeout;
};

struct spec_hooks {
	const struct spec_hook *v;
	size_t n;
};

struct spec_namespace {
	uint32_t kind; /* enum ns_kind */
	const char *path;
};

struct spec_time {
	const char *clock;
	int64_t secs;
	uint32_t nanosecs;
};

struct spec_device {
	const char *path;
	uint32_t type; /* S_IFCHR, S_IFBLK or S_IFIFO */
	struct opt_i64 major, minor, mode, uid, gid;
};

struct spec_device_rule {
	bool allow;
	struct opt_i64 type; /* 'a', 'b' or 'c' */
	struct opt_i64 major, minor;
	const char *access;
};

struct spec_resources {
	struct cgroup_limits limits;            /* all but its devices */
	const struct spec_device_rule *devices; /* NULL: the config has no such list */
	size_t n_devices;
};

struct spec_seccomp_arg {
	uint32_t index;
	uint64_t value, value_two;
	const char *op;
};

struct spec_syscall {
	const char **names;
	const char *action;
	struct opt_i64 errno_ret;
	const struct spec_seccomp_arg *args;
	size_t n_args;
};

struct spec_seccomp {
	const char *default_action;
	struct opt_i64 default_errno_ret;
	const char **architectures;
	const char **flags; /* NULL: absent, which is not the same as none */
	const char *listener_path, *listener_metadata;
	const struct spec_syscall *syscalls;
	size_t n_syscalls;
};

struct spec_rdt {
	const char *closid;
	const char **schemata;
	const char *l3_cache_schema, *mem_bw_schema;
	bool monitoring;
};

struct spec_memory_policy {
	uint32_t mode; /* MPOL_* */
	const char *nodes;
	uint64_t flags; /* MPOL_F_* */
};

struct spec_personality {
	uint32_t domain; /* PER_* */
	const char **flags;
};

struct spec {
	const char *doc; /* the name of the file, for messages */
	const struct json *json;
	const char *version;
	const struct spec_process *process;
	const struct spec_root *root;
	const char *hostname, *domainname;
	const struct spec_mount *mounts;
	size_t n_mounts;
	struct spec_hooks hooks[HOOK_POINTS];
	const struct spec_pair *annotations;
	size_t n_annotations;
	/* linux.* */
	const struct ns_map *uid_map, *gid_map;
	size_t n_uid, n_gid;
	const struct spec_pair *sysctl;
	size_t n_sysctl;
	const struct spec_resources *resources;
	const char *cgroups_path;
	const struct spec_namespace *namespaces;
	size_t n_namespaces;
	const struct spec_device *devices;
	size_t n_devices;
	const struct sandbox_net_device *net_devices; /* name NULL: as on the host */
	size_t n_net_devices;
	const struct spec_seccomp *seccomp;
	struct opt_i64 rootfs_propagation; /* MS_SHARED, ... with or without MS_REC */
	const char **masked_paths, **readonly_paths;
	const char *mount_label;
	const struct spec_rdt *rdt;
	const struct spec_memory_policy *memory_policy;
	const struct spec_personality *personality;
	const struct spec_time *time_offsets;
	size_t n_time_offsets;
};

/*
 * Reads <dir>/<path> (config.json of the bundle dir). Checks types and words, nothing more: that is
 * check_spec()'s. Fails with -errno where it can't be read, with -EINVAL and the place in the file
 * otherwise.
 */
int spec_load(struct arena *a, int dir, const char *path, const struct spec **out);

/* A file that holds one process object: exec --process. */
int spec_load_process(struct arena *a, int dir, const char *path, const struct spec_process **out);

/* A file that holds one linux.resources object: update --resources. */
int spec_load_resources(struct arena *a, int dir, const char *path,
			const struct spec_resources **out);

/* The three of text that was parsed already. doc is the name for messages. */
int spec_bind(struct arena *a, const char *doc, const struct json *v, const struct spec **out);
int spec_bind_process(struct arena *a, const char *doc, const struct json *v,
		      const struct spec_process **out);
int spec_bind_resources(struct arena *a, const char *doc, const struct json *v,
			const struct spec_resources **out);

/* The namespace of that kind the config asks for, or NULL. */
const struct spec_namespace *spec_namespace(const struct spec *s, enum ns_kind kind);

/* The value of an annotation, or NULL. */
const char *spec_annotation(const struct spec *s, const char *key);

/* A setting among the annotations that counts by being there; "0" and "false" stand for no. */
bool spec_is_set(const struct spec *s, const char *key);

/* True where the supplementary groups are left as they are: process.user.additionalGids is idle. */
bool spec_keeps_groups(const struct spec *s);

/*
 * The file of a sysctl key beneath /proc/sys: "net.ipv4.ip_forward" or "net/ipv4/ip_forward". As
 * sysctl(8) has it the first separator decides: where it is a dot, dots and slashes trade places.
 * False where size is too small.
 */
bool spec_sysctl_file(const char *key, char *out, size_t size);

/* The JSON names of the hook lists, by enum sandbox_hook_point. */
extern const char *const spec_hook_names[HOOK_POINTS];

/* The words the tables know, for `features`. */
struct spec_words {
	const struct name_row *rows;
	size_t n;
};
extern const struct spec_words spec_memory_policy_modes, spec_memory_policy_flags;

#endif
