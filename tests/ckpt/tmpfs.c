/* SPDX-License-Identifier: Apache-2.0 */
/* What lies in file systems that are in memory alone. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cycle.h"

#define AT "/dev/shm"
#define FAR (16 << 20)

static void need_memory(void)
{
	struct statfs fs;

	if (statfs(AT, &fs) < 0 || fs.f_type != TMPFS_MAGIC)
		cycle_skip("%s is no tmpfs here", AT);
}

static int make(const char *path, const char *text)
{
	int fd = (int)must(open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));

	must(write(fd, text, strlen(text)));
	return fd;
}

static void check_text(const char *path, const char *text)
{
	char buf[64] = "";

	cycle_read(path, buf, sizeof(buf));
	check(strcmp(buf, text) == 0, "%s: \"%s\"", path, buf);
}

static struct stat facts(const char *path)
{
	struct stat st = { 0 };

	check(lstat(path, &st) == 0, "%s: %s", path, strerror(errno));
	return st;
}

static const struct timespec long_ago[2] = { { 86400, 111 }, { 172800, 222222222 } };

static void check_times(const char *path)
{
	struct stat st = facts(path);

	check(st.st_atim.tv_sec == 86400 && st.st_atim.tv_nsec == 111 &&
		      st.st_mtim.tv_sec == 172800 && st.st_mtim.tv_nsec == 222222222,
	      "%s: times %ld.%09ld %ld.%09ld", path, (long)st.st_atim.tv_sec, st.st_atim.tv_nsec,
	      (long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

static void same_facts(const char *path, const struct stat *was)
{
	struct stat st = facts(path);

	check(st.st_mode == was->st_mode && st.st_uid == was->st_uid && st.st_gid == was->st_gid,
	      "%s: mode 0%o, owner %u:%u", path, st.st_mode, st.st_uid, st.st_gid);
}

/* Files, links, directories, with all that is written beside them. */
static void tree(void)
{
	bool owners, attributes, devices;
	struct stat file, dir, device;
	int fd;

	need_memory();
	must(mkdir(AT "/dir", 0700));
	must(mkdir(AT "/dir/below", 0700));
	must(mkdir(AT "/dir/empty", 0755));
	close(make(AT "/dir/below/file", "some text"));
	must(link(AT "/dir/below/file", AT "/other"));
	must(symlink("dir/below/file", AT "/link"));
	must(symlink("/nowhere", AT "/dangling"));
	must(mkfifo(AT "/fifo", 0640));
	close(make(AT "/\xff\x01 \n\"name", "odd"));
	close(make("/dev/more", "in /dev"));
	fd = make(AT "/sparse", "begin");
	must(pwrite(fd, "end", 3, FAR));
	close(fd);
	owners = chown(AT "/dir/below/file", 12, 34) == 0 && chown(AT "/dir", 56, 78) == 0 &&
		 lchown(AT "/link", 9, 10) == 0;
	must(chmod(AT "/dir/below/file", 04751));
	must(chmod(AT "/dir", 03712));
	attributes = setxattr(AT "/other", "user.a", "va\0lue", 6, 0) == 0;
	devices = mknod(AT "/device", S_IFCHR | 0620, makedev(1, 3)) == 0;
	must(utimensat(AT_FDCWD, AT "/dir/below/file", long_ago, 0));
	must(utimensat(AT_FDCWD, AT "/link", long_ago, AT_SYMLINK_NOFOLLOW));
	must(utimensat(AT_FDCWD, AT "/fifo", long_ago, 0));
	must(utimensat(AT_FDCWD, AT "/dir/below", long_ago, 0));
	must(utimensat(AT_FDCWD, AT, long_ago, 0));
	file = facts(AT "/dir/below/file");
	dir = facts(AT "/dir");
	device = devices ? facts(AT "/device") : dir;
	cycle();
	check_times(AT);
	check_times(AT "/dir/below");
	check_times(AT "/dir/below/file");
	check_times(AT "/link");
	check_times(AT "/fifo");
	same_facts(AT "/dir", &dir);
	same_facts(AT "/dir/below/file", &file);
	check(facts(AT "/other").st_ino == facts(AT "/dir/below/file").st_ino &&
		      facts(AT "/other").st_nlink == 2,
	      "the hard link is a file of its own");
	check(!owners || facts(AT "/link").st_uid == 9, "the owner of a symbolic link");
	check(facts(AT "/sparse").st_size == FAR + 3 && facts(AT "/sparse").st_blocks < 1024,
	      "a sparse file: size %ld, blocks %ld", (long)facts(AT "/sparse").st_size,
	      (long)facts(AT "/sparse").st_blocks);
	check(S_ISFIFO(facts(AT "/fifo").st_mode) && (facts(AT "/fifo").st_mode & 07777) == 0640,
	      "a fifo");
	check(S_ISDIR(facts(AT "/dir/empty").st_mode), "an empty directory");
	check(S_ISLNK(facts(AT "/dangling").st_mode), "a dangling link");
	check_text(AT "/link", "some text");
	check_text(AT "/\xff\x01 \n\"name", "odd");
	check_text("/dev/more", "in /dev");
	if (attributes) {
		char value[16];

		check(getxattr(AT "/other", "user.a", value, sizeof(value)) == 6 &&
			      memcmp(value, "va\0lue", 6) == 0,
		      "an extended attribute");
	}
	if (devices) {
		same_facts(AT "/device", &device);
		check(facts(AT "/device").st_rdev == makedev(1, 3), "the number of a device");
	}
}

