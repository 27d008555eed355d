/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters of seccomp(2). A thread has a chain of them that only grows, and that what it clones
 * inherits: first the configuration's, then those that programs added.
 *
 * Whoever may suspend filters may read them, too (CAP_SYS_ADMIN in the initial user namespace, and
 * no filter on thole itself). Then the image has what programs added, and everything is given back
 * while it is suspended: the configuration's filter to the first process before it clones, so that
 * there is one for all; a filter that a process shares with all it clones before that as well; what
 * the threads of a process share to all at once, or they could never be made one again
 * (SECCOMP_FILTER_FLAG_TSYNC); the rest one by one. All that before rights are dropped: who gave up
 * CAP_SYS_ADMIN since could not add them again. The kernel does not tell SPEC_ALLOW: none has it.
 *
 * For an ordinary user there is the configuration's filter alone: a program is asked whether it
 * would let an errand pass (bpf/run.h), a thread with another number of filters than that is
 * refused, and each process gets it last.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "arch/arch.h"
#include "base/err.h"
#include "base/mem.h"
#include "bpf/filter.h"
#include "bpf/run.h"
#include "ckpt/alike.h"
#include "ckpt/confine.h"
#include "ckpt/guard.h"
#include "ckpt/kinds.h"
#include "jail/plan.h"
#include "sandbox.h"
#include "task/trace.h"

#define PROGRAMS_MAX 65536u
#define CHAIN_MAX 8192u /* more than fit in the kernel's MAX_INSNS_PER_PATH */
#define AT_CODE 64u
#define INITIAL_USER_NS 0xeffffffdu /* PROC_USER_INIT_INO, linux/nsfs.h */

#ifndef PTRACE_SECCOMP_GET_FILTER
#define PTRACE_SECCOMP_GET_FILTER 0x420c
#endif
#ifndef PTRACE_SECCOMP_GET_METADATA
#define PTRACE_SECCOMP_GET_METADATA 0x420d
#endif

/* Of the container: every filter that a program has added, once. */
struct programs {
	struct program *v;
	size_t n;
};

/* What is in no image: c->confine */
struct confine {
	struct filter guard;  /* of the supervised calls; len 0: there are none */
	struct filter bundle; /* the configuration's; len 0: it has none */
	uint32_t below;       /* filters that thole runs under, and so all it starts */
	uint32_t known;       /* dump: of every chain, the first that the configuration gave */
	size_t room;          /* dump: of the programs */
};

struct chain {
	uint64_t *v; /* the oldest first */
	size_t n;
};

/* Restore, of a process: how much of the chain of its first thread it has when it clones. */
struct inherited {
	const struct chain *chain; /* NULL: nobody has told yet */
	size_t n;
	size_t shared; /* how much its threads have in common */
	bool last;     /* its filter comes in PHASE_CONFINE */
};

static const struct record_field program_rows[] = {
	RECORD(BYTES, struct program, "code", code, RECORD_N(struct program, len),
	       RECORD_MAX(BPF_MAXINSNS * sizeof(struct sock_filter))),
	RECORD(HEX, struct program, "flags", flags, RECORD_OPTIONAL,
	       RECORD_MAX(SECCOMP_FILTER_FLAG_LOG)),
};
static const struct record_table program_table = RECORD_TABLE(struct program, program_rows);

static const struct record_field rows[] = {
	RECORD_LIST_OF(struct programs, "programs", v, n, program_table, RECORD_OPTIONAL,
		       RECORD_MAX(PROGRAMS_MAX)),
};
static const struct record_table table = RECORD_TABLE(struct programs, rows);

static const struct record_field chain_rows[] = {
	RECORD(NUMBERS, struct chain, "programs", v, RECORD_N(struct chain, n), RECORD_OPTIONAL,
	       RECORD_MAX(CHAIN_MAX)),
};
static const struct record_table chain_table = RECORD_TABLE(struct chain, chain_rows);

static struct programs *programs_of(struct ckpt *c)
{
	const struct ckpt_unit u = { .c = c };

	return ckpt_section(&kind_confine, &u);
}

static const struct chain *chain_of(const struct ckpt_thread *t)
{
	const struct ckpt_unit u = { .t = (struct ckpt_thread *)t };

	return ckpt_section(&kind_filters, &u);
}

