/* SPDX-License-Identifier: Apache-2.0 */
/* The container's terminal: a pair from its own devpts. pty(7), devpts in
 * Documentation/filesystems */
#ifndef JAIL_TTY_H
#define JAIL_TTY_H

#include <sys/types.h>

struct winsize;

/*
 * Opens a new pair from pts/ptmx in the directory dev (the container's /dev), verified to be a
 * devpts; the slave by TIOCGPTPEER, so that no name is trusted (CVE-2025-52565). Sizes of 0 are
 * left.
 */
int tty_open(int dev, const struct winsize *size, uid_t owner, int *out_master, int *out_slave);

/* Sends the master to a console socket: one message, one descriptor, no answer awaited. */
int tty_send(int sock, int master);

/* Makes the slave descriptors 0 to 2 and the controlling terminal of the calling session leader. */
int tty_adopt(int slave);

#endif
