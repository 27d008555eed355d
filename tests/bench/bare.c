/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The floor: what config.json asks the kernel for, and nothing else. No JSON, no state, no cgroup,
 * no hooks, no check of anything. The lists are those of config.json beside this file.
 *
 *	bare BUNDLE FILTER
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(call)                    \
	do {                           \
		if ((call) < 0) {      \
			perror(#call); \
			_exit(126);    \
		}                      \
	} while (0)

static const struct {
	const char *source, *target, *type;
	unsigned long flags;
	const char *data;
} mounts[] = {
	{ "proc", "proc", "proc", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL },
	{ "tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k" },
	{ "sysfs", "sys", "sysfs", MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RDONLY, NULL },
	{ "devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
	  "newinstance,ptmxmode=0666,mode=0620,gid=5" },
	{ "mqueue", "dev/mqueue", "mqueue", MS_NOSUID | MS_NOEXEC | MS_NODEV, NULL },
	{ "../files/hosts", "etc/hosts", NULL, MS_BIND, NULL },
	{ "../files/resolv.conf", "etc/resolv.conf", NULL, MS_BIND, NULL },
	{ "../files/hostname", "etc/hostname", NULL, MS_BIND, NULL },
	{ "../files/containerenv", "run/.containerenv", NULL, MS_BIND, NULL },
	{ "shm", "dev/shm", "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, "mode=1777,size=65536k" },
};

static const struct {
	const char *path;
	unsigned major, minor;
} devices[] = {
	{ "dev/null", 1, 3 },   { "dev/zero", 1, 5 },    { "dev/full", 1, 7 },
	{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 },
};

static const char *const links[][2] = {
	{ "/proc/self/fd", "dev/fd" },       { "/proc/self/fd/0", "dev/stdin" },
	{ "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" },
	{ "pts/ptmx", "dev/ptmx" },
};

static const char *const masked_files[] = { "/proc/kcore", "/proc/keys", "/proc/timer_list" };
static const char *const masked_dirs[] = { "/proc/acpi", "/proc/scsi", "/sys/firmware",
					   "/sys/dev/block" };
static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
					"/proc/sysrq-trigger" };
static const int caps[] = { CAP_CHOWN,   CAP_DAC_OVERRIDE,     CAP_FOWNER,    CAP_FSETID,
			    CAP_KILL,    CAP_NET_BIND_SERVICE, CAP_SETFCAP,   CAP_SETGID,
			    CAP_SETPCAP, CAP_SETUID,           CAP_SYS_CHROOT };

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static void mount_all(void)
{
	static const char *const below_dev[] = { "dev/pts", "dev/mqueue", "dev/shm" };

	CHECK(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
	CHECK(mount(".", ".", NULL, MS_BIND | MS_REC, NULL));
	CHECK(chdir("../rootfs"));
	for (size_t i = 0; i < COUNT(mounts); i++) {
		CHECK(mount(mounts[i].source, mounts[i].target, mounts[i].type, mounts[i].flags,
			    mounts[i].data));
		for (size_t j = 0; i == 1 && j < COUNT(below_dev); j++)
			CHECK(mkdir(below_dev[j], 0755));
	}
	umask(0);
	for (size_t i = 0; i < COUNT(devices); i++)
		CHECK(mknod(devices[i].path, S_IFCHR | 0666,
			    makedev(devices[i].major, devices[i].minor)));
	for (size_t i = 0; i < COUNT(links); i++)
		CHECK(symlink(links[i][0], links[i][1]));
	umask(022);
	CHECK(syscall(SYS_pivot_root, ".", "."));
	CHECK(umount2(".", MNT_DETACH));
	CHECK(chdir("/"));
}

static void protect(void)
{
	for (size_t i = 0; i < COUNT(readonly); i++) {
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) < 0 &&
		    errno == ENOENT)
			continue;
		CHECK(mount(NULL, readonly[i], NULL,
			    MS_BIND | MS_REMOUNT | MS_RDONLY | MS_NOSUID | MS_NOEXEC | MS_NODEV,
			    NULL));
	}
	for (size_t i = 0; i < COUNT(masked_files); i++)
		if (mount("/dev/null", masked_files[i], NULL, MS_BIND, NULL) < 0 && errno != ENOENT)
			CHECK(-1);
	for (size_t i = 0; i < COUNT(masked_dirs); i++)
		if (mount("tmpfs", masked_dirs[i], "tmpfs", MS_RDONLY, "nr_blocks=1,nr_inodes=1") <
			    0 &&
		    errno != ENOENT)
			CHECK(-1);
}

static void drop_caps(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0 } };
	uint64_t mask = 0;

	for (size_t i = 0; i < COUNT(caps); i++)
		mask |= 1ULL << caps[i];
	for (int cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
		if (!(mask >> cap & 1))
			prctl(PR_CAPBSET_DROP, cap, 0, 0, 0);
	for (int i = 0; i < 2; i++)
		data[i].effective = data[i].permitted = (uint32_t)(mask >> (32 * i));
	CHECK(syscall(SYS_capset, &header, data));
}

static void child(const char *bundle, struct sock_fprog *program)
{
	static char *const argv[] = { (char *)"/bin/true", NULL };
	static char *const envp[] = { (char *)"PATH=/bin", NULL };

	CHECK(chdir(bundle));
	CHECK(chdir("rootfs"));
	CHECK(sethostname("bench", 5));
	mount_all();
	protect();
	CHECK(syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_SPEC_ALLOW,
		      program));
	drop_caps();
	execve(argv[0], argv, envp);
	CHECK(-1);
}

int main(int argc, char **argv)
{
	static struct sock_filter code[4096];
	struct sock_fprog program = { .filter = code };
	struct clone_args args = { .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC |
					    CLONE_NEWUTS | CLONE_NEWNET | CLONE_NEWCGROUP,
				   .exit_signal = SIGCHLD };
	int fd, status;
	ssize_t n;
	pid_t pid;

	if (argc != 3) {
		fprintf(stderr, "usage: bare BUNDLE FILTER\n");
		return 2;
	}
	fd = open(argv[2], O_RDONLY | O_CLOEXEC);
	n = read(fd, code, sizeof(code));
	if (fd < 0 || n <= 0) {
		perror(argv[2]);
		return 1;
	}
	program.len = (unsigned short)((size_t)n / sizeof(code[0]));
	pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0) {
		perror("clone3");
		return 1;
	}
	if (!pid)
		child(argv[1], &program);
	if (waitpid(pid, &status, 0) != pid)
		return 1;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
