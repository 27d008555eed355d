/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/limits.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/str.h"
#include "super/layer_priv.h"

#define PROC_NAME 32
#define ORIGIN "user.overlay.thole.origin" /* an inode number, decimal */

static void proc_name(int fd, char out[PROC_NAME])
{
	snprintf(out, PROC_NAME, "/proc/self/fd/%d", fd);
}

bool layer_owns_xattr(const char *name)
{
	return str_starts(name, "user.overlay.") || str_starts(name, "trusted.overlay.");
}

/* What a file system or a security module keeps for itself is not copied where it doesn't let be:
 * cp(1) -a does the same. */
static int copy_xattr(const char *from, const char *to, const char *name)
{
	char value[XATTR_SIZE_MAX];
	ssize_t n = getxattr(from, name, value, sizeof(value));

	if (n < 0)
		return errno == ENODATA || errno == EPERM ? 0 : -errno;
	if (setxattr(to, name, value, (size_t)n, 0) == 0 || errno == EOPNOTSUPP)
		return 0;
	return errno == EPERM && !str_starts(name, "user.") ? 0 : -errno;
}

/* What a commit has to keep in step: a security module's labels are the place's own affair. */
static bool is_fact(const char *name)
{
	return !layer_owns_xattr(name) &&
	       (str_starts(name, "user.") || str_starts(name, "trusted.") ||
		str_starts(name, "system.posix_acl_") || strcmp(name, "security.capability") == 0);
}

static ssize_t list_xattrs(const char *path, char names[XATTR_LIST_MAX])
{
	ssize_t len = listxattr(path, names, XATTR_LIST_MAX);

	return len >= 0 ? len : errno == EOPNOTSUPP ? 0 : -errno;
}

/* Those that a directory's list for new files gave it. */
static int drop_others(const char *from, const char *to)
{
	char names[XATTR_LIST_MAX];
	ssize_t len = list_xattrs(to, names);

	for (char *name = names; name < names + len; name += strlen(name) + 1)
		if (is_fact(name) && getxattr(from, name, NULL, 0) < 0 &&
		    (errno == ENODATA || errno == EOPNOTSUPP) && removexattr(to, name) < 0)
			return -errno;
	return len < 0 ? (int)len : 0;
}

static int copy_xattrs(const char *from, const char *to)
{
	char names[XATTR_LIST_MAX];
	ssize_t len = list_xattrs(from, names);
	int ret = len < 0 ? (int)len : 0;

	for (char *name = names; name < names + len && !ret; name += strlen(name) + 1)
		if (!layer_owns_xattr(name))
			ret = copy_xattr(from, to, name);
	return ret ? ret : drop_others(from, to);
}

int layer_copy_xattrs(int from, int to)
{
	char from_name[PROC_NAME], to_name[PROC_NAME];

	proc_name(from, from_name);
	proc_name(to, to_name);
	return copy_xattrs(from_name, to_name);
}

/* Each of a's is one of b's; *out_n: how many there are. */
static int are_among(const char *a, const char *b, size_t *out_n)
{
	char names[XATTR_LIST_MAX], mine[XATTR_SIZE_MAX], other[XATTR_SIZE_MAX];
	ssize_t len = list_xattrs(a, names), n;

	*out_n = 0;
	for (char *name = names; name < names + len; name += strlen(name) + 1) {
		if (!is_fact(name))
			continue;
		n = getxattr(a, name, mine, sizeof(mine));
		if (n < 0)
			return -errno;
		if (getxattr(b, name, other, sizeof(other)) != n ||
		    memcmp(mine, other, (size_t)n) != 0)
			return 0;
		++*out_n;
	}
	return len < 0 ? (int)len : 1;
}

int layer_xattrs_differ(int a, int b)
{
	char a_name[PROC_NAME], b_name[PROC_NAME];
	size_t n, m;
	int ret;

	proc_name(a, a_name);
	proc_name(b, b_name);
	ret = are_among(a_name, b_name, &n);
	if (ret <= 0)
		return ret < 0 ? ret : 1;
	ret = are_among(b_name, a_name, &m);
	return ret < 0 ? ret : ret == 0 || n != m;
}

static bool may_give(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, &head, data) == 0 && (data[0].effective & 1U << CAP_CHOWN);
}

/* The owner could not be kept: the copy is its maker's, who never could have taken it otherwise. */
static bool is_taken(const struct stat *copy, const struct stat *st)
{
	return copy->st_uid == geteuid() && st->st_uid != copy->st_uid && !may_give();
}

bool layer_owner_differs(const struct stat *copy, const struct stat *st)
{
	return (copy->st_uid != st->st_uid || copy->st_gid != st->st_gid) && !is_taken(copy, st);
}

bool layer_mode_differs(const struct stat *copy, const struct stat *st)
{
	const mode_t kept = is_taken(copy, st) ? 01777 : 07777;

	return !S_ISLNK(st->st_mode) && (copy->st_mode & kept) != (st->st_mode & kept);
}

/*
 * chown(2) clears the set-id bits and the file's capabilities, who may not write a file can't give
 * it attributes, a list of access changes the mode, and all of them the times: in this order. Who
 * may not give files away has copies of his own, which then run as nobody else.
 */
int layer_copy_facts(int from, int to, const struct stat *st)
{
	mode_t mode = st->st_mode & 07777;
	char name[PROC_NAME];
	int ret;

	proc_name(to, name);
	if (fchownat(to, "", st->st_uid, st->st_gid, AT_EMPTY_PATH) < 0) {
		if (errno != EPERM && errno != EINVAL)
			return -errno;
		mode &= 01777;
	}
	ret = layer_copy_xattrs(from, to);
	if (ret)
		return ret;
	if (!S_ISLNK(st->st_mode) && chmod(name, mode) < 0)
		return -errno;
	return layer_keep_times(to, st);
}

int layer_keep_times(int fd, const struct stat *st)
{
	struct timespec times[2] = { st->st_atim, st->st_mtim };

	return utimensat(fd, "", times, AT_EMPTY_PATH) < 0 ? -errno : 0;
}

int layer_loosen(int fd, mode_t *out_was)
{
	char name[PROC_NAME];
	struct stat st;

	proc_name(fd, name);
	if (fstat(fd, &st) < 0 || chmod(name, (st.st_mode & 07777) | 0700) < 0)
		return -errno;
	*out_was = st.st_mode & 07777;
	return 0;
}

void layer_tighten(int fd, mode_t was)
{
	char name[PROC_NAME];

	proc_name(fd, name);
	chmod(name, was);
}

void layer_note_origin(const struct layer *l, int item, const struct stat *st)
{
	struct stat lower;
	char text[24];

	if (fstat(l->lower, &lower) < 0 || lower.st_dev != st->st_dev)
		return;
	snprintf(text, sizeof(text), "%ju", (uintmax_t)st->st_ino);
	fsetxattr(item, ORIGIN, text, strlen(text), 0);
}

static ssize_t read_as_self(const char *name, char *text, size_t size)
{
	auto_self who = guest_pause();

	return getxattr(name, ORIGIN, text, size);
}

bool layer_origin(int fd, uint64_t *out_ino)
{
	char name[PROC_NAME], text[24];
	ssize_t len;

	proc_name(fd, name);
	len = getxattr(name, ORIGIN, text, sizeof(text) - 1);
	/* who may read the file need not become another for it */
	if (len < 0 && errno == EACCES && guest_acts())
		len = read_as_self(name, text, sizeof(text) - 1);
	if (len <= 0)
		return false;
	text[len] = '\0';
	return num_u64(text, 0, UINT64_MAX, out_ino) == 0;
}
