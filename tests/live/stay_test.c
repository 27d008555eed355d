/* SPDX-License-Identifier: Apache-2.0 */
/* A thread on one processor, and the threads that it starts meanwhile. */
#include <sched.h>
#include <signal.h>

#include "lib/tap.h"
#include "task/stay.h"

static cpu_set_t may_run(void)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	is_int(sched_getaffinity(0, sizeof(set), &set), 0, "the processors are told");
	return set;
}

struct seen {
	cpu_set_t set;
	sigset_t mask;
};

static void *look(void *arg)
{
	struct seen *seen = arg;

	seen->set = may_run();
	pthread_sigmask(SIG_BLOCK, NULL, &seen->mask);
	return NULL;
}

static struct seen seen_by_helper(struct stay *s)
{
	struct seen seen = { 0 };
	pthread_t thread;

	if (is_int(stay_helper(s, &thread, look, &seen), 0, "a helper is started"))
		pthread_join(thread, NULL);
	return seen;
}

static void stays(void)
{
	struct stay s = { 0 };
	cpu_set_t before = may_run(), now;

	stay_begin(&s);
	stay_begin(&s);
	now = may_run();
	is_int(CPU_COUNT(&now), 1, "it stays on one processor");
	ok(CPU_ISSET((unsigned)sched_getcpu(), &now), "on which it is");
	is_int((long long)stay_processors(&s), CPU_COUNT(&before), "the others are not forgotten");
	stay_end(&s);
	stay_end(&s);
	now = may_run();
	ok(CPU_EQUAL(&now, &before), "it may roam again");
}

static void stays_within(void)
{
	cpu_set_t one, now;
	struct stay s = { 0 };

	CPU_ZERO(&one);
	CPU_SET((unsigned)sched_getcpu(), &one);
	is_int(sched_setaffinity(0, sizeof(one), &one), 0, "only one processor is ours");
	stay_begin(&s);
	is_int((long long)stay_processors(&s), 1, "no other is counted");
	stay_end(&s);
	now = may_run();
	ok(CPU_EQUAL(&now, &one), "and none is taken");
}

static void helpers_roam(void)
{
	struct stay s = { 0 }, noted = { 0 };
	cpu_set_t before = may_run();
	struct seen seen;

	if (CPU_COUNT(&before) < 2)
		tap_skip("this machine has one processor only");
	stay_look(&noted);
	stay_begin(&s);
	seen = seen_by_helper(&s);
	ok(CPU_EQUAL(&seen.set, &before), "a helper has all processors");
	ok(sigismember(&seen.mask, SIGTERM) == 1, "and takes no signals");
	seen = seen_by_helper(&noted);
	ok(CPU_EQUAL(&seen.set, &before), "as one of another's, who looked before");
	pthread_sigmask(SIG_BLOCK, NULL, &seen.mask);
	ok(sigismember(&seen.mask, SIGTERM) == 0, "who starts it takes them as ever");
	stay_end(&s);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(stays),
		TAP(stays_within),
		TAP(helpers_roam),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
