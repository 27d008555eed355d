/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "oci/check.h"
#include "oci/json.h"
#include "oci/spec.h"

/*
 * A row is what is put into a good config: a later member of the same name replaces the earlier
 * one. The error is what follows "config.json: "; NULL where the config is good.
 */
struct row {
	const char *more, *error;
};

#define GOOD                                                                        \
	"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"                 \
	"\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]},\"linux\":{\"namespaces\":[" \
	"{\"type\":\"mount\"},{\"type\":\"uts\"},{\"type\":\"ipc\"},{\"type\":\"network\"}]}"

static int check(struct arena *a, const char *text)
{
	const struct json *v;
	const struct spec *s;
	int ret = json_parse(a, "config.json", text, strlen(text), &v);

	if (!ret)
		ret = spec_bind(a, "config.json", v, &s);
	return ret ? ret : check_spec(s);
}

static void run(const struct row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		auto_arena a = arena_new();
		char text[4096], want[1024];
		const char *more = rows[i].more;
		int ret;

		snprintf(text, sizeof(text), GOOD "%s%s}", *more ? "," : "", more);
		err_clear();
		ret = check(a, text);
		if (!rows[i].error) {
			ok(ret == 0, "%s: %s", more, err_last()->text);
			continue;
		}
		snprintf(want, sizeof(want), "config.json: %s", rows[i].error);
		is_int(ret, -EINVAL, "%s is refused", more);
		is_str(err_last()->text, want, "%s", more);
	}
}
#define RUN(rows) run(rows, sizeof(rows) / sizeof((rows)[0]))

static void top(void)
{
	static const struct row rows[] = {
		{ "", NULL },
		{ "\"ociVersion\":\"1.0.2-dev\"", NULL },
		{ "\"ociVersion\":\"1.3.0+dev\"", NULL },
		{ "\"ociVersion\":\"1.99.0\"", NULL },
		{ "\"ociVersion\":null", "ociVersion: is missing" },
		{ "\"ociVersion\":\"2.0.0\"",
		  "ociVersion: \"2.0.0\" is not supported (known: 1.0.0 to 1.3.0)" },
		{ "\"ociVersion\":\"1.0\"",
		  "ociVersion: \"1.0\" is not supported (known: 1.0.0 to 1.3.0)" },
		{ "\"ociVersion\":\"1.0.0-\"",
		  "ociVersion: \"1.0.0-\" is not supported (known: 1.0.0 to 1.3.0)" },
		{ "\"ociVersion\":\"1.0.0x\"",
		  "ociVersion: \"1.0.0x\" is not supported (known: 1.0.0 to 1.3.0)" },
		{ "\"root\":null", "root: is missing" },
		{ "\"root\":{}", "root.path: is missing" },
		{ "\"root\":{\"path\":\"\"}", "root.path: is empty" },
		{ "\"process\":null", NULL },
		{ "\"hostname\":\"h\",\"domainname\":\"d\"", NULL },
		{ "\"hostname\":\"h\",\"linux\":{}",
		  "hostname: needs a uts namespace (linux.namespaces)" },
		{ "\"domainname\":\"h\",\"linux\":{}",
		  "domainname: needs a uts namespace (linux.namespaces)" },
		{ "\"hostname\":\"\",\"linux\":{}", NULL },
		{ "\"annotations\":{\"\":\"x\"}", "annotations: a key is empty" },
		{ "\"annotations\":{\"a\":1}", "annotations.a: must be a string, is a number" },
		{ "\"vm\":1,\"windows\":[],\"new\":{\"x\":null}", NULL },
		{ "\"hooks\":{\"poststop\":[{\"path\":\"/bin/x\",\"timeout\":1}]}", NULL },
		{ "\"hooks\":{\"prestart\":[{\"path\":\"bin/x\"}]}",
		  "hooks.prestart[0].path: \"bin/x\" is not an absolute path" },
		{ "\"hooks\":{\"poststop\":[{\"path\":\"/a\"},{\"path\":\"/x\",\"timeout\":0}]}",
		  "hooks.poststop[1].timeout: must be greater than zero" },
	};

	RUN(rows);
}

#define PROCESS(more) "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]," more "}"

