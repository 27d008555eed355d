#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What Landlock keeps out. Each test runs the same thing with the annotation `off` first, which
# shows what the kernel lets through without it: a trap that catches nobody proves nothing.

load bundle
setup_file() {
	bundle_programs
	${CC:-gcc} -O1 -static -D_GNU_SOURCE -o "$BATS_FILE_TMPDIR/reach" "$BATS_TEST_DIRNAME/reach.c"
}
setup() {
	need_root
	only_thole "runc has no Landlock"
	[ "$(abi)" -gt 0 ] || skip "this kernel has no Landlock"
	bundle
	cp "$BATS_FILE_TMPDIR/reach" "$ROOTFS/bin/reach"
	OUTSIDE=$BATS_TEST_TMPDIR/outside
	mkdir "$OUTSIDE"
	echo secret >"$OUTSIDE/file"
	REACH=$BATS_FILE_TMPDIR/reach
	chmod a+x "$BATS_FILE_TMPDIR"
	export OUTSIDE REACH
}
teardown() {
	[ -z "${HELPER:-}" ] || kill "$HELPER" 2>/dev/null || true
	bundle_end
}

abi() {
	"$THOLE" features | jq -r '.annotations["run.thole.landlock.abi"] // 0'
}

annotate() {
	config '.annotations[$k] = $v' --arg k "run.thole.landlock${1:+.$1}" --arg v "$2"
}

# The bundle's program, with what the caller passes as descriptor 3 if a path is given.
try() {
	local passed=${1:-}

	if [ -n "$passed" ]; then
		timeout 100 "$THOLE" --root "$STATE" run --preserve-fds 1 --bundle "$BUNDLE" "$ID" </dev/null 3<"$passed"
	else
		timeout 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	fi
}

# differs WHAT-OFF-PRINTS WHAT-IS-PRINTED-ELSE [PATH OF DESCRIPTOR 3]
differs() {
	annotate '' off
	run try "${3:-}"
	echo "off: $output, expected $1"
	[ "${output% }" = "$1" ] || return
	config 'del(.annotations["run.thole.landlock"])'
	run try "${3:-}"
	echo "on:  $output, expected $2"
	[ "${output% }" = "$2" ]
}

# A bundle of the host's root without any namespace: what is left are its mounts.
alone() {
	local user=${1:-0}

	mkdir "$BATS_TEST_TMPDIR/work"
	echo own >"$BATS_TEST_TMPDIR/work/own"
	chown -R "$user" "$BATS_TEST_TMPDIR/work" "$OUTSIDE"
	WORK=$BATS_TEST_TMPDIR/work
	jq -n --arg work "$WORK" --arg cgroup "$CGROUP" --argjson user "$user" '{
		ociVersion: "1.2.0", root: {path: "/"},
		process: {user: {uid: $user, gid: $user}, cwd: "/", args: [], env: ["PATH=/usr/bin:/bin"]},
		mounts: [{destination: $work, source: $work, type: "bind", options: ["rw"]}],
		linux: {namespaces: [], cgroupsPath: $cgroup}}' >"$BUNDLE/config.json"
}

# --- a whole container ----------------------------------------------------------------------------

@test "CVE-2024-21626: a descriptor of a directory of the host opens nothing" {
	local d=/proc/self/fd/3

	config_args reach list:$d read:$d/file create:$d/made unlink:$d/made mkdir:$d/dir rmdir:$d/dir \
		rename:$d/file:$d/other rename:$d/other:$d/file read:$d/../victim list:$d/..
	echo victim >"$BATS_TEST_TMPDIR/victim"
	differs "list=ok read=ok create=ok unlink=ok mkdir=ok rmdir=ok rename=ok rename=ok read=ok list=ok" \
		"list=EACCES read=EACCES create=EACCES unlink=ENOENT mkdir=EACCES rmdir=ENOENT rename=EACCES rename=ENOENT read=EACCES list=EACCES" \
		"$OUTSIDE"
}

@test "CVE-2024-21626: a program of the host is not executed through a descriptor" {
	cp "$ROOTFS/bin/busybox" "$OUTSIDE/true"
	config_args reach exec:/proc/self/fd/3/true
	differs "exec=ok" "exec=EACCES" "$OUTSIDE"
}

