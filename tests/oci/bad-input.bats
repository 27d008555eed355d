#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Bad input: one clear line on standard error, one record in the log, and nothing left behind.
# refused_create (bundle.bash) compares state, cgroups, mounts and processes before and after.

load bundle
setup_file() { bundle_programs; }
setup() { need_root; bundle; }
teardown() { bundle_end; }

@test "no bundle, no config.json" {
	refused '/nosuch/bundle' create --bundle /nosuch/bundle "$ID"
	rm "$BUNDLE/config.json"
	refused_create 'config.json'
}

@test "config.json is a directory, empty, huge, unreadable JSON" {
	only_thole "runc does not name the file"
	rm "$BUNDLE/config.json"
	mkdir "$BUNDLE/config.json"
	refused_create 'config.json'
	rmdir "$BUNDLE/config.json"
	: >"$BUNDLE/config.json"
	refused_create 'config.json'
	echo '[]' >"$BUNDLE/config.json"
	refused_create 'config.json'
	truncate -s 1G "$BUNDLE/config.json"
	refused_create 'config.json'
	head -c 100000 /dev/zero | tr '\0' '[' >"$BUNDLE/config.json"
	refused_create 'config.json'
}

@test "broken JSON: line and column" {
	only_thole "runc tells neither"
	printf '{\n\t"ociVersion": "1.0.2",\n\t"process": {"args": ["true",]}\n}\n' >"$BUNDLE/config.json"
	refused_create 'config.json:3:'
	printf '{"ociVersion": "1.0.2", "x": tru}' >"$BUNDLE/config.json"
	refused_create 'config.json:1:3'
	printf '{"ociVersion": "1.0.2"}\n trailing' >"$BUNDLE/config.json"
	refused_create 'config.json:2:'
	printf '{"ociVersion": "1.0.2"' >"$BUNDLE/config.json"
	refused_create 'config.json:1:'
	printf '{"ociVersion": "1.0.2",\n "hostname": "\xff\xfe"}' >"$BUNDLE/config.json"
	refused_create 'config.json:2:'
}

@test "wrong types: the JSON path" {
	only_thole "runc names Go's structures"
	local row

	while IFS='|' read -r filter path; do
		echo "$filter"
		cp "$BUNDLE/config.json" "$BUNDLE/config.good"
		config "$filter"
		refused_create "$path"
		mv "$BUNDLE/config.good" "$BUNDLE/config.json"
	done <<-'END'
		.ociVersion = 1|ociVersion
		.process = []|process
		.process.args = "true"|process.args
		.process.args = ["true", 3]|process.args[1]
		.process.env = {}|process.env
		.process.terminal = "yes"|process.terminal
		.process.user.uid = "root"|process.user.uid
		.process.user.uid = -1|process.user.uid
		.process.user.uid = 4294967296|process.user.uid
		.process.user.additionalGids = [1, "x"]|process.user.additionalGids[1]
		.process.capabilities.bounding = "CAP_KILL"|process.capabilities.bounding
		.process.rlimits = [{type: "RLIMIT_CORE", soft: "x", hard: 1}]|process.rlimits[0].soft
		.process.oomScoreAdj = 1.5|process.oomScoreAdj
		.root = "rootfs"|root
		.root.readonly = 1|root.readonly
		.mounts = {}|mounts
		.mounts[2].options = "ro"|mounts[2].options
		.mounts[2].options = ["ro", null]|mounts[2].options[1]
		.mounts[1].destination = 7|mounts[1].destination
		.hostname = 3|hostname
		.hooks.prestart = {}|hooks.prestart
		.hooks.prestart = [{path: 1}]|hooks.prestart[0].path
		.linux.namespaces = [{type: 1}]|linux.namespaces[0].type
		.linux.maskedPaths = [1]|linux.maskedPaths[0]
		.linux.sysctl = {"net.x": 1}|linux.sysctl
		.linux.resources.memory.limit = "1g"|linux.resources.memory.limit
		.linux.resources.cpu.shares = -1|linux.resources.cpu.shares
		.linux.resources.devices = [{allow: "no"}]|linux.resources.devices[0].allow
		.linux.seccomp = {defaultAction: 1}|linux.seccomp.defaultAction
		.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: "x", action: "SCMP_ACT_ERRNO"}]}|linux.seccomp.syscalls[0].names
		.annotations = {"a": 1}|annotations
	END
}

