/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Another process under control: all its threads stopped, read, made to run system calls, let go.
 * ptrace(2) by PTRACE_SEIZE.
 *
 * What holds at every moment: if the tracer dies (SIGKILL included), the process goes on as if it
 * had never been stopped, unless `exitkill` asked for the opposite. A thread that runs errands does
 * so on code that leads it home by itself (arch/inject.h), in the unused end of its vDSO, with
 * signals blocked and kept for later; nothing is ever written to its stack or into its program.
 *
 * Meanwhile a thread that runs errands is moved to the processor of the tracer, which does well to
 * stay there itself (sched_setaffinity(2)): an errand takes 10 us on one processor and 20 to 80 on
 * two.
 *
 * All requests for one process come from the one thread of the tracer that seized it: ptrace knows
 * the thread, not the process. No state is kept outside struct trace.
 */
#ifndef TASK_TRACE_H
#define TASK_TRACE_H

#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "arch/inject.h"
#include "arch/regs.h"
#include "task/peek.h"

struct arena;
struct proc_status;
struct trace;
struct trace_thread;
struct trace_guard;

#define TRACE_THREADS_MAX 65536
#define TRACE_ROUNDS_MAX 1000 /* listings of threads before a process is called restless */
#define TRACE_BATCH_MAX 512   /* calls of one run; trace_batch() makes as many runs as it takes */
#define TRACE_SCRATCH (64u << 10) /* bytes for arguments in the tracee */
#define TRACE_PATIENCE_MS 10000
#define TRACE_LATE_MS 10

struct trace_options {
	bool exitkill;        /* the process is killed when the tracer ends, however it ends */
	bool follow;          /* what it clones is traced from its first instruction */
	unsigned patience_ms; /* how long a thread may take to stop; 0 for TRACE_PATIENCE_MS */

	/*
	 * Whether the seccomp filters of the thread (th->filters of them) let a call pass. Asked
	 * before every call where they cannot be suspended (that takes CAP_SYS_ADMIN in the initial
	 * user namespace). NULL: a thread with filters that cannot be suspended runs no errands
	 * (-EPERM), as one in strict mode in any case.
	 */
	bool (*allowed)(void *ctx, const struct trace_thread *th, int64_t nr, const uint64_t *arg);

	/* A thread that was asked to stop has not for TRACE_LATE_MS: should it wait for somebody's
	 * answer, this is the time to give it. 0 or -errno with a text. NULL: it is waited for. */
	int (*late)(void *ctx, pid_t tid);
	void *ctx;
};

struct trace_thread {
	struct trace *of;
	pid_t tid;        /* in the tracer's PID namespace */
	bool gone;        /* it ended meanwhile; every request for it is -ESRCH */
	bool group_stop;  /* it is stopped by job control, and will be again */
	struct regs regs; /* what it goes on with: what is changed here takes effect when it is let
			     go */
	uint64_t sigmask; /* the same for its signal mask */

	/* A signal that was being delivered when it was stopped: taken from the queue, not yet
	 * acted upon. It is delivered when the thread is let go. 0 for none; once the thread has
	 * run an errand it is in the queue again (at its end) and this is 0, but for SIGSTOP. */
	int signal;
	siginfo_t siginfo;

	pid_t born; /* what its last call cloned, if `follow`: for trace_adopt(); 0 for nothing */

	/* What hinders its errands: SECCOMP_MODE_* and how many filters, both 0 where they are
	 * suspended. Known from its first errand on. */
	uint8_t seccomp;
	uint32_t filters;

	/* of trace.c and trace_run.c alone */
	struct regs_wait wait; /* what it was in before it was stopped (ARCH_HIDES_CALLS) */
	struct regs regs_now;  /* what the kernel has */
	uint64_t sigmask_now;
	bool asked;  /* to stop, and it is not yet known to have */
	bool reaped; /* its end has been waited for */
	bool away;   /* its registers are an errand's */
	bool astray; /* and it is somewhere in the middle */
	bool held;   /* `signal` is nowhere in the kernel: it has to be sent again */
	bool looked; /* what hinders is known */
	bool moved;  /* it is in no critical section of rseq(2) any more */
	uint64_t cpus[INJECT_CPUS_MAX / 8];
	size_t cpus_len; /* 0: not known, and not to be changed */
	bool pinned;     /* to the tracer's processor */
	void *keep;      /* vector state that system calls lose */
	size_t keep_len;
};

struct trace {
	pid_t pid;
	struct arena *arena;
	struct trace_options options;
	struct trace_thread **threads; /* the leader first, unless it has ended before the others */
	size_t n, cap;
	struct trace_thread **by_tid; /* of trace_find(): as many as there are slots */
	size_t slots;
	struct peek mem;
	const struct proc_status *status; /* of the leader, when all were stopped */

