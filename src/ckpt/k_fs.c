/* SPDX-License-Identifier: Apache-2.0 */
/* A process's place in the file system: working directory, root, umask. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/err.h"
#include "base/mem.h"
#include "ckpt/ahead.h"
#include "ckpt/batch.h"
#include "ckpt/kinds.h"
#include "ckpt/look.h"

struct fs {
	const char *cwd, *root; /* as the container's init sees them */
	uint32_t umask;
};

static const struct record_field rows[] = {
	RECORD(TEXT, struct fs, "cwd", cwd, RECORD_MAX(PATH_MAX)),
	RECORD(TEXT, struct fs, "root", root, RECORD_MAX(PATH_MAX)),
	RECORD(U, struct fs, "umask", umask, RECORD_MAX(0777)),
};
static const struct record_table table = RECORD_TABLE(struct fs, rows);

struct links {
	struct look_link cwd, root;
};

static int look(struct arena *a, pid_t host, void **out)
{
	struct links *links = arena_alloc(a, sizeof(*links));

	look_link(a, host, "cwd", &links->cwd);
	look_link(a, host, "root", &links->root);
	*out = links;
	return 0;
}

static void check_link(const struct ckpt_unit *u, const char *name, const struct look_link *l)
{
	const char *why = look_path(u->c, l);

	if (why)
		ckpt_problem(u->c, u->p, -1, arena_printf(u->c->arena, "%s %s", name, l->text),
			     "%s", why);
}

/* A directory that was removed, or is of another mount namespace, has no path to come back by. */
static int check(const struct ckpt_unit *u)
{
	const struct links *links;
	void *seen;
	int ret = ahead_take(u->c, &kind_fs, u->p, &seen);

	if (ret)
		return ret;
	links = seen;
	check_link(u, "cwd", &links->cwd);
	check_link(u, "root", &links->root);
	return 0;
}

static int collect(const struct ckpt_unit *u)
{
	struct fs *fs = u->rec;
	const struct links *links;
	const char *why;
	void *seen;
	int ret = ahead_take(u->c, &kind_fs, u->p, &seen);

	if (ret)
		return ret;
	links = seen;
	why = look_path(u->c, &links->cwd);
	if (!why)
		why = look_path(u->c, &links->root);
	if (why)
		return fail(ENOTSUP, "process %d: its working directory or root: %s", u->p->pid,
			    why);
	fs->cwd = links->cwd.text;
	fs->root = links->root.text;
	fs->umask = u->p->status->umask;
	return 0;
}

static int add_path(struct ckpt *c, struct ckpt_batch *b, const char *what, long nr,
		    const char *path)
{
	uint64_t addr;
	int ret = batch_data(b, path, strlen(path) + 1, &addr);

	return ret ? ret : batch_add(b, arena_printf(c->arena, "%s: %s", what, path), 0, nr, addr);
}

/* Before rights are dropped and after the tree is forked: each process goes its own way. */
static int rebuild(const struct ckpt_unit *u)
{
	const struct fs *fs = u->rec;
	struct ckpt_batch *b = batch_begin(u->c, u->p->threads[0]);
	int ret = batch_add(b, "set the umask", BATCH_ANY, SYS_umask, fs->umask);

	if (!ret)
		ret = add_path(u->c, b, "enter the working directory", SYS_chdir, fs->cwd);
	if (!ret && strcmp(fs->root, "/") != 0)
		ret = add_path(u->c, b, "enter the root directory", SYS_chroot, fs->root);
	return ret ? ret : batch_run(b);
}

const struct ckpt_kind kind_fs = {
	.name = "fs",
	.scope = KIND_PROCESS,
	.table = &table,
	.look = look,
	.look_frozen = look,
	.check = check,
	.collect = collect,
	.rebuild = { [PHASE_MM] = rebuild },
};
