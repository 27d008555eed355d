/* SPDX-License-Identifier: Apache-2.0 */
/* Dump: who is in the container, and all of them stopped. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/confine.h"
#include "ckpt/domain.h"
#include "ckpt/engine.h"
#include "ckpt/guard.h"
#include "supervise.h"
#include "task/trace.h"

#define ROUNDS_MAX 100
#define TOGETHER_MS 50 /* in which those who are asked together stop */

/* linux/nsfs.h, since Linux 6.11 */
#define GET_PID_IN_PIDNS _IOR(0xb7, 0x8, int)
/* and since 4.9 */
#define GET_PARENT_NS _IO(0xb7, 0x2)

#define NS_LINK_SIZE 64
#define NEW_MAX 1024 /* numbers that are looked at one by one, before all are */

struct stranger {
	pid_t pid;
	char ns[NS_LINK_SIZE];
};

struct members {
	pid_t *v;
	size_t n, room;
	struct stranger *strangers; /* one of each other pid namespace, but for thole's own */
	size_t n_strangers, strangers_room;
};

static int ns_link(pid_t pid, char *out, size_t size)
{
	return proc_link(pid, "ns/pid", out, size);
}

static void add_stranger(struct ckpt *c, struct members *m, pid_t pid, const char *ns)
{
	struct stranger *s;

	for (size_t i = 0; i < m->n_strangers; i++)
		if (strcmp(m->strangers[i].ns, ns) == 0)
			return;
	m->strangers = arena_grow(c->arena, m->strangers, m->n_strangers, &m->strangers_room,
				  sizeof(*m->strangers));
	s = &m->strangers[m->n_strangers++];
	s->pid = pid;
	memcpy(s->ns, ns, sizeof(s->ns));
}

static void add_member(struct ckpt *c, struct members *m, pid_t pid)
{
	m->v = arena_grow(c->arena, m->v, m->n, &m->room, sizeof(*m->v));
	m->v[m->n++] = pid;
}

/* Every process of the pid namespace, in no order. What can't be looked at is not the
 * container's. */
static int find_members(struct ckpt *c, struct members *m)
{
	char want[NS_LINK_SIZE], own[NS_LINK_SIZE], is[NS_LINK_SIZE];
	struct dirent *e;
	pid_t pid;
	DIR *proc;
	int ret = ns_link(c->subject->init, want, sizeof(want));

	if (ret)
		return fail(-ret, "look at the pid namespace of process %d: %s", c->subject->init,
			    err_reason(-ret));
	if (ns_link(getpid(), own, sizeof(own)))
		own[0] = '\0';
	proc = opendir("/proc");
	if (!proc)
		return fail_errno("open /proc");
	m->n = m->n_strangers = 0;
	while ((e = readdir(proc))) {
		pid = e->d_name[0] >= '1' && e->d_name[0] <= '9' ? atoi(e->d_name) : 0;
		if (!pid || ns_link(pid, is, sizeof(is)))
			continue;
		if (strcmp(is, want) != 0) {
			if (strcmp(is, own) != 0)
				add_stranger(c, m, pid, is);
			continue;
		}
		add_member(c, m, pid);
	}
	closedir(proc);
	return 0;
}

/* The number that the kernel gave last, proc_loadavg(5); 0 where it can't be had. */
static pid_t newest_pid(void)
{
	auto_fd fd = open("/proc/loadavg", O_RDONLY | O_CLOEXEC);
	char text[128];
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	const char *last;

	text[n < 0 ? 0 : n] = '\0';
	last = strrchr(text, ' ');
	return last ? atoi(last + 1) : 0;
}

static void add_if_member(struct ckpt *c, struct members *m, pid_t pid, const char *want)
{
	char is[NS_LINK_SIZE];

	if (ns_link(pid, is, sizeof(is)) || strcmp(is, want) != 0)
		return;
	add_member(c, m, pid);
}

/* Not a thread, whose number leads to its process in /proc as well. */
static bool is_process(pid_t pid)
{
	auto_fd pidfd = (int)sys_pidfd_open(pid, 0);

	return pidfd >= 0;
}

/*
 * The same where those from before are known. A pid namespace is never changed, and numbers are
 * given in turn: what is new has one of those given since.
 */
static int find_more(struct ckpt *c, struct ckpt_proc **before, size_t n_before, struct members *m)
{
	pid_t newest = newest_pid();
	char want[NS_LINK_SIZE];

	if (!c->newest || newest < c->newest || newest - c->newest > NEW_MAX ||
	    ns_link(c->subject->init, want, sizeof(want)))
		return find_members(c, m);
	m->n = m->n_strangers = 0;
	for (size_t i = 0; i < n_before; i++)
		if (before[i]->zombie)
			add_if_member(c, m, before[i]->host, want);
	for (pid_t pid = c->newest + 1; pid <= newest; pid++)
		if (is_process(pid))
			add_if_member(c, m, pid, want);
	return 0;
}