@test "missing fields: the JSON path" {
	only_thole "runc finds them late or not"
	while IFS='|' read -r filter path; do
		echo "$filter"
		cp "$BUNDLE/config.json" "$BUNDLE/config.good"
		config "$filter"
		refused_create "$path"
		mv "$BUNDLE/config.good" "$BUNDLE/config.json"
	done <<-'END'
		del(.ociVersion)|ociVersion
		del(.root)|root
		del(.root.path)|root.path
		.root.path = ""|root.path
		.process.args = []|process.args
		del(.process.args)|process.args
		del(.process.cwd)|process.cwd
		del(.mounts[1].destination)|mounts[1].destination
		.linux.namespaces[1] = {}|linux.namespaces[1].type
		.process.rlimits = [{soft: 1, hard: 1}]|process.rlimits[0].type
		.hooks.poststop = [{}]|hooks.poststop[0].path
		.linux.devices = [{path: "/dev/x"}]|linux.devices[0].type
		.linux.seccomp = {syscalls: [{names: ["getpid"], action: "SCMP_ACT_ERRNO"}]}|linux.seccomp.defaultAction
	END
}

@test "a value that breaks the line stays one line" {
	only_thole "runc prints it raw"
	config '.ociVersion = "1\n2\u0007"'
	refused_create 'ociVersion'
}

@test "ociVersion: unknown, no version at all" {
	only_thole "runc does not look"
	local v

	for v in 2.0.0 0.9.0 1 1.0 one 1.x.0 ""; do
		config '.ociVersion = $v' --arg v "$v"
		refused_create 'ociVersion'
	done
}

@test "root.path: missing, a file, a symlink" {
	config '.root.path = "nosuch"'
	refused_create 'nosuch'
	config '.root.path = "config.json"'
	refused_create ''
	ln -s rootfs "$BUNDLE/link"
	config '.root.path = "link"'
	if is_thole; then
		quietly create --bundle "$BUNDLE" "$ID" && [ "/proc/$(pid_of)/root" -ef "$ROOTFS" ] || [ ! -e "$STATE/$ID" ]
	else
		refused_create 'symlink'
	fi
}

@test "a mount whose source is missing" {
	config_mount '{destination: "/x", type: "bind", source: "/nosuch/source", options: ["bind"]}'
	refused_create '/nosuch/source'
}

@test "the rootfs stays as it was where create fails early" {
	only_thole "runc makes targets first"
	local before
	before=$(cd "$ROOTFS" && find . | sort)
	config_mount '{destination: "/a/b", type: "bind", source: "/nosuch/source", options: ["bind"]}'
	refused_create '/nosuch/source'
	[ "$(cd "$ROOTFS" && find . | sort)" = "$before" ]
}

@test "symlinked /proc and /dev" {
	rmdir "$ROOTFS/proc"
	ln -s /tmp "$ROOTFS/proc"
	refused_create 'proc'
	rm "$ROOTFS/proc"
	mkdir "$ROOTFS/proc"
	rmdir "$ROOTFS/dev"
	ln -s /tmp "$ROOTFS/dev"
	only_thole "CVE-2026-41579"
	run create
	if [ "$status" -eq 0 ]; then
		# Resolved inside the root: nothing of the host's was touched.
		[ ! -e /tmp/null ]
	fi
}

@test "an unknown system call is passed over, or refused where that is asked for" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["nosuchcall"], action: "SCMP_ACT_ERRNO"}]}'
	rt run --bundle "$BUNDLE" "$ID" </dev/null
	only_thole "crun's annotation"
	config '.annotations = {"run.oci.seccomp_fail_unknown_syscall": "1"}'
	refused_create 'nosuchcall'
}

@test "an unknown seccomp action" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getpid"], action: "SCMP_ACT_NOSUCH"}]}'
	refused_create 'SCMP_ACT_NOSUCH'
	only_thole
	refused_create 'linux.seccomp.syscalls[0].action'
}

