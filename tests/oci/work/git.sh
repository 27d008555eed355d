#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A repository's life: clone, branch, merge, rebase, stash, repack, worktree.
set -eu
export GIT_AUTHOR_DATE='2024-01-02T03:04:05Z' GIT_COMMITTER_DATE='2024-01-02T03:04:05Z' GIT_CONFIG_COUNT=4 \
	GIT_CONFIG_KEY_0=safe.directory GIT_CONFIG_VALUE_0='*' GIT_CONFIG_KEY_1=user.name GIT_CONFIG_VALUE_1=someone \
	GIT_CONFIG_KEY_2=user.email GIT_CONFIG_VALUE_2=someone@example.org \
	GIT_CONFIG_KEY_3=init.defaultBranch GIT_CONFIG_VALUE_3=main

before() {
	git init -q origin
	cd origin
	for i in $(seq 40); do
		mkdir -p "dir$((i % 7))/sub$((i % 3))"
		seq "$i" "$((i * 50))" >"dir$((i % 7))/sub$((i % 3))/file$i"
	done
	ln -s dir1 link
	git add .
	git commit -qm first
	git checkout -qb other
	git mv dir2 moved
	git commit -qm moved
	git checkout -q main
	seq 1000 >dir1/sub0/big
	git add .
	git commit -qm second
}

work() {
	git clone -q origin clone
	cd clone
	git merge -q -m merged origin/other
	git checkout -qb topic
	echo changed >>moved/sub0/file9
	git rm -qr dir3
	git commit -qam topic
	git checkout -q main
	git mv dir4 dir4-new
	git commit -qm renamed
	git rebase -q main topic
	echo kept >>link/sub0/big
	git stash -q
	git checkout -q main
	git stash pop -q
	git worktree add -q ../tree topic
	git repack -adq
	git fsck --strict
	git gc -q --prune=now
	git status --short
	# how they are packed depends on what was found first
	git cat-file --batch-all-objects --batch-check >../objects
	cd ../origin
	git branch -q -D other
	git clean -qfdx
	git log --all --oneline
}

"$1"