@test "a descriptor of the host's procfs opens nothing" {
	config_args reach read:/proc/self/fd/3/sys/kernel/hostname list:/proc/self/fd/3/1/task write:/proc/self/fd/3/sys/kernel/hostname
	differs "read=ok list=ok write=ok" "read=EACCES list=EACCES write=EACCES" /proc
}

@test "CVE-2019-5736: a program file of the runtime that leaked can't be opened for writing" {
	local copy=$BATS_TEST_TMPDIR/runtime

	cp "$THOLE" "$copy"
	config_args reach write:/proc/self/fd/3 trunc:/proc/self/fd/3 read:/proc/self/fd/3
	annotate '' off
	run try "$copy"
	echo "off: $output"
	[ "${output% }" = "write=ok trunc=ok read=ok" ]
	cp "$THOLE" "$copy"
	config 'del(.annotations)'
	run try "$copy"
	echo "on: $output"
	[ "${output% }" = "write=EACCES trunc=EACCES read=ok" ]
	cmp "$THOLE" "$copy"
}

@test "CVE-2019-5736: the runtime's own program is neither opened nor executed from inside" {
	# Init is the runtime's program until it executes the container's: a start hook still sees it.
	config '.hooks.startContainer = [{path: "/bin/sh", args: ["sh", "-c",
		"reach read:/proc/$PPID/exe write:/proc/$PPID/exe exec:/proc/$PPID/exe >/hooked 2>&1"]}]'
	config '.process.capabilities |= map_values(. + ["CAP_SYS_PTRACE"])'
	config_args true
	try
	cat "$ROOTFS/hooked"
	[[ $(cat "$ROOTFS/hooked") != *=ok* ]]
}

@test "CVE-2025-31133: a mask is the null device whatever the image or a rival makes of it" {
	local mode

	config '.mounts |= map(select(.destination | startswith("/dev") | not)) | .linux.maskedPaths = ["/proc/keys", "/proc/timer_list"]'
	config_args sh -c 'echo x >/proc/keys; stat -c %t:%T /proc/keys /proc/timer_list; cat /proc/timer_list /proc/keys'
	rm -rf "$ROOTFS/dev"
	mkdir "$ROOTFS/dev"
	ln -s ../proc/sys/kernel/hostname "$ROOTFS/dev/null"
	mknod "$ROOTFS/dev/other" c 1 5
	"$HOST" swap "$ROOTFS/dev/null" "$ROOTFS/dev/other" 3>&- &
	HELPER=$!
	for mode in off auto; do
		annotate '' $mode
		for _ in 1 2 3 4 5; do
			run try
			echo "$mode: $output"
			[ "$output" = $'1:3\n1:3' ]
		done
	done
}

@test "device nodes on a nodev mount" {
	config_mount '{destination: "/vol", type: "tmpfs", source: "tmpfs", options: ["nodev"]}'
	config '.root.readonly = true'
	config_args reach mknod:/vol/null write:/vol/null
	# the mount's flag keeps the node from use, Landlock keeps it from being
	differs "mknod=ok write=EACCES" "mknod=EACCES write=ENOENT"
}

@test "a root that is read-only stays it through any alias" {
	config '.root.readonly = true'
	config_args reach create:/made create:/proc/self/fd/3/made unlink:/proc/self/fd/3/made write:/proc/self/fd/3/etc/passwd \
		read:/proc/self/fd/3/etc/passwd
	differs "create=EROFS create=ok unlink=ok write=ok read=ok" \
		"create=EROFS create=EACCES unlink=ENOENT write=EACCES read=ok" "$ROOTFS"
}

@test "a volume that is read-only stays it through any alias" {
	config_mount "{destination: \"/vol\", type: \"bind\", source: \"$OUTSIDE\", options: [\"bind\", \"ro\"]}"
	config_args reach create:/vol/made create:/proc/self/fd/3/outside/made unlink:/proc/self/fd/3/outside/made \
		read:/proc/self/fd/3/outside/file list:/proc/self/fd/3
	differs "create=EROFS create=ok unlink=ok read=ok list=ok" \
		"create=EROFS create=EACCES unlink=ENOENT read=ok list=EACCES" "$BATS_TEST_TMPDIR"
}

