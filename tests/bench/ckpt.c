/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long checkpoint and restore take, and what bare programs need for as much of it: in turns.
 *
 *	ckpt THOLE BUNDLE DIRECTORY RUNS [CRIU]
 *
 * BUNDLE's program is load.c, and reads /shape. Images go to DIRECTORY. CRIU does the same with the
 * bare program, without namespaces. With fewer than HEAVY_RUNS runs the shapes that take gigabytes
 * or hundreds of processes are left out. A row is the median of the runs, its goals behind it. Exit
 * status 1 where a goal is missed.
 */
#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench/median.h"

#define MAX_RUNS 200
#define HEAVY_RUNS 20
#define HEAVY_MAX 5
#define PATIENCE_MS 60000
#define TMPFS 0x01021994
#define TASKS_MAX 2048

/* What is wanted: times in ms, 0 for none. */
struct goals {
	double dump, frozen, restore;
	double write_rate; /* of a plain program's, the part that a checkpoint reaches at least */
	bool populate;     /* restored no slower than as much memory is touched */
};

struct shape {
	const char *name, *word;
	unsigned n;
	bool heavy;
	struct goals goal;
};

static const struct shape shapes[] = {
	{ "1 MiB", "memory", 1, false, { 10, 3, 10, 0, false } },
	{ "64 MiB", "memory", 64, false, { 0, 40, 40, 0, false } },
	{ "512 MiB", "memory", 512, true, { .dump = 0 } },
	{ "2048 MiB", "memory", 2048, true, { 0, 0, 0, 0.75, true } },
	{ "10 processes", "processes", 10, false, { .dump = 0 } },
	{ "100 processes", "processes", 100, false, { 60, 0, 80, 0, false } },
	{ "500 processes", "processes", 500, true, { .dump = 0 } },
	{ "100 threads", "threads", 100, false, { .dump = 0 } },
	{ "1000 threads", "threads", 1000, false, { 40, 0, 80, 0, false } },
	{ "3000 mappings", "mappings", 3000, false, { 0, 0, 15, 0, false } },
};

enum { DUMP, FROZEN, RESTORE, WRITE, POPULATE, STOP, CRIU_DUMP, CRIU_FROZEN, CRIU_RESTORE, SERIES };

struct result {
	double ms[SERIES][MAX_RUNS];
	double bytes;
	long peak; /* KiB of the checkpoint */
};

static const char *thole, *bundle, *dir, *criu;
static char root[256], image[256], id[64];

static void die(const char *what)
{
	fprintf(stderr, "bench: %s: %s\n", what, strerror(errno));
	exit(2);
}

static double now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

/* Runs a program to its end; the time, or -1 where it fails. */
static double run(const char *program, char *const args[], long *peak)
{
	double begin = now_ms();
	struct rusage used;
	int status;
	pid_t pid = vfork();

	if (pid < 0)
		die("vfork");
	if (!pid) {
		execv(program, args);
		_exit(127);
	}
	while (wait4(pid, &status, 0, &used) < 0)
		if (errno != EINTR)
			die("wait4");
	if (peak && used.ru_maxrss > *peak)
		*peak = used.ru_maxrss;
	return status ? -1 : now_ms() - begin;
}

/* NULL-terminated arguments after those of every call. */
#define THOLE(peak, ...) \
	run(thole, (char *[]){ (char *)"thole", (char *)"--root", root, __VA_ARGS__, NULL }, peak)
#define CRIU(...) \
	run(criu, (char *[]){ (char *)"criu", __VA_ARGS__, (char *)"-D", image, NULL }, NULL)

static bool file_there(const char *path)
{
	return access(path, F_OK) == 0;
}

static uint64_t take_varint(const unsigned char **at, const unsigned char *end)
{
	uint64_t v = 0;

	for (int shift = 0; *at < end && shift < 64; shift += 7) {
		v |= (uint64_t)(**at & 0x7f) << shift;
		if (!(*(*at)++ & 0x80))
			break;
	}
	return v;
}

/* Field 2 of the statistics: microseconds frozen. */
static double frozen_ms(void)
{
	unsigned char buf[256];
	const unsigned char *at = buf + 13, *end;
	char path[300];
	double ms = -1;
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "%s/stats-dump", image);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	n = fd < 0 ? -1 : read(fd, buf, sizeof(buf));
	if (n < 13)
		die(path);
	close(fd);
	end = buf + n;
	take_varint(&at, end);
	while (at < end) {
		unsigned field = *at++ >> 3;
		uint64_t v = take_varint(&at, end);

		if (field == 2)
			ms = (double)v / 1e3;
	}
	return ms;
}

