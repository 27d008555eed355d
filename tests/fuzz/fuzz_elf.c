/* SPDX-License-Identifier: Apache-2.0 */
/* A program's file: the interpreter that it names. */
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/elf.h"
#include "base/fd.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	auto_fd fd = memfd_create("elf", MFD_CLOEXEC);
	char out[PATH_MAX];

	if (write(fd, data, size) != (ssize_t)size)
		return 0;
	if (elf_interpreter(fd, out) && (out[0] != '/' || strnlen(out, PATH_MAX) == PATH_MAX))
		__builtin_trap();
	return 0;
}
