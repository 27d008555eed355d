/* SPDX-License-Identifier: Apache-2.0 */
/* What the readers of /proc share: files by process, and a cursor over text. */
#ifndef TASK_PROC_PRIV_H
#define TASK_PROC_PRIV_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

/* Opens /proc/PID/<name>, or with tid /proc/PID/task/TID/<name>. -ESRCH for ENOENT. No text. */
int proc_open(pid_t pid, pid_t tid, const char *name, int flags);

/* Reads it whole, NUL-terminated, into the arena. -ESRCH without a text, others with one. */
int proc_read_all(struct arena *a, pid_t pid, const char *name, char **out);

/*
 * Cursor functions: each takes what it is named after from the front of *p and moves *p behind it.
 * They return false, and leave *p, where something else stands there.
 */
bool take_text(const char **p, const char *text);
bool take_u64(const char **p, unsigned base, uint64_t *out); /* no sign, no blank, no overflow */
bool take_u32(const char **p, unsigned base, uint32_t *out);
bool take_i32(const char **p, int32_t *out);
bool take_i64(const char **p, int64_t *out);
bool take_blanks(const char **p); /* at least one blank or tab */
bool take_eol(const char **p);    /* a newline, or nothing at the end of the text */
/* Up to the next blank, tab or newline: at least one character. */
bool take_word(const char **p, const char **out, size_t *out_len);

void skip_blanks(const char **p);
void skip_line(const char **p);

/* fail(EPROTO) for the line that begins at `line`; a few of its characters are quoted. */
int proc_bad_line(const char *file, const char *line);

#endif
