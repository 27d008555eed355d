/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a checkpoint is made of: kinds. A kind owns one sort of state in both directions, in one
 * file k_<name>.c: what can't be saved and why (check), what it reads from a frozen task (collect),
 * how it looks as text (its record table), and how a fresh, stopped task gets it back (rebuild).
 *
 * There are two tables, in kinds.c:
 *
 *	ckpt_kinds[]	state of the container, of a process or of a thread. Its record is a
 *			section, named after the kind, of container.json, of
 *			process.<pid>.info.json or of the thread's entry in there. The engine
 *			allocates the record, writes it, reads it back.
 *	file_kinds[]	what a descriptor can stand for. The first row that owns a descriptor has
 *			it; what no row owns makes the preflight fail. An open file description is
 *			one struct ckpt_file, however many descriptors of however many processes
 *			share it (kcmp(2)), and is made once.
 *
 * Order at dump: check() of all while the container runs; then it is frozen, collect() in the order
 * of the table, then of all files, then save() for what is large. At restore: prepare() in thole
 * before a process exists, mostly while the container is being made; then every rebuild phase, in
 * the order of enum ckpt_phase, for each unit of every kind in the order of the table. Parents come
 * before their children, first threads before others.
 *
 * A kind must leave a task as it found it at dump (other than for what trace_*() itself puts back),
 * and may use c->arena as it likes: it lives as long as the command.
 */
#ifndef CKPT_KIND_H
#define CKPT_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "ckpt/ckpt.h"
#include "ckpt/image.h"
#include "ckpt/record.h"
#include "task/proc.h"
#include "task/proc_fd.h"
#include "task/stay.h"

struct ahead;
struct alike;
struct ask;
struct asked;
struct ckpt_batch;
struct mounts_seen;
struct proxy;
struct confine;
struct domains;
struct looked;
struct shown;
struct trace;
struct trace_thread;

#define CKPT_KINDS_MAX 40

struct ckpt_thread {
	struct ckpt_proc *proc;
	pid_t host;                 /* as thole sees it */
	pid_t tid;                  /* as the container sees it: the innermost NSpid */
	struct trace_thread *trace; /* while it is under control */
	void *sections[CKPT_KINDS_MAX];
};

struct ckpt_proc {
	pid_t host, pid;
	struct ckpt_proc *parent; /* NULL: the container's init */
	struct ckpt_proc *maker;  /* restore: who clones it, its parent or a ghost */
	pid_t session, group;     /* as the container sees them */
	uint32_t exit_status;     /* of a zombie, as wait(2) gives it */
	int32_t end_signal;       /* that tells its parent of its end; 0: SIGCHLD, -1: none */
	struct trace *trace;      /* while it is under control */
	struct asked *asked;      /* dump: of ask.c */
	const struct proc_status *status; /* dump */
	bool is_new;                      /* dump: check() has not seen it */
	bool zombie;                      /* no threads are to be had, memory and files neither */
	bool stopped;                     /* by job control: it goes on being stopped */
	bool serves; /* dump: others of the container may connect to it, so it is stopped last */
	bool ghost;  /* restore: not of the image; its number is that of a session or group */
	struct ckpt_thread **threads; /* the first one is the process's own */
	size_t n_threads, threads_room;
	struct ckpt_fd *fds; /* by number */
	size_t n_fds;
	void *sections[CKPT_KINDS_MAX];
	void *notes[CKPT_KINDS_MAX]; /* a kind's own; at dump from check() on, NULL where
					the process was not there yet */
};

/* One descriptor of one process. */
struct ckpt_fd {
	uint32_t fd;
	bool cloexec;
	uint32_t file; /* c->files[file] */
};

struct file_kind;

/* One open file description. */
struct ckpt_file {
	uint32_t id; /* its place in c->files */
	const struct file_kind *kind;
	uint32_t flags; /* O_* of open(2), without O_CLOEXEC */
	uint64_t pos;
	void *record; /* of the kind's table */
	int fd;       /* restore: thole's own descriptor for it, -1 before it is made */
	/* dump: where it was seen first */
	struct ckpt_proc *owner;
	uint32_t owner_fd;
	uint64_t dev, ino;
};

