/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/ioprio.h>
#include <linux/mempolicy.h>
#include <linux/mount.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/mem.h"
#include "lib/tap.h"
#include "oci/build.h"
#include "oci/check.h"
#include "oci/json.h"
#include "oci/spec.h"
#include "oci/template.h"

#define CAP(name) (1ull << CAP_##name)

static const struct build_context context = {
	.id = "box",
	.bundle = "/bundle",
	.bundle_dir = -1,
	.manager = CGROUP_FS,
};

/* A config with these members besides the required ones; checked as a command would. */
static int try_build(struct arena *a, const char *more, struct sandbox *out)
{
	char *text = arena_printf(a,
				  "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"rootfs\"},"
				  "\"process\":{\"cwd\":\"/\",\"args\":[\"sh\"]},"
				  "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}%s%s}",
				  *more ? "," : "", more);
	const struct json *v;
	const struct spec *s;
	int ret = json_parse(a, "config.json", text, strlen(text), &v);

	if (!ret)
		ret = spec_bind(a, "config.json", v, &s);
	if (!ret)
		ret = check_spec(s);
	return ret ? ret : build_sandbox(a, s, &context, out);
}

static void build(struct arena *a, const char *more, struct sandbox *out)
{
	if (!ok(try_build(a, more, out) == 0, "%s: %s", more, err_last()->text))
		exit(1);
}

static void refused(const char *more, const char *error)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	is_int(try_build(a, more, &sb), -EINVAL, "%s is refused", more);
	is_str(err_last()->text, error, "%s", more);
}

static void smallest(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a, "", &sb);
	is_str(sb.id, "box", "id");
	is_str(sb.rootfs.path, "/bundle/rootfs", "root");
	is_str(sb.process.args[0], "sh", "args");
	ok(!sb.process.args[1] && sb.process.env && !sb.process.env[0], "lists end");
	ok(!sb.process.cred.caps.set, "absent capabilities are left");
	is_int(sb.process.cred.umask, 022, "absent umask");
	ok(ns_new(&sb.ns, NS_MOUNT) && !sb.ns.want[NS_PID].wanted, "namespaces");
	ok(!sb.seccomp && !sb.rdt.closid && !sb.cgroup.limits.has_devices, "no section");
	ok(sb.new_keyring && sb.cgroup.delegate_uid == -1, "defaults");
	is_int(sb.landlock.mode, LANDLOCK_AUTO, "Landlock");
}

