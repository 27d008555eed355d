/* SPDX-License-Identifier: Apache-2.0 */
/* Filters, and what the making of a process takes: clones, pages of the tracer's, sleeping
 * calls. */
#include "lib/deny.h"
#include "lib/tap.h"
#include "lib/victim.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/sys.h"
#include "task/proc.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* mkdirat kills. */
static void filtered(struct board *b)
{
	WANT(b, prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	WANT(b, deny_call(SYS_mkdirat, SECCOMP_RET_KILL_PROCESS));
	b->ready = 1;
	while (!b->stop)
		usleep(1000);
}

static bool not_mkdirat(void *ctx, const struct trace_thread *th, int64_t nr, const uint64_t *arg)
{
	(void)arg;
	++*(int *)ctx;
	return nr != SYS_mkdirat && th->filters == 1;
}

/* Who may suspends the filter; an ordinary user asks it. */
static void asks_the_filter(void)
{
	int asked = 0;
	const struct trace_options options = { .allowed = not_mkdirat, .ctx = &asked };
	struct inject_call calls[2] = { { .nr = SYS_getpid }, { .nr = SYS_mkdirat } };
	struct victim v;
	struct trace *t;
	int64_t answer;

	victim_as_nobody();
	v = victim_start(filtered);
	t = victim_seize(&v, NULL);
	if (!t)
		return;
	is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), -EPERM, "nobody to ask");
	ok(strstr(err_last()->text, "seccomp filter"), "says so: %s", err_last()->text);
	is_int(trace_detach(t), 0, "let go");
	t = victim_seize(&v, &options);
	if (!t)
		return;
	is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), 0, "allowed: %s",
	       err_last()->text);
	is_int(answer, v.pid, "answers");
	is_int(trace_batch(t->threads[0], calls, 2), -EPERM, "a batch with one that is not");
	is_int(trace_syscall(t->threads[0], &answer, SYS_mkdirat, AT_FDCWD, 0, 0), -EPERM, "not");
	is_int(trace_batch(t->threads[0], calls, 1), 0, "goes on");
	ok(asked > 5, "the filter was asked %d times", asked);
	is_int(trace_detach(t), 0, "let go");
	victim_end(&v);
}

static void suspends_the_filter(void)
{
	struct victim v = victim_start(filtered);
	struct proc_status st;
	struct trace *t;
	int64_t answer = 0;

	t = victim_seize(&v, NULL);
	if (!t)
		return;
	if (trace_syscall(t->threads[0], &answer, SYS_mkdirat, AT_FDCWD, 0, 0) == -EPERM) {
		trace_detach(t);
		victim_end(&v);
		tap_skip("no right to suspend filters");
	}
	is_int(answer, -EFAULT, "the call is made, and is alive");
	is_int(trace_detach(t), 0, "let go");
	is_int(proc_status_of(v.pid, v.pid, NULL, &st), 0, "status");
	is_int(st.seccomp, SECCOMP_MODE_FILTER, "the filter is there again");
	victim_end(&v);
}

static void rests(struct board *b)
{
	b->ready = 1;
	for (;;)
		pause();
}

static bool clone_in(struct trace_thread *th, uint64_t flags, int exit_signal)
{
	struct clone_args args = { .flags = flags, .exit_signal = (uint64_t)exit_signal };
	struct trace *t = th->of;
	int64_t answer = -1;
	uint64_t at;

	if (trace_scratch(t, &at) || peek_write(&t->mem, at, &args, sizeof(args)) ||
	    trace_syscall(th, &answer, SYS_clone3, at, sizeof(args)))
		return ok(false, "clone3: %s", err_last()->text);
	return ok(answer > 0 && th->born == answer, "cloned %lld, told %d", (long long)answer,
		  th->born);
}

