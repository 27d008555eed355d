/* SPDX-License-Identifier: Apache-2.0 */
/* What the rows say, for kernels of every ABI. */
#include "jail/policy.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/mount.h>
#include <string.h>

#include "base/err.h"
#include "base/mem.h"
#include "jail/plan.h"
#include "lib/tap.h"

#define WRITING (LL_WRITE_FILE | LL_TRUNCATE | LL_MAKE_REG | LL_REMOVE_FILE)

/* A container with all namespaces and no capability, to be changed by the case. */
static struct sandbox plain(void)
{
	static char *const args[] = { (char *)"sh", NULL };
	struct sandbox sb = {
		.rootfs.path = "/srv/rootfs",
		.process.args = args,
		.process.cred.caps.set = true,
	};

	for (int k = 0; k < NS_KINDS; k++)
		sb.ns.want[k].wanted = true;
	return sb;
}

static const struct policy_rule *row(const struct policy *p, const char *where)
{
	for (size_t i = 0; i < p->n_rules; i++)
		if (strcmp(p->rules[i].where, where) == 0)
			return &p->rules[i];
	return NULL;
}

static struct policy plan(struct arena *a, const struct sandbox *sb, int abi)
{
	struct policy p = { 0 };

	is_int(policy_plan(a, sb, abi, &p), 0, "planned: %s", err_last()->text);
	return p;
}

static bool denies(const struct policy *p, const char *path, uint64_t right, enum policy_keeper by)
{
	struct policy_answer answer;

	policy_ask_path(p, path, right, &answer);
	return answer.denied == right && answer.by == by;
}

static bool grants(const struct policy *p, const char *path, uint64_t rights)
{
	struct policy_answer answer;

	policy_ask_path(p, path, rights, &answer);
	return !answer.denied && answer.by == POLICY_NOBODY;
}

/* Options are by the words of config.json. */
static struct mount_plan mount_of(const char *where, const char *target, const char *const *options)
{
	struct mount_plan m = { .where = where, .target = target, .source = "/x", .bind = true };

	for (; *options; options++)
		ok(mount_option(&m, *options), "%s is an option", *options);
	return m;
}

static void mount_options(void)
{
	static const struct {
		const char *options[3];
		uint64_t missing; /* of what the newest kernel has */
	} rows[] = {
		{ { "rw" }, 0 },
		{ { "noexec" }, LL_EXECUTE },
		{ { "rnoexec" }, LL_EXECUTE },
		{ { "nodev" }, LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_IOCTL_DEV },
		{ { "rnodev" }, LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_IOCTL_DEV },
		{ { "nodev", "noexec" }, LL_EXECUTE | LL_MAKE_CHAR | LL_MAKE_BLOCK | LL_IOCTL_DEV },
		{ { "noexec", "exec" }, 0 },
		{ { "nosuid", "noatime" }, 0 },
		{ { "ro" },
		  ~(uint64_t)(LL_READ_FILE | LL_READ_DIR | LL_EXECUTE | LL_RESOLVE_UNIX) },
		{ { "rro" },
		  ~(uint64_t)(LL_READ_FILE | LL_READ_DIR | LL_EXECUTE | LL_RESOLVE_UNIX) },
		{ { "ro", "noexec" }, ~(uint64_t)(LL_READ_FILE | LL_READ_DIR | LL_RESOLVE_UNIX) },
	};
	const uint64_t all = landlock_all(LANDLOCK_FS, LANDLOCK_ABI_NEWEST);

	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		auto_arena a = arena_new();
		struct sandbox sb = plain();
		struct mount_plan m = mount_of("mounts[0]", "/data", rows[i].options);
		const struct policy_rule *r;
		struct policy p;

		sb.rootfs.readonly = true;
		sb.rootfs.mounts = &m;
		sb.rootfs.n_mounts = 1;
		p = plan(a, &sb, LANDLOCK_ABI_NEWEST);
		r = row(&p, "mounts[0]");
		ok(r && r->granted == (all & ~rows[i].missing), "row %zu: what is granted", i);
		ok(r && r->denied == (all & rows[i].missing), "row %zu: what is not", i);
		ok(r && r->in_ruleset, "row %zu: is in the ruleset", i);
	}
}