static struct ckpt_proc *find_host(struct ckpt *c, pid_t host)
{
	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->host == host)
			return c->procs[i];
	return NULL;
}

static int read_status(struct ckpt *c, pid_t host, const struct proc_status **out)
{
	struct proc_status *status = arena_alloc(c->arena, sizeof(*status));
	int ret = proc_status_of(host, host, c->arena, status);

	if (!ret)
		*out = status;
	return ret;
}

void tree_told(struct ckpt_proc *p, const struct proc_stat *stat)
{
	p->end_signal = stat->exit_signal == SIGCHLD ? 0
			: stat->exit_signal > 0      ? stat->exit_signal
						     : -1;
}

/* Who it is. The parent is found when all are known. */
static int describe(struct ckpt *c, struct ckpt_proc *p)
{
	const struct proc_status *status = p->trace ? p->trace->status : NULL;
	struct proc_stat stat;
	int ret = status ? 0 : read_status(c, p->host, &status);

	if (ret)
		return ret;
	p->status = status;
	p->pid = status->ns_pid;
	p->group = status->ns_pgid;
	p->session = status->ns_sid;
	p->zombie = status->state == 'Z' || status->state == 'X';
	p->stopped = p->trace && p->trace->threads[0]->group_stop;
	if (!p->zombie)
		return 0;
	if (status->threads > 1)
		return fail(ENOTSUP, "process %d: its first thread has ended while others run",
			    p->pid);
	ret = proc_stat(p->host, &stat);
	if (ret)
		return ret;
	p->exit_status = (uint32_t)stat.exit_code;
	tree_told(p, &stat);
	return 0;
}

static void find_parents(struct ckpt *c)
{
	for (size_t i = 0; i < c->n_procs; i++) {
		struct ckpt_proc *p = c->procs[i];

		p->parent = p->pid == 1 ? NULL : find_host(c, p->status->ppid);
	}
}

static size_t depth(const struct ckpt_proc *p)
{
	size_t n = 0;

	for (; p->parent && n < 65536; p = p->parent)
		n++;
	return n;
}

static int compare_procs(const void *a, const void *b)
{
	const struct ckpt_proc *x = *(struct ckpt_proc *const *)a;
	const struct ckpt_proc *y = *(struct ckpt_proc *const *)b;
	size_t dx = depth(x), dy = depth(y);

	return dx == dy ? (x->pid > y->pid) - (x->pid < y->pid) : dx < dy ? -1 : 1;
}

static int order(struct ckpt *c)
{
	find_parents(c);
	qsort(c->procs, c->n_procs, sizeof(*c->procs), compare_procs);
	if (!c->n_procs || c->procs[0]->pid != 1 || c->procs[0]->host != c->subject->init ||
	    c->procs[0]->zombie)
		return fail(ESRCH, "the container's first process has ended");
	return 0;
}

/* Numbers of threads as the container sees them; the kernel translates, or its text is read. */
static int inner_tid(int ns, pid_t pid, pid_t tid, pid_t *out)
{
	int n = ns < 0 ? -1 : ioctl(ns, GET_PID_IN_PIDNS, tid);
	struct proc_status status;
	int ret;

	if (n > 0) {
		*out = n;
		return 0;
	}
	ret = proc_status_of(pid, tid, NULL, &status);
	if (!ret)
		*out = status.ns_pid;
	return ret;
}

static int open_ns(struct ckpt *c)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", c->subject->init);
	return open(path, O_RDONLY | O_CLOEXEC);
}

/* A process whose parent is not of the container was brought in from outside (exec). */
static void check_outsiders(struct ckpt *c)
{
	for (size_t i = 1; i < c->n_procs; i++)
		if (!c->procs[i]->parent)
			ckpt_problem(c, c->procs[i], -1, "a process that was brought in by exec",
				     "its parent is outside of the container and waits for it");
}

/* Whether a namespace is within that of the inode: the kernel leads from each to the next outer
 * one. */
static bool is_within(const struct stranger *s, const struct stat *of)
{
	char path[64];
	auto_fd ns = -1;
	struct stat st;
	int outer;

	snprintf(path, sizeof(path), "/proc/%d/ns/pid", s->pid);
	ns = open(path, O_RDONLY | O_CLOEXEC);
	while (ns >= 0 && (outer = ioctl(ns, GET_PARENT_NS)) >= 0) {
		fd_close(ns);
		ns = outer;
		if (fstat(ns, &st) == 0 && st.st_dev == of->st_dev && st.st_ino == of->st_ino)
			return true;
	}
	return false;
}

