/* SPDX-License-Identifier: Apache-2.0 */
/* Several processes are asked at the same time, and many threads end: none is seen to be traced. */
#include "lib/deny.h"
#include "lib/tap.h"
#include "lib/victim.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "task/proc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define CALLS 200
#define KILLS 80
#define THREADS 200
#define PATIENCE_MS 20000

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void rests(struct board *b)
{
	b->ready = 1;
	while (!b->stop)
		usleep(1000);
}

static void computes(struct board *b)
{
	pid_t parent = getppid();

	b->ready = 1;
	while (!b->stop) {
		uint64_t x = 1;

		for (int i = 0; i < 5000; i++)
			x = x * 6364136223846793005u + 1442695040888963407u;
		WANT(b, x == 5913207373884461897u);
		WANT(b, syscall(SYS_getppid) == parent);
		atomic_fetch_add(&b->count[0], 1);
	}
}

static void has_threads(struct board *b)
{
	pthread_attr_t attr;
	pthread_t t;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, 64 << 10);
	for (int i = 1; i < THREADS; i++)
		WANT(b, pthread_create(&t, &attr, sleeper, NULL) == 0);
	rests(b);
}

static void handle(int sig)
{
	(void)sig;
}

/* No signal is left for errands to end with. */
static void handles(struct board *b)
{
	const struct sigaction action = { .sa_handler = handle, .sa_flags = SA_RESTART };

	sigaction(SIGURG, &action, NULL);
	sigaction(SIGWINCH, &action, NULL);
	sigaction(SIGCHLD, &action, NULL);
	rests(b);
}

