/* SPDX-License-Identifier: Apache-2.0 */
/* Dump: those who were stopped go on, or end. */
#include <errno.h>
#include <poll.h>
#include <signal.h>

#include "base/err.h"
#include "base/sys.h"
#include "ckpt/domain.h"
#include "ckpt/engine.h"
#include "ckpt/guard.h"
#include "task/trace.h"

#define PATIENCE_US 10000000
#define ALONE 16 /* processes that one thread waits for, threads that one processor ends */

int tree_release(struct ckpt *c)
{
	struct err first = *err_last();
	int ret = domain_end(c), one;

	for (size_t i = 0; i < c->n_procs && c->guard > 0; i++)
		if (c->procs[i]->trace && trace_tidy(c->procs[i]->trace))
			ret = -err_last()->code;
	pause_again(c);
	for (size_t i = c->n_procs; i > 0; i--) {
		if (!c->procs[i - 1]->trace)
			continue;
		one = trace_detach(c->procs[i - 1]->trace);
		c->procs[i - 1]->trace = NULL;
		if (one)
			ret = one;
	}
	one = pause_settle(c);
	ret = ret ? ret : one;
	one = guard_go_on(c);
	ret = ret ? ret : one;
	if (first.code)
		err_set(&first);
	return ret;
}

/* Those from `from` to before `to`. */
struct burial {
	struct ckpt *c;
	size_t from, to, left; /* left: threads that have not ended yet */
};

/* A tracer is told of a thread's end before anybody else is: its parent waits for us to listen. And
 * the first process of a pid namespace is the last of it. */
static void *bury(void *arg)
{
	struct burial *b = arg;

	b->left = 0;
	for (size_t i = b->to; i-- > b->from;)
		if (b->c->procs[i]->trace)
			b->left += trace_bury(b->c->procs[i]->trace);
	return NULL;
}

/* Whoever waits clears away what /proc had of a process: where they are many, two do. */
static size_t bury_all(struct ckpt *c)
{
	size_t half = c->n_procs > ALONE && stay_processors(&c->stay) > 1 ? c->n_procs / 2 : 0;
	struct burial first = { .c = c, .to = half ? half : c->n_procs };
	struct burial others = { .c = c, .from = half, .to = c->n_procs };
	pthread_t helper;
	bool helped = half && stay_helper(&c->stay, &helper, bury, &others) == 0;

	if (half && !helped)
		bury(&others);
	bury(&first);
	if (helped)
		pthread_join(helper, NULL);
	return first.left + others.left;
}

/* All were on one processor for their errands, where the kernel would end them one after the
 * other. */
static void spread(struct ckpt *c)
{
	const struct ckpt_proc *p;

	for (size_t i = 0; i < c->n_procs && stay_processors(&c->stay) > 1; i++) {
		p = c->procs[i];
		for (size_t t = 0; p->n_threads > ALONE && t < p->n_threads; t++)
			stay_send(&c->stay, p->threads[t]->host, t);
	}
}

int tree_kill(struct ckpt *c)
{
	struct pollfd p = { .fd = c->subject->pidfd, .events = POLLIN };
	uint64_t deadline = ckpt_now() + PATIENCE_US;

	spread(c);
	/* the end of the init of a pid namespace is the end of all in it */
	if (sys_pidfd_send_signal(c->subject->pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
		return fail_errno("end the container");
	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->trace)
			trace_kill(c->procs[i]->trace);
	pause_forget(c);
	while (bury_all(c) > 0 || poll(&p, 1, 0) == 0) {
		if (ckpt_now() > deadline)
			return fail(EBUSY, "process %d was killed and does not end",
				    c->subject->init);
		poll(&p, 1, 1);
	}
	return 0;
}
