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

# Only errors are logged that the filter asks for.
seccomp() {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], flags: $flags,
		syscalls: $rules}' --argjson flags "$1" --argjson rules "$2"
}

@test "seccomp: an error, the process that met it, and the rule" {
	seccomp '["SECCOMP_FILTER_FLAG_LOG"]' '[{"names": ["getsid"], "action": "SCMP_ACT_ERRNO", "errnoRet": 77}]'
	config_args sh -c 'probe call 124; probe call 124; while :; do sleep 1; done'
	create
	rt start "$ID"
	eventually sh -c "'$THOLE' --root '$STATE' why '$ID' | grep -q getsid"
	why
	denials '.denials[] | [.keptBy, .what, .comm, .config] | join("|")' | grep -qx \
		'seccomp|getsid: ERRNO(77) EBADFD|probe|linux.seccomp.syscalls\[0\]'
	[ "$(denials .seccompRecorded)" = true ]
}

@test "seccomp: a kill is found by what the filter says, though the process is gone" {
	seccomp '[]' '[{"names": ["getsid"], "action": "SCMP_ACT_KILL_PROCESS"}]'
	config_args sh -c 'probe call 124; while :; do sleep 1; done'
	create
	rt start "$ID"
	eventually sh -c "'$THOLE' --root '$STATE' why '$ID' | grep -q getsid"
	[ "$(denials '.denials[0] | [.what, .comm, .sure] | join("|")')" = "getsid: KILL_PROCESS|probe|false" ]
	[ "$(denials .seccompRecorded)" = false ]
	denials '.notTold[]' | grep -q SECCOMP_FILTER_FLAG_LOG
}

@test "seccomp: init's own, surely, also when it is stopped" {
	seccomp '[]' '[{"names": ["getsid"], "action": "SCMP_ACT_KILL_PROCESS"}]'
	config_args probe call 124
	create
	rt start "$ID"
	eventually sh -c "[ \"\$('$THOLE' --root '$STATE' state '$ID' | jq -r .status)\" = stopped ]"
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
	eventually sh -c "'$THOLE' --root '$STATE' why '$ID' | grep -q getsid"
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
	why | grep -q 'No record of a denial'
	rt delete --force "$ID"
	ID=$other
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
