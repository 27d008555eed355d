/* SPDX-License-Identifier: Apache-2.0 */
/* The interpreter that a program names: of both classes, and of files that only say so. */
#include "base/elf.h"

#include <elf.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/fd.h"
#include "lib/tap.h"

#define AT_NAME 512
#define NAME "/lib/ld.so"

struct file {
	union {
		char bytes[AT_NAME + sizeof(NAME)];
		struct {
			Elf32_Ehdr head;
			Elf32_Phdr entries[2];
		} of32;
		struct {
			Elf64_Ehdr head;
			Elf64_Phdr entries[2];
		} of64;
	};
	size_t len;
};

static bool finds(const struct file *f, char out[PATH_MAX])
{
	auto_fd fd = memfd_create("elf", MFD_CLOEXEC);

	if (write(fd, f->bytes, f->len) != (ssize_t)f->len)
		return false;
	return elf_interpreter(fd, out);
}

/* The second entry names it. */
#define MAKE(f, of, class)                                               \
	do {                                                             \
		memset((f).bytes, 0, sizeof((f).bytes));                 \
		memcpy((f).bytes, ELFMAG, SELFMAG);                      \
		(f).bytes[EI_CLASS] = (class);                           \
		(f).of.head.e_phoff = offsetof(struct file, of.entries); \
		(f).of.head.e_phentsize = sizeof((f).of.entries[0]);     \
		(f).of.head.e_phnum = 2;                                 \
		(f).of.entries[0].p_type = PT_LOAD;                      \
		(f).of.entries[1].p_type = PT_INTERP;                    \
		(f).of.entries[1].p_offset = AT_NAME;                    \
		(f).of.entries[1].p_filesz = sizeof(NAME);               \
		memcpy((f).bytes + AT_NAME, NAME, sizeof(NAME));         \
		(f).len = sizeof((f).bytes);                             \
	} while (0)

static void reads_both_classes(void)
{
	struct file small, large;
	char out[PATH_MAX];

	MAKE(small, of32, ELFCLASS32);
	MAKE(large, of64, ELFCLASS64);
	ok(finds(&small, out), "32 bits");
	is_str(out, NAME, "its name");
	ok(finds(&large, out), "64 bits");
	is_str(out, NAME, "its name");
}

static void reads_programs(void)
{
	auto_fd fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	char out[PATH_MAX];

	if (!elf_interpreter(fd, out))
		tap_skip("this program has none");
	ok(access(out, X_OK) == 0, "%s is there", out);
}

static void refuses_what_is_none(void)
{
	static const uint64_t far[] = { INT64_MAX, UINT64_MAX, UINT64_MAX - sizeof(Elf64_Phdr),
					(uint64_t)INT64_MAX - 8 };
	char out[PATH_MAX];
	struct file f;

	MAKE(f, of64, ELFCLASS64);
	f.len = sizeof(Elf64_Ehdr) - 1;
	ok(!finds(&f, out), "it ends in its header");
	MAKE(f, of64, ELFCLASS64);
	f.bytes[0] = 'x';
	ok(!finds(&f, out), "it is something else");
	MAKE(f, of64, ELFCLASS64);
	f.bytes[AT_NAME] = 'l';
	ok(!finds(&f, out), "a name of no place");
	MAKE(f, of64, ELFCLASS64);
	f.of64.entries[1].p_filesz = PATH_MAX;
	ok(!finds(&f, out), "a name that is too long");
	MAKE(f, of64, ELFCLASS64);
	f.of64.head.e_phnum = 1;
	ok(!finds(&f, out), "none among its entries");
	for (size_t i = 0; i < TAP_COUNT(far); i++) {
		MAKE(f, of64, ELFCLASS64);
		f.of64.head.e_phoff = far[i];
		ok(!finds(&f, out), "entries at %#llx", (unsigned long long)far[i]);
		MAKE(f, of64, ELFCLASS64);
		f.of64.entries[1].p_offset = far[i];
		ok(!finds(&f, out), "a name at %#llx", (unsigned long long)far[i]);
	}
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(reads_both_classes),
		TAP(reads_programs),
		TAP(refuses_what_is_none),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
