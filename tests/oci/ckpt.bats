#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Each program of tests/ckpt goes through two checkpoints in a row, each restored under another id. The same file is
# ckpt-rootless.bats by a link, and then an ordinary user does it.

load bundle
load ckpt
setup_file() { ckpt_programs; }
setup() { cycle_setup; }
teardown() { cycle_teardown; }

# Each fourth program, from that one on.
unchanged() {
	local name failed=

	for name in $("$BUNDLE_TOOLS/cycle" | awk -v from="$1" 'NR % 4 == from'); do
		# a supervisor has the only listener
		case $name$COW in
		tcp-closed | tcp-closed1 | filter-asking1) continue ;;
		esac
		rm -rf "$ROOTFS/cycle"
		cycle_bundle "$name"
		touch "$ROOTFS/cycle/go"
		user_own
		cycle_timed run --bundle "$BUNDLE" "$ID-$name" </dev/null >"$OUT" 2>&1 3>&- || true
		grep -qE '^(OK|SKIP: .*)$' "$OUT" || {
			echo "$name: $(cat "$OUT")"
			failed=1
		}
	done
	[ -z "$failed" ]
}

@test "the programs find nothing changed where nothing happens" { unchanged 0; }
@test "nor do further ones" { unchanged 1; }
@test "nor others" { unchanged 2; }
@test "nor the rest" { unchanged 3; }

@test "tree" { survives tree; }
@test "zombies" { survives zombies; }
@test "sessions" { survives sessions; }
@test "orphans" { survives orphans; }
@test "stopped" { survives stopped; }
@test "deathsigs" { survives deathsigs; }
@test "busy" { survives busy; }
@test "hurried" { survives hurried; }
@test "threads-hurried" { survives threads-hurried; }
@test "threads" { survives threads; }
@test "threads-1000" { survives threads-1000; }
@test "threads-alike" { survives threads-alike; }
@test "robust-list" { survives robust-list; }
@test "rseq" { survives rseq; }
@test "rlimits" { survives rlimits; }
@test "scheduling" { survives scheduling; }
@test "names" { survives names; }
@test "places" { survives places; }
@test "places-within" { survives places-within; }
@test "personality" { survives personality; }
@test "credentials" { survives credentials; }
@test "rights" { survives rights; }
@test "keyrings-empty" { survives keyrings-empty; }
@test "key-of-process" { not_saved key-of-process "its process keyring holds 1 key: no key"; }
@test "key-of-thread" { not_saved key-of-thread "its thread keyring holds 1 key: no key"; }
@test "key-of-threads-session" { not_saved key-of-threads-session "its session keyring holds 1 key: no key"; }
@test "key-of-session" { not_saved key-of-session "its session keyring holds 1 key: no key"; }
@test "traits" { survives traits; }
@test "registers" { survives registers; }
@test "signal-actions" { survives signal-actions; }
@test "signal-pending" { survives signal-pending; }
@test "signal-handler" { survives signal-handler; }
@test "timers-interval" { survives timers-interval; }
@test "timers-alarm" { survives timers-alarm; }
@test "timers-posix" { survives timers-posix; }
@test "timers-processor" { survives timers-processor; }
@test "timers-waiting" { survives timers-waiting; }
@test "timers-overrun" { survives timers-overrun; }
@test "clocks" { survives clocks; }
@test "clocks: in a time namespace they go on from where they stood" {
	config '.linux.namespaces += [{type: "time"}] |
		.linux.timeOffsets = {monotonic: {secs: 1000000, nanosecs: 7}, boottime: {secs: 2000000, nanosecs: 999999999}}'
	BETWEEN=clocks_between
	survives clocks-kept
}

# What the bundle says now is of no account.
clocks_between() {
	sleep 2
	config '.linux.timeOffsets = {monotonic: {secs: 5, nanosecs: 0}}'
}

