/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Device rules. A request asks for some of mknod, read and write on one device; a rule speaks about
 * some of them on one device or on many. Bit by bit the last rule that matches decides.
 *
 * Version 2 has an eBPF program for it, which is that sentence: going from the last rule to the
 * first it strikes the bits an allow rule grants, and denies when a deny rule holds one that is
 * left. Version 1 and systemd know a default and a set of exceptions, so a deny that takes a part
 * out of a wider allow can't be told to them.
 */
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/str.h"
#include "base/sys.h"
#include "jail/cgroup_priv.h"

#define PROGRAMS_MAX 64
#define FIELD "linux.resources.devices"

static const struct cgroup_device_rule implicit[] = {
	{ true, 'c', -1, -1, DEVICE_MKNOD, true }, { true, 'b', -1, -1, DEVICE_MKNOD, true },
	{ true, 'c', 1, 3, DEVICE_ALL, true },    /* null */
	{ true, 'c', 1, 5, DEVICE_ALL, true },    /* zero */
	{ true, 'c', 1, 7, DEVICE_ALL, true },    /* full */
	{ true, 'c', 1, 8, DEVICE_ALL, true },    /* random */
	{ true, 'c', 1, 9, DEVICE_ALL, true },    /* urandom */
	{ true, 'c', 5, 0, DEVICE_ALL, true },    /* tty */
	{ true, 'c', 5, 1, DEVICE_ALL, true },    /* console */
	{ true, 'c', 5, 2, DEVICE_ALL, true },    /* ptmx */
	{ true, 'c', 136, -1, DEVICE_ALL, true }, /* pts */
	{ true, 'c', 10, 200, DEVICE_ALL, true }, /* net/tun */
};

static struct cgroup_device_rule *add(struct arena *a, struct cgroup_device_rules *r,
				      const struct cgroup_device_rule *rule)
{
	r->v = arena_grow(a, r->v, r->n, &r->cap, sizeof(*r->v));
	r->v[r->n] = *rule;
	return &r->v[r->n++];
}

static int parse_access(const char *text, size_t index, unsigned *out)
{
	static const char letters[] = "mrw";
	const char *hit;
	unsigned access = 0;

	for (const char *p = text; p && *p; p++) {
		hit = strchr(letters, *p);
		if (!hit)
			return fail(EINVAL,
				    FIELD "[%zu].access: \"%s\" holds more than \"r\", \"w\" and "
					  "\"m\"",
				    index, text);
		access |= 1u << (hit - letters);
	}
	if (!access)
		return fail(EINVAL, FIELD "[%zu].access: must name one of \"r\", \"w\" and \"m\"",
			    index);
	*out = access;
	return 0;
}

int cgroup_device_rules(struct arena *a, const struct cgroup_limits *l,
			struct cgroup_device_rules *out)
{
	struct cgroup_device_rules rules = { 0 };
	const struct cgroup_device *d;
	struct cgroup_device_rule rule;
	int ret;

	for (size_t i = 0; i < l->n_devices; i++) {
		d = &l->devices[i];
		rule = (struct cgroup_device_rule){
			d->allow, d->type, d->major, d->minor, 0, false
		};
		if (d->type != 'a' && d->type != 'b' && d->type != 'c')
			return fail(EINVAL, FIELD "[%zu].type: must be \"a\", \"b\" or \"c\"", i);
		if (d->major < -1 || d->major > UINT32_MAX || d->minor < -1 ||
		    d->minor > UINT32_MAX)
			return fail(EINVAL, FIELD "[%zu]: no device has the number %lld:%lld", i,
				    (long long)d->major, (long long)d->minor);
		ret = parse_access(d->access, i, &rule.access);
		if (ret)
			return ret;
		add(a, &rules, &rule);
	}
	for (size_t i = 0; i < sizeof(implicit) / sizeof(implicit[0]); i++)
		add(a, &rules, &implicit[i]);
	*out = rules;
	return 0;
}

static bool same_device(const struct cgroup_device_rule *x, const struct cgroup_device_rule *y)
{
	return x->type == y->type && x->major == y->major && x->minor == y->minor;
}

/* Every device of the inner rule is one of the outer's. Types are 'b' or 'c' here. */
static bool covers(const struct cgroup_device_rule *outer, const struct cgroup_device_rule *inner)
{
	return outer->type == inner->type && (outer->major == -1 || outer->major == inner->major) &&
	       (outer->minor == -1 || outer->minor == inner->minor);
}

