/* SPDX-License-Identifier: Apache-2.0 */
#include "super/guest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"

#define BIT(cap) ((uint64_t)1 << (cap))

/* What file systems ask for: capabilities(7). */
#define FILE_CAPS                                                                                  \
	(BIT(CAP_CHOWN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_DAC_READ_SEARCH) | BIT(CAP_FOWNER) |     \
	 BIT(CAP_FSETID) | BIT(CAP_LINUX_IMMUTABLE) | BIT(CAP_SYS_ADMIN) | BIT(CAP_SYS_RESOURCE) | \
	 BIT(CAP_MKNOD) | BIT(CAP_LEASE) | BIT(CAP_SETFCAP))

#define STATUS_MAX (32 * 1024) /* the text of GUEST_GROUPS_MAX groups and what else there is */
#define LEVELS_MAX 33          /* of pid namespaces: pid_namespaces(7) */

struct guest_cred {
	uid_t uid;
	gid_t gid;
	mode_t umask;
	uint64_t caps; /* of FILE_CAPS */
	size_t n_groups;
	gid_t groups[GUEST_GROUPS_MAX];
};

/* The credentials of this process: what it has by itself, and what is in effect. */
static struct {
	bool known, acting;
	uint64_t effective, permitted, inheritable; /* by itself */
	char user[64];                              /* its user namespace */
	struct guest_cred own, now, thread;
} self;

static int get_caps(void)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	if (syscall(SYS_capget, &h, d) < 0)
		return -errno;
	self.effective = (uint64_t)d[1].effective << 32 | d[0].effective;
	self.permitted = (uint64_t)d[1].permitted << 32 | d[0].permitted;
	self.inheritable = (uint64_t)d[1].inheritable << 32 | d[0].inheritable;
	return 0;
}

static int set_effective(uint64_t caps)
{
	struct __user_cap_header_struct h = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct d[2];

	for (int i = 0; i < 2; i++) {
		d[i].effective = (uint32_t)(caps >> 32 * i);
		d[i].permitted = (uint32_t)(self.permitted >> 32 * i);
		d[i].inheritable = (uint32_t)(self.inheritable >> 32 * i);
	}
	return syscall(SYS_capset, &h, d) < 0 ? -errno : 0;
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
	own->caps = self.effective & FILE_CAPS;
	self.now = *own;
	self.known = true;
	return 0;
}

static bool same_groups(const struct guest_cred *a, const struct guest_cred *b)
{
	return a->n_groups == b->n_groups &&
	       memcmp(a->groups, b->groups, a->n_groups * sizeof(a->groups[0])) == 0;
}

static int set_ids(const struct guest_cred *to)
{
	if (!same_groups(to, &self.now) && syscall(SYS_setgroups, to->n_groups, to->groups) < 0)
		return -errno;
	if (to->gid != self.now.gid) {
		setfsgid(to->gid);
		if (file_gid() != to->gid)
			return -EPERM;
	}
	if (to->uid != self.now.uid) {
		setfsuid(to->uid);
		if (file_uid() != to->uid)
			return -EPERM;
	}
	return 0;
}

/* The kernel gives and takes capabilities itself where the user becomes root or ceases to be. */
static int take_on(const struct guest_cred *to)
{
	bool ids =
		to->uid != self.now.uid || to->gid != self.now.gid || !same_groups(to, &self.now);
	int ret = ids ? set_ids(to) : 0;

	if (!ret && (to->caps != self.now.caps || (ids && self.permitted)))
		ret = set_effective((self.effective & ~FILE_CAPS) | to->caps);
	if (!ret && to->umask != self.now.umask)
		umask(to->umask);
	if (ret)
		return ret;
	self.now.uid = to->uid;
	self.now.gid = to->gid;
	self.now.caps = to->caps;
	self.now.umask = to->umask;
	self.now.n_groups = to->n_groups;
	memcpy(self.now.groups, to->groups, to->n_groups * sizeof(to->groups[0]));
	return 0;
}

static int read_status(const struct notif *n, char text[STATUS_MAX])
{
	auto_fd fd = notif_proc_open(n, "status", O_RDONLY);
	size_t len = 0;
	ssize_t got = 1;

	if (fd < 0)
		return fd;
	while (got > 0 && len < STATUS_MAX - 1) {
		got = read(fd, text + len, STATUS_MAX - 1 - len);
		len += got > 0 ? (size_t)got : 0;
	}
	text[len] = '\0';
	return got < 0 ? -errno : got > 0 ? -EOVERFLOW : 0;
}

/* The values of a line; the name of the process, a line as well, can't hold a newline. */
static size_t values(const char *text, const char *key, int base, uint64_t *out, size_t max)
{
	const char *at = strstr(text, key);
	size_t n = 0;
	char *end;

	for (at += at ? strlen(key) : 0; at && n < max; at = end) {
		while (*at == ' ' || *at == '\t')
			at++;
		if (*at == '\n' || !*at)
			break;
		out[n] = strtoull(at, &end, base);
		if (end == at)
			break;
		n++;
	}
	return n;
}

static int parse_groups(const char *text, struct guest_cred *out)
{
	uint64_t v[GUEST_GROUPS_MAX + 1];
	size_t n = values(text, "\nGroups:", 10, v, GUEST_GROUPS_MAX + 1);

	if (n > GUEST_GROUPS_MAX)
		return -EOVERFLOW;
	for (size_t i = 0; i < n; i++)
		out->groups[i] = (gid_t)v[i];
	out->n_groups = n;
	return 0;
}

/* As the columns of a line of ids are: proc_pid_status(5). */
enum whose { REAL = 0, FILE_SYSTEM = 3 };

