#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Never half: a checkpoint that fails or is killed anywhere leaves the container as it was and no image, a
# restore that fails or is killed leaves nothing. The same file is ckpt-robust-rootless.bats by a link, and
# then an ordinary user does it.

load bundle
load ckpt
setup_file() { ckpt_programs; }
setup() {
	cycle_setup
	BEFORE=
	config_args sh -c 'for name in threads pipes signal-pending; do
			mkdir -p /cycle/$name
			CYCLE_DIR=/cycle/$name cycle $name &
		done
		while :; do i=$((i + 1)); echo $i >/cycle/count; sleep 0.02; done'
	ln -f "$BUNDLE_TOOLS/cycle" "$ROOTFS/bin/cycle"
	mkdir -p "$ROOTFS/cycle"
	IMAGE=$BATS_TEST_TMPDIR/image
	OUT=$BATS_TEST_TMPDIR/out
	user_own
}
teardown() { cycle_teardown; }

# The container runs, and what it is like is known: known_as_it_is says whether it still is.
busy() {
	$AS create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	$AS start "$ID" && eventually programs_ready && know
}

programs_ready() {
	local name

	for name in threads pipes signal-pending; do
		[ -e "$ROOTFS/cycle/$name/ready" ] || return
	done
}

know() {
	INIT=$(cat "$PIDFILE")
	PIDS=$(pgrep -P "$INIT" cycle | tr '\n' ' ')$INIT
	BEFORE=$(layout)
}

# What a tracer changes: mappings, masks, processors, who traces. The heap of a shell grows.
layout() {
	local pid

	for pid in $PIDS; do
		echo "process $pid"
		grep -vF '[heap]' "/proc/$pid/maps"
		grep -hE '^(Name|Tgid|Pid|TracerPid|SigBlk|SigIgn|SigCgt|Cpus_allowed_list|Seccomp):' "/proc/$pid"/task/*/status
		grep -hoE '^State:.[tTZX]' "/proc/$pid"/task/*/status
	done
	return 0
}

known_as_it_is() {
	[ "$(layout)" = "$BEFORE" ]
}

counts_on() {
	local last

	last=$(cat "$ROOTFS/cycle/count")
	eventually count_is_not "$last"
}

count_is_not() {
	[ "$(cat "$ROOTFS/cycle/count")" != "$1" ]
}

# The container is as before, at the latest in a moment.
untouched() {
	eventually known_as_it_is || { diff <(echo "$BEFORE") <(layout); return 1; }
	counts_on
}

# Paused it is still where the checkpoint had brought it; it finds its way back when it is resumed.
still_paused() {
	eventually has_now paused && stands_still && rt resume "$ID" && untouched && rt pause "$ID"
}

stands_still() {
	local count

	count=$(cat "$ROOTFS/cycle/count")
	sleep 0.1
	[ "$(cat "$ROOTFS/cycle/count")" = "$count" ]
}

has_now() {
	[ "$($AS state "$ID" | jq -r .status)" = "$1" ]
}

# All the programs find what they had.
programs_end() {
	local name

	for name in threads pipes signal-pending; do
		touch "$ROOTFS/cycle/$name/go"
	done
	for name in threads pipes signal-pending; do
		eventually test -s "$ROOTFS/cycle/$name/result"
		echo "$name: $(cat "$ROOTFS/cycle/$name/result")"
		[ "$(cat "$ROOTFS/cycle/$name/result")" = OK ] || return
	done
}

# under HOST-WORDS... -- COMMAND...: the runtime, under a program that interferes.
under() {
	local words=()

	while [ "$1" != -- ]; do
		words+=("$1")
		shift
	done
	shift
	case $AS in
	rt) timeout -s KILL 100 "${words[@]}" "$THOLE" --root "$STATE" "$@" ;;
	user_rt) as_user timeout -s KILL 100 "${words[@]}" "$THOLE" "$@" ;;
	esac </dev/null >"$OUT" 2>&1 3>&-
}

# killed N COMMAND...: the runtime, killed as it enters its Nth system call.
killed() {
	local n=$1

	shift
	under "$HOST" killat "$n" -- "$@"
}

fails() {
	! "$@"
}

calls_of() {
	killed 100000000 "$@" || return
	sed -n 's/^calls: //p' "$OUT"
}

checkpoint() {
	$AS checkpoint --image-path "$IMAGE" "$@" "$ID" </dev/null >"$OUT" 2>&1
}

restore() {
	$AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach "$ID" </dev/null >"$OUT" 2>&1
}

# Once the image has its name it is whole, and the container is on its way to its end.
goes_on_from_image() {
	"$THOLE" image verify "$IMAGE" >/dev/null && $AS delete --force "$ID" && restore && know && rm -rf "$IMAGE"
}

