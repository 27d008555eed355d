/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/script.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/time.h>
#include <sys/un.h>
#include <sys/vfs.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>

#include "base/str.h"
#include "base/sys.h"
#include "old_calls.h"

#define LONG_AGO 1000000000 /* of all that the fixture makes */
#define ARGS_MAX 8
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

struct script {
	const char *dir;
	int at; /* open there */
	int fd[SCRIPT_FDS];
	struct str out;
	/* of the call in hand */
	size_t n;
	char *arg[ARGS_MAX];
	char path[PATH_MAX], other[PATH_MAX];
};

/* ---- the fixture */

static void must(bool done, const char *what)
{
	if (done)
		return;
	printf("Bail out! %s: %s\n", what, strerror(errno));
	fflush(stdout);
	abort();
}

static const struct item {
	const char *name;
	mode_t mode;
	const char *text; /* contents, target, xattr */
	bool owned;
} items[] = {
	{ "f", S_IFREG | 0644, "contents of f\n", false },
	{ "empty", S_IFREG | 0644, "", false },
	{ "secret", S_IFREG | 0600, "secret\n", false },
	{ "readonly", S_IFREG | 0444, "ro\n", false },
	{ "wonly", S_IFREG | 0222, "wo\n", false },
	{ "suid", S_IFREG | 06755, "suid\n", false },
	{ "all", S_IFREG | 0666, "all\n", false },
	{ "x", S_IFREG | 0755, "#!/bin/sh\n", false },
	{ "mine", S_IFREG | 0644, "mine\n", true },
	{ "mine600", S_IFREG | 0600, "mine600\n", true },
	{ "mine0", S_IFREG | 0, "mine0\n", true },
	{ "d", S_IFDIR | 0755, NULL, false },
	{ "d/a", S_IFREG | 0644, "a\n", false },
	{ "d/b", S_IFREG | 0644, "b\n", false },
	{ "d/sub", S_IFDIR | 0755, NULL, false },
	{ "d/sub/deep", S_IFREG | 0644, "deep\n", false },
	{ "d/l", S_IFLNK | 0777, "../f", false },
	{ "dp", S_IFDIR | 0700, NULL, false },
	{ "dp/in", S_IFREG | 0666, "in\n", false },
	{ "dx", S_IFDIR | 0711, NULL, false },
	{ "dx/in", S_IFREG | 0666, "in\n", false },
	{ "dr", S_IFDIR | 0744, NULL, false },
	{ "dr/in", S_IFREG | 0666, "in\n", false },
	{ "dt", S_IFDIR | 01777, NULL, false },
	{ "dt/theirs", S_IFREG | 0644, "theirs\n", false },
	{ "dg", S_IFDIR | 02775, NULL, true },
	{ "dm", S_IFDIR | 0755, NULL, true },
	{ "dm/f", S_IFREG | 0644, "dm/f\n", true },
	{ "dm/root", S_IFREG | 0644, "root\n", false },
	{ "dm/sub", S_IFDIR | 0755, NULL, true },
	{ "de", S_IFDIR | 0755, NULL, true },
	{ "lf", S_IFLNK | 0777, "f", false },
	{ "ld", S_IFLNK | 0777, "d", false },
	{ "ll", S_IFLNK | 0777, "lf", false },
	{ "lm", S_IFLNK | 0777, "dm/f", true },
	{ "dangling", S_IFLNK | 0777, "nowhere", false },
	{ "ddangling", S_IFLNK | 0777, "dm/nowhere", false },
	{ "loop", S_IFLNK | 0777, "loop", false },
	{ "fifo", S_IFIFO | 0666, NULL, false },
	{ "sock", S_IFSOCK | 0666, NULL, false },
};