@test "input stays input, output can be opened again" {
	local out=$BATS_TEST_TMPDIR/stdout fifo=$BATS_TEST_TMPDIR/fifo

	echo text >"$BATS_TEST_TMPDIR/stdin"
	config_args sh -c 'echo one >>/dev/stdout; echo two >>/proc/self/fd/2; reach read:/dev/stdin write:/dev/stdin >&2; cat /dev/stdin'
	annotate '' off
	"$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" <"$BATS_TEST_TMPDIR/stdin" >>"$out" 2>>"$out.err" 3>&-
	cat "$out" "$out.err"
	[ "$(cat "$out.err")" = $'two\nread=ok write=ok ' ]
	rm "$out" "$out.err"
	annotate '' auto
	"$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" <"$BATS_TEST_TMPDIR/stdin" >>"$out" 2>>"$out.err" 3>&-
	cat "$out" "$out.err"
	[ "$(cat "$out")" = $'one\ntext' ]
	[ "$(cat "$out.err")" = $'two\nread=ok write=EACCES ' ]

	mkfifo "$fifo"
	cat "$fifo" >"$BATS_TEST_TMPDIR/read" &
	HELPER=$!
	config_args sh -c 'echo one >/dev/stdout; echo two'
	timeout 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null >"$fifo" 3>&-
	wait $HELPER
	HELPER=
	[ "$(cat "$BATS_TEST_TMPDIR/read")" = $'one\ntwo' ]
}

@test "exec'd processes get the same rules" {
	local n

	config '.root.readonly = true'
	running
	for n in 3 7; do
		run bash -c 'exec timeout 100 "$0" --root "$STATE" exec --preserve-fds 5 "$ID" reach list:/proc/self/fd/$1 create:/proc/self/fd/$1/x </dev/null 3<"$OUTSIDE" 7<"$OUTSIDE"' "$THOLE" $n
		echo "$output"
		[ "${output% }" = "list=EACCES create=EACCES" ]
	done
	rt kill "$ID" KILL
	eventually has_status stopped
	rt delete "$ID"
	annotate '' off
	running
	run bash -c 'exec timeout 100 "$0" --root "$STATE" exec --preserve-fds 5 "$ID" reach list:/proc/self/fd/3 </dev/null 3<"$OUTSIDE"' "$THOLE"
	[ "${output% }" = "list=ok" ]
}

@test "exec: aside where the container's own process is, and where it may mount itself" {
	running
	run rt exec --cap CAP_SYS_ADMIN "$ID" reach mount:/tmp </dev/null
	echo "$output"
	[ "${output% }" = "mount=ok" ]
	rt delete --force "$ID"
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	running
	config_args reach list:/proc/self/fd/3
	jq '.process | .capabilities |= map_values(. - ["CAP_SYS_ADMIN"])' "$BUNDLE/config.json" >"$BATS_TEST_TMPDIR/process.json"
	run bash -c 'exec timeout 100 "$THOLE" --root "$STATE" exec --preserve-fds 1 --process "$BATS_TEST_TMPDIR/process.json" "$ID" </dev/null 3<"$OUTSIDE"'
	echo "$output"
	[ "${output% }" = "list=ok" ]
}

# --- modes and annotations ------------------------------------------------------------------------

@test "auto steps aside for a container that may mount, and says so where it is asked" {
	local log=$BATS_TEST_TMPDIR/log

	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	config_args reach mount:/tmp list:/proc/self/fd/3
	run try "$OUTSIDE"
	echo "$output"
	[ "${output% }" = "mount=ok list=ok" ]
	timeout 100 "$THOLE" --debug --log "$log" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&- >/dev/null
	grep -q 'Landlock steps aside: it may mount (CAP_SYS_ADMIN)' "$log"
	annotate '' enforce
	run try "$OUTSIDE"
	echo "$output"
	[ "${output% }" = "mount=EPERM list=EACCES" ]
}

