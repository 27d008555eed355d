/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "jail/cgroup_priv.h"
#include "lib/tap.h"

static const char hybrid_mounts[] =
	"22 27 0:21 / /proc rw,relatime - proc proc rw\n"
	"31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
	"32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
	"35 31 0:32 / /sys/fs/cgroup/mem\\040ory rw - cgroup cgroup rw,memory\n"
	"40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
	"41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw,nsdelegate\n";
static const char hybrid_own[] = "4:name=systemd:/user/1\n3:memory:/api/x:y\n"
				 "2:cpu,cpuacct:/\n0::/user.slice/session.scope\n";
static const char v2_mounts[] = "30 23 0:27 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw\n";
/* as in a container that shares the host's cgroup namespace and sees its own cgroup only */
static const char inner_mounts[] =
	"50 40 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n";

static const char *located(struct arena *a, const char *mounts, const char *own,
			   const struct cgroup_plan *plan)
{
	char *buf = arena_alloc(a, 4096);
	struct str s = { .buf = buf, .size = 4096 };
	struct cgroup_trees t;
	struct cgroup cg;

	cgroup_host_parse(a, mounts, own, &t);
	if (cgroup_path_locate(a, &t, plan, &cg))
		return err_last()->text;
	if (cg.scope)
		str_addf(&s, "[%s] ", cg.scope);
	for (size_t i = 0; i < cg.n; i++)
		str_addf(&s, "%s%s", i ? " " : "", cg.dirs[i].path);
	return buf;
}

static void reads_mounts(void)
{
	auto_arena a = arena_new();
	struct cgroup_trees t;

	cgroup_host_parse(a, hybrid_mounts, hybrid_own, &t);
	is_int((long long)t.n, 4, "hierarchies");
	ok(t.v1 && t.v2, "both versions");
	is_str(t.v[0].controllers, "cpu,cpuacct", "mounted together");
	is_str(t.v[0].own, "", "the top");
	is_str(t.v[1].mount, "/sys/fs/cgroup/mem ory", "an escaped space");
	is_str(t.v[1].own, "/api/x:y", "a colon in the path");
	is_str(t.v[2].controllers, "name=systemd", "a named one");
	is_str(t.v[3].controllers, "", "version 2");
	is_str(t.v[3].own, "/user.slice/session.scope", "its cgroup");
	cgroup_host_parse(a, v2_mounts, "0::/a\n", &t);
	ok(!t.v1 && t.v2, "version 2 alone");
	cgroup_host_parse(a, "", "0::/a\n", &t);
	is_int((long long)t.n, 0, "nothing is mounted");
	cgroup_host_parse(a, hybrid_mounts, "2:,cpu:/\n", &t);
	is_int((long long)t.n, 0, "a list that starts with nothing");
	cgroup_host_parse(a, v2_mounts, "", &t);
	is_int((long long)t.n, 0, "mounted, but the kernel says nothing of it");
}

static void sees_a_part(void)
{
	auto_arena a = arena_new();
	struct cgroup_trees t;

	cgroup_host_parse(a, inner_mounts, "3:memory:/docker/abc/sub\n", &t);
	is_str(t.v[0].own, "/sub", "below what is mounted");
	cgroup_host_parse(a, inner_mounts, "3:memory:/docker/abc\n", &t);
	is_str(t.v[0].own, "", "the top of what is mounted");
	cgroup_host_parse(a, inner_mounts, "3:memory:/docker/abcdef\n", &t);
	is_str(t.v[0].own, "", "another that starts alike is outside");
	cgroup_host_parse(a, v2_mounts, "0::/../other\n", &t);
	is_str(t.v[0].own, "", "outside of the cgroup namespace");
}

static void follows_the_rules(void)
{
	static const struct {
		const char *path, *v1, *v2; /* v2: NULL is the same error */
	} rows[] = {
		{ "/a/b",
		  "/sys/fs/cgroup/cpu,cpuacct/a/b /sys/fs/cgroup/mem ory/a/b "
		  "/sys/fs/cgroup/systemd/a/b /sys/fs/cgroup/unified/a/b",
		  "/sys/fs/cgroup/a/b" },
		{ "a//./b/",
		  "/sys/fs/cgroup/cpu,cpuacct/a/b /sys/fs/cgroup/mem ory/api/x:y/a/b "
		  "/sys/fs/cgroup/systemd/user/1/a/b /sys/fs/cgroup/unified/user.slice/a/b",
		  "/sys/fs/cgroup/user.slice/a/b" },
		{ NULL,
		  "/sys/fs/cgroup/cpu,cpuacct/box /sys/fs/cgroup/mem ory/api/x:y/box "
		  "/sys/fs/cgroup/systemd/user/1/box /sys/fs/cgroup/unified/user.slice/box",
		  "/sys/fs/cgroup/user.slice/box" },
		{ "/a/../b", "linux.cgroupsPath: \"/a/../b\" must not contain \"..\"", NULL },
		{ "../b", "linux.cgroupsPath: \"../b\" must not contain \"..\"", NULL },
		{ "/..a/b..",
		  "/sys/fs/cgroup/cpu,cpuacct/..a/b.. /sys/fs/cgroup/mem ory/..a/b.. "
		  "/sys/fs/cgroup/systemd/..a/b.. /sys/fs/cgroup/unified/..a/b..",
		  "/sys/fs/cgroup/..a/b.." },
		{ "//.",
		  "linux.cgroupsPath: \"//.\" is the top of the hierarchy: name a cgroup below it",
		  NULL },
	};
	auto_arena a = arena_new();
	struct cgroup_plan plan = { .manager = CGROUP_FS, .id = "box", .delegate_uid = -1 };

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		plan.path = rows[i].path;
		is_str(located(a, hybrid_mounts, hybrid_own, &plan), rows[i].v1, "hybrid, %s",
		       rows[i].path ? rows[i].path : "none");
		is_str(located(a, v2_mounts, "0::/user.slice/session.scope\n", &plan),
		       rows[i].v2 ? rows[i].v2 : rows[i].v1, "version 2, %s",
		       rows[i].path ? rows[i].path : "none");
	}
	plan.path = "";
	is_str(located(a, v2_mounts, "0::/\n", &plan), "/sys/fs/cgroup/box", "at the top");
	plan.manager = CGROUP_DISABLED;
	plan.path = "/../..";
	is_str(located(a, v2_mounts, "0::/\n", &plan), "", "disabled: nothing is even looked at");
}

