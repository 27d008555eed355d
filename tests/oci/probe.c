/* SPDX-License-Identifier: Apache-2.0 */
/* Runs inside a container and prints what busybox can't tell. Static: the rootfs has no libc. */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct attr {
	uint32_t size, policy;
	uint64_t flags;
	int32_t nice;
	uint32_t priority;
	uint64_t runtime, deadline, period;
};

/* sched: policy, flags, nice, priority, runtime, deadline, period of sched_getattr(2) */
static int show_sched(char **args)
{
	struct attr a = { 0 };

	(void)args;
	if (syscall(SYS_sched_getattr, 0, &a, sizeof(a), 0))
		return 1;
	printf("policy=%u flags=%llu nice=%d priority=%u runtime=%llu deadline=%llu period=%llu\n",
	       a.policy, (unsigned long long)a.flags, a.nice, a.priority,
	       (unsigned long long)a.runtime, (unsigned long long)a.deadline,
	       (unsigned long long)a.period);
	return 0;
}

/* ioprio: class and level of ioprio_get(2) */
static int show_ioprio(char **args)
{
	long prio = syscall(SYS_ioprio_get, 1, 0);

	(void)args;
	printf("class=%ld level=%ld\n", prio >> 13, prio & 0x1fff);
	return prio < 0;
}

/* clocks: whole seconds of the monotonic and the boot clock */
static int show_clocks(char **args)
{
	struct timespec mono, boot;

	(void)args;
	if (clock_gettime(CLOCK_MONOTONIC, &mono) || clock_gettime(CLOCK_BOOTTIME, &boot))
		return 1;
	printf("monotonic=%lld boottime=%lld\n", (long long)mono.tv_sec, (long long)boot.tv_sec);
	return 0;
}

/* cwd: the kernel's answer, "(unreachable)" included */
static int show_cwd(char **args)
{
	char buf[4096];

	(void)args;
	if (syscall(SYS_getcwd, buf, sizeof(buf)) < 0) {
		printf("errno=%d\n", errno);
		return 1;
	}
	puts(buf);
	return 0;
}

/* fds: every open descriptor with what it stands for */
static int show_fds(char **args)
{
	char path[64], target[4096];

	(void)args;
	for (int fd = 0; fd < 1024; fd++) {
		ssize_t n;

		if (fcntl(fd, F_GETFD) < 0)
			continue;
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, target, sizeof(target) - 1);
		printf("%d %.*s\n", fd, n < 0 ? 1 : (int)n, n < 0 ? "?" : target);
	}
	return 0;
}

/* personality: the number */
static int show_personality(char **args)
{
	(void)args;
	printf("0x%x\n", (unsigned)personality(0xffffffff));
	return 0;
}

/* mempolicy: mode and first word of the nodes of get_mempolicy(2) */
static int show_mempolicy(char **args)
{
	int mode = -1;
	unsigned long nodes[16] = { 0 };

	(void)args;
	if (syscall(SYS_get_mempolicy, &mode, nodes, sizeof(nodes) * 8, NULL, 0)) {
		printf("errno=%d\n", errno);
		return 1;
	}
	printf("mode=%d nodes=0x%lx\n", mode, nodes[0]);
	return 0;
}

/* open PATH r|w: errno of open(2), 0 where it works */
static int show_open(char **args)
{
	int fd = open(args[0], (args[1][0] == 'w' ? O_WRONLY : O_RDONLY) | O_CLOEXEC | O_NOCTTY);

	printf("errno=%d\n", fd < 0 ? errno : 0);
	return 0;
}

/* mknod PATH c|b MAJOR MINOR: errno of mknod(2) */
static int show_mknod(char **args)
{
	mode_t type = args[1][0] == 'c' ? S_IFCHR : S_IFBLK;
	int ret = mknod(args[0], type | 0600, makedev(atoi(args[2]), atoi(args[3])));

	printf("errno=%d\n", ret ? errno : 0);
	return 0;
}

/* chmod PATH MODE: errno of chmod(2), without a look at it before */
static int show_chmod(char **args)
{
	printf("errno=%d\n", chmod(args[0], (mode_t)strtoul(args[1], NULL, 8)) ? errno : 0);
	return 0;
}

