#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What got out of containers before, one test a hole: each fails for a runtime that has it. A config
# that asks for such a thing may be refused or made safe; what is checked is that nothing gets out.

load bundle
setup_file() { bundle_programs; }
setup() {
	need_root
	bundle
	OUTSIDE=$BATS_TEST_TMPDIR/outside
	mkdir "$OUTSIDE"
	echo untouched >"$BATS_TEST_TMPDIR/victim"
	export OUTSIDE
}
teardown() {
	[ -z "${SWAPPER:-}" ] || kill "$SWAPPER" || true
	bundle_end
}

outside_is_empty() {
	[ -z "$(ls -A "$OUTSIDE")" ] && [ "$(cat "$BATS_TEST_TMPDIR/victim")" = untouched ]
}

# A rootfs of files of its own, for tests that do harm to it.
own_rootfs() {
	rm -rf "$ROOTFS"
	cp -a "$BUNDLE_TOOLS/rootfs" "$ROOTFS"
}

# Creates the container, starts it and shows its output; or fails, which is fine.
try_run() {
	timeout 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
}

# --- the runtime's own program and descriptors ------------------------------------------------

@test "CVE-2019-5736: the runtime's program can't be written from inside" {
	local interp copy=$BATS_TEST_TMPDIR/$(basename "$THOLE")-copy sum

	need readelf
	interp=$(readelf -l "$THOLE" | sed -n 's/.*interpreter: \(.*\)\]/\1/p')
	[ -n "$interp" ] || skip "the runtime is static: it loads nothing of the container's"
	cp "$THOLE" "$copy"
	sum=$(sha256sum <"$copy")
	mkdir -p "$ROOTFS/$(dirname "$interp")"
	cp "$BUNDLE_TOOLS/evil" "$ROOTFS/$interp"

	# The trap works: a program that is executed unprotected gets rewritten.
	: >"$ROOTFS/exposed"
	run unshare -m sh -c 'mount --bind "$1" "$2/exposed" && mount -t proc proc "$2/proc" && chroot "$2" /exposed' - "$copy" "$ROOTFS"
	echo "control: $output"
	[[ $output == REWRITTEN ]]
	rm "$ROOTFS/exposed"

	config_args /proc/self/exe rewrite
	timeout 100 "$copy" --root "$STATE" create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- &&
		timeout 100 "$copy" --root "$STATE" start "$ID" >>"$BATS_TEST_TMPDIR/out" 2>&1 3>&- && eventually has_status stopped
	cat "$BATS_TEST_TMPDIR/out"
	run ! grep -q REWRITTEN "$BATS_TEST_TMPDIR/out"
	rt delete --force "$ID"

	running
	timeout 100 "$copy" --root "$STATE" exec --detach "$ID" /proc/self/exe rewrite </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&- && sleep 4
	cat "$BATS_TEST_TMPDIR/out"
	run ! grep -q REWRITTEN "$BATS_TEST_TMPDIR/out"
	[ "$(sha256sum <"$copy")" = "$sum" ]
}

@test "CVE-2016-9962: a process that joins shows its descriptors, program and memory to nobody" {
	local spy=$BATS_TEST_TMPDIR/spy

	running
	rt exec "$ID" probe spy 5000 </dev/null >"$spy" 2>&1 &
	local pid=$!
	eventually grep -q watching "$spy"
	while is_alive $pid; do
		exec_in true
	done
	wait $pid
	cat "$spy"
	[ "$(sed -n 's/^seen //p' "$spy")" -gt 0 ]
	! grep -E 'DIRECTORY|REWRITTEN|TRACED' "$spy"
}