static void process(void)
{
	static const struct row rows[] = {
		{ "\"process\":{\"args\":[\"a\"]}", "process.cwd: is missing" },
		{ "\"process\":{\"cwd\":\"x\",\"args\":[\"a\"]}",
		  "process.cwd: \"x\" is not an absolute path" },
		{ "\"process\":{\"cwd\":\"\",\"args\":[\"a\"]}",
		  "process.cwd: \"\" is not an absolute path" },
		{ "\"process\":{\"cwd\":\"/\"}", "process.args: must hold at least one entry" },
		{ PROCESS("\"args\":[]"), "process.args: must hold at least one entry" },
		{ PROCESS("\"env\":[\"A=\",\"B=c=d\"]"), NULL },
		{ PROCESS("\"env\":[\"A=1\",\"B\"]"), "process.env[1]: \"B\" is not NAME=VALUE" },
		{ PROCESS("\"env\":[\"=1\"]"), "process.env[0]: \"=1\" is not NAME=VALUE" },
		{ PROCESS("\"terminal\":true,\"consoleSize\":{\"height\":65536,\"width\":1}"),
		  "process.consoleSize: height and width must be at most 65535" },
		{ PROCESS("\"consoleSize\":{\"height\":65536,\"width\":1}"), NULL },
		{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":2},"
			  "{\"type\":\"RLIMIT_NOFILE\",\"soft\":1,\"hard\":2}]"),
		  "process.rlimits[1].type: RLIMIT_NOFILE stands there twice" },
		{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_X\",\"soft\":1,\"hard\":2}]"),
		  "process.rlimits[0].type: \"RLIMIT_X\" is unknown" },
		{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":3,\"hard\":2}]"),
		  "process.rlimits[0]: soft is above hard" },
		{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":18446744073709551615,"
			  "\"hard\":18446744073709551615}]"),
		  NULL },
		{ PROCESS("\"rlimits\":[{\"type\":\"RLIMIT_CORE\",\"soft\":1}]"),
		  "process.rlimits[0].hard: is missing" },
		{ PROCESS("\"user\":{\"uid\":0,\"gid\":0,\"umask\":18}"), NULL },
		{ PROCESS("\"user\":{\"umask\":512}"),
		  "process.user.umask: must be from 0 to 511 (0777)" },
		{ PROCESS("\"user\":{\"uid\":4294967295}"), "process.user: 4294967295 is no id" },
		{ PROCESS("\"oomScoreAdj\":-1001"),
		  "process.oomScoreAdj: must be from -1000 to 1000" },
		{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":-20}"), NULL },
		{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":20}"),
		  "process.scheduler.nice: must be from -20 to 19" },
		{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_FIFO\"}"),
		  "process.scheduler.priority: must be from 1 to 99" },
		{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":1,\"nice\":1}"),
		  "process.scheduler.nice: needs SCHED_OTHER or SCHED_BATCH" },
		{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}"),
		  "process.scheduler.priority: needs SCHED_FIFO or SCHED_RR" },
		{ PROCESS("\"scheduler\":{\"policy\":\"SCHED_RR\",\"priority\":1,\"period\":5}"),
		  "process.scheduler: runtime, deadline and period need SCHED_DEADLINE" },
		{ PROCESS("\"scheduler\":{}"), "process.scheduler.policy: is missing" },
		{ PROCESS("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}"),
		  "process.ioPriority.priority: must be from 0 to 7" },
		{ PROCESS("\"execCPUAffinity\":{\"initial\":\"0-3,7\",\"final\":\"\"}"), NULL },
		{ PROCESS("\"execCPUAffinity\":{\"final\":\"3-1\"}"),
		  "process.execCPUAffinity.final: \"3-1\" is no list like 0-3,7" },
		{ PROCESS("\"execCPUAffinity\":{\"initial\":\"1,\"}"),
		  "process.execCPUAffinity.initial: \"1,\" is no list like 0-3,7" },
	};

	RUN(rows);
}

/* What can't be granted has to be a warning. */
static void unknown_capability_is_no_error(void)
{
	static const struct row rows[] = {
		{ PROCESS("\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_NEW\"]}"), NULL },
	};

	log_set_level(LOG_LEVEL_ERROR);
	RUN(rows);
}

#define MOUNT(more) "\"mounts\":[{\"destination\":\"/x\"," more "}]"

