#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# Copy-on-write directories (run.thole.cow) as containers have them: by overlay mounts, as root, in a
# user namespace, and as an ordinary user.

load bundle
load cow
load supervised
setup_file() { bundle_programs; }

setup() { cow_setup; }
teardown() { cow_teardown; }

CHANGES='cd $WORK
	echo more >>a && echo new >new && rm sub/b && mkdir made && echo x >made/x && mv link moved &&
	rm -r sub/deep && mkdir sub/deep && echo again >sub/deep/d && chmod 711 sub && ln new hard &&
	ls -A . sub sub/deep'

changes() {
	lower_is_as_before
	run -0 $AS exec "$ID" sh -c "cd $WORK && cat a said sub/deep/d && ls . sub sub/deep && readlink moved && stat -c %a sub ." </dev/null
	[[ $output == "first"$'\n'"more"$'\n'* ]]
	[[ $output == *"again"$'\n'* ]]
	[[ $output == *".:"$'\n'"a"$'\n'"hard"$'\n'"made"$'\n'"moved"$'\n'"new"$'\n'"said"$'\n'"sub"$'\n'* ]]
	[[ $output == *"sub:"$'\n'"deep"$'\n'* ]]
	[[ $output == *"sub/deep:"$'\n'"d"$'\n'* ]]
	[[ $output == *$'\n'"a"$'\n'"711"$'\n'"1777" ]]
}

# The format of both backends: a whiteout and an opaque directory where overlayfs has them.
layer() {
	local upper

	need python3
	upper=$(upper)
	[ "$(stat -c '%F %t:%T' "$upper/sub/b")" = "character special file 0:0" ]
	[ "$(python3 -c 'import os, sys; print(os.getxattr(sys.argv[1], "user.overlay.opaque").decode())' "$upper/sub/deep")" = y ]
	[ ! -e "$upper/sub/deep/c" ]
}

gone() {
	local upper

	upper=$(upper)
	$AS delete --force "$ID"
	[ -n "$upper" ] && [ ! -e "$upper" ]
	lower_is_as_before
}

all_changes() {
	box "WORK=$WORK; $CHANGES"
	changes
	[ -n "$USER_ID" ] || layer
	gone
}

@test "overlay: what is changed stays apart, and goes with the container" { need_root && backend overlay && all_changes; }
@test "overlay in a user namespace" { in_userns && backend overlay && all_changes; }
@test "overlay as an ordinary user" { as_a_user && backend overlay && all_changes; }
@test "notify: what is changed stays apart, and goes with the container" { need_root && backend notify && all_changes; }
@test "notify in a user namespace" { in_userns && backend notify && all_changes; }
@test "notify as an ordinary user" { as_a_user && backend notify && all_changes; }
@test "notify where descriptors and memory can't be taken from others" { need_root && forbidden && backend notify && all_changes; }
@test "Landlock alone, where they can't be taken either" { forbidden && alone && all_changes; }
@test "notify as an ordinary user, where they can't be taken either" { forbidden && as_a_user && backend notify && all_changes; }
@test "Landlock alone" { alone && all_changes; }
@test "Landlock alone, as an ordinary user, without a user namespace" { alone user && all_changes; }

# A file that was copied before, and one that was not.
by_descriptor() {
	box :
	run -0 inside "cd $WORK && echo >made && probe change made && echo >>a && probe change a && probe change sub/b"
	[ "$(grep -cx 'mode=100601 time=2000 same=1' <<<"$output")" = 3 ] || { echo "$output" && return 1; }
	# a change of what has been copied meanwhile may replace the descriptor: that is no refusal
	run -0 inside "cd $WORK && probe swap made sub/deep/c"
	[[ $output == refused* ]]
	lower_is_as_before
}

@test "notify: by a descriptor" { need_root && backend notify && by_descriptor; }
@test "notify in a user namespace: by a descriptor" { in_userns && backend notify && by_descriptor; }
@test "notify as an ordinary user: by a descriptor" { as_a_user && backend notify && by_descriptor; }
@test "Landlock alone: by a descriptor" { alone && by_descriptor; }

