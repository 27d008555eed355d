/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Bounded string builder on a caller's buffer, and strict numbers.
 * The buffer is always NUL-terminated; what does not fit is dropped and `full` is set.
 */
#ifndef BASE_STR_H
#define BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct str {
	char *buf;
	size_t len, size; /* size includes the NUL */
	bool full;
};

#define STR_ON(array) ((struct str){ .buf = ((array)[0] = '\0', (array)), .size = sizeof(array) })

void str_add(struct str *s, const char *text);
void str_addn(struct str *s, const char *text, size_t n);
void str_addf(struct str *s, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* The text as the inside of a JSON string (RFC 8259, section 7): quotes, backslash and control
 * characters escaped; bytes that are not UTF-8 become U+FFFD. The quotes around are the
 * caller's. */
void str_add_json(struct str *s, const char *text);

/* True if the text is well-formed UTF-8 (Unicode, table 3-7). */
bool str_is_utf8(const char *s);

/*
 * RFC 3339 in UTC, with so many digits of the second's fraction (0 to 9). gmtime(3) reads files and
 * takes a lock that a clone may have left held.
 */
struct timespec;
void str_add_time(struct str *s, const struct timespec *t, int digits);

bool str_starts(const char *s, const char *prefix);
bool str_ends(const char *s, const char *suffix);

/* True if s is one of the n words. */
bool str_in(const char *s, const char *const *words, size_t n);

/*
 * Strict decimal numbers: the whole text, no sign but '-' (num_i64 only), no space, no overflow.
 * Return 0, -EINVAL for what is no number, -ERANGE for what is out of bounds; no error text is
 * stored.
 */
int num_u64(const char *text, uint64_t min, uint64_t max, uint64_t *out);
int num_i64(const char *text, int64_t min, int64_t max, int64_t *out);
int num_hex(const char *text, size_t n, uint64_t *out);

/* "512m", "1.5g", "4096", "64MiB", "-1": bytes with an optional unit b k m g t p (powers of 1024,
 * any case, b or ib behind it). -1 is allowed. */
int num_bytes(const char *text, int64_t *out);

#endif
