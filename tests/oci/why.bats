#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# thole why: denials as the kernel recorded them, and what it says where it records none.

load bundle
setup_file() { bundle_programs; }
setup() {
	only_thole
	need jq
	need_root
	bundle
	[ "$(uname -m)" = x86_64 ] || skip "numbers of x86_64"
	dmesg 2>/dev/null | grep -q . || skip "the kernel's log can't be read"
}
teardown() { bundle_end; }

why() {
	rt why "$@" "$ID"
}

denials() {
	why --json | jq -r "$1"
}

# The kernel's log takes ten records in five seconds, of all the host: the first may be lost.
recorded() {
	eventually tells getsid
}

tells() {
	why | grep -q "$1"
}

# Only errors are logged that the filter asks for.
seccomp() {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], flags: $flags,
		syscalls: $rules}' --argjson flags "$1" --argjson rules "$2"
}

@test "seccomp: an error, the process that met it, and the rule" {
	seccomp '["SECCOMP_FILTER_FLAG_LOG"]' '[{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]'
	config_args sh -c 'while :; do probe call 124; sleep 0.5; done'
	create
	rt start "$ID"
	recorded
	why
	denials '.denials[] | [.keptBy, .what, .comm, .config] | join("|")' | grep -qx \
		'seccomp|getsid: ERRNO(77) EBADFD|probe|linux.seccomp.syscalls\[0\]'
	[ "$(denials .seccompRecorded)" = true ]
}

@test "seccomp: a kill is found by what the filter says, though the process is gone" {
	seccomp '[]' '[{"names": ["getsid"], "action": "SCMP_ACT_KILL_PROCESS"}]'
	config_args sh -c 'while :; do probe call 124; sleep 0.5; done'
	create
	rt start "$ID"
	recorded
	[ "$(denials '.denials[0] | [.what, .comm, .sure] | join("|")')" = "getsid: KILL_PROCESS|probe|false" ]
	[ "$(denials .seccompRecorded)" = false ]
	denials '.notTold[]' | grep -q SECCOMP_FILTER_FLAG_LOG
}

@test "seccomp: init's own, surely, also when it is stopped" {
	seccomp '[]' '[{"names": ["getsid"], "action": "SCMP_ACT_KILL_PROCESS"}]'
	config_args probe call 124
	for i in 1 2 3 4 5 6 7 8; do
		create
		rt start "$ID"
		eventually has_status stopped
		[ "$(denials '.denials | map(select(.sure)) | length')" -eq 0 ] || break
		rt delete "$ID" # the kernel's log takes ten records in five seconds, of all the host
		sleep 5
	done
	why
	[ "$(denials '.denials[] | select(.sure) | [.what, .count] | join("|")')" = "getsid: KILL_PROCESS|1" ]
}

@test "seccomp: another container's denials are not told" {
	local other

	seccomp '["SECCOMP_FILTER_FLAG_LOG"]' '[{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 78}]'
	config_args sh -c 'while :; do probe call 124; sleep 0.1; done'
	create
	rt start "$ID"
	other=$ID
	recorded
	ID=$ID-b
	seccomp '["SECCOMP_FILTER_FLAG_LOG"]' '[{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 79}]'
	config ".linux.cgroupsPath = \"$CGROUP-b\""
	config_args sleep 1000
	create
	rt start "$ID"
	sleep 0.5
	# what fits both is told of both, as nothing sure: records do not tell containers
	[ "$(denials '.denials | map(select(.sure)) | length')" -eq 0 ]
	rt delete --force "$ID"
	seccomp '["SECCOMP_FILTER_FLAG_LOG"]' '[{"names": ["getpgid"], "action": "SCMP_ACT_ERRNO"}]'
	create
	rt start "$ID"
	sleep 0.5
	[ "$(denials '.denials | length')" -eq 0 ]
	why | grep -q 'No denial in container'
	rt delete --force "$ID"
	ID=$other
}

# What it counts in a file grows.
goes_on() {
	local before

	eventually test -s "$ROOTFS/tmp/count"
	before=$(wc -l <"$ROOTFS/tmp/count")
	eventually sh -c "[ \$(wc -l <'$ROOTFS/tmp/count') -gt $((before + 2)) ]"
}

# All of what it does in turn was seen; where it is watched, and slow, that takes more than one look.
has_come_round() {
	"$THOLE" --root "$STATE" why --watch 5 --json "$ID" >>"$BATS_TEST_TMPDIR/why" 3>&-
	jq -r '.denials[] | [.keptBy, .what, .config // "-"] | join("|")' "$BATS_TEST_TMPDIR/why" >"$BATS_TEST_TMPDIR/seen"
	[ -z "$(grep -vxF -f "$BATS_TEST_TMPDIR/seen" "$BATS_TEST_TMPDIR/want")" ]
}

