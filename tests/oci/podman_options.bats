#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What podman's options become: mounts, users, capabilities, filters, namespaces, limits, pods.

load lib

setup_file() {
	engine_begin podman
	podman_begin
}

teardown_file() {
	podman_end
	engine_end
}

setup() {
	NAME=o$BATS_TEST_NUMBER
	WORK=$BASE/$NAME
	mkdir -p "$WORK"
	cd "$WORK"
}

teardown() {
	pod_remove_pods "$NAME-pod"
	pod_remove "$NAME" "$NAME-b"
}

sleeping() {
	box_run -d --name "$NAME" "$@" -- sleep 1000
}

# The set of capabilities with that name of the container's first process.
capabilities() {
	awk -v name="$1:" '$1 == name { print $2 }' "/proc/$(pod_pid "$NAME")/status"
}

@test "volume: named, filled from the image, kept from one container to the next" {
	run box_run --rm -v "$NAME:/var/seed" -- sh -c 'cat /var/seed/file; echo new >/var/seed/more'
	[ "$output" = from-image ]
	run box_run --rm -v "$NAME:/mnt" -- sh -c 'cat /mnt/file /mnt/more'
	[ "$output" = $'from-image\nnew' ]
	pod volume rm "$NAME"
}

@test "volume: a host directory, read-write and read-only" {
	run box_run --rm -v "$WORK:/data" -- sh -c 'echo written >/data/file'
	[ "$status" -eq 0 ]
	[ "$(cat "$WORK/file")" = written ]
	run box_run --rm -v "$WORK:/data:ro" -- sh -c 'cat /data/file; touch /data/other'
	[ "$status" -ne 0 ]
	[[ $output == *written*"Read-only file system"* ]]
	[ ! -e "$WORK/other" ]
}

@test "volume: a host file over a file of the image" {
	echo from-host >"$WORK/file"
	run box_run --rm -v "$WORK/file:/etc/passwd:ro" -- cat /etc/passwd
	[ "$output" = from-host ]
}

@test "volume: mounts below the source come along, and later ones with rslave" {
	mkdir -p "$WORK/sub" "$WORK/late"
	mount -t tmpfs tmpfs "$WORK"
	mkdir "$WORK/sub" "$WORK/late"
	mount --make-shared "$WORK"
	mount -t tmpfs tmpfs "$WORK/sub"
	touch "$WORK/sub/below"
	sleeping -v "$WORK:/data:rslave"
	run pod exec "$NAME" ls /data/sub
	before=$output
	mount -t tmpfs tmpfs "$WORK/late"
	touch "$WORK/late/after"
	run pod exec "$NAME" ls /data/late
	pod_remove "$NAME"
	umount "$WORK/late" "$WORK/sub" "$WORK"
	[ "$before" = below ]
	[ "$output" = after ]
}

@test "mount: type bind and type tmpfs with options" {
	run box_run --rm --mount "type=bind,src=$WORK,dst=/data,ro" \
		--mount type=tmpfs,dst=/scratch,tmpfs-size=1m,tmpfs-mode=0700 -- \
		sh -c 'grep -E " /(data|scratch) " /proc/self/mountinfo; stat -c %a /scratch'
	[ "$status" -eq 0 ]
	grep -q ' /data ro' <<<"$output"
	grep -q 'size=1024k' <<<"$output"
	[ "${lines[2]}" = 700 ]
}

@test "tmpfs: a fresh one with the image's content" {
	run box_run --rm --tmpfs /var/seed:size=2m -- sh -c \
		'cat /var/seed/file; stat -f -c %T /var/seed; dd if=/dev/zero of=/var/seed/big bs=1M count=3 2>&1'
	[ "$status" -ne 0 ]
	[ "${lines[0]}" = from-image ]
	[ "${lines[1]}" = tmpfs ]
	[[ $output == *"No space left"* ]]
}

