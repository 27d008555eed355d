#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Images that are damaged, foreign or made to do harm: each is refused with the file and the field named,
# nothing outside of the root is touched, and nothing is left. The same file is ckpt-hostile-rootless.bats by
# a link, and then an ordinary user restores them.

load bundle
load ckpt
setup_file() {
	bundle_programs || return
	export VOUCH=$BATS_FILE_TMPDIR/vouch
	${CC:-gcc} -O1 -D_GNU_SOURCE -o "$VOUCH" "$BATS_TEST_DIRNAME/vouch.c" -lxxhash || rm -f "$VOUCH"
}

setup() {
	[ -x "$VOUCH" ] || skip "libxxhash is not installed for programs to use"
	cycle_setup
	IMAGE=$BATS_TEST_TMPDIR/image
	OUT=$BATS_TEST_TMPDIR/out
	BAD=$BATS_TEST_TMPDIR/bad
	before=$(snapshot)
	mkfifo "$ROOTFS/fifo"
	ln -s "$BATS_TEST_TMPDIR/secret" "$ROOTFS/out"
	ln -s ../../../../../../../../../../../etc/hostname "$ROOTFS/up"
	echo secret >"$BATS_TEST_TMPDIR/secret"
	config_args sh -c 'exec 5</etc/passwd; sleep 1000 | cat & sleep 1000'
	user_own
	$AS create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	$AS start "$ID"
	eventually children 2
	$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	$AS delete --force "$ID"
	PIDS=($(jq '.pids[]' "$IMAGE/meta.json"))
}
teardown() { cycle_teardown; }

# The pipeline and the sleep behind it run.
children() {
	[ "$(pgrep -c -P "$(cat "$PIDFILE")")" -ge "$1" ] && pgrep -x cat -g "$(cat "$PIDFILE")" >/dev/null
}

leaves() {
	[ "$(snapshot | grep -vx "state: $STATE")" = "$(grep -vx "state: $STATE" <<<"$before")" ]
}

fresh() {
	rm -rf "$BAD"
	cp -a "$IMAGE" "$BAD"
}

# verify_refuses TEXT: what restore begins with, too.
verify_refuses() {
	local status=0

	"$THOLE" image verify "$BAD" >"$OUT" 2>&1 || status=$?
	[ "$status" -eq 1 ] && grep -qF -- "$1" "$OUT" || { echo "status $status, not \"$1\""; cat "$OUT"; return 1; }
}

# image_refused TEXT: verify says so, or at the latest restore does; neither hangs, and nothing is left.
image_refused() {
	local text=$1 status=0

	"$THOLE" image verify "$BAD" >"$OUT" 2>&1 || status=$?
	[ "$status" -eq 0 ] || grep -qF -- "$text" "$OUT" || { echo "verify, not \"$text\":"; cat "$OUT"; return 1; }
	status=0
	cycle_timed restore --bundle "$BUNDLE" --image-path "$BAD" --detach "$ID" </dev/null >"$OUT" 2>&1 3>&- || status=$?
	echo "$(cat "$OUT")"
	[ "$status" -eq 1 ] || { echo "not \"$text\", but status $status"; return 1; }
	grep -qF -- "$text" "$OUT" || { echo "not \"$text\""; return 1; }
	[ "$(grep -c . "$OUT")" -eq 1 ] || return
	eventually leaves || { diff <(echo "$before") <(snapshot); return 1; }
}

# The tampered image vouches for itself.
vouch() {
	local digests

	digests=$("$VOUCH" "$BAD")
	jq -c --argjson d "$digests" '.files |= map(. + ($d[.name] // {}))' "$BAD/meta.json" >"$BAD.meta" &&
		cat "$BAD.meta" >"$BAD/meta.json" && "$VOUCH" "$BAD" inventory
}

# forged FILE FILTER TEXT: one record, changed by jq.
forged() {
	fresh
	# numbers that jq would round are carried as text
	sed -E 's/:([0-9]{16,})/:"@\1"/g' "$IMAGE/$1" | jq -c "$2" | sed -E 's/"@([0-9]+)"/\1/g' >"$BAD/$1"
	[ -s "$BAD/$1" ] || return
	vouch && image_refused "$3" || { echo "$1: $2"; return 1; }
}