static void asks_systemd(void)
{
	auto_arena a = arena_new();
	struct cgroup_plan plan = { .manager = CGROUP_SYSTEMD, .id = "box", .delegate_uid = -1 };
	const char *own = "0::/user.slice/user-1000.slice/user@1000.service/app.slice/x.scope\n";

	is_str(located(a, v2_mounts, "0::/\n", &plan),
	       "[thole-box.scope] /sys/fs/cgroup/system.slice/thole-box.scope/container",
	       "no path");
	plan.path = "machine-a.slice:libpod:123";
	is_str(located(a, v2_mounts, "0::/\n", &plan),
	       "[libpod-123.scope] /sys/fs/cgroup/machine.slice/machine-a.slice/libpod-123.scope/"
	       "container",
	       "three parts");
	plan.subgroup = "";
	is_str(located(a, v2_mounts, "0::/\n", &plan),
	       "[libpod-123.scope] /sys/fs/cgroup/machine.slice/machine-a.slice/libpod-123.scope",
	       "no cgroup below");
	plan.subgroup = NULL;
	plan.path = ":p:n";
	is_str(located(a, hybrid_mounts, hybrid_own, &plan),
	       "[p-n.scope] /sys/fs/cgroup/cpu,cpuacct/system.slice/p-n.scope "
	       "/sys/fs/cgroup/mem ory/system.slice/p-n.scope "
	       "/sys/fs/cgroup/systemd/system.slice/p-n.scope "
	       "/sys/fs/cgroup/unified/system.slice/p-n.scope",
	       "none below where version 1 is");
	plan.path = "a.slice:p:my.slice";
	ok(str_starts(located(a, v2_mounts, "0::/\n", &plan), "[my.slice] "), "a slice as unit");
	plan.path = "::n";
	plan.rootless = true;
	is_str(located(a, v2_mounts, own, &plan),
	       "[n.scope] /sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/user.slice/"
	       "n.scope/container",
	       "the user's manager");
	plan.rootless = false;
	for (const char *const *p =
		     (const char *const[]){ "/a/b", "a:b", "a:b:c:d", "a.slice:b:", "noslice:p:n",
					    "a--b.slice:p:n", "-a.slice:p:n", "a.slice:../p:n",
					    "a.slice:p:../../n", "x/a.slice:p:n", NULL };
	     *p; p++) {
		plan.path = *p;
		ok(strstr(located(a, v2_mounts, "0::/\n", &plan), "linux.cgroupsPath"),
		   "%s is refused", *p);
	}
}

static void expands_slices(void)
{
	static const struct {
		const char *slice, *path;
	} rows[] = {
		{ "-.slice", "" },
		{ "a.slice", "/a.slice" },
		{ "a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice" },
	};
	auto_arena a = arena_new();
	char *path = NULL;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		is_int(cgroup_path_slice(a, rows[i].slice, &path), 0, "%s", rows[i].slice);
		is_str(path, rows[i].path, "%s", rows[i].slice);
	}
	is_int(cgroup_path_slice(a, ".slice", &path), -EINVAL, "no name");
	is_int(cgroup_path_slice(a, "a-.slice", &path), -EINVAL, "an empty part");
}

/* Without the right to make cgroups: none, unless something is asked of them. */
static void lives_without(void)
{
	auto_arena a = arena_new();
	struct cgroup_plan plan = { .manager = CGROUP_FS, .id = "box", .rootless = true };
	const char *mounts = "30 23 0:27 / /proc/sys rw - cgroup2 cgroup2 rw\n";

	is_str(located(a, mounts, "0::/\n", &plan), "", "nothing asked for");
	plan.limits.has_devices = true;
	is_str(located(a, mounts, "0::/\n", &plan), "", "device rules are not enforced without");
	plan.limits.pids = (struct opt_i64){ true, 5 };
	ok(strstr(located(a, mounts, "0::/\n", &plan), "linux.resources"), "a limit is");
	plan.limits.pids.set = false;
	plan.path = "/mine";
	ok(strstr(located(a, mounts, "0::/\n", &plan), "linux.cgroupsPath"), "a path is");
	plan.rootless = false;
	plan.limits.pids.set = true;
	ok(strstr(located(a, "", "", &plan), "no cgroup file system"), "nothing is mounted");
}

int main(int argc, char **argv)
{
	static const struct tap_case cases[] = {
		TAP(reads_mounts), TAP(sees_a_part),    TAP(follows_the_rules),
		TAP(asks_systemd), TAP(expands_slices), TAP(lives_without),
	};

	return tap_main(argc, argv, cases, TAP_COUNT(cases));
}
