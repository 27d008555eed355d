# SPDX-License-Identifier: Apache-2.0
# Bundles for the tests of the runtime as a command. Source of every *.bats here:
#
#	load bundle
#	setup_file() { bundle_programs; }
#	setup() { bundle; }
#	teardown() { bundle_end; }
#
# Each test has a bundle ($BUNDLE, $ROOTFS), a state directory ($STATE), a container id ($ID) and a
# cgroup ($CGROUP) of its own, so tests can run side by side. THOLE names the runtime to test; any
# other runtime with runc's command line can be put there, to check the tests themselves.

bats_require_minimum_version 1.5.0
load wait

bundle_runtime() {
	local dir

	if [ -n "${THOLE:-}" ]; then
		THOLE=$(command -v "$THOLE") || return
	elif [ -n "${THOLE_BUILD:-}" ] && [ -x "$THOLE_BUILD/thole" ]; then
		THOLE=$(cd "$THOLE_BUILD" && pwd)/thole
	else
		for dir in "$BATS_TEST_DIRNAME/../.." "$PWD"; do
			[ -x "$dir/thole" ] && THOLE=$(cd "$dir" && pwd)/thole && break
		done
		: "${THOLE:=$(command -v thole)}"
	fi
	[ -x "$THOLE" ] || { echo "no runtime: set THOLE or THOLE_BUILD" >&2; return 1; }
	export THOLE
}

# True where the runtime under test is thole: what it does beyond runc is tested only there.
is_thole() {
	[[ $(basename "$THOLE") == thole* ]]
}

only_thole() {
	is_thole || skip "${1:-not what $(basename "$THOLE") does}"
}

