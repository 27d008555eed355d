# SPDX-License-Identifier: Apache-2.0
# Supervisors as processes. Source after bundle.bash.

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