@test "clocks: an image is refused where they would go back" {
	config '.linux.namespaces += [{type: "time"}] | .linux.timeOffsets = {monotonic: {secs: 1000000, nanosecs: 0}}'
	cycle_bundle clocks
	user_own
	cycle_start
	$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null
	$AS delete --force "$ID"
	config '.linux.namespaces -= [{type: "time"}] | del(.linux.timeOffsets)'
	run -1 --separate-stderr $AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID-2" </dev/null
	echo "$stderr"
	[[ $stderr = *"the monotonic clock would go back"* ]]
	run -1 $AS state "$ID-2"
}

@test "vdso" { survives vdso; }

# The image as another kernel would have made it: its vDSO has another byte, where nothing is.
other_kernel() {
	local vouch=$BUNDLE_TOOLS/vouch digests map

	printf '\001' | dd of="$IMAGE/vdso.bin" bs=1 seek=15 conv=notrunc status=none
	digests=$("$vouch" "$IMAGE")
	for map in "$IMAGE"/process.*.memory_map.json; do
		jq -c --argjson d "$digests" '.vdso = $d["vdso.bin"].digest' "$map" >"$map.new" && mv "$map.new" "$map" || return
	done
	digests=$("$vouch" "$IMAGE")
	jq -c --argjson d "$digests" '.files |= map(. + ($d[.name] // {}))' "$IMAGE/meta.json" >"$IMAGE.meta" &&
		cat "$IMAGE.meta" >"$IMAGE/meta.json" && "$vouch" "$IMAGE" inventory
}

vdso_at() {
	awk '$6 == "[vdso]" { print $1 }' "/proc/$(cat "$PIDFILE")/maps"
}

@test "the vDSO of another kernel" {
	local was

	[ -x "$BUNDLE_TOOLS/vouch" ] || ${CC:-gcc} -O1 -D_GNU_SOURCE -o "$BUNDLE_TOOLS/vouch" "$BATS_TEST_DIRNAME/vouch.c" -lxxhash ||
		skip "libxxhash is not installed for programs to use"
	cycle_bundle other-vdso
	user_own
	cycle_start
	cycle_skipped
	was=$(vdso_at)
	BETWEEN=other_kernel
	cycle_once "$ID-2"
	[ -n "$(vdso_at)" ] && [ "$(vdso_at)" != "$was" ]
	grep -q "^$was r-xp 00000000 00:00 0 *$" "/proc/$(cat "$PIDFILE")/maps"
	cycle_once "$ID-3"
	cycle_end
}

@test "a vDSO that the image does not tell is refused" {
	cycle_bundle other-vdso
	user_own
	cycle_start
	cycle_skipped
	[ -x "$BUNDLE_TOOLS/vouch" ] || ${CC:-gcc} -O1 -D_GNU_SOURCE -o "$BUNDLE_TOOLS/vouch" "$BATS_TEST_DIRNAME/vouch.c" -lxxhash ||
		skip "libxxhash is not installed for programs to use"
	$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null
	$AS delete --force "$ID"
	other_kernel
	# no vDSO at all in the copy, as if it were one of a kernel that is not known here
	printf '\000' | dd of="$IMAGE/vdso.bin" bs=1 seek=0 conv=notrunc status=none
	other_kernel
	run -1 --separate-stderr $AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --detach "$ID-2" </dev/null
	[[ $stderr == *"is not that of the kernel the image was made on"*"is mapped as the vDSO is not one"* ]]
	run -1 $AS state "$ID-2"
}

@test "namespaces" { survives namespaces; }
@test "waits" { survives waits; }
@test "waits-futexes" { survives waits-futexes; }
@test "waits-descriptors" { survives waits-descriptors; }
@test "waits-others" { survives waits-others; }
@test "sleeps" { survives sleeps; }
@test "memory" { survives memory; }
@test "memory-advice" { survives memory-advice; }
@test "memory-growing" { survives memory-growing; }
@test "memory-shared" { survives memory-shared; }
@test "memory-3000" { survives memory-3000; }
@test "files" { survives files; }
@test "files-shared" { survives files-shared; }
@test "directory-read" {
	# its names are all of the upper side
	if [ -n "$COW" ]; then
		not_saved directory-read "has come to the names that were made in it"
	else
		survives directory-read
	fi
}
@test "directory-in-memory" { not_saved directory-in-memory "the directory, which is in memory alone, is being read"; }
@test "files-deleted" { survives files-deleted; }
@test "files-deleted-mapped" { survives files-deleted-mapped; }
@test "files-deleted-large" { not_saved files-deleted-large "more than the 256 MiB"; }
@test "files-deleted-linked" { survives files-deleted-linked; }
@test "owners" { survives owners; }
@test "leased" { not_saved leased "lease"; }
@test "locks are refused without a flag" { not_saved locks "--file-locks"; }