/* A clone is stopped before its first instruction, and does as it is told like any other. */
static void follows_clones(void)
{
	const struct trace_options options = { .exitkill = true, .follow = true };
	struct victim v = victim_start(rests);
	struct trace *t = victim_seize(&v, &options), *child = NULL;
	struct trace_thread *th, *second = NULL;
	struct inject_call calls[3] = { { .nr = SYS_gettid },
					{ .nr = SYS_getppid },
					{ .nr = SYS_getpid } };
	int64_t answer;

	if (!t)
		return;
	th = t->threads[0];
	if (!clone_in(th, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD, 0))
		return;
	is_int(trace_adopt_thread(th, &second), 0, "a thread: %s", err_last()->text);
	is_int(trace_adopt_thread(th, &second), -EINVAL, "once");
	is_int(trace_syscall(second, &answer, SYS_gettid), 0, "a call: %s", err_last()->text);
	is_int(answer, second->tid, "answered by the new one");
	is_int(trace_syscall(th, &answer, SYS_gettid), 0, "and one by the old: %s",
	       err_last()->text);
	is_int(answer, v.pid, "answered by it");
	if (!clone_in(th, 0, SIGCHLD))
		return;
	is_int(trace_adopt_process(th, &child), 0, "a process: %s", err_last()->text);
	is_int(trace_batch(child->threads[0], calls, 3), 0, "a batch: %s", err_last()->text);
	is_int(calls[0].ret, child->pid, "its own number");
	is_int(calls[1].ret, v.pid, "its parent's");
	kill(child->pid, SIGKILL);
	is_int(trace_detach(child), 0, "dead");
	is_int(trace_syscall(th, &answer, SYS_wait4, child->pid, 0, 0, 0), 0, "waited for");
	is_int(answer, child->pid, "by its parent");
	is_int(trace_syscall(second, &answer, SYS_exit, 0), -ESRCH, "a thread that ends");
	is_int(trace_detach(t), 0, "let go: %s", err_last()->text);
	is_int(waitpid(v.pid, NULL, WNOHANG), 0, "the first lives");
	victim_kill(&v);
}

/* Each of the new threads makes its own calls, however they are run. */
static void do_each(struct trace *t)
{
	struct trace_share shares[32];
	struct inject_call calls[3 * 32];
	size_t n = 0;
	int wrong = 0;

	memset(calls, 0, sizeof(calls));
	for (size_t i = 1; i < t->n; i++) {
		shares[i - 1] = (struct trace_share){ t->threads[i], i % 3 + 1 };
		for (size_t k = 0; k < i % 3 + 1; k++)
			calls[n++].nr = k == 1 ? SYS_getpid : SYS_gettid;
	}
	is_int(trace_batch_each(t, shares, t->n - 1, calls), 0, "a batch for each: %s",
	       err_last()->text);
	for (size_t i = 1, at = 0; i < t->n; at += shares[i++ - 1].n)
		for (size_t k = 0; k < shares[i - 1].n; k++)
			wrong += calls[at + k].ret != (k == 1 ? t->pid : t->threads[i]->tid);
	is_int(wrong, 0, "each answered for itself");
	is_int(trace_batch_each(t, shares, 1, calls), 0, "a batch for one: %s", err_last()->text);
	is_int(calls[0].ret, t->threads[1]->tid, "answered");
	is_int(trace_batch_each(t, shares, 0, calls), 0, "none for nobody");
}

/* One of the calls fails: the others' threads are there, in their order. */
static void clones_many(void)
{
	const struct trace_options options = { .exitkill = true, .follow = true };
	const uint64_t flags = CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD;
	struct clone_args args[2] = { { .flags = flags | CLONE_PTRACE },
				      { .flags = flags & ~(uint64_t)CLONE_VM } };
	struct victim v = victim_start(rests);
	struct trace *t = victim_seize(&v, NULL);
	struct inject_call calls[20];
	int64_t answer = 0;
	uint64_t at;

	if (!t)
		return;
	is_int(trace_clone_threads(t->threads[0], calls, 0), -EINVAL, "they would outlive us");
	is_int(trace_detach(t), 0, "let go");
	t = victim_seize(&v, &options);
	if (!t)
		return;
	is_int(trace_scratch(t, &at), 0, "scratch memory");
	is_int(peek_write(&t->mem, at, args, sizeof(args)), 0, "what is to be cloned");
	for (size_t i = 0; i < COUNT(calls); i++)
		calls[i] = (struct inject_call){
			.nr = SYS_clone3,
			.arg = { at + (i == 7 ? sizeof(args[0]) : 0), sizeof(args[0]) },
		};
	is_int(trace_clone_threads(t->threads[0], calls, COUNT(calls)), 0, "cloned: %s",
	       err_last()->text);
	is_int(calls[7].ret, -EINVAL, "but for one");
	if (!is_int(t->n, COUNT(calls), "and as many are under control"))
		return;
	do_each(t);
	for (size_t i = 0, k = 1; i < COUNT(calls); i++) {
		if (i == 7)
			continue;
		is_int(calls[i].ret, t->threads[k]->tid, "in their order");
		is_int(trace_syscall(t->threads[k++], &answer, SYS_gettid), 0, "a call: %s",
		       err_last()->text);
		is_int(answer, calls[i].ret, "answered by this one");
	}
	do_each(t);
	if (!clone_in(t->threads[0], 0, SIGCHLD))
		return;
	kill(t->threads[0]->born, SIGKILL);
	kill(v.pid, SIGKILL);
	is_int(trace_detach(t), 0, "let go: %s", err_last()->text);
	victim_kill(&v);
}

