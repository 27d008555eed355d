/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor that shows directories, in a process of its own, and children that it answers. */
#ifndef TEST_SHOWN_H
#define TEST_SHOWN_H

#include <sys/types.h>

#include "super/super.h"

struct shown {
	struct super_config config;
	pid_t loop;
	int channel;
};

/* Starts the loop; the case is skipped where there can be none. The plan and what belongs to it are
 * the caller's to set in s->config before. */
void shown_begin(struct shown *s);

/* A child under the filter; its exit status is run()'s. */
pid_t shown_child(struct shown *s, int (*run)(void *arg), void *arg);

/* Waits for a child and checks its status. */
void shown_wait(pid_t child, int want);

/* The loop has to end by itself when all children have ended. */
void shown_end(struct shown *s);

#endif
