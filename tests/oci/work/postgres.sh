#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# PostgreSQL: a cluster that was there is started and changed by several at once, and started again after a crash.
set -eu
PATH=$(echo /usr/lib/postgresql/*/bin):$PATH
cluster=data

before() {
	initdb -D "$cluster" -A trust -U someone --no-sync
	echo "unix_socket_directories = '/work'
		listen_addresses = ''
		shared_memory_type = mmap
		dynamic_shared_memory_type = posix" >>"$cluster/postgresql.conf"
}

up() {
	pg_ctl -D "$cluster" -l log -w -t 60 start
}

sql() {
	psql -h /work -U someone -X -q -v ON_ERROR_STOP=1 postgres "$@"
}

work() {
	local i

	chmod 700 "$cluster"
	up
	sql -c 'create table t (n int primary key, text text)'
	for i in 1 2 3 4; do
		sql -c "insert into t select g * 4 + $i, 'row ' || g from generate_series(1, 3000) g" &
	done
	for i in 1 2 3 4; do wait -n; done
	sql -c 'create index on t (text)' -c 'delete from t where n % 7 = 0' -c 'vacuum full t'
	kill -KILL "$(head -n 1 "$cluster/postmaster.pid")"
	while [ -n "$(sql -c 'select 1' 2>/dev/null)" ]; do sleep 0.1; done
	sleep 1
	rm -f "$cluster/postmaster.pid"
	up
	sql -At -c 'select count(*), sum(n), max(text) from t' >sums
	pg_dump -h /work -U someone postgres | grep -v '^.restrict\|^.unrestrict' | sort >dump
	pg_ctl -D "$cluster" -w -m fast stop
	rm -rf "$cluster" log
}

"$1"
