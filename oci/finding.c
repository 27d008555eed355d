/* SPDX-License-Identifier: Apache-2.0 */
#include "oci/finding.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "bpf/abi.h"
#include "oci/container.h"
#include "oci/explain.h"
#include "oci/finding_priv.h"
#include "sandbox.h"
#include "task/proc.h"

#define EXTRA "annotations.run.thole.landlock.extra"

enum whose { NOT_OURS, PERHAPS, OURS };

static uint64_t parse_time(const char *rfc3339)
{
	struct tm tm = { 0 };

	if (!rfc3339 || !strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", &tm))
		return 0;
	return (uint64_t)timegm(&tm) * 1000;
}

int findings_begin(struct findings *f)
{
	const struct state *s = &f->ct->state;
	struct arena *a = f->e->a;
	pid_t *pids;
	int ret = 0;

	f->since = parse_time(s->created);
	f->root = -1;
	if (f->ct->pidfd >= 0 && s->cgroup.n) {
		ret = cgroup_pids(a, &s->cgroup, &pids, &f->n_pids);
		f->pids = ret ? NULL : pids;
	}
	if (f->ct->pidfd >= 0)
		f->root = open(arena_printf(a, "/proc/%d/root", s->pid),
			       O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (f->root < 0)
		f->root = open(s->rootfs, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return ret;
}

/* When a process began, in milliseconds since 1970; 0: it is gone. */
static uint64_t born(pid_t pid)
{
	struct proc_stat stat;
	struct timespec now, up;
	uint64_t boot;

	if (pid <= 0 || proc_stat(pid, &stat))
		return 0;
	clock_gettime(CLOCK_REALTIME, &now);
	clock_gettime(CLOCK_BOOTTIME, &up);
	boot = (uint64_t)(now.tv_sec - up.tv_sec) * 1000;
	return boot + stat.start_time * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

#define CLOCK_SLACK 2000 /* milliseconds: the clock may have been set in between */

static enum whose whose_pid(const struct findings *f, pid_t pid, uint64_t ms)
{
	uint64_t begun = born(pid);

	if (ms + CLOCK_SLACK < f->since)
		return NOT_OURS;
	if (pid == f->ct->state.pid)
		return OURS;
	if (!begun || begun > ms + CLOCK_SLACK)
		return PERHAPS;
	for (size_t i = 0; i < f->n_pids; i++)
		if (f->pids[i] == pid)
			return OURS;
	return NOT_OURS;
}

/* Whether the program could be one of this container's. */
static bool has_program(const struct findings *f, const char *exe)
{
	auto_fd fd = -1;

	if (f->root < 0 || exe[0] != '/')
		return true;
	fd = fd_open_in_root(f->root, exe, O_PATH);
	return fd >= 0;
}

void finding_add(struct findings *f, const struct finding *new)
{
	struct finding *old;

	for (size_t i = 0; i < f->n; i++) {
		old = &f->v[i];
		if (old->keeper != new->keeper || strcmp(old->what, new->what) != 0 ||
		    strcmp(old->by, new->by) != 0 || old->sure != new->sure)
			continue;
		old->count++;
		old->pid = new->pid;
		old->last = new->last;
		return;
	}
	f->v = arena_grow(f->e->a, f->v, f->n, &f->cap, sizeof(*f->v));
	f->v[f->n] = *new;
	f->v[f->n].by = arena_strdup(f->e->a, new->by);
	f->v[f->n++].count = 1;
}

const struct abi *finding_abi(const struct explain *e, uint32_t arch, int nr)
{
	size_t n;
	const struct abi **abis = explain_abis(e, &n);

	for (size_t i = 0; i < n; i++) {
		bool x32 = abis[i]->token == FILTER_ARCH_X32;

		if (abis[i]->audit == arch &&
		    (arch != abi_native()->audit || abis[i]->token != arch ||
		     !((uint32_t)nr & ABI_X32_BIT)) &&
		    (!x32 || (uint32_t)nr & ABI_X32_BIT))
			return abis[i];
	}
	return NULL;
}

/* The filter can give the call such an answer: the record tells the action, not its data. */
static bool filter_says(const struct explain *e, const struct denial_record *r, uint32_t *out)
{
	struct seccomp_data call = { .nr = r->nr, .arch = r->arch };
	struct explain_range range = { .n = 0 };

	if (!e->filter.len)
		return false;
	explain_verdicts(e, &call, &range);
	for (size_t i = 0; i < range.n; i++) {
		if ((range.verdicts[i] ^ r->code) & SECCOMP_RET_ACTION_FULL)
			continue;
		*out = range.verdicts[i];
		return true;
	}
	return false;
}

void finding_of_call(const struct explain *e, const struct abi *abi,
		     const struct seccomp_data *call, uint32_t verdict, struct finding *new)
{
	const char *name = abi ? explain_call_name(e->a, abi, (uint32_t)call->nr) : NULL;

	if (!name)
		name = arena_printf(e->a, "call %d", call->nr);
	new->keeper = explain_keeper_names[KEPT_SECCOMP];
	new->what = arena_printf(e->a, "%s: %s", name, explain_verdict(e->a, verdict));
	if (!abi) {
		new->where = "linux.seccomp.architectures";
		new->remedy = "name the architecture there";
		return;
	}
	new->where = explain_seccomp_rule(e, abi, call, verdict, false);
	if (new->where && str_starts(new->where, "linux.seccomp.syscalls"))
		new->remedy = arena_printf(e->a, "take %s out of it, or change its action", name);
	else
		new->remedy = arena_printf(
			e->a, "name %s in linux.seccomp.syscalls with SCMP_ACT_ALLOW", name);
}

bool finding_of_question(const struct explain *e, const char *question, struct finding *new)
{
	struct explain_answer answer;

	if (explain_ask(e, question, &answer)) {
		err_clear();
		return false;
	}
	if (answer.may != MAY_NO)
		return false;
	for (int k = 0; k < KEPT_KINDS; k++)
		if (answer.keepers >> k & 1)
			new->keeper = explain_keeper_names[k];
	new->where = answer.where;
	new->remedy = answer.why;
	return true;
}

static void take_call(struct findings *f, const struct denial_record *r)
{
	const struct explain *e = f->e;
	const struct seccomp_data call = { .nr = r->nr, .arch = r->arch };
	enum whose whose = whose_pid(f, r->pid, r->ms);
	struct finding new = {
		.by = r->comm,
		.sure = whose == OURS,
		.pid = r->pid,
		.last = r->ms,
	};
	uint32_t verdict;

	/* a process may have added filters of its own: what ours never says is one of those */
	if (whose == NOT_OURS || !filter_says(e, r, &verdict))
		return;
	if (whose == PERHAPS && !has_program(f, r->exe))
		return;
	finding_of_call(e, finding_abi(e, r->arch, r->nr), &call, verdict, &new);
	finding_add(f, &new);
}

/*
 * A denial tells neither process nor program: the record of its system call does, where there is
 * one, and that of its domain tells who made it.
 */
static enum whose whose_access(const struct findings *f, const struct denial_record *r,
			       const struct denial_record **out)
{
	const struct denial_record *domain = NULL, *call = NULL;

	for (size_t i = 0; i < f->n_records; i++) {
		const struct denial_record *other = &f->records[i];

		if (other->kind == DENIAL_DOMAIN && other->domain == r->domain)
			domain = other;
		if (other->kind == DENIAL_SYSCALL && other->serial == r->serial &&
		    other->ms == r->ms)
			call = other;
	}
	*out = call;
	if (domain && whose_pid(f, domain->pid, r->ms) != PERHAPS)
		return whose_pid(f, domain->pid, r->ms);
	return call ? whose_pid(f, call->pid, r->ms) : PERHAPS;
}

/* "fs.read_file,net.bind_tcp" into bits of one class */
static uint64_t blocked(const char *list, enum landlock_class *class)
{
	static const char *const prefixes[LANDLOCK_CLASSES] = { "fs.", "net.", "scope." };
	uint64_t bits = 0;
	size_t len;

	*class = LANDLOCK_CLASSES;
	for (; *list; list += len + (list[len] == ',')) {
		len = strcspn(list, ",");
		for (size_t i = 0; i < landlock_n_rights; i++) {
			const struct landlock_right *right = &landlock_rights[i];
			size_t skip = strlen(prefixes[right->class]);

			if (!str_starts(list, prefixes[right->class]) ||
			    len - skip != strlen(right->name) ||
			    strncmp(list + skip, right->name, len - skip) != 0)
				continue;
			*class = right->class;
			bits |= right->bit;
		}
	}
	return bits;
}

/* The options of a mount that would have to go for these rights. */
static const char *options_against(struct arena *a, uint64_t rights)
{
	const char *text = "";

	if (rights & LL_EXECUTE)
		text = "noexec";
	if (rights & (LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_IOCTL_DEV))
		text = arena_printf(a, "%s%snodev", text, *text ? " and " : "");
	if (rights & ~(uint64_t)(LL_EXECUTE | LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_IOCTL_DEV |
				 LL_READ_FILE | LL_READ_DIR | LL_RESOLVE_UNIX))
		text = arena_printf(a, "%s%sro", text, *text ? " and " : "");
	return text;
}

void finding_of_file(const struct explain *e, const char *path, uint64_t rights,
		     struct finding *new)
{
	char names[DENIAL_NAMES_MAX];
	struct str s = STR_ON(names);
	struct policy_answer answer;
	uint64_t mounted;

	landlock_add_names(&s, LANDLOCK_FS, rights);
	new->what = arena_printf(e->a, "%s on %s", names, *path ? path : "a file");
	new->where = EXTRA;
	new->remedy = arena_printf(e->a, "add \"%s:%s\" to it", path, names);
	if (*path != '/')
		return;
	policy_ask_path(&e->landlock, path, rights, &answer);
	mounted = answer.row->kept[POLICY_MOUNT] & rights;
	new->where = answer.row->where;
	if (mounted && str_starts(new->where, "mounts["))
		new->remedy = arena_printf(e->a, "take %s out of its options",
					   options_against(e->a, mounted));
	else if (mounted)
		new->remedy = strcmp(new->where, "root") == 0
				      ? arena_printf(e->a,
						     "set root.readonly to false, or mount "
						     "something writable on %s",
						     path)
				      : "take the path out of the list";
	else
		new->remedy = arena_printf(e->a, "add \"%s:%s\" to " EXTRA, path, names);
}

static void explain_port(const struct explain *e, uint64_t right, int port, struct finding *new)
{
	struct policy_answer answer;
	char names[DENIAL_NAMES_MAX];
	struct str s = STR_ON(names);

	landlock_add_names(&s, LANDLOCK_NET, right);
	new->what = arena_printf(e->a, "%s on port %d", names, port);
	policy_ask_port(&e->landlock, (uint16_t)port, right, &answer);
	new->where = answer.row ? answer.row->where : NULL;
	new->remedy = arena_printf(e->a, "add %d to the list", port);
}

static void explain_scope(const struct explain *e, uint64_t scope, const char *other,
			  struct finding *new)
{
	char names[DENIAL_NAMES_MAX];
	struct str s = STR_ON(names);

	landlock_add_names(&s, LANDLOCK_SCOPE, scope);
	new->what = arena_printf(e->a, "%s outside%s%s", names, *other ? ", to " : "", other);
	new->where = "annotations.run.thole.landlock.scope";
	new->remedy = "list the scopes that are wanted there, without this one";
}

/* What Landlock forbids as such, beyond rights. */
static void explain_other(const struct explain *e, const struct denial_record *r,
			  struct finding *new)
{
	new->what = arena_printf(e->a, "%s%s%s", r->blockers, *r->path ? " on " : "", r->path);
	new->where = "annotations.run.thole.landlock";
	new->remedy = "a process under Landlock may never do this: \"off\" there allows it";
}

static void take_access(struct findings *f, const struct denial_record *r)
{
	const struct explain *e = f->e;
	const struct denial_record *call;
	enum whose whose = whose_access(f, r, &call);
	enum landlock_class class;
	uint64_t bits = blocked(r->blockers, &class);
	struct finding new = {
		.keeper = explain_keeper_names[KEPT_LANDLOCK],
		.by = call ? call->comm : r->comm,
		.sure = true,
		.pid = call ? call->pid : r->pid,
		.last = r->ms,
	};

	if (whose != OURS) {
		f->strangers += whose == PERHAPS;
		return;
	}
	if (bits && class == LANDLOCK_FS)
		finding_of_file(e, r->path, bits, &new);
	else if (bits && class == LANDLOCK_NET)
		explain_port(e, bits, r->port, &new);
	else if (bits)
		explain_scope(e, bits, r->other, &new);
	else
		explain_other(e, r, &new);
	finding_add(f, &new);
}

static bool same_record(const struct denial_record *a, const struct denial_record *b)
{
	return a->kind == b->kind && a->serial == b->serial && a->ms == b->ms &&
	       a->domain == b->domain && strcmp(a->blockers, b->blockers) == 0;
}

void findings_take(void *findings, const struct denial_record *r)
{
	struct findings *f = findings;

	if (r->ms + CLOCK_SLACK < f->since || (r->kind == DENIAL_DOMAIN && !r->made))
		return;
	/* a daemon's file may hold what the kernel's log has as well */
	for (size_t i = 0; i < f->n_records; i++)
		if (same_record(&f->records[i], r))
			return;
	f->records =
		arena_grow(f->e->a, f->records, f->n_records, &f->cap_records, sizeof(*f->records));
	f->records[f->n_records++] = *r;
}

void findings_sort_out(struct findings *f)
{
	for (size_t i = 0; i < f->n_records; i++) {
		const struct denial_record *r = &f->records[i];

		if (r->kind == DENIAL_SECCOMP)
			take_call(f, r);
		else if (r->kind == DENIAL_ACCESS)
			take_access(f, r);
	}
}