/* call NR [ARGUMENT]...: result and errno of a system call */
static int show_call(char **args)
{
	long a[6] = { 0 }, ret;
	long nr = strtol(args[0], NULL, 0);

	for (int i = 0; i < 6 && args[i + 1]; i++)
		a[i] = strtol(args[i + 1], NULL, 0);
	errno = 0;
	ret = syscall(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
	printf("ret=%ld errno=%d\n", ret, ret < 0 ? errno : 0);
	return 0;
}

/* mount: errno of mounting a tmpfs on /tmp */
static int show_mount(char **args)
{
	(void)args;
	printf("errno=%d\n", mount("none", "/tmp", "tmpfs", 0, NULL) ? errno : 0);
	return 0;
}

/* keyring: the description of the session keyring */
static int show_keyring(char **args)
{
	char text[256] = "";
	long n = syscall(SYS_keyctl, 6 /* KEYCTL_DESCRIBE */, -3 /* session */, text,
			 sizeof(text) - 1, 0);

	(void)args;
	printf("%s\n", n < 0 ? "none" : text);
	return 0;
}

/* tty: whether standard input is the controlling terminal of this session */
static int show_tty(char **args)
{
	int fd = open("/dev/tty", O_RDWR | O_CLOEXEC);
	struct stat in = { 0 }, console = { 0 };

	(void)args;
	fstat(0, &in);
	stat("/dev/console", &console);
	printf("tty=%d controlling=%d leader=%d console=%d owner=%u\n", isatty(0), fd >= 0,
	       getsid(0) == getpid(), in.st_rdev == console.st_rdev, in.st_uid);
	return 0;
}

/* ambient: capabilities in the ambient set, as a mask */
static int show_ambient(char **args)
{
	unsigned long long mask = 0;

	(void)args;
	for (int cap = 0; cap < 64; cap++)
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, cap, 0, 0) == 1)
			mask |= 1ULL << cap;
	printf("%llx\n", mask);
	return 0;
}

/* notify: standard input as one datagram to NOTIFY_SOCKET */
static int send_notify(char **args)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	const char *path = getenv("NOTIFY_SOCKET");
	int sock = socket(AF_UNIX, SOCK_DGRAM, 0);
	char text[4096];
	ssize_t n = read(0, text, sizeof(text));

	(void)args;
	if (!path || n <= 0 || strlen(path) >= sizeof(addr.sun_path))
		return 1;
	strcpy(addr.sun_path, path);
	return sendto(sock, text, (size_t)n, 0, (struct sockaddr *)&addr, sizeof(addr)) != n;
}

/* stat PATH: mode, owner and device numbers of a file, links not followed */
static int show_stat(char **args)
{
	struct stat st;

	if (lstat(args[0], &st)) {
		printf("errno=%d\n", errno);
		return 1;
	}
	printf("mode=%o uid=%u gid=%u rdev=%u:%u\n", st.st_mode, st.st_uid, st.st_gid,
	       major(st.st_rdev), minor(st.st_rdev));
	return 0;
}

/* Writes a file's first byte over itself: harmless, and proof that it can be written. */
static int rewritable(const char *path)
{
	char byte;
	int in = open(path, O_RDONLY | O_CLOEXEC), out = open(path, O_WRONLY | O_CLOEXEC);
	int done =
		in >= 0 && out >= 0 && pread(in, &byte, 1, 0) == 1 && pwrite(out, &byte, 1, 0) == 1;

	close(in);
	close(out);
	return done;
}

/* rewrite: tries for 3 seconds to write to what descriptors 3 to 9 stand for */
static int show_rewrite(char **args)
{
	char path[64];

	(void)args;
	for (int i = 0; i < 300; i++) {
		for (int fd = 3; fd < 10; fd++) {
			snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
			if (rewritable(path)) {
				puts("REWRITTEN");
				return 0;
			}
		}
		usleep(10000);
	}
	puts("not rewritten");
	return 0;
}

/* What a process that has just come into the container lets others reach. */
static void spy_on(pid_t pid)
{
	char path[64], target[4096];
	struct stat st, root;
	ssize_t n;

	if (stat("/", &root))
		return;
	for (int fd = -2; fd < 40; fd++) {
		int at;

		if (fd == -2)
			snprintf(path, sizeof(path), "/proc/%d/cwd", pid);
		else if (fd == -1)
			snprintf(path, sizeof(path), "/proc/%d/root", pid);
		else
			snprintf(path, sizeof(path), "/proc/%d/fd/%d", pid, fd);
		at = open(path, O_PATH | O_CLOEXEC);
		if (at < 0)
			continue;
		if (!fstat(at, &st) && S_ISDIR(st.st_mode) &&
		    (st.st_dev != root.st_dev || st.st_ino != root.st_ino)) {
			n = readlink(path, target, sizeof(target) - 1);
			printf("DIRECTORY %s %.*s\n", path, n < 0 ? 0 : (int)n, target);
		}
		close(at);
	}
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, target, sizeof(target) - 1);
	if (n >= 0 && strncmp(target, "/bin/", 5)) {
		if (rewritable(path))
			printf("REWRITTEN %.*s\n", (int)n, target);
		if (!ptrace(PTRACE_SEIZE, pid, 0, 0)) {
			printf("TRACED %.*s\n", (int)n, target);
			ptrace(PTRACE_DETACH, pid, 0, 0);
		}
	}
}