@test "read-only: the root is, /tmp, /run and /dev/shm are not" {
	run box_run --rm --read-only -- sh -c \
		'touch /tmp/a /run/a /dev/shm/a && echo scratch; touch /etc/a 2>&1; mkdir /new 2>&1'
	[ "$status" -ne 0 ]
	[ "${lines[0]}" = scratch ]
	[ "$(grep -c 'Read-only file system' <<<"$output")" -eq 2 ]
}

@test "the usual masks and read-only paths of /proc and /sys" {
	run box_run --rm -- sh -c 'cat /proc/kcore; ls /sys/firmware; echo x >/proc/sys/kernel/hostname'
	[ "$status" -ne 0 ]
	[[ $output == *"Read-only file system"* ]]
	run box_run --rm --security-opt unmask=/proc/timer_list --security-opt mask=/var/seed -- \
		sh -c 'ls /var/seed; head -c 5 /proc/timer_list'
	[ "$output" = Timer ]
}

@test "shm-size and the devices of every container" {
	run box_run --rm --shm-size 5m -- sh -c \
		'df -m /dev/shm | tail -n 1; for d in null zero full random urandom tty; do stat -c "%F %t:%T %a" /dev/$d; done'
	[ "$status" -eq 0 ]
	[[ ${lines[0]} == *" 5 "* ]]
	[ "${lines[1]}" = "character special file 1:3 666" ]
	[ "${lines[6]}" = "character special file 5:0 666" ]
	run box_run --rm -- sh -c \
		'for l in fd stdin stdout stderr ptmx; do readlink /dev/$l; done; echo x >/dev/full'
	[ "$status" -ne 0 ]
	[[ $output == "/proc/self/fd"*"/proc/self/fd/0"*"/proc/self/fd/1"*"/proc/self/fd/2"*"pts/ptmx"* ]]
	[[ $output == *"No space left on device" ]]
}

@test "device: given to the container, others refused by the cgroup" {
	mknod "$WORK/fuse" c 10 229
	run box_run --rm --device "$WORK/fuse:/dev/mine:r" -- sh -c \
		'stat -c %t:%T /dev/mine; : </dev/mine && echo read; : >/dev/mine'
	[[ $output == "a:e5"*read*"not permitted"* ]]
	[ "$status" -ne 0 ]
	run box_run --rm -- sh -c 'mknod /dev/other c 10 229 && : </dev/other'
	[ "$status" -ne 0 ]
	[[ $output == *"not permitted"* ]]
}

@test "privileged: all capabilities, no filter, the host's devices" {
	sleeping --privileged
	[ "$(capabilities CapEff)" = "$(awk '/^CapBnd/ { print $2 }' /proc/self/status)" ]
	[ "$(capabilities Seccomp)" = 0 ]
	run pod exec "$NAME" stat -c %t:%T /dev/kmsg
	[ "$output" = 1:b ]
}

@test "init: a small process 1 that reaps and forwards" {
	command -v catatonit >/dev/null || skip "catatonit is not installed"
	sleeping --init
	[ "$(pod exec "$NAME" cat /proc/1/comm)" = podman-init ]
	eventually pod exec "$NAME" pidof sleep
	pod stop -t 60 "$NAME"
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$NAME")" = 143 ]
}

@test "user: by name, by numbers, with more groups" {
	run box_run --rm --user app -- sh -c 'id -u; id -g; id -G; echo $HOME'
	[ "$output" = $'1000\n1000\n1000 2000\n/home/app' ]
	run box_run --rm --user 12:34 --group-add 56 -- sh -c 'id -u; id -g; id -G'
	[ "$output" = $'12\n34\n34 56' ]
	run box_run --rm --user nobodyhere -- true
	[ "$status" -ne 0 ]
}

@test "user: no capability in effect, and the mask for files" {
	run box_run --rm --user app --umask 0027 -- \
		sh -c 'touch /tmp/f; stat -c %a /tmp/f; grep -E "Cap(Eff|Prm|Inh|Amb)" /proc/self/status'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 640 ]
	[ "$(grep -c 0000000000000000 <<<"$output")" -eq 4 ]
}

