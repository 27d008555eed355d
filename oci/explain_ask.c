/* SPDX-License-Identifier: Apache-2.0 */
/* May it? A question is put to each keeper in turn; the first that says no decides. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <linux/seccomp.h>
#include <seccomp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/names.h"
#include "base/str.h"
#include "bpf/abi.h"
#include "bpf/run.h"
#include "oci/explain.h"
#include "oci/spec.h"

#define N_ARGS 6

static int malformed(const char *question)
{
	return fail(EINVAL,
		    "--may %s: not a question (open:PATH:rwxcd, syscall:NAME[:ARG,...], "
		    "bind:PORT, connect:PORT)",
		    question);
}

/* What the program has after execve(2). capabilities(7) */
static uint64_t caps_of(const struct cred_plan *c)
{
	uint64_t root = c->caps.bounding | c->caps.inheritable;

	if (!c->caps.set)
		return UINT64_MAX;
	if (c->uid)
		return c->caps.ambient;
	return c->no_new_privs ? root & c->caps.permitted : root;
}

static bool has_cap(const struct explain *e, int cap)
{
	return caps_of(&e->sb->process.cred) >> cap & 1;
}

static const char *caps_place(const struct explain *e)
{
	return e->sb->process.cred.uid ? "process.capabilities.ambient"
				       : "process.capabilities.bounding";
}

/* Calls that take a capability whatever their arguments. */
static const struct {
	const char *name;
	int cap;
	bool of_host;   /* over the host, not over a namespace */
	bool of_mounts; /* Landlock forbids it to whom it keeps off files */
} privileged[] = {
	{ "mount", CAP_SYS_ADMIN, false, true },
	{ "umount2", CAP_SYS_ADMIN, false, true },
	{ "pivot_root", CAP_SYS_ADMIN, false, true },
	{ "move_mount", CAP_SYS_ADMIN, false, true },
	{ "fsopen", CAP_SYS_ADMIN, false, false },
	{ "fsmount", CAP_SYS_ADMIN, false, false },
	{ "mount_setattr", CAP_SYS_ADMIN, false, false },
	{ "sethostname", CAP_SYS_ADMIN, false, false },
	{ "setdomainname", CAP_SYS_ADMIN, false, false },
	{ "chroot", CAP_SYS_CHROOT, false, false },
	{ "reboot", CAP_SYS_BOOT, false, false },
	{ "swapon", CAP_SYS_ADMIN, true, false },
	{ "swapoff", CAP_SYS_ADMIN, true, false },
	{ "kexec_load", CAP_SYS_BOOT, true, false },
	{ "kexec_file_load", CAP_SYS_BOOT, true, false },
	{ "init_module", CAP_SYS_MODULE, true, false },
	{ "finit_module", CAP_SYS_MODULE, true, false },
	{ "delete_module", CAP_SYS_MODULE, true, false },
	{ "acct", CAP_SYS_PACCT, true, false },
	{ "settimeofday", CAP_SYS_TIME, true, false },
	{ "clock_settime", CAP_SYS_TIME, true, false },
	{ "iopl", CAP_SYS_RAWIO, true, false },
	{ "open_by_handle_at", CAP_DAC_READ_SEARCH, false, false },
	{ "vhangup", CAP_SYS_TTY_CONFIG, false, false },
};

static void deny(struct explain_answer *out, enum explain_keeper by, const char *where,
		 const char *why)
{
	out->may = MAY_NO;
	out->keepers |= 1u << by;
	out->where = where;
	out->why = why;
}

static void ask_privilege(const struct explain *e, const char *name, struct explain_answer *out)
{
	for (size_t i = 0; i < sizeof(privileged) / sizeof(privileged[0]); i++) {
		const char *cap = name_of_capability(privileged[i].cap);

		if (strcmp(privileged[i].name, name) != 0)
			continue;
		if (!has_cap(e, privileged[i].cap))
			deny(out, KEPT_CAPABILITY, caps_place(e),
			     arena_printf(e->a, "it takes %s, which the process has not", cap));
		else if (privileged[i].of_host && ns_new(&e->sb->ns, NS_USER))
			deny(out, KEPT_NAMESPACE, "linux.namespaces",
			     arena_printf(e->a, "it takes %s of the host, not of a user namespace",
					  cap));
		else if (privileged[i].of_mounts && e->landlock.handled[LANDLOCK_FS])
			deny(out, KEPT_LANDLOCK, "annotations.run.thole.landlock",
			     "mounts can't be changed under Landlock's file rights");
	}
}