static void root_is_the_real_path(void)
{
	static const char text[] = "{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"link\"},"
				   "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}]}}";
	char dir[] = "/tmp/build_test.XXXXXX";
	auto_arena a = arena_new();
	struct build_context c = context;
	const struct json *v;
	const struct spec *s;
	struct sandbox sb;

	if (!mkdtemp(dir))
		tap_skip("no temporary directory");
	c.bundle = dir;
	c.bundle_dir = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	is_int(json_parse(a, "config.json", text, strlen(text), &v), 0, "parses");
	is_int(spec_bind(a, "config.json", v, &s), 0, "binds");
	is_int(build_sandbox(a, s, &c, &sb), -ENOENT, "a missing root");
	is_str(err_last()->text,
	       "config.json: root.path: open the root directory link: no such file or directory",
	       "why");
	is_int(symlinkat("real", c.bundle_dir, "link"), 0, "link");
	is_int(mkdirat(c.bundle_dir, "real", 0755), 0, "directory");
	is_int(build_sandbox(a, s, &c, &sb), 0, "%s", err_last()->text);
	is_str(sb.rootfs.path, arena_printf(a, "%s/real", dir), "real path");
	ok(!sb.process.args, "no process");
	unlinkat(c.bundle_dir, "real", AT_REMOVEDIR);
	close(openat(c.bundle_dir, "real", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	is_int(build_sandbox(a, s, &c, &sb), -ENOTDIR, "a file");
	unlinkat(c.bundle_dir, "real", 0);
	unlinkat(c.bundle_dir, "link", 0);
	close(c.bundle_dir);
	rmdir(dir);
}

static void process(void)
{
	auto_arena a = arena_new();
	const struct cred_plan *cred;
	const struct limits_plan *l;
	struct sandbox sb;

	build(a,
	      "\"process\":{\"terminal\":true,\"consoleSize\":{\"height\":24,\"width\":80},"
	      "\"user\":{\"uid\":1,\"gid\":2,\"umask\":0,\"additionalGids\":[5,6]},\"cwd\":\"/\","
	      "\"args\":[\"a\",\"b\"],\"env\":[\"A=1\",\"B=2\",\"A=3\",\"AB=4\"],"
	      "\"capabilities\":{\"bounding\":[\"CAP_KILL\",\"CAP_CHOWN\"],"
	      "\"effective\":[\"CAP_KILL\"],\"ambient\":[]},\"rlimits\":[{\"type\":"
	      "\"RLIMIT_CORE\",\"soft\":1,\"hard\":18446744073709551615}],"
	      "\"noNewPrivileges\":true,\"apparmorProfile\":\"p\",\"selinuxLabel\":\"\","
	      "\"oomScoreAdj\":0,\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":-3,\"flags\":"
	      "[\"SCHED_FLAG_RESET_ON_FORK\"]},\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\","
	      "\"priority\":4},\"execCPUAffinity\":{\"initial\":\"0\",\"final\":\"\"}}",
	      &sb);
	cred = &sb.process.cred;
	l = &sb.process.limits;
	ok(sb.process.terminal && sb.process.rows == 24 && sb.process.cols == 80, "terminal");
	ok(cred->uid == 1 && cred->gid == 2 && cred->has_umask && cred->umask == 0, "user");
	ok(cred->n_groups == 2 && cred->groups[1] == 6 && !cred->keep_groups, "groups");
	is_str(sb.process.env[0], "B=2", "of two with one name");
	is_str(sb.process.env[1], "A=3", "the last counts");
	is_str(sb.process.env[2], "AB=4", "a longer name is another");
	ok(!sb.process.env[3], "end");
	ok(cred->caps.set && cred->caps.bounding == (CAP(KILL) | CAP(CHOWN)) &&
		   cred->caps.effective == CAP(KILL) && !cred->caps.permitted,
	   "capabilities");
	ok(l->n_rlimits == 1 && l->rlimits[0].resource == RLIMIT_CORE && l->rlimits[0].soft == 1 &&
		   l->rlimits[0].hard == UINT64_MAX,
	   "rlimits");
	ok(cred->no_new_privs && strcmp(cred->apparmor, "p") == 0 && !cred->selinux, "labels");
	ok(l->has_oom_score && l->oom_score_adj == 0, "oom score 0 is set");
	ok(l->has_scheduler && l->sched_policy == SCHED_BATCH && l->sched_nice == -3 &&
		   l->sched_flags == SCHED_FLAG_RESET_ON_FORK,
	   "scheduler");
	ok(l->has_ioprio && l->ioprio == IOPRIO_PRIO_VALUE(IOPRIO_CLASS_BE, 4), "I/O priority");
	ok(strcmp(l->cpus_initial, "0") == 0 && !l->cpus_final, "affinity");
}

static void long_environment(void)
{
	auto_arena a = arena_new();
	char *env = arena_alloc(a, 200000);
	struct sandbox sb;
	size_t n = 0;

	for (int i = 0; i < 5000; i++)
		n += (size_t)sprintf(env + n, "%s\"V%d=%d\"", i ? "," : "", i % 4000, i);
	build(a, arena_printf(a, "\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],\"env\":[%s]}", env),
	      &sb);
	for (n = 0; sb.process.env[n]; n++)
		;
	is_int((long long)n, 4000, "names");
	is_str(sb.process.env[0], "V1000=1000", "the first that stands");
	is_str(sb.process.env[3999], "V999=4999", "the last");
}

/* What exec starts takes over what its file leaves out. */
static void another_process(void)
{
	static const char config[] =
		"{\"ociVersion\":\"1.0.2\",\"root\":{\"path\":\"r\"},\"process\":{\"cwd\":\"/\","
		"\"args\":[\"a\"],\"capabilities\":{\"bounding\":[\"CAP_KILL\"]}},"
		"\"annotations\":{\"run.oci.keep_original_groups\":\"1\"},\"linux\":{"
		"\"personality\":{\"domain\":\"LINUX32\"},\"memoryPolicy\":{\"mode\":\"MPOL_BIND\","
		"\"nodes\":\"0\",\"flags\":[\"MPOL_F_STATIC_NODES\"]}}}";
	static const char file[] = "{\"cwd\":\"/x\",\"args\":[\"b\"],\"user\":{\"uid\":3}}";
	auto_arena a = arena_new();
	const struct json *v, *w;
	const struct spec_process *p;
	const struct spec *s;
	struct sandbox_process out;

	is_int(json_parse(a, "c", config, strlen(config), &v), 0, "%s", err_last()->text);
	is_int(json_parse(a, "p", file, strlen(file), &w), 0, "%s", err_last()->text);
	is_int(spec_bind(a, "config.json", v, &s), 0, "%s", err_last()->text);
	is_int(spec_bind_process(a, "p", w, &p), 0, "%s", err_last()->text);
	is_int(build_process(a, s, p, &out), 0, "%s", err_last()->text);
	ok(out.cred.uid == 3 && strcmp(out.args[0], "b") == 0, "its own");
	ok(out.cred.caps.set && out.cred.caps.bounding == CAP(KILL), "capabilities");
	ok(out.cred.keep_groups, "groups");
	ok(out.limits.has_personality && out.limits.personality == 8, "personality");
	ok(out.limits.has_memory_policy &&
		   out.limits.memory_policy == (MPOL_BIND | MPOL_F_STATIC_NODES) &&
		   strcmp(out.limits.memory_nodes, "0") == 0,
	   "memory policy");
}

static void mounts(void)
{
	auto_arena a = arena_new();
	const struct mount_plan *m;
	struct sandbox sb;

	build(a,
	      "\"mounts\":[{\"destination\":\"tmp\",\"type\":\"tmpfs\",\"source\":\"t\",\"options\":"
	      "[\"ro\",\"size=1m\",\"mode=700\"]},{\"destination\":\"/a\",\"source\":\"here\","
	      "\"options\":[\"rbind\",\"nosuid\",\"rslave\"]},{\"destination\":\"/b\",\"type\":"
	      "\"bind\",\"source\":\"/there\",\"uidMappings\":[{\"containerID\":0,\"hostID\":7,"
	      "\"size\":1}],\"gidMappings\":[{\"containerID\":0,\"hostID\":8,\"size\":1}]},"
	      "{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":\"cgroup\"},"
	      "{\"destination\":\"/c\",\"source\":\"/x\",\"options\":[\"bind\","
	      "\"ridmap=uids=0-1-10#10-11-5;gids=0-100-10\"]}],\"linux\":{\"namespaces\":"
	      "[{\"type\":\"mount\"}],\"mountLabel\":\"u:r:t:s0:c1,c2\",\"maskedPaths\":[\"/m\"],"
	      "\"readonlyPaths\":[\"/r\",\"/s\"],\"rootfsPropagation\":\"shared\"}",
	      &sb);
	m = sb.rootfs.mounts;
	is_int((long long)sb.rootfs.n_mounts, 5, "number");
	is_str(m[0].where, "mounts[0]", "place");
	is_str(m[0].target, "/tmp", "a relative target begins at the root");
	is_str(m[0].data, "size=1m,mode=700", "data");
	ok(m[0].set == MOUNT_ATTR_RDONLY && strcmp(m[0].fstype, "tmpfs") == 0 && !m[0].bind,
	   "tmpfs");
	is_str(m[0].label, "context=\"u:r:t:s0:c1,c2\"", "label");
	is_str(m[1].source, "/bundle/here", "a relative source begins at the bundle");
	ok(m[1].bind && m[1].recursive && !m[1].fstype && !m[1].label, "recursive bind");
	ok(m[1].set == MOUNT_ATTR_NOSUID && m[1].propagation == (MS_SLAVE | MS_REC), "its options");
	ok(m[2].bind && !m[2].recursive && strcmp(m[2].source, "/there") == 0, "bind by type");
	ok((m[2].extra & MOUNT_IDMAP) && m[2].maps.n_uid == 1 && m[2].maps.gid[0].outside == 8,
	   "mapped without the option");
	ok(strcmp(m[3].fstype, "cgroup") == 0 && !m[3].label, "cgroup is left to the engine");
	ok((m[4].extra & MOUNT_RIDMAP) && m[4].maps.n_uid == 2 && m[4].maps.uid[1].inside == 10 &&
		   m[4].maps.uid[1].outside == 11 && m[4].maps.uid[1].size == 5 &&
		   m[4].maps.gid[0].outside == 100,
	   "mapping in the option");
	ok(sb.rootfs.n_masked == 1 && sb.rootfs.n_read_only == 2, "paths");
	is_int(sb.rootfs.propagation, MS_SHARED, "propagation");
}

static void bad_idmap_options(void)
{
	static const char *const options[] = {
		"idmap=uids=0-1-10",           "idmap=",
		"idmap=uids=0-1;gids=0-1-1",   "idmap=uids=0-1-1-1;gids=0-1-1",
		"idmap=uids=a-1-1;gids=0-1-1", "idmap=uids=@0-1-1;gids=0-1-1",
		"idmap=uids=;gids=0-1-1",      "idmap=x=0-1-1",
	};
	char more[256], error[256];

	for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
		snprintf(more, sizeof(more),
			 "\"mounts\":[{\"destination\":\"/c\",\"source\":\"/x\",\"options\":"
			 "[\"bind\",\"%s\"]}]",
			 options[i]);
		snprintf(error, sizeof(error),
			 "config.json: mounts[0].options: \"%s\" is not "
			 "idmap=uids=ID-ID-N#...;gids=...",
			 options[i]);
		refused(more, error);
	}
}

static void namespaces_and_cgroup(void)
{
	auto_arena a = arena_new();
	const struct cgroup_limits *l;
	struct sandbox sb;

	build(a,
	      "\"hostname\":\"h\",\"linux\":{\"namespaces\":[{\"type\":\"pid\"},{\"type\":\"user\"},"
	      "{\"type\":\"cgroup\"},{\"type\":\"network\",\"path\":\"/n\"},{\"type\":\"uts\","
	      "\"path\":\"\"},{\"type\":\"mount\"},{\"type\":\"time\"}],\"timeOffsets\":{"
	      "\"boottime\":{\"secs\":-2,\"nanosecs\":3}},\"uidMappings\":[{\"containerID\":0,"
	      "\"hostID\":1000,\"size\":5}],\"gidMappings\":[{\"containerID\":0,\"hostID\":2000,"
	      "\"size\":5}],\"cgroupsPath\":\"/p\",\"resources\":{\"memory\":{\"limit\":0},"
	      "\"unified\":{\"pids.max\":\"3\"},\"devices\":[{\"allow\":false,\"access\":\"rwm\"},"
	      "{\"allow\":true,\"type\":\"c\",\"major\":1,\"access\":\"r\"}]},"
	      "\"sysctl\":{\"net.ipv4.ip_forward\":\"1\",\"net.x.eth0/1\":\"2\"}},"
	      "\"mounts\":[{\"destination\":\"/sys/fs/cgroup\",\"type\":\"cgroup\",\"source\":"
	      "\"cgroup\",\"options\":[\"rw\"]}],\"process\":{\"cwd\":\"/\",\"args\":[\"a\"],"
	      "\"user\":{\"uid\":4}}",
	      &sb);
	l = &sb.cgroup.limits;
	is_str(sb.ns.want[NS_NET].path, "/n", "joined");
	ok(!ns_new(&sb.ns, NS_NET) && ns_new(&sb.ns, NS_UTS) && ns_new(&sb.ns, NS_TIME), "new");
	ok(sb.ns.maps.n_uid == 1 && sb.ns.maps.gid[0].outside == 2000, "mappings");
	ok(sb.ns.boottime.set && sb.ns.boottime.secs == -2 && sb.ns.boottime.nanosecs == 3 &&
		   !sb.ns.monotonic.set,
	   "time offsets");
	is_str(sb.hostname, "h", "hostname");
	is_str(sb.cgroup.path, "/p", "cgroup");
	is_int(sb.cgroup.delegate_uid, 1004, "the container's user owns its cgroup");
	ok(l->memory.set && l->memory.v == 0 && !l->memory_swap.set, "0 is not absent");
	ok(l->n_unified == 1 && strcmp(l->unified[0].value, "3") == 0, "unified");
	ok(l->has_devices && l->n_devices == 2 && l->devices[0].type == 'a' &&
		   l->devices[0].major == -1,
	   "all devices");
	ok(l->devices[1].allow && l->devices[1].type == 'c' && l->devices[1].major == 1 &&
		   l->devices[1].minor == -1,
	   "one rule");
	is_str(sb.sysctls[0].key, "net/ipv4/ip_forward", "sysctl");
	is_str(sb.sysctls[1].key, "net/x/eth0.1", "dots and slashes trade places");
}

static void rest_of_linux(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a,
	      "\"linux\":{\"namespaces\":[{\"type\":\"network\"}],\"devices\":[{\"path\":\"/dev/x\","
	      "\"type\":\"c\",\"major\":1,\"minor\":3},{\"path\":\"/p\",\"type\":\"p\",\"fileMode\":"
	      "4480,\"uid\":5,\"gid\":6}],\"netDevices\":{\"eth0\":{},\"eth1\":{\"name\":\"e\"}},"
	      "\"intelRdt\":{\"schemata\":[\"L2:0=f\"],\"memBwSchema\":\"MB:0=1\",\"l3CacheSchema\":"
	      "\"L3:0=f\",\"enableMonitoring\":true}},\"hooks\":{\"poststop\":[{\"path\":\"/h\","
	      "\"args\":[\"h\",\"x\"],\"timeout\":7},{\"path\":\"/i\",\"env\":[]}]},"
	      "\"annotations\":{\"run.oci.hooks.stdout\":\"/o\"}",
	      &sb);
	ok(sb.rootfs.n_devices == 2 && sb.rootfs.devices[0].mode == (S_IFCHR | 0666) &&
		   sb.rootfs.devices[0].minor == 3,
	   "device");
	ok(sb.rootfs.devices[1].mode == (S_IFIFO | 0600) && sb.rootfs.devices[1].uid == 5 &&
		   sb.rootfs.devices[1].gid == 6,
	   "fifo, with the permission bits alone");
	is_str(sb.net_devices[0].name, "eth0", "keeps its name");
	is_str(sb.net_devices[1].name, "e", "is renamed");
	is_str(sb.rdt.closid, "box", "closID is the id");
	ok(sb.rdt.monitoring && sb.rdt.n_schemata == 3 &&
		   strcmp(sb.rdt.schemata[0], "L3:0=f") == 0 &&
		   strcmp(sb.rdt.schemata[1], "MB:0=1") == 0 &&
		   strcmp(sb.rdt.schemata[2], "L2:0=f") == 0,
	   "the order of the lines");
	ok(sb.hooks[HOOK_POSTSTOP].n == 2 && sb.hooks[HOOK_POSTSTOP].v[0].timeout == 7 &&
		   strcmp(sb.hooks[HOOK_POSTSTOP].v[0].args[1], "x") == 0 &&
		   !sb.hooks[HOOK_POSTSTOP].v[0].env,
	   "hook");
	ok(sb.hooks[HOOK_POSTSTOP].v[1].env && !sb.hooks[HOOK_POSTSTOP].v[1].env[0],
	   "an empty environment is not the runtime's");
	ok(strcmp(sb.hooks[HOOK_POSTSTOP].out, "/o") == 0 && !sb.hooks[HOOK_POSTSTOP].err,
	   "output");
}