/* What a shadow does to itself is its own. */
static void casts_shadows(void)
{
	struct victim v = victim_start(rests);
	struct trace *t = victim_seize(&v, NULL), *shadow = NULL;
	struct inject_call calls[2] = { { .nr = SYS_getpid }, { .nr = SYS_getppid } };
	struct proc_status st;
	int64_t answer;
	pid_t pid = 0;

	if (!t)
		return;
	is_int(trace_shadow(t->threads[0], &shadow, &pid), 0, "made: %s", err_last()->text);
	is_int(pid, shadow ? shadow->pid : 0, "its number");
	is_int(trace_batch(shadow->threads[0], calls, 2), 0, "a batch: %s", err_last()->text);
	is_int(calls[0].ret, pid, "who it is");
	is_int(calls[1].ret, v.pid, "and who made it");
	is_int(trace_syscall(shadow->threads[0], &answer, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0,
			     0),
	       0, "a call: %s", err_last()->text);
	is_int(trace_syscall(t->threads[0], &answer, SYS_prctl, PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0), 0,
	       "the other one goes on: %s", err_last()->text);
	is_int(answer, 0, "and has none of it");
	is_int(trace_shadow_end(t->threads[0], shadow, pid), 0, "ended: %s", err_last()->text);
	is_int(trace_syscall(t->threads[0], &answer, SYS_wait4, (uint64_t)-1, 0, __WALL, 0), 0,
	       "waited: %s", err_last()->text);
	is_int(answer, -ECHILD, "for nobody");
	is_int(trace_detach(t), 0, "let go: %s", err_last()->text);
	is_int(proc_status_of(v.pid, v.pid, NULL, &st), 0, "alive");
	is_int(waitpid(v.pid, NULL, WNOHANG), 0, "and it did not end");
	victim_kill(&v);
}

/* Everything is unmapped, and it still does what it is told. */
static void settles(void)
{
	const struct trace_options options = { .exitkill = true, .follow = true };
	const uint64_t home = 0x10000000;
	struct victim v = victim_start(rests);
	struct trace *t = victim_seize(&v, &options);
	struct inject_call calls[40];
	struct proc_vmas all = { 0 };
	uint64_t vdso = 0;
	int64_t answer;

	if (!t)
		return;
	memset(calls, 0, sizeof(calls));
	is_int(trace_settle(t, home), 0, "settled: %s", err_last()->text);
	is_int(proc_auxv(v.pid, AT_SYSINFO_EHDR, &vdso), 0, "the vDSO's address");
	is_int(proc_maps(v.a, v.pid, &all), 0, "maps");
	for (size_t i = 0; i < all.n; i++) {
		if (all.v[i].start >= home && all.v[i].end <= home + TRACE_SETTLE_LEN)
			continue;
		if (strncmp(all.v[i].name, "[v", 2) == 0)
			continue;
		calls[0].nr = SYS_munmap;
		calls[0].arg[0] = all.v[i].start;
		calls[0].arg[1] = all.v[i].end - all.v[i].start;
		if (strcmp(all.v[i].name, "[stack]") == 0)
			continue;
		is_int(trace_batch(t->threads[0], calls, 1), 0, "unmap: %s", err_last()->text);
		is_int(calls[0].ret, 0, "answer");
	}
	for (size_t i = 0; i < COUNT(calls); i++)
		calls[i].nr = SYS_getpid;
	is_int(trace_batch(t->threads[0], calls, COUNT(calls)), 0, "a batch: %s", err_last()->text);
	is_int(calls[39].ret, v.pid, "answered");
	is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), 0, "a call: %s",
	       err_last()->text);
	is_int(answer, v.pid, "answered");
	is_int(trace_unsettle(t, vdso), 0, "moved back: %s", err_last()->text);
	is_int(trace_syscall(t->threads[0], &answer, SYS_getpid), 0, "a call: %s",
	       err_last()->text);
	is_int(answer, v.pid, "answered");
	is_int(proc_maps(v.a, v.pid, &all), 0, "maps");
	for (size_t i = 0; i < all.n; i++)
		ok(all.v[i].start != home && all.v[i].start != home + 4096, "the pages are gone");
	kill(v.pid, SIGKILL);
	is_int(trace_detach(t), 0, "let go");
	victim_kill(&v);
}

