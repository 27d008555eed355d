/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The last error of this thread: a code and one line of text for a person.
 *
 * A function that fails returns -errno; the text is stored once, by fail(), where the
 * fact is known. Callers add context with fail_in(); whoever owns the terminal prints it.
 */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#include <stdbool.h>
#include <stdint.h>

#define ERR_TEXT_MAX 1024

struct err {
	int32_t code; /* positive errno value, 0 for none */
	char text[ERR_TEXT_MAX];
};

/* Stores the text and returns -code (code is a positive errno value). Safe between clone and
 * exec. */
int fail(int code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* fail() with errno as the code and ": <reason>" appended. */
int fail_errno(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* Puts "<context>: " before the stored text and returns ret unchanged. */
int fail_in(int ret, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The stored error; code 0 and an empty text if there is none. Never NULL. */
const struct err *err_last(void);
void err_clear(void);
void err_set(const struct err *e);

/* The text of an errno value: no locale, no allocation. Never NULL. */
const char *err_reason(int code);

#endif
