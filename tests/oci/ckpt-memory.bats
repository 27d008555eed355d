#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Memory: what it can have beyond its pages, and images that build on others. ckpt-memory-rootless.bats is a link to this file.

load bundle
load ckpt
setup_file() { ckpt_programs; }
setup() { cycle_setup; }
teardown() { cycle_teardown; }

# pre_dump NAME [FLAG...]: into a directory beside the image.
pre_dump() {
	local name=$1

	shift
	$AS checkpoint --pre-dump --image-path "$BATS_TEST_TMPDIR/$name" "$@" "$ID" </dev/null >"$OUT" 2>&1 ||
		{ cat "$OUT"; return 1; }
}

started() {
	cycle_bundle "$1"
	user_own
	cycle_start && cycle_skipped
}

# refused 'part of the reason' COMMAND...: it fails, and says so.
refused() {
	local why=$1

	shift
	run "$@" 3>&-
	echo "$output"
	[ "$status" -ne 0 ] && [[ $output == *"$why"* ]]
}

# The container is ended: another one may have its cgroup.
ended() {
	$AS delete --force "$ID"
	eventually is_gone "$(cat "$PIDFILE")"
}

bytes_of() {
	cat "$1"/process.*.memory.bin | wc -c
}

@test "memory-changing" { survives memory-changing; }
@test "memory-unlinked" { survives memory-unlinked; }
@test "memory-guards" { survives memory-guards; }
@test "memory-guards-shared" {
	case $AS in
	rt) survives memory-guards-shared ;;
	*) not_saved memory-guards-shared "what is beneath them can't be read" ;;
	esac
}
@test "memory-beyond-end" { survives memory-beyond-end; }
@test "memory-private-removed" { survives memory-private-removed; }
@test "memory-grown" { survives memory-grown; }
@test "memory-sealed" { survives memory-sealed; }
@test "memory-policy" { survives memory-policy; }
@test "memory-locked" { survives memory-locked; }
@test "memory-locked-later" { survives memory-locked-later; }
@test "memory-locked-in-turns" { survives memory-locked-in-turns; }
@test "memory-merged" { survives memory-merged; }
@test "random-memory" { survives random-memory; }
@test "random-tree" { survives random-tree; }
@test "random-nameless" { survives random-nameless; }

@test "files without a name come back whole or not at all" {
	started random-nameless
	$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null
	ended
	config '(.mounts[] | select(.destination == "/dev/shm")).options |= map(sub("^size=.*"; "size=320k"))'
	if $AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID" </dev/null >"$OUT" 2>&1; then
		echo "it was restored"
		return 1
	fi
	cat "$OUT"
	grep -q "fill shared memory: No space left on device" "$OUT"
}

@test "a checkpoint needs no more memory where the container has more" {
	! grep -q __asan_init "$THOLE" || skip "it is built with a sanitizer, which wants all of the address space"
	started memory-large
	(
		ulimit -v 131072
		$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null
	)
	[ "$(bytes_of "$IMAGE")" -gt 160000000 ]
	eventually is_gone "$(cat "$PIDFILE")"
	$AS delete --force "$ID"
	$AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach "$ID" </dev/null >"$OUT" 2>&1
	cycle_end
}

@test "memory that a userfaultfd serves is refused" {
	not_saved memory-watched "userfaultfd"
}

@test "huge pages that were set aside are refused" {
	not_saved memory-huge "pages of hugetlbfs"
}

@test "memory with a protection key is refused" {
	not_saved memory-keyed "it has a protection key"
}

@test "a protection key that no memory has is refused" {
	not_saved memory-key-unused "protection keys (pkeys(7))"
}

@test "two pre-dumps, and a checkpoint of what changed since" {
	started memory-changing
	pre_dump one
	pre_dump two --parent-path ../one
	[ "$(readlink "$BATS_TEST_TMPDIR/two/parent")" = ../one ]
	DUMP_FLAGS='--parent-path ../two'
	cycle_once "$ID-2"
	[ "$(bytes_of "$BATS_TEST_TMPDIR/one")" -gt 16000000 ]
	[ "$(bytes_of "$IMAGE")" -lt 6000000 ]
	grep -q 'as they were' "$IMAGE/dump.log"
	cycle_end
}

@test "a checkpoint that leaves the container running is built on as well" {
	started memory-changing
	$AS checkpoint --leave-running --image-path "$BATS_TEST_TMPDIR/one" "$ID"
	DUMP_FLAGS='--parent-path ../one'
	cycle_once "$ID-2"
	[ "$(bytes_of "$IMAGE")" -lt 6000000 ]
	cycle_end
}

@test "a tree, its pages in three images" {
	started tree
	pre_dump one
	pre_dump two --parent-path ../one
	DUMP_FLAGS='--parent-path ../two'
	cycle_once "$ID-2" && cycle_end
}

@test "a layout by chance, its pages in two images" {
	started random-memory
	pre_dump one
	DUMP_FLAGS='--parent-path ../one'
	cycle_once "$ID-2" && cycle_end
}

@test "the images are found where --parent-path of restore says" {
	started memory-changing
	pre_dump one
	$AS checkpoint --image-path "$IMAGE" --parent-path ../one "$ID" </dev/null
	ended
	mv "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/moved"
	refused "builds on another one: open the image $IMAGE/parent: no such file" \
		$AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	$AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --parent-path ../moved --pid-file "$PIDFILE" \
		--detach "$ID" </dev/null >"$OUT" 2>&1
	cycle_end
}

@test "an image that was written again is not built on any more" {
	started memory-changing
	pre_dump one
	$AS checkpoint --image-path "$IMAGE" --parent-path ../one --leave-running "$ID" </dev/null
	pre_dump one
	ended
	refused "builds on another one than is at" $AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
}

@test "a damaged page of the image that one builds on is found" {
	started memory-changing
	pre_dump one
	$AS checkpoint --image-path "$IMAGE" --parent-path ../one --leave-running "$ID" </dev/null
	printf x | dd of="$BATS_TEST_TMPDIR/one/process.1.memory.bin" bs=1 seek=2000000 conv=notrunc status=none
	refused "process.1.memory.bin is damaged" "$THOLE" image verify "$IMAGE"
	refused "process.1.memory.bin is damaged" \
		$AS checkpoint --image-path "$BATS_TEST_TMPDIR/three" --parent-path ../one "$ID"
	[ ! -e "$BATS_TEST_TMPDIR/three" ]
	ended
	refused "process.1.memory.bin is damaged" $AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
}

@test "a pre-dump is not restored, and an image does not build on itself" {
	local place

	started memory-changing
	pre_dump one
	pre_dump two --parent-path ../one
	for place in one two; do
		refused "in the place of the new one" $AS checkpoint --pre-dump \
			--image-path "$BATS_TEST_TMPDIR/$place" --parent-path ../two "$ID"
	done
	refused "relative to the image directory" $AS checkpoint --image-path "$IMAGE" \
		--parent-path "$BATS_TEST_TMPDIR/one" "$ID"
	ended
	refused "made by --pre-dump" $AS restore --bundle "$BUNDLE" --image-path "$BATS_TEST_TMPDIR/one" --detach "$ID"
}
