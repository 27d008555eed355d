/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Arena: everything a command allocates lives until the command ends.
 * An allocation never fails: where memory runs out the program says so and exits with 1.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

struct arena;

struct arena *arena_new(void);
void arena_free(struct arena *a);

/* Zeroed memory, aligned to 16 bytes. n * size is checked for overflow. */
void *arena_alloc(struct arena *a, size_t size);
void *arena_array(struct arena *a, size_t n, size_t size);

char *arena_strdup(struct arena *a, const char *s);
char *arena_strndup(struct arena *a, const char *s, size_t n);
void *arena_memdup(struct arena *a, const void *p, size_t size);
char *arena_printf(struct arena *a, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * Makes room for one more element in a growing array: returns the array, moved if it was full.
 * *cap is the room in elements and is updated. The new element is zeroed.
 */
void *arena_grow(struct arena *a, void *array, size_t len, size_t *cap, size_t size);

static inline void arena_cleanup(struct arena **a)
{
	arena_free(*a);
}
#define auto_arena __attribute__((cleanup(arena_cleanup))) struct arena *

#endif
