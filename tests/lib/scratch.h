/* SPDX-License-Identifier: Apache-2.0 */
/* A directory of a test case's own. */
#ifndef TEST_SCRATCH_H
#define TEST_SCRATCH_H

/* Makes one below /tmp and opens it. Ends the program where that fails. */
int scratch_make(void);

/* Its path, until it is dropped. */
const char *scratch_path(void);

/* Closes dir and removes the directory with all that is in it: a failed check if that can't be
 * done. */
void scratch_drop(int dir);

#endif
