/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Errands of many threads: what they are to do is written once, and what they answered read once.
 *
 * Two that are away share the mapping that their calls are in, and the way home of one unmaps it:
 * with threads that have to find home by themselves only one can be on its calls at a time. Threads
 * that end with the tracer need no way home, only the code, and there is one for all. Then all are
 * let go before the first is waited for. Whoever waits for the last one sleeps while the others end
 * their errands.
 */
#include <errno.h>

#include "base/err.h"
#include "task/trace_priv.h"

#define SIGBIT(sig) (1ull << ((sig)-1))

static bool may_run(const struct trace_share *s, const struct inject_call *calls)
{
	for (size_t i = 0; i < s->n; i++)
		if (!trace_allowed(s->th, (int64_t)calls[i].nr, calls[i].arg))
			return false;
	return true;
}

/* All on the same code, which ends as each of them can be seen to. */
static bool can_run_together(const struct trace *t, const struct trace_share *shares, size_t n,
			     const struct inject_call *calls)
{
	if (!t->options.exitkill || !t->active || !t->active->away || !t->signal || !t->map_len)
		return false;
	for (size_t i = 0; i < n; calls += shares[i++].n) {
		const struct trace_thread *th = shares[i].th;

		if (th->gone || !th->away || !th->looked || th->sigmask_now & SIGBIT(t->signal) ||
		    !may_run(&shares[i], calls))
			return false;
	}
	return true;
}

static int start(struct trace_thread *th, uint64_t array, size_t n)
{
	struct regs r = th->regs;

	inject_set_batch(&r, th->of->area, &th->of->code, array, n);
	return trace_begin(th, &r);
}

static int finish(struct trace_thread *th)
{
	struct regs r;

	return trace_end(th, &r);
}

/* Whoever has been let go is waited for, whatever has become of the others. */
static int run_together(struct trace *t, const struct trace_share *shares, size_t n)
{
	struct err first = { 0 };
	size_t started = 0, from = 0;
	int ret = 0, one;

	while (started < n && !ret) {
		ret = start(shares[started].th, t->map + from * sizeof(struct inject_call),
			    shares[started].n);
		if (!ret)
			from += shares[started++].n;
	}
	if (ret)
		first = *err_last();
	for (size_t i = started; i > 0; i--) {
		one = finish(shares[i - 1].th);
		if (one && !ret)
			first = *err_last();
		ret = ret ? ret : one;
	}
	if (ret)
		err_set(&first);
	return ret;
}

/* One after the other. Nobody's errands end in two ways: else they are run each for itself. */
static bool can_take_turns(const struct trace_share *shares, size_t n,
			   const struct inject_call *calls)
{
	for (size_t i = 0; i < n; calls += shares[i++].n)
		if (trace_prepare(shares[i].th) || !trace_end_of(shares[i].th) ||
		    !may_run(&shares[i], calls))
			return false;
	return true;
}

static int take_turns(const struct trace_share *shares, size_t n)
{
	int ret = 0;

	for (size_t i = 0, from = 0; i < n && !ret; from += shares[i++].n) {
		ret = trace_depart(shares[i].th);
		if (!ret)
			ret = trace_run_array(shares[i].th, from, shares[i].n);
	}
	return ret;
}

static int run_each(const struct trace_share *shares, size_t n, struct inject_call *calls)
{
	int ret = 0;

	for (size_t i = 0; i < n && !ret; calls += shares[i++].n)
		ret = trace_batch(shares[i].th, calls, shares[i].n);
	return ret;
}

int trace_batch_each(struct trace *t, const struct trace_share *shares, size_t n,
		     struct inject_call *calls)
{
	bool together;
	size_t all = 0;
	int ret = 0;

