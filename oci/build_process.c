/* SPDX-License-Identifier: Apache-2.0 */
#include <linux/ioprio.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "base/names.h"
#include "oci/build_priv.h"

#define FNV_START 0xcbf29ce484222325u /* the 64-bit FNV-1a hash, RFC 9923 */
#define FNV_STEP 0x100000001b3u

static uint64_t hash_name(const char *entry, size_t len)
{
	uint64_t h = FNV_START;

	for (size_t i = 0; i < len; i++)
		h = (h ^ (unsigned char)entry[i]) * FNV_STEP;
	return h;
}

static bool same_name(const char *a, const char *b, size_t len)
{
	return strncmp(a, b, len) == 0 && b[len] == '=';
}

/* Notes the name of an entry in a table of a power of two of slots; false if it is there. */
static bool note_name(const char **slots, size_t n_slots, const char *entry)
{
	size_t len = strcspn(entry, "=");
	size_t at = hash_name(entry, len) & (n_slots - 1);

	for (; slots[at]; at = (at + 1) & (n_slots - 1))
		if (same_name(entry, slots[at], len))
			return false;
	slots[at] = entry;
	return true;
}

/* Of entries with one name the last counts; it keeps its place. */
static char *const *build_env(struct arena *a, const char **env)
{
	size_t n = 0, n_slots = 4, kept;
	const char **slots;
	char **out;

	while (env && env[n])
		n++;
	while (n_slots < 2 * n)
		n_slots *= 2;
	slots = arena_array(a, n_slots, sizeof(*slots));
	out = arena_array(a, n + 1, sizeof(*out));
	kept = n;
	for (size_t i = n; i-- > 0;)
		if (note_name(slots, n_slots, env[i]))
			out[--kept] = (char *)env[i];
	return out + kept;
}

static uint64_t cap_mask(const char **names)
{
	uint64_t mask = 0;
	int cap;

	for (; names && *names; names++) {
		cap = name_capability(*names);
		if (cap >= 0)
			mask |= 1ull << cap;
	}
	return mask;
}

static void build_cred(const struct spec *s, const struct spec_process *p, struct cred_plan *out)
{
	const struct spec_caps *caps = p->caps;

	if (!caps && s->process)
		caps = s->process->caps;
	*out = (struct cred_plan){
		.uid = p->user.uid,
		.gid = p->user.gid,
		.groups = p->user.groups,
		.n_groups = p->user.n_groups,
		.keep_groups = spec_keeps_groups(s),
		.has_umask = true,
		.umask = p->user.umask.set ? (mode_t)p->user.umask.v : 022,
		.no_new_privs = p->no_new_privs,
		.apparmor = build_text(p->apparmor),
		.selinux = build_text(p->selinux),
	};
	if (!caps)
		return;
	out->caps = (struct cred_caps){
		.set = true,
		.bounding = cap_mask(caps->bounding),
		.effective = cap_mask(caps->effective),
		.inheritable = cap_mask(caps->inheritable),
		.permitted = cap_mask(caps->permitted),
		.ambient = cap_mask(caps->ambient),
	};
}

static const struct limits_rlimit *build_rlimits(struct arena *a, const struct spec_process *p)
{
	struct limits_rlimit *out = arena_array(a, p->n_rlimits, sizeof(*out));

	for (size_t i = 0; i < p->n_rlimits; i++)
		out[i] = (struct limits_rlimit){
			.resource = name_rlimit(p->rlimits[i].type),
			.soft = p->rlimits[i].soft,
			.hard = p->rlimits[i].hard,
		};
	return out;
}

static void build_scheduler(const struct spec_scheduler *s, struct limits_plan *out)
{
	out->has_scheduler = true;
	out->sched_policy = s->policy;
	out->sched_flags = s->flags;
	out->sched_nice = s->nice;
	out->sched_priority = (uint32_t)s->priority;
	out->sched_runtime = s->runtime;
	out->sched_deadline = s->deadline;
	out->sched_period = s->period;
}

static void build_own_limits(struct arena *a, const struct spec *s, const struct spec_process *p,
			     struct limits_plan *out)
{
	*out = (struct limits_plan){
		.rlimits = build_rlimits(a, p),
		.n_rlimits = p->n_rlimits,
		.has_oom_score = p->oom_score_adj.set,
		.oom_score_adj = (int)p->oom_score_adj.v,
		.cpus_initial = build_text(p->affinity.initial),
		.cpus_final = build_text(p->affinity.final),
	};
	if (p->scheduler)
		build_scheduler(p->scheduler, out);
	if (p->io_priority) {
		out->has_ioprio = true;
		out->ioprio = (int)IOPRIO_PRIO_VALUE((int)p->io_priority->class,
						     p->io_priority->priority);
	}
	if (s->personality) {
		out->has_personality = true;
		out->personality = s->personality->domain;
		for (size_t i = 0; s->personality->flags && s->personality->flags[i]; i++)
			log_warning(
				"%s: linux.personality.flags[%zu]: \"%.40s\" is unknown, ignored",
				s->doc, i, s->personality->flags[i]);
	}
	if (s->memory_policy) {
		out->has_memory_policy = true;
		out->memory_policy = (int)(s->memory_policy->mode | s->memory_policy->flags);
		out->memory_nodes = build_text(s->memory_policy->nodes);
	}
}

int build_process(struct arena *a, const struct spec *s, const struct spec_process *p,
		  struct sandbox_process *out)
{
	*out = (struct sandbox_process){
		.args = (char *const *)p->args,
		.env = build_env(a, p->env),
		.cwd = p->cwd,
		.terminal = p->terminal,
		.rows = p->terminal ? (unsigned short)p->console.height : 0,
		.cols = p->terminal ? (unsigned short)p->console.width : 0,
	};
	build_cred(s, p, &out->cred);
	build_own_limits(a, s, p, &out->limits);
	return 0;
}
