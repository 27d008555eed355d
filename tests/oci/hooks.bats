#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The six hooks: where they run, in which order, what they are told, what their failure means.

load bundle
setup_file() { bundle_programs; }
setup() {
	need_root
	bundle
	LOG=$BATS_TEST_TMPDIR/hooks.log
	HOOK=$BATS_TEST_TMPDIR/hook
	# createContainer runs in the container's mount namespace with the host's files still there;
	# startContainer needs the program inside.
	cat >"$HOOK" <<-END
		#!/bin/sh
		state=\$(cat)
		echo "\$1 \$(echo "\$state" | sed -E 's/.*"status": *"([a-z]+)".*/\1/') \$*" >>$LOG
		[ -z "\$2" ] || eval "\$2"
	END
	chmod a+x "$HOOK"
	cat >"$ROOTFS/bin/hook" <<-'END'
		#!/bin/sh
		state=$(cat)
		echo "$1 $(echo "$state" | tr -d '\n' | sed -E 's/.*"status": *"([a-z]+)".*/\1/') $*" >>/hooks.log
		[ -z "$2" ] || eval "$2"
	END
	chmod a+x "$ROOTFS/bin/hook"
	export LOG HOOK
}
teardown() { bundle_end; }

# hook POINT ARGUMENT...: appends a hook that logs its point and the status it is told.
hook() {
	local point=$1 path=$HOOK args

	[ "$point" != startContainer ] || path=/bin/hook
	args=$(jq -nc '$ARGS.positional' --args -- hook "$@")
	config ".hooks.$point += [{path: \"$path\", args: $args, env: [\"PATH=/bin:/usr/bin\"]}]"
}

@test "order and status of all six" {
	local point

	for point in prestart createRuntime createContainer startContainer poststart poststop; do
		hook $point
	done
	running
	rt delete --force "$ID"
	cat "$LOG" "$ROOTFS/hooks.log"
	[ "$(cut -d' ' -f1 "$LOG")" = $'prestart\ncreateRuntime\ncreateContainer\npoststart\npoststop' ]
	is_thole || sed -i 's/^poststart created/poststart running/' "$LOG" # runc 1.1.5 is early
	[ "$(cut -d' ' -f2 "$LOG")" = $'creating\ncreating\ncreating\nrunning\nstopped' ]
	[ "$(cut -d' ' -f1,2 "$ROOTFS/hooks.log")" = "startContainer created" ]
}

@test "several of a point run in order; run does them all" {
	hook createRuntime "echo one >>$LOG"
	hook createRuntime "echo two >>$LOG"
	hook poststop "echo three >>$LOG"
	rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(grep -v Runtime "$LOG" | grep -v '^poststop')" = $'one\ntwo\nthree' ]
}

@test "the create hooks are done when create returns, the start hooks when start does" {
	hook createContainer 'sleep 0.3; echo late-create >>'"$LOG"
	hook poststart 'sleep 0.3; echo late-start >>'"$LOG"
	config_args sleep 1000
	create
	grep -q '^late-create' "$LOG"
	run ! grep -q poststart "$LOG"
	rt start "$ID"
	grep -q '^late-start' "$LOG"
}

@test "standard input is the state, then the end" {
	printf '#!/bin/sh\ncat >%s\n' "$BATS_TEST_TMPDIR/state.json" >"$HOOK"
	config '.annotations = {"a.b": "c \"quoted\""}'
	hook createRuntime
	running
	jq -e --arg id "$ID" --arg bundle "$BUNDLE" --argjson pid "$(cat "$PIDFILE")" '
		.id == $id and .pid == $pid and .bundle == $bundle and .status == "creating" and
		.annotations["a.b"] == "c \"quoted\"" and (.ociVersion | startswith("1."))' "$BATS_TEST_TMPDIR/state.json"
}

@test "pid in the state: the host's for prestart, init's own inside" {
	printf '#!/bin/sh\ncat >/state.$1.json\n' >"$ROOTFS/bin/hook"
	hook startContainer
	running
	jq -e '.pid == 1' "$ROOTFS/state.startContainer.json"
}

