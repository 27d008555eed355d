# SPDX-License-Identifier: Apache-2.0
# The program: main.c, on top of everything else here, which is a library so that tests can link it.
noinst_LIBRARIES += liboci.a
liboci_a_SOURCES = \
	oci/bind.c oci/bind.h \
	oci/build.c oci/build_annotation.c oci/build_mounts.c oci/build_process.c \
	oci/build_seccomp.c oci/build.h oci/build_priv.h \
	oci/check.c oci/check_linux.c oci/check_mounts.c oci/check_process.c \
	oci/check.h oci/check_priv.h \
	oci/json.c oci/json_write.c oci/json.h \
	oci/spec.c oci/spec_linux.c oci/spec_process.c oci/spec_resources.c \
	oci/spec.h oci/spec_tables.h \
	oci/template.c oci/template.h
