/* SPDX-License-Identifier: Apache-2.0 */
/* What is opened in a copy-on-write directory, and what becomes of a descriptor afterwards, as far
 * as rows beside a plain directory (cow_look_test.c) can't tell. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/guarded.h"
#include "lib/script.h"
#include "lib/tap.h"

#define USER 65534
#define OTHER 4711

static struct cow_box box;

static int in_tree(void *arg)
{
	int (*run)(void) = arg;

	umask(022);
	must(chdir(box.guest) == 0 && chdir("t") == 0);
	return run();
}

/* run() in the copy-on-write directory "t". */
static void supervised(int (*run)(void))
{
	char dir[128];

	cow_box_make(&box, 0);
	snprintf(dir, sizeof(dir), "%s/t", box.guest);
	script_fixture(dir, USER);
	guarded_run(&box.config, in_tree, (void *)run);
	cow_box_drop(&box);
}

/* ---- directories that are shared */

/* may_create_in_sticky() in fs/namei.c, for the container's root. */
static const struct {
	const char *regular, *fifos, *path;
	int flags, want;
} shared[] = {
	{ "0", "0", "all/theirs", O_CREAT, 0 },
	{ "1", "0", "all/theirs", O_CREAT, EACCES },
	{ "1", "0", "all/theirs", O_CREAT | O_TRUNC, EACCES },
	{ "1", "0", "all/theirs", 0, 0 },
	{ "1", "0", "all/theirs", O_CREAT | O_EXCL, EEXIST },
	{ "1", "0", "all/own", O_CREAT, 0 },
	{ "1", "0", "all/new", O_CREAT, 0 },
	{ "1", "0", "all/dir", O_CREAT, EISDIR },
	{ "1", "0", "all/link", O_CREAT, EACCES },
	{ "1", "0", "link", O_CREAT, EACCES },
	{ "1", "0", "all/away", O_CREAT, 0 },
	{ "1", "0", "all/fifo", O_CREAT, 0 },
	{ "0", "1", "all/fifo", O_CREAT, EACCES },
	{ "0", "1", "all/theirs", O_CREAT, 0 },
	{ "1", "1", "group/theirs", O_CREAT, 0 },
	{ "2", "1", "group/theirs", O_CREAT, EACCES },
	{ "2", "1", "group/fifo", O_CREAT, 0 },
	{ "1", "2", "group/fifo", O_CREAT, EACCES },
	{ "2", "2", "theirs/theirs", O_CREAT, 0 },
	{ "2", "2", "plain/theirs", O_CREAT, 0 },
};

static size_t at_row;

static void make(const char *path, mode_t mode, uid_t owner)
{
	if (S_ISDIR(mode))
		must(mkdir(path, 0700) == 0);
	else
		must(mknod(path, mode, 0) == 0);
	must(chown(path, owner, owner) == 0 && chmod(path, mode & 07777) == 0);
}

static void make_shared(void)
{
	static const struct {
		const char *name;
		mode_t mode;
		uid_t owner;
	} dirs[] = { { "all", 01777, 0 },
		     { "group", 01775, 0 },
		     { "theirs", 01777, OTHER },
		     { "plain", 0777, 0 } };
	char path[64];

	for (size_t i = 0; i < TAP_COUNT(dirs); i++) {
		make(dirs[i].name, S_IFDIR | dirs[i].mode, dirs[i].owner);
		snprintf(path, sizeof(path), "%s/theirs", dirs[i].name);
		make(path, S_IFREG | 0666, OTHER);
		snprintf(path, sizeof(path), "%s/fifo", dirs[i].name);
		make(path, S_IFIFO | 0666, OTHER);
	}
	make("all/own", S_IFREG | 0666, 0);
	make("all/dir", S_IFDIR | 0777, OTHER);
	must(symlink("theirs", "all/link") == 0 && symlink("../plain/theirs", "all/away") == 0);
	must(symlink("all/theirs", "link") == 0);
}

