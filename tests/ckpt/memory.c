/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of every sort: contents, protection, what is shared with whom, and what was advised. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sem.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cycle.h"

#define PAGE 4096ul
#define PAGES 64ul

static char *map(size_t len, int prot, int flags, int fd)
{
	char *at = mmap(NULL, len, prot, flags, fd, 0);

	must(at == MAP_FAILED ? -1 : 0);
	return at;
}

static void fill(char *at, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = (i + 1) * 0x9e3779b97f4a7c15ull + seed;

		memcpy(at + i, &v, 8);
	}
}

static bool is_filled(const char *at, size_t len, unsigned seed)
{
	for (size_t i = 0; i < len; i += 8) {
		uint64_t v = (i + 1) * 0x9e3779b97f4a7c15ull + seed;

		if (memcmp(at + i, &v, 8) != 0)
			return false;
	}
	return true;
}

static bool is_zero(const char *at, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (at[i])
			return false;
	return true;
}

static int file_of(const char *name, size_t len, unsigned seed)
{
	const char *at = getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle";
	char path[512];
	char *buf = malloc(len);
	int fd;

	snprintf(path, sizeof(path), "%s/%s", at, name);
	fd = (int)must(open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
	fill(buf, len, seed);
	must(write(fd, buf, len) == (ssize_t)len ? 0 : -1);
	free(buf);
	return fd;
}

/* Layout and protection of every mapping, without inode and device, which may change. */
static size_t layout(char *out, size_t size)
{
	static char maps[1 << 18];
	unsigned long start, end, offset, inode;
	char perms[8], dev[16], line[1024];
	int path;
	size_t len = 0;

	cycle_read("/proc/self/maps", maps, sizeof(maps));
	for (char *at = strtok(maps, "\n"); at; at = strtok(NULL, "\n")) {
		if (strstr(at, "vsyscall") || sscanf(at, "%lx-%lx %7s %lx %15s %lu %n", &start,
						     &end, perms, &offset, dev, &inode, &path) < 6)
			continue;
		snprintf(line, sizeof(line), "%lx-%lx %s %lx %s\n", start, end, perms,
			 inode ? offset : 0, at + path);
		if (len + strlen(line) < size) {
			strcpy(out + len, line);
			len += strlen(line);
		}
	}
	return len;
}

static void first_difference(const char *was, const char *is)
{
	size_t i = 0;

	while (was[i] && was[i] == is[i])
		i++;
	while (i && was[i - 1] != '\n')
		i--;
	check(strcmp(was, is) == 0, "mappings: \"%.*s\", was \"%.*s\"", (int)strcspn(is + i, "\n"),
	      is + i, (int)strcspn(was + i, "\n"), was + i);
}

static void contents(void)
{
	static char was[1 << 18], is[1 << 18];
	char *plain, *sparse, *none, *ronly, *code, *file, *shared_file, *big, *untouched;
	int fd = file_of("mapped", PAGES * PAGE, 1),
	    fd2 = file_of("mapped shared", PAGES * PAGE, 2);

	plain = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(plain, PAGES * PAGE, 10);
	sparse = map(512 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	for (size_t i = 0; i < 512; i += 7)
		fill(sparse + i * PAGE, PAGE, (unsigned)i);
	none = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(none, PAGES * PAGE, 11);
	must(mprotect(none, PAGES * PAGE, PROT_NONE));
	ronly = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(ronly, PAGES * PAGE, 12);
	must(mprotect(ronly, PAGES * PAGE, PROT_READ));
	code = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(code, PAGE, 13);
	must(mprotect(code, PAGE, PROT_EXEC));
	file = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd);
	fill(file + 3 * PAGE, PAGE, 14);
	fill(file + 9 * PAGE, 2 * PAGE, 15);
	shared_file = map(PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd2);
	fill(shared_file, PAGE, 16);
	big = map(8ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(big, 8ul << 20, 17);
	untouched = map(64ul << 30, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1);
	close(fd);
	close(fd2);
	layout(was, sizeof(was));
	cycle();
	layout(is, sizeof(is));
	first_difference(was, is);
	check(is_filled(plain, PAGES * PAGE, 10), "private pages");
	for (size_t i = 0; i < 512; i++)
		check(i % 7 ? is_zero(sparse + i * PAGE, PAGE)
			    : is_filled(sparse + i * PAGE, PAGE, (unsigned)i),
		      "page %zu of a sparse mapping", i);
	must(mprotect(none, PAGES * PAGE, PROT_READ));
	check(is_filled(none, PAGES * PAGE, 11), "pages that nobody may read");
	check(is_filled(ronly, PAGES * PAGE, 12), "pages that nobody may write");
	must(mprotect(code, PAGE, PROT_READ));
	check(is_filled(code, PAGE, 13), "pages that are for execution");
	check(is_filled(file + 3 * PAGE, PAGE, 14) && is_filled(file + 9 * PAGE, 2 * PAGE, 15),
	      "changed pages of a private file mapping");
	must(madvise(file, PAGES * PAGE, MADV_DONTNEED));
	check(is_filled(file, PAGES * PAGE, 1), "the file beneath a private mapping");
	check(is_filled(shared_file, PAGE, 16), "a shared file mapping");
	fill(shared_file + PAGE, PAGE, 18);
	fd2 = (int)must(open("/proc/self/exe", O_RDONLY | O_CLOEXEC));
	close(fd2);
	check(is_filled(big, 8ul << 20, 17), "eight megabytes");
	must(madvise(plain, PAGES * PAGE, MADV_DONTNEED));
	check(is_zero(plain, PAGES * PAGE), "what was given back comes again");
	check(is_zero(untouched, PAGE) && is_zero(untouched + (32ul << 30), PAGE),
	      "untouched memory");
}

/* Whether it was written to is the kernel's affair. */
static void drop_soft_dirty(char *words)
{
	char *sd = strstr(words, " sd");

	if (sd)
		memmove(sd, sd + 3, strlen(sd + 3) + 1);
}

/* All that stands in VmFlags of smaps, mapping by mapping. */
static size_t flags(char *out, size_t size)
{
	static char smaps[1 << 19];
	unsigned long start, end;
	char line[256];
	size_t len = 0;

	cycle_read("/proc/self/smaps", smaps, sizeof(smaps));
	for (char *at = strtok(smaps, "\n"); at; at = strtok(NULL, "\n")) {
		if (sscanf(at, "%lx-%lx ", &start, &end) == 2)
			snprintf(line, sizeof(line), "%lx-%lx", start, end);
		else if (strncmp(at, "VmFlags:", 8) != 0 || start >= 0xffffffff00000000ul)
			continue;
		else
			snprintf(line, sizeof(line), "%.80s\n", at + 8);
		drop_soft_dirty(line);
		if (len + strlen(line) < size) {
			strcpy(out + len, line);
			len += strlen(line);
		}
	}
	return len;
}

static void advice(void)
{
	static const struct {
		int advice;
		const char *name;
	} rows[] = { { MADV_DONTFORK, "DONTFORK" },     { MADV_WIPEONFORK, "WIPEONFORK" },
		     { MADV_DONTDUMP, "DONTDUMP" },     { MADV_HUGEPAGE, "HUGEPAGE" },
		     { MADV_NOHUGEPAGE, "NOHUGEPAGE" }, { MADV_RANDOM, "RANDOM" },
		     { MADV_SEQUENTIAL, "SEQUENTIAL" }, { MADV_MERGEABLE, "MERGEABLE" } };
	static char was[1 << 18], is[1 << 18];
	char *at[sizeof(rows) / sizeof(rows[0])], *locked, *huge;
	size_t n = sizeof(rows) / sizeof(rows[0]);

	for (size_t i = 0; i < n; i++) {
		at[i] = map(16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		fill(at[i], 16 * PAGE, (unsigned)i);
		if (madvise(at[i], 16 * PAGE, rows[i].advice) < 0)
			must(errno == EINVAL ? 0 : -1); /* the kernel lacks it */
	}
	locked = map(PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	fill(locked, PAGE, 77);
	must(mlock(locked, PAGE));
	huge = map(4ul << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	if (madvise(huge, 4ul << 20, MADV_HUGEPAGE) == 0)
		fill(huge, 4ul << 20, 78);
	flags(was, sizeof(was));
	cycle();
	flags(is, sizeof(is));
	first_difference(was, is);
	for (size_t i = 0; i < n; i++)
		check(is_filled(at[i], 16 * PAGE, (unsigned)i), "contents with %s", rows[i].name);
	check(is_filled(locked, PAGE, 77), "locked memory");
}

/* A stack grows downwards; memory that the kernel made with MAP_GROWSDOWN does, too. */
static uint64_t deep(int n)
{
	volatile char room[8192];

	room[0] = (char)n;
	return n == 0 ? 0 : deep(n - 1) + (uint64_t)room[0] * 0 + 1;
}

static void growing(void)
{
	char *low = map(64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1), *at;

	must(munmap(low, 64 * PAGE));
	at = mmap(low + 60 * PAGE, 4 * PAGE, PROT_READ | PROT_WRITE,
		  MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED_NOREPLACE, -1, 0);
	must(at == MAP_FAILED ? -1 : 0);
	fill(at, 4 * PAGE, 5);
	deep(10);
	cycle();
	check(is_filled(at, 4 * PAGE, 5), "contents");
	for (int i = 1; i < 4; i++)
		at[-(int)PAGE * i] = 'g';
	check(at[-(int)PAGE] == 'g', "it does not grow");
	check(deep(200) == 200, "the stack");
}

struct shares {
	char *anonymous, *memory;
	struct cycle_gate gate;
};

static void sharer(void *ctx)
{
	struct shares *s = ctx;

	cycle_pass(s->gate);
	cycle_wait();
	cycle_await(s->gate, 2);
	check(strcmp(s->anonymous, "from the parent") == 0, "shared memory says \"%s\"",
	      s->anonymous);
	check(strcmp(s->memory + PAGE, "from the parent") == 0, "a memfd says \"%s\"",
	      s->memory + PAGE);
	strcpy(s->anonymous + PAGE, "from the child");
	strcpy(s->memory, "from the child");
}

/* Shared before: shared after, by the descriptor as well. */
static void shared(void)
{
	struct shares s = { .gate = cycle_gate() };
	char text[64] = "";
	struct stat st;
	pid_t child;
	int fd;

	s.anonymous = map(256 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1);
	fill(s.anonymous + 128 * PAGE, 128 * PAGE, 1);
	fd = (int)must(memfd_create("of several", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	must(ftruncate(fd, 20 * PAGE));
	s.memory = map(20 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd);
	fill(s.memory + 10 * PAGE, PAGE, 2);
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_GROW));
	child = cycle_child(sharer, &s);
	cycle_await(s.gate, 1);
	cycle();
	strcpy(s.anonymous, "from the parent");
	strcpy(s.memory + PAGE, "from the parent");
	cycle_pass(s.gate);
	cycle_join(child);
	check(strcmp(s.anonymous + PAGE, "from the child") == 0, "shared memory says \"%s\"",
	      s.anonymous + PAGE);
	must(pread(fd, text, sizeof(text) - 1, 0));
	check(strcmp(text, "from the child") == 0, "the memfd says \"%s\"", text);
	check(is_filled(s.anonymous + 128 * PAGE, 128 * PAGE, 1), "shared memory");
	check(is_filled(s.memory + 10 * PAGE, PAGE, 2) && is_zero(s.memory + 12 * PAGE, PAGE),
	      "the memfd's contents");
	must(fstat(fd, &st));
	check(st.st_size == 20 * (off_t)PAGE, "the memfd has %ld bytes", (long)st.st_size);
	check(fcntl(fd, F_GET_SEALS) == F_SEAL_GROW, "seals 0x%x",
	      (unsigned)fcntl(fd, F_GET_SEALS));
}

/* Thousands of mappings. */
static void many(void)
{
	char *at = map(6000 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	size_t wrong = 0;

	for (size_t i = 0; i < 6000; i += 2) {
		fill(at + i * PAGE, PAGE, (unsigned)i);
		must(mprotect(at + i * PAGE, PAGE, PROT_READ));
	}
	cycle();
	for (size_t i = 0; i < 6000; i++)
		wrong += i % 2 ? !is_zero(at + i * PAGE, PAGE)
			       : !is_filled(at + i * PAGE, PAGE, (unsigned)i);
	check(wrong == 0, "%zu of 6000 pages", wrong);
}

/* A semaphore of System V. */
static void sysv(void)
{
	int id = semget(IPC_PRIVATE, 1, 0600);

	if (id < 0)
		cycle_skip("semget: %s", strerror(errno));
	must(semctl(id, 0, SETVAL, 7));
	cycle();
	check(semctl(id, 0, GETVAL) == 7, "its value is another");
	must(semctl(id, 0, IPC_RMID));
}

const struct cycle_case memory_cases[] = {
	{ "memory", contents },
	{ "memory-advice", advice },
	{ "memory-growing", growing },
	{ "memory-shared", shared },
	{ "memory-3000", many },
	{ "sysv", sysv },
	{ NULL, NULL },
};