static void make_item(int at, const struct item *i, unsigned owner)
{
	size_t len = i->text ? strlen(i->text) : 0;
	int fd;

	switch (i->mode & S_IFMT) {
	case S_IFDIR:
		must(mkdirat(at, i->name, 0700) == 0, i->name);
		break;
	case S_IFLNK:
		must(symlinkat(i->text, at, i->name) == 0, i->name);
		break;
	case S_IFREG:
		fd = openat(at, i->name, O_WRONLY | O_CREAT | O_EXCL, 0600);
		must(fd >= 0 && write(fd, i->text, len) == (ssize_t)len && close(fd) == 0, i->name);
		break;
	default:
		must(mknodat(at, i->name, (i->mode & S_IFMT) | 0600, 0) == 0, i->name);
	}
	if (i->owned && geteuid() == 0)
		must(fchownat(at, i->name, owner, owner, AT_SYMLINK_NOFOLLOW) == 0, i->name);
	if (!S_ISLNK(i->mode))
		must(fchmodat(at, i->name, i->mode & 07777, 0) == 0, i->name);
}

/* A file with a hole, two names of one file, and attributes. */
static void make_special(int at)
{
	static const struct timespec times[2] = { { LONG_AGO, 0 }, { LONG_AGO, 0 } };
	int fd = openat(at, "holes", O_WRONLY | O_CREAT | O_EXCL, 0644);

	must(fd >= 0 && write(fd, "begin", 5) == 5 && pwrite(fd, "end", 3, 2 << 20) == 3, "holes");
	must(futimens(fd, times) == 0 && close(fd) == 0, "holes");
	must(linkat(at, "d/a", at, "h", 0) == 0, "h");
	fd = openat(at, "f", O_RDONLY);
	must(fd >= 0 && fsetxattr(fd, "user.test", "value", 5, 0) == 0 && close(fd) == 0, "f");
	fd = openat(at, "d", O_RDONLY);
	must(fd >= 0 && fsetxattr(fd, "user.dir", "dir", 3, 0) == 0 && close(fd) == 0, "d");
}

void script_fixture(const char *dir, unsigned owner)
{
	static const struct timespec times[2] = { { LONG_AGO, 0 }, { LONG_AGO, 0 } };
	mode_t mask = umask(0);
	int at;

	must(mkdir(dir, 0755) == 0, dir);
	at = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	must(at >= 0, dir);
	for (size_t i = 0; i < COUNT(items); i++)
		make_item(at, &items[i], owner);
	make_special(at);
	/* from the leaves up: what is made in a directory changes its times */
	for (size_t i = COUNT(items); i-- > 0;)
		must(utimensat(at, items[i].name, times, AT_SYMLINK_NOFOLLOW) == 0, "times");
	if (geteuid() == 0)
		must(fchmod(at, 0777) == 0, dir);
	must(futimens(at, times) == 0 && close(at) == 0, dir);
	umask(mask);
}

/* ---- words */

struct word {
	const char *name;
	uint64_t value;
};

static const struct word words[] = {
	{ "rd", O_RDONLY },
	{ "wr", O_WRONLY },
	{ "rdwr", O_RDWR },
	{ "both3", O_ACCMODE },
	{ "creat", O_CREAT },
	{ "excl", O_EXCL },
	{ "trunc", O_TRUNC },
	{ "append", O_APPEND },
	{ "nonblock", O_NONBLOCK },
	{ "path", O_PATH },
	{ "directory", O_DIRECTORY },
	{ "onofollow", O_NOFOLLOW },
	{ "tmpfile", O_TMPFILE },
	{ "noatime", O_NOATIME },
	{ "cloexec", O_CLOEXEC },
	{ "sync", O_SYNC },
	{ "bad", 1u << 30 },
	{ "nofollow", AT_SYMLINK_NOFOLLOW },
	{ "follow", AT_SYMLINK_FOLLOW },
	{ "empty", AT_EMPTY_PATH },
	{ "eaccess", AT_EACCESS },
	{ "badflag", 0x80 },
	{ "xdev", RESOLVE_NO_XDEV },
	{ "nomagic", RESOLVE_NO_MAGICLINKS },
	{ "nosymlinks", RESOLVE_NO_SYMLINKS },
	{ "beneath", RESOLVE_BENEATH },
	{ "inroot", RESOLVE_IN_ROOT },
	{ "xcreate", XATTR_CREATE },
	{ "xreplace", XATTR_REPLACE },
	{ "r", R_OK },
	{ "w", W_OK },
	{ "xx", X_OK },
	{ "now", UTIME_NOW },
	{ "omit", UTIME_OMIT },
	{ "none", 0 },
};

