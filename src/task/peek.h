/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The memory of another process, by process_vm_readv(2) and, for what its protection forbids,
 * /proc/PID/mem. What is read is a hostile copy: look at the copy, never twice at the original.
 */
#ifndef TASK_PEEK_H
#define TASK_PEEK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define PEEK_MAX ((size_t)1 << 30) /* bytes of one request */
#define PEEK_SPANS_MAX 4096        /* ranges of one request */

struct peek {
	pid_t pid;
	int pidfd; /* -1 where the pid cannot be reused: the caller traces the process */
	int mem;   /* /proc/PID/mem of the address space it had when first needed, or -1 */
};

struct peek_span {
	uint64_t addr;
	size_t len;
};

/* Holds the process by a pidfd, so that a later process of the same number is never taken for it.
 * 0 or -errno with a text; close in any case. */
int peek_open(pid_t pid, struct peek *out);

/* For a process the caller traces: nothing to hold, nothing that can fail. */
void peek_of_tracee(pid_t pid, struct peek *out);

void peek_close(struct peek *p);

#define auto_peek __attribute__((cleanup(peek_close))) struct peek

/*
 * All len bytes, whatever the protection of the mappings. 0, or -errno with a text that says at
 * which address: -EFAULT nothing is mapped there (or nothing that can be read: device memory),
 * -ESRCH the process is gone, -EPERM.
 */
int peek_read(struct peek *p, uint64_t addr, void *buf, size_t len);
int peek_write(struct peek *p, uint64_t addr, const void *data, size_t len);

/* As peek_read and peek_write of n ranges, one after the other in buf; the sum is at most
 * PEEK_MAX. */
int peek_gather(struct peek *p, const struct peek_span *spans, size_t n, void *buf);
int peek_scatter(struct peek *p, const struct peek_span *spans, size_t n, const void *data);

/* Writes code: through /proc/PID/mem at once, since what can be executed can hardly be written. */
int peek_patch(struct peek *p, uint64_t addr, const void *code, size_t len);

/* Reads up to the first byte that cannot be read: returns how many, or -errno (no text). */
ssize_t peek_some(struct peek *p, uint64_t addr, void *buf, size_t len);

/* A NUL-terminated string. Returns its length; -ENAMETOOLONG (with a text) where it has no end
 * within size. */
ssize_t peek_string(struct peek *p, uint64_t addr, char *buf, size_t size);

#endif
