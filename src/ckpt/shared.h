/* SPDX-License-Identifier: Apache-2.0 */
/* What processes and threads have together, and what each for itself. */
#ifndef CKPT_SHARED_H
#define CKPT_SHARED_H

#include <fcntl.h>
#include <stddef.h>

struct ckpt_unit;

/* Preflight, of a process: what can't be made again. 0 or -errno with a text. */
int shared_check(const struct ckpt_unit *u);

/*
 * Namespaces that a thread may have for itself, while its process has others. One of them, of whom
 * the pidfd is (of a thread: pidfd_open(2) with that flag): a descriptor, -1 where the kernel tells
 * it only in /proc, or it has ended.
 */
#define SHARED_NS 3
#define SHARED_PIDFD_OF_THREAD O_EXCL /* PIDFD_THREAD, 6.9 */
int shared_ns(int pidfd, size_t i);

#endif
