/* SPDX-License-Identifier: Apache-2.0 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/layer_priv.h"

static bool has_fowner(void)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];

	return syscall(SYS_capget, &head, data) == 0 && (data[0].effective & 1U << CAP_FOWNER);
}

int layer_may(int fd, int mode)
{
	if (sys_faccessat2(fd, "", mode, AT_EACCESS | AT_EMPTY_PATH) == 0 || errno == EROFS)
		return 0;
	return -errno;
}

/* What the kernel asks before it takes a name away (may_delete() in fs/namei.c). */
int layer_may_remove(int dir, const struct stat *victim)
{
	struct stat st;
	uid_t me = (uid_t)setfsuid((uid_t)-1);
	int ret = layer_may(dir, W_OK | X_OK);

	if (ret || fstat(dir, &st) < 0)
		return ret ? ret : -errno;
	if (!(st.st_mode & S_ISVTX) || victim->st_uid == me || st.st_uid == me || has_fowner())
		return 0;
	return -EPERM;
}

static int is_seen(void *arg, int dir, const struct dirent64 *e)
{
	(void)arg;
	return layer_white_at(dir, e->d_name) ? 0 : -ENOTEMPTY;
}

static int is_not_hidden(void *arg, int below, const struct dirent64 *e)
{
	const int upper = *(const int *)arg;

	(void)below;
	return upper >= 0 && layer_white_at(upper, e->d_name) ? 0 : -ENOTEMPTY;
}

