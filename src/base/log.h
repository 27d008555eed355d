/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One sink for what a person or a caller of the runtime reads later: a file (appended to), syslog
 * or the journal, as text or as JSON lines {"level","msg","time"} with an RFC 3339 time in UTC.
 */
#ifndef BASE_LOG_H
#define BASE_LOG_H

#include <stdbool.h>

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARNING, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };

/*
 * target: a path, "file:PATH", "journald:ID" or "syslog:ID"; NULL for standard error.
 * Returns 0 or -errno with a text; the sink stays standard error then.
 */
int log_open(const char *target, bool json);
void log_set_level(enum log_level max);
bool log_enabled(enum log_level level);

/* A log file stays open across fork: true if fd is the sink's. */
int log_fd(void);

/*
 * Errors go to standard error as "thole: text" too when the sink is elsewhere; other levels go to
 * the sink alone. Safe between clone and exec.
 */
void log_error(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_warning(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_info(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void log_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/*
 * Warnings are kept back from log_hold() on, until log_release() writes them, or throws them away:
 * of a call that fails its caller wants one record, the error.
 */
void log_hold(void);
void log_release(bool write);

#endif
