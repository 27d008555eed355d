/* SPDX-License-Identifier: Apache-2.0 */
/*
 * open(2), creat(2), openat(2), openat2(2).
 *
 * A file of the lower side that is only read is opened where it is; for everything else it is
 * copied first. A directory is always the upper one: what is made in it, a working directory, and a
 * descriptor of it are one file then. What is there is known by its O_PATH descriptor, through
 * which it is opened, as the thread: the kernel judges.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/sys.h"
#include "super/cow_call.h"
#include "super/cow_lead.h"
#include "super/guest.h"
#include "super/handler.h"

#define MODE_MASK 07777u
#define TMPFILE ((uint64_t)(O_TMPFILE & ~O_DIRECTORY))
#define PATH_FLAGS ((uint64_t)(O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC))
/* include/linux/fcntl.h, VALID_OPEN_FLAGS; 0100000 is the kernel's O_LARGEFILE */
#define VALID_FLAGS                                                                              \
	((uint64_t)(O_ACCMODE | O_CREAT | O_EXCL | O_NOCTTY | O_TRUNC | O_APPEND | O_NDELAY |    \
		    O_NONBLOCK | O_SYNC | O_DSYNC | O_ASYNC | O_DIRECT | O_LARGEFILE | 0100000 | \
		    O_DIRECTORY | O_NOFOLLOW | O_NOATIME | O_CLOEXEC | O_PATH | O_TMPFILE))
#define VALID_RESOLVE                                                               \
	((uint64_t)(RESOLVE_NO_XDEV | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS | \
		    RESOLVE_BENEATH | RESOLVE_IN_ROOT | RESOLVE_CACHED))

struct request {
	struct super_state *s;
	struct cow *c;
	struct notif *n;
	struct open_how how;
	struct path p;
};

static bool wants(const struct request *r, uint64_t flags)
{
	return (r->how.flags & flags) == flags;
}

static bool writes(const struct request *r)
{
	return (r->how.flags & O_ACCMODE) != O_RDONLY || wants(r, O_TRUNC);
}

/* fs/open.c, build_open_flags() */
static int check(const struct open_how *how)
{
	bool makes = how->flags & (O_CREAT | TMPFILE);

	if (how->flags & ~VALID_FLAGS || how->resolve & ~VALID_RESOLVE ||
	    (how->resolve & RESOLVE_BENEATH && how->resolve & RESOLVE_IN_ROOT) ||
	    how->mode & ~(uint64_t)(makes ? MODE_MASK : 0))
		return -EINVAL;
	if ((how->flags & (O_DIRECTORY | O_CREAT)) == (O_DIRECTORY | O_CREAT) ||
	    (how->flags & TMPFILE &&
	     (!(how->flags & O_DIRECTORY) || !(how->flags & (O_WRONLY | O_RDWR)))) ||
	    (how->flags & O_PATH && how->flags & ~PATH_FLAGS))
		return -EINVAL;
	/* nothing is cached here */
	return how->resolve & RESOLVE_CACHED ? -EAGAIN : 0;
}

/* What is passed on to the kernel: the link of /proc that leads to the file must be followed. */
static int flags_of(const struct request *r)
{
	return (int)(r->how.flags & ~(uint64_t)(O_CREAT | O_EXCL | O_NOFOLLOW)) | O_NOCTTY |
	       O_CLOEXEC;
}

static int answer(struct request *r, int fd)
{
	if (fd < 0)
		return fd;
	notif_answer_fd(r->n, fd, wants(r, O_CLOEXEC));
	fd_close(fd);
	return 0;
}

/* Takes fd. */
static int answer_path(struct request *r, int fd)
{
	auto_fd given = fd;

	return given < 0 ? given : (int)cow_give_path(r->s, r->n, given, wants(r, O_CLOEXEC));
}

/* A file that somebody holds a lease on (fcntl(2)) would be waited for. */
static int open_file(struct request *r, int fd)
{
	int flags = flags_of(r), opened = fd_reopen(fd, flags | O_NONBLOCK);

	if (opened == -EAGAIN && !(flags & O_NONBLOCK)) {
		cow_open_apart(r->c, r->n, fd, flags, wants(r, O_CLOEXEC));
		return 0;
	}
	if (opened >= 0 && !(flags & O_NONBLOCK))
		fcntl(opened, F_SETFL, flags & ~(O_ACCMODE | O_TRUNC));
	return answer(r, opened);
}

static int open_other(struct request *r, int fd)
{
	int flags = flags_of(r);

	if (flags & O_NONBLOCK || S_ISSOCK(r->p.found.st.st_mode)) {
		fd = fd_reopen(fd, flags);
		if (fd >= 0)
			notif_answer_end(r->n, fd, wants(r, O_CLOEXEC));
		return fd < 0 ? fd : 0;
	}
	cow_open_apart(r->c, r->n, fd, flags, wants(r, O_CLOEXEC));
	return 0;
}

