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

/* A directory that was removed, or is of another mount namespace, has no path to come back by. */
static int check(const struct ckpt_unit *u)
{
	static const char *const links[] = { "cwd", "root" };
	const char *path, *why;

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
		why = look_path(u->c, u->p->host, links[i], &path);
		if (why)
			ckpt_problem(u->c, u->p, -1,
				     arena_printf(u->c->arena, "%s %s", links[i], path), "%s", why);
	}
	return 0;
}

static int collect(const struct ckpt_unit *u)
{
	struct fs *fs = u->rec;
	const char *why = look_path(u->c, u->p->host, "cwd", &fs->cwd);

	if (!why)
		why = look_path(u->c, u->p->host, "root", &fs->root);
	if (why)
		return fail(ENOTSUP, "process %d: its working directory or root: %s", u->p->pid,
			    why);
	fs->umask = u->p->status->umask;
	return 0;
}

/* Before rights are dropped and after the tree is forked: each process goes its own way. */
static int rebuild(const struct ckpt_unit *u)
{
	const struct fs *fs = u->rec;
	const struct ckpt_thread *t = u->p->threads[0];
	int64_t ret = ckpt_call(t, "set the umask", SYS_umask, fs->umask);
	uint64_t addr;

	if (ret >= 0)
		ret = ckpt_put(t, 0, fs->cwd, strlen(fs->cwd) + 1, &addr);
	if (ret >= 0)
		ret = ckpt_call(t, "enter the working directory", SYS_chdir, addr);
	if (ret < 0 || strcmp(fs->root, "/") == 0)
		return ret < 0 ? fail_in((int)ret, "%s", fs->cwd) : 0;
	ret = ckpt_put(t, 0, fs->root, strlen(fs->root) + 1, &addr);
	if (ret >= 0)
		ret = ckpt_call(t, "enter the root directory", SYS_chroot, addr);
	return ret < 0 ? fail_in((int)ret, "%s", fs->root) : 0;
}

const struct ckpt_kind kind_fs = {
	.name = "fs",
	.scope = KIND_PROCESS,
	.table = &table,
	.check = check,
	.collect = collect,
	.rebuild = { [PHASE_MM] = rebuild },
};
