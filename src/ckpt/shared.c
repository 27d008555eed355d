/* SPDX-License-Identifier: Apache-2.0 */
#include "ckpt/shared.h"

#include <errno.h>
#include <linux/kcmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/alike.h"
#include "ckpt/kinds.h"

#define CGROUP_TEXT_MAX 65536

/* Since Linux 5.14: linux/prctl.h */
#ifndef PR_SCHED_CORE
#define PR_SCHED_CORE 62
#define PR_SCHED_CORE_GET 0
#endif

/* What threads share in every restored process, and what processes never do. */
static const struct {
	int type;
	const char *threads, *processes;
} shared[] = {
	{ KCMP_FILES, "a thread has a descriptor table of its own", "descriptor table" },
	{ KCMP_FS, "a thread has a working directory of its own", "working directory" },
	{ KCMP_VM, NULL, "memory" },
	{ KCMP_SIGHAND, NULL, "signal handlers" },
};

struct comparison {
	int type;
	bool shared; /* two that are the same were compared */
};

static long order_of(const struct ckpt_proc *x, const struct ckpt_proc *y, int type)
{
	return syscall(SYS_kcmp, x->host, y->host, type, 0, 0);
}

/* kcmp(2) orders what it compares. */
static int compare(const void *a, const void *b, void *ctx)
{
	struct comparison *how = ctx;
	long order =
		order_of(*(struct ckpt_proc *const *)a, *(struct ckpt_proc *const *)b, how->type);

	how->shared = how->shared || order == 0;
	return order == 1 ? -1 : order == 2 ? 1 : 0;
}

/* Of all processes, whoever their parents are. Equal ones stand together when they are sorted, and
 * no order of neighbours is known without their having been compared. */
static void check_processes(struct ckpt *c)
{
	struct ckpt_proc **sorted = arena_array(c->arena, c->n_procs, sizeof(*sorted));
	size_t n = 0;

	for (size_t i = 0; i < c->n_procs; i++)
		if (!c->procs[i]->zombie)
			sorted[n++] = c->procs[i];
	for (size_t k = 0; k < NAME_COUNT(shared); k++) {
		struct comparison how = { .type = shared[k].type };

		qsort_r(sorted, n, sizeof(*sorted), compare, &how);
		for (size_t i = 1; i < n && how.shared; i++)
			if (order_of(sorted[i - 1], sorted[i], how.type) == 0)
				ckpt_problem(c, sorted[i], -1, "process",
					     "it shares its %s with process %d",
					     shared[k].processes, sorted[i - 1]->pid);
	}
}

bool shared_differs(pid_t pid, pid_t tid)
{
	for (size_t i = 0; i < NAME_COUNT(shared); i++)
		if (shared[i].threads && syscall(SYS_kcmp, pid, tid, shared[i].type, 0, 0) > 0)
			return true;
	return false;
}

static void check_threads(const struct ckpt_unit *u)
{
	const struct ckpt_proc *p = u->p;

	if (alike_spaces(u->c, p))
		return;
	for (size_t i = 0; i < NAME_COUNT(shared); i++) {
		for (size_t t = 1; t < p->n_threads && shared[i].threads; t++) {
			if (syscall(SYS_kcmp, p->host, p->threads[t]->host, shared[i].type, 0, 0) <=
			    0)
				continue; /* the same, or it has ended */
			ckpt_problem(u->c, p, -1, "thread", "%s", shared[i].threads);
			break;
		}
	}
}

/* linux/pidfd.h, since Linux 6.11: half of what it takes to look it up in /proc, where each task
 * has a directory to be made first. */
#define PIDFD_GET(number) _IO(0xff, number)

/* An own mount or user namespace takes a working directory of its own, which is found above. */
static const struct {
	const char *name, *link;
	unsigned long get;
} thread_ns[SHARED_NS] = {
	{ "net", "ns/net", PIDFD_GET(4) },
	{ "uts", "ns/uts", PIDFD_GET(10) },
	{ "ipc", "ns/ipc", PIDFD_GET(2) },
};

