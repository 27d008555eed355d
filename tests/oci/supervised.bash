# SPDX-License-Identifier: Apache-2.0
# Supervisors as processes, and an ordinary user's containers. Source after bundle.bash; setup sets USER_ID to nothing.

# Ends the user's containers first, then the test's.
supervised_end() {
	local dir

	if [ -n "${USER_ID:-}" ]; then
		for dir in "$BATS_TEST_TMPDIR"/runtime-dir/*/*/; do
			[ ! -d "$dir" ] || as_user "$THOLE" delete --force "$(basename "$dir")" || true
		done
	fi
	bundle_end
}

as_user() {
	setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --inh-caps=-all \
		env -i "PATH=$PATH" "HOME=$BATS_TEST_TMPDIR" "XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime-dir" "$@" 3>&-
}

# The supervisors of this test.
supervisors() {
	local proc

	for proc in /proc/[0-9]*; do
		[ "$(cat "$proc/comm" 2>/dev/null)" = thole-super ] || continue
		! grep -q '^State:.[ZX]' "$proc/status" 2>/dev/null || continue
		tr '\0' ' ' <"$proc/cmdline" 2>/dev/null | grep -qF "$BATS_TEST_TMPDIR" && echo "${proc#/proc/}"
	done
	return 0
}

no_supervisor() {
	[ -z "$(supervisors)" ]
}
