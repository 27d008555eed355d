/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Programs of a copy-on-write directory, against those of a plain one: this program itself, a
 * static one, and scripts, of the lower and of the upper side. What runs says how it was called, by
 * which name it is known, and what it was left; that has to be the same but for the directory.
 */
#include "lib/guarded.h"

#include "base/fd.h"
#include "base/sys.h"
#include "lib/scratch.h"
#include "lib/tap.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TOLD_MAX 1500
#define STATIC_PROGRAM "/bin/busybox"

/* ---- the program that is run */

static int show(int argc, char **argv)
{
	char comm[32] = "", exe[PATH_MAX] = "";
	unsigned long sum = 0;
	FILE *f = fopen("/proc/self/comm", "r");
	int fds = 0;

	if (!f || !fgets(comm, sizeof(comm), f) ||
	    readlink("/proc/self/exe", exe, PATH_MAX - 1) < 0)
		return 1;
	fclose(f);
	for (int fd = 0; fd < 64; fd++)
		fds += fcntl(fd, F_GETFD) >= 0;
	printf("comm %sexe %s\nfds %d\n%d:", comm, exe, fds, argc);
	for (int i = 0; i < argc && i < 12; i++)
		printf(" [%s]", argv[i]);
	for (int i = 0; i < argc; i++)
		sum = sum * 31 + strlen(argv[i]);
	printf(" %lu %s\n", sum, getenv("COW_SHOW"));
	return 0;
}

/* ---- how it is run */

struct told {
	int error; /* of a call that came back; shared with a child of vfork(2), too */
	atomic_bool watched, seen;
	char text[TOLD_MAX];
};

struct row {
	const char *path; /* "@" is the directory */
	enum way {
		PLAIN,
		RELATIVE, /* chdir(2) there first */
		AT_DIR,   /* execveat(2) with the directory's descriptor */
		BY_FD,    /* with the file's, and no path */
		BY_PROC,  /* /proc/self/fd/N */
		NOFOLLOW,
		CHECK, /* AT_EXECVE_CHECK */
		VFORK,
		THREAD,
		WRITTEN, /* while it is open for writing */
		MANY,    /* 20000 arguments */
		TOO_MANY,
		NONE,   /* argv is NULL */
		NOBODY, /* as an ordinary user */
		WATCHED /* the same, beside somebody who shares its descriptors */
	} way;
};

static struct {
	char root[64];
	const char *dir;
	struct told *told, *of;
	const struct row *row;
} box;

static char *envp[] = { "COW_SHOW=yes", NULL };
static char *few[] = { "zero", "one", "", "three", NULL };

static void call(const char *path, char **argv)
{
	syscall(SYS_execve, path, argv, envp);
}

static char **many(size_t n, size_t len)
{
	char **argv = calloc(n + 1, sizeof(*argv)), *text = calloc(1, len + 1);

	memset(text, 'x', len);
	for (size_t i = 0; i < n; i++)
		argv[i] = text;
	return argv;
}

static void *in_thread(void *path)
{
	call(path, few);
	box.told->error = errno;
	_exit(99);
}

static void *idle(void *arg)
{
	for (;;)
		pause();
	return arg;
}

static void by_thread(char *path)
{
	pthread_t t;

	pthread_create(&t, NULL, idle, NULL);
	pthread_create(&t, NULL, in_thread, path);
	for (;;)
		pause();
}

/* What is said must be the child's, and its parent's memory as it was. */
static void by_vfork(const char *path)
{
	volatile unsigned char below[4096];
	int status = 0;
	pid_t pid;

	memset((void *)below, 0x5a, sizeof(below));
	pid = vfork();
	if (pid == 0) {
		call(path, few);
		box.told->error = errno;
		_exit(99);
	}
	waitpid(pid, &status, 0);
	for (size_t i = 0; i < sizeof(below); i++)
		if (below[i] != 0x5a)
			_exit(98);
	_exit(WEXITSTATUS(status));
}

static bool become_nobody(void)
{
	return setgroups(0, NULL) == 0 && setresgid(1000, 1000, 1000) == 0 &&
	       setresuid(1000, 1000, 1000) == 0;
}

static void watch(pid_t parent)
{
	char head[4];

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	while (getppid() == parent) {
		for (int fd = 3; fd < 32; fd++)
			if (pread(fd, head, sizeof(head), 0) == sizeof(head) &&
			    memcmp(head, "\177ELF", sizeof(head)) == 0)
				box.told->seen = true;
		box.told->watched = true;
	}
	_exit(0);
}