@test "ports and scopes of an annotation hold for a container that may mount, too" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	[ "$(abi)" -ge 4 ] || skip "Landlock ABI $(abi) has no ports"
	annotate bind ''
	config_args reach mount:/tmp bind:8080
	differs "mount=ok bind=ok" "mount=ok bind=EACCES"
}

@test "TCP ports by annotation" {
	[ "$(abi)" -ge 4 ] || skip "Landlock ABI $(abi) has no ports"
	annotate bind 80,8000-8002
	annotate connect 443
	config_args reach bind:80 bind:8000 bind:8002 bind:8003 bind:81 connect:443 connect:80
	differs "bind=ok bind=ok bind=ok bind=ok bind=ok connect=ECONNREFUSED connect=ECONNREFUSED" \
		"bind=ok bind=ok bind=ok bind=EACCES bind=EACCES connect=ECONNREFUSED connect=EACCES"
}

@test "what a kernel lacks is refused by enforce, and named" {
	[ "$(abi)" -lt 10 ] || skip "this kernel has UDP ports"
	annotate bind.udp 53
	config_args true
	run try
	[ "$status" -eq 0 ]
	[[ $output == *"annotations ask for bind_udp, which this kernel's Landlock"* ]]
	annotate '' enforce
	refused_create "run.thole.landlock is enforce, but this kernel's Landlock (ABI $(abi)) has no bind_udp"
}

@test "scopes stand in for a PID namespace, and an annotation says otherwise" {
	[ "$(abi)" -ge 6 ] || skip "Landlock ABI $(abi) has no scopes"
	sleep 1000 3>&- &
	HELPER=$!
	config 'del(.linux.namespaces[] | select(.type == "pid"))'
	config_args reach kill:$HELPER
	differs "kill=ok" "kill=EPERM"
	annotate scope ''
	run try
	[ "${output% }" = "kill=ok" ]
	annotate scope signal,abstract_unix_socket
	run try
	[ "${output% }" = "kill=EPERM" ]
}

@test "more paths by annotation: names, numbers, ro and rw" {
	config '.root.readonly = true'
	config_mount '{destination: "/vol", type: "tmpfs", source: "tmpfs", options: ["ro"]}'
	config_args reach create:/run/x/made mkdir:/run/x/dir write:/run/x/made
	config_mount '{destination: "/run", type: "tmpfs", source: "tmpfs"}'
	mkdir -p "$ROOTFS/opt/x"
	config_args reach create:/proc/self/fd/3/opt/x/made read:/proc/self/fd/3/opt/x/made unlink:/proc/self/fd/3/opt/x/made
	run try "$ROOTFS"
	[ "${output% }" = "create=EACCES read=ENOENT unlink=ENOENT" ]
	annotate extra /opt/x:rw
	run try "$ROOTFS"
	[ "${output% }" = "create=ok read=ok unlink=ok" ]
	annotate extra /opt/x:write_file+make_reg
	run try "$ROOTFS"
	[ "${output% }" = "create=ok read=ok unlink=EACCES" ]
	rm "$ROOTFS/opt/x/made"
	annotate extra /opt/x:0x102+remove_file
	run try "$ROOTFS"
	[ "${output% }" = "create=ok read=ok unlink=ok" ]
	annotate extra /nowhere:ro
	run try "$ROOTFS"
	[ "$status" -ne 0 ]
	[[ $output == *"annotations.run.thole.landlock.extra: grant /nowhere by Landlock: no such file or directory"* ]]
}

# --- Landlock alone ---------------------------------------------------------------------------------

alone_args() {
	echo "$REACH" read:$WORK/own create:$WORK/made unlink:$WORK/made mkdir:$WORK/dir rmdir:$WORK/dir list:$WORK write:/dev/null \
		read:$OUTSIDE/file list:$OUTSIDE create:$OUTSIDE/made unlink:$OUTSIDE/made mkdir:$OUTSIDE/dir rmdir:$OUTSIDE/dir \
		link:$OUTSIDE/file:$WORK/link unlink:$WORK/link rename:$OUTSIDE/file:$WORK/file rename:$WORK/file:$OUTSIDE/file \
		symlink:x:$OUTSIDE/sym unlink:$OUTSIDE/sym sock:$OUTSIDE/sock unlink:$OUTSIDE/sock read:/etc/passwd list:/proc exec:/bin/true
}

