# SPDX-License-Identifier: Apache-2.0
# The engine: a library that knows no JSON and includes nothing of oci/.
noinst_LIBRARIES += libthole.a
libthole_a_SOURCES = \
	src/sandbox.h \
	src/base/err.c src/base/err.h \
	src/base/fd.c src/base/fd.h \
	src/base/log.c src/base/log.h \
	src/base/mem.c src/base/mem.h \
	src/base/names.c src/base/names.h \
	src/base/spawn.c src/base/spawn.h \
	src/base/str.c src/base/str.h \
	src/base/sys.h \
	src/bpf/filter.h \
	src/jail/cgroup.h \
	src/jail/cred.h \
	src/jail/landlock.h \
	src/jail/limits.h \
	src/jail/mount.h \
	src/jail/ns.c src/jail/ns.h \
	src/jail/plan.h \
	src/jail/rootfs.h

THOLE_LIBS = $(YAJL_LIBS) $(SECCOMP_LIBS) $(CAP_LIBS) $(XXHASH_LIBS) $(ZSTD_LIBS)
