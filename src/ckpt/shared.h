/* SPDX-License-Identifier: Apache-2.0 */
/* What processes and threads have together, and what each for itself. */
#ifndef CKPT_SHARED_H
#define CKPT_SHARED_H

struct ckpt_unit;

/* Preflight, of a process: what can't be made again. 0 or -errno with a text. */
int shared_check(const struct ckpt_unit *u);

#endif
