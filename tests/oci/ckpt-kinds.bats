#!/usr/bin/env bats
# SPDX-License-Identifier: Apache-2.0
# What few programs have, and would lose unseen. ckpt-kinds-rootless.bats is a link to this file.

load bundle
load ckpt
setup_file() { ckpt_programs; }
setup() { cycle_setup; }
teardown() { cycle_teardown; }

# Others than the container's root.
other_ids() {
	[ "$AS" = rt ] || subids
	config '.process.capabilities[] += ["CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP", "CAP_KILL"]'
}

@test "credentials of many ids" {
	other_ids
	survives credentials
}
@test "pipe-owners" {
	other_ids
	survives pipe-owners
}
@test "memfd-owners" {
	other_ids
	survives memfd-owners
}
# A container of so many ids: mapped PROGRAM SIZE
mapped() {
	cycle_bundle "$1"
	config '.linux.namespaces += [{type: "user"}]'
	map_ids "$2"
	chown 100000:100000 "$ROOTFS/cycle"
	cycle_start && cycle_skipped
}

map_ids() {
	config '.linux.uidMappings = [{containerID: 0, hostID: 100000, size: $size}] |
		.linux.gidMappings = .linux.uidMappings' --argjson size "$1"
}

@test "pipe-owners in a user namespace" {
	root_only "an ordinary user is in one anyway"
	mapped pipe-owners 1000
	cycle_once "$ID-2"
	cycle_once "$ID-3"
	cycle_end
}
@test "memfd-owners where their ids are gone" {
	root_only "an ordinary user's namespace can't be given fewer ids"
	mapped memfd-owners 1000
	BETWEEN="map_ids 6" run -1 cycle_once "$ID-2"
	[[ $output == *"the container has no user 7: restore with the mappings"* ]]
	run ! rt state "$ID-2"
	map_ids 1000
	rt restore --bundle "$BUNDLE" --image-path "$IMAGE" --pid-file "$PIDFILE" --detach "$ID-2" </dev/null >"$OUT" 2>&1
	ID=$ID-2
	cycle_end
}
@test "memfd-no-program" { survives memfd-no-program; }
@test "memfd-future" { survives memfd-future; }
@test "memfd-whole" { survives memfd-whole; }
@test "proc-files" { survives proc-files; }
@test "requests" { not_saved requests "io_setup"; }
@test "notify" { not_saved notify "F_NOTIFY"; }
@test "mptcp" { survives mptcp; }
@test "mptcp-plain" { survives mptcp-plain --tcp-established; }
@test "mptcp-connected" { not_saved mptcp-connected "a connection of MPTCP" --tcp-established; }
@test "tcp-options" { survives tcp-options; }
@test "large-buffers" {
	config '.process.capabilities[] += ["CAP_NET_ADMIN"]'
	survives large-buffers
}
@test "tcp-elsewhere" {
	[ "$AS" = user_rt ] || config '.process.capabilities[] += ["CAP_SYS_ADMIN"]'
	not_saved tcp-elsewhere "another network namespace"
}
@test "tcp-refused" { survives tcp-refused; }
@test "udp-refused" { survives udp-refused; }
@test "udp-empty" { not_saved udp-empty "datagrams"; }
@test "unix-reset" { not_saved unix-reset "an error of it was not asked for"; }
@test "unix-urgent" { not_saved unix-urgent "out of band"; }
@test "unix-identified" { not_saved unix-identified "its queue tells who has sent what"; }
@test "unix-chatter" { survives unix-chatter; }
@test "unix-half" { survives unix-half; }
@test "timerfds-late" { survives timerfds-late; }
@test "unix-options" { survives unix-options; }
@test "memory-droppable" { survives memory-droppable; }
@test "time-slice" { survives time-slice; }
@test "segments" { not_saved segments "modify_ldt"; }
@test "memory-zero" { survives memory-zero; }
@test "other-signal" { survives other-signal; }