static void mounts(void)
{
	static const struct row rows[] = {
		{ MOUNT("\"type\":\"tmpfs\",\"options\":[\"size=1m\",\"tmpcopyup\"]"), NULL },
		{ MOUNT("\"type\":\"tmpfs\",\"destination\":\"relative\""), NULL },
		{ MOUNT("\"type\":\"tmpfs\",\"destination\":\"\""),
		  "mounts[0].destination: is empty" },
		{ "\"mounts\":[{\"type\":\"tmpfs\"}]", "mounts[0].destination: is missing" },
		{ MOUNT("\"source\":\"a\""), "mounts[0].type: is missing (and no option is bind)" },
		{ MOUNT("\"source\":\"a\",\"options\":[\"rbind\"]"), NULL },
		{ MOUNT("\"source\":\"a\",\"type\":\"bind\""), NULL },
		{ MOUNT("\"type\":\"bind\""),
		  "mounts[0].source: is missing (a bind mount needs it)" },
		{ MOUNT("\"source\":\"a\",\"options\":[\"bind\",\"size=1\"]"),
		  "mounts[0].options: \"size=1\": bind mounts cannot have any filesystem-specific "
		  "options applied" },
		{ MOUNT("\"type\":\"proc\",\"options\":[\"tmpcopyup\"]"),
		  "mounts[0].options: tmpcopyup needs the type tmpfs" },
		{ MOUNT("\"source\":\"/a\",\"options\":[\"bind\",\"idmap\"]"),
		  "mounts[0].options: idmap needs uidMappings and gidMappings of the mount, or a "
		  "user namespace" },
		{ MOUNT("\"source\":\"/a\",\"options\":[\"bind\",\"idmap=uids=0-1-1;gids=0-1-1\"]"),
		  NULL },
		{ MOUNT("\"source\":\"/a\",\"options\":[\"bind\"],\"uidMappings\":[{\"containerID\":"
			"0,\"hostID\":1,\"size\":1}]"),
		  "mounts[0]: uidMappings and gidMappings must be given together" },
		{ MOUNT("\"destination\":\"/proc\",\"type\":\"proc\""), NULL },
		{ MOUNT("\"destination\":\"/proc/cpuinfo\",\"type\":\"bind\",\"source\":\"/a\""),
		  NULL },
		{ MOUNT("\"destination\":\"/a/..//proc/./self/\",\"type\":\"tmpfs\""),
		  "mounts[0].destination: /proc/self is inside /proc" },
		{ MOUNT("\"destination\":\"proc/sys\",\"type\":\"tmpfs\""),
		  "mounts[0].destination: /proc/sys is inside /proc" },
		{ MOUNT("\"destination\":\"/procs/sys\",\"type\":\"tmpfs\""), NULL },
		{ "\"linux\":{\"maskedPaths\":[\"/a\"]}",
		  "linux.maskedPaths: needs a mount namespace (linux.namespaces)" },
		{ "\"linux\":{\"readonlyPaths\":[\"/a\"]}",
		  "linux.readonlyPaths: needs a mount namespace (linux.namespaces)" },
		{ "\"linux\":{\"rootfsPropagation\":\"slave\"}",
		  "linux.rootfsPropagation: needs a mount namespace (linux.namespaces)" },
		{ MOUNT("\"type\":\"tmpfs\"") ",\"linux\":{}",
		  "mounts[0]: needs a mount namespace (linux.namespaces); without one root.path must "
		  "be / and it a bind mount of the same source and destination" },
		{ MOUNT("\"type\":\"bind\",\"source\":\"/x\"") ",\"root\":{\"path\":\"/\"},\"linux\":{}",
		  NULL },
	};

	RUN(rows);
}

#define LINUX(more) "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]," more "}"
#define USERNS(more) \
	"\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}]," more "}"
#define MAP(in, out, n) "{\"containerID\":" #in ",\"hostID\":" #out ",\"size\":" #n "}"

