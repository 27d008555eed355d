/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/str.h"

static int plain_open(void *arg, const char *path, struct stat *out)
{
	int fd = openat(*(const int *)arg, *path ? path : ".", O_PATH | O_NOFOLLOW | O_CLOEXEC);

	return fd < 0 || fstat(fd, out) < 0 ? -errno : fd;
}

void tree_add(struct tree_names *names, const void *buf, size_t len)
{
	const struct dirent64 *e;

	for (const char *p = buf; p < (const char *)buf + len; p += e->d_reclen) {
		e = (const struct dirent64 *)p;
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
			continue;
		if (names->n == TREE_NAMES_MAX)
			abort();
		names->v[names->n++] = strdup(e->d_name);
	}
}

void tree_free(struct tree_names *names)
{
	for (size_t i = 0; i < names->n; i++)
		free(names->v[i]);
	names->n = 0;
}

static int plain_list(void *arg, const char *path, struct tree_names *out)
{
	_Alignas(struct dirent64) char buf[4096];
	auto_fd dir = openat(*(const int *)arg, *path ? path : ".",
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t n;

	if (dir < 0)
		return -errno;
	while ((n = getdents64(dir, buf, sizeof(buf))) > 0)
		tree_add(out, buf, (size_t)n);
	return n < 0 ? -errno : 0;
}

struct tree tree_plain(const int *dir)
{
	return (struct tree){ .arg = (void *)(uintptr_t)dir,
			      .open = plain_open,
			      .list = plain_list };
}

struct text {
	char *buf;
	size_t len;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *t, const char *fmt, ...)
{
	char *piece;
	va_list ap;
	int n;

	va_start(ap, fmt);
	n = vasprintf(&piece, fmt, ap);
	va_end(ap);
	t->buf = n < 0 ? NULL : realloc(t->buf, t->len + (size_t)n + 1);
	if (!t->buf)
		abort();
	memcpy(t->buf + t->len, piece, (size_t)n + 1);
	t->len += (size_t)n;
	free(piece);
}

/* FNV-1a of the bytes; holes are zeros. */
static void add_content(struct text *t, int fd)
{
	auto_fd file = fd_reopen(fd, O_RDONLY);
	uint64_t hash = 0xcbf29ce484222325;
	char buf[4096];
	ssize_t n;

	if (file < 0) {
		add(t, " unreadable:%d", file);
		return;
	}
	while ((n = read(file, buf, sizeof(buf))) > 0)
		for (ssize_t i = 0; i < n; i++)
			hash = (hash ^ (unsigned char)buf[i]) * 0x100000001b3;
	add(t, " %016" PRIx64, hash);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

static void add_xattrs(struct text *t, int fd)
{
	char proc[64], names[4096], value[4096], *v[64];
	ssize_t len;
	size_t n = 0;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	len = listxattr(proc, names, sizeof(names));
	for (char *p = names; p < names + len && n < 64; p += strlen(p) + 1)
		if (!str_starts(p, "user.overlay."))
			v[n++] = p;
	qsort(v, n, sizeof(*v), by_name);
	for (size_t i = 0; i < n; i++) {
		ssize_t size = getxattr(proc, v[i], value, sizeof(value));

		add(t, " %s=", v[i]);
		for (ssize_t k = 0; k < size; k++)
			add(t, "%02x", (unsigned char)value[k]);
	}
}

static void add_time(struct text *t, const struct tree *tree, const struct timespec *when)
{
	if (tree->since && when->tv_sec < tree->since)
		add(t, " %jd.%09ld", (intmax_t)when->tv_sec, when->tv_nsec);
	else if (tree->since)
		add(t, " new");
}

static void add_file(struct text *t, const struct tree *tree, const char *path, int fd,
		     const struct stat *st)
{
	char target[PATH_MAX];
	ssize_t n;

	add(t, "/%s %o %u:%u", path, st->st_mode, st->st_uid, st->st_gid);
	if (!S_ISDIR(st->st_mode) && tree->links)
		add(t, " x%ju", (uintmax_t)st->st_nlink);
	add_time(t, tree, &st->st_mtim);
	if (S_ISREG(st->st_mode)) {
		add(t, " %jd", (intmax_t)st->st_size);
		add_content(t, fd);
	} else if (S_ISLNK(st->st_mode)) {
		n = readlinkat(fd, "", target, sizeof(target));
		add(t, " -> %.*s", (int)(n < 0 ? 0 : n), target);
	}
	add_xattrs(t, fd);
	add(t, "\n");
}

static void add_tree(struct text *t, const struct tree *tree, const char *path)
{
	struct tree_names names = { .n = 0 };
	char below[PATH_MAX];
	struct stat st;
	auto_fd fd = tree->open(tree->arg, path, &st);
	int ret = 0;

	if (fd < 0) {
		add(t, "/%s cannot be opened: %s\n", path, strerror(-fd));
		return;
	}
	add_file(t, tree, path, fd, &st);
	if (S_ISDIR(st.st_mode))
		ret = tree->list(tree->arg, path, &names);
	if (ret)
		add(t, "/%s cannot be listed: %s\n", path, strerror(-ret));
	qsort(names.v, names.n, sizeof(names.v[0]), by_name);
	for (size_t i = 0; i < names.n; i++) {
		snprintf(below, sizeof(below), "%s%s%s", path, *path ? "/" : "", names.v[i]);
		add_tree(t, tree, below);
	}
	tree_free(&names);
}

char *tree_text(const struct tree *t)
{
	struct text text = { .buf = NULL };

	add_tree(&text, t, "");
	return text.buf;
}

static void mix(int dir, const char *name, unsigned n)
{
	static const mode_t modes[] = { 0755, 0777, 01777, 0700, 0711, 02777, 01770, 0733 };
	struct stat st;

	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchownat(dir, name, n % 3 ? 65534 : 0, n % 5 ? 65534 : 0, AT_SYMLINK_NOFOLLOW) < 0 ||
	    (S_ISDIR(st.st_mode) && fchmodat(dir, name, modes[n % 8], 0) < 0))
		abort();
}

static void age(int dir, const char *name, unsigned n)
{
	struct timespec times[2] = { { 1000000000 + n, 123456789 }, { 1100000000 + n, 987654321 } };

	if (utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0)
		abort();
}

static void fill_file(int dir, const char *name, unsigned r)
{
	static const mode_t modes[] = { 0644, 0600, 0444, 0755 };
	auto_fd fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	for (unsigned i = 0; i < r % 5; i++)
		dprintf(fd, "%s %u %u\n", name, i, r);
	if (r % 7 == 0 && pwrite(fd, "end", 3, 100000) != 3)
		abort();
	if (r % 11 == 0)
		fsetxattr(fd, "user.test", name, strlen(name), 0);
	fchmod(fd, modes[r % 4]);
}

static void fill(int dir, unsigned *seed, int depth, bool mixed)
{
	static const char *const names[] = { "a", "b", "c", "d" };

	for (unsigned i = 0; i < 4; i++) {
		unsigned r = (unsigned)rand_r(seed);

		switch (r % 8) {
		case 0:
		case 1:
		case 2:
			if (depth && mkdirat(dir, names[i], 0755) == 0) {
				auto_fd inner = openat(dir, names[i], O_RDONLY | O_CLOEXEC);

				fill(inner, seed, depth - 1, mixed);
				break;
			}
			/* fallthrough */
		case 3:
		case 4:
			fill_file(dir, names[i], r / 8);
			break;
		case 5:
			if (symlinkat(r & 64 ? "a" : "../nowhere", dir, names[i]) < 0)
				abort();
			break;
		case 6:
			if (i && linkat(dir, names[i - 1], dir, names[i], 0) == 0)
				break;
			mkfifoat(dir, names[i], 0640);
			break;
		default:
			continue;
		}
		if (mixed)
			mix(dir, names[i], r / 64);
		age(dir, names[i], r % 1000);
	}
}

void tree_fill(int dir, unsigned seed, bool mixed)
{
	fill(dir, &seed, 3, mixed);
	if (mixed)
		mix(dir, ".", seed % 3 ? 1 : 2);
	age(dir, ".", seed % 1000);
}
