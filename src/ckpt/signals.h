/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that wait, of a process or of one of its threads: k_signal.c */
#ifndef CKPT_SIGNALS_H
#define CKPT_SIGNALS_H

#include <stdbool.h>
#include <stddef.h>

#include "ckpt/kind.h"

#define SIGNAL_QUEUE_MAX 65536u

struct signal_info {
	const void *info; /* siginfo_t */
	size_t len;
};
extern const struct record_table signal_info_table;

struct signal_queue {
	struct signal_info *v;
	size_t n;
};

/* Dump, once they were collected: whether that signal waits for the process. */
bool signals_wait(const struct ckpt_proc *p, int signal);

int signals_collect(struct ckpt *c, const struct ckpt_thread *t, bool shared,
		    struct signal_queue *out);
int signals_prepare(const struct ckpt_proc *p, const struct signal_queue *q);
int signals_rebuild(const struct ckpt_thread *t, bool shared, const struct signal_queue *q);

#endif