@test "watching: each denial and the line that would allow it" {
	config '.root.readonly = true | .annotations["run.thole.landlock.bind"] = "8000"'
	config_mount '{destination: "/data", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec"]}'
	config_mount '{destination: "/shut", type: "tmpfs", source: "tmpfs", options: ["ro"]}'
	mkdir "$ROOTFS/data" "$ROOTFS/shut"
	seccomp '[]' '[{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77},
		{"names": ["getpriority"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38, "args": [{"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]}]'
	config '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {}'
	echo secret >"$ROOTFS/secret"
	chmod 600 "$ROOTFS/secret"
	config_args sh -c 'cd /etc; while :; do
		echo x >>passwd; cp /bin/busybox /data/busybox; chmod 755 /data/busybox; /data/busybox true
		touch /shut/new; cat /secret; cat /nowhere; timeout 1 nc -l -p 8001
		probe call 124; probe call 140 1; probe call 140 2; mount -t tmpfs x /tmp; done'
	config '.mounts |= map(if .destination == "/data" then .options += ["mode=1777"] else . end)'
	create
	rt start "$ID"
	# Landlock grants to execute /data/busybox, with / and its programs
	cat >"$BATS_TEST_TMPDIR/want" <<-'END'
		Landlock|write_file on /etc/passwd|root
		mount|execute on /data/busybox|mounts[6]
		Landlock|write_file+make_reg on /shut/new|mounts[7]
		Landlock|bind to port 8001: permission denied|annotations.run.thole.landlock.bind
		seccomp|getsid: ERRNO(77) EBADFD|linux.seccomp.syscalls[0]
		seccomp|getpriority: ERRNO(38) ENOSYS|linux.seccomp.syscalls[1]
		other|openat of /secret: permission denied|-
		capability|mount: operation not permitted|process.capabilities.ambient
	END
	eventually has_come_round || { diff "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/seen"; return 1; }
	! grep -q nowhere "$BATS_TEST_TMPDIR/why" || return 1
	[ "$(status_of)" = running ]
	[ "$(grep TracerPid "/proc/$(pid_of)/status" | cut -f 2)" -eq 0 ]
}

@test "watching: who is watched goes on, with its signals and its children" {
	local sender

	need_root
	config_args sh -c 'trap "echo got >>/tmp/seen" USR1; n=0; while :; do n=$((n + 1)); echo $n >>/tmp/count; (true); done'
	create
	rt start "$ID"
	eventually test -s "$ROOTFS/tmp/count"
	(for i in 1 2 3 4 5; do sleep 0.3; rt kill "$ID" USR1; done) &
	sender=$!
	rt why --watch 3 "$ID" >/dev/null
	wait "$sender"
	eventually grep -q got "$ROOTFS/tmp/seen"
	[ "$(status_of)" = running ]
	goes_on
}

@test "watching: a killed watcher leaves the container running" {
	local watcher

	config_args sh -c 'n=0; while :; do n=$((n + 1)); echo $n >>/tmp/count; (true); done'
	create
	rt start "$ID"
	"$THOLE" --root "$STATE" why --watch 60 "$ID" >/dev/null 2>&1 3>&- &
	watcher=$!
	eventually grep -q "TracerPid:.$watcher$" "/proc/$(pid_of)/status"
	kill -KILL $watcher
	wait $watcher || true
	eventually sh -c "! grep -q 'TracerPid:.$watcher' /proc/$(pid_of)/status"
	goes_on
}

@test "watching: what can't be watched is refused" {
	running
	run rt why --watch 0 "$ID"
	[ "$status" -eq 1 ]
	[[ $output == *"1 to 86400 seconds"* ]]
	rt kill "$ID" KILL
	eventually has_status stopped
	run rt why --watch 1 "$ID"
	[ "$status" -eq 1 ]
	[[ $output == *"no processes"* ]]
}

@test "what can't be known is said, not passed over" {
	running
	run why
	[ "$status" -eq 0 ]
	[[ $output == *"Not told:"* ]]
	denials '.notTold[]' | grep -q 'thole policy --may'
	if [ "$(denials .landlockRecorded)" = false ]; then
		denials '.notTold[]' | grep -Eq "^Landlock: denials are not recorded: (the kernel's auditing is off|.*came with 7)"
	fi
}

@test "a container that is not there" {
	run rt why nowhere
	[ "$status" -eq 1 ]
	[[ $output == *'"nowhere" does not exist'* ]]
}
