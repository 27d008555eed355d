/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/mount.h"

#include <errno.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/str.h"
#include "base/sys.h"
#include "jail/cred.h"

#ifndef MOUNT_ATTR_NOSYMFOLLOW
#define MOUNT_ATTR_NOSYMFOLLOW 0x00200000
#endif

bool mount_may_cover_proc(const char *below)
{
	static const char *const files[] = {
		"cpuinfo",
		"diskstats",
		"meminfo",
		"stat",
		"swaps",
		"uptime",
		"loadavg",
		"slabinfo",
		"net/dev",
		"sys/kernel/ns_last_pid",
		"sys/crypto/fips_enabled",
	};

	return str_in(below, files, sizeof(files) / sizeof(files[0]));
}

int mount_clone(int dir, const char *path, bool recursive, bool nofollow)
{
	unsigned flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	int fd;

	if (recursive)
		flags |= AT_RECURSIVE;
	if (nofollow)
		flags |= AT_SYMLINK_NOFOLLOW;
	fd = (int)sys_open_tree(dir, path, flags);
	return fd < 0 ? fail_errno("bind %s", *path ? path : "an open file") : fd;
}

int mount_attr(int mount, uint64_t set, uint64_t clear, unsigned propagation, bool recursive)
{
	struct mount_attr attr = {
		.attr_set = set,
		.attr_clr = clear,
		.propagation = propagation & ~(unsigned)MS_REC,
	};

	if (!set && !clear && !propagation)
		return 0;
	if (set & MOUNT_ATTR__ATIME || clear & MOUNT_ATTR__ATIME)
		attr.attr_clr |=
			MOUNT_ATTR__ATIME; /* an enumeration: replaced whole or not at all */
	if (sys_mount_setattr(mount, "", AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0), &attr) < 0)
		return -errno;
	return 0;
}

int mount_set_flags(int mount, const struct mount_plan *m)
{
	uint64_t set = m->set;
	int ret;

	if (mount_ro_later(m))
		set &= ~(uint64_t)MOUNT_ATTR_RDONLY;
	ret = mount_attr(mount, set, m->clear, 0, false);
	if (!ret)
		ret = mount_attr(mount, m->rset, m->rclear, 0, true);
	if (ret == -EPERM && (m->clear | m->rclear))
		return fail(
			EPERM,
			"%s: clear the flags of %s: they are locked by the mount namespace it comes from",
			m->where, m->source ? m->source : m->target);
	return ret ? fail(-ret, "%s: set the mount flags of %s: %s", m->where, m->target,
			  err_reason(-ret))
		   : 0;
}

int mount_idmap(int mount, int userns, const struct mount_plan *m)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP, .userns_fd = (uint64_t)userns };
	unsigned flags = AT_EMPTY_PATH | (m->extra & MOUNT_RIDMAP ? AT_RECURSIVE : 0);

	if (sys_mount_setattr(mount, "", flags, &attr) < 0)
		return fail_errno(
			"%s: map the ids of %s (does its file system support idmapped mounts?)",
			m->where, m->source);
	return 0;
}

