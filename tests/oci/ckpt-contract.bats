#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What callers pass to checkpoint and restore, and what they look for afterwards.

load bundle
setup_file() { bundle_programs; }
setup() {
	need_root
	only_thole "checkpoints by itself"
	bundle
	IMAGE=$BATS_TEST_TMPDIR/image
	WORK=$BATS_TEST_TMPDIR/work
	OUT=$BATS_TEST_TMPDIR/out
}
teardown() { bundle_end; }

# A container that counts in /n and on its standard output, and its child on standard error.
counting() {
	config_args sh -c '
		sh -c "i=0; while :; do i=\$((i + 1)); echo child \$i >&2; sleep 0.02; done" &
		i=0; while :; do i=$((i + 1)); echo $i >/n.new; mv /n.new /n; echo parent $i; sleep 0.02; done'
	rt create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$@" "$ID" </dev/null >"$OUT" 2>"$OUT.err" &&
		rt start "$ID" && eventually test -s "$ROOTFS/n"
}

count() {
	cat "$ROOTFS/n"
}

counts() {
	local was

	was=$(count)
	eventually counted "$was"
}

is_named() {
	[ "$(nsenter -t "$1" --uts hostname)" = "$2" ]
}

counted() {
	[ "$(count)" -gt "$1" ]
}

# As before, in a bundle and a root file system of its own, where nothing is but what an image has.
another_bundle() {
	local fresh=$BATS_TEST_TMPDIR/fresh

	mkdir -p "$fresh"
	cp -al "$BUNDLE_TOOLS/rootfs" "$fresh/rootfs"
	cp "$BUNDLE/config.json" "$fresh/config.json"
	BUNDLE=$fresh ROOTFS=$fresh/rootfs
}

# Without its output: what is restored must not hold what bats waits for.
checkpoint() {
	rt checkpoint --image-path "$IMAGE" "$@" "$ID" </dev/null >"$BATS_TEST_TMPDIR/said" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/said"
		return 1
	}
}

restore() {
	rt restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach "$@" "$ID" \
		</dev/null >>"$OUT" 2>>"$OUT.err" || {
		cat "$OUT.err"
		return 1
	}
}

# on_terminal INPUT COMMAND...: the container's terminal is read to its end in the background, by process $TERMINAL.
on_terminal() {
	local input=$1 command=$2

	shift 2
	rm -f "$BATS_TEST_TMPDIR/tty.sock"
	"$HOST" console "$BATS_TEST_TMPDIR/tty.sock" "$input" "$THOLE" --root "$STATE" "$command" --detach \
		--bundle "$BUNDLE" --pid-file "$PIDFILE" --console-socket "$BATS_TEST_TMPDIR/tty.sock" "$@" "$ID" \
		</dev/null >"$OUT" 2>&1 3>&- &
	TERMINAL=$!
}

gone() {
	run ! rt state "$ID"
	[[ $output == *"does not exist"* ]]
	[ -z "$(cgroup_dirs)" ]
	is_gone "$1"
}

# stats FILE MESSAGE: the fields of go-criu's message, as "number value" lines.
stats() {
	python3 - "$@" <<-'END'
		import struct, sys
		data = open(sys.argv[1], "rb").read()
		common, magic, size = struct.unpack("<III", data[:12])
		assert (common, magic, size) == (0x55105940, 0x57093306, len(data) - 12), data
		def varint(at):
		    value = shift = 0
		    while True:
		        value |= (data[at] & 0x7f) << shift
		        shift, at = shift + 7, at + 1
		        if not data[at - 1] & 0x80:
		            return value, at
		key, at = varint(12)
		assert key == int(sys.argv[2]) << 3 | 2
		length, at = varint(at)
		assert at + length == len(data)
		while at < len(data):
		    key, at = varint(at)
		    assert key & 7 == 0
		    value, at = varint(at)
		    print(key >> 3, value)
	END
}