@test "CVE-2024-21626: a working directory through a descriptor, on create" {
	local n

	config_args sh -c 'probe cwd; ls'
	ln -s /proc/self/fd/7 "$ROOTFS/sneaky"
	for n in /proc/self/fd/3 /proc/self/fd/4 /proc/self/fd/5 /proc/self/fd/6 /proc/self/fd/7 /proc/self/fd/8 \
		/proc/self/fd/7/../.. /proc/1/fd/7 /sneaky /proc/self/fd/9; do
		config '.process.cwd = $c' --arg c "$n"
		run "$HOST" mangle 7 / "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
		echo "$n: $output"
		[[ $output != *boot* && $output != *bundle* && $output != *unreachable* ]]
		rt delete --force "$ID"
	done
}

@test "CVE-2024-21626: a working directory through a descriptor, on exec" {
	local n

	running
	ln -s /proc/self/fd/7 "$ROOTFS/sneaky"
	for n in /proc/self/fd/{3,4,5,6,7,8,9,10} /sneaky; do
		run "$HOST" mangle 7 / "$THOLE" --root "$STATE" exec --cwd "$n" "$ID" sh -c 'probe cwd; ls' </dev/null 3>&-
		echo "$n: $output"
		[[ $output != *boot* && $output != *bundle* && $output != *unreachable* ]]
	done
}

@test "descriptors of the caller do not reach the container, on create, exec and start" {
	config_args probe fds
	run bash -c 'exec "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3</ 7</etc/hostname 19</ 63</dev/null'
	echo "$output"
	[ "$(grep -Ec '^[0-9]+ ' <<<"$output")" -eq 3 ]
	running
	run bash -c 'exec "$THOLE" --root "$STATE" exec "$ID" probe fds </dev/null 3</ 7</etc/hostname 19</'
	[ "$(grep -Ec '^[0-9]+ ' <<<"$output")" -eq 3 ]
}

@test "Landlock: a directory descriptor of the host opens nothing" {
	only_thole "runc has no Landlock"
	config_args sh -c 'cat /proc/self/fd/3/victim; ls /proc/self/fd/3/'
	echo "$OUTSIDE" >"$BATS_TEST_TMPDIR/victim"
	config '.annotations = {"run.thole.landlock": "off"}'
	run bash -c 'exec "$THOLE" --root "$STATE" run --preserve-fds 1 --bundle "$BUNDLE" "$ID" </dev/null 3<"$BATS_TEST_TMPDIR"'
	echo "off: $output"
	[[ $output == *outside* ]] # the trap works
	config 'del(.annotations)'
	run bash -c 'exec "$THOLE" --root "$STATE" run --preserve-fds 1 --bundle "$BUNDLE" "$ID" </dev/null 3<"$BATS_TEST_TMPDIR"'
	echo "on: $output"
	[[ $output != *outside* ]]
	echo untouched >"$BATS_TEST_TMPDIR/victim"
}

# --- targets of mounts -------------------------------------------------------------------------

@test "CVE-2019-19921, CVE-2023-27561: symlinked /proc and /sys are no targets" {
	local dir

	own_rootfs
	for dir in proc sys; do
		mkdir -p "$ROOTFS/elsewhere/$dir"
		rmdir "$ROOTFS/$dir"
		ln -s "elsewhere/$dir" "$ROOTFS/$dir"
		refused_create "$dir"
		rm "$ROOTFS/$dir"
		mkdir "$ROOTFS/$dir"
	done
}

@test "CVE-2019-16884: nothing is mounted inside /proc but what lxcfs needs" {
	local target

	mkdir "$BATS_TEST_TMPDIR/fake"
	: >"$BATS_TEST_TMPDIR/fakefile"
	for target in /proc/self /proc/sys /proc/self/attr /proc/../proc/sys /dev/../proc/self; do
		config_mount "{destination: \"$target\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/fake\", options: [\"bind\"]}"
		refused_create 'proc'
		config '.mounts |= .[:-1]'
	done
	config_mount "{destination: \"/proc\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/fake\", options: [\"bind\"]}"
	refused_create 'proc'
	config '.mounts |= .[:-1]'
	ln -s /proc/self "$ROOTFS/shortcut"
	config_mount "{destination: \"/shortcut/attr\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/fake\", options: [\"bind\"]}"
	refused_create 'proc'
	config '.mounts |= .[:-1]'
	echo lxcfs >"$BATS_TEST_TMPDIR/fakefile"
	config_mount "{destination: \"/proc/uptime\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/fakefile\", options: [\"bind\"]}"
	config_args cat /proc/uptime
	[ "$(try_run)" = lxcfs ]
}

