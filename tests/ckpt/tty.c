/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals: pairs made in the container, and the container's own. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "cycle.h"

static struct cycle_gate gate;

static void expect(int fd, const char *want, const char *what)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char buf[256] = "";
	ssize_t n;

	check(poll(&p, 1, 60000) == 1, "%s: nothing to read", what);
	n = p.revents & POLLIN ? read(fd, buf, sizeof(buf) - 1) : -1;
	check(n == (ssize_t)strlen(want) && memcmp(buf, want, strlen(want)) == 0,
	      "%s: \"%.*s\", wanted \"%s\"", what, n > 0 ? (int)n : 0, buf, want);
}

static int open_pair(int *out_slave)
{
	int master = (int)must(posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));

	must(grantpt(master));
	must(unlockpt(master));
	*out_slave = (int)must(open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC));
	return master;
}

/* Number, settings and size. */
static void pairs(void)
{
	struct winsize size = { .ws_row = 33, .ws_col = 99 }, size_is;
	struct termios was, is;
	char name[64], name_is[64];
	int gap_slave, gap = open_pair(&gap_slave), slave, master = open_pair(&slave);
	int peer, kept;

	close(gap);
	close(gap_slave);
	must(tcgetattr(slave, &was));
	was.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
	was.c_oflag &= ~(tcflag_t)OPOST;
	was.c_cc[VINTR] = 7;
	must(tcsetattr(slave, TCSANOW, &was));
	must(ioctl(master, TIOCSWINSZ, &size));
	snprintf(name, sizeof(name), "%s", ptsname(master));
	peer = (int)must(ioctl(master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
	kept = (int)must(dup(peer));
	cycle();
	check(fcntl(peer, F_GETFD) == FD_CLOEXEC, "one is not closed by execve any more");
	check(fcntl(kept, F_GETFD) == 0, "the other is closed by execve now");
	snprintf(name_is, sizeof(name_is), "%s", ptsname(master));
	check(strcmp(name, name_is) == 0, "it is %s, was %s", name_is, name);
	must(tcgetattr(slave, &is));
	check(is.c_lflag == was.c_lflag && is.c_oflag == was.c_oflag && is.c_cc[VINTR] == 7,
	      "settings");
	must(ioctl(slave, TIOCGWINSZ, &size_is));
	check(size_is.ws_row == 33 && size_is.ws_col == 99, "%dx%d", size_is.ws_col,
	      size_is.ws_row);
	must(write(master, "typed", 5));
	expect(slave, "typed", "what is typed");
	must(write(slave, "shown", 5));
	expect(master, "shown", "what is shown");
}

/* What was typed and is not read: there is no way to look at it and leave it there. */
static void typed(void)
{
	struct termios t;
	int slave, master = open_pair(&slave);

	must(tcgetattr(slave, &t));
	t.c_lflag &= ~(tcflag_t)(ECHO | ICANON);
	must(tcsetattr(slave, TCSANOW, &t));
	must(write(master, "typed", 5));
	cycle();
	expect(slave, "typed", "what was typed");
}

static volatile sig_atomic_t interrupts;

static void on_interrupt(int signal)
{
	(void)signal;
	interrupts++;
}

static void in_session(void *ctx)
{
	int slave = *(int *)ctx;

	must(setsid());
	must(ioctl(slave, TIOCSCTTY, 0));
	must(sigaction(SIGINT, &(struct sigaction){ .sa_handler = on_interrupt }, NULL));
	must(sigaction(SIGTTOU, &(struct sigaction){ .sa_handler = SIG_IGN }, NULL));
	cycle_pass(gate);
	cycle_wait();
	check(tcgetpgrp(slave) == getpgrp(), "foreground group %d, wanted %d", tcgetpgrp(slave),
	      getpgrp());
	check(tcgetsid(slave) == getpid(), "it is the terminal of session %d", tcgetsid(slave));
	check(access("/dev/tty", F_OK) < 0 || open("/dev/tty", O_RDWR | O_CLOEXEC) >= 0,
	      "/dev/tty: %s", strerror(errno));
	cycle_pass(gate);
	for (int i = 0; i < 6000 && !interrupts; i++)
		cycle_sleep(10);
	check(interrupts == 1, "%d interrupts from the keyboard", (int)interrupts);
}

/* A session with a terminal: ^C still goes to its foreground. */
static void controlling(void)
{
	int slave, master = open_pair(&slave);
	pid_t child;

	gate = cycle_gate();
	child = cycle_child(in_session, &slave);
	cycle_await(gate, 1);
	cycle();
	cycle_await(gate, 2);
	must(write(master, "\003", 1));
	cycle_join(child);
}

/* The container's own terminal, where it was given one. */
static void console(void)
{
	struct termios was, is;

	if (!isatty(STDIN_FILENO))
		cycle_skip("standard input is no terminal");
	must(tcgetattr(STDIN_FILENO, &was));
	was.c_lflag &= ~(tcflag_t)ECHO;
	was.c_cc[VINTR] = 7;
	must(tcsetattr(STDIN_FILENO, TCSANOW, &was));
	cycle();
	check(isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) && isatty(STDERR_FILENO),
	      "no terminal any more");
	must(tcgetattr(STDIN_FILENO, &is));
	check(is.c_lflag == was.c_lflag && is.c_cc[VINTR] == 7, "settings");
	check(tcgetsid(STDIN_FILENO) == getsid(0), "it is the terminal of session %d",
	      tcgetsid(STDIN_FILENO));
	check(tcgetpgrp(STDIN_FILENO) == getpgrp(), "foreground group %d", tcgetpgrp(STDIN_FILENO));
}

const struct cycle_case tty_cases[] = {
	{ "tty-pairs", pairs },     { "tty-typed", typed }, { "tty-controlling", controlling },
	{ "tty-console", console }, { NULL, NULL },
};
