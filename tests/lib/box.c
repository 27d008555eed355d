/* SPDX-License-Identifier: Apache-2.0 */
#include "lib/box.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "base/sys.h"
#include "lib/tap.h"

static void need_root(void)
{
	if (geteuid() != 0)
		tap_skip("only root may make cgroups here");
}

struct box box_open(const char *tail)
{
	struct box b = { .a = arena_new() };

	need_root();
	b.plan = (struct cgroup_plan){ .manager = CGROUP_FS, .id = "unused", .delegate_uid = -1 };
	b.plan.path = arena_printf(b.a, "/thole-test-%d%s", getpid(), tail);
	return b;
}

bool box_make(struct box *b)
{
	if (!ok(cgroup_locate(b->a, &b->plan, &b->cg) == 0, "locate: %s", err_last()->text))
		return false;
	return ok(cgroup_create(b->a, &b->plan, &b->cg, 0) == 0, "create: %s", err_last()->text);
}

void box_close(struct box *b)
{
	ok(cgroup_destroy(b->a, &b->cg) == 0, "destroy: %s", err_last()->text);
	for (size_t i = 0; i < b->cg.n; i++)
		ok(access(b->cg.dirs[i].path, F_OK) < 0, "%s is gone", b->cg.dirs[i].path);
	arena_free(b->a);
}

const char *box_file(struct box *b, enum cgroup_ctl ctl, const char *v1, const char *v2)
{
	const struct cgroup_dir *d = cgroup_find(&b->cg, ctl);
	char *buf = arena_alloc(b->a, 8192);
	const char *name;

	if (!d)
		return buf;
	name = arena_printf(b->a, "%s/%s", d->path, cgroup_dir_v2(d) ? v2 : v1);
	if (cgroup_read(AT_FDCWD, name, buf, 8192) < 0)
		buf[0] = '\0';
	buf[strcspn(buf, "\n")] = '\0';
	return buf;
}

bool box_has(struct box *b, enum cgroup_ctl ctl)
{
	const struct cgroup_dir *d = cgroup_find(&b->cg, ctl);
	char list[512];

	if (!d || !cgroup_dir_v2(d))
		return d;
	if (cgroup_read(AT_FDCWD, arena_printf(b->a, "%s/cgroup.controllers", d->path), list,
			sizeof(list)) < 0)
		return false;
	for (char *p = list; *p; p++)
		if (*p == ' ' || *p == '\n')
			*p = ',';
	return cgroup_host_lists(list, cgroup_ctl_names[ctl].v2);
}

pid_t box_enter(struct box *b, void (*run)(void))
{
	struct clone_args args = { .exit_signal = SIGCHLD };
	struct cgroup_entry e;
	int ready[2];
	char c = 0;
	pid_t pid;

	if (!ok(cgroup_entry_open(&b->cg, NULL, &e) == 0, "entry: %s", err_last()->text) ||
	    !ok(pipe2(ready, O_CLOEXEC) == 0, "pipe"))
		_exit(1);
	if (e.v2 >= 0) {
		args.flags = CLONE_INTO_CGROUP;
		args.cgroup = (uint64_t)e.v2;
	}
	pid = (pid_t)sys_clone3(&args);
	if (pid == 0) {
		c = cgroup_entry_join(&e) == 0 ? 'y' : 'n';
		if (write(ready[1], &c, 1) == 1 && c == 'y')
			run();
		_exit(0);
	}
	ok(pid > 0, "clone3: %s", strerror(errno));
	close(ready[1]);
	ok(read(ready[0], &c, 1) == 1 && c == 'y', "the child entered");
	close(ready[0]);
	cgroup_entry_close(&e);
	return pid;
}

void box_sleep(void)
{
	for (;;)
		pause();
}
