/* SPDX-License-Identifier: Apache-2.0 */
/* A copy-on-write directory with a quota: every way in which a file grows meets it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "lib/guarded.h"
#include "lib/tap.h"

#define QUOTA (1u << 20)
#define PART (QUOTA / 4)
#define BIG (2 * QUOTA)

static char block[BIG];

#define full(call) must((call) < 0 && errno == ENOSPC)

static int make(const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

	must(fd >= 0);
	return fd;
}

static int writes(int fd, int input)
{
	(void)input;
	must(write(fd, block, PART) == PART);
	full(write(fd, block, QUOTA));
	must(write(fd, block, PART) == PART);
	/* what is there already doesn't grow */
	must(pwrite(fd, block, PART, 0) == PART);
	return 2;
}

static int appends(int fd, int input)
{
	(void)input;
	must(fcntl(fd, F_SETFL, O_APPEND) == 0);
	must(write(fd, block, PART) == PART);
	must(lseek(fd, 0, SEEK_SET) == 0);
	full(write(fd, block, QUOTA - PART + 1));
	must(write(fd, block, PART) == PART);
	return 2;
}

static int pwrites(int fd, int input)
{
	(void)input;
	must(pwrite(fd, block, PART, 0) == PART);
	full(pwrite(fd, block, 1, QUOTA));
	must(pwrite(fd, block, 1, 2 * PART - 1) == 1);
	return 2;
}

static int writes_vectors(int fd, int input)
{
	struct iovec iov[100];

	(void)input;
	for (size_t i = 0; i < 100; i++)
		iov[i] = (struct iovec){ block, QUOTA / 100 + 1 };
	full(writev(fd, iov, 100));
	must(writev(fd, iov, 25) > 0);
	full(pwritev(fd, iov, 99, QUOTA / 50));
	must(pwritev(fd, iov, 1, 0) > 0);
	full(pwritev2(fd, iov, 99, QUOTA / 50, 0));
	full(pwritev2(fd, iov, 99, -1, 0));
	must(ftruncate(fd, PART) == 0);
	return 1;
}

static int truncates(int fd, int input)
{
	(void)input;
	full(ftruncate(fd, QUOTA + 1));
	must(ftruncate(fd, PART) == 0);
	full(truncate("part", QUOTA + 1));
	must(truncate("part", 2 * PART) == 0);
	must(ftruncate(fd, PART) == 0);
	return 1;
}

static int allocates(int fd, int input)
{
	(void)input;
	full(fallocate(fd, 0, 0, QUOTA + 1));
	must(fallocate(fd, 0, 0, PART) == 0);
	full(fallocate(fd, FALLOC_FL_ZERO_RANGE, PART, QUOTA));
	must(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096) == 0);
	return 1;
}

static int sends(int fd, int input)
{
	off_t at = 0;

	full(sendfile(fd, input, &at, BIG));
	must(sendfile(fd, input, &at, PART) == PART);
	at = BIG - PART;
	/* no more than there is */
	must(sendfile(fd, input, &at, BIG) == PART);
	return 2;
}

static int copies(int fd, int input)
{
	loff_t from = 0, to = 0;

	full(copy_file_range(input, &from, fd, &to, BIG, 0));
	from = BIG - PART;
	must(copy_file_range(input, &from, fd, &to, BIG, 0) == PART);
	must(to == PART);
	full(copy_file_range(input, NULL, fd, NULL, BIG, 0));
	return 1;
}

static int splices(int fd, int input)
{
	loff_t at = QUOTA;
	int ends[2];

	(void)input;
	must(pipe(ends) == 0 && write(ends[1], block, 4096) == 4096);
	full(splice(ends[0], NULL, fd, &at, 4096, 0));
	must(splice(ends[0], NULL, fd, NULL, 4096, 0) == 4096);
	must(ftruncate(fd, PART) == 0);
	must(syscall(SYS_io_setup, 8, &at) < 0 && errno == ENOSYS);
	return 1;
}

static int (*way)(int fd, int input);
static struct cow_box box;

/* All that one way has made counts for every other one. */
static int run(void *arg)
{
	struct statfs fs;
	struct stat st;
	int fd, rest, parts, input = open("/proc/self/exe", O_RDONLY);

	(void)arg;
	memset(block, 'x', sizeof(block));
	close(input);
	input = open(arg, O_RDONLY | O_CLOEXEC);
	must(input >= 0 && chdir(box.guest) == 0);
	fd = make("part");
	parts = way(fd, input);
	must(fstat(fd, &st) == 0 && st.st_size == parts * (off_t)PART);
	rest = make("rest");
	full(write(rest, block, QUOTA - parts * PART + 1));
	must(write(rest, block, QUOTA - parts * PART) == (ssize_t)(QUOTA - parts * PART));
	full(write(rest, block, 1));
	must(statfs(".", &fs) == 0 && fs.f_bfree == 0 && fs.f_bavail == 0);
	must((uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize <= QUOTA);
	/* there is nothing to grow in others, and room where something goes */
	must(open("big", O_RDWR) < 0 && errno == ENOSPC);
	must(unlink("part") == 0);
	close(fd);
	must(write(rest, block, PART) == PART);
	must(ftruncate(rest, 0) == 0 && lseek(rest, 0, SEEK_SET) == 0);
	must(write(rest, block, QUOTA) == QUOTA);
	must((rest = open("rest", O_WRONLY | O_TRUNC)) >= 0);
	must(write(rest, block, QUOTA) == QUOTA);
	full(write(rest, block, 1));
	return 0;
}

static void put(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0644);

	ok(fd >= 0 && write(fd, block, sizeof(block)) == sizeof(block), "%s is made", path);
	close(fd);
}

static void meets(int (*by)(int fd, int input))
{
	struct guarded g;
	char input[128], big[128];

	way = by;
	cow_box_make(&box, QUOTA);
	snprintf(input, sizeof(input), "%s/input", box.path);
	snprintf(big, sizeof(big), "%s/big", box.guest);
	put(input);
	put(big);
	guarded_start(&g, &box.config);
	is_int(guarded_end(guarded_begin(&g, run, input)), 0, "the quota is met");
	guarded_stop(&g);
	cow_box_drop(&box);
}

#define WAY(name)                        \
	static void name##_meet_it(void) \
	{                                \
		meets(name);             \
	}
WAY(writes)
WAY(appends)
WAY(pwrites)
WAY(writes_vectors)
WAY(truncates)
WAY(allocates)
WAY(sends)
WAY(copies)
WAY(splices)

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(writes_meet_it),         TAP(appends_meet_it),   TAP(pwrites_meet_it),
		TAP(writes_vectors_meet_it), TAP(truncates_meet_it), TAP(allocates_meet_it),
		TAP(sends_meet_it),          TAP(copies_meet_it),    TAP(splices_meet_it),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