/* What is run by a descriptor can be read by that: some calls fail for a reason of their own. */
static void run_watched(const char *path)
{
	pid_t self = getpid();

	if (!become_nobody())
		return;
	if (syscall(SYS_clone, CLONE_FILES | SIGCHLD, NULL, NULL, NULL, NULL) == 0)
		watch(self);
	while (!box.told->watched)
		sched_yield();
	for (int i = 0; i < 20; i++)
		syscall(SYS_execve, path, few, 1);
	call(path, few);
}

static void run(const char *path, enum way way)
{
	auto_fd dir = open(box.dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;
	const char *name = strrchr(path, '/') + 1;
	char text[64];

	switch (way) {
	case PLAIN:
		call(path, few);
		break;
	case RELATIVE:
		if (chdir(box.dir) == 0)
			call(name, few);
		break;
	case AT_DIR:
		sys_execveat(dir, name, few, envp, 0);
		break;
	case BY_FD:
		fd = open(path, O_PATH | O_CLOEXEC);
		sys_execveat(fd, "", few, envp, AT_EMPTY_PATH);
		break;
	case BY_PROC:
		fd = open(path, O_RDONLY | O_CLOEXEC);
		fd = fcntl(fd, F_DUPFD_CLOEXEC, 40);
		snprintf(text, sizeof(text), "/proc/self/fd/%d", fd);
		call(text, few);
		break;
	case NOFOLLOW:
		sys_execveat(AT_FDCWD, path, few, envp, AT_SYMLINK_NOFOLLOW);
		break;
	case CHECK:
		if (sys_execveat(AT_FDCWD, path, few, envp, 0x10000) == 0)
			errno = 0;
		break;
	case VFORK:
		by_vfork(path);
		break;
	case THREAD:
		by_thread((char *)(uintptr_t)path);
		break;
	case WRITTEN:
		fd = open(path, O_WRONLY | O_CLOEXEC);
		call(path, few);
		break;
	case MANY:
		call(path, many(20000, 4));
		break;
	case TOO_MANY:
		call(path, many(20000, 1000));
		break;
	case NONE:
		call(path, NULL);
		break;
	case NOBODY:
		if (become_nobody())
			call(path, few);
		break;
	case WATCHED:
		run_watched(path);
		break;
	}
}

/* The directory's name is "@" in what is told. */
static void tell(const char *out, size_t len)
{
	size_t skip = strlen(box.dir), n = 0;

	for (size_t i = 0; i < len && n < TOLD_MAX - 1;) {
		bool here = strncmp(out + i, box.dir, skip) == 0;

		box.told->text[n++] = here ? '@' : out[i];
		i += here ? skip : 1;
	}
	box.told->text[n] = '\0';
}

static void run_row(const struct row *r)
{
	char path[PATH_MAX], out[4096] = "";
	int ends[2], status = -1;
	size_t len = 0;
	ssize_t n;
	pid_t pid;

	snprintf(path, sizeof(path), "%s%s", r->path[0] == '@' ? box.dir : "",
		 r->path + (r->path[0] == '@'));
	if (pipe2(ends, O_CLOEXEC))
		_exit(1);
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		dup2(ends[1], STDOUT_FILENO);
		dup2(ends[1], STDERR_FILENO);
		run(path, r->way);
		box.told->error = errno;
		_exit(99);
	}
	close(ends[1]);
	while (len < sizeof(out) - 32 && (n = read(ends[0], out + len, sizeof(out) - 32 - len)) > 0)
		len += (size_t)n;
	close(ends[0]);
	waitpid(pid, &status, 0);
	len += (size_t)snprintf(out + len, 32, "status %#x", status);
	tell(out, len);
}

/* ---- what there is */

static void __attribute__((format(printf, 3, 4)))
put(const char *name, mode_t mode, const char *fmt, ...)
{
	char text[4096], path[PATH_MAX];
	va_list list;
	int fd, len;

	va_start(list, fmt);
	len = vsnprintf(text, sizeof(text), fmt, list);
	va_end(list);
	snprintf(path, sizeof(path), "%s/%s", box.dir, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0 || write(fd, text, (size_t)len) != len || fchmod(fd, mode)) {
		printf("# %s: %m\n", path);
		_exit(1);
	}
	close(fd);
}

static void copy(const char *from, const char *name, mode_t mode)
{
	static char data[1 << 16];
	char path[PATH_MAX];
	ssize_t n;
	int to, fd = open(from, O_RDONLY | O_CLOEXEC);

	snprintf(path, sizeof(path), "%s/%s", box.dir, name);
	to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	while ((n = read(fd, data, sizeof(data))) > 0)
		if (write(to, data, (size_t)n) != n)
			_exit(1);
	if (fd < 0 || to < 0 || n < 0 || fchmod(to, mode)) {
		printf("# %s: %m\n", path);
		_exit(1);
	}
	close(fd);
	close(to);
}

