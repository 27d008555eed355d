/* SPDX-License-Identifier: Apache-2.0 */
#include "task/stay.h"

#include <signal.h>

void stay_look(struct stay *s)
{
	if (!s->on)
		s->known = sched_getaffinity(0, sizeof(s->own), &s->own) == 0;
}

void stay_begin(struct stay *s)
{
	int here = sched_getcpu();
	cpu_set_t one;

	if (s->on)
		return;
	stay_look(s);
	if (!s->known || here < 0 || here >= CPU_SETSIZE)
		return;
	CPU_ZERO(&one);
	CPU_SET((unsigned)here, &one);
	s->on = sched_setaffinity(0, sizeof(one), &one) == 0;
}

void stay_end(struct stay *s)
{
	if (s->on)
		sched_setaffinity(0, sizeof(s->own), &s->own);
	s->on = false;
}

size_t stay_processors(struct stay *s)
{
	if (!s->known)
		stay_look(s);
	return s->known ? (size_t)CPU_COUNT(&s->own) : 1;
}

void stay_send(struct stay *s, pid_t tid, size_t nth)
{
	size_t n = stay_processors(s);
	cpu_set_t one;

	CPU_ZERO(&one);
	nth %= n;
	for (size_t cpu = 0; s->known && cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &s->own) || nth-- > 0)
			continue;
		CPU_SET(cpu, &one);
		sched_setaffinity(tid, sizeof(one), &one);
		return;
	}
}

/* Not where the calling thread is, if there is anywhere else. */
static cpu_set_t elsewhere(const struct stay *s)
{
	int here = sched_getcpu();
	cpu_set_t set = s->own;

	if (here >= 0 && here < CPU_SETSIZE)
		CPU_CLR((unsigned)here, &set);
	return CPU_COUNT(&set) ? set : s->own;
}

void stay_apart(struct stay *s, pthread_t helper)
{
	cpu_set_t set;

	if (!s->known)
		return;
	set = elsewhere(s);
	pthread_setaffinity_np(helper, sizeof(set), &set);
	pthread_setaffinity_np(helper, sizeof(s->own), &s->own);
}

int stay_helper(struct stay *s, pthread_t *out, void *(*run)(void *), void *arg)
{
	pthread_attr_t attr;
	sigset_t all, mask;
	cpu_set_t set;
	int err;

	if (!s->known)
		stay_look(s);
	pthread_attr_init(&attr);
	if (s->known) {
		set = elsewhere(s);
		pthread_attr_setaffinity_np(&attr, sizeof(set), &set);
	}
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	err = pthread_create(out, &attr, run, arg);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	pthread_attr_destroy(&attr);
	if (!err && s->known)
		pthread_setaffinity_np(*out, sizeof(s->own), &s->own);
	return err;
}
