/* SPDX-License-Identifier: Apache-2.0 */
/* Run a helper program: text on its standard input, a time limit, its output kept for the error. */
#ifndef BASE_SPAWN_H
#define BASE_SPAWN_H

#include <stddef.h>

struct spawn {
	const char *path;  /* absolute; no search */
	char *const *args; /* NULL: { path } */
	char *const *env;  /* NULL: the caller's environment */
	int cwd;           /* a directory, or -1 for the caller's */
	const char *input; /* written to its standard input, then end of file; NULL: none */
	size_t input_len;
	int timeout;  /* seconds, 0 for none; then SIGKILL and -ETIMEDOUT */
	int out, err; /* its standard output and error; -1: captured, its tail in the error */
	char *output; /* where captured output goes, NUL-terminated; may be NULL */
	size_t output_size;
};

/*
 * Returns 0 where it exits with 0, otherwise -errno with a text that holds the path, the exit
 * status or signal, and the first line of what it wrote. No allocation: usable between clone and
 * exec.
 */
int spawn_run(const struct spawn *s);

#endif
