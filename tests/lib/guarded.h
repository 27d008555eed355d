/* SPDX-License-Identifier: Apache-2.0 */
/* A supervisor's loop in a process of its own, and children under its filter. */
#ifndef TEST_GUARDED_H
#define TEST_GUARDED_H

#include <stdbool.h>
#include <sys/types.h>

#include "super/super.h"

struct guarded {
	struct super_plan plan;
	pid_t loop;
	int channel;
};

/* Skips the case where there can be none. The loop has no control socket, and a container's rules
 * that allow all where the configuration has none. */
void guarded_start(struct guarded *g, const struct super_config *config);

/* A request over its channel, with a descriptor if there is one: 0, or what is wrong with it. */
int guarded_ask(struct guarded *g, uint32_t op, int fd);

/* A child that calls run(arg) under the filter; what it returns is its exit status. */
pid_t guarded_begin(struct guarded *g, int (*run)(void *arg), void *arg);

/* Waits until so many threads of a child are followed: src/super/follow.h. False where it has
 * ended. */
bool guarded_followed(const struct guarded *g, pid_t child, size_t want);

/* Has the supervisor hold still, and checks that another tracer can have every thread of the child,
 * which it takes out of its call for a moment. */
void guarded_hold(struct guarded *g, pid_t child);

/* Waits for it. Checks that it has ended by itself; returns its exit status. */
int guarded_end(pid_t child);

/* How many descriptors it has. */
int guarded_fds(const struct guarded *g);

/* Lets the supervisor end, and checks that it does. */
void guarded_stop(struct guarded *g);

/* The whole: a supervisor, a child whose run() has to return 0, the supervisor's end. */
void guarded_run(const struct super_config *config, int (*run)(void *arg), void *arg);

/* A directory with a "lower", an "upper" and a "work" in it, and the configuration of a map in
 * which "lower" is shown as a copy. */
struct cow_box {
	const char *path;
	int dir;
	char guest[96];
	struct super_dir map;
	struct super_config config;
};

void cow_box_make(struct cow_box *b, uint64_t quota);
void cow_box_drop(struct cow_box *b);

#endif
