#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# The container's own time of day (run.thole.time.offset, run.thole.time.start) with real programs, as root and as an
# ordinary user. What is answered call by call: tests/live/clock_test.c.

load bundle
load supervised
load user

setup_file() {
	bundle_programs
	(
		flock 9
		[ -e "$BUNDLE_TOOLS/clock.dynamic" ] || {
			${CC:-gcc} -O1 -D_GNU_SOURCE -o "$BUNDLE_TOOLS/clock.dynamic" "$BATS_TEST_DIRNAME/clock.c" &&
			${CC:-gcc} -O1 -static -D_GNU_SOURCE -o "$BUNDLE_TOOLS/clock" "$BATS_TEST_DIRNAME/clock.c"
		}
	) 9>"$BATS_RUN_TMPDIR/clock.lock"
}

DAY=86400

setup() {
	only_thole
	need jq
	bundle
	BEGUN=$(date +%s)
	cp "$BUNDLE_TOOLS/clock" "$BUNDLE_TOOLS/clock.dynamic" "$ROOTFS/bin"
	offset -400d
	USER_ID=
}

teardown() { user_end; }

offset() {
	config 'del(.annotations["run.thole.time.start"]) | .annotations["run.thole.time.offset"] = $value' --arg value "$1"
}

starts() {
	config 'del(.annotations["run.thole.time.offset"]) | .annotations["run.thole.time.start"] = $value' --arg value "$1"
}

# The host's programs, read-only.
host_programs() {
	local dir

	for dir in usr bin sbin lib lib64; do
		[ -e "/$dir" ] || continue
		rm -rf "${ROOTFS:?}/$dir"
		if [ -L "/$dir" ]; then
			ln -s "$(readlink "/$dir")" "$ROOTFS/$dir"
		else
			mkdir "$ROOTFS/$dir"
			config_mount "{type: \"bind\", source: \"/$dir\", destination: \"/$dir\", options: [\"rbind\", \"ro\"]}"
		fi
	done
	mkdir -p "$ROOTFS/own"
	cp "$BUNDLE_TOOLS/clock" "$BUNDLE_TOOLS/clock.dynamic" "$ROOTFS/own"
	config '.process.env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin:/own", "LC_ALL=C", "TZ=UTC0"]'
}

# near SECONDS [OFFSET]: that is the container's time now, or was since the test began.
near() {
	local now

	now=$(date +%s)
	[ $(($1 - ${2:--400 * DAY})) -le $((now + 2)) ] && [ $(($1 - ${2:--400 * DAY})) -ge $((BEGUN - 2)) ] && return
	echo "$1 is not $((now + ${2:--400 * DAY}))" >&2
	return 1
}

# Every line of the output is that time.
all_near() {
	local line

	[ "${#lines[@]}" -ge "$1" ] || { echo "${#lines[@]} lines" >&2 && return 1; }
	for line in "${lines[@]}"; do
		near "$line" "${2:-}" || return
	done
}

has_lines() {
	[ "$(wc -l <"$BATS_TEST_TMPDIR/out")" = "$1" ]
}

@test "a static program, by its vDSO and by system calls" {
	need_root
	run -0 in_container_exec clock
	all_near 6
	run -0 in_container_exec date +%s
	all_near 1
	eventually no_supervisor
}

@test "a dynamic program, and those that it executes" {
	need_root
	host_programs
	run -0 in_container_exec clock.dynamic /own/clock /own/clock.dynamic /own/clock
	all_near 24
}

@test "an offset into the future, with units and parts of a second" {
	need_root
	offset +1d12h30m0.25s
	run -0 in_container_exec clock
	all_near 6 $((DAY + 12 * 3600 + 30 * 60))
}