/* In the upper side, as far as it is needed there. Takes fd, and returns one. */
static int lift(struct request *r, bool contents)
{
	struct layer *l = &r->p.in->layer;

	if (r->p.found.side != LAYER_LOWER)
		return fd_take(&r->p.found.fd);
	return contents ? layer_open_up(l, r->p.rel) : layer_open_up_empty(l, r->p.rel);
}

static int open_regular(struct request *r)
{
	struct layer *l = &r->p.in->layer;
	auto_fd fd = -1;
	int ret;

	if (!writes(r) || (r->p.gone && cow_is_upper(r->p.in, r->p.found.fd)))
		return open_file(r, r->p.found.fd);
	if (r->p.gone || l->mode == LAYER_RO)
		return -EROFS;
	/* who may not write is no reason to copy; nor is what may only be read */
	ret = layer_may(r->p.found.fd, W_OK);
	if (!ret && (r->how.flags & O_ACCMODE) != O_WRONLY &&
	    sys_faccessat2(r->p.found.fd, "", R_OK, AT_EACCESS | AT_EMPTY_PATH) < 0)
		ret = -errno;
	if (ret)
		return ret;
	if (wants(r, O_TRUNC) && r->p.found.st.st_size > 0 && !notif_has_room(r->n))
		return -EMFILE;
	fd = lift(r, !wants(r, O_TRUNC));
	if (fd < 0)
		return fd;
	if (wants(r, O_TRUNC))
		layer_shrunk(l);
	return open_file(r, fd);
}

static int open_directory(struct request *r)
{
	auto_fd fd = -1;

	if (wants(r, O_CREAT) || (writes(r) && !wants(r, TMPFILE)))
		return -EISDIR;
	if (wants(r, TMPFILE) && r->p.in->layer.mode == LAYER_RO)
		return -EROFS;
	fd = r->p.in->layer.mode == LAYER_COW ? lift(r, true) : fd_take(&r->p.found.fd);
	if (fd < 0)
		return fd;
	if (wants(r, TMPFILE)) {
		char path[32];
		int made;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		/* O_EXCL: it can't be given a name */
		made = open(path, flags_of(r) | (int)(r->how.flags & O_EXCL), (mode_t)r->how.mode);
		return answer(r, made < 0 ? -errno : made);
	}
	return wants(r, O_PATH) ? answer_path(r, fd_reopen(fd, flags_of(r)))
				: answer(r, fd_reopen(fd, flags_of(r)));
}

/*
 * A FIFO is one of the container's own, as it is on overlayfs. Devices can't be opened, as where a
 * mount has nodev: this process isn't in the cgroup that says which ones the container may.
 */
static int open_special(struct request *r)
{
	auto_fd fd = -1;

	if (S_ISCHR(r->p.found.st.st_mode) || S_ISBLK(r->p.found.st.st_mode))
		return -EACCES;
	if (!S_ISFIFO(r->p.found.st.st_mode) || r->p.in->layer.mode != LAYER_COW)
		return open_other(r, r->p.found.fd);
	fd = lift(r, true);
	return fd < 0 ? fd : open_other(r, fd);
}

/* What procfs says and lets be written is judged by who opens it, not by its file system ids
 * alone: that is this process, which is no guest's to look into. */
static bool is_proc(const struct request *r)
{
	dev_t dev = r->p.found.st.st_dev;
	struct statfs fs;

	return dev != r->p.in->lower_id.dev && dev != r->p.in->upper_id.dev &&
	       fstatfs(r->p.found.fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static int stat_parent(const struct path *p, struct stat *out)
{
	struct layer_entry e;
	const char *slash = strrchr(p->rel, '/');
	char dir[PATH_MAX];
	int ret;

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - p->rel) : 0, p->rel);
	ret = layer_find(&p->in->layer, dir, &e);
	if (!ret && e.fd < 0)
		ret = -ENOENT;
	if (!ret)
		*out = e.st;
	fd_close(e.fd);
	return ret;
}

/* may_create_in_sticky() of fs/namei.c: what O_CREAT does not make may be a trap, where all can lay
 * one. */
