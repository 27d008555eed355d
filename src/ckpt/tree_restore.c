/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Restore: the tree of processes and their threads, with the numbers they had.
 *
 * The root process was made as any container's init, and would now execute a program. Instead it is
 * taken over: all its memory but the vDSO is unmapped while there is only one of it, and then every
 * process is a child that its own parent clones (clone3(2) with set_tid), still without any memory
 * of its own. A session is left by nobody but its maker: so the children that are to stay in the
 * old one are born before their parent makes a new one.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/batch.h"
#include "ckpt/confine.h"
#include "ckpt/engine.h"
#include "ckpt/memory.h"
#include "ckpt/pidfd.h"
#include "ckpt/thread.h"
#include "sandbox.h"
#include "task/trace.h"

#define THREAD_FLAGS \
	(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM)
#define RSEQ_UNREGISTER 1

/* Where a process is on the way to its session and group. */
struct place {
	pid_t session, group;
};

static int forget_rseq(const struct ckpt_thread *t)
{
	struct trace_rseq rseq;
	int ret = trace_rseq(t->trace, &rseq);

	/* or the kernel kills the task when it finds the memory gone */
	if (!ret && rseq.addr)
		ret = (int)ckpt_call(t, "unregister rseq", SYS_rseq, rseq.addr, rseq.size,
				     RSEQ_UNREGISTER, rseq.signature);
	return ret < 0 ? ret : 0;
}

/* Everything but the hole. */
static int strip(struct ckpt *c, uint64_t hole, uint64_t len)
{
	struct ckpt_batch *b = batch_begin(c, ckpt_root(c));
	struct proc_vmas maps;
	int ret = proc_maps(c->arena, c->procs[0]->host, &maps);

	for (size_t i = 0; i < maps.n && !ret; i++)
		if (maps.v[i].start < hole || maps.v[i].start >= hole + len)
			ret = batch_add(b, "unmap the runtime's memory", 0, SYS_munmap,
					maps.v[i].start, maps.v[i].end - maps.v[i].start);
	return ret ? ret : batch_run(b);
}

int tree_take_over(struct ckpt *c)
{
	const struct trace_options options = {
		.exitkill = true,
		.follow = true,
		.allowed = confine_allows,
		.ctx = c,
	};
	struct ckpt_proc *root = c->procs[0];
	uint64_t len = TRACE_SETTLE_LEN + memory_vdso_len(c);
	int ret = trace_seize(c->arena, c->task->pid, &options, &root->trace);

	if (ret)
		return fail_in(ret, "take the container's first process over");
	root->host = c->task->pid;
	root->threads[0]->host = root->host;
	root->threads[0]->trace = root->trace->threads[0];
	ret = forget_rseq(root->threads[0]);
	if (!ret)
		ret = memory_find_hole(c, len, &c->settled);
	if (!ret)
		ret = trace_settle(root->trace, c->settled);
	if (!ret)
		ret = memory_park_vdso(c, c->settled + TRACE_SETTLE_LEN);
	return ret ? ret : strip(c, c->settled, len);
}

int tree_clone(const struct ckpt_thread *t, uint64_t flags, int signal, pid_t number)
{
	const char *what = arena_printf(t->proc->trace->arena, "clone process %d", number);
	struct {
		struct clone_args args;
		pid_t number;
	} put = {
		.args = { .flags = flags, .exit_signal = (uint64_t)signal, .set_tid_size = 1 },
		.number = number,
	};
	uint64_t addr;
	int64_t ret = trace_scratch(t->proc->trace, &addr);

	put.args.set_tid = addr + offsetof(typeof(put), number);
	if (!ret)
		ret = ckpt_put(t, 0, &put, sizeof(put), &addr);
	if (!ret)
		ret = ckpt_call(t, what, SYS_clone3, addr, sizeof(put.args));
	return ret < 0 ? (int)ret : 0;
}

/* Nobody is told of the end of a ghost. */
static int end_signal(const struct ckpt_proc *p)
{
	if (p->ghost || p->end_signal < 0)
		return 0;
	return p->end_signal ? p->end_signal : SIGCHLD;
}

static int fork_child(struct ckpt *c, struct ckpt_proc *parent, struct ckpt_proc *child)
{
	int ret = tree_clone(parent->threads[0], 0, end_signal(child), child->pid);

	if (!ret)
		ret = trace_adopt_process(parent->threads[0]->trace, &child->trace);
	if (ret)
		return ret;
	child->host = child->trace->pid;
	if (child->zombie) /* it lives until its turn to end comes */
		ckpt_add_thread(c, child)->tid = child->pid;
	child->threads[0]->host = child->host;
	child->threads[0]->trace = child->trace->threads[0];
	return 0;
}

