/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock domains that tasks have entered by themselves: landlock_restrict_self(2). No kernel
 * tells the rules of one, so who has one is refused. That there is one does not show either, but:
 *
 *   - domains are nested 16 deep and no deeper. How many a task can still enter is tried by a
 *     shadow of it (task/trace.h), and compared with what thole itself can, and with the one of
 *     the configuration;
 *   - a task may look at another one (ptrace(2)) whose domain is its own or nested in it, and at no
 *     other. A shadow that was found to have come from the configuration's domain is nested in it
 *     by now. Who may look at it has that very domain: all tasks have that or one within.
 *
 * So a shadow of the first process is tried, and every other thread has a look at it: one system
 * call among those that it runs anyway. Who is not let for another reason (other ids, capabilities)
 * gets a shadow of its own, which those after it are to look at.
 *
 * All this only where somebody can have entered one: it takes no_new_privs or CAP_SYS_ADMIN.
 */
#include <errno.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/batch.h"
#include "ckpt/confine.h"
#include "ckpt/domain.h"
#include "ckpt/kinds.h"
#include "jail/landlock.h"
#include "jail/plan.h"
#include "jail/policy.h"
#include "task/trace.h"

#define TRIES 80      /* more than domains can be nested: 16, once 64 */
#define SHADOWS_MAX 8 /* at a time */

struct shadow {
	const struct ckpt_thread *of;
	struct trace *trace;
	pid_t pid; /* as the container sees it */
};

struct domains {
	int64_t depth; /* how much deeper than thole a task is where it has entered none */
	int64_t free;  /* how many thole could enter */
	struct shadow shadows[SHADOWS_MAX];
	size_t n, last; /* last: the one that was looked at with success */
};

/* ---- before anything is stopped */

static bool could_enter(const struct ckpt *c, const struct ckpt_proc *p)
{
	const struct cred_caps *caps = &c->subject->sb->process.cred.caps;

	return p->status->no_new_privs || !caps->set || (caps->bounding >> CAP_SYS_ADMIN & 1);
}

/* In a child: what is entered is not left. */
static int count_own(int64_t *out)
{
	const uint64_t handled[LANDLOCK_CLASSES] = { LL_EXECUTE };
	int fd, n = 0, status = 0;
	pid_t pid = fork();

	if (pid == 0) {
		fd = landlock_open(handled);
		if (fd >= 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0)
			while (n < TRIES && sys_landlock_restrict_self(fd, 0) == 0)
				n++;
		_exit(n);
	}
	if (pid < 0)
		return fail_errno("start a process that counts Landlock domains");
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*out = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	return 0;
}

static int check(const struct ckpt_unit *u)
{
	struct ckpt *c = u->c;
	const int abi = landlock_abi();
	struct domains *d;
	struct policy policy;
	bool any = false;
	int ret;

	for (size_t i = 0; i < c->n_procs; i++)
		any |= !c->procs[i]->zombie && could_enter(c, c->procs[i]);
	if (!abi || !any || !confine_may_call(c, SYS_landlock_restrict_self))
		return 0;
	d = arena_alloc(c->arena, sizeof(*d));
	ret = policy_plan(c->arena, c->subject->sb, abi, &policy);
	d->depth = policy.enforced;
	if (!ret)
		ret = count_own(&d->free);
	c->domains = d;
	return ret;
}

/* ---- frozen */

/* How many domains the shadow can enter. It has entered them afterwards. */
static int count(struct ckpt *c, const struct shadow *s, int64_t *out)
{
	const uint64_t handled = LL_EXECUTE;
	struct trace_thread *th = s->trace->threads[0];
	struct inject_call calls[TRIES];
	uint64_t attr;
	int64_t fd;
	int ret = ckpt_put(s->of, 0, &handled, sizeof(handled), &attr);

	if (!ret)
		ret = trace_syscall(th, &fd, SYS_landlock_create_ruleset, attr, sizeof(handled), 0);
	if (!ret && fd < 0)
		ret = fail((int)-fd, "make a Landlock ruleset: %s", err_reason((int)-fd));
	if (!ret)
		ret = trace_syscall(th, out, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	for (size_t i = 0; i < TRIES; i++)
		calls[i] = (struct inject_call){
			.nr = SYS_landlock_restrict_self,
			.arg = { (uint64_t)fd },
		};
	if (!ret)
		ret = trace_batch(th, calls, (size_t)c->domains->free + 1);
	for (*out = 0; !ret && *out <= c->domains->free && !calls[*out].ret;)
		++*out;
	return ret;
}

static int judge(struct ckpt *c, const struct shadow *s)
{
	const struct domains *d = c->domains;
	int64_t can, is;
	int ret = count(c, s, &can);

	if (ret)
		return fail_in(ret, "find out whether thread %d has entered a Landlock domain",
			       s->of->tid);
	is = d->free - can;
	if (is == d->depth)
		return 0;
	return fail(ENOTSUP,
		    "thread %d of process %d has restricted itself by Landlock (it is in %lld "
		    "domains, of which the configuration explains %lld): the kernel does not "
		    "tell the rules",
		    s->of->tid, s->of->proc->pid, (long long)is, (long long)d->depth);
}

static int end(struct shadow *s)
{
	struct trace *shadow = s->trace;

	s->trace = NULL;
	return shadow ? trace_shadow_end(s->of->trace, shadow, s->pid) : 0;
}

/* A new one, tried, in the place of the oldest but the first. */
static int add_shadow(struct ckpt *c, const struct ckpt_thread *t)
{
	struct domains *d = c->domains;
	size_t at = d->n < SHADOWS_MAX ? d->n : 1 + d->n % (SHADOWS_MAX - 1);
	struct shadow *s = &d->shadows[at];
	int ret = end(s);

	s->of = t;
	if (!ret)
		ret = trace_shadow(t->trace, &s->trace, &s->pid);
	if (ret)
		return fail_in(ret, "find out whether thread %d has entered a Landlock domain",
			       t->tid);
	d->n++;
	d->last = at;
	return judge(c, s);
}

int domain_reference(struct ckpt *c, const struct ckpt_thread *t, pid_t *out)
{
	struct domains *d = c->domains;
	int ret = 0;

	*out = 0;
	if (!d || !could_enter(c, t->proc))
		return 0;
	if (!d->n)
		ret = add_shadow(c, t);
	if (!ret)
		*out = d->shadows[d->last].pid;
	return ret;
}

int domain_judge(struct ckpt *c, const struct ckpt_thread *t, int64_t answer)
{
	struct domains *d = c->domains;
	uint64_t at;
	int ret;

	for (size_t i = 0; answer && i < SHADOWS_MAX && d->shadows[i].trace; i++) {
		ret = ckpt_put(t, 0, (uint64_t[2]){ 0 }, 2 * sizeof(uint64_t), &at);
		if (!ret)
			ret = trace_syscall(t->trace, &answer, SYS_get_robust_list,
					    (uint64_t)d->shadows[i].pid, at, at + sizeof(at));
		if (ret)
			return ret;
		d->last = i;
	}
	return answer ? add_shadow(c, t) : 0;
}

int domain_end(struct ckpt *c)
{
	int ret = 0, one;

	for (size_t i = 0; c->domains && i < SHADOWS_MAX; i++) {
		one = end(&c->domains->shadows[i]);
		ret = ret ? ret : one;
	}
	return ret;
}

/* All threads have been asked. */
static int collect(const struct ckpt_unit *u)
{
	return domain_end(u->c);
}

const struct ckpt_kind kind_domain = {
	.name = "domains",
	.scope = KIND_CONTAINER,
	.check = check,
	.collect = collect,
};
