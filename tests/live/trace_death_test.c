/* SPDX-License-Identifier: Apache-2.0 */
/* The tracer is killed at any moment: the process goes on, and nothing of the tracer stays. */
#include "lib/tap.h"
#include "lib/victim.h"

#include <errno.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "task/proc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define KILLS 250
#define PATIENCE_LOOKS 500 /* one each 20 ms */

/* All registers and the flags in use; the result is known. */
static uint64_t churn(uint64_t seed, double *out_sum)
{
	uint64_t a = seed, b = ~seed, c = seed + 7, d = seed * 3, e = 1, f = 2;
	double x = 1, y = 3;

	for (long i = 0; i < 4000; i++) {
		a = (a << 13 | a >> 51) + b;
		b = (b << 17 | b >> 47) ^ c;
		c = c * 6364136223846793005u + d;
		d = d + e > d ? d + e : d - f;
		e ^= f + (uint64_t)i;
		f += a ^ c;
		x += (double)(a >> 40) * 1e-6;
		y = y * 0.999 + x;
	}
	*out_sum = x + y;
	return a ^ b ^ c ^ d ^ e ^ f;
}

static void *computes(void *arg)
{
	struct board *b = arg;
	double want_sum, sum;
	uint64_t want = churn(11, &want_sum);

	while (!b->stop) {
		WANT(b, churn(11, &sum) == want && memcmp(&sum, &want_sum, sizeof(sum)) == 0);
		atomic_fetch_add(&b->count[0], 1);
	}
	return NULL;
}

static void *calls(void *arg)
{
	struct board *b = arg;
	pid_t tid = (pid_t)syscall(SYS_gettid);

	atomic_fetch_add(&b->count[3], 1);
	while (!b->stop) {
		WANT(b, syscall(SYS_gettid) == tid);
		WANT(b, close(-1) == -1 && errno == EBADF);
		atomic_fetch_add(&b->count[1], 1);
	}
	return NULL;
}

static void *naps(void *arg)
{
	struct board *b = arg;
	const struct timespec t = { 0, 3000000 };

	atomic_fetch_add(&b->count[3], 1);
	while (!b->stop) {
		int64_t began = victim_now_ms();

		WANT(b, nanosleep(&t, NULL) == 0);
		WANT(b, victim_now_ms() - began >= 2);
	}
	return NULL;
}

static void *waits(void *arg)
{
	struct board *b = arg;
	struct pollfd p = { b->fd[0], POLLIN, 0 };
	char byte;

	atomic_fetch_add(&b->count[3], 1);
	WANT(b, poll(&p, 1, -1) == 1);
	WANT(b, read(b->fd[0], &byte, 1) == 1);
	return NULL;
}

static struct board *ticking;

static void tick(int sig)
{
	(void)sig;
	atomic_fetch_add(&ticking->count[2], 1);
}

static void lives(struct board *b)
{
	static void *(*const bodies[])(void *) = { computes, calls, naps, waits };
	struct itimerval often = { { 0, 2000 }, { 0, 2000 } };
	struct sigaction action = { .sa_handler = tick, .sa_flags = SA_RESTART };
	pthread_t t[COUNT(bodies)];
	sigset_t alarm;

	ticking = b;
	sigaction(SIGALRM, &action, NULL);
	sigemptyset(&alarm);
	sigaddset(&alarm, SIGALRM);
	if (pipe(b->fd) < 0)
		abort();
	/* only the thread that computes is interrupted by the timer */
	sigprocmask(SIG_BLOCK, &alarm, NULL);
	for (size_t i = 1; i < COUNT(bodies); i++)
		pthread_create(&t[i], NULL, bodies[i], b);
	setitimer(ITIMER_REAL, &often, NULL);
	sigprocmask(SIG_UNBLOCK, &alarm, NULL);
	while (b->count[3] < (long)COUNT(bodies) - 1)
		usleep(1000);
	b->ready = 1;
	computes(b);
	WANT(b, write(b->fd[1], "x", 1) == 1);
	for (size_t i = 1; i < COUNT(bodies); i++)
		pthread_join(t[i], NULL);
}