static int parse(const char *text, enum whose whose, struct guest_cred *out)
{
	uint64_t uid[4], gid[4], mask, caps;

	if (values(text, "\nUid:", 10, uid, 4) != 4 || values(text, "\nGid:", 10, gid, 4) != 4 ||
	    values(text, "\nUmask:", 8, &mask, 1) != 1 ||
	    values(text, "\nCapEff:", 16, &caps, 1) != 1)
		return -ESRCH;
	out->uid = (uid_t)uid[whose];
	out->gid = (gid_t)gid[whose];
	out->umask = (mode_t)mask;
	/* fs/open.c, access_override_creds(): root in earnest has all that it could take */
	if (whose == REAL && (out->uid || values(text, "\nCapPrm:", 16, &caps, 1) != 1))
		caps = 0;
	out->caps = caps & FILE_CAPS & self.permitted;
	return parse_groups(text, out);
}

/* In a user namespace of its own a thread has capabilities that are none in the container's. */
static int limit_caps(const struct notif *n, struct guest_cred *c)
{
	char user[sizeof(self.user)];
	ssize_t len;

	if (!c->caps)
		return 0;
	len = notif_proc_link(n, "ns/user", user, sizeof(user));
	if (len < 0)
		return (int)len;
	if (strcmp(user, self.user) != 0)
		c->caps = 0;
	return 0;
}

static int become(struct notif *n, enum whose whose)
{
	char text[STATUS_MAX];
	int ret = self.known ? 0 : know_self();

	if (!ret)
		ret = read_status(n, text);
	if (!ret)
		ret = parse(text, whose, &self.thread);
	if (!ret)
		ret = limit_caps(n, &self.thread);
	if (ret)
		return ret;
	self.acting = true;
	ret = take_on(&self.thread);
	if (ret)
		guest_leave();
	return ret;
}

int guest_become(struct notif *n)
{
	return become(n, FILE_SYSTEM);
}

int guest_become_real(struct notif *n)
{
	return become(n, REAL);
}

bool guest_acts(void)
{
	return self.acting;
}

void guest_leave(void)
{
	if (self.known)
		take_on(&self.own);
	self.acting = false;
}

bool guest_pause(void)
{
	bool acted = self.acting;

	guest_leave();
	return acted;
}

void guest_resume(bool acted)
{
	if (acted && take_on(&self.thread) == 0)
		self.acting = true;
}

int guest_root(const struct notif *n)
{
	return notif_proc_open(n, "root", O_PATH | O_DIRECTORY);
}

int guest_cwd(const struct notif *n)
{
	return notif_proc_open(n, "cwd", O_PATH | O_DIRECTORY);
}

/* The numbers of a process or thread from one pid namespace to its own: NStgid, NSpid. */
struct numbers {
	uint64_t v[LEVELS_MAX];
	size_t n;
};

static int read_numbers(int dir, const char *name, struct numbers *out_tgid,
			struct numbers *out_pid)
{
	auto_fd fd = openat(dir, name, O_RDONLY | O_CLOEXEC);
	char text[STATUS_MAX];
	ssize_t len = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

	if (len < 0)
		return -errno;
	text[len] = '\0';
	out_tgid->n = values(text, "\nNStgid:", 10, out_tgid->v, LEVELS_MAX);
	out_pid->n = values(text, "\nNSpid:", 10, out_pid->v, LEVELS_MAX);
	return out_tgid->n && out_tgid->n == out_pid->n ? 0 : -ENOENT;
}

static bool same_pid_namespace(const struct notif *n, int dir, const char *name)
{
	char own[64], other[64];
	ssize_t len = readlinkat(dir, name, other, sizeof(other) - 1);

	if (len < 0 || notif_proc_link(n, "ns/pid", own, sizeof(own)) < 0)
		return false;
	other[len] = '\0';
	return strcmp(own, other) == 0;
}

/* A process is known by its numbers from there on and its own namespace. */
static bool is_thread(const struct notif *n, int proc, const struct numbers *pid, size_t level)
{
	struct numbers tgids, pids;
	char name[64];

	snprintf(name, sizeof(name), "%llu/status", (unsigned long long)pid->v[level]);
	if (read_numbers(proc, name, &tgids, &pids) || pids.n != pid->n - level ||
	    memcmp(pids.v, pid->v + level, pids.n * sizeof(pids.v[0])) != 0)
		return false;
	snprintf(name, sizeof(name), "%llu/ns/pid", (unsigned long long)pid->v[level]);
	return same_pid_namespace(n, proc, name);
}

int guest_ids(const struct notif *n, int proc, pid_t *out_pid, pid_t *out_tid)
{
	auto_fd dir = notif_proc_open(n, ".", O_PATH | O_DIRECTORY);
	struct numbers tgid, pid;
	int ret = dir < 0 ? dir : read_numbers(dir, "status", &tgid, &pid);

	for (size_t level = 0; !ret && level < pid.n; level++) {
		if (!is_thread(n, proc, &pid, level))
			continue;
		*out_pid = (pid_t)tgid.v[level];
		*out_tid = (pid_t)pid.v[level];
		return 0;
	}
	return ret ? ret : -ENOENT;
}

int guest_join(const struct notif *n)
{
	auto_fd user = notif_proc_open(n, "ns/user", O_RDONLY);
	char link[64];
	ssize_t len;

	if (user < 0)
		return user;
	if (!self.known && know_self())
		return -EPERM;
	len = notif_proc_link(n, "ns/user", link, sizeof(link));
	if (len < 0)
		return (int)len;
	if (strcmp(link, self.user) == 0)
		return 0;
	guest_leave();
	if (setns(user, CLONE_NEWUSER) < 0)
		return -errno;
	/* who joins is not to be looked at by those who are there: ptrace(2) */
	prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
	return know_self();
}
