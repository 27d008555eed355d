/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PTRACE_SEIZE waits while a thread of the process is in execve(2), and execve waits until the
 * other threads are gone: those that are traced already only when their tracer has waited for them,
 * which it cannot while it is in PTRACE_SEIZE. So a second thread of the tracer does.
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/trace_priv.h"

#define LOOK_NS 2000000

struct trace_guard {
	struct trace *of;
	pthread_t thread;
	pthread_mutex_t seizing; /* locked but for the time of PTRACE_SEIZE */
	sem_t end;
};

static bool ended(struct trace_guard *g)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	t.tv_nsec += LOOK_NS;
	t.tv_sec += t.tv_nsec / 1000000000;
	t.tv_nsec %= 1000000000;
	return sem_timedwait(&g->end, &t) == 0;
}

static void *watch(void *arg)
{
	struct trace_guard *g = arg;

	while (!ended(g)) {
		if (pthread_mutex_trylock(&g->seizing))
			continue;
		trace_collect_dead(g->of);
		pthread_mutex_unlock(&g->seizing);
	}
	return NULL;
}

int trace_guard_start(struct trace *t)
{
	struct trace_guard *g = arena_alloc(t->arena, sizeof(*g));
	sigset_t all, mask;
	int err;

	g->of = t;
	pthread_mutex_init(&g->seizing, NULL);
	pthread_mutex_lock(&g->seizing);
	sem_init(&g->end, 0, 0);
	/* signals of the program are for its own threads */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &mask);
	err = pthread_create(&g->thread, NULL, watch, g);
	pthread_sigmask(SIG_SETMASK, &mask, NULL);
	if (err)
		return fail(err, "start a thread to watch over process %d: %s", t->pid,
			    err_reason(err));
	t->guard = g;
	return 0;
}

void trace_guard_seizing(struct trace *t, bool begins)
{
	if (!t->guard)
		return;
	if (begins)
		pthread_mutex_unlock(&t->guard->seizing);
	else
		pthread_mutex_lock(&t->guard->seizing);
}

void trace_guard_end(struct trace *t)
{
	struct trace_guard *g = t->guard;

	if (!g)
		return;
	sem_post(&g->end);
	pthread_join(g->thread, NULL);
	pthread_mutex_unlock(&g->seizing);
	pthread_mutex_destroy(&g->seizing);
	sem_destroy(&g->end);
	t->guard = NULL;
}
