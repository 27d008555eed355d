/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/spawn.h"
#include "base/str.h"
#include "lib/scratch.h"
#include "lib/tap.h"

static void errors(void)
{
	char long_text[ERR_TEXT_MAX * 2];

	is_int(fail(ENOENT, "open %s", "x"), -ENOENT, "fail returns the code");
	is_str(err_last()->text, "open x", "and keeps the text");
	is_int(fail_in(-ENOENT, "config"), -ENOENT, "context keeps the code");
	is_str(err_last()->text, "config: open x", "and goes before the text");
	errno = EPERM;
	fail_errno("chown %d", 3);
	is_str(err_last()->text, "chown 3: operation not permitted", "the reason in lower case");
	memset(long_text, 'a', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	fail(EIO, "%s", long_text);
	is_int((long long)strlen(err_last()->text), ERR_TEXT_MAX - 1, "a long text is cut");
	fail_in(-EIO, "%s", long_text);
	is_int((long long)strlen(err_last()->text), ERR_TEXT_MAX - 1, "and stays cut");
	err_clear();
	is_int(err_last()->code, 0, "cleared");
}

static void numbers(void)
{
	static const struct {
		const char *text;
		int ret;
		uint64_t value;
	} rows[] = {
		{ "0", 0, 0 },
		{ "18446744073709551615", 0, UINT64_MAX },
		{ "18446744073709551616", -ERANGE, 0 },
		{ "", -EINVAL, 0 },
		{ "-1", -EINVAL, 0 },
		{ "+1", -EINVAL, 0 },
		{ " 1", -EINVAL, 0 },
		{ "1 ", -EINVAL, 0 },
		{ "1x", -EINVAL, 0 },
		{ "0x10", -EINVAL, 0 },
	};
	uint64_t v;
	int64_t i;

	for (size_t r = 0; r < TAP_COUNT(rows); r++) {
		v = 77;
		is_int(num_u64(rows[r].text, 0, UINT64_MAX, &v), rows[r].ret, "\"%s\"",
		       rows[r].text);
		ok(v == (rows[r].ret ? 77 : rows[r].value), "\"%s\": the value", rows[r].text);
	}
	is_int(num_u64("5", 6, 10, &v), -ERANGE, "below the least");
	is_int(num_i64("-9223372036854775808", INT64_MIN, INT64_MAX, &i), 0, "the smallest");
	ok(i == INT64_MIN, "its value");
	is_int(num_i64("-9223372036854775809", INT64_MIN, INT64_MAX, &i), -ERANGE, "one less");
	is_int(num_i64("--1", INT64_MIN, INT64_MAX, &i), -EINVAL, "two signs");
	is_int(num_hex("7fFF", 4, &v), 0, "hexadecimal");
	is_int((long long)v, 0x7fff, "its value");
	is_int(num_hex("7g", 2, &v), -EINVAL, "no hexadecimal");
}

static void byte_sizes(void)
{
	static const struct {
		const char *text;
		int ret;
		int64_t value;
	} rows[] = {
		{ "1", 0, 1 },
		{ "512m", 0, 512 << 20 },
		{ "1G", 0, 1 << 30 },
		{ "2kb", 0, 2048 },
		{ "-1", 0, -1 },
		{ "-1m", -EINVAL, 0 },
		{ "-2", -ERANGE, 0 },
		{ "1x", -EINVAL, 0 },
		{ "1mm", -EINVAL, 0 },
		{ "", -EINVAL, 0 },
		{ "9t", 0, 9ll << 40 },
		{ "9223372036854775807k", -ERANGE, 0 },
		{ "64MiB", 0, 64 << 20 },
		{ "1.5g", 0, 3ll << 29 },
		{ "0.125M", 0, 1 << 17 },
		{ "1.9", 0, 1 },
		{ "8191p", 0, 8191ll << 50 },
		{ "8192p", -ERANGE, 0 },
		{ "1.m", -EINVAL, 0 },
		{ "-1.5", -EINVAL, 0 },
		{ ".5m", -EINVAL, 0 },
		{ "1.0000000001g", -EINVAL, 0 },
		{ "9223372036854775807.5", 0, INT64_MAX },
		{ "1bb", -EINVAL, 0 },
		{ "0.999999999k", 0, 1023 },
		{ "1.5.5m", -EINVAL, 0 },
	};
	int64_t v;

	for (size_t r = 0; r < TAP_COUNT(rows); r++) {
		v = 0;
		is_int(num_bytes(rows[r].text, &v), rows[r].ret, "\"%s\"", rows[r].text);
		is_int(v, rows[r].value, "\"%s\": the value", rows[r].text);
	}
}

static void json_text(void)
{
	char buf[64], tiny[8];
	struct str s = STR_ON(buf), t = STR_ON(tiny);

	str_add_json(&s, "a\"\\\n\x01\xc3\xa9\xff\xed\xa0\x80");
	is_str(buf, "a\\\"\\\\\\n\\u0001\xc3\xa9\\ufffd\\ufffd\\ufffd\\ufffd",
	       "escapes and bytes that are no UTF-8");
	str_addf(&t, "%s", "123456789");
	ok(t.full, "what does not fit is told");
	is_str(tiny, "1234567", "and the rest is whole");
	str_add(&t, "x");
	is_str(tiny, "1234567", "nothing is added to a full one");
}

static void times(void)
{
	static const struct {
		time_t secs;
		const char *text;
	} rows[] = {
		{ 0, "1970-01-01T00:00:00.5Z" },          { 951782399, "2000-02-28T23:59:59.5Z" },
		{ 951782400, "2000-02-29T00:00:00.5Z" },  { 951868800, "2000-03-01T00:00:00.5Z" },
		{ 1704067199, "2023-12-31T23:59:59.5Z" }, { 4107542400, "2100-03-01T00:00:00.5Z" },
	};
	char buf[40];

	for (size_t r = 0; r < TAP_COUNT(rows); r++) {
		struct timespec t = { .tv_sec = rows[r].secs, .tv_nsec = 500000000 };
		struct str s = STR_ON(buf);

		str_add_time(&s, &t, 1);
		is_str(buf, rows[r].text, "%lld", (long long)rows[r].secs);
	}
}

static void signal_names(void)
{
	static const struct {
		const char *text;
		int sig;
	} rows[] = {
		{ "TERM", SIGTERM },    { "SIGTERM", SIGTERM },
		{ "sigkill", SIGKILL }, { "9", 9 },
		{ "64", 64 },           { "0", -1 },
		{ "65", -1 },           { "RTMIN+3", 37 },
		{ "SIGRTMIN+3", 37 },   { "RTMAX-1", 63 },
		{ "RTMIN-1", -1 },      { "RTMIN+31", -1 },
		{ "SIG", -1 },          { "", -1 },
		{ "TERMX", -1 },
	};

	for (size_t r = 0; r < TAP_COUNT(rows); r++)
		is_int(name_signal(rows[r].text), rows[r].sig, "\"%s\"", rows[r].text);
	is_str(name_of_signal(SIGTERM), "SIGTERM", "the other way");
	is_int(name_capability("CAP_SYS_ADMIN"), 21, "a capability");
	is_int(name_capability("sys_admin"), 21, "without prefix");
	is_int(name_capability("CAP_NONE"), -1, "an unknown one");
	is_int(name_rlimit("RLIMIT_NOFILE"), 7, "a limit");
	is_int(name_rlimit("NOFILE"), -1, "only by its whole name");
}

static void replace_file(void)
{
	int dir = scratch_make();
	auto_arena a = arena_new();
	char *text;
	struct stat st;

	is_int(fd_replace_file(dir, "f", 0600, "one", 3), 0, "a new file");
	is_int(fd_replace_file(dir, "f", 0600, "two!", 4), 0, "replaced");
	is_int(fd_read_file(dir, "f", a, 100, &text, NULL), 0, "read");
	is_str(text, "two!", "what was written last");
	is_int(fd_read_file(dir, "f", a, 3, &text, NULL), -EFBIG, "more than the limit");
	is_int(mkdirat(dir, "d", 0700), 0, "a directory in the way");
	is_int(fd_replace_file(dir, "d", 0600, "x", 1), -EISDIR, "can't be replaced");
	is_int(fd_prepare_file(dir, "f", 0600, "three", 5), 0, "prepared");
	is_int(fd_read_file(dir, "f", a, 100, &text, NULL), 0, "read");
	is_str(text, "two!", "it does not count yet");
	is_int(fd_commit_file(dir, "f"), 0, "committed");
	is_int(fd_read_file(dir, "f", a, 100, &text, NULL), 0, "read");
	is_str(text, "three", "it counts");
	is_int(fd_commit_file(dir, "f"), -ENOENT, "once");
	is_int(fstatat(dir, ".d.tmp", &st, 0), -1, "nothing is left");
	scratch_drop(dir);
}

/* A limit cuts the first write short, and refuses the next one. */
static void write_at(void)
{
	const struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY }, some = { 6, RLIM_INFINITY };
	int dir = scratch_make();
	auto_arena a = arena_new();
	int fd = openat(dir, "f", O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
	char *text;
	size_t len;

	signal(SIGXFSZ, SIG_IGN);
	is_int(fd_write_all_at(fd, "abcd", 4, 2), 0, "written");
	is_int(setrlimit(RLIMIT_FSIZE, &some), 0, "a limit");
	is_int(fd_write_all_at(fd, "ABCDEF", 6, 3), -EFBIG, "what is not written whole is told");
	is_int(setrlimit(RLIMIT_FSIZE, &all), 0, "no limit");
	is_int(fd_write_all_at(fd, "", 0, 100), 0, "nothing to write");
	is_int(fd_read_file(dir, "f", a, 100, &text, &len), 0, "read");
	ok(len == 6 && memcmp(text, "\0\0aABC", 6) == 0, "each byte in its place");
	close(fd);
	scratch_drop(dir);
}

static void slow_pipe(void)
{
	auto_arena a = arena_new();
	char *text = NULL;
	int ends[2];

	is_int(pipe2(ends, O_CLOEXEC), 0, "a pipe");
	if (fork() == 0) {
		for (int i = 0; i < 3; i++) {
			usleep(20000);
			if (write(ends[1], "abc", 3) != 3)
				_exit(1);
		}
		_exit(0);
	}
	close(ends[1]);
	fcntl(ends[0], F_SETFL, O_NONBLOCK);
	is_int(fd_read_all(ends[0], a, 100, &text, NULL), 0, "read to its end");
	is_str(text, "abcabcabc", "whole, though the writer takes his time");
	close(ends[0]);
}

static void beneath(void)
{
	int dir = scratch_make(), fd;

	is_int(mkdirat(dir, "in", 0700), 0, "a directory");
	is_int(symlinkat("/etc", dir, "abs"), 0, "a link out, absolute");
	is_int(symlinkat("../../../../etc", dir, "up"), 0, "a link out, relative");
	is_int(symlinkat("in", dir, "link"), 0, "a link inside");
	is_int(fd_open_in_root(dir, "abs/passwd", O_PATH), -ENOENT,
	       "an absolute link starts at the root given");
	is_int(fd_open_in_root(dir, "up/passwd", O_PATH), -ENOENT, "dots stop there");
	is_int(fd_open_in_root(dir, "../../../etc/passwd", O_PATH), -ENOENT,
	       "in the path itself too");
	fd = fd_open_in_root(dir, "/link", O_PATH | O_DIRECTORY);
	ok(fd >= 0, "a link inside is followed");
	fd_close(fd);
	is_int(fd_open_beneath(dir, "link/x", O_PATH), -ELOOP, "or refused");
	is_int(fd_open_beneath(dir, "../x", O_PATH), -EXDEV, "as are dots");
	is_int(fd_mkdir_all(dir, "a/b/c", 0755), 0, "directories made");
	is_int(fd_mkdir_all(dir, "link/b", 0755), -ENOTDIR, "but not through a link");
	scratch_drop(dir);
}

/* Deeper than there are descriptors, with directories that may not be read or written. */
static void remove_tree(void)
{
	const struct rlimit few = { 64, 64 };
	int top = scratch_make(), dir = dup(top), next;

	setrlimit(RLIMIT_NOFILE, &few);
	for (int i = 0; i < 3000; i++) {
		if (mkdirat(dir, "d", 0700) < 0 || mkdirat(dir, "e", 0700) < 0 ||
		    symlinkat("/etc", dir, "l") < 0)
			break;
		next = openat(dir, "d", O_PATH | O_CLOEXEC);
		fd_close(openat(dir, "e/f", O_CREAT | O_WRONLY | O_CLOEXEC, 0));
		is_int(fchmodat(dir, "e", i % 2 ? 0 : 0500, 0), 0, "closed");
		close(dir);
		dir = next;
	}
	ok(dir >= 0, "made");
	close(dir);
	is_int(fd_remove_tree(top, "d"), 0, "removed");
	is_int(fd_remove_tree(top, "d"), 0, "and not there any more");
	is_int(faccessat(top, "d", F_OK, AT_SYMLINK_NOFOLLOW), -1, "not at all");
	scratch_drop(top);
	is_int(access("/etc/passwd", F_OK), 0, "symbolic links lead nowhere");
}

static void sockets(void)
{
	int pair[2], fds[2] = { 0, 1 }, got[FD_PASS_MAX], dir = scratch_make();
	char name[NAME_MAX], data[16];
	size_t n = FD_PASS_MAX;
	auto_fd server = -1, client = -1;

	is_int(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0, "a pair");
	is_int(fd_send(pair[0], "abc", 3, fds, 2), 0, "sent");
	is_int(fd_recv(pair[1], data, sizeof(data), got, &n), 3, "received");
	is_int((long long)n, 2, "with two descriptors");
	is_int(fcntl(got[0], F_GETFD), FD_CLOEXEC, "that are close-on-exec");
	is_int(fd_send(pair[0], "0123456789abcdefXX", 18, NULL, 0), 0, "a longer message");
	is_int(fd_recv(pair[1], data, sizeof(data), NULL, NULL), -EPROTO, "is refused, not cut");
	close(pair[0]);
	is_int(fd_recv(pair[1], data, sizeof(data), NULL, NULL), 0, "the end");
	memset(name, 'n', 200);
	name[200] = '\0';
	is_int(mkdirat(dir, name, 0700), 0, "a directory");
	memcpy(name + 200, "/sock", 6);
	server = fd_unix_listen(dir, name, 0600, 1);
	client = fd_unix_connect(dir, name);
	ok(server >= 0 && client >= 0, "a path longer than sun_path: %d %d", server, client);
	scratch_drop(dir);
}

static void helpers(void)
{
	char *sh[] = { (char *)"sh", (char *)"-c", NULL, NULL };
	char out[64];
	struct spawn s = { .path = "/bin/sh",
			   .args = sh,
			   .cwd = -1,
			   .out = -1,
			   .err = -1,
			   .input = "hello",
			   .input_len = 5,
			   .output = out,
			   .output_size = sizeof(out) };
	struct timespec before, after;

	sh[2] = (char *)"cat; pwd";
	s.cwd = open("/", O_PATH | O_CLOEXEC);
	is_int(spawn_run(&s), 0, "a helper");
	is_str(out, "hello/\n", "its input, its directory");
	sh[2] = (char *)"echo no luck >&2; echo more >&2; exit 3";
	ok(spawn_run(&s) < 0, "one that fails");
	is_str(err_last()->text, "/bin/sh ended with status 3: no luck", "says so in one line");
	sh[2] = (char *)"sleep 200";
	s.timeout = 1;
	clock_gettime(CLOCK_MONOTONIC, &before);
	is_int(spawn_run(&s), -ETIMEDOUT, "one that hangs");
	clock_gettime(CLOCK_MONOTONIC, &after);
	ok(after.tv_sec - before.tv_sec < 100, "is killed in time");
	s.timeout = 0;
	sh[2] = (char *)"sleep 200 & echo $!; exit 0";
	clock_gettime(CLOCK_MONOTONIC, &before);
	is_int(spawn_run(&s), 0, "one whose child keeps the output open");
	clock_gettime(CLOCK_MONOTONIC, &after);
	ok(after.tv_sec - before.tv_sec < 100, "is not waited for");
	ok(atoi(out) > 1 && kill(atoi(out), SIGKILL) == 0, "it lives");
	s.path = "/nonexistent/helper";
	is_int(spawn_run(&s), -ENOENT, "one that is not there");
	is_str(err_last()->text, "run /nonexistent/helper: no such file or directory",
	       "and its text");
}

static void arenas(void)
{
	auto_arena a = arena_new();
	size_t cap = 0;
	int *v = NULL;
	char *big;

	for (int i = 0; i < 1000; i++) {
		v = arena_grow(a, v, (size_t)i, &cap, sizeof(*v));
		v[i] = i;
	}
	ok(v[999] == 999 && v[0] == 0, "a growing array keeps its elements");
	big = arena_alloc(a, 1 << 20);
	ok(big[0] == 0 && big[(1 << 20) - 1] == 0, "zeroed");
	is_str(arena_printf(a, "%d-%s", 7, "x"), "7-x", "printf");
	is_str(arena_strndup(a, "abcdef", 3), "abc", "strndup");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(errors),       TAP(numbers),      TAP(byte_sizes), TAP(json_text), TAP(times),
		TAP(signal_names), TAP(replace_file), TAP(slow_pipe),  TAP(write_at),  TAP(beneath),
		TAP(remove_tree),  TAP(sockets),      TAP(helpers),    TAP(arenas),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
