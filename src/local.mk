# SPDX-License-Identifier: Apache-2.0
# The engine: a library that knows no JSON and includes nothing of oci/.
noinst_LIBRARIES += libthole.a
libthole_a_SOURCES = \
	src/arch/aarch64.c \
	src/arch/arch.c src/arch/arch.h src/arch/arch_priv.h src/arch/call.h \
	src/arch/inject.h src/arch/regs.h \
	src/arch/regset.c src/arch/regset.h \
	src/arch/restart.c \
	src/arch/x86_64.c \
	src/base/elf.c src/base/elf.h \
	src/base/err.c src/base/err.h \
	src/base/fd.c src/base/fd.h \
	src/base/log.c src/base/log.h \
	src/base/mem.c src/base/mem.h \
	src/base/names.c src/base/names.h \
	src/base/spawn.c src/base/spawn.h \
	src/base/str.c src/base/str.h \
	src/base/sys.h \
	src/bpf/abi.c src/bpf/abi.h \
	src/bpf/asm.c src/bpf/asm.h \
	src/bpf/cond.c src/bpf/cond.h \
	src/bpf/dump.c src/bpf/dump.h \
	src/bpf/filter.c src/bpf/filter.h \
	src/bpf/guard.c src/bpf/guard.h \
	src/bpf/install.c \
	src/bpf/run.c src/bpf/run.h \
	src/bpf/tree.c src/bpf/tree.h \
	src/ckpt/ahead.c src/ckpt/ahead.h src/ckpt/alike.c src/ckpt/alike.h \
	src/ckpt/ask.c src/ckpt/ask.h \
	src/ckpt/batch.c src/ckpt/batch.h src/ckpt/calls.c src/ckpt/calls.h \
	src/ckpt/ckpt.c src/ckpt/ckpt.h src/ckpt/dump.c src/ckpt/engine.h \
	src/ckpt/files.c src/ckpt/files_restore.c \
	src/ckpt/image.h src/ckpt/image_digest.c src/ckpt/image_digest.h \
	src/ckpt/confine.h src/ckpt/cpu.h src/ckpt/k_confine.c \
	src/ckpt/domain.h src/ckpt/k_domain.c \
	src/ckpt/guard.c src/ckpt/guard.h src/ckpt/k_ports.c src/ckpt/ports.h \
	src/ckpt/k_timer.c src/ckpt/timers.h \
	src/ckpt/image_priv.h src/ckpt/image_pump.c src/ckpt/image_pump.h src/ckpt/image_queue.c src/ckpt/image_queue.h src/ckpt/image_stream.c \
	src/ckpt/image_read.c src/ckpt/image_tree.c src/ckpt/image_tree.h src/ckpt/image_write.c \
	src/ckpt/k_clock.c src/ckpt/k_cpu.c src/ckpt/k_cred.c src/ckpt/k_file.c src/ckpt/k_fs.c \
	src/ckpt/k_memory.c src/ckpt/k_mm.c src/ckpt/k_program.c src/ckpt/k_shm.c src/ckpt/k_signal.c src/ckpt/k_net.c \
	src/ckpt/k_stdio.c src/ckpt/k_task.c src/ckpt/k_thread.c src/ckpt/k_unowned.c \
	src/ckpt/kind.h src/ckpt/kinds.c src/ckpt/kinds.h \
	src/ckpt/look.c src/ckpt/look.h src/ckpt/shown.c src/ckpt/shown.h src/ckpt/memory.h src/ckpt/memory_clock.c src/ckpt/memory_digest.c src/ckpt/memory_fill.c src/ckpt/memory_finish.c src/ckpt/memory_given.c \
	src/ckpt/mempolicy.c src/ckpt/mempolicy.h \
	src/ckpt/memory_restore.c src/ckpt/memory_save.c src/ckpt/memory_vdso.c src/ckpt/pages.c src/ckpt/pages.h \
	src/ckpt/pages_find.c \
	src/ckpt/pause.c \
	src/ckpt/record.h src/ckpt/restore.c src/ckpt/sections.c src/ckpt/shared.c src/ckpt/shared.h src/ckpt/shm.h \
	src/ckpt/signals.h src/ckpt/tree.c src/ckpt/tree_end.c src/ckpt/tree_restore.c \
	src/ckpt/thread.h src/ckpt/traits.c src/ckpt/traits.h \
	src/ckpt/ids.c src/ckpt/ids.h \
	src/ckpt/deleted.c src/ckpt/deleted.h src/ckpt/k_deleted.c src/ckpt/k_shm.h src/ckpt/shm_restore.c src/ckpt/xattr.c src/ckpt/xattr.h \
	src/ckpt/inside.c src/ckpt/inside.h src/ckpt/mounts.c src/ckpt/mounts.h \
	src/ckpt/k_mounts.c src/ckpt/mounts_explain.c src/ckpt/mounts_covered.c src/ckpt/k_lock.c src/ckpt/lock.h src/ckpt/k_sigio.c src/ckpt/find.c src/ckpt/find.h src/ckpt/k_inotify.c src/ckpt/k_keys.c src/ckpt/k_features.c src/ckpt/keys.h src/ckpt/k_mqueue.c src/ckpt/k_uts.c src/ckpt/k_layers.c src/ckpt/k_tmpfs.c src/ckpt/tmpfs.c src/ckpt/tmpfs.h src/ckpt/tmpfs_restore.c src/ckpt/tmpfs_save.c \
	src/ckpt/k_epoll.c src/ckpt/k_event.c src/ckpt/k_pidfd.c src/ckpt/pidfd.h src/ckpt/k_pipe.c src/ckpt/k_refused.c \
	src/ckpt/k_inet.c src/ckpt/k_tty.c src/ckpt/tcp.c src/ckpt/tcp.h \
	src/ckpt/k_unix.c src/ckpt/k_unix.h \
	src/ckpt/unix_diag.c src/ckpt/unix_diag.h src/ckpt/unix_place.c src/ckpt/unix_queue.c \
	src/ckpt/multicast.c src/ckpt/multicast.h src/ckpt/proxy.c src/ckpt/proxy.h src/ckpt/socket_error.c src/ckpt/socket_error.h src/ckpt/sockets.c src/ckpt/sockets.h \
	src/jail/cgroup.c src/jail/cgroup.h \
	src/jail/cgroup_device.c \
	src/jail/cgroup_end.c \
	src/jail/cgroup_entry.c \
	src/jail/cgroup_gvariant.c \
	src/jail/cgroup_host.c \
	src/jail/cgroup_limits.c \
	src/jail/cgroup_path.c \
	src/jail/cgroup_priv.h \
	src/jail/cgroup_property.c \
	src/jail/cgroup_stats.c \
	src/jail/cgroup_systemd.c \
	src/jail/cgroup_tree.c \
	src/jail/cgroup_update.c \
	src/jail/cgroup_v1.c \
	src/jail/cgroup_v2.c \
	src/jail/cgroup_write.c \
	src/jail/copy_up.c \
	src/jail/cred.c src/jail/cred.h \
	src/jail/denial.c src/jail/denial.h \
	src/jail/denial_read.c \
	src/jail/enter.c src/jail/enter.h \
	src/jail/enter_launch.c \
	src/jail/enter_prepare.c \
	src/jail/enter_restored.c \
	src/jail/hooks.c src/jail/hooks.h \
	src/jail/landlock.c src/jail/landlock.h \
	src/jail/enter_layers.c \
	src/jail/layers.c src/jail/layers.h \
	src/jail/limits.c src/jail/limits.h \
	src/jail/mount.c src/jail/mount.h \
	src/jail/mount_cgroup.c src/jail/mount_cgroup.h \
	src/jail/mount_option.c src/jail/mount_target.c \
	src/jail/netdev.c src/jail/netdev.h \
	src/jail/ns.c src/jail/ns.h \
	src/jail/plan.h \
	src/jail/policy.c src/jail/policy.h src/jail/policy_apply.c \
	src/jail/rdt.c src/jail/rdt.h \
	src/jail/rootfs.c src/jail/rootfs.h \
	src/jail/tty.c src/jail/tty.h \
	src/join.c \
	src/sandbox.c src/sandbox.h src/sandbox_priv.h \
	src/seal.c \
	src/supervise.c src/supervise.h \
	src/super/absent.c src/super/absent.h src/super/aside.c src/super/beside.c src/super/beside.h src/super/aside.h src/super/clock.c src/super/clock.h src/super/clock_call.c src/super/clock_file.c src/super/clock_table.c src/super/clock_wait.c \
	src/super/follow.c src/super/follow.h \
	src/super/courier.c src/super/courier.h \
	src/super/cow.c src/super/cow.h \
	src/super/cow_apply.c src/super/cow_commit.h src/super/cow_diff.c src/super/cow_priv.h \
	src/super/cow_attr.c src/super/cow_call.c src/super/cow_call.h src/super/cow_dir.c \
	src/super/cow_look.c src/super/cow_open.c src/super/cow_path.c src/super/cow_quota.c src/super/cow_table.c src/super/cow_wait.c src/super/cow_xattr.c \
	src/super/cow_go.c src/super/cow_lead.c src/super/cow_lead.h src/super/cow_move.c src/super/cow_name.c src/super/cow_name.h \
	src/super/cow_name_table.c src/super/cow_peer.c src/super/cow_run.c src/super/cow_socket.c \
	src/super/guest.c src/super/guest.h src/super/guest_priv.h \
	src/super/guest_ids.c src/super/guest_nested.c src/super/guest_read.c \
	src/super/handler.c src/super/handler.h \
	src/super/inject.c src/super/inject.h \
	src/super/layer.c src/super/layer.h src/super/layer_priv.h \
	src/super/layer_copy.c src/super/layer_facts.c src/super/layer_late.c src/super/layer_late.h src/super/layer_links.c src/super/layer_list.c src/super/layer_name.c \
	src/super/layer_quota.c src/super/layer_rename.c src/super/layer_walk.c \
	src/super/layer_white.c \
	src/super/layer_whole.c \
	src/super/loop.c src/super/loop.h \
	src/super/map.c src/super/map.h src/super/mmsg.c src/super/mmsg.h \
	src/super/notif.c src/super/notif.h \
	src/super/passed.c src/super/passed.h \
	src/super/path.c src/super/path.h src/super/path_priv.h \
	src/super/path_leap.c src/super/path_link.c src/super/path_place.c \
	src/super/port.c src/super/port.h \
	src/super/port_alive.c src/super/port_alive.h \
	src/super/port_bind.c src/super/port_data.c src/super/port_peer.c src/super/port_table.c \
	src/super/port_map.c src/super/port_map.h \
	src/super/super.c src/super/super.h \
	src/task/hold.c src/task/hold.h \
	src/task/peek.c src/task/peek.h \
	src/task/proc.c src/task/proc.h src/task/proc_priv.h \
	src/task/proc_fd.c src/task/proc_fd.h \
	src/task/proc_maps.c src/task/proc_pages.c \
	src/task/proc_mount.c \
	src/task/proc_status.c \
	src/task/proc_text.c \
	src/task/stay.c src/task/stay.h \
	src/task/trace.c src/task/trace.h src/task/trace_priv.h \
	src/task/trace_adopt.c \
	src/task/trace_away.c \
	src/task/trace_guard.c \
	src/task/trace_many.c \
	src/task/trace_room.c \
	src/task/trace_run.c \
	src/task/trace_shadow.c \
	src/task/trace_wait.c \
	src/task/vdso.c src/task/vdso.h \
	src/task/watch.c src/task/watch.h

# The processor's own half of src/arch.
X86_64_SOURCES = \
	src/arch/x86_64/arch_native.h \
	src/arch/x86_64/call.c \
	src/arch/x86_64/inject.c \
	src/arch/x86_64/old_calls.h \
	src/arch/x86_64/regs.c
AARCH64_SOURCES = \
	src/arch/aarch64/arch_native.h \
	src/arch/aarch64/call.c \
	src/arch/aarch64/inject.c \
	src/arch/aarch64/old_calls.h \
	src/arch/aarch64/regs.c
EXTRA_DIST += $(X86_64_SOURCES) $(AARCH64_SOURCES)
if ARCH_X86_64
libthole_a_SOURCES += $(X86_64_SOURCES)
endif
if ARCH_AARCH64
libthole_a_SOURCES += $(AARCH64_SOURCES)
endif

THOLE_LIBS = $(YAJL_LIBS) $(SECCOMP_LIBS) $(CAP_LIBS) $(XXHASH_LIBS) $(ZSTD_LIBS)
