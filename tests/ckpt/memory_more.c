/* SPDX-License-Identifier: Apache-2.0 */
/* Memory with a property: guards, seals, nodes, locks, merging, and what can't be saved. */
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cycle.h"

#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef PR_SET_MEMORY_MERGE
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#endif
#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif

#define PAGE 4096ul
#define PAGES 32ul

static char *map_with(int prot, int flags, int fd, size_t len)
{
	char *at = mmap(NULL, len, prot, flags, fd, 0);

	must(at == MAP_FAILED ? -1 : 0);
	return at;
}

static char *map(void)
{
	char *at = map_with(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, PAGES * PAGE);

	memset(at, 'm', PAGES * PAGE);
	return at;
}

static sigjmp_buf fault;

static void on_fault(int sig)
{
	siglongjmp(fault, sig);
}

/* 0, or the signal that a touch brings. */
static int touch(const char *at)
{
	const struct sigaction a = { .sa_handler = on_fault };
	struct sigaction before, bus;
	int sig;

	sigaction(SIGSEGV, &a, &before);
	sigaction(SIGBUS, &a, &bus);
	sig = sigsetjmp(fault, 1);
	if (!sig)
		(void)*(const volatile char *)at;
	sigaction(SIGSEGV, &before, NULL);
	sigaction(SIGBUS, &bus, NULL);
	return sig;
}

static void guard(char *at, size_t len)
{
	if (madvise(at, len, MADV_GUARD_INSTALL) < 0)
		cycle_skip("the kernel has no guards for this: %s", strerror(errno));
}

/* In the middle of pages, and where there never was one. */
static void guards(void)
{
	char *full = map(), *empty;

	empty = map_with(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, PAGES * PAGE);
	guard(full + 3 * PAGE, 2 * PAGE);
	guard(full + 9 * PAGE, PAGE);
	guard(empty, PAGES * PAGE);
	cycle();
	for (size_t i = 0; i < PAGES; i++) {
		int want = i == 3 || i == 4 || i == 9 ? SIGSEGV : 0;

		check(touch(full + i * PAGE) == want, "page %zu: signal %d, was %d", i,
		      touch(full + i * PAGE), want);
		check(want || full[i * PAGE] == 'm', "page %zu", i);
		check(touch(empty + i * PAGE) == SIGSEGV, "page %zu of nothing but guards", i);
	}
	must(madvise(full, PAGES * PAGE, MADV_GUARD_REMOVE));
	check(full[3 * PAGE] == 0, "a page beneath a guard is %d", full[3 * PAGE]);
}

/* Of which nothing is given back: the page beneath is what others see. */
static void guards_shared(void)
{
	char *at = map_with(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, PAGES * PAGE);

	memset(at, 's', PAGES * PAGE);
	guard(at + 5 * PAGE, PAGE);
	cycle();
	for (size_t i = 0; i < PAGES; i++) {
		check(touch(at + i * PAGE) == (i == 5 ? SIGSEGV : 0), "page %zu", i);
		check(i == 5 || at[i * PAGE] == 's', "page %zu", i);
	}
	must(madvise(at, PAGES * PAGE, MADV_GUARD_REMOVE));
	check(at[5 * PAGE] == 's', "the page beneath a guard is %d", at[5 * PAGE]);
}

/* Behind the end of a file is the rest of its last page, which all that map it have together. */
static void beyond_end(void)
{
	const int fds[] = { (int)must(memfd_create("odd", MFD_CLOEXEC)),
			    (int)must(open("/dev/shm", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600)) };
	char *at[2], text[8] = "";

	for (int i = 0; i < 2; i++) {
		must(ftruncate(fds[i], PAGE + 100));
		at[i] = map_with(PROT_READ | PROT_WRITE, MAP_SHARED, fds[i], 2 * PAGE);
		strcpy(at[i] + PAGE + 96, "before and behind");
	}
	cycle();
	for (int i = 0; i < 2; i++) {
		check(strcmp(at[i] + PAGE + 96, "before and behind") == 0, "file %d: \"%.17s\"", i,
		      at[i] + PAGE + 96);
		check(pread(fds[i], text, sizeof(text), PAGE + 96) == 4, "file %d is longer", i);
	}
}

static void check_pages(const char *at, const char *want, const char *who)
{
	for (size_t i = 0; want[i]; i++)
		check(at[i * PAGE] == want[i], "page %zu of %s is %c, was %c", i, who, at[i * PAGE],
		      want[i]);
}

static struct cycle_gate written;

static void other_pages(void *ctx)
{
	char *at = ctx;

	at[2 * PAGE] = 'c';
	cycle_pass(written);
	cycle_wait();
	check_pages(at, "ffcf", "the child");
}

