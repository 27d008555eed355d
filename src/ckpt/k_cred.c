/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who a process is: ids, groups, capabilities, securebits, no_new_privs; and what a change of these
 * resets, so that it has to come after them. credentials(7), capabilities(7)
 *
 * Ids are asked of the process itself: what /proc shows is translated to another user namespace,
 * and only tells which ones are the same.
 */
#include <errno.h>
#include <linux/capability.h>
#include <linux/securebits.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/alike.h"
#include "ckpt/ask.h"
#include "ckpt/batch.h"
#include "ckpt/confine.h"
#include "ckpt/kinds.h"
#include "ckpt/thread.h"
#include "task/trace.h"

#define GROUPS_FIT 8192u /* in the scratch memory, behind the rest */
#define MANY_THREADS 8   /* to be worth a question before they are all set the same */
#define AT_UIDS 0
#define AT_GIDS 16
#define AT_PDEATHSIG 32
#define AT_SUBREAPER 40
#define AT_GROUPS 64

/* The calls that tell. */
enum {
	ASK_UIDS,
	ASK_GIDS,
	ASK_SECUREBITS,
	ASK_DUMPABLE,
	ASK_PDEATHSIG,
	ASK_SUBREAPER,
	ASK_GROUPS,
	/* of the few who have other ids for files: a supervisor answers these calls */
	ASK_FSUID,
	ASK_FSGID,
	ASKED
};

struct cred {
	uint32_t uid[3], fsuid, gid[3], fsgid; /* real, effective, saved */
	uint64_t *groups;
	size_t n_groups;
	uint64_t bounding, permitted, effective, inheritable, ambient;
	uint32_t securebits;
	bool no_new_privs, subreaper;
	uint32_t dumpable, parent_death_signal;
};

static const struct record_field rows[] = {
	RECORD(U, struct cred, "uid", uid[0]),
	RECORD(U, struct cred, "euid", uid[1]),
	RECORD(U, struct cred, "suid", uid[2]),
	RECORD(U, struct cred, "fsuid", fsuid),
	RECORD(U, struct cred, "gid", gid[0]),
	RECORD(U, struct cred, "egid", gid[1]),
	RECORD(U, struct cred, "sgid", gid[2]),
	RECORD(U, struct cred, "fsgid", fsgid),
	RECORD(NUMBERS, struct cred, "groups", groups, RECORD_N(struct cred, n_groups),
	       RECORD_MAX(GROUPS_FIT)),
	RECORD(HEX, struct cred, "bounding", bounding),
	RECORD(HEX, struct cred, "permitted", permitted),
	RECORD(HEX, struct cred, "effective", effective),
	RECORD(HEX, struct cred, "inheritable", inheritable),
	RECORD(HEX, struct cred, "ambient", ambient),
	RECORD(HEX, struct cred, "securebits", securebits),
	RECORD(BOOL, struct cred, "noNewPrivs", no_new_privs),
	RECORD(BOOL, struct cred, "subreaper", subreaper),
	RECORD(U, struct cred, "dumpable", dumpable, RECORD_MAX(2)),
	RECORD(U, struct cred, "parentDeathSignal", parent_death_signal, RECORD_MAX(64)),
};
static const struct record_table table = RECORD_TABLE(struct cred, rows);

static bool same_groups(const struct proc_status *a, const struct proc_status *b)
{
	return a->n_groups == b->n_groups &&
	       (!a->n_groups ||
		memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups)) == 0);
}

static bool same(const struct proc_status *a, const struct proc_status *b)
{
	return memcmp(a->uid, b->uid, sizeof(a->uid)) == 0 &&
	       memcmp(a->gid, b->gid, sizeof(a->gid)) == 0 && same_groups(a, b) &&
	       a->cap_permitted == b->cap_permitted && a->cap_effective == b->cap_effective &&
	       a->cap_inheritable == b->cap_inheritable && a->cap_bounding == b->cap_bounding &&
	       a->cap_ambient == b->cap_ambient && a->no_new_privs == b->no_new_privs;
}

