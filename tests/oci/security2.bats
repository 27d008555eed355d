#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Ways out of, and into, a container that no CVE names: each test fails for a runtime that has them.

load bundle
setup_file() { bundle_programs; }
setup() {
	need_root
	bundle
}
teardown() {
	[ -z "${HELPER:-}" ] || kill -KILL "$HELPER" || true
	bundle_end
}

# A process in namespaces of its own, to be joined by path: its pid is $HELPER.
namespaces() {
	unshare "$@" sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
	HELPER=$!
	eventually grep -q sleep "/proc/$HELPER/comm"
}

# linux.namespaces: that one by path
join_ns() {
	config '.linux.namespaces |= map(select(.type != $t)) + [{type: $t, path: $p}]' --arg t "$1" --arg p "$2"
}

# A rootfs of files of its own, for tests that do harm to it.
own_rootfs() {
	cp -a "$ROOTFS" "$ROOTFS.own" && rm -rf "$ROOTFS" && mv "$ROOTFS.own" "$ROOTFS"
}

userns() {
	config '.linux.namespaces += [{type: "user"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] | .linux.gidMappings = .linux.uidMappings'
}

run_it() {
	timeout -s KILL 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$@" "$ID" </dev/null 3>&-
}

# --- namespaces that are joined ------------------------------------------------------------------

@test "hooks of the runtime stay out of a pid namespace that is joined" {
	local inner

	unshare --pid --fork --kill-child sleep 1000 </dev/null >/dev/null 2>&1 3>&- &
	HELPER=$!
	eventually pgrep -P $HELPER
	inner=$(pgrep -P $HELPER)
	join_ns pid "/proc/$inner/ns/pid"
	config '.hooks = {createRuntime: [{path: "/bin/sh", args: ["sh", "-c", $s]}], poststart: [{path: "/bin/sh", args: ["sh", "-c", $s]}]}' \
		--arg s "readlink /proc/self/ns/pid >>$BATS_TEST_TMPDIR/hooks"
	config_args readlink /proc/self/ns/pid
	run run_it
	echo "$output"
	[ "$output" = "$(readlink "/proc/$inner/ns/pid")" ]
	[ "$(sort -u "$BATS_TEST_TMPDIR/hooks")" = "$(readlink /proc/self/ns/pid)" ]
	[ "$(wc -l <"$BATS_TEST_TMPDIR/hooks")" -eq 2 ]
}

@test "init of a second container shows nothing to the first, whose pid namespace it joins" {
	local first=$ID spy=$BATS_TEST_TMPDIR/spy

	running
	rt exec "$first" probe spy 4000 </dev/null >"$spy" 2>&1 &
	local pid=$!
	eventually grep -q watching "$spy"
	join_ns pid "/proc/$(pid_of "$first")/ns/pid"
	config '.linux.cgroupsPath += "/second" | .process.args = ["true"]'
	while is_alive $pid; do
		rt run --bundle "$BUNDLE" "$first-2" </dev/null
	done
	wait $pid
	cat "$spy"
	[ "$(sed -n 's/^seen //p' "$spy")" -gt 0 ]
	! grep -E 'DIRECTORY|REWRITTEN|TRACED' "$spy"
}

# The bundle as an ordinary user's.
someones() {
	need setpriv
	own_rootfs
	mkdir -m 700 "$BATS_TEST_TMPDIR/xdg" && chown -R 1000:1000 "$BUNDLE" "$BATS_TEST_TMPDIR/xdg"
	config '.linux.namespaces += [{type: "user"}] | .linux.uidMappings = [{containerID: 0, hostID: 1000, size: 1}] |
		.linux.gidMappings = .linux.uidMappings | del(.linux.cgroupsPath, .linux.resources) |
		.mounts |= map(if .type == "devpts" then .options -= ["gid=5"] else . end)'
}

as_someone() {
	timeout -s KILL 100 setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR="$BATS_TEST_TMPDIR/xdg" \
		"$THOLE" --cgroup-manager disabled "$@" </dev/null 3>&-
}

