/* SPDX-License-Identifier: Apache-2.0 */
/* Readers of /proc: what another process is. Its texts are hostile and bounded. proc(5) */
#ifndef TASK_PROC_H
#define TASK_PROC_H

#include <stdint.h>
#include <sys/types.h>

struct proc_stat {
	char state; /* 'R', 'S', 'Z', 'X' ... */
	pid_t ppid;
	uint64_t start_time; /* clock ticks since boot: tells a reused pid from the old one */
};

/* /proc/PID/stat. -ESRCH (no text) where there is no such process. */
int proc_stat(pid_t pid, struct proc_stat *out);

/* The start time alone, with a text on failure. */
int proc_start_time(pid_t pid, uint64_t *out);

#endif
