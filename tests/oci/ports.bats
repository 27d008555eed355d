#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Port remapping (run.thole.ports=remap) with real programs on the host's network, as root and as an
# ordinary user; the supervisor as a process. What it answers call by call: tests/live/super_test.c.

load bundle
load supervised
load user
setup_file() { bundle_programs; }

setup() {
	only_thole
	need jq
	bundle
	config 'del(.linux.namespaces[] | select(.type == "network")) | .annotations["run.thole.ports"] = "remap"'
	PORT=$(free_port)
	# shellcheck disable=SC2034 # bundle_end ends these too
	SECOND=$ID-2
	USER_ID=
}

teardown() { user_end; }

# serve ID [create's options]: busybox httpd that tells who it is, at $PORT.
serve() {
	local id=$1

	shift
	config_args sh -c "mkdir -p /tmp/$id && echo $id >/tmp/$id/who && exec httpd -f -p 127.0.0.1:$PORT -h /tmp/$id"
	own_cgroup "$id"
	rt create --bundle "$BUNDLE" "$@" "$id" </dev/null >"$BATS_TEST_TMPDIR/$id.out" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/$id.out"
		return 1
	}
	rt start "$id"
	eventually listens "$id"
	eventually at_rest "$(real_port "$id")"
}

own_cgroup() {
	config '.linux.cgroupsPath = $path' --arg path "$CGROUP${1#"$ID"}"
}

listens() {
	[ -n "$(real_port "$1")" ] && [ "$(fetch "$(real_port "$1")")" = "$1" ]
}

# No connection to that port of the host's is open at the server's end, as the last one is for a moment after its answer.
at_rest() {
	awk -v port="$(printf ':%04X$' "$1")" '$2 ~ port && $4 != "0A" && $10 { open = 1 } END { exit open }' /proc/net/tcp
}

# What is served at that port, from outside.
fetch() {
	timeout 60 bash -c 'exec 7<>"/dev/tcp/127.0.0.1/$1" && printf "GET /who HTTP/1.0\r\n\r\n" >&7 && tail -n 1 <&7' \
		- "$1" 2>/dev/null
}

real_port() {
	rt ports --json "$1" | jq -r ".[] | select(.virtual == $PORT) | .real"
}

inside_says() {
	rt exec "$1" wget -qO- "http://127.0.0.1:$PORT/who" </dev/null
}

@test "two containers serve one port on the host's network" {
	need_root
	serve "$ID"
	serve "$SECOND"
	[ "$(real_port "$ID")" = "$PORT" ]
	[ "$(real_port "$SECOND")" != "$PORT" ]
	# each finds itself
	[ "$(inside_says "$ID")" = "$ID" ]
	[ "$(inside_says "$SECOND")" = "$SECOND" ]
}

@test "the same where descriptors and memory can't be taken from others" {
	need_root
	forbidden
	serve "$ID"
	serve "$SECOND"
	[ "$(real_port "$SECOND")" != "$PORT" ]
	[ "$(inside_says "$ID")" = "$ID" ]
	[ "$(inside_says "$SECOND")" = "$SECOND" ]
}

@test "a port is free again when its socket has ended" {
	need_root
	serve "$ID"
	serve "$SECOND"
	rt kill "$ID" KILL
	eventually has_status stopped
	run -1 rt ports "$ID"
	[[ $output == *"container not running"* ]]
	# the second one keeps the port it has, a third gets the wanted one
	[ "$(inside_says "$SECOND")" = "$SECOND" ]
	rt delete "$ID"
	serve "$ID"
	[ "$(real_port "$ID")" = "$PORT" ]
}

@test "ports prints a table and JSON" {
	need_root
	serve "$ID"
	run -0 rt ports "$ID"
	[ "${#lines[@]}" = 2 ]
	[[ ${lines[0]} =~ ^PROTOCOL\ +ADDRESS\ +VIRTUAL\ +REAL$ ]]
	[[ ${lines[1]} =~ ^tcp\ +127\.0\.0\.1\ +$PORT\ +$PORT$ ]]
	[ "${#lines[1]}" -le 80 ]
	[ "$(rt ports --json "$ID" | jq -c .)" = \
		"[{\"protocol\":\"tcp\",\"address\":\"127.0.0.1\",\"virtual\":$PORT,\"real\":$PORT}]" ]
}

@test "who does not ask for it has no supervisor" {
	need_root
	config 'del(.annotations)'
	running
	[ -z "$(supervisors)" ]
	[ ! -e "$STATE/$ID/super.sock" ]
	grep -q '^Seccomp:.0$' "/proc/$(pid_of)/status"
	run -1 rt ports "$ID"
	[[ $output == *"has no supervisor"* ]]
}