	/* of trace.c and trace_run.c alone */
	bool ready, settled;
	bool roams; /* threads that set out stay on their processor: many do at the same time */
	bool suspended, binding;     /* filters: they are off for us; nobody may switch them off */
	struct trace_guard *guard;   /* while it is being seized */
	uint8_t *seen;               /* what is in the room, NULL: not known */
	bool left;                   /* code of a tracer that died */
	uint64_t caught;             /* signals with a handler */
	int signal;                  /* ends the runs of `active`; 0: by two stops a call */
	struct trace_thread *active; /* the one whose way home stands in the area */
	struct trace_thread *keeper; /* the one that is named at keeper_at */
	uint64_t room, room_len; /* the unused end of the vDSO; room_len 0: not yet looked for */
	uint64_t keeper_at;      /* behind it: the word that says who unmaps `map` on his way */
	uint64_t area;           /* where in it (or elsewhere, settled) code is written */
	uint64_t other;          /* a second area, for a thread that takes over; 0: none */
	uint64_t map, map_len;   /* the array of a batch, then TRACE_SCRATCH bytes */
	uint8_t *saved;          /* what was in the room; NULL while it is untouched */
	struct inject code;
};

/*
 * Seizes and stops all threads, also those that appear meanwhile. The process may be running,
 * asleep in any interruptible call, stopped, or about to handle a signal. 0 or -errno with a text:
 * -ESRCH it has ended (a zombie has no threads), -EPERM it may not be traced (the text says who
 * traces it), -ETIMEDOUT a thread does not stop (in vfork(2), or waiting for a device). On failure
 * it runs on. The result lives in the arena; trace_detach() it in any case.
 */
int trace_seize(struct arena *a, pid_t pid, const struct trace_options *options,
		struct trace **out);

/*
 * The same in two parts, for many processes: all are asked to stop before any is waited for. Where
 * the first part succeeds trace_detach() it, whatever becomes of the second. A process in vfork(2)
 * does not stop before its child goes on: -ETIMEDOUT.
 */
int trace_seize_begin(struct arena *a, pid_t pid, const struct trace_options *options,
		      struct trace **out);
int trace_seize_end(struct trace *t);

/*
 * Puts back whatever was changed and lets all threads go. Safe to call twice, and after any
 * failure. Does all of it also where a part fails; 0 or the first -errno with a text.
 */
int trace_detach(struct trace *t);

/*
 * Instead of that, for a process that is to end: nothing is put back. trace_kill() kills it, and
 * trace_bury() waits for its end for a moment: it returns how many threads have not ended yet.
 */
void trace_kill(struct trace *t);
size_t trace_bury(struct trace *t);

/*
 * The first half of that: puts back whatever was changed, and the threads stay stopped. Nothing of
 * the process runs in trace_detach() then, as it must not where its cgroup is about to be frozen.
 */
int trace_tidy(struct trace *t);

static inline void trace_cleanup(struct trace **t)
{
	if (*t)
		trace_detach(*t);
}
#define auto_trace __attribute__((cleanup(trace_cleanup))) struct trace *

/* Whether a tracee has ended, and is to be waited for. Its stops are left to be told. May be called
 * in a signal's handler. */
bool trace_has_ended(pid_t tid);

/* NULL if there is none of that number. */
struct trace_thread *trace_find(struct trace *t, pid_t tid);
/* One that can run errands: the leader, or if it has ended another; NULL if all are gone. */
struct trace_thread *trace_any(struct trace *t);

/*
 * Makes the thread execute one system call, or n of them in their order (call[i].ret is set). One
 * costs about 10 us, many 0.2 us each. They are executed whatever the ones before answered. A call
 * that blocks blocks the tracer. 0 if the calls were made, whatever they answered; else -errno with
 * a text: -ESRCH the thread has ended, -EPERM a filter would not let the call pass (nothing was
 * executed), -EFAULT the call never came back.
 */
int trace_call(struct trace_thread *th, struct inject_call *call);
int trace_batch(struct trace_thread *th, struct inject_call *calls, size_t n);

/*
 * A trace_batch() for each of several threads of one process: the next share[i].n of the calls, at
 * most TRACE_BATCH_MAX in all, are share[i].th's, each thread once. They run at the same time
 * where nobody has to be seen home (`exitkill`): the calls of one rest on none of another's.
 */
struct trace_share {
	struct trace_thread *th;
	size_t n;
};
int trace_batch_each(struct trace *t, const struct trace_share *shares, size_t n,
		     struct inject_call *calls);

/*
 * The same for several processes, with one thread of each (shares[i].th and calls of its own, at
 * most TRACE_BATCH_MAX): no one is waited for before all have begun. Each has its own answer, as
 * of trace_batch(), in .ret; whoever has one already is left out. 0, or the first -errno that is
 * not -EPERM with its text. trace_scratch_all() gives them what trace_scratch() does, the same way.
 */
struct trace_errand {
	struct trace_thread *th;
	struct inject_call *calls;
	size_t n;
	size_t len; /* bytes right behind the calls that lie in scratch memory meanwhile */
	int ret;
	bool begun; /* of trace_many.c alone */
};
int trace_batch_all(struct trace_errand *errands, size_t n);
int trace_scratch_all(struct trace_errand *errands, size_t n);

/*
 * trace_call() of seccomp(2), or whatever else gives the process a filter, on all of its threads or
 * (!all) on this one alone. Nothing is executed behind it unasked. For a process that is settled.
 */