static void namespaces(void)
{
	static const struct row rows[] = {
		{ "\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"pid\"}]}",
		  "linux.namespaces[1].type: this type stands there twice" },
		{ "\"linux\":{\"namespaces\":[{\"type\":\"pid\",\"path\":\"x\"}]}",
		  "linux.namespaces[0].path: \"x\" is not an absolute path" },
		{ "\"linux\":{\"namespaces\":[{\"type\":\"pids\"}]}",
		  "linux.namespaces[0].type: \"pids\" is unknown (known: user, mount, pid, network, "
		  "ipc, uts, cgroup, time)" },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 9) "],\"gidMappings\":[" MAP(0, 5, 9) "]"),
		  NULL },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 9) "]"),
		  "linux.gidMappings: is missing (a user namespace needs it)" },
		{ LINUX("\"gidMappings\":[" MAP(0, 5, 9) "]"),
		  "linux.gidMappings: needs a user namespace (linux.namespaces)" },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 0) "],\"gidMappings\":[" MAP(0, 5, 9) "]"),
		  "linux.uidMappings[0].size: must be greater than zero" },
		{ USERNS("\"uidMappings\":[" MAP(0, 4294967295,
						 2) "],\"gidMappings\":[" MAP(0, 5, 9) "]"),
		  "linux.uidMappings[0]: goes beyond the last id" },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 9) "," MAP(
			  8, 50, 9) "],\"gidMappings\":[" MAP(0, 5, 9) "]"),
		  "linux.uidMappings[1]: overlaps with entry 0" },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 9) "],\"gidMappings\":[" MAP(
			  0, 5, 9) "," MAP(100, 13, 9) "]"),
		  "linux.gidMappings[1]: overlaps with entry 0" },
		{ USERNS("\"uidMappings\":[" MAP(1, 5, 9) "],\"gidMappings\":[" MAP(0, 5, 9) "]"),
		  "process.user.uid: cannot setuid to unmapped uid 0 in user namespace" },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 9) "],\"gidMappings\":[" MAP(1, 5, 9) "]"),
		  "process.user.gid: cannot setgid to unmapped gid 0 in user namespace" },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 9) "],\"gidMappings\":[" MAP(
			  0, 5, 9) "]") "," PROCESS("\"user\":{\"additionalGids\":[8,9]}"),
		  "process.user.additionalGids[1]: gid 9 is not mapped in the user namespace" },
		{ USERNS("\"uidMappings\":[" MAP(0, 5, 9) "],\"gidMappings\":[" MAP(0, 5, 9) "]") "," PROCESS(
			  "\"user\":{\"additionalGids\":[9]}") ",\"annotations\":{\"run.oci.keep_original_groups\":\"1\"}",
		  NULL },
		{ "\"linux\":{\"namespaces\":[{\"type\":\"user\",\"path\":\"/proc/1/ns/user\"}],"
		  "\"uidMappings\":[" MAP(7, 5, 9) "]}",
		  NULL },
		{ LINUX("\"timeOffsets\":{\"monotonic\":{\"secs\":1}}"),
		  "linux.timeOffsets: needs a time namespace" },
		{ "\"linux\":{\"namespaces\":[{\"type\":\"time\"}],\"timeOffsets\":{\"boottime\":"
		  "{\"secs\":-5,\"nanosecs\":999999999}}}",
		  NULL },
		{ "\"linux\":{\"namespaces\":[{\"type\":\"time\"}],\"timeOffsets\":{\"boottime\":"
		  "{\"nanosecs\":1000000000}}}",
		  "linux.timeOffsets.boottime.nanosecs: must be below 1000000000" },
		{ "\"linux\":{\"namespaces\":[{\"type\":\"time\"}],\"timeOffsets\":{\"real\":{}}}",
		  "linux.timeOffsets.real: is unknown (known: monotonic, boottime)" },
		{ "\"linux\":{\"namespaces\":[{\"type\":\"time\",\"path\":\"/t\"}],\"timeOffsets\":"
		  "{\"boottime\":{}}}",
		  "linux.timeOffsets: the time namespace is joined by path, its offsets are fixed" },
	};

	RUN(rows);
}

#define NETNS(more)                                                             \
	"\"linux\":{\"namespaces\":[{\"type\":\"network\"},{\"type\":\"ipc\"}," \
	"{\"type\":\"uts\"}]," more "}"

