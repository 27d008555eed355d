# SPDX-License-Identifier: Apache-2.0
# Copy-on-write directories in containers of root and of an ordinary user. Source after bundle.bash.

load user

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
	user_end
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

# The bundle of an ordinary user, with a user namespace.
as_a_user() {
	need_root
	AS=user_rt
	user_spec '.annotations["run.thole.cow"] = "/work"'
	OWNER=$USER_ID
	cow_remember
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
