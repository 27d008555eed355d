/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Readers of /proc: what another process is. proc(5), and fs/proc of the kernel for what that
 * lacks.
 *
 * A function that reads returns 0 or -errno with a text; -ESRCH, without a text, where there is no
 * such process. A *_parse function takes the text of a file (NUL-terminated) and returns 0, or
 * -EPROTO with a text that names the line. Texts are hostile where the process has chosen a part of
 * them (its name, the names of files) and are bounded; results that are lists live in the arena.
 */
#ifndef TASK_PROC_H
#define TASK_PROC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>
#include <sys/types.h>
#include <time.h>

struct arena;

#define PROC_NAME_MAX 64          /* of a task; the kernel's own have up to 64 in status */
#define PROC_TEXT_MAX (64u << 20) /* of a file that is read whole */
#define PROC_LIST_MAX (1u << 20)  /* entries of a list */

struct proc_stat {
	char state; /* 'R', 'S', 'Z', 'X' ... */
	pid_t ppid;
	uint64_t start_time; /* clock ticks since boot: tells a reused pid from the old one */
	char name[PROC_NAME_MAX];
	pid_t pgrp, session, foreground; /* foreground: group of the terminal, -1 for none */
	uint32_t tty;                    /* as the kernel's new_encode_dev(); 0 for none */
	int32_t exit_signal, exit_code;  /* exit_code as wait(2) has it; 0 without ptrace rights */
	int32_t nice;
	int32_t threads;
	uint32_t flags; /* PF_*, include/linux/sched.h */
	/* addresses, as PR_SET_MM_MAP takes them: zero without ptrace rights */
	uint64_t start_code, end_code, start_stack, start_data, end_data, start_brk;
	uint64_t arg_start, arg_end, env_start, env_end;
};

/* /proc/PID/stat, and of a thread. -ESRCH without a text where there is none. */
int proc_stat(pid_t pid, struct proc_stat *out);
int proc_stat_of(pid_t pid, pid_t tid, struct proc_stat *out);
int proc_stat_parse(const char *text, struct proc_stat *out);

/* The start time alone, with a text on failure. */
int proc_start_time(pid_t pid, uint64_t *out);

struct proc_status {
	char name[PROC_NAME_MAX];
	char state;
	pid_t tgid, pid, ppid, tracer;
	pid_t ns_tgid, ns_pid, ns_pgid, ns_sid; /* in the innermost PID namespace */
	unsigned ns_levels;                     /* PID namespaces from the reader's to that one */
	uint32_t umask;
	bool has_mm;             /* VmSize is there: not a zombie, not a kernel thread */
	uint32_t uid[4], gid[4]; /* real, effective, saved, file system */
	uint32_t *groups;        /* NULL if no arena was given */
	size_t n_groups;
	uint32_t threads;
	uint64_t sig_pending, sig_shared, sig_blocked, sig_ignored,
		sig_caught; /* bit 0: signal 1 */
	uint64_t cap_inheritable, cap_permitted, cap_effective, cap_bounding, cap_ambient;
	bool no_new_privs;
	uint8_t seccomp; /* SECCOMP_MODE_*; 0: none */
	uint32_t seccomp_filters;
	uint64_t locked; /* bytes that count against RLIMIT_MEMLOCK: VmLck */
	bool thp;        /* transparent huge pages not switched off by prctl(2) */
};

/* /proc/PID/task/TID/status; a may be NULL where the groups are not wanted. */
int proc_status_of(pid_t pid, pid_t tid, struct arena *a, struct proc_status *out);
int proc_status_parse(const char *text, struct arena *a, struct proc_status *out);

/*
 * The lines of that which say what a thread may do, as they stand there: ids, groups, capabilities,
 * no_new_privs, seccomp. Two threads may do the same where these are. -EFBIG where all of the file
 * does not fit, -ESRCH without a text.
 */
int proc_rights(pid_t pid, pid_t tid, char *buf, size_t size);

/* Threads as listed, the leader first; children of all threads, in the reader's PID namespace
 * (-ENOSYS with a text on a kernel without CONFIG_PROC_CHILDREN); descriptors, ascending. */
