/* SPDX-License-Identifier: Apache-2.0 */
/* Small readers of /proc that several kinds want. */
#ifndef CKPT_LOOK_H
#define CKPT_LOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;
struct ckpt;
struct stat;

/* All of /proc/PID/<name>, in the arena, NUL-terminated. 0 or -errno with a text. */
int look_file(struct arena *a, pid_t pid, const char *name, char **out, size_t *out_len);

/* A link of /proc/PID ("cwd", "fd/3"). 0 or -errno with a text. */
int look_link(struct arena *a, pid_t pid, const char *name, const char **out);

/*
 * The same for one that must be reached by its path again, from the root of the container's init.
 * *out is the path, whatever the answer. NULL if it is, else why not.
 */
const char *look_path(struct ckpt *c, pid_t pid, const char *name, const char **out);

/* Is the path, from the root of the container's init, that very file? */
bool look_leads_to(struct ckpt *c, const char *path, const struct stat *st);

/* A number of a line of a text as of /proc/PID/status: "Umask:", base 8. -EPROTO with a text. */
int look_number(const char *text, const char *line, int base, uint64_t *out);
int look_status_u32(pid_t pid, const char *line, int base, uint32_t *out);

#endif