static bool overlap(const struct cgroup_device_rule *x, const struct cgroup_device_rule *y)
{
	return x->type == y->type && (x->major == -1 || y->major == -1 || x->major == y->major) &&
	       (x->minor == -1 || y->minor == -1 || x->minor == y->minor);
}

static void add_exception(struct arena *a, struct cgroup_device_rules *set,
			  const struct cgroup_device_rule *rule)
{
	for (size_t i = 0; i < set->n; i++) {
		if (!same_device(&set->v[i], rule))
			continue;
		set->v[i].access |= rule->access;
		set->v[i].implicit = set->v[i].implicit && rule->implicit;
		return;
	}
	add(a, set, rule);
}

static int remove_exception(struct cgroup_device_rules *set, const struct cgroup_device_rule *rule)
{
	struct cgroup_device_rule *e;
	size_t n = 0;

	for (size_t i = 0; i < set->n; i++) {
		e = &set->v[i];
		if (covers(rule, e))
			e->access &= ~rule->access;
		else if (overlap(rule, e) && e->access & rule->access)
			return fail(EINVAL,
				    FIELD ": %s %c %lld:%lld is a part of an earlier, wider rule "
					  "(%c %lld:%lld, -1: any), which version 1 cgroups can't "
					  "express: list the devices one by one",
				    rule->allow ? "allow" : "deny", rule->type,
				    (long long)rule->major, (long long)rule->minor, e->type,
				    (long long)e->major, (long long)e->minor);
		if (e->access)
			set->v[n++] = *e;
	}
	set->n = n;
	return 0;
}

static bool everything(const struct cgroup_device_rule *r)
{
	return r->type == 'a' && r->major == -1 && r->minor == -1 && r->access == DEVICE_ALL;
}

int cgroup_device_exceptions(struct arena *a, const struct cgroup_device_rules *rules,
			     bool *out_default, struct cgroup_device_rules *out)
{
	struct cgroup_device_rules set = { 0 };
	struct cgroup_device_rule one;
	bool allow = false;
	int ret = 0;

	for (size_t i = 0; i < rules->n; i++) {
		one = rules->v[i];
		if (everything(&one)) {
			allow = one.allow;
			set.n = 0;
			continue;
		}
		for (const char *type = "bc"; !ret && *type; type++) {
			if (rules->v[i].type != 'a' && rules->v[i].type != *type)
				continue;
			one.type = *type;
			if (one.allow != allow)
				add_exception(a, &set, &one);
			else
				ret = remove_exception(&set, &one);
		}
		if (ret)
			return ret;
	}
	*out_default = allow;
	*out = set;
	return 0;
}

static void number(struct str *s, int64_t v)
{
	if (v < 0)
		str_add(s, "*");
	else
		str_addf(s, "%lld", (long long)v);
}

