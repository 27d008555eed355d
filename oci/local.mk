# SPDX-License-Identifier: Apache-2.0
# The program: main.c, on top of everything else here, which is a library so that tests can link it.
noinst_LIBRARIES += liboci.a
liboci_a_SOURCES = \
	oci/json.c oci/json_write.c oci/json.h
