/* SPDX-License-Identifier: Apache-2.0 */
/* Texts of /proc, good and bad; and of this process. */
#include "lib/tap.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "arch/regs.h"
#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "task/peek.h"
#include "task/proc.h"
#include "task/proc_fd.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char stat_text[] =
	"17 (a) S (b)) T 3 4 5 34816 -1 4194560 1 2 3 4 5 6 7 8 20 -5 2 0 98765 1 2 "
	"18446744073709551615 4096 8192 140737488355328 0 0 0 0 0 0 0 0 0 17 1 0 0 0 0 0 12288 16384 "
	"20480 111 222 333 444 256\n";

static void parses_stat(void)
{
	struct proc_stat st;
	char cut[sizeof(stat_text)];

	is_int(proc_stat_parse(stat_text, &st), 0, "parsed: %s", err_last()->text);
	is_str(st.name, "a) S (b)", "a name of parentheses");
	is_int(st.state, 'T', "state");
	is_int(st.ppid, 3, "parent");
	is_int(st.foreground, -1, "no foreground group");
	is_int(st.nice, -5, "nice");
	is_int((long long)st.start_time, 98765, "start");
	is_int((long long)st.start_code, 4096, "code");
	is_int((long long)st.start_brk, 20480, "brk");
	is_int((long long)st.arg_start, 111, "arguments");
	is_int((long long)st.env_end, 444, "environment");
	is_int(st.exit_code, 256, "exit code");
	is_int(st.exit_signal, SIGCHLD, "exit signal");
	for (size_t n = 0; n + 5 < sizeof(stat_text); n++) {
		memcpy(cut, stat_text, n);
		cut[n] = '\0';
		is_int(proc_stat_parse(cut, &st), -EPROTO, "cut after %zu", n);
	}
}

static const char status_text[] =
	"Name:\tx: y\nUmask:\t0022\nState:\tt (tracing stop)\nTgid:\t9\nNgid:\t0\nPid:\t10\nPPid:\t1\n"
	"TracerPid:\t7\nUid:\t1\t2\t3\t4\nGid:\t5\t6\t7\t4294967295\nFDSize:\t64\nGroups:\t10 20 30 \n"
	"NStgid:\t9\t2\nNSpid:\t10\t3\t1\nNSpgid:\t9\t2\nNSsid:\t9\t0\nVmSize:\t   10 kB\n"
	"THP_enabled:\t0\nThreads:\t2\nSigQ:\t0/9\nSigPnd:\t0000000000000001\nShdPnd:\t0000000000000002\n"
	"SigBlk:\tffffffffffffffff\nSigIgn:\t0\nSigCgt:\t0000000180000000\nCapInh:\t0\nCapPrm:\t1\n"
	"CapEff:\t2\nCapBnd:\t3\nCapAmb:\t4\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t3\n";

static void parses_status(void)
{
	auto_arena a = arena_new();
	struct proc_status st;

	is_int(proc_status_parse(status_text, a, &st), 0, "parsed: %s", err_last()->text);
	is_str(st.name, "x: y", "name");
	is_int(st.state, 't', "state");
	is_int(st.umask, 022, "umask");
	is_int(st.tracer, 7, "tracer");
	is_int(st.gid[3], 4294967295, "no group");
	is_int((long long)st.n_groups, 3, "groups");
	is_int(st.groups[2], 30, "the last");
	is_int(st.ns_pid, 1, "innermost");
	is_int(st.ns_levels, 3, "levels");
	is_int(st.ns_sid, 0, "a session of outside");
	ok(st.has_mm && !st.thp && st.no_new_privs, "flags");
	ok(st.sig_blocked == ~0ull, "mask");
	is_int(st.seccomp_filters, 3, "filters");
	is_int(proc_status_parse(status_text, NULL, &st), 0, "without groups");
	ok(st.groups == NULL, "none");
	is_int(proc_status_parse("", a, &st), -EPROTO, "empty");
	is_int(proc_status_parse("State:\tS\nUid:\t1\t2\n", a, &st), -EPROTO, "two of four");
	is_int(proc_status_parse("State:\tS\nPid:\t99999999999\n", a, &st), -EPROTO, "overflow");
	is_int(proc_status_parse("State:\tS\nno colon\n", a, &st), -EPROTO, "no colon");
	is_int(proc_status_parse("State:\tS\nGroups:\t1\nGroups:\t2\n", a, &st), -EPROTO, "twice");
}