int cgroup_device_apply_v1(struct arena *a, const char *path, const struct cgroup_limits *l)
{
	struct cgroup_device_rules rules, set;
	const struct cgroup_device_rule *r;
	bool allow;
	auto_fd dir = -1;
	auto_fd fd = -1;
	char buf[64];
	int ret = cgroup_device_rules(a, l, &rules);

	if (!ret)
		ret = cgroup_device_exceptions(a, &rules, &allow, &set);
	if (ret)
		return ret;
	dir = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return fail_errno("open the cgroup %s", path);
	ret = fd_put(dir, allow ? "devices.allow" : "devices.deny", "a");
	/* a cgroup above that denies something does not let us allow everything */
	if (ret && !(ret == -EPERM && allow))
		return fail(-ret, FIELD ": write \"a\" to %s/devices.%s: %s", path,
			    allow ? "allow" : "deny", err_reason(-ret));
	fd = openat(dir, allow ? "devices.deny" : "devices.allow", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return fail_errno("open %s/devices.%s", path, allow ? "deny" : "allow");
	for (size_t i = 0; i < set.n; i++) {
		struct str s = STR_ON(buf);

		r = &set.v[i];
		str_addf(&s, "%c ", r->type);
		number(&s, r->major);
		str_add(&s, ":");
		number(&s, r->minor);
		str_addf(&s, " %s%s%s", r->access & DEVICE_READ ? "r" : "",
			 r->access & DEVICE_WRITE ? "w" : "", r->access & DEVICE_MKNOD ? "m" : "");
		if (write(fd, buf, s.len) < 0 && !(errno == EPERM && r->implicit))
			return fail_errno(FIELD ": write \"%s\" to %s/devices.%s", buf, path,
					  allow ? "deny" : "allow");
	}
	return 0;
}

/* ---- version 2 ---- */

/* The instruction forms of linux/bpf.h that are used here. */
#define LOAD(dst, src, off)                                 \
	(struct bpf_insn)                                   \
	{                                                   \
		BPF_LDX | BPF_W | BPF_MEM, dst, src, off, 0 \
	}
#define MOVE(dst, imm)                                           \
	(struct bpf_insn)                                        \
	{                                                        \
		BPF_ALU | BPF_MOV | BPF_K, dst, 0, 0, (int)(imm) \
	}
#define COPY(dst, src)                                    \
	(struct bpf_insn)                                 \
	{                                                 \
		BPF_ALU | BPF_MOV | BPF_X, dst, src, 0, 0 \
	}
#define AND(dst, imm)                                            \
	(struct bpf_insn)                                        \
	{                                                        \
		BPF_ALU | BPF_AND | BPF_K, dst, 0, 0, (int)(imm) \
	}
#define SHIFT_RIGHT(dst, imm)                             \
	(struct bpf_insn)                                 \
	{                                                 \
		BPF_ALU | BPF_RSH | BPF_K, dst, 0, 0, imm \
	}
/* BPF_JMP32 (kernel 5.1): the numbers are 32 bits wide, and an immediate is sign-extended else */
#define JUMP(op, dst, imm, off)                                   \
	(struct bpf_insn)                                         \
	{                                                         \
		BPF_JMP32 | (op) | BPF_K, dst, 0, off, (int)(imm) \
	}
#define EXIT                                   \
	(struct bpf_insn)                      \
	{                                      \
		BPF_JMP | BPF_EXIT, 0, 0, 0, 0 \
	}

enum { R_ANSWER = 0, R_CONTEXT = 1, R_TYPE = 2, R_LEFT = 3, R_MAJOR = 4, R_MINOR = 5, R_TEMP = 6 };

#define RULE_INSNS 8
#define FRAME_INSNS 10

struct emit {
	struct bpf_insn *v;
	size_t n;
};

static void put(struct emit *e, struct bpf_insn insn)
{
	e->v[e->n++] = insn;
}

/* One rule; the tests jump behind it, which is known once it is complete. */
static void emit_rule(struct emit *e, const struct cgroup_device_rule *r)
{
	size_t tests[4], n = 0;

	if (r->type != 'a') {
		tests[n++] = e->n;
		put(e, JUMP(BPF_JNE, R_TYPE,
			    r->type == 'b' ? BPF_DEVCG_DEV_BLOCK : BPF_DEVCG_DEV_CHAR, 0));
	}
	if (r->major >= 0) {
		tests[n++] = e->n;
		put(e, JUMP(BPF_JNE, R_MAJOR, r->major, 0));
	}
	if (r->minor >= 0) {
		tests[n++] = e->n;
		put(e, JUMP(BPF_JNE, R_MINOR, r->minor, 0));
	}
	if (r->allow) {
		put(e, AND(R_LEFT, ~r->access));
		tests[n++] = e->n;
		put(e, JUMP(BPF_JNE, R_LEFT, 0, 0));
		put(e, MOVE(R_ANSWER, 1));
	} else {
		put(e, COPY(R_TEMP, R_LEFT));
		put(e, AND(R_TEMP, r->access));
		tests[n++] = e->n;
		put(e, JUMP(BPF_JEQ, R_TEMP, 0, 0));
		put(e, MOVE(R_ANSWER, 0));
	}
	put(e, EXIT);
	for (size_t i = 0; i < n; i++)
		e->v[tests[i]].off = (short)(e->n - tests[i] - 1);
}

int cgroup_device_program(struct arena *a, const struct cgroup_device_rules *rules,
			  struct bpf_insn **out, size_t *out_n)
{
	struct emit e = { arena_array(a, rules->n * RULE_INSNS + FRAME_INSNS, sizeof(*e.v)), 0 };
	bool open_end = true;

	put(&e, LOAD(R_TYPE, R_CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, access_type)));
	put(&e, COPY(R_LEFT, R_TYPE));
	put(&e, SHIFT_RIGHT(R_LEFT, 16));
	put(&e, AND(R_TYPE, 0xffff));
	put(&e, LOAD(R_MAJOR, R_CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, major)));
	put(&e, LOAD(R_MINOR, R_CONTEXT, offsetof(struct bpf_cgroup_dev_ctx, minor)));
	for (size_t i = rules->n; i > 0 && open_end; i--) {
		emit_rule(&e, &rules->v[i - 1]);
		/* what comes before the last word on everything is never heard */
		open_end = !everything(&rules->v[i - 1]);
	}
	put(&e, MOVE(R_ANSWER, 0));
	put(&e, EXIT);
	if (e.n > BPF_MAXINSNS)
		return fail(E2BIG, FIELD ": %zu rules are more than a device program holds",
			    rules->n);
	*out = e.v;
	*out_n = e.n;
	return 0;
}