@test "an image as it was made, vouched for again, is restored" {
	fresh
	vouch
	"$THOLE" image verify "$BAD"
	cycle_timed restore --bundle "$BUNDLE" --image-path "$BAD" --detach "$ID" </dev/null >"$OUT" 2>&1 3>&-
	$AS delete --force "$ID"
}

@test "every file: cut short, longer, gone, changed, another sort of file" {
	local file size at

	for file in $(jq -r '.files[].name' "$IMAGE/meta.json"); do
		size=$(stat -c %s "$IMAGE/$file")
		fresh
		echo >>"$BAD/$file"
		verify_refuses "bad/$file has $((size + 1)) bytes, meta.json says $size"
		fresh
		rm "$BAD/$file"
		verify_refuses "bad/$file"
		fresh
		mv "$BAD/$file" "$BATS_TEST_TMPDIR/elsewhere"
		ln -s "$BATS_TEST_TMPDIR/elsewhere" "$BAD/$file"
		verify_refuses "bad/$file is no regular file"
		rm "$BAD/$file"
		mkfifo "$BAD/$file"
		verify_refuses "bad/$file is no regular file"
		[ "$size" -gt 0 ] || continue
		fresh
		truncate -s $((size - 1)) "$BAD/$file"
		verify_refuses "bad/$file has $((size - 1)) bytes, meta.json says $size"
		fresh
		at=$((RANDOM * RANDOM % size))
		printf "\\x$(printf %02x $((0x$(xxd -s $at -l 1 -p "$IMAGE/$file") ^ 1 << RANDOM % 8)))" |
			dd of="$BAD/$file" bs=1 seek=$at conv=notrunc status=none
		# restore has a configuration of its own
		case $file in
		config.json)
			verify_refuses "bad/$file is damaged"
			;;
		*) image_refused "bad/$file is damaged: its digest is not what meta.json says" ;;
		esac
	done
}

@test "inventory and meta.json: damaged, foreign, newer, nothing" {
	local row

	fresh
	printf '\x19\x43\x56\x54\x16\x31\x31\x58' >"$BAD/inventory.img"
	image_refused "is an image of CRIU"
	while read -r row; do
		fresh
		printf %b "${row%% => *}" >"$BAD/inventory.img"
		image_refused "${row##* => }" || { echo "$row"; return 1; }
	done <<-'END'
		nothing => inventory.img: not the inventory of a thole image
		thole-checkpoint 1 => inventory.img: not the inventory of a thole image
		thole-checkpoint 2\nmeta.json 1 0\n => version 2 of the image format; this program reads 1
		thole-checkpoint 99999999999999999999\n => is no version
		thole-checkpoint 1\n => inventory.img: its second line is damaged
		thole-checkpoint 1\nmeta.json -1 00000000000000000000000000000000\n => is no size for meta.json
		thole-checkpoint 1\nmeta.json 99999999999 00000000000000000000000000000000\n => is no size for meta.json
		thole-checkpoint 1\nmeta.json 7 00000000000000000000000000000000\n => meta.json is damaged
	END
	fresh
	sed -i 's/"version":1/"version":2/' "$BAD/meta.json"
	image_refused "meta.json is damaged: its size or digest is not what inventory.img says"
	"$VOUCH" "$BAD" inventory
	image_refused "meta.json: version: 2 is unknown"
	rm -rf "$BAD"
	mkdir "$BAD"
	image_refused "inventory.img"
	rm -rf "$BAD"
	image_refused "bad: no such file or directory"
	: >"$BAD"
	image_refused "bad: not a directory"
}

