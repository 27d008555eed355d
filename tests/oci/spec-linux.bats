#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The linux section of config.json but resources: namespaces, devices, paths, sysctl, seccomp.

load bundle
setup_file() { bundle_programs; }
setup() { need_root; bundle; }
teardown() {
	[ -z "${NETNS:-}" ] || ip netns del "$NETNS"
	[ -z "${HOLDER:-}" ] || kill "$HOLDER"
	bundle_end
}

namespace() {
	readlink "/proc/${2:-self}/ns/$1"
}

# A process on the host with namespaces of its own, for those that are joined by path.
holder() {
	unshare "$@" sleep 1000 3>&- >/dev/null 2>&1 &
	HOLDER=$!
	eventually waits_as $HOLDER sleep
}

without() {
	config 'del(.linux.namespaces[] | select(.type == $t))' --arg t "$1"
}

# --- namespaces ------------------------------------------------------------------------------

@test "namespaces: those that are listed are new, the others are the caller's" {
	local ns file

	for ns in pid network ipc uts mount cgroup; do
		file=$ns
		[ $ns = network ] && file=net
		[ $ns = mount ] && file=mnt
		config_args readlink "/proc/self/ns/$file"
		[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" != "$(namespace $file)" ]
	done
	without network
	without ipc
	without uts
	config 'del(.hostname)'
	for file in net ipc uts; do
		config_args readlink "/proc/self/ns/$file"
		[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = "$(namespace $file)" ]
	done
}

@test "namespaces: time and user" {
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}] |
		.linux.gidMappings = [{containerID: 0, hostID: 200000, size: 1000}]'
	chown -R 100000:200000 "$ROOTFS" 2>/dev/null
	rm -rf "$ROOTFS"
	cp -a "$BUNDLE_TOOLS/rootfs" "$ROOTFS"
	chown -hR 100000:200000 "$ROOTFS"
	run in_container 'cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /made'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} =~ ^\ +0\ +100000\ +1000$ ]]
	[[ ${lines[1]} =~ ^\ +0\ +200000\ +1000$ ]]
	[ "${lines[2]}" = 0 ]
	[ "$(stat -c %u:%g "$ROOTFS/made")" = 100000:200000 ]
}

@test "user namespace: several mappings, devices are bound, a user inside" {
	rm -rf "$ROOTFS"
	cp -a "$BUNDLE_TOOLS/rootfs" "$ROOTFS"
	chown -hR 100000:100000 "$ROOTFS"
	config '.linux.namespaces += [{type: "user"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 10}, {containerID: 1000, hostID: 300000, size: 5}] |
		.linux.gidMappings = .linux.uidMappings | .process.user = {uid: 1000, gid: 1001}'
	run in_container 'id -u; id -g; cat /proc/self/uid_map | wc -l; echo x >/dev/null && head -c 3 /dev/zero | wc -c'
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 1000 ]
	[ "${lines[1]}" = 1001 ]
	[ "${lines[2]}" = 2 ]
	[ "${lines[3]}" = 3 ]
	config '.process.user = {uid: 70, gid: 1001}'
	refused_create ''
	only_thole
	refused_create 'process.user.uid'
}

@test "user namespace: exec joins it" {
	rm -rf "$ROOTFS"
	cp -a "$BUNDLE_TOOLS/rootfs" "$ROOTFS"
	chown -hR 100000:100000 "$ROOTFS"
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 100000, size: 1000}] |
		.linux.gidMappings = .linux.uidMappings'
	running
	run exec_in sh -c 'id -u; readlink /proc/self/ns/user'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 0 ]
	[ "${lines[1]}" = "$(namespace user "$(pid_of)")" ]
	[ "$(rt exec --user 5 "$ID" id -u </dev/null)" = 5 ]
}

