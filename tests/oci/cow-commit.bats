#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a container has changed in a copy-on-write directory, shown, done to the directory, thrown away. The
# changes one by one: tests/unit/cow_commit_test.c.

load bundle
load cow
setup_file() { bundle_programs; }
setup() { cow_setup; }
teardown() { cow_teardown; }

CHANGES='cd $WORK && echo more >>a && echo new >new && rm sub/b && mkdir -m 750 made && echo x >made/x &&
	mv link moved && rm -r sub/deep && mkdir sub/deep && echo again >sub/deep/d && chmod 711 sub && ln new hard &&
	touch -d "2001-02-03 04:05:06" made/x'

DIFF='changed   /work/a
added     /work/hard
removed   /work/link
added     /work/made
added     /work/made/x
added     /work/moved
added     /work/new
changed   /work/sub
removed   /work/sub/b
removed   /work/sub/deep/c
added     /work/sub/deep/d'

# Names, modes, owners, sizes, contents, of what is not the tests' own.
contents() {
	(cd "$1" && find . ! -name said ! -name .done -printf '%p %M %U %G %l\n' | sort && find . -type f ! -name said ! -name .done \
		-exec md5sum {} + | sort -k2)
}

# The same on a plain directory.
oracle() {
	cp -a "$ROOTFS/work" "$BATS_TEST_TMPDIR/plain"
	WORK=$BATS_TEST_TMPDIR/plain sh -c "umask 022; $CHANGES"
	[ -z "$OWNER" ] || chown -hR "$OWNER:$OWNER" "$BATS_TEST_TMPDIR/plain"
	contents "$BATS_TEST_TMPDIR/plain" >"$BATS_TEST_TMPDIR/expected"
}

# Words and paths, without the files that box() writes.
names() {
	sed -E 's#^([a-z]+ +[^ ]+).*#\1#' <<<"$1" | grep -v -e "$WORK/said" -e "$WORK/.done" | sed "s#$WORK#/work#"
}

changed_box() {
	oracle
	box "WORK=$WORK; $CHANGES"
}

stopped() {
	$AS kill "$ID" KILL
	eventually has_ended
}

has_ended() {
	[ "$($AS state "$ID" | jq -r .status)" = stopped ]
}

is_committed() {
	diff "$BATS_TEST_TMPDIR/expected" <(contents "$ROOTFS/work")
	run -0 $AS cow diff "$ID"
	[ -z "$output" ]
}

shows_and_commits() {
	local shown

	changed_box
	run -0 $AS cow diff "$ID"
	shown=$(names "$output" | LC_ALL=C sort)
	echo "$output"
	[ "$shown" = "$(LC_ALL=C sort <<<"$DIFF")" ]
	run -0 $AS cow diff --json "$ID"
	jq -e '[.[] | select(.path | endswith("/made/x"))] == [{change: "added", path: ($work + "/made/x"), type: "file", size: 2}]' \
		--arg work "$WORK" <<<"$output"
	run -1 $AS cow commit "$ID"
	[[ $output == *"is running: what it writes meanwhile would be lost; stop it first"* ]]
	run -1 $AS cow discard "$ID"
	[[ $output == *"is running: stop it first"* ]]
	lower_is_as_before
	stopped
	run -0 $AS cow commit "$ID"
	[ "$(names "$output" | LC_ALL=C sort)" = "$shown" ]
	is_committed
	$AS delete "$ID"
	diff "$BATS_TEST_TMPDIR/expected" <(contents "$ROOTFS/work")
}

@test "overlay: what diff shows commit does" { need_root && backend overlay && shows_and_commits; }
@test "notify: what diff shows commit does" { need_root && backend notify && shows_and_commits; }
@test "overlay in a user namespace: the same" { in_userns && backend overlay && shows_and_commits; }
@test "notify in a user namespace: the same" { in_userns && backend notify && shows_and_commits; }
@test "overlay as an ordinary user: the same" { as_a_user && backend overlay && shows_and_commits; }
@test "notify as an ordinary user: the same" { as_a_user && backend notify && shows_and_commits; }
@test "Landlock alone, as an ordinary user: the same" { alone user && shows_and_commits; }