/* Until it is killed: stop, errands of all kinds, let go. */
static void torment(struct victim *v)
{
	struct inject_call calls_v[64];

	for (;;) {
		auto_arena a = arena_new();
		struct trace *t, *shadow;
		uint64_t at;
		int64_t answer;
		pid_t pid;

		if (trace_seize(a, v->pid, NULL, &t))
			_exit(1);
		memset(calls_v, 0, sizeof(calls_v));
		for (size_t i = 0; i < COUNT(calls_v); i++)
			calls_v[i].nr = SYS_getppid;
		for (size_t i = 0; i < t->n; i++)
			if (trace_syscall(t->threads[i], &answer, SYS_getppid) ||
			    trace_batch(t->threads[i], calls_v, i % 2 ? 5 : 64))
				_exit(2);
		if (trace_shadow(t->threads[0], &shadow, &pid) ||
		    trace_batch(shadow->threads[0], calls_v, 5) ||
		    trace_shadow_end(t->threads[0], shadow, pid))
			_exit(4);
		if (trace_scratch(t, &at) || trace_detach(t))
			_exit(3);
	}
}

/* What a thread has that tracing changes, by thread; counts of signals that come and go left
 * out. */
static char *state(struct victim *v)
{
	const size_t size = 1 << 16;
	char *out = arena_alloc(v->a, size);
	struct proc_vmas all = { 0 };
	pid_t *tids;
	size_t n = 0, len = 0;

	proc_tasks(v->a, v->pid, &tids, &n);
	for (size_t i = 0; i < n; i++) {
		struct proc_status st = { .name = "" };
		uint64_t cpus[16] = { 0 };

		proc_status_of(v->pid, tids[i], NULL, &st);
		syscall(SYS_sched_getaffinity, tids[i], sizeof(cpus), cpus);
		len += (size_t)snprintf(out + len, size - len,
					"%d blocked %llx ignored %llx caught %llx "
					"cpus %llx\n",
					tids[i], (unsigned long long)st.sig_blocked,
					(unsigned long long)st.sig_ignored,
					(unsigned long long)st.sig_caught,
					(unsigned long long)cpus[0]);
	}
	proc_maps(v->a, v->pid, &all);
	for (size_t i = 0; i < all.n; i++)
		len += (size_t)snprintf(out + len, size - len, "%llx-%llx %d %s\n",
					(unsigned long long)all.v[i].start,
					(unsigned long long)all.v[i].end, all.v[i].prot,
					all.v[i].name);
	return out;
}

static pid_t start_tracer(struct victim *v)
{
	pid_t tracer;

	fflush(stdout);
	tracer = fork();
	if (tracer == 0)
		torment(v);
	return tracer;
}

static bool same_marks(const char *before, const char *after)
{
	return strncmp(before, after, strcspn(before, "-") - 16) == 0;
}

static size_t mappings(const char *text)
{
	size_t n = 0;

	for (; (text = strchr(text, '-')); text++)
		n++;
	return n;
}

/* Shadows whose tracer died: the victim does not wait for them. */
static int running_children(struct victim *v)
{
	struct proc_stat st;
	pid_t *children;
	size_t n = 0;
	int running = 0;

	proc_children(v->a, v->pid, &children, &n);
	for (size_t i = 0; i < n; i++)
		running += proc_stat(children[i], &st) == 0 && st.state != 'Z' && st.state != 'X';
	return running;
}

static void killed_at_any_moment(void)
{
	struct victim v = victim_start(lives);
	const char *before, *after;
	long count[3] = { 0 };
	int status, early = 0;

	before = state(&v);
	srandom((unsigned)getpid());
	for (int i = 0; i < KILLS; i++) {
		pid_t tracer = start_tracer(&v);

		usleep((unsigned)(1500 + random() % 4000));
		kill(tracer, SIGKILL);
		waitpid(tracer, &status, 0);
		early += !WIFSIGNALED(status);
		if (!ok(waitpid(v.pid, &status, WNOHANG) == 0 && !v.board->wrong,
			"alive and well after %d deaths", i + 1))
			break;
	}
	is_int(early, 0, "tracers that failed");
	for (int k = 0; k < 3; k++)
		count[k] = v.board->count[k];
	for (int k = 0; k < 3; k++)
		victim_counts(&v, k, count[k]);
	/* what was left in the middle tidies up by itself */
	after = state(&v);
	for (int i = 0; i < PATIENCE_LOOKS &&
			(!same_marks(before, after) || mappings(before) != mappings(after) ||
			 running_children(&v) > 0);
	     i++) {
		usleep(20000);
		after = state(&v);
	}
	ok(same_marks(before, after), "masks, dispositions, processors: %s", after);
	is_int((long long)mappings(after), (long long)mappings(before), "mappings");
	is_int(running_children(&v), 0, "shadows");
	victim_end(&v);
}

static void nobody_killed_at_any_moment(void)
{
	victim_as_nobody();
	killed_at_any_moment();
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(killed_at_any_moment),
		TAP(nobody_killed_at_any_moment),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
