/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Long work that can be watched, and called off: a line on the terminal of standard error that is
 * redrawn while it lasts, and SIGTERM, SIGINT, SIGQUIT and SIGHUP as requests to undo what was
 * begun.
 */
#ifndef OCI_PROGRESS_H
#define OCI_PROGRESS_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct ckpt_progress;

struct progress {
	const char *what;  /* "checkpoint" */
	uint64_t began_ms; /* CLOCK_MONOTONIC */
	uint64_t drawn_ms; /* 0: nothing is on the terminal */
	uint64_t done, total;
	bool terminal;
	bool held;
	sigset_t mask; /* what was blocked before */
};

void progress_begin(struct progress *p, const char *what, uint64_t total);
/* Clears the line away. */
void progress_end(struct progress *p);

/* From here on those signals wait to be asked for; one that comes too late is not heard. */
void progress_hold(struct progress *p);

/*
 * ctx is the struct progress. The one is for ckpt_options.tick: -EINTR with a text where such a
 * signal has come. The other is for image_audience.tick, and counts.
 */
int progress_tick(void *ctx, const struct ckpt_progress *now);
int progress_add(void *ctx, uint64_t bytes);

/* One line, not terminated, for what is `ms` old. */
#define PROGRESS_LINE 128
void progress_text(const struct progress *p, uint64_t ms, char out[PROGRESS_LINE]);

#endif