@test "an ordinary user's exec gets the score and the limits of the container" {
	only_thole "what else runs without root may need systemd"
	someones
	config '.process.oomScoreAdj = 200 | .process.rlimits = [{type: "RLIMIT_NOFILE", soft: 100, hard: 200}]'
	config_args sleep 1000
	as_someone create --bundle "$BUNDLE" "$ID" >"$BATS_TEST_TMPDIR/out" 2>&1
	as_someone start "$ID"
	run as_someone exec "$ID" sh -c 'cat /proc/self/oom_score_adj; ulimit -n'
	echo "$output"
	as_someone delete --force "$ID"
	[ "$output" = $'200\n100' ]
}

# unshare stands in for the host: what is done to "its" namespaces does no harm.
@test "the host's own mount namespace, by path: its root is not changed" {
	join_ns mount /proc/self/ns/mnt
	run unshare --mount sh -c 'timeout -s KILL 100 "$1" --root "$2" run --bundle "$3" "$4" </dev/null && echo ran
		[ "$(stat -c %d:%i /)" = "$5" ] && echo same root' - "$THOLE" "$STATE" "$BUNDLE" "$ID" "$(stat -c %d:%i /)" 3>&-
	echo "$output"
	[[ $output == *'linux.namespaces[5].path'* ]]
	[[ $output == *'same root' ]]
	[[ $output != *ran* ]]
}

@test "the host's own uts namespace, by path: its names are not changed" {
	local before

	before=$(hostname)
	join_ns uts /proc/self/ns/uts
	for names in '{"hostname": "taken"}' '{"domainname": "taken"}'; do
		config 'del(.hostname, .domainname) + $n' --argjson n "$names"
		run unshare --uts sh -c 'timeout -s KILL 100 "$1" --root "$2" run --bundle "$3" "$4" </dev/null
			uname -n; cat /proc/sys/kernel/domainname' - "$THOLE" "$STATE" "$BUNDLE" "$ID" 3>&-
		echo "$output"
		[[ $output == *'linux.namespaces[5].path'* ]]
		[[ $output == *"$before"* && $output != *$'\n'taken* ]]
	done
	config 'del(.hostname, .domainname)'
	run run_it
	[ "$status" -eq 0 ]
}

# --- what is passed on, and what is not ------------------------------------------------------------

@test "startContainer hooks see the container's environment, not the runtime's" {
	config '.process.env += ["OWN=here"] | .hooks.startContainer = [{path: "/bin/sh", args: ["sh", "-c", "env >/tmp/env"]},
		{path: "/bin/sh", args: ["sh", "-c", "/bin/busybox env >/tmp/given"], env: ["A=1"]}]'
	config_args cat /tmp/env /tmp/given
	SECRET=leaked run run_it
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output != *leaked* ]]
	[[ $output == *OWN=here* && $output == *A=1* ]]
	rm -f "$ROOTFS/tmp/env" "$ROOTFS/tmp/given"
}

@test "exec: a seccomp listener is told of the process" {
	local sock=$BATS_TEST_TMPDIR/notify.sock

	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $p,
		syscalls: [{names: ["mkdir", "mkdirat"], action: "SCMP_ACT_NOTIFY"}]}' --arg p "$sock"
	config_args sleep 1000
	"$HOST" receive "$sock" sh -c '"$THOLE" --root "$STATE" create --bundle "$BUNDLE" "$ID" >/dev/null 2>&1 &&
		"$THOLE" --root "$STATE" start "$ID"' </dev/null >/dev/null 3>&-
	rm "$sock"
	run timeout 100 "$HOST" deny "$sock" 30 "$THOLE" --root "$STATE" exec "$ID" mkdir /made </dev/null 3>&-
	echo "$output"
	[[ $output == *'"status":"running"'* ]]
	[[ $output == *'Read-only file system'* ]]
}

@test "exec: the processors are the container's, not those of the caller" {
	[ "$(nproc --all)" -gt 1 ] || skip "there is one processor"
	running
	run taskset 1 "$THOLE" --root "$STATE" exec "$ID" grep Cpus_allowed_list /proc/self/status </dev/null 3>&-
	echo "$output"
	[[ $output == *"$(exec_in grep Cpus_allowed_list /proc/1/status)" ]]
}

