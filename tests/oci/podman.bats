#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What people do with podman: containers from run to rm.

load lib

setup_file() {
	engine_begin podman
	podman_begin
}

teardown_file() {
	podman_end
	engine_end
}

setup() {
	# no number in hexadecimal: podman takes such for the beginning of an id
	NAME=p$BATS_TEST_NUMBER
	cd "$BASE"
}

teardown() {
	pod_remove "$NAME" "$NAME-b"
}

# A container that answers TERM with exit status 3 and counts in /run/n.
counting() {
	box_run -d --name "$NAME" --tmpfs /run "$@" -- sh -c \
		'trap "exit 3" TERM; i=0; while :; do i=$((i + 1)); echo $i >/run/n; sleep 0.02; done'
	eventually pod exec "$NAME" test -s /run/n
}

count() {
	cat "/proc/$(pod_pid "$NAME")/root/run/n"
}

@test "run: output, standard error and exit status come through" {
	run --separate-stderr box_run --rm -- sh -c 'echo out; echo err >&2; exit 42'
	[ "$status" -eq 42 ]
	[ "$output" = out ]
	[ "$stderr" = err ]
}

@test "run: the death by a signal is 128 and its number" {
	run box_run --rm --pid host -- sh -c 'kill -USR1 $$'
	[ "$status" -eq 138 ]
}

@test "run -i: standard input reaches the process" {
	run box_run --rm -i -- cat <<<to-cat
	[ "$output" = to-cat ]
}

@test "run -it: a terminal of the caller's size" {
	run on_terminal "podman run --rm -it --cgroup-parent $CGROUP localhost/box:1 sh -c 'tty; $SIZED; exit 5'"
	[ "$status" -eq 5 ]
	[[ $output == *"/dev/pts/0"*"33 99"* ]]
}

@test "run -t: the terminal is /dev/console, and the session is the container's own" {
	run box_run --rm -t -- sh -c 'ls -l /dev/console; cut -d " " -f 5-8 /proc/1/stat'
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == c* ]]
	read -r group session terminal _ <<<"$(tr -d '\r' <<<"${lines[1]}")"
	[ "$group" = 1 ]
	[ "$session" = 1 ]
	[ "$terminal" -ne 0 ]
}

@test "run -d, logs, inspect, rm" {
	counting
	pid=$(pod_pid "$NAME")
	[ -d "/proc/$pid" ]
	[ "$(pod inspect -f '{{.State.Status}} {{.OCIRuntime}}' "$NAME")" = "running $RUNTIME_NAME" ]
	pod stop -t 60 "$NAME"
	[ "$(pod inspect -f '{{.State.Status}} {{.State.ExitCode}}' "$NAME")" = "exited 3" ]
	pod rm "$NAME"
	is_gone "$pid"
	run ! pod container exists "$NAME"
}

@test "create, start, start again" {
	pod create --name "$NAME" --cgroup-parent "$CGROUP" localhost/box:1 sh -c 'echo once more; exit 7'
	run pod start -a "$NAME"
	[ "$status" -eq 7 ]
	[ "$output" = "once more" ]
	run pod start -a "$NAME"
	[ "$status" -eq 7 ]
}

@test "restart: a new process in the same container" {
	counting
	before=$(pod_pid "$NAME")
	pod restart -t 1 "$NAME"
	after=$(pod_pid "$NAME")
	[ "$before" != "$after" ]
	is_gone "$before"
	eventually pod exec "$NAME" test -s /run/n
}

@test "logs: both streams, in order, and followed to the end" {
	local log=$BASE/$NAME.log follower

	box_run -d --name "$NAME" --tmpfs /run -- sh -c 'echo one; until [ -e /run/two ]; do sleep 0.02; done
		echo two >&2; until [ -e /run/three ]; do sleep 0.02; done; echo three'
	pod logs -f "$NAME" >"$log" 2>&1 &
	follower=$!
	eventually grep -q one "$log"
	pod exec "$NAME" touch /run/two
	eventually grep -q two "$log"
	pod exec "$NAME" touch /run/three
	wait $follower
	[ "$(cat "$log")" = $'one\ntwo\nthree' ]
	run pod logs "$NAME"
	[ "$output" = $'one\ntwo\nthree' ]
}

@test "attach: output of a running container" {
	local seen=$BASE/$NAME.seen attached

	box_run -d --name "$NAME" --tmpfs /run -- sh -c 'until [ -e /run/n ]; do echo again; sleep 0.02; done; echo late; exit 4'
	pod attach --no-stdin "$NAME" >"$seen" &
	attached=$!
	eventually grep -qx again "$seen"
	pod exec "$NAME" touch /run/n
	wait $attached || [ $? -eq 4 ]
	[[ $(cat "$seen") == *again$'\n'late ]]
	[ "$(pod wait "$NAME")" = 4 ]
}

