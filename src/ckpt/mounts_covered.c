/* SPDX-License-Identifier: Apache-2.0 */
/* What a mount of the container's covers of a file system in memory: nobody sees it, and no walk
 * over that comes there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/mem.h"
#include "base/sys.h"
#include "ckpt/inside.h"
#include "ckpt/mounts.h"
#include "ckpt/tmpfs.h"

struct cover {
	int root;
	const struct proc_mount *below, *m;
	bool found;
};

static bool has_entries(int dir)
{
	DIR *d = fdopendir(fcntl(dir, F_DUPFD_CLOEXEC, 0));
	struct dirent *e;

	if (!d)
		return true;
	while ((e = readdir(d)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			break;
	closedir(d);
	return e != NULL;
}

static bool has_content(int fd)
{
	struct stat st;

	if (fstat(fd, &st) < 0)
		return true;
	return S_ISDIR(st.st_mode) ? has_entries(fd) : st.st_size > 0;
}

/* In the child: a copy of the mount below has nothing mounted on it. */
static int look_below(void *ctx, int pipe)
{
	const struct cover *k = ctx;
	const char *rel = k->m->point + strlen(k->below->point);
	auto_fd below = mounts_open(k->root, k->below), copy = -1, fd = -1;

	if (below < 0)
		return below;
	copy = (int)sys_open_tree(below, "", AT_EMPTY_PATH | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (copy < 0)
		return fail_errno("look beneath the mount %s", k->m->point);
	fd = fd_open_in_root(copy, rel, O_RDONLY | O_NONBLOCK | O_NOCTTY);
	if (fd == -ENOENT)
		return 0;
	if (fd < 0)
		return fail(-fd, "look beneath the mount %s: %s", k->m->point, err_reason(-fd));
	return has_content(fd) ? inside_send(pipe, "", 1) : 0;
}

static int hear(void *ctx, int pipe)
{
	struct cover *k = ctx;
	char byte;
	ssize_t n;

	do
		n = read(pipe, &byte, 1);
	while (n < 0 && errno == EINTR);
	k->found = n > 0;
	return n < 0 ? fail_errno("hear of what a mount covers") : 0;
}

const char *mounts_covered(struct ckpt *c, const struct mounts *all, const struct proc_mount *m)
{
	const struct proc_mount *below = mounts_by_id(all, (uint64_t)m->parent);
	auto_fd root = -1;
	struct cover k = { .below = below, .m = m };
	const struct inside job = {
		.spaces = CLONE_NEWNS, .there = look_below, .here = hear, .ctx = &k
	};
	int ret;

	if (!below || !mounts_in_memory(below))
		return NULL;
	if (strcmp(below->point, m->point) == 0)
		return "the container mounted it itself, over a file system in memory, which can't be "
		       "saved";
	root = k.root = inside_root(c);
	ret = root < 0 ? root : inside_run(c, &job);
	if (ret)
		return arena_strdup(c->arena, err_last()->text);
	return k.found ? "the container mounted it itself, over files in memory, which can't be "
			 "saved"
		       : NULL;
}
