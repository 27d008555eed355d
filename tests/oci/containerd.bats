#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# containerd's own shim (io.containerd.runc.v2) with the runtime as its binary, by ctr.

load lib

setup_file() {
	engine_begin containerd
	containerd_begin
}

teardown_file() {
	containerd_end
	engine_end
}

setup() {
	ID=k$BATS_TEST_NUMBER
	cd "$BASE"
}

teardown() {
	end "$ID"
	end "$ID-b"
}

end() {
	ctr task kill -a -s KILL "$1" >/dev/null 2>&1 || true
	eventually gone "$1"
}

gone() {
	ctr task rm -f "$1"
	ctr container rm "$1"
	! ctr container ls -q | grep -qx "$1"
}

# A container that answers TERM with exit status 3 and counts in /tmp/n.
counting() {
	ctr_run -d "$@" -- "$ID" sh -c \
		'trap "exit 3" TERM; i=0; while :; do i=$((i + 1)); echo $i >/tmp/n; sleep 0.02; done'
	eventually test -s "/proc/$(task_pid "$ID")/root/tmp/n"
}

count() {
	cat "/proc/$(task_pid "$ID")/root/tmp/n"
}

task_pid() {
	ctr task ls | awk -v id="$1" '$1 == id { print $2 }'
}

task_status() {
	ctr task ls | awk -v id="$1" '$1 == id { print $3 }'
}

has_status() {
	[ "$(task_status "$1")" = "$2" ]
}

# late TEXT COMMAND...: input that ends when the process runs, which the command finds. ctr tells containerd of an
# earlier end too soon, and it is lost.
late() {
	eventually "${@:2}" && echo "$1"
}

# ID EXEC-ID
has_exec() {
	ctr task ps "$1" | grep -q "$2"
}


@test "run: output and exit status" {
	run ctr_run --rm -- "$ID" sh -c 'echo out; echo err >&2; exit 42'
	[ "$status" -eq 42 ]
	[[ $output == *out* && $output == *err* ]]
}

@test "run: standard input" {
	run ctr_run --rm -- "$ID" cat < <(late to-cat has_status "$ID" RUNNING)
	[ "$output" = to-cat ]
}

@test "run -t: a terminal" {
	run on_terminal "ctr run --rm -t --runc-binary $RUNTIME --runc-root $BASE/runc --fifo-dir $BASE/fifo \
		--cgroup $CGROUP/$ID localhost/box:1 $ID sh -c 'tty; $SIZED; exit 5'"
	[ "$status" -eq 5 ]
	[[ $output == *"/dev/pts/0"*"33 99"* ]]
}

@test "run: a missing program is told, and nothing is left" {
	run ctr_run --rm -- "$ID" nosuch
	[ "$status" -ne 0 ]
	[[ $output == *'nosuch'*'executable file not found in $PATH'* ]]
	run ctr_run --rm -- "$ID" /nosuch
	[ "$status" -ne 0 ]
	[[ $output == *"no such file or directory"* ]]
	[ -z "$(cgroup_dirs "$CGROUP/$ID")" ]
	[ -z "$(ls -A "$BASE/runc/$CONTAINERD_NAMESPACE")" ]
}

@test "the runtime under test is the one that runs it" {
	counting
	[ -d "$BASE/runc/$CONTAINERD_NAMESPACE/$ID" ]
	grep -q "$RUNTIME" "$BASE/state/io.containerd.runtime.v2.task/$CONTAINERD_NAMESPACE/$ID/options.json"
}

@test "tasks: ls, ps, states, exit status, rm" {
	counting
	pid=$(task_pid "$ID")
	[ "$(task_status "$ID")" = RUNNING ]
	run ctr task ps "$ID"
	[ "$status" -eq 0 ]
	[[ $output == *"$pid"* ]]
	ctr task kill -s TERM "$ID"
	eventually has_status "$ID" STOPPED
	run ctr task rm "$ID"
	[[ $output == *"exit code 3"* ]]
	ctr container rm "$ID"
	is_gone "$pid"
	[ -z "$(cgroup_dirs "$CGROUP/$ID")" ]
	[ ! -e "$BASE/runc/$CONTAINERD_NAMESPACE/$ID" ]
}

