#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Each program of tests/ckpt goes through a checkpoint and a restore under another id, as an ordinary user.

load bundle
load ckpt
setup_file() { ckpt_programs; }

setup() {
	need setpriv
	only_thole "checkpoints by itself"
	bundle
	if [ "$(id -u)" = 0 ]; then
		USER_ID=$((20000 + RANDOM % 10000))
	else
		USER_ID=$(id -u)
	fi
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime-dir
	mkdir -m 700 "$XDG_RUNTIME_DIR"
	cycle_own
	chmod a+rx "$BUNDLE_TOOLS"
	as_user unshare -U true 2>/dev/null || skip "the kernel lets no ordinary user make a user namespace"
	as_user test -x "$THOLE" || skip "$THOLE is out of reach for an ordinary user"
	rm "$BUNDLE/config.json"
	as_user "$THOLE" spec --rootless --bundle "$BUNDLE"
	config '.process.terminal = false | .root.readonly = false | .linux.namespaces += [{type: "network"}]'
	AS=user_rt
}

teardown() {
	local dir

	for dir in "$XDG_RUNTIME_DIR"/*/*/; do
		[ ! -d "$dir" ] || as_user "$THOLE" delete --force "$(basename "$dir")" || true
	done
	STATE= bundle_end
}

# The user's own: what is linked from elsewhere excepted.
cycle_own() {
	[ "$(id -u)" != 0 ] || chown -hR "$USER_ID:$USER_ID" "$BUNDLE" "$BATS_TEST_TMPDIR"
}

as_user() {
	if [ "$(id -u)" = 0 ]; then
		setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --inh-caps=-all \
			env -i "PATH=$PATH" "HOME=$BATS_TEST_TMPDIR" "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" "$@" 3>&-
	else
		"$@" 3>&-
	fi
}

user_rt() {
	as_user "$THOLE" "$@"
}

@test "tree" {
	survives tree
}

@test "zombies" {
	survives zombies
}

@test "sessions" {
	survives sessions
}

@test "orphans" {
	survives orphans
}

@test "stopped" {
	survives stopped
}

@test "deathsigs" {
	survives deathsigs
}

@test "busy" {
	survives busy
}

@test "threads" {
	survives threads
}

@test "threads-1000" {
	survives threads-1000
}

@test "robust-list" {
	survives robust-list
}

@test "rseq" {
	survives rseq
}

@test "rlimits" {
	survives rlimits
}

@test "scheduling" {
	survives scheduling
}

@test "names" {
	survives names
}

@test "places" {
	survives places
}

@test "personality" {
	survives personality
}

@test "credentials" {
	survives credentials
}

@test "rights" {
	survives rights
}

@test "registers" {
	survives registers
}

@test "signal-actions" {
	survives signal-actions
}

@test "signal-pending" {
	survives signal-pending
}

@test "signal-handler" {
	survives signal-handler
}

@test "timers-interval" {
	survives timers-interval
}

@test "timers-alarm" {
	survives timers-alarm
}

@test "timers-posix" {
	survives timers-posix
}

@test "clocks" {
	survives clocks
}

@test "vdso" {
	survives vdso
}

@test "namespaces" {
	survives namespaces
}

@test "waits" {
	survives waits
}

@test "sleeps" {
	survives sleeps
}

@test "memory" {
	survives memory
}

@test "memory-advice" {
	survives memory-advice
}

@test "memory-growing" {
	survives memory-growing
}

@test "memory-shared" {
	survives memory-shared
}

@test "memory-3000" {
	survives memory-3000
}

@test "files" {
	survives files
}

@test "files-shared" {
	survives files-shared
}

@test "files-deleted" {
	survives files-deleted
}

@test "devices" {
	survives devices
}

@test "pipes" {
	survives pipes
}

@test "pipes-sizes" {
	survives pipes-sizes
}

@test "fifos" {
	survives fifos
}

@test "eventfds" {
	survives eventfds
}

@test "timerfds" {
	survives timerfds
}

@test "signalfds" {
	survives signalfds
}

@test "epolls" {
	survives epolls
}

@test "unix-pairs" {
	survives unix-pairs
}

@test "unix-descriptors" {
	survives unix-descriptors
}

@test "unix-listeners" {
	survives unix-listeners
}

@test "unix-connections" {
	survives unix-connections
}

@test "unix-datagrams" {
	survives unix-datagrams
}

@test "tcp-listeners" {
	survives tcp-listeners
}

@test "udp" {
	survives udp
}

@test "tty-pairs" {
	survives tty-pairs
}

@test "tty-controlling" {
	survives tty-controlling
}

@test "what was typed at a terminal and not read is refused" {
	not_saved tty-typed "what was typed at its terminal was not read"
}

@test "tcp-established" {
	survives tcp-established --tcp-established
}

@test "tcp-closed" {
	DUMP_FLAGS=--tcp-established RESTORE_FLAGS=--tcp-close
	survives tcp-closed
}

@test "tcp-established is refused on the network of the host" {
	config '.linux.namespaces -= [{type: "network"}]'
	not_saved tcp-established "where the network is the container's own" --tcp-established
}

@test "tcp-established is refused without a flag" {
	not_saved tcp-established "--tcp-established"
}

@test "twice in a row: threads, pipes, timers, interrupted calls" {
	survives_twice waits
}
