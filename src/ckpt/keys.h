/* SPDX-License-Identifier: Apache-2.0 */
/* Whether there are keys, of which none can be saved: k_keys.c */
#ifndef CKPT_KEYS_H
#define CKPT_KEYS_H

#include <stddef.h>

#include "arch/inject.h"
#include "ckpt/kind.h"

#define KEYS_CALLS 2 /* of one scope */

/* Dump: the calls that ask for keys of a process (KIND_PROCESS) or of a thread (KIND_THREAD): how
 * many, at most KEYS_CALLS. */
size_t keys_ask(struct ckpt *c, enum kind_scope scope, struct inject_call *calls);

/* What that thread answered to them. 0, or -ENOTSUP with a text where there are some. */
int keys_judge(const struct ckpt_thread *t, const struct inject_call *calls, size_t n);

#endif