int layer_empty(struct layer *l, const char *path)
{
	auto_self who = guest_pause();
	auto_fd upper = layer_open_dir(l->upper, path);
	auto_fd place = layer_below_dir(l, path, strlen(path)), below = -1;
	int ret = upper < 0 ? 0 : layer_each(upper, is_seen, NULL);

	if (ret || place < 0)
		return ret;
	below = openat(place, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return below < 0 ? -errno : layer_each(below, is_not_hidden, &upper);
}

/* A directory that is to the guest as `dir` is, out of its sight. */
static int make_shadow(struct layer *l, int dir, char temp[LAYER_NAME])
{
	auto_self who = guest_pause();
	auto_fd shadow = -1;
	struct stat st;
	int ret;

	layer_temp(l, temp);
	if (fstat(dir, &st) < 0 || mkdirat(l->work, temp, 0700) < 0)
		return -errno;
	shadow = fd_open(l->work, temp, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0, LAYER_IN_UPPER);
	ret = shadow < 0 ? shadow : layer_copy_facts(dir, shadow, &st);
	if (ret)
		unlinkat(l->work, temp, AT_REMOVEDIR);
	return ret ? ret : fd_take(&shadow);
}

/* It takes the place of the whiteout; a directory shows nothing of the one that was there. */
static int place_dir(struct layer *l, const char *path, int shadow, int dir)
{
	const char *name = layer_last(path);
	auto_fd item = layer_open_dir(shadow, name), place = -1, below = -1;
	struct stat st;
	int ret = item < 0 ? item : 0;

	if (!ret && layer_shows(l, path, &st) && S_ISDIR(st.st_mode)) {
		below = fd_open(l->lower, path, O_RDONLY | O_DIRECTORY, 0, LAYER_IN_LOWER);
		ret = below < 0 ? below : layer_set_opaque(item, below);
		layer_forget(l);
	}
	/* in this order who watches the directory is told last of what has come */
	if (!ret && renameat2(dir, name, shadow, name, RENAME_EXCHANGE) < 0)
		ret = -errno;
	return ret ? ret : unlinkat(shadow, name, 0) < 0 ? -errno : 0;
}

static int place(struct layer *l, const char *path, int shadow, int dir)
{
	const char *name = layer_last(path);
	struct stat st;

	if (fstatat(shadow, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return place_dir(l, path, shadow, dir);
	return renameat(shadow, name, dir, name) < 0 ? -errno : 0;
}

static int make_over(struct layer *l, const char *path, int dir,
		     int (*make)(void *arg, int dir, const char *name), void *arg)
{
	char temp[LAYER_NAME];
	auto_fd shadow = make_shadow(l, dir, temp);
	int ret = shadow < 0 ? shadow : make(arg, shadow, layer_last(path));

	if (shadow < 0)
		return ret;
	auto_self who = guest_pause();
	if (!ret)
		ret = place(l, path, shadow, dir);
	if (ret && unlinkat(shadow, layer_last(path), 0) < 0 && errno == EISDIR)
		unlinkat(shadow, layer_last(path), AT_REMOVEDIR);
	unlinkat(l->work, temp, AT_REMOVEDIR);
	return ret;
}

static int make_at(struct layer *l, const char *path, const struct layer_entry *found,
		   int (*make)(void *arg, int dir, const char *name), void *arg)
{
	/* lint: parameters: those of layer_make(), and what was found there */
	auto_fd dir = -1;

	if (found->side != LAYER_NOWHERE)
		return -EEXIST;
	if (l->mode == LAYER_RO)
		return -EROFS;
	dir = layer_up_dir(l, path, layer_parent_len(path));
	if (dir < 0)
		return dir;
	return found->whiteout ? make_over(l, path, dir, make, arg)
			       : make(arg, dir, layer_last(path));
}

int layer_make(struct layer *l, const char *path, int (*make)(void *arg, int dir, const char *name),
	       void *arg)
{
	struct layer_entry e;
	int ret = layer_find(l, path, &e);
	auto_fd fd = ret ? -1 : e.fd;

	return ret ? ret : make_at(l, path, &e, make, arg);
}

struct create {
	int flags, fd;
	mode_t mode;
};

static int make_open(void *arg, int dir, const char *name)
{
	struct create *c = arg;

	c->fd = openat(dir, name, c->flags | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, c->mode);
	return c->fd < 0 ? -errno : 0;
}

int layer_create_found(struct layer *l, const char *path, const struct layer_entry *found,
		       int flags, mode_t mode)
{
	/* lint: parameters: those of open(2), and what was found there */
	struct create c = { .flags = flags, .mode = mode, .fd = -1 };
	int ret = make_at(l, path, found, make_open, &c);

	if (ret)
		fd_close(c.fd);
	return ret ? ret : c.fd;
}

int layer_create(struct layer *l, const char *path, int flags, mode_t mode)
{
	struct layer_entry e;
	int ret = layer_find(l, path, &e);
	auto_fd fd = ret ? -1 : e.fd;

	return ret ? ret : layer_create_found(l, path, &e, flags, mode);
}

static int make_dir(void *arg, int dir, const char *name)
{
	return mkdirat(dir, name, *(const mode_t *)arg) < 0 ? -errno : 0;
}

int layer_mkdir(struct layer *l, const char *path, mode_t mode)
{
	return layer_make(l, path, make_dir, &mode);
}

static int make_symlink(void *arg, int dir, const char *name)
{
	return symlinkat(arg, dir, name) < 0 ? -errno : 0;
}

int layer_symlink(struct layer *l, const char *target, const char *path)
{
	return layer_make(l, path, make_symlink, (void *)(uintptr_t)target);
}

static int make_node(void *arg, int dir, const char *name)
{
	return mknodat(dir, name, *(const mode_t *)arg, 0) < 0 ? -errno : 0;
}

/* A device would be made past the device cgroup of the container, which is not this process's. */
int layer_mknod(struct layer *l, const char *path, mode_t mode)
{
	return S_ISCHR(mode) || S_ISBLK(mode) ? -EPERM : layer_make(l, path, make_node, &mode);
}

/* By an open file, not by its name: AT_EMPTY_PATH would ask for a capability. */
static int make_link(void *arg, int dir, const char *name)
{
	char from[32];

	snprintf(from, sizeof(from), "/proc/self/fd/%d", *(const int *)arg);
	return linkat(AT_FDCWD, from, dir, name, AT_SYMLINK_FOLLOW) < 0 ? -errno : 0;
}

int layer_link_fd(struct layer *l, int fd, const char *to)
{
	return layer_make(l, to, make_link, &fd);
}

int layer_link(struct layer *l, const char *from, const char *to)
{
	struct layer_entry source, target = { .fd = -1 };
	int ret = layer_find(l, from, &source);
	auto_fd fd = ret ? -1 : source.fd;

	if (ret)
		return ret;
	if (source.side == LAYER_NOWHERE)
		return -ENOENT;
	ret = layer_find(l, to, &target);
	fd_close(target.fd);
	if (ret || target.side != LAYER_NOWHERE)
		return ret ? ret : -EEXIST;
	auto_fd up = layer_open_up(l, from);
	return up < 0 ? up : layer_link_fd(l, up, to);
}

/* Nothing of the lower side would show: the kernel says whether it may be. */
static int remove_upper(struct layer *l, const char *path, int parent, int flags)
{
	const char *name = layer_last(path);
	int ret = unlinkat(parent, name, flags) < 0 ? -errno : 0;

	if (!flags || l->mode == LAYER_RW || (ret != -ENOTEMPTY && ret != -EEXIST))
		return ret;
	ret = layer_empty(l, path);
	if (ret)
		return ret;
	auto_self who = guest_pause();
	ret = layer_put_whiteout(l, parent, name);
	return ret || unlinkat(parent, name, 0) == 0 ? ret : -errno;
}

static int remove_both(struct layer *l, const char *path, const struct layer_entry *e, int parent,
		       bool dir)
{
	/* lint: parameters: a path, and what was found there */
	int ret = layer_may_remove(parent, &e->st);

	if (ret)
		return ret;
	if (dir != S_ISDIR(e->st.st_mode))
		return dir ? -ENOTDIR : -EISDIR;
	ret = dir ? layer_empty(l, path) : 0;
	if (ret)
		return ret;
	auto_self who = guest_pause();
	ret = e->side == LAYER_LOWER ? layer_links_cover(l, &e->st) : 0;
	return ret ? ret : layer_put_whiteout(l, parent, layer_last(path));
}

int layer_remove(struct layer *l, const char *path, bool dir)
{
	struct layer_entry e;
	struct stat low;
	int ret = layer_find(l, path, &e);
	auto_fd fd = ret ? -1 : e.fd, parent = -1;

	if (ret)
		return ret;
	if (e.side == LAYER_NOWHERE)
		return -ENOENT;
	if (l->mode == LAYER_RO)
		return -EROFS;
	if (!*path)
		return -EBUSY;
	parent = layer_up_dir(l, path, layer_parent_len(path));
	if (parent < 0)
		return parent;
	l->shrunk = true;
	return layer_shows(l, path, &low) ? remove_both(l, path, &e, parent, dir)
					  : remove_upper(l, path, parent, dir ? AT_REMOVEDIR : 0);
}
