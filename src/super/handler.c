/* SPDX-License-Identifier: Apache-2.0 */
#include "super/handler.h"

#include <stddef.h>

static const struct {
	size_t asked_for; /* a bool of struct super_plan */
	const struct super_handler *handlers;
	const size_t *n;
} features[] = {
	/* of all, and before them: what they read may not be there */
	{ offsetof(struct super_plan, map), absent_handlers, &n_absent_handlers },
	{ offsetof(struct super_plan, ports), absent_handlers, &n_absent_handlers },
	{ offsetof(struct super_plan, time), absent_handlers, &n_absent_handlers },
	{ offsetof(struct super_plan, map), guest_handlers, &n_guest_handlers },
	{ offsetof(struct super_plan, ports), port_handlers, &n_port_handlers },
	{ offsetof(struct super_plan, map), cow_handlers, &n_cow_handlers },
	{ offsetof(struct super_plan, quota), cow_quota_handlers, &n_cow_quota_handlers },
	{ offsetof(struct super_plan, map), cow_name_handlers, &n_cow_name_handlers },
	/* after those that may have made the call by themselves */
	{ offsetof(struct super_plan, time), clock_handlers, &n_clock_handlers },
};

size_t super_handlers(const struct super_plan *plan,
		      const struct super_handler *out[SUPER_HANDLERS_MAX])
{
	size_t n = 0;

	for (size_t f = 0; f < sizeof(features) / sizeof(features[0]); f++) {
		if (!*(const bool *)((const char *)plan + features[f].asked_for))
			continue;
		for (size_t i = 0; i < *features[f].n && n < SUPER_HANDLERS_MAX; i++)
			out[n++] = &features[f].handlers[i];
	}
	return n;
}