/* Words with commas between, or an octal (0...) or decimal number. */
static uint64_t value(struct script *s, size_t i)
{
	char text[128], *rest = text, *word;
	uint64_t sum = 0;

	if (i >= s->n)
		return 0;
	snprintf(text, sizeof(text), "%s", s->arg[i]);
	if (strchr("-0123456789", text[0]))
		return (uint64_t)strtoll(text, NULL, 0);
	while ((word = strsep(&rest, ","))) {
		size_t k = 0;

		while (k < COUNT(words) && strcmp(words[k].name, word) != 0)
			k++;
		must(k < COUNT(words), word);
		sum |= words[k].value;
	}
	return sum;
}

static int *slot(struct script *s, size_t i)
{
	return &s->fd[value(s, i) % SCRIPT_FDS];
}

static const char *expand(struct script *s, size_t i, char *out)
{
	const char *text = i < s->n ? s->arg[i] : "";

	if (strcmp(text, "@") == 0)
		snprintf(out, PATH_MAX, "%s", s->dir);
	else if (strcmp(text, "''") == 0)
		out[0] = '\0';
	else if (text[0] == '/')
		snprintf(out, PATH_MAX, "%s", text);
	else
		snprintf(out, PATH_MAX, "%s/%s", s->dir, text);
	return out;
}

/* A path within the script's directory, from where that is. */
static const char *path(struct script *s, size_t i)
{
	return expand(s, i, s->path);
}

/* The same as a call with a directory's descriptor has it. */
static const char *below(struct script *s, size_t i)
{
	const char *text = i < s->n ? s->arg[i] : "";

	if (strcmp(text, "''") == 0)
		return "";
	return strcmp(text, "@") == 0 ? "." : text;
}

/* ---- what came of a call */

static long result(struct script *s, long ret)
{
	if (ret < 0)
		str_addf(&s->out, "%s %s\n", s->arg[0], strerrorname_np(errno));
	else
		str_addf(&s->out, "%s %ld\n", s->arg[0], ret);
	return ret;
}

/* A descriptor's number says nothing. */
static void opened(struct script *s, int *to, long ret)
{
	if (ret >= 0 && *to >= 0)
		close(*to);
	if (ret >= 0)
		*to = (int)ret;
	result(s, ret < 0 ? ret : 0);
}

static void add_time(struct str *out, time_t sec)
{
	if (sec == LONG_AGO)
		str_add(out, " old");
	else if (sec > LONG_AGO && sec > time(NULL) - 3600)
		str_add(out, " new");
	else
		str_addf(out, " %lld", (long long)sec);
}

static void add_stat(struct str *out, const struct stat *st)
{
	str_addf(out, "%06o %u:%u", st->st_mode, st->st_uid, st->st_gid);
	if (!S_ISDIR(st->st_mode))
		str_addf(out, " links %u size %lld", (unsigned)st->st_nlink,
			 (long long)st->st_size);
	add_time(out, st->st_mtime);
}

static void told(struct script *s, long ret, const struct stat *st)
{
	if (result(s, ret) < 0)
		return;
	s->out.len--;
	str_add(&s->out, " ");
	add_stat(&s->out, st);
	str_add(&s->out, "\n");
}

/* What was put into a buffer, but for the directory's own name. */
static void text_told(struct script *s, long ret, const char *text)
{
	const char *at;

	if (result(s, ret) < 0)
		return;
	at = (size_t)ret >= strlen(s->dir) ? strstr(text, s->dir) : NULL;
	s->out.len -= 1;
	if (at)
		str_addf(&s->out, " %.*s@%s\n", (int)(at - text), text, at + strlen(s->dir));
	else
		str_addf(&s->out, " %.*s\n", (int)ret, text);
}

/* ---- calls */

static long open_plain(const char *p, uint64_t flags, uint64_t mode)
{
	if (OLD_OPEN < 0)
		return syscall(SYS_openat, AT_FDCWD, p, flags, mode);
	return syscall(OLD_OPEN, p, flags, mode);
}

static void do_open(struct script *s)
{
	opened(s, slot(s, 1), open_plain(path(s, 2), value(s, 3), value(s, 4)));
}