need() {
	local program

	for program; do
		command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

need_root() {
	[ "$(id -u)" = 0 ] || skip "needs root"
}

# The programs that the tests run inside (probe) and outside (host) of containers, and a root file
# system of busybox: made once a run.
bundle_programs() {
	export BUNDLE_TOOLS=$BATS_RUN_TMPDIR/tools
	bundle_runtime || return
	(
		flock 9
		[ -e "$BUNDLE_TOOLS/done" ] && exit
		mkdir -p "$BUNDLE_TOOLS" &&
		${CC:-gcc} -O1 -static -D_GNU_SOURCE -o "$BUNDLE_TOOLS/probe" "$BATS_TEST_DIRNAME/probe.c" &&
		${CC:-gcc} -O1 -D_GNU_SOURCE -o "$BUNDLE_TOOLS/host" "$BATS_TEST_DIRNAME/host.c" &&
		${CC:-gcc} -O1 -static -nostartfiles -fno-stack-protector -D_GNU_SOURCE -o "$BUNDLE_TOOLS/evil" \
			"$BATS_TEST_DIRNAME/evil.c" &&
		bundle_rootfs "$BUNDLE_TOOLS/rootfs" && touch "$BUNDLE_TOOLS/done"
	) 9>"$BATS_RUN_TMPDIR/tools.lock"
}

bundle_rootfs() {
	local root=$1 applet

	mkdir -p "$root"/{bin,dev,etc,proc,sys,tmp,run,root,home} || return
	chmod 1777 "$root/tmp"
	cp "$(command -v busybox)" "$root/bin/busybox" || return
	cp "$BUNDLE_TOOLS/probe" "$root/bin/probe" || return
	for applet in $("$root/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
	done
	echo 'root:x:0:0:root:/root:/bin/sh' >"$root/etc/passwd"
	echo 'someone:x:1000:1000:someone:/home/someone:/bin/sh' >>"$root/etc/passwd"
	printf 'root:x:0:\nsomeone:x:1000:\n' >"$root/etc/group"
}

# A fresh bundle. What is shared with the other tests of the run is hard-linked, never written to.
bundle() {
	ID=t$$-$BATS_TEST_NUMBER-$RANDOM
	STATE=$BATS_TEST_TMPDIR/state
	BUNDLE=$BATS_TEST_TMPDIR/bundle
	ROOTFS=$BUNDLE/rootfs
	PIDFILE=$BATS_TEST_TMPDIR/pid
	CGROUP=/thole-bats-$ID
	HOST=$BUNDLE_TOOLS/host
	export ID STATE BUNDLE ROOTFS PIDFILE CGROUP HOST BATS_TEST_TMPDIR
	chmod a+x "$BATS_RUN_TMPDIR" "$BATS_RUN_TMPDIR/test" "$BATS_TEST_TMPDIR"
	mkdir -p "$BUNDLE"
	cp -al "$BUNDLE_TOOLS/rootfs" "$ROOTFS"
	jq --arg cgroup "$CGROUP" '.linux.cgroupsPath = $cgroup' \
		"$BATS_TEST_DIRNAME/config.json" >"$BUNDLE/config.json"
}

# Ends what a test left: containers, then mounts, then cgroups. A runtime that can't delete its own
# container fails the test here.
bundle_end() {
	local dir mounted status=0

	[ -n "${STATE:-}" ] || return 0
	for dir in "$STATE"/*/; do
		[ -d "$dir" ] || continue
		timeout 100 "$THOLE" --root "$STATE" delete --force "$(basename "$dir")" 3>&- || status=1
	done
	while read -r mounted; do
		umount -l "$mounted" || status=1
	done < <(awk -v p="$BATS_TEST_TMPDIR/" 'index($5, p) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	if [ -n "$(cgroup_dirs)" ]; then
		echo "cgroups left: $(cgroup_dirs)" >&2
		cgroup_dirs | while read -r dir; do
			find "$dir" -name cgroup.procs -exec cat {} + | xargs -r kill -9
			find "$dir" -depth -type d -exec rmdir {} +
		done
		status=1
	fi
	return $status
}

# Changes the config: config '.hostname = $name' --arg name box
config() {
	local filter=$1

	shift
	jq "$@" "$filter" "$BUNDLE/config.json" >"$BUNDLE/config.new" &&
		mv "$BUNDLE/config.new" "$BUNDLE/config.json"
}

# The container's program: its arguments as they are.
config_args() {
	local args

	args=$(jq -nc '$ARGS.positional' --args -- "$@")
	config ".process.args = $args"
}

config_mount() {
	config ".mounts += [$1]"
}

# The runtime with the test's state directory. bats' own descriptor 3 stays out.
rt() {
	"$THOLE" --root "$STATE" "$@" 3>&-
}

# From here on the runtime works where nobody may take another process's descriptors and memory by the calls made for
# that, as under the filter of an engine.
forbidden() {
	printf '#!/bin/sh\nexec "%s" forbid "%s" "$@"\n' "$HOST" "$THOLE" >"$BATS_TEST_TMPDIR/thole-forbidden"
	chmod 755 "$BATS_TEST_TMPDIR/thole-forbidden"
	THOLE=$BATS_TEST_TMPDIR/thole-forbidden
}

# The same without input and output: for what may leave a process behind and isn't create().
quietly() {
	rt "$@" </dev/null >/dev/null 2>&1
}

# create, run and so on for what lives on: its output goes to files, as bats would wait for the end
# of a pipe. Without arguments the bundle and the id of the test.
create() {
	rt create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$@" "$ID" \
		</dev/null >"$BATS_TEST_TMPDIR/out" 2>"$BATS_TEST_TMPDIR/err" || {
		cat "$BATS_TEST_TMPDIR/err" >&2
		return 1
	}
}

# A running container that waits.
running() {
	config_args sleep 1000
	create "$@" && rt start "$ID"
}

exec_in() {
	rt exec "$ID" "$@" </dev/null
}

# Runs the shell text in a new container; for bats' run.
in_container() {
	config_args sh -c "$1"
	rt run --bundle "$BUNDLE" "$ID" </dev/null
}

# The program and its arguments in a new container.
in_container_exec() {
	config_args "$@"
	rt run --bundle "$BUNDLE" "$ID" </dev/null
}

status_of() {
	rt state "${1:-$ID}" | jq -r .status
}

pid_of() {
	rt state "${1:-$ID}" | jq -r .pid
}

has_status() {
	[ "$(status_of "${2:-$ID}")" = "$1" ]
}

has_processes() {
	[ "$(rt ps --format json "$ID" | jq length)" -eq "$1" ]
}

# A port that nobody listens on, below those that the kernel chooses from: free_port [ANOTHER-ONE]
free_port() {
	local port

	for port in $(shuf -i 10000-30000 -n 50); do
		[ "$port" = "${1:-}" ] || (exec 7<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || { echo "$port" && return; }
	done
	return 1
}

# Directories of the test's cgroup in every hierarchy.
cgroup_dirs() {
	local root

	while read -r root; do
		[ -d "$root$CGROUP" ] && echo "$root$CGROUP"
	done < <(awk '{ for (i = 7; i <= NF; i++) if ($i == "-" && $(i + 1) ~ /^cgroup2?$/) print $5 }' \
		/proc/self/mountinfo | sort -u)
	return 0
}

# The mount point of a v1 controller, or nothing.
cgroup_v1() {
	awk -v c="$1" '$3 == "cgroup" && $4 ~ "(^|,)" c "(,|$)" { print $2; exit }' /proc/mounts
}

# Reads a limit of the container: from the v1 file or, where the controller is on v2, the v2 file.
cgroup_read() {
	local controller=$1 v1=$2 root

	root=$(cgroup_v1 "$controller")
	[ -n "$root" ] || skip "no v1 controller $controller on this machine"
	[ -e "$root/$v1" ] || [ -e "$root$CGROUP/$v1" ] || skip "the kernel has no $v1"
	cat "$root$CGROUP/$v1"
}

# What a failed call must not change: state, cgroups, mounts, processes of this test.
snapshot() {
	echo "state: $(find "$STATE" -mindepth 1 2>/dev/null | sort)"
	echo "cgroups: $(cgroup_dirs)"
	echo "mounts: $(awk '{ print $5 }' /proc/self/mountinfo | grep -F "$BATS_TEST_TMPDIR" | sort)"
	echo "processes: $(holders)"
}

# Processes that live in this test's rootfs, or run the runtime with its state directory.
holders() {
	local proc

	for proc in /proc/[0-9]*; do
		if [ "$proc/root" -ef "$ROOTFS" ] || { [ "$proc/exe" -ef "$THOLE" ] &&
			tr '\0' ' ' <"$proc/cmdline" 2>/dev/null | grep -qF "$STATE"; }; then
			echo "${proc#/proc/}"
		fi
	done
}

# The call must fail with one line on standard error and one record in the log, and leave nothing.
#	refused 'part of the message' create --bundle B ID
refused() {
	local text=$1 before after status=0 log=$BATS_TEST_TMPDIR/log.json
	local out=$BATS_TEST_TMPDIR/out err=$BATS_TEST_TMPDIR/err

	shift
	rm -f "$log"
	before=$(snapshot)
	# Files, not bats' run: what is not refused may live on and hold a pipe.
	rt --log "$log" --log-format json "$@" </dev/null >"$out" 2>"$err" || status=$?
	echo "status $status, stdout: $(cat "$out"), stderr: $(cat "$err")"
	[ "$status" -ne 0 ] || return
	[ ! -s "$out" ] || return
	[ "$(wc -l <"$err")" -eq 1 ] || return
	grep -qF -- "$text" "$err" || return
	[ "$(wc -l <"$log")" -eq 1 ] || { cat "$log"; return 1; }
	jq -e --arg text "$text" '.level == "error" and (.msg | contains($text)) and
		(.time | sub("\\.[0-9]+Z$"; "Z") | fromdateiso8601 > 0)' "$log" >/dev/null || {
		cat "$log"
		return 1
	}
	after=$(snapshot)
	[ "$before" = "$after" ] || {
		diff <(echo "$before") <(echo "$after")
		return 1
	}
}

refused_create() {
	rm -f "$PIDFILE"
	refused "$1" create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" || return
	[ ! -e "$PIDFILE" ]
}