/* Restore phases. All units of all kinds finish one before the next begins. */
enum ckpt_phase {
	/* only the root process exists, nothing of it is overwritten: mounts, namespaces, names */
	PHASE_ROOT,
	/* objects that processes share are made, in thole or in the root process */
	PHASE_SHARED,
	/* sessions; then the engine forks the tree: a process's phase comes before its children */
	PHASE_TREE,
	/* descriptor tables stand after this one */
	PHASE_FILES,
	/* mappings and pages; from here on the old memory is the task's own */
	PHASE_MEMORY,
	/* what hangs on the memory: brk, auxv, /proc/PID/exe; and what the first thread hands down
	 * to those it clones */
	PHASE_MM,
	/* all threads exist: per-thread state that signals or rights don't hinder */
	PHASE_THREADS,
	/* actions, timers: every signal is blocked meanwhile */
	PHASE_SIGNALS,
	/* pending signals; limits, credentials, capabilities: no privilege after it */
	PHASE_RIGHTS,
	/* filters: no system call after it that they might deny */
	PHASE_CONFINE,
	/* re-arming of interrupted calls, then registers and masks, without a system call */
	PHASE_CPU,
	CKPT_PHASES
};

enum kind_scope { KIND_CONTAINER, KIND_PROCESS, KIND_THREAD };

/* What a kind is called for: p and t are set by its scope, rec is its record (zeroed at collect,
 * NULL without table). */
struct ckpt_unit {
	struct ckpt *c;
	struct ckpt_proc *p;
	struct ckpt_thread *t;
	void *rec;
};

struct ckpt_kind {
	const char *name; /* also of its section */
	enum kind_scope scope;
	const struct record_table *table; /* NULL: nothing of its own in the JSON */

	/*
	 * What check() and (frozen) collect() read of a process, a KIND_PROCESS's, from /proc and
	 * by its number alone: ahead_take() has it for them. Another thread may do it (ahead.h).
	 */
	int (*look)(struct arena *a, pid_t host, void **out);
	int (*look_frozen)(struct arena *a, pid_t host, void **out);

	/*
	 * The container runs and nothing is under control: only what /proc and the like tell. Calls
	 * ckpt_problem() for everything that can't be saved and returns 0, or -errno where it could
	 * not even look.
	 */
	int (*check)(const struct ckpt_unit *u);
	/* Of a process, frozen: what its first thread is to be asked by system calls (ask.h). */
	int (*ask)(const struct ckpt_unit *u, struct ask *a);
	int (*collect)(const struct ckpt_unit *u); /* frozen; refuses by failing */
	/* Frozen, when all is collected: what check() found right and may be otherwise since, or
	 * was not there. Tells it as check() does. */
	int (*again)(const struct ckpt_unit *u);
	int (*save)(
		const struct ckpt_unit *u); /* frozen: files of its own in the image (c->writer) */
	int (*prepare)(
		const struct ckpt_unit *u); /* checks what an image says, opens files (c->image) */
	int (*rebuild[CKPT_PHASES])(const struct ckpt_unit *u);
	int (*finish)(const struct ckpt_unit *u); /* it runs: what may be done from outside alone */
};

extern const struct ckpt_kind
	*const ckpt_kinds[]; /* NULL-terminated; order is the order of the calls */

/* What is known of a descriptor before anything is frozen. */
struct file_look {
	struct ckpt *c;
	struct ckpt_proc *p;
	uint32_t fd;
	const char *link; /* what /proc/PID/fd/N says */
	enum proc_fd_kind sort;
	const struct proc_fdinfo *info;
	struct stat st;  /* of what it stands for */
	int64_t fs_type; /* statfs(2), 0 where it has none */
	uint32_t flags;  /* O_*, without O_CLOEXEC */
	bool cloexec;
	uint64_t pos;
	bool *passing; /* check() sets it where the reason is likely gone in a moment */
};