static void do_creat(struct script *s)
{
	long ret = OLD_CREAT < 0 ? open_plain(path(s, 2), O_CREAT | O_WRONLY | O_TRUNC, value(s, 3))
				 : syscall(OLD_CREAT, path(s, 2), value(s, 3));

	opened(s, slot(s, 1), ret);
}

static void do_openat(struct script *s)
{
	opened(s, slot(s, 1), syscall(SYS_openat, s->at, below(s, 2), value(s, 3), value(s, 4)));
}

static void do_openfd(struct script *s)
{
	opened(s, slot(s, 1),
	       syscall(SYS_openat, *slot(s, 2), below(s, 3), value(s, 4), value(s, 5)));
}

static void do_openat2(struct script *s)
{
	const struct open_how how = { .flags = value(s, 3),
				      .mode = value(s, 4),
				      .resolve = value(s, 5) };
	const char *path = below(s, 2);
	long fd;

	/* somebody has renamed something somewhere: openat2(2) */
	do
		fd = syscall(SYS_openat2, s->at, path, &how, sizeof(how));
	while (fd < 0 && errno == EAGAIN);
	opened(s, slot(s, 1), fd);
}

/* /proc/self/fd/N of the second slot */
static void do_reopen(struct script *s)
{
	snprintf(s->path, sizeof(s->path), "/proc/self/fd/%d", *slot(s, 2));
	opened(s, slot(s, 1), syscall(SYS_openat, AT_FDCWD, s->path, value(s, 3), value(s, 4)));
}

static void do_close(struct script *s)
{
	int *fd = slot(s, 1);

	result(s, close(*fd));
	*fd = -1;
}

static void do_read(struct script *s)
{
	char text[256] = "";
	ssize_t len = read(*slot(s, 1), text, sizeof(text) - 1);

	text_told(s, len, text);
}

static void do_write(struct script *s)
{
	result(s, write(*slot(s, 1), s->arg[2], strlen(s->arg[2])));
}

static void do_flags(struct script *s)
{
	int flags = fcntl(*slot(s, 1), F_GETFL);

	result(s, flags < 0 ? flags : flags & ~(O_NOFOLLOW));
	result(s, fcntl(*slot(s, 1), F_GETFD));
}

static void do_cat(struct script *s)
{
	long fd = open_plain(path(s, 1), O_RDONLY | O_NONBLOCK, 0);
	char text[256] = "";

	if (fd < 0) {
		result(s, fd);
		return;
	}
	text_told(s, read((int)fd, text, sizeof(text) - 1), text);
	close((int)fd);
}

static void do_stat(struct script *s)
{
	struct stat st;

	told(s,
	     OLD_STAT < 0 ? fstatat(AT_FDCWD, path(s, 1), &st, 0)
			  : syscall(OLD_STAT, path(s, 1), &st),
	     &st);
}

static void do_lstat(struct script *s)
{
	struct stat st;

	told(s,
	     OLD_LSTAT < 0 ? fstatat(AT_FDCWD, path(s, 1), &st, AT_SYMLINK_NOFOLLOW)
			   : syscall(OLD_LSTAT, path(s, 1), &st),
	     &st);
}

static void do_fstatat(struct script *s)
{
	struct stat st;

	told(s, syscall(SYS_newfstatat, s->at, below(s, 1), &st, value(s, 2)), &st);
}

static void do_fstat(struct script *s)
{
	struct stat st;

	told(s, syscall(SYS_fstat, *slot(s, 1), &st), &st);
}

/* By an empty path. */
static void do_fstatempty(struct script *s)
{
	struct stat st;

	told(s, syscall(SYS_newfstatat, *slot(s, 1), "", &st, AT_EMPTY_PATH), &st);
}

static void do_statx(struct script *s)
{
	struct statx x;
	struct stat st;
	long ret = syscall(SYS_statx, s->at, below(s, 1), value(s, 2), STATX_BASIC_STATS, &x);

	if (ret == 0)
		st = (struct stat){ .st_mode = x.stx_mode,
				    .st_uid = x.stx_uid,
				    .st_gid = x.stx_gid,
				    .st_nlink = x.stx_nlink,
				    .st_size = (off_t)x.stx_size,
				    .st_mtime = x.stx_mtime.tv_sec };
	told(s, ret, &st);
}