static const char maps_text[] =
	"00400000-00401000 r-xp 00001000 fe:01 332383                             /usr/bin/a b\n"
	"00401000-00402000 rw-p 00000000 00:00 0 \n"
	"7f0000000000-7f0000001000 rw-s 00000000 00:01 5   /dev/shm/x\\012y (deleted)\n"
	"Size:                  4 kB\nKernelPageSize:        4 kB\nRss:                  12 kB\n"
	"Anonymous:             8 kB\nProtectionKey:         3\nVmFlags: rd wr mr mw me dc hg qq sd \n"
	"7ffd00000000-7ffd00002000 r-xp 00000000 00:00 0                          [vdso]\n"
	"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
	"Rss:                   0 kB\n";

static void parses_maps(void)
{
	auto_arena a = arena_new();
	struct proc_vmas all;

	is_int(proc_maps_parse(a, maps_text, &all), 0, "parsed: %s", err_last()->text);
	is_int((long long)all.n, 4, "without vsyscall");
	is_str(all.v[0].name, "/usr/bin/a b", "a name with a blank");
	is_int(all.v[0].prot, PROT_READ | PROT_EXEC, "protection");
	is_int(all.v[0].major, 0xfe, "device");
	is_int((long long)all.v[0].offset, 0x1000, "offset");
	is_str(all.v[1].name, "", "anonymous");
	is_str(all.v[2].name, "/dev/shm/x\ny", "a name with a newline");
	ok(all.v[2].deleted && all.v[2].shared && all.v[2].has_flags,
	   "deleted, shared, with flags");
	is_int((long long)all.v[2].rss, 12288, "resident");
	is_int(all.v[2].pkey, 3, "key");
	is_int((long long)(uint32_t)all.v[2].flags,
	       (long long)(uint32_t)(PROC_VMA_MAYWRITE | PROC_VMA_DONTFORK | PROC_VMA_HUGEPAGE |
				     PROC_VMA_UNKNOWN | PROC_VMA_SOFTDIRTY),
	       "flags");
	is_str(all.v[3].name, "[vdso]", "the vDSO");
}

