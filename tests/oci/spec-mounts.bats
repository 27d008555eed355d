#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# root and mounts[] of config.json: types, options, propagation, targets.

load bundle
setup_file() { bundle_programs; }
setup() {
	need_root
	bundle
	SRC=$BATS_TEST_TMPDIR/src
	mkdir "$SRC"
	echo data >"$SRC/file"
	export SRC
}
teardown() { bundle_end; }

# The option words of a mount point, as the container sees them: of the mount and its file system.
options_of() {
	config_args awk '-vd='"$1" '$5 == d { o = $6; for (i = 7; i <= NF; i++) if ($i == "-") o = o "," $(i + 3); } END { print o }' /proc/self/mountinfo
	rt run --bundle "$BUNDLE" "$ID" </dev/null
}

has_option() {
	[[ ,$1, == *",$2,"* ]]
}

bind() {
	config_mount "{destination: \"$1\", type: \"bind\", source: \"${3:-$SRC}\", options: [${2:-\"bind\"}]}"
}

# --- root ------------------------------------------------------------------------------------

@test "root: writable, read-only" {
	run in_container 'echo x >/made && cat /made'
	[ "$output" = x ]
	[ "$(cat "$ROOTFS/made")" = x ]
	config '.root.readonly = true'
	run in_container 'echo y >/made2'
	[ "$status" -ne 0 ]
	[[ $output == *"Read-only file system"* ]]
	[ ! -e "$ROOTFS/made2" ]
}

@test "root: an absolute path, nothing of the host's outside it" {
	config '.root.path = $p' --arg p "$ROOTFS"
	run in_container 'ls /; ls /..'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = bin ]
	[[ $output != *boot* ]]
	run in_container "cat $SRC/file"
	[ "$status" -ne 0 ]
}

@test "root: the host's mounts are gone, not hidden" {
	run in_container 'cut -d" " -f5 /proc/self/mountinfo'
	[ "${lines[0]}" = / ]
	[ "$(grep -c "^/$" <<<"$output")" -eq 1 ]
	[[ $output != *"$BATS_TEST_TMPDIR"* ]]
	run in_container 'cat /proc/self/mountinfo | wc -l'
	[ "$output" -lt 30 ]
}

@test "rootfsPropagation: private, slave, shared" {
	local p
	for p in private slave $(is_thole && echo shared); do
		config '.linux.rootfsPropagation = $p' --arg p "$p"
		run in_container 'awk "\$5 == \"/\"" /proc/self/mountinfo'
		echo "$p: $output"
		case $p in
		private) [[ $output != *shared:* && $output != *master:* ]] ;;
		shared) [[ $output == *shared:* ]] ;;
		slave) [[ $output != *shared:* ]] ;;
		esac
	done
}

@test "the container's mounts do not reach the host" {
	config '.linux.rootfsPropagation = "shared"'
	running
	! grep -q "$ROOTFS" /proc/self/mountinfo
}

# --- file systems ----------------------------------------------------------------------------

@test "tmpfs: size, mode and flags" {
	config_mount '{destination: "/t", type: "tmpfs", source: "tmpfs", options: ["nosuid", "nodev", "noexec", "size=1m", "mode=1700"]}'
	local o
	run in_container 'probe stat /t; head -c 900000 /dev/zero >/t/b && dd if=/dev/zero of=/t/c bs=900000 count=1; head -c 900000 /dev/zero >/t/c'
	echo "$output"
	[[ $output == mode=41700* ]]
	[[ $output == *"No space left"* ]]
	o=$(options_of /t)
	has_option "$o" nosuid
	has_option "$o" nodev
	has_option "$o" noexec
	has_option "$o" size=1024k
}

@test "tmpfs: read-only at the end" {
	config_mount '{destination: "/t", type: "tmpfs", source: "tmpfs", options: ["ro"]}'
	bind /t/inner
	run in_container 'cat /t/inner/file; echo x >/t/x'
	[ "${lines[0]}" = data ]
	[[ $output == *"Read-only"* ]]
}

