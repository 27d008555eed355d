/* SPDX-License-Identifier: Apache-2.0 */
/* Register sets as ptrace(2) gives them, for arch/<cpu>. */
#ifndef ARCH_REGSET_H
#define ARCH_REGSET_H

#include "arch/regs.h"

/* PTRACE_GETREGSET: the length or -errno. PTRACE_SETREGSET: 0 or -errno. No text is stored. */
ssize_t regset_get(pid_t tid, uint32_t note, void *out, size_t size);
int regset_set(pid_t tid, uint32_t note, const void *data, size_t len);

/* Writes the header for len bytes of set `note`. */
void regset_head(uint32_t note, size_t len, void *out);

/* Checks it: of this processor, and the length is what follows. 0 or -EBADMSG with a text. */
int regset_check(const void *data, size_t len, struct regset_head *out);

#endif
