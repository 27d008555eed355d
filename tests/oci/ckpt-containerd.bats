#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Checkpoints of containerd's tasks, by ctr, and containers that begin from one.

load lib

setup_file() {
	engine_begin containerd
	only_thole "needs CRIU"
	containerd_begin
}

teardown_file() {
	containerd_end
	engine_end
}

setup() {
	ID=k$BATS_TEST_NUMBER
	IMAGE=$BASE/$ID.image
	WORK=$BASE/$ID.work
	cd "$BASE"
}

teardown() {
	local id

	for id in "$ID" "$ID-b" "$ID-c"; do
		ctr task kill -a -s KILL "$id" >/dev/null 2>&1 || true
		eventually gone "$id"
	done
}

gone() {
	ctr task rm -f "$1"
	ctr container rm "$1"
	! ctr container ls -q | grep -qx "$1"
}

# Counts in /tmp/n, and ends with status 3 at TERM. Who begins anew does not come beyond a million, as this one does by
# jump.
counting() {
	ctr_run -d "$@" -- "$ID" sh -c 'trap "exit 3" TERM; i=0
		while :; do
			i=$((i + 1)); echo $i >/tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.02
			[ ! -e /tmp/jump ] || { rm /tmp/jump; i=$((i + 1000000)); }
		done'
	eventually count
}

jump() {
	touch "/proc/$(task_pid "$ID")/root/tmp/jump"
	eventually beyond 1000000 "$ID"
}

task_pid() {
	ctr task ls | awk -v id="$1" '$1 == id { print $2 }'
}

has_status() {
	[ "$(ctr task ls | awk -v id="$1" '$1 == id { print $3 }')" = "$2" ]
}

count() {
	cat "/proc/$(task_pid "${1:-$ID}")/root/tmp/n"
}

beyond() {
	[ "$(count "$2")" -gt "$1" ]
}

goes_on() {
	eventually beyond "$(count "${1:-$ID}")" "${1:-$ID}"
}

# The descriptors of a checkpoint that containerd stored: "mediaType digest" lines.
stored() {
	ctr content get "$(ctr image ls | awk -v ref="$1" '$1 == ref { print $3 }')" |
		jq -r '.manifests[] | "\(.mediaType) \(.digest)"'
}

@test "--image-path: the files are there, and the task goes on" {
	counting
	ctr task checkpoint --image-path "$IMAGE" --work-path "$WORK" "$ID"
	[ -e "$IMAGE/inventory.img" ]
	[ -z "$(find "$IMAGE" -mindepth 1 '!' -type f)" ]
	"$RUNTIME" image verify "$IMAGE"
	[ -s "$WORK/dump.log" ]
	[ -s "$WORK/stats-dump" ]
	has_status "$ID" RUNNING
	goes_on
}

@test "--exit: the task has ended, and can be deleted" {
	counting
	ctr task checkpoint --exit --image-path "$IMAGE" "$ID"
	[ -e "$IMAGE/inventory.img" ]
	eventually has_status "$ID" STOPPED
	[ ! -e "$BASE/runc/$CONTAINERD_NAMESPACE/$ID" ]
	eventually gone "$ID"
}

@test "into the content store: an archive of files side by side" {
	counting
	ref=$(ctr task checkpoint "$ID")
	digest=$(stored "$ref" | awk '$1 ~ /criu.tar$/ { print $2 }')
	ctr content get "$digest" | tar -tvf - | tee "$IMAGE.list"
	grep -q 'inventory.img$' "$IMAGE.list"
	# a plain file each, without a directory in its name
	run ! grep -vE '^-[^/]*/[^/]* +[0-9]+ [^ ]+ [^ ]+ [^/]+$' <(grep -vE ' \./?$' "$IMAGE.list" | sed 's| \./| |')
	goes_on
}

@test "a paused task stays paused" {
	counting
	ctr task pause "$ID"
	was=$(count)
	ctr task checkpoint --image-path "$IMAGE" "$ID"
	has_status "$ID" PAUSED
	[ "$(count)" = "$was" ]
	ctr task resume "$ID"
	goes_on
	ctr task pause "$ID"
	ctr task checkpoint --exit --image-path "$IMAGE.2" "$ID"
	eventually has_status "$ID" STOPPED
}

@test "a container from a checkpoint, and one from a checkpoint of that" {
	counting
	jump
	ctr container checkpoint --task --rw "$ID" "localhost/$ID:1"
	ctr task kill -s KILL "$ID"
	eventually gone "$ID"
	ctr container restore --live --rw "$ID-b" "localhost/$ID:1"
	has_status "$ID-b" RUNNING
	goes_on "$ID-b"
	beyond 1000000 "$ID-b"
	# where a part of a checkpoint is stored already, containerd 1.6 leaves the others out and says nothing
	ctr image rm --sync "localhost/$ID:1"
	ctr container checkpoint --task --rw "$ID-b" "localhost/$ID:2"
	goes_on "$ID-b"
	# the cgroup is that of the first one
	ctr task kill -s KILL "$ID-b"
	eventually gone "$ID-b"
	ctr container restore --live --rw "$ID-c" "localhost/$ID:2"
	goes_on "$ID-c"
	beyond 1000000 "$ID-c"
	# the status of its end comes to containerd
	ctr task kill -s TERM "$ID-c"
	eventually has_status "$ID-c" STOPPED
	run ctr task rm "$ID-c"
	[[ $output == *"code 3"* || $status -eq 3 ]]
}

@test "what can't be saved is told, and the task goes on" {
	counting
	ctr task exec -d --exec-id more --fifo-dir "$BASE/fifo" "$ID" sleep 1000
	run ctr task checkpoint --image-path "$IMAGE" "$ID"
	echo "$output"
	[ "$status" -ne 0 ]
	[[ $output == *"brought in by exec"*"criu-dump.log"* ]]
	[ ! -e "$IMAGE/inventory.img" ]
	has_status "$ID" RUNNING
	goes_on
	ctr task kill -s KILL --exec-id more "$ID"
}