@test "CVE-2025-52881: sysctl values go to the real procfs or nowhere" {
	own_rootfs
	mkdir -p "$ROOTFS/proc/sys/net/ipv4"
	: >"$ROOTFS/hit"
	chmod 666 "$ROOTFS/hit"
	ln -s ../../../../hit "$ROOTFS/proc/sys/net/ipv4/ip_forward"
	config '.mounts |= map(if .destination == "/proc" then {destination: "/proc", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]} else . end) |
		.linux.sysctl = {"net.ipv4.ip_forward": "1"} | .linux.maskedPaths = [] | .linux.readonlyPaths = []'
	config_args cat /hit
	run try_run
	echo "$output"
	[ ! -s "$ROOTFS/hit" ]
}

@test "CVE-2021-30465, CVE-2024-45310: a target that is swapped for a symlink while it is made" {
	local i volume=$BATS_TEST_TMPDIR/volume

	mkdir -p "$volume/sub"
	ln -s "$OUTSIDE" "$volume/link"
	config_mount "{destination: \"/vol\", type: \"bind\", source: \"$volume\", options: [\"bind\"]}"
	config_mount '{destination: "/vol/sub/made/deep", type: "tmpfs", source: "tmpfs"}'
	config_mount "{destination: \"/vol/sub/file\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/victim\", options: [\"bind\"]}"
	"$HOST" swap "$volume/sub" "$volume/link" 3>&- &
	SWAPPER=$!
	for ((i = 0; i < 40; i++)); do
		try_run >/dev/null 2>&1 || true
		outside_is_empty
		rm -rf "$volume"/*/made "$volume"/*/file 2>/dev/null || true
	done
	kill $SWAPPER
	wait $SWAPPER 2>/dev/null || true
	SWAPPER=
	outside_is_empty
}

@test "CVE-2019-18837 (crun): a target through a symlink stays in the root" {
	mkdir "$OUTSIDE/dir"
	ln -s "$OUTSIDE/dir" "$ROOTFS/abs"
	ln -s ../../outside/dir "$ROOTFS/rel"
	ln -s "$OUTSIDE/file" "$ROOTFS/file"
	config_mount '{destination: "/abs/made", type: "tmpfs", source: "tmpfs"}'
	config_mount '{destination: "/rel/made", type: "tmpfs", source: "tmpfs"}'
	config_mount "{destination: \"/file\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/victim\", options: [\"bind\"]}"
	run try_run
	echo "$output"
	rmdir "$OUTSIDE/dir"
	outside_is_empty
}

@test "tmpcopyup copies what the container has there, not what a symlink of it names outside" {
	ln -s "$BATS_TEST_TMPDIR" "$ROOTFS/t"
	config_mount '{destination: "/t", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}'
	config_args sh -c 'cat /t/victim'
	run try_run
	echo "$output"
	[[ $output != *untouched* ]]
}

# --- devices, masks, terminal ------------------------------------------------------------------

@test "CVE-2026-41579, CVE-2026-47766: a symlinked /dev" {
	local target

	own_rootfs
	config '.mounts |= map(select(.destination | startswith("/dev") | not)) | .linux.devices = [{path: "/dev/made", type: "c", major: 1, minor: 3}]'
	for target in "$OUTSIDE" ../../outside; do
		rm -rf "$ROOTFS/dev"
		ln -s "$target" "$ROOTFS/dev"
		run try_run
		echo "$output"
		outside_is_empty
		rt delete --force "$ID"
	done
}

