/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's own program file, out of reach of the containers it enters (CVE-2019-5736). */
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/sys.h"
#include "jail/policy.h"
#include "sandbox.h"

#define OWN_FILE "/proc/self/exe"
#define ABI_TRUNCATE 3 /* landlock(7) */
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U
#endif

extern char **environ;

/* Whoever opens the file through /proc/PID/exe gets the mount it was executed from. */
static bool is_sealed(int exe)
{
	struct statvfs fs;
	int seals = fcntl(exe, F_GET_SEALS);

	if (seals >= 0 && (seals & SEALS) == SEALS)
		return true;
	return fstatvfs(exe, &fs) == 0 && fs.f_flag & ST_RDONLY;
}

static int read_only_clone(void)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	auto_fd fd = (int)sys_open_tree(AT_FDCWD, OWN_FILE, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

	if (fd < 0 || sys_mount_setattr(fd, "", AT_EMPTY_PATH, &attr) < 0)
		return -errno;
	return fd_take(&fd);
}

static int sealed_copy(int exe)
{
	auto_fd fd = memfd_create("thole", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_EXEC);
	struct stat st;
	ssize_t n;

	if (fd < 0 && errno == EINVAL) /* before Linux 6.3 */
		fd = memfd_create("thole", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	if (fd < 0 || fstat(exe, &st) < 0)
		return -errno;
	for (off_t left = st.st_size; left > 0; left -= n) {
		n = sendfile(fd, exe, NULL, (size_t)left);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
	}
	return fcntl(fd, F_ADD_SEALS, SEALS) < 0 ? -errno : fd_take(&fd);
}

int sandbox_seal_self(const struct sandbox *sb, char *const argv[])
{
	auto_fd exe = -1, sealed = -1;
	int restricted = policy_wanted(sb);

	if (restricted < 0)
		return restricted;
	/* a file outside of the container's root can't be opened in its domain, by no path and no
	 * link; but before that ABI it could be truncated */
	if (restricted && landlock_abi() >= ABI_TRUNCATE)
		return 0;
	exe = open(OWN_FILE, O_RDONLY | O_CLOEXEC);
	if (exe < 0)
		return fail_errno("open %s", OWN_FILE);
	if (is_sealed(exe))
		return 0;
	sealed = read_only_clone();
	if (sealed < 0)
		sealed = sealed_copy(exe);
	if (sealed < 0)
		return fail(-sealed, "make a read-only copy of the runtime's program: %s",
			    err_reason(-sealed));
	sys_execveat(sealed, "", argv, environ, AT_EMPTY_PATH);
	return fail_errno("execute the read-only copy of the runtime's program");
}
