/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/spec.h"
#include "oci/spec_tables.h"

#define LIMIT(k, json_name, member) \
	BIND(k, struct spec_resources, json_name, limits.member, BIND_AS(BIND_OPT))
#define LIMITS(json_name, member, count, t)                                                    \
	BIND(BIND_OBJECT, struct spec_resources, json_name, limits.member, BIND_AS(BIND_LIST), \
	     BIND_N(struct spec_resources, limits.count), BIND_BY(t))

static const struct name_row rule_types[] = { { "a", 'a' }, { "b", 'b' }, { "c", 'c' } };

static const struct bind_field rule_fields[] = {
	BIND(BIND_BOOL, struct spec_device_rule, "allow", allow, BIND_REQUIRED),
	BIND(BIND_WORD, struct spec_device_rule, "type", type, BIND_AS(BIND_OPT),
	     BIND_NAMES(rule_types)),
	BIND(BIND_I64, struct spec_device_rule, "major", major, BIND_AS(BIND_OPT)),
	BIND(BIND_I64, struct spec_device_rule, "minor", minor, BIND_AS(BIND_OPT)),
	BIND(BIND_STR, struct spec_device_rule, "access", access),
};
static const struct bind_table rule_table = BIND_TABLE(struct spec_device_rule, rule_fields);

static const struct bind_field memory_fields[] = {
	LIMIT(BIND_I64, "limit", memory),
	LIMIT(BIND_I64, "reservation", memory_reservation),
	LIMIT(BIND_I64, "swap", memory_swap),
	LIMIT(BIND_I64, "kernel", kernel_memory),
	LIMIT(BIND_I64, "kernelTCP", kernel_memory_tcp),
	LIMIT(BIND_U64, "swappiness", swappiness),
	LIMIT(BIND_BOOL, "disableOOMKiller", disable_oom_killer),
	LIMIT(BIND_BOOL, "checkBeforeUpdate", check_before_update),
};
static const struct bind_table memory_table = BIND_TABLE(struct spec_resources, memory_fields);

static const struct bind_field cpu_fields[] = {
	LIMIT(BIND_U64, "shares", cpu_shares),
	LIMIT(BIND_I64, "quota", cpu_quota),
	LIMIT(BIND_U64, "burst", cpu_burst),
	LIMIT(BIND_U64, "period", cpu_period),
	LIMIT(BIND_I64, "realtimeRuntime", cpu_rt_runtime),
	LIMIT(BIND_U64, "realtimePeriod", cpu_rt_period),
	LIMIT(BIND_I64, "idle", cpu_idle),
	BIND(BIND_STR, struct spec_resources, "cpus", limits.cpus),
	BIND(BIND_STR, struct spec_resources, "mems", limits.mems),
};
static const struct bind_table cpu_table = BIND_TABLE(struct spec_resources, cpu_fields);

static const struct bind_field pids_fields[] = {
	LIMIT(BIND_I64, "limit", pids),
};
static const struct bind_table pids_table = BIND_TABLE(struct spec_resources, pids_fields);

static const struct bind_field weight_fields[] = {
	BIND(BIND_U32, struct cgroup_blk_weight, "major", major, BIND_REQUIRED),
	BIND(BIND_U32, struct cgroup_blk_weight, "minor", minor, BIND_REQUIRED),
	BIND(BIND_U16, struct cgroup_blk_weight, "weight", weight, BIND_AS(BIND_OPT)),
	BIND(BIND_U16, struct cgroup_blk_weight, "leafWeight", leaf_weight, BIND_AS(BIND_OPT)),
};
static const struct bind_table weight_table = BIND_TABLE(struct cgroup_blk_weight, weight_fields);

static const struct bind_field rate_fields[] = {
	BIND(BIND_U32, struct cgroup_blk_rate, "major", major, BIND_REQUIRED),
	BIND(BIND_U32, struct cgroup_blk_rate, "minor", minor, BIND_REQUIRED),
	BIND(BIND_U64, struct cgroup_blk_rate, "rate", rate, BIND_REQUIRED),
};
static const struct bind_table rate_table = BIND_TABLE(struct cgroup_blk_rate, rate_fields);

