/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the first thread of a stopped process is asked, by system calls that it makes for us: the
 * questions of all kinds together, and all processes at the same time. To have a thread run
 * anything takes 35 us, one call more 0.2.
 *
 * A kind's ask() adds calls, and its collect() gets their answers. Whoever wants answers first has
 * the questions of all asked, of all processes: as soon as the mappings of all are known. So an
 * ask() may rest on nothing that comes after that.
 */
#ifndef CKPT_ASK_H
#define CKPT_ASK_H

#include <stddef.h>
#include <stdint.h>

#include "arch/inject.h"
#include "ckpt/kind.h"

#define ASK_CALLS 448 /* of all kinds */
#define ASK_BYTES 49152u

struct ask;

/* In the order they were added. They are run whatever those before answered: the caller looks at
 * each `ret`. */
struct answers {
	struct inject_call *calls;
	size_t n;
	const uint8_t *data; /* what lies at the address of ask_room() now */
};

/* So many zeroed bytes of the process for the calls to answer to: at most once a kind. 0 or -E2BIG
 * with a text. */
int ask_room(struct ask *a, size_t len, uint64_t *out_addr);
int ask_add(struct ask *a, const struct inject_call *calls, size_t n);

/* 0 or -errno with a text, that of trace_batch(). */
int ask_answers(const struct ckpt_kind *k, const struct ckpt_unit *u, struct answers *out);

/* The same as they are now: only the questions of that kind are asked, once more (or at a
 * restore). */
int ask_again(const struct ckpt_kind *k, const struct ckpt_unit *u, struct answers *out);

#endif
