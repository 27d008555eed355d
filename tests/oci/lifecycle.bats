#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# A container's life, command by command: exit codes, messages and files that callers rely on.

load bundle
setup_file() { bundle_programs; }
setup() { need_root; bundle; }
teardown() { bundle_end; }

# --- create, start, delete -------------------------------------------------------------------

@test "create, start, kill, delete: the states in between" {
	config_args sleep 1000
	create
	[ "$(status_of)" = created ]
	rt start "$ID"
	[ "$(status_of)" = running ]
	rt kill "$ID" KILL
	eventually has_status stopped
	[ "$(pid_of)" = 0 ]
	rt delete "$ID"
	run ! rt state "$ID"
	[ -z "$(cgroup_dirs)" ]
	[ -z "$(ls -A "$STATE")" ]
}

@test "state: every key a caller reads" {
	config '.annotations = {"org.example.key": "value"}'
	running
	run --separate-stderr rt state "$ID"
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	jq -e --arg id "$ID" --arg bundle "$BUNDLE" --argjson pid "$(cat "$PIDFILE")" '
		.id == $id and .pid == $pid and .status == "running" and .bundle == $bundle and
		(.rootfs | endswith("/rootfs")) and (.ociVersion | test("^1\\.[0-9]+\\.[0-9]+")) and
		(.created | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601 > 0) and
		.annotations["org.example.key"] == "value" and has("owner")' <<<"$output"
}

@test "a relative bundle: the state has the absolute path" {
	config_args sleep 1000
	cd "$BATS_TEST_TMPDIR"
	rt create --bundle bundle "$ID" </dev/null >out 2>err
	[ "$(rt state "$ID" | jq -r .bundle)" = "$BUNDLE" ]
}

@test "without --bundle the working directory is the bundle" {
	cd "$BUNDLE"
	config_args echo here
	run rt run "$ID" </dev/null
	[ "$status" -eq 0 ]
	[ "$output" = here ]
}

@test "pid file: digits, no newline" {
	running
	[ "$(wc -c <"$PIDFILE")" = "$(cat "$PIDFILE" | tr -d '\n' | wc -c)" ]
	[[ $(cat "$PIDFILE") =~ ^[0-9]+$ ]]
	[ "$(pid_of)" = "$(cat "$PIDFILE")" ]
	[ "/proc/$(cat "$PIDFILE")/root" -ef "$ROOTFS" ]
}

@test "pid file: an existing one is replaced, not written into" {
	echo -n 1 >"$PIDFILE"
	ln "$PIDFILE" "$PIDFILE.old"
	running
	[ "$(cat "$PIDFILE.old")" = 1 ]
	[ "$(cat "$PIDFILE")" = "$(pid_of)" ]
}

@test "a changed config.json has no effect after create" {
	config_args sh -c 'echo first >/result; sleep 1000'
	create
	config_args sh -c 'echo second >/result'
	rm -f "$BUNDLE/config.json.old"
	rt start "$ID"
	eventually test -s "$ROOTFS/result"
	[ "$(cat "$ROOTFS/result")" = first ]
}

@test "create without process: start must fail" {
	config 'del(.process)'
	if ! create; then
		skip "$(basename "$THOLE") wants a process"
	fi
	[ "$(status_of)" = created ]
	run ! rt start "$ID"
	rt delete --force "$ID"
}

@test "start twice, start of a stopped one" {
	running
	run rt start "$ID"
	[ "$status" -ne 0 ]
	[[ $output == *"cannot start an already running container"* ]]
	rt kill "$ID" KILL
	eventually has_status stopped
	run rt start "$ID"
	[ "$status" -ne 0 ]
	[[ $output == *"cannot start a container that has stopped"* ]]
}

@test "start, state, kill, delete, pause, resume, exec, ps, update of an unknown id" {
	local call

	for call in "start nosuch" "state nosuch" "kill nosuch" "delete nosuch" "pause nosuch" "resume nosuch" \
		"exec nosuch true" "ps nosuch" "update --pids-limit 5 nosuch" "events --stats nosuch"; do
		echo "$call"
		# shellcheck disable=SC2086
		run --separate-stderr rt $call
		[ "$status" -ne 0 ]
		[[ $stderr == *"does not exist"* ]]
		[ -z "$output" ]
		[ "${#stderr_lines[@]}" -eq 1 ]
	done
}