/* spy MILLISECONDS: watches for processes besides this one and its parents, and prints what
 * leaks */
static int show_spy(char **args)
{
	struct timespec now, end;
	pid_t self = getpid();
	long seen = 0;

	clock_gettime(CLOCK_MONOTONIC, &end);
	end.tv_sec += atoi(args[0]) / 1000;
	puts("watching");
	fflush(stdout);
	do {
		for (pid_t pid = self + 1; pid < self + 400; pid++) {
			if (kill(pid, 0) && errno == ESRCH)
				continue;
			seen++;
			spy_on(pid);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec < end.tv_sec);
	printf("seen %ld\n", seen);
	return 0;
}

/* Changes what a descriptor that only reads is of, and prints what it and the name show then. */
static int change(int fd, const char *path)
{
	const struct timespec times[2] = { { .tv_sec = 1000 }, { .tv_sec = 2000 } };
	struct stat st, named;

	if (fd < 0 || fchmod(fd, 0601) || fchown(fd, getuid(), getgid()) || futimens(fd, times) ||
	    fstat(fd, &st) || stat(path, &named)) {
		printf("errno=%d\n", errno);
		return 1;
	}
	printf("mode=%o time=%ld same=%d\n", st.st_mode, (long)st.st_mtime,
	       st.st_ino == named.st_ino && st.st_mode == named.st_mode &&
		       st.st_mtime == named.st_mtime);
	return 0;
}

/* change PATH */
static int show_change(char **args)
{
	return change(open(args[0], O_RDONLY | O_CLOEXEC), args[0]);
}

/* swap UPPER LOWER: changes a descriptor a thousand times while another process puts the one or the
 * other file in its place; prints how many times it could not */
static int show_swap(char **args)
{
	int upper = open(args[0], O_RDONLY), lower = open(args[1], O_RDONLY), at = dup(upper);
	int refused = 0;
	pid_t pid = (pid_t)syscall(SYS_clone, CLONE_FILES | SIGCHLD, 0, 0, 0, 0);

	while (pid == 0) {
		dup2(lower, at);
		dup2(upper, at);
	}
	for (int i = 0; pid > 0 && i < 1000; i++)
		refused += fchmod(at, 0600) != 0 && errno == EROFS;
	kill(pid, SIGKILL);
	printf("refused %d\n", refused);
	return pid < 0;
}

/* absent FILE: makes the file, and asks for one whose name lies in memory that it never provides;
 * where there is no such memory to be had FILE says so */
static int show_absent(char **args)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC), file;
	struct uffdio_api api = { .api = UFFD_API };
	char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct uffdio_register area = {
		.range = { (uintptr_t)page, 4096 },
		.mode = UFFDIO_REGISTER_MODE_MISSING,
	};
	bool has = fd >= 0 && ioctl(fd, UFFDIO_API, &api) == 0 &&
		   ioctl(fd, UFFDIO_REGISTER, &area) == 0;

	file = open(args[0], O_WRONLY | O_CREAT, 0644);
	if (file < 0 || (!has && write(file, "none\n", 5) != 5))
		return 1;
	return has ? access(page, F_OK) : 0;
}

static const struct {
	const char *name;
	int args;
	int (*run)(char **args);
} probes[] = {
	{ "sched", 0, show_sched },
	{ "ioprio", 0, show_ioprio },
	{ "clocks", 0, show_clocks },
	{ "cwd", 0, show_cwd },
	{ "fds", 0, show_fds },
	{ "personality", 0, show_personality },
	{ "mempolicy", 0, show_mempolicy },
	{ "open", 2, show_open },
	{ "mknod", 4, show_mknod },
	{ "chmod", 2, show_chmod },
	{ "call", 1, show_call },
	{ "mount", 0, show_mount },
	{ "keyring", 0, show_keyring },
	{ "tty", 0, show_tty },
	{ "ambient", 0, show_ambient },
	{ "stat", 1, show_stat },
	{ "notify", 0, send_notify },
	{ "rewrite", 0, show_rewrite },
	{ "spy", 1, show_spy },
	{ "change", 1, show_change },
	{ "swap", 2, show_swap },
	{ "absent", 1, show_absent },
};

int main(int argc, char **argv)
{
	for (size_t i = 0; argc > 1 && i < sizeof(probes) / sizeof(probes[0]); i++)
		if (!strcmp(argv[1], probes[i].name) && argc - 2 >= probes[i].args)
			return probes[i].run(argv + 2);
	fprintf(stderr, "probe: unknown: %s\n", argc > 1 ? argv[1] : "nothing");
	return 99;
}
