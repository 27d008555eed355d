/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One name that is made or taken away. What is answered before a layer is asked, and in which
 * order, is what the kernel does in fs/namei.c before it asks a file system.
 */
#include "super/cow_name.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "old_calls.h"
#include "super/cow_lead.h"
#include "super/guest.h"
#include "super/handler.h"

struct name_call {
	struct cow *c;
	struct notif *n;
	const struct name_form *form;
	const uint64_t *rest;
	unsigned flags;
	struct path p;
};

/* Where the arguments are; -1: there is none. */
struct name_form {
	int nr;
	int8_t dirfd, path, rest, flags;
	unsigned allowed; /* flags */
	int (*act)(struct name_call *call);
};

void cow_name_answer(struct notif *n, int64_t result)
{
	guest_leave();
	if (result != COW_KERNEL && !n->answered)
		notif_answer(n, result);
}

/* ---- what is made */

static int may_make(const struct name_call *call, bool directory)
{
	const struct path *p = &call->p;

	if (p->last != PATH_NAME || p->found.fd >= 0)
		return -EEXIST;
	if (p->slash && !directory)
		return -ENOENT;
	return p->in->layer.mode == LAYER_RO ? -EROFS : 0;
}

static int make_directory(struct name_call *call)
{
	int ret = may_make(call, true);

	if (!ret)
		ret = layer_mkdir(&call->p.in->layer, call->p.rel, (mode_t)call->rest[0] & 01777);
	return ret;
}

static int make_link(struct name_call *call)
{
	char target[PATH_MAX];
	int ret = notif_read_text(call->n, call->rest[0], target, sizeof(target));

	if (!ret)
		ret = target[0] ? may_make(call, false) : -ENOENT;
	return ret ? ret : layer_symlink(&call->p.in->layer, target, call->p.rel);
}

/* A device of the guest's own making would be one of the host's. */
static int make_node(struct name_call *call)
{
	mode_t mode = (mode_t)call->rest[0], type = mode & S_IFMT;
	int ret;

	if (type == S_IFDIR)
		return -EPERM;
	if (type && type != S_IFREG && type != S_IFIFO && type != S_IFSOCK && type != S_IFCHR &&
	    type != S_IFBLK)
		return -EINVAL;
	ret = may_make(call, false);
	if (ret)
		return ret;
	if (type == S_IFCHR || type == S_IFBLK)
		return -EPERM;
	return layer_mknod(&call->p.in->layer, call->p.rel,
			   (mode & 07777) | (type ? type : S_IFREG));
}

/* ---- what is removed */

static int remove_directory(struct name_call *call)
{
	static const int errors[] = {
		[PATH_DOT] = -EINVAL, [PATH_DOTDOT] = -ENOTEMPTY, [PATH_ROOT] = -EBUSY
	};
	struct path *p = &call->p;

	if (p->last != PATH_NAME)
		return errors[p->last];
	if (p->in->layer.mode == LAYER_RO)
		return -EROFS;
	if (p->found.fd < 0)
		return -ENOENT;
	if (!*p->rel || map_has_below(&call->c->map, p->in, p->rel))
		return -EBUSY;
	return layer_remove(&p->in->layer, p->rel, true);
}

static int remove_file(struct name_call *call)
{
	struct path *p = &call->p;
	bool directory = p->found.fd >= 0 && S_ISDIR(p->found.st.st_mode);

	if (p->last != PATH_NAME || !*p->rel)
		return -EISDIR;
	if (p->in->layer.mode == LAYER_RO)
		return -EROFS;
	if (p->found.fd < 0)
		return -ENOENT;
	if (p->slash)
		return directory ? -EISDIR : -ENOTDIR;
	return layer_remove(&p->in->layer, p->rel, false);
}

static int remove_either(struct name_call *call)
{
	return call->flags & AT_REMOVEDIR ? remove_directory(call) : remove_file(call);
}

/* ---- */

static const struct name_form forms[] = {
	{ OLD_MKDIR, -1, 0, 1, -1, 0, make_directory },
	{ SYS_mkdirat, 0, 1, 2, -1, 0, make_directory },
	{ OLD_SYMLINK, -1, 1, 0, -1, 0, make_link },
	{ SYS_symlinkat, 1, 2, 0, -1, 0, make_link },
	{ OLD_MKNOD, -1, 0, 1, -1, 0, make_node },
	{ SYS_mknodat, 0, 1, 2, -1, 0, make_node },
	{ OLD_RMDIR, -1, 0, 0, -1, 0, remove_directory },
	{ OLD_UNLINK, -1, 0, 0, -1, 0, remove_file },
	{ SYS_unlinkat, 0, 1, 0, 2, AT_REMOVEDIR, remove_either },
};

static int64_t act(struct name_call *call, int walked)
{
	/* what can't be walked to from here may be in the thread's own reach */
	if (!call->p.in)
		return COW_KERNEL;
	if (walked)
		return walked;
	if (call->p.gone && call->p.last == PATH_NAME)
		return -ENOENT;
	return notif_valid(call->n) ? call->form->act(call) : COW_KERNEL;
}

static int64_t walk_and_act(struct name_call *call)
{
	const struct name_form *f = call->form;
	const struct cow_way way = {
		.dirfd = f->dirfd < 0 ? AT_FDCWD : (int)call->n->args[f->dirfd],
		.arg = (unsigned)f->path,
		.flags = PATH_PARENT,
	};
	int64_t result;
	int ret;

	call->flags = f->flags < 0 ? 0 : (unsigned)call->n->args[f->flags];
	if (call->flags & ~f->allowed)
		return -EINVAL;
	ret = cow_become(call->c, call->n);
	if (ret)
		return ret;
	ret = cow_walk(call->c, call->n, &way, &call->p);
	result = act(call, ret);
	path_close(&call->p);
	return result;
}

void cow_on_name(struct super_state *s, struct notif *n)
{
	struct name_call call;
	size_t i = 0;

	while (i < sizeof(forms) / sizeof(forms[0]) && forms[i].nr != n->nr)
		i++;
	if (i == sizeof(forms) / sizeof(forms[0]))
		return;
	call.c = s->cow;
	call.n = n;
	call.form = &forms[i];
	call.rest = n->args + forms[i].rest;
	cow_name_answer(n, walk_and_act(&call));
}