# --- the file tree -----------------------------------------------------------------------------------

@test "only a procfs goes on /proc, also through a link of the image's" {
	local target

	own_rootfs
	ln -s proc "$ROOTFS/short"
	mkdir -p "$BATS_TEST_TMPDIR/fake/self"
	config '.mounts |= map(select(.destination != "/proc")) | .linux.maskedPaths = [] | .linux.readonlyPaths = []'
	for target in /short /proc/ //proc /x/../proc /./proc; do
		config_mount "{destination: \"$target\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/fake\", options: [\"bind\"]}"
		refused_create 'is no procfs'
		config '.mounts |= .[:-1]'
		config_mount "{destination: \"$target\", type: \"tmpfs\", source: \"tmpfs\"}"
		refused_create 'is no procfs'
		config '.mounts |= .[:-1]'
	done
}

@test "a device that is something else in the image is an error" {
	local i

	own_rootfs
	echo text >"$ROOTFS/node"
	config '.linux.devices = [{path: "/node", type: "c", major: 1, minor: 3}]'
	refused_create '/node'
	ln -sf /dev/null "$ROOTFS/node"
	refused_create '/node'
	rm "$ROOTFS/node"
	mknod "$ROOTFS/node" c 1 5
	refused_create '/node'
	rm "$ROOTFS/node"
	mknod "$ROOTFS/node" c 1 3
	config_args stat -c '%t:%T' /node
	run run_it
	echo "$output"
	[ "$output" = 1:3 ]
	rm "$ROOTFS/node"

	# Where nodes can't be made the host's is bound, also on the place that the first one made.
	userns
	chmod 777 "$ROOTFS/dev"
	config '.linux.devices = [{path: "/dev/zero", type: "c", major: 1, minor: 5}] |
		.mounts |= map(select(.destination | startswith("/dev") | not))'
	config_args stat -c '%t:%T' /dev/zero
	for i in 1 2; do
		run run_it
		echo "$output"
		[ "$output" = 1:5 ]
	done
	rm "$ROOTFS/dev/zero"
	echo text >"$ROOTFS/dev/zero"
	refused_create '/dev/zero'
}

@test "a user namespace: the root directory need not be in reach of its ids" {
	mkdir -m 700 "$BATS_TEST_TMPDIR/hidden"
	mv "$BUNDLE" "$BATS_TEST_TMPDIR/hidden/bundle"
	BUNDLE=$BATS_TEST_TMPDIR/hidden/bundle
	userns
	config_args id -u
	run run_it
	echo "$output"
	[ "$output" = 0 ]
}

@test "a user namespace that is joined needs no mappings" {
	namespaces --user
	echo 0 100000 65536 >"/proc/$HELPER/uid_map"
	echo 0 100000 65536 >"/proc/$HELPER/gid_map"
	join_ns user "/proc/$HELPER/ns/user"
	config_args sh -c 'id -u; cat /proc/self/uid_map; stat -c %u /dev/shm'
	run run_it
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$(tr -s ' ' <<<"$output")" = $'0\n 0 100000 65536\n0' ]
}

@test "a deep target is made in one go" {
	config_mount "{destination: \"$(printf '/d%.0s' {1..2000})\", type: \"tmpfs\", source: \"tmpfs\"}"
	own_rootfs
	SECONDS=0
	run run_it
	echo "$status $output"
	[ "$status" -eq 0 ]
	[ "$SECONDS" -lt 10 ]
	rm -rf "$ROOTFS/d"
}

