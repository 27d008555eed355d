/* SPDX-License-Identifier: Apache-2.0 */
/* A process as a whole: limits, personality, OOM score, what it has set by prctl(2) and by files of
 * /proc. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "ckpt/ahead.h"
#include "ckpt/ask.h"
#include "ckpt/batch.h"
#include "ckpt/engine.h"
#include "ckpt/guard.h"
#include "ckpt/kinds.h"
#include "ckpt/shared.h"
#include "ckpt/traits.h"
#include "task/trace.h"

#define AUTOGROUP_TRIES 500

struct limit {
	uint64_t resource, soft, hard;
};

struct task {
	struct limit *limits;
	size_t n_limits;
	uint32_t personality;
	int32_t oom_score_adj;
	uint32_t core_filter;   /* coredump_filter of proc_pid_coredump_filter(5) */
	int32_t autogroup_nice; /* of the session: sched(7) */
	struct traits traits;
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
	RECORD(HEX, struct task, "coreFilter", core_filter),
	RECORD(I, struct task, "autogroupNice", autogroup_nice, RECORD_OPTIONAL),
	TRAITS_RECORD(struct task),
};
static const struct record_table table = RECORD_TABLE(struct task, rows);

/* As the container sees it, where it does. */
static pid_t number_inside(const struct ckpt *c, pid_t host)
{
	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->host == host)
			return c->procs[i]->pid;
	return host;
}

/* Of one that is frozen. */
struct seen {
	struct shared_seen *shared;
	long score, filter;
};

static void check_session(const struct ckpt_unit *u)
{
	const char *why = tree_refusal(u->c, u->p);

	if (why)
		ckpt_problem(u->c, u->p, -1, "session", "%s", why);
}

static int check(const struct ckpt_unit *u)
{
	const struct proc_status *s = u->p->status;
	void **init = ckpt_note(&kind_task, u->c->procs[0]);
	struct shared_seen *own = NULL;

	/* else it is done in the pause, for which that would be twice */
	if (!u->c->saves || u->c->again)
		own = shared_look(u->c->arena, u->p->host);
	if (u->p == u->c->procs[0])
		*init = own;
	if (s->tracer && !guard_traces(u->c, s->tracer))
		ckpt_problem(u->c, u->p, -1, "process", "it is being traced by process %d",
			     number_inside(u->c, s->tracer));
	check_session(u);
	return shared_check(u, own, *init);
}

static int read_number(pid_t pid, const char *name, int base, long *out)
{
	char text[64];
	int n = proc_read(pid, 0, name, text, sizeof(text));

	if (n < 0)
		return n == -ESRCH ? fail(ESRCH, "read /proc/%d/%s: it is not there", pid, name)
				   : n;
	*out = strtol(text, NULL, base);
	return 0;
}

static int look_frozen(struct arena *a, pid_t host, void **out)
{
	struct seen *seen = arena_alloc(a, sizeof(*seen));
	int ret = read_number(host, "oom_score_adj", 10, &seen->score);

	*out = seen;
	seen->shared = shared_look(a, host);
	return ret ? ret : read_number(host, "coredump_filter", 16, &seen->filter);
}

/* "/autogroup-25 nice 0"; a kernel without them has no such file. */
static int read_autogroup(const struct ckpt_unit *u, int32_t *out)
{
	char text[128];
	const char *at;
	int ret;

	*out = 0;
	if (u->p->session != u->p->pid)
		return 0;
	ret = proc_read(u->p->host, 0, "autogroup", text, sizeof(text));
	if (ret < 0)
		return ret == -ESRCH ? 0 : ret;
	at = strstr(text, " nice ");
	*out = at ? (int32_t)strtol(at + strlen(" nice "), NULL, 10) : 0;
	return 0;
}

/* Where answers lie. */
#define AT_LIMITS TRAITS_BYTES
#define ANSWER_BYTES (AT_LIMITS + RLIM_NLIMITS * sizeof(struct rlimit64))

/* The answers, behind those of the limits. */
enum { ASK_PERSONALITY = RLIM_NLIMITS, OWN_CALLS };

/* What files of /proc tell as well, and take twenty times as long to tell: so it is asked for where
 * no filter forbids any of it. */
static int ask_own(const struct ckpt_unit *u, uint64_t at, struct inject_call *calls, size_t *out_n)
{
	bool may = true;
	int ret = 0;

	for (uint64_t i = 0; i < RLIM_NLIMITS; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_prlimit64,
			.arg = { 0, i, 0, at + AT_LIMITS + i * sizeof(struct rlimit64) },
		};
	calls[ASK_PERSONALITY] =
		(struct inject_call){ .nr = SYS_personality, .arg = { UINT32_MAX } };
	for (size_t i = 0; i < OWN_CALLS && may && !ret; i++)
		ret = trace_may(u->p->threads[0]->trace, (int64_t)calls[i].nr, calls[i].arg, &may);
	*out_n = may ? OWN_CALLS : 0;
	return ret;
}

static int ask(const struct ckpt_unit *u, struct ask *a)
{
	struct inject_call calls[OWN_CALLS + TRAITS_MAX];
	size_t own = 0, traits = 0;
	uint64_t at;
	int ret = ask_room(a, ANSWER_BYTES, &at);

	if (!ret)
		ret = ask_own(u, at, calls, &own);
	if (!ret)
		ret = traits_ask(u->p->threads[0], KIND_PROCESS, at, calls + own, &traits);
	return ret ? ret : ask_add(a, calls, own + traits);
}