@test "meta.json: names that lead elsewhere, numbers, processes" {
	local name row

	for name in ../secret /etc/passwd .hidden a/b '' 'a b' "$(printf 'a%.0s' {1..300})"; do
		fresh
		jq -c --arg name "$name" '.files[0].name = $name' "$IMAGE/meta.json" >"$BAD/meta.json"
		"$VOUCH" "$BAD" inventory
		image_refused "meta.json: files" || { echo "$name"; return 1; }
	done
	while read -r row; do
		fresh
		jq -c "${row%% => *}" "$IMAGE/meta.json" >"$BAD/meta.json"
		"$VOUCH" "$BAD" inventory
		image_refused "${row##* => }" || { echo "$row"; return 1; }
	done <<-'END'
		.files += [.files[0]] => meta.json: files: config.json is out of order or there twice
		.files |= reverse => is out of order or there twice
		.files = [] => meta.json: files: container.json is missing
		.files[0].digest = "00" => meta.json: files: the digest of config.json has the wrong length
		.files[0].digest = "zz" => meta.json: files[0].digest
		.files[0].size = -1 => meta.json: files[0].size: is out of range
		.pids = [] => meta.json: pids: there is no process
		.pids = [.pids[], .pids[0]] => is out of range or there twice
		.pids = [99] => process.99.info.json is missing
		.pids[0] = 4294967297 => meta.json: pids[0] is out of range or there twice
		.pids = "1" => meta.json: pids: must be an array
		.pids |= reverse => process
		.pageSize = 0 => has pages of 0 bytes
		.pageSize = 65536 => has pages of 65536 bytes
		.extra = 1 => meta.json: extra: is not known to this version
		del(.id) => meta.json: id: is missing
	END
}

@test "container.json: open files of unknown or impossible sorts" {
	local row

	while read -r row; do
		forged container.json "${row%% => *}" "${row##* => }"
	done <<-'END'
		.files[0].kind = "nosuch" => container.json: files[0].kind: "nosuch" is not known to this version
		.files[1].id = 0 => container.json: files[1].id is missing
		.files[0].kind = "regular" => container.json: files[0].regular is missing
		.files |= .[:-1] => a descriptor is of a file that container.json has not
		.files = {} => container.json: files: must be an array
		.files[0].flags = 7 => container.json: files[0].flags: must be a string
		.files[0].flags = "0x123456789" => container.json: files[0].flags: is out of range
		.files[0].position = 18446744073709551615 => container.json: files[0].position: is out of range
		(.files[] | select(.kind == "stdio") | .stdio.index) = 77 => thole: 
		(.files[] | select(.kind == "pipe") | .pipe.size) = 4294967295 => pipe.size: is out of range
		(.files[] | select(.kind == "pipe") | .pipe.pieces) = [5] => .data is missing
		(.files[] | select(.kind == "pipe") | .pipe.path) = "/etc/passwd" => thole: 
		(.files[] | select(.kind == "pipe") | .pipe.path) = "fifo" => is no absolute path
		.shm.objects = [{}] => container.json: shm.objects[0]
		.nosuch = {} => container.json: nosuch: is not known to this version
		del(.files) => container.json: files: is missing
	END
}

@test "container.json: descriptors to what lies outside, blocks, or is no file" {
	local regular='(.files[] | select(.kind == "regular") | .regular.path)'

	forged container.json "$regular = \"etc/passwd\"" "\"etc/passwd\" is no absolute path"
	forged container.json "$regular = \"../../../../../../$BATS_TEST_TMPDIR/secret\"" "is no absolute path"
	forged container.json "$regular = \"$BATS_TEST_TMPDIR/secret\"" "secret: no such file or directory"
	forged container.json "$regular = \"/../../../..$BATS_TEST_TMPDIR/secret\"" "secret: no such file or directory"
	forged container.json "$regular = \"/out\"" "/out: no such file or directory"
	forged container.json "$regular = \"/up\"" "/up: no such file or directory"
	forged container.json "$regular = \"/proc/self/exe\"" "/proc/self/exe: "
	forged container.json "$regular = \"/proc/self/fd/0\"" "/proc/self/fd/0: "
	forged container.json "$regular = \"/proc/1/root/etc/passwd\"" "/proc/1/root/etc/passwd: "
	forged container.json "$regular = \"/fifo\"" "/fifo is of another sort of file than it was at the checkpoint"
	forged container.json "$regular = \"/dev/tty\"" "/dev/tty"
	forged container.json "$regular = \"/nosuch\"" "/nosuch: no such file or directory"
	forged container.json "$regular = (\"/\" + \"a\" * 5000)" "regular.path: is too long"
	forged container.json "$regular = \"/made\" | (.files[] | select(.kind == \"regular\") | .flags) = \"0x42\"" \
		"/made: no such file or directory"
	[ ! -e "$ROOTFS/made" ]
	[ "$(cat "$BATS_TEST_TMPDIR/secret")" = secret ]
}