@test "every flag that callers pass is taken" {
	counting
	checkpoint --work-path="$WORK" --leave-running --tcp-established --ext-unix-sk --shell-job --file-locks \
		--empty-ns network --empty-ns=network --manage-cgroups-mode soft --network-lock iptables --link-remap \
		--tcp-skip-in-flight --leave-running
	counts
	checkpoint --work-path "$WORK" --tcp-established --file-locks
	restore --work-path "$WORK" --no-pivot --no-new-keyring --preserve-fds 0 --tcp-established --tcp-close --file-locks \
		--ext-unix-sk --shell-job --empty-ns network --lsm-profile selinux:none --lsm-mount-context none \
		--manage-cgroups-mode ignore --network-lock skip -no-subreaper
	counts
}

@test "a probe of callers: help, and a value that is missing" {
	rt checkpoint --help >/dev/null
	run ! rt restore --lsm-mount-context
	[[ $output == *"flag needs an argument"* && $output == *"requires an argument"* ]]
}

@test "what is not to be had is refused in one line, and nothing happens" {
	local flag

	running
	for flag in --lazy-pages --auto-dedup "--page-server 127.0.0.1:1" "--status-fd 3"; do
		# shellcheck disable=SC2086
		refused "${flag%% *}" checkpoint --image-path "$IMAGE" $flag "$ID"
	done
	[ ! -e "$IMAGE" ]
	[ "$(status_of)" = running ]
	checkpoint
	for flag in --lazy-pages --auto-dedup; do
		refused "$flag" restore --bundle "$BUNDLE" --image-path "$IMAGE" $flag "$ID"
	done
}

@test "only what runs or is paused is checkpointed" {
	config_args sleep 1000
	create
	refused "created" checkpoint --image-path "$IMAGE" "$ID"
	rt start "$ID"
	rt kill "$ID" KILL
	eventually has_status stopped
	refused "stopped" checkpoint --image-path "$IMAGE" "$ID"
	refused "does not exist" checkpoint --image-path "$IMAGE" "$ID-nobody"
	[ ! -e "$IMAGE" ]
}

@test "the image: flat, regular files of the owner's alone, and inventory.img" {
	counting
	checkpoint --work-path "$WORK"
	[ -f "$IMAGE/inventory.img" ]
	[ -z "$(find "$IMAGE" -mindepth 1 '!' -type f)" ]
	[ -z "$(find "$IMAGE" -mindepth 1 '!' -perm 600)" ]
	[ "$(stat -c %a "$IMAGE")" = 700 ]
	[ ! -e "$IMAGE/dump.log" ]
	[ "$(find "$WORK" -mindepth 1 -printf '%f\n' | sort)" = $'dump.log\nstats-dump' ]
}

@test "the logs and the statistics: in the work directory, which may be missing" {
	local inode

	counting
	checkpoint --work-path "$WORK"
	[ "$(stat -c %a "$WORK")" = 700 ]
	[ -s "$WORK/dump.log" ]
	# those that podman can't do without
	[ "$(stats "$WORK/stats-dump" 1 | cut -d ' ' -f 1 | tr '\n' ' ')" = "1 2 3 4 5 6 7 9 " ]
	restore --work-path "$WORK"
	[ -s "$WORK/restore.log" ]
	[ "$(stats "$WORK/stats-restore" 2 | cut -d ' ' -f 1 | tr '\n' ' ')" = "1 2 3 4 5 " ]
	[ "$(stats "$WORK/stats-restore" 2 | sed -n 's/^5 //p')" -gt 0 ]
	# a log that is there is the caller's file, with its label
	rm -r "$WORK"
	mkdir "$WORK"
	echo old >"$WORK/dump.log"
	inode=$(stat -c %i "$WORK/dump.log")
	checkpoint --work-path "$WORK"
	[ "$(stat -c %i "$WORK/dump.log")" = "$inode" ]
	grep -q "stop the processes" "$WORK/dump.log"
}

