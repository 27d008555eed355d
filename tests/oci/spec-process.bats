#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The process section of config.json, field by field, seen from inside the container.

load bundle
setup_file() { bundle_programs; }
setup() { need_root; bundle; }
teardown() { bundle_end; }

# The line of /proc/self/status that a container's process has for a key.
status_line() {
	config_args grep "^$1:" /proc/self/status
	rt run --bundle "$BUNDLE" "$ID" </dev/null | cut -f2-
}

# --- args, env, cwd --------------------------------------------------------------------------

@test "args: every argument as it is" {
	config_args probe-missing
	config '.process.args = ["sh", "-c", "for a; do echo \"[$a]\"; done", "-", "a b", "", "ü", "$HOME", "x\ny"]'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = $'[a b]\n[]\n[ü]\n[$HOME]\n[x\ny]' ]
}

@test "args: the executable is looked up in the container's PATH" {
	mkdir -p "$ROOTFS/first" "$ROOTFS/second"
	printf '#!/bin/sh\necho first\n' >"$ROOTFS/first/tool"
	printf '#!/bin/sh\necho second\n' >"$ROOTFS/second/tool"
	chmod a+x "$ROOTFS/second/tool" # the first one may not be executed: passed over
	config '.process.env = ["PATH=/first:/second:/bin"] | .process.args = ["tool"]'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = second ]
	chmod a+x "$ROOTFS/first/tool"
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = first ]
}

@test "args: a relative path with a slash counts from cwd" {
	mkdir "$ROOTFS/work"
	printf '#!/bin/sh\necho relative\n' >"$ROOTFS/work/tool"
	chmod a+x "$ROOTFS/work/tool"
	config '.process.cwd = "/work" | .process.args = ["./tool"]'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = relative ]
}

@test "args[0] missing, a directory, not executable, empty: found at create" {
	echo text >"$ROOTFS/text"
	config '.process.args = ["nosuch"]'
	if is_thole; then
		refused_create 'exec: "nosuch": executable file not found in $PATH'
		config '.process.args = [""]'
		refused_create 'executable file not found in $PATH'
		config '.process.args = ["/no/such"]'
		refused_create 'exec: "/no/such": stat /no/such: no such file or directory'
		config '.process.args = ["/text"]'
		refused_create 'exec: "/text": permission denied'
		config '.process.args = ["/etc"]'
		refused_create 'exec: "/etc": is a directory: permission denied'
	else
		refused_create 'executable file not found in $PATH'
		config '.process.args = ["/no/such"]'
		refused_create 'no such file or directory'
		config '.process.args = ["/text"]'
		refused_create 'permission denied'
		config '.process.args = ["/etc"]'
		refused_create 'permission denied'
	fi
}

@test "args: a file without #! is an error that names it, at start" {
	printf 'echo no interpreter\n' >"$ROOTFS/script"
	chmod a+x "$ROOTFS/script"
	config '.process.args = ["/script"]'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$status" -ne 0 ]
	[[ ${output,,} == *"exec format error"* ]]
	[ ! -e "$STATE/$ID" ]
	[ -z "$(cgroup_dirs)" ]
}

@test "env: order is kept, values with = and newlines, nothing of the runtime's" {
	config '.process.env = ["PATH=/bin", "A=1=2", "B=x\ny", "HOME=/there", "EMPTY="]'
	run env LEAK=leak LISTEN_FDS=0 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	config_args env
	run env LEAK=leak "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	[ "$output" = $'PATH=/bin\nA=1=2\nB=x\ny\nHOME=/there\nEMPTY=' ]
}

@test "env: the last of a name wins" {
	config '.process.env = ["PATH=/bin", "A=1", "A=2"]'
	config_args sh -c 'echo $A'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = 2 ]
}

@test "env: HOME comes from the container's passwd where it is absent or empty" {
	config_args sh -c 'echo $HOME'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = /root ]
	config '.process.user = {uid: 1000, gid: 1000}'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = /home/someone ]
	config '.process.user.uid = 4242'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = / ]
	if is_thole; then
		config '.process.user.uid = 1000 | .process.env += ["HOME="]'
		[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = /home/someone ]
	fi
}

