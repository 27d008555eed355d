/* SPDX-License-Identifier: Apache-2.0 */
/* A process is stopped, made to run errands and let go: nothing about it has changed. */
#include "lib/tap.h"
#include "lib/victim.h"

#include <errno.h>
#include <linux/rseq.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/sys.h"
#include "task/proc.h"
#include "task/trace_priv.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void *sleeper(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static void sleeps(struct board *b)
{
	pthread_t t;

	for (int i = 0; i < 3; i++)
		pthread_create(&t, NULL, sleeper, NULL);
	b->ready = 1;
	while (!b->stop)
		usleep(1000);
}

static void rests(struct board *b)
{
	b->ready = 1;
	sleeper(NULL);
}

/* All of the registers are in use, and what they compute is known. */
static uint64_t churn(uint64_t seed, long rounds, double *out_sum)
{
	uint64_t a = seed, b = seed ^ 1, c = seed ^ 2, d = seed ^ 3, e = seed ^ 4, f = seed ^ 5;
	double x = 1, y = 2, z = 3;

	for (long i = 0; i < rounds; i++) {
		a = (a << 13 | a >> 51) + b;
		b = (b << 17 | b >> 47) ^ c;
		c = c * 6364136223846793005u + d;
		d = (d >> 7) + (d << 57) + e;
		e ^= f + (uint64_t)i;
		f += a ^ c;
		x = x * 1.0000001 + (double)(a & 1);
		y = y * 0.9999999 + x;
		z += x - y;
	}
	*out_sum = x + y + z;
	return a ^ b ^ c ^ d ^ e ^ f;
}

static void computes(struct board *b)
{
	const long rounds = 20000;
	double want_sum, sum;
	uint64_t want = churn(42, rounds, &want_sum);

	b->ready = 1;
	while (!b->stop) {
		WANT(b, churn(42, rounds, &sum) == want);
		WANT(b, memcmp(&sum, &want_sum, sizeof(sum)) == 0);
		atomic_fetch_add(&b->count[0], 1);
	}
}

static int64_t call0(struct trace_thread *th, long nr)
{
	int64_t answer = -1;

	is_int(trace_syscall(th, &answer, nr), 0, "call %ld: %s", nr, err_last()->text);
	return answer;
}

/* Those that have to find home by themselves take turns. */
static void answers_each(struct trace *t)
{
	struct inject_call calls[4] = { { .nr = SYS_gettid },
					{ .nr = SYS_gettid },
					{ .nr = SYS_gettid },
					{ .nr = SYS_gettid } };
	const struct trace_share shares[] = { { t->threads[0], 1 },
					      { t->threads[1], 1 },
					      { t->threads[2], 1 },
					      { t->threads[3], 1 } };

	is_int(trace_batch_each(t, shares, COUNT(shares), calls), 0, "a batch for each: %s",
	       err_last()->text);
	for (size_t i = 0; i < COUNT(calls); i++)
		is_int(calls[i].ret, t->threads[i]->tid, "answered by it");
}

static void answers(void)
{
	struct victim v = victim_start(sleeps);
	struct trace *t = victim_seize(&v, NULL);
	struct inject_call calls[3] = { { .nr = SYS_getpid },
					{ .nr = SYS_close, .arg = { 999 } },
					{ .nr = SYS_lseek, .arg = { 0, 1, 2 } } };
	uint64_t at;
	char text[32] = "";

	if (!t)
		return;
	is_int(t->n, 4, "all threads");
	for (size_t i = 0; i < t->n; i++) {
		is_int(call0(t->threads[i], SYS_gettid), t->threads[i]->tid, "each answers itself");
		is_int(call0(t->threads[i], SYS_getppid), getpid(), "and knows its parent");
	}
	is_int(call0(t->threads[1], 9999), -ENOSYS, "a call that is not there");
	answers_each(t);
	is_int(trace_batch(t->threads[2], calls, COUNT(calls)), 0, "a batch: %s", err_last()->text);
	is_int(calls[0].ret, v.pid, "its first answer");
	is_int(calls[1].ret, -EBADF, "its second");
	is_int(trace_scratch(t, &at), 0, "scratch");
	is_int(trace_syscall(t->threads[0], &calls[0].ret, SYS_prctl, PR_GET_NAME, at), 0, "prctl");
	is_int(calls[0].ret, 0, "answers");
	is_int(peek_read(&t->mem, at, text, 16), 0, "and what it wrote can be read");
	ok(strncmp(text, program_invocation_short_name, 15) == 0, "the name is %s", text);
	is_int(trace_detach(t), 0, "let go");
	is_int(trace_detach(t), 0, "and again");
	victim_end(&v);
}