static int check(const struct ckpt_unit *u)
{
	struct proc_status *st = arena_alloc(u->c->arena, sizeof(*st));
	const struct ckpt_proc *p = u->p;

	if (p->status->n_groups > GROUPS_FIT)
		ckpt_problem(u->c, p, -1, "process", "it is in more than %u groups", GROUPS_FIT);
	if (alike_rights(u->c, p))
		return 0;
	for (size_t t = 1; t < p->n_threads; t++) {
		if (proc_status_of(p->host, p->threads[t]->host, u->c->arena, st))
			continue; /* it has ended */
		if (!same(p->status, st)) {
			ckpt_problem(u->c, p, -1, "thread",
				     "its threads have different credentials");
			break;
		}
	}
	return 0;
}

/* Which of the three the one for files is, as /proc shows them; 3: none. */
static size_t place_of_fs(const uint32_t id[4])
{
	size_t i = 1; /* the effective one, mostly */

	if (id[i] != id[3])
		for (i = 0; i < 3 && id[i] != id[3];)
			i++;
	return i;
}

static bool has_own_fs_ids(const struct proc_status *st)
{
	return !st || place_of_fs(st->uid) == 3 || place_of_fs(st->gid) == 3;
}

static int ask(const struct ckpt_unit *u, struct ask *a)
{
	/* at a restore there is no look from outside that tells how many */
	size_t known = u->p->status ? u->p->status->n_groups : GROUPS_FIT;
	size_t groups = known < GROUPS_FIT ? known : GROUPS_FIT;
	uint64_t at = 0;
	int ret = ask_room(a, AT_GROUPS + groups * sizeof(uint32_t), &at);

	const struct inject_call calls[ASKED] = {
		[ASK_UIDS] = { .nr = SYS_getresuid,
			       .arg = { at + AT_UIDS, at + AT_UIDS + 4, at + AT_UIDS + 8 } },
		[ASK_GIDS] = { .nr = SYS_getresgid,
			       .arg = { at + AT_GIDS, at + AT_GIDS + 4, at + AT_GIDS + 8 } },
		[ASK_SECUREBITS] = { .nr = SYS_prctl, .arg = { PR_GET_SECUREBITS } },
		[ASK_DUMPABLE] = { .nr = SYS_prctl, .arg = { PR_GET_DUMPABLE } },
		[ASK_PDEATHSIG] = { .nr = SYS_prctl,
				    .arg = { PR_GET_PDEATHSIG, at + AT_PDEATHSIG } },
		[ASK_SUBREAPER] = { .nr = SYS_prctl,
				    .arg = { PR_GET_CHILD_SUBREAPER, at + AT_SUBREAPER } },
		[ASK_GROUPS] = { .nr = SYS_getgroups, .arg = { groups, at + AT_GROUPS } },
		[ASK_FSUID] = { .nr = SYS_setfsuid, .arg = { ~0u } },
		[ASK_FSGID] = { .nr = SYS_setfsgid, .arg = { ~0u } },
	};
	return ret ? ret : ask_add(a, calls, has_own_fs_ids(u->p->status) ? ASKED : ASK_FSUID);
}

