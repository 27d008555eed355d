/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that this architecture has in a wider form alone: rows of them stand for nothing. */
#ifndef ARCH_OLD_CALLS_H
#define ARCH_OLD_CALLS_H

enum {
	OLD_OPEN = -1,
	OLD_STAT = -1,
	OLD_LSTAT = -1,
	OLD_ACCESS = -1,
	OLD_GETDENTS = -1,
	OLD_RENAME = -1,
	OLD_MKDIR = -1,
	OLD_RMDIR = -1,
	OLD_CREAT = -1,
	OLD_LINK = -1,
	OLD_UNLINK = -1,
	OLD_SYMLINK = -1,
	OLD_READLINK = -1,
	OLD_CHMOD = -1,
	OLD_CHOWN = -1,
	OLD_LCHOWN = -1,
	OLD_UTIME = -1,
	OLD_TIME = -1,
	OLD_MKNOD = -1,
	OLD_UTIMES = -1,
	OLD_FUTIMESAT = -1,
};

#endif
