/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls that make, remove and move names in a copy-on-write directory, against a plain one: a row
 * is what there is, and what is called. It runs with what there is on the lower side, with all of
 * it on the upper side, and in the plain directory; results and the trees afterwards have to be the
 * same, and the lower side as it was.
 */
#include "lib/guarded.h"

#include "base/fd.h"
#include "base/sys.h"
#include "lib/scratch.h"
#include "lib/tap.h"
#include "live/cow_name_rows.h"
#include "old_calls.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/fs.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS_MAX 12
#define WORDS_MAX 6
#define TREE_MAX 3000
#define LOWER_MAX (1 << 20)

/* ---- the language of the rows */

struct at {
	const char *here; /* the row's own directory, which is the working directory */
	char buf[2][2 * PATH_MAX];
};

/* "@/x" is absolute, "~255" a name of so many bytes, "^n" a path of so many to ".", "''" is
 * empty. */
static const char *path_of(struct at *at, unsigned i, const char *word)
{
	char *out = at->buf[i];
	size_t n;

	if (word[0] == '@') {
		snprintf(out, sizeof(at->buf[0]), "%s%s", at->here, word + 1);
	} else if (word[0] == '~') {
		n = (size_t)atoi(word + 1);
		memset(out, 'n', n);
		out[n] = '\0';
	} else if (word[0] == '^') {
		n = (size_t)atoi(word + 1);
		for (size_t k = 0; k < n; k++)
			out[k] = k % 2 == n % 2 ? '/' : '.';
		out[0] = '.';
		out[n] = '\0';
	} else if (strcmp(word, "''") == 0) {
		out[0] = '\0';
	} else {
		return word;
	}
	return out;
}

static mode_t mode_of(const char *word)
{
	return (mode_t)strtoul(word, NULL, 8);
}

