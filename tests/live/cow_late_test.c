/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies that take long, of files on a file system that can't clone them: nobody waits but who
 * needs them. One that doesn't end by itself is had by a lease on the lower file, which who copies
 * waits for.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "lib/guarded.h"
#include "lib/tap.h"

#define SIZE (8u << 20)
#define QUOTA (SIZE + SIZE / 2)
#define FILES 4000
#define DIRS 3
#define SERVED 10     /* calls at least, while all the files are copied */
#define PATIENCE 6000 /* looks, one each 10 ms */

static struct cow_box box;
static struct guarded guard;
static unsigned char block[SIZE];
static int to_guest[2], to_test[2];

static void fill(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", box.guest, name);
	fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	ok(fd >= 0 && write(fd, block, SIZE) == SIZE, "%s is there", name);
	close(fd);
}

static void begin(uint64_t quota)
{
	char path[128];

	cow_box_make(&box, quota);
	for (size_t i = 0; i < SIZE; i++)
		block[i] = (unsigned char)(i % 251 + 1);
	snprintf(path, sizeof(path), "%s/d", box.guest);
	is_int(mkdir(path, 0755), 0, "a directory");
	fill("f");
	fill("g");
	fill("d/a");
	fill("d/b");
	is_int(pipe2(to_guest, O_CLOEXEC) | pipe2(to_test, O_CLOEXEC), 0, "pipes");
	guarded_start(&guard, &box.config);
}

static void end(void)
{
	guarded_stop(&guard);
	cow_box_drop(&box);
}

/* Who opens it waits, until it is closed. */
static int hold(const char *name)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", box.guest, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	signal(SIGIO, SIG_IGN);
	ok(fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0, "a lease on %s: %m", name);
	return fd;
}

/* Who was forked meanwhile has the descriptor as well. */
static void give_up(int lease)
{
	is_int(fcntl(lease, F_SETLEASE, F_UNLCK), 0, "the lease is given up");
	close(lease);
}

static void say(int fd)
{
	ok(write(fd, "", 1) == 1, "the other one is told");
}

static bool hear(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char byte;

	return poll(&p, 1, PATIENCE * 10) == 1 && read(fd, &byte, 1) == 1;
}

/* The supervisor's children that have not ended. */
static int copiers(void)
{
	char path[64], text[512] = "", *at = text;
	int n = 0, fd;
	pid_t pid;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/children", guard.loop, guard.loop);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) < 0)
		tap_skip("%s can't be read: %s", path, strerror(errno));
	close(fd);
	while ((pid = (pid_t)strtol(at, &at, 10))) {
		char stat[256] = "";

		snprintf(path, sizeof(path), "/proc/%d/stat", pid);
		fd = open(path, O_RDONLY | O_CLOEXEC);
		n += fd >= 0 && read(fd, stat, sizeof(stat) - 1) > 0 && !strstr(stat, ") Z");
		close(fd);
	}
	return n;
}

/* What stands half made in the work directory. */
static int halves(void)
{
	char path[128];
	struct dirent *e;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/work", box.path);
	dir = opendir(path);
	while (dir && (e = readdir(dir)))
		n += e->d_name[0] == 't';
	if (dir)
		closedir(dir);
	return n;
}

static bool comes_to(int (*count)(void), int want)
{
	const struct timespec moment = { 0, 10 * 1000 * 1000 };

	for (int i = 0; i < PATIENCE && count() != want; i++)
		nanosleep(&moment, NULL);
	return count() == want;
}

static bool is_whole(int fd)
{
	static unsigned char got[SIZE];

	return pread(fd, got, SIZE, 0) == SIZE && memcmp(got, block, SIZE) == 0;
}

static void *open_to_write(void *name)
{
	return (void *)(intptr_t)open(name, O_RDWR);
}

