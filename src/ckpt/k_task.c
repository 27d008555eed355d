/* SPDX-License-Identifier: Apache-2.0 */
/* A process as a whole: limits, personality, OOM score; and what of its sharing can't be made
 * again. */
#include <errno.h>
#include <fcntl.h>
#include <linux/kcmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/batch.h"
#include "ckpt/engine.h"
#include "ckpt/kinds.h"

struct limit {
	uint64_t resource, soft, hard;
};

struct task {
	struct limit *limits;
	size_t n_limits;
	uint32_t personality;
	int32_t oom_score_adj;
	bool no_thp;
};

static const struct record_field limit_rows[] = {
	RECORD(U, struct limit, "resource", resource, RECORD_MAX(RLIM_NLIMITS - 1)),
	RECORD(U, struct limit, "soft", soft),
	RECORD(U, struct limit, "hard", hard),
};
static const struct record_table limit_table = RECORD_TABLE(struct limit, limit_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct task, "limits", limits, n_limits, limit_table,
		       RECORD_MAX(RLIM_NLIMITS)),
	RECORD(HEX, struct task, "personality", personality),
	RECORD(I, struct task, "oomScoreAdj", oom_score_adj),
	RECORD(BOOL, struct task, "noHugePages", no_thp, RECORD_OPTIONAL),
};
static const struct record_table table = RECORD_TABLE(struct task, rows);

/* What threads share in every restored process, and what processes never do. */
static const struct {
	int type;
	const char *threads, *processes;
} shared[] = {
	{ KCMP_FILES, "a thread has a descriptor table of its own",
	  "it shares its descriptor table with another process" },
	{ KCMP_FS, "a thread has a working directory of its own",
	  "it shares its working directory with another process" },
	{ KCMP_VM, NULL, "it shares its memory with another process" },
	{ KCMP_SIGHAND, NULL, "it shares its signal handlers with another process" },
};

static bool same(pid_t a, pid_t b, int type)
{
	return syscall(SYS_kcmp, a, b, type, 0, 0) == 0;
}

static void check_sharing(const struct ckpt_unit *u)
{
	const struct ckpt_proc *p = u->p;
	const struct ckpt_proc *parent = p->parent && !p->parent->zombie ? p->parent : NULL;

	for (size_t i = 0; i < NAME_COUNT(shared); i++) {
		if (parent && same(parent->host, p->host, shared[i].type))
			ckpt_problem(u->c, p, -1, "process", "%s", shared[i].processes);
		for (size_t t = 1; t < p->n_threads && shared[i].threads; t++) {
			if (syscall(SYS_kcmp, p->host, p->threads[t]->host, shared[i].type, 0, 0) <=
			    0)
				continue; /* the same, or it has ended */
			ckpt_problem(u->c, p, -1, "thread", "%s", shared[i].threads);
			break;
		}
	}
}

/* Namespaces that are not the init's: unshared by the process itself. */
static void check_namespaces(const struct ckpt_unit *u)
{
	static const char *const names[] = { "user",
					     "mnt",
					     "net",
					     "ipc",
					     "uts",
					     "cgroup",
					     "time",
					     "pid_for_children",
					     "time_for_children" };
	char link[64], init[64], name[64];

	for (size_t i = 0; i < NAME_COUNT(names) && u->p->pid != 1; i++) {
		snprintf(name, sizeof(name), "ns/%s", names[i]);
		if (proc_link(u->c->procs[0]->host, name, init, sizeof(init)) ||
		    proc_link(u->p->host, name, link, sizeof(link)))
			continue; /* a kernel without this kind, or it has ended */
		if (strcmp(init, link) != 0)
			ckpt_problem(u->c, u->p, -1, "namespace",
				     "it has a %s namespace of its own", names[i]);
	}
}

