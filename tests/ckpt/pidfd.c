/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors of processes; and descriptors that can't be saved. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cycle.h"

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

static struct cycle_gate gate;

static int open_process(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);

	if (fd < 0 && (errno == ENOSYS || errno == EPERM))
		cycle_skip("pidfd_open: %s", strerror(errno));
	return (int)must(fd);
}

static bool has_ended(int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, 0) == 1 && (p.revents & POLLIN);
}

static int signal_to(int fd, int signal)
{
	return syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0) < 0 ? errno : 0;
}

static void linger(void *ctx)
{
	(void)ctx;
	cycle_pass(gate);
	for (;;)
		pause();
}

static pid_t ending(int status)
{
	pid_t pid = (pid_t)must(fork());

	if (pid == 0)
		_exit(status);
	return pid;
}

static void pidfds(void)
{
	struct epoll_event event = { .events = EPOLLIN, .data = { .u32 = 7 } };
	int epoll, live, self, zombie, gone, kept, nonblock;
	pid_t child, late, reaped;
	siginfo_t info = { 0 };

	gate = cycle_gate();
	child = cycle_child(linger, NULL);
	cycle_await(gate, 1);
	live = open_process(child);
	kept = (int)must(dup(live));
	nonblock = open_process(child);
	must(fcntl(nonblock, F_SETFL, O_NONBLOCK));
	self = open_process(getpid());
	late = ending(5);
	zombie = open_process(late);
	reaped = ending(0);
	gone = open_process(reaped);
	must(waitpid(reaped, NULL, 0));
	must(waitid(P_PID, (id_t)late, &info, WEXITED | WNOWAIT));
	epoll = (int)must(epoll_create1(EPOLL_CLOEXEC));
	must(epoll_ctl(epoll, EPOLL_CTL_ADD, live, &event));
	cycle();
	check(!has_ended(live) && !has_ended(self), "one that lives has ended");
	check(has_ended(zombie) && has_ended(gone), "one that has ended lives");
	check(signal_to(self, 0) == 0, "our own: error %d", signal_to(self, 0));
	check(signal_to(gone, 0) == ESRCH, "one that was waited for: error %d", signal_to(gone, 0));
	check(fcntl(nonblock, F_GETFL) & O_NONBLOCK, "O_NONBLOCK is gone");
	memset(&info, 0, sizeof(info));
	check(waitid(P_PIDFD, (id_t)zombie, &info, WEXITED) == 0 && info.si_pid == late &&
		      info.si_status == 5,
	      "process %d with status %d, errno %d", info.si_pid, info.si_status, errno);
	check(epoll_wait(epoll, &event, 1, 0) == 0, "an event too early");
	check(signal_to(kept, SIGKILL) == 0, "it can't be killed");
	check(epoll_wait(epoll, &event, 1, 60000) == 1 && event.data.u32 == 7, "no event");
	memset(&info, 0, sizeof(info));
	check(waitid(P_PIDFD, (id_t)live, &info, WEXITED) == 0 && info.si_pid == child &&
		      info.si_status == SIGKILL,
	      "process %d with status %d, errno %d", info.si_pid, info.si_status, errno);
}

/* ---- what is refused by name */

/* Holds it across; nothing is asked of it. */
static void hold(const char *name, long fd)
{
	if (fd < 0)
		cycle_skip("%s: %s", name, strerror(errno));
	cycle();
	check(fcntl((int)fd, F_GETFD) >= 0, "%s is closed", name);
}

static void has_io_uring(void)
{
	char params[120] = { 0 }; /* struct io_uring_params */

	hold("io_uring_setup", syscall(SYS_io_uring_setup, 4, params));
}

static void has_userfaultfd(void)
{
	hold("userfaultfd", syscall(SYS_userfaultfd, O_CLOEXEC | 1 /* UFFD_USER_MODE_ONLY */));
}

static void has_secret_memory(void)
{
	hold("memfd_secret", syscall(SYS_memfd_secret, 0));
}

static void has_netlink(void)
{
	hold("a netlink socket", socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static void has_packets(void)
{
	hold("a packet socket", socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0));
}

static void has_namespace(void)
{
	hold("a namespace", open("/proc/self/ns/uts", O_RDONLY | O_CLOEXEC));
}

const struct cycle_case pidfd_cases[] = {
	{ "pidfds", pidfds },
	{ "has-io-uring", has_io_uring },
	{ "has-userfaultfd", has_userfaultfd },
	{ "has-secret-memory", has_secret_memory },
	{ "has-netlink", has_netlink },
	{ "has-packets", has_packets },
	{ "has-namespace", has_namespace },
	{ NULL, NULL },
};
