# SPDX-License-Identifier: Apache-2.0
# Checkpoint and restore of the programs in tests/ckpt (cycle.h tells what they do). Source after bundle.bash.

load user

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

# The tests are the same for root, for an ordinary user, and for a program that has all of its files, and lies itself, in
# a directory that a supervisor shows: the name of the file that is run says which.
cycle_setup() {
	only_thole "checkpoints by itself"
	DUMP_FLAGS='' RESTORE_FLAGS='' COW=
	case $BATS_TEST_FILENAME in
	*-rootless.bats) setup_user ;;
	*-cow.bats)
		COW=1
		setup_root
		;;
	*) setup_root ;;
	esac
}

setup_root() {
	need_root
	bundle
	AS=rt
}

setup_user() {
	bundle
	AS=user_rt
	user_spec '.root.readonly = false | .linux.namespaces += [{type: "network"}]'
}

cycle_teardown() {
	[ -n "${AS:-}" ] || return 0
	user_end
}

# What only one of the two can do, or does in another way.
root_only() {
	[ "$AS" = rt ] || skip "$1"
}

user_only() {
	[ "$AS" = user_rt ] || skip "$1"
}

# The runtime, for a while at most.
cycle_timed() {
	case $AS in
	rt) timeout -s KILL 100 "$THOLE" --root "$STATE" "$@" ;;
	user_rt) as_user timeout -s KILL 100 "$THOLE" "$@" ;;
	esac
}

# A bundle that runs one of the programs.
cycle_bundle() {
	ln -f "$BUNDLE_TOOLS/cycle" "$ROOTFS/bin/cycle"
	mkdir -p "$ROOTFS/cycle"
	config_args cycle "$1"
	[ -z "${CYCLE_SEED:-}" ] || config ".process.env += [\"CYCLE_SEED=$CYCLE_SEED\"]"
	[ -z "$COW" ] || cycle_in_layer "$1"
	IMAGE=$BATS_TEST_TMPDIR/image
	OUT=$BATS_TEST_TMPDIR/out
}

cycle_in_layer() {
	cp "$BUNDLE_TOOLS/cycle" "$ROOTFS/cycle/program"
	config_args /cycle/program "$1"
	config '.process.cwd = "/cycle" | .annotations += {"run.thole.cow": "/cycle", "run.thole.cow.backend": "notify"}'
}

# Where the program's files are for us: cycle_files [ID ROOTFS]
cycle_files() {
	if [ -n "$COW" ]; then
		$AS state "${1:-$ID}" | jq -r '.layers[0].upper'
	else
		echo "${2:-$ROOTFS}/cycle"
	fi
}

cycle_start() {
	$AS create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 &&
		$AS start "$ID" && eventually cycle_is ready && return
	cat "$OUT" "$(cycle_files)/result" 2>/dev/null
	return 1
}

# The program has come so far, or has ended before.
cycle_is() {
	local files

	files=$(cycle_files)
	[ -e "$files/$1" ] || [ -s "$files/result" ]
}

# What this kernel or this container has not is no failure.
cycle_skipped() {
	local result

	result=$(cycle_files)/result
	if grep -qs '^SKIP: ' "$result"; then
		skip "$(sed -n 's/^SKIP: //p' "$result" | head -n 1)"
	fi
	[ ! -e "$result" ] || { cat "$result"; return 1; }
}

# Saves the container $ID, and goes on from there as $1; further arguments are flags of both. Flags of
# one of the two are in DUMP_FLAGS and RESTORE_FLAGS, a command to run between them in BETWEEN.
cycle_once() {
	local next=$1

	shift
	# shellcheck disable=SC2086
	$AS checkpoint --image-path "$IMAGE" $DUMP_FLAGS "$@" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	eventually is_gone "$(cat "$PIDFILE")"
	$AS delete --force "$ID" || return
	${BETWEEN:-:}
	# shellcheck disable=SC2086
	$AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach $RESTORE_FLAGS "$@" "$next" \
		</dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	ID=$next
}

# Lets the program go on, and wants its OK.
cycle_end() {
	local files

	files=$(cycle_files)
	touch "$files/go"
	eventually test -s "$files/result" || { $AS state "$ID"; return 1; }
	eventually is_gone "$(cat "$PIDFILE")" || echo "it does not end"
	cat "$files/result"
	[ "$(cat "$files/result")" = OK ]
}

# survives NAME [FLAG...]: two cycles, each under another id; the second image is made of what was restored.
survives() {
	local name=$1 id=$ID

	shift
	cycle_bundle "$name"
	user_own
	cycle_start && cycle_skipped && cycle_once "$id-2" "$@" && cycle_once "$id-3" "$@" && cycle_end
}

# not_saved NAME 'part of the reason' [FLAG...]: refused by name, and the container goes on untouched.
not_saved() {
	local name=$1 why=$2

	shift 2
	cycle_bundle "$name"
	user_own
	cycle_start && cycle_skipped || return
	if $AS checkpoint --image-path "$IMAGE" "$@" "$ID" </dev/null >"$OUT" 2>&1; then
		echo "it was saved"
		return 1
	fi
	cat "$OUT"
	grep -qF -- "$why" "$OUT" && [ ! -e "$IMAGE" ] && cycle_end
}