@test "create, then start: the runtime is the runc of containerd's PATH" {
	ctr container create localhost/box:1 "$ID" printf started
	run ctr task start --fifo-dir "$BASE/fifo" "$ID"
	[ "$status" -eq 0 ]
	[ "$output" = started ]
}

@test "exec: output, status, directory" {
	counting
	run ctr task exec --fifo-dir "$BASE/fifo" --exec-id one --cwd /tmp "$ID" \
		sh -c 'pwd; cat; exit 11' < <(late piped has_exec "$ID" one)
	[ "$status" -eq 11 ]
	[ "$output" = $'/tmp\npiped' ]
}

@test "exec: user" {
	counting
	run ctr task exec --fifo-dir "$BASE/fifo" --exec-id one --user 1000 "$ID" id -u
	[ "$output" = 1000 ]
}

@test "exec -t: a terminal" {
	counting
	run on_terminal "ctr task exec -t --fifo-dir $BASE/fifo --exec-id one $ID sh -c 'tty; $SIZED; exit 6'"
	[ "$status" -eq 6 ]
	[[ $output == *"/dev/pts/"*"33 99"* ]]
}

@test "exec -d: in the same namespaces and cgroup, and in the list of processes" {
	counting
	ctr task exec -d --fifo-dir "$BASE/fifo" --exec-id one "$ID" sh -c 'echo $$ >/tmp/exec; exec sleep 1000'
	pid=$(task_pid "$ID")
	eventually test -s "/proc/$pid/root/tmp/exec"
	for other in $(ctr task ps "$ID" | awk 'NR > 1 { print $1 }'); do
		! grep -qz 1000 "/proc/$other/cmdline" 2>/dev/null || break
		other=''
	done
	[ -n "$other" ]
	for kind in mnt pid net ipc uts; do
		same_ns "$pid" "$other" $kind
	done
	diff "/proc/$pid/cgroup" "/proc/$other/cgroup"
}

@test "exec: a missing program is told, and the container runs on" {
	counting
	run ctr task exec --fifo-dir "$BASE/fifo" --exec-id one "$ID" nosuch
	[ "$status" -ne 0 ]
	[[ $output == *'executable file not found in $PATH'* ]]
	run ctr task exec --fifo-dir "$BASE/fifo" --exec-id two "$ID" true
	[ "$status" -eq 0 ]
}

# The controllers whose version 1 hierarchy is there and mounted nowhere: with one, containerd reads no metrics at all.
unmounted_controllers() {
	local names name

	while IFS=: read -r _ names _; do
		name=${names%%,*}
		case $name in
		'' | name=*) continue ;;
		esac
		awk -v c="$name" '$3 == "cgroup" && $4 ~ "(^|,)" c "(,|$)" { found = 1 } END { exit !found }' /proc/mounts ||
			echo "$name"
	done </proc/self/cgroup
}

@test "metrics: of a running container's cgroup" {
	[ -z "$(unmounted_controllers)" ] ||
		skip "the version 1 hierarchy of $(unmounted_controllers) is mounted nowhere: containerd gives no metrics, with runc neither"
	counting
	run ctr task metrics "$ID"
	[ "$status" -eq 0 ]
	[[ $output == *"memory.usage"* && $output == *"pids.current"* ]]
}

@test "pause stops every process, resume goes on" {
	counting
	ctr task pause "$ID"
	[ "$(task_status "$ID")" = PAUSED ]
	before=$(count)
	sleep 0.3
	[ "$(count)" = "$before" ]
	ctr task resume "$ID"
	[ "$(task_status "$ID")" = RUNNING ]
	eventually bash -c '[ "$(cat "$1")" != "$2" ]' - "/proc/$(task_pid "$ID")/root/tmp/n" "$before"
}