@test "time namespace and its offsets" {
	only_thole "runc 1.1.5 is older than the field"
	local now boot
	config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {monotonic: {secs: 1000000, nanosecs: 5}, boottime: {secs: 2000000}}'
	config_args probe clocks
	read -r now boot < <("$BUNDLE_TOOLS/probe" clocks | tr -dc '0-9 \n')
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	read -r mono2 boot2 < <(tr -dc '0-9 \n' <<<"$output")
	[ $((mono2 - now - 1000000)) -ge 0 ] && [ $((mono2 - now - 1000000)) -le 3 ]
	[ $((boot2 - boot - 2000000)) -ge 0 ] && [ $((boot2 - boot - 2000000)) -le 3 ]
	running
	run exec_in probe clocks
	read -r mono2 boot2 < <(tr -dc '0-9 \n' <<<"$output")
	[ $((mono2 - now)) -ge 1000000 ]
}

@test "timeOffsets without a time namespace, a mapping without a user namespace" {
	only_thole "runc 1.1.5 is older than the field"
	config '.linux.timeOffsets = {monotonic: {secs: 1}}'
	refused_create 'linux.timeOffsets'
	config 'del(.linux.timeOffsets) | .linux.uidMappings = [{containerID: 0, hostID: 1, size: 1}]'
	refused_create 'linux.uidMappings'
	config 'del(.linux.uidMappings) | .linux.namespaces += [{type: "user"}]'
	refused_create 'linux.uidMappings'
}

@test "namespaces by path: net, uts, ipc" {
	local ns oci

	holder --net --uts --ipc
	for ns in net uts ipc; do
		oci=$ns
		[ $ns = net ] && oci=network
		without $oci
		config '.linux.namespaces += [{type: $t, path: $p}]' --arg t $oci --arg p "/proc/$HOLDER/ns/$ns"
		config_args readlink "/proc/self/ns/$ns"
		[ "$(rt run --bundle "$BUNDLE" "$ID" </dev/null)" = "$(namespace $ns "$HOLDER")" ]
	done
}

@test "namespaces by path: the pid namespace of another container" {
	running
	local other=$ID-2
	cp -al "$BUNDLE" "$BUNDLE-2"
	jq --arg p "/proc/$(pid_of)/ns/pid" '.linux.namespaces |= map(if .type == "pid" then .path = $p else . end) |
		.linux.cgroupsPath += "/second" | .process.args = ["sh", "-c", "ps | grep -c sleep; exec readlink /proc/self/ns/pid"]' "$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/c2"
	rm "$BUNDLE-2/config.json"
	mv "$BATS_TEST_TMPDIR/c2" "$BUNDLE-2/config.json"
	run rt run --bundle "$BUNDLE-2" "$other" </dev/null
	echo "$output"
	[ "$status" -eq 0 ]
	[ "${lines[1]}" = "$(namespace pid "$(pid_of)")" ]
}

@test "namespaces by path: of another kind, missing, relative" {
	without network
	config '.linux.namespaces += [{type: "network", path: "/proc/self/ns/uts"}]'
	if is_thole; then
		refused_create '/proc/self/ns/uts is no network namespace'
	else
		run ! create
	fi
	without network
	config '.linux.namespaces += [{type: "network", path: "/nosuch/ns"}]'
	refused_create 'no such file'
	only_thole "runc takes it as it is"
	without network
	config '.linux.namespaces += [{type: "network", path: "relative"}]'
	refused_create 'linux.namespaces[5].path'
}

@test "namespaces: a duplicate, an unknown type" {
	config '.linux.namespaces += [{type: "pid"}]'
	refused_create ''
	config '.linux.namespaces |= .[:-1] + [{type: "nosuch"}]'
	refused_create 'nosuch'
	only_thole
	refused_create 'linux.namespaces[6]'
}

@test "a new network namespace has its loopback up" {
	run in_container 'ip addr show lo; ping -c 1 -W 1 127.0.0.1 >/dev/null 2>&1 || true'
	[[ $output == *"LOOPBACK,UP"* ]]
	[[ $output == *"127.0.0.1/8"* ]]
}

@test "hostname, domainname" {
	config '.hostname = "some-host" | .domainname = "some.domain"'
	run in_container 'hostname; cat /proc/sys/kernel/domainname'
	[ "${lines[0]}" = some-host ]
	only_thole "runc 1.1.5 has no domainname"
	[ "${lines[1]}" = some.domain ]
	[ "$(hostname)" != some-host ]
}

@test "hostname without a UTS namespace is refused" {
	without uts
	refused_create ''
	only_thole
	refused_create 'hostname'
}

