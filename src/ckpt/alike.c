/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/alike.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/kind.h"
#include "ckpt/shared.h"
#include "task/stay.h"

#define MANY 32   /* threads of a process that are worth it while it runs */
#define SOME 4    /* of all processes that are worth a helper in the pause */
#define AT_ONCE 8 /* taken by one of us */
#define TEXT_ROOM 16384

/* A process with many threads, and what its first one has. */
struct group {
	const struct ckpt_proc *p;
	const char *rights;
	/* held: then the kernel has no object to make for each thread that has the same */
	int ns[SHARED_NS];
	struct stat of[SHARED_NS];
	atomic_size_t next;
	atomic_bool other_rights, other_spaces;
};

struct alike {
	struct group *v;
	size_t n;
	size_t n_threads, least; /* least: threads of a process that is among them */
	pthread_t helper;
	bool helped, done;
	bool postponed; /* to the pause */
};

static void look_at_rights(struct group *g, pid_t tid)
{
	char text[TEXT_ROOM];
	int ret = proc_rights(g->p->host, tid, text, sizeof(text));

	/* -ESRCH: it has ended */
	if (ret < 0 ? ret != -ESRCH : strcmp(text, g->rights) != 0)
		atomic_store(&g->other_rights, true);
}

static void look_at_spaces(struct group *g, pid_t tid)
{
	auto_fd pidfd = (int)sys_pidfd_open(tid, PIDFD_OF_THREAD);
	struct stat st;

	for (size_t i = 0; i < SHARED_NS; i++) {
		auto_fd ns = shared_ns(pidfd, i);

		if (ns < 0 || fstat(ns, &st) < 0 || st.st_ino != g->of[i].st_ino ||
		    st.st_dev != g->of[i].st_dev)
			atomic_store(&g->other_spaces, true);
	}
	if (shared_differs(g->p->host, tid))
		atomic_store(&g->other_spaces, true);
}

static void look_at_group(struct group *g)
{
	const struct ckpt_proc *p = g->p;
	size_t from, to;

	while ((from = atomic_fetch_add(&g->next, AT_ONCE)) < p->n_threads) {
		to = from + AT_ONCE < p->n_threads ? from + AT_ONCE : p->n_threads;
		for (size_t i = from; i < to; i++) {
			if (!atomic_load(&g->other_rights))
				look_at_rights(g, p->threads[i]->host);
			if (!atomic_load(&g->other_spaces))
				look_at_spaces(g, p->threads[i]->host);
		}
	}
}

static void *look(void *arg)
{
	struct alike *a = arg;

	for (size_t i = 0; i < a->n; i++)
		look_at_group(&a->v[i]);
	return NULL;
}

/* What the first thread has. A process whose rights are a longer text than that is looked at thread
 * by thread. */
static bool begin_group(struct ckpt *c, const struct ckpt_proc *p, struct group *g)
{
	auto_fd pidfd = (int)sys_pidfd_open(p->host, 0);
	char text[TEXT_ROOM];

	if (proc_rights(p->host, p->host, text, sizeof(text)) < 0)
		return false;
	g->p = p;
	g->rights = arena_strdup(c->arena, text);
	g->next = 1;
	for (size_t i = 0; i < SHARED_NS; i++) {
		g->ns[i] = shared_ns(pidfd, i);
		if (g->ns[i] < 0 || fstat(g->ns[i], &g->of[i]) < 0)
			g->other_spaces = true;
	}
	return true;
}

void alike_begin(struct ckpt *c, bool frozen)
{
	struct alike *a = arena_alloc(c->arena, sizeof(*a));

	c->alike = a;
	a->least = frozen ? 2 : MANY;
	a->postponed = c->saves && !frozen && !c->again;
	if (a->postponed)
		return;
	a->v = arena_array(c->arena, c->n_procs + 1, sizeof(*a->v));
	for (size_t i = 0; i < c->n_procs; i++) {
		if (c->procs[i]->zombie || c->procs[i]->n_threads < a->least)
			continue;
		a->n_threads += c->procs[i]->n_threads;
		a->n += begin_group(c, c->procs[i], &a->v[a->n]);
	}
	if (a->n_threads >= SOME && stay_processors(&c->stay) > 1)
		a->helped = stay_helper(&c->stay, &a->helper, look, a) == 0;
}

/* What is left is looked at by whoever wants to know. */
static const struct group *find_out(struct ckpt *c, const struct ckpt_proc *p)
{
	struct alike *a = c->alike;

	if (p->n_threads < a->least)
		return NULL;
	if (!a->done)
		look(a);
	if (a->helped)
		pthread_join(a->helper, NULL);
	a->helped = false;
	a->done = true;
	for (size_t i = 0; i < a->n; i++)
		if (a->v[i].p == p)
			return &a->v[i];
	return NULL;
}

static bool is_postponed(const struct ckpt *c, const struct ckpt_proc *p)
{
	return c->alike->postponed && p->n_threads >= MANY;
}

bool alike_rights(struct ckpt *c, const struct ckpt_proc *p)
{
	const struct group *g = find_out(c, p);

	return is_postponed(c, p) || (g && !g->other_rights);
}

bool alike_spaces(struct ckpt *c, const struct ckpt_proc *p)
{
	const struct group *g = find_out(c, p);

	return is_postponed(c, p) || (g && !g->other_spaces);
}

void alike_end(struct ckpt *c)
{
	struct alike *a = c->alike;

	if (a->helped)
		pthread_join(a->helper, NULL);
	for (size_t i = 0; i < a->n; i++)
		for (size_t k = 0; k < SHARED_NS; k++)
			fd_close(a->v[i].ns[k]);
	c->alike = NULL;
}
