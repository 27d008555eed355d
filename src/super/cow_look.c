/* SPDX-License-Identifier: Apache-2.0 */
/* stat(2), statx(2), statfs(2), access(2), readlink(2), inotify_add_watch(2) */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <linux/stat.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/clock.h"
#include "super/cow_call.h"
#include "super/guest.h"

/* A directory's number is that of the upper side, which a descriptor of it has. */
static int look(struct cow_call *call, struct stat *out)
{
	bool known = call->named;

	if (known && call->side == LAYER_LOWER && S_ISDIR(call->p.found.st.st_mode) &&
	    call->in->layer.mode == LAYER_COW)
		known = cow_change(call) != 0;
	if (!known)
		return fstat(call->fd, out) < 0 ? -errno : 0;
	*out = call->p.found.st;
	return 0;
}

static nlink_t links_of(struct cow_call *call, const struct stat *st)
{
	const struct layer_entry e = { .side = call->side, .fd = call->fd, .st = *st };

	return call->in ? layer_nlink(&call->in->layer, &e) : st->st_nlink;
}

void cow_show_numbers(struct cow_call *call, struct stat *st)
{
	uint64_t ino;

	if (!call->in || call->side == LAYER_LOWER || !S_ISREG(st->st_mode) ||
	    st->st_dev != call->in->upper_id.dev || !layer_origin(call->fd, &ino))
		return;
	st->st_dev = call->in->lower_id.dev;
	st->st_ino = ino;
}

int64_t cow_stat(struct cow_call *call)
{
	struct stat st;
	int ret = look(call, &st);

	if (ret)
		return ret;
	st.st_nlink = links_of(call, &st);
	cow_show_numbers(call, &st);
	guest_show_ids(call->n, &st.st_uid, &st.st_gid);
	if (call->c->clock)
		clock_show_stat(call->c->clock, &st);
	/* the kernel's own structure: libc's is the same on both processors */
	return notif_write(call->n, call->rest[0], &st, sizeof(st));
}

int64_t cow_statx(struct cow_call *call)
{
	unsigned mask = (unsigned)call->rest[0], sync = call->at & AT_STATX_SYNC_TYPE;
	struct statx stx;
	struct stat st;
	int ret;

	if (mask & STATX__RESERVED || sync == AT_STATX_SYNC_TYPE)
		return -EINVAL;
	ret = look(call, &st);
	if (ret)
		return ret;
	if (statx(call->fd, "", (int)(sync | AT_EMPTY_PATH), mask, &stx) < 0)
		return -errno;
	if (stx.stx_mask & STATX_NLINK)
		stx.stx_nlink = (uint32_t)links_of(call, &st);
	cow_show_numbers(call, &st);
	guest_show_ids(call->n, &stx.stx_uid, &stx.stx_gid);
	stx.stx_ino = st.st_ino;
	stx.stx_dev_major = major(st.st_dev);
	stx.stx_dev_minor = minor(st.st_dev);
	if (call->c->clock)
		clock_show_statx(call->c->clock, &stx);
	return notif_write(call->n, call->rest[1], &stx, sizeof(stx));
}

/* What a quota leaves is all that there is. */
static void show_quota(const struct layer *l, struct statfs *st)
{
	uint64_t size = (uint64_t)st->f_bsize, left;

	if (!l->quota || !size)
		return;
	left = l->used < l->quota ? (l->quota - l->used) / size : 0;
	st->f_blocks = l->quota / size < st->f_blocks ? l->quota / size : st->f_blocks;
	st->f_bfree = left < st->f_bfree ? left : st->f_bfree;
	st->f_bavail = left < st->f_bavail ? left : st->f_bavail;
}

int64_t cow_statfs(struct cow_call *call)
{
	struct statfs st;
	int at = call->in && call->in->layer.upper >= 0 ? call->in->layer.upper : call->fd;

	if (fstatfs(at, &st) < 0)
		return -errno;
	if (call->in)
		show_quota(&call->in->layer, &st);
	return notif_write(call->n, call->rest[0], &st, sizeof(st));
}