# Instructions are 8 bytes: code, jt, jf, k.
@test "container.json: a descriptor of a process that is not of the image" {
	forged container.json '(.files[] | select(.kind == "regular")) |= {id, kind: "pidfd", flags: "0x2", pidfd: {pid: 4000}}' \
		"it has no process 4000"
	forged container.json '(.files[] | select(.kind == "regular")) |= {id, kind: "pidfd", flags: "0x2", pidfd: {pid: 4294967295}}' \
		"it has no process 4294967295"
}

@test "filters that are none" {
	local row

	while read -r row; do
		forged container.json ".filters.programs = [{code: \"${row%% => *}\"}]" "filters.programs[0].code: ${row##* => }"
	done <<-'END'
		06 => is no number of instructions
		060000000000ff7f0600 => is no number of instructions
		2000000000000000 => no return at the end
		2000000001000000060000000000ff7f => a load outside struct seccomp_data
		15000505000000000600000000000000 => a jump past the end
		3000000000000000060000000000ff7f => an instruction that seccomp does not take
		zz => is no string of bytes
	END
	forged container.json '.filters.programs = [{code: ("060000000000ff7f" * 5000)}]' "filters.programs[0].code: is too long"
	forged container.json '.filters.programs = [{code: "060000000000ff7f", flags: "0x8"}]' \
		"filters.programs[0].flags: is out of range"
	forged process.1.info.json '.threads[0].filters.programs = [0]' "filters.programs[0]: there are 0 programs"
	forged process.1.info.json '.threads[0].filters.programs = [range(9000)]' "threads[0].filters.programs: has too many elements"
}

@test "timers of unknown or impossible sorts" {
	local timer='{id: 1, clock: 1, notify: 0, signal: 34, left: 5}' row

	while read -r row; do
		forged process.1.info.json ".timers.posix = [$timer + {${row%% => *}}]" "${row##* => }"
	done <<-'END'
		id: 3000000000 => timers.posix[0].id: is out of range
		signal: 65 => timers.posix[0].signal: is out of range
		left: -1 => timers.posix[0].left: is out of range
		clock: 99 => process 1: make a timer: Invalid argument
		clock: -99 => process 1: make a timer: Invalid argument
		notify: 77 => process 1: make a timer: Invalid argument
		notify: 4, target: 4000 => timers.posix[0]: names a thread that is not there
		clock: -2, measured: 4000 => timers.posix[0]: names a thread that is not there
	END
	forged process.1.info.json ".timers.posix = [$timer, $timer]" "process 1: make a timer: "
	forged process.1.info.json '.timers.intervals = [{which: 3}]' "timers.intervals[0].which: is out of range"
}

@test "descriptor tables" {
	local row

	while read -r row; do
		forged process.1.fds.json "${row%% => *}" "${row##* => }"
	done <<-'END'
		.fds[0].file = 4000000000 => process 1: a descriptor is of a file that container.json has not
		.fds[0].fd = 4000000000 => process.1.fds.json: fds[0].fd: is out of range
		.fds |= reverse => process 1: descriptors are out of order
		.fds += [.fds[-1]] => process 1: descriptors are out of order
		.fds[0].fd = -1 => process.1.fds.json: fds[0].fd: is out of range
		.fds[-1].fd = 1073741823 => 1073741
		.fds = null => process.1.fds.json: fds: must be an array
		.fds[0].cloexec = "yes" => process.1.fds.json: fds[0].cloexec: must be true or false
	END
}