@test "locks" {
	DUMP_FLAGS=--file-locks
	survives locks
}

@test "watches" { survives watches; }
@test "watches-unread" { not_saved watches-unread "events were not read yet"; }
@test "queues" { survives queues; }
@test "queues-notified" { not_saved queues-notified "mq_notify"; }

@test "host-name" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	survives host-name
}

@test "mounts" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	survives mounts
}

@test "mounts-over" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	not_saved mounts-over "/cycle/memory/deep: the container mounted it itself, over files in memory"
}

@test "mounts-over-all" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	not_saved mounts-over-all "/dev/shm: the container mounted it itself, over a file system in memory"
}

@test "mounts-removed" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	not_saved mounts-removed "/dev/mqueue: the container has removed the mount"
}

@test "mounts-weaker" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	not_saved mounts-weaker "/dev/shm: the container has remounted it with fewer restrictions"
}

@test "mounts-other" {
	config '.process.capabilities |= map_values(. + ["CAP_SYS_ADMIN"])'
	not_saved mounts-other "a file system of type devpts can't be mounted again"
}

@test "tmpfs-tree" { survives tmpfs-tree; }
@test "tmpfs-used" { survives tmpfs-used; }

@test "tmpfs-flags" {
	config '.process.capabilities |= map_values(. + ["CAP_LINUX_IMMUTABLE"])'
	survives tmpfs-flags
}

@test "tmpfs-emptied" {
	local host=$BATS_TEST_TMPDIR/host

	mkdir -p "$host" "$ROOTFS/scratch/dir" "$ROOTFS/scratch/mnt"
	echo "the host's" >"$host/host"
	echo gone >"$ROOTFS/scratch/copied"
	echo below >"$ROOTFS/scratch/dir/below"
	echo kept >"$ROOTFS/scratch/kept"
	config_mount '{destination: "/scratch", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}'
	config_mount "{destination: \"/scratch/mnt\", source: \"$host\", options: [\"bind\"]}"
	survives tmpfs-emptied
	[ "$(cat "$host/host")" = "the host's" ]
}

@test "devices" { survives devices; }
@test "pidfds" { survives pidfds; }
@test "pipes" { survives pipes; }
@test "pipes-sizes" { survives pipes-sizes; }
@test "fifos" { survives fifos; }
@test "eventfds" { survives eventfds; }
@test "timerfds" { survives timerfds; }
@test "signalfds" { survives signalfds; }
@test "epolls" { survives epolls; }
@test "unix-pairs" { survives unix-pairs; }
@test "unix-descriptors" { survives unix-descriptors; }
@test "unix-listeners" { survives unix-listeners; }
@test "unix-awaited" { survives unix-awaited; }
@test "unix-connections" { survives unix-connections; }
@test "unix-datagrams" { survives unix-datagrams; }
@test "unix-replaced" { survives unix-replaced; }
@test "unix-outlived" { survives unix-outlived; }

@test "unix-credentials" {
	[ "$AS" = user_rt ] || config '.process.capabilities[] += ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"]'
	survives unix-credentials
}

@test "tcp-listeners" { survives tcp-listeners; }
@test "udp" { survives udp; }
@test "multicast" { survives multicast; }

# Whether the network is its own, and what is in there.
net_admin() {
	config '.process.capabilities[] += ["CAP_NET_ADMIN"]'
}

@test "loopback-address" { net_admin; survives loopback-address; }
@test "loopback-down" { net_admin; survives loopback-down; }