static int take_answers(const struct ckpt_unit *u, const struct answers *answers, struct cred *cred)
{
	const struct inject_call *calls = answers->calls;
	uint32_t buf[AT_GROUPS / sizeof(uint32_t)], group;
	int ret = 0;

	for (size_t i = 0; i < answers->n && !ret; i++)
		if (calls[i].ret < 0)
			ret = fail((int)-calls[i].ret, "process %d: ask for its credentials: %s",
				   u->p->pid, err_reason((int)-calls[i].ret));
	if (ret)
		return ret;
	memcpy(buf, answers->data, sizeof(buf));
	memcpy(cred->uid, buf + AT_UIDS / 4, sizeof(cred->uid));
	memcpy(cred->gid, buf + AT_GIDS / 4, sizeof(cred->gid));
	cred->parent_death_signal = buf[AT_PDEATHSIG / 4];
	cred->subreaper = buf[AT_SUBREAPER / 4];
	if (answers->n > ASK_FSGID) {
		cred->fsuid = (uint32_t)calls[ASK_FSUID].ret;
		cred->fsgid = (uint32_t)calls[ASK_FSGID].ret;
	} else {
		cred->fsuid = cred->uid[place_of_fs(u->p->status->uid)];
		cred->fsgid = cred->gid[place_of_fs(u->p->status->gid)];
	}
	cred->securebits = (uint32_t)calls[ASK_SECUREBITS].ret;
	cred->dumpable = (uint32_t)calls[ASK_DUMPABLE].ret;
	cred->n_groups = (size_t)calls[ASK_GROUPS].ret;
	if (u->p->status && cred->n_groups != u->p->status->n_groups)
		return fail(EPROTO, "process %d: it is in %zu groups, and in %zu of /proc",
			    u->p->pid, cred->n_groups, u->p->status->n_groups);
	cred->groups = arena_array(u->c->arena, cred->n_groups + 1, sizeof(*cred->groups));
	for (size_t i = 0; i < cred->n_groups; i++) {
		memcpy(&group, answers->data + AT_GROUPS + i * sizeof(group), sizeof(group));
		cred->groups[i] = group;
	}
	return 0;
}

static int collect(const struct ckpt_unit *u)
{
	const struct proc_status *s = u->p->status;
	struct cred *cred = u->rec;
	struct answers answers;
	int ret;

	cred->bounding = s->cap_bounding;
	cred->permitted = s->cap_permitted;
	cred->effective = s->cap_effective;
	cred->inheritable = s->cap_inheritable;
	cred->ambient = s->cap_ambient;
	cred->no_new_privs = s->no_new_privs;
	ret = ask_answers(&kind_cred, u, &answers);
	return ret ? ret : take_answers(u, &answers, cred);
}

/* have: those that are in it. */
static int drop_bounding(struct ckpt_batch *b, uint64_t bounding, uint64_t have)
{
	int ret = 0;

	/* those beyond the last one of this kernel answer EINVAL, and are nobody's */
	for (uint64_t cap = 0; cap <= CAP_LAST_CAP && !ret; cap++)
		if (!(bounding >> cap & 1) && have >> cap & 1)
			ret = batch_add(b, "drop a capability from the bounding set", 0, SYS_prctl,
					PR_CAPBSET_DROP, cap, 0, 0, 0);
	return ret;
}

static bool same_groups_as(const struct cred *a, const struct cred *b)
{
	return a->n_groups == b->n_groups &&
	       (!a->n_groups ||
		memcmp(a->groups, b->groups, a->n_groups * sizeof(*a->groups)) == 0);
}

static bool same_gids(const struct cred *a, const struct cred *b)
{
	return memcmp(a->gid, b->gid, sizeof(a->gid)) == 0 && a->fsgid == b->fsgid;
}

static bool same_uids(const struct cred *a, const struct cred *b)
{
	return memcmp(a->uid, b->uid, sizeof(a->uid)) == 0 && a->fsuid == b->fsuid;
}

static int set_groups(struct ckpt_batch *b, struct arena *a, const struct cred *cred)
{
	uint32_t *groups = arena_array(a, cred->n_groups + 1, sizeof(*groups));
	uint64_t addr = 0;
	int ret = 0;

	for (size_t i = 0; i < cred->n_groups; i++)
		groups[i] = (uint32_t)cred->groups[i];
	if (cred->n_groups)
		ret = batch_data(b, groups, cred->n_groups * sizeof(*groups), &addr);
	/* an ordinary user's namespace may not allow it, and then has none to begin with */
	return ret ? ret
		   : batch_add(b, "set the supplementary groups",
			       cred->n_groups ? 0 : BATCH_WHATEVER, SYS_setgroups, cred->n_groups,
			       addr);
}