/* Landlock adds downwards: what it can't take back is the mount's flag's to keep. */
static void keepers(void)
{
	static const char *const ro[] = { "ro", NULL };
	auto_arena a = arena_new();
	struct mount_plan m = mount_of("mounts[0]", "/data", ro);
	const char *hidden[] = { "/proc/kcore" }, *read_only[] = { "/proc/sys" };
	struct sandbox sb = plain();
	struct policy p;

	sb.rootfs.mounts = &m;
	sb.rootfs.n_mounts = 1;
	sb.rootfs.masked = hidden;
	sb.rootfs.read_only = read_only;
	sb.rootfs.n_masked = sb.rootfs.n_read_only = 1;
	p = plan(a, &sb, 7);
	ok(p.enforced && p.files && !p.why, "all of it is applied");
	ok(p.lacking[LANDLOCK_FS] == LL_RESOLVE_UNIX, "ABI 7 lacks resolve_unix");
	is_int((long long)row(&p, "mounts[0]")->kept[POLICY_LANDLOCK], 0, "rw above: not Landlock");
	ok((row(&p, "mounts[0]")->kept[POLICY_MOUNT] & WRITING) == WRITING, "but the mount");
	ok(row(&p, "mounts[0]")->kept[POLICY_NOBODY] == LL_IOCTL_DEV,
	   "ioctl of a device on it: nobody");
	ok(grants(&p, "/data", LL_READ_FILE) && grants(&p, "/etc", WRITING), "what is allowed");
	ok(denies(&p, "/data/x", LL_WRITE_FILE, POLICY_MOUNT), "what the mount denies");
	ok(grants(&p, "/database", LL_WRITE_FILE), "a name that only begins the same");
	ok(denies(&p, "/proc/kcore", LL_READ_FILE, POLICY_MOUNT), "masked");
	ok(denies(&p, "/proc/sys/kernel", LL_WRITE_FILE, POLICY_MOUNT) &&
		   grants(&p, "/proc/sys/kernel", LL_READ_FILE),
	   "read-only path");
	sb.rootfs.readonly = true;
	p = plan(a, &sb, 7);
	ok((row(&p, "mounts[0]")->kept[POLICY_LANDLOCK] & WRITING) == WRITING,
	   "read-only above: Landlock as well");
	ok(denies(&p, "/etc", LL_MAKE_REG, POLICY_LANDLOCK), "in any place");
	ok(grants(&p, "/dev/null", LL_WRITE_FILE | LL_IOCTL_DEV), "but devices are opened");
	ok(denies(&p, "/dev/null", LL_MAKE_CHAR, POLICY_LANDLOCK), "and not made");
}

static void every_abi(void)
{
	for (int abi = 1; abi <= LANDLOCK_ABI_NEWEST; abi++) {
		auto_arena a = arena_new();
		struct sandbox sb = plain();
		struct policy p;

		for (int i = 0; i < LANDLOCK_PORT_LISTS; i++)
			sb.landlock.ports[i] =
				(struct landlock_ports){ .where = "here", .set = true };
		sb.ns.want[NS_NET].wanted = false;
		p = plan(a, &sb, abi);
		for (int c = 0; c < LANDLOCK_CLASSES; c++) {
			uint64_t has = landlock_all((enum landlock_class)c, abi);

			ok((p.handled[c] & ~has) == 0, "ABI %d: nothing it lacks", abi);
			ok((p.handled[c] & p.lacking[c]) == 0, "ABI %d: one or the other", abi);
		}
		ok(p.handled[LANDLOCK_FS] == landlock_all(LANDLOCK_FS, abi), "ABI %d: all files",
		   abi);
		ok((p.handled[LANDLOCK_NET] | p.lacking[LANDLOCK_NET]) == 15, "ABI %d: all ports",
		   abi);
		ok((p.handled[LANDLOCK_SCOPE] | p.lacking[LANDLOCK_SCOPE]) ==
			   LL_SCOPE_ABSTRACT_UNIX,
		   "ABI %d: the scope for the network namespace", abi);
		for (size_t i = 0; i < p.n_rules; i++) {
			const struct policy_rule *r = &p.rules[i];
			uint64_t kept = 0;

			for (int k = 0; k < POLICY_KEEPERS; k++)
				kept |= r->kept[k];
			ok(kept == r->denied, "ABI %d: %s has its keepers", abi, r->where);
			ok(!(r->kept[POLICY_NOBODY] &
			     (r->kept[POLICY_LANDLOCK] | r->kept[POLICY_MOUNT])),
			   "ABI %d: %s: nobody is nobody", abi, r->where);
		}
	}
}

static void stepping_aside(void)
{
	static const struct {
		const char *what;
		uint64_t permitted, bounding;
		bool set, no_new_privs, files;
	} rows[] = {
		{ "no capability", 0, 0, true, false, true },
		{ "the runtime's own", 0, 0, false, false, false },
		{ "permitted", 1ull << CAP_SYS_ADMIN, 1ull << CAP_SYS_ADMIN, true, true, false },
		{ "by a program", 0, 1ull << CAP_SYS_ADMIN, true, false, false },
		{ "by no program", 0, 1ull << CAP_SYS_ADMIN, true, true, true },
		{ "another one", 1ull << CAP_NET_ADMIN, 0, true, false, true },
	};

	for (size_t i = 0; i < TAP_COUNT(rows); i++) {
		auto_arena a = arena_new();
		struct sandbox sb = plain();
		struct cred_plan *c = &sb.process.cred;
		struct policy p;

		c->caps.set = rows[i].set;
		c->caps.permitted = rows[i].permitted;
		c->caps.bounding = rows[i].bounding;
		c->no_new_privs = rows[i].no_new_privs;
		sb.landlock.ports[0] = (struct landlock_ports){ .where = "here", .set = true };
		p = plan(a, &sb, 7);
		is_int(p.files, rows[i].files, "auto, %s", rows[i].what);
		is_int(p.why != NULL, !rows[i].files, "and why, %s", rows[i].what);
		ok(p.enforced && p.handled[LANDLOCK_NET] == LL_BIND_TCP,
		   "ports stay, they forbid no mount, %s", rows[i].what);
		sb.landlock.mode = LANDLOCK_ENFORCE;
		ok(plan(a, &sb, 7).files, "enforce, %s", rows[i].what);
		sb.landlock.mode = LANDLOCK_OFF;
		p = plan(a, &sb, 7);
		ok(!p.enforced && !p.files && !p.handled[LANDLOCK_NET], "off, %s", rows[i].what);
	}
}