@test "an interface that nothing gives to the container again is refused" {
	root_only "to give it one takes the rights of the host"
	need ip
	cycle_bundle tcp-listeners
	cycle_start
	ip link add name "g$$" type veth peer name "h$$" 2>/dev/null || skip "the kernel has no veth interfaces"
	ip link set dev "g$$" netns "$(cat "$PIDFILE")" name eth7
	nsenter --net="/proc/$(cat "$PIDFILE")/ns/net" ip link set dev eth7 up
	run -1 --separate-stderr $AS checkpoint --image-path "$IMAGE" "$ID"
	[[ $stderr = *"network interface eth7"* ]]
	cycle_end
}
@test "tty-pairs" { survives tty-pairs; }
@test "tty-controlling" { survives tty-controlling; }

filter_bundle() {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["getpriority"],
		action: "SCMP_ACT_ERRNO", errnoRet: 78}]}'
}

@test "filter-bundle" {
	filter_bundle
	survives filter-bundle
}

@test "filter-bundle: without no_new_privs and CAP_SYS_ADMIN" {
	filter_bundle
	config '.process.noNewPrivileges = false | .process.capabilities |= map_values([])
		| .annotations["run.thole.landlock"] = "off"'
	survives filter-bundle
}

@test "filter-bundle: with filters that programs added" {
	root_only "the kernel does not show an ordinary user the filters of others"
	filter_bundle
	survives filter-own
}

# What podman gives a container without capabilities; nothing that a dump or a restore does may fall to it.
@test "filter-bundle: the one of podman" {
	local profile=/usr/share/containers/seccomp.json

	[ -e "$profile" ] || skip "there is no $profile"
	jq --slurpfile from "$profile" '.linux.seccomp = ($from[0] | {defaultAction, defaultErrnoRet,
		syscalls: [.syscalls[] | select((.includes.caps // []) == [] and
			(.includes.arches // ["amd64", "arm64"] | any(. == "amd64" or . == "arm64")))
			| {names, action, args} + (if .errnoRet then {errnoRet} else {} end)
			| if .args == [] then del(.args) else . end]})' "$BUNDLE/config.json" >"$BUNDLE/new" &&
		mv "$BUNDLE/new" "$BUNDLE/config.json"
	survives waits
}

@test "filter-bundle: one that forbids what a dump does" {
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [{names: ["sigaltstack"],
		action: "SCMP_ACT_KILL_PROCESS"}, {names: ["getpriority"], action: "SCMP_ACT_ERRNO", errnoRet: 78}]}'
	if [ "$AS" = rt ]; then
		survives filter-bundle
	else
		not_saved filter-bundle "does not allow sigaltstack"
	fi
}

# As root they are back; an ordinary user is not shown them.
filter_own() {
	if [ "$AS" = rt ]; then
		survives "$1"
	else
		not_saved "$1" "$2"
	fi
}

@test "filter-own" { filter_own filter-own "shown to root alone"; }
@test "filter-tree" { filter_own filter-tree "shown to root alone"; }
@test "filter-threads" { filter_own filter-threads "shown to root alone"; }
@test "filter-sync" { filter_own filter-sync "shown to root alone"; }
@test "filter-strict" { filter_own filter-strict "strict mode"; }

@test "filter-asking is refused" {
	local why="asks a listener"

	[ "$AS" = rt ] || why="shown to root alone"
	[ -z "$COW" ] || skip "a process has one listener at most: it is the supervisor's"
	not_saved filter-asking "$why"
}

