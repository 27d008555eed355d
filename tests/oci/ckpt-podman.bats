#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# podman container checkpoint and restore, with podman's defaults, and no CRIU on the machine.

load lib

setup_file() {
	engine_begin podman
	only_thole "needs CRIU"
	podman_begin
	# what podman asks for; behind all else, as contrib/podman/README.md has it
	mkdir "$BASE/libexec"
	${CC:-gcc} -O1 -D_GNU_SOURCE -o "$BASE/libexec/criu" "$BATS_TEST_DIRNAME/../../contrib/podman/criu.c"
	export PATH=$PATH:$BASE/libexec
}

teardown_file() {
	podman_end
	engine_end
}

setup() {
	# no number in hexadecimal: podman takes such for the beginning of an id
	NAME=n$BATS_TEST_NUMBER
	cd "$BASE"
}

teardown() {
	pod_remove "$NAME" "$NAME-b" "$NAME-c"
}

# Counts on its standard output, without a gap, and ends with status 3 at TERM.
COUNT='trap "exit 3" TERM; i=0; while :; do i=$((i + 1)); echo $i; sleep 0.02; done'

counting() {
	box_run -d --name "$NAME" "$@" -- sh -c "$COUNT" && goes_on
}

runs_as() {
	pod top "$NAME" args | grep -q "$1"
}

beyond() {
	[ "$(pod_last "$2")" -gt "$1" ]
}

goes_on() {
	local was

	was=$(pod_last "${1:-$NAME}")
	eventually beyond "${was:-0}" "${1:-$NAME}"
}

# Every number once: nothing was lost, nothing said twice, nothing began anew.
no_gap() {
	pod logs "${1:-$NAME}" | tr -d '\r' | awk '{ if (n && $1 != n + 1) { print n " and then " $1; bad = 1 } n = $1 } END { exit bad }'
}

status() {
	pod inspect -f '{{.State.Status}}' "${1:-$NAME}"
}

# Between running and exited lies stopped, until podman has cleaned up.
has_status() {
	[ "$(status)" = "$1" ]
}

# Where podman has the files of the container.
userdata() {
	pod inspect -f '{{.StaticDir}}' "$NAME"
}

ckpt() {
	pod container checkpoint "$@"
}

back() {
	pod container restore "$@"
}

@test "the responder says what it is, and answers one question" {
	run criu --version
	[ "$status" -eq 0 ]
	[[ $output == *"not CRIU"* ]]
	run criu dump -t 1
	[ "$status" -ne 0 ]
	[[ $output == *"not CRIU"* ]]
	python3 - "$BASE/libexec/criu" <<-'END'
		import socket, subprocess, sys
		def ask(*requests):
		    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
		    p = subprocess.Popen([sys.argv[1], "swrk", str(theirs.fileno())], pass_fds=[theirs.fileno()],
		                         stderr=subprocess.DEVNULL)
		    theirs.close()
		    answers = []
		    for r in requests:
		        ours.send(bytes.fromhex(r))
		        answers.append(ours.recv(8192))
		    ours.close()
		    return answers, p.wait(timeout=10)
		(version, features), status = ask("080a", "08092a020801")
		assert status == 0
		# type 10, success, and a version of which 1 is the major and 2 the minor number
		assert version.startswith(bytes.fromhex("080a1001") + b"\x52") and version[6:10] == bytes.fromhex("08031010")
		assert b"not CRIU" in version
		assert features == bytes.fromhex("0809100142020801"), features
		# a dump: the same type, no success, and why
		(dump,), status = ask("0801")
		assert dump.startswith(bytes.fromhex("08011000")) and b"not CRIU" in dump and status == 0
		for bad in "ff", "0a", "0aff", "08ffffffffffffffffffff", "0b":
		    (answer,), status = ask(bad)
		    assert answer == b"" and status == 1, bad
	END
}

@test "checkpoint and restore, twice: not a line of the log is missing" {
	local cycle

	counting
	for cycle in 1 2; do
		ckpt "$NAME"
		[ "$(status)" = exited ]
		[ "$(pod inspect -f '{{.State.Checkpointed}}' "$NAME")" = true ]
		back "$NAME"
		[ "$(status)" = running ]
		goes_on
	done
	no_gap
	pod stop -t 60 "$NAME"
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$NAME")" = 3 ]
}

