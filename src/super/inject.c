/* SPDX-License-Identifier: Apache-2.0 */
#include "super/inject.h"

#include <errno.h>
#include <string.h>

#define PATIENCE_WAITING 2 /* ticks, for a call that may wait for others */

/* With SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV only an answer takes the thread out of the call;
 * without it the stop does, and there is nobody to answer. Should this process end before the
 * thread goes on, its call fails as all the others do then. */
#define ANSWER (-ENOSYS)

size_t inject_tend(struct inject_strays *s)
{
	for (size_t i = s->n; i-- > 0;)
		if (hold_tend(&s->v[i]))
			s->v[i] = s->v[--s->n];
	return s->n;
}

int inject_begin(struct inject_strays *s, struct notif *n, struct inject *out)
{
	struct call own = { .behind = n->ip, .nr = n->nr };
	int ret;

	/* there must be room for one more to be late */
	if (s->n == INJECT_STRAYS_MAX)
		return -EAGAIN;
	*out = (struct inject){ .n = n, .strays = s };
	memcpy(own.arg, n->args, sizeof(own.arg));
	ret = hold_seize(n->tid, &own, &out->hold);
	if (!ret && !notif_valid(n)) {
		inject_end(out, ANSWER);
		ret = -ESRCH;
	}
	return ret;
}

int inject_fd(struct inject *in, int fd)
{
	return notif_give_fd(in->n, fd, true);
}

int inject_stop(struct inject *in)
{
	int ret = hold_ask(&in->hold);

	if (!in->n->answered)
		notif_answer(in->n, ANSWER);
	return ret ? ret : hold_stop(&in->hold);
}

static int64_t done(struct inject *in, int ret, int64_t result)
{
	in->again = ret == -EINTR;
	return ret ? ret : result;
}

int64_t inject_call_args(struct inject *in, long nr, const uint64_t *args)
{
	struct call c = { .behind = in->hold.own.behind, .nr = nr };
	int64_t result = 0;
	int ret;

	memcpy(c.arg, args, sizeof(c.arg));
	ret = hold_call(&in->hold, &c, PATIENCE_WAITING, &result);
	return done(in, ret, result);
}

int64_t inject_exec(struct inject *in, long nr, const uint64_t *args)
{
	struct call c = { .behind = in->hold.own.behind, .nr = nr };
	struct notif_status status = { .pid = in->hold.tid };
	int64_t result = 0;
	int ret;

	memcpy(c.arg, args, sizeof(c.arg));
	ret = notif_status(in->n, &status);
	if (!ret)
		ret = hold_exec(&in->hold, &c, status.pid, &result);
	return done(in, ret, result);
}

void inject_end(struct inject *in, int64_t result)
{
	struct hold *h = &in->hold;

	if (!h->stopped && !h->late && !h->gone)
		inject_stop(in);
	if (in->again)
		hold_again(h);
	else
		hold_end(h, result);
	if (h->late)
		in->strays->v[in->strays->n++] = *h;
	in->n->answered = true;
}