int trace_confine(struct trace_thread *th, struct inject_call *call, bool all);

/* Whether filters are suspended for the errands of the thread: it may be given any. 0 or -errno
 * with a text. */
int trace_suspends(struct trace_thread *th, bool *out);

/* Whether the filter of the thread lets a call pass, without making it. 0 or -errno with a text. */
int trace_may(struct trace_thread *th, int64_t nr, const uint64_t *arg, bool *out);

/* trace_call() with the number and up to six arguments. *out is the answer of the kernel. */
#define trace_syscall(th, out, nr, ...) \
	trace_syscall_args((th), (out), (uint64_t)(nr), (const uint64_t[6]){ __VA_ARGS__ })
int trace_syscall_args(struct trace_thread *th, int64_t *out, uint64_t nr, const uint64_t *arg);

/* Where TRACE_SCRATCH bytes of zeros lie in the process: for arguments and results, by peek_read()
 * and peek_write() of t->mem. Unmapped by trace_detach(). */
int trace_scratch(struct trace *t, uint64_t *out);

/*
 * For a process that is to be rebuilt (and has `exitkill`: the way home is lost). Errands run from
 * pages of the tracer's at addr (page-aligned, TRACE_SETTLE_LEN bytes of nothing), so that
 * everything else can be unmapped, the vDSO included; the thread's rseq(2) is unregistered for
 * that. trace_unsettle() moves back to a vDSO, mapped at `vdso`, and unmaps those pages.
 */
#define TRACE_ARRAY_LEN (TRACE_BATCH_MAX * sizeof(struct inject_call))
#define TRACE_MAP_LEN (TRACE_ARRAY_LEN + TRACE_SCRATCH)
#define TRACE_SETTLE_LEN (4096u + TRACE_MAP_LEN)
int trace_settle(struct trace *t, uint64_t addr);
int trace_unsettle(struct trace *t, uint64_t vdso);

/*
 * Takes over what a call of th cloned (th->born, with `follow`): a thread, which joins th->of, or a
 * process of its own with the same memory layout, a new struct trace. It is stopped before its
 * first instruction. *out_thread is the thread.
 */
int trace_adopt_thread(struct trace_thread *th, struct trace_thread **out_thread);
int trace_adopt_process(struct trace_thread *th, struct trace **out);

/*
 * Many threads at once: n calls of clone3(2) by th with CLONE_THREAD and CLONE_PTRACE among their
 * flags, of a process with `exitkill` all of whose threads are in th->of. Those that were made
 * (call[i].ret is positive) join th->of in this order, stopped before their first instruction; what
 * they clone in their turn is not followed. 0 if the calls were made, whatever they answered.
 */
int trace_clone_threads(struct trace_thread *th, struct inject_call *calls, size_t n);

/*
 * A process beside that of th, to do what can't be undone: it begins with the credentials,
 * descriptors and memory of th (the same memory: nothing of it may be changed), never goes on from
 * there, and runs errands as any other, but for trace_detach(). It ends when the tracer does. Its
 * end is told to nobody; its number is *out_pid in the namespace of th. 0 or -errno with a text:
 * -EAGAIN there may be no more processes.
 */
int trace_shadow(struct trace_thread *th, struct trace **out, pid_t *out_pid);
/* Its end: th is the one it was made from, or another thread of that process. */
int trace_shadow_end(struct trace_thread *th, struct trace *shadow, pid_t pid);

/*
 * Has the thread enter system call nr, which waits, and stops it there: the kernel then holds a
 * state to go on from with restart_syscall(2). The registers to let it go with are the caller's to
 * set (regs_restart() of them is RESTART_BLOCK). -EPROTO where the call did not wait; call->ret is
 * its answer then.
 */
int trace_rearm(struct trace_thread *th, struct inject_call *call);

/*
 * For a thread that is to go on with restart_syscall(2), which says nothing of the call it was: has
 * it go on waiting, sets out to the kernel function in which it does (as /proc/PID/wchan names it,
 * "0" where the kernel does not tell), and stops it again, with the same state of the kernel's.
 * -EPROTO where it did not wait any more: *answer is what the call answered then.
 */
int trace_waits_in(struct trace_thread *th, char *out, size_t size, int64_t *answer);

/* rseq(2) of the thread. A thread stopped inside a critical section is moved to its abort address,
 * as the kernel does when it takes the processor away. All zero where it has none. */
struct trace_rseq {
	uint64_t addr;
	uint32_t size, signature, flags;
};
int trace_rseq(struct trace_thread *th, struct trace_rseq *out);
/* The same for n threads of one process, in few looks at its memory. */
int trace_rseqs(struct trace_thread *const *th, size_t n, struct trace_rseq *out);

/* Signals in the queue of the thread, or (shared) of its process: copies of at most max, *out_n
 * of them. -E2BIG with a text if there are more. th->signal is not among them. */
int trace_pending(struct trace_thread *th, bool shared, siginfo_t *out, size_t max, size_t *out_n);

#endif