@test "a read-only root, and a read-only bind mount, can be copied on write" {
	need_root
	mkdir "$BATS_TEST_TMPDIR/data"
	echo there >"$BATS_TEST_TMPDIR/data/file"
	config '.root.readonly = true | .annotations["run.thole.cow"] = "/work,/data"'
	config_mount '{"destination": "/data", "type": "bind", "source": "'"$BATS_TEST_TMPDIR/data"'", "options": ["ro", "nosuid", "noexec"]}'
	run -126 in_container 'echo new >/work/new && echo more >>/data/file && cat /data/file &&
		grep " /data overlay " /proc/mounts && cp /bin/busybox /data/echo && exec /data/echo'
	[[ $output == "there"$'\n'"more"*"nosuid"*"noexec"*"ermission denied"* ]]
	[ "$(cat "$BATS_TEST_TMPDIR/data/file")" = there ]
}

@test "upper=DIR is kept, and taken up by the next container" {
	need_root
	mkdir "$BATS_TEST_TMPDIR/branch"
	config '.annotations["run.thole.cow"] = "/work:upper=" + $dir' --arg dir "$BATS_TEST_TMPDIR/branch"
	run -0 in_container 'echo one >/work/one; rm /work/a'
	[ "$(cat "$BATS_TEST_TMPDIR/branch/upper/one")" = one ]
	run -0 in_container 'cat /work/one; ls -A /work'
	[ "$output" = one$'\n'link$'\n'one$'\n'sub ]
	lower_is_as_before
}

@test "a create that fails leaves nothing in upper=DIR" {
	need_root
	mkdir "$BATS_TEST_TMPDIR/branch"
	config '.annotations["run.thole.cow"] = "/work:upper=" + $dir' --arg dir "$BATS_TEST_TMPDIR/branch"
	config_args nosuch
	refused_create 'executable file not found'
	[ -z "$(ls -A "$BATS_TEST_TMPDIR/branch")" ]
	run -0 in_container 'echo kept >/work/kept'
	config_args nosuch
	refused_create 'executable file not found'
	[ "$(cat "$BATS_TEST_TMPDIR/branch/upper/kept")" = kept ]
}

@test "upper=DIR has one container at a time" {
	need_root
	mkdir "$BATS_TEST_TMPDIR/branch"
	config '.annotations["run.thole.cow"] = "/work:upper=" + $dir' --arg dir "$BATS_TEST_TMPDIR/branch"
	running
	SECOND=$ID-2
	run -1 rt create --bundle "$BUNDLE" "$SECOND" </dev/null
	[[ $output == *"$BATS_TEST_TMPDIR/branch (upper) is in use by container $ID"* ]]
	run ! rt state "$SECOND"
	rt kill "$ID" KILL
	eventually has_status stopped
	ID=$SECOND in_container true
}

@test "upper=DIR is in use for as long as processes of a container go on" {
	need_root
	mkdir "$BATS_TEST_TMPDIR/branch"
	backend notify
	config '.annotations["run.thole.cow"] = "/work:upper=" + $dir | .linux.namespaces -= [{type: "pid"}]' \
		--arg dir "$BATS_TEST_TMPDIR/branch"
	config_args sh -c 'sleep 1000 & echo $! >/pid'
	create && rt start "$ID"
	eventually has_status stopped
	config '.linux.cgroupsPath += "-2"'
	run -1 rt create --bundle "$BUNDLE" "$ID-2" </dev/null
	[[ $output == *"$BATS_TEST_TMPDIR/branch (upper) is in use by container $ID"* ]]
	kill -KILL "$(cat "$ROOTFS/pid")"
	ID=$ID-2 in_container true
}

@test "state tells how it is made" {
	need_root
	backend overlay
	running
	run -0 rt state "$ID"
	jq -e '.layers == [{path: "/work", backend: "overlay", upper: $upper, lower: $lower}]' \
		--arg upper "$STATE/$ID/cow/0/upper" --arg lower "$ROOTFS/work" <<<"$output"
}

