#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What a thread has to do itself in a directory that the supervisor shows: to be there, and to run what is there,
# by every way that a container is confined; against a plain directory in a container without a supervisor.

load bundle
load cow

setup_file() { bundle_programs; }
teardown() { cow_teardown; }

# Of both sides, through links, scripts of scripts, from where they are and from elsewhere.
TEXT='
	cd $W/sub/deep && pwd && cat c && cd ../.. && pwd
	mkdir -p made/here && cd made/here && pwd && echo x >f && cd - && cat made/here/f
	mv made moved && cd moved/here && pwd && cat f
	mv $W/moved $W/again && readlink /proc/self/cwd && ls && cat $W/again/here/f && cd $W && rm -r again
	cp busybox-l busybox-u && chmod 755 busybox-u
	./busybox-u echo upper; $W/busybox-u echo by its whole name
	(cd sub && ../busybox-u echo from beside)
	./busybox-l echo lower; $W/busybox-l echo by its whole name
	ln -s busybox-u sh && ./sh -c "echo by a link: \$0; cat /proc/\$\$/comm"
	echo "#!$W/busybox-u sh
		echo upper script: \$0 \$*; readlink /proc/\$\$/exe; cat /proc/\$\$/comm" >upper-script
	echo "#!$W/upper-script an argument" >of-a-script
	chmod 755 upper-script of-a-script
	./upper-script 1 2; $W/upper-script; ./of-a-script 3; (cd sub && ../of-a-script)
	./lower-script 4; $W/lower-script 5; (cd / && PATH=$W:$PATH of-a-script)
	rm busybox-l; ./lower-script; echo $?; $W/lower-script; echo $?
	chmod 644 upper-script; ./upper-script; echo $?
	rm of-a-script; ./of-a-script; echo $?; $W/of-a-script; echo $?
	(cd sub/deep && rm -r $W/sub && ls; cd $W && ls)
	./busybox-u false & wait $!; echo $?
	echo open: $(ls /proc/self/fd | wc -l)'

setup() {
	need_root
	cow_setup
	cp "$ROOTFS/bin/busybox" "$ROOTFS/work/busybox-l"
	plain
	backend notify
	cow_remember
}

script_in() {
	printf '#!%s/busybox-l sh\necho lower script: $0 $*; pwd\n' "$1" >"$2/lower-script"
	chmod 755 "$2/lower-script"
}

plain() {
	cp -a "$ROOTFS/work" "$ROOTFS/plain"
	script_in /plain "$ROOTFS/plain"
	cp "$BUNDLE/config.json" "$BATS_TEST_TMPDIR/config.json"
	config 'del(.annotations)'
	in_container "W=/plain; ($TEXT) 2>&1" | sed 's,/plain,@,g' >"$BATS_TEST_TMPDIR/want"
	mv "$BATS_TEST_TMPDIR/config.json" "$BUNDLE/config.json"
	[ -s "$BATS_TEST_TMPDIR/want" ]
}

same() {
	script_in "$WORK" "$ROOTFS/work"
	cow_remember
	box "W=$WORK; $TEXT"
	inside "cat $WORK/said" | sed -e "s,$WORK,@,g" -e '/^said$/d' >"$BATS_TEST_TMPDIR/is"
	diff "$BATS_TEST_TMPDIR/want" "$BATS_TEST_TMPDIR/is"
	lower_is_as_before
}

@test "goes and runs: root" { same; }
@test "goes and runs: a user namespace" { in_userns && same; }
@test "goes and runs: an ordinary user" { as_a_user && backend notify && same; }
@test "goes and runs: Landlock alone" { alone && same; }
@test "goes and runs: Landlock alone, an ordinary user" { alone user && same; }

@test "the working directory of the container, and of exec, is one of those" {
	config '.process.cwd = "/work/sub"'
	box "cat b; mkdir made; ls; pwd; cd ..; ls -d sub/made"
	run -0 inside "cat $WORK/said"
	[ "$output" = second$'\n'b$'\n'deep$'\n'made$'\n'/work/sub$'\n'sub/made ]
	run -0 rt exec --cwd /work/sub/made "$ID" sh -c 'pwd; cat ../b; echo x >f; ../../busybox-l cat f' </dev/null
	[ "$output" = /work/sub/made$'\n'second$'\n'x ]
	lower_is_as_before
}

# What an earlier container has made: programs that are on the upper side alone, and links to them from both sides.
earlier() {
	mkdir "$BATS_TEST_TMPDIR/branch"
	[ -z "$OWNER" ] || chown "$OWNER" "$BATS_TEST_TMPDIR/branch"
	config '.annotations["run.thole.cow"] = $work + ":upper=" + $dir' --arg work "$WORK" --arg dir "$BATS_TEST_TMPDIR/branch"
	config_args sh -c "cd $WORK && mkdir tools && cp busybox-l tools/busybox-t && ln -s tools/busybox-t busybox-k && chmod 644 busybox-l"
	run -0 $AS run --bundle "$BUNDLE" "$ID" </dev/null
	[ ! -e "$ROOTFS/work/tools" ]
	config '.process.env |= map(if startswith("PATH=") then . + ":" + $work + "/tools:" + $work else . end)' --arg work "$WORK"
}

