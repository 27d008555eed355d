/* SPDX-License-Identifier: Apache-2.0 */
/* Calls that wait for a copy (layer_late.h), in the order in which they came. */
#ifndef SUPER_ASIDE_H
#define SUPER_ASIDE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "super/notif.h"

#define ASIDE_MAX 1024
#define ASIDE_MS 100 /* between looks at who waits no more */

struct aside {
	struct {
		struct notif n;
		uint64_t job; /* 0: any; or LAYER_LATE_TURN */
	} v[ASIDE_MAX];
	size_t n;
	int64_t looked; /* when, in ms */
};

/* False where there is no room: it is answered with ENFILE. */
bool aside_put(struct aside *a, struct notif *n, uint64_t job);

/* One that waits for that job, or for any, as if it had just come: it is not there any more. False
 * where there is none. */
bool aside_next(struct aside *a, uint64_t job, struct notif *out);

/* One of a listener's, of a thread's; one that nobody waits in any more. */
bool aside_of(struct aside *a, int listener, struct notif *out);
bool aside_of_thread(struct aside *a, pid_t tid, struct notif *out);
bool aside_gone(struct aside *a, struct notif *out);

/* Does one wait for that job? */
bool aside_has(const struct aside *a, uint64_t job);

/* True every ASIDE_MS, once. */
bool aside_is_due(struct aside *a);

#endif