ALONE_OFF="read=ok create=ok unlink=ok mkdir=ok rmdir=ok list=ok write=ok \
read=ok list=ok create=ok unlink=ok mkdir=ok rmdir=ok \
link=ok unlink=ok rename=ok rename=ok \
symlink=ok unlink=ok sock=ok unlink=ok read=ok list=ok exec=ok"
ALONE_ON="read=ok create=ok unlink=ok mkdir=ok rmdir=ok list=ok write=ok \
read=EACCES list=EACCES create=EACCES unlink=ENOENT mkdir=EACCES rmdir=ENOENT \
link=EXDEV unlink=ENOENT rename=EACCES rename=ENOENT \
symlink=EACCES unlink=ENOENT sock=EACCES unlink=ENOENT read=EACCES list=EACCES exec=EACCES"

@test "alone: nothing of the host but the mounts, the devices and the program" {
	alone
	config_args $(alone_args)
	differs "$ALONE_OFF" "$ALONE_ON"
}

@test "alone, as an ordinary user: no namespace, no right, no cgroup" {
	local state=$BATS_TEST_TMPDIR/run mode=off want=$ALONE_OFF

	need setpriv
	alone 65534
	config 'del(.linux.cgroupsPath)'
	mkdir "$state"
	chown 65534 "$state"
	config_args $(alone_args)
	for mode in off auto; do
		annotate '' $mode
		run setpriv --reuid 65534 --regid 65534 --clear-groups timeout 100 "$THOLE" --root "$state" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
		echo "$mode: $output, expected $want"
		[ "${output% }" = "$want" ]
		want=$ALONE_ON
	done
	config_args /bin/sh -c 'exec sleep 1000'
	config_mount '{destination: "/usr", source: "/usr", type: "bind", options: ["ro"]}'
	config '.process.oomScoreAdj = 100 | .process.capabilities = {bounding: ["CAP_KILL"]} |
		.hooks.startContainer = [{path: "/usr/bin/true"}]'
	as_user() {
		setpriv --reuid 65534 --regid 65534 --clear-groups timeout 100 "$THOLE" --root "$state" "$@" </dev/null 3>&-
	}
	as_user create --bundle "$BUNDLE" --pid-file "$state/pid" "$ID" >"$BATS_TEST_TMPDIR/out" 2>&1
	[ ! -s "$BATS_TEST_TMPDIR/out" ]
	as_user start "$ID"
	[ "$(readlink /proc/"$(cat "$state/pid")"/ns/user)" = "$(readlink /proc/self/ns/user)" ]
	[ "$(awk '/^NoNewPrivs/ { print $2 }' /proc/"$(cat "$state/pid")"/status)" = 1 ]
	[ "$(as_user state "$ID" | jq -r .status)" = running ]
	run as_user exec "$ID" "$REACH" read:/etc/passwd read:$WORK/own
	echo "$output"
	[ "${output% }" = "read=EACCES read=ok" ]
	as_user kill "$ID" KILL
	eventually is_gone "$(cat "$state/pid")"
	as_user delete "$ID"
	[ -z "$(ls -A "$state" | grep -v '^pid$')" ]
}

listens_at() {
	awk -v name="$1" '$4 == "00010000" && $8 == name { found = 1 } END { exit !found }' /proc/net/unix
}

@test "alone: ports, names and signals" {
	[ "$(abi)" -ge 6 ] || skip "Landlock ABI $(abi) has no scopes"
	local name=thole-bats-$BATS_TEST_NUMBER-$$ port other

	port=$(free_port)
	other=$(free_port "$port")
	"$REACH" "serve:@$name" 3>&- &
	HELPER=$!
	eventually listens_at "@$name"
	alone
	annotate bind "$port"
	annotate connect "$port"
	config_args "$REACH" bind:$port bind:$other connect:$port connect:$other kill:$HELPER unix:@$name
	differs "bind=ok bind=ok connect=ECONNREFUSED connect=ECONNREFUSED kill=ok unix=ok" \
		"bind=ok bind=EACCES connect=ECONNREFUSED connect=EACCES kill=EPERM unix=EPERM"
}

