/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that newer architectures have in a wider form alone (arch/x86/entry/syscalls). */
#ifndef ARCH_OLD_CALLS_H
#define ARCH_OLD_CALLS_H

enum {
	OLD_OPEN = 2,
	OLD_STAT = 4,
	OLD_LSTAT = 6,
	OLD_ACCESS = 21,
	OLD_GETDENTS = 78,
	OLD_RENAME = 82,
	OLD_MKDIR = 83,
	OLD_RMDIR = 84,
	OLD_CREAT = 85,
	OLD_LINK = 86,
	OLD_UNLINK = 87,
	OLD_SYMLINK = 88,
	OLD_READLINK = 89,
	OLD_CHMOD = 90,
	OLD_CHOWN = 92,
	OLD_LCHOWN = 94,
	OLD_UTIME = 132,
	OLD_TIME = 201,
	OLD_MKNOD = 133,
	OLD_UTIMES = 235,
	OLD_FUTIMESAT = 261,
};

#endif
