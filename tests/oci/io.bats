#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What passes between a caller and its container: parenthood, terminals, descriptors, sockets.

load bundle
setup_file() { bundle_programs; }
setup() { need_root; bundle; }
teardown() { bundle_end; }

@test "after create and exec -d the process is the caller's child, in its final cgroup" {
	config_args sleep 1000
	run "$HOST" subreap '
		"$THOLE" --root "$STATE" create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >/dev/null 2>&1
		grep PPid: /proc/$(cat "$PIDFILE")/status | cut -f2
		echo "$SUBREAPER $(grep -c "$CGROUP" /proc/$(cat "$PIDFILE")/cgroup)"
		cat /proc/$SUBREAPER/task/$SUBREAPER/children | wc -w
		"$THOLE" --root "$STATE" start "$ID"
		"$THOLE" --root "$STATE" exec --detach --pid-file "$PIDFILE.exec" "$ID" sleep 1000 </dev/null >/dev/null 2>&1
		grep PPid: /proc/$(cat "$PIDFILE.exec")/status | cut -f2
		cat /proc/$SUBREAPER/task/$SUBREAPER/children | wc -w
		kill -KILL $(cat "$PIDFILE")' 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	local reaper=${lines[1]% *}
	[ "${lines[0]}" = "$reaper" ]
	[ "${lines[1]#* }" -ge 8 ]
	[ "${lines[2]}" -eq 2 ] # init and this script: nothing of the runtime stays
	[ "${lines[3]}" = "$reaper" ]
	[ "${lines[4]}" -eq 3 ]
}

@test "a caller that ignores SIGCHLD" {
	env --ignore-signal=CHLD true || skip "env can't ignore signals"
	config '.hooks.prestart = [{path: "/bin/true"}]'
	config_args sh -c 'exit 3'
	run timeout -s KILL 100 env --ignore-signal=CHLD "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$status" -eq 3 ]
	[ -z "$output" ]
}

@test "a zombie init is a stopped container" {
	config_args true
	run "$HOST" subreap '
		"$THOLE" --root "$STATE" create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >/dev/null 2>&1
		"$THOLE" --root "$STATE" start "$ID"
		for i in $(seq 1200); do grep -q "^State:.Z" /proc/$(cat "$PIDFILE")/status && break; sleep 0.05; done' '
		grep ^State: /proc/$(cat "$PIDFILE")/status
		"$THOLE" --root "$STATE" state "$ID" | jq -r .status
		"$THOLE" --root "$STATE" state "$ID" | jq -r .pid
		"$THOLE" --root "$STATE" delete "$ID" && echo deleted' 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == *Z* ]]
	[ "${lines[1]}" = stopped ]
	[ "${lines[2]}" = 0 ]
	[ "${lines[3]}" = deleted ]
}

@test "a reused pid is not the container" {
	only_thole "the format of the state is the runtime's own"
	running
	local pid
	pid=$(pid_of)
	sed -i -E 's/("start_?[tT]ime": *)[0-9]+/\11/' "$STATE/$ID/state.json"
	[ "$(status_of)" = stopped ]
	kill -KILL "$pid"
}

@test "console: one message, one descriptor, no answer needed" {
	config '.process.terminal = true | .process.consoleSize = {height: 33, width: 111}'
	config_args sh -c 'stty size; read line; echo "read: $line"; exec probe tty'
	run "$HOST" console "$BATS_TEST_TMPDIR/tty.sock" $'hello\n' bash -c '
		"$THOLE" --root "$STATE" create --bundle "$BUNDLE" --console-socket "$BATS_TEST_TMPDIR/tty.sock" "$ID" </dev/null &&
		"$THOLE" --root "$STATE" start "$ID"' 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == "payload=yes fds=1 controls=1 master=1 more=0 second=0"* ]]
	[[ $output == *"tty=1 controlling=1 leader=1 console=1 owner=0"* ]]
	[[ $output == *"33 111"* ]]
	[[ $output == *"read: hello"* ]]
}