#define SECCOMP(more) "\"linux\":{\"namespaces\":[{\"type\":\"mount\"}],\"seccomp\":{" more "}}"

static void seccomp(void)
{
	auto_arena a = arena_new();
	const struct filter_profile *p;
	struct sandbox sb;

	build(a,
	      SECCOMP("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"architectures\":"
		      "[\"SCMP_ARCH_X86_64\",\"SCMP_ARCH_X32\"],\"flags\":[],\"listenerPath\":\"/l\","
		      "\"listenerMetadata\":\"m\",\"syscalls\":[{\"names\":[\"read\",\"open\"],"
		      "\"action\":\"SCMP_ACT_ALLOW\"},{\"names\":[\"x\"],\"action\":"
		      "\"SCMP_ACT_ERRNO\"},{\"names\":[\"clone\"],\"action\":\"SCMP_ACT_ERRNO\","
		      "\"errnoRet\":38,\"args\":[{\"index\":0,\"value\":18446744073709551615,"
		      "\"valueTwo\":2,\"op\":\"SCMP_CMP_MASKED_EQ\"},{\"index\":1,\"value\":3,\"op\":"
		      "\"SCMP_CMP_NE\"}]},{\"names\":[\"socket\"],\"action\":\"SCMP_ACT_NOTIFY\","
		      "\"args\":[{\"index\":0,\"value\":1,\"op\":\"SCMP_CMP_EQ\"},{\"index\":0,"
		      "\"value\":2,\"op\":\"SCMP_CMP_EQ\"}]}]"),
	      &sb);
	p = sb.seccomp;
	is_int(p->default_verdict, SECCOMP_RET_ERRNO | EPERM, "default");
	ok(p->n_arches == 2 && p->arches[0] == AUDIT_ARCH_X86_64 && p->arches[1] == FILTER_ARCH_X32,
	   "architectures");
	is_int(sb.seccomp_flags, 0, "an empty list of flags is none");
	is_int((long long)p->n_rules, 4,
	       "a rule that is the default is left out, a double test split");
	ok(p->rules[0].n_names == 2 && p->rules[0].verdict == SECCOMP_RET_ALLOW, "allow");
	ok(p->rules[1].verdict == (SECCOMP_RET_ERRNO | 38) && p->rules[1].n_args == 2 &&
		   p->rules[1].args[0].value == UINT64_MAX && p->rules[1].args[0].value_two == 2 &&
		   p->rules[1].args[0].op == FILTER_MASKED_EQ && p->rules[1].args[1].index == 1,
	   "arguments");
	ok(p->rules[2].n_args == 1 && p->rules[2].args[0].value == 1 && p->rules[3].n_args == 1 &&
		   p->rules[3].args[0].value == 2,
	   "either value");
	is_str(sb.seccomp_listener, "/l", "listener");
	is_str(sb.seccomp_metadata, "m", "metadata");
	ok(p->enosys_stub && !p->fail_unknown, "settings");
}

