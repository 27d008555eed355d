#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# thole policy: what it foretells is what the container then finds.

load bundle
setup_file() { bundle_programs; }
setup() { only_thole; need jq; need_root; bundle; }
teardown() { bundle_end; }

policy() {
	"$THOLE" policy "$@" "$BUNDLE" 3>&-
}

# The answer to a question: yes, no or depends. The exit status says the same.
may() {
	local answer status=0

	answer=$(policy --json --may "$1") || status=$?
	answer=$(jq -r '.answers[0].may' <<<"$answer")
	[ "$answer" = yes ] && [ $status -eq 0 ] || { [ "$answer" != yes ] && [ $status -eq 1 ]; } || return
	echo "$answer"
}

# What a line of the config became: line FIELD PLACE
line() {
	policy --json | jq -r --arg place "$2" ".lines[] | select(.config == \$place) | $1"
}

seccomp() {
	config ".linux.seccomp = $1"
}

# Each line of the table "QUESTION | COMMAND" is asked and then tried in one container.
foretold() {
	local question command script='' expected='' got
	local questions=()

	while IFS='|' read -r question command; do
		question=$(xargs <<<"$question")
		[ -n "$question" ] || continue
		questions+=("$question")
		expected+="$question $(may "$question")"$'\n' || return
		script+="if ($command) >/dev/null 2>&1; then echo '$question yes'; else echo '$question no'; fi; "
	done
	[ ${#questions[@]} -gt 0 ] || return
	got=$(in_container "$script")
	echo "foretold: $expected"
	echo "found: $got"
	[ "${expected%$'\n'}" = "$got" ]
}

@test "files: yes and no are what the container finds" {
	config '.root.readonly = true'
	config_mount '{destination: "/tmp", type: "tmpfs", source: "tmpfs", options: ["nosuid", "noexec"]}'
	config_mount '{destination: "/data", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev"]}'
	mkdir "$ROOTFS/data"
	foretold <<-'END'
		open:/etc/passwd:r | cat /etc/passwd
		open:/etc/passwd:w | echo x >>/etc/passwd
		open:/bin/true:x | /bin/true
		open:/new:c | touch /new
		open:/tmp/file:c | touch /tmp/file
		open:/tmp/true:x | cp /bin/busybox /tmp/true && /tmp/true
		open:/data/true:x | cp /bin/busybox /data/true && /data/true
		open:/data/../tmp/file:w | echo x >/data/../tmp/file
		open:/tmp/file:d | rm /tmp/file
		open:/proc/sys/kernel/hostname:w | echo box >/proc/sys/kernel/hostname
		open:/proc/sysrq-trigger:w | echo h >/proc/sysrq-trigger
		open:/dev/null:rw | cat </dev/null >/dev/null
		open:/sys/kernel/uevent_seqnum:r | cat /sys/kernel/uevent_seqnum
		open:/sys/kernel/profiling:w | echo x >/sys/kernel/profiling
	END
}

@test "files: links are followed as the container will" {
	mkdir "$ROOTFS/data" "$BATS_TEST_TMPDIR/shared"
	ln -s ../proc/sys/kernel "$ROOTFS/data/up"
	ln -s /data/up/hostname "$ROOTFS/etc/name"
	ln -s loop "$ROOTFS/loop"
	ln -s /etc "$BATS_TEST_TMPDIR/shared/out"
	mkdir "$ROOTFS/shared"
	config_mount "{destination: \"/shared\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/shared\", options: [\"rbind\", \"ro\"]}"
	foretold <<-'END'
		open:/etc/name:w | echo x >/etc/name
		open:/data/up/hostname:r | cat /data/up/hostname
		open:/shared/file:c | touch /shared/file
		open:/shared/out/passwd:w | true >>/shared/out/passwd
		open:/shared/../shared/out/../tmp/x:c | touch /shared/../shared/out/../tmp/x
	END
	[ "$(policy --json --may open:/etc/name:w | jq -r '.answers[0].config')" = "linux.readonlyPaths[3]" ]
	run policy --may open:/loop:r
	[ "$status" -eq 1 ]
}

@test "files: the place in the config that decides" {
	config '.root.readonly = true'
	[ "$(policy --json --may open:/etc/passwd:w | jq -r '.answers[0].config')" = root ]
	[ "$(policy --json --may open:/proc/kcore:r | jq -r '.answers[0].config')" = "linux.maskedPaths[1]" ]
	[ "$(policy --json --may open:/proc/sys/x:w | jq -r '.answers[0].config')" = "linux.readonlyPaths[3]" ]
	[ "$(policy --json --may open:/dev/shm/x:x | jq -r '.answers[0].config')" = "mounts[3]" ]
	[ "$(policy --json --may open:/dev/shm/x:x | jq -r '.answers[0].keptBy[0]')" = mount ]
}

@test "calls: yes and no are what the container finds" {
	[ "$(uname -m)" = x86_64 ] || skip "numbers of x86_64"
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", architectures: ["SCMP_ARCH_X86_64"], syscalls: [
		{names: ["getsid"], action: "SCMP_ACT_ERRNO", errnoRet: 77},
		{names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 61, args: [{index: 0, value: 1, op: "SCMP_CMP_EQ"}]},
		{names: ["personality"], action: "SCMP_ACT_ERRNO", errnoRet: 62, args: [{index: 0, value: 240, valueTwo: 32, op: "SCMP_CMP_MASKED_EQ"}]}]}'
	foretold <<-'END'
		syscall:getsid | ! probe call 124 | grep -q errno=77
		syscall:getpgrp | ! probe call 111 | grep -q ret=-1
		syscall:getpriority:0 | ! probe call 140 0 | grep -q errno=61
		syscall:getpriority:1 | ! probe call 140 1 | grep -q errno=61
		syscall:personality:0x24 | ! probe call 135 36 | grep -q errno=62
		syscall:personality:0xffffffff | ! probe call 135 4294967295 | grep -q errno=62
		syscall:chroot | chroot / true
		syscall:mount | mount -t tmpfs none /tmp
		syscall:sethostname | hostname x
	END
	[ "$(may syscall:getpriority)" = depends ]
	[ "$(policy --json --may syscall:getsid | jq -r '.answers[0].config')" = "linux.seccomp.syscalls[0]" ]
	[ "$(policy --json --may syscall:getpriority:1 | jq -r '.answers[0].config')" = "linux.seccomp.syscalls[1]" ]
	[ "$(policy --json --may syscall:getpgrp | jq -r '.answers[0].config')" = linux.seccomp.defaultAction ]
	[ "$(policy --json --may syscall:mount | jq -r '.answers[0].keptBy[0]')" = capability ]
}

