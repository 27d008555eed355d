/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What callers of checkpoint and restore find in the work directory: dump.log or restore.log,
 * stats-dump or stats-restore (engine contract, 4.7). Without a work directory both are in that of
 * the image.
 */
#ifndef OCI_CKPT_WORK_H
#define OCI_CKPT_WORK_H

#include <stdbool.h>

#include "ckpt/ckpt.h"

struct arena;

struct ckpt_work {
	int log;          /* open for appending, never -1 after ckpt_work_open() */
	const char *path; /* of the directory, NULL: where the image is */
	const char *log_name, *stats_name;
};

#define CKPT_WORK_NONE     \
	{                  \
		.log = -1, \
	}

/*
 * Makes the directory where it is missing. A log that is there is emptied and kept: engines label
 * it beforehand. Without a directory of its own the log is kept in memory until ckpt_work_end().
 */
int ckpt_work_open(struct ckpt_work *w, const char *path, bool dump);

/* Writes the statistics (NULL: there are none) and what of the log is in memory, below image. */
int ckpt_work_end(struct ckpt_work *w, const char *image, const struct ckpt_stats *stats);

/* How the numbers go into a file of the form that go-criu reads. Returns the length. */
#define CKPT_STATS_MAX 256
size_t ckpt_stats_pack(const struct ckpt_stats *s, bool dump, unsigned char out[CKPT_STATS_MAX]);

#endif