@test "the supervisor is by itself, and ends with the container" {
	need_root
	local pid

	running
	pid=$(supervisors)
	[ "$(wc -w <<<"$pid")" = 1 ]
	! grep -q "$CGROUP" "/proc/$pid/cgroup" || return 1
	for name in pid mnt net ipc uts; do
		[ "/proc/$pid/ns/$name" -ef "/proc/self/ns/$name" ]
	done
	[ "$(cut -d ' ' -f 6 "/proc/$pid/stat")" != "$(cut -d ' ' -f 6 /proc/self/stat)" ]
	for fd in 0 1 2; do
		[ "$(readlink "/proc/$pid/fd/$fd")" = /dev/null ]
	done
	# /dev/null, the control socket, the listener, one held thread
	eventually no_more_fds "$pid" 6
	rt kill "$ID" KILL
	eventually no_supervisor
}

@test "processes of exec leave nothing in the supervisor" {
	need_root
	local pid before after

	serve "$ID"
	pid=$(supervisors)
	[ "$(inside_says "$ID")" = "$ID" ]
	before=$(find "/proc/$pid/fd" -mindepth 1 | wc -l)
	for _ in 1 2 3 4 5 6 7 8; do
		inside_says "$ID"
	done
	# the listener of one that has just ended may still be there, and a thread that asked
	eventually no_more_fds "$pid" $((before + 1))
}

no_more_fds() {
	[ "$(find "/proc/$1/fd" -mindepth 1 | wc -l)" -le "$2" ]
}

@test "a privileged port takes the rights over the socket's network, not over any" {
	need_root
	[ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -ge 512 ] || skip "this host lets anybody have low ports"
	need python3 unshare
	PORT=$(shuf -i 512-1000 -n 1)
	# a socket of the host's network, in the hands of the root of a user namespace with a network of its own
	for dir in usr lib lib64; do
		[ ! -e "/$dir" ] || config_mount "{type: \"bind\", source: \"/$dir\", destination: \"/$dir\", options: [\"rbind\", \"ro\"]}"
		mkdir -p "$ROOTFS/$dir"
	done
	config '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {}'
	config_args /usr/bin/python3 -c "
import socket, ctypes
s = socket.socket()
libc = ctypes.CDLL(None, use_errno=True)
if libc.unshare(0x10000000 | 0x40000000):
    print('no user namespace')
else:
    try:
        s.bind(('127.0.0.1', $PORT))
        print('bound')
    except PermissionError:
        print('refused')"
	run -0 rt run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" != "no user namespace" ] || skip "no user namespace can be made in a container here"
	[ "$output" = refused ]
}

@test "a container that is never started leaves no supervisor" {
	need_root
	config_args sleep 1000
	create
	[ -n "$(supervisors)" ]
	rt delete "$ID"
	eventually no_supervisor
}

@test "one that can't be made leaves no supervisor" {
	need_root
	config_args /no/such/program
	run ! create
	eventually no_supervisor
	[ ! -e "$STATE/$ID" ]
}

@test "the supervisor's death hangs nobody" {
	need_root
	serve "$ID"
	kill -KILL "$(supervisors)"
	eventually no_supervisor
	run -255 timeout 100 "$THOLE" --root "$STATE" exec "$ID" true </dev/null 3>&-
	[[ $output == *"supervisor"* ]]
	run -1 timeout 100 "$THOLE" --root "$STATE" ports "$ID" 3>&-
	[[ $output == *"which may have ended"* ]]
	[ "$(status_of)" = running ]
	timeout 100 "$THOLE" --root "$STATE" delete --force "$ID" 3>&-
}

@test "the supervisor tells in the log that a signal ended it" {
	need_root
	config_args sleep 1000
	rt --log "$BATS_TEST_TMPDIR/log" create --bundle "$BUNDLE" "$ID" </dev/null >/dev/null 2>&1
	rt start "$ID"
	kill -TERM "$(supervisors)"
	eventually grep -q "the supervisor of container $ID: it was ended by signal 15" "$BATS_TEST_TMPDIR/log"
}

@test "the profile's own filter stands beside the supervisor's" {
	need_root
	config '.linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW", syscalls: [
		{names: ["seccomp", "sendmsg", "sethostname"], action: "SCMP_ACT_ERRNO", errnoRet: 1}]}'
	config '.process.noNewPrivileges = false'
	serve "$ID"
	[ "$(inside_says "$ID")" = "$ID" ]
	run ! rt exec "$ID" hostname other </dev/null
}