int shared_ns(int pidfd, size_t i)
{
	return pidfd < 0 ? -1 : ioctl(pidfd, thread_ns[i].get, 0);
}

static bool ns_stat(int pidfd, size_t i, struct stat *out)
{
	auto_fd ns = shared_ns(pidfd, i);

	return ns >= 0 && fstat(ns, out) == 0;
}

static bool has_other_link(const struct ckpt_thread *t, size_t i)
{
	char own[64], link[64], name[64];

	snprintf(name, sizeof(name), "task/%d/%s", t->host, thread_ns[i].link);
	return proc_link(t->proc->host, thread_ns[i].link, own, sizeof(own)) == 0 &&
	       proc_link(t->proc->host, name, link, sizeof(link)) == 0 && strcmp(own, link) != 0;
}

/* of: those of the first thread. */
static void find_other_ns(const struct ckpt_thread *t, const struct stat *of, bool *found)
{
	auto_fd pidfd = (int)sys_pidfd_open(t->host, PIDFD_OF_THREAD);
	struct stat st;

	for (size_t i = 0; i < SHARED_NS; i++) {
		if (found[i])
			continue;
		if (of[i].st_ino && ns_stat(pidfd, i, &st))
			found[i] = st.st_ino != of[i].st_ino || st.st_dev != of[i].st_dev;
		else /* an older kernel, or it has ended */
			found[i] = has_other_link(t, i);
	}
}

static void check_thread_namespaces(const struct ckpt_unit *u)
{
	auto_fd pidfd = u->p->n_threads > 1 ? (int)sys_pidfd_open(u->p->host, 0) : -1;
	bool found[SHARED_NS] = { false };
	struct stat of[SHARED_NS];

	if (alike_spaces(u->c, u->p))
		return;
	for (size_t i = 0; i < SHARED_NS; i++)
		if (!ns_stat(pidfd, i, &of[i]))
			of[i].st_ino = 0;
	for (size_t t = 1; t < u->p->n_threads; t++)
		find_other_ns(u->p->threads[t], of, found);
	for (size_t i = 0; i < SHARED_NS; i++)
		if (found[i])
			ckpt_problem(u->c, u->p, -1, "thread",
				     "a thread has a %s namespace of its own", thread_ns[i].name);
}

enum { TIME_CHILDREN = 8, PID_CHILDREN };

/* Where children go to (unshare(2) of a pid or time namespace) is no namespace of its own yet. */
static const struct {
	const char *name;
	unsigned long get;
} namespaces[] = {
	{ "user", PIDFD_GET(9) },
	{ "mnt", PIDFD_GET(3) },
	{ "net", PIDFD_GET(4) },
	{ "ipc", PIDFD_GET(2) },
	{ "uts", PIDFD_GET(10) },
	{ "cgroup", PIDFD_GET(1) },
	{ "time", PIDFD_GET(7) },
	{ "pid", PIDFD_GET(5) },
	[TIME_CHILDREN] = { "time_for_children", PIDFD_GET(8) },
	[PID_CHILDREN] = { "pid_for_children", PIDFD_GET(6) },
};
#define NS_TIME (TIME_CHILDREN - 2)
#define NS_PID (TIME_CHILDREN - 1)

struct shared_seen {
	/* st_ino 0: of a kind that the kernel does not know, or it has ended */
	struct stat ns[NAME_COUNT(namespaces)];
	const char *cgroup; /* NULL where it can't be read */
};

static bool same_ns(const struct stat *a, const struct stat *b)
{
	return a->st_ino == b->st_ino && a->st_dev == b->st_dev;
}

static const char *cgroup_of(struct arena *a, pid_t pid)
{
	char text[CGROUP_TEXT_MAX];

	return proc_read(pid, 0, "cgroup", text, sizeof(text)) < 0 ? NULL : arena_strdup(a, text);
}