@test "a start: it begins when the container is started, and goes on" {
	need_root
	local then started later

	# no more than the host's clock has gone on since the start
	not_beyond() {
		[ "$1" -le $((then + $(date +%s) - started + 1)) ]
	}
	starts 2001-02-03T04:05:06+01:00
	then=$(date -d 2001-02-03T04:05:06+01:00 +%s)
	config_args sh -c 'date +%s; touch /tmp/told; sleep 2; date +%s; touch /tmp/end; sleep 1000'
	create
	sleep 4
	started=$(date +%s)
	rt start "$ID"
	eventually test -e "$ROOTFS/tmp/told"
	mapfile -t lines <"$BATS_TEST_TMPDIR/out"
	[ "${lines[0]}" -ge "$then" ] && not_beyond "${lines[0]}"
	eventually test -e "$ROOTFS/tmp/end"
	mapfile -t lines <"$BATS_TEST_TMPDIR/out"
	[ "${lines[1]}" -ge $((lines[0] + 2)) ] && not_beyond "${lines[1]}"
	# a process more has the same clock
	later=${lines[1]}
	run -0 exec_in date +%s
	[ "$output" -ge "$later" ] && not_beyond "$output"
}

@test "exec, fork and chains of programs" {
	need_root
	running
	run -0 exec_in clock
	all_near 6
	printf '#!/bin/sh\nexec /bin/clock\n' >"$ROOTFS/script"
	chmod 755 "$ROOTFS/script"
	run -0 exec_in sh -c 'date +%s; (date +%s; (exec sh -c "exec /bin/clock /script")); /script & wait; true | date +%s | cat'
	all_near 21
	# nothing that failed stands in the way
	run -0 exec_in sh -c '/no/such/thing 2>/dev/null; /etc 2>/dev/null; exec date +%s'
	all_near 1
}

@test "python: threads, processes, conditions with a timeout" {
	need_root
	[ -x /usr/bin/python3 ] || skip "no /usr/bin/python3"
	host_programs
	run -0 in_container_exec timeout 100 /usr/bin/python3 -c '
import ctypes, datetime, os, subprocess, threading, time
print(int(time.time()))
print(int(datetime.datetime.now().timestamp()))
times = []
threads = [threading.Thread(target=lambda: times.append(int(time.time()))) for _ in range(8)]
for t in threads: t.start()
for t in threads: t.join()
for t in times: print(t)
print(subprocess.run(["date", "+%s"], capture_output=True, text=True).stdout.strip(), flush=True)
if os.fork() == 0:
    print(int(time.time()), flush=True)
    os.execv("/usr/bin/date", ["date", "+%s"])
os.wait()
# a time of day to wait for
libc = ctypes.CDLL(None, use_errno=True)
class timespec(ctypes.Structure): _fields_ = [("sec", ctypes.c_long), ("nsec", ctypes.c_long)]
sem = ctypes.create_string_buffer(64)
assert libc.sem_init(sem, 0, 0) == 0
before, steady = time.time(), time.monotonic()
until = timespec(int(before) + 2, 0)
assert libc.sem_timedwait(sem, ctypes.byref(until)) == -1 and ctypes.get_errno() == 110
assert 0.9 <= time.monotonic() - steady < 30 and time.time() >= until.sec
print(int(time.time()))'
	all_near 14
}

@test "perl, by the library and by calls of its own" {
	need_root
	[ -x /usr/bin/perl ] || skip "no /usr/bin/perl"
	host_programs
	run -0 in_container_exec /usr/bin/perl -MTime::HiRes -e '
		$| = 1;
		print time, "\n", int(Time::HiRes::time()), "\n";
		system("date", "+%s");'
	all_near 3
}