@test "env: an entry without a name is refused" {
	only_thole "runc 1.1 drops it"
	config '.process.env = ["PATH=/bin", "NOVALUE"]'
	refused_create 'process.env[1]'
	config '.process.env = ["PATH=/bin", "=x"]'
	refused_create 'process.env[1]'
}

@test "cwd: used, made where it is missing, refused where it is relative" {
	mkdir "$ROOTFS/work"
	config '.process.cwd = "/work"'
	config_args pwd
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = /work ]
	config '.process.cwd = "/new/dir"'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = /new/dir ]
	[ "$(stat -c %a "$ROOTFS/new/dir")" = 755 ]
	config '.process.cwd = "relative"'
	refused_create ""
	only_thole "runc does not name the field"
	refused_create "process.cwd"
}

@test "cwd: a directory that only the user may enter" {
	mkdir -m 700 "$ROOTFS/private"
	chown 1000:1000 "$ROOTFS/private"
	config '.process.cwd = "/private" | .process.user = {uid: 1000, gid: 1000} | .process.capabilities = {}'
	config_args pwd
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = /private ]
}

# --- user ------------------------------------------------------------------------------------

@test "user: uid, gid, additionalGids" {
	config '.process.user = {uid: 1000, gid: 1001, additionalGids: [5, 7, 4000000]}'
	config_args sh -c 'id -u; id -g; grep ^Groups: /proc/self/status | cut -f2; grep -E "^(Uid|Gid):" /proc/self/status'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "${lines[0]}" = 1000 ]
	[ "${lines[1]}" = 1001 ]
	[ "$(tr -s ' ' <<<"${lines[2]}" | sed 's/ $//')" = "5 7 4000000" ]
	[ "${lines[3]}" = $'Uid:\t1000\t1000\t1000\t1000' ]
	[ "${lines[4]}" = $'Gid:\t1001\t1001\t1001\t1001' ]
}

@test "user: the runtime's supplementary groups are dropped" {
	config_args grep ^Groups: /proc/self/status
	run setpriv --groups 33,44 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	[[ $output != *33* ]]
	only_thole "run.oci.keep_original_groups is crun's"
	config '.annotations = {"run.oci.keep_original_groups": "1"}'
	run setpriv --groups 33,44 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	[[ $output == *"33 44"* ]]
}

@test "umask: 022 by default, or what is asked for" {
	config_args sh -c umask
	[ "$(umask 077 && rt run --bundle "$BUNDLE" "$ID" </dev/null)" = 0022 ]
	config '.process.user.umask = 7'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = 0007 ]
	config '.process.user.umask = 0'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = 0000 ]
}

@test "standard streams belong to the user" {
	config '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {}'
	config_args sh -c 'echo again >/dev/stdout && echo err >/dev/stderr'
	rt run --bundle "$BUNDLE" "$ID" </dev/null 2>"$BATS_TEST_TMPDIR/err" | tee "$BATS_TEST_TMPDIR/out"
	grep -q again "$BATS_TEST_TMPDIR/out"
	grep -q err "$BATS_TEST_TMPDIR/err"
}

# --- capabilities ----------------------------------------------------------------------------

@test "capabilities: the five sets" {
	config '.process.capabilities = {
		bounding: ["CAP_CHOWN", "CAP_KILL", "CAP_NET_RAW"], effective: ["CAP_CHOWN"],
		permitted: ["CAP_CHOWN", "CAP_KILL"], inheritable: ["CAP_KILL"], ambient: ["CAP_KILL"]}'
	config '.process.user = {uid: 1000, gid: 1000}'
	config_args grep ^Cap /proc/self/status
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	# Of an ordinary user's process the ambient set alone outlives execve(2): capabilities(7).
	[[ $output == *$'CapInh:\t0000000000000020'* ]]
	[[ $output == *$'CapPrm:\t0000000000000020'* ]]
	[[ $output == *$'CapEff:\t0000000000000020'* ]]
	[[ $output == *$'CapBnd:\t0000000000002021'* ]]
	[[ $output == *$'CapAmb:\t0000000000000020'* ]]
}

@test "capabilities: root has what the bounding set leaves" {
	config '.process.capabilities = {bounding: ["CAP_CHOWN", "CAP_KILL"], effective: ["CAP_CHOWN", "CAP_KILL"],
		permitted: ["CAP_CHOWN", "CAP_KILL"]}'
	config_args grep ^Cap /proc/self/status
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == *$'CapPrm:\t0000000000000021'* ]]
	[[ $output == *$'CapEff:\t0000000000000021'* ]]
	[[ $output == *$'CapInh:\t0000000000000000'* ]]
}

