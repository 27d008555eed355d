/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of the engine have of one another; kinds need kind.h alone. */
#ifndef CKPT_ENGINE_H
#define CKPT_ENGINE_H

#include "ckpt/kind.h"

struct ckpt_step {
	const char *name;
	int (*run)(struct ckpt *c);
};

/* Runs the steps in their order until one fails; each one's time goes to the log. */
int ckpt_run(struct ckpt *c, const struct ckpt_step *steps, size_t n);

uint64_t ckpt_now(void); /* microseconds */
void ckpt_log(struct ckpt *c, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Calls of one sort, for every kind that has it and every unit of its scope (zombies have none). */
enum ckpt_call { CALL_CHECK, CALL_COLLECT, CALL_AGAIN, CALL_SAVE, CALL_PREPARE, CALL_FINISH };
int ckpt_each(struct ckpt *c, enum ckpt_call what);
int ckpt_rebuild(struct ckpt *c, enum ckpt_phase phase);
/* The same for one process alone (PHASE_TREE). */
int ckpt_rebuild_proc(struct ckpt *c, struct ckpt_proc *p, enum ckpt_phase phase);

struct ckpt_proc *ckpt_add_proc(struct ckpt *c);
struct ckpt_thread *ckpt_add_thread(struct ckpt *c, struct ckpt_proc *p);
struct ckpt_file *ckpt_add_file(struct ckpt *c);

/* sections.c: container.json, and info.json and fds.json of each process. */
int sections_alloc(struct ckpt *c); /* zeroed records for all units */
int sections_write(struct ckpt *c);
int sections_read(struct ckpt *c);

/* tree.c, dump: who is in the container. */
int tree_find(struct ckpt *c);   /* without stopping anybody */
int tree_freeze(struct ckpt *c); /* stops all, and finds again */
/* How a process's parent is told of its end, as /proc/PID/stat has it. */
struct proc_stat;
void tree_told(struct ckpt_proc *p, const struct proc_stat *stat);

/* tree_end.c, dump */
int tree_release(struct ckpt *c); /* lets all go on as they were */
int tree_kill(struct ckpt *c);    /* all of them, dead when it returns */

/* pause.c, dump: around the stop of a container whose cgroup is frozen; else they do nothing. */
int pause_lift(struct ckpt *c);    /* its threads are asked to stop, then it is thawed */
void pause_again(struct ckpt *c);  /* before its threads are let go */
int pause_settle(struct ckpt *c);  /* after that */
void pause_forget(struct ckpt *c); /* it was ended */

/* files.c, dump */
int files_check(struct ckpt *c);
int files_collect(struct ckpt *c);

/* files_restore.c */
int files_begin(
	struct ckpt *c); /* the socket, the standard descriptors; all others of the root closed */
int files_make(struct ckpt *c, bool after_tree); /* every description that is made then */
int files_install(struct ckpt *c);               /* every table */
void files_end(struct ckpt *c);                  /* our own copies */

/* tree_restore.c */
int tree_take_over(struct ckpt *c); /* the root process, stripped to nothing */
int tree_plan(struct ckpt *c);      /* before a process exists: in which order, who by whom */
int tree_fork(struct ckpt *c);
/* A process cloned by t, with that number. Returns 0, and t->trace->born is the new one. */
int tree_clone(const struct ckpt_thread *t, uint64_t flags, int signal, pid_t number);
const char *tree_refusal(
	struct ckpt *c,
	const struct ckpt_proc *p); /* dump: why its place can't be made again, or NULL */
int tree_threads(struct ckpt *c);
int tree_bury(struct ckpt *c); /* those that had ended end */

#endif