static int waits_here(void *none)
{
	pthread_t threads[2];
	struct stat st, both[2];
	void *fd;

	(void)none;
	must(chdir(box.guest) == 0);
	for (int i = 0; i < 2; i++)
		must(pthread_create(&threads[i], NULL, open_to_write, "f") == 0);
	must(hear(to_guest[0]));
	must(stat("f", &st) == 0 && st.st_size == SIZE);
	must(mkdir("made", 0755) == 0 && open("d", O_RDONLY | O_DIRECTORY) >= 0);
	must(write(to_test[1], "", 1) == 1);
	for (int i = 0; i < 2; i++) {
		pthread_join(threads[i], &fd);
		must((int)(intptr_t)fd >= 0 && is_whole((int)(intptr_t)fd));
		must(fstat((int)(intptr_t)fd, &both[i]) == 0);
		must(write((int)(intptr_t)fd, block, 1) == 1);
	}
	must(both[0].st_ino == both[1].st_ino);
	return 0;
}

static void others_are_answered(void)
{
	int lease;
	pid_t child;

	begin(0);
	lease = hold("f");
	child = guarded_begin(&guard, waits_here, NULL);
	ok(comes_to(copiers, 1) && comes_to(halves, 1), "it is copied apart");
	say(to_guest[1]);
	ok(hear(to_test[0]), "others are answered meanwhile");
	is_int(copiers(), 1, "it still waits");
	is_int(halves(), 1, "and is copied once");
	give_up(lease);
	is_int(guarded_end(child), 0, "the child is content");
	is_int(halves(), 0, "nothing is left half made");
	end();
}

static int changes_here(void *none)
{
	struct stat st;
	int fd;

	(void)none;
	must(chdir(box.guest) == 0);
	must((fd = open("f", O_RDONLY)) >= 0 && fchmod(fd, 0600) == 0);
	must(is_whole(fd) && stat("f", &st) == 0 && (st.st_mode & 07777) == 0600);
	must(rename("d", "e") == 0 && access("d", F_OK) < 0 && errno == ENOENT);
	must((fd = open("e/a", O_RDWR)) >= 0 && is_whole(fd));
	must((fd = open("e/b", O_RDWR | O_APPEND)) >= 0 && is_whole(fd));
	must(link("g", "h") == 0 && stat("h", &st) == 0 && st.st_nlink == 2);
	must(truncate("h", SIZE / 2) == 0 && stat("g", &st) == 0 && st.st_size == SIZE / 2);
	return 0;
}

static void every_call_comes_again(void)
{
	begin(0);
	is_int(guarded_end(guarded_begin(&guard, changes_here, NULL)), 0, "the child is content");
	is_int(halves(), 0, "nothing is left half made");
	ok(comes_to(copiers, 0), "nor any who copies");
	end();
}

static int dies_here(void *none)
{
	pid_t pid;
	int fd;

	(void)none;
	must(chdir(box.guest) == 0);
	pid = fork();
	if (pid == 0)
		_exit(open("f", O_RDWR) < 0);
	must(hear(to_guest[0]));
	/* room for one more is there only without the first */
	must(open("g", O_RDWR) < 0 && errno == ENOSPC);
	must(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	must(write(to_test[1], "", 1) == 1 && hear(to_guest[0]));
	must((fd = open("g", O_RDWR)) >= 0 && is_whole(fd));
	return 0;
}

static void nothing_is_left_of_the_killed(void)
{
	struct stat st;
	pid_t child;
	int lease;

	begin(QUOTA);
	lease = hold("f");
	child = guarded_begin(&guard, dies_here, NULL);
	ok(comes_to(copiers, 1), "it is copied apart");
	say(to_guest[1]);
	ok(hear(to_test[0]), "the caller is dead");
	ok(comes_to(copiers, 0) && comes_to(halves, 0), "nothing is left of the copy");
	is_int(fstatat(box.map.upper, "f", &st, 0), -1, "nor is there a whole one");
	say(to_guest[1]);
	is_int(guarded_end(child), 0, "the child is content");
	give_up(lease);
	end();
}

static int leaves_here(void *none)
{
	(void)none;
	must(chdir(box.guest) == 0);
	return open("f", O_RDWR) < 0;
}

static void it_ends_with_the_supervisor(void)
{
	pid_t child;
	int lease;

	begin(0);
	lease = hold("f");
	child = guarded_begin(&guard, leaves_here, NULL);
	ok(comes_to(copiers, 1), "it is copied apart");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	guarded_stop(&guard);
	is_int(halves(), 0, "nothing is left of the copy");
	give_up(lease);
	cow_box_drop(&box);
}

/* ---- a directory that is moved, with many files in it */

struct files {
	bool moved;
	char gone[FILES], changed[FILES];
};

static struct files *files;

static void name_file(const char *dir, int i, char out[64])
{
	snprintf(out, 64, "%s/%d/f%d", dir, i % DIRS, i);
}

static void make_files(void)
{
	char path[64];

	must(chdir(box.guest) == 0 && mkdir("many", 0755) == 0);
	for (int i = 0; i < DIRS; i++) {
		snprintf(path, sizeof(path), "many/%d", i);
		must(mkdir(path, 0755) == 0);
	}
	for (int i = 0; i < FILES; i++) {
		int fd;

		name_file("many", i, path);
		must((fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644)) >= 0);
		must(dprintf(fd, "%d", i) > 0 && close(fd) == 0);
	}
	must(chdir("/") == 0);
}