static void sysctls(void)
{
	static const struct row rows[] = {
		{ NETNS("\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"kernel.msgmax\":\"1\","
			"\"fs/mqueue/msg_max\":\"5\",\"kernel.domainname\":\"d\"}"),
		  NULL },
		{ NETNS("\"sysctl\":{\"net.ipv4.conf.eth0/1.forwarding\":\"1\"}"), NULL },
		{ LINUX("\"sysctl\":{\"net.core.somaxconn\":\"1\"}"),
		  "linux.sysctl.net.core.somaxconn: needs a namespace of type network (linux.namespaces)" },
		{ LINUX("\"sysctl\":{\"kernel.shmmax\":\"1\"}"),
		  "linux.sysctl.kernel.shmmax: needs a namespace of type ipc (linux.namespaces)" },
		{ NETNS("\"sysctl\":{\"kernel.hostname\":\"x\"}"),
		  "linux.sysctl.kernel.hostname: conflicts with hostname, use that" },
		{ NETNS("\"sysctl\":{\"vm.swappiness\":\"1\"}"),
		  "linux.sysctl.vm.swappiness: is not in a separate kernel namespace" },
		{ NETNS("\"sysctl\":{\"kernel.shmmax.x\":\"1\"}"),
		  "linux.sysctl.kernel.shmmax.x: is not in a separate kernel namespace" },
		{ NETNS("\"sysctl\":{\"net/../kernel/panic\":\"1\"}"),
		  "linux.sysctl: \"net/../kernel/panic\" is no sysctl" },
		{ NETNS("\"sysctl\":{\"net.//.kernel.panic\":\"1\"}"),
		  "linux.sysctl: \"net.//.kernel.panic\" is no sysctl" },
		{ NETNS("\"sysctl\":{\"net.\":\"1\"}"), "linux.sysctl: \"net.\" is no sysctl" },
		{ NETNS("\"sysctl\":{\"net.x\":\"1\\n2\"}"),
		  "linux.sysctl.net.x: the value holds a line end" },
	};

	RUN(rows);
}

static void devices(void)
{
	static const struct row rows[] = {
		{ LINUX("\"devices\":[{\"path\":\"/dev/x\",\"type\":\"p\"},{\"path\":\"/dev/y\","
			"\"type\":\"u\",\"major\":1,\"minor\":3}]"),
		  NULL },
		{ LINUX("\"devices\":[{\"path\":\"dev/x\",\"type\":\"p\"}]"),
		  "linux.devices[0].path: \"dev/x\" is not an absolute path" },
		{ LINUX("\"devices\":[{\"path\":\"/x\",\"type\":\"c\",\"minor\":0}]"),
		  "linux.devices[0].major: must be from 0 to 4095" },
		{ LINUX("\"devices\":[{\"path\":\"/x\",\"type\":\"b\",\"major\":0,\"minor\":-1}]"),
		  "linux.devices[0].minor: must be from 0 to 1048575" },
		{ LINUX("\"devices\":[{\"path\":\"/x\",\"type\":\"d\"}]"),
		  "linux.devices[0].type: \"d\" is unknown (known: c, u, b, p)" },
		{ NETNS("\"netDevices\":{\"eth0\":{},\"eth1\":{\"name\":\"e%d\"}}"), NULL },
		{ LINUX("\"netDevices\":{\"eth0\":{}}"),
		  "linux.netDevices: needs a network namespace" },
		{ NETNS("\"netDevices\":{\"eth0\":{\"name\":\"a/b\"}}"),
		  "linux.netDevices.eth0: \"a/b\" is no interface name" },
		{ NETNS("\"netDevices\":{\"sixteen-letters-\":{}}"),
		  "linux.netDevices.sixteen-letters-: \"sixteen-letters-\" is no interface name" },
		{ NETNS("\"netDevices\":{\"a\":{},\"b\":{\"name\":\"a\"}}"),
		  "linux.netDevices.b.name: a is the name of another" },
	};

	RUN(rows);
}

#define RESOURCES(more) LINUX("\"resources\":{" more "}")

