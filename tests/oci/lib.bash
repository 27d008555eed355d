# SPDX-License-Identifier: Apache-2.0
# Real engines on top of the runtime, with the images made here. For every file about an engine:
#
#	load lib
#	setup_file() { engine_begin podman; podman_begin; }
#	teardown_file() { podman_end; engine_end; }
#
# RUNTIME names the runtime that the engine calls: thole if it is not set. With RUNTIME=/usr/sbin/runc
# the tests check themselves. Each file has a directory, a cgroup and a socket of its own.

bats_require_minimum_version 1.5.0
load wait

# The runtime, and $BASE for everything that the file makes: short, as it holds sockets.
engine_begin() {
	local dir

	[ "$(id -u)" = 0 ] || skip "$1 is tested as root"
	command -v "$1" >/dev/null || skip "$1 is not installed"
	command -v busybox >/dev/null || skip "busybox (busybox-static) is not installed"
	if [ -z "${RUNTIME:-}" ]; then
		for dir in "${THOLE:-}" "${THOLE_BUILD:-.}/thole" "$BATS_TEST_DIRNAME/../../thole"; do
			[ -f "$dir" ] && [ -x "$dir" ] && RUNTIME=$dir && break
		done
	fi
	[ -n "${RUNTIME:-}" ] || { echo "no runtime: set RUNTIME or THOLE" >&2; return 1; }
	RUNTIME=$(realpath "$RUNTIME")
	RUNTIME_NAME=$(basename "$RUNTIME")
	BASE=$(mktemp -d /tmp/thole-eng.XXXXXX)
	chmod 755 "$BASE"
	CGROUP=/$(basename "$BASE")
	export RUNTIME RUNTIME_NAME BASE CGROUP
	box "$BASE/box"
}