@test "delete: a running one is refused, a created one goes" {
	running
	run rt delete "$ID"
	[ "$status" -ne 0 ]
	[[ $output == *"not stopped: running"* ]]
	[ "$(status_of)" = running ]
	rt kill "$ID" KILL
	eventually has_status stopped
	rt delete "$ID"

	create
	local pid
	pid=$(cat "$PIDFILE")
	rt delete "$ID"
	is_gone "$pid"
	run ! rt state "$ID"
}

@test "delete --force: unknown is silent success, a running one is killed" {
	run rt delete --force nosuch
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	running
	run rt delete -f "$ID"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
	is_gone "$(cat "$PIDFILE")"
	[ -z "$(cgroup_dirs)" ]
	[ ! -e "$STATE/$ID" ]
	run rt delete --force "$ID"
	[ "$status" -eq 0 ]
	[ -z "$output" ]
}

@test "delete --force of a paused container" {
	running
	rt pause "$ID"
	rt delete --force "$ID"
	is_gone "$(cat "$PIDFILE")"
	[ -z "$(cgroup_dirs)" ]
}

@test "two deletes --force at once" {
	local i a b

	for i in 1 2 3 4 5; do
		running
		rt delete --force "$ID" 2>"$BATS_TEST_TMPDIR/a" &
		a=$!
		rt delete --force "$ID" 2>"$BATS_TEST_TMPDIR/b" &
		b=$!
		wait $a
		wait $b
		[ ! -s "$BATS_TEST_TMPDIR/a" ]
		[ ! -s "$BATS_TEST_TMPDIR/b" ]
		[ ! -e "$STATE/$ID" ]
		[ -z "$(cgroup_dirs)" ]
	done
}

@test "two creates of the same id: one wins, the other leaves it alone" {
	local i a b won

	config_args sleep 1000
	for i in 1 2 3; do
		won=0
		rt create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>"$BATS_TEST_TMPDIR/a" &
		a=$!
		rt create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>"$BATS_TEST_TMPDIR/b" &
		b=$!
		wait $a && won=$((won + 1))
		wait $b && won=$((won + 1))
		cat "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b"
		[ "$won" -eq 1 ]
		cat "$BATS_TEST_TMPDIR/a" "$BATS_TEST_TMPDIR/b" | grep -q exist
		[ "$(status_of)" = created ]
		rt start "$ID"
		[ "$(exec_in echo alive)" = alive ]
		rt delete --force "$ID"
	done
}

# --- run -------------------------------------------------------------------------------------

@test "run: exit status and output are the process's" {
	config_args sh -c 'echo out; echo err >&2; exit 7'
	run --separate-stderr rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$status" -eq 7 ]
	[ "$output" = out ]
	[ "$stderr" = err ]
	[ ! -e "$STATE/$ID" ]
	[ -z "$(cgroup_dirs)" ]
}

@test "run: a process killed by a signal is 128 + N" {
	config_args sh -c 'kill -9 $$'
	config 'del(.linux.namespaces[] | select(.type == "pid"))'
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$status" -eq 137 ]
}

@test "run: standard input arrives" {
	config_args cat
	run rt run --bundle "$BUNDLE" "$ID" <<<"typed"
	[ "$status" -eq 0 ]
	[ "$output" = typed ]
}

@test "run: signals are forwarded to the process" {
	config_args sh -c 'trap "echo got it; exit 5" TERM; echo ready; while :; do sleep 0.1; done'
	"$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 3>&- &
	local pid=$! status=0
	eventually grep -q ready "$BATS_TEST_TMPDIR/out"
	kill -TERM $pid
	wait $pid || status=$?
	[ "$status" -eq 5 ]
	grep -q "got it" "$BATS_TEST_TMPDIR/out"
}

