#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# cgroupsPath and resources: what is asked for is read back from the kernel's files.

load bundle
setup_file() { bundle_programs; }
setup() { need_root; bundle; }
teardown() {
	[ -z "${PARENT:-}" ] || for root in /sys/fs/cgroup /sys/fs/cgroup/*/; do
		[ ! -d "$root/$PARENT" ] || find "$root/$PARENT" -depth -type d -exec rmdir {} +
	done
	bundle_end
}

resources() {
	config ".linux.resources += $1"
}

on_v1() {
	[ -n "$(cgroup_v1 "$1")" ] || skip "no v1 controller $1 on this machine"
}

# The mount point of version 2 where the controller belongs to it, or nothing.
cgroup_v2() {
	local root

	root=$(awk '$3 == "cgroup2" { print $2; exit }' /proc/mounts)
	[ -z "$root" ] || ! grep -qw "$1" "$root/cgroup.controllers" || echo "$root"
}

on_v2() {
	[ -n "$(cgroup_v2 "$1")" ] || skip "controller $1 is not on version 2 here"
}

lacks() {
	[ -z "$(cgroup_v1 "$1")$(cgroup_v2 "$1")" ]
}

# --- place -----------------------------------------------------------------------------------

@test "cgroupsPath: absolute below every mounted hierarchy's root" {
	running
	[ -n "$(cgroup_dirs)" ]
	[ "$(cgroup_dirs | wc -l)" -eq "$(awk '$3 ~ /^cgroup2?$/' /proc/mounts | wc -l)" ]
	for dir in $(cgroup_dirs); do
		grep -qx "$(pid_of)" "$dir/cgroup.procs"
	done
}

@test "cgroupsPath: a parent that was there stays, one that was made goes or stays empty" {
	on_v1 pids
	PARENT=thole-bats-parent-$$
	mkdir "$(cgroup_v1 pids)/$PARENT"
	config '.linux.cgroupsPath = $p' --arg p "/$PARENT/a/b"
	CGROUP=/$PARENT/a/b
	running
	rt delete --force "$ID"
	[ -d "$(cgroup_v1 pids)/$PARENT" ]
	[ ! -d "$(cgroup_v1 pids)/$PARENT/a/b" ]
}

@test "cgroupsPath: relative is below the caller's own cgroup" {
	on_v1 pids
	PARENT=thole-bats-own-$$
	config '.linux.cgroupsPath = "rel/" + $id' --arg id "$ID"
	config_args sleep 1000
	run bash -c 'mkdir -p "$1/$2" && echo 0 >"$1/$2/tasks" && "$THOLE" --root "$STATE" create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" \
		</dev/null >/dev/null 2>&1 3>&-; grep :pids: /proc/$(cat "$PIDFILE")/cgroup' - "$(cgroup_v1 pids)" "$PARENT"
	echo "$output"
	rt delete --force "$ID"
	[[ $output == *":/$PARENT/rel/$ID" ]]
}

@test "no cgroupsPath: named by the id" {
	config 'del(.linux.cgroupsPath)'
	running
	grep -q "/$ID\$" "/proc/$(pid_of)/cgroup"
	rt delete --force "$ID"
	[ -z "$(find /sys/fs/cgroup -type d -name "$ID")" ]
}

@test "cgroupsPath: .. can't climb" {
	only_thole "runc cleans it"
	config '.linux.cgroupsPath = "/a/../../b"'
	refused_create 'linux.cgroupsPath'
}

@test "exec is in the container's cgroup; --cgroup names one below" {
	on_v1 pids
	running
	run exec_in grep :pids: /proc/self/cgroup
	[[ $output == *:/ ]]
	local dir file
	for dir in $(cgroup_dirs); do
		mkdir "$dir/sub"
		for file in cpuset.cpus cpuset.mems; do # these start empty, and let nobody in
			[ ! -e "$dir/$file" ] || cat "$dir/$file" >"$dir/sub/$file"
		done
	done
	run rt exec --cgroup "$(is_thole && echo sub || echo pids:sub)" "$ID" grep :pids: /proc/self/cgroup </dev/null
	echo "$output"
	[[ $output == *:/sub ]]
	run rt exec --cgroup pids:sub "$ID" grep -E ':(pids|freezer):' /proc/self/cgroup </dev/null
	echo "$output"
	[[ $output == *:pids:/sub* && $output == *:freezer:/ ]] || [[ $output == *:freezer:/$'\n'*:pids:/sub ]]
	! is_thole || ! quietly exec --cgroup nosuch:sub "$ID" true
	run rt exec --cgroup ../.. "$ID" true </dev/null
	[ "$status" -ne 0 ]
}

@test "--cgroup-manager disabled: none at all" {
	only_thole "crun's option"
	config '.linux.cgroupsPath = "" | del(.linux.resources)'
	config_args sleep 1000
	rt --cgroup-manager disabled create --bundle "$BUNDLE" --pid-file "$PIDFILE" "$ID" </dev/null >/dev/null 2>&1
	rt start "$ID"
	[ "$(sort "/proc/$(pid_of)/cgroup")" = "$(sort /proc/self/cgroup)" ]
	[ "$(exec_in echo in)" = in ]
	run rt pause "$ID"
	[ "$status" -ne 0 ]
	rt delete --force "$ID"
}

@test "--systemd-cgroup without systemd says so" {
	only_thole "runc says it otherwise"
	[ ! -d /run/systemd/system ] || skip "systemd runs"
	config '.linux.cgroupsPath = "system.slice:thole:" + $id' --arg id "$ID"
	refused systemd --systemd-cgroup create --bundle "$BUNDLE" "$ID"
	config '.linux.cgroupsPath = "/no/three/parts"'
	refused linux.cgroupsPath --systemd-cgroup create --bundle "$BUNDLE" "$ID"
}

@test "a directory that was there already is used, and left" {
	on_v1 pids
	mkdir "$(cgroup_v1 pids)$CGROUP"
	running
	grep -qF ":pids:$CGROUP" "/proc/$(pid_of)/cgroup"
	rt delete --force "$ID"
	rmdir "$(cgroup_v1 pids)$CGROUP" || ! is_thole # runc removes what it did not make
}

@test "processes left in the cgroup are killed by delete" {
	local pid
	config 'del(.linux.namespaces[] | select(.type == "pid"))'
	config_args sh -c 'sleep 1000 >/dev/null 2>&1 & echo $! >/child'
	create
	rt start "$ID"
	eventually has_status stopped
	pid=$(cat "$ROOTFS/child")
	rt delete --force "$ID"
	eventually is_gone "$pid"
	[ -z "$(cgroup_dirs)" ]
}

# --- limits on v1 ----------------------------------------------------------------------------

@test "v1 memory: limit, swap, reservation, swappiness, disableOOMKiller" {
	on_v1 memory
	resources '{memory: {limit: 104857600, swap: 209715200, reservation: 52428800, swappiness: 33, disableOOMKiller: true}}'
	running
	[ "$(cgroup_read memory memory.limit_in_bytes)" = 104857600 ]
	[ "$(cgroup_read memory memory.soft_limit_in_bytes)" = 52428800 ]
	[ "$(cgroup_read memory memory.swappiness)" = 33 ]
	[[ $(cgroup_read memory memory.oom_control) == "oom_kill_disable 1"* ]]
	[ "$(cgroup_read memory memory.memsw.limit_in_bytes)" = 209715200 ]
}

@test "v1 memory: -1 is unlimited; kernel limits are passed over" {
	on_v1 memory
	resources '{memory: {limit: -1, kernel: 1000000000, kernelTCP: 1000000000}}'
	running
	[ "$(cgroup_read memory memory.limit_in_bytes)" -gt 1000000000000 ]
}

@test "memory: what makes no sense is refused" {
	resources '{memory: {limit: 104857600, swap: 52428800}}'
	refused_create ''
	only_thole "runc takes some of these"
	refused_create 'linux.resources.memory.swap'
	config '.linux.resources.memory = {swap: 52428800}'
	refused_create 'linux.resources.memory'
	config '.linux.resources.memory = {swappiness: 101}'
	refused_create 'linux.resources.memory.swappiness'
}

@test "memory: the limit holds" {
	on_v1 memory
	resources '{memory: {limit: 20971520, swap: 20971520}}'
	run in_container 'tail /dev/zero'
	[ "$status" -ne 0 ]
}

@test "v1 cpu: shares, quota, period, burst, idle" {
	on_v1 cpu
	resources '{cpu: {shares: 512, quota: 50000, period: 100000}}'
	running
	[ "$(cgroup_read cpu cpu.shares)" = 512 ]
	[ "$(cgroup_read cpu cpu.cfs_quota_us)" = 50000 ]
	[ "$(cgroup_read cpu cpu.cfs_period_us)" = 100000 ]
	rt delete --force "$ID"
	only_thole "runc 1.1.5 is older than burst and idle"
	resources '{cpu: {quota: 50000, period: 100000, burst: 20000}}'
	running
	[ "$(cgroup_read cpu cpu.cfs_burst_us)" = 20000 ]
	rt delete --force "$ID"
	config '.linux.resources.cpu = {idle: 1}'
	running
	[ "$(cgroup_read cpu cpu.idle)" = 1 ]
}

@test "v1 cpuset: cpus, mems; the parent's where nothing is said" {
	on_v1 cpuset
	resources '{cpu: {cpus: "0", mems: "0"}}'
	running
	[ "$(cgroup_read cpuset cpuset.cpus)" = 0 ]
	[ "$(cgroup_read cpuset cpuset.mems)" = 0 ]
	[ "$(exec_in grep ^Cpus_allowed_list /proc/self/status | cut -f2)" = 0 ]
	rt delete --force "$ID"
	config 'del(.linux.resources.cpu)'
	running
	[ "$(cgroup_read cpuset cpuset.cpus)" = "$(cat "$(cgroup_v1 cpuset)/cpuset.cpus")" ]
}

@test "cpuset: CPUs that do not exist are an error that names the field or the file" {
	only_thole "runc logs a warning besides"
	resources '{cpu: {cpus: "900"}}'
	refused_create 'cpus'
}

@test "v1 cpu: real time" {
	on_v1 cpu
	[ -e "$(cgroup_v1 cpu)/cpu.rt_runtime_us" ] || skip "the kernel has no cpu.rt_runtime_us"
	resources '{cpu: {realtimePeriod: 1000000, realtimeRuntime: 1000}}'
	running
	[ "$(cgroup_read cpu cpu.rt_runtime_us)" = 1000 ]
	[ "$(cgroup_read cpu cpu.rt_period_us)" = 1000000 ]
}

@test "pids.limit: a number, -1; 0 and absent differ" {
	on_v1 pids
	resources '{pids: {limit: 42}}'
	running
	[ "$(cgroup_read pids pids.max)" = 42 ]
	rt delete --force "$ID"
	config '.linux.resources.pids.limit = -1'
	running
	[ "$(cgroup_read pids pids.max)" = max ]
	rt delete --force "$ID"
	config 'del(.linux.resources.pids)'
	running
	[ "$(cgroup_read pids pids.max)" = max ]
}

@test "pids.limit holds" {
	on_v1 pids
	resources '{pids: {limit: 4}}'
	run in_container 'sleep 60 & sleep 60 & sleep 60 & sleep 60 & sleep 60 & wait'
	[[ $output == *"Resource temporarily unavailable"* ]]
}

@test "v1 blkio: throttles" {
	on_v1 blkio
	local dev
	dev=$(awk '$3 ~ /^(vda|sda|nvme0n1|xvda)$/ { print $1 " " $2; exit }' /proc/diskstats)
	[ -n "$dev" ] || skip "no block device to throttle"
	resources "{blockIO: {
		throttleReadBpsDevice: [{major: ${dev% *}, minor: ${dev#* }, rate: 1048576}],
		throttleWriteBpsDevice: [{major: ${dev% *}, minor: ${dev#* }, rate: 2097152}],
		throttleReadIOPSDevice: [{major: ${dev% *}, minor: ${dev#* }, rate: 100}],
		throttleWriteIOPSDevice: [{major: ${dev% *}, minor: ${dev#* }, rate: 200}]}}"
	running
	dev=${dev/ /:}
	[ "$(cgroup_read blkio blkio.throttle.read_bps_device)" = "$dev 1048576" ]
	[ "$(cgroup_read blkio blkio.throttle.write_bps_device)" = "$dev 2097152" ]
	[ "$(cgroup_read blkio blkio.throttle.read_iops_device)" = "$dev 100" ]
	[ "$(cgroup_read blkio blkio.throttle.write_iops_device)" = "$dev 200" ]
}

@test "v1 blkio: weight by whatever file the kernel has" {
	on_v1 blkio
	resources '{blockIO: {weight: 321}}'
	if ! create; then
		# Without an I/O scheduler that weighs there is no file.
		[ ! -e "$(cgroup_v1 blkio)/blkio.weight" ]
		skip "the kernel has no weight file"
	fi
	for f in blkio.weight blkio.bfq.weight; do
		[ ! -e "$(cgroup_v1 blkio)$CGROUP/$f" ] || [ "$(cat "$(cgroup_v1 blkio)$CGROUP/$f")" = 321 ]
	done
}

@test "hugepageLimits, wherever the controller is" {
	! lacks hugetlb || skip "no hugetlb controller"
	[ -d /sys/kernel/mm/hugepages/hugepages-2048kB ] || skip "no huge pages of 2 MB"
	is_thole || on_v1 hugetlb # runc looks at version 1 alone where both are
	resources '{hugepageLimits: [{pageSize: "2MB", limit: 4194304}]}'
	running
	if [ -n "$(cgroup_v1 hugetlb)" ]; then
		[ "$(cgroup_read hugetlb hugetlb.2MB.limit_in_bytes)" = 4194304 ]
	else
		[ "$(cat "$(cgroup_v2 hugetlb)$CGROUP/hugetlb.2MB.max")" = 4194304 ]
	fi
}

@test "controllers that the machine lacks: refused with their name" {
	only_thole "runc passes over some"
	if lacks hugetlb; then
		resources '{hugepageLimits: [{pageSize: "2MB", limit: 4194304}]}'
		refused_create hugetlb
		config 'del(.linux.resources.hugepageLimits)'
	fi
	if lacks rdma; then
		resources '{rdma: {mlx5_1: {hcaHandles: 3}}}'
		refused_create rdma
		config 'del(.linux.resources.rdma)'
	fi
	if lacks net_cls; then
		resources '{network: {classID: 1048577}}'
		refused_create net_cls
	fi
}

@test "unified on a v1 machine is refused" {
	on_v1 memory
	resources '{unified: {"memory.max": "10000000"}}'
	refused_create ''
	only_thole
	refused_create 'linux.resources.unified'
}

# --- limits on v2 ----------------------------------------------------------------------------

@test "v2: memory, cpu, pids with their conversions, unified" {
	on_v2 memory
	resources '{memory: {limit: 104857600, swap: 209715200, reservation: 52428800}, cpu: {shares: 1024, quota: 50000, period: 100000}, pids: {limit: 42},
		unified: {"memory.high": "99999744"}}'
	running
	local dir
	dir=$(cgroup_dirs)
	[ "$(cat "$dir/memory.max")" = 104857600 ]
	[ "$(cat "$dir/memory.swap.max")" = 104857600 ]
	[ "$(cat "$dir/memory.low")" = 52428800 ]
	[ "$(cat "$dir/memory.high")" = 99999744 ]
	[ "$(cat "$dir/cpu.weight")" = 100 ]
	[ "$(cat "$dir/cpu.max")" = "50000 100000" ]
	[ "$(cat "$dir/pids.max")" = 42 ]
}

# --- update ----------------------------------------------------------------------------------

@test "update: by flags" {
	on_v1 memory
	running
	rt update --memory 64m --memory-reservation 32m --cpu-share 700 --cpu-quota 30000 --cpu-period 90000 --pids-limit 77 "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" = $((64 << 20)) ]
	[ "$(cgroup_read memory memory.soft_limit_in_bytes)" = $((32 << 20)) ]
	[ "$(cgroup_read cpu cpu.shares)" = 700 ]
	[ "$(cgroup_read cpu cpu.cfs_quota_us)" = 30000 ]
	[ "$(cgroup_read cpu cpu.cfs_period_us)" = 90000 ]
	[ "$(cgroup_read pids pids.max)" = 77 ]
	rt update --cpuset-cpus 0 "$ID"
	[ "$(cgroup_read cpuset cpuset.cpus)" = 0 ]
	[ "$(cgroup_read pids pids.max)" = 77 ]
	rt update --memory -1 "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" -gt 1000000000000 ]
}

@test "update: units, both spellings, what is passed over and what the machine lacks" {
	only_thole "flags of runc and crun together"
	on_v1 memory
	running
	rt update --memory=65536k --kernel-memory 5M --kernel-memory-tcp=-1 "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" = $((64 << 20)) ]
	rt update --memory 0.125GiB --memory-reservation=33554432 "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" = $((128 << 20)) ]
	[ "$(cgroup_read memory memory.soft_limit_in_bytes)" = $((32 << 20)) ]
	rt update --memory-swap -1 --memory-reservation -1 "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" = $((128 << 20)) ]
	[ "$(cgroup_read memory memory.soft_limit_in_bytes)" -gt 1000000000000 ]
	rt update --pids-limit -1 "$ID"
	[ "$(cgroup_read pids pids.max)" = max ]
	refused Intel update --l3-cache-schema 'L3:0=f' "$ID"
	refused Intel update --mem-bw-schema 'MB:0=20' "$ID"
}

@test "update: checkBeforeUpdate refuses less memory than is in use" {
	on_v1 memory
	only_thole "runc 1.1.5 is older than the field"
	resources '{memory: {limit: 100000000}}'
	running
	exec_in dd if=/dev/zero of=/dev/shm/held bs=1M count=20
	echo '{"memory": {"limit": 4194304, "checkBeforeUpdate": true}}' >"$BATS_TEST_TMPDIR/r.json"
	refused checkBeforeUpdate update --resources "$BATS_TEST_TMPDIR/r.json" "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" -gt 99000000 ]
}

@test "update: a file, standard input, the forms of the flag" {
	on_v1 pids
	running
	echo '{"pids": {"limit": 20}, "memory": {"limit": 50331648}}' >"$BATS_TEST_TMPDIR/r.json"
	rt update --resources "$BATS_TEST_TMPDIR/r.json" "$ID"
	[ "$(cgroup_read pids pids.max)" = 20 ]
	[ "$(cgroup_read memory memory.limit_in_bytes)" = 50331648 ]
	echo '{"pids": {"limit": 21}}' | rt update --resources - "$ID"
	[ "$(cgroup_read pids pids.max)" = 21 ]
	[ "$(cgroup_read memory memory.limit_in_bytes)" = 50331648 ]
	echo '{"pids": {"limit": 22}}' | rt update --resources=- "$ID"
	[ "$(cgroup_read pids pids.max)" = 22 ]
	echo '{"pids": {"limit": 23}}' | rt update -r - "$ID"
	[ "$(cgroup_read pids pids.max)" = 23 ]
}

@test "update: swap above and below the old limits, in one call" {
	on_v1 memory
	resources '{memory: {limit: 33554432, swap: 33554432}}'
	running
	rt update --memory 256m --memory-swap 256m "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" = $((256 << 20)) ]
	[ "$(cgroup_read memory memory.memsw.limit_in_bytes)" = $((256 << 20)) ]
	rt update --memory 64m --memory-swap 64m "$ID"
	[ "$(cgroup_read memory memory.limit_in_bytes)" = $((64 << 20)) ]
	[ "$(cgroup_read memory memory.memsw.limit_in_bytes)" = $((64 << 20)) ]
}

@test "update: bad values change nothing" {
	only_thole "runc prints its help as well"
	on_v1 pids
	resources '{pids: {limit: 42}}'
	running
	refused '' update --pids-limit x "$ID"
	refused '' update --memory 12q "$ID"
	echo '{"pids": {"limit": "x"}}' >"$BATS_TEST_TMPDIR/r.json"
	refused 'pids' update --resources "$BATS_TEST_TMPDIR/r.json" "$ID"
	echo '{"pids": ' >"$BATS_TEST_TMPDIR/r.json"
	refused '' update --resources "$BATS_TEST_TMPDIR/r.json" "$ID"
	refused 'no such file' update --resources /nosuch.json "$ID"
	[ "$(cgroup_read pids pids.max)" = 42 ]
}

@test "device rules stay through an update" {
	grep -q '^229 fuse' /proc/misc || skip "the kernel has no fuse device"
	config '.linux.devices = [{path: "/dev/myfuse", type: "c", major: 10, minor: 229, fileMode: 438}]'
	running
	rt update --pids-limit 30 "$ID"
	[ "$(exec_in probe open /dev/myfuse r)" = errno=1 ]
}