static unsigned flags_of(const char *word)
{
	static const struct {
		const char *name;
		unsigned value;
	} words[] = {
		{ "noreplace", RENAME_NOREPLACE }, { "exchange", RENAME_EXCHANGE },
		{ "whiteout", RENAME_WHITEOUT },   { "both", RENAME_NOREPLACE | RENAME_EXCHANGE },
		{ "follow", AT_SYMLINK_FOLLOW },   { "rmdir", AT_REMOVEDIR },
		{ "empty", AT_EMPTY_PATH },        { "bad", 0x8000 },
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		if (strcmp(words[i].name, word) == 0)
			return words[i].value;
	return 0;
}

#define P(n) path_of(at, (n), w[(n) + 1])

static long do_file(struct at *at, char **w)
{
	int fd = open(P(0), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode_of(w[2]));
	long ret = fd < 0 ? -1 : write(fd, w[1], strlen(w[1])) < 0 ? -1 : 0;

	fd_close(fd);
	return ret ? ret : chmod(P(0), mode_of(w[2]));
}

static long do_dir(struct at *at, char **w)
{
	return mkdir(P(0), 0700) ? -1 : chmod(P(0), mode_of(w[2]));
}

static long do_chown(struct at *at, char **w)
{
	uid_t id = (uid_t)atoi(w[2]);

	return lchown(P(0), id, id);
}

static long do_chmod(struct at *at, char **w)
{
	return chmod(P(0), mode_of(w[2]));
}

static long do_mkdir(struct at *at, char **w)
{
	return OLD_MKDIR < 0 ? mkdirat(AT_FDCWD, P(0), mode_of(w[2]))
			     : syscall(OLD_MKDIR, P(0), mode_of(w[2]));
}

static long do_mkdirat(struct at *at, char **w)
{
	auto_fd dir = open(P(0), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -1 : syscall(SYS_mkdirat, dir, P(1), mode_of(w[3]));
}

static long do_rmdir(struct at *at, char **w)
{
	return OLD_RMDIR < 0 ? unlinkat(AT_FDCWD, P(0), AT_REMOVEDIR) : syscall(OLD_RMDIR, P(0));
}

static long do_unlink(struct at *at, char **w)
{
	return OLD_UNLINK < 0 ? unlinkat(AT_FDCWD, P(0), 0) : syscall(OLD_UNLINK, P(0));
}

static long do_unlinkat(struct at *at, char **w)
{
	return syscall(SYS_unlinkat, AT_FDCWD, P(0), flags_of(w[2]));
}

static long do_unlinkfd(struct at *at, char **w)
{
	auto_fd dir = open(P(0), O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	return dir < 0 ? -1 : syscall(SYS_unlinkat, dir, P(1), 0);
}

static long do_symlink(struct at *at, char **w)
{
	return OLD_SYMLINK < 0 ? symlinkat(P(0), AT_FDCWD, P(1)) : syscall(OLD_SYMLINK, P(0), P(1));
}

static long do_symlinkat(struct at *at, char **w)
{
	return syscall(SYS_symlinkat, P(0), AT_FDCWD, P(1));
}

static long do_mknod(struct at *at, char **w)
{
	return OLD_MKNOD < 0 ? syscall(SYS_mknodat, AT_FDCWD, P(0), mode_of(w[2]), 0)
			     : syscall(OLD_MKNOD, P(0), mode_of(w[2]), 0);
}

static long do_mknodat(struct at *at, char **w)
{
	return syscall(SYS_mknodat, AT_FDCWD, P(0), mode_of(w[2]), 0);
}

static long do_rename(struct at *at, char **w)
{
	return OLD_RENAME < 0 ? renameat(AT_FDCWD, P(0), AT_FDCWD, P(1))
			      : syscall(OLD_RENAME, P(0), P(1));
}

static long do_rename2(struct at *at, char **w)
{
	return syscall(SYS_renameat2, AT_FDCWD, P(0), AT_FDCWD, P(1), flags_of(w[3]));
}

/* Between two directories' descriptors. */
static long do_renamefd(struct at *at, char **w)
{
	auto_fd from = open(w[1], O_RDONLY | O_DIRECTORY | O_CLOEXEC),
		to = open(w[3], O_PATH | O_DIRECTORY | O_CLOEXEC);

	(void)at;
	return from < 0 || to < 0 ? -1 : renameat(from, w[2], to, w[4]);
}

static long do_link(struct at *at, char **w)
{
	return OLD_LINK < 0 ? linkat(AT_FDCWD, P(0), AT_FDCWD, P(1), 0)
			    : syscall(OLD_LINK, P(0), P(1));
}

static long do_linkat(struct at *at, char **w)
{
	return syscall(SYS_linkat, AT_FDCWD, P(0), AT_FDCWD, P(1), flags_of(w[3]));
}

/* A file that never had a name. */
static long do_linktmp(struct at *at, char **w)
{
	auto_fd fd = open(".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0640);
	char text[32];

	if (fd < 0 || write(fd, "tmp", 3) != 3)
		return -1;
	snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
	return syscall(SYS_linkat, AT_FDCWD, text, AT_FDCWD, P(0), AT_SYMLINK_FOLLOW);
}

/* An open file, by its descriptor. */
static long do_linkfd(struct at *at, char **w)
{
	auto_fd fd = open(P(0), O_RDONLY | O_CLOEXEC);

	return fd < 0 ? -1 : syscall(SYS_linkat, fd, "", AT_FDCWD, P(1), AT_EMPTY_PATH);
}

/* The same of a file whose name is another's by now. */
static long do_linkgone(struct at *at, char **w)
{
	auto_fd fd = open(P(0), O_RDONLY | O_CLOEXEC), other = -1;

	if (fd < 0 || unlink(P(0)))
		return -1;
	other = open(P(0), O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	return other < 0 ? -1 : syscall(SYS_linkat, fd, "", AT_FDCWD, P(1), AT_EMPTY_PATH);
}

static long do_chdir(struct at *at, char **w)
{
	return syscall(SYS_chdir, P(0));
}

static long do_chroot(struct at *at, char **w)
{
	return syscall(SYS_chroot, P(0));
}

static long do_stat(struct at *at, char **w)
{
	struct stat st;

	return fstatat(AT_FDCWD, P(0), &st, AT_SYMLINK_NOFOLLOW) ? -1 : (long)(st.st_mode & S_IFMT);
}

static long do_links(struct at *at, char **w)
{
	struct stat st;

	return lstat(P(0), &st) ? -1 : (long)st.st_nlink;
}

static long do_umask(struct at *at, char **w)
{
	(void)at;
	umask(mode_of(w[1]));
	return 0;
}

/* From here on somebody else. */
static long do_as(struct at *at, char **w)
{
	uid_t id = (uid_t)atoi(w[1]);

	(void)at;
	return setgroups(0, NULL) || setresgid(id, id, id) || setresuid(id, id, id) ? -1 : 0;
}

static long do_mount(struct at *at, char **w)
{
	return syscall(SYS_mount, P(0), P(1), NULL, MS_BIND, NULL);
}

static long do_umount(struct at *at, char **w)
{
	return syscall(SYS_umount2, P(0), MNT_DETACH);
}

/* A pointer to nowhere, and one to the last bytes before that. */
static long do_fault(struct at *at, char **w)
{
	(void)at;
	switch (w[1][0]) {
	case 'm':
		return syscall(SYS_mkdirat, AT_FDCWD, (void *)8, 0700);
	case 'u':
		return syscall(SYS_unlinkat, AT_FDCWD, (void *)8, 0);
	case 'r':
		return syscall(SYS_renameat, AT_FDCWD, "f", AT_FDCWD, (void *)8);
	case 'l':
		return syscall(SYS_linkat, AT_FDCWD, (void *)8, AT_FDCWD, "x", 0);
	case 's':
		return syscall(SYS_symlinkat, (void *)8, AT_FDCWD, "x");
	default:
		return syscall(SYS_chdir, (void *)8);
	}
}

static long do_badfd(struct at *at, char **w)
{
	(void)at;
	switch (w[1][0]) {
	case 'm':
		return syscall(SYS_mkdirat, 99, "x", 0700);
	case 'u':
		return syscall(SYS_unlinkat, 99, "f", 0);
	case 'r':
		return syscall(SYS_renameat, AT_FDCWD, "f", 99, "x");
	case 'l':
		return syscall(SYS_linkat, 99, "f", AT_FDCWD, "x", 0);
	default:
		return syscall(SYS_symlinkat, "t", 99, "x");
	}
}

static const struct op {
	const char *name;
	long (*run)(struct at *at, char **words);
	unsigned n;
} ops[] = {
	{ "file", do_file, 2 },         { "dir", do_dir, 2 },
	{ "chown", do_chown, 2 },       { "chmod", do_chmod, 2 },
	{ "mkdir", do_mkdir, 2 },       { "mkdirat", do_mkdirat, 3 },
	{ "rmdir", do_rmdir, 1 },       { "unlink", do_unlink, 1 },
	{ "unlinkat", do_unlinkat, 2 }, { "unlinkfd", do_unlinkfd, 2 },
	{ "symlink", do_symlink, 2 },   { "symlinkat", do_symlinkat, 2 },
	{ "mknod", do_mknod, 2 },       { "mknodat", do_mknodat, 2 },
	{ "rename", do_rename, 2 },     { "rename2", do_rename2, 3 },
	{ "renamefd", do_renamefd, 4 }, { "link", do_link, 2 },
	{ "linkat", do_linkat, 3 },     { "linktmp", do_linktmp, 1 },
	{ "linkfd", do_linkfd, 2 },     { "linkgone", do_linkgone, 2 },
	{ "chdir", do_chdir, 1 },       { "chroot", do_chroot, 1 },
	{ "stat", do_stat, 1 },         { "links", do_links, 1 },
	{ "umask", do_umask, 1 },       { "as", do_as, 1 },
	{ "mount", do_mount, 2 },       { "umount", do_umount, 1 },
	{ "fault", do_fault, 1 },       { "badfd", do_badfd, 1 },
};

static long run_call(struct at *at, char *text)
{
	char *words[WORDS_MAX] = { NULL }, *word;
	size_t n = 0, i = 0;
	long ret;

	while ((word = strsep(&text, " ")))
		if (*word && n < WORDS_MAX)
			words[n++] = word;
	if (!n)
		return 0;
	while (i < sizeof(ops) / sizeof(ops[0]) && strcmp(ops[i].name, words[0]) != 0)
		i++;
	if (i == sizeof(ops) / sizeof(ops[0]) || n != ops[i].n + 1) {
		printf("Bail out! no such call: %s, %zu words\n", words[0], n);
		fflush(stdout);
		_exit(9);
	}
	errno = 0;
	ret = ops[i].run(at, words);
	return ret < 0 ? -errno : ret;
}

static size_t run_calls(const char *here, const char *text, long *out)
{
	struct at at = { .here = here };
	char copy[1024], *rest = copy, *call;
	size_t n = 0;

	snprintf(copy, sizeof(copy), "%s", text);
	while ((call = strsep(&rest, ";")) && n < CALLS_MAX)
		out[n++] = run_call(&at, call);
	return n;
}

/* ---- what is there afterwards */

struct text {
	char *at;
	size_t len, size;
};

static void __attribute__((format(printf, 2, 3))) add(struct text *t, const char *fmt, ...)
{
	va_list list;

	va_start(list, fmt);
	if (t->len < t->size)
		t->len += (size_t)vsnprintf(t->at + t->len, t->size - t->len, fmt, list);
	va_end(list);
}

/* The target of a link, the begin of a file. */
static void read_some(const char *path, mode_t mode, char *out, size_t size)
{
	ssize_t n = 0;
	int fd;

	if (S_ISLNK(mode)) {
		n = readlink(path, out, size - 1);
	} else if (S_ISREG(mode)) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n = fd < 0 ? -1 : read(fd, out, size - 1);
		fd_close(fd);
	}
	if (n < 0)
		n = snprintf(out, size, "%m");
	out[n] = '\0';
}

static void dump(const char *dir, const char *below, struct text *out)
{
	char path[2 * PATH_MAX], inner[PATH_MAX], some[128];
	struct dirent **names;
	int n = scandir(dir, &names, NULL, alphasort);
	struct stat st;

	if (n < 0)
		add(out, "%s: %m\n", below);
	for (int i = 0; i < n; i++) {
		const char *name = names[i]->d_name;

		if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, name);
		snprintf(inner, sizeof(inner), "%.200s/%.20s", below, name);
		if (lstat(path, &st) < 0) {
			add(out, "%s: %m\n", inner);
			continue;
		}
		read_some(path, st.st_mode, some, sizeof(some));
		/* an absolute target differs by nature */
		if (S_ISLNK(st.st_mode) && some[0] == '/')
			strcpy(some, "@");
		add(out, "%s %06o %u:%u %u %.40s\n", inner, st.st_mode, st.st_uid, st.st_gid,
		    S_ISDIR(st.st_mode) ? 0 : (unsigned)st.st_nlink, some);
		if (S_ISDIR(st.st_mode))
			dump(path, inner, out);
	}
}

/* ---- the three of them */

enum side { LOWER, UPPER, SIDES };

struct outcome {
	size_t n;
	long ret[CALLS_MAX];
	char tree[TREE_MAX];
};

static struct {
	const struct cow_name_row *rows;
	size_t n;
	char root[64];
	struct outcome *out; /* [row][side][shown, plain] */
} box;

static struct outcome *outcome(size_t row, enum side side, bool plain)
{
	return &box.out[(row * SIDES + side) * 2 + plain];
}

static void here(char *out, size_t size, size_t row, enum side side, bool plain)
{
	snprintf(out, size, "%s/%s/%c%zu", box.root, plain ? "plain" : "work", "lu"[side], row);
}

static void in_process(void (*run)(size_t row, enum side side, bool plain), size_t row,
		       enum side side, bool plain)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		umask(0);
		run(row, side, plain);
		_exit(0);
	}
	waitpid(pid, &status, 0);
	if (status)
		printf("# row %zu: status %#x\n", row, status);
}

static void prepare(size_t row, enum side side, bool plain)
{
	char dir[128];
	long ret[CALLS_MAX];
	size_t n;

	here(dir, sizeof(dir), row, side, plain);
	if (chdir(dir) < 0)
		_exit(1);
	n = run_calls(dir, box.rows[row].before, ret);
	for (size_t i = 0; i < n; i++)
		if (ret[i] < 0) {
			printf("# %s: call %zu: %s\n", box.rows[row].before, i,
			       strerror((int)-ret[i]));
			_exit(1);
		}
}

static void call(size_t row, enum side side, bool plain)
{
	struct outcome *o = outcome(row, side, plain);
	char dir[128];

	here(dir, sizeof(dir), row, side, plain);
	if (chdir(dir) < 0)
		_exit(1);
	o->n = run_calls(dir, box.rows[row].calls, o->ret);
}

static void look(size_t row, enum side side, bool plain)
{
	struct text out = { .at = outcome(row, side, plain)->tree, .size = TREE_MAX };
	char dir[128];

	here(dir, sizeof(dir), row, side, plain);
	dump(dir, "", &out);
}

static int run_all(void *plain)
{
	for (size_t row = 0; row < box.n; row++)
		for (enum side side = 0; side < SIDES; side++) {
			if (side == UPPER)
				in_process(prepare, row, side, plain);
			in_process(call, row, side, plain);
			in_process(look, row, side, plain);
		}
	return 0;
}

static void make_directories(int dir)
{
	static const char *const names[] = { "work", "plain", "upper", "inner", "out", "out/d" };
	char path[128];

	for (size_t i = 0; i < 6; i++)
		ok(mkdirat(dir, names[i], 0755) == 0, "%s", names[i]);
	close(openat(dir, "out/o", O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
	for (size_t row = 0; row < box.n; row++)
		for (enum side side = 0; side < SIDES; side++)
			for (int plain = 0; plain < 2; plain++) {
				here(path, sizeof(path), row, side, plain);
				if (mkdir(path, 0777) < 0 || chmod(path, 0777) < 0)
					exit(1);
				if (side == LOWER)
					in_process(prepare, row, side, plain);
			}
}

static int below(int dir, const char *name)
{
	return openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static const char *side_name(enum side side)
{
	return side == LOWER ? "lower" : "upper";
}

static const char *result_of(const struct outcome *o, size_t i)
{
	return o->ret[i] < 0 ? strerrorname_np((int)-o->ret[i]) : "done";
}

static void compare(size_t row, enum side side)
{
	const struct outcome *a = outcome(row, side, false), *b = outcome(row, side, true);
	const struct cow_name_row *r = &box.rows[row];
	size_t i = 0;

	while (i < a->n && a->ret[i] == b->ret[i])
		i++;
	ok(a->n == b->n && i == a->n, "%s side: [%s] %s: call %zu is %s, not %s", side_name(side),
	   r->before, r->calls, i, result_of(a, i), result_of(b, i));
	if (strcmp(a->tree, b->tree) != 0)
		is_str(a->tree, b->tree, "%s side: [%s] %s: the tree", side_name(side), r->before,
		       r->calls);
}

/* By the results that are written in the row. */
static void check(size_t row, enum side side)
{
	const struct outcome *o = outcome(row, side, false);
	const struct cow_name_row *r = &box.rows[row];
	char text[256] = "";
	size_t len = 0;

	for (size_t i = 0; i < o->n; i++) {
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s", i ? " " : "");
		if (o->ret[i] < 0)
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%s",
						result_of(o, i));
		else
			len += (size_t)snprintf(text + len, sizeof(text) - len, "%#lo", o->ret[i]);
	}
	is_str(text, r->want, "%s side: [%s] %s", side_name(side), r->before, r->calls);
}

static void compare_rows(const struct cow_name_row *rows, size_t n)
{
	const size_t size = n * SIDES * 2 * sizeof(struct outcome);
	static char before[LOWER_MAX], after[LOWER_MAX];
	struct text was = { .at = before, .size = LOWER_MAX },
		    is = { .at = after, .size = LOWER_MAX };
	struct super_dir shown = { .mode = LAYER_COW };
	const struct super_config config = { .plan = { .map = true }, .dirs = &shown, .n_dirs = 1 };
	char path[128];
	int dir;

	if (geteuid() != 0)
		tap_skip("rows that are about other users take root");
	umask(0);
	dir = scratch_make();
	snprintf(box.root, sizeof(box.root), "%s", scratch_path());
	box.rows = rows;
	box.n = n;
	box.out = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	fchmod(dir, 0755);
	make_directories(dir);
	snprintf(path, sizeof(path), "%s/work", box.root);
	shown.guest = path;
	shown.lower = below(dir, "work");
	shown.upper = below(dir, "upper");
	shown.work = below(dir, "inner");
	dump(path, "", &was);
	guarded_run(&config, run_all, NULL);
	if (!rows->want)
		run_all("");
	for (size_t row = 0; row < n; row++)
		for (enum side side = 0; side < SIDES; side++)
			(rows->want ? check : compare)(row, side);
	dump(path, "", &is);
	is_str(after, before, "the lower side is as it was");
	fd_close(shown.lower);
	fd_close(shown.upper);
	fd_close(shown.work);
	scratch_drop(dir);
}

#define GROUP(group)                                                \
	static void group(void)                                     \
	{                                                           \
		compare_rows(cow_name_##group, n_cow_name_##group); \
	}
GROUP(mkdir_rows)
GROUP(rmdir_rows)
GROUP(unlink_rows)
GROUP(symlink_rows)
GROUP(mknod_rows)
GROUP(rename_rows)
GROUP(link_rows)
GROUP(chdir_rows)
GROUP(edge_rows)

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(mkdir_rows),   TAP(rmdir_rows), TAP(unlink_rows),
		TAP(symlink_rows), TAP(mknod_rows), TAP(rename_rows),
		TAP(link_rows),    TAP(chdir_rows), TAP(edge_rows),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
