/* SPDX-License-Identifier: Apache-2.0 */
#include "cycle.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PATIENCE_MS 60000

/* One a line, for those who add one at a time. */
/* clang-format off */
static const struct cycle_case *const files[] = {
	clock_cases,
	confine_cases,
	container_cases,
	cpu_cases,
	cred_cases,
	device_cases,
	dirty_cases,
	event_cases,
	file_cases,
	file_more_cases,
	inet_cases,
	limit_cases,
	lock_cases,
	memory_cases,
	memory_more_cases,
	pidfd_cases,
	pipe_cases,
	process_cases,
	random_cases,
	random_memory_cases,
	process_more_cases,
	signal_cases,
	socket_more_cases,
	thread_cases,
	timer_cases,
	tmpfs_cases,
	trait_cases,
	tty_cases,
	unix_cases,
	wait_cases,
	wait_more_cases,
	watch_cases,
};
/* clang-format on */

static char dir[PATH_MAX / 2] = "/cycle";
static int differences;

static int open_in(const char *name, int flags)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return open(path, flags | O_CLOEXEC, 0644);
}

static void tell(const char *text)
{
	int fd = open_in("result", O_WRONLY | O_CREAT | O_APPEND);

	if (fd < 0 || write(fd, text, strlen(text)) < 0)
		_exit(2);
	close(fd);
	/* standard output may be gone; the file is what counts */
	if (write(STDOUT_FILENO, text, strlen(text)) < 0)
		return;
}

bool cycle_check(bool cond, const char *file, int line, const char *expr, const char *fmt, ...)
{
	char why[512], text[1024];
	va_list args;

	if (cond)
		return true;
	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	snprintf(text, sizeof(text), "%s:%d: %s: %s\n", file, line, why, expr);
	__atomic_add_fetch(&differences, 1, __ATOMIC_SEQ_CST);
	tell(text);
	return false;
}

long cycle_must(long ret, const char *file, int line, const char *call)
{
	char text[512];

	if (ret >= 0)
		return ret;
	snprintf(text, sizeof(text), "%s:%d: %s: %s\n", file, line, call, strerror(errno));
	tell(text);
	_exit(1);
}

void cycle_skip(const char *fmt, ...)
{
	char why[512], text[600];
	va_list args;

	va_start(args, fmt);
	vsnprintf(why, sizeof(why), fmt, args);
	va_end(args);
	snprintf(text, sizeof(text), "SKIP: %s\n", why);
	tell(text);
	_exit(77);
}

void cycle_sleep(int ms)
{
	struct timespec t = { .tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L };

	while (nanosleep(&t, &t) < 0 && errno == EINTR)
		;
}

bool cycle_over(void)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/go", dir);
	return access(path, F_OK) == 0;
}

void cycle_wait(void)
{
	while (!cycle_over())
		cycle_sleep(10);
}

void cycle_ready(void)
{
	int fd = (int)must(open_in("ready", O_WRONLY | O_CREAT));

	close(fd);
}

void cycle(void)
{
	cycle_ready();
	cycle_wait();
}

pid_t cycle_child(void (*fn)(void *ctx), void *ctx)
{
	pid_t pid = (pid_t)must(fork());

	if (pid == 0) {
		differences = 0;
		fn(ctx);
		_exit(differences != 0);
	}
	return pid;
}

void cycle_join(pid_t pid)
{
	int status;
	pid_t got;

	do {
		got = waitpid(pid, &status, 0);
	} while (got < 0 && errno == EINTR);
	check(got == pid && status == 0, "child %d ended with status 0x%x, errno %d", pid,
	      got == pid ? status : -1, errno);
}

static const char *gate_name(struct cycle_gate g, char *buf, size_t size)
{
	snprintf(buf, size, "%s/gate-%d", dir, g.number);
	return buf;
}

struct cycle_gate cycle_gate(void)
{
	static int gates;
	struct cycle_gate g = { ++gates };
	char path[PATH_MAX];
	int fd = (int)must(open(gate_name(g, path, sizeof(path)),
				O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666));

	must(fchmod(fd, 0666)); /* children may be other users */
	close(fd);
	return g;
}

void cycle_pass(struct cycle_gate g)
{
	char path[PATH_MAX];
	int fd = (int)must(open(gate_name(g, path, sizeof(path)), O_WRONLY | O_APPEND | O_CLOEXEC));

	must(write(fd, "+", 1));
	close(fd);
}

void cycle_await(struct cycle_gate g, int n)
{
	char path[PATH_MAX];
	struct stat st;

	gate_name(g, path, sizeof(path));
	for (int i = 0; stat(path, &st) < 0 || st.st_size < n; i++) {
		errno = ETIMEDOUT;
		must(i < PATIENCE_MS ? 0 : -1);
		cycle_sleep(1);
	}
}

bool cycle_asleep(pid_t pid, pid_t tid)
{
	char path[64], text[512];
	const char *end;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", pid, tid);
	cycle_read(path, text, sizeof(text));
	end = strrchr(text, ')');
	return end && end[1] == ' ' && end[2] == 'S';
}

void cycle_until_asleep(pid_t pid, pid_t tid)
{
	/* twice: also in the call it should be in, not before */
	for (int look = 0; look < 2; look++) {
		for (int i = 0; !cycle_asleep(pid, tid); i++) {
			errno = ETIMEDOUT;
			must(i < PATIENCE_MS ? 0 : -1);
			cycle_sleep(1);
		}
		cycle_sleep(look ? 0 : 20);
	}
}

size_t cycle_read(const char *path, char *buf, size_t size)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t len = 0;
	ssize_t n;

	while (fd >= 0 && len + 1 < size && (n = read(fd, buf + len, size - 1 - len)) > 0)
		len += (size_t)n;
	if (fd >= 0)
		close(fd);
	buf[len] = '\0';
	return len;
}

const char *cycle_line(const char *path, const char *name, char *buf, size_t size)
{
	static char text[65536];
	size_t len = strlen(name);
	const char *line;

	cycle_read(path, text, sizeof(text));
	buf[0] = '\0';
	for (line = text; line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
		if (strncmp(line, name, len) == 0 && line[len] == ':') {
			snprintf(buf, size, "%.*s", (int)strcspn(line, "\n"), line);
			break;
		}
	return buf;
}

int64_t cycle_now(int clock)
{
	struct timespec t;

	must(clock_gettime(clock, &t));
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static const struct cycle_case *find(const char *name)
{
	for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++)
		for (const struct cycle_case *c = files[f]; c->name; c++) {
			if (!name)
				puts(c->name);
			else if (strcmp(c->name, name) == 0)
				return c;
		}
	return NULL;
}

int main(int argc, char **argv)
{
	const struct cycle_case *c = find(argc > 1 ? argv[1] : NULL);
	const char *at = getenv("CYCLE_DIR");

	if (argc < 2)
		return 0;
	if (!c) {
		fprintf(stderr, "cycle: no case \"%s\"\n", argv[1]);
		return 2;
	}
	if (at)
		snprintf(dir, sizeof(dir), "%s", at);
	c->run();
	if (differences == 0)
		tell("OK\n");
	return differences != 0;
}
