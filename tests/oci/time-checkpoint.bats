#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A container whose time of day is virtual goes through checkpoints: its clock goes on with the host's, as far ahead of it or
# behind it as before. wall.c tells what is looked at. The same file is time-checkpoint-rootless.bats by a link, and then an
# ordinary user does it.

load bundle
load supervised
load ckpt

setup_file() {
	ckpt_programs
	(
		flock 9
		for name in clock wall; do
			[ -e "$BUNDLE_TOOLS/$name" ] || ${CC:-gcc} -O1 -static -pthread -D_GNU_SOURCE -o "$BUNDLE_TOOLS/$name" \
				"$BATS_TEST_DIRNAME/$name.c" || exit
		done
	) 9>"$BATS_RUN_TMPDIR/clock.lock"
}

DAYS=$((-400 * 86400))
AHEAD=6 # seconds: what the program waits for

setup() {
	cycle_setup
	need jq
	BEGUN=$(date +%s)
	cp "$BUNDLE_TOOLS/clock" "$BUNDLE_TOOLS/wall" "$ROOTFS/bin"
	mkdir "$ROOTFS/said"
	config_mount '{destination: "/said", type: "tmpfs", source: "tmpfs", options: ["mode=755"]}'
	IMAGE=$BATS_TEST_TMPDIR/image
	OUT=$BATS_TEST_TMPDIR/out
	timed '"run.thole.time.offset": "-400d"'
	user_own
}

teardown() { cycle_teardown; }

# timed MEMBERS: the annotations.
timed() {
	config ".annotations = {$1}"
}

# started ID PROGRAM...
started() {
	ID=$1
	shift
	config_args "$@"
	[ "$AS" != rt ] || config '.linux.cgroupsPath = $path' --arg path "$CGROUP-$ID"
	$AS run -d --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
}

waiting() {
	started "$ID" wall $AHEAD /said
	eventually inside test -e /said/begun
}

checkpoint() {
	cycle_timed checkpoint --image-path "$IMAGE" "$@" "$ID" </dev/null >"$OUT" 2>&1 3>&- || { cat "$OUT"; return 1; }
}

# restored ID
restored() {
	ID=$1
	[ "$AS" != rt ] || config '.linux.cgroupsPath = $path' --arg path "$CGROUP-$ID"
	cycle_timed restore -d --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 3>&- ||
		{ cat "$OUT"; return 1; }
}

# The program has come to its end, and found nothing wrong.
content() {
	eventually inside test -e /said/said
	inside cat /said/said
	[ "$(inside cat /said/said)" = ok ]
}

inside() {
	cycle_timed exec "$ID" "$@" </dev/null 3>&-
}

# near SECONDS [AHEAD]: that is the container's time now, or was since the test began.
near() {
	local now

	now=$(date +%s)
	[ $(($1 - ${2:-DAYS})) -le $((now + 2)) ] && [ $(($1 - ${2:-DAYS})) -ge $((BEGUN - 2)) ] && return
	echo "$1 is not $((now + ${2:-DAYS}))" >&2
	return 1
}

# What is executed from now on has the time, too, by each way to ask.
programs_agree() {
	local line

	run -0 inside clock /bin/clock
	[ "${#lines[@]}" = 12 ]
	for line in "${lines[@]}"; do
		near "$line" "${1:-}"
	done
}

supervised_are() {
	[ "$(supervisors | wc -l)" = "$1" ]
}

@test "two cycles: clocks, files, and what waits for a time of day" {
	waiting
	checkpoint
	restored "$ID-2"
	checkpoint
	restored "$ID-3"
	! inside test -e /said/said || skip "the machine is too slow for this: it did not wait any more"
	content
	programs_agree
	eventually supervised_are 1
}

@test "an offset into the future" {
	timed '"run.thole.time.offset": "+400d0.25s"'
	waiting
	checkpoint
	restored "$ID-2"
	content
	programs_agree $((400 * 86400))
}

@test "a start: what it came to is kept" {
	local ahead

	timed '"run.thole.time.start": "2001-02-03T04:05:06Z"'
	waiting
	# the host's first: a slow machine makes it more, and what is compared with it is not before the test began
	ahead=$(date +%s)
	ahead=$(($(inside date +%s) - ahead))
	checkpoint
	sleep 2
	restored "$ID-2"
	programs_agree $ahead
	content
	checkpoint
	restored "$ID-3"
	programs_agree $ahead
}

@test "--leave-running: it goes on as it was, and once more from the image" {
	waiting
	checkpoint --leave-running
	content
	programs_agree
	restored "$ID-2"
	content
	programs_agree
	eventually supervised_are 2
}

@test "two branches of one image" {
	local first

	waiting
	checkpoint
	restored "$ID-2"
	first=$ID
	restored "$ID-3"
	content
	programs_agree
	ID=$first
	content
	programs_agree
	eventually supervised_are 2
	$AS delete --force "$first"
	eventually supervised_are 1
}

@test "a container that is paused stays paused" {
	root_only "an ordinary user has no cgroup to pause here"
	waiting
	rt pause "$ID"
	checkpoint --leave-running
	[ "$(status_of "$ID")" = paused ]
	rt resume "$ID"
	content
	programs_agree
	restored "$ID-2"
	content
}

