# SPDX-License-Identifier: Apache-2.0
# Containers of an ordinary user of the host. Source after bundle.bash.

# For root it is a number of this test's own, for anybody else who he is. The bundle becomes his.
user_begin() {
	need setpriv
	USER_ID=$(id -u)
	[ "$USER_ID" != 0 ] || USER_ID=$((20000 + RANDOM % 10000))
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime-dir
	mkdir -m 700 "$XDG_RUNTIME_DIR"
	user_own
	chmod a+rx "$BUNDLE_TOOLS"
	as_user test -x "$THOLE" || skip "$THOLE is out of reach for an ordinary user"
}

# The same with a configuration for who has a user namespace: user_spec JQ-FILTER
user_spec() {
	user_begin
	as_user unshare -U true 2>/dev/null || skip "the kernel lets no ordinary user make a user namespace"
	rm "$BUNDLE/config.json"
	user_rt spec --rootless --bundle "$BUNDLE"
	config ".process.terminal = false | ${1:-.}"
}

# What was put there since, but for what is linked from elsewhere. Nothing where the container is root's.
user_own() {
	[ -z "${USER_ID:-}" ] || [ "$(id -u)" != 0 ] || chown -hR "$USER_ID:$USER_ID" "$BUNDLE" "$BATS_TEST_TMPDIR"
}

# His containers end first, then what the test has besides.
user_end() {
	local dir

	if [ -n "${USER_ID:-}" ]; then
		for dir in "$XDG_RUNTIME_DIR"/*/*/; do
			[ ! -d "$dir" ] || user_rt delete --force "$(basename "$dir")" || true
		done
	fi
	[ -z "${SUBIDS:-}" ] || drop_subids
	bundle_end
}

# Without any capability or group: env as a login has it.
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

# A thousand ids besides his own: lines in /etc/subuid and /etc/subgid, an entry in /etc/passwd that they
# name, and the mappings.
subids() {
	need newuidmap newgidmap
	[ "$(id -u)" = 0 ] || skip "needs root to hand out ids"
	[ -u "$(command -v newuidmap)" ] || getcap "$(command -v newuidmap)" | grep -q setuid || skip "newuidmap has no rights"
	SUBIDS=$USER_ID
	(
		flock 9
		echo "thole$USER_ID:x:$USER_ID:$USER_ID::/:/bin/false" >>/etc/passwd
		echo "thole$USER_ID:500000:1000" >>/etc/subuid
		echo "thole$USER_ID:600000:1000" >>/etc/subgid
	) 9>/tmp/thole-bats-subids.lock
	config '.linux.uidMappings = [{containerID: 0, hostID: $u, size: 1}, {containerID: 1, hostID: 500000, size: 1000}] |
		.linux.gidMappings = [{containerID: 0, hostID: $u, size: 1}, {containerID: 1, hostID: 600000, size: 1000}]' \
		--argjson u "$USER_ID"
}

drop_subids() {
	local file

	(
		flock 9
		for file in /etc/passwd /etc/subuid /etc/subgid; do
			grep -v "^thole$SUBIDS:" $file >"$BATS_TEST_TMPDIR/ids"
			cat "$BATS_TEST_TMPDIR/ids" >$file
		done
	) 9>/tmp/thole-bats-subids.lock
}
