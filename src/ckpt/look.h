/* SPDX-License-Identifier: Apache-2.0 */
/* Paths of the container's, as its init sees them. */
#ifndef CKPT_LOOK_H
#define CKPT_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

struct arena;
struct ckpt;

/* Where a link of /proc/PID ("exe", "cwd", "root") leads. */
struct look_link {
	const char *text; /* "" where it can't be read */
	struct stat st;
	const char *why; /* it can't be looked at, or NULL */
};
void look_link(struct arena *a, pid_t pid, const char *name, struct look_link *out);

/* What it leads to must be reached by its path again, from the root of the container's init, or in
 * a directory that the supervisor shows (ckpt/shown.h). NULL and the name if it is, else why
 * not. */
const char *look_path(struct ckpt *c, const struct look_link *l, const char **out_name);

/* Is the path, from the root of the container's init, that very file? One that was is not looked at
 * again before look_anew(). */
bool look_leads_to(struct ckpt *c, const char *path, const struct stat *st);

/* Forgets where paths led: at a new look at the container, and when it has been stopped. */
void look_anew(struct ckpt *c);

/* The path, or if it was removed another name in the same directory, that leads to that very file,
 * or its name in a directory that the supervisor shows. NULL where none does. In the arena. */
const char *look_name(struct ckpt *c, const char *path, const struct stat *st);

#endif
