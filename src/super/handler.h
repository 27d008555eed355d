/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who answers which call: a feature of the supervisor is a table of handlers, and its row in
 * handler.c.
 */
#ifndef SUPER_HANDLER_H
#define SUPER_HANDLER_H

#include "bpf/guard.h"
#include "super/inject.h"
#include "super/super.h"

struct clock;
struct cow;
struct follow;
struct notif;
struct ports;

/* What handlers work on; made before the first call, of fixed size. */
struct super_state {
	const struct super_config *config;
	struct ports *ports; /* of plan.ports */
	struct cow *cow;     /* of plan.map */
	struct clock *clock; /* of plan.time */
	struct follow *follow;
	struct inject_strays strays;
};

struct super_handler {
	struct guard_call call;
	int nr; /* of this processor */
	/* Answers, or leaves it: then the kernel makes the call. */
	void (*run)(struct super_state *s, struct notif *n);
};

#define SUPER_HANDLERS_MAX 192

/* The handlers of a plan; where there are several of one call, they are asked in this order; at
 * most SUPER_HANDLERS_MAX. Returns how many. */
size_t super_handlers(const struct super_plan *plan,
		      const struct super_handler *out[SUPER_HANDLERS_MAX]);

/* src/super/absent.c */
extern const struct super_handler absent_handlers[];
extern const size_t n_absent_handlers;

/* src/super/clock*.c */
extern const struct super_handler clock_handlers[];
extern const size_t n_clock_handlers;

/* src/super/port*.c */
extern const struct super_handler port_handlers[];
extern const size_t n_port_handlers;

/* src/super/guest_read.c: calls that change who a thread is, which others make */
extern const struct super_handler guest_handlers[];
extern const size_t n_guest_handlers;

/* src/super/cow*.c */
extern const struct super_handler cow_handlers[];
extern const size_t n_cow_handlers;
extern const struct super_handler cow_quota_handlers[];
extern const size_t n_cow_quota_handlers;

/* src/super/cow_name_table.c */
extern const struct super_handler cow_name_handlers[];
extern const size_t n_cow_name_handlers;

#endif