/* Thousands of calls, and the thread is where it was: registers, mask, memory, mappings. */
static void leaves_no_trace(void)
{
	static struct inject_call calls[1300];
	struct victim v = victim_start(sleeps);
	struct regs before, after;
	const char *portrait;
	struct trace *t;
	uint64_t memory;

	victim_kill(&v);
	v = victim_start(rests);
	victim_settle(&v);
	portrait = victim_portrait(&v);
	memory = victim_memory(&v);
	t = victim_seize(&v, NULL);
	if (!t)
		return;
	is_int(regs_get(v.pid, &before), 0, "registers");
	for (int i = 0; i < 2000; i++)
		call0(t->threads[0], SYS_getppid);
	for (size_t i = 0; i < COUNT(calls); i++)
		calls[i].nr = i % 2 ? SYS_getpid : SYS_getppid;
	for (int i = 0; i < 20; i++)
		is_int(trace_batch(t->threads[0], calls, COUNT(calls)), 0, "batch %d", i);
	for (size_t i = 0; i < COUNT(calls); i++)
		is_int(calls[i].ret, i % 2 ? v.pid : getpid(), "answer %zu", i);
	is_int(trace_tidy(t), 0, "tidied");
	is_int(regs_get(v.pid, &after), 0, "registers again");
	ok(memcmp(&before, &after, sizeof(before)) == 0,
	   "they are the same, the call number included");
	is_int(trace_detach(t), 0, "let go");
	victim_settle(&v);
	is_str(victim_portrait(&v), portrait, "nothing has changed");
	ok(victim_memory(&v) == memory, "nor has its memory");
	victim_kill(&v);
}

static void cycles(struct victim *v, int n)
{
	struct inject_call calls[40];

	for (int i = 0; i < n; i++) {
		struct trace *t = victim_seize(v, NULL);

		if (!t)
			return;
		memset(calls, 0, sizeof(calls));
		for (size_t k = 0; k < COUNT(calls); k++)
			calls[k].nr = SYS_getpid;
		for (size_t k = 0; k < t->n; k++)
			if (!t->threads[k]->gone &&
			    call0(t->threads[k], SYS_gettid) != t->threads[k]->tid)
				ok(false, "thread %zu answers for another", k);
		is_int(trace_batch(trace_any(t), calls, COUNT(calls)), 0, "batch: %s",
		       err_last()->text);
		is_int(calls[39].ret, v->pid, "answer");
		is_int(trace_detach(t), 0, "let go");
		usleep((unsigned)(random() % 1500));
	}
}

static void computes_on(void)
{
	struct victim v = victim_start(computes);

	cycles(&v, 300);
	victim_counts(&v, 0, 0);
	victim_end(&v);
}

/* Calls into the kernel as fast as can be: each has to give its own answer. */
static void *hammer(void *arg)
{
	struct board *b = arg;
	pid_t tid = (pid_t)syscall(SYS_gettid), parent = getppid();
	char byte;

	while (!b->stop) {
		WANT(b, getppid() == parent);
		WANT(b, syscall(SYS_gettid) == tid);
		WANT(b, write(b->fd[1], "x", 1) == 1);
		WANT(b, read(b->fd[0], &byte, 1) == 1 && byte == 'x');
		WANT(b, close(-1) == -1 && errno == EBADF);
		atomic_fetch_add(&b->count[0], 1);
	}
	return NULL;
}

static void hammers(struct board *b)
{
	pthread_t t[3];

	if (pipe(b->fd) < 0)
		abort();
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_create(&t[i], NULL, hammer, b);
	b->ready = 1;
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_join(t[i], NULL);
}

static void calls_on(void)
{
	struct victim v = victim_start(hammers);

	cycles(&v, 150);
	victim_end(&v);
}

static void *brief(void *arg)
{
	atomic_fetch_add(&((struct board *)arg)->count[0], 1);
	return NULL;
}

static void *breeder(void *arg)
{
	struct board *b = arg;
	pthread_t t;

	while (!b->stop) {
		if (pthread_create(&t, NULL, brief, b) != 0) {
			victim_complain(b, __LINE__);
			break;
		}
		pthread_join(t, NULL);
	}
	return NULL;
}

static void breeds(struct board *b)
{
	pthread_t t[2];

	b->ready = 1;
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_create(&t[i], NULL, breeder, b);
	for (size_t i = 0; i < COUNT(t); i++)
		pthread_join(t[i], NULL);
}

