/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <linux/sched.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "base/names.h"
#include "base/str.h"
#include "oci/check.h"
#include "oci/check_priv.h"

#define CONSOLE_MAX UINT16_MAX
#define UMASK_MAX 0777
#define GROUPS_MAX 65536 /* of the kernel, linux/limits.h calls it NGROUPS_MAX */
#define OOM_SCORE_MIN (-1000)
#define OOM_SCORE_MAX 1000
#define IO_PRIORITY_MAX 7
#define RT_PRIORITY_MAX 99

static int check_command(const struct spec_process *p)
{
	if (!p->args || !p->args[0])
		return fail(EINVAL, "%s: %sargs: must hold at least one entry", p->doc, p->at);
	if (p->cwd[0] != '/')
		return fail(EINVAL, "%s: %scwd: \"%s\" is not an absolute path", p->doc, p->at,
			    p->cwd);
	return 0;
}

static int check_env(const struct spec_process *p)
{
	const char *eq;

	for (size_t i = 0; p->env && p->env[i]; i++) {
		eq = strchr(p->env[i], '=');
		if (!eq || eq == p->env[i])
			return fail(EINVAL, "%s: %senv[%zu]: \"%.60s\" is not NAME=VALUE", p->doc,
				    p->at, i, p->env[i]);
	}
	return 0;
}

static int check_console(const struct spec_process *p)
{
	if (p->terminal && (p->console.height > CONSOLE_MAX || p->console.width > CONSOLE_MAX))
		return fail(EINVAL, "%s: %sconsoleSize: height and width must be at most %d",
			    p->doc, p->at, CONSOLE_MAX);
	return 0;
}

static int check_rlimits(const struct spec_process *p)
{
	uint64_t seen = 0;
	int resource;

	for (size_t i = 0; i < p->n_rlimits; i++) {
		const struct spec_rlimit *r = &p->rlimits[i];

		resource = name_rlimit(r->type);
		if (resource < 0)
			return fail(EINVAL, "%s: %srlimits[%zu].type: \"%.40s\" is unknown", p->doc,
				    p->at, i, r->type);
		if (seen >> resource & 1)
			return fail(EINVAL, "%s: %srlimits[%zu].type: %s stands there twice",
				    p->doc, p->at, i, r->type);
		seen |= 1ull << resource;
		if (r->soft > r->hard)
			return fail(EINVAL, "%s: %srlimits[%zu]: soft is above hard", p->doc, p->at,
				    i);
	}
	return 0;
}

static void warn_caps(const struct spec_process *p, const char *set, const char **names)
{
	for (size_t i = 0; names && names[i]; i++)
		if (name_capability(names[i]) < 0)
			log_warning("%s: %scapabilities.%s[%zu]: \"%.60s\" is unknown, ignored",
				    p->doc, p->at, set, i, names[i]);
}

/* The spec wants what can't be granted to be a warning. */
static int check_caps(const struct spec_process *p)
{
	const struct spec_caps *c = p->caps;

	if (!c)
		return 0;
	warn_caps(p, "bounding", c->bounding);
	warn_caps(p, "effective", c->effective);
	warn_caps(p, "inheritable", c->inheritable);
	warn_caps(p, "permitted", c->permitted);
	warn_caps(p, "ambient", c->ambient);
	return 0;
}

static int check_scheduler(const struct spec_process *p)
{
	const struct spec_scheduler *s = p->scheduler;
	bool deadline, realtime;

	if (!s)
		return 0;
	deadline = s->policy == SCHED_DEADLINE;
	realtime = s->policy == SCHED_FIFO || s->policy == SCHED_RR;
	if (s->nice && s->policy != SCHED_NORMAL && s->policy != SCHED_BATCH)
		return fail(EINVAL, "%s: %sscheduler.nice: needs SCHED_OTHER or SCHED_BATCH",
			    p->doc, p->at);
	if (s->nice < -20 || s->nice > 19)
		return fail(EINVAL, "%s: %sscheduler.nice: must be from -20 to 19", p->doc, p->at);
	if (s->priority && !realtime)
		return fail(EINVAL, "%s: %sscheduler.priority: needs SCHED_FIFO or SCHED_RR",
			    p->doc, p->at);
	if (realtime && (s->priority < 1 || s->priority > RT_PRIORITY_MAX))
		return fail(EINVAL, "%s: %sscheduler.priority: must be from 1 to %d", p->doc, p->at,
			    RT_PRIORITY_MAX);
	if (!deadline && (s->runtime || s->deadline || s->period))
		return fail(EINVAL,
			    "%s: %sscheduler: runtime, deadline and period need SCHED_DEADLINE",
			    p->doc, p->at);
	return 0;
}