static int fork_some(struct ckpt *c, size_t parent, struct place *places, bool *born, bool early)
{
	struct ckpt_proc *p = c->procs[parent], *child;
	int ret = 0;

	for (size_t i = 1; i < c->n_procs && !ret; i++) {
		child = c->procs[i];
		if (child->maker != p || born[i])
			continue;
		if (early &&
		    (child->session == child->pid || child->session != places[parent].session))
			continue;
		ret = fork_child(c, p, child);
		places[i] = places[parent];
		born[i] = true;
	}
	return ret;
}

static int make_session(struct ckpt_proc *p, struct place *place)
{
	int64_t ret;

	if (p->session == p->pid && place->session != p->pid) {
		ret = ckpt_call(p->threads[0], "start a session", SYS_setsid);
		if (ret < 0)
			return (int)ret;
		*place = (struct place){ .session = p->pid, .group = p->pid };
	}
	if (place->session != p->session)
		return fail(ENOTSUP, "process %d: no ancestor is in its session %d", p->pid,
			    p->session);
	return 0;
}

/* The leaders make their groups before others enter them. */
static int make_groups(struct ckpt *c, struct place *places)
{
	int64_t ret = 0;

	for (int leaders = 1; leaders >= 0; leaders--) {
		for (size_t i = 0; i < c->n_procs && ret >= 0; i++) {
			const struct ckpt_proc *p = c->procs[i];

			if (p->group == places[i].group || (p->group == p->pid) != leaders)
				continue;
			ret = ckpt_call(p->threads[0], "enter the process group", SYS_setpgid, 0,
					(uint64_t)p->group);
			places[i].group = p->group;
		}
	}
	return ret < 0 ? (int)ret : 0;
}

static struct ckpt_proc *add_ghost(struct ckpt *c, pid_t pid, pid_t session)
{
	struct ckpt_proc *ghost = ckpt_add_proc(c);

	*ghost = (struct ckpt_proc){
		.pid = pid,
		.group = pid,
		.session = session,
		.parent = c->procs[0],
		.maker = c->procs[0],
		.zombie = true,
		.ghost = true,
	};
	return ghost;
}

/*
 * Sessions and groups outlive those who made them. One that has is made again by a ghost: a process
 * of that number that ends when the others are in their places. Members of a session that came to
 * init when their parents ended are the ghost's children first, and come to init when it ends.
 */
static int add_ghosts(struct ckpt *c)
{
	struct ckpt_proc *ghost;
	size_t n = c->n_procs;

	for (size_t i = 1; i < n; i++) {
		struct ckpt_proc *p = c->procs[i];

		if (p->session == p->parent->session || p->session == p->pid)
			continue;
		ghost = ckpt_find_pid(c, p->session);
		if (!ghost)
			ghost = add_ghost(c, p->session, p->session);
		if (ghost->ghost && p->parent == c->procs[0])
			p->maker = ghost;
	}
	for (size_t i = 1; i < n; i++) {
		struct ckpt_proc *p = c->procs[i];

		if (ckpt_find_pid(c, p->group))
			continue;
		ghost = add_ghost(c, p->group, p->session);
		ghost->maker = ckpt_find_pid(c, p->session);
		if (!ghost->maker)
			return fail(EBADMSG, "the image: process %d: nobody is in its session %d",
				    p->pid, p->session);
	}
	return 0;
}

static bool is_taken(const struct ckpt *c, pid_t number)
{
	for (size_t i = 0; i < c->n_procs; i++) {
		if (c->procs[i]->pid == number)
			return true;
		for (size_t t = 0; t < c->procs[i]->n_threads; t++)
			if (c->procs[i]->threads[t]->tid == number)
				return true;
	}
	return false;
}

struct ckpt_proc *ckpt_add_ended(struct ckpt *c)
{
	struct ckpt_proc *ghost;
	pid_t number = 2;

	while (is_taken(c, number))
		number++;
	ghost = add_ghost(c, number, c->procs[0]->session);
	ghost->group = c->procs[0]->group;
	return ghost;
}

