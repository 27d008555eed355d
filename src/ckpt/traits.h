/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small things that a task sets for itself by prctl(2) and the like, and that all have the same
 * form: one call tells the value, one sets it, and hardly anybody ever did.
 */
#ifndef CKPT_TRAITS_H
#define CKPT_TRAITS_H

#include <stddef.h>
#include <stdint.h>

#include "ckpt/batch.h"
#include "ckpt/kind.h"

#define TRAITS_MAX 8      /* of one scope */
#define TRAITS_BYTES 144u /* for their answers */

struct inject_call;

struct trait_value {
	const char *name;
	uint64_t value;
	const void *data; /* of those that are more than a number */
	size_t len;
};

struct traits {
	struct trait_value *v;
	size_t n;
};

extern const struct record_table trait_table;

/* The row of a record that has `struct traits` as its member `traits`. */
#define TRAITS_RECORD(st)                                                              \
	RECORD_LIST_OF(st, "traits", traits.v, traits.n, trait_table, RECORD_OPTIONAL, \
		       RECORD_MAX(TRAITS_MAX))

/*
 * Dump: the calls that tell what a thread of its own (or, of its first, the process) has set; at is
 * where TRAITS_BYTES bytes of the scratch memory lie. What its filter forbids is left out: it can't
 * have set that either. *out_n: how many, at most TRAITS_MAX. 0 or -errno with a text.
 */
int traits_ask(const struct ckpt_thread *t, enum kind_scope scope, uint64_t at,
	       struct inject_call *out, size_t *out_n);

/* What the calls answered, where it is not what everybody has; buf is what lies at `at` now. */
void traits_take(struct ckpt *c, const struct inject_call *calls, size_t n, const void *buf,
		 struct traits *out);

/* Restore: adds the calls. An image with others than these is refused. */
int traits_rebuild(struct ckpt_batch *b, const struct ckpt_thread *t, enum kind_scope scope,
		   const struct traits *traits);

#endif