@test "wait: the exit status" {
	box_run -d --name "$NAME" -- sh -c 'sleep 0.3; exit 9'
	run pod wait "$NAME"
	[ "$output" = 9 ]
}

@test "exec: output, status, standard input" {
	counting
	run pod exec "$NAME" sh -c 'echo in; exit 11'
	[ "$status" -eq 11 ]
	[ "$output" = in ]
	run pod exec -i "$NAME" cat <<<piped
	[ "$output" = piped ]
}

@test "exec: user, directory, environment" {
	counting
	run pod exec -u app -w /tmp -e KEY=value "$NAME" sh -c 'id -u; id -g; pwd; echo $KEY; echo $HOME'
	[ "$output" = $'1000\n1000\n/tmp\nvalue\n/home/app' ]
	run pod exec -u 7:8 "$NAME" sh -c 'id -u; id -g'
	[ "$output" = $'7\n8' ]
}

@test "exec -it: a terminal of the caller's size" {
	counting
	run on_terminal "podman exec -it $NAME sh -c 'tty; $SIZED; exit 6'"
	[ "$status" -eq 6 ]
	[[ $output == *"/dev/pts/"*"33 99"* ]]
}

@test "exec -d: the process lives on in the container's cgroup" {
	counting
	pod exec -d "$NAME" sh -c 'cp /proc/self/cgroup /run/cgroup; echo done >/run/detached; sleep 100'
	eventually pod exec "$NAME" grep done /run/detached
	pid=$(pod_pid "$NAME")
	diff "/proc/$pid/cgroup" "/proc/$pid/root/run/cgroup"
}

@test "exec: same namespaces, filter and capabilities as the container" {
	counting
	show='for ns in mnt pid net ipc uts; do readlink /proc/$1/ns/$ns; done;
		grep -E "^(Seccomp|CapBnd|CapEff|CapPrm|NoNewPrivs):" /proc/$1/status'
	first=$(sh -c "$show" - "$(pod_pid "$NAME")")
	[ "$(wc -l <<<"$first")" -eq 10 ]
	run pod exec "$NAME" sh -c "$show" - self
	[ "$output" = "$first" ]
}

@test "exec --privileged: all capabilities" {
	counting
	run pod exec --privileged "$NAME" grep CapEff /proc/self/status
	[ "$(awk '{ print $2 }' <<<"$output")" = "$(awk '/^CapBnd/ { print $2 }' /proc/self/status)" ]
}

@test "exec: a missing program is 127, a directory 126, and the container runs on" {
	counting
	run -127 pod exec "$NAME" /nosuch
	run -127 pod exec "$NAME" nosuch
	run pod exec "$NAME" /etc
	[ "$status" -eq 126 ]
	run pod exec "$NAME" true
	[ "$status" -eq 0 ]
}

@test "exec: many at once" {
	counting
	for i in 1 2 3 4 5 6; do
		pod exec "$NAME" sh -c "echo $i >/run/$i; exit $i" &
		pids[i]=$!
	done
	for i in 1 2 3 4 5 6; do
		got=0
		wait "${pids[i]}" || got=$?
		[ "$got" = "$i" ]
		[ "$(pod exec "$NAME" cat "/run/$i")" = "$i" ]
	done
}

@test "stop: TERM, and KILL after the grace" {
	box_run -d --name "$NAME" -- sleep 1000
	pod stop -t 1 "$NAME"
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$NAME")" = 137 ]
}

@test "stop: the image's or the caller's own signal" {
	box_run -d --name "$NAME" --stop-signal USR2 --tmpfs /run -- \
		sh -c 'trap "exit 12" USR2; touch /run/n; while :; do sleep 0.02; done'
	eventually pod exec "$NAME" test -e /run/n
	pod stop -t 60 "$NAME"
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$NAME")" = 12 ]
}

@test "kill: a signal by name and by number" {
	box_run -d --name "$NAME" --tmpfs /run -- sh -c \
		'trap "echo usr1" USR1; trap "echo hup; exit 1" HUP; touch /run/n; while :; do sleep 0.02; done'
	eventually pod exec "$NAME" test -e /run/n
	pod kill -s USR1 "$NAME"
	eventually pod_says "$NAME" usr1
	pod kill -s 1 "$NAME"
	[ "$(pod wait "$NAME")" = 1 ]
	[ "$(pod logs "$NAME")" = $'usr1\nhup' ]
}

@test "kill: of a dead container is refused" {
	box_run -d --name "$NAME" -- true
	pod wait "$NAME"
	run pod kill "$NAME"
	[ "$status" -eq 125 ]
}

@test "pause stops every process, unpause goes on" {
	counting
	pod pause "$NAME"
	[ "$(pod inspect -f '{{.State.Status}}' "$NAME")" = paused ]
	before=$(count)
	sleep 0.3
	[ "$(count)" = "$before" ]
	run pod exec "$NAME" true
	[ "$status" -ne 0 ]
	pod unpause "$NAME"
	[ "$(pod inspect -f '{{.State.Status}}' "$NAME")" = running ]
	eventually bash -c '[ "$(cat "$1")" != "$2" ]' - "/proc/$(pod_pid "$NAME")/root/run/n" "$before"
}

