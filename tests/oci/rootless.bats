#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# An ordinary user runs a bundle by hand: no capability, no cgroup, an id or two of the host.

load bundle
load user
setup_file() { bundle_programs; }

# The user: one of these tests, with 1000 more ids where newuidmap can hand them out.
setup() {
	bundle
	user_spec
}

teardown() { user_end; }

user_run() {
	config_args "$@"
	user_rt run --bundle "$BUNDLE" "$ID" </dev/null
}

user_create() {
	config_args sleep 1000
	user_rt create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || {
		cat "$BATS_TEST_TMPDIR/err" >&2
		return 1
	}
}

user_has_status() {
	[ "$(user_rt state "$ID" | jq -r .status)" = "$1" ]
}

# --------------------------------------------------------------------------------------------

@test "spec --rootless runs as it is" {
	run user_run echo works
	echo "$output"
	[ "$status" -eq 0 ]
	[ "$output" = works ]
}

@test "the whole life: create, state, start, exec, ps, kill, delete" {
	user_create
	user_has_status created
	user_rt start "$ID"
	user_has_status running
	[ "$(stat -c %u "/proc/$(cat "$PIDFILE")")" = "$USER_ID" ]
	run user_rt exec "$ID" sh -c 'id -u; exit 5' </dev/null
	[ "$status" -eq 5 ]
	[ "$output" = 0 ]
	[ "$(user_rt list -q)" = "$ID" ]
	user_rt kill "$ID" KILL
	eventually user_has_status stopped
	user_rt delete "$ID"
	run user_rt state "$ID"
	[ "$status" -ne 0 ]
	[[ $output == *"does not exist"* ]]
}

@test "the state is under XDG_RUNTIME_DIR, the user's alone" {
	user_create
	[ -d "$XDG_RUNTIME_DIR/$(basename "$THOLE")/$ID" ]
	[[ $(stat -c %a "$XDG_RUNTIME_DIR/$(basename "$THOLE")") =~ ^1?700$ ]]
	user_rt delete --force "$ID"
	[ ! -e "$XDG_RUNTIME_DIR/$(basename "$THOLE")/$ID" ]
	is_gone "$(cat "$PIDFILE")"
}

@test "a single id: root inside is the user outside" {
	mkdir -m 777 "$ROOTFS/out"
	config '.root.readonly = false'
	run user_run sh -c 'cat /proc/self/uid_map /proc/self/gid_map; id -u; touch /out/made; cat /proc/self/setgroups'
	echo "$output"
	[[ ${lines[0]} =~ ^\ +0\ +$USER_ID\ +1$ ]]
	[[ ${lines[1]} =~ ^\ +0\ +$USER_ID\ +1$ ]]
	[ "${lines[2]}" = 0 ]
	[ "${lines[3]}" = deny ]
	[ "$(stat -c %u "$ROOTFS/out/made")" = "$USER_ID" ]
}

@test "subordinate ids: newuidmap and newgidmap" {
	subids
	config '.process.user = {uid: 7, gid: 8, additionalGids: [9]}'
	run user_run sh -c 'cat /proc/self/uid_map; id -u; id -g; grep ^Groups /proc/self/status'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[1]} =~ ^\ +1\ +500000\ +1000$ ]]
	[ "${lines[2]}" = 7 ]
	[ "${lines[3]}" = 8 ]
	[[ ${lines[4]} == *9* ]]
}

@test "subordinate ids: also with an empty environment" {
	subids
	config_args id -u
	run as_user env -i "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" "$THOLE" run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[ "$output" = 0 ]
}

@test "ids that are not the user's are refused, and nothing is left" {
	config '.linux.uidMappings = [{containerID: 0, hostID: 0, size: 1}]'
	config_args true
	run user_rt create --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[ "$status" -ne 0 ]
	[ "${#lines[@]}" -eq 1 ]
	[ ! -e "$XDG_RUNTIME_DIR/$(basename "$THOLE")/$ID" ]
}

@test "no cgroup is needed; a limit that can't be kept is refused" {
	user_create
	[ "$(sort "/proc/$(cat "$PIDFILE")/cgroup")" = "$(sort /proc/self/cgroup)" ]
	user_rt delete --force "$ID"
	config '.linux.resources = {pids: {limit: 5}}'
	run user_rt create --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[ "$status" -ne 0 ]
}