@test "the logs and the statistics: without a work directory in the image, which is still one" {
	counting
	checkpoint
	[ -s "$IMAGE/dump.log" ]
	stats "$IMAGE/stats-dump" 1 >/dev/null
	rt image verify "$IMAGE"
	restore
	[ -s "$IMAGE/restore.log" ]
	stats "$IMAGE/stats-restore" 2 >/dev/null
	# the image's directory as work directory, and an image in the place of another
	checkpoint --work-path "$IMAGE"
	[ -s "$IMAGE/dump.log" ]
	restore --work-path "$IMAGE"
	counts
}

@test "a failing checkpoint leaves its log, and its cause there" {
	config '.linux.namespaces -= [{type: "pid"}]'
	counting
	run ! rt checkpoint --image-path "$IMAGE" --work-path "$WORK" "$ID"
	[ "${#lines[@]}" -eq 1 ]
	grep -qF "${output#thole: }" "$WORK/dump.log"
	[ ! -e "$IMAGE" ]
	[ ! -e "$WORK/stats-dump" ]
	counts
}

@test "the default is ./checkpoint; what else is in a directory stays there" {
	counting
	mkdir "$IMAGE"
	echo mine >"$IMAGE/notes"
	checkpoint --leave-running
	[ "$(cat "$IMAGE/notes")" = mine ]
	cd "$BATS_TEST_TMPDIR"
	rt checkpoint "$ID"
	[ -e checkpoint/inventory.img ]
	rt restore --bundle "$BUNDLE" --pid-file "$PIDFILE" --detach "$ID" </dev/null >>"$OUT" 2>>"$OUT.err"
	counts
}

@test "checkpoint ends the container: processes, cgroup, state, poststop hooks" {
	local pid

	config ".hooks.poststop = [{path: \"/bin/sh\", args: [\"sh\", \"-c\", \"cat >$BATS_TEST_TMPDIR/poststop\"]}]"
	counting
	pid=$(pid_of)
	checkpoint
	gone "$pid"
	jq -e --arg id "$ID" '.id == $id and .status == "stopped"' "$BATS_TEST_TMPDIR/poststop"
	run ! rt resume "$ID"
	[[ $output == *"does not exist"* ]]
	rt delete --force "$ID"
}

@test "--leave-running: it goes on, its hooks wait" {
	local pid

	config ".hooks.poststop = [{path: \"/bin/touch\", args: [\"touch\", \"$BATS_TEST_TMPDIR/poststop\"]}]"
	counting
	pid=$(pid_of)
	checkpoint --leave-running
	[ "$(pid_of)" = "$pid" ]
	counts
	[ "$(status_of)" = running ]
	[ ! -e "$BATS_TEST_TMPDIR/poststop" ]
	# and the image is one of it
	rt delete --force "$ID"
	restore
	counts
}

# What was asked to stop does so when it runs again: with a hundredth of a processor that is late.
@test "--leave-running: processes that seldom run, for all that they want to" {
	config '.linux.resources.cpu = {quota: 5000, period: 500000}'
	config_args sh -c 'echo >/busy; sh -c "while :; do :; done" & while :; do :; done'
	rt create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1
	rt start "$ID"
	eventually test -e "$ROOTFS/busy"
	eventually has_processes 2
	checkpoint --leave-running
	has_processes 2
}

@test "a paused container stays paused, or ends" {
	local was pid

	counting
	rt pause "$ID"
	was=$(count)
	pid=$(pid_of)
	checkpoint --leave-running
	[ "$(status_of)" = paused ]
	[ "$(count)" = "$was" ]
	checkpoint
	gone "$pid"
	[ "$(count)" = "$was" ]
	restore
	[ "$(status_of)" = running ]
	counted "$((was - 1))"
	counts
	rt pause "$ID"
	checkpoint --leave-running
	rt resume "$ID"
	counts
}

@test "hooks at restore: prestart and createRuntime, and poststop at the end" {
	local point log=$BATS_TEST_TMPDIR/hooks

	counting
	checkpoint
	for point in prestart createRuntime createContainer startContainer poststart poststop; do
		config ".hooks.$point = [{path: \"/bin/sh\", args: [\"sh\", \"-c\",
			\"echo $point \$(tr -d '\\n' | sed -E 's/.*\\\"pid\\\": *([0-9]+).*/\\\\1/') >>$log\"]}]"
	done
	restore
	[ "$(cat "$log")" = "$(printf 'prestart %s\ncreateRuntime %s' "$(pid_of)" "$(pid_of)")" ]
	counts
	rt delete --force "$ID"
	[ "$(tail -n 1 "$log" | cut -d ' ' -f 1)" = poststop ]
	[ "$(wc -l <"$log")" -eq 3 ]
}