# killed_anywhere TIMES CHECK: a checkpoint, killed at so many of its system calls, evenly.
killed_anywhere() {
	local times=$1 check=$2 total step n

	total=$(calls_of checkpoint --leave-running --image-path "$IMAGE" "$ID")
	rm -rf "$IMAGE"
	step=$(((total + times - 1) / times))
	echo "$total calls, every ${step}."
	for ((n = RANDOM % step; n < total; n += step)); do
		killed $n checkpoint --image-path "$IMAGE" "$ID" && break # it had fewer this time
		if [ -e "$IMAGE" ]; then
			goes_on_from_image || { echo "$n of $total: $(cat "$OUT")"; return 1; }
			[ "$check" = untouched ] || rt pause "$ID"
		fi
		"$check" || { echo "$n of $total: $(cat "$OUT")"; return 1; }
	done
}

@test "checkpoint killed at any system call: the container runs on as it was, and there is no image" {
	busy
	killed_anywhere 120 untouched
	if [ -e "$IMAGE" ]; then goes_on_from_image; fi
	checkpoint || { cat "$OUT"; false; }
	[ ! -e "$IMAGE.tmp" ]
	$AS delete --force "$ID"
	restore || { cat "$OUT"; false; }
	programs_end
}

@test "checkpoint of a paused container killed at any system call: it stays paused" {
	root_only "an ordinary user has no cgroup to pause here"
	busy
	rt pause "$ID"
	killed_anywhere 40 still_paused
	if [ ! -e "$IMAGE" ]; then
		rt resume "$ID"
		counts_on
		checkpoint || { cat "$OUT"; false; }
	fi
	rt delete --force "$ID"
	restore || { cat "$OUT"; false; }
	programs_end
}

