/* SPDX-License-Identifier: Apache-2.0 */
/* Timers of a process: k_timer.c */
#ifndef CKPT_TIMERS_H
#define CKPT_TIMERS_H

#include <signal.h>
#include <stdbool.h>

#include "ckpt/kind.h"

/*
 * Restore: whether a signal that was waiting is one that its timer brings about again, and so need
 * not be queued. To be asked of all that wait before timers are made, too: they are made so that
 * they do.
 */
bool timers_bring(const struct ckpt_proc *p, const siginfo_t *info);

#endif
