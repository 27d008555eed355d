/* SPDX-License-Identifier: Apache-2.0 */
/* What programs have in common that lay out their state by chance, and compare all of it. */
#ifndef CHANCE_H
#define CHANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Begins: the same numbers each time, and other ones where $CYCLE_SEED is another. */
void sow(uint64_t usual);
uint64_t any(uint64_t below);

/* From 1 to most: small more often than large, whole pages more often than not. */
size_t any_len(size_t most);

void scribble(void *at, size_t len);
uint64_t hash(const void *data, size_t len);

/* A text, line by line. */
struct text {
	char *at;
	size_t len, room;
};
void tell(struct text *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void compare(const struct text *was, const struct text *is);

/* Odd sizes, and holes at odd places, also at the end. */
void fill_file(int fd, size_t most);

/* Zeros count for nothing: whether they are a hole is another matter, told if holes. */
void tell_content(struct text *t, int fd, bool holes);

#endif