static void do_access(struct script *s)
{
	result(s, OLD_ACCESS < 0 ? syscall(SYS_faccessat, AT_FDCWD, path(s, 1), value(s, 2))
				 : syscall(OLD_ACCESS, path(s, 1), value(s, 2)));
}

static void do_faccessat(struct script *s)
{
	result(s, syscall(SYS_faccessat, s->at, below(s, 1), value(s, 2)));
}

static void do_faccessat2(struct script *s)
{
	result(s, syscall(SYS_faccessat2, s->at, below(s, 1), value(s, 2), value(s, 3)));
}

static void do_readlink(struct script *s)
{
	char text[PATH_MAX] = "";
	size_t size = s->n > 2 ? value(s, 2) : sizeof(text) - 1;

	text_told(s,
		  OLD_READLINK < 0 ? syscall(SYS_readlinkat, AT_FDCWD, path(s, 1), text, size)
				   : syscall(OLD_READLINK, path(s, 1), text, size),
		  text);
}

static void do_readlinkat(struct script *s)
{
	char text[PATH_MAX] = "";

	text_told(s, syscall(SYS_readlinkat, s->at, below(s, 1), text, sizeof(text) - 1), text);
}

/* What /proc says of an open file. */
static void do_fdname(struct script *s)
{
	char text[PATH_MAX] = "";

	snprintf(s->path, sizeof(s->path), "/proc/self/fd/%d", *slot(s, 1));
	text_told(s, readlink(s->path, text, sizeof(text) - 1), text);
}

static void do_chmod(struct script *s)
{
	result(s, OLD_CHMOD < 0 ? syscall(SYS_fchmodat, AT_FDCWD, path(s, 1), value(s, 2))
				: syscall(OLD_CHMOD, path(s, 1), value(s, 2)));
}

static void do_fchmod(struct script *s)
{
	result(s, syscall(SYS_fchmod, *slot(s, 1), value(s, 2)));
}

static void do_fchmodat(struct script *s)
{
	result(s, syscall(SYS_fchmodat, s->at, below(s, 1), value(s, 2)));
}

static void do_fchmodat2(struct script *s)
{
	result(s, syscall(SYS_fchmodat2, s->at, below(s, 1), value(s, 2), value(s, 3)));
}

static void do_fchmodempty(struct script *s)
{
	result(s, syscall(SYS_fchmodat2, *slot(s, 1), "", value(s, 2), AT_EMPTY_PATH));
}

static void do_chown(struct script *s)
{
	result(s, OLD_CHOWN < 0
			  ? syscall(SYS_fchownat, AT_FDCWD, path(s, 1), value(s, 2), value(s, 3), 0)
			  : syscall(OLD_CHOWN, path(s, 1), value(s, 2), value(s, 3)));
}

static void do_lchown(struct script *s)
{
	result(s, OLD_LCHOWN < 0 ? syscall(SYS_fchownat, AT_FDCWD, path(s, 1), value(s, 2),
					   value(s, 3), AT_SYMLINK_NOFOLLOW)
				 : syscall(OLD_LCHOWN, path(s, 1), value(s, 2), value(s, 3)));
}

static void do_fchown(struct script *s)
{
	result(s, syscall(SYS_fchown, *slot(s, 1), value(s, 2), value(s, 3)));
}

static void do_fchownat(struct script *s)
{
	result(s, syscall(SYS_fchownat, s->at, below(s, 1), value(s, 2), value(s, 3), value(s, 4)));
}

static void fill_times(struct script *s, size_t i, struct timespec times[2])
{
	for (size_t k = 0; k < 2; k++) {
		bool word = i + k < s->n && strchr("no", s->arg[i + k][0]);

		times[k].tv_sec = word ? 0 : (time_t)value(s, i + k);
		times[k].tv_nsec = word ? (long)value(s, i + k) : 0;
	}
}

static void do_utime(struct script *s)
{
	struct utimbuf t = { .actime = (time_t)value(s, 2), .modtime = (time_t)value(s, 3) };

	result(s, OLD_UTIME < 0 ? utime(path(s, 1), s->n > 2 ? &t : NULL)
				: syscall(OLD_UTIME, path(s, 1), s->n > 2 ? &t : NULL));
}