/* Unasked, by the files. */
static int read_own(const struct ckpt_unit *u, struct task *task)
{
	struct rlimit limits[RLIM_NLIMITS];
	long persona;
	int ret = proc_limits(u->p->host, limits);

	if (!ret)
		ret = read_number(u->p->host, "personality", 16, &persona);
	if (ret)
		return ret;
	for (size_t i = 0; i < RLIM_NLIMITS; i++)
		task->limits[i] = (struct limit){ i, limits[i].rlim_cur, limits[i].rlim_max };
	task->personality = (uint32_t)persona;
	return 0;
}

static int take_own(const struct ckpt_unit *u, const struct answers *answers, struct task *task)
{
	struct rlimit64 limit;

	for (size_t i = 0; i < OWN_CALLS; i++)
		if (answers->calls[i].ret < 0)
			return fail((int)-answers->calls[i].ret,
				    "process %d: ask for its limits and personality: %s", u->p->pid,
				    err_reason((int)-answers->calls[i].ret));
	for (size_t i = 0; i < RLIM_NLIMITS; i++) {
		memcpy(&limit, answers->data + AT_LIMITS + i * sizeof(limit), sizeof(limit));
		task->limits[i] = (struct limit){ i, limit.rlim_cur, limit.rlim_max };
	}
	task->personality = (uint32_t)answers->calls[ASK_PERSONALITY].ret;
	return 0;
}

static int collect(const struct ckpt_unit *u)
{
	struct task *task = u->rec;
	const struct seen *seen;
	struct answers answers;
	void *found;
	bool own;
	int ret = ahead_take(u->c, &kind_task, u->p, &found);

	if (!ret)
		ret = read_autogroup(u, &task->autogroup_nice);
	if (!ret)
		ret = ask_answers(&kind_task, u, &answers);
	if (ret)
		return ret;
	*ckpt_note(&kind_task, u->p) = found;
	seen = found;
	task->core_filter = (uint32_t)seen->filter;
	task->oom_score_adj = (int32_t)seen->score;
	task->n_limits = RLIM_NLIMITS;
	task->limits = arena_array(u->c->arena, RLIM_NLIMITS, sizeof(*task->limits));
	own = answers.n >= OWN_CALLS && answers.calls[0].nr == SYS_prlimit64;
	ret = own ? take_own(u, &answers, task) : read_own(u, task);
	traits_take(u->c, answers.calls, answers.n, answers.data, &task->traits);
	return ret;
}

static int again(const struct ckpt_unit *u)
{
	const struct seen *own = *ckpt_note(&kind_task, u->p);
	const struct seen *init = *ckpt_note(&kind_task, u->c->procs[0]);

	check_session(u);
	shared_check_again(u, own->shared, init->shared);
	return 0;
}

/* Each thread has its own, from the one that cloned it. */
static int hand_down(const struct ckpt_unit *u)
{
	const struct task *task = u->rec;
	int64_t ret = u->p->n_threads > 1 ? ckpt_call(u->p->threads[0], "set the personality",
						      SYS_personality, task->personality)
					  : 0;

	return ret < 0 ? (int)ret : 0;
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
	if (!ret)
		ret = traits_rebuild(b, u->p->threads[0], KIND_PROCESS, &task->traits);
	return ret ? ret : batch_run(b);
}

static int write_to(const struct ckpt_unit *u, const char *name, const char *text)
{
	char path[64];

	snprintf(path, sizeof(path), "/proc/%d/%s", u->p->host, name);
	return fd_put(AT_FDCWD, path, text);
}

/* The runtime may not have the right to go below its own score: then the new configuration
 * decides. */
static int rebuild_score(const struct ckpt_unit *u)
{
	const struct task *task = u->rec;
	long now;
	int ret = read_number(u->p->host, "oom_score_adj", 10, &now);

	if (ret || now == task->oom_score_adj)
		return ret;
	ret = write_to(u, "oom_score_adj", arena_printf(u->c->arena, "%d", task->oom_score_adj));
	if (ret && ret != -EACCES && ret != -EPERM)
		return fail(-ret, "process %d: set its OOM score to %d: %s", u->p->pid,
			    task->oom_score_adj, err_reason(-ret));
	return 0;
}

/* One in a tenth of a second, for all who lack CAP_SYS_ADMIN (kernel/sched/autogroup.c). */
static int set_autogroup(const struct ckpt_unit *u, int32_t nice)
{
	static const struct timespec moment = { 0, 10000000 };
	const char *text = arena_printf(u->c->arena, "%d", nice);
	int ret = write_to(u, "autogroup", text);

	for (int i = 0; ret == -EAGAIN && i < AUTOGROUP_TRIES; i++) {
		nanosleep(&moment, NULL);
		ret = write_to(u, "autogroup", text);
	}
	return ret;
}

static int rebuild_files(const struct ckpt_unit *u)
{
	const struct task *task = u->rec;
	int ret = write_to(u, "coredump_filter",
			   arena_printf(u->c->arena, "0x%x", task->core_filter));

	if (ret)
		return fail(-ret, "process %d: set which memory is dumped with it: %s", u->p->pid,
			    err_reason(-ret));
	if (!task->autogroup_nice)
		return 0;
	ret = set_autogroup(u, task->autogroup_nice);
	return ret ? fail(-ret, "process %d: set the nice value of its session to %d: %s",
			  u->p->pid, task->autogroup_nice, err_reason(-ret))
		   : 0;
}

static int rebuild(const struct ckpt_unit *u)
{
	int ret = rebuild_score(u);

	if (!ret)
		ret = rebuild_files(u);
	return ret ? ret : rebuild_limits(u);
}

const struct ckpt_kind kind_task = {
	.name = "task",
	.scope = KIND_PROCESS,
	.table = &table,
	.look_frozen = look_frozen,
	.again = again,
	.check = check,
	.ask = ask,
	.collect = collect,
	.rebuild = { [PHASE_MM] = hand_down, [PHASE_RIGHTS] = rebuild },
};