static void seccomp_defaults(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a, SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\""), &sb);
	is_int(sb.seccomp_flags, SECCOMP_FILTER_FLAG_SPEC_ALLOW, "absent flags");
	ok(!sb.seccomp->enosys_stub && !sb.seccomp_listener, "nothing to mend");
	build(a, SECCOMP("\"defaultAction\":\"SCMP_ACT_ERRNO\",\"defaultErrnoRet\":38"), &sb);
	ok(!sb.seccomp->enosys_stub, "answers ENOSYS already");
	build(a, SECCOMP("\"defaultAction\":\"SCMP_ACT_KILL\",\"listenerPath\":\"/x\""), &sb);
	ok(sb.seccomp->enosys_stub && !sb.seccomp_listener, "a listener without notices");
	build(a, SECCOMP(""), &sb);
	ok(!sb.seccomp, "an empty section is none");
	build(a,
	      SECCOMP("\"defaultAction\":\"SCMP_ACT_ALLOW\"") ",\"annotations\":{\"run.oci.seccomp_fail_unknown_syscall\":\"1\"}",
	      &sb);
	ok(sb.seccomp->fail_unknown, "annotation");
}

static void seccomp_unknown_words(void)
{
	refused(SECCOMP("\"defaultAction\":\"SCMP_ACT_X\""),
		"config.json: linux.seccomp.defaultAction: action \"SCMP_ACT_X\" is unknown");
	refused(SECCOMP("\"defaultAction\":\"SCMP_ACT_LOG\",\"architectures\":[\"Z80\"]"),
		"config.json: linux.seccomp.architectures[0]: \"Z80\" is unknown");
	refused(SECCOMP("\"defaultAction\":\"SCMP_ACT_LOG\",\"flags\":[\"X\"]"),
		"config.json: linux.seccomp.flags[0]: \"X\" is unknown");
	refused(SECCOMP("\"defaultAction\":\"SCMP_ACT_LOG\",\"syscalls\":[{\"names\":[\"a\"],"
			"\"action\":\"X\"}]"),
		"config.json: linux.seccomp.syscalls[0].action: action \"X\" is unknown");
	refused(SECCOMP("\"defaultAction\":\"SCMP_ACT_LOG\",\"syscalls\":[{\"names\":[\"a\"],"
			"\"action\":\"SCMP_ACT_KILL\",\"args\":[{\"index\":0,\"value\":0,\"op\":\"X\"}]}]"),
		"config.json: linux.seccomp.syscalls[0].args[0].op: \"X\" is unknown");
}

