/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/cred.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/keyctl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/names.h"
#include "base/str.h"
#include "base/sys.h"

#define KEY_UID_SEARCH 0x00080000 /* keyctl_setperm(3): the possessor's user may search */
#define PASSWD_MAX (1024 * 1024)

static int capset_now(uint64_t effective, uint64_t permitted, uint64_t inheritable)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = {
		{ (uint32_t)effective, (uint32_t)permitted, (uint32_t)inheritable },
		{ (uint32_t)(effective >> 32), (uint32_t)(permitted >> 32),
		  (uint32_t)(inheritable >> 32) },
	};

	return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

bool cred_may_mount(const struct cred_plan *p)
{
	const uint64_t admin = 1ull << CAP_SYS_ADMIN;

	return !p->caps.set || p->caps.permitted & admin ||
	       (p->caps.bounding & admin && !p->no_new_privs);
}

bool cred_has(int cap)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return false;
	return (data[cap / 32].effective & 1u << cap % 32) != 0;
}

static uint64_t permitted_now(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { 0 };

	if (syscall(SYS_capget, &head, data) < 0)
		return 0;
	return data[0].permitted | (uint64_t)data[1].permitted << 32;
}

static int drop_bounding(uint64_t keep)
{
	for (int cap = 0; cap < 64; cap++) {
		if (keep & 1ull << cap)
			continue;
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0) {
			if (errno == EINVAL)
				return 0; /* past the kernel's last */
			return fail_errno("drop %s from the bounding set", name_of_capability(cap));
		}
	}
	return 0;
}

static int set_ids(const struct cred_plan *p)
{
	if (!p->keep_groups && setgroups(p->n_groups, p->groups) < 0) {
		/* a user namespace without privilege can't; it has no groups to give either */
		if (errno != EPERM || p->n_groups)
			return fail_errno(
				"set the supplementary groups (process.user.additionalGids)");
	}
	if (setresgid(p->gid, p->gid, p->gid) < 0)
		return errno == EINVAL
			       ? fail(EINVAL, "cannot setgid to unmapped gid %u in user namespace",
				      p->gid)
			       : fail_errno("set the group id %u", p->gid);
	if (setresuid(p->uid, p->uid, p->uid) < 0)
		return errno == EINVAL
			       ? fail(EINVAL, "cannot setuid to unmapped uid %u in user namespace",
				      p->uid)
			       : fail_errno("set the user id %u", p->uid);
	return 0;
}

static int raise_ambient(const struct cred_plan *p)
{
	if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) < 0 && errno != EINVAL)
		return fail_errno("clear the ambient capabilities");
	for (int cap = 0; cap < 64; cap++) {
		if (!(p->caps.ambient & 1ull << cap))
			continue;
		/* one that isn't permitted and inheritable too can't be had: the spec wants no
		 * error */
		if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0) < 0 && errno != EPERM)
			return fail_errno("raise the ambient capability %s",
					  name_of_capability(cap));
	}
	return 0;
}

int cred_drop(const struct cred_plan *p, uint64_t keep)
{
	uint64_t have = permitted_now();
	int ret;

	if (p->caps.set) {
		/* no program can give what is bounded to one that has no_new_privs */
		ret = cred_has(CAP_SETPCAP) || prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1
			      ? drop_bounding(p->caps.bounding)
			      : 0;
		if (ret)
			return ret;
	}
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0)
		return fail_errno("keep capabilities over the change of user");
	ret = set_ids(p);
	if (ret)
		return ret;
	if (p->has_umask)
		umask(p->umask);
	if (p->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return fail_errno("set no_new_privs");
	/* what the runtime itself was not given can't be handed on: no error, says the spec */
	ret = p->caps.set
		      ? capset_now((p->caps.effective & p->caps.permitted & have) | (keep & have),
				   (p->caps.permitted & have) | (keep & have),
				   p->caps.inheritable & have)
		      : 0;
	if (ret)
		return fail(-ret, "set the capabilities: %s", err_reason(-ret));
	return p->caps.set ? raise_ambient(p) : 0;
}

int cred_finish(const struct cred_plan *p)
{
	uint64_t have = permitted_now();
	int ret;

	if (!p->caps.set)
		return 0;
	ret = capset_now(p->caps.effective & p->caps.permitted & have, p->caps.permitted & have,
			 p->caps.inheritable & have);
	return ret ? fail(-ret,
			  "set the final capabilities (the seccomp profile must allow capset): %s",
			  err_reason(-ret))
		   : 0;
}

static int put_label(int proc, const char *const *files, size_t n, const char *text,
		     const char *what)
{
	char self[32], path[96];
	struct statfs fs;
	auto_fd fd = -1;
	ssize_t len = readlinkat(proc, "self", self, sizeof(self) - 1);
	int ret = -ENOENT;

	if (len < 0)
		return fail_errno("set the %s label: look at /proc/self", what);
	self[len] = '\0';
	for (size_t i = 0; i < n && ret == -ENOENT; i++) {
		snprintf(path, sizeof(path), "%s/attr/%s", self, files[i]);
		fd = fd_open(proc, path, O_WRONLY, 0,
			     RESOLVE_BENEATH | RESOLVE_NO_XDEV | RESOLVE_NO_SYMLINKS);
		ret = fd < 0 ? fd : 0;
	}
	if (ret)
		return fail(-ret, "set the %s label %s: %s", what, text, err_reason(-ret));
	if (fstatfs(fd, &fs) < 0 || fs.f_type != PROC_SUPER_MAGIC)
		return fail(EPERM, "set the %s label: the file is not of a procfs", what);
	ret = fd_write_all(fd, text, strlen(text));
	return ret ? fail(-ret, "set the %s label %s: %s", what, text, err_reason(-ret)) : 0;
}