/* Makers first: the ghosts were added behind those that they make. */
static int put_in_order(struct ckpt *c)
{
	struct ckpt_proc **sorted = arena_array(c->arena, c->n_procs, sizeof(*sorted));
	size_t done = 1, from = 0;

	sorted[0] = c->procs[0];
	for (; from < done; from++)
		for (size_t i = 1; i < c->n_procs; i++)
			if (c->procs[i]->maker == sorted[from])
				sorted[done++] = c->procs[i];
	if (done != c->n_procs)
		return fail(EBADMSG, "the image: the processes are no tree");
	memcpy(c->procs, sorted, done * sizeof(*sorted));
	return 0;
}

int tree_plan(struct ckpt *c)
{
	int ret = add_ghosts(c);

	if (!ret)
		pidfd_plan(c);
	return ret ? ret : put_in_order(c);
}

/*
 * Numbers are given in a circle, and those asked for by number don't move its beginning: a new
 * process would get that of one that ended before the checkpoint. The file stands for the namespace
 * of whoever writes.
 */
static int move_numbers(struct ckpt *c)
{
	const struct ckpt_thread *root = ckpt_root(c);
	auto_fd file = open("/proc/sys/kernel/ns_last_pid", O_WRONLY | O_CLOEXEC);
	pid_t last = 1;
	char text[16];
	uint64_t addr;
	int64_t fd, ret;

	if (file < 0)
		return fail_errno("open /proc/sys/kernel/ns_last_pid");
	for (size_t i = 0; i < c->n_procs; i++)
		for (size_t t = 0; t < c->procs[i]->n_threads; t++)
			if (c->procs[i]->threads[t]->tid > last)
				last = c->procs[i]->threads[t]->tid;
	ret = fd = ckpt_send_fd(c, root, file);
	snprintf(text, sizeof(text), "%d", last);
	if (ret >= 0)
		ret = ckpt_put(root, 0, text, strlen(text), &addr);
	if (ret >= 0)
		ret = ckpt_call(root, "set the last process number", SYS_write, (uint64_t)fd, addr,
				strlen(text));
	if (ret >= 0)
		ret = ckpt_call(root, "close a descriptor", SYS_close, (uint64_t)fd);
	return ret < 0 ? (int)ret : 0;
}

int tree_fork(struct ckpt *c)
{
	struct place *places = arena_array(c->arena, c->n_procs, sizeof(*places));
	bool *born = arena_array(c->arena, c->n_procs, sizeof(*born));
	int ret = 0;

	/* init made both before it was taken over */
	places[0] = (struct place){ .session = 1, .group = 1 };
	for (size_t i = 0; i < c->n_procs && !ret; i++) {
		struct ckpt_proc *p = c->procs[i];

		if (!p->zombie)
			ret = ckpt_rebuild_proc(c, p, PHASE_TREE);
		if (!ret && p->session == p->pid)
			ret = fork_some(c, i, places, born, true);
		if (!ret)
			ret = make_session(p, &places[i]);
		if (!ret)
			ret = fork_some(c, i, places, born, false);
	}
	if (!ret)
		ret = make_groups(c, places);
	return ret ? ret : move_numbers(c);
}

/* Can the tree be forked as above? The same rules, without doing it. */
const char *tree_refusal(struct ckpt *c, const struct ckpt_proc *p)
{
	const struct ckpt_proc *parent = p->parent;

	if (p->pid == 1 && p->session != 1)
		return "the container's first process has no session of its own";
	if (!parent || p->session == p->pid || p->session == parent->session)
		return NULL;
	/* its parent made a session of its own since */
	if (parent->session == parent->pid && parent->parent &&
	    p->session == parent->parent->session)
		return NULL;
	if (parent == c->procs[0] && !ckpt_find_pid(c, p->session))
		return NULL;
	return "it is in a session that its parent was not in";
}

/* Ends as it had ended. */
static int end_zombie(struct ckpt_proc *p)
{
	const int signal = p->exit_status & 0x7f;
	struct trace_thread *t = p->threads[0]->trace;
	int64_t answer;
	int ret, status;

	if (!signal) {
		ret = trace_syscall(t, &answer, SYS_exit_group, p->exit_status >> 8 & 0xff);
		return ret == -ESRCH ? 0
		       : ret         ? ret
				     : fail(EPROTO, "process %d does not end", p->pid);
	}
	/* every signal is blocked while it is under control: this one comes as it is let go */
	t->sigmask = 0;
	if (kill(p->host, signal) < 0)
		return fail_errno("end process %d by signal %d", p->pid, signal);
	ret = signal == SIGKILL ? 0 : trace_detach(p->trace);
	if (!ret && waitpid(p->host, &status, __WALL) < 0 && errno != ECHILD)
		ret = fail_errno("wait for the end of process %d", p->pid);
	return ret;
}

