#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real programs go on after checkpoint and restore, under load. The same file is ckpt-real-rootless.bats by a
# link, and then an ordinary user does it.

load bundle
load ckpt
load real

setup_file() { bundle_programs; }
teardown() { cycle_teardown; }

setup() {
	cycle_setup
	real_bundle
}

redis_server="/usr/bin/redis-check-rdb --bind 127.0.0.1 --save '' --dir /cycle --logfile /cycle/log"

# redis-server is redis-check-rdb of redis-tools by another name: no service is installed for it.
redis() {
	real_need redis-check-rdb
	printf '%s\n' '#!/bin/sh' "exec -a redis-server $redis_server \"\$@\"" >"$ROOTFS/real/redis-server"
	sed -i '1s/sh/bash/' "$ROOTFS/real/redis-server"
	chmod a+x "$ROOTFS/real/redis-server"
}

has_memory() {
	[ "$(awk '/^MemAvailable:/ { print int($2 / 1024) }' /proc/meminfo)" -ge "$1" ] ||
		skip "$1 MB of memory are not free"
	[ "$(df --output=avail -m "$BATS_TEST_TMPDIR" | tail -n 1)" -ge "$1" ] ||
		skip "$1 MB are not free in $BATS_TEST_TMPDIR"
}

@test "redis with a gigabyte of data, clients connected" {
	root_only "a smaller one is enough for a user"
	has_memory 5000
	redis
	real_start sh -c '/real/redis-server --port 7001 & exec python3 /real/redis_client.py 7001 1024 /cycle'
	real_survives --tcp-established
}

@test "redis, clients connected" {
	redis
	real_start sh -c '/real/redis-server --port 7001 & exec python3 /real/redis_client.py 7001 16 /cycle'
	real_survives --tcp-established
}

@test "redis, a benchmark connected" {
	redis
	real_start bash -c '/real/redis-server --port 7001 & touch /cycle/ready
		redis-benchmark -p 7001 -t set,get,incr,lpush,lpop -n 1000000000 -c 20 >/cycle/bench 2>&1 &
		while [ ! -e /cycle/go ]; do sleep 0.1; done
		kill -0 $! && redis-cli -p 7001 ping >/cycle/pong && ! grep -i error /cycle/bench &&
			grep -q PONG /cycle/pong && echo OK >/cycle/result || echo failed >/cycle/result'
	real_survives --tcp-established
}

# What nginx serves.
www() {
	mkdir -p "$ROOTFS/cycle/www" "$ROOTFS/cycle/tmp"
	chmod 755 "$ROOTFS" "$ROOTFS/cycle"
	head -c 300000 /dev/urandom >"$ROOTFS/cycle/www/big"
	echo small >"$ROOTFS/cycle/www/small"
	chown -R 33:33 "$ROOTFS/cycle"
}

# A client outside, over the network of the host: outsider PROGRAM ARGUMENT...
outsider() {
	mkdir -p "$BATS_TEST_TMPDIR/outside"
	"$@" </dev/null >"$BATS_TEST_TMPDIR/outside/out" 2>&1 3>&- &
	disown
	eventually test -e "$BATS_TEST_TMPDIR/outside/ready"
}

outsider_ends() {
	touch "$BATS_TEST_TMPDIR/outside/go"
	eventually test -s "$BATS_TEST_TMPDIR/outside/result" || { cat "$BATS_TEST_TMPDIR/outside/out"; return 1; }
	cat "$BATS_TEST_TMPDIR/outside/result" "$BATS_TEST_TMPDIR/outside/out"
	[ "$(cat "$BATS_TEST_TMPDIR/outside/result")" = OK ]
}

@test "redis, clients outside connect again" {
	local port

	redis
	port=$(free_port)
	config '.linux.namespaces |= map(select(.type != "network"))'
	real_start sh -c "/real/redis-server --port $port & touch /cycle/ready; wait"
	outsider python3 "$BATS_TEST_DIRNAME/real/redis_client.py" "$port" 16 "$BATS_TEST_TMPDIR/outside" reconnect
	run -1 $AS checkpoint --image-path "$IMAGE" --tcp-established "$ID"
	[[ $output == *"--tcp-close ends"* ]]
	DUMP_FLAGS=--tcp-close
	cycle_once "$ID-2"
	sleep 0.5
	cycle_once "$ID-3"
	sleep 0.5
	outsider_ends
}

@test "nginx, clients outside connect again" {
	local port

	root_only "its workers are another user"
	real_need nginx
	port=$(free_port)
	www
	sed -i "s/8080/$port/" "$ROOTFS/real/nginx.conf"
	config '.linux.namespaces |= map(select(.type != "network"))'
	real_start sh -c "nginx -c /real/nginx.conf & touch /cycle/ready; wait"
	MAY_BREAK=1 outsider python3 "$BATS_TEST_DIRNAME/real/http_client.py" "$port" "$BATS_TEST_TMPDIR/outside" \
		/big /small /through/big +/small +/through/small -/small
	DUMP_FLAGS=--tcp-close
	cycle_once "$ID-2"
	sleep 0.5
	cycle_once "$ID-3"
	sleep 0.5
	outsider_ends
}

