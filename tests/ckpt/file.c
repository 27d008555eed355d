/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of files: positions, flags, numbers, and who shares them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cycle.h"

static const char *path_of(const char *name)
{
	static char path[512];
	const char *at = getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle";

	snprintf(path, sizeof(path), "%s/%s", at, name);
	return path;
}

static int make(const char *name, const char *text, int flags)
{
	int fd = (int)must(open(path_of(name), O_RDWR | O_CREAT | O_TRUNC | flags, 0644));

	must(write(fd, text, strlen(text)));
	return fd;
}

static void files(void)
{
	int plain = make("plain", "0123456789", 0), appends = make("appends", "abc", O_APPEND);
	int nonblock = (int)must(open(path_of("plain"), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	int dir = (int)must(open(path_of("."), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int path = (int)must(open(path_of("plain"), O_PATH | O_CLOEXEC));
	int high = (int)must(dup2(plain, 500)), copy = (int)must(fcntl(plain, F_DUPFD_CLOEXEC, 3));
	char buf[32] = "";
	struct stat a, b;

	must(lseek(plain, 4, SEEK_SET));
	must(lseek(nonblock, 7, SEEK_SET));
	cycle();
	check(lseek(plain, 0, SEEK_CUR) == 4, "position %ld", (long)lseek(plain, 0, SEEK_CUR));
	must(lseek(plain, 5, SEEK_SET));
	check(lseek(high, 0, SEEK_CUR) == 5 && lseek(copy, 0, SEEK_CUR) == 5,
	      "a dup'ed descriptor has a position of its own");
	check(lseek(nonblock, 0, SEEK_CUR) == 7, "another one's position");
	check(fcntl(copy, F_GETFD) == FD_CLOEXEC && fcntl(plain, F_GETFD) == 0, "close-on-exec");
	check((fcntl(nonblock, F_GETFL) & (O_NONBLOCK | O_ACCMODE)) == (O_NONBLOCK | O_RDONLY),
	      "flags 0x%x", (unsigned)fcntl(nonblock, F_GETFL));
	check((fcntl(plain, F_GETFL) & (O_NONBLOCK | O_ACCMODE | O_APPEND)) == O_RDWR, "flags 0x%x",
	      (unsigned)fcntl(plain, F_GETFL));
	check(fcntl(appends, F_GETFL) & O_APPEND, "O_APPEND is gone");
	must(lseek(appends, 0, SEEK_SET));
	must(write(appends, "def", 3));
	check(pread(appends, buf, sizeof(buf), 0) == 6 && memcmp(buf, "abcdef", 6) == 0, "\"%s\"",
	      buf);
	must(fstat(path, &a));
	must(fstat(plain, &b));
	check(a.st_ino == b.st_ino && (fcntl(path, F_GETFL) & O_PATH), "an O_PATH descriptor");
	check(faccessat(dir, "appends", F_OK, 0) == 0, "a directory");
}

#define ENTRIES 300

/* Counts entries "entry.N" of as many as one call returns; 0 at the end. */
static long read_entries(int dir, unsigned char seen[ENTRIES])
{
	char buf[1024];
	long n = must(syscall(SYS_getdents64, dir, buf, sizeof(buf)));

	for (long at = 0; at < n;) {
		unsigned short len;
		unsigned i;

		/* struct linux_dirent64: getdents(2) */
		memcpy(&len, buf + at + 16, sizeof(len));
		if (sscanf(buf + at + 19, "entry.%u", &i) == 1 && i < ENTRIES)
			seen[i]++;
		at += len;
	}
	return n;
}

/* In the middle of it. */
static void read_directory(const char *at)
{
	unsigned char seen[ENTRIES] = { 0 };
	char name[512];
	int dir;

	for (unsigned i = 0; i < ENTRIES; i++) {
		snprintf(name, sizeof(name), "%s/entry.%u", at, i);
		must(close((int)must(open(name, O_WRONLY | O_CREAT, 0600))));
	}
	dir = (int)must(open(at, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	for (int i = 0; i < 4; i++)
		must(read_entries(dir, seen));
	cycle();
	while (read_entries(dir, seen))
		;
	for (unsigned i = 0; i < ENTRIES; i++)
		check(seen[i] == 1, "entry.%u was seen %u times", i, seen[i]);
}

static void directory_that_stays(void)
{
	char at[256];

	snprintf(at, sizeof(at), "%s", path_of("."));
	read_directory(at);
}

static void directory_in_memory(void)
{
	read_directory("/dev/shm");
}

static void shares(void *ctx)
{
	int fd = *(int *)ctx;

	cycle_wait();
	check(lseek(fd, 3, SEEK_CUR) == 7, "the position is not shared");
}

/* One description in two processes. */
static void shared_files(void)
{
	int fd = make("shared", "0123456789", 0);
	pid_t child;

	must(lseek(fd, 4, SEEK_SET));
	child = cycle_child(shares, &fd);
	cycle();
	cycle_join(child);
	check(lseek(fd, 0, SEEK_CUR) == 7, "position %ld", (long)lseek(fd, 0, SEEK_CUR));
}

/* A file without a name, and one that lost it. */
static void deleted(void)
{
	int fd = make("gone", "some text", 0), other, none;
	char buf[32] = "", value[8];
	bool attribute;
	struct stat st, st2;

	other = (int)must(open(path_of("gone"), O_RDONLY | O_CLOEXEC));
	must(unlink(path_of("gone")));
	must(lseek(fd, 5, SEEK_SET));
	must(fchmod(fd, 0640));
	attribute = fsetxattr(fd, "user.a", "value", 5, 0) == 0;
	none = open(path_of("."), O_TMPFILE | O_NOFOLLOW | O_RDWR | O_CLOEXEC, 0600);
	if (none >= 0)
		must(write(none, "nameless", 8));
	cycle();
	must(fstat(fd, &st));
	must(fstat(other, &st2));
	check(st.st_ino == st2.st_ino && st.st_dev == st2.st_dev, "two files now");
	check(st.st_nlink == 0 && st.st_size == 9 && (st.st_mode & 07777) == 0640,
	      "links %u, size %ld, mode 0%o", (unsigned)st.st_nlink, (long)st.st_size,
	      (unsigned)st.st_mode);
	must(write(fd, "TEXT", 4));
	check(read(other, buf, sizeof(buf)) == 9 && strcmp(buf, "some TEXT") == 0, "\"%s\"", buf);
	check(access(path_of("gone"), F_OK) < 0, "it has a name again");
	check(!attribute || (fgetxattr(fd, "user.a", value, sizeof(value)) == 5 &&
			     memcmp(value, "value", 5) == 0),
	      "an extended attribute");
	if (none >= 0)
		check(pread(none, buf, sizeof(buf), 0) == 8 && memcmp(buf, "nameless", 8) == 0,
		      "one that never had a name: \"%s\"", buf);
}

static void wants(const char *map, size_t at, const char *text)
{
	check(memcmp(map + at, text, strlen(text)) == 0, "at %zu: \"%.*s\"", at, (int)strlen(text),
	      map + at);
}

static void looks(void *ctx)
{
	char *map = ctx;

	cycle_wait();
	for (int i = 0; i < 60000 && *(volatile char *)map != 'X'; i++)
		cycle_sleep(1);
	wants(map, 0, "X");
}

/* Removed files that are mapped: shared with a descriptor and with a child, private, and with
 * nothing else left of them. */
static void deleted_mapped(void)
{
	const struct timespec times[2] = { { 86400, 111 }, { 172800, 222222222 } };
	int fd = make("mapped", "first page", 0), alone = make("alone", "nothing but this", 0);
	char *shared, *private, *left, buf[16] = "";
	struct stat st;
	pid_t child;

	must(ftruncate(fd, (16 << 20) + 100));
	must(pwrite(fd, "second page", 11, 4096));
	must(pwrite(fd, "the end", 7, 16 << 20));
	must(ftruncate(alone, 8192));
	must(pwrite(alone, "more", 4, 4096));
	shared = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
	left = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, alone, 0);
	must(shared == MAP_FAILED || private == MAP_FAILED || left == MAP_FAILED ? -1 : 0);
	memcpy(private + 4096, "private", 7);
	memcpy(left, "its own", 7);
	must(fchmod(fd, 0200));
	must(unlink(path_of("mapped")));
	must(unlink(path_of("alone")));
	close(alone);
	must(futimens(fd, times));
	child = cycle_child(looks, shared);
	cycle();
	must(fstat(fd, &st));
	check(st.st_size == (16 << 20) + 100 && st.st_blocks < 1024 && st.st_nlink == 0,
	      "size %ld, blocks %ld, links %u", (long)st.st_size, (long)st.st_blocks,
	      (unsigned)st.st_nlink);
	check((st.st_mode & 07777) == 0200 && st.st_mtim.tv_sec == 172800 &&
		      st.st_mtim.tv_nsec == 222222222,
	      "mode 0%o, time %ld.%09ld", (unsigned)st.st_mode, (long)st.st_mtim.tv_sec,
	      st.st_mtim.tv_nsec);
	wants(shared, 0, "first page");
	wants(private, 0, "first page");
	wants(private, 4096, "privatepage");
	wants(shared, 4096, "second page");
	wants(left, 0, "its own but this");
	wants(left, 4096, "more");
	must(pwrite(fd, "X", 1, 0));
	wants(shared, 0, "Xirst");
	wants(private, 0, "Xirst");
	cycle_join(child);
	check(pread(fd, buf, 7, 16 << 20) == 7 && memcmp(buf, "the end", 7) == 0, "\"%s\"", buf);
}

/* More than an image carries. */
static void deleted_large(void)
{
	int fd = make("large", "some text", 0);

	if (fallocate(fd, 0, 0, 300 << 20) < 0)
		cycle_skip("the file system does not allocate 300 MiB: %s", strerror(errno));
	must(unlink(path_of("large")));
	cycle();
}

/* Another name is left: a change through that one shows. */
static void deleted_linked(void)
{
	int fd = make("one", "some text", 0), other;
	char buf[16] = "";

	must(linkat(fd, "", AT_FDCWD, path_of("other"), AT_EMPTY_PATH));
	must(unlink(path_of("one")));
	cycle();
	other = (int)must(open(path_of("other"), O_WRONLY | O_CLOEXEC));
	must(write(other, "SOME", 4));
	check(pread(fd, buf, 9, 0) == 9 && memcmp(buf, "SOME text", 9) == 0, "\"%s\"", buf);
}

const struct cycle_case file_cases[] = {
	{ "files", files },
	{ "files-shared", shared_files },
	{ "directory-read", directory_that_stays },
	{ "directory-in-memory", directory_in_memory },
	{ "files-deleted", deleted },
	{ "files-deleted-mapped", deleted_mapped },
	{ "files-deleted-linked", deleted_linked },
	{ "files-deleted-large", deleted_large },
	{ NULL, NULL },
};