@test "namespaces: runtime, container before the pivot, container after it" {
	local p
	printf '#!/bin/sh\nfor n in mnt net uts pid; do echo "$1 $n $(readlink /proc/self/ns/$n)" >>%s; done; [ -d /bin ]' "$LOG" >"$HOOK"
	printf '#!/bin/sh\nfor n in mnt net uts; do echo "$1 $n $(readlink /proc/self/ns/$n)" >>/hooks.log; done; ls / >/root.log' >"$ROOTFS/bin/hook"
	for p in prestart createRuntime createContainer startContainer poststart poststop; do
		hook $p
	done
	running
	local inside
	inside=$(exec_in sh -c 'for n in mnt net uts; do echo "$n $(readlink /proc/self/ns/$n)"; done')
	rt delete --force "$ID"
	cat "$LOG"
	for p in prestart createRuntime poststart poststop; do
		grep -qxF "$p mnt $(readlink /proc/self/ns/mnt)" "$LOG"
		grep -qxF "$p net $(readlink /proc/self/ns/net)" "$LOG"
	done
	[ "$(grep '^createContainer [^p]' "$LOG" | cut -d' ' -f2-)" = "$inside" ]
	[ "$(grep '^startContainer' "$ROOTFS/hooks.log" | cut -d' ' -f2-)" = "$inside" ]
	! grep -q boot "$ROOTFS/root.log"
}

@test "before the pivot: mounts are there, the network namespace is there to set up" {
	need nsenter ip
	cat >"$HOOK" <<-END
		#!/bin/sh
		pid=\$(sed -E 's/.*"pid": *([0-9]+).*/\1/' | tr -d '\n')
		nsenter -t \$pid -n ip link add name br0 type bridge 2>/dev/null || nsenter -t \$pid -n ip link set lo mtu 1234
		grep -c "$ROOTFS/proc" /proc/\$pid/mountinfo >>$LOG
	END
	hook prestart
	config_args ip link
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[[ $output == *br0* || $output == *1234* ]]
	only_thole "runc's mounts are already elsewhere"
	[ "$(cat "$LOG")" -ge 1 ]
}

@test "createContainer can change the container's mounts before the pivot" {
	printf '#!/bin/sh\nmount -t tmpfs none %s/mnt && echo from hook >%s/mnt/f\n' "$ROOTFS" "$ROOTFS" >"$HOOK"
	mkdir "$ROOTFS/mnt"
	hook createContainer
	config_args cat /mnt/f
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[ "$output" = "from hook" ]
	! grep -q "$ROOTFS/mnt" /proc/self/mountinfo
}

@test "env: exactly what is given, or the runtime's own" {
	printf '#!/bin/sh\n/usr/bin/env >%s\n' "$LOG" >"$HOOK"
	config '.hooks.createRuntime = [{path: $h, env: ["ONLY=this", "PATH=/bin:/usr/bin"]}]' --arg h "$HOOK"
	config_args true
	OUTER=outer rt run --bundle "$BUNDLE" "$ID" </dev/null
	grep -q '^ONLY=this$' "$LOG"
	run ! grep -q OUTER "$LOG"
	config 'del(.hooks.createRuntime[0].env)'
	OUTER=outer rt run --bundle "$BUNDLE" "$ID" </dev/null
	grep -q '^OUTER=outer$' "$LOG"
}

@test "args: argv[0] as given; without them the path" {
	cp "$(command -v busybox)" "$BATS_TEST_TMPDIR/multi"
	config '.hooks.createRuntime = [{path: $h, args: ["touch", $f]}]' --arg h "$BATS_TEST_TMPDIR/multi" --arg f "$BATS_TEST_TMPDIR/touched"
	config_args true
	rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ -e "$BATS_TEST_TMPDIR/touched" ]
	printf '#!/bin/sh\necho "$0" >%s\n' "$LOG" >"$HOOK"
	config '.hooks.createRuntime = [{path: $h}]' --arg h "$HOOK"
	rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(cat "$LOG")" = "$HOOK" ]
}

@test "the working directory of the runtime's hooks is the bundle" {
	printf '#!/bin/sh\npwd >%s\n' "$LOG" >"$HOOK"
	hook createRuntime
	cd /
	config_args true
	rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(cat "$LOG")" = "$BUNDLE" ]
}

@test "timeout: the hook is killed and create fails" {
	printf '#!/bin/sh\necho $$ >%s\nexec sleep 1000\n' "$LOG" >"$HOOK"
	config '.hooks.createRuntime = [{path: $h, timeout: 1}]' --arg h "$HOOK"
	local before=$SECONDS
	refused_create ''
	[ $((SECONDS - before)) -lt 100 ]
	is_gone "$(cat "$LOG")"
	only_thole
	refused_create "$HOOK"
}