@test "the same on a terminal" {
	local cycle

	counting -t
	for cycle in 1 2; do
		ckpt "$NAME"
		back "$NAME"
		goes_on
	done
	no_gap
	[ "$(readlink "/proc/$(pod_pid "$NAME")/fd/0")" = /dev/pts/0 ]
	pod stop -t 60 "$NAME"
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$NAME")" = 3 ]
}

@test "a shell on a terminal: what is typed after a restore arrives" {
	local seat

	box_run -dit --name "$NAME" -- sh -c 'stty -echo; echo up; while read -r line; do echo "got $line"; done'
	eventually pod_says "$NAME" up
	ckpt "$NAME"
	back "$NAME"
	# what is typed goes to the monitor; who sits there is gone before the container is
	mkfifo "$BASE/$NAME.typed"
	podman attach "$NAME" <>"$BASE/$NAME.typed" >/dev/null 3>&- &
	seat=$!
	echo hello >"$BASE/$NAME.typed"
	eventually pod_says "$NAME" "got hello"
	kill -KILL $seat
	wait $seat || true
}

@test "--leave-running" {
	counting
	pid=$(pod_pid "$NAME")
	ckpt --leave-running "$NAME"
	[ "$(pod_pid "$NAME")" = "$pid" ]
	goes_on
	no_gap
}

@test "--keep: the files stay, and a restore can be done again from them" {
	counting
	ckpt --keep "$NAME"
	dir=$(userdata)
	[ -s "$dir/dump.log" ]
	[ -s "$dir/stats-dump" ]
	[ -e "$dir/checkpoint/inventory.img" ]
	back --keep "$NAME"
	[ -s "$dir/restore.log" ]
	goes_on
	pod kill "$NAME"
	eventually has_status exited
	back "$NAME"
	goes_on
	[ ! -e "$dir/checkpoint" ]
	[ ! -e "$dir/restore.log" ]
}

@test "--print-stats" {
	counting
	run --separate-stderr ckpt --print-stats "$NAME"
	jq -e '.container_statistics[0] | .runtime_checkpoint_duration > 0 and (.criu_statistics |
		.frozen_time > 0 and .freezing_time > 0 and .pages_scanned > 0 and .pages_written > 0)' <<<"$output"
	run --separate-stderr back --print-stats "$NAME"
	jq -e '.container_statistics[0] | .runtime_restore_duration > 0 and (.criu_statistics |
		.restore_time > 0 and .forking_time > 0 and .pages_restored > 0)' <<<"$output"
	goes_on
}

@test "--export, --import: here, to other names, and where the container is gone" {
	counting
	ckpt --export "$BASE/$NAME.tar.zst" "$NAME"
	back --import "$BASE/$NAME.tar.zst" -n "$NAME-b"
	back --import "$BASE/$NAME.tar.zst" -n "$NAME-c"
	[ "$(pod_pid "$NAME-b")" != "$(pod_pid "$NAME-c")" ]
	goes_on "$NAME-b"
	goes_on "$NAME-c"
	pod_remove "$NAME"
	back --import "$BASE/$NAME.tar.zst"
	goes_on
	no_gap
	pod stop -t 60 "$NAME-b"
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$NAME-b")" = 3 ]
}

is_removed() {
	! pod container exists "$1"
}

@test "--export of a container that goes on, and of one that goes with it (--rm)" {
	counting --rm
	ckpt --leave-running --export "$BASE/$NAME.tar.gz" --compress gzip "$NAME"
	goes_on
	back --import "$BASE/$NAME.tar.gz" -n "$NAME-b"
	goes_on "$NAME-b"
	ckpt --export "$BASE/$NAME.tar" --compress none "$NAME"
	# by podman's own cleanup
	eventually is_removed "$NAME"
	back --import "$BASE/$NAME.tar"
	goes_on
}

@test "--pre-checkpoint, --with-previous: the second holds what was written since" {
	box_run -d --name "$NAME" -- sh -c "x=\$(dd if=/dev/urandom bs=1M count=8 | base64 -w 0); $COUNT" && goes_on
	ckpt --pre-checkpoint "$NAME"
	[ "$(status)" = running ]
	dir=$(userdata)
	[ -e "$dir/pre-checkpoint/inventory.img" ]
	goes_on
	ckpt --with-previous "$NAME"
	[ "$(readlink "$dir/checkpoint/parent")" = ../pre-checkpoint ]
	[ $(($(du -s "$dir/checkpoint" | cut -f 1) * 3)) -lt "$(du -s "$dir/pre-checkpoint" | cut -f 1)" ]
	back "$NAME"
	goes_on
	no_gap
}

