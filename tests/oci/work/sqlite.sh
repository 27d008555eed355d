#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# SQLite: a file that was there is changed, in both journal modes, by two at once.
set -eu

rows() {
	seq "$1" | awk '{ print "insert into t (text) values (\"row " $1 "\");" }' | tr '"' "'"
}

before() {
	{ echo "create table t (n integer primary key, text); begin;"; rows 2000; echo "commit;"; } | sqlite3 db
}

work() {
	{ rows 60; } | sqlite3 -cmd '.timeout 60000' db &
	{ rows 60; } | sqlite3 -cmd '.timeout 60000' db
	wait $!
	echo "pragma journal_mode = wal; begin; delete from t where text like '%3'; commit; pragma journal_mode = delete;" | sqlite3 db
	echo "vacuum; pragma integrity_check; select count(*) from t;" | sqlite3 db | tee check
	grep -q '^ok$' check
	echo "select text, count(*) from t group by text order by text;" | sqlite3 db >dump
	rm db
}

"$1"