/* What the configuration says, and what thole itself brings along. */
static int prepare_confine(struct ckpt *c)
{
	const struct sandbox *sb = c->sb ? c->sb : c->subject->sb;
	struct confine *confine = arena_alloc(c->arena, sizeof(*confine));
	struct proc_status own;
	int ret = proc_status_of(getpid(), getpid(), NULL, &own);

	if (ret)
		return fail(-ret, "read /proc/self/status: %s", err_reason(-ret));
	confine->below = own.seccomp_filters;
	ret = guard_of(c, &confine->guard);
	if (!ret && sb->seccomp)
		ret = filter_build(c->arena, sb->seccomp, &confine->bundle);
	c->confine = confine;
	return ret;
}

static uint32_t expected(const struct confine *confine)
{
	return confine->below + (confine->bundle.len ? 1 : 0) + (confine->guard.len ? 1 : 0);
}

static bool passes(const struct filter *f, int64_t nr, const uint64_t *arg)
{
	struct seccomp_data data = { .nr = (int)nr, .arch = arch_native()->audit };
	uint32_t verdict;

	memcpy(data.args, arg, sizeof(data.args));
	verdict = run_program(f->code, f->len, &data, NULL).verdict & SECCOMP_RET_ACTION_FULL;
	return verdict == SECCOMP_RET_ALLOW || verdict == SECCOMP_RET_LOG;
}

/* The filters below are not to be seen. They are thole's as well, and it has come this far. */
bool confine_allows(void *ctx, const struct trace_thread *th, int64_t nr, const uint64_t *arg)
{
	const struct confine *confine = ((struct ckpt *)ctx)->confine;

	if (!confine || th->filters != expected(confine))
		return false;
	return (!confine->bundle.len || passes(&confine->bundle, nr, arg)) &&
	       (!confine->guard.len || passes(&confine->guard, nr, arg));
}

bool confine_may_call(struct ckpt *c, int64_t nr)
{
	static const uint64_t none[6];

	return !c->confine->bundle.len || passes(&c->confine->bundle, nr, none);
}

/* ---- dump: before anything is stopped */

static bool may_suspend(const struct confine *confine)
{
	struct proc_status own;
	struct stat ns;

	return !confine->below && stat("/proc/self/ns/user", &ns) == 0 &&
	       ns.st_ino == INITIAL_USER_NS &&
	       proc_status_of(getpid(), getpid(), NULL, &own) == 0 &&
	       (own.cap_effective >> CAP_SYS_ADMIN & 1);
}

/* Errands that no dump does without. */
static void check_errands(struct ckpt *c)
{
	static const struct {
		const char *name;
		long nr;
	} errands[] = {
		{ "rt_sigprocmask", SYS_rt_sigprocmask },
		{ "mmap", SYS_mmap },
		{ "munmap", SYS_munmap },
		{ "prctl", SYS_prctl },
		{ "rt_sigaction", SYS_rt_sigaction },
		{ "sigaltstack", SYS_sigaltstack },
		{ "getitimer", SYS_getitimer },
		{ "getresuid", SYS_getresuid },
		{ "getresgid", SYS_getresgid },
		{ "getgroups", SYS_getgroups },
	};
	static const uint64_t none[6];

	for (size_t i = 0; i < NAME_COUNT(errands) && c->confine->bundle.len; i++)
		if (!passes(&c->confine->bundle, errands[i].nr, none))
			ckpt_problem(c, NULL, -1, "linux.seccomp",
				     "its filter does not allow %s, which the processes are to "
				     "execute, and only root can suspend it",
				     errands[i].name);
}

static bool check_thread(const struct ckpt_unit *u, const struct proc_status *st)
{
	if (st->seccomp == SECCOMP_MODE_STRICT) {
		ckpt_problem(u->c, u->p, -1, "seccomp",
			     "it is in strict mode, which only root can suspend");
		return false;
	}
	if (st->seccomp_filters == expected(u->c->confine))
		return true;
	ckpt_problem(u->c, u->p, -1, "seccomp",
		     "it has %u filters where the configuration gives it %u: those that programs "
		     "add are shown to root alone",
		     st->seccomp_filters, expected(u->c->confine));
	return false;
}

static void check_proc(const struct ckpt_unit *u)
{
	struct proc_status st;
	bool good = check_thread(u, u->p->status);

	if (alike_rights(u->c, u->p))
		return;
	for (size_t i = 1; i < u->p->n_threads && good; i++)
		if (proc_status_of(u->p->host, u->p->threads[i]->host, NULL, &st) == 0)
			good = check_thread(u, &st);
}