/* A removed file, as an upgraded library is: what one process has changed of it is its own. */
static void private_removed(void)
{
	int fd = (int)must(open("/dev/shm/removed", O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	char *at, text[4 * PAGE];
	pid_t child;

	memset(text, 'f', sizeof(text));
	must(write(fd, text, sizeof(text)));
	at = map_with(PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, sizeof(text));
	close(fd);
	must(unlink("/dev/shm/removed"));
	written = cycle_gate();
	child = cycle_child(other_pages, at);
	at[PAGE] = 'p';
	cycle_await(written, 1);
	cycle();
	check_pages(at, "fpff", "the parent");
	cycle_join(child);
}

/* Mappings go on where the memory does not: a touch there is a signal. */
static void grown(void)
{
	char *at = map_with(PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 2 * PAGE);

	memset(at, 'm', 2 * PAGE);
	at = mremap(at, 2 * PAGE, 5 * PAGE, MREMAP_MAYMOVE);
	must(at == MAP_FAILED ? -1 : 0);
	cycle();
	check_pages(at, "mm", "shared memory");
	for (size_t i = 0; i < 5; i++)
		check(touch(at + i * PAGE) == (i < 2 ? 0 : SIGBUS), "page %zu", i);
}

static void sealed(void)
{
	char *at = map();

	must(mprotect(at, PAGES * PAGE, PROT_READ));
	if (syscall(SYS_mseal, at, PAGES * PAGE, 0) < 0)
		cycle_skip("the kernel seals no memory: %s", strerror(errno));
	cycle();
	check(at[0] == 'm' && at[PAGES * PAGE - 1] == 'm', "contents");
	check(mprotect(at, PAGE, PROT_READ | PROT_WRITE) < 0 && errno == EPERM, "its seal is gone");
	check(munmap(at, PAGE) < 0 && errno == EPERM, "it can be unmapped");
}

struct policy {
	int mode;
	unsigned long nodes[16];
};

static struct policy ask_policy(void *at)
{
	struct policy p = { 0 };

	must(syscall(SYS_get_mempolicy, &p.mode, p.nodes, sizeof(p.nodes) * 8 + 1, at,
		     at ? MPOL_F_ADDR : 0));
	return p;
}

static void same_policy(struct policy was, struct policy is, const char *of)
{
	check(was.mode == is.mode, "policy of %s: mode %d, was %d", of, is.mode, was.mode);
	check(memcmp(was.nodes, is.nodes, sizeof(was.nodes)) == 0, "policy of %s: node mask 0x%lx",
	      of, is.nodes[0]);
}

static struct policy of_thread;
static struct cycle_gate gate;

static void *other_thread(void *unused)
{
	struct policy was;

	must(syscall(SYS_set_mempolicy, MPOL_PREFERRED, &(unsigned long){ 1 }, 65));
	was = ask_policy(NULL);
	cycle_pass(gate);
	cycle_wait();
	same_policy(was, ask_policy(NULL), "another thread");
	return unused;
}

static void policy(void)
{
	unsigned long nodes = 1;
	char *bound = map(), *interleaved = map(), *plain = map();
	struct policy was[3];
	pthread_t thread;

	gate = cycle_gate();
	if (syscall(SYS_mbind, bound, PAGES * PAGE, MPOL_BIND | MPOL_F_STATIC_NODES, &nodes, 65,
		    0) < 0)
		cycle_skip("no memory policy can be set: %s", strerror(errno));
	must(syscall(SYS_mbind, interleaved, PAGES * PAGE, MPOL_INTERLEAVE, &nodes, 65, 0));
	must(-pthread_create(&thread, NULL, other_thread, NULL));
	cycle_await(gate, 1);
	must(syscall(SYS_set_mempolicy, MPOL_BIND, &nodes, 65));
	of_thread = ask_policy(NULL);
	was[0] = ask_policy(bound);
	was[1] = ask_policy(interleaved);
	was[2] = ask_policy(plain);
	cycle();
	same_policy(of_thread, ask_policy(NULL), "the first thread");
	same_policy(was[0], ask_policy(bound), "a bound mapping");
	same_policy(was[1], ask_policy(interleaved), "an interleaved mapping");
	same_policy(was[2], ask_policy(plain), "a mapping without one");
	must(-pthread_join(thread, NULL));
}

/* Kilobytes. */
static long locked_now(void)
{
	char line[128];

	return strtol(cycle_line("/proc/self/status", "VmLck", line, sizeof(line)) + 6, NULL, 10);
}

static void locked(void)
{
	char *on_fault_only =
		map_with(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, PAGES * PAGE);
	unsigned char there[PAGES];
	long was, is;
	char *later;

	if (mlock2(on_fault_only, PAGES * PAGE, MLOCK_ONFAULT) < 0 || mlockall(MCL_FUTURE) < 0)
		cycle_skip("no memory can be locked: %s", strerror(errno));
	memset(on_fault_only, 'x', PAGE);
	was = locked_now();
	cycle();
	is = locked_now();
	check(was == is, "%ld kB are locked, were %ld", is, was);
	must(mincore(on_fault_only, PAGES * PAGE, there));
	check(there[0] & 1 && !(there[PAGES - 1] & 1), "pages were touched");
	later = map_with(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, PAGES * PAGE);
	check(locked_now() == is + (long)(PAGES * PAGE / 1024), "what is mapped now is not locked");
	must(mincore(later, PAGES * PAGE, there));
	check(there[PAGES - 1] & 1, "what is mapped now is not there at once");
}

static void locked_later(void)
{
	long was;

	if (mlockall(MCL_FUTURE | MCL_ONFAULT) < 0)
		cycle_skip("no memory can be locked: %s", strerror(errno));
	cycle();
	was = locked_now();
	map_with(PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, PAGES * PAGE);
	check(locked_now() == was + (long)(PAGES * PAGE / 1024), "%ld kB are locked, were %ld",
	      locked_now(), was);
}

/* What nothing but the sum of what is locked tells of: the mapping stands. */
static void lock_in_turns(void *ctx)
{
	char *at = map();
	const long all = (long)(PAGES * PAGE / 1024);

	cycle_pass(*(struct cycle_gate *)ctx);
	for (int n = 0; n < 40 || !cycle_over(); n++) {
		must(n % 2 ? munlock(at, PAGES * PAGE) : mlock(at, PAGES * PAGE));
		cycle_sleep(3);
		check(locked_now() == (n % 2 ? 0 : all), "%ld kB are locked, were %ld",
		      locked_now(), n % 2 ? 0 : all);
	}
}

static void locked_in_turns(void)
{
	struct cycle_gate gate = cycle_gate();
	char *at = map();
	pid_t child;

	if (mlock(at, PAGES * PAGE) < 0)
		cycle_skip("no memory can be locked: %s", strerror(errno));
	child = cycle_child(lock_in_turns, &gate);
	cycle_await(gate, 1);
	cycle();
	cycle_join(child);
}

static void merged(void)
{
	if (prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) < 0)
		cycle_skip("no memory can be merged: %s", strerror(errno));
	cycle();
	check(prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) == 1, "what is mapped now is not merged");
}