static double image_bytes(void)
{
	DIR *d = opendir(image);
	struct dirent *e;
	struct stat st;
	double sum = 0;

	if (!d)
		die(image);
	while ((e = readdir(d)))
		if (fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
		    S_ISREG(st.st_mode))
			sum += (double)st.st_size;
	closedir(d);
	return sum;
}

static void remove_image(void)
{
	DIR *d = opendir(image);
	struct dirent *e;

	while (d && (e = readdir(d)))
		unlinkat(dirfd(d), e->d_name, 0);
	if (d)
		closedir(d);
	rmdir(image);
}

static void await(const char *path)
{
	for (int ms = 0; !file_there(path); ms++) {
		if (ms > PATIENCE_MS) {
			errno = ETIMEDOUT;
			die(path);
		}
		usleep(1000);
	}
}

static void begin_container(const struct shape *s)
{
	char path[300];
	FILE *f;

	snprintf(path, sizeof(path), "%s/rootfs/shape", bundle);
	f = fopen(path, "we");
	if (!f || fprintf(f, "%s %u\n", s->word, s->n) < 0 || fclose(f))
		die(path);
	snprintf(path, sizeof(path), "%s/rootfs/ready", bundle);
	unlink(path);
	if (THOLE(NULL, (char *)"run", (char *)"--detach", (char *)"--bundle", (char *)bundle, id) <
	    0)
		die("run");
	await(path);
}

static void end_container(void)
{
	if (THOLE(NULL, (char *)"delete", (char *)"--force", id) < 0)
		die("delete");
}

/* How long a child needs that fills the memory, and then only does what is measured. */
static double bare(size_t len, double (*measured)(void *at, size_t len))
{
	double ms = 0;
	int fds[2], status;
	pid_t pid;

	if (pipe(fds) || (pid = fork()) < 0)
		die("fork");
	if (!pid) {
		void *at =
			mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			die("mmap");
		ms = measured(at, len);
		_exit(write(fds[1], &ms, sizeof(ms)) != sizeof(ms));
	}
	close(fds[1]);
	if (read(fds[0], &ms, sizeof(ms)) != sizeof(ms))
		die("a bare program");
	close(fds[0]);
	waitpid(pid, &status, 0);
	return ms;
}

/* Writes all of its memory to a file, and brings it to disk as a checkpoint is. */
static double write_own(void *memory, size_t len)
{
	char path[300];
	double begin;
	size_t at = 0;
	int fd;

	memset(memory, 0x5a, len);
	snprintf(path, sizeof(path), "%s/bare", dir);
	begin = now_ms();
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	while (fd >= 0 && at < len) {
		ssize_t n =
			write(fd, (char *)memory + at, len - at < 1u << 20 ? len - at : 1u << 20);

		if (n <= 0)
			die(path);
		at += (size_t)n;
	}
	if (fd < 0 || fsync(fd))
		die(path);
	close(fd);
	begin = now_ms() - begin;
	unlink(path);
	return begin;
}

static double populate(void *memory, size_t len)
{
	double begin = now_ms();

	if (madvise(memory, len, MADV_POPULATE_WRITE))
		die("MADV_POPULATE_WRITE");
	return now_ms() - begin;
}

/*
 * Memory that was free for long has to be got from the host first, where the machine is a virtual
 * one: who comes second would seem faster. So each of them finds as much that was just in use.
 */
static void warm(const struct shape *s)
{
	if (strcmp(s->word, "memory") == 0)
		bare(((size_t)s->n << 20) + ((size_t)s->n << 18), populate);
}

/* The program alone, in a session of its own. Its parent is init: CRIU restores no zombies. */
static pid_t begin_bare(const struct shape *s, char *path, size_t size)
{
	char number[16], load[300];
	int fds[2];
	pid_t pid;

	snprintf(path, size, "%s/ready", dir);
	snprintf(load, sizeof(load), "%s/rootfs/bin/load", bundle);
	snprintf(number, sizeof(number), "%u", s->n);
	unlink(path);
	if (pipe(fds) || (pid = fork()) < 0)
		die("fork");
	if (!pid) {
		int null = open("/dev/null", O_RDWR);

		if (fork())
			_exit(0);
		pid = setsid();
		if (write(fds[1], &pid, sizeof(pid)) != sizeof(pid))
			_exit(1);
		for (int fd = 0; fd < 3; fd++)
			dup2(null, fd);
		for (int fd = 3; fd < 64; fd++)
			close(fd);
		execl(load, load, s->word, number, path, NULL);
		_exit(127);
	}
	waitpid(pid, NULL, 0);
	if (read(fds[0], &pid, sizeof(pid)) != sizeof(pid))
		die("start the bare program");
	close(fds[0]);
	close(fds[1]);
	await(path);
	return pid;
}

