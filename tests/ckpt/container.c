/* SPDX-License-Identifier: Apache-2.0 */
/* What belongs to the container as a whole: its names, its message queues, its mounts. */
#include <errno.h>
#include <fcntl.h>
#include <mqueue.h>
#include <signal.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cycle.h"

static void host_name(void)
{
	struct utsname name;

	if (sethostname("changed", 7) < 0)
		cycle_skip("no right to change the host name: %s", strerror(errno));
	must(setdomainname("domain.example", 14));
	cycle();
	must(uname(&name));
	check(strcmp(name.nodename, "changed") == 0, "\"%s\"", name.nodename);
	check(strcmp(name.domainname, "domain.example") == 0, "\"%s\"", name.domainname);
}

static void wants(mqd_t q, const char *text, unsigned priority)
{
	char buf[64] = "";
	unsigned got = 0;
	ssize_t n = mq_receive(q, buf, sizeof(buf), &got);

	check(n == (ssize_t)strlen(text) && memcmp(buf, text, strlen(text)) == 0 && got == priority,
	      "received %zd bytes \"%s\" of priority %u, errno %d", n, buf, got, errno);
}

static void queues(void)
{
	struct mq_attr attr = { .mq_maxmsg = 5, .mq_msgsize = 64 }, is;
	mqd_t q, other, empty;
	struct stat st;

	q = mq_open("/queue", O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
	if (q < 0)
		cycle_skip("no message queues: %s", strerror(errno));
	other = (mqd_t)must(mq_open("/queue", O_RDONLY | O_NONBLOCK));
	empty = (mqd_t)must(
		mq_open("/empty", O_CREAT | O_EXCL | O_RDONLY | O_NONBLOCK, 0640, NULL));
	must(fchmod(empty, 0604));
	must(mq_send(q, "low", 3, 1));
	must(mq_send(q, "high", 4, 9));
	must(mq_send(q, "low again", 9, 1));
	must(mq_send(q, "", 0, 5));
	cycle();
	must(mq_getattr(other, &is));
	check(is.mq_maxmsg == 5 && is.mq_msgsize == 64 && is.mq_curmsgs == 4 &&
		      is.mq_flags == O_NONBLOCK,
	      "%ld messages of %ld, %ld bytes, flags 0x%lx", is.mq_curmsgs, is.mq_maxmsg,
	      is.mq_msgsize, is.mq_flags);
	must(mq_getattr(q, &is));
	check(is.mq_flags == 0, "flags 0x%lx", is.mq_flags);
	wants(other, "high", 9);
	wants(q, "", 5);
	wants(other, "low", 1);
	wants(q, "low again", 1);
	must(fstat(empty, &st));
	check((st.st_mode & 07777) == 0604, "mode 0%o", (unsigned)st.st_mode);
	check(mq_receive(other, (char[64]){ 0 }, 64, NULL) < 0 && errno == EAGAIN,
	      "a message more");
	check(mq_unlink("/queue") == 0 && mq_unlink("/empty") == 0, "unlink: %s", strerror(errno));
}

/* Whom a message would wake can't be saved. */
static void notified(void)
{
	struct sigevent event = { .sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGUSR1 };
	mqd_t q = mq_open("/notified", O_CREAT | O_EXCL | O_RDWR, 0600, NULL);

	if (q < 0)
		cycle_skip("no message queues: %s", strerror(errno));
	must(mq_notify(q, &event));
	cycle();
}

/* Since Linux 5.10: MS_NOSYMFOLLOW and what statfs(2) tells of it */
#define NO_LINKS 256
#define HAS_NO_LINKS 0x2000

static void put(const char *path, const char *text)
{
	int fd = (int)must(open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));

	must(write(fd, text, strlen(text)));
	close(fd);
}

static void check_text(const char *path, const char *text)
{
	char buf[64];

	cycle_read(path, buf, sizeof(buf));
	check(strcmp(buf, text) == 0, "%s: \"%s\"", path, buf);
}

static void may_mount(void)
{
	must(mkdir("/cycle/memory", 0755));
	if (mount("none", "/cycle/memory", "tmpfs", MS_NOSUID | MS_NODEV, "size=1m") < 0)
		cycle_skip("no right to mount: %s", strerror(errno));
}