@test "cap-drop and cap-add" {
	sleeping --cap-drop all --cap-add net_bind_service,chown
	for set in CapEff CapPrm CapBnd; do
		[ "$(capabilities $set)" = 0000000000000401 ]
	done
	[ "$(capabilities CapAmb)" = 0000000000000000 ]
	run pod exec "$NAME" chmod 600 /home/app
	[ "$status" -ne 0 ]
}

# The number of personality(2): podman's profile allows some of its values and denies the others.
personality() {
	case $(uname -m) in
	x86_64) echo 135 ;;
	*) echo 92 ;;
	esac
}

@test "seccomp: podman's profile is in force" {
	sleeping
	[ "$(capabilities Seccomp)" = 2 ]
	run pod exec "$NAME" probe call "$(personality)" 0x40000
	[[ $output == "ret=-1 errno="* ]]
	run pod exec "$NAME" probe call "$(personality)" 8
	[[ $output == *"errno=0" ]]
}

@test "seccomp: unconfined" {
	sleeping --security-opt seccomp=unconfined
	[ "$(capabilities Seccomp)" = 0 ]
	run pod exec "$NAME" probe call "$(personality)" 0x40000
	[[ $output == *"errno=0" ]]
}

@test "seccomp: a profile of the caller's, with its own errno" {
	cat >"$WORK/profile.json" <<-END
		{"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [
			{"names": ["mkdir", "mkdirat"], "action": "SCMP_ACT_ERRNO", "errnoRet": 28},
			{"names": ["kill"], "action": "SCMP_ACT_ERRNO",
				"args": [{"index": 1, "value": 10, "op": "SCMP_CMP_EQ"}]}]}
	END
	sleeping --security-opt seccomp="$WORK/profile.json"
	run pod exec "$NAME" mkdir /tmp/d
	[[ $output == *"No space left on device"* ]]
	run pod exec "$NAME" kill -USR1 1
	[[ $output == *"Operation not permitted"* ]]
	run pod exec "$NAME" kill -USR2 1
	[ "$status" -eq 0 ]
}

@test "no-new-privileges" {
	sleeping --security-opt no-new-privileges
	[ "$(capabilities NoNewPrivs)" = 1 ]
	run pod exec "$NAME" grep NoNewPrivs /proc/self/status
	[[ $output == *1 ]]
}

@test "host namespaces are the host's, and private ones are not" {
	sleeping --pid host --network host --ipc host --uts host --cgroupns host
	for kind in pid net ipc uts; do
		same_ns self "$(pod_pid "$NAME")" $kind
	done
	run ! same_ns self "$(pod_pid "$NAME")" mnt
	pod_remove "$NAME"
	sleeping
	for kind in pid net ipc uts mnt; do
		run ! same_ns self "$(pod_pid "$NAME")" $kind
	done
}

@test "pid host: stop ends every process of the container" {
	box_run -d --name "$NAME" --pid host --tmpfs /run -- sh -c \
		'sleep 1001 & echo $! >/run/child; sleep 1002'
	eventually pod exec "$NAME" test -s /run/child
	child=$(pod exec "$NAME" cat /run/child)
	[ -d "/proc/$child" ]
	pod stop -t 0 "$NAME"
	eventually is_gone "$child"
}

@test "namespaces of another container" {
	sleeping
	box_run -d --name "$NAME-b" --pid "container:$NAME" --network "container:$NAME" \
		--ipc "container:$NAME" -- sleep 1000
	for kind in pid net ipc; do
		same_ns "$(pod_pid "$NAME")" "$(pod_pid "$NAME-b")" $kind
	done
	run pod exec "$NAME-b" cat /proc/1/comm
	[ "$output" = sleep ]
	pod_remove "$NAME-b"
}

@test "network namespace by path" {
	touch "$WORK/net"
	unshare --net="$WORK/net" true
	sleeping --network "ns:$WORK/net"
	inside=$(stat -Lc %i "/proc/$(pod_pid "$NAME")/ns/net")
	wanted=$(stat -c %i "$WORK/net")
	pod_remove "$NAME"
	umount "$WORK/net"
	[ "$inside" = "$wanted" ]
}