static const struct bind_field block_fields[] = {
	LIMIT(BIND_U16, "weight", blk_weight),
	LIMIT(BIND_U16, "leafWeight", blk_leaf_weight),
	LIMITS("weightDevice", blk_devices, n_blk_devices, weight_table),
	LIMITS("throttleReadBpsDevice", blk_rates[BLK_READ_BPS], n_blk_rates[BLK_READ_BPS],
	       rate_table),
	LIMITS("throttleWriteBpsDevice", blk_rates[BLK_WRITE_BPS], n_blk_rates[BLK_WRITE_BPS],
	       rate_table),
	LIMITS("throttleReadIOPSDevice", blk_rates[BLK_READ_IOPS], n_blk_rates[BLK_READ_IOPS],
	       rate_table),
	LIMITS("throttleWriteIOPSDevice", blk_rates[BLK_WRITE_IOPS], n_blk_rates[BLK_WRITE_IOPS],
	       rate_table),
};
static const struct bind_table block_table = BIND_TABLE(struct spec_resources, block_fields);

static const struct bind_field huge_fields[] = {
	BIND(BIND_STR, struct cgroup_hugepage, "pageSize", size, BIND_REQUIRED),
	BIND(BIND_U64, struct cgroup_hugepage, "limit", limit, BIND_REQUIRED),
};
static const struct bind_table huge_table = BIND_TABLE(struct cgroup_hugepage, huge_fields);

static const struct bind_field priority_fields[] = {
	BIND(BIND_STR, struct cgroup_priority, "name", interface, BIND_REQUIRED),
	BIND(BIND_U32, struct cgroup_priority, "priority", priority, BIND_REQUIRED),
};
static const struct bind_table priority_table = BIND_TABLE(struct cgroup_priority, priority_fields);

static const struct bind_field network_fields[] = {
	LIMIT(BIND_U32, "classID", net_class),
	LIMITS("priorities", net_priorities, n_net_priorities, priority_table),
};
static const struct bind_table network_table = BIND_TABLE(struct spec_resources, network_fields);

static const struct bind_field rdma_fields[] = {
	BIND(BIND_U32, struct cgroup_rdma, "hcaHandles", handles, BIND_AS(BIND_OPT)),
	BIND(BIND_U32, struct cgroup_rdma, "hcaObjects", objects, BIND_AS(BIND_OPT)),
};
static const struct bind_table rdma_table = BIND_TABLE(struct cgroup_rdma, rdma_fields);

/* memory, cpu, pids, blockIO and network are objects in the JSON only. */
static const struct bind_field resources_fields[] = {
	{ .name = "memory", .kind = BIND_OBJECT, .table = &memory_table },
	{ .name = "cpu", .kind = BIND_OBJECT, .table = &cpu_table },
	{ .name = "pids", .kind = BIND_OBJECT, .table = &pids_table },
	{ .name = "blockIO", .kind = BIND_OBJECT, .table = &block_table },
	{ .name = "network", .kind = BIND_OBJECT, .table = &network_table },
	LIMITS("hugepageLimits", hugepages, n_hugepages, huge_table),
	BIND(BIND_OBJECT, struct spec_resources, "rdma", limits.rdma, BIND_AS(BIND_MAP),
	     BIND_N(struct spec_resources, limits.n_rdma), BIND_BY(rdma_table)),
	BIND(BIND_STR, struct spec_resources, "unified", limits.unified, BIND_AS(BIND_MAP),
	     BIND_N(struct spec_resources, limits.n_unified)),
	BIND(BIND_OBJECT, struct spec_resources, "devices", devices, BIND_AS(BIND_LIST),
	     BIND_N(struct spec_resources, n_devices), BIND_BY(rule_table)),
};
const struct bind_table spec_resources_table = BIND_TABLE(struct spec_resources, resources_fields);