static void annotations(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a,
	      "\"annotations\":{\"run.thole.landlock\":\"enforce\","
	      "\"run.thole.landlock.bind\":\"80, 8000-8002\",\"run.thole.landlock.connect\":\"\","
	      "\"run.thole.landlock.scope\":\"signal,abstract_unix_socket\","
	      "\"run.thole.landlock.extra\":\"/a:0x4+8,/b:c:ro\","
	      "\"org.systemd.property.TimeoutStopSec\":\"uint64 5\","
	      "\"run.oci.systemd.subgroup\":\"\",\"run.oci.keep_original_groups\":\"0\","
	      "\"run.oci.handler\":\"\",\"com.example\":\"x\"}",
	      &sb);
	is_int(sb.landlock.mode, LANDLOCK_ENFORCE, "mode");
	ok(sb.landlock.ports[0].set && sb.landlock.ports[0].n == 2 &&
		   sb.landlock.ports[0].ranges[1].first == 8000 &&
		   sb.landlock.ports[0].ranges[1].last == 8002,
	   "bind");
	ok(sb.landlock.ports[1].set && sb.landlock.ports[1].n == 0, "no port at all");
	ok(!sb.landlock.ports[2].set && !sb.landlock.ports[3].set, "UDP is not asked for");
	is_int((long long)sb.landlock.scope, LL_SCOPE_SIGNAL | LL_SCOPE_ABSTRACT_UNIX, "scope");
	ok(sb.landlock.n_extra == 2 && strcmp(sb.landlock.extra[0].path, "/a") == 0 &&
		   sb.landlock.extra[0].rights == (LL_READ_FILE | LL_READ_DIR),
	   "rights by number");
	ok(strcmp(sb.landlock.extra[1].path, "/b:c") == 0 &&
		   sb.landlock.extra[1].rights ==
			   (LL_EXECUTE | LL_READ_FILE | LL_READ_DIR | LL_RESOLVE_UNIX),
	   "rights in short");
	ok(sb.cgroup.n_properties == 1 &&
		   strcmp(sb.cgroup.properties[0].name, "TimeoutStopSec") == 0 &&
		   strcmp(sb.cgroup.properties[0].value, "uint64 5") == 0,
	   "property");
	ok(sb.cgroup.subgroup && !*sb.cgroup.subgroup, "no subgroup");
	ok(!sb.process.cred.keep_groups, "0 is no");
}