static enum explain_may may_of(uint32_t verdict)
{
	switch (verdict & SECCOMP_RET_ACTION_FULL) {
	case SECCOMP_RET_ALLOW:
	case SECCOMP_RET_LOG:
		return MAY_YES;
	case SECCOMP_RET_USER_NOTIF:
	case SECCOMP_RET_TRACE:
		return MAY_DEPENDS;
	}
	return MAY_NO;
}

/* The same answer on every way, or that it depends. */
static enum explain_may sum_up(const struct explain_range *r)
{
	enum explain_may may = may_of(r->verdicts[0]);

	for (size_t i = 1; i < r->n; i++)
		if (may_of(r->verdicts[i]) != may)
			return MAY_DEPENDS;
	return may;
}

static const char *verdict_list(const struct explain *e, const struct explain_range *r)
{
	const char *text = "";

	for (size_t i = 0; i < r->n; i++)
		text = arena_printf(e->a, "%s%s%s", text, i ? " or " : "",
				    explain_verdict(e->a, r->verdicts[i]));
	return text;
}

/* What the filter says to a call of this machine; settled: the arguments are known. */
static void ask_filter(const struct explain *e, struct seccomp_data *call, bool settled,
		       struct explain_answer *out)
{
	const struct filter *f = &e->filter;
	const struct abi *abi = abi_native();
	struct explain_range r = { .n = 0 };
	const char *where;
	uint16_t *path;
	struct run run;

	out->may = MAY_YES;
	if (!f->len) {
		out->why = "there is no filter";
		return;
	}
	call->arch = abi->audit;
	path = arena_array(e->a, f->len, sizeof(*path));
	run = run_program(f->code, f->len, call, path);
	explain_verdicts(e, call, &r);
	if (settled || r.n == 1) {
		r.n = 1;
		r.verdicts[0] = run.verdict;
		out->path = path;
		out->n_path = run.executed;
	}
	out->may = sum_up(&r);
	where = explain_seccomp_rule(e, abi, call,
				     r.n == 1 ? r.verdicts[0]
				     : r.verdicts[0] == e->sb->seccomp->default_verdict
					     ? r.verdicts[1]
					     : r.verdicts[0],
				     settled);
	out->where = where;
	out->why = arena_printf(e->a, "%s%s", verdict_list(e, &r),
				r.n > 1 ? ", by its arguments" : "");
	if (out->may == MAY_NO)
		out->keepers |= 1u << KEPT_SECCOMP;
}

/* A step on the way to another answer: only a refusal counts. */
static bool filter_refuses(const struct explain *e, const char *name, struct explain_answer *out)
{
	struct seccomp_data call = { .nr = seccomp_syscall_resolve_name(name) };
	struct explain_answer answer = { .question = out->question };

	if (call.nr < 0)
		return false;
	ask_filter(e, &call, false, &answer);
	if (answer.may != MAY_NO)
		return false;
	answer.why = arena_printf(e->a, "%s for %s", answer.why, name);
	*out = answer;
	return true;
}

static int parse_number(const char *text, uint64_t *out)
{
	int64_t negative;

	if (str_starts(text, "0x"))
		return num_hex(text + 2, strlen(text + 2), out);
	if (*text != '-')
		return num_u64(text, 0, UINT64_MAX, out);
	if (num_i64(text, INT64_MIN, 0, &negative))
		return -EINVAL;
	*out = (uint64_t)negative;
	return 0;
}

static int ask_syscall(const struct explain *e, const char *text, struct explain_answer *out)
{
	char *name = arena_strdup(e->a, text), *args = strchr(name, ':'), *next;
	struct seccomp_data call = { .nr = 0 };
	uint64_t values[N_ARGS] = { 0 };
	size_t n = 0;

	if (args)
		*args++ = '\0';
	for (char *p = args; p; p = next, n++) {
		next = strchr(p, ',');
		if (next)
			*next++ = '\0';
		if (n == N_ARGS || parse_number(p, &values[n]))
			return malformed(out->question);
	}
	memcpy(call.args, values, sizeof(values));
	call.nr = seccomp_syscall_resolve_name(name);
	if (call.nr < 0)
		return fail(EINVAL, "--may %s: this machine has no system call \"%s\"",
			    out->question, name);
	ask_filter(e, &call, n > 0, out);
	if (out->may != MAY_NO)
		ask_privilege(e, name, out);
	return 0;
}