@test "a device in a symlinked directory stays in the root" {
	own_rootfs
	ln -s "$OUTSIDE" "$ROOTFS/sub"
	config '.linux.devices = [{path: "/sub/made", type: "c", major: 1, minor: 3}, {path: "/sub/dir/made", type: "c", major: 1, minor: 3}]'
	run try_run
	outside_is_empty
}

@test "CVE-2025-31133: a mask is never a file of the container's" {
	local kind

	for kind in file link absolute; do
		own_rootfs
		echo attack >"$ROOTFS/attack"
		echo secret >"$ROOTFS/secret"
		case $kind in
		file) echo attack >"$ROOTFS/dev/null" ;;
		link) ln -s ../attack "$ROOTFS/dev/null" ;;
		absolute) ln -s "$BATS_TEST_TMPDIR/victim" "$ROOTFS/dev/null" ;;
		esac
		config '.mounts |= map(select(.destination | startswith("/dev") | not)) | .linux.maskedPaths = ["/secret"]'
		config_args sh -c 'cat /secret; echo written >>/secret'
		run try_run
		echo "$kind: $output"
		[[ $output != *attack* && $output != *secret* ]] || [[ $output == *"/secret"* && $output == *"rror"* ]]
		[[ $output != attack* && $output != untouched* ]]
		[ "$(cat "$ROOTFS/attack")" = attack ]
		outside_is_empty
		rt delete --force "$ID"
	done
}

@test "CVE-2025-52565: /dev/console is the terminal, whatever /dev/pts holds" {
	local i

	own_rootfs
	mkdir "$BATS_TEST_TMPDIR/pts"
	echo attack >"$ROOTFS/attack"
	for i in 0 1 2 3 4 5 6 7; do
		ln -s ../../attack "$BATS_TEST_TMPDIR/pts/$i"
	done
	ln -s ../../attack "$BATS_TEST_TMPDIR/pts/ptmx"
	config ".process.terminal = true | .mounts |= map(if .destination == \"/dev/pts\" then
		{destination: \"/dev/pts\", type: \"bind\", source: \"$BATS_TEST_TMPDIR/pts\", options: [\"bind\"]} else . end)"
	config_args sh -c 'cat /dev/console'
	run timeout 100 "$HOST" console "$BATS_TEST_TMPDIR/tty.sock" "x" timeout 100 "$THOLE" --root "$STATE" run --detach --bundle "$BUNDLE" \
		--console-socket "$BATS_TEST_TMPDIR/tty.sock" "$ID" </dev/null 3>&-
	echo "$output"
	[[ $output != *$'\n'attack* ]]
	[ "$(cat "$ROOTFS/attack")" = attack ]
}

@test "a file at /dev/console is not written through" {
	own_rootfs
	ln -s "$OUTSIDE/made" "$ROOTFS/dev/console"
	config '.process.terminal = true | .mounts |= map(select(.destination != "/dev"))'
	run timeout 100 "$HOST" console "$BATS_TEST_TMPDIR/tty.sock" "" timeout 100 "$THOLE" --root "$STATE" run --detach --bundle "$BUNDLE" \
		--console-socket "$BATS_TEST_TMPDIR/tty.sock" "$ID" </dev/null 3>&-
	outside_is_empty
}

# --- exec into a hostile container --------------------------------------------------------------

@test "CVE-2022-29162, CVE-2022-27650: exec --cap leaves the inheritable set empty" {
	running
	run rt exec --cap CAP_NET_ADMIN --user 1000 "$ID" grep ^Cap /proc/self/status </dev/null
	echo "$output"
	[[ $output == *$'CapInh:\t0000000000000000'* ]]
	run rt exec --cap CAP_NET_ADMIN "$ID" grep ^Cap /proc/self/status </dev/null
	[[ $output == *$'CapInh:\t0000000000000000'* ]]
	[ $((0x$(sed -n 's/^CapEff:\t//p' <<<"$output") >> 12 & 1)) -eq 1 ]
}

@test "CVE-2026-30892 (crun): exec --user takes numbers and nothing else" {
	local user

	only_thole "runc resolves names"
	running
	for user in 1000x x1000 1000: :1000 : '' -1 1000:-1 4294967295 4294967296 1000:4294967296 '1000:1000:1000' ' 1000' '1000 ' 0x10 +5 1e3; do
		echo "[$user]"
		run rt exec --user "$user" "$ID" id -u </dev/null
		[ "$status" -ne 0 ]
		[[ ! $output =~ ^[0-9]+$ ]]
	done
}

@test "a hostile /etc/passwd neither hangs nor misleads" {
	local kind

	own_rootfs
	for kind in fifo huge device directory garbage symlink; do
		rm -rf "$ROOTFS/etc/passwd" "$ROOTFS/etc/group"
		case $kind in
		fifo) mkfifo "$ROOTFS/etc/passwd" ;;
		huge) truncate -s 20G "$ROOTFS/etc/passwd" ;;
		device) ln -s /dev/zero "$ROOTFS/etc/passwd" ;;
		directory) mkdir "$ROOTFS/etc/passwd" ;;
		garbage) head -c 100000 /dev/urandom >"$ROOTFS/etc/passwd" ;;
		symlink) ln -s "$BATS_TEST_TMPDIR/passwd" "$ROOTFS/etc/passwd" && echo "root:x:0:0:root:/outside:/bin/sh" >"$BATS_TEST_TMPDIR/passwd" ;;
		esac
		config_args sh -c 'echo "home $HOME"'
		if is_thole || [ $kind != fifo ] && [ $kind != huge ] && [ $kind != device ]; then
			run try_run
			echo "$kind: $status $output"
			[ "$status" -ne 124 ]
			[[ $output != *outside* ]]
			[ "$status" -ne 0 ] || [[ $output == "home /"* ]]
			rt delete --force "$ID"
		fi
	done
}