@test "calls: the way through the program ends at the verdict" {
	seccomp '{defaultAction: "SCMP_ACT_ERRNO", defaultErrnoRet: 38, syscalls: [{names: ["read", "write"], action: "SCMP_ACT_ALLOW"}]}'
	run policy --may syscall:getpid
	echo "$output"
	[ "$status" -eq 1 ]
	[[ ${lines[-1]} == *"return ERRNO(38) ENOSYS" ]]
	run policy --may syscall:read
	[ "$status" -eq 0 ]
	[[ ${lines[-1]} == *"return ALLOW" ]]
	[ "$(policy --json --bpf --may syscall:read | jq -r '. as $d | $d.seccomp.program[$d.answers[0].path[-1]]')" = \
		"$(policy --may syscall:read | tail -n 1 | sed 's/^ *//')" ]
}

@test "calls: the table tells every number of every architecture once" {
	seccomp '{defaultAction: "SCMP_ACT_ERRNO", architectures: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"], syscalls: [
		{names: ["read", "write", "openat", "exit_group"], action: "SCMP_ACT_ALLOW"},
		{names: ["socket"], action: "SCMP_ACT_ALLOW", args: [{index: 0, value: 1, op: "SCMP_CMP_EQ"}]}]}'
	policy --json | jq -e '.seccomp.architectures | length == 3 and all(.[];
		.ranges as $r | [range(1; $r | length)] | all(.[]; $r[.].first == $r[. - 1].last + 1))'
	policy --json | jq -e '.seccomp.architectures[0].ranges[0] | .first == 0 and .last == 1 and
		.verdicts == ["ALLOW"] and .firstName == "read" and .instructions > 2'
	policy --json | jq -e '.seccomp.architectures[0].ranges[] | select(.firstName == "socket") |
		.byArguments and (.verdicts | sort) == ["ALLOW", "ERRNO(1) EPERM"]'
	policy --bpf | grep -q "return ALLOW"
	[ "$(policy --bpf | grep -c '^ *[0-9]*  \(look\|if\|return\|go\|keep\)')" -eq "$(policy --json | jq .seccomp.instructions)" ]
}

@test "ports: yes and no are what the container finds" {
	config '.annotations["run.thole.landlock.bind"] = "8000-8010" | .annotations["run.thole.landlock.connect"] = "9"'
	foretold <<-'END'
		bind:8005 | timeout 3 nc -l -p 8005 2>&1; [ $? -ne 1 ]
		bind:8011 | timeout 3 nc -l -p 8011 2>&1; [ $? -ne 1 ]
		connect:9 | nc -w 10 127.0.0.1 9 2>&1 | grep -q refused
		connect:10 | nc -w 10 127.0.0.1 10 2>&1 | grep -q refused
	END
	[ "$(policy --json --may bind:8011 | jq -r '.answers[0].config')" = annotations.run.thole.landlock.bind ]
}