@test "a missing executable" {
	config_args /nosuch/program
	refused_create 'no such file or directory'
	config_args nosuchprogram
	refused_create 'executable file not found in $PATH'
}

@test "bad ids" {
	local id

	for id in . .. a/b ../x 'a b' 'a;b' '' ü $'a\nb' /; do
		echo "[$id]"
		if is_thole; then
			refused '' create --bundle "$BUNDLE" "$id"
		else
			run ! rt create --bundle "$BUNDLE" "$id" </dev/null
		fi
		run ! rt state "$id"
		run ! rt delete "$id"
	done
	is_thole || return 0
	refused '' create --bundle "$BUNDLE" "$(head -c 2000 /dev/zero | tr '\0' a)"
}

@test "ids of every allowed character" {
	local id=A_z+0.9-$RANDOM

	config_args true
	rt run --bundle "$BUNDLE" "$id" </dev/null
}

@test "a second create with the same id" {
	config_args sleep 1000
	create
	local pid
	pid=$(pid_of)
	refused 'exist' create --bundle "$BUNDLE" "$ID"
	[ "$(pid_of)" = "$pid" ]
	[ "$(status_of)" = created ]
	is_thole || return 0
	refused 'container with given ID already exists' create --bundle "$BUNDLE" "$ID"
}

@test "a full disk under the state directory" {
	only_thole "runc leaves its cgroup"
	local full=$BATS_TEST_TMPDIR/full
	mkdir "$full"
	mount -t tmpfs -o size=4k,nr_inodes=8 tmpfs "$full"
	STATE=$full/state
	mkdir "$STATE"
	head -c 4096 /dev/zero >"$full/filler" || true
	refused_create 'No space left'
	[ -z "$(ls -A "$STATE")" ]
	run rt list --format json
	[ "$status" -eq 0 ]
	umount "$full"
}

@test "a state directory that can't be made" {
	STATE=$BATS_TEST_TMPDIR/file/state
	: >"$BATS_TEST_TMPDIR/file"
	refused_create ''
}

@test "a broken state: named, and delete --force removes it" {
	only_thole "the format of the state is the runtime's own"
	mkdir -p "$STATE/broken"
	echo '{"id": ' >"$STATE/broken/state.json"
	run --separate-stderr rt state broken
	[ "$status" -ne 0 ]
	[ "${#stderr_lines[@]}" -eq 1 ]
	run rt delete --force broken
	[ "$status" -eq 0 ]
	[ ! -e "$STATE/broken" ]
}

@test "a pid file that can't be written" {
	PIDFILE=/nosuch/dir/pid
	refused_create '/nosuch/dir'
}

@test "a console socket that is none" {
	config '.process.terminal = true'
	: >"$BATS_TEST_TMPDIR/plain"
	refused '' create --bundle "$BUNDLE" --console-socket "$BATS_TEST_TMPDIR/plain" "$ID"
}

@test "--preserve-fds: no number, negative, too many" {
	only_thole "runc prints its help as well"
	refused 'preserve-fds' create --bundle "$BUNDLE" --preserve-fds x "$ID"
	refused 'preserve-fds' create --bundle "$BUNDLE" --preserve-fds -1 "$ID"
	refused 'preserve-fds' create --bundle "$BUNDLE" --preserve-fds 99999999999 "$ID"
}

@test "messages of other failures do not speak of permissions" {
	# podman takes "permission denied" and "operation not permitted" anywhere for the reason.
	config '.process.args = ["nosuch"]'
	run --separate-stderr rt create --bundle "$BUNDLE" "$ID" </dev/null
	shopt -s nocasematch
	[[ $stderr != *"permission denied"* && $stderr != *"operation not permitted"* ]]
	config '.process.args = ["true"] | .mounts += [{destination: "/x", type: "bind", source: "/nosuch/source", options: ["bind"]}]'
	run --separate-stderr rt create --bundle "$BUNDLE" "$ID" </dev/null
	[[ $stderr != *"permission denied"* && $stderr != *"operation not permitted"* ]]
}