# Who waits for it to run may send a signal then, which is the container's.
@test "run: it is creating until signals are passed on" {
	local calls n look

	only_thole "its own state"
	config_args true
	export STATE THOLE ID
	look="[ \"\$(\$THOLE --root \$STATE state \$ID | jq -r .status)\" != running ] ||
		echo \$((0x\$(sed -n 's/^SigBlk:.//p' /proc/\$PID/status) & 0x4000))"
	"$HOST" killat 1000000 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&-
	calls=$(sed -n 's/^calls: //p' "$BATS_TEST_TMPDIR/err")
	for ((n = calls / 2; n < calls; n++)); do
		"$HOST" doat $n "($look) >>$BATS_TEST_TMPDIR/seen" "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" \
			</dev/null >/dev/null 2>&1 3>&-
	done
	[ "$(sort -u "$BATS_TEST_TMPDIR/seen")" = $((0x4000)) ]
}

@test "run --detach, run --keep" {
	config_args sleep 1000
	rt run --detach --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >/dev/null 2>&1
	[ "$(status_of)" = running ]
	rt delete --force "$ID"
	only_thole "runc 1.1 has --keep with other rules"
	config_args true
	rt run --keep --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(status_of)" = stopped ]
	rt delete "$ID"
}

@test "run: SIGPIPE, blocked signals and ignored ones are the defaults in the container" {
	config_args grep -E '^Sig(Blk|Ign)' /proc/self/status
	run bash -c 'trap "" PIPE HUP TERM; exec "$@" </dev/null 3>&-' - "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID"
	[[ $output == *"SigBlk:"*0000000000000000* ]]
	only_thole "runc passes the caller's ignored signals"
	[[ $output == *$'SigIgn:\t0000000000000000'* ]]
}

# --- kill ------------------------------------------------------------------------------------

@test "kill: names and numbers of signals" {
	local sig

	config_args sh -c 'trap "echo usr1 >>/got" USR1; trap "echo rt >>/got" 37; echo >/ready; while :; do sleep 0.05; done'
	create
	rt start "$ID"
	eventually test -e "$ROOTFS/ready"
	for sig in 10 USR1 SIGUSR1 usr1 sigusr1; do
		: >"$ROOTFS/got"
		rt kill "$ID" "$sig"
		eventually grep -q usr1 "$ROOTFS/got"
	done
	for sig in 37 $(is_thole && echo RTMIN+3 SIGRTMIN+3 RTMAX-27); do
		: >"$ROOTFS/got"
		rt kill "$ID" "$sig"
		eventually grep -q rt "$ROOTFS/got"
	done
	run rt kill "$ID" NOSUCH
	[ "$status" -ne 0 ]
	run rt kill "$ID" 65
	[ "$status" -ne 0 ]
	run rt kill "$ID" 0x9
	[ "$status" -ne 0 ]
	[ "$(status_of)" = running ]
}

@test "kill: the default is TERM" {
	config_args sh -c 'trap "echo term >/got" TERM; echo >/ready; while :; do sleep 0.05; done'
	create
	rt start "$ID"
	eventually test -e "$ROOTFS/ready"
	rt kill "$ID"
	eventually grep -q term "$ROOTFS/got"
}

@test "kill: a stopped container says it is not running" {
	config_args true
	create
	rt start "$ID"
	eventually has_status stopped
	run rt kill "$ID" TERM
	[ "$status" -ne 0 ]
	[[ $output == *"container not running"* ]]
}

# Kernels differ in whether one that has ended is in its cgroup until somebody has waited for it.
is_empty() {
	[ -z "$(cat "$1/cgroup.procs")" ]
}

