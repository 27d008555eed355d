/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/mempolicy.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/stat.h>

#include "oci/spec.h"
#include "oci/spec_tables.h"

/* newer than Debian 12's linux/mempolicy.h; the number is the kernel's */
#define WEIGHTED_INTERLEAVE 6

static const struct name_row ns_types[] = {
	{ "user", NS_USER }, { "mount", NS_MOUNT }, { "pid", NS_PID },       { "network", NS_NET },
	{ "ipc", NS_IPC },   { "uts", NS_UTS },     { "cgroup", NS_CGROUP }, { "time", NS_TIME },
};

static const struct name_row propagations[] = {
	{ "shared", MS_SHARED },
	{ "slave", MS_SLAVE },
	{ "private", MS_PRIVATE },
	{ "unbindable", MS_UNBINDABLE },
	{ "rshared", MS_SHARED | MS_REC },
	{ "rslave", MS_SLAVE | MS_REC },
	{ "rprivate", MS_PRIVATE | MS_REC },
	{ "runbindable", MS_UNBINDABLE | MS_REC },
};

static const struct name_row device_types[] = {
	{ "c", S_IFCHR },
	{ "u", S_IFCHR },
	{ "b", S_IFBLK },
	{ "p", S_IFIFO },
};

static const struct name_row policy_modes[] = {
	{ "MPOL_DEFAULT", MPOL_DEFAULT },       { "MPOL_BIND", MPOL_BIND },
	{ "MPOL_INTERLEAVE", MPOL_INTERLEAVE }, { "MPOL_WEIGHTED_INTERLEAVE", WEIGHTED_INTERLEAVE },
	{ "MPOL_PREFERRED", MPOL_PREFERRED },   { "MPOL_PREFERRED_MANY", MPOL_PREFERRED_MANY },
	{ "MPOL_LOCAL", MPOL_LOCAL },
};
const struct spec_words spec_memory_policy_modes = { policy_modes, NAME_COUNT(policy_modes) };

static const struct name_row policy_flags[] = {
	{ "MPOL_F_NUMA_BALANCING", MPOL_F_NUMA_BALANCING },
	{ "MPOL_F_RELATIVE_NODES", MPOL_F_RELATIVE_NODES },
	{ "MPOL_F_STATIC_NODES", MPOL_F_STATIC_NODES },
};
const struct spec_words spec_memory_policy_flags = { policy_flags, NAME_COUNT(policy_flags) };

static const struct name_row domains[] = { { "LINUX", PER_LINUX }, { "LINUX32", PER_LINUX32 } };

static const struct bind_field ns_fields[] = {
	BIND(BIND_WORD, struct spec_namespace, "type", kind, BIND_REQUIRED, BIND_NAMES(ns_types)),
	BIND(BIND_STR, struct spec_namespace, "path", path),
};
static const struct bind_table ns_table = BIND_TABLE(struct spec_namespace, ns_fields);

static const struct bind_field time_fields[] = {
	BIND(BIND_I64, struct spec_time, "secs", secs),
	BIND(BIND_U32, struct spec_time, "nanosecs", nanosecs),
};
static const struct bind_table time_table = BIND_TABLE(struct spec_time, time_fields);

static const struct bind_field device_fields[] = {
	BIND(BIND_STR, struct spec_device, "path", path, BIND_REQUIRED),
	BIND(BIND_WORD, struct spec_device, "type", type, BIND_REQUIRED, BIND_NAMES(device_types)),
	BIND(BIND_I64, struct spec_device, "major", major, BIND_AS(BIND_OPT)),
	BIND(BIND_I64, struct spec_device, "minor", minor, BIND_AS(BIND_OPT)),
	BIND(BIND_U32, struct spec_device, "fileMode", mode, BIND_AS(BIND_OPT)),
	BIND(BIND_U32, struct spec_device, "uid", uid, BIND_AS(BIND_OPT)),
	BIND(BIND_U32, struct spec_device, "gid", gid, BIND_AS(BIND_OPT)),
};
static const struct bind_table device_table = BIND_TABLE(struct spec_device, device_fields);

static const struct bind_field net_device_fields[] = {
	BIND(BIND_STR, struct sandbox_net_device, "name", name),
};
static const struct bind_table net_device_table =
	BIND_TABLE(struct sandbox_net_device, net_device_fields);

static const struct bind_field arg_fields[] = {
	BIND(BIND_U32, struct spec_seccomp_arg, "index", index, BIND_REQUIRED),
	BIND(BIND_U64, struct spec_seccomp_arg, "value", value, BIND_REQUIRED),
	BIND(BIND_U64, struct spec_seccomp_arg, "valueTwo", value_two),
	BIND(BIND_STR, struct spec_seccomp_arg, "op", op, BIND_REQUIRED),
};
static const struct bind_table arg_table = BIND_TABLE(struct spec_seccomp_arg, arg_fields);

