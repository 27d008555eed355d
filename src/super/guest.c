/* SPDX-License-Identifier: Apache-2.0 */
#include "super/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"
#include "super/guest_priv.h"

#define BIT(cap) ((uint64_t)1 << (cap))

/* What file systems ask for: capabilities(7). */
#define FILE_CAPS                                                                                  \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) |     \
	 BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_RESOURCE) | \
	 BIT(CAP_MKNOD) | BIT(CAP_LEASE) | BIT(CAP_SETFCAP))

#define NOBODY 65534

#define UNKNOWN_CAPS (~(uint64_t)0)

/* The credentials of this process: what it has by itself, and what is in effect. */
static struct {
	bool known, acting;
	bool lost;    /* neither of both */
	bool joined;  /* the container's user namespace */
	uid_t nobody; /* in it: who has no number there */
	uint64_t permitted, inheritable;
	char user[64]; /* its user namespace */
	struct guest_cred own, now, thread;
} self;

static int get_caps(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	self.own.caps = (uint64_t)d[1].effective << 32 | d[0].effective;
	self.permitted = (uint64_t)d[1].permitted << 32 | d[0].permitted;
	self.inheritable = (uint64_t)d[1].inheritable << 32 | d[0].inheritable;
	return 0;
}

static int set_caps(uint64_t effective)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	for (int i = 0; i < 2; i++) {
		d[i].effective = (uint32_t)(effective >> 32 * i);
		d[i].permitted = (uint32_t)(self.permitted >> 32 * i);
		d[i].inheritable = (uint32_t)(self.inheritable >> 32 * i);
	}
	if (syscall(SYS_capset, &h, d) < 0)
		return -errno;
	self.now.caps = effective;
	return 0;
}

/* A file system id that is none changes nothing, and the old one is told. */
static uid_t file_uid(void)
{
	return (uid_t)setfsuid((uid_t)-1);
}

static gid_t file_gid(void)
{
	return (gid_t)setfsgid((gid_t)-1);
}

static int know_self(void)
{
	struct guest_cred *own = &self.own;
	int n = getgroups(GUEST_GROUPS_MAX, own->groups), ret = n < 0 ? -errno : get_caps();
	ssize_t len;

	if (ret)
		return ret;
	len = readlink("/proc/self/ns/user", self.user, sizeof(self.user) - 1);
	if (len < 0)
		return -errno;
	self.user[len] = '\0';
	own->n_groups = (size_t)n;
	own->uid = file_uid();
	own->gid = file_gid();
	own->umask = umask(0);
	umask(own->umask);
	self.now = *own;
	self.known = true;
	return 0;
}

static int set_groups(const struct guest_cred *to)
{
	if (to->n_groups == self.now.n_groups &&
	    memcmp(to->groups, self.now.groups, to->n_groups * sizeof(to->groups[0])) == 0)
		return 0;
	/* not by libc's function, which asks all threads to do the same */
	if (syscall(SYS_setgroups, to->n_groups, to->groups) < 0)
		return -errno;
	self.now.n_groups = to->n_groups;
	memcpy(self.now.groups, to->groups, to->n_groups * sizeof(to->groups[0]));
	return 0;
}

static int set_gid(gid_t gid)
{
	if (gid == self.now.gid)
		return 0;
	setfsgid(gid);
	if (file_gid() != gid)
		return -EPERM;
	self.now.gid = gid;
	return 0;
}

/* The kernel gives and takes capabilities where the user becomes root for files, or ceases to
 * be. */
static int set_uid(uid_t uid)
{
	if (uid == self.now.uid)
		return 0;
	self.now.caps = UNKNOWN_CAPS;
	setfsuid(uid);
	if (file_uid() != uid)
		return -EPERM;
	self.now.uid = uid;
	return 0;
}

/* What is in effect besides FILE_CAPS stays: by it the others are changed, and tasks looked at. */
static int take_on(const struct guest_cred *to)
{
	uint64_t caps = (self.own.caps & ~FILE_CAPS) | (to->caps & FILE_CAPS & self.permitted);
	int ret = set_groups(to);

	if (!ret)
		ret = set_gid(to->gid);
	if (!ret)
		ret = set_uid(to->uid);
	if (!ret && caps != self.now.caps)
		ret = set_caps(caps);
	if (!ret && to->umask != self.now.umask)
		umask(to->umask);
	if (!ret)
		self.now.umask = to->umask;
	return ret;
}

static int become(struct notif *n, enum guest_whose whose)
{
	int ret = self.known ? 0 : know_self();

	if (!ret)
		ret = guest_read(n, whose, self.user, &self.thread);
	if (!ret)
		ret = take_on(&self.thread);
	self.acting = !ret;
	return ret;
}