@test "a port below 1024 takes the capability" {
	need_root
	[ "$(cat /proc/sys/net/ipv4/ip_unprivileged_port_start)" -ge 512 ] || skip "this host lets anybody have low ports"
	PORT=511
	config '.process.user = {uid: 1000, gid: 1000} | .process.capabilities = {}'
	config_args httpd -f -p 127.0.0.1:$PORT
	run -1 rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == *"ermission denied"* ]]
}

@test "Landlock's list of ports is kept" {
	need_root
	[ "$(rt features | jq -r '.annotations["run.thole.landlock.abi"]')" -ge 4 ] || skip "Landlock knows no ports here"
	config '.annotations["run.thole.landlock.bind"] = "1-1023"'
	config_args httpd -f -p 127.0.0.1:$PORT
	run -1 rt run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == *"ermission denied"* ]]
}

@test "what makes no sense is refused" {
	need_root
	config '.annotations["run.thole.ports"] = "yes"'
	refused_create 'annotations.run.thole.ports: must be remap'
	config '.annotations["run.thole.ports"] = "remap" | .linux.seccomp = {defaultAction: "SCMP_ACT_ALLOW",
		listenerPath: "/run/none.sock", syscalls: [{names: ["mkdir"], action: "SCMP_ACT_NOTIFY"}]}'
	refused_create 'one listener only'
}

@test "policy tells the line" {
	run -0 rt policy --json "$BUNDLE"
	jq -e '[.. | objects | select(.where? == "annotations.run.thole.ports" or .config? == "annotations.run.thole.ports")] |
		length == 1' <<<"$output"
	run -0 rt policy "$BUNDLE"
	[[ $output == *"annotations.run.thole.ports"*supervisor* ]]
}