static void annotations_refused(void)
{
	static const struct {
		const char *key, *value, *error;
	} rows[] = {
		{ "run.thole.landlock", "maybe", "must be auto, enforce or off" },
		{ "run.thole.landlock.bind", "80,x", "must be a list of ports like 80,8000-8010" },
		{ "run.thole.landlock.bind", "65536", "must be a list of ports like 80,8000-8010" },
		{ "run.thole.landlock.connect", "9-8",
		  "must be a list of ports like 80,8000-8010" },
		{ "run.thole.landlock.scope", "all",
		  "must be a list of abstract_unix_socket, signal" },
		{ "run.thole.landlock.extra", "a:ro",
		  "must be a list of PATH:RIGHT+RIGHT... with absolute paths" },
		{ "run.thole.landlock.extra", "/a:fly", "\"fly\" is no Landlock right" },
		{ "run.thole.landlock.extra", "/a:0", "\"0\" is no Landlock right" },
		{ "run.thole.landlock.extra", "/a:ro+0x20000", "\"0x20000\" is no Landlock right" },
		{ "run.thole.landlock.bind.udp", "53/udp",
		  "must be a list of ports like 80,8000-8010" },
		{ "run.thole.lock", "1", "is unknown to this version" },
		{ "run.oci.handler", "krun",
		  "the handler \"krun\" is not available: only programs of this machine can be run" },
		{ "module.wasm.image/variant", "compat-smart",
		  "WebAssembly is not available: only programs of this machine can be run" },
		{ "run.oci.seccomp_bpf_data", "AAAA",
		  "is not supported, and running without it is not what was asked for" },
		{ "run.oci.hooks.stderr", "log", "must be an absolute path" },
		{ "org.systemd.property.X1", "1",
		  "the name of a systemd property is at least three letters" },
	};
	char more[256], error[256];

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		snprintf(more, sizeof(more), "\"annotations\":{\"%s\":\"%s\"}", rows[i].key,
			 rows[i].value);
		snprintf(error, sizeof(error), "config.json: annotations.%s: %s", rows[i].key,
			 rows[i].error);
		refused(more, error);
	}
	refused("\"mounts\":[{\"destination\":\"/t\",\"type\":\"tmpfs\"}],\"annotations\":"
		"{\"run.oci.mount_context_type\":\"x\"},\"linux\":{\"namespaces\":"
		"[{\"type\":\"mount\"}],\"mountLabel\":\"l\"}",
		"config.json: annotations.run.oci.mount_context_type: \"x\" is unknown (known: "
		"context, fscontext, defcontext, rootcontext)");
}

