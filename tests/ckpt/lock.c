/* SPDX-License-Identifier: Apache-2.0 */
/* What hangs on descriptors beside: locks, and who gets their signals. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cycle.h"

static int make(const char *path)
{
	return (int)must(open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644));
}

static int lock(int fd, int command, short type, off_t start, off_t len)
{
	struct flock k = { .l_type = type, .l_start = start, .l_len = len };

	return fcntl(fd, command, &k);
}

/* As another process, or description, sees it: F_UNLCK where nothing is in the way. */
static struct flock seen(int fd, int command, off_t start)
{
	struct flock k = { .l_type = F_WRLCK, .l_start = start, .l_len = 1 };

	must(fcntl(fd, command, &k));
	return k;
}

static void holds(void *ctx)
{
	struct cycle_gate *gate = ctx;
	int fd = make("/cycle/posix");

	must(lock(fd, F_SETLK, F_WRLCK, 10, 10));
	must(lock(fd, F_SETLK, F_RDLCK, 100, 0));
	cycle_pass(*gate);
	cycle_wait();
	cycle_await((struct cycle_gate){ gate->number + 1 }, 1);
}

static void locks(void)
{
	struct cycle_gate gate = cycle_gate(), end = cycle_gate();
	int posix = make("/cycle/posix"), whole = make("/cycle/whole"), ofd = make("/cycle/ofd"),
	    other = make("/cycle/whole"), again = make("/cycle/ofd");
	pid_t child = cycle_child(holds, &gate);
	struct flock k;

	must(lock(posix, F_SETLK, F_WRLCK, 30, 5));
	must(flock(whole, LOCK_EX));
	must(lock(ofd, F_OFD_SETLK, F_WRLCK, 5, 2));
	cycle_await(gate, 1);
	cycle();
	k = seen(posix, F_GETLK, 12);
	check(k.l_type == F_WRLCK && k.l_start == 10 && k.l_len == 10 && k.l_pid == child,
	      "type %d, %ld+%ld, process %d", k.l_type, (long)k.l_start, (long)k.l_len, k.l_pid);
	k = seen(posix, F_GETLK, 1000);
	check(k.l_type == F_RDLCK && k.l_start == 100 && k.l_len == 0, "type %d, %ld+%ld", k.l_type,
	      (long)k.l_start, (long)k.l_len);
	k = seen(again, F_OFD_GETLK, 5);
	check(k.l_type == F_WRLCK && k.l_start == 5 && k.l_len == 2 && k.l_pid == -1,
	      "type %d, %ld+%ld, process %d", k.l_type, (long)k.l_start, (long)k.l_len, k.l_pid);
	check(flock(other, LOCK_SH | LOCK_NB) < 0 && errno == EWOULDBLOCK, "flock: errno %d",
	      errno);
	k = seen(again, F_OFD_GETLK, 30);
	check(k.l_type == F_UNLCK, "a lock that nobody took");
	must(flock(whole, LOCK_UN));
	check(flock(other, LOCK_EX | LOCK_NB) == 0, "the lock was somebody else's");
	cycle_pass(end);
	cycle_join(child);
}

static void leased(void)
{
	int fd = make("/cycle/leased");

	if (fcntl(fd, F_SETLEASE, F_WRLCK) < 0)
		cycle_skip("no lease: %s", strerror(errno));
	cycle();
}

static void check_owner(int fd, int type, pid_t pid, int sig)
{
	struct f_owner_ex o = { 0 };

	must(fcntl(fd, F_GETOWN_EX, &o));
	check((!pid || (int)o.type == type) && o.pid == pid, "type %d, %d", (int)o.type, o.pid);
	check(fcntl(fd, F_GETSIG) == sig, "signal %d", fcntl(fd, F_GETSIG));
}

static void owners(void)
{
	const struct timespec soon = { .tv_sec = 60 };
	struct f_owner_ex thread = { F_OWNER_TID, (pid_t)syscall(SYS_gettid) },
			  group = { F_OWNER_PGRP, getpgrp() };
	int pair[2], other[2], sig = SIGRTMIN + 1;
	siginfo_t info;
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, sig);
	must(sigprocmask(SIG_BLOCK, &set, NULL));
	must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
	must(pipe2(other, O_CLOEXEC));
	must(fcntl(pair[0], F_SETOWN_EX, &thread));
	must(fcntl(pair[0], F_SETSIG, sig));
	must(fcntl(pair[0], F_SETFL, O_ASYNC));
	must(fcntl(other[0], F_SETOWN_EX, &group));
	must(fcntl(other[1], F_SETSIG, SIGUSR1));
	cycle();
	check_owner(pair[0], F_OWNER_TID, thread.pid, sig);
	check_owner(pair[1], F_OWNER_PID, 0, 0);
	check_owner(other[0], F_OWNER_PGRP, group.pid, 0);
	check_owner(other[1], F_OWNER_PID, 0, SIGUSR1);
	check(fcntl(pair[0], F_GETFL) & O_ASYNC, "O_ASYNC is gone");
	must(write(pair[1], "x", 1));
	check(sigtimedwait(&set, &info, &soon) == sig && info.si_fd == pair[0],
	      "no signal came: %s", strerror(errno));
}

const struct cycle_case lock_cases[] = {
	{ "locks", locks },
	{ "leased", leased },
	{ "owners", owners },
	{ NULL, NULL },
};