# The processes of a container, restored: what is bound is reached as before, and what is bound from
# now on goes through the supervisor as well. An image that is restored twice takes two ports of the host.
ports_come_back() {
	local image=$BATS_TEST_TMPDIR/image real

	$1 checkpoint --image-path "$image" "$SECOND"
	run ! $1 state "$SECOND"
	for id in "$SECOND" "$THIRD"; do
		[ -n "$USER_ID" ] || own_cgroup "$id"
		$1 restore -d --bundle "$BUNDLE" --image-path "$image" "$id" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || {
			cat "$BATS_TEST_TMPDIR/out"
			return 1
		}
		[ "$($1 exec "$id" wget -qO- "http://127.0.0.1:$PORT/who" </dev/null)" = "$SECOND" ]
	done
	[ "$($1 exec "$ID" wget -qO- "http://127.0.0.1:$PORT/who" </dev/null)" = "$ID" ]
	real=$($1 ports --json "$SECOND" | jq -r ".[] | select(.virtual == $PORT) | .real")
	[ "$real" != "$($1 ports --json "$THIRD" | jq -r ".[] | select(.virtual == $PORT) | .real")" ]
	[ "$(fetch "$real")" = "$SECOND" ]
	$1 exec "$THIRD" touch "/tmp/$SECOND/go" </dev/null
	eventually binds_anew "$1"
}

# ROOTFS is shared: both that were restored have seen it.
binds_anew() {
	[ "$($1 ports --json "$THIRD" | jq -r ".[] | select(.virtual == $OTHER_PORT) | .virtual")" = "$OTHER_PORT" ] &&
		[ "$($1 ports --json "$SECOND" | jq -r ".[] | select(.virtual == $OTHER_PORT) | .virtual")" = "$OTHER_PORT" ] &&
		[ "$($1 exec "$THIRD" wget -qO- "http://127.0.0.1:$OTHER_PORT/who" </dev/null)" = "$SECOND" ]
}

# The server's arguments; it serves another port as soon as it finds go.
serves_twice() {
	config_args sh -c "mkdir -p /tmp/$1 && echo $1 >/tmp/$1/who && httpd -p 127.0.0.1:$PORT -h /tmp/$1 &&
		while ! test -e /tmp/$1/go; do sleep 0.1; done; httpd -p 127.0.0.1:$OTHER_PORT -h /tmp/$1; sleep 1000"
}

@test "a checkpoint keeps the ports, also of two that are restored" {
	need_root
	THIRD=$ID-3
	OTHER_PORT=$(free_port "$PORT")
	serve "$ID"
	serves_twice "$SECOND"
	own_cgroup "$SECOND"
	rt run -d --bundle "$BUNDLE" "$SECOND" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	eventually listens "$SECOND"
	eventually at_rest "$(real_port "$SECOND")"
	ports_come_back rt
	eventually supervised_are 3
}

supervised_are() {
	[ "$(supervisors | wc -l)" = "$1" ]
}

@test "what an image has of ports takes a configuration that remaps them" {
	need_root
	serve "$ID"
	rt checkpoint --image-path "$BATS_TEST_TMPDIR/image" "$ID"
	config 'del(.annotations["run.thole.ports"])'
	run -1 rt restore -d --bundle "$BUNDLE" --image-path "$BATS_TEST_TMPDIR/image" "$ID" </dev/null
	[[ $output == *"the new configuration has no run.thole.ports"* ]]
	eventually no_supervisor
}

@test "two redis servers on one port" {
	need_root
	local server

	need redis-cli
	server=$(command -v redis-server || command -v redis-check-rdb) || skip "redis-server is not installed"
	ln -s "$server" "$ROOTFS/bin/redis-server"
	mkdir -p "$ROOTFS"/{usr,lib,lib64,etc/redis}
	for dir in usr lib lib64; do
		[ ! -e "/$dir" ] || config_mount "{type: \"bind\", source: \"/$dir\", destination: \"/$dir\", options: [\"rbind\", \"ro\"]}"
	done
	for id in "$ID" "$SECOND"; do
		config_args redis-server --port "$PORT" --bind 127.0.0.1 --save '' --appendonly no
		own_cgroup "$id"
		rt create --bundle "$BUNDLE" "$id" </dev/null >"$BATS_TEST_TMPDIR/$id.out" 2>&1
		rt start "$id"
		eventually real_port_is_there "$id"
		eventually redis-cli -p "$(real_port "$id")" ping
	done
	[ "$(real_port "$ID")" = "$PORT" ]
	[ "$(real_port "$SECOND")" != "$PORT" ]
	redis-cli -p "$(real_port "$ID")" set who first
	redis-cli -p "$(real_port "$SECOND")" set who second
	[ "$(rt exec "$ID" /usr/bin/redis-cli -p "$PORT" get who </dev/null)" = first ]
	[ "$(rt exec "$SECOND" /usr/bin/redis-cli -p "$PORT" get who </dev/null)" = second ]
	[ "$(redis-cli -p "$(real_port "$SECOND")" config get port | tail -n 1)" = "$PORT" ]
}

real_port_is_there() {
	[ -n "$(real_port "$1")" ]
}

@test "two containers of an ordinary user serve one port" {
	need_root
	local real

	user_spec '.root.readonly = false |
		del(.linux.namespaces[] | select(.type == "network")) | del(.mounts[] | select(.destination == "/sys")) |
		.annotations["run.thole.ports"] = "remap"'
	for id in "$ID" "$SECOND"; do
		config_args sh -c "mkdir -p /tmp/$id && echo $id >/tmp/$id/who && exec httpd -f -p 127.0.0.1:$PORT -h /tmp/$id"
		user_rt run --detach --bundle "$BUNDLE" "$id" </dev/null >"$BATS_TEST_TMPDIR/$id.out" 2>&1 || {
			cat "$BATS_TEST_TMPDIR/$id.out"
			return 1
		}
		eventually as_user_listens "$id"
	done
	real=$(user_rt ports --json "$SECOND" | jq -r '.[0].real')
	[ "$real" != "$PORT" ]
	[ "$(user_rt exec "$SECOND" wget -qO- "http://127.0.0.1:$PORT/who" </dev/null)" = "$SECOND" ]
	[ "$(user_rt exec "$ID" wget -qO- "http://127.0.0.1:$PORT/who" </dev/null)" = "$ID" ]
	[ "$(stat -c %u "/proc/$(supervisors | head -n 1)")" != 1 ]
	THIRD=$ID-3
	OTHER_PORT=$(free_port "$PORT")
	user_rt delete --force "$SECOND"
	serves_twice "$SECOND"
	user_rt run --detach --bundle "$BUNDLE" "$SECOND" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1
	eventually as_user_listens "$SECOND"
	eventually at_rest "$(user_rt ports --json "$SECOND" | jq -r '.[0].real')"
	ports_come_back user_rt
	for id in "$ID" "$SECOND" "$THIRD"; do
		user_rt delete --force "$id"
	done
	eventually no_supervisor
}

as_user_listens() {
	local real

	real=$(user_rt ports --json "$1" | jq -r '.[0].real') &&
		[ "$(fetch "$real")" = "$1" ]
}