@test "capabilities: empty sets leave nothing, also to root" {
	config '.process.capabilities = {bounding: [], effective: [], permitted: [], inheritable: [], ambient: []}'
	config_args grep ^Cap /proc/self/status
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(grep -c $'\t0000000000000000$' <<<"$output")" -eq 5 ]
}

@test "capabilities: a name nobody knows is passed over" {
	config '.process.capabilities.bounding += ["CAP_NO_SUCH_THING"]'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$status" -eq 0 ]
}

@test "noNewPrivileges" {
	[ "$(status_line NoNewPrivs)" = 0 ]
	config '.process.noNewPrivileges = true'
	[ "$(status_line NoNewPrivs)" = 1 ]
	running
	[ "$(exec_in grep ^NoNewPrivs /proc/self/status | cut -f2)" = 1 ] || ! is_thole
}

# --- limits ----------------------------------------------------------------------------------

@test "rlimits: each is set, soft and hard" {
	config_args sed -E 's/  +/|/g' /proc/self/limits
	config '.process.rlimits = [
		{type: "RLIMIT_NOFILE", soft: 100, hard: 200}, {type: "RLIMIT_CORE", soft: 0, hard: 0},
		{type: "RLIMIT_NPROC", soft: 50, hard: 60}, {type: "RLIMIT_STACK", soft: 4194304, hard: "UNLIMITED"},
		{type: "RLIMIT_CPU", soft: 100, hard: 200}, {type: "RLIMIT_FSIZE", soft: 1048576, hard: 2097152},
		{type: "RLIMIT_AS", soft: 1073741824, hard: "UNLIMITED"}]'
	sed -i 's/"UNLIMITED"/18446744073709551615/' "$BUNDLE/config.json" # jq's numbers are doubles
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[[ $output == *"Max open files|100|200|"* ]]
	[[ $output == *"Max processes|50|60|"* ]]
	[[ $output == *"Max stack size|4194304|unlimited|"* ]]
	[[ $output == *"Max cpu time|100|200|"* ]]
	[[ $output == *"Max file size|1048576|2097152|"* ]]
	[[ $output == *"Max address space|1073741824|unlimited|"* ]]
	config_args sleep 1000
	sed -i 's/18446744073709552000/18446744073709551615/' "$BUNDLE/config.json"
	create
	rt start "$ID"
	run exec_in sed -E 's/  +/|/g' /proc/self/limits
	[[ $output == *"Max open files|100|200|"* ]]
}

@test "rlimits: what is not named is left alone" {
	config_args sed -nE 's/  +/|/g; /open files/p' /proc/self/limits
	run bash -c 'ulimit -Sn 333; exec "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-'
	only_thole "Go raises the soft limit of descriptors"
	[[ $output == *"|333|"* ]]
}

@test "rlimits: a duplicate, an unknown type, soft above hard" {
	config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 10, hard: 10}, {type: "RLIMIT_NOFILE", soft: 10, hard: 10}]'
	is_thole && refused_create 'process.rlimits[1]'
	config '.process.rlimits = [{type: "RLIMIT_NOSUCH", soft: 10, hard: 10}]'
	refused_create 'RLIMIT_NOSUCH'
	config '.process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100, hard: 10}]'
	refused_create ''
}

@test "oomScoreAdj: set, or left as it was" {
	config_args cat /proc/self/oom_score_adj
	config '.process.oomScoreAdj = 345'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = 345 ]
	config 'del(.process.oomScoreAdj)'
	run bash -c 'echo 77 >/proc/self/oom_score_adj; exec "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-'
	[ "$output" = 77 ]
}

@test "scheduler: policies and their fields" {
	only_thole "runc 1.1.5 is older than the field"
	config_args probe sched
	config '.process.scheduler = {policy: "SCHED_BATCH", nice: 7}'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == "policy=3 flags=0 nice=7 priority=0 "* ]]
	config '.process.scheduler = {policy: "SCHED_IDLE"}'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == "policy=5 "* ]]
	config '.process.scheduler = {policy: "SCHED_OTHER", nice: 3, flags: ["SCHED_FLAG_RESET_ON_FORK"]}'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == "policy=0 flags=1 nice=3 "* ]]
}

