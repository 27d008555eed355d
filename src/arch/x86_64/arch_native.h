/* SPDX-License-Identifier: Apache-2.0 */
#ifndef ARCH_NATIVE_H
#define ARCH_NATIVE_H

#include <sys/user.h>

#define ARCH_NATIVE arch_x86_64
#define ARCH_INJECT_MAX 544

#define ARCH_HIDES_CALLS 0

/* The thread pointer is fs_base. */
struct regs {
	struct user_regs_struct user;
};

#endif
