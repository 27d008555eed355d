/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Digests of the pages of an image, ahead of those who put them where they were. There is time for
 * it: the container is made by others, its mappings by the process itself, and each of them leaves
 * a processor idle.
 */
#include <pthread.h>
#include <stdatomic.h>

#include "base/mem.h"
#include "ckpt/memory.h"
#include "ckpt/pages.h"
#include "task/stay.h"

#define FEW 3  /* blocks that are done before a container is there, whatever else has to be done */
#define MANY 2 /* that are worth a thread */

struct digester {
	struct page_source *v; /* of all processes */
	size_t n, room;
	size_t source, block; /* the next one */
	pthread_t thread;
	bool running;
	atomic_bool stop;
};

static void list_sources(struct ckpt *c, struct digester *d)
{
	for (size_t i = 0; i < c->n_procs; i++) {
		const struct page_store *pages = memory_pages_of(c->procs[i]);

		for (size_t s = 0; pages && s < pages->n; s++) {
			d->v = arena_grow(c->arena, d->v, d->n, &d->room, sizeof(*d->v));
			d->v[d->n++] = pages->v[s];
		}
	}
}

static bool next(struct digester *d, struct page_source **source, size_t *block)
{
	while (d->source < d->n && d->block == d->v[d->source].map.n_blocks) {
		d->source++;
		d->block = 0;
	}
	if (d->source == d->n)
		return false;
	*source = &d->v[d->source];
	*block = d->block++;
	return true;
}

static size_t left(const struct digester *d)
{
	size_t n = 0;

	for (size_t i = d->source; i < d->n; i++)
		n += d->v[i].map.n_blocks;
	return n - (d->source < d->n ? d->block : 0);
}

static void *digest_rest(void *arg)
{
	struct digester *d = arg;
	struct page_source *source;
	size_t block;

	while (!atomic_load(&d->stop) && next(d, &source, &block))
		page_source_digest(source, block);
	return NULL;
}

void memory_digest_few(struct ckpt *c)
{
	struct digester *d = arena_alloc(c->arena, sizeof(*d));
	struct page_source *source;
	size_t block;

	c->digester = d;
	list_sources(c, d);
	for (unsigned i = 0; i < FEW && next(d, &source, &block); i++)
		page_source_digest(source, block);
}

void memory_digest_begin(struct ckpt *c)
{
	struct digester *d = c->digester;

	if (left(d) >= MANY && stay_processors(&c->stay) > 1)
		d->running = stay_helper(&c->stay, &d->thread, digest_rest, d) == 0;
}

void memory_digest_stop(struct ckpt *c)
{
	atomic_store(&c->digester->stop, true);
}

void memory_digest_end(struct ckpt *c)
{
	struct digester *d = c->digester;

	if (!d || !d->running)
		return;
	memory_digest_stop(c);
	pthread_join(d->thread, NULL);
	d->running = false;
}