@test "a hook that fails: prestart, createRuntime, createContainer end create" {
	local point

	for point in prestart createRuntime createContainer; do
		config '.hooks = {}'
		hook $point 'echo the reason >&2; exit 3'
		refused_create ''
		if is_thole; then
			refused_create 'the reason'
			refused_create "$HOOK"
		fi
		[ ! -e "$STATE/$ID" ]
	done
}

@test "the first that fails is the last that runs" {
	hook createRuntime 'exit 1'
	hook createRuntime 'true'
	hook createContainer 'true'
	run ! create
	[ "$(wc -l <"$LOG")" -eq 1 ]
}

@test "startContainer fails: start fails" {
	only_thole "runc's start does not wait for the hook"
	hook startContainer 'exit 1'
	config_args sleep 1000
	create
	run rt start "$ID"
	[ "$status" -ne 0 ]
	eventually has_status stopped
	rt delete "$ID"
}

@test "poststart fails: start fails and the container ends" {
	only_thole "runc 1.1.5 runs it with create"
	hook poststart 'exit 1'
	config_args sleep 1000
	create
	run rt start "$ID"
	[ "$status" -ne 0 ]
	eventually has_status stopped
	rt delete --force "$ID"
}

@test "poststop fails: the others run, the container is gone" {
	only_thole "runc stops at the first"
	hook poststop 'exit 1'
	hook poststop "echo second ran >>$LOG"
	running
	rt delete --force "$ID" || true
	grep -q 'second ran' "$LOG"
	[ ! -e "$STATE/$ID" ]
	[ -z "$(cgroup_dirs)" ]
}

@test "a missing hook, a relative path, a timeout of 0" {
	config '.hooks.prestart = [{path: "/nosuch/hook"}]'
	refused_create '/nosuch/hook'
	only_thole "runc checks less"
	config '.hooks.prestart = [{path: "hook"}]'
	refused_create 'hooks.prestart[0].path'
	config '.hooks.prestart = [{path: $h, timeout: 0}]' --arg h "$HOOK"
	refused_create 'hooks.prestart[0].timeout'
	config '.hooks.prestart = [{path: $h, timeout: -1}]' --arg h "$HOOK"
	refused_create 'hooks.prestart[0].timeout'
}

@test "a hook that closes its input or writes much does not hang or kill the runtime" {
	printf '#!/bin/sh\nexec <&-\nhead -c 300000 /dev/zero\nhead -c 300000 /dev/zero >&2\n' >"$HOOK"
	config '.annotations = {big: $b}' --arg b "$(head -c 90000 /dev/zero | tr '\0' x)"
	hook createRuntime
	config_args true
	run timeout 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	[ "$status" -eq 0 ]
}

@test "delete runs poststop once, also when it is called twice" {
	hook poststop
	running
	rt kill "$ID" KILL
	eventually has_status stopped
	rt delete "$ID"
	rt delete --force "$ID"
	[ "$(wc -l <"$LOG")" -eq 1 ]
}

@test "run.oci.hooks.stdout, run.oci.hooks.stderr: output is appended to files" {
	only_thole "crun's annotations"
	hook createRuntime 'echo to out; echo to err >&2'
	config '.annotations = {"run.oci.hooks.stdout": $o, "run.oci.hooks.stderr": $e}' \
		--arg o "$BATS_TEST_TMPDIR/o" --arg e "$BATS_TEST_TMPDIR/e"
	config_args true
	rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$(cat "$BATS_TEST_TMPDIR/o")" = "to out" ]
	[ "$(cat "$BATS_TEST_TMPDIR/e")" = "to err" ]
}

@test "run fails after its container was deleted and made again: the new one is left alone" {
	only_thole "runc deletes by name"
	hook poststart "$THOLE --root $STATE delete --force $ID
		$THOLE --root $STATE create --bundle $BUNDLE $ID </dev/null >/dev/null 2>&1
		exit 1"
	config_args sleep 1000
	run timeout 100 "$THOLE" --root "$STATE" run --bundle "$BUNDLE" "$ID" </dev/null 3>&-
	[ "$status" -eq 1 ]
	has_status created
	[ -n "$(cgroup_dirs)" ]
}