@test "in the middle of programs that begin, and of files that are looked at" {
	local line

	started "$ID" sh -c 'for i in 1 2 3; do while :; do clock /bin/clock >/said/$i.new; stat -c %Y /said/$i.new >>/said/$i.new
		mv /said/$i.new /said/now.$i; done & done; wait'
	for i in 1 2 3; do
		eventually inside test -e /said/now.$i
	done
	for cycle in 1 2 3 4 5; do
		checkpoint
		restored "$ID-$cycle"
		inside rm /said/now.1 /said/now.2 /said/now.3
		for i in 1 2 3; do
			eventually inside test -e /said/now.$i
			mapfile -t lines < <(inside cat /said/now.$i)
			[ "${#lines[@]}" = 13 ]
			for line in "${lines[@]}"; do
				near "$line"
			done
		done
	done
}

@test "a checkpoint that is killed at any time leaves the clock as it was" {
	local n total

	waiting
	total=$(under 100000000 --leave-running && sed -n 's/^calls: //p' "$OUT")
	rm -rf "$IMAGE"
	[ "$total" -gt 0 ]
	for ((n = total / 3; n < total; n += total / 12)); do
		! under $n --leave-running || break
		rm -rf "$IMAGE" "$IMAGE.tmp"
	done
	programs_agree
	content
}

# under N FLAG...: a checkpoint, killed as it enters its Nth system call.
under() {
	local n=$1

	shift
	case $AS in
	rt) timeout -s KILL 100 "$HOST" killat "$n" "$THOLE" --root "$STATE" checkpoint --image-path "$IMAGE" "$@" "$ID" ;;
	user_rt) as_user timeout -s KILL 100 "$HOST" killat "$n" "$THOLE" checkpoint --image-path "$IMAGE" "$@" "$ID" ;;
	esac </dev/null >"$OUT" 2>&1 3>&-
}

@test "together with remapped ports" {
	local port

	port=$(free_port)
	timed '"run.thole.time.offset": "-400d", "run.thole.ports": "remap"'
	config 'del(.linux.namespaces[] | select(.type == "network")) | del(.mounts[] | select(.destination == "/sys"))'
	started "$ID" sh -c "echo \$\$ >/said/who; httpd -p 127.0.0.1:$port -h /said && exec wall $AHEAD /said"
	eventually inside test -e /said/begun
	checkpoint
	restored "$ID-2"
	[ "$(inside wget -qO- "http://127.0.0.1:$port/who")" = 1 ]
	[ "$($AS ports --json "$ID" | jq .[0].virtual)" = "$port" ]
	content
	programs_agree
}

@test "together with a copy-on-write directory" {
	mkdir "$ROOTFS/work"
	touch -d 2020-01-01T00:00:00Z "$ROOTFS/work/lower"
	timed '"run.thole.time.offset": "-400d", "run.thole.cow": "/work", "run.thole.cow.backend": "overlay"'
	user_own
	config_args sh -c "touch -d @1000000000 /work/lower; touch /work/new; exec wall $AHEAD /said"
	[ "$AS" != rt ] || config '.linux.cgroupsPath = $path' --arg path "$CGROUP-$ID"
	$AS run -d --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 || skip "no overlay: $(cat "$OUT")"
	eventually inside test -e /said/begun
	checkpoint
	restored "$ID-2"
	[ "$(inside stat -c %Y /work/lower)" = 1000000000 ]
	near "$(inside stat -c %Y /work/new)"
	content
}

# The image as another kernel would have made it: its vDSO has another byte, where nothing is, with the clock in it and without.
other_kernel() {
	local vouch=$BUNDLE_TOOLS/vouch digests map

	for name in vdso.bin vdso-clock.bin; do
		printf '\001' | dd of="$IMAGE/$name" bs=1 seek=15 conv=notrunc status=none
	done
	digests=$("$vouch" "$IMAGE")
	for map in "$IMAGE"/process.*.memory_map.json; do
		jq -c --argjson d "$digests" '.vdso = $d["vdso.bin"].digest | .clock = $d["vdso-clock.bin"].digest' "$map" >"$map.new" &&
			mv "$map.new" "$map" || return
	done
	digests=$("$vouch" "$IMAGE")
	jq -c --argjson d "$digests" '.files |= map(. + ($d[.name] // {}))' "$IMAGE/meta.json" >"$IMAGE.meta" &&
		cat "$IMAGE.meta" >"$IMAGE/meta.json" && "$vouch" "$IMAGE" inventory
}

@test "the vDSO of another kernel" {
	[ -x "$BUNDLE_TOOLS/vouch" ] || ${CC:-gcc} -O1 -D_GNU_SOURCE -o "$BUNDLE_TOOLS/vouch" "$BATS_TEST_DIRNAME/vouch.c" -lxxhash ||
		skip "libxxhash is not installed for programs to use"
	waiting
	checkpoint
	other_kernel
	restored "$ID-2"
	grep -q '^200[0-9a-f]*-.*\[vdso\]$' "/proc/$(cat "$PIDFILE")/maps"
	checkpoint
	restored "$ID-3"
	content
	programs_agree
}

@test "the image says how far ahead, whatever the configuration" {
	waiting
	checkpoint
	timed '"run.thole.time.start": "2031-02-03T04:05:06Z"'
	restored "$ID-2"
	content
	programs_agree
}

@test "what the configuration has to have, and what not" {
	waiting
	cycle_timed checkpoint --check "$ID" </dev/null
	checkpoint
	timed
	run ! restored "$ID-2"
	[[ $output == *"the time of day of the image is virtual, and the new configuration has no run.thole.time"* ]]
	started "$ID-3" sleep 1000
	checkpoint
	timed '"run.thole.time.offset": "-400d"'
	run ! restored "$ID-4"
	[[ $output == *"began with the machine's time of day"*"run.thole.time"* ]]
	eventually no_supervisor
}