static void times(void)
{
	static const struct {
		const char *key, *value;
		int64_t sec, nsec;
	} rows[] = {
		{ "offset", "0", 0, 0 },
		{ "offset", "-90", -90, 0 },
		{ "offset", "+1.5", 1, 500000000 },
		{ "offset", "-0.25", -1, 750000000 },
		{ "offset", "-2d12h", -216000, 0 },
		{ "offset", "1w1d1h1m1s1ms1us", 7 * 86400 + 86400 + 3661, 1001000 },
		{ "offset", "1.5h", 5400, 0 },
		{ "offset", "1.0000009", 1, 0 },
		{ "offset", "-1us", -1, 999999000 },
		{ "offset", "109800d", 109800ll * 86400, 0 },
		{ "start", "1970-01-01T00:00:00Z", 0, 0 },
		{ "start", "2000-02-29T23:59:59z", 951868799, 0 },
		{ "start", "2100-03-01T00:00:00Z", 4107542400, 0 },
		{ "start", "2024-02-29 12:00:00.123456789+01:00", 1709204400, 123456000 },
		{ "start", "2024-02-29T12:00:00-00:30", 1709209800, 0 },
	};
	auto_arena a = arena_new();

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct sandbox sb;

		build(a,
		      arena_printf(a, "\"annotations\":{\"run.thole.time.%s\":\"%s\"}", rows[i].key,
				   rows[i].value),
		      &sb);
		ok(sb.super.time && sb.super.wall.begins == (rows[i].key[0] == 's'), "%s",
		   rows[i].value);
		is_int(sb.super.wall.sec, rows[i].sec, "%s: seconds", rows[i].value);
		is_int(sb.super.wall.nsec, rows[i].nsec, "%s: the rest", rows[i].value);
	}
}

