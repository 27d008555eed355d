# SPDX-License-Identifier: Apache-2.0
# The program: main.c, on top of everything else here, which is a library so that tests can link it.
noinst_LIBRARIES += liboci.a
liboci_a_SOURCES = \
	oci/bind.c oci/bind.h \
	oci/birth.c oci/birth.h \
	oci/birth_opts.c \
	oci/build.c oci/build.h \
	oci/build_annotation.c \
	oci/build_layers.c \
	oci/build_time.c \
	oci/build_mounts.c \
	oci/build_priv.h \
	oci/build_process.c \
	oci/build_seccomp.c \
	oci/check.c oci/check.h \
	oci/check_linux.c \
	oci/check_mounts.c \
	oci/check_priv.h \
	oci/check_process.c \
	oci/ckpt_diff.c oci/ckpt_diff.h \
	oci/ckpt_show.c oci/ckpt_show.h \
	oci/ckpt_work.c oci/ckpt_work.h \
	oci/cmd.h \
	oci/cmd_checkpoint.c \
	oci/cmd_cow.c \
	oci/cmd_create.c \
	oci/cmd_events.c \
	oci/cmd_exec.c \
	oci/cmd_features.c \
	oci/cmd_image.c \
	oci/cmd_kill.c \
	oci/cmd_policy.c \
	oci/cmd_ports.c \
	oci/cmd_restore.c \
	oci/cmd_show.c \
	oci/cmd_spec.c \
	oci/cmd_update.c \
	oci/cmd_why.c \
	oci/cow.c oci/cow.h \
	oci/console.c oci/console.h \
	oci/container.c oci/container.h \
	oci/explain.h \
	oci/explain_ask.c \
	oci/explain_limits.c \
	oci/explain_lines.c \
	oci/explain_seccomp.c \
	oci/explain_show.c \
	oci/finding.c oci/finding.h \
	oci/finding_live.c \
	oci/finding_priv.h \
	oci/foreground.c oci/foreground.h \
	oci/image_json.c oci/image_json.h \
	oci/json.c oci/json.h \
	oci/json_write.c \
	oci/notify.c oci/notify.h \
	oci/opts.c oci/opts.h \
	oci/process_io.c oci/process_io.h \
	oci/progress.c oci/progress.h \
	oci/spec.c oci/spec.h \
	oci/spec_linux.c \
	oci/spec_process.c \
	oci/spec_resources.c \
	oci/spec_tables.h \
	oci/state.c oci/state_file.c oci/state.h \
	oci/state_hooks.c oci/state_hooks.h \
	oci/template.c oci/template.h

bin_PROGRAMS += thole
thole_SOURCES = oci/main.c
thole_LDADD = liboci.a libthole.a $(THOLE_LIBS)