@test "times of files" {
	need_root
	local seconds

	touch -d 2020-01-01T00:00:00Z "$ROOTFS/old"
	run -0 in_container 'touch /tmp/now; date +%s; stat -c %X /tmp/now; stat -c %Y /tmp/now; stat -c %Z /tmp/now; date -r /tmp/now +%s'
	all_near 5
	seconds=$(date -d 2020-01-01T00:00:00Z +%s)
	config_args stat -c %Y /old
	run -0 rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = $((seconds - 400 * DAY)) ]
	# what is given comes back, and is the host's by as much
	run -0 in_container 'touch -d "2019-05-06 07:08:09" /tmp/given; ls --full-time /tmp/given'
	[[ $output == *"2019-05-06 07:08:09"* ]]
	[ "$(stat -c %Y "$ROOTFS/tmp/given")" = $(($(date -d '2019-05-06 07:08:09Z' +%s) + 400 * DAY)) ]
	near $(($(stat -c %Y "$ROOTFS/tmp/now") - 400 * DAY))
}

@test "a build under another date: make, cc, tar" {
	need_root
	for program in make gcc tar; do
		[ -x "/usr/bin/$program" ] || skip "no /usr/bin/$program"
	done
	host_programs
	starts 2010-10-10T10:00:00Z
	mkdir "$ROOTFS/work"
	cat >"$ROOTFS/work/a.c" <<-'C'
		#include <stdio.h>
		int main(void) { puts(__DATE__); return 0; }
	C
	printf 'a: a.c\n\tgcc -o a a.c\n\techo built\n' >"$ROOTFS/work/Makefile"
	run -0 in_container 'cd /work && make 2>&1 && make 2>&1 && ./a && sleep 1.1 && touch a.c && make 2>&1 && tar cf /tmp/a.tar a && tar tvf /tmp/a.tar'
	[[ $output != *"modification time"* && $output != *"Clock skew"* ]]
	[ "$(grep -c '^built$' <<<"$output")" = 2 ]
	[ "$(grep -c 'is up to date' <<<"$output")" = 1 ]
	[[ $output == *"Oct 10 2010"* ]]
	[[ $output == *"2010-10-10 10:"* ]]
}

@test "a program with privileges of its file's owner" {
	need_root
	cp "$ROOTFS/bin/clock" "$ROOTFS/bin/sclock"
	chmod 4755 "$ROOTFS/bin/sclock"
	config '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {} | .process.noNewPrivileges = false'
	run -0 in_container '/bin/sclock; id -u'
	[ "${lines[6]}" = 1000 ]
	unset 'lines[6]'
	all_near 6
}

@test "the clock can't be set" {
	need_root
	config '.process.capabilities |= with_entries(.value += ["CAP_SYS_TIME"])'
	run in_container 'date -s @1000000000; clock'
	[[ $output == *"can't set date"* || $output == *"not permitted"* ]]
	near "$(date +%s)" 0
	near "${lines[-1]}"
}

@test "the host's and other containers' time stays" {
	need_root
	running
	config 'del(.annotations, .linux.cgroupsPath)'
	config_args clock
	run -0 rt run --bundle "$BUNDLE" "$ID-2" </dev/null
	all_near 6 0
	run -0 "$BUNDLE_TOOLS/clock"
	all_near 6 0
}

@test "together with remapped ports and a copy-on-write directory" {
	need_root
	mkdir -p "$ROOTFS/work"
	touch -d 2020-01-01T00:00:00Z "$ROOTFS/work/lower"
	config '.annotations["run.thole.ports"] = "remap" | .annotations["run.thole.cow"] = "/work" |
		.annotations["run.thole.cow.backend"] = "notify" | del(.linux.namespaces[] | select(.type == "network"))'
	run -0 in_container 'cp /bin/clock /work/clock && /work/clock; touch /work/now; stat -c %Y /work/now; touch -d @1000000000 /work/lower;
		date -r /work/now +%s; stat -c given:%Y /work/lower'
	[ "${lines[-1]}" = given:1000000000 ]
	unset 'lines[-1]'
	all_near 8
	[ "$(stat -c %Y "$ROOTFS/work/lower")" = "$(date -d 2020-01-01T00:00:00Z +%s)" ]
}