static size_t list_tasks(pid_t pid, pid_t *out)
{
	struct dirent *e;
	char path[64];
	size_t n = 0;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	d = opendir(path);
	if (!d)
		die(path);
	while ((e = readdir(d)) && n < TASKS_MAX)
		if (e->d_name[0] != '.')
			out[n++] = atoi(e->d_name);
	closedir(d);
	return n;
}

static void read_task(pid_t pid, pid_t tid)
{
	char path[64], text[4096], regs[4096];
	struct iovec v = { regs, sizeof(regs) };
	int fd;

	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRSTATUS, &v) < 0)
		die("PTRACE_GETREGSET");
	v.iov_len = sizeof(regs);
	if (ptrace(PTRACE_GETREGSET, tid, (void *)NT_PRFPREG, &v) < 0)
		die("PTRACE_GETREGSET");
	snprintf(path, sizeof(path), "/proc/%d/task/%d/status", pid, tid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || read(fd, text, sizeof(text)) <= 0)
		die(path);
	close(fd);
}

/* What no checkpoint of many threads does without, by a bare program: each of them is stopped, its
 * registers are read and its status, and it is ended. */
static double stop_bare(const struct shape *s)
{
	pid_t tids[TASKS_MAX], pid;
	char path[300];
	double begin;
	size_t n;

	pid = begin_bare(s, path, sizeof(path));
	n = list_tasks(pid, tids);
	begin = now_ms();
	for (size_t i = 0; i < n; i++)
		if (ptrace(PTRACE_SEIZE, tids[i], NULL, NULL) < 0 ||
		    ptrace(PTRACE_INTERRUPT, tids[i], NULL, NULL) < 0)
			die("PTRACE_SEIZE");
	for (size_t i = 0; i < n; i++)
		if (waitpid(tids[i], NULL, __WALL) < 0)
			die("waitpid");
	for (size_t i = 0; i < n; i++)
		read_task(pid, tids[i]);
	kill(pid, SIGKILL);
	while (waitpid(-1, NULL, __WALL) > 0)
		;
	unlink(path);
	return now_ms() - begin;
}

static void measure_criu(const struct shape *s, struct result *r, int at)
{
	char path[300], number[16];
	pid_t pid = begin_bare(s, path, sizeof(path));

	snprintf(number, sizeof(number), "%d", pid);
	mkdir(image, 0700);
	warm(s);
	r->ms[CRIU_DUMP][at] = CRIU((char *)"dump", (char *)"-t", number);
	if (r->ms[CRIU_DUMP][at] < 0)
		die("criu dump");
	r->ms[CRIU_FROZEN][at] = frozen_ms();
	warm(s);
	r->ms[CRIU_RESTORE][at] = CRIU((char *)"restore", (char *)"-d");
	if (r->ms[CRIU_RESTORE][at] < 0)
		die("criu restore");
	kill(-pid, SIGKILL);
	remove_image();
	unlink(path);
}

static void measure(const struct shape *s, struct result *r, int at)
{
	size_t len = (size_t)s->n << 20;

	begin_container(s);
	warm(s);
	r->ms[DUMP][at] = THOLE(&r->peak, (char *)"checkpoint", (char *)"--image-path", image, id);
	if (r->ms[DUMP][at] < 0)
		die("checkpoint");
	r->ms[FROZEN][at] = frozen_ms();
	r->bytes = image_bytes();
	warm(s);
	r->ms[RESTORE][at] = THOLE(NULL, (char *)"restore", (char *)"--detach", (char *)"--bundle",
				   (char *)bundle, (char *)"--image-path", image, id);
	if (r->ms[RESTORE][at] < 0)
		die("restore");
	end_container();
	remove_image();
	if (criu)
		measure_criu(s, r, at);
	if (strcmp(s->word, "threads") == 0)
		r->ms[STOP][at] = stop_bare(s);
	if (strcmp(s->word, "memory") == 0) {
		warm(s);
		r->ms[WRITE][at] = bare(len, write_own);
		warm(s);
		r->ms[POPULATE][at] = bare(len, populate);
	}
}