# --- devices ---------------------------------------------------------------------------------

@test "the default devices and links" {
	run in_container 'for d in null zero full random urandom tty; do probe stat /dev/$d; done
		for l in fd stdin stdout stderr ptmx; do echo "$l $(readlink /dev/$l)"; done'
	echo "$output"
	[ "${lines[0]}" = "mode=20666 uid=0 gid=0 rdev=1:3" ]
	[ "${lines[1]}" = "mode=20666 uid=0 gid=0 rdev=1:5" ]
	[ "${lines[2]}" = "mode=20666 uid=0 gid=0 rdev=1:7" ]
	[ "${lines[3]}" = "mode=20666 uid=0 gid=0 rdev=1:8" ]
	[ "${lines[4]}" = "mode=20666 uid=0 gid=0 rdev=1:9" ]
	[[ ${lines[5]} == "mode=20666 uid=0 gid="*" rdev=5:0" ]]
	[ "${lines[6]}" = "fd /proc/self/fd" ]
	[ "${lines[7]}" = "stdin /proc/self/fd/0" ]
	[ "${lines[8]}" = "stdout /proc/self/fd/1" ]
	[ "${lines[9]}" = "stderr /proc/self/fd/2" ]
	[[ ${lines[10]} == "ptmx "*pts/ptmx ]]
}

@test "devices: types, modes, owners, whatever the umask" {
	config '.linux.devices = [
		{path: "/dev/mychar", type: "c", major: 1, minor: 5, fileMode: 438, uid: 5, gid: 6},
		{path: "/dev/myblock", type: "b", major: 7, minor: 200, fileMode: 384, uid: 0, gid: 6},
		{path: "/dev/sub/dir/char", type: "u", major: 1, minor: 3},
		{path: "/dev/mypipe", type: "p", fileMode: 420},
		{path: "/outside", type: "c", major: 1, minor: 3, fileMode: 438}]'
	config_args sh -c 'for d in /dev/mychar /dev/myblock /dev/sub/dir/char /dev/mypipe /outside; do probe stat $d; done'
	run bash -c 'umask 077; exec "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-'
	echo "$output"
	[ "${lines[0]}" = "mode=20666 uid=5 gid=6 rdev=1:5" ]
	[ "${lines[1]}" = "mode=60600 uid=0 gid=6 rdev=7:200" ]
	[[ ${lines[2]} == "mode=20"*" uid=0 gid=0 rdev=1:3" ]]
	[[ ${lines[3]} == "mode=10644 uid=0 gid=0"* ]]
	[ "${lines[4]}" = "mode=20666 uid=0 gid=0 rdev=1:3" ]
}

@test "devices: one of the config replaces a default of the same path" {
	only_thole "runc 1.1.5 lets the default win"
	config '.linux.devices = [{path: "/dev/null", type: "c", major: 1, minor: 3, fileMode: 384, uid: 3, gid: 4}]'
	run in_container 'probe stat /dev/null'
	[ "$output" = "mode=20600 uid=3 gid=4 rdev=1:3" ]
}

@test "devices: the ptmx of a privileged container is that of its own devpts" {
	config '.linux.devices = [{path: "/dev/ptmx", type: "c", major: 5, minor: 2, fileMode: 438}]'
	run in_container 'readlink /dev/ptmx; ls /dev/pts/ptmx'
	[ "$output" = $'pts/ptmx\n/dev/pts/ptmx' ]
}

@test "devices: a bad type, a relative path" {
	config '.linux.devices = [{path: "/dev/x", type: "z", major: 1, minor: 3}]'
	refused_create ''
	only_thole
	refused_create 'linux.devices[0].type'
	config '.linux.devices = [{path: "dev/x", type: "c", major: 1, minor: 3}]'
	refused_create 'linux.devices[0].path'
	config '.linux.devices = [{path: "/dev/x", type: "c"}]'
	refused_create 'linux.devices[0]'
}

# /dev/fuse: neither always allowed nor asking for a capability.
fuse() {
	grep -q '^229 fuse' /proc/misc || skip "the kernel has no fuse device"
	config '.linux.devices = [{path: "/dev/myfuse", type: "c", major: 10, minor: 229, fileMode: 438}]'
}

