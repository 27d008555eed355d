# SPDX-License-Identifier: Apache-2.0
# Checkpoint and restore of the programs in tests/ckpt (cycle.h tells what they do). Source after bundle.bash.

# The programs, one static binary: made once a run.
ckpt_programs() {
	bundle_programs || return
	(
		flock 9
		[ -e "$BUNDLE_TOOLS/cycle" ] && exit
		${CC:-gcc} -O1 -static -pthread -D_GNU_SOURCE -I"$BATS_TEST_DIRNAME/../ckpt/$(uname -m)" \
			-o "$BUNDLE_TOOLS/cycle.new" "$BATS_TEST_DIRNAME"/../ckpt/*.c &&
			mv "$BUNDLE_TOOLS/cycle.new" "$BUNDLE_TOOLS/cycle"
	) 9>"$BATS_RUN_TMPDIR/cycle.lock"
}

# The tests are the same for root and for an ordinary user: the name of the file that is run says who.
cycle_setup() {
	only_thole "checkpoints by itself"
	DUMP_FLAGS='' RESTORE_FLAGS=''
	case $BATS_TEST_FILENAME in
	*-rootless.bats) setup_user ;;
	*) setup_root ;;
	esac
}

setup_root() {
	need_root
	bundle
	AS=rt
}

setup_user() {
	need setpriv
	bundle
	if [ "$(id -u)" = 0 ]; then
		USER_ID=$((20000 + RANDOM % 10000))
	else
		USER_ID=$(id -u)
	fi
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime-dir
	mkdir -m 700 "$XDG_RUNTIME_DIR"
	AS=user_rt
	cycle_own
	chmod a+rx "$BUNDLE_TOOLS"
	as_user unshare -U true 2>/dev/null || skip "the kernel lets no ordinary user make a user namespace"
	as_user test -x "$THOLE" || skip "$THOLE is out of reach for an ordinary user"
	rm "$BUNDLE/config.json"
	as_user "$THOLE" spec --rootless --bundle "$BUNDLE"
	config '.process.terminal = false | .root.readonly = false | .linux.namespaces += [{type: "network"}]'
}

cycle_teardown() {
	local dir

	[ -n "${AS:-}" ] || return 0
	if [ "$AS" = user_rt ]; then
		for dir in "$XDG_RUNTIME_DIR"/*/*/; do
			[ ! -d "$dir" ] || as_user "$THOLE" delete --force "$(basename "$dir")" || true
		done
		STATE=
	fi
	bundle_end
}

# What only one of the two can do, or does in another way.
root_only() {
	[ "$AS" = rt ] || skip "$1"
}

user_only() {
	[ "$AS" = user_rt ] || skip "$1"
}

# The files are those of who runs the container: what is linked from elsewhere excepted.
cycle_own() {
	[ "$AS" = rt ] || [ "$(id -u)" != 0 ] || chown -hR "$USER_ID:$USER_ID" "$BUNDLE" "$BATS_TEST_TMPDIR"
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

# The runtime, for half a minute at most.
cycle_timed() {
	case $AS in
	rt) timeout -s KILL 30 "$THOLE" --root "$STATE" "$@" ;;
	user_rt) as_user timeout -s KILL 30 "$THOLE" "$@" ;;
	esac
}

# A bundle that runs one of the programs.
cycle_bundle() {
	ln -f "$BUNDLE_TOOLS/cycle" "$ROOTFS/bin/cycle"
	mkdir -p "$ROOTFS/cycle"
	config_args cycle "$1"
	IMAGE=$BATS_TEST_TMPDIR/image
	OUT=$BATS_TEST_TMPDIR/out
}

cycle_start() {
	$AS create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 &&
		$AS start "$ID" && eventually cycle_is ready && return
	cat "$OUT" "$ROOTFS/cycle/result" 2>/dev/null
	return 1
}

# The program has come so far, or has ended before.
cycle_is() {
	[ -e "$ROOTFS/cycle/$1" ] || [ -e "$ROOTFS/cycle/result" ]
}

# What this kernel or this container has not is no failure.
cycle_skipped() {
	if grep -qs '^SKIP: ' "$ROOTFS/cycle/result"; then
		skip "$(sed -n 's/^SKIP: //p' "$ROOTFS/cycle/result" | head -n 1)"
	fi
	[ ! -e "$ROOTFS/cycle/result" ] || { cat "$ROOTFS/cycle/result"; return 1; }
}

# Saves the container $ID, and goes on from there as $1; further arguments are flags of both. Flags of
# one of the two are in DUMP_FLAGS and RESTORE_FLAGS, a command to run between them in BETWEEN.
cycle_once() {
	local next=$1

	shift
	# shellcheck disable=SC2086
	$AS checkpoint --image-path "$IMAGE" $DUMP_FLAGS "$@" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	eventually cycle_gone "$(cat "$PIDFILE")"
	$AS delete --force "$ID" || return
	${BETWEEN:-:}
	# shellcheck disable=SC2086
	$AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach $RESTORE_FLAGS "$@" "$next" \
		</dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	ID=$next
}

cycle_gone() {
	is_gone "$1"
}

# Lets the program go on, and wants its OK.
cycle_end() {
	touch "$ROOTFS/cycle/go"
	eventually test -e "$ROOTFS/cycle/result" || { $AS state "$ID"; return 1; }
	eventually cycle_gone "$(cat "$PIDFILE")" || echo "it does not end"
	cat "$ROOTFS/cycle/result"
	[ "$(cat "$ROOTFS/cycle/result")" = OK ]
}

# survives NAME [FLAG...]: two cycles, each under another id; the second image is made of what was restored.
survives() {
	local name=$1 id=$ID

	shift
	cycle_bundle "$name"
	cycle_own
	cycle_start && cycle_skipped && cycle_once "$id-2" "$@" && cycle_once "$id-3" "$@" && cycle_end
}

# not_saved NAME 'part of the reason' [FLAG...]: refused by name, and the container goes on untouched.
not_saved() {
	local name=$1 why=$2

	shift 2
	cycle_bundle "$name"
	cycle_own
	cycle_start && cycle_skipped || return
	if $AS checkpoint --image-path "$IMAGE" "$@" "$ID" </dev/null >"$OUT" 2>&1; then
		echo "it was saved"
		return 1
	fi
	cat "$OUT"
	grep -qF -- "$why" "$OUT" && [ ! -e "$IMAGE" ] && cycle_end
}
