#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The command line: forms of arguments, help, the log, and the commands that look and change.

load bundle
setup_file() { bundle_programs; }
setup() { need_root; bundle; }
teardown() { bundle_end; }

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

@test "--config: another file than the bundle's, by its path" {
	only_thole "crun's"
	config_args echo other
	mv "$BUNDLE/config.json" "$BATS_TEST_TMPDIR/other.json"
	[ "$(rt run --bundle "$BUNDLE" --config "$BATS_TEST_TMPDIR/other.json" "$ID" </dev/null)" = other ]
	cd "$BATS_TEST_TMPDIR"
	[ "$(rt run --bundle "$BUNDLE" -f other.json "$ID" </dev/null)" = other ]
	refused 'nosuch.json' run --bundle "$BUNDLE" --config=nosuch.json "$ID"
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

# A socket of datagrams in the place of a daemon's, below a directory of the test's own.
daemon_hears() {
	unshare -m bash -ec 'place=$1 host=$2; shift 2; exec 5>"$OUT"
		mount -t tmpfs none "/${place%%/*}"; mkdir -p "$(dirname "/$place")"
		exec "$host" notify "/$place" "$@" >&5 2>&1' bash "$1" "$HOST" "$THOLE" --root "$STATE" "${@:2}" </dev/null 3>&-
}

@test "log: journald: and syslog:" {
	only_thole "crun's"
	export OUT=$BATS_TEST_TMPDIR/heard
	run daemon_hears run/systemd/journal/socket --log journald:me state nosuch
	[ "$status" -ne 0 ]
	grep -x 'PRIORITY=3' "$OUT"
	grep -x 'ID=me' "$OUT"
	grep -x 'MESSAGE=container "nosuch" does not exist' "$OUT"
	grep -x 'thole: container "nosuch" does not exist' "$OUT" # standard error has it as well
	run daemon_hears dev/log --log=syslog:me state nosuch
	[ "$status" -ne 0 ]
	grep -E '^<27>thole\[[0-9]+\]: me: container "nosuch" does not exist$' "$OUT"
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

@test "events --stats: every group of numbers that readers know" {
	only_thole "runc counts devices that it made itself only"
	running
	run --separate-stderr rt events --stats "$ID"
	[ "$status" -eq 0 ]
	jq -e '.data | (.cpu.throttling.periods | type == "number") and (.cpuset.cpus | length > 0) and
		(.memory.swap | has("limit")) and (.memory | has("kernel") and has("kernelTCP")) and
		(.blkio.ioServiceBytesRecursive | type == "array") and (.hugetlb | type == "object") and
		.network_interfaces == []' <<<"$output"
	[ ! -e /sys/fs/cgroup/cpuset/cpuset.cpus ] || jq -e '.data.cpuset |
		.cpu_exclusive == 0 and has("sched_relax_domain_level")' <<<"$output"
	[ ! -e /sys/fs/cgroup/cpuacct/cpuacct.usage_percpu_sys ] || jq -e '.data.cpu.usage |
		(.percpu_kernel | length) == (.percpu | length) and (.percpu_user | length) > 0' <<<"$output"
	if [ -z "$(cgroup_dirs | while read -r dir; do ls "$dir/cpu.pressure"; done 2>/dev/null)" ]; then
		skip "the kernel keeps no pressure of a cgroup"
	fi
	jq -e '.data | [.cpu.psi, .memory.psi, .blkio.psi] | all(
		(.some | has("avg10") and has("avg60") and has("avg300") and has("total")) and (.full | has("total")))' \
		<<<"$output"
}

@test "events --stats: network devices of a namespace of its own" {
	only_thole "runc counts devices that it made itself only"
	need ip
	NETNS=thole-bats-$ID
	ip netns add "$NETNS"
	config '.linux.namespaces |= map(if .type == "network" then .path = "/run/netns/" + $name else . end)' \
		--arg name "$NETNS"
	running
	if ! ip -n "$NETNS" link add tv0 type veth peer name tv1; then
		ip netns del "$NETNS"
		skip "the kernel has no veth"
	fi
	run --separate-stderr rt events --stats "$ID"
	ip netns del "$NETNS"
	[ "$status" -eq 0 ]
	jq -e '.data.network_interfaces | length == 2 and ([.[].Name] | sort == ["tv0", "tv1"]) and
		all(.RxBytes == 0 and .TxDropped == 0)' <<<"$output"
	rt delete --force "$ID"
	config 'del(.linux.namespaces[] | select(.type == "network"))'
	running
	[ "$(rt events --stats "$ID" | jq -c .data.network_interfaces)" = '[]' ] # the host's are not the container's
}

@test "events: a stream every interval, ended by the container's end" {
	running
	timeout 100 "$THOLE" --root "$STATE" events --interval 100ms "$ID" >"$BATS_TEST_TMPDIR/events" 3>&- &
	local pid=$!
	eventually bash -c "[ \$(grep -c stats '$BATS_TEST_TMPDIR/events') -ge 3 ]"
	rt kill "$ID" KILL
	wait $pid || ! is_thole
	jq -e '.type == "stats"' "$BATS_TEST_TMPDIR/events"
}

@test "events: ended by the container's end, however fast they come" {
	only_thole "runc looks for the end otherwise"
	running
	timeout 100 "$THOLE" --root "$STATE" events --interval 1ms "$ID" >"$BATS_TEST_TMPDIR/events" 3>&- &
	local pid=$!
	eventually test -s "$BATS_TEST_TMPDIR/events"
	rt kill "$ID" KILL
	wait $pid
}

@test "events: out of memory is told" {
	config '.linux.resources.memory = {limit: 20000000, swap: 20000000}'
	config_args sh -c 'while [ ! -e /go ]; do sleep 0.1; done; tail /dev/zero; sleep 1000'
	create
	rt start "$ID"
	timeout 100 "$THOLE" --root "$STATE" events --interval 200ms "$ID" >"$BATS_TEST_TMPDIR/events" 2>&1 3>&- &
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