@test "tmpfs over a directory has its mode" {
	mkdir -m 751 "$ROOTFS/t"
	config_mount '{destination: "/t", type: "tmpfs", source: "tmpfs"}'
	run in_container 'probe stat /t'
	[[ $output == mode=40751* ]]
}

@test "tmpcopyup: what the tmpfs shadows is copied into it" {
	mkdir -p "$ROOTFS/t/d"
	echo one >"$ROOTFS/t/one"
	echo two >"$ROOTFS/t/d/two"
	ln -s one "$ROOTFS/t/link"
	chown 7:8 "$ROOTFS/t/one"
	chmod 4710 "$ROOTFS/t/one"
	config_mount '{destination: "/t", type: "tmpfs", source: "tmpfs", options: ["tmpcopyup"]}'
	run in_container 'cat /t/one /t/d/two; readlink /t/link; probe stat /t/one; echo new >/t/one; awk "\$5 == \"/t\" { print \$9 }" /proc/self/mountinfo'
	echo "$output"
	[ "${lines[0]}" = one ]
	[ "${lines[1]}" = two ]
	[ "${lines[2]}" = one ]
	[[ ${lines[3]} == "mode=104710 uid=7 gid=8"* ]]
	[ "${lines[4]}" = tmpfs ]
	[ "$(cat "$ROOTFS/t/one")" = one ]
}

@test "proc, sysfs, devpts, mqueue, shm: what they are" {
	run in_container 'for d in /proc /sys /dev /dev/pts /dev/shm /dev/mqueue; do awk -vd=$d "\$2 == d { t = \$3 } END { print d, t }" /proc/mounts; done'
	echo "$output"
	[ "$output" = $'/proc proc\n/sys sysfs\n/dev tmpfs\n/dev/pts devpts\n/dev/shm tmpfs\n/dev/mqueue mqueue' ]
}

@test "cgroup: v1 hierarchies below the container's own, read-only" {
	config 'del(.linux.namespaces[] | select(.type == "cgroup"))'
	config_mount '{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["nosuid", "noexec", "nodev", "relatime", "ro"]}'
	[ -n "$(cgroup_v1 pids)" ] || skip "no v1 hierarchy"
	run in_container 'ls -d /sys/fs/cgroup/pids/tasks && cat /sys/fs/cgroup/pids/tasks | head -1; mkdir /sys/fs/cgroup/pids/x'
	echo "$output"
	[ "${lines[0]}" = /sys/fs/cgroup/pids/tasks ]
	[ "${lines[1]}" = 1 ]
	[[ $output == *"Read-only"* ]]
}

@test "cgroup with a cgroup namespace: the root is the container's own" {
	config_mount '{destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: ["ro", "nosuid"]}'
	[ -n "$(cgroup_v1 pids)" ] || skip "no v1 hierarchy"
	run in_container 'cat /proc/self/cgroup | grep :pids:; cat /sys/fs/cgroup/pids/tasks | head -1'
	echo "$output"
	[[ ${lines[0]} == *:pids:/ ]]
	[ "${lines[1]}" = 1 ]
}

@test "overlay, ramfs: any file system by its name" {
	mkdir -p "$SRC"/{lower,upper,work}
	echo low >"$SRC/lower/f"
	config_mount "{destination: \"/o\", type: \"overlay\", source: \"overlay\", options: [\"lowerdir=$SRC/lower\", \"upperdir=$SRC/upper\", \"workdir=$SRC/work\"]}"
	config_mount '{destination: "/r", type: "ramfs", source: "ramfs"}'
	run in_container 'cat /o/f; echo new >/o/g; awk "\$2 == \"/r\" { print \$3 }" /proc/mounts'
	echo "$output"
	[ "$output" = $'low\nramfs' ]
	[ "$(cat "$SRC/upper/g")" = new ]
}

@test "an unknown type is refused with the mount's name" {
	config_mount '{destination: "/x", type: "nosuchfs", source: "x"}'
	refused_create ''
	only_thole
	refused_create 'nosuchfs'
	refused_create 'mounts[6]'
}

@test "an option that the file system does not know is refused with its name" {
	config_mount '{destination: "/x", type: "tmpfs", source: "x", options: ["nosuchoption"]}'
	refused_create ''
	only_thole
	refused_create 'nosuchoption'
}