/* Mounts of the container's own: in memory, of the kernel, of another place, one in the other. */
static void mounts(void)
{
	struct statvfs fs;
	struct statfs bound;

	may_mount();
	put("/cycle/memory/file", "in memory");
	must(mkdir("/cycle/memory/deep", 0700));
	must(mount("none", "/cycle/memory/deep", "tmpfs", 0, NULL));
	put("/cycle/memory/deep/file", "deeper");
	must(mkdir("/cycle/dir", 0755));
	put("/cycle/dir/file", "on disk");
	must(mkdir("/cycle/bound", 0755));
	must(mount("/cycle/dir", "/cycle/bound", NULL, MS_BIND, NULL));
	must(mount(NULL, "/cycle/bound", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | NO_LINKS, NULL));
	put("/dev/shm/bound", "");
	must(mount("/cycle/memory/file", "/dev/shm/bound", NULL, MS_BIND, NULL));
	put("/dev/shm/kept", "kept");
	must(mount(NULL, "/dev/shm", NULL,
		   MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL));
	cycle();
	check_text("/cycle/memory/file", "in memory");
	check_text("/cycle/memory/deep/file", "deeper");
	check_text("/cycle/bound/file", "on disk");
	check_text("/dev/shm/bound", "in memory");
	check_text("/dev/shm/kept", "kept");
	must(statfs("/cycle/bound", &bound));
	check(bound.f_flags & HAS_NO_LINKS, "links are followed: 0x%lx", (long)bound.f_flags);
	must(statvfs("/cycle/memory", &fs));
	check(fs.f_blocks * fs.f_frsize == 1 << 20, "%lu bytes",
	      (unsigned long)(fs.f_blocks * fs.f_frsize));
	check((fs.f_flag & (ST_NOSUID | ST_NODEV | ST_RDONLY)) == (ST_NOSUID | ST_NODEV),
	      "flags 0x%lx", fs.f_flag);
	check(open("/cycle/bound/new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS,
	      "the bind mount can be written to");
	check(open("/dev/shm/new", O_WRONLY | O_CREAT, 0600) < 0 && errno == EROFS,
	      "what was remounted read-only can be written to");
}

/* Over files in memory, that nobody sees any more; over a place that has none; over all of it. */
static void mounts_over(void)
{
	may_mount();
	must(mkdir("/cycle/memory/deep", 0700));
	put("/cycle/memory/deep/hidden", "hidden");
	must(mount("none", "/cycle/memory/deep", "tmpfs", 0, NULL));
	cycle();
	must(umount("/cycle/memory/deep"));
	check_text("/cycle/memory/deep/hidden", "hidden");
}

static void mounts_over_all(void)
{
	may_mount();
	put("/dev/shm/hidden", "hidden");
	must(mount("none", "/dev/shm", "tmpfs", 0, NULL));
	put("/dev/shm/seen", "seen");
	cycle();
	check_text("/dev/shm/seen", "seen");
	must(umount("/dev/shm"));
	check_text("/dev/shm/hidden", "hidden");
}

static void mounts_removed(void)
{
	may_mount();
	must(umount2("/dev/mqueue", 0));
	cycle();
}

static void mounts_weaker(void)
{
	may_mount();
	must(mount(NULL, "/dev/shm", NULL, MS_REMOUNT | MS_BIND | MS_NOSUID | MS_NODEV, NULL));
	cycle();
}

static void mounts_other(void)
{
	may_mount();
	must(mkdir("/cycle/pts", 0755));
	must(mount("none", "/cycle/pts", "devpts", 0, "newinstance"));
	cycle();
}

const struct cycle_case container_cases[] = {
	{ "host-name", host_name },           { "queues", queues },
	{ "queues-notified", notified },      { "mounts", mounts },
	{ "mounts-over", mounts_over },       { "mounts-over-all", mounts_over_all },
	{ "mounts-removed", mounts_removed }, { "mounts-weaker", mounts_weaker },
	{ "mounts-other", mounts_other },     { NULL, NULL },
};