starts() {
	config_args "$@" echo here
	run -0 $AS run --bundle "$BUNDLE" "$ID" </dev/null
	[ "$output" = here ]
}

finds() {
	earlier
	starts busybox-t
	starts "$WORK/tools/busybox-t"
	starts busybox-k
	config '.process.cwd = $work' --arg work "$WORK"
	starts ./tools/../busybox-k
	starts ./tools/busybox-t
	config_args nothing-of-that-name
	refused_create "not found in \$PATH"
	config_args ./sub/nothing
	refused_create "no such file or directory"
	config_args busybox-l
	refused_create "permission denied"
	config_args busybox-t sleep 1000
	create && $AS start "$ID"
	run -0 $AS exec "$ID" busybox-t echo there </dev/null
	[ "$output" = there ]
	run -0 $AS exec "$ID" busybox-k echo there </dev/null
	[ "$output" = there ]
	run -0 $AS exec --cwd "$WORK/tools" "$ID" ./busybox-t echo there </dev/null
	[ "$output" = there ]
	run ! $AS exec "$ID" nothing-of-that-name </dev/null
	[[ $output == *"not found in \$PATH"* ]]
	lower_is_as_before
}

@test "programs of an earlier upper side are found: root" { finds; }
@test "programs of an earlier upper side are found: a user namespace" { in_userns && finds; }
@test "programs of an earlier upper side are found: Landlock alone" { alone && finds; }

# A program of the lower side whose ELF interpreter is named /work/ld.so, which is not there yet.
needs_a_loader() {
	local loader zeros

	loader=$(LC_ALL=C grep -ao '/lib[a-z0-9/_-]*/ld-[a-z0-9._-]*' /usr/bin/env | head -n 1) || true
	[ -n "$loader" ] || skip "/usr/bin/env of this machine names no ELF interpreter"
	printf -v zeros '\\x00%.0s' $(seq $((${#loader} - ${#WORK} - 6)))
	LC_ALL=C sed "s,$loader,$WORK/ld.so$zeros," /usr/bin/env >"$ROOTFS/work/env-l"
	chmod 755 "$ROOTFS/work/env-l"
	printf '#!%s/env-l echo\n' "$WORK" >"$ROOTFS/work/lower-script"
	chmod 755 "$ROOTFS/work/lower-script"
	cow_remember
	config '.mounts += ["/usr", "/lib", "/lib64" | {destination: ., source: ., type: "bind", options: ["rbind", "ro"]}] |
		.process.env += ["LOADER=" + $loader]' --arg loader "$loader"
}

loads() {
	needs_a_loader
	box "cd $WORK"'; ./env-l echo none 2>/dev/null || echo $?; cp $LOADER ld.so
		./env-l echo here; $PWD/env-l echo by its whole name; ./lower-script a script
		mkdir upper; cp env-l upper; upper/env-l echo upper; (cd upper && PATH=$PATH:. env-l echo by PATH)
		PATH=$PWD:$PATH env-l nothing; rm ld.so; ./env-l echo none 2>/dev/null || echo $?'
	run -0 inside "cat $WORK/said"
	echo "$output"
	[ "$output" = "127
here
by its whole name
./lower-script a script
upper
by PATH
env-l: 'nothing': No such file or directory
127" ]
	lower_is_as_before
}

@test "an ELF interpreter of the upper side: root" { loads; }
@test "an ELF interpreter of the upper side: a user namespace" { in_userns && loads; }

# The user's own identity, but for a program of the directory below that says otherwise; by its name and from beside it.
@test "a setuid program of the directory below is one by every name" {
	need setcap
	mkdir "$ROOTFS/work/safe"
	echo secret >"$ROOTFS/work/safe/secret"
	chmod 600 "$ROOTFS/work/safe/secret"
	cp "$ROOTFS/bin/probe" "$ROOTFS/work/probe-s"
	cp "$ROOTFS/bin/probe" "$ROOTFS/work/probe-c"
	cp "$ROOTFS/bin/probe" "$ROOTFS/work/probe-n"
	chmod 4755 "$ROOTFS/work/probe-s"
	setcap cap_dac_override+ep "$ROOTFS/work/probe-c"
	ln -s ../probe-s "$ROOTFS/work/safe/link"
	cow_remember
	config_args sleep 1000
	create && rt start "$ID"
	for program in /work/probe-s ./probe-s safe/link safe/../probe-s /work/probe-c ./probe-c; do
		run -0 rt exec --cwd /work --user 1000:1000 "$ID" "$program" open safe/secret r </dev/null
		echo "$program: $output"
		[ "$output" = errno=0 ]
	done
	run -0 rt exec --cwd /work --user 1000:1000 "$ID" ./probe-n open safe/secret r </dev/null
	[ "$output" = errno=13 ]
	lower_is_as_before
}
