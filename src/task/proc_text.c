/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "task/proc.h"
#include "task/proc_priv.h"

#define SMALL 4096

int proc_open(pid_t pid, pid_t tid, const char *name, int flags)
{
	char path[128];
	int fd;

	if (tid)
		snprintf(path, sizeof(path), "/proc/%d/task/%d/%s", pid, tid, name);
	else
		snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	fd = open(path, flags | O_CLOEXEC);
	if (fd >= 0)
		return fd;
	return errno == ENOENT ? -ESRCH : -errno;
}

int proc_read(pid_t pid, pid_t tid, const char *name, char *buf, size_t size)
{
	auto_fd fd = proc_open(pid, tid, name, O_RDONLY);
	ssize_t n;

	if (fd == -ESRCH)
		return fd;
	if (fd < 0)
		return fail(-fd, "open /proc/%d/%s: %s", pid, name, err_reason(-fd));
	do
		n = read(fd, buf, size);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == ESRCH)
		return -ESRCH;
	if (n < 0)
		return fail_errno("read /proc/%d/%s", pid, name);
	if ((size_t)n == size)
		return fail(EFBIG, "read /proc/%d/%s: more than %zu bytes", pid, name, size);
	buf[n] = '\0';
	return (int)n;
}

/* Most are small: the arena gets no more than they have. 1: it is larger than that. */
static int read_small(int fd, struct arena *a, char **out)
{
	char buf[SMALL];
	size_t len = 0;
	ssize_t n;

	while ((n = read(fd, buf + len, sizeof(buf) - len)) != 0) {
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return fail_errno("read");
		len += (size_t)n;
		if (len == sizeof(buf))
			return lseek(fd, 0, SEEK_SET) < 0 ? fail_errno("read again") : 1;
	}
	*out = arena_alloc(a, len + 1);
	memcpy(*out, buf, len);
	return 0;
}

int proc_read_all(struct arena *a, pid_t pid, const char *name, char **out)
{
	auto_fd fd = proc_open(pid, 0, name, O_RDONLY);
	int ret;

	if (fd == -ESRCH)
		return fd;
	if (fd < 0)
		return fail(-fd, "open /proc/%d/%s: %s", pid, name, err_reason(-fd));
	ret = read_small(fd, a, out);
	if (ret > 0)
		ret = fd_read_all(fd, a, PROC_TEXT_MAX, out, NULL);
	return !ret || ret == -ESRCH ? ret : fail_in(ret, "/proc/%d/%s", pid, name);
}

bool take_text(const char **p, const char *text)
{
	size_t len = strlen(text);

	if (strncmp(*p, text, len) != 0)
		return false;
	*p += len;
	return true;
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return 99;
}

bool take_u64(const char **p, unsigned base, uint64_t *out)
{
	const char *s = *p;
	uint64_t v = 0;

	for (; digit(*s) < (int)base; s++)
		if (__builtin_mul_overflow(v, base, &v) ||
		    __builtin_add_overflow(v, (uint64_t)digit(*s), &v))
			return false;
	if (s == *p)
		return false;
	*p = s;
	*out = v;
	return true;
}

bool take_u32(const char **p, unsigned base, uint32_t *out)
{
	const char *s = *p;
	uint64_t v;

	if (!take_u64(&s, base, &v) || v > UINT32_MAX)
		return false;
	*p = s;
	*out = (uint32_t)v;
	return true;
}

bool take_i64(const char **p, int64_t *out)
{
	const char *s = *p;
	bool negative = take_text(&s, "-");
	uint64_t v;

	if (!take_u64(&s, 10, &v) || v > (uint64_t)INT64_MAX + negative)
		return false;
	*p = s;
	*out = negative ? (int64_t)(0 - v) : (int64_t)v;
	return true;
}

bool take_i32(const char **p, int32_t *out)
{
	const char *s = *p;
	int64_t v;

	if (!take_i64(&s, &v) || v < INT32_MIN || v > INT32_MAX)
		return false;
	*p = s;
	*out = (int32_t)v;
	return true;
}

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

bool take_blanks(const char **p)
{
	const char *s = *p;

	skip_blanks(p);
	return *p != s;
}

void skip_blanks(const char **p)
{
	while (blank(**p))
		(*p)++;
}

bool take_eol(const char **p)
{
	if (**p != '\0' && **p != '\n')
		return false;
	*p += **p == '\n';
	return true;
}

void skip_line(const char **p)
{
	while (**p != '\0' && **p != '\n')
		(*p)++;
	*p += **p == '\n';
}

bool take_word(const char **p, const char **out, size_t *out_len)
{
	const char *s = *p;

	while (*s != '\0' && *s != '\n' && !blank(*s))
		s++;
	if (s == *p)
		return false;
	*out = *p;
	*out_len = (size_t)(s - *p);
	*p = s;
	return true;
}

int proc_bad_line(const char *file, const char *line)
{
	char quote[64];
	size_t n = 0;

	for (; n < sizeof(quote) - 1 && line[n] != '\0' && line[n] != '\n'; n++)
		quote[n] = line[n] >= ' ' && line[n] <= '~' ? line[n] : '?';
	quote[n] = '\0';
	return fail(EPROTO, "%s: a line that is not understood: %s", file, quote);
}
