/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a line of calls (cow_look_test) can't say of a copy-on-write directory: opens that wait,
 * watches, names of places, many threads, and guests that do what they can to get at the lower
 * directory.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <linux/fsverity.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fanotify.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "lib/deny.h"
#include "lib/guarded.h"
#include "lib/script.h"
#include "lib/tap.h"
#include "super/notif.h"

#define TREE_MAX 65536
#define ROUNDS 300
#define THREADS 4
#define USER 65534

static struct cow_box box;
static struct guarded guard;
static char before[TREE_MAX], after[TREE_MAX], outside[128];

/* Whatever comes of it. */
#define attempt(call)              \
	do {                       \
		if ((call) < 0)    \
			errno = 0; \
	} while (0)

static void begin(void)
{
	char dir[128];

	cow_box_make(&box, 0);
	snprintf(outside, sizeof(outside), "%s/outside", box.path);
	snprintf(dir, sizeof(dir), "%s/t", box.guest);
	script_fixture(outside, USER);
	script_fixture(dir, USER);
	script_tree(box.path, before, sizeof(before));
	guarded_start(&guard, &box.config);
}

/* run() in the copy-on-write directory "t"; beneath lower nothing has changed afterwards. */
static int in_tree(void *arg)
{
	int (*run)(void) = arg;
	char dir[128];

	umask(022);
	snprintf(dir, sizeof(dir), "%s/t", box.guest);
	must(chdir(dir) == 0);
	return run();
}

static char *lower_of(char *tree)
{
	char *at = strstr(tree, "\nlower/");

	return at ? at : tree;
}

/* What is in the lower directory alone: lines from it to the next directory beside it. */
static void keep_lower(char *tree)
{
	char *from = lower_of(tree), *to = strstr(from, "\noutside: ");

	if (to)
		*to = '\0';
	memmove(tree, from, strlen(from) + 1);
}

static void end(void)
{
	guarded_stop(&guard);
	script_tree(box.path, after, sizeof(after));
	keep_lower(before);
	keep_lower(after);
	ok(strlen(before) > 1000, "there is something to compare");
	is_str(after, before, "the lower directory is what it was");
	cow_box_drop(&box);
}

static void supervised(int (*run)(void))
{
	begin();
	is_int(guarded_end(guarded_begin(&guard, in_tree, run)), 0, "the child is content");
	end();
}

/* ---- what waits */

static void *open_to_read(void *arg)
{
	int fd = open("fifo", O_RDONLY);
	char byte;

	(void)arg;
	must(fd >= 0 && read(fd, &byte, 1) == 1 && byte == 'x');
	close(fd);
	return NULL;
}

static int fifo_here(void)
{
	struct timespec moment = { 0, 20 * 1000 * 1000 };
	pthread_t thread;
	struct stat st;
	int fd;

	must(pthread_create(&thread, NULL, open_to_read, NULL) == 0);
	/* it waits, and nobody waits for it */
	nanosleep(&moment, NULL);
	must(stat("f", &st) == 0);
	must((fd = open("fifo", O_WRONLY)) >= 0);
	must(!(fcntl(fd, F_GETFL) & O_NONBLOCK) && write(fd, "x", 1) == 1);
	pthread_join(thread, NULL);
	return 0;
}

static void opens_of_fifos_wait_for_each_other(void)
{
	supervised(fifo_here);
}

static volatile sig_atomic_t caught;

static void catch (int sig)
{
	caught = caught + sig;
}

static int interrupted_here(void)
{
	/* the first may come before it waits */
	const struct itimerval often = { { 0, 30000 }, { 0, 30000 } };
	struct sigaction plain = { .sa_handler = catch };
	int fd;

	sigaction(SIGALRM, &plain, NULL);
	setitimer(ITIMER_REAL, &often, NULL);
	fd = open("fifo", O_RDONLY);
	must(fd < 0 && errno == EINTR && caught >= SIGALRM);
	return 0;
}

static void signals_interrupt_opens(void)
{
	supervised(interrupted_here);
}

