/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rows of calls (lib/script.h), each made twice: in a copy-on-write directory under a supervisor,
 * and in a plain directory that looks the same. What came of them, and what is there afterwards,
 * must be equal, and the lower directory what it was.
 */
#ifndef TEST_COW_ROWS_H
#define TEST_COW_ROWS_H

#include <stddef.h>

/* Who makes the calls, and who supervises. */
enum cow_who {
	COW_ROOT,   /* root, both */
	COW_GUEST,  /* an ordinary user, under root's supervisor */
	COW_NOBODY, /* an ordinary user, both */
	COW_SHOWN,  /* root, both; and the directory is one that is shown as it is (LAYER_RW) */
};

void cow_rows(const char *const *rows, size_t n, enum cow_who who);

#endif
