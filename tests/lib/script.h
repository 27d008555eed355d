/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File system calls as a line of text, and what came of them as another: the same script in two
 * directories is a comparison of two file systems. Calls are made as they are (syscall(2)), the old
 * forms too where the processor has them.
 *
 *	open 0 f rdwr; write 0 hello; fstat 0; close 0; cat f
 *
 * Paths are within the script's directory; "@" alone stands for it, "/" before one leads out. What
 * differs by nature (numbers of inodes, the directory's own name, the time of day) isn't told.
 */
#ifndef TEST_SCRIPT_H
#define TEST_SCRIPT_H

#include <stddef.h>

#define SCRIPT_FDS 8

/* Makes what scripts work on in a new directory; owner is who some of it belongs to. */
void script_fixture(const char *dir, unsigned owner);

/* Runs the calls in dir and puts what came of them, and then all that is there, into out. */
void script_run(const char *dir, const char *script, char *out, size_t size);

/* All that is there. */
void script_tree(const char *dir, char *out, size_t size);

#endif