@test "alone: a socket with a path outside" {
	[ "$(abi)" -ge 9 ] || skip "Landlock ABI $(abi) has no resolve_unix"
	"$REACH" "serve:$OUTSIDE/listener" 3>&- &
	HELPER=$!
	eventually listens_at "$OUTSIDE/listener"
	alone
	config_args "$REACH" unix:$OUTSIDE/listener
	differs "unix=ok" "unix=EACCES"
}

@test "alone: options of a mount hold" {
	alone
	cp "$REACH" "$OUTSIDE/program"
	config_mount "{destination: \"$OUTSIDE\", source: \"$OUTSIDE\", type: \"bind\", options: [\"ro\", \"noexec\"]}"
	config_args "$REACH" read:$OUTSIDE/file create:$OUTSIDE/made unlink:$OUTSIDE/made write:$OUTSIDE/file exec:$OUTSIDE/program
	annotate '' off
	run try
	[[ $output == *"read=ok create=ok unlink=ok write=ok exec=ok"* ]]
	annotate '' auto
	run try
	echo "$output"
	[[ $output == *"read=ok create=EACCES unlink=ENOENT write=EACCES exec=EACCES"* ]]
}

@test "alone: the interpreter of a script is within reach, its neighbours are not" {
	alone
	printf '#! %s read:/etc/passwd\n' "$REACH" >"$WORK/script"
	chmod a+x "$WORK/script"
	config_args "$WORK/script"
	run -99 try # it is no question that the script's own name is
	echo "$output"
	[[ $output == "read=EACCES"* ]]
	config '.process.cwd = $work' --arg work "$WORK"
	cp /bin/true "$WORK/dynamic"
	config_args ./dynamic
	run -127 try
	echo "$output"
	# its loader starts, and finds no library
	[[ $output == *"shared librar"* ]]
}

@test "alone, as an ordinary user: a terminal" {
	local state=$BATS_TEST_TMPDIR/run

	need setpriv
	alone 65534
	config 'del(.linux.cgroupsPath) | .process.terminal = true'
	config_mount '{destination: "/usr", source: "/usr", type: "bind", options: ["ro"]}'
	config_args /bin/sh -c 'echo one >/dev/tty; echo two >/proc/self/fd/1; tty -s && echo three; stty rows 7; exit 0'
	mkdir "$state"
	chown 65534 "$state"
	run setpriv --reuid 65534 --regid 65534 --clear-groups timeout 100 "$HOST" console "$state/tty.sock" "" timeout 100 "$THOLE" \
		--root "$state" run --detach --bundle "$BUNDLE" --console-socket "$state/tty.sock" "$ID" </dev/null 3>&-
	echo "$output"
	setpriv --reuid 65534 --regid 65534 --clear-groups timeout 100 "$THOLE" --root "$state" delete --force "$ID" 3>&-
	[[ $output == *one*two*three* ]]
}

@test "alone: nothing is made on the host, and the root is named as what it is" {
	alone
	config '.process.cwd = "/thole-bats-missing"'
	config_args "$REACH"
	run try
	[ "$status" -ne 0 ]
	[[ $output == *"change to the working directory /thole-bats-missing (process.cwd): no such file or directory"* ]]
	[ ! -e /thole-bats-missing ]
	config '.process.cwd = "/" | .root.path = "/../" | .mounts = []'
	refused_create "root.path: /../ is the host's root: without a mount namespace it must be written as /"
	config '.root.path = "/" | .mounts = [{destination: "/tmp", source: "/tmp", type: "tmpfs"}]'
	refused_create "mounts[0]: needs a mount namespace"
	config '.mounts = [{destination: "/thole-bats-missing", source: "/thole-bats-missing", type: "bind"}]'
	refused_create "mounts[0]: grant /thole-bats-missing by Landlock: no such file or directory"
}
