/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where a thread is: chdir(2) and chroot(2) into the map are made by the thread itself, to a
 * descriptor of the upper directory, so that what it is in is always that one. And what would show
 * a directory of the map elsewhere, past the supervisor: mount(2) and its like are refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/courier.h"
#include "super/cow_lead.h"
#include "super/cow_name.h"
#include "super/guest.h"
#include "super/handler.h"

#define OWNER_READS 0400

/* Its owner may open what may not be read: of a directory whose mode says so, an ordinary user's
 * supervisor changes it for the moment. */
static int reopen_unreadable(int fd, int flags)
{
	struct stat st;
	char path[32];
	int ret;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fstat(fd, &st) < 0 || chmod(path, (st.st_mode & 07777) | OWNER_READS) < 0)
		return -EACCES;
	ret = fd_reopen(fd, flags);
	chmod(path, st.st_mode & 07777);
	return ret;
}

int cow_name_reopen(int fd, int flags, bool ours)
{
	int ret = fd_reopen(fd, flags | O_CLOEXEC);

	return ret == -EACCES && ours ? reopen_unreadable(fd, flags | O_CLOEXEC) : ret;
}

static int open_natively(const struct notif *n, int dirfd, const char *text)
{
	bool absolute = text[0] == '/';
	auto_fd from = absolute            ? guest_root(n)
		       : dirfd == AT_FDCWD ? guest_cwd(n)
					   : notif_take_fd(n, dirfd);

	/* a link to "/" leads to this process's root then, and so elsewhere */
	return from < 0 ? from
			: fd_open(from, text, O_PATH, 0,
				  RESOLVE_NO_MAGICLINKS | (absolute ? RESOLVE_IN_ROOT : 0));
}

bool cow_name_is_native(const struct notif *n, int dirfd, const char *text, const struct stat *file)
{
	auto_fd fd = *text ? open_natively(n, dirfd, text) : -1;
	struct stat st;

	return fd >= 0 && fstat(fd, &st) == 0 && st.st_ino == file->st_ino &&
	       st.st_dev == file->st_dev;
}

/* ---- chdir, chroot */

struct found {
	bool lower;  /* it was of the lower side alone */
	bool upper;  /* it is of the upper one */
	bool secret; /* the thread may not read it */
	char text[PATH_MAX];
};

static bool is_secret(int dir)
{
	return sys_faccessat2(dir, "", R_OK, AT_EACCESS | AT_EMPTY_PATH) < 0;
}

/* The directory as one of the upper side's: O_PATH, the caller's. */
static int find_directory(struct cow *c, struct notif *n, struct found *out)
{
	const struct cow_way way = { .dirfd = AT_FDCWD, .flags = PATH_FOLLOW | PATH_DIRECTORY };
	struct path p;
	int ret = cow_become(c, n);

	if (ret)
		return ret;
	ret = cow_walk(c, n, &way, &p);
	if (!ret && p.in && faccessat(p.found.fd, "", X_OK, AT_EACCESS | AT_EMPTY_PATH) < 0)
		ret = -errno;
	if (!p.in)
		ret = -ENOTSUP;
	out->lower = !ret && p.in->layer.mode == LAYER_COW && p.found.side == LAYER_LOWER;
	out->upper = out->lower || (!ret && p.found.side == LAYER_UPPER);
	if (out->lower)
		ret = layer_open_up(&p.in->layer, p.rel);
	else if (!ret)
		ret = fd_take(&p.found.fd);
	out->secret = ret >= 0 && is_secret(ret);
	memcpy(out->text, p.text, strlen(p.text) + 1);
	path_close(&p);
	guest_pause();
	return ret;
}

static int64_t enter(struct inject *in, int dir, bool secret)
{
	int number = courier_put(in, dir, secret), ret = number < 0 ? number : inject_stop(in);
	int64_t fd = ret ? ret : courier_have(in, number, secret), result;

	if (fd < 0)
		return fd;
	result = inject_call(in, SYS_fchdir, (uint64_t)fd);
	inject_call(in, SYS_close, (uint64_t)fd);
	return result;
}

