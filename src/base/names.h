/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the kernel's numbers, both ways. Look-ups return -1 (or NULL) for what is unknown and
 * store no text: the caller knows which field it read.
 */
#ifndef BASE_NAMES_H
#define BASE_NAMES_H

#include <stddef.h>
#include <stdint.h>

struct name_row {
	const char *name;
	uint64_t value;
};

/* The row of that name, or NULL. nocase compares ASCII letters without case. */
const struct name_row *name_find(const struct name_row *rows, size_t n, const char *name);
const char *name_of(const struct name_row *rows, size_t n, uint64_t value);

#define NAME_COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* "TERM", "SIGTERM", "sigterm", "15", "RTMIN+3", "SIGRTMAX-1": 1 to 64, or -1. signal(7) */
int name_signal(const char *text);
/* "SIGTERM", or NULL where the number has no name. */
const char *name_of_signal(int sig);

/* "CAP_SYS_ADMIN" or "sys_admin": the number of capabilities(7), or -1. */
int name_capability(const char *text);
/* "CAP_SYS_ADMIN" of a number below CAP_LAST_CAP + 1, or NULL. */
const char *name_of_capability(int cap);

/* "RLIMIT_NOFILE": the resource of getrlimit(2), or -1. */
int name_rlimit(const char *text);
const char *name_of_rlimit(int resource);

#endif