static int load(const struct bpf_insn *code, size_t n)
{
	union bpf_attr attr;
	int fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
	attr.insns = (uint64_t)(uintptr_t)code;
	attr.insn_cnt = (uint32_t)n;
	attr.license = (uint64_t)(uintptr_t) "Apache-2.0";
	memcpy(attr.prog_name, "thole_devices", sizeof("thole_devices"));
	/* EAGAIN: the verifier was interrupted by a signal */
	for (int i = 0; i < 5; i++) {
		fd = (int)sys_bpf(BPF_PROG_LOAD, &attr, sizeof(attr));
		if (fd >= 0 || errno != EAGAIN)
			break;
	}
	return fd < 0 ? fail_errno(FIELD ": load the eBPF program") : fd;
}

static int attached(int cgroup, uint32_t *ids, uint32_t *n)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.query.target_fd = (uint32_t)cgroup;
	attr.query.attach_type = BPF_CGROUP_DEVICE;
	attr.query.prog_cnt = PROGRAMS_MAX;
	attr.query.prog_ids = (uint64_t)(uintptr_t)ids;
	if (sys_bpf(BPF_PROG_QUERY, &attr, sizeof(attr)) < 0)
		return fail_errno(FIELD ": ask for the eBPF programs of the cgroup");
	*n = attr.query.prog_cnt;
	return 0;
}

static int detach(int cgroup, uint32_t id)
{
	union bpf_attr attr;
	auto_fd fd = -1;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id;
	fd = (int)sys_bpf(BPF_PROG_GET_FD_BY_ID, &attr, sizeof(attr));
	if (fd < 0)
		return errno == ENOENT ? 0 : fail_errno(FIELD ": open eBPF program %u", id);
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup;
	attr.attach_bpf_fd = (uint32_t)fd;
	attr.attach_type = BPF_CGROUP_DEVICE;
	if (sys_bpf(BPF_PROG_DETACH, &attr, sizeof(attr)) < 0 && errno != ENOENT)
		return fail_errno(FIELD ": take eBPF program %u off the cgroup", id);
	return 0;
}

int cgroup_device_apply_v2(struct arena *a, const char *path, const struct cgroup_limits *l,
			   bool replace)
{
	struct cgroup_device_rules rules;
	uint32_t ids[PROGRAMS_MAX], n = 0;
	struct bpf_insn *code;
	union bpf_attr attr;
	auto_fd cgroup = -1;
	auto_fd prog = -1;
	size_t len;
	int ret = cgroup_device_rules(a, l, &rules);

	if (!ret)
		ret = cgroup_device_program(a, &rules, &code, &len);
	if (ret)
		return ret;
	cgroup = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return fail_errno("open the cgroup %s", path);
	if (replace)
		ret = attached(cgroup, ids, &n);
	if (ret)
		return ret;
	prog = load(code, len);
	if (prog < 0)
		return prog;
	memset(&attr, 0, sizeof(attr));
	attr.target_fd = (uint32_t)cgroup;
	attr.attach_bpf_fd = (uint32_t)prog;
	attr.attach_type = BPF_CGROUP_DEVICE;
	attr.attach_flags = BPF_F_ALLOW_MULTI;
	if (sys_bpf(BPF_PROG_ATTACH, &attr, sizeof(attr)) < 0)
		return fail_errno(FIELD ": attach the eBPF program to %s", path);
	/* the new one is in force before an old one goes: at no time is there none */
	for (uint32_t i = 0; !ret && i < n; i++)
		ret = detach(cgroup, ids[i]);
	return ret;
}