@test "device rules: what is not allowed can't be opened" {
	fuse
	run in_container 'probe open /dev/myfuse r; probe mknod /dev/other c 10 229; probe open /dev/other w
		for d in null zero full random urandom; do probe open /dev/$d r; done'
	echo "$output"
	[ "${lines[0]}" = errno=1 ]
	[ "${lines[1]}" = errno=0 ] # making any node is among what is always allowed
	[ "${lines[2]}" = errno=1 ]
	[ "$(grep -c errno=0 <<<"$output")" -eq 6 ]
}

@test "device rules: read but not write, major and minor, wildcards" {
	fuse
	config '.linux.resources.devices += [{allow: true, type: "c", major: 10, minor: 229, access: "r"}]'
	run in_container 'probe open /dev/myfuse r; probe open /dev/myfuse w'
	[ "$output" = $'errno=0\nerrno=1' ]
	config '.linux.resources.devices[1] = {allow: true, type: "c", major: 10, access: "rw"}'
	run in_container 'probe open /dev/myfuse r; probe open /dev/myfuse w'
	[ "$output" = $'errno=0\nerrno=0' ]
	config '.linux.resources.devices[1] = {allow: true, type: "c", major: 10, minor: 230, access: "rw"}'
	run in_container 'probe open /dev/myfuse r'
	[ "$output" = errno=1 ]
	config '.linux.resources.devices[1] = {allow: true, type: "b", major: 10, minor: 229, access: "rw"}'
	run in_container 'probe open /dev/myfuse r'
	[ "$output" = errno=1 ]
}

@test "device rules: all allowed, and then one taken away" {
	fuse
	config '.linux.resources.devices = [{allow: true, type: "a", access: "rwm"}]'
	run in_container 'probe open /dev/myfuse r'
	[ "$output" = errno=0 ]
	config '.linux.resources.devices += [{allow: false, type: "c", major: 10, minor: 229, access: "rwm"}]'
	run in_container 'probe open /dev/myfuse r'
	[ "$output" = errno=1 ]
}

@test "device rules hold for exec" {
	fuse
	running
	[ "$(exec_in probe open /dev/myfuse r)" = errno=1 ]
}

# --- network devices, RDT --------------------------------------------------------------------

@test "netDevices: moved, renamed, with their addresses" {
	only_thole "runc 1.1.5 is older than the field"
	need ip
	NETNS=thole-bats-$$
	ip netns add "$NETNS"
	ip -n "$NETNS" link add tv0 type veth peer name tv1 || skip "the kernel has no veth"
	ip -n "$NETNS" addr add 10.99.0.1/24 dev tv0
	ip -n "$NETNS" addr add fd00:99::1/64 dev tv0 nodad
	ip -n "$NETNS" link set tv0 up
	config '.linux.netDevices = {"tv0": {name: "inner0"}, "tv1": {}}'
	config_args ip addr
	run ip netns exec "$NETNS" "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *" inner0@"*"10.99.0.1/24"* ]]
	[[ $output == *"fd00:99::1/64"* ]]
	[[ $output == *" tv1@"* ]]
	[[ $output == *"inner0@"*",UP"* ]]
}

@test "netDevices: a missing one, a bad name, no network namespace" {
	only_thole "runc 1.1.5 is older than the field"
	config '.linux.netDevices = {"nosuchdev0": {}}'
	refused_create 'nosuchdev0'
	config '.linux.netDevices = {"lo": {name: "bad/name"}}'
	refused_create 'linux.netDevices'
	config '.linux.netDevices = {"lo": {name: "x123456789012345678"}}'
	refused_create 'linux.netDevices'
	without network
	config '.linux.netDevices = {"lo": {}}'
	refused_create 'linux.netDevices'
}

@test "intelRdt: refused clearly where the machine lacks it" {
	only_thole "runc says something else"
	! grep -q resctrl /proc/filesystems || skip "the machine has resctrl"
	config '.linux.intelRdt = {closID: "x", l3CacheSchema: "L3:0=ffff"}'
	refused_create 'linux.intelRdt'
	config '.linux.intelRdt = {closID: ".."}'
	refused_create 'linux.intelRdt.closID'
}

