/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/image_pump.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/stay.h"

#define BUFFERS 4
#define ALONE (8u << 20)    /* bytes that are written before a thread is worth its start */
#define STRIDE (1u << 20)   /* bytes that room is got for in one call */
#define AHEAD (64u << 20)   /* room got: a head start, as the two steps cost more than the one */
#define ON_DISK (16u << 20) /* bytes after which the disk is asked to begin */

struct job {
	int fd;
	struct iovec parts[IMAGE_PARTS];
	size_t n;
};

/* Room for a file that is to be large. */
struct room {
	int fd;           /* -1: none */
	uint64_t at, end; /* what is still to be got */
	uint64_t written;
	bool busy; /* the thread is at it */
};

struct image_pump {
	uint8_t *buffers;
	struct job jobs[BUFFERS]; /* job i is of buffer i */
	size_t next;              /* the buffer that is filled */
	uint64_t handed, unsynced;
	pthread_t thread;
	bool running;
	struct stay stay; /* not where the first thread is when it comes to start the second */
	/* of both threads, under the lock */
	pthread_mutex_t lock;
	pthread_cond_t changed;
	size_t first, waiting; /* jobs that wait */
	struct room room;
	bool end;
	int error;
};

struct image_pump *pump_new(struct arena *a)
{
	struct image_pump *p = arena_alloc(a, sizeof(*p));
	void *at = mmap(NULL, (size_t)BUFFERS * IMAGE_ROOM, PROT_READ | PROT_WRITE,
			MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		fail_errno("map buffers for the image");
		return NULL;
	}
	p->buffers = at;
	p->room.fd = -1;
	stay_look(&p->stay);
	pthread_mutex_init(&p->lock, NULL);
	pthread_cond_init(&p->changed, NULL);
	return p;
}

/* Returns 0 or -errno. */
static int write_job(struct image_pump *p, struct job *j)
{
	struct iovec *v = j->parts;
	size_t left = j->n, done;
	ssize_t n;

	while (left) {
		n = writev(j->fd, v, left < IOV_MAX ? (int)left : IOV_MAX);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		p->unsynced += (uint64_t)n;
		for (done = (size_t)n; left && done >= v->iov_len; v++, left--)
			done -= v->iov_len;
		if (left) {
			v->iov_base = (char *)v->iov_base + done;
			v->iov_len -= done;
		}
	}
	if (p->unsynced >= ON_DISK) {
		sync_file_range(j->fd, 0, 0, SYNC_FILE_RANGE_WRITE);
		p->unsynced = 0;
	}
	return 0;
}

static bool wants_room(const struct room *r)
{
	return r->fd >= 0 && r->at < r->end;
}

/* Under the lock, which is let go meanwhile. */
static void make_room(struct image_pump *p)
{
	struct room *r = &p->room;
	uint64_t len = r->end - r->at < STRIDE ? r->end - r->at : STRIDE;
	int ret;

	r->busy = true;
	pthread_mutex_unlock(&p->lock);
	ret = fallocate(r->fd, FALLOC_FL_KEEP_SIZE, (off_t)r->at, (off_t)len);
	pthread_mutex_lock(&p->lock);
	r->busy = false;
	r->at = ret ? r->end : r->at + len;
	pthread_cond_broadcast(&p->changed);
}

static uint64_t job_len(const struct job *j)
{
	uint64_t len = 0;

	for (size_t i = 0; i < j->n; i++)
		len += j->parts[i].iov_len;
	return len;
}

static void count_written(struct room *r, int fd, uint64_t len)
{
	if (r->fd != fd)
		return;
	r->written += len;
	if (r->at < r->written)
		r->at = r->written;
}

static void *work(void *arg)
{
	struct image_pump *p = arg;
	struct job *j;
	uint64_t len;
	int ret;

	pthread_mutex_lock(&p->lock);
	while (!p->end) {
		if (!p->waiting && wants_room(&p->room)) {
			make_room(p);
			continue;
		}
		if (!p->waiting) {
			pthread_cond_wait(&p->changed, &p->lock);
			continue;
		}
		j = &p->jobs[p->first];
		ret = p->error;
		len = job_len(j); /* writing changes the parts */
		pthread_mutex_unlock(&p->lock);
		if (!ret)
			ret = write_job(p, j);
		pthread_mutex_lock(&p->lock);
		p->error = ret;
		count_written(&p->room, j->fd, len);
		p->first = (p->first + 1) % BUFFERS;
		p->waiting--;
		pthread_cond_broadcast(&p->changed);
	}
	pthread_mutex_unlock(&p->lock);
	return NULL;
}

/* Without a second thread the first does it all. */
static void start(struct image_pump *p)
{
	p->running = stay_helper(&p->stay, &p->thread, work, p) == 0;
}

void pump_apart(struct image_pump *p)
{
	if (p && p->running)
		stay_apart(&p->stay, p->thread);
}

uint8_t *pump_room(struct image_pump *p)
{
	if (p->running) {
		pthread_mutex_lock(&p->lock);
		while (p->waiting == BUFFERS)
			pthread_cond_wait(&p->changed, &p->lock);
		pthread_mutex_unlock(&p->lock);
	}
	return p->buffers + p->next * IMAGE_ROOM;
}

int pump_hand(struct image_pump *p, int fd, const struct iovec *parts, size_t n)
{
	struct job *j = &p->jobs[p->next];
	int ret;

	j->fd = fd;
	j->n = n;
	memcpy(j->parts, parts, n * sizeof(*parts));
	p->handed += job_len(j);
	if (!p->running && p->handed > ALONE)
		start(p);
	if (!p->running) {
		if (!p->error)
			p->error = write_job(p, j);
		return p->error;
	}
	p->next = (p->next + 1) % BUFFERS;
	pthread_mutex_lock(&p->lock);
	p->waiting++;
	ret = p->error;
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
	return ret;
}

int pump_settle(struct image_pump *p)
{
	int ret;

	pthread_mutex_lock(&p->lock);
	while (p->waiting)
		pthread_cond_wait(&p->changed, &p->lock);
	ret = p->error;
	pthread_mutex_unlock(&p->lock);
	return ret;
}

void pump_expect(struct image_pump *p, int fd, uint64_t len)
{
	if (len <= ALONE)
		return;
	if (!p->running)
		start(p);
	pthread_mutex_lock(&p->lock);
	p->room = (struct room){ .fd = fd, .end = len < AHEAD ? len : AHEAD };
	pthread_cond_broadcast(&p->changed);
	pthread_mutex_unlock(&p->lock);
}

int pump_forget(struct image_pump *p)
{
	struct stat st;
	int fd;

	pthread_mutex_lock(&p->lock);
	fd = p->room.fd;
	p->room.end = 0;
	while (p->room.busy)
		pthread_cond_wait(&p->changed, &p->lock);
	p->room.fd = -1;
	pthread_mutex_unlock(&p->lock);
	if (fd >= 0 && (fstat(fd, &st) < 0 || ftruncate(fd, st.st_size) < 0))
		return -errno;
	return 0;
}

void pump_end(struct image_pump *p)
{
	if (!p || !p->buffers)
		return;
	if (p->running) {
		pthread_mutex_lock(&p->lock);
		p->end = true;
		pthread_cond_broadcast(&p->changed);
		pthread_mutex_unlock(&p->lock);
		pthread_join(p->thread, NULL);
	}
	pthread_mutex_destroy(&p->lock);
	pthread_cond_destroy(&p->changed);
	munmap(p->buffers, (size_t)BUFFERS * IMAGE_ROOM);
	p->buffers = NULL;
}