@test "a bundle whose filter asks a listener is refused" {
	local sock=$BATS_TEST_TMPDIR/notify.sock

	root_only "one is enough"
	[ -z "$COW" ] || skip "a process has one listener at most: it is the supervisor's"
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", listenerPath: $p,
		syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}' --arg p "$sock"
	cycle_bundle timers-alarm
	"$HOST" receive "$sock" sh -c '"$THOLE" --root "$STATE" create --bundle "$BUNDLE" --pid-file "$1" "$ID" &&
		"$THOLE" --root "$STATE" start "$ID"' sh "$PIDFILE" </dev/null >/dev/null 2>&1 3>&-
	eventually cycle_is ready
	if rt checkpoint --image-path "$IMAGE" "$ID" </dev/null >"$OUT" 2>&1; then
		echo "it was saved"
		return 1
	fi
	cat "$OUT"
	grep -qF "asks a listener" "$OUT" && [ ! -e "$IMAGE" ] && cycle_end
}

@test "a Landlock domain of its own is refused: the first process" {
	not_saved domain-first "has restricted itself by Landlock"
}

@test "a Landlock domain of its own is refused: a child" {
	not_saved domain-child "has restricted itself by Landlock"
}

@test "a Landlock domain of its own is refused: a thread" {
	not_saved domain-thread "has restricted itself by Landlock"
}

@test "a Landlock domain of its own is refused: where the bundle has none" {
	config '.annotations["run.thole.landlock"] = "off"'
	not_saved domain-first "has restricted itself by Landlock"
}

@test "domain-none" {
	config '.process.capabilities |= map_values(. + ["CAP_SETUID", "CAP_SETGID"])'
	survives domain-none
}

@test "domain-none: where the bundle has none" {
	config '.process.capabilities |= map_values(. + ["CAP_SETUID", "CAP_SETGID"])
		| .annotations["run.thole.landlock"] = "off"'
	survives domain-none
}

@test "what was typed at a terminal and not read is refused" {
	not_saved tty-typed "what was typed at its terminal was not read"
}

# By name, and the container goes on.
@test "names-of-a-moment" { survives names-of-a-moment; }
@test "refused-names" { not_saved refused-names "namespace of its own"; }
@test "refused-pids" { not_saved refused-pids "namespace of its own"; }
@test "refused-files" { not_saved refused-files "it shares its descriptor table with process 1"; }
@test "refused-vfork" { not_saved refused-vfork "it shares its memory with process"; }
@test "refused-traced" { not_saved refused-traced "it is being traced by process"; }
@test "refused-dispatch" { not_saved refused-dispatch "PR_SET_SYSCALL_USER_DISPATCH"; }

@test "a pid namespace within is refused" {
	not_saved nested "another pid namespace"
}

@test "a thread in a network namespace of its own is refused" {
	root_only "it takes CAP_SYS_ADMIN"
	config '.process.capabilities[] += ["CAP_SYS_ADMIN"]'
	not_saved refused-thread-net "a thread has a net namespace of its own"
}

@test "a thread in a network namespace of its own among many is refused" {
	root_only "it takes CAP_SYS_ADMIN"
	config '.process.capabilities[] += ["CAP_SYS_ADMIN"]'
	not_saved refused-threads-net "a thread has a net namespace of its own"
}

@test "a thread with rights of its own among many is refused" {
	not_saved refused-threads-rights "its threads have different credentials"
}

@test "tcp-established" {
	survives tcp-established --tcp-established
}

@test "tcp-half, twice in a row" {
	DUMP_FLAGS=--tcp-established
	survives tcp-half
}

@test "tcp-anew" {
	survives tcp-anew --tcp-established
}

@test "tcp-mapped" {
	survives tcp-mapped --tcp-established
}

@test "the preflight knows the flags" {
	cycle_bundle tcp-established
	user_own
	cycle_start && cycle_skipped
	run -1 $AS checkpoint --check "$ID"
	[[ $output == *"it is an open connection"* ]]
	run -0 $AS checkpoint --check --tcp-established "$ID"
	run -0 $AS checkpoint --check --tcp-close "$ID"
	cycle_end
}

@test "tcp-closed at the checkpoint, and twice in a row" {
	DUMP_FLAGS=--tcp-close
	survives tcp-closed
}

@test "tcp-closed" {
	DUMP_FLAGS=--tcp-established RESTORE_FLAGS=--tcp-close
	survives tcp-closed
}

@test "failed-sockets" { survives failed-sockets; }