@test "scheduler: a deadline, and that of exec" {
	only_thole "runc 1.1.5 is older than the field"
	config_args probe sched
	config '.process.scheduler = {policy: "SCHED_DEADLINE", runtime: 10000000, deadline: 30000000, period: 40000000}'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[[ $output == *busy* ]] && skip "other deadlines leave no time"
	[[ $output == "policy=6 "*"runtime=10000000 deadline=30000000 period=40000000"* ]]
	config '.process.scheduler = {policy: "SCHED_BATCH", nice: 4}'
	running
	[[ $(exec_in probe sched) == "policy=3 flags=0 nice=4 "* ]]
}

@test "scheduler: real-time policies" {
	only_thole "runc 1.1.5 is older than the field"
	# A v1 cpu cgroup has no real-time budget unless it is given one.
	config '.process.scheduler = {policy: "SCHED_FIFO", priority: 12} | .linux.resources.cpu = {realtimeRuntime: 10000, realtimePeriod: 1000000}'
	config_args probe sched
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	if [ "$status" -ne 0 ]; then
		# The kernel gives the parent no budget of which a part could be passed on.
		[[ $output == *rt_runtime_us* ]]
		skip "no real-time budget for cgroups here"
	fi
	[[ $output == *"policy=1 "*"priority=12 "* ]]
}

@test "scheduler: what does not fit together is refused" {
	only_thole "runc 1.1.5 is older than the field"
	config '.process.scheduler = {policy: "SCHED_NOSUCH"}'
	refused_create 'process.scheduler.policy'
	config '.process.scheduler = {policy: "SCHED_FIFO", nice: 3}'
	refused_create 'process.scheduler.nice'
	config '.process.scheduler = {policy: "SCHED_OTHER", priority: 3}'
	refused_create 'process.scheduler.priority'
	config '.process.scheduler = {policy: "SCHED_OTHER", runtime: 3}'
	refused_create 'process.scheduler: runtime'
	config '.process.scheduler = {policy: "SCHED_OTHER", flags: ["SCHED_FLAG_NOSUCH"]}'
	refused_create 'process.scheduler.flags[0]'
	config '.process.scheduler = {nice: 3}'
	refused_create 'process.scheduler.policy'
	config '.process.scheduler = {policy: "SCHED_OTHER", nice: 99}'
	refused_create 'process.scheduler.nice'
}

@test "ioPriority: class and level" {
	only_thole "runc 1.1.5 is older than the field"
	config_args probe ioprio
	config '.process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = "class=2 level=6" ]
	config '.process.ioPriority = {class: "IOPRIO_CLASS_IDLE", priority: 0}'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = "class=3 level=0" ]
	config '.process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 6}'
	running
	[ "$(exec_in probe ioprio)" = "class=2 level=6" ]
	rt delete --force "$ID"
	config '.process.ioPriority = {class: "IOPRIO_CLASS_NOSUCH", priority: 0}'
	refused_create 'process.ioPriority.class'
	config '.process.ioPriority = {class: "IOPRIO_CLASS_BE", priority: 8}'
	refused_create 'process.ioPriority.priority'
}

@test "execCPUAffinity: the final one for exec, none for init" {
	only_thole "runc 1.1.5 is older than the field"
	[ "$(nproc)" -gt 1 ] || skip "one CPU"
	config '.process.execCPUAffinity = {initial: "0", final: "1"}'
	running
	[ "$(grep ^Cpus_allowed_list "/proc/$(pid_of)/status" | cut -f2)" = "$(grep ^Cpus_allowed_list /proc/self/status | cut -f2)" ]
	[ "$(exec_in grep ^Cpus_allowed_list /proc/self/status | cut -f2)" = 1 ]
	rt delete --force "$ID"
	config '.process.execCPUAffinity = {final: "zero"}'
	refused_create 'process.execCPUAffinity.final'
}

