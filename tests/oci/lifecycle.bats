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
	for pid in $children; do ! is_gone "$pid"; done
	if is_thole; then
		rt kill --all "$ID" 9
	else
		rt kill -a "$ID" 9 || true
	fi
	for pid in $children; do eventually is_gone "$pid"; done
	[ -z "$(cat "$(cgroup_v1 pids)$CGROUP/cgroup.procs")" ]
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
	timeout 20 "$THOLE" --root "$STATE" exec --ignore-paused "$ID" echo woken </dev/null >"$BATS_TEST_TMPDIR/woken" 2>&1 3>&- &
	sleep 0.3
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

# --- argument forms --------------------------------------------------------------------------

@test "--flag value, --flag=value, short and single-dash long flags" {
	config_args sleep 1000
	"$THOLE" --root="$STATE" create "--bundle=$BUNDLE" "--pid-file=$PIDFILE" "$ID" </dev/null >/dev/null 2>&1 3>&-
	"$THOLE" -root "$STATE" start "$ID" 3>&-
	"$THOLE" -root="$STATE" kill "$ID" 9 3>&-
	eventually has_status stopped
	rt delete -force "$ID"
	rt create -b "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	rt delete -f "$ID"
	rt create -bundle "$BUNDLE" -pid-file "$PIDFILE" "$ID" </dev/null >/dev/null 2>&1
	[ -s "$PIDFILE" ]
	rt delete -f -f "$ID"
}

@test "flags that are accepted and ignored" {
	config_args sleep 1000
	rt --criu /nosuch/criu --rootless=false --debug create --no-new-keyring --no-pivot --bundle "$BUNDLE" "$ID" \
		</dev/null >/dev/null 2>&1
	rt delete -f "$ID"
	only_thole "flags of runc and crun together"
	rt --cgroup-manager cgroupfs --log-level error create --no-subreaper --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	rt delete -f "$ID"
}

@test "unknown commands and flags are refused by name" {
	only_thole "runc prints its help as well"
	refused nosuchcommand nosuchcommand
	refused nosuchflag --nosuchflag list
	refused nosuchflag create --nosuchflag --bundle "$BUNDLE" "$ID"
	refused nosuchflag delete --nosuchflag "$ID"
}

@test "missing arguments" {
	local call

	only_thole "runc prints its help as well"
	for call in create start state kill delete exec pause resume update events ps run; do
		# shellcheck disable=SC2086
		refused "" $call
	done
	refused bundle create --bundle
	refused "" state "$ID" extra
}

@test "--help of every command, --version, features: 0 and nothing on stderr" {
	local call

	for call in "" create start state kill delete run exec list ps pause resume update events spec features; do
		# shellcheck disable=SC2086
		run --separate-stderr "$THOLE" $call --help
		[ "$status" -eq 0 ]
		[ -n "$output" ]
		[ -z "$stderr" ]
		run --separate-stderr "$THOLE" $call -h
		[ "$status" -eq 0 ]
	done
	[ "$status" -eq 0 ]
}

@test "--version: the word in the first line only" {
	run --separate-stderr "$THOLE" --version
	[ "$status" -eq 0 ]
	[ -z "$stderr" ]
	[[ ${lines[0]} =~ ^[a-z]+\ version\ [0-9] ]]
	[ "$(grep -c version <<<"$output")" -eq 1 ]
	grep -q '^commit: ' <<<"$output"
	grep -Eq '^spec: 1\.[0-9]+\.[0-9]+' <<<"$output"
	[ "$("$THOLE" -v)" = "$output" ]
}