static bool has_nested(const struct members *m, int ns)
{
	struct stat st;

	if (fstat(ns, &st) < 0)
		return true;
	for (size_t i = 0; i < m->n_strangers; i++)
		if (is_within(&m->strangers[i], &st))
			return true;
	return false;
}

/* Whose child it is. The processes of a pid namespace within are none of this one's members. */
static int check_nested(struct ckpt *c, struct ckpt_proc *p)
{
	char ns[NS_LINK_SIZE], own[NS_LINK_SIZE];
	pid_t *children;
	size_t n;
	int ret = ns_link(p->host, own, sizeof(own));

	if (!ret)
		ret = proc_children(c->arena, p->host, &children, &n);
	for (size_t i = 0; !ret && i < n; i++)
		if (ns_link(children[i], ns, sizeof(ns)) == 0 && strcmp(ns, own) != 0)
			ckpt_problem(c, p, -1, "a child in another pid namespace",
				     "nested pid namespaces can't be restored");
	return ret == -ESRCH || ret == -ENOENT ? 0 : ret;
}

static int list_threads(struct ckpt *c, struct ckpt_proc *p, int ns)
{
	struct ckpt_thread *t;
	pid_t *tids;
	size_t n;
	int ret;

	if (p->status->threads == 1) {
		t = ckpt_add_thread(c, p);
		t->host = p->host;
		t->tid = p->pid;
		return 0;
	}
	ret = proc_tasks(c->arena, p->host, &tids, &n);

	for (size_t i = 0; !ret && i < n; i++) {
		t = ckpt_add_thread(c, p);
		t->host = tids[i];
		if (inner_tid(ns, p->host, t->host, &t->tid))
			p->n_threads--; /* it has ended */
	}
	return ret;
}

int tree_find(struct ckpt *c)
{
	auto_fd ns = open_ns(c);
	struct members m = { 0 };
	bool nested;
	struct ckpt_proc *p;
	int ret;

	c->newest = newest_pid(); /* before they are listed */
	ret = find_members(c, &m);

	for (size_t i = 0; i < m.n && !ret; i++) {
		p = ckpt_add_proc(c);
		p->host = m.v[i];
		ret = describe(c, p);
		if (!ret && !p->zombie)
			ret = list_threads(c, p, ns);
		if (ret == -ENOENT || ret == -ESRCH) { /* it has ended */
			c->n_procs--;
			ret = 0;
		}
	}
	if (!ret)
		ret = order(c);
	nested = !ret && has_nested(&m, ns);
	for (size_t i = 0; i < c->n_procs && !ret && nested; i++)
		ret = check_nested(c, c->procs[i]);
	if (!ret)
		check_outsiders(c);
	return ret;
}

/* ---- stopping */

/* It may wait in a call that the supervisor answers when somebody else has done his part. */
static int yield(void *ctx, pid_t tid)
{
	const struct ckpt *c = ctx;

	return super_yield(c->subject->supervisor, tid);
}

static int begin_stop(struct ckpt *c, struct ckpt_proc *p, unsigned patience_ms)
{
	const struct trace_options options = {
		.patience_ms = patience_ms,
		.allowed = confine_allows,
		.late = c->held ? yield : NULL,
		.ctx = c,
	};

	return trace_seize_begin(c->arena, p->host, &options, &p->trace);
}

static int end_stop(struct ckpt *c, struct ckpt_proc *p, int ns)
{
	struct ckpt_thread *t;
	int ret = trace_seize_end(p->trace);

	p->n_threads = 0;
	for (size_t i = 0; !ret && i < p->trace->n; i++) {
		t = ckpt_add_thread(c, p);
		t->trace = p->trace->threads[i];
		t->host = t->trace->tid;
		ret = inner_tid(ns, p->host, t->host, &t->tid);
		if (i && (ret == -ENOENT || ret == -ESRCH)) { /* it has ended */
			p->n_threads--;
			ret = 0;
		}
	}
	return ret;
}

static bool is_zombie(pid_t pid)
{
	struct proc_stat stat;

	return proc_stat(pid, &stat) == 0 && (stat.state == 'Z' || stat.state == 'X');
}

static int let_go(struct ckpt_proc *p)
{
	int ret = p->trace ? trace_detach(p->trace) : 0;

	p->trace = NULL;
	return ret;
}

