/* SPDX-License-Identifier: Apache-2.0 */
/* Who owns what has no name; files of procfs; asynchronous requests. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cycle.h"

#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 8
#endif
#ifndef F_SEAL_EXEC
#define F_SEAL_EXEC 0x20
#endif

#define ORDINARY 7 /* in the containers of an ordinary user as well */

static struct cycle_gate gate;

static int reopened(int fd, int flags)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return open(path, flags | O_CLOEXEC);
}

/* What differs is told in that directory, by whoever sees it. */
static void prepare(void)
{
	pid_t probe = (pid_t)must(fork());
	int status = 0;

	if (probe == 0)
		_exit(setgid(ORDINARY) < 0 || setuid(ORDINARY) < 0);
	must(waitpid(probe, &status, 0));
	if (status)
		cycle_skip("takes CAP_SETUID and CAP_SETGID, and other ids than one's own");
	must(chmod(getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle", 0777));
}

static void become_ordinary(void)
{
	must(setgid(ORDINARY));
	must(setuid(ORDINARY));
	/* or its directory in /proc is root's */
	must(prctl(PR_SET_DUMPABLE, 1));
}

/* As /dev/stderr is opened by its name, where that is a pipe of its own. */
static void own_pipe(void *ctx)
{
	int pair[2], own_mode[2], again;
	struct stat st;

	(void)ctx;
	become_ordinary();
	must(pipe2(pair, O_CLOEXEC));
	must(pipe2(own_mode, O_CLOEXEC));
	must(fchmod(own_mode[0], 0640));
	must(close(reopened(pair[1], O_WRONLY)));
	cycle_pass(gate);
	cycle_wait();
	must(fstat(pair[1], &st));
	check(st.st_uid == ORDINARY && st.st_gid == ORDINARY && (st.st_mode & 07777) == 0600,
	      "it is %u's and %u's, mode %o", st.st_uid, st.st_gid, st.st_mode & 07777);
	again = reopened(pair[1], O_WRONLY);
	check(again >= 0, "it can't be opened again: %s", strerror(errno));
	must(fstat(own_mode[1], &st));
	check((st.st_mode & 07777) == 0640, "mode %o", st.st_mode & 07777);
}

static void by_an_ordinary_child(void (*fn)(void *ctx))
{
	pid_t child;

	gate = cycle_gate();
	prepare();
	child = cycle_child(fn, NULL);
	cycle_await(gate, 1);
	cycle();
	cycle_join(child);
}

static void pipe_owners(void)
{
	by_an_ordinary_child(own_pipe);
}

static void own_memory(void *ctx)
{
	int fd;
	struct stat st;

	(void)ctx;
	become_ordinary();
	fd = (int)must(memfd_create("own", MFD_CLOEXEC));
	must(fchmod(fd, 0600));
	cycle_pass(gate);
	cycle_wait();
	must(fstat(fd, &st));
	check(st.st_uid == ORDINARY && st.st_gid == ORDINARY && (st.st_mode & 07777) == 0600,
	      "it is %u's and %u's, mode %o", st.st_uid, st.st_gid, st.st_mode & 07777);
	check(reopened(fd, O_RDWR) >= 0, "it can't be opened again: %s", strerror(errno));
}

/* Sealed against being made a program, and nothing else. */
static void memfd_no_program(void)
{
	int fd = memfd_create("data", MFD_CLOEXEC | MFD_NOEXEC_SEAL);
	struct stat st;

	if (fd < 0)
		cycle_skip("the kernel has no MFD_NOEXEC_SEAL");
	must(write(fd, "text", 4));
	cycle();
	must(fstat(fd, &st));
	check((st.st_mode & 07777) == 0666, "mode %o", st.st_mode & 07777);
	check(fcntl(fd, F_GET_SEALS) == F_SEAL_EXEC, "seals 0x%x", fcntl(fd, F_GET_SEALS));
	check(pwrite(fd, "more", 4, 4) == 4, "it can't be written: %s", strerror(errno));
}

static void memfd_owners(void)
{
	by_an_ordinary_child(own_memory);
}

static char *mapped(int fd, int prot, int how)
{
	char *m = mmap(NULL, 8192, prot, how, fd, 0);

	must(m == MAP_FAILED ? -1 : 0);
	return m;
}

/* Sealed against what others may do later: who maps it to write goes on. */
static void memfd_future(void)
{
	int fd = (int)must(memfd_create("shown", MFD_CLOEXEC | MFD_ALLOW_SEALING));
	char *own, *other;

	must(ftruncate(fd, 8192));
	own = mapped(fd, PROT_READ | PROT_WRITE, MAP_SHARED);
	must(fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK));
	other = mapped(fd, PROT_READ, MAP_SHARED);
	own[5000] = 1;
	cycle();
	check(own[5000] == 1 && other[5000] == 1, "%d and %d", own[5000], other[5000]);
	own[5000] = 2;
	check(other[5000] == 2, "they are not shared any more: %d", other[5000]);
	check(fcntl(fd, F_GET_SEALS) == (F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK), "seals 0x%x",
	      fcntl(fd, F_GET_SEALS));
	check(write(fd, "x", 1) < 0 && errno == EPERM, "it can be written");
	check(mprotect(other, 8192, PROT_READ | PROT_WRITE) < 0, "it can be mapped to write");
}

/* Sealed whole, as what is handed to others. */
static void memfd_whole(void)
{
	const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
	int fd = (int)must(memfd_create("handed", MFD_CLOEXEC | MFD_ALLOW_SEALING)), reader;
	char *shared, *own;

	must(ftruncate(fd, 8192));
	must(pwrite(fd, "text", 4, 5000));
	must(fcntl(fd, F_ADD_SEALS, all));
	reader = (int)must(reopened(fd, O_RDONLY));
	shared = mapped(reader, PROT_READ, MAP_SHARED);
	own = mapped(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	own[1] = 7;
	cycle();
	check(memcmp(shared + 5000, "text", 4) == 0 && shared[1] == 0, "another text");
	check(memcmp(own + 5000, "text", 4) == 0 && own[1] == 7, "another text of its own");
	check(fcntl(fd, F_GET_SEALS) == all, "seals 0x%x", fcntl(fd, F_GET_SEALS));
}

/* ---- of procfs */

static volatile int in_memory = 7;

static void read_itself(void *ctx)
{
	int status = (int)must(open("/proc/self/status", O_RDONLY | O_CLOEXEC));
	int mem = (int)must(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	int dir = (int)must(open("/proc/self/fd", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
	int stat = (int)must(open("/proc/stat", O_RDONLY | O_CLOEXEC));
	char text[4096] = "", want[64];
	int value = 0;

	(void)ctx;
	must(read(stat, text, 4));
	cycle_pass(gate);
	cycle_wait();
	snprintf(want, sizeof(want), "\nPid:\t%d\n", getpid());
	must(read(status, text, sizeof(text) - 1));
	check(strstr(text, want), "another's: %s", text);
	must(pread(mem, &value, sizeof(value), (off_t)(uintptr_t)&in_memory));
	check(value == 7, "%d in its memory", value);
	value = 8;
	must(pwrite(mem, &value, sizeof(value), (off_t)(uintptr_t)&in_memory));
	check(in_memory == 8, "%d in its memory, when 8 was written", in_memory);
	snprintf(want, sizeof(want), "%d", dir);
	check(faccessat(dir, want, F_OK, AT_SYMLINK_NOFOLLOW) == 0, "not its descriptors");
	check(lseek(stat, 0, SEEK_CUR) == 4, "at %ld", (long)lseek(stat, 0, SEEK_CUR));
}

static void proc_files(void)
{
	int other, mem;
	char text[64] = "";
	int value = 0;
	pid_t child;

	gate = cycle_gate();
	child = cycle_child(read_itself, NULL);
	cycle_await(gate, 1);
	snprintf(text, sizeof(text), "/proc/%d/comm", child);
	other = (int)must(open(text, O_RDONLY | O_CLOEXEC));
	mem = (int)must(open("/proc/self/mem", O_RDWR | O_CLOEXEC));
	cycle();
	must(pread(mem, &value, sizeof(value), (off_t)(uintptr_t)&in_memory));
	check(value == 7, "%d in the memory of the first process", value);
	cycle_join(child);
	close(other);
}

/* ---- asynchronous requests */

static void requests(void)
{
	aio_context_t ctx = 0;
	struct io_event events[2];
	struct timespec none = { 0 };
	struct iocb one = { .aio_lio_opcode = IOCB_CMD_PWRITE }, *list[1] = { &one };
	char path[256];
	int fd;

	snprintf(path, sizeof(path), "%s/aio",
		 getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle");
	fd = (int)must(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600));
	if (syscall(SYS_io_setup, 64, &ctx) < 0)
		cycle_skip("the kernel has no io_setup(2)");
	one.aio_fildes = (uint32_t)fd;
	one.aio_buf = (uintptr_t) "text";
	one.aio_nbytes = 4;
	one.aio_data = 1;
	must(syscall(SYS_io_submit, ctx, 1, list));
	must(syscall(SYS_io_getevents, ctx, 1, 2, events, NULL));
	one.aio_data = 2;
	must(syscall(SYS_io_submit, ctx, 1, list));
	cycle();
	check(syscall(SYS_io_getevents, ctx, 1, 2, events, &none) == 1 && events[0].data == 2 &&
		      events[0].res == 4,
	      "what had ended is not told: %s", strerror(errno));
	one.aio_data = 3;
	check(syscall(SYS_io_submit, ctx, 1, list) == 1, "no more requests: %s", strerror(errno));
	check(syscall(SYS_io_getevents, ctx, 1, 2, events, NULL) == 1 && events[0].data == 3, "%s",
	      strerror(errno));
}

/* ---- fcntl(2) F_NOTIFY */

static void notify(void)
{
	int fd = (int)must(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));

	signal(SIGIO, SIG_IGN);
	if (fcntl(fd, F_NOTIFY, DN_CREATE | DN_MULTISHOT) < 0)
		cycle_skip("the kernel has no F_NOTIFY");
	cycle();
}

const struct cycle_case file_more_cases[] = {
	{ "pipe-owners", pipe_owners },
	{ "memfd-owners", memfd_owners },
	{ "memfd-no-program", memfd_no_program },
	{ "memfd-future", memfd_future },
	{ "memfd-whole", memfd_whole },
	{ "proc-files", proc_files },
	{ "requests", requests },
	{ "notify", notify },
	{ NULL, NULL },
};