@test "features: one JSON object that tells what is there" {
	only_thole "runc 1.1.5 has an earlier form"
	run bash -c '"$THOLE" features 2>&1'
	[ "$status" -eq 0 ]
	jq -e '(.ociVersionMin | startswith("1.")) and (.ociVersionMax | startswith("1.")) and
		([.hooks[]] | sort == ["createContainer", "createRuntime", "poststart", "poststop", "prestart", "startContainer"]) and
		(.mountOptions | index("rro") != null and index("rbind") != null and index("idmap") != null) and
		(.linux.namespaces | sort == ["cgroup", "ipc", "mount", "network", "pid", "time", "user", "uts"]) and
		(.linux.capabilities | index("CAP_SYS_ADMIN") != null) and
		.linux.cgroup.v1 != null and .linux.cgroup.v2 != null and
		.linux.seccomp.enabled and (.linux.seccomp.archs | index("SCMP_ARCH_X86_64") != null) and
		(.linux.seccomp.actions | index("SCMP_ACT_NOTIFY") != null) and
		(.linux.seccomp.operators | index("SCMP_CMP_MASKED_EQ") != null) and
		(.linux.mountExtensions.idmap.enabled | type == "boolean") and
		(.linux.intelRdt.enabled | type == "boolean") and (.linux.netDevices.enabled | type == "boolean") and
		(.annotations // {} | all(type == "string"))' <<<"$output"
}

@test "env -i: kill, delete, pause, resume with XDG_RUNTIME_DIR only" {
	running
	local call

	for call in pause resume kill "delete --force"; do
		# shellcheck disable=SC2086
		env -i XDG_RUNTIME_DIR=/run/user/0 "$THOLE" --root "$STATE" $call "$ID" 3>&-
	done
	[ ! -e "$STATE/$ID" ]
}

@test "env -i: create, start and exec need no environment" {
	config_args sleep 1000
	env -i "$THOLE" --root "$STATE" create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1 3>&-
	env -i "$THOLE" --root "$STATE" start "$ID" 3>&-
	[ "$(env -i "$THOLE" --root "$STATE" exec "$ID" echo yes </dev/null 3>&-)" = yes ]
}

@test "standard output and error closed" {
	running
	"$THOLE" --root "$STATE" kill "$ID" KILL >&- 2>&- 3>&-
	eventually has_status stopped
	run bash -c '"$THOLE" --root "$1" state nosuch 2>&-' - "$STATE"
	[ "$status" -eq 1 ]
}

# --- log -------------------------------------------------------------------------------------

@test "log: JSON records are appended, one a failure, the same text on stderr" {
	local log=$BATS_TEST_TMPDIR/log

	echo '{"level":"info","msg":"earlier","time":"2026-01-01T00:00:00Z"}' >"$log"
	run --separate-stderr rt --log "$log" --log-format json state nosuch
	[ "$status" -ne 0 ]
	[ "$(wc -l <"$log")" -eq 2 ]
	[ "$(tail -1 "$log" | jq -r .level)" = error ]
	[[ $stderr == *"$(tail -1 "$log" | jq -r .msg)"* ]]
	tail -1 "$log" | jq -e '.time | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601'
	run rt --log="$log" --log-format=json state nosuch
	[ "$(wc -l <"$log")" -eq 3 ]
}

@test "log: text form, nothing at the default level on success" {
	local log=$BATS_TEST_TMPDIR/log

	config_args true
	rt --log "$log" run --bundle "$BUNDLE" "$ID" </dev/null
	[ ! -s "$log" ]
	run rt --log "$log" state nosuch
	grep -q "does not exist" "$log"
}

@test "log: one that can't be opened does not hide the error" {
	only_thole "runc stops at the log"
	run --separate-stderr rt --log /nosuch/dir/log --log-format json state nosuch
	[ "$status" -ne 0 ]
	[[ $stderr == *"does not exist"* ]]
}

# --- list, ps, events, pause, update ---------------------------------------------------------

@test "list: table, json, quiet" {
	[ "$(rt list --quiet 2>/dev/null)" = "" ] || false
	running
	run rt list
	[ "$status" -eq 0 ]
	[[ ${lines[0]} =~ ^ID\ +PID\ +STATUS\ +BUNDLE\ +CREATED\ +OWNER ]]
	[[ ${lines[1]} == "$ID "*"running"*"$BUNDLE"*root* ]]
	[ "$(rt list -q)" = "$ID" ]
	rt list --format json | jq -e --arg id "$ID" 'length == 1 and .[0].id == $id and .[0].status == "running"'
	[ "$(rt list -f json | jq -r '.[0].bundle')" = "$BUNDLE" ]
}

@test "list: foreign entries of a shared root are passed over" {
	running
	mkdir "$STATE/foreign" "$STATE/foreign2"
	echo '{"init_process_pid": 1}' >"$STATE/foreign/state.json"
	echo '{' >"$STATE/foreign2/state.json"
	run --separate-stderr rt list --format json
	[ "$status" -eq 0 ]
	jq -e --arg id "$ID" 'map(.id) | index($id) != null' <<<"$output"
	rm -r "$STATE/foreign" "$STATE/foreign2"
}

@test "ps: json is the host's pids of every process, table filters ps" {
	config_args sh -c 'sleep 1000 & sleep 1000; :'
	create
	rt start "$ID"
	eventually bash -c "[ \$('$THOLE' --root '$STATE' ps --format json $ID | jq length) -eq 3 ]"
	run bash -c '"$THOLE" --root "$1" ps --format json "$2" 2>&1' - "$STATE" "$ID"
	jq -e --argjson pid "$(pid_of)" 'all(type == "number") and index($pid) != null' <<<"$output"
	run rt ps "$ID"
	[[ ${lines[0]} == *PID* ]]
	[ "${#lines[@]}" -eq 4 ]
	run rt ps "$ID" -o pid,comm
	[ "${#lines[@]}" -eq 4 ]
	[[ $output == *sleep* ]]
}

@test "ps: processes of cgroups below the container's count" {
	local sub

	running
	sub=$(cgroup_v1 devices)$CGROUP/below
	mkdir "$sub"
	rt exec --detach --pid-file "$PIDFILE.exec" "$ID" sleep 1000 </dev/null >/dev/null 2>&1
	cat "$PIDFILE.exec" >"$sub/cgroup.procs"
	rt ps --format json "$ID" | jq -e --argjson pid "$(cat "$PIDFILE.exec")" 'index($pid) != null'
	rt delete --force "$ID"
	[ -z "$(cgroup_dirs)" ]
	is_gone "$(cat "$PIDFILE.exec")"
}

@test "pause and resume" {
	running
	rt pause "$ID"
	[ "$(status_of)" = paused ]
	run rt pause "$ID"
	[ "$status" -ne 0 ]
	rt resume "$ID"
	[ "$(status_of)" = running ]
	run rt resume "$ID"
	[ "$status" -ne 0 ]
	[[ $output == *"not paused"* ]]
	rt kill "$ID" KILL
	eventually has_status stopped
	run rt pause "$ID"
	[ "$status" -ne 0 ]
	[[ $output == *"not running"* ]]
}

@test "events --stats: one object with the numbers of the cgroup" {
	config '.linux.resources.pids.limit = 33 | .linux.resources.memory.limit = 100000000'
	running
	run --separate-stderr rt events --stats "$ID"
	[ "$status" -eq 0 ]
	jq -se --arg id "$ID" 'length == 1 and (.[0] | .type == "stats" and .id == $id and
		.data.pids.limit == 33 and .data.pids.current >= 1 and
		.data.memory.usage.limit > 99000000 and .data.memory.usage.limit <= 100000000 and
		.data.memory.usage.usage > 0 and .data.cpu.usage.total > 0 and
		(.data.memory.raw | has("rss") or has("anon")))' <<<"$output"
}

