/* SPDX-License-Identifier: Apache-2.0 */
#include "base/elf.h"

#include <elf.h>
#include <string.h>
#include <unistd.h>

/* Bytes at an offset as a path. */
static bool read_path(int fd, off_t at, size_t size, char *out)
{
	ssize_t n = size < PATH_MAX ? pread(fd, out, size, at) : -1;

	if (n <= 0)
		return false;
	out[n] = '\0';
	return out[0] == '/';
}

static bool find64(int fd, char *out)
{
	Elf64_Ehdr e;
	Elf64_Phdr p;
	bool is_whole = pread(fd, &e, sizeof(e), 0) == sizeof(e);

	for (unsigned i = 0; is_whole && i < e.e_phnum; i++) {
		off_t at = (off_t)e.e_phoff + (off_t)i * e.e_phentsize;

		if (pread(fd, &p, sizeof(p), at) == sizeof(p) && p.p_type == PT_INTERP)
			return read_path(fd, (off_t)p.p_offset, p.p_filesz, out);
	}
	return false;
}

static bool find32(int fd, char *out)
{
	Elf32_Ehdr e;
	Elf32_Phdr p;
	bool is_whole = pread(fd, &e, sizeof(e), 0) == sizeof(e);

	for (unsigned i = 0; is_whole && i < e.e_phnum; i++) {
		off_t at = (off_t)e.e_phoff + (off_t)i * e.e_phentsize;

		if (pread(fd, &p, sizeof(p), at) == sizeof(p) && p.p_type == PT_INTERP)
			return read_path(fd, (off_t)p.p_offset, p.p_filesz, out);
	}
	return false;
}

bool elf_interpreter(int fd, char out[PATH_MAX])
{
	unsigned char ident[EI_NIDENT];

	if (pread(fd, ident, sizeof(ident), 0) != sizeof(ident) ||
	    memcmp(ident, ELFMAG, SELFMAG) != 0)
		return false;
	return ident[EI_CLASS] == ELFCLASS64 ? find64(fd, out) : find32(fd, out);
}
