/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/image_queue.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/image_priv.h"
#include "task/stay.h"

#define ALONE 24 /* files that are made before a thread is worth its start */
#define FILES 64
#define BYTES (4u << 20) /* that wait */

struct file {
	const char *name;
	void *data;
	size_t len;
};

struct image_queue {
	struct arena *a;
	struct image_writer *w;
	struct stay stay; /* not where the first thread is when it comes to start the second */
	size_t n;
	pthread_t thread;
	bool running;
	/* of both threads, under the lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	struct file files[FILES];
	size_t first, waiting, bytes; /* the first is being written */
	bool end, failed;
	struct err err;
};

struct image_queue *queue_new(struct arena *a, struct image_writer *w)
{
	struct image_queue *q = arena_alloc(a, sizeof(*q));

	q->a = a;
	q->w = w;
	stay_look(&q->stay);
	pthread_mutex_init(&q->lock, NULL);
	pthread_cond_init(&q->changed, NULL);
	return q;
}

static int write_one(struct image_queue *q, struct file *f)
{
	int ret = image_write_file(q->w, f->name, f->data, f->len);

	free(f->data);
	return ret;
}

static void *work(void *arg)
{
	struct image_queue *q = arg;
	struct file f;
	int ret;

	pthread_mutex_lock(&q->lock);
	while (!q->end) {
		if (!q->waiting) {
			pthread_cond_wait(&q->changed, &q->lock);
			continue;
		}
		f = q->files[q->first];
		pthread_mutex_unlock(&q->lock);
		ret = write_one(q, &f);
		pthread_mutex_lock(&q->lock);
		if (ret && !q->failed)
			q->err = *err_last();
		q->failed |= ret != 0;
		q->first = (q->first + 1) % FILES;
		q->waiting--;
		q->bytes -= f.len;
		pthread_cond_broadcast(&q->changed);
	}
	pthread_mutex_unlock(&q->lock);
	return NULL;
}

/* Under the lock. */
static int outcome(const struct image_queue *q)
{
	if (!q->failed)
		return 0;
	err_set(&q->err);
	return -q->err.code;
}

int queue_put(struct image_queue *q, const char *name, void *data, size_t len)
{
	struct file f = { arena_strdup(q->a, name), data, len };
	int ret;

	if (!q->running && q->n++ == ALONE && stay_processors(&q->stay) > 1)
		q->running = stay_helper(&q->stay, &q->thread, work, q) == 0;
	if (!q->running)
		return write_one(q, &f);
	pthread_mutex_lock(&q->lock);
	while (q->waiting == FILES || q->bytes > BYTES)
		pthread_cond_wait(&q->changed, &q->lock);
	q->files[(q->first + q->waiting++) % FILES] = f;
	q->bytes += len;
	ret = outcome(q);
	if (q->waiting == 1)
		pthread_cond_broadcast(&q->changed);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

void queue_apart(struct image_queue *q)
{
	if (q->running)
		stay_apart(&q->stay, q->thread);
}

int queue_settle(struct image_queue *q)
{
	int ret;

	pthread_mutex_lock(&q->lock);
	while (q->waiting)
		pthread_cond_wait(&q->changed, &q->lock);
	ret = outcome(q);
	pthread_mutex_unlock(&q->lock);
	return ret;
}

void queue_end(struct image_queue *q)
{
	if (!q)
		return;
	if (q->running) {
		pthread_mutex_lock(&q->lock);
		q->end = true;
		pthread_cond_broadcast(&q->changed);
		pthread_mutex_unlock(&q->lock);
		pthread_join(q->thread, NULL);
	}
	q->running = false;
	for (; q->waiting; q->waiting--, q->first = (q->first + 1) % FILES)
		free(q->files[q->first].data);
	pthread_mutex_destroy(&q->lock);
	pthread_cond_destroy(&q->changed);
}
