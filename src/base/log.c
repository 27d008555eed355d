/* SPDX-License-Identifier: Apache-2.0 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"

#define LINE_MAX_LOG 4096
#define JOURNAL_SOCKET "/run/systemd/journal/socket"
#define SYSLOG_SOCKET "/dev/log"

enum sink_kind { SINK_STDERR, SINK_FILE, SINK_JOURNAL, SINK_SYSLOG };

static struct {
	enum sink_kind kind;
	int fd;
	bool json;
	enum log_level max;
	char id[64];
} sink = { .kind = SINK_STDERR, .fd = -1, .max = LOG_LEVEL_WARNING };

#define HELD_SIZE 8192

static struct {
	bool on;
	size_t len; /* of texts that end with a NUL each */
	char text[HELD_SIZE];
} held;

static const struct {
	const char *name;
	int priority; /* syslog(3) */
} levels[] = {
	[LOG_LEVEL_ERROR] = { "error", 3 },
	[LOG_LEVEL_WARNING] = { "warning", 4 },
	[LOG_LEVEL_INFO] = { "info", 6 },
	[LOG_LEVEL_DEBUG] = { "debug", 7 },
};

static int open_socket(const char *path, const char *id, enum sink_kind kind)
{
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	auto_fd sock = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	strncpy(addr.sun_path, path, sizeof(addr.sun_path) - 1);
	if (sock < 0 || connect(sock, (struct sockaddr *)&addr, sizeof(addr)) < 0)
		return fail_errno("open the log %s", path);
	snprintf(sink.id, sizeof(sink.id), "%s", id);
	sink.fd = fd_take(&sock);
	sink.kind = kind;
	return 0;
}

int log_open(const char *target, bool json)
{
	int fd;

	sink.json = json;
	if (!target)
		return 0;
	if (str_starts(target, "journald:"))
		return open_socket(JOURNAL_SOCKET, target + 9, SINK_JOURNAL);
	if (str_starts(target, "syslog:"))
		return open_socket(SYSLOG_SOCKET, target + 7, SINK_SYSLOG);
	if (str_starts(target, "file:"))
		target += 5;
	fd = open(target, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
	if (fd < 0)
		return fail_errno("open the log file %s", target);
	sink.fd = fd;
	sink.kind = SINK_FILE;
	return 0;
}

void log_set_level(enum log_level max)
{
	sink.max = max;
}

bool log_enabled(enum log_level level)
{
	return level <= sink.max;
}

int log_fd(void)
{
	return sink.fd;
}

static void add_line(struct str *s, enum log_level level, const char *text)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	switch (sink.kind) {
	case SINK_JOURNAL:
		str_addf(s, "PRIORITY=%d\nSYSLOG_IDENTIFIER=thole\nID=%s\nMESSAGE=",
			 levels[level].priority, sink.id);
		for (; *text; text++)
			str_addn(s, *text == '\n' ? " " : text, 1);
		return;
	case SINK_SYSLOG:
		str_addf(s, "<%d>thole[%d]: %s: %s", levels[level].priority | 3 << 3, getpid(),
			 sink.id, text);
		return;
	case SINK_STDERR:
	case SINK_FILE:
		break;
	}
	if (sink.json) {
		char escaped[LINE_MAX_LOG];
		struct str e = STR_ON(escaped);

		str_add_json(&e, text);
		str_addf(s, "{\"level\":\"%s\",\"msg\":\"%s\",\"time\":\"", levels[level].name,
			 escaped);
		str_add_time(s, &now, 6);
		str_add(s, "\"}\n");
	} else if (sink.kind == SINK_FILE) {
		str_add(s, "time=\"");
		str_add_time(s, &now, 6);
		str_addf(s, "\" level=%s msg=\"", levels[level].name);
		str_add_json(s, text);
		str_add(s, "\"\n");
	} else {
		str_addf(s, "thole: %s%s%s\n", level == LOG_LEVEL_ERROR ? "" : levels[level].name,
			 level == LOG_LEVEL_ERROR ? "" : ": ", text);
	}
}

static void put(enum log_level level, const char *text)
{
	char line[LINE_MAX_LOG + 256];
	struct str s = STR_ON(line);

	if (sink.kind != SINK_STDERR && level == LOG_LEVEL_ERROR)
		dprintf(STDERR_FILENO, "thole: %s\n", text);
	add_line(&s, level, text);
	/* a log that can't be written has nowhere to say so */
	(void)!write(sink.kind == SINK_STDERR ? STDERR_FILENO : sink.fd, s.buf, s.len);
}

static bool hold(const char *text)
{
	size_t size = strlen(text) + 1;

	if (!held.on || size > sizeof(held.text) - held.len)
		return false;
	memcpy(held.text + held.len, text, size);
	held.len += size;
	return true;
}

__attribute__((format(printf, 2, 0))) static void emit(enum log_level level, const char *fmt,
						       va_list ap)
{
	char text[ERR_TEXT_MAX + 256];
	int saved = errno;

	if (level > sink.max)
		return;
	vsnprintf(text, sizeof(text), fmt, ap);
	if (level != LOG_LEVEL_WARNING || !hold(text))
		put(level, text);
	errno = saved;
}

void log_hold(void)
{
	held.on = true;
}

void log_release(bool write)
{
	for (size_t at = 0; write && at < held.len; at += strlen(held.text + at) + 1)
		put(LOG_LEVEL_WARNING, held.text + at);
	held.on = false;
	held.len = 0;
}

#define DEFINE_LOG(name, level)               \
	void log_##name(const char *fmt, ...) \
	{                                     \
		va_list ap;                   \
                                              \
		va_start(ap, fmt);            \
		emit(level, fmt, ap);         \
		va_end(ap);                   \
	}

DEFINE_LOG(error, LOG_LEVEL_ERROR)
DEFINE_LOG(warning, LOG_LEVEL_WARNING)
DEFINE_LOG(info, LOG_LEVEL_INFO)
DEFINE_LOG(debug, LOG_LEVEL_DEBUG)
