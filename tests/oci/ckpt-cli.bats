#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people type and read: checkpoint --check, image inspect, verify, convert and diff, help, progress.

load bundle
load ckpt
setup_file() { ckpt_programs; }
setup() {
	need_root
	only_thole "checkpoints by itself"
	bundle
	AS=rt # for cycle_start
	IMAGE=$BATS_TEST_TMPDIR/image
	OUT=$BATS_TEST_TMPDIR/out
}
teardown() { bundle_end; }

image() {
	"$THOLE" image "$@" 3>&-
}

# A container of two processes with something that can't be saved: a fifo of the host's.
unsaved() {
	mkfifo "$BATS_TEST_TMPDIR/fifo"
	config_args sh -c 'sleep 1000 & exec sleep 1000'
	rt create --bundle "$BUNDLE" --pid-file "$PIDFILE" --preserve-fds 5 "$ID" </dev/null >"$OUT" 2>&1 \
		4>&- 5>&- 6>&- 7<>"$BATS_TEST_TMPDIR/fifo" && rt start "$ID"
	eventually waits_as "$(cat "$PIDFILE")" sleep
	eventually pgrep -P "$(cat "$PIDFILE")" sleep
}

saved() {
	cycle_bundle pipes
	cycle_start
	rt checkpoint --leave-running --image-path "$IMAGE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
}

@test "checkpoint --check: a list of 80 columns, JSON of the same, and the exit status" {
	local before

	unsaved
	before=$(cat "/proc/$(cat "$PIDFILE")/maps")
	run -1 rt checkpoint --check "$ID"
	echo "$output"
	[[ ${lines[0]} == "process "*"($(cat "$PIDFILE") on the host)" ]]
	[[ $output == *"    fd 7    "* ]]
	[[ ${lines[-1]} == *" can't be saved; nothing was stopped" ]]
	[ "$(wc -L <<<"$output")" -le 80 ]
	[[ $output != *$'\e'* ]]
	run -1 rt checkpoint --check --json "$ID"
	echo "$output"
	jq -e 'length > 0 and all(.what != "" and .why != "") and any(.process == 1 and .fd == 7)' <<<"$output"
	[ "$(cat "/proc/$(cat "$PIDFILE")/maps")" = "$before" ]
	# what the preflight tells, the checkpoint tells
	run -1 rt checkpoint --image-path "$IMAGE" "$ID"
	[[ $output == *"can't be checkpointed: process 1, descriptor 7: "* ]]
	[ ! -e "$IMAGE" ]
}

@test "checkpoint --check: nothing to tell" {
	running
	run -0 rt checkpoint --check "$ID"
	[ "$output" = "everything can be saved" ]
	run -0 rt checkpoint --check --json "$ID"
	[ "$(jq -c . <<<"$output")" = "[]" ]
	run -1 rt checkpoint --json "$ID"
	[[ $output == *"--json goes with --check"* ]]
	run -1 rt checkpoint --check nobody
	[[ $output == *"does not exist"* ]]
}

@test "checkpoint --check: colours on a terminal, unless told otherwise" {
	need script
	unsaved
	run script -qec "TERM=xterm '$THOLE' --root '$STATE' checkpoint --check '$ID'" /dev/null </dev/null
	[[ $output == *$'\e[1mprocess 1'* ]]
	run script -qec "NO_COLOR=1 TERM=xterm '$THOLE' --root '$STATE' checkpoint --check '$ID'" /dev/null </dev/null
	[[ $output != *$'\e['* ]]
}

@test "image inspect: what it is, and its processes" {
	saved
	run -0 image inspect "$IMAGE"
	echo "$output"
	[[ ${lines[0]} == "container  $ID" ]]
	[[ $output == *"PID  PARENT  THREADS    FDS       KIB  PROGRAM"* ]]
	grep -qE '^ +1 +0 +1 +[0-9]+ +[0-9]+  /bin/cycle$' <<<"$output"
	run -0 image inspect --json "$IMAGE"
	jq -e --arg id "$ID" '.id == $id and .version == 1 and (.processes | length) == 2 and
		.processes[1].parent == 1 and .processes[0].program == "/bin/cycle" and
		.processes[0].bytes > 0 and .processes[0].fds > 3' <<<"$output"
	[ "$(jq .bytes <<<"$output")" -gt 10000 ]
}

@test "image inspect: what a process calls itself does no harm" {
	cycle_bundle pipes
	ln "$ROOTFS/bin/cycle" "$ROOTFS/bin/"$'s\e[31mleep'
	config_args $'s\e[31mleep' pipes
	cycle_start
	rt checkpoint --image-path "$IMAGE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; false; }
	run -0 image inspect "$IMAGE"
	[[ $output == *'/bin/s\u001b[31mleep'* && $output != *$'\e'* ]]
}

@test "image verify" {
	saved
	run -0 image verify "$IMAGE"
	[ "$output" = ok ]
	printf x | dd of="$IMAGE/process.1.memory.bin" bs=1 seek=100 conv=notrunc status=none
	printf x | dd of="$IMAGE/process.2.memory.bin" bs=1 seek=100 conv=notrunc status=none
	run -1 image verify "$IMAGE"
	echo "$output"
	[[ ${lines[0]} == *"process.1.memory.bin is damaged"* ]]
	[[ ${lines[1]} == *"process.2.memory.bin is damaged"* ]]
	[[ ${lines[2]} == "thole: the image is damaged" ]]
}