@test "processes and threads" {
	local last=${PIDS[-1]} row

	while read -r row; do
		forged "process.${row%% *}.info.json" "$(sed 's/^[0-9]* => //; s/ => .*//' <<<"$row")" "${row##* => }"
	done <<-END
		1 => .pid = 2 => process 1: its info.json is of another process
		1 => .parent = 1 => process 1: its parent is not known
		1 => .zombie = true => process 1: its parent is not known
		1 => .threads = [] => process 1: threads[0].tid is not the process's own
		1 => .threads[0].tid = 77 => process 1: threads[0].tid is not the process's own
		1 => .threads += [.threads[0]] => process 1: a thread
		1 => .threads[0].tid = 99999999 => process.1.info.json: threads[0].tid: is out of range
		1 => del(.mm) => process.1.info.json: mm: is missing
		1 => .mm.exe = "/fifo" => /fifo
		1 => .mm.exe = "/proc/self/exe" => /proc/self/exe
		1 => .mm.exe = "$BATS_TEST_TMPDIR/secret" => secret: no such file or directory
		1 => .mm.brk = "0xffffffffffffffff" => process 1: 
		1 => .mm.auxv = "00" * 65536 => thole: 
		1 => .fs.cwd = "/nosuch" => /nosuch
		1 => .fs.cwd = "$BATS_TEST_TMPDIR" => thole: 
		1 => .credentials.nosuch = 1 => process.1.info.json: credentials.nosuch: is not known to this version
		1 => .signals = [] => process.1.info.json: signals: must be an object
		1 => .task.limits[0].resource = 99 => process.1.info.json: task.limits[0].resource: is out of range
		$last => .parent = 0 => process $last: its parent is not known
		$last => .parent = 4000 => process $last: its parent is not known
		$last => .parent = $last => process $last: its parent is not known
		$last => .session = 4000000 => thole: 
		$last => .zombie = true | .exitStatus = 19 => process $last: exitStatus is none that a process ends with
		$last => .zombie = true | .endSignal = 9 => process $last: endSignal is none that tells a parent of an end
		$last => .endSignal = 65 => process $last: endSignal is none that tells a parent of an end
		$last => .zombie = true | .exitStatus = 127 => process $last: exitStatus is none that a process ends with
	END
}

@test "mappings" {
	local row

	while read -r row; do
		forged process.1.memory_map.json "${row%% => *}" "${row##* => }"
	done <<-END
		.mappings[1].start = .mappings[0].start => mappings[1]: is out of order or overlaps the one before
		.mappings |= reverse => is out of order or overlaps the one before
		.mappings[0].start = "0x1" => process.1.memory_map.json: mappings[0]: is not made of whole pages
		.mappings[0].end = .mappings[0].start => mappings[0]: is out of order
		.mappings[-1].end = "0xfffffffffffff000" => is out of order or overlaps
		.mappings[0].sort = 99 => process.1.memory_map.json: mappings[0].sort: is out of range
		.mappings[0].protection = 8 => process.1.memory_map.json: mappings[0].protection: is out of range
		.mappings[0].path = "bin/sh" => mappings[0]: path: must be there, and absolute, for a file alone
		.mappings[0].path = "/fifo" => /fifo
		.mappings[0].path = "/proc/self/exe" => /proc/self/exe
		.mappings[0].path = "$BATS_TEST_TMPDIR/secret" => secret: no such file or directory
		.mappings[0].flags = "0xffffffff" => mappings[0]: flags: has some that are not known
		.mappings[0].object = 7 | .mappings[0].sort = 4 | del(.mappings[0].path) => shm.objects: number 7 is missing
		.mappings = [] => thole: 
		.vdso = "" => the vDSO of this kernel
		.vdso = "00" * 17 => process.1.memory_map.json: vdso: is too long
	END
}

@test "pages and registers: lengths that do not fit" {
	local file

	for file in process.1.runs.bin process.1.memory.bin process.1.threads.bin; do
		fresh
		truncate -s -1 "$BAD/$file"
		vouch
		image_refused "process.1."
		fresh
		: >"$BAD/$file"
		vouch
		image_refused "process.1."
		fresh
		head -c 4096 /dev/zero >>"$BAD/$file"
		vouch
		image_refused "process.1."
		fresh
		head -c "$(stat -c %s "$IMAGE/$file")" /dev/zero | tr '\0' '\377' >"$BAD/$file"
		vouch
		case $file in
		*.memory.bin) ;; # pages may hold anything
		*) image_refused "process.1." ;;
		esac
	done
	fresh
	printf '\0\0\0\0\0\0\0\200' | dd of="$BAD/process.1.runs.bin" bs=1 seek=8 conv=notrunc status=none
	vouch
	image_refused "process.1.runs.bin: run 0 is out of bounds"
}

@test "a text of many levels, and a large one" {
	fresh
	{ printf '[%.0s' {1..100000}; } >"$BAD/container.json"
	vouch
	image_refused "container.json"
	fresh
	head -c 300000000 /dev/zero | tr '\0' ' ' >"$BAD/container.json"
	vouch
	image_refused "container.json"
}