static void link_to(const char *target, const char *name)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", box.dir, name);
	if (symlink(target, path))
		_exit(1);
}

static void fill(void)
{
	char own[PATH_MAX], longer[300];
	ssize_t n = readlink("/proc/self/exe", own, sizeof(own) - 1);
	const char *d = box.dir;

	if (n < 0)
		_exit(1);
	own[n] = '\0';
	memset(longer, 'l', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	copy(own, "prog", 0755);
	copy(own, "a-name-that-is-longer-than-a-comm", 0755);
	copy(own, "secret", 0711);
	copy(own, "closed", 0700);
	copy(own, "nox", 0644);
	copy(STATIC_PROGRAM, "static", 0755);
	link_to("prog", "link");
	link_to("link", "link2");
	link_to("none", "dangling");
	link_to("loop", "loop");
	put("script", 0755, "#!%s/prog\n", d);
	put("argument", 0755, "#! \t%s/prog  an argument \t\nmore", d);
	put("bylink", 0755, "#!%s/link x\n", d);
	put("relative", 0755, "#!./prog rel\n");
	put("shell", 0755, "#!/bin/sh\necho \"$0\" \"$@\" $COW_SHOW\n");
	put("static-script", 0755, "#!%s/static sh\necho \"$0\" \"$@\"\n", d);
	put("two", 0755, "#!%s/script 2\n", d);
	put("three", 0755, "#!%s/two 3\n", d);
	put("four", 0755, "#!%s/three 4\n", d);
	put("five", 0755, "#!%s/four 5\n", d);
	put("six", 0755, "#!%s/five 6\n", d);
	put("itself", 0755, "#!%s/itself\n", d);
	put("noend", 0755, "#!%s/prog last", d);
	put("nothing", 0755, "#!\n");
	put("blanks", 0755, "#! \t \n");
	put("missing", 0755, "#!%s/none\n", d);
	put("carriage", 0755, "#!%s/prog\r\n", d);
	put("unable", 0755, "#!%s/nox\n", d);
	put("directory", 0755, "#!%s\n", d);
	put("toolong", 0755, "#!%s/%s\n", d, longer);
	put("longargument", 0755, "#!%s/prog %s\n", d, longer);
	put("noscript", 0755, "echo no\n");
	put("empty", 0755, "%s", "");
	put("short", 0755, "#");
	put("script-nox", 0644, "#!%s/prog\n", d);
	put("script-x", 0711, "#!%s/prog\n", d);
}

static const struct row rows[] = {
	{ "@/prog", PLAIN },
	{ "@/prog", RELATIVE },
	{ "@/prog", AT_DIR },
	{ "@/prog", BY_FD },
	{ "@/prog", BY_PROC },
	{ "@/prog", NOFOLLOW },
	{ "@/prog", CHECK },
	{ "@/prog", VFORK },
	{ "@/prog", THREAD },
	{ "@/prog", WRITTEN },
	{ "@/prog", MANY },
	{ "@/prog", TOO_MANY },
	{ "@/prog", NONE },
	{ "@/prog", NOBODY },
	{ "@/./prog", PLAIN },
	{ "@/a-name-that-is-longer-than-a-comm", PLAIN },
	{ "@/a-name-that-is-longer-than-a-comm", RELATIVE },
	{ "@/secret", NOBODY },
	{ "@/secret", WATCHED },
	{ "@/closed", NOBODY },
	{ "@/nox", PLAIN },
	{ "@/nox", CHECK },
	{ "@/none", PLAIN },
	{ "@/none", VFORK },
	{ "@/prog/x", PLAIN },
	{ "@/", PLAIN },
	{ "@/link", PLAIN },
	{ "@/link2", RELATIVE },
	{ "@/link", NOFOLLOW },
	{ "@/dangling", PLAIN },
	{ "@/loop", PLAIN },
	{ "@/static", PLAIN },
	{ "@/static", RELATIVE },
	{ "@/script", PLAIN },
	{ "@/script", RELATIVE },
	{ "@/script", AT_DIR },
	{ "@/script", BY_FD },
	{ "@/script", BY_PROC },
	{ "@/script", CHECK },
	{ "@/script", VFORK },
	{ "@/script", THREAD },
	{ "@/script", MANY },
	{ "@/script", TOO_MANY },
	{ "@/script", NONE },
	{ "@/script", NOBODY },
	{ "@/argument", PLAIN },
	{ "@/argument", VFORK },
	{ "@/bylink", PLAIN },
	{ "@/relative", RELATIVE },
	{ "@/relative", PLAIN },
	{ "@/shell", PLAIN },
	{ "@/shell", VFORK },
	{ "@/static-script", RELATIVE },
	{ "@/two", PLAIN },
	{ "@/three", RELATIVE },
	{ "@/four", PLAIN },
	{ "@/five", PLAIN },
	{ "@/six", PLAIN },
	{ "@/itself", PLAIN },
	{ "@/noend", PLAIN },
	{ "@/nothing", PLAIN },
	{ "@/blanks", PLAIN },
	{ "@/missing", PLAIN },
	{ "@/carriage", PLAIN },
	{ "@/unable", PLAIN },
	{ "@/directory", PLAIN },
	{ "@/toolong", PLAIN },
	{ "@/longargument", PLAIN },
	{ "@/noscript", PLAIN },
	{ "@/empty", PLAIN },
	{ "@/short", PLAIN },
	{ "@/script-nox", PLAIN },
	{ "@/script-nox", CHECK },
	{ "@/script-x", NOBODY },
	{ "@/../outside", PLAIN },
	{ "@/../outside", VFORK },
};

#define N_ROWS (sizeof(rows) / sizeof(rows[0]))

static void run_rows(struct told *to)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		box.told = &to[i];
		run_row(&rows[i]);
	}
}