@test "memory policy" {
	only_thole "runc 1.1.5 is older than the field"
	config_args probe mempolicy
	config '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "0"}'
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = "mode=2 nodes=0x1" ]
	running
	[ "$(exec_in probe mempolicy)" = "mode=2 nodes=0x1" ]
	rt delete --force "$ID"
	config_args probe mempolicy
	config '.linux.memoryPolicy = {mode: "MPOL_INTERLEAVE", nodes: "0", flags: ["MPOL_F_STATIC_NODES"]}'
	[[ $(rt run --bundle "$BUNDLE" "$ID" </dev/null) == *"nodes=0x1" ]]
	config '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: "511"}'
	refused_create 'none of the nodes "511"'
	config '.linux.memoryPolicy = {mode: "MPOL_BIND", nodes: ""}'
	refused_create 'linux.memoryPolicy'
	config '.linux.memoryPolicy = {mode: "MPOL_NOSUCH", nodes: "0"}'
	refused_create 'linux.memoryPolicy.mode'
	config '.linux.memoryPolicy = {mode: "MPOL_DEFAULT", nodes: "0"}'
	refused_create 'linux.memoryPolicy'
}

@test "personality" {
	only_thole "runc 1.1.5 is older than the field"
	config '.linux.personality = {domain: "LINUX32"}'
	config_args probe personality
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = 0x8 ]
	config_args uname -m
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = i686 ] || [ "$(uname -m)" != x86_64 ]
	running
	[ "$(exec_in probe personality)" = 0x8 ]
	rt delete --force "$ID"
	config '.linux.personality = {domain: "LINUX"}'
	config_args probe personality
	[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = 0x0 ]
	config '.linux.personality = {domain: "NOSUCH"}'
	refused_create 'linux.personality.domain'
}

# --- labels, keyring -------------------------------------------------------------------------

@test "selinuxLabel and apparmorProfile without such a kernel" {
	[ ! -e /sys/fs/selinux/enforce ] || skip "SELinux is on"
	only_thole "runc and crun differ"
	config '.process.apparmorProfile = "nosuch-profile"'
	[ -e /sys/module/apparmor ] || refused_create AppArmor
	config 'del(.process.apparmorProfile) | .process.selinuxLabel = "system_u:system_r:svirt_lxc_net_t:s0:c1,c2"'
	rt run --bundle "$BUNDLE" "$ID" </dev/null # passed over, as crun does
}

# What the container is shown of /sys is not what the kernel is: podman masks /sys/fs/selinux.
@test "selinuxLabel is set where the kernel has SELinux, whatever the container sees of it" {
	[ ! -e /sys/fs/selinux/enforce ] || skip "SELinux is on: podman's tests have labels"
	only_thole "runc and crun look elsewhere"
	{
		cat /proc/filesystems
		printf 'nodev\tselinuxfs\n'
	} >"$BATS_TEST_TMPDIR/filesystems"
	config '.process.selinuxLabel = "system_u:system_r:container_t:s0:c1,c2"'
	run unshare -m bash -c 'mount --bind "$0" /proc/filesystems && exec "$@"' "$BATS_TEST_TMPDIR/filesystems" \
		"$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"set the SELinux label system_u:system_r:container_t:s0:c1,c2"* ]]
}

@test "the session keyring is the container's own, unless --no-new-keyring" {
	grep -q keyctl /proc/kallsyms || skip "the kernel has no keyrings"
	config_args probe keyring
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == keyring\;*"_ses.$ID" ]]
	run rt run --no-new-keyring --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output != *"_ses.$ID" ]]
}

@test "init is the leader of a session of its own, and pid 1" {
	config_args sh -c 'exec awk "{ print \$1, \$5, \$6 }" /proc/self/stat'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = "1 1 1" ]
}

@test "unknown fields are ignored, null is absent" {
	config '.nosuch = {a: 1} | .process.nosuch = [1] | .linux.nosuch = true | .process.commandLine = "x" |
		.windows = {layerFolders: []} | .vm = {kernel: {path: "/x"}} |
		.process.rlimits = null | .hooks = null | .linux.sysctl = null | .linux.seccomp = null |
		.process.user.username = "x"'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[ "$status" -eq 0 ]
}

@test "ociVersion: every 1.x runs" {
	local v

	for v in 1.0.0 1.0.2-dev 1.1.0 1.2.1 1.3.0; do
		config '.ociVersion = $v' --arg v "$v"
		rt run --bundle "$BUNDLE" "$ID" </dev/null
	done
}
