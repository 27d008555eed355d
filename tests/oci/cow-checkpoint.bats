#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a container has changed in a copy-on-write directory travels in its checkpoint.

load bundle
load cow
setup_file() { bundle_programs; }

setup() {
	cow_setup
	IMAGE=$BATS_TEST_TMPDIR/image
	# shellcheck disable=SC2034 # bundle_end ends these too
	OTHER=$ID-2
}

teardown() { cow_teardown; }

CHANGES='cd /work
	echo more >>a && echo new >new && rm sub/b && mkdir made && echo x >made/x && ln new hard &&
	rm -r sub/deep && mkdir sub/deep && echo again >sub/deep/d && truncate -s 1048576 holes && echo end >>holes &&
	chmod 711 sub && touch -d "2001-02-03 04:05:06" made/x'

# With a file that stays open, one that was removed since, and a working directory in there.
COUNTS='exec 5>>/work/log 6>/work/away; rm /work/away; cd /work/made; i=0
	while sleep 0.1; do i=$((i + 1)); echo $i >&5; echo $i >&6; pwd >here; done'

# restore ID
restored() {
	ID=$1
	config '.linux.cgroupsPath = $path' --arg path "$CGROUP-$1"
	[ "$AS" = rt ] || config 'del(.linux.cgroupsPath)'
	$AS restore -d --bundle "$BUNDLE" --image-path "$IMAGE" "$ID" </dev/null >"$BATS_TEST_TMPDIR/out" 2>&1 || {
		cat "$BATS_TEST_TMPDIR/out"
		return 1
	}
}

saved() {
	box "$CHANGES" "$COUNTS"
	eventually inside 'test "$(wc -l </work/log)" -ge 2'
	$AS checkpoint --image-path "$IMAGE" "$ID"
	lower_is_as_before
	run ! $AS state "$ID"
}

counts_on() {
	local before

	before=$(inside 'wc -l </work/log')
	eventually inside "test \$(wc -l </work/log) -gt $before"
	inside 'rm -f /work/made/here'
	eventually inside 'grep -qx /work/made /work/made/here'
}

as_saved() {
	run -0 inside 'cd /work && cat a said sub/deep/d && ls . sub sub/deep && stat -c %a sub . &&
		stat -c %Y made/x && stat -c "%h %i" new && stat -c "%h %i" hard && stat -c "%s %b" holes | awk "{ print \$1, \$2 < 64 }"'
	[[ $output == "first"$'\n'"more"$'\n'"again"$'\n'* ]]
	[[ $output == *"sub/deep:"$'\n'"d"$'\n'"711"$'\n'"1777"$'\n'"$(date -ud "2001-02-03 04:05:06" +%s)"$'\n'* ]]
	[ "$(sed -n '/^2 /p' <<<"$output" | uniq | wc -l)" = 1 ]
	[ "$(sed -n '/^2 /p' <<<"$output" | wc -l)" = 2 ]
	[[ $output == *"1048580 1" ]]
	lower_is_as_before
}

comes_back() {
	saved
	restored "$ID"
	as_saved
	counts_on
}

@test "overlay: a container goes on with what it has changed" { backend overlay && need_root && comes_back; }
@test "overlay in a user namespace: the same" { in_userns && backend overlay && comes_back; }
@test "overlay as an ordinary user: the same" { as_a_user && backend overlay && comes_back; }

two_branches() {
	local first=$ID

	saved
	restored "$first"
	restored "$OTHER"
	as_saved
	inside 'echo other >/work/new; rm /work/made/x; echo mine >/work/mine'
	ID=$first
	as_saved
	run -0 inside 'cat /work/new /work/made/x && test ! -e /work/mine'
	[ "$output" = new$'\n'x ]
	counts_on
	ID=$OTHER
	counts_on
	lower_is_as_before
}

@test "overlay: two containers of one image are two branches" { backend overlay && need_root && two_branches; }
@test "overlay as an ordinary user: two branches" { as_a_user && backend overlay && two_branches; }

leaves_it_running() {
	need_root
	backend "$1"
	box "$CHANGES" "$COUNTS"
	rt checkpoint --leave-running --image-path "$IMAGE" "$ID"
	as_saved
	counts_on
	inside 'echo later >/work/later'
	restored "$OTHER"
	as_saved
	run ! inside 'test -e /work/later'
}