int guest_become(struct notif *n)
{
	return become(n, GUEST_FILE_SYSTEM);
}

int guest_become_real(struct notif *n)
{
	return become(n, GUEST_REAL);
}

bool guest_acts(void)
{
	return self.acting;
}

bool guest_may_own(const struct stat *st, int cap)
{
	return st->st_uid == self.now.uid || self.now.caps & BIT(cap);
}

bool guest_is_nested(void)
{
	return self.thread.nested;
}

uid_t guest_uid(void)
{
	return self.now.uid;
}

/* proc_pid_get_link() of fs/proc/base.c: by the ids for files and the capabilities in effect, of
 * which the process must have no other ones. */
int guest_open_link(const struct notif *n, int dir, const char *name, bool confined)
{
	uint64_t caps = self.now.caps, less = caps & self.thread.caps;
	int ret = less == caps ? 0 : set_caps(less);
	auto_fd fd = -1;

	if (ret)
		return ret;
	fd = openat(dir, name, O_PATH | O_CLOEXEC);
	ret = fd < 0 ? -errno : 0;
	if (less != caps && set_caps(caps))
		ret = -EPERM;
	if (!ret && guest_is_beyond(n, dir, confined))
		ret = -EACCES;
	if (ret == -EACCES)
		return guest_open_own(n, dir, name, 0);
	return ret ? ret : fd_take(&fd);
}

void guest_leave(void)
{
	self.acting = false;
}

/* Some of one's, some of another's: with these nothing may be done, and what has been begun can't
 * be stopped everywhere. So it goes on as somebody who may do nothing. */
static void lose(int error)
{
	const struct guest_cred nobody = {
		.uid = self.nobody ? self.nobody : NOBODY,
		.gid = self.nobody ? self.nobody : NOBODY,
		.umask = 0777,
	};

	self.acting = false;
	self.lost = true;
	log_warning("a call is ended: the supervisor can't take on other credentials: %s",
		    err_reason(-error));
	if (take_on(&nobody) == 0)
		return;
	log_error("the supervisor ends: it has credentials that it can't lay off");
	_exit(1);
}

bool guest_is_lost(void)
{
	return self.lost;
}

int guest_recover(void)
{
	int ret = self.lost ? take_on(&self.own) : 0;

	self.lost = self.lost && ret;
	return ret;
}

bool guest_pause(void)
{
	bool acted = self.acting;
	int ret = self.known && !self.lost ? take_on(&self.own) : 0;

	self.acting = false;
	if (ret)
		lose(ret);
	return acted;
}

int guest_resume(bool acted)
{
	int ret = acted && !self.lost ? take_on(&self.thread) : 0;

	self.acting = acted && !self.lost && !ret;
	if (ret)
		lose(ret);
	return self.lost ? -EPERM : 0;
}

int guest_root(const struct notif *n)
{
	return notif_proc_open(n, "root", O_PATH | O_DIRECTORY);
}

int guest_cwd(const struct notif *n)
{
	return notif_proc_open(n, "cwd", O_PATH | O_DIRECTORY);
}

static unsigned long overflow_id(void)
{
	auto_fd fd = open("/proc/sys/kernel/overflowuid", O_RDONLY | O_CLOEXEC);
	char text[16] = "";

	return fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 ? NOBODY : strtoul(text, NULL, 10);
}

/*
 * Ids that the container hasn't are none that could be taken on again: then it is its root that
 * acts where no thread does. Groups likewise; where they may not be changed, no thread's differ.
 */
static int be_inside(void)
{
	struct guest_cred inside;
	int ret = know_self();

	self.joined = true;
	self.nobody = (uid_t)overflow_id();
	if (ret || geteuid() != self.nobody)
		return ret;
	inside = self.own;
	inside.uid = 0;
	inside.gid = 0;
	inside.n_groups = 0;
	ret = take_on(&inside);
	self.own = inside;
	return ret;
}

int guest_join(const struct notif *n)
{
	auto_fd user = notif_proc_open(n, "ns/user", O_RDONLY);
	char link[64];
	ssize_t len;
	int ret;

	if (user < 0)
		return user;
	ret = self.known ? 0 : know_self();
	len = ret ? ret : notif_proc_link(n, "ns/user", link, sizeof(link));
	if (len < 0)
		return (int)len;
	if (strcmp(link, self.user) == 0)
		return 0;
	guest_pause();
	if (setns(user, CLONE_NEWUSER) < 0)
		return -errno;
	/* who joins is not to be looked at by those who are there: ptrace(2) */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return be_inside();
}

bool guest_is_trusted(uid_t uid)
{
	return uid == geteuid() || uid == (self.joined ? self.nobody : 0);
}