@test "events: a stream every interval, ended by the container's end" {
	running
	timeout 30 "$THOLE" --root "$STATE" events --interval 100ms "$ID" >"$BATS_TEST_TMPDIR/events" 3>&- &
	local pid=$!
	eventually bash -c "[ \$(grep -c stats '$BATS_TEST_TMPDIR/events') -ge 3 ]"
	rt kill "$ID" KILL
	wait $pid || ! is_thole
	jq -e '.type == "stats"' "$BATS_TEST_TMPDIR/events"
}

@test "events: out of memory is told" {
	config '.linux.resources.memory = {limit: 20000000, swap: 20000000}'
	config_args sh -c 'while [ ! -e /go ]; do sleep 0.1; done; tail /dev/zero; sleep 1000'
	create
	rt start "$ID"
	timeout 30 "$THOLE" --root "$STATE" events --interval 200ms "$ID" >"$BATS_TEST_TMPDIR/events" 2>&1 3>&- &
	local pid=$!
	eventually grep -q stats "$BATS_TEST_TMPDIR/events"
	touch "$ROOTFS/go"
	eventually grep -q '"oom"' "$BATS_TEST_TMPDIR/events"
	grep '"oom"' "$BATS_TEST_TMPDIR/events" | jq -se --arg id "$ID" '.[0].type == "oom" and .[0].id == $id'
	kill $pid
}

# --- spec ------------------------------------------------------------------------------------

@test "spec: a bundle that runs" {
	rm "$BUNDLE/config.json"
	cd "$BUNDLE"
	"$THOLE" spec 3>&-
	config '.process.terminal = false | .process.args = ["echo", "works"] | .linux.cgroupsPath = $cgroup' --arg cgroup "$CGROUP"
	run rt run "$ID" </dev/null
	[ "$status" -eq 0 ]
	[ "$output" = works ]
	run "$THOLE" spec 3>&-
	[ "$status" -ne 0 ]
	[[ $output == *"exist"* ]]
}

@test "spec --bundle, spec --rootless" {
	rm "$BUNDLE/config.json"
	"$THOLE" spec --bundle "$BUNDLE" 3>&-
	jq -e '.ociVersion | startswith("1.")' "$BUNDLE/config.json"
	jq -e '.process.terminal == true and .root.path == "rootfs" and (.linux.namespaces | map(.type) | index("user") == null)' "$BUNDLE/config.json"
	rm "$BUNDLE/config.json"
	"$THOLE" spec --rootless --bundle "$BUNDLE" 3>&-
	jq -e '(.linux.namespaces | map(.type) | index("user") != null and index("network") == null) and
		(.linux.uidMappings | length == 1) and (.linux.gidMappings | length == 1) and
		(.linux.resources == null)' "$BUNDLE/config.json"
}

# --- parenthood, cgroup, console, descriptors ------------------------------------------------

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

@test "a zombie init is a stopped container" {
	config_args true
	run "$HOST" subreap '
		"$THOLE" --root "$STATE" create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >/dev/null 2>&1
		"$THOLE" --root "$STATE" start "$ID"
		for i in $(seq 100); do grep -q "^State:.Z" /proc/$(cat "$PIDFILE")/status && break; sleep 0.05; done' '
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
	run timeout 30 "$HOST" notify "$BATS_TEST_TMPDIR/notify.sock" "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	echo "$output"
	[ "$(sed -n 1p "$ROOTFS/where")" != "$BATS_TEST_TMPDIR/notify.sock" ]
	[ "$(sed -n 2p "$ROOTFS/where")" = socket ]
	[[ $output == *"READY=1"* ]]
	[[ $output == *"MAINPID="* ]]
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