@test "exec is not fooled by a container's own /proc" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	config_args sh -c 'mount -t tmpfs none /proc; mkdir -p /proc/self/fd /proc/self/attr /proc/self/ns; echo mounted >/ready; sleep 1000'
	create
	rt start "$ID"
	eventually test -e "$ROOTFS/ready"
	run timeout 100 "$THOLE" --root "$STATE" exec "$ID" echo inside </dev/null 3>&-
	echo "$output"
	[ "$status" -ne 124 ]
	[ "$status" -ne 0 ] || [ "$output" = inside ]
	rt kill "$ID" KILL
	eventually has_status stopped
}

# --- the state directory ------------------------------------------------------------------------

@test "ids and links can't lead out of the state directory" {
	local id

	mkdir -p "$STATE"
	echo keep >"$OUTSIDE/keep"
	ln -s "$OUTSIDE" "$STATE/link"
	for id in ../outside link/../../outside link .. . "$OUTSIDE"; do
		rt delete --force "$id" >/dev/null 2>&1 || true
		rt kill "$id" >/dev/null 2>&1 || true
		rt start "$id" >/dev/null 2>&1 || true
		! is_thole || ! quietly create --bundle "$BUNDLE" "$id"
	done
	[ "$(cat "$OUTSIDE/keep")" = keep ]
	[ "$(ls -A "$OUTSIDE")" = keep ]
	rm -f "$STATE/link"
}

@test "the state and its socket are root's alone" {
	running
	local file

	while read -r file; do
		[ "$(stat -c %u "$file")" = 0 ]
		[[ $(stat -c %A "$file") != *w? ]]
	done < <(find "$STATE" -mindepth 1 -maxdepth 2 ! -type l)
}

# --- interrupted ---------------------------------------------------------------------------------

# Nothing of the container is there, at the latest in a moment.
nothing_left() {
	eventually is_as_before "$1" || { diff <(echo "$1") <(snapshot); return 1; }
}