@test "kill: signals by name and number; a second kill finds no process" {
	counting
	ctr task kill -s 15 "$ID"
	eventually has_status "$ID" STOPPED
	run ctr task kill -s KILL "$ID"
	[[ $status -eq 0 || $output == *"not found"* || $output == *"already finished"* ]]
}

@test "kill -a: every process" {
	ctr_run -d -- "$ID" sh -c 'sleep 1001 & sleep 1002 & wait'
	eventually bash -c '[ "$(ctr task ps "$1" | wc -l)" -ge 4 ]' - "$ID"
	pids=$(ctr task ps "$ID" | awk 'NR > 1 { print $1 }')
	ctr task kill -a -s KILL "$ID"
	for pid in $pids; do
		eventually is_gone "$pid"
	done
}

@test "host's pid namespace: leftovers are killed after the first process" {
	ctr_run -d --with-ns "pid:/proc/$$/ns/pid" -- "$ID" \
		sh -c 'sleep 1003 & echo $! >/tmp/child; until [ -e /tmp/go ]; do sleep 0.05; done'
	root=/proc/$(task_pid "$ID")/root
	eventually test -s "$root/tmp/child"
	child=$(cat "$root/tmp/child")
	[ -d "/proc/$child" ]
	touch "$root/tmp/go"
	eventually has_status "$ID" STOPPED
	eventually is_gone "$child"
}

@test "limits: memory and cpus; update" {
	counting --memory-limit 67108864 --cpus 0.5
	pid=$(task_pid "$ID")
	[ "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)" = 67108864 ]
	[[ $(cgroup_value "$pid" cpu cpu.cfs_quota_us cpu.max) == 50000* ]]
}

@test "mounts, environment, directory, read-only root" {
	mkdir -p "$BASE/data"
	echo from-host >"$BASE/data/file"
	run ctr_run --rm --read-only --env KEY=value --cwd /var/seed \
		--mount "type=bind,src=$BASE/data,dst=/home,options=rbind:ro" -- "$ID" \
		sh -c 'cat /home/file; echo $KEY; pwd; touch /x 2>&1; touch /home/x 2>&1'
	[ "$status" -ne 0 ]
	[[ $output == $'from-host\nvalue\n/var/seed\n'* ]]
	[ "$(grep -c 'Read-only file system' <<<"$output")" -eq 2 ]
}

@test "host network, privileged, seccomp" {
	counting --net-host --seccomp
	pid=$(task_pid "$ID")
	same_ns self "$pid" net
	[ "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" = 2 ]
	[ "$(awk '/^NoNewPrivs:/ { print $2 }' "/proc/$pid/status")" = 1 ]
	ctr_run -d --privileged -- "$ID-b" sleep 1000
	pid=$(task_pid "$ID-b")
	[ "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" = 0 ]
	[ "$(awk '/^CapEff/ { print $2 }' "/proc/$pid/status")" = "$(awk '/^CapBnd/ { print $2 }' /proc/self/status)" ]
}

@test "user namespace: mapped ids" {
	run ctr_run --rm --uidmap 0:100000:65536 --gidmap 0:100000:65536 -- "$ID" \
		sh -c 'id -u; cat /proc/self/uid_map'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 0 ]
	[[ $(xargs <<<"${lines[1]}") == "0 100000 65536" ]]
}

@test "the shim survives containerd, and containerd finds the task again" {
	counting
	pid=$(task_pid "$ID")
	kill "$(cat "$BASE/containerd.pid")"
	eventually is_gone "$(cat "$BASE/containerd.pid")"
	[ -d "/proc/$pid" ]
	containerd_start
	[ "$(task_pid "$ID")" = "$pid" ]
	[ "$(task_status "$ID")" = RUNNING ]
}

@test "configuration: containerd reads contrib/containerd's, and it names the binary" {
	run containerd --config "$BATS_TEST_DIRNAME/../../contrib/containerd/config.toml" config dump
	[ "$status" -eq 0 ]
	[[ $output == *'BinaryName = "/usr/local/bin/thole"'* ]]
	[[ $output == *'runtime_type = "io.containerd.runc.v2"'* ]]
}