/* c->procs[i] ended at this moment: what is left of it takes its place, a zombie, or nothing. */
static void drop_ended(struct ckpt *c, size_t i)
{
	pid_t host = c->procs[i]->host;

	let_go(c->procs[i]);
	if (is_zombie(host)) {
		c->procs[i] = arena_alloc(c->arena, sizeof(**c->procs));
		*c->procs[i] = (struct ckpt_proc){ .host = host, .zombie = true };
		return;
	}
	memmove(c->procs + i, c->procs + i + 1, (--c->n_procs - i) * sizeof(*c->procs));
}

static void put_proc(struct ckpt *c, struct ckpt_proc *p)
{
	ckpt_add_proc(c);
	c->procs[c->n_procs - 1] = p;
}

/* c->procs from `from` on: all are asked before any is waited for, or (patience_ms 0) each
 * alone. */
static int stop_all(struct ckpt *c, size_t from, unsigned patience_ms, int ns)
{
	int ret = 0;

	for (size_t i = from; i < c->n_procs && patience_ms && !ret; i++)
		ret = begin_stop(c, c->procs[i], patience_ms);
	for (size_t i = from; i < c->n_procs && !ret; i++) {
		if (c->procs[i]->zombie)
			continue;
		if (!c->procs[i]->trace)
			ret = begin_stop(c, c->procs[i], 0);
		if (!ret)
			ret = end_stop(c, c->procs[i], ns);
		if (ret == -ESRCH) {
			drop_ended(c, i--);
			ret = 0;
		}
	}
	return ret;
}

/*
 * Together they stop in half the time, unless one waits for another in vfork(2): then they go on
 * for a moment, and parents are stopped before their children are asked to.
 */
static int stop_known(struct ckpt *c, struct ckpt_proc **before, size_t n_before, bool serves,
		      int ns)
{
	size_t from = c->n_procs;
	int ret;

	for (size_t i = 0; i < n_before; i++)
		if (!before[i]->zombie && before[i]->serves == serves)
			put_proc(c, before[i]);
	ret = stop_all(c, from, TOGETHER_MS, ns);
	if (ret != -ETIMEDOUT)
		return ret;
	ret = 0;
	for (size_t i = c->n_procs; i-- > from && !ret;)
		ret = let_go(c->procs[i]);
	return ret ? ret : stop_all(c, from, 0, ns);
}

/* One that is found when the others were stopped. */
static int stop_one(struct ckpt *c, pid_t host, struct ckpt_proc **before, size_t n_before, int ns)
{
	struct ckpt_proc *p = NULL;
	bool zombie = is_zombie(host);

	for (size_t i = 0; i < n_before && !p && !zombie; i++)
		if (before[i]->host == host)
			p = before[i];
	if (p) {
		put_proc(c, p);
	} else {
		p = ckpt_add_proc(c);
		p->is_new = true;
	}
	p->host = host;
	p->zombie = zombie;
	return stop_all(c, c->n_procs - 1, 0, ns);
}

/*
 * Whoever runs may clone: so until a look at all of them finds no new one. Those that are stopped
 * by then have no way to make more.
 */
int tree_freeze(struct ckpt *c)
{
	struct ckpt_proc **before = c->procs;
	size_t n_before = c->n_procs;
	auto_fd ns = open_ns(c);
	struct members m = { 0 };
	bool again = true;
	int ret = guard_hold(c);

	if (!ret)
		ret = pause_lift(c);
	if (!ret)
		ret = guard_await(c);

	c->procs = NULL;
	c->n_procs = c->procs_room = 0;
	for (int serves = 0; serves < 2 && !ret; serves++) {
		ret = stop_known(c, before, n_before, serves, ns);
		if (!serves && c->patience)
			usleep(c->patience);
	}
	for (int round = 0; again && !ret; round++) {
		again = false;
		ret = find_more(c, before, n_before, &m);
		for (size_t i = 0; i < m.n && !ret; i++) {
			if (find_host(c, m.v[i]))
				continue;
			again = true;
			ret = stop_one(c, m.v[i], before, n_before, ns);
		}
		if (round == ROUNDS_MAX)
			ret = fail(EAGAIN, "the container starts processes faster than they can be "
					   "stopped");
	}
	for (size_t i = 0; i < c->n_procs && !ret; i++)
		ret = describe(c, c->procs[i]);
	if (!ret)
		ret = order(c);
	for (size_t i = 1; i < c->n_procs && !ret; i++)
		if (!c->procs[i]->parent)
			ret = fail(EAGAIN, "process %d was brought into the container meanwhile",
				   c->procs[i]->host);
	return ret;
}