static void not_to_be_had(void)
{
	auto_arena a = arena_new();
	struct sandbox sb = plain();
	struct policy p;

	ok(!plan(a, &sb, 0).enforced, "auto does without");
	sb.landlock.mode = LANDLOCK_ENFORCE;
	is_int(policy_plan(a, &sb, 0, &p), -ENOTSUP, "enforce does not");
	is_str(err_last()->text, "run.thole.landlock is enforce, but this kernel has no Landlock",
	       "and says so");
	sb.landlock.ports[LANDLOCK_PORT_LISTS - 1].set = true;
	is_int(policy_plan(a, &sb, 9, &p), -ENOTSUP, "a right of a later kernel");
	ok(strstr(err_last()->text, "(ABI 9) has no connect_send_udp") != NULL, "by its name");
	is_int(policy_plan(a, &sb, 10, &p), 0, "which that one has");
}

static void scopes(void)
{
	auto_arena a = arena_new();
	struct sandbox sb = plain();
	struct policy p = plan(a, &sb, 7);

	is_int((long long)p.handled[LANDLOCK_SCOPE], 0, "namespaces do it");
	sb.ns.want[NS_PID].wanted = false;
	ok(plan(a, &sb, 7).handled[LANDLOCK_SCOPE] == LL_SCOPE_SIGNAL, "no PID namespace");
	sb.landlock.has_scope = true;
	is_int((long long)plan(a, &sb, 7).handled[LANDLOCK_SCOPE], 0, "the annotation has none");
	sb.landlock.scope = LL_SCOPE_ABSTRACT_UNIX;
	ok(plan(a, &sb, 7).handled[LANDLOCK_SCOPE] == LL_SCOPE_ABSTRACT_UNIX, "or another");
}

static void ports(void)
{
	static const struct landlock_range ranges[] = { { 80, 80 }, { 8000, 8010 } };
	auto_arena a = arena_new();
	struct sandbox sb = plain();
	struct policy_answer answer;
	struct policy p;

	sb.landlock.ports[0] = (struct landlock_ports){ "here", true, ranges, 2 };
	p = plan(a, &sb, 7);
	policy_ask_port(&p, 8005, LL_BIND_TCP, &answer);
	ok(!answer.denied && answer.row && answer.row->first == 8000, "in a range");
	policy_ask_port(&p, 8011, LL_BIND_TCP, &answer);
	ok(answer.denied == LL_BIND_TCP && answer.by == POLICY_LANDLOCK, "past it");
	policy_ask_port(&p, 8011, LL_CONNECT_TCP, &answer);
	ok(!answer.denied && !answer.row, "nothing is said about connecting");
	p = plan(a, &sb, 3);
	policy_ask_port(&p, 8011, LL_BIND_TCP, &answer);
	ok(!answer.denied && answer.row, "this kernel keeps no port");
}

static void alone(void)
{
	static const char *const rw[] = { "rw", NULL };
	auto_arena a = arena_new();
	struct mount_plan m = mount_of("mounts[0]", "/data", rw);
	struct sandbox sb = plain();
	struct policy p;

	sb.rootfs.path = "/";
	sb.rootfs.mounts = &m;
	sb.rootfs.n_mounts = 1;
	ok(!policy_alone(&sb), "not with a mount namespace");
	sb.ns.want[NS_MOUNT].wanted = false;
	ok(policy_alone(&sb), "but without");
	sb.process.cred.caps.set = false;
	p = plan(a, &sb, 7);
	ok(p.files, "no stepping aside: there is nothing else");
	ok(!row(&p, "root"), "the root is not granted");
	ok(grants(&p, "/data/x", WRITING) && denies(&p, "/etc/x", LL_READ_FILE, POLICY_LANDLOCK),
	   "the mount is all there is");
	ok(grants(&p, "/dev/null", LL_WRITE_FILE) &&
		   denies(&p, "/dev/sda", LL_READ_FILE, POLICY_LANDLOCK),
	   "with the default devices");
	is_int(policy_plan(a, &sb, 0, &p), -ENOTSUP, "not without Landlock");
	sb.landlock.mode = LANDLOCK_OFF;
	p = plan(a, &sb, 7);
	ok(row(&p, "linux.namespaces")->kept[POLICY_NOBODY] ==
		   landlock_all(LANDLOCK_FS, LANDLOCK_ABI_NEWEST),
	   "off: nobody keeps the host's files");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(mount_options), TAP(keepers), TAP(every_abi), TAP(stepping_aside),
		TAP(not_to_be_had), TAP(scopes),  TAP(ports),     TAP(alone),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