/* What this process reads there. */
static void set_protection(const char *name, const char *value)
{
	char path[64], file[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/fs/protected_%s", name);
	snprintf(file, sizeof(file), "%s/%s", box.path, name);
	fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	ok(fd >= 0 && write(fd, value, 1) == 1, "%s", file);
	close(fd);
	is_int(mount(file, path, NULL, MS_BIND, NULL), 0, "%s is %s", path, value);
}

static int open_shared(void)
{
	int fd = open(shared[at_row].path, O_RDWR | O_NONBLOCK | shared[at_row].flags, 0644);

	return fd < 0 ? errno : 0;
}

/* By a link of /proc no directory is looked into. */
static int open_own_descriptor(void)
{
	char path[32];
	int fd = open("all/theirs", O_RDONLY);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(fd >= 0 && open(path, O_RDWR | O_CREAT, 0644) >= 0);
	must(open("all/theirs", O_RDWR | O_CREAT, 0644) < 0 && errno == EACCES);
	return 0;
}

static void in_shared(size_t row, int (*run)(void), int want)
{
	struct guarded guard;

	at_row = row;
	cow_box_make(&box, 0);
	must(chdir(box.guest) == 0 && mkdir("t", 0755) == 0 && chdir("t") == 0);
	make_shared();
	must(chdir("/") == 0);
	set_protection("regular", shared[row].regular);
	set_protection("fifos", shared[row].fifos);
	guarded_start(&guard, &box.config);
	is_int(guarded_end(guarded_begin(&guard, in_tree, (void *)run)), want,
	       "regular %s, fifos %s: %s, %#x", shared[row].regular, shared[row].fifos,
	       shared[row].path, (unsigned)shared[row].flags);
	guarded_stop(&guard);
	umount("/proc/sys/fs/protected_regular");
	umount("/proc/sys/fs/protected_fifos");
	cow_box_drop(&box);
}

static void traps_are_not_opened(void)
{
	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		tap_skip("it takes root to have mounts, and other users' files");
	for (size_t i = 0; i < TAP_COUNT(shared); i++)
		in_shared(i, open_shared, shared[i].want);
	in_shared(1, open_own_descriptor, 0);
}

/* ---- descriptors */

static int numbers_here(void)
{
	int free[3];

	for (size_t i = 0; i < TAP_COUNT(free); i++)
		must((free[i] = open("/dev/null", O_RDONLY)) >= 0);
	for (size_t i = 0; i < TAP_COUNT(free); i++)
		must(close(free[i]) == 0);
	must(open("d", O_PATH) == free[0] && fcntl(free[0], F_GETFD) == 0);
	must(open("f", O_PATH | O_CLOEXEC) == free[1]);
	must(fcntl(free[1], F_GETFD) == FD_CLOEXEC && (fcntl(free[1], F_GETFL) & O_PATH));
	must(close(free[0]) == 0 && open("lf", O_PATH | O_NOFOLLOW) == free[0]);
	must(open("/dev/null", O_RDONLY) == free[2]);
	return 0;
}

static void numbers_are_the_lowest(void)
{
	supervised(numbers_here);
}

/* With the lowest number that is free taken, and one above the limit. */
static int full_here(void)
{
	struct rlimit limit, was;
	struct stat st;
	int last;

	must(getrlimit(RLIMIT_NOFILE, &was) == 0 && (last = open("d/b", O_RDONLY)) >= 0);
	must(fcntl(last, F_DUPFD, last + 10) == last + 10);
	limit = was;
	limit.rlim_cur = (rlim_t)last + 1;
	must(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	must(open("f", O_WRONLY | O_TRUNC) < 0 && errno == EMFILE);
	must(stat("f", &st) == 0 && st.st_size > 0);
	must(open("new", O_WRONLY | O_CREAT, 0644) < 0 && errno == EMFILE);
	must(stat("new", &st) < 0 && errno == ENOENT);
	must(close(last) == 0 && open("new", O_WRONLY | O_CREAT, 0644) == last);
	must(close(last) == 0 && open("f", O_WRONLY | O_TRUNC) == last);
	must(fstat(last, &st) == 0 && st.st_size == 0);
	return 0;
}

static void what_cannot_be_opened_stays(void)
{
	struct stat st;

	if (stat("/proc/self/fd", &st) < 0 || st.st_size == 0)
		tap_skip("this kernel does not tell how many descriptors there are (6.2)");
	supervised(full_here);
}

static int unnamed_here(void)
{
	char path[32];
	int fd = open("d", O_TMPFILE | O_RDWR | O_EXCL, 0644);

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(fd >= 0 && linkat(AT_FDCWD, path, AT_FDCWD, "x1", AT_SYMLINK_FOLLOW) < 0);
	must(errno == ENOENT && (fd = open("d", O_TMPFILE | O_RDWR, 0644)) >= 0);
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	must(linkat(AT_FDCWD, path, AT_FDCWD, "x1", AT_SYMLINK_FOLLOW) == 0);
	return 0;
}

static void what_may_have_no_name_gets_none(void)
{
	supervised(unnamed_here);
}

static bool is_called(int fd, const char *name)
{
	char path[32], text[PATH_MAX], want[PATH_MAX];
	ssize_t len;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	snprintf(want, sizeof(want), "%s/t/%s", box.guest, name);
	len = readlink(path, text, sizeof(text) - 1);
	text[len < 0 ? 0 : len] = '\0';
	return strcmp(text, want) == 0;
}

static int names_here(void)
{
	int fd;

	must((fd = open("f", O_RDONLY)) >= 0 && is_called(fd, "f"));
	must(unlink("f") == 0 && is_called(fd, "f (deleted)"));
	must((fd = open("f", O_WRONLY | O_CREAT, 0644)) >= 0 && is_called(fd, "f"));
	must((fd = open("new", O_WRONLY | O_CREAT, 0644)) >= 0 && is_called(fd, "new"));
	must(unlink("new") == 0 && is_called(fd, "new (deleted)"));
	/* as an editor saves it */
	must((fd = open("d/a", O_RDONLY)) >= 0 && open("d/tmp", O_WRONLY | O_CREAT, 0644) >= 0);
	must(rename("d/tmp", "d/a") == 0 && is_called(fd, "d/a (deleted)"));
	/* a copy is the same file */
	must((fd = open("d/b", O_RDONLY)) >= 0 && chmod("d/b", 0600) == 0 && is_called(fd, "d/b"));
	must(mkdir("m", 0755) == 0 && (fd = open("m", O_RDONLY)) >= 0 && rmdir("m") == 0);
	must(is_called(fd, "m (deleted)"));
	return 0;
}

static void names_tell_what_is_gone(void)
{
	supervised(names_here);
}

static bool grows(int fd, const char *want)
{
	char text[64];
	struct stat st;
	ssize_t len;

	if (fstat(fd, &st) < 0)
		return false;
	len = read(fd, text, sizeof(text) - 1);
	text[len < 0 ? 0 : len] = '\0';
	return strcmp(text, want) == 0;
}

static int growth_here(void)
{
	int fd = open("f", O_RDONLY | O_CLOEXEC), out = open("f", O_WRONLY | O_APPEND);
	struct stat was, is;

	must(fd >= 0 && fstat(fd, &was) == 0 && lseek(fd, 0, SEEK_END) == was.st_size);
	must(out >= 0 && grows(fd, "") && write(out, "more\n", 5) == 5 && grows(fd, "more\n"));
	must(fstat(fd, &is) == 0 && is.st_ino == was.st_ino && is.st_size == was.st_size + 5);
	must(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
	/* a lock is the open file's, and would be lost with it */
	must((fd = open("d/a", O_RDONLY)) >= 0 && flock(fd, LOCK_EX) == 0);
	must((out = open("d/a", O_WRONLY | O_TRUNC)) >= 0 && fstat(fd, &is) == 0 && is.st_size > 0);
	/* what has taken its name is another file */
	must((fd = open("d/b", O_RDONLY)) >= 0 && fstat(fd, &was) == 0);
	must(chmod("d/b", 0600) == 0 && unlink("d/b") == 0 && open("d/b", O_CREAT, 0644) >= 0);
	must(fstat(fd, &is) == 0 && is.st_size == was.st_size);
	return 0;
}

static void who_looks_again_reads_on(void)
{
	supervised(growth_here);
}

static nlink_t links(int fd)
{
	struct stat st;

	must(fstat(fd, &st) == 0);
	return st.st_nlink;
}

static int links_here(void)
{
	int fd;

	must((fd = open("h", O_RDWR)) >= 0 && links(fd) == 2);
	must(link("h", "d/h") == 0 && links(fd) == 3 && unlink("h") == 0 && links(fd) == 2);
	must(unlink("d/a") == 0 && links(fd) == 1 && rename("d/h", "h") == 0 && links(fd) == 1);
	must(rename("f", "h") == 0 && links(fd) == 0);
	return 0;
}

static void a_file_without_a_name_has_the_others(void)
{
	supervised(links_here);
}

/* A link of the upper side, and what it leads to. */
static int outside_here(void)
{
	struct stat st, there;

	must(stat("/bin/sh", &there) == 0 && symlink("/bin/sh", "out") == 0);
	must(stat("out", &st) == 0 && st.st_ino == there.st_ino && st.st_nlink == there.st_nlink);
	return 0;
}

static void what_a_link_leads_out_to_is_looked_at(void)
{
	supervised(outside_here);
}

static int space_here(void)
{
	struct statvfs by_path, by_fd;
	int fd = open("f", O_RDONLY);

	must(fd >= 0 && statvfs("f", &by_path) == 0 && fstatvfs(fd, &by_fd) == 0);
	must(by_fd.f_flag == by_path.f_flag && by_fd.f_fsid == by_path.f_fsid);
	must((fd = open("f", O_PATH)) >= 0 && fstatvfs(fd, &by_fd) == 0);
	must(fstatvfs(77, &by_fd) < 0 && errno == EBADF);
	must(syscall(SYS_fstatfs, open("f", O_RDONLY), 8) < 0 && errno == EFAULT);
	return 0;
}

static void descriptors_are_of_the_directory_that_is_written(void)
{
	char path[128];

	if (geteuid() != 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		tap_skip("it takes root to have mounts");
	cow_box_make(&box, 0);
	snprintf(path, sizeof(path), "%s/t", box.guest);
	script_fixture(path, USER);
	is_int(mount(box.guest, box.guest, NULL, MS_BIND, NULL), 0, "a mount");
	is_int(mount(NULL, box.guest, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), 0,
	       "that is not to be written");
	close(box.map.lower);
	box.map.lower = open(box.guest, O_PATH | O_DIRECTORY | O_CLOEXEC);
	guarded_run(&box.config, in_tree, (void *)space_here);
	is_int(umount2(box.guest, MNT_DETACH), 0, "the mount goes");
	cow_box_drop(&box);
}

/* ---- those who watch */

/* The last that is told of the name: was it that it went, and is it there? -1: nothing is. */
static int told_last(int watch, const char *name)
{
	char buf[4096] __attribute__((aligned(8)));
	int last = -1;
	ssize_t len;

	while ((len = read(watch, buf, sizeof(buf))) > 0)
		for (ssize_t at = 0; at < len;) {
			const struct inotify_event *e = (const struct inotify_event *)(buf + at);

			if (e->len && strcmp(e->name, name) == 0)
				last = !(e->mask & (IN_DELETE | IN_MOVED_FROM));
			at += (ssize_t)(sizeof(*e) + e->len);
		}
	return last;
}

static int watching_here(void)
{
	int watch = inotify_init1(IN_NONBLOCK);
	const uint32_t names = IN_CREATE | IN_DELETE | IN_MOVE;

	must(watch >= 0 && inotify_add_watch(watch, ".", names) >= 0);
	must(inotify_add_watch(watch, "d", names) >= 0);
	must(unlink("x") == 0 && told_last(watch, "x") == 0);
	must(rename("f", "g") == 0 && told_last(watch, "f") == 0);
	must(rename("all", "x") == 0 && told_last(watch, "x") == 1);
	must(rename("x", "y") == 0 && told_last(watch, "y") == 1);
	must(rename("y", "all") == 0 && told_last(watch, "all") == 1);
	must(rename("d/sub", "away") == 0 && told_last(watch, "sub") == 0);
	must(rename("away", "x") == 0 && told_last(watch, "x") == 1);
	must(unlink("mine") == 0 && told_last(watch, "mine") == 0);
	must(open("mine", O_WRONLY | O_CREAT, 0644) >= 0 && told_last(watch, "mine") == 1);
	must(unlink("mine") == 0 && told_last(watch, "mine") == 0);
	must(mkdir("mine", 0755) == 0 && told_last(watch, "mine") == 1);
	must(rmdir("mine") == 0 && told_last(watch, "mine") == 0);
	return 0;
}

static void watches_tell_at_last_what_is_so(void)
{
	supervised(watching_here);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(traps_are_not_opened),
		TAP(numbers_are_the_lowest),
		TAP(what_cannot_be_opened_stays),
		TAP(what_may_have_no_name_gets_none),
		TAP(names_tell_what_is_gone),
		TAP(who_looks_again_reads_on),
		TAP(a_file_without_a_name_has_the_others),
		TAP(what_a_link_leads_out_to_is_looked_at),
		TAP(descriptors_are_of_the_directory_that_is_written),
		TAP(watches_tell_at_last_what_is_so),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
