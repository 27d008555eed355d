/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of files: positions, flags, numbers, and who shares them. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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
	char buf[32] = "";
	struct stat st, st2;

	other = (int)must(open(path_of("gone"), O_RDONLY | O_CLOEXEC));
	must(unlink(path_of("gone")));
	must(lseek(fd, 5, SEEK_SET));
	must(fchmod(fd, 0640));
	none = open(path_of("."), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
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
	if (none >= 0)
		check(pread(none, buf, sizeof(buf), 0) == 8 && memcmp(buf, "nameless", 8) == 0,
		      "one that never had a name: \"%s\"", buf);
}

const struct cycle_case file_cases[] = {
	{ "files", files },
	{ "files-shared", shared_files },
	{ "files-deleted", deleted },
	{ NULL, NULL },
};
