/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/console.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"

enum { POLL_IN, POLL_MASTER, POLL_OUT };

int console_connect(const char *path)
{
	int fd = fd_unix_connect(AT_FDCWD, path);

	if (fd < 0)
		return fail(-fd, "connect to the console socket %s: %s", path, err_reason(-fd));
	return fd;
}

int console_receive(int sock)
{
	char name[4096];
	int master = -1;
	size_t n = 1;
	ssize_t ret = fd_recv(sock, name, sizeof(name), &master, &n);

	if (ret < 0)
		return fail((int)-ret, "receive the terminal of the process: %s",
			    err_reason((int)-ret));
	if (n != 1)
		return fail(EPROTO, "the process did not set up its terminal");
	return master;
}

int console_begin(struct console_proxy *p, int master)
{
	struct termios raw;

	*p = (struct console_proxy){ .master = master };
	if (fcntl(master, F_SETFL, O_RDWR | O_NONBLOCK) < 0)
		return fail_errno("set the terminal of the process to non-blocking");
	console_resize(p);
	if (tcgetattr(STDIN_FILENO, &p->saved) < 0)
		return 0; /* standard input is no terminal: nothing to set back later */
	raw = p->saved;
	cfmakeraw(&raw);
	if (tcsetattr(STDIN_FILENO, TCSANOW, &raw) < 0)
		return fail_errno("set the terminal to raw mode");
	p->raw = true;
	return 0;
}

bool console_size(struct winsize *out)
{
	return ioctl(STDIN_FILENO, TIOCGWINSZ, out) == 0 ||
	       ioctl(STDOUT_FILENO, TIOCGWINSZ, out) == 0;
}

void console_resize(const struct console_proxy *p)
{
	struct winsize size;

	if (console_size(&size))
		ioctl(p->master, TIOCSWINSZ, &size);
}

static bool pending(const struct console_stream *s)
{
	return s->start < s->end;
}

void console_poll(const struct console_proxy *p, struct pollfd fds[3])
{
	short master = 0;

	if (pending(&p->in))
		master |= POLLOUT;
	if (!p->out.ended && !pending(&p->out))
		master |= POLLIN;
	fds[POLL_IN] = (struct pollfd){
		.fd = p->in.ended || pending(&p->in) ? -1 : STDIN_FILENO,
		.events = POLLIN,
	};
	/* without events a hung-up master would wake poll again and again */
	fds[POLL_MASTER] = (struct pollfd){ .fd = master ? p->master : -1, .events = master };
	fds[POLL_OUT] = (struct pollfd){
		.fd = pending(&p->out) ? STDOUT_FILENO : -1,
		.events = POLLOUT,
	};
}

static bool again(void)
{
	return errno == EAGAIN || errno == EINTR;
}

static void fill(struct console_stream *s, int fd)
{
	ssize_t n = read(fd, s->buf, sizeof(s->buf));

	s->start = s->end = 0;
	if (n > 0)
		s->end = (size_t)n;
	else if (n == 0 || !again())
		s->ended = true;
}

static void drain(struct console_stream *s, int fd)
{
	ssize_t n = write(fd, s->buf + s->start, s->end - s->start);

	if (n > 0)
		s->start += (size_t)n;
	else if (n < 0 && !again()) {
		s->start = s->end;
		s->ended = true;
	}
}

/* The end of a file or pipe is what a person types as the end-of-file character. */
static void type_end(struct console_proxy *p)
{
	struct termios t;

	if (p->raw || tcgetattr(p->master, &t) < 0 || !(t.c_lflag & ICANON))
		return;
	p->in.buf[0] = (char)t.c_cc[VEOF];
	p->in.end = 1;
}

void console_move(struct console_proxy *p, const struct pollfd fds[3])
{
	if (fds[POLL_MASTER].revents & POLLOUT)
		drain(&p->in, p->master);
	if (fds[POLL_OUT].revents)
		drain(&p->out, STDOUT_FILENO);
	if (fds[POLL_IN].revents) {
		fill(&p->in, STDIN_FILENO);
		if (p->in.ended)
			type_end(p);
	}
	if (fds[POLL_MASTER].revents & (POLLIN | POLLHUP | POLLERR) && !pending(&p->out))
		fill(&p->out, p->master);
}

void console_end(struct console_proxy *p)
{
	struct pollfd out = { .fd = STDOUT_FILENO, .events = POLLOUT };

	while (!p->out.ended) {
		if (!pending(&p->out))
			fill(&p->out, p->master);
		if (!pending(&p->out))
			break; /* hung up, or held open by a process that is left: no more now */
		if (poll(&out, 1, -1) > 0)
			drain(&p->out, STDOUT_FILENO);
	}
	if (p->raw)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &p->saved);
	p->raw = false;
	fd_close(p->master);
	p->master = -1;
}
