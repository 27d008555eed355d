/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Calls whose arguments lie in memory that another thread provides when it is looked at
 * (userfaultfd(2)): who makes them waits for that thread, and nobody else does.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <linux/userfaultfd.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "lib/guarded.h"
#include "lib/tap.h"
#include "super/absent.h"

#define PAGE 4096
#define PAGES (3 * ABSENT_MAX)
#define QUOTA (1u << 20)
#define PATIENCE 300 /* seconds until a call that is stuck fails the test */

static struct cow_box box;
static struct guarded guard;

/* The child's. Pages of `there` are absent until what is in `given` is put into them. */
static int served = -1;
static char *there;
static char given[PAGES][PAGE] __attribute__((aligned(PAGE)));

static void serve(uint64_t mode)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register area = { .mode = mode };

	served = (int)syscall(SYS_userfaultfd, O_CLOEXEC);
	must(served >= 0 && ioctl(served, UFFDIO_API, &api) == 0);
	there = mmap(NULL, sizeof(given), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		     0);
	must(there != MAP_FAILED);
	area.range.start = (uintptr_t)there;
	area.range.len = sizeof(given);
	must(ioctl(served, UFFDIO_REGISTER, &area) == 0);
}

/* The page that somebody waits for. */
static size_t asked(void)
{
	struct uffd_msg msg;

	must(read(served, &msg, sizeof(msg)) == sizeof(msg) && msg.event == UFFD_EVENT_PAGEFAULT);
	return (msg.arg.pagefault.address - (uintptr_t)there) / PAGE;
}

static void provide(size_t page)
{
	struct uffdio_copy copy = {
		.dst = (uintptr_t)there + page * PAGE,
		.src = (uintptr_t)given[page],
		.len = PAGE,
	};

	must(ioctl(served, UFFDIO_COPY, &copy) == 0 || errno == EEXIST);
}

static void *provide_all(void *arg)
{
	(void)arg;
	for (;;)
		provide(asked());
	return NULL;
}

static void begin_serving(void)
{
	pthread_t thread;

	serve(UFFDIO_REGISTER_MODE_MISSING);
	must(pthread_create(&thread, NULL, provide_all, NULL) == 0);
}

/* What was provided is absent again. */
static void take_away(void)
{
	must(madvise(there, sizeof(given), MADV_DONTNEED) == 0);
}

static int in_guest(void *arg)
{
	int (*run)(void) = arg;

	alarm(PATIENCE);
	must(chdir(box.guest) == 0);
	return run();
}

static void need_userfaultfd(void)
{
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC);

	if (fd < 0)
		tap_skip("no userfaultfd is to be had: %s", strerror(errno));
	close(fd);
}

static void supervised(uint64_t quota, int (*run)(void))
{
	need_userfaultfd();
	cow_box_make(&box, quota);
	guarded_start(&guard, &box.config);
	is_int(guarded_end(guarded_begin(&guard, in_guest, run)), 0, "the child is content");
	guarded_stop(&guard);
	cow_box_drop(&box);
}

static void *make_dir(void *text)
{
	must(mkdir(text, 0755) == 0);
	return NULL;
}

/* Anything that the supervisor has to answer. */
static void do_something(void)
{
	struct stat st;

	must(mkdir("other", 0755) == 0 && stat("other", &st) == 0 && S_ISDIR(st.st_mode));
	must(access("one", F_OK) < 0 && errno == ENOENT);
	must(rmdir("other") == 0);
}

static int one_waits(void)
{
	pthread_t thread;

	serve(UFFDIO_REGISTER_MODE_MISSING);
	strcpy(given[0], "one");
	must(pthread_create(&thread, NULL, make_dir, there) == 0);
	must(asked() == 0);
	do_something();
	provide(0);
	must(pthread_join(thread, NULL) == 0);
	return access("one", F_OK);
}

static void others_go_on(void)
{
	supervised(0, one_waits);
}