static const struct {
	char letter;
	uint64_t right;
} path_rights[] = {
	{ 'r', LL_READ_FILE }, { 'w', LL_WRITE_FILE },  { 'x', LL_EXECUTE },
	{ 'c', LL_MAKE_REG },  { 'd', LL_REMOVE_FILE },
};

static uint64_t rights_of(const char *letters)
{
	uint64_t rights = 0;
	size_t k;

	for (; *letters; letters++) {
		for (k = 0; k < NAME_COUNT(path_rights); k++)
			if (path_rights[k].letter == *letters)
				break;
		if (k == NAME_COUNT(path_rights))
			return 0;
		rights |= path_rights[k].right;
	}
	return rights;
}

/* The mount that a path is on: the one with the longest target above it, or NULL for the root. */
static const struct mount_plan *mount_at(const struct explain *e, const char *path)
{
	const struct rootfs_plan *p = &e->sb->rootfs;
	const struct mount_plan *found = NULL;

	for (size_t i = 0; i < p->n_mounts; i++) {
		const struct mount_plan *m = &p->mounts[i];
		size_t n = strlen(m->target);

		if (strncmp(path, m->target, n) == 0 && (path[n] == '/' || !path[n]) &&
		    (!found || n >= strlen(found->target)))
			found = m;
	}
	return found;
}

/* Where a link of the container is on the host; NULL where that can't be known before it runs. */
static const char *on_host(const struct explain *e, const char *path)
{
	const struct mount_plan *m = mount_at(e, path);

	if (!m)
		return arena_printf(e->a, "%s%s", e->sb->rootfs.path, path);
	if (!m->bind || !m->source || strcmp(path, m->target) == 0)
		return NULL;
	return arena_printf(e->a, "%s%s", m->source, path + strlen(m->target));
}

#define LINKS_MAX 40 /* as the kernel: path_resolution(7) */

/* The path as the container will walk it: links, "." and "..". NULL for a relative one, or a
 * loop. */
static const char *walk(const struct explain *e, const char *path)
{
	const char *done = "", *rest = path, *here, *host;
	char link[PATH_MAX];
	ssize_t n = 0;
	size_t len;

	for (int links = 0; *(rest += strspn(rest, "/")); rest += len) {
		len = strcspn(rest, "/");
		if (len == 1 && rest[0] == '.')
			continue;
		if (len == 2 && rest[0] == '.' && rest[1] == '.') {
			here = strrchr(done, '/');
			done = here ? arena_strndup(e->a, done, (size_t)(here - done)) : "";
			continue;
		}
		here = arena_printf(e->a, "%s/%.*s", done, (int)len, rest);
		host = on_host(e, here);
		n = host ? readlink(host, link, sizeof(link) - 1) : -1;
		if (n <= 0) {
			done = here;
			continue;
		}
		if (++links > LINKS_MAX)
			return NULL;
		link[n] = '\0';
		rest = arena_printf(e->a, "%s%s", link, rest + len);
		done = link[0] == '/' ? "" : done;
		len = 0;
	}
	return *done ? done : "/";
}

static const enum explain_keeper keeper_of[POLICY_KEEPERS] = {
	[POLICY_LANDLOCK] = KEPT_LANDLOCK,
	[POLICY_MOUNT] = KEPT_MOUNT,
	[POLICY_NAMESPACE] = KEPT_NAMESPACE,
};

static void ask_path(const struct explain *e, const char *path, uint64_t rights,
		     struct explain_answer *out)
{
	struct policy_answer answer;
	const char *beneath;

