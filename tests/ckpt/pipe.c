/* SPDX-License-Identifier: Apache-2.0 */
/* Pipes and fifos, with what is in flight. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cycle.h"

static const char *fifo_path(void)
{
	static char path[512];
	const char *at = getenv("CYCLE_DIR") ? getenv("CYCLE_DIR") : "/cycle";

	snprintf(path, sizeof(path), "%s/fifo", at);
	return path;
}

static void expect(int fd, const char *want, const char *what)
{
	char buf[256] = "";
	ssize_t n = read(fd, buf, sizeof(buf) - 1);

	check(n == (ssize_t)strlen(want) && memcmp(buf, want, strlen(want)) == 0,
	      "%s: \"%.*s\", wanted \"%s\", errno %d", what, n > 0 ? (int)n : 0, buf, want,
	      n < 0 ? errno : 0);
}

static void child_end(void *ctx)
{
	int *fd = ctx;

	close(fd[0]);
	cycle_wait();
	must(write(fd[1], "child", 5));
}

/* Data that nobody has read; one end in another process. */
static void pipes(void)
{
	int empty[2], some[2], shared[2], no_writer[2], no_reader[2], dup_end;
	struct pollfd p = { .events = POLLIN };
	char c;
	pid_t child;

	must(pipe2(empty, O_NONBLOCK | O_CLOEXEC));
	must(pipe2(some, 0));
	must(pipe2(shared, O_CLOEXEC));
	must(pipe2(no_writer, 0));
	must(pipe2(no_reader, 0));
	dup_end = (int)must(dup(some[0]));
	must(write(some[1], "in flight", 9));
	must(write(no_writer[1], "last words", 10));
	must(write(shared[1], "parent,", 7));
	close(no_writer[1]);
	close(no_reader[0]);
	signal(SIGPIPE, SIG_IGN);
	child = cycle_child(child_end, shared);
	cycle();
	check(read(empty[0], &c, 1) < 0 && errno == EAGAIN, "an empty pipe: errno %d", errno);
	check(fcntl(empty[0], F_GETFL) & O_NONBLOCK, "O_NONBLOCK is gone");
	check(!(fcntl(some[0], F_GETFL) & O_NONBLOCK), "O_NONBLOCK has come");
	check((fcntl(some[0], F_GETFL) & O_ACCMODE) == O_RDONLY &&
		      (fcntl(some[1], F_GETFL) & O_ACCMODE) == O_WRONLY,
	      "which end is which");
	expect(some[0], "in flight", "a pipe with data");
	must(write(some[1], "more", 4));
	expect(dup_end, "more", "a dup'ed end");
	expect(no_writer[0], "last words", "a pipe without a writer");
	expect(no_writer[0], "", "its end");
	check(write(no_reader[1], "x", 1) < 0 && errno == EPIPE,
	      "a pipe without a reader: errno %d", errno);
	cycle_join(child);
	close(shared[1]);
	expect(shared[0], "parent,child", "a pipe to a child");
	p.fd = shared[0];
	check(poll(&p, 1, 0) == 1 && (p.revents & POLLHUP), "the other end is still open");
}

/* Room and fill of a large one; packets keep their bounds. */
static void pipe_sizes(void)
{
	static char block[300000], got[300000];
	int large[2], packets[2], full[2];
	ssize_t n, filled = 0;

	for (size_t i = 0; i < sizeof(block); i++)
		block[i] = (char)(i * 31 + i / 256);
	must(pipe2(large, O_CLOEXEC | O_NONBLOCK));
	must(fcntl(large[1], F_SETPIPE_SZ, 524288));
	must(write(large[1], block, sizeof(block)) == sizeof(block) ? 0 : -1);
	must(pipe2(packets, O_CLOEXEC | O_DIRECT | O_NONBLOCK));
	must(write(packets[1], "one", 3));
	must(write(packets[1], "twenty-two", 10));
	must(write(packets[1], "3", 1));
	must(pipe2(full, O_CLOEXEC | O_NONBLOCK));
	while ((n = write(full[1], block, 1000)) > 0)
		filled += n;
	cycle();
	check(fcntl(large[0], F_GETPIPE_SZ) == 524288, "room for %d bytes",
	      fcntl(large[0], F_GETPIPE_SZ));
	for (filled = -filled, n = 1; n > 0;) {
		n = read(full[0], got, sizeof(got));
		filled += n > 0 ? n : 0;
	}
	check(filled == 0, "a full pipe: %ld bytes too many", (long)filled);
	n = 0;
	for (ssize_t r = 1; r > 0; n += r > 0 ? r : 0)
		r = read(large[0], got + n, sizeof(got) - (size_t)n);
	check(n == sizeof(block) && memcmp(got, block, sizeof(block)) == 0, "%ld bytes of %zu",
	      (long)n, sizeof(block));
	expect(packets[0], "one", "a packet");
	expect(packets[0], "twenty-two", "a packet");
	expect(packets[0], "3", "a packet");
	must(write(packets[1], "a", 1));
	must(write(packets[1], "b", 1));
	expect(packets[0], "a", "a new packet");
}

static void fifos(void)
{
	int reader, writer, both;
	struct stat st;

	if (mkfifo(fifo_path(), 0644) < 0)
		must(errno == EEXIST ? 0 : -1);
	both = (int)must(open(fifo_path(), O_RDWR | O_CLOEXEC));
	reader = (int)must(open(fifo_path(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
	writer = (int)must(open(fifo_path(), O_WRONLY | O_CLOEXEC));
	must(write(writer, "through a fifo", 14));
	close(both);
	cycle();
	must(fstat(reader, &st));
	check(S_ISFIFO(st.st_mode) && st.st_nlink == 1, "mode 0%o", (unsigned)st.st_mode);
	expect(reader, "through a fifo", "a fifo");
	both = (int)must(open(fifo_path(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
	must(write(both, "by name", 7));
	expect(reader, "by name", "the fifo by its name");
	close(both);
	close(writer);
	expect(reader, "", "its end");
	must(unlink(fifo_path()));
}

const struct cycle_case pipe_cases[] = {
	{ "pipes", pipes },
	{ "pipes-sizes", pipe_sizes },
	{ "fifos", fifos },
	{ NULL, NULL },
};