# ANNOTATION|VALUE|part of the message
@test "what makes no sense is refused" {
	local key value text

	need_root
	ln -s work "$ROOTFS/alias"
	while IFS='|' read -r key value text; do
		config '.annotations = {"run.thole.cow": "/work"} | .annotations[$key] = $value' \
			--arg key "run.thole.$key" --arg value "$value"
		refused_create "$text" || { echo "$key=$value" && return 1; }
	done <<-'EOF'
		cow|work|is not an absolute path
		cow|/work/../etc|must be written without . and ..
		cow|/work/./sub|must be written without . and ..
		cow|/work//sub|has an empty component
		cow|/|the whole root can't be one
		cow||is not an absolute path
		cow|/nosuch|open the directory /nosuch of the container: no such file or directory
		cow|/work/a|open the directory /work/a of the container: not a directory
		cow|/alias|there is a symbolic link on the way
		cow|/proc/self|/proc/self: is inside /proc
		cow|/proc|/proc: is inside /proc
		cow|/dev/shm|/dev/shm: is inside /dev
		cow|/work,/work/sub|/work and /work/sub overlap
		cow|/work/sub,/work|/work/sub and /work overlap
		cow|/work,/work|/work and /work overlap
		cow|/work:quota=0|quota must be a size above zero
		cow|/work:quota=|quota must be a size above zero
		cow|/work:quota=-1|quota must be a size above zero
		cow|/work:quota=many|quota must be a size above zero
		cow|/work:quota=1m:quota=2m|quota is given twice
		cow|/work:upper=here|upper must be an absolute path
		cow|/work:upper=/|upper must be an absolute path
		cow|/work:upper=/nosuch/dir|open the directory /nosuch/dir (upper)
		cow|/work:color=red|"color=red" is no option (known: quota=SIZE, upper=DIR)
		cow|/work:|"" is no option
		cow.backend|fast|must be auto, overlay or notify
		cow.where|x|is unknown to this version
		map|/data=/srv:rw|in a mount namespace a bind mount (mounts) does that
		map|/data=/srv|must be GUEST=HOST:ro or GUEST=HOST:rw
		map|/data=srv:ro|must be an absolute path
		map|/data=/srv:cow|must be GUEST=HOST:ro or GUEST=HOST:rw
	EOF
	config '.annotations = {"run.thole.cow.backend": "notify"}'
	refused_create "there is no run.thole.cow"
	config '.annotations = {"run.thole.cow": "/work:quota=1m", "run.thole.cow.backend": "overlay"}'
	refused_create "is overlay, which has no quota"
	config '.annotations = {"run.thole.cow": "/dev2"} | .mounts += [{destination: "/dev2/x", type: "tmpfs", source: "tmpfs"}]'
	refused_create "mounts[6] lies inside it"
}

@test "policy tells the line" {
	run -0 rt policy --json "$BUNDLE"
	jq -e '[.. | objects | select(.where? == "annotations.run.thole.cow" or .config? == "annotations.run.thole.cow")] | length >= 1' \
		<<<"$output"
	run -0 rt policy "$BUNDLE"
	[[ $output == *"annotations.run.thole.cow"*"/work"*overlay* ]]
	run -0 rt policy --may open:/work/new:wc "$BUNDLE"
}

# begins_in BACKEND: the process of the bundle and one of exec, in a directory that is there before, and in one that
# the container has made.
begins_in() {
	backend "$1"
	config '.process.cwd = "/work/sub"'
	config_args sh -c 'pwd; echo mine >here; mkdir made; ls; sleep 1000'
	create && rt start "$ID"
	eventually rt exec "$ID" test -d /work/sub/made </dev/null
	[ "$(head -n 1 "$BATS_TEST_TMPDIR/out")" = /work/sub ]
	run -0 rt exec --cwd /work/sub "$ID" sh -c 'pwd; cat here; cd ..; pwd; ls' </dev/null
	[ "$output" = /work/sub$'\n'mine$'\n'/work$'\n'a$'\n'link$'\n'sub ]
	run -0 rt exec --cwd /work/sub/made "$ID" sh -c 'pwd; echo x >y; ls ..' </dev/null
	[ "$output" = /work/sub/made$'\n'b$'\n'deep$'\n'here$'\n'made ]
	run ! rt exec --cwd /work/nosuch "$ID" pwd </dev/null
	lower_is_as_before
}

@test "overlay: processes begin in the directory" { need_root && begins_in overlay; }
@test "notify: processes begin in the directory" { need_root && begins_in notify; }