# --- bind ------------------------------------------------------------------------------------

@test "bind: a directory, a file, missing targets are made" {
	bind /a/b/c
	bind /a/f '"bind"' "$SRC/file"
	run in_container 'cat /a/b/c/file /a/f; echo more >>/a/f'
	[ "$output" = $'data\ndata' ]
	[ "$(tail -1 "$SRC/file")" = more ]
	[ "$(stat -c %a "$ROOTFS/a/b")" = 755 ]
	[ -f "$ROOTFS/a/f" ]
}

@test "bind: the source may be relative to the bundle, the type left out or none" {
	mkdir "$BUNDLE/here"
	echo near >"$BUNDLE/here/f"
	config_mount '{destination: "/a", type: "bind", source: "here", options: ["bind"]}'
	config_mount '{destination: "/b", type: "none", source: "here", options: ["rbind"]}'
	config_mount '{destination: "/c", source: "here", options: ["bind"]}'
	run in_container 'cat /a/f /b/f /c/f'
	[ "$output" = $'near\nnear\nnear' ]
}

@test "bind: each flag takes effect" {
	local o
	mount -t tmpfs tmpfs "$SRC"
	bind /m '"bind", "ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"'
	o=$(options_of /m)
	echo "$o"
	has_option "$o" ro
	has_option "$o" nosuid
	has_option "$o" nodev
	has_option "$o" noexec
	has_option "$o" noatime
	run in_container 'echo x >/m/x'
	[[ $output == *"Read-only"* ]]
}

@test "bind: flags of the source stay where nothing is said, can be cleared by name" {
	local o
	mount -t tmpfs -o nosuid,nodev,noexec tmpfs "$SRC"
	bind /m
	o=$(options_of /m)
	has_option "$o" nosuid
	has_option "$o" nodev
	has_option "$o" noexec
	only_thole "runc 1.1.5 keeps them"
	config '.mounts |= .[:-1]'
	bind /m '"bind", "exec", "suid", "dev"'
	o=$(options_of /m)
	echo "$o"
	run ! has_option "$o" noexec
	run ! has_option "$o" nosuid
	run ! has_option "$o" nodev
}

@test "bind: nosymfollow" {
	only_thole "runc 1.1.5 does not know it"
	ln -s file "$SRC/link"
	bind /m '"bind", "nosymfollow"'
	run in_container 'cat /m/file; cat /m/link'
	[ "${lines[0]}" = data ]
	[[ ${lines[1]} == *"symbolic links"* ]]
}

@test "bind and rbind: mounts below the source" {
	mkdir "$SRC/sub"
	mount -t tmpfs tmpfs "$SRC/sub"
	echo inner >"$SRC/sub/f"
	bind /plain
	bind /rec '"rbind"'
	run in_container 'cat /rec/sub/f; cat /plain/sub/f'
	[ "${lines[0]}" = inner ]
	[[ ${lines[1]} == *"No such file"* ]]
}

@test "rbind with ro leaves the mounts below writable, rro does not" {
	mkdir "$SRC/sub"
	mount -t tmpfs tmpfs "$SRC/sub"
	bind /m '"rbind", "ro"'
	run in_container 'echo x >/m/x; echo y >/m/sub/y && cat /m/sub/y'
	[[ $output == *"Read-only"* ]]
	[ "${lines[-1]}" = y ]
	only_thole "runc 1.1.5 does not know rro"
	config '.mounts |= .[:-1]'
	bind /m '"rbind", "rro"'
	run in_container 'echo x >/m/x; echo y >/m/sub/y'
	[ "$(grep -c "Read-only" <<<"$output")" -eq 2 ]
}

@test "recursive attributes: rnosuid rnodev rnoexec rnoatime and back" {
	only_thole "runc 1.1.5 does not know them"
	local o
	mkdir "$SRC/sub"
	mount -t tmpfs tmpfs "$SRC/sub"
	bind /m '"rbind", "rnosuid", "rnodev", "rnoexec", "rnoatime", "rnosymfollow"'
	o=$(options_of /m/sub)
	echo "$o"
	has_option "$o" nosuid
	has_option "$o" nodev
	has_option "$o" noexec
	has_option "$o" noatime
	mount -o remount,nosuid,noexec "$SRC/sub"
	config '.mounts |= .[:-1]'
	bind /m '"rbind", "rsuid", "rexec", "rrelatime"'
	o=$(options_of /m/sub)
	echo "$o"
	run ! has_option "$o" nosuid
	run ! has_option "$o" noexec
}