@test "tcp-established is refused on the network of the host" {
	user_only "root has the right to repair connections there"
	config '.linux.namespaces -= [{type: "network"}]'
	not_saved tcp-established "where the network is the container's own" --tcp-established
}

@test "tcp-established is refused without a flag" {
	not_saved tcp-established "--tcp-established"
}

# on_terminal COMMAND...: with a terminal of 30 rows and 90 columns, in the background.
on_terminal() {
	export THOLE STATE USER_ID
	export -f rt as_user user_rt
	SHELL=/bin/bash script -qec "stty rows 30 cols 90; $AS $*" /dev/null </dev/null >"$OUT" 2>&1 3>&- &
	TERMINAL=$!
}

@test "the container's own terminal, in the foreground" {
	need script
	cycle_bundle tree
	config '.process.terminal = true'
	config_args sh -c 'trap "" HUP; stty -echo intr ^T; echo >/cycle/ready; until [ -e /cycle/go ]; do sleep 0.05; done
		echo "$(tty) $(stty -a | grep -o "intr = ..")" >/cycle/result; exit 7'
	user_own
	on_terminal run --bundle "$BUNDLE" "$ID"
	eventually cycle_is ready
	$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null
	wait "$TERMINAL" || true
	on_terminal restore --bundle "$BUNDLE" --image-path "$IMAGE" "$ID-2"
	eventually $AS state "$ID-2"
	files=$(cycle_files "$ID-2")
	touch "$files/go"
	status=0
	wait "$TERMINAL" || status=$?
	cat "$OUT"
	[ "$status" -eq 7 ]
	[ -n "$COW" ] || [ "$(cat "$files/result")" = "/dev/pts/0 intr = ^T" ]
}


@test "has-io-uring is refused" { not_saved has-io-uring "an io_uring"; }
@test "has-userfaultfd is refused" { not_saved has-userfaultfd "a userfaultfd serves"; }
@test "has-secret-memory is refused" { not_saved has-secret-memory "memfd_secret(2) is hidden"; }
@test "has-netlink is refused" { not_saved has-netlink "netlink sockets can't be restored"; }
@test "has-packets is refused" { not_saved has-packets "packet sockets can't be restored"; }
@test "has-namespace is refused" { not_saved has-namespace "a namespace that is held open"; }

@test "System V objects are refused, and named by the preflight" {
	cycle_bundle sysv
	user_own
	cycle_start && cycle_skipped
	run -1 $AS checkpoint --check "$ID"
	echo "$output"
	[[ $output == *"System V semaphore sets"*"can't be restored"* ]]
	run -1 $AS checkpoint --image-path "$IMAGE" "$ID"
	[[ $output == *"System V semaphore sets: can't be restored"* && ! -e $IMAGE ]]
	cycle_end
}

@test "one image is restored five times at once, each with clocks of its own" {
	local bundle=$BUNDLE copy pid files pids=()

	config '.linux.namespaces += [{type: "time"}]'
	cycle_bundle clocks
	user_own
	cycle_start && cycle_skipped
	$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null
	$AS delete --force "$ID"
	for copy in 1 2 3 4 5; do
		cp -a "$bundle" "$bundle-$copy"
		BUNDLE=$bundle-$copy
		config "if .linux.cgroupsPath then .linux.cgroupsPath += \"-$copy\" else . end"
	done
	for copy in 1 2 3 4 5; do
		$AS restore --bundle "$bundle-$copy" --image-path "$IMAGE" --detach "$ID-$copy" \
			</dev/null >"$OUT-$copy" 2>&1 3>&- &
		pids+=($!)
	done
	for pid in "${pids[@]}"; do
		wait "$pid" || { cat "$OUT"-*; return 1; }
	done
	for copy in 1 2 3 4 5; do
		files=$(cycle_files "$ID-$copy" "$bundle-$copy/rootfs")
		touch "$files/go"
		eventually test -s "$files/result"
		cat "$files/result"
		[ "$(cat "$files/result")" = OK ]
	done
	$AS image verify "$IMAGE"
}