#define LONG_MS 60000

static void naps(struct board *b)
{
	const struct timespec t = { LONG_MS / 1000, 0 };
	int64_t began = victim_now_ms();

	b->ready = 1;
	WANT(b, nanosleep(&t, NULL) == 0);
	atomic_store(&b->count[0], victim_now_ms() - began);
	while (!b->stop)
		usleep(1000);
}

/* A sleep that is armed anew, with much less time, lasts as long as it is told to. */
static void rearms(void)
{
	struct inject_call call = { .nr = SYS_nanosleep };
	struct timespec longer = { 1, 0 };
	struct victim v = victim_start(naps);
	struct trace *t;
	uint64_t at;
	int64_t nr;

	victim_settle(&v);
	t = victim_seize(&v, NULL);
	if (!t)
		return;
	if (regs_restart(&t->threads[0]->regs, &nr) != RESTART_BLOCK) {
		trace_detach(t);
		victim_kill(&v);
		tap_skip("this processor does not show an interrupted call");
	}
	/* glibc calls clock_nanosleep for it */
	ok(nr == SYS_nanosleep || nr == SYS_clock_nanosleep, "it sleeps, in call %lld",
	   (long long)nr);
	is_int(trace_scratch(t, &at), 0, "scratch");
	is_int(peek_write(&t->mem, at, &longer, sizeof(longer)), 0, "a time");
	call.arg[0] = at;
	is_int(trace_rearm(t->threads[0], &call), 0, "armed: %s", err_last()->text);
	is_int(trace_detach(t), 0, "let go: %s", err_last()->text);
	victim_counts(&v, 0, 999);
	ok(v.board->count[0] < LONG_MS, "it took %ld ms", v.board->count[0]);
	victim_end(&v);
}

static void rearm_needs_a_wait(void)
{
	struct inject_call call = { .nr = SYS_getpid };
	struct victim v = victim_start(rests);
	struct trace *t = victim_seize(&v, NULL);

	if (!t)
		return;
	is_int(trace_rearm(t->threads[0], &call), -EPROTO, "getpid does not wait");
	is_int(trace_detach(t), 0, "let go");
	victim_kill(&v);
}

/* The vector registers come back as they were, and only if they fit. */
static void keeps_vectors(void)
{
	static uint8_t first[VECTOR_MAX], second[VECTOR_MAX], bad[VECTOR_MAX];
	struct victim v = victim_start(rests);
	struct trace *t = victim_seize(&v, NULL);
	struct regset_head head;
	ssize_t len;

	if (!t)
		return;
	len = vector_get(v.pid, first, sizeof(first));
	ok(len > 512, "%zd bytes: %s", len, err_last()->text);
	is_int(vector_set(v.pid, first, (size_t)len), 0, "set: %s", err_last()->text);
	is_int(vector_get(v.pid, second, sizeof(second)), len, "read again");
	ok(memcmp(first, second, (size_t)len) == 0, "the same");
	is_int(vector_get(v.pid, second, 100), -ENOBUFS, "no room");
	is_int(vector_set(v.pid, first, (size_t)len - 1), -EBADMSG, "cut");
	is_int(vector_set(v.pid, first, 7), -EBADMSG, "no header");
	memcpy(bad, first, (size_t)len);
	memcpy(&head, bad, sizeof(head));
	head.audit ^= 1;
	memcpy(bad, &head, sizeof(head));
	is_int(vector_set(v.pid, bad, (size_t)len), -EBADMSG, "another processor's");
	head.audit ^= 1;
	head.note = 77;
	memcpy(bad, &head, sizeof(head));
	is_int(vector_set(v.pid, bad, (size_t)len), -EBADMSG, "another set");
	is_int(trace_detach(t), 0, "let go");
	victim_kill(&v);
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(asks_the_filter), TAP(suspends_the_filter), TAP(follows_clones),
		TAP(clones_many),     TAP(casts_shadows),       TAP(settles),
		TAP(rearms),          TAP(rearm_needs_a_wait),  TAP(keeps_vectors),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