/* A pod's own container carries the annotation too and runs no module. */
static void wasm_pod_container(void)
{
	auto_arena a = arena_new();
	struct sandbox sb;

	build(a,
	      "\"annotations\":{\"module.wasm.image/variant\":\"compat\","
	      "\"io.kubernetes.cri.container-type\":\"sandbox\"}",
	      &sb);
	is_str(sb.process.args[0], "sh", "runs");
}

static void template_is_a_good_config(void)
{
	for (int rootless = 0; rootless < 2; rootless++) {
		auto_arena a = arena_new();
		const struct json *v;
		const struct spec *s;
		struct sandbox sb;
		size_t len;
		const char *text = template_write(a, rootless, 1000, 1001, &len);
		int ret = json_parse(a, "config.json", text, len, &v);

		if (!ret)
			ret = spec_bind(a, "config.json", v, &s);
		if (!ret)
			ret = check_spec(s);
		if (!ret)
			ret = build_sandbox(a, s, &context, &sb);
		if (!ok(ret == 0, "%s", err_last()->text))
			continue;
		is_str(sb.process.args[0], "sh", "a shell");
		ok(sb.rootfs.readonly && sb.process.cred.no_new_privs, "careful");
		is_int(ns_new(&sb.ns, NS_USER), rootless, "user namespace");
		if (rootless)
			ok(sb.ns.maps.uid[0].outside == 1000 && sb.ns.maps.gid[0].outside == 1001,
			   "its user");
	}
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(smallest),
		TAP(root_is_the_real_path),
		TAP(process),
		TAP(long_environment),
		TAP(another_process),
		TAP(mounts),
		TAP(bad_idmap_options),
		TAP(namespaces_and_cgroup),
		TAP(rest_of_linux),
		TAP(seccomp),
		TAP(seccomp_defaults),
		TAP(seccomp_unknown_words),
		TAP(annotations),
		TAP(annotations_refused),
		TAP(times),
		TAP(wasm_pod_container),
		TAP(template_is_a_good_config),
	};

	log_set_level(LOG_LEVEL_ERROR);
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