@test "a hook that fails at restore: nothing is left" {
	counting
	checkpoint
	config '.hooks.createRuntime = [{path: "/bin/false", args: ["false"]}]'
	rm -f "$PIDFILE"
	refused "/bin/false" restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach "$ID"
	[ ! -e "$PIDFILE" ]
	config 'del(.hooks)'
	restore
	counts
}

@test "standard descriptors are the caller's, in every process, in every cycle" {
	local cycle

	counting
	for cycle in 1 2 3; do
		checkpoint
		: >"$OUT"
		: >"$OUT.err"
		OUT=$BATS_TEST_TMPDIR/out$cycle
		restore
		eventually grep -q '^parent ' "$OUT"
		eventually grep -q '^child ' "$OUT.err"
		run ! grep -q '^child ' "$OUT"
	done
	# nothing went where it had been
	[ ! -s "$BATS_TEST_TMPDIR/out" ]
	[ ! -s "$BATS_TEST_TMPDIR/out.err" ]
}

@test "standard descriptors that are pipes" {
	local fifo=$BATS_TEST_TMPDIR/fifo reader

	mkfifo "$fifo.1" "$fifo.2" "$fifo.in"
	config_args sh -c 'while read -r line; do echo "got $line"; done; echo end'
	exec 7<>"$fifo.1" 8<>"$fifo.in"
	rt run --detach --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" <"$fifo.in" >"$fifo.1" 2>&1 7<&- 8<&-
	echo one >&8
	read -r -t 60 line <&7
	[ "$line" = "got one" ]
	checkpoint --leave-running 7<&- 8<&-
	checkpoint 7<&- 8<&-
	exec 7<&- 8<&- 7<>"$fifo.2"
	printf 'two\nthree\n' | {
		rt restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach "$ID" >"$fifo.2" 2>&1 7<&-
	}
	read -r -t 60 line <&7
	[ "$line" = "got two" ]
	read -r -t 60 line <&7
	[ "$line" = "got three" ]
	read -r -t 60 line <&7
	[ "$line" = end ]
	exec 7<&-
}

@test "the terminal goes to the console socket, and the session has it" {
	config '.process.terminal = true'
	config_args sh -c 'trap "" HUP; stty -echo rows 33 cols 77; echo up >/up
		until read -r line; do sleep 0.05; done; echo "got $line on $(tty), $(stty size)"'
	on_terminal "" run && eventually test -e "$ROOTFS/up"
	checkpoint
	wait "$TERMINAL"
	on_terminal $'hello\n' restore --image-path "$IMAGE"
	wait "$TERMINAL"
	cat "$OUT"
	grep -q "^payload=yes fds=1 controls=1 master=1 more=0 second=0" "$OUT"
	grep -q "got hello on /dev/pts/0, 33 77" "$OUT"
}

@test "no terminal any more: refused" {
	config '.process.terminal = true'
	config_args sh -c 'trap "" HUP; echo up >/up; while :; do sleep 1; done'
	on_terminal "" run && eventually test -e "$ROOTFS/up"
	checkpoint
	wait "$TERMINAL"
	config '.process.terminal = false'
	refused "process.terminal" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
}