# --- paths and sysctl ------------------------------------------------------------------------

@test "maskedPaths: a file, a directory, one that is missing, one twice" {
	mkdir "$ROOTFS/secrets"
	echo secret >"$ROOTFS/secrets/key"
	echo secret >"$ROOTFS/secret"
	config '.linux.maskedPaths += ["/secrets", "/secret", "/nosuch/path", "/secret", "/secrets"]'
	run in_container 'ls /secrets; cat /secret; echo x >/secrets/new; probe stat /secret; cat /proc/keys'
	echo "$output"
	[[ $output != *key* ]]
	[[ $output == *"Read-only"* ]]
	[[ $output == *"rdev=1:3"* ]]
	[[ $output != *$'\nsecret'* ]]
}

@test "readonlyPaths: a directory, a file, one that is missing; flags stay" {
	mkdir "$ROOTFS/fixed"
	echo x >"$ROOTFS/fixed/f"
	echo x >"$ROOTFS/file"
	config '.linux.readonlyPaths += ["/fixed", "/file", "/nosuch/path"]'
	run in_container 'echo y >/fixed/f; echo y >/file; cat /fixed/f; grep " /proc/sys " /proc/self/mountinfo'
	echo "$output"
	[ "$(grep -c "Read-only" <<<"$output")" -eq 2 ]
	[[ $output == *$'\nx\n'* ]]
	[[ $output == *ro,nosuid,nodev,noexec* ]]
}

@test "masked and read-only paths of a container cover exec too" {
	echo secret >"$ROOTFS/secret"
	config '.linux.maskedPaths += ["/secret"]'
	running
	[ -z "$(exec_in cat /secret)" ]
}

@test "sysctl: of the container's own namespaces, with dots or slashes" {
	config '.linux.sysctl = {"net.ipv4.ip_forward": "1", "kernel.msgmax": "65536", "fs.mqueue.msg_max": "20"}'
	run in_container 'cat /proc/sys/net/ipv4/ip_forward /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max'
	[ "$output" = $'1\n65536\n20' ]
	config '.linux.sysctl = {"net/ipv4/conf/lo/forwarding": "1"}'
	run in_container 'cat /proc/sys/net/ipv4/conf/lo/forwarding'
	[ "$output" = 1 ]
}

@test "sysctl: what is not the container's own is refused by name" {
	local key

	for key in kernel.pid_max vm.swappiness kernel.core_pattern; do
		config '.linux.sysctl = {($k): "1"}' --arg k $key
		refused_create $key
	done
	config '.linux.sysctl = {"kernel.hostname": "x"}'
	refused_create 'hostname'
	config '.linux.sysctl = {"net.ipv4.nosuchthing": "1"}'
	refused_create ''
	without network
	config '.linux.sysctl = {"net.ipv4.ip_forward": "1"}'
	refused_create 'net.ipv4.ip_forward'
}

@test "sysctl: a key can't climb out" {
	only_thole "runc's message differs"
	config '.linux.sysctl = {"net/../kernel/core_pattern": "x"}'
	refused_create 'linux.sysctl'
	[[ $(cat /proc/sys/kernel/core_pattern) != x ]]
}

# --- seccomp ---------------------------------------------------------------------------------

seccomp() {
	config ".linux.seccomp = $1"
}

@test "seccomp: errno, errnoRet, default errno" {
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [
		{names: ["getsid"], action: "SCMP_ACT_ERRNO"},
		{names: ["getpgrp", "nosuchsyscall"], action: "SCMP_ACT_ERRNO", errnoRet: 77}]}'
	run in_container 'probe call 124; probe call 111; probe call 39; grep ^Seccomp: /proc/self/status'
	echo "$output"
	[ "${lines[0]}" = "ret=-1 errno=1" ]
	[ "${lines[1]}" = "ret=-1 errno=77" ]
	[[ ${lines[2]} == *"errno=0" ]]
	[ "${lines[3]}" = $'Seccomp:\t2' ]
}