@test "bind: a missing source is refused with its path" {
	bind /m '"bind"' "$SRC/nosuch"
	refused_create "$SRC/nosuch"
	only_thole
	refused_create 'mounts[6]'
}

@test "bind: file system options are refused" {
	only_thole "runc 1.1.5 does not check"
	bind /m '"bind", "size=1m"'
	refused_create 'mounts[6]'
}

@test "mounts are made in order" {
	mkdir "$SRC/later"
	bind /m
	config_mount '{destination: "/m/later", type: "tmpfs", source: "tmpfs"}'
	run in_container 'echo x >/m/later/x; ls /m/later'
	[ "$output" = x ]
	[ ! -e "$SRC/later/x" ]
	config '.mounts |= (.[:-2] + [.[-1], .[-2]])'
	run in_container 'ls /m/later; cat /m/file'
	[ "$output" = data ]
}

@test "a target that is a symlink is resolved inside the root" {
	mkdir -p "$ROOTFS/real"
	ln -s /real "$ROOTFS/abs"
	ln -s ../../../../real "$ROOTFS/up"
	bind /abs/x
	bind /up/y
	run in_container 'cat /real/x/file /real/y/file'
	[ "$output" = $'data\ndata' ]
	[ ! -e /real ]
}

@test "a relative destination counts from /" {
	bind relative/dir
	run in_container 'cat /relative/dir/file'
	[ "$status" -eq 0 ]
	[ "${lines[-1]}" = data ]
}

@test "a file on a directory, a directory on a file" {
	mkdir "$ROOTFS/d"
	bind /d '"bind"' "$SRC/file"
	refused_create 'irectory'
	config '.mounts |= .[:-1]'
	echo >"$ROOTFS/f"
	bind /f
	refused_create 'irectory'
}

@test "remount changes what was mounted before" {
	config_mount '{destination: "/t", type: "tmpfs", source: "tmpfs", options: ["size=1m"]}'
	config_mount '{destination: "/t", type: "tmpfs", source: "tmpfs", options: ["remount", "ro", "nosuid"]}'
	run in_container 'echo x >/t/x'
	[ "$status" -ne 0 ]
	[[ $output == *"Read-only"* ]]
}

# --- propagation -----------------------------------------------------------------------------

@test "propagation: private, slave, shared, unbindable" {
	local p want
	mount -t tmpfs tmpfs "$SRC"
	mount --make-shared "$SRC"
	for p in private:- rprivate:- slave:master rslave:master shared:shared rshared:shared unbindable:unbindable; do
		want=${p#*:}
		bind /m "\"rbind\", \"${p%:*}\""
		run in_container 'awk "\$5 == \"/m\" { print \$7 }" /proc/self/mountinfo'
		echo "$p: $output"
		if [ "$want" = - ]; then
			[ "$output" = - ]
		else
			[[ $output == *"$want"* ]]
		fi
		config '.mounts |= .[:-1]'
	done
}

@test "propagation: a mount on the host arrives in a slave, not in a private one" {
	mkdir "$SRC/a"
	mount -t tmpfs tmpfs "$SRC"
	mount --make-shared "$SRC"
	mkdir "$SRC/later"
	bind /slave '"rbind", "rslave"'
	bind /private '"rbind", "rprivate"'
	config '.linux.rootfsPropagation = "rslave"'
	running
	mount -t tmpfs tmpfs "$SRC/later"
	echo arrived >"$SRC/later/f"
	[ "$(exec_in cat /slave/later/f)" = arrived ]
	run exec_in cat /private/later/f
	[ "$status" -ne 0 ]
	umount "$SRC/later"
}

# --- id-mapped mounts ------------------------------------------------------------------------

@test "idmap: owners are seen through the mount's mapping" {
	only_thole "runc 1.1.5 is older than the field"
	chown 500:600 "$SRC/file"
	config_mount "{destination: \"/m\", type: \"bind\", source: \"$SRC\", options: [\"bind\", \"idmap\"],
		uidMappings: [{containerID: 500, hostID: 5000, size: 10}], gidMappings: [{containerID: 600, hostID: 6000, size: 10}]}"
	run in_container 'probe stat /m/file; probe stat /m'
	echo "$output"
	[[ ${lines[0]} == *"uid=5000 gid=6000"* ]]
	[[ ${lines[1]} == *"uid=65534 gid=65534"* ]]
	config '.mounts[-1].options = ["bind"]'
	run in_container 'probe stat /m/file'
	[[ $output == *"uid=5000 gid=6000"* ]]
}