/* One has grown, one was joined with the two before it. */
static void maps_told_again(void)
{
	static const struct {
		const char *text;
		size_t n;
		uint64_t start, end; /* of the last one */
	} rows[] = {
		{ "1000-3000 r--p 0 0:0 0\n2000-4000 r--p 0 0:0 0\n", 2, 0x2000, 0x4000 },
		{ "1000-3000 r--p 0 0:0 0\nRss: 1 kB\n1000-4000 r--p 0 0:0 0\n", 1, 0x1000,
		  0x4000 },
		{ "1000-2000 r--p 0 0:0 0\n2000-3000 rw-p 0 0:0 0\n1000-4000 r--p 0 0:0 0\n", 1,
		  0x1000, 0x4000 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		auto_arena a = arena_new();
		struct proc_vmas all;

		is_int(proc_maps_parse(a, rows[i].text, &all), 0, "%s", err_last()->text);
		is_int((long long)all.n, (long long)rows[i].n, "row %zu", i);
		ok(all.n && all.v[all.n - 1].start == rows[i].start &&
			   all.v[all.n - 1].end == rows[i].end,
		   "row %zu: the last one", i);
		for (size_t k = 1; k < all.n; k++)
			ok(all.v[k - 1].end <= all.v[k].start, "row %zu: no overlap", i);
	}
}

static void refuses_maps(void)
{
	static const char *const bad[] = {
		"x\n",
		"1000-1000 r--p 0 0:0 0\n",
		"2000-1000 r--p 0 0:0 0\n",
		"1000-2000 r--q 0 0:0 0\n",
		"1000-2000 rr-p 0 0:0 0\n",
		"1000-2000 r--p 0 0:0\n",
		"1000-2000 r--p 0 00 0\n",
		"1000-11112222333344445 r--p 0 0:0 0\n",
		"3000-4000 r--p 0 0:0 0\n1000-2000 r--p 0 0:0 0\n",
		"Rss: 1 kB\n",
		"1000-2000 r--p 0 0:0 0\nRss: many kB\n",
		"1000-2000 r--p 0 0:0 0\nRss: 18446744073709551615 kB\n",
		"1000-2000 r--p 0 0:0 0\nProtectionKey: x\n",
	};
	auto_arena a = arena_new();
	struct proc_vmas all = { NULL, 77, 0 };

	for (size_t i = 0; i < COUNT(bad); i++)
		is_int(proc_maps_parse(a, bad[i], &all), -EPROTO, "row %zu", i);
	is_int((long long)all.n, 77, "the result is untouched");
	ok(strstr(err_last()->text, "not understood"), "says so: %s", err_last()->text);
}

static void parses_lists(void)
{
	auto_arena a = arena_new();
	struct proc_timer *timers;
	struct rlimit limits[RLIM_NLIMITS];
	pid_t *children;
	size_t n;

	is_int(proc_children_parse(a, "1 22 333 ", &children, &n), 0, "children");
	is_int((long long)n, 3, "three");
	is_int(children[2], 333, "the last");
	is_int(proc_children_parse(a, "", &children, &n), 0, "none");
	is_int((long long)n, 0, "indeed");
	is_int(proc_children_parse(a, "1 x", &children, &n), -EPROTO, "no number");
	is_int(proc_children_parse(a, "0", &children, &n), -EPROTO, "nobody has that number");
	is_int(proc_timers_parse(
		       a,
		       "ID: 0\nsignal: 60/00007fff86e452a8\nnotify: signal/pid.2634\nClockID: 0\n"
		       "ID: 7\nsignal: 0/0\nnotify: none/tid.9\nClockID: -6\n",
		       &timers, &n),
	       0, "timers: %s", err_last()->text);
	is_int((long long)n, 2, "two");
	is_int((long long)timers[0].value, 0x7fff86e452a8, "value");
	is_int(timers[1].notify, SIGEV_NONE | SIGEV_THREAD_ID, "kind");
	is_int(timers[1].clock, -6, "a clock of a process");
	is_int(timers[1].target, 9, "its thread");
	is_int(proc_timers_parse(a, "ID: 0\nsignal: 60/1\n", &timers, &n), -EPROTO, "half a timer");
	is_int(proc_limits_parse("Max cpu time  1 2 seconds\n", limits), -EPROTO, "one of sixteen");
}

static void parses_syscall(void)
{
	struct regs_wait w;

	is_int(proc_syscall_parse("230 0x1 0x0 0x7fff1 0x2 0x0 0x0 0x7ffe8 0x7f12\n", &w), 0,
	       "parsed");
	is_int(w.nr, 230, "number");
	is_int((long long)w.arg[2], 0x7fff1, "argument");
	is_int((long long)w.ip, 0x7f12, "where");
	is_int(proc_syscall_parse("running\n", &w), -EAGAIN, "running");
	is_int(proc_syscall_parse("-1 0x7ffe8 0x7f12\n", &w), -EAGAIN, "in no call");
	is_int(proc_syscall_parse("230 0x1 0x0\n", &w), -EPROTO, "cut");
	is_int(proc_syscall_parse("", &w), -EPROTO, "empty");
}

static void parses_mounts(void)
{
	auto_arena a = arena_new();
	struct proc_mount *m;
	size_t n;

	is_int(proc_mounts_parse(
		       a,
		       "36 35 98:0 /mnt1 /mnt\\0402 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw\n"
		       "37 35 0:5 / / rw shared:3 unbindable new:9 - tmpfs  rw,x=\\134\n"
		       "38 37 0:6 / /a ro - proc proc ro\n",
		       &m, &n),
	       0, "parsed: %s", err_last()->text);
	is_int((long long)n, 3, "three");
	is_str(m[0].point, "/mnt 2", "unescaped");
	is_int(m[0].propagate_from, 2, "peer group");
	ok(m[1].unbindable && m[1].shared == 3, "what is known of the optional fields");
	is_str(m[1].source, "", "an empty source");
	is_str(m[1].super_options, "rw,x=\\", "options");
	is_str(m[2].type, "proc", "type");
	is_int(proc_mounts_parse(a, "1 2 3:4 / / rw shared:1\n", &m, &n), -EPROTO, "no hyphen");
	is_int(proc_mounts_parse(a, "1 2 3:4 / /\\000 rw - t s o\n", &m, &n), -EPROTO, "a NUL");
	is_int(proc_mounts_parse(a, "1 2 34 / / rw - t s o\n", &m, &n), -EPROTO, "no device");
}

static void knows_kinds(void)
{
	static const struct {
		const char *link;
		enum proc_fd_kind kind;
		uint64_t inode;
	} rows[] = {
		{ "/etc/passwd", PROC_FD_FILE, 0 },
		{ "pipe:[123]", PROC_FD_PIPE, 123 },
		{ "socket:[4294967297]", PROC_FD_SOCKET, 4294967297 },
		{ "anon_inode:[eventfd]", PROC_FD_EVENT, 0 },
		{ "anon_inode:[eventpoll]", PROC_FD_EPOLL, 0 },
		{ "anon_inode:inotify", PROC_FD_INOTIFY, 0 },
		{ "anon_inode:[something new]", PROC_FD_OTHER, 0 },
		{ "/memfd:x (deleted)", PROC_FD_MEMFD, 0 },
		{ "net:[4026531840]", PROC_FD_NAMESPACE, 4026531840 },
		{ "pidfd:[77]", PROC_FD_PID, 77 },
		{ "pipe:[x]", PROC_FD_PIPE, 0 },
		{ "", PROC_FD_FILE, 0 },
	};

	for (size_t i = 0; i < COUNT(rows); i++) {
		uint64_t inode = 5;

		is_str(proc_fd_kind_name(proc_fd_kind(rows[i].link, &inode)),
		       proc_fd_kind_name(rows[i].kind), "%s", rows[i].link);
		is_int((long long)inode, (long long)rows[i].inode, "inode of %s", rows[i].link);
	}
}

static void parses_fdinfo(void)
{
	auto_arena a = arena_new();
	struct proc_fdinfo f;

	is_int(proc_fdinfo_parse(
		       a,
		       "pos:\t5\nflags:\t02004002\nmnt_id:\t15\nino:\t99\n"
		       "lock:\t1: POSIX  ADVISORY  WRITE 1234 fe:00:332383 0 EOF\n"
		       "lock:\t2: OFDLCK ADVISORY  READ -1 fe:00:332383 5 9\n"
		       "tfd:       12 events:       1d data: ffffffffffffffff  pos:0 ino:2af sdev:d\n"
		       "inotify wd:1 ino:9e7e sdev:800013 mask:800afce ignored_mask:0 fhandle-bytes:8 "
		       "fhandle-type:1 f_handle:7e9e0000640d1b6d\n"
		       "clockid: 1\nticks: 3\nsettime flags: 01\nit_value: (0, 49406829)\nit_interval: (1, 0)\n"
		       "something: new\n",
		       &f),
	       0, "parsed: %s", err_last()->text);
	is_int(f.pos, 5, "position");
	is_int(f.flags, 02004002, "flags");
	is_int((long long)f.n_locks, 2, "locks");
	ok(f.locks[0].write && f.locks[0].end == INT64_MAX, "the first");
	ok(f.locks[1].kind == PROC_LOCK_OFD && f.locks[1].pid == -1 && f.locks[1].end == 9,
	   "the second");
	is_int((long long)f.n_epolls, 1, "watched");
	ok(f.epolls[0].fd == 12 && f.epolls[0].events == 0x1d && f.epolls[0].data == ~0ull, "what");
	is_int((long long)f.n_watches, 1, "watches");
	ok(f.watches[0].handle_len == 8 && f.watches[0].handle[7] == 0x6d, "the handle");
	is_int(f.timer.it_value.tv_nsec, 49406829, "timer");
	is_int((long long)f.ticks, 3, "ticks");
	is_int(proc_fdinfo_parse(a, "pos:\tx\n", &f), -EPROTO, "position");
	is_int(proc_fdinfo_parse(a, "it_value: (0, 1000000000)\n", &f), -EPROTO, "nanoseconds");
	is_int(proc_fdinfo_parse(a, "tfd: 1 events: 1\n", &f), -EPROTO, "half a line");
	is_int(proc_fdinfo_parse(a,
				 "inotify wd:1 ino:1 sdev:1 mask:1 ignored_mask:0 fhandle-bytes:ff "
				 "fhandle-type:1 f_handle:00\n",
				 &f),
	       -EPROTO, "a handle too long");
	is_int(proc_fdinfo_parse(a, "lock:\t1: ROBOT  ADVISORY  WRITE 1 1:1:1 0 EOF\n", &f),
	       -EPROTO, "a lock of another kind");
}

/* The same readers on what the kernel writes of this process. */
static void reads_itself(void)
{
	auto_arena a = arena_new();
	struct proc_vmas maps, smaps;
	struct proc_stat st;
	struct proc_status status;
	struct proc_mount *mounts;
	struct rlimit limits[RLIM_NLIMITS], one;
	struct proc_vma vma;
	uint64_t value;
	pid_t *tids, self = getpid();
	char link[4096];
	size_t n;

	is_int(proc_stat(self, &st), 0, "stat: %s", err_last()->text);
	is_int(st.ppid, getppid(), "parent");
	ok(st.start_brk && st.arg_start < st.arg_end, "addresses");
	is_int(proc_status_of(self, self, a, &status), 0, "status: %s", err_last()->text);
	is_int(status.ns_pid, self, "its number");
	is_int((long long)status.uid[1], geteuid(), "user");
	is_int(proc_maps(a, self, &maps), 0, "maps: %s", err_last()->text);
	is_int(proc_smaps(a, self, &smaps), 0, "smaps: %s", err_last()->text);
	ok(maps.n > 5 && smaps.n > 5 && smaps.v[0].has_flags, "%zu, %zu", maps.n, smaps.n);
	for (size_t i = 0; i < smaps.n; i++)
		ok(!(smaps.v[i].flags & (uint32_t)PROC_VMA_UNKNOWN), "all flags of %s are known",
		   smaps.v[i].name);
	is_int(proc_vma_at(a, self, (uintptr_t)&vma, &vma), 0, "at: %s", err_last()->text);
	is_str(vma.name, "[stack]", "the stack");
	is_int(proc_vma_at(a, self, 4096, &vma), -ENOENT, "nothing there");
	is_int(proc_vma_named(a, self, "[vdso]", &vma), 0, "named");
	is_int(proc_auxv(self, AT_SYSINFO_EHDR, &value), 0, "auxv");
	is_int((long long)value, (long long)vma.start, "the same vDSO");
	is_int(proc_auxv(self, 12345, &value), -ENOENT, "no such entry");
	is_int(proc_mounts(a, self, &mounts, &n), 0, "mounts: %s", err_last()->text);
	ok(n > 0, "%zu", n);
	is_int(proc_limits(self, limits), 0, "limits: %s", err_last()->text);
	for (int i = 0; i < RLIM_NLIMITS; i++) {
		getrlimit((enum __rlimit_resource)i, &one);
		ok(one.rlim_cur == limits[i].rlim_cur && one.rlim_max == limits[i].rlim_max,
		   "limit %d", i);
	}
	is_int(proc_tasks(a, self, &tids, &n), 0, "tasks");
	ok(n == 1 && tids[0] == self, "one");
	is_int(proc_link(self, "exe", link, sizeof(link)), 0, "link");
	is_int(proc_link(self, "exe", link, 3), -ENAMETOOLONG, "no room");
	is_int(proc_stat(0x7ffffff0, &st), -ESRCH, "nobody");
	is_int(proc_maps(a, 0x7ffffff0, &maps), -ESRCH, "nobody's maps");
}

static void reads_own_fds(void)
{
	auto_arena a = arena_new();
	struct itimerspec its = { { 200, 5 }, { 100, 0 } };
	struct epoll_event e = { .events = EPOLLIN | EPOLLET, .data.u64 = 0x123456789abcdef0 };
	int ev = eventfd(7, EFD_SEMAPHORE | EFD_CLOEXEC), ep = epoll_create1(0), fds[2];
	int tm = timerfd_create(CLOCK_MONOTONIC, 0), in = inotify_init1(0), sg, *all;
	int file = open("/proc/self/exe", O_RDONLY);
	int pf = (int)sys_pidfd_open(getppid(), 0);
	struct proc_fdinfo f;
	sigset_t set;
	size_t n;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sg = signalfd(-1, &set, 0);
	timerfd_settime(tm, 0, &its, NULL);
	epoll_ctl(ep, EPOLL_CTL_ADD, ev, &e);
	inotify_add_watch(in, "/tmp", IN_CREATE | IN_DELETE);
	ok(pipe(fds) == 0 && flock(file, LOCK_SH) == 0, "made");
	is_int(proc_fdinfo(a, getpid(), ev, &f), 0, "eventfd: %s", err_last()->text);
	is_int((long long)f.count, 7, "count");
	ok(f.flags & O_CLOEXEC, "flags");
	is_int(proc_fdinfo(a, getpid(), ep, &f), 0, "epoll: %s", err_last()->text);
	ok(f.n_epolls == 1 && f.epolls[0].fd == ev && f.epolls[0].data == e.data.u64 &&
		   f.epolls[0].events & EPOLLET,
	   "what it watches");
	is_int(proc_fdinfo(a, getpid(), tm, &f), 0, "timerfd: %s", err_last()->text);
	ok(f.clock == CLOCK_MONOTONIC && f.timer.it_interval.tv_nsec == 5 &&
		   f.timer.it_value.tv_sec > 90,
	   "its times");
	is_int(proc_fdinfo(a, getpid(), in, &f), 0, "inotify: %s", err_last()->text);
	ok(f.n_watches == 1 && (f.watches[0].mask & IN_CREATE), "its watch");
	is_int(proc_fdinfo(a, getpid(), sg, &f), 0, "signalfd: %s", err_last()->text);
	is_int((long long)f.sigmask, 1ll << (SIGUSR1 - 1), "its mask");
	is_int(proc_fdinfo(a, getpid(), file, &f), 0, "file: %s", err_last()->text);
	ok(f.n_locks == 1 && f.locks[0].kind == PROC_LOCK_FLOCK && !f.locks[0].write, "its lock");
	is_int(proc_fdinfo(a, getpid(), pf, &f), 0, "pidfd: %s", err_last()->text);
	is_int(f.pid, getppid(), "whose");
	is_int(proc_fdinfo(a, getpid(), 9999, &f), -ESRCH, "none");
	is_int(proc_fds(a, getpid(), &all, &n), 0, "listed");
	ok(n >= 8, "%zu", n);
	for (size_t i = 1; i < n; i++)
		ok(all[i] > all[i - 1], "ascending");
}

static void *pause_thread(void *arg)
{
	(void)arg;
	pause();
	return NULL;
}

/* Of two threads that differ in their names alone. */
static void compares_rights(void)
{
	char own[16384], other[16384];
	auto_arena a = arena_new();
	pid_t *tids, self = getpid();
	pthread_t t;
	size_t n;

	pthread_create(&t, NULL, pause_thread, NULL);
	pthread_setname_np(t, "Uid:\tevil");
	is_int(proc_tasks(a, self, &tids, &n), 0, "tasks");
	if (!is_int((long long)n, 2, "two"))
		return;
	is_int(proc_rights(self, self, own, sizeof(own)), 0, "rights: %s", err_last()->text);
	is_int(proc_rights(self, tids[1], other, sizeof(other)), 0, "rights: %s", err_last()->text);
	ok(strncmp(own, "Uid:", 4) == 0 && strstr(own, "\nGroups:") && strstr(own, "\nCapAmb:") &&
		   strstr(own, "\nSeccomp:"),
	   "what counts is there: %s", own);
	ok(!strstr(own, "Name:") && !strstr(own, "Threads:"), "and nothing else");
	is_str(own, other, "the same for both");
	is_int(proc_rights(self, self, own, 256), -EFBIG, "no room");
	is_int(proc_rights(self, 0x7ffffff0, own, sizeof(own)), -ESRCH, "nobody");
}

static void lists_tasks_and_children(void)
{
	auto_arena a = arena_new();
	pid_t child, *v;
	pthread_t t;
	size_t n;

	pthread_create(&t, NULL, pause_thread, NULL);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	is_int(proc_tasks(a, getpid(), &v, &n), 0, "tasks");
	is_int((long long)n, 2, "two");
	is_int(proc_children(a, getpid(), &v, &n), 0, "children: %s", err_last()->text);
	ok(n == 1 && v[0] == child, "one");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

/* Every fourth page is written to, and the one behind it read: then it is that of zeros. */
static char *some_pages(size_t pages, size_t page)
{
	char *p = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		       0);

	madvise(p, pages * page, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < pages; i += 4)
		p[i * page] = 1;
	for (size_t i = 1; i < pages; i += 4)
		ok(*(volatile char *)(p + i * page) == 0, "a page of zeros is read");
	return p;
}

/* A few runs at a time, each page is told once. */
static size_t pages_found(int (*find)(int, uint64_t, uint64_t, const struct proc_pages_query *,
				      struct proc_page_run *, size_t, size_t *, uint64_t *),
			  const char *p, size_t len)
{
	int fd = open("/proc/self/pagemap", O_RDONLY), ret = 0;
	uint64_t at = (uintptr_t)p, end = at + len, last = 0;
	struct proc_page_run runs[3];
	size_t seen = 0, n;

	while (at < end && !ret) {
		ret = find(fd, at, end, &proc_pages_private, runs, COUNT(runs), &n, &at);
		for (size_t i = 0; !ret && i < n; i++) {
			ok(runs[i].start >= last && runs[i].end > runs[i].start, "none twice");
			last = runs[i].end;
			seen += (runs[i].end - runs[i].start) / 4096;
		}
	}
	is_int(ret, 0, "found: %s", err_last()->text);
	close(fd);
	return seen;
}

/* Pages that have been written to, and no others. */
static void scans_pages(void)
{
	const size_t page = 4096, pages = 256;
	const char *p = some_pages(pages, page);
	auto_fd fd = open("/proc/self/pagemap", O_RDONLY);

	if (!proc_pages_scans(fd))
		tap_skip("no PAGEMAP_SCAN here");
	is_int((long long)pages_found(proc_pages, p, pages * page), pages / 4, "written to");
}

/* As old kernels tell it: which ones are those of zeros is not known. */
static void reads_pages(void)
{
	const size_t page = 4096, pages = 10000; /* in several pieces */
	const char *p = some_pages(pages, page);

	is_int((long long)pages_found(proc_pages_read, p, pages * page), pages / 2, "touched");
	is_int((long long)pages_found(proc_pages_read, (char *)1 + (1ull << 63) - 1, page), 0,
	       "where no process has memory");
}

static void peeks(void)
{
	const size_t page = 4096;
	char *p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct peek_span spans[300];
	auto_peek m = { -1, -1, -1 };
	char buf[3 * 4096 + 1] = "";
	pid_t child;

	strcpy(p + page - 3, "abcdef");
	memset(p + 2 * page, 'z', page);
	mprotect(p + page, page, PROT_NONE);
	munmap(p + 3 * page, page);
	child = fork();
	if (child == 0) {
		pause();
		_exit(0);
	}
	is_int(peek_open(child, &m), 0, "opened: %s", err_last()->text);
	is_int(peek_read(&m, (uintptr_t)p + page - 3, buf, 7), 0, "across what may not be read: %s",
	       err_last()->text);
	is_str(buf, "abcdef", "read");
	is_int(peek_string(&m, (uintptr_t)p + page - 3, buf, sizeof(buf)), 6, "a string");
	is_int(peek_string(&m, (uintptr_t)p + page - 3, buf, 6), -ENAMETOOLONG, "that has no end");
	is_int(peek_read(&m, (uintptr_t)p + 2 * page, buf, 2 * page), -EFAULT,
	       "up to what is not there");
	ok(strstr(err_last()->text, "memory of process"), "says where: %s", err_last()->text);
	is_int(peek_some(&m, (uintptr_t)p + 2 * page, buf, 2 * page), 4096, "as much as there is");
	for (size_t i = 0; i < COUNT(spans); i++)
		spans[i] = (struct peek_span){ (uintptr_t)p + 2 * page - 1 + i, i % 3 };
	is_int(peek_gather(&m, spans, COUNT(spans), buf), 0, "300 ranges: %s", err_last()->text);
	ok(buf[0] == '\0' || buf[0] == 'z', "in their order");
	is_int(peek_write(&m, (uintptr_t)p + page, "PROTECTED", 9), 0, "written: %s",
	       err_last()->text);
	is_int(peek_read(&m, (uintptr_t)p + page, buf, 9), 0, "read");
	ok(memcmp(buf, "PROTECTED", 9) == 0, "what was written");
	is_int(peek_read(&m, UINT64_MAX - 3, buf, 9), -E2BIG, "around the end");
	is_int(peek_read(&m, 0, buf, 1), -EFAULT, "at nothing");
	is_int(peek_read(&m, 0, buf, 0), 0, "nothing at nothing");
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	is_int(peek_read(&m, (uintptr_t)p, buf, 9), -ESRCH, "it has ended");
	is_int(peek_open(child, &m), -ESRCH, "and cannot be held");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(parses_stat),
		TAP(parses_status),
		TAP(parses_maps),
		TAP(maps_told_again),
		TAP(refuses_maps),
		TAP(parses_lists),
		TAP(parses_syscall),
		TAP(parses_mounts),
		TAP(knows_kinds),
		TAP(parses_fdinfo),
		TAP(reads_itself),
		TAP(reads_own_fds),
		TAP(lists_tasks_and_children),
		TAP(compares_rights),
		TAP(scans_pages),
		TAP(reads_pages),
		TAP(peeks),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
