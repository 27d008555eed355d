/* SPDX-License-Identifier: Apache-2.0 */
#include "base/elf.h"

#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

/* Bytes at an offset as a path. */
static bool read_path(int fd, uint64_t at, size_t size, char *out)
{
	ssize_t n = size < PATH_MAX ? pread(fd, out, size, (off_t)at) : -1;

	if (n <= 0)
		return false;
	out[n] = '\0';
	return out[0] == '/';
}

/* Where a number stands; both processors have its lowest byte first. */
struct field {
	uint8_t at, len;
};

/* What both classes have, each at places of its own. */
static const struct layout {
	uint8_t header, entry; /* bytes */
	struct field entries, entry_len, n_entries, type, offset, size;
} layouts[] = {
#define FIELD(type, name)                                       \
	{                                                       \
		offsetof(type, name), sizeof(((type *)0)->name) \
	}
#define LAYOUT(E, P)                                                                               \
	{                                                                                          \
		sizeof(E), sizeof(P), FIELD(E, e_phoff), FIELD(E, e_phentsize), FIELD(E, e_phnum), \
			FIELD(P, p_type), FIELD(P, p_offset), FIELD(P, p_filesz)                   \
	}
	[ELFCLASS32] = LAYOUT(Elf32_Ehdr, Elf32_Phdr),
	[ELFCLASS64] = LAYOUT(Elf64_Ehdr, Elf64_Phdr),
};

static uint64_t number(const char *from, struct field f)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < f.len; i++)
		n |= (uint64_t)(unsigned char)from[f.at + i] << 8 * i;
	return n;
}

/* An offset beyond what a file can have is none that pread(2) takes. */
static bool read_whole(int fd, uint64_t at, size_t len, char *out)
{
	return pread(fd, out, len, (off_t)at) == (ssize_t)len;
}

bool elf_interpreter(int fd, char out[PATH_MAX])
{
	char header[sizeof(Elf64_Ehdr)], entry[sizeof(Elf64_Phdr)];
	const struct layout *l;
	uint64_t at;

	if (!read_whole(fd, 0, EI_NIDENT, header) || memcmp(header, ELFMAG, SELFMAG) != 0)
		return false;
	l = &layouts[header[EI_CLASS] == ELFCLASS64 ? ELFCLASS64 : ELFCLASS32];
	if (!read_whole(fd, 0, l->header, header))
		return false;
	at = number(header, l->entries);
	for (uint64_t i = number(header, l->n_entries); i > 0; i--) {
		if (read_whole(fd, at, l->entry, entry) && number(entry, l->type) == PT_INTERP)
			return read_path(fd, number(entry, l->offset), number(entry, l->size), out);
		at += number(header, l->entry_len);
	}
	return false;
}