@test "idmap=: the form with the mapping in the option" {
	only_thole "crun's form"
	chown 500:600 "$SRC/file"
	config_mount "{destination: \"/m\", type: \"bind\", source: \"$SRC\", options: [\"bind\", \"idmap=uids=500-5000-10;gids=600-6000-10\"]}"
	run in_container 'probe stat /m/file'
	echo "$output"
	[[ $output == *"uid=5000 gid=6000"* ]]
}

@test "idmap, ridmap: below the mount" {
	only_thole "runc 1.1.5 is older than the field"
	mkdir "$SRC/sub"
	mount -t tmpfs tmpfs "$SRC/sub"
	echo x >"$SRC/sub/f"
	chown 500:600 "$SRC/sub/f"
	local maps='uidMappings: [{containerID: 500, hostID: 5000, size: 10}], gidMappings: [{containerID: 600, hostID: 6000, size: 10}]'
	config_mount "{destination: \"/m\", type: \"bind\", source: \"$SRC\", options: [\"rbind\", \"ridmap\"], $maps}"
	run in_container 'probe stat /m/sub/f'
	[[ $output == *"uid=5000 gid=6000"* ]]
	config '.mounts[-1].options = ["rbind", "idmap"]'
	run in_container 'probe stat /m/sub/f'
	[[ $output == *"uid=500 gid=600"* ]]
}

@test "idmap without a mapping and without a user namespace is refused" {
	only_thole "runc 1.1.5 is older than the field"
	bind /m '"bind", "idmap"'
	refused_create 'mounts[6]'
	config '.mounts |= .[:-1]'
	config_mount "{destination: \"/m\", type: \"bind\", source: \"$SRC\", options: [\"bind\"],
		uidMappings: [{containerID: 500, hostID: 5000, size: 10}]}"
	refused_create 'mounts[6]'
}

# --- symlinks --------------------------------------------------------------------------------

@test "copy-symlink, src-nofollow" {
	only_thole "crun's options"
	ln -s /target/of/link "$SRC/link"
	config_mount "{destination: \"/l\", type: \"bind\", source: \"$SRC/link\", options: [\"bind\", \"copy-symlink\"]}"
	run in_container 'readlink /l'
	echo "$output"
	[ "$output" = /target/of/link ]
}

@test "mountLabel without SELinux changes nothing" {
	[ ! -e /sys/fs/selinux/enforce ] || skip "SELinux is on"
	config '.linux.mountLabel = "system_u:object_r:svirt_sandbox_file_t:s0:c715,c811"'
	only_thole "the kernel refuses context= without SELinux; runc passes it on"
	config_args cat /proc/self/mountinfo
	run rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$status" -eq 0 ]
	[[ $output == *" /dev "* && $output != *context=* ]]
}

@test "/dev bound from the host is left alone" {
	only_thole "runc looks for /dev/null there"
	config '.mounts |= map(select(.destination | startswith("/dev") | not))'
	mkdir "$SRC/dev"
	bind /dev '"rbind"' "$SRC/dev"
	run in_container 'ls /dev'
	echo "$output"
	[ -z "$output" ]
}

@test "a read-only bundle directory serves" {
	mount --bind "$ROOTFS" "$ROOTFS"
	mount -o remount,bind,ro "$ROOTFS"
	config '.root.readonly = true'
	run in_container 'echo works'
	[ "$output" = works ]
}
