/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copies that take long are made by processes of their own: who needs one is told NOTIF_LATER, and
 * asks again when it is whole. There is one copy of a file, however many wait for it. Copies that
 * are many, of all that is in a directory, are made a part at a time, each in a turn that who waits
 * for them gets when nobody else asks for anything.
 */
#ifndef SUPER_LAYER_LATE_H
#define SUPER_LAYER_LATE_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define LAYER_LATE_MAX 8           /* at once: others wait for one of these to end */
#define LAYER_LATE_LEAST (4 << 20) /* bytes: shorter ones are made at once */
#define LAYER_LATE_NAME 32

#define LAYER_LATE_TURN UINT64_MAX /* in the place of a job: the next turn */
#define LAYER_WHOLE_MAX 4          /* directories in which it is known where the copies are */

struct layer;
struct stat;

/* Where a walk through a directory is. */
struct layer_way {
	char path[PATH_MAX];
	size_t len, depth;
	int64_t at[PATH_MAX / 2];
};

struct layer_late {
	struct layer_job {
		uint64_t id; /* never used again; 0: there is none */
		struct layer *layer;
		uint64_t dev, ino; /* of the lower side's file */
		uint64_t size;     /* which is reserved in the quota */
		pid_t pid;
		int out;   /* the copy, open for writing, */
		int ended; /* and a pipe that tells its end */
		char temp[LAYER_LATE_NAME];
		bool done;    /* with this result */
		bool dropped; /* nobody waits for it */
		int result;
	} v[LAYER_LATE_MAX];
	uint64_t last;
	uint64_t asked; /* which a caller was last told to wait for; 0: the first to end */
	struct layer_whole {
		struct layer *layer; /* NULL: there is none */
		uint64_t used;
		char path[PATH_MAX];
		struct layer_way way;
	} wholes[LAYER_WHOLE_MAX];
	uint64_t turns;
};

/*
 * The copy of a file, if one was begun: its descriptor, and the name in the work directory; it is
 * the caller's from then on. -NOTIF_LATER while it is being made; -ENOENT where there is none; or
 * why it could not be made, which is told once.
 */
int layer_late_take(struct layer *l, const struct stat *st, char temp[LAYER_LATE_NAME]);

/* Has the contents of the lower side's file (O_PATH) copied to out, which stands under that name:
 * both are taken over where -NOTIF_LATER is returned. */
int layer_late_begin(struct layer *l, int from, const struct stat *st, int *out, const char *temp);

/* The bytes of the quota that are reserved for what stands in no directory yet. */
uint64_t layer_late_reserved(const struct layer *l);

/* What tells the end of a job, to be waited for, or -1. */
int layer_late_end(const struct layer_late *late, size_t i);

/* It has something to tell. Its id where it is whole, or 0: nobody waited. */
uint64_t layer_late_look(struct layer_late *late, size_t i);

/* Nobody waits for it any more: nothing is left of it, though it may take a moment. */
void layer_late_drop(struct layer_late *late, size_t i);
void layer_late_drop_id(struct layer_late *late, uint64_t id);

void layer_late_close(struct layer_late *late);

/* Nobody waits for anything. */
void layer_late_rest(struct layer_late *late);

#endif