	if (filter_refuses(e, rights & LL_EXECUTE ? "execve" : "openat", out))
		return;
	policy_ask_path(&e->landlock, path, rights, &answer);
	beneath = answer.row->path ? answer.row->path : "/";
	if (answer.denied) {
		deny(out, keeper_of[answer.by], answer.row->where,
		     arena_printf(e->a, "no %s beneath %s",
				  explain_rights(e->a, LANDLOCK_FS, answer.denied), beneath));
		return;
	}
	out->may = MAY_YES;
	out->where = answer.row->where;
	out->why = arena_printf(e->a, "%s beneath %s; owner and mode of the file decide",
				explain_rights(e->a, LANDLOCK_FS, rights), beneath);
}

static int ask_open(const struct explain *e, const char *text, struct explain_answer *out)
{
	const char *colon = strrchr(text, ':');
	uint64_t rights = colon ? rights_of(colon + 1) : 0;
	const char *path;

	if (!rights || *text != '/')
		return malformed(out->question);
	path = walk(e, arena_strndup(e->a, text, (size_t)(colon - text)));
	if (!path)
		return fail(ELOOP, "--may %s: more than %d symbolic links on the way",
			    out->question, LINKS_MAX);
	ask_path(e, path, rights, out);
	return 0;
}

#define FIRST_FREE_PORT "net/ipv4/ip_unprivileged_port_start"

/* Below it a port takes a capability: what the config says, the host's, or the kernel's default. */
static uint64_t first_free_port(const struct explain *e)
{
	uint64_t first = 1024;
	char *text;

	for (size_t i = 0; i < e->sb->n_sysctls; i++)
		if (strcmp(e->sb->sysctls[i].key, FIRST_FREE_PORT) == 0 &&
		    num_u64(e->sb->sysctls[i].value, 0, UINT16_MAX + 1, &first) == 0)
			return first;
	if (!e->sb->ns.want[NS_NET].wanted &&
	    fd_read_file(AT_FDCWD, "/proc/sys/" FIRST_FREE_PORT, e->a, 16, &text, NULL) == 0) {
		text[strcspn(text, "\n")] = '\0';
		num_u64(text, 0, UINT16_MAX + 1, &first);
	}
	return first;
}

static int ask_port(const struct explain *e, const char *text, uint64_t right,
		    struct explain_answer *out)
{
	struct policy_answer answer;
	uint64_t port;

	if (num_u64(text, 0, UINT16_MAX, &port))
		return malformed(out->question);
	if (filter_refuses(e, right == LL_BIND_TCP ? "bind" : "connect", out))
		return 0;
	policy_ask_port(&e->landlock, (uint16_t)port, right, &answer);
	out->where = answer.row ? answer.row->where : NULL;
	if (answer.denied) {
		deny(out, KEPT_LANDLOCK, out->where, "the port is not in the list");
		return 0;
	}
	if (right == LL_BIND_TCP && port && port < first_free_port(e) &&
	    !has_cap(e, CAP_NET_BIND_SERVICE)) {
		deny(out, KEPT_CAPABILITY, caps_place(e),
		     arena_printf(e->a,
				  "ports below %llu take CAP_NET_BIND_SERVICE, which the process "
				  "has not",
				  (unsigned long long)first_free_port(e)));
		return 0;
	}
	out->may = MAY_YES;
	out->why = answer.row && answer.row->kind == POLICY_PORTS ? "the port is in the list"
		   : answer.row ? "the list is not enforced by this kernel"
				: "nothing in the config limits TCP ports";
	return 0;
}

static int ask_bind(const struct explain *e, const char *text, struct explain_answer *out)
{
	return ask_port(e, text, LL_BIND_TCP, out);
}

static int ask_connect(const struct explain *e, const char *text, struct explain_answer *out)
{
	return ask_port(e, text, LL_CONNECT_TCP, out);
}

int explain_ask(const struct explain *e, const char *question, struct explain_answer *out)
{
	static const struct {
		const char *prefix;
		int (*ask)(const struct explain *e, const char *text, struct explain_answer *out);
	} kinds[] = {
		{ "open:", ask_open },
		{ "syscall:", ask_syscall },
		{ "bind:", ask_bind },
		{ "connect:", ask_connect },
	};
	struct explain_answer answer = { .question = question };
	int ret;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (!str_starts(question, kinds[i].prefix))
			continue;
		ret = kinds[i].ask(e, question + strlen(kinds[i].prefix), &answer);
		if (!ret)
			*out = answer;
		return ret;
	}
	return malformed(question);
}