@test "--pre-checkpoint and --with-previous as archives" {
	counting
	ckpt --pre-checkpoint --export "$BASE/$NAME.pre.tar" "$NAME"
	goes_on
	ckpt --with-previous --export "$BASE/$NAME.tar" "$NAME"
	pod_remove "$NAME"
	back --import-previous "$BASE/$NAME.pre.tar" --import "$BASE/$NAME.tar" -n "$NAME-b"
	goes_on "$NAME-b"
}

@test "files: of the root, in volumes, in memory, in /dev/shm" {
	local where

	box_run -d --name "$NAME" --tmpfs /run -v "$NAME-v:/vol" -- sh -c '
		for d in /home /run /vol /dev/shm /tmp; do mkdir $d/deep; echo "in $d" >$d/deep/file; exec 5<$d/deep/file; done
		rm /etc/group; echo up; while :; do sleep 0.1; done'
	eventually pod_says "$NAME" up
	ckpt --export "$BASE/$NAME.tar" "$NAME"
	back "$NAME"
	for where in /home /run /vol /dev/shm /tmp; do
		[ "$(pod exec "$NAME" cat "$where/deep/file")" = "in $where" ]
	done
	pod_remove "$NAME"
	pod volume rm "$NAME-v"
	back --import "$BASE/$NAME.tar" -n "$NAME-b"
	for where in /home /run /vol /dev/shm /tmp; do
		[ "$(pod exec "$NAME-b" cat "$where/deep/file")" = "in $where" ]
	done
	run ! pod exec "$NAME-b" test -e /etc/group
	pod_remove "$NAME-b"
	pod volume rm "$NAME-v"
}

@test "limits, user, capabilities, environment, working directory and read-only root are as before" {
	box_run -d --name "$NAME" --user 1000:1000 --cap-drop all --read-only --memory 64m --pids-limit 77 -e A=1 -w /home/app -- \
		sh -c 'while :; do sleep 0.1; done'
	pid=$(pod_pid "$NAME")
	before=$(grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp):' "/proc/$pid/status")
	ckpt "$NAME"
	back "$NAME"
	pid=$(pod_pid "$NAME")
	[ "$(grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp):' "/proc/$pid/status")" = "$before" ]
	[ "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)" = $((64 << 20)) ]
	[ "$(cgroup_value "$pid" pids pids.max pids.max)" = 77 ]
	[ "$(readlink "/proc/$pid/cwd")" = /home/app ]
	tr '\0' '\n' <"/proc/$pid/environ" | grep -qx A=1
	run pod exec "$NAME" touch /home/app/file
	[[ $output == *"Read-only file system"* || $output == *"Permission denied"* ]]
}

# The options of podman run, and the same container goes on.
survives() {
	echo "with $*"
	counting "$@" || return
	ckpt "$NAME" && back "$NAME" && goes_on && no_gap && pod_remove "$NAME"
}

@test "a user namespace: with files in memory, a terminal, an init of its own" {
	survives --uidmap 0:100000:5000 --gidmap 0:100000:5000 --tmpfs /run --init
	survives --uidmap 0:100000:5000 --gidmap 0:100000:5000 -t
}

@test "all rights, or the host's namespaces" {
	survives --privileged
	survives --cap-add all --security-opt unmask=all
	survives --ipc host --uts host --network host --cgroupns host
}

@test "as an image of its own, and a container from it" {
	counting
	ckpt --create-image "localhost/$NAME:1" "$NAME"
	pod_remove "$NAME"
	back "localhost/$NAME:1"
	goes_on
	pod_remove "$NAME"
	pod rmi "localhost/$NAME:1"
}

@test "a network: the same address, and who listened still does" {
	pod network exists podman || skip "podman has no network here"
	box_run -d --name "$NAME" --network podman -- sh -c 'while :; do echo served | nc -l -p 8000; done' ||
		skip "containers get no network here"
	ip=$(pod inspect -f '{{.NetworkSettings.IPAddress}}' "$NAME")
	eventually fetches "$ip"
	eventually no_connection
	ckpt "$NAME"
	run ! fetches "$ip"
	back "$NAME"
	[ "$(pod inspect -f '{{.NetworkSettings.IPAddress}}' "$NAME")" = "$ip" ]
	eventually fetches "$ip"
}