static void resources(void)
{
	static const struct row rows[] = {
		{ RESOURCES("\"memory\":{\"limit\":-1,\"swap\":0},\"pids\":{\"limit\":0}"), NULL },
		{ RESOURCES("\"memory\":{\"limit\":-2}"),
		  "linux.resources.memory.limit: must be a number of bytes or -1 (no limit)" },
		{ RESOURCES("\"memory\":{\"limit\":\"1g\"}"),
		  "linux.resources.memory.limit: must be an integer, is a string" },
		{ RESOURCES("\"memory\":{\"swappiness\":101}"),
		  "linux.resources.memory.swappiness: must be from 0 to 100" },
		{ RESOURCES("\"cpu\":{\"quota\":10,\"burst\":11}"),
		  "linux.resources.cpu.burst: must not be larger than cpu.quota" },
		{ RESOURCES("\"cpu\":{\"quota\":-1,\"burst\":11}"), NULL },
		{ RESOURCES("\"cpu\":{\"idle\":2}"), "linux.resources.cpu.idle: must be 0 or 1" },
		{ RESOURCES("\"blockIO\":{\"weight\":0}"), NULL },
		{ RESOURCES("\"blockIO\":{\"weight\":9}"),
		  "linux.resources.blockIO.weight: must be from 10 to 1000" },
		{ RESOURCES("\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0}]}"),
		  "linux.resources.blockIO.weightDevice[0]: has neither weight nor leafWeight" },
		{ RESOURCES("\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0}]}"),
		  "linux.resources.blockIO.throttleReadBpsDevice[0].rate: is missing" },
		{ RESOURCES("\"rdma\":{\"mlx\":{}}"),
		  "linux.resources.rdma.mlx: has neither hcaHandles nor hcaObjects" },
		{ RESOURCES("\"unified\":{\"../memory.max\":\"1\"}"),
		  "linux.resources.unified: \"../memory.max\" is no name of a cgroup file" },
		{ RESOURCES("\"hugepageLimits\":[{\"pageSize\":\"2/MB\",\"limit\":1}]"),
		  "linux.resources.hugepageLimits[0].pageSize: \"2/MB\" is no page size" },
		{ RESOURCES("\"devices\":[{\"allow\":false,\"access\":\"rwm\"}]"), NULL },
		{ RESOURCES("\"devices\":[{\"allow\":true,\"access\":\"rx\"}]"),
		  "linux.resources.devices[0].access: must be made of the letters r, w, m" },
		{ RESOURCES("\"devices\":[{\"allow\":true}]"),
		  "linux.resources.devices[0].access: must be made of the letters r, w, m" },
		{ RESOURCES("\"devices\":[{\"access\":\"r\"}]"),
		  "linux.resources.devices[0].allow: is missing" },
	};

	RUN(rows);
}

#define SECCOMP(more) LINUX("\"seccomp\":{" more "}")
#define RULE(more) SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"syscalls\":[{" more "}]")

static void seccomp(void)
{
	static const struct row rows[] = {
		{ SECCOMP(""), NULL },
		{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38"), NULL },
		{ SECCOMP("\"syscalls\":[{\"names\":[\"a\"],\"action\":\"SCMP_ACT_LOG\"}]"),
		  "linux.seccomp.defaultAction: is missing" },
		{ SECCOMP("\"defaultAction\":\"SCMP_ACT_NOTIFY\""),
		  "linux.seccomp.defaultAction: SCMP_ACT_NOTIFY cannot be the default" },
		{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"defaultErrnoRet\":1"),
		  "linux.seccomp.defaultErrnoRet: SCMP_ACT_ALLOW takes none" },
		{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":4096"),
		  "linux.seccomp.defaultErrnoRet: must be at most 4095" },
		{ RULE("\"names\":[],\"action\":\"SCMP_ACT_LOG\""),
		  "linux.seccomp.syscalls[0].names: is empty" },
		{ RULE("\"action\":\"SCMP_ACT_LOG\""),
		  "linux.seccomp.syscalls[0].names: is missing" },
		{ RULE("\"names\":[\"a\"],\"action\":\"SCMP_ACT_KILL\",\"errnoRet\":1"),
		  "linux.seccomp.syscalls[0].errnoRet: SCMP_ACT_KILL takes none" },
		{ RULE("\"names\":[\"a\"],\"action\":\"SCMP_ACT_TRACE\",\"errnoRet\":65535"),
		  NULL },
		{ RULE("\"names\":[\"a\"],\"action\":\"SCMP_ACT_KILL\",\"errnoRet\":null"), NULL },
		{ RULE("\"names\":[\"a\"],\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":6,"
		       "\"value\":1,\"op\":\"SCMP_CMP_EQ\"}]"),
		  "linux.seccomp.syscalls[0].args[0].index: must be from 0 to 5" },
		{ RULE("\"names\":[\"a\"],\"action\":\"SCMP_ACT_NOTIFY\""),
		  "linux.seccomp.listenerPath: is missing (SCMP_ACT_NOTIFY needs it)" },
		{ RULE("\"names\":[\"write\"],\"action\":\"SCMP_ACT_NOTIFY\""),
		  "linux.seccomp.syscalls[0]: SCMP_ACT_NOTIFY cannot be used for the write syscall" },
		{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerMetadata\":\"x\""),
		  "linux.seccomp.listenerMetadata: needs listenerPath" },
		{ SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\",\"listenerPath\":\"/x\""), NULL },
	};

	RUN(rows);
}

