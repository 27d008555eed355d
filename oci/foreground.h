/* SPDX-License-Identifier: Apache-2.0 */
/* A container's process in the foreground: signals are passed on to it, its terminal is copied, its
 * orphans are reaped, and its exit status becomes ours. */
#ifndef OCI_FOREGROUND_H
#define OCI_FOREGROUND_H

#include <stdbool.h>
#include <sys/types.h>

struct foreground {
	pid_t pid; /* a child of the caller */
	int pidfd;
	int signals; /* signalfd(2) of every signal */
	int console; /* socket on which the terminal's master arrives, or -1 */
	int notify;  /* socket of notify_listen(), or -1 */
};

/*
 * Blocks every signal, so that none is lost from here on. Called when the process was made and does
 * not run yet: it must not inherit the mask. adopt: orphans of the process become our children.
 */
int foreground_begin(struct foreground *f, bool adopt);

/* Waits for the process. Returns its exit status, 128 + N where signal N ended it, or -errno. */
int foreground_wait(struct foreground *f);

#endif