static int killed_here(void)
{
	struct timespec moment = { 0, 20 * 1000 * 1000 };
	struct stat st;
	pid_t pid;

	for (int i = 0; i < 8; i++) {
		pid = fork();
		if (pid == 0) {
			open("fifo", O_RDONLY);
			_exit(1);
		}
		nanosleep(&moment, NULL);
		must(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	}
	must(stat("f", &st) == 0);
	/* the parent looks at the supervisor now */
	raise(SIGSTOP);
	return 0;
}

/* Children of the supervisor that run: those that have ended are reaped at the next open. */
static int count_openers(void)
{
	char path[64], text[512] = "";
	int n = 0, fd;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", guard.loop, guard.loop);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		return -1;
	close(fd);
	for (char *at = text; (pid = (pid_t)strtol(at, &at, 10));) {
		char stat[256] = "", name[64];

		snprintf(name, sizeof(name), "/proc/%d/stat", pid);
		fd = open(name, O_RDONLY);
		if (fd >= 0 && read(fd, stat, sizeof(stat) - 1) > 0)
			n += strstr(stat, ") Z") == NULL;
		close(fd);
	}
	return n;
}

static void nobody_waits_for_the_killed(void)
{
	struct timespec moment = { 0, 50 * 1000 * 1000 };
	int status, n = -1;
	pid_t child;

	begin();
	child = guarded_begin(&guard, in_tree, killed_here);
	waitpid(child, &status, WUNTRACED);
	ok(WIFSTOPPED(status), "the child is where it stops");
	for (int i = 0; i < 1200 && n; i++) {
		n = count_openers();
		nanosleep(&moment, NULL);
	}
	is_int(n, 0, "nothing waits in its name");
	kill(child, SIGCONT);
	is_int(guarded_end(child), 0, "the child is content");
	end();
}

static int lease_here(void)
{
	const struct timespec moment = { 0, 20 * 1000 * 1000 };
	int fd = open("mine", O_RDWR), status;
	struct stat st;
	pid_t pid;

	signal(SIGIO, SIG_IGN);
	must(fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0);
	pid = fork();
	if (pid == 0)
		_exit(open("mine", O_RDWR) < 0);
	nanosleep(&moment, NULL);
	must(stat("f", &st) == 0);
	must(open("mine", O_RDWR | O_NONBLOCK) < 0 && errno == EWOULDBLOCK);
	must(waitpid(pid, NULL, WNOHANG) == 0);
	must(fcntl(fd, F_SETLEASE, F_UNLCK) == 0);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static void nobody_waits_for_a_lease(void)
{
	supervised(lease_here);
}

/* ---- places and their names */

static int places_here(void)
{
	char text[PATH_MAX], want[PATH_MAX];
	int fd;

	snprintf(want, sizeof(want), "%s/t", box.guest);
	must(getcwd(text, sizeof(text)) && strcmp(text, want) == 0);
	must(syscall(SYS_getcwd, text, strlen(want)) < 0 && errno == ERANGE);
	must(syscall(SYS_getcwd, text, strlen(want) + 1) == (long)strlen(want) + 1);
	must(syscall(SYS_getcwd, 8, sizeof(text)) < 0 && errno == EFAULT);
	must(readlink("/proc/self/cwd", text, sizeof(text)) == (ssize_t)strlen(want));
	must(chdir("d/sub") == 0);
	strcat(want, "/d/sub");
	must(getcwd(text, sizeof(text)) && strcmp(text, want) == 0);
	must(open("deep", O_RDONLY) >= 0 && open("../a", O_RDONLY) >= 0);
	must((fd = open("deep", O_RDWR)) >= 0);
	snprintf(text, sizeof(text), "/proc/%d/fd/%d", getpid(), fd);
	memset(want, 0, sizeof(want));
	must(readlink(text, want, sizeof(want) - 1) > 0);
	must(strcmp(strrchr(want, '/'), "/deep") == 0 && strstr(want, "lower/t/d/sub"));
	must(mkdir("gone", 0755) == 0 && chdir("gone") == 0 && rmdir("../gone") == 0);
	must(syscall(SYS_getcwd, text, sizeof(text)) < 0 && errno == ENOENT);
	must(chdir("/tmp") == 0 && getcwd(text, sizeof(text)) && strcmp(text, "/tmp") == 0);
	must(chdir(box.guest) == 0 && mkdir("r", 0755) == 0 && mkdir("rr", 0755) == 0);
	/* beside its root, in whose name that of the root stands */
	must(chdir("rr") == 0 && (geteuid() != 0 || chroot("../r") == 0));
	must(geteuid() != 0 || (syscall(SYS_getcwd, text, sizeof(text)) > 0 &&
				strncmp(text, "(unreachable)/", 14) == 0));
	return 0;
}

/* Who had opened what was removed, and has no right to what has its name now. */
static int another_here(void)
{
	int fd = open("mine", O_RDONLY), other;
	char text[16] = "";

	must(fd >= 0 && unlink("mine") == 0);
	other = open("mine", O_WRONLY | O_CREAT | O_EXCL, 0600);
	must(other >= 0 && write(other, "secret", 6) == 6);
	must(setresuid(USER, USER, USER) == 0);
	must(fchmod(fd, 0640) < 0 && errno == EPERM);
	must(pread(fd, text, sizeof(text), 0) == 5 && strcmp(text, "mine\n") == 0);
	return 0;
}

static void another_file_is_not_shown(void)
{
	if (geteuid() != 0)
		tap_skip("it takes root to be two users");
	supervised(another_here);
}

/* Beside who goes to a directory that it may not read, and uses the same descriptors: keeps what
 * comes, for nobody is asked about that, and looks at it afterwards. */
static void list_all(atomic_int *seen)
{
	bool known[32];
	char list[2048];
	long n;
	int copy;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (int fd = 3; fd < 32; fd++)
		known[fd] = fcntl(fd, F_GETFD) >= 0;
	seen[1] = 1;
	for (;;)
		for (int fd = 3; fd < 32; fd++) {
			copy = known[fd] ? -1 : fcntl(fd, F_DUPFD, 100);
			n = copy < 0 ? 0 : syscall(SYS_getdents64, copy, list, sizeof(list));
			if (n > 0 && memmem(list, (size_t)n, "hidden", 6))
				seen[0] = 1;
			if (copy >= 0)
				close(copy);
		}
}

static int secret_directory_here(void)
{
	atomic_int *seen = mmap(NULL, 2 * sizeof(*seen), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct sockaddr_un addr = { AF_UNIX, "dx711/socket" };
	int sock = socket(AF_UNIX, SOCK_STREAM, 0), s;
	pid_t child;

	must(mkdir("dx711", 0711) == 0 && mkdir("dx711/hidden", 0755) == 0);
	must(bind(sock, (struct sockaddr *)&addr, sizeof(addr)) == 0 && listen(sock, 128) == 0);
	must(chmod("dx711/socket", 0666) == 0 && setresuid(USER, USER, USER) == 0);
	child = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL);
	if (child == 0)
		list_all(seen);
	while (!seen[1])
		sched_yield();
	for (int i = 0; i < 100; i++) {
		must(chdir("dx711") == 0 && chdir("..") == 0);
		s = socket(AF_UNIX, SOCK_STREAM, 0);
		must(connect(s, (struct sockaddr *)&addr, sizeof(addr)) == 0 && close(s) == 0);
	}
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	must(open("dx711", O_RDONLY) < 0 && errno == EACCES && !seen[0]);
	return 0;
}

static void who_may_not_list_has_no_descriptor(void)
{
	if (geteuid() != 0)
		tap_skip("it takes root to be two users");
	supervised(secret_directory_here);
}

static void names_are_the_guests(void)
{
	supervised(places_here);
}

/* The base name of the box, which is what remains of the way to it from the directory that it is in. */
static int roots_here(void)
{
	const char *base = strstr(box.guest, "/thole-test-");
	int proc = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int there = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char text[PATH_MAX], want[PATH_MAX];
	ssize_t len;

	snprintf(text, sizeof(text), "%.*s", (int)(base - box.guest), box.guest);
	must(proc >= 0 && there >= 0 && chdir("d") == 0 && chroot(text) == 0);
	snprintf(want, sizeof(want), "%s/t/d", base);
	must(syscall(SYS_getcwd, text, sizeof(text)) == (long)strlen(want) + 1);
	must(strcmp(text, want) == 0);
	len = readlinkat(proc, "self/cwd", text, sizeof(text));
	must(len == (ssize_t)strlen(want) && memcmp(text, want, (size_t)len) == 0);
	must(chdir("sub") == 0 && getcwd(text, sizeof(text)) && strstr(text, "/lower/t/d/sub"));
	must(strncmp(text, "/thole-test-", 12) == 0);
	/* in it, and beside it */
	must(chroot(".") == 0 && getcwd(text, sizeof(text)) && strcmp(text, "/") == 0);
	must(fchdir(there) == 0 && chroot("usr") == 0 && chdir(box.guest + 1) == 0);
	must(syscall(SYS_getcwd, text, sizeof(text)) > 0);
	snprintf(want, sizeof(want), "(unreachable)%s", box.guest);
	must(strcmp(text, want) == 0);
	return 0;
}

static void names_are_from_the_guests_root(void)
{
	if (geteuid() != 0)
		tap_skip("it takes root to have another one");
	supervised(roots_here);
}

static uint32_t take_events(int watch)
{
	char buf[4096] __attribute__((aligned(8)));
	ssize_t len = read(watch, buf, sizeof(buf));
	uint32_t seen = 0;

	for (ssize_t at = 0; at < len;) {
		const struct inotify_event *e = (const struct inotify_event *)(buf + at);

		seen |= e->mask;
		at += (ssize_t)(sizeof(*e) + e->len);
	}
	return seen;
}

/* A file is closed when the supervisor has closed it, too, which may be a moment later. */
static bool happens(int watch, uint32_t what)
{
	struct pollfd p = { .fd = watch, .events = POLLIN };
	uint32_t seen = 0;

	while ((seen & what) != what && poll(&p, 1, 60000) > 0)
		seen |= take_events(watch);
	return (seen & what) == what;
}

static int watches_here(void)
{
	int watch = inotify_init1(IN_NONBLOCK | IN_CLOEXEC), file, dir, fd;

	must(watch >= 0 && (file = inotify_add_watch(watch, "f", IN_MODIFY | IN_ATTRIB)) >= 0);
	must((fd = open("f", O_WRONLY)) >= 0 && write(fd, "x", 1) == 1);
	must(happens(watch, IN_MODIFY));
	must(chmod("f", 0600) == 0 && happens(watch, IN_ATTRIB));
	must(inotify_rm_watch(watch, file) == 0 && happens(watch, IN_IGNORED));
	must((dir = inotify_add_watch(watch, "d", IN_ALL_EVENTS | IN_ONLYDIR)) >= 0);
	must((fd = open("d/new", O_WRONLY | O_CREAT, 0644)) >= 0 && happens(watch, IN_CREATE));
	must(write(fd, "x", 1) == 1 && close(fd) == 0);
	must(happens(watch, IN_MODIFY | IN_CLOSE_WRITE));
	must(unlink("d/new") == 0 && happens(watch, IN_DELETE));
	must(inotify_add_watch(watch, "f", IN_MODIFY | IN_ONLYDIR) < 0 && errno == ENOTDIR);
	must(inotify_add_watch(watch, "nothing", IN_MODIFY) < 0 && errno == ENOENT);
	must(inotify_add_watch(watch, "lf", IN_ATTRIB | IN_DONT_FOLLOW) > dir);
	must(inotify_add_watch(fd, "f", IN_MODIFY) < 0 && errno == EBADF);
	must(inotify_add_watch(0, "f", IN_MODIFY) < 0 && errno == EINVAL);
	return 0;
}

static void watches_see_what_happens(void)
{
	supervised(watches_here);
}

static int refused_here(void)
{
	struct {
		unsigned bytes;
		int type;
		char room[128];
	} handle = { .bytes = 128 };
	char params[256] = { 0 };
	int mount, fd;

	must(syscall(SYS_io_uring_setup, 4, params) < 0 && errno == ENOSYS);
	must(syscall(SYS_name_to_handle_at, AT_FDCWD, "f", &handle, &mount, 0) < 0);
	must(errno == EOPNOTSUPP);
	fd = fanotify_init(FAN_CLASS_NOTIF, O_RDONLY);
	must(fd < 0 || fanotify_mark(fd, FAN_MARK_ADD, FAN_OPEN, AT_FDCWD, "d") < 0);
	must(fd < 0 || errno == EOPNOTSUPP);
	must(setxattr("d", "user.overlay.opaque", "y", 1, 0) < 0 && errno == EPERM);
	must((fd = open("d", O_RDONLY)) >= 0);
	must(fsetxattr(fd, "user.overlay.opaque", "y", 1, 0) < 0 && errno == EPERM);
	must(removexattr("d", "user.overlay.opaque") < 0 && errno == EPERM);
	must(getxattr("d", "user.overlay.opaque", params, 8) < 0 && errno == ENODATA);
	return 0;
}

static void what_goes_past_is_refused(void)
{
	supervised(refused_here);
}

/* Through a descriptor that only reads, of what is in the lower side. */
static int ioctls_here(void)
{
	int fd = open("mine", O_RDONLY), out = open(outside, O_RDONLY), flags = 0, set, ends[2];

	must(fd >= 0 && out >= 0);
	must(ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0);
	set = flags | FS_NODUMP_FL;
	must(ioctl(fd, FS_IOC_SETFLAGS, &set) == 0);
	must(ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_NODUMP_FL);
	must(ioctl(out, FS_IOC_GETFLAGS, &flags) == 0);
	set = flags | FS_NODUMP_FL;
	must(ioctl(out, FS_IOC_SETFLAGS, &set) == 0);
	must(ioctl(out, FS_IOC_GETFLAGS, &flags) == 0 && flags & FS_NODUMP_FL);
	must(ioctl(fd, FS_IOC_SETFLAGS, 8) < 0 && errno == EFAULT);
	must(pipe(ends) == 0 && ioctl(ends[0], FS_IOC_SETFLAGS, &set) < 0 && errno == ENOTTY);
	must(ioctl(fd, FS_IOC_ENABLE_VERITY, NULL) < 0 && errno == EOPNOTSUPP);
	return 0;
}

static void flags_are_those_of_the_copy(void)
{
	char name[128];
	int fd, flags = FS_NODUMP_FL;

	begin();
	snprintf(name, sizeof(name), "%s/t/mine", box.guest);
	fd = open(name, O_RDONLY);
	if (ioctl(fd, FS_IOC_GETFLAGS, &flags) < 0)
		tap_skip("the file system of /tmp has no flags");
	is_int(guarded_end(guarded_begin(&guard, in_tree, ioctls_here)), 0, "the child is content");
	is_int(ioctl(fd, FS_IOC_GETFLAGS, &flags), 0, "flags of the lower file");
	is_int(flags & FS_NODUMP_FL, 0, "they are what they were");
	close(fd);
	end();
}

static void write_map(const char *file, const char *text)
{
	int fd = open(file, O_WRONLY);

	must(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text) && close(fd) == 0);
}

/* Users have other numbers there. */
static int nested_here(void)
{
	struct statx stx;
	struct stat st;
	char maps[64];
	gid_t gid = getgid();
	uid_t uid = getuid();

	if (unshare(CLONE_NEWUSER) < 0)
		return 77;
	write_map("/proc/self/setgroups", "deny");
	snprintf(maps, sizeof(maps), "7 %u 1", uid);
	write_map("/proc/self/uid_map", maps);
	snprintf(maps, sizeof(maps), "8 %u 1", gid);
	write_map("/proc/self/gid_map", maps);
	must(getuid() == 7 && getgid() == 8);
	must(stat("mine", &st) == 0 && st.st_uid == (uid ? 7u : USER));
	must(close(open("new", O_WRONLY | O_CREAT | O_EXCL, 0644)) == 0);
	must(stat("new", &st) == 0 && st.st_uid == 7 && st.st_gid == 8);
	must(statx(AT_FDCWD, "new", 0, STATX_BASIC_STATS, &stx) == 0);
	must(stx.stx_uid == 7 && stx.stx_gid == 8);
	must(chown("new", 7, 8) == 0 && chown("new", (uid_t)-1, 8) == 0);
	must(chown("new", uid == 7 ? 9 : uid, (gid_t)-1) < 0 && errno == EINVAL);
	must(stat("new", &st) == 0 && st.st_uid == 7 && st.st_gid == 8);
	return 0;
}

static void users_of_a_namespace_have_its_numbers(void)
{
	int status;

	begin();
	status = guarded_end(guarded_begin(&guard, in_tree, nested_here));
	if (status == 77)
		tap_skip("no user namespace is to be had");
	is_int(status, 0, "the child is content");
	end();
}

/* Outside of the map a call that changes metadata is made here, and no other way. */
static int outside_here(void)
{
	struct stat st;
	char link[160];
	int fd;

	must(chdir(outside) == 0);
	must(chmod("f", 0600) == 0 && stat("f", &st) == 0 && (st.st_mode & 07777) == 0600);
	must(lchown("lf", USER, USER) == 0 && lstat("lf", &st) == 0 && st.st_uid == USER);
	must(setxattr("f", "user.a", "x", 1, 0) == 0 && getxattr("f", "user.a", link, 1) == 1);
	must(lsetxattr("lf", "user.a", "x", 1, 0) < 0 && errno == EPERM);
	must(utimensat(AT_FDCWD, "lf", (struct timespec[2]){ { 5, 0 }, { 6, 0 } },
		       AT_SYMLINK_NOFOLLOW) == 0);
	must(lstat("lf", &st) == 0 && st.st_mtime == 6);
	must((fd = open("d", O_RDONLY)) >= 0 && fchmod(fd, 0700) == 0);
	must(fstat(fd, &st) == 0 && (st.st_mode & 07777) == 0700);
	/* a link that leads in */
	snprintf(link, sizeof(link), "%s/t/f", box.guest);
	must(symlink(link, "in") == 0 && chmod("in", 0640) == 0);
	must(stat(link, &st) == 0 && (st.st_mode & 07777) == 0640);
	must((fd = open("in", O_WRONLY | O_TRUNC)) >= 0 && write(fd, "in", 2) == 2);
	must(stat(link, &st) == 0 && st.st_size == 2);
	/* and one that leads out */
	snprintf(link, sizeof(link), "%s/all", outside);
	must(chdir(box.guest) == 0 && symlink(link, "out") == 0);
	must(chmod("out", 0600) == 0 && stat(link, &st) == 0 && (st.st_mode & 07777) == 0600);
	must((fd = open("out", O_WRONLY | O_APPEND)) >= 0 && write(fd, "x", 1) == 1);
	must(stat(link, &st) == 0 && st.st_size == 5);
	return 0;
}

static void metadata_outside_is_changed_there(void)
{
	supervised(outside_here);
}

static int device_here(void)
{
	struct stat st;

	must(open("null", O_RDWR) < 0 && errno == EACCES);
	must(open("null", O_RDONLY | O_NONBLOCK) < 0 && errno == EACCES);
	must(open("null", O_PATH) >= 0 && stat("null", &st) == 0 && S_ISCHR(st.st_mode));
	must(chmod("null", 0600) == 0 || errno == EPERM);
	must(open("null", O_RDWR) < 0 && errno == EACCES);
	return 0;
}

/* The supervisor is none of those that the container's devices are for. */
static void devices_are_not_opened(void)
{
	char name[128];

	begin();
	snprintf(name, sizeof(name), "%s/t/null", box.guest);
	if (mknod(name, S_IFCHR | 0666, makedev(1, 3)) < 0)
		tap_skip("no device can be made here: %s", strerror(errno));
	script_tree(box.path, before, sizeof(before));
	is_int(guarded_end(guarded_begin(&guard, in_tree, device_here)), 0, "the child is content");
	end();
}

static int read_only_here(void)
{
	struct stat st;
	char text[64];
	int fd;

	must((fd = open("f", O_RDONLY)) >= 0 && read(fd, text, sizeof(text)) == 14);
	must(open("f", O_RDWR) < 0 && errno == EROFS);
	must(open("f", O_RDONLY | O_TRUNC) < 0 && errno == EROFS);
	must(open("new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS);
	must(open("d", O_RDWR | O_TMPFILE, 0600) < 0 && errno == EROFS);
	must(chmod("f", 0600) < 0 && errno == EROFS && fchmod(fd, 0600) < 0 && errno == EROFS);
	must(lchown("lf", 1, 1) < 0 && errno == EROFS && truncate("f", 0) < 0 && errno == EROFS);
	must(utimensat(AT_FDCWD, "f", NULL, 0) < 0 && errno == EROFS);
	must(setxattr("f", "user.a", "x", 1, 0) < 0 && errno == EROFS);
	must(access("f", W_OK) < 0 && errno == EROFS && access("f", R_OK) == 0);
	must((fd = open("d", O_RDONLY)) >= 0 && syscall(SYS_getdents64, fd, text, 64) > 0);
	must(stat("d/sub/deep", &st) == 0 && stat("new", &st) < 0 && errno == ENOENT);
	return 0;
}

static void what_is_shown_read_only_stays(void)
{
	char dir[128];

	cow_box_make(&box, 0);
	snprintf(dir, sizeof(dir), "%s/t", box.guest);
	script_fixture(dir, USER);
	script_tree(dir, before, sizeof(before));
	box.map.mode = LAYER_RO;
	box.map.upper = box.map.work = -1;
	guarded_start(&guard, &box.config);
	is_int(guarded_end(guarded_begin(&guard, in_tree, read_only_here)), 0,
	       "the child is content");
	guarded_stop(&guard);
	script_tree(dir, after, sizeof(after));
	is_str(after, before, "it is what it was");
	cow_box_drop(&box);
}

/* ---- a hostile guest */

static int bad_pointers_here(void)
{
	const size_t page = 4096;
	char *none = mmap(NULL, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *two =
		mmap(NULL, 2 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *ro = mmap(NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *edge = two + page - 2;
	struct stat st;
	int fd = open("f", O_RDONLY);

	must(fd >= 0 && mprotect(two + page, page, PROT_NONE) == 0);
	memcpy(edge, "f", 2);
	must(syscall(SYS_openat, AT_FDCWD, none, O_RDONLY) < 0 && errno == EFAULT);
	must(syscall(SYS_openat, AT_FDCWD, NULL, O_RDONLY) < 0 && errno == EFAULT);
	must(syscall(SYS_openat, AT_FDCWD, (char *)8, O_WRONLY | O_CREAT, 0) < 0 &&
	     errno == EFAULT);
	must(syscall(SYS_openat, AT_FDCWD, (char *)-1, O_RDONLY) < 0 && errno == EFAULT);
	must(syscall(SYS_openat, AT_FDCWD, edge, O_RDONLY) >= 0);
	edge[1] = 'f';
	must(syscall(SYS_openat, AT_FDCWD, edge, O_RDONLY) < 0 && errno == EFAULT);
	must(syscall(SYS_newfstatat, AT_FDCWD, "f", none, 0) < 0 && errno == EFAULT);
	must(syscall(SYS_newfstatat, AT_FDCWD, "f", ro, 0) < 0 && errno == EFAULT);
	must(syscall(SYS_newfstatat, AT_FDCWD, none, &st, 0) < 0 && errno == EFAULT);
	must(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_ALL, edge) < 0 && errno == EFAULT);
	must(syscall(SYS_readlinkat, AT_FDCWD, "lf", none, 10) < 0 && errno == EFAULT);
	must(syscall(SYS_getxattr, "f", none, edge, 1) < 0 && errno == EFAULT);
	must(syscall(SYS_getxattr, "f", "user.test", none, 5) < 0 && errno == EFAULT);
	must(syscall(SYS_setxattr, "f", "user.x", none, 5, 0) < 0 && errno == EFAULT);
	must(syscall(SYS_setxattr, "f", "user.x", edge, 1ul << 40, 0) < 0 && errno == E2BIG);
	must(syscall(SYS_utimensat, AT_FDCWD, "f", none, 0) < 0 && errno == EFAULT);
	must(syscall(SYS_openat2, AT_FDCWD, "f", none, 24) < 0 && errno == EFAULT);
	must(syscall(SYS_openat2, AT_FDCWD, "f", two, 8) < 0 && errno == EINVAL);
	must(syscall(SYS_openat2, AT_FDCWD, "f", two, 1ul << 32) < 0 && errno == E2BIG);
	must(syscall(SYS_getdents64, fd, none, 4096) < 0 && errno == ENOTDIR);
	must(syscall(SYS_statfs, "f", none) < 0 && errno == EFAULT);
	fd = open("d", O_RDONLY);
	must(syscall(SYS_getdents64, fd, none, 4096) < 0 && errno == EFAULT);
	must(syscall(SYS_getdents64, fd, two, 4096) > 0);
	return 0;
}

static void answers_bad_pointers(void)
{
	supervised(bad_pointers_here);
}

static _Atomic bool racing = true;
static char racy[PATH_MAX];

/* The text changes under the supervisor's hands: what is in the map, outside of it, a link. */
static void *change_text(void *arg)
{
	static const char *const names[] = { "t/f", "t/d", "t/lf", "t/nothing", "t/x" };
	char text[2][PATH_MAX];

	(void)arg;
	for (unsigned i = 0; racing; i++) {
		snprintf(text[0], PATH_MAX, "%s/%s", box.guest, names[i % 5]);
		snprintf(text[1], PATH_MAX, "%s/%s", outside, names[i % 5] + 2);
		memcpy(racy, text[i % 2], strlen(text[i % 2]) + 1);
	}
	return NULL;
}

static int race_text_here(void)
{
	struct timespec times[2] = { { 77, 0 }, { 77, 0 } };
	pthread_t thread;
	struct stat st;
	int fd;

	must(pthread_create(&thread, NULL, change_text, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		fd = (int)syscall(SYS_openat, AT_FDCWD, racy, O_RDWR | (i % 3 ? 0 : O_TRUNC));
		if (fd >= 0)
			must(write(fd, "racy", 4) == 4 && close(fd) == 0);
		syscall(SYS_fchmodat, AT_FDCWD, racy, 0700 + i % 8);
		syscall(SYS_fchownat, AT_FDCWD, racy, i, i, AT_SYMLINK_NOFOLLOW);
		syscall(SYS_setxattr, racy, "user.racy", "x", 1, 0);
		syscall(SYS_utimensat, AT_FDCWD, racy, times, i % 2 ? AT_SYMLINK_NOFOLLOW : 0);
		syscall(SYS_truncate, racy, i);
		syscall(SYS_newfstatat, AT_FDCWD, racy, &st, 0);
	}
	racing = false;
	pthread_join(thread, NULL);
	return 0;
}

/* Without Landlock, which this test has not: what the kernel itself is asked to make must be no
 * more than a look. So writes outside are what shows that calls were made there at all. */
static int race_metadata_here(void)
{
	struct timespec times[2] = { { 77, 0 }, { 77, 0 } };
	pthread_t thread;

	must(pthread_create(&thread, NULL, change_text, NULL) == 0);
	for (int i = 0; i < 4 * ROUNDS; i++) {
		syscall(SYS_fchmodat, AT_FDCWD, racy, 0700 + i % 8);
		syscall(SYS_fchownat, AT_FDCWD, racy, i, i, AT_SYMLINK_NOFOLLOW);
		syscall(SYS_setxattr, racy, "user.racy", "x", 1, 0);
		syscall(SYS_lsetxattr, racy, "trusted.racy", "x", 1, 0);
		syscall(SYS_removexattr, racy, "user.test");
		syscall(SYS_utimensat, AT_FDCWD, racy, times, i % 2 ? AT_SYMLINK_NOFOLLOW : 0);
	}
	racing = false;
	pthread_join(thread, NULL);
	return 0;
}

static void a_racing_text_changes_no_lower_metadata(void)
{
	snprintf(racy, sizeof(racy), "/nothing");
	supervised(race_metadata_here);
}

static void a_racing_text_hangs_nobody(void)
{
	snprintf(racy, sizeof(racy), "/nothing");
	begin();
	is_int(guarded_end(guarded_begin(&guard, in_tree, race_text_here)), 0,
	       "the child is content");
	guarded_stop(&guard);
	cow_box_drop(&box);
}

/* Names are exchanged while they are walked: a link out of the map and a directory. */
static void *change_tree(void *arg)
{
	(void)arg;
	while (racing) {
		rename("d", "dd");
		attempt(symlink(outside, "d"));
		unlink("d");
		rename("dd", "d");
	}
	return NULL;
}

static int race_tree_here(void)
{
	pthread_t thread;
	struct stat st;
	int fd;

	must(pthread_create(&thread, NULL, change_tree, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		fd = open("d/a", O_RDWR);
		if (fd >= 0)
			must(write(fd, "racy", 4) == 4 && close(fd) == 0);
		chmod("d/a", 0600);
		fd = open("d/new", O_CREAT | O_WRONLY, 0600);
		if (fd >= 0)
			close(fd);
		stat("d/sub/deep", &st);
		unlink("d/new");
	}
	racing = false;
	pthread_join(thread, NULL);
	must(stat("d/sub/deep", &st) == 0);
	return 0;
}

static void a_racing_tree_leads_nobody_astray(void)
{
	supervised(race_tree_here);
}

static int racing_fd;

/* The number is a file of the lower side, one outside, and nothing in turns. */
static void *change_descriptor(void *arg)
{
	int in = open("f", O_RDONLY), out = open("/tmp", O_TMPFILE | O_RDWR, 0600);

	(void)arg;
	while (racing) {
		dup2(in, racing_fd);
		dup2(out, racing_fd);
		close(racing_fd);
	}
	return NULL;
}

static int race_fd_here(void)
{
	char path[64];
	pthread_t thread;
	int flags, fd;

	racing_fd = 100;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", racing_fd);
	must(pthread_create(&thread, NULL, change_descriptor, NULL) == 0);
	for (int i = 0; i < ROUNDS; i++) {
		fchmod(racing_fd, 0600);
		fsetxattr(racing_fd, "user.x", "x", 1, 0);
		futimens(racing_fd, NULL);
		flags = FS_NODUMP_FL;
		ioctl(racing_fd, FS_IOC_SETFLAGS, &flags);
		fd = open(path, O_RDWR | O_NOCTTY);
		if (fd >= 0)
			close(fd);
		attempt(fchown(racing_fd, 0, 0));
	}
	racing = false;
	pthread_join(thread, NULL);
	return 0;
}

static void racing_descriptors_change_no_lower_file(void)
{
	supervised(race_fd_here);
}

static void *work(void *arg)
{
	char name[32], text[32];
	unsigned who = (unsigned)(uintptr_t)arg;
	struct stat st;
	int fd;

	for (int i = 0; i < ROUNDS / 3; i++) {
		snprintf(name, sizeof(name), "d/w%u.%d", who, i % 7);
		fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
		must(fd >= 0 && write(fd, name, strlen(name)) == (ssize_t)strlen(name));
		must(stat(name, &st) == 0 && st.st_size == (off_t)strlen(name));
		must(pread(fd, text, sizeof(text), 0) == (ssize_t)strlen(name));
		must(memcmp(text, name, strlen(name)) == 0 && close(fd) == 0);
		must(chmod(name, 0644) == 0 && unlink(name) == 0);
		must(stat(name, &st) < 0 && errno == ENOENT);
	}
	return NULL;
}

static int threads_here(void)
{
	pthread_t threads[THREADS];
	int status;
	pid_t pid = fork();

	for (uintptr_t i = 0; i < THREADS; i++)
		must(pthread_create(&threads[i], NULL, work, (void *)(i + (pid ? 0 : 50))) == 0);
	for (int i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	if (!pid)
		_exit(0);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	return 0;
}

static void many_work_at_once(void)
{
	supervised(threads_here);
}

/* For the moment in which it gets a descriptor a thread is kept on one processor:
 * super/beside.h. */
static int roams_here(void)
{
	cpu_set_t all, one, now;
	int cpu = 0, fd;

	must(sched_getaffinity(0, sizeof(all), &all) == 0);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	for (int i = 0; i < ROUNDS; i++) {
		must(sched_setaffinity(0, sizeof(one), i % 2 ? &one : &all) == 0);
		fd = open(i % 3 ? "f" : "made", O_RDWR | O_CREAT, 0644);
		must(fd >= 0 && sched_getaffinity(0, sizeof(now), &now) == 0 && close(fd) == 0);
		must(CPU_EQUAL(&now, i % 2 ? &one : &all));
	}
	return 0;
}

static void processors_stay(void)
{
	supervised(roams_here);
}

static int leaks_here(void)
{
	char text[4096];
	struct stat st;
	int fd;

	for (int i = 0; i < ROUNDS; i++) {
		fd = open(i % 2 ? "d" : "f", i % 3 ? O_RDONLY : O_PATH);
		must(fd >= 0);
		fchmod(fd, 0755);
		close(fd);
		open("nothing/x", O_RDWR | O_CREAT, 0644);
		open("loop", O_RDONLY);
		stat("lf", &st);
		lstat("d/l", &st);
		chmod("dangling", 0600);
		setxattr("f", "user.a", "x", 1, 0);
		lsetxattr("lf", "user.a", "x", 1, 0);
		listxattr("f", text, sizeof(text));
		syscall(SYS_openat, AT_FDCWD, NULL, O_RDWR);
		attempt(truncate("f", 5));
		access("secret", R_OK);
		attempt(readlink("ll", text, sizeof(text)));
		must(getcwd(text, sizeof(text)));
	}
	raise(SIGSTOP);
	return 0;
}

static void keeps_no_descriptor(void)
{
	int status, was, is;
	pid_t child;

	begin();
	was = guarded_fds(&guard);
	child = guarded_begin(&guard, in_tree, leaks_here);
	waitpid(child, &status, WUNTRACED);
	ok(WIFSTOPPED(status), "the child is where it stops");
	/* besides the listener, what the map knows its directories by, and what is held of threads:
	 * stated numbers */
	is = guarded_fds(&guard);
	ok(was > 0 && is <= was + 16 + 3 * NOTIF_HELD, "%d descriptors before, %d after", was, is);
	kill(child, SIGCONT);
	is_int(guarded_end(child), 0, "the child is content");
	end();
}

static void *run_and_die(void *arg)
{
	(void)arg;
	for (;;) {
		int fd = open("d/new", O_RDWR | O_CREAT, 0644);

		if (fd >= 0)
			close(fd);
		chmod("d/a", 0600);
		unlink("d/new");
		fd = open("d", O_PATH);
		if (fd >= 0)
			close(fd);
	}
	return NULL;
}

static char fresh[PATH_MAX], copied[PATH_MAX];

static int traced_here(void)
{
	char *const args[] = { copied, NULL };
	struct stat st;

	must(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0 && raise(SIGSTOP) == 0);
	/* by the kernel alone: what is unchanged, and all that is done for it */
	must(chdir("d/sub") == 0 && stat("deep", &st) == 0 && chdir("../..") == 0);
	must(open("f", O_RDWR) >= 0 && access("fresh", F_OK) == 0);
	/* from where it is, too */
	must(chdir("fresh") == 0 && chdir("..") == 0);
	must(execv("fresh/program", args) < 0 && errno == ENOEXEC);
	must(chdir(fresh) < 0 && errno == EPERM);
	must(execv(copied, args) < 0 && errno == EPERM);
	must(raise(SIGSTOP) == 0);
	/* let go */
	must(chdir(fresh) == 0);
	return 0;
}

static int tracer_here(void)
{
	pid_t pid;
	int status;

	snprintf(fresh, sizeof(fresh), "%s/t/fresh", box.guest);
	snprintf(copied, sizeof(copied), "%s/t/fresh/program", box.guest);
	must(mkdir("fresh", 0755) == 0);
	must((status = open(copied, O_WRONLY | O_CREAT, 0755)) >= 0 && close(status) == 0);
	pid = fork();
	if (pid == 0)
		_exit(traced_here());
	must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	must(ptrace(PTRACE_CONT, pid, NULL, NULL) == 0);
	must(waitpid(pid, &status, 0) == pid && WIFSTOPPED(status));
	must(ptrace(PTRACE_DETACH, pid, NULL, NULL) == 0);
	must(waitpid(pid, &status, 0) == pid && WIFEXITED(status) && !WEXITSTATUS(status));
	return 0;
}

static void the_traced_are_told_why(void)
{
	int said = memfd_create("said", MFD_CLOEXEC), err = dup(STDERR_FILENO);
	char text[4096] = "", *line;

	dup2(said, STDERR_FILENO);
	supervised(tracer_here);
	dup2(err, STDERR_FILENO);
	is_int(pread(said, text, sizeof(text) - 1, 0) < 0, 0, "what was said");
	line = strstr(text, " is traced by process ");
	ok(line && strstr(line, "fails with EPERM") && !strstr(line + 1, " is traced by "),
	   "it is said once: %s", text);
}

static int limited_here(void)
{
	const struct rlimit small = { 4096, RLIM_INFINITY };
	struct sigaction action = { .sa_handler = catch };
	int fd = open("f", O_RDWR), status;
	struct stat st;
	pid_t pid;

	caught = 0;
	sigaction(SIGXFSZ, &action, NULL);
	must(fd >= 0 && setrlimit(RLIMIT_FSIZE, &small) == 0);
	must(truncate("f", 4097) < 0 && errno == EFBIG && caught == SIGXFSZ);
	must(ftruncate(fd, 4097) < 0 && errno == EFBIG && caught == 2 * SIGXFSZ);
	must(pwrite(fd, "x", 1, 4096) < 0 && errno == EFBIG && caught == 3 * SIGXFSZ);
	must(truncate("d/a", 8192) < 0 && errno == EFBIG && caught == 4 * SIGXFSZ);
	must(truncate("f", 4096) == 0 && caught == 4 * SIGXFSZ);
	must(stat("f", &st) == 0 && st.st_size == 4096);
	pid = fork();
	if (pid == 0) {
		signal(SIGXFSZ, SIG_DFL);
		attempt(truncate("f", 8192));
		_exit(0);
	}
	must(waitpid(pid, &status, 0) == pid && WIFSIGNALED(status));
	must(WTERMSIG(status) == SIGXFSZ);
	return 0;
}

static void files_grow_to_the_guests_limit(void)
{
	supervised(limited_here);
}

static int beyond_here(void)
{
	struct stat st;

	signal(SIGXFSZ, SIG_IGN);
	must(open("long", O_RDWR) < 0 && errno == EFBIG);
	must(stat("long", &st) == 0 && st.st_size == 8192);
	return 0;
}

static void it_outlives_its_own_limit(void)
{
	const struct rlimit small = { 4096, RLIM_INFINITY };
	char data[8192], path[160];
	int fd;

	begin();
	guarded_stop(&guard);
	memset(data, 'x', sizeof(data));
	snprintf(path, sizeof(path), "%s/t/long", box.guest);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	ok(fd >= 0 && write(fd, data, sizeof(data)) == sizeof(data), "a file that is too long");
	close(fd);
	is_int(setrlimit(RLIMIT_FSIZE, &small), 0, "a limit");
	guarded_start(&guard, &box.config);
	is_int(guarded_end(guarded_begin(&guard, in_tree, beyond_here)), 0, "the child is content");
	guarded_stop(&guard);
	cow_box_drop(&box);
}

/* The supervisor has a group, which nobody can be given again; the child has none. */
static int losing_here(void)
{
	struct stat st;

	must(setgroups(0, NULL) == 0);
	must(open("f", O_RDWR) < 0 && errno == EPERM);
	must(stat("f", &st) < 0 && errno == ENOSYS);
	return 0;
}

static void it_ends_where_it_cannot_be_itself(void)
{
	const gid_t group = 4711;
	int status;

	if (geteuid() != 0 || setgroups(1, &group) < 0)
		tap_skip("it takes root to have groups");
	ok(deny_call_of(SYS_setgroups, SECCOMP_RET_ERRNO | ENOMEM), "a filter");
	begin();
	is_int(guarded_end(guarded_begin(&guard, in_tree, losing_here)), 0, "the child is content");
	close(guard.channel);
	waitpid(guard.loop, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 1, "it says why, and ends: %#x", status);
	cow_box_drop(&box);
}

static int dying_here(void)
{
	struct stat st;
	pthread_t thread;
	pid_t pid;

	for (int i = 0; i < 40; i++) {
		pid = fork();
		if (pid == 0) {
			pthread_create(&thread, NULL, run_and_die, NULL);
			run_and_die(NULL);
		}
		usleep((useconds_t)(i * 137 % 5000));
		must(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	}
	must(stat("d/a", &st) == 0 && stat("d/sub/deep", &st) == 0);
	return 0;
}

static void the_killed_leave_nothing_half(void)
{
	supervised(dying_here);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(opens_of_fifos_wait_for_each_other),
		TAP(signals_interrupt_opens),
		TAP(nobody_waits_for_the_killed),
		TAP(nobody_waits_for_a_lease),
		TAP(another_file_is_not_shown),
		TAP(who_may_not_list_has_no_descriptor),
		TAP(names_are_the_guests),
		TAP(names_are_from_the_guests_root),
		TAP(watches_see_what_happens),
		TAP(what_goes_past_is_refused),
		TAP(flags_are_those_of_the_copy),
		TAP(users_of_a_namespace_have_its_numbers),
		TAP(metadata_outside_is_changed_there),
		TAP(devices_are_not_opened),
		TAP(what_is_shown_read_only_stays),
		TAP(answers_bad_pointers),
		TAP(a_racing_text_changes_no_lower_metadata),
		TAP(a_racing_text_hangs_nobody),
		TAP(a_racing_tree_leads_nobody_astray),
		TAP(racing_descriptors_change_no_lower_file),
		TAP(many_work_at_once),
		TAP(processors_stay),
		TAP(keeps_no_descriptor),
		TAP(the_killed_leave_nothing_half),
		TAP(it_ends_where_it_cannot_be_itself),
		TAP(the_traced_are_told_why),
		TAP(files_grow_to_the_guests_limit),
		TAP(it_outlives_its_own_limit),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