/* Threads come and go while they are being stopped; stopped, there are no others. */
static void catches_new_threads(void)
{
	struct victim v = victim_start(breeds);

	for (int i = 0; i < 150; i++) {
		struct trace *t = victim_seize(&v, NULL);
		size_t alive = 0, n = 0;
		long count = v.board->count[0];
		pid_t *tids;

		if (!t)
			break;
		for (size_t k = 0; k < t->n; k++)
			alive += !t->threads[k]->gone;
		is_int(proc_tasks(v.a, v.pid, &tids, &n), 0, "listed");
		ok(n >= alive, "%zu stopped of %zu listed", alive, n);
		for (size_t k = 0; k < n; k++) {
			struct proc_stat st;

			if (proc_stat_of(v.pid, tids[k], &st) == 0)
				ok(strchr("tZX", st.state), "thread %d is in state %c", tids[k],
				   st.state);
		}
		is_int(v.board->count[0], count, "nothing runs");
		is_int(trace_detach(t), 0, "let go");
		usleep(500);
	}
	victim_counts(&v, 0, 100);
	victim_end(&v);
}

/* execve by any thread makes it the leader; the others are gone. */
static void *executes(void *arg)
{
	char *const argv[] = { "/proc/self/exe", "--again", arg, NULL };

	execv(argv[0], argv);
	return NULL;
}

static void execs(struct board *b)
{
	static char left[] = "60";
	pthread_t t;

	b->ready = 1;
	pthread_create(&t, NULL, executes, left);
	pthread_join(t, NULL);
	victim_complain(b, __LINE__);
}

static int again(char *left)
{
	int n = atoi(left);
	pthread_t t;

	if (n == 0)
		return 0;
	snprintf(left, strlen(left) + 1, "%d", n - 1);
	pthread_create(&t, NULL, sleeper, NULL);
	usleep(2000);
	pthread_create(&t, NULL, executes, left);
	pthread_join(t, NULL);
	return 1;
}

static void follows_exec(void)
{
	struct victim v = victim_start(execs);
	struct trace *t;
	int ret = 0, status;

	while (waitpid(v.pid, &status, WNOHANG) == 0) {
		auto_arena a = arena_new();

		ret = trace_seize(a, v.pid, NULL, &t);
		if (ret == -ESRCH)
			break;
		is_int(ret, 0, "seized: %s", err_last()->text);
		if (ret)
			break;
		if (trace_any(t))
			is_int(call0(trace_any(t), SYS_getpid), v.pid, "answers");
		is_int(trace_detach(t), 0, "let go");
		usleep(300);
	}
	victim_end(&v);
}

static void *leaderless(void *arg)
{
	struct board *b = arg;

	victim_until(b, getpid(), 'Z');
	b->ready = 1;
	while (!b->stop)
		usleep(1000);
	_exit(0);
}

static void leader_leaves(struct board *b)
{
	pthread_t t;

	pthread_create(&t, NULL, leaderless, b);
	syscall(SYS_exit, 0);
}

static void works_without_leader(void)
{
	struct victim v = victim_start(leader_leaves);

	for (int i = 0; i < 20; i++) {
		struct trace *t = victim_seize(&v, NULL);

		if (!t)
			break;
		is_int(t->n, 1, "one thread is left");
		is_int(call0(trace_any(t), SYS_getpid), v.pid, "and answers");
		is_int(trace_detach(t), 0, "let go: %s", err_last()->text);
	}
	victim_end(&v);
}

static void ends(struct board *b)
{
	b->ready = 1;
}

static void refuses_zombies(void)
{
	struct victim v = victim_start(ends);
	struct trace *t = NULL;
	siginfo_t info;

	waitid(P_PID, (id_t)v.pid, &info, WEXITED | WNOWAIT);
	is_int(trace_seize(v.a, v.pid, NULL, &t), -ESRCH, "a zombie");
	ok(t == NULL && strstr(err_last()->text, "has ended"), "says so: %s", err_last()->text);
	victim_end(&v);
}

static void refuses_the_traced(void)
{
	struct victim v = victim_start(sleeps);
	struct trace *t = NULL;
	int fds[2], status;
	pid_t other;
	char c;

	if (pipe(fds) < 0)
		abort();
	other = fork();
	if (other == 0) {
		ptrace(PTRACE_SEIZE, v.pid, NULL, NULL);
		close(fds[1]);
		pause();
	}
	close(fds[1]);
	is_int(read(fds[0], &c, 1), 0, "another has seized it");
	is_int(trace_seize(v.a, v.pid, NULL, &t), -EPERM, "taken");
	ok(strstr(err_last()->text, "traces it already"), "says so: %s", err_last()->text);
	kill(other, SIGKILL);
	waitpid(other, &status, 0);
	close(fds[0]);
	victim_end(&v);
}

static void outlives_a_kill(void)
{
	struct victim v = victim_start(sleeps);
	struct trace *t = victim_seize(&v, NULL);
	struct inject_call calls[2] = { { .nr = SYS_getpid }, { .nr = SYS_getppid } };
	int64_t answer;

	if (!t)
		return;
	call0(t->threads[0], SYS_getpid);
	kill(v.pid, SIGKILL);
	is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), -ESRCH, "it has ended: %s",
	       err_last()->text);
	is_int(trace_batch(t->threads[1], calls, 2), -ESRCH, "all of it: %s", err_last()->text);
	is_int(trace_detach(t), 0, "that is no error of letting go");
	victim_kill(&v);
}