@test "terminal, preserved descriptors, standard streams" {
	run as_user bash -c 'exec 3<"$1"; exec "$2" run --preserve-fds 1 --bundle "$3" "$4"' - \
		"$BUNDLE/config.json" "$THOLE" "$BUNDLE" "$ID" </dev/null
	config_args sh -c 'head -c 1 <&3'
	run as_user bash -c 'exec 3<"$1"; exec "$2" run --preserve-fds 1 --bundle "$3" "$4"' - \
		"$BUNDLE/config.json" "$THOLE" "$BUNDLE" "$ID" </dev/null
	[ "$output" = "{" ]
	config '.process.terminal = true'
	config_args probe tty
	run as_user "$HOST" console "$BATS_TEST_TMPDIR/tty.sock" "" "$THOLE" run --detach --bundle "$BUNDLE" \
		--console-socket "$BATS_TEST_TMPDIR/tty.sock" "$ID" </dev/null
	echo "$output"
	[[ $output == *"tty=1 controlling=1 leader=1"* ]]
}

@test "the user gains nothing: capabilities end at the namespace" {
	run user_run sh -c 'grep ^CapEff /proc/self/status; mknod /tmp/sda b 8 0 2>&1; echo x >/proc/sys/kernel/core_pattern 2>&1; hostname mine && hostname'
	echo "$output"
	[[ $output != *$'CapEff:\t000001ffffffffff'* ]]
	[ "$(hostname)" != mine ]
	[[ $(cat /proc/sys/kernel/core_pattern) != x ]]
}

@test "CVE-2023-25809: the host's cgroups are not writable inside" {
	config_mount '{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev"]}'
	run user_run sh -c 'for f in $(find /sys/fs/cgroup -maxdepth 2 -type d); do mkdir $f/thole-bats-evil 2>/dev/null && echo made $f; [ -w $f ] && touch $f/x 2>/dev/null && echo wrote $f; done; true'
	echo "$output"
	[[ $output != *made*cgroup* ]] || [ -z "$(find /sys/fs/cgroup -name thole-bats-evil)" ]
	[ -z "$(find /sys/fs/cgroup -name thole-bats-evil)" ]
}

@test "bind: flags that are locked stay where nothing is said, and can't be cleared" {
	local source=$BATS_TEST_TMPDIR/locked

	[ "$(id -u)" = 0 ] || skip "needs root to mount what is to be bound"
	mkdir "$source"
	mount -t tmpfs -o nosuid,nodev,noexec,mode=755 none "$source"
	config_mount "{destination: \"/home\", type: \"bind\", source: \"$source\", options: [\"bind\"]}"
	run user_run grep ' /home ' /proc/self/mountinfo
	[ "$status" -eq 0 ]
	[[ $output == *nosuid,nodev,noexec* ]]
	config '(.mounts[] | select(.destination == "/home")).options += ["suid"]'
	run user_run true
	umount "$source"
	[ "$status" -ne 0 ]
	[[ $output == *"locked"* ]]
	only_thole "its words"
	[[ $output != *"ermission denied"* && $output != *"not permitted"* ]]
}

@test "resources of the rootfs: read-only paths and masks hold" {
	echo secret >"$ROOTFS/secret"
	config '.linux.maskedPaths += ["/secret"] | .linux.readonlyPaths += ["/tmp"] | .root.readonly = false'
	run user_run sh -c 'cat /secret; touch /tmp/x; umount /secret; cat /secret'
	echo "$output"
	[[ $output != *secret$'\n'* || $output == *"Read-only"* ]]
	[[ $output == *"Read-only"* ]]
	run ! grep -qx secret <<<"$output"
}

@test "delete --force of another user's or no container is silent" {
	run user_rt delete --force nosuch
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "hooks run as the user" {
	printf '#!/bin/sh\nid -u >%s/who\n' "$BATS_TEST_TMPDIR" >"$BATS_TEST_TMPDIR/hook"
	chmod a+x "$BATS_TEST_TMPDIR/hook"
	config '.hooks.createRuntime = [{path: $h}]' --arg h "$BATS_TEST_TMPDIR/hook"
	run user_run true
	[ "$status" -eq 0 ]
	[ "$(cat "$BATS_TEST_TMPDIR/who")" = "$USER_ID" ]
}
