/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System calls of running processes that fail, seen as they happen: ptrace(2) by PTRACE_SEIZE, each
 * thread stopped at the entry and the end of every call. Slow for those who are watched, harmless:
 * should the watcher die, they go on.
 */
#ifndef TASK_WATCH_H
#define TASK_WATCH_H

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct arena;

struct watch_call {
	pid_t tid;     /* stopped while it is reported: its memory and files are as they were */
	uint32_t arch; /* AUDIT_ARCH_* */
	uint64_t nr, args[6];
	int error; /* positive */
};

/*
 * Watches all threads of the processes, and what they start, for so many seconds, or until they
 * have all ended or a signal without SA_RESTART arrives. each() is told of every call that fails.
 * The caller has no other children and no timer (ITIMER_REAL is used). Returns 0, or -errno with a
 * text where one can't be watched; then none is.
 */
struct watch_for {
	unsigned seconds;
	void (*each)(void *arg, const struct watch_call *call);
	void *arg;
};
int watch_failures(struct arena *a, const pid_t *pids, size_t n, const struct watch_for *what);

#endif