int proc_tasks(struct arena *a, pid_t pid, pid_t **out, size_t *out_n);
int proc_children(struct arena *a, pid_t pid, pid_t **out, size_t *out_n);
int proc_fds(struct arena *a, pid_t pid, int **out, size_t *out_n);
int proc_children_parse(struct arena *a, const char *text, pid_t **out, size_t *out_n);

/* The text of a file of /proc/PID, or with tid of /proc/PID/task/TID, NUL-terminated: its length.
 * -EFBIG where it has not less than `size` bytes. For those files alone that the kernel tells in
 * one piece, however long: lists (maps, timers, mountinfo) are none of them. */
int proc_read(pid_t pid, pid_t tid, const char *name, char *buf, size_t size);

/* The target of a link of /proc/PID: "exe", "cwd", "root", "fd/3", "ns/pid". -ENAMETOOLONG. */
int proc_link(pid_t pid, const char *name, char *out, size_t size);

/* A value of the auxiliary vector (AT_*, getauxval(3)): -ENOENT with a text if it has none. The
 * whole vector, as PR_SET_MM_MAP takes it, at most PROC_AUXV_MAX bytes. */
#define PROC_AUXV_MAX 4096
int proc_auxv(pid_t pid, uint64_t type, uint64_t *out);
int proc_auxv_read(pid_t pid, void *out, size_t size, size_t *out_len);

/* The system call a thread waits in: struct regs_wait of arch/regs.h. -EAGAIN (no text) if it runs,
 * or waits in none. */
struct regs_wait;
int proc_syscall(pid_t pid, pid_t tid, struct regs_wait *out);
int proc_syscall_parse(const char *text, struct regs_wait *out);

/* The function of the kernel a thread sleeps in; "0" where that is not told. */
int proc_wchan(pid_t pid, pid_t tid, char *out, size_t size);

/* By RLIMIT_*; RLIM_INFINITY for "unlimited". */
int proc_limits(pid_t pid, struct rlimit out[RLIM_NLIMITS]);
int proc_limits_parse(const char *text, struct rlimit out[RLIM_NLIMITS]);

/* A POSIX timer: timer_create(2). Times are not told here: timer_gettime(2). */
struct proc_timer {
	int32_t id, clock;
	int32_t signal, notify; /* SIGEV_* */
	uint64_t value;         /* sigev_value */
	pid_t target; /* the thread of SIGEV_THREAD_ID, else the process; reader's namespace */
};
int proc_timers(struct arena *a, pid_t pid, struct proc_timer **out, size_t *out_n);
int proc_timers_parse(struct arena *a, const char *text, struct proc_timer **out, size_t *out_n);

/* VmFlags of smaps: fs/proc/task_mmu.c */
enum proc_vma_flag {
	PROC_VMA_GROWSDOWN = 1 << 0, /* gd */
	PROC_VMA_LOCKED = 1 << 1,    /* lo */
	PROC_VMA_LOCKONFAULT = 1 << 2,
	PROC_VMA_IO = 1 << 3,        /* io, pf: device memory */
	PROC_VMA_SEQ_READ = 1 << 4,  /* sr */
	PROC_VMA_RAND_READ = 1 << 5, /* rr */
	PROC_VMA_DONTFORK = 1 << 6,  /* dc */
	PROC_VMA_WIPEONFORK = 1 << 7,
	PROC_VMA_DONTEXPAND = 1 << 8,
	PROC_VMA_DONTDUMP = 1 << 9,
	PROC_VMA_NORESERVE = 1 << 10,
	PROC_VMA_HUGETLB = 1 << 11,
	PROC_VMA_HUGEPAGE = 1 << 12,   /* hg */
	PROC_VMA_NOHUGEPAGE = 1 << 13, /* nh */
	PROC_VMA_MERGEABLE = 1 << 14,
	PROC_VMA_UFFD = 1 << 15,   /* um, uw, ui: a userfaultfd is registered */
	PROC_VMA_SEALED = 1 << 16, /* sl */
	PROC_VMA_SHADOW_STACK = 1 << 17,
	PROC_VMA_DROPPABLE = 1 << 18,
	PROC_VMA_SYNC = 1 << 19,
	PROC_VMA_SOFTDIRTY = 1 << 20,
	PROC_VMA_MAYWRITE = 1 << 21, /* mw */
	PROC_VMA_MTE = 1 << 22,      /* mt */
	PROC_VMA_BTI = 1 << 23,      /* bt */
	PROC_VMA_UNKNOWN = 1u << 31, /* one this table has not */
};