/* The parent was told of that end long ago, or is told again by the image. */
static int forget_end(const struct ckpt_proc *p)
{
	const struct ckpt_thread *t = p->parent->threads[0];
	const int signal = end_signal(p);
	const uint64_t set = signal ? 1ull << (signal - 1) : 0;
	const struct timespec none = { 0 };
	uint64_t at, zero;
	int64_t answer = 0;
	int ret = set ? ckpt_put(t, 0, &set, sizeof(set), &at) : 0;

	if (ret || !set)
		return ret;
	if (!ret)
		ret = ckpt_put(t, sizeof(set), &none, sizeof(none), &zero);
	while (!ret && answer >= 0)
		ret = trace_syscall(t->trace, &answer, SYS_rt_sigtimedwait, at, 0, zero,
				    sizeof(set));
	return ret;
}

int tree_bury(struct ckpt *c)
{
	struct ckpt_proc *p;
	int64_t ret = 0;

	/* children before those they would go to */
	for (size_t i = c->n_procs; i > 1 && ret >= 0; i--) {
		p = c->procs[i - 1];
		if (!p->zombie)
			continue;
		ret = end_zombie(p);
		p->trace = NULL;
		if (ret >= 0 && !p->ghost)
			ret = forget_end(p);
		if (ret >= 0 && p->ghost)
			ret = ckpt_call(p->maker->threads[0], "bury a ghost", SYS_wait4,
					(uint64_t)p->pid, 0, __WALL, 0);
	}
	return ret < 0 ? (int)ret : 0;
}

/* What clone3(2) is told of one thread. */
struct newborn {
	struct clone_args args;
	pid_t number;
};

/* The scratch memory holds what as many are told. */
#define THREADS_AT_ONCE 512
_Static_assert(THREADS_AT_ONCE <= TRACE_BATCH_MAX &&
		       THREADS_AT_ONCE * sizeof(struct newborn) <= TRACE_SCRATCH,
	       "too many threads at once");

/* Threads of a process, from number `from` on. */
static int clone_threads(struct ckpt_proc *p, size_t from, size_t n)
{
	struct newborn told[THREADS_AT_ONCE] = { 0 };
	struct inject_call calls[THREADS_AT_ONCE];
	const struct ckpt_thread *first = p->threads[0];
	uint64_t at = 0;
	int ret = trace_scratch(p->trace, &at);

	for (size_t i = 0; i < n; i++) {
		const uint64_t here = at + i * sizeof(told[0]);
		const struct ckpt_thread *t = p->threads[from + i];
		uint64_t cleared = thread_tid_address(t);

		told[i].args = (struct clone_args){
			.flags = THREAD_FLAGS | CLONE_PTRACE | (cleared ? CLONE_CHILD_CLEARTID : 0),
			.child_tid = cleared,
			.set_tid = here + offsetof(struct newborn, number),
			.set_tid_size = 1,
		};
		told[i].number = t->tid;
		calls[i] = (struct inject_call){
			.nr = SYS_clone3,
			.arg = { here, sizeof(told[i].args) },
		};
	}
	if (!ret)
		ret = ckpt_put(first, 0, told, n * sizeof(told[0]), &at);
	if (!ret)
		ret = trace_clone_threads(first->trace, calls, n);
	if (ret)
		return fail_in(ret, "process %d: clone its threads", p->pid);
	for (size_t i = 0; i < n; i++) {
		struct ckpt_thread *t = p->threads[from + i];

		if (calls[i].ret < 0)
			return fail((int)-calls[i].ret, "process %d: clone thread %d: %s", p->pid,
				    t->tid, err_reason((int)-calls[i].ret));
		t->trace = p->trace->threads[from + i];
		t->host = t->trace->tid;
	}
	return 0;
}

int tree_threads(struct ckpt *c)
{
	int ret = 0;

	for (size_t i = 0; i < c->n_procs && !ret; i++) {
		struct ckpt_proc *p = c->procs[i];
		size_t n;

		for (size_t from = 1; from < p->n_threads && !ret && !p->zombie; from += n) {
			n = p->n_threads - from;
			n = n < THREADS_AT_ONCE ? n : THREADS_AT_ONCE;
			ret = clone_threads(p, from, n);
		}
	}
	return ret;
}
