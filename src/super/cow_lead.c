/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ways that lead through the map and out of it again: a symbolic link of the upper side, ".." of a
 * directory there. What they come to is none of the map's, and the kernel's to judge by the
 * container's own rules; but the kernel, which knows nothing of the upper side, doesn't come there.
 * So the thread makes the call once more, with the name that the kernel knows.
 */
#include "super/cow_lead.h"

#include <errno.h>
#include <string.h>

#include "super/cow_call.h"
#include "super/handler.h"
#include "super/inject.h"

static void note(struct cow *c, struct notif *n, unsigned arg, const struct path *p, int walked)
{
	struct cow_leads *l = &c->leads;
	int ret = walked;

	if (l->id != n->id) {
		l->id = n->id;
		l->n = 0;
		l->error = 0;
	}
	if (l->n == COW_LEADS_MAX)
		return;
	if (!ret)
		ret = path_outside(n, p, l->v[l->n].text, sizeof(l->v[l->n].text));
	if (ret)
		l->error = ret;
	else
		l->v[l->n++].arg = arg;
}

int cow_walk(struct cow *c, struct notif *n, const struct cow_way *way, struct path *out)
{
	int ret =
		path_walk(&c->map, n, way->dirfd, n->args[way->arg], way->flags, way->resolve, out);

	if (out->led)
		note(c, n, way->arg, out, ret);
	return ret;
}

void cow_lead_anew(struct cow *c)
{
	c->leads.n = 0;
	c->leads.error = 0;
}

/* The texts, one behind the other, in the thread's memory; the arguments that point to them. */
static int put_texts(const struct cow_leads *l, struct notif *n, uint64_t at, uint64_t args[6])
{
	size_t len;
	int ret = 0;

	for (size_t i = 0; i < l->n && !ret; i++) {
		len = strlen(l->v[i].text) + 1;
		ret = notif_write(n, at, l->v[i].text, len);
		args[l->v[i].arg] = at;
		at += len;
	}
	return ret;
}

static int64_t make_call(const struct cow_leads *l, struct notif *n, struct inject *in)
{
	struct inject_room room;
	uint64_t args[6];
	size_t len = 0;
	int64_t ret;

	for (size_t i = 0; i < l->n; i++)
		len += strlen(l->v[i].text) + 1;
	memcpy(args, n->args, sizeof(args));
	args[COW_MARK] = GUARD_PASSING(0);
	ret = inject_stop(in);
	if (!ret)
		ret = inject_room(in, len, &room);
	if (ret)
		return ret;
	ret = put_texts(l, n, room.at, args);
	if (!ret)
		ret = inject_call_args(in, n->nr, args);
	inject_room_end(in, &room);
	return ret;
}

void cow_lead(struct super_state *s, struct notif *n)
{
	const struct cow_leads *l = &s->cow->leads;
	struct inject in;
	int64_t result = l->error;

	if (l->id != n->id || (!l->n && !l->error))
		return;
	if (!result)
		result = inject_begin(&s->strays, n, &in);
	if (result) {
		notif_answer(n, result);
		return;
	}
	result = make_call(l, n, &in);
	inject_end(&in, result);
}