struct proc_vma {
	uint64_t start, end, offset, inode;
	uint32_t major, minor;
	uint8_t prot; /* PROT_* */
	bool shared;
	bool deleted;     /* the file has no name any more: " (deleted)" is cut off */
	const char *name; /* a path, "[heap]", ...; "" for none */
	/* smaps only; sizes in bytes */
	bool has_flags;
	uint32_t flags; /* enum proc_vma_flag */
	uint32_t pkey;
	uint64_t page_size, rss, anonymous, swap;
};

struct proc_vmas {
	struct proc_vma *v;
	size_t n, cap;
};

/* Ascending: what is not is refused. Of mappings that overlap (of a process that runs one may be
 * told twice, as it was and as it is) the later ones count. [vsyscall] is left out: it is no
 * mapping. */
int proc_maps(struct arena *a, pid_t pid, struct proc_vmas *out);
int proc_smaps(struct arena *a, pid_t pid, struct proc_vmas *out);
int proc_maps_parse(struct arena *a, const char *text, struct proc_vmas *out);

/* The mapping at an address, or the first of a name: -ENOENT with a text where there is none. The
 * first costs microseconds where the kernel has PROCMAP_QUERY (6.11). */
int proc_vma_at(struct arena *a, pid_t pid, uint64_t addr, struct proc_vma *out);
int proc_vma_named(struct arena *a, pid_t pid, const char *name, struct proc_vma *out);

/*
 * Which pages are there, on an open /proc/PID/pagemap. What is told is a run of pages of one
 * category. Ask again from *out_next until it is end. 0, -EINTR (no text), or -errno with a text;
 * -EINVAL where the kernel does not know a category.
 */
enum proc_page {
	PROC_PAGE_WPALLOWED = 1 << 0,
	PROC_PAGE_WRITTEN = 1 << 1,
	PROC_PAGE_FILE = 1 << 2,
	PROC_PAGE_PRESENT = 1 << 3,
	PROC_PAGE_SWAPPED = 1 << 4,
	PROC_PAGE_PFNZERO = 1 << 5,
	PROC_PAGE_HUGE = 1 << 6,
	PROC_PAGE_SOFT_DIRTY = 1 << 7,
	PROC_PAGE_GUARD = 1 << 8,
};

struct proc_pages_query {
	uint64_t inverted; /* categories that are to be missing */
	uint64_t all, any; /* after inversion: all of these, one of those (0: no condition) */
	uint64_t told;     /* categories to tell runs apart by */
};

struct proc_page_run {
	uint64_t start, end, categories;
};

/* Pages of its own, not of a file and not zero: what has to be saved of a private mapping. */
extern const struct proc_pages_query proc_pages_private;

/*
 * Whether the kernel looks for them (PAGEMAP_SCAN, 6.7). An older one tells page by page, also where
 * nothing is mapped, and not which of them is the one of zeros: ask it for what may have some.
 */
bool proc_pages_scans(int pagemap);

int proc_pages(int pagemap, uint64_t start, uint64_t end, const struct proc_pages_query *query,
	       struct proc_page_run *runs, size_t max, size_t *out_n, uint64_t *out_next);
/* The same, page by page on any kernel. */
int proc_pages_read(int pagemap, uint64_t start, uint64_t end, const struct proc_pages_query *query,
		    struct proc_page_run *runs, size_t max, size_t *out_n, uint64_t *out_next);

/* A line of mountinfo: mounts of the process's namespace, in the order of the file. */
struct proc_mount {
	int32_t id, parent;
	uint32_t major, minor;
	const char *root, *point, *options;     /* unescaped */
	int32_t shared, master, propagate_from; /* peer groups; 0 for none */
	bool unbindable;
	const char *type, *source, *super_options;
};
int proc_mounts(struct arena *a, pid_t pid, struct proc_mount **out, size_t *out_n);
int proc_mounts_parse(struct arena *a, const char *text, struct proc_mount **out, size_t *out_n);

#endif