is_as_before() {
	[ "$(snapshot)" = "$1" ]
}

# interrupt HOW CHECK: lets "host HOW" kill at most 300 of the system calls of "create", evenly. Each
# time CHECK is called with create's status and what was there before; then delete --force must
# remove the rest.
interrupt() {
	local how=$1 check=$2 total step n before status

	config_args sleep 1000
	create # what is made once, as the state directory, is there
	rt delete --force "$ID"
	before=$(snapshot)
	killed_create "$how" 100000000
	total=$(sed -n 's/^calls: //p' "$BATS_TEST_TMPDIR/err")
	rt delete --force "$ID"
	nothing_left "$before" || return
	step=$(((total + 299) / 300))
	echo "$total calls, every ${step}."
	for ((n = 0; n < total; n += step)); do
		status=0
		killed_create "$how" $n || status=$?
		"$check" "$status" "$before" || { echo "$how $n of $total: create: $status $(cat "$BATS_TEST_TMPDIR/err")"; return 1; }
		run timeout 100 "$THOLE" --root "$STATE" delete --force "$ID" 3>&-
		[ "$status" -eq 0 ] && [ -z "$output" ] || { echo "$how $n of $total: delete: $status $output"; return 1; }
		nothing_left "$before" || { echo "$how $n of $total"; return 1; }
	done
}

killed_create() {
	timeout 100 "$HOST" "$1" "$2" "$THOLE" --root "$STATE" create --bundle "$BUNDLE" "$ID" \
		</dev/null >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&-
}

# The runtime lived. Either it failed, said why and has cleaned up; or init was let go before, which
# then is all that is missing. How far init gets before the runtime ends differs from run to run.
told_the_truth() {
	[ "$1" -ne 124 ] || return
	if [ "$1" -ne 0 ]; then
		grep -q "^thole: the container's process ended while it was being made$" "$BATS_TEST_TMPDIR/err" || return
		nothing_left "$2"
	elif grep -q 'killed at' "$BATS_TEST_TMPDIR/err"; then
		has_status stopped
	else
		has_status created
	fi
}

@test "create killed at any system call, then delete --force: nothing is left" {
	only_thole "runc forgets its cgroup where it dies early"
	interrupt killat true
}

@test "init killed at any system call of its set-up: create tells, nothing is left" {
	only_thole "runc's first child is not init"
	interrupt killchild told_the_truth
}

@test "init gives up before or after it is answered: create tells its reason" {
	only_thole "runc's first child is not init"
	need unshare
	unshare -Ur true || skip "no user namespaces here"
	local who

	config 'del(.linux.cgroupsPath)'
	config_args true
	for who in parent child; do
		run timeout -s KILL 100 unshare -Ur sh -c 'echo 0 >/proc/sys/user/max_cgroup_namespaces; exec "$@"' - \
			"$HOST" late $who 200 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
		echo "$who: $output"
		[ "$status" -eq 1 ]
		[ "$output" = "thole: make a cgroup namespace: No space left on device" ]
	done
}

@test "create killed with hooks and a tmpfs on the way: nothing is left" {
	only_thole "runc forgets its cgroup where it dies early"
	local i before

	config '.hooks.prestart = [{path: "/bin/sleep", args: ["sleep", "0.2"]}]'
	config_args sleep 1000
	create
	rt delete --force "$ID"
	before=$(snapshot)
	for i in 0.05 0.1 0.15 0.2 0.25; do
		timeout -s KILL $i "$THOLE" --root "$STATE" create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- || true
		rt delete --force "$ID"
		nothing_left "$before"
	done
}

@test "run killed: the container can be deleted" {
	config_args sleep 1000
	"$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&- &
	local pid=$!
	eventually has_status running
	kill -KILL $pid
	wait $pid 2>/dev/null || true
	rt delete --force "$ID"
	[ -z "$(holders)" ]
	[ -z "$(cgroup_dirs)" ]
}
