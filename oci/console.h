/* SPDX-License-Identifier: Apache-2.0 */
/* Terminals: the socket a caller wants the master on, and the proxy between two terminals for a
 * process in the foreground. */
#ifndef OCI_CONSOLE_H
#define OCI_CONSOLE_H

#include <poll.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

/* Connects to the caller's console socket. Returns the fd or -errno with a text. */
int console_connect(const char *path);

/* Takes the master that was sent to the other end of the socket. Returns the fd or -errno with a
 * text. */
int console_receive(int sock);

struct console_stream {
	char buf[4096];
	size_t start, end; /* what was read and not yet written */
	bool ended;        /* no more to read, or nobody to write to */
};

/* The size of the terminal that this process has; false where it has none. */
bool console_size(struct winsize *out);

/* Copies standard input to the master and the master to standard output. */
struct console_proxy {
	int master;
	bool raw; /* standard input is a terminal, and saved is what it was set to */
	struct termios saved;
	struct console_stream in, out;
};

/* Takes the master over, gives it this terminal's size and sets this terminal to raw mode. */
int console_begin(struct console_proxy *p, int master);

/* The outer terminal has another size now. */
void console_resize(const struct console_proxy *p);

/* Fills three entries of poll(2): standard input, master, standard output. */

void console_poll(const struct console_proxy *p, struct pollfd fds[3]);
/* Moves what can be moved after poll(2) has answered. */
void console_move(struct console_proxy *p, const struct pollfd fds[3]);

/* The process has ended: shows the rest of its output and sets the terminal back. */
void console_end(struct console_proxy *p);

#endif