@test "console: a non-root process owns its terminal" {
	config '.process.terminal = true | .process.user = {uid: 1000, gid: 1000}'
	config_args probe tty
	run "$HOST" console "$BATS_TEST_TMPDIR/tty.sock" "" "$THOLE" --root "$STATE" run --detach --bundle "$BUNDLE" \
		--console-socket "$BATS_TEST_TMPDIR/tty.sock" "$ID" </dev/null 3>&-
	[[ $output == *"owner=1000"* ]]
}

@test "console: a socket path longer than an address" {
	local dir
	dir=$BATS_TEST_TMPDIR/$(printf 'd%.0s' {1..100})
	only_thole "runc 1.1 can't"
	mkdir "$dir"
	config '.process.terminal = true'
	config_args echo far
	run "$HOST" console "$dir/tty.sock" "" "$THOLE" --root "$STATE" run --detach --bundle "$BUNDLE" \
		--console-socket "$dir/tty.sock" "$ID" </dev/null 3>&-
	[[ $output == *"master=1"* ]]
	[[ $output == *far* ]]
}

@test "console: a terminal without a socket, a socket without a terminal, no listener" {
	config '.process.terminal = true'
	refused "console" create --bundle "$BUNDLE" "$ID"
	refused "" create --bundle "$BUNDLE" --console-socket "$BATS_TEST_TMPDIR/none.sock" "$ID"
	config '.process.terminal = false'
	refused "console" create --bundle "$BUNDLE" --console-socket "$BATS_TEST_TMPDIR/none.sock" "$ID"
}

@test "terminals: run and exec -t in the foreground of a terminal" {
	need script
	config '.process.terminal = true'
	config_args sh -c 'stty size; exec probe tty'
	cat >"$BATS_TEST_TMPDIR/run.sh" <<-END
		stty rows 41 cols 97
		"$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	END
	run script -qec "bash $BATS_TEST_TMPDIR/run.sh" /dev/null </dev/null 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"tty=1 controlling=1 leader=1"* ]]
	only_thole "runc takes the size at other times"
	[[ $output == *"41 97"* ]]
}

@test "terminals: a change of the caller's size reaches the container" {
	need script
	config '.process.terminal = true'
	config_args sh -c 'trap "stty size; exit 0" WINCH; tty >&2; while :; do sleep 0.1; done'
	cat >"$BATS_TEST_TMPDIR/run.sh" <<-END
		tty >"$BATS_TEST_TMPDIR/tty"
		"$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	END
	timeout 100 script -qefc "bash $BATS_TEST_TMPDIR/run.sh" "$BATS_TEST_TMPDIR/typescript" \
		</dev/null >/dev/null 2>&1 3>&- &
	eventually grep -q /dev/pts "$BATS_TEST_TMPDIR/typescript"
	stty -F "$(cat "$BATS_TEST_TMPDIR/tty")" rows 33 cols 77
	eventually grep -q '33 77' "$BATS_TEST_TMPDIR/typescript"
	wait $!
}

@test "--preserve-fds: descriptors arrive, others are closed" {
	echo content3 >"$BATS_TEST_TMPDIR/f3"
	echo content4 >"$BATS_TEST_TMPDIR/f4"
	echo content5 >"$BATS_TEST_TMPDIR/f5"
	config_args sh -c 'cat <&3; cat <&4; exec probe fds'
	run bash -c 'exec "$THOLE" --root "$STATE" run --preserve-fds 2 --bundle "$BUNDLE" "$ID" </dev/null \
		3<"$BATS_TEST_TMPDIR/f3" 4<"$BATS_TEST_TMPDIR/f4" 5<"$BATS_TEST_TMPDIR/f5"'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *content3$'\n'content4* ]]
	[ "$(grep -Ec '^[0-9]+ ' <<<"$output")" -eq 5 ]
}

@test "--preserve-fds: holes are tolerated" {
	only_thole "runc refuses"
	echo content5 >"$BATS_TEST_TMPDIR/f5"
	config_args sh -c 'cat <&5; exec probe fds'
	run bash -c 'exec "$THOLE" --root "$STATE" run --preserve-fds 3 --bundle "$BUNDLE" "$ID" </dev/null 3<&- 4<&- 5<"$BATS_TEST_TMPDIR/f5"'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *content5* ]]
	[ "$(grep -Ec '^[0-9]+ ' <<<"$output")" -eq 4 ]
}