static int again(const struct ckpt_unit *u)
{
	const bool all = !may_suspend(u->c->confine);

	for (size_t i = 0; i < u->c->n_procs && all; i++)
		if (!u->c->procs[i]->zombie)
			check_proc(&(struct ckpt_unit){ .c = u->c, .p = u->c->procs[i] });
	return 0;
}

static int check(const struct ckpt_unit *u)
{
	struct ckpt *c = u->c;
	int ret = prepare_confine(c);

	if (ret)
		return ret;
	if (c->confine->bundle.notifies)
		ckpt_problem(c, NULL, -1, "linux.seccomp",
			     "its filter asks a listener (SCMP_ACT_NOTIFY), which can't be "
			     "restored");
	if (may_suspend(c->confine))
		return 0;
	check_errands(c);
	return again(u);
}

/* ---- dump */

/* A filter that can ask whoever holds its listener: that is to be had once only. */
static bool asks(const struct sock_filter *code, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (code[i].code == (BPF_RET | BPF_A))
			return true;
		if (code[i].code == (BPF_RET | BPF_K) &&
		    (code[i].k & SECCOMP_RET_ACTION_FULL) == SECCOMP_RET_USER_NOTIF)
			return true;
	}
	return false;
}

static uint64_t add_program(struct ckpt *c, const struct program *p)
{
	struct programs *all = programs_of(c);

	for (size_t i = all->n; i > 0; i--)
		if (all->v[i - 1].len == p->len && all->v[i - 1].flags == p->flags &&
		    memcmp(all->v[i - 1].code, p->code, p->len) == 0)
			return i - 1;
	all->v = arena_grow(c->arena, all->v, all->n, &c->confine->room, sizeof(*all->v));
	all->v[all->n] = *p;
	all->v[all->n].code = arena_memdup(c->arena, p->code, p->len);
	return all->n++;
}

/* Filter i of a thread, counted from the oldest. Its instructions, 0 if there is none of that
 * number, or -errno with a text. */
static long read_filter(const struct ckpt_thread *t, uint64_t i, struct sock_filter *code)
{
	long n = ptrace(PTRACE_SECCOMP_GET_FILTER, t->host, i, code);

	if (n >= 0 && n <= BPF_MAXINSNS)
		return n;
	/* none at all; no more */
	if (n < 0 && (errno == EINVAL || errno == ENOENT))
		return 0;
	return fail_errno("thread %d: read filter %llu", t->tid, (unsigned long long)i);
}

static int read_flags(const struct ckpt_thread *t, uint64_t i, uint32_t *out)
{
	struct {
		uint64_t number, flags;
	} about = { .number = i }; /* struct seccomp_metadata, linux/ptrace.h */

	if (ptrace(PTRACE_SECCOMP_GET_METADATA, t->host, sizeof(about), &about) < 0)
		return fail_errno("thread %d: read the flags of filter %llu", t->tid,
				  (unsigned long long)i);
	*out = (uint32_t)about.flags & SECCOMP_FILTER_FLAG_LOG;
	return 0;
}

static int collect_filter(const struct ckpt_unit *u, uint64_t i, const struct sock_filter *code,
			  size_t n, size_t *room)
{
	struct program p = { .code = code, .len = n * sizeof(*code) };
	struct chain *chain = u->rec;
	int ret = read_flags(u->t, i, &p.flags);

	if (ret)
		return ret;
	if (asks(code, n))
		return fail(ENOTSUP,
			    "thread %d: it has a filter that asks a listener, which can't be "
			    "restored",
			    u->t->tid);
	chain->v = arena_grow(u->c->arena, chain->v, chain->n, room, sizeof(*chain->v));
	chain->v[chain->n++] = add_program(u->c, &p);
	return 0;
}

