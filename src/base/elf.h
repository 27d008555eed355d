/* SPDX-License-Identifier: Apache-2.0 */
#ifndef BASE_ELF_H
#define BASE_ELF_H

#include <limits.h>
#include <stdbool.h>

/* The interpreter that an ELF file, open for reading, names (PT_INTERP: elf(5)): an absolute path.
 * False where it is no such file or names none; out may be changed then. */
bool elf_interpreter(int fd, char out[PATH_MAX]);

#endif