@test "exec --preserve-fds" {
	echo content3 >"$BATS_TEST_TMPDIR/f3"
	running
	run bash -c '"$THOLE" --root "$STATE" exec --preserve-fds 1 "$ID" sh -c "cat <&3; exec probe fds" 3<"$BATS_TEST_TMPDIR/f3" </dev/null'
	[[ $output == content3* ]]
	[ "$(grep -Ec '^[0-9]+ ' <<<"$output")" -eq 4 ]
}

@test "LISTEN_FDS: passed on with LISTEN_PID of the container" {
	echo content3 >"$BATS_TEST_TMPDIR/f3"
	config_args sh -c 'cat <&3; echo "$LISTEN_FDS $LISTEN_PID"; exec probe fds'
	run bash -c 'export LISTEN_FDS=1 LISTEN_PID=$$; exec "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3<"$BATS_TEST_TMPDIR/f3"'
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == content3$'\n'"1 1"* ]]
	[ "$(grep -Ec '^[0-9]+ [^1]' <<<"$output")" -eq 4 ]
}

@test "NOTIFY_SOCKET: the container has one of its own, readiness is passed on" {
	config_args sh -c 'echo "$NOTIFY_SOCKET" >/where; [ -S "$NOTIFY_SOCKET" ] && echo socket >>/where
		printf "READY=1\n" | probe notify'
	only_thole "its own place for the socket"
	run timeout 100 "$HOST" notify "$BATS_TEST_TMPDIR/notify.sock" "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$(sed -n 1p "$ROOTFS/where")" != "$BATS_TEST_TMPDIR/notify.sock" ]
	[ "$(sed -n 2p "$ROOTFS/where")" = socket ]
	[[ $output == *"READY=1"* ]]
	[[ $output == *"MAINPID="* ]]
}

@test "NOTIFY_SOCKET: what a container said that has ended is passed on" {
	only_thole "its own place for the socket"
	# while this hook runs, nobody listens
	config '.hooks.poststart = [{path: "/bin/sh", args: ["sh", "-c", "while [ ! -e $0/said ]; do sleep 0.05; done; sleep 0.3", $root]}]' \
		--arg root "$ROOTFS"
	config_args sh -c 'printf "STATUS=soon\n" | probe notify; printf "READY=1\n" | probe notify; touch /said'
	run timeout 100 "$HOST" notify "$BATS_TEST_TMPDIR/notify.sock" "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"READY=1"* ]]
}

@test "--pidfd-socket: the pidfd of the process" {
	only_thole "runc 1.2 and later"
	config_args sleep 1000
	"$HOST" receive "$BATS_TEST_TMPDIR/pidfd.sock" "$THOLE" --root "$STATE" create --bundle "$BUNDLE" \
		--pid-file "$PIDFILE" --pidfd-socket "$BATS_TEST_TMPDIR/pidfd.sock" "$ID" \
		</dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 3>&-
	output=$(cat "$BATS_TEST_TMPDIR/out")
	echo "$output"
	[[ $output == *pidfd* ]]
	[[ $output == *"pid: $(cat "$PIDFILE")"* ]]
}

@test "the console's and the caller's sockets are not inherited" {
	config '.process.terminal = true'
	config_args probe fds
	run "$HOST" console "$BATS_TEST_TMPDIR/tty.sock" "" "$THOLE" --root "$STATE" run --detach --bundle "$BUNDLE" \
		--console-socket "$BATS_TEST_TMPDIR/tty.sock" "$ID" </dev/null 3>&-
	[ "$(grep -Ec '^[0-9]+ /' <<<"$output")" -eq 3 ]
}

@test "the state directory: 0711 or tighter, files not readable by others" {
	running
	[ "$(stat -c %u "$STATE/$ID")" = 0 ]
	[[ $(stat -c %a "$STATE") =~ ^17?[0-7]?1?1?$|^7[01][01]$ ]]
	[[ $(stat -c %a "$STATE/$ID") =~ ^7[01][01]$ ]]
}