static int collect_chain(const struct ckpt_unit *u)
{
	struct confine *confine = u->c->confine;
	struct sock_filter code[BPF_MAXINSNS];
	const struct filter *given[] = { &confine->guard, &confine->bundle };
	uint64_t i = confine->known;
	size_t room = 0;
	long n = read_filter(u->t, i, code);
	int ret = 0;

	/* all others come from the first process, or they would not be in the container */
	for (size_t k = 0; k < NAME_COUNT(given) && u->t == u->c->procs[0]->threads[0]; k++) {
		if (n <= 0 || n != given[k]->len ||
		    memcmp(code, given[k]->code, (size_t)n * sizeof(*code)) != 0)
			continue;
		confine->known++;
		n = read_filter(u->t, ++i, code);
	}
	while (n > 0 && !ret) {
		ret = collect_filter(u, i++, code, (size_t)n, &room);
		n = ret ? 0 : read_filter(u->t, i, code);
	}
	return ret ? ret : (int)n;
}

static int collect(const struct ckpt_unit *u)
{
	const struct trace_thread *th = u->t->trace;
	bool suspended;
	int ret = trace_suspends(u->t->trace, &suspended);

	if (ret)
		return ret;
	if (suspended)
		return collect_chain(u);
	if (th->seccomp == SECCOMP_MODE_STRICT || th->filters != expected(u->c->confine))
		return fail(ENOTSUP,
			    "thread %d has added a filter of its own, and only root is shown it",
			    u->t->tid);
	return 0;
}

/* ---- restore: what the image says */

static int prepare_programs(const struct ckpt_unit *u)
{
	const struct programs *all = u->rec;
	const char *complaint;
	int ret = prepare_confine(u->c);

	if (!ret && u->c->confine->bundle.notifies)
		return fail(ENOTSUP, "linux.seccomp: its filter asks a listener (SCMP_ACT_NOTIFY), "
				     "which can't be given to what is restored");
	for (size_t i = 0; i < all->n && !ret; i++) {
		complaint = all->v[i].len % sizeof(struct sock_filter)
				    ? "is no number of instructions"
				    : run_check(all->v[i].code,
						all->v[i].len / sizeof(struct sock_filter));
		if (complaint)
			ret = fail(EBADMSG, "the image: %s: filters.programs[%zu].code: %s",
				   IMAGE_CONTAINER, i, complaint);
	}
	return ret;
}

/* How many filters the two begin with in common, among the first n of a. */
static size_t common(const struct chain *a, size_t n, const struct chain *b)
{
	size_t i = 0;

	while (i < n && i < b->n && a->v[i] == b->v[i])
		i++;
	return i;
}

static struct inherited *inherited(struct ckpt_proc *p)
{
	return *ckpt_note(&kind_filters, p);
}

/* What p has when it clones is what all that it clones has. */
static void inherit(struct ckpt_proc *p, const struct chain *chain, size_t n)
{
	struct inherited *own = inherited(p);

	if (!own->chain) {
		own->chain = chain;
		own->n = n;
		return;
	}
	n = n < own->n ? n : own->n;
	own->n = common(own->chain, n, chain);
}

static size_t shared_by_threads(const struct ckpt_proc *p)
{
	const struct chain *first = chain_of(p->threads[0]);
	size_t n = first->n;

	for (size_t i = 1; i < p->n_threads; i++)
		n = common(first, n, chain_of(p->threads[i]));
	return n;
}

/* Makers come before whom they make. */
static int plan(const struct ckpt_unit *u)
{
	struct ckpt *c = u->c;
	struct inherited *own;

	for (size_t i = 0; i < c->n_procs; i++)
		*ckpt_note(&kind_filters, c->procs[i]) = arena_alloc(c->arena, sizeof(*own));
	for (size_t i = c->n_procs; i > 0; i--) {
		struct ckpt_proc *p = c->procs[i - 1];

		own = inherited(p);
		if (!p->zombie) {
			own->shared = shared_by_threads(p);
			inherit(p, chain_of(p->threads[0]), own->shared);
		}
		if (p->maker && own->chain)
			inherit(p->maker, own->chain, own->n);
	}
	/* who is gone has what he was made with: nothing is added to it meanwhile */
	for (size_t i = 0; i < c->n_procs; i++)
		if (c->procs[i]->zombie && c->procs[i]->maker)
			inherited(c->procs[i])->n = inherited(c->procs[i]->maker)->n;
	return 0;
}

static int prepare_chain(const struct ckpt_unit *u)
{
	const struct chain *chain = u->rec;
	const size_t n = programs_of(u->c)->n;

	for (size_t i = 0; i < chain->n; i++)
		if (chain->v[i] >= n)
			return fail(EBADMSG,
				    "the image: process.%d.info.json: thread %d: "
				    "filters.programs[%zu]: there are %zu programs",
				    u->p->pid, u->t->tid, i, n);
	return 0;
}