@test "kill --all reaches every process, also after init is dead" {
	local init children

	config 'del(.linux.namespaces[] | select(.type == "pid"))'
	config_args sh -c 'sleep 1000 & sleep 1000 & echo >/ready; wait'
	create
	rt start "$ID"
	eventually test -e "$ROOTFS/ready"
	init=$(cat "$PIDFILE")
	children=$(cat "/proc/$init/task/$init/children")
	[ "$(wc -w <<<"$children")" -eq 2 ]
	kill -KILL "$init"
	eventually has_status stopped
	for pid in $children; do is_alive "$pid"; done
	if is_thole; then
		rt kill --all "$ID" 9
	else
		rt kill -a "$ID" 9 || true
	fi
	for pid in $children; do eventually is_gone "$pid"; done
	eventually is_empty "$(cgroup_v1 pids)$CGROUP"
}

@test "kill --regex, delete --regex: every container that matches, and only those" {
	local name

	only_thole "crun's"
	config_args sleep 1000
	config 'del(.linux.cgroupsPath)'
	for name in red reed blue; do
		quietly create --bundle "$BUNDLE" "$ID-$name"
		rt start "$ID-$name"
	done
	rt kill --regex "$ID-re+d\$" KILL
	eventually has_status stopped "$ID-red"
	eventually has_status stopped "$ID-reed"
	[ "$(status_of "$ID-blue")" = running ]
	rt delete -r "$ID-re"
	[ "$(rt list -q)" = "$ID-blue" ]
	run rt delete --regex "$ID"
	[ "$status" -ne 0 ]
	[[ $output == *"$ID-blue"*"not stopped"* ]]
	rt delete --force --regex "$ID"
	[ -z "$(rt list -q)" ]
	rt kill -r "$ID" KILL # no match is no error, as with crun
	run rt kill --regex '[' KILL
	[ "$status" -ne 0 ]
	[[ $output == *"regular expression"* ]]
}

@test "kill of a paused container: SIGKILL ends it" {
	running
	rt pause "$ID"
	rt kill "$ID" KILL
	if is_thole; then
		eventually has_status stopped
	else
		rt resume "$ID" || true
	fi
}

# --- exec ------------------------------------------------------------------------------------

@test "exec: exit status, output, input" {
	running
	run --separate-stderr exec_in sh -c 'echo out; echo err >&2; exit 9'
	[ "$status" -eq 9 ]
	[ "$output" = out ]
	[ "$stderr" = err ]
	run rt exec "$ID" cat <<<typed
	[ "$output" = typed ]
	run exec_in sh -c 'kill -TERM $$'
	[ "$status" -eq 143 ]
}

@test "exec: what follows the id belongs to the command" {
	running
	run exec_in echo --detach -t --help
	[ "$output" = "--detach -t --help" ]
}

@test "exec: joins every namespace and the cgroup of the container" {
	running
	local ns pid

	rt exec --detach --pid-file "$PIDFILE.exec" "$ID" sleep 1000 </dev/null >/dev/null 2>&1
	pid=$(cat "$PIDFILE.exec")
	for ns in pid net ipc uts mnt cgroup; do
		[ "$(readlink "/proc/$pid/ns/$ns")" = "$(readlink "/proc/$(pid_of)/ns/$ns")" ]
	done
	[ "$(sort "/proc/$pid/cgroup")" = "$(sort "/proc/$(pid_of)/cgroup")" ]
	[ "$(readlink "/proc/$pid/root")" = "$(readlink "/proc/$(pid_of)/root")" ]
}

@test "exec: --cwd, --env, --user, --cap, --no-new-privs, --additional-gids" {
	running
	mkdir "$ROOTFS/work"
	[ "$(rt exec --cwd /work "$ID" pwd </dev/null)" = /work ]
	[ "$(rt exec --env A=1 --env B=2 "$ID" sh -c 'echo $A$B' </dev/null)" = 12 ]
	[ "$(rt exec --user 1000:1000 "$ID" sh -c 'echo $(id -u):$(id -g)' </dev/null)" = 1000:1000 ]
	[ "$(rt exec -u 1000 "$ID" id -u </dev/null)" = 1000 ]
	[[ $(rt exec --no-new-privs "$ID" grep NoNewPrivs /proc/self/status </dev/null) == *1 ]]
	[[ $(rt exec -u 1000 -g 7 -g 8 "$ID" grep Groups: /proc/self/status </dev/null) == *"7 8"* ]]
}

