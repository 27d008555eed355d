/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TASK_TRACE_PRIV_H
#define TASK_TRACE_PRIV_H

#include "task/trace.h"

enum stop_kind {
	STOP_TRAP,    /* of PTRACE_INTERRUPT, or job control: no signal is involved */
	STOP_SIGNAL,  /* about to deliver stop.signal */
	STOP_SYSCALL, /* entry or exit of a system call */
	STOP_BORN,    /* it has cloned */
	STOP_GONE,    /* it has ended */
};

struct stop {
	enum stop_kind kind;
	int signal;
};

/*
 * The next stop of the thread: waits for ever, or at most patience_ms (>= 0; -ETIMEDOUT). Sets
 * th->gone and th->born. 0 or -errno with a text.
 */
#define TRACE_FOR_EVER (-1)
int trace_wait(struct trace_thread *th, int patience_ms, struct stop *out);

/* The same of one that was asked to stop: options.late is told if it takes its time. */
int trace_wait_asked(struct trace_thread *th, unsigned patience_ms, struct stop *out);

/* The dead of a process are waited for as soon as possible: an execve goes on only then. */
void trace_collect_dead(struct trace *t);

/*
 * While the threads of a process are seized: somebody who waits for the dead meanwhile (see the
 * file). trace_guard_seizing() stands around each PTRACE_SEIZE. start: 0 or -errno with a text.
 */
int trace_guard_start(struct trace *t);
void trace_guard_seizing(struct trace *t, bool begins);
void trace_guard_end(struct trace *t);

/* A tracee that was killed stays a zombie until its tracer has waited for it. */
void trace_reap(struct trace_thread *th);

/* ptrace(2); a thread that is gone is marked so. 0 or -errno with a text ("<what> thread N:
 * ..."). */
int trace_ptrace(struct trace_thread *th, int request, void *addr, uint64_t data, const char *what);

/* PTRACE_O_* that all threads of t have from the start. */
uint64_t trace_base_options(const struct trace *t);

/* Others than those, and filters stay suspended where they are. */
int trace_set_options(struct trace_thread *th, uint64_t options);

/* A new thread of t, after those there are. */
struct trace_thread *trace_add(struct trace *t, pid_t tid);

/* A filter that cannot be suspended lets the call pass; the -EPERM if it does not. */
bool trace_allowed(const struct trace_thread *th, int64_t nr, const uint64_t *arg);
int trace_refuse(const struct trace_thread *th, int64_t nr);

/* Finds where the vDSO has room for code: the one mapped at `vdso`, or for 0 that of thread th. */
int trace_room(struct trace_thread *th, uint64_t vdso);

/* Chooses the parts of the room to write to, and saves what is there; nothing if that is done. */
int trace_choose_area(struct trace *t);
/* Puts that back, once no thread is on it any more. */
int trace_restore_room(struct trace *t);

/* Whether a stopped thread is on the code of a tracer that died, or will come back to it. */
int trace_going_home(struct trace *t, struct trace_thread *th, bool *out);

/* Makes th the one that is away: its way home is in the area. Its registers are still its own,
 * unless it had to take over the tracer's mapping from another. */
int trace_depart(struct trace_thread *th);

/* Writes the code of errands, with the way home of th, to where there is room for it now. */
int trace_write_code(struct trace_thread *th);

/* The word that says who unmaps the tracer's mapping, should the tracer die. */
int trace_name_keeper(struct trace_thread *th);

/* What has to be known of a thread before its first errand, and of its process. */
int trace_prepare(struct trace_thread *th);

/* The signal that ends its errands, once that is known; 0: they take two stops a call. */
int trace_end_of(const struct trace_thread *th);

/* Makes the tracer's mapping. */
int trace_map_room(struct trace_thread *th);
/* Its halves, for a departed thread whose errands end with a signal. */
int trace_map_begin(struct trace_thread *th);
int trace_map_end(struct trace_thread *th);

/* A departed thread runs n calls that are there, from number `from` on. */
int trace_run_array(struct trace_thread *th, size_t from, size_t n);

/* The halves of an errand that ends with a signal: others may begin theirs in between. */
int trace_begin(struct trace_thread *th, const struct regs *r);
int trace_end(struct trace_thread *th, struct regs *r);

/* One call by a thread that has departed. where: at which of the places for one. */
int trace_call_at(struct trace_thread *th, uint32_t where, struct inject_call *call);

/* Gives a departed thread the registers of an errand. */
int trace_set_out(struct trace_thread *th, const struct regs *r);

/*
 * Lets it go on until a stop of kind `want`: for STOP_SIGNAL the one that ends an errand. *r: its
 * registers then.
 */
int trace_go_on(struct trace_thread *th, int request, enum stop_kind want, struct regs *r);
/* Its halves, for threads that go on at the same time. */
int trace_let_go(struct trace_thread *th, int request);
int trace_await(struct trace_thread *th, int request, enum stop_kind want, struct regs *r);

/* Binds a thread that is away to the tracer's processor, where that may be, and gives it its own
 * back. */
void trace_pin(struct trace_thread *th);
int trace_unpin(struct trace_thread *th);

/* Puts the registers, mask and processors of one thread back; nothing if they are not changed. */
int trace_release(struct trace_thread *th);

#endif