/* ---- restore */

int confine_install(const struct ckpt_thread *t, const struct program *p, bool all)
{
	struct sock_fprog fprog = { .len = (unsigned short)(p->len / sizeof(*p->code)) };
	struct inject_call call = {
		.nr = SYS_seccomp,
		.arg = { SECCOMP_SET_MODE_FILTER,
			 p->flags |
				 (all ? SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_TSYNC_ESRCH
				      : 0) },
	};
	uint64_t code;
	int ret = ckpt_put(t, AT_CODE, p->code, p->len, &code);

	if (ret)
		return ret;
	fprog.filter = (struct sock_filter *)(uintptr_t)code;
	ret = ckpt_put(t, 0, &fprog, sizeof(fprog), &call.arg[2]);
	if (!ret)
		ret = trace_confine(t->trace, &call, all);
	if (!ret && call.ret < 0)
		ret = fail((int)-call.ret, "thread %d: add a filter of %u instructions: %s", t->tid,
			   fprog.len, err_reason((int)-call.ret));
	return ret ? ret : (int)call.ret;
}

/* The one of the supervised calls first: the other might forbid to add any. */
static int install_given(const struct ckpt_unit *u, bool all)
{
	const struct filter *f = &u->c->confine->bundle;
	const struct program p = {
		.code = f->code,
		.len = f->len * sizeof(*f->code),
		.flags = u->c->sb->seccomp_flags & ~(uint32_t)SECCOMP_FILTER_FLAG_TSYNC,
	};

	const struct filter *guard = &u->c->confine->guard;
	int ret = guard->len ? guard_install(u->t, guard, u->c->task->supervisor, all) : 0;

	return ret || !f->len ? ret : confine_install(u->t, &p, true);
}

/* Filters from the one to the other of its chain, to this thread or to all. */
static int install_some(const struct ckpt_unit *u, size_t from, size_t to, bool all)
{
	const struct programs *programs = programs_of(u->c);
	const struct chain *chain = u->rec;
	int ret = 0;

	for (size_t i = from; i < to && !ret; i++)
		ret = confine_install(u->t, &programs->v[chain->v[i]], all);
	return ret;
}

/* Before it clones anything. */
static int rebuild_inherited(const struct ckpt_unit *u)
{
	struct inherited *own = inherited(u->p);
	bool suspended;
	int ret;

	if (u->t != u->p->threads[0])
		return 0;
	ret = trace_suspends(u->t->trace, &suspended);
	if (ret)
		return ret;
	own->last = !suspended;
	if (suspended && !u->p->maker)
		ret = install_given(u, false);
	if (suspended && !ret)
		ret = install_some(u, u->p->maker ? inherited(u->p->maker)->n : 0, own->n, false);
	return ret;
}

static int rebuild(const struct ckpt_unit *u)
{
	const struct inherited *own = inherited(u->p);
	const struct chain *chain = u->rec;
	int ret = 0;

	if (own->last && chain->n)
		return fail(ENOTSUP,
			    "thread %d: it had added filters of its own, which only root can "
			    "restore",
			    u->t->tid);
	if (u->t == u->p->threads[0])
		ret = install_some(u, own->n, own->shared, true);
	return ret ? ret : install_some(u, own->shared, chain->n, false);
}

bool confine_comes_last(const struct ckpt_proc *p)
{
	return inherited((struct ckpt_proc *)p)->last;
}

static int rebuild_last(const struct ckpt_unit *u)
{
	return inherited(u->p)->last && u->t == u->p->threads[0] ? install_given(u, true) : 0;
}

const struct ckpt_kind kind_confine = {
	.name = "filters",
	.scope = KIND_CONTAINER,
	.table = &table,
	.check = check,
	.again = again,
	.prepare = prepare_programs,
	.rebuild = { [PHASE_ROOT] = plan },
};

const struct ckpt_kind kind_filters = {
	.name = "filters",
	.scope = KIND_THREAD,
	.table = &chain_table,
	.collect = collect,
	.prepare = prepare_chain,
	.rebuild = { [PHASE_TREE] = rebuild_inherited,
		     [PHASE_RIGHTS] = rebuild,
		     [PHASE_CONFINE] = rebuild_last },
};