@test "user namespace: mapped ids, root inside only" {
	sleeping --uidmap 0:100000:65536 --gidmap 0:100000:65536
	pid=$(pod_pid "$NAME")
	[ "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" = 100000 ]
	run ! same_ns self "$pid" user
	run pod exec "$NAME" sh -c 'id -u; touch /tmp/f && stat -c %u /tmp/f; cat /proc/self/uid_map'
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = 0 ]
	[ "${lines[1]}" = 0 ]
	[[ $(xargs <<<"${lines[2]}") == "0 100000 65536" ]]
}

@test "cgroup namespace private: the container sees its own as the root" {
	run box_run --rm --cgroupns private -- cat /proc/self/cgroup
	[ "$status" -eq 0 ]
	run ! grep -v ':/$' <<<"$output"
}

@test "limits: memory, swap, pids, cpus, shares, cpuset" {
	sleeping --memory 64m --memory-reservation 32m --pids-limit 50 --cpus 0.5 --cpu-shares 512 \
		--cpuset-cpus 0
	pid=$(pod_pid "$NAME")
	[ "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)" = 67108864 ]
	[ "$(cgroup_value "$pid" memory memory.soft_limit_in_bytes memory.low)" = 33554432 ]
	[ "$(cgroup_value "$pid" pids pids.max pids.max)" = 50 ]
	[[ $(cgroup_value "$pid" cpu cpu.cfs_quota_us cpu.max) == 50000* ]]
	[ "$(cgroup_value "$pid" cpuset cpuset.cpus cpuset.cpus)" = 0 ]
	[[ $(cgroup_value "$pid" cpu cpu.shares cpu.weight) =~ ^(512|20)$ ]]
	run pod exec "$NAME" grep Cpus_allowed_list /proc/self/status
	[[ $output == *[[:space:]]0 ]]
}

@test "limits: no more processes than --pids-limit" {
	run box_run --rm --pids-limit 8 -- sh -c \
		'for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 60 & done; wait'
	[[ $output == *"can't fork"* ]]
}

@test "limits: too much memory is the end" {
	run box_run --rm --memory 24m --memory-swap 24m -- tail -c 150000000 /dev/zero
	[ "$status" -eq 137 ]
	run box_run --rm --memory 24m --memory-swap 24m -- sh -c 'head -c 9000000 /dev/zero | tail -c 8000000 | wc -c'
	[ "$output" -eq 8000000 ]
}

@test "update: new limits for a running container" {
	sleeping --memory 64m
	pod update --memory 96m --cpu-shares 300 "$NAME"
	[[ $(cgroup_value "$(pod_pid "$NAME")" cpu cpu.shares cpu.weight) =~ ^(300|12)$ ]]
	[ "$(cgroup_value "$(pod_pid "$NAME")" memory memory.limit_in_bytes memory.max)" = 100663296 ]
}

@test "no cgroup at all" {
	only_thole "has no --cgroup-manager"
	run pod run --rm --cgroups=disabled localhost/box:1 cat /proc/self/cgroup
	[ "$status" -eq 0 ]
	[[ $output != *libpod* ]]
}

@test "ulimit, oom-score-adj, sysctl, hostname, environment, directory" {
	run box_run --rm --ulimit nofile=200:300 --oom-score-adj 500 --sysctl net.ipv4.ip_default_ttl=77 \
		--hostname named --env KEY='a b' --workdir /var/seed --ulimit nproc=90:100 -- \
		sh -c 'ulimit -n; ulimit -Hn; cat /proc/self/oom_score_adj /proc/sys/net/ipv4/ip_default_ttl; hostname; echo "$KEY"; pwd'

	[ "$output" = $'200\n300\n500\n77\nnamed\na b\n/var/seed' ]
}