static int many_wait(void)
{
	pthread_t threads[PAGES];
	char name[16];

	serve(UFFDIO_REGISTER_MODE_MISSING);
	for (size_t i = 0; i < PAGES; i++) {
		snprintf(given[i], PAGE, "d%zu", i);
		must(pthread_create(&threads[i], NULL, make_dir, there + i * PAGE) == 0);
	}
	for (size_t i = 0; i < PAGES; i++) {
		size_t page = asked();

		if (i == 0)
			do_something();
		provide(page);
	}
	for (size_t i = 0; i < PAGES; i++) {
		must(pthread_join(threads[i], NULL) == 0);
		snprintf(name, sizeof(name), "d%zu", i);
		must(rmdir(name) == 0);
	}
	return 0;
}

static void as_many_as_there_are(void)
{
	supervised(0, many_wait);
}

static void text_over_two_pages(void)
{
	char *text = there + PAGE - 3;

	memcpy(given[0] + PAGE - 3, "f", 1);
	memset(given[0] + PAGE - 2, '/', 2);
	strcpy(given[1], "in");
	must(mkdir("f", 0755) == 0 && mkdir(text, 0755) == 0);
	must(access("f/in", F_OK) == 0);
}

static void structures(void)
{
	const struct open_how how = { .flags = O_WRONLY | O_CREAT, .mode = 0640 };
	const struct timespec times[2] = { { .tv_sec = 1 }, { .tv_sec = 12345 } };
	struct stat st;
	int fd;

	memcpy(given[2], &how, sizeof(how));
	memcpy(given[3], times, sizeof(times));
	fd = (int)syscall(SYS_openat2, AT_FDCWD, "g", there + 2 * PAGE, sizeof(how));
	must(fd >= 0 && close(fd) == 0);
	must(utimensat(AT_FDCWD, "g", (const struct timespec *)(there + 3 * PAGE), 0) == 0);
	must(stat("g", &st) == 0 && st.st_mtime == 12345 && (st.st_mode & 0777) == 0640);
}

static void results(void)
{
	struct stat st;
	bool found = false;
	int dir;
	long len;

	take_away();
	must(stat("g", (struct stat *)there) == 0 && stat("g", &st) == 0);
	must(((struct stat *)there)->st_ino == st.st_ino);
	must(symlink("target", "link") == 0);
	must(readlink("link", there + PAGE, PAGE) == 6 && memcmp(there + PAGE, "target", 6) == 0);
	must(syscall(SYS_getcwd, there + 2 * PAGE, PAGE) > 0);
	must(strcmp(there + 2 * PAGE, box.guest) == 0);
	dir = open(".", O_RDONLY | O_DIRECTORY);
	len = syscall(SYS_getdents64, dir, there + 3 * PAGE, PAGE);
	must(len > 0);
	for (char *at = there + 3 * PAGE; at < there + 3 * PAGE + len;
	     at += ((struct dirent64 *)at)->d_reclen)
		found |= strcmp(((struct dirent64 *)at)->d_name, "link") == 0;
	must(found);
	must(syscall(SYS_getdents64, dir, there + 4 * PAGE, PAGE) == 0);
	close(dir);
}

static int uses_them(void)
{
	begin_serving();
	text_over_two_pages();
	structures();
	results();
	return 0;
}

static void calls_are_what_they_were(void)
{
	supervised(0, uses_them);
}