	for (size_t i = 0; i < n; i++)
		all += shares[i].n;
	if (n > 1 && (!t->active || !t->active->away) && shares[0].th->away)
		ret = trace_depart(shares[0].th);
	together = !ret && n > 1 && can_run_together(t, shares, n, calls);
	if (!ret && !together && (n < 2 || !can_take_turns(shares, n, calls)))
		return run_each(shares, n, calls);
	if (!ret)
		ret = trace_map_room(shares[0].th);
	if (!ret)
		ret = peek_write(&t->mem, t->map, calls, all * sizeof(*calls));
	if (!ret)
		ret = together ? run_together(t, shares, n) : take_turns(shares, n);
	return ret ? ret : peek_read(&t->mem, t->map, calls, all * sizeof(*calls));
}

/* ---- of several processes */

/* Each process's part: the first half, and the second for those that have begun. */
struct part {
	int (*begin)(struct trace_errand *e);
	int (*end)(struct trace_errand *e);
};

static void keep_first(int ret, int *first, struct err *text)
{
	if (!ret || ret == -EPERM || *first)
		return;
	*first = ret;
	*text = *err_last();
}

static int run_all(struct trace_errand *e, size_t n, const struct part *part)
{
	struct err text;
	int first = 0;

	for (size_t i = 0; i < n; i++) {
		e[i].begun = false;
		if (e[i].ret)
			continue;
		e[i].th->of->roams = true;
		e[i].ret = part->begin(&e[i]);
		e[i].th->of->roams = false;
		keep_first(e[i].ret, &first, &text);
	}
	for (size_t i = 0; i < n; i++) {
		if (!e[i].begun)
			continue;
		e[i].ret = part->end(&e[i]);
		keep_first(e[i].ret, &first, &text);
	}
	if (first)
		err_set(&text);
	return first;
}

/* Where errands take two stops a call each is run to its end. */
static int begin_scratch(struct trace_errand *e)
{
	struct trace *t = e->th->of;
	int ret = t->map_len ? 0 : trace_depart(e->th);

	if (ret || t->map_len)
		return ret;
	if (!t->signal)
		return trace_map_room(e->th);
	ret = trace_map_begin(e->th);
	e->begun = !ret;
	return ret;
}

static int end_scratch(struct trace_errand *e)
{
	return trace_map_end(e->th);
}

int trace_scratch_all(struct trace_errand *errands, size_t n)
{
	static const struct part part = { begin_scratch, end_scratch };

	return run_all(errands, n, &part);
}

/* Where the calls and what lies behind them are while they are run. */
static size_t places(const struct trace_errand *e, struct peek_span out[2])
{
	uint64_t map = e->th->of->map;

	out[0] = (struct peek_span){ map, e->n * sizeof(*e->calls) };
	out[1] = (struct peek_span){ map + TRACE_ARRAY_LEN, e->len };
	return e->len ? 2 : 1;
}

/* By two stops a call, or not at all. */
static int run_alone(struct trace_errand *e)
{
	struct trace *t = e->th->of;
	void *behind = e->calls + e->n;
	uint64_t at;
	int ret = trace_scratch(t, &at);

	if (!ret && e->len)
		ret = peek_write(&t->mem, at, behind, e->len);
	if (!ret)
		ret = trace_batch(e->th, e->calls, e->n);
	return ret || !e->len ? ret : peek_read(&t->mem, at, behind, e->len);
}

static int begin_batch(struct trace_errand *e)
{
	const struct trace_share share = { e->th, e->n };
	struct trace *t = e->th->of;
	struct peek_span to[2];
	int ret = e->n ? trace_depart(e->th) : 0;

	if (ret || !e->n)
		return ret;
	if (!t->signal || !t->map_len || !may_run(&share, e->calls))
		return run_alone(e);
	ret = peek_scatter(&t->mem, to, places(e, to), e->calls);
	if (!ret)
		ret = start(e->th, t->map, e->n);
	e->begun = !ret;
	return ret;
}

static int end_batch(struct trace_errand *e)
{
	struct peek_span from[2];
	int ret = finish(e->th);

	return ret ? ret : peek_gather(&e->th->of->mem, from, places(e, from), e->calls);
}

int trace_batch_all(struct trace_errand *errands, size_t n)
{
	static const struct part part = { begin_batch, end_batch };

	return run_all(errands, n, &part);
}