@test "image convert --layout=tree: a folder a process, a file a mapping and a thread" {
	local pid dir n i start end saved

	saved
	image convert --layout=tree "$IMAGE" "$BATS_TEST_TMPDIR/tree"
	[ "$(ls "$BATS_TEST_TMPDIR/tree")" = $'1\n2' ]
	for pid in 1 2; do
		dir=$BATS_TEST_TMPDIR/tree/$pid
		[ "$(cd "$dir" && find . -maxdepth 2 | LC_ALL=C sort | tr '\n' ' ')" = \
			". ./meta.json ./process ./process/fds.json ./process/info.json ./process/memory ./process/memory_map.json ./process/threads " ]
		cmp "$IMAGE/meta.json" "$dir/meta.json"
		cmp "$IMAGE/process.$pid.info.json" "$dir/process/info.json"
		cmp "$IMAGE/process.$pid.fds.json" "$dir/process/fds.json"
		[ "$(find "$dir/process/threads" -type f | wc -l)" -eq "$(jq '.threads | length' "$dir/process/info.json")" ]
		n=$(jq '.mappings | length' "$dir/process/memory_map.json")
		[ "$(find "$dir/process/memory" -type f | wc -l)" -eq "$n" ]
		for ((i = 0; i < n; i++)); do
			read -r start end saved < <(jq -r ".mappings[$i] | \"\(.start) \(.end) \(.pages // 0)\"" "$dir/process/memory_map.json")
			[ "$(stat -c %s "$dir/process/memory/$i.bin")" -eq $((end - start)) ]
			[ "$saved" -gt 0 ] || [ "$(stat -c %b "$dir/process/memory/$i.bin")" -eq 0 ]
		done
	done
	# the bytes are those of the process, which waits: on its stack are its arguments
	i=$(jq '[.mappings[] | .end] | index($stack)' --arg stack "$(sed -n 's/^[0-9a-f]*-\([0-9a-f]*\) .*\[stack\]$/0x\1/p' "/proc/$(cat "$PIDFILE")/maps")" \
		"$IMAGE/process.1.memory_map.json")
	grep -qaP 'cycle\x00pipes' "$BATS_TEST_TMPDIR/tree/1/process/memory/$i.bin"
	run -1 image convert --layout=tree "$IMAGE" "$BATS_TEST_TMPDIR/tree"
	[[ $output == *"File exists"* ]]
	run -1 image convert "$IMAGE" "$BATS_TEST_TMPDIR/other"
	[[ $output == *"--layout=tree"* && ! -e $BATS_TEST_TMPDIR/other ]]
	printf x | dd of="$IMAGE/process.2.memory.bin" bs=1 seek=100 conv=notrunc status=none
	run -1 image convert --layout=tree "$IMAGE" "$BATS_TEST_TMPDIR/other"
	[[ $output == *"process.2.memory.bin is damaged"* && ! -e $BATS_TEST_TMPDIR/other ]]
}

@test "image diff: fields, pages, files" {
	cycle_bundle pipes
	cycle_start
	rt checkpoint --leave-running --image-path "$IMAGE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; false; }
	run -0 image diff "$IMAGE" "$IMAGE"
	[ -z "$output" ]
	prlimit --pid "$(cat "$PIDFILE")" --core=4096:8192
	kill -STOP "$(pgrep -P "$(cat "$PIDFILE")" cycle)"
	eventually grep -q '^State:.T' "/proc/$(pgrep -P "$(cat "$PIDFILE")" cycle)/status"
	rt checkpoint --leave-running --image-path "$IMAGE-2" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; false; }
	run -1 image diff "$IMAGE" "$IMAGE-2"
	echo "$output"
	[[ $output == *$'process.1.info.json\n'*"    task.limits[resource=4].soft: "*" -> 4096"* ]]
	[[ $output == *$'process.2.info.json\n'*"stopped: nothing -> true"* ]]
	[[ $output != *config.json* ]]
	run -1 image diff --json "$IMAGE" "$IMAGE-2"
	jq -e 'any(.file == "process.1.info.json" and .path == "task.limits[resource=4].soft" and .after == "4096")' <<<"$output"
	run -1 image diff "$IMAGE"
	[[ $output == *"it is thole image diff DIR OTHER"* ]]
}

@test "help names every option and action" {
	local word

	for word in checkpoint restore image; do
		run -0 "$THOLE" $word --help
		[ "$(wc -L <<<"$output")" -le 80 ]
	done
	for word in inspect verify convert diff process/info.json process/threads/ --json --layout; do
		[[ $output == *"$word"* ]]
	done
	run -1 "$THOLE" image nonsense "$IMAGE"
	[[ $output == *'"nonsense" is none of inspect, verify, convert, diff'* ]]
}

# Once at least: on a busy machine it may take long.
verifies_without_a_word() {
	[[ $(script -qec "'$THOLE' image verify '$IMAGE'" /dev/null </dev/null) == ok* ]]
}

@test "progress: a line on a terminal for what takes long, none for what does not, none elsewhere" {
	local calls

	need script
	saved
	eventually verifies_without_a_word
	calls=$("$HOST" killat 1000000 "$THOLE" image verify "$IMAGE" 2>&1 >/dev/null | sed -n 's/^calls: //p')
	# held in the middle for longer than a terminal is left without a word
	for ((calls -= 40; calls > 0; calls -= 20)); do
		run -0 script -qec "'$HOST' doat $calls 'sleep 0.6' '$THOLE' image verify '$IMAGE'" /dev/null </dev/null
		[[ $output == *verify:* ]] && break
	done
	cat -v <<<"$output"
	[[ $output =~ verify:\ [0-9.]+\ KiB\ of\ [0-9.]+\ KiB,\ [0-9]+\ %,\ [0-9.]+\ KiB/s ]]
	[[ $output == *$'\r\e[Kok'* ]]
	run -0 "$HOST" doat "$calls" 'sleep 0.6' "$THOLE" image verify "$IMAGE"
	[[ $output != *verify:* ]]
}