struct file_kind {
	const char *name;
	const struct record_table *table; /* NULL: flags and position are all */
	bool (*owns)(const struct file_look *l);
	/* NULL: it can be saved; else the reason why this one can't, in the arena or static. */
	const char *(*check)(const struct file_look *l);
	/* Frozen. Called once for each description; l is of the first descriptor seen. */
	int (*collect)(const struct file_look *l, struct ckpt_file *f);
	/*
	 * PHASE_SHARED: makes the description and returns thole's descriptor of it. Where it must
	 * be made by the container (a path, a socket): call in ckpt_root() and fetch by
	 * ckpt_fetch_fd(). Position and O_APPEND, O_NONBLOCK ... are set by the engine where
	 * keeps_pos and keeps_flags.
	 */
	int (*make)(struct ckpt *c, struct ckpt_file *f);
	/* After PHASE_FILES, once: what needs the descriptor tables (epoll targets). NULL:
	 * nothing. */
	int (*link)(struct ckpt *c, struct ckpt_file *f);
	bool after_tree;  /* make() after PHASE_TREE: it stands for one of the processes */
	bool keeps_pos;   /* lseek(2) to f->pos after make() */
	bool keeps_flags; /* fcntl(2) F_SETFL to f->flags after make() */
};

extern const struct file_kind
	*const file_kinds[]; /* NULL-terminated; the first that owns one has it */

/* One checkpoint or restore under way. */
struct ckpt {
	struct arena *arena;
	const struct record_codec *codec;
	const struct ckpt_options *options;
	const struct sandbox *sb;           /* restore: of the new configuration */
	const struct ckpt_subject *subject; /* dump */
	const struct sandbox_task *task;    /* restore */
	struct ckpt_proc **procs;           /* the first one is init; parents before children */
	size_t n_procs, procs_room;
	struct ckpt_file **files;
	size_t n_files, files_room;
	void *sections[CKPT_KINDS_MAX]; /* of the container */
	struct image_writer *writer;
	struct image *image;
	struct image *parent; /* dump: what the new image builds on, or NULL */
	bool pre_dump;        /* dump: memory alone, while the container runs */
	struct ckpt_problems *problems;
	struct ckpt_stats stats;
	struct ckpt_progress progress;
	bool only_check;   /* of ckpt_check(): there is time, and nothing will be frozen */
	bool no_way_back;  /* dump: the image has its name */
	pid_t guard;       /* dump: who pauses the container again, 0: it was not paused */
	int guard_word;    /* by which it is told to */
	bool saves;        /* dump: not only the preflight */
	bool again;        /* dump: it was stopped at a bad moment, and let go */
	unsigned patience; /* dump: microseconds for those who serve, when all others are stopped */
	uint64_t began;    /* microseconds, CLOCK_MONOTONIC */
	struct stay stay;  /* while errands are run */
	int pass;          /* restore: socket whose other end every process of the tree holds at */
	uint32_t park;     /* this descriptor, beyond all of theirs, until kind_fs closes it */
	struct ckpt_batch *batch;   /* of batch_begin() */
	struct ahead *ahead;        /* of ahead.c */
	struct ask *ask;            /* of ask.c */
	struct mounts_seen *mounts; /* of mounts_read() */
	bool held;                  /* dump: the supervisor is, by guard_hold() */
	uint32_t followed;          /* dump: how many threads it has not yet let go of */
	uint64_t slice;      /* dump: ns that threads run which chose no other; 0: not asked */
	uint64_t net_cookie; /* dump: of the network of the container; 0: not asked */
	pid_t newest;        /* dump: of the host, when the container's processes were looked for */
	struct proxy *proxies;     /* restore: proxy.h */
	struct confine *confine;   /* of k_confine.c */
	struct domains *domains;   /* of k_domain.c */
	struct looked *looked;     /* of look.c */
	struct shown *shown;       /* of shown.c */
	const struct ids *ids;     /* of ids.c */
	struct digester *digester; /* restore: of memory_digest.c */
	struct alike *alike;       /* dump: of alike.c, while there is a look at the processes */
	int stdio[3];              /* restore: what the new container's descriptors 0 to 2 are */
	uint64_t settled; /* restore: address of the pages that errands run from, free in all
			     layouts */
};

