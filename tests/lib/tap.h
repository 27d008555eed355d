/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Tests in the Test Anything Protocol: a program is a list of cases, each run in a process of its
 * own so that a crash fails one case only.
 *
 *	static void adds(void) { ok(1 + 1 == 2, "one and one"); }
 *	int main(int argc, char **argv)
 *	{
 *		static const struct tap_case cases[] = { TAP(adds) };
 *
 *		return tap_main(argc, argv, cases, 1);
 *	}
 */
#ifndef TEST_TAP_H
#define TEST_TAP_H

#include <stdbool.h>
#include <stddef.h>

struct tap_case {
	const char *name;
	void (*run)(void);
};

#define TAP(fn)         \
	{               \
#fn, fn \
	}
#define TAP_COUNT(cases) (sizeof(cases) / sizeof((cases)[0]))

/* Runs the cases (or those whose names are given as arguments). Returns the exit status of main. */
int tap_main(int argc, char **argv, const struct tap_case *cases, size_t n);

/* A failed check prints file, line and text, and the case goes on. Returns cond. */
#define ok(cond, ...) tap_check((cond), __FILE__, __LINE__, #cond, __VA_ARGS__)
bool tap_check(bool cond, const char *file, int line, const char *expr, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#define is_int(got, want, ...) tap_is_int((got), (want), __FILE__, __LINE__, __VA_ARGS__)
bool tap_is_int(long long got, long long want, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

#define is_str(got, want, ...) tap_is_str((got), (want), __FILE__, __LINE__, __VA_ARGS__)
bool tap_is_str(const char *got, const char *want, const char *file, int line, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));

/* In a child of a case, which says by its end what failed. */
#define must(cond)                                                \
	do {                                                      \
		if (!(cond))                                      \
			tap_end_child(__FILE__, __LINE__, #cond); \
	} while (0)
void tap_end_child(const char *file, int line, const char *expr) __attribute__((noreturn));

/* Ends the case: it is counted as skipped, with the reason. */
void tap_skip(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));

#endif