/* There, chroot("."), and back: root alone is changed. */
static int64_t enter_root(struct inject *in, int dir, int cwd)
{
	int to = courier_put(in, dir, true), from = to < 0 ? to : courier_put(in, cwd, true);
	int ret = from < 0 ? from : inject_stop(in);
	int64_t fd = ret ? ret : courier_have(in, to, true), result;
	int64_t back = fd < 0 ? fd : courier_have(in, from, true);
	struct inject_room room;

	if (back < 0) {
		if (fd >= 0)
			inject_call(in, SYS_close, (uint64_t)fd);
		return back;
	}
	result = inject_room(in, sizeof("."), &room);
	if (!result) {
		result = notif_write(in->n, room.at, ".", sizeof("."));
		if (!result)
			result = inject_call(in, SYS_fchdir, (uint64_t)fd);
		if (!result)
			result = inject_call(in, SYS_chroot, room.at, 0, 0, 0, 0, GUARD_PASSING(0));
		inject_call(in, SYS_fchdir, (uint64_t)back);
		inject_room_end(in, &room);
	}
	inject_call(in, SYS_close, (uint64_t)back);
	inject_call(in, SYS_close, (uint64_t)fd);
	return result;
}

static int64_t go(struct super_state *s, struct notif *n, int dir, bool secret)
{
	struct inject in;
	int64_t result;
	int ret = inject_begin(&s->strays, n, &in);

	if (ret)
		return ret;
	result = enter(&in, dir, secret);
	inject_end(&in, result);
	return result;
}

void cow_on_chdir(struct super_state *s, struct notif *n)
{
	struct found found;
	auto_fd dir = find_directory(s->cow, n, &found), open = -1;
	int64_t result;
	struct stat st;

	if (dir == -ENOTSUP)
		return;
	open = dir < 0 ? dir : cow_name_reopen(dir, O_RDONLY | O_DIRECTORY, found.upper);
	result = open < 0 ? open : go(s, n, open, found.secret);
	/* who is traced by somebody else goes by itself, be it to the lower one */
	if (result == -EPERM && !n->answered &&
	    (found.lower ||
	     (fstat(dir, &st) == 0 && cow_name_is_native(n, AT_FDCWD, found.text, &st))))
		return;
	cow_name_answer(n, result);
}

static int64_t go_root(struct super_state *s, struct notif *n, int dir)
{
	auto_fd at = guest_cwd(n),
		cwd = at < 0 ? at : cow_name_reopen(at, O_RDONLY | O_DIRECTORY, false);
	struct inject in;
	int64_t result;
	int ret = cwd < 0 ? cwd : inject_begin(&s->strays, n, &in);

	if (ret)
		return ret;
	result = enter_root(&in, dir, cwd);
	inject_end(&in, result);
	return result;
}

void cow_on_chroot(struct super_state *s, struct notif *n)
{
	struct found found;
	auto_fd dir = find_directory(s->cow, n, &found), open = -1;

	if (dir == -ENOTSUP)
		return;
	open = dir < 0 ? dir : cow_name_reopen(dir, O_RDONLY | O_DIRECTORY, found.upper);
	cow_name_answer(n, open < 0 ? open : go_root(s, n, open));
}

/* ---- mount and its like */

/* The paths of each: places of arguments, or -1. A path that isn't one (a device's name) leads
 * nowhere, which is no directory of the map. */
static const struct {
	int nr;
	struct {
		int8_t dirfd, path;
	} of[2];
} places[] = {
	{ SYS_mount, { { -1, 0 }, { -1, 1 } } },
	{ SYS_umount2, { { -1, 0 }, { -1, -1 } } },
	{ SYS_pivot_root, { { -1, 0 }, { -1, 1 } } },
	{ SYS_open_tree, { { 0, 1 }, { -1, -1 } } },
	{ SYS_open_tree_attr, { { 0, 1 }, { -1, -1 } } },
	{ SYS_move_mount, { { 0, 1 }, { 2, 3 } } },
	{ SYS_mount_setattr, { { 0, 1 }, { -1, -1 } } },
};

static bool leads_in(struct cow *c, struct notif *n, int dirfd, uint64_t path)
{
	struct path p;
	bool in;

	path_walk(&c->map, n, dirfd, path, PATH_FOLLOW | PATH_EMPTY, 0, &p);
	in = p.in != NULL;
	path_close(&p);
	return in;
}

void cow_on_mount(struct super_state *s, struct notif *n)
{
	bool in = false;
	size_t i = 0;

	while (i < sizeof(places) / sizeof(places[0]) && places[i].nr != n->nr)
		i++;
	if (i == sizeof(places) / sizeof(places[0]) || cow_become(s->cow, n))
		return;
	for (size_t k = 0; k < 2 && !in; k++) {
		int8_t dirfd = places[i].of[k].dirfd, path = places[i].of[k].path;

		if (path >= 0 && n->args[path])
			in = leads_in(s->cow, n, dirfd < 0 ? AT_FDCWD : (int)n->args[dirfd],
				      n->args[path]);
	}
	cow_name_answer(n, in ? -EPERM : COW_KERNEL);
}