# Fails when the file left a mount or a process behind, and removes what is left in any case.
engine_end() {
	local left status=0 dir

	[ -n "${BASE:-}" ] || return 0
	left=$(awk -v b="$BASE/" 'index($5, b) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
	if [ -n "$left" ]; then
		echo "mounts left: $left" >&2
		echo "$left" | xargs -r -n 1 umount -l
		status=1
	fi
	while read -r dir; do
		left=$(find "$dir" -name cgroup.procs -exec cat {} +)
		if [ -n "$left" ]; then
			echo "processes left in $dir: $left" >&2
			echo "$left" | xargs -r kill -9
			status=1
		fi
		eventually remove_cgroup "$dir" || status=1
	done < <(cgroup_dirs "$CGROUP")
	rm -rf "$BASE"
	return $status
}

remove_cgroup() {
	find "$1" -depth -type d -exec rmdir {} + 2>/dev/null
	[ ! -d "$1" ]
}

# A root file system of busybox, with the programs' names as links to it, and of the probe.
box() {
	local root=$1 applet

	mkdir -p "$root"/{bin,dev,etc,home/app,proc,root,run,sys,tmp,var/seed} &&
		cp "$(command -v busybox)" "$root/bin/busybox" &&
		${CC:-gcc} -O1 -static -D_GNU_SOURCE -o "$root/bin/probe" "$BATS_TEST_DIRNAME/probe.c" || return
	for applet in $("$root/bin/busybox" --list); do
		[ "$applet" = busybox ] || ln -s busybox "$root/bin/$applet"
	done
	chmod 1777 "$root/tmp"
	chmod 4755 "$root/bin/busybox"
	chown 1000:1000 "$root/home/app"
	echo from-image >"$root/var/seed/file"
	printf 'root:x:0:0:root:/root:/bin/sh\napp:x:1000:1000:app:/home/app:/bin/sh\n' >"$root/etc/passwd"
	printf 'root:x:0:\napp:x:1000:\nextra:x:2000:app\n' >"$root/etc/group"
}

# Every mount of a cgroup hierarchy that has the directory $1.
cgroup_dirs() {
	local root

	while read -r root; do
		[ -d "$root$1" ] && echo "$root$1"
	done < <(awk '{ for (i = 7; i <= NF; i++) if ($i == "-" && $(i + 1) ~ /^cgroup2?$/) print $5 }' \
		/proc/self/mountinfo | sort -u)
	return 0
}

# The value of a limit of process $1: the v1 file $3 of controller $2, else the v2 file $4.
cgroup_value() {
	local line path root

	line=$(grep -E "^[0-9]+:([^:]*,)?$2(,[^:]*)?:" "/proc/$1/cgroup")
	if [ -n "$line" ]; then
		root=$(awk -v c="$2" '$3 == "cgroup" && $4 ~ "(^|,)" c "(,|$)" { print $2; exit }' /proc/mounts)
		cat "$root${line#*:*:}/$3"
	else
		path=$(sed -n 's/^0:://p' "/proc/$1/cgroup")
		root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
		cat "$root$path/$4"
	fi
}

# Runs a shell text on a terminal of 99 columns and 33 rows; its output comes without carriage returns.
on_terminal() {
	script -qec "stty rows 33 cols 99; $1" /dev/null </dev/null 3>&- | tr -d '\r\004\b' | sed 's/\^@//; s/\^D//'
	return "${PIPESTATUS[0]}"
}

# For a shell on such a terminal, which gets its size after it was started.
# shellcheck disable=SC2034 # the files about engines use it
SIZED='i=0; while [ "$(stty size)" != "33 99" ] && [ $i -lt 600 ]; do i=$((i + 1)); sleep 0.1; done; stty size'

# Same namespace? same_ns PID PID KIND
same_ns() {
	[ "$(readlink "/proc/$1/ns/$3")" = "$(readlink "/proc/$2/ns/$3")" ]
}

only_thole() {
	[[ $RUNTIME_NAME == thole* ]] || skip "$RUNTIME_NAME: $1"
}

# podman with storage, state, locks and configuration of its own.
podman_begin() {
	local driver=overlay

	[ "$(stat -f -c %T "$BASE")" != overlayfs ] || driver=vfs
	export CONTAINERS_CONF=$BASE/containers.conf CONTAINERS_STORAGE_CONF=$BASE/storage.conf
	export TMPDIR=$BASE/tmp
	mkdir -p "$TMPDIR"
	cat >"$CONTAINERS_STORAGE_CONF" <<-END
		[storage]
		driver = "$driver"
		graphroot = "$BASE/storage"
		runroot = "$BASE/run"
	END
	cat >"$CONTAINERS_CONF" <<-END
		[containers]
		netns = "none"
		log_driver = "k8s-file"
		default_ulimits = ["nofile=1024:1024", "nproc=1024:1024"]
		init_path = "$(command -v catatonit)"
		[engine]
		cgroup_manager = "cgroupfs"
		events_logger = "file"
		lock_type = "file"
		tmp_dir = "$BASE/libpod"
		volume_path = "$BASE/volumes"
		infra_image = "localhost/pause:1"
		runtime = "$RUNTIME_NAME"
		runtime_supports_json = ["$RUNTIME_NAME"]
		runtime_supports_nocgroup = ["$RUNTIME_NAME"]
		[engine.runtimes]
		$RUNTIME_NAME = ["$RUNTIME"]
		[network]
		network_config_dir = "$BASE/networks"
	END
	tar -C "$BASE/box" -cf "$BASE/box.tar" . &&
		pod import -q -c 'ENV PATH=/bin' -c 'CMD ["/bin/sh"]' "$BASE/box.tar" localhost/box:1 &&
		pod import -q -c 'CMD ["/bin/sleep", "100000"]' "$BASE/box.tar" localhost/pause:1
}

podman_end() {
	local status=0 dir

	[ -n "${BASE:-}" ] || return 0
	pod pod rm -fa -t 0 >/dev/null || status=1
	pod rm -fa -t 0 >/dev/null || status=1
	pod volume prune -f >/dev/null
	# Where pods of "play kube" are, as for anyone else's: what others use can't be removed.
	cgroup_dirs /libpod_parent | while read -r dir; do remove_cgroup "$dir" || true; done
	awk -v b="$BASE/storage/" 'index($5, b) == 1 { print $5 }' /proc/self/mountinfo |
		grep -E '/storage/overlay$' | xargs -r umount
	return $status
}

# podman without bats' own descriptor 3, which the monitor would keep open for the container's life.
pod() {
	timeout --foreground -k 5 200 podman "$@" 3>&-
}

# Removes containers, if they are there. A cleanup that podman has started itself may be at it still.
pod_remove() {
	eventually pod rm -f -i -t 0 "$@"
}

pod_remove_pods() {
	eventually pod pod rm -f -i -t 0 "$@"
}

# What a container has written as its last line; a terminal ends them in its own way. It says it, or will.
pod_last() {
	pod logs "$1" | tr -d '\r' | tail -n 1
}

pod_says() {
	pod logs "$1" | tr -d '\r' | grep -qx -- "$2"
}

# podman run of the box in the file's cgroup: options, then command.
#	box_run --rm -- id -u
box_run() {
	local options=()

	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	pod run --cgroup-parent "$CGROUP" "${options[@]}" localhost/box:1 "$@"
}

# The host's pid of a container's first process.
pod_pid() {
	pod inspect -f '{{.State.Pid}}' "$1"
}

# containerd with a socket, a state and a namespace of its own; runc is, for it, the runtime under test.
containerd_begin() {
	export CONTAINERD_ADDRESS=$BASE/c.sock CONTAINERD_NAMESPACE=$(basename "$BASE")
	export CONTAINERD_SNAPSHOTTER=overlayfs
	[ "$(stat -f -c %T "$BASE")" != overlayfs ] || CONTAINERD_SNAPSHOTTER=native
	cat >"$BASE/config.toml" <<-END
		version = 2
		root = "$BASE/root"
		state = "$BASE/state"
		disabled_plugins = ["io.containerd.grpc.v1.cri", "io.containerd.tracing.processor.v1.otlp"]
		[grpc]
		address = "$CONTAINERD_ADDRESS"
		[ttrpc]
		address = "$BASE/t.sock"
	END
	containerd_start && oci_archive "$BASE/box" "$BASE/box.oci" localhost/box:1 &&
		ctr image import --snapshotter "$CONTAINERD_SNAPSHOTTER" "$BASE/box.oci"
}

containerd_start() {
	mkdir -p "$BASE/path"
	ln -sfn "$RUNTIME" "$BASE/path/runc"
	PATH=$BASE/path:$PATH containerd --config "$BASE/config.toml" >>"$BASE/containerd.log" 2>&1 3>&- &
	echo $! >"$BASE/containerd.pid"
	eventually ctr version || { tail -n 5 "$BASE/containerd.log" >&2; return 1; }
}

containerd_end() {
	local task pid status=0

	[ -f "${BASE:-/nonexistent}/containerd.pid" ] || return 0
	for task in $(ctr task ls -q); do
		ctr task kill -s KILL -a "$task"
		eventually ctr task rm -f "$task" || status=1
	done
	for task in $(ctr container ls -q); do
		ctr container rm "$task" || status=1
	done
	pid=$(cat "$BASE/containerd.pid")
	kill "$pid"
	eventually is_gone "$pid" || { kill -9 "$pid"; status=1; }
	rm -rf "/run/containerd/runc/$CONTAINERD_NAMESPACE" "/run/containerd/fifo/$CONTAINERD_NAMESPACE"
	return $status
}

# SIGTERM it would hand on to the container.
ctr() {
	timeout --foreground -s KILL 200 ctr "$@" 3>&-
}

# ctr run of the box with the runtime under test: options, then -- ID COMMAND.
#	ctr_run --rm -- one id -u
ctr_run() {
	local options=()

	while [ $# -gt 0 ] && [ "$1" != -- ]; do
		options+=("$1")
		shift
	done
	shift
	ctr run --runc-binary "$RUNTIME" --runc-root "$BASE/runc" --fifo-dir "$BASE/fifo" \
		--cgroup "$CGROUP/$1" "${options[@]}" localhost/box:1 "$@"
}

# An image as an archive in the OCI layout: oci_archive ROOTFS FILE NAME
oci_archive() {
	local dir=$BASE/layout layer config manifest

	mkdir -p "$dir/blobs/sha256"
	tar -C "$1" -cf "$dir/layer" .
	layer=$(oci_blob "$dir" layer)
	cat >"$dir/config" <<-END
		{"architecture": "$(dpkg --print-architecture 2>/dev/null || echo amd64)", "os": "linux",
		"config": {"Env": ["PATH=/bin:/usr/bin"], "Cmd": ["/bin/sh"]},
		"rootfs": {"type": "layers", "diff_ids": ["${layer%%,*}"]}}
	END
	config=$(oci_blob "$dir" config)
	cat >"$dir/manifest" <<-END
		{"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
		"config": {"mediaType": "application/vnd.oci.image.config.v1+json",
			"digest": "${config%%,*}", "size": ${config##*,}},
		"layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar",
			"digest": "${layer%%,*}", "size": ${layer##*,}}]}
	END
	manifest=$(oci_blob "$dir" manifest)
	cat >"$dir/index.json" <<-END
		{"schemaVersion": 2, "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json",
			"digest": "${manifest%%,*}", "size": ${manifest##*,},
			"annotations": {"io.containerd.image.name": "$3",
				"org.opencontainers.image.ref.name": "${3##*:}"}}]}
	END
	echo '{"imageLayoutVersion": "1.0.0"}' >"$dir/oci-layout"
	tar -C "$dir" -cf "$2" blobs index.json oci-layout
}

# Moves a file among the blobs; its digest and size.
oci_blob() {
	local sum size

	sum=$(sha256sum "$1/$2" | cut -d ' ' -f 1)
	size=$(stat -c %s "$1/$2")
	mv "$1/$2" "$1/blobs/sha256/$sum"
	echo "sha256:$sum,$size"
}
