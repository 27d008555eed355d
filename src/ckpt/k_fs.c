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
#include "base/fd.h"
#include "base/mem.h"
#include "ckpt/ahead.h"
#include "ckpt/batch.h"
#include "ckpt/kinds.h"
#include "ckpt/look.h"
#include "ckpt/shown.h"

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
	const char *found, *why = look_path(u->c, l, &found);

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
	why = look_path(u->c, &links->cwd, &fs->cwd);
	if (!why)
		why = look_path(u->c, &links->root, &fs->root);
	if (why)
		return fail(ENOTSUP, "process %d: its working directory or root: %s", u->p->pid,
			    why);
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

/* What no path leads to is entered by a descriptor: its number in the process. */
static int hand_over(const struct ckpt_unit *u, const char *path, int64_t *out)
{
	auto_fd fd = shown_open(u->c, path, O_PATH | O_DIRECTORY);
	int64_t there = fd < 0 ? fd : ckpt_send_fd(u->c, u->p->threads[0], fd);

	if (there >= 0)
		*out = there;
	return there < 0 ? (int)there : 0;
}

static int add_cwd(struct ckpt *c, struct ckpt_batch *b, const char *path, int64_t fd)
{
	static const char what[] = "enter the working directory";
	int ret;

	if (fd < 0)
		return add_path(c, b, what, SYS_chdir, path);
	ret = batch_add(b, what, 0, SYS_fchdir, (uint64_t)fd);
	return ret ? ret : batch_add(b, "close a descriptor", 0, SYS_close, (uint64_t)fd);
}

static int enter(const struct ckpt_thread *t, const char *what, int64_t fd)
{
	int64_t ret = ckpt_call(t, what, SYS_fchdir, (uint64_t)fd);

	if (ret >= 0)
		ret = ckpt_call(t, "close a descriptor", SYS_close, (uint64_t)fd);
	return ret < 0 ? (int)ret : 0;
}

/* There, and back to where it is. */
static int enter_root(const struct ckpt_thread *t, int64_t fd)
{
	uint64_t dot;
	int64_t ret = ckpt_put(t, 0, ".", sizeof("."), &dot), back = -1;

	if (ret >= 0)
		ret = back = ckpt_call(t, "open the working directory", SYS_openat,
				       (uint64_t)AT_FDCWD, dot, O_PATH | O_DIRECTORY);
	if (ret >= 0)
		ret = enter(t, "enter the root directory", fd);
	if (ret >= 0)
		ret = ckpt_put(t, 0, ".", sizeof("."), &dot);
	if (ret >= 0)
		ret = ckpt_call(t, "change the root directory", SYS_chroot, dot);
	return ret < 0 ? (int)ret : enter(t, "enter the working directory", back);
}

/* Before rights are dropped and after the tree is forked: each process goes its own way. */
static int rebuild(const struct ckpt_unit *u)
{
	const struct fs *fs = u->rec;
	int64_t cwd = -1, root = -1;
	int ret = shown_is(fs->cwd) ? hand_over(u, fs->cwd, &cwd) : 0;
	struct ckpt_batch *b;

	if (!ret && shown_is(fs->root))
		ret = hand_over(u, fs->root, &root);
	b = batch_begin(u->c, u->p->threads[0]);
	/* the last for which a descriptor was to be had */
	if (!ret)
		ret = batch_add(b, "close the runtime's socket", 0, SYS_close, u->c->park);
	if (!ret)
		ret = batch_add(b, "set the umask", BATCH_ANY, SYS_umask, fs->umask);
	if (!ret)
		ret = add_cwd(u->c, b, fs->cwd, cwd);
	if (!ret && root < 0 && strcmp(fs->root, "/") != 0)
		ret = add_path(u->c, b, "enter the root directory", SYS_chroot, fs->root);
	if (!ret)
		ret = batch_run(b);
	return ret || root < 0 ? ret : enter_root(u->p->threads[0], root);
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