# It goes on with the same files afterwards, and what it changes from there on is the next commit's.
commits_paused() {
	changed_box
	$AS pause "$ID"
	run -0 $AS cow commit "$ID"
	is_committed
	run -1 $AS cow discard "$ID"
	[[ $output == *"is paused: stop it first"* ]]
	$AS resume "$ID"
	run -0 inside 'cd /work && cat a new sub/deep/d && ls made sub'
	[ "$output" = first$'\n'more$'\n'new$'\n'again$'\n'made:$'\n'x$'\n\n'sub:$'\n'deep ]
	inside 'cd /work && echo later >new && rm made/x'
	$AS pause "$ID"
	run -0 $AS cow diff "$ID"
	[[ $output == *"changed   /work/"* && $output == *"removed   /work/made/x"* ]]
	$AS cow commit "$ID"
	$AS resume "$ID"
	[ "$(cat "$ROOTFS/work/new")" = later ] && [ "$(cat "$ROOTFS/work/hard")" = later ]
	[ ! -e "$ROOTFS/work/made/x" ]
}

@test "overlay: a paused container is refused" {
	need_root
	backend overlay
	changed_box
	rt pause "$ID"
	run -1 rt cow commit "$ID"
	[[ $output == *"is paused, and /work is an overlay mount, below which nothing may change: stop it first"* ]]
	lower_is_as_before
	rt resume "$ID"
}

@test "notify: a paused container, twice" { need_root && backend notify && commits_paused; }

discards() {
	changed_box
	stopped
	$AS cow discard "$ID"
	run -0 $AS cow diff "$ID"
	[ -z "$output" ]
	lower_is_as_before
}

@test "overlay: discard" { need_root && backend overlay && discards; }
@test "notify: discard" { need_root && backend notify && discards; }

ids_of_others() {
	as_a_user
	subids
	backend "$1"
	config '.process.user = {uid: 7, gid: 8}'
	box 'cd /work && mkdir -m 700 closed && echo x >closed/x && chmod 0 closed'
	run -0 $AS cow diff "$ID"
	[[ $output == *"added     /work/closed/x"* ]]
	stopped
	$AS cow commit "$ID"
	[ "$(stat -c '%u %g %a' "$ROOTFS/work/closed")" = "500006 600007 0" ]
	[ "$(cat "$ROOTFS/work/closed/x")" = x ]
}

@test "overlay: files of subordinate ids" { ids_of_others overlay; }
@test "notify: files of subordinate ids" { ids_of_others notify; }

@test "what can't be told or done is refused" {
	need_root
	run -1 rt cow what "$ID"
	[[ $output == *'"what" is none of diff, commit, discard'* ]]
	run -1 rt cow diff "$ID"
	[[ $output == *"does not exist"* ]]
	box 'echo new >/work/new'
	mv "$ROOTFS/work" "$ROOTFS/away" && cp -a "$ROOTFS/away" "$ROOTFS/work"
	run -1 rt cow diff "$ID"
	[[ $output == *"$ROOTFS/work is another directory now than the one that the container has below /work"* ]]
	rt delete --force "$ID"
	config 'del(.annotations)'
	running
	run -1 rt cow diff "$ID"
	[[ $output == *"has no copy-on-write directory"* ]]
	rt delete --force "$ID"
	config '.annotations["run.thole.cow"] = "/mem/dir" | .mounts += [{destination: "/mem", type: "tmpfs", source: "tmpfs"}] |
		.hooks.createRuntime = [{path: "/bin/sh", args: ["sh", "-c", "true"]}]'
	refused_create "open the directory /mem/dir of the container: no such file or directory"
	config '.annotations["run.thole.cow"] = "/mem"'
	running
	run -0 rt exec "$ID" sh -c 'echo x >/mem/x; cat /mem/x' </dev/null
	run -1 rt cow diff "$ID"
	[[ $output == *"what is at /mem without the changes, only the container itself can see"* ]]
}
