#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Real work in a copy-on-write directory, by both backends: the same tree at the end as in a plain directory, the
# directory itself untouched until commit, and the same tree there after it. What is done: work/*.sh.

load bundle
load real
load work

setup_file() { bundle_programs; }
teardown() { bundle_end; }

setup() {
	only_thole
	need_root
	need jq
	bundle
	real_bundle
	work_bundle
}

both() {
	work_plain "$@"
	work_cow overlay "$@"
	work_cow notify "$@"
}

@test "git: clone, merge, rebase, stash, worktree, repack" {
	real_need git
	LEAVE_OUT='.*/(index|pack-[0-9a-f]*\.[a-z]*|info/packs)' both git.sh
}

@test "a C project: configure, make, make install" {
	real_need make cc ar
	both c_project.sh
}

@test "npm: install, test, update" {
	real_need npm node
	LEAVE_OUT='.*/_logs.*' both npm.sh
}

@test "python: a virtual environment, pip, pytest" {
	real_need python3
	/usr/bin/python3 -c 'import ensurepip, pytest' 2>/dev/null || skip "python3-venv or python3-pytest is not installed"
	LEAVE_OUT='.*/__pycache__.*|.*/\.pytest_cache.*|.*/RECORD|.*/direct_url.json' both python.sh
}

@test "sqlite: a file in both journal modes" {
	real_need sqlite3
	both sqlite.sh
}

@test "PostgreSQL: started, changed by several at once, started again after a crash" {
	PATH=$(echo /usr/lib/postgresql/*/bin):$PATH command -v initdb >/dev/null || skip "postgresql is not installed"
	WORK_USER=1000 both postgres.sh
}