@test "seccomp: arguments, every operator" {
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [
		{names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 61, args: [{index: 0, value: 100, op: "SCMP_CMP_EQ"}]},
		{names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 62, args: [{index: 0, value: 4294967296, op: "SCMP_CMP_GE"}]},
		{names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 63, args: [{index: 0, value: 240, valueTwo: 32, op: "SCMP_CMP_MASKED_EQ"}]},
		{names: ["getrusage"], action: "SCMP_ACT_ERRNO", errnoRet: 64, args: [{index: 0, value: 5, op: "SCMP_CMP_LT"}, {index: 1, value: 3, op: "SCMP_CMP_GT"}]}]}'
	run in_container 'probe call 140 100; probe call 140 4294967297; probe call 140 36; probe call 140 1; probe call 98 1 4; probe call 98 1 3; probe call 98 5 4'
	echo "$output"
	[ "${lines[0]}" = "ret=-1 errno=61" ]
	[ "${lines[1]}" = "ret=-1 errno=62" ]
	[ "${lines[2]}" = "ret=-1 errno=63" ]
	[[ ${lines[3]} != *errno=6[1-4] ]]
	[ "${lines[4]}" = "ret=-1 errno=64" ]
	[[ ${lines[5]} != *errno=64 ]]
	[[ ${lines[6]} != *errno=64 ]]
}

@test "seccomp: kill, trap" {
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getsid"], action: "SCMP_ACT_KILL_PROCESS"}, {names: ["getpgrp"], action: "SCMP_ACT_TRAP"}]}'
	run in_container 'probe call 124; echo $?; probe call 111; echo $?'
	echo "$output"
	[[ $output == *159* ]] # 128 + SIGSYS
	[ "$(grep -c 159 <<<"$output")" -eq 2 ]
}

@test "seccomp: a default of ERRNO with a list of what is allowed" {
	seccomp '{defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 38, syscalls: [{names:
		["read", "write", "close", "fstat", "newfstatat", "lseek", "mmap", "mprotect", "munmap", "brk", "rt_sigaction", "rt_sigprocmask",
		 "ioctl", "access", "execve", "execveat", "exit", "exit_group", "arch_prctl", "uname", "fcntl", "getpid", "getuid", "geteuid", "getgid", "getegid",
		 "set_tid_address", "openat", "open", "prctl", "prlimit64", "getrandom", "futex", "set_robust_list", "rseq", "readlink", "capset", "capget",
		 "setgroups", "setuid", "setgid", "setresuid", "setresgid", "chdir", "getcwd", "stat", "clone", "epoll_pwait", "epoll_ctl", "nanosleep", "sched_yield",
		 "getdents64", "fstatfs", "openat2", "faccessat", "faccessat2", "recvfrom", "recvmsg", "sendto", "sendmsg", "poll", "ppoll", "wait4", "dup2", "dup3", "close_range", "madvise", "sigaltstack", "gettid", "tgkill", "rt_sigreturn", "epoll_create1", "eventfd2", "pipe2", "getppid", "connect", "socket", "keyctl", "unshare", "lstat", "fchown", "umask", "sched_getaffinity"],
		action: "SCMP_ACT_ALLOW"}]}'
	run in_container_exec probe call 111
	echo "$output"
	[ "$output" = "ret=-1 errno=38" ]
}

