# SPDX-License-Identifier: Apache-2.0
# How tests wait: for the event itself, not for a time in which it should have come.

# Waits for a command to succeed, a minute at most (or PATIENCE seconds): on a busy machine that is not long. What is to
# change has to be looked at by the command: its arguments are what they were when it was called.
eventually() {
	local end=$((EPOCHSECONDS + ${PATIENCE:-60}))

	until "$@" >/dev/null 2>&1; do
		[ "$EPOCHSECONDS" -lt "$end" ] || {
			echo "not within ${PATIENCE:-60} seconds: $*" >&2
			return 1
		}
		sleep 0.05
	done
}

# kill -0 finds zombies, too. It may go while it is looked at.
is_gone() {
	local state

	state=$(grep '^State:' "/proc/$1/status" 2>/dev/null) || return 0
	[[ $state == *[[:space:]][ZX]" "* ]]
}

is_alive() {
	! is_gone "$1"
}

# It has executed a program of that name, and waits for something.
waits_as() {
	[[ $(grep -E '^(Name|State):' "/proc/$1/status" 2>/dev/null) == "Name:"?"$2"$'\n'"State:"?"S "* ]]
}