static void rest(void)
{
	static const struct row rows[] = {
		{ LINUX("\"maskedPaths\":[\"/a\",\"b\"]"),
		  "linux.maskedPaths[1]: \"b\" is not an absolute path" },
		{ LINUX("\"readonlyPaths\":[\"b\"]"),
		  "linux.readonlyPaths[0]: \"b\" is not an absolute path" },
		{ LINUX("\"rootfsPropagation\":\"x\""),
		  "linux.rootfsPropagation: \"x\" is unknown (known: shared, slave, private, "
		  "unbindable, rshared, rslave, rprivate, runbindable)" },
		{ LINUX("\"personality\":{\"domain\":\"BSD\"}"),
		  "linux.personality.domain: \"BSD\" is unknown (known: LINUX, LINUX32)" },
		{ LINUX("\"intelRdt\":{\"closID\":\"/\",\"l3CacheSchema\":\"L3:0=f\"}"), NULL },
		{ LINUX("\"intelRdt\":{\"closID\":\"a/b\"}"),
		  "linux.intelRdt.closID: \"a/b\" is no name of a group" },
		{ LINUX("\"intelRdt\":{\"closID\":\"..\"}"),
		  "linux.intelRdt.closID: \"..\" is no name of a group" },
		{ LINUX("\"intelRdt\":{\"memBwSchema\":\"L3:0\"}"),
		  "linux.intelRdt.memBwSchema: must begin with \"MB:\"" },
		{ LINUX("\"intelRdt\":{\"schemata\":[\"L3:0=1\\nMB:0=2\"]}"),
		  "linux.intelRdt.schemata[0]: holds a line end" },
		{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_INTERLEAVE\",\"nodes\":\"0-1\","
			"\"flags\":[\"MPOL_F_STATIC_NODES\"]}"),
		  NULL },
		{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_LOCAL\",\"nodes\":\"0\"}"),
		  "linux.memoryPolicy.nodes: the mode allows none" },
		{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"\"}"),
		  "linux.memoryPolicy.nodes: the mode needs at least one" },
		{ LINUX("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\",\"nodes\":\"0\",\"flags\":["
			"\"MPOL_F_STATIC_NODES\",\"MPOL_F_RELATIVE_NODES\"]}"),
		  "linux.memoryPolicy.flags: MPOL_F_STATIC_NODES and MPOL_F_RELATIVE_NODES exclude "
		  "each other" },
	};

	RUN(rows);
}

/* exec's file: no "process." in its messages, the ids are those of the container. */
static void another_process(void)
{
	static const char container[] = GOOD "," USERNS(
		"\"uidMappings\":[" MAP(0, 5, 9) "],\"gidMappings\":[" MAP(0, 5, 9) "]") "}";
	static const char own[] = "{\"cwd\":\"/\",\"args\":[\"a\"],\"user\":{\"uid\":9}}";
	static const char bad[] = "{\"cwd\":\"x\",\"args\":[\"a\"]}";
	auto_arena a = arena_new();
	const struct json *v, *w, *x;
	const struct spec_process *p;
	const struct spec *s;

	is_int(json_parse(a, "c", container, strlen(container), &v), 0, "%s", err_last()->text);
	is_int(json_parse(a, "p", own, strlen(own), &w), 0, "%s", err_last()->text);
	is_int(json_parse(a, "p", bad, strlen(bad), &x), 0, "%s", err_last()->text);
	is_int(spec_bind(a, "config.json", v, &s), 0, "%s", err_last()->text);
	is_int(spec_bind_process(a, "process.json", w, &p), 0, "%s", err_last()->text);
	is_int(check_process(s, p), -EINVAL, "refused");
	is_str(err_last()->text,
	       "process.json: user.uid: cannot setuid to unmapped uid 9 in user namespace", "why");
	is_int(spec_bind_process(a, "process.json", x, &p), 0, "%s", err_last()->text);
	is_int(check_process(s, p), -EINVAL, "refused");
	is_str(err_last()->text, "process.json: cwd: \"x\" is not an absolute path", "why");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(top),     TAP(process),         TAP(unknown_capability_is_no_error),
		TAP(mounts),  TAP(namespaces),      TAP(sysctls),
		TAP(devices), TAP(resources),       TAP(seccomp),
		TAP(rest),    TAP(another_process),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
