/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/ahead.h"

#include <errno.h>
#include <pthread.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/kinds.h"

#define HELPERS_MAX 3
#define JOBS_A_HELPER 16 /* below that another thread is not worth its start */

struct job {
	int (*look)(struct arena *a, pid_t host, void **out);
	const struct ckpt_kind *kind;
	const struct ckpt_proc *p;
	enum { WAITS, UNDER_WAY, DONE } state;
	void *out;
	int ret;
	const struct err *err; /* where ret is one */
};

struct helper {
	struct ahead *of;
	struct arena *arena; /* its own: arenas are of one thread */
	pthread_t thread;
};

struct ahead {
	struct job *jobs; /* by kind, then by process */
	size_t n, at;     /* at: where the next one to be asked for is likely to be */
	struct helper helpers[HELPERS_MAX];
	size_t n_helpers;
	struct ahead *before; /* rounds that are over, whose arenas are still in use */
	pthread_mutex_t lock; /* of what follows, and of the states */
	pthread_cond_t done;
	size_t last; /* all from here on are taken */
	bool end;
};

static void do_job(struct job *j, struct arena *a)
{
	j->ret = j->look(a, j->p->host, &j->out);
	if (j->ret)
		j->err = arena_memdup(a, err_last(), sizeof(*j->err));
}

/* The last one that waits, under the lock. */
static struct job *take_last(struct ahead *h)
{
	while (!h->end && h->last > 0) {
		struct job *j = &h->jobs[--h->last];

		if (j->state == WAITS) {
			j->state = UNDER_WAY;
			return j;
		}
	}
	return NULL;
}

static void *help(void *arg)
{
	struct helper *helper = arg;
	struct ahead *h = helper->of;
	struct job *j;

	pthread_mutex_lock(&h->lock);
	while ((j = take_last(h))) {
		pthread_mutex_unlock(&h->lock);
		do_job(j, helper->arena);
		pthread_mutex_lock(&h->lock);
		j->state = DONE;
		pthread_cond_signal(&h->done);
	}
	pthread_mutex_unlock(&h->lock);
	return NULL;
}

/* Of all kinds that look then; counted alone where there is no room for them yet. */
static size_t add_jobs(struct ckpt *c, struct job *jobs, bool frozen)
{
	size_t n = 0;

	for (size_t k = 0; ckpt_kinds[k]; k++) {
		const struct job job = {
			.look = frozen ? ckpt_kinds[k]->look_frozen : ckpt_kinds[k]->look,
			.kind = ckpt_kinds[k],
		};

		for (size_t i = 0; i < c->n_procs && job.look; i++) {
			if (c->procs[i]->zombie)
				continue;
			if (jobs) {
				jobs[n] = job;
				jobs[n].p = c->procs[i];
			}
			n++;
		}
	}
	return n;
}

static size_t helpers_for(struct ckpt *c, const struct ahead *h)
{
	size_t n = stay_processors(&c->stay) - 1, useful = h->n / JOBS_A_HELPER;

	if (n > HELPERS_MAX)
		n = HELPERS_MAX;
	return n < useful ? n : useful;
}

void ahead_begin(struct ckpt *c, bool frozen)
{
	struct ahead *h = arena_alloc(c->arena, sizeof(*h));
	size_t want;

	h->jobs = arena_array(c->arena, add_jobs(c, NULL, frozen) + 1, sizeof(*h->jobs));
	h->last = h->n = add_jobs(c, h->jobs, frozen);
	h->before = c->ahead;
	c->ahead = h;
	pthread_mutex_init(&h->lock, NULL);
	pthread_cond_init(&h->done, NULL);
	for (want = helpers_for(c, h); h->n_helpers < want; h->n_helpers++) {
		struct helper *helper = &h->helpers[h->n_helpers];

		*helper = (struct helper){ .of = h, .arena = arena_new() };
		if (stay_helper(&c->stay, &helper->thread, help, helper)) {
			arena_free(helper->arena);
			return;
		}
	}
}

void ahead_end(struct ckpt *c)
{
	struct ahead *h = c->ahead;

	pthread_mutex_lock(&h->lock);
	h->end = true;
	pthread_mutex_unlock(&h->lock);
	for (size_t i = 0; i < h->n_helpers; i++)
		pthread_join(h->helpers[i].thread, NULL);
	pthread_mutex_destroy(&h->lock);
	pthread_cond_destroy(&h->done);
}

void ahead_free(struct ckpt *c)
{
	for (struct ahead *h = c->ahead; h; h = h->before)
		for (size_t i = 0; i < h->n_helpers; i++)
			arena_free(h->helpers[i].arena);
	c->ahead = NULL;
}

/* They are asked for in the order in which they stand. */
static struct job *find(struct ahead *h, const struct ckpt_kind *k, const struct ckpt_proc *p)
{
	for (size_t i = 0; i < h->n; i++) {
		struct job *j = &h->jobs[(h->at + i) % h->n];

		if (j->kind != k || j->p != p)
			continue;
		h->at = (size_t)(j - h->jobs) + 1;
		return j;
	}
	return NULL;
}

int ahead_take(struct ckpt *c, const struct ckpt_kind *k, const struct ckpt_proc *p, void **out)
{
	struct ahead *h = c->ahead;
	struct job *j = find(h, k, p);
	bool ours;

	if (!j)
		return fail(ENOENT, "%s: process %d was not to be looked at", k->name, p->host);
	pthread_mutex_lock(&h->lock);
	ours = j->state == WAITS;
	while (!ours && j->state != DONE)
		pthread_cond_wait(&h->done, &h->lock);
	j->state = DONE;
	pthread_mutex_unlock(&h->lock);
	if (ours)
		do_job(j, c->arena);
	*out = j->out;
	if (j->ret)
		err_set(j->err);
	return j->ret;
}