static void do_utimes(struct script *s)
{
	struct timeval t[2] = { { (time_t)value(s, 2), (suseconds_t)value(s, 4) },
				{ (time_t)value(s, 3), 0 } };

	result(s, OLD_UTIMES < 0 ? utimes(path(s, 1), s->n > 2 ? t : NULL)
				 : syscall(OLD_UTIMES, path(s, 1), s->n > 2 ? t : NULL));
}

static void do_futimesat(struct script *s)
{
	struct timeval t[2] = { { (time_t)value(s, 2), 0 }, { (time_t)value(s, 3), 0 } };

	result(s, OLD_FUTIMESAT < 0
			  ? futimesat(s->at, below(s, 1), s->n > 2 ? t : NULL)
			  : syscall(OLD_FUTIMESAT, s->at, below(s, 1), s->n > 2 ? t : NULL));
}

static void do_utimensat(struct script *s)
{
	struct timespec t[2];

	fill_times(s, 2, t);
	result(s, syscall(SYS_utimensat, s->at, below(s, 1), s->n > 2 ? t : NULL, value(s, 4)));
}

static void do_futimens(struct script *s)
{
	struct timespec t[2];

	fill_times(s, 2, t);
	result(s, syscall(SYS_utimensat, *slot(s, 1), NULL, s->n > 2 ? t : NULL, value(s, 4)));
}

static void do_truncate(struct script *s)
{
	result(s, syscall(SYS_truncate, path(s, 1), value(s, 2)));
}

static void do_ftruncate(struct script *s)
{
	result(s, syscall(SYS_ftruncate, *slot(s, 1), value(s, 2)));
}

static void do_setxattr(struct script *s)
{
	result(s, setxattr(path(s, 1), s->arg[2], s->arg[3], strlen(s->arg[3]), (int)value(s, 4)));
}

static void do_lsetxattr(struct script *s)
{
	result(s, lsetxattr(path(s, 1), s->arg[2], s->arg[3], strlen(s->arg[3]), (int)value(s, 4)));
}

static void do_fsetxattr(struct script *s)
{
	result(s,
	       fsetxattr(*slot(s, 1), s->arg[2], s->arg[3], strlen(s->arg[3]), (int)value(s, 4)));
}

static void do_setxattrat(struct script *s)
{
	const struct {
		uint64_t value;
		uint32_t size, flags;
	} args = { (uintptr_t)s->arg[3], (uint32_t)strlen(s->arg[3]), (uint32_t)value(s, 5) };

	result(s, syscall(SYS_setxattrat, s->at, below(s, 1), value(s, 4), s->arg[2], &args,
			  sizeof(args)));
}

static void do_getxattr(struct script *s)
{
	char text[256] = "";

	text_told(s, getxattr(path(s, 1), s->arg[2], text, s->n > 3 ? value(s, 3) : 255), text);
}

static void do_lgetxattr(struct script *s)
{
	char text[256] = "";

	text_told(s, lgetxattr(path(s, 1), s->arg[2], text, 255), text);
}

static void do_fgetxattr(struct script *s)
{
	char text[256] = "";

	text_told(s, fgetxattr(*slot(s, 1), s->arg[2], text, 255), text);
}

static void do_getxattrat(struct script *s)
{
	char text[256] = "";
	const struct {
		uint64_t value;
		uint32_t size, flags;
	} args = { (uintptr_t)text, 255, 0 };

	text_told(s,
		  syscall(SYS_getxattrat, s->at, below(s, 1), value(s, 3), s->arg[2], &args,
			  sizeof(args)),
		  text);
}

static void names_told(struct script *s, long len, char *list)
{
	for (long i = 0; i + 1 < len; i++)
		if (!list[i])
			list[i] = ' ';
	text_told(s, len, list);
}

static void do_listxattr(struct script *s)
{
	char list[1024] = "";

	names_told(s, listxattr(path(s, 1), list, s->n > 2 ? value(s, 2) : sizeof(list)), list);
}

static void do_llistxattr(struct script *s)
{
	char list[1024] = "";

	names_told(s, llistxattr(path(s, 1), list, sizeof(list)), list);
}