static void set_flags(const char *path, int flags)
{
	int fd = (int)must(open(path, O_RDONLY | O_CLOEXEC));

	if (ioctl(fd, FS_IOC_SETFLAGS, &flags) < 0)
		cycle_skip("no flags can be set in %s: %s", AT, strerror(errno));
	close(fd);
}

static void check_flags(const char *path, int want)
{
	int fd = (int)must(open(path, O_RDONLY | O_CLOEXEC)), flags = 0;

	must(ioctl(fd, FS_IOC_GETFLAGS, &flags));
	check(flags == want, "flags of %s: 0x%x", path, (unsigned)flags);
	close(fd);
}

/* chattr(1) */
static void flags(void)
{
	need_memory();
	must(mkdir(AT "/dir", 0700));
	close(make(AT "/dir/plain", "plain"));
	close(make(AT "/dir/nodump", "nodump"));
	close(make(AT "/dir/fixed", "fixed"));
	must(utimensat(AT_FDCWD, AT "/dir/fixed", long_ago, 0));
	must(utimensat(AT_FDCWD, AT "/dir", long_ago, 0));
	set_flags(AT "/dir/nodump", FS_NODUMP_FL);
	must(mkdir(AT "/heirs", 0700));
	set_flags(AT "/heirs", FS_NODUMP_FL);
	must(mkfifo(AT "/heirs/fifo", 0600));
	must(symlink("x", AT "/heirs/link"));
	set_flags(AT "/dir/fixed", FS_IMMUTABLE_FL);
	set_flags(AT "/dir", FS_APPEND_FL);
	cycle();
	check_flags(AT "/dir/plain", 0);
	check_flags(AT "/heirs", FS_NODUMP_FL);
	check_flags(AT "/dir/nodump", FS_NODUMP_FL);
	check_flags(AT "/dir/fixed", FS_IMMUTABLE_FL);
	check_flags(AT "/dir", FS_APPEND_FL);
	check_times(AT "/dir/fixed");
	check_times(AT "/dir");
	check_text(AT "/dir/fixed", "fixed");
	check(unlink(AT "/dir/plain") < 0 && errno == EPERM, "a file can be removed, errno %d",
	      errno);
	set_flags(AT "/dir", 0);
	set_flags(AT "/dir/fixed", 0);
}

static int bound(const char *path, int *out)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX };
	int fd = *out = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));

	snprintf(a.sun_path, sizeof(a.sun_path), "%s", path);
	return bind(fd, (struct sockaddr *)&a, sizeof(a));
}

/* Descriptors, mappings and sockets go on with the files in there. */
static void used(void)
{
	struct sockaddr_un a = { .sun_family = AF_UNIX, .sun_path = AT "/listener" };
	int fd, listener, stale, other, dir, fifo;
	char *map, buf[16] = "";

	need_memory();
	fd = make(AT "/used", "0123456789");
	must(ftruncate(fd, 8192));
	map = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	must(map == MAP_FAILED ? -1 : 0);
	must(lseek(fd, 4, SEEK_SET));
	must(bound(AT "/listener", &listener));
	must(listen(listener, 3));
	must(chmod(AT "/listener", 0640));
	must(bound(AT "/stale", &stale));
	close(stale);
	must(chdir(AT));
	dir = (int)must(open(AT, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	must(mkfifo(AT "/pipe", 0600));
	fifo = (int)must(open(AT "/pipe", O_RDWR | O_CLOEXEC));
	must(write(fifo, "queued", 6));
	cycle();
	check(read(fd, buf, 3) == 3 && memcmp(buf, "456", 3) == 0, "read \"%s\"", buf);
	memcpy(map + 7, "mapped", 6);
	check(pread(fd, buf, 6, 7) == 6 && memcmp(buf, "mapped", 6) == 0,
	      "the mapping is of another file: \"%.6s\"", buf);
	check_text("used", "0123456mapped");
	check(faccessat(dir, "used", F_OK, 0) == 0, "a directory");
	other = (int)must(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
	check(connect(other, (struct sockaddr *)&a, sizeof(a)) == 0, "connect: %s",
	      strerror(errno));
	check((facts(AT "/listener").st_mode & 07777) == 0640, "the mode of a socket");
	check(S_ISSOCK(facts(AT "/stale").st_mode), "a socket's name that nobody listens at");
	check(read(fifo, buf, sizeof(buf)) == 6 && memcmp(buf, "queued", 6) == 0, "the fifo");
}

/* The bundle copies a directory into memory and mounts another one within: what was removed from
 * the first stays removed, and the second is left alone. */
static void emptied(void)
{
	if (access("/scratch/copied", F_OK) < 0 || access("/scratch/mnt/host", F_OK) < 0)
		cycle_skip("the bundle has no /scratch in memory with a mount in it");
	must(unlink("/scratch/copied"));
	must(unlink("/scratch/dir/below"));
	must(rmdir("/scratch/dir"));
	cycle();
	check(access("/scratch/copied", F_OK) < 0, "a removed file is there again");
	check(access("/scratch/dir", F_OK) < 0, "a removed directory is there again");
	check_text("/scratch/mnt/host", "the host's\n");
	check_text("/scratch/kept", "kept\n");
}

const struct cycle_case tmpfs_cases[] = {
	{ "tmpfs-tree", tree },       { "tmpfs-flags", flags }, { "tmpfs-used", used },
	{ "tmpfs-emptied", emptied }, { NULL, NULL },
};