/* getpgid kills. */
static void filtered(struct board *b)
{
	WANT(b, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	WANT(b, deny_call(SYS_getpgid, SECCOMP_RET_KILL_PROCESS));
	rests(b);
}

static bool not_getpgid(void *ctx, const struct trace_thread *th, int64_t nr, const uint64_t *arg)
{
	(void)ctx;
	(void)th;
	(void)arg;
	return nr != SYS_getpgid;
}

/* Victims, each of whom is asked who it and its parent are. */
struct crowd {
	struct victim v[4];
	struct trace *t[4];
	struct trace_errand errands[4];
	struct {
		struct inject_call calls[CALLS];
		char behind[32];
	} asked[4];
	size_t n;
};

static bool begin(struct crowd *c, void (*const *bodies)(struct board *), size_t n)
{
	const struct trace_options options = { .allowed = not_getpgid };

	memset(c, 0, sizeof(*c));
	c->n = n;
	for (size_t i = 0; i < n; i++)
		c->v[i] = victim_start(bodies[i]);
	for (size_t i = 0; i < n; i++) {
		c->t[i] = victim_seize(&c->v[i], &options);
		if (!c->t[i])
			return false;
		c->errands[i] = (struct trace_errand){
			.th = c->t[i]->threads[0],
			.calls = c->asked[i].calls,
			.n = CALLS,
		};
		for (size_t k = 0; k < CALLS; k++)
			c->asked[i].calls[k].nr = k % 2 ? SYS_getppid : SYS_getpid;
	}
	return true;
}

static int wrong_answers(const struct crowd *c, size_t i)
{
	int wrong = 0;

	for (size_t k = 0; k < CALLS; k++)
		wrong += c->asked[i].calls[k].ret != (k % 2 ? getpid() : c->v[i].pid);
	return wrong;
}

static void answers_all(void)
{
	static void (*const bodies[])(struct board *) = { rests, computes, handles, has_threads };
	static struct crowd c;
	uint64_t at;

	if (!begin(&c, bodies, COUNT(bodies)))
		return;
	is_int(trace_scratch_all(c.errands, c.n), 0, "scratch memory: %s", err_last()->text);
	for (size_t i = 0; i < c.n; i++) {
		is_int(trace_scratch(c.t[i], &at), 0, "is there");
		c.asked[i].calls[0] =
			(struct inject_call){ .nr = SYS_prctl, .arg = { PR_GET_NAME, at } };
		c.asked[i].calls[1] =
			(struct inject_call){ .nr = SYS_faccessat,
					      .arg = { (uint64_t)AT_FDCWD, at + 16 } };
		memcpy(c.asked[i].behind + 16, "/dev", sizeof("/dev"));
		c.errands[i].len = sizeof(c.asked[i].behind);
	}
	is_int(trace_batch_all(c.errands, c.n), 0, "asked: %s", err_last()->text);
	for (size_t i = 0; i < c.n; i++) {
		const char *name = c.asked[i].behind;

		is_int(c.errands[i].ret, 0, "answered");
		is_int(c.asked[i].calls[0].ret, 0, "with its name");
		ok(strncmp(name, program_invocation_short_name, 15) == 0, "which is %.15s", name);
		is_int(c.asked[i].calls[1].ret, 0, "and with a path that it was given");
		c.asked[i].calls[0].ret = c.v[i].pid;
		c.asked[i].calls[1].ret = getpid();
		is_int(wrong_answers(&c, i), 0, "all else is right");
	}
	is_int(trace_scratch_all(c.errands, c.n), 0, "again is nothing");
	for (size_t i = 0; i < c.n; i++) {
		is_int(trace_detach(c.t[i]), 0, "let go: %s", err_last()->text);
		victim_end(&c.v[i]);
	}
}

static void leaves_out_who_may_not(void)
{
	static void (*const bodies[])(struct board *) = { rests, filtered, rests };
	static struct crowd c;

	victim_as_nobody();
	if (!begin(&c, bodies, COUNT(bodies)))
		return;
	for (size_t i = 0; i < c.n; i++)
		c.asked[i].calls[7] = (struct inject_call){ .nr = SYS_getpgid };
	c.errands[2].ret = -EPERM;
	is_int(trace_scratch_all(c.errands, c.n), 0, "scratch memory: %s", err_last()->text);
	is_int(trace_batch_all(c.errands, c.n), 0, "asked: %s", err_last()->text);
	is_int(c.errands[0].ret, 0, "one is free to answer");
	is_int(c.asked[0].calls[7].ret, getpgid(c.v[0].pid), "and does");
	c.asked[0].calls[7].ret = getpid();
	is_int(wrong_answers(&c, 0), 0, "all of it");
	is_int(c.errands[1].ret, -EPERM, "one may not");
	is_int(c.asked[1].calls[0].ret, 0, "and was not made to do any of it");
	is_int(c.asked[2].calls[0].ret, 0, "one was left out");
	for (size_t i = 0; i < c.n; i++) {
		is_int(trace_detach(c.t[i]), 0, "let go: %s", err_last()->text);
		victim_end(&c.v[i]);
	}
}

static void tells_who_ended(void)
{
	static void (*const bodies[])(struct board *) = { rests, rests, rests };
	static struct crowd c;
	char who[32];

	if (!begin(&c, bodies, COUNT(bodies)))
		return;
	is_int(trace_scratch_all(c.errands, c.n), 0, "scratch memory: %s", err_last()->text);
	kill(c.v[1].pid, SIGKILL);
	is_int(trace_batch_all(c.errands, c.n), -ESRCH, "one has ended");
	snprintf(who, sizeof(who), " %d:", c.v[1].pid);
	ok(strstr(err_last()->text, who), "it is named: %s", err_last()->text);
	is_int(c.errands[1].ret, -ESRCH, "this one");
	is_int(wrong_answers(&c, 0) + wrong_answers(&c, 2), 0, "the others answered");
	for (size_t i = 0; i < c.n; i++)
		trace_detach(c.t[i]);
	victim_end(&c.v[0]);
	victim_kill(&c.v[1]);
	victim_end(&c.v[2]);
}

/* Until it is killed. */
static void torment(struct crowd *c)
{
	for (;;) {
		auto_arena a = arena_new();

		for (size_t i = 0; i < c->n; i++) {
			if (trace_seize(a, c->v[i].pid, NULL, &c->t[i]))
				_exit(1);
			c->errands[i].th = c->t[i]->threads[0];
		}
		if (trace_scratch_all(c->errands, c->n) || trace_batch_all(c->errands, c->n))
			_exit(2);
		for (size_t i = 0; i < c->n; i++)
			if (trace_detach(c->t[i]))
				_exit(3);
	}
}

static size_t mappings(struct victim *v)
{
	struct proc_vmas all = { 0 };

	proc_maps(v->a, v->pid, &all);
	return all.n;
}

static void killed_at_any_moment(void)
{
	static void (*const bodies[])(struct board *) = { computes, rests, computes };
	static struct crowd c;
	size_t before[COUNT(bodies)];
	int status, early = 0;

	if (!begin(&c, bodies, COUNT(bodies)))
		return;
	for (size_t i = 0; i < c.n; i++) {
		is_int(trace_detach(c.t[i]), 0, "let go");
		before[i] = mappings(&c.v[i]);
	}
	srandom((unsigned)getpid());
	for (int k = 0; k < KILLS; k++) {
		pid_t tracer = fork();

		if (tracer == 0)
			torment(&c);
		usleep((unsigned)(500 + random() % 3000));
		kill(tracer, SIGKILL);
		waitpid(tracer, &status, 0);
		early += !WIFSIGNALED(status);
	}
	is_int(early, 0, "tracers that failed");
	for (size_t i = 0; i < c.n; i++) {
		/* what was left in the middle tidies up by itself */
		for (int k = 0; k < PATIENCE_MS && mappings(&c.v[i]) != before[i]; k++)
			usleep(1000);
		is_int((long long)mappings(&c.v[i]), (long long)before[i], "mappings");
		victim_end(&c.v[i]);
	}
}

static void buries(void)
{
	struct victim v = victim_start(has_threads);
	struct trace *t = victim_seize(&v, NULL);
	size_t unburied = 0;
	int64_t answer;

	if (!t)
		return;
	is_int((long long)t->n, THREADS, "all threads");
	is_int(trace_syscall(t->threads[1], &answer, SYS_gettid), 0, "one is away");
	is_int(trace_bury(t) > 0, 1, "nobody has ended yet");
	trace_kill(t);
	for (int i = 0; i < PATIENCE_MS && trace_bury(t); i++)
		usleep(1000);
	for (size_t i = 0; i < t->n; i++)
		unburied += !t->threads[i]->reaped;
	is_int((long long)unburied, 0, "all are waited for");
	is_int(waitpid(v.pid, NULL, WNOHANG), -1, "the process, too");
	ok(kill(v.pid, 0) < 0 && errno == ESRCH, "nothing is left of it");
	arena_free(v.a);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(answers_all),     TAP(leaves_out_who_may_not),
		TAP(tells_who_ended), TAP(killed_at_any_moment),
		TAP(buries),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
