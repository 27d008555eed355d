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
	timeout -s KILL 30 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$@" "$ID" </dev/null 3>&-
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
	local i first=$ID spy=$BATS_TEST_TMPDIR/spy

	running
	rt exec "$first" probe spy 4000 </dev/null >"$spy" 2>&1 &
	local pid=$!
	eventually grep -q watching "$spy"
	join_ns pid "/proc/$(pid_of "$first")/ns/pid"
	config '.linux.cgroupsPath += "/second" | .process.args = ["true"]'
	for ((i = 0; i < 15; i++)); do
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
	timeout -s KILL 30 setpriv --reuid 1000 --regid 1000 --clear-groups env XDG_RUNTIME_DIR="$BATS_TEST_TMPDIR/xdg" \
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
	run unshare --mount sh -c 'timeout -s KILL 20 "$1" --root "$2" run --bundle "$3" "$4" </dev/null && echo ran
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
		run unshare --uts sh -c 'timeout -s KILL 20 "$1" --root "$2" run --bundle "$3" "$4" </dev/null
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
	run timeout 20 "$HOST" deny "$sock" 30 "$THOLE" --root "$STATE" exec "$ID" mkdir /made </dev/null 3>&-
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
