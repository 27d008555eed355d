/* SPDX-License-Identifier: Apache-2.0 */
#include "super/aside.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "super/layer_late.h"

bool aside_put(struct aside *a, struct notif *n, uint64_t job)
{
	if (a->n == ASIDE_MAX) {
		notif_answer(n, -ENFILE);
		return false;
	}
	a->v[a->n].n = *n;
	a->v[a->n++].job = job;
	return true;
}

static bool take(struct aside *a, size_t i, struct notif *out)
{
	if (i >= a->n)
		return false;
	*out = a->v[i].n;
	out->answered = out->later = false;
	memmove(&a->v[i], &a->v[i + 1], (--a->n - i) * sizeof(a->v[0]));
	return true;
}

bool aside_next(struct aside *a, uint64_t job, struct notif *out)
{
	size_t i = 0;

	while (i < a->n && a->v[i].job != job && (a->v[i].job || job == LAYER_LATE_TURN))
		i++;
	return take(a, i, out);
}

bool aside_of(struct aside *a, int listener, struct notif *out)
{
	size_t i = 0;

	while (i < a->n && a->v[i].n.listener != listener)
		i++;
	return take(a, i, out);
}

bool aside_of_thread(struct aside *a, pid_t tid, struct notif *out)
{
	size_t i = 0;

	while (i < a->n && a->v[i].n.tid != tid)
		i++;
	return take(a, i, out);
}

bool aside_gone(struct aside *a, struct notif *out)
{
	size_t i = 0;

	while (i < a->n && notif_valid(&a->v[i].n))
		i++;
	return take(a, i, out);
}

bool aside_has(const struct aside *a, uint64_t job)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].job == job)
			return true;
	return false;
}

bool aside_is_due(struct aside *a)
{
	struct timespec t;
	int64_t now;

	clock_gettime(CLOCK_MONOTONIC, &t);
	now = (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
	if (now - a->looked < ASIDE_MS)
		return false;
	a->looked = now;
	return true;
}
