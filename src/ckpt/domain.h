/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock domains that tasks have entered by themselves: k_domain.c */
#ifndef CKPT_DOMAIN_H
#define CKPT_DOMAIN_H

#include <stdint.h>
#include <sys/types.h>

#include "ckpt/kind.h"

/*
 * Dump, frozen: the process (as the container sees it) that the thread is to look at with
 * get_robust_list(2), for domain_judge() to tell from the answer whether it has a domain of its
 * own; 0 where it can't have any. 0 or -errno with a text.
 */
int domain_reference(struct ckpt *c, const struct ckpt_thread *t, pid_t *out);
int domain_judge(struct ckpt *c, const struct ckpt_thread *t, int64_t answer);

/* Ends what that took, while all are stopped. Safe to call twice. */
int domain_end(struct ckpt *c);

#endif
