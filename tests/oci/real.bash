# SPDX-License-Identifier: Apache-2.0
# Real programs through checkpoint and restore: the host's own, in a root of their own. Each of real/* makes
# /cycle/ready, works until there is /cycle/go, and writes OK, or what went wrong, to /cycle/result. Source after
# bundle.bash and ckpt.bash.

# The host's programs and libraries, read-only, and podman's filter.
real_bundle() {
	local dir caps

	rm -rf "$ROOTFS/bin"
	mkdir -p "$ROOTFS"/{usr,cycle,real,var/log/nginx}
	for dir in bin sbin lib lib64; do
		if [ -L "/$dir" ]; then
			ln -s "usr/$dir" "$ROOTFS/$dir"
		elif [ -d "/$dir" ]; then
			mkdir "$ROOTFS/$dir"
			config_mount "{destination: \"/$dir\", source: \"/$dir\", type: \"bind\", options: [\"rbind\", \"ro\"]}"
		fi
	done
	config_mount '{destination: "/usr", source: "/usr", type: "bind", options: ["rbind", "ro"]}'
	cp /etc/ld.so.cache "$ROOTFS/etc"
	# hard links of all tests
	rm "$ROOTFS"/etc/{passwd,group}
	printf '%s\n' root:x:0:0:root:/root:/bin/sh www-data:x:33:33::/:/bin/sh >"$ROOTFS/etc/passwd"
	printf '%s\n' root:x:0: www-data:x:33: >"$ROOTFS/etc/group"
	cp "$BATS_TEST_DIRNAME"/real/* "$ROOTFS/real"
	config '.process.env = ["PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/cycle", "LC_ALL=C.UTF-8", "TERM=vt100"]'
	IMAGE=$BATS_TEST_TMPDIR/image
	OUT=$BATS_TEST_TMPDIR/out
	if [ -e /usr/share/containers/seccomp.json ] && [ "$(uname -m)" = x86_64 ]; then
		caps=$(jq -c .process.capabilities.bounding "$BUNDLE/config.json")
		config "$(cat "$BATS_TEST_DIRNAME/../bench/seccomp.jq")" --argjson caps "$caps" \
			--slurpfile profile /usr/share/containers/seccomp.json
	fi
}

# What the container finds: other places on the host's PATH are not in it.
real_need() {
	local program

	for program; do
		PATH=/usr/sbin:/usr/bin:/sbin:/bin command -v "$program" >/dev/null || skip "$program is not installed"
	done
}

# real_start PROGRAM...: runs it, until all of it is at work.
real_start() {
	config_args "$@"
	user_own
	$AS create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >"$OUT" 2>&1 &&
		$AS start "$ID" && eventually cycle_is ready && real_lives && return
	cat "$OUT"
	return 1
}

# It has found nothing wrong.
real_lives() {
	[ ! -e "$ROOTFS/cycle/result" ] || {
		cat "$ROOTFS/cycle/result" "$OUT"
		return 1
	}
}

# real_save [FLAG...]: an image is made while it works on.
real_save() {
	# shellcheck disable=SC2086
	$AS checkpoint --leave-running --image-path "$IMAGE-live" $DUMP_FLAGS "$@" "$ID" </dev/null >"$OUT.save" 2>&1 || {
		cat "$OUT.save"
		return 1
	}
	rm -rf "$IMAGE-live"
	is_alive "$(cat "$PIDFILE")" && real_lives
}

# Lets it come to its end, and wants its OK.
real_end() {
	touch "$ROOTFS/cycle/go"
	eventually test -s "$ROOTFS/cycle/result" || {
		$AS state "$ID"
		cat "$OUT"
		return 1
	}
	cat "$ROOTFS/cycle/result" "$OUT"
	[ "$(cat "$ROOTFS/cycle/result")" = OK ]
}

# real_survives [FLAG...]: an image while it works on; then twice from an image, each time at work in between.
real_survives() {
	real_save "$@" && sleep 0.3 && real_lives && cycle_once "$ID-2" "$@" && sleep 0.3 && real_lives &&
		cycle_once "$ID-3" "$@" && sleep 0.3 && real_end
}