int mount_attach(int mount, int target)
{
	if (sys_move_mount(mount, "", target, "",
			   MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
		return -errno;
	return 0;
}

/* What the kernel says about a refused file system context, "" if nothing. fsopen(2) */
static const char *context_log(int fs, char *text, size_t size)
{
	ssize_t n = read(fs, text, size - 1);

	if (n < 2)
		return "";
	text[n] = '\0';
	text[strcspn(text, "\n")] = '\0';
	return text + 2; /* "e ", "w " or "i " */
}

static int set_option(int fs, const struct mount_plan *m, char *option)
{
	char *value = strchr(option, '=');
	const char *why;
	char text[256];
	long ret;
	int code;

	if (value)
		*value++ = '\0';
	ret = value ? sys_fsconfig(fs, FSCONFIG_SET_STRING, option, value, 0)
		    : sys_fsconfig(fs, FSCONFIG_SET_FLAG, option, NULL, 0);
	if (ret == 0)
		return 0;
	code = errno;
	why = context_log(fs, text, sizeof(text));
	return fail(code, "%s: option %s%s%s of %s: %s%s%s%s", m->where, option, value ? "=" : "",
		    value ? value : "", m->fstype, err_reason(code), *why ? " (" : "", why,
		    *why ? ")" : "");
}

/* Options are separated by commas, except inside double quotes: context="u:r:t:s0:c1,c2". */
static int set_options(int fs, const struct mount_plan *m, const char *data)
{
	char text[4096], option[4096];
	bool quoted = false;
	size_t n = 0;
	int ret;

	if ((size_t)snprintf(text, sizeof(text), "%s", data) >= sizeof(text))
		return fail(E2BIG, "%s: the options are longer than %zu bytes", m->where,
			    sizeof(text));
	for (const char *p = text;; p++) {
		if (*p == '"') {
			quoted = !quoted;
		} else if (*p && (*p != ',' || quoted)) {
			option[n++] = *p;
		} else {
			option[n] = '\0';
			ret = n ? set_option(fs, m, option) : 0;
			if (ret || !*p)
				return ret;
			n = 0;
		}
	}
}

/* File systems whose superblock is shared or made for the container: read-only is the mount's
 * alone. */
static bool is_pseudo(const char *fstype)
{
	static const char *const types[] = { "tmpfs",  "proc",    "sysfs", "mqueue", "devpts",
					     "cgroup", "cgroup2", "ramfs", "overlay" };

	return str_in(fstype, types, sizeof(types) / sizeof(types[0]));
}

static const struct {
	unsigned flag;
	const char *option;
} sb_options[] = {
	{ MS_RDONLY, "ro" },     { MS_SYNCHRONOUS, "sync" },  { MS_DIRSYNC, "dirsync" },
	{ MS_MANDLOCK, "mand" }, { MS_LAZYTIME, "lazytime" }, { MS_I_VERSION, "iversion" },
	{ MS_SILENT, "silent" },
};

/* Engines hand labels to kernels without SELinux too, which know no such option. */
static bool takes_label(const struct mount_plan *m)
{
	auto_fd proc = m->label && *m->label ? open("/proc", O_PATH | O_CLOEXEC) : -1;

	return proc >= 0 && cred_modules(proc).selinux;
}

static int configure(int fs, const struct mount_plan *m)
{
	char word[64];
	int ret;

	if (m->source && *m->source &&
	    sys_fsconfig(fs, FSCONFIG_SET_STRING, "source", m->source, 0) < 0)
		return fail_errno("%s: source %s of %s", m->where, m->source, m->fstype);
	for (size_t i = 0; i < sizeof(sb_options) / sizeof(sb_options[0]); i++) {
		if (!(m->sb_flags & sb_options[i].flag))
			continue;
		if (sb_options[i].flag == MS_RDONLY && is_pseudo(m->fstype))
			continue;
		snprintf(word, sizeof(word), "%s", sb_options[i].option);
		ret = set_option(fs, m, word);
		if (ret)
			return ret;
	}
	if (m->data && *m->data) {
		ret = set_options(fs, m, m->data);
		if (ret)
			return ret;
	}
	return takes_label(m) ? set_options(fs, m, m->label) : 0;
}

int mount_new(const struct mount_plan *m)
{
	auto_fd fs = (int)sys_fsopen(m->fstype, FSOPEN_CLOEXEC);
	const char *why;
	char text[256];
	int ret, fd;

	if (fs < 0)
		return fail_errno("%s: open a file system of type %s", m->where, m->fstype);
	ret = configure(fs, m);
	if (ret)
		return ret;
	if (sys_fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0) {
		ret = errno;
		why = context_log(fs, text, sizeof(text));
		return fail(ret, "%s: make a file system of type %s for %s: %s%s%s%s", m->where,
			    m->fstype, m->target, err_reason(ret), *why ? " (" : "", why,
			    *why ? ")" : "");
	}
	fd = (int)sys_fsmount(fs, FSMOUNT_CLOEXEC, 0);
	return fd < 0 ? fail_errno("%s: mount a file system of type %s for %s", m->where, m->fstype,
				   m->target)
		      : fd;
}

bool mount_ro_later(const struct mount_plan *m)
{
	if (m->bind || !m->fstype)
		return false;
	return strcmp(m->fstype, "tmpfs") == 0 || strcmp(m->target, "/dev") == 0;
}

/* A target that links led into a procfs is judged by where it is, not by how it was named. */
static int check_inside_proc(int root, const struct mount_plan *m, int target)
{
	char path[PATH_MAX], top[PATH_MAX];
	struct statfs fs;
	const char *below;
	int ret;

	if (fstatfs(target, &fs) < 0)
		return fail_errno("%s: look at the target %s", m->where, m->target);
	if (fs.f_type != PROC_SUPER_MAGIC)
		return 0;
	ret = fd_path(target, path, sizeof(path));
	if (!ret)
		ret = fd_path(root, top, sizeof(top));
	if (ret)
		return fail(-ret, "%s: look at the target %s: %s", m->where, m->target,
			    err_reason(-ret));
	below = str_starts(path, top) ? path + strlen(top) : path;
	if (str_starts(below, "/proc/") && mount_may_cover_proc(below + strlen("/proc/")))
		return 0;
	return fail(EPERM, "%s: a mount on %s is inside /proc, which only a few files may be",
		    m->where, m->target);
}

/* proc and sysfs go on real directories reached without a symbolic link (CVE-2019-19921 and
 * after). */
static int strict_target(int root, const struct mount_plan *m)
{
	int fd = fd_open_beneath(root, m->target, O_PATH | O_DIRECTORY);

	if (fd == -ENOENT) {
		fd = fd_mkdir_all(root, m->target, 0755);
		if (fd == 0)
			fd = fd_open_beneath(root, m->target, O_PATH | O_DIRECTORY);
	}
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV)
		return fail(
			ELOOP,
			"%s: %s must be a directory reached without symbolic links to mount %s on it",
			m->where, m->target, m->bind ? m->source : m->fstype);
	if (fd < 0)
		return fail(-fd, "%s: open the mount target %s: %s", m->where, m->target,
			    err_reason(-fd));
	return fd;
}

/*
 * Only a procfs may stand where the runtime and every program in the container expect one, also
 * where a link of the image's led there.
 */
static int check_over_proc(int root, const struct mount_plan *m, int mount, int target)
{
	auto_fd proc = fd_open_in_root(root, "proc", O_PATH | O_DIRECTORY);
	struct stat there, here;
	struct statfs fs;

	if (proc < 0)
		return 0;
	if (fstat(proc, &there) < 0 || fstat(target, &here) < 0 || fstatfs(mount, &fs) < 0)
		return fail_errno("%s: look at the target %s", m->where, m->target);
	if (there.st_dev != here.st_dev || there.st_ino != here.st_ino ||
	    fs.f_type == PROC_SUPER_MAGIC)
		return 0;
	return fail(EPERM, "%s: %s is no procfs and can't be mounted on /proc", m->where,
		    m->source ? m->source : m->fstype);
}

static bool is_strict(const struct mount_plan *m)
{
	if (m->bind)
		return strcmp(m->target, "/proc") == 0;
	return strcmp(m->fstype, "proc") == 0 || strcmp(m->fstype, "sysfs") == 0;
}

static int open_target(int root, const struct mount_plan *m, int mount)
{
	bool nofollow = m->extra & MOUNT_DEST_NOFOLLOW, strict = is_strict(m);
	auto_fd fd = -1;
	struct stat st;
	int ret;

	if (fstat(mount, &st) < 0)
		return fail_errno("%s: look at the source of %s", m->where, m->target);
	fd = strict ? strict_target(root, m)
		    : mount_target(root, m->target, S_ISDIR(st.st_mode), nofollow);
	if (fd < 0)
		return strict ? fd : fail_in(fd, "%s", m->where);
	ret = check_over_proc(root, m, mount, fd);
	if (!ret && !strict)
		ret = check_inside_proc(root, m, fd);
	return ret ? ret : fd_take(&fd);
}

/* A tmpfs takes the mode of the directory it covers unless the options say otherwise. */
static int tmpfs_mode(int root, struct mount_plan *m, struct str *data)
{
	auto_fd fd = -1;
	struct stat st;

	if (m->data && (str_starts(m->data, "mode=") || strstr(m->data, ",mode=")))
		return 0;
	fd = fd_open_in_root(root, m->target, O_PATH | O_DIRECTORY);
	if (fd < 0 || fstat(fd, &st) < 0)
		return 0; /* it will be made, with the mode of mkdir */
	str_addf(data, "%s%smode=%o", m->data ? m->data : "", m->data && *m->data ? "," : "",
		 (unsigned)st.st_mode & 07777);
	if (data->full)
		return fail(E2BIG, "%s: the options are too long", m->where);
	m->data = data->buf;
	return 0;
}

static int symlink_source(int root, const struct mount_plan *m)
{
	char link[PATH_MAX], dir[PATH_MAX];
	const char *base = strrchr(m->target, '/') + 1;
	auto_fd at = -1;
	ssize_t n = readlink(m->source, link, sizeof(link) - 1);

	if (n < 0)
		return 0;
	link[n] = '\0';
	snprintf(dir, sizeof(dir), "%.*s", (int)(base - m->target), m->target);
	at = mount_target(root, dir, true, false);
	if (at < 0)
		return at;
	if (symlinkat(link, at, base) == 0)
		return 1;
	if (errno != EEXIST)
		return fail_errno("%s: make the symbolic link %s", m->where, m->target);
	n = readlinkat(at, base, dir, sizeof(dir) - 1);
	if (n == (ssize_t)strlen(link) && memcmp(dir, link, (size_t)n) == 0)
		return 1;
	return fail(EEXIST, "%s: %s is there and is not the symbolic link to %s", m->where,
		    m->target, link);
}

static int remount(int root, const struct mount_plan *m)
{
	int fd = fd_open_in_root(root, m->target, O_PATH);
	int ret;

	if (fd < 0)
		return fail(-fd, "%s: open %s to remount it: %s", m->where, m->target,
			    err_reason(-fd));
	ret = mount_set_flags(fd, m);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

static int detached(int root, struct mount_plan *m, int source, int idmap, struct str *data)
{
	int fd, ret;

	if (!m->bind) {
		ret = strcmp(m->fstype, "tmpfs") == 0 ? tmpfs_mode(root, m, data) : 0;
		return ret ? ret : mount_new(m);
	}
	fd = source;
	if (fd < 0) {
		fd = mount_clone(AT_FDCWD, m->source, m->recursive, m->extra & MOUNT_SRC_NOFOLLOW);
		if (fd < 0)
			return fail_in(fd, "%s", m->where);
	}
	ret = idmap < 0 ? 0 : mount_idmap(fd, idmap, m);
	if (ret) {
		close(fd);
		return ret;
	}
	return fd;
}

/* move_mount(2) answers EINVAL to so much that the commonest cause is named here. */
static int check_kind(int mount, int target, const struct mount_plan *m)
{
	struct stat from, to;

	if (fstat(mount, &from) < 0 || fstat(target, &to) < 0)
		return fail_errno("%s: look at %s", m->where, m->target);
	if (S_ISDIR(from.st_mode) == S_ISDIR(to.st_mode))
		return 0;
	return fail(ENOTDIR, "%s: mount %s on %s: %s is not a directory", m->where,
		    m->source ? m->source : m->fstype, m->target,
		    S_ISDIR(to.st_mode) ? "the source" : "the target");
}

int mount_do(int root, const struct mount_plan *plan, int source, int idmap)
{
	struct mount_plan m = *plan;
	char text[4096];
	struct str data = STR_ON(text);
	auto_fd target = -1;
	auto_fd fd = -1;
	auto_fd below = -1;
	int ret;

	if (m.extra & MOUNT_REMOUNT)
		return remount(root, &m);
	if (m.bind && m.extra & MOUNT_COPY_SYMLINK) {
		ret = symlink_source(root, &m);
		if (ret < 0)
			return ret;
		if (ret > 0)
			return fd_open_in_root(root, m.target, O_PATH | O_NOFOLLOW);
	}
	fd = detached(root, &m, source, idmap, &data);
	if (fd < 0)
		return fd;
	target = open_target(root, &m, fd);
	if (target < 0)
		return target;
	ret = check_kind(fd, target, &m);
	if (ret)
		return ret;
	if (m.extra & MOUNT_TMPCOPYUP) {
		below = openat(target, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		ret = below < 0 ? fail_errno("open %s", m.target) : mount_copy_up(below, fd);
		if (ret)
			return fail_in(ret, "%s: tmpcopyup", m.where);
	}
	ret = mount_set_flags(fd, &m);
	if (ret)
		return ret;
	ret = mount_attach(fd, target);
	if (ret)
		return fail(-ret, "%s: mount %s on %s: %s", m.where, m.source ? m.source : m.fstype,
			    m.target, err_reason(-ret));
	ret = mount_attr(fd, 0, 0, m.propagation, m.propagation & MS_REC);
	if (ret)
		return fail(-ret, "%s: set the propagation of %s: %s", m.where, m.target,
			    err_reason(-ret));
	return fd_take(&fd);
}