static int check_shared(const struct request *r)
{
	const struct stat *st = &r->p.found.st;
	const struct map *m = &r->c->map;
	bool regular = S_ISREG(st->st_mode), fifo = S_ISFIFO(st->st_mode);
	struct stat dir;
	int ret;

	if (!wants(r, O_CREAT) || r->p.jumped || st->st_uid == guest_uid() ||
	    (regular && !m->protected_regular) || (fifo && !m->protected_fifos))
		return 0;
	ret = stat_parent(&r->p, &dir);
	if (ret || !(dir.st_mode & S_ISVTX) || dir.st_uid == st->st_uid)
		return ret;
	if (dir.st_mode & S_IWOTH)
		return -EACCES;
	return dir.st_mode & S_IWGRP && ((regular && m->protected_regular > 1) ||
					 (fifo && m->protected_fifos > 1))
		       ? -EACCES
		       : 0;
}

static int open_there(struct request *r)
{
	mode_t type = r->p.found.st.st_mode & S_IFMT;
	int ret;

	if (wants(r, O_CREAT | O_EXCL))
		return -EEXIST;
	if (type == S_IFDIR)
		return open_directory(r);
	ret = check_shared(r);
	if (ret)
		return ret;
	if (wants(r, O_DIRECTORY) || r->p.slash)
		return -ENOTDIR;
	if (wants(r, O_PATH))
		return answer_path(r, type == S_IFLNK ? fd_take(&r->p.found.fd)
						      : fd_reopen(r->p.found.fd, flags_of(r)));
	if (type == S_IFLNK)
		return -ELOOP;
	if (is_proc(r))
		return -EACCES;
	return type == S_IFREG ? open_regular(r) : open_special(r);
}

static int make(struct request *r)
{
	if (!wants(r, O_CREAT))
		return -ENOENT;
	if (r->p.in->layer.mode == LAYER_RO)
		return -EROFS;
	if (!notif_has_room(r->n))
		return -EMFILE;
	return answer(r, layer_create_found(&r->p.in->layer, r->p.rel, &r->p.found, flags_of(r),
					    (mode_t)r->how.mode));
}

static int walk(struct request *r, int dirfd, unsigned arg)
{
	struct cow_way way = {
		.dirfd = dirfd,
		.arg = arg,
		.flags = PATH_FOLLOW,
		.resolve = r->how.resolve,
	};

	if (wants(r, O_NOFOLLOW) || wants(r, O_CREAT | O_EXCL))
		way.flags = 0;
	if (wants(r, O_CREAT))
		way.flags |= PATH_PARENT;
	return cow_walk(r->c, r->n, &way, &r->p);
}

/* Outside of the map all is the kernel's: the container's rules keep what must not be written. */
static void open_for(struct request *r, int dirfd, unsigned arg)
{
	int ret = cow_become(r->c, r->n);

	if (!ret) {
		ret = walk(r, dirfd, arg);
		if (r->p.in && !ret && notif_valid(r->n)) {
			/* a slash asks for a directory, which this makes none of */
			if (wants(r, O_CREAT) && r->p.slash)
				ret = -EISDIR;
			else
				ret = r->p.found.fd < 0 ? make(r) : open_there(r);
		}
		if (!r->p.in)
			ret = 0;
		path_close(&r->p);
	}
	guest_leave();
	if (ret && !r->n->answered)
		notif_answer(r->n, ret);
}

/* The path is the call's first argument, or the one behind its directory. */
static void open_as_ever(struct super_state *s, struct notif *n, unsigned arg, uint64_t flags,
			 uint64_t mode)
{
	struct request r;

	r.s = s;
	r.c = s->cow;
	r.n = n;
	/* what open(2) doesn't know it doesn't look at */
	r.how.flags = (unsigned)flags & VALID_FLAGS;
	if (r.how.flags & O_PATH)
		r.how.flags &= PATH_FLAGS;
	r.how.mode = r.how.flags & (O_CREAT | TMPFILE) ? mode & MODE_MASK : 0;
	r.how.resolve = 0;
	if (check(&r.how))
		notif_answer(n, check(&r.how));
	else
		open_for(&r, arg ? (int)n->args[0] : AT_FDCWD, arg);
}

void cow_on_open(struct super_state *s, struct notif *n)
{
	open_as_ever(s, n, 0, n->args[1], n->args[2]);
}

void cow_on_creat(struct super_state *s, struct notif *n)
{
	open_as_ever(s, n, 0, O_CREAT | O_WRONLY | O_TRUNC, n->args[1]);
}

void cow_on_openat(struct super_state *s, struct notif *n)
{
	open_as_ever(s, n, 1, n->args[2], n->args[3]);
}

void cow_on_openat2(struct super_state *s, struct notif *n)
{
	struct request r = { .s = s, .c = s->cow, .n = n };
	int ret = cow_read_struct(n, &n->args[2], sizeof(r.how), &r.how, sizeof(r.how));

	if (!ret)
		ret = check(&r.how);
	if (ret)
		notif_answer(n, ret);
	else
		open_for(&r, (int)n->args[0], 1);
}