@test "restore killed at any system call, then delete --force: nothing is left" {
	local total step n before

	before=$(snapshot)
	busy
	checkpoint || { cat "$OUT"; false; }
	$AS delete --force "$ID"
	total=$(calls_of restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID")
	$AS delete --force "$ID"
	eventually leaves "$before"
	step=$(((total + 59) / 60))
	echo "$total calls, every ${step}."
	for ((n = RANDOM % step; n < total; n += step)); do
		killed $n restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID" || true
		run $AS delete --force "$ID"
		[ "$status" -eq 0 ] && [ -z "$output" ] || { echo "$n of $total: $output"; return 1; }
		eventually leaves "$before" || { echo "$n of $total"; diff <(echo "$before") <(snapshot); return 1; }
	done
	restore || { cat "$OUT"; false; }
	programs_end
}

# The state directory of the runtime may be there after its first use.
leaves() {
	[ "$(snapshot | grep -vx "state: $STATE")" = "$(grep -vx "state: $STATE" <<<"$1")" ]
}

# --- what fails by itself ------------------------------------------------------------------------

# It said why, in one line; there is no image, no part of one, and the container is as it was.
failed_clean() {
	cat "$OUT"
	grep -qi "^thole: .*$1" "$OUT" && [ "$(grep -c '^thole: ' "$OUT")" -eq 1 ] && [ ! -e "$IMAGE" ] && [ ! -e "$IMAGE.tmp" ] && untouched
}

@test "checkpoint called off by a signal: what it had begun is undone" {
	local total step n signal=0 signals=(TERM INT HUP QUIT)

	busy
	total=$(calls_of checkpoint --leave-running --image-path "$IMAGE" "$ID")
	rm -rf "$IMAGE"
	step=$((total / 30))
	for ((n = total / 3 + RANDOM % step; n < total; n += step)); do
		signal=$(((signal + 1) % 4))
		if under "$HOST" doat $n "kill -${signals[signal]} \$PID" -- checkpoint --image-path "$IMAGE" --leave-running "$ID"; then
			echo "$n of $total: too late"
			"$THOLE" image verify "$IMAGE"
			rm -rf "$IMAGE"
			untouched
		else
			failed_clean "checkpoint was called off by SIG${signals[signal]}, and undone" || { echo "$n of $total"; return 1; }
		fi
	done
	checkpoint || { cat "$OUT"; false; }
}

@test "restore called off by a signal: nothing is left" {
	local total step n before

	before=$(snapshot)
	busy
	checkpoint || { cat "$OUT"; false; }
	$AS delete --force "$ID"
	total=$(calls_of restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID")
	$AS delete --force "$ID"
	step=$((total / 12))
	for ((n = total / 2 + RANDOM % step; n < total; n += step)); do
		if under "$HOST" doat $n "kill -TERM \$PID" -- restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"; then
			echo "$n of $total: too late"
			$AS delete --force "$ID"
		else
			grep -q "^thole: .*restore was called off by SIGTERM, and undone" "$OUT" ||
				{ echo "$n of $total"; cat "$OUT"; return 1; }
		fi
		eventually leaves "$before" || { echo "$n of $total"; diff <(echo "$before") <(snapshot); return 1; }
	done
	restore || { cat "$OUT"; false; }
	programs_end
}

@test "the container's first process dies in the middle of the checkpoint: it is told, nothing hangs" {
	local total step n before

	before=$(snapshot)
	busy
	total=$(calls_of checkpoint --leave-running --image-path "$IMAGE" "$ID")
	rm -rf "$IMAGE"
	step=$((total / 12))
	for ((n = RANDOM % step; n < total; n += step)); do
		if under "$HOST" doat $n "kill -KILL $INIT" -- checkpoint --image-path "$IMAGE" "$ID"; then
			"$THOLE" image verify "$IMAGE"
			rm -rf "$IMAGE"
		else
			echo "$n of $total: $(cat "$OUT")"
			[ "$(grep -c '^thole: ' "$OUT")" -eq 1 ]
			[ ! -e "$IMAGE" ] || "$THOLE" image verify "$IMAGE"
			[ ! -e "$IMAGE.tmp" ]
			rm -rf "$IMAGE"
		fi
		$AS delete --force "$ID"
		eventually leaves "$before" || { echo "$n of $total"; diff <(echo "$before") <(snapshot); return 1; }
		rm -rf "$ROOTFS"/cycle/*
		busy
	done
}

@test "a disk that is full, at any moment" {
	root_only "an ordinary user mounts no file system of its own here"
	local disk=$BATS_TEST_TMPDIR/disk size whole kib

	busy
	checkpoint --leave-running || { cat "$OUT"; false; }
	whole=$(du -sk "$IMAGE" | cut -f 1)
	rm -rf "$IMAGE"
	mkdir "$disk"
	IMAGE=$disk/image
	for ((kib = 4; kib < whole * 8 / 10; kib += whole / 12)); do
		mount -t tmpfs -o "size=${kib}k" tmpfs "$disk"
		! checkpoint || { echo "$kib KiB were enough"; return 1; }
		echo "$kib KiB of $whole"
		failed_clean "No space left on device"
		[ -z "$(ls -A "$disk")" ]
		umount "$disk"
	done
	mount -t tmpfs -o "size=$((2 * whole + 64))k" tmpfs "$disk"
	checkpoint || { cat "$OUT"; false; }
	umount "$disk"
}

@test "a limit on the size of files: the largest does not fit" {
	local kib

	busy
	for kib in 4 16 64 256; do
		fails under bash -c 'ulimit -f "$0"; exec "$@"' $kib -- checkpoint --image-path "$IMAGE" "$ID" ||
			{ echo "$kib KiB were enough"; return 1; }
		failed_clean "File too large"
	done
	checkpoint || { cat "$OUT"; false; }
}

@test "a place where no image can be made" {
	busy
	IMAGE=$BATS_TEST_TMPDIR/missing/image
	fails checkpoint
	failed_clean "no such file or directory"
	: >"$BATS_TEST_TMPDIR/file"
	IMAGE=$BATS_TEST_TMPDIR/file/image
	fails checkpoint
	failed_clean "Not a directory"
	IMAGE=/proc/image
	fails checkpoint
	failed_clean "/proc/image"
	IMAGE=/
	fails checkpoint
	grep -q "has no name that can be given to a finished image" "$OUT"
	untouched
	mkdir -m 500 "$BATS_TEST_TMPDIR/readonly"
	[ "$AS" = rt ] || {
		IMAGE=$BATS_TEST_TMPDIR/readonly/image
		chown "$USER_ID" "$BATS_TEST_TMPDIR/readonly"
		fails checkpoint
		failed_clean "ermission denied"
	}
}

@test "a file where the image is to go stays" {
	busy
	echo precious >"$IMAGE"
	fails checkpoint
	cat "$OUT"
	[ "$(cat "$IMAGE")" = precious ]
	[ ! -e "$IMAGE.tmp" ]
	untouched
}

@test "an image that is there already stays until there is a new one" {
	local digest

	busy
	checkpoint --leave-running || { cat "$OUT"; false; }
	digest=$(cat "$IMAGE/inventory.img")
	fails under bash -c 'ulimit -f 16; exec "$@"' - -- checkpoint --image-path "$IMAGE" "$ID"
	[ "$(cat "$IMAGE/inventory.img")" = "$digest" ]
	"$THOLE" image verify "$IMAGE"
	[ ! -e "$IMAGE.tmp" ]
	untouched
	checkpoint --leave-running || { cat "$OUT"; false; }
	[ "$(cat "$IMAGE/inventory.img")" != "$digest" ]
	"$THOLE" image verify "$IMAGE"
}

@test "restore fails by itself: nothing is left" {
	local before

	before=$(snapshot)
	busy
	checkpoint || { cat "$OUT"; false; }
	$AS delete --force "$ID"
	mv "$ROOTFS/bin/cycle" "$BATS_TEST_TMPDIR/cycle"
	fails restore
	cat "$OUT"
	grep -q '^thole: .*/bin/cycle' "$OUT"
	eventually leaves "$before"
	mv "$BATS_TEST_TMPDIR/cycle" "$ROOTFS/bin/cycle"
	restore || { cat "$OUT"; false; }
	programs_end
}
