# SPDX-License-Identifier: Apache-2.0
# Work that is done in the container's /work. Source after bundle.bash and real.bash.

# A root of the host's programs, with a /work whose contents each script of work/* makes beforehand.
work_bundle() {
	mkdir -p "$ROOTFS/scripts" "$ROOTFS/work" "$ROOTFS/etc/alternatives"
	cp "$BATS_TEST_DIRNAME"/work/* "$ROOTFS/scripts"
	[ ! -d /etc/alternatives ] ||
		config_mount '{destination: "/etc/alternatives", source: "/etc/alternatives", type: "bind", options: ["rbind", "ro"]}'
	echo someone:x:1000:1000::/tmp:/bin/sh >>"$ROOTFS/etc/passwd"
	echo someone:x:1000: >>"$ROOTFS/etc/group"
	chmod 755 "$ROOTFS"
	WORK_USER=0 LEAVE_OUT=none
	config '.process.cwd = "/work" | .process.rlimits = [] | .root.readonly = false'
}

# work_inside ID WHAT: runs the shell text in a container to its end, which is kept; its output is $OUT.ID.
work_inside() {
	local id=$1

	config_args sh -c "($2) && echo DONE"
	config '.process.user = {uid: $n, gid: $n} | .process.env += ["LEAVE_OUT=\($leave)", "HOME=/tmp"] |
		.linux.cgroupsPath = $cgroup' --argjson n "$WORK_USER" --arg leave "$LEAVE_OUT" --arg cgroup "$CGROUP${id#"$ID"}"
	rt create --bundle "$BUNDLE" "$id" </dev/null >"$OUT.$id" 2>&1 && rt start "$id" || {
		cat "$OUT.$id"
		return 1
	}
	PATIENCE=300 eventually has_status stopped "$id"
	[ "$(tail -n 1 "$OUT.$id")" = DONE ] || {
		tail -n 40 "$OUT.$id"
		return 1
	}
}

# work_before SCRIPT: what is in /work before the work, made once by a plain container, kept beside the bundle.
work_before() {
	chown "$WORK_USER:$WORK_USER" "$ROOTFS/work"
	work_inside "$ID-before" "/scripts/$1 before"
	rt delete "$ID-before"
	mv "$ROOTFS/work" "$BATS_TEST_TMPDIR/before"
}

work_again() {
	rm -rf "$ROOTFS/work"
	cp -a "$BATS_TEST_TMPDIR/before" "$ROOTFS/work"
}

work_tree() {
	(cd "$1" && LEAVE_OUT=$LEAVE_OUT "$BATS_TEST_DIRNAME/work/tree.sh")
}

# work_plain SCRIPT: the oracle.
work_plain() {
	work_before "$1"
	work_again
	work_inside "$ID-plain" "/scripts/$1 work"
	rt delete "$ID-plain"
	work_tree "$ROOTFS/work" >"$BATS_TEST_TMPDIR/tree.plain"
}

# work_cow BACKEND SCRIPT
work_cow() {
	local id=$ID-$1

	work_again
	work_tree "$ROOTFS/work" >"$BATS_TEST_TMPDIR/tree.before"
	config '.annotations["run.thole.cow"] = "/work" | .annotations["run.thole.cow.backend"] = $backend' --arg backend "$1"
	work_inside "$id" "/scripts/$2 work && cd /work && /scripts/tree.sh >/tmp/tree"
	diff "$BATS_TEST_TMPDIR/tree.plain" "$ROOTFS/tmp/tree"
	work_tree "$ROOTFS/work" | diff "$BATS_TEST_TMPDIR/tree.before" -
	rt cow commit "$id"
	work_tree "$ROOTFS/work" | diff "$BATS_TEST_TMPDIR/tree.plain" -
	[ "$(rt cow diff --json "$id" | jq length)" = 0 ]
	rt delete "$id"
	rm "$ROOTFS/tmp/tree"
}