@test "entrypoint and arguments with odd characters" {
	run box_run --rm --entrypoint '["printf", "%s|"]' -- 'a b' '' $'c\nd' '"e"' 'ü'
	[ "$output" = $'a b||c\nd|"e"|ü|' ]
}

@test "preserve-fds: descriptors of the caller" {
	echo handed-over >"$WORK/file"
	exec 4<"$WORK/file"
	run bash -c 'podman run --rm --cgroup-parent "$1" --preserve-fds 2 localhost/box:1 \
		sh -c "cat <&4; ls /proc/self/fd | wc -l"' - "$CGROUP" 3</dev/null
	exec 4<&-
	[ "$status" -eq 0 ]
	[ "${lines[0]}" = handed-over ]
}

@test "no descriptor but the standard ones and the directory that ls reads" {
	run box_run --rm -- sh -c 'ls /proc/self/fd | xargs'
	[ "$output" = "0 1 2 3" ]
}

@test "rootfs: a directory in place of an image" {
	cp -a "$BASE/box" "$WORK/root"
	run pod run --rm --cgroup-parent "$CGROUP" --rootfs "$WORK/root" sh -c 'echo in >/made; cat /var/seed/file'
	[ "$output" = from-image ]
	[ "$(cat "$WORK/root/made")" = in ]
}

@test "hooks: each stage is called with the state on standard input" {
	mkdir "$WORK/hooks"
	for stage in prestart createRuntime poststart poststop; do
		printf '#!/bin/sh\ncat >%s/%s\n' "$WORK" $stage >"$WORK/$stage.sh"
		chmod +x "$WORK/$stage.sh"
		cat >"$WORK/hooks/$stage.json" <<-END
			{"version": "1.0.0", "hook": {"path": "$WORK/$stage.sh"}, "when": {"always": true},
			"stages": ["$stage"]}
		END
	done
	pod --hooks-dir "$WORK/hooks" run -d --name "$NAME" --cgroup-parent "$CGROUP" localhost/box:1 sleep 1000
	pid=$(pod_pid "$NAME")
	id=$(pod inspect -f '{{.Id}}' "$NAME")
	for stage in prestart createRuntime poststart; do
		[ "$(jq -r '.id, .pid' "$WORK/$stage")" = "$id"$'\n'"$pid" ]
	done
	[ "$(jq -r .status "$WORK/poststart")" = running ] || [ "$RUNTIME_NAME" = runc ]
	pod --hooks-dir "$WORK/hooks" rm -f -t 0 "$NAME"
	eventually test -s "$WORK/poststop"
	[ "$(jq -r .id "$WORK/poststop")" = "$id" ]
}

@test "sdnotify: the container's READY reaches podman's caller" {
	run box_run --rm --sdnotify conmon -- sh -c 'echo "socket:$NOTIFY_SOCKET"'
	[ "$output" = socket: ]
	run box_run --rm --sdnotify container -- sh -c 'echo "socket:$NOTIFY_SOCKET"'
	[ "$status" -eq 0 ]
}

@test "log-driver passthrough: the caller's own descriptors" {
	run bash -c 'podman run --rm --log-driver passthrough --cgroup-parent "$1" localhost/box:1 echo through |
		cat' - "$CGROUP" 3>&-
	[ "$output" = through ]
}

@test "systemd-style stop signal RTMIN+3" {
	box_run -d --name "$NAME" --stop-signal SIGRTMIN+3 --tmpfs /run -- \
		sh -c 'trap "exit 21" RTMIN+3 2>/dev/null || trap "exit 21" 37; touch /run/n; while :; do sleep 0.02; done'
	eventually pod exec "$NAME" test -e /run/n
	pod stop -t 60 "$NAME"
	[ "$(pod inspect -f '{{.State.ExitCode}}' "$NAME")" = 21 ]
}