/* ---- what the engine offers a kind */

/*
 * Makes the stopped thread execute a system call. Returns its result, or -errno with the text
 * "process 7: <what>: <reason>". For many calls: trace_batch() of t->trace.
 */
#define ckpt_call(t, what, nr, ...) \
	ckpt_call_args((t), (what), (nr), (const uint64_t[6]){ __VA_ARGS__ })
int64_t ckpt_call_args(const struct ckpt_thread *t, const char *what, long nr, const uint64_t *arg);

/* Bytes for such a call to point to, in the process's scratch memory (TRACE_SCRATCH bytes) at
 * offset `at`. What lies there is anybody's after the next call. Return 0 or -errno with a text. */
int ckpt_put(const struct ckpt_thread *t, size_t at, const void *data, size_t len,
	     uint64_t *out_addr);
int ckpt_get(const struct ckpt_thread *t, size_t at, void *out, size_t len);

/* Preflight: one thing that can't be saved. p NULL: the container. fd -1: none. */
void ckpt_problem(struct ckpt *c, const struct ckpt_proc *p, int fd, const char *what,
		  const char *why, ...) __attribute__((format(printf, 5, 6)));

/* The name of a file of the image that belongs to a process: process.<pid>.<what> */
const char *ckpt_file_name(struct ckpt *c, const struct ckpt_proc *p, const char *what);

/* So many bytes more are saved or restored. 0, or -errno with a text: the work is to end. */
int ckpt_tick(struct ckpt *c, uint64_t bytes);

/* Where the kind keeps its note on a process. */
void **ckpt_note(const struct ckpt_kind *k, struct ckpt_proc *p);

/* The record of another kind for the same container, process or thread; NULL where there is
 * none. */
void *ckpt_section(const struct ckpt_kind *k, const struct ckpt_unit *u);

struct ckpt_proc *ckpt_find_pid(struct ckpt *c, pid_t pid); /* as the container sees it */

/* Restore: the root process's first thread, under control, with all rights of the container's
 * root. */
struct ckpt_thread *ckpt_root(struct ckpt *c);

/* Restore, before the tree is forked: one more process, that ends before the container goes on. */
struct ckpt_proc *ckpt_add_ended(struct ckpt *c);

/* Restore: a copy of a task's descriptor in thole (pidfd_getfd(2)), close-on-exec. fd or -errno
 * with a text. */
int ckpt_fetch_fd(const struct ckpt_thread *t, int fd);

/* The same, and the task has it no more. */
int ckpt_take_fd(const struct ckpt_thread *t, int fd);

/*
 * Restore: how a path of the image's is opened in a process, for openat2(2). Links of procfs are
 * not followed: /proc/self/exe would lead to the runtime's own program.
 */
struct open_how;
struct open_how ckpt_how(int flags);

/* Restore: opens such a path in the root process, as its root, and fetches it; or one of
 * shown.h. */
int ckpt_open_path(struct ckpt *c, const char *path, int flags);

/* Restore, up to PHASE_MM: gives a task a copy of thole's descriptor. Its number there, or
 * -errno with a text. */
int ckpt_send_fd(struct ckpt *c, const struct ckpt_thread *t, int fd);

/* Restore, after PHASE_FILES: the number that the next descriptor of a process gets, the lowest it
 * does not use. */
int64_t ckpt_next_fd(const struct ckpt *c, const struct ckpt_proc *p);

/* Dump, frozen: a descriptor of ours whose description is the container's, and perhaps no process's
 * (it is in flight in a socket). Collects it like any other, unless it is known already. 0 or
 * -errno with a text. */
int ckpt_adopt(struct ckpt *c, int fd, uint32_t *out_file);

/* The description behind a descriptor of a process; NULL where it has no such descriptor. */
struct ckpt_file *ckpt_file_of(struct ckpt *c, const struct ckpt_proc *p, uint32_t fd);

#endif