@test "a quota takes the supervisor, an overlay mount beside it does not" {
	need_root
	mkdir "$ROOTFS/other"
	config '.annotations["run.thole.cow"] = "/work:quota=1m,/other"'
	config_args sleep 1000
	create && rt start "$ID"
	run -0 rt state "$ID"
	[ "$(jq -c '[.layers[].backend]' <<<"$output")" = '["notify","overlay"]' ]
	run -0 rt exec "$ID" sh -c 'echo x >/work/x; echo y >/other/y; cat /work/x /other/y; ! grep " /work overlay " /proc/mounts' </dev/null
	[ "$output" = x$'\n'y ]
	run rt exec "$ID" dd if=/dev/zero of=/work/big bs=64k count=64 </dev/null
	[[ $output == *"No space left on device"* ]]
	[ ! -e "$ROOTFS/work/x" ] && [ ! -e "$ROOTFS/other/y" ]
}

@test "where no overlay mount can be made auto takes the supervisor, and says so" {
	need_root
	mkdir "$BATS_TEST_TMPDIR/memory"
	mount -t ramfs ramfs "$BATS_TEST_TMPDIR/memory"
	config '.annotations["run.thole.cow"] = "/work:upper=" + $dir' --arg dir "$BATS_TEST_TMPDIR/memory"
	run -0 rt --log-level info run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == *"/work: copied on write by the supervisor"*"keeps no extended attributes"* ]]
	backend overlay
	refused_create "keeps no extended attributes"
	umount "$BATS_TEST_TMPDIR/memory"
}

# What only the supervisor shows: a directory of the host under another name, read-only and not.
maps() {
	local seen dir

	mkdir -p "$BATS_TEST_TMPDIR/host/dir" "$BATS_TEST_TMPDIR/seen"/{ro,rw}
	echo host >"$BATS_TEST_TMPDIR/host/file"
	[ -z "$USER_ID" ] || chown -R "$USER_ID" "$BATS_TEST_TMPDIR/host"
	seen=$BATS_TEST_TMPDIR/seen dir=$BATS_TEST_TMPDIR/host
	config '.annotations = {"run.thole.map": $map}' --arg map "$seen/ro=$dir:ro,$seen/rw=$dir:rw"
	config_args sh -c "cat $seen/ro/file; echo x >$seen/ro/new; echo more >>$seen/rw/file; ls $seen/rw;
		mkdir $seen/rw/made; rm $seen/ro/file; cd $seen/rw/dir && pwd; echo y >$seen/ro/../rw/there"
	run -0 "$AS" run --bundle "$BUNDLE" "$ID" </dev/null
	[[ $output == "host"$'\n'*"ead-only file system"*"dir"$'\n'"file"$'\n'*"ead-only file system"*"$seen/rw/dir" ]]
	[ "$(cat "$dir/file")" = host$'\n'more ]
	[ -d "$dir/made" ] && [ ! -e "$dir/new" ] && [ "$(cat "$dir/there")" = y ]
	[ -z "$(find "$seen" -mindepth 2)" ]
	config '.annotations["run.thole.map"] = $map' --arg map "$seen/nosuch=$dir:ro"
	[ -n "$USER_ID" ] || refused_create "open the directory $seen/nosuch of the container: no such file or directory"
	config '.annotations["run.thole.map"] = $map' --arg map "$seen/ro=$dir/nosuch:ro"
	[ -n "$USER_ID" ] || refused_create "open $dir/nosuch for $seen/ro: no such file or directory"
}

@test "a map without a mount namespace" { alone && maps; }
@test "a map without a mount namespace, as an ordinary user" { alone user && maps; }

# What is opened there is opened by the supervisor, to whom procfs tells more, not least of itself.
@test "a map with a procfs in it: nothing of that is opened" {
	local seen=$BATS_TEST_TMPDIR/seen

	alone
	mkdir -p "$seen" "$BATS_TEST_TMPDIR/host/proc"
	mount -t proc proc "$BATS_TEST_TMPDIR/host/proc"
	config '.annotations = {"run.thole.map": $map}' --arg map "$seen=$BATS_TEST_TMPDIR/host:rw"
	config_args sh -c "ls $seen/proc/1/ | grep -x mem; cd $seen/proc; for p in [0-9]*; do
		case \$(cat /proc/\$p/comm 2>/dev/null) in thole-super) cat \$p/environ;; esac; done; cat uptime"
	run -1 rt run --bundle "$BUNDLE" "$ID" </dev/null
	echo "$output"
	[ "${lines[0]}" = mem ] && [ "${#lines[@]}" -ge 3 ]
	[ "$(grep -cE "^cat: can't open '([0-9]+/environ|uptime)': Permission denied$" <<<"$output")" -eq $((${#lines[@]} - 1)) ]
	umount "$BATS_TEST_TMPDIR/host/proc"
}