/* What is refused: it is there, and stays as it is. */
static void watched(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffdio_register reg = { .mode = UFFDIO_REGISTER_MODE_MISSING };
	int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | UFFD_USER_MODE_ONLY);

	if (fd < 0)
		cycle_skip("userfaultfd: %s", strerror(errno));
	reg.range.start = (uintptr_t)map();
	reg.range.len = PAGES * PAGE;
	must(ioctl(fd, UFFDIO_API, &api));
	must(ioctl(fd, UFFDIO_REGISTER, &reg));
	cycle();
}

static void huge(void)
{
	char *at = mmap(NULL, 2ul << 20, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE, -1, 0);

	if (at == MAP_FAILED)
		cycle_skip("there are no huge pages: %s", strerror(errno));
	cycle();
}

static void keyed(void)
{
	int key = pkey_alloc(0, 0);

	if (key < 0)
		cycle_skip("the processor has no protection keys: %s", strerror(errno));
	must(pkey_mprotect(map(), PAGES * PAGE, PROT_READ, key));
	cycle();
}

static void key_unused(void)
{
	if (pkey_alloc(0, PKEY_DISABLE_WRITE) < 0)
		cycle_skip("the processor has no protection keys: %s", strerror(errno));
	cycle();
}

const struct cycle_case memory_more_cases[] = {
	{ "memory-guards", guards },
	{ "memory-guards-shared", guards_shared },
	{ "memory-beyond-end", beyond_end },
	{ "memory-private-removed", private_removed },
	{ "memory-grown", grown },
	{ "memory-sealed", sealed },
	{ "memory-policy", policy },
	{ "memory-locked", locked },
	{ "memory-locked-later", locked_later },
	{ "memory-locked-in-turns", locked_in_turns },
	{ "memory-merged", merged },
	{ "memory-watched", watched },
	{ "memory-huge", huge },
	{ "memory-keyed", keyed },
	{ "memory-key-unused", key_unused },
	{ NULL, NULL },
};