static int run_shown(void *to)
{
	run_rows(to);
	return 0;
}

static int fill_and_run(void *to)
{
	fill();
	run_rows(to);
	return 0;
}

static int below(int dir, const char *name)
{
	return openat(dir, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void fill_one(int (*run_child)(void *), void *to)
{
	int status = -1;
	pid_t pid;

	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		umask(022);
		_exit(run_child(to));
	}
	waitpid(pid, &status, 0);
	is_int(status, 0, "a directory is made");
}

static int fill_only(void *none)
{
	(void)none;
	fill();
	return 0;
}

/* A script beside the directory whose interpreter is in it. */
static void put_outside(int dir)
{
	char text[128];
	int fd = openat(dir, "outside", O_WRONLY | O_CREAT | O_CLOEXEC, 0755);

	snprintf(text, sizeof(text), "#!%s/prog out\n", box.dir);
	ok(fd >= 0 && write(fd, text, strlen(text)) > 0 && ftruncate(fd, (off_t)strlen(text)) == 0,
	   "a script outside");
	fd_close(fd);
}

static void compare(const struct told *a, const struct told *b, const char *side)
{
	for (size_t i = 0; i < N_ROWS; i++) {
		is_int(a[i].error, b[i].error,
		       "%s side: row %zu: %s by way %d: what it failed with", side, i, rows[i].path,
		       rows[i].way);
		ok(!a[i].seen, "%s side: row %zu: nobody reads what he may not", side, i);
		is_str(a[i].text, b[i].text, "%s side: row %zu: %s by way %d", side, i,
		       rows[i].path, rows[i].way);
	}
}

/* In the same directory, which is what the shown one's lower side is; then shown. */
static void same_as_plain(bool upper)
{
	const size_t size = N_ROWS * sizeof(struct told);
	struct super_dir shown = { .mode = LAYER_COW };
	const struct super_config config = { .plan = { .map = true }, .dirs = &shown, .n_dirs = 1 };
	struct told *of[2];
	char path[128];
	int dir;

	if (geteuid() != 0)
		tap_skip("rows that are about other users take root");
	if (access(STATIC_PROGRAM, X_OK) < 0)
		tap_skip("there is no static program here: %s", STATIC_PROGRAM);
	umask(022);
	dir = scratch_make();
	fchmod(dir, 0755);
	snprintf(path, sizeof(path), "%s/work", scratch_path());
	box.dir = path;
	for (int i = 0; i < 2; i++)
		of[i] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	ok(mkdirat(dir, "work", 0755) == 0 && mkdirat(dir, "upper", 0755) == 0 &&
		   mkdirat(dir, "inner", 0755) == 0 && mkdirat(dir, "plain", 0755) == 0,
	   "directories");
	put_outside(dir);
	fill_one(fill_only, NULL);
	fill_one(run_shown, of[1]);
	/* the upper side alone has them, then */
	if (upper)
		ok(renameat2(dir, "work", dir, "plain", RENAME_EXCHANGE) == 0,
		   "an empty directory");
	shown.guest = path;
	shown.lower = below(dir, "work");
	shown.upper = below(dir, "upper");
	shown.work = below(dir, "inner");
	guarded_run(&config, upper ? fill_and_run : run_shown, of[0]);
	compare(of[0], of[1], upper ? "upper" : "lower");
	fd_close(shown.lower);
	fd_close(shown.upper);
	fd_close(shown.work);
	scratch_drop(dir);
}

static void lower_side(void)
{
	same_as_plain(false);
}

static void upper_side(void)
{
	same_as_plain(true);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = { TAP(lower_side), TAP(upper_side) };

	if (getenv("COW_SHOW"))
		return show(argc, argv);
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