@test "nginx with workers, requests on connections that stay and on new ones" {
	root_only "its workers are another user"
	real_need nginx
	www
	real_start sh -c 'nginx -c /real/nginx.conf & exec python3 /real/http_client.py 8080 /cycle \
		/big /small /through/big +/small +/through/small -/small'
	real_survives --tcp-established
}

@test "python3: threads, locks, timers, sockets, pipes, signals, asyncio" {
	real_need python3
	real_start python3 /real/threads.py /cycle
	real_survives
}

@test "node: compiled code, workers, timers, promises, http" {
	real_need node
	real_start node /real/node.js /cycle
	real_survives --tcp-established
}

@test "sqlite in the middle of transactions" {
	real_need python3
	real_start python3 /real/sqlite.py /cycle
	real_survives --file-locks
}

# ---- a terminal

# Who holds the terminal is in the background until the test ends.
console() {
	mkfifo "$BATS_TEST_TMPDIR/typed"
	python3 "$BATS_TEST_DIRNAME/real/console.py" "$BATS_TEST_TMPDIR/tty.sock" "$BATS_TEST_TMPDIR/typed" \
		"$BATS_TEST_TMPDIR/screen" </dev/null >"$BATS_TEST_TMPDIR/console.out" 2>&1 3>&- &
	disown
	eventually test -S "$BATS_TEST_TMPDIR/tty.sock"
	[ "$AS" = rt ] || chmod 777 "$BATS_TEST_TMPDIR/tty.sock"
	config '.process.terminal = true | .process.env += ["PS1=> "]'
}

type_in() {
	# shellcheck disable=SC2059
	printf "$1" >"$BATS_TEST_TMPDIR/typed"
}

# shows N TEXT: N lines of the screen have it, or will.
shows() {
	eventually shows_now "$@" || { cat -v "$BATS_TEST_TMPDIR/screen"; return 1; }
}

screen() {
	tr -d '\r' <"$BATS_TEST_TMPDIR/screen" | sed 's/\x1b\[[?0-9;]*[a-zA-Z]//g'
}

shows_now() {
	[ "$(screen | grep -c -- "$2")" -ge "$1" ]
}

prompts() {
	[ "$(screen | tail -n 1)" = "> " ]
}

# The group that has the terminal, and goes on.
foreground_is() {
	local leader

	leader=$(cut -d ' ' -f 8 "/proc/$(cat "$PIDFILE")/stat")
	[ "$leader" != "$(cat "$PIDFILE")" ] && waits_as "$leader" "$1"
}

# Once more, on another terminal.
another_console() {
	$AS checkpoint --image-path "$IMAGE" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	$AS delete --force "$ID" || return
	ID=$ID-2
	$AS restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach \
		--console-socket "$BATS_TEST_TMPDIR/tty.sock" "$ID" </dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
}

shell_goes_on() {
	console
	config_args "$@"
	user_own
	$AS create --bundle "$BUNDLE" --console-socket "$BATS_TEST_TMPDIR/tty.sock" --pid-file "$PIDFILE" "$ID" \
		</dev/null >"$OUT" 2>&1 || { cat "$OUT"; return 1; }
	$AS start "$ID"
	eventually prompts
	type_in 'x=kept; stty rows 41 cols 101\n'
	type_in 'while :; do sleep 0.1; echo tick >>/cycle/ticks; done & \n'
	eventually test -s "$ROOTFS/cycle/ticks"
	eventually prompts
	type_in 'cat >/cycle/cat; echo and "then"\n'
	type_in 'one\n'
	eventually grep -qx one "$ROOTFS/cycle/cat"
	for n in two three; do
		another_console
		type_in "$n\n"
		shows 1 "^$n$"
		# what was typed and not read can't be saved
		eventually grep -qx "$n" "$ROOTFS/cycle/cat"
	done
	type_in '\004'
	shows 1 '^and then$'
	[ "$(cat "$ROOTFS/cycle/cat")" = $'one\ntwo\nthree' ]
	type_in 'echo "<$x>"; stty size; jobs\n'
	shows 1 '^<kept>$'
	shows 1 '^41 101$'
	shows 1 'Running .*while'
	# job control
	eventually prompts
	type_in 'sh -c "echo inside; exec cat"\n'
	shows 1 '^inside$'
	type_in '\032'
	shows 1 'Stopped .*cat'
	eventually prompts
	type_in 'fg\n'
	shows 1 '^sh -c .*cat'
	eventually foreground_is cat
	type_in '\003'
	eventually prompts
	type_in 'echo status $?\n'
	shows 1 '^status 130$'
	# the last command but one, by the key upwards
	type_in 'echo al''ive\n'
	shows 1 '^alive$'
	type_in '\033[A\n'
	shows 2 '^alive$'
	: >"$ROOTFS/cycle/ticks"
	eventually test -s "$ROOTFS/cycle/ticks"
	type_in 'exit 3\n'
	eventually has_stopped
	echo 'end of console' >"$BATS_TEST_TMPDIR/typed"
}

has_stopped() {
	[ "$($AS state "$ID" | jq -r .status)" = stopped ]
}

@test "bash in a terminal" {
	shell_goes_on bash --norc -i
}

@test "busybox' shell in a terminal" {
	real_need busybox
	shell_goes_on busybox ash -i
}
