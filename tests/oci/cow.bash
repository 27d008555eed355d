# SPDX-License-Identifier: Apache-2.0
# Copy-on-write directories in containers of root and of an ordinary user. Source after bundle.bash.

# A bundle whose /work is copied on write, and what is there before: nothing of it may change.
cow_setup() {
	only_thole
	need jq
	bundle
	AS=rt
	USER_ID=
	OWNER=
	WORK=/work
	mkdir -p "$ROOTFS/work/sub/deep"
	echo first >"$ROOTFS/work/a"
	echo second >"$ROOTFS/work/sub/b"
	echo third >"$ROOTFS/work/sub/deep/c"
	ln -s a "$ROOTFS/work/link"
	chmod 640 "$ROOTFS/work/a"
	chmod 1777 "$ROOTFS/work"
	config '.annotations["run.thole.cow"] = "/work"'
	cow_remember
}

cow_teardown() {
	local dir

	if [ -n "${USER_ID:-}" ]; then
		for dir in "$XDG_RUNTIME_DIR"/*/*/; do
			[ ! -d "$dir" ] || user_rt delete --force "$(basename "$dir")" || true
		done
	fi
	[ -z "${SUBIDS:-}" ] || drop_subids
	bundle_end
}

# Names, modes, owners, sizes, times, contents.
tree() {
	(cd "$1" && find . -printf '%p %M %U %G %s %T@ %l\n' | sort && find . -type f -exec md5sum {} + | sort -k2)
}

cow_remember() {
	tree "$ROOTFS/work" >"$BATS_TEST_TMPDIR/before"
}

lower_is_as_before() {
	diff "$BATS_TEST_TMPDIR/before" <(tree "$ROOTFS/work")
}

user_rt() {
	setpriv --reuid "$USER_ID" --regid "$USER_ID" --clear-groups --inh-caps=-all \
		env -i "PATH=$PATH" "HOME=$BATS_TEST_TMPDIR" "XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR" "$THOLE" "$@" 3>&-
}

# The bundle of an ordinary user, with a user namespace.
as_a_user() {
	need_root
	need setpriv
	USER_ID=$((20000 + RANDOM % 10000))
	AS=user_rt
	OWNER=$USER_ID
	export XDG_RUNTIME_DIR=$BATS_TEST_TMPDIR/runtime-dir
	mkdir -m 700 "$XDG_RUNTIME_DIR"
	chmod a+rx "$BUNDLE_TOOLS"
	chown -hR "$USER_ID:$USER_ID" "$BUNDLE" "$BATS_TEST_TMPDIR"
	rm "$BUNDLE/config.json"
	user_rt spec --rootless --bundle "$BUNDLE"
	config '.process.terminal = false | .annotations["run.thole.cow"] = "/work"'
	cow_remember
}

# After as_a_user: a thousand ids besides his own.
with_subids() {
	need newuidmap newgidmap
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

# The host's root and no namespace at all, confined by Landlock alone: as root, and with "user" as an
# ordinary user.
alone() {
	need_root
	landlock_here || skip "this kernel has no Landlock"
	if [ "${1:-}" = user ]; then
		as_a_user
	fi
	WORK=$ROOTFS/work
	jq --arg bin "$ROOTFS/bin" --arg work "$WORK" --argjson uid "${USER_ID:-0}" '.root = {path: "/"} | del(.hostname) |
		.mounts = [$bin, "/proc" | {destination: ., source: ., type: "bind", options: ["bind", "ro"]}] |
		.linux = {namespaces: []} | .process.user = {uid: $uid, gid: $uid} | .process.cwd = "/" |
		.process.args = ["true"] | .process.env = ["PATH=" + $bin] | .annotations["run.thole.cow"] = $work |
		if $uid > 0 then del(.process.capabilities) else . end' \
		"$BATS_TEST_DIRNAME/config.json" >"$BUNDLE/config.json"
	[ -n "$USER_ID" ] || config '.linux.cgroupsPath = $path' --arg path "$CGROUP"
}

landlock_here() {
	rt features | jq -e '.annotations["run.thole.landlock.abi"] | tonumber > 0' >/dev/null
}

# The container's root is another user of the host.
in_userns() {
	need_root
	config '.linux.namespaces += [{type: "user"}] |
		.linux.uidMappings = [{containerID: 0, hostID: 100000, size: 65536}] |
		.linux.gidMappings = [{containerID: 0, hostID: 100000, size: 65536}]'
	OWNER=100000
	chown -hR 100000:100000 "$ROOTFS"
	cow_remember
}

backend() {
	config '.annotations["run.thole.cow.backend"] = $backend' --arg backend "$1"
}

# box SHELL-TEXT [AND-THEN]: a container that has run the text, and then waits.
box() {
	config_args sh -c "($1) >$WORK/said 2>&1; echo \$? >$WORK/.done; ${2:-sleep 1000}"
	$AS create --bundle "$BUNDLE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/out"
		return 1
	}
	$AS start "$ID"
	eventually $AS exec "$ID" test -s "$WORK/.done" </dev/null
	run -0 $AS exec "$ID" cat "$WORK/.done" </dev/null
	[ "$output" = 0 ] || { $AS exec "$ID" cat "$WORK/said" </dev/null && return 1; }
}

inside() {
	$AS exec "$ID" sh -c "$1" </dev/null
}

upper() {
	$AS state "$ID" | jq -r ".layers[${1:-0}].upper"
}
