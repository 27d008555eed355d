/* SPDX-License-Identifier: Apache-2.0 */
/* Checkpoint and restore of a container: what the layer above calls. kind.h tells how it is
 * made. */
#ifndef CKPT_CKPT_H
#define CKPT_CKPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "ckpt/record.h"

struct arena;
struct cgroup;
struct sandbox;
struct sandbox_task;

/* How far it is with what takes longest, in bytes; total 0: not known. */
struct ckpt_progress {
	uint64_t done, total;
};

struct ckpt_options {
	bool leave_running;
	bool tcp_established, ext_unix_sk, file_locks, tcp_close;
	const char *image_path; /* directory of the image */
	const char *parent;     /* one to build on, relative to image_path; NULL: none (dump), or
				   what the image says (restore) */
	int log;                /* where each step is written with its time, or -1 */

	/*
	 * Called often, until there is no way back (the image has its name). Another result than 0
	 * (-errno with a text) ends the work as a failure does. NULL: nobody wants to know.
	 */
	int (*tick)(void *ctx, const struct ckpt_progress *p);
	void *tick_ctx;
};

/* The files that were the container's descriptors 0 to 2 when it was made: they are not its own. */
struct ckpt_stdio {
	bool known;
	uint64_t dev, ino;
};

/* What is checkpointed. */
struct ckpt_subject {
	const char *id;
	pid_t init;
	int pidfd;
	const struct cgroup *cgroup;
	const struct sandbox *sb; /* as its configuration describes it */
	const char *config;       /* text of the configuration */
	size_t config_len;
	int supervisor; /* connection to its supervisor, or -1 */
	bool paused;    /* its cgroup is frozen, and is to be again afterwards */
	struct ckpt_stdio stdio[3];
};

struct ckpt_problem {
	pid_t pid, host;  /* as the container and as thole sees it; 0: the container as a whole */
	int fd;           /* -1: none */
	const char *what; /* "file /tmp/x (deleted)" */
	const char *why;
};

struct ckpt_problems {
	struct ckpt_problem *v;
	size_t n, room;
};

/* Times in microseconds, counts in pages: stats-dump and stats-restore (engine contract 4.7). */
struct ckpt_stats {
	uint64_t freezing, frozen, memory, writing; /* dump */
	uint64_t forking, restoring;                /* restore */
	uint64_t pages_scanned, pages_skipped, pages_written, pages_restored;
	uint64_t bytes; /* of the image */
};

/*
 * The preflight alone: nothing is frozen. *out lists what can't be saved. Fails only where it could
 * not look.
 */
int ckpt_check(struct arena *a, const struct ckpt_subject *s, const struct ckpt_options *o,
	       const struct record_codec *codec, struct ckpt_problems *out);

/*
 * Saves the container to o->image_path. Unless o->leave_running its processes are dead when this
 * returns 0, killed after the image has its name. On failure (-errno with a text; -ENOTSUP where
 * the preflight found problems: the text is the first, *out has all) there is no image and the
 * container goes on as before.
 */
int ckpt_dump(struct arena *a, const struct ckpt_subject *s, const struct ckpt_options *o,
	      const struct record_codec *codec, struct ckpt_problems *out,
	      struct ckpt_stats *out_stats);

/*
 * Where the container that is about to be made for an image has a new time namespace, or a virtual
 * time of day: its clocks are set to what the image says. Else nothing. 0 or -errno with a text.
 */
int ckpt_clocks(struct arena *a, const struct ckpt_options *o, const struct record_codec *codec,
		struct sandbox *sb);

/*
 * Puts what the image has of copy-on-write directories into the upper directories of a container
 * that is being made (struct sandbox_io, fill): *out is told which. 0 or -errno with a text.
 */
struct layers_found;
int ckpt_layers(struct arena *a, const struct ckpt_options *o, const struct record_codec *codec,
		const struct sandbox *sb, struct layers_found *out);

/*
 * Saves the memory of the container to o->image_path while it runs on: an image for ckpt_dump() to
 * build on, and not to be restored.
 */
int ckpt_pre_dump(struct arena *a, const struct ckpt_subject *s, const struct ckpt_options *o,
		  const struct record_codec *codec, struct ckpt_stats *out_stats);

/*
 * The first part of a restore: opens the image, and reads and checks all but its pages. It needs no
 * container, and is well done while one is being made (struct sandbox_io, meanwhile): task is NULL
 * then. One with layers is to be there, for what became of them decides how it is restored. o and
 * task are to live as long as *out. 0, or -errno with a text.
 */
struct ckpt;
int ckpt_restore_begin(struct arena *a, const struct sandbox *sb, const struct sandbox_task *task,
		       const struct ckpt_options *o, const struct record_codec *codec,
		       struct ckpt **out);

/*
 * The second one: restores it into task, the init of a container made by sandbox_create() with
 * io->restored, which waits. On success nothing runs yet, all of it waits for ckpt_resume(). On
 * failure the caller aborts the task, and with its pid namespace the tree is gone.
 */
int ckpt_restore(struct ckpt *c, const struct sandbox_task *task, struct ckpt_stats *out_stats);

/*
 * Whether the records of an image, and what they say of one another, could be those of a container:
 * what can be known without making one. 0 or -errno with a text that names file and field.
 */
struct image;
int ckpt_look_over(struct arena *a, struct image *im, const struct record_codec *codec);

/* Lets the restored tree run, without thole. */
int ckpt_resume(struct ckpt *c);

#endif