@test "exec --process: the process of a file" {
	running
	jq -n '{terminal: false, cwd: "/tmp", args: ["sh", "-c", "pwd; echo $X; id -u"], env: ["PATH=/bin", "X=y"],
		user: {uid: 1000, gid: 1000}, capabilities: {}, noNewPrivileges: true}' >"$BATS_TEST_TMPDIR/process.json"
	run rt exec --process "$BATS_TEST_TMPDIR/process.json" "$ID" </dev/null
	[ "$status" -eq 0 ]
	[ "$output" = $'/tmp\ny\n1000' ]
	run rt exec "--process=$BATS_TEST_TMPDIR/process.json" "$ID" </dev/null
	[ "$status" -eq 0 ]
	quietly exec -d -p "$BATS_TEST_TMPDIR/process.json" --pid-file "$PIDFILE.exec" "$ID"
	[ -s "$PIDFILE.exec" ]
}

@test "exec: broken process files" {
	running
	local file=$BATS_TEST_TMPDIR/process.json

	echo '{"cwd": "/", "args": ["true"' >"$file"
	refused "" exec --process "$file" "$ID"
	echo '{"cwd": "", "args": ["true"]}' >"$file"
	refused "wd" exec --process "$file" "$ID"
	echo '{"cwd": "/", "args": []}' >"$file"
	refused "args" exec --process "$file" "$ID"
	refused "no such file" exec --process "$file.none" "$ID"
}

@test "exec: a failure before the command ran is 255, and there is no pid file" {
	running
	local name

	for name in nosuch /nosuch /etc /etc/passwd ""; do
		: >"$PIDFILE.exec"
		rm "$PIDFILE.exec"
		run --separate-stderr rt exec --pid-file "$PIDFILE.exec" "$ID" "$name" </dev/null
		[ "$status" -eq 255 ]
		[ ! -e "$PIDFILE.exec" ]
		run rt exec --detach --pid-file "$PIDFILE.exec" "$ID" "$name" </dev/null
		[ "$status" -ne 0 ]
		[ ! -e "$PIDFILE.exec" ]
	done
}

@test "exec: into a stopped, created and paused container" {
	config_args sleep 1000
	create
	[ "$(exec_in echo in created)" = "in created" ]
	rt start "$ID"
	rt pause "$ID"
	run exec_in true
	[ "$status" -ne 0 ]
	[[ $output == *"paused"* ]]
	rt resume "$ID"
	rt kill "$ID" KILL
	eventually has_status stopped
	run exec_in true
	[ "$status" -ne 0 ]
	[[ $output == *"cannot exec in a"*"stopped container"* ]]
}

@test "exec --ignore-paused waits until it is resumed" {
	only_thole "runc 1.1 has its own timing here"
	running
	rt pause "$ID"
	timeout 100 "$THOLE" --root "$STATE" exec --ignore-paused "$ID" echo woken </dev/null >"$BATS_TEST_TMPDIR/woken" 2>&1 3>&- &
	eventually has_processes 2
	[ ! -s "$BATS_TEST_TMPDIR/woken" ]
	rt resume "$ID"
	wait $!
	[ "$(cat "$BATS_TEST_TMPDIR/woken")" = woken ]
}

@test "the terminal of exec is what process.json says, not -t" {
	running
	jq -n '{terminal: true, cwd: "/", args: ["probe", "tty"], env: ["PATH=/bin"], user: {uid: 0, gid: 0}}' \
		>"$BATS_TEST_TMPDIR/process.json"
	run "$HOST" console "$BATS_TEST_TMPDIR/tty.sock" "" "$THOLE" --root "$STATE" exec --detach \
		--process "$BATS_TEST_TMPDIR/process.json" --console-socket "$BATS_TEST_TMPDIR/tty.sock" \
		--pid-file "$PIDFILE.exec" "$ID" </dev/null
	echo "$output"
	[ "$status" -eq 0 ]
	[[ $output == *"fds=1 controls=1 master=1 more=0"* ]]
	[[ $output == *"tty=1 controlling=1"* ]]
}
