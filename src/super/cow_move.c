/* SPDX-License-Identifier: Apache-2.0 */
/* rename(2) and link(2): two paths, which both have to be of the same directory of the map. */
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "old_calls.h"
#include "super/cow_lead.h"
#include "super/cow_name.h"
#include "super/guest.h"
#include "super/handler.h"

struct move_call {
	struct cow *c;
	struct notif *n;
	unsigned flags;
	struct path from, to;
};

/* Where the arguments are; -1: there is none. */
struct move_form {
	int nr;
	int8_t from_dir, from, to_dir, to, flags;
};

static const struct move_form forms[] = {
	{ OLD_RENAME, -1, 0, -1, 1, -1 }, { SYS_renameat, 0, 1, 2, 3, -1 },
	{ SYS_renameat2, 0, 1, 2, 3, 4 }, { OLD_LINK, -1, 0, -1, 1, -1 },
	{ SYS_linkat, 0, 1, 2, 3, 4 },
};

static bool is_directory(const struct path *p)
{
	return p->found.fd >= 0 && S_ISDIR(p->found.st.st_mode);
}

/* ---- rename: do_renameat2() of fs/namei.c */

static int check_names(const struct move_call *call)
{
	const struct path *from = &call->from, *to = &call->to;

	if (from->in != to->in)
		return -EXDEV;
	if (from->last != PATH_NAME)
		return -EBUSY;
	if (to->last != PATH_NAME)
		return call->flags & RENAME_NOREPLACE ? -EEXIST : -EBUSY;
	if (from->gone || to->gone)
		return -ENOENT;
	if (from->in->layer.mode == LAYER_RO)
		return -EROFS;
	if (from->found.fd < 0)
		return -ENOENT;
	if (call->flags & RENAME_NOREPLACE && to->found.fd >= 0)
		return -EEXIST;
	return call->flags & RENAME_EXCHANGE && to->found.fd < 0 ? -ENOENT : 0;
}

static int check_slashes(const struct move_call *call)
{
	bool exchange = call->flags & RENAME_EXCHANGE;

	if (exchange && call->to.slash && !is_directory(&call->to))
		return -ENOTDIR;
	if (is_directory(&call->from))
		return 0;
	return call->from.slash || (!exchange && call->to.slash) ? -ENOTDIR : 0;
}

/* Is the second one somewhere beneath the first? */
static bool is_above(const char *above, const char *rel)
{
	size_t len = strlen(above);

	return strncmp(above, rel, len) == 0 && (!len || rel[len] == '/');
}

static int check_places(const struct move_call *call)
{
	const struct path *from = &call->from, *to = &call->to;

	if (is_above(from->rel, to->rel))
		return -EINVAL;
	if (is_above(to->rel, from->rel))
		return call->flags & RENAME_EXCHANGE ? -EINVAL : -ENOTEMPTY;
	if (map_has_below(&call->c->map, from->in, from->rel) ||
	    map_has_below(&call->c->map, to->in, to->rel))
		return -EBUSY;
	return 0;
}

/* The directories of the map themselves are held in their places. */
static bool is_root(const struct path *p)
{
	return p->in && !p->gone && !*p->rel && p->last == PATH_NAME;
}

static int64_t move(struct move_call *call)
{
	int ret = 0;

	if (is_root(&call->from) || is_root(&call->to))
		return -EBUSY;
	ret = check_names(call);
	if (!ret)
		ret = check_slashes(call);
	if (!ret)
		ret = check_places(call);
	if (!ret)
		ret = layer_rename(&call->from.in->layer, call->from.rel, call->to.rel,
				   call->flags);
	return ret;
}

/* ---- link: do_linkat() */

/* A descriptor can be of a lower file whose name is another's by now. */
static bool is_still_there(const struct path *p)
{
	struct layer_entry e;
	bool same;

	if (layer_find(&p->in->layer, p->rel, &e))
		return false;
	same = e.side != LAYER_NOWHERE && e.st.st_ino == p->found.st.st_ino &&
	       e.st.st_dev == p->found.st.st_dev;
	fd_close(e.fd);
	return same;
}

static int64_t join(struct move_call *call)
{
	struct path *from = &call->from, *to = &call->to;

	if (to->last != PATH_NAME || to->found.fd >= 0)
		return -EEXIST;
	if (to->slash)
		return -ENOENT;
	if (from->in != to->in)
		return -EXDEV;
	if (to->gone)
		return -ENOENT;
	if (to->in->layer.mode == LAYER_RO)
		return -EROFS;
	if (is_directory(from))
		return -EPERM;
	if (!from->gone && call->flags && !is_still_there(from))
		return -ENOENT;
	if (from->gone)
		return layer_link_fd(&to->in->layer, from->found.fd, to->rel);
	return layer_link(&to->in->layer, from->rel, to->rel);
}

/* ---- */

static int64_t act(struct move_call *call, int64_t (*run)(struct move_call *), int walked)
{
	if (!call->from.in && !call->to.in)
		return COW_KERNEL;
	if (walked)
		return walked;
	return notif_valid(call->n) ? run(call) : COW_KERNEL;
}

static struct cow_way way_of(const struct notif *n, int8_t dir, int8_t path, unsigned flags)
{
	return (struct cow_way){
		.dirfd = dir < 0 ? AT_FDCWD : (int)n->args[dir],
		.arg = (unsigned)path,
		.flags = flags,
	};
}

static int64_t walk_and_act(struct move_call *call, unsigned walk_from,
			    int64_t (*run)(struct move_call *))
{
	const struct move_form *f = forms;
	struct cow_way from, to;
	int64_t result;
	int ret = cow_become(call->c, call->n);

	if (ret)
		return ret;
	while (f->nr != call->n->nr)
		f++;
	from = way_of(call->n, f->from_dir, f->from, walk_from);
	to = way_of(call->n, f->to_dir, f->to, PATH_PARENT);
	ret = cow_walk(call->c, call->n, &from, &call->from);
	if (ret) {
		result = call->from.in ? ret : COW_KERNEL;
	} else {
		ret = cow_walk(call->c, call->n, &to, &call->to);
		result = act(call, run, ret);
		path_close(&call->to);
	}
	path_close(&call->from);
	return result;
}

void cow_on_rename(struct super_state *s, struct notif *n)
{
	struct move_call call;

	call.c = s->cow;
	call.n = n;
	call.flags = n->nr == SYS_renameat2 ? (unsigned)n->args[4] : 0;
	/* a whiteout of the guest's would be one of the layer's */
	if (call.flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE) ||
	    (call.flags & RENAME_NOREPLACE && call.flags & RENAME_EXCHANGE)) {
		notif_answer(n, -EINVAL);
		return;
	}
	cow_name_answer(n, walk_and_act(&call, PATH_PARENT, move));
}

void cow_on_link(struct super_state *s, struct notif *n)
{
	struct move_call call;
	unsigned walk = 0;

	call.c = s->cow;
	call.n = n;
	call.flags = n->nr == SYS_linkat ? (unsigned)n->args[4] : 0;
	if (call.flags & ~(unsigned)(AT_SYMLINK_FOLLOW | AT_EMPTY_PATH)) {
		notif_answer(n, -EINVAL);
		return;
	}
	if (call.flags & AT_SYMLINK_FOLLOW)
		walk |= PATH_FOLLOW;
	if (call.flags & AT_EMPTY_PATH)
		walk |= PATH_EMPTY;
	cow_name_answer(n, walk_and_act(&call, walk, join));
}