static int check_priorities(const struct spec_process *p)
{
	const struct spec_io_priority *io = p->io_priority;
	struct opt_i64 oom = p->oom_score_adj;

	if (io && (io->priority < 0 || io->priority > IO_PRIORITY_MAX))
		return fail(EINVAL, "%s: %sioPriority.priority: must be from 0 to %d", p->doc,
			    p->at, IO_PRIORITY_MAX);
	if (oom.set && (oom.v < OOM_SCORE_MIN || oom.v > OOM_SCORE_MAX))
		return fail(EINVAL, "%s: %soomScoreAdj: must be from %d to %d", p->doc, p->at,
			    OOM_SCORE_MIN, OOM_SCORE_MAX);
	return 0;
}

static int check_affinity(const struct spec_process *p)
{
	const struct {
		const char *name, *list;
	} lists[] = { { "initial", p->affinity.initial }, { "final", p->affinity.final } };

	for (size_t i = 0; i < NAME_COUNT(lists); i++)
		if (lists[i].list && *lists[i].list && !check_is_list(lists[i].list))
			return fail(EINVAL,
				    "%s: %sexecCPUAffinity.%s: \"%.60s\" is no list like 0-3,7",
				    p->doc, p->at, lists[i].name, lists[i].list);
	return 0;
}

static bool is_mapped(const struct ns_map *maps, size_t n, uint32_t id)
{
	for (size_t i = 0; i < n; i++)
		if (id >= maps[i].inside && id - maps[i].inside < maps[i].size)
			return true;
	return false;
}

/* Ids must exist in a user namespace that is made here; one that is joined tells them itself. */
static int check_mapped(const struct spec *s, const struct spec_process *p)
{
	const struct spec_namespace *user = spec_namespace(s, NS_USER);

	if (!user || (user->path && *user->path))
		return 0;
	if (!is_mapped(s->uid_map, s->n_uid, p->user.uid))
		return fail(EINVAL,
			    "%s: %suser.uid: cannot setuid to unmapped uid %u in user namespace",
			    p->doc, p->at, p->user.uid);
	if (!is_mapped(s->gid_map, s->n_gid, p->user.gid))
		return fail(EINVAL,
			    "%s: %suser.gid: cannot setgid to unmapped gid %u in user namespace",
			    p->doc, p->at, p->user.gid);
	if (spec_keeps_groups(s))
		return 0;
	for (size_t i = 0; i < p->user.n_groups; i++)
		if (!is_mapped(s->gid_map, s->n_gid, p->user.groups[i]))
			return fail(EINVAL,
				    "%s: %suser.additionalGids[%zu]: gid %u is not mapped in the "
				    "user namespace",
				    p->doc, p->at, i, p->user.groups[i]);
	return 0;
}

static int check_user(const struct spec_process *p)
{
	if (p->user.umask.set && p->user.umask.v > UMASK_MAX)
		return fail(EINVAL, "%s: %suser.umask: must be from 0 to %d (0777)", p->doc, p->at,
			    UMASK_MAX);
	if (p->user.uid == UINT32_MAX || p->user.gid == UINT32_MAX)
		return fail(EINVAL, "%s: %suser: %u is no id", p->doc, p->at, UINT32_MAX);
	if (p->user.n_groups > GROUPS_MAX)
		return fail(EINVAL, "%s: %suser.additionalGids: more than %d groups", p->doc, p->at,
			    GROUPS_MAX);
	return 0;
}

int check_process(const struct spec *s, const struct spec_process *p)
{
	static int (*const parts[])(const struct spec_process *) = {
		check_command, check_env,       check_console,    check_user,     check_rlimits,
		check_caps,    check_scheduler, check_priorities, check_affinity,
	};

	for (size_t i = 0; i < NAME_COUNT(parts); i++) {
		int ret = parts[i](p);

		if (ret)
			return ret;
	}
	return check_mapped(s, p);
}