@test "ports: the low ones take a capability" {
	[ "$(may bind:80)" = yes ]
	config '.process.capabilities[] -= ["CAP_NET_BIND_SERVICE"]'
	[ "$(may bind:80)" = no ]
	[ "$(may bind:1024)" = yes ]
	config '.linux.sysctl["net.ipv4.ip_unprivileged_port_start"] = "80"'
	[ "$(may bind:80)" = yes ]
	[ "$(may bind:79)" = no ]
}

@test "lines: who keeps what, on 80 columns" {
	config '.root.readonly = true | .process.noNewPrivileges = true | .linux.resources.pids.limit = 10'
	[ "$(line '.keptBy | join(" ")' root.readonly)" = "Landlock mount" ]
	[ "$(line '.keptBy | join(" ")' process.noNewPrivileges)" = process ]
	[ "$(line '.keptBy | join(" ")' "linux.resources.pids.limit")" = cgroup ]
	[ "$(line .became "linux.namespaces[0]")" = "a new pid namespace" ]
	[ "$(line '.keptBy | join(" ")' "linux.maskedPaths[0]")" = mount ]
	config '.annotations["run.thole.landlock"] = "off"'
	[ "$(line '.keptBy | join(" ")' root.readonly)" = mount ]
	run policy
	[ "$status" -eq 0 ]
	[ "$(awk 'length > 80 && NF > 3' <<<"$output")" = "" ] # a path can't be cut
	[[ ${lines[0]} == CONFIG*"KEPT BY"*"WHAT IT BECAME" ]]
}

@test "lines: --strict fails for what nobody keeps, and only then" {
	policy --strict >/dev/null
	config '.linux.resources.memory.kernel = 1048576'
	policy >/dev/null
	run policy --strict
	[ "$status" -eq 1 ]
	[[ $output == *NOBODY* ]]
	[ -n "$(line .missing linux.resources.memory.kernel)" ]
	config 'del(.linux.resources.memory) | .linux.resources.pids.limit = 10'
	policy --strict >/dev/null
	run "$THOLE" --cgroup-manager disabled policy --strict "$BUNDLE"
	[ "$status" -eq 1 ]
	[[ $output == *"no cgroup"* ]]
}

@test "lines: a denial that libseccomp does not know is kept by nobody" {
	seccomp '{defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getsid", "nosuchcall"], action: "SCMP_ACT_ERRNO"}]}'
	[[ $(line .missing "linux.seccomp.syscalls[0]") == *nosuchcall* ]]
	run policy --strict
	[ "$status" -eq 1 ]
	seccomp '{defaultAction: "SCMP_ACT_ERRNO", syscalls: [{names: ["getsid", "nosuchcall"], action: "SCMP_ACT_ALLOW"}]}'
	policy --strict >/dev/null
}

@test "landlock: its rows, and why there are none" {
	policy --landlock | grep -q '/dev/shm: all but'
	config '.process.capabilities[] += ["CAP_SYS_ADMIN"]'
	policy --landlock | grep -q 'CAP_SYS_ADMIN'
	[ "$(policy --json | jq '.landlock.rows | map(select(.inRuleset)) | length')" -eq 0 ]
	[ "$(may syscall:mount)" = yes ]
	config '.annotations["run.thole.landlock"] = "enforce"'
	[ "$(may syscall:mount)" = no ]
	[ "$(policy --json --may syscall:mount | jq -r '.answers[0].keptBy[0]')" = Landlock ]
}

@test "colour is for terminals only" {
	need script
	config '.linux.resources.memory.kernel = 1048576'
	[[ $(policy) != *$'\033'* ]]
	[[ $(TERM=xterm script -qec "'$THOLE' policy '$BUNDLE'" /dev/null </dev/null 3>&-) == *$'\033[31m'* ]]
	[[ $(TERM=xterm NO_COLOR=1 script -qec "'$THOLE' policy '$BUNDLE'" /dev/null </dev/null 3>&-) != *$'\033['* ]]
}

@test "an ordinary user may look, and nothing is made" {
	need setpriv
	chmod -R a+rX "$BUNDLE"
	setpriv --reuid 65534 --regid 65534 --clear-groups "$THOLE" policy --may open:/etc/passwd:r "$BUNDLE"
	policy >/dev/null
	[ ! -e "$STATE" ]
	[ -z "$(cgroup_dirs)" ]
}

@test "what can't be asked is refused with what can" {
	local question

	for question in open:/etc/passwd open:etc:r open:/etc:z syscall: syscall:nosuchcall syscall:read:1,2,3,4,5,6,7 \
		syscall:read:x bind:70000 bind:x listen:80 ''; do
		run policy --may "$question"
		echo "$question: $output"
		[ "$status" -eq 1 ]
		[[ $output == "thole: --may $question"* ]]
		[ "${#lines[@]}" -eq 1 ]
	done
	run "$THOLE" policy "$BUNDLE/nowhere"
	[ "$status" -eq 1 ]
	[[ $output == *"open the bundle"* ]]
	config '.linux.namespaces += [{type: "pid"}]'
	run policy
	[ "$status" -eq 1 ]
}