@test "another id, bundle, root and cgroup, with the limits of the new configuration" {
	local was=$ID id

	config '.linux.resources.pids = {limit: 50}'
	config_args sh -c 'sleep 1000 & sleep 1000; true'
	create && rt start "$ID" && eventually has_processes 3
	checkpoint
	another_bundle
	CGROUP=$CGROUP-other ID=$ID-other
	config ".linux.cgroupsPath = \"$CGROUP\" | .linux.resources.pids = {limit: 60}"
	restore
	run ! rt state "$was"
	[ "$(rt state "$ID" | jq -r '.bundle, .status')" = "$BUNDLE"$'\nrunning' ]
	grep -q "$CGROUP" "/proc/$(pid_of)/cgroup"
	has_processes 3
	for id in $(rt ps --format json "$ID" | jq -r '.[]'); do
		grep -q "$CGROUP" "/proc/$id/cgroup"
	done
	if [ -n "$(cgroup_v1 pids)" ]; then
		[ "$(cat "$(cgroup_v1 pids)$CGROUP/pids.max")" = 60 ]
	else
		[ "$(cat "/sys/fs/cgroup$CGROUP/pids.max")" = 60 ]
	fi
}

@test "one image, many copies at once" {
	local id n

	config_args sh -c 'i=0; while :; do i=$((i + 1)); echo $i >/tmp/n.new; mv /tmp/n.new /tmp/n; sleep 0.02; done'
	create && rt start "$ID" && eventually test -s "$ROOTFS/tmp/n"
	checkpoint
	n=$(cat "$ROOTFS/tmp/n")
	id=$ID
	for copy in 1 2 3; do
		another_bundle
		mv "$BUNDLE" "$BUNDLE-$copy"
		BUNDLE=$BUNDLE-$copy ID=$id-$copy
		ROOTFS=$BUNDLE/rootfs
		config ".linux.cgroupsPath += \"-$copy\""
		restore
		eventually test -s "$ROOTFS/tmp/n"
		[ "$(cat "$ROOTFS/tmp/n")" -ge "$n" ]
	done
	rt image verify "$IMAGE"
	[ "$(rt list -q | wc -l)" -eq 3 ]
}