@test "pod: with an infra container, shared namespaces, and one end for all" {
	pod pod create --name "$NAME-pod" --cgroup-parent "$CGROUP" >/dev/null
	box_run -d --pod "$NAME-pod" --name "$NAME" -- sleep 1000
	box_run -d --pod "$NAME-pod" --name "$NAME-b" -- sleep 1000
	for kind in net ipc uts; do
		same_ns "$(pod_pid "$NAME")" "$(pod_pid "$NAME-b")" $kind
	done
	run ! same_ns "$(pod_pid "$NAME")" "$(pod_pid "$NAME-b")" pid
	[ "$(pod exec "$NAME" hostname)" = "$NAME-pod" ]
	[ "$(pod pod inspect -f '{{.State}}' "$NAME-pod")" = Running ]
	pod pod pause "$NAME-pod"
	[ "$(pod inspect -f '{{.State.Status}}' "$NAME")" = paused ]
	pod pod unpause "$NAME-pod"
	[ "$(pod inspect -f '{{.State.Status}}' "$NAME-b")" = running ]
	pids=("$(pod_pid "$NAME")" "$(pod_pid "$NAME-b")")
	pod pod stop -t 0 "$NAME-pod"
	is_gone "${pids[0]}"
	is_gone "${pids[1]}"
	pod pod start "$NAME-pod"
	[ "$(pod pod inspect -f '{{.State}}' "$NAME-pod")" = Running ]
	pod pod kill "$NAME-pod"
	pod_remove_pods "$NAME-pod"
}

@test "pod: one process tree for all with a shared pid namespace" {
	pod pod create --name "$NAME-pod" --share pid,ipc,net,uts --cgroup-parent "$CGROUP" >/dev/null
	box_run -d --pod "$NAME-pod" --name "$NAME" -- sleep 1000
	box_run -d --pod "$NAME-pod" --name "$NAME-b" -- sleep 1001
	same_ns "$(pod_pid "$NAME")" "$(pod_pid "$NAME-b")" pid
	run pod exec "$NAME" ps
	[[ $output == *"sleep 1000"*"sleep 1001"* ]]
	pid=$(pod_pid "$NAME")
	pod stop -t 0 "$NAME"
	eventually is_gone "$pid"
	[ "$(pod inspect -f '{{.State.Status}}' "$NAME-b")" = running ]
}

@test "pod: without an infra container" {
	pod pod create --name "$NAME-pod" --infra=false --cgroup-parent "$CGROUP" >/dev/null
	run box_run --rm --pod "$NAME-pod" -- echo in-pod
	[ "$output" = in-pod ]
}

@test "play kube: a pod from its description" {
	cat >"$WORK/pod.yaml" <<-END
		apiVersion: v1
		kind: Pod
		metadata: {name: $NAME-pod}
		spec:
		  hostNetwork: true
		  containers:
		  - name: one
		    image: localhost/box:1
		    imagePullPolicy: Never
		    command: [sleep, "1000"]
		    securityContext: {runAsUser: 1000, capabilities: {drop: [ALL]}}
		    resources: {limits: {memory: 32Mi}}
	END
	pod play kube "$WORK/pod.yaml" >/dev/null
	pid=$(pod_pid "$NAME-pod-one")
	[ "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" = 1000 ]
	[ "$(awk '/^CapBnd/ { print $2 }' "/proc/$pid/status")" = 0000000000000000 ]
	[ "$(cgroup_value "$pid" memory memory.limit_in_bytes memory.max)" = 33554432 ]
	pod play kube --down "$WORK/pod.yaml" >/dev/null
	is_gone "$pid"
}

@test "annotation run.thole.ports: two containers of the host's network serve one port" {
	local port=$((10000 + RANDOM % 20000)) name

	for name in "$NAME" "$NAME-b"; do
		box_run -d --name "$name" --network host --annotation run.thole.ports=remap -- \
			sh -c "mkdir /srv && echo $name >/srv/who && exec httpd -f -p 127.0.0.1:$port -h /srv"
	done
	for name in "$NAME" "$NAME-b"; do
		eventually pod exec "$name" wget -qO- "http://127.0.0.1:$port/who"
		[ "$(pod exec "$name" wget -qO- "http://127.0.0.1:$port/who")" = "$name" ]
	done
}