# What others have made there, who are subordinate ids of the user's, and closed to him.
ids_of_others() {
	as_a_user
	subids
	backend "$1"
	config '.process.user = {uid: 7, gid: 8}'
	box 'cd /work && mkdir -m 700 closed && echo x >closed/x && chmod 0 closed'
	[ "$(stat -c %u "$(upper)/closed")" = 500006 ]
	gone
	[ -z "$(find "$XDG_RUNTIME_DIR" -name "$ID")" ]
}

@test "overlay: delete removes what subordinate ids have made" { ids_of_others overlay; }
@test "notify: delete removes what subordinate ids have made" { ids_of_others notify; }

# Neither what is changed outside of the map nor what a link of the map leads to is that of process $1.
leads_nowhere() {
	run -0 inside "probe chmod /proc/$1/root$VICTIM 777"
	[ "$output" = errno=13 ] || { echo "chmod, process $1: $output" && return 1; }
	run inside "ln -sfn /proc/$1/root$VICTIM /work/to && stat /work/to/"
	[ "$status" = 1 ] && [[ $output == *"ermission denied"* ]] || { echo "a link to process $1: $output" && return 1; }
	[ "$(stat -c %a "$VICTIM")" = 700 ]
}

# In the host's pid namespace a container sees what it may not look into: the supervisor, who is a
# process like any other; one that has capabilities that it lacks; and, for Landlock, all others.
keeps_apart() {
	local more less bad=0

	need_root
	need setpriv
	backend notify
	config '.linux.namespaces -= [{type: "pid"}]'
	VICTIM=$BATS_TEST_TMPDIR/victim
	mkdir -m 700 "$VICTIM"
	box "true"
	setpriv --bounding-set -all,+chown,+fowner,+net_raw sleep 1000 3>&- &
	more=$!
	setpriv --bounding-set -all,+chown,+fowner sleep 1000 3>&- &
	less=$!
	eventually grep -q '^CapPrm:.*0009$' "/proc/$less/status"
	leads_nowhere "$(supervisors)" && leads_nowhere "$more" && "$1" "$less" &&
		inside 'probe chmod /proc/self/root/tmp 751 && [ $(stat -c %a /tmp) = 751 ]' || bad=1
	kill "$more" "$less"
	return $bad
}

reaches() {
	inside "probe chmod /proc/$1/root$VICTIM 750" && [ "$(stat -c %a "$VICTIM")" = 750 ]
}

waits_for_ever() {
	local store

	store=$(rt state "$ID" | jq -r '.layers[0].upper')
	[ -s "$store/waits" ] || { [ -e "$store/waits" ] && grep -q seccomp "/proc/$(cat "$PIDFILE")/wchan"; }
}

# The runtime, which may wait for somebody who has stopped.
bounded() {
	timeout -s KILL 100 "$THOLE" --root "$STATE" "$@"
}

@test "notify: a process that serves its own memory, and does not, stops nobody else" {
	need_root
	config '.annotations["run.thole.cow.backend"] = "notify" | .process.capabilities[] += ["CAP_SYS_PTRACE"]'
	config_args probe absent /work/waits
	create && rt start "$ID"
	eventually waits_for_ever
	[ ! -s "$(rt state "$ID" | jq -r '.layers[0].upper')/waits" ] || skip "there is no userfaultfd(2) for containers here"
	run -0 bounded exec "$ID" sh -c 'echo other >/work/other && cat /work/other /work/a' </dev/null
	[ "$output" = $'other\nfirst' ]
	bounded pause "$ID" && bounded resume "$ID"
	run -1 bounded checkpoint --image-path "$BATS_TEST_TMPDIR/image" "$ID" </dev/null
	[[ $output = *userfaultfd* ]]
	run -0 bounded exec "$ID" cat /work/other </dev/null
	bounded kill "$ID" KILL
	eventually is_gone "$(cat "$PIDFILE")"
	bounded delete "$ID"
	lower_is_as_before
}

@test "processes of the host: a supervisor opens nothing that a container may not" {
	landlock_here || skip "this kernel has no Landlock"
	keeps_apart leads_nowhere
}

@test "processes of the host, without Landlock: those that the container may look into" {
	config '.annotations["run.thole.landlock"] = "off"'
	keeps_apart reaches
}