static int points_nowhere(void)
{
	char *nothing = mmap(NULL, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct stat st;

	begin_serving();
	must(nothing != MAP_FAILED && munmap(nothing, PAGE) == 0);
	must(mkdir(nothing, 0755) < 0 && errno == EFAULT);
	must(mkdir("d", 0755) == 0);
	must(stat("d", (struct stat *)nothing) < 0 && errno == EFAULT);
	must(mkdir((char *)-PAGE, 0755) < 0 && errno == EFAULT);
	must(stat("d", &st) == 0);
	return 0;
}

static void bad_pointers_are_bad(void)
{
	supervised(0, points_nowhere);
}

/* Who would have to let it go on waits for the call. */
static int is_protected(void)
{
	struct uffdio_writeprotect protect = { .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	serve(UFFDIO_REGISTER_MODE_WP);
	memset(there, 1, PAGE);
	protect.range.start = (uintptr_t)there;
	protect.range.len = PAGE;
	must(ioctl(served, UFFDIO_WRITEPROTECT, &protect) == 0);
	must(mkdir("d", 0755) == 0);
	must(stat("d", (struct stat *)there) < 0 && errno == EFAULT);
	return stat("d", (struct stat *)(there + PAGE));
}

static void what_is_protected_is_no_loop(void)
{
	supervised(0, is_protected);
}

static int waits_forever(int to)
{
	alarm(PATIENCE);
	serve(UFFDIO_REGISTER_MODE_MISSING);
	if (fork() == 0) {
		alarm(PATIENCE);
		must(asked() == 0 && write(to, "", 1) == 1);
		pause();
	}
	mkdir(there, 0755);
	return 1;
}

/* A process that waits is killed, with who could have let it go on. */
static int kills_one(void)
{
	int pipes[2], status;
	char byte;
	pid_t pid;

	must(pipe(pipes) == 0);
	for (int i = 0; i < 2 * ABSENT_MAX; i++) {
		pid = fork();
		must(pid >= 0);
		if (pid == 0)
			_exit(waits_forever(pipes[1]));
		if (i >= ABSENT_MAX)
			must(kill(pid, SIGKILL) == 0);
		else
			must(read(pipes[0], &byte, 1) == 1);
		if (i == ABSENT_MAX - 1)
			do_something();
	}
	must(signal(SIGTERM, SIG_IGN) != SIG_ERR && kill(0, SIGTERM) == 0);
	while (waitpid(-1, &status, 0) > 0)
		must(WIFSIGNALED(status));
	do_something();
	return one_waits();
}

static int in_a_group(void)
{
	must(setpgid(0, 0) == 0);
	return kills_one();
}

/* The processes that the supervisor has. */
static int helpers(void)
{
	char path[64], text[512] = "";
	int fd, n = 0;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", guard.loop, guard.loop);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		tap_skip("%s can't be read: %s", path, strerror(errno));
	close(fd);
	for (char *at = text; strtol(at, &at, 10);)
		n++;
	return n;
}

static void nobody_waits_for_the_killed(void)
{
	need_userfaultfd();
	cow_box_make(&box, 0);
	guarded_start(&guard, &box.config);
	is_int(guarded_end(guarded_begin(&guard, in_guest, in_a_group)), 0, "the child is content");
	while (helpers())
		usleep(1000);
	guarded_stop(&guard);
	cow_box_drop(&box);
}

static int writes_too_much(void)
{
	static char block[2 * QUOTA];
	const struct iovec iov = { block, sizeof(block) };
	int fd = open("f", O_WRONLY | O_CREAT, 0644);

	begin_serving();
	memcpy(given[0], &iov, sizeof(iov));
	must(fd >= 0 && writev(fd, (struct iovec *)there, 1) < 0 && errno == ENOSPC);
	return 0;
}

static void nothing_goes_past(void)
{
	supervised(QUOTA, writes_too_much);
}

static int binds(void *arg)
{
	const struct sockaddr_in addr = {
		.sin_family = AF_INET,
		.sin_addr = { htonl(INADDR_LOOPBACK) },
	};
	int fd = socket(AF_INET, SOCK_STREAM, 0);
	socklen_t len = sizeof(addr);

	(void)arg;
	alarm(PATIENCE);
	begin_serving();
	memcpy(given[0], &addr, sizeof(addr));
	must(bind(fd, (struct sockaddr *)there, sizeof(addr)) == 0);
	must(getsockname(fd, (struct sockaddr *)(there + PAGE), &len) == 0);
	must(((struct sockaddr_in *)(there + PAGE))->sin_port != 0);
	return 0;
}

static void ports_as_well(void)
{
	const struct super_config config = { .plan = { .ports = true } };

	need_userfaultfd();
	guarded_run(&config, binds, NULL);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(others_go_on),
		TAP(as_many_as_there_are),
		TAP(calls_are_what_they_were),
		TAP(bad_pointers_are_bad),
		TAP(what_is_protected_is_no_loop),
		TAP(nobody_waits_for_the_killed),
		TAP(nothing_goes_past),
		TAP(ports_as_well),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