static void look_at_ns(pid_t pid, int pidfd, size_t i, struct stat *out)
{
	auto_fd ns = pidfd < 0 ? -1 : ioctl(pidfd, namespaces[i].get, 0);
	char path[64];
	struct stat st;

	snprintf(path, sizeof(path), "/proc/%d/ns/%s", pid, namespaces[i].name);
	if (ns < 0 ? stat(path, &st) == 0 : fstat(ns, &st) == 0)
		*out = st;
}

struct shared_seen *shared_look(struct arena *a, pid_t pid)
{
	struct shared_seen *seen = arena_alloc(a, sizeof(*seen));
	auto_fd pidfd = (int)sys_pidfd_open(pid, 0);

	for (size_t i = 0; i < NAME_COUNT(namespaces); i++)
		look_at_ns(pid, pidfd, i, &seen->ns[i]);
	seen->cgroup = cgroup_of(a, pid);
	return seen;
}

static void check_children(const struct ckpt_unit *u, const char *kind, const struct stat *own,
			   const struct stat *children)
{
	/* in /proc a pid namespace without a process in it has no name yet */
	if (own->st_ino && !same_ns(own, children))
		ckpt_problem(u->c, u->p, -1, "namespace",
			     "its children are to have a %s namespace of their own", kind);
}

static void check_cgroup(const struct ckpt_unit *u, const struct shared_seen *own,
			 const struct shared_seen *init)
{
	if (own->cgroup && init->cgroup && strcmp(init->cgroup, own->cgroup) != 0)
		ckpt_problem(u->c, u->p, -1, "cgroup",
			     "it is in another cgroup than the "
			     "container's first process");
}

/* Those of the init, as they are: the new container has the same. */
static void check_spaces(const struct ckpt_unit *u, const struct shared_seen *own,
			 const struct shared_seen *init)
{
	for (size_t i = 0; i < TIME_CHILDREN; i++)
		if (own->ns[i].st_ino && init->ns[i].st_ino && !same_ns(&init->ns[i], &own->ns[i]))
			ckpt_problem(u->c, u->p, -1, "namespace",
				     "it has a %s namespace of its own", namespaces[i].name);
	check_children(u, "time", &own->ns[NS_TIME], &own->ns[TIME_CHILDREN]);
	check_children(u, "pid", &own->ns[NS_PID], &own->ns[PID_CHILDREN]);
	check_cgroup(u, own, init);
}

/* Core scheduling: who may run beside it on one core. The new container has that of its runtime. */
static void check_core(const struct ckpt_unit *u)
{
	unsigned long long init = 0, own = 0;

	if (u->p->pid == 1 ||
	    prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, u->c->procs[0]->host, 0, &init) < 0 ||
	    prctl(PR_SCHED_CORE, PR_SCHED_CORE_GET, u->p->host, 0, &own) < 0)
		return;
	if (init != own)
		ckpt_problem(u->c, u->p, -1, "process",
			     "it has a core scheduling cookie of its own");
}

int shared_check(const struct ckpt_unit *u, const struct shared_seen *own,
		 const struct shared_seen *init)
{
	if (u->p == u->c->procs[0])
		check_processes(u->c);
	check_threads(u);
	check_thread_namespaces(u);
	if (own)
		check_spaces(u, own, init);
	check_core(u);
	return 0;
}

static bool any_is_new(const struct ckpt *c)
{
	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->is_new)
			return true;
	return false;
}

/* Only who is cloned comes to share something. */
void shared_check_again(const struct ckpt_unit *u, const struct shared_seen *own,
			const struct shared_seen *init)
{
	if (u->p == u->c->procs[0] && any_is_new(u->c))
		check_processes(u->c);
	check_threads(u);
	check_thread_namespaces(u);
	check_spaces(u, own, init);
}