/* True where a line of the file ends with the word. */
static bool file_lists(int dir, const char *file, const char *word)
{
	auto_fd fd = openat(dir, file, O_RDONLY | O_CLOEXEC);
	size_t len = strlen(word);
	char buf[8192];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n < 0)
		return false;
	buf[n] = '\0';
	for (const char *p = strstr(buf, word); p; p = strstr(p + 1, word))
		if ((p == buf || p[-1] == '\t' || p[-1] == '\n') &&
		    (p[len] == '\n' || p[len] == '\0'))
			return true;
	return false;
}

struct cred_modules cred_modules(int proc)
{
	return (struct cred_modules){
		/* registered only where SELinux is switched on */
		.selinux = file_lists(proc, "filesystems", "selinuxfs"),
		.apparmor = file_lists(AT_FDCWD, "/sys/module/apparmor/parameters/enabled", "Y"),
	};
}

/* proc_pid_attr(5): to change at once is asked for in other words, of another file. */
static const struct {
	const char *apparmor[2], *selinux[1], *verb;
} label_ways[] = {
	[CRED_LABEL_AT_EXEC] = { { "apparmor/exec", "exec" }, { "exec" }, "exec" },
	[CRED_LABEL_NOW] = { { "apparmor/current", "current" }, { "current" }, "changeprofile" },
};

int cred_label(const struct cred_plan *p, const struct cred_modules *modules, int proc,
	       enum cred_label_when when)
{
	char text[512];
	int ret;

	if (p->apparmor && *p->apparmor && strcmp(p->apparmor, "unconfined") != 0) {
		if (!modules->apparmor)
			return fail(ENOTSUP,
				    "process.apparmorProfile is %s but this kernel has no AppArmor",
				    p->apparmor);
		snprintf(text, sizeof(text), "%s %s", label_ways[when].verb, p->apparmor);
		ret = put_label(proc, label_ways[when].apparmor, 2, text, "AppArmor");
		if (ret)
			return ret;
	}
	if (!p->selinux || !*p->selinux || !modules->selinux)
		return 0; /* engines hand labels to kernels without SELinux too */
	return put_label(proc, label_ways[when].selinux, 1, p->selinux, "SELinux");
}

int cred_join_keyring(const char *name)
{
	long key = sys_keyctl(KEYCTL_JOIN_SESSION_KEYRING, (unsigned long)name, 0, 0, 0);
	const char *shown = name ? name : "of its own";
	char text[256];
	unsigned perm;
	int owner;

	if (key < 0)
		return errno == ENOSYS ? 0 : fail_errno("join the session keyring %s", shown);
	if (sys_keyctl(KEYCTL_DESCRIBE, (unsigned long)key, (unsigned long)text, sizeof(text), 0) <
	    0)
		return fail_errno("look at the session keyring %s", shown);
	/* "type;uid;gid;perm;description" */
	if (sscanf(text, "%*[^;];%d;%*d;%x;", &owner, &perm) != 2)
		return fail(EPROTO, "the kernel describes the session keyring as %s", text);
	/* anybody may have made one of that name, for us to put our keys into */
	if (name && owner != (int)geteuid())
		return cred_join_keyring(NULL);
	if (sys_keyctl(KEYCTL_SETPERM, (unsigned long)key, perm | KEY_UID_SEARCH, 0, 0) < 0)
		return fail_errno("let processes search the session keyring %s", shown);
	return 0;
}

/* name:password:uid:gid:comment:home:shell, passwd(5) */
static bool home_of_line(char *line, uid_t uid, char *out, size_t size)
{
	char *field[7] = { line };
	uint64_t id;
	size_t n = 1;

	for (char *p = line; *p && n < 7; p++) {
		if (*p != ':')
			continue;
		*p = '\0';
		field[n++] = p + 1;
	}
	if (n < 7 || num_u64(field[2], 0, UINT32_MAX, &id) || id != uid)
		return false;
	return (size_t)snprintf(out, size, "%s", field[5]) < size;
}

bool cred_home(int passwd, uid_t uid, char *out, size_t size)
{
	char buf[4096];
	size_t have = 0, total = 0;
	bool inside = false; /* a line whose beginning did not fit and was dropped */
	char *end;
	ssize_t n;

	/* the file is the container's: read in bounded pieces, lines longer than the buffer
	 * ignored */
	while (total < PASSWD_MAX && (n = read(passwd, buf + have, sizeof(buf) - 1 - have)) > 0) {
		total += (size_t)n;
		have += (size_t)n;
		buf[have] = '\0';
		while ((end = memchr(buf, '\n', have))) {
			*end = '\0';
			if (!inside && home_of_line(buf, uid, out, size))
				return true;
			inside = false;
			have -= (size_t)(end + 1 - buf);
			memmove(buf, end + 1, have + 1);
		}
		if (have == sizeof(buf) - 1) {
			inside = true;
			have = 0;
		}
	}
	buf[have] = '\0';
	return have && !inside && home_of_line(buf, uid, out, size);
}