static const struct bind_field syscall_fields[] = {
	BIND(BIND_STR, struct spec_syscall, "names", names, BIND_REQUIRED, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_syscall, "action", action, BIND_REQUIRED),
	BIND(BIND_U32, struct spec_syscall, "errnoRet", errno_ret, BIND_AS(BIND_OPT)),
	BIND(BIND_OBJECT, struct spec_syscall, "args", args, BIND_AS(BIND_LIST),
	     BIND_N(struct spec_syscall, n_args), BIND_BY(arg_table)),
};
static const struct bind_table syscall_table = BIND_TABLE(struct spec_syscall, syscall_fields);

static const struct bind_field seccomp_fields[] = {
	BIND(BIND_STR, struct spec_seccomp, "defaultAction", default_action),
	BIND(BIND_U32, struct spec_seccomp, "defaultErrnoRet", default_errno_ret,
	     BIND_AS(BIND_OPT)),
	BIND(BIND_STR, struct spec_seccomp, "architectures", architectures, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_seccomp, "flags", flags, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_seccomp, "listenerPath", listener_path),
	BIND(BIND_STR, struct spec_seccomp, "listenerMetadata", listener_metadata),
	BIND(BIND_OBJECT, struct spec_seccomp, "syscalls", syscalls, BIND_AS(BIND_LIST),
	     BIND_N(struct spec_seccomp, n_syscalls), BIND_BY(syscall_table)),
};
static const struct bind_table seccomp_table = BIND_TABLE(struct spec_seccomp, seccomp_fields);

static const struct bind_field rdt_fields[] = {
	BIND(BIND_STR, struct spec_rdt, "closID", closid),
	BIND(BIND_STR, struct spec_rdt, "schemata", schemata, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec_rdt, "l3CacheSchema", l3_cache_schema),
	BIND(BIND_STR, struct spec_rdt, "memBwSchema", mem_bw_schema),
	BIND(BIND_BOOL, struct spec_rdt, "enableMonitoring", monitoring),
};
static const struct bind_table rdt_table = BIND_TABLE(struct spec_rdt, rdt_fields);

static const struct bind_field policy_fields[] = {
	BIND(BIND_WORD, struct spec_memory_policy, "mode", mode, BIND_REQUIRED,
	     BIND_NAMES(policy_modes)),
	BIND(BIND_STR, struct spec_memory_policy, "nodes", nodes),
	BIND(BIND_WORD, struct spec_memory_policy, "flags", flags, BIND_AS(BIND_FLAGS),
	     BIND_NAMES(policy_flags)),
};
static const struct bind_table policy_table = BIND_TABLE(struct spec_memory_policy, policy_fields);

static const struct bind_field personality_fields[] = {
	BIND(BIND_WORD, struct spec_personality, "domain", domain, BIND_REQUIRED,
	     BIND_NAMES(domains)),
	BIND(BIND_STR, struct spec_personality, "flags", flags, BIND_AS(BIND_WORDS)),
};
static const struct bind_table personality_table =
	BIND_TABLE(struct spec_personality, personality_fields);

#define LIST(json_name, member, count, t)                                     \
	BIND(BIND_OBJECT, struct spec, json_name, member, BIND_AS(BIND_LIST), \
	     BIND_N(struct spec, count), BIND_BY(t))
#define SECTION(json_name, member, t) \
	BIND(BIND_OBJECT, struct spec, json_name, member, BIND_AS(BIND_PTR), BIND_BY(t))
#define MAP(k, json_name, member, count, ...)                                                  \
	BIND(k, struct spec, json_name, member, BIND_AS(BIND_MAP), BIND_N(struct spec, count), \
	     __VA_ARGS__)

static const struct bind_field linux_fields[] = {
	LIST("uidMappings", uid_map, n_uid, spec_map_table),
	LIST("gidMappings", gid_map, n_gid, spec_map_table),
	MAP(BIND_STR, "sysctl", sysctl, n_sysctl),
	SECTION("resources", resources, spec_resources_table),
	BIND(BIND_STR, struct spec, "cgroupsPath", cgroups_path),
	LIST("namespaces", namespaces, n_namespaces, ns_table),
	LIST("devices", devices, n_devices, device_table),
	MAP(BIND_OBJECT, "netDevices", net_devices, n_net_devices, BIND_BY(net_device_table)),
	SECTION("seccomp", seccomp, seccomp_table),
	BIND(BIND_WORD, struct spec, "rootfsPropagation", rootfs_propagation, BIND_AS(BIND_OPT),
	     BIND_NAMES(propagations)),
	BIND(BIND_STR, struct spec, "maskedPaths", masked_paths, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec, "readonlyPaths", readonly_paths, BIND_AS(BIND_WORDS)),
	BIND(BIND_STR, struct spec, "mountLabel", mount_label),
	SECTION("intelRdt", rdt, rdt_table),
	SECTION("memoryPolicy", memory_policy, policy_table),
	SECTION("personality", personality, personality_table),
	MAP(BIND_OBJECT, "timeOffsets", time_offsets, n_time_offsets, BIND_BY(time_table)),
};
const struct bind_table spec_linux_table = BIND_TABLE(struct spec, linux_fields);