@test "overlay: a checkpoint that leaves it running keeps the layer as well" { leaves_it_running overlay; }
@test "notify: a checkpoint that leaves it running keeps the layer as well" { leaves_it_running notify; }

empty_alone() {
	need_root
	backend "$1"
	saved
	mkdir -p "$BATS_TEST_TMPDIR/branch/upper"
	touch "$BATS_TEST_TMPDIR/branch/upper/mine"
	config '.annotations["run.thole.cow"] = "/work:upper=" + $dir' --arg dir "$BATS_TEST_TMPDIR/branch"
	run ! restored "$ID"
	[[ $output == *"branch/upper holds changes already, and the image brings its own"* ]]
	[ "$(ls "$BATS_TEST_TMPDIR/branch/upper")" = mine ]
	rm "$BATS_TEST_TMPDIR/branch/upper/mine"
	restored "$ID"
	as_saved
	rt delete --force "$ID"
	[ -e "$BATS_TEST_TMPDIR/branch/upper/made/x" ]
	config 'del(.annotations["run.thole.cow"], .annotations["run.thole.cow.backend"])'
	run ! restored "$ID"
	[[ $output == *"what was changed in /work, which the new configuration does not have in run.thole.cow"* ]]
	run ! rt state "$ID"
}

@test "overlay: it goes to an empty upper directory alone, and to one that is there" { empty_alone overlay; }
@test "notify: it goes to an empty upper directory alone, and to one that is there" { empty_alone notify; }

@test "notify: a container goes on with what it has changed" { backend notify && need_root && comes_back; }
@test "notify in a user namespace: the same" { in_userns && backend notify && comes_back; }
@test "notify as an ordinary user: the same" { as_a_user && backend notify && comes_back; }
@test "notify: two containers of one image are two branches" { backend notify && need_root && two_branches; }
@test "notify as an ordinary user: two branches" { as_a_user && backend notify && two_branches; }

@test "notify: two cycles, and the changes that are shown are all that were made" {
	need_root
	backend notify
	saved
	rt restore -d --bundle "$BUNDLE" --image-path "$IMAGE" "$ID" </dev/null >/dev/null 2>&1
	as_saved
	run -0 rt cow diff "$ID"
	before=$(grep -v '/made/here \|/log ' <<<"$output")
	rm -rf "$IMAGE"
	rt checkpoint --image-path "$IMAGE" "$ID"
	restored "$OTHER"
	as_saved
	counts_on
	run -0 rt cow diff "$ID"
	[ "$(grep -v '/made/here \|/log ' <<<"$output")" = "$before" ]
}

# What is open is of the side that it was of: a file of the lower one stays as it is when the name is written to. The
# program that runs is one of the upper side.
HOLDS='cp /bin/busybox /work/busybox && exec /work/busybox sh -c "
	exec 5<>/work/new 6</work/a 7</work/sub/b 8</work/sub/deep
	read first <&6
	rm /work/sub/b
	mkfifo /work/pipe
	: >/work/ready
	read word </work/pipe
	echo more >>/work/a
	{ echo \$first; cat <&6; cat <&7; readlink /proc/\$\$/exe; ls /proc/self/fd/8; echo \$word; } >/work/told 2>&1
	echo end >&5
	: >/work/end
	/work/busybox sleep 1000"'

holds_on() {
	box 'echo begun >/work/new; printf "one\ntwo\n" >/work/two' "$HOLDS"
	eventually inside 'test -e /work/ready'
	$AS checkpoint --check "$ID"
	$AS checkpoint --image-path "$IMAGE" "$ID"
	restored "$OTHER"
	inside 'echo hello >/work/pipe'
	eventually inside 'test -e /work/end'
	run -0 inside 'cat /work/told; cat /work/new; cat /work/a; test ! -e /work/sub/b'
	[ "$output" = $'first\nsecond\n/work/busybox\nc\nhello\nend\nn\nfirst\nmore' ]
	lower_is_as_before
}

@test "notify: what is open, waited for and run is what it was" { need_root && backend notify && holds_on; }
@test "notify as an ordinary user: what is open, waited for and run" { as_a_user && backend notify && holds_on; }