static void ignores_trap(struct board *b)
{
	struct sigaction action;

	signal(SIGTRAP, SIG_IGN);
	signal(SIGURG, SIG_IGN);
	b->ready = 1;
	while (!b->stop) {
		usleep(1000);
		WANT(b, sigaction(SIGTRAP, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
		WANT(b, sigaction(SIGURG, NULL, &action) == 0 && action.sa_handler == SIG_IGN);
	}
}

static void keeps_dispositions(void)
{
	struct victim v = victim_start(ignores_trap);

	cycles(&v, 50);
	victim_end(&v);
}

static void never(int sig)
{
	(void)sig;
	abort();
}

/* No signal is free to end an errand with: each call takes two stops. */
static void handles_all(struct board *b)
{
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, never);
	computes(b);
}

static void works_without_a_signal(void)
{
	struct victim v = victim_start(handles_all);

	cycles(&v, 60);
	victim_end(&v);
}

static void dies_with_tracer(void)
{
	struct victim v = victim_start(sleeps);
	const struct trace_options options = { .exitkill = true };
	int status = 0;
	pid_t tracer;

	fflush(stdout);
	tracer = fork();
	if (tracer == 0) {
		struct trace *t;

		_exit(trace_seize(v.a, v.pid, &options, &t) != 0);
	}
	waitpid(tracer, &status, 0);
	is_int(status, 0, "the tracer seized and ended");
	waitpid(v.pid, &status, 0);
	ok(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL, "the tracee was killed (%#x)",
	   status);
}

static void knows_rseq(void)
{
	struct victim v = victim_start(sleeps);
	struct trace *t = victim_seize(&v, NULL);
	struct trace_rseq rseq = { 0 };

	if (!t)
		return;
	is_int(trace_rseq(t->threads[0], &rseq), 0, "read: %s", err_last()->text);
	ok(rseq.size >= 32 || rseq.addr == 0, "%u bytes at %#llx", rseq.size,
	   (unsigned long long)rseq.addr);
	trace_detach(t);
	victim_end(&v);
}

/* A process in the middle of a restartable sequence is moved to where it is given up. */
static void leaves_rseq_by_abort(void)
{
	struct victim v = victim_start(rests);
	struct trace *t = victim_seize(&v, NULL);
	struct rseq_cs cs = { 0 };
	struct trace_rseq rseq;
	uint64_t at, ip;

	if (!t)
		return;
	ip = regs_ip(&t->threads[0]->regs);
	cs.start_ip = ip - 1;
	cs.post_commit_offset = 16;
	cs.abort_ip = ip + 100;
	is_int(trace_rseq(t->threads[0], &rseq), 0, "read");
	if (!rseq.addr) {
		victim_kill(&v);
		tap_skip("this libc registers no restartable sequences");
	}
	is_int(trace_scratch(t, &at), 0, "scratch");
	is_int(peek_write(&t->mem, at, &cs, sizeof(cs)), 0, "a section");
	is_int(peek_write(&t->mem, rseq.addr + 8, &at, sizeof(at)), 0, "that it is in");
	is_int(trace_rseq(t->threads[0], &rseq), 0, "read again");
	is_int((long long)regs_ip(&t->threads[0]->regs), (long long)(ip + 100), "given up");
	kill(v.pid, SIGKILL);
	trace_detach(t);
	victim_kill(&v);
}

static void nobody(void (*run)(void))
{
	victim_as_nobody();
	run();
}

static void nobody_answers(void)
{
	nobody(answers);
}

static void nobody_leaves_no_trace(void)
{
	nobody(leaves_no_trace);
}

static void nobody_computes_on(void)
{
	nobody(computes_on);
}

static void nobody_calls_on(void)
{
	nobody(calls_on);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(answers),
		TAP(leaves_no_trace),
		TAP(computes_on),
		TAP(calls_on),
		TAP(catches_new_threads),
		TAP(follows_exec),
		TAP(works_without_leader),
		TAP(refuses_zombies),
		TAP(refuses_the_traced),
		TAP(outlives_a_kill),
		TAP(keeps_dispositions),
		TAP(works_without_a_signal),
		TAP(dies_with_tracer),
		TAP(knows_rseq),
		TAP(leaves_rseq_by_abort),
		TAP(nobody_answers),
		TAP(nobody_leaves_no_trace),
		TAP(nobody_computes_on),
		TAP(nobody_calls_on),
	};

	if (argc == 3 && strcmp(argv[1], "--again") == 0)
		return again(argv[2]);
	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