static int check(const struct ckpt_unit *u)
{
	const struct proc_status *s = u->p->status;
	struct proc_stat st;
	const char *why;

	if (s->tracer)
		ckpt_problem(u->c, u->p, -1, "process", "it is being traced by process %d",
			     s->tracer);
	why = tree_refusal(u->c, u->p);
	if (why)
		ckpt_problem(u->c, u->p, -1, "session", "%s", why);
	if (proc_stat(u->p->host, &st) == 0 && u->p->pid != 1 && st.exit_signal != SIGCHLD)
		ckpt_problem(u->c, u->p, -1, "process",
			     "its parent is told of its end by signal %d", st.exit_signal);
	check_sharing(u);
	check_namespaces(u);
	return 0;
}

static int read_number(struct arena *a, pid_t pid, const char *name, int base, long *out)
{
	char path[64], *text;
	int ret;

	snprintf(path, sizeof(path), "/proc/%d/%s", pid, name);
	ret = fd_read_file(AT_FDCWD, path, a, 64, &text, NULL);
	if (!ret)
		*out = strtol(text, NULL, base);
	return ret;
}

static int collect(const struct ckpt_unit *u)
{
	struct task *task = u->rec;
	struct rlimit limits[RLIM_NLIMITS];
	long score, persona;
	int ret = proc_limits(u->p->host, limits);

	if (!ret)
		ret = read_number(u->c->arena, u->p->host, "oom_score_adj", 10, &score);
	if (!ret)
		ret = read_number(u->c->arena, u->p->host, "personality", 16, &persona);
	if (ret)
		return ret;
	task->oom_score_adj = (int32_t)score;
	task->no_thp = !u->p->status->thp;
	task->personality = (uint32_t)persona;
	task->n_limits = RLIM_NLIMITS;
	task->limits = arena_array(u->c->arena, RLIM_NLIMITS, sizeof(*task->limits));
	for (size_t i = 0; i < RLIM_NLIMITS; i++)
		task->limits[i] = (struct limit){ i, limits[i].rlim_cur, limits[i].rlim_max };
	return 0;
}

static int rebuild_limits(const struct ckpt_unit *u)
{
	const struct task *task = u->rec;
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	uint64_t addr;
	int ret = 0;

	for (size_t i = 0; i < task->n_limits && !ret; i++) {
		const struct rlimit64 r = { task->limits[i].soft, task->limits[i].hard };
		const char *name = name_of_rlimit((int)task->limits[i].resource);

		ret = batch_data(b, &r, sizeof(r), &addr);
		if (!ret)
			ret = batch_add(b,
					arena_printf(u->c->arena, "set the limit %s to %llu",
						     name ? name : "?",
						     (unsigned long long)r.rlim_max),
					0, SYS_prlimit64, 0, task->limits[i].resource, addr, 0);
	}
	if (!ret)
		ret = batch_add(b, "set the personality", BATCH_ANY, SYS_personality,
				task->personality);
	if (!ret && task->no_thp)
		ret = batch_add(b, "switch huge pages off", 0, SYS_prctl, PR_SET_THP_DISABLE, 1, 0,
				0, 0);
	return ret ? ret : batch_run(b);
}

/* The runtime may not have the right to go below its own score: then the new configuration decides.
 */
static int rebuild_score(const struct ckpt_unit *u)
{
	const struct task *task = u->rec;
	char path[64], text[16];
	long now;
	int ret = read_number(u->c->arena, u->p->host, "oom_score_adj", 10, &now);

	if (ret || now == task->oom_score_adj)
		return ret;
	snprintf(path, sizeof(path), "/proc/%d/oom_score_adj", u->p->host);
	snprintf(text, sizeof(text), "%d", task->oom_score_adj);
	ret = fd_put(AT_FDCWD, path, text);
	if (ret && ret != -EACCES && ret != -EPERM)
		return fail(-ret, "process %d: set its OOM score to %s: %s", u->p->pid, text,
			    err_reason(-ret));
	return 0;
}

static int rebuild(const struct ckpt_unit *u)
{
	int ret = rebuild_score(u);

	return ret ? ret : rebuild_limits(u);
}

const struct ckpt_kind kind_task = {
	.name = "task",
	.scope = KIND_PROCESS,
	.table = &table,
	.check = check,
	.collect = collect,
	.rebuild = { [PHASE_RIGHTS] = rebuild },
};