@test "rm -f: of a paused container" {
	counting
	pid=$(pod_pid "$NAME")
	pod pause "$NAME"
	pod rm -f -t 0 "$NAME"
	is_gone "$pid"
}

@test "rm -f: nothing is left of state, cgroup, mounts and processes" {
	counting
	id=$(pod inspect -f '{{.Id}}' "$NAME")
	pid=$(pod_pid "$NAME")
	[ -d "/run/$RUNTIME_NAME/$id" ]
	[ -n "$(cgroup_dirs "$CGROUP/libpod-$id")" ]
	pod exec -d "$NAME" sleep 1000
	pod rm -f -t 0 "$NAME"
	[ ! -e "/run/$RUNTIME_NAME/$id" ]
	[ -z "$(cgroup_dirs "$CGROUP/libpod-$id")" ]
	run ! grep -q "$id" /proc/self/mountinfo
	is_gone "$pid"
}

@test "exit statuses of podman: 125 its own error, 126 not executable, 127 not found" {
	run box_run --rm --no-such-option -- true
	[ "$status" -eq 125 ]
	run box_run --rm -- /etc
	[ "$status" -eq 126 ]
	run box_run --rm -- /etc/passwd
	[ "$status" -eq 126 ]
	run -127 box_run --rm -- nosuch
	[[ $output == *'executable file not found in $PATH'* ]]
	run -127 box_run --rm -- /nosuch
	run -127 box_run --rm -- ""
}

@test "a failed create leaves nothing" {
	run -127 box_run --name "$NAME" -- nosuch
	id=$(pod inspect -f '{{.Id}}' "$NAME")
	[ ! -e "/run/$RUNTIME_NAME/$id" ]
	[ -z "$(cgroup_dirs "$CGROUP/libpod-$id")" ]
}

@test "events: a life in order" {
	box_run --name "$NAME" -- true
	pod rm "$NAME"
	run pod events --stream=false --since 1h --filter "container=$NAME" --format '{{.Status}}'
	[[ $(tr '\n' ' ' <<<"$output") == *"create "*"init "*"start "*"died "*"remove"* ]]
}

@test "healthcheck: healthy, then unhealthy" {
	counting --health-cmd 'test ! -e /run/ill' --health-interval disable --health-retries 1
	run pod healthcheck run "$NAME"
	[ "$status" -eq 0 ]
	[ "$(pod inspect -f '{{.State.Healthcheck.Status}}' "$NAME")" = healthy ]
	pod exec "$NAME" touch /run/ill
	run pod healthcheck run "$NAME"
	[ "$status" -eq 1 ]
	[ "$(pod inspect -f '{{.State.Healthcheck.Status}}' "$NAME")" = unhealthy ]
}

@test "top, stats, cp, diff, commit" {
	counting
	run pod top "$NAME" -eo pid,comm
	[ "$status" -eq 0 ]
	run pod stats --no-stream --format '{{.PIDs}} {{.MemUsage}}' "$NAME"
	[ "$status" -eq 0 ]
	[ "${output%% *}" -ge 1 ]
	echo copied >"$BASE/file"
	pod cp "$BASE/file" "$NAME:/tmp/copied"
	[ "$(pod exec "$NAME" cat /tmp/copied)" = copied ]
	[[ $(pod diff "$NAME") == *"A /tmp/copied"* ]]
	pod commit -q "$NAME" "localhost/committed:$NAME"
	run pod run --rm --cgroup-parent "$CGROUP" "localhost/committed:$NAME" cat /tmp/copied
	[ "$output" = copied ]
	pod rmi "localhost/committed:$NAME"
}

@test "build: RUN steps run in the runtime" {
	printf 'FROM localhost/box:1\nRUN echo built >/built && id -u >>/built\nUSER app\nRUN id -u >/tmp/user\n' \
		>"$BASE/Containerfile"
	pod build -q --isolation oci --runtime "$RUNTIME" --network none --cgroup-parent "$CGROUP/build" \
		-t "localhost/built:1" -f "$BASE/Containerfile" "$BASE/networks"
	run pod run --rm --cgroup-parent "$CGROUP" localhost/built:1 cat /built /tmp/user
	[ "$output" = $'built\n0\n1000' ]
	pod rmi localhost/built:1
}

@test "eight containers at once" {
	for i in 1 2 3 4 5 6 7 8; do
		box_run --rm -- sh -c "sleep 0.2; exit $i" &
		pids[i]=$!
	done
	for i in 1 2 3 4 5 6 7 8; do
		got=0
		wait "${pids[i]}" || got=$?
		[ "$got" = "$i" ]
	done
}
