# SPDX-License-Identifier: Apache-2.0
# A test is one line here: its source is the file of its name with .c, unless it says otherwise.
check_LIBRARIES += tests/lib/libtest.a
tests_lib_libtest_a_SOURCES = \
	tests/lib/bpf_compare.c \
	tests/lib/bpf_profile.c tests/lib/bpf_profile.h \
	tests/lib/bpf_random.c tests/lib/bpf_random.h \
	tests/lib/bpf_ref.c tests/lib/bpf_ref.h \
	tests/lib/cow_rows.c tests/lib/cow_rows.h tests/lib/guarded.c tests/lib/guarded.h \
	tests/lib/deny.c tests/lib/deny.h tests/lib/script.c tests/lib/script.h \
	tests/lib/tree.c tests/lib/tree.h tests/lib/world.c tests/lib/world.h \
	tests/lib/scratch.c tests/lib/scratch.h tests/lib/tap.c tests/lib/tap.h tests/lib/box.c tests/lib/box.h \
	tests/lib/victim.c tests/lib/victim.h \
	tests/lib/walker.c tests/lib/walker.h

# What every program below links; thole has its own list.
LDADD = tests/lib/libtest.a liboci.a libthole.a $(THOLE_LIBS)

# Unit (pure functions), sim (filters in the BPF machine), live (this kernel): all are 'make check'.
check_PROGRAMS += tests/unit/arch_test
check_PROGRAMS += tests/unit/base_test
check_PROGRAMS += tests/unit/bind_test
check_PROGRAMS += tests/unit/bpf_asm_test
check_PROGRAMS += tests/unit/bpf_filter_test
check_PROGRAMS += tests/unit/bpf_guard_test
check_PROGRAMS += tests/unit/build_test
check_PROGRAMS += tests/unit/check_test
check_PROGRAMS += tests/unit/denial_test
check_PROGRAMS += tests/unit/explain_test
check_PROGRAMS += tests/unit/image_test
check_PROGRAMS += tests/unit/jail_test
check_PROGRAMS += tests/unit/json_test
check_PROGRAMS += tests/unit/cow_commit_test
check_PROGRAMS += tests/unit/layer_random_test
check_PROGRAMS += tests/unit/layer_test
check_PROGRAMS += tests/unit/layers_test
check_PROGRAMS += tests/unit/mount_option_test
check_PROGRAMS += tests/unit/opts_test
check_PROGRAMS += tests/unit/policy_test
check_PROGRAMS += tests/unit/port_map_test
check_PROGRAMS += tests/unit/proc_test
check_PROGRAMS += tests/unit/state_test
check_PROGRAMS += tests/unit/elf_test
check_PROGRAMS += tests/unit/vdso_test
check_PROGRAMS += tests/unit/cgroup_device_test
check_PROGRAMS += tests/unit/cgroup_limits_test
check_PROGRAMS += tests/unit/cgroup_path_test
check_PROGRAMS += tests/unit/cgroup_property_test
check_PROGRAMS += tests/unit/cgroup_stats_test
check_PROGRAMS += tests/sim/bpf_same_test
check_PROGRAMS += tests/live/bpf_install_test
check_PROGRAMS += tests/live/bpf_run_test
check_PROGRAMS += tests/live/cgroup_device_test
check_PROGRAMS += tests/live/cgroup_life_test
check_PROGRAMS += tests/live/cgroup_limits_test
check_PROGRAMS += tests/live/stay_test
check_PROGRAMS += tests/live/absent_test
check_PROGRAMS += tests/live/path_test
check_PROGRAMS += tests/live/cow_attr_test
check_PROGRAMS += tests/live/cow_late_test
check_PROGRAMS += tests/live/cow_live_test
check_PROGRAMS += tests/live/cow_look_test
check_PROGRAMS += tests/live/cow_open_test
check_PROGRAMS += tests/live/cow_quota_test
check_PROGRAMS += tests/live/super_test
check_PROGRAMS += tests/live/trace_death_test
check_PROGRAMS += tests/live/trace_make_test
check_PROGRAMS += tests/live/trace_many_test
check_PROGRAMS += tests/live/trace_test
check_PROGRAMS += tests/live/trace_wait_test
check_PROGRAMS += tests/live/cow_name_test
tests_live_cow_name_test_SOURCES = tests/live/cow_name_test.c tests/live/cow_name_rows.c tests/live/cow_name_rows.h
check_PROGRAMS += tests/live/cow_run_test
check_PROGRAMS += tests/live/cow_socket_test
check_PROGRAMS += tests/live/cow_stress_test
check_PROGRAMS += tests/live/inject_test
check_PROGRAMS += tests/live/clock_test
check_PROGRAMS += tests/live/landlock_test
if SYSTEMD
check_PROGRAMS += tests/live/cgroup_systemd_test
tests_live_cgroup_systemd_test_LDADD = $(LDADD) -lsystemd
endif

# Fuzz targets: LLVMFuzzerTestOneInput over one parser; the seeds are in tests/fuzz/corpus/<target>/.
FUZZ_TARGETS = tests/fuzz/fuzz_cgroup tests/fuzz/fuzz_config tests/fuzz/fuzz_denial tests/fuzz/fuzz_elf tests/fuzz/fuzz_filter tests/fuzz/fuzz_image tests/fuzz/fuzz_json tests/fuzz/fuzz_path tests/fuzz/fuzz_proc tests/fuzz/fuzz_vdso
EXTRA_PROGRAMS += $(FUZZ_TARGETS)
EXTRA_DIST += tests/fuzz/corpus
EXTRA_DIST += tests/sim/containerd.txt tests/sim/hand.txt tests/sim/lapses.txt tests/sim/podman.txt tests/sim/refused.txt

# Programs the benchmark runs: the clock, the floor, what both run, and the filter for the floor.
BENCH_TOOLS = tests/bench/bench tests/bench/bare tests/bench/ckpt tests/bench/filter tests/bench/load tests/bench/open \
	tests/bench/clock tests/bench/seccomp tests/bench/super tests/bench/true
tests_bench_bench_LDADD =
tests_bench_bench_LDFLAGS = -static
tests_bench_bare_LDADD =
tests_bench_bare_LDFLAGS = -static
tests_bench_ckpt_LDADD =
tests_bench_load_LDADD = -lpthread
tests_bench_load_LDFLAGS = -static
tests_bench_true_LDADD =
tests_bench_true_LDFLAGS = -static
EXTRA_DIST += tests/bench/median.h tests/bench/supervisor tests/bench/cow tests/bench/config.json tests/bench/checkpoint tests/bench/run tests/bench/seccomp.jq
EXTRA_PROGRAMS += $(BENCH_TOOLS)
CLEANFILES += $(EXTRA_PROGRAMS)

LOG_DRIVER = env AM_TAP_AWK='$(AWK)' $(SHELL) $(top_srcdir)/build-aux/tap-driver.sh
TESTS = $(check_PROGRAMS)

# A host of version 2 cgroups in qemu: contrib/test --all runs it.
EXTRA_DIST += tests/live/qemu/boot tests/live/qemu/cgroup_v2 tests/live/qemu/clock_aarch64

# The bats suites, and the programs that they compile themselves.
EXTRA_DIST += tests/oci tests/ckpt
