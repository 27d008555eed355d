/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/tty.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <termios.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

/* The host's own is closed to ordinary users: there the device beside it leads to it. pts(4) */
static int open_master(int dev)
{
	auto_fd fd = fd_open_beneath(dev, "pts/ptmx", O_RDWR | O_NOCTTY);
	struct stat st;

	if (fd != -EACCES)
		return fd_take(&fd);
	fd = fd_open_beneath(dev, "ptmx", O_RDWR | O_NOCTTY);
	if (fd >= 0 && (fstat(fd, &st) < 0 || st.st_rdev != makedev(5, 2))) {
		fd_close(fd);
		fd = -EACCES;
	}
	return fd_take(&fd);
}

int tty_open(int dev, const struct winsize *size, uid_t owner, int *out_master, int *out_slave)
{
	auto_fd master = open_master(dev);
	auto_fd slave = -1;
	struct statfs fs;
	int unlock = 0;

	if (master < 0)
		return fail(
			-master,
			"open /dev/pts/ptmx of the container (a terminal needs a devpts mount there): %s",
			err_reason(-master));
	if (ioctl(master, TIOCSPTLCK, &unlock) < 0)
		return fail_errno("unlock the terminal");
	/* O_CLOEXEC would stay with the description, for all to see in fdinfo */
	slave = ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY);
	if (slave < 0 || fcntl(slave, F_SETFD, FD_CLOEXEC) < 0)
		return fail_errno("open the terminal");
	if (fstatfs(slave, &fs) < 0 || fs.f_type != DEVPTS_SUPER_MAGIC)
		return fail(ENODEV, "/dev/pts of the container is no devpts");
	if (size->ws_row && size->ws_col && ioctl(slave, TIOCSWINSZ, size) < 0)
		return fail_errno("set the size of the terminal (process.consoleSize)");
	if (fchown(slave, owner, (gid_t)-1) < 0 && errno != EPERM && errno != EINVAL)
		return fail_errno("give the terminal to user %u", owner);
	*out_master = fd_take(&master);
	*out_slave = fd_take(&slave);
	return 0;
}

int tty_send(int sock, int master)
{
	static const char name[] = "/dev/ptmx";
	int ret = fd_send(sock, name, sizeof(name) - 1, &master, 1);

	return ret ? fail(-ret, "send the terminal over the console socket: %s", err_reason(-ret))
		   : 0;
}

int tty_adopt(int slave)
{
	if (ioctl(slave, TIOCSCTTY, 0) < 0)
		return fail_errno("make the terminal the controlling one");
	for (int fd = 0; fd <= 2; fd++)
		if (dup2(slave, fd) < 0)
			return fail_errno("put the terminal on descriptor %d", fd);
	return 0;
}