@test "mounts come from the new configuration: places that are missing are made, sources are the new ones" {
	mkdir "$BATS_TEST_TMPDIR/one" "$BATS_TEST_TMPDIR/two"
	echo one >"$BATS_TEST_TMPDIR/one/file"
	echo two >"$BATS_TEST_TMPDIR/two/file"
	config_mount "{destination: \"/data/deep\", source: \"$BATS_TEST_TMPDIR/one\", type: \"bind\", options: [\"bind\"]}"
	config_mount "{destination: \"/etc/one\", source: \"$BATS_TEST_TMPDIR/one/file\", type: \"bind\", options: [\"bind\"]}"
	config_args sh -c 'exec 7</data/deep/file; echo up >/up
		until [ -e /go ]; do sleep 0.05; done; cat <&7 >/tmp/result; cat /data/deep/file /etc/one >>/tmp/result; echo >/done'
	create && rt start "$ID" && eventually test -e "$ROOTFS/up"
	checkpoint
	another_bundle
	[ ! -e "$ROOTFS/data" ]
	config "(.mounts[] | select(.destination == \"/data/deep\") | .source) = \"$BATS_TEST_TMPDIR/two\"
		| (.mounts[] | select(.destination == \"/etc/one\") | .source) = \"$BATS_TEST_TMPDIR/two/file\""
	restore
	touch "$ROOTFS/go"
	eventually test -e "$ROOTFS/done"
	[ "$(cat "$ROOTFS/tmp/result")" = $'two\ntwo\ntwo' ]
}

@test "what the new root lacks is told by its name, and nothing is left" {
	echo data >"$ROOTFS/home/data"
	config_args sh -c 'exec 7</home/data; echo up >/up; while :; do sleep 0.05; done'
	create && rt start "$ID" && eventually test -e "$ROOTFS/up"
	checkpoint
	another_bundle
	refused "/home/data" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	mkdir "$ROOTFS/home/data"
	refused "/home/data" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	rmdir "$ROOTFS/home/data"
	rm "$ROOTFS/bin/sh"
	echo data >"$ROOTFS/home/data"
	rm "$ROOTFS/bin/busybox"
	refused "/bin/busybox" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	# a program of another build: the code of the old one goes on at addresses of its own
	cp "$BUNDLE_TOOLS/rootfs/bin/busybox" "$ROOTFS/bin/busybox"
	echo more >>"$ROOTFS/bin/busybox"
	refused "/bin/busybox is another file" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	cp "$BUNDLE_TOOLS/rootfs/bin/busybox" "$ROOTFS/bin/busybox"
	printf x | dd of="$ROOTFS/bin/busybox" bs=1 seek=700 conv=notrunc status=none
	refused "/bin/busybox is another file" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	cp "$BUNDLE_TOOLS/rootfs/bin/busybox" "$ROOTFS/bin/busybox"
	restore
}

@test "namespaces by path: the network, ipc and uts of another one are joined" {
	local path holder kind

	config_args sh -c 'while :; do cat /proc/sys/kernel/hostname >/name.new; mv /name.new /name; sleep 0.02; done'
	create && rt start "$ID" && eventually test -s "$ROOTFS/name"
	unshare --net --ipc --uts sh -c 'hostname other; exec sleep 1000' 3>&- &
	holder=$!
	eventually is_named $holder other
	checkpoint
	path=/proc/$holder/ns
	config "del(.hostname) | .linux.namespaces = [{type: \"pid\"}, {type: \"mount\"}, {type: \"cgroup\"},
		{type: \"network\", path: \"$path/net\"}, {type: \"ipc\", path: \"$path/ipc\"}, {type: \"uts\", path: \"$path/uts\"}]"
	restore
	for kind in net ipc uts; do
		[ "$(readlink "/proc/$(pid_of)/ns/$kind")" = "$(readlink "$path/$kind")" ]
	done
	eventually grep -q other "$ROOTFS/name"
	# and so it can be checkpointed again
	checkpoint
	restore
	[ "$(readlink "/proc/$(pid_of)/ns/net")" = "$(readlink "$path/net")" ]
	kill $holder
}

@test "a pid namespace by path: refused, both ways" {
	local holder

	running
	checkpoint
	unshare --pid --fork --kill-child sleep 1000 3>&- &
	holder=$!
	eventually pgrep -P $holder
	config "(.linux.namespaces[] | select(.type == \"pid\") | .path) = \"/proc/$holder/ns/pid_for_children\""
	refused "pid namespace" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	running
	run ! rt checkpoint --image-path "$IMAGE.2" "$ID"
	echo "$output"
	[[ $output == *"pid namespace"* ]]
	kill -KILL $holder
	wait $holder 2>/dev/null || true
}

@test "an image of CRIU, none, half of one: refused by name" {
	running
	checkpoint
	mkdir "$IMAGE.criu"
	# a CRIU inventory: its two magic numbers, then a protobuf
	printf '\x46\x58\x67\x31\x19\x43\x56\x54\x04\0\0\0\x08\x02\x20\x01' >"$IMAGE.criu/inventory.img"
	touch "$IMAGE.criu/pstree.img" "$IMAGE.criu/core-1.img"
	refused "inventory.img" restore --bundle "$BUNDLE" --image-path "$IMAGE.criu" --detach "$ID"
	refused "$IMAGE.none" restore --bundle "$BUNDLE" --image-path "$IMAGE.none" --detach "$ID"
	rm "$IMAGE/container.json"
	refused "container.json" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
}

@test "labels: those of the configuration or of --lsm-profile, where the kernel has them" {
	[ ! -e /sys/module/apparmor ] || skip "AppArmor is there: the profile would be looked for"
	running
	checkpoint
	refused "--lsm-profile" restore --bundle "$BUNDLE" --image-path "$IMAGE" --lsm-profile other:x --detach "$ID"
	refused AppArmor restore --bundle "$BUNDLE" --image-path "$IMAGE" --lsm-profile apparmor:x --detach "$ID"
	config '.process.apparmorProfile = "nosuch-profile"'
	refused AppArmor restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	config '.process.apparmorProfile = "unconfined"'
	restore
	[ "$(status_of)" = running ]
}

@test "a restored container is one like any other: exec, pause, update, kill" {
	counting
	checkpoint
	restore
	[ "$(exec_in cat /n)" -gt 0 ]
	rt pause "$ID"
	rt resume "$ID"
	rt update --pids-limit 70 "$ID"
	[ "$(rt events --stats "$ID" | jq -r .data.pids.limit)" = 70 ]
	rt kill "$ID" KILL
	eventually has_status stopped
	rt delete "$ID"
	[ -z "$(cgroup_dirs)" ]
}

@test "an id that is taken" {
	running
	checkpoint --leave-running
	refused "exist" restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID"
	[ "$(status_of)" = running ]
}

# Whoever waits for it to run may send it a signal then.
@test "it is creating until all of it is there" {
	local calls n look

	running
	checkpoint
	export STATE THOLE ID
	look="\$THOLE --root \$STATE state \$ID 2>/dev/null | jq -r .status >>$BATS_TEST_TMPDIR/seen"
	"$HOST" killat 1000000 "$THOLE" --root "$STATE" restore -d --bundle "$BUNDLE" --image-path "$IMAGE" "$ID" \
		</dev/null >/dev/null 2>"$BATS_TEST_TMPDIR/err" 3>&-
	calls=$(sed -n 's/^calls: //p' "$BATS_TEST_TMPDIR/err")
	for ((n = calls / 10; n < calls * 9 / 10; n += calls / 10)); do
		rt delete --force "$ID"
		"$HOST" doat $n "$look" "$THOLE" --root "$STATE" restore -d --bundle "$BUNDLE" --image-path "$IMAGE" "$ID" \
			</dev/null >/dev/null 2>&1 3>&-
	done
	cat "$BATS_TEST_TMPDIR/seen"
	[ "$(sort -u "$BATS_TEST_TMPDIR/seen")" = creating ]
	[ "$(status_of)" = running ]
}

@test "in the foreground: the exit status, signals, the end of the container" {
	local pid status=0

	config_args sh -c 'trap "exit 7" TERM; echo up >/up; while :; do sleep 0.05; done'
	create && rt start "$ID" && eventually test -e "$ROOTFS/up"
	checkpoint
	"$THOLE" --root "$STATE" restore --bundle "$BUNDLE" --image-path "$IMAGE" "$ID" </dev/null >"$OUT" 2>&1 3>&- &
	pid=$!
	eventually has_status running
	kill -TERM $pid
	wait $pid || status=$?
	[ "$status" -eq 7 ]
	run ! rt state "$ID"
	[ -z "$(cgroup_dirs)" ]
}

@test "the first process is the caller's child, in its cgroup, when restore returns; its pid is in the pid file" {
	local parent

	counting
	checkpoint
	export IMAGE OUT
	# shellcheck disable=SC2016
	run "$HOST" subreap '"$THOLE" --root "$STATE" restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" \
		--detach "$ID" </dev/null >"$OUT" 2>&1; pid=$(cat "$PIDFILE"); echo "pid $pid"; ps -o ppid= -p "$pid"; echo "$PPID"
		grep -c "$CGROUP" "/proc/$pid/cgroup"; "$THOLE" --root "$STATE" delete --force "$ID"' 3>&-
	echo "$output"
	parent=$(tr -d ' ' <<<"${lines[1]}")
	[ "$parent" = "${lines[2]}" ]
	[ "${lines[3]}" -gt 0 ]
	[ "$(stat -c %s "$PIDFILE")" = "$(printf %s "${lines[0]#pid }" | wc -c)" ]
}

@test "environment of an engine: nothing but XDG_RUNTIME_DIR" {
	counting
	env -i XDG_RUNTIME_DIR=/run/user/0 "$THOLE" --root "$STATE" checkpoint --image-path "$IMAGE" "$ID" </dev/null 3>&-
	env -i XDG_RUNTIME_DIR=/run/user/0 "$THOLE" --root "$STATE" restore --bundle "$BUNDLE" --image-path "$IMAGE" \
		--detach "$ID" </dev/null >>"$OUT" 2>>"$OUT.err" 3>&-
	counts
}

@test "the image may go as soon as restore has returned" {
	counting
	checkpoint
	restore
	rm -r "$IMAGE"
	counts
	checkpoint
	restore
	counts
}
