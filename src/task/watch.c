/* SPDX-License-Identifier: Apache-2.0 */
#include "task/watch.h"

#include <dirent.h>
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "base/err.h"
#include "base/mem.h"
#include "task/proc.h"

#define OPTIONS \
	(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE)
#define SYSCALL_STOP (SIGTRAP | 0x80)
#define ROUNDS 8         /* listings of threads, while new ones may appear */
#define LET_GO_SECONDS 3 /* how long a thread may take to stop once more, to be let go */
#define THREADS_MAX 32768

struct thread {
	pid_t tid;
	bool entered; /* call is what it is in */
	struct watch_call call;
};

struct watch {
	struct arena *a;
	const struct watch_for *what;
	struct thread *v;
	size_t n, cap;
	bool ending;
};

static struct thread *find(struct watch *w, pid_t tid)
{
	for (size_t i = 0; i < w->n; i++)
		if (w->v[i].tid == tid)
			return &w->v[i];
	return NULL;
}

static struct thread *add(struct watch *w, pid_t tid)
{
	w->v = arena_grow(w->a, w->v, w->n, &w->cap, sizeof(*w->v));
	w->v[w->n].tid = tid;
	return &w->v[w->n++];
}

static void drop(struct watch *w, pid_t tid)
{
	struct thread *t = find(w, tid);

	if (t)
		*t = w->v[--w->n];
}

static void continue_with(pid_t tid, int sig)
{
	ptrace(PTRACE_SYSCALL, tid, 0, (void *)(intptr_t)sig);
}

/* It is traced by this process already: a thread or child of one that is. */
static bool is_ours(pid_t tid)
{
	siginfo_t info;

	return waitid(P_PID, (id_t)tid, &info, WEXITED | WSTOPPED | WNOHANG | WNOWAIT | __WALL) ==
	       0;
}

/* 1 if the thread is new, 0 if it is known or has ended, -errno with a text. */
static int seize(struct watch *w, pid_t tid)
{
	struct proc_stat stat;

	if (find(w, tid) || is_ours(tid))
		return 0;
	if (w->n == THREADS_MAX)
		return fail(E2BIG, "watch more than %d threads", THREADS_MAX);
	if (ptrace(PTRACE_SEIZE, tid, 0, OPTIONS) < 0) {
		int error = errno;

		if (proc_stat(tid, &stat) || stat.state == 'Z' || stat.state == 'X')
			return 0;
		return fail(error,
			    "watch process %d: %s (ptrace(2) must be allowed, and no other "
			    "tracer be there)",
			    tid, err_reason(error));
	}
	add(w, tid);
	if (ptrace(PTRACE_INTERRUPT, tid, 0, 0) < 0 && errno != ESRCH)
		return fail_errno("interrupt process %d", tid);
	return 1;
}

/* Every thread of one process; -errno, or how many are new. */
static int seize_process(struct watch *w, pid_t pid)
{
	char path[32];
	struct dirent *entry;
	int found = 0, ret = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	dir = opendir(path);
	while (dir && ret >= 0 && (entry = readdir(dir))) {
		if (entry->d_name[0] == '.')
			continue;
		ret = seize(w, atoi(entry->d_name));
		found += ret > 0;
	}
	if (dir)
		closedir(dir);
	return ret < 0 ? ret : found;
}

/* Those that appear while others are seized are children of those, or found by the next round. */
static int seize_all(struct watch *w, const pid_t *pids, size_t n)
{
	int found = 1, ret = 0;

	for (int round = 0; found && round < ROUNDS; round++) {
		found = 0;
		for (size_t i = 0; i < n; i++) {
			ret = seize_process(w, pids[i]);
			if (ret < 0)
				return ret;
			found += ret;
		}
	}
	return 0;
}

static void see_call(struct watch *w, struct thread *t)
{
	struct __ptrace_syscall_info info;
	struct watch_call *call = &t->call;

	if (ptrace(PTRACE_GET_SYSCALL_INFO, t->tid, sizeof(info), &info) <= 0)
		return;
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		*call = (struct watch_call){ .tid = t->tid,
					     .arch = info.arch,
					     .nr = info.entry.nr };
		memcpy(call->args, info.entry.args, sizeof(call->args));
		t->entered = true;
	} else if (info.op == PTRACE_SYSCALL_INFO_EXIT && t->entered) {
		t->entered = false;
		if (!info.exit.is_error || w->ending)
			return;
		call->error = (int)-info.exit.rval;
		w->what->each(w->what->arg, call);
	}
}

static bool is_job_control(int sig)
{
	return sig == SIGSTOP || sig == SIGTSTP || sig == SIGTTIN || sig == SIGTTOU;
}

/* One stop of one thread: told, and let go on; for good where it is over. */
static void handle(struct watch *w, pid_t tid, int status)
{
	struct thread *t = find(w, tid);
	int sig, event = status >> 16, deliver = 0;

	if (!WIFSTOPPED(status)) {
		drop(w, tid);
		return;
	}
	if (!t)
		t = add(w, tid);
	sig = WSTOPSIG(status);
	if (sig == SYSCALL_STOP)
		see_call(w, t);
	else if (!event)
		deliver = sig;
	if (w->ending) {
		ptrace(PTRACE_DETACH, tid, 0, (void *)(intptr_t)deliver);
		drop(w, tid);
	} else if (event == PTRACE_EVENT_STOP && is_job_control(sig)) {
		ptrace(PTRACE_LISTEN, tid, 0, 0);
	} else {
		continue_with(tid, deliver);
	}
}

static volatile sig_atomic_t time_is_up;

static void on_alarm(int sig)
{
	(void)sig;
	time_is_up = 1;
}

static void set_alarm(unsigned seconds)
{
	/* again and again: one that comes just before waitpid(2) would be lost */
	struct itimerval t = { .it_value.tv_sec = seconds, .it_interval.tv_usec = 100000 };

	setitimer(ITIMER_REAL, &t, NULL);
	time_is_up = 0;
}

/* Until every thread has ended or been let go, or the alarm: busy ones never let waitpid(2)
 * wait. */
static void follow(struct watch *w)
{
	int status;
	pid_t tid;

	while (w->n && !time_is_up) {
		tid = waitpid(-1, &status, __WALL);
		if (tid < 0)
			return;
		handle(w, tid, status);
	}
}

/* A thread has to be stopped to be let go; the kernel does it for those that do not stop. */
static void let_go(struct watch *w)
{
	w->ending = true;
	for (size_t i = 0; i < w->n; i++)
		ptrace(PTRACE_INTERRUPT, w->v[i].tid, 0, 0);
	set_alarm(LET_GO_SECONDS);
	follow(w);
}

int watch_failures(struct arena *a, const pid_t *pids, size_t n, const struct watch_for *what)
{
	struct sigaction act = { .sa_handler = on_alarm }, old;
	struct itimerval none = { .it_value.tv_sec = 0 };
	struct watch w = { .a = a, .what = what };
	struct err kept;
	int ret;

	sigaction(SIGALRM, &act, &old);
	ret = seize_all(&w, pids, n);
	kept = *err_last();
	if (!ret) {
		set_alarm(what->seconds);
		follow(&w);
	}
	let_go(&w);
	setitimer(ITIMER_REAL, &none, NULL);
	sigaction(SIGALRM, &old, NULL);
	if (ret)
		err_set(&kept);
	return ret;
}
