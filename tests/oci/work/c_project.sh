#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# A C project: configured, built twice (the second time nothing is to do), installed, cleaned.
set -eu

before() {
	mkdir -p project/src project/include
	cd project
	cat >Makefile <<-'END'
		.RECIPEPREFIX = >
		PREFIX = /work/out
		OBJS = $(patsubst %.c,%.o,$(wildcard src/*.c))
		all: program libparts.so
		config.h: configure
		> ./configure
		src/%.o: src/%.c config.h include/parts.h
		> $(CC) -O1 -fPIC -Iinclude -I. -MMD -c -o $@ $<
		libparts.a: $(OBJS)
		> rm -f $@ && $(AR) rcsD $@ $(OBJS)
		libparts.so: $(OBJS)
		> $(CC) -shared -o $@ $(OBJS)
		program: libparts.a
		> $(CC) -o $@ -Wl,--whole-archive libparts.a -Wl,--no-whole-archive
		install: all
		> install -d $(PREFIX)/bin $(PREFIX)/lib $(PREFIX)/include
		> install program $(PREFIX)/bin
		> install -m 755 libparts.so $(PREFIX)/lib/libparts.so.1.0
		> ln -sf libparts.so.1.0 $(PREFIX)/lib/libparts.so
		> install -m 644 include/parts.h config.h $(PREFIX)/include
		clean:
		> rm -rf src/*.o src/*.d program libparts.a libparts.so
		-include $(wildcard src/*.d)
	END
	cat >configure <<-'END'
		#!/bin/sh
		set -e
		mkdir conftest.dir
		trap 'rm -rf conftest.dir' EXIT
		for f in memfd_create copy_file_range no_such_function; do
			printf '#define _GNU_SOURCE\nchar %s(void);\nint main(void) { return %s(); }\n' $f $f >conftest.dir/t.c
			if cc -o conftest.dir/t conftest.dir/t.c 2>/dev/null; then echo "#define HAVE_$f 1"
			else echo "/* no $f */"; fi
		done >config.h.new
		mv config.h.new config.h
	END
	chmod 755 configure
	for i in $(seq 30); do
		echo "int part$i(int);" >>include/parts.h
		printf '#include "parts.h"\n#include "config.h"\nint part%d(int n) { return n * %d; }\n' "$i" "$i" >"src/part$i.c"
	done
	{
		printf '#include <stdio.h>\n#include "parts.h"\nint main(void) { printf("%%d\\n", 0'
		for i in $(seq 30); do printf ' + part%d(2)' "$i"; done
		printf '); return 0; }\n'
	} >src/main.c
}

work() {
	cd project
	make -j2
	./program
	make | grep -q 'Nothing to be done'
	touch include/parts.h
	make -j2
	make install
	/work/out/bin/program
	make clean
}

"$1"