static int set_gids(struct ckpt_batch *b, const struct cred *cred)
{
	int ret = batch_add(b, "set the group ids", 0, SYS_setresgid, cred->gid[0], cred->gid[1],
			    cred->gid[2]);

	return ret ? ret
		   : batch_add(b, "set the group id for files", BATCH_ANY, SYS_setfsgid,
			       cred->fsgid);
}

static int set_uids(struct ckpt_batch *b, const struct cred *cred)
{
	/* so that the capabilities outlive the change */
	int ret = batch_add(b, "set securebits", 0, SYS_prctl, PR_SET_SECUREBITS,
			    SECBIT_NO_SETUID_FIXUP | SECBIT_KEEP_CAPS, 0, 0, 0);

	if (!ret)
		ret = batch_add(b, "set the user ids", 0, SYS_setresuid, cred->uid[0], cred->uid[1],
				cred->uid[2]);
	return ret ? ret
		   : batch_add(b, "set the user id for files", BATCH_ANY, SYS_setfsuid,
			       cred->fsuid);
}

/* now: what the task has, NULL where that is not known. */
static int set_ids(const struct ckpt_unit *u, struct ckpt_batch *b, const struct cred *now)
{
	const struct cred *cred = u->rec;
	bool uids = !now || !same_uids(cred, now);
	int ret = 0;

	if (!now || !same_groups_as(cred, now))
		ret = set_groups(b, u->c->arena, cred);
	if (!ret && (!now || !same_gids(cred, now)))
		ret = set_gids(b, cred);
	if (!ret && uids)
		ret = set_uids(b, cred);
	if (!ret && (uids || cred->securebits != now->securebits))
		ret = batch_add(b, "set securebits", 0, SYS_prctl, PR_SET_SECUREBITS,
				cred->securebits, 0, 0, 0);
	return ret;
}

/* keep: permitted and effective besides its own. */
static int put_caps(struct ckpt_batch *b, const struct cred *cred, uint64_t keep)
{
	const struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	uint64_t at, caps;
	int ret;

	for (int i = 0; i < 2; i++)
		data[i] = (struct __user_cap_data_struct){
			.effective = (uint32_t)((cred->effective | keep) >> (32 * i)),
			.permitted = (uint32_t)((cred->permitted | keep) >> (32 * i)),
			.inheritable = (uint32_t)(cred->inheritable >> (32 * i)),
		};
	ret = batch_data(b, &head, sizeof(head), &at);
	if (!ret)
		ret = batch_data(b, data, sizeof(data), &caps);
	return ret ? ret : batch_add(b, "set the capabilities", 0, SYS_capset, at, caps);
}

static int set_caps(struct ckpt_batch *b, const struct cred *cred, uint64_t keep)
{
	int ret = put_caps(b, cred, keep);

	for (uint64_t cap = 0; cap <= CAP_LAST_CAP && !ret; cap++)
		if (cred->ambient >> cap & 1)
			ret = batch_add(b, "raise an ambient capability", 0, SYS_prctl,
					PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, cap, 0, 0);
	return ret;
}

/* A signal at the end of the parent is never inherited. */
static int set_rest(struct ckpt_batch *b, const struct cred *cred, bool first)
{
	int ret = 0;

	if (cred->no_new_privs)
		ret = batch_add(b, "set no_new_privs", 0, SYS_prctl, PR_SET_NO_NEW_PRIVS, 1, 0, 0,
				0);
	if (ret || !first)
		return ret;
	ret = batch_add(b, "set the parent-death signal", 0, SYS_prctl, PR_SET_PDEATHSIG,
			cred->parent_death_signal);
	if (!ret)
		ret = batch_add(b, "become a subreaper or not", 0, SYS_prctl,
				PR_SET_CHILD_SUBREAPER, cred->subreaper);
	/* 2 (suidsafe) is the kernel's to set; for everybody but a core dump it is 0 */
	return ret ? ret
		   : batch_add(b, "become dumpable or not", 0, SYS_prctl, PR_SET_DUMPABLE,
			       cred->dumpable == 1);
}