@test "what is waited for ends with the container" {
	need_root
	config_args sh -c 'while :; do date >/dev/null; done'
	create
	rt start "$ID"
	sleep 0.5
	rt kill "$ID" KILL
	eventually has_status stopped
	rt delete "$ID"
	eventually no_supervisor
}

@test "one that can't be executed says so" {
	need_root
	printf 'not a program' >"$ROOTFS/bin/broken"
	chmod 755 "$ROOTFS/bin/broken"
	config_args broken
	run ! rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == *broken* ]]
	eventually no_supervisor
}

@test "what makes no sense is refused" {
	need_root
	local value

	for value in '' soon 1x 1.5.2 -- +-1 1d2 1m-2s ' 1' '1 d' 1. .5 99999999999999999999 -400y 301w999999999d; do
		offset "$value"
		refused_create 'annotations.run.thole.time.offset: must be seconds'
	done
	offset -60y
	refused_create 'run.thole.time.offset: must be seconds'
	offset -30000d
	refused_create 'a time before 1970'
	for value in '' now 2024-02-30T00:00:00Z 2023-02-29T00:00:00Z 2024-01-01 2024-01-01T00:00:00 2024-1-1T00:00:00Z \
		2024-13-01T00:00:00Z 2024-01-01T24:00:00Z 2024-01-01T00:00:60Z 2024-01-01T00:00:00+24:00 1969-12-31T23:59:59Z \
		2024-01-01T00:00:00Zx 1970-01-01T00:00:00+01:00 99999-01-01T00:00:00Z; do
		starts "$value"
		refused_create 'annotations.run.thole.time.start: must be a time of RFC 3339'
	done
	starts 2024-01-01T00:00:00Z
	config '.annotations["run.thole.time.offset"] = "1"'
	refused_create 'exclude each other'
	offset 1
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW",
		listenerPath: "/run/none.sock", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}'
	refused_create 'one listener only'
}

@test "policy tells the line" {
	run -0 rt policy --json "$BUNDLE"
	jq -e '[.. | objects | select(.where? == "annotations.run.thole.time.offset" or .config? == "annotations.run.thole.time.offset")] |
		length == 1' <<<"$output"
	run -0 rt policy "$BUNDLE"
	[[ $output == *"annotations.run.thole.time.offset"*supervisor* ]]
}

@test "an ordinary user, in a user namespace of his own" {
	need_root
	user_spec '.root.readonly = false | del(.mounts[] | select(.destination == "/sys"))'
	offset -400d
	config_args sh -c 'clock; touch /tmp/now; stat -c %Y /tmp/now; sleep 1000'
	user_rt run --detach --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	eventually has_lines 7
	mapfile -t lines <"$BATS_TEST_TMPDIR/out"
	all_near 7
	run -0 user_rt exec "$ID" sh -c 'clock; (clock /bin/clock)' </dev/null
	all_near 18
	user_rt delete --force "$ID"
	eventually no_supervisor
}

@test "an ordinary user without a user namespace" {
	need_root
	[ "$(cat /proc/sys/kernel/yama/ptrace_scope 2>/dev/null || echo 0)" = 0 ] || skip "kernel.yama.ptrace_scope is not 0"

	user_begin
	jq -n --arg dir "$ROOTFS" --argjson uid $USER_ID '{ociVersion: "1.2.0", root: {path: "/"}, annotations: {"run.thole.time.offset": "-400d"},
		process: {user: {uid: $uid, gid: $uid}, cwd: $dir, env: ["PATH=/usr/bin:/bin"],
			args: [($dir + "/bin/clock"), ($dir + "/bin/clock.dynamic"), "/usr/bin/date", "+%s"]},
		mounts: ([$dir, "/usr", "/lib", "/lib64"] | map({type: "bind", source: ., destination: .}))}' >"$BUNDLE/config.json"
	run -0 user_rt run --bundle "$BUNDLE" "$ID" </dev/null
	all_near 13
	eventually no_supervisor
}