int64_t cow_access(struct cow_call *call)
{
	int mode = (int)call->rest[0];

	if (mode & ~(R_OK | W_OK | X_OK))
		return -EINVAL;
	if (sys_faccessat2(call->fd, "", call->in ? mode & ~W_OK : mode,
			   AT_EACCESS | AT_EMPTY_PATH) < 0)
		return -errno;
	if (!call->in || !(mode & W_OK))
		return 0;
	if (call->in->layer.mode == LAYER_RO)
		return -EROFS;
	return layer_may(call->fd, W_OK);
}

/* What d_path(9) says of what has been removed, behind the directory of the layer that it was
 * in. */
static bool removed_name(const struct map_entry *e, int fd, char out[PATH_MAX])
{
	const char *const roots[] = { e->upper_path, e->work_path, e->lower_path, e->native_path };
	char text[PATH_MAX];

	if (fd_path(fd, text, sizeof(text)))
		return false;
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		size_t len = strlen(roots[i]);

		if (len > 1 && strncmp(text, roots[i], len) == 0 && text[len] == '/') {
			strcpy(out, text + len + 1);
			return true;
		}
	}
	return false;
}

#define GONE " (deleted)"

/* The name in the layer of a file that is open as fd, as the kernel would tell it. */
static bool layer_name(struct map_entry *e, int fd, enum layer_side side, char rel[PATH_MAX])
{
	size_t len = strlen(rel);

	if (side == LAYER_NOWHERE)
		return removed_name(e, fd, rel);
	if (side == LAYER_LOWER && len + sizeof(GONE) <= PATH_MAX && cow_is_gone(e, rel, fd))
		memcpy(rel + len, GONE, sizeof(GONE));
	return true;
}

/* Of one of the links of /proc that lead to a file of the map: its name as the guest has it. */
static int64_t name_of_target(struct cow_call *call, char out[PATH_MAX])
{
	struct map_entry *e;
	char rel[PATH_MAX];
	enum layer_side side;
	struct statfs fs;
	auto_fd target = -1;

	if (call->p.dir < 0 || !S_ISLNK(call->p.found.st.st_mode) || fstatfs(call->fd, &fs) < 0 ||
	    fs.f_type != PROC_SUPER_MAGIC)
		return COW_PASS;
	target = guest_open_link(call->n, call->p.dir, call->p.name, call->c->map.confined);
	e = target < 0 ? NULL : map_of_fd(&call->c->map, target, rel, &side);
	if (!e || !layer_name(e, target, side, rel))
		return COW_PASS;
	return cow_shown_name(call->c, call->n, e, rel, out);
}

int64_t cow_readlink(struct cow_call *call)
{
	int room = (int)call->rest[1];
	char text[PATH_MAX];
	int64_t len;

	if (room <= 0)
		return -EINVAL;
	if (!call->in) {
		len = name_of_target(call, text);
	} else if (!S_ISLNK(call->p.found.st.st_mode)) {
		return call->p.text[0] ? -EINVAL : -ENOENT;
	} else {
		len = readlinkat(call->fd, "", text, sizeof(text));
		len = len < 0 ? -errno : len;
	}
	if (len < 0)
		return len;
	len = len < room ? len : room;
	return notif_write(call->n, call->rest[0], text, (size_t)len) ? -EFAULT : len;
}

/* Events are those of a descriptor's file: what will be written to is the upper one. */
int64_t cow_watch(struct cow_call *call)
{
	uint32_t mask = (uint32_t)call->rest[0];
	auto_fd watcher = notif_take_fd(call->n, (int)call->n->args[0]), dir = -1;
	char text[COW_TEXT_MAX];
	bool link;
	int ret = watcher < 0 ? watcher : 0;

	if (!ret && call->in && call->in->layer.mode == LAYER_COW) {
		call->in->layer.watched = true;
		ret = cow_change(call);
	}
	if (!ret)
		ret = cow_text(call, text, &dir, &link);
	if (ret)
		return ret;
	ret = inotify_add_watch(watcher, text,
				link ? mask | IN_DONT_FOLLOW : mask & ~IN_DONT_FOLLOW);
	return ret < 0 ? -errno : ret;
}

/* A handle, or a mark, would be of what is behind. */
int64_t cow_refuse(struct cow_call *call)
{
	(void)call;
	return -EOPNOTSUPP;
}