fetches() {
	[ "$(timeout 10 busybox nc "$1" 8000 </dev/null)" = served ]
}

# The end of the last answer has been seen by who gave it.
no_connection() {
	awk 'FNR > 1 && $4 != "0A" && $10 { open = 1 } END { exit open }' "/proc/$(pod_pid "$NAME")"/net/tcp{,6}
}

@test "--tcp-established: connections in the container; without it they are the reason to refuse" {
	box_run -d --name "$NAME" -- sh -c '{ i=0; while :; do i=$((i + 1)); echo $i; sleep 0.02; done; } | nc -l -p 8000 >/dev/null &
		until grep -q ":1F40 .* 0A " /proc/net/tcp /proc/net/tcp6; do sleep 0.05; done; sleep 100000 | nc 127.0.0.1 8000'
	eventually beyond 1 "$NAME"
	run ckpt "$NAME"
	[ "$status" -ne 0 ]
	[[ $output == *"--tcp-established"* ]]
	[ "$(status)" = running ]
	goes_on
	ckpt --tcp-established "$NAME"
	back --tcp-established "$NAME"
	goes_on
	no_gap
}

@test "--file-locks: without it a lock is the reason to refuse" {
	# flock DESCRIPTOR: 0 where it has the lock now
	${CC:-gcc} -O1 -static -o "$BASE/flock" -xc - <<-'END'
		#include <stdlib.h>
		#include <sys/file.h>
		int main(int argc, char **argv) { return argc != 2 || flock(atoi(argv[1]), LOCK_EX | LOCK_NB); }
	END
	box_run -d --name "$NAME" -v "$BASE/flock:/flock:ro" -- sh -c "exec 9>/tmp/lock; /flock 9 || exit; $COUNT"
	goes_on
	run ckpt "$NAME"
	[ "$status" -ne 0 ]
	[[ $output == *"lock"* ]]
	ckpt --file-locks "$NAME"
	back --file-locks "$NAME"
	goes_on
	no_gap
	run pod exec "$NAME" sh -c 'exec 9>/tmp/lock; /flock 9'
	[ "$status" -eq 1 ]
}

@test "what can't be saved is told in one line, and the container goes on" {
	counting
	pod exec -d "$NAME" sleep 1000
	eventually runs_as "sleep 1000"
	run ckpt "$NAME"
	[ "$status" -ne 0 ]
	[[ ${lines[0]} == *"exec"* ]]
	[ "$(status)" = running ]
	goes_on
	no_gap
}

@test "into a pod, from a pod" {
	local pod

	counting --network none
	ckpt --export "$BASE/$NAME.tar" "$NAME"
	pod pod create --name "$NAME-p" --share ipc,uts,net
	pod run -d --pod "$NAME-p" --name "$NAME-b" localhost/box:1 sh -c "$COUNT"
	goes_on "$NAME-b"
	ckpt "$NAME-b"
	back "$NAME-b"
	goes_on "$NAME-b"
	ckpt --export "$BASE/$NAME.tar" "$NAME-b"
	pod_remove "$NAME-b"
	pod=$(pod pod create --name "$NAME-q" --share ipc,uts,net)
	pod pod start "$NAME-q"
	back --import "$BASE/$NAME.tar" --pod "$pod" -n "$NAME-c"
	goes_on "$NAME-c"
	same_ns "$(pod_pid "$NAME-c")" "$(pod_pid "$(pod pod inspect -f '{{.InfraContainerID}}' "$NAME-q")")" net
	pod_remove_pods "$NAME-p" "$NAME-q"
}

@test "a pod that shares its pid namespace: refused by its name" {
	pod pod create --name "$NAME-p" --share pid,ipc
	pod run -d --pod "$NAME-p" --name "$NAME" localhost/box:1 sh -c "$COUNT"
	goes_on
	run ckpt "$NAME"
	[ "$status" -ne 0 ]
	[[ $output == *"pid namespace"* ]]
	goes_on
	pod_remove_pods "$NAME-p"
}