@test "targets through dangling links, with .. behind what is made" {
	own_rootfs
	ln -s /not/yet "$ROOTFS/link"
	ln -s ../../../x "$ROOTFS/etc/up"
	ln -s loop "$ROOTFS/loop"
	config_mount '{destination: "/link/sub/deep", type: "tmpfs", source: "tmpfs"}'
	config_mount '{destination: "/etc/up/a", type: "tmpfs", source: "tmpfs"}'
	config_mount '{destination: "/new/./one/../two", type: "tmpfs", source: "tmpfs"}'
	config_args sh -c 'grep -c -E " (/not/yet/sub/deep|/x/a|/new/two) " /proc/mounts'
	run run_it
	echo "$output"
	[ "$output" = 3 ]
	[ ! -e "$BUNDLE/x" ]
	config_mount '{destination: "/loop/sub", type: "tmpfs", source: "tmpfs"}'
	refused_create '/loop/sub'
}

@test "rootfsPropagation unbindable, and shared below a path with a space" {
	config '.linux.rootfsPropagation = "unbindable"'
	config_args sh -c 'grep " / / " /proc/self/mountinfo || cat /proc/self/mountinfo'
	run run_it
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *unbindable* ]]
	mkdir "$BATS_TEST_TMPDIR/a b"
	mount -t tmpfs none "$BATS_TEST_TMPDIR/a b"
	mount --make-shared "$BATS_TEST_TMPDIR/a b"
	cp -a "$ROOTFS" "$BATS_TEST_TMPDIR/a b/root"
	config '.linux.rootfsPropagation = "rshared" | .root.path = $p' --arg p "$BATS_TEST_TMPDIR/a b/root"
	config_args true
	run run_it
	echo "$output"
	umount "$BATS_TEST_TMPDIR/a b"
	[ "$status" -eq 0 ]
}

@test "more mounts than descriptors" {
	config '.mounts += [range(300) | {destination: "/run/m\(.)", type: "tmpfs", source: "tmpfs"}]'
	config_args grep -c /run/m /proc/mounts
	run bash -c 'ulimit -n 128; exec "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-'
	echo "$output"
	[ "$output" = 300 ]
}

@test "remount: flags change, options of the file system are refused and not dropped" {
	config_mount '{destination: "/dev/shm", options: ["remount", "ro"]}'
	config_args grep -c '/dev/shm tmpfs ro' /proc/mounts
	[ "$(run_it)" = 1 ]
	config_mount '{destination: "/dev/shm", options: ["remount", "size=1m"]}'
	refused_create 'size=1m'
}

# --- odds and ends -----------------------------------------------------------------------------------

@test "/etc/passwd that leads to a descriptor is not read" {
	own_rootfs
	ln -sf /proc/self/fd/0 "$ROOTFS/etc/passwd"
	config_args sh -c 'echo "$HOME"; cat'
	run bash -c 'echo root:x:0:0:root:/fooled:/bin/sh | timeout -s KILL 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" 3>&-'
	echo "$output"
	[ "${lines[0]}" = /root ]
	[ "${lines[1]}" = root:x:0:0:root:/fooled:/bin/sh ]
}

@test "the directory of NOTIFY_SOCKET can't be filled from inside" {
	config_args sh -c 'touch /run/notify/mine && echo made; ls -d /run/notify'
	NOTIFY_SOCKET=$BATS_TEST_TMPDIR/manager run timeout -s KILL 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[[ $output == */run/notify* && $output != *made* ]]
}

@test "a warning comes with success only" {
	config '.process.capabilities.bounding += ["CAP_OF_TOMORROW"] | .process.args = ["true"]'
	run run_it
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *CAP_OF_TOMORROW* ]]
	config_args /no/such/program
	refused_create '/no/such/program'
}

@test "run.oci.pidfd_receiver gets a pidfd" {
	only_thole "crun's annotation"
	config '.annotations = {"run.oci.pidfd_receiver": $p}' --arg p "$BATS_TEST_TMPDIR/pidfd.sock"
	config_args sleep 1000
	# the created container must not hold a pipe that bats reads
	timeout 100 "$HOST" receive "$BATS_TEST_TMPDIR/pidfd.sock" "$THOLE" --root "$STATE" create --bundle "$BUNDLE" "$ID" \
		</dev/null 3>&- >"$BATS_TEST_TMPDIR/received" 2>&1
	cat "$BATS_TEST_TMPDIR/received"
	grep -q pidfd "$BATS_TEST_TMPDIR/received"
}