/* The first thread has a filter to add yet. */
static uint64_t kept(const struct ckpt_unit *u)
{
	const struct cred *cred = u->rec;

	return confine_comes_last(u->p) && !cred->no_new_privs ? 1ull << CAP_SYS_ADMIN : 0;
}

/* What nobody of the image has: dropped once, while there is one process, instead of by each
 * task. */
static int drop_early(const struct ckpt_unit *u)
{
	struct ckpt_batch *b = batch_begin(u->c, ckpt_root(u->c));
	uint64_t bounding = 0;
	int ret;

	if (u->p != u->c->procs[0])
		return 0;
	for (size_t i = 0; i < u->c->n_procs; i++) {
		const struct ckpt_unit other = { .c = u->c, .p = u->c->procs[i] };
		const struct cred *cred = ckpt_section(&kind_cred, &other);

		if (cred && !u->c->procs[i]->zombie)
			bounding |= cred->bounding;
	}
	ret = drop_bounding(b, bounding, UINT64_MAX);
	*ckpt_note(&kind_cred, u->p) = arena_memdup(u->c->arena, &bounding, sizeof(bounding));
	return ret ? ret : batch_run(b);
}

/* Groups take no right away: many threads are cloned with them. */
static int hand_down_groups(const struct ckpt_unit *u)
{
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	int ret;

	if (u->p->n_threads < MANY_THREADS)
		return 0;
	ret = set_groups(b, u->c->arena, u->rec);
	return ret ? ret : batch_run(b);
}

static int set_all(const struct ckpt_unit *u, struct ckpt_batch *b, size_t i,
		   const struct cred *now)
{
	const uint64_t *dropped = *ckpt_note(&kind_cred, u->c->procs[0]);
	const struct cred *cred = u->rec;
	int ret = thread_settle(b, u->p->threads[i]);

	if (!ret)
		ret = drop_bounding(b, cred->bounding, *dropped);
	if (!ret)
		ret = set_ids(u, b, now);
	if (!ret)
		ret = set_caps(b, cred, i == 0 ? kept(u) : 0);
	return ret ? ret : set_rest(b, cred, i == 0);
}

static int rebuild(const struct ckpt_unit *u)
{
	struct cred all = { .fsuid = 0 }, *now = NULL;
	struct answers answers;
	struct ckpt_batch *b;
	int ret = 0;

	/* what the first thread has they all have: where they are many it is asked for */
	if (u->p->n_threads >= MANY_THREADS) {
		ret = ask_again(&kind_cred, u, &answers);
		if (!ret)
			ret = take_answers(u, &answers, now = &all);
	}
	if (ret)
		return ret;
	b = batch_begin(u->c, u->p->threads[0]);
	for (size_t i = 1; i < u->p->n_threads && !ret; i++) {
		batch_turn(b, u->p->threads[i]);
		ret = set_all(u, b, i, now);
	}
	if (!ret)
		ret = batch_run(b);
	if (ret)
		return ret;
	/* the process's own last: what it sets holds for all */
	b = batch_begin(u->c, u->p->threads[0]);
	ret = set_all(u, b, 0, now);
	return ret ? ret : batch_run(b);
}

/* It has its filter. */
static int rebuild_last(const struct ckpt_unit *u)
{
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	int ret = kept(u) ? put_caps(b, u->rec, 0) : 0;

	return ret ? ret : batch_run(b);
}

const struct ckpt_kind kind_cred = {
	.name = "credentials",
	.scope = KIND_PROCESS,
	.table = &table,
	.check = check,
	.ask = ask,
	.collect = collect,
	.again = check,
	.rebuild = { [PHASE_ROOT] = drop_early,
		     [PHASE_MM] = hand_down_groups,
		     [PHASE_RIGHTS] = rebuild,
		     [PHASE_CONFINE] = rebuild_last },
};