static void do_flistxattr(struct script *s)
{
	char list[1024] = "";

	names_told(s, flistxattr(*slot(s, 1), list, sizeof(list)), list);
}

static void do_listxattrat(struct script *s)
{
	char list[1024] = "";

	names_told(s, syscall(SYS_listxattrat, s->at, below(s, 1), value(s, 2), list, sizeof(list)),
		   list);
}

static void do_removexattr(struct script *s)
{
	result(s, removexattr(path(s, 1), s->arg[2]));
}

static void do_lremovexattr(struct script *s)
{
	result(s, lremovexattr(path(s, 1), s->arg[2]));
}

static void do_fremovexattr(struct script *s)
{
	result(s, fremovexattr(*slot(s, 1), s->arg[2]));
}

static void do_removexattrat(struct script *s)
{
	result(s, syscall(SYS_removexattrat, s->at, below(s, 1), value(s, 3), s->arg[2]));
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What a directory lists, by the raw call and in order of names. */
static void list(struct script *s, int fd, long nr, size_t room)
{
	const size_t name_at = nr == SYS_getdents64 ? 19 : 18;
	char buf[8192], *names[128], text[4096] = "";
	struct str out = STR_ON(text);
	size_t n = 0;
	uint16_t length;
	long len;

	while ((len = syscall(nr, fd, buf, room)) > 0)
		for (long at = 0; at < len && n < COUNT(names); at += length) {
			memcpy(&length, buf + at + 16, sizeof(length));
			if (nr == SYS_getdents64)
				must(asprintf(&names[n], "%s:%d", buf + at + name_at,
					      buf[at + 18]) > 0,
				     "memory");
			else
				must(asprintf(&names[n], "%s:%d", buf + at + name_at,
					      buf[at + length - 1]) > 0,
				     "memory");
			n++;
		}
	if (len < 0) {
		result(s, len);
		return;
	}
	qsort(names, n, sizeof(names[0]), by_name);
	for (size_t i = 0; i < n; i++) {
		str_addf(&out, " %s", names[i]);
		free(names[i]);
	}
	str_addf(&s->out, "%s%s\n", s->arg[0], text);
}

static void do_list(struct script *s)
{
	list(s, *slot(s, 1), SYS_getdents64, s->n > 2 ? value(s, 2) : 8192);
}

static void do_listold(struct script *s)
{
	list(s, *slot(s, 1), OLD_GETDENTS < 0 ? SYS_getdents64 : OLD_GETDENTS,
	     s->n > 2 ? value(s, 2) : 8192);
}

static void do_lseek(struct script *s)
{
	result(s, lseek(*slot(s, 1), (off_t)value(s, 2), SEEK_SET));
}

static void do_statfs(struct script *s)
{
	struct statfs st;

	result(s, syscall(SYS_statfs, path(s, 1), &st));
}

static void do_handle(struct script *s)
{
	static const char none[16];

	result(s, syscall(SYS_name_to_handle_at, s->at, below(s, 1), none, none, 0));
}

static void do_unlink(struct script *s)
{
	result(s, syscall(SYS_unlinkat, s->at, below(s, 1), value(s, 2)));
}

#define CALL(name)               \
	{                        \
#name, do_##name \
	}

static const struct {
	const char *name;
	void (*run)(struct script *s);
} calls[] = {
	CALL(open),         CALL(creat),        CALL(openat),        CALL(openat2),
	CALL(openfd),       CALL(reopen),       CALL(close),         CALL(read),
	CALL(write),        CALL(flags),        CALL(cat),           CALL(stat),
	CALL(lstat),        CALL(fstatat),      CALL(fstat),         CALL(fstatempty),
	CALL(statx),        CALL(access),       CALL(faccessat),     CALL(faccessat2),
	CALL(readlink),     CALL(readlinkat),   CALL(fdname),        CALL(chmod),
	CALL(fchmod),       CALL(fchmodat),     CALL(fchmodat2),     CALL(fchmodempty),
	CALL(chown),        CALL(lchown),       CALL(fchown),        CALL(fchownat),
	CALL(utime),        CALL(utimes),       CALL(futimesat),     CALL(utimensat),
	CALL(futimens),     CALL(truncate),     CALL(ftruncate),     CALL(setxattr),
	CALL(lsetxattr),    CALL(fsetxattr),    CALL(setxattrat),    CALL(getxattr),
	CALL(lgetxattr),    CALL(fgetxattr),    CALL(getxattrat),    CALL(listxattr),
	CALL(llistxattr),   CALL(flistxattr),   CALL(listxattrat),   CALL(removexattr),
	CALL(lremovexattr), CALL(fremovexattr), CALL(removexattrat), CALL(list),
	CALL(listold),      CALL(lseek),        CALL(statfs),        CALL(handle),
	CALL(unlink),
};

static void call(struct script *s, char *text)
{
	char *word;
	size_t i = 0;

	s->n = 0;
	while ((word = strsep(&text, " ")) && s->n < ARGS_MAX)
		if (*word)
			s->arg[s->n++] = word;
	if (!s->n)
		return;
	while (i < COUNT(calls) && strcmp(calls[i].name, s->arg[0]) != 0)
		i++;
	must(i < COUNT(calls), s->arg[0]);
	calls[i].run(s);
}

/* ---- what is there */

static void add_contents(struct str *out, const char *file)
{
	char buf[4096];
	uint64_t sum = 14695981039346656037u;
	int fd = open(file, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	ssize_t len;

	if (fd < 0) {
		str_addf(out, " %s", strerrorname_np(errno));
		return;
	}
	while ((len = read(fd, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < len; i++)
			sum = (sum ^ (unsigned char)buf[i]) * 1099511628211u;
	close(fd);
	str_addf(out, " %llx", (unsigned long long)sum);
}

static void add_attributes(struct str *out, const char *file)
{
	char list[1024], text[64];
	ssize_t len = llistxattr(file, list, sizeof(list)), n;

	for (ssize_t at = 0; at < len; at += (ssize_t)strlen(list + at) + 1) {
		n = lgetxattr(file, list + at, text, sizeof(text));
		str_addf(out, " %s=%.*s", list + at, n < 0 ? 0 : (int)n, text);
	}
}

static void add_tree(struct str *out, const char *dir, const char *prefix)
{
	struct dirent **names = NULL;
	int n = scandir(dir, &names, NULL, alphasort);

	for (int i = 0; i < n; i++) {
		char file[PATH_MAX], name[PATH_MAX], link[256] = "";
		struct stat st;

		snprintf(file, sizeof(file), "%s/%s", dir, names[i]->d_name);
		snprintf(name, sizeof(name), "%s%s", prefix, names[i]->d_name);
		if (strcmp(names[i]->d_name, ".") == 0 || strcmp(names[i]->d_name, "..") == 0)
			continue;
		if (lstat(file, &st) < 0) {
			str_addf(out, "%s: %s\n", name, strerrorname_np(errno));
			continue;
		}
		str_addf(out, "%s: ", name);
		add_stat(out, &st);
		if (S_ISREG(st.st_mode))
			add_contents(out, file);
		if (S_ISLNK(st.st_mode) && readlink(file, link, sizeof(link) - 1) > 0)
			str_addf(out, " -> %s", link);
		if (!S_ISLNK(st.st_mode))
			add_attributes(out, file);
		str_add(out, "\n");
		if (S_ISDIR(st.st_mode)) {
			strcat(name, "/");
			add_tree(out, file, name);
		}
	}
	while (n-- > 0)
		free(names[n]);
	free(names);
}

void script_tree(const char *dir, char *out, size_t size)
{
	struct str text = { .buf = out, .size = size };

	out[0] = '\0';
	add_tree(&text, dir, "");
}

void script_run(const char *dir, const char *script, char *out, size_t size)
{
	struct script s = { .dir = dir, .out = { .buf = out, .size = size } };
	char *copy = strdup(script), *rest = copy, *one;

	out[0] = '\0';
	s.at = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	for (size_t i = 0; i < SCRIPT_FDS; i++)
		s.fd[i] = -1;
	while ((one = strsep(&rest, ";")))
		call(&s, one);
	for (size_t i = 0; i < SCRIPT_FDS; i++)
		if (s.fd[i] >= 0)
			close(s.fd[i]);
	close(s.at);
	free(copy);
	add_tree(&s.out, dir, "");
}