@test "seccomp: podman's profile, by its effects" {
	[ -f /usr/share/containers/seccomp.json ] || skip "no profile of podman's here"
	config '.linux.seccomp = {defaultAction: $p[0].defaultAction, defaultErrnoRet: $p[0].defaultErrnoRet,
		architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
		syscalls: [$p[0].syscalls[] | select((.includes // {}) == {} or ((.includes.arches // []) | index("amd64"))) |
			select((.excludes.caps // []) - $caps == (.excludes.caps // [])) |
			{names, action, args: (.args // []), errnoRet} | with_entries(select(.value != null))]}' \
		--slurpfile p /usr/share/containers/seccomp.json --argjson caps "$(jq -c .process.capabilities.bounding "$BUNDLE/config.json")"
	run in_container 'probe call 110; probe call 175 0 0 0; probe call 999; probe call 135 0x40000; grep ^Seccomp: /proc/self/status'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == *errno=0 ]]
	[ "${lines[1]}" = "ret=-1 errno=1" ] # init_module: a rule for those without the capability
	[ "${lines[2]}" = "ret=-1 errno=38" ] # 999: of no kernel
	[[ ${lines[3]} == "ret=-1 errno="* ]] # personality with a value that is not in the list
	[ "${lines[4]}" = $'Seccomp:\t2' ]
}

@test "seccomp holds for exec, with and without noNewPrivileges" {
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_ERRNO", errnoRet: 77}]}'
	running
	[ "$(exec_in probe call 111)" = "ret=-1 errno=77" ]
	[ "$(rt exec --user 1000 "$ID" probe call 111 </dev/null)" = "ret=-1 errno=77" ]
	rt delete --force "$ID"
	config '.process.noNewPrivileges = true'
	running
	[ "$(exec_in probe call 111)" = "ret=-1 errno=77" ]
}

@test "seccomp: a user without capabilities gets the filter" {
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_ERRNO", errnoRet: 77}]}'
	config '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {}'
	run in_container_exec probe call 111
	[ "$output" = "ret=-1 errno=77" ]
}

@test "seccomp: flags" {
	only_thole "runc 1.1.5 knows none"
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_LOG"], syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_ERRNO", errnoRet: 77}]}'
	run in_container_exec probe call 111
	echo "$output"
	[ "$output" = "ret=-1 errno=77" ]
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", flags: ["SECCOMP_FILTER_FLAG_NOSUCH"], syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_ERRNO"}]}'
	refused_create ''
	only_thole
	refused_create 'linux.seccomp.flags[0]'
}

@test "seccomp: unknown action, operator, architecture; NOTIFY as default" {
	seccomp '{defaultAction: "SCMP_ACT_NOSUCH"}'
	refused_create 'SCMP_ACT_NOSUCH'
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_NOSUCH"], syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_ERRNO"}]}'
	refused_create 'SCMP_ARCH_NOSUCH'
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_ERRNO", args: [{index: 0, value: 1, op: "SCMP_CMP_NOSUCH"}]}]}'
	refused_create 'SCMP_CMP_NOSUCH'
	seccomp '{defaultAction: "SCMP_ACT_NOTIFY", listenerPath: "/run/x.sock"}'
	refused_create ''
	only_thole
	refused_create 'linux.seccomp.defaultAction'
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", listenerMetadata: "x"}'
	refused_create 'linux.seccomp.listenerMetadata'
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_ALLOW", args: [{index: 6, value: 1, op: "SCMP_CMP_EQ"}]}]}'
	refused_create 'linux.seccomp.syscalls[0].args[0].index'
}

@test "seccomp: NOTIFY sends the listener with the container's state" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $s, listenerMetadata: "my data",
		syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_NOTIFY"}]}' --arg s "$BATS_TEST_TMPDIR/notif.sock"
	config_args probe call 111
	run timeout 100 "$HOST" deny "$BATS_TEST_TMPDIR/notif.sock" 66 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	grep '^message: ' <<<"$output" | cut -d' ' -f2- | jq -e --arg id "$ID" '.fds == ["seccompFd"] and .metadata == "my data" and
		(.pid | type == "number") and .state.id == $id and .state.status == "creating" and (.ociVersion | type == "string")'
	[[ $output == *"fd: anon_inode:seccomp notify"* ]]
	[[ $output == *"notified: 111"* ]]
	[[ $output == *"ret=-1 errno=66"* ]]
}

@test "seccomp: run.oci.seccomp.receiver in the place of listenerPath" {
	only_thole "crun's"
	config '.annotations["run.oci.seccomp.receiver"] = $s | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW",
		syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_NOTIFY"}]}' --arg s "$BATS_TEST_TMPDIR/notif.sock"
	config_args probe call 111
	run timeout 100 "$HOST" deny "$BATS_TEST_TMPDIR/notif.sock" 66 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"ret=-1 errno=66"* ]]
}

@test "seccomp: no listener at listenerPath is an error" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: "/nosuch/listener.sock",
		syscalls: [{names: ["getpgrp"], action: "SCMP_ACT_NOTIFY"}]}'
	refused_create '/nosuch/listener.sock'
}