static int goal(const char *what, double is, double limit, const char *unit)
{
	bool met = is <= limit;

	if (limit <= 0)
		return 0;
	printf("%18s%-34s %8.2f of %8.2f %-6s %s\n", "", what, is, limit, unit,
	       met ? "met" : "missed");
	return !met;
}

static int report(const struct shape *s, struct result *r, int runs)
{
	double ms[SERIES];
	int missed;

	for (int i = 0; i < SERIES; i++)
		ms[i] = median_of(r->ms[i], (size_t)runs);
	printf("%-15s %9.1f %9.1f %9.1f %9.1f %9.1f %9.2f %9ld\n", s->name, ms[DUMP], ms[FROZEN],
	       ms[RESTORE], ms[WRITE], ms[POPULATE], r->bytes / 1048576, r->peak);
	if (criu)
		printf("%-15s %9.1f %9.1f %9.1f\n", "  CRIU", ms[CRIU_DUMP], ms[CRIU_FROZEN],
		       ms[CRIU_RESTORE]);
	if (ms[STOP] > 0)
		printf("%-15s %9.1f   to stop them, to read registers and status, and to end "
		       "them\n",
		       "  bare program", ms[STOP]);
	missed = goal("checkpoint", ms[DUMP], s->goal.dump, "ms");
	missed += goal("of it frozen", ms[FROZEN], s->goal.frozen, "ms");
	missed += goal("restore", ms[RESTORE], s->goal.restore, "ms");
	if (s->goal.write_rate > 0)
		missed += goal("checkpoint, of a plain write", ms[DUMP] / ms[WRITE],
			       1 / s->goal.write_rate, "times");
	if (s->goal.populate)
		missed += goal("restore, of touching fresh memory", ms[RESTORE] / ms[POPULATE], 1,
			       "times");
	return missed;
}

/* A shape needs its memory twice, and an image of it (twice on tmpfs) besides. */
static bool fits(const struct shape *s)
{
	double need = strcmp(s->word, "memory") == 0 ? (double)s->n * 1048576 : 0;
	struct statvfs fs;
	FILE *f = fopen("/proc/meminfo", "re");
	unsigned long kb = 0;
	char line[128];

	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "MemAvailable: %lu kB", &kb) == 1)
			break;
	if (f)
		fclose(f);
	if (statvfs(dir, &fs))
		die(dir);
	if ((double)kb * 1024 > 4 * need && (double)fs.f_bavail * (double)fs.f_bsize > 2 * need)
		return true;
	printf("%-15s skipped: not enough memory or room for it\n", s->name);
	return false;
}

int main(int argc, char **argv)
{
	static struct result results[sizeof(shapes) / sizeof(shapes[0])];
	int runs = argc == 5 || argc == 6 ? atoi(argv[4]) : 0, missed = 0;
	const char *only = getenv("BENCH_SHAPE");
	struct statfs fs;

	if (runs < 1 || runs > MAX_RUNS) {
		fprintf(stderr, "usage: ckpt THOLE BUNDLE DIRECTORY RUNS [CRIU]\n");
		return 2;
	}
	thole = argv[1];
	bundle = argv[2];
	dir = argv[3];
	criu = argv[5]; /* NULL where it is not given */
	snprintf(root, sizeof(root), "%s/state", bundle);
	snprintf(image, sizeof(image), "%s/image", dir);
	snprintf(id, sizeof(id), "bench-%d", getpid());
	if (statfs(dir, &fs))
		die(dir);
	printf("\ncheckpoint and restore on %s, median of %d; times in ms\n",
	       fs.f_type == TMPFS ? "tmpfs" : "disk", runs);
	printf("%-15s %9s %9s %9s %9s %9s %9s %9s\n", "", "dump", "frozen", "restore", "write",
	       "populate", "MiB", "peak KiB");
	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		const struct shape *s = &shapes[i];
		int n = s->heavy && runs > HEAVY_MAX ? HEAVY_MAX : runs;

		if ((s->heavy && runs < HEAVY_RUNS) || (only && strcmp(only, s->name) != 0) ||
		    !fits(s))
			continue;
		for (int at = 0; at < n; at++)
			measure(s, &results[i], at);
		missed += report(s, &results[i], n);
		fflush(stdout);
	}
	return missed > 0;
}
