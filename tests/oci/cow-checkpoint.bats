#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a container has changed in a copy-on-write directory travels in its checkpoint.

load bundle
load cow
load real
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

# The work directory knows which names are still to become those of the copy: that is in no image.
@test "notify: a file with several names of which some were changed is refused, until all are looked for" {
	need_root
	backend notify
	ln "$ROOTFS/work/sub/b" "$ROOTFS/work/sub/deep/other"
	cow_remember
	box 'echo changed >>/work/sub/b'
	run -1 rt checkpoint --check "$ID"
	[[ $output == *"a file with several names was changed under some of them"* ]]
	run -1 rt checkpoint --image-path "$IMAGE" "$ID"
	[ ! -e "$IMAGE/inventory.img" ]
	run -0 inside 'find /work -newer / >/dev/null; cat /work/sub/deep/other'
	[ "$output" = $'second\nchanged' ]
	rt checkpoint --image-path "$IMAGE" "$ID"
	restored "$ID"
	run -0 inside 'echo more >>/work/sub/b; cat /work/sub/deep/other; stat -c %h /work/sub/b'
	[ "$output" = $'second\nchanged\nmore\n2' ]
	lower_is_as_before
}

@test "notify as an ordinary user with further ids: what others own is as it was" {
	as_a_user
	subids
	config '.process.capabilities |= map_values(. + ["CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER"])'
	backend notify
	holds='chown 5:6 /work/new && chmod 600 /work/new && mkdir /work/theirs && echo x >/work/theirs/x && chown -R 7:8 /work/theirs &&
		chmod 700 /work/theirs'
	box "echo begun >/work/new && $holds" 'exec 5>>/work/new 6</work/theirs/x; cd /work/theirs; while sleep 0.1; do echo y >&5; done'
	$AS checkpoint --image-path "$IMAGE" "$ID"
	restored "$OTHER"
	run -0 inside 'stat -c "%u:%g %a" /work/new /work/theirs /work/theirs/x; cat /proc/1/fd/6'
	[[ $output == $'5:6 600\n7:8 700\n7:8 644\n'* ]]
	before=$(inside 'wc -l </work/new')
	eventually inside "test \$(wc -l </work/new) -gt $before"
	lower_is_as_before
}

@test "notify: a quota goes on where it was" {
	need_root
	config '.annotations["run.thole.cow"] = "/work:quota=1M"'
	box 'head -c 700000 /dev/zero >/work/large'
	rt checkpoint --image-path "$IMAGE" "$ID"
	restored "$OTHER"
	inside 'head -c 200000 /dev/zero >/work/small'
	run ! inside 'head -c 200000 /dev/zero >/work/too-much'
	inside 'rm /work/large; head -c 500000 /dev/zero >/work/again'
}

# tell TEXT: to what reads a fifo, line by line.
tell() {
	printf '%s\n' "$@" >"$BATS_TEST_TMPDIR/text"
	$AS exec "$ID" sh -c "cat >/work/in" <"$BATS_TEST_TMPDIR/text"
}

@test "notify: sqlite goes on in the middle of a transaction, in one branch to commit it and in the other to roll it back" {
	local first=$ID

	need_root
	real_bundle
	real_need sqlite3
	backend notify
	box true 'mkfifo /work/in && exec sqlite3 /work/db <>/work/in'
	tell 'create table t(x);' 'insert into t values(1);' 'begin immediate;' 'insert into t values(2);' \
		'.output /work/one' 'select count(*) from t;' '.output stdout'
	eventually inside 'grep -qx 2 /work/one'
	rt checkpoint --file-locks --image-path "$IMAGE" "$ID"
	for branch in "$first" "$OTHER"; do
		ID=$branch
		config '.linux.cgroupsPath = $path' --arg path "$CGROUP-$ID"
		rt restore -d --file-locks --bundle "$BUNDLE" --image-path "$IMAGE" "$ID" </dev/null >/dev/null 2>&1
		# the lock is there again
		run ! inside 'sqlite3 /work/db "insert into t values(5)"'
	done
	ID=$first
	tell 'commit;' '.output /work/two' 'select count(*) from t;' '.output stdout'
	eventually inside 'grep -qx 2 /work/two'
	ID=$OTHER
	tell 'rollback;' '.output /work/two' 'select count(*) from t;' '.output stdout'
	eventually inside 'grep -qx 1 /work/two'
	run -0 inside 'sqlite3 /work/db "pragma integrity_check; select sum(x) from t"'
	[ "$output" = $'ok\n1' ]
	ID=$first
	run -0 inside 'sqlite3 /work/db "pragma integrity_check; select sum(x) from t"'
	[ "$output" = $'ok\n3' ]
	lower_is_as_before
}

# It reads 32 KiB at a time, which the names of the lower side are longer than.
@test "notify: a directory goes on being read among the names of the lower side" {
	need_root
	real_bundle
	real_need python3
	backend notify
	mkdir "$ROOTFS/work/many"
	(cd "$ROOTFS/work/many" && seq -f 'a rather long name of a file %g' 3000 | xargs -d '\n' touch)
	cow_remember
	cat >"$ROOTFS/read.py" <<-'EOF'
		import os, time
		os.open("/work/many/new", os.O_CREAT)
		os.unlink("/work/many/a rather long name of a file 7")
		listing = os.scandir("/work/many")
		names = [next(listing).name for i in range(100)]
		os.close(os.open("/work/ready", os.O_CREAT))
		while not os.path.exists("/work/go"):
		    time.sleep(0.05)
		names += [e.name for e in listing]
		with open("/work/told", "w") as told:
		    told.write("%d %d\n" % (len(names), len(set(names))))
		time.sleep(1000)
	EOF
	box true 'exec python3 /read.py'
	eventually inside 'test -e /work/ready'
	rt checkpoint --image-path "$IMAGE" "$ID"
	restored "$OTHER"
	inside 'touch /work/go'
	eventually inside 'test -s /work/told'
	run -0 inside 'cat /work/told'
	[ "$output" = "3000 3000" ]
	lower_is_as_before
}

# What is written again is empty for a moment.
counts_past() {
	[ "$(cat "$(upper)/n")" -gt "${1:-0}" ]
}

# Of the processes that are restored none has the container's root; one that joins them does.
@test "notify: a container that has made the directory its root, and one that joins it" {
	need_root
	backend notify
	config '.process.capabilities[] += ["CAP_SYS_CHROOT"]'
	box 'mkdir /work/bin && cp /bin/busybox /work/bin/sh && ln /work/bin/sh /work/bin/sleep' \
		'exec chroot /work /bin/sh -c "n=0; while sleep 0.1; do n=\$((n + 1)); echo \$n >/n; done"'
	eventually counts_past 2
	rt checkpoint --image-path "$IMAGE" "$ID"
	restored "$OTHER"
	eventually counts_past "$(cat "$(upper)/n")"
	run -0 inside 'cat /work/a /work/../work/a && echo x >/work/x && cd /work && stat -c %i .. / | uniq | wc -l'
	echo "$output"
	[ "$output" = $'first\nfirst\n1' ]
	eventually counts_past "$(cat "$(upper)/n")"
	lower_is_as_before
}