/* One of them is removed, one changed, one looked at. False where none has that name any more. */
static bool use(int i)
{
	struct stat st;
	char path[64];
	int fd;

	name_file("many", i, path);
	if (i % 4 == 0)
		return unlink(path) == 0 && (files->gone[i] = 1);
	if (i % 4 > 1)
		return stat(path, &st) == 0;
	fd = open(path, O_WRONLY | O_APPEND);
	if (fd < 0)
		return false;
	must(write(fd, "+", 1) == 1 && close(fd) == 0);
	files->changed[i] = 1;
	return true;
}

static void is_as_it_was_left(int i)
{
	char path[64], want[32], text[32] = "";
	int fd;

	name_file("moved", i, path);
	fd = open(path, O_RDONLY);
	must(fd >= 0 ? !files->gone[i] : files->gone[i] && errno == ENOENT);
	if (fd < 0)
		return;
	snprintf(want, sizeof(want), "%d%s", i, files->changed[i] ? "+" : "");
	must(read(fd, text, sizeof(text) - 1) == (ssize_t)strlen(want) && strcmp(text, want) == 0);
	close(fd);
}

static int moves_here(void *none)
{
	int used = 0, status;
	pid_t pid;

	(void)none;
	must(chdir(box.guest) == 0 && (pid = fork()) >= 0);
	if (pid == 0) {
		status = rename("many", "moved");
		__atomic_store_n(&files->moved, true, __ATOMIC_RELEASE);
		_exit(status < 0);
	}
	/* the last ones first: what is copied already, and what is not */
	for (int i = FILES; i-- > 0 && !__atomic_load_n(&files->moved, __ATOMIC_ACQUIRE);)
		used += use(i);
	must(waitpid(pid, &status, 0) == pid && status == 0);
	must(used > SERVED);
	must(access("many", F_OK) < 0 && errno == ENOENT);
	for (int i = 0; i < FILES; i++)
		is_as_it_was_left(i);
	return 0;
}

static void with_many_files(int (*here)(void *))
{
	cow_box_make(&box, 0);
	make_files();
	files = mmap(NULL, sizeof(*files), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	guarded_run(&box.config, here, NULL);
	is_int(halves(), 0, "nothing is left half made");
	cow_box_drop(&box);
}

static void many_are_copied_between_other_calls(void)
{
	with_many_files(moves_here);
}

/* The directory that was half copied is what it was. */
static int gives_up_here(void *none)
{
	int i = 0;
	pid_t pid;

	(void)none;
	must(chdir(box.guest) == 0 && (pid = fork()) >= 0);
	if (pid == 0)
		_exit(rename("many", "moved") < 0);
	while (i < SERVED)
		must(use(i++));
	must(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
	must(access("moved", F_OK) < 0 && errno == ENOENT);
	must(rename("many", "moved") == 0);
	for (i = 0; i < FILES; i++)
		is_as_it_was_left(i);
	return 0;
}

static void a_half_copied_directory_is_moved_later(void)
{
	with_many_files(gives_up_here);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(others_are_answered),
		TAP(every_call_comes_again),
		TAP(nothing_is_left_of_the_killed),
		TAP(it_ends_with_the_supervisor),
		TAP(many_are_copied_between_other_calls),
		TAP(a_half_copied_directory_is_moved_later),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
