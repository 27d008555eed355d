/* SPDX-License-Identifier: Apache-2.0 */
#include "jail/rdt.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "jail/plan.h"

#define RESCTRL "/sys/fs/resctrl"
#define RESCTRL_MAGIC 0x7655821 /* RDTGROUP_SUPER_MAGIC */
#define SCHEMATA_MAX 65536

static int open_root(void)
{
	auto_fd fd = open(RESCTRL, O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct statfs fs;

	if (fd < 0 || fstatfs(fd, &fs) < 0 || fs.f_type != RESCTRL_MAGIC)
		return fail(
			ENOTSUP,
			"linux.intelRdt: this machine has no resctrl (not mounted on %s, or the CPU has no such feature)",
			RESCTRL);
	return fd_take(&fd);
}

int rdt_host(struct rdt_host *out)
{
	auto_fd root = open_root();

	*out = (struct rdt_host){ .mounted = root >= 0 };
	if (root < 0) {
		err_clear();
		return 0;
	}
	out->schemata = faccessat(root, "schemata", F_OK, 0) == 0;
	out->monitoring = faccessat(root, "mon_groups", F_OK, 0) == 0;
	return 0;
}

/* closID: absent, the container's id; "/", the root class. */
static const char *class_of(const struct sandbox_rdt *plan, const char *id)
{
	if (!plan->closid || !*plan->closid)
		return id;
	return strcmp(plan->closid, "/") == 0 ? "." : plan->closid;
}

static int put_schemata(int dir, const struct sandbox_rdt *plan)
{
	char line[4096];
	int ret;

	for (size_t i = 0; i < plan->n_schemata; i++) {
		if ((size_t)snprintf(line, sizeof(line), "%s\n", plan->schemata[i]) >= sizeof(line))
			return fail(E2BIG, "linux.intelRdt.schemata[%zu] is too long", i);
		ret = fd_put(dir, "schemata", line);
		if (ret)
			return fail(-ret, "write linux.intelRdt schema \"%s\": %s",
				    plan->schemata[i], err_reason(-ret));
	}
	return 0;
}

static const char *skip_space(const char *s)
{
	return s + strspn(s, " \t");
}

/* A class that was there must have the schemata asked for: others live in it too. */
static int compare_schemata(int dir, const struct sandbox_rdt *plan)
{
	auto_arena a = arena_new();
	size_t want;
	char *text;
	int ret = fd_read_file(dir, "schemata", a, SCHEMATA_MAX, &text, NULL);
	bool found;

	for (size_t i = 0; !ret && i < plan->n_schemata; i++) {
		want = strlen(skip_space(plan->schemata[i]));
		found = false;
		for (const char *p = text; *p && !found; p += strcspn(p, "\n"), p += *p == '\n') {
			const char *line = skip_space(p);

			found = strcspn(line, "\n") == want &&
				strncmp(line, skip_space(plan->schemata[i]), want) == 0;
		}
		if (!found)
			return fail(EEXIST,
				    "linux.intelRdt: the class exists and its schemata lack \"%s\"",
				    plan->schemata[i]);
	}
	return ret;
}

int rdt_enter(const struct sandbox_rdt *plan, const char *id, pid_t pid)
{
	const char *class = class_of(plan, id);
	auto_fd root = open_root();
	auto_fd dir = -1;
	char text[300];
	bool made;
	int ret;

	if (root < 0)
		return root;
	made = mkdirat(root, class, 0755) == 0;
	if (!made && errno != EEXIST)
		return fail_errno("make the class %s/%s", RESCTRL, class);
	dir = openat(root, class, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return fail_errno("open the class %s/%s", RESCTRL, class);
	ret = made ? put_schemata(dir, plan) : compare_schemata(dir, plan);
	if (!ret && plan->monitoring) {
		snprintf(text, sizeof(text), "mon_groups/%s", id);
		if (mkdirat(dir, text, 0755) < 0 && errno != EEXIST)
			ret = fail_errno("make the monitoring group %s", text);
	}
	if (!ret) {
		snprintf(text, sizeof(text), "%d", pid);
		ret = fd_put(dir, "tasks", text);
		if (ret)
			ret = fail(-ret, "enter the class %s/%s: %s", RESCTRL, class,
				   err_reason(-ret));
	}
	if (ret && made)
		unlinkat(root, class, AT_REMOVEDIR);
	return ret;
}

int rdt_update(const struct sandbox_rdt *plan, const char *id)
{
	auto_fd root = open_root();
	auto_fd dir = -1;

	if (root < 0)
		return root;
	dir = openat(root, class_of(plan, id), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return fail_errno("open the class %s/%s", RESCTRL, class_of(plan, id));
	return put_schemata(dir, plan);
}

int rdt_leave(const struct sandbox_rdt *plan, const char *id)
{
	const char *class = class_of(plan, id);
	auto_fd root = open_root();
	char path[600];

	if (root < 0) {
		err_clear();
		return 0;
	}
	snprintf(path, sizeof(path), "%s/mon_groups/%s", class, id);
	if (unlinkat(root, path, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return fail_errno("remove %s/%s", RESCTRL, path);
	if (strcmp(class, id) == 0 && unlinkat(root, class, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return fail_errno("remove %s/%s", RESCTRL, class);
	return 0;
}
